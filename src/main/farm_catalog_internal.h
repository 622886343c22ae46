/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by farm_catalog.c (life, what is heard), farm_catalog_table.c (where it goes), farm_catalog_plan.c (copies),
 * farm_catalog_view.c and farm_catalog_show.c (what is shown).
 */
#ifndef PM_MAIN_FARM_CATALOG_INTERNAL_H
#define PM_MAIN_FARM_CATALOG_INTERNAL_H

#include "base/map.h"
#include "catalog/directory.h"
#include "catalog/orders.h"
#include "catalog/plan.h"
#include "catalog/table.h"
#include "catalog/usage.h"
#include "main/farm_catalog.h"
#include "main/front_internal.h"

enum {
    CATALOG_CHANGES = 2000, /* of the directory, taken into tables in one turn: about 5 ms */
    CATALOG_SWEEP = 2000,
    CATALOG_READS = 500,
    CATALOG_PLANNED = 10000, /* entries the planner looks at in one turn: 3 ms */
    CATALOG_NOTES = 2000,
    CATALOG_RINGS = 300,
    CATALOG_TURN_MS = 100,
    CATALOG_WAKE_MS = 2,
    CATALOG_SETTLE_MS = 60000,   /* agents that have not reported in so long are not waited for */
    CATALOG_HANDOVER_MS = 15000, /* a balancer that leads from now on does not act before */
    CATALOG_METER = 1 << 21,
    CATALOG_DENIALS = 200, /* learned in a second */
};

/* A front end whose connections are transferred, as the kernel's tables have it. Outlives configurations. */
struct catalog_front {
    char *name;
    uint32_t host;
    struct farm_service *s; /* of the plan in force; NULL: not any more */
    struct farm_set *sets;  /* index RELAY_SETS_MAX: the place is free */
    uint32_t set_count;
    uint32_t *of; /* by the directory's set: place + 1 */
    uint32_t of_count;
    char **moved; /* prefixes in the table that the front end answers for */
    uint32_t moved_count;
    uint64_t stamp; /* of all that its entries depend on */
};

/* A service by name; its servers as bits are front_server.slot. */
struct catalog_service {
    char *name;
    uint64_t scope;
    const struct cfg_service *config;   /* NULL: not relayed any more */
    const struct farm_service *servers; /* one of its front ends, for its servers */
    struct catalog_front **fronts;
    uint32_t front_count;
    uint32_t left; /* entries that do not fit into the kernel's table */
    bool was_left; /* when defaults were made last */
    uint64_t stamp;
    bool sure; /* all agents have reported, and the front end has been told so */
};

struct catalog_node {
    bool known, heard; /* has been in a plan; its agent has reported all its files once */
    struct addr addr;
    bool connected;
    enum plan_node_state state;
    uint64_t since;
};

/* One `holds`, as it is in the directory. */
struct catalog_hold {
    struct catalog_service *service;
    enum directory_kind kind;
    char *text;
    uint16_t node;
    bool stays;
};

struct farm_catalog {
    struct farm *f;
    struct farm_catalog_agents agents;
    struct farm_agent_events events;
    uv_timer_t *timer; /* freed when libuv has closed it */
    struct directory *d;
    struct usage *usage;
    uint32_t usage_counters;
    struct catalog_table *table;
    struct map by_name; /* services, by name and alias: of the plan in force */
    struct catalog_service **services;
    uint32_t service_count;
    struct {
        char *name;
        uint32_t id;
    } * hosts;
    uint32_t host_count;
    struct catalog_hold *holds;
    uint32_t hold_count;
    struct catalog_node nodes[FARM_SELF];
    struct {
        char *host, *path;
    } * folders; /* whose index may have come or gone */
    uint32_t folder_count, folder_cap;
    uint64_t started_ms;
    uint32_t changes_left;              /* in this turn */
    bool again;                         /* a sweep is wanted */
    char index[DIRECTORY_TEXT_MAX + 1]; /* what a folder counts for */
    uint32_t ring_front, ring_at;
    bool rings_due, rings_again;
    /* plan */
    struct planner *planner;
    struct orders *orders;
    bool awake;           /* a turn is due */
    bool planning, asked; /* asked: orders are given though `apply` is manual */
    uint64_t plan_due, plan_number, plan_ms, shown_ms, lead_since;
    char *leader; /* NULL: this one */
    struct plan_node *plan_nodes;
    struct plan shown; /* texts are in shown_arena */
    struct arena *shown_arena;
    uint64_t plans, given, withheld;
    /* counted */
    uint64_t files, denied, denials_over, noted, strange_hosts, bad_paths;
    uint32_t denials; /* in this second */
};

/* farm_catalog.c */
struct catalog_service *catalog_service_of(const struct farm_catalog *c,
                                           const char *host); /* NULL: none is called that */
struct directory_key catalog_key(const char *host, enum directory_kind kind, const char *text, size_t len);
uint64_t catalog_now(const struct farm_catalog *c);
/* What a request for it counts for: of a folder its index file, if one has a holder. Valid until the next call. */
struct directory_key catalog_counts_for(struct farm_catalog *c, const struct directory_key *key);

/* farm_catalog_table.c */
extern const struct catalog_table_calls catalog_calls; /* ctx is to be set */
extern const struct directory_watch catalog_watch;
/* Services as the plan has them: fronts, what has moved, stamps; sets c->again if entries must be put anew. */
void catalog_services_make(struct farm_catalog *c);
void catalog_services_tidy(struct farm_catalog *c); /* those that are no more, after a sweep */
void catalog_services_free(struct farm_catalog *c);
/* Front ends' defaults follow from what is left out and who has reported. */
void catalog_defaults(struct farm_catalog *c);
/* Some more rings; true: there are more. */
bool catalog_rings(struct farm_catalog *c, uint32_t budget);
/* Whether a front end's kernel table can have the path: what its reader takes. */
bool catalog_plain(const char *text, size_t len);

/* farm_catalog_plan.c */
void catalog_plan_init(struct farm_catalog *c);
void catalog_plan_fini(struct farm_catalog *c);
void catalog_plan_policy(struct farm_catalog *c);
bool catalog_plan_turn(struct farm_catalog *c); /* true: there is more */
void catalog_plan_second(struct farm_catalog *c);
/* Why no orders are given now, in words; NULL: they are. */
const char *catalog_idle_why(const struct farm_catalog *c);
/* Gives the shown plan's actions; how many were taken. */
size_t catalog_plan_give(struct farm_catalog *c);

#endif
