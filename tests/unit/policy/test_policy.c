/* SPDX-License-Identifier: Apache-2.0 */
/* Every stage and preset, both families, by tables: policy, what was observed, client -> answer in order. */
#include "policy_world.h"

#define P "10.0.0.1" /* paris */
#define L "10.0.0.2" /* london */
#define N "10.0.0.3" /* newyork */
#define T "10.0.0.4" /* tokyo */
#define P6 "2001:db8:f::1"
#define N6 "2001:db8:f::3"

#define ALL_SITES "sites: {paris: [" P ", '" P6 "'], london: " L ", newyork: [" N ", '" N6 "'], tokyo: " T "}"

#define LYON "192.0.2.1"
#define MANCHESTER "192.0.2.65"
#define LOS_ANGELES "192.0.2.129"
#define SYDNEY "192.0.2.193"
#define OSAKA "203.0.113.1"
#define MEXICO "203.0.113.129"
#define NOWHERE "10.9.9.9"

struct seen {
    const char *vip;
    enum health health;
    enum metric metric;
    float value;
};

#define DOWN(vip) {vip, HEALTH_DOWN, METRIC_COUNT, 0}
#define MS(vip, ms) {vip, HEALTH_UP, METRIC_RESPONSE, ms}
#define HOPS(vip, n) {vip, HEALTH_UP, METRIC_HOPS, n}
#define LOAD(vip, n) {vip, HEALTH_UP, METRIC_LOAD, n}
#define CONNS(vip, n) {vip, HEALTH_UP, METRIC_CONNECTIONS, n}
#define SPEED(vip, n) {vip, HEALTH_UP, METRIC_THROUGHPUT, n}

static const struct {
    const char *what, *service;
    struct seen seen[4];
    unsigned family;
    const char *client, *want;
} cases[] = {
    /* up */
    {"unknown counts as up", "policy: [up, order, first]", {DOWN(P)}, 0, LYON, L " " N " " T},
    {"avoid-unknown", "policy: [{up: {avoid-unknown: yes}}, order, first]", {MS(T, 5)}, 0, LYON, T " " P " " L " " N},
    {"families are judged apart", "policy: [up, order, first]", {DOWN(P)}, 1, LYON, P6 " " N6},
    {"down in IPv6", "policy: [up, order, first]", {DOWN(P6)}, 1, LYON, N6},
    /* order, only, cost */
    {"failover", "policy: failover", {DOWN(P), DOWN(L)}, 0, LYON, N " " T},
    {"only", "policy: [up, {only: [2, 4]}, order, first]", {{0}}, 0, LYON, L},
    {"cost", "policy: [up, cost, first]", {{0}}, 0, LYON, N " " L " " P " " T},
    {"cheapest preset", "policy: cheapest", {DOWN(N)}, 0, LYON, L " " P " " T},
    /* near */
    {"nearest to Lyon", "policy: nearest", {{0}}, 0, LYON, P " " L " " N " " T},
    {"nearest to Manchester", "policy: nearest", {{0}}, 0, MANCHESTER, L " " P " " N " " T},
    {"nearest to Los Angeles", "policy: nearest", {{0}}, 0, LOS_ANGELES, N " " L " " T " " P},
    {"nearest to Sydney", "policy: nearest", {{0}}, 0, SYDNEY, T " " N " " P " " L},
    {"nearest is down", "policy: nearest", {DOWN(T)}, 0, SYDNEY, N " " P " " L},
    {"nearest for an IPv6 client", "policy: nearest", {{0}}, 0, "2001:db8:2::5", N " " L " " T " " P},
    {"IPv6 VIPs for an IPv4 client", "policy: nearest", {{0}}, 1, LOS_ANGELES, N6 " " P6},
    {"no place: the service's order", "policy: nearest", {{0}}, 0, NOWHERE, P " " L " " N " " T},
    /* geo, match */
    {"geo by country", "policy: [up, geo, first]", {{0}}, 0, MANCHESTER, L " " P " " N " " T},
    {"geo by continent", "policy: [up, geo, first]", {DOWN(P)}, 0, LYON, L " " N " " T},
    {"match by AS", "policy: asn", {DOWN(P), DOWN(L)}, 0, LOS_ANGELES, N " " T},
    {"match by country", "policy: [up, {match: country}, order, first]", {{0}}, 0, MEXICO, N " " P " " L " " T},
    {"match by continent", "policy: [up, match, order, first]", {{0}}, 0, SYDNEY, T " " P " " L " " N},
    {"match by region", "policy: [up, {match: region}, order, first]", {{0}}, 0, OSAKA, T " " P " " L " " N},
    {"match by prefix", "policy: [up, {match: prefix}, order, first]", {{0}}, 0, "198.51.100.7", N " " P " " L " " T},
    {"match required", "policy: [up, {match: {by: any, require: yes}}, first]", {{0}}, 0, SYDNEY, T},
    {"match required, none: servfail", "policy: [up, {match: {by: any, require: yes}}, first]\n    all-down: servfail", {{0}}, 0, LYON,
     "SERVFAIL"},
    /* metrics */
    {"response time", "policy: [up, response-time, first]", {MS(P, 90), MS(L, 40), MS(N, 10), MS(T, 60)}, 0, LYON,
     N " " L " " T " " P},
    {"not measured comes last", "policy: [up, response-time, first]", {MS(T, 60)}, 0, LYON, T " " P " " L " " N},
    {"sun-least-loaded", "policy: sun-least-loaded", {MS(P, 100), MS(L, 103), LOAD(L, 0.1f), LOAD(P, 0.9f)}, 0, LYON,
     L " " P " " N " " T},
    {"sun-closest", "policy: sun-closest", {HOPS(P, 9), HOPS(L, 4), HOPS(N, 2), HOPS(T, 12)}, 0, LYON, N " " L " " P " " T},
    {"client-centric: latency", "policy: client-centric", {MS(P, 90), MS(L, 40), MS(N, 10), MS(T, 60)}, 0, LYON,
     N " " L " " T " " P},
    {"client-centric: nearest of about equal", "policy: client-centric", {MS(P, 105), MS(L, 103), MS(N, 100), MS(T, 160)}, 0, LYON,
     P " " L " " N " " T},
    {"throughput", "policy: [up, throughput, first]", {SPEED(P, 1e6f), SPEED(L, 5e6f), SPEED(N, 2e6f), SPEED(T, 3e6f)}, 0, LYON,
     L " " T " " N " " P},
    {"load", "policy: [up, load, first]", {LOAD(P, 0.5f), LOAD(L, 0.25f), LOAD(N, 0.75f), LOAD(T, 1)}, 0, LYON,
     L " " P " " N " " T},
    {"connections", "policy: [up, connections, first]", {CONNS(P, 50), CONNS(L, 10), CONNS(N, 70), CONNS(T, 100)}, 0, LYON,
     L " " P " " N " " T},
    {"blend of distance and response", "policy: [up, {blend: {distance: 1, response: 1}}, first]", {MS(P, 500), MS(L, 20), MS(N, 20), MS(T, 20)},
     0, LYON, L " " P " " N " " T},
    /* within */
    {"within keeps to the outer tier", "policy: [up, geo, near, {within: 1000}, cost, first]", {{0}}, 0, MANCHESTER,
     L " " P " " N " " T},
    {"within groups near ones", "policy: [up, near, {within: 200}, cost, first]", {{0}}, 0, MANCHESTER, L " " P " " N " " T},
    /* all-down */
    {"all down: all", "policy: failover\n    all-down: all", {DOWN(P), DOWN(L), DOWN(N), DOWN(T)}, 0, LYON, P " " L " " N " " T},
    {"all down: last good", "policy: failover\n    all-down: last-good", {DOWN(P), DOWN(L), DOWN(N), DOWN(T)}, 0, LYON, T},
    {"all down: servfail", "policy: failover\n    all-down: servfail", {DOWN(P), DOWN(L), DOWN(N), DOWN(T)}, 0, LYON, "SERVFAIL"},
    {"all down: fallback", "policy: failover\n    all-down: fallback\n    fallback: [192.0.2.99, '2001:db8::99']",
     {DOWN(P), DOWN(L), DOWN(N), DOWN(T)}, 0, LYON, "192.0.2.99"},
    /* presets that draw: one candidate left makes them certain */
    {"weighted", "policy: weighted", {DOWN(P), DOWN(L), DOWN(N)}, 0, LYON, T},
    {"round-robin", "policy: round-robin", {DOWN(P), DOWN(L), DOWN(N)}, 0, LYON, T},
    {"geo preset", "policy: geo", {{0}}, 0, LYON, P " " L " " N " " T},
    {"alteon: near first", "policy: alteon", {DOWN(L)}, 0, LYON, P},
};

static void test_cases(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        char yaml[1024];
        snprintf(yaml, sizeof yaml,
                 "  www.example.com:\n    addresses: all\n    check: http\n    %s\n    " ALL_SITES "\n", cases[i].service);
        struct pw *w = pw_new(yaml);
        for (unsigned k = 0; k < 4 && cases[i].seen[k].vip; k++)
            pw_observe(w, 0, cases[i].seen[k].vip, cases[i].seen[k].health, cases[i].seen[k].metric, cases[i].seen[k].value);
        const char *got = pw_answer(w, 0, cases[i].family, cases[i].client);
        /* A wanted text that is shorter is a wanted beginning: presets that draw among the rest. */
        if (strncmp(got, cases[i].want, strlen(cases[i].want)) != 0)
            fail_msg("%s: wanted %s, got %s", cases[i].what, cases[i].want, got);
        pw_free(w);
    }
}

static void test_overrides(void **state)
{
    struct pw *w = pw_new("  www.example.com:\n    addresses: all\n    check: http\n    policy: failover\n    " ALL_SITES "\n");
    struct overrides o;
    overrides_init(&o);
    assert_int_equal(overrides_set(&o, "paris", OVERRIDE_DISABLE, 1, 0), 0);
    assert_int_equal(overrides_set(&o, "*.example.com@lon*", OVERRIDE_DRAIN, 1, 0), 0);
    overrides_apply(&o, w->model);
    pw_publish(w);
    assert_string_equal(pw_answer(w, 0, 0, LYON), N " " T);
    pw_observe(w, 0, N, HEALTH_DOWN, METRIC_COUNT, 0);
    pw_observe(w, 0, T, HEALTH_DOWN, METRIC_COUNT, 0);
    assert_string_equal(pw_answer(w, 0, 0, LYON), L); /* drained, but the only one left */
    assert_int_equal(overrides_set(&o, N, OVERRIDE_FORCE, 1, 0), 0);
    overrides_apply(&o, w->model);
    pw_publish(w);
    assert_string_equal(pw_answer(w, 0, 0, LYON), N); /* measured down, but the operator says up */
    assert_int_equal(overrides_set(&o, "nosuch", OVERRIDE_NONE, 1, 0), PM_ENOTFOUND);
    assert_int_equal(overrides_match_count(w->model, "nosuch"), 0);
    assert_int_equal(overrides_match_count(w->model, "www.example.com"), 6);
    overrides_fini(&o);
    pw_free(w);
}

/* Shares within 1 % over 100,000 draws, for weights of services and sites, with one VIP of weight 0. */
static void test_weighted_shares(void **state)
{
    struct pw *w = pw_new("  www.example.com:\n    addresses: 1\n    policy: weighted\n    sites:\n"
                          "      paris: {vips: [" P "], weight: 6}\n      london: {vips: [" L "], weight: 3}\n"
                          "      newyork: {vips: [" N "], weight: 1}\n      tokyo: {vips: [" T "], weight: 0}\n");
    enum { DRAWS = 100000 };
    unsigned n[4] = {0};
    for (unsigned i = 0; i < DRAWS; i++) {
        struct director_answer a = pw_ask(w, 0, 0, LYON);
        n[a.address[0][3] - 1]++;
    }
    const double want[] = {0.6, 0.3, 0.1, 0};
    for (unsigned i = 0; i < 4; i++)
        assert_true(fabs((double)n[i] / DRAWS - want[i]) < 0.01);
    assert_int_equal(n[3], 0);
    pw_free(w);
}

static void test_round_robin(void **state)
{
    struct pw *w = pw_new("  www.example.com:\n    addresses: 2\n    policy: round-robin\n    " ALL_SITES "\n");
    assert_string_equal(pw_answer(w, 0, 0, LYON), P " " L);
    assert_string_equal(pw_answer(w, 0, 1, LYON), P6 " " N6); /* AAAA has turns of its own */
    assert_string_equal(pw_answer(w, 0, 0, LYON), L " " N);
    assert_string_equal(pw_answer(w, 0, 0, LYON), N " " T);
    assert_string_equal(pw_answer(w, 0, 0, LYON), T " " P);
    assert_string_equal(pw_answer(w, 0, 1, LYON), N6 " " P6);
    pw_free(w);
}

/* When a VIP goes, only its own clients move, and shares stay fair. */
static void test_consistent_hash(void **state)
{
    struct pw *w = pw_new("  www.example.com:\n    addresses: 1\n    check: http\n    policy: consistent-hash\n    " ALL_SITES "\n");
    enum { CLIENTS = 20000 };
    uint8_t *before = mem_alloc(CLIENTS);
    unsigned moved = 0, n[5] = {0};
    char client[32];
    for (unsigned i = 0; i < CLIENTS; i++) {
        snprintf(client, sizeof client, "10.%u.%u.1", i >> 8, i & 255);
        struct director_answer a = pw_ask(w, 0, 0, client);
        before[i] = a.address[0][3];
        n[before[i]]++;
        assert_int_equal(a.scope, 24);
    }
    for (unsigned i = 1; i <= 4; i++)
        assert_true(abs((int)n[i] - CLIENTS / 4) < CLIENTS / 40);
    pw_observe(w, 0, L, HEALTH_DOWN, METRIC_COUNT, 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        snprintf(client, sizeof client, "10.%u.%u.77", i >> 8, i & 255); /* same /24 */
        struct director_answer a = pw_ask(w, 0, 0, client);
        if (before[i] == 2)
            assert_int_not_equal(a.address[0][3], 2);
        else
            moved += a.address[0][3] != before[i];
    }
    assert_int_equal(moved, 0);
    free(before);
    pw_free(w);
}

/* Scopes are the widest that hold: the class's range, nothing for policies that do not look at the client. */
static void test_scopes(void **state)
{
    struct pw *w = pw_new("  a.example.com:\n    policy: nearest\n    " ALL_SITES "\n"
                          "  b.example.com:\n    policy: failover\n    " ALL_SITES "\n"
                          "  c.example.com:\n    policy: [up, {match: prefix}, first]\n    " ALL_SITES "\n");
    assert_int_equal(pw_ask(w, 0, 0, LYON).scope, 26);
    assert_int_equal(pw_ask(w, 1, 0, LYON).scope, 0);
    assert_int_equal(pw_ask(w, 2, 0, "198.51.100.7").scope, 24);
    assert_int_equal(pw_ask(w, 2, 0, "192.0.2.1").scope, 6); /* 192.0.0.0/6 is the widest without 198.51.100.0/24 */
    assert_int_equal(pw_ask(w, 0, 0, "2001:db8:1::1").scope, 48);
    /* Every address inside a scope gets the same answer. */
    srand(7);
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t b[4] = {(uint8_t)(i & 1 ? 192 : 203), 0, (uint8_t)(i & 1 ? 2 : 113), (uint8_t)rand()};
        struct addr a, other;
        char text[ADDR_TEXT], first[256];
        addr_from_bytes(&a, ADDR_V4, b);
        unsigned scope = pw_ask(w, 0, 0, addr_format(&a, text)).scope;
        snprintf(first, sizeof first, "%s", pw_answer(w, 0, 0, text));
        struct prefix p;
        prefix_make(&p, &a, scope);
        other = p.addr;
        for (unsigned bit = scope; bit < 32; bit++)
            if (rand() & 1)
                other.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
        assert_string_equal(pw_answer(w, 0, 0, addr_format(&other, text)), first);
    }
    pw_free(w);
}

/* Configured, derived and bounded TTLs. */
static void test_ttl(void **state)
{
    struct pw *w = pw_new("  a.example.com:\n    check: http\n    ttl: 90s\n    policy: failover\n    " ALL_SITES "\n"
                          "  b.example.com:\n    check: http\n    min-ttl: 5s\n    max-ttl: 60s\n    policy: failover\n    " ALL_SITES "\n");
    assert_int_equal(pw_ask(w, 0, 0, LYON).ttl_s, 90);
    assert_int_equal(pw_ask(w, 1, 0, LYON).ttl_s, 60); /* nothing is checked yet: the upper bound */
    pw_observe(w, 1, P, HEALTH_UP, METRIC_COUNT, 0);   /* stable for 20 s */
    assert_int_equal(pw_ask(w, 1, 0, LYON).ttl_s, 20);
    pw_free(w);
}

/* A change of one VIP compiles its services only. */
static void test_incremental(void **state)
{
    struct pw *w = pw_new("  a.example.com:\n    check: http\n    policy: failover\n    " ALL_SITES "\n"
                          "  b.example.com:\n    check: http\n    policy: failover\n    " ALL_SITES "\n");
    const struct snap_service *a = w->snap->services[0], *b = w->snap->services[1];
    struct observation o = {.vip = pw_vip(w, 0, P), .health = HEALTH_UP, .stable_ms = 20000};
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        o.metric[i] = NAN;
    model_observe(w->model, &o);
    assert_int_equal(model_dirty_count(w->model), 1);
    pw_publish(w);
    assert_ptr_not_equal(w->snap->services[0], a);
    assert_ptr_equal(w->snap->services[1], b);
    o.metric[METRIC_RESPONSE] = 12; /* failover does not read it */
    model_observe(w->model, &o);
    assert_int_equal(model_dirty_count(w->model), 0);
    pw_free(w);
}

static unsigned released_count;
static void on_released(void *ctx, uint32_t vip)
{
    released_count++;
}

static void test_quorum(void **state)
{
    struct pw *w = pw_new("  a.example.com:\n    addresses: 1\n    check: http\n    policy: failover\n    " ALL_SITES "\n");
    struct observation o = {.vip = pw_vip(w, 0, P), .health = HEALTH_UP, .stable_ms = 20000};
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        o.metric[i] = NAN;
    assert_int_equal(model_config(w->model)->mesh.quorum, 2);
    assert_true(model_observe(w->model, &o));
    o.health = HEALTH_DOWN;
    o.vantage = sights_vantage(model_sights(w->model), "london-1", "london");
    assert_false(model_observe(w->model, &o)); /* one of two */
    o.vantage = sights_vantage(model_sights(w->model), "tokyo-1", NULL);
    assert_false(model_observe(w->model, &o)); /* they must mean it */
    clock_manual_advance_ms(&w->clock, 4000);
    model_second(w->model, on_released, NULL);
    pw_publish(w);
    assert_string_equal(pw_answer(w, 0, 0, LYON), P);
    clock_manual_advance_ms(&w->clock, 1000);
    model_second(w->model, on_released, NULL);
    pw_publish(w);
    assert_string_equal(pw_answer(w, 0, 0, LYON), L);
    model_forget(w->model, o.vip, o.vantage);
    pw_publish(w);
    assert_string_equal(pw_answer(w, 0, 0, LYON), P);
    pw_free(w);
}

/* Paris is over its target: a part of its clients goes to the next best, and only that part. */
static void test_spill(void **state)
{
    struct pw *w = pw_new("  a.example.com:\n    addresses: 1\n    check: http\n    policy: [up, near, {spill: 50}]\n"
                          "    sites: {paris: {vips: {address: " P ", max-connections: 100}}, london: {vips: {address: " L
                          ", max-connections: 100}}, tokyo: " T "}\n");
    uint32_t paris = pw_vip(w, 0, P);
    model_report(w->model, paris, METRIC_CONNECTIONS, 30);
    loop_run(w->model, 1);
    pw_publish(w);
    for (unsigned i = 0; i < 100; i++)
        assert_string_equal(pw_answer(w, 0, 0, LYON), P);
    model_report(w->model, paris, METRIC_CONNECTIONS, 100);
    for (unsigned s = 0; s < 60; s++)
        loop_run(w->model, 1);
    float admit = model_vip(w->model, paris)->admit;
    assert_true(admit > 0.2f && admit < 0.7f);
    pw_publish(w);
    unsigned stayed = 0;
    for (unsigned i = 0; i < 10000; i++) {
        const char *a = pw_answer(w, 0, 0, LYON);
        stayed += strcmp(a, P) == 0;
        assert_string_not_equal(a, T);
    }
    assert_in_range(stayed, (unsigned)(admit * 10000) - 100, (unsigned)(admit * 10000) + 100);
    /* A model of the next generation goes on where this one was. */
    struct model *next = model_new(w->config, &w->clock.clock);
    model_adopt(next, w->model);
    assert_true(model_vip(next, paris)->admit == admit);
    model_free(next);
    /* The load is gone: so is the limit. */
    model_report(w->model, paris, METRIC_CONNECTIONS, 10);
    for (unsigned s = 0; s < 600; s++)
        loop_run(w->model, 1);
    assert_true(model_vip(w->model, paris)->admit == 1);
    pw_free(w);
}

/* Four sites of equal weight, half of which may move within a minute: the third that fails keeps its clients. */
static void test_guard(void **state)
{
    struct pw *w = pw_new("  a.example.com:\n    addresses: all\n    check: http\n    policy: failover\n    " ALL_SITES
                          "\nmonitor: {move-limit: 50}\n");
    static const char *const vips[] = {P, L, N, T};
    unsigned before = released_count;
    for (unsigned i = 0; i < 4; i++)
        pw_observe(w, 0, vips[i], HEALTH_UP, METRIC_COUNT, 0);
    pw_observe(w, 0, P, HEALTH_DOWN, METRIC_COUNT, 0);
    clock_manual_advance_ms(&w->clock, 30000);
    pw_observe(w, 0, L, HEALTH_DOWN, METRIC_COUNT, 0);
    pw_observe(w, 0, N, HEALTH_DOWN, METRIC_COUNT, 0);
    assert_string_equal(pw_answer(w, 0, 0, LYON), N " " T);
    model_second(w->model, on_released, NULL);
    assert_int_equal(released_count, before);
    clock_manual_advance_ms(&w->clock, 31000); /* paris is a minute ago: room for one */
    model_second(w->model, on_released, NULL);
    assert_int_equal(released_count, before + 1);
    pw_publish(w);
    assert_string_equal(pw_answer(w, 0, 0, LYON), T);
    /* Up again: nothing is kept of it. */
    pw_observe(w, 0, N, HEALTH_UP, METRIC_COUNT, 0);
    assert_string_equal(pw_answer(w, 0, 0, LYON), N " " T);
    pw_free(w);
}

/* Explain runs the same decision: its first VIP is the answer's, for many clients and every deterministic policy. */
static void test_explain_agrees(void **state)
{
    static const char *const policies[] = {"nearest", "geo", "failover", "client-centric", "cheapest", "consistent-hash",
                                           "[up, near, {within: 30}, cost, first]", "[up, match, geo, first]"};
    struct history *h = history_new(16, 0);
    for (size_t p = 0; p < PM_ARRAY_LEN(policies); p++) {
        char yaml[512];
        snprintf(yaml, sizeof yaml, "  www.example.com:\n    addresses: all\n    check: http\n    policy: %s\n    " ALL_SITES "\n",
                 policies[p]);
        struct pw *w = pw_new(yaml);
        pw_observe(w, 0, P, HEALTH_UP, METRIC_RESPONSE, 80);
        pw_observe(w, 0, L, HEALTH_DOWN, METRIC_RESPONSE, 20);
        pw_observe(w, 0, T, HEALTH_UP, METRIC_RESPONSE, 84);
        srand(3);
        for (unsigned i = 0; i < 1250; i++) {
            json_t *j;
            char text[ADDR_TEXT];
            uint8_t b[16] = {(uint8_t)(i % 3 ? 192 : 203), 0, (uint8_t)(i % 3 ? 2 : 113), (uint8_t)rand()};
            struct explain_query q = {.service = 0, .family = i % 2, .located = true};
            addr_from_bytes(&q.client, ADDR_V4, b);
            struct director_answer a = pw_ask(w, 0, q.family, addr_format(&q.client, text));
            assert_int_equal(explain(w->snap, w->model, h, &q, &j), 0);
            json_t *order = json_object_get(j, "order");
            assert_int_equal(json_array_size(order), a.count);
            /* What draws inside a tier may come in any order there; the tiers may not. */
            struct addr best;
            bool found = false;
            addr_from_bytes(&best, q.family ? ADDR_V6 : ADDR_V4, a.address[0]);
            for (size_t k = 0; k < json_array_size(order); k++) {
                json_t *e = json_array_get(order, k);
                if (strcmp(json_string_value(json_object_get(e, "address")), addr_format(&best, text)) == 0) {
                    assert_int_equal(json_integer_value(json_object_get(e, "tier")), 1);
                    found = true;
                }
            }
            assert_true(found);
            json_decref(j);
        }
        pw_free(w);
    }
    history_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),          cmocka_unit_test(test_overrides),       cmocka_unit_test(test_weighted_shares),
        cmocka_unit_test(test_round_robin),    cmocka_unit_test(test_consistent_hash), cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_ttl),            cmocka_unit_test(test_incremental),     cmocka_unit_test(test_quorum),
        cmocka_unit_test(test_guard),          cmocka_unit_test(test_spill),          cmocka_unit_test(test_explain_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
