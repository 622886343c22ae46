/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips of clients: what becomes of samples, who has how much of a say, what is believed and told, the bounds. */
#include "../cmocka_pm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "model/model.h"
#include "model/rtt.h"

enum { T0 = 1000000, MIN = 60000 };

static struct addr at(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static struct prefix net(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static enum rtt_verdict add(struct rtt_samples *s, const char *client, uint16_t port, uint32_t us, uint64_t now)
{
    struct addr a = at(client);
    return rtt_samples_add(s, &a, port, us, now);
}

static struct rtt_estimate known(const struct rtt_samples *s, const char *prefix, uint64_t now)
{
    struct rtt_estimate e = {0};
    struct prefix p = net(prefix);
    (void)rtt_samples_find(s, &p, now, &e);
    return e;
}

/* ---- samples ---- */

static void test_verdicts(void **state)
{
    struct rtt_samples *s = rtt_samples_new(0);
    assert_int_equal(add(s, "192.0.2.1", 1000, 0, T0), RTT_ZERO);
    assert_int_equal(add(s, "192.0.2.1", 1000, RTT_MAX_US + 1, T0), RTT_TOO_LONG);
    assert_int_equal(rtt_samples_prefixes(s), 0);
    assert_int_equal(add(s, "192.0.2.1", 1000, 20000, T0), RTT_TAKEN);
    assert_int_equal(add(s, "192.0.2.1", 1000, 900000, T0 + 1000), RTT_SAME_CONNECTION);
    assert_int_equal(add(s, "192.0.2.1", 1001, 20000, T0 + 1000), RTT_TAKEN);
    assert_int_equal(add(s, "192.0.2.1", 1000, 20000, T0 + 121000), RTT_TAKEN); /* the port again, another connection */
    assert_int_equal(add(s, "192.0.2.2", 1000, 21000, T0 + 121000), RTT_TAKEN);
    /* Four are known: what is far above them is no round trip, until it stays so. */
    for (uint16_t i = 0; i < 3; i++)
        assert_int_equal(add(s, "192.0.2.3", i, 2000000, T0 + 121000), RTT_OUTLIER);
    assert_int_equal(add(s, "192.0.2.3", 3, 2000000, T0 + 121000), RTT_TAKEN);
    assert_int_equal(known(s, "192.0.2.0/24", T0 + 121000).us, 21000);
    assert_int_equal(rtt_samples_count(s, RTT_TAKEN), 5);
    assert_int_equal(rtt_samples_count(s, RTT_OUTLIER), 3);
    assert_string_equal(rtt_verdict_name(RTT_SAME_CONNECTION), "repeated");
    rtt_samples_free(s);
}

/* However many connections one client opens, it has one voice. */
static void test_one_client_is_one_voice(void **state)
{
    struct rtt_samples *s = rtt_samples_new(0);
    for (uint16_t i = 0; i < 1000; i++)
        assert_int_equal(add(s, "192.0.2.66", i, 100, T0), RTT_TAKEN);
    float alone = known(s, "192.0.2.0/24", T0).confidence;
    assert_true(alone > 0.6f && alone < 0.7f); /* two voices at most, all agree */
    assert_int_equal(add(s, "192.0.2.1", 1, 30000, T0), RTT_TAKEN);
    assert_int_equal(add(s, "192.0.2.2", 1, 31000, T0), RTT_TAKEN);
    struct rtt_estimate e = known(s, "192.0.2.0/24", T0);
    assert_int_equal(e.us, 30000);
    assert_int_equal(e.connections, 1002);
    assert_true(e.confidence < alone); /* they do not agree */
    for (uint16_t i = 1000; i < 2000; i++)
        (void)add(s, "192.0.2.66", i, 100, T0);
    assert_int_equal(known(s, "192.0.2.0/24", T0).us, 30000);
    /* Nor can it push the others out. */
    for (unsigned i = 0; i < 20; i++) {
        char client[32];
        snprintf(client, sizeof client, "192.0.2.%u", 100 + i);
        assert_int_equal(add(s, client, 1, 30000 + i * 10, T0 + 1), RTT_TAKEN);
    }
    for (uint16_t i = 2000; i < 3000; i++)
        (void)add(s, "192.0.2.66", i, 100, T0 + 2);
    e = known(s, "192.0.2.0/24", T0 + 2);
    assert_true(e.us >= 30000 && e.us < 31000 && e.confidence > 0.9f);
    /* All of an IPv6 /64 is one. */
    for (unsigned i = 1; i < 100; i++) {
        char client[64];
        snprintf(client, sizeof client, "2001:db8:1:2::%x", i);
        assert_int_equal(add(s, client, 1, 100, T0), RTT_TAKEN);
    }
    (void)add(s, "2001:db8:1:3::1", 1, 40000, T0);
    (void)add(s, "2001:db8:1:4::1", 1, 41000, T0);
    assert_int_equal(known(s, "2001:db8:1::/48", T0).us, 40000);
    rtt_samples_free(s);
}

/* The wider prefix hears each narrow one once, and is not known by fewer than three. */
static void test_wide(void **state)
{
    struct rtt_samples *s = rtt_samples_new(0);
    char client[32];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(client, sizeof client, "198.51.100.%u", i);
        (void)add(s, client, 1, 500, T0);
    }
    assert_true(known(s, "198.51.100.0/24", T0).confidence > 0.9f);
    assert_true(known(s, "198.51.0.0/16", T0).confidence <= 0);
    (void)add(s, "198.51.1.1", 1, 20000, T0);
    assert_true(known(s, "198.51.0.0/16", T0).confidence <= 0);
    (void)add(s, "198.51.2.1", 1, 22000, T0);
    struct rtt_estimate e = known(s, "198.51.0.0/16", T0);
    assert_int_equal(e.us, 20000); /* two honest networks against one that is not */
    assert_true(e.confidence > 0 && e.confidence < 0.5f);
    for (unsigned i = 3; i < 12; i++) {
        snprintf(client, sizeof client, "198.51.%u.1", i);
        (void)add(s, client, 1, 20000 + i * 100, T0);
    }
    e = known(s, "198.51.0.0/16", T0);
    assert_true(e.us > 20000 && e.us < 22000 && e.confidence > 0.8f);
    assert_true(known(s, "203.0.113.0/24", T0).confidence <= 0);
    rtt_samples_free(s);
}

static void test_fades(void **state)
{
    struct rtt_samples *s = rtt_samples_new(0);
    char client[32];
    for (unsigned i = 0; i < 16; i++) {
        snprintf(client, sizeof client, "192.0.2.%u", i);
        (void)add(s, client, 1, 20000, T0);
    }
    float before = 1;
    for (unsigned hours = 0; hours < 6; hours++) {
        struct rtt_estimate e = known(s, "192.0.2.0/24", T0 + hours * 60ull * MIN);
        assert_true(e.confidence < before);
        assert_int_equal(e.us, 20000);
        before = e.confidence;
    }
    assert_true(before < RTT_FORGET);
    /* New ones count more than old ones: the way has changed. */
    for (unsigned i = 100; i < 106; i++) {
        snprintf(client, sizeof client, "192.0.2.%u", i);
        (void)add(s, client, 1, 45000, T0 + 60 * MIN);
    }
    assert_int_equal(known(s, "192.0.2.0/24", T0 + 60 * MIN).us, 45000);
    rtt_samples_free(s);
}

static uint32_t dice(uint32_t sides)
{
    return (uint32_t)rand() % sides;
}

/* Whatever comes: within the bounds, and every estimate between the samples it is made of. */
static void test_random(void **state)
{
    enum { MAX = 40, NETS = 12 };
    srand(11);
    for (unsigned round = 0; round < 20; round++) {
        struct rtt_samples *s = rtt_samples_new(MAX);
        uint32_t low[NETS], high[NETS];
        uint64_t now = T0, taken = 0;
        memset(low, 0xff, sizeof low);
        memset(high, 0, sizeof high);
        for (unsigned i = 0; i < 3000; i++) {
            unsigned n = dice(NETS);
            uint32_t us = dice(20) ? dice(300000) : dice(2) * 20000000;
            struct addr a = {.family = n & 1 ? ADDR_V4 : ADDR_V6};
            a.bytes[0] = n & 1 ? 10 : 0x20;
            a.bytes[2] = (uint8_t)n;
            a.bytes[n & 1 ? 3 : 7] = (uint8_t)dice(40);
            now += dice(2000);
            if (rtt_samples_add(s, &a, (uint16_t)dice(5000), us, now) == RTT_TAKEN) {
                low[n] = us < low[n] ? us : low[n];
                high[n] = us > high[n] ? us : high[n];
                taken++;
            }
            assert_true(rtt_samples_prefixes(s) <= MAX);
            struct prefix p;
            struct rtt_estimate e;
            prefix_make(&p, &a, n & 1 ? 24 : 48);
            if (rtt_samples_find(s, &p, now, &e)) {
                assert_true(e.us >= low[n] && e.us <= high[n] && e.spread_us <= high[n] - low[n]);
                assert_true(e.confidence > 0 && e.confidence < 1 && e.last_ms <= now);
            }
        }
        assert_int_equal(taken, rtt_samples_count(s, RTT_TAKEN));
        rtt_samples_free(s);
    }
}

/* A table that is full gives up those that are silent. */
static void test_eviction(void **state)
{
    struct rtt_samples *s = rtt_samples_new(64);
    for (unsigned i = 0; i < 5000; i++) {
        struct addr a = {.family = ADDR_V4, .bytes = {10, (uint8_t)(i >> 8), (uint8_t)i, 1}};
        assert_int_equal(rtt_samples_add(s, &a, 1, 20000, T0 + i * 10), RTT_TAKEN);
        assert_int_equal(add(s, "192.0.2.1", (uint16_t)i, 20000, T0 + i * 10), RTT_TAKEN); /* never silent */
    }
    assert_int_equal(rtt_samples_prefixes(s), 64);
    assert_true(known(s, "192.0.2.0/24", T0 + 50000).connections > 4000);
    assert_int_equal(known(s, "10.0.0.0/24", T0 + 50000).us, 0);
    rtt_samples_free(s);
}

/* ---- beliefs ---- */

static const struct rtt_belief *belief(const struct rtt *r, const char *prefix, uint16_t vantage)
{
    struct prefix p = net(prefix);
    const struct rtt_prefix *of = rtt_find(r, &p);
    const struct rtt_belief *b = of ? of->beliefs : NULL;
    while (b && b->vantage != vantage)
        b = b->next;
    return b;
}

static void clients(struct rtt_samples *s, const char *net24, unsigned n, uint32_t us, uint64_t now)
{
    char client[32];
    static uint16_t port;
    port++;
    for (unsigned i = 1; i <= n; i++) {
        snprintf(client, sizeof client, "%s.%u", net24, i);
        assert_int_equal(add(s, client, port, us, now), RTT_TAKEN);
    }
}

static void test_settle(void **state)
{
    struct rtt_samples *s = rtt_samples_new(0);
    struct rtt *r = rtt_new();
    const struct rtt_belief *own[RTT_PART_MAX];
    clients(s, "192.0.2", 8, 20000, T0);
    (void)rtt_take_due(r);
    rtt_settle(r, s, T0);
    const struct rtt_belief *b = belief(r, "192.0.2.0/24", VANTAGE_OWN);
    assert_non_null(b);
    assert_int_equal(rtt_beliefs(r), 1); /* the /16 is not known by one alone */
    assert_int_equal(b->us, 20000);
    assert_int_equal(b->connections, 8);
    assert_int_equal(rtt_take_due(r), 1u << b->part);
    assert_int_equal(rtt_take_due(r), 0);
    assert_int_equal(rtt_own_part(r, b->part, own), 1);
    assert_ptr_equal(own[0], b);
    assert_int_equal(rtt_own_part(r, (b->part + 1u) % RTT_PARTS, own), 0);
    /* The same again, and a little more: nothing to tell. */
    uint64_t changes = rtt_changes(r);
    clients(s, "192.0.2", 16, 20600, T0 + 1000);
    rtt_settle(r, s, T0 + 1000);
    assert_int_equal(rtt_take_due(r), 0);
    assert_int_equal(rtt_changes(r), changes);
    assert_int_equal(b->us, 20000);
    assert_int_equal(b->connections, 24);
    assert_int_equal(b->when_ms, T0 + 1000);
    for (unsigned i = 0; i < 8; i++)
        clients(s, "192.0.2", 16, 40000, T0 + 2000 + i);
    rtt_settle(r, s, T0 + 3000);
    assert_int_equal(b->us, 40000);
    assert_int_equal(rtt_take_due(r), 1u << b->part);
    assert_true(rtt_changes(r) > changes);
    /* Nobody comes any more. */
    rtt_settle(r, s, T0 + 600ull * MIN);
    assert_int_equal(rtt_beliefs(r), 0);
    assert_int_equal(rtt_prefixes(r), 0);
    assert_int_not_equal(rtt_take_due(r), 0);
    rtt_free(r);
    rtt_samples_free(s);
}

/* Of more prefixes than can be told of, those with most connections. */
static void test_most_used(void **state)
{
    enum { NETS = RTT_OWN_MAX + 300 };
    struct rtt_samples *s = rtt_samples_new(0);
    struct rtt *r = rtt_new();
    for (unsigned i = 0; i < NETS; i++)
        for (uint16_t k = 0; k < (i % 9 == 0 ? 2 : 5); k++) {
            struct addr a = {.family = ADDR_V4, .bytes = {10, (uint8_t)(i >> 8), (uint8_t)i, (uint8_t)k}};
            assert_int_equal(rtt_samples_add(s, &a, 1, 20000, T0), RTT_TAKEN);
        }
    rtt_settle(r, s, T0);
    assert_int_equal(rtt_beliefs(r), RTT_OWN_MAX);
    unsigned few = 0;
    const struct rtt_prefix *p;
    for (size_t i = 0; (p = rtt_next(r, &i));)
        few += p->beliefs->connections == 2;
    assert_true(few > 0 && few < NETS / 9); /* all of the others, and what then fits */
    rtt_free(r);
    rtt_samples_free(s);
}

/* Against a plain table, at random: vantages speak in parts, take back, run out; a new model takes over. */
static void test_beliefs_random(void **state)
{
    enum { VANTAGES = 3, PARTS = 2, NETS = 10 };
    struct {
        uint32_t us;
        uint64_t until;
    } plain[VANTAGES][PARTS][NETS] = {{{{0}}}};
    struct rtt *r = rtt_new();
    uint64_t now = T0;
    srand(5);
    for (unsigned i = 0; i < 4000; i++) {
        uint16_t v = (uint16_t)dice(VANTAGES);
        uint8_t part = (uint8_t)dice(PARTS);
        struct rtt_belief list[NETS];
        unsigned n = 0;
        now += dice(5000);
        memset(plain[v][part], 0, sizeof plain[v][part]);
        for (unsigned k = 0; k < NETS; k++) {
            if (dice(3) == 0)
                continue;
            plain[v][part][k].us = 1 + dice(100);
            plain[v][part][k].until = now + 20000 + dice(60000);
            list[n] =
                (struct rtt_belief){.us = plain[v][part][k].us, .confidence = 200, .until_ms = plain[v][part][k].until};
            list[n++].prefix = (struct prefix){{.family = ADDR_V4, .bytes = {10, part, (uint8_t)k}}, 24};
        }
        rtt_replace(r, (uint16_t)(v + 2), part, list, n);
        rtt_expire(r, now);
        if (dice(100) == 0) {
            const uint16_t same[VANTAGES + 2] = {0, 1, 2, 3, 4};
            struct rtt *next = rtt_new();
            rtt_adopt(next, r, same);
            rtt_free(r);
            r = next;
        }
        size_t count = 0;
        for (unsigned w = 0; w < VANTAGES; w++)
            for (unsigned p = 0; p < PARTS; p++)
                for (unsigned k = 0; k < NETS; k++) {
                    struct prefix net24 = {{.family = ADDR_V4, .bytes = {10, (uint8_t)p, (uint8_t)k}}, 24};
                    const struct rtt_prefix *of = rtt_find(r, &net24);
                    const struct rtt_belief *b = of ? of->beliefs : NULL;
                    while (b && b->vantage != w + 2)
                        b = b->next;
                    count += b != NULL;
                    if (!plain[w][p][k].us)
                        assert_null(b);
                    else if (plain[w][p][k].until > now)
                        assert_true(b && b->us == plain[w][p][k].us);
                    else /* swept now and then */
                        assert_true(!b || plain[w][p][k].until + 20000 > now);
                }
        assert_int_equal(rtt_beliefs(r), count);
    }
    rtt_free(r);
}

static void test_one_prefix_one_part(void **state)
{
    struct rtt *r = rtt_new();
    struct rtt_belief b = {.prefix = net("192.0.2.0/24"), .us = 5000, .confidence = 200, .until_ms = UINT64_MAX};
    rtt_replace(r, 2, 7, &b, 1);
    b.us = 9000;
    rtt_replace(r, 2, 8, &b, 1); /* against the rules */
    assert_int_equal(rtt_beliefs(r), 1);
    assert_int_equal(belief(r, "192.0.2.0/24", 2)->us, 5000);
    rtt_replace(r, 3, 8, &b, 1);
    assert_int_equal(belief(r, "192.0.2.0/24", 3)->us, 9000);
    rtt_replace(r, 2, 7, NULL, 0);
    assert_null(belief(r, "192.0.2.0/24", 2));
    assert_int_equal(rtt_beliefs(r), 1);
    rtt_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),       cmocka_unit_test(test_one_client_is_one_voice),
        cmocka_unit_test(test_wide),           cmocka_unit_test(test_fades),
        cmocka_unit_test(test_random),         cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_settle),         cmocka_unit_test(test_most_used),
        cmocka_unit_test(test_beliefs_random), cmocka_unit_test(test_one_prefix_one_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
