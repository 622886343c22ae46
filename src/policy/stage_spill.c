/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/load.h"
#include "policy/stages.h"

struct spill {
    uint32_t target;
    uint64_t sessions_ms;
};

static const struct conf_key keys[] = {
    {"target", CONF_UINT, offsetof(struct spill, target), .def = "80", .min = 1, .max = 100, .unit = "%",
     .doc = "Load of a VIP to stay below: its reported load, or its connections against max-connections."},
    {"sessions", CONF_DURATION, offsetof(struct spill, sessions_ms), .def = "30s", .min = 1000, .max = 86400000,
     .doc = "About how long clients stay; together with the TTL this is how late the loop sees what it did."},
};

bool policy_spill_rule(const struct cfg_policy *p, uint32_t ttl_s, struct control_rule *out)
{
    const struct conf_choice *choice = p->stages.items;
    for (uint32_t i = 0; i < p->stages.count; i++) {
        if (policy_stage_for(&choice[i]) != &stage_spill)
            continue;
        const struct spill *s = choice[i].value;
        *out = (struct control_rule){(float)s->target / 100, (float)ttl_s + (float)s->sessions_ms / 1000};
        return true;
    }
    return false;
}

static void spill_run(const void *params, struct policy_run *r)
{
    r->pick = PICK_SPILL;
    for (unsigned i = 0; i < r->count; i++) {
        float admit = run_input(r, &r->list[i])->admit;
        if (admit < 1)
            run_trace(r, &r->list[i], TRACE_WEIGHED, "takes %.0f %% of those who come", (double)admit * 100);
    }
}

const struct stage stage_spill = {
    .object =
        {.name = "spill",
         .doc = "The best candidate, but one that nears its capacity takes only a part of those who come; the others "
                "go to "
                "the next best, so what must move moves the least. The part is found by a control loop that waits for "
                "TTLs and sessions to show what it did.",
         .size = sizeof(struct spill),
         CONF_KEYS(keys),
         .shorthand = "target"},
    .kind = STAGE_CHOOSE,
    .reads = reads_config,
    .run = spill_run,
};
