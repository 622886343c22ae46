/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "model/config.h"

enum { WHY_MAX = 96 };

void run_why(char *why, const char *fmt, ...)
{
    va_list ap;
    if (!why)
        return;
    va_start(ap, fmt);
    vsnprintf(why, WHY_MAX, fmt, ap);
    va_end(ap);
}

void run_trace(const struct policy_run *r, const struct run_cand *c, enum trace_verb verb, const char *fmt, ...)
{
    char text[128];
    va_list ap;
    if (!r->trace)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->trace(r->trace_ctx, c->cand, verb, text);
}

const struct snap_feature *run_feature(const struct policy_run *r, const struct run_cand *c)
{
    static const struct snap_feature nothing = {NAN, NAN, 0, 3, 0};
    return r->features ? &r->features[r->feature_of[c->cand]] : &nothing;
}

void policy_run_init(struct policy_run *r)
{
    r->count = r->cand_count;
    r->pick = PICK_FIRST;
    r->hash_v4 = r->hash_v6 = 0;
    for (unsigned i = 0; i < r->count; i++)
        r->list[i] = (struct run_cand){(uint8_t)i, 0, 0, NAN, r->cands[i].weight};
}

void policy_run_stages(const struct cfg_policy *p, struct policy_run *r,
                       void (*stage_begin)(void *ctx, const struct stage *s, const void *params), void *ctx)
{
    const struct conf_choice *choice = p->stages.items;
    policy_run_init(r);
    for (uint32_t i = 0; i < p->stages.count && r->count; i++) {
        const struct stage *s = policy_stage_for(&choice[i]);
        if (stage_begin)
            stage_begin(ctx, s, choice[i].value);
        s->run(choice[i].value, r);
    }
}

void run_filter(struct policy_run *r, const void *params, run_keep_fn *keep, bool strict)
{
    unsigned out = 0;
    for (unsigned i = 0; i < r->count; i++) {
        char why[WHY_MAX] = "";
        struct run_cand *c = &r->list[i];
        bool kept = keep(params, r, c, r->trace ? why : NULL);
        if (!kept && r->relax & RELAX_FILTERS && !strict) {
            kept = true;
            strncat(why, ", but nothing else is left", sizeof why - strlen(why) - 1);
        }
        run_trace(r, c, kept ? TRACE_KEPT : TRACE_REMOVED, "%s", why);
        if (kept)
            r->list[out++] = *c;
    }
    r->count = out;
}

/* Lower first, NaN last. */
static int score_cmp(float a, float b)
{
    if (isnan(a) || isnan(b))
        return (int)isnan(a) - (int)isnan(b);
    return (a > b) - (a < b);
}

/* Stable insertion sort by (tier, score), then numbers the tiers anew. Lists are short (SNAP_CANDS_MAX). */
static void refine(struct policy_run *r)
{
    for (unsigned i = 1; i < r->count; i++) {
        struct run_cand c = r->list[i];
        unsigned j = i;
        for (; j && r->list[j - 1].tier == c.tier && score_cmp(r->list[j - 1].score, c.score) > 0; j--)
            r->list[j] = r->list[j - 1];
        r->list[j] = c;
    }
    uint8_t tier = 0, before = r->count ? r->list[0].tier : 0;
    for (unsigned i = 0; i < r->count; i++) {
        struct run_cand *c = &r->list[i];
        bool same = i == 0 || (c->tier == before && score_cmp(c->score, r->list[i - 1].score) == 0);
        before = c->outer = c->tier;
        tier = (uint8_t)(tier + !same);
        c->tier = tier;
    }
}

void run_score(struct policy_run *r, const void *params, run_value_fn *value, const char *unit)
{
    for (unsigned i = 0; i < r->count; i++) {
        struct run_cand *c = &r->list[i];
        c->score = value(params, r, c);
        if (unit && isnan(c->score))
            run_trace(r, c, TRACE_SCORED, "unknown");
        else if (unit)
            run_trace(r, c, TRACE_SCORED, "%.4g%s%s", (double)fabsf(c->score), *unit ? " " : "", unit);
    }
    refine(r);
}

void run_group_within(struct policy_run *r, float percent)
{
    /* The best of a group is its first member. Negative scores are those where more is better (throughput): there the
     * group reaches percent below the best. */
    uint8_t tier = 0;
    float best = NAN;
    for (unsigned i = 0; i < r->count; i++) {
        struct run_cand *c = &r->list[i];
        bool joins = i > 0 && c->outer == r->list[i - 1].outer &&
                     run_joins(best, c->score, percent);
        if (!joins) {
            best = c->score;
            tier = (uint8_t)(tier + (i > 0));
        }
        c->tier = tier;
        run_trace(r, c, TRACE_SCORED, joins || i == 0 ? "group %u" : "group %u: more than %.4g %% from the best before",
                  tier + 1u, (double)percent);
    }
}

void run_weigh(struct policy_run *r, const void *params, run_value_fn *value)
{
    for (unsigned i = 0; i < r->count; i++) {
        struct run_cand *c = &r->list[i];
        float w = value(params, r, c);
        c->weight = w > 0 ? w : 0;
        run_trace(r, c, TRACE_WEIGHED, "weight %.4g", (double)c->weight);
    }
}

unsigned policy_reads(const struct cfg_policy *p)
{
    unsigned reads = 0, last_score = 0;
    const struct conf_choice *choice = p->stages.items;
    for (uint32_t i = 0; i < p->stages.count; i++) {
        const struct stage *s = policy_stage_for(&choice[i]);
        unsigned own = s->reads(choice[i].value);
        /* Order alone tells near from far; a group needs to know who is within its percent of whom. Two different
         * percents would need two such tables: then distances count by value. */
        if (s->kind == STAGE_GROUP && last_score & READS_DISTANCE)
            own |= s->percent(choice[i].value) == policy_within_percent(p) ? READS_DISTANCE_WITHIN : READS_DISTANCE_VALUE;
        if (s->kind == STAGE_SCORE)
            last_score = own;
        reads |= own;
    }
    return reads;
}

float policy_within_percent(const struct cfg_policy *p)
{
    const struct conf_choice *choice = p->stages.items;
    for (uint32_t i = 0; i < p->stages.count; i++)
        if (policy_stage_for(&choice[i])->kind == STAGE_GROUP)
            return policy_stage_for(&choice[i])->percent(choice[i].value);
    return 0;
}

unsigned policy_metrics(const struct cfg_policy *p)
{
    unsigned metrics = 0;
    const struct conf_choice *choice = p->stages.items;
    for (uint32_t i = 0; i < p->stages.count; i++) {
        const struct stage *s = policy_stage_for(&choice[i]);
        metrics |= s->metrics ? s->metrics(choice[i].value) : 0;
    }
    return metrics;
}
