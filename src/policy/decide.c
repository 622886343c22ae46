/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "policy/compile.h"

/*
 * When the pipeline leaves nothing, rules are let go one after the other: first drained VIPs come back, then what the
 * service's all-down choice says. A disabled VIP never comes back.
 */
static const struct relax_step {
    unsigned relax;
    enum snap_fallback as;
    int only_for; /* enum cfg_all_down; -1 = always */
    const char *name;
} relax_steps[] = {
    {0, FALLBACK_NONE, -1,
     "normal"},
    {RELAX_DRAINED, FALLBACK_DRAINED, -1,
     "nothing left: drained VIPs allowed"},
    {RELAX_DRAINED | RELAX_LAST_GOOD, FALLBACK_LAST_GOOD, CFG_ALL_DOWN_LAST_GOOD,
     "nothing left: those that were last good (all-down: last-good)"},
    {RELAX_DRAINED | RELAX_DOWN, FALLBACK_ALL, CFG_ALL_DOWN_ALL,
     "nothing left: down VIPs allowed (all-down: all)"},
    {RELAX_DRAINED | RELAX_DOWN | RELAX_FILTERS, FALLBACK_ALL, CFG_ALL_DOWN_ALL,
     "nothing left: other filters let go too (all-down: all)"},
    /* Nothing was ever good: better something than nothing. */
    {RELAX_DRAINED | RELAX_DOWN | RELAX_FILTERS, FALLBACK_ALL, CFG_ALL_DOWN_LAST_GOOD,
     "nothing was ever good: down VIPs allowed"},
};

static size_t decision_write(const struct policy_run *r, enum snap_fallback as, struct snap_decision *out)
{
    *out = (struct snap_decision){.count = (uint8_t)r->count, .pick = (uint8_t)r->pick, .fallen_back = (uint8_t)as,
                                  .hash_v4 = r->hash_v4, .hash_v6 = r->hash_v6};
    for (unsigned i = 0, end; i < r->count; i = end) {
        /* Integer weights for one multiplication per draw; a tier's sum is DECISION_WEIGHTS. */
        double sum = 0;
        for (end = i; end < r->count && r->list[end].tier == r->list[i].tier; end++)
            sum += (double)r->list[end].weight;
        for (unsigned j = i; j < end; j++) {
            double share = sum > 0 ? (double)r->list[j].weight / sum : 1.0 / (end - i);
            uint16_t admit = r->pick == PICK_SPILL ? (uint16_t)(run_input(r, &r->list[j])->admit * 65535 + 0.5f) : 0;
            out->choice[j] =
                (struct snap_choice){r->list[j].cand, r->list[j].tier, admit, (uint32_t)(share * DECISION_WEIGHTS + 0.5)};
        }
        if (i == 0)
            out->first_tier = (uint8_t)end;
    }
    return sizeof *out + r->count * sizeof out->choice[0];
}

size_t decide(const struct cfg_service *service, const struct cfg_policy *policy, struct policy_run *run,
              uint16_t fallback_count, struct snap_decision *out,
              void (*stage_begin)(void *ctx, const struct stage *s, const void *params), void *ctx)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(relax_steps); i++) {
        const struct relax_step *step = &relax_steps[i];
        if (step->only_for >= 0 && step->only_for != service->all_down)
            continue;
        run->relax = step->relax;
        if (stage_begin)
            stage_begin(ctx, NULL, step->name);
        policy_run_stages(policy, run, stage_begin, ctx);
        if (run->count)
            return decision_write(run, step->as, out);
    }
    return decision_write(run, fallback_count ? FALLBACK_ADDRESSES : FALLBACK_SERVFAIL, out);
}
