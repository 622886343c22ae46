/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

#include <math.h>
static bool not_full_keep(const void *params, const struct policy_run *r, const struct run_cand *c, char *why)
{
    const struct snap_cand *in = run_input(r, c);
    float open = in->metric[METRIC_CONNECTIONS];
    if (!in->max_connections) {
        run_why(why, "no connection limit");
        return true;
    }
    if (isnan(open)) {
        run_why(why, "connections not measured");
        return true;
    }
    run_why(why, "%.0f of %u connections", (double)open, in->max_connections);
    return open < (float)in->max_connections;
}

static void not_full_run(const void *params, struct policy_run *r)
{
    run_filter(r, params, not_full_keep, false);
}

static unsigned not_full_metrics(const void *params)
{
    return 1u << METRIC_CONNECTIONS;
}

static unsigned not_full_reads(const void *params)
{
    return READS_METRICS | READS_CONFIG;
}

const struct stage stage_not_full = {
    .object = {.name = "not-full", .doc = "Takes out VIPs whose open connections have reached max-connections."},
    .kind = STAGE_FILTER,
    .reads = not_full_reads,
    .metrics = not_full_metrics,
    .run = not_full_run,
};
