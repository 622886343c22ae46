/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the packet programs and the daemon both see: keys and values of the maps, and the counters. Addresses are 16
 * bytes, IPv4 as ::ffff:a.b.c.d; ports and what comes from packets is in network order.
 */
#ifndef PM_RELAY_BPF_SHARED_H
#define PM_RELAY_BPF_SHARED_H

#include <linux/types.h>
#include "relay/bpf/handoff.h"

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
    X(FRAGMENT_MISS, "fragment_miss", "Fragments whose flow or first fragment is not known")           \
    X(NO_NODE, "passed_no_node", "Packets of a service without a usable node, left to the kernel")           \
    X(SELF, "passed_self", "Packets for this machine as a node")                                             \
    X(SENT_L2, "sent_l2", "Packets sent on by link address")                                                 \
    X(SENT_HOPS, "sent_hops", "Packets sent on in a tunnel")                                                 \
    X(TOO_BIG_V4, "too_big_v4", "Fragmentation needed told to the client")                                   \
    X(TOO_BIG_V6, "too_big_v6", "Packet too big told to the client")                                         \
    X(DROPPED_SPACE, "dropped_space", "Packets dropped because the driver gave no room for a header")        \
    X(SYN_COOKIE, "syn_cookie", "SYNs answered with a cookie, nothing remembered")                           \
    X(HANDSHAKE, "handshake", "Handshakes completed, awaiting a request")                                    \
    X(HANDSHAKE_CLOSED, "handshake_closed", "Connections closed by the client before any request")           \
    X(SYN_OPTIONS, "dropped_syn", "SYNs with options of IP or extension headers, dropped")                   \
    X(REQUEST_OPEN, "request_open", "First requests decided in the kernel: connection handed to a node")     \
    X(REQUEST_STAY, "request_stay", "Later requests that the same node has")                                 \
    X(REQUEST_MOVE, "request_move", "Later requests for another node: the old one is asked to let go")       \
    X(PIPELINED, "pipelined", "Connections whose client does not wait for answers: to the front end")        \
    X(REQUEST_FRONT, "request_front", "Requests left to the front end: unusual or too long")                 \
    X(REQUEST_NO_NODE, "request_no_node", "Requests that no usable node has, left to the front end")         \
    X(REQUEST_ASSIST, "request_assist", "Segments given to the daemon, which sees more than one at a time")  \
    X(ASSIST_FULL, "assist_full", "Segments dropped because the daemon is behind")                           \
    X(AHEAD, "dropped_ahead", "Segments that came before what they follow, to be sent again by the client")  \
    X(MOVED, "moved", "Connections a node has let go, handed to the next")                                   \
    X(REFUSED, "refused", "Connections that a node did not take for want of a server, handed to another")   \
    X(FIND_ASKED, "find_asked", "Packets of unknown connections offered to a node")                          \
    X(FIND_LIMIT, "find_limit", "Packets of unknown connections dropped: too many at once")                  \
    X(FIND_FOUND, "find_found", "Connections a node has said are its own")                                   \
    X(FIND_NOBODY, "find_nobody", "Packets of connections that no node knows")                               \
    X(RESET_SENT, "reset_sent", "Resets sent to clients whose connection is gone")                           \
    X(NODE_GONE, "node_gone", "Packets for a node that is down")                                             \
    X(NODE_HEARD, "node_heard", "Answers of nodes to the question whether their program lives")             \
    X(TAG_WRONG, "dropped_tag", "Hand-off packets without a valid tag")                                      \
    X(HANDOFF_BAD, "dropped_handoff", "Hand-off packets that are malformed or not for a balancer")          \
    X(SECOND_CHANCE, "second_chance", "SYNs sent again, given to another node because nobody had answered") \
    X(FLOW_ANEW, "flow_anew", "Flows that got a node anew: long quiet, or their node is down")               \
    X(QUIC_ID, "quic_id", "QUIC packets from a new address, whose connection id names their server")                             \
    X(QUIC_KEPT, "quic_kept", "QUIC packets from a new address, known by a connection id seen before")      \
    X(QUIC_UNKNOWN, "quic_unknown", "QUIC packets from a new address whose connection id says nothing")     \
    X(ICMP_LIMIT, "dropped_icmp_limit", "Packets too big about which clients were told often enough")        \
    X(SILENT, "dropped_silent", "New connections not answered: the daemon is silent, another balancer is to")  \
    X(SHARED_ASKED, "shared_asked", "Packets of connections heard of from a peer: their node is asked first")  \
    X(SHARED_KEPT, "shared_kept", "Connections heard of from a peer that are where it said")                   \
    X(SHARED_WRONG, "shared_wrong", "Connections heard of from a peer that are not where it said")

enum relay_counter {
#define X(sym, name, text) RELAY_##sym,
    RELAY_COUNTERS(X)
#undef X
    RELAY_COUNTER_COUNT
};

struct relay_count {
    __u64 packets, bytes;
};

/*
 * Nodes that may be chosen for something, as the director says: a ring of places by weight, and who is in it. A service
 * has one for all it has, resources have theirs. Members beyond the limit get connections, but those do not stay when the
 * next request comes.
 */
enum { RELAY_MEMBERS_MAX = 32 };
struct relay_set {
    __u32 ring_size; /* 0: nobody */
    __u32 count;
    __u32 member[RELAY_MEMBERS_MAX];
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
    RELAY_VIP_DELAYED = 2,   /* TCP: we do the handshake and hand the connection over with its first request */
    RELAY_VIP_AGENTS = 4,    /* nodes run our program: connections not known here are looked for */
    RELAY_VIP_QUIC = 8,      /* UDP: flows are QUIC connections, told apart by their ids */
    RELAY_VIP_QUIC_IDS = 16, /* ... and servers put their own id into them: quic_length says where */
    RELAY_VIP_PINNED = 32,   /* delayed: the first bytes decide for the whole connection, as for TLS */
};

struct relay_vip {
    __u32 set;   /* for what no resource says otherwise; by which plain services are spread */
    __u32 all;   /* every node of the service: who is asked for unknown connections */
    __u32 flags;
    __u32 farm;  /* whose hosts and resources; 0: none */
    /* Where a QUIC connection id has the server's: by its first three bits (configuration rotation); length 0: nowhere. */
    __u8 quic_at[8], quic_length[8];
};

/* A server by what it puts into the connection ids it makes (draft-ietf-quic-load-balancers, in clear). */
enum { RELAY_QUIC_ID_MAX = 15, RELAY_QUIC_CID_MAX = 20, RELAY_QUIC_KNOWN = 8 };
struct relay_quic_key {
    __u32 set; /* relay_vip.set */
    __u8 length;
    __u8 id[RELAY_QUIC_ID_MAX];
};

/* A connection id that a client has used: its first bytes; shorter ones are not kept. */
struct relay_cid_key {
    __u8 vip[16];
    __be16 port;
    __u8 pad[6];
    __u8 cid[RELAY_QUIC_KNOWN];
};

/* FNV-1a, 64 bits, started here; of what a client can choose, so nothing but a node depends on it. */
#define RELAY_HASH_START 0xcbf29ce484222325ull
#define RELAY_HASH_PRIME 0x100000001b3ull

/*
 * A virtual host of a farm: name hashed in lower case, without port; 0: any other. All names below one: what is behind the
 * star, with its dot, hashed from its end. Who asks for HTTP/2 in clear text has entries of his own, for not every server
 * speaks it.
 */
enum relay_host_kind { RELAY_HOST_BELOW = 1, RELAY_HOST_H2C = 2 };
struct relay_host_key {
    __u64 name;
    __u32 farm;
    __u32 kind;
};

struct relay_host {
    __u32 id;  /* what its resources are filed under */
    __u32 set; /* for what no resource says otherwise */
};

enum relay_resource_kind {
    RELAY_RESOURCE_PATH,
    RELAY_RESOURCE_PREFIX, /* up to and with a slash */
    RELAY_RESOURCE_SUFFIX, /* from the last dot of the last segment */
    RELAY_RESOURCE_ALPN,   /* of a TLS connection: a protocol its client offers (RFC 7301) */
};

struct relay_resource_key {
    __u64 text;
    __u32 host; /* relay_host.id */
    __u32 kind;
};

enum { RELAY_RESOURCE_FRONT = 1 /* redirected, rewritten: the front end answers */ };

struct relay_resource {
    __u32 set;
    __u32 flags;
    __u64 hits;
};

enum relay_node_mode {
    RELAY_NODE_NONE, /* unused */
    RELAY_NODE_L2,   /* same LAN: the link address is rewritten, the packet untouched */
    RELAY_NODE_HOPS, /* anywhere: the packet travels in UDP (docs/protocol/handoff.md) */
    RELAY_NODE_SELF, /* this machine */
    RELAY_NODE_DOWN, /* its connections are reset */
};

struct relay_node {
    __u8 addr[16];   /* outer destination of the tunnel */
    __u8 source[16]; /* outer source: ours towards it */
    __u8 mac[6];     /* node's, or next hop's */
    __u8 own_mac[6];
    __u8 mode;
    __u8 silent; /* its program does not answer: plain packets may get through, nothing can be handed over */
    __u8 pad[2];
    __u32 ifindex;
    __u32 mtu; /* largest IP packet towards it */
};

/*
 * Whether a node's program lives: the daemon asks for a connection that nobody has (HANDOFF_FIND), target being this and the
 * node's number, the sequence number a number of the daemon's. The packet program keeps the last answer of each node.
 */
#define RELAY_PROBE 0x8000u
struct relay_heard {
    __u32 number;
    __u32 answers; /* 0: none ever */
};

struct relay_flow_key {
    __u8 client[16], vip[16];
    __be16 client_port, vip_port;
    __u8 proto;
    __u8 pad[3];
} __attribute__((aligned(8)));

enum relay_flow_state {
    RELAY_FLOW_PLAIN,   /* the kernels did the handshake */
    RELAY_FLOW_ASSIST,  /* its request has begun; the daemon gathers it */
    RELAY_FLOW_OPENING, /* handed over; the node has not been heard yet */
    RELAY_FLOW_BOUND,
    RELAY_FLOW_ENDED, /* reset by the client; remembered so that a late copy of its request opens nothing */
    RELAY_FLOW_SYN, /* the kernels' handshake, and nothing but SYNs was seen of it: start is their number */
};
enum relay_flow_flags {
    RELAY_FLOW_REPLACEABLE = 1, /* FIN or a new SYN was seen: a valid cookie begins it anew */
    RELAY_FLOW_PINNED = 2,      /* no requests are read any more */
    RELAY_FLOW_PIPELINES = 8, /* its client has sent a request before it had anything of the last one's answer */
    RELAY_FLOW_GUESS = 4,       /* found at a node: where its requests begin is not known, only what looks like one */
    RELAY_FLOW_LET_GO = 64, /* with SHARED: a node has given it up for the request at `next`, and maybe no other has it */
    RELAY_FLOW_SHARED = 32, /* as a peer said: its node has not said so yet, and may have had more since */
    RELAY_FLOW_CIDS = 16, /* the server's connection ids are long enough to be known again */
};

/* Sequence numbers in machine order. */
struct relay_flow {
    __u64 seen_ns; /* by the coarse clock: up to a tick late, and a tenth of the precise one to read */
    __u32 packets; /* how much it is used: shown, not decided on */
    __u32 node;
    __u32 set;     /* what the last request needs */
    __u32 first;   /* first byte of the first request: what begins so is not a new connection */
    __u32 start;   /* first byte of the last request */
    __u32 ack;     /* what the client had of us when its last request began; more tells that the node answers */
    __u32 next;    /* where the next request begins */
    struct handoff_tcp tcp;
    __u8 state, flags;
    __u16 moves;
    __u32 again; /* first sequence number of the last SYN on these addresses and ports since; 0: there was none */
    __u32 doubt; /* since when all this may be old news, by doubt_now(); its node is asked about that in a second; 0: it is not */
};

/* Everything the programs need to know of this machine; one entry. */
struct relay_settings {
    struct siphash_key cookie;
    struct siphash_key tag[HANDOFF_KEYS];
    __u32 tag_key; /* the one to send with */
    __u32 epoch;   /* wall-clock / 64 s: the same on every balancer */
    __u32 self;    /* index of this machine as a node: its front end */
    __u32 mss_v4, mss_v6; /* told to clients: room for the tunnel's headers */
    __u32 find_rate;      /* packets of unknown connections per second and CPU */
    __u32 icmp_rate;      /* "too big" per second and CPU */
    __u32 has_peers;      /* there is somebody to be told of flows */
    __u64 until_ns; /* of the monotonic clock: new connections are not answered after it; 0: for ever */
};

/* A request's place in a ring, by where it begins: the packet program and the daemon must agree. */
static inline __attribute__((always_inline)) __u32 relay_request_hash(__u32 seq, __u32 ack)
{
    __u32 h = (seq ^ ack) * 0x9e3779b1u;
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    return h ^ h >> 13;
}

/*
 * OPEN's `start`, and its options: with the packet that the last request begins in goes where that ends. So the node knows,
 * should we forget the connection or another balancer take it over. Of a pinned one nobody needs to.
 */
static inline __attribute__((always_inline)) __u32 relay_opening(const struct relay_flow *f, __u32 seq, __u8 *options)
{
    int ends = seq == f->start && !(f->flags & RELAY_FLOW_PINNED);
    *options = f->tcp.options | (ends ? HANDOFF_ENDS : 0);
    return ends ? f->next : f->start;
}

/* What the daemon hears of packets. */
enum relay_event_kind {
    RELAY_EVENT_SEGMENT, /* a segment it has to decide about; data follows */
    RELAY_EVENT_RTT,
    RELAY_EVENT_FLOW, /* a connection was handed over, moved or found: for the other balancers */
};
struct relay_event {
    __u32 kind;
    __u32 length;   /* of the data, from the IP header on */
    __u32 rtt_us;
    __u32 pad;
    struct relay_flow_key flow;
    struct relay_flow value;
    __u8 data[];
};
enum { RELAY_SEGMENT_MAX = 2048 };

struct relay_fragment_key {
    __u8 client[16], vip[16];
    __u32 id;
    __u8 proto;
    __u8 pad[3];
};

/* Of the tables that outlast the process; one more when what is in them changes its meaning. */
enum { RELAY_STATE_VERSION = 1 };

enum {
    RELAY_PORT = 6080, /* UDP, GUE */
    RELAY_LASTING = 8, /* packets; of shorter flows that are no connections other balancers need not know */
    RELAY_NODES_MAX = 4096,
    RELAY_SETS_MAX = 16384,
    RELAY_HOSTS_MAX = 65536,
    RELAY_RESOURCES_MAX = 1 << 20,
    RELAY_PREFIXES_MAX = 12,
    RELAY_LABELS_MAX = 8, /* of a name, from its end: where a star may stand before */
    RELAY_ALPN_MAX = 4,   /* protocols looked at of those a client offers */
    RELAY_UNKNOWNS_MAX = 16384,
    RELAY_EVENT_BYTES = 1 << 22,
    RELAY_VIPS_MAX = 16384,
    RELAY_FLOWS_MAX = 1 << 20,
    RELAY_FRAGMENTS_MAX = 4096,
    RELAY_QUIC_IDS_MAX = 16384,
    RELAY_CIDS_MAX = RELAY_FLOWS_MAX / 4,
};

#endif
