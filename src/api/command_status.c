/* SPDX-License-Identifier: Apache-2.0 */
/* status, sites, services. */
#include <stdlib.h>
#include <string.h>
#include "api/facts.h"
#include "base/arena.h"

struct counters {
    json_t *by_name;
    double uptime_s;
};

/* Sums a counter over its labels. */
static void count_metric(void *ctx, const char *name, const char *labels, const char *type, const char *help,
                         double value)
{
    struct counters *c = ctx;
    if (strcmp(type, "counter") != 0)
        return;
    json_t *o = json_object_get(c->by_name, name);
    if (!o) {
        o = json_object();
        json_object_set_new(c->by_name, name, o);
    }
    double total = value + json_number_value(json_object_get(o, "total"));
    json_object_set_new(o, "total", json_real(total));
    json_object_set_new(o, "per-second", json_real(c->uptime_s > 0 ? total / c->uptime_s : 0));
}

static json_t *checks_json(const struct api_host *h)
{
    struct facts_checks f;
    facts_checks(h, &f);
    json_t *o = json_pack("{s:I}", "total", (json_int_t)f.total);
    for (unsigned i = 0; i < PM_ARRAY_LEN(f.state); i++)
        json_object_set_new(o, check_state_name((enum check_state)i), json_integer(f.state[i]));
    return o;
}

json_t *api_status(struct api_call *c)
{
    const struct api_host *h = c->host;
    const struct model *m = h->model(h->ctx);
    struct facts_vips vips = {0};
    uint64_t now = clock_wall_ms(h->clock);
    uint64_t up_ms = now > h->started_wall_ms ? now - h->started_wall_ms : 0;
    struct counters counters = {json_object(), (double)up_ms / 1000};
    for (uint32_t v = 0; v < model_vip_count(m); v++)
        facts_count_vip(&vips, model_vip(m, v));
    h->metrics(h->ctx, count_metric, &counters);
    json_t *o =
        json_pack("{s:s, s:o, s:o, s:I, s:I, s:b, s:I, s:I, s:I, s:o, s:o, s:o}", "version", PM_VERSION, "now",
                  api_time_json(now), "started", api_time_json(h->started_wall_ms), "uptime-s",
                  (json_int_t)(up_ms / 1000), "generation", (json_int_t)h->snapshot(h->ctx)->generation, "hold",
                  monitor_held(h->monitor), "sites", (json_int_t)model_config(m)->sites.count, "services",
                  (json_int_t)model_config(m)->services.count, "overrides", (json_int_t)h->overrides->count, "vips",
                  facts_vips_json(&vips), "checks", checks_json(h), "counters", counters.by_name);
    json_t *more = h->status(h->ctx);
    /* What the daemon adds never hides what is said here. */
    if (more)
        json_object_update_missing(o, more);
    json_decref(more);
    return o;
}

/* ---- sites ---- */

struct site_facts {
    struct facts_vips vips;
    uint32_t services, last_service; /* last counted + 1: a service's VIPs are neighbours */
};

static struct site_facts *count_sites(const struct model *m)
{
    struct site_facts *f = mem_alloc((model_config(m)->sites.count + 1) * sizeof *f);
    for (uint32_t v = 0; v < model_vip_count(m); v++) {
        const struct model_vip *vip = model_vip(m, v);
        struct site_facts *s = &f[vip->site];
        facts_count_vip(&s->vips, vip);
        s->services += s->last_service != vip->service + 1;
        s->last_service = vip->service + 1;
    }
    return f;
}

static const char *common_override(const struct facts_vips *f)
{
    for (unsigned i = 0; i < FACTS_OVERRIDE; i++)
        if (f->override[i] == f->total)
            return override_name((enum override)i);
    return "mixed";
}

static void set_text(json_t *o, const char *key, const char *text)
{
    json_t *j = text && *text ? json_string(text) : NULL;
    if (j)
        json_object_set_new(o, key, j);
}

static json_t *site_json(const struct cfg_site *site, const struct site_facts *f)
{
    json_t *o = json_pack("{s:s, s:o, s:s, s:I}", "name", site->name, "vips", facts_vips_json(&f->vips), "override",
                          common_override(&f->vips), "services", (json_int_t)f->services);
    set_text(o, "country", site->country);
    set_text(o, "continent", site->continent);
    set_text(o, "region", site->region);
    if (site->asn)
        json_object_set_new(o, "asn", json_integer(site->asn));
    if (site->location.known)
        json_object_set_new(o, "location", json_pack("[f,f]", site->location.lat, site->location.lon));
    return o;
}

static json_t *site_services(const struct model *m, uint32_t site)
{
    json_t *names = json_array();
    uint32_t last = UINT32_MAX;
    for (uint32_t v = 0; v < model_vip_count(m); v++) {
        const struct model_vip *vip = model_vip(m, v);
        if (vip->site == site && vip->service != last)
            json_array_append_new(names, json_string(facts_service(m, last = vip->service)->name));
    }
    return names;
}

json_t *api_sites(struct api_call *c)
{
    const struct model *m = c->host->model(c->host->ctx);
    const char *name = api_value(c, "site")->text;
    int64_t only = name ? facts_find_site(c, name) : -1;
    if (name && only < 0)
        return NULL;
    struct site_facts *f = count_sites(m);
    json_t *list = json_array();
    for (uint32_t i = 0; i < model_config(m)->sites.count; i++) {
        if (name && i != only)
            continue;
        json_t *o = site_json(facts_site(m, i), &f[i]);
        if (name)
            json_object_set_new(o, "service-names", site_services(m, i));
        json_array_append_new(list, o);
    }
    free(f);
    return json_pack("{s:o}", "sites", list);
}

/* ---- services ---- */

static bool usable(const struct model_vip *v)
{
    return v->override == OVERRIDE_FORCE ||
           (v->override == OVERRIDE_NONE && v->health != HEALTH_DOWN && !v->flapping);
}

static json_t *service_json(const struct model *m, const struct snapshot *s, uint32_t service)
{
    const struct cfg_service *cfg = facts_service(m, service);
    const struct snap_service *svc = s->services[service];
    struct facts_vips f = {0};
    json_int_t good = 0;
    uint32_t count, first = model_service_first_vip(m, service, &count);
    for (uint32_t v = first; v < first + count; v++) {
        facts_count_vip(&f, model_vip(m, v));
        good += usable(model_vip(m, v));
    }
    return json_pack("{s:s, s:s, s:I, s:b, s:o, s:I, s:b}", "name", cfg->name, "policy", cfg->policy->name, "ttl-s",
                     (json_int_t)svc->ttl_s, "ttl-auto", cfg->ttl_s == CFG_TTL_AUTO, "vips", facts_vips_json(&f),
                     "usable", good, "compiled", svc->family[0].compiled);
}

json_t *api_services(struct api_call *c)
{
    const struct model *m = c->host->model(c->host->ctx);
    const struct snapshot *s = c->host->snapshot(c->host->ctx);
    const char *name = api_value(c, "service")->text;
    int64_t only = name ? facts_find_service(c, name) : -1;
    uint32_t count = model_config(m)->services.count, limit = (uint32_t)api_value(c, "limit")->count;
    if (name && only < 0)
        return NULL;
    json_t *list = json_array();
    if (name)
        json_array_append_new(list, service_json(m, s, (uint32_t)only));
    for (uint32_t i = 0; !name && i < count && i < limit; i++)
        json_array_append_new(list, service_json(m, s, i));
    return json_pack("{s:I, s:o}", "total", (json_int_t)(name ? 1 : count), "services", list);
}
