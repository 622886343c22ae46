/* SPDX-License-Identifier: Apache-2.0 */
/* Which server of a service gets a request. Reads states that other threads change; writes only this thread's share. */
#include <math.h>
#include <string.h>

#include "frontend/internal.h"

/* Weight now: less than configured for a while after it came up. In 1/16, so that small weights can start slowly, too. */
static uint32_t weight_now(const struct front_service *s, const struct front_server *v, uint64_t now_ms)
{
    uint32_t full = v->weight * 16;
    uint64_t since = atomic_load_explicit(&v->state->up_since_ms, memory_order_relaxed);
    if (s->slow_start == 0 || since == 0 || now_ms >= since + s->slow_start)
        return full;
    uint64_t age = now_ms > since ? now_ms - since : 0;
    uint32_t w = (uint32_t)(full / 10 + (uint64_t)full * 9 / 10 * age / s->slow_start);
    return w ? w : full != 0;
}

static bool was_tried(const struct front_server *v, const struct balance_ask *ask)
{
    for (unsigned i = 0; i < ask->tried_count; i++)
        if (ask->tried[i]->state == v->state)
            return true;
    return false;
}

static bool holds(const struct balance_ask *ask, const struct front_server *v)
{
    return v->slot >= 64 || ask->holders >> v->slot & 1;
}

static bool is_up(const struct front_server *v)
{
    return atomic_load_explicit(&v->state->health, memory_order_relaxed) == FRONT_UP;
}

static bool is_full(const struct front_server *v)
{
    return v->max_connections && atomic_load_explicit(&v->state->active, memory_order_relaxed) >= v->max_connections;
}

/* Least is best. */
static double busy_score(const struct front_service *s, const struct front_server *v, uint32_t weight)
{
    double active = 1.0 + atomic_load_explicit(&v->state->active, memory_order_relaxed);
    if (s->balance == FRONT_LEAST_LOADED) {
        uint32_t load = atomic_load_explicit(&v->state->load, memory_order_relaxed);
        if (load != UINT32_MAX) /* what is on its way there is not in the report yet */
            return (load / 1000.0 + active / 1000.0) / weight;
        double us = atomic_load_explicit(&v->state->response_us, memory_order_relaxed);
        return (us + 50.0) * active / weight;
    }
    return active / weight;
}

/* Rendezvous: of all servers the one with the best draw for this client; others' leaving and joining moves nobody else. */
static double hash_score(const struct front_server *v, uint64_t client, uint32_t weight)
{
    uint64_t h = (client ^ v->hash) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    h ^= h >> 32;
    double u = ((double)(h >> 11) + 0.5) / 9007199254740992.0;
    return -log(u) / weight;
}

struct choice {
    const struct front_server *best;
    double score;
    bool any_up;
};

static void consider(struct choice *c, const struct front_server *v, double score)
{
    if (!c->best || score < c->score) {
        c->best = v;
        c->score = score;
    }
}

/* One pass over the servers. `avoided` too: also those a connect just failed to. */
static struct choice pass(const struct front_service *s, unsigned thread, uint64_t now_ms, uint64_t client,
                          const struct balance_ask *ask, bool avoided)
{
    struct choice c = {NULL, 0, false};
    bool hashed = s->balance == FRONT_CLIENT_HASH || s->sticky == FRONT_STICKY_CLIENT;
    int32_t total = 0;
    for (uint32_t i = 0; i < s->server_count; i++) {
        const struct front_server *v = &s->servers[i];
        struct front_pool *p = &v->state->per_thread[thread];
        if (!is_up(v) || atomic_load_explicit(&v->state->draining, memory_order_relaxed) || v->weight == 0 ||
            was_tried(v, ask) || !holds(ask, v) || (!avoided && p->avoid_until_ms > now_ms))
            continue;
        c.any_up = true;
        if (is_full(v))
            continue;
        uint32_t w = weight_now(s, v, now_ms);
        if (hashed) {
            consider(&c, v, hash_score(v, client, w));
        } else if (s->balance == FRONT_ROUND_ROBIN) { /* smooth: no server gets a burst */
            p->current += (int32_t)w;
            total += (int32_t)w;
            consider(&c, v, -(double)p->current);
        } else {
            /* Among equals the one that waited longest. */
            p->current++;
            consider(&c, v, busy_score(s, v, w) - 1e-9 * (p->current > 1000000 ? 1000000 : p->current));
        }
    }
    if (c.best && s->balance == FRONT_ROUND_ROBIN && !hashed)
        c.best->state->per_thread[thread].current -= total;
    else if (c.best)
        c.best->state->per_thread[thread].current = 0;
    return c;
}

static const struct front_server *by_cookie(const struct front_service *s, const struct balance_ask *ask)
{
    size_t len = ask->cookie_len;
    for (uint32_t i = 0; i < s->server_count; i++)
        if (holds(ask, &s->servers[i]) && strlen(s->servers[i].cookie) == len && memcmp(s->servers[i].cookie, ask->cookie, len) == 0)
            return &s->servers[i];
    return NULL;
}

enum balance_why front_balance_pick(const struct front_service *s, unsigned thread, uint64_t now_ms,
                                    const struct balance_ask *ask, const struct front_server **out)
{
    if (ask->cookie_len) {
        const struct front_server *v = by_cookie(s, ask);
        if (v && is_up(v) && !was_tried(v, ask)) {
            *out = v;
            return is_full(v) ? BALANCE_FULL : BALANCE_FOUND; /* a session waits for its server */
        }
    }
    uint64_t who = s->balance == FRONT_CLIENT_HASH || s->sticky == FRONT_STICKY_CLIENT
                       ? hash_bytes(ask->client->bytes, addr_len(ask->client), 0)
                       : 0;
    struct choice c = pass(s, thread, now_ms, who, ask, false);
    if (!c.any_up)
        c = pass(s, thread, now_ms, who, ask, true);
    *out = c.best;
    return c.best ? BALANCE_FOUND : c.any_up ? BALANCE_FULL : BALANCE_DOWN;
}
