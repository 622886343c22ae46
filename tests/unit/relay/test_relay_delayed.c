/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delayed binding, from SYN to the first request: cookies, what comes of handshakes, which node a request goes to and
 * the exact bytes it goes in. Later requests and answers of nodes are in test_relay_later.c.
 */
#include "delayed.h"
#include "relay/choose.h"

#define GET(target)          "GET " target " HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
#define GET_OF(host, target) "GET " target " HTTP/1.1\r\nHost: " host "\r\n\r\n"

/* ---- SYN ---- */

struct offer {
    bool mss, sack, timestamps, scale;
};

/* A SYN's options, in the order of Linux or of others, padded to words. */
static uint32_t offer_write(uint8_t *o, const struct offer *w, uint32_t mss, uint32_t scale, bool other_order)
{
    uint32_t n = 0;
    const uint8_t size[4] = {2, 4, (uint8_t)(mss >> 8), (uint8_t)mss}, shift[3] = {3, 3, (uint8_t)scale};
    static const uint8_t stamps[10] = {8, 10, 0xde, 0xad, 0xbe, 0xef};
    if (other_order && w->scale)
        memcpy(o + n, shift, 3), n += 3;
    if (w->mss)
        memcpy(o + n, size, 4), n += 4;
    if (w->sack)
        memcpy(o + n, "\x04\x02", 2), n += 2;
    if (w->timestamps)
        memcpy(o + n, stamps, 10), n += 10;
    if (!other_order && w->scale)
        memcpy(o + n, shift, 3), n += 3;
    while (n % 4)
        o[n++] = other_order ? 0 : 1;
    return n;
}

/* What we answer: timestamps, SACK, scale, size, and no-operation up to the client's length. tsval is not looked at. */
static void answer_expected(uint8_t *o, uint32_t n, const struct offer *w, bool v4, const uint8_t *tsval)
{
    uint32_t used = 0, mss = v4 ? MSS_V4 : MSS_V6;
    const uint8_t size[4] = {2, 4, (uint8_t)(mss >> 8), (uint8_t)mss};
    memset(o, 1, n);
    if (w->timestamps) {
        memcpy(o, w->sack ? "\x04\x02\x08\x0a" : "\x01\x01\x08\x0a", 4);
        memcpy(o + 4, tsval, 4);
        memcpy(o + 8, "\xde\xad\xbe\xef", 4);
        used = 12;
    } else if (w->sack) {
        memcpy(o, "\x01\x01\x04\x02", 4);
        used = 4;
    }
    if (w->scale)
        memcpy(o + used, (const uint8_t[]){1, 3, 3, OUR_SCALE}, 4), used += 4;
    if (w->mss)
        memcpy(o + used, size, 4), used += 4;
    assert_true(used <= n);
}

static void answer_check(const struct frame *f, const struct frame *out, uint32_t options)
{
    uint32_t l3 = f->l3, l4 = f->l4;
    bool v4 = f->data[l3] >> 4 == 4;
    assert_int_equal(out->len, l4 + 20 + options);
    assert_true(out->len <= f->len);
    assert_memory_equal(out->data, f->data + 6, 6);
    assert_memory_equal(out->data + 6, f->data, 6);
    assert_memory_equal(out->data + 12, f->data + 12, l3 - 12);
    if (v4) {
        const uint8_t head[10] = {0x45, 0, 0, (uint8_t)(40 + options), 0, 0, 0x40, 0, 64, IPPROTO_TCP};
        assert_memory_equal(out->data + l3, head, 10);
        assert_int_equal(fold16(sum16(out->data + l3, 20, 0)), 0);
        assert_memory_equal(out->data + l3 + 12, f->data + l3 + 16, 4);
        assert_memory_equal(out->data + l3 + 16, f->data + l3 + 12, 4);
    } else {
        const uint8_t head[8] = {0x60, 0, 0, 0, 0, (uint8_t)(20 + options), IPPROTO_TCP, 64};
        assert_memory_equal(out->data + l3, head, 8);
        assert_memory_equal(out->data + l3 + 8, f->data + l3 + 24, 16);
        assert_memory_equal(out->data + l3 + 24, f->data + l3 + 8, 16);
    }
    assert_memory_equal(out->data + l4, f->data + l4 + 2, 2);
    assert_memory_equal(out->data + l4 + 2, f->data + l4, 2);
    assert_int_equal(load32(out, l4 + 8), load32(f, l4 + 4) + 1);
    assert_int_equal(out->data[l4 + 12], (5 + options / 4) << 4);
    assert_int_equal(out->data[l4 + 13], SYN | ACK);
    assert_int_equal(load16(out, l4 + 14), 0xffff);
    assert_int_equal(load16(out, l4 + 18), 0);
    assert_int_equal(l4_sum(out, l3, l4, out->len, IPPROTO_TCP), 0);
}

/* The cookie says what the client has offered: where the request is handed over, the node is told exactly that. */
static void open_says(struct client *c, const struct offer *w, uint32_t mss, uint32_t scale)
{
    struct frame f, out;
    struct handoff h;
    assert_int_equal(say_text(c, &f, &out, GET("/")), XDP_TX);
    COUNTED(RELAY_REQUEST_OPEN, RELAY_SENT_HOPS);
    tunnel_read(&f, &out, &nodes[NODE_V4], &h);
    assert_int_equal(h.kind, HANDOFF_OPEN);
    assert_int_equal(h.target, NODE_V4);
    assert_int_equal(ntohl(h.start), c->seq + sizeof GET("/") - 1);
    assert_int_equal(ntohs(h.tcp.mss), w->mss ? mss : 536);
    assert_int_equal(h.tcp.options, (w->sack ? HANDOFF_SACK : 0) | (w->scale ? HANDOFF_WSCALE : 0) | HANDOFF_ENDS);
    assert_int_equal(h.tcp.wscale, (w->scale ? scale << 4 : 0) | OUR_SCALE);
}

static void test_syn_options(void **state)
{
    for (unsigned i = 0; i < 2 * 3 * 2 * 16; i++) {
        const struct offer w = {.mss = i & 1, .sack = i & 2, .timestamps = i & 4, .scale = i & 8};
        struct client c = client_of(vips[i >> 4 & 1]), syn;
        uint8_t o[40], expected[40];
        struct frame f, out;
        uint32_t n = offer_write(o, &w, 1460, 7, i >> 5 & 1);
        c.vlans = (int)(i >> 6);
        syn = c;
        syn.options = o;
        syn.options_len = n;
        assert_int_equal(say(&syn, &f, &out, SYN, NULL, 0), XDP_TX);
        COUNTED(RELAY_SYN_COOKIE);
        answer_check(&f, &out, n);
        answer_expected(expected, n, &w, c.to[0] != '[', out.data + f.l4 + 24);
        assert_memory_equal(out.data + f.l4 + 20, expected, n);
        assert_int_equal(told.flows + told.rtts + told.segments, 0);
        assert_false(flow_is(&c)); /* nothing is remembered */
        c.ack = load32(&out, f.l4 + 4) + 1;
        struct relay_flow_key k = key_of(&c);
        assert_true(cookie_valid(&settings.cookie, &k, c.seq, EPOCH, c.ack - 1));
        c.seq++;
        open_says(&c, &w, 1460, 7);
    }
}

static void test_cookie_values(void **state)
{
    static const uint16_t mss[][2] = {{536, 536},   {1299, 536},  {1300, 1300}, {1439, 1300}, {1440, 1440},
                                      {1459, 1440}, {1460, 1460}, {8960, 1460}, {1, 536},     {65535, 1460}};
    const struct offer all = {true, true, true, true};
    uint8_t o[40];
    for (size_t i = 0; i < sizeof mss / sizeof *mss; i++) {
        struct client c = client_of("192.0.2.1:80");
        client_syn(&c, o, offer_write(o, &all, mss[i][0], 0, false));
        open_says(&c, &all, mss[i][1], 0);
    }
    for (uint32_t scale = 0; scale <= 16; scale++) { /* more than 14 is 14 (RFC 7323 2.3) */
        struct client c = client_of("192.0.2.1:80");
        client_syn(&c, o, offer_write(o, &all, 1460, scale, true));
        open_says(&c, &all, 1460, scale > 14 ? 14 : scale);
    }
    /* Options that lie about their length are not read, and the answer has none of them. */
    static const uint8_t bad[][4] = {{2, 40, 5, 0xb4}, {2, 0, 5, 0xb4}, {3, 2, 1, 1},
                                     {4, 1, 1, 1},     {0, 2, 4, 5},    {254, 1, 0, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct client c = client_of("192.0.2.1:80");
        client_syn(&c, bad[i], 4);
        open_says(&c, &(struct offer){0}, 536, 0);
    }
}

static void test_syn_others(void **state)
{
    struct frame f, out;
    struct client c = client_of("192.0.2.1:80");
    c.options = SYN_OPTIONS;
    c.options_len = SYN_OPTIONS_LEN;
    assert_int_equal(say(&c, &f, &out, SYN, "early data, of which we take none", 33), XDP_TX);
    COUNTED(RELAY_SYN_COOKIE);
    answer_check(&f, &out, SYN_OPTIONS_LEN);
    segment(&c, &f, SYN, NULL, 0);
    put(&f, "trailing link padding", 21); /* what a driver leaves behind a short packet */
    assert_int_equal(run(&f, &out), XDP_TX);
    answer_check(&f, &out, SYN_OPTIONS_LEN);
    c.to = "192.0.2.1:81"; /* not served: the kernel answers */
    assert_int_equal(say(&c, &f, &out, SYN, NULL, 0), XDP_PASS);
    COUNTED(RELAY_NOT_OURS);
    c.to = "192.0.2.1:80";
    tcp_build(&f, &(struct tcp_say){.from = c.from, .to = c.to, .flags = SYN, .ip_options = 8});
    assert_int_equal(run(&f, &out), XDP_DROP); /* the kernel would send its SYN/ACK again and again */
    COUNTED(RELAY_SYN_OPTIONS);
    assert_false(flow_is(&c));
}

/* ---- what follows the handshake ---- */

/* A segment without flow or valid cookie: here it can only be offered to a node. */
static void not_ours(const struct client *c)
{
    struct frame f, out;
    struct handoff h;
    assert_int_equal(say_text(c, &f, &out, GET("/")), XDP_TX);
    COUNTED(RELAY_FIND_ASKED, RELAY_SENT_HOPS);
    tunnel_read(&f, &out, &nodes[NODE_V4], &h);
    assert_int_equal(h.kind, HANDOFF_FIND);
    assert_false(flow_is(c));
}

static void epoch_set(uint32_t epoch)
{
    settings.epoch = epoch;
    assert_int_equal(relay_set_settings(relay, &settings), 0);
}

static void test_cookie_validity(void **state)
{
    struct frame f, out;
    for (int bit = 0; bit < 32; bit++) {
        struct client c = client_open("192.0.2.1:80");
        c.ack = ((c.ack - 1) ^ 1u << bit) + 1;
        not_ours(&c);
        c.ack = ((c.ack - 1) ^ 1u << bit) + 1;
        c.seq ^= 1u << bit;
        not_ours(&c);
    }
    struct client c = client_open("[2001:db8::1]:80"), other = client_of("[2001:db8::1]:80");
    other.seq = c.seq;
    other.ack = c.ack;
    not_ours(&other); /* another port's */
    other = c;
    other.to = "192.0.2.1:443"; /* another service's */
    strcpy(other.from, "198.51.100.7:9999");
    not_ours(&other);
    settings.cookie.k0++;
    epoch_set(EPOCH);
    not_ours(&c); /* under another key */
    settings.cookie.k0--;
    for (uint32_t first = EPOCH; first < EPOCH + 2; first++) {
        epoch_set(first);
        c = client_open("192.0.2.1:80");
        epoch_set(first + 2);
        not_ours(&c);
        epoch_set(first + 3);
        not_ours(&c);
        epoch_set(first - 1);
        not_ours(&c);
        epoch_set(first + 1);
        assert_int_equal(say_text(&c, &f, &out, GET("/")), XDP_TX);
        COUNTED(RELAY_REQUEST_OPEN, RELAY_SENT_HOPS);
    }
    epoch_set(EPOCH);
}

static void test_handshake(void **state)
{
    static uint8_t stamps[12] = {1, 1, 8, 10, 0, 0, 0, 9};
    struct frame f, out;
    struct client c = client_of("192.0.2.1:80"), syn = c;
    syn.options = SYN_OPTIONS;
    syn.options_len = SYN_OPTIONS_LEN;
    assert_int_equal(say(&syn, &f, &out, SYN, NULL, 0), XDP_TX);
    uint32_t tsval = load32(&out, f.l4 + 24);
    c.ack = load32(&out, f.l4 + 4) + 1;
    c.seq++;
    assert_int_equal(say(&c, &f, &out, ACK, NULL, 0), XDP_DROP);
    COUNTED(RELAY_HANDSHAKE);
    assert_int_equal(told.rtts, 0);       /* without timestamps nothing is measured */
    uint32_t tsecr = htonl(tsval - 1526); /* as if answered 100 ms ago, in ticks of 65.536 us */
    memcpy(stamps + 8, &tsecr, 4);
    c.options = stamps;
    c.options_len = 12;
    assert_int_equal(say(&c, &f, &out, ACK, NULL, 0), XDP_DROP);
    COUNTED(RELAY_HANDSHAKE);
    assert_int_equal(told.rtts, 1);
    assert_true(told.last.rtt_us >= 100000);
    struct relay_flow_key k = key_of(&c);
    assert_memory_equal(&told.last.flow, &k, sizeof k);
    assert_false(flow_is(&c));
    /* Nothing but the acknowledgement makes a connection. */
    assert_int_equal(say(&c, &f, &out, 0, NULL, 0), XDP_DROP);
    COUNTED_NOTHING();
    assert_int_equal(say(&c, &f, &out, PSH, GET("/"), sizeof GET("/") - 1), XDP_DROP);
    COUNTED_NOTHING();
    assert_false(flow_is(&c));
}

static void test_closed_before_a_request(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct frame f, out;
        struct client c = client_open(vips[i]);
        assert_int_equal(say(&c, &f, &out, FIN | ACK, NULL, 0), XDP_TX);
        COUNTED(RELAY_HANDSHAKE_CLOSED, RELAY_RESET_SENT);
        assert_int_equal(out.len, f.l4 + 20);
        assert_int_equal(load32(&out, f.l4 + 4), c.ack);
        assert_int_equal(load32(&out, f.l4 + 8), 0);
        assert_int_equal(out.data[f.l4 + 12], 5 << 4);
        assert_int_equal(out.data[f.l4 + 13], RST);
        assert_memory_equal(out.data + f.l4, f.data + f.l4 + 2, 2);
        assert_memory_equal(out.data + f.l4 + 2, f.data + f.l4, 2);
        assert_int_equal(l4_sum(&out, f.l3, f.l4, out.len, IPPROTO_TCP), 0);
        assert_int_equal(say(&c, &f, &out, RST | ACK, NULL, 0), XDP_DROP); /* never answered */
        COUNTED(RELAY_HANDSHAKE_CLOSED);
        assert_false(flow_is(&c));
    }
}

/* ---- the first request ---- */

enum { FRONT = -1, PINNED = RELAY_FLOW_PINNED };

static const struct first {
    const char *text;
    int node; /* FRONT: read, and left to the front end */
    uint8_t flags;
    uint32_t body;
    uint32_t set;
} firsts[] = {
    {GET("/"), NODE_V4, 0, 0, SET_V4},
    {GET("/other"), NODE_V4, 0, 0, SET_V4},
    {GET("/six"), NODE_V6, 0, 0, SET_V6},
    {GET("/six?a=b/c.d&e"), NODE_V6, 0, 0, SET_V6},
    {GET("/six/"), NODE_V4, 0, 0, SET_V4},
    {GET("/six?"), NODE_V6, 0, 0, SET_V6},
    {GET("/lan/x"), NODE_LAN, 0, 0, SET_LAN},
    {GET("/lan/"), NODE_LAN, 0, 0, SET_LAN},
    {GET("/lan"), NODE_V4, 0, 0, SET_V4},
    {GET("/lan/deep/x"), NODE_V6, 0, 0, SET_V6},         /* the longest prefix */
    {GET("/lan/deep/four.html"), NODE_V4, 0, 0, SET_V4}, /* a path before any */
    {GET("/lan/x.php"), NODE_LAN, 0, 0, SET_LAN},        /* a prefix before a suffix */
    {GET("/a/x.php"), NODE_V6, 0, 0, SET_V6},
    {GET("/a.php/x"), NODE_V4, 0, 0, SET_V4},
    {GET("/x.php.html"), NODE_V4, 0, 0, SET_V4},
    {GET("/SIX"), NODE_V4, 0, 0, SET_V4},
    {GET_OF("WWW.Example.COM", "/six"), NODE_V6, 0, 0, SET_V6},
    {GET_OF("www.example.com:8080", "/six"), NODE_V6, 0, 0, SET_V6},
    {GET_OF("lan.example.com", "/six"), NODE_LAN, 0, 0, SET_LAN},
    {GET_OF("unknown.example", "/lan/x"), NODE_V6, 0, 0, SET_V6},
    {"HEAD /six HTTP/1.1\r\nAccept: */*\r\nHost: www.example.com\r\n\r\n", NODE_V6, 0, 0, SET_V6},
    {"POST /six HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 70000\r\n\r\nbegin", NODE_V6, 0, 70000, SET_V6},
    {"PUT /six HTTP/1.1\r\nCONTENT-LENGTH:4\r\nhost:www.example.com\r\n\r\nbody", NODE_V6, 0, 4, SET_V6},
    {"DELETE /six HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 0\r\n\r\n", NODE_V6, 0, 0, SET_V6},
    {"PATCH /six HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1\r\n\r\n", NODE_V6, 0, 1, SET_V6},
    {"POST /six HTTP/1.1\r\nHost: www.example.com\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", NODE_V6, 0, 9,
     SET_V6},
    {"GET /six HTTP/1.1\r\nHost: www.example.com\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", NODE_V6, PINNED,
     0, SET_V6},
    /* what only the front end reads */
    {GET("/moved"), FRONT, PINNED, 0, SET_FRONT},
    {GET("http://www.example.com/six"), FRONT, PINNED, 0, SET_FRONT},
    {GET("/s%69x"), FRONT, PINNED, 0, SET_FRONT},
    {GET("/lan/../six"), FRONT, PINNED, 0, SET_FRONT},
    {GET("//six"), FRONT, PINNED, 0, SET_FRONT},
    {GET("six"), FRONT, PINNED, 0, SET_FRONT},
    {"OPTIONS * HTTP/1.1\r\nHost: www.example.com\r\n\r\n", FRONT, PINNED, 0, SET_FRONT},
    {"CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com\r\n\r\n", FRONT, PINNED, 0, SET_FRONT},
    {"GET /six HTTP/1.0\r\nHost: www.example.com\r\n\r\n", FRONT, PINNED, 0, SET_FRONT},
    {"GET /six\r\n\r\n", FRONT, PINNED, 0, SET_FRONT},
    {"GET /six HTTP/1.1\r\n\r\n", FRONT, PINNED, 0, SET_FRONT},
    {"GET /six HTTP/1.1\r\nHost: www.example.com\r\nHost: lan.example.com\r\n\r\n", FRONT, PINNED, 0, SET_FRONT},
    {"GET /six HTTP/1.1\r\nHost: www.example.com\r\n folded: line\r\n\r\n", FRONT, PINNED, 0, SET_FRONT},
    {"POST /six HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FRONT, PINNED, 0,
     SET_FRONT},
    {"POST /six HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", FRONT, PINNED, 0,
     SET_FRONT},
    {"POST /six HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1x\r\n\r\n", FRONT, PINNED, 0, SET_FRONT},
    {GET("/six") GET("/lan/"), FRONT, PINNED, 0, SET_FRONT}, /* two in one segment */
    {"binary \x01\x02\x03\x04 nonsense", FRONT, PINNED, 0, SET_FRONT},
    {"\r\n" GET("/six"), FRONT, PINNED, 0, SET_FRONT},
};

static void first_is(const struct first *t, struct client *c)
{
    struct frame f, out;
    struct handoff h;
    uint32_t node = t->node == FRONT ? SELF : (uint32_t)t->node, n = (uint32_t)strlen(t->text);
    const char *end = strstr(t->text, "\r\n\r\n");
    uint32_t next = t->node == FRONT ? n : (uint32_t)(end - t->text) + 4 + t->body;
    uint32_t verdict = say_text(c, &f, &out, t->text);
    if (t->node == FRONT)
        COUNTED(RELAY_REQUEST_FRONT, RELAY_SENT_HOPS);
    else
        COUNTED(RELAY_REQUEST_OPEN, RELAY_SENT_HOPS);
    assert_int_equal(verdict, t->node == FRONT ? XDP_PASS : XDP_TX);
    tunnel_read(&f, &out, &nodes[node], &h);
    assert_int_equal(h.kind, HANDOFF_OPEN);
    assert_int_equal(h.target, node);
    bool pinned = t->flags & RELAY_FLOW_PINNED; /* then nobody needs to know where the request ends */
    assert_int_equal(ntohl(h.start), c->seq + (pinned ? 0 : next));
    assert_int_equal(h.tcp.options & HANDOFF_ENDS, pinned ? 0 : HANDOFF_ENDS);
    struct relay_flow flow = flow_of(c);
    assert_int_equal(flow.node, node);
    assert_int_equal(flow.set, t->set);
    assert_int_equal(flow.start, c->seq);
    assert_int_equal(flow.ack, c->ack);
    assert_int_equal(flow.next, c->seq + next);
    assert_int_equal(flow.state, RELAY_FLOW_OPENING);
    assert_int_equal(flow.flags, t->flags);
    assert_int_equal(told.flows, 1); /* the other balancers hear of it */
    assert_int_equal(told.last.value.node, node);
    assert_int_equal(told.last.value.next, flow.next);
    assert_int_equal(told.segments + told.rtts, 0);
    /* What is lost on the way comes again, and goes the same way. */
    verdict = say_text(c, &f, &out, t->text);
    assert_int_equal(verdict, t->node == FRONT ? XDP_PASS : XDP_TX);
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
    struct handoff again;
    tunnel_read(&f, &out, &nodes[node], &again);
    assert_memory_equal(&again, &h, sizeof h);
}

static void test_first_requests(void **state)
{
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        for (int v6 = 0; v6 <= 1; v6++) {
            struct client c = client_open(v6 ? "[2001:db8::1]:80" : "192.0.2.1:80");
            c.vlans = (int)i % 3;
            first_is(&firsts[i], &c);
        }
    }
}

/* Who has no peers tells nobody of connections. */
static void test_alone(void **state)
{
    struct frame f, out;
    settings.has_peers = 0;
    assert_int_equal(relay_set_settings(relay, &settings), 0);
    struct client c = client_open("192.0.2.1:80");
    told.flows = 0;
    assert_int_equal(say_text(&c, &f, &out, GET("/")), XDP_TX);
    relay_events_read(relay);
    assert_int_equal(told.flows, 0);
    settings.has_peers = 1;
    assert_int_equal(relay_set_settings(relay, &settings), 0);
    c = client_open("192.0.2.1:80");
    assert_int_equal(say_text(&c, &f, &out, GET("/")), XDP_TX);
    relay_events_read(relay);
    assert_int_equal(told.flows, 1);
}

/* A farm without hosts, resources nobody has, nodes that are not there. */
static void test_first_without_a_node(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = client_open("192.0.2.2:80");
    assert_int_equal(say_text(&c, &f, &out, GET("/six")), XDP_TX);
    tunnel_read(&f, &out, &nodes[NODE_LAN], &h); /* OPEN needs the header, on the LAN too */
    c = client_open("192.0.2.1:80");
    assert_int_equal(say_text(&c, &f, &out, GET("/empty")), XDP_PASS);
    COUNTED(RELAY_REQUEST_NO_NODE, RELAY_SENT_HOPS);
    tunnel_read(&f, &out, &nodes[SELF], &h);
    assert_int_equal(flow_of(&c).node, SELF);
    assert_int_equal(flow_of(&c).flags, RELAY_FLOW_PINNED);
    c = client_open("192.0.2.1:80");
    assert_int_equal(say_text(&c, &f, &out, GET("/never")), XDP_DROP);
    COUNTED(RELAY_REQUEST_OPEN, RELAY_NO_NODE);
    c = client_open("192.0.2.1:80");
    assert_int_equal(say_text(&c, &f, &out, GET("/down")), XDP_DROP);
    COUNTED(RELAY_REQUEST_OPEN, RELAY_NO_NODE);
    assert_int_equal(say_text(&c, &f, &out, GET("/down")), XDP_TX); /* when it comes again, it is over */
    COUNTED(RELAY_NODE_GONE, RELAY_RESET_SENT);
    assert_int_equal(load32(&out, f.l4 + 4), c.ack);
}

/* Another farm's request with FIN behind it is handed over, and its place may be taken at once. */
static void test_first_with_fin(void **state)
{
    struct frame f, out;
    struct client c = client_open("192.0.2.1:80");
    assert_int_equal(say(&c, &f, &out, FIN | PSH | ACK, GET("/"), sizeof GET("/") - 1), XDP_TX);
    COUNTED(RELAY_REQUEST_OPEN, RELAY_SENT_HOPS);
    assert_int_equal(flow_of(&c).flags, RELAY_FLOW_REPLACEABLE);
}

/* A part of a request is the daemon's: it gets the packet from its IP header on. */
static void test_parts(void **state)
{
    static const char text[] = GET("/six");
    for (uint32_t n = 1; n < sizeof text - 1; n++) {
        struct frame f, out;
        struct client c = client_open("192.0.2.1:80");
        c.vlans = (int)n % 3;
        assert_int_equal(say(&c, &f, &out, PSH | ACK, text, n), XDP_DROP);
        COUNTED(RELAY_REQUEST_ASSIST);
        assert_int_equal(told.segments, 1);
        assert_int_equal(told.last.length, f.len - f.l3);
        assert_memory_equal(told.data, f.data + f.l3, f.len - f.l3);
        struct relay_flow flow = flow_of(&c);
        assert_memory_equal(&told.last.value, &flow, sizeof flow);
        struct relay_flow_key k = key_of(&c);
        assert_memory_equal(&told.last.flow, &k, sizeof k);
        assert_int_equal(flow.state, RELAY_FLOW_ASSIST);
        assert_int_equal(flow.start, c.seq);
        assert_int_equal(flow.next, c.seq);
        assert_int_equal(flow.tcp.mss, 1460);
        if (n % 8)
            continue;
        c.seq += n; /* what follows is its, too; acknowledgements are not */
        assert_int_equal(say(&c, &f, &out, PSH | ACK, text + n, sizeof text - 1 - n), XDP_DROP);
        COUNTED(RELAY_REQUEST_ASSIST);
        assert_int_equal(say(&c, &f, &out, ACK, NULL, 0), XDP_DROP);
        COUNTED_NOTHING();
        assert_int_equal(say(&c, &f, &out, FIN | ACK, NULL, 0), XDP_DROP);
        COUNTED(RELAY_REQUEST_ASSIST);
        struct client forged = c;
        forged.seq = flow.start - 1;
        assert_int_equal(say(&forged, &f, &out, RST | ACK, NULL, 0), XDP_DROP);
        forged.seq = flow.start + 65537;
        assert_int_equal(say(&forged, &f, &out, RST | ACK, NULL, 0), XDP_DROP);
        assert_int_equal(flow_of(&c).state, RELAY_FLOW_ASSIST);
        assert_int_equal(say(&c, &f, &out, RST | ACK, NULL, 0), XDP_DROP);
        COUNTED_NOTHING();
        assert_int_equal(flow_of(&c).state, RELAY_FLOW_ENDED);
    }
}

/* The daemon does not come: when its queue is full, segments are dropped, and counted. */
static void test_daemon_behind(void **state)
{
    struct frame f, out;
    struct client c = client_open("192.0.2.1:80");
    bool full = false;
    unsigned told_of = 0;
    segment(&c, &f, PSH | ACK, "GET /", 5);
    for (unsigned i = 0; i < RELAY_EVENT_BYTES / RELAY_SEGMENT_MAX + 2 && !full; i++) {
        assert_int_equal(run(&f, &out), XDP_DROP);
        full = after[RELAY_ASSIST_FULL].packets != before[RELAY_ASSIST_FULL].packets;
        told_of += !full;
    }
    assert_true(full);
    COUNTED(RELAY_ASSIST_FULL);
    assert_int_equal(relay_events_read(relay), RELAY_EVENTS_AT_ONCE); /* no reading is without end */
    assert_int_equal(relay_events_read(relay), told_of - RELAY_EVENTS_AT_ONCE);
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED(RELAY_REQUEST_ASSIST);
    relay_events_read(relay);
}

/* ---- TLS ---- */

/* A ClientHello with that name, or none; returns its length. */
static uint32_t hello(uint8_t *out, const char *name)
{
    struct frame f = {0};
    uint16_t n = (uint16_t)(name ? strlen(name) : 0), extensions = (uint16_t)(6 + (name ? 9 + n : 0));
    uint32_t body = 2 + 32 + 1 + 32 + 2 + 4 + 2 + 2 + extensions;
    put(&f, "\x16\x03\x01", 3);
    put16(&f, (uint16_t)(body + 4));
    put(&f, "\x01\0", 2);
    put16(&f, (uint16_t)body);
    put(&f, "\x03\x03", 2);
    put(&f, (const uint8_t[33]){[32] = 32}, 33);
    put(&f, (const uint8_t[32]){0}, 32);
    put(&f, "\0\x04\x13\x01\x13\x02\x01\0", 8);
    put16(&f, extensions);
    put(&f, "\0\x17\0\x02\0\0", 6);
    if (name) {
        put16(&f, 0);
        put16(&f, (uint16_t)(n + 5));
        put16(&f, (uint16_t)(n + 3));
        put(&f, "\0", 1);
        put16(&f, n);
        put(&f, name, n);
    }
    memcpy(out, f.data, f.len);
    return f.len;
}

static void test_tls(void **state)
{
    static const struct {
        const char *name;
        uint32_t node;
    } table[] = {
        {"www.example.com", NODE_V4}, {"LAN.example.com", NODE_LAN}, {"unknown.example", NODE_V6}, {NULL, NODE_V6}};
    struct frame f, out;
    struct handoff h;
    uint8_t bytes[512];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct client c = client_open("192.0.2.1:443");
        uint32_t n = hello(bytes, table[i].name);
        assert_int_equal(say(&c, &f, &out, PSH | ACK, bytes, n), XDP_TX);
        COUNTED(RELAY_REQUEST_OPEN, RELAY_SENT_HOPS);
        tunnel_read(&f, &out, &nodes[table[i].node], &h);
        assert_int_equal(flow_of(&c).flags, RELAY_FLOW_PINNED);
        c.seq += n; /* nothing is read any more, however much it looks like a request */
        c.ack += 100;
        assert_int_equal(say_text(&c, &f, &out, GET("/six")), XDP_TX);
        assert_true(after[RELAY_FLOW_HIT].packets == before[RELAY_FLOW_HIT].packets + 1);
        assert_int_equal(flow_of(&c).node, table[i].node);
    }
    struct client c = client_open("192.0.2.1:443");
    uint32_t n = hello(bytes, "lan.example.com");
    assert_int_equal(say(&c, &f, &out, PSH | ACK, bytes, n - 1), XDP_DROP);
    COUNTED(RELAY_REQUEST_ASSIST);
    c = client_open("192.0.2.1:443");
    bytes[5] = 2; /* not a ClientHello */
    assert_int_equal(say(&c, &f, &out, PSH | ACK, bytes, n), XDP_PASS);
    COUNTED(RELAY_REQUEST_FRONT, RELAY_SENT_HOPS);
}

static void test_every_counter(void **state)
{
    all_seen(SHARE_FIRST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_syn_options, need_relay),
        cmocka_unit_test_setup(test_cookie_values, need_relay),
        cmocka_unit_test_setup(test_syn_others, need_relay),
        cmocka_unit_test_setup(test_cookie_validity, need_relay),
        cmocka_unit_test_setup(test_handshake, need_relay),
        cmocka_unit_test_setup(test_closed_before_a_request, need_relay),
        cmocka_unit_test_setup(test_first_requests, need_relay),
        cmocka_unit_test_setup(test_alone, need_relay),
        cmocka_unit_test_setup(test_first_without_a_node, need_relay),
        cmocka_unit_test_setup(test_first_with_fin, need_relay),
        cmocka_unit_test_setup(test_parts, need_relay),
        cmocka_unit_test_setup(test_daemon_behind, need_relay),
        cmocka_unit_test_setup(test_tls, need_relay),
        cmocka_unit_test_setup(test_every_counter, need_relay),
    };
    return cmocka_run_group_tests_name("relay_delayed", tests, farm_begin, farm_end);
}
