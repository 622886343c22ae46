/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

static float geo_level(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    return run_feature(r, c)->geo_level;
}

static void geo_run(const void *params, struct policy_run *r)
{
    run_score(r, params, geo_level, "(0 same region, 1 country, 2 continent, 3 elsewhere)");
}

static unsigned geo_reads(const void *params)
{
    return READS_GEO_LEVEL;
}

const struct stage stage_geo = {
    .object = {.name = "geo", .doc = "Sites in the client's region first, then its country, then its continent (A8)."},
    .kind = STAGE_SCORE,
    .reads = geo_reads,
    .run = geo_run,
};
