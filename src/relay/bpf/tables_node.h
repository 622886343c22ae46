/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The node's maps. */
#ifndef PM_RELAY_BPF_TABLES_NODE_H
#define PM_RELAY_BPF_TABLES_NODE_H

#include "relay/bpf/node_shared.h"
#include "relay/bpf/table.h"

/* There is or was a struct node_stay: until then no packet is looked at for it. When the last one began. */
__u32 any_stays;
__u64 last_parked_ns;
__u32 ending; /* the program goes: no socket may be left that needs it */

typedef __u8 node_address[16];

TABLE(trusted, HASH, NODE_BALANCERS_MAX, node_address, struct node_trust);
TABLE(asked, LRU_HASH, NODE_ASKED_MAX, struct bpf_sock_tuple, struct node_asked);
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct node_stay);
} stays SEC(".maps");
TABLE(node_counters, PERCPU_ARRAY, NODE_COUNTER_COUNT, __u32, struct relay_count);

static __always_inline void count_node(__u32 what, __u32 bytes)
{
    struct relay_count *c = bpf_map_lookup_elem(&node_counters, &what);
    if (c) {
        c->packets++;
        c->bytes += bytes;
    }
}

#endif
