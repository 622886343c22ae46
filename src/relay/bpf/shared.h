/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the packet programs and the daemon both see: keys and values of the maps, and the counters. Addresses are 16
 * bytes, IPv4 as ::ffff:a.b.c.d; ports and what comes from packets is in network order.
 */
#ifndef PM_RELAY_BPF_SHARED_H
#define PM_RELAY_BPF_SHARED_H

#include <linux/types.h>

/*
 * One line per end a packet can have. Shown by `pointsman relay` and as metrics, so that it is visible which path served
 * and why a packet was left to the kernel.
 */
#define RELAY_COUNTERS(X)                                                                                    \
    X(NOT_OURS, "passed_not_ours", "Packets to an address that is not relayed")                              \
    X(NOT_IP, "passed_not_ip", "Frames that are neither IPv4 nor IPv6")                                      \
    X(MALFORMED, "passed_malformed", "Packets too short for their headers, left to the kernel")              \
    X(EXTENSIONS, "passed_extensions", "IPv6 packets with more extension headers than are followed")         \
    X(ICMP_LOCAL, "passed_icmp", "ICMP for the address itself, answered by the kernel")                      \
    X(ICMP_RELAYED, "icmp_relayed", "ICMP errors sent on to the node whose packet they are about")           \
    X(ICMP_UNKNOWN, "icmp_unknown", "ICMP errors about no connection known here")                            \
    X(FLOW_HIT, "flow_hit", "Packets of a flow in the table")                                                \
    X(FLOW_NEW, "flow_new", "Packets that begin a flow")                                                     \
    X(FLOW_MISS, "flow_miss", "Packets in the middle of a flow that is not in the table, sent by hash")      \
    X(FLOW_END, "flow_end", "Flows ended by RST")                                                            \
    X(FRAGMENT_HIT, "fragment_hit", "Later fragments sent after the first one")                              \
    X(FRAGMENT_MISS, "fragment_miss", "Later fragments that came before their first one, dropped")           \
    X(NO_NODE, "passed_no_node", "Packets of a service without a usable node, left to the kernel")           \
    X(SELF, "passed_self", "Packets for this machine as a node")                                             \
    X(SENT_L2, "sent_l2", "Packets sent on by link address")                                                 \
    X(SENT_HOPS, "sent_hops", "Packets sent on in a tunnel")                                                 \
    X(TOO_BIG_V4, "too_big_v4", "Fragmentation needed told to the client")                                   \
    X(TOO_BIG_V6, "too_big_v6", "Packet too big told to the client")                                         \
    X(DROPPED_SPACE, "dropped_space", "Packets dropped because the driver gave no room for a header")

enum relay_counter {
#define X(sym, name, text) RELAY_##sym,
    RELAY_COUNTERS(X)
#undef X
    RELAY_COUNTER_COUNT
};

struct relay_count {
    __u64 packets, bytes;
};

/* proto 0 and port 0: all the address receives. */
struct relay_vip_key {
    __u8 addr[16];
    __be16 port;
    __u8 proto;
    __u8 pad;
};

enum relay_vip_flags {
    RELAY_VIP_BY_CLIENT = 1, /* all packets of a client go to one node, whatever the service */
};

struct relay_vip {
    __u32 service; /* index into the rings */
    __u32 flags;
    __u32 ring_size; /* places of the service's ring; 0 = no node */
    __u32 pad;
};

enum relay_node_mode {
    RELAY_NODE_NONE, /* unused */
    RELAY_NODE_L2,   /* same LAN: the link address is rewritten, the packet untouched */
    RELAY_NODE_HOPS, /* anywhere: the packet travels in UDP (docs/protocol/handoff.md) */
    RELAY_NODE_SELF, /* this machine */
};

struct relay_node {
    __u8 addr[16];   /* outer destination of the tunnel */
    __u8 source[16]; /* outer source */
    __u8 mac[6];     /* node's, or next hop's */
    __u8 own_mac[6];
    __u8 mode;
    __u8 pad[3];
    __u32 ifindex;
    __u32 mtu; /* largest IP packet towards it */
};

struct relay_flow_key {
    __u8 client[16], vip[16];
    __be16 client_port, vip_port;
    __u8 proto;
    __u8 pad[3];
};

struct relay_flow {
    __u32 node;
    __u32 packets; /* how much it is used: shown, not decided on */
    __u64 seen_ns;
};

struct relay_fragment_key {
    __u8 client[16], vip[16];
    __u32 id;
    __u8 proto;
    __u8 pad[3];
};

enum {
    RELAY_PORT = 6080, /* UDP, GUE */
    RELAY_NODES_MAX = 4096,
    RELAY_SERVICES_MAX = 4096,
    RELAY_VIPS_MAX = 16384,
    RELAY_FLOWS_MAX = 1 << 20,
    RELAY_FRAGMENTS_MAX = 4096,
};

#endif
