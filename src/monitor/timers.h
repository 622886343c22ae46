/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of moments: 4-ary heap whose entries know their place, so that any of them can be moved
 * or taken out in O(log n) without a search. Two array levels of four neighbours share a cache
 * line, which is what makes it cheaper than a binary heap at 100,000 entries; unlike a hashed wheel
 * it knows the next moment exactly.
 *
 * Memory: the heap array is the queue's; entries are embedded in the caller's objects and must be
 * taken out before those die. Thread: one. Never fails.
 */
#ifndef PM_MONITOR_TIMERS_H
#define PM_MONITOR_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

struct timer_entry {
    uint32_t place; /* index + 1; 0 = not queued */
};

struct timer_slot {
    uint64_t when_ms;
    struct timer_entry *entry;
};

struct timer_queue {
    struct timer_slot *heap;
    uint32_t count, cap;
};

void timers_fini(struct timer_queue *q);
/* Puts the entry at that moment, wherever it was before. */
void timers_set(struct timer_queue *q, struct timer_entry *e, uint64_t when_ms);
void timers_del(struct timer_queue *q, struct timer_entry *e); /* not queued: nothing happens */
/* Takes out and returns the first entry due at now, or NULL. */
struct timer_entry *timers_pop(struct timer_queue *q, uint64_t now_ms);
/* UINT64_MAX when empty. */
static inline uint64_t timers_next(const struct timer_queue *q)
{
    return q->count ? q->heap[0].when_ms : UINT64_MAX;
}

#endif
