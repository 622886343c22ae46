/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Ways from the balancer to a node: a new link address on the LAN, or the hand-off header (handoff.h) in UDP. */
#ifndef PM_RELAY_BPF_SEND_H
#define PM_RELAY_BPF_SEND_H

#include "relay/bpf/way.h"

enum { TUNNEL_TTL = 64, ENTROPY_PORTS = 0xc000 /* RFC 7605: the dynamic ones */ };

struct outer_v4 {
    struct iphdr ip;
    struct udphdr udp;
    struct gue gue;
    struct handoff h;
};

struct outer_v6 {
    struct ipv6hdr ip;
    struct udphdr udp;
    struct gue gue;
    struct handoff h;
};

static __always_inline bool is_v4(const __u8 addr[16])
{
    const __u64 *a = (const void *)addr;
    return !a[0] && ((const __u32 *)addr)[2] == bpf_htonl(0xffff);
}

/* What the tag covers of the packet at `at`; false: it is too short for one. */
static __always_inline bool inner_words(struct xdp_md *ctx, __u32 at, bool v4, __u32 length, __u64 *words)
{
    words[3] = words[4] = words[5] = words[6] = 0;
    if (v4 && length < HANDOFF_INNER_V4)
        return bpf_xdp_load_bytes(ctx, at, words, HANDOFF_SHORT_V4) == 0;
    if (v4)
        return bpf_xdp_load_bytes(ctx, at, words, HANDOFF_INNER_V4) == 0;
    if (length < HANDOFF_INNER_V6)
        return bpf_xdp_load_bytes(ctx, at, words, HANDOFF_SHORT_V6) == 0;
    return bpf_xdp_load_bytes(ctx, at, words, HANDOFF_INNER_V6) == 0;
}

static __always_inline bool tag_set(struct handoff *h, const __u8 to[16], const __u64 *inner)
{
    const struct relay_settings *s = settings_get();
    if (!s)
        return false;
    h->version = HANDOFF_VERSION;
    h->key = h->key / HANDOFF_KEYS * HANDOFF_KEYS + s->tag_key % HANDOFF_KEYS;
    h->tries = 0;
    h->tag = handoff_tag(&s->tag[h->key % HANDOFF_KEYS], h, to, inner);
    return true;
}

static __always_inline void fill_udp(struct udphdr *udp, struct gue *gue, __u32 inner, __u32 entropy, bool v4)
{
    udp->source = bpf_htons(ENTROPY_PORTS | (entropy & 0x3fff));
    udp->dest = bpf_htons(RELAY_PORT);
    udp->len = bpf_htons(inner + HANDOFF_HEADS);
    udp->check = 0; /* IPv6 too: RFC 6935, the tag is the check */
    gue->head = GUE_WORDS;
    gue->proto = v4 ? IPPROTO_IPIP : IPPROTO_IPV6;
    gue->flags = 0;
}

static __always_inline int out_of(struct xdp_md *ctx, const struct relay_node *n)
{
    if (n->mode == RELAY_NODE_SELF)
        return XDP_PASS;
    return n->ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(n->ifindex, 0);
}

/* The link header keeps its VLAN tags: the node, or the router to it, is behind the same interface. */
static __always_inline bool fill_link(struct xdp_md *ctx, const struct relay_node *n, __u8 *link, __u32 l3, __u16 proto)
{
    if (n->mode != RELAY_NODE_SELF) {
        __builtin_memcpy(link, n->mac, 6);
        __builtin_memcpy(link + 6, n->own_mac, 6);
    }
    __be16 type = bpf_htons(proto);
    if (l3 == 14)
        __builtin_memcpy(link + 12, &type, 2);
    else if (l3 == 18)
        __builtin_memcpy(link + 16, &type, 2);
    else
        __builtin_memcpy(link + 20, &type, 2);
    return bpf_xdp_store_bytes(ctx, 0, link, 14) == 0 && (l3 < 18 || bpf_xdp_store_bytes(ctx, 14, link + 14, 4) == 0) &&
           (l3 < 22 || bpf_xdp_store_bytes(ctx, 18, link + 18, 4) == 0);
}

/*
 * h: kind, target, start, tcp, window and clock are set; the rest is filled in. Returns what differs from flow to flow, for the
 * source port; -1: too short. Apart from send_tunnel, so that the words leave the stack, which is small, before the rest.
 */
static __always_inline __s64 tag_packet(struct xdp_md *ctx, const struct packet *p, struct handoff *h, const __u8 to[16])
{
    __u64 words[HANDOFF_INNER_V6 / 8];
    if (!inner_words(ctx, p->l3, p->family == 4, p->length, words) || !tag_set(h, to, words))
        return -1;
    __u32 entropy = (__u32)words[3] ^ (__u32)(words[2] >> 32);
    return entropy ^ entropy >> 16;
}

__noinline int send_tunnel(struct xdp_md *ctx, const struct packet *p, const struct relay_node *n,
                                  struct handoff *h)
{
    if (!p || !n || !h)
        return XDP_DROP;
    bool v4 = is_v4(n->addr);
    __u32 over = v4 ? HANDOFF_OVER_V4 : HANDOFF_OVER_V6, l3 = p->l3;
    __u8 link[22];
    if (p->length + over > n->mtu && n->mode != RELAY_NODE_SELF)
        return reply_too_big(ctx, p, n->mtu - over);
    __s64 entropy = tag_packet(ctx, p, h, n->addr);
    if (entropy < 0 || bpf_xdp_load_bytes(ctx, 0, link, sizeof link) != 0 || bpf_xdp_adjust_head(ctx, -(int)over) != 0) {
        count(RELAY_DROPPED_SPACE, p->length);
        return XDP_DROP;
    }
    if (v4) {
        struct outer_v4 *o = HEADER(struct outer_v4, ctx, l3);
        if (!o)
            return XDP_DROP;
        __builtin_memset(&o->ip, 0, sizeof o->ip);
        o->ip.version = 4;
        o->ip.ihl = 5;
        o->ip.tot_len = bpf_htons(p->length + over);
        o->ip.frag_off = bpf_htons(0x4000);
        o->ip.ttl = TUNNEL_TTL;
        o->ip.protocol = IPPROTO_UDP;
        __builtin_memcpy(&o->ip.saddr, n->source + 12, 4);
        __builtin_memcpy(&o->ip.daddr, n->addr + 12, 4);
        o->ip.check = csum_fold(bpf_csum_diff(NULL, 0, (void *)&o->ip, sizeof o->ip, 0));
        fill_udp(&o->udp, &o->gue, p->length, entropy, p->family == 4);
        o->h = *h;
    } else {
        struct outer_v6 *o = HEADER(struct outer_v6, ctx, l3);
        if (!o)
            return XDP_DROP;
        __builtin_memset(&o->ip, 0, sizeof o->ip);
        o->ip.version = 6;
        o->ip.payload_len = bpf_htons(p->length + HANDOFF_HEADS);
        o->ip.nexthdr = IPPROTO_UDP;
        o->ip.hop_limit = TUNNEL_TTL;
        __builtin_memcpy(&o->ip.saddr, n->source, 16);
        __builtin_memcpy(&o->ip.daddr, n->addr, 16);
        fill_udp(&o->udp, &o->gue, p->length, entropy, p->family == 4);
        o->h = *h;
    }
    if (!fill_link(ctx, n, link, l3, v4 ? ETH_P_IP : ETH_P_IPV6))
        return XDP_DROP;
    count(RELAY_SENT_HOPS, p->length);
    return out_of(ctx, n);
}

static __always_inline int send_l2(struct xdp_md *ctx, const struct packet *p, const struct relay_node *n)
{
    struct ethhdr *eth = HEADER(struct ethhdr, ctx, 0);
    if (!eth)
        return XDP_DROP;
    __builtin_memcpy(eth->h_dest, n->mac, 6);
    __builtin_memcpy(eth->h_source, n->own_mac, 6);
    count(RELAY_SENT_L2, p->length);
    return out_of(ctx, n);
}

/* The daemon has it from here; the client sends it again if that should fail. */
__noinline int assist(struct xdp_md *ctx, const struct packet *p, const struct relay_flow *f)
{
    struct relay_event *e = bpf_ringbuf_reserve(&events, sizeof *e + RELAY_SEGMENT_MAX, 0);
    __u64 length = p ? p->length : 0;
    if (!e) {
        count(RELAY_ASSIST_FULL, length);
        return XDP_DROP;
    }
    ONE_REGISTER(length);
    if (!p || !f || length == 0 || length > RELAY_SEGMENT_MAX || bpf_xdp_load_bytes(ctx, p->l3, e->data, length) != 0) {
        bpf_ringbuf_discard(e, 0);
        return XDP_DROP;
    }
    e->kind = RELAY_EVENT_SEGMENT;
    e->rtt_us = e->pad = 0;
    e->flow = p->flow;
    e->value = *f;
    e->length = length;
    bpf_ringbuf_submit(e, 0);
    count(RELAY_REQUEST_ASSIST, length);
    return XDP_DROP;
}

__noinline int carry_out(struct xdp_md *ctx, const struct packet *p, struct way *w, int act)
{
    if (!p || !w || act == ACT_DROP)
        return XDP_DROP;
    if (act == ACT_PASS)
        return XDP_PASS;
    if (act == ACT_SYN)
        return reply_syn(ctx, p);
    if (act == ACT_RESET)
        return reply_reset(ctx, p);
    if (act == ACT_ASSIST)
        return assist(ctx, p, &w->flow);
    __u32 index = w->node;
    struct relay_node *n = bpf_map_lookup_elem(&nodes, &index);
    if (!n || n->mode == RELAY_NODE_NONE || n->mode == RELAY_NODE_DOWN) {
        count(RELAY_NO_NODE, p->length);
        return act == ACT_TUNNEL ? XDP_DROP : XDP_PASS;
    }
    if (act == ACT_PACKET && n->mode == RELAY_NODE_L2)
        return send_l2(ctx, p, n);
    if (act == ACT_PACKET && n->mode == RELAY_NODE_SELF) {
        count(RELAY_SELF, p->length);
        return XDP_PASS;
    }
    if (act == ACT_PACKET)
        w->h.kind = HANDOFF_PACKET;
    return send_tunnel(ctx, p, n, &w->h);
}

#endif
