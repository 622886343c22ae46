/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One source while it is read, inside geo/: prefixes with places that are not merged with other sources yet.
 * A place that says nothing about a field leaves it zero.
 */
#ifndef PM_GEO_SOURCE_H
#define PM_GEO_SOURCE_H

#include "geo/build.h"

enum { GEO_ERRORS_MAX = 20, GEO_FILE_MAX = 1 << 30 };

struct geo_source {
    struct geo_builder *builder;
    const char *name;
    struct ranges_builder *ranges;
    unsigned errors;
};

struct geo_source geo_source_begin(struct geo_builder *b, const char *name);
/* Adds the source to the builder, or drops it when it had errors: PM_EPARSE. */
int geo_source_end(struct geo_source *s) PM_MUST_CHECK;
void geo_source_error(struct geo_source *s, unsigned line, const char *fmt, ...) PM_PRINTF(3, 4);
/* The number of a place in the builder; strings are copied, equal places get one number. */
uint32_t geo_source_place(struct geo_source *s, const struct geo_place *p);
void geo_source_add(struct geo_source *s, const struct prefix *p, uint32_t place);
/* first..last (same family) as the fewest prefixes; false when last < first. */
bool geo_source_add_range(struct geo_source *s, const struct addr *first, const struct addr *last, uint32_t place);

#endif
