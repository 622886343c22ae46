/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet program's decisions, made outside of it from the same tables: for what the daemon decides in its place, for
 * `explain`, and for tests that compare the two. Thread: control.
 */
#ifndef PM_RELAY_CHOOSE_H
#define PM_RELAY_CHOOSE_H

#include "relay/relay.h"
#include "relay/request.h"

/* The set that may serve a request on a connection; RELAY_SETS_MAX: our own front end, or no relayed service is there. */
uint32_t relay_set_for(const struct relay *r, const struct relay_flow_key *k, const struct relay_request *q);
/* A node of the set by a number at random; RELAY_NODES_MAX: nobody. */
uint32_t relay_pick(const struct relay *r, uint32_t set, uint32_t random);
bool relay_set_has(const struct relay *r, uint32_t set, uint32_t node);
/* This machine as a node. */
uint32_t relay_self(const struct relay *r);
/* Where hand-off packets to the node go; PM_ENOTFOUND: it cannot be reached. */
int relay_node_endpoint(const struct relay *r, uint32_t node, struct endpoint *out) PM_MUST_CHECK;
/* Fills in version, key and tag for that inner packet. */
void relay_tag(const struct relay *r, struct handoff *h, const void *packet, uint32_t length);

#endif
