/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/timers.h"

#include <stdlib.h>
#include "base/arena.h"

void timers_fini(struct timer_queue *q)
{
    free(q->heap);
    *q = (struct timer_queue){0};
}

static void place(struct timer_queue *q, uint32_t i, struct timer_slot s)
{
    q->heap[i] = s;
    s.entry->place = i + 1;
}

static void sift_up(struct timer_queue *q, uint32_t i, struct timer_slot s)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / 4;
        if (q->heap[parent].when_ms <= s.when_ms)
            break;
        place(q, i, q->heap[parent]);
        i = parent;
    }
    place(q, i, s);
}

static void sift_down(struct timer_queue *q, uint32_t i, struct timer_slot s)
{
    for (;;) {
        uint32_t first = 4 * i + 1, least = first;
        if (first >= q->count)
            break;
        uint32_t end = first + 4 < q->count ? first + 4 : q->count;
        for (uint32_t k = first + 1; k < end; k++)
            if (q->heap[k].when_ms < q->heap[least].when_ms)
                least = k;
        if (q->heap[least].when_ms >= s.when_ms)
            break;
        place(q, i, q->heap[least]);
        i = least;
    }
    place(q, i, s);
}

void timers_set(struct timer_queue *q, struct timer_entry *e, uint64_t when_ms)
{
    struct timer_slot s = {when_ms, e};
    if (e->place) {
        uint32_t i = e->place - 1;
        if (when_ms < q->heap[i].when_ms)
            sift_up(q, i, s);
        else
            sift_down(q, i, s);
        return;
    }
    if (q->count == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 64;
        q->heap = mem_realloc(q->heap, q->cap * sizeof *q->heap);
    }
    sift_up(q, q->count++, s);
}

void timers_del(struct timer_queue *q, struct timer_entry *e)
{
    if (!e->place)
        return;
    uint32_t i = e->place - 1;
    e->place = 0;
    struct timer_slot last = q->heap[--q->count];
    if (i == q->count)
        return;
    if (i > 0 && last.when_ms < q->heap[(i - 1) / 4].when_ms)
        sift_up(q, i, last);
    else
        sift_down(q, i, last);
}

struct timer_entry *timers_pop(struct timer_queue *q, uint64_t now_ms)
{
    if (timers_next(q) > now_ms)
        return NULL;
    struct timer_entry *e = q->heap[0].entry;
    timers_del(q, e);
    return e;
}
