/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be measured of a VIP, one line each: symbol, name, unit, which end is better, doc. A metric is a float;
 * NaN means that nobody has measured it. Stages read metrics by these names; explain and the status views print them.
 */
#ifndef PM_MODEL_METRIC_H
#define PM_MODEL_METRIC_H

#include <stdbool.h>

#define MODEL_METRICS(X)                                                                           \
    X(RESPONSE, "response-time", "ms", true, "Time-weighted average duration of good checks.")     \
    X(THROUGHPUT, "throughput", "B/s", false, "Payload of a check per second of its duration.")    \
    X(HOPS, "hops", "hops", true, "Routers between this balancer and the VIP.")                    \
    X(CONNECTIONS, "connections", "connections", true, "Connections open at the VIP.")             \
    X(LOAD, "load", "", true, "Load as the server or an operator reports it; 1 is full.")

enum metric {
#define X(sym, name, unit, low, doc) METRIC_##sym,
    MODEL_METRICS(X)
#undef X
    METRIC_COUNT
};

struct metric_info {
    const char *name, *unit;
    bool lower_is_better;
    const char *doc;
};
extern const struct metric_info metric_info[METRIC_COUNT];

#endif
