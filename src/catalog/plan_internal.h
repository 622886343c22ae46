/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the planner. A pass looks at each resource (plan_look.c): its copies, and from them its wishes. Wishes that
 * can be met are candidates; the most urgent max_actions are kept in a heap. At the end, in order, each is looked at
 * again, with what the plan has decided so far as if it were under way, and the nodes are chosen (plan_choose.c).
 */
#ifndef PM_CATALOG_PLAN_INTERNAL_H
#define PM_CATALOG_PLAN_INTERNAL_H

#include "base/arena.h"
#include "catalog/plan.h"

/* What the planner knows of a node during a plan; by id. */
struct farm_node {
    bool up, present; /* present: up or draining, so it can be copied from */
    bool back;        /* not up, but not for long: its copies are counted on */
    bool target, allowed;
    uint32_t weight, domain;
    uint32_t out, in;      /* copies from it and to it in this plan */
    uint64_t free, relief; /* bytes; relief: what this plan removes */
    uint64_t mark;         /* the stamp of the last look that saw it */
    double heat;           /* requests in a second that it has, as far as known */
};

/* A holder of the resource that is looked at. */
struct copy {
    uint16_t node;
    bool known, fixed, doubted,
        leaving;         /* fixed: CONFIGURED too; doubted: learned not to have it; leaving: being removed */
    bool usable, counts; /* counts: usable, or will be back */
    struct directory_content content;
};

struct sight {
    struct directory_content content;
    bool any, divergent;                       /* any: somebody present has it */
    uint32_t copies, usable, verified, counts; /* in planner.copies; verified: usable and not doubted */
    uint32_t coming;                           /* in planner.coming, and in counts */
    bool making, leaving;                      /* a copy is under way, though it may not count; a removal is */
    uint32_t waiting;                          /* in counts, and not usable */
    uint32_t domain;                           /* of those that count, the first one's */
    bool one_domain;
    struct usage_rate rate;
};

/* What should be done for it, as far as policy goes. */
struct wish {
    uint32_t under, hot; /* copies that are missing */
    bool one_domain;
    bool surplus; /* one copy may go, if it lasts and no other one is leaving; for this reason: */
    enum plan_reason surplus_reason;
};

enum { CLASS_UNDER, CLASS_DOMAIN, CLASS_HOT, CLASS_REMOVE };

/* Urgent ones first: by class, level, then heat (greater first), then entry. */
struct pick {
    double heat;
    uint32_t entry;
    uint16_t level;
    uint8_t class;
};

/* The most urgent `max` of many: a heap with the least urgent at [0]. */
struct picks {
    struct pick *at;
    uint32_t count, cap, max;
    uint64_t refused;
};

/* A copy or removal that is under way or in this plan, in chains by entry. */
struct move {
    uint32_t entry, next;
    uint16_t node;
    bool removal;
};

struct since {
    uint32_t check, second; /* check: of the key, because entries' ids are used again; second: 0 none, else one more */
};

struct domain {
    uint64_t mark;
    uint32_t copies;
};

struct planner {
    uint64_t seed, now;
    const struct directory *directory;
    const struct usage *usage;
    struct plan_policy policy;
    bool (*may)(void *ctx, const struct directory_key *key, uint16_t node);
    void *may_ctx;
    struct directory_key key; /* of what was looked at last */
    uint32_t at;
    uint64_t stamp, domain_stamp; /* a new one for each look; for each count of domains */
    struct farm_node *nodes;      /* [CATALOG_NODES_MAX] */
    uint16_t *targets, *best;     /* nodes by free bytes, most first; best: the first of each domain */
    uint32_t target_count, best_count;
    struct domain *domains; /* [CATALOG_NODES_MAX] */
    struct copy *copies;    /* [CATALOG_NODES_MAX], of the last look */
    uint16_t *coming;       /* [CATALOG_NODES_MAX], nodes that it is copied to */
    struct move *moves;
    uint32_t move_count, move_cap, *heads, heads_mask;
    struct since *since; /* by entry */
    uint32_t since_count;
    struct picks actions, conflicts, cannots;
    struct arena *arena; /* of the plan */
    struct plan plan;
};

/* plan_look.c; false: it is no resource. Sets the marks of the nodes that have something under this key. */
bool look(struct planner *p, uint32_t id, const struct directory_entry *e, struct sight *s);
struct wish wish_of(const struct planner *p, const struct sight *s);
double per_copy_of(const struct sight *s, uint32_t copies);

/* plan_choose.c; all about what was looked at last */
/* How many of `need` copies of this size could be made. */
uint32_t places(const struct planner *p, uint64_t size, uint32_t need);
bool place_elsewhere(const struct planner *p, const struct sight *s);
/* PLAN_NOBODY if there is none. */
uint16_t choose_target(struct planner *p, const struct sight *s, unsigned class);
uint16_t choose_source(const struct planner *p, const struct sight *s);
uint16_t choose_removal(struct planner *p, const struct sight *s);

/* plan_picks.c */
void picks_start(struct picks *k, uint32_t max);
void picks_add(struct picks *k, struct pick pick);
void picks_sort(struct picks *k); /* most urgent first; no add after this */

#endif
