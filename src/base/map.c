/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include <xxhash.h>
#pragma GCC diagnostic pop
#include "base/arena.h"

uint64_t hash_seed(void)
{
    static uint64_t seed;
    uint64_t s = __atomic_load_n(&seed, __ATOMIC_RELAXED);
    if (!s) {
        uint64_t fresh = 0, none = 0;
        if (getrandom(&fresh, sizeof fresh, 0) != sizeof fresh)
            fresh = (uint64_t)(uintptr_t)&seed;
        fresh |= 1;
        __atomic_compare_exchange_n(&seed, &none, fresh, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        s = __atomic_load_n(&seed, __ATOMIC_RELAXED);
    }
    return s;
}

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

void map_init(struct map *m)
{
    *m = (struct map)MAP_INIT;
}

void map_fini(struct map *m)
{
    free(m->slots);
    map_init(m);
}

/* The slot that holds the key, or the free slot where it would go. */
static struct map_slot *map_find(const struct map *m, const void *key, size_t len, uint32_t hash)
{
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_slot *s = &m->slots[i];
        if (!s->key || (s->hash == hash && s->len == len && memcmp(s->key, key, len) == 0))
            return s;
    }
}

void *map_get(const struct map *m, const void *key, size_t len)
{
    if (!m->count)
        return NULL;
    return map_find(m, key, len, (uint32_t)hash_bytes(key, len, hash_seed()))->value;
}

static void map_grow(struct map *m)
{
    struct map bigger = {.cap = m->cap ? m->cap * 2 : 16, .count = m->count};
    bigger.slots = mem_alloc(bigger.cap * sizeof *bigger.slots);
    for (size_t i = 0; i < m->cap; i++) {
        struct map_slot *s = &m->slots[i];
        if (s->key)
            *map_find(&bigger, s->key, s->len, s->hash) = *s;
    }
    free(m->slots);
    *m = bigger;
}

void *map_put(struct map *m, const void *key, size_t len, void *value)
{
    if ((m->count + 1) * 4 > m->cap * 3)
        map_grow(m);
    uint32_t hash = (uint32_t)hash_bytes(key, len, hash_seed());
    struct map_slot *s = map_find(m, key, len, hash);
    void *before = s->value;
    if (!s->key) {
        *s = (struct map_slot){key, (uint32_t)len, hash, value};
        m->count++;
    }
    s->value = value;
    return before;
}

void *map_del(struct map *m, const void *key, size_t len)
{
    if (!m->count)
        return NULL;
    struct map_slot *s = map_find(m, key, len, (uint32_t)hash_bytes(key, len, hash_seed()));
    if (!s->key)
        return NULL;
    void *before = s->value;
    m->count--;
    /* Close the gap: move back every later entry of the run that may stand here (Knuth 6.4, algorithm R). */
    size_t gap = (size_t)(s - m->slots), mask = m->cap - 1;
    m->slots[gap] = (struct map_slot){0};
    for (size_t i = (gap + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            m->slots[gap] = m->slots[i];
            m->slots[i] = (struct map_slot){0};
            gap = i;
        }
    }
    return before;
}

bool map_next(const struct map *m, size_t *at, struct map_slot *out)
{
    for (; *at < m->cap; (*at)++) {
        if (m->slots[*at].key) {
            *out = m->slots[(*at)++];
            return true;
        }
    }
    return false;
}

void *map_get_str(const struct map *m, const char *key)
{
    return map_get(m, key, strlen(key));
}

void *map_put_str(struct map *m, const char *key, void *value)
{
    return map_put(m, key, strlen(key), value);
}

void *map_del_str(struct map *m, const char *key)
{
    return map_del(m, key, strlen(key));
}
