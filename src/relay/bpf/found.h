/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What nodes answer when they are asked for a connection: by a balancer that knows nothing of it, or that knows it from a
 * peer, which may have died before it told of a move.
 *
 *   known from a peer ──> FIND ──> the node it named ─┬─ MINE ──> as the peer said, or further
 *   not known ──> FIND ──> one node after the other ──┴─ UNKNOWN ──> the next; the last: one has let it go? ──> opened anew
 */
#ifndef PM_RELAY_BPF_FOUND_H
#define PM_RELAY_BPF_FOUND_H

#include "relay/bpf/delayed.h"

/* What was agreed on in the handshake, as the node's socket says; in machine order. */
static __always_inline struct handoff_tcp agreed(const struct handoff *h)
{
    struct handoff_tcp tcp = h->tcp;
    tcp.mss = bpf_ntohs(tcp.mss);
    tcp.options &= HANDOFF_AGREED;
    return tcp;
}

/* Where the next request begins, if the node knows. */
static __always_inline void place(const struct packet *p, struct relay_flow *f, const struct handoff *h)
{
    if (!(h->tcp.options & HANDOFF_ENDS) || f->flags & RELAY_FLOW_PINNED)
        return;
    f->start = f->next = bpf_ntohl(h->start);
    f->ack = p->ack - 1; /* it was answered something before: not known when */
    f->flags &= ~RELAY_FLOW_GUESS;
}

/* A connection a node has said is its own: what we know of it from now on. */
static __always_inline void learn(const struct packet *p, const struct relay_vip *vip, const struct handoff *h)
{
    __u32 all = vip->all, at = h->target;
    struct relay_set *set = bpf_map_lookup_elem(&sets, &all);
    if (!set || at >= RELAY_MEMBERS_MAX || at >= set->count)
        return;
    struct relay_flow f = {.node = set->member[at], .start = p->seq, .next = p->seq, .tcp = agreed(h)};
    f.ack = p->ack - 1;
    f.state = vip->flags & RELAY_VIP_DELAYED ? RELAY_FLOW_BOUND : RELAY_FLOW_PLAIN;
    f.flags = vip->flags & RELAY_VIP_PINNED ? RELAY_FLOW_PINNED : RELAY_FLOW_GUESS;
    place(p, &f, h);
    f.flags |= h->tcp.options & HANDOFF_CLOSING ? RELAY_FLOW_REPLACEABLE : 0;
    f.set = vip->set;
    f.doubt = doubt_now();
    bpf_map_update_elem(&flows, &p->flow, &f, BPF_NOEXIST);
    known_again(p, bpf_ktime_get_ns());
    count(RELAY_FIND_FOUND, p->length);
    tell_flow(&p->flow, &f);
}

/*
 * The node has said that a connection heard of from a peer is its own, and how much it has received. If that is no more than
 * we know of, the next request is where the peer said; else there were requests since, and the node says where the next
 * begins, or, if it has forgotten, that is a guess. The word of a node that we did not ask out of doubt is itself in doubt:
 * a balancer that dies just then may be moving the connection, and would not tell us.
 */
static __always_inline void confirm(const struct packet *p, const struct relay_vip *vip, struct relay_flow *f,
                                    const struct handoff *h)
{
    __u32 all = vip->all, at = h->target;
    bool named = at == FIND_SHARED, doubted = f->doubt == DOUBT_ASKED;
    if (!named) {
        struct relay_set *set = bpf_map_lookup_elem(&sets, &all);
        if (!set || at >= RELAY_MEMBERS_MAX || at >= set->count)
            return;
        f->node = set->member[at];
    }
    f->flags &= ~(RELAY_FLOW_SHARED | RELAY_FLOW_LET_GO);
    f->doubt = doubted ? 0 : doubt_now();
    if (!named || (__s32)(bpf_ntohl(h->start) - f->next) > 0)
        f->flags |= RELAY_FLOW_GUESS;
    if (f->flags & RELAY_FLOW_GUESS)
        place(p, f, h);
    if (!named || !doubted)
        count(named ? RELAY_SHARED_KEPT : RELAY_FIND_FOUND, p->length);
    tell_flow(&p->flow, f);
}

/* A node has given the connection up for this packet's request, and who was to have it next did not get to know. */
static __always_inline void let_go(const struct packet *p, const struct relay_vip *vip, struct relay_flow *f,
                                   const struct handoff *h)
{
    struct relay_flow fresh = {.node = RELAY_NODES_MAX, .set = vip->set, .ack = p->ack - 1, .tcp = agreed(h)};
    fresh.seen_ns = bpf_ktime_get_ns();
    fresh.state = RELAY_FLOW_BOUND;
    fresh.flags = RELAY_FLOW_SHARED | RELAY_FLOW_LET_GO;
    fresh.start = fresh.next = p->seq;
    if (!f) {
        bpf_map_update_elem(&flows, &p->flow, &fresh, BPF_NOEXIST);
        return;
    }
    f->next = p->seq;
    f->ack = fresh.ack; /* that request had its answer, or the node would not have let go */
    f->flags |= RELAY_FLOW_LET_GO;
}

/* A node has said that it does not have the connection. */
__noinline int elsewhere(struct xdp_md *ctx, const struct packet *p, const struct relay_vip *vip, struct handoff *h,
                         struct way *w)
{
    const struct relay_settings *s = settings_get();
    if (!p || !vip || !h || !w || !s)
        return ACT_DROP;
    struct relay_flow *f = bpf_map_lookup_elem(&flows, &p->flow);
    __u32 next = h->target == FIND_SHARED ? 0 : h->target + 1;
    if (f && !(f->flags & RELAY_FLOW_SHARED))
        return ACT_DROP; /* found meanwhile */
    if (f && h->target == FIND_SHARED)
        count(RELAY_SHARED_WRONG, p->length);
    bool gone = h->tcp.options & HANDOFF_LET_GO, ours = f && f->doubt == DOUBT_ASKED;
    if (gone)
        let_go(p, vip, f, h);
    /* Who was asked out of doubt has let go for us, as a rule, and that was lost. */
    int act = gone && ours ? ACT_DROP : find(p, vip->all, next, w);
    if (act == ACT_TUNNEL)
        return act;
    f = bpf_map_lookup_elem(&flows, &p->flow);
    if (!f || !(f->flags & RELAY_FLOW_LET_GO) || p->seq != f->next || !p->data_len)
        return act;
    f->flags &= ~(RELAY_FLOW_SHARED | RELAY_FLOW_LET_GO | RELAY_FLOW_GUESS);
    return next_request(ctx, p, vip, s, f, w, true);
}

#endif
