/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Packets the balancer itself answers: SYN/ACK with a cookie, RST, and "too big" (RFC 1191, RFC 8201). The received frame
 * is rewritten in place and sent back where it came from; it never grows at its end, which not every driver can do.
 */
#ifndef PM_RELAY_BPF_REPLY_H
#define PM_RELAY_BPF_REPLY_H

#include "relay/bpf/cookie.h"
#include "relay/bpf/limit.h"
#include "relay/bpf/options.h"
#include "relay/bpf/parse.h"
#include "relay/bpf/tables.h"

enum { REPLY_TTL = 64, TICK_SHIFT = 16 /* ns to the 65.5 us that our timestamps count */, REPLY_SCALE = 8 };

static __always_inline __u16 csum_fold(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

static __always_inline void swap_links(struct ethhdr *eth)
{
    __u8 mac[6];
    __builtin_memcpy(mac, eth->h_source, 6);
    __builtin_memcpy(eth->h_source, eth->h_dest, 6);
    __builtin_memcpy(eth->h_dest, mac, 6);
}

/* The IP header of an answer to the packet at p->l3, for `payload` bytes behind it. The pseudo header's sum, -1: no room. */
__noinline __s64 reply_ip(struct xdp_md *ctx, const struct packet *p, __u32 payload, __u8 proto)
{
    if (!p)
        return -1;
    struct ethhdr *eth = HEADER(struct ethhdr, ctx, 0);
    __be32 rest[2] = {bpf_htonl(payload), bpf_htonl(proto)};
    if (!eth)
        return -1;
    swap_links(eth);
    if (p->family == 4) {
        struct iphdr *ip = HEADER(struct iphdr, ctx, p->l3);
        if (!ip)
            return -1;
        __be32 from = ip->daddr;
        ip->version = 4;
        ip->ihl = 5;
        ip->tos = 0;
        ip->daddr = ip->saddr;
        ip->saddr = from;
        ip->tot_len = bpf_htons(sizeof *ip + payload);
        ip->id = 0;
        ip->frag_off = bpf_htons(0x4000);
        ip->ttl = REPLY_TTL;
        ip->protocol = proto;
        ip->check = 0;
        ip->check = csum_fold(bpf_csum_diff(NULL, 0, (void *)ip, sizeof *ip, 0));
        return bpf_csum_diff(NULL, 0, (void *)&ip->saddr, 8, bpf_csum_diff(NULL, 0, rest, 8, 0));
    }
    struct ipv6hdr *ip = HEADER(struct ipv6hdr, ctx, p->l3);
    if (!ip)
        return -1;
    __builtin_memcpy(&ip->saddr, p->flow.vip, 16);
    __builtin_memcpy(&ip->daddr, p->flow.client, 16);
    ip->payload_len = bpf_htons(payload);
    ip->nexthdr = proto;
    ip->hop_limit = REPLY_TTL;
    return bpf_csum_diff(NULL, 0, (void *)&ip->saddr, 32, bpf_csum_diff(NULL, 0, rest, 8, 0));
}

/* The address header is as short as can be: no options, no extension headers. */
static __always_inline bool plain_ip(const struct packet *p)
{
    return p->l4 - p->l3 == (p->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) && !p->fragment;
}

struct segment {
    struct tcphdr head;
    __u8 options[OPTIONS_BYTES];
};

/* Zeros behind the options; the ports are filled in here. */
__noinline int reply_tcp(struct xdp_md *ctx, const struct packet *p, struct segment *segment, __u32 options)
{
    if (!p || !segment)
        return XDP_DROP;
    __u64 room = options;
    __u32 length = sizeof(struct tcphdr) + options, frame = p->l4 + length;
    ONE_REGISTER(room);
    struct tcphdr *tcp = &segment->head;
    tcp->source = p->flow.vip_port;
    tcp->dest = p->flow.client_port;
    tcp->doff = length / 4;
    long cut = (long)frame - (ctx->data_end - ctx->data);
    if (cut > 0 || (cut < 0 && bpf_xdp_adjust_tail(ctx, cut) != 0))
        return XDP_DROP;
    __s64 sum = reply_ip(ctx, p, length, IPPROTO_TCP);
    if (sum < 0)
        return XDP_DROP;
    tcp->check = csum_fold(bpf_csum_diff(NULL, 0, (void *)segment, sizeof *segment, sum));
    if (bpf_xdp_store_bytes(ctx, p->l4, tcp, sizeof *tcp) != 0 || room > OPTIONS_BYTES)
        return XDP_DROP;
    if (room && bpf_xdp_store_bytes(ctx, p->l4 + sizeof *tcp, segment->options, room) != 0)
        return XDP_DROP;
    return XDP_TX;
}

__noinline int reply_reset(struct xdp_md *ctx, const struct packet *p)
{
    struct segment segment = {};
    struct tcphdr *tcp = &segment.head;
    if (!p || !plain_ip(p) || p->rst)
        return XDP_DROP;
    tcp->seq = bpf_htonl(p->ack);
    tcp->rst = 1;
    if (!(p->tcp_flags & TCP_ACK)) {
        tcp->ack = 1;
        tcp->ack_seq = bpf_htonl(p->seq + p->data_len + p->syn);
        tcp->seq = 0;
    }
    count(RELAY_RESET_SENT, p->length);
    return reply_tcp(ctx, p, &segment, 0);
}

/* ---- SYN ---- */

static __always_inline void put_word(struct segment *segment, __u32 *at, __u32 room, __u32 word)
{
    __u64 place = *at;
    ONE_REGISTER(place);
    if (place + 4 > room || place > OPTIONS_BYTES - 4)
        return;
    __be32 w = bpf_htonl(word);
    __builtin_memcpy(segment->options + place, &w, 4);
    *at += 4;
}

/* What the client offers, and no more; the length of the list stays what it was, filled up with no-operation. */
__noinline int reply_syn(struct xdp_md *ctx, const struct packet *p)
{
    const struct relay_settings *s = settings_get();
    if (!p || !s)
        return XDP_PASS;
    struct tcp_options *o = options_get();
    struct segment segment = {};
    struct tcphdr *tcp = &segment.head;
    __u64 room = p->data - p->l4 - sizeof *tcp;
    __u32 at = 0;
    ONE_REGISTER(room);
    /* The kernel could begin the connection, but no packet of it would come there; and it answers each SYN many times. */
    if (!plain_ip(p)) {
        count(RELAY_SYN_OPTIONS, p->length);
        return XDP_DROP;
    }
    if (!o || room > OPTIONS_BYTES || (room && bpf_xdp_load_bytes(ctx, p->l4 + sizeof *tcp, o->bytes, room) != 0))
        return XDP_DROP;
    options_read(o);
    __u32 scale = o->scale <= 14 ? o->scale : COOKIE_NO_SCALE;
    __u32 bits = cookie_bits(o->mss ? o->mss : 536, o->sack, scale);
    tcp->seq = bpf_htonl(cookie_make(&s->cookie, &p->flow, p->seq, s->epoch, bits));
    tcp->ack_seq = bpf_htonl(p->seq + 1);
    tcp->syn = tcp->ack = 1;
    tcp->window = 0xffff;
    if (o->timestamps) {
        put_word(&segment, &at, room, (o->sack ? 0x0402u : 0x0101u) << 16 | OPTION_TIMESTAMPS << 8 | 10);
        put_word(&segment, &at, room, (__u32)(bpf_ktime_get_ns() >> TICK_SHIFT));
        put_word(&segment, &at, room, o->tsval);
    } else if (o->sack) {
        put_word(&segment, &at, room, 0x01010402);
    }
    if (o->scale <= 14)
        put_word(&segment, &at, room, 0x01000000 | OPTION_SCALE << 16 | 3 << 8 | REPLY_SCALE);
    if (o->mss)
        put_word(&segment, &at, room, OPTION_MSS << 24 | 4 << 16 | (p->family == 4 ? s->mss_v4 : s->mss_v6));
    for (int i = 0; i < OPTIONS_BYTES / 4; i++)
        put_word(&segment, &at, room, 0x01010101);
    count(RELAY_SYN_COOKIE, p->length);
    return reply_tcp(ctx, p, &segment, room);
}

/* ---- too big ---- */

enum { QUOTE_V4 = 64, QUOTE_V6 = 128 };

/* Tells the client the largest packet that fits; the beginning of its own goes back with it. */
__noinline int reply_too_big(struct xdp_md *ctx, const struct packet *p, __u32 mtu)
{
    const struct relay_settings *s = settings_get();
    if (!p || !s)
        return XDP_DROP;
    if (!allowed(LIMIT_ICMP, s->icmp_rate)) {
        count(RELAY_ICMP_LIMIT, p->length);
        return XDP_DROP;
    }
    __u32 quote = p->family == 4 ? QUOTE_V4 : QUOTE_V6;
    __u32 head = p->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
    __u32 l3 = p->l3, room = head + sizeof(struct icmp_head);
    __u8 link[22];
    long cut = (long)(p->l3 + quote) - (ctx->data_end - ctx->data);
    if (cut >= 0 || bpf_xdp_adjust_tail(ctx, cut) != 0 || bpf_xdp_load_bytes(ctx, 0, link, sizeof link) != 0 ||
        bpf_xdp_adjust_head(ctx, -(int)room) != 0 || bpf_xdp_store_bytes(ctx, 0, link, 14) != 0 ||
        (l3 >= 18 && bpf_xdp_store_bytes(ctx, 14, link + 14, 4) != 0) ||
        (l3 >= 22 && bpf_xdp_store_bytes(ctx, 18, link + 18, 4) != 0))
        return XDP_DROP;
    struct icmp_head icmp = {.type = p->family == 4 ? ICMP_UNREACHABLE : 2, .code = p->family == 4 ? 4 : 0};
    icmp.rest = bpf_htonl(mtu);
    if (p->family == 4) {
        struct iphdr ip = {};
        __builtin_memcpy(&ip.saddr, p->flow.client + 12, 4); /* turned round below */
        __builtin_memcpy(&ip.daddr, p->flow.vip + 12, 4);
        if (bpf_xdp_store_bytes(ctx, l3, &ip, sizeof ip) != 0)
            return XDP_DROP;
    } else {
        struct ipv6hdr ip = {.version = 6};
        if (bpf_xdp_store_bytes(ctx, l3, &ip, sizeof ip) != 0)
            return XDP_DROP;
    }
    struct packet whole = {.family = p->family, .l3 = l3, .flow = p->flow};
    __u8 proto = p->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    __s64 sum = reply_ip(ctx, &whole, sizeof icmp + quote, proto);
    if (sum < 0)
        return XDP_DROP;
    sum = p->family == 4 ? 0 : sum; /* ICMPv6's checksum covers the pseudo header (RFC 4443 2.3) */
    sum = bpf_csum_diff(NULL, 0, (void *)&icmp, sizeof icmp, sum);
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    if (p->family == 4) {
        void *q = data + (l3 & PARSE_REACH) + sizeof(struct iphdr) + sizeof icmp;
        if (q + QUOTE_V4 > end)
            return XDP_DROP;
        sum = bpf_csum_diff(NULL, 0, q, QUOTE_V4, sum);
    } else {
        void *q = data + (l3 & PARSE_REACH) + sizeof(struct ipv6hdr) + sizeof icmp;
        if (q + QUOTE_V6 > end)
            return XDP_DROP;
        sum = bpf_csum_diff(NULL, 0, q, QUOTE_V6, sum);
    }
    icmp.checksum = csum_fold(sum);
    if (bpf_xdp_store_bytes(ctx, l3 + head, &icmp, sizeof icmp) != 0)
        return XDP_DROP;
    count(p->family == 4 ? RELAY_TOO_BIG_V4 : RELAY_TOO_BIG_V6, p->length);
    return XDP_TX;
}

#endif
