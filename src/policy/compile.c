/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/compile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/map.h"
#include "policy/measured.h"
#include "policy/seen.h"
#include "policy/view.h"

enum {
    /* Decisions kept ahead over all services; beyond that they are made per query, at a few hundred ns each. */
    DECISIONS_MAX = 16 << 20,
    /* Views with ranges of their own; each may cost as much memory as the geography. */
    OWN_RANGES_MAX = 32,
    /* Decisions for measured prefixes, over all services of a view: made again every few seconds, in about 0.2 s. */
    MEASURED_DECISIONS_MAX = 1 << 18,
    MEASURED_MS = 3000, /* between two such rounds */
};

/* ---- views ---- */

struct view_entry {
    struct snap_view *view;
    unsigned reads;
    uint32_t users; /* services */
};

struct view_set {
    struct map by_key;
    struct arena *keys;
    struct view_entry *items;
    size_t count, cap;
};

/* The sites of a service, ascending, each once. */
static uint16_t service_sites(const struct cfg_service *svc, uint16_t *out)
{
    uint16_t n = 0;
    CONFIG_EACH(struct cfg_service_site, s, svc->sites) {
        uint16_t site = (uint16_t)s->site->index, at = 0;
        while (at < n && out[at] < site)
            at++;
        if (at < n && out[at] == site)
            continue;
        memmove(out + at + 1, out + at, (size_t)(n - at) * sizeof *out);
        out[at] = site;
        n++;
    }
    return n;
}

static size_t view_of(struct view_set *set, const struct config *config, const struct geo_db *geo,
                      const struct cfg_service *svc, unsigned reads)
{
    uint16_t key[5 + 2 * SNAP_CANDS_MAX];
    unsigned needs = view_needs(reads);
    float percent = needs & READS_DISTANCE_WITHIN ? policy_within_percent(svc->policy) : 0;
    uint16_t n = service_sites(svc, key + 5);
    key[0] = (uint16_t)needs;
    key[1] = (uint16_t)(needs >> 16);
    key[2] = n;
    memcpy(key + 3, &percent, sizeof percent);
    size_t len = (5u + n) * sizeof key[0];
    uintptr_t at = (uintptr_t)map_get(&set->by_key, key, len);
    if (at) {
        set->items[at - 1].users++;
        return at - 1;
    }
    if (set->count == set->cap) {
        set->cap = set->cap ? set->cap * 2 : 16;
        set->items = mem_realloc(set->items, set->cap * sizeof *set->items);
    }
    struct snap_view *v = view_new(config, geo, needs, percent, key + 5, n, set->count >= OWN_RANGES_MAX);
    set->items[set->count] = (struct view_entry){v, reads, 1};
    map_put(&set->by_key, memcpy(arena_bytes(set->keys, len), key, len), len, (void *)(++set->count));
    return set->count - 1;
}

/* ---- one service ---- */

/* Decisions of one family while it is compiled: equal ones are kept once. */
struct decision_pool {
    uint8_t *bytes;
    size_t len, cap;
    uint32_t *offset; /* of distinct decisions */
    size_t count, offset_cap;
};

static size_t pool_add(struct decision_pool *p, const struct snap_decision *d, size_t size)
{
    size = (size + 7) & ~(size_t)7;
    for (size_t i = p->count; i-- > 0;) {
        size_t end = i + 1 < p->count ? p->offset[i + 1] : p->len;
        if (end - p->offset[i] == size && memcmp(p->bytes + p->offset[i], d, size) == 0)
            return i;
    }
    if (p->len + size > p->cap) {
        p->cap = (p->cap + size) * 2;
        p->bytes = mem_realloc(p->bytes, p->cap);
    }
    if (p->count == p->offset_cap) {
        p->offset_cap = p->offset_cap ? p->offset_cap * 2 : 8;
        p->offset = mem_realloc(p->offset, p->offset_cap * sizeof *p->offset);
    }
    memcpy(p->bytes + p->len, d, size);
    p->offset[p->count] = (uint32_t)p->len;
    p->len += size;
    return p->count++;
}

/* One family on its way into the service's single block of memory. */
struct family_build {
    struct snap_cand cands[SNAP_CANDS_MAX];
    uint16_t feature_of[SNAP_CANDS_MAX];
    uint64_t stable_ms[SNAP_CANDS_MAX];
    uint16_t cand_count, fallback_count;
    uint32_t classes;
    uint16_t *class_decision; /* [classes] */
    struct decision_pool pool;
    bool sees;
    struct seen_table seen;
};

/* The site's weight in the service, shared among its VIPs of the family by theirs. */
static float vip_weight(const struct model_vip *v, unsigned addr_family)
{
    double sum = 0;
    CONFIG_EACH(struct cfg_vip, vip, v->at->vips)
        sum += vip->addr.family == addr_family ? vip->weight : 0;
    return sum > 0 ? (float)(v->at->weight * v->config->weight / sum) : 0;
}

static void collect_seen(const struct cfg_service *svc, const struct model *m, uint32_t service, unsigned addr_family,
                         struct family_build *b)
{
    struct handoff_places places;
    b->sees = policy_metrics(svc->policy) & MODEL_READS_SIGHTS;
    if (b->sees)
        seen_build(m, service, addr_family, policy_handoff_places(svc->policy, &places) ? &places : NULL, &b->seen);
}

static void collect_cands(const struct cfg_service *svc, const struct snap_view *view, const struct model *m, uint32_t service,
                          unsigned addr_family, struct family_build *b)
{
    uint32_t count, first = model_service_first_vip(m, service, &count);
    collect_seen(svc, m, service, addr_family, b);
    b->cand_count = 0;
    for (uint32_t i = 0; i < count && b->cand_count < SNAP_CANDS_MAX; i++) {
        const struct model_vip *v = model_vip(m, first + i);
        if (v->config->addr.family != addr_family)
            continue;
        struct snap_cand *c = &b->cands[b->cand_count];
        *c = (struct snap_cand){.vip = first + i,
                                .site = v->site,
                                .order = (uint16_t)v->at->priority,
                                .health = v->health,
                                .override = v->override,
                                .flapping = v->flapping,
                                .kept = v->kept,
                                .last_good = v->last_good,
                                .weight = vip_weight(v, addr_family),
                                .admit = v->admit,
                                .seen_row = b->sees ? (uint8_t)seen_row(&b->seen.head, v->site) : 0,
                                .cost = (float)(v->at->cost + v->config->cost),
                                .max_connections = v->config->max_connections};
        memcpy(c->metric, v->metric, sizeof c->metric);
        memcpy(c->address, v->config->addr.bytes, sizeof c->address);
        uint16_t at = 0;
        while (view->sites[at] != v->site)
            at++;
        b->stable_ms[b->cand_count] = v->stable_ms;
        b->feature_of[b->cand_count++] = at;
    }
    b->fallback_count = 0;
    const struct addr *fallback = svc->fallback.items;
    for (uint32_t i = 0; svc->all_down == CFG_ALL_DOWN_FALLBACK && i < svc->fallback.count; i++)
        b->fallback_count = (uint16_t)(b->fallback_count + (fallback[i].family == addr_family));
    if (b->fallback_count > SNAP_CANDS_MAX)
        b->fallback_count = SNAP_CANDS_MAX;
}

static void compile_decisions(const struct cfg_service *svc, const struct snap_view *view, struct family_build *b)
{
    _Alignas(8) uint8_t space[DECISION_BYTES + 8];
    struct policy_run run = {.cands = b->cands, .cand_count = b->cand_count, .feature_of = b->feature_of,
                             .seen = b->sees ? &b->seen.head : NULL};
    b->classes = b->cand_count ? view->class_count : 1;
    b->class_decision = mem_alloc(b->classes * sizeof *b->class_decision);
    for (uint32_t class = 0; class < b->classes; class++) {
        struct snap_decision *d = (struct snap_decision *)space;
        run.features = view_class(view, class);
        memset(space, 0, sizeof space);
        size_t size = decide(svc, svc->policy, &run, b->fallback_count, d, NULL, NULL);
        b->class_decision[class] = (uint16_t)pool_add(&b->pool, d, size);
    }
}

/* The soonest moment at which the state can change gives the TTL, within the service's bounds. */
static void compile_ttl(struct snap_service *out, const struct cfg_service *svc, const struct family_build *b)
{
    uint64_t soonest = UINT64_MAX;
    out->ttl_cand = UINT32_MAX;
    if (svc->ttl_s != CFG_TTL_AUTO) {
        out->ttl_s = svc->ttl_s;
        return;
    }
    for (unsigned f = 0; f < 2; f++) {
        for (unsigned i = 0; i < b[f].cand_count; i++) {
            if (b[f].stable_ms[i] < soonest) {
                soonest = b[f].stable_ms[i];
                out->ttl_cand = b[f].cands[i].vip;
            }
        }
    }
    soonest /= 1000;
    if (soonest < svc->min_ttl_s || soonest > svc->max_ttl_s)
        out->ttl_cand = UINT32_MAX;
    out->ttl_s = (uint32_t)(soonest < svc->min_ttl_s ? svc->min_ttl_s : soonest > svc->max_ttl_s ? svc->max_ttl_s : soonest);
}

struct layout {
    size_t size;
    uint8_t *base; /* NULL while measuring */
};

static void *layout_take(struct layout *l, size_t size)
{
    l->size = (l->size + 7) & ~(size_t)7;
    void *p = l->base ? l->base + l->size : NULL;
    l->size += size;
    return p;
}

static void place_fallbacks(const struct cfg_service *svc, unsigned addr_family, uint8_t (*out)[16], uint16_t max)
{
    const struct addr *fallback = svc->fallback.items;
    for (uint32_t i = 0, n = 0; i < svc->fallback.count && n < max; i++)
        if (fallback[i].family == addr_family)
            memcpy(out[n++], fallback[i].bytes, 16);
}

static const struct snap_seen *place_seen(struct layout *l, const struct seen_table *t)
{
    size_t n = t->head.count;
    struct snap_seen *out = layout_take(l, sizeof *out);
    float *ms = layout_take(l, n * n * sizeof *ms);
    uint32_t *total = layout_take(l, t->head.total ? n * sizeof *total : 0);
    uint16_t *site = layout_take(l, n * sizeof *site);
    if (!l->base)
        return NULL;
    memcpy(ms, t->ms, n * n * sizeof *ms);
    memcpy(site, t->site, n * sizeof *site);
    if (t->head.total)
        memcpy(total, t->total, n * sizeof *total);
    *out = (struct snap_seen){t->head.count, site, ms, t->head.total ? total : NULL, t->head.sum};
    return out;
}

/* Lays a family into the block; called once to measure and once to fill. */
static void place_family(struct layout *l, const struct cfg_service *svc, const struct family_build *b, unsigned addr_family,
                         bool compiled, struct snap_family *out)
{
    struct snap_cand *cands = layout_take(l, b->cand_count * sizeof *cands);
    uint8_t(*fallbacks)[16] = layout_take(l, b->fallback_count * sizeof *fallbacks);
    const struct snap_decision **decision = layout_take(l, compiled ? b->classes * sizeof(*decision) : 0);
    uint8_t *bytes = layout_take(l, compiled ? b->pool.len : 0);
    const struct snap_seen *seen = b->sees ? place_seen(l, &b->seen) : NULL;
    if (!l->base)
        return;
    memcpy(cands, b->cands, b->cand_count * sizeof *cands);
    place_fallbacks(svc, addr_family, fallbacks, b->fallback_count);
    if (compiled)
        memcpy(bytes, b->pool.bytes, b->pool.len);
    for (uint32_t c = 0; compiled && c < b->classes; c++)
        decision[c] = (const struct snap_decision *)(bytes + b->pool.offset[b->class_decision[c]]);
    *out = (struct snap_family){b->cand_count, b->fallback_count, compiled, cands, seen, (const uint8_t(*)[16])fallbacks,
                                decision};
}

static struct snap_service *compile(const struct snap_view *view, unsigned reads, bool ahead, const struct cfg_service *svc,
                                    struct model *m, uint32_t service)
{
    static const unsigned families[2] = {ADDR_V4, ADDR_V6};
    struct family_build *b = mem_alloc(2 * sizeof *b);
    model_note_compiled(m, service);
    for (unsigned f = 0; f < 2; f++) {
        collect_cands(svc, view, m, service, families[f], &b[f]);
        if (ahead)
            compile_decisions(svc, view, &b[f]);
    }
    struct layout l = {.size = sizeof(struct snap_service)};
    for (unsigned f = 0; f < 2; f++)
        place_family(&l, svc, &b[f], families[f], ahead, NULL);
    struct snap_service *out = mem_alloc(l.size);
    *out = (struct snap_service){.view = view, .config = svc, .policy = svc->policy, .reads = reads,
                                 .addresses = (uint16_t)svc->addresses, .compiled_ms = clock_mono_ms(model_clock(m)),
                                 .bytes = (uint32_t)l.size};
    l = (struct layout){.size = sizeof *out, .base = (uint8_t *)out};
    for (unsigned f = 0; f < 2; f++) {
        place_family(&l, svc, &b[f], families[f], ahead, &out->family[f]);
        free(b[f].class_decision);
        free(b[f].pool.bytes);
        free(b[f].pool.offset);
    }
    compile_ttl(out, svc, b);
    free(b);
    return out;
}

struct snap_service *compile_service(const struct snapshot *s, struct model *m, uint32_t service)
{
    const struct cfg_service *svc = (const struct cfg_service *)s->config->services.items + service;
    const struct snap_service *was = s->services[service];
    return compile(was->view, was->reads, was->family[0].compiled, svc, m, service);
}

/* ---- measurements ---- */

static struct snap_view *lay(const struct snap_views *v, const struct model *m)
{
    uint32_t most = MEASURED_DECISIONS_MAX / (v->users ? v->users : 1);
    return measured_view(v->base, v->laid, m, v->ahead, most < SNAP_CLASSES_MAX ? most : SNAP_CLASSES_MAX);
}

static void free_laid(void *v)
{
    measured_free(v);
}

bool compile_measured(struct world *w, struct model *m)
{
    struct snapshot *s = w->current;
    uint64_t now = clock_mono_ms(model_clock(m));
    bool any = false;
    if (s->rtt_changes == rtt_changes(model_rtt(m)) || now - s->measured_ms < MEASURED_MS)
        return false;
    s->rtt_changes = rtt_changes(model_rtt(m));
    s->measured_ms = now;
    for (size_t i = 0; i < s->view_count; i++) {
        struct snap_view *old = s->views[i].laid, *fresh = old ? lay(&s->views[i], m) : NULL;
        for (uint32_t k = 0; fresh && k < s->service_count; k++) {
            const struct snap_service *was = s->services[k];
            if (was->view == old)
                world_publish_service(w, k, compile(fresh, was->reads, s->views[i].ahead, was->config, m, k));
        }
        if (!fresh)
            continue;
        s->views[i].laid = fresh;
        world_waste(w, old, free_laid);
        any = true;
    }
    return any;
}

/* ---- a generation ---- */

static void views_take(struct snapshot *s, const struct view_set *set, const struct model *m)
{
    s->view_count = set->count;
    s->views = mem_alloc((set->count + 1) * sizeof *s->views);
    for (size_t i = 0; i < set->count; i++) {
        const struct view_entry *e = &set->items[i];
        struct snap_views *v = &s->views[i];
        *v = (struct snap_views){.base = e->view, .users = e->users};
        v->ahead = !e->view->by_place && e->view->class_count <= SNAP_CLASSES_MAX &&
                   (uint64_t)e->view->class_count * e->users <= DECISIONS_MAX;
        if (e->reads & READS_RTT)
            v->laid = lay(v, m);
    }
}

struct snapshot *compile_snapshot(struct model *m, const struct config *config, const struct geo_db *geo,
                                  const struct dns_zones *zones, uint64_t generation)
{
    const struct cfg_service *services = config->services.items;
    struct view_set set = {.by_key = MAP_INIT, .keys = arena_new()};
    struct snapshot *s = mem_alloc(sizeof *s);
    uint32_t n = config->services.count;
    uint32_t *view_index = mem_alloc((n + 1) * sizeof *view_index);
    unsigned *reads = mem_alloc((n + 1) * sizeof *reads);
    *s = (struct snapshot){.generation = generation, .config = config, .geo = geo, .zones = zones, .service_count = n,
                           .rtt_changes = rtt_changes(model_rtt(m)), .measured_ms = clock_mono_ms(model_clock(m))};
    for (uint32_t i = 0; i < n; i++) {
        reads[i] = policy_reads(services[i].policy);
        view_index[i] = (uint32_t)view_of(&set, config, geo, &services[i], reads[i]);
        model_set_metric_mask(m, i, policy_metrics(services[i].policy));
    }
    views_take(s, &set, m);
    s->services = mem_alloc((n + 1) * sizeof(struct snap_service *));
    for (uint32_t i = 0; i < n; i++) {
        const struct snap_views *v = &s->views[view_index[i]];
        s->services[i] = compile(v->laid ? v->laid : v->base, reads[i], v->ahead, &services[i], m, i);
    }
    model_dirty_clear(m);
    free(set.items);
    map_fini(&set.by_key);
    arena_free(set.keys);
    free(view_index);
    free(reads);
    return s;
}

void compile_snapshot_free(struct snapshot *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->service_count; i++)
        free(s->services[i]);
    for (size_t i = 0; i < s->view_count; i++) {
        measured_free(s->views[i].laid);
        view_free(s->views[i].base);
    }
    free(s->services);
    free(s->views);
    free(s);
}
