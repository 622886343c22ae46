/* SPDX-License-Identifier: Apache-2.0 */
#include "model/world.h"

#include <stdlib.h>
#include <urcu-qsbr.h>
#include "base/arena.h"

void world_init(struct world *w)
{
    *w = (struct world){NULL, NULL, 0, 0};
}

static void empty_bin(struct world *w)
{
    for (size_t i = 0; i < w->waste_count; i++)
        w->waste[i].destroy(w->waste[i].object);
    w->waste_count = 0;
}

void world_fini(struct world *w)
{
    empty_bin(w);
    free(w->waste);
    w->waste = NULL;
    w->waste_cap = 0;
}

void world_waste(struct world *w, void *object, void (*destroy)(void *object))
{
    if (!object)
        return;
    if (w->waste_count == w->waste_cap) {
        w->waste_cap = w->waste_cap ? w->waste_cap * 2 : 64;
        w->waste = mem_realloc(w->waste, w->waste_cap * sizeof *w->waste);
    }
    w->waste[w->waste_count++] = (struct world_waste){object, destroy};
}

struct snapshot *world_publish(struct world *w, struct snapshot *s)
{
    return rcu_xchg_pointer(&w->current, s);
}

void world_publish_service(struct world *w, uint32_t service, struct snap_service *fresh)
{
    world_waste(w, rcu_xchg_pointer(&w->current->services[service], fresh), free);
}

void world_reap(struct world *w)
{
    if (!w->waste_count)
        return;
    synchronize_rcu();
    empty_bin(w);
}

const struct snapshot *world_current(const struct world *w)
{
    return rcu_dereference(w->current);
}

const struct snap_service *snapshot_service(const struct snapshot *s, uint32_t service)
{
    return rcu_dereference(s->services[service]);
}
