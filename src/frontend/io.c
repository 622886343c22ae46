/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors, buffers, pipes and time-outs of a thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "frontend/internal.h"

/* ---- buffers and pipes ---- */

struct chunk *front_chunk_get(struct thread *t)
{
    struct chunk *c = t->chunks;
    if (PM_LIKELY(c != NULL)) {
        t->chunks = c->next;
    } else {
        c = malloc(sizeof *c); /* not zeroed: pages that nobody writes cost nothing */
        if (!c)
            abort();
    }
    c->next = NULL;
    c->start = c->end = CHUNK_ROOM;
    return c;
}

void front_chunk_put(struct thread *t, struct chunk **c)
{
    if (!*c)
        return;
    (*c)->next = t->chunks;
    t->chunks = *c;
    *c = NULL;
}

struct pipe *front_pipe_get(struct thread *t)
{
    struct pipe *p = t->pipes;
    if (p) {
        t->pipes = p->next;
        return p;
    }
    int fds[2];
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0)
        return NULL;
    p = mem_alloc(sizeof *p);
    p->out = fds[0];
    p->in = fds[1];
    int size = fcntl(p->in, F_SETPIPE_SZ, PIPE_SIZE); /* refused when the user has too many: 64 KiB then */
    p->size = size > 0 ? (uint32_t)size : 65536;
    return p;
}

void front_pipe_put(struct thread *t, struct pipe **p, bool empty)
{
    struct pipe *one = *p;
    *p = NULL;
    if (!one)
        return;
    if (empty) {
        one->next = t->pipes;
        t->pipes = one;
        return;
    }
    close(one->in);
    close(one->out);
    free(one);
}

void front_thread_free_lists(struct thread *t)
{
    for (struct chunk *c; (c = t->chunks);) {
        t->chunks = c->next;
        free(c);
    }
    for (struct pipe *p; (p = t->pipes);) {
        t->pipes = p->next;
        front_pipe_put(t, &p, false);
    }
    for (struct client *c; (c = t->free_clients);) {
        t->free_clients = c->next;
        free(c);
    }
    for (struct upstream *u; (u = t->free_upstreams);) {
        t->free_upstreams = u->next;
        free(u);
    }
}

/* ---- connections ---- */

int front_conn_watch(struct thread *t, struct conn *c)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    return epoll_ctl(t->epfd, EPOLL_CTL_ADD, c->fd, &ev) == 0 ? PM_OK : err_from_errno(errno);
}

void front_conn_close(struct thread *t, struct conn *c)
{
    front_timer_remove(t, &c->timer);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    front_chunk_put(t, &c->in);
}

int front_conn_recv(struct thread *t, struct conn *c, uint32_t most)
{
    if (!c->in)
        c->in = front_chunk_get(t);
    uint32_t room = CHUNK_SIZE - c->in->end;
    if (room == 0)
        return PM_ESPACE;
    if (room > most)
        room = most;
    for (;;) {
        ssize_t n = recv(c->fd, c->in->data + c->in->end, room, 0);
        if (PM_LIKELY(n > 0)) {
            c->in->end += (uint32_t)n;
            /* Less than asked: there was no more, and epoll tells of what comes. Not so when the end has come. */
            if ((uint32_t)n < room && !(c->io & (IO_HUP | IO_ERR)))
                c->io &= (uint8_t)~IO_READ;
            return (int)n;
        }
        if (n == 0) {
            c->io = (uint8_t)((c->io | IO_EOF) & ~IO_READ);
            return 0;
        }
        if (errno == EAGAIN) {
            c->io &= (uint8_t)~IO_READ;
            return PM_EAGAIN;
        }
        if (errno != EINTR) {
            c->io = (uint8_t)((c->io | IO_ERR | IO_EOF) & ~IO_READ);
            return PM_ERESET;
        }
    }
}

int64_t front_conn_send(struct conn *c, const void *data, size_t len, bool more)
{
    for (;;) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (PM_LIKELY(n >= 0)) {
            if ((size_t)n < len)
                c->io &= (uint8_t)~IO_WRITE;
            return n;
        }
        if (errno == EAGAIN) {
            c->io &= (uint8_t)~IO_WRITE;
            return PM_EAGAIN;
        }
        if (errno != EINTR)
            return PM_ERESET;
    }
}

/* ---- time-outs ---- */

static void wheel_link(struct thread *t, struct timer *timer, uint64_t at_ms)
{
    uint64_t tick = at_ms / WHEEL_TICK_MS + 1;
    if (tick <= t->wheel_tick)
        tick = t->wheel_tick + 1;
    if (tick > t->wheel_tick + WHEEL_SLOTS - 1)
        tick = t->wheel_tick + WHEEL_SLOTS - 1; /* looked at then, and linked again */
    unsigned slot = tick % WHEEL_SLOTS;
    struct timer *head = &t->wheel[slot];
    timer->at_ms = tick * WHEEL_TICK_MS;
    timer->next = head->next;
    timer->prev = head;
    head->next->prev = timer;
    head->next = timer;
    t->wheel_bits[slot / 64] |= 1ull << slot % 64;
}

void front_timer_remove(struct thread *t, struct timer *timer)
{
    if (!timer->next)
        return;
    timer->next->prev = timer->prev;
    timer->prev->next = timer->next;
    timer->next = timer->prev = NULL;
}

/* Putting a time-out off is one store: the wheel looks at the old time, sees the new one and links again. */
void front_timer_set(struct thread *t, struct timer *timer, uint64_t in_ms)
{
    timer->deadline_ms = t->now_ms + in_ms;
    if (timer->next && timer->at_ms <= timer->deadline_ms + WHEEL_TICK_MS)
        return;
    front_timer_remove(t, timer);
    wheel_link(t, timer, timer->deadline_ms);
}

void front_timer_clear(struct timer *timer)
{
    timer->deadline_ms = UINT64_MAX;
}

int front_wheel_wait_ms(const struct thread *t)
{
    for (uint64_t tick = t->wheel_tick + 1; tick < t->wheel_tick + WHEEL_SLOTS;) {
        unsigned slot = tick % WHEEL_SLOTS;
        uint64_t bits = t->wheel_bits[slot / 64] >> slot % 64;
        if (bits) {
            uint64_t due = (tick + (unsigned)__builtin_ctzll(bits)) * WHEEL_TICK_MS;
            return due <= t->now_ms ? 0 : (int)(due - t->now_ms);
        }
        tick += 64 - slot % 64;
    }
    return -1;
}

struct timer *front_wheel_due(struct thread *t)
{
    uint64_t now = t->now_ms / WHEEL_TICK_MS;
    while (t->wheel_tick < now) {
        unsigned slot = (t->wheel_tick + 1) % WHEEL_SLOTS;
        struct timer *head = &t->wheel[slot], *timer = head->next;
        if (timer == head) {
            t->wheel_bits[slot / 64] &= ~(1ull << slot % 64);
            t->wheel_tick++;
            continue;
        }
        front_timer_remove(t, timer);
        if (timer->deadline_ms == UINT64_MAX)
            continue;
        if (timer->deadline_ms <= t->now_ms)
            return timer;
        /* Put off. This tick counts as done, so that it cannot come back into this slot. */
        t->wheel_tick++;
        wheel_link(t, timer, timer->deadline_ms);
        t->wheel_tick--;
    }
    return NULL;
}

int front_thread_prepare(struct thread *t)
{
    for (unsigned i = 0; i < WHEEL_SLOTS; i++)
        t->wheel[i].next = t->wheel[i].prev = &t->wheel[i];
    t->wheel_tick = t->now_ms / WHEEL_TICK_MS;
    t->epfd = epoll_create1(EPOLL_CLOEXEC);
    t->wake = (struct conn){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .kind = CONN_WAKE};
    if (t->epfd < 0 || t->wake.fd < 0)
        return err_from_errno(errno);
    return front_conn_watch(t, &t->wake);
}
