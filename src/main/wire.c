/* SPDX-License-Identifier: Apache-2.0 */
#include "main/wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/log.h"
#include "base/map.h"
#include "conf/doc.h"
#include "model/guard.h"

/* One check and the VIPs it speaks for; from model_vip_count on they are servers. */
struct wire_check {
    const char *key;
    struct monitor_check *check;
    uint32_t *vips;
    uint32_t vip_count;
};

struct wiring {
    struct model *model;
    struct monitor *monitor;
    struct history *history;
    struct wire_servers servers;
    uint32_t vip_count, total; /* VIPs; and servers behind them */
    struct arena *arena;
    struct wire_check *checks;
    size_t check_count, check_cap;
    uint32_t *first;    /* [total + 1] into of_vip */
    uint32_t *of_vip;   /* indexes into checks */
    size_t *user_index; /* what specs carry as `user`: &user_index[i] == check i */
};

/* Module, parameters and timing of a configured check as text: computed once however many VIPs use it. */
static const char *check_text(struct wiring *w, const char **texts, const struct cfg_check *c)
{
    struct buf b = BUF_INIT;
    if (texts[c->index])
        return texts[c->index];
    json_t *choice = conf_choice_json(&c->module);
    char *canonical = json_dumps(choice, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    buf_puts(&b, canonical);
    free(canonical);
    json_decref(choice);
    texts[c->index] = arena_printf(
        w->arena, "%s every=%" PRIu64 "/%" PRIu64 " timeout=%" PRIu64 " n=%u rise=%u fall=%u avg=%" PRIu64 " flap=%u/%" PRIu64 "/%" PRIu64,
        buf_str(&b), c->interval_ms, c->down_interval_ms, c->timeout_ms, c->iterations, c->rise, c->fall, c->average_ms,
        c->flap_limit, c->flap_window_ms, c->flap_hold_ms);
    buf_fini(&b);
    return texts[c->index];
}

static struct monitor_spec spec_of(const struct cfg_check *c, const struct wire_server *of)
{
    const struct monitor_module *module = monitor_module_for(c->module.kind);
    return (struct monitor_spec){
        .module = module,
        .params = c->module.value,
        .target = {of->at.addr, (uint16_t)(c->port ? c->port : of->at.port ? of->at.port : module->default_port)},
        .host = c->host ? c->host : of->host,
        .timing = {.interval_ms = c->interval_ms,
                   .down_interval_ms = c->down_interval_ms,
                   .timeout_ms = c->timeout_ms,
                   .iterations = c->iterations,
                   .rise = c->rise,
                   .fall = c->fall,
                   .average_ms = c->average_ms,
                   .flap_limit = c->flap_limit,
                   .flap_window_ms = c->flap_window_ms,
                   .flap_hold_ms = c->flap_hold_ms},
        .group = of->group,
    };
}

/* The index of the check with this key; a new one takes the spec. */
static uint32_t check_index(struct wiring *w, struct map *by_key, struct monitor_spec **specs, struct monitor_spec *spec)
{
    uintptr_t at = (uintptr_t)map_get_str(by_key, spec->key);
    if (at)
        return (uint32_t)at - 1;
    if (w->check_count == w->check_cap) {
        w->check_cap = w->check_cap ? w->check_cap * 2 : 64;
        w->checks = mem_realloc(w->checks, w->check_cap * sizeof *w->checks);
        *specs = mem_realloc(*specs, w->check_cap * sizeof **specs);
    }
    spec->key = arena_strdup(w->arena, spec->key);
    w->checks[w->check_count] = (struct wire_check){.key = spec->key};
    (*specs)[w->check_count] = *spec;
    map_put_str(by_key, spec->key, (void *)(++w->check_count));
    return (uint32_t)w->check_count - 1;
}

static struct wire_server subject(const struct wiring *w, uint32_t v)
{
    if (v >= w->vip_count)
        return w->servers.items[v - w->vip_count];
    const struct model_vip *vip = model_vip(w->model, v);
    const struct cfg_service *services = model_config(w->model)->services.items;
    return (struct wire_server){model_vip_checks(w->model, v), {vip->config->addr, 0}, services[vip->service].name, vip->site, vip->service};
}

static struct monitor_spec *collect_specs(struct wiring *w)
{
    struct map by_key = MAP_INIT;
    const char **texts = mem_alloc((model_config(w->model)->check_count + 1) * sizeof *texts);
    struct monitor_spec *specs = NULL;
    struct buf key = BUF_INIT;
    uint32_t used = 0, cap = 0;
    w->first = mem_alloc((w->total + 1) * sizeof *w->first);
    for (uint32_t v = 0; v < w->total; v++) {
        const struct wire_server of = subject(w, v);
        w->first[v] = used;
        for (uint32_t i = 0; of.checks && i < of.checks->count; i++) {
            struct monitor_spec spec = spec_of(of.checks->items[i], &of);
            char target[ENDPOINT_TEXT];
            buf_clear(&key);
            buf_printf(&key, "%s %s %s", endpoint_format(&spec.target, target), spec.module->uses_host ? spec.host : "-",
                       check_text(w, texts, of.checks->items[i]));
            spec.key = buf_str(&key);
            if (used == cap) {
                cap = cap ? cap * 2 : 64;
                w->of_vip = mem_realloc(w->of_vip, cap * sizeof *w->of_vip);
            }
            w->of_vip[used++] = check_index(w, &by_key, &specs, &spec);
        }
    }
    w->first[w->total] = used;
    buf_fini(&key);
    free(texts);
    map_fini(&by_key);
    return specs;
}

/* The inverse of of_vip: which VIPs each check speaks for. */
static void invert(struct wiring *w)
{
    for (uint32_t i = 0; i < w->first[w->total]; i++)
        w->checks[w->of_vip[i]].vip_count++;
    for (size_t c = 0; c < w->check_count; c++) {
        w->checks[c].vips = arena_alloc(w->arena, w->checks[c].vip_count * sizeof(uint32_t));
        w->checks[c].vip_count = 0;
    }
    for (uint32_t v = 0; v < w->total; v++) {
        for (uint32_t i = w->first[v]; i < w->first[v + 1]; i++) {
            struct wire_check *c = &w->checks[w->of_vip[i]];
            if (!c->vip_count || c->vips[c->vip_count - 1] != v) /* one VIP may name the same check twice */
                c->vips[c->vip_count++] = v;
        }
    }
}

/* ---- observations ---- */

static void combine(const struct wiring *w, uint32_t vip, struct observation *o, char why[128])
{
    bool down = false, unknown = false;
    uint64_t now = clock_mono_ms(model_clock(w->model));
    *o = (struct observation){.vip = vip, .vantage = VANTAGE_SELF, .stable_ms = UINT64_MAX, .when_ms = now};
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        o->metric[i] = NAN;
    why[0] = 0;
    for (uint32_t i = w->first[vip]; i < w->first[vip + 1]; i++) {
        const struct monitor_check *c = w->checks[w->of_vip[i]].check;
        struct check_view v;
        monitor_check_view(w->monitor, c, &v);
        if (v.hops >= 0)
            o->metric[METRIC_HOPS] = (float)v.hops;
        if (monitor_check_spec(c)->module->measures_only)
            continue;
        down |= v.state == CHECK_DOWN;
        unknown |= v.state == CHECK_UNKNOWN;
        o->flapping |= v.flapping;
        o->restored |= v.restored;
        if (!isnan(v.response_ms))
            o->metric[METRIC_RESPONSE] = fmaxf(isnan(o->metric[METRIC_RESPONSE]) ? 0 : o->metric[METRIC_RESPONSE], (float)v.response_ms);
        if (!isnan(v.throughput_bps))
            o->metric[METRIC_THROUGHPUT] = (float)v.throughput_bps;
        if (*v.why && (v.state != CHECK_UP || !*why))
            snprintf(why, 128, "%s: %s", monitor_check_spec(c)->module->object->name, v.why);
        /* From the last check on, nothing can change before this; the phase until the next one is not counted on. */
        uint64_t wait = v.next_ms > now ? v.next_ms - now : 0;
        uint64_t stable = v.can_change_in_ms > wait ? v.can_change_in_ms - wait : 0;
        o->stable_ms = stable < o->stable_ms ? stable : o->stable_ms;
    }
    if (vip < w->vip_count && w->servers.starved && w->servers.starved(w->servers.ctx, model_vip(w->model, vip))) {
        down = true;
        snprintf(why, 128, "no healthy server");
    }
    o->health = down ? HEALTH_DOWN : unknown ? HEALTH_UNKNOWN : HEALTH_UP;
    o->why = why;
}

static void remember(struct wiring *w, uint32_t vip, const struct model_vip *was)
{
    const struct model_vip *now = model_vip(w->model, vip);
    struct history_change c = {.wall_ms = clock_wall_ms(model_clock(w->model)), .vip = vip};
    if (was->health != now->health) {
        c.field = HISTORY_HEALTH;
        c.before = was->health;
        c.after = now->health;
        history_add(w->history, &c);
    }
    if (was->flapping != now->flapping) {
        c.field = HISTORY_FLAPPING;
        c.before = was->flapping;
        c.after = now->flapping;
        history_add(w->history, &c);
    }
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        float before = was->metric[i], after = now->metric[i];
        /* The same steps as the model's own notion of a change worth compiling for. */
        if (isnan(after) || (!isnan(before) && fabsf(after - before) <= fmaxf(0.5f, 0.05f * fabsf(before))))
            continue;
        c.field = (uint8_t)i;
        c.before = before;
        c.after = after;
        history_add(w->history, &c);
    }
}

static void observe_vip(struct wiring *w, uint32_t vip)
{
    struct observation o;
    char why[128], address[ADDR_TEXT];
    if (vip >= w->vip_count) {
        combine(w, vip, &o, why);
        uint32_t count, first = model_service_first_vip(w->model, w->servers.items[vip - w->vip_count].service, &count);
        w->servers.health(w->servers.ctx, vip - w->vip_count, (enum health)o.health);
        for (uint32_t v = first; v < first + count; v++)
            observe_vip(w, v);
        return;
    }
    struct model_vip was = *model_vip(w->model, vip);
    combine(w, vip, &o, why);
    if (model_observe(w->model, &o)) {
        const struct config *config = model_config(w->model);
        log_notice(o.health == HEALTH_UP ? "vip up" : o.health == HEALTH_DOWN ? "vip down" : "vip unknown", "service",
                   ((const struct cfg_service *)config->services.items)[was.service].name, "site",
                   ((const struct cfg_site *)config->sites.items)[was.site].name, "address",
                   addr_format(&was.config->addr, address), "was", health_name((enum health)was.health), "why",
                   *why ? why : "checks pass");
        if (model_vip(w->model, vip)->kept)
            log_error("too many sites of a service have failed within a minute: this one keeps its clients for now", "service",
                      ((const struct cfg_service *)config->services.items)[was.service].name, "address", address, "moved",
                      LOG_F(guard_moved(w->model, vip, clock_mono_ms(model_clock(w->model)))));
    }
    remember(w, vip, &was);
}

void wiring_observe(struct wiring *w, struct monitor_check *c, const struct check_view *v, bool changed)
{
    const size_t *index = monitor_check_spec(c)->user;
    const struct wire_check *wc = &w->checks[index - w->user_index];
    for (uint32_t i = 0; i < wc->vip_count; i++)
        observe_vip(w, wc->vips[i]);
}

bool wiring_vip_check(const struct wiring *w, uint32_t vip, unsigned i, const struct monitor_check **c)
{
    if (w->first[vip] + i >= w->first[vip + 1])
        return false;
    *c = w->checks[w->of_vip[w->first[vip] + i]].check;
    return true;
}

size_t wiring_check_count(const struct wiring *w)
{
    return w->check_count;
}

/* ---- life ---- */

int wiring_new(struct model *m, const struct wire_servers *servers, struct monitor *mon, struct history *h, struct wiring **out)
{
    struct wiring *w = mem_alloc(sizeof *w);
    w->model = m;
    w->monitor = mon;
    w->history = h;
    w->servers = *servers;
    w->vip_count = model_vip_count(m);
    w->total = w->vip_count + servers->count;
    w->arena = arena_new();
    struct monitor_spec *specs = collect_specs(w);
    invert(w);
    w->user_index = mem_alloc((w->check_count + 1) * sizeof *w->user_index);
    for (size_t i = 0; i < w->check_count; i++)
        specs[i].user = &w->user_index[i];
    int err = monitor_apply(mon, specs, w->check_count);
    free(specs);
    if (err) {
        wiring_free(w);
        return err;
    }
    for (size_t i = 0; i < w->check_count; i++)
        w->checks[i].check = monitor_find(mon, w->checks[i].key);
    /* What the monitor knows already, from before a reload or from disk. */
    for (uint32_t v = 0; v < w->total; v++)
        if (w->first[v] < w->first[v + 1])
            observe_vip(w, v);
    *out = w;
    return PM_OK;
}

void wiring_free(struct wiring *w)
{
    if (!w)
        return;
    free(w->checks);
    free(w->first);
    free(w->of_vip);
    free(w->user_index);
    arena_free(w->arena);
    free(w);
}
