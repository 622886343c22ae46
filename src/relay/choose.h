/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet program's decisions, made outside of it from the same tables: for what the daemon decides in its place, for
 * `explain`, and for tests that compare the two. Thread: control.
 */
#ifndef PM_RELAY_CHOOSE_H
#define PM_RELAY_CHOOSE_H

#include "relay/relay.h"
#include "relay/request.h"

/* What the tables say of a request on a connection. */
struct relay_choice {
    bool relayed;         /* vip is there */
    struct relay_vip vip;
    bool named;           /* host is the request's own, not the one for any other name */
    uint32_t host;        /* what its resources are filed under; 0: the VIP has no hosts */
    bool resource;        /* an entry was found: kind, hash of its text */
    enum relay_resource_kind kind;
    uint64_t text;
    bool front;           /* that entry leaves it to our own front end */
    uint32_t set;         /* RELAY_SETS_MAX: the front end, or no VIP */
};

/* q NULL: for services that do not read requests. */
void relay_choose(const struct relay *r, const struct relay_flow_key *k, const struct relay_request *q,
                  struct relay_choice *out);
/* The set that may serve a request on a connection; RELAY_SETS_MAX: our own front end, or no relayed service is there. */
uint32_t relay_set_for(const struct relay *r, const struct relay_flow_key *k, const struct relay_request *q);
/* A node of the set by a number at random; RELAY_NODES_MAX: nobody. */
uint32_t relay_pick(const struct relay *r, uint32_t set, uint32_t random);
/* Whether a connection at the node may stay there for what the set is about: by the table's list of members, which is
 * what the packet program asks, and which ends at RELAY_MEMBERS_MAX. */
bool relay_set_has(const struct relay *r, uint32_t set, uint32_t node);
/* The ring in force, of nodes or RELAY_NODES_MAX; returns its size, 0: nobody. Valid until the set's next ring. */
uint32_t relay_places(const struct relay *r, uint32_t set, const uint32_t **places);
/* This machine as a node. */
uint32_t relay_self(const struct relay *r);
/* Where hand-off packets to the node go; PM_ENOTFOUND: it cannot be reached. */
int relay_node_endpoint(const struct relay *r, uint32_t node, struct endpoint *out) PM_MUST_CHECK;
/* Fills in version, key and tag for that inner packet to that outer destination. */
void relay_tag(const struct relay *r, struct handoff *h, const struct addr *to, const void *packet, uint32_t length);

#endif
