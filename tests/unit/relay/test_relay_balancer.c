/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets through the balancer's program with bpf_prog_test_run: every way out of it, both families. Skipped where the
 * kernel or our privileges do not allow it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "relay/maglev.h"
#include "relay/relay.h"

enum { SIZE = 1021, NODES = 3, SELF = 3 };

static struct relay *relay;
static uint32_t ring[SIZE];
static const uint8_t node_mac[NODES][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}};

struct frame {
    uint8_t data[1514];
    uint32_t len, l3, l4;
};

static struct endpoint at(const char *text)
{
    struct endpoint e;
    assert_int_equal(endpoint_parse(text, 1, &e), 0);
    return e;
}

/* ---- building frames ---- */

static void put(struct frame *f, const void *data, uint32_t n)
{
    memcpy(f->data + f->len, data, n);
    f->len += n;
}

static void put16(struct frame *f, uint16_t v)
{
    v = htons(v);
    put(f, &v, 2);
}

static void link_head(struct frame *f, uint16_t type, int vlans)
{
    memset(f, 0, sizeof *f);
    put(f, "\x02\0\0\0\0\x99\x02\0\0\0\0\xcc", 12);
    for (int i = 0; i < vlans; i++) {
        put16(f, i + 1 < vlans ? 0x88a8 : 0x8100);
        put16(f, 7);
    }
    put16(f, type);
    f->l3 = f->len;
}

static void v4_head(struct frame *f, const struct addr *from, const struct addr *to, uint8_t proto, unsigned options,
                    uint16_t fragment)
{
    uint8_t h[60] = {(uint8_t)(0x40 | (5 + options / 4)), 0, 0, 0, 0x12, 0x34, (uint8_t)(fragment >> 8), (uint8_t)fragment, 64, proto};
    memcpy(h + 12, from->bytes, 4);
    memcpy(h + 16, to->bytes, 4);
    memset(h + 20, 1, options); /* no operation */
    put(f, h, 20 + options);
}

static void v6_head(struct frame *f, const struct addr *from, const struct addr *to, uint8_t next)
{
    uint8_t h[40] = {0x60};
    h[6] = next;
    h[7] = 64;
    memcpy(h + 8, from->bytes, 16);
    memcpy(h + 24, to->bytes, 16);
    put(f, h, 40);
}

static void ip_head(struct frame *f, const struct addr *from, const struct addr *to, uint8_t proto)
{
    if (from->family == ADDR_V4)
        v4_head(f, from, to, proto, 0, 0);
    else
        v6_head(f, from, to, proto);
    f->l4 = f->len;
}

static void set_lengths(struct frame *f)
{
    uint16_t n = htons((uint16_t)(f->len - f->l3));
    if (f->data[f->l3] >> 4 == 4) {
        memcpy(f->data + f->l3 + 2, &n, 2);
    } else {
        n = htons((uint16_t)(f->len - f->l3 - 40));
        memcpy(f->data + f->l3 + 4, &n, 2);
    }
}

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static void tcp_head(struct frame *f, uint16_t from, uint16_t to, uint8_t flags)
{
    uint8_t h[20] = {0};
    h[12] = 5 << 4;
    h[13] = flags;
    from = htons(from);
    to = htons(to);
    memcpy(h, &from, 2);
    memcpy(h + 2, &to, 2);
    put(f, h, 20);
}

static void tcp_frame(struct frame *f, const char *from, const char *to, uint8_t flags, int vlans)
{
    struct endpoint c = at(from), v = at(to);
    link_head(f, c.addr.family == ADDR_V4 ? 0x0800 : 0x86dd, vlans);
    ip_head(f, &c.addr, &v.addr, IPPROTO_TCP);
    tcp_head(f, c.port, v.port, flags);
    put(f, "some data", 9);
    set_lengths(f);
}

/* ---- asking the program ---- */

static struct relay_count before[RELAY_COUNTER_COUNT], after[RELAY_COUNTER_COUNT];

static uint32_t run(struct frame *f, struct frame *out)
{
    uint32_t verdict, ns;
    relay_counters(relay, before);
    out->len = sizeof out->data;
    assert_int_equal(relay_try(relay, f->data, f->len, 1, out->data, &out->len, &verdict, &ns), 0);
    relay_counters(relay, after);
    return verdict;
}

/* Exactly these counters moved, by one. */
static void counted(unsigned n, const enum relay_counter *which)
{
    for (enum relay_counter c = 0; c < RELAY_COUNTER_COUNT; c++) {
        bool expected = false;
        for (unsigned i = 0; i < n; i++)
            expected |= which[i] == c;
        if (after[c].packets - before[c].packets != expected)
            fail_msg("%s moved by %d", relay_counter_name(c), (int)(after[c].packets - before[c].packets));
    }
}
#define COUNTED(...)                                                                                                   \
    do {                                                                                                               \
        const enum relay_counter w_[] = {__VA_ARGS__};                                                                 \
        counted(sizeof w_ / sizeof *w_, w_);                                                                           \
    } while (0)

static uint32_t expected_node(const char *client, const char *vip, uint8_t proto, bool by_client)
{
    struct relay_flow_key k;
    struct endpoint c = at(client), v = at(vip);
    relay_flow_key_make(&k, &c, &v, proto);
    return ring[relay_flow_hash(&k, by_client) % SIZE];
}

static void sent_to(const struct frame *in, const struct frame *out, uint32_t verdict, uint32_t node)
{
    assert_int_equal(verdict, XDP_TX);
    assert_int_equal(out->len, in->len);
    assert_memory_equal(out->data, node_mac[node], 6);
    assert_memory_equal(out->data + 6, "\x02\0\0\0\0\x99", 6);
    assert_memory_equal(out->data + 12, in->data + 12, in->len - 12); /* nothing else is touched */
}

static void test_flows(void **state)
{
    static const char *const pairs[][2] = {{"198.51.100.7:4000", "192.0.2.1:80"},
                                           {"[2001:db8:7::9]:4000", "[2001:db8::1]:80"}};
    for (int vlans = 0; vlans <= 2; vlans++) {
        for (size_t i = 0; i < 2; i++) {
            struct frame f, out;
            char client[64];
            snprintf(client, sizeof client, "%.*s:%d", (int)(strrchr(pairs[i][0], ':') - pairs[i][0]), pairs[i][0], 5000 + vlans);
            uint32_t node = expected_node(client, pairs[i][1], IPPROTO_TCP, false);
            tcp_frame(&f, client, pairs[i][1], SYN, vlans);
            sent_to(&f, &out, run(&f, &out), node);
            COUNTED(RELAY_FLOW_NEW, RELAY_SENT_L2);
            tcp_frame(&f, client, pairs[i][1], ACK, vlans);
            sent_to(&f, &out, run(&f, &out), node);
            COUNTED(RELAY_FLOW_HIT, RELAY_SENT_L2);
            tcp_frame(&f, client, pairs[i][1], RST, vlans);
            sent_to(&f, &out, run(&f, &out), node);
            COUNTED(RELAY_FLOW_HIT, RELAY_FLOW_END, RELAY_SENT_L2);
            tcp_frame(&f, client, pairs[i][1], ACK, vlans);
            sent_to(&f, &out, run(&f, &out), node);
            COUNTED(RELAY_FLOW_MISS, RELAY_SENT_L2);
        }
    }
}

/* A thousand clients: the program and relay_flow_hash agree on each, and a new ring moves none that has begun. */
static void test_ring_and_stickiness(void **state)
{
    struct frame f, out;
    char client[64];
    uint32_t other[SIZE];
    for (int i = 0; i < 1000; i++) {
        snprintf(client, sizeof client, i % 2 ? "[2001:db8:%x::1]:%d" : "198.51.%d.3:%d", i % 200, 1024 + i);
        const char *vip = i % 2 ? "[2001:db8::1]:80" : "192.0.2.1:80";
        tcp_frame(&f, client, vip, SYN, 0);
        sent_to(&f, &out, run(&f, &out), expected_node(client, vip, IPPROTO_TCP, false));
    }
    for (int i = 0; i < SIZE; i++)
        other[i] = (ring[i] + 1) % NODES;
    assert_int_equal(relay_set_ring(relay, 0, other, SIZE), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(client, sizeof client, i % 2 ? "[2001:db8:%x::1]:%d" : "198.51.%d.3:%d", i % 200, 1024 + i);
        const char *vip = i % 2 ? "[2001:db8::1]:80" : "192.0.2.1:80";
        uint32_t was = expected_node(client, vip, IPPROTO_TCP, false);
        tcp_frame(&f, client, vip, ACK, 0);
        sent_to(&f, &out, run(&f, &out), was);
        tcp_frame(&f, client, vip, FIN | ACK, 0);
        sent_to(&f, &out, run(&f, &out), was);
        tcp_frame(&f, client, vip, SYN, 0);
        sent_to(&f, &out, run(&f, &out), (was + 1) % NODES);
    }
    assert_int_equal(relay_set_ring(relay, 0, ring, SIZE), 0);
}

static void test_by_client(void **state)
{
    struct frame f, out;
    struct endpoint c = at("198.51.100.77:1"), v = at("192.0.2.9:1");
    uint32_t node = expected_node("198.51.100.77:1", "192.0.2.9:1", 0, true);
    for (int port = 21; port < 30; port++) {
        char vip[32];
        snprintf(vip, sizeof vip, "192.0.2.9:%d", port);
        tcp_frame(&f, "198.51.100.77:3000", vip, port == 21 ? SYN : ACK, 0);
        sent_to(&f, &out, run(&f, &out), node);
    }
    link_head(&f, 0x0800, 0); /* any protocol at all: GRE */
    ip_head(&f, &c.addr, &v.addr, 47);
    put(&f, "whatever", 8);
    set_lengths(&f);
    sent_to(&f, &out, run(&f, &out), node);
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_L2);
}

static void test_fragments(void **state)
{
    struct frame f, out;
    struct endpoint c = at("198.51.100.8:700"), v = at("192.0.2.1:53");
    uint32_t node = expected_node("198.51.100.8:700", "192.0.2.1:53", IPPROTO_UDP, false);
    link_head(&f, 0x0800, 0);
    v4_head(&f, &c.addr, &v.addr, IPPROTO_UDP, 0, 185);
    put(&f, "later, and too early", 20);
    set_lengths(&f);
    assert_int_equal(run(&f, &out), XDP_PASS);
    COUNTED(RELAY_FRAGMENT_MISS);
    struct frame first;
    link_head(&first, 0x0800, 0);
    v4_head(&first, &c.addr, &v.addr, IPPROTO_UDP, 8, 0x2000); /* with options */
    put16(&first, 700);
    put16(&first, 53);
    put(&first, "\0\x40\0\0datadata", 12);
    set_lengths(&first);
    sent_to(&first, &out, run(&first, &out), node);
    COUNTED(RELAY_FLOW_NEW, RELAY_SENT_L2);
    sent_to(&f, &out, run(&f, &out), node);
    COUNTED(RELAY_FRAGMENT_HIT, RELAY_SENT_L2);

    c = at("[2001:db8:5::5]:700");
    v = at("[2001:db8::1]:53");
    node = expected_node("[2001:db8:5::5]:700", "[2001:db8::1]:53", IPPROTO_UDP, false);
    for (int later = 0; later <= 1; later++) {
        link_head(&f, 0x86dd, 0);
        v6_head(&f, &c.addr, &v.addr, 60); /* destination options, then the fragment header */
        put(&f, "\x2c\0\x01\x04\0\0\0\0", 8);
        put(&f, later ? "\x11\0\x05\x01\0\0\0\x7b" : "\x11\0\0\x01\0\0\0\x7b", 8);
        put16(&f, later ? 9 : 700);
        put16(&f, later ? 9 : 53);
        put(&f, "\0\x40\0\0datadata", 12);
        set_lengths(&f);
        sent_to(&f, &out, run(&f, &out), node);
        if (later)
            COUNTED(RELAY_FRAGMENT_HIT, RELAY_SENT_L2);
        else
            COUNTED(RELAY_FLOW_NEW, RELAY_SENT_L2);
    }
}

/* A router far away says "too big" about a packet a node sent: the node must hear it. */
static void test_icmp(void **state)
{
    struct frame f, out;
    struct endpoint c = at("198.51.100.9:4444"), v = at("192.0.2.1:80"), router = at("203.0.113.1:1");
    uint32_t node = expected_node("198.51.100.9:4444", "192.0.2.1:80", IPPROTO_TCP, false);
    tcp_frame(&f, "198.51.100.9:4444", "192.0.2.1:80", SYN, 0);
    sent_to(&f, &out, run(&f, &out), node);
    for (int known = 1; known >= 0; known--) {
        link_head(&f, 0x0800, 0);
        ip_head(&f, &router.addr, &v.addr, IPPROTO_ICMP);
        put(&f, "\x03\x04\0\0\0\0\x05\0", 8);
        v4_head(&f, &v.addr, &c.addr, IPPROTO_TCP, 0, 0x4000);
        put16(&f, 80);
        put16(&f, known ? 4444 : 4445);
        put(&f, "\0\0\0\x01", 4);
        set_lengths(&f);
        uint32_t verdict = run(&f, &out);
        assert_int_equal(verdict, XDP_TX);
        if (known) {
            sent_to(&f, &out, verdict, node);
            COUNTED(RELAY_FLOW_HIT, RELAY_ICMP_RELAYED, RELAY_SENT_L2);
        } else {
            COUNTED(RELAY_ICMP_UNKNOWN, RELAY_ICMP_RELAYED, RELAY_SENT_L2);
        }
    }
    link_head(&f, 0x0800, 0); /* a ping is the machine's own */
    ip_head(&f, &router.addr, &v.addr, IPPROTO_ICMP);
    put(&f, "\x08\0\0\0\0\0\0\0", 8);
    set_lengths(&f);
    assert_int_equal(run(&f, &out), XDP_PASS);
    COUNTED(RELAY_ICMP_LOCAL);
    c = at("[2001:db8:9::9]:4444");
    v = at("[2001:db8::1]:80");
    router = at("[2001:db8:ffff::1]:1");
    node = expected_node("[2001:db8:9::9]:4444", "[2001:db8::1]:80", IPPROTO_TCP, false);
    tcp_frame(&f, "[2001:db8:9::9]:4444", "[2001:db8::1]:80", SYN, 0);
    sent_to(&f, &out, run(&f, &out), node);
    link_head(&f, 0x86dd, 0);
    ip_head(&f, &router.addr, &v.addr, IPPROTO_ICMPV6);
    put(&f, "\x02\0\0\0\0\0\x05\0", 8);
    v6_head(&f, &v.addr, &c.addr, IPPROTO_TCP);
    put16(&f, 80);
    put16(&f, 4444);
    put(&f, "\0\0\0\x01", 4);
    set_lengths(&f);
    sent_to(&f, &out, run(&f, &out), node);
    COUNTED(RELAY_FLOW_HIT, RELAY_ICMP_RELAYED, RELAY_SENT_L2);
}

static void test_left_to_the_kernel(void **state)
{
    struct frame f, out;
    tcp_frame(&f, "198.51.100.7:4000", "192.0.2.1:81", SYN, 0);
    assert_int_equal(run(&f, &out), XDP_PASS);
    COUNTED(RELAY_NOT_OURS);
    link_head(&f, 0x0806, 0);
    put(&f, (const uint8_t[46]){0}, 46);
    assert_int_equal(run(&f, &out), XDP_PASS);
    COUNTED(RELAY_NOT_IP);
    tcp_frame(&f, "198.51.100.7:4000", "192.0.2.1:80", SYN, 0);
    f.len = f.l4 + 10; /* half a TCP header */
    assert_int_equal(run(&f, &out), XDP_PASS);
    COUNTED(RELAY_MALFORMED);
    struct endpoint c = at("[2001:db8:9::9]:1"), v = at("[2001:db8::1]:80");
    link_head(&f, 0x86dd, 0);
    v6_head(&f, &c.addr, &v.addr, 60);
    for (int i = 0; i < 6; i++)
        put(&f, "\x3c\0\x01\x04\0\0\0\0", 8);
    set_lengths(&f);
    assert_int_equal(run(&f, &out), XDP_PASS);
    COUNTED(RELAY_EXTENSIONS);
    tcp_frame(&f, "198.51.100.7:4000", "192.0.2.5:80", SYN, 0); /* a service without a node */
    assert_int_equal(run(&f, &out), XDP_PASS);
    COUNTED(RELAY_FLOW_NEW, RELAY_NO_NODE);
    tcp_frame(&f, "198.51.100.7:4000", "192.0.2.6:80", SYN, 0); /* the balancer itself is the node (R1) */
    assert_int_equal(run(&f, &out), XDP_PASS);
    COUNTED(RELAY_FLOW_NEW, RELAY_SELF);
}

/* ---- set up ---- */

static void service(const char *vip, uint8_t proto, uint32_t number, uint32_t flags)
{
    struct endpoint e = at(vip);
    if (!proto)
        e.port = 0;
    struct relay_vip value = {.set = number, .all = number, .flags = flags};
    assert_int_equal(relay_set_vip(relay, &e, proto, &value), 0);
}

static int set_up(void **state)
{
    struct buf why = BUF_INIT;
    if (relay_open(&(struct relay_options){.flows_max = 65536}, &relay, &why) != 0) {
        fprintf(stderr, "# %s\n", buf_str(&why));
        buf_fini(&why);
        relay = NULL;
        return 0;
    }
    struct maglev_node nodes[NODES] = {{"a", 1, 0}, {"b", 2, 1}, {"c", 3, 2}};
    maglev_build(nodes, NODES, ring, SIZE);
    for (uint32_t i = 0; i < NODES; i++) {
        struct relay_node n = {.mode = RELAY_NODE_L2, .ifindex = 1, .mtu = 1500, .own_mac = {2, 0, 0, 0, 0, 0x99}};
        memcpy(n.mac, node_mac[i], 6);
        assert_int_equal(relay_set_node(relay, i, &n), 0);
    }
    uint32_t self[251];
    for (int i = 0; i < 251; i++)
        self[i] = SELF;
    assert_int_equal(relay_set_node(relay, SELF, &(struct relay_node){.mode = RELAY_NODE_SELF}), 0);
    assert_int_equal(relay_set_ring(relay, 0, ring, SIZE), 0);
    assert_int_equal(relay_set_ring(relay, 2, self, 251), 0);
    service("192.0.2.1:80", IPPROTO_TCP, 0, 0);
    service("192.0.2.1:53", IPPROTO_UDP, 0, 0);
    service("[2001:db8::1]:80", IPPROTO_TCP, 0, 0);
    service("[2001:db8::1]:53", IPPROTO_UDP, 0, 0);
    service("192.0.2.9:1", 0, 0, RELAY_VIP_BY_CLIENT);
    service("192.0.2.5:80", IPPROTO_TCP, 1, 0);
    service("192.0.2.6:80", IPPROTO_TCP, 2, 0);
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
        cmocka_unit_test_setup(test_flows, need),
        cmocka_unit_test_setup(test_ring_and_stickiness, need),
        cmocka_unit_test_setup(test_by_client, need),
        cmocka_unit_test_setup(test_fragments, need),
        cmocka_unit_test_setup(test_icmp, need),
        cmocka_unit_test_setup(test_left_to_the_kernel, need),
    };
    return cmocka_run_group_tests_name("relay_balancer", tests, set_up, tear_down);
}
