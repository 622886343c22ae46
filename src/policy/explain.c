/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/explain.h"

#include <math.h>
#include <string.h>
#include "policy/compile.h"
#include "policy/measured.h"
#include "policy/view.h"

/* What the callbacks of a run add to. */
struct telling {
    const struct snapshot *s;
    const struct snap_cand *cands;
    unsigned addr_family;
    json_t *passes; /* every all-down pass, in order */
    json_t *stages; /* of the pass being run */
    json_t *effects; /* of the stage being run */
};

static const struct cfg_site *site_of(const struct snapshot *s, uint16_t site)
{
    return (const struct cfg_site *)s->config->sites.items + site;
}

static const char *cand_address(const struct snap_cand *c, unsigned addr_family, char out[ADDR_TEXT])
{
    struct addr a;
    addr_from_bytes(&a, addr_family, c->address);
    return addr_format(&a, out);
}

json_t *explain_place(const struct geo_place *p)
{
    json_t *o = json_object();
    if (*p->country)
        json_object_set_new(o, "country", json_string(p->country));
    if (*p->continent)
        json_object_set_new(o, "continent", json_string(p->continent));
    if (*p->region)
        json_object_set_new(o, "region", json_string(p->region));
    if (*p->city)
        json_object_set_new(o, "city", json_string(p->city));
    if (p->asn)
        json_object_set_new(o, "asn", json_integer(p->asn));
    if (p->has_location)
        json_object_set_new(o, "location", json_pack("[f,f]", (double)p->lat, (double)p->lon));
    return o;
}

static void tell_effect(void *ctx, unsigned cand, enum trace_verb verb, const char *text)
{
    static const char *const verbs[] = {"kept", "removed", "scored", "weighed"};
    struct telling *t = ctx;
    char address[ADDR_TEXT];
    const struct snap_cand *c = &t->cands[cand];
    json_array_append_new(t->effects, json_pack("{s:s, s:s, s:s, s:s}", "address",
                                                cand_address(c, t->addr_family, address), "site",
                                                site_of(t->s, c->site)->name, "did", verbs[verb], "why", text));
}

static void tell_stage(void *ctx, const struct stage *s, const void *params)
{
    struct telling *t = ctx;
    if (!s) { /* a new pass begins; params is its name */
        t->stages = json_array();
        json_array_append_new(t->passes, json_pack("{s:s, s:o}", "pass", (const char *)params, "stages", t->stages));
        return;
    }
    t->effects = json_array();
    json_array_append_new(t->stages, json_pack("{s:s, s:s, s:o}", "stage", s->object.name, "doc", s->object.doc, "effects",
                                               t->effects));
}

static json_t *tell_cand(const struct telling *t, const struct snap_cand *c, const struct snap_feature *f,
                         const struct model_vip *v, uint64_t now_ms)
{
    char address[ADDR_TEXT];
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:b, s:f, s:f, s:i}", "address",
                          cand_address(c, t->addr_family, address), "site", site_of(t->s, c->site)->name, "health",
                          health_name((enum health)c->health), "override", override_name((enum override)c->override),
                          "flapping", c->flapping, "weight", (double)c->weight, "cost", (double)c->cost, "priority",
                          c->order);
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        if (!isnan(c->metric[i]))
            json_object_set_new(o, metric_info[i].name, json_real((double)c->metric[i]));
    if (f && !isnan(f->rtt_ms))
        json_object_set_new(o, "round-trip-ms", json_real((double)f->rtt_ms));
    if (f && !isnan(f->distance_km))
        json_object_set_new(o, "distance-km", json_real((double)f->distance_km));
    if (c->max_connections)
        json_object_set_new(o, "max-connections", json_integer(c->max_connections));
    if (c->kept)
        json_object_set_new(o, "kept", json_true());
    if (c->admit < 1)
        json_object_set_new(o, "admit", json_real((double)c->admit));
    if (v->why)
        json_object_set_new(o, "why", json_string(v->why));
    if (v->observed_ms)
        json_object_set_new(o, "seen-ms-ago", json_integer((json_int_t)(now_ms - v->observed_ms)));
    json_object_set_new(o, "seen-by", json_string("self"));
    return o;
}

/* The share of queries in which choice i comes first. */
static double share_of(const struct snap_decision *d, unsigned i)
{
    double sum = 0, left = 1, none = i == 0; /* whom nobody takes stays with the first */
    switch ((enum snap_pick)d->pick) {
    case PICK_FIRST:
        return i == 0;
    case PICK_ROUND_ROBIN:
        return i < d->first_tier ? 1.0 / d->first_tier : 0;
    case PICK_SPILL:
        for (unsigned k = 0; k < i; k++)
            left *= 1 - d->choice[k].admit / 65535.0;
        for (unsigned k = 0; k < d->count; k++)
            none *= 1 - d->choice[k].admit / 65535.0;
        return left * (d->choice[i].admit / 65535.0) + none;
    case PICK_WEIGHTED:
    case PICK_SPREAD:
    case PICK_HASH:
        break;
    }
    for (unsigned k = 0; k < d->first_tier; k++)
        sum += d->choice[k].weight;
    return i < d->first_tier ? d->choice[i].weight / sum : 0;
}

static json_t *tell_order(const struct telling *t, const struct snap_decision *d)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < d->count; i++) {
        char address[ADDR_TEXT];
        const struct snap_cand *c = &t->cands[d->choice[i].cand];
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:f}", "address", cand_address(c, t->addr_family, address),
                                              "site", site_of(t->s, c->site)->name, "tier", d->choice[i].tier + 1, "share",
                                              share_of(d, i)));
    }
    return list;
}

static json_t *tell_ttl(const struct snap_service *svc, const struct model *m)
{
    char why[160], address[ADDR_TEXT];
    if (svc->config->ttl_s != CFG_TTL_AUTO)
        snprintf(why, sizeof why, "configured");
    else if (svc->ttl_cand != UINT32_MAX)
        snprintf(why, sizeof why, "soonest possible change of state: %s, not before %llu s from its last check",
                 addr_format(&model_vip(m, svc->ttl_cand)->config->addr, address),
                 (unsigned long long)(model_vip(m, svc->ttl_cand)->stable_ms / 1000));
    else
        snprintf(why, sizeof why, "soonest possible change of state lies outside min-ttl..max-ttl, bounded");
    return json_pack("{s:i, s:s}", "seconds", (int)svc->ttl_s, "why", why);
}

static json_t *tell_client(const struct snapshot *s, const struct explain_query *q, const struct geo_lookup *g)
{
    char address[ADDR_TEXT];
    json_t *o = json_pack("{s:s, s:b, s:i}", "address", addr_format(&q->client, address), "located", q->located,
                          "place-scope", (int)g->scope);
    json_object_set_new(o, "place", explain_place(geo_place_at(s->geo, g->place)));
    return o;
}

enum { FROM_TEXT = 128 };

/* What is measured of the client's prefix: as JSON, and for the trace in words by site of the view. */
static json_t *tell_measured(const struct snapshot *s, const struct snap_view *v, const struct model *m, const struct addr *client,
                             char (*words)[FROM_TEXT], const char **by_site)
{
    json_t *list = json_array();
    uint64_t now = clock_mono_ms(model_clock(m));
    for (unsigned i = 0; i < v->site_count; i++) {
        const struct rtt_belief *b = measured_of(m, v->sites[i], client);
        char prefix[PREFIX_TEXT];
        by_site[i] = NULL;
        if (!b)
            continue;
        const char *site = site_of(s, v->sites[i])->name, *by = sights_vantage_name(model_sights(m), b->vantage);
        unsigned long long ago = (now > b->when_ms ? now - b->when_ms : 0) / 1000;
        snprintf(words[i], FROM_TEXT, "from %.40s for %s by %u connection%s, %llu s ago", site,
                 prefix_format(&b->prefix, prefix), b->connections, b->connections == 1 ? "" : "s", ago);
        by_site[i] = words[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:I, s:I}", "site", site, "by", by, "prefix", prefix,
                                              "ms", b->us / 1000.0, "spread-ms", b->spread_us / 1000.0, "confidence",
                                              (double)rtt_confidence(b), "connections", (json_int_t)b->connections, "seconds-ago",
                                              (json_int_t)ago));
    }
    return list;
}

int explain(const struct snapshot *s, const struct model *m, const struct history *h, const struct explain_query *q,
            json_t **out)
{
    static const struct addr nowhere;
    _Alignas(8) uint8_t space[DECISION_BYTES];
    struct snap_cand cands[SNAP_CANDS_MAX];
    struct snap_feature features[SNAP_SITES_MAX];
    uint16_t feature_of[SNAP_CANDS_MAX];
    const struct snap_service *svc = s->services[q->service];
    const struct snap_family *f = &svc->family[q->family];
    const struct snap_view *v = svc->view;
    const struct addr *client = q->located ? &q->client : &nowhere;
    if (q->at_ms && q->at_ms < history_since(h))
        return PM_ENOTFOUND;
    struct view_hit hit = view_find(v, s->geo, client);
    struct geo_lookup place = geo_find(s->geo, client);
    view_features(v, s->config, geo_place_at(s->geo, place.place), svc->reads, features);
    view_join(v, &hit, features);
    char words[SNAP_SITES_MAX][FROM_TEXT];
    const char *from[SNAP_SITES_MAX];
    json_t *measured = tell_measured(s, v, m, client, words, from);
    struct policy_run run = {.cands = cands, .cand_count = f->cand_count, .features = features, .feature_of = feature_of,
                             .seen = f->seen, .measured = from};
    for (unsigned i = 0; i < f->cand_count; i++) {
        uint16_t at = 0;
        cands[i] = f->cands[i];
        if (q->at_ms)
            history_rewind(h, q->at_ms, &cands[i]);
        while (v->sites[at] != cands[i].site)
            at++;
        feature_of[i] = at;
    }
    struct telling t = {s, cands, q->family ? ADDR_V6 : ADDR_V4, json_array(), NULL, NULL};
    run.trace = tell_effect;
    run.trace_ctx = &t;
    struct snap_decision *d = (struct snap_decision *)space;
    decide(svc->config, svc->policy, &run, f->fallback_count, d, tell_stage, &t);

    json_t *list = json_array();
    uint64_t now_ms = clock_mono_ms(model_clock(m));
    for (unsigned i = 0; i < f->cand_count; i++)
        json_array_append_new(list, tell_cand(&t, &cands[i], view_needs(svc->reads) ? &features[feature_of[i]] : NULL,
                                              model_vip(m, cands[i].vip), now_ms));
    static const char *const picks[] = {"first", "weighted", "spread", "spill", "round-robin", "hash"};
    *out = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:i, s:i, s:b}", "service", svc->config->name,
                     "policy", *svc->policy->name ? svc->policy->name : "(inline)", "family", q->family ? "IPv6" : "IPv4", "client", tell_client(s, q, &place),
                     "candidates", list, "passes", t.passes, "order", tell_order(&t, d), "pick", picks[d->pick],
                     "fallback", snap_fallback_name((enum snap_fallback)d->fallen_back), "ttl", tell_ttl(svc, m), "class",
                     (int)hit.class, "scope", (int)hit.scope, "compiled", f->compiled);
    if (json_array_size(measured))
        json_object_set(*out, "measured", measured);
    json_decref(measured);
    return *out ? PM_OK : PM_ENOMEM;
}
