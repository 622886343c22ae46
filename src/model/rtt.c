/* SPDX-License-Identifier: Apache-2.0 */
#include "model/rtt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/map.h"
#include "model/sights.h"

enum { SWEEP_MS = 10000 };

/* What one vantage says in one part. */
struct group {
    uint32_t key;
    struct rtt_belief *list;
};

struct rtt {
    struct map by_prefix; /* struct prefix -> struct rtt_prefix */
    struct map groups;    /* vantage << 8 | part -> struct group; they stay */
    size_t beliefs;
    uint64_t changes, round, sweep_ms;
    uint32_t due;
    struct rtt_counters counters;
};

struct rtt *rtt_new(void)
{
    struct rtt *r = mem_alloc(sizeof *r);
    map_init(&r->by_prefix);
    map_init(&r->groups);
    return r;
}

void rtt_free(struct rtt *r)
{
    struct map_slot slot;
    size_t at = 0;
    if (!r)
        return;
    while (map_next(&r->groups, &at, &slot)) {
        struct group *g = slot.value;
        for (struct rtt_belief *b = g->list, *mate; b; b = mate) {
            mate = b->mate;
            free(b);
        }
        free(g);
    }
    for (at = 0; map_next(&r->by_prefix, &at, &slot);)
        free(slot.value);
    map_fini(&r->by_prefix);
    map_fini(&r->groups);
    free(r);
}

/* ---- readers ---- */

const struct rtt_prefix *rtt_find(const struct rtt *r, const struct prefix *p)
{
    return map_get(&r->by_prefix, p, sizeof *p);
}

const struct rtt_prefix *rtt_next(const struct rtt *r, size_t *at)
{
    struct map_slot slot;
    return map_next(&r->by_prefix, at, &slot) ? slot.value : NULL;
}

size_t rtt_prefixes(const struct rtt *r)
{
    return r->by_prefix.count;
}

size_t rtt_beliefs(const struct rtt *r)
{
    return r->beliefs;
}

uint64_t rtt_changes(const struct rtt *r)
{
    return r->changes;
}

struct rtt_counters *rtt_counters(struct rtt *r)
{
    return &r->counters;
}

void rtt_moved(struct rtt *r)
{
    r->changes++;
}

/* ---- writing ---- */

static struct group *group_of(struct rtt *r, uint16_t vantage, uint8_t part, bool make)
{
    uint32_t key = (uint32_t)vantage << 8 | part;
    struct group *g = map_get(&r->groups, &key, sizeof key);
    if (g || !make)
        return g;
    g = mem_alloc(sizeof *g);
    g->key = key;
    map_put(&r->groups, &g->key, sizeof g->key, g);
    return g;
}

static struct rtt_belief *belief_of(const struct rtt *r, const struct prefix *p, uint16_t vantage)
{
    const struct rtt_prefix *of = rtt_find(r, p);
    struct rtt_belief *b = of ? of->beliefs : NULL;
    while (b && b->vantage != vantage)
        b = b->next;
    return b;
}

static struct rtt_belief *belief_new(struct rtt *r, const struct rtt_belief *what)
{
    struct rtt_prefix *of = map_get(&r->by_prefix, &what->prefix, sizeof what->prefix);
    struct group *g = group_of(r, what->vantage, what->part, true);
    struct rtt_belief *b = mem_alloc(sizeof *b);
    if (!of) {
        of = mem_alloc(sizeof *of);
        of->prefix = what->prefix;
        map_put(&r->by_prefix, &of->prefix, sizeof of->prefix, of);
    }
    *b = *what;
    b->next = of->beliefs;
    b->mate = g->list;
    of->beliefs = g->list = b;
    r->beliefs++;
    return b;
}

/* mate: where its group points to it. */
static void belief_free(struct rtt *r, struct rtt_belief **mate)
{
    struct rtt_belief *b = *mate, **at;
    struct rtt_prefix *of = map_get(&r->by_prefix, &b->prefix, sizeof b->prefix);
    for (at = &of->beliefs; *at != b; at = &(*at)->next)
        ;
    *at = b->next;
    *mate = b->mate;
    if (!of->beliefs) {
        map_del(&r->by_prefix, &of->prefix, sizeof of->prefix);
        free(of);
    }
    free(b);
    r->beliefs--;
    r->changes++;
}

/* True: something a decision could see is different. */
static bool set(struct rtt *r, const struct rtt_belief *what)
{
    struct rtt_belief *b = belief_of(r, &what->prefix, what->vantage);
    if (b && b->part != what->part)
        return false; /* said twice by one vantage: the first holds until it is taken back */
    if (!b && r->beliefs >= RTT_HEARD_MAX) {
        r->counters.refused++;
        return false;
    }
    bool changed = !b || b->us != what->us || b->confidence != what->confidence;
    if (!b)
        b = belief_new(r, what);
    struct rtt_belief *next = b->next, *mate = b->mate;
    *b = *what;
    b->next = next;
    b->mate = mate;
    b->round = r->round;
    r->changes += changed;
    return changed;
}

/* What a group did not say in this round goes. True if there was any. */
static bool sweep(struct rtt *r, struct group *g)
{
    bool any = false;
    for (struct rtt_belief **at = &g->list; *at;) {
        if ((*at)->round == r->round) {
            at = &(*at)->mate;
            continue;
        }
        belief_free(r, at);
        any = true;
    }
    return any;
}

void rtt_replace(struct rtt *r, uint16_t vantage, uint8_t part, const struct rtt_belief *list, unsigned n)
{
    r->round++;
    for (unsigned i = 0; i < n; i++) {
        struct rtt_belief b = list[i];
        b.vantage = vantage;
        b.part = part;
        (void)set(r, &b);
    }
    struct group *g = group_of(r, vantage, part, false);
    if (g)
        (void)sweep(r, g);
}

void rtt_expire(struct rtt *r, uint64_t now_ms)
{
    struct map_slot slot;
    if (now_ms < r->sweep_ms)
        return;
    r->sweep_ms = now_ms + SWEEP_MS;
    for (size_t at = 0; map_next(&r->groups, &at, &slot);) {
        struct group *g = slot.value;
        for (struct rtt_belief **b = &g->list; *b;) {
            if ((*b)->until_ms <= now_ms)
                belief_free(r, b);
            else
                b = &(*b)->mate;
        }
    }
}

void rtt_adopt(struct rtt *r, const struct rtt *old, const uint16_t *vantage)
{
    struct map_slot slot;
    r->round++;
    for (size_t at = 0; map_next(&old->groups, &at, &slot);) {
        const struct group *g = slot.value;
        for (const struct rtt_belief *b = g->list; b; b = b->mate) {
            struct rtt_belief moved = *b;
            moved.vantage = vantage[b->vantage];
            (void)set(r, &moved);
        }
    }
    r->counters = old->counters;
    r->due = old->due;
}

/* ---- own ---- */

struct candidate {
    struct prefix prefix;
    struct rtt_estimate e;
    const struct rtt_belief *known;
};

struct settling {
    struct rtt *r;
    struct candidate *list;
    size_t count;
};

static void consider(void *ctx, const struct prefix *p, const struct rtt_estimate *e)
{
    struct settling *s = ctx;
    const struct rtt_belief *known = belief_of(s->r, p, VANTAGE_OWN);
    if (e->confidence >= (known ? RTT_FORGET : RTT_LEAST))
        s->list[s->count++] = (struct candidate){*p, *e, known};
}

/* Most connections first; who is told of already does not go for a few more. */
static int by_use(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    uint64_t ua = (uint64_t)a->e.connections * (a->known ? 3 : 2), ub = (uint64_t)b->e.connections * (b->known ? 3 : 2);
    return ua != ub ? (ua < ub) - (ua > ub) : memcmp(&a->prefix, &b->prefix, sizeof a->prefix);
}

static bool differs(uint32_t before, uint32_t now)
{
    uint32_t d = now > before ? now - before : before - now;
    return d > 500 && d > before / 20;
}

static struct rtt_belief settled(const struct candidate *c, uint64_t now_ms)
{
    unsigned confidence = (unsigned)(c->e.confidence * 255 + 0.5f);
    struct rtt_belief b = {.prefix = c->prefix,
                           .vantage = VANTAGE_OWN,
                           .part = (uint8_t)(hash_bytes(&c->prefix, sizeof c->prefix, 0) % RTT_PARTS),
                           .confidence = (uint8_t)confidence,
                           .us = c->e.us,
                           .spread_us = c->e.spread_us,
                           .connections = c->e.connections,
                           .when_ms = c->e.last_ms,
                           .until_ms = now_ms + RTT_KEEP_MS};
    if (c->known && !differs(c->known->us, b.us))
        b.us = c->known->us;
    if (c->known && abs((int)confidence - (int)c->known->confidence) < 26)
        b.confidence = c->known->confidence;
    return b;
}

void rtt_settle(struct rtt *r, const struct rtt_samples *s, uint64_t now_ms)
{
    struct settling all = {r, mem_alloc((rtt_samples_prefixes(s) + 1) * sizeof *all.list), 0};
    rtt_samples_each(s, now_ms, consider, &all);
    if (all.count > RTT_OWN_MAX) {
        qsort(all.list, all.count, sizeof *all.list, by_use);
        all.count = RTT_OWN_MAX;
    }
    r->round++;
    for (size_t i = 0; i < all.count; i++) {
        struct rtt_belief b = settled(&all.list[i], now_ms);
        if (set(r, &b))
            r->due |= 1u << b.part;
    }
    for (uint8_t part = 0; part < RTT_PARTS; part++) {
        struct group *g = group_of(r, VANTAGE_OWN, part, false);
        if (g && sweep(r, g))
            r->due |= 1u << part;
    }
    free(all.list);
}

uint32_t rtt_take_due(struct rtt *r)
{
    uint32_t due = r->due;
    r->due = 0;
    return due;
}

unsigned rtt_own_part(const struct rtt *r, unsigned part, const struct rtt_belief **out)
{
    uint32_t key = (uint32_t)VANTAGE_OWN << 8 | part;
    const struct group *g = map_get(&r->groups, &key, sizeof key);
    unsigned n = 0;
    for (const struct rtt_belief *b = g ? g->list : NULL; b && n < RTT_PART_MAX; b = b->mate)
        out[n++] = b;
    return n;
}
