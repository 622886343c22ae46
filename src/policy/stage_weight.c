/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

#include <math.h>

enum { BY_CONFIG, BY_RESPONSE, BY_THROUGHPUT, BY_LOAD };
static const char *const by_names[] = {"config", "response-time", "throughput", "load", NULL};

struct weight {
    int by;
};

static const struct conf_key weight_keys[] = {
    {"by", CONF_ENUM, offsetof(struct weight, by), .def = "config", .sub = by_names,
     .doc = "config: as configured; response-time: configured / average response time; throughput: configured x "
            "throughput; load: configured x (1 - load). What is not measured leaves the configured weight."},
};

static float weight_value(const void *params, const struct policy_run *r, const struct run_cand *c)
{
    const struct snap_cand *in = run_input(r, c);
    float m;
    switch (((const struct weight *)params)->by) {
    case BY_RESPONSE:
        m = in->metric[METRIC_RESPONSE];
        return isnan(m) ? in->weight : in->weight * 1000 / fmaxf(m, 0.1f);
    case BY_THROUGHPUT:
        m = in->metric[METRIC_THROUGHPUT];
        return isnan(m) ? in->weight : in->weight * m;
    case BY_LOAD:
        m = in->metric[METRIC_LOAD];
        return isnan(m) ? in->weight : in->weight * fmaxf(1 - m, 0);
    default:
        return in->weight;
    }
}

static void weight_run(const void *params, struct policy_run *r)
{
    run_weigh(r, params, weight_value);
}

static unsigned weight_reads(const void *params)
{
    return READS_CONFIG | (((const struct weight *)params)->by == BY_CONFIG ? 0 : READS_METRICS);
}

static unsigned weight_metrics(const void *params)
{
    static const unsigned bits[] = {0, 1u << METRIC_RESPONSE, 1u << METRIC_THROUGHPUT, 1u << METRIC_LOAD};
    return bits[((const struct weight *)params)->by];
}

const struct stage stage_weight = {
    .object = {.name = "weight", .doc = "Sets the weights that `weighted` draws by.", .size = sizeof(struct weight),
               CONF_KEYS(weight_keys), .shorthand = "by"},
    .kind = STAGE_WEIGHT,
    .reads = weight_reads,
    .metrics = weight_metrics,
    .run = weight_run,
};
