/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time is passed in, never fetched: whoever needs it holds a struct clock, so that tests script it. The system clock
 * is one instance; clock_manual is the other. Units are in the names: _ns nanoseconds, _ms milliseconds.
 *
 * Thread: the system clock from any; a manual clock from one.
 */
#ifndef PM_BASE_CLOCK_H
#define PM_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t (*mono_ns)(const struct clock *c); /* monotonic; for intervals and ages */
    uint64_t (*wall_ms)(const struct clock *c); /* since 1970 UTC; for files, logs and people */
};

extern const struct clock clock_system;

struct clock_manual {
    struct clock clock;
    uint64_t now_mono_ns, now_wall_ms;
};

void clock_manual_init(struct clock_manual *m);                 /* starts at 1000 s, 2026-01-01 */
void clock_manual_advance_ms(struct clock_manual *m, uint64_t ms); /* both clocks */

static inline uint64_t clock_mono_ns(const struct clock *c)
{
    return c->mono_ns(c);
}
static inline uint64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_ns(c) / 1000000u;
}
static inline uint64_t clock_wall_ms(const struct clock *c)
{
    return c->wall_ms(c);
}

#endif
