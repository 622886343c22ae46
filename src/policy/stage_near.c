/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

static float near_km(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    return run_feature(r, c)->distance_km;
}

static void near_run(const void *params, struct policy_run *r)
{
    run_score(r, params, near_km, "km");
}

static unsigned near_reads(const void *params)
{
    return READS_DISTANCE;
}

const struct stage stage_near = {
    .object = {.name = "near",
               .doc = "Nearest site first, by great-circle distance from the client's place; without a place all are equal."},
    .kind = STAGE_SCORE,
    .reads = near_reads,
    .run = near_run,
};
