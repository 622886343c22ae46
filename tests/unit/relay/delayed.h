/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A farm with delayed binding for tests: nodes of every kind, sets, hosts and resources, and a client that opens a
 * connection and sends segments frame by frame. What the daemon would be told is kept in `told`.
 */
#ifndef PM_TESTS_RELAY_DELAYED_H
#define PM_TESTS_RELAY_DELAYED_H

#include "tunnel.h"
#include "relay/bpf/cookie.h"

enum { NODE_V4, NODE_V6, NODE_LAN, NODE_GONE_DOWN, NODE_NEVER, SELF, NODES };
enum { SET_V4 = 10, SET_V6, SET_LAN, SET_DOWN, SET_EMPTY, SET_NEVER, SET_ALL, SET_BOTH, SET_FRONT = RELAY_SETS_MAX };
enum { EPOCH = 26000001, MSS_V4 = 1416, MSS_V6 = 1376, OUR_SCALE = 8 };

static struct relay_node nodes[NODES];
static struct relay_settings settings;
static struct {
    unsigned flows, rtts, segments;
    struct relay_event last; /* of any kind */
    uint8_t data[RELAY_SEGMENT_MAX];
} told;

static inline void hear(void *arg, const struct relay_event *e)
{
    told.flows += e->kind == RELAY_EVENT_FLOW;
    told.rtts += e->kind == RELAY_EVENT_RTT;
    told.segments += e->kind == RELAY_EVENT_SEGMENT;
    memcpy(&told.last, e, sizeof *e);
    memcpy(told.data, e->data, e->length);
}

static inline void node_set(uint32_t index, uint8_t mode, const char *addr, const char *source, uint8_t mac)
{
    struct relay_node n = {
        .mode = mode, .ifindex = 1, .mtu = 1500, .mac = {2, 0, 0, 0, 0, mac}, .own_mac = {2, 0, 0, 0, 0, 0x99}};
    struct endpoint a = at(addr), s = at(source);
    relay_addr(n.addr, &a.addr);
    relay_addr(n.source, &s.addr);
    nodes[index] = n;
    assert_int_equal(relay_set_node(relay, index, &n), 0);
}

static inline void set_of(uint32_t set, uint32_t count, const uint32_t *members)
{
    assert_int_equal(relay_set_ring(relay, set, members, count), 0);
}

static inline void vip_set(const char *vip, uint32_t set, uint32_t all, uint32_t flags, uint32_t farm)
{
    struct endpoint e = at(vip);
    struct relay_vip value = {.set = set, .all = all, .flags = flags, .farm = farm};
    assert_int_equal(relay_set_vip(relay, &e, IPPROTO_TCP, &value), 0);
}

static inline void farm_fill(void)
{
    static const struct {
        enum relay_resource_kind kind;
        const char *text;
        uint32_t set, flags;
    } resource[] = {
        {RELAY_RESOURCE_PATH, "/six", SET_V6, 0},      {RELAY_RESOURCE_PATH, "/lan/deep/four.html", SET_V4, 0},
        {RELAY_RESOURCE_PREFIX, "/lan/", SET_LAN, 0},  {RELAY_RESOURCE_PREFIX, "/lan/deep/", SET_V6, 0},
        {RELAY_RESOURCE_SUFFIX, ".php", SET_V6, 0},    {RELAY_RESOURCE_PATH, "/moved", SET_V4, RELAY_RESOURCE_FRONT},
        {RELAY_RESOURCE_PATH, "/empty", SET_EMPTY, 0}, {RELAY_RESOURCE_PATH, "/down", SET_DOWN, 0},
        {RELAY_RESOURCE_PATH, "/never", SET_NEVER, 0}, {RELAY_RESOURCE_PATH, "/both", SET_BOTH, 0},
    };
    assert_int_equal(relay_set_host(relay, 1, "www.example.com", &(struct relay_host){1, SET_V4}), 0);
    assert_int_equal(relay_set_host(relay, 1, "lan.example.com", &(struct relay_host){2, SET_LAN}), 0);
    assert_int_equal(relay_set_host(relay, 1, NULL, &(struct relay_host){3, SET_V6}), 0);
    for (size_t i = 0; i < sizeof resource / sizeof *resource; i++)
        assert_int_equal(
            relay_set_resource(relay, 1, resource[i].kind, resource[i].text, resource[i].set, resource[i].flags), 0);
}

static inline int farm_begin(void **state)
{
    enum { DELAYED = RELAY_VIP_DELAYED, AGENTS = RELAY_VIP_AGENTS };
    if (!relay_begin())
        return 0;
    settings = (struct relay_settings){.cookie = {1, 2},
                                       .tag_key = SEND_KEY,
                                       .epoch = EPOCH,
                                       .self = SELF,
                                       .mss_v4 = MSS_V4,
                                       .mss_v6 = MSS_V6,
                                       .find_rate = 1000000,
                                       .icmp_rate = 1000000,
                                       .has_peers = 1};
    for (uint32_t i = 0; i < HANDOFF_KEYS; i++)
        settings.tag[i] = test_key(i);
    assert_int_equal(relay_set_settings(relay, &settings), 0);
    node_set(NODE_V4, RELAY_NODE_HOPS, "203.0.113.4", "203.0.113.254", 4);
    node_set(NODE_V6, RELAY_NODE_HOPS, "2001:db8:f::6", "2001:db8:f::fe", 6);
    node_set(NODE_LAN, RELAY_NODE_L2, "192.0.2.130", "192.0.2.254", 2);
    node_set(NODE_GONE_DOWN, RELAY_NODE_DOWN, "203.0.113.5", "203.0.113.254", 5);
    node_set(SELF, RELAY_NODE_SELF, "192.0.0.8", "192.0.0.8", 8);
    set_of(SET_V4, 1, (const uint32_t[]){NODE_V4});
    set_of(SET_V6, 1, (const uint32_t[]){NODE_V6});
    set_of(SET_LAN, 1, (const uint32_t[]){NODE_LAN});
    set_of(SET_DOWN, 1, (const uint32_t[]){NODE_GONE_DOWN});
    set_of(SET_NEVER, 1, (const uint32_t[]){NODE_NEVER});
    set_of(SET_ALL, 5, (const uint32_t[]){NODE_GONE_DOWN, NODE_V4, SELF, NODE_V6, NODE_LAN});
    set_of(SET_BOTH, 2, (const uint32_t[]){NODE_V4, NODE_V6});
    vip_set("192.0.2.1:80", SET_V4, SET_ALL, DELAYED | AGENTS, 1);
    vip_set("192.0.2.1:443", SET_V4, SET_ALL, DELAYED | AGENTS, 1);
    vip_set("[2001:db8::1]:80", SET_V4, SET_ALL, DELAYED | AGENTS, 1);
    vip_set("192.0.2.2:80", SET_LAN, SET_ALL, DELAYED, 2);           /* a farm without hosts, nodes without agents */
    vip_set("192.0.2.3:80", SET_V4, SET_EMPTY, DELAYED | AGENTS, 1); /* nobody to ask */
    farm_fill();
    assert_int_equal(relay_events_open(relay, hear, NULL), 0);
    return 0;
}

static inline int farm_end(void **state)
{
    relay_close(relay);
    return 0;
}

/* ---- a client ---- */

struct client {
    char from[64];
    const char *to;
    uint32_t seq, ack;   /* of the next segment, cookie included */
    const void *options; /* of segments behind the SYN */
    uint32_t options_len;
    int vlans;
};

/* Linux: maximum segment size, SACK permitted, timestamps, window scale. */
#define SYN_OPTIONS "\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\x30\x39\0\0\0\0\x01\x03\x03\x07"
enum { SYN_OPTIONS_LEN = 20 };

/* Each has a port of its own. */
static inline struct client client_of(const char *to)
{
    static unsigned port = 10000;
    struct client c = {.to = to, .seq = 0xfffffff0u + port * 977};
    snprintf(c.from, sizeof c.from, to[0] == '[' ? "[2001:db8:7::9]:%u" : "198.51.100.7:%u", port++);
    return c;
}

static inline struct relay_flow_key key_of(const struct client *c)
{
    struct relay_flow_key k;
    struct endpoint from = at(c->from), to = at(c->to);
    relay_flow_key_make(&k, &from, &to, IPPROTO_TCP);
    return k;
}

static inline struct relay_flow flow_of(const struct client *c)
{
    struct relay_flow_key k = key_of(c);
    struct relay_flow f;
    assert_int_equal(relay_flow(relay, &k, &f), 0);
    return f;
}

static inline bool flow_is(const struct client *c)
{
    struct relay_flow_key k = key_of(c);
    struct relay_flow f;
    return relay_flow(relay, &k, &f) == 0;
}

static inline void segment(const struct client *c, struct frame *f, uint8_t flags, const void *data, uint32_t n)
{
    tcp_build(f, &(struct tcp_say){.from = c->from,
                                   .to = c->to,
                                   .flags = flags,
                                   .seq = c->seq,
                                   .ack = c->ack,
                                   .options = c->options,
                                   .options_len = c->options_len,
                                   .data = data,
                                   .data_len = n,
                                   .vlans = c->vlans});
}

static inline uint32_t say(const struct client *c, struct frame *f, struct frame *out, uint8_t flags, const void *data,
                           uint32_t n)
{
    segment(c, f, flags, data, n);
    memset(&told, 0, sizeof told);
    uint32_t verdict = run(f, out);
    relay_events_read(relay);
    return verdict;
}

static inline uint32_t say_text(const struct client *c, struct frame *f, struct frame *out, const char *text)
{
    return say(c, f, out, PSH | ACK, text, (uint32_t)strlen(text));
}

/* SYN there, cookie back. */
static inline void client_syn(struct client *c, const void *options, uint32_t n)
{
    struct frame f, out;
    struct client syn = *c;
    syn.options = options;
    syn.options_len = n;
    syn.ack = 0;
    assert_int_equal(say(&syn, &f, &out, SYN, NULL, 0), XDP_TX);
    COUNTED(RELAY_SYN_COOKIE);
    c->ack = load32(&out, f.l4 + 4) + 1;
    c->seq++;
}

static inline struct client client_open(const char *to)
{
    struct client c = client_of(to);
    client_syn(&c, SYN_OPTIONS, SYN_OPTIONS_LEN);
    return c;
}

/* A connection that is at NODE_V4 since a GET; its seq is behind the request, its ack says that it was answered. */
static inline struct client client_bound(const char *to)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
    struct client c = client_open(to);
    struct frame f, out;
    assert_int_equal(say_text(&c, &f, &out, get), XDP_TX);
    assert_int_equal(flow_of(&c).node, NODE_V4);
    c.seq += sizeof get - 1;
    c.ack += 500;
    assert_int_equal(say(&c, &f, &out, ACK, NULL, 0), XDP_TX);
    assert_int_equal(flow_of(&c).state, RELAY_FLOW_BOUND);
    return c;
}

/* ---- behind the first request ---- */

static const char *const vips[2] = {"192.0.2.1:80", "[2001:db8::1]:80"};
static const char node_addr[2][16] = {"203.0.113.4", "2001:db8:f::6"},
                  our_addr[2][16] = {"203.0.113.254", "2001:db8:f::fe"};

/* The text goes on to that node as a packet of a connection it has. */
static inline void passes(const struct client *c, uint8_t flags, const char *text, uint32_t node)
{
    struct frame f, out;
    struct handoff h;
    assert_int_equal(say(c, &f, &out, flags, text, (uint32_t)strlen(text)), XDP_TX);
    tunnel_read(&f, &out, &nodes[node], &h);
    assert_int_equal(h.kind, HANDOFF_PACKET);
    assert_int_equal(h.start, 0);
    assert_int_equal(h.target, 0);
}

/* A later request that the node has, too: it takes it if it has answered the last one. */
static inline void stays(const struct client *c, const char *text, uint32_t node)
{
    struct frame f, out;
    struct handoff h;
    assert_int_equal(say_text(c, &f, &out, text), XDP_TX);
    tunnel_read(&f, &out, &nodes[node], &h);
    assert_int_equal(h.kind, HANDOFF_NEXT);
    assert_int_equal(h.target, node);
    assert_int_equal(h.tcp.options, HANDOFF_ENDS);
    assert_int_equal(ntohl(h.start), flow_of(c).next);
    assert_int_equal(flow_of(c).start, c->seq);
    assert_int_equal(flow_of(c).ack, c->ack);
}

/* The node is asked to let go; f is the client's packet, *h what it was asked with. */
static inline void asked(const struct client *c, const char *text, uint32_t node, uint32_t target, struct frame *f,
                         struct handoff *h)
{
    struct frame out;
    assert_int_equal(say_text(c, f, &out, text), XDP_TX);
    tunnel_read(f, &out, &nodes[node], h);
    assert_int_equal(h->kind, HANDOFF_MOVE);
    assert_int_equal(h->target, target);
    assert_int_equal(ntohl(h->start), flow_of(c).ack); /* what the client had when its last request began */
}

/* A node's answer about the client's packet; node 0 or 1. */
static inline uint32_t answer(unsigned node, const struct frame *inner, struct handoff h, uint8_t kind,
                              struct frame *out)
{
    struct frame f;
    h.kind = kind;
    tunnel_build(&f, inner, node_addr[node], our_addr[node], &h);
    memset(&told, 0, sizeof told);
    uint32_t verdict = run(&f, out);
    relay_events_read(relay);
    return verdict;
}

#endif
