// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * XDP on the balancer: packets to a VIP go on to a node; answers go from the node straight to the client and never come by
 * here. A flow's first packet takes its node from the service's ring (Maglev), later ones from the flow table, so that a
 * change of the ring moves nothing that is under way; without an entry (another balancer's flow, one pushed out) the ring
 * says the same as on any other balancer.
 *
 *   frame -> parse -> VIP? -> flow table | ring -> node -> new link addresses, or a tunnel header -> out
 */
#include "relay/bpf/delayed.h"
#include "relay/bpf/found.h"
#include "relay/bpf/plain.h"
#include "relay/bpf/send.h"

/* The most particular entry: address and port, then all of a protocol, then all. */
static __always_inline struct relay_vip *vip_of(const struct packet *p)
{
    struct relay_vip_key key = {.port = p->flow.vip_port, .proto = p->flow.proto};
    __builtin_memcpy(key.addr, p->flow.vip, 16);
    struct relay_vip *vip = NULL;
    if (p->fragment != FRAGMENT_LATER)
        vip = bpf_map_lookup_elem(&vips, &key);
    if (vip)
        return vip;
    key.port = 0;
    key.proto = 0;
    return bpf_map_lookup_elem(&vips, &key);
}

/* ---- answers of nodes ---- */

/* The outer headers off: the frame is then as the client sent it, with its link header. */
static __always_inline bool strip(struct xdp_md *ctx, __u32 l3, __u32 over, bool v4)
{
    __u8 link[22];
    __be16 type = bpf_htons(v4 ? ETH_P_IP : ETH_P_IPV6);
    if (bpf_xdp_load_bytes(ctx, 0, link, sizeof link) != 0 || bpf_xdp_adjust_head(ctx, over) != 0)
        return false;
    if (l3 == 14)
        __builtin_memcpy(link + 12, &type, 2);
    else if (l3 == 18)
        __builtin_memcpy(link + 16, &type, 2);
    else
        __builtin_memcpy(link + 20, &type, 2);
    return bpf_xdp_store_bytes(ctx, 0, link, 14) == 0 && (l3 < 18 || bpf_xdp_store_bytes(ctx, 14, link + 14, 4) == 0) &&
           (l3 < 22 || bpf_xdp_store_bytes(ctx, 18, link + 18, 4) == 0);
}

static __always_inline int heard_of(const struct packet *p, const struct handoff *h)
{
    __u32 node = h->target & ~RELAY_PROBE;
    struct relay_heard *last = bpf_map_lookup_elem(&heard, &node);
    if (last && (h->kind == HANDOFF_UNKNOWN || h->kind == HANDOFF_MINE)) {
        last->number = p->seq;
        last->answers++;
        count(RELAY_NODE_HEARD, p->length);
    }
    return ACT_DROP;
}

/* The packet a node has sent back, freed of its outer headers, and what the node says of it. */
__noinline int answered(struct xdp_md *ctx, const struct packet *p, struct way *w)
{
    if (!p || !w)
        return ACT_DROP;
    struct relay_vip *vip = vip_of(p);
    struct handoff h = w->h;
    struct relay_flow *f = bpf_map_lookup_elem(&flows, &p->flow);
    __builtin_memset(&w->h, 0, sizeof w->h);
    if (h.target & RELAY_PROBE)
        return heard_of(p, &h);
    if (!vip || p->flow.proto != IPPROTO_TCP) {
        count(RELAY_HANDOFF_BAD, p->length);
        return ACT_DROP;
    }
    switch (h.kind) {
    case HANDOFF_MOVED:
        w->h.key = h.key; /* window and clock go on to the next node */
        w->h.clock = h.clock;
        return moved(ctx, p, f, h.target, w);
    case HANDOFF_GONE:
        if (f && p->seq != f->next)
            return ACT_DROP; /* of a move that is long done */
        if (f)
            bpf_map_delete_elem(&flows, &p->flow); /* when it comes again, it is looked for, in the end in vain */
        return ACT_DROP;
    case HANDOFF_REFUSED:
        return f && f->node == h.target ? refused(p, f, w) : ACT_DROP;
    case HANDOFF_UNKNOWN:
        return elsewhere(ctx, p, vip, &h, w);
    case HANDOFF_MINE:
        if (f && f->flags & RELAY_FLOW_SHARED)
            confirm(p, vip, f, &h);
        break;
    default:
        count(RELAY_HANDOFF_BAD, p->length);
        return ACT_DROP;
    }
    if (!f) {
        learn(p, vip, &h);
        f = bpf_map_lookup_elem(&flows, &p->flow);
    }
    if (!f)
        return ACT_DROP;
    w->node = f->node;
    return vip->flags & RELAY_VIP_DELAYED ? known(ctx, p, vip, f, w) : ACT_PACKET;
}

static __always_inline bool is_answer(const struct packet *p)
{
    return p->flow.proto == IPPROTO_UDP && p->flow.vip_port == bpf_htons(RELAY_PORT) && !p->fragment && !p->icmp_error;
}

/* Checks the tag and takes the outer headers off; the header is left in w->h. */
__noinline int unwrap(struct xdp_md *ctx, const struct packet *p, struct way *w)
{
    struct {
        struct gue gue;
        struct handoff h;
    } head;
    __u64 words[HANDOFF_INNER_V6 / 8];
    const struct relay_settings *s = settings_get();
    if (!p || !w || !s)
        return 0;
    __u32 at = p->l4 + sizeof(struct udphdr);
    bool v4 = false;
    if (bpf_xdp_load_bytes(ctx, at, &head, sizeof head) == 0) {
        at += sizeof head;
        v4 = head.gue.proto == IPPROTO_IPIP;
        if (head.gue.head == GUE_WORDS && !head.gue.flags && head.h.version == HANDOFF_VERSION &&
            (v4 || head.gue.proto == IPPROTO_IPV6) && inner_words(ctx, at, v4, p->length - (at - p->l3), words)) {
            w->h = head.h;
            if (handoff_tag(&s->tag[head.h.key % HANDOFF_KEYS], &head.h, p->flow.vip, words) == head.h.tag)
                return strip(ctx, p->l3, at - p->l3, v4);
            count(RELAY_TAG_WRONG, p->length);
            return 0;
        }
    }
    count(RELAY_HANDOFF_BAD, p->length);
    return 0;
}

/* ---- all packets ---- */

static __always_inline int later_fragment(struct xdp_md *ctx, const struct packet *p, const struct relay_vip *vip, struct way *w)
{
    struct relay_fragment_key key = {};
    fragment_key(p, &key);
    __u32 *found = bpf_map_lookup_elem(&fragments, &key);
    /* All of a client goes one way: then it does not matter which packet this is a part of. */
    if (!found && vip && vip->flags & RELAY_VIP_BY_CLIENT)
        return plain(ctx, p, vip, w);
    count(found ? RELAY_FRAGMENT_HIT : RELAY_FRAGMENT_MISS, p->length);
    if (!found)
        return ACT_PASS;
    w->node = *found;
    return ACT_PACKET;
}

static __always_inline int decide(struct xdp_md *ctx, const struct packet *p, struct way *w)
{
    struct relay_vip *vip = vip_of(p);
    if (p->fragment == FRAGMENT_LATER)
        return later_fragment(ctx, p, vip, w);
    if (p->icmp_info && !(vip && vip->flags & RELAY_VIP_BY_CLIENT)) {
        count(RELAY_ICMP_LOCAL, p->length);
        return ACT_PASS;
    }
    if (!vip) {
        count(RELAY_NOT_OURS, p->length);
        return ACT_PASS;
    }
    if (vip->flags & RELAY_VIP_DELAYED && p->flow.proto == IPPROTO_TCP && !p->icmp_error && !p->fragment)
        return delayed(ctx, p, vip, w);
    return plain(ctx, p, vip, w);
}

SEC("xdp")
int relay_balancer(struct xdp_md *ctx)
{
    struct packet p = {};
    struct way *w = way_get();
    int stop = parse_packet(ctx, &p), act;
    if (!w)
        return XDP_PASS;
    if (stop >= 0) {
        count(stop, ctx->data_end - ctx->data);
        return XDP_PASS;
    }
    if (is_answer(&p)) {
        if (!unwrap(ctx, &p, w))
            return XDP_DROP;
        __builtin_memset(&p, 0, sizeof p);
        if (parse_packet(ctx, &p) >= 0)
            return XDP_DROP;
        act = answered(ctx, &p, w);
    } else {
        act = decide(ctx, &p, w);
    }
    return carry_out(ctx, &p, w, act);
}

char license_text[] SEC("license") = "Dual BSD/GPL";
