/* SPDX-License-Identifier: Apache-2.0 */
/* Orders: sent, tried again, given up, and what is told of them to the next plan. */
#include "../cmocka_pm.h"

#include <stdio.h>
#include <string.h>
#include "catalog/orders.h"

enum { FIRST = 1000, T0 = 5000000 };

static struct {
    int answer;
    unsigned count;
    uint64_t id[32];
    struct plan_action action[32];
} sent;

static int send_it(void *ctx, uint64_t id, const struct plan_action *a)
{
    assert_ptr_equal(ctx, &sent);
    if (sent.answer)
        return sent.answer;
    sent.id[sent.count] = id;
    sent.action[sent.count++] = *a;
    return PM_OK;
}

static struct plan_action copy(const char *path, uint16_t from, uint16_t to)
{
    return (struct plan_action){.kind = PLAN_COPY,
                                .host = "h",
                                .path = path,
                                .len = strlen(path),
                                .size = 100,
                                .hash = 7,
                                .from = from,
                                .to = to};
}

static struct orders *open_with(uint32_t at_once, uint32_t tries)
{
    struct orders *o = orders_new(FIRST);
    memset(&sent, 0, sizeof sent);
    orders_policy(o, &(struct orders_policy){at_once, tries, 10000, 40000, 3600000, 60000, 300000});
    return o;
}

static void run(struct orders *o, uint64_t now)
{
    orders_run(o, now, send_it, &sent);
}

static void test_done(void **state)
{
    struct orders *o = open_with(4, 3);
    struct orders_figures f;
    struct plan_action a = copy("/a", 1, 2), again = copy("/a", 3, 2);
    size_t n;
    assert_int_equal(orders_take(o, &a, T0), PM_OK);
    assert_int_equal(orders_take(o, &again, T0), PM_EEXISTS); /* to the same node */
    run(o, T0);
    assert_int_equal(sent.count, 1);
    assert_int_equal(sent.id[0], FIRST);
    assert_int_equal(orders_pending(o, &n)[0].to, 2);
    assert_int_equal(n, 1);
    orders_seen(o, 2, "h", "/a", 2, true); /* before the answer: it waits for that */
    run(o, T0 + 1);
    orders_pending(o, &n);
    assert_int_equal(n, 1);
    assert_true(orders_result(o, FIRST, PM_OK, "", T0 + 2));
    assert_false(orders_result(o, FIRST, PM_OK, "", T0 + 2)); /* told twice */
    assert_false(orders_result(o, FIRST + 9, PM_OK, "", T0 + 2));
    orders_pending(o, &n);
    assert_int_equal(n, 1); /* until it is seen */
    orders_seen(o, 2, "h", "/a", 2, false);
    orders_seen(o, 1, "h", "/a", 2, true);
    run(o, T0 + 3);
    orders_pending(o, &n);
    assert_int_equal(n, 1);
    orders_seen(o, 2, "h", "/a", 2, true);
    run(o, T0 + 4);
    orders_pending(o, &n);
    assert_int_equal(n, 0);
    orders_figures(o, &f);
    assert_int_equal(f.copied, 1);
    assert_int_equal(f.copied_bytes, 100);
    assert_int_equal(orders_take(o, &a, T0 + 5), PM_OK);
    orders_free(o);
}

/* Done, and never seen: it is forgotten after a while, and the next plan may want it again. */
static void test_settles(void **state)
{
    struct orders *o = open_with(4, 3);
    struct plan_action a = {.kind = PLAN_REMOVE, .host = "h", .path = "/a", .len = 2, .from = 1, .to = PLAN_NOBODY};
    size_t n;
    assert_int_equal(orders_take(o, &a, T0), PM_OK);
    run(o, T0);
    assert_true(orders_result(o, FIRST, PM_OK, NULL, T0));
    run(o, T0 + 59999);
    orders_pending(o, &n);
    assert_int_equal(n, 1);
    run(o, T0 + 60000);
    orders_pending(o, &n);
    assert_int_equal(n, 0);
    orders_free(o);
}

static void test_at_once(void **state)
{
    struct orders *o = open_with(2, 3);
    char path[8];
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "/%d", i);
        struct plan_action a = copy(path, 1, i < 4 ? 2 : 3);
        assert_int_equal(orders_take(o, &a, T0), PM_OK);
    }
    run(o, T0);
    assert_int_equal(sent.count, 3);
    assert_int_equal(sent.action[2].to, 3);
    assert_true(orders_result(o, sent.id[0], PM_OK, "", T0));
    run(o, T0);
    assert_int_equal(sent.count, 4);
    assert_string_equal(sent.action[3].path, "/2");
    orders_lost(o, 2, T0); /* both that it had wait, and the fourth, which never was sent, is sent before them */
    run(o, T0);
    assert_int_equal(sent.count, 5);
    assert_string_equal(sent.action[4].path, "/3");
    run(o, T0 + 10000);
    assert_int_equal(sent.count, 6); /* one more place */
    orders_free(o);
}

static void test_tried_again(void **state)
{
    struct orders *o = open_with(4, 3);
    struct plan_action a = copy("/a", 1, 2), b = copy("/a", 1, 3);
    struct order_view v;
    struct orders_figures f;
    size_t n;
    assert_int_equal(orders_take(o, &a, T0), PM_OK);
    run(o, T0);
    assert_true(orders_result(o, FIRST, PM_ESPACE, "no room", T0));
    assert_true(orders_view(o, 0, &v));
    assert_string_equal(v.why, "no room");
    assert_int_equal(v.state, ORDER_WAITING);
    assert_int_equal(v.due, T0 + 10000);
    run(o, T0 + 9999);
    assert_int_equal(sent.count, 1);
    run(o, T0 + 10000);
    assert_int_equal(sent.count, 2);
    run(o, T0 + 10000 + 3600000); /* no answer at all */
    assert_true(orders_view(o, 0, &v));
    assert_string_equal(v.why, "no answer");
    assert_int_equal(v.due, T0 + 10000 + 3600000 + 20000);
    uint64_t now = v.due;
    run(o, now);
    assert_false(orders_gave_up(o, "h", "/a", 2, 2, now));
    assert_true(orders_result(o, FIRST, PM_EIO, "", now));
    assert_true(orders_view(o, 0, &v));
    assert_int_equal(v.state, ORDER_GIVEN_UP);
    assert_string_equal(v.why, err_text(PM_EIO));
    assert_false(orders_view(o, 1, &v));
    orders_pending(o, &n);
    assert_int_equal(n, 0);
    assert_true(orders_gave_up(o, "h", "/a", 2, 2, now));
    assert_false(orders_gave_up(o, "h", "/a", 2, 3, now));
    assert_int_equal(orders_take(o, &a, now), PM_EEXISTS);
    assert_int_equal(orders_take(o, &b, now), PM_OK); /* another node */
    a.hash++;
    assert_int_equal(orders_take(o, &a, now), PM_OK); /* another content */
    orders_drop_waiting(o);
    a.hash--;
    assert_false(orders_gave_up(o, "h", "/a", 2, 2, now + 300000));
    assert_int_equal(orders_take(o, &a, now + 300000), PM_OK);
    orders_figures(o, &f);
    assert_int_equal(f.abandoned, 1);
    assert_int_equal(f.failed, 3);
    orders_free(o);
}

/* An agent that is not there, or busy, is no failure of the order. */
static void test_not_there(void **state)
{
    struct orders *o = open_with(4, 1);
    struct plan_action a = copy("/a", 1, 2);
    struct order_view v;
    assert_int_equal(orders_take(o, &a, T0), PM_OK);
    static const int errs[] = {PM_EUNREACH, PM_EAGAIN, PM_ENOTFOUND};
    uint64_t now = T0;
    for (int i = 0; i < 3; i++, now += 1000) {
        sent.answer = errs[i];
        run(o, now);
        assert_true(orders_view(o, 0, &v));
        assert_int_equal(v.state, ORDER_WAITING);
        assert_int_equal(v.tries, 0);
        assert_int_equal(v.due, now + 1000);
    }
    sent.answer = PM_EINVAL;
    run(o, now);
    assert_true(orders_view(o, 0, &v));
    assert_int_equal(v.state, ORDER_GIVEN_UP);
    orders_free(o);
}

static void test_bounds(void **state)
{
    struct orders *o = open_with(1, 1);
    struct orders_figures f;
    char path[16];
    sent.answer = PM_EINVAL;
    for (int i = 0; i < ORDERS_GIVEN_UP_MAX + 10; i++) {
        snprintf(path, sizeof path, "/%d", i);
        struct plan_action a = copy(path, 1, 2);
        assert_int_equal(orders_take(o, &a, T0), PM_OK);
        run(o, T0);
    }
    orders_figures(o, &f);
    assert_int_equal(f.given_up, ORDERS_GIVEN_UP_MAX);
    assert_int_equal(f.abandoned, ORDERS_GIVEN_UP_MAX + 10);
    assert_false(orders_gave_up(o, "h", "/9", 2, 2, T0));
    assert_true(orders_gave_up(o, "h", "/10", 3, 2, T0));
    struct order_view v;
    assert_true(orders_view(o, 0, &v)); /* the latest first */
    assert_string_equal(v.action->path, "/1009");
    for (int i = 0; i < ORDERS_MAX; i++) {
        snprintf(path, sizeof path, "/w%d", i);
        struct plan_action a = copy(path, 1, 2);
        assert_int_equal(orders_take(o, &a, T0), PM_OK);
    }
    struct plan_action a = copy("/one-more", 1, 2);
    assert_int_equal(orders_take(o, &a, T0), PM_EBUSY);
    orders_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_done),        cmocka_unit_test(test_settles),   cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_tried_again), cmocka_unit_test(test_not_there), cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
