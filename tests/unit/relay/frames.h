/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames for the packet programs, and what the balancer's program does with them: builders for both families, TCP with
 * options and true checksums, checksums verified without the kernel, a relay that is run frame by frame, and which
 * counters moved.
 */
#ifndef PM_TESTS_RELAY_FRAMES_H
#define PM_TESTS_RELAY_FRAMES_H

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../cmocka_pm.h"
#include "relay/relay.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

struct frame {
    uint8_t data[3072];
    uint32_t len, l3, l4;
};

static inline struct endpoint at(const char *text)
{
    struct endpoint e;
    assert_int_equal(endpoint_parse(text, 1, &e), 0);
    return e;
}

/* ---- building ---- */

static inline void put(struct frame *f, const void *data, uint32_t n)
{
    assert_true(f->len + n <= sizeof f->data);
    if (n)
        memcpy(f->data + f->len, data, n);
    f->len += n;
}

static inline void put16(struct frame *f, uint16_t v)
{
    v = htons(v);
    put(f, &v, 2);
}

static inline void put32(struct frame *f, uint32_t v)
{
    v = htonl(v);
    put(f, &v, 4);
}

static inline void link_head(struct frame *f, uint16_t type, int vlans)
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

static inline void v4_head(struct frame *f, const struct addr *from, const struct addr *to, uint8_t proto,
                           unsigned options, uint16_t fragment)
{
    uint8_t h[60] = {(uint8_t)(0x40 | (5 + options / 4)),
                     0,
                     0,
                     0,
                     0x12,
                     0x34,
                     (uint8_t)(fragment >> 8),
                     (uint8_t)fragment,
                     64,
                     proto};
    memcpy(h + 12, from->bytes, 4);
    memcpy(h + 16, to->bytes, 4);
    memset(h + 20, 1, options); /* no operation */
    put(f, h, 20 + options);
}

static inline void v6_head(struct frame *f, const struct addr *from, const struct addr *to, uint8_t next)
{
    uint8_t h[40] = {0x60};
    h[6] = next;
    h[7] = 64;
    memcpy(h + 8, from->bytes, 16);
    memcpy(h + 24, to->bytes, 16);
    put(f, h, 40);
}

static inline void ip_head(struct frame *f, const struct addr *from, const struct addr *to, uint8_t proto)
{
    if (from->family == ADDR_V4)
        v4_head(f, from, to, proto, 0, 0);
    else
        v6_head(f, from, to, proto);
    f->l4 = f->len;
}

static inline void set_lengths(struct frame *f)
{
    uint16_t n = htons((uint16_t)(f->len - f->l3));
    if (f->data[f->l3] >> 4 == 4) {
        memcpy(f->data + f->l3 + 2, &n, 2);
    } else {
        n = htons((uint16_t)(f->len - f->l3 - 40));
        memcpy(f->data + f->l3 + 4, &n, 2);
    }
}

static inline void tcp_head(struct frame *f, uint16_t from, uint16_t to, uint8_t flags)
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

static inline void tcp_frame(struct frame *f, const char *from, const char *to, uint8_t flags, int vlans)
{
    struct endpoint c = at(from), v = at(to);
    link_head(f, c.addr.family == ADDR_V4 ? 0x0800 : 0x86dd, vlans);
    ip_head(f, &c.addr, &v.addr, IPPROTO_TCP);
    tcp_head(f, c.port, v.port, flags);
    put(f, "some data", 9);
    set_lengths(f);
}

/* ---- checksums (RFC 1071) ---- */

static inline uint64_t sum16(const uint8_t *p, uint32_t n, uint64_t sum)
{
    for (uint32_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    return n % 2 ? sum + ((uint32_t)p[n - 1] << 8) : sum;
}

static inline uint16_t fold16(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Of the transport segment at l4, which ends at `end`, with the pseudo header; 0 where it is right. */
static inline uint16_t l4_sum(const struct frame *f, uint32_t l3, uint32_t l4, uint32_t end, uint8_t proto)
{
    bool v4 = f->data[l3] >> 4 == 4;
    uint64_t sum = sum16(f->data + l3 + (v4 ? 12 : 8), v4 ? 8 : 32, proto + (end - l4));
    return fold16(sum16(f->data + l4, end - l4, sum));
}

static inline void store16(struct frame *f, uint32_t at_, uint16_t v)
{
    f->data[at_] = (uint8_t)(v >> 8);
    f->data[at_ + 1] = (uint8_t)v;
}

static inline uint32_t load32(const struct frame *f, uint32_t at_)
{
    uint32_t v;
    memcpy(&v, f->data + at_, 4);
    return ntohl(v);
}

static inline uint16_t load16(const struct frame *f, uint32_t at_)
{
    return (uint16_t)(f->data[at_] << 8 | f->data[at_ + 1]);
}

/* A segment as a client's kernel would send it. */
struct tcp_say {
    const char *from, *to;
    uint8_t flags;
    uint32_t seq, ack;
    const void *options;
    uint32_t options_len; /* a multiple of four */
    const void *data;
    uint32_t data_len;
    int vlans;
    uint32_t ip_options; /* bytes of IPv4 options */
};

static inline void tcp_build(struct frame *f, const struct tcp_say *t)
{
    struct endpoint c = at(t->from), v = at(t->to);
    bool v4 = c.addr.family == ADDR_V4;
    link_head(f, v4 ? 0x0800 : 0x86dd, t->vlans);
    if (v4)
        v4_head(f, &c.addr, &v.addr, IPPROTO_TCP, t->ip_options, 0x4000);
    else
        v6_head(f, &c.addr, &v.addr, IPPROTO_TCP);
    f->l4 = f->len;
    tcp_head(f, c.port, v.port, t->flags);
    uint32_t seq = htonl(t->seq), ack = htonl(t->ack);
    memcpy(f->data + f->l4 + 4, &seq, 4);
    memcpy(f->data + f->l4 + 8, &ack, 4);
    f->data[f->l4 + 12] = (uint8_t)((5 + t->options_len / 4) << 4);
    store16(f, f->l4 + 14, 64240);
    put(f, t->options, t->options_len);
    put(f, t->data, t->data_len);
    set_lengths(f);
    if (v4)
        store16(f, f->l3 + 10, fold16(sum16(f->data + f->l3, f->l4 - f->l3, 0)));
    store16(f, f->l4 + 16, l4_sum(f, f->l3, f->l4, f->len, IPPROTO_TCP));
}

/* ---- asking the program ---- */

static struct relay *relay;
static struct relay_count before[RELAY_COUNTER_COUNT], after[RELAY_COUNTER_COUNT];
static bool seen[RELAY_COUNTER_COUNT]; /* moved by any frame so far */

static inline uint32_t run(struct frame *f, struct frame *out)
{
    uint32_t verdict, ns;
    relay_counters(relay, before);
    out->len = sizeof out->data;
    assert_int_equal(relay_try(relay, f->data, f->len, 1, out->data, &out->len, &verdict, &ns), 0);
    relay_counters(relay, after);
    for (enum relay_counter c = 0; c < RELAY_COUNTER_COUNT; c++)
        seen[c] |= after[c].packets != before[c].packets;
    return verdict;
}

/* Exactly these counters moved, by one. */
static inline void counted(unsigned n, const enum relay_counter *which, const char *file, int line)
{
    for (enum relay_counter c = 0; c < RELAY_COUNTER_COUNT; c++) {
        bool expected = false;
        for (unsigned i = 0; i < n; i++)
            expected |= which[i] == c;
        if (after[c].packets - before[c].packets != expected)
            fail_msg("%s:%d: %s moved by %d", file, line, relay_counter_name(c),
                     (int)(after[c].packets - before[c].packets));
    }
}
#define COUNTED(...)                                                                                                   \
    do {                                                                                                               \
        const enum relay_counter w_[] = {__VA_ARGS__};                                                                 \
        counted(sizeof w_ / sizeof *w_, w_, __FILE__, __LINE__);                                                       \
    } while (0)

#define COUNTED_NOTHING() counted(0, NULL, __FILE__, __LINE__)

/*
 * Which of the six test programs has to see a counter move: plain services in test_relay_balancer, handshake and first
 * request in test_relay_delayed, hand-off packets that are refused in test_relay_refused, ends in test_relay_ends, and
 * what peers tell in test_relay_shared, and all that is not named here in test_relay_later. test_relay_plain and
 * test_relay_quic look after their own.
 */
enum share { SHARE_PLAIN = 1, SHARE_FIRST, SHARE_REFUSED, SHARE_ENDS, SHARE_OTHERS, SHARE_PEERS, SHARE_LATER };
static const uint8_t share_of[RELAY_COUNTER_COUNT] = {
    [RELAY_NOT_OURS] = SHARE_PLAIN,       [RELAY_NOT_IP] = SHARE_PLAIN,           [RELAY_MALFORMED] = SHARE_PLAIN,
    [RELAY_EXTENSIONS] = SHARE_PLAIN,     [RELAY_ICMP_LOCAL] = SHARE_PLAIN,       [RELAY_ICMP_RELAYED] = SHARE_PLAIN,
    [RELAY_ICMP_UNKNOWN] = SHARE_PLAIN,   [RELAY_FLOW_HIT] = SHARE_PLAIN,         [RELAY_FLOW_NEW] = SHARE_PLAIN,
    [RELAY_FLOW_MISS] = SHARE_PLAIN,      [RELAY_FLOW_END] = SHARE_PLAIN,         [RELAY_FRAGMENT_HIT] = SHARE_PLAIN,
    [RELAY_FRAGMENT_MISS] = SHARE_PLAIN,  [RELAY_NO_NODE] = SHARE_PLAIN,          [RELAY_SELF] = SHARE_PLAIN,
    [RELAY_SENT_L2] = SHARE_PLAIN,        [RELAY_SENT_HOPS] = SHARE_PLAIN,        [RELAY_TOO_BIG_V4] = SHARE_PLAIN,
    [RELAY_TOO_BIG_V6] = SHARE_PLAIN,     [RELAY_DROPPED_SPACE] = SHARE_PLAIN,    [RELAY_SYN_COOKIE] = SHARE_FIRST,
    [RELAY_HANDSHAKE] = SHARE_FIRST,      [RELAY_HANDSHAKE_CLOSED] = SHARE_FIRST, [RELAY_SYN_OPTIONS] = SHARE_FIRST,
    [RELAY_REQUEST_OPEN] = SHARE_FIRST,   [RELAY_REQUEST_FRONT] = SHARE_FIRST,    [RELAY_REQUEST_NO_NODE] = SHARE_FIRST,
    [RELAY_REQUEST_ASSIST] = SHARE_FIRST, [RELAY_ASSIST_FULL] = SHARE_FIRST,      [RELAY_TAG_WRONG] = SHARE_REFUSED,
    [RELAY_HANDOFF_BAD] = SHARE_REFUSED,  [RELAY_NODE_HEARD] = SHARE_REFUSED,  [RELAY_REFUSED] = SHARE_ENDS,           [RELAY_NODE_GONE] = SHARE_ENDS,
    [RELAY_ICMP_LIMIT] = SHARE_PLAIN,     [RELAY_SECOND_CHANCE] = SHARE_OTHERS,   [RELAY_FLOW_ANEW] = SHARE_OTHERS,
    [RELAY_SILENT] = SHARE_PEERS,         [RELAY_SHARED_ASKED] = SHARE_PEERS,     [RELAY_SHARED_KEPT] = SHARE_PEERS,
    [RELAY_SHARED_WRONG] = SHARE_PEERS,
    [RELAY_QUIC_ID] = SHARE_OTHERS,       [RELAY_QUIC_KEPT] = SHARE_OTHERS,       [RELAY_QUIC_UNKNOWN] = SHARE_OTHERS,
};

/* Fails for each counter of the share that no frame has moved. */
static inline void all_seen(enum share share)
{
    unsigned missing = 0;
    for (enum relay_counter c = 0; c < RELAY_COUNTER_COUNT; c++) {
        enum share whose = share_of[c] ? share_of[c] : SHARE_LATER;
        if (whose == share && !seen[c]) {
            print_error("never moved: %s\n", relay_counter_name(c));
            missing++;
        }
    }
    assert_int_equal(missing, 0);
}

/* The program in the kernel; false, with the reason on stderr, where that cannot be. */
static inline bool relay_begin(void)
{
    struct buf why = BUF_INIT;
    if (relay_open(&(struct relay_options){.flows_max = 65536}, &relay, &why) != 0) {
        fprintf(stderr, "# %s\n", buf_str(&why));
        relay = NULL;
    }
    buf_fini(&why);
    return relay;
}

static inline int need_relay(void **state)
{
    if (!relay)
        skip();
    return 0;
}

#endif
