/* SPDX-License-Identifier: Apache-2.0 */
/* The geo readers take paths: the fuzzer's bytes become a file in memory. What was read must hold
 * together. */
#ifndef PM_TESTS_FUZZ_GEO_H
#define PM_TESTS_FUZZ_GEO_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "geo/build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
    static char path[40];
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

/* Every range is found at its first address, with a place that exists; a refused source leaves
 * nothing. */
static inline void fuzz_finish(struct geo_builder *b, int err)
{
    struct geo_db *db = geo_builder_freeze(b);
    const struct ranges *r = geo_db_ranges(db);
    for (unsigned family = ADDR_V4; family <= ADDR_V6; family += 2) {
        for (size_t i = 0; i < ranges_count(r, family); i++) {
            struct addr first;
            uint32_t place = ranges_at(r, family, i, &first);
            struct geo_lookup hit = geo_find(db, &first);
            if (hit.place != place || place >= geo_place_count(db) ||
                hit.scope > addr_bits(&first) || (err && place))
                abort();
            const struct geo_place *g = geo_place_at(db, place);
            if (strlen(g->country) > 2 || strlen(g->continent) > 2 || strlen(g->city) > 200)
                abort();
        }
    }
    geo_db_free(db);
}

#endif
