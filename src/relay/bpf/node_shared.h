/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the node's packet program and the process that loads it both see. */
#ifndef PM_RELAY_BPF_NODE_SHARED_H
#define PM_RELAY_BPF_NODE_SHARED_H

#include <linux/types.h>
#include "relay/bpf/shared.h"

/* One line per end a hand-off packet can have at a node. Agents report them in this order: what is new goes to the end. */
#define NODE_COUNTERS(X)                                                                                               \
    X(RECEIVED, "received", "Hand-off packets with a valid tag")                                                       \
    X(UNTRUSTED, "dropped_untrusted", "Hand-off packets from an address that is no balancer of ours")                  \
    X(TAG_WRONG, "dropped_tag", "Hand-off packets whose tag does not fit: forged, or under an old key")                \
    X(MALFORMED, "dropped_malformed", "Hand-off packets that are cut short or of another version")                     \
    X(DELIVERED, "delivered", "Packets given to the kernel as they came from the client")                              \
    X(ADOPTED, "adopted", "Connections taken over")                                                                    \
    X(NO_LISTENER, "no_listener", "Connections not taken over: nothing listens there; the balancer takes another node")                                 \
    X(REFUSED, "adopt_refused", "Connections the kernel did not take over")                                            \
    X(PUT_OFF, "put_off", "Packets before their connection, put off for a moment")                                     \
    X(TOO_EARLY, "dropped_early", "Packets whose connection did not come, dropped")                                    \
    X(CLEARED, "cleared", "Old sockets removed that were in a new connection's place")                                 \
    X(LET_GO, "let_go", "Connections given up because the next request is for another node")                           \
    X(REPLAYED, "replayed", "Hand-offs refused: their connection was taken over before, and has ended")                \
    X(LATE, "late", "Packets not passed on, because their connection had been given up here: late ones of the client, what the kernel says to them or a parked socket of itself")                      \
    X(BUSY, "busy", "Requests to give up a connection that were not followed: something was under way")                \
    X(GONE, "gone", "Requests to give up a connection that is not here")                                               \
    X(MINE, "mine", "Unknown connections that turned out to be this node's")                                           \
    X(UNKNOWN, "unknown", "Unknown connections that are not this node's either")                                       \
    X(WINDOW, "window_kept", "Connections taken over with the congestion window they had at the node before")           \
    X(PARKED, "parked", "Of the connections given up, those whose socket was kept for a second, as they come and go")    \
    X(CAME_BACK, "came_back", "Connections that found their socket as they had left it")

enum node_counter {
#define X(sym, name, text) NODE_##sym,
    NODE_COUNTERS(X)
#undef X
    NODE_COUNTER_COUNT
};

/* By outer source address: who may hand connections over, and under which keys. */
struct node_trust {
    struct siphash_key key[HANDOFF_KEYS];
};

/*
 * A socket whose connection was elsewhere meanwhile has not had the bytes that went by. Its numbers less the client's: sequence
 * numbers of what the client sends and of what it gets, timestamps.
 */
struct node_shift {
    __u32 in, out, clock;
};

/* Kept with a socket whose connection had been here before: such a one may come again. */
struct node_stay {
    struct node_shift shift;
    __u32 leaves_here; /* packets of this socket have passed our program on their way out */
    __u64 parked_ns;   /* since when the connection is elsewhere; 0: it is here */
};

/* Of connections that were taken over or asked to move: since when, at which bytes, and whether they are gone. */
struct node_asked {
    __u64 since_ns;
    __u32 seq, write_seq;
    /* The last request: where it ends, 0: not known; and what the client had acknowledged when it began. */
    __u32 next, ack;
    __u16 gone;
    __u16 segments; /* congestion window to begin with; 0: the kernel's own */
    __u32 returns;  /* it had been here a moment before */
    struct node_shift shift; /* for what is left of the socket when it has closed */
    struct handoff_tcp tcp; /* of one that was given up: for whoever has to find it a new node */
};

enum { NODE_BALANCERS_MAX = 64, NODE_ASKED_MAX = 65536, NODE_ANSWERED_NS = 150000000 /* below TCP's shortest timer */ };
#define NODE_AGAIN_NS 3000000000ull /* until then the server may take what it had no room for at first */
#define NODE_PARKED_NS 1000000000ull /* as long may a connection come back to its socket */
#define NODE_OVER_NS (NODE_PARKED_NS + 250000000) /* and not until it may be taken away: a request is not given to one that goes */
#define NODE_LATE_NS 10000000000ull /* no packet is longer under way */

#endif
