/* SPDX-License-Identifier: Apache-2.0 */
#include "model/history.h"

#include <stdlib.h>
#include "base/arena.h"

struct history {
    size_t capacity, count, next;
    uint64_t since_ms;
    struct history_change ring[];
};

struct history *history_new(size_t capacity, uint64_t now_wall_ms)
{
    struct history *h = mem_alloc(sizeof *h + capacity * sizeof h->ring[0]);
    h->capacity = capacity;
    h->since_ms = now_wall_ms;
    return h;
}

void history_free(struct history *h)
{
    free(h);
}

void history_add(struct history *h, const struct history_change *c)
{
    if (h->count == h->capacity)
        h->since_ms = h->ring[h->next].wall_ms;
    else
        h->count++;
    h->ring[h->next] = *c;
    h->next = (h->next + 1) % h->capacity;
}

void history_carry(struct history *h, const struct history *old, const uint32_t *to_new)
{
    h->since_ms = old->since_ms;
    for (size_t i = old->count; i > 0; i--) {
        struct history_change c = old->ring[(old->next + old->capacity - i) % old->capacity];
        c.vip = to_new[c.vip];
        if (c.vip != UINT32_MAX)
            history_add(h, &c);
    }
}

uint64_t history_since(const struct history *h)
{
    return h->since_ms;
}

const struct history_change *history_back(const struct history *h, size_t *at)
{
    if (*at >= h->count)
        return NULL;
    (*at)++;
    return &h->ring[(h->next + h->capacity - *at) % h->capacity];
}

void history_rewind(const struct history *h, uint64_t wall_ms, struct snap_cand *c)
{
    const struct history_change *change;
    for (size_t at = 0; (change = history_back(h, &at)) && change->wall_ms > wall_ms;) {
        if (change->vip != c->vip)
            continue;
        switch (change->field) {
        case HISTORY_HEALTH:
            c->health = (uint8_t)change->before;
            break;
        case HISTORY_OVERRIDE:
            c->override = (uint8_t)change->before;
            break;
        case HISTORY_FLAPPING:
            c->flapping = change->before > 0;
            break;
        default:
            c->metric[change->field] = change->before;
            break;
        }
    }
}
