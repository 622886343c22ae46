/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "model/model.h"
#include "policy/stages.h"

/* Of the site nearest to the client: it is taken to see what that site's balancer sees. */
static unsigned vantage_column(const struct policy_run *r)
{
    unsigned column = UINT32_MAX;
    float nearest = INFINITY;
    for (unsigned i = 0; r->features && i < r->cand_count; i++) {
        float km = r->features[r->feature_of[i]].distance_km;
        if (km < nearest) {
            nearest = km;
            column = r->cands[i].seen_row;
        }
    }
    return column;
}

static float latency_ms(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    const struct snap_seen *seen = r->seen;
    unsigned column = seen ? vantage_column(r) : UINT32_MAX;
    if (column == UINT32_MAX)
        return NAN;
    float ms = seen->ms[run_input(r, c)->seen_row * seen->count + column];
    return isfinite(ms) ? ms : NAN;
}

static void latency_run(const void *params, struct policy_run *r)
{
    run_score(r, params, latency_ms, "ms");
}

static unsigned latency_reads(const void *params)
{
    return READS_METRICS | READS_DISTANCE;
}

static unsigned latency_metrics(const void *params)
{
    return MODEL_READS_SIGHTS;
}

const struct stage stage_latency = {
    .object =
        {.name = "latency",
         .doc =
             "Lowest time first, as measured by the balancer of the site nearest to the client: it sees the network as "
             "the client does, which distance does not tell. What it has not measured comes last, equal; put `near` "
             "behind it."},
    .kind = STAGE_SCORE,
    .reads = latency_reads,
    .metrics = latency_metrics,
    .run = latency_run,
};
