/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

#include <math.h>

struct blend {
    double distance, round_trip, response, hops, cost, load;
};

#define WEIGHT_KEY(field, text)                                                                    \
    {#field, CONF_DOUBLE, offsetof(struct blend, field), .def = "0", .min = 0, .max = 1e6, .doc = text}

static const struct conf_key blend_keys[] = {
    WEIGHT_KEY(distance, "Weight of the distance to the client, per 1000 km."),
    {"round-trip", CONF_DOUBLE, offsetof(struct blend, round_trip), .def = "0", .min = 0, .max = 1e6,
     .doc = "Weight of the round trip measured between site and client, per 100 ms (see `rtt`)."},
    WEIGHT_KEY(response, "Weight of the response time, per 100 ms."),
    WEIGHT_KEY(hops, "Weight of the hop count, per 10 hops."),
    WEIGHT_KEY(cost, "Weight of the configured cost, per unit."),
    WEIGHT_KEY(load, "Weight of the load, per full load."),
};

/* What is not measured counts as nothing, but a candidate with nothing measured at all is unknown. */
static float blend_value(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    const struct blend *p = params;
    const struct snap_cand *in = run_input(r, c);
    const struct {
        double weight, value;
    } part[] = {
        {p->distance, (double)run_feature(r, c)->distance_km / 1000},
        {p->round_trip, (double)run_feature(r, c)->rtt_ms / 100},
        {p->response, (double)in->metric[METRIC_RESPONSE] / 100},
        {p->hops, (double)in->metric[METRIC_HOPS] / 10},
        {p->cost, (double)in->cost},
        {p->load, (double)in->metric[METRIC_LOAD]},
    };
    double sum = 0;
    bool any = false;
    for (unsigned i = 0; i < PM_ARRAY_LEN(part); i++) {
        if (part[i].weight > 0 && !isnan(part[i].value)) {
            sum += part[i].weight * part[i].value;
            any = true;
        }
    }
    return any ? (float)sum : NAN;
}

static void blend_run(const void *params, struct policy_run *r)
{
    run_score(r, params, blend_value, "points");
}

static unsigned blend_reads(const void *params)
{
    const struct blend *p = params;
    return (p->distance > 0 ? READS_DISTANCE_VALUE : 0u) | (p->round_trip > 0 ? READS_RTT : 0u) | READS_METRICS | READS_CONFIG;
}

static unsigned blend_metrics(const void *params)
{
    const struct blend *p = params;
    return (p->response > 0 ? 1u << METRIC_RESPONSE : 0u) | (p->hops > 0 ? 1u << METRIC_HOPS : 0u) |
           (p->load > 0 ? 1u << METRIC_LOAD : 0u);
}

const struct stage stage_blend = {
    .object = {.name = "blend",
               .doc = "Lowest weighted sum first: distance, round trip, response time, hops, cost and load, each in round units (M10).",
               .size = sizeof(struct blend), CONF_KEYS(blend_keys)},
    .kind = STAGE_SCORE,
    .reads = blend_reads,
    .metrics = blend_metrics,
    .run = blend_run,
};
