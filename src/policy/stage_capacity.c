/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

#include <math.h>

/* A7: spare capacity, connections against maximum connections. */
static float capacity_value(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    const struct snap_cand *in = run_input(r, c);
    float open = in->metric[METRIC_CONNECTIONS];
    if (!in->max_connections)
        return in->weight;
    return fmaxf((float)in->max_connections - (isnan(open) ? 0 : open), 0);
}

static void capacity_run(const void *params, struct policy_run *r)
{
    run_weigh(r, params, capacity_value);
}

static unsigned capacity_reads(const void *params)
{
    return READS_METRICS | READS_CONFIG;
}

static unsigned capacity_metrics(const void *params)
{
    return 1u << METRIC_CONNECTIONS;
}

const struct stage stage_capacity = {
    .object = {.name = "capacity",
               .doc = "Weights by spare capacity: max-connections less open connections (A7); without a limit the "
                      "configured weight."},
    .kind = STAGE_WEIGHT,
    .reads = capacity_reads,
    .metrics = capacity_metrics,
    .run = capacity_run,
};
