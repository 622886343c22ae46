/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The header between balancer and node (docs/protocol/handoff.md): a client's packet travels unchanged in UDP, behind a
 * GUE header (draft-ietf-intarea-gue, variant 0) whose private data is struct handoff. Kernel programs and daemon read and
 * write it with the same code.
 *
 *   outer IP | UDP to RELAY_PORT | GUE 4 bytes | struct handoff 24 bytes | the client's IP packet
 *
 * Nothing is believed before its tag: SipHash of whom the packet is for, of the header and of the first bytes of the inner
 * packet (addresses, ports, sequence numbers, flags) under a key that only balancers and nodes of the farm have.
 */
#ifndef PM_RELAY_BPF_HANDOFF_H
#define PM_RELAY_BPF_HANDOFF_H

#include <linux/types.h>
#include "relay/bpf/siphash.h"

enum { HANDOFF_VERSION = 1, HANDOFF_KEYS = 4, HANDOFF_TRIES_MAX = 8 };

enum handoff_kind {
    /* balancer to node */
    HANDOFF_PACKET = 1, /* a packet of a connection the node has */
    HANDOFF_OPEN,       /* the node takes the connection over at this packet, if its sequence number is `start` */
    HANDOFF_MOVE,       /* give the connection up, if nothing is under way, and send the packet back */
    HANDOFF_FIND,       /* is the connection yours? */
    HANDOFF_NEXT,       /* a later request of a connection the node has: on, if the last one was answered */
    /* node to balancer, the packet with it */
    HANDOFF_MOVED = 16,  /* given up */
    HANDOFF_MINE,   /* it is, and what its socket knows is in the header */
    HANDOFF_UNKNOWN, /* it is not */
    HANDOFF_GONE,    /* asked to give up what it does not have */
    HANDOFF_REFUSED, /* it takes nothing over: no server listens there */
};

enum handoff_options {
    HANDOFF_SACK = 1,
    HANDOFF_TIMESTAMPS = 2,
    HANDOFF_WSCALE = 4,
    HANDOFF_AGREED = 7, /* these three are of the handshake, the others of this packet */
    HANDOFF_PIPELINES = 8, /* MOVE: the client does not wait for answers before it asks */
    HANDOFF_CLOSING = 16,  /* MINE: one side has closed the connection */
    HANDOFF_GUESS = 32, /* MOVE: it may be a request's beginning or part of a body: if the server waits for more it is that */
    HANDOFF_LET_GO = 64, /* UNKNOWN: it was here, and was given up for the request that is in this very packet */
    HANDOFF_ENDS = 128, /* OPEN, NEXT, MINE: `start` is where the request ends, and so where the next one begins */
};

/* What both ends of the connection agreed on in the handshake, which the node was not part of. */
struct handoff_tcp {
    __u16 mss;         /* what the client takes; machine order in maps, network order in packets */
    __u8 options;      /* enum handoff_options */
    __u8 wscale;       /* client's in the upper four bits, ours in the lower */
};

struct handoff {
    __u8 version;
    __u8 kind;
    __u8 key;   /* lower two bits: which of the keys made the tag; upper six: handoff_window() */
    __u8 tries; /* the only byte the tag does not cover: how often a node has put the packet off */
    __u16 target;   /* balancer's note to itself, comes back unchanged: node a packet was for, or the next to ask */
    /* MOVED and OPEN: how far the server's timestamps (RFC 7323) are beyond what the client's packet echoes of them. The next
     * server's begin there: an older one that the client has from the node before would make it drop all that comes. */
    __be16 clock;
    /* Sequence number. OPEN: of the first byte the node is to have; with HANDOFF_ENDS that is this packet's. MOVE: what the
     * client had received, as it acknowledged, when its last request began. MINE: of the next byte the socket expects. */
    __be32 start;
    struct handoff_tcp tcp;
    __u64 tag;
} __attribute__((packed));

struct gue {
    __u8 head;  /* version 0, no control message, private words */
    __u8 proto; /* IPPROTO_IPIP or IPPROTO_IPV6 */
    __be16 flags;
};
enum { GUE_WORDS = sizeof(struct handoff) / 4 };

/* The inner bytes under the tag: the headers of IPv4 + TCP, of IPv6 + TCP; rounded down to words. */
enum { HANDOFF_INNER_V4 = 40, HANDOFF_INNER_V6 = 56 };
/* Shorter packets, which are not TCP: address header and the first bytes behind it. */
enum { HANDOFF_SHORT_V4 = 24, HANDOFF_SHORT_V6 = 48 };
/* outer IP + UDP + GUE + handoff */
enum {
    HANDOFF_HEADS = 8 + sizeof(struct gue) + sizeof(struct handoff),
    HANDOFF_OVER_V4 = 20 + HANDOFF_HEADS,
    HANDOFF_OVER_V6 = 40 + HANDOFF_HEADS,
};

/* How many bytes of an IP packet of that length. */
static inline __attribute__((always_inline)) __u32 handoff_covered(int v4, __u32 length)
{
    if (v4)
        return length < HANDOFF_INNER_V4 ? HANDOFF_SHORT_V4 : HANDOFF_INNER_V4;
    return length < HANDOFF_INNER_V6 ? HANDOFF_SHORT_V6 : HANDOFF_INNER_V6;
}

/*
 * What MOVED and OPEN tell of the old node's congestion window, in segments, so that the new one need not find it out again:
 * its root, rounded down. 0: not known.
 */
enum { HANDOFF_WINDOW_BITS = 6 };

static inline __attribute__((always_inline)) __u8 handoff_window(__u32 segments)
{
    __u32 root = 0;
    for (__u32 bit = 1u << (HANDOFF_WINDOW_BITS - 1); bit; bit >>= 1)
        root += (root + bit) * (root + bit) <= segments ? bit : 0;
    return (__u8)(root * HANDOFF_KEYS);
}

static inline __attribute__((always_inline)) __u32 handoff_segments(__u8 key)
{
    return (__u32)(key / HANDOFF_KEYS) * (key / HANDOFF_KEYS);
}

/*
 * to: outer destination address, an IPv4 one mapped: a packet that was heard is of no use elsewhere.
 * inner: HANDOFF_INNER_V6 bytes in words, zero behind what handoff_covered says.
 */
static inline __attribute__((always_inline)) __u64 handoff_tag(const struct siphash_key *key, const struct handoff *h,
                                                               const __u8 to[16], const __u64 *inner)
{
    struct siphash s;
    union {
        struct {
            __u8 version, kind, key, tries;
            __u16 target;
            __be16 clock;
            __be32 start;
            struct handoff_tcp tcp;
        } part;
        __u64 word[2];
    } head = {.part = {h->version, h->kind, h->key, 0, h->target, h->clock, h->start, h->tcp}};
    siphash_begin(&s, key);
    siphash_word(&s, head.word[0]);
    siphash_word(&s, head.word[1]);
    __builtin_memcpy(head.word, to, sizeof head.word);
    siphash_word(&s, head.word[0]);
    siphash_word(&s, head.word[1]);
    for (int i = 0; i < HANDOFF_INNER_V6 / 8; i++)
        siphash_word(&s, inner[i]);
    return siphash_end(&s);
}

#endif
