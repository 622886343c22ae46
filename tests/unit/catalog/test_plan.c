/* SPDX-License-Identifier: Apache-2.0 */
/* What is copied and removed, and what is not. */
#include "plan_farm.h"

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
        cmocka_unit_test(test_other_entries),
        cmocka_unit_test(test_input),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
