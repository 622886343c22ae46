/* SPDX-License-Identifier: Apache-2.0 */
/* What other balancers say, on its way into the model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/log.h"
#include "main/fleet_internal.h"

/* A record's strings are not terminated. */
static const char *text_of(struct mesh_str s, char out[MESH_SUBJECT_MAX + 1])
{
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return out;
}

/* Where a node stands: what the configuration says of it, else what it says itself. */
static const char *site_of_node(const struct fleet *f, const char *node, char out[MESH_SUBJECT_MAX + 1])
{
    struct mesh_node_value v;
    CONFIG_EACH(struct cfg_peer, p, f->config->mesh.peers)
        if (strcmp(p->name, node) == 0 && p->site)
            return p->site;
    const struct mesh_stored *s = mesh_find(f->mesh, node, MESH_KIND_NODE, "");
    if (!s || mesh_get_node(&s->rec, &v) != 0 || !v.site.n)
        return NULL;
    return text_of(v.site, out);
}

static uint16_t vantage_of(struct fleet *f, const struct mesh_stored *s)
{
    char node[MESH_SUBJECT_MAX + 1], site[MESH_SUBJECT_MAX + 1];
    text_of(s->rec.node, node);
    return sights_vantage(model_sights(f->host.model(f->host.ctx)), node, site_of_node(f, node, site));
}

static bool is_own(const struct fleet *f, const struct mesh_stored *s)
{
    return mesh_str_eq(s->rec.node, mesh_str(f->config->node.name));
}

/* ---- sights ---- */

static void observe(struct fleet *f, const struct mesh_stored *s, uint32_t vip, const struct mesh_sight *m)
{
    uint64_t now = clock_mono_ms(f->host.clock), age = m->age_ms + mesh_age(f->mesh, s);
    struct observation o = {.vip = vip,
                            .vantage = vantage_of(f, s),
                            .health = m->health,
                            .flapping = !m->stable,
                            .when_ms = now > age ? now - age : 0,
                            .stable_ms = UINT64_MAX};
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        o.metric[i] = NAN;
    if (m->response_us != MESH_RESPONSE_NONE)
        o.metric[METRIC_RESPONSE] = (float)m->response_us / 1000;
    struct model *model = f->host.model(f->host.ctx);
    if (model_observe(model, &o)) {
        char address[ADDR_TEXT];
        log_notice(model_vip(model, vip)->health == HEALTH_DOWN ? "vip down by quorum" : "vip no longer down by quorum",
                   "address", addr_format(&m->vip, address), "others", LOG_U(sights_down(model_sights(model), vip)));
    }
}

/* An event about this VIP by the same node that is newer than its `times`? */
static bool event_is_newer(const struct fleet *f, const struct mesh_stored *times, const char *service,
                           const struct addr *vip)
{
    char subject[MESH_SUBJECT_MAX + 1 + ADDR_TEXT], node[MESH_SUBJECT_MAX + 1], address[ADDR_TEXT];
    snprintf(subject, sizeof subject, "%s %s", service, addr_format(vip, address));
    const struct mesh_stored *e = mesh_find(f->mesh, text_of(times->rec.node, node), MESH_KIND_SIGHT, subject);
    return e && e->rec.sequence > times->rec.sequence;
}

static void hear_times(struct fleet *f, const struct mesh_stored *s)
{
    struct mesh_sight list[MESH_SIGHTS_MAX];
    char service[MESH_SUBJECT_MAX + 1];
    unsigned n;
    if (mesh_get_times(&s->rec, list, MESH_SIGHTS_MAX, &n) != 0)
        return;
    text_of(s->rec.subject, service);
    for (unsigned i = 0; i < n; i++) {
        uint32_t vip = fleet_vip(f, service, &list[i].vip);
        if (vip != UINT32_MAX && !event_is_newer(f, s, service, &list[i].vip))
            observe(f, s, vip, &list[i]);
    }
}

static uint32_t vip_of_event(const struct fleet *f, const struct mesh_stored *s, struct mesh_sight *sight)
{
    char subject[MESH_SUBJECT_MAX + 1];
    uint8_t reason;
    if (mesh_get_sight(&s->rec, sight, &reason) != 0)
        return UINT32_MAX;
    text_of(s->rec.subject, subject);
    char *space = strchr(subject, ' ');
    if (!space)
        return UINT32_MAX;
    *space = 0;
    return fleet_vip(f, subject, &sight->vip);
}

/* Somebody sees a VIP differently from before: if it is not what we see, we look at once. */
static void hear_event(struct fleet *f, const struct mesh_stored *s, bool news)
{
    struct mesh_sight sight;
    uint32_t vip = vip_of_event(f, s, &sight);
    if (vip == UINT32_MAX)
        return;
    struct model *m = f->host.model(f->host.ctx);
    uint64_t now = clock_mono_ms(f->host.clock);
    bool down = sight.health == HEALTH_DOWN;
    observe(f, s, vip, &sight);
    f->events_heard += news;
    if (!news || (model_vip(m, vip)->health == HEALTH_DOWN) == down || now < f->verified_ms[vip])
        return;
    f->verified_ms[vip] = now + FLEET_VERIFY_MS;
    f->verifications++;
    f->host.verify(f->host.ctx, vip, down);
}

/* A node does not say any more what it said of these VIPs. */
static void forget(struct fleet *f, const struct mesh_stored *s)
{
    struct model *m = f->host.model(f->host.ctx);
    char service[MESH_SUBJECT_MAX + 1];
    text_of(s->rec.subject, service);
    const struct cfg_service *svc = config_service(f->config, service);
    uint16_t vantage = vantage_of(f, s);
    uint32_t count, first = svc ? model_service_first_vip(m, svc->index, &count) : 0;
    for (uint32_t i = 0; svc && i < count; i++)
        model_forget(m, first + i, vantage);
}

/* ---- capacity: only where the node stands itself ---- */

static void hear_capacity(struct fleet *f, const struct mesh_stored *s, bool gone)
{
    struct mesh_capacity list[SNAP_CANDS_MAX];
    char service[MESH_SUBJECT_MAX + 1], node[MESH_SUBJECT_MAX + 1], space[MESH_SUBJECT_MAX + 1];
    unsigned n;
    const char *site = site_of_node(f, text_of(s->rec.node, node), space);
    if (!site || (f->config->node.site && strcmp(site, f->config->node.site) == 0) ||
        mesh_get_capacity(&s->rec, list, SNAP_CANDS_MAX, &n) != 0)
        return;
    text_of(s->rec.subject, service);
    for (unsigned i = 0; i < n; i++) {
        struct model *m = f->host.model(f->host.ctx);
        uint32_t vip = fleet_vip(f, service, &list[i].vip);
        if (vip == UINT32_MAX || strcmp(model_vip(m, vip)->at->name, site) != 0)
            continue;
        uint32_t max = model_vip(m, vip)->config->max_connections;
        model_report(m, vip, METRIC_CONNECTIONS, gone ? NAN : (float)list[i].used);
        /* Our own file may know another limit: the site's word about itself is better. */
        if (max && !gone && list[i].left != MESH_LEFT_UNKNOWN)
            model_report(m, vip, METRIC_CONNECTIONS,
                         list[i].left ? fminf((float)list[i].used, (float)max - 1) : (float)max);
    }
}

/* ---- operators' words ---- */

static bool for_us(const struct fleet *f, const struct mesh_override *v)
{
    switch ((enum mesh_scope)v->scope) {
    case MESH_SCOPE_REGION:
        return mesh_str_eq(v->scope_name, mesh_str(f->config->mesh.region));
    case MESH_SCOPE_SITE:
        return f->config->node.site && mesh_str_eq(v->scope_name, mesh_str(f->config->node.site));
    default:
        return true;
    }
}

static void hear_word(struct fleet *f, const struct mesh_stored *s)
{
    struct mesh_override v;
    char target[MESH_SUBJECT_MAX + 1], node[MESH_SUBJECT_MAX + 1];
    if (mesh_get_override(&s->rec, &v) != 0 || !for_us(f, &v) || !s->rec.subject.n)
        return;
    uint64_t now = clock_wall_ms(f->host.clock), ago = v.said_ms + mesh_age(f->mesh, s);
    struct override_entry e = {.target = (char *)(uintptr_t)text_of(s->rec.subject, target),
                               .by = (char *)(uintptr_t)text_of(s->rec.node, node),
                               .what = (enum override)v.word,
                               .scope = v.scope == MESH_SCOPE_SITE     ? OVERRIDE_SITE
                                        : v.scope == MESH_SCOPE_REGION ? OVERRIDE_REGION
                                                                       : OVERRIDE_FLEET,
                               .since_ms = now > ago ? now - ago : 1,
                               .until_ms = !v.remaining_ms ? 0 : now + v.remaining_ms - mesh_age(f->mesh, s)};
    const struct override_entry *have = overrides_find(f->host.overrides, e.target);
    bool ours = have && !have->by;
    /* The same word again, later: clocks are read in ms, twice. */
    if (have && have->by && strcmp(have->by, node) == 0 && have->what == e.what && have->since_ms + 1000 > e.since_ms)
        return;
    if (!overrides_hear(f->host.overrides, &e))
        return;
    log_notice("operator's word from another balancer", "target", e.target, "word", override_name(e.what), "by", node);
    if (ours && mesh_remove(f->mesh, MESH_KIND_OVERRIDE, e.target, false) == PM_ENOTFOUND)
        log_debug("the word it replaces had been said here alone", "target", e.target);
    f->host.overrides_changed(f->host.ctx);
}

/* ---- all kinds ---- */

static void hear(struct fleet *f, const struct mesh_stored *s, enum mesh_change what, bool news)
{
    bool gone = what != MESH_WRITTEN;
    if (is_own(f, s))
        return;
    switch (s->rec.kind) {
    case MESH_KIND_TIMES:
        if (gone)
            forget(f, s);
        else
            hear_times(f, s);
        break;
    case MESH_KIND_SIGHT:
        if (!gone)
            hear_event(f, s, news);
        break;
    case MESH_KIND_CAPACITY:
        hear_capacity(f, s, gone);
        break;
    case MESH_KIND_OVERRIDE:
        if (!gone)
            hear_word(f, s); /* one that runs out here was taken back, or stays: nothing an operator said is lost */
        break;
    case MESH_KIND_ROUND_TRIPS:
        hear_round_trips(f, s, vantage_of(f, s), gone);
        return; /* classes are made anew now and then, not at once */
    case MESH_KIND_NODE:
        rtt_moved(model_rtt(f->host.model(f->host.ctx))); /* perhaps: what it has measured is filed under its site */
        (void)vantage_of(f, s);
        return;
    default:
        return;
    }
    f->host.observed(f->host.ctx);
}

void hear_record(struct fleet *f, const struct mesh_stored *s, enum mesh_change what)
{
    hear(f, s, what, true);
}

void hear_all(struct fleet *f)
{
    static const uint16_t kinds[] = {MESH_KIND_TIMES, MESH_KIND_SIGHT, MESH_KIND_CAPACITY, MESH_KIND_ROUND_TRIPS};
    const struct mesh_stored *s;
    for (size_t i = 0; i < PM_ARRAY_LEN(kinds); i++) {
        struct mesh_iter it = {0};
        while ((s = mesh_next(f->mesh, &it, kinds[i])))
            hear(f, s, MESH_WRITTEN, false);
    }
}
