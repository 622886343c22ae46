/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Services whose handshake the nodes do themselves: which node a packet's flow is at. A flow that has begun keeps its node,
 * whatever becomes of the ring; there are four ways out of that:
 *
 *   it has ended           FIN or RST, and a SYN after it; long quiet, for what does not say when it ends
 *   its node is down       a connection is reset, so that the client begins anew; all else gets another node at once
 *   nobody answered        a SYN comes again and nothing else did: the second chance is another node's
 *   it has moved           QUIC from another address: the connection's id says where it is
 */
#ifndef PM_RELAY_BPF_PLAIN_H
#define PM_RELAY_BPF_PLAIN_H

#include "relay/bpf/quic.h"
#include "relay/bpf/tell.h"
#include "relay/bpf/way.h"

#define SECONDS(n) ((__u64)(n)*1000000000)

enum {
    CHANCES_MAX = 2,          /* of one flow */
    QUIET_CONNECTION = 300,   /* seconds; after it a SYN may be of a client that has forgotten the connection */
    QUIET_DATAGRAMS = 180,    /* UDP and others: no NAT keeps them longer (RFC 4787 REQ-5 asks for 120) */
    QUIET_CLIENT = 900,       /* a client's node */
    CHANCE_EARLIEST_MS = 500, /* a SYN that comes again before is a copy the network made (RFC 6298: a second) */
    CHANCE_LATEST = 10,       /* ... and one after it is no sign of anything */
    TOLD_SHIFT = 35,          /* 2^35 ns, half a minute: well below what is quiet */
};
enum { /* instead of a node */
    NODE_RESET = RELAY_NODES_MAX + 1, /* the connection is gone, the client is to know */
    NODE_SILENT, /* it is new, and we take none */
};

static __always_inline __u32 mix(__u32 h, __u32 v)
{
    h ^= v * 0xcc9e2d51u;
    h = (h << 13 | h >> 19) * 5 + 0xe6546b64u;
    return h;
}

static __always_inline __u32 mixed(__u32 h)
{
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ h >> 16;
}

/* The same on every balancer: no seed, no address of our own. Must agree with relay/ring.c, as must the next one. */
static __always_inline __u32 flow_hash(const struct relay_flow_key *k, bool by_client)
{
    __u32 h = 0x9747b28c;
    const __u32 *client = (const void *)k->client, *vip = (const void *)k->vip;
    for (int i = 0; i < 4; i++)
        h = mix(h, client[i]);
    if (!by_client) {
        for (int i = 0; i < 4; i++)
            h = mix(h, vip[i]);
        h = mix(h, (__u32)k->client_port << 16 | k->vip_port);
        h = mix(h, k->proto);
    }
    return mixed(h);
}

static __always_inline __u32 cid_hash(const struct quic *q)
{
    __u32 h = 0x9747b28c, word[RELAY_QUIC_CID_MAX / 4];
    __builtin_memcpy(word, q->id, sizeof word);
    for (int i = 0; i < RELAY_QUIC_CID_MAX / 4; i++)
        h = mix(h, word[i]);
    return mixed(mix(h, q->length));
}

/* Its place in the ring: of no interest as long as the flow is in the table. */
static __always_inline __u32 place_hash(const struct packet *p, const struct quic *q, bool all)
{
    return q->hashed ? cid_hash(q) : flow_hash(&p->flow, all);
}

static __always_inline void by_client(struct relay_flow_key *k)
{
    __builtin_memset(k->vip, 0, 16);
    k->client_port = k->vip_port = 0;
    k->proto = 0;
}

static __always_inline bool node_up(__u32 index)
{
    struct relay_node *n = bpf_map_lookup_elem(&nodes, &index);
    return n && n->mode != RELAY_NODE_NONE && n->mode != RELAY_NODE_DOWN;
}

/* Neither the hash's own nor `tried`; the same on every balancer. RELAY_NODES_MAX: there is no other. */
__noinline __u32 another_node(__u32 set, __u32 hash, __u32 tried)
{
    __u32 first = ring_place(set, hash);
    for (__u32 i = 1; i <= 8; i++) {
        __u32 node = ring_place(set, mixed(mix(hash, i)));
        if (node != first && node != tried && node < RELAY_NODES_MAX && node_up(node))
            return node;
    }
    struct relay_set *s = bpf_map_lookup_elem(&sets, &set); /* who has few places */
    for (__u32 i = 0; s && i < RELAY_MEMBERS_MAX; i++) {
        if (i >= s->count)
            break;
        __u32 node = s->member[i];
        if (node != first && node != tried && node_up(node))
            return node;
    }
    return RELAY_NODES_MAX;
}

/* ---- a flow in the table ---- */

/* Another CPU may have had a later packet in between. */
static __always_inline __u64 since(const struct relay_flow *f, __u64 now)
{
    __s64 ns = now - f->seen_ns;
    return ns > 0 ? ns : 0;
}

enum keeping { KEEP, BEGIN /* a new connection on the same ports */, ANEW, ENDED };

static __always_inline enum keeping keeps(const struct packet *p, bool all, const struct relay_flow *f, __u64 now)
{
    __u64 quiet = since(f, now);
    if (!node_up(f->node)) {
        count(RELAY_NODE_GONE, p->length);
        if (p->syn)
            return BEGIN;
        return p->flow.proto == IPPROTO_TCP && !all ? ENDED
                                                    : ANEW; /* all: the next node does not know it, and says so */
    }
    if (all)
        return quiet > SECONDS(QUIET_CLIENT) ? ANEW : KEEP;
    if (p->flow.proto != IPPROTO_TCP)
        return quiet > SECONDS(QUIET_DATAGRAMS) ? ANEW : KEEP;
    if (!p->syn)
        return KEEP;
    if (f->state == RELAY_FLOW_SYN)
        return p->seq == f->start ? KEEP : BEGIN;
    /* A SYN in the middle of a connection is its node's to judge (RFC 5961 4): it may be forged. */
    return f->flags & RELAY_FLOW_REPLACEABLE || quiet > SECONDS(QUIET_CONNECTION) ? BEGIN : KEEP;
}

static __always_inline void second_chance(const struct packet *p, const struct relay_vip *vip, struct relay_flow *f,
                                          __u32 hash, __u64 now)
{
    __u64 after = since(f, now);
    if (f->state != RELAY_FLOW_SYN || !p->syn || p->seq != f->start || f->moves >= CHANCES_MAX ||
        after < CHANCE_EARLIEST_MS * 1000000ull || after > SECONDS(CHANCE_LATEST))
        return;
    __u32 node = another_node(vip->set, hash, f->node);
    if (node >= RELAY_NODES_MAX)
        return;
    f->node = node;
    f->moves++;
    count(RELAY_SECOND_CHANCE, p->length);
}

/* Other balancers hear of what lasts, and again while it does: there it must not look as if it were quiet. */
static __always_inline void tell_lasting(const struct relay_flow_key *k, struct relay_flow *f, __u64 now)
{
    __u32 period = (__u32)(now >> TOLD_SHIFT) + 1;
    if (f->packets < RELAY_LASTING || f->next == period)
        return;
    f->next = period;
    tell_flow(k, f);
}

static __always_inline __u32 hit(const struct packet *p, bool all, struct relay_flow *f,
                                 const struct relay_flow_key *key, __u64 now)
{
    __u32 node = f->node;
    if (!p->syn && f->state == RELAY_FLOW_SYN) {
        /* The first answer to the node's SYN/ACK; a SYN sent again would make the time too long. */
        if (!all && f->packets == 1 && !p->rst)
            tell_rtt(key, (bpf_ktime_get_ns() - f->seen_ns) / 1000);
        f->state = RELAY_FLOW_PLAIN;
        tell_flow(key, f);
    }
    f->packets++;
    f->seen_ns = now;
    count(RELAY_FLOW_HIT, p->length);
    if (all || key->proto != IPPROTO_TCP)
        tell_lasting(key, f, now);
    if (all)
        return node;
    /* Either may be forged: it ends when a SYN comes after it, and until then goes where it went. */
    if (p->tcp_flags & TCP_FIN || p->rst)
        f->flags |= RELAY_FLOW_REPLACEABLE;
    if (p->rst)
        count(RELAY_FLOW_END, p->length);
    return node;
}

/* ---- which node ---- */

/*
 * What the id says, of nodes that are up; have: where the address says it is, RELAY_NODES_MAX: nowhere. The id of a client's first packets is the client's, at random: it may look like
 * one of a node that is to get nothing new.
 */
__noinline __u32 quic_node(const struct packet *p, const struct relay_vip *vip, struct quic *q, __u32 have)
{
    if (!p || !vip || !q)
        return RELAY_NODES_MAX;
    bool ids = vip->flags & RELAY_VIP_QUIC_IDS, first = q->kind == QUIC_LONG && have >= RELAY_NODES_MAX && !q->server;
    __u32 node = ids ? quic_by_id(vip, q) : RELAY_NODES_MAX;
    if (node < RELAY_NODES_MAX && node_up(node) && (!first || set_has(vip->set, node))) {
        if (node != have)
            count(RELAY_QUIC_ID, p->length);
        return node;
    }
    q->hashed = ids && first;
    node = quic_by_use(p, q);
    if (node >= RELAY_NODES_MAX || !node_up(node))
        return RELAY_NODES_MAX;
    if (node != have)
        count(RELAY_QUIC_KEPT, p->length);
    return node;
}

__noinline __u32 node_of_flow(const struct packet *p, const struct relay_vip *vip, struct quic *q)
{
    if (!p || !vip || !q)
        return RELAY_NODES_MAX;
    struct relay_flow_key key = p->flow;
    struct relay_flow fresh = {.packets = 1, .seen_ns = bpf_ktime_get_coarse_ns()};
    bool all = vip->flags & RELAY_VIP_BY_CLIENT;
    if (all)
        by_client(&key);
    struct relay_flow *f = bpf_map_lookup_elem(&flows, &key);
    __u32 named = q->kind ? quic_node(p, vip, q, f ? f->node : RELAY_NODES_MAX) : RELAY_NODES_MAX;
    enum keeping keeping = f ? keeps(p, all, f, fresh.seen_ns) : BEGIN;
    if (f && keeping == KEEP && (named >= RELAY_NODES_MAX || named == f->node)) {
        if (f->state == RELAY_FLOW_SYN)
            second_chance(p, vip, f, place_hash(p, q, all), fresh.seen_ns);
        if (q->kind && named >= RELAY_NODES_MAX)
            quic_learn(p, q, f);
        return hit(p, all, f, &key, fresh.seen_ns);
    } else if (keeping == ENDED) {
        bpf_map_delete_elem(&flows, &key);
        return NODE_RESET;
    } else if (named < RELAY_NODES_MAX) {
        /* counted already; if there is an entry, another connection had this address before */
    } else if (keeping == ANEW) {
        count(RELAY_FLOW_ANEW, p->length);
    } else if (q->kind == QUIC_SHORT) {
        count(RELAY_QUIC_UNKNOWN, p->length);
    } else {
        count(p->syn || p->flow.proto != IPPROTO_TCP ? RELAY_FLOW_NEW : RELAY_FLOW_MISS, p->length);
    }
    /* Only what says that it is new: the rest has to go on somewhere. */
    if ((p->syn || (!f && q->hashed)) && silent(settings_get())) {
        count(RELAY_SILENT, p->length);
        return NODE_SILENT;
    }
    fresh.node = named < RELAY_NODES_MAX ? named : ring_place(vip->set, place_hash(p, q, all));
    fresh.state = p->syn ? RELAY_FLOW_SYN : RELAY_FLOW_PLAIN;
    if (p->syn)
        fresh.seen_ns = bpf_ktime_get_ns(); /* a round trip is measured from it */
    fresh.start = p->seq;
    if (fresh.node < RELAY_NODES_MAX && (!p->rst || all))
        bpf_map_update_elem(&flows, &key, &fresh, BPF_ANY);
    return fresh.node;
}

/* An error is the node's whose packet it is about; it is no sign of life of the flow. */
static __always_inline int plain_error(const struct packet *p, const struct relay_vip *vip, struct way *w)
{
    struct relay_flow_key key = p->flow;
    bool all = vip->flags & RELAY_VIP_BY_CLIENT;
    if (all)
        by_client(&key);
    struct relay_flow *f = bpf_map_lookup_elem(&flows, &key);
    count(f ? RELAY_FLOW_HIT : RELAY_ICMP_UNKNOWN, p->length);
    /* A delayed connection's node does not follow from its addresses: it comes again once its node is known. */
    if (!f && vip->flags & RELAY_VIP_DELAYED && p->flow.proto == IPPROTO_TCP)
        return ACT_DROP;
    w->node = f ? f->node : ring_place(vip->set, flow_hash(&p->flow, all));
    count(RELAY_ICMP_RELAYED, p->length);
    return ACT_PACKET;
}

static __always_inline void fragment_key(const struct packet *p, struct relay_fragment_key *k)
{
    __builtin_memcpy(k->client, p->flow.client, 16);
    __builtin_memcpy(k->vip, p->flow.vip, 16);
    k->id = p->fragment_id;
    k->proto = p->flow.proto;
}

static __always_inline void fragment_goes(const struct packet *p, __u32 node)
{
    struct relay_fragment_key key = {};
    fragment_key(p, &key);
    if (p->fragment == FRAGMENT_FIRST && node < RELAY_NODES_MAX)
        bpf_map_update_elem(&fragments, &key, &node, BPF_ANY);
}

/*
 * A segment of a delayed connection that was cut on the way goes to its node. Of other connections there are none that
 * could begin so: handshakes in fragments would go round the cookies.
 */
static __always_inline int delayed_fragment(const struct packet *p, struct way *w)
{
    struct relay_flow *f = bpf_map_lookup_elem(&flows, &p->flow);
    if (!f || p->syn || f->state != RELAY_FLOW_BOUND) {
        count(RELAY_FRAGMENT_MISS, p->length);
        return ACT_DROP;
    }
    count(RELAY_FLOW_HIT, p->length);
    w->node = f->node;
    fragment_goes(p, f->node);
    return ACT_PACKET;
}

__noinline int plain(struct xdp_md *ctx, const struct packet *p, const struct relay_vip *vip, struct way *w)
{
    struct quic q = {};
    if (!p || !vip || !w)
        return ACT_DROP;
    if (p->icmp_error)
        return plain_error(p, vip, w);
    if (vip->flags & RELAY_VIP_DELAYED && p->flow.proto == IPPROTO_TCP)
        return delayed_fragment(p, w);
    if (vip->flags & RELAY_VIP_QUIC && p->flow.proto == IPPROTO_UDP && p->fragment == FRAGMENT_NONE)
        quic_read(ctx, p, &q);
    w->node = node_of_flow(p, vip, &q);
    if (w->node == NODE_RESET)
        return ACT_RESET;
    if (w->node == NODE_SILENT)
        return ACT_DROP;
    fragment_goes(p, w->node);
    return ACT_PACKET;
}

#endif
