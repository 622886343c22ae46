/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/plan_internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/map.h"

static const struct {
    const char *name, *text;
} reasons[] = {
#define X(sym, name, text) {name, text},
    PLAN_REASONS(X)
#undef X
};

const char *plan_reason_name(enum plan_reason reason)
{
    return (unsigned)reason < PLAN_REASON_COUNT ? reasons[reason].name : "unknown";
}

const char *plan_reason_text(enum plan_reason reason)
{
    return (unsigned)reason < PLAN_REASON_COUNT ? reasons[reason].text : "unknown";
}

struct planner *planner_new(uint64_t seed)
{
    struct planner *p = mem_alloc(sizeof *p);
    p->seed = seed;
    p->nodes = mem_alloc(CATALOG_NODES_MAX * sizeof *p->nodes);
    p->targets = mem_alloc(CATALOG_NODES_MAX * sizeof *p->targets);
    p->best = mem_alloc(CATALOG_NODES_MAX * sizeof *p->best);
    p->domains = mem_alloc((CATALOG_NODES_MAX + 1) * sizeof *p->domains);
    p->copies = mem_alloc(CATALOG_NODES_MAX * sizeof *p->copies);
    p->coming = mem_alloc(CATALOG_NODES_MAX * sizeof *p->coming);
    return p;
}

void planner_free(struct planner *p)
{
    if (!p)
        return;
    free(p->nodes);
    free(p->targets);
    free(p->best);
    free(p->domains);
    free(p->copies);
    free(p->coming);
    free(p->moves);
    free(p->heads);
    free(p->since);
    free(p->actions.at);
    free(p->conflicts.at);
    free(p->cannots.at);
    arena_free(p->arena);
    free(p);
}

/* ---- begin ---- */

static int check_input(const struct planner *p, const struct plan_input *in)
{
    uint64_t seen[CATALOG_NODES_MAX / 64] = {0};
    for (size_t i = 0; i < in->node_count; i++) {
        uint16_t id = in->nodes[i].id;
        if (id >= CATALOG_NODES_MAX)
            return PM_ERANGE;
        if (seen[id / 64] >> (id % 64) & 1)
            return PM_EEXISTS;
        seen[id / 64] |= 1ull << (id % 64);
    }
    if (!in->policy.copies_min || in->policy.copies_min > CATALOG_NODES_MAX || !(in->policy.per_copy >= 0))
        return PM_EINVAL;
    return 0;
}

/* Domains get numbers; 0 is that of nodes that are not known. Nodes without one get a number of their own. */
static void nodes_start(struct planner *p, const struct plan_input *in)
{
    struct map names = MAP_INIT;
    uint32_t domains = 0;
    memset(p->nodes, 0, CATALOG_NODES_MAX * sizeof *p->nodes);
    for (size_t i = 0; i < in->node_count; i++) {
        const struct plan_node *from = &in->nodes[i];
        struct farm_node *n = &p->nodes[from->id];
        bool named = from->domain && from->domain[0];
        uint64_t patience = from->state == PLAN_DOWN ? p->policy.down_for_ms : p->policy.drain_for_ms;
        n->up = from->state == PLAN_UP;
        n->present = from->state != PLAN_DOWN;
        n->back = !n->up && (p->now < from->since || p->now - from->since < patience);
        n->allowed = from->allowed;
        n->target = n->up && from->allowed && from->weight;
        n->weight = from->weight;
        n->free = from->free;
        n->domain = named ? (uint32_t)(uintptr_t)map_get_str(&names, from->domain) : 0;
        if (!n->domain)
            n->domain = ++domains;
        if (named)
            map_put_str(&names, from->domain, (void *)(uintptr_t)n->domain); /* the number itself: no memory to keep */
    }
    map_fini(&names);
}

static void moves_add(struct planner *p, uint32_t entry, uint16_t node, bool removal)
{
    if (p->move_count == p->move_cap) {
        p->move_cap = p->move_cap ? p->move_cap * 2 : 64;
        p->moves = mem_realloc(p->moves, p->move_cap * sizeof *p->moves);
    }
    uint32_t *head = &p->heads[entry & p->heads_mask];
    p->moves[p->move_count++] = (struct move){.entry = entry, .next = *head, .node = node, .removal = removal};
    *head = p->move_count;
}

/* Copies under way take their room; their nodes and those of removals are known to later looks. */
static void moves_start(struct planner *p, const struct plan_input *in)
{
    size_t most = in->pending_count + p->policy.max_actions, size = 64;
    while (size < most && size < 1u << 20)
        size *= 2;
    free(p->heads);
    p->heads = mem_alloc(size * sizeof *p->heads);
    p->heads_mask = (uint32_t)size - 1;
    p->move_count = 0;
    for (size_t i = 0; i < in->pending_count; i++) {
        const struct plan_action *a = &in->pending[i];
        uint16_t node = a->kind == PLAN_COPY ? a->to : a->from;
        struct directory_key key = {a->host, DIRECTORY_EXACT, a->path, a->len};
        uint32_t entry = directory_find(p->directory, &key);
        if (node >= CATALOG_NODES_MAX)
            continue;
        if (a->kind == PLAN_COPY)
            p->nodes[node].free -= a->size < p->nodes[node].free ? a->size : p->nodes[node].free;
        if (entry != DIRECTORY_NONE)
            moves_add(p, entry, node, a->kind == PLAN_REMOVE);
    }
}

/* Equal ones by number, as the array was. */
static int by_free(const void *a, const void *b, void *ctx)
{
    const struct farm_node *nodes = ctx;
    uint16_t x = *(const uint16_t *)a, y = *(const uint16_t *)b;
    if (nodes[x].free != nodes[y].free)
        return nodes[x].free > nodes[y].free ? -1 : 1;
    return x < y ? -1 : 1;
}

static void targets_start(struct planner *p)
{
    p->target_count = p->best_count = 0;
    for (uint16_t id = 0; id < CATALOG_NODES_MAX; id++)
        if (p->nodes[id].target)
            p->targets[p->target_count++] = id;
    qsort_r(p->targets, p->target_count, sizeof *p->targets, by_free, p->nodes);
    p->domain_stamp++;
    for (uint32_t i = 0; i < p->target_count; i++) {
        struct domain *in = &p->domains[p->nodes[p->targets[i]].domain];
        if (in->mark != p->domain_stamp)
            p->best[p->best_count++] = p->targets[i];
        in->mark = p->domain_stamp;
        in->copies = 0;
    }
}

int plan_begin(struct planner *p, const struct directory *d, const struct usage *u, const struct plan_input *in)
{
    int err = check_input(p, in);
    if (err)
        return err;
    p->directory = d;
    p->usage = u;
    p->policy = in->policy;
    p->may = in->may;
    p->may_ctx = in->may_ctx;
    p->now = in->now;
    p->at = 0;
    if (p->policy.copies_max && p->policy.copies_max < p->policy.copies_min)
        p->policy.copies_max = p->policy.copies_min;
    if (p->policy.max_actions > PLAN_ACTIONS_MAX)
        p->policy.max_actions = PLAN_ACTIONS_MAX;
    struct arena *last = p->arena;
    p->arena = arena_new();
    p->plan = (struct plan){.action_count = 0};
    picks_start(&p->actions, p->policy.max_actions);
    picks_start(&p->conflicts, p->policy.max_reports);
    picks_start(&p->cannots, p->policy.max_reports);
    nodes_start(p, in);
    moves_start(p, in);
    targets_start(p);
    arena_free(last); /* what is pending may have been of that plan */
    return 0;
}

/* ---- the pass ---- */

/* For how long it has been too much, without a break; 0 the first time. Forgets it when it is not. */
static bool surplus_lasts(struct planner *p, uint32_t id, const struct directory_entry *e, bool surplus)
{
    if (id >= p->since_count) {
        if (!surplus)
            return false;
        uint32_t count = id + 1 < 2 * p->since_count ? 2 * p->since_count : id + 1;
        p->since = mem_realloc(p->since, count * sizeof *p->since);
        memset(p->since + p->since_count, 0, (count - p->since_count) * sizeof *p->since);
        p->since_count = count;
    }
    struct since *s = &p->since[id];
    if (!surplus) {
        s->second = 0;
        return false;
    }
    uint32_t check =
        (uint32_t)hash_bytes(e->key.text, e->key.len, p->seed ^ hash_bytes(e->key.host, strlen(e->key.host), 0));
    if (!s->second || s->check != check)
        *s = (struct since){.check = check, .second = (uint32_t)(p->now / 1000) + 1};
    uint64_t from = (s->second) * 1000ull; /* rounded up: never too early */
    return !p->policy.cold_after_ms || (p->now > from && p->now - from >= p->policy.cold_after_ms);
}

static void want_copies(struct planner *p, uint32_t id, const struct sight *s, const struct wish *w)
{
    uint32_t need = w->under + w->hot, can = s->any ? places(p, s->content.size, need) : 0;
    for (uint32_t i = 0; i < can; i++) {
        uint32_t level = i < w->under ? s->usable + s->coming + i : 0;
        double heat = i < w->under ? s->rate.at_least : per_copy_of(s, s->counts + i);
        picks_add(&p->actions, (struct pick){heat, id, (uint16_t)level, i < w->under ? CLASS_UNDER : CLASS_HOT});
    }
    if (can >= w->under)
        return;
    enum plan_reason why = places(p, 0, w->under) == w->under ? PLAN_NO_ROOM : PLAN_NO_NODE;
    why = s->any ? why : PLAN_NO_SOURCE;
    picks_add(&p->cannots, (struct pick){s->rate.at_least, id, (uint16_t)s->usable, (uint8_t)why});
    p->plan.figures.cannot++;
    p->plan.figures.lost += !s->any;
}

static void consider(struct planner *p, uint32_t id, const struct directory_entry *e)
{
    struct plan_figures *f = &p->plan.figures;
    struct sight s;
    if (e->key.kind != DIRECTORY_EXACT || !look(p, id, e, &s))
        return;
    struct wish w = wish_of(p, &s);
    f->resources++;
    f->copies += s.usable;
    f->divergent += s.divergent;
    f->under_copied += w.under > 0;
    f->waiting += !s.divergent && !w.under && s.usable < p->policy.copies_min;
    f->hot += w.hot > 0;
    f->one_domain += w.one_domain;
    f->surplus += w.surplus;
    for (uint32_t i = 0; i < s.copies && s.rate.at_least > 0; i++)
        if (p->copies[i].usable)
            p->nodes[p->copies[i].node].heat += per_copy_of(&s, s.usable);
    if (s.divergent)
        picks_add(&p->conflicts, (struct pick){0, id, 0, 0});
    if (w.under || w.hot)
        want_copies(p, id, &s, &w);
    else if (w.one_domain && place_elsewhere(p, &s))
        picks_add(&p->actions, (struct pick){s.rate.at_least, id, 0, CLASS_DOMAIN});
    if (surplus_lasts(p, id, e, w.surplus) && !s.leaving && choose_removal(p, &s) != PLAN_NOBODY)
        picks_add(&p->actions, (struct pick){-s.rate.at_most, id, (uint16_t)(UINT16_MAX - s.usable), CLASS_REMOVE});
}

bool plan_step(struct planner *p, uint32_t entries)
{
    struct directory_entry e;
    uint32_t id;
    for (; entries; entries--) {
        if (!directory_next(p->directory, &p->at, &id, &e))
            return false;
        consider(p, id, &e);
    }
    return true;
}

/* ---- end ---- */

/* Copies a sorted-out wish into the plan, if it still is one and nodes are left for it. */
static bool act(struct planner *p, const struct pick *pick, struct plan_action *a)
{
    struct directory_entry e;
    struct sight s;
    if (!directory_get(p->directory, pick->entry, &e) || e.key.kind != DIRECTORY_EXACT || !look(p, pick->entry, &e, &s))
        return false;
    struct wish w = wish_of(p, &s);
    const bool still[] = {[CLASS_UNDER] = w.under > 0,
                          [CLASS_DOMAIN] = w.one_domain,
                          [CLASS_HOT] = w.hot > 0,
                          [CLASS_REMOVE] = w.surplus && !s.leaving};
    const enum plan_reason why[] = {PLAN_UNDER_COPIED, PLAN_ONE_DOMAIN, PLAN_HOT, w.surplus_reason};
    bool removal = pick->class == CLASS_REMOVE;
    if (!still[pick->class] || (!s.any && !removal))
        return false;
    uint16_t to = removal ? PLAN_NOBODY : choose_target(p, &s, pick->class);
    uint16_t from = removal ? choose_removal(p, &s) : choose_source(p, &s);
    if (from == PLAN_NOBODY || (to == PLAN_NOBODY && !removal))
        return false;
    if (removal) {
        p->nodes[from].relief += s.content.size;
    } else {
        p->nodes[from].out++;
        p->nodes[to].in++;
        p->nodes[to].free -= s.content.size;
        p->nodes[to].heat += per_copy_of(&s, s.counts + 1);
    }
    moves_add(p, pick->entry, removal ? from : to, removal);
    *a = (struct plan_action){
        .kind = removal ? PLAN_REMOVE : PLAN_COPY,
        .reason = why[pick->class],
        .host = arena_strdup(p->arena, e.key.host),
        .path = arena_strndup(p->arena, e.key.text, e.key.len),
        .len = e.key.len,
        .size = s.content.size,
        .hash = s.content.hash,
        .from = from,
        .to = to,
        .copies = s.usable,
        .rate = s.rate.at_least,
    };
    return true;
}

static size_t reports(struct planner *p, struct picks *k, bool conflicts, const struct plan_report **out)
{
    struct plan_report *list = ARENA_ARRAY(p->arena, struct plan_report, k->count);
    size_t count = 0;
    picks_sort(k);
    for (uint32_t i = 0; i < k->count; i++) {
        struct directory_entry e;
        struct sight s;
        if (!directory_get(p->directory, k->at[i].entry, &e) || !look(p, k->at[i].entry, &e, &s))
            continue;
        list[count++] = (struct plan_report){
            .reason = conflicts ? PLAN_DIVERGENT : (enum plan_reason)k->at[i].class,
            .host = arena_strdup(p->arena, e.key.host),
            .path = arena_strndup(p->arena, e.key.text, e.key.len),
            .len = e.key.len,
            .copies = s.usable,
        };
    }
    *out = list;
    return count;
}

const struct plan *plan_end(struct planner *p)
{
    struct plan *plan = &p->plan;
    plan->conflict_count = reports(p, &p->conflicts, true, &plan->conflicts);
    plan->cannot_count = reports(p, &p->cannots, false, &plan->cannots);
    picks_sort(&p->actions);
    struct plan_action *list = ARENA_ARRAY(p->arena, struct plan_action, p->actions.count);
    for (uint32_t i = 0; i < p->actions.count; i++)
        plan->action_count += act(p, &p->actions.at[i], &list[plan->action_count]);
    plan->actions = list;
    plan->figures.deferred = p->actions.refused + p->actions.count - plan->action_count;
    return plan;
}
