/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to measure the packet programs with: TCP over both families, and the same in a hand-off packet. Checksums are
 * left out; the programs do not look at them. Keys are of no secret.
 */
#ifndef PM_BENCH_RELAY_FRAMES_H
#define PM_BENCH_RELAY_FRAMES_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "relay/bpf/shared.h"

enum { LINK = 14, TCP_HEAD = 32 /* with timestamps */, SYN_HEAD = 40, FRAME_MAX = 2048 };
enum { F_FIN = 1, F_SYN = 2, F_RST = 4, F_PSH = 8, F_ACK = 16 };

static const struct siphash_key frame_key = {0x0102030405060708ull, 0x1112131415161718ull};

struct frame {
    uint8_t data[FRAME_MAX];
    uint32_t len;
};

struct segment {
    bool v6;
    uint16_t port; /* client's */
    uint8_t flags;
    uint32_t seq, ack;
    const char *text;
};

static inline void frame_v4(uint8_t *ip, uint32_t length, uint8_t proto)
{
    static const uint8_t head[20] = {0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 0, 0, 0, 198, 51, 100, 7, 192, 0, 2, 1};
    memcpy(ip, head, sizeof head);
    ip[2] = (uint8_t)(length >> 8);
    ip[3] = (uint8_t)length;
    ip[9] = proto;
}

static inline void frame_v6(uint8_t *ip, uint32_t length, uint8_t proto)
{
    static const uint8_t head[40] = {0x60, 0, 0, 0, 0,    0, 0,   64,   0x20, 1, 0xd, 0xb8, 0, 7, 0, 0, 0, 0, 0, 0,
                                     0,    0, 0, 9, 0x20, 1, 0xd, 0xb8, 0,    0, 0,   0,    0, 0, 0, 0, 0, 0, 0, 1};
    memcpy(ip, head, sizeof head);
    ip[4] = (uint8_t)((length - 40) >> 8);
    ip[5] = (uint8_t)(length - 40);
    ip[6] = proto;
}

static inline void frame_link(struct frame *f, bool v6)
{
    static const uint8_t link[12] = {2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 0, 0xcc};
    memset(f, 0, sizeof *f);
    memcpy(f->data, link, sizeof link);
    f->data[12] = v6 ? 0x86 : 0x08;
    f->data[13] = v6 ? 0xdd : 0x00;
}

static inline void frame_tcp(struct frame *f, const struct segment *s)
{
    static const uint8_t stamps[12] = {1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 2, 0};
    static const uint8_t syn[20] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, 3, 7};
    uint32_t ip = s->v6 ? 40 : 20, head = s->flags & F_SYN ? SYN_HEAD : TCP_HEAD,
             text = s->text ? (uint32_t)strlen(s->text) : 0;
    uint32_t seq = htonl(s->seq), ack = htonl(s->ack);
    uint8_t *tcp = f->data + LINK + ip;
    frame_link(f, s->v6);
    if (s->v6)
        frame_v6(f->data + LINK, ip + head + text, IPPROTO_TCP);
    else
        frame_v4(f->data + LINK, ip + head + text, IPPROTO_TCP);
    tcp[0] = (uint8_t)(s->port >> 8);
    tcp[1] = (uint8_t)s->port;
    tcp[3] = 80;
    memcpy(tcp + 4, &seq, 4);
    memcpy(tcp + 8, &ack, 4);
    tcp[12] = (uint8_t)(head / 4 << 4);
    tcp[13] = s->flags;
    tcp[14] = 0x40;
    memcpy(tcp + 20, s->flags & F_SYN ? syn : stamps, head - 20);
    if (text)
        memcpy(tcp + head, s->text, text);
    f->len = LINK + ip + head + text;
}

/* In a hand-off packet over IPv4; *h says what of it, and gets its tag. */
static inline void frame_wrap(struct frame *f, const struct frame *in, struct handoff *h)
{
    bool v6 = in->data[12] == 0x86;
    uint32_t inner = in->len - LINK, at = LINK + 20;
    uint8_t udp[8] = {0xc3,
                      0x50,
                      RELAY_PORT >> 8,
                      RELAY_PORT & 0xff,
                      (uint8_t)((inner + HANDOFF_HEADS) >> 8),
                      (uint8_t)(inner + HANDOFF_HEADS)};
    struct gue gue = {GUE_WORDS, v6 ? IPPROTO_IPV6 : IPPROTO_IPIP, 0};
    __u64 words[HANDOFF_INNER_V6 / 8] = {0};
    memcpy(words, in->data + LINK, handoff_covered(!v6, inner));
    h->version = HANDOFF_VERSION;
    frame_link(f, false);
    frame_v4(f->data + LINK, inner + HANDOFF_OVER_V4, IPPROTO_UDP);
    uint8_t to[16] = {[10] = 0xff, [11] = 0xff};
    memcpy(to + 12, f->data + LINK + 16, 4);
    h->tag = handoff_tag(&frame_key, h, to, words);
    memcpy(f->data + at, udp, sizeof udp);
    memcpy(f->data + at + 8, &gue, sizeof gue);
    memcpy(f->data + at + 12, h, sizeof *h);
    memcpy(f->data + at + 12 + sizeof *h, in->data + LINK, inner);
    f->len = LINK + inner + HANDOFF_OVER_V4;
}

#endif
