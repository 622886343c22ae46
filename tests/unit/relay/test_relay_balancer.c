/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets through the balancer's program with bpf_prog_test_run: every way out of it, both families. Skipped where the
 * kernel or our privileges do not allow it.
 */
#include <unistd.h>
#include "tunnel.h"
#include "relay/maglev.h"

enum { SIZE = 1021, NODES = 3, SELF = 3, FAR_V4 = 4, FAR_V6 = 5 };

static uint32_t ring[SIZE];
static struct relay_settings settings;
static const uint8_t node_mac[NODES][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}};

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
            snprintf(client, sizeof client, "%.*s:%d", (int)(strrchr(pairs[i][0], ':') - pairs[i][0]), pairs[i][0],
                     5000 + vlans);
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
            tcp_frame(&f, client, pairs[i][1], ACK, vlans); /* it may have been forged */
            sent_to(&f, &out, run(&f, &out), node);
            COUNTED(RELAY_FLOW_HIT, RELAY_SENT_L2);
            tcp_frame(&f, client, pairs[i][1], SYN, vlans);
            sent_to(&f, &out, run(&f, &out), node);
            COUNTED(RELAY_FLOW_NEW, RELAY_SENT_L2);
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

/* ---- tunnels ---- */

static struct relay_node far_node(const char *node, const char *us)
{
    struct endpoint n = at(node), u = at(us);
    struct relay_node out = {.mode = RELAY_NODE_HOPS,
                             .ifindex = 1,
                             .mtu = 1500,
                             .mac = {2, 0, 0, 0, 0, 7},
                             .own_mac = {2, 0, 0, 0, 0, 0x99}};
    relay_addr(out.addr, &n.addr);
    relay_addr(out.source, &u.addr);
    return out;
}

static void test_hops(void **state)
{
    static const char *const pairs[][2] = {{"198.51.100.7:4100", "192.0.2.20:80"},
                                           {"[2001:db8:7::9]:4100", "[2001:db8::20]:80"},
                                           {"198.51.100.7:4100", "192.0.2.21:80"},
                                           {"[2001:db8:7::9]:4100", "[2001:db8::21]:80"}};
    const struct relay_node nodes[2] = {far_node("203.0.113.4", "203.0.113.254"),
                                        far_node("2001:db8:f::4", "2001:db8:f::fe")};
    struct frame f, out;
    struct handoff h;
    for (int vlans = 0; vlans <= 2; vlans++) {
        for (size_t i = 0; i < 4; i++) {
            char client[64]; /* each a flow of its own */
            snprintf(client, sizeof client, "%s%d", pairs[i][0], vlans);
            tcp_frame(&f, client, pairs[i][1], SYN, vlans);
            assert_int_equal(run(&f, &out), XDP_TX);
            COUNTED(RELAY_FLOW_NEW, RELAY_SENT_HOPS);
            tunnel_read(&f, &out, &nodes[i / 2], &h);
            assert_int_equal(h.kind, HANDOFF_PACKET);
            assert_int_equal(h.start, 0);
        }
    }
    for (size_t i = 0; i < 2; i++) { /* too short for a TCP header: the tag covers less */
        struct endpoint c = at(pairs[i][0]), v = at(pairs[i][1]);
        link_head(&f, i ? 0x86dd : 0x0800, 0);
        ip_head(&f, &c.addr, &v.addr, IPPROTO_UDP);
        put(&f, "\x10\x00\x00\x35\x00\x08\0\0", 8);
        set_lengths(&f);
        assert_int_equal(run(&f, &out), XDP_TX);
        tunnel_read(&f, &out, &nodes[0], &h);
    }
}

/* What does not fit into the tunnel is told to the client, as a router would (RFC 1191, RFC 8201). */
static void too_big(bool v6, int vlans)
{
    static const uint8_t filler[1500];
    struct frame f, out;
    uint32_t head = v6 ? 40 : 20, over = v6 ? OVER_V4 : OVER_V6, quote = v6 ? 128 : 64;
    char client[64]; /* each a flow of its own */
    snprintf(client, sizeof client, v6 ? "[2001:db8:7::9]:420%d" : "198.51.100.7:420%d", vlans);
    struct tcp_say say = {.from = client,
                          .to = v6 ? "[2001:db8::20]:80" : "192.0.2.21:80",
                          .flags = ACK,
                          .data = filler,
                          .data_len = 1500 - over - head - 20,
                          .vlans = vlans};
    tcp_build(&f, &say);
    assert_int_equal(run(&f, &out), XDP_TX);
    COUNTED(RELAY_FLOW_MISS, RELAY_SENT_HOPS);
    say.data_len++;
    tcp_build(&f, &say);
    assert_int_equal(run(&f, &out), XDP_TX);
    COUNTED(RELAY_FLOW_HIT, v6 ? RELAY_TOO_BIG_V6 : RELAY_TOO_BIG_V4);
    uint32_t l3 = f.l3, icmp = l3 + head;
    assert_int_equal(out.len, icmp + 8 + quote);
    assert_memory_equal(out.data, f.data + 6, 6);
    assert_memory_equal(out.data + 6, f.data, 6);
    assert_memory_equal(out.data + 12, f.data + 12, l3 - 12);
    assert_int_equal(out.data[icmp], v6 ? 2 : 3);
    assert_int_equal(out.data[icmp + 1], v6 ? 0 : 4);
    assert_int_equal(load32(&out, icmp + 4), 1500 - over);
    assert_memory_equal(out.data + icmp + 8, f.data + l3, quote);
    if (v6) {
        assert_memory_equal(out.data + l3 + 8, f.data + l3 + 24, 16);
        assert_memory_equal(out.data + l3 + 24, f.data + l3 + 8, 16);
        assert_int_equal(load16(&out, l3 + 4), 8 + quote);
        assert_int_equal(l4_sum(&out, l3, icmp, out.len, IPPROTO_ICMPV6), 0);
    } else {
        assert_memory_equal(out.data + l3 + 12, f.data + l3 + 16, 4);
        assert_memory_equal(out.data + l3 + 16, f.data + l3 + 12, 4);
        assert_int_equal(fold16(sum16(out.data + l3, 20, 0)), 0);
        assert_int_equal(fold16(sum16(out.data + icmp, out.len - icmp, 0)), 0);
    }
}

static void test_too_big(void **state)
{
    for (int vlans = 0; vlans <= 2; vlans++) {
        too_big(false, vlans);
        too_big(true, vlans);
    }
}

/* Nobody is told so more often than the settings say. */
static void test_too_big_too_often(void **state)
{
    static const uint8_t filler[1460];
    struct frame f, out;
    struct relay_settings none = settings;
    none.icmp_rate = 0;
    assert_int_equal(relay_set_settings(relay, &none), 0);
    usleep(110000); /* longer than what is counted together */
    tcp_build(&f, &(struct tcp_say){.from = "198.51.100.7:4200",
                                    .to = "192.0.2.21:80",
                                    .flags = ACK,
                                    .data = filler,
                                    .data_len = sizeof filler});
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED(RELAY_FLOW_HIT, RELAY_ICMP_LIMIT);
    assert_int_equal(relay_set_settings(relay, &settings), 0);
}

/* A frame that ends before its packet does cannot be tagged. */
static void test_truncated(void **state)
{
    struct frame f, out;
    struct endpoint c = at("198.51.100.7"), v = at("192.0.2.22");
    link_head(&f, 0x0800, 0);
    ip_head(&f, &c.addr, &v.addr, 47);
    put(&f, "GRE, or a part", 14);
    set_lengths(&f);
    store16(&f, f.l3 + 2, 400);
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED(RELAY_FLOW_NEW, RELAY_DROPPED_SPACE);
}

static void test_every_counter(void **state)
{
    all_seen(SHARE_PLAIN);
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
    if (!relay_begin())
        return 0;
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
    struct relay_node v4 = far_node("203.0.113.4", "203.0.113.254"), v6 = far_node("2001:db8:f::4", "2001:db8:f::fe");
    settings = (struct relay_settings){.tag_key = SEND_KEY, .self = SELF, .icmp_rate = 1000000};
    for (uint32_t i = 0; i < HANDOFF_KEYS; i++)
        settings.tag[i] = test_key(i);
    assert_int_equal(relay_set_settings(relay, &settings), 0);
    assert_int_equal(relay_set_node(relay, FAR_V4, &v4), 0);
    assert_int_equal(relay_set_node(relay, FAR_V6, &v6), 0);
    assert_int_equal(relay_set_ring(relay, 3, (const uint32_t[]){FAR_V4}, 1), 0);
    assert_int_equal(relay_set_ring(relay, 4, (const uint32_t[]){FAR_V6}, 1), 0);
    service("192.0.2.1:80", IPPROTO_TCP, 0, 0);
    service("192.0.2.1:53", IPPROTO_UDP, 0, 0);
    service("[2001:db8::1]:80", IPPROTO_TCP, 0, 0);
    service("[2001:db8::1]:53", IPPROTO_UDP, 0, 0);
    service("192.0.2.9:1", 0, 0, RELAY_VIP_BY_CLIENT);
    service("192.0.2.5:80", IPPROTO_TCP, 1, 0);
    service("192.0.2.6:80", IPPROTO_TCP, 2, 0);
    service("192.0.2.20:80", IPPROTO_TCP, 3, 0);
    service("192.0.2.20:53", IPPROTO_UDP, 3, 0);
    service("[2001:db8::20]:80", IPPROTO_TCP, 3, 0);
    service("[2001:db8::20]:53", IPPROTO_UDP, 3, 0);
    service("192.0.2.21:80", IPPROTO_TCP, 4, 0);
    service("[2001:db8::21]:80", IPPROTO_TCP, 4, 0);
    service("192.0.2.22:1", 0, 3, 0);
    return 0;
}

static int tear_down(void **state)
{
    relay_close(relay);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_flows, need_relay),
        cmocka_unit_test_setup(test_ring_and_stickiness, need_relay),
        cmocka_unit_test_setup(test_by_client, need_relay),
        cmocka_unit_test_setup(test_fragments, need_relay),
        cmocka_unit_test_setup(test_icmp, need_relay),
        cmocka_unit_test_setup(test_left_to_the_kernel, need_relay),
        cmocka_unit_test_setup(test_hops, need_relay),
        cmocka_unit_test_setup(test_too_big, need_relay),
        cmocka_unit_test_setup(test_too_big_too_often, need_relay),
        cmocka_unit_test_setup(test_truncated, need_relay),
        cmocka_unit_test_setup(test_every_counter, need_relay),
    };
    return cmocka_run_group_tests_name("relay_balancer", tests, set_up, tear_down);
}
