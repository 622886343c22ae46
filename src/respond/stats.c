/* SPDX-License-Identifier: Apache-2.0 */
#include "respond/stats.h"

const struct respond_counter_info respond_counter_info[RESPOND_COUNTER_COUNT] = {
#define X(sym, name, unit, help) {name, unit, help},
    RESPOND_COUNTERS(X)
#undef X
};

void respond_stats_add(const struct respond_stats *s, uint64_t sum[RESPOND_COUNTER_COUNT])
{
    for (unsigned i = 0; i < RESPOND_COUNTER_COUNT; i++)
        sum[i] += __atomic_load_n(&s->n[i], __ATOMIC_RELAXED);
}
