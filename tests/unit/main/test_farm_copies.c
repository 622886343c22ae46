/* SPDX-License-Identifier: Apache-2.0 */
/* Plans, who carries them out, and what is told to whom. */
#include "catalog_lab.h"

#define THREE "a: {address: 10.0.0.1:8080}, b: {address: 10.0.0.2:8080}, c: {address: 10.0.0.3:8080}"

static size_t actions(void)
{
    return lab.c->shown.action_count;
}

static void answer(unsigned i, int err)
{
    const struct farm_agent_events *e = farm_catalog_events(lab.c);
    e->result(e->ctx, lab.order[i].node, lab.order[i].id, err, err ? "because" : "");
}

static json_t *apply(bool dry, uint64_t plan, const char **error)
{
    struct buf why = BUF_INIT;
    json_t *o = farm_catalog_apply(lab.c, dry, plan, error, &why);
    assert_true(o || why.len);
    buf_fini(&why);
    return o;
}

static void test_manual(void **state)
{
    const char *error = "";
    lab_open(THREE, "copies: 2");
    lab_agents("abc");
    lab_file("a", "www.x.test", "/f%20g", 10, 7);
    lab_file("ab", "www.x.test", "/two", 10, 7);
    lab_seconds(30);
    assert_int_equal(actions(), 1);
    assert_int_equal(lab.order_count, 0);
    json_t *o = apply(true, 0, &error);
    assert_int_equal(json_integer_value(json_object_get(o, "given")), 0);
    assert_int_equal(json_array_size(json_object_get(o, "actions")), 1);
    json_decref(o);
    assert_null(apply(false, lab.c->plan_number + 1, &error)); /* not the one that was looked at */
    assert_string_equal(error, "not-found");
    lab_seconds(1);
    assert_int_equal(lab.order_count, 0);
    o = apply(false, lab.c->plan_number, &error);
    assert_int_equal(json_integer_value(json_object_get(o, "given")), 1);
    json_decref(o);
    lab_seconds(1);
    assert_int_equal(lab.order_count, 1);
    assert_int_equal(lab.order[0].kind, AGENT_COPY);
    assert_true(lab.order[0].node == 1 || lab.order[0].node == 2);
    assert_string_equal(lab.order[0].host, "www.x.test");
    assert_string_equal(lab.order[0].path, "/f%20g");
    assert_int_equal(lab.order[0].size, 10);
    assert_int_equal(lab.order[0].hash, 7);
    assert_int_equal(lab.order[0].id >> 56, 0);
    assert_int_equal(lab.order[0].sources, 1);
    assert_int_equal(lab.order[0].source[0].port, 8080);
    assert_int_equal(lab.order[0].source[0].addr.bytes[3], 1);
    lab_seconds(20);
    assert_int_equal(actions(), 0); /* it is on its way */
    answer(0, 0);
    lab_file((char[]){(char)('a' + lab.order[0].node), 0}, "www.x.test", "/f%20g", 10, 7);
    lab_seconds(90);
    assert_int_equal(actions(), 0);
    assert_int_equal(lab.order_count, 1);
    o = farm_catalog_plan_view(lab.c);
    assert_string_equal(json_string_value(json_object_get(o, "leader")), "lb2");
    assert_int_equal(json_array_size(json_object_get(o, "orders")), 0);
    json_decref(o);
    lab_close();
}

/* A node is lost: nothing for a while, then its content is copied from those that have it. */
static void test_lost(void **state)
{
    lab_open(THREE, "apply: auto, lost-for: 30s, every: 5s");
    lab_agents("abc");
    lab_file("ab", "www.x.test", "/x", 10, 7);
    lab_file("bc", "www.x.test", "/y", 10, 8);
    lab_seconds(40);
    assert_int_equal(lab.order_count, 0);
    lab.server[1].health = HEALTH_DOWN;
    lab_seconds(25);
    assert_int_equal(lab.order_count, 0);
    lab_seconds(20);
    assert_int_equal(lab.order_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        bool x = strcmp(lab.order[i].path, "/x") == 0;
        assert_int_equal(lab.order[i].node, x ? 2 : 0);
        assert_int_equal(lab.order[i].sources, 1); /* the lost one is not asked */
        assert_int_equal(lab.order[i].source[0].addr.bytes[3], x ? 1 : 3);
        answer(i, 0);
        lab_file(x ? "c" : "a", "www.x.test", lab.order[i].path, 10, x ? 7 : 8);
    }
    lab_seconds(60);
    assert_int_equal(lab.order_count, 2);
    assert_string_equal(lab_kernel(), "/x abc, /y abc");
    /* It comes back, with three copies of all: one too many, which go when that lasts; one at a time, and what is hot stays. */
    lab.server[1].health = HEALTH_UP;
    lab_reload(THREE, "", "apply: auto, lost-for: 30s, every: 5s, cold: 60s, hot: 1");
    for (int i = 0; i < 120; i++) {
        for (int k = 0; k < 10; k++)
            lab_note("/x", 200, 'a', false);
        lab_seconds(1);
    }
    assert_int_equal(lab.order_count, 3);
    assert_int_equal(lab.order[2].kind, AGENT_REMOVE);
    assert_string_equal(lab.order[2].path, "/y");
    assert_int_equal(lab.order[2].hash, 8);
    lab_close();
}

static void test_drained(void **state)
{
    lab_open(THREE, "apply: auto, lost-for: 10s, drained-for: 5m, every: 5s");
    lab_agents("abc");
    lab_file("ab", "www.x.test", "/x", 10, 7);
    lab.server[1].word = OVERRIDE_DRAIN;
    lab_seconds(120);
    assert_int_equal(lab.order_count, 0);
    lab_seconds(240);
    assert_int_equal(lab.order_count, 1);
    assert_int_equal(lab.order[0].node, 2);
    lab_close();
}

/* Nothing is ordered before all have reported: what was not heard of is not lost. */
static void test_waits_for_reports(void **state)
{
    lab_open(THREE, "apply: auto, lost-for: 5m, every: 5s");
    lab_agent(1);
    lab_agents("ac");
    lab_file("a", "www.x.test", "/x", 10, 7);
    lab_seconds(60);
    assert_int_equal(actions(), 1);
    assert_int_equal(lab.order_count, 0);
    assert_non_null(catalog_idle_why(lab.c));
    lab_agents("b");
    lab_file("b", "www.x.test", "/x", 10, 7);
    lab_seconds(10);
    assert_int_equal(actions(), 0);
    assert_null(catalog_idle_why(lab.c));
    assert_int_equal(lab.order_count, 0);
    lab_close();
}

static void test_leader(void **state)
{
    const char *error = "";
    lab_open(THREE, "apply: auto, every: 5s");
    lab_agents("abc");
    lab_file("a", "www.x.test", "/x", 10, 7);
    farm_catalog_lead(lab.c, "lb1");
    lab_seconds(60);
    assert_int_equal(actions(), 1); /* it plans, and does nothing */
    assert_int_equal(lab.order_count, 0);
    assert_null(apply(false, 0, &error));
    assert_string_equal(error, "busy");
    farm_catalog_lead(lab.c, NULL);
    lab_seconds(10);
    assert_int_equal(lab.order_count, 0); /* the other one may still be at it */
    lab_seconds(15);
    assert_int_equal(lab.order_count, 1);
    lab_close();
}

static void test_failures(void **state)
{
    lab_open(THREE, "apply: auto, every: 5s, tries: 2, given-up-for: 1h");
    lab_agents("abc");
    lab.agent[2].status.free_bytes = 100000000; /* the first choice */
    lab_file("a", "www.x.test", "/x", 10, 7);
    lab.order_answer = PM_EUNREACH;
    lab_seconds(60);
    lab.order_answer = PM_OK;
    lab_seconds(2);
    assert_int_equal(lab.order_count, 1);
    assert_int_equal(lab.order[0].node, 2);
    answer(0, PM_ESPACE);
    lab_seconds(5);
    assert_int_equal(lab.order_count, 1);
    lab_seconds(10);
    assert_int_equal(lab.order_count, 2);
    assert_int_equal(lab.order[1].node, 2);
    const struct farm_agent_events *e = farm_catalog_events(lab.c);
    e->connected(e->ctx, 2, false); /* lost: no failure, it is told again */
    lab_seconds(12);
    assert_int_equal(lab.order_count, 3);
    assert_int_equal(lab.order[2].id, lab.order[1].id);
    answer(2, PM_ESPACE);
    lab_seconds(10);
    assert_int_equal(lab.order_count, 4); /* given up; another node gets it */
    assert_int_equal(lab.order[3].node, 1);
    json_t *o = farm_catalog_plan_view(lab.c);
    const json_t *last = json_array_get(json_object_get(o, "orders"), 1);
    assert_string_equal(json_string_value(json_object_get(last, "state")), "given-up");
    assert_string_equal(json_string_value(json_object_get(last, "failed")), "because");
    json_decref(o);
    lab_close();
}

/* Only servers of the service get its content, and only where that is allowed. */
static void test_where(void **state)
{
    lab_open(THREE, "apply: auto, every: 5s");
    lab_agents("abc");
    lab_file("a", "other.x.test", "/o", 10, 7); /* of which a is the only server */
    lab_file("a", "www.x.test", "/x", 10, 7);
    lab.agent[1].status.writable = false;
    lab_seconds(40);
    assert_int_equal(lab.order_count, 1);
    assert_string_equal(lab.order[0].path, "/x");
    assert_int_equal(lab.order[0].node, 2);
    assert_int_equal(lab.c->shown.cannot_count, 1);
    assert_string_equal(lab.c->shown.cannots[0].path, "/o");
    lab_close();
}

/* One root for two services: what one has too much of, the other may need. */
static void test_shared_roots(void **state)
{
    lab_open(THREE, "apply: auto, every: 5s, most: 2, cold: 1s");
    lab_agents("abc");
    lab_file("abc", "www.x.test", "/x", 10, 7);
    lab_file("abc", "other.x.test", "/x", 10, 7);
    lab_seconds(60);
    assert_true(actions() > 0);
    assert_int_equal(lab.order_count, 0);
    assert_true(lab.c->withheld > 0);
    lab_gone('a', "other.x.test", "/x"), lab_gone('b', "other.x.test", "/x"), lab_gone('c', "other.x.test", "/x");
    lab_seconds(20);
    assert_int_equal(lab.order_count, 1);
    lab_close();
}

struct seen {
    unsigned n;
    double under;
};

static void on_metric(void *ctx, const char *name, const char *labels, const char *type, const char *help, double value)
{
    struct seen *s = ctx;
    assert_memory_equal(name, "pointsman_catalog_", 18);
    s->n++;
    if (strcmp(name, "pointsman_catalog_under_copied") == 0)
        s->under = value;
}

static void test_metrics(void **state)
{
    struct seen none = {0}, some = {0};
    farm_catalog_metrics(NULL, on_metric, &none);
    lab_open(THREE, "");
    lab_agents("abc");
    lab_file("a", "www.x.test", "/x", 10, 7);
    lab_seconds(30);
    farm_catalog_metrics(lab.c, on_metric, &some);
    assert_int_equal(none.n, some.n);
    assert_true(some.under == 1);
    lab_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manual),  cmocka_unit_test(test_lost),
        cmocka_unit_test(test_drained), cmocka_unit_test(test_waits_for_reports),
        cmocka_unit_test(test_leader),  cmocka_unit_test(test_failures),
        cmocka_unit_test(test_where),   cmocka_unit_test(test_shared_roots),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
