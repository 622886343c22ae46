/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for a free place at a server: per service and thread, first come first served, bounded. */
#include "frontend/internal.h"

static struct front_waiting *mine(const struct thread *t, struct front_service_state *s)
{
    return &s->per_thread[t->index];
}

bool front_queue_enter(struct thread *t, struct client *c)
{
    struct front_service_state *s = c->service->state;
    struct front_waiting *w = mine(t, s);
    if (atomic_load_explicit(&w->count, memory_order_relaxed) >= c->service->queue_limit)
        return false;
    c->next = NULL;
    if (w->last)
        w->last->next = c;
    else
        w->first = c;
    w->last = c;
    c->queued = true;
    c->state = CLIENT_QUEUE;
    atomic_fetch_add(&w->count, 1);
    atomic_fetch_add(&s->waiting, 1);
    front_count(t, FRONT_QUEUED);
    front_timer_set(t, &c->c.timer, c->service->times.queue);
    return true;
}

void front_queue_leave(struct thread *t, struct client *c)
{
    if (!c->queued)
        return;
    struct front_service_state *s = c->service->state;
    struct front_waiting *w = mine(t, s);
    struct client *before = NULL;
    for (struct client *x = w->first; x != c; x = x->next)
        before = x;
    if (before)
        before->next = c->next;
    else
        w->first = c->next;
    if (w->last == c)
        w->last = before;
    c->next = NULL;
    c->queued = false;
    atomic_fetch_sub(&w->count, 1);
    atomic_fetch_sub(&s->waiting, 1);
}

/* The first in the queue tries; request_dispatch puts it back if the place was not for it. */
static bool queue_pop(struct thread *t, struct front_service_state *s)
{
    struct client *c = mine(t, s)->first;
    if (!c)
        return false;
    front_queue_leave(t, c);
    front_client_ready(t, c);
    return true;
}

void front_queue_kick(struct thread *t, struct front_service_state *s)
{
    if (PM_LIKELY(atomic_load(&s->waiting) == 0) || queue_pop(t, s))
        return;
    for (unsigned i = 0; i < s->threads; i++)
        if (atomic_load(&s->per_thread[i].count)) {
            front_thread_wake(t->f->threads[i]);
            return;
        }
}

void front_queue_wake(struct thread *t)
{
    for (uint32_t i = 0; t->table && i < t->table->service_count; i++)
        (void)queue_pop(t, t->table->services[i].state);
}
