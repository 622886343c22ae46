/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by farm.c (what is relayed), farm_nodes.c (how nodes are reached), farm_rings.c (who is chosen), and what shows it:
 * farm_view.c, farm_sessions.c, farm_explain.c.
 */
#ifndef PM_MAIN_FARM_INTERNAL_H
#define PM_MAIN_FARM_INTERNAL_H

#include <uv.h>
#include "base/arena.h"
#include "main/farm.h"
#include "main/farm_agents.h"
#include "model/rtt_samples.h"
#include "policy/policy.h"
#include "relay/assist.h"
#include "relay/keys.h"
#include "relay/node.h"
#include "relay/relay.h"

enum {
    FARM_SELF = RELAY_NODES_MAX - 1, /* this machine's front end */
    FARM_SERVERS_MAX = SNAP_CANDS_MAX, /* of one service */
    FARM_INTERFACES_MAX = 32,
    FARM_RESOURCES_SHOWN = 1000, /* of one service */
    FARM_RESOURCE_TEXT = 256,
    FARM_SETS_SPARE = 1024, /* places for services that resources leave free */
};
#define FARM_FRONT_NAME "(front end)" /* as a node */

/* A machine behind the relay; its number stays as long as it is configured. */
struct farm_node {
    struct addr addr; /* family 0: the place is free */
    int via;          /* enum cfg_via */
    bool wanted, reached, down;
    const char *agent; /* its name, the configuration's; NULL = none */
    float load; /* as its agent says, 1 = full; NaN = it does not */
    struct relay_node now;
};

struct farm_server {
    const struct cfg_server *config;
    uint32_t node;
};

/* Servers that may serve something, and the ring made of them. */
struct farm_set {
    uint64_t holders;
    uint32_t index;   /* in the kernel's table */
    uint32_t of;      /* of a resource: the content directory's set */
    bool everything;  /* no resource is asked for */
    uint64_t stamp;   /* of the ring in force */
    uint8_t fallen_back;
};

/* One of the content directory's entries, as it is shown (main/farm_catalog.h). */
struct farm_resource {
    uint32_t host;
    enum relay_resource_kind kind;
    char text[FARM_RESOURCE_TEXT];
    uint64_t holders;
    uint32_t set; /* farm_set.of */
    bool front;   /* it has moved, or is not in the kernel's table: the front end answers */
};

struct farm_service {
    const char *name; /* as the front end calls it */
    const struct cfg_service *config;
    const struct cfg_service_site *at;
    const struct cfg_front *front;
    const struct cfg_policy *policy;
    struct farm_server *servers;
    uint32_t server_count;
    uint32_t host_id;
    struct farm_set all, any; /* every server; for what nobody names */
    struct farm_set *sets;    /* for resources; the catalog's. Index RELAY_SETS_MAX: none */
    uint32_t set_count;
    const char **moved; /* prefixes that rewrites are about */
    uint32_t moved_count;
    bool all_front;     /* anything may have moved */
    bool default_front; /* what no resource is about is the front end's for now */
    bool published;     /* its hosts are in the kernel's table */
    bool packets_of_all; /* every packet of the address */
};

/* What was written into the kernel's tables for one configuration. */
struct farm_plan {
    struct arena *arena;
    struct farm_service *services;
    uint32_t service_count;
};

struct farm {
    const struct clock *clock;
    struct relay *relay; /* NULL: the kernel cannot; why says it */
    struct assist *assist;
    uv_poll_t poll;
    uv_timer_t timer;
    bool polling;
    struct node *node;   /* for connections given to our own front end */
    struct farm_agents *agents; /* NULL: there are none */
    struct farm_catalog *catalog;
    struct buf why;
    uint8_t secret[RELAY_SECRET], tag_secret[RELAY_SECRET];
    const struct config *config;
    const struct front *front;
    struct farm_plan plan;
    struct farm_node nodes[FARM_SELF];
    uint32_t node_count; /* places used so far */
    uint8_t set_used[RELAY_SETS_MAX / 8];
    uint32_t sets_used;
    struct {
        char name[16];
        unsigned index;
        bool native;
    } interface[FARM_INTERFACES_MAX];
    unsigned interface_count;
    struct rtt_samples *samples;
    uint64_t settled_ms; /* when they last became beliefs */
};

/* farm.c. A place for a set, as long as more than `spare` are free; RELAY_SETS_MAX: none. */
uint32_t farm_set_take(struct farm *f, uint32_t spare);
void farm_set_give(struct farm *f, uint32_t index);
/* The names of a service, in the kernel's table. */
int farm_hosts_put(struct farm *f, const struct farm_service *s) PM_MUST_CHECK;

/* farm_nodes.c */
uint32_t farm_node_at(struct farm *f, const struct addr *addr, int via); /* RELAY_NODES_MAX: no place */
void farm_nodes_reach(struct farm *f);

/* farm_rtt.c */
void farm_rtt_event(struct farm *f, const struct relay_event *e);

/* farm_rings.c */
void farm_ring_set(struct farm *f, const struct farm_service *s, struct farm_set *set);
/* The policy's decision for the set; out has DECISION_BYTES. */
void farm_decide(const struct farm *f, const struct farm_service *s, const struct farm_set *set, struct snap_decision *out,
                 void (*begin)(void *ctx, const struct stage *st, const void *params), policy_trace_fn *trace, void *ctx);

/* farm_view.c: for what is shown */
extern const char *const farm_kinds[], *const farm_relaying[];
/* As the service calls it (NULL: as the first one does). */
const char *farm_node_name(const struct farm *f, const struct farm_service *s, uint32_t node);
const char *farm_mode_name(const struct farm_node *n);
const char *farm_resource_text(const struct farm_resource *r, char out[FARM_RESOURCE_TEXT + 1]); /* "*.php" */
/* Whether packets to that endpoint are the service's. */
bool farm_is_at(const struct farm_service *s, const struct endpoint *at);
const struct farm_set *farm_set_at(const struct farm_service *s, uint32_t index); /* NULL: none of its */
uint32_t farm_set_of(const struct farm_service *s, const struct farm_resource *r); /* its number */
json_t *farm_holders(const struct farm_service *s, uint64_t holders);
/* Each server's part of the ring in force. */
void farm_shares(const struct farm *f, const struct farm_service *s, uint32_t set, double share[FARM_SERVERS_MAX]);
json_t *farm_shares_view(const struct farm *f, const struct farm_service *s, uint32_t set);

#endif
