/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Connections that come and go. Where one has come back to this node, its socket is not reset when it leaves again, but parked
 * for a second: what it sends is dropped, and so is what comes for it. Should the connection return in that time, it finds
 * the socket and the server as it left them, which costs a quarter of a new one; what the client and other nodes
 * have sent meanwhile is the difference between its numbers and the client's (struct node_shift).
 */
#ifndef PM_RELAY_BPF_STAY_H
#define PM_RELAY_BPF_STAY_H

#include "relay/bpf/node_packet.h"
#include "relay/bpf/shift.h"

/* Kernel's names for TCP states, include/net/tcp_states.h. */
enum { STATE_ESTABLISHED = 1, STATE_TIME_WAIT = 6, STATE_CLOSE = 7, STATE_LISTEN = 10, STATE_NEW = 12 };

/* To be released. */
static __always_inline struct bpf_sock *socket_of(struct __sk_buff *skb, struct work *w)
{
    if (w->v4)
        return bpf_skc_lookup_tcp(skb, &w->tuple, sizeof w->tuple.ipv4, BPF_F_CURRENT_NETNS, 0);
    return bpf_skc_lookup_tcp(skb, &w->tuple, sizeof w->tuple.ipv6, BPF_F_CURRENT_NETNS, 0);
}

static __always_inline bool is_shifted(const struct node_shift *s)
{
    return s->in | s->out | s->clock;
}

/* What is left of a socket that has closed has no storage: its shift is with what is noted of the tuple. */
static __always_inline struct node_shift shift_of_closed(const struct bpf_sock_tuple *tuple)
{
    const struct node_asked *here = bpf_map_lookup_elem(&asked, tuple);
    return here && !here->gone ? here->shift : (struct node_shift){};
}

/* Of the socket on the packet's tuple. false: it is parked. */
static __always_inline bool look_up_shift(struct __sk_buff *skb, struct work *w, struct node_shift *shift)
{
    struct bpf_sock *sk = socket_of(skb, w);
    bool here = true;
    if (!sk)
        return true;
    struct node_stay *stay = bpf_sk_storage_get(&stays, sk, NULL, 0);
    if (stay) {
        here = !stay->parked_ns;
        *shift = stay->shift;
    } else if (sk->state == STATE_TIME_WAIT) {
        *shift = shift_of_closed(&w->tuple);
    }
    bpf_sk_release(sk);
    return here;
}

static __always_inline int late(const struct __sk_buff *skb)
{
    count_node(NODE_LATE, skb->len);
    return TC_ACT_SHOT;
}

/* An ICMP error about what the socket has sent: the kernel believes only those with a number that it knows (RFC 5927 4.1). */
static __always_inline int stay_error(struct __sk_buff *skb, struct work *w)
{
    struct icmp_head icmp;
    struct {
        __be16 source, dest;
        __be32 seq;
    } tcp;
    __u32 ip_at = w->tcp_at + sizeof icmp, tcp_at;
    if (!LOAD(skb, w->tcp_at, &icmp))
        return TC_ACT_OK;
    if (w->v4) {
        struct iphdr ip;
        if ((icmp.type != ICMP_UNREACHABLE && icmp.type != ICMP_EXCEEDED && icmp.type != ICMP_PARAMETER) ||
            !LOAD(skb, ip_at, &ip) || ip.protocol != IPPROTO_TCP || ip.ihl < 5)
            return TC_ACT_OK;
        tcp_at = ip_at + ip.ihl * 4;
        w->tuple.ipv4.saddr = ip.daddr;
        w->tuple.ipv4.daddr = ip.saddr;
    } else {
        struct ipv6hdr ip;
        if (icmp.type >= ICMP6_FIRST_INFO || !LOAD(skb, ip_at, &ip) || ip.nexthdr != IPPROTO_TCP)
            return TC_ACT_OK;
        tcp_at = ip_at + sizeof ip;
        __builtin_memcpy(w->tuple.ipv6.saddr, &ip.daddr, 16);
        __builtin_memcpy(w->tuple.ipv6.daddr, &ip.saddr, 16);
    }
    if (!LOAD(skb, tcp_at, &tcp))
        return TC_ACT_OK;
    if (w->v4) {
        w->tuple.ipv4.sport = tcp.dest;
        w->tuple.ipv4.dport = tcp.source;
    } else {
        w->tuple.ipv6.sport = tcp.dest;
        w->tuple.ipv6.dport = tcp.source;
    }
    struct node_shift shift = {};
    if (!look_up_shift(skb, w, &shift))
        return late(skb);
    __be32 seq = bpf_htonl(bpf_ntohl(tcp.seq) + shift.out);
    if (shift.out && (bpf_l4_csum_replace(skb, w->tcp_at + __builtin_offsetof(struct icmp_head, checksum), tcp.seq, seq, 4) != 0 ||
                      bpf_skb_store_bytes(skb, tcp_at + __builtin_offsetof(struct tcphdr, seq), &seq, sizeof seq, 0) != 0))
        return TC_ACT_SHOT;
    return TC_ACT_OK;
}

/* A packet without a tunnel, or out of one, that may be for a socket whose connection comes and goes. */
static __always_inline int stay_packet(struct __sk_buff *skb, struct work *w)
{
    w->at = sizeof(struct ethhdr);
    w->v4 = skb->protocol == bpf_htons(ETH_P_IP);
    if (!w->v4 && skb->protocol != bpf_htons(ETH_P_IPV6))
        return TC_ACT_OK;
    w->length = skb->len - w->at;
    __builtin_memset(&w->tuple, 0, sizeof w->tuple);
    if (!read_words(skb, w) || !read_inner(skb, w))
        return TC_ACT_OK;
    if (w->proto == (w->v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
        return stay_error(skb, w);
    if (w->proto != IPPROTO_TCP)
        return TC_ACT_OK;
    struct node_shift shift = {};
    if (!look_up_shift(skb, w, &shift))
        return late(skb);
    if (!is_shifted(&shift))
        return TC_ACT_OK;
    struct shift_by by = shift_in(&shift);
    return shift_tcp(skb, w->tcp_at, &by) ? TC_ACT_OK : TC_ACT_SHOT;
}

#endif
