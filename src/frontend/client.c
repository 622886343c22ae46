/* SPDX-License-Identifier: Apache-2.0 */
/* Connections from clients: accepted, read head by head, ended. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frontend/internal.h"

enum {
    LINGER_MS = 2000,
    LINGER_BYTES = 1 << 20, /* discarded of what a refused client still sends */
    ACCEPTS = 32,           /* in a row, before others get their turn */
    LOOKED_AT = 64,         /* to find one that can make room */
};

static void list_add(struct thread *t, struct client *c)
{
    c->all_prev = NULL;
    c->all_next = t->clients;
    if (t->clients)
        t->clients->all_prev = c;
    else
        t->clients_last = c;
    t->clients = c;
}

static void list_remove(struct thread *t, struct client *c)
{
    if (c->all_prev)
        c->all_prev->all_next = c->all_next;
    else
        t->clients = c->all_next;
    if (c->all_next)
        c->all_next->all_prev = c->all_prev;
    else
        t->clients_last = c->all_prev;
}

struct client *front_client_new(struct thread *t, struct listen_sock *s, int fd)
{
    struct client *c = t->free_clients;
    if (c)
        t->free_clients = c->next;
    else
        c = mem_alloc(sizeof *c);
    memset(c, 0, sizeof *c);
    c->c = (struct conn){.fd = fd, .kind = CONN_CLIENT, .io = IO_READ | IO_WRITE};
    c->sock = s;
    list_add(t, c);
    t->client_count++;
    http_head_init(&c->head);
    return c;
}

static void peer_set(struct client *c, const struct sockaddr_storage *sa)
{
    struct endpoint e;
    if (endpoint_from_sockaddr((const struct sockaddr *)sa, &e) == PM_OK) {
        c->peer = e.addr;
        c->peer_port = e.port;
    }
}

/* A TCP service has its connection as its request. */
void front_client_tunnel(struct thread *t, struct client *c, const struct front_service *s)
{
    if (!s) {
        front_client_close(t, c);
        return;
    }
    c->service = s;
    c->table = t->table;
    c->table->uses[t->index].count++;
    c->began_ms = t->now_ms;
    c->refusal = 503;
    unsigned active = atomic_fetch_add_explicit(&s->state->active, 1, memory_order_relaxed);
    c->counted = true;
    if (s->max_connections && active >= s->max_connections)
        front_request_overload(t, c);
    else
        front_request_dispatch(t, c);
}

/*
 * Who asks once and takes its answer at once needs no event: its request was there when it was accepted, and its end is
 * ours to make. That saves a system call where there is one connection per request. Everybody else is watched from here.
 */
static void settle(struct thread *t, struct client *c)
{
    bool waits = c->state == CLIENT_QUEUE || c->state == CLIENT_CONNECT || c->state == CLIENT_EXCHANGE;
    bool once = waits && c->req.read_done && !(c->head.flags & HTTP_KEEP) && c->c.io & IO_WRITE;
    if (c->watched || c->state == CLIENT_CLOSED || (once && c->service->mode < FRONT_TCP))
        return;
    c->watched = true;
    if (front_conn_watch(t, &c->c) == PM_OK)
        return;
    front_count(t, FRONT_ACCEPT_ERRORS);
    front_upstream_give(t, c, false);
    front_client_release(t, c);
    front_client_close(t, c);
}

static void accepted(struct thread *t, struct listen_sock *s, int fd, const struct sockaddr_storage *sa)
{
    struct client *c = front_client_new(t, s, fd);
    peer_set(c, sa);
    front_count(t, FRONT_ACCEPTED);
    c->held = UINT64_MAX;
    if (s->mode != FRONT_SERVE) {
        if (s->listener && s->listener->hello)
            front_hello_begin(t, c);
        else
            front_client_tunnel(t, c, s->listener ? s->listener->fallback : NULL);
        settle(t, c);
    } else {
        front_timer_set(t, &c->c.timer, s->listener && s->listener->fallback ? s->listener->fallback->times.head : 10000);
        front_client_run(t, c); /* the request has often come already */
    }
}

/*
 * Many may connect and ask for nothing, or a byte at a time. At the limit whoever has been silent longest goes, so that those
 * who ask are served. Clients that are being served go to the list's beginning, not to be looked at again and again.
 */
static bool one_leaves(struct thread *t)
{
    for (unsigned i = 0; i < LOOKED_AT && t->clients_last; i++) {
        struct client *c = t->clients_last;
        if (c->state == CLIENT_HEAD && !c->ready) {
            const struct linger now = {.l_onoff = 1}; /* the kernel is to keep nothing of it either */
            (void)setsockopt(c->c.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            front_count(t, FRONT_MADE_ROOM);
            front_client_close(t, c);
            return true;
        }
        list_remove(t, c);
        list_add(t, c);
    }
    return false;
}

void front_client_accept(struct thread *t, struct listen_sock *s)
{
    struct sockaddr_storage sa;
    for (unsigned i = 0; i < ACCEPTS; i++) {
        socklen_t len = sizeof sa;
        int fd = accept4(s->c.fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                front_count(t, FRONT_ACCEPT_ERRORS);
            return;
        }
        if (atomic_fetch_add(&t->f->clients, 1) >= t->f->o.max_clients && !one_leaves(t)) {
            atomic_fetch_sub(&t->f->clients, 1);
            front_count(t, FRONT_ACCEPT_FULL);
            close(fd);
            continue;
        }
        accepted(t, s, fd, &sa);
    }
}

void front_client_close(struct thread *t, struct client *c)
{
    if (c->state == CLIENT_CLOSED)
        return;
    c->state = CLIENT_CLOSED;
    front_flow_end(t, &c->req);
    front_ftp_end(t, c);
    front_conn_close(t, &c->c);
    front_chunk_put(t, &c->out);
    list_remove(t, c);
    t->client_count--;
    atomic_fetch_sub(&t->f->clients, 1);
    if (!c->ready) { /* else the round finds it in the ready list */
        c->next = t->dead_clients;
        t->dead_clients = c;
    }
}

void front_client_ready(struct thread *t, struct client *c)
{
    if (c->ready)
        return;
    c->ready = true;
    c->ready_next = NULL;
    if (t->ready_last)
        t->ready_last->ready_next = c;
    else
        t->ready_first = c;
    t->ready_last = c;
}

void front_client_release(struct thread *t, struct client *c)
{
    front_queue_leave(t, c);
    front_chunk_put(t, &c->path_text);
    c->path_new = c->asked = c->elsewhere = false;
    if (c->counted) {
        c->counted = false;
        atomic_fetch_sub_explicit(&c->service->state->active, 1, memory_order_relaxed);
    }
    c->service = NULL;
    c->server = NULL;
    if (c->table) {
        struct front_table *table = c->table;
        c->table = NULL;
        front_table_leave(t, table);
    }
}

/* Nothing more is sent; what comes is thrown away, so that the client can read our last answer before a reset. */
void front_client_linger(struct thread *t, struct client *c)
{
    (void)shutdown(c->c.fd, SHUT_WR);
    c->state = CLIENT_LINGER;
    c->req.moved = 0;
    front_timer_set(t, &c->c.timer, LINGER_MS);
    front_client_run(t, c);
}

static void linger_run(struct thread *t, struct client *c)
{
    while (c->c.io & IO_READ) {
        if (c->c.in)
            c->c.in->start = c->c.in->end = CHUNK_ROOM;
        int n = front_conn_recv(t, &c->c, UINT32_MAX);
        if (n == PM_EAGAIN)
            return;
        if (n <= 0 || (c->req.moved += (uint64_t)n) > LINGER_BYTES)
            break;
    }
    if (c->c.io & IO_READ || c->c.io & IO_EOF)
        front_client_close(t, c);
}

void front_client_next(struct thread *t, struct client *c)
{
    struct chunk *in = c->c.in;
    bool whole = c->req.read_done; /* the request's body was read to its end */
    front_flow_end(t, &c->req);
    if (!c->keep) {
        if (whole && !(c->c.io & IO_READ))
            front_client_close(t, c);
        else
            front_client_linger(t, c);
        return;
    }
    if (in) {
        in->start = c->req.lim ? c->req.lim : in->start + c->head.len;
        if (in->start >= in->end)
            front_chunk_put(t, &c->c.in);
    }
    http_head_init(&c->head);
    c->req.lim = 0;
    c->state = CLIENT_HEAD;
    if (c->c.in || c->c.io & IO_READ)
        front_client_ready(t, c); /* the next request is here: after the others' turn */
    front_timer_set(t, &c->c.timer, c->sock->listener && c->sock->listener->fallback ? c->sock->listener->fallback->times.idle
                                                                                 : 60000);
}

/* ---- heads ---- */

static void head_refused(struct thread *t, struct client *c)
{
    unsigned status = c->head.status;
    front_count(t, FRONT_BAD_REQUESTS);
    c->head.flags = 0;
    c->head.method = HTTP_METHOD_OTHER;
    front_flow_init(&c->req, FLOW_CLOSE, 0); /* there is no telling what follows */
    front_reply_status(t, c, status);
}

/* Room for the rest of a head: pipelined requests may have left it at the end of the chunk. */
static void make_room(struct chunk *in)
{
    if (in->start > CHUNK_ROOM && CHUNK_SIZE - in->start < HTTP_HEAD_MAX) {
        memmove(in->data + CHUNK_ROOM, in->data + in->start, in->end - in->start);
        in->end -= in->start - CHUNK_ROOM;
        in->start = CHUNK_ROOM;
    }
}

static void head_ended(struct thread *t, struct client *c)
{
    front_client_close(t, c);
}

static void head_run(struct thread *t, struct client *c)
{
    for (;;) {
        struct chunk *in = c->c.in;
        if (in && in->end > in->start) {
            int rc = http_request_parse(&c->head, in->data + in->start, in->end - in->start);
            if (PM_LIKELY(rc == PM_OK)) {
                front_request_begin(t, c);
                return;
            }
            if (rc == PM_EPROTO) {
                head_refused(t, c);
                return;
            }
            make_room(in);
        }
        if (!(c->c.io & IO_READ)) {
            if (c->c.io & IO_EOF)
                head_ended(t, c);
            return;
        }
        bool first = !in || in->end == in->start;
        int n = front_conn_recv(t, &c->c, UINT32_MAX);
        if (n == PM_EAGAIN) {
            if (c->c.in && c->c.in->start == c->c.in->end)
                front_chunk_put(t, &c->c.in); /* idle clients hold no memory */
            return;
        }
        if (n <= 0) {
            head_ended(t, c);
            return;
        }
        if (first) /* from here on the head has so long, however slowly it comes */
            front_timer_set(t, &c->c.timer, c->sock->listener && c->sock->listener->fallback
                                          ? c->sock->listener->fallback->times.head
                                          : 10000);
    }
}

/* ---- events and time-outs ---- */

static void connect_run(struct thread *t, struct client *c)
{
    struct upstream *u = c->up;
    if (u->c.io & IO_ERR) { /* a server that has answered and closed already is no failure */
        server_count(t, u->server, FRONT_SERVER_CONNECT_ERRORS);
        front_upstream_give(t, c, false);
        front_request_failed(t, c, true, 503);
    } else if (u->c.io & IO_WRITE) {
        front_exchange_begin(t, c);
    } else if (c->c.io & IO_ERR) {
        front_upstream_give(t, c, false);
        front_client_release(t, c);
        front_client_close(t, c);
    }
}

static void run(struct thread *t, struct client *c)
{
    switch (c->state) {
    case CLIENT_HELLO:
        front_hello_run(t, c);
        break;
    case CLIENT_HEAD:
        head_run(t, c);
        break;
    case CLIENT_QUEUE:
        if (c->c.io & IO_ERR) {
            front_count(t, FRONT_CLIENT_ABORTS);
            front_client_release(t, c);
            front_client_close(t, c);
        } else if (!c->queued) {
            front_request_dispatch(t, c);
        }
        break;
    case CLIENT_CONNECT:
        connect_run(t, c);
        break;
    case CLIENT_EXCHANGE:
        front_exchange_run(t, c);
        break;
    case CLIENT_TUNNEL:
        front_tunnel_run(t, c);
        break;
    case CLIENT_FTP:
        front_ftp_run(t, c);
        break;
    case CLIENT_REPLY:
        front_reply_flush(t, c);
        break;
    case CLIENT_LINGER:
        linger_run(t, c);
        break;
    }
}

void front_client_run(struct thread *t, struct client *c)
{
    run(t, c);
    if (PM_UNLIKELY(!c->watched))
        settle(t, c);
}

static void exchange_timeout(struct thread *t, struct client *c)
{
    struct upstream *u = c->up;
    bool asked = c->req.read_done && c->req.pos == c->req.lim && c->req.piped == 0;
    if (!u->head_done && asked) {
        server_count(t, u->server, FRONT_SERVER_TIMEOUTS);
        front_upstream_give(t, c, false);
        front_reply_status(t, c, 504);
        return;
    }
    bool server_slow = u->head_done ? u->res.pos == u->res.lim && u->res.piped == 0 : c->req.pos < c->req.lim;
    if (server_slow)
        server_count(t, u->server, FRONT_SERVER_TIMEOUTS);
    else
        front_count(t, FRONT_CLIENT_TIMEOUTS);
    bool answered = u->head_done;
    front_upstream_give(t, c, false);
    if (answered) {
        front_client_release(t, c);
        front_client_close(t, c);
    } else {
        front_reply_status(t, c, server_slow ? 504 : 408);
    }
}

static void timed_out(struct thread *t, struct client *c)
{
    switch (c->state) {
    case CLIENT_HEAD:
        if (c->c.in && c->c.in->end > c->c.in->start) {
            front_count(t, FRONT_CLIENT_TIMEOUTS);
            c->head.status = 408;
            head_refused(t, c);
        } else {
            front_client_close(t, c);
        }
        break;
    case CLIENT_QUEUE:
        front_count(t, FRONT_QUEUE_TIMEOUT);
        front_queue_leave(t, c);
        front_request_overload(t, c);
        break;
    case CLIENT_CONNECT:
        server_count(t, c->up->server, FRONT_SERVER_CONNECT_ERRORS);
        front_upstream_give(t, c, false);
        front_request_failed(t, c, true, 504);
        break;
    case CLIENT_EXCHANGE:
        exchange_timeout(t, c);
        break;
    default:
        front_count(t, FRONT_CLIENT_TIMEOUTS);
        front_upstream_give(t, c, false);
        front_client_release(t, c);
        front_client_close(t, c);
        break;
    }
}

void front_client_timeout(struct thread *t, struct client *c)
{
    timed_out(t, c);
    if (!c->watched)
        settle(t, c);
}
