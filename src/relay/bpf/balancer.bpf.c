// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * XDP on the balancer: packets to a VIP go on to a node; answers go from the node straight to the client and never come by
 * here. A flow's first packet takes its node from the service's ring (Maglev), later ones from the flow table, so that a
 * change of the ring moves nothing that is under way; without an entry (another balancer's flow, one pushed out) the ring
 * says the same as on any other balancer.
 *
 *   frame -> parse -> VIP? -> flow table | ring -> node -> new link addresses, or a tunnel header -> out
 */
#include "relay/bpf/parse.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, RELAY_VIPS_MAX);
    __type(key, struct relay_vip_key);
    __type(value, struct relay_vip);
} vips SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, RELAY_NODES_MAX);
    __type(key, __u32);
    __type(value, struct relay_node);
} nodes SEC(".maps");

/* A service's ring is an array of its own, put in place whole. */
struct ring {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_INNER_MAP);
    __type(key, __u32);
    __type(value, __u32);
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, RELAY_SERVICES_MAX);
    __type(key, __u32);
    __array(values, struct ring);
} rings SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, RELAY_FLOWS_MAX);
    __type(key, struct relay_flow_key);
    __type(value, struct relay_flow);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, RELAY_FRAGMENTS_MAX);
    __type(key, struct relay_fragment_key);
    __type(value, __u32);
} fragments SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, RELAY_COUNTER_COUNT);
    __type(key, __u32);
    __type(value, struct relay_count);
} counters SEC(".maps");

static __always_inline void count(__u32 what, __u32 bytes)
{
    struct relay_count *c = bpf_map_lookup_elem(&counters, &what);
    if (c) {
        c->packets++;
        c->bytes += bytes;
    }
}

/* ---- which node ---- */

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

static __always_inline __u32 mix(__u32 h, __u32 v)
{
    h ^= v * 0xcc9e2d51u;
    h = (h << 13 | h >> 19) * 5 + 0xe6546b64u;
    return h;
}

/* The same on every balancer: no seed, no address of our own. Must agree with relay_hash in relay/ring.c. */
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
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ h >> 16;
}

/* RELAY_NODES_MAX: nobody. */
static __always_inline __u32 node_by_ring(const struct relay_vip *vip, const struct relay_flow_key *k)
{
    __u32 service = vip->service, size = vip->ring_size;
    void *ring = bpf_map_lookup_elem(&rings, &service);
    if (!ring || !size)
        return RELAY_NODES_MAX;
    __u32 at = flow_hash(k, vip->flags & RELAY_VIP_BY_CLIENT) % size;
    __u32 *node = bpf_map_lookup_elem(ring, &at);
    return node ? *node : RELAY_NODES_MAX;
}

static __always_inline void by_client(struct relay_flow_key *k)
{
    __builtin_memset(k->vip, 0, 16);
    k->client_port = k->vip_port = 0;
    k->proto = 0;
}

static __always_inline void fragment_key(const struct packet *p, struct relay_fragment_key *k)
{
    __builtin_memcpy(k->client, p->flow.client, 16);
    __builtin_memcpy(k->vip, p->flow.vip, 16);
    k->id = p->fragment_id;
    k->proto = p->flow.proto;
}

static __always_inline __u32 node_of_flow(const struct packet *p, const struct relay_vip *vip)
{
    struct relay_flow_key key = p->flow;
    if (vip->flags & RELAY_VIP_BY_CLIENT)
        by_client(&key);
    struct relay_flow *flow = bpf_map_lookup_elem(&flows, &key);
    if (flow && !p->syn) {
        flow->packets++;
        flow->seen_ns = bpf_ktime_get_ns();
        count(RELAY_FLOW_HIT, p->length);
        __u32 node = flow->node;
        if (p->rst && !p->icmp_error) {
            bpf_map_delete_elem(&flows, &key);
            count(RELAY_FLOW_END, p->length);
        }
        return node;
    }
    if (p->icmp_error) {
        count(RELAY_ICMP_UNKNOWN, p->length);
        return node_by_ring(vip, &p->flow);
    }
    __u32 node = node_by_ring(vip, &p->flow);
    count(p->syn || p->flow.proto != IPPROTO_TCP ? RELAY_FLOW_NEW : RELAY_FLOW_MISS, p->length);
    if (node < RELAY_NODES_MAX && !p->rst) {
        struct relay_flow fresh = {.node = node, .packets = 1, .seen_ns = bpf_ktime_get_ns()};
        bpf_map_update_elem(&flows, &key, &fresh, BPF_ANY);
    }
    return node;
}


/* ---- out ---- */

static __always_inline int send_l2(struct xdp_md *ctx, const struct packet *p, const struct relay_node *n)
{
    struct ethhdr *eth = HEADER(struct ethhdr, ctx, 0);
    if (!eth)
        return XDP_DROP;
    __builtin_memcpy(eth->h_dest, n->mac, 6);
    __builtin_memcpy(eth->h_source, n->own_mac, 6);
    count(RELAY_SENT_L2, p->length);
    return n->ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(n->ifindex, 0);
}

static __always_inline int send_to(struct xdp_md *ctx, const struct packet *p, __u32 index)
{
    struct relay_node *n = bpf_map_lookup_elem(&nodes, &index);
    if (!n || n->mode == RELAY_NODE_NONE) {
        count(RELAY_NO_NODE, p->length);
        return XDP_PASS;
    }
    if (n->mode == RELAY_NODE_SELF) {
        count(RELAY_SELF, p->length);
        return XDP_PASS;
    }
    return send_l2(ctx, p, n);
}

SEC("xdp")
int relay_balancer(struct xdp_md *ctx)
{
    struct packet p = {};
    int stop = parse_packet(ctx, &p);
    if (stop >= 0) {
        count(stop, ctx->data_end - ctx->data);
        return XDP_PASS;
    }
    struct relay_vip *vip = vip_of(&p);
    if (!vip && p.fragment != FRAGMENT_LATER) {
        count(RELAY_NOT_OURS, p.length);
        return XDP_PASS;
    }
    if (p.fragment == FRAGMENT_LATER) {
        struct relay_fragment_key key = {};
        fragment_key(&p, &key);
        __u32 *found = bpf_map_lookup_elem(&fragments, &key);
        if (!found) {
            count(RELAY_FRAGMENT_MISS, p.length);
            return XDP_PASS;
        }
        count(RELAY_FRAGMENT_HIT, p.length);
        return send_to(ctx, &p, *found);
    }
    __u32 node = node_of_flow(&p, vip);
    if (p.icmp_error)
        count(RELAY_ICMP_RELAYED, p.length);
    if (p.fragment == FRAGMENT_FIRST && node < RELAY_NODES_MAX) {
        struct relay_fragment_key key = {};
        fragment_key(&p, &key);
        bpf_map_update_elem(&fragments, &key, &node, BPF_ANY);
    }
    return send_to(ctx, &p, node);
}

char license_text[] SEC("license") = "Dual BSD/GPL";
