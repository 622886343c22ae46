/* SPDX-License-Identifier: Apache-2.0 */
/* The patent's tables (JP2000315200A, I-V), what must hold of any matrix, and the stages that go by it. */
#include <jansson.h>
#include <stdlib.h>
#include "policy/handoff.h"
#include "policy_world.h"

enum { PATENT_SITES = 6 };

static json_t *patent_load(void)
{
    json_error_t e;
    json_t *d = json_load_file(TEST_DATA "/handoff-tables.json", 0, &e);
    if (!d)
        fail_msg("%s", e.text);
    return d;
}

static const char *site(const json_t *d, unsigned i)
{
    return json_string_value(json_array_get(json_object_get(d, "sites"), i));
}

static void patent_matrix(const json_t *d, float ms[PATENT_SITES * PATENT_SITES])
{
    for (unsigned row = 0; row < PATENT_SITES; row++)
        for (unsigned column = 0; column < PATENT_SITES; column++) {
            const json_t *v =
                json_object_get(json_object_get(json_object_get(d, "times"), site(d, row)), site(d, column));
            ms[row * PATENT_SITES + column] = v ? (float)json_number_value(v) : NAN;
        }
}

static struct handoff_places patent_places(const json_t *d)
{
    const json_t *w = json_object_get(d, "place_weights");
    struct handoff_places p = {.count = (unsigned)json_array_size(w)};
    for (unsigned i = 0; i < p.count; i++)
        p.weight[i] = (uint8_t)json_integer_value(json_array_get(w, i));
    return p;
}

static void assert_weights(const json_t *d, const json_t *table, const uint32_t total[], uint32_t sum)
{
    for (unsigned i = 0; i < PATENT_SITES; i++) {
        assert_int_equal(total[i],
                         json_integer_value(json_object_get(json_object_get(table, "total_weight"), site(d, i))));
        assert_int_equal(lround(100.0 * total[i] / sum),
                         json_integer_value(json_object_get(json_object_get(table, "traffic_percent"), site(d, i))));
    }
}

static void test_patent_orders(void **state)
{
    float ms[PATENT_SITES * PATENT_SITES];
    json_t *d = patent_load();
    patent_matrix(d, ms);
    for (unsigned tester = 0; tester < PATENT_SITES; tester++) {
        uint8_t order[HANDOFF_SITES_MAX];
        const json_t *wanted = json_object_get(json_object_get(d, "preferences"), site(d, tester));
        unsigned n = handoff_order(&(struct handoff_matrix){PATENT_SITES, ms}, tester, order);
        assert_int_equal(n, json_array_size(wanted));
        for (unsigned i = 0; i < n; i++)
            assert_string_equal(site(d, order[i]), json_string_value(json_array_get(wanted, i)));
    }
    json_decref(d);
}

static void test_patent_shares(void **state)
{
    float ms[PATENT_SITES * PATENT_SITES];
    uint32_t total[PATENT_SITES];
    json_t *d = patent_load();
    struct handoff_places places = patent_places(d);
    patent_matrix(d, ms);
    uint32_t sum = handoff_totals(&(struct handoff_matrix){PATENT_SITES, ms}, &places, total);
    assert_weights(d, d, total, sum);
    json_decref(d);
}

/* Table V gives totals after C is lost to everybody; its weights must give the printed shares. */
static void test_patent_site_lost(void **state)
{
    json_t *d = patent_load(), *t = json_object_get(d, "table_v");
    uint32_t total[PATENT_SITES], sum = 0;
    for (unsigned i = 0; i < PATENT_SITES; i++)
        sum += total[i] = (uint32_t)json_integer_value(json_object_get(json_object_get(t, "total_weight"), site(d, i)));
    assert_int_equal(sum,
                     42); /* six orders of 4 + 2 + 1: a lost site's places go to the next, its own order still counts */
    assert_weights(d, t, total, sum);
    float ms[PATENT_SITES * PATENT_SITES];
    struct handoff_places places = patent_places(d);
    patent_matrix(d, ms);
    for (unsigned column = 0; column < PATENT_SITES; column++)
        ms[2 * PATENT_SITES + column] = INFINITY;
    assert_int_equal(handoff_totals(&(struct handoff_matrix){PATENT_SITES, ms}, &places, total), 42);
    assert_int_equal(total[2], 0);
    json_decref(d);
}

/* ---- any matrix ---- */

static uint64_t rng = 7;
static unsigned below(unsigned n)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(rng >> 33) % n;
}

static void random_matrix(unsigned n, float *ms)
{
    for (unsigned i = 0; i < n * n; i++) {
        unsigned kind = below(10);
        ms[i] = kind == 0 ? NAN : kind == 1 ? INFINITY : (float)below(20); /* few values: many ties */
    }
}

static void test_properties(void **state)
{
    float ms[HANDOFF_SITES_MAX * HANDOFF_SITES_MAX];
    for (unsigned round = 0; round < 2000; round++) {
        unsigned n = 1 + below(HANDOFF_SITES_MAX);
        struct handoff_places p = {.count = 1 + below(HANDOFF_PLACES)};
        uint32_t total[HANDOFF_SITES_MAX], expected = 0, added = 0;
        for (unsigned i = 0; i < p.count; i++)
            p.weight[i] = (uint8_t)below(HANDOFF_WEIGHT_MAX + 1);
        random_matrix(n, ms);
        struct handoff_matrix m = {n, ms};
        uint32_t sum = handoff_totals(&m, &p, total);
        for (unsigned tester = 0; tester < n; tester++) {
            uint8_t order[HANDOFF_SITES_MAX];
            bool there[HANDOFF_SITES_MAX] = {false};
            unsigned count = handoff_order(&m, tester, order);
            for (unsigned i = 0; i < count; i++) {
                float t = ms[order[i] * n + tester];
                assert_true(isfinite(t) && order[i] != tester && !there[order[i]]);
                there[order[i]] = true;
                if (i) {
                    float before = ms[order[i - 1] * n + tester];
                    assert_true(before < t || (before == t && order[i - 1] < order[i]));
                }
                expected += i < p.count ? p.weight[i] : 0;
            }
            for (unsigned row = 0; row < n; row++)
                assert_true(there[row] || row == tester || !isfinite(ms[row * n + tester]));
        }
        for (unsigned i = 0; i < n; i++)
            added += total[i];
        assert_int_equal(sum, expected);
        assert_int_equal(sum, added);
    }
}

/* ---- through model, compiler and director ---- */

#define FOUR_SITES                                                                                                     \
    "    check: http\n    addresses: 1\n    sites: {paris: 192.0.2.1, london: 192.0.2.2, newyork: 192.0.2.3, tokyo: "  \
    "192.0.2.4}\n"
static const char *const names[] = {"paris", "london", "newyork", "tokyo"};
static const char *const vips[] = {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"};

struct telling {
    unsigned from, of;
    float ms;
};

static void tell(struct pw *w, const struct telling *t)
{
    char node[32];
    snprintf(node, sizeof node, "%s-1", names[t->from]);
    struct observation o = {.vip = pw_vip(w, 0, vips[t->of]),
                            .health = isfinite(t->ms) ? HEALTH_UP : HEALTH_DOWN,
                            .stable_ms = UINT64_MAX,
                            .vantage = sights_vantage(model_sights(w->model), node, names[t->from])};
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        o.metric[i] = NAN;
    o.metric[METRIC_RESPONSE] = isfinite(t->ms) ? t->ms : NAN;
    model_observe(w->model, &o);
}

static const struct snap_seen *seen_of(const struct pw *w)
{
    return w->snap->services[0]->family[0].seen;
}

/* Whatever is told in whatever order, twice or again later: the same table. */
static void test_order_of_arrival(void **state)
{
    struct telling all[12];
    unsigned n = 0;
    for (unsigned from = 0; from < 4; from++)
        for (unsigned of = 0; of < 4; of++)
            if (from != of)
                all[n++] = (struct telling){from, of, below(5) ? (float)(1 + below(300)) : INFINITY};
    uint32_t wanted[4] = {0};
    for (unsigned round = 0; round < 20; round++) {
        struct pw *w = pw_new("  www.example.com:\n    policy: [up, handoff, spread]\n" FOUR_SITES);
        for (unsigned i = n; i-- > 1;) {
            unsigned k = below(i + 1);
            struct telling t = all[i];
            all[i] = all[k];
            all[k] = t;
        }
        for (unsigned i = 0; i < n; i++) {
            struct telling old = all[i];
            old.ms = (float)below(100); /* an older word first */
            tell(w, &old);
            if (below(2))
                tell(w, &all[below(n)]);
        }
        for (unsigned i = 0; i < n; i++)
            tell(w, &all[i]);
        pw_publish(w);
        assert_int_equal(seen_of(w)->count, 4);
        if (round == 0)
            memcpy(wanted, seen_of(w)->total, sizeof wanted);
        else
            assert_memory_equal(seen_of(w)->total, wanted, sizeof wanted);
        pw_free(w);
    }
}

static void count_answers(const struct pw *w, unsigned queries, unsigned out[4])
{
    memset(out, 0, 4 * sizeof *out);
    for (unsigned i = 0; i < queries; i++) {
        const char *a = pw_answer(w, 0, 0, "198.51.100.1");
        for (unsigned k = 0; k < 4; k++)
            out[k] += strcmp(a, vips[k]) == 0;
    }
}

/* All prefer paris, then london, then newyork: 3x4, 3x2 + 4, 3x1 + 2, 1 in the order of the names (paris judges the others). */
static struct pw *world_with_table(const char *stages)
{
    char yaml[512];
    snprintf(yaml, sizeof yaml, "  www.example.com:\n    policy: %s\n" FOUR_SITES, stages);
    struct pw *w = pw_new(yaml);
    for (unsigned from = 0; from < 4; from++)
        for (unsigned of = 0; of < 4; of++)
            if (from != of)
                tell(w, &(struct telling){from, of, 10.0f * (float)(of + 1)});
    pw_publish(w);
    return w;
}

static void test_stage(void **state)
{
    struct pw *w = world_with_table("[up, handoff, spread]");
    const struct snap_seen *s = seen_of(w);
    /* Rows by name: london, newyork, paris, tokyo. */
    assert_int_equal(s->total[0], 4 + 2 + 2);
    assert_int_equal(s->total[1], 2 + 2 + 1);
    assert_int_equal(s->total[2], 4 + 4 + 4);
    assert_int_equal(s->total[3], 1 + 1 + 1);
    assert_int_equal(s->sum, 28);
    unsigned got[4];
    count_answers(w, 2800, got);
    static const int wanted[4] = {1200, 800, 500, 300};
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(got[i], wanted[i] - 3, wanted[i] + 3); /* spread: nothing is left to chance */
    /* What this balancer cannot reach itself is down in its own table: the rest share. */
    pw_observe(w, 0, vips[0], HEALTH_DOWN, METRIC_COUNT, 0);
    count_answers(w, 1600, got);
    assert_int_equal(got[0], 0);
    assert_in_range(got[1], 797, 803);
    pw_free(w);
}

static void test_spread_is_even(void **state)
{
    struct pw *w = world_with_table("[up, handoff, spread]");
    unsigned run[4] = {0};
    for (unsigned i = 0; i < 5000; i++) {
        const char *a = pw_answer(w, 0, 0, "198.51.100.1");
        for (unsigned k = 0; k < 4; k++)
            run[k] = strcmp(a, vips[k]) == 0 ? run[k] + 1 : 0;
        assert_in_range(run[0], 0, 2); /* 43 % never comes more than twice on end */
        assert_in_range(run[3], 0, 1);
    }
    pw_free(w);
}

/* With few sites, or nobody's times, capacity decides (A7). */
static void test_few(void **state)
{
    struct pw *w = world_with_table("[up, {handoff: {few: 4}}, spread]");
    unsigned got[4];
    count_answers(w, 400, got);
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(got[i], 98, 102);
    pw_free(w);
    w = pw_new("  www.example.com:\n    policy: [up, handoff, spread]\n" FOUR_SITES);
    count_answers(w, 400, got);
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(got[i], 98, 102);
    pw_free(w);
}

static void test_weight_zero_gets_nothing(void **state)
{
    struct pw *w = world_with_table("[up, {handoff: [4]}, spread]");
    unsigned got[4];
    count_answers(w, 1000, got);
    assert_int_equal(got[2] + got[3], 0);
    assert_int_equal(got[0] + got[1], 1000);
    pw_free(w);
}

/* Tokyo's balancer sees paris nearer than newyork, whatever the map says. */
static void test_latency(void **state)
{
    struct pw *w = pw_new("  www.example.com:\n    policy: [up, latency, near, first]\n" FOUR_SITES);
    assert_string_equal(pw_answer(w, 0, 0, "203.0.113.1"), "192.0.2.4"); /* nothing measured: distance */
    tell(w, &(struct telling){3, 3, 1});
    tell(w, &(struct telling){3, 0, 140});
    tell(w, &(struct telling){3, 2, 180});
    tell(w, &(struct telling){1, 2, 2}); /* london's view is not this client's */
    pw_publish(w);
    assert_string_equal(pw_answer(w, 0, 0, "203.0.113.1"), "192.0.2.4");
    pw_observe(w, 0, vips[3], HEALTH_DOWN, METRIC_COUNT, 0);
    assert_string_equal(pw_answer(w, 0, 0, "203.0.113.1"), "192.0.2.1");
    pw_free(w);
}

/* What this balancer tells is in its own matrix, in the same steps: 5 % and half a millisecond. */
static void test_own_sight(void **state)
{
    struct pw *w = pw_new("  www.example.com:\n    policy: [up, handoff, spread]\n" FOUR_SITES);
    unsigned row = 2, column = 3, n = 4; /* paris as seen from tokyo */
    pw_observe(w, 0, vips[0], HEALTH_UP, METRIC_RESPONSE, 100);
    assert_true(seen_of(w)->ms[row * n + column] == 100);
    const struct snap_service *before = w->snap->services[0];
    pw_observe(w, 0, vips[0], HEALTH_UP, METRIC_RESPONSE, 104);
    assert_ptr_equal(w->snap->services[0], before); /* not even compiled */
    assert_true(sights_find(model_sights(w->model), pw_vip(w, 0, vips[0]), VANTAGE_OWN)->response_ms == 100);
    pw_observe(w, 0, vips[0], HEALTH_UP, METRIC_RESPONSE, 106);
    assert_true(seen_of(w)->ms[row * n + column] == 106);
    pw_observe(w, 0, vips[0], HEALTH_DOWN, METRIC_COUNT, 0);
    assert_true(isinf(seen_of(w)->ms[row * n + column]));
    pw_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patent_orders),
        cmocka_unit_test(test_patent_shares),
        cmocka_unit_test(test_patent_site_lost),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_order_of_arrival),
        cmocka_unit_test(test_stage),
        cmocka_unit_test(test_spread_is_even),
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_weight_zero_gets_nothing),
        cmocka_unit_test(test_latency),
        cmocka_unit_test(test_own_sight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
