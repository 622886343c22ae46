/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's life: a slot and a source address, connect(), requests in a ring, the end, whoever brings it about.
 *
 *   conn_open -> CONN_WAIT (only while a source port is not free yet) -> CONN_CONNECTING -> CONN_OPEN -> CONN_ENDING
 *
 * An opened connection holds one of run.left for its first request, so there are never more connections than requests;
 * a connection that cannot be made uses its request up. Whatever happens, close_conn() is the last step, once.
 */
#include "surf.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PORT_RETRY_NS (10u * NS_PER_MS)

static struct conn *free_conns;
/* Pairs of --bind and --source-port nobody uses, first in, first out; without --source-port, addresses by turns. */
static uint32_t *free_sources, source_count, source_first, source_used, turn;

void conns_init(void)
{
    run.conns = calloc(opt.connections, sizeof(*run.conns));
    if (!run.conns)
        abort();
    for (unsigned i = opt.connections; i-- > 0;) {
        struct conn *c = &run.conns[i];
        c->ring = calloc(opt.pipeline, sizeof(*c->ring));
        if (!c->ring)
            abort();
        c->heap_pos = SIZE_MAX;
        c->fd = -1;
        c->next = free_conns;
        free_conns = c;
    }
    if (!opt.port_count)
        return;
    source_count = opt.port_count * (opt.bind_count ? opt.bind_count : 1);
    free_sources = calloc(source_count, sizeof(*free_sources));
    if (!free_sources)
        abort();
    for (uint32_t i = 0; i < source_count; i++)
        free_sources[i] = i;
}

static uint32_t take_source(void)
{
    if (!source_count)
        return opt.bind_count ? turn++ % opt.bind_count : 0;
    source_used++;
    return free_sources[source_first++ % source_count];
}

static void give_source(uint32_t source)
{
    if (source_count)
        free_sources[(source_first + source_count - source_used--) % source_count] = source;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a && (!b || a < b) ? a : b;
}

/* Progress moves the time of a connection's timeout all the time; the heap hears of it only when the old one comes. */
static void due_update(struct conn *c)
{
    uint64_t due = c->wake;
    if (c->state == CONN_CONNECTING || c->state == CONN_ENDING || c->inflight > 0)
        due = earlier(due, c->progress + opt.timeout_ns);
    due = earlier(due, c->abort_at);
    if (c->due == 0 || due < c->due)
        due_set(c, due);
}

static void close_conn(struct conn *c)
{
    if (c->state == CONN_CONNECTING || c->state == CONN_WAIT)
        run.connecting--;
    if (c->fd >= 0)
        close(c->fd);
    rate_forget(c);
    due_set(c, 0);
    give_source(c->source);
    c->fd = -1;
    c->state = CONN_FREE;
    c->inflight = c->unsent = 0;
    c->next = free_conns;
    free_conns = c;
    run.active--;
}

void conn_fail(struct conn *c, enum verdict v, const char *why)
{
    static const char *const names[VERDICTS] = {
        [V_BAD_REPLY] = "bad_reply", [V_HUNG] = "hung", [V_CLOSED_EARLY] = "closed_early", [V_RESET] = "reset"};
    if (c->inflight > 0 && !c->answered && names[v]) {
        const struct request *q = conn_request(c, 0);
        stats_example(c, names[v], opt.targets[q->target].path, q->received, why);
    }
    for (unsigned i = 0; i < c->inflight; i++)
        stats_verdict(conn_request(c, i), i == 0 && c->answered ? conn_request(c, 0)->verdict : v);
    close_conn(c);
}

/* SO_LINGER with no time: close() sends RST and forgets what was not sent (tcp(7)). */
void conn_abort(struct conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    stats.rst_by_us++;
    conn_fail(c, V_RST_BY_US, NULL);
}

void conn_watch(struct conn *c, bool out)
{
    if (c->want_out == out)
        return;
    c->want_out = out;
    struct epoll_event ev = {.events = EPOLLIN | (out ? EPOLLOUT : 0u),
                             .data.u64 = (uint64_t)c->generation << 32 | (uint64_t)(c - run.conns)};
    epoll_ctl(run.epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

/* --- requests --- */

bool conn_wants(const struct conn *c)
{
    return c->state == CONN_OPEN && !c->finished && !c->aborting && !c->send_failed && run.left > 0 &&
           c->inflight < opt.pipeline && (!opt.idle_ns || (c->batch < opt.pipeline && run.now >= c->idle_until));
}

/* Where the connection will be aborted: in what we send, in what we receive, at a time, or after the answer. */
static void draw_abort(struct conn *c, const struct request *q)
{
    const struct target *t = &opt.targets[q->target];
    c->aborting = true;
    switch (random_below(4)) {
    case 0:
        c->abort_sent = true;
        c->abort_count = random_below(t->heads[q->post][0].len + (q->post ? opt.post_size : 0) + 1);
        break;
    case 1:
        c->abort_received = true;
        c->abort_count = 1 + random_below(200 + (q->post ? 0 : t->size));
        break;
    case 2:
        c->abort_at = run.now + 1 + random_below(20 * NS_PER_MS);
        break;
    default:
        break;
    }
}

static const char *body_name(const struct request *q, char *room, size_t len)
{
    const char *path = opt.targets[q->target].path;
    if (!q->post)
        return path;
    snprintf(room, len, "POST %s", path);
    return room;
}

void conn_start_request(struct conn *c)
{
    char name[4096 + 8];
    struct request *q = conn_request(c, c->inflight);
    if (c->inflight == 0) {
        reply_begin(&c->reply);
        c->progress = run.now;
        c->wake = 0;
    }
    if (c->unsent == 0) {
        c->sent = 0;
        c->allowed = opt.slow_bytes;
        c->split_done = false;
    }
    run.left--;
    c->started++;
    c->batch++;
    *q = (struct request){.started = run.now};
    draw_target(q);
    q->last = opt.keep == 0 || c->started == opt.keep || run.left == 0;
    q->expect = content_of(body_name(q, name, sizeof(name)));
    c->finished = q->last;
    c->inflight++;
    c->unsent++;
    stats.requests++;
    if (opt.rst_rate > 0 && random_unit() < opt.rst_rate)
        draw_abort(c, q);
}

static void pop_request(struct conn *c)
{
    if (c->unsent == c->inflight)
        c->unsent--;
    c->inflight--;
    c->ring_first = (c->ring_first + 1) % opt.pipeline;
    c->answered = false;
}

/* The server answers no more on this connection: what is behind in the pipeline is asked for again elsewhere. */
static void resend_rest(struct conn *c)
{
    for (; c->inflight > 0; pop_request(c)) {
        const struct request *q = conn_request(c, 0);
        stats_verdict(q, V_RESENT);
        return_target(q);
    }
    c->unsent = 0;
}

bool conn_answered(struct conn *c)
{
    const struct request *q = conn_request(c, 0);
    bool close = c->reply.close || (q->last && opt.keep == 0), partly_sent = c->unsent == c->inflight;
    stats_verdict(q, q->verdict);
    if (q->verdict == V_OK)
        stats_latency(H_REQUEST, run.now - q->started);
    pop_request(c);
    if (close)
        resend_rest(c);
    if (c->aborting && c->inflight == 0) {
        conn_abort(c);
        return false;
    }
    if (close && partly_sent) { /* who says close before he has read all will reset it */
        close_conn(c);
        return false;
    }
    if (close) {
        c->state = CONN_ENDING;
        conn_watch(c, false);
        c->wake = 0;
        due_update(c);
        return true;
    }
    reply_begin(&c->reply);
    if (c->inflight == 0 && opt.idle_ns) {
        c->batch = 0;
        c->idle_until = c->wake = run.now + opt.idle_ns;
    }
    conn_continue(c);
    return c->state != CONN_FREE;
}

void conn_continue(struct conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    if (conn_wants(c) && opt.rate > 0) {
        rate_wait(c);
    } else if (conn_wants(c)) {
        do
            conn_start_request(c);
        while (conn_wants(c));
        if (!conn_send(c))
            return;
    }
    if (c->state == CONN_OPEN && c->inflight == 0 && (c->finished || run.left == 0)) {
        if (!c->finished ||
            !opt.half_close) { /* it was the last request of a kept connection: we are the ones to close */
            close_conn(c);
            return;
        }
        c->state = CONN_ENDING;
    }
    due_update(c);
}

void conn_give_up(struct conn *c)
{
    conn_fail(c, V_UNFINISHED, NULL);
}

/* --- beginning --- */

/* The request that the connection was to begin with is used up. */
static void connect_failed(struct conn *c, int error)
{
    struct request q = {0};
    stats_connect_error(error);
    stats.requests++;
    draw_target(&q);
    stats_verdict(&q, V_CONNECT_FAILED);
    stats_example(c, "connect_failed", opt.targets[q.target].path, 0, strerror(error));
    close_conn(c);
}

static int bind_source(const struct conn *c, int fd)
{
    const int on = 1;
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a = {.sa.sa_family = opt.to.sa.sa_family};
    uint32_t nth = opt.port_count ? c->source / opt.port_count : c->source, low;
    uint16_t port = opt.port_count ? htons((uint16_t)(opt.port_first + c->source % opt.port_count)) : 0;
    if (!opt.bind_count && !opt.port_count)
        return 0;
    if (opt.bind_count)
        memcpy(&a, &opt.bind_first, sizeof(a));
    if (a.sa.sa_family == AF_INET) {
        a.v4.sin_addr.s_addr = htonl(ntohl(a.v4.sin_addr.s_addr) + nth);
        a.v4.sin_port = port;
    } else {
        memcpy(&low, a.v6.sin6_addr.s6_addr + 12, 4);
        low = htonl(ntohl(low) + nth);
        memcpy(a.v6.sin6_addr.s6_addr + 12, &low, 4);
        a.v6.sin6_port = port;
    }
    /* A port of our choice may be in TIME_WAIT; one of the kernel's is chosen by connect(), for this target only. */
    if (port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    else
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(fd, &a.sa, opt.to_len) == 0 ? 0 : errno;
}

static int new_socket(void)
{
    const int on = 1;
    int fd = socket(opt.to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        perror("surf: socket");
        exit(2);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (opt.mss && setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &opt.mss, sizeof(opt.mss)) != 0) {
        perror("surf: --mss");
        exit(2);
    }
    return fd;
}

static void start_connect(struct conn *c)
{
    c->fd = new_socket();
    clock_read();
    c->begun = run.now;
    int error = bind_source(c, c->fd);
    if (!error && connect(c->fd, &opt.to.sa, opt.to_len) != 0)
        error = errno;
    if (error == 0 || error == EINPROGRESS) {
        struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT,
                                 .data.u64 = (uint64_t)c->generation << 32 | (uint64_t)(c - run.conns)};
        c->state = CONN_CONNECTING;
        c->want_out = true;
        c->progress = run.now;
        if (epoll_ctl(run.epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) != 0)
            abort();
    } else if ((error == EADDRINUSE || error == EADDRNOTAVAIL) && run.now - c->progress < opt.timeout_ns) {
        close(c->fd); /* the port's last connection has not quite gone */
        c->fd = -1;
        stats.port_waits++;
        c->wake = run.now + PORT_RETRY_NS;
    } else {
        connect_failed(c, error);
        return;
    }
    due_update(c);
}

void conn_open(void)
{
    struct conn *c = free_conns;
    struct request *ring = c->ring;
    free_conns = c->next;
    uint32_t generation = c->generation + 1;
    *c = (struct conn){.state = CONN_WAIT, .fd = -1, .generation = generation, .ring = ring, .heap_pos = SIZE_MAX};
    run.left--;
    run.connecting++;
    if (++run.active > stats.concurrent_max)
        stats.concurrent_max = run.active;
    c->progress = run.now;
    c->source = take_source();
    start_connect(c);
}

static void on_connected(struct conn *c)
{
    stats_latency(H_CONNECT, run.now - c->begun);
    stats.connections++;
    if (run.stopping) {
        close_conn(c);
        return;
    }
    run.connecting--;
    run.left++; /* what the connection held, for conn_start_request() to take */
    c->state = CONN_OPEN;
    conn_start_request(c);
    if (conn_send(c))
        conn_continue(c);
}

/* --- events --- */

void conn_ended(struct conn *c, const char *error)
{
    if (c->state == CONN_OPEN && c->inflight > 0) {
        if (!error && !c->answered && reply_complete_at_end(&c->reply)) {
            check_end(c, true);
            c->reply.close = true;
            if (!conn_answered(c))
                return;
        } else {
            conn_fail(c, error ? V_RESET : V_CLOSED_EARLY, error ? error : "closed");
            return;
        }
    } else if (error) {
        stats.reset_idle++;
        stats_example(c, "reset_idle", "", 0, error);
    } else if (c->state == CONN_OPEN) {
        stats.closed_idle++;
    }
    close_conn(c);
}

void conn_surplus(struct conn *c, size_t len)
{
    char detail[64];
    snprintf(detail, sizeof(detail), "%zu bytes that nobody asked for", len);
    stats.surplus++;
    if (c->inflight == 0)
        stats_example(c, "surplus", "", 0, detail);
    conn_fail(c, V_BAD_REPLY, detail);
}

void conn_event(struct conn *c, uint32_t events)
{
    clock_read();
    if (c->state == CONN_CONNECTING) {
        int error = 0;
        socklen_t len = sizeof(error);
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error)
            connect_failed(c, error);
        else
            on_connected(c);
        return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP) && !conn_receive(c))
        return;
    if (events & EPOLLOUT && c->state == CONN_OPEN && !conn_send(c))
        return;
    due_update(c);
}

static void timed_out(struct conn *c)
{
    if (c->state == CONN_CONNECTING) {
        connect_failed(c, ETIMEDOUT);
    } else if (c->state == CONN_ENDING) {
        stats.unclosed++;
        stats_example(c, "unclosed", "", 0, "all is answered, but the server does not close");
        close_conn(c);
    } else {
        conn_fail(c, V_HUNG, "no byte either way");
    }
}

/* A pause of --slow or --split is over, or an idle time. */
static void go_on(struct conn *c)
{
    c->wake = 0;
    if (c->unsent > 0) {
        c->allowed += opt.slow_bytes;
        c->split_done = c->sent > 0;
        if (!conn_send(c))
            return;
    }
    conn_continue(c);
}

void conn_timer(struct conn *c)
{
    due_set(c, 0);
    if (c->state == CONN_WAIT) {
        c->wake = 0;
        if (run.stopping)
            close_conn(c);
        else
            start_connect(c);
        return;
    }
    if (c->abort_at && run.now >= c->abort_at && c->state == CONN_OPEN) {
        conn_abort(c);
        return;
    }
    bool waiting = c->state != CONN_OPEN || c->inflight > 0;
    if (waiting && run.now >= c->progress + opt.timeout_ns) {
        timed_out(c);
        return;
    }
    if (c->wake && run.now >= c->wake)
        go_on(c);
    else
        due_update(c);
}
