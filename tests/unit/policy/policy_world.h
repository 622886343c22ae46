/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small world for policy tests: sites with places, a geography of a few prefixes, one service whose VIPs are given by a
 * table, and a policy given as configuration text. Included by the tests (statics on purpose).
 */
#ifndef PM_TESTS_POLICY_WORLD_H
#define PM_TESTS_POLICY_WORLD_H

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "../cmocka_pm.h"
#include "base/buf.h"
#include "conf/diag.h"
#include "geo/build.h"
#include "model/model.h"
#include "model/overrides.h"
#include "monitor/module.h"
#include "policy/compile.h"
#include "policy/director.h"
#include "policy/explain.h"
#include "policy/loop.h"
#include "policy/view.h"

struct pw {
    struct config *config;
    struct geo_db *geo;
    struct model *model;
    struct snapshot *snap;
    struct clock_manual clock;
    struct director_thread *thread;
};

/* Sites: paris (FR), london (GB), newyork (US), tokyo (JP); clients by prefix below. */
static const char pw_sites[] = "sites:\n"
                               "  paris: {location: [48.85, 2.35], country: FR, continent: EU, cost: 3}\n"
                               "  london: {location: [51.51, -0.13], country: GB, continent: EU, cost: 2}\n"
                               "  newyork: {location: [40.71, -74.01], country: US, continent: NA, cost: 1,"
                               " serves: {asns: [64500], countries: [MX], prefixes: [198.51.100.0/24]}}\n"
                               "  tokyo: {location: [35.68, 139.69], country: JP, continent: AS, cost: 4,"
                               " serves: {continents: [OC], regions: [pacific-rim]}}\n"
                               "zones: {example.com: {ns: [ns1.example.com]}}\n"
                               "node: {state: '', name: me, site: tokyo}\n";

static const struct {
    const char *prefix, *country, *continent, *region;
    double lat, lon;
    uint32_t asn;
} pw_places[] = {
    {"192.0.2.0/26", "FR", "EU", "", 45.76, 4.84, 0},        /* Lyon */
    {"192.0.2.64/26", "GB", "EU", "", 53.48, -2.24, 0},      /* Manchester */
    {"192.0.2.128/26", "US", "NA", "", 34.05, -118.24, 64500}, /* Los Angeles, AS 64500 */
    {"192.0.2.192/26", "AU", "OC", "", -33.87, 151.21, 0},   /* Sydney */
    {"203.0.113.0/25", "JP", "AS", "pacific-rim", 34.69, 135.50, 0},
    {"203.0.113.128/25", "MX", "NA", "", 19.43, -99.13, 0},
    {"2001:db8:1::/48", "FR", "EU", "", 45.76, 4.84, 0},
    {"2001:db8:2::/48", "US", "NA", "", 34.05, -118.24, 64500},
};

static void pw_geo_report(void *arg, int err, const char *message)
{
    fail_msg("geo: %s", message);
}

static struct geo_db *pw_geo(const struct config *config)
{
    struct geo_builder *b = geo_builder_new(pw_geo_report, NULL);
    for (size_t i = 0; i < PM_ARRAY_LEN(pw_places); i++) {
        struct prefix p;
        struct geo_place place = {.has_location = true, .lat = (float)pw_places[i].lat, .lon = (float)pw_places[i].lon,
                                  .asn = pw_places[i].asn, .region = pw_places[i].region, .city = ""};
        strcpy(place.country, pw_places[i].country);
        strcpy(place.continent, pw_places[i].continent);
        assert_int_equal(prefix_parse(pw_places[i].prefix, &p), 0);
        assert_int_equal(geo_builder_override(b, &p, &place), 0);
    }
    const struct cfg_site *sites = config->sites.items;
    for (uint32_t s = 0; s < config->sites.count; s++) {
        const struct prefix *p = sites[s].serves.prefixes.items;
        for (uint32_t i = 0; i < sites[s].serves.prefixes.count; i++)
            assert_int_equal(geo_builder_override(b, &p[i], &(struct geo_place){.tag = s + 1}), 0);
    }
    return geo_builder_freeze(b);
}

/* services: YAML text below "services:". */
static struct pw *pw_new(const char *services)
{
    struct pw *w = mem_alloc(sizeof *w);
    struct buf text = BUF_INIT, errors = BUF_INIT;
    struct config_registries reg = {&policy_stage_registry, &monitor_check_registry,
                                    policy_presets, NULL};
    struct conf_diag *diag = conf_diag_new();
    buf_printf(&text, "%sservices:\n%s", pw_sites, services);
    int err = config_load_text("test", buf_str(&text), text.len, &reg, &w->config, diag);
    conf_diag_print(diag, &errors);
    if (err)
        fail_msg("%s", buf_str(&errors));
    conf_diag_free(diag);
    buf_fini(&text);
    buf_fini(&errors);
    clock_manual_init(&w->clock);
    w->geo = pw_geo(w->config);
    w->model = model_new(w->config, &w->clock.clock);
    w->snap = compile_snapshot(w->model, w->config, w->geo, NULL, 1);
    w->thread = mem_alloc(sizeof *w->thread);
    director_thread_init(w->thread, 12345);
    return w;
}

static void pw_free(struct pw *w)
{
    compile_snapshot_free(w->snap);
    model_free(w->model);
    geo_db_free(w->geo);
    config_free(w->config);
    free(w->thread);
    free(w);
}

/* What the compiler does after a change, without RCU. */
static void pw_publish(struct pw *w)
{
    uint32_t s;
    while (model_dirty_pop(w->model, &s)) {
        struct snap_service *fresh = compile_service(w->snap, w->model, s);
        free(w->snap->services[s]);
        w->snap->services[s] = fresh;
    }
}

/* The VIP with that address text in service s. */
static uint32_t pw_vip(const struct pw *w, uint32_t s, const char *address)
{
    uint32_t n, first = model_service_first_vip(w->model, s, &n);
    struct addr a;
    assert_int_equal(addr_parse(address, &a), 0);
    for (uint32_t i = first; i < first + n; i++)
        if (addr_eq(&model_vip(w->model, i)->config->addr, &a))
            return i;
    fail_msg("no VIP %s", address);
    return 0;
}

static void pw_observe(struct pw *w, uint32_t s, const char *address, enum health health, enum metric metric, float value)
{
    struct observation o = {.vip = pw_vip(w, s, address), .health = (uint8_t)health, .stable_ms = 20000,
                            .when_ms = clock_mono_ms(&w->clock.clock)};
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        o.metric[i] = NAN;
    if (metric < METRIC_COUNT)
        o.metric[metric] = value;
    model_observe(w->model, &o);
    pw_publish(w);
}

static struct director_answer pw_ask(const struct pw *w, uint32_t s, unsigned family, const char *client)
{
    struct director_answer a;
    struct director_request q = {.service = s, .family = family, .located = true};
    assert_int_equal(addr_parse(client, &q.client), 0);
    director_choose(w->snap, w->thread, &q, &a);
    return a;
}

/* The answer's addresses, joined by spaces; "SERVFAIL" or "NODATA". */
static const char *pw_answer(const struct pw *w, uint32_t s, unsigned family, const char *client)
{
    static char text[SNAP_CANDS_MAX * ADDR_TEXT];
    struct director_answer a = pw_ask(w, s, family, client);
    size_t len = 0;
    text[0] = 0;
    if (a.status == DIRECTOR_SERVFAIL)
        return "SERVFAIL";
    if (a.status == DIRECTOR_NODATA)
        return "NODATA";
    for (unsigned i = 0; i < a.count; i++) {
        char one[ADDR_TEXT];
        struct addr addr;
        addr_from_bytes(&addr, family ? ADDR_V6 : ADDR_V4, a.address[i]);
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? " " : "", addr_format(&addr, one));
    }
    return text;
}

#endif
