/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

static float order_value(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    return run_input(r, c)->order;
}

static void order_run(const void *params, struct policy_run *r)
{
    run_score(r, params, order_value, "(priority)");
}

const struct stage stage_order = {
    .object = {.name = "order", .doc = "In the order the service lists its sites: failover from the first to the next."},
    .kind = STAGE_SCORE,
    .reads = reads_config,
    .run = order_run,
};
