/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/geo.h"

#include <math.h>
#include <stdlib.h>
#include "base/arena.h"
#include "geo/db.h"

struct geo_lookup geo_find(const struct geo_db *db, const struct addr *a)
{
    struct ranges_hit hit = ranges_find(db->ranges, a);
    return (struct geo_lookup){hit.value, hit.scope};
}

const struct geo_place *geo_place_at(const struct geo_db *db, uint32_t place)
{
    return &db->places[place < db->count ? place : GEO_PLACE_NONE];
}

uint32_t geo_place_count(const struct geo_db *db)
{
    return db->count;
}

const struct ranges *geo_db_ranges(const struct geo_db *db)
{
    return db->ranges;
}

size_t geo_db_memory(const struct geo_db *db)
{
    return sizeof *db + db->count * sizeof *db->places + arena_size(db->arena) +
           ranges_memory(db->ranges);
}

void geo_db_free(struct geo_db *db)
{
    if (!db)
        return;
    ranges_free(db->ranges);
    arena_free(db->arena);
    free(db->places);
    free(db);
}

double geo_distance_km(double lat1, double lon1, double lat2, double lon2)
{
    const double radius = 6371.0088, rad = M_PI / 180;
    double s_lat = sin((lat2 - lat1) * rad / 2), s_lon = sin((lon2 - lon1) * rad / 2);
    double h = s_lat * s_lat + cos(lat1 * rad) * cos(lat2 * rad) * s_lon * s_lon;
    return 2 * radius * asin(sqrt(h < 1 ? h : 1)); /* rounding may pass 1 at the antipode */
}
