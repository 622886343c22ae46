/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the balancer's packet program costs: ns per packet of bpf_prog_test_run, by what becomes of the packet, for
 * IPv4 and IPv6. Usage: relay_ns [REPEAT]; needs CAP_BPF.
 *
 * "loop": the same packet REPEAT times in one call; for programs that leave it as it is. "once": a call per packet, each
 * of a connection of its own or with the flow put back, because the program changes packet or table; the median, less
 * what a call adds to a packet that is measured both ways. Once, nothing is in the CPU's caches but what the call before
 * left.
 */
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include "relay/bpf/cookie.h"
#include "relay/maglev.h"
#include "relay/relay.h"
#include "relay_frames.h"

enum { SIZE = 16381, NODES = 16, ONCE = 20000, EPOCH = 26000001, SPLIT = 100, FARM = 1, HOST = 1 };
enum { L2, HOPS }; /* the two services: set and how its nodes are reached */

#define HEAD(path) "GET " path " HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
#define BROWSER(path)                                                                                                  \
    "GET " path                                                                                                        \
    " HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"130\"\r\n"            \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 "             \
    "Safari/537.36\r\n"                                                                                                \
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n"     \
    "Referer: http://www.example.com/some/page.html\r\nAccept-Encoding: gzip, deflate\r\n"                             \
    "Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n"

static struct relay *relay;
static uint32_t repeat = 1000000, overhead;
static struct relay_settings settings = {
    .cookie = {1, 2}, .epoch = EPOCH, .self = NODES, .mss_v4 = 1416, .mss_v6 = 1376, .has_peers = 1};

static void must(int err, const char *what)
{
    if (err) {
        fprintf(stderr, "relay_ns: %s: %s\n", what, err_text(err));
        exit(1);
    }
}

/* ---- measuring ---- */

static uint32_t run(const struct frame *f, uint32_t times, uint32_t verdict)
{
    static uint8_t out[4096];
    uint32_t size = sizeof out, got, ns;
    must(relay_try(relay, f->data, f->len, times, out, &size, &got, &ns), "run");
    if (got != verdict) {
        fprintf(stderr, "relay_ns: verdict %u instead of %u\n", got, verdict);
        exit(1);
    }
    return ns;
}

static void show(bool v6, const char *what, const char *how, uint32_t ns)
{
    printf("%s  %-48s %5u ns  %s\n", v6 ? "IPv6" : "IPv4", what, ns, how);
    fflush(stdout);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* make: the i-th frame, and the tables as it needs them. */
typedef void make_fn(struct frame *f, uint32_t i, bool v6, const void *arg);

static void nothing(void *arg, const struct relay_event *e)
{
}

static uint32_t once(make_fn *make, bool v6, const void *arg, uint32_t verdict)
{
    static uint32_t ns[ONCE];
    struct frame f;
    for (uint32_t i = 0; i < ONCE; i++) {
        make(&f, i, v6, arg);
        ns[i] = run(&f, 1, verdict);
        if (i % 1000 == 0)
            relay_events_read(relay); /* lest there be no room to tell of flows */
    }
    qsort(ns, ONCE, sizeof *ns, by_value);
    return ns[ONCE / 2];
}

static void show_once(bool v6, const char *what, make_fn *make, const void *arg, uint32_t verdict)
{
    uint32_t ns = once(make, v6, arg, verdict);
    show(v6, what, "once", ns > overhead ? ns - overhead : 0);
}

/* ---- plain services ---- */

static void known(struct frame *f, uint32_t i, bool v6, const void *arg)
{
    frame_tcp(f, &(struct segment){v6, 4000, F_ACK, 1, 1, "some data"});
}

static void beginning(struct frame *f, uint32_t i, bool v6, const void *arg)
{
    frame_tcp(f, &(struct segment){v6, (uint16_t)(5000 + i), F_SYN, i, 0, NULL});
}

static void vip(uint32_t set, uint32_t flags)
{
    static const char *const vips[] = {"192.0.2.1:80", "[2001:db8::1]:80"};
    for (int v6 = 0; v6 < 2; v6++) {
        struct endpoint e;
        must(endpoint_parse(vips[v6], 0, &e), vips[v6]);
        must(relay_set_vip(relay, &e, IPPROTO_TCP,
                           &(struct relay_vip){.set = set, .all = set, .flags = flags, .farm = FARM}),
             "vip");
    }
}

static bool drop(void *arg, const struct relay_flow_key *k, const struct relay_flow *f)
{
    must(relay_remove_flow(relay, k), "remove flow");
    return true;
}

static void plain(bool v6)
{
    struct frame f;
    vip(L2, 0);
    frame_tcp(&f, &(struct segment){v6, 4000, F_ACK, 1, 1, "some data"});
    f.data[LINK + (v6 ? 39 : 19)] = 99;
    show(v6, "to no service, passed", "loop", run(&f, repeat, XDP_PASS));
    known(&f, 0, v6, NULL);
    uint32_t loop = run(&f, repeat, XDP_TX), single = once(known, v6, NULL, XDP_TX);
    overhead = single > loop ? single - loop : 0;
    show(v6, "plain: flow known", "loop", loop);
    frame_tcp(&f, &(struct segment){v6, 4001, F_RST, 1, 1, NULL}); /* what a RST begins is not kept: each time anew */
    show(v6, "plain: no flow, node from the ring, not kept", "loop", run(&f, repeat, XDP_TX));
    show_once(v6, "plain: a SYN, flow begun", beginning, NULL, XDP_TX);
    relay_flows(relay, drop, NULL);
    vip(HOPS, 0);
    show_once(v6, "plain: flow known, in a tunnel", known, NULL, XDP_TX);
    relay_flows(relay, drop, NULL);
}

/* ---- delayed binding ---- */

static struct relay_flow_key key_of(bool v6, uint16_t port)
{
    struct relay_flow_key k;
    struct endpoint c, v;
    must(endpoint_parse(v6 ? "[2001:db8:7::9]:1" : "198.51.100.7:1", 0, &c), "client");
    must(endpoint_parse(v6 ? "[2001:db8::1]:80" : "192.0.2.1:80", 0, &v), "VIP");
    c.port = port;
    relay_flow_key_make(&k, &c, &v, IPPROTO_TCP);
    return k;
}

static uint32_t cookie(bool v6, uint16_t port, uint32_t isn)
{
    struct relay_flow_key k = key_of(v6, port);
    return cookie_make(&settings.cookie, &k, isn, EPOCH, cookie_bits(1460, 1, 7));
}

/* The first request of a connection of which nothing is known. */
static void first(struct frame *f, uint32_t i, bool v6, const void *arg)
{
    uint16_t port = (uint16_t)(1 + i);
    struct relay_flow_key k = key_of(v6, port);
    if (relay_remove_flow(relay, &k) != 0) {
        /* there is none */
    }
    frame_tcp(f, &(struct segment){v6, port, F_PSH | F_ACK, i + 1, cookie(v6, port, i) + 1, arg});
}

static void bind_to(uint32_t node, bool v6)
{
    struct relay_flow_key k = key_of(v6, 4000);
    struct relay_flow flow = {
        .node = node, .set = HOPS, .first = 1, .start = 1, .ack = 1, .next = 1000, .state = RELAY_FLOW_BOUND};
    must(relay_set_flow(relay, &k, &flow), "flow");
}

/* A connection that has had an answer, at a node behind a tunnel that is not in SPLIT. */
static void later(struct frame *f, uint32_t i, bool v6, const void *arg)
{
    bind_to(0, v6);
    frame_tcp(f, &(struct segment){v6, 4000, F_PSH | F_ACK, 1000, 5000, arg});
}

static void handshake(struct frame *f, uint32_t i, bool v6, const void *arg)
{
    uint16_t port = (uint16_t)(30000 + i);
    frame_tcp(f, &(struct segment){v6, port, F_ACK, i + 1, cookie(v6, port, i) + 1, NULL});
}

/* The node gives the packet back with which the connection moves. */
static void moved(struct frame *f, uint32_t i, bool v6, const void *arg)
{
    struct frame inner;
    struct handoff h = {.kind = HANDOFF_MOVED, .target = 1};
    later(&inner, i, v6, arg);
    frame_wrap(f, &inner, &h);
}

static void delayed(bool v6)
{
    static const struct {
        const char *what, *head;
    } firsts[] = {
        {"first request, by path", HEAD("/one/two.html")},
        {"first request, by prefix", HEAD("/split/f7-65536.bin")},
        {"first request, by suffix", HEAD("/other/page.php")},
        {"first request, by host only", HEAD("/other/page.html")},
        {"first request of a browser (600 bytes), by prefix", BROWSER("/split/f7-65536.bin")},
    };
    struct frame f;
    vip(L2, RELAY_VIP_DELAYED);
    show_once(v6, "SYN, answered with a cookie", beginning, NULL, XDP_TX);
    show_once(v6, "handshake's ACK, dropped, its round trip told", handshake, NULL, XDP_DROP);
    frame_tcp(&f, &(struct segment){v6, 7000, F_ACK, 2, 77, NULL});
    show(v6, "an ACK out of nothing, dropped", "loop", run(&f, repeat, XDP_DROP));
    bind_to(1, v6);
    frame_tcp(&f, &(struct segment){v6, 4000, F_ACK, 1000, 5000, NULL});
    show(v6, "bound: a bare ACK", "loop", run(&f, repeat, XDP_TX));
    vip(HOPS, RELAY_VIP_DELAYED);
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        show_once(v6, firsts[i].what, first, firsts[i].head, XDP_TX);
    show_once(v6, "later request, stays", later, HEAD("/all/f7-65536.bin"), XDP_TX);
    show_once(v6, "later request, another node has it", later, HEAD("/split/f7-65536.bin"), XDP_TX);
    if (!v6)
        show_once(v6, "let go by its node, unwrapped, to the next", moved, HEAD("/split/f7-65536.bin"), XDP_TX);
    relay_flows(relay, drop, NULL);
}

/* ---- tables ---- */

static void node(uint32_t index, uint8_t mode)
{
    struct relay_node n = {.mode = mode, .ifindex = 1, .mtu = 1500};
    struct endpoint at;
    must(endpoint_parse("203.0.113.4:1", 0, &at), "node");
    relay_addr(n.addr, &at.addr);
    relay_addr(n.source, &at.addr);
    must(relay_set_node(relay, index, &n), "node");
}

/* Nodes 0, 2, 4 ... are of the service in a tunnel, the others on the LAN. */
static void ring(uint32_t set)
{
    static uint32_t places[SIZE];
    struct maglev_node nodes[NODES];
    char names[NODES][8];
    uint32_t n = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        snprintf(names[i], sizeof names[i], "n%u", i);
        if (i % 2 != (set == L2))
            continue;
        nodes[n++] = (struct maglev_node){names[i], 1, i};
    }
    maglev_build(nodes, n, places, SIZE);
    must(relay_set_ring(relay, set, places, SIZE), "ring");
}

static void tables(void)
{
    static const struct {
        enum relay_resource_kind kind;
        const char *text;
    } resources[] = {
        {RELAY_RESOURCE_PATH, "/one/two.html"}, {RELAY_RESOURCE_PREFIX, "/split/"}, {RELAY_RESOURCE_SUFFIX, ".php"}};
    uint32_t one = 2;
    for (int i = 0; i < HANDOFF_KEYS; i++)
        settings.tag[i] = frame_key;
    must(relay_set_settings(relay, &settings), "settings");
    for (uint32_t i = 0; i < NODES; i++)
        node(i, i % 2 ? RELAY_NODE_L2 : RELAY_NODE_HOPS);
    ring(L2);
    ring(HOPS);
    must(relay_set_ring(relay, SPLIT, &one, 1), "ring");
    must(relay_set_host(relay, FARM, "www.example.com", &(struct relay_host){HOST, HOPS}), "host");
    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++)
        must(relay_set_resource(relay, HOST, resources[i].kind, resources[i].text, SPLIT, 0), resources[i].text);
    must(relay_events_open(relay, nothing, NULL), "events");
}

int main(int argc, char **argv)
{
    struct buf why = BUF_INIT;
    if (argc > 1)
        repeat = (uint32_t)atoi(argv[1]);
    if (relay_open(&(struct relay_options){0}, &relay, &why) != 0) {
        fprintf(stderr, "relay_ns: %s\n", buf_str(&why));
        return 77;
    }
    tables();
    for (int v6 = 0; v6 < 2; v6++) {
        plain(v6);
        delayed(v6);
    }
    relay_close(relay);
    buf_fini(&why);
    return 0;
}
