/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "catalog/plan.h"

enum { NODES = 6, FIRST = 1 }; /* ids FIRST .. NODES, all up and empty; a test changes what it is about */

struct farm {
    struct directory *d;
    struct usage *u; /* its rates are those of now */
    struct planner *p;
    struct plan_node nodes[NODES];
    struct plan_action pending[4];
    struct plan_input in;
    struct buf text;
};

static void farm_open(struct farm *f)
{
    *f = (struct farm){.d = directory_new(1, 0), .p = planner_new(1)};
    f->in = (struct plan_input){
        .nodes = f->nodes,
        .node_count = NODES,
        .pending = f->pending,
        .policy =
            {.copies_min = 2, .down_for_ms = 60000, .cold_after_ms = 3600000, .max_actions = 100, .max_reports = 100},
        .now = 1000000000,
    };
    for (uint16_t i = 0; i < NODES; i++)
        f->nodes[i] = (struct plan_node){.id = FIRST + i, .free = 1000000, .weight = 1, .allowed = true};
}

static void farm_close(struct farm *f)
{
    buf_fini(&f->text);
    usage_free(f->u);
    planner_free(f->p);
    directory_free(f->d);
}

static struct plan_node *node(struct farm *f, uint16_t id)
{
    return &f->nodes[id - FIRST];
}

static struct directory_key key_of(const char *path)
{
    return (struct directory_key){"h", DIRECTORY_EXACT, path, strlen(path)};
}

/* The path is on these nodes ("123"), all with this content. */
static void has_content(struct farm *f, const char *path, const char *nodes, uint64_t size, uint64_t hash)
{
    struct directory_key key = key_of(path);
    struct directory_content content = {size, hash};
    for (; *nodes; nodes++)
        assert_int_equal(directory_add(f->d, &key, (uint16_t)(*nodes - '0'), DIRECTORY_SCANNED, &content), 0);
}

static void has(struct farm *f, const char *path, const char *nodes)
{
    has_content(f, path, nodes, 1000, 7);
}

static void lacks(struct farm *f, const char *path, uint16_t id)
{
    struct directory_key key = key_of(path);
    assert_int_equal(directory_remove(f->d, &key, id, DIRECTORY_SCANNED), 0);
}

/* From now on the path has this many requests per second, as others that were given one at the same time. */
static void rate(struct farm *f, const char *path, uint64_t per_second)
{
    struct directory_key key = key_of(path);
    usage_add(f->u, &key, per_second, 0, f->in.now - 1000);
}

static void rates_anew(struct farm *f)
{
    usage_free(f->u);
    f->u = usage_new(1, 16, 1ull << 40, f->in.now - 1000);
}

/* "copy /a 1>2 hot; remove /b 3 cold; no-room /c 1; divergent /d 2" */
static const char *plan_with(struct farm *f, uint32_t step, struct plan_figures *figures)
{
    assert_int_equal(plan_begin(f->p, f->d, f->u, &f->in), 0);
    while (plan_step(f->p, step))
        ;
    const struct plan *plan = plan_end(f->p);
    buf_clear(&f->text);
    for (size_t i = 0; i < plan->action_count; i++) {
        const struct plan_action *a = &plan->actions[i];
        assert_string_equal(a->host, "h");
        assert_int_equal(strlen(a->path), a->len);
        buf_printf(&f->text, a->kind == PLAN_COPY ? "copy %s %u>%u %s; " : "remove %s %u%.0u %s; ", a->path, a->from,
                   a->kind == PLAN_COPY ? a->to : 0u, plan_reason_name(a->reason));
    }
    for (size_t i = 0; i < plan->cannot_count; i++)
        buf_printf(&f->text, "%s %s %u; ", plan_reason_name(plan->cannots[i].reason), plan->cannots[i].path,
                   plan->cannots[i].copies);
    for (size_t i = 0; i < plan->conflict_count; i++)
        buf_printf(&f->text, "%s %s %u; ", plan_reason_name(plan->conflicts[i].reason), plan->conflicts[i].path,
                   plan->conflicts[i].copies);
    if (figures)
        *figures = plan->figures;
    return buf_str(&f->text);
}

static const char *plan(struct farm *f)
{
    return plan_with(f, 3, NULL);
}

static void test_two_copies(void **state)
{
    struct farm f;
    struct plan_figures figures;
    farm_open(&f);
    node(&f, 4)->free = 1000001;
    has(&f, "/a", "1");
    has(&f, "/b", "25");
    has(&f, "/c", "456");
    assert_string_equal(plan_with(&f, 1, &figures), "copy /a 1>4 under-copied; ");
    assert_int_equal(figures.resources, 3);
    assert_int_equal(figures.copies, 6);
    assert_int_equal(figures.under_copied, 1);
    has(&f, "/a", "4");
    assert_string_equal(plan(&f), "");
    f.in.policy.copies_min = 4; /* each on another, as they are equally empty but for what they get */
    assert_string_equal(plan_with(&f, 1, &figures), "copy /a 1>2 under-copied; copy /b 2>4 under-copied; "
                                                    "copy /a 4>3 under-copied; copy /b 5>1 under-copied; "
                                                    "copy /c 6>1 under-copied; ");
    farm_close(&f);
}

static void test_node_lost(void **state)
{
    struct farm f;
    struct plan_figures figures;
    farm_open(&f);
    has(&f, "/a", "12");
    has(&f, "/b", "23");
    *node(&f, 2) = (struct plan_node){.id = 2, .state = PLAN_DOWN, .since = f.in.now - 59999};
    assert_string_equal(plan_with(&f, 1, &figures), "");
    assert_int_equal(figures.waiting, 2);
    assert_int_equal(figures.under_copied, 0);
    f.in.now++;
    assert_string_equal(plan(&f), "copy /a 1>3 under-copied; copy /b 3>1 under-copied; ");
    f.in.nodes++, f.in.node_count--; /* 1 is not known at all: as lost */
    assert_string_equal(plan(&f), "copy /b 3>4 under-copied; no-source /a 0; ");
    f.in.nodes--, f.in.node_count++;
    has(&f, "/a", "3");
    has(&f, "/b", "4");
    node(&f, 2)->state = PLAN_UP;
    assert_string_equal(plan(&f), ""); /* it is back: too many do no harm */
    farm_close(&f);
}

static void test_draining(void **state)
{
    struct farm f;
    farm_open(&f);
    has(&f, "/a", "12");
    has(&f, "/b", "1");
    node(&f, 1)->state = PLAN_DRAINING;
    node(&f, 1)->since = f.in.now;
    node(&f, 3)->free = 2000000;
    /* /b first: no copy is left that counts; its two come from the draining one, for nobody else has it. */
    assert_string_equal(plan(&f), "copy /b 1>3 under-copied; copy /a 2>4 under-copied; copy /b 1>2 under-copied; ");
    f.in.policy.drain_for_ms = 1000;
    assert_string_equal(plan(&f), "copy /b 1>3 under-copied; ");
    f.in.now += 1000;
    assert_string_equal(plan(&f), "copy /b 1>3 under-copied; copy /a 2>4 under-copied; copy /b 1>2 under-copied; ");
    farm_close(&f);
}

static void test_hot(void **state)
{
    struct farm f;
    struct plan_figures figures;
    farm_open(&f);
    has(&f, "/hot", "12");
    has(&f, "/warm", "12");
    has(&f, "/cool", "12");
    rates_anew(&f);
    rate(&f, "/hot", 301);
    rate(&f, "/warm", 200);
    assert_string_equal(plan(&f), ""); /* no word of per_copy */
    f.in.policy.per_copy = 100;
    assert_string_equal(plan_with(&f, 1, &figures), "copy /hot 1>3 hot; copy /hot 2>4 hot; ");
    assert_int_equal(figures.hot, 1);
    f.in.policy.copies_max = 3;
    assert_string_equal(plan(&f), "copy /hot 1>3 hot; ");
    f.in.policy.copies_max = 1; /* less than copies_min: as that */
    assert_string_equal(plan(&f), "");
    f.in.policy.copies_max = 0;
    node(&f, 5)->weight = 3; /* carries more */
    has(&f, "/other", "34");
    rate(&f, "/other", 190);
    assert_string_equal(plan(&f), "copy /hot 1>5 hot; copy /hot 2>6 hot; ");
    has(&f, "/hot2", "34");
    rate(&f, "/hot2",
         290); /* 3 and 4 are as hot as 1 and 2 now; 5 takes a third of this, and 6 of the other, each for its weight */
    assert_string_equal(plan(&f), "copy /hot 1>5 hot; copy /hot2 3>5 hot; copy /hot 2>6 hot; ");
    node(&f, 5)->weight = 1;
    assert_string_equal(plan(&f), "copy /hot 1>5 hot; copy /hot2 3>6 hot; copy /hot 2>6 hot; ");
    usage_free(f.u);
    f.u = NULL;
    assert_string_equal(plan(&f), "");
    farm_close(&f);
}

/* A doubt does nothing: with one counter, what is not listed may be as hot as the one that is. */
static void test_doubt(void **state)
{
    struct farm f;
    farm_open(&f);
    f.in.policy.per_copy = 100;
    f.in.policy.cold_after_ms = 0;
    has(&f, "/a", "123");
    has(&f, "/b", "123");
    f.u = usage_new(1, 1, 1ull << 40, f.in.now - 1000);
    rate(&f, "/a", 90);
    rate(&f, "/b", 60); /* takes over: 60 to 150; /a, which has none: 0 to 150 */
    assert_string_equal(plan(&f), "");
    usage_free(f.u);
    f.u = usage_new(1, 2, 1ull << 40, f.in.now - 1000);
    rate(&f, "/a", 90);
    rate(&f, "/b", 60);
    assert_string_equal(plan(&f), "remove /b 3 cold; remove /a 2 cold; ");
    farm_close(&f);
}

static void test_cold(void **state)
{
    struct farm f;
    struct plan_figures figures;
    farm_open(&f);
    f.in.policy.per_copy = 100;
    node(&f, 2)->free = 999999; /* the fullest */
    has(&f, "/a", "1234");
    has(&f, "/b", "14");
    for (int minute = 0; minute < 200; minute += 10, f.in.now += 600000) {
        rates_anew(&f);
        rate(&f, "/a", minute == 50 ? 151 : 150); /* for 3 copies, half of 100 each: a break at 50 */
        const char *is = plan_with(&f, 1, &figures);
        assert_string_equal(is, minute < 130 ? "" : "remove /a 2 cold; "); /* an hour, rounded up to its next second */
        assert_int_equal(figures.surplus, minute != 50);
    }
    lacks(&f, "/a", 2);
    rates_anew(&f);
    rate(&f, "/a", 150); /* neither cold nor hot */
    assert_string_equal(plan(&f), "");
    f.in.policy.cold_after_ms = UINT64_MAX;
    rates_anew(&f);
    assert_string_equal(plan(&f), "");
    f.in.policy.cold_after_ms = 0;
    assert_string_equal(plan(&f), "remove /a 4 cold; ");
    lacks(&f, "/a", 4);
    assert_string_equal(plan(&f), "");
    farm_close(&f);
}

/* An entry's number that another resource gets does not carry over since when it is too much. */
static void test_cold_anew(void **state)
{
    struct farm f;
    farm_open(&f);
    f.in.policy.copies_max = 2;
    has(&f, "/a", "123");
    assert_string_equal(plan(&f), "");
    directory_remove_node(f.d, 1), directory_remove_node(f.d, 2), directory_remove_node(f.d, 3);
    has(&f, "/b", "123");
    f.in.now += 3601000;
    assert_string_equal(plan(&f), "");
    f.in.now += 3601000;
    assert_string_equal(plan(&f), "remove /b 3 surplus; ");
    farm_close(&f);
}

/* Each line alone keeps a third copy from being removed. */
static void test_not_removed(void **state)
{
    struct farm f;
    struct plan_figures figures;
    struct directory_key key = key_of("/a");
    farm_open(&f);
    f.in.policy.copies_max = 2;
    f.in.policy.cold_after_ms = 0;
    has(&f, "/a", "123");
    assert_string_equal(plan(&f), "remove /a 3 surplus; ");
    assert_int_equal(directory_add(f.d, &key, 3, DIRECTORY_CONFIGURED, NULL), 0);
    assert_string_equal(plan(&f), "remove /a 2 surplus; ");
    node(&f, 2)->allowed = false;
    assert_string_equal(plan(&f), "remove /a 1 surplus; ");
    node(&f, 1)->state = PLAN_DOWN, node(&f, 1)->since = f.in.now; /* and then two are left anyway */
    assert_string_equal(plan(&f), "");
    node(&f, 1)->state = PLAN_UP;
    assert_int_equal(directory_learn(f.d, "h", "/a", 2, 2, UINT64_MAX), 0); /* 2 said that it has not got it */
    assert_string_equal(plan(&f), "");
    directory_settle(f.d, UINT64_MAX);
    assert_string_equal(plan(&f), "remove /a 1 surplus; ");
    assert_int_equal(directory_add(f.d, &key, 2, DIRECTORY_SCANNED, NULL), 0); /* content not known */
    assert_string_equal(plan(&f), "");
    has(&f, "/a", "2");
    f.pending[0] = (struct plan_action){PLAN_COPY, PLAN_HOT, "h", "/a", 2, 1000, 7, 1, 5, 0, 0};
    f.in.pending_count = 1;
    assert_string_equal(plan(&f), ""); /* one is being made: from 1, perhaps */
    f.pending[0] = (struct plan_action){PLAN_REMOVE, PLAN_HOT, "h", "/a", 2, 1000, 7, 1, PLAN_NOBODY, 0, 0};
    has(&f, "/a", "4");
    assert_string_equal(plan_with(&f, 1, &figures), "");
    assert_int_equal(figures.surplus, 1);
    assert_int_equal(figures.deferred, 0); /* it takes no other's place in the plan */
    lacks(&f, "/a", 4);
    f.in.pending_count = 0;
    assert_string_equal(plan(&f), "remove /a 1 surplus; ");
    assert_int_equal(directory_add(f.d, &key, 1, DIRECTORY_CONFIGURED, NULL), 0);
    assert_string_equal(plan(&f), "");
    farm_close(&f);
}

static void test_divergent(void **state)
{
    struct farm f;
    struct plan_figures figures;
    farm_open(&f);
    f.in.policy.copies_max = 2;
    f.in.policy.cold_after_ms = 0;
    f.in.policy.copies_min = 2;
    has(&f, "/a", "123");
    has_content(&f, "/a", "4", 1000, 8);
    has(&f, "/b", "1");
    has_content(&f, "/b", "2", 1001, 7);
    assert_string_equal(plan_with(&f, 1, &figures), "divergent /a 3; divergent /b 1; ");
    assert_int_equal(figures.divergent, 2);
    assert_int_equal(figures.under_copied, 0);
    node(&f, 4)->state = PLAN_DRAINING; /* still there, so still in question */
    node(&f, 2)->state = PLAN_DOWN;     /* and what this one had is of the past: it is /b of 1 */
    node(&f, 2)->since = f.in.now;
    assert_string_equal(plan(&f), "copy /b 1>3 under-copied; divergent /a 2; ");
    node(&f, 4)->state = PLAN_DOWN;
    assert_string_equal(plan(&f), "copy /b 1>3 under-copied; ");
    f.in.policy.max_reports = 1;
    node(&f, 2)->state = node(&f, 4)->state = PLAN_UP;
    assert_string_equal(plan_with(&f, 1, &figures), "divergent /a 3; ");
    assert_int_equal(figures.divergent, 2);
    farm_close(&f);
}

static void test_cannot(void **state)
{
    struct farm f;
    struct plan_figures figures;
    farm_open(&f);
    for (uint16_t id = 3; id <= NODES; id++)
        node(&f, id)->allowed = id == 3, node(&f, id)->weight = id != 4;
    has(&f, "/a", "1");
    has_content(&f, "/big", "2", 1000001, 1);
    has_content(&f, "/fits", "2", 1000000, 1);
    has(&f, "/gone", "4");
    node(&f, 4)->state = PLAN_DOWN;
    node(&f, 1)->free = 999; /* and so /fits goes to 3, which has no room for /a then: 2 has */
    node(&f, 2)->free = 1000;
    assert_string_equal(plan_with(&f, 1, &figures), "copy /a 1>3 under-copied; no-source /gone 0; no-room /big 1; ");
    assert_int_equal(figures.cannot, 2);
    assert_int_equal(figures.lost, 1);
    assert_int_equal(figures.deferred, 1); /* /fits does not, beside /a */
    has(&f, "/a", "3");
    node(&f, 3)->free = 1000000;
    assert_string_equal(plan(&f), "copy /fits 2>3 under-copied; no-source /gone 0; no-room /big 1; ");
    node(&f, 3)->allowed = node(&f, 1)->allowed = false;
    assert_string_equal(plan(&f), "no-source /gone 0; no-node /big 1; no-node /fits 1; ");
    f.in.policy.max_reports = 1;
    assert_string_equal(plan_with(&f, 1, &figures), "no-source /gone 0; ");
    assert_int_equal(figures.cannot, 3);
    f.in.policy.copies_min = 3;
    f.in.policy.max_reports = 9;
    node(&f, 3)->allowed = true; /* it takes one of two that /fits needs; for /a there is 2 */
    assert_string_equal(plan(&f), "copy /fits 2>3 under-copied; copy /a 1>2 under-copied; "
                                  "no-source /gone 0; no-node /big 1; no-node /fits 1; ");
    farm_close(&f);
}

static void test_room(void **state)
{
    struct farm f;
    farm_open(&f);
    for (uint16_t id = 1; id <= NODES; id++)
        node(&f, id)->free = id < 5 ? 0 : 2500;
    has(&f, "/a", "1"), has(&f, "/b", "1"), has(&f, "/c", "1"), has(&f, "/d", "1"), has(&f, "/e", "1");
    assert_string_equal(plan(&f), "copy /a 1>5 under-copied; copy /b 1>6 under-copied; copy /c 1>5 under-copied; "
                                  "copy /d 1>6 under-copied; ");
    f.pending[0] = (struct plan_action){PLAN_COPY, PLAN_HOT, "h", "/b", 2, 1000, 7, 1, 6, 0, 0};
    f.pending[1] = (struct plan_action){PLAN_COPY, PLAN_HOT, "h", "/unheard", 8, 1000, 7, 1, 6, 0, 0};
    f.in.pending_count = 2;
    assert_string_equal(plan(&f), "copy /a 1>5 under-copied; copy /c 1>5 under-copied; ");
    f.pending[0].to = 1; /* which has it already */
    f.pending[1].to = 5000;
    assert_string_equal(plan(&f), "copy /a 1>5 under-copied; copy /b 1>6 under-copied; copy /c 1>5 under-copied; "
                                  "copy /d 1>6 under-copied; ");
    farm_close(&f);
}

static void test_domains(void **state)
{
    struct farm f;
    struct plan_figures figures;
    farm_open(&f);
    for (uint16_t id = 1; id <= NODES; id++)
        node(&f, id)->domain = id <= 4 ? "east" : "west";
    node(&f, 3)->free = 2000000;
    has(&f, "/a", "1");
    has(&f, "/b", "12");
    assert_string_equal(plan(&f), "copy /a 1>3 under-copied; ");
    f.in.policy.spread = true;
    assert_string_equal(plan_with(&f, 1, &figures), "copy /a 1>5 under-copied; copy /b 2>6 one-domain; ");
    assert_int_equal(figures.one_domain, 1);
    f.pending[0] = (struct plan_action){PLAN_COPY, PLAN_HOT, "h", "/b", 2, 1000, 7, 1, 6, 0, 0};
    f.in.pending_count = 1;
    assert_string_equal(plan(&f), "copy /a 1>5 under-copied; ");
    f.in.pending_count = 0;
    has(&f, "/a", "5");
    has(&f, "/b", "6");
    f.in.policy.copies_max = 2;
    f.in.policy.cold_after_ms = 0;
    node(&f, 6)->free = 0; /* the fullest, but the only one in the west */
    assert_string_equal(plan(&f), "remove /b 2 surplus; ");
    node(&f, 1)->allowed = node(&f, 2)->allowed = false;
    assert_string_equal(plan(&f), "");
    f.in.policy.spread = false;
    assert_string_equal(plan(&f), "remove /b 6 surplus; ");
    f.in.policy.spread = true;
    has(&f, "/c", "34");
    node(&f, 5)->free = 999;
    assert_string_equal(plan_with(&f, 1, &figures), ""); /* no room in the west */
    assert_int_equal(figures.one_domain, 1);
    node(&f, 5)->free = 1000;
    node(&f, 6)->free = 2000;
    struct directory_key key = key_of("/c");
    assert_int_equal(directory_add(f.d, &key, 6, DIRECTORY_CONFIGURED, NULL), 0);
    assert_string_equal(plan(&f), "copy /c 3>5 one-domain; "); /* the emptiest there has something under this key */
    node(&f, 5)->free = 0;
    assert_string_equal(plan(&f), "");
    node(&f, 5)->domain = NULL; /* alone: another domain for everybody else */
    node(&f, 5)->free = 1000;
    assert_string_equal(plan(&f), "copy /c 3>5 one-domain; ");
    farm_close(&f);
}

static void test_order(void **state)
{
    struct farm f;
    struct plan_figures figures;
    farm_open(&f);
    f.in.policy.per_copy = 100;
    f.in.policy.copies_min = 3;
    f.in.policy.cold_after_ms = 0;
    has(&f, "/two", "12"), has(&f, "/one-cold", "3"), has(&f, "/one-hot", "4"), has(&f, "/hotter", "123");
    has(&f, "/hot", "123"), has(&f, "/four", "1234"), has(&f, "/five", "12345");
    rates_anew(&f);
    rate(&f, "/two", 99), rate(&f, "/one-hot", 5), rate(&f, "/hot", 301), rate(&f, "/hotter", 302);
    static const char *const order[] = {"/one-hot", "/one-cold", "/two",  "/one-hot", "/one-cold",
                                        "/hotter",  "/hot",      "/five", "/four"};
    for (uint32_t max = 0; max <= 9; max++) {
        f.in.policy.max_actions = max;
        const char *at = plan_with(&f, 4, &figures);
        for (uint32_t i = 0; i < max; i++) {
            at += strncmp(at, "copy ", 5) == 0 ? 5 : 7;
            assert_memory_equal(at, order[i], strlen(order[i]));
            at = strchr(at, ';') + 2;
        }
        assert_int_equal(*at, 0);
        assert_int_equal(figures.deferred, 9 - max);
    }
    farm_close(&f);
}

/* However few are let through: they are the first of all. */
static void test_most_urgent(void **state)
{
    struct farm f;
    char path[16], all[300][24];
    farm_open(&f);
    f.u = usage_new(1, 1000, 1ull << 40, f.in.now - 1000);
    srand(1);
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "/%d", i);
        has_content(&f, path, i % 3 ? "1" : "12", 1, 1);
        rate(&f, path, (uint64_t)rand() % 100);
    }
    f.in.policy.copies_min = 3;
    f.in.policy.max_actions = 500;
    assert_string_not_equal(plan(&f), "");
    for (uint32_t max = 300; max; max = max * 2 / 3) {
        f.in.policy.max_actions = max;
        assert_int_equal(plan_begin(f.p, f.d, f.u, &f.in), 0);
        assert_false(plan_step(f.p, 301));
        const struct plan *p = plan_end(f.p);
        assert_int_equal(p->action_count, max);
        assert_int_equal(p->figures.deferred, 500 - max);
        for (uint32_t i = 0; i < max; i++) {
            snprintf(path, sizeof path, "%s>%u", p->actions[i].path, p->actions[i].to);
            if (max == 300)
                memcpy(all[i], path, sizeof path);
            assert_string_equal(all[i], path);
        }
    }
    farm_close(&f);
}

/* In proportion to free bytes and weight; from those that read least. */
static void test_shares(void **state)
{
    struct farm f;
    char path[16];
    unsigned to[NODES + 1] = {0}, from[NODES + 1] = {0};
    farm_open(&f);
    node(&f, 3)->free *= 2;
    node(&f, 4)->weight = 3;
    node(&f, 2)->weight = 2;
    node(&f, 5)->weight = node(&f, 6)->weight = 0;
    for (int i = 0; i < 60; i++) {
        snprintf(path, sizeof path, "/%d", i);
        has_content(&f, path, "12", 1, 1);
    }
    f.in.policy.copies_min = 3;
    assert_int_equal(plan_begin(f.p, f.d, f.u, &f.in), 0);
    assert_false(plan_step(f.p, 61));
    const struct plan *p = plan_end(f.p);
    assert_int_equal(p->action_count, 60);
    for (size_t i = 0; i < 60; i++)
        to[p->actions[i].to]++, from[p->actions[i].from]++;
    assert_int_equal(to[3], 24);
    assert_int_equal(to[4], 36);
    assert_int_equal(from[1], 20);
    assert_int_equal(from[2], 40);
    farm_close(&f);
}

/* The last plan's own list may be what is under way: then there is nothing more to do. */
static void test_pending(void **state)
{
    struct farm f;
    farm_open(&f);
    has(&f, "/a", "1"), has(&f, "/b", "2"), has(&f, "/c", "12345");
    f.in.policy.copies_min = 3;
    f.in.policy.copies_max = 4;
    f.in.policy.cold_after_ms = 0;
    assert_string_not_equal(plan(&f), "");
    assert_int_equal(plan_begin(f.p, f.d, f.u, &f.in), 0);
    assert_false(plan_step(f.p, 4));
    const struct plan *p = plan_end(f.p);
    assert_int_equal(p->action_count, 5);
    f.in.pending = p->actions;
    f.in.pending_count = p->action_count;
    assert_string_equal(plan(&f), "");
    farm_close(&f);
}

/* What a plan says is looked up again at its end. */
static void test_changes_meanwhile(void **state)
{
    struct farm f;
    farm_open(&f);
    has(&f, "/gone", "1"), has(&f, "/more", "1"), has(&f, "/new", "1"), has(&f, "/stays", "1");
    assert_int_equal(plan_begin(f.p, f.d, f.u, &f.in), 0);
    assert_false(plan_step(f.p, 100));
    lacks(&f, "/gone", 1);
    has(&f, "/more", "2");
    has_content(&f, "/new", "1", 55, 56);
    const struct plan *p = plan_end(f.p);
    assert_int_equal(p->action_count, 2);
    assert_string_equal(p->actions[0].path, "/new");
    assert_true(p->actions[0].hash == 56 && p->actions[0].size == 55);
    assert_string_equal(p->actions[1].path, "/stays");
    assert_int_equal(plan_begin(f.p, f.d, f.u, &f.in), 0); /* dropped half-way */
    assert_true(plan_step(f.p, 2));
    assert_string_equal(plan(&f), "copy /new 1>2 under-copied; copy /stays 1>3 under-copied; ");
    farm_close(&f);
}

static void test_other_entries(void **state)
{
    struct farm f;
    struct plan_figures figures;
    struct directory_content content = {1, 1};
    struct directory_key prefix = {"h", DIRECTORY_PREFIX, "/a/", 3}, configured = key_of("/c");
    farm_open(&f);
    assert_int_equal(directory_add(f.d, &prefix, 1, DIRECTORY_SCANNED, &content), 0);
    assert_int_equal(directory_add(f.d, &configured, 1, DIRECTORY_CONFIGURED, NULL), 0);
    assert_int_equal(directory_learn(f.d, "h", "/a/x", 4, 1, UINT64_MAX), 0);
    assert_string_equal(plan_with(&f, 1, &figures), "");
    assert_int_equal(figures.resources, 0);
    has(&f, "/c",
        "2"); /* 1 is configured to have it: nobody knows what, so it is no copy, and nothing is written over it */
    assert_string_equal(plan(&f), "copy /c 2>3 under-copied; ");
    farm_close(&f);
}

static void test_input(void **state)
{
    struct farm f;
    farm_open(&f);
    node(&f, 2)->id = 1;
    assert_int_equal(plan_begin(f.p, f.d, NULL, &f.in), PM_EEXISTS);
    node(&f, 2)->id = CATALOG_NODES_MAX;
    assert_int_equal(plan_begin(f.p, f.d, NULL, &f.in), PM_ERANGE);
    node(&f, 2)->id = 2;
    f.in.policy.copies_min = 0;
    assert_int_equal(plan_begin(f.p, f.d, NULL, &f.in), PM_EINVAL);
    f.in.policy.copies_min = 1;
    f.in.policy.per_copy = -1;
    assert_int_equal(plan_begin(f.p, f.d, NULL, &f.in), PM_EINVAL);
    f.in.policy.per_copy = 0;
    f.in.node_count = 0;
    has(&f, "/a", "1");
    assert_string_equal(plan(&f), "no-source /a 0; ");
    assert_string_equal(plan_reason_name(PLAN_REASON_COUNT), "unknown");
    assert_string_equal(plan_reason_text(PLAN_DIVERGENT), "the copies differ");
    farm_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_copies),
        cmocka_unit_test(test_node_lost),
        cmocka_unit_test(test_draining),
        cmocka_unit_test(test_hot),
        cmocka_unit_test(test_doubt),
        cmocka_unit_test(test_cold),
        cmocka_unit_test(test_cold_anew),
        cmocka_unit_test(test_not_removed),
        cmocka_unit_test(test_divergent),
        cmocka_unit_test(test_cannot),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_changes_meanwhile),
        cmocka_unit_test(test_other_entries),
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_most_urgent),
        cmocka_unit_test(test_pending),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
