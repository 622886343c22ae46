/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps a flow at its node, and what takes it away: changes of the ring, second chances, nodes that are down, QUIC
 * clients that move, clients as a whole. Packets go through the program with bpf_prog_test_run; time passes by making
 * entries older. Skipped where the kernel or our privileges do not allow it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "packet_make.h"
#include "relay/maglev.h"
#include "relay/relay.h"

enum { SIZE = 1021, NODES = 4, SET = 5, FAR_SET = 6, FAR = 9, BALANCER_MTU = 1500 };
static const char web4[] = "192.0.2.1:80", web6[] = "[2001:db8::1]:80", all4[] = "192.0.2.9:1", all6[] = "[2001:db8::9]:1",
                  quic[] = "192.0.2.1:443", routed[] = "[2001:db8::1]:443", dns[] = "192.0.2.1:53", far4[] = "192.0.2.7:80",
                  far6[] = "[2001:db8::7]:80", late[] = "192.0.2.8:80";

static struct relay *relay;
static uint32_t ring[SIZE];
static struct relay_count before[RELAY_COUNTER_COUNT], after[RELAY_COUNTER_COUNT];
static struct made out;
static uint32_t verdict;

/* ---- asking ---- */

static void run(const struct made *f)
{
    uint32_t ns;
    relay_counters(relay, before);
    out.len = sizeof out.data;
    assert_int_equal(relay_try(relay, f->data, f->len, 1, out.data, &out.len, &verdict, &ns), 0);
    relay_counters(relay, after);
}

/* The node that got the packet; -1: nobody. */
static int node(const struct made *f)
{
    run(f);
    return verdict == XDP_TX && out.len == f->len && out.data[4] == 7 ? out.data[5] : -1;
}

static unsigned moved(enum relay_counter c)
{
    return (unsigned)(after[c].packets - before[c].packets);
}

static int tcp(const char *from, const char *to, uint8_t flags, uint32_t seq)
{
    struct made f;
    make_tcp(&f, from, to, flags, seq);
    return node(&f);
}

static void mode(uint32_t index, enum relay_node_mode m)
{
    struct relay_node n = {.mode = (uint8_t)m, .ifindex = 1, .mtu = BALANCER_MTU, .mac = {2, 0, 0, 0, 7, (uint8_t)index}};
    struct endpoint a = place("10.0.0.1:1");
    relay_addr(n.addr, &a.addr);
    relay_addr(n.source, &a.addr);
    assert_int_equal(relay_set_node(relay, index, &n), 0);
}

static void weigh(const uint32_t weight[NODES], uint32_t table[SIZE])
{
    struct maglev_node n[NODES];
    static const char *const names[NODES] = {"a", "b", "c", "d"};
    for (uint32_t i = 0; i < NODES; i++)
        n[i] = (struct maglev_node){names[i], weight[i], i};
    maglev_build(n, NODES, table, SIZE);
    assert_int_equal(relay_set_ring(relay, SET, table, SIZE), 0);
}

static const uint32_t even[NODES] = {1, 1, 1, 1}, without_0[NODES] = {0, 1, 1, 1};

static struct relay_flow_key key_of(const char *from, const char *to, uint8_t proto)
{
    struct relay_flow_key k;
    struct endpoint c = place(from), v = place(to);
    relay_flow_key_make(&k, &c, &v, proto);
    return k;
}

static struct relay_flow_key client_key(const char *from)
{
    struct relay_flow_key k = key_of(from, all4, 0);
    memset(k.vip, 0, 16);
    k.client_port = k.vip_port = 0;
    return k;
}

/* So long has passed since its last packet. */
static void age(struct relay_flow_key k, uint64_t ms)
{
    struct relay_flow f;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    assert_int_equal(relay_flow(relay, &k, &f), 0);
    f.seen_ns = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec - ms * 1000000ull;
    assert_int_equal(relay_set_flow(relay, &k, &f), 0);
}

/* A new client's endpoint whose flow falls on that node in the ring in force. */
static const char *client_at(int wanted, const char *vip, uint8_t proto, bool whole)
{
    static char text[64];
    static unsigned number;
    for (;;) {
        unsigned i = ++number;
        snprintf(text, sizeof text, vip[0] == '[' ? "[2001:db8:77::%x]:4000" : "198.51.%u.%u:4000", vip[0] == '[' ? i : i / 250,
                 i % 250 + 1);
        struct relay_flow_key k = key_of(text, vip, proto);
        if ((int)ring[relay_flow_hash(&k, whole) % SIZE] == wanted)
            return text;
    }
}

static bool flow_there(const char *from, const char *to, uint8_t proto)
{
    struct relay_flow_key k = key_of(from, to, proto);
    struct relay_flow f;
    return relay_flow(relay, &k, &f) == 0;
}

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
    age(key_of(from, dns, IPPROTO_UDP), 181000);
    assert_int_not_equal(node(&f), 3);
    assert_int_equal(moved(RELAY_FLOW_ANEW), 1);
    weigh(even, ring);
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
    } all[] = {{"", 0}, {"\x40", 1}, {"\xc0", 1}, {"\xc0\0\0\0\1", 5}, {"\xc0\0\0\0\1\x08""short", 11}, {"\xc0\0\0\0\1\x15", 6},
               {"\xc0\0\0\0\1\xff""aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 36}, {"\xc0\0\0\0\1\0\0", 7}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct made f;
        make_udp(&f, client_at(1, quic, IPPROTO_UDP, false), quic, all[i].data, all[i].n);
        assert_int_equal(node(&f), 1);
        assert_int_equal(moved(RELAY_FLOW_NEW), 1);
    }
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
        put_ip(&f, from, vips[v], v ? IPPROTO_ICMPV6 : IPPROTO_ICMP, v ? "\x80\0\0\0\0\1\0\1" : "\x08\0\0\0\0\1\0\1", 8);
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
            put_ip(&f, from, vips[v], 44, "\x11\0\x05\0\0\0\0\x7b""second half", 19);
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
    uint8_t fill[1400] = {0};
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

/* ---- set up ---- */

static void service(const char *vip, uint8_t proto, uint32_t set, uint32_t flags)
{
    struct endpoint e = place(vip);
    struct relay_vip v = {.set = set, .all = set, .flags = flags};
    if (!proto)
        e.port = 0;
    v.quic_at[0] = 1;
    v.quic_length[0] = 2;
    v.quic_at[3] = 3;
    v.quic_length[3] = 3;
    assert_int_equal(relay_set_vip(relay, &e, proto, &v), 0);
}

static int set_up(void **state)
{
    struct buf why = BUF_INIT;
    uint32_t far[251];
    if (relay_open(&(struct relay_options){.flows_max = 65536}, &relay, &why) != 0) {
        fprintf(stderr, "# %s\n", buf_str(&why));
        buf_fini(&why);
        relay = NULL;
        return 0;
    }
    assert_int_equal(relay_set_settings(relay, &(struct relay_settings){.icmp_rate = 1000}), 0);
    for (uint32_t i = 0; i < NODES; i++)
        mode(i, RELAY_NODE_L2);
    mode(FAR, RELAY_NODE_HOPS);
    for (int i = 0; i < 251; i++)
        far[i] = FAR;
    assert_int_equal(relay_set_ring(relay, FAR_SET, far, 251), 0);
    weigh(even, ring);
    service(web4, IPPROTO_TCP, SET, 0);
    service(web6, IPPROTO_TCP, SET, 0);
    service(dns, IPPROTO_UDP, SET, 0);
    service(all4, 0, SET, RELAY_VIP_BY_CLIENT);
    service(all6, 0, SET, RELAY_VIP_BY_CLIENT);
    service(quic, IPPROTO_UDP, SET, RELAY_VIP_QUIC);
    service(routed, IPPROTO_UDP, SET, RELAY_VIP_QUIC | RELAY_VIP_QUIC_IDS);
    service(far4, IPPROTO_TCP, FAR_SET, 0);
    service(far6, IPPROTO_TCP, FAR_SET, 0);
    service(late, IPPROTO_TCP, SET, RELAY_VIP_DELAYED);
    for (uint32_t n = 0; n < NODES; n++) {
        uint8_t id[3] = {0x20, (uint8_t)(0x30 + n), (uint8_t)(0x30 + n)};
        assert_int_equal(relay_set_quic(relay, SET, id, 2, n), 0);
        assert_int_equal(relay_set_quic(relay, SET, id, 3, n), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    relay_close(relay);
    return 0;
}

static int need(void **state)
{
    if (!relay)
        skip();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ring_changes, need),
        cmocka_unit_test_setup(test_drain, need),
        cmocka_unit_test_setup(test_node_down, need),
        cmocka_unit_test_setup(test_datagrams_forgotten, need),
        cmocka_unit_test_setup(test_second_chance, need),
        cmocka_unit_test_setup(test_second_chance_small_share, need),
        cmocka_unit_test_setup(test_quic_by_use, need),
        cmocka_unit_test_setup(test_quic_short_ids, need),
        cmocka_unit_test_setup(test_quic_by_id, need),
        cmocka_unit_test_setup(test_quic_malformed, need),
        cmocka_unit_test_setup(test_by_client, need),
        cmocka_unit_test_setup(test_by_client_node_down, need),
        cmocka_unit_test_setup(test_icmp_to_the_flow, need),
        cmocka_unit_test_setup(test_too_big_told, need),
    };
    return cmocka_run_group_tests_name("relay_plain", tests, set_up, tear_down);
}
