/* SPDX-License-Identifier: Apache-2.0 */
#include "model/guard.h"

/* In configured weights; a site's is shared among its VIPs of the family. */
static double weight(const struct model_vip *v)
{
    double sum = 0;
    CONFIG_EACH(struct cfg_vip, vip, v->at->vips)
        sum += vip->addr.family == v->config->addr.family ? vip->weight : 0;
    return sum > 0 ? v->at->weight * v->config->weight / sum : 0;
}

/* Sums over the VIPs of the same service and family; moved_since 0: all of them. */
static double sum_weights(const struct model *m, const struct model_vip *like, uint64_t moved_since)
{
    double sum = 0;
    uint32_t count, first = model_service_first_vip(m, like->service, &count);
    for (uint32_t i = first; i < first + count; i++) {
        const struct model_vip *v = model_vip(m, i);
        bool counts = !moved_since || (v->health == HEALTH_DOWN && !v->kept && v->moved_ms >= moved_since);
        if (counts && v != like && v->config->addr.family == like->config->addr.family)
            sum += weight(v);
    }
    return sum;
}

double guard_share(const struct model *m, uint32_t vip)
{
    const struct model_vip *v = model_vip(m, vip);
    double own = weight(v), all = sum_weights(m, v, 0) + own;
    return all > 0 ? own / all : 0;
}

double guard_moved(const struct model *m, uint32_t vip, uint64_t now_ms)
{
    const struct model_vip *v = model_vip(m, vip);
    double all = sum_weights(m, v, 0) + weight(v);
    uint64_t since = now_ms > GUARD_WINDOW_MS ? now_ms - GUARD_WINDOW_MS : 1;
    return all > 0 ? sum_weights(m, v, since) / all : 0;
}

bool guard_allows(const struct model *m, uint32_t vip, uint64_t now_ms)
{
    uint32_t limit = model_config(m)->monitor.move_limit;
    if (limit >= 100)
        return true;
    double moved = guard_moved(m, vip, now_ms);
    return moved <= 0 || (moved + guard_share(m, vip)) * 100 <= limit + 1e-9;
}
