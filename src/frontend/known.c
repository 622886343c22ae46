/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/known.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>

#include "base/arena.h"
#include "base/map.h"
#include "frontend/table.h"

enum { PLACES_MIN = 1024, FREE = 0, DEAD = 1 };

/* The key is written last, so whoever sees it sees its servers. */
struct place {
    _Atomic uint64_t key, servers;
};

struct places {
    size_t mask; /* one less than their number */
    struct place at[];
};

struct front_known {
    uint64_t seed;
    struct places *places; /* RCU pointer */
    size_t count, taken;   /* taken: dead ones too */
};

static struct places *places_new(size_t n)
{
    struct places *p = mem_alloc(sizeof *p + n * sizeof p->at[0]);
    p->mask = n - 1;
    return p;
}

struct front_known *front_known_new(void)
{
    struct front_known *k = mem_alloc(sizeof *k);
    k->seed = hash_seed();
    k->places = places_new(PLACES_MIN);
    return k;
}

void front_known_free(struct front_known *k)
{
    if (!k)
        return;
    free(k->places);
    free(k);
}

static uint64_t key_of(const struct front_known *k, uint64_t scope, uint8_t kind, const char *text, size_t len)
{
    uint64_t h = hash_bytes(text, len, k->seed ^ (scope * 0x9e3779b97f4a7c15u + kind));
    return h > DEAD ? h : h + 2;
}

static uint64_t load(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_acquire);
}

/* The key's place, or the free one at which the search ends. */
static size_t seek(const struct places *p, uint64_t key)
{
    size_t at = key & p->mask;
    for (uint64_t k; (k = load(&p->at[at].key)) != key && k != FREE;)
        at = (at + 1) & p->mask;
    return at;
}

/* ---- the writer ---- */

static void put(struct places *p, size_t at, uint64_t key, uint64_t servers)
{
    atomic_store_explicit(&p->at[at].servers, servers, memory_order_release);
    atomic_store_explicit(&p->at[at].key, key, memory_order_release);
}

/* Without the dead ones, and twice as large if need be. */
static void renew(struct front_known *k)
{
    struct places *old = k->places;
    size_t n = old->mask + 1;
    struct places *fresh = places_new(k->count * 2 >= n ? n * 2 : n);
    for (size_t i = 0; i < n; i++) {
        uint64_t key = load(&old->at[i].key);
        if (key > DEAD)
            put(fresh, seek(fresh, key), key, load(&old->at[i].servers));
    }
    k->taken = k->count;
    rcu_assign_pointer(k->places, fresh);
    synchronize_rcu();
    free(old);
}

void front_known_set(struct front_known *k, uint64_t scope, uint8_t kind, const char *text, size_t len,
                     uint64_t servers)
{
    uint64_t key = key_of(k, scope, kind, text, len);
    size_t at = seek(k->places, key);
    if (load(&k->places->at[at].key) == key) {
        atomic_store_explicit(&k->places->at[at].servers, servers, memory_order_release);
        return;
    }
    if ((k->taken + 1) * 4 > (k->places->mask + 1) * 3) {
        renew(k);
        at = seek(k->places, key);
    }
    put(k->places, at, key, servers);
    k->count++;
    k->taken++;
}

/* A dead place is not used again before the next renewal: a reader in between would see another text's servers. */
void front_known_remove(struct front_known *k, uint64_t scope, uint8_t kind, const char *text, size_t len)
{
    uint64_t key = key_of(k, scope, kind, text, len);
    size_t at = seek(k->places, key);
    if (load(&k->places->at[at].key) != key)
        return;
    atomic_store_explicit(&k->places->at[at].key, DEAD, memory_order_release);
    k->count--;
}

size_t front_known_count(const struct front_known *k)
{
    return k->count;
}

size_t front_known_bytes(const struct front_known *k)
{
    return sizeof *k + sizeof *k->places + (k->places->mask + 1) * sizeof k->places->at[0];
}

/* ---- readers ---- */

bool front_known_look(const struct front_known *k, uint64_t scope, uint8_t kind, const char *text, size_t len,
                      uint64_t *servers)
{
    const struct places *p = rcu_dereference(k->places);
    uint64_t key = key_of(k, scope, kind, text, len);
    size_t at = seek(p, key);
    if (load(&p->at[at].key) != key)
        return false;
    *servers = load(&p->at[at].servers);
    return true;
}

bool front_known_find(const struct front_known *k, uint64_t scope, const char *path, size_t len, uint64_t *servers)
{
    if (front_known_look(k, scope, FRONT_HOLDS_PATH, path, len, servers))
        return true;
    size_t segment = 0, dot = len;
    for (size_t n = len; n; n--) {
        if (path[n - 1] != '/')
            continue;
        segment = segment ? segment : n;
        if (front_known_look(k, scope, FRONT_HOLDS_PREFIX, path, n, servers))
            return true;
    }
    for (size_t i = len; i > segment && dot == len; i--)
        if (path[i - 1] == '.')
            dot = i - 1;
    return dot < len && front_known_look(k, scope, FRONT_HOLDS_SUFFIX, path + dot, len - dot, servers);
}
