/* SPDX-License-Identifier: Apache-2.0 */
/* Measured round trips in decisions: the stage, classes of measured prefixes, their scope, what explain says of them. */
#include "policy_world.h"
#include "policy/measured.h"

#define P "10.0.0.1" /* paris */
#define L "10.0.0.2" /* london */
#define N "10.0.0.3" /* newyork */
#define T "10.0.0.4" /* tokyo */
#define P6 "2001:db8:f::1"
#define N6 "2001:db8:f::3"
#define ALL_SITES "sites: {paris: [" P ", '" P6 "'], london: " L ", newyork: [" N ", '" N6 "'], tokyo: " T "}"
#define LYON "192.0.2.1"
#define LOS_ANGELES "192.0.2.129"
#define NOWHERE "10.9.9.9"

struct told {
    const char *site, *prefix;
    double ms;
    uint8_t confidence;
};

static const char *const site_names[] = {"paris", "london", "newyork", "tokyo"};

/* Everything the sites say, in one part of a balancer each; then classes anew. */
static bool tell(struct pw *w, const struct told *told, unsigned n)
{
    static struct rtt_belief list[20000];
    struct world world;
    for (unsigned s = 0; s < 4; s++) {
        char node[32];
        unsigned count = 0;
        snprintf(node, sizeof node, "%s-1", site_names[s]);
        for (unsigned i = 0; i < n && told[i].site; i++) {
            if (strcmp(told[i].site, site_names[s]) != 0)
                continue;
            list[count] = (struct rtt_belief){.us = (uint32_t)(told[i].ms * 1000), .confidence = told[i].confidence,
                                              .connections = 41, .until_ms = UINT64_MAX,
                                              .when_ms = clock_mono_ms(&w->clock.clock) - 12000};
            assert_int_equal(prefix_parse(told[i].prefix, &list[count++].prefix), 0);
        }
        rtt_replace(model_rtt(w->model), sights_vantage(model_sights(w->model), node, site_names[s]), 0, list, count);
    }
    clock_manual_advance_ms(&w->clock, 5000);
    world_init(&world);
    world.current = w->snap;
    bool any = compile_measured(&world, w->model);
    world_fini(&world);
    return any;
}

static struct pw *with_policy(const char *policy)
{
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "  www.example.com:\n    addresses: all\n    policy: %s\n    " ALL_SITES "\n", policy);
    return pw_new(yaml);
}

static const struct {
    const char *what, *policy;
    struct told told[5];
    unsigned family;
    const char *client, *want;
    unsigned scope; /* 0: not looked at */
} cases[] = {
    {"estimated from the distance", "[up, rtt, first]", {{0}}, 0, LYON, P " " L " " N " " T, 26},
    {"measured beats what is near", "[up, rtt, first]", {{"newyork", "192.0.2.0/24", 5, 200}}, 0, LYON, N " " P " " L " " T, 26},
    {"another place in the same prefix", "[up, rtt, first]", {{"tokyo", "192.0.2.0/24", 5, 200}}, 0, LOS_ANGELES,
     T " " N " " L " " P, 26},
    {"where no place is known", "[up, rtt, first]", {{"tokyo", "10.9.9.0/24", 5, 200}}, 0, NOWHERE, T " " P " " L " " N, 24},
    {"beside it", "[up, rtt, first]", {{"tokyo", "10.9.9.0/24", 5, 200}}, 0, "10.9.8.1", P " " L " " N " " T, 24},
    {"far from it", "[up, {rtt: {estimate: no}}, first]", {{"tokyo", "10.9.9.0/24", 5, 200}}, 0, "77.1.1.1", P " " L " " N " " T, 2},
    {"all measured", "[up, rtt, first]",
     {{"paris", "192.0.2.0/24", 40, 200}, {"london", "192.0.2.0/24", 30, 200}, {"newyork", "192.0.2.0/24", 20, 200}, {"tokyo", "192.0.2.0/24", 10, 200}},
     0, LYON, T " " N " " L " " P, 26},
    {"not surely enough", "[up, rtt, first]", {{"tokyo", "192.0.2.0/24", 1, 100}}, 0, LYON, P " " L " " N " " T, 26},
    {"less will do", "[up, {rtt: {confidence: 0.3}}, first]", {{"tokyo", "192.0.2.0/24", 1, 100}}, 0, LYON, T " " P " " L " " N, 26},
    {"surer", "[up, {rtt: {confidence: 0.9}}, first]", {{"tokyo", "192.0.2.0/24", 1, 200}}, 0, LYON, P " " L " " N " " T, 26},
    {"no estimate: unknown last", "[up, {rtt: {estimate: no}}, first]", {{"newyork", "192.0.2.0/24", 900, 200}}, 0, LYON,
     N " " P " " L " " T, 24},
    {"within", "[up, {rtt: {within: 20ms}}, cost, first]",
     {{"paris", "192.0.2.0/24", 20, 200}, {"london", "192.0.2.0/24", 25, 200}, {"newyork", "192.0.2.0/24", 60, 200}, {"tokyo", "192.0.2.0/24", 70, 200}},
     0, LYON, L " " P " " N " " T, 26},
    {"within counts from the best alone", "[up, {rtt: {within: 20ms}}, cost, first]",
     {{"paris", "192.0.2.0/24", 20, 200}, {"london", "192.0.2.0/24", 39, 200}, {"newyork", "192.0.2.0/24", 58, 200}, {"tokyo", "192.0.2.0/24", 77, 200}},
     0, LYON, L " " P " " N " " T, 26},
    {"a percentage, by the other stage", "[up, rtt, {within: 50}, cost, first]",
     {{"paris", "192.0.2.0/24", 20, 200}, {"london", "192.0.2.0/24", 25, 200}, {"newyork", "192.0.2.0/24", 60, 200}, {"tokyo", "192.0.2.0/24", 70, 200}},
     0, LYON, L " " P " " N " " T, 26},
    {"at most", "[up, {rtt: {at-most: 50ms}}, first]", {{"paris", "192.0.2.0/24", 80, 200}}, 0, LYON, L " " N " " T, 26},
    {"at most: unless nothing is left", "[up, {rtt: {at-most: 10ms}}, first]",
     {{"paris", "192.0.2.0/24", 20, 200}, {"london", "192.0.2.0/24", 25, 200}, {"newyork", "192.0.2.0/24", 18, 200}, {"tokyo", "192.0.2.0/24", 70, 200}},
     0, LYON, N " " P " " L " " T, 26},
    {"the wide one where the narrow one is silent", "[up, rtt, first]",
     {{"tokyo", "192.0.0.0/16", 3, 200}, {"newyork", "192.0.2.0/24", 4, 200}}, 0, LYON, T " " N " " P " " L, 26},
    {"the narrow one where both speak", "[up, rtt, first]",
     {{"tokyo", "192.0.0.0/16", 3, 200}, {"tokyo", "192.0.2.0/24", 300, 200}}, 0, LYON, P " " L " " N " " T, 26},
    {"unless it knows little", "[up, rtt, first]",
     {{"tokyo", "192.0.0.0/16", 3, 200}, {"tokyo", "192.0.2.0/24", 300, 100}}, 0, LYON, T " " P " " L " " N, 26},
    {"an IPv6 client", "[up, rtt, first]", {{"newyork", "2001:db8:1::/48", 5, 200}}, 1, "2001:db8:1::77", N6 " " P6, 48},
    {"IPv6 VIPs for an IPv4 client", "[up, rtt, first]", {{"newyork", "192.0.2.0/24", 5, 200}}, 1, LYON, N6 " " P6, 26},
    {"the preset", "round-trip", {{"newyork", "192.0.2.0/24", 1, 200}, {"paris", "192.0.2.0/24", 30, 200}}, 0, LYON,
     N " " L " " P " " T, 26},
    {"blended", "[up, {blend: {round-trip: 1, cost: 0.01}}, first]",
     {{"paris", "192.0.2.0/24", 20, 200}, {"london", "192.0.2.0/24", 90, 200}, {"newyork", "192.0.2.0/24", 60, 200}, {"tokyo", "192.0.2.0/24", 70, 200}},
     0, LYON, P " " N " " T " " L, 24},
};

static void test_cases(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct pw *w = with_policy(cases[i].policy);
        bool any = tell(w, cases[i].told, PM_ARRAY_LEN(cases[i].told));
        assert_int_equal(any, cases[i].told[0].site != NULL);
        const char *got = pw_answer(w, 0, cases[i].family, cases[i].client);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s: wanted %s, got %s", cases[i].what, cases[i].want, got);
        unsigned scope = pw_ask(w, 0, cases[i].family, cases[i].client).scope;
        if (cases[i].scope && scope != cases[i].scope)
            fail_msg("%s: wanted scope %u, got %u", cases[i].what, cases[i].scope, scope);
        pw_free(w);
    }
}

/* Nobody asks for measurements, or nothing moves: nothing is compiled. */
static void test_only_when_it_matters(void **state)
{
    const struct told slow[] = {{"tokyo", "192.0.2.0/24", 5, 200}}, slower[] = {{"tokyo", "192.0.2.0/24", 6, 200}};
    struct pw *w = with_policy("nearest");
    assert_false(tell(w, slow, 1));
    pw_free(w);
    w = with_policy("[up, rtt, first]");
    assert_true(tell(w, slow, 1));
    const struct snap_service *before = w->snap->services[0];
    assert_false(tell(w, slow, 1));
    assert_ptr_equal(before, w->snap->services[0]);
    assert_true(tell(w, slower, 1));
    /* Soon after, it waits. */
    struct world world;
    world_init(&world);
    world.current = w->snap;
    rtt_replace(model_rtt(w->model), sights_vantage(model_sights(w->model), "tokyo-1", "tokyo"), 0, NULL, 0);
    assert_false(compile_measured(&world, w->model));
    assert_string_equal(pw_answer(w, 0, 0, LYON), T " " P " " L " " N);
    clock_manual_advance_ms(&w->clock, 5000);
    assert_true(compile_measured(&world, w->model));
    assert_string_equal(pw_answer(w, 0, 0, LYON), P " " L " " N " " T);
    world_fini(&world);
    /* A change of health keeps the classes; a new snapshot has them from the start. */
    assert_true(tell(w, slow, 1));
    pw_observe(w, 0, P, HEALTH_DOWN, METRIC_COUNT, 0);
    assert_string_equal(pw_answer(w, 0, 0, LYON), T " " L " " N);
    compile_snapshot_free(w->snap);
    w->snap = compile_snapshot(w->model, w->config, w->geo, NULL, 2);
    assert_string_equal(pw_answer(w, 0, 0, LYON), T " " L " " N);
    pw_free(w);
}

/* What a client's class says is what is believed of the way to it, whatever the prefixes; and its scope holds. */
static void check_client(const struct pw *w, const struct addr *a)
{
    const struct snap_view *v = w->snap->services[0]->view;
    struct view_hit hit = view_find(v, w->geo, a), other_hit;
    struct snap_feature f[4];
    struct prefix block;
    view_features(v, w->config, geo_place_at(w->geo, geo_find(w->geo, a).place), w->snap->services[0]->reads, f);
    view_join(v, &hit, f);
    for (unsigned i = 0; i < v->site_count; i++) {
        const struct rtt_belief *b = measured_of(w->model, v->sites[i], a);
        assert_int_equal(b != NULL, !isnan(f[i].rtt_ms));
        if (b)
            assert_true(fabsf(f[i].rtt_ms * 1000 / (float)b->us - 1) < 0.026f);
        if (v->measured->whole) {
            if (w->snap->services[0]->reads & READS_DISTANCE_VALUE)
                assert_memory_equal(&f[i].distance_km, &view_class(v, hit.class)[i].distance_km, sizeof(float));
            assert_memory_equal(&f[i].rtt_ms, &view_class(v, hit.class)[i].rtt_ms, sizeof(float));
        }
    }
    prefix_make(&block, a, hit.scope);
    struct addr other = block.addr;
    for (unsigned bit = hit.scope; bit < addr_bits(a); bit++)
        other.bytes[bit / 8] |= (uint8_t)((rand() & 1) << (7 - bit % 8));
    other_hit = view_find(v, w->geo, &other);
    assert_int_equal(other_hit.class, hit.class);
    assert_int_equal(other_hit.measured, hit.measured);
}

static void random_prefix(struct addr *a, unsigned *len)
{
    static const char *const around[] = {"192.0.2.0", "203.0.113.0", "198.51.100.0", "2001:db8:1::", "2001:db8:2::", "10.1.0.0"};
    assert_int_equal(addr_parse(around[rand() % 6], a), 0);
    bool v4 = a->family == ADDR_V4;
    if (rand() % 2)
        a->bytes[v4 ? 3 : 6] = (uint8_t)rand();
    if (rand() % 4 == 0)
        a->bytes[v4 ? 2 : 5] = (uint8_t)rand();
    *len = v4 ? 16 + (unsigned)rand() % 14 : 32 + (unsigned)rand() % 28;
}

static void test_random_prefixes(void **state)
{
    srand(3);
    for (unsigned round = 0; round < 30; round++) {
        static char text[60][PREFIX_TEXT];
        struct told told[60];
        struct pw *w = with_policy(round % 2 ? "[up, rtt, first]" : "[up, {rtt: {estimate: no}}, geo, first]");
        for (unsigned i = 0; i < 60; i++) {
            struct addr a;
            struct prefix p;
            unsigned len;
            random_prefix(&a, &len);
            prefix_make(&p, &a, len);
            told[i] = (struct told){site_names[rand() % 4], prefix_format(&p, text[i]), 0.2 + rand() % 300,
                                    (uint8_t)(77 + rand() % 178)};
        }
        assert_true(tell(w, told, 60));
        for (unsigned i = 0; i < 400; i++) {
            struct addr a;
            unsigned len;
            random_prefix(&a, &len);
            check_client(w, &a);
        }
        pw_free(w);
    }
}

/* Views that are decided per query: the same answers. */
static void test_per_query(void **state)
{
    const struct told told[] = {{"newyork", "192.0.2.0/24", 5, 200}, {"tokyo", "198.51.0.0/16", 8, 200},
                                {"london", "198.51.100.0/24", 3, 200}, {"paris", "2001:db8:2::/48", 4, 200}};
    struct buf yaml = BUF_INIT;
    static const char *const policies[] = {"nearest", "[up, geo, first]", "[up, match, first]"};
    for (unsigned p = 0; p < 3; p++)
        for (unsigned set = 1; set < 16; set++) {
            buf_printf(&yaml, "  s%u-%u.example.com:\n    policy: %s\n    sites: {", set, p, policies[p]);
            for (unsigned i = 0, n = 0; i < 4; i++)
                if (set >> i & 1)
                    buf_printf(&yaml, "%s%s: 10.1.%u.%u", n++ ? ", " : "", site_names[i], set, i);
            buf_puts(&yaml, "}\n");
        }
    buf_puts(&yaml, "  www.example.com:\n    addresses: all\n    policy: [up, rtt, first]\n    " ALL_SITES "\n");
    struct pw *many = pw_new(buf_str(&yaml)), *one = with_policy("[up, rtt, first]");
    assert_true(tell(many, told, 4));
    assert_true(tell(one, told, 4));
    const struct snap_service *svc = many->snap->services[45];
    assert_true(svc->view->by_place && !svc->family[0].compiled && one->snap->services[0]->family[0].compiled);
    static const char *const clients[] = {LYON, LOS_ANGELES, NOWHERE, "198.51.100.1", "198.51.7.1", "2001:db8:2::1", "2001:db8:1::1"};
    for (unsigned i = 0; i < PM_ARRAY_LEN(clients); i++) {
        char want[256];
        snprintf(want, sizeof want, "%s", pw_answer(one, 0, 0, clients[i]));
        assert_string_equal(pw_answer(many, 45, 0, clients[i]), want);
    }
    assert_string_equal(pw_answer(many, 45, 0, LYON), N " " P " " L " " T);
    pw_free(many);
    pw_free(one);
    buf_fini(&yaml);
}

/* More of different networks than a view may have classes: some are, the others count as not measured. */
static void test_bounded(void **state)
{
    enum { MANY = 6000 };
    static struct told told[MANY];
    static char text[MANY][32];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "10.%u.%u.0/24", i >> 8, i & 255);
        /* Two sites, so that (nearly) every network is a class. */
        told[i] = (struct told){site_names[i & 1], text[i & ~1u], 1 + (i & 1 ? (double)(i / 2 % 97) * 10 : i / 2 / 97.0 * 30), 200};
    }
    struct pw *w = with_policy("[up, rtt, first]");
    assert_true(tell(w, told, MANY));
    const struct snap_view *v = w->snap->services[0]->view;
    assert_true(v->class_count > v->place_classes + 1000 && v->class_count <= v->place_classes + SNAP_CLASSES_MAX);
    assert_string_equal(pw_answer(w, 0, 0, "10.0.0.1") + strlen(P), " " L " " N " " T);
    pw_free(w);
}

static json_t *explained(const struct pw *w, const char *client)
{
    struct explain_query q = {.located = true};
    json_t *e;
    assert_int_equal(addr_parse(client, &q.client), 0);
    assert_int_equal(explain(w->snap, w->model, NULL, &q, &e), 0);
    return e;
}

static const char *why(json_t *e, size_t stage, size_t i)
{
    json_t *pass = json_array_get(json_object_get(e, "passes"), 0);
    json_t *effects = json_object_get(json_array_get(json_object_get(pass, "stages"), stage), "effects");
    return json_string_value(json_object_get(json_array_get(effects, i), "why"));
}

static void test_explain(void **state)
{
    const struct told told[] = {{"newyork", "192.0.2.0/24", 23, 200}, {"london", "192.0.2.0/24", 9, 90}};
    struct pw *w = with_policy("[up, rtt, first]");
    assert_true(tell(w, told, 2));
    json_t *e = explained(w, LYON), *m;
    assert_string_equal(why(e, 1, 0), "not measured, estimated 12.8 ms from 388 km");
    assert_string_equal(why(e, 1, 1), "measured, but not surely enough, estimated 18 ms from 732 km");
    assert_string_equal(why(e, 1, 2), "measured 22.5 ms from newyork for 192.0.2.0/24 by 41 connections, 17 s ago");
    m = json_array_get(json_object_get(e, "measured"), 1);
    assert_string_equal(json_string_value(json_object_get(m, "site")), "newyork");
    assert_string_equal(json_string_value(json_object_get(m, "by")), "newyork-1");
    assert_true(fabs(json_number_value(json_object_get(m, "ms")) - 23) < 1e-6);
    assert_int_equal(json_integer_value(json_object_get(m, "seconds-ago")), 17);
    json_decref(e);
    e = explained(w, NOWHERE);
    assert_string_equal(why(e, 1, 0), "not measured");
    assert_null(json_object_get(e, "measured"));
    json_decref(e);
    pw_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),           cmocka_unit_test(test_only_when_it_matters),
        cmocka_unit_test(test_random_prefixes), cmocka_unit_test(test_per_query),
        cmocka_unit_test(test_bounded),         cmocka_unit_test(test_explain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
