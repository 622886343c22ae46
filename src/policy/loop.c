/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/loop.h"

#include <math.h>
#include "policy/policy.h"

/* 1 = full; NaN = nobody has said anything. */
static float load_of(const struct model_vip *v)
{
    float load = v->metric[METRIC_LOAD], open = v->metric[METRIC_CONNECTIONS];
    if (!v->config->max_connections || isnan(open))
        return load;
    return fmaxf(isnan(load) ? 0 : load, open / (float)v->config->max_connections);
}

static void run_service(struct model *m, uint32_t service, const struct control_rule *rule, float dt_s)
{
    uint32_t count, first = model_service_first_vip(m, service, &count);
    for (uint32_t vip = first; vip < first + count; vip++) {
        const struct model_vip *v = model_vip(m, vip);
        struct control_state state = {v->admit_integral};
        float admit = control_step(&state, rule, v->health == HEALTH_DOWN ? NAN : load_of(v), dt_s);
        model_set_admit(m, vip, admit, state.integral);
    }
}

void loop_run(struct model *m, float dt_s)
{
    const struct cfg_policy *last = NULL;
    struct control_rule rule;
    bool has = false;
    CONFIG_EACH(struct cfg_service, svc, model_config(m)->services) {
        if (svc->policy != last) {
            last = svc->policy;
            has = policy_spill_rule(last, 0, &rule);
        }
        uint32_t ttl_s = svc->ttl_s == CFG_TTL_AUTO ? svc->max_ttl_s : svc->ttl_s;
        if (has && policy_spill_rule(svc->policy, ttl_s, &rule))
            run_service(m, svc->index, &rule, dt_s);
    }
}
