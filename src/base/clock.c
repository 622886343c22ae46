/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

static uint64_t system_mono_ns(const struct clock *c)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t system_wall_ms(const struct clock *c)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

const struct clock clock_system = {system_mono_ns, system_wall_ms};

static uint64_t manual_mono_ns(const struct clock *c)
{
    return ((const struct clock_manual *)c)->now_mono_ns;
}

static uint64_t manual_wall_ms(const struct clock *c)
{
    return ((const struct clock_manual *)c)->now_wall_ms;
}

void clock_manual_init(struct clock_manual *m)
{
    m->clock = (struct clock){manual_mono_ns, manual_wall_ms};
    m->now_mono_ns = 1000ull * 1000000000ull;
    m->now_wall_ms = 1767225600ull * 1000ull;
}

void clock_manual_advance_ms(struct clock_manual *m, uint64_t ms)
{
    m->now_mono_ns += ms * 1000000u;
    m->now_wall_ms += ms;
}
