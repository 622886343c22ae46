/* SPDX-License-Identifier: Apache-2.0 */
/* The front end as `pointsman servers`, `explain` and the metrics page show it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "main/front_internal.h"

/* ---- servers ---- */

static const struct backend *backend_of(const struct front *f, const struct frontend_server_view *v)
{
    for (uint32_t i = 0; i < f->backend_count; i++)
        if (strcmp(f->backends[i].service, v->service) == 0 && strcmp(f->backends[i].server->name, v->server) == 0)
            return &f->backends[i];
    return NULL;
}

json_t *front_view(const struct front *f)
{
    json_t *servers = json_array(), *services = json_array(), *counters = json_object();
    struct frontend_server_view v;
    struct frontend_service_view s;
    uint64_t sum[FRONT_COUNTER_COUNT];
    for (unsigned i = 0; frontend_server_view(f->f, i, &v); i++) {
        char address[ENDPOINT_TEXT];
        const struct backend *b = backend_of(f, &v);
        json_t *o =
            json_pack("{s:s, s:s, s:s, s:b, s:b, s:s, s:s, s:i, s:i, s:f, s:f}", "service", v.service, "server",
                      v.server, "address", endpoint_format(&v.at, address), "up", v.up, "draining", v.draining,
                      "health", health_name(b ? (enum health)b->health : HEALTH_UNKNOWN), "override",
                      override_name(b ? (enum override)b->word : OVERRIDE_NONE), "active", (int)v.active, "idle",
                      (int)v.idle, "response-ms", v.response_ms, "empty-in-ms", v.draining ? v.empty_in_ms : 0.0);
        for (unsigned k = 0; k < FRONT_SERVER_COUNTER_COUNT; k++)
            json_object_set_new(o, front_server_counter_info[k].name, json_integer((json_int_t)v.n[k]));
        json_array_append_new(servers, o);
    }
    for (unsigned i = 0; frontend_service_view(f->f, i, &s); i++)
        json_array_append_new(services, json_pack("{s:s, s:i, s:i}", "service", s.service, "active", (int)s.active,
                                                  "waiting", (int)s.waiting));
    frontend_stats(f->f, sum);
    for (unsigned i = 0; i < FRONT_COUNTER_COUNT; i++)
        json_object_set_new(counters, front_counter_info[i].name, json_integer((json_int_t)sum[i]));
    return json_pack("{s:i, s:o, s:o, s:o}", "clients", (int)frontend_clients(f->f), "servers", servers, "services",
                     services, "counters", counters);
}

void front_metrics(const struct front *f, api_metric_fn *fn, void *fn_ctx)
{
    uint64_t sum[FRONT_COUNTER_COUNT] = {0};
    char name[96];
    if (f)
        frontend_stats(f->f, sum);
    for (unsigned i = 0; i < FRONT_COUNTER_COUNT; i++) {
        snprintf(name, sizeof name, "pointsman_front_%s_total", front_counter_info[i].name);
        fn(fn_ctx, name, "", "counter", front_counter_info[i].help, (double)sum[i]);
    }
    fn(fn_ctx, "pointsman_front_clients", "", "gauge", "Connections of clients that are open.",
       f ? frontend_clients(f->f) : 0);
}

/* ---- what would be done with a client ---- */

static const char *why_not(const struct frontend_server_view *v, const struct backend *b)
{
    const struct cfg_server *s = b ? b->server : NULL;
    if (b && b->word == OVERRIDE_DISABLE)
        return "disabled";
    if (!v->up)
        return "down";
    if (v->draining)
        return "drains: only clients that stick to it";
    if (s && !s->weight)
        return "weight 0: only clients that stick to it";
    if (s && s->max_connections && v->active >= s->max_connections)
        return "full";
    return NULL;
}

/* Every server of the front end with whether it can take the client; returns how many can. */
static unsigned tell_servers(const struct front *f, const char *name, json_t *list)
{
    struct frontend_server_view v;
    unsigned usable = 0;
    for (unsigned i = 0; frontend_server_view(f->f, i, &v); i++) {
        if (strcmp(v.service, name) != 0)
            continue;
        const struct backend *b = backend_of(f, &v);
        const char *why = why_not(&v, b);
        usable += !why;
        json_array_append_new(list,
                              json_pack("{s:s, s:b, s:s, s:i, s:i, s:f}", "server", v.server, "usable", !why, "why",
                                        why ? why : "takes clients", "weight", b ? (int)b->server->weight : 0, "active",
                                        (int)v.active, "response-ms", v.response_ms));
    }
    return usable;
}

static unsigned in_use(const struct front *f, const char *name)
{
    struct frontend_service_view v;
    for (unsigned i = 0; frontend_service_view(f->f, i, &v); i++)
        if (strcmp(v.service, name) == 0)
            return v.active;
    return 0;
}

/* Host of a URL, with its port. */
static size_t host_of(const char *url, const char **at)
{
    const char *p = strstr(url, "://");
    *at = p ? p + 3 : url;
    return strcspn(*at, "/?#");
}

/* The best other site of the director's order, as explain has it. */
static const struct cfg_service_site *next_site(const struct front *f, const struct cfg_service *s, const json_t *order,
                                                bool self_too)
{
    const json_t *c;
    size_t i;
    json_array_foreach(order, i, c) {
        const char *site = json_string_value(json_object_get(c, "site"));
        CONFIG_EACH(struct cfg_service_site, at, s->sites)
            if (strcmp(at->name, site) == 0 && (self_too || strcmp(at->name, f->config->node.site) != 0))
                return at;
    }
    return NULL;
}

struct verdict {
    const char *does, *why;
    char to[FRONT_URL_MAX * 2];
};

static void redirect(const struct front *f, const struct cfg_service *s, const struct cfg_front *cf,
                     const json_t *order, const char *url, bool self_too, struct verdict *v)
{
    char base[FRONT_URL_MAX];
    const char *host = "", *own = "";
    const struct cfg_service_site *at = next_site(f, s, order, self_too), *here = front_own_site(f->config, s);
    size_t n = url ? host_of(url, &host) : 0, own_n = here->url ? host_of(here->url, &own) : 0;
    if (!self_too && cf->guard == 0 && n && n == own_n && strncasecmp(host, own, n) == 0) {
        v->does = cf->busy ? "drop" : "503";
        v->why = "it came by this site's own name, so it was sent here: it is not sent on (loop guard)";
        return;
    }
    if (!at) {
        v->does = cf->busy ? "drop" : "503";
        v->why = "no other site is left";
        return;
    }
    front_site_url(at, cf, base);
    v->does = "redirect 307";
    snprintf(v->to, sizeof v->to, "%s%s", base, url && host[n] ? host + n : "/");
}

static void decide(const struct front *f, const struct cfg_service *s, const struct cfg_front *cf, const char *name,
                   unsigned usable, const json_t *order, const char *url, struct verdict *v)
{
    uint32_t max = front_max_connections(front_own_site(f->config, s));
    bool full = max && in_use(f, name) >= max, away = cf->overload_redirect && cf->mode == CFG_FRONT_SERVE;
    if (cf->mode == CFG_FRONT_REDIRECT && cf->target == 0) {
        v->why = "the service redirects to the best site";
        redirect(f, s, cf, order, url, true, v);
    } else if (cf->mode == CFG_FRONT_REDIRECT) {
        v->does = usable ? "redirect 307" : "503";
        v->why = "the service redirects to a server of this site";
    } else if (!full && usable) {
        v->does = cf->mode == CFG_FRONT_SERVE ? "serve" : "relay";
        v->why = "there is room, and a healthy server";
    } else {
        v->why = full ? "max-connections is reached" : "no healthy server";
        v->does = cf->busy ? "drop" : cf->mode == CFG_FRONT_SERVE ? "503" : "close";
        if (away)
            redirect(f, s, cf, order, url, false, v);
    }
}

json_t *front_explain(const struct front *f, const struct cfg_service *s, const json_t *order, const char *url)
{
    static const char *const modes[] = {"serve", "redirect", "tcp", "ftp"};
    unsigned number = 0;
    json_t *list = json_array();
    if (!f->config || !front_own_site(f->config, s))
        return list;
    CONFIG_EACH(struct cfg_front, cf, s->fronts) {
        struct verdict v = {.why = ""};
        char name[300];
        json_t *servers = json_array();
        snprintf(name, sizeof name, number ? "%s#%u" : "%s", s->name, number + 1);
        number++;
        unsigned usable = tell_servers(f, name, servers);
        decide(f, s, cf, name, usable, order, url, &v);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:o}", "mode", modes[cf->mode], "does", v.does,
                                        "why", v.why, "to", v.to, "active", (int)in_use(f, name), "max-connections",
                                        (int)front_max_connections(front_own_site(f->config, s)), "servers", servers));
    }
    return list;
}
