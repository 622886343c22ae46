/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DNS serving threads: they move packets and know nothing of what is in them.
 *
 *   UDP socket --recvmmsg--> answer() --sendmmsg-->     udp.c: per core and lane, own SO_REUSEPORT sockets
 *   TCP client --read------> answer() --write----->     tcp.c: per core, own listeners and clients
 *
 * A UDP thread with one socket waits in recvmmsg itself, which saves a system call per query at moderate load (see
 * udp.h). So each core has a lane (a thread) per listen endpoint, up to RESPOND_LANES; beyond that a lane serves
 * several endpoints and waits in epoll.
 *
 * RCU: every serving thread is a registered urcu-qsbr reader. answer() may use rcu_dereference; what it read is valid
 * until it returns. Threads are offline while they wait, so synchronize_rcu never waits for an idle one.
 *
 * Threads: all functions are for the control thread, except respond_stats, respond_counters (any) and what takes a
 * respond_thread (that thread). The threads are woken by SIGURG, which by default does nothing, so a stray one is
 * harmless; respond_start installs an empty handler for it, and the caller must leave SIGURG alone.
 * Memory: the service copies its options; ctx is the caller's and must outlive it. Serving threads allocate nothing,
 * except for TCP clients that send or read slowly, within tcp_memory.
 * Failure: a code and one line in `why`. A failed respond_reconfigure changes nothing.
 */
#ifndef PM_RESPOND_SERVICE_H
#define PM_RESPOND_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include "respond/listen.h"
#include "respond/stats.h"

enum { RESPOND_LANES = 4, RESPOND_THREADS_MAX = 256 };

struct respond_peer {
    struct endpoint client, local; /* local: the address asked, also on a wildcard socket */
    bool tcp;
};

struct respond_thread;
/* Writes the answer to out, at most cap bytes; returns its length, or 0 to stay silent. Must not block. */
typedef size_t respond_answer_fn(void *ctx, struct respond_thread *t, const uint8_t *pkt, size_t len,
                                 const struct respond_peer *peer, uint8_t *out, size_t cap);

/* Zero means the default in parentheses. */
struct respond_options {
    respond_answer_fn *answer;
    void *ctx;
    size_t scratch_size;      /* per thread, zeroed once */
    unsigned counters;        /* the caller's own, per thread */
    unsigned threads;         /* cores to serve UDP on (those this process may use) */
    unsigned tcp_threads;     /* (as threads) */
    bool pin;                 /* each thread to its core */
    unsigned udp_answer_max;  /* cap for answers over UDP (1232) */
    unsigned tcp_clients;     /* at once, all threads together (1024); the longest idle one makes room */
    uint32_t tcp_idle_ms;     /* a client without a query (10 s) */
    uint32_t tcp_query_ms;    /* from a query's first byte to its last (5 s) */
    uint32_t tcp_write_ms;    /* for a client to take its answers (5 s) */
    size_t tcp_memory;        /* bytes for half-sent queries and unread answers, all threads together (64 MiB) */
    struct listen_options listen; /* udp_threads and tcp_threads are filled in */
};

/* What a serving thread is. The first part is for answer(). */
struct respond_thread {
    void *scratch;
    uint64_t *counters; /* the caller's; add with respond_count_at */
    uint64_t random;    /* state of respond_random */
    unsigned index;     /* 0 .. threads - 1, unique in the service */
    bool tcp;

    /* The rest belongs to the service. */
    const struct respond_options *opts;
    struct respond_stats *stats;
    unsigned core;
    pthread_t id;
    struct listen_set have;              /* what it serves; borrowed descriptors */
    _Atomic(struct listen_set *) want;   /* from the control thread: serve this; NULL once it does */
    atomic_bool stop, stop_seen;
    uint64_t stop_linger_ms;
    int error; /* of taking `want` over */
};

/* Not for secrets: wyrand, seeded by the system. */
static inline uint64_t respond_random(struct respond_thread *t)
{
    t->random += 0xa0761d6478bd642fu;
    __uint128_t m = (__uint128_t)t->random * (t->random ^ 0xe7037ed1a0b428dbu);
    return (uint64_t)(m >> 64) ^ (uint64_t)m;
}

struct respond_service;

/* Fills in every default, and listen.udp_threads and listen.tcp_threads: call before respond_listen_open. */
void respond_options_complete(struct respond_options *o);
/* Serves sockets (a complete set made by respond_listen_open); on success the service owns them. */
int respond_start(const struct respond_options *o, struct listen_set *sockets, struct respond_service **out,
                  struct buf *why) PM_MUST_CHECK;
/* Serves these endpoints from now on: opens the added, drains and closes the removed, leaves the rest alone. */
int respond_reconfigure(struct respond_service *s, const struct endpoint *at, size_t n,
                        struct buf *why) PM_MUST_CHECK;
/*
 * Stops and frees. UDP stops at once, after what has already arrived is answered. TCP clients are served for
 * up to linger_ms more (0 = what has already arrived), without new ones; the call takes that long at most.
 */
void respond_stop(struct respond_service *s, uint32_t linger_ms);

/* The sockets served; valid until the next respond_reconfigure. To hand them over: copy, export, start the other, stop. */
const struct listen_set *respond_sockets(const struct respond_service *s);
unsigned respond_thread_count(const struct respond_service *s);
void respond_stats(const struct respond_service *s, uint64_t sum[RESPOND_COUNTER_COUNT]);
/* Sums of the caller's counters: as many as options.counters. */
void respond_counters(const struct respond_service *s, uint64_t *sum);

#endif
