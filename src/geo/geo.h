/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Geography: which place an address belongs to. Built from sources in order, later ones win where both speak (MMDB,
 * prefix CSV, RIR delegated files, overrides); immutable afterwards, so any thread may read it.
 *
 * Two tables: places (deduplicated records: country, continent, region, coordinates, ASN) and, per family, the ranges
 * that map an address to a place. Ranges, not prefixes: neighbours with the same place are one range, so the widest
 * true scope of an answer (RFC 7871) follows from the range's ends (geo/ranges.h).
 */
#ifndef PM_GEO_GEO_H
#define PM_GEO_GEO_H

#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/buf.h"
#include "conf/schema.h"

enum { GEO_PLACE_NONE = 0 }; /* place 0: nothing known */

struct geo_place {
    char country[3];    /* ISO 3166-1 alpha-2, upper case; "" = unknown */
    char continent[3];  /* AF AN AS EU NA OC SA; "" = unknown */
    bool has_location;
    bool approximate;   /* the location is the country's centre */
    float lat, lon;     /* degrees */
    uint32_t asn;       /* 0 = unknown */
    uint32_t tag;       /* a number of the caller's own, set by overrides: 0 = none */
    const char *region; /* free word: RIR region ("pacific-rim"), subdivision ("US-CA"); "" = unknown; in the db */
    const char *city;   /* "" = unknown */
};

struct geo_db;

struct geo_lookup {
    uint32_t place; /* index for geo_place_at; GEO_PLACE_NONE = not found */
    uint8_t scope;  /* the longest-lasting prefix length around the address with the same place */
};

struct geo_lookup geo_find(const struct geo_db *db, const struct addr *a);
const struct geo_place *geo_place_at(const struct geo_db *db, uint32_t place); /* never NULL */
uint32_t geo_place_count(const struct geo_db *db);                           /* includes place 0 */

/* Address -> place, for policies that merge places into classes. */
const struct ranges *geo_db_ranges(const struct geo_db *db);

/* Great-circle distance in km (haversine, mean radius 6371.0088). */
double geo_distance_km(double lat1, double lon1, double lat2, double lon2);
/* Continent of a country ("FR" -> "EU"), "" for an unknown code; and a rough centre of the country, false = unknown. */
const char *geo_country_continent(const char *country);
bool geo_country_centre(const char *country, float *lat, float *lon);

#endif
