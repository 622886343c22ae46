/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Connections that nobody here knows: each node is asked, and who has been asked for in vain for long enough is told so.
 *
 *   not known ──> find ──> one node after the other ──> nobody: noted ──3 s──> reset ──a minute after that note──> find
 *
 * `unknowns` is the packet program's own, on all processors and without a lock. An entry counts for a minute from its time and
 * is taken away when the connection is known again; where two processors are at the same connection, or the table is full, one
 * may stay or go too early: then it is reset, or asked for, once more.
 */
#ifndef PM_RELAY_BPF_UNKNOWN_H
#define PM_RELAY_BPF_UNKNOWN_H

#include <stdbool.h>
#include "relay/bpf/way.h"

#define UNKNOWN_PATIENCE_NS 3000000000ull
#define UNKNOWN_FORGOTTEN_NS 60000000000ull

/* When `unknowns` was last written to: a minute later nothing in it counts. 0: not by this process, but the table may be older. */
__u64 unknown_noted_ns;

/* As the target of FIND: only the node that a peer has named is asked. */
enum { FIND_SHARED = RELAY_MEMBERS_MAX };

/*
 * Nobody has it. The segment that would make the connection known may have been lost on the way while others of the same
 * flight were not, so for a while its packets are only dropped; then the client is told that its connection is gone.
 */
static __always_inline enum act find_nobody(const struct packet *p)
{
    __u64 now = bpf_ktime_get_ns();
    __u64 *since = bpf_map_lookup_elem(&unknowns, &p->flow);
    count(RELAY_FIND_NOBODY, p->length);
    if (!since || now - *since >= UNKNOWN_FORGOTTEN_NS)
        bpf_map_update_elem(&unknowns, &p->flow, &now, BPF_ANY);
    unknown_noted_ns = now;
    return ACT_DROP;
}

/* That was another on the same ports. Most of the time there is nobody to forget, and the table is not looked at. */
static __always_inline void known_again(const struct packet *p, __u64 now)
{
    if (!unknown_noted_ns)
        unknown_noted_ns = now;
    if (now - unknown_noted_ns < UNKNOWN_FORGOTTEN_NS)
        bpf_map_delete_elem(&unknowns, &p->flow);
}

/* Asked for in vain for long enough. (Told to a packet of the client's: one that a node has sent back comes from the node.) */
static __always_inline bool known_by_nobody(const struct packet *p)
{
    __u64 now = bpf_ktime_get_ns();
    __u64 *since = bpf_map_lookup_elem(&unknowns, &p->flow);
    return since && now - *since >= UNKNOWN_PATIENCE_NS && now - *since < UNKNOWN_FORGOTTEN_NS;
}

/* Asks the service's nodes from number `from` on; ourselves not, we should know. */
__noinline int find(const struct packet *p, __u32 all, __u32 from, struct way *w)
{
    struct relay_set *s = bpf_map_lookup_elem(&sets, &all);
    if (!p || !w)
        return ACT_DROP;
    for (__u32 i = 0; s && i < RELAY_MEMBERS_MAX; i++) {
        if (i < from || i >= s->count)
            continue;
        __u32 node = s->member[i];
        struct relay_node *n = bpf_map_lookup_elem(&nodes, &node);
        if (n && (n->mode == RELAY_NODE_L2 || n->mode == RELAY_NODE_HOPS)) {
            count(RELAY_FIND_ASKED, p->length);
            return ask(w, node, HANDOFF_FIND, i, p->seq);
        }
    }
    return find_nobody(p);
}

#endif
