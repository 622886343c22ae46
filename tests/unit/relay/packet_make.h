/* SPDX-License-Identifier: Apache-2.0 */
/* Frames for tests of plain relaying: Ethernet, IPv4 or IPv6, and behind it what the test says. Checksums are the test's. */
#ifndef PM_TESTS_RELAY_PACKET_MAKE_H
#define PM_TESTS_RELAY_PACKET_MAKE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include "base/addr.h"

enum { TH_F = 1, TH_S = 2, TH_R = 4, TH_A = 16 };

struct made {
    uint8_t data[2048];
    uint32_t len, l3, l4;
};

static inline struct endpoint place(const char *text)
{
    struct endpoint e;
    assert_int_equal(endpoint_parse(text, 1, &e), 0);
    return e;
}

static inline void add(struct made *f, const void *data, size_t n)
{
    memcpy(f->data + f->len, data, n);
    f->len += (uint32_t)n;
}

/* vlans: tags in front of it. */
static inline void make_ip(struct made *f, const char *from, const char *to, uint8_t proto, int vlans)
{
    struct endpoint a = place(from), b = place(to);
    bool v4 = a.addr.family == ADDR_V4;
    uint8_t ip4[20] = {0x45, 0, 0, 0, 1, 2, 0x40, 0, 64, proto}, ip6[40] = {0x60, [6] = proto, [7] = 64};
    memset(f, 0, sizeof *f);
    add(f, "\x02\0\0\0\0\x99\x02\0\0\0\0\xcc", 12);
    for (int i = 0; i < vlans; i++)
        add(f, "\x81\0\0\x07", 4);
    add(f, v4 ? "\x08\0" : "\x86\xdd", 2);
    f->l3 = f->len;
    memcpy(ip4 + 12, a.addr.bytes, 4);
    memcpy(ip4 + 16, b.addr.bytes, 4);
    memcpy(ip6 + 8, a.addr.bytes, 16);
    memcpy(ip6 + 24, b.addr.bytes, 16);
    add(f, v4 ? ip4 : ip6, v4 ? 20 : 40);
    f->l4 = f->len;
}

static inline void make_done(struct made *f)
{
    bool v4 = f->data[f->l3] >> 4 == 4;
    uint16_t n = htons((uint16_t)(f->len - f->l3 - (v4 ? 0 : 40)));
    memcpy(f->data + f->l3 + (v4 ? 2 : 4), &n, 2);
}

static inline void make_tcp(struct made *f, const char *from, const char *to, uint8_t flags, uint32_t seq)
{
    uint16_t ports[2] = {htons(place(from).port), htons(place(to).port)};
    uint8_t rest[16] = {[8] = 5 << 4, [9] = flags};
    make_ip(f, from, to, IPPROTO_TCP, 0);
    seq = htonl(seq);
    memcpy(rest, &seq, 4);
    add(f, ports, 4);
    add(f, rest, 16);
    make_done(f);
}

static inline void make_udp(struct made *f, const char *from, const char *to, const void *data, size_t n)
{
    uint16_t head[4] = {htons(place(from).port), htons(place(to).port), htons((uint16_t)(8 + n)), 0};
    make_ip(f, from, to, IPPROTO_UDP, 0);
    add(f, head, 8);
    add(f, data, n);
    make_done(f);
}

#endif
