/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A hand-off packet at the node: reading it, and the ways it can go, to our kernel, back to the balancer, once more through
 * the queue, or turned into a reset of our own socket.
 */
#ifndef PM_RELAY_BPF_NODE_PACKET_H
#define PM_RELAY_BPF_NODE_PACKET_H

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include "relay/bpf/kernel.h"
#include "relay/bpf/options.h"
#include "relay/bpf/parse.h"
#include "relay/bpf/tables_node.h"

struct work {
    struct handoff h;
    __u8 from[16], to[16]; /* outer addresses, IPv4 ones mapped */
    __u64 words[HANDOFF_INNER_V6 / 8];
    __u32 outer_l3, at; /* of the outer and of the inner IP header */
    __u32 length;       /* of the inner packet, as the outer says */
    bool outer_v4, v4;
    struct bpf_sock_tuple tuple;
    __u32 seq, ack;
    __u32 data_len;
    __u32 tcp_at;
    __be16 window;
    __u8 tcp_flags, proto, doff;
};
TABLE(works, PERCPU_ARRAY, 1, __u32, struct work);

#define LOAD(skb, at, to) (bpf_skb_load_bytes(skb, at, to, sizeof *(to)) == 0)

/* ---- reading ---- */

/* A counter it stops at; NODE_COUNTER_COUNT: not for us; -1: go on. */
static __always_inline int read_outer(struct __sk_buff *skb, struct work *w, const struct node_trust **trust)
{
    __u32 l4;
    struct {
        struct udphdr udp;
        struct gue gue;
        struct handoff h;
    } head;
    w->outer_l3 = sizeof(struct ethhdr);
    w->outer_v4 = skb->protocol == bpf_htons(ETH_P_IP);
    if (w->outer_v4) {
        struct iphdr ip;
        if (!LOAD(skb, w->outer_l3, &ip) || ip.protocol != IPPROTO_UDP || ip.ihl != 5 || ip.frag_off & bpf_htons(0x3fff))
            return NODE_COUNTER_COUNT;
        mapped(w->from, ip.saddr);
        mapped(w->to, ip.daddr);
        l4 = w->outer_l3 + sizeof ip;
    } else {
        struct ipv6hdr ip;
        if (skb->protocol != bpf_htons(ETH_P_IPV6) || !LOAD(skb, w->outer_l3, &ip) || ip.nexthdr != IPPROTO_UDP)
            return NODE_COUNTER_COUNT;
        __builtin_memcpy(w->from, &ip.saddr, 16);
        __builtin_memcpy(w->to, &ip.daddr, 16);
        l4 = w->outer_l3 + sizeof ip;
    }
    if (!LOAD(skb, l4, &head.udp) || head.udp.dest != bpf_htons(RELAY_PORT))
        return NODE_COUNTER_COUNT;
    *trust = bpf_map_lookup_elem(&trusted, w->from);
    if (!*trust)
        return NODE_UNTRUSTED;
    if (!LOAD(skb, l4, &head) || head.gue.head != GUE_WORDS || head.gue.flags ||
        head.h.version != HANDOFF_VERSION)
        return NODE_MALFORMED;
    w->h = head.h;
    w->v4 = head.gue.proto == IPPROTO_IPIP;
    w->at = l4 + sizeof head;
    w->length = bpf_ntohs(head.udp.len) - HANDOFF_HEADS;
    return w->v4 || head.gue.proto == IPPROTO_IPV6 ? -1 : NODE_MALFORMED;
}

static __always_inline bool read_words(struct __sk_buff *skb, struct work *w)
{
    __builtin_memset(w->words, 0, sizeof w->words);
    if (w->v4 && w->length < HANDOFF_INNER_V4)
        return bpf_skb_load_bytes(skb, w->at, w->words, HANDOFF_SHORT_V4) == 0;
    if (w->v4)
        return bpf_skb_load_bytes(skb, w->at, w->words, HANDOFF_INNER_V4) == 0;
    if (w->length < HANDOFF_INNER_V6)
        return bpf_skb_load_bytes(skb, w->at, w->words, HANDOFF_SHORT_V6) == 0;
    return bpf_skb_load_bytes(skb, w->at, w->words, HANDOFF_INNER_V6) == 0;
}

/* From the words: addresses and, for TCP right behind the address header, what is needed to judge a connection. */
static __always_inline bool read_inner(struct __sk_buff *skb, struct work *w)
{
    const struct tcphdr *tcp;
    struct tcphdr behind_options;
    __u32 length;
    if (w->v4) {
        const struct iphdr *ip = (const void *)w->words;
        tcp = (const void *)(ip + 1);
        if (ip->version != 4 || ip->ihl < 5)
            return false;
        w->tuple.ipv4.saddr = ip->saddr;
        w->tuple.ipv4.daddr = ip->daddr;
        w->proto = ip->frag_off & bpf_htons(IP_FRAGMENT_MASK) ? 0 : ip->protocol;
        w->tcp_at = w->at + ip->ihl * 4;
        length = bpf_ntohs(ip->tot_len);
    } else {
        const struct ipv6hdr *ip = (const void *)w->words;
        tcp = (const void *)(ip + 1);
        if (ip->version != 6)
            return false;
        __builtin_memcpy(w->tuple.ipv6.saddr, &ip->saddr, 16);
        __builtin_memcpy(w->tuple.ipv6.daddr, &ip->daddr, 16);
        w->proto = ip->nexthdr;
        w->tcp_at = w->at + sizeof *ip;
        length = bpf_ntohs(ip->payload_len) + sizeof *ip;
    }
    if (w->proto != IPPROTO_TCP)
        return true;
    if (w->v4 && w->tcp_at - w->at != sizeof(struct iphdr)) {
        if (!LOAD(skb, w->tcp_at, &behind_options))
            return false;
        tcp = &behind_options;
    }
    if (tcp->doff < 5 || w->tcp_at - w->at + tcp->doff * 4 > length || length > w->length)
        return false;
    if (w->v4) {
        w->tuple.ipv4.sport = tcp->source;
        w->tuple.ipv4.dport = tcp->dest;
    } else {
        w->tuple.ipv6.sport = tcp->source;
        w->tuple.ipv6.dport = tcp->dest;
    }
    w->seq = bpf_ntohl(tcp->seq);
    w->ack = bpf_ntohl(tcp->ack_seq);
    w->tcp_flags = ((const __u8 *)tcp)[13];
    w->window = tcp->window;
    w->doff = tcp->doff;
    w->data_len = length - (w->tcp_at - w->at) - tcp->doff * 4;
    return true;
}

/* TCP's, of the inner packet; NULL: they cannot be read. */
static __always_inline struct tcp_options *read_options(struct __sk_buff *skb, const struct work *w)
{
    struct tcp_options *o = options_get();
    __u64 room = (__u32)w->doff * 4 - sizeof(struct tcphdr);
    ONE_REGISTER(room);
    if (!o || room > OPTIONS_BYTES)
        return NULL;
    if (room && bpf_skb_load_bytes(skb, w->tcp_at + sizeof(struct tcphdr), o->bytes, room) != 0)
        return NULL;
    options_read(o);
    return o;
}

/* ---- ways out ---- */

/* The client's packet, as it was. */
static __always_inline bool unwrap(struct __sk_buff *skb, const struct work *w)
{
    __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;
    if (w->v4 && !w->outer_v4)
        flags |= ADJ_ROOM_DECAP_IPV4;
    if (!w->v4 && w->outer_v4)
        flags |= ADJ_ROOM_DECAP_IPV6;
    return bpf_skb_adjust_room(skb, -(__s32)(w->at - w->outer_l3), BPF_ADJ_ROOM_MAC, flags) == 0;
}

static __always_inline void swap(__u8 *a, __u8 *b, int n)
{
    for (int i = 0; i < n; i++) {
        __u8 of_a = a[i];
        a[i] = b[i];
        b[i] = of_a;
    }
}

/* TC_PRIO_INTERACTIVE of linux/pkt_sched.h: ahead of all the answers that wait for the link. */
enum { PRIORITY_INTERACTIVE = 6 };

/* Makes the packet one to the balancer it came from. */
static __always_inline bool turn_round(struct __sk_buff *skb, struct work *w, __u8 kind, const struct siphash_key *key)
{
    struct {
        __be16 checksum; /* UDP's */
        struct gue gue;
        struct handoff h;
    } __attribute__((packed)) head = {.gue = {GUE_WORDS, w->v4 ? IPPROTO_IPIP : IPPROTO_IPV6, 0}};
    if (w->outer_v4) {
        __u8 link[34];
        if (bpf_skb_load_bytes(skb, 0, link, sizeof link) != 0)
            return false;
        swap(link, link + 6, 6);
        swap(link + 26, link + 30, 4);
        if (bpf_skb_store_bytes(skb, 0, link, sizeof link, 0) != 0)
            return false;
    } else {
        __u8 link[54];
        if (bpf_skb_load_bytes(skb, 0, link, sizeof link) != 0)
            return false;
        swap(link, link + 6, 6);
        swap(link + 22, link + 38, 16);
        if (bpf_skb_store_bytes(skb, 0, link, sizeof link, 0) != 0)
            return false;
    }
    skb->priority = PRIORITY_INTERACTIVE;
    w->h.kind = kind;
    w->h.tries = 0;
    w->h.tag = handoff_tag(key, &w->h, w->from, w->words);
    head.h = w->h;
    return bpf_skb_store_bytes(skb, w->at - sizeof head, &head, sizeof head, 0) == 0;
}

static __always_inline int send_back(struct __sk_buff *skb, struct work *w, __u8 kind, const struct siphash_key *key)
{
    return turn_round(skb, w, kind, key) ? bpf_redirect(skb->ifindex, 0) : TC_ACT_SHOT;
}

/* Notes in the packet that it comes through here once more; false: it has too often. */
static __always_inline bool try_again(struct __sk_buff *skb, struct work *w)
{
    if (w->h.tries >= HANDOFF_TRIES_MAX) {
        count_node(NODE_TOO_EARLY, skb->len);
        return false;
    }
    w->h.tries++;
    return bpf_skb_store_bytes(skb, w->at - sizeof w->h + __builtin_offsetof(struct handoff, tries), &w->h.tries, 1, 0) == 0;
}

/* Behind what is already queued. */
static __always_inline int put_off(struct __sk_buff *skb, struct work *w)
{
    if (!try_again(skb, w))
        return TC_ACT_SHOT;
    count_node(NODE_PUT_OFF, skb->len);
    return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

static __always_inline __u16 fold(__s64 sum)
{
    sum = (sum & 0xffffffff) + ((__u64)sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

/*
 * The packet becomes one without data for our own socket, as if the client had sent it: tcp, which is given its ports and checksum.
 * It bears no options: with a timestamp the kernel would find a reset too old (RFC 7323 5.2) where the socket is one of an
 * earlier connection.
 */
static __always_inline int tell_own(struct __sk_buff *skb, struct work *w, struct tcphdr tcp)
{
    __u32 head = w->v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr), at = sizeof(struct ethhdr);
    __be32 rest[2] = {bpf_htonl(sizeof tcp), bpf_htonl(IPPROTO_TCP)};
    __s64 sum = bpf_csum_diff(NULL, 0, rest, 8, 0);
    if (!unwrap(skb, w) || bpf_skb_change_tail(skb, at + head + sizeof tcp, 0) != 0)
        return TC_ACT_SHOT;
    if (w->v4) {
        struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP};
        ip.tot_len = bpf_htons(sizeof ip + sizeof tcp);
        ip.saddr = w->tuple.ipv4.saddr;
        ip.daddr = w->tuple.ipv4.daddr;
        ip.check = fold(bpf_csum_diff(NULL, 0, (void *)&ip, sizeof ip, 0));
        tcp.source = w->tuple.ipv4.sport;
        tcp.dest = w->tuple.ipv4.dport;
        sum = bpf_csum_diff(NULL, 0, (void *)&ip.saddr, 8, sum);
        if (bpf_skb_store_bytes(skb, at, &ip, sizeof ip, BPF_F_RECOMPUTE_CSUM) != 0)
            return TC_ACT_SHOT;
    } else {
        struct ipv6hdr ip = {.version = 6, .nexthdr = IPPROTO_TCP, .hop_limit = 64};
        ip.payload_len = bpf_htons(sizeof tcp);
        __builtin_memcpy(&ip.saddr, w->tuple.ipv6.saddr, 16);
        __builtin_memcpy(&ip.daddr, w->tuple.ipv6.daddr, 16);
        tcp.source = w->tuple.ipv6.sport;
        tcp.dest = w->tuple.ipv6.dport;
        sum = bpf_csum_diff(NULL, 0, (void *)&ip.saddr, 32, sum);
        if (bpf_skb_store_bytes(skb, at, &ip, sizeof ip, BPF_F_RECOMPUTE_CSUM) != 0)
            return TC_ACT_SHOT;
    }
    tcp.check = fold(bpf_csum_diff(NULL, 0, (void *)&tcp, sizeof tcp, sum));
    return bpf_skb_store_bytes(skb, at + head, &tcp, sizeof tcp, BPF_F_RECOMPUTE_CSUM) == 0 ? TC_ACT_OK : TC_ACT_SHOT;
}

static __always_inline int reset_own(struct __sk_buff *skb, struct work *w, __u32 rcv_nxt)
{
    return tell_own(skb, w, (struct tcphdr){.seq = bpf_htonl(rcv_nxt), .doff = 5, .rst = 1});
}

#endif
