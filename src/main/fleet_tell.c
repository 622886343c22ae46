/* SPDX-License-Identifier: Apache-2.0 */
/* What this balancer tells the others. Values are written when they change; the mesh holds them to the interval. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include "base/arena.h"
#include "base/log.h"
#include "main/fleet_internal.h"
#include "policy/policy.h"
#include "policy/seen.h"

static void put(struct fleet *f, uint16_t kind, const char *subject, const struct mesh_writer *w, uint32_t lifetime_ms,
                unsigned flags)
{
    int err = w->full ? PM_ESPACE : mesh_put(f->mesh, kind, subject, w->p, w->len, lifetime_ms, flags);
    if (err)
        log_warn("cannot tell the other balancers", "what", mesh_kind_name(kind), "subject", subject, "why",
                 err_text(err));
}

static const struct cfg_service *service_at(const struct fleet *f, uint32_t service)
{
    return (const struct cfg_service *)f->config->services.items + service;
}

/* ---- what we see ---- */

static struct mesh_sight sight_of(const struct fleet *f, uint32_t vip, const struct sight *s)
{
    const struct model_vip *v = model_vip(f->host.model(f->host.ctx), vip);
    uint64_t now = clock_mono_ms(f->host.clock);
    double us = (double)s->response_ms * 1000;
    return (struct mesh_sight){.vip = v->config->addr,
                               .health = s->health,
                               .stable = !v->flapping,
                               .response_us = isnan(s->response_ms)       ? MESH_RESPONSE_NONE
                                              : us > MESH_RESPONSE_MAX_US ? MESH_RESPONSE_MAX_US
                                                                          : (uint32_t)us,
                               .age_ms = now - s->when_ms};
}

static void tell_times(struct fleet *f, uint32_t service)
{
    static uint8_t value[MESH_VALUE_MAX];
    const struct model *m = f->host.model(f->host.ctx);
    struct mesh_sight list[MESH_SIGHTS_MAX];
    uint32_t count, first = model_service_first_vip(m, service, &count), n = 0;
    for (uint32_t vip = first; vip < first + count && n < MESH_SIGHTS_MAX; vip++) {
        const struct sight *s = sights_find(model_sights(m), vip, VANTAGE_OWN);
        if (s && s->health != HEALTH_UNKNOWN)
            list[n++] = sight_of(f, vip, s);
    }
    if (!n)
        return;
    struct mesh_writer w = mesh_writer(value, sizeof value);
    mesh_put_times(&w, list, n);
    put(f, MESH_KIND_TIMES, service_at(f, service)->name, &w, f->lifetime_ms, MESH_PUT_KEEP);
}

static void subject_of_vip(char out[MESH_SUBJECT_MAX + 1], const char *service, const struct addr *a)
{
    char address[ADDR_TEXT];
    snprintf(out, MESH_SUBJECT_MAX + 1, "%s %s", service, addr_format(a, address));
}

void tell_event(struct fleet *f, uint32_t vip)
{
    uint8_t value[64];
    char subject[MESH_SUBJECT_MAX + 1];
    const struct model *m = f->host.model(f->host.ctx);
    const struct model_vip *v = model_vip(m, vip);
    const struct sight *s = sights_find(model_sights(m), vip, VANTAGE_OWN);
    if (!s || s->health == HEALTH_UNKNOWN || v->restored)
        return;
    struct mesh_sight sight = sight_of(f, vip, s);
    struct mesh_writer w = mesh_writer(value, sizeof value);
    mesh_put_sight(&w, &sight, s->health == HEALTH_DOWN ? MESH_REASON_UNREACHABLE : MESH_REASON_REACHABLE);
    subject_of_vip(subject, service_at(f, v->service)->name, &v->config->addr);
    put(f, MESH_KIND_SIGHT, subject, &w, f->lifetime_ms, MESH_PUT_EVENT);
    f->events_told++;
}

/* ---- what we have ---- */

static bool is_ours(const struct fleet *f, const struct model_vip *v)
{
    return f->config->node.site && strcmp(v->at->name, f->config->node.site) == 0;
}

/* Connections used and left of our own VIPs; running full and being relieved is an event (A5). */
static void tell_capacity(struct fleet *f, uint32_t service)
{
    uint8_t value[MESH_VALUE_MAX];
    struct mesh_capacity list[SNAP_CANDS_MAX];
    const struct model *m = f->host.model(f->host.ctx);
    uint32_t count, first = model_service_first_vip(m, service, &count), n = 0;
    bool event = false;
    for (uint32_t vip = first; vip < first + count && n < SNAP_CANDS_MAX; vip++) {
        const struct model_vip *v = model_vip(m, vip);
        float open = v->metric[METRIC_CONNECTIONS];
        if (!is_ours(f, v) || isnan(open))
            continue;
        uint32_t used = open > 4e9f ? UINT32_MAX - 1 : (uint32_t)open, max = v->config->max_connections;
        list[n++] = (struct mesh_capacity){v->config->addr, used,
                                           !max         ? MESH_LEFT_UNKNOWN
                                           : used < max ? max - used
                                                        : 0};
        bool full = max && used >= max;
        event |= full != f->full[vip];
        f->full[vip] = full;
    }
    if (!n)
        return;
    struct mesh_writer w = mesh_writer(value, sizeof value);
    mesh_put_capacity(&w, list, n);
    put(f, MESH_KIND_CAPACITY, service_at(f, service)->name, &w, f->lifetime_ms,
        MESH_PUT_KEEP | (event ? MESH_PUT_EVENT : 0));
}

/* What the front end has in use moves without a sight: looked at each time, told when it has changed. */
void tell_capacities(struct fleet *f)
{
    CONFIG_EACH(struct cfg_service, s, f->config->services)
        if (s->fronts.count)
            tell_capacity(f, s->index);
}

/* Our table as we would use it: heaviest first. For people; others make their own from the times. */
static void tell_handoff(struct fleet *f, uint32_t service)
{
    struct handoff_places places;
    struct mesh_handoff_item list[HANDOFF_SITES_MAX];
    uint8_t value[MESH_VALUE_MAX];
    if (!policy_handoff_places(service_at(f, service)->policy, &places))
        return;
    struct seen_table *t = mem_alloc(sizeof *t);
    const struct cfg_site *sites = f->config->sites.items;
    seen_build(f->host.model(f->host.ctx), service, ADDR_V4, &places, t);
    unsigned n = 0;
    for (unsigned row = 0; row < t->head.count; row++) {
        unsigned at = n++;
        for (; at && list[at - 1].weight < t->total[row]; at--)
            list[at] = list[at - 1];
        list[at] = (struct mesh_handoff_item){mesh_str(sites[t->site[row]].name), (uint16_t)t->total[row]};
    }
    struct mesh_writer w = mesh_writer(value, sizeof value);
    mesh_put_handoff(&w, list, n);
    if (n)
        put(f, MESH_KIND_HANDOFF, service_at(f, service)->name, &w, f->lifetime_ms, MESH_PUT_KEEP);
    free(t);
}

void tell_all(struct fleet *f)
{
    memset(f->service_due, true, f->service_count);
    f->any_due = f->service_count > 0;
}

void tell_due(struct fleet *f)
{
    f->any_due = false;
    for (uint32_t s = 0; s < f->service_count; s++) {
        if (!f->service_due[s])
            continue;
        f->service_due[s] = false;
        tell_times(f, s);
        tell_capacity(f, s);
        tell_handoff(f, s);
    }
}

void tell_resources(struct fleet *f)
{
    uint8_t value[64];
    struct sysinfo i;
    uint64_t now = clock_mono_ms(f->host.clock);
    if (now < f->resources_ms || sysinfo(&i) != 0)
        return;
    f->resources_ms = now + FLEET_RESOURCES_MS;
    double load = (double)i.loads[0] / (1 << SI_LOAD_SHIFT) / get_nprocs();
    struct mesh_resources r = {.memory_left = (uint64_t)(i.freeram + i.bufferram) * i.mem_unit,
                               .memory_total = (uint64_t)i.totalram * i.mem_unit,
                               .load_milli = (uint32_t)(load * 1000)};
    struct mesh_writer w = mesh_writer(value, sizeof value);
    mesh_put_resources(&w, &r);
    put(f, MESH_KIND_RESOURCES, "", &w, f->lifetime_ms, MESH_PUT_KEEP);
}

/* ---- operators ---- */

static uint64_t left_ms(const struct override_entry *e, uint64_t now_ms)
{
    return !e->until_ms ? 0 : e->until_ms > now_ms ? e->until_ms - now_ms : 1;
}

void tell_word(struct fleet *f, const struct override_entry *e)
{
    uint8_t value[512];
    uint64_t now = clock_wall_ms(f->host.clock);
    struct mesh_override v = {.word = (uint8_t)e->what,
                              .scope = e->scope == OVERRIDE_SITE     ? MESH_SCOPE_SITE
                                       : e->scope == OVERRIDE_REGION ? MESH_SCOPE_REGION
                                                                     : MESH_SCOPE_ALL,
                              .scope_name =
                                  mesh_str(e->scope == OVERRIDE_SITE ? f->config->node.site ? f->config->node.site : ""
                                           : e->scope == OVERRIDE_REGION ? f->config->mesh.region
                                                                         : ""),
                              .said_ms = now > e->since_ms ? now - e->since_ms : 0,
                              .remaining_ms = left_ms(e, now),
                              .who = mesh_str(f->config->node.name)};
    if (e->by || e->scope == OVERRIDE_HERE || strlen(e->target) > MESH_SUBJECT_MAX)
        return;
    struct mesh_writer w = mesh_writer(value, sizeof value);
    mesh_put_override(&w, &v);
    put(f, MESH_KIND_OVERRIDE, e->target, &w, MESH_LIFETIME_MAX_MS,
        MESH_PUT_NOW | (e->what == OVERRIDE_NONE ? 0 : MESH_PUT_KEEP));
}

void tell_words(struct fleet *f)
{
    for (size_t i = 0; i < f->host.overrides->count; i++)
        tell_word(f, &f->host.overrides->items[i]);
}
