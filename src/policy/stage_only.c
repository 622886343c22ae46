/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

struct only {
    struct conf_list orders; /* uint32_t */
};

static const struct conf_key only_keys[] = {
    {"priorities", CONF_UINT, offsetof(struct only, orders), .min = 1, .max = SNAP_CANDS_MAX, .flags = CONF_LIST | CONF_REQUIRED,
     .doc = "Which of the service's VIPs to keep, by the priority of their site in the service."},
};

static bool only_keep(const void *params, const struct policy_run *r, const struct run_cand *c, char *why)
{
    const struct only *p = params;
    const uint32_t *place = p->orders.items;
    unsigned own = run_input(r, c)->order;
    run_why(why, "priority %u", own);
    for (uint32_t i = 0; i < p->orders.count; i++)
        if (place[i] == own)
            return true;
    return false;
}

static void only_run(const void *params, struct policy_run *r)
{
    run_filter(r, params, only_keep, false);
}

const struct stage stage_only = {
    .object = {.name = "only", .doc = "Keeps only the VIPs of the given priorities (not said: the place in the service's list, from 1).",
               .size = sizeof(struct only), CONF_KEYS(only_keys), .shorthand = "priorities"},
    .kind = STAGE_FILTER,
    .reads = reads_config,
    .run = only_run,
};
