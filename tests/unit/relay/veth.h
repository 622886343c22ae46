/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of node_lab.h: a veth pair in the namespace we are in. At one end (b0) are only raw frames of ours;
 * the other (n0) is the node, with VIPs on lo and a server's listener on all of them.
 */
#ifndef PM_TESTS_RELAY_VETH_H
#define PM_TESTS_RELAY_VETH_H

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tunnel.h"

#define GET "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
enum { WAIT_MS = 5000, OUR_SCALE = 8, CLIENT_SCALE = 7, MSS = 1340 };

static int wire = -1, listener = -1;

static const char *const vips[2] = {"192.0.2.1:80", "[2001:db8::1]:80"};
/* Outer addresses: the balancer's and the node's. */
static const char *const balancers[2] = {"203.0.113.254", "2001:db8:f::fe"}, *const us[2] = {"203.0.113.4",
                                                                                             "2001:db8:f::6"};

/* The next frame the node has sent with that IP protocol; false: none came. */
static inline bool heard(struct frame *f, uint8_t proto, int wait_ms)
{
    for (;;) {
        struct pollfd p = {.fd = wire, .events = POLLIN};
        struct sockaddr_ll from;
        socklen_t n = sizeof from;
        if (poll(&p, 1, wait_ms) <= 0)
            return false;
        ssize_t got = recvfrom(wire, f->data, sizeof f->data, 0, (struct sockaddr *)&from, &n);
        if (got < 34 || from.sll_pkttype == PACKET_OUTGOING)
            continue;
        f->len = (uint32_t)got;
        f->l3 = 14;
        bool v4 = f->data[14] >> 4 == 4;
        f->l4 = v4 ? 34 : 54;
        if ((v4 ? f->data[23] : f->data[20]) == proto)
            return true;
    }
}

static inline void forget(void)
{
    struct frame f;
    while (heard(&f, 0xff, 0))
        ;
}

static inline bool network(void)
{
    static const char *const commands[] = {
        "ip link set lo up",
        "ip link add n0 address 02:00:00:00:00:99 type veth peer name b0 address 02:00:00:00:00:cc",
        "for d in all default n0 b0; do echo 0 > /proc/sys/net/ipv4/conf/$d/rp_filter; done",
        "echo 1 > /proc/sys/net/ipv6/conf/b0/disable_ipv6",
        "ip address add 203.0.113.4/24 dev n0 && ip address add 2001:db8:f::6/64 dev n0 nodad",
        "ip address add 192.0.2.1/32 dev lo && ip address add 2001:db8::1/128 dev lo nodad",
        "ip link set n0 up && ip link set b0 up",
        "ip neighbor add 203.0.113.254 lladdr 02:00:00:00:00:cc dev n0 nud permanent",
        "ip neighbor add 2001:db8:f::fe lladdr 02:00:00:00:00:cc dev n0 nud permanent",
        "ip route add default via 203.0.113.254 && ip -6 route add default via 2001:db8:f::fe dev n0",
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (system(commands[i]) != 0) {
            fprintf(stderr, "# cannot: %s\n", commands[i]);
            return false;
        }
    }
    return true;
}

static inline bool sockets(void)
{
    static const int off = 0;
    struct sockaddr_ll ll = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex("b0")};
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
    wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return wire >= 0 && listener >= 0 && bind(wire, (struct sockaddr *)&ll, sizeof ll) == 0 &&
           setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0 &&
           bind(listener, (struct sockaddr *)&any, sizeof any) == 0 && listen(listener, 64) == 0;
}

/* ---- a client by way of the balancer ---- */

struct client {
    char from[64];
    const char *to;
    uint32_t start, seq, ack;
    uint32_t asked; /* the ack of its last request */
    bool pipelines;
    uint32_t ends; /* where its last request ends, if the balancer tells */
    unsigned over; /* the tunnel's family, 1: IPv6 */
    uint8_t options[40];
    uint32_t options_len;
};

static inline struct client client_of(unsigned v6, unsigned over)
{
    static unsigned port = 20000;
    struct client c = {.to = vips[v6], .over = over, .options = {1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 2, 0}, .options_len = 12};
    c.start = c.seq = port * 7919;
    c.ack = c.asked = port * 104729;
    snprintf(c.from, sizeof c.from, v6 ? "[2001:db8:7::9]:%u" : "198.51.100.7:%u", port++);
    return c;
}

static inline void inner_of(const struct client *c, struct frame *f, uint8_t flags, const char *text)
{
    tcp_build(f, &(struct tcp_say){.from = c->from,
                                   .to = c->to,
                                   .flags = flags,
                                   .seq = c->seq,
                                   .ack = c->ack,
                                   .options = c->options,
                                   .options_len = c->options_len,
                                   .data = text,
                                   .data_len = (uint32_t)strlen(text)});
}

static inline void wrap(const struct client *c, struct frame *f, const struct frame *inner, uint8_t kind,
                        uint32_t target)
{
    uint32_t start = kind == HANDOFF_OPEN ? c->start : kind == HANDOFF_MOVE ? c->asked : c->seq;
    struct handoff h = {.kind = kind, .key = SEND_KEY, .target = target, .start = htonl(start)};
    if (kind == HANDOFF_MOVE)
        h.tcp.options = c->pipelines ? HANDOFF_PIPELINES : 0;
    if (kind == HANDOFF_OPEN)
        h.tcp = (struct handoff_tcp){htons(MSS), HANDOFF_SACK | HANDOFF_WSCALE, CLIENT_SCALE << 4 | OUR_SCALE};
    if (c->ends && (kind == HANDOFF_NEXT || (kind == HANDOFF_OPEN && c->seq == c->start))) {
        h.start = htonl(c->ends);
        h.tcp.options |= HANDOFF_ENDS;
    }
    tunnel_build(f, inner, balancers[c->over], us[c->over], &h);
}

#endif
