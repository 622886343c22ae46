/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to servers: opened, kept per thread and server when they can be used again, closed. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/internal.h"

enum { AVOID_MS = 1000 };

static void upstream_free(struct thread *t, struct upstream *u)
{
    front_flow_end(t, &u->res);
    front_conn_close(t, &u->c);
    u->next = t->dead_upstreams;
    t->dead_upstreams = u;
}

static void pool_unlink(struct thread *t, struct upstream *u)
{
    struct front_pool *p = pool_of(t, u->server);
    if (u->prev)
        u->prev->next = u->next;
    else
        p->idle = u->next;
    if (u->next)
        u->next->prev = u->prev;
    u->next = u->prev = NULL;
    u->pooled = false;
    p->idle_count--;
}

static void pool_link(struct thread *t, struct upstream *u)
{
    struct front_pool *p = pool_of(t, u->server);
    u->prev = NULL;
    u->next = p->idle;
    if (u->next)
        u->next->prev = u;
    p->idle = u;
    u->pooled = true;
    p->idle_count++;
}

/* A kept connection that the server has not closed, as far as one can know. */
static struct upstream *pool_take(struct thread *t, struct front_pool *p, bool look)
{
    for (struct upstream *u; (u = p->idle);) {
        pool_unlink(t, u);
        char byte;
        /* After a splice nobody has said yet that the socket is empty. */
        bool unsure = look || u->c.io & IO_READ;
        u->c.io &= (uint8_t)~IO_READ;
        if (!(u->c.io & (IO_HUP | IO_ERR | IO_EOF)) &&
            (!unsure || (recv(u->c.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)))
            return u;
        upstream_free(t, u);
    }
    return NULL;
}

static struct upstream *upstream_open(struct thread *t, const struct front_server *s)
{
    struct upstream *u = t->free_upstreams;
    int fd = socket(s->sockaddr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(fd, (const struct sockaddr *)&s->sockaddr, s->sockaddr_len) != 0 && errno != EINPROGRESS) {
        close(fd);
        return NULL;
    }
    if (u)
        t->free_upstreams = u->next;
    else
        u = mem_alloc(sizeof *u);
    *u = (struct upstream){.c = {.fd = fd, .kind = CONN_UPSTREAM}, .server = s->state};
    if (front_conn_watch(t, &u->c) != PM_OK) {
        upstream_free(t, u);
        return NULL;
    }
    return u;
}

static bool place_take(const struct front_server *s)
{
    unsigned before = atomic_fetch_add(&s->state->active, 1);
    if (s->max_connections && before >= s->max_connections) {
        atomic_fetch_sub(&s->state->active, 1); /* another thread was faster */
        return false;
    }
    return true;
}

int front_upstream_take(struct thread *t, struct client *c, const struct front_server *s, bool fresh)
{
    struct front_pool *p = pool_of(t, s->state);
    struct upstream *u = NULL;
    if (!place_take(s))
        return PM_EBUSY;
    if (!fresh && c->service->mode == FRONT_SERVE && c->service->proxy == FRONT_PROXY_OFF)
        u = pool_take(t, p, !c->req.retain);
    if (u) {
        u->reused = true;
        front_timer_clear(&u->c.timer);
    } else {
        u = upstream_open(t, s);
        server_count(t, s->state, u ? FRONT_SERVER_CONNECTS : FRONT_SERVER_CONNECT_ERRORS);
    }
    if (!u) {
        atomic_fetch_sub(&s->state->active, 1);
        p->avoid_until_ms = t->now_ms + AVOID_MS;
        return PM_EUNREACH;
    }
    server_count(t, s->state, FRONT_SERVER_REQUESTS);
    u->client = c;
    u->since_ms = t->now_ms;
    u->head_done = u->keep = false;
    http_head_init(&u->head);
    front_flow_init(&u->res, FLOW_NONE, 0);
    c->up = u;
    c->server = s;
    return PM_OK;
}

static void average(_Atomic uint32_t *value, uint64_t sample)
{
    uint32_t old = atomic_load_explicit(value, memory_order_relaxed), s = sample > INT32_MAX ? INT32_MAX : (uint32_t)sample;
    uint32_t now = old == 0 ? s : (uint32_t)((int64_t)old + ((int64_t)s - (int64_t)old) / 8);
    atomic_store_explicit(value, now, memory_order_relaxed);
}

void front_upstream_give(struct thread *t, struct client *c, bool keep)
{
    struct upstream *u = c->up;
    if (!u)
        return;
    struct front_server_state *s = u->server;
    struct front_pool *p = pool_of(t, s);
    c->up = NULL;
    u->client = NULL;
    if (u->connected)
        average(&s->session_ms, t->now_ms - u->since_ms);
    else if (!u->reused)
        p->avoid_until_ms = t->now_ms + AVOID_MS;
    front_count_at(&p->n[FRONT_SERVER_BYTES], u->res.moved);
    front_flow_end(t, &u->res);
    keep = keep && u->keep && !(u->c.io & (IO_HUP | IO_ERR | IO_EOF)) && p->idle_count < c->service->pool &&
           c->service->proxy == FRONT_PROXY_OFF && !t->quiesced &&
           !atomic_load_explicit(&s->retired, memory_order_relaxed);
    if (keep) {
        front_chunk_put(t, &u->c.in);
        pool_link(t, u);
        front_timer_set(t, &u->c.timer, c->service->times.pool);
    } else {
        upstream_free(t, u);
    }
    atomic_fetch_sub(&s->active, 1);
    front_queue_kick(t, c->service->state);
}

void front_upstream_event(struct thread *t, struct upstream *u)
{
    /* Nothing is due on a connection that is not in use: whatever comes, it is of no more use. */
    if (u->pooled && u->c.io & (IO_READ | IO_HUP | IO_ERR)) {
        pool_unlink(t, u);
        upstream_free(t, u);
    }
}

void front_upstream_timeout(struct thread *t, struct upstream *u)
{
    if (!u->pooled)
        return;
    pool_unlink(t, u);
    upstream_free(t, u);
}

void front_pools_close(struct thread *t, struct front_server_state *s)
{
    for (struct upstream *u; (u = pool_of(t, s)->idle);) {
        pool_unlink(t, u);
        upstream_free(t, u);
    }
}

void front_pools_trim(struct thread *t, const struct front_table *old)
{
    for (uint32_t i = 0; i < old->service_count; i++)
        for (uint32_t k = 0; k < old->services[i].server_count; k++)
            if (t->quiesced || atomic_load(&old->services[i].servers[k].state->retired))
                front_pools_close(t, old->services[i].servers[k].state);
}

/* The PROXY protocol, versions 1 (text) and 2 (binary), as its specification of 2020 says. */
size_t front_proxy_head(char *out, enum front_proxy version, const struct endpoint *from, const struct endpoint *to)
{
    static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
    bool v4 = from->addr.family == ADDR_V4;
    if (from->addr.family != to->addr.family)
        v4 = false;
    if (version == FRONT_PROXY_V1) {
        char a[ADDR_TEXT], b[ADDR_TEXT];
        return (size_t)snprintf(out, 108, "PROXY %s %s %s %u %u\r\n", v4 ? "TCP4" : "TCP6", addr_format(&from->addr, a),
                                addr_format(&to->addr, b), from->port, to->port);
    }
    size_t n = v4 ? 4 : 16, len = 2 * n + 4;
    memcpy(out, signature, 12);
    out[12] = 0x21; /* version 2, PROXY */
    out[13] = v4 ? 0x11 : 0x21;
    out[14] = 0;
    out[15] = (char)len;
    memcpy(out + 16, from->addr.bytes, n);
    memcpy(out + 16 + n, to->addr.bytes, n);
    uint16_t ports[2] = {htons(from->port), htons(to->port)};
    memcpy(out + 16 + 2 * n, ports, 4);
    return 16 + len;
}
