/* SPDX-License-Identifier: Apache-2.0 */
#include "api/facts.h"

#include <string.h>
#include "base/map.h"
#include "conf/load.h"

void facts_count_vip(struct facts_vips *f, const struct model_vip *v)
{
    f->total++;
    f->health[v->health]++;
    f->override[v->override]++;
}

json_t *facts_vips_json(const struct facts_vips *f)
{
    json_t *o = json_pack("{s:I}", "total", (json_int_t)f->total);
    for (unsigned i = 0; i < FACTS_HEALTH; i++)
        json_object_set_new(o, health_name((enum health)i), json_integer(f->health[i]));
    for (unsigned i = OVERRIDE_FORCE; i < FACTS_OVERRIDE; i++)
        json_object_set_new(o, override_name((enum override)i), json_integer(f->override[i]));
    return o;
}

void facts_checks(const struct api_host *h, struct facts_checks *out)
{
    const struct model *m = h->model(h->ctx);
    struct map seen;
    *out = (struct facts_checks){0};
    map_init(&seen);
    for (uint32_t v = 0; v < model_vip_count(m); v++) {
        const struct monitor_check *c;
        for (unsigned i = 0; h->vip_check(h->ctx, v, i, &c); i++) {
            struct check_view view;
            const struct monitor_spec *spec = monitor_check_spec(c);
            /* The spec's key lives as long as the check, which is longer than this map. */
            if (map_put(&seen, spec->key, strlen(spec->key), (void *)(uintptr_t)1))
                continue;
            monitor_check_view(h->monitor, c, &view);
            out->total++;
            out->state[view.state]++;
        }
    }
    map_fini(&seen);
}

const struct cfg_site *facts_site(const struct model *m, uint32_t site)
{
    return (const struct cfg_site *)model_config(m)->sites.items + site;
}

const struct cfg_service *facts_service(const struct model *m, uint32_t service)
{
    return (const struct cfg_service *)model_config(m)->services.items + service;
}

static int64_t not_found(struct api_call *c, const char *what, const char *name, const struct conf_nearest *n)
{
    if (n->best)
        api_fail(c, "not-found", "there is no %s \"%.253s\"; did you mean \"%s\"?", what, name, n->best);
    else
        api_fail(c, "not-found", "there is no %s \"%.253s\"", what, name);
    return -1;
}

int64_t facts_find_site(struct api_call *c, const char *name)
{
    const struct model *m = c->host->model(c->host->ctx);
    struct conf_nearest n;
    conf_nearest_init(&n, name);
    for (uint32_t i = 0; i < model_config(m)->sites.count; i++) {
        const char *site = facts_site(m, i)->name;
        if (strcasecmp(site, name) == 0)
            return i;
        conf_nearest_try(&n, site);
    }
    return not_found(c, "site", name, &n);
}

int64_t facts_find_service(struct api_call *c, const char *name)
{
    const struct model *m = c->host->model(c->host->ctx);
    int64_t found = c->host->service_of(c->host->ctx, name);
    struct conf_nearest n;
    if (found >= 0)
        return found;
    conf_nearest_init(&n, name);
    for (uint32_t i = 0; i < model_config(m)->services.count; i++)
        conf_nearest_try(&n, facts_service(m, i)->name);
    return not_found(c, "service", name, &n);
}
