/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "conf/load.h"
#include "policy/stages.h"

struct handoff {
    struct conf_list weights; /* uint32_t, by place */
    uint32_t few;
};

static const struct conf_key keys[] = {
    {"weights", CONF_UINT, offsetof(struct handoff, weights), .def = "[4, 2, 1]", .min = 0, .max = HANDOFF_WEIGHT_MAX,
     .flags = CONF_LIST,
     .doc =
         "What the first, second, third ... place in a site's order is worth, for up to 16 places; further places are "
         "worth nothing."},
    {"few", CONF_UINT, offsetof(struct handoff, few), .def = "3", .min = 0, .max = HANDOFF_SITES_MAX, .unit = "sites",
     .doc = "With so few sites the matrix is too coarse: they are weighed by spare capacity as the stage `capacity` "
            "does (A7)."},
};

static void check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct handoff *h = object;
    const uint32_t *w = h->weights.items;
    bool any = false;
    if (h->weights.count > HANDOFF_PLACES)
        conf_error(ctx, node, "more than %d places", HANDOFF_PLACES);
    for (uint32_t i = 0; i < h->weights.count; i++)
        any |= w[i] > 0;
    if (!any)
        conf_error(ctx, node, "no place has a weight");
}

bool policy_handoff_places(const struct cfg_policy *p, struct handoff_places *out)
{
    const struct conf_choice *choice = p->stages.items;
    for (uint32_t i = 0; i < p->stages.count; i++) {
        if (policy_stage_for(&choice[i]) != &stage_handoff)
            continue;
        const struct handoff *h = choice[i].value;
        const uint32_t *w = h->weights.items;
        *out = (struct handoff_places){.count = h->weights.count, .few = h->few};
        for (uint32_t k = 0; k < h->weights.count; k++)
            out->weight[k] = (uint8_t)w[k];
        return true;
    }
    return false;
}

/* Whether there is a table to go by: enough sites, and somebody has measured. */
static bool has_table(const struct handoff *h, const struct policy_run *r)
{
    return r->seen && r->seen->count > h->few && r->seen->sum;
}

static float total_of(const struct policy_run *r, const struct run_cand *c)
{
    return (float)r->seen->total[run_input(r, c)->seen_row];
}

static bool keep(const void *params, const struct policy_run *r, const struct run_cand *c, char *why)
{
    float total = total_of(r, c);
    run_why(why, total > 0 ? "total weight %.4g" : "total weight %.4g: gets nothing", (double)total);
    return total > 0;
}

/* A site's weight is shared among its VIPs by theirs. */
static float table_value(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    const struct snap_cand *in = run_input(r, c);
    float site = 0;
    for (unsigned i = 0; i < r->count; i++)
        site += run_input(r, &r->list[i])->site == in->site ? run_input(r, &r->list[i])->weight : 0;
    return site > 0 ? total_of(r, c) * in->weight / site : 0;
}

static void handoff_run(const void *params, struct policy_run *r)
{
    if (!has_table(params, r)) {
        stage_capacity.run(NULL, r);
        return;
    }
    run_filter(r, params, keep, false);
    run_weigh(r, params, table_value);
}

static unsigned handoff_reads(const void *params)
{
    return READS_METRICS | READS_CONFIG;
}

static unsigned handoff_metrics(const void *params)
{
    return 1u << METRIC_CONNECTIONS | MODEL_READS_SIGHTS;
}

const struct stage stage_handoff = {
    .object =
        {.name = "handoff",
         .doc = "Weights by the hand-off table: each site orders the others by the times it measures, places have "
                "weights, a site's weight is the sum over all orders (A6); a site without weight gets nothing. Without "
                "times from other balancers, or with few sites, by spare capacity.",
         .size = sizeof(struct handoff),
         CONF_KEYS(keys),
         .shorthand = "weights",
         .check = check},
    .kind = STAGE_WEIGHT,
    .reads = handoff_reads,
    .metrics = handoff_metrics,
    .run = handoff_run,
};
