/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What is to become of a packet: the end of every decision. Decisions fill it in; balancer.bpf.c carries it out at one
 * place, so that the verifier sees each way of sending once.
 */
#ifndef PM_RELAY_BPF_WAY_H
#define PM_RELAY_BPF_WAY_H

#include "relay/bpf/parse.h"
#include "relay/bpf/reply.h"
#include "relay/bpf/tables.h"

enum act {
    ACT_DROP,
    ACT_PASS,   /* the kernel may have it */
    ACT_PACKET, /* to way.node, which has the connection */
    ACT_TUNNEL, /* to way.node with way.h */
    ACT_SYN,    /* answered with a cookie */
    ACT_RESET,
    ACT_ASSIST, /* the daemon decides; it is told way.flow */
};

struct way {
    __u32 node;
    struct handoff h;
    struct relay_flow flow;
};
TABLE(ways, PERCPU_ARRAY, 1, __u32, struct way);

static __always_inline struct way *way_get(void)
{
    __u32 zero = 0;
    struct way *w = bpf_map_lookup_elem(&ways, &zero);
    if (w)
        __builtin_memset(w, 0, sizeof *w);
    return w;
}

/* kind: MOVE, NEXT or FIND; target comes back with the answer. */
static __always_inline enum act ask(struct way *w, __u32 node, __u8 kind, __u32 target, __u32 start)
{
    w->node = node;
    w->h.kind = kind;
    w->h.target = target;
    w->h.start = bpf_htonl(start);
    return ACT_TUNNEL;
}

#endif
