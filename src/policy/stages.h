/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every stage, one line each: symbol and file. A new stage is a file stage_NAME.c that defines `stage_NAME`, and a line
 * here; configuration, reference manual and explain follow from its struct.
 */
#ifndef PM_POLICY_STAGES_H
#define PM_POLICY_STAGES_H

#include "model/model.h"
#include "policy/policy.h"

#define POLICY_STAGES(X)                                                                           \
    X(up)                                                                                          \
    X(not_full)                                                                                    \
    X(holds)                                                                                       \
    X(only)                                                                                        \
    X(match)                                                                                       \
    X(geo)                                                                                         \
    X(latency)                                                                                     \
    X(rtt)                                                                                         \
    X(near)                                                                                        \
    X(response_time)                                                                               \
    X(throughput)                                                                                  \
    X(hops)                                                                                        \
    X(connections)                                                                                 \
    X(load)                                                                                        \
    X(cost)                                                                                        \
    X(order)                                                                                       \
    X(blend)                                                                                       \
    X(within)                                                                                      \
    X(weight)                                                                                      \
    X(capacity)                                                                                    \
    X(handoff)                                                                                     \
    X(first)                                                                                       \
    X(weighted)                                                                                    \
    X(pick)                                                                                        \
    X(spill)                                                                                       \
    X(spread)                                                                                      \
    X(round_robin)                                                                                 \
    X(hash)

#define X(sym) extern const struct stage stage_##sym;
POLICY_STAGES(X)
#undef X

/* reads() functions shared by stages whose parameters do not change what they read. */
static inline unsigned reads_health(const void *params)
{
    return READS_HEALTH;
}
static inline unsigned reads_metrics(const void *params)
{
    return READS_METRICS;
}
static inline unsigned reads_config(const void *params)
{
    return READS_CONFIG;
}

#endif
