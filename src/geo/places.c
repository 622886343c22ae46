/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "geo/source.h"

static const char empty[] = ""; /* interned too: texts compare by pointer */

void geo_places_init(struct geo_places *p)
{
    memset(p, 0, sizeof *p);
    p->arena = arena_new();
    map_init(&p->texts);
    p->cap = 64;
    p->items = mem_alloc(p->cap * sizeof *p->items);
    p->items[0].region = p->items[0].city = empty;
    p->count = 1;
    p->slot_count = 128;
    p->slots = mem_alloc(p->slot_count * sizeof *p->slots);
}

void geo_places_fini(struct geo_places *p)
{
    arena_free(p->arena);
    map_fini(&p->texts);
    free(p->items);
    free(p->slots);
}

static const char *intern(struct geo_places *p, const char *text)
{
    if (!text || !*text)
        return empty;
    size_t len = strlen(text);
    char *s = map_get(&p->texts, text, len);
    if (!s) {
        s = arena_strdup(p->arena, text);
        map_put(&p->texts, s, len, s);
    }
    return s;
}

/* The texts are interned: equal ones are the same pointer. */
static uint64_t place_hash(const struct geo_place *g)
{
    struct {
        char codes[8];
        float lat, lon;
        const char *region, *city;
        uint64_t asn;
    } key = {.lat = g->lat, .lon = g->lon, .region = g->region, .city = g->city, .asn = g->asn | (uint64_t)g->tag << 32};
    memcpy(key.codes, g->country, 3);
    memcpy(key.codes + 3, g->continent, 3);
    key.codes[6] = (char)g->has_location;
    key.codes[7] = (char)g->location_approximate;
    return hash_bytes(&key, sizeof key, 0);
}

static bool place_equal(const struct geo_place *a, const struct geo_place *b)
{
    return memcmp(a->country, b->country, 3) == 0 && memcmp(a->continent, b->continent, 3) == 0 &&
           a->has_location == b->has_location &&
           a->location_approximate == b->location_approximate &&
           memcmp(&a->lat, &b->lat, sizeof a->lat) == 0 &&
           memcmp(&a->lon, &b->lon, sizeof a->lon) == 0 && a->asn == b->asn && a->tag == b->tag &&
           a->region == b->region && a->city == b->city;
}

static uint32_t *slot_for(const struct geo_places *p, const struct geo_place *g)
{
    uint32_t mask = p->slot_count - 1, at = (uint32_t)place_hash(g) & mask;
    while (p->slots[at] && !place_equal(&p->items[p->slots[at]], g))
        at = (at + 1) & mask;
    return &p->slots[at];
}

static void grow(struct geo_places *p)
{
    if (p->count == p->cap) {
        p->cap *= 2;
        p->items = mem_realloc(p->items, p->cap * sizeof *p->items);
    }
    if (p->count * 2 < p->slot_count)
        return;
    free(p->slots);
    p->slot_count *= 2;
    p->slots = mem_alloc(p->slot_count * sizeof *p->slots);
    for (uint32_t i = 1; i < p->count; i++)
        *slot_for(p, &p->items[i]) = i;
}

/* A code field as two letters and zeros, whatever the caller left behind them. */
static void copy_code(char out[3], const char in[3])
{
    memset(out, 0, 3);
    if (in[0] && in[1])
        memcpy(out, in, 2);
}

uint32_t geo_places_put(struct geo_places *p, const struct geo_place *place)
{
    struct geo_place g = {.asn = place->asn, .tag = place->tag, .has_location = place->has_location};
    copy_code(g.country, place->country);
    copy_code(g.continent, place->continent);
    if (g.has_location) {
        g.location_approximate = place->location_approximate;
        g.lat = place->lat + 0.0f; /* -0 becomes 0: equal places have equal bytes */
        g.lon = place->lon + 0.0f;
    }
    g.region = intern(p, place->region);
    g.city = intern(p, place->city);
    if (!g.country[0] && !g.continent[0] && !g.has_location && !g.asn && !g.tag && !*g.region && !*g.city)
        return GEO_PLACE_NONE;
    grow(p);
    uint32_t *slot = slot_for(p, &g);
    if (!*slot) {
        *slot = p->count;
        p->items[p->count++] = g;
    }
    return *slot;
}

static uint64_t memo_mix(uint64_t x)
{
    x = (x ^ (x >> 32)) * 0x9e3779b97f4a7c15u;
    return x ^ (x >> 29);
}

static size_t memo_slot(const struct geo_memo *m, uint64_t key)
{
    size_t at = memo_mix(key) & (m->slots - 1);
    while (m->values[at] != GEO_MEMO_MISSING && m->keys[at] != key)
        at = (at + 1) & (m->slots - 1);
    return at;
}

uint32_t geo_memo_get(const struct geo_memo *m, uint64_t key)
{
    return m->slots ? m->values[memo_slot(m, key)] : GEO_MEMO_MISSING;
}

void geo_memo_put(struct geo_memo *m, uint64_t key, uint32_t value)
{
    if (m->count * 2 >= m->slots) {
        struct geo_memo old = *m;
        m->slots = old.slots ? old.slots * 2 : 256;
        m->keys = mem_alloc(m->slots * sizeof *m->keys);
        m->values = mem_alloc(m->slots * sizeof *m->values);
        memset(m->values, 0xff, m->slots * sizeof *m->values);
        for (size_t i = 0; i < old.slots; i++) {
            if (old.values[i] == GEO_MEMO_MISSING)
                continue;
            size_t at = memo_slot(m, old.keys[i]);
            m->keys[at] = old.keys[i];
            m->values[at] = old.values[i];
        }
        free(old.keys);
        free(old.values);
    }
    size_t at = memo_slot(m, key);
    m->keys[at] = key;
    m->values[at] = value;
    m->count++;
}

void geo_memo_fini(struct geo_memo *m)
{
    free(m->keys);
    free(m->values);
}
