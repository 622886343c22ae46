/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes, in which order, and how much of it. */
#include "plan_farm.h"

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

/* ctx: "/path node", the one that may not. */
static bool may(void *ctx, const struct directory_key *key, uint16_t node)
{
    const char *no = ctx;
    assert_string_equal(key->host, "h");
    return strlen(no) != key->len + 2 || strncmp(no, key->text, key->len) != 0 || no[key->len + 1] - '0' != node;
}

static void test_may(void **state)
{
    struct farm f;
    farm_open(&f);
    has(&f, "/a", "1"), has(&f, "/b", "1");
    for (uint16_t id = 4; id <= NODES; id++)
        node(&f, id)->allowed = false;
    node(&f, 2)->free = 5000000;
    f.in.may = may;
    f.in.may_ctx = (char[]){"/c 2"};
    assert_string_equal(plan(&f), "copy /a 1>2 under-copied; copy /b 1>2 under-copied; ");
    f.in.may_ctx = (char[]){"/b 2"};
    assert_string_equal(plan(&f), "copy /a 1>2 under-copied; copy /b 1>3 under-copied; ");
    node(&f, 3)->allowed = false;
    assert_string_equal(plan(&f), "copy /a 1>2 under-copied; no-node /b 1; ");
    node(&f, 3)->allowed = true;
    node(&f, 1)->domain = node(&f, 2)->domain = "east";
    f.in.policy.spread = true;
    has(&f, "/a", "2"), has(&f, "/b", "2");
    f.in.may_ctx = (char[]){"/a 3"}; /* the only one elsewhere, and the emptiest there */
    assert_string_equal(plan(&f), "copy /b 1>3 one-domain; ");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_may), cmocka_unit_test(test_order),
        cmocka_unit_test(test_most_urgent),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_pending),
        cmocka_unit_test(test_changes_meanwhile),
    };
    return cmocka_run_group_tests_name("plan choice", tests, NULL, NULL);
}
