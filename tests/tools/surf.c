/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A web client that checks every byte, for testing a balancer that moves TCP connections between servers.
 *
 *     surf [OPTION...] ADDRESS:PORT [PATH...]         "surf" alone lists the options
 *
 * It asks for files made by `content` (tests/tools/content_main.c), whose bytes follow from their names, and compares
 * them while they arrive. It can be an unusual client: slow, in two segments, pipelined, half-closed, from the same
 * port again and again, gone with a RST in the middle. It prints one JSON object; the status is 0 only if all was
 * right, 1 if not, 2 if it could not begin. SIGINT or SIGTERM (or -t) stop new requests; those on the way are awaited
 * for as long as --timeout, then they are "unfinished".
 *
 * Output. Each request is counted in "requests" and under exactly one of: ok, wrong_status, wrong_bytes, bad_reply (not
 * HTTP), hung, closed_early, reset, connect_failed, unfinished, and two that are no fault: aborted (by --rst) and
 * resent (pipelined behind a response that said close; asked for again). Of connections: connections (made), rst_by_us,
 * closed_idle (by FIN between requests, allowed), and faults: reset_idle (a reset while nothing was asked), unclosed
 * (Connection: close, or half-closed, but left open), surplus (bytes that nobody asked for). port_waits: a source port
 * was not free yet, tried again. Latencies are in microseconds: connect_us, and request_us from a request's first byte
 * to the response's last, of those that are ok. "examples" describes the first faults, "wrong_bytes" the first wrong
 * byte.
 *
 * This file: the loop, what is drawn, the rate, times. One epoll, level-triggered; 10,000 connections are 20 MB.
 */
#include "surf.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 512 };

struct options opt;
struct run run;

static volatile sig_atomic_t signals;
static uint64_t random_state, next_target, next_slot, slot_ns;
static struct conn *rate_head, *rate_tail;
static struct conn **heap;
static size_t heap_len;
static struct {
    uint32_t target;
    bool post;
} * returned;
static size_t returned_count, returned_room;

uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void clock_read(void)
{
    run.now = now_ns();
}

/* --- what is asked for --- */

uint64_t random_below(uint64_t n)
{
    return content_random(&random_state) % n; /* n is far from 2^64: no bias that a test would see */
}

double random_unit(void)
{
    return (double)(content_random(&random_state) >> 11) * 0x1p-53;
}

void return_target(const struct request *q)
{
    if (run.stopping)
        return;
    if (returned_count == returned_room) {
        returned_room = returned_room ? returned_room * 2 : 64;
        returned = reallocarray(returned, returned_room, sizeof(*returned));
        if (!returned)
            abort();
    }
    returned[returned_count].target = q->target;
    returned[returned_count++].post = q->post;
    run.left++;
}

void draw_target(struct request *q)
{
    if (returned_count > 0) {
        q->target = returned[--returned_count].target;
        q->post = returned[returned_count].post;
        return;
    }
    q->target = (uint32_t)(opt.random_order ? random_below(opt.target_count) : next_target++ % opt.target_count);
    q->post = opt.post_share >= 1 || (opt.post_share > 0 && random_unit() < opt.post_share);
}

/* --- the heap of times: a binary heap of connections by their due, each knowing its place --- */

static void heap_place(size_t i, struct conn *c)
{
    heap[i] = c;
    c->heap_pos = i;
}

static void heap_up(size_t i, struct conn *c)
{
    for (; i > 0 && heap[(i - 1) / 2]->due > c->due; i = (i - 1) / 2)
        heap_place(i, heap[(i - 1) / 2]);
    heap_place(i, c);
}

static void heap_down(size_t i, struct conn *c)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < heap_len && heap[child + 1]->due < heap[child]->due)
            child++;
        if (child >= heap_len || heap[child]->due >= c->due)
            break;
        heap_place(i, heap[child]);
        i = child;
    }
    heap_place(i, c);
}

static void heap_settle(size_t i, struct conn *c)
{
    if (i > 0 && heap[(i - 1) / 2]->due > c->due)
        heap_up(i, c);
    else
        heap_down(i, c);
}

void due_set(struct conn *c, uint64_t due)
{
    size_t i = c->heap_pos;
    c->due = due;
    if (due && i == SIZE_MAX) {
        heap_up(heap_len++, c);
    } else if (due) {
        heap_settle(i, c);
    } else if (i != SIZE_MAX) {
        struct conn *last = heap[--heap_len];
        c->heap_pos = SIZE_MAX;
        if (last != c)
            heap_settle(i, last);
    }
}

/* --- the rate: a slot each 1/R s. New connections go first, then those that wait, in turn --- */

void rate_wait(struct conn *c)
{
    if (c->queued)
        return;
    c->queued = true;
    c->next = NULL;
    if (rate_head)
        rate_tail->next = c;
    else
        rate_head = c;
    rate_tail = c;
}

void rate_forget(struct conn *c)
{
    struct conn *before = NULL;
    if (!c->queued)
        return;
    for (struct conn *at = rate_head; at != c; at = at->next)
        before = at;
    if (before)
        before->next = c->next;
    else
        rate_head = c->next;
    if (rate_tail == c)
        rate_tail = before;
    c->queued = false;
}

static bool may_open(void)
{
    return run.left > 0 && run.active < opt.connections && run.connecting < opt.connecting_max;
}

/* After a stall at most 100 ms are caught up with, so that a test's rate stays what it is said to be. */
static bool slot_due(void)
{
    if (next_slot + 100 * NS_PER_MS < run.now)
        next_slot = run.now - 100 * NS_PER_MS;
    return next_slot <= run.now;
}

static void fill_by_rate(void)
{
    while ((may_open() || rate_head) && slot_due()) {
        if (may_open()) {
            next_slot += slot_ns;
            conn_open();
            continue;
        }
        struct conn *c = rate_head;
        rate_forget(c);
        if (conn_wants(c)) {
            next_slot += slot_ns;
            conn_start_request(c);
            if (!conn_send(c))
                continue;
        }
        conn_continue(c);
    }
    while (rate_head && run.left == 0) { /* nothing will ever be left for them, or they will be opened again */
        struct conn *c = rate_head;
        rate_forget(c);
        conn_continue(c);
    }
}

static void fill(void)
{
    clock_read();
    if (opt.rate > 0) {
        fill_by_rate();
        return;
    }
    while (may_open())
        conn_open();
}

/* --- the loop --- */

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static void each_active(void (*f)(struct conn *))
{
    for (unsigned i = 0; i < opt.connections; i++)
        if (run.conns[i].state != CONN_FREE)
            f(&run.conns[i]);
}

/* The next time that anything happens by itself, in milliseconds from now; rounded up, so as not to spin. */
static int wait_ms(uint64_t limit)
{
    uint64_t due = limit;
    if (heap_len > 0 && heap[0]->due < due)
        due = heap[0]->due;
    if (opt.rate > 0 && (may_open() || rate_head) && next_slot < due)
        due = next_slot;
    if (due <= run.now)
        return 0;
    uint64_t ms = (due - run.now + NS_PER_MS - 1) / NS_PER_MS;
    return ms > 1000 ? 1000 : (int)ms;
}

static void stop(void)
{
    run.stopping = true;
    run.left = 0;
    returned_count = 0;
    each_active(conn_continue);
}

static void turn_once(uint64_t limit)
{
    struct epoll_event events[EVENTS_MAX];
    sigset_t none;
    sigemptyset(&none);
    int n = epoll_pwait(run.epoll_fd, events, EVENTS_MAX, wait_ms(limit), &none);
    for (int i = 0; i < n; i++) {
        struct conn *c = &run.conns[(uint32_t)events[i].data.u64];
        if (c->state != CONN_FREE && c->generation == events[i].data.u64 >> 32)
            conn_event(c, events[i].events);
    }
    clock_read();
    /* Only as many as there are: one whose time comes again at once must not keep the loop from its sockets. */
    for (size_t left = heap_len; left > 0 && heap_len > 0 && heap[0]->due <= run.now; left--)
        conn_timer(heap[0]);
}

static void run_all(uint64_t begun)
{
    uint64_t limit = opt.limit_ns ? begun + opt.limit_ns : UINT64_MAX, last = UINT64_MAX;
    for (;;) {
        fill();
        if (run.active == 0 && run.left == 0)
            return;
        if (!run.stopping && (signals > 0 || run.now >= limit)) {
            stop();
            last = run.now + opt.timeout_ns;
        }
        if (run.stopping && (signals > 1 || run.now >= last)) {
            each_active(conn_give_up);
            return;
        }
        turn_once(run.stopping ? last : limit);
    }
}

/* Each connection is a descriptor: as many as we may have, and the limit raised if we may do that. */
static void raise_files(void)
{
    rlim_t want = opt.connections + 64;
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    if (r.rlim_cur >= want)
        return;
    r.rlim_cur = want;
    if (r.rlim_max < want)
        r.rlim_max = want;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0) {
        fprintf(stderr, "surf: -c %u: %s (RLIMIT_NOFILE)\n", opt.connections, strerror(errno));
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct sigaction sa = {.sa_handler = on_signal};
    options_read(argc, argv);
    raise_files();
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigset_t stops; /* they come while we wait, not between a look at `signals` and the wait */
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    sigprocmask(SIG_BLOCK, &stops, NULL);
    run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    heap = calloc(opt.connections, sizeof(struct conn *));
    if (run.epoll_fd < 0 || !heap) {
        perror("surf");
        return 2;
    }
    conns_init();
    random_state = opt.seed;
    run.left = opt.requests;
    slot_ns = opt.rate > 0 ? (uint64_t)(1e9 / opt.rate) : 0;
    uint64_t begun = next_slot = run.now = now_ns();
    run_all(begun);
    return report((double)(now_ns() - begun) / 1e9) ? 0 : 1;
}
