/* SPDX-License-Identifier: Apache-2.0 */
#include "model/rtt_samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/map.h"

enum {
    SLOTS = 16,
    SLOTS_EACH = 4,         /* of one client */
    CONNECTIONS = 4096,     /* remembered, so that one does not count twice */
    CONNECTION_MS = 120000, /* so long: a handshake's cookie is not valid longer */
    OUTLIER_SLOTS = 4,      /* samples that must be there before one can be an outlier */
    OUTLIER_US = 200000,    /* what an acknowledgement may be held back, and 3 round trips */
    OUTLIERS_IN_A_ROW = 3,  /* more: the way has changed */
    EVICT_AMONG = 16,
    FLOOR_US = 5000, /* below this a spread matters to nobody */
};

struct slot {
    uint32_t who, us;
    uint64_t ms;
};

struct entry {
    struct prefix prefix; /* the map's key */
    uint8_t count, outliers;
    bool wide;
    float connections; /* as of last_ms */
    uint64_t last_ms;
    struct slot slots[SLOTS];
};

struct connection {
    uint64_t hash, ms;
};

struct rtt_samples {
    struct map by_prefix;
    struct entry **entries;
    uint32_t count, cap, max, hand;
    struct connection connections[CONNECTIONS];
    uint64_t verdicts[RTT_VERDICT_COUNT];
};

const char *rtt_verdict_name(enum rtt_verdict v)
{
    static const char *const names[] = {
#define X(sym, name) name,
        RTT_VERDICTS(X)
#undef X
    };
    return names[v];
}

struct rtt_samples *rtt_samples_new(uint32_t prefixes_max)
{
    struct rtt_samples *s = mem_alloc(sizeof *s);
    map_init(&s->by_prefix);
    s->max = prefixes_max ? prefixes_max : RTT_PREFIXES_MAX;
    return s;
}

void rtt_samples_free(struct rtt_samples *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        free(s->entries[i]);
    free(s->entries);
    map_fini(&s->by_prefix);
    free(s);
}

/* ---- prefixes ---- */

/* Takes the place of the one that was silent longest among the next few: nearly as good as of all. */
static uint32_t evict(struct rtt_samples *s)
{
    uint32_t victim = s->hand % s->count;
    for (unsigned i = 0; i < EVICT_AMONG; i++, s->hand++)
        if (s->entries[s->hand % s->count]->last_ms < s->entries[victim]->last_ms)
            victim = s->hand % s->count;
    map_del(&s->by_prefix, &s->entries[victim]->prefix, sizeof(struct prefix));
    free(s->entries[victim]);
    return victim;
}

static struct entry *entry_of(struct rtt_samples *s, const struct prefix *p, bool wide)
{
    struct entry *e = map_get(&s->by_prefix, p, sizeof *p);
    if (e)
        return e;
    uint32_t at = s->count < s->max ? s->count++ : evict(s);
    if (at >= s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->entries = mem_realloc(s->entries, s->cap * sizeof(struct entry *));
    }
    e = s->entries[at] = mem_alloc(sizeof *e);
    e->prefix = *p;
    e->wide = wide;
    map_put(&s->by_prefix, &e->prefix, sizeof e->prefix, e);
    return e;
}

/* ---- estimates ---- */

static float decay(uint64_t from_ms, uint64_t now_ms)
{
    return exp2f(-(float)(now_ms - from_ms) / RTT_HALF_LIFE_MS);
}

static unsigned slots_of(const struct entry *e, uint32_t who)
{
    unsigned n = 0;
    for (unsigned i = 0; i < e->count; i++)
        n += e->slots[i].who == who;
    return n;
}

struct weighed {
    uint32_t us;
    float weight;
};

/* The smallest value that at least this part of the weight does not exceed. */
static uint32_t quantile(const struct weighed *w, unsigned n, float sum, float part)
{
    float so_far = 0;
    for (unsigned i = 0; i + 1 < n; i++) {
        so_far += w[i].weight;
        if (so_far >= sum * part)
            return w[i].us;
    }
    return w[n - 1].us;
}

static void estimate(const struct entry *e, uint64_t now_ms, struct rtt_estimate *out)
{
    struct weighed w[SLOTS];
    float sum = 0, voices = 0;
    for (unsigned i = 0; i < e->count; i++) {
        unsigned at = i, own = slots_of(e, e->slots[i].who);
        float fresh = decay(e->slots[i].ms, now_ms), weight = fresh / (float)own;
        for (; at && w[at - 1].us > e->slots[i].us; at--)
            w[at] = w[at - 1];
        w[at] = (struct weighed){e->slots[i].us, weight};
        sum += weight;
        voices += fresh / sqrtf((float)own);
    }
    *out = (struct rtt_estimate){.us = quantile(w, e->count, sum, 0.5f),
                                 .connections = (uint32_t)(e->connections * decay(e->last_ms, now_ms) + 0.5f),
                                 .last_ms = e->last_ms};
    out->spread_us = quantile(w, e->count, sum, 0.75f) - quantile(w, e->count, sum, 0.25f);
    float spread = (float)out->spread_us / (float)(out->us + FLOOR_US);
    if (!e->wide || e->count >= RTT_GROUPS_LEAST)
        out->confidence = voices / (voices + 1) / (1 + spread);
}

bool rtt_samples_find(const struct rtt_samples *s, const struct prefix *p, uint64_t now_ms, struct rtt_estimate *out)
{
    const struct entry *e = map_get(&s->by_prefix, p, sizeof *p);
    if (e)
        estimate(e, now_ms, out);
    return e;
}

void rtt_samples_each(const struct rtt_samples *s, uint64_t now_ms, rtt_samples_fn *fn, void *ctx)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct rtt_estimate e;
        estimate(s->entries[i], now_ms, &e);
        fn(ctx, &s->entries[i]->prefix, &e);
    }
}

size_t rtt_samples_prefixes(const struct rtt_samples *s)
{
    return s->count;
}

uint64_t rtt_samples_count(const struct rtt_samples *s, enum rtt_verdict v)
{
    return s->verdicts[v];
}

/* ---- samples ---- */

/* A client's own oldest where it has had its share, else a free one, else the oldest of whoever has most. */
static struct slot *slot_for(struct entry *e, uint32_t who)
{
    unsigned each = e->wide ? 1 : SLOTS_EACH, most = 0;
    bool own = slots_of(e, who) >= each;
    struct slot *oldest = NULL;
    if (!own && e->count < SLOTS)
        return &e->slots[e->count++];
    for (unsigned i = 0; i < e->count; i++) {
        struct slot *at = &e->slots[i];
        unsigned has = own ? (unsigned)(at->who == who) : slots_of(e, at->who);
        if (has > most || (has == most && has && at->ms < oldest->ms)) {
            most = has;
            oldest = at;
        }
    }
    return oldest;
}

static void put(struct entry *e, uint32_t who, uint32_t us, uint64_t now_ms)
{
    *slot_for(e, who) = (struct slot){who, us, now_ms};
    e->connections = e->connections * decay(e->last_ms, now_ms) + 1;
    e->last_ms = now_ms;
}

static bool is_outlier(struct entry *e, uint32_t us, uint64_t now_ms)
{
    struct rtt_estimate known;
    if (e->count < OUTLIER_SLOTS)
        return false;
    estimate(e, now_ms, &known);
    if (us <= (uint64_t)known.us * 4 + OUTLIER_US || e->outliers == OUTLIERS_IN_A_ROW) {
        e->outliers = 0;
        return false;
    }
    e->outliers++;
    return true;
}

static bool repeated(struct rtt_samples *s, const struct addr *client, uint16_t port, uint64_t now_ms)
{
    uint64_t hash = hash_bytes(client, sizeof *client, hash_seed() + port);
    struct connection *c = &s->connections[hash % CONNECTIONS];
    if (c->hash == hash && now_ms - c->ms < CONNECTION_MS)
        return true;
    *c = (struct connection){hash, now_ms};
    return false;
}

static enum rtt_verdict take(struct rtt_samples *s, const struct addr *client, uint16_t port, uint32_t us,
                             uint64_t now_ms)
{
    bool v4 = client->family == ADDR_V4;
    struct prefix narrow, wide, self;
    if (!us)
        return RTT_ZERO;
    if (us > RTT_MAX_US)
        return RTT_TOO_LONG;
    if (repeated(s, client, port, now_ms))
        return RTT_SAME_CONNECTION;
    prefix_make(&self, client, v4 ? 32 : 64);
    prefix_make(&narrow, client, v4 ? 24 : 48);
    prefix_make(&wide, client, v4 ? 16 : 32);
    struct entry *e = entry_of(s, &narrow, false);
    if (is_outlier(e, us, now_ms))
        return RTT_OUTLIER;
    put(e, (uint32_t)hash_bytes(&self, sizeof self, hash_seed()), us, now_ms);
    put(entry_of(s, &wide, true), (uint32_t)hash_bytes(&narrow, sizeof narrow, hash_seed()), us, now_ms);
    return RTT_TAKEN;
}

enum rtt_verdict rtt_samples_add(struct rtt_samples *s, const struct addr *client, uint16_t port, uint32_t us,
                                 uint64_t now_ms)
{
    enum rtt_verdict v = take(s, client, port, us, now_ms);
    s->verdicts[v]++;
    return v;
}
