/* SPDX-License-Identifier: Apache-2.0 */
/* history, policies, metrics. */
#include <stdlib.h>
#include <string.h>
#include "api/facts.h"
#include "api/metrics.h"
#include "base/arena.h"
#include "conf/doc.h"
#include "policy/policy.h"

/* ---- history ---- */

static const char *change_what(const struct history_change *h)
{
    switch (h->field) {
    case HISTORY_HEALTH:
        return "health";
    case HISTORY_OVERRIDE:
        return "override";
    case HISTORY_FLAPPING:
        return "flapping";
    default:
        return h->field < METRIC_COUNT ? metric_info[h->field].name : "unknown";
    }
}

static json_t *change_value(const struct history_change *h, float v)
{
    unsigned n = v >= 0 && v < FACTS_HEALTH ? (unsigned)v : 0;
    switch (h->field) {
    case HISTORY_HEALTH:
        return json_string(health_name((enum health)n));
    case HISTORY_OVERRIDE:
        return json_string(override_name((enum override)n));
    case HISTORY_FLAPPING:
        return json_boolean(v > 0);
    default:
        return api_number((double)v);
    }
}

static json_t *change_json(const struct model *m, const struct history_change *h)
{
    char address[ADDR_TEXT];
    const struct model_vip *v = model_vip(m, h->vip);
    return json_pack("{s:o, s:s, s:s, s:s, s:s, s:o, s:o}", "when", api_time_json(h->wall_ms), "vip",
                     addr_format(&v->config->addr, address), "service", facts_service(m, v->service)->name, "site",
                     facts_site(m, v->site)->name, "what", change_what(h), "before", change_value(h, h->before),
                     "after", change_value(h, h->after));
}

json_t *api_history(struct api_call *c)
{
    const struct model *m = c->host->model(c->host->ctx);
    const struct history *h = c->host->history(c->host->ctx);
    const char *site = api_value(c, "site")->text, *service = api_value(c, "service")->text;
    int64_t only_site = -1, only_service = -1;
    if ((site && (only_site = facts_find_site(c, site)) < 0) ||
        (service && (only_service = facts_find_service(c, service)) < 0))
        return NULL;
    size_t limit = (size_t)api_value(c, "limit")->count;
    const struct history_change *change;
    json_t *list = json_array();
    for (size_t at = 0; json_array_size(list) < limit && (change = history_back(h, &at));) {
        if (change->wall_ms < api_value(c, "since")->ms)
            break;
        if (change->vip >= model_vip_count(m))
            continue;
        const struct model_vip *v = model_vip(m, change->vip);
        if ((only_site < 0 || v->site == only_site) && (only_service < 0 || v->service == only_service))
            json_array_append_new(list, change_json(m, change));
    }
    return json_pack("{s:o, s:o}", "since", api_time_json(history_since(h)), "changes", list);
}

/* ---- policies ---- */

static json_t *policy_json(const struct cfg_policy *p, uint32_t users)
{
    static const char *const sources[] = {"configuration", "preset", "inline"};
    return json_pack("{s:s, s:s, s:o, s:I}", "name", p->name, "source", sources[p->source], "stages",
                     conf_choices_json(&p->stages), "services", (json_int_t)users);
}

static json_t *policies_json(const struct config *config)
{
    const struct cfg_service *services = config->services.items;
    uint32_t *users = mem_alloc((config->policy_count + 1) * sizeof *users);
    json_t *list = json_array();
    for (uint32_t i = 0; i < config->services.count; i++)
        users[services[i].policy->index]++;
    for (uint32_t i = 0; i < config->policy_count; i++)
        json_array_append_new(list, policy_json(config->policies[i], users[i]));
    free(users);
    return list;
}

json_t *api_policies(struct api_call *c)
{
    static const char *const kinds[] = {"filter", "score", "group", "weight", "choose"};
    json_t *presets = json_array(), *stages = json_array();
    for (const struct config_preset *p = policy_presets; p->name; p++)
        json_array_append_new(presets,
                              json_pack("{s:s, s:s, s:s}", "name", p->name, "stages", p->text, "doc", p->doc));
    for (const struct stage *const *s = policy_stages; *s; s++)
        json_array_append_new(stages, json_pack("{s:s, s:s, s:s}", "name", (*s)->object.name, "kind",
                                                kinds[(*s)->kind], "doc", (*s)->object.doc));
    return json_pack("{s:o, s:o, s:o}", "policies", policies_json(model_config(c->host->model(c->host->ctx))),
                     "presets", presets, "stages", stages);
}

/* ---- metrics ---- */

static void add_metric(void *ctx, const char *name, const char *labels, const char *type, const char *help,
                       double value)
{
    json_t *by_name = ctx;
    if (!json_object_get(by_name, name))
        json_object_set_new(by_name, name, json_pack("{s:s, s:s, s:s}", "name", name, "type", type, "help", help));
}

json_t *api_metric_names(struct api_call *c)
{
    const struct api_host *h = c->host;
    json_t *by_name = json_object(), *list = json_array(), *o;
    const char *key;
    for (const struct metrics_info *i = metrics_table; i->name; i++)
        add_metric(by_name, i->name, "", i->type, i->help, 0);
    h->metrics(h->ctx, add_metric, by_name);
    json_object_foreach (by_name, key, o)
        json_array_append(list, o);
    json_decref(by_name);
    return json_pack("{s:o}", "metrics", list);
}
