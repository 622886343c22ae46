/* SPDX-License-Identifier: Apache-2.0 */
#include "respond/tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "base/arena.h"
#include "base/clock.h"

enum {
    MESSAGE_MAX = 65535, /* RFC 1035 4.2.2: two bytes of length */
    DNS_HEADER = 12,
    READ_MAX = 16384,            /* from one client before the others get their turn */
    TCP_ROUND = 2 * MESSAGE_MAX, /* answers collected before they are written */
    RX_CAP = 2 + MESSAGE_MAX + READ_MAX,
    TX_CAP = TCP_ROUND + 2 + MESSAGE_MAX,
    EVENTS = 128,
    ACCEPTS = 64, /* per listener and turn */
    ACCEPT_PAUSE_MS = 100,
    NONE = -1,
};

/* What a client waits for. */
enum list_id { LIST_IDLE, LIST_QUERY, LIST_WRITE, LISTS };

struct client {
    struct respond_peer peer;
    int fd;
    int next, prev; /* places on its list; next also links free places */
    uint64_t deadline_ms;
    uint8_t *in, *out; /* leftovers; NULL = none */
    uint32_t in_len, out_len, out_at;
    uint8_t list;
    bool ended; /* the client sends no more */
};

struct list {
    int head, tail;
    uint64_t limit_ms;
};

struct tcp_thread {
    struct respond_thread *t;
    int epfd, free_head;
    unsigned places, used;
    struct client *clients;
    struct list lists[LISTS];
    size_t memory, memory_max;
    uint64_t now_ms, paused_until_ms; /* paused: out of descriptors, so not accepting */
    bool listening;
    uint32_t tx_len;
    uint8_t *rx, *tx;
};

/* ---- lists ---- */

static void list_remove(struct tcp_thread *p, int at)
{
    struct client *c = &p->clients[at];
    struct list *l = &p->lists[c->list];
    *(c->prev == NONE ? &l->head : &p->clients[c->prev].next) = c->next;
    *(c->next == NONE ? &l->tail : &p->clients[c->next].prev) = c->prev;
}

static void list_append(struct tcp_thread *p, int at, enum list_id id)
{
    struct client *c = &p->clients[at];
    struct list *l = &p->lists[id];
    c->list = (uint8_t)id;
    c->deadline_ms = p->now_ms + l->limit_ms;
    c->prev = l->tail;
    c->next = NONE;
    *(l->tail == NONE ? &l->head : &p->clients[l->tail].next) = at;
    l->tail = at;
}

/* ---- leftovers ---- */

static void leftover_free(struct tcp_thread *p, uint8_t **data, uint32_t *len, uint32_t size)
{
    if (!*data)
        return;
    free(*data);
    p->memory -= size;
    *data = NULL;
    *len = 0;
}

static bool leftover_keep(struct tcp_thread *p, uint8_t **data, uint32_t *len, const uint8_t *from,
                          size_t n)
{
    if (n == 0)
        return true;
    if (p->memory + n > p->memory_max || !(*data = malloc(n)))
        return false;
    memcpy(*data, from, n);
    *len = (uint32_t)n;
    p->memory += n;
    return true;
}

/* ---- clients ---- */

static void client_close(struct tcp_thread *p, int at, enum respond_counter why)
{
    struct client *c = &p->clients[at];
    list_remove(p, at);
    leftover_free(p, &c->in, &c->in_len, c->in_len);
    leftover_free(p, &c->out, &c->out_len, c->out_len);
    close(c->fd);
    c->fd = -1;
    c->next = p->free_head;
    p->free_head = at;
    p->used--;
    respond_count(p->t->stats, why);
}

/* Makes room for a newer client; false = there was nobody to close. */
static bool client_evict(struct tcp_thread *p)
{
    for (unsigned i = 0; i < LISTS; i++) {
        if (p->lists[i].head != NONE) {
            client_close(p, p->lists[i].head, RESPOND_TCP_CLOSED_FULL);
            return true;
        }
    }
    return false;
}

static int client_interest(struct tcp_thread *p, int at, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.u64 = (uint64_t)at};
    return epoll_ctl(p->epfd, EPOLL_CTL_MOD, p->clients[at].fd, &ev);
}

/*
 * Puts the client on the list of what it waits for now. It keeps its place and deadline there unless it got anything
 * done: so bytes that trickle in do not prolong a query.
 */
static void client_settle(struct tcp_thread *p, int at, bool progress)
{
    struct client *c = &p->clients[at];
    enum list_id id = c->out ? LIST_WRITE : c->in ? LIST_QUERY : LIST_IDLE;
    if (id == c->list && !progress)
        return;
    if ((id == LIST_WRITE) != (c->list == LIST_WRITE) &&
        client_interest(p, at, id == LIST_WRITE ? EPOLLOUT : EPOLLIN) != 0) {
        client_close(p, at, RESPOND_TCP_CLOSED_RESET);
        return;
    }
    list_remove(p, at);
    list_append(p, at, id);
}

/* Writes what was collected; keeps what the client does not take. A counter = close for that reason. */
static enum respond_counter round_write(struct tcp_thread *p, struct client *c)
{
    size_t done = 0;
    while (done < p->tx_len) {
        ssize_t n = send(c->fd, p->tx + done, p->tx_len - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return RESPOND_TCP_CLOSED_RESET;
    }
    bool kept = leftover_keep(p, &c->out, &c->out_len, p->tx + done, p->tx_len - done);
    c->out_at = 0;
    p->tx_len = 0;
    return kept ? RESPOND_COUNTER_COUNT : RESPOND_TCP_CLOSED_MEMORY;
}

static void message_answer(struct tcp_thread *p, struct client *c, const uint8_t *pkt, size_t len)
{
    struct respond_thread *t = p->t;
    respond_count(t->stats, c->peer.client.addr.family == ADDR_V4 ? RESPOND_TCP4_QUERIES
                                                                  : RESPOND_TCP6_QUERIES);
    uint8_t *out = p->tx + p->tx_len;
    size_t n = t->opts->answer(t->opts->ctx, t, pkt, len, &c->peer, out + 2, MESSAGE_MAX);
    if (n == 0) {
        respond_count(t->stats, RESPOND_DROPPED);
        return;
    }
    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)n;
    p->tx_len += (uint32_t)(2 + n);
}

/*
 * Answers the messages in p->rx until there are no more or the client does not take answers any more; the rest stays
 * with the client. Closes the client on error and when it is done.
 */
static void client_serve(struct tcp_thread *p, int at, size_t len)
{
    struct client *c = &p->clients[at];
    enum respond_counter why = RESPOND_COUNTER_COUNT;
    const uint8_t *data = p->rx;
    size_t used = 0;
    while (len - used >= 2 && !c->out && why == RESPOND_COUNTER_COUNT) {
        size_t n = (size_t)data[used] << 8 | data[used + 1];
        if (n < DNS_HEADER) {
            respond_count(p->t->stats, RESPOND_MALFORMED);
            why = RESPOND_TCP_CLOSED_MALFORMED;
            break;
        }
        if (len - used - 2 < n)
            break;
        message_answer(p, c, data + used + 2, n);
        used += 2 + n;
        if (p->tx_len > TCP_ROUND)
            why = round_write(p, c);
    }
    if (p->tx_len > 0) {
        enum respond_counter w = round_write(p, c);
        why = why == RESPOND_COUNTER_COUNT ? w : why;
    }
    if (why == RESPOND_COUNTER_COUNT && c->ended && !c->out)
        why = RESPOND_TCP_CLOSED_CLIENT;
    if (why == RESPOND_COUNTER_COUNT &&
        !leftover_keep(p, &c->in, &c->in_len, data + used, len - used))
        why = RESPOND_TCP_CLOSED_MEMORY;
    if (why != RESPOND_COUNTER_COUNT)
        client_close(p, at, why);
    else
        client_settle(p, at, used > 0);
}

/* Moves the client's leftover in front of the thread's buffer. */
static size_t leftover_take(struct tcp_thread *p, struct client *c)
{
    size_t n = c->in_len;
    if (n > 0)
        memcpy(p->rx, c->in, n);
    leftover_free(p, &c->in, &c->in_len, c->in_len);
    return n;
}

static void client_read(struct tcp_thread *p, int at)
{
    struct client *c = &p->clients[at];
    /* The bytes behind the leftover first: if there are none, the leftover need not move. */
    ssize_t n = recv(c->fd, p->rx + c->in_len, READ_MAX, MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            client_close(p, at, RESPOND_TCP_CLOSED_RESET);
        return;
    }
    c->ended = n == 0;
    client_serve(p, at, leftover_take(p, c) + (size_t)n);
}

static void client_write(struct tcp_thread *p, int at)
{
    struct client *c = &p->clients[at];
    ssize_t n =
        send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            client_close(p, at, RESPOND_TCP_CLOSED_RESET);
        return;
    }
    c->out_at += (uint32_t)n;
    if (c->out_at < c->out_len)
        return;
    leftover_free(p, &c->out, &c->out_len, c->out_len);
    /* Queries read before the answers stalled are still waiting, and no event will tell of them. */
    size_t len = leftover_take(p, c);
    client_serve(p, at, len);
}

/* ---- listeners ---- */

static void client_add(struct tcp_thread *p, int fd, const struct sockaddr_storage *from,
                       const struct listen_socket *s)
{
    int at = p->free_head;
    struct client *c = &p->clients[at];
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint64_t)at};
    struct sockaddr_storage to;
    socklen_t len = sizeof to;
    p->free_head = c->next;
    memset(c, 0, sizeof *c);
    c->peer.local = s->at;
    c->peer.tcp = true;
    c->fd = fd;
    if (endpoint_from_sockaddr((const struct sockaddr *)from, &c->peer.client) != PM_OK ||
        (s->wildcard &&
         (getsockname(fd, (struct sockaddr *)&to, &len) != 0 ||
          endpoint_from_sockaddr((struct sockaddr *)&to, &c->peer.local) != PM_OK)) ||
        epoll_ctl(p->epfd, EPOLL_CTL_ADD, fd, &ev) != 0) {
        close(fd);
        c->next = p->free_head;
        p->free_head = at;
        respond_count(p->t->stats, RESPOND_TCP_ACCEPT_ERRORS);
        return;
    }
    p->used++;
    list_append(p, at, LIST_IDLE);
    respond_count(p->t->stats, RESPOND_TCP_ACCEPTED);
}

static void listeners_watch(struct tcp_thread *p, bool on)
{
    for (size_t i = 0; i < p->t->have.count; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint64_t)i | 1ull << 32};
        if (epoll_ctl(p->epfd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, p->t->have.items[i].fd, &ev) !=
                0 &&
            on)
            p->t->error = err_from_errno(errno);
    }
    p->listening = on;
}

static void listener_accept(struct tcp_thread *p, const struct listen_socket *s)
{
    for (unsigned i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        int fd = accept4(s->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (p->free_head == NONE)
                (void)client_evict(p); /* all places are used, so there is one */
            client_add(p, fd, &from, s);
            continue;
        }
        if (errno == EAGAIN || errno == EINTR)
            return;
        respond_count(p->t->stats, RESPOND_TCP_ACCEPT_ERRORS);
        if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
            continue; /* this connection failed before we took it (accept(2)); the next may not */
        if (!client_evict(p)) {
            listeners_watch(p, false);
            p->paused_until_ms = p->now_ms + ACCEPT_PAUSE_MS;
            return;
        }
    }
}

/* ---- the thread ---- */

static void clients_expire(struct tcp_thread *p)
{
    static const enum respond_counter why[LISTS] = {
        RESPOND_TCP_CLOSED_IDLE, RESPOND_TCP_CLOSED_SLOW_QUERY, RESPOND_TCP_CLOSED_SLOW_READER};
    for (unsigned i = 0; i < LISTS; i++)
        while (p->lists[i].head != NONE && p->clients[p->lists[i].head].deadline_ms <= p->now_ms)
            client_close(p, p->lists[i].head, why[i]);
}

static int wait_ms(const struct tcp_thread *p, uint64_t end_ms)
{
    uint64_t first = end_ms;
    for (unsigned i = 0; i < LISTS; i++)
        if (p->lists[i].head != NONE && p->clients[p->lists[i].head].deadline_ms < first)
            first = p->clients[p->lists[i].head].deadline_ms;
    if (p->paused_until_ms && p->paused_until_ms < first)
        first = p->paused_until_ms;
    if (first == UINT64_MAX)
        return -1;
    uint64_t left = first > p->now_ms ? first - p->now_ms : 0;
    return left > 60000 ? 60000 : (int)left;
}

static void turn(struct tcp_thread *p, uint64_t end_ms)
{
    struct epoll_event events[EVENTS];
    rcu_thread_offline();
    int n = epoll_wait(p->epfd, events, EVENTS, wait_ms(p, end_ms));
    rcu_thread_online();
    p->now_ms = clock_mono_ms(&clock_system);
    for (int i = 0; i < n; i++) {
        int at = (int)events[i].data.u32;
        if (events[i].data.u64 >> 32)
            continue;
        if (p->clients[at].out)
            client_write(p, at);
        else
            client_read(p, at);
    }
    /* After the clients, for a new client may get the place of one that has an event above. */
    for (int i = 0; i < n && p->listening; i++)
        if (events[i].data.u64 >> 32)
            listener_accept(p, &p->t->have.items[events[i].data.u32]);
    clients_expire(p);
    if (p->paused_until_ms && p->paused_until_ms <= p->now_ms) {
        p->paused_until_ms = 0;
        listeners_watch(p, true);
    }
}

/* Who has connected to a listener that may now be closed is still served. */
static void set_switch(struct tcp_thread *p, struct listen_set *want)
{
    struct respond_thread *t = p->t;
    for (size_t i = 0; p->listening && i < t->have.count; i++)
        listener_accept(p, &t->have.items[i]);
    listeners_watch(p, false);
    free(t->have.items);
    t->have = *want;
    t->error = PM_OK;
    p->paused_until_ms = 0;
    listeners_watch(p, true);
    atomic_store_explicit(&t->want, NULL, memory_order_release);
}

static void finish(struct tcp_thread *p)
{
    struct respond_thread *t = p->t;
    atomic_store_explicit(&t->stop_seen, true, memory_order_release);
    listeners_watch(p, false);
    p->paused_until_ms = 0;
    p->now_ms = clock_mono_ms(&clock_system);
    uint64_t end_ms = p->now_ms + t->stop_linger_ms;
    while (p->used > 0 && p->now_ms < end_ms)
        turn(p, end_ms);
    for (unsigned at = 0; at < p->places; at++) {
        if (p->clients[at].fd >= 0 && !p->clients[at].out)
            client_read(p, (int)at); /* what has arrived is answered */
        if (p->clients[at].fd >= 0)
            client_close(p, (int)at, RESPOND_TCP_CLOSED_STOP);
    }
}

void tcp_thread_run(struct tcp_thread *p)
{
    struct respond_thread *t = p->t;
    p->now_ms = clock_mono_ms(&clock_system);
    while (!atomic_load_explicit(&t->stop, memory_order_acquire)) {
        struct listen_set *want = atomic_load_explicit(&t->want, memory_order_acquire);
        if (PM_UNLIKELY(want != NULL))
            set_switch(p, want);
        else
            turn(p, UINT64_MAX);
    }
    finish(p);
}

struct tcp_thread *tcp_thread_new(struct respond_thread *t)
{
    const struct respond_options *o = t->opts;
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0)
        return NULL;
    struct tcp_thread *p = mem_alloc(sizeof *p);
    p->t = t;
    p->epfd = epfd;
    p->places = (o->tcp_clients + o->tcp_threads - 1) / o->tcp_threads;
    p->memory_max = o->tcp_memory / o->tcp_threads;
    p->clients = mem_alloc(p->places * sizeof *p->clients);
    p->rx = mem_alloc(RX_CAP);
    p->tx = mem_alloc(TX_CAP);
    for (unsigned i = 0; i < p->places; i++) {
        p->clients[i].fd = -1;
        p->clients[i].next = i + 1 < p->places ? (int)i + 1 : NONE;
    }
    const uint64_t limits[LISTS] = {o->tcp_idle_ms, o->tcp_query_ms, o->tcp_write_ms};
    for (unsigned i = 0; i < LISTS; i++)
        p->lists[i] = (struct list){NONE, NONE, limits[i]};
    return p;
}

void tcp_thread_free(struct tcp_thread *p)
{
    if (!p)
        return;
    close(p->epfd);
    free(p->clients);
    free(p->rx);
    free(p->tx);
    free(p);
}
