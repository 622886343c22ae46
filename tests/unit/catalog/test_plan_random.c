/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner against a farm of its own making. Things happen at random: nodes go down, drain and come back, files
 * come, change and vanish, disks fill, requests rise and fall. Plans are carried out late, in part, or not. Each
 * action of each plan is checked against the farm by rules written down anew here. Then nothing happens any more:
 * plans must come to rest, and what is missing then must be impossible. A second planner, which looks in other steps,
 * must decide the same.
 */
#include "../cmocka_pm.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "catalog/plan.h"

enum { NODES = 9, PATHS = 40, DOMAINS = 3, PENDING = 512 };

struct file {
    bool there, known, configured; /* there: SCANNED; CONFIGURED may be without */
    struct directory_content content;
    uint64_t learned; /* expires; 0: not */
};

struct world {
    struct directory *d;
    struct usage *u;
    struct planner *p, *twin;
    struct plan_node nodes[NODES];
    struct file has[NODES][PATHS];
    uint64_t version[PATHS], rates[PATHS], surplus_since[PATHS];
    struct plan_action pending[PENDING];
    struct plan_input in;
    uint32_t counters;
    unsigned reasons[PLAN_REASON_COUNT]; /* how many there were of each */
};

static char paths[PATHS][8];
static const char *const domains[DOMAINS] = {"east", "west", NULL};

static unsigned upto(unsigned n)
{
    return (unsigned)rand() % n;
}

static struct directory_key key_of(int path)
{
    return (struct directory_key){"h", DIRECTORY_EXACT, paths[path], strlen(paths[path])};
}

static int path_of(const char *path)
{
    return atoi(path + 1);
}

/* ---- the farm ---- */

static bool present(const struct world *w, int n)
{
    return w->nodes[n].state != PLAN_DOWN;
}

static void file_put(struct world *w, int n, int path, bool known, struct directory_content content)
{
    struct directory_key key = key_of(path);
    struct file *f = &w->has[n][path];
    *f = (struct file){.there = true, .known = known, .configured = f->configured, .content = content};
    assert_int_equal(directory_add(w->d, &key, (uint16_t)n, DIRECTORY_SCANNED, known ? &content : NULL), 0);
}

static void file_drop(struct world *w, int n, int path)
{
    struct directory_key key = key_of(path);
    w->has[n][path].there = w->has[n][path].known = false;
    assert_int_equal(directory_remove(w->d, &key, (uint16_t)n, DIRECTORY_SCANNED), 0);
}

static struct directory_content content_of(const struct world *w, int path, bool other)
{
    return (struct directory_content){100 + (uint64_t)path * 37 % 900, w->version[path] * 2 + other};
}

static void happens_to_file(struct world *w, int n, int path)
{
    struct directory_key key = key_of(path);
    struct file *f = &w->has[n][path];
    switch (upto(12)) {
    case 0: /* deployed anew, to all that are there */
        w->version[path]++;
        for (int i = 0; i < NODES; i++)
            if (w->has[i][path].there && present(w, i))
                file_put(w, i, path, true, content_of(w, path, false));
        break;
    case 1:
        if (f->there)
            file_drop(w, n, path);
        break;
    case 2:
        if (!f->configured)
            assert_int_equal(directory_add(w->d, &key, (uint16_t)n, DIRECTORY_CONFIGURED, NULL), 0);
        else
            assert_int_equal(directory_remove(w->d, &key, (uint16_t)n, DIRECTORY_CONFIGURED), 0);
        f->configured = !f->configured;
        break;
    case 3:
        if (directory_learn(w->d, "h", key.text, key.len, (uint16_t)n, w->in.now + 20000) == 0)
            f->learned = w->in.now + 20000;
        break;
    case 4:
        file_put(w, n, path, false, (struct directory_content){.size = 0});
        break;
    default:
        file_put(w, n, path, true, content_of(w, path, upto(8) == 0));
    }
}

static void happens(struct world *w)
{
    int n = (int)upto(NODES), path = (int)upto(PATHS);
    struct plan_node *node = &w->nodes[n];
    unsigned what = upto(20);
    if (what < 3) {
        node->state = upto(2) ? PLAN_UP : upto(2) ? PLAN_DOWN : PLAN_DRAINING;
        node->since = w->in.now;
    } else if (what < 4) {
        node->allowed = upto(4);
    } else if (what < 5) {
        node->weight = upto(4);
    } else if (what < 6) {
        node->free = upto(3) ? 20000 : upto(3000);
    } else if (what < 9) {
        w->rates[path] = upto(2) ? 0 : upto(700);
    } else if (present(w, n)) {
        happens_to_file(w, n, path);
    }
}

static struct world *world_new(unsigned seed)
{
    struct world *w = calloc(1, sizeof *w);
    w->d = directory_new(seed, 0);
    w->p = planner_new(seed);
    w->twin = planner_new(seed + 1);
    for (int n = 0; n < NODES; n++)
        w->nodes[n] = (struct plan_node){
            .id = (uint16_t)n, .free = 20000, .weight = 1 + upto(3), .allowed = true, .domain = domains[upto(DOMAINS)]};
    w->counters = upto(2) ? PATHS : 6;
    w->in = (struct plan_input){.nodes = w->nodes, .node_count = NODES, .pending = w->pending, .now = 1000000};
    w->in.policy = (struct plan_policy){
        .copies_min = 1 + upto(3),
        .copies_max = upto(2) ? 0 : 1 + upto(5),
        .per_copy = upto(4) ? 100 : 0,
        .cold_after_ms = upto(4) ? upto(3) * 30000 : UINT64_MAX,
        .down_for_ms = upto(3) * 20000,
        .drain_for_ms = upto(3) * 20000,
        .spread = upto(2),
        .max_actions = upto(2) ? 200 : 1 + upto(10),
        .max_reports = PATHS,
    };
    return w;
}

static void world_free(struct world *w)
{
    planner_free(w->p);
    planner_free(w->twin);
    usage_free(w->u);
    directory_free(w->d);
    free(w);
}

/* ---- what is the case, by the header's words ---- */

static bool same(struct directory_content a, struct directory_content b)
{
    return a.size == b.size && a.hash == b.hash;
}

static bool in_pending(const struct world *w, enum plan_kind kind, int n, int path)
{
    for (size_t i = 0; i < w->in.pending_count; i++) {
        const struct plan_action *a = &w->pending[i];
        if (a->kind == kind && (kind == PLAN_COPY ? a->to : a->from) == n && path_of(a->path) == path)
            return true;
    }
    return false;
}

struct facts {
    bool resource, source, divergent, making, leaving, surplus;
    struct directory_content content;
    int usable, verified, counts, domains_counted, domains_usable; /* how many different ones */
    struct usage_rate rate;
    uint32_t want; /* for heat */
    bool counted[NODES], used[NODES];
};

static bool comes_back(const struct world *w, int n)
{
    const struct plan_node *node = &w->nodes[n];
    uint64_t patience = node->state == PLAN_DOWN ? w->in.policy.down_for_ms : w->in.policy.drain_for_ms;
    return node->state != PLAN_UP && w->in.now - node->since < patience;
}

static int count_domains(const struct world *w, const bool nodes[NODES])
{
    int n = 0;
    for (int i = 0; i < NODES; i++) {
        bool first = nodes[i];
        for (int o = 0; o < i && w->nodes[i].domain; o++)
            first = first && !(nodes[o] && w->nodes[o].domain == w->nodes[i].domain);
        n += first;
    }
    return n;
}

static struct facts facts(const struct world *w, int path)
{
    struct facts f = {.resource = false};
    struct directory_key key = key_of(path);
    const struct plan_policy *policy = &w->in.policy;
    for (int n = 0; n < NODES; n++) {
        const struct file *x = &w->has[n][path];
        f.resource |= x->there;
        f.leaving |= in_pending(w, PLAN_REMOVE, n, path) && (x->there || x->configured);
        if (!x->known || !present(w, n) || in_pending(w, PLAN_REMOVE, n, path))
            continue;
        f.divergent |= f.source && !same(x->content, f.content);
        f.content = f.source ? f.content : x->content;
        f.source = true;
    }
    for (int n = 0; n < NODES; n++) {
        const struct file *x = &w->has[n][path];
        bool going = in_pending(w, PLAN_REMOVE, n, path), coming = in_pending(w, PLAN_COPY, n, path);
        bool good = x->known && !going && (!f.source || same(x->content, f.content));
        f.used[n] = good && w->nodes[n].state == PLAN_UP;
        f.usable += f.used[n];
        f.verified += f.used[n] && !x->learned;
        coming = coming && !x->there && !x->configured;
        f.making |= coming;
        f.counted[n] = f.used[n] || ((good || coming) && comes_back(w, n)) || (coming && w->nodes[n].state == PLAN_UP);
        f.counts += f.counted[n];
    }
    f.domains_counted = count_domains(w, f.counted);
    f.domains_usable = count_domains(w, f.used);
    f.rate = usage_rate(w->u, &key, w->in.now);
    uint32_t most = policy->copies_max ? policy->copies_max : NODES;
    most = most < policy->copies_min ? policy->copies_min : most;
    f.want = policy->per_copy > 0 ? (uint32_t)ceil(f.rate.at_least / policy->per_copy) : 0;
    f.want = f.want < most ? f.want : most;
    bool cold = policy->per_copy > 0 && f.rate.at_most <= (f.usable - 1) * policy->per_copy / 2;
    f.surplus = !f.divergent && !f.making && f.verified > (int)policy->copies_min &&
                (cold || (policy->copies_max && f.usable > (int)most));
    return f;
}

static bool may_take(const struct world *w, int n, int path, uint64_t size)
{
    const struct file *x = &w->has[n][path];
    const struct plan_node *node = &w->nodes[n];
    return node->state == PLAN_UP && node->allowed && node->weight && node->free >= size && !x->there &&
           !x->configured && !in_pending(w, PLAN_COPY, n, path);
}

static bool may_lose(const struct world *w, const struct facts *f, int n, int path)
{
    bool rest[NODES];
    memcpy(rest, f->used, sizeof rest);
    rest[n] = false;
    if (w->in.policy.spread && w->in.policy.copies_min >= 2 && f->domains_usable > 1 && count_domains(w, rest) < 2)
        return false;
    return f->used[n] && w->nodes[n].allowed && !w->has[n][path].configured;
}

/* ---- carrying out ---- */

/* Whoever carries it out looks first: the farm may be another than when it was planned. */
static void carry_out(struct world *w, const struct plan_action *a)
{
    int path = path_of(a->path);
    struct directory_content content = {a->size, a->hash};
    const struct file *from = &w->has[a->from][path];
    if (!from->known || !same(from->content, content) || !present(w, a->from))
        return;
    if (a->kind == PLAN_REMOVE) {
        w->nodes[a->from].free += a->size;
        file_drop(w, a->from, path);
    } else if (may_take(w, a->to, path, a->size)) {
        w->nodes[a->to].free -= a->size;
        file_put(w, a->to, path, true, content);
    }
}

static void check_copy(const struct world *w, const struct plan_action *a, int path)
{
    const struct plan_policy *policy = &w->in.policy;
    struct facts f = facts(w, path);
    assert_false(f.divergent);
    assert_true(present(w, a->from) && w->has[a->from][path].known);
    assert_true(same(w->has[a->from][path].content, (struct directory_content){a->size, a->hash}));
    assert_true(may_take(w, a->to, path, a->size)); /* with the room that the plan so far has left */
    if (a->reason == PLAN_UNDER_COPIED) {
        assert_true(f.counts < (int)policy->copies_min);
    } else if (a->reason == PLAN_HOT) {
        assert_true(f.counts >= (int)policy->copies_min && f.counts < (int)f.want);
    } else {
        assert_int_equal(a->reason, PLAN_ONE_DOMAIN);
        assert_true(policy->spread && policy->copies_min >= 2 && f.domains_counted == 1 &&
                    f.counts >= (int)policy->copies_min);
    }
    bool with[NODES];
    memcpy(with, f.counted, sizeof with);
    with[a->to] = true;
    int domains_then = count_domains(w, with);
    for (int n = 0; n < NODES && policy->spread && domains_then == f.domains_counted; n++) {
        memcpy(with, f.counted, sizeof with);
        with[n] = true; /* it went to a domain that has it: there is no other */
        assert_false(may_take(w, n, path, a->size) && count_domains(w, with) > f.domains_counted);
    }
}

static void check_removal(const struct world *w, const struct plan_action *a, int path)
{
    struct facts f = facts(w, path);
    int others = 0;
    for (int n = 0; n < NODES; n++)
        others += n != a->from && f.used[n] && !w->has[n][path].learned;
    assert_true(others >= (int)w->in.policy.copies_min);
    assert_true(f.surplus && !f.leaving && may_lose(w, &f, a->from, path));
    assert_true(w->in.policy.cold_after_ms != UINT64_MAX);
    assert_true(w->in.now - w->surplus_since[path] >= w->in.policy.cold_after_ms);
    assert_true(same(w->has[a->from][path].content, (struct directory_content){a->size, a->hash}));
}

/* Urgent first. */
static void check_order(const struct plan *plan)
{
    static const int rank[PLAN_REASON_COUNT] = {
        [PLAN_ONE_DOMAIN] = 1, [PLAN_HOT] = 2, [PLAN_SURPLUS] = 3, [PLAN_COLD] = 3};
    for (size_t i = 1; i < plan->action_count; i++)
        assert_true(rank[plan->actions[i - 1].reason] <= rank[plan->actions[i].reason]);
}

static void check_same(const struct plan *a, const struct plan *b)
{
    assert_int_equal(a->action_count, b->action_count);
    assert_int_equal(a->cannot_count, b->cannot_count);
    assert_memory_equal(&a->figures, &b->figures, sizeof a->figures);
    for (size_t i = 0; i < a->action_count; i++) {
        const struct plan_action *x = &a->actions[i], *y = &b->actions[i];
        assert_string_equal(x->path, y->path);
        assert_true(x->kind == y->kind && x->reason == y->reason && x->from == y->from && x->to == y->to);
    }
}

static void check_figures(const struct world *w, const struct plan *plan)
{
    uint32_t resources = 0, divergent = 0, copies = 0, under = 0, hot = 0, surplus = 0;
    for (int path = 0; path < PATHS; path++) {
        struct facts f = facts(w, path);
        resources += f.resource;
        copies += f.resource ? (uint32_t)f.usable : 0;
        divergent += f.divergent;
        bool short_of = f.resource && !f.divergent && f.counts < (int)w->in.policy.copies_min;
        int then = short_of ? (int)w->in.policy.copies_min : f.counts;
        under += short_of;
        hot += f.resource && !f.divergent && then < (int)f.want;
        surplus += f.surplus;
    }
    assert_int_equal(plan->figures.resources, resources);
    assert_int_equal(plan->figures.copies, copies);
    assert_int_equal(plan->figures.divergent, divergent);
    assert_int_equal(plan->conflict_count, divergent);
    assert_int_equal(plan->figures.under_copied, under);
    assert_int_equal(plan->figures.hot, hot);
    assert_int_equal(plan->figures.surplus, surplus);
}

static const struct plan *make(struct world *w, struct planner *p, uint32_t step)
{
    assert_int_equal(plan_begin(p, w->d, w->u, &w->in), 0);
    while (plan_step(p, step))
        ;
    return plan_end(p);
}

static void time_passes(struct world *w, uint64_t ms)
{
    w->in.now += ms;
    directory_settle(w->d, w->in.now);
    for (int i = 0; i < NODES * PATHS; i++)
        if (w->has[i / PATHS][i % PATHS].learned <= w->in.now)
            w->has[i / PATHS][i % PATHS].learned = 0;
    usage_free(w->u); /* the same rates as ever, as of now */
    w->u = usage_new(1, w->counters, 1ull << 40, w->in.now - 1000);
    for (int path = 0; path < PATHS; path++) {
        struct directory_key key = key_of(path);
        if (w->rates[path])
            usage_add(w->u, &key, w->rates[path], 0, w->in.now - 1000);
    }
    for (int path = 0; path < PATHS; path++)
        if (!facts(w, path).surplus)
            w->surplus_since[path] = UINT64_MAX;
        else if (w->surplus_since[path] == UINT64_MAX)
            w->surplus_since[path] = w->in.now;
}

/* Checks each action with those before it as under way, which they are from then on. */
static void check_actions(struct world *w, const struct plan *plan)
{
    uint64_t free_was[NODES];
    for (int n = 0; n < NODES; n++)
        free_was[n] = w->nodes[n].free;
    for (size_t i = 0; i < w->in.pending_count; i++) {
        if (w->pending[i].kind == PLAN_COPY) {
            uint64_t *left = &w->nodes[w->pending[i].to].free;
            *left -= w->pending[i].size < *left ? w->pending[i].size : *left;
        }
    }
    for (size_t i = 0; i < plan->action_count; i++) {
        const struct plan_action *a = &plan->actions[i];
        int path = path_of(a->path);
        w->reasons[a->reason]++;
        (a->kind == PLAN_COPY ? check_copy : check_removal)(w, a, path);
        if (a->kind == PLAN_COPY)
            w->nodes[a->to].free -= a->size;
        assert_true(w->in.pending_count < PENDING);
        struct plan_action *to = &w->pending[w->in.pending_count++];
        *to = *a;
        to->host = "h";
        to->path = paths[path]; /* the plan's own texts go with the next plan */
    }
    for (int n = 0; n < NODES; n++)
        w->nodes[n].free = free_was[n];
}

/* All that is under way; or, if not all, each now, later, or never. */
static void carry_out_some(struct world *w, bool all)
{
    struct plan_action list[PENDING];
    size_t count = w->in.pending_count;
    memcpy(list, w->pending, count * sizeof *list);
    w->in.pending_count = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned fate = all ? 0 : upto(10);
        if (fate < 6)
            carry_out(w, &list[i]);
        else if (fate < 9)
            w->pending[w->in.pending_count++] = list[i];
    }
}

static const struct plan *round_of(struct world *w, bool all)
{
    const struct plan *plan = make(w, w->p, 1 + upto(50));
    check_same(plan, make(w, w->twin, 1000));
    check_figures(w, plan);
    check_order(plan);
    assert_true(plan->action_count <= w->in.policy.max_actions);
    check_actions(w, plan);
    carry_out_some(w, all);
    return plan;
}

/* ---- at rest ---- */

static const struct plan_report *reported(const struct plan *plan, int path)
{
    for (size_t i = 0; i < plan->cannot_count; i++)
        if (path_of(plan->cannots[i].path) == path)
            return &plan->cannots[i];
    return NULL;
}

static void check_at_rest(const struct world *w, const struct plan *plan, int path, int usable_before)
{
    const struct plan_policy *policy = &w->in.policy;
    const struct plan_report *cannot = reported(plan, path);
    struct facts f = facts(w, path);
    int takers = 0, elsewhere = 0, removable = 0, roomless = 0;
    bool with[NODES];
    for (int n = 0; n < NODES; n++) {
        memcpy(with, f.counted, sizeof with);
        with[n] = true;
        takers += may_take(w, n, path, f.content.size);
        roomless += may_take(w, n, path, 0);
        elsewhere += may_take(w, n, path, f.content.size) && count_domains(w, with) > f.domains_counted;
        removable += may_lose(w, &f, n, path);
    }
    bool short_of = f.resource && !f.divergent && f.counts < (int)policy->copies_min;
    assert_true(f.divergent || f.usable >= usable_before || f.usable >= (int)policy->copies_min);
    assert_int_equal(cannot != NULL, short_of);
    if (short_of) {
        enum plan_reason why = roomless >= (int)policy->copies_min - f.counts ? PLAN_NO_ROOM : PLAN_NO_NODE;
        why = f.source ? why : PLAN_NO_SOURCE;
        assert_true(!f.source || takers == 0);
        assert_int_equal(cannot->reason, why);
    }
    if (!f.resource || f.divergent || !f.source)
        return;
    assert_true(f.counts >= (int)f.want || takers == 0);
    assert_true(!f.surplus || removable == 0 || policy->cold_after_ms == UINT64_MAX);
    if (policy->spread && policy->copies_min >= 2 && f.counts >= (int)policy->copies_min && f.domains_counted == 1)
        assert_int_equal(elsewhere, 0);
}

static void come_to_rest(struct world *w)
{
    uint64_t patience = w->in.policy.cold_after_ms == UINT64_MAX ? 0 : w->in.policy.cold_after_ms + 1000;
    int usable[PATHS], rounds = 0;
    carry_out_some(w, true);
    time_passes(w, 100000); /* who is down is lost, what was learned is forgotten */
    for (int path = 0; path < PATHS; path++)
        usable[path] = facts(w, path).usable;
    for (int quiet = 0; quiet < 3; rounds++) {
        assert_true(rounds < 1500);
        quiet = round_of(w, true)->action_count ? 0 : quiet + 1;
        time_passes(w, patience);
    }
    const struct plan *plan = round_of(w, true);
    assert_int_equal(plan->action_count, 0);
    assert_int_equal(plan->figures.deferred, 0);
    for (int path = 0; path < PATHS; path++)
        check_at_rest(w, plan, path, usable[path]);
}

static void test_random(void **state)
{
    unsigned reasons[PLAN_REASON_COUNT] = {0};
    for (int path = 0; path < PATHS; path++)
        snprintf(paths[path], sizeof paths[path], "/%d", path);
    for (unsigned seed = 1; seed <= 40; seed++) {
        srand(seed);
        struct world *w = world_new(seed);
        memset(w->surplus_since, 0xff, sizeof w->surplus_since);
        for (int era = 0; era < 4; era++) {
            for (int i = 0; i < 60; i++) {
                for (unsigned events = upto(era ? 8 : 30); events; events--)
                    happens(w);
                time_passes(w, upto(10000));
                (void)round_of(w, false);
            }
            come_to_rest(w);
        }
        for (int r = 0; r < PLAN_REASON_COUNT; r++)
            reasons[r] += w->reasons[r];
        world_free(w);
    }
    for (int r = PLAN_UNDER_COPIED; r <= PLAN_COLD; r++)
        assert_true(reasons[r] > 100); /* or this has tested less than it says */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests_name("plan random", tests, NULL, NULL);
}
