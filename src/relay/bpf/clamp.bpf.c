// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * tc egress on a node that balancers reach over hops: what clients send it comes in a tunnel, which takes room. How large
 * their segments are, the node's own SYN or SYN/ACK says, which no balancer sees: here its MSS is lowered on the way out.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include "relay/bpf/clamp_shared.h"
#include "relay/bpf/options.h"
#include "relay/bpf/parse.h"
#include "relay/bpf/table.h"

typedef __u8 clamp_address[16];

TABLE(clamps, HASH, CLAMPS_MAX, clamp_address, struct clamp_value);

#define LOAD(skb, at, to) (bpf_skb_load_bytes(skb, at, to, sizeof *(to)) == 0)

/* Offset of the TCP header; 0: it is none, or not the beginning of one. */
static __always_inline __u32 tcp_at(struct __sk_buff *skb, __u8 from[16])
{
    __u32 l3 = sizeof(struct ethhdr);
    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        struct iphdr ip;
        if (!LOAD(skb, l3, &ip) || ip.protocol != IPPROTO_TCP || ip.ihl < 5 ||
            ip.frag_off & bpf_htons(IP_FRAGMENT_MASK))
            return 0;
        mapped(from, ip.saddr);
        return l3 + ip.ihl * 4;
    }
    struct ipv6hdr ip;
    if (skb->protocol != bpf_htons(ETH_P_IPV6) || !LOAD(skb, l3, &ip) || ip.nexthdr != IPPROTO_TCP)
        return 0;
    __builtin_memcpy(from, &ip.saddr, 16);
    return l3 + sizeof ip;
}

static __always_inline void lower(struct __sk_buff *skb, __u32 at, __u32 option, __u16 have, __u16 limit,
                                  struct clamp_value *v)
{
    __be16 from = bpf_htons(have), to = bpf_htons(limit);
    /* Behind an odd number of bytes each half of it is the other half of a word of the checksum. */
    bool odd = option & 1;
    if (bpf_l4_csum_replace(skb, at + __builtin_offsetof(struct tcphdr, check), odd ? __builtin_bswap16(from) : from,
                            odd ? __builtin_bswap16(to) : to, 2) != 0 ||
        bpf_skb_store_bytes(skb, at + sizeof(struct tcphdr) + option, &to, 2, 0) != 0)
        return;
    __sync_fetch_and_add(&v->lowered, 1);
}

SEC("tc")
int relay_clamp(struct __sk_buff *skb)
{
    __u8 from[16] = {};
    struct tcphdr tcp;
    __u32 at = tcp_at(skb, from);
    if (!at || !LOAD(skb, at, &tcp) || !tcp.syn || tcp.doff <= 5)
        return TC_ACT_UNSPEC;
    struct clamp_value *v = bpf_map_lookup_elem(&clamps, from);
    struct tcp_options *o = options_get();
    __u64 room = (__u32)tcp.doff * 4 - sizeof tcp;
    ONE_REGISTER(room);
    if (!v || !o || room == 0 || room > OPTIONS_BYTES || bpf_skb_load_bytes(skb, at + sizeof tcp, o->bytes, room) != 0)
        return TC_ACT_UNSPEC;
    options_read(o);
    if (o->mss > v->mss)
        lower(skb, at, o->mss_at, o->mss, v->mss, v);
    return TC_ACT_UNSPEC;
}

char license_text[] SEC("license") = "Dual BSD/GPL";
