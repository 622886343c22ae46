/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/measured.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/map.h"

/* A narrow prefix speaks for itself from here on, however much surer one is of a wider one. */
static const float sure = 0.5f;

/* ---- one prefix from one site ---- */

static bool is_of(const struct model *m, const struct rtt_belief *b, uint16_t site)
{
    return sights_vantage_site(model_sights(m), b->vantage) == site;
}

/* Of several balancers at a site the surest; the shorter time where that is equal: all balancers take the same. */
static const struct rtt_belief *surest(const struct model *m, const struct rtt_prefix *p, uint16_t site)
{
    const struct rtt_belief *best = NULL;
    for (const struct rtt_belief *b = p->beliefs; b; b = b->next)
        if (is_of(m, b, site) &&
            (!best || b->confidence > best->confidence || (b->confidence == best->confidence && b->us < best->us)))
            best = b;
    return best;
}

static const struct rtt_belief *narrower(const struct rtt_belief *wide, const struct rtt_belief *narrow)
{
    if (!wide || !narrow)
        return narrow ? narrow : wide;
    return rtt_confidence(narrow) >= sure || narrow->confidence >= wide->confidence ? narrow : wide;
}

const struct rtt_belief *measured_of(const struct model *m, uint16_t site, const struct addr *client)
{
    const struct rtt_belief *best = NULL;
    for (unsigned len = 0; client->family && len <= addr_bits(client); len++) {
        struct prefix p;
        prefix_make(&p, client, len);
        const struct rtt_prefix *of = rtt_find(model_rtt(m), &p);
        if (of)
            best = narrower(best, surest(m, of, site));
    }
    return best;
}

/* ---- all prefixes ---- */

/* One prefix as the view's sites see it. */
struct seen {
    const struct rtt_prefix *of;
    uint64_t use;
    const struct rtt_belief **from; /* [site_count] */
};

struct laying {
    const struct snap_view *base;
    const struct model *m;
    bool whole;
    uint32_t most;
    struct arena *arena; /* keys, and what is needed while laying */
    struct map items;    /* class of places and measurements -> number + 1 */
    struct snap_feature *features;
    uint32_t count, cap;
    struct ranges_builder *ranges;
    uint64_t stamp;
};

static int by_use(const void *x, const void *y)
{
    const struct seen *a = x, *b = y;
    if (a->use != b->use)
        return a->use < b->use ? 1 : -1;
    return memcmp(&a->of->prefix, &b->of->prefix, sizeof a->of->prefix);
}

/* Wider ones before what is in them. */
static int by_place(const void *x, const void *y)
{
    const struct prefix *a = &((const struct seen *)x)->of->prefix, *b = &((const struct seen *)y)->of->prefix;
    int order = addr_cmp(&a->addr, &b->addr);
    return order ? order : (int)a->len - (int)b->len;
}

static struct seen *collect(const struct laying *l, size_t *n)
{
    const struct rtt *r = model_rtt(l->m);
    struct seen *all = mem_alloc((rtt_prefixes(r) + 1) * sizeof *all);
    const struct rtt_prefix *p;
    *n = 0;
    for (size_t at = 0; (p = rtt_next(r, &at));) {
        all[*n] = (struct seen){.of = p};
        for (const struct rtt_belief *b = p->beliefs; b; b = b->next)
            all[*n].use += b->connections;
        (*n)++;
    }
    if (*n > MEASURED_PREFIXES_MAX) {
        qsort(all, *n, sizeof *all, by_use);
        *n = MEASURED_PREFIXES_MAX;
    }
    qsort(all, *n, sizeof *all, by_place);
    return all;
}

static bool inside(const struct seen *wide, const struct seen *s)
{
    return wide->of->prefix.len < s->of->prefix.len && prefix_contains(&wide->of->prefix, &s->of->prefix.addr);
}

/* True: some site sees it otherwise than the prefix around it. */
static bool see(const struct laying *l, struct seen *s, const struct seen *around)
{
    bool differs = false;
    s->from = ARENA_ARRAY(l->arena, const struct rtt_belief *, l->base->site_count);
    for (unsigned i = 0; i < l->base->site_count; i++) {
        const struct rtt_belief *wide = around ? around->from[i] : NULL;
        s->from[i] = narrower(wide, surest(l->m, s->of, l->base->sites[i]));
        differs |= s->from[i] != wide;
    }
    return differs;
}

/* ---- classes ---- */

/* Steps of 5 % from 0.1 ms on. */
static void measure(const struct rtt_belief *b, struct snap_feature *out)
{
    if (!b)
        return;
    float steps = roundf(logf((float)(b->us < 100 ? 100 : b->us) / 100) / logf(1.05f));
    out->rtt_ms = 0.1f * powf(1.05f, steps);
    out->rtt_tenths = (uint8_t)(rtt_confidence(b) * 10);
}

/* The number of a class and these measurements, counted from 1; 0: there are too many. */
static uint32_t item_of(struct laying *l, uint32_t class, const struct seen *s)
{
    static const struct snap_feature unknown = {NAN, NAN, 0, 3, 0};
    unsigned n = l->base->site_count;
    size_t len = sizeof class + n * (sizeof(float) + 1);
    struct snap_feature now[SNAP_SITES_MAX];
    uint8_t *key = arena_bytes(l->arena, len), *at = key + sizeof class;
    memcpy(key, &class, sizeof class);
    for (unsigned i = 0; i < n; i++, at += sizeof(float) + 1) {
        now[i] = l->whole ? l->base->features[(size_t) class * n + i] : unknown;
        measure(s->from[i], &now[i]);
        memcpy(at, &now[i].rtt_ms, sizeof(float));
        at[sizeof(float)] = now[i].rtt_tenths;
    }
    uintptr_t item = (uintptr_t)map_get(&l->items, key, len);
    if (item || l->count == l->most)
        return (uint32_t)item;
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->features = mem_realloc(l->features, (size_t)l->cap * n * sizeof *l->features);
    }
    memcpy(l->features + (size_t)l->count++ * n, now, n * sizeof *now);
    l->stamp = hash_bytes(key, len, l->stamp);
    map_put(&l->items, key, len, (void *)(uintptr_t)l->count);
    return l->count;
}

static void lay_block(struct laying *l, const struct prefix *block, uint32_t class, const struct seen *s)
{
    uint32_t item = item_of(l, class, s);
    if (!item)
        return;
    ranges_builder_add(l->ranges, block, item);
    l->stamp = hash_bytes(block, sizeof *block, l->stamp + item);
}

/* The first address behind a block; false: there is none. */
static bool step_over(const struct prefix *block, struct addr *next)
{
    *next = block->addr;
    unsigned bit = block->len;
    while (bit-- > 0) {
        uint8_t mask = (uint8_t)(0x80 >> bit % 8);
        next->bytes[bit / 8] ^= mask;
        if (next->bytes[bit / 8] & mask)
            return true;
    }
    return false;
}

/* Calls lay_block for each block of one class in the prefix; `lay` NULL only counts them. */
static unsigned cut(struct laying *l, const struct seen *s, bool lay)
{
    const struct prefix *p = &s->of->prefix;
    struct addr at = p->addr;
    unsigned n = 0;
    do {
        struct prefix block;
        struct ranges_hit h = ranges_find(l->base->ranges, &at);
        prefix_make(&block, &at, h.scope > p->len ? h.scope : p->len);
        if (lay)
            lay_block(l, &block, h.value, s);
        if (++n > MEASURED_BLOCKS_MAX || !step_over(&block, &at))
            break;
    } while (prefix_contains(p, &at));
    return n;
}

static void lay_prefix(struct laying *l, const struct seen *s)
{
    if (!l->whole)
        lay_block(l, &s->of->prefix, 0, s);
    else if (cut(l, s, false) <= MEASURED_BLOCKS_MAX)
        (void)cut(l, s, true);
}

static void lay_all(struct laying *l)
{
    size_t n;
    struct seen *all = collect(l, &n);
    const struct seen *open[129]; /* those around, widest first */
    unsigned depth = 0;
    for (size_t i = 0; i < n; i++) {
        while (depth && !inside(open[depth - 1], &all[i]))
            depth--;
        if (see(l, &all[i], depth ? open[depth - 1] : NULL))
            lay_prefix(l, &all[i]);
        open[depth++] = &all[i];
    }
    free(all);
}

/* ---- views ---- */

struct snap_view *measured_view(const struct snap_view *base, const struct snap_view *now, const struct model *m,
                                bool whole, uint32_t most)
{
    struct laying l = {.base = base,
                       .m = m,
                       .whole = whole,
                       .most = most,
                       .arena = arena_new(),
                       .items = MAP_INIT,
                       .ranges = ranges_builder_new(0)};
    struct snap_view *v = NULL;
    lay_all(&l);
    map_fini(&l.items);
    arena_free(l.arena);
    if (now && now->measured && now->measured->stamp == l.stamp) {
        free(l.features);
        ranges_builder_free(l.ranges);
        return NULL;
    }
    struct snap_measured *laid = mem_alloc(sizeof *laid);
    *laid = (struct snap_measured){
        .ranges = ranges_freeze(l.ranges), .features = l.features, .count = l.count, .whole = whole, .stamp = l.stamp};
    v = mem_alloc(sizeof *v);
    *v = *base;
    v->measured = laid;
    v->class_count += whole ? l.count : 0;
    return v;
}

void measured_free(struct snap_view *v)
{
    if (!v)
        return;
    ranges_free((struct ranges *)(uintptr_t)v->measured->ranges);
    free((void *)(uintptr_t)v->measured->features);
    free((void *)(uintptr_t)v->measured);
    free(v);
}
