/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside geo/: what a reader of one source file works with. A reader adds what it finds and reports what it cannot
 * read; geo_builder_* (build.c) opens the source, and lays it over the earlier ones if there were no errors.
 *
 * Memory: texts are interned in the builder's arena. Thread: the builder's.
 */
#ifndef PM_GEO_SOURCE_H
#define PM_GEO_SOURCE_H

#include "base/arena.h"
#include "base/map.h"
#include "geo/build.h"
#include "geo/ranges.h"

enum { GEO_TEXT_MAX = 200 }; /* bytes of a region or city */

/* Distinct places, numbered from 1; 0 is the place nothing is known of. */
struct geo_places {
    struct arena *arena; /* the texts */
    struct map texts;
    struct geo_place *items;
    uint32_t *slots; /* open addressing; 0 = free */
    uint32_t count, cap, slot_count;
};

void geo_places_init(struct geo_places *p);
void geo_places_fini(struct geo_places *p);
/* The number of an equal place, adding it when new. region and city may be NULL. */
uint32_t geo_places_put(struct geo_places *p, const struct geo_place *place);

struct geo_source {
    const char *path;
    struct geo_places *places;
    struct ranges_builder *ranges;
    geo_report_fn report;
    void *arg;
    int err;         /* the first */
    size_t errors;
};

/* line 0: the file as a whole. */
void geo_source_error(struct geo_source *s, int err, size_t line, const char *fmt, ...) PM_PRINTF(4, 5);

/* Calls fn with each line of s->path, its end cut off; fn may write into it. */
typedef void (*geo_line_fn)(struct geo_source *s, size_t line, char *text, void *arg);
void geo_read_lines(struct geo_source *s, geo_line_fn fn, void *arg);

/* Each reads the whole of s->path; what went wrong is in s->err. */
void geo_read_mmdb(struct geo_source *s);
void geo_read_csv(struct geo_source *s, const struct geo_csv_options *options);
void geo_read_rir(struct geo_source *s);

/* What a country field says: a code, a continent only (EU, AP), or nothing. False: not a country code at all. */
bool geo_set_country(struct geo_place *place, const char *text, size_t len);
bool geo_set_continent(struct geo_place *place, const char *text, size_t len);
/* UTF-8 without control characters, at most GEO_TEXT_MAX bytes: what may go into answers, logs and JSON. */
bool geo_text_ok(const char *text, size_t len);

/* A hash table from 64-bit keys to numbers, for one build. */
struct geo_memo {
    uint64_t *keys;
    uint32_t *values;
    size_t count, slots;
};
#define GEO_MEMO_MISSING UINT32_MAX
uint32_t geo_memo_get(const struct geo_memo *m, uint64_t key);
void geo_memo_put(struct geo_memo *m, uint64_t key, uint32_t value); /* key must be missing */
void geo_memo_fini(struct geo_memo *m);

#endif
