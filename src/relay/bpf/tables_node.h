/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The node's maps. */
#ifndef PM_RELAY_BPF_TABLES_NODE_H
#define PM_RELAY_BPF_TABLES_NODE_H

#include "relay/bpf/node_shared.h"
#include "relay/bpf/table.h"

typedef __u8 node_address[16];

TABLE(trusted, HASH, NODE_BALANCERS_MAX, node_address, struct node_trust);
TABLE(asked, LRU_HASH, NODE_ASKED_MAX, struct bpf_sock_tuple, struct node_asked);
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
