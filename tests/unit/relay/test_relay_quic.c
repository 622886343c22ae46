/* SPDX-License-Identifier: Apache-2.0 */
/* QUIC clients that move, errors that find their flow, and what clients are told of packets that are too big. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "plain_lab.h"

/* ---- QUIC ---- */

/* Long header (RFC 9000 17.2): type of version 1, the id it is addressed to, one of the client's. */
static int quic_long(const char *from, const char *to, uint8_t type, const char *cid, size_t n)
{
    struct made f;
    uint8_t data[1200] = {(uint8_t)(0xc0 | type << 4), 0, 0, 0, 1, (uint8_t)n};
    memcpy(data + 6, cid, n);
    make_udp(&f, from, to, data, sizeof data);
    return node(&f);
}

static int quic_short(const char *from, const char *to, const char *cid, size_t n)
{
    struct made f;
    uint8_t data[64] = {0x43};
    memcpy(data + 1, cid, n);
    for (size_t i = n + 1; i < sizeof data; i++)
        data[i] = (uint8_t)rand();
    make_udp(&f, from, to, data, sizeof data);
    return node(&f);
}

enum { INITIAL, ZERO_RTT, HANDSHAKE };

/* Servers that say nothing in their ids: what the client has used is known again. */
static void test_quic_by_use(void **state)
{
    char from[64], moved_to[64], other[64];
    snprintf(from, sizeof from, "%s", client_at(2, quic, IPPROTO_UDP, false));
    snprintf(moved_to, sizeof moved_to, "%s", client_at(0, quic, IPPROTO_UDP, false));
    snprintf(other, sizeof other, "%s", client_at(3, quic, IPPROTO_UDP, false));
    assert_int_equal(quic_long(from, quic, INITIAL, "random-1", 8), 2);
    assert_int_equal(moved(RELAY_FLOW_NEW), 1);
    assert_int_equal(quic_long(from, quic, INITIAL, "random-1", 8), 2);
    assert_int_equal(quic_long(other, quic, INITIAL, "random-1", 8), 2); /* its port changed in the handshake */
    assert_int_equal(moved(RELAY_QUIC_KEPT), 1);
    assert_int_equal(quic_long(from, quic, HANDSHAKE, "server-id-1", 11), 2);
    assert_int_equal(quic_short(from, quic, "server-id-1", 11), 2);
    assert_int_equal(quic_short(moved_to, quic, "server-id-1", 11), 2); /* NAT rebinding */
    assert_int_equal(moved(RELAY_QUIC_KEPT), 1);
    assert_int_equal(quic_short(moved_to, quic, "server-id-1", 11), 2);
    assert_int_equal(moved(RELAY_FLOW_HIT), 1);
    assert_int_equal(quic_short(from, quic, "server-id-2", 11), 2); /* a next id, and then another port */
    snprintf(moved_to, sizeof moved_to, "%s", client_at(1, quic, IPPROTO_UDP, false));
    assert_int_equal(quic_short(moved_to, quic, "server-id-2", 11), 2);
    /* A new id from a new address (RFC 9000 9.5) means nothing: by the address, and counted. */
    snprintf(moved_to, sizeof moved_to, "%s", client_at(3, quic, IPPROTO_UDP, false));
    assert_int_equal(quic_short(moved_to, quic, "unseen-id-3", 11), 3);
    assert_int_equal(moved(RELAY_QUIC_UNKNOWN), 1);
    /* An address that another connection had. */
    assert_int_equal(quic_short(moved_to, quic, "server-id-1", 11), 2);
    assert_int_equal(quic_short(moved_to, quic, "server-id-1", 11), 2);
    assert_int_equal(moved(RELAY_FLOW_HIT), 1);
    /* What somebody has, nobody else gets by naming it. */
    assert_int_equal(quic_long(other, quic, INITIAL, "attacker", 8), 2);
    snprintf(other, sizeof other, "%s", client_at(0, quic, IPPROTO_UDP, false));
    assert_int_equal(quic_long(other, quic, INITIAL, "evil", 4), 0);
    assert_int_equal(quic_long(other, quic, HANDSHAKE, "server-id-1", 11), 2);
    snprintf(other, sizeof other, "%s", client_at(1, quic, IPPROTO_UDP, false));
    assert_int_equal(quic_short(other, quic, "server-id-1", 11), 2);
}

/* Ids of less than eight bytes are not told from the number behind them: nothing is kept of those. */
static void test_quic_short_ids(void **state)
{
    char from[64], other[64];
    snprintf(from, sizeof from, "%s", client_at(2, quic, IPPROTO_UDP, false));
    snprintf(other, sizeof other, "%s", client_at(0, quic, IPPROTO_UDP, false));
    assert_int_equal(quic_long(from, quic, INITIAL, "random-9", 8), 2);
    assert_int_equal(quic_long(from, quic, HANDSHAKE, "four", 4), 2);
    assert_int_equal(quic_short(from, quic, "four", 4), 2);
    assert_int_equal(quic_short(other, quic, "four", 4), 0);
    assert_int_equal(moved(RELAY_QUIC_UNKNOWN), 1);
}

/* Servers' ids in the connection ids: two configurations, one of them with the id further behind. */
static void test_quic_by_id(void **state)
{
    char from[64];
    for (uint32_t n = 0; n < NODES; n++) {
        char cid0[] = "\x0bxyrandom-noise", cid3[] = "\x6b..xyzrandom-noise", unset[] = "\xebxyrandom-noise";
        cid0[1] = cid3[3] = unset[1] = 0x20;
        cid0[2] = cid3[4] = unset[2] = cid3[5] = (char)(0x30 + n);
        for (int other = 0; other < NODES; other++) {
            snprintf(from, sizeof from, "%s", client_at(other, routed, IPPROTO_UDP, false));
            assert_int_equal(quic_short(from, routed, cid0, 15), n);
            assert_int_equal(moved(RELAY_QUIC_ID), 1);
            assert_int_equal(moved(RELAY_FLOW_NEW) + moved(RELAY_QUIC_UNKNOWN), 0);
            assert_int_equal(quic_short(from, routed, cid0, 15), n);
            assert_int_equal(moved(RELAY_FLOW_HIT), 1);
            snprintf(from, sizeof from, "%s", client_at(other, routed, IPPROTO_UDP, false));
            assert_int_equal(quic_short(from, routed, cid3, 18), n);
            snprintf(from, sizeof from, "%s", client_at(other, routed, IPPROTO_UDP, false));
            assert_int_equal(quic_short(from, routed, unset, 15), other); /* that configuration says nothing */
            assert_int_equal(moved(RELAY_QUIC_UNKNOWN), 1);
        }
    }
    /* A connection's first id is the client's: it places the connection, at whatever port, and for who asks beside. */
    const char first[] = "\x0b-made-by-client";
    uint32_t expected = ring[relay_cid_hash((const uint8_t *)first, 16) % SIZE];
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s", client_at(i, routed, IPPROTO_UDP, false));
        assert_int_equal(quic_long(from, routed, i ? ZERO_RTT : INITIAL, first, 16), expected);
    }
    /* It looks like a drained node's, which must not get new ones for that; but keeps what it has. */
    char looks[] = "\x0bxyrandom-noise";
    looks[1] = 0x20;
    looks[2] = 0x30;
    weigh(without_0, ring);
    snprintf(from, sizeof from, "%s", client_at(2, routed, IPPROTO_UDP, false));
    assert_int_not_equal(quic_long(from, routed, INITIAL, looks, 15), 0);
    snprintf(from, sizeof from, "%s", client_at(3, routed, IPPROTO_UDP, false));
    assert_int_equal(quic_short(from, routed, looks, 15), 0);
    mode(0, RELAY_NODE_DOWN); /* and when it is down, who gets it tells the client that it is gone (RFC 9000 10.3) */
    assert_in_range(quic_short(from, routed, looks, 15), 1, 3);
    mode(0, RELAY_NODE_L2);
    weigh(even, ring);
}

/* What is no QUIC, or cut short, is a datagram as any other. */
static void test_quic_malformed(void **state)
{
    static const struct {
        const char *data;
        size_t n;
    } all[] = {{"", 0},
               {"\x40", 1},
               {"\xc0", 1},
               {"\xc0\0\0\0\1", 5},
               {"\xc0\0\0\0\1\x08"
                "short",
                11},
               {"\xc0\0\0\0\1\x15", 6},
               {"\xc0\0\0\0\1\xff"
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                36},
               {"\xc0\0\0\0\1\0\0", 7}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct made f;
        make_udp(&f, client_at(1, quic, IPPROTO_UDP, false), quic, all[i].data, all[i].n);
        assert_int_equal(node(&f), 1);
        assert_int_equal(moved(RELAY_FLOW_NEW), 1);
    }
}

/* ---- ICMP ---- */

/* A router's "too big" about what the VIP has sent to the client. */
static void too_big(struct made *f, const char *client, const char *vip, uint8_t proto)
{
    bool v4 = client[0] != '[';
    uint16_t ports[2] = {htons(place(vip).port), htons(place(client).port)};
    struct made inner;
    make_ip(&inner, vip, client, proto, 0);
    make_ip(f, v4 ? "203.0.113.9:1" : "[2001:db8:fe::1]:1", vip, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0);
    add(f, v4 ? "\x03\x04\0\0\0\0\x05\0" : "\x02\0\0\0\0\0\x05\0", 8);
    add(f, inner.data + inner.l3, inner.len - inner.l3);
    add(f, ports, 4);
    add(f, "\0\0\0\1", 4);
    make_done(f);
}

static void test_icmp_to_the_flow(void **state)
{
    char from[64];
    struct made f;
    /* QUIC: a connection that has moved is told at its new address. */
    snprintf(from, sizeof from, "%s", client_at(2, quic, IPPROTO_UDP, false));
    quic_long(from, quic, INITIAL, "random-a", 8);
    quic_long(from, quic, HANDSHAKE, "server-id-a", 11);
    snprintf(from, sizeof from, "%s", client_at(0, quic, IPPROTO_UDP, false));
    assert_int_equal(quic_short(from, quic, "server-id-a", 11), 2);
    too_big(&f, from, quic, IPPROTO_UDP);
    assert_int_equal(node(&f), 2);
    assert_int_equal(moved(RELAY_ICMP_RELAYED), 1);
    /* All of a client. */
    snprintf(from, sizeof from, "%s", client_at(3, all6, 0, true));
    assert_int_equal(tcp(from, all6, TH_S, 1), 3);
    weigh((const uint32_t[NODES]){1, 1, 1, 0}, ring);
    too_big(&f, from, all6, IPPROTO_TCP);
    assert_int_equal(node(&f), 3);
    too_big(&f, from, all6, 132);
    assert_int_equal(node(&f), 3);
    weigh(even, ring);
    /* A delayed connection: where it is, and if that is not known, nobody. */
    snprintf(from, sizeof from, "%s", client_at(1, late, IPPROTO_TCP, false));
    too_big(&f, from, late, IPPROTO_TCP);
    assert_int_equal(node(&f), -1);
    assert_int_equal(verdict, XDP_DROP);
    assert_int_equal(moved(RELAY_ICMP_UNKNOWN), 1);
    struct relay_flow_key k = key_of(from, late, IPPROTO_TCP);
    assert_int_equal(relay_set_flow(relay, &k, &(struct relay_flow){.node = 3, .state = RELAY_FLOW_BOUND}), 0);
    assert_int_equal(node(&f), 3);
    /* A node in a tunnel gets it in the tunnel. */
    snprintf(from, sizeof from, "198.51.100.3:%d", 5000);
    tcp(from, far4, TH_S, 1);
    too_big(&f, from, far4, IPPROTO_TCP);
    run(&f);
    assert_int_equal(verdict, XDP_TX);
    assert_int_equal(moved(RELAY_SENT_HOPS), 1);
    assert_int_equal(out.len, f.len + HANDOFF_OVER_V4);
    assert_memory_equal(out.data + 14 + HANDOFF_OVER_V4, f.data + 14, f.len - 14);
}

static uint16_t sum(const uint8_t *p, size_t n, uint32_t s)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        s += (uint32_t)(p[i] << 8 | p[i + 1]);
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s;
}

/* What does not fit into the tunnel: the client is told, with tags or without, and not more often than allowed. */
static void test_too_big_told(void **state)
{
    struct made f;
    uint8_t fill[BALANCER_MTU] = {0};
    struct relay_settings s = {.icmp_rate = 50};
    for (int v = 0; v < 6; v++) {
        bool v4 = v % 2 == 0;
        const char *from = v4 ? "198.51.100.4:6000" : "[2001:db8:4::4]:6000", *to = v4 ? far4 : far6;
        uint32_t head = v4 ? 20 : 40;
        s.icmp_rate = 1000;
        assert_int_equal(relay_set_settings(relay, &s), 0);
        make_ip(&f, from, to, IPPROTO_TCP, v / 2);
        uint8_t tcp_head[20] = {0x17, 0x70, 0, 80, [12] = 5 << 4, [13] = TH_A};
        add(&f, tcp_head, 20);
        add(&f, fill, BALANCER_MTU - HANDOFF_OVER_V4 + 1 - head - 20);
        make_done(&f);
        run(&f);
        assert_int_equal(verdict, XDP_TX);
        assert_int_equal(moved(v4 ? RELAY_TOO_BIG_V4 : RELAY_TOO_BIG_V6), 1);
        uint32_t l3 = f.l3, quote = v4 ? 64 : 128;
        assert_int_equal(out.len, l3 + head + 8 + quote);
        assert_memory_equal(out.data, f.data + 6, 6); /* back to where it came from */
        assert_memory_equal(out.data + 12, f.data + 12, l3 - 12);
        assert_int_equal(out.data[l3 + head], v4 ? 3 : 2);
        assert_int_equal(out.data[l3 + head + 6] << 8 | out.data[l3 + head + 7], BALANCER_MTU - HANDOFF_OVER_V4);
        assert_memory_equal(out.data + l3 + head + 8, f.data + l3, quote);
        assert_memory_equal(out.data + l3 + (v4 ? 12 : 8), f.data + l3 + (v4 ? 16 : 24), v4 ? 4 : 16);
        uint32_t pseudo = v4 ? 0 : sum(out.data + l3 + 8, 32, 58 + 8 + quote);
        assert_int_equal(sum(out.data + l3 + head, 8 + quote, pseudo), 0xffff);
        f.len--; /* one byte less fits */
        make_done(&f);
        run(&f);
        assert_int_equal(moved(RELAY_SENT_HOPS), 1);
    }
    f.len++;
    make_done(&f);
    unsigned told = 0, silent = 0;
    s.icmp_rate = 50;
    assert_int_equal(relay_set_settings(relay, &s), 0);
    for (int i = 0; i < 3000; i++) {
        run(&f);
        told += moved(RELAY_TOO_BIG_V6);
        silent += moved(RELAY_ICMP_LIMIT);
    }
    assert_int_equal(told + silent, 3000);
    assert_true(silent > 0);
    s.icmp_rate = 0;
    assert_int_equal(relay_set_settings(relay, &s), 0);
    for (int i = 0; i < 300; i++) {
        run(&f); /* what is left of the last tenth of a second, and then none */
        told = moved(RELAY_TOO_BIG_V6);
    }
    assert_int_equal(told, 0);
    assert_int_equal(verdict, XDP_DROP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_quic_by_use, need),      cmocka_unit_test_setup(test_quic_short_ids, need),
        cmocka_unit_test_setup(test_quic_by_id, need),       cmocka_unit_test_setup(test_quic_malformed, need),
        cmocka_unit_test_setup(test_icmp_to_the_flow, need), cmocka_unit_test_setup(test_too_big_told, need),
    };
    return cmocka_run_group_tests_name("relay_quic", tests, set_up, tear_down);
}
