/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the serving threads count. One line in RESPOND_COUNTERS adds a counter; its name, unit and help go to the
 * metrics page and the manual. Every thread has its own block on its own cache lines; nothing is shared until
 * somebody reads, who then sums.
 *
 * Thread: respond_count by the owner of the block only; reading from any. Memory: blocks belong to their thread.
 * Always: counters only grow, also over a reconfiguration.
 */
#ifndef PM_RESPOND_STATS_H
#define PM_RESPOND_STATS_H

#include <stdint.h>

/* symbol, name for programs, unit, help */
#define RESPOND_COUNTERS(X)                                                                        \
    X(UDP4_QUERIES, "udp4_queries", "queries", "Datagrams received over UDP/IPv4")                 \
    X(UDP6_QUERIES, "udp6_queries", "queries", "Datagrams received over UDP/IPv6")                 \
    X(TCP4_QUERIES, "tcp4_queries", "queries", "Messages received over TCP/IPv4")                  \
    X(TCP6_QUERIES, "tcp6_queries", "queries", "Messages received over TCP/IPv6")                  \
    X(DROPPED, "dropped", "queries", "Queries left without an answer on purpose")                  \
    X(MALFORMED, "malformed", "queries", "Messages too short for a DNS header")                    \
    X(UDP_EMPTY, "udp_empty", "packets", "Datagrams of no length, dropped")                        \
    X(UDP_TRUNCATED, "udp_truncated", "packets", "Datagrams longer than the receive buffer, dropped")                \
    X(UDP_PORT_ZERO, "udp_port_zero", "packets", "Datagrams from source port 0, dropped")          \
    X(UDP_MULTICAST, "udp_multicast", "packets", "Datagrams to a multicast address, dropped")      \
    X(UDP_BATCHES, "udp_batches", "batches", "Receive calls that brought at least one datagram")   \
    X(UDP_SEND_FULL, "udp_send_full", "packets", "Answers dropped because the socket's send buffer was full")        \
    X(UDP_SEND_ERRORS, "udp_send_errors", "packets", "Answers the system refused to send")         \
    X(UDP_RECEIVE_ERRORS, "udp_receive_errors", "errors", "Receive calls that failed")             \
    X(TCP_ACCEPTED, "tcp_accepted", "connections", "Connections accepted")                         \
    X(TCP_ACCEPT_ERRORS, "tcp_accept_errors", "errors", "Accept calls that failed")                \
    X(TCP_CLOSED_CLIENT, "tcp_closed_client", "connections", "Closed: the client was done")        \
    X(TCP_CLOSED_RESET, "tcp_closed_reset", "connections", "Closed: reset, or another error of the connection")      \
    X(TCP_CLOSED_IDLE, "tcp_closed_idle", "connections", "Closed: no query for the idle time")     \
    X(TCP_CLOSED_SLOW_QUERY, "tcp_closed_slow_query", "connections", "Closed: a query took too long to arrive")      \
    X(TCP_CLOSED_SLOW_READER, "tcp_closed_slow_reader", "connections", "Closed: answers were not taken in time")     \
    X(TCP_CLOSED_FULL, "tcp_closed_full", "connections", "Closed: made room for a newer client")   \
    X(TCP_CLOSED_MEMORY, "tcp_closed_memory", "connections", "Closed: the memory for connections was used up")       \
    X(TCP_CLOSED_MALFORMED, "tcp_closed_malformed", "connections", "Closed: not DNS")              \
    X(TCP_CLOSED_STOP, "tcp_closed_stop", "connections", "Closed: the service stopped")

enum respond_counter {
#define X(sym, name, unit, help) RESPOND_##sym,
    RESPOND_COUNTERS(X)
#undef X
        RESPOND_COUNTER_COUNT
};

struct respond_counter_info {
    const char *name, *unit, *help;
};
extern const struct respond_counter_info respond_counter_info[RESPOND_COUNTER_COUNT];

struct respond_stats {
    uint64_t n[RESPOND_COUNTER_COUNT];
} __attribute__((aligned(64)));

/* One writer, so no locked instruction; relaxed, so a reader never sees half a number. */
static inline void respond_count_at(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}
static inline void respond_count(struct respond_stats *s, enum respond_counter c)
{
    respond_count_at(&s->n[c], 1);
}
/* Adds a block's counters to sum. */
void respond_stats_add(const struct respond_stats *s, uint64_t sum[RESPOND_COUNTER_COUNT]);

#endif
