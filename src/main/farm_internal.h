/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by farm.c (life), farm_plan.c (what is relayed), farm_put.c (in the kernel's tables), farm_attach.c (where, and from
 * when on), farm_peers.c (what other balancers of the site are told), farm_nodes.c (how nodes are reached), farm_rings.c (who
 * is chosen), and what shows it: farm_view.c, farm_sessions.c, farm_explain.c. Names, and what is filed under them:
 * farm_names.c.
 */
#ifndef PM_MAIN_FARM_INTERNAL_H
#define PM_MAIN_FARM_INTERNAL_H

#include <math.h>
#include <string.h>
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
    FARM_VIA_ANY = -1, /* of a node that a process before us knew: for whoever configures the address first */
};
#define FARM_FRONT_NAME "(front end)" /* as a node */

/* A machine behind the relay; its number stays as long as it is configured. */
struct farm_node {
    struct addr addr; /* family 0: the place is free */
    int via;          /* enum cfg_via, or FARM_VIA_ANY */
    bool wanted, reached, down;
    bool handed; /* connections are handed over to it: it needs our program */
    bool silent; /* ... which does not answer */
    unsigned unanswered;
    uint32_t answers;  /* as the packet program had counted them */
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
    uint32_t of;      /* of HTTP resources: the content directory's set */
    bool everything;  /* no resource is asked for */
    bool only;        /* others cannot serve it, whatever the policy leaves: by name and protocol, not by content */
    uint64_t stamp;   /* of the ring in force */
    uint8_t fallen_back;
    bool refused; /* by the table, and the log says so */
};

/* TLS: names and protocols, the plan's. HTTP: one of the content directory's entries, as it is shown (main/farm_catalog.h). */
struct farm_resource {
    uint32_t host;
    enum relay_resource_kind kind;
    const char *text;
    const char *name; /* TLS: the host it is filed under, which is all of it if text is empty; else NULL */
    uint64_t holders;
    uint32_t set; /* HTTP: farm_set.of */
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
    const char **names;     /* the service's and its aliases */
    uint32_t name_count;
    uint32_t host_id;       /* first of those its resources are filed under */
    uint32_t host_count;    /* TLS: one for each name */
    struct farm_set all, any; /* every server; for what nobody names */
    struct farm_set h2c;      /* those that speak HTTP/2 in clear text */
    struct farm_set *sets;    /* for resources; but of TLS the catalog's, where index RELAY_SETS_MAX is none */
    uint32_t set_count;
    struct farm_resource *resources; /* TLS */
    uint32_t resource_count;
    const char **moved; /* prefixes that rewrites are about */
    uint32_t moved_count;
    bool all_front;      /* anything may have moved */
    bool default_front;  /* what no resource is about is the front end's for now */
    bool published;      /* its names are in the kernel's table */
    bool packets_of_all; /* every packet of the address */
    int left_out;        /* why it is not in the tables, or not all of it; PM_OK: it is */
    bool tls;            /* the first bytes are a greeting, and decide for the whole connection */
};

/* Where connections are transferred: services share it by their names. */
struct farm_door {
    struct endpoint at;
    uint32_t farm;       /* what its names are filed under */
    bool front;          /* it leads to the front end only */
    struct farm_set all; /* every server of its services: who is asked for unknown connections */
    struct farm_service *first, *first_h2c; /* who gets what has no known name; NULL: nobody */
};

/* What was written into the kernel's tables for one configuration. */
struct farm_plan {
    struct arena *arena;
    struct farm_service *services;
    uint32_t service_count;
    struct farm_door *doors;
    uint32_t door_count;
};

struct farm_interface {
    char name[16];
    unsigned index; /* 0: the programs are not there, and why */
    bool native, taken; /* taken: ours was replaced by another's */
    uint64_t replaced_ms; /* since when ours is not there but another; 0: it is */
    char why[160];
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
    uint32_t next_host, next_farm;
    uint32_t own_host, own_farm; /* the first of this process; 0: those of processes before are forgotten */
    struct farm_interface interface[FARM_INTERFACES_MAX];
    unsigned interface_count;
    uint32_t probes;          /* number of the last question to nodes */
    uv_loop_t *loop;          /* from farm_start on */
    struct farm_peers *peers; /* NULL: none are configured */
    bool attached; /* it was time to */
    uint64_t attach_by_ms;
    struct rtt_samples *samples;
    uint64_t settled_ms; /* when they last became beliefs */
};

/* farm.c */
bool farm_relays(const struct config *c, const struct cfg_service *s, const struct cfg_front *front);

/* farm_sets.c */
/* A place for a set, as long as more than `spare` are free; RELAY_SETS_MAX: none. */
uint32_t farm_set_take(struct farm *f, uint32_t spare);
void farm_set_give(struct farm *f, uint32_t index);

/* farm_plan.c */
void farm_plan_make(struct farm *f, const struct config *c, struct farm_plan *p);
/* The service's set of these servers, made when it is new. */
struct farm_set *farm_set_for(struct farm *f, struct farm_service *s, uint64_t holders);

/* farm_names.c */
void farm_plan_names(struct farm *f, struct farm_plan *p, struct farm_service *s);
/* TLS: a service's resources are its names and protocols. */
void farm_plan_hello(struct farm *f, struct farm_plan *p, struct farm_service *s);
void farm_plan_doors(struct farm *f, struct farm_plan *p);
const struct farm_door *farm_door_at(const struct farm_plan *p, const struct endpoint *at); /* NULL: no transfers there */
int farm_put_names(struct farm *f, const struct farm_service *s) PM_MUST_CHECK;
void farm_doors_to_front(struct farm *f, const struct farm_service *s); /* what the service is behind */
void farm_remove_names(struct farm *f, struct farm_plan *old);
/* Numbers that no process before has used; and away with theirs. */
void farm_names_begin(struct farm *f);
void farm_names_settled(struct farm *f);
/* farm.c: the kernel cannot after all; f->why says it. */
void farm_off(struct farm *f);

/* farm_attach.c */
void farm_interfaces(struct farm *f, const struct config *c); /* these it is to be at */
bool farm_interfaces_any(const struct farm *f);               /* it is at one of them */
bool farm_interfaces_heard(const struct farm *f);             /* and no other process gets what comes there */
void farm_nodes_adopt(struct farm *f); /* a process before us had these: connections in the table bear their numbers */
void farm_attach(struct farm *f);      /* if it is time; then looks after it, once a second */

/* farm_put.c: f->plan into the tables, the old one out of them, and freed */
void farm_put_plan(struct farm *f, struct farm_plan *old);
unsigned farm_left_out(const struct farm *f); /* services that did not fit */

/* farm_peers.c */
struct farm_peers;
void farm_peers_publish(struct farm *f); /* by the configuration in force */
void farm_peers_free(struct farm_peers *p);
void farm_peers_event(struct farm *f, const struct relay_flow_key *k, const struct relay_flow *v);
void farm_peers_tick(struct farm *f); /* what has gathered goes out */
void farm_peers_second(struct farm *f);
json_t *farm_peers_view(const struct farm *f);
void farm_peers_metrics(const struct farm *f, api_metric_fn *fn, void *fn_ctx);

/* farm_nodes.c */
uint32_t farm_node_at(struct farm *f, const struct addr *addr, int via); /* RELAY_NODES_MAX: no place */
void farm_nodes_reach(struct farm *f);
void farm_nodes_ask(struct farm *f); /* once a second: whether their programs live */
unsigned farm_nodes_silent(const struct farm *f);

/* farm_rtt.c */
void farm_rtt_event(struct farm *f, const struct relay_event *e);

/* farm_rings.c */
void farm_ring_door(struct farm *f, struct farm_door *d);
void farm_ring_set(struct farm *f, const struct farm_service *s, struct farm_set *set);
/* The policy's decision for the set; out has DECISION_BYTES. */
void farm_decide(const struct farm *f, const struct farm_service *s, const struct farm_set *set, struct snap_decision *out,
                 void (*begin)(void *ctx, const struct stage *st, const void *params), policy_trace_fn *trace, void *ctx);

/* farm_view.c: for what is shown */
extern const char *const farm_kinds[], *const farm_relaying[];
/* As the service calls it (NULL: as the first one does). */
const char *farm_node_name(const struct farm *f, const struct farm_service *s, uint32_t node);
const char *farm_mode_name(const struct farm_node *n);
/* "*.php"; of TLS "www.example.com" or "www.example.com h2" */
const char *farm_resource_text(const struct farm_resource *r, char out[FARM_RESOURCE_TEXT]);
const char *farm_resource_kind(const struct farm_resource *r);
/* Whether packets to that endpoint are the service's. */
bool farm_is_at(const struct farm_service *s, const struct endpoint *at);
const struct farm_set *farm_set_at(const struct farm_service *s, uint32_t index); /* NULL: none of its */
uint32_t farm_set_of(const struct farm_service *s, const struct farm_resource *r); /* its number */
typedef bool farm_resource_fn(void *ctx, const struct farm_resource *r); /* false: no more. Texts are valid during the call */
void farm_resources_each(const struct farm *f, const struct farm_service *s, farm_resource_fn *fn, void *ctx);
uint32_t farm_resource_count(const struct farm *f, const struct farm_service *s);
json_t *farm_holders(const struct farm_service *s, uint64_t holders);
/* Each server's part of the ring in force. */
void farm_shares(const struct farm *f, const struct farm_service *s, uint32_t set, double share[FARM_SERVERS_MAX]);
json_t *farm_shares_view(const struct farm *f, const struct farm_service *s, uint32_t set);

#endif
