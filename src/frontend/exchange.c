/* SPDX-License-Identifier: Apache-2.0 */
/* A request and its response between a client and a server, and tunnels. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "frontend/internal.h"

static bool send_proxy_head(struct client *c)
{
    char head[128];
    struct endpoint from = {c->peer, c->peer_port}, to = c->sock->at;
    struct sockaddr_storage sa;
    socklen_t sa_len = sizeof sa;
    if (getsockname(c->c.fd, (struct sockaddr *)&sa, &sa_len) != 0 ||
        endpoint_from_sockaddr((struct sockaddr *)&sa, &to) != PM_OK)
        return false;
    size_t len = front_proxy_head(head, c->service->proxy, &from, &to);
    /* The first bytes of a new connection always fit into its buffer. In a tunnel nothing may follow for long. */
    return front_conn_send(&c->up->c, head, len, c->service->mode == FRONT_SERVE) == (int64_t)len;
}

/* The server is gone before it answered anything: another one, or the same again on a new connection. */
static void server_failed(struct thread *t, struct client *c, bool exclude, unsigned status)
{
    bool reused = c->up->reused, sent = c->req.moved != 0;
    if (c->up->connected)
        server_count(t, c->up->server, FRONT_SERVER_CLOSED_EARLY);
    else
        server_count(t, c->up->server, FRONT_SERVER_CONNECT_ERRORS);
    front_upstream_give(t, c, false);
    if (sent && !c->req.retain) {
        c->keep = false;
        front_reply_status(t, c, status);
        return;
    }
    front_flow_end(t, &c->req);
    c->req.moved = 0;
    /* A kept connection that was closed says nothing of its server, and there may be more such; a server that closes
     * new connections without an answer is left alone. */
    front_request_failed(t, c, exclude && !reused, status);
}

void front_exchange_begin(struct thread *t, struct client *c)
{
    struct upstream *u = c->up;
    u->connected = true;
    if (c->service->proxy != FRONT_PROXY_OFF && !c->data && !send_proxy_head(c)) {
        server_failed(t, c, true, 502);
        return;
    }
    if (c->service->mode == FRONT_FTP && !c->data) {
        front_ftp_begin(t, c);
        return;
    }
    if (c->service->mode >= FRONT_TCP) {
        front_tunnel_begin(t, c);
        return;
    }
    if (c->req.lim == 0) { /* the first time; a second server gets the same bytes */
        if (!front_compose_request(t, c)) {
            front_upstream_give(t, c, true);
            front_reply_status(t, c, 431);
            return;
        }
        if (front_flow_approve(&c->req, c->c.in) != PM_OK) {
            front_upstream_give(t, c, false);
            front_reply_status(t, c, 400);
            return;
        }
    }
    c->req.pos = c->c.in->start;
    c->state = CLIENT_EXCHANGE;
    front_timer_set(t, &c->c.timer, c->req.read_done ? c->service->times.response : c->service->times.stall);
    front_exchange_run(t, c);
}

static void abort_client(struct thread *t, struct client *c, enum front_counter why)
{
    front_count(t, why);
    front_upstream_give(t, c, false);
    front_client_release(t, c);
    front_client_close(t, c);
}

/* ---- the request ---- */

/* False: the exchange is over. */
static bool request_run(struct thread *t, struct client *c)
{
    uint64_t before = c->req.moved;
    enum pump p = front_flow_pump(t, &c->req, &c->c, &c->up->c);
    if (c->req.moved != before) {
        front_count_at(&t->n[FRONT_BYTES_IN], c->req.moved - before);
        front_timer_set(t, &c->c.timer, p == PUMP_DONE ? c->service->times.response : c->service->times.stall);
    }
    switch (p) {
    case PUMP_AGAIN:
        front_client_ready(t, c);
        return true;
    case PUMP_SOURCE:
        if (c->c.io & IO_EOF) {
            abort_client(t, c, FRONT_CLIENT_ABORTS);
            return false;
        }
        front_count(t, FRONT_BAD_REQUESTS); /* chunks that are none */
        front_upstream_give(t, c, false);
        front_reply_status(t, c, 400);
        return false;
    case PUMP_SINK:
        /* The server closed; it may have said why before. What it said is read below, and nothing more is sent. */
        c->req.read_done = true;
        c->req.pos = c->req.lim;
        c->up->c.io |= IO_READ | IO_HUP;
        c->keep = false;
        return true;
    default:
        return true;
    }
}

/* ---- the response's head ---- */

static void bad_response(struct thread *t, struct client *c, unsigned status)
{
    server_count(t, c->up->server, FRONT_SERVER_BAD_RESPONSES);
    front_upstream_give(t, c, false);
    c->keep = false;
    front_reply_status(t, c, status);
}

static void note_response(struct thread *t, struct client *c, struct upstream *u)
{
    uint64_t ms = t->now_ms - c->began_ms, us = ms < 1000000 ? ms * 1000 : 1000000000;
    uint32_t old = atomic_load_explicit(&u->server->response_us, memory_order_relaxed);
    int64_t change = (int64_t)us - old;
    if (change)
        atomic_store_explicit(&u->server->response_us, (uint32_t)(old + change / 8), memory_order_relaxed);
    if (u->head.status >= 500)
        server_count(t, u->server, FRONT_SERVER_STATUS_5XX);
}

/* Head complete and final: how the body goes on, and whether the connections stay. False: over. */
static bool response_head(struct thread *t, struct client *c, struct upstream *u)
{
    const struct http_head *h = &u->head;
    enum http_body b = http_response_body(h, c->head.method);
    bool upgrade = h->status == 101;
    if (upgrade && (!(c->head.flags & HTTP_UPGRADES) || !(h->flags & HTTP_UPGRADES))) {
        bad_response(t, c, 502);
        return false;
    }
    note_response(t, c, u);
    if (h->status == 404 && front_request_elsewhere(t, c))
        return false;
    if (c->service->known)
        front_note_answer(t, c, false);
    front_flow_end(t, &u->res);
    front_flow_init(&u->res,
              b == HTTP_BODY_CHUNKED  ? FLOW_CHUNKED
              : b == HTTP_BODY_LENGTH ? FLOW_LENGTH
              : b == HTTP_BODY_CLOSE  ? FLOW_CLOSE
                                      : FLOW_NONE,
              h->content_length);
    u->keep = h->flags & HTTP_KEEP && b != HTTP_BODY_CLOSE && !upgrade;
    u->res.unwrap = b == HTTP_BODY_CHUNKED && c->head.minor == 0;
    bool request_whole = c->req.read_done && c->req.pos == c->req.lim && c->req.piped == 0;
    c->keep = c->head.flags & HTTP_KEEP && b != HTTP_BODY_CLOSE && !u->res.unwrap && request_whole && !t->quiesced;
    if (!front_compose_response(t, c, u) || front_flow_approve(&u->res, u->c.in) != PM_OK) {
        bad_response(t, c, 502);
        return false;
    }
    u->head_done = true;
    c->req.retain = false;
    return true;
}

/* 100, 102, 103: passed on as they are, to clients that know of them; then comes another head. */
static bool interim(struct client *c, struct upstream *u)
{
    struct chunk *in = u->c.in;
    bool ok = c->head.minor == 0 ||
              front_conn_send(&c->c, in->data + in->start, u->head.len, false) == (int64_t)u->head.len;
    in->start += u->head.len;
    http_head_init(&u->head);
    return ok; /* a client whose buffer is full before any response does not read */
}

/* False: wait, or the exchange is over (then c->up is NULL or the head is not done). */
static bool response_wait(struct thread *t, struct client *c)
{
    struct upstream *u = c->up;
    for (;;) {
        if (u->c.in && u->c.in->end > u->c.in->start) {
            struct chunk *in = u->c.in;
            int rc = http_response_parse(&u->head, in->data + in->start, in->end - in->start);
            if (rc == PM_EPROTO) {
                bad_response(t, c, 502);
                return false;
            }
            if (rc == PM_OK && (u->head.status >= 200 || u->head.status == 101))
                return response_head(t, c, u);
            if (rc == PM_OK) {
                if (interim(c, u))
                    continue;
                abort_client(t, c, FRONT_CLIENT_ABORTS);
                return false;
            }
        }
        if (!(u->c.io & IO_READ))
            return false;
        bool nothing = !u->c.in || u->c.in->end == u->c.in->start;
        int n = front_conn_recv(t, &u->c, UINT32_MAX);
        if (n > 0)
            continue;
        if (n == PM_EAGAIN)
            return false;
        if (n == PM_ESPACE || !nothing)
            bad_response(t, c, 502);
        else
            server_failed(t, c, true, 502);
        return false;
    }
}

/* ---- the response's body ---- */

static void exchange_end(struct thread *t, struct client *c)
{
    struct upstream *u = c->up;
    struct chunk *in = u->c.in;
    bool whole = c->req.read_done && c->req.pos == c->req.lim && c->req.piped == 0;
    front_count_at(&t->n[FRONT_BYTES_OUT], u->res.moved);
    if (in && in->end > u->res.lim)
        u->keep = false; /* more than it said: nothing it sends can be trusted to belong to a request */
    front_upstream_give(t, c, whole);
    c->keep = c->keep && whole;
    front_client_release(t, c);
    front_client_next(t, c);
}

static void response_run(struct thread *t, struct client *c)
{
    struct upstream *u = c->up;
    enum pump p = front_flow_pump(t, &u->res, &u->c, &c->c);
    switch (p) {
    case PUMP_DONE:
        if (u->head.status == 101)
            front_tunnel_begin(t, c);
        else
            exchange_end(t, c);
        return;
    case PUMP_AGAIN:
    case PUMP_WAIT:
        if (p == PUMP_AGAIN)
            front_client_ready(t, c);
        front_timer_set(t, &c->c.timer, c->service->times.stall);
        return;
    case PUMP_SOURCE:
        server_count(t, u->server, FRONT_SERVER_CLOSED_EARLY);
        front_count_at(&t->n[FRONT_BYTES_OUT], u->res.moved);
        front_upstream_give(t, c, false);
        front_client_release(t, c);
        front_client_close(t, c); /* the client sees that it is cut short */
        return;
    case PUMP_SINK:
        front_count_at(&t->n[FRONT_BYTES_OUT], u->res.moved);
        abort_client(t, c, FRONT_CLIENT_ABORTS);
        return;
    }
}

void front_exchange_run(struct thread *t, struct client *c)
{
    if (c->c.io & IO_ERR) {
        abort_client(t, c, FRONT_CLIENT_ABORTS);
        return;
    }
    if ((c->req.pos < c->req.lim || c->req.piped || !c->req.read_done) && !request_run(t, c))
        return;
    if (!c->up->head_done && !response_wait(t, c))
        return;
    response_run(t, c);
}

/* ---- tunnels ---- */

void front_tunnel_begin(struct thread *t, struct client *c)
{
    struct upstream *u = c->up;
    front_flow_end(t, &c->req);
    front_flow_end(t, &u->res);
    uint64_t sent = u->res.moved;
    front_count(t, c->service->mode >= FRONT_TCP ? FRONT_TUNNELS : FRONT_UPGRADED);
    front_flow_init(&c->req, FLOW_TUNNEL, 0);
    front_flow_init(&u->res, FLOW_TUNNEL, 0);
    u->res.moved = sent;
    /* What came behind the heads belongs to the tunnel. */
    if (c->c.in) {
        c->req.pos = c->service->mode >= FRONT_TCP ? c->c.in->start : c->c.in->start + c->head.len;
        c->req.lim = c->c.in->end;
    }
    if (u->c.in) {
        u->res.pos = u->c.in->start;
        u->res.lim = u->c.in->end;
    }
    u->keep = false;
    c->state = CLIENT_TUNNEL;
    front_tunnel_run(t, c);
}

/* Half a tunnel at its end: says so to the other side, which may go on sending. */
static bool half_run(struct thread *t, struct client *c, struct flow *f, struct conn *from, struct conn *to)
{
    bool was_done = f->body == FLOW_NONE;
    if (was_done)
        return true;
    enum pump p = front_flow_pump(t, f, from, to);
    if (p == PUMP_DONE) {
        (void)shutdown(to->fd, SHUT_WR);
        f->body = FLOW_NONE;
    } else if (p == PUMP_AGAIN) {
        front_client_ready(t, c);
    }
    return p != PUMP_SOURCE && p != PUMP_SINK;
}

void front_tunnel_run(struct thread *t, struct client *c)
{
    struct upstream *u = c->up;
    uint64_t in = c->req.moved, out = u->res.moved;
    bool ok = half_run(t, c, &c->req, &c->c, &u->c) && half_run(t, c, &u->res, &u->c, &c->c);
    front_count_at(&t->n[FRONT_BYTES_IN], c->req.moved - in);
    front_count_at(&t->n[FRONT_BYTES_OUT], u->res.moved - out);
    if (ok && (c->req.body != FLOW_NONE || u->res.body != FLOW_NONE)) {
        if (c->req.moved != in || u->res.moved != out || !c->c.timer.next)
            front_timer_set(t, &c->c.timer, c->service->times.tunnel);
        return;
    }
    front_flow_end(t, &c->req);
    front_upstream_give(t, c, false);
    front_client_release(t, c);
    front_client_close(t, c);
}
