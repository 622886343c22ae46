/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * From a frame to a flow: link layer with up to two VLAN tags, IPv4 with options, IPv6 with extension headers, fragments,
 * TCP, UDP, and the packet that an ICMP error is about. Positions are offsets from the start of the frame, each within
 * PARSE_REACH, so that the verifier can follow them.
 */
#ifndef PM_RELAY_BPF_PARSE_H
#define PM_RELAY_BPF_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "relay/bpf/shared.h"

enum { PARSE_REACH = 511, EXTENSIONS_MAX = 4, IP_FRAGMENT_MASK = 0x1fff, IP_MORE = 0x2000 };

/* Both ICMPs begin so; <linux/icmp.h> draws in headers of the C library. */
struct icmp_head {
    __u8 type, code;
    __be16 checksum;
    __be32 rest;
};
enum { ICMP_UNREACHABLE = 3, ICMP_EXCEEDED = 11, ICMP_PARAMETER = 12, ICMP6_FIRST_INFO = 128, ICMP6_ECHO_REPLY = 129 };

enum fragment { FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER };

struct vlan_tag {
    __be16 tci, proto;
};

struct packet {
    struct relay_flow_key flow; /* client to VIP */
    __u32 l3, l4;               /* offsets */
    __u32 length;               /* of the IP packet */
    __u32 fragment_id;
    __u8 family;                /* 4, 6 */
    __u8 fragment;              /* enum fragment */
    __u8 syn, rst;
    __u8 icmp_error;            /* flow is that of the packet the error is about */
    __u8 dont_fragment;
    __u8 tcp_flags;             /* struct tcphdr's byte 13 */
    __u8 icmp_info;             /* ICMP that is no error: a ping */
    __u32 seq, ack;             /* machine order */
    __u32 data, data_len;       /* the segment's: offset, bytes */
};
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

/* A header at an offset, or NULL where the frame ends before. */
#define HEADER(type, ctx, at)                                                                                \
    ({                                                                                                       \
        void *data_ = (void *)(long)(ctx)->data, *end_ = (void *)(long)(ctx)->data_end;                      \
        type *h_ = data_ + ((at) & PARSE_REACH);                                                             \
        (void *)(h_ + 1) > end_ ? (type *)NULL : h_;                                                         \
    })

/* One register for the value that is checked and the one that is used: the verifier follows no copies of 32 bits. */
#define ONE_REGISTER(x) asm volatile("" : "+r"(x))

static __always_inline void mapped(__u8 out[16], __be32 v4)
{
    __builtin_memset(out, 0, 10);
    out[10] = out[11] = 0xff;
    __builtin_memcpy(out + 12, &v4, 4);
}

/* The protocol and the offset of what follows the link header; 0: none of IP. */
static __always_inline __u16 parse_link(struct xdp_md *ctx, __u32 *l3)
{
    struct ethhdr *eth = HEADER(struct ethhdr, ctx, 0);
    if (!eth)
        return 0;
    __u16 proto = bpf_ntohs(eth->h_proto);
    *l3 = sizeof *eth;
    for (int i = 0; i < 2; i++) {
        if (proto != ETH_P_8021Q && proto != ETH_P_8021AD)
            break;
        struct vlan_tag *tag = HEADER(struct vlan_tag, ctx, *l3);
        if (!tag)
            return 0;
        proto = bpf_ntohs(tag->proto);
        *l3 += sizeof *tag;
    }
    return proto;
}

/* Walks the extension headers (RFC 8200 4). A counter to stop at, or -1. */
static __always_inline int parse_extensions(struct xdp_md *ctx, struct packet *p, __u8 proto)
{
    struct extension {
        __u8 next, length;
        __be16 offset;
        __be32 id;
    };
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        if (proto != IPPROTO_HOPOPTS && proto != IPPROTO_ROUTING && proto != IPPROTO_DSTOPTS &&
            proto != IPPROTO_FRAGMENT) {
            p->flow.proto = proto;
            return -1;
        }
        struct extension *e = HEADER(struct extension, ctx, p->l4);
        if (!e)
            return RELAY_MALFORMED;
        if (proto == IPPROTO_FRAGMENT) {
            __u16 offset = bpf_ntohs(e->offset);
            p->fragment = offset & 0xfff8 ? FRAGMENT_LATER : offset & 1 ? FRAGMENT_FIRST : FRAGMENT_NONE;
            p->fragment_id = e->id;
            p->l4 += 8;
        } else {
            p->l4 += ((__u32)e->length + 1) * 8;
        }
        proto = e->next;
        if (p->fragment == FRAGMENT_LATER) {
            p->flow.proto = proto;
            return -1;
        }
        if (p->l4 > PARSE_REACH - sizeof(struct tcphdr))
            return RELAY_EXTENSIONS;
    }
    return RELAY_EXTENSIONS;
}

/* Addresses, protocol, fragments of the IP header at p->l3. A counter to stop at, or -1. */
static __always_inline int parse_ip(struct xdp_md *ctx, struct packet *p, __u16 link)
{
    if (link == ETH_P_IP) {
        struct iphdr *ip = HEADER(struct iphdr, ctx, p->l3);
        if (!ip || ip->version != 4 || ip->ihl < 5)
            return RELAY_MALFORMED;
        __u16 off = bpf_ntohs(ip->frag_off);
        p->family = 4;
        p->length = bpf_ntohs(ip->tot_len);
        p->dont_fragment = !!(off & 0x4000);
        p->fragment = off & IP_FRAGMENT_MASK ? FRAGMENT_LATER : off & IP_MORE ? FRAGMENT_FIRST : FRAGMENT_NONE;
        p->fragment_id = ip->id;
        p->flow.proto = ip->protocol;
        p->l4 = p->l3 + ip->ihl * 4;
        mapped(p->flow.client, ip->saddr);
        mapped(p->flow.vip, ip->daddr);
        return -1;
    }
    if (link != ETH_P_IPV6)
        return RELAY_NOT_IP;
    struct ipv6hdr *ip = HEADER(struct ipv6hdr, ctx, p->l3);
    if (!ip || ip->version != 6)
        return RELAY_MALFORMED;
    p->family = 6;
    p->length = bpf_ntohs(ip->payload_len) + sizeof *ip;
    p->dont_fragment = 1;
    p->l4 = p->l3 + sizeof *ip;
    __builtin_memcpy(p->flow.client, &ip->saddr, 16);
    __builtin_memcpy(p->flow.vip, &ip->daddr, 16);
    return parse_extensions(ctx, p, ip->nexthdr);
}

static __always_inline int parse_ports(struct xdp_md *ctx, struct packet *p)
{
    if (p->flow.proto == IPPROTO_TCP) {
        struct tcphdr *tcp = HEADER(struct tcphdr, ctx, p->l4);
        if (!tcp)
            return RELAY_MALFORMED;
        p->flow.client_port = tcp->source;
        p->flow.vip_port = tcp->dest;
        p->tcp_flags = ((__u8 *)tcp)[13];
        p->syn = (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
        p->rst = !!(p->tcp_flags & TCP_RST);
        p->seq = bpf_ntohl(tcp->seq);
        p->ack = bpf_ntohl(tcp->ack_seq);
        p->data = p->l4 + tcp->doff * 4;
        p->data_len = p->l3 + p->length - p->data;
        if (tcp->doff < 5 || p->l3 + p->length < p->data)
            return RELAY_MALFORMED;
    } else if (p->flow.proto == IPPROTO_UDP) {
        struct udphdr *udp = HEADER(struct udphdr, ctx, p->l4);
        if (!udp)
            return RELAY_MALFORMED;
        p->flow.client_port = udp->source;
        p->flow.vip_port = udp->dest;
    }
    return -1;
}

/*
 * An ICMP error holds the beginning of a packet the VIP has sent (by a node) to the client: its source is the VIP, its
 * destination the client. Afterwards p->flow is that connection's, seen from the client.
 */
static __always_inline int parse_icmp(struct xdp_md *ctx, struct packet *p)
{
    struct ports {
        __be16 source, dest;
    };
    struct packet inner = {};
    __u8 vip[16];
    struct icmp_head *icmp = HEADER(struct icmp_head, ctx, p->l4);
    if (!icmp)
        return RELAY_MALFORMED;
    bool error = p->family == 4 ? icmp->type == ICMP_UNREACHABLE || icmp->type == ICMP_EXCEEDED ||
                                      icmp->type == ICMP_PARAMETER
                                : icmp->type < ICMP6_FIRST_INFO;
    if (!error) {
        /* Of ICMPv6 only echoes: what finds neighbours and routers is always the machine's own. */
        p->icmp_info = p->family == 4 || icmp->type <= ICMP6_ECHO_REPLY;
        return p->icmp_info ? -1 : RELAY_ICMP_LOCAL;
    }
    __builtin_memcpy(vip, p->flow.vip, 16);
    inner.l3 = p->l4 + sizeof *icmp;
    int stop = parse_ip(ctx, &inner, p->family == 4 ? ETH_P_IP : ETH_P_IPV6);
    if (stop >= 0 || inner.fragment == FRAGMENT_LATER)
        return RELAY_ICMP_LOCAL;
    __builtin_memcpy(p->flow.client, inner.flow.vip, 16); /* its destination */
    __builtin_memcpy(p->flow.vip, inner.flow.client, 16);
    for (int i = 0; i < 16; i++)
        if (p->flow.vip[i] != vip[i])
            return RELAY_ICMP_LOCAL;
    p->flow.proto = inner.flow.proto;
    struct ports *ports = HEADER(struct ports, ctx, inner.l4);
    if (ports && (inner.flow.proto == IPPROTO_TCP || inner.flow.proto == IPPROTO_UDP)) {
        p->flow.client_port = ports->dest;
        p->flow.vip_port = ports->source;
    }
    p->icmp_error = 1;
    return -1;
}

/* The whole of it. A counter the packet stops at, or -1. */
__noinline int parse_packet(struct xdp_md *ctx, struct packet *p)
{
    if (!p)
        return RELAY_MALFORMED;
    __u16 link = parse_link(ctx, &p->l3);
    if (link != ETH_P_IP && link != ETH_P_IPV6)
        return RELAY_NOT_IP;
    int stop = parse_ip(ctx, p, link);
    if (stop >= 0 || p->fragment == FRAGMENT_LATER)
        return stop;
    if (p->flow.proto == (p->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
        return parse_icmp(ctx, p);
    return parse_ports(ctx, p);
}

#endif
