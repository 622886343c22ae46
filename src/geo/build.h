/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds a geography from sources, in order. Inside one source the longest prefix wins; between sources each field of a
 * place (country, region, ASN ...) comes from the last source that knows it. So an ASN database added after a country
 * database leaves the countries alone, and overrides (added last) change just what they say.
 *
 * A source with a mistake in it is refused whole, with every bad line reported (up to a limit), so that a broken file
 * at a reload leaves the old geography in place.
 *
 * What sources leave open is filled in: the continent from the country, the location from the country's centre (then
 * marked approximate).
 *
 * Thread: one at a time. Memory: the builder owns everything until geo_builder_freeze.
 */
#ifndef PM_GEO_BUILD_H
#define PM_GEO_BUILD_H

#include <stddef.h>
#include "geo/geo.h"
#include "geo/ranges.h"

/* line 0 = the file as a whole. */
typedef void geo_report_fn(void *ctx, const char *file, unsigned line, const char *message);

enum geo_column {
    GEO_SKIP,
    GEO_PREFIX, /* a prefix, an address, or blocks as "63/8", "64-95/8" */
    GEO_FIRST,  /* first and last address of a range; IPv4 also as a number */
    GEO_LAST,
    GEO_COUNTRY,
    GEO_CONTINENT,
    GEO_REGION,
    GEO_CITY,
    GEO_LAT,
    GEO_LON,
    GEO_ASN,
    GEO_COLUMN_COUNT
};

struct geo_csv_options {
    const int *columns; /* enum geo_column; NULL = the first line names them, or first,last,country if it names nothing */
    size_t column_count;
    char separator; /* 0 = comma */
};

struct geo_builder;

struct geo_builder *geo_builder_new(geo_report_fn *report, void *ctx);
void geo_builder_free(struct geo_builder *b); /* NULL is allowed */
/* Each: PM_ENOTFOUND, PM_EPERM, PM_EIO for the file, PM_EPARSE for its content; always reported too. */
int geo_builder_mmdb(struct geo_builder *b, const char *path) PM_MUST_CHECK;
int geo_builder_csv(struct geo_builder *b, const char *path, const struct geo_csv_options *o) PM_MUST_CHECK;
int geo_builder_rir(struct geo_builder *b, const char *path) PM_MUST_CHECK;
/* The same from memory; name is what reports call it. */
int geo_builder_csv_text(struct geo_builder *b, const char *name, const char *text, size_t len,
                         const struct geo_csv_options *o) PM_MUST_CHECK;
int geo_builder_rir_text(struct geo_builder *b, const char *name, const char *text, size_t len) PM_MUST_CHECK;
/* region and city may be NULL. All overrides count as one source, the last. */
void geo_builder_override(struct geo_builder *b, const struct prefix *p, const struct geo_place *place);
/* Consumes the builder. */
struct geo_db *geo_builder_freeze(struct geo_builder *b);
void geo_db_free(struct geo_db *db); /* NULL is allowed */
size_t geo_db_memory(const struct geo_db *db);

#endif
