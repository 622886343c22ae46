/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/sets.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/map.h"

enum { INLINE_NODES = 4 }; /* sets are small: no list of its own for most */

struct set {
    union {
        uint16_t few[INLINE_NODES];
        uint16_t *many;
    } nodes;
    uint32_t hash, refs;
    uint16_t count;
    bool used, reported;
    uint32_t next_free;
};

struct sets {
    uint64_t seed;
    struct set *sets;
    uint32_t limit, cap, used, free_head;
    uint32_t *index; /* open addressing: set + 1, 0 is free */
    uint32_t index_size;
    uint32_t fresh, gone; /* sets not reported; reported sets without a holder */
    size_t list_bytes;
};

struct sets *sets_new(uint64_t seed)
{
    struct sets *s = mem_alloc(sizeof *s);
    s->seed = seed;
    s->free_head = SETS_NONE;
    s->index_size = 64;
    s->index = mem_alloc(s->index_size * sizeof *s->index);
    return s;
}

void sets_free(struct sets *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->limit; i++)
        if (s->sets[i].used && s->sets[i].count > INLINE_NODES)
            free(s->sets[i].nodes.many);
    free(s->sets);
    free(s->index);
    free(s);
}

static const uint16_t *nodes_of(const struct set *x)
{
    return x->count > INLINE_NODES ? x->nodes.many : x->nodes.few;
}

/* The place of the set in the index, or the free place where it would stand. */
static uint32_t index_find(const struct sets *s, const uint16_t *nodes, size_t count, uint32_t hash)
{
    for (uint32_t i = hash & (s->index_size - 1);; i = (i + 1) & (s->index_size - 1)) {
        if (!s->index[i])
            return i;
        const struct set *x = &s->sets[s->index[i] - 1];
        if (x->hash == hash && x->count == count && memcmp(nodes_of(x), nodes, count * sizeof *nodes) == 0)
            return i;
    }
}

static void index_grow(struct sets *s)
{
    uint32_t mask = s->index_size * 2 - 1, *bigger = mem_alloc((mask + 1) * sizeof *bigger);
    for (uint32_t id = 0; id < s->limit; id++) {
        if (!s->sets[id].used)
            continue;
        uint32_t i = s->sets[id].hash & mask;
        while (bigger[i])
            i = (i + 1) & mask;
        bigger[i] = id + 1;
    }
    free(s->index);
    s->index = bigger;
    s->index_size = mask + 1;
}

/* Closes the gap: later ones of the run move back where they may (Knuth 6.4, algorithm R). */
static void index_remove(struct sets *s, uint32_t gap)
{
    uint32_t mask = s->index_size - 1;
    s->index[gap] = 0;
    for (uint32_t i = (gap + 1) & mask; s->index[i]; i = (i + 1) & mask) {
        uint32_t home = s->sets[s->index[i] - 1].hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            s->index[gap] = s->index[i];
            s->index[i] = 0;
            gap = i;
        }
    }
}

static uint32_t slot_take(struct sets *s)
{
    uint32_t id = s->free_head;
    if (id != SETS_NONE) {
        s->free_head = s->sets[id].next_free;
        return id;
    }
    if (s->limit == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 32;
        s->sets = mem_realloc(s->sets, s->cap * sizeof *s->sets);
    }
    return s->limit++;
}

uint32_t sets_take(struct sets *s, const uint16_t *nodes, size_t count)
{
    uint16_t nothing = 0;
    nodes = count ? nodes : &nothing;
    uint32_t hash = (uint32_t)hash_bytes(nodes, count * sizeof *nodes, s->seed);
    uint32_t at = index_find(s, nodes, count, hash);
    if (s->index[at]) {
        sets_hold(s, s->index[at] - 1);
        return s->index[at] - 1;
    }
    if ((s->used + 1) * 4 > s->index_size * 3) {
        index_grow(s);
        at = index_find(s, nodes, count, hash);
    }
    uint32_t id = slot_take(s);
    struct set *x = &s->sets[id];
    *x = (struct set){.hash = hash, .refs = 1, .count = (uint16_t)count, .used = true};
    if (count > INLINE_NODES) {
        x->nodes.many = mem_alloc(count * sizeof *nodes);
        s->list_bytes += count * sizeof *nodes;
    }
    memcpy(count > INLINE_NODES ? x->nodes.many : x->nodes.few, nodes, count * sizeof *nodes);
    s->index[at] = id + 1;
    s->used++;
    s->fresh++;
    return id;
}

void sets_hold(struct sets *s, uint32_t set)
{
    struct set *x = &s->sets[set];
    if (x->refs++ == 0)
        s->gone--; /* came back before anybody was told */
}

static void set_end(struct sets *s, uint32_t set)
{
    struct set *x = &s->sets[set];
    index_remove(s, index_find(s, nodes_of(x), x->count, x->hash));
    if (x->count > INLINE_NODES) {
        free(x->nodes.many);
        s->list_bytes -= x->count * sizeof *x->nodes.many;
    }
    *x = (struct set){.next_free = s->free_head};
    s->free_head = set;
    s->used--;
}

void sets_drop(struct sets *s, uint32_t set)
{
    struct set *x = &s->sets[set];
    if (--x->refs)
        return;
    if (x->reported) {
        s->gone++;
        return;
    }
    s->fresh--;
    set_end(s, set);
}

const uint16_t *sets_nodes(const struct sets *s, uint32_t set, size_t *count)
{
    if (set >= s->limit || !s->sets[set].refs) {
        *count = 0;
        return NULL;
    }
    *count = s->sets[set].count;
    return nodes_of(&s->sets[set]);
}

bool sets_has(const struct sets *s, uint32_t set, uint16_t node)
{
    size_t low = 0, high;
    const uint16_t *nodes = sets_nodes(s, set, &high);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (nodes[mid] == node)
            return true;
        if (nodes[mid] < node)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

uint32_t sets_refs(const struct sets *s, uint32_t set)
{
    return set < s->limit ? s->sets[set].refs : 0;
}

uint32_t sets_limit(const struct sets *s)
{
    return s->limit;
}

uint32_t sets_count(const struct sets *s)
{
    return s->used - s->gone;
}

size_t sets_bytes(const struct sets *s)
{
    return sizeof *s + s->cap * sizeof *s->sets + s->index_size * sizeof *s->index + s->list_bytes;
}

int sets_report_new(struct sets *s, sets_new_fn *fn, void *ctx)
{
    for (uint32_t i = 0; i < s->limit && s->fresh; i++) {
        struct set *x = &s->sets[i];
        if (!x->used || x->reported)
            continue;
        int r = fn(ctx, i, nodes_of(x), x->count);
        if (r)
            return r;
        x->reported = true;
        s->fresh--;
    }
    return 0;
}

int sets_report_gone(struct sets *s, sets_gone_fn *fn, void *ctx)
{
    for (uint32_t i = 0; i < s->limit && s->gone; i++) {
        if (!s->sets[i].used || s->sets[i].refs)
            continue;
        int r = fn(ctx, i);
        if (r)
            return r;
        s->gone--;
        set_end(s, i);
    }
    return 0;
}
