/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/director.h"

#include <math.h>
#include <string.h>
#include "base/map.h"
#include "model/world.h"
#include "policy/compile.h"
#include "policy/view.h"

/* splitmix64: one multiplication chain, any seed. */
static uint64_t random_next(struct director_thread *t)
{
    uint64_t z = (t->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void director_thread_init(struct director_thread *t, uint64_t seed)
{
    memset(t, 0, sizeof *t);
    t->random = seed;
    t->phase = random_next(t);
}

/*
 * A point for the next hand-off. Spread: multiples of the golden ratio, so that any run of consecutive ones follows the
 * shares as closely as points can (each gap is cut at its golden section); threads begin at points of their own.
 */
static uint64_t next_point(enum snap_pick pick, struct director_thread *t, uint32_t turn_key)
{
    if (pick == PICK_SPREAD)
        return t->phase + ++t->turns[turn_key % DIRECTOR_TURNS] * 0x9e3779b97f4a7c15u;
    return random_next(t);
}

/* Draws `want` of the tier's `n` members without putting back, the first at a given point; members of weight 0 come
 * last, in order. */
static void draw_weighted(const struct snap_choice *c, unsigned base, unsigned n, struct director_thread *t, uint64_t point,
                          unsigned want, uint8_t *out)
{
    uint8_t left[SNAP_CANDS_MAX];
    uint64_t sum = 0;
    for (unsigned i = 0; i < n; i++) {
        left[i] = (uint8_t)i;
        sum += c[i].weight;
    }
    for (unsigned k = 0; k < want; k++, n--, point = random_next(t)) {
        unsigned i = 0;
        if (sum) {
            uint64_t at = (uint64_t)(((__uint128_t)point * sum) >> 64);
            for (; at >= c[left[i]].weight; i++)
                at -= c[left[i]].weight;
        }
        out[k] = (uint8_t)(base + left[i]);
        sum -= c[left[i]].weight;
        memmove(left + i, left + i + 1, n - i - 1);
    }
}

/*
 * Weighted rendezvous hashing: each member scores -w / ln(h), h uniform in (0,1) from client and address; highest first.
 * Shares follow the weights, and a member that goes moves only its own clients. Scores are of the address, not
 * the place in a list, so that all balancers agree.
 */
static void order_by_hash(const struct snap_choice *c, unsigned base, unsigned n, const struct snap_cand *cands,
                          uint64_t client_hash, unsigned want, uint8_t *out)
{
    float score[SNAP_CANDS_MAX];
    for (unsigned i = 0; i < n; i++) {
        uint64_t h = hash_bytes(cands[c[i].cand].address, 16, client_hash);
        score[i] = -(float)c[i].weight / logf(((float)(h >> 40) + 0.5f) / 16777216.0f);
    }
    for (unsigned k = 0; k < want; k++) {
        unsigned best = 0;
        for (unsigned i = 1; i < n; i++)
            if (score[i] > score[best])
                best = i;
        out[k] = (uint8_t)(base + best);
        score[best] = -1;
    }
}

static uint64_t client_hash(const struct snap_decision *d, const struct addr *client)
{
    struct prefix p;
    prefix_make(&p, client, client->family == ADDR_V4 ? d->hash_v4 : d->hash_v6);
    return hash_bytes(p.addr.bytes, 16, client->family); /* a fixed seed: every balancer hashes alike */
}

/* The usual case, one address of a weighted tier. Its weights add up to DECISION_WEIGHTS, but for rounding. */
static uint8_t draw_one(const struct snap_choice *c, unsigned n, uint64_t point)
{
    uint32_t at = (uint32_t)(((point >> 32) * DECISION_WEIGHTS) >> 32);
    for (unsigned i = 0; i < n; i++) {
        if (at < c[i].weight)
            return (uint8_t)i;
        at -= c[i].weight;
    }
    unsigned first = 0;
    while (first + 1 < n && !c[first].weight)
        first++;
    return (uint8_t)first;
}

/* The first that takes this client, or the very first if none does; the others follow in order. */
static unsigned order_by_spill(const struct snap_decision *d, struct director_thread *t, uint32_t turn_key, unsigned want,
                               uint8_t *out)
{
    unsigned taker = 0;
    uint64_t point = next_point(PICK_SPREAD, t, turn_key);
    while (taker < d->count && point >> 48 >= d->choice[taker].admit && d->choice[taker].admit < UINT16_MAX) {
        taker++;
        point = random_next(t);
    }
    if (taker == d->count)
        taker = 0;
    out[0] = (uint8_t)taker;
    for (unsigned k = 1; k < want; k++)
        out[k] = (uint8_t)(k <= taker ? k - 1 : k);
    return want;
}

unsigned director_pick(const struct snap_decision *d, struct director_thread *t, uint32_t turn_key, const struct addr *client,
                       const struct snap_cand *cands, unsigned want, uint8_t *out)
{
    bool draws = d->pick == PICK_WEIGHTED || d->pick == PICK_SPREAD;
    if (want == 1 && draws) {
        out[0] = draw_one(d->choice, d->first_tier, next_point(d->pick, t, turn_key));
        return 1;
    }
    if (want > d->count)
        want = d->count;
    if (d->pick == PICK_SPILL)
        return order_by_spill(d, t, turn_key, want, out);
    for (unsigned i = 0, end; i < want; i = end) {
        for (end = i + 1; end < d->count && d->choice[end].tier == d->choice[i].tier; end++)
            ;
        unsigned n = end - i, take = end < want ? n : want - i;
        if (n > 1 && draws) {
            draw_weighted(d->choice + i, i, n, t, i ? random_next(t) : next_point(d->pick, t, turn_key), take, out + i);
        } else if (n > 1 && d->pick == PICK_HASH) {
            order_by_hash(d->choice + i, i, n, cands, client_hash(d, client), take, out + i);
        } else {
            unsigned start = n > 1 && d->pick == PICK_ROUND_ROBIN ? t->turns[turn_key % DIRECTOR_TURNS]++ : 0;
            for (unsigned k = 0; k < take; k++)
                out[i + k] = (uint8_t)(i + (start + k) % n);
        }
    }
    return want;
}

/* Views with too many classes keep no decisions: the same pipeline runs now, on this thread's stack. */
static const struct snap_decision *decide_now(const struct snapshot *s, const struct snap_service *svc,
                                              const struct snap_family *f, struct view_hit hit, uint8_t *space)
{
    struct snap_feature features[SNAP_SITES_MAX];
    uint16_t feature_of[SNAP_CANDS_MAX];
    struct policy_run run;
    run.cands = f->cands;
    run.cand_count = f->cand_count;
    run.feature_of = feature_of;
    run.seen = f->seen;
    run.features = features;
    run.holders = NULL;
    run.measured = NULL;
    run.trace = NULL;
    const struct snap_view *v = svc->view;
    for (unsigned i = 0, at = 0; i < f->cand_count; i++) {
        for (at = 0; v->sites[at] != f->cands[i].site; at++)
            ;
        feature_of[i] = (uint16_t)at;
    }
    if (v->by_place)
        view_features(v, s->config, geo_place_at(s->geo, hit.place), svc->reads, features);
    else if (v->features)
        memcpy(features, view_class(v, hit.class), v->site_count * sizeof *features);
    else
        run.features = NULL;
    view_join(v, &hit, features);
    struct snap_decision *d = (struct snap_decision *)space;
    decide(svc->config, svc->policy, &run, f->fallback_count, d, NULL, NULL);
    return d;
}

void director_choose(const struct snapshot *s, struct director_thread *t, const struct director_request *q,
                     struct director_answer *a)
{
    static const struct addr nowhere;
    _Alignas(8) uint8_t space[DECISION_BYTES];
    uint8_t order[SNAP_CANDS_MAX];
    const struct snap_service *svc = snapshot_service(s, q->service);
    const struct snap_family *f = &svc->family[q->family];
    a->ttl_s = svc->ttl_s;
    a->count = 0;
    a->scope = 0;
    a->class = 0;
    a->fallen_back = FALLBACK_NONE;
    if (!f->cand_count && !f->fallback_count) {
        a->status = DIRECTOR_NODATA;
        return;
    }
    struct view_hit hit = view_find(svc->view, s->geo, q->located ? &q->client : &nowhere);
    a->class = hit.class;
    a->scope = hit.scope;
    const struct snap_decision *d = f->compiled ? f->decision[hit.class] : decide_now(s, svc, f, hit, space);
    a->fallen_back = d->fallen_back;
    if (PM_UNLIKELY(!d->count)) {
        a->status = d->fallen_back == FALLBACK_ADDRESSES ? DIRECTOR_ADDRESSES : DIRECTOR_SERVFAIL;
        for (; d->fallen_back == FALLBACK_ADDRESSES && a->count < f->fallback_count; a->count++)
            a->address[a->count] = f->fallbacks[a->count];
        return;
    }
    if (d->pick == PICK_HASH) {
        uint8_t bits = q->client.family == ADDR_V4 ? d->hash_v4 : d->hash_v6;
        a->scope = bits > a->scope ? bits : a->scope;
    }
    unsigned want = svc->addresses && !q->all ? svc->addresses : d->count;
    a->status = DIRECTOR_ADDRESSES;
    a->count = (uint8_t)director_pick(d, t, q->service * 2 + q->family, &q->client, f->cands, want, order);
    for (unsigned i = 0; i < a->count; i++) {
        a->cand[i] = d->choice[order[i]].cand;
        a->address[i] = f->cands[a->cand[i]].address;
    }
}
