/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

static unsigned reads_resource(const void *params)
{
    return READS_CONFIG;
}

static bool holds_keep(const void *params, const struct policy_run *r, const struct run_cand *c, char *why)
{
    if (!r->holders) {
        run_why(why, "no resource is asked for");
        return true;
    }
    bool has = r->holders[c->cand / 64] >> c->cand % 64 & 1;
    run_why(why, has ? "holds it" : "does not hold it");
    return has;
}

static void holds_run(const void *params, struct policy_run *r)
{
    run_filter(r, params, holds_keep, true);
}

const struct stage stage_holds = {
    .object = {.name = "holds",
               .doc = "Keeps only servers that hold the resource asked for (R2). Where none is asked for, as by DNS, it keeps all."},
    .kind = STAGE_FILTER,
    .reads = reads_resource,
    .run = holds_run,
};
