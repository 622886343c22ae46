/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps a flow at its node, and what takes it away: changes of the ring, drained nodes and nodes that are down, second
 * chances, clients as a whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "plain_lab.h"

/* ---- rings that change ---- */

/* Weights, a node added, a node drained: known flows stay; of unknown ones only about as many move as weight did. */
static void test_ring_changes(void **state)
{
    static const struct {
        uint32_t from[NODES], to[NODES];
        double share; /* of all weight that is elsewhere afterwards */
    } changes[] = {
        {{1, 1, 1, 1}, {2, 1, 1, 1}, 0.15},
        {{1, 1, 1, 0}, {1, 1, 1, 1}, 0.25},
        {{1, 1, 1, 1}, {0, 1, 1, 1}, 0.25},
        {{10, 10, 10, 10}, {9, 10, 10, 10}, 0.01923},
    };
    enum { FLOWS = 2000 };
    static int was[FLOWS];
    for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
        unsigned stayed = 0, unknown = 0;
        char from[64];
        weigh(changes[c].from, ring);
        for (unsigned i = 0; i < FLOWS; i++) {
            snprintf(from, sizeof from, "203.0.%u.%u:%u", i / 250, i % 250 + 1, 2000 + (unsigned)c);
            was[i] = tcp(from, web4, TH_S, i);
            assert_in_range(was[i], 0, NODES - 1);
        }
        weigh(changes[c].to, ring);
        for (unsigned i = 0; i < FLOWS; i++) {
            snprintf(from, sizeof from, "203.0.%u.%u:%u", i / 250, i % 250 + 1, 2000 + (unsigned)c);
            stayed += tcp(from, web4, TH_A, i + 1) == was[i];
            struct relay_flow_key k = key_of(from, web4, IPPROTO_TCP);
            assert_int_equal(relay_remove_flow(relay, &k), 0);
            unknown += tcp(from, web4, TH_A, i + 1) != was[i];
            assert_int_equal(moved(RELAY_FLOW_MISS), 1);
        }
        assert_int_equal(stayed, FLOWS);
        /* Maglev moves a little more than it must (its paper, 5.3): here up to six in a hundred, and what chance adds. */
        if (unknown > FLOWS * (changes[c].share + 0.06))
            fail_msg("change %zu moves %u of %d", c, unknown, FLOWS);
    }
    weigh(even, ring);
}

/* A drained node: what it has stays, until it has ended; a forged SYN does not end it. */
static void test_drain(void **state)
{
    const char *from = client_at(0, web4, IPPROTO_TCP, false);
    assert_int_equal(tcp(from, web4, TH_S, 100), 0);
    assert_int_equal(tcp(from, web4, TH_A, 101), 0);
    weigh(without_0, ring);
    assert_int_equal(tcp(from, web4, TH_A, 101), 0);
    assert_int_equal(tcp(from, web4, TH_S, 777), 0); /* in the middle of it: the node's to judge */
    assert_int_equal(tcp(from, web4, TH_A, 101), 0);
    assert_int_equal(tcp(from, web4, TH_F | TH_A, 101), 0);
    assert_int_equal(tcp(from, web4, TH_A, 102), 0);
    assert_int_not_equal(tcp(from, web4, TH_S, 5000), 0);
    assert_int_equal(moved(RELAY_FLOW_NEW), 1);
    from = client_at(1, web4, IPPROTO_TCP, false); /* any: none goes to the drained one */
    for (unsigned i = 0; i < 100; i++)
        assert_int_not_equal(tcp(client_at((int)(i % 3) + 1, web4, IPPROTO_TCP, false), web4, TH_S, i), 0);
    weigh(even, ring);
    from = client_at(2, web4, IPPROTO_TCP, false);
    assert_int_equal(tcp(from, web4, TH_S, 1), 2);
    assert_int_equal(tcp(from, web4, TH_A, 2), 2);
    weigh((const uint32_t[NODES]){1, 1, 0, 1}, ring);
    age(key_of(from, web4, IPPROTO_TCP), 301000); /* a client that crashed, and comes again by the same port */
    assert_int_not_equal(tcp(from, web4, TH_S, 9), 2);
    weigh(even, ring);
}

/* A node that is down: connections are reset, datagrams go elsewhere. */
static void test_node_down(void **state)
{
    char t[64], t6[64], u[64];
    snprintf(t, sizeof t, "%s", client_at(0, web4, IPPROTO_TCP, false));
    snprintf(t6, sizeof t6, "%s", client_at(0, web6, IPPROTO_TCP, false));
    snprintf(u, sizeof u, "%s", client_at(0, dns, IPPROTO_UDP, false));
    struct made f;
    make_udp(&f, u, dns, "question", 8);
    assert_int_equal(tcp(t, web4, TH_S, 1), 0);
    assert_int_equal(tcp(t, web4, TH_A, 2), 0);
    assert_int_equal(tcp(t6, web6, TH_S, 1), 0);
    assert_int_equal(tcp(t6, web6, TH_A, 2), 0);
    assert_int_equal(node(&f), 0);
    weigh(without_0, ring);
    mode(0, RELAY_NODE_DOWN);
    const char *const both[] = {t, t6};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tcp(both[i], i ? web6 : web4, TH_A, 2), -1);
        assert_int_equal(verdict, XDP_TX);
        assert_int_equal(moved(RELAY_NODE_GONE), 1);
        assert_int_equal(moved(RELAY_RESET_SENT), 1);
        assert_true(out.data[out.len - 20 + 13] & TH_R);
        assert_false(flow_there(both[i], i ? web6 : web4, IPPROTO_TCP));
        assert_in_range(tcp(both[i], i ? web6 : web4, TH_S, 50), 1, 3);
    }
    assert_in_range(node(&f), 1, 3);
    assert_int_equal(moved(RELAY_FLOW_ANEW), 1);
    assert_in_range(node(&f), 1, 3);
    assert_int_equal(moved(RELAY_FLOW_HIT), 1);
    mode(0, RELAY_NODE_L2);
    weigh(even, ring);
}

static void test_datagrams_forgotten(void **state)
{
    struct made f;
    const char *from = client_at(3, dns, IPPROTO_UDP, false);
    make_udp(&f, from, dns, "question", 8);
    assert_int_equal(node(&f), 3);
    weigh((const uint32_t[NODES]){1, 1, 1, 0}, ring);
    age(key_of(from, dns, IPPROTO_UDP), 170000);
    assert_int_equal(node(&f), 3);
    age(key_of(from, dns, IPPROTO_UDP), -50);
    assert_int_equal(node(&f), 3);
    age(key_of(from, dns, IPPROTO_UDP), 181000);
    assert_int_not_equal(node(&f), 3);
    assert_int_equal(moved(RELAY_FLOW_ANEW), 1);
    weigh(even, ring);
}

static unsigned told;
static struct relay_flow told_last;

static void on_event(void *arg, const struct relay_event *e)
{
    told += e->kind == RELAY_EVENT_FLOW;
    told_last = e->value;
}

/* Other balancers hear of datagrams when there have been some, and every half minute while there are more. */
static void test_lasting(void **state)
{
    const char *const to[] = {dns, all4, all6};
    assert_int_equal(relay_events_open(relay, on_event, NULL), 0);
    while (relay_events_read(relay)) /* of what was before */
        ;
    for (int i = 0; i < 3; i++) {
        char from[64];
        struct made f;
        snprintf(from, sizeof from, "%s", client_at(1, to[i], IPPROTO_UDP, i));
        make_udp(&f, from, to[i], "question", 8);
        struct relay_flow_key k = i ? client_key(from) : key_of(from, to[i], IPPROTO_UDP);
        for (int round = 0; round < 3; round++) {
            told = 0;
            for (int packet = 0; packet < RELAY_LASTING - 1; packet++)
                assert_int_equal(node(&f), 1);
            (void)relay_events_read(relay);
            assert_true(round || told == 0);
            for (int packet = 0; packet < 50; packet++)
                assert_int_equal(node(&f), 1);
            (void)relay_events_read(relay);
            assert_in_range(told, 1, 2); /* two: the half minute has just ended */
            assert_int_equal(told_last.node, 1);
            struct relay_flow later;
            assert_int_equal(relay_flow(relay, &k, &later), 0);
            later.next--; /* half a minute ago */
            assert_int_equal(relay_set_flow(relay, &k, &later), 0);
        }
    }
}

/* ---- second chance ---- */

static void test_second_chance(void **state)
{
    char from[64];
    snprintf(from, sizeof from, "%s", client_at(1, web6, IPPROTO_TCP, false));
    struct relay_flow_key k = key_of(from, web6, IPPROTO_TCP);
    assert_int_equal(tcp(from, web6, TH_S, 9), 1);
    assert_int_equal(tcp(from, web6, TH_S, 9), 1); /* a copy: too soon for the client to have given up */
    assert_int_equal(moved(RELAY_SECOND_CHANCE), 0);
    age(k, -50);
    assert_int_equal(tcp(from, web6, TH_S, 9), 1);
    assert_int_equal(moved(RELAY_SECOND_CHANCE), 0);
    age(k, 1000);
    int second = tcp(from, web6, TH_S, 9);
    assert_int_equal(moved(RELAY_SECOND_CHANCE), 1);
    assert_true(second >= 0 && second != 1);
    age(k, 2000);
    int third = tcp(from, web6, TH_S, 9);
    assert_int_equal(moved(RELAY_SECOND_CHANCE), 1);
    assert_true(third >= 0 && third != 1 && third != second);
    age(k, 4000);
    assert_int_equal(tcp(from, web6, TH_S, 9), third); /* no further ones */
    assert_int_equal(moved(RELAY_SECOND_CHANCE), 0);
    assert_int_equal(tcp(from, web6, TH_A, 10), third);
    age(k, 1000);
    assert_int_equal(tcp(from, web6, TH_S, 9), third); /* something but SYNs was seen */
    assert_int_equal(moved(RELAY_SECOND_CHANCE), 0);

    snprintf(from, sizeof from, "%s", client_at(1, web4, IPPROTO_TCP, false));
    k = key_of(from, web4, IPPROTO_TCP);
    assert_int_equal(tcp(from, web4, TH_S, 9), 1);
    age(k, 11000);
    assert_int_equal(tcp(from, web4, TH_S, 9), 1); /* too late for a retransmission */
    age(k, 1000);
    assert_int_equal(tcp(from, web4, TH_S, 10), 1); /* another connection */
    assert_int_equal(moved(RELAY_SECOND_CHANCE), 0);
    /* Only who is up is a chance, and where nobody is, it stays. */
    mode(0, RELAY_NODE_DOWN);
    mode(2, RELAY_NODE_NONE);
    age(k, 1000);
    assert_int_equal(tcp(from, web4, TH_S, 10), 3);
    age(k, 1000);
    assert_int_equal(tcp(from, web4, TH_S, 10), 3);
    assert_int_equal(moved(RELAY_SECOND_CHANCE), 0);
    mode(0, RELAY_NODE_L2);
    mode(2, RELAY_NODE_L2);
}

/* Who has one place of a thousand is found as well. */
static void test_second_chance_small_share(void **state)
{
    uint32_t places[SIZE] = {0};
    places[17] = 2;
    weigh(even, ring);
    const char *from = client_at(0, web4, IPPROTO_TCP, false);
    assert_int_equal(relay_set_ring(relay, SET, places, SIZE), 0);
    assert_int_equal(tcp(from, web4, TH_S, 3), 0);
    age(key_of(from, web4, IPPROTO_TCP), 1000);
    assert_int_equal(tcp(from, web4, TH_S, 3), 2);
    weigh(even, ring);
}

/* ---- all of a client ---- */

static void put_ip(struct made *f, const char *from, const char *to, uint8_t proto, const void *data, size_t n)
{
    make_ip(f, from, to, proto, 0);
    add(f, data, n);
    make_done(f);
}

static void test_by_client(void **state)
{
    static const uint8_t others[] = {47 /* GRE */, 50 /* ESP */, 51 /* AH */, 132 /* SCTP */, 4, 41, 253};
    static const char *const vips[] = {all4, all6};
    for (int v = 0; v < 2; v++) {
        char from[64];
        struct made f;
        snprintf(from, sizeof from, "%s", client_at(2, vips[v], 0, true));
        /* A ping first: it makes the flow. */
        put_ip(&f, from, vips[v], v ? IPPROTO_ICMPV6 : IPPROTO_ICMP, v ? "\x80\0\0\0\0\1\0\1" : "\x08\0\0\0\0\1\0\1",
               8);
        assert_int_equal(node(&f), 2);
        assert_int_equal(moved(RELAY_FLOW_NEW), 1);
        weigh((const uint32_t[NODES]){1, 1, 0, 1}, ring);
        assert_int_equal(tcp(from, vips[v], TH_S, 1), 2);
        assert_int_equal(tcp(from, vips[v], TH_R, 2), 2); /* one connection's end is not the client's */
        assert_int_equal(tcp(from, vips[v], TH_F | TH_A, 2), 2);
        assert_int_equal(tcp(from, vips[v], TH_S, 9), 2);
        make_udp(&f, from, vips[v], "hello", 5);
        assert_int_equal(node(&f), 2);
        for (size_t i = 0; i < sizeof others; i++) {
            if (others[i] == 51 && v)
                continue; /* an extension header there */
            put_ip(&f, from, vips[v], others[i], "opaque bytes", 12);
            assert_int_equal(node(&f), 2);
        }
        /* Later fragments before their first one: which flow does not matter. */
        if (!v) {
            put_ip(&f, from, vips[v], IPPROTO_UDP, "second half", 11);
            f.data[f.l3 + 6] = 0;
            f.data[f.l3 + 7] = 185;
        } else {
            put_ip(&f, from, vips[v], 44,
                   "\x11\0\x05\0\0\0\0\x7b"
                   "second half",
                   19);
        }
        assert_int_equal(node(&f), 2);
        assert_int_equal(moved(RELAY_FRAGMENT_MISS), 0);
        /* After a quarter of an hour it is a new client, and node 2 is drained. */
        age(client_key(from), 890000);
        assert_int_equal(tcp(from, vips[v], TH_A, 9), 2);
        age(client_key(from), 901000);
        assert_int_not_equal(tcp(from, vips[v], TH_A, 9), 2);
        assert_int_equal(moved(RELAY_FLOW_ANEW), 1);
        weigh(even, ring);
    }
    struct made f; /* neighbour discovery stays ours */
    put_ip(&f, "[2001:db8:9::9]:1", all6, IPPROTO_ICMPV6, "\x87\0\0\0\0\0\0\0", 8);
    assert_int_equal(node(&f), -1);
    assert_int_equal(verdict, XDP_PASS);
    assert_int_equal(moved(RELAY_ICMP_LOCAL), 1);
}

static void test_by_client_node_down(void **state)
{
    const char *from = client_at(1, all4, 0, true);
    assert_int_equal(tcp(from, all4, TH_S, 1), 1);
    assert_int_equal(tcp(from, all4, TH_A, 2), 1);
    mode(1, RELAY_NODE_DOWN);
    weigh((const uint32_t[NODES]){1, 0, 1, 1}, ring);
    int now = tcp(from, all4, TH_A, 2);
    assert_true(now >= 0 && now != 1);
    mode(1, RELAY_NODE_L2);
    assert_int_equal(tcp(from, all4, TH_S, 3), now);
    weigh(even, ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ring_changes, need),  cmocka_unit_test_setup(test_drain, need),
        cmocka_unit_test_setup(test_node_down, need),     cmocka_unit_test_setup(test_datagrams_forgotten, need),
        cmocka_unit_test_setup(test_lasting, need),
        cmocka_unit_test_setup(test_second_chance, need), cmocka_unit_test_setup(test_second_chance_small_share, need),
        cmocka_unit_test_setup(test_by_client, need),     cmocka_unit_test_setup(test_by_client_node_down, need),
    };
    return cmocka_run_group_tests_name("relay_plain", tests, set_up, tear_down);
}
