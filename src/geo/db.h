/* SPDX-License-Identifier: Apache-2.0 */
/* Inside geo/: the frozen database, made by build.c and read by geo.c. Owns all it points to; immutable. */
#ifndef PM_GEO_DB_H
#define PM_GEO_DB_H

#include "geo/geo.h"

struct arena;

struct geo_db {
    struct ranges *ranges;
    struct geo_place *places; /* [0] is GEO_PLACE_NONE */
    uint32_t count;
    struct arena *arena; /* regions and cities */
};

#endif
