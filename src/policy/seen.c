/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/seen.h"

#include <math.h>
#include <string.h>

static bool has_family(const struct cfg_service_site *s, unsigned addr_family)
{
    CONFIG_EACH(struct cfg_vip, vip, s->vips)
        if (vip->addr.family == addr_family)
            return true;
    return false;
}

/* Never more than HANDOFF_SITES_MAX: a service has at most so many VIPs of a family. */
static void sites_by_name(const struct cfg_service *svc, unsigned addr_family, struct seen_table *t)
{
    CONFIG_EACH(struct cfg_service_site, s, svc->sites) {
        unsigned at = 0;
        int order = 1;
        const struct cfg_site *sites = s->site - s->site->index;
        while (at < t->head.count && (order = strcmp(sites[t->site[at]].name, s->site->name)) < 0)
            at++;
        if (!has_family(s, addr_family) || (at < t->head.count && order == 0) || t->head.count == HANDOFF_SITES_MAX)
            continue;
        memmove(t->site + at + 1, t->site + at, (t->head.count - at) * sizeof t->site[0]);
        t->site[at] = (uint16_t)s->site->index;
        t->head.count++;
    }
}

unsigned seen_row(const struct snap_seen *s, uint16_t site)
{
    unsigned row = 0;
    while (row + 1 < s->count && s->site[row] != site)
        row++;
    return row;
}

/* A time beats "down" beats nothing. */
static void see(float *cell, const struct sight *s)
{
    if (s->health == HEALTH_DOWN && isnan(*cell))
        *cell = INFINITY;
    else if (s->health == HEALTH_UP && !isnan(s->response_ms) && !(*cell <= s->response_ms))
        *cell = s->response_ms;
}

void seen_build(const struct model *m, uint32_t service, unsigned addr_family, const struct handoff_places *places,
                struct seen_table *out)
{
    const struct cfg_service *svc = (const struct cfg_service *)model_config(m)->services.items + service;
    const struct sights *sights = model_sights(m);
    uint32_t count, first = model_service_first_vip(m, service, &count);
    out->head = (struct snap_seen){.site = out->site, .ms = out->ms};
    sites_by_name(svc, addr_family, out);
    unsigned n = out->head.count;
    for (unsigned i = 0; i < n * n; i++)
        out->ms[i] = NAN;
    for (uint32_t vip = first; vip < first + count; vip++) {
        const struct model_vip *v = model_vip(m, vip);
        if (v->config->addr.family != addr_family)
            continue;
        unsigned row = seen_row(&out->head, v->site);
        for (const struct sight *s = sights_of(sights, vip); s; s = s->next) {
            uint16_t from = sights_vantage_site(sights, s->vantage);
            unsigned column = seen_row(&out->head, from);
            if (out->site[column] == from)
                see(&out->ms[row * n + column], s);
        }
    }
    if (!places)
        return;
    out->head.total = out->total;
    out->head.sum = handoff_totals(&(struct handoff_matrix){n, out->ms}, places, out->total);
}
