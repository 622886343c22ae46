/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The balancer's maps. The daemon fills all but flows, fragments and what counts. */
#ifndef PM_RELAY_BPF_TABLES_H
#define PM_RELAY_BPF_TABLES_H

#include "relay/bpf/shared.h"
#include "relay/bpf/table.h"

TABLE(settings, ARRAY, 1, __u32, struct relay_settings);
TABLE(vips, HASH, RELAY_VIPS_MAX, struct relay_vip_key, struct relay_vip);
TABLE(nodes, ARRAY, RELAY_NODES_MAX, __u32, struct relay_node);
TABLE(sets, ARRAY, RELAY_SETS_MAX, __u32, struct relay_set);
TABLE(hosts, HASH, RELAY_HOSTS_MAX, struct relay_host_key, struct relay_host);
TABLE(flows, LRU_HASH, RELAY_FLOWS_MAX, struct relay_flow_key, struct relay_flow);
TABLE(fragments, LRU_HASH, RELAY_FRAGMENTS_MAX, struct relay_fragment_key, __u32);
TABLE(unknowns, LRU_HASH, RELAY_UNKNOWNS_MAX, struct relay_flow_key, __u64);
TABLE(quic_servers, HASH, RELAY_QUIC_IDS_MAX, struct relay_quic_key, __u32);
TABLE(cids, LRU_HASH, RELAY_CIDS_MAX, struct relay_cid_key, __u32);
TABLE(heard, ARRAY, RELAY_NODES_MAX, __u32, struct relay_heard);
TABLE(counters, PERCPU_ARRAY, RELAY_COUNTER_COUNT, __u32, struct relay_count);

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, RELAY_RESOURCES_MAX);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct relay_resource_key);
    __type(value, struct relay_resource);
} resources SEC(".maps");

/* A set's ring is an array of its own, put in place whole. */
struct ring {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_INNER_MAP);
    __type(key, __u32);
    __type(value, __u32);
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, RELAY_SETS_MAX);
    __type(key, __u32);
    __array(values, struct ring);
} rings SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, RELAY_EVENT_BYTES);
} events SEC(".maps");

static __always_inline void count(__u32 what, __u32 bytes)
{
    struct relay_count *c = bpf_map_lookup_elem(&counters, &what);
    if (c) {
        c->packets++;
        c->bytes += bytes;
    }
}

static __always_inline const struct relay_settings *settings_get(void)
{
    __u32 zero = 0;
    return bpf_map_lookup_elem(&settings, &zero);
}

/* RELAY_NODES_MAX: nobody. */
static __always_inline __u32 ring_place(__u32 set, __u32 hash)
{
    struct relay_set *s = bpf_map_lookup_elem(&sets, &set);
    void *ring = bpf_map_lookup_elem(&rings, &set);
    if (!s || !ring || !s->ring_size)
        return RELAY_NODES_MAX;
    __u32 at = hash % s->ring_size;
    __u32 *node = bpf_map_lookup_elem(ring, &at);
    return node ? *node : RELAY_NODES_MAX;
}

static __always_inline int set_has(__u32 set, __u32 node)
{
    struct relay_set *s = bpf_map_lookup_elem(&sets, &set);
    for (__u32 i = 0; s && i < RELAY_MEMBERS_MAX; i++) {
        if (i >= s->count)
            break;
        if (s->member[i] == node)
            return 1;
    }
    return 0;
}

#endif
