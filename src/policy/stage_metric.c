/* SPDX-License-Identifier: Apache-2.0 */
/* The scores that are one measured metric each: the metric table says its unit and which end is better. */
#include "policy/stages.h"

/* run_score puts lower values first; metrics where more is better are negated (and shown by their magnitude). */
#define METRIC_STAGE(symbol, METRIC, stage_name, stage_doc)                                        \
    static float symbol##_value(const void *params, const struct policy_run *r, const struct run_cand *c) \
    {                                                                                              \
        float v = run_input(r, c)->metric[METRIC];                                                 \
        return metric_info[METRIC].lower_is_better ? v : -v;                                       \
    }                                                                                              \
    static void symbol##_run(const void *params, struct policy_run *r)                             \
    {                                                                                              \
        run_score(r, params, symbol##_value, metric_info[METRIC].unit);                            \
    }                                                                                              \
    static unsigned symbol##_metrics(const void *params)                                           \
    {                                                                                              \
        return 1u << (METRIC);                                                                     \
    }                                                                                              \
    const struct stage stage_##symbol = {.object = {.name = stage_name, .doc = stage_doc},         \
                                         .kind = STAGE_SCORE,                                      \
                                         .reads = reads_metrics,                                   \
                                         .metrics = symbol##_metrics,                              \
                                         .run = symbol##_run};

METRIC_STAGE(response_time, METRIC_RESPONSE, "response-time", "Shortest average response time of the checks first (S1, M10).")
METRIC_STAGE(throughput, METRIC_THROUGHPUT, "throughput", "Highest throughput of the checks first (A2).")
METRIC_STAGE(hops, METRIC_HOPS, "hops", "Fewest routers between this balancer and the VIP first (S1); needs a hops check.")
METRIC_STAGE(connections, METRIC_CONNECTIONS, "connections", "Fewest open connections first.")
METRIC_STAGE(load, METRIC_LOAD, "load", "Lowest reported load first.")
