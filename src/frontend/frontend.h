/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front end: HTTP/1.1, TCP and FTP on the VIPs of this site, towards its servers.
 *
 *   client ──> thread (own epoll, own SO_REUSEPORT listeners) ──> server
 *                │  reads front_table (frontend/table.h) by RCU, the director through `choose`
 *                └─ own pools: buffers, pipes, connections to servers
 *
 * A thread does everything for its clients: nothing is handed over, no lock is taken, and in steady state no memory is
 * asked for. A request with a small answer costs four system calls (receive and send on both sides) and a share of one
 * epoll_wait; large bodies are spliced through a pipe and not copied.
 *
 * RCU: every thread is a registered urcu-qsbr reader, offline while it waits; `choose` may use rcu_dereference, and what
 * it reads is valid until it returns.
 *
 * Threads: all functions are for the control thread, which must itself be a registered reader or offline; what is said
 * of servers (frontend_server_*) may come from any thread that keeps the table's names alive.
 * Memory: options are copied; ctx is the caller's. Failure: a code, and one line in why; then nothing has changed.
 * Always: a published table is never half seen. A request ends with the table it began with. Requests in progress are
 * never cut by a publication, only by frontend_stop when its time is over.
 */
#ifndef PM_FRONTEND_FRONTEND_H
#define PM_FRONTEND_FRONTEND_H

#include "base/clock.h"
#include "frontend/table.h"

struct frontend;

/*
 * The n-th best site for this client (0 is the best), as an index into service->sites; -1: no more. Not given: the
 * order of service->sites. Called by front-end threads; must not block.
 */
typedef int frontend_choose_fn(void *ctx, const struct front_service *service, const struct addr *client, unsigned n);

/* Zero means the default in parentheses. */
struct frontend_options {
    unsigned threads;       /* (cores this process may use) */
    bool pin;               /* each thread to its core */
    unsigned max_clients;   /* connections of clients at once, all threads together (100000); at most as there are descriptors for */
    unsigned backlog;       /* (4096) */
    bool freebind;          /* VIPs this host does not have yet */
    uint32_t splice_min;    /* bytes known to come from which on bodies are spliced (16384) */
    const struct clock *clock; /* (clock_system) */
    frontend_choose_fn *choose;
    void *ctx;
};

int frontend_new(const struct frontend_options *o, struct frontend **out, struct buf *why) PM_MUST_CHECK;
/*
 * Serves these services from now on. Opens listeners that are new, before anything changes; those no longer wanted are
 * served empty and closed. Reaps tables nobody uses any more.
 */
int frontend_publish(struct frontend *f, const struct front_service *services, uint32_t count,
                     struct buf *why) PM_MUST_CHECK;
/* Opens the listeners of a first frontend_publish early, as long as one may; publishing then finds them. */
int frontend_listen(struct frontend *f, const struct endpoint *at, uint32_t count, struct buf *why) PM_MUST_CHECK;
/* Takes an open listening socket over for the endpoint (a previous process's, systemd's). */
int frontend_adopt(struct frontend *f, const struct endpoint *at, int fd) PM_MUST_CHECK;
/* Calls each(ctx, endpoint, fd) for every listening socket. */
void frontend_sockets(const struct frontend *f, void (*each)(void *ctx, const struct endpoint *at, int fd), void *ctx);
/* Begins to stop: no new connections (what waits in the backlog is accepted), keep-alive ends with the next response. */
void frontend_quiesce(struct frontend *f);
/* Connections of clients that are still open. */
unsigned frontend_clients(const struct frontend *f);
/* Quiesces, waits up to linger_ms for clients to be done, then cuts, and frees. */
void frontend_stop(struct frontend *f, uint32_t linger_ms);
/* Frees tables that are no longer used; call now and then (frontend_publish does, too). Returns how many remain. */
unsigned frontend_reap(struct frontend *f);

/* ---- what is noted of answers ---- */

/* An answer to a GET or HEAD of a service with front_service.known. */
struct front_note {
    uint64_t scope;  /* front_service.scope */
    uint64_t bytes;  /* of its body, where the head says so */
    const char *path; /* plain (http/path.h), len bytes */
    size_t len;
    uint32_t slot;   /* of the server */
    uint16_t status;
    bool again;      /* another server is asked, and has a note of its own */
};
typedef void front_note_fn(void *ctx, const struct front_note *n);
/*
 * Calls fn with at most so many notes that threads have taken, oldest first of each; returns how many. A thread keeps a
 * thousand and counts what it drops. For the control thread, now and then; the text is valid during the call.
 */
size_t frontend_notes(struct frontend *f, front_note_fn *fn, void *ctx, size_t most);

/* ---- what is known of servers ---- */

/* PM_ENOTFOUND. A server that comes up starts slowly if its service says so. */
int frontend_server_health(struct frontend *f, const char *service, const char *server, enum front_health h) PM_MUST_CHECK;
/* Draining: no new clients; those that stick to it and what is open stay. */
int frontend_server_drain(struct frontend *f, const char *service, const char *server, bool on) PM_MUST_CHECK;
/* Reported load, 1 = full; negative = not reported. For FRONT_LEAST_LOADED. */
int frontend_server_load(struct frontend *f, const char *service, const char *server, double load) PM_MUST_CHECK;

struct frontend_server_view {
    const char *service, *server; /* the present table's; valid until the next publication */
    struct endpoint at;
    bool up, draining;
    unsigned active, idle; /* connections in use, and kept */
    double response_ms, session_ms;
    double empty_in_ms; /* draining: when its last session may be expected to end; 0 = it is empty */
    uint64_t n[FRONT_SERVER_COUNTER_COUNT];
};
/* Server number i of the present table in the order of publication; false: there are no more. */
bool frontend_server_view(const struct frontend *f, unsigned i, struct frontend_server_view *out);
struct frontend_service_view {
    const char *service;
    unsigned active, waiting;
};
bool frontend_service_view(const struct frontend *f, unsigned i, struct frontend_service_view *out);
void frontend_stats(const struct frontend *f, uint64_t sum[FRONT_COUNTER_COUNT]);
/* Expected time until n sessions of this mean length have ended, if their ends are independent: mean x (1 + 1/2 .. 1/n). */
double frontend_empty_in(unsigned n, double mean_ms);

#endif
