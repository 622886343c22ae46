/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/build.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/map.h"
#include "geo/source.h"

/* Deduplicated places; number 0 says nothing. Strings are interned, so equal places are equal bytes. */
struct places {
    struct arena *arena;
    struct map strings, by_bytes;
    struct geo_place **items;
    uint32_t count, cap;
};

struct geo_db {
    struct places places;
    struct ranges *ranges;
};

struct geo_builder {
    geo_report_fn *report;
    void *ctx;
    struct places partial; /* as sources say them */
    struct ranges **sources;
    size_t source_count;
    struct geo_source overrides;
};

/* ---- places ---- */

static const char *intern(struct places *t, const char *s)
{
    if (!s || !*s)
        return "";
    const char *known = map_get_str(&t->strings, s);
    if (!known) {
        char *copy = arena_strdup(t->arena, s);
        map_put_str(&t->strings, copy, copy);
        known = copy;
    }
    return known;
}

static uint32_t place_number(struct places *t, const struct geo_place *p)
{
    struct geo_place clean;
    memset(&clean, 0, sizeof clean); /* padding too: places are compared as bytes */
    memcpy(clean.country, p->country, sizeof clean.country);
    memcpy(clean.continent, p->continent, sizeof clean.continent);
    clean.has_location = p->has_location;
    clean.approximate = p->approximate;
    clean.lat = p->has_location ? p->lat : 0;
    clean.lon = p->has_location ? p->lon : 0;
    clean.asn = p->asn;
    clean.tag = p->tag;
    clean.region = intern(t, p->region);
    clean.city = intern(t, p->city);
    uintptr_t known = (uintptr_t)map_get(&t->by_bytes, &clean, sizeof clean);
    if (known)
        return (uint32_t)known - 1;
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 256;
        t->items = mem_realloc(t->items, t->cap * sizeof(struct geo_place *));
    }
    struct geo_place *own = ARENA_NEW(t->arena, struct geo_place);
    memcpy(own, &clean, sizeof clean);
    t->items[t->count] = own;
    map_put(&t->by_bytes, own, sizeof *own, (void *)((uintptr_t)t->count + 1));
    return t->count++;
}

static void places_init(struct places *t)
{
    static const struct geo_place nothing = {.region = "", .city = ""};
    *t = (struct places){.arena = arena_new(), .strings = MAP_INIT, .by_bytes = MAP_INIT};
    place_number(t, &nothing);
}

static void places_fini(struct places *t)
{
    map_fini(&t->strings);
    map_fini(&t->by_bytes);
    free(t->items);
    arena_free(t->arena);
}

/* ---- sources ---- */

struct geo_builder *geo_builder_new(geo_report_fn *report, void *ctx)
{
    struct geo_builder *b = mem_alloc(sizeof *b);
    b->report = report;
    b->ctx = ctx;
    places_init(&b->partial);
    b->overrides = geo_source_begin(b, "overrides");
    return b;
}

void geo_builder_free(struct geo_builder *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->source_count; i++)
        ranges_free(b->sources[i]);
    free(b->sources);
    ranges_builder_free(b->overrides.ranges);
    places_fini(&b->partial);
    free(b);
}

struct geo_source geo_source_begin(struct geo_builder *b, const char *name)
{
    return (struct geo_source){b, name, ranges_builder_new(GEO_PLACE_NONE), 0};
}

static void source_keep(struct geo_source *s)
{
    struct geo_builder *b = s->builder;
    b->sources = mem_realloc(b->sources, (b->source_count + 1) * sizeof(struct ranges *));
    b->sources[b->source_count++] = ranges_freeze(s->ranges);
    s->ranges = NULL;
}

int geo_source_end(struct geo_source *s)
{
    if (!s->errors) {
        source_keep(s);
        return PM_OK;
    }
    ranges_builder_free(s->ranges);
    s->ranges = NULL;
    if (s->errors > GEO_ERRORS_MAX && s->builder->report) {
        char more[64];
        snprintf(more, sizeof more, "%u more bad lines", s->errors - GEO_ERRORS_MAX);
        s->builder->report(s->builder->ctx, s->name, 0, more);
    }
    return PM_EPARSE;
}

void geo_source_error(struct geo_source *s, unsigned line, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    if (++s->errors > GEO_ERRORS_MAX || !s->builder->report)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    s->builder->report(s->builder->ctx, s->name, line, text);
}

uint32_t geo_source_place(struct geo_source *s, const struct geo_place *p)
{
    return place_number(&s->builder->partial, p);
}

void geo_source_add(struct geo_source *s, const struct prefix *p, uint32_t place)
{
    ranges_builder_add(s->ranges, p, place);
}

typedef unsigned __int128 u128;

static u128 addr_to_int(const struct addr *a)
{
    u128 v = 0;
    for (unsigned i = 0; i < addr_len(a); i++)
        v = v << 8 | a->bytes[i];
    return v;
}

bool geo_source_add_range(struct geo_source *s, const struct addr *first, const struct addr *last, uint32_t place)
{
    u128 at = addr_to_int(first), end = addr_to_int(last);
    unsigned bits = addr_bits(first);
    if (first->family != last->family || end < at)
        return false;
    for (;;) {
        /* The largest block that begins here and does not reach beyond the end. */
        unsigned host = 0;
        while (host < bits && (at >> host & 1) == 0 && (at | (((u128)1 << host << 1) - 1)) <= end &&
               (host + 1 < 128 || end == ~(u128)0))
            host++;
        struct prefix p = {.len = (uint8_t)(bits - host)};
        p.addr.family = first->family;
        for (unsigned i = 0; i < bits / 8; i++)
            p.addr.bytes[i] = (uint8_t)(at >> (bits - 8 - 8 * i));
        geo_source_add(s, &p, place);
        u128 covered = host < 128 ? ((u128)1 << host) - 1 : ~(u128)0;
        if (end - at <= covered)
            return true;
        at += covered + 1;
    }
}

void geo_builder_override(struct geo_builder *b, const struct prefix *p, const struct geo_place *place)
{
    geo_source_add(&b->overrides, p, geo_source_place(&b->overrides, place));
}

/* ---- freezing ---- */

struct merging {
    const struct places *from;
    struct places *into;
    struct map known; /* (number so far, number of the next source) -> merged + 1 */
    struct arena *keys;
};

static void merge_fields(struct geo_place *p, const struct geo_place *by)
{
    if (*by->country) {
        /* A country brings its own continent and location, unless this source says them. */
        if (strcmp(p->country, by->country) != 0) {
            p->continent[0] = p->continent[1] = 0;
            p->has_location = false;
            p->city = p->region = "";
        }
        memcpy(p->country, by->country, sizeof p->country);
    }
    if (*by->continent)
        memcpy(p->continent, by->continent, sizeof p->continent);
    if (by->has_location) {
        p->has_location = true;
        p->lat = by->lat;
        p->lon = by->lon;
    }
    if (by->asn)
        p->asn = by->asn;
    if (by->tag)
        p->tag = by->tag;
    if (*by->region)
        p->region = by->region;
    if (*by->city)
        p->city = by->city;
}

static uint32_t merge_numbers(void *ctx, uint32_t so_far, uint32_t next)
{
    struct merging *m = ctx;
    uint32_t key[2] = {so_far, next};
    uintptr_t known = (uintptr_t)map_get(&m->known, key, sizeof key);
    if (known)
        return (uint32_t)known - 1;
    struct geo_place p = *m->into->items[so_far];
    merge_fields(&p, m->from->items[next]);
    uint32_t n = place_number(m->into, &p);
    map_put(&m->known, memcpy(arena_bytes(m->keys, sizeof key), key, sizeof key), sizeof key, (void *)((uintptr_t)n + 1));
    return n;
}

static void fill_in(struct geo_place *p)
{
    if (!*p->continent && *p->country)
        snprintf(p->continent, sizeof p->continent, "%s", geo_country_continent(p->country));
    if (!p->has_location && *p->country && geo_country_centre(p->country, &p->lat, &p->lon))
        p->has_location = p->approximate = true;
}

struct geo_db *geo_builder_freeze(struct geo_builder *b)
{
    struct places merged;
    struct ranges *all = ranges_freeze(ranges_builder_new(GEO_PLACE_NONE));
    source_keep(&b->overrides);
    places_init(&merged);
    for (size_t i = 0; i < b->source_count; i++) {
        struct merging m = {&b->partial, &merged, MAP_INIT, arena_new()};
        struct ranges *next = ranges_join(all, b->sources[i], merge_numbers, &m);
        ranges_free(all);
        all = next;
        map_fini(&m.known);
        arena_free(m.keys);
        ranges_free(b->sources[i]); /* as early as possible: these are large */
        b->sources[i] = NULL;
    }
    /* Numbers of merged places have gaps of intermediate results; the database numbers its own. */
    struct geo_db *db = mem_alloc(sizeof *db);
    places_init(&db->places);
    uint32_t *map = mem_alloc(merged.count * sizeof *map);
    for (uint32_t i = 0; i < merged.count; i++) {
        struct geo_place p = *merged.items[i];
        fill_in(&p);
        map[i] = i ? place_number(&db->places, &p) : GEO_PLACE_NONE;
    }
    db->ranges = ranges_map(all, map, merged.count);
    ranges_free(all);
    free(map);
    places_fini(&merged);
    map_fini(&db->places.by_bytes); /* only building needs them */
    map_fini(&db->places.strings);
    geo_builder_free(b);
    return db;
}

/* ---- the database ---- */

void geo_db_free(struct geo_db *db)
{
    if (!db)
        return;
    ranges_free(db->ranges);
    places_fini(&db->places);
    free(db);
}

struct geo_lookup geo_find(const struct geo_db *db, const struct addr *a)
{
    struct ranges_hit h = ranges_find(db->ranges, a);
    return (struct geo_lookup){h.value, h.scope};
}

const struct geo_place *geo_place_at(const struct geo_db *db, uint32_t place)
{
    return db->places.items[place < db->places.count ? place : 0];
}

uint32_t geo_place_count(const struct geo_db *db)
{
    return db->places.count;
}

const struct ranges *geo_db_ranges(const struct geo_db *db)
{
    return db->ranges;
}

size_t geo_db_memory(const struct geo_db *db)
{
    return sizeof *db + arena_size(db->places.arena) + db->places.cap * sizeof(void *) + ranges_memory(db->ranges);
}

double geo_distance_km(double lat1, double lon1, double lat2, double lon2)
{
    const double rad = M_PI / 180, radius = 6371.0088;
    double dlat = sin((lat2 - lat1) * rad / 2), dlon = sin((lon2 - lon1) * rad / 2);
    double h = dlat * dlat + cos(lat1 * rad) * cos(lat2 * rad) * dlon * dlon;
    return 2 * radius * asin(sqrt(h > 1 ? 1 : h));
}
