/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a geo_db from sources. Sources are read in the order of the calls. Inside one source the longest prefix
 * wins; between sources a later one wins field by field: one that knows only the ASN leaves country, region and
 * location of the earlier ones, whatever the prefix lengths of both. Only when a later source names another country
 * do the continent, region, city and location known so far go, for they belong to the country that was wrong.
 * Overrides that follow each other are one source, in which a longer prefix refines a shorter one field by field too,
 * and of equal prefixes the later call wins.
 *
 * What no source says is derived at the end: the continent from the country, the location from the country's centre
 * (flagged as approximate). "EU" and "AP" as countries, as registries write them, are only continents; "ZZ", "??",
 * "-" and "" are unknown.
 *
 * Failure: a source with any error is refused whole and the builder is as before the call; each error is reported as
 * "file:line: text" (the first GEO_REPORT_MAX of a source, then how many more). The result is the code of the first
 * error: PM_ENOTFOUND, PM_EPERM, PM_EIO, PM_ETOOBIG for the file, PM_EPARSE for its content.
 * Memory: strings given are copied. Thread: one at a time per builder; a build takes seconds for a city database, so
 * not on the answering path.
 */
#ifndef PM_GEO_BUILD_H
#define PM_GEO_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include "base/addr.h"
#include "base/err.h"
#include "base/file.h"
#include "geo/geo.h"

enum { GEO_REPORT_MAX = 20 };

struct geo_builder;

/* message: "path:line: text", or "path: text" when no line is to blame. Valid during the call. */
typedef void (*geo_report_fn)(void *arg, int err, const char *message);

struct geo_csv_options {
    /*
     * Names of the columns, separated by commas, when the file has no header line: prefix (network, block), start, end,
     * country, continent, region, city, latitude (lat), longitude (lon), asn; any other name = ignored. NULL: the
     * first line is the header, unless it is data as in Tor's files: start,end,country or prefix,country.
     */
    const char *columns;
    char separator; /* 0: tab when the first line has one, else comma */
};

struct geo_builder *geo_builder_new(geo_report_fn report, void *arg); /* report may be NULL */
void geo_builder_free(struct geo_builder *b);                        /* without freezing; NULL is allowed */

/* MaxMind DB: GeoIP2/GeoLite2 City, Country and ASN layouts, and flat ones (country or country_code, asn, ...). */
int geo_builder_mmdb(struct geo_builder *b, const char *path) PM_MUST_CHECK;
/*
 * Text: one prefix ("192.0.2.0/24", "63/8", "64-95/8", "2001:db8::/32", an address, "first-last") or start and end
 * (addresses or decimal integers) per line. '#' starts a comment line; fields may be "quoted". options may be NULL.
 */
int geo_builder_csv(struct geo_builder *b, const char *path, const struct geo_csv_options *options) PM_MUST_CHECK;
/* A registry's delegated or delegated-extended statistics file. */
int geo_builder_rir(struct geo_builder *b, const char *path) PM_MUST_CHECK;
/* By hand. Unset fields of place (empty, zero, NULL) leave what the sources say. PM_EINVAL: nothing set. */
int geo_builder_override(struct geo_builder *b, const struct prefix *prefix,
                         const struct geo_place *place) PM_MUST_CHECK;

/* Consumes the builder. */
struct geo_db *geo_builder_freeze(struct geo_builder *b);

/*
 * Whether any of n source files has changed since the stamps in seen were taken. A file that is gone now is no
 * change: it is about to be replaced, or the old data is better than none.
 */
bool geo_sources_changed(const struct file_stamp *seen, const struct file_stamp *now, size_t n);

#endif
