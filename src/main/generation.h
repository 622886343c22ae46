/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generation: one configuration and all that is made from it. A reload builds the next one beside the running one,
 * from reading the file to the compiled snapshot, and only a complete one is put in its place; on any error it is
 * thrown away and the running one has not been touched.
 *
 *   config --> geo ----\
 *      |--> zones ------+--> snapshot (published)
 *      '--> model -----/
 *
 * Thread: control. Memory: a generation owns its parts; readers may use the snapshot until a grace period after the
 * next one was published.
 */
#ifndef PM_MAIN_GENERATION_H
#define PM_MAIN_GENERATION_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "geo/build.h"
#include "model/config.h"
#include "model/history.h"
#include "model/model.h"
#include "model/overrides.h"
#include "model/snapshot.h"

struct dns_zones;

struct generation {
    uint64_t number;
    struct config *config;
    struct geo_db *geo;
    struct dns_zones *zones;
    struct model *model;
    struct snapshot *snapshot;
};

/* Where a configuration comes from: a file, or a text (the demo's). */
struct config_source {
    const char *path;
    const char *text; /* NULL = read path */
};

/* Reads and checks the configuration alone. Every error goes to report, ready to print. */
int generation_config(const struct config_source *from, struct config **out, struct buf *report) PM_MUST_CHECK;
/* The file of a geography source. */
const char *generation_geo_path(const struct conf_choice *source);
/* The geography of a configuration; also checks that its files can be read. */
int generation_geo(const struct config *config, struct geo_db **out, struct buf *report) PM_MUST_CHECK;
/* serial: of zones without a file; seconds since 1970, so that it grows with every load (RFC 1982). */
int generation_zones(const struct config *config, uint32_t serial, struct dns_zones **out, struct buf *report) PM_MUST_CHECK;
/*
 * All of it but the snapshot, which needs the checks' state first (generation_compile). old (may be NULL) gives health,
 * averages and statistics of what did not change. PM_ECONFIG etc., with everything wrong in report.
 */
int generation_new(const struct config_source *from, const struct clock *clock, const struct generation *old,
                   struct generation **out, struct buf *report) PM_MUST_CHECK;
void generation_compile(struct generation *g, const struct overrides *o);
/* New geography under the same configuration: a new snapshot, the model goes on. Takes geo over; the returned snapshot
 * and geography are the old ones, to be destroyed after a grace period. */
struct old_geo {
    struct snapshot *snapshot;
    struct geo_db *geo;
};
struct old_geo generation_swap_geo(struct generation *g, struct geo_db *geo);
void generation_free(struct generation *g);

#endif
