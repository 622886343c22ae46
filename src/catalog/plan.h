/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which copies a farm should make and remove, so that every resource is on enough nodes: at least copies_min, more of
 * what is hot, and again what a lost node had. It looks at the directory (what the nodes' agents reported, SCANNED,
 * with size and hash), at the nodes and at the statistics, and answers with a list; others carry it out, and the
 * agents' next reports show what became of it. It decides, it does nothing.
 *
 * Resources are the directory's EXACT entries with a SCANNED holder. What counts:
 *   copy         known content on a node that is up. One on a node that has been down for less than down_for_ms, or
 *                draining for less than drain_for_ms, counts as one that will be back: nothing is copied for it
 *   under-copied fewer of both, with the copies under way, than copies_min: copied from any node that is there, also
 *                from a draining one
 *   one domain   with `spread`, and copies_min of 2 or more: all in one domain, though another has room: one more there
 *   hot          at_least / per_copy (rounded up) is more than there are: as many more, up to copies_max. per_copy is
 *                what one copy should carry, requests in a second; 0: heat changes nothing
 *   surplus      more than copies_max
 *   cold         with one copy less, each would have half of per_copy or less, even if the truth is at_most
 *                If surplus or cold lasts for cold_after_ms, one copy goes, and then the next
 *   divergent    nodes that are there report different content. Never touched: reported, for somebody who knows which
 *                is right. What a node reported that is down since does not count in this
 *
 * What always holds. A copy goes only to a node that is up, is `allowed`, `may` take it, has weight and as many bytes
 * free (counted down by copies under way and by those of the plan), and has nothing under this key, known or not. A
 * copy is removed only from a node that is up and `allowed`, that holds it as SCANNED only (what is CONFIGURED stays:
 * requests would still go there), and only if copies_min others are up, have the same hash, were not learned to lack
 * it, and none of this resource is being made; one at a time; with `spread`, not the last one outside a domain. Doubt
 * does nothing: without statistics nothing is hot and nothing is cold.
 *
 * It comes to rest: what is copied for heat is not cold (a factor of two lies between), what is removed is neither
 * hot nor under-copied nor in one domain then. When a plan has been carried out and reported, and nothing else has
 * changed, the next is empty, as soon as max_actions and cold_after_ms have let everything through.
 *
 * Order, which is the same for the same input: under-copied (fewest copies first, then hottest), one domain, hot
 * (most requests per copy first), then removals (most copies first, then coldest). Copies go to other domains first,
 * then in proportion to free bytes and weight, for heat to the node with the least heat for its weight. They come
 * from the nodes that read least in this plan. Removals relieve the domain with most copies, then the fullest node.
 *
 * A copy under way is invisible in the directory, so whoever carries plans out passes what it has not finished
 * (pending); what it gives up it leaves out. It must compare the hash before it removes, and after it copied: reports
 * are older than the plan.
 *
 * Cost: one pass over the directory. 1,000,000 resources with two or three copies on 100 nodes took 0.3 s of a CPU,
 * 0.1 s without statistics, also when half of them wanted something; the end of a plan of 1,000 actions 1 ms. So it
 * comes in steps (10,000 entries: 3 ms), between which directory and usage may change: what an action says is looked
 * up again at the end.
 * Memory: 8 bytes for each entry between plans (since when it is too many); during a plan, what max_actions and
 * max_reports need. Texts of a plan are its own, valid until the next plan_begin has returned. Thread: one at a time.
 * Pure: no I/O, no clock, no globals. Failure: PM_E* for a wrong list of nodes or a policy that is none.
 */
#ifndef PM_CATALOG_PLAN_H
#define PM_CATALOG_PLAN_H

#include "catalog/directory.h"
#include "catalog/usage.h"

enum { PLAN_ACTIONS_MAX = 65536, PLAN_NOBODY = 0xffff };

/* symbol, name for programs, text for people */
#define PLAN_REASONS(X)                                                                                                \
    X(UNDER_COPIED, "under-copied", "too few copies")                                                                  \
    X(ONE_DOMAIN, "one-domain", "all copies are in one domain")                                                        \
    X(HOT, "hot", "more requests than its copies should carry")                                                        \
    X(SURPLUS, "surplus", "more copies than allowed")                                                                  \
    X(COLD, "cold", "fewer copies would do")                                                                           \
    X(DIVERGENT, "divergent", "the copies differ")                                                                     \
    X(NO_SOURCE, "no-source", "no node that is there has it, as far as is known")                                      \
    X(NO_NODE, "no-node", "no other node may take it")                                                                 \
    X(NO_ROOM, "no-room", "no node that may take it has room")

enum plan_reason {
#define X(sym, name, text) PLAN_##sym,
    PLAN_REASONS(X)
#undef X
    PLAN_REASON_COUNT
};
const char *plan_reason_name(enum plan_reason reason);
const char *plan_reason_text(enum plan_reason reason);

enum plan_node_state { PLAN_UP, PLAN_DOWN, PLAN_DRAINING };

/* A holder that is not in the list counts as long lost. */
struct plan_node {
    uint16_t id;
    enum plan_node_state state;
    uint64_t since;     /* ms, since when it is in this state */
    uint64_t free;      /* bytes that may be filled */
    uint32_t weight;    /* how much of all it should take; 0: nothing new */
    bool allowed;       /* content may be written there, and removed */
    const char *domain; /* what fails together, as a rack; NULL or "": it stands alone */
};

struct plan_policy {
    uint32_t copies_min; /* 1 or more; 2 is what survives a loss */
    uint32_t copies_max; /* 0: no bound; never less than copies_min */
    double per_copy;
    uint64_t cold_after_ms; /* UINT64_MAX: nothing is ever removed */
    uint64_t down_for_ms, drain_for_ms;
    bool spread;
    uint32_t max_actions; /* of one plan; at most PLAN_ACTIONS_MAX */
    uint32_t max_reports; /* of each of the two lists */
};

enum plan_kind { PLAN_COPY, PLAN_REMOVE };

struct plan_action {
    enum plan_kind kind;
    enum plan_reason reason;
    const char *host, *path; /* path ends in a NUL that does not count */
    size_t len;
    uint64_t size, hash;
    uint16_t from, to; /* PLAN_REMOVE: to is PLAN_NOBODY */
    uint32_t copies;   /* that are up now */
    double rate;       /* requests in a second, at least */
};

struct plan_report {
    enum plan_reason reason;
    const char *host, *path;
    size_t len;
    uint32_t copies;
};

struct plan_figures {
    uint32_t resources;
    uint64_t copies;       /* on nodes that are up */
    uint32_t under_copied; /* those that are divergent are not in here */
    uint32_t waiting;      /* fewer than copies_min now, but enough under way or to be back */
    uint32_t cannot;       /* under-copied, and not enough nodes to take them, or no source */
    uint32_t lost;         /* of these: no source */
    uint32_t one_domain, hot, surplus, divergent;
    uint64_t deferred; /* actions that are left for the next plan */
};

struct plan {
    const struct plan_action *actions;
    size_t action_count;
    const struct plan_report *conflicts; /* DIVERGENT; by the order of entries */
    size_t conflict_count;
    const struct plan_report *cannots; /* NO_*; fewest copies first, then hottest */
    size_t cannot_count;
    struct plan_figures figures; /* of all, also where the lists end */
};

struct plan_input {
    const struct plan_node *nodes;
    size_t node_count;
    const struct plan_action *pending; /* under way; kind, host, path, len, size, from and to are read */
    size_t pending_count;              /* its texts may be of the last plan */
    struct plan_policy policy;
    uint64_t now; /* ms */
    /* Whether a copy of this may go to that node, which is up and allowed; until the end. NULL: it may. */
    bool (*may)(void *ctx, const struct directory_key *key, uint16_t node);
    void *may_ctx;
};

struct planner; /* remembers since when what is too many */
struct planner *planner_new(uint64_t seed);
void planner_free(struct planner *p); /* NULL is allowed */

/*
 * begin, step until it returns false, end. directory and usage (NULL: no statistics) must live until the end; the
 * input is copied. A begin drops a plan that is not at its end. PM_ERANGE: a node's id; PM_EEXISTS: twice; PM_EINVAL:
 * the policy.
 */
int plan_begin(struct planner *p, const struct directory *d, const struct usage *u,
               const struct plan_input *in) PM_MUST_CHECK;
/* Looks at so many entries more; false: it has seen all. */
bool plan_step(struct planner *p, uint32_t entries);
const struct plan *plan_end(struct planner *p);

#endif
