/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balancer's program with four nodes on the LAN and one behind a tunnel, for tests of plain relaying: packets go through
 * bpf_prog_test_run, time passes by making entries older. Without the kernel's leave `relay` is NULL, and need() skips.
 * For one test program each: it has the state.
 */
#ifndef PM_TESTS_RELAY_PLAIN_LAB_H
#define PM_TESTS_RELAY_PLAIN_LAB_H

#include <cmocka.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "packet_make.h"
#include "relay/maglev.h"
#include "relay/relay.h"

enum { SIZE = 1021, NODES = 4, SET = 5, FAR_SET = 6, FAR = 9, BALANCER_MTU = 1500 };
static const char __attribute__((unused)) web4[] = "192.0.2.1:80", web6[] = "[2001:db8::1]:80", all4[] = "192.0.2.9:1",
                                          all6[] = "[2001:db8::9]:1", quic[] = "192.0.2.1:443",
                                          routed[] = "[2001:db8::1]:443", dns[] = "192.0.2.1:53",
                                          far4[] = "192.0.2.7:80", far6[] = "[2001:db8::7]:80", late[] = "192.0.2.8:80";

static struct relay *relay;
static uint32_t ring[SIZE];
static struct relay_count before[RELAY_COUNTER_COUNT], after[RELAY_COUNTER_COUNT];
static struct made out;
static uint32_t verdict;

/* ---- asking ---- */

static inline void run(const struct made *f)
{
    uint32_t ns;
    relay_counters(relay, before);
    out.len = sizeof out.data;
    assert_int_equal(relay_try(relay, f->data, f->len, 1, out.data, &out.len, &verdict, &ns), 0);
    relay_counters(relay, after);
}

/* The node that got the packet; -1: nobody. */
static inline int node(const struct made *f)
{
    run(f);
    return verdict == XDP_TX && out.len == f->len && out.data[4] == 7 ? out.data[5] : -1;
}

static inline unsigned moved(enum relay_counter c)
{
    return (unsigned)(after[c].packets - before[c].packets);
}

static inline int tcp(const char *from, const char *to, uint8_t flags, uint32_t seq)
{
    struct made f;
    make_tcp(&f, from, to, flags, seq);
    return node(&f);
}

static inline void mode(uint32_t index, enum relay_node_mode m)
{
    struct relay_node n = {
        .mode = (uint8_t)m, .ifindex = 1, .mtu = BALANCER_MTU, .mac = {2, 0, 0, 0, 7, (uint8_t)index}};
    struct endpoint a = place("10.0.0.1:1");
    relay_addr(n.addr, &a.addr);
    relay_addr(n.source, &a.addr);
    assert_int_equal(relay_set_node(relay, index, &n), 0);
}

static inline void weigh(const uint32_t weight[NODES], uint32_t table[SIZE])
{
    struct maglev_node n[NODES];
    static const char *const names[NODES] = {"a", "b", "c", "d"};
    for (uint32_t i = 0; i < NODES; i++)
        n[i] = (struct maglev_node){names[i], weight[i], i};
    maglev_build(n, NODES, table, SIZE);
    assert_int_equal(relay_set_ring(relay, SET, table, SIZE), 0);
}

static const uint32_t even[NODES] __attribute__((unused)) = {1, 1, 1, 1};
static const uint32_t without_0[NODES] __attribute__((unused)) = {0, 1, 1, 1};

static inline struct relay_flow_key key_of(const char *from, const char *to, uint8_t proto)
{
    struct relay_flow_key k;
    struct endpoint c = place(from), v = place(to);
    relay_flow_key_make(&k, &c, &v, proto);
    return k;
}

static inline struct relay_flow_key client_key(const char *from)
{
    struct relay_flow_key k = key_of(from, all4, 0);
    memset(k.vip, 0, 16);
    k.client_port = k.vip_port = 0;
    return k;
}

/* So long has passed since its last packet; less than 0: another CPU has had a later one. */
static inline void age(struct relay_flow_key k, int64_t ms)
{
    struct relay_flow f;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    assert_int_equal(relay_flow(relay, &k, &f), 0);
    f.seen_ns = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec - (uint64_t)(ms * 1000000);
    assert_int_equal(relay_set_flow(relay, &k, &f), 0);
}

/* A new client's endpoint whose flow falls on that node in the ring in force. */
static inline const char *client_at(int wanted, const char *vip, uint8_t proto, bool whole)
{
    static char text[64];
    static unsigned number;
    for (;;) {
        unsigned i = ++number;
        snprintf(text, sizeof text, vip[0] == '[' ? "[2001:db8:77::%x]:4000" : "198.51.%u.%u:4000",
                 vip[0] == '[' ? i : i / 250, i % 250 + 1);
        struct relay_flow_key k = key_of(text, vip, proto);
        if ((int)ring[relay_flow_hash(&k, whole) % SIZE] == wanted)
            return text;
    }
}

static inline bool flow_there(const char *from, const char *to, uint8_t proto)
{
    struct relay_flow_key k = key_of(from, to, proto);
    struct relay_flow f;
    return relay_flow(relay, &k, &f) == 0;
}

/* ---- set up ---- */

static inline void service(const char *vip, uint8_t proto, uint32_t set, uint32_t flags)
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

static inline int set_up(void **state)
{
    struct buf why = BUF_INIT;
    uint32_t far[251];
    if (relay_open(&(struct relay_options){.flows_max = 65536}, &relay, &why) != 0) {
        fprintf(stderr, "# %s\n", buf_str(&why));
        buf_fini(&why);
        relay = NULL;
        return 0;
    }
    assert_int_equal(relay_set_settings(relay, &(struct relay_settings){.icmp_rate = 1000, .has_peers = 1}), 0);
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

static inline int tear_down(void **state)
{
    relay_close(relay);
    return 0;
}

static inline int need(void **state)
{
    if (!relay)
        skip();
    return 0;
}

#endif
