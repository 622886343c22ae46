/* SPDX-License-Identifier: Apache-2.0 */
#include "main/generation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "conf/diag.h"
#include "dns/zone.h"
#include "monitor/module.h"
#include "policy/compile.h"
#include "policy/policy.h"

/* ---- configuration ---- */

int generation_config(const struct config_source *from, struct config **out, struct buf *report)
{
    struct config_registries reg = {.stages = &policy_stage_registry,
                                    .checks = &monitor_check_registry,
                                    .presets = policy_presets,
                                    .default_policy = "geo"};
    struct conf_diag *diag = conf_diag_new();
    int err = from->text ? config_load_text(from->path, from->text, strlen(from->text), &reg, out, diag)
                         : config_load(from->path, &reg, out, diag);
    conf_diag_print(diag, report);
    conf_diag_free(diag);
    return err;
}

/* ---- geography ---- */

static void geo_report(void *ctx, const char *file, unsigned line, const char *message)
{
    struct buf *report = ctx;
    if (line)
        buf_printf(report, "%s:%u: error: %s\n", file, line, message);
    else
        buf_printf(report, "%s: error: %s\n", file, message);
}

/* `serves: {prefixes: [...]}` of a site: longest match, so it belongs to the address table. */
static void add_site_prefixes(struct geo_builder *b, const struct config *config)
{
    const struct cfg_site *sites = config->sites.items;
    for (uint32_t s = 0; s < config->sites.count; s++) {
        const struct prefix *p = sites[s].serves.prefixes.items;
        for (uint32_t i = 0; i < sites[s].serves.prefixes.count; i++)
            geo_builder_override(b, &p[i], &(struct geo_place){.tag = s + 1, .region = "", .city = ""});
    }
}

int generation_geo(const struct config *config, struct geo_db **out, struct buf *report)
{
    struct geo_builder *b = geo_builder_new(geo_report, report);
    int err = config_geo_build(config, b);
    if (!err)
        add_site_prefixes(b, config);
    if (err)
        geo_builder_free(b);
    else
        *out = geo_builder_freeze(b);
    return err;
}

/* ---- zones ---- */

static void zone_report(void *ctx, const struct dns_report *r)
{
    struct buf *report = ctx;
    if (*r->file)
        buf_printf(report, "%s:%u: ", r->file, r->line);
    buf_printf(report, "%s: %s\n", r->severity == DNS_ERROR ? "error" : "warning", r->message);
}

static int add_apex(struct dns_zones_builder *b, const struct cfg_zone *z, const uint8_t *origin, uint32_t serial)
{
    uint8_t mname[DNS_NAME_MAX], rname[DNS_NAME_MAX];
    const char *const *ns = z->ns.items;
    uint32_t n = z->ns.count;
    uint8_t(*wire)[DNS_NAME_MAX] = mem_alloc((n + 1) * sizeof *wire);
    const uint8_t **list = mem_alloc((n + 1) * sizeof *list);
    int rc = 0;
    for (uint32_t i = 0; i < n && rc >= 0; i++) {
        rc = dns_name_parse(ns[i], NULL, wire[i]);
        list[i] = wire[i];
    }
    if (rc >= 0)
        rc = dns_name_parse(ns[0], NULL, mname);
    if (rc >= 0)
        rc = dns_name_parse(z->mbox, NULL, rname);
    int err = rc < 0 ? rc : dns_zone_begin(b, origin);
    if (!err) {
        err = dns_zone_generate_apex(
            b, &(struct dns_apex){.mname = mname, .rname = rname, .serial = serial, .refresh = z->refresh_s,
                                  .retry = z->retry_s, .expire = z->expire_s,
                                  .minimum = z->negative_ttl_s, .ttl = z->ttl_s,
                                  .ns = list, .ns_count = n});
    }
    free(wire);
    free(list);
    return err;
}

static int add_services(struct dns_zones_builder *b, const struct config *config)
{
    const struct cfg_service *services = config->services.items;
    int worst = PM_OK;
    for (uint32_t s = 0; s < config->services.count; s++) {
        const char *const *aliases = services[s].aliases.items;
        dns_zones_builder_at(b, services[s].mark.file, services[s].mark.line);
        for (uint32_t i = 0; i <= services[s].aliases.count; i++) {
            uint8_t wire[DNS_NAME_MAX];
            int err = dns_name_parse(i ? aliases[i - 1] : services[s].name, NULL, wire);
            if (err >= 0)
                err = dns_zone_add_service(b, wire, s);
            if (err < 0)
                worst = err;
        }
    }
    return worst;
}

int generation_zones(const struct config *config, uint32_t serial, struct dns_zones **out, struct buf *report)
{
    const struct cfg_zone *zones = config->zones.items;
    struct dns_zones_builder *b = dns_zones_builder_new(zone_report, report);
    int worst = PM_OK;
    for (uint32_t i = 0; i < config->zones.count; i++) {
        uint8_t origin[DNS_NAME_MAX];
        dns_zones_builder_at(b, zones[i].mark.file, zones[i].mark.line);
        int err = dns_name_parse(zones[i].name, NULL, origin);
        if (err >= 0)
            err = zones[i].file ? dns_zone_load_file(b, zones[i].file, origin) : add_apex(b, &zones[i], origin, serial);
        if (err < 0)
            worst = err;
    }
    int err = add_services(b, config);
    if (!err && !worst)
        err = dns_zones_build(b, out);
    dns_zones_builder_free(b);
    return worst ? worst : err;
}

/* ---- all of it ---- */

int generation_new(const struct config_source *from, const struct clock *clock, const struct generation *old,
                   struct generation **out, struct buf *report)
{
    struct generation *g = mem_alloc(sizeof *g);
    g->number = old ? old->number + 1 : 1;
    int err = generation_config(from, &g->config, report);
    if (!err) {
        /* Both are tried, so that one run shows the errors of both. */
        err = generation_geo(g->config, &g->geo, report);
        int zerr = generation_zones(g->config, (uint32_t)(clock_wall_ms(clock) / 1000), &g->zones, report);
        err = err ? err : zerr;
    }
    if (err) {
        generation_free(g);
        return err;
    }
    g->model = model_new(g->config, clock);
    if (old)
        model_adopt(g->model, old->model);
    *out = g;
    return PM_OK;
}

void generation_compile(struct generation *g, const struct overrides *o)
{
    overrides_apply(o, g->model);
    g->snapshot = compile_snapshot(g->model, g->config, g->geo, g->zones, g->number);
}

struct old_geo generation_swap_geo(struct generation *g, struct geo_db *geo)
{
    struct old_geo old = {g->snapshot, g->geo};
    g->geo = geo;
    g->snapshot = compile_snapshot(g->model, g->config, geo, g->zones, g->number);
    return old;
}

void generation_free(struct generation *g)
{
    if (!g)
        return;
    compile_snapshot_free(g->snapshot);
    model_free(g->model);
    dns_zones_free(g->zones);
    geo_db_free(g->geo);
    config_free(g->config);
    free(g);
}
