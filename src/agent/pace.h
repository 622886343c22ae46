/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A limit of bytes per second, shared by all that take from it: credit grows with time up to an eighth of a second's
 * worth. Who has credit may take more than there is of it; all wait until the debt is paid. So the average is exact,
 * and one block more for each who takes is the most that it is ahead.
 *
 * A plain value. Thread: one at a time. The clock is passed in.
 */
#ifndef PM_AGENT_PACE_H
#define PM_AGENT_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct agent_pace {
    uint64_t rate; /* 0: no limit */
    int64_t credit;
    uint64_t at_ns;
};

void agent_pace_init(struct agent_pace *p, uint64_t rate, uint64_t now_ns);
bool agent_pace_may(struct agent_pace *p, uint64_t now_ns);
void agent_pace_take(struct agent_pace *p, uint64_t bytes);
/* From now until there is credit; 0: there is. */
uint64_t agent_pace_wait_ms(struct agent_pace *p, uint64_t now_ns);

#endif
