/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one pointer the answering threads start from, and the waste bin behind it.
 *
 * Publishing swaps a pointer and puts the old object into the bin; world_reap waits for one grace period and empties
 * it. Publish many, reap once: the wait is the same for one object and for ten thousand.
 *
 * Writer: the control thread alone. Readers: threads registered with liburcu-qsbr.
 */
#ifndef PM_MODEL_WORLD_H
#define PM_MODEL_WORLD_H

#include "model/snapshot.h"

struct world_waste {
    void *object;
    void (*destroy)(void *object);
};

struct world {
    struct snapshot *current; /* RCU pointer; NULL before the first publication */
    struct world_waste *waste;
    size_t waste_count, waste_cap;
};

void world_init(struct world *w);
/* No reader may be left. Destroys the waste, not the current snapshot. */
void world_fini(struct world *w);
/* Swaps in a whole generation and returns the old one, which readers may still use: give it to world_waste. */
struct snapshot *world_publish(struct world *w, struct snapshot *s) PM_MUST_CHECK;
/* Swaps in one service of the current generation; the old one goes to the waste (freed with free). */
void world_publish_service(struct world *w, uint32_t service, struct snap_service *fresh);
void world_waste(struct world *w, void *object, void (*destroy)(void *object));
/* Waits for all readers to have moved on and destroys the waste. Does nothing when there is none. */
void world_reap(struct world *w);

/* Readers. */
const struct snapshot *world_current(const struct world *w);
const struct snap_service *snapshot_service(const struct snapshot *s, uint32_t service);

#endif
