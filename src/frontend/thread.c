/* SPDX-License-Identifier: Apache-2.0 */
/* A front-end thread's rounds: wait, what epoll says, what is due, what is to be gone on with. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "frontend/internal.h"

enum { EVENTS = 256, LEAVE_MS = 1000 };

struct thread *front_thread_new(struct frontend *f, unsigned index)
{
    struct thread *t = mem_alloc(sizeof *t);
    t->f = f;
    t->index = index;
    t->now_ms = clock_mono_ms(f->o.clock);
    if (front_thread_prepare(t) != PM_OK) {
        front_thread_free(t);
        return NULL;
    }
    return t;
}

void front_thread_free(struct thread *t)
{
    if (t->epfd > 0)
        close(t->epfd);
    if (t->wake.fd > 0)
        close(t->wake.fd);
    for (struct listen_sock *s; (s = t->socks);) {
        t->socks = s->next;
        free(s);
    }
    front_thread_free_lists(t);
    free(t->notes);
    free(t);
}

void front_thread_wake(struct thread *t)
{
    uint64_t one = 1;
    if (write(t->wake.fd, &one, sizeof one) < 0)
        return; /* full: it will wake */
}

/* ---- tables ---- */

void front_table_leave(struct thread *t, struct front_table *table)
{
    struct front_use *u = &table->uses[t->index];
    if (--u->count == 0 && !u->current)
        atomic_fetch_sub(&table->holders, 1);
}

/* Closed once its backlog is served: connections the kernel has accepted for it are not lost. */
static void sock_close(struct thread *t, struct listen_sock *s)
{
    if (s->c.fd < 0)
        return;
    front_client_accept(t, s);
    close(s->c.fd);
    s->c.fd = -1;
}

static struct listen_sock *sock_find(struct thread *t, int fd, uint64_t id)
{
    for (struct listen_sock *s = t->socks; s; s = s->next)
        if (s->c.fd == fd && s->id == id)
            return s;
    return NULL;
}

/* HTTP clients speak first: they are accepted when they have. In TCP and FTP the server may. */
static void sock_defer(const struct front_listener *l, int fd)
{
    int seconds = l->mode == FRONT_SERVE;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
}

static void sock_add(struct thread *t, const struct front_listener *l, int fd)
{
    struct listen_sock *s = mem_alloc(sizeof *s);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &s->c};
    s->c = (struct conn){.fd = fd, .kind = CONN_LISTENER};
    s->id = l->id;
    s->at = l->at;
    s->mode = l->mode;
    s->listener = l;
    s->next = t->socks;
    t->socks = s;
    (void)epoll_ctl(t->epfd, EPOLL_CTL_ADD, fd, &ev);
}

/* Clients between requests get a moment more: the next request may be on its way, and its answer says "close". */
static void idle_clients_leave(struct thread *t, bool all)
{
    for (struct client *c = t->clients; c; c = c->all_next)
        if (c->state == CLIENT_HEAD && !c->c.in && (all || !c->sock->listener))
            front_timer_set(t, &c->c.timer, LEAVE_MS);
}

static void table_switch(struct thread *t, struct front_table *now)
{
    struct front_table *old = t->table;
    atomic_fetch_add(&now->holders, 1);
    now->uses[t->index].current = true;
    t->table = now;
    /* Sockets first learn their new listener; those without one are closed after their backlog is served by the old. */
    for (uint32_t i = 0; i < now->listener_count; i++) {
        const struct front_listener *l = &now->listeners[i];
        for (uint32_t k = t->index; k < l->fd_count; k += t->f->o.threads) {
            struct listen_sock *s = sock_find(t, l->fds[k], l->id);
            sock_defer(l, l->fds[k]);
            if (s)
                s->listener = l;
            else
                sock_add(t, l, l->fds[k]);
        }
    }
    for (struct listen_sock *s = t->socks; s; s = s->next) {
        bool stays = false;
        for (uint32_t i = 0; i < now->listener_count; i++)
            stays |= s->listener == &now->listeners[i];
        if (!stays) {
            sock_close(t, s);
            s->listener = NULL;
        }
    }
    idle_clients_leave(t, false);
    if (!old)
        return;
    front_pools_trim(t, old);
    struct front_use *u = &old->uses[t->index];
    u->current = false;
    if (u->count == 0)
        atomic_fetch_sub(&old->holders, 1);
}

/* ---- a round ---- */

static void woken(struct thread *t)
{
    uint64_t n;
    if (read(t->wake.fd, &n, sizeof n) < 0)
        return;
    front_queue_wake(t);
}

static inline void event(struct thread *t, struct conn *c, uint32_t what)
{
    if (PM_UNLIKELY(c->fd < 0))
        return; /* closed earlier in this round */
    if (c->kind == CONN_LISTENER) {
        front_client_accept(t, PM_CONTAINER_OF(c, struct listen_sock, c));
        return;
    }
    if (c->kind == CONN_DATA) {
        front_ftp_data(t, c);
        return;
    }
    if (c->kind == CONN_WAKE) {
        woken(t);
        return;
    }
    c->io |= (uint8_t)((what & EPOLLIN ? IO_READ : 0) | (what & EPOLLOUT ? IO_WRITE : 0));
    if (PM_UNLIKELY(what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
        c->io |= (uint8_t)(IO_READ | IO_HUP | (what & (EPOLLERR | EPOLLHUP) ? IO_WRITE : 0) |
                           (what & EPOLLERR ? IO_ERR : 0));
    if (c->kind == CONN_CLIENT) {
        front_client_run(t, PM_CONTAINER_OF(c, struct client, c));
    } else {
        struct upstream *u = PM_CONTAINER_OF(c, struct upstream, c);
        if (PM_LIKELY(u->client != NULL))
            front_client_run(t, u->client);
        else
            front_upstream_event(t, u);
    }
}

static void timers_run(struct thread *t)
{
    for (struct timer *timer; (timer = front_wheel_due(t));) {
        struct conn *c = PM_CONTAINER_OF(timer, struct conn, timer);
        if (c->kind == CONN_CLIENT)
            front_client_timeout(t, PM_CONTAINER_OF(c, struct client, c));
        else
            front_upstream_timeout(t, PM_CONTAINER_OF(c, struct upstream, c));
    }
}

static void ready_run(struct thread *t)
{
    struct client *c = t->ready_first;
    t->ready_first = t->ready_last = NULL;
    for (struct client *next; c; c = next) {
        next = c->ready_next;
        c->ready = false;
        if (c->state != CLIENT_CLOSED) {
            front_client_run(t, c);
        } else {
            c->next = t->dead_clients;
            t->dead_clients = c;
        }
    }
}

static void bury(struct thread *t)
{
    for (struct client *c; (c = t->dead_clients);) {
        t->dead_clients = c->next;
        c->next = t->free_clients;
        t->free_clients = c;
    }
    for (struct ftp *x; (x = t->dead_ftps);) {
        t->dead_ftps = x->next;
        free(x);
    }
    for (struct upstream *u; (u = t->dead_upstreams);) {
        t->dead_upstreams = u->next;
        u->next = t->free_upstreams;
        t->free_upstreams = u;
    }
}

static void quiesce(struct thread *t)
{
    t->quiesced = true;
    for (struct listen_sock *s = t->socks; s; s = s->next)
        sock_close(t, s);
    idle_clients_leave(t, true);
}

static void round_run(struct thread *t)
{
    struct epoll_event events[EVENTS];
    int wait = t->ready_first ? 0 : front_wheel_wait_ms(t);
    if (wait != 0)
        rcu_thread_offline();
    int n = epoll_wait(t->epfd, events, EVENTS, wait);
    if (wait != 0)
        rcu_thread_online();
    else
        rcu_quiescent_state();
    t->now_ms = clock_mono_ms(t->f->o.clock);
    struct front_table *now = rcu_dereference(t->f->table);
    if (PM_UNLIKELY(now != t->table))
        table_switch(t, now);
    if (PM_UNLIKELY(atomic_load_explicit(&t->f->quiesce, memory_order_relaxed) && !t->quiesced))
        quiesce(t);
    for (int i = 0; i < n; i++)
        event(t, events[i].data.ptr, events[i].events);
    if (t->ready_first)
        ready_run(t);
    timers_run(t);
    if (t->dead_clients || t->dead_upstreams || t->dead_ftps)
        bury(t);
}

static void cut(struct thread *t)
{
    while (t->clients) {
        struct client *c = t->clients;
        if (c->up)
            front_upstream_give(t, c, false);
        front_client_release(t, c);
        front_client_close(t, c);
    }
    ready_run(t);
    for (uint32_t i = 0; t->table && i < t->table->service_count; i++)
        for (uint32_t k = 0; k < t->table->services[i].server_count; k++)
            front_pools_close(t, t->table->services[i].servers[k].state);
    bury(t);
    if (t->table) {
        t->table->uses[t->index].current = false;
        atomic_fetch_sub(&t->table->holders, 1);
        t->table = NULL;
    }
}

void *front_thread_run(void *arg)
{
    struct thread *t = arg;
    rcu_register_thread();
    while (!atomic_load_explicit(&t->f->cut, memory_order_acquire) && !(t->quiesced && t->client_count == 0))
        round_run(t);
    cut(t);
    rcu_unregister_thread();
    return NULL;
}
