/* SPDX-License-Identifier: Apache-2.0 */
/* peers, matrix, handoff: the other balancers, what the sites see of each other, and what follows from it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "api/facts.h"
#include "base/arena.h"
#include "policy/policy.h"
#include "policy/seen.h"

struct asked {
    const struct model *m;
    uint32_t service;
    unsigned addr_family;
    struct seen_table *table; /* free() */
};

static unsigned default_family(const struct model *m, uint32_t service)
{
    uint32_t count, first = model_service_first_vip(m, service, &count);
    for (uint32_t v = first; v < first + count; v++)
        if (model_vip(m, v)->config->addr.family == ADDR_V4)
            return ADDR_V4;
    return ADDR_V6;
}

static int ask(struct api_call *c, const struct handoff_places *places, struct asked *out)
{
    const char *type = api_value(c, "type")->text;
    int64_t service = facts_find_service(c, api_value(c, "service")->text);
    if (service < 0)
        return PM_ENOTFOUND;
    if (type && strcasecmp(type, "A") != 0 && strcasecmp(type, "AAAA") != 0) {
        api_fail(c, "bad-argument", "type: \"%.20s\" is neither A nor AAAA", type);
        return PM_EINVAL;
    }
    *out = (struct asked){.m = c->host->model(c->host->ctx), .service = (uint32_t)service};
    out->addr_family = !type ? default_family(out->m, out->service) : strcasecmp(type, "A") == 0 ? ADDR_V4 : ADDR_V6;
    out->table = mem_alloc(sizeof *out->table);
    seen_build(out->m, out->service, out->addr_family, places, out->table);
    return PM_OK;
}

static const char *site_name(const struct asked *a, unsigned row)
{
    return facts_site(a->m, a->table->site[row])->name;
}

static json_t *about(const struct asked *a)
{
    return json_pack("{s:s, s:s}", "service", facts_service(a->m, a->service)->name, "family",
                     a->addr_family == ADDR_V4 ? "IPv4" : "IPv6");
}

/* ---- peers ---- */

json_t *api_peers(struct api_call *c)
{
    json_t *peers = c->host->peers(c->host->ctx);
    return peers ? peers : api_fail(c, "not-found", "the configuration names no other balancers (mesh)");
}

json_t *api_servers(struct api_call *c)
{
    json_t *servers = c->host->servers(c->host->ctx);
    return servers ? servers
                   : api_fail(c, "not-found", "no service has a front end at this balancer's site (front, node.site)");
}

/* ---- matrix ---- */

static json_t *cell(const struct asked *a, unsigned row, unsigned column)
{
    float ms = a->table->ms[row * a->table->head.count + column];
    return json_pack("{s:s, s:s, s:o}", "from", site_name(a, column), "state",
                     isnan(ms)   ? "unknown"
                     : isinf(ms) ? "down"
                                 : "up",
                     "ms", isfinite(ms) ? json_real((double)ms) : json_null());
}

json_t *api_matrix(struct api_call *c)
{
    struct asked a;
    if (ask(c, NULL, &a))
        return NULL;
    json_t *rows = json_array(), *out = about(&a);
    for (unsigned row = 0; row < a.table->head.count; row++) {
        json_t *cells = json_array();
        for (unsigned column = 0; column < a.table->head.count; column++)
            json_array_append_new(cells, cell(&a, row, column));
        json_array_append_new(rows, json_pack("{s:s, s:o}", "site", site_name(&a, row), "seen", cells));
    }
    json_object_set_new(out, "sites", rows);
    free(a.table);
    return out;
}

/* ---- handoff ---- */

/* Whether this balancer would send anybody there. */
static bool usable_here(const struct asked *a, uint16_t site)
{
    uint32_t count, first = model_service_first_vip(a->m, a->service, &count);
    for (uint32_t i = first; i < first + count; i++) {
        const struct model_vip *v = model_vip(a->m, i);
        if (v->site == site && v->config->addr.family == a->addr_family && v->override != OVERRIDE_DRAIN &&
            v->override != OVERRIDE_DISABLE && (v->health != HEALTH_DOWN || v->override == OVERRIDE_FORCE))
            return true;
    }
    return false;
}

static json_t *orders(const struct asked *a)
{
    const struct handoff_matrix m = {a->table->head.count, a->table->ms};
    json_t *list = json_array();
    for (unsigned tester = 0; tester < m.sites; tester++) {
        uint8_t order[HANDOFF_SITES_MAX];
        unsigned n = handoff_order(&m, tester, order);
        json_t *names = json_array();
        for (unsigned i = 0; i < n; i++)
            json_array_append_new(names, json_string(site_name(a, order[i])));
        json_array_append_new(list, json_pack("{s:s, s:o}", "site", site_name(a, tester), "prefers", names));
    }
    return list;
}

json_t *api_handoff(struct api_call *c)
{
    struct asked a;
    struct handoff_places places;
    int64_t service = facts_find_service(c, api_value(c, "service")->text);
    if (service < 0)
        return NULL;
    const struct cfg_policy *policy = facts_service(c->host->model(c->host->ctx), (uint32_t)service)->policy;
    if (!policy_handoff_places(policy, &places))
        return api_fail(c, "not-found", "the policy of this service has no stage `handoff`");
    if (ask(c, &places, &a))
        return NULL;
    json_t *out = about(&a), *weights = json_array(), *shares = json_array();
    double here = 0;
    for (unsigned i = 0; i < places.count; i++)
        json_array_append_new(weights, json_integer(places.weight[i]));
    for (unsigned i = 0; i < a.table->head.count; i++)
        here += usable_here(&a, a.table->site[i]) ? a.table->total[i] : 0;
    for (unsigned i = 0; i < a.table->head.count; i++) {
        bool usable = usable_here(&a, a.table->site[i]);
        double total = a.table->total[i], sum = a.table->head.sum;
        json_array_append_new(shares, json_pack("{s:s, s:f, s:f, s:b, s:f}", "site", site_name(&a, i), "weight", total,
                                                "share", sum > 0 ? total / sum : 0, "usable", usable, "share-here",
                                                usable && here > 0 ? total / here : 0));
    }
    json_object_set_new(out, "place-weights", weights);
    json_object_set_new(out, "orders", orders(&a));
    json_object_set_new(out, "sites", shares);
    json_object_set_new(out, "in-force", json_boolean(a.table->head.sum && a.table->head.count > places.few));
    free(a.table);
    return out;
}
