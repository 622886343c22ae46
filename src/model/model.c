/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "model/guard.h"

struct model {
    const struct config *config;
    const struct clock *clock;
    uint32_t vip_count, service_count;
    struct model_vip *vips;
    uint8_t *own_health;      /* what VANTAGE_SELF measured, before combining */
    struct sights *sights;
    struct rtt *rtt;
    uint32_t *first_vip;      /* [service_count + 1] */
    uint8_t *metric_mask;     /* by service: what its policy reads */
    bool *dirty;
    uint32_t *dirty_list;
    size_t dirty_head, dirty_count;
    uint32_t kept_count;
    uint64_t *outvoted_ms; /* by VIP: since when others who suffice call it down, against our own sight; 0 = they do not */
    uint32_t outvoted_count;
    void (*own_sight)(void *ctx, uint32_t vip, bool health);
    void *own_sight_ctx;
};

static void metrics_clear(float m[METRIC_COUNT])
{
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        m[i] = NAN;
}

static uint32_t count_vips(const struct cfg_service *svc)
{
    uint32_t n = 0;
    CONFIG_EACH(struct cfg_service_site, at, svc->sites)
        n += at->vips.count;
    return n;
}

const struct cfg_checks *model_vip_checks(const struct model *m, uint32_t vip)
{
    const struct model_vip *v = &m->vips[vip];
    return v->config->checks ? v->config->checks : ((const struct cfg_service *)m->config->services.items)[v->service].checks;
}

static void vips_init(struct model *m, uint32_t service, const struct cfg_service *svc)
{
    uint32_t v = m->first_vip[service];
    CONFIG_EACH(struct cfg_service_site, at, svc->sites) {
        CONFIG_EACH(struct cfg_vip, vip, at->vips) {
            m->vips[v] = (struct model_vip){.config = vip, .at = at, .service = service, .site = (uint16_t)at->site->index,
                                            .stable_ms = UINT64_MAX, .admit = 1};
            m->vips[v].override = at->disabled || at->site->disabled ? OVERRIDE_DISABLE : OVERRIDE_NONE;
            m->vips[v].health = model_vip_checks(m, v)->count ? HEALTH_UNKNOWN : HEALTH_UNCHECKED;
            m->own_health[v] = m->vips[v].health;
            metrics_clear(m->vips[v].metric);
            v++;
        }
    }
}

struct model *model_new(const struct config *config, const struct clock *clock)
{
    struct model *m = mem_alloc(sizeof *m);
    const struct cfg_service *services = config->services.items;
    m->config = config;
    m->clock = clock;
    m->service_count = config->services.count;
    m->first_vip = mem_alloc((m->service_count + 1) * sizeof *m->first_vip);
    for (uint32_t s = 0; s < m->service_count; s++)
        m->first_vip[s + 1] = m->first_vip[s] + count_vips(&services[s]);
    m->vip_count = m->first_vip[m->service_count];
    m->vips = mem_alloc(m->vip_count * sizeof *m->vips);
    m->own_health = mem_alloc(m->vip_count);
    m->outvoted_ms = mem_alloc((m->vip_count + 1) * sizeof *m->outvoted_ms);
    m->metric_mask = mem_alloc(m->service_count);
    m->dirty = mem_alloc(m->service_count);
    m->dirty_list = mem_alloc((m->service_count + 1) * sizeof *m->dirty_list);
    m->sights = sights_new(config, m->vip_count);
    m->rtt = rtt_new();
    for (uint32_t s = 0; s < m->service_count; s++)
        vips_init(m, s, &services[s]);
    return m;
}

void model_free(struct model *m)
{
    if (!m)
        return;
    sights_free(m->sights);
    rtt_free(m->rtt);
    for (uint32_t v = 0; v < m->vip_count; v++)
        free(m->vips[v].why);
    free(m->vips);
    free(m->own_health);
    free(m->outvoted_ms);
    free(m->first_vip);
    free(m->metric_mask);
    free(m->dirty);
    free(m->dirty_list);
    free(m);
}

const struct config *model_config(const struct model *m)
{
    return m->config;
}

const struct clock *model_clock(const struct model *m)
{
    return m->clock;
}

uint32_t model_vip_count(const struct model *m)
{
    return m->vip_count;
}

const struct model_vip *model_vip(const struct model *m, uint32_t vip)
{
    return &m->vips[vip];
}

uint32_t model_service_first_vip(const struct model *m, uint32_t service, uint32_t *count)
{
    *count = m->first_vip[service + 1] - m->first_vip[service];
    return m->first_vip[service];
}

/* ---- state carried into the next generation ---- */

static bool same_vip(const struct model *m, const struct model_vip *a, const struct model *n, const struct model_vip *b)
{
    const struct cfg_site *sa = m->config->sites.items, *sb = n->config->sites.items;
    return addr_eq(&a->config->addr, &b->config->addr) && strcmp(sa[a->site].name, sb[b->site].name) == 0;
}

void model_renumber(const struct model *m, const struct model *old, uint32_t *to_new)
{
    const struct cfg_service *old_services = old->config->services.items;
    for (uint32_t os = 0; os < old->service_count; os++) {
        const struct cfg_service *svc = config_service(m->config, old_services[os].name);
        for (uint32_t o = old->first_vip[os]; o < old->first_vip[os + 1]; o++) {
            to_new[o] = UINT32_MAX;
            for (uint32_t v = svc ? m->first_vip[svc->index] : 0; svc && v < m->first_vip[svc->index + 1]; v++)
                if (same_vip(m, &m->vips[v], old, &old->vips[o]))
                    to_new[o] = v;
        }
    }
}

/* Identity and configuration stay the new VIP's, everything believed comes from the old. */
static void adopt_vip(struct model *m, uint32_t v, const struct model *old, uint32_t o)
{
    struct model_vip *now = &m->vips[v], fresh = *now;
    const struct model_vip *was = &old->vips[o];
    *now = *was;
    now->config = fresh.config;
    now->at = fresh.at;
    now->service = fresh.service;
    now->site = fresh.site;
    now->why = was->why ? mem_strdup(was->why) : NULL;
    m->own_health[v] = old->own_health[o];
    m->outvoted_ms[v] = old->outvoted_ms[o];
    /* Whether there is a check at all is the new configuration's to say. */
    if ((fresh.health == HEALTH_UNCHECKED) != (was->health == HEALTH_UNCHECKED))
        now->health = m->own_health[v] = fresh.health;
}

/* After the sights: every vantage has its number here. */
static void adopt_rtt(struct model *m, const struct model *old)
{
    uint16_t n = sights_vantage_count(old->sights), *number = mem_alloc(n * sizeof *number);
    number[VANTAGE_OWN] = VANTAGE_OWN;
    for (uint16_t v = VANTAGE_OWN + 1; v < n; v++)
        number[v] = sights_vantage(m->sights, sights_vantage_name(old->sights, v), NULL);
    rtt_adopt(m->rtt, old->rtt, number);
    free(number);
}

void model_adopt(struct model *m, const struct model *old)
{
    uint32_t *to_new = mem_alloc((old->vip_count + 1) * sizeof *to_new);
    model_renumber(m, old, to_new);
    for (uint32_t o = 0; o < old->vip_count; o++)
        if (to_new[o] != UINT32_MAX)
            adopt_vip(m, to_new[o], old, o);
    for (uint32_t v = 0; v < m->vip_count; v++) {
        m->kept_count += m->vips[v].kept;
        m->outvoted_count += m->outvoted_ms[v] != 0;
    }
    sights_adopt(m->sights, old->sights, to_new);
    adopt_rtt(m, old);
    free(to_new);
}

/* ---- dirty services ---- */

static void mark_dirty(struct model *m, uint32_t service)
{
    if (m->dirty[service])
        return;
    m->dirty[service] = true;
    m->dirty_list[(m->dirty_head + m->dirty_count++) % (m->service_count + 1)] = service;
}

void model_set_override(struct model *m, uint32_t vip, enum override what)
{
    struct model_vip *v = &m->vips[vip];
    if (v->at->disabled || v->at->site->disabled)
        what = OVERRIDE_DISABLE; /* the configuration's own word is the strongest */
    if (v->override == what)
        return;
    v->override = (uint8_t)what;
    mark_dirty(m, v->service);
}

bool model_dirty_pop(struct model *m, uint32_t *service)
{
    if (!m->dirty_count)
        return false;
    *service = m->dirty_list[m->dirty_head];
    m->dirty_head = (m->dirty_head + 1) % (m->service_count + 1);
    m->dirty_count--;
    m->dirty[*service] = false;
    return true;
}

void model_dirty_clear(struct model *m)
{
    uint32_t s;
    while (model_dirty_pop(m, &s))
        ;
}

size_t model_dirty_count(const struct model *m)
{
    return m->dirty_count;
}

void model_set_metric_mask(struct model *m, uint32_t service, unsigned metrics)
{
    m->metric_mask[service] = (uint8_t)metrics;
}

void model_note_compiled(struct model *m, uint32_t service)
{
    static const unsigned families[2] = {ADDR_V4, ADDR_V6};
    for (unsigned f = 0; f < 2; f++) {
        bool any = false;
        for (uint32_t v = m->first_vip[service]; v < m->first_vip[service + 1]; v++)
            any |= m->vips[v].config->addr.family == families[f] && m->vips[v].health != HEALTH_DOWN;
        for (uint32_t v = m->first_vip[service]; any && v < m->first_vip[service + 1]; v++)
            if (m->vips[v].config->addr.family == families[f])
                m->vips[v].last_good = m->vips[v].health != HEALTH_DOWN;
    }
}

/* ---- observations ---- */

struct rtt *model_rtt(const struct model *m)
{
    return m->rtt;
}

struct sights *model_sights(const struct model *m)
{
    return m->sights;
}

/* Own sight decides; so many others who call it down outvote it, and so does the site itself: that it has no server left
 * shows nowhere else. */
static uint8_t combined_health(struct model *m, uint32_t vip)
{
    uint32_t quorum = m->config->mesh.quorum;
    bool against = quorum && m->own_health[vip] != HEALTH_DOWN && sights_down(m->sights, vip) >= quorum;
    uint64_t now = clock_mono_ms(m->clock), *since = &m->outvoted_ms[vip];
    m->outvoted_count += against - (*since != 0);
    *since = !against ? 0 : *since ? *since : now;
    if (m->own_health[vip] == HEALTH_DOWN || !quorum)
        return m->own_health[vip];
    bool down = (against && now - *since >= m->config->mesh.quorum_delay_ms) || sights_site_down(m->sights, vip, m->vips[vip].site);
    return down ? HEALTH_DOWN : m->own_health[vip];
}

/* Small movements of an average are not worth a new snapshot: 5 %, and more than `least`. */
static bool moved_by(float before, float now, float least)
{
    if (isnan(before) || isnan(now))
        return isnan(before) != isnan(now);
    float d = fabsf(now - before);
    return d > least && d > 0.05f * fabsf(before);
}

static bool moved(float before, float now)
{
    return moved_by(before, now, 0.5f);
}

static bool take_metrics(struct model *m, struct model_vip *v, const struct observation *o)
{
    bool dirty = false;
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        /* A metric that this observation does not speak of keeps its last value. */
        if (isnan(o->metric[i]))
            continue;
        bool read = m->metric_mask[v->service] & (1u << i);
        if (read && !moved_by(v->metric[i], o->metric[i], i == METRIC_LOAD ? 0.005f : 0.5f))
            continue;
        dirty |= read;
        v->metric[i] = o->metric[i];
    }
    return dirty;
}

static bool take_health(struct model *m, uint32_t vip)
{
    struct model_vip *v = &m->vips[vip];
    uint8_t health = combined_health(m, vip);
    if (health == v->health)
        return false;
    m->kept_count -= v->kept;
    v->health = health;
    v->changed_ms = v->moved_ms = clock_mono_ms(m->clock);
    v->kept = health == HEALTH_DOWN && !guard_allows(m, vip, v->changed_ms);
    m->kept_count += v->kept;
    mark_dirty(m, v->service);
    return true;
}

static bool take_sight(struct model *m, const struct observation *o, uint16_t vantage, float response_ms)
{
    struct sight sight = {NULL, vantage, o->health, response_ms, o->when_ms};
    uint32_t service = m->vips[o->vip].service;
    bool changed = sights_set(m->sights, o->vip, &sight);
    if (changed && m->metric_mask[service] & MODEL_READS_SIGHTS)
        mark_dirty(m, service);
    return changed;
}

/* Told to others, so in the same steps as a metric that is read. */
static void take_own_sight(struct model *m, const struct observation *o)
{
    const struct sight *was = sights_find(m->sights, o->vip, VANTAGE_OWN);
    float ms = o->metric[METRIC_RESPONSE], told = was ? was->response_ms : NAN;
    bool health = !was || was->health != o->health;
    if (take_sight(m, o, VANTAGE_OWN, isnan(ms) || !moved(told, ms) ? told : ms) && m->own_sight)
        m->own_sight(m->own_sight_ctx, o->vip, health);
}

void model_on_own_sight(struct model *m, void (*fn)(void *ctx, uint32_t vip, bool health), void *ctx)
{
    m->own_sight = fn;
    m->own_sight_ctx = ctx;
}

bool model_observe(struct model *m, const struct observation *o)
{
    struct model_vip *v = &m->vips[o->vip];
    if (o->vantage != VANTAGE_SELF) {
        (void)take_sight(m, o, o->vantage, o->metric[METRIC_RESPONSE]);
        return take_health(m, o->vip);
    }
    if (m->config->node.site || m->own_sight)
        take_own_sight(m, o);
    m->own_health[o->vip] = o->health;
    v->observed_ms = o->when_ms;
    v->restored = o->restored;
    if (o->why && (!v->why || strcmp(v->why, o->why) != 0)) {
        free(v->why);
        v->why = *o->why ? mem_strdup(o->why) : NULL;
    }
    bool dirty = take_metrics(m, v, o);
    dirty |= v->flapping != o->flapping || v->stable_ms / 1000 != o->stable_ms / 1000;
    v->flapping = o->flapping;
    v->stable_ms = o->stable_ms;
    if (dirty)
        mark_dirty(m, v->service);
    return take_health(m, o->vip);
}

void model_report(struct model *m, uint32_t vip, enum metric metric, float value)
{
    struct model_vip *v = &m->vips[vip];
    bool read = m->metric_mask[v->service] & (1u << metric);
    if (read && !moved_by(v->metric[metric], value, metric == METRIC_LOAD ? 0.005f : 0.5f))
        return;
    v->metric[metric] = value;
    if (read)
        mark_dirty(m, v->service);
}

void model_set_admit(struct model *m, uint32_t vip, float admit, float integral)
{
    struct model_vip *v = &m->vips[vip];
    v->admit_integral = integral;
    if (fabsf(admit - v->admit) < 0.01f && (admit < 1) == (v->admit < 1))
        return;
    v->admit = admit;
    mark_dirty(m, v->service);
}

static void guard_release(struct model *m, void (*changed)(void *ctx, uint32_t vip), void *ctx)
{
    uint64_t now = clock_mono_ms(m->clock);
    for (uint32_t i = 0; m->kept_count && i < m->vip_count; i++) {
        struct model_vip *v = &m->vips[i];
        if (!v->kept || !guard_allows(m, i, now))
            continue;
        v->kept = false;
        v->moved_ms = now;
        m->kept_count--;
        mark_dirty(m, v->service);
        changed(ctx, i);
    }
}

void model_second(struct model *m, void (*changed)(void *ctx, uint32_t vip), void *ctx)
{
    for (uint32_t i = 0; m->outvoted_count && i < m->vip_count; i++)
        if (m->outvoted_ms[i] && take_health(m, i))
            changed(ctx, i);
    guard_release(m, changed, ctx);
}

void model_forget(struct model *m, uint32_t vip, uint16_t vantage)
{
    if (!sights_forget(m->sights, vip, vantage))
        return;
    if (m->metric_mask[m->vips[vip].service] & MODEL_READS_SIGHTS)
        mark_dirty(m, m->vips[vip].service);
    take_health(m, vip);
}
