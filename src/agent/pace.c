/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pace.h"

enum { SECOND_NS = 1000000000, MS_NS = 1000000, CREDIT_PART = 8, TIME_MAX_S = 60 };

static int64_t credit_max(const struct agent_pace *p)
{
    return (int64_t)(p->rate / CREDIT_PART) + 1;
}

void agent_pace_init(struct agent_pace *p, uint64_t rate, uint64_t now_ns)
{
    const uint64_t most = UINT64_C(10) << 30; /* times a second's nanoseconds it fits into 64 bits */
    *p = (struct agent_pace){.rate = rate < most ? rate : most, .at_ns = now_ns};
    p->credit = credit_max(p);
}

static void earn(struct agent_pace *p, uint64_t now_ns)
{
    uint64_t passed = now_ns - p->at_ns, longest = (uint64_t)TIME_MAX_S * SECOND_NS;
    if (passed > longest) {
        p->at_ns = now_ns - longest;
        passed = longest;
    }
    uint64_t seconds = passed / SECOND_NS, part = passed % SECOND_NS * p->rate / SECOND_NS;
    /* Time that is not worth a whole byte yet counts the next time. */
    p->at_ns += seconds * SECOND_NS + part * SECOND_NS / p->rate;
    p->credit += (int64_t)(seconds * p->rate + part);
    if (p->credit > credit_max(p))
        p->credit = credit_max(p);
}

bool agent_pace_may(struct agent_pace *p, uint64_t now_ns)
{
    if (!p->rate)
        return true;
    earn(p, now_ns);
    return p->credit > 0;
}

void agent_pace_take(struct agent_pace *p, uint64_t bytes)
{
    if (p->rate)
        p->credit -= (int64_t)bytes;
}

uint64_t agent_pace_wait_ms(struct agent_pace *p, uint64_t now_ns)
{
    if (agent_pace_may(p, now_ns))
        return 0;
    uint64_t debt = (uint64_t)-p->credit + 1, passed = now_ns - p->at_ns;
    uint64_t ns = debt / p->rate * SECOND_NS + (debt % p->rate * SECOND_NS + p->rate - 1) / p->rate;
    return ns > passed ? (ns - passed + MS_NS - 1) / MS_NS : 0;
}
