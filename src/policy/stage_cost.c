/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

static float cost_value(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    return run_input(r, c)->cost;
}

static void cost_run(const void *params, struct policy_run *r)
{
    run_score(r, params, cost_value, "");
}

const struct stage stage_cost = {
    .object = {.name = "cost", .doc = "Cheapest first, by the cost that the service or the site has in the configuration."},
    .kind = STAGE_SCORE,
    .reads = reads_config,
    .run = cost_run,
};
