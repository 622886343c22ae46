/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/usage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/map.h"

/* Half lives between moves of the landmark: 2^64 times what is counted stays far from a double's end. */
#define LANDMARK_AGE 64.0

struct counter {
    uint64_t hash;
    double requests, error, bytes; /* in weights of the landmark */
    uint32_t heap_at, len;         /* len: of the key's text, shown in full or not */
    uint16_t host_len, shown;
    uint8_t kind;
    bool cut;
    char text[USAGE_TEXT]; /* host, NUL, text */
};

struct usage {
    uint64_t seed, start, landmark, last; /* ms; last: the latest that was heard of */
    double half_life;                     /* ms */
    struct counter *counters;
    uint32_t limit, used;
    uint32_t *heap;  /* counters, the least at [0] */
    uint32_t *index; /* open addressing: counter + 1, 0 is free */
    uint32_t index_size;
    uint64_t requests, bytes; /* ever */
    double sum_requests, sum_bytes;
};

struct usage *usage_new(uint64_t seed, uint32_t counters, uint64_t half_life_ms, uint64_t now)
{
    struct usage *u = mem_alloc(sizeof *u);
    u->seed = seed;
    u->start = u->landmark = u->last = now;
    u->half_life = half_life_ms ? (double)half_life_ms : 1;
    u->limit = counters > USAGE_COUNTERS_MAX ? USAGE_COUNTERS_MAX : counters ? counters : 1;
    u->index_size = 4;
    while (u->index_size < 2 * u->limit)
        u->index_size *= 2;
    u->counters = mem_alloc(u->limit * sizeof *u->counters);
    u->heap = mem_alloc(u->limit * sizeof *u->heap);
    u->index = mem_alloc(u->index_size * sizeof *u->index);
    return u;
}

void usage_free(struct usage *u)
{
    if (!u)
        return;
    free(u->counters);
    free(u->heap);
    free(u->index);
    free(u);
}

/* ---- time ---- */

/* What a request of this moment weighs. */
static double weight_at(const struct usage *u, uint64_t now)
{
    return exp2((double)(now - u->landmark) / u->half_life);
}

static uint64_t not_before(uint64_t last, uint64_t now)
{
    return now > last ? now : last;
}

/* From weights to requests per second: by age, and by the time that the weights stand for, which the start limits. */
static double per_second(const struct usage *u, uint64_t now)
{
    now = not_before(u->last, now);
    double watched = now - u->start < 1000 ? 1000 : (double)(now - u->start);
    double seconds = u->half_life / 1000 / M_LN2 * -expm1(-M_LN2 * watched / u->half_life);
    return 1 / (weight_at(u, now) * seconds);
}

static void landmark_move(struct usage *u, uint64_t now)
{
    double by = 1 / weight_at(u, now);
    for (uint32_t i = 0; i < u->used; i++) {
        u->counters[i].requests *= by;
        u->counters[i].error *= by;
        u->counters[i].bytes *= by;
    }
    u->sum_requests *= by;
    u->sum_bytes *= by;
    u->landmark = now;
}

/* ---- index ---- */

/* host in lower case, as the directory compares it; returns the key's hash. */
static uint64_t key_hash(const struct usage *u, const struct directory_key *key, char host[DIRECTORY_HOST_MAX + 1],
                         size_t *host_len)
{
    size_t n = 0;
    for (; key->host[n] && n < DIRECTORY_HOST_MAX; n++)
        host[n] = key->host[n] >= 'A' && key->host[n] <= 'Z' ? (char)(key->host[n] + 32) : key->host[n];
    host[n] = 0;
    *host_len = n;
    return hash_bytes(key->text, key->len, hash_bytes(host, n, u->seed) + (uint64_t)key->kind);
}

/* The place of the key in the index, or the free place where it would stand. */
static uint32_t index_find(const struct usage *u, uint64_t hash, const struct directory_key *key)
{
    uint32_t mask = u->index_size - 1, i = (uint32_t)hash & mask;
    for (; u->index[i]; i = (i + 1) & mask) {
        const struct counter *c = &u->counters[u->index[i] - 1];
        if (c->hash == hash && c->len == key->len && c->kind == key->kind)
            break;
    }
    return i;
}

/* Closes the gap: later ones of the run move back where they may (Knuth 6.4, algorithm R). */
static void index_remove(struct usage *u, uint32_t counter)
{
    uint32_t mask = u->index_size - 1, gap = (uint32_t)u->counters[counter].hash & mask;
    while (u->index[gap] != counter + 1)
        gap = (gap + 1) & mask;
    u->index[gap] = 0;
    for (uint32_t i = (gap + 1) & mask; u->index[i]; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)u->counters[u->index[i] - 1].hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            u->index[gap] = u->index[i];
            u->index[i] = 0;
            gap = i;
        }
    }
}

/* ---- heap ---- */

static void heap_set(struct usage *u, uint32_t at, uint32_t counter)
{
    u->heap[at] = counter;
    u->counters[counter].heap_at = at;
}

/* The counter at this place has become greater. */
static void heap_down(struct usage *u, uint32_t at)
{
    uint32_t moving = u->heap[at];
    double requests = u->counters[moving].requests;
    for (uint32_t child; (child = 2 * at + 1) < u->used; at = child) {
        if (child + 1 < u->used && u->counters[u->heap[child + 1]].requests < u->counters[u->heap[child]].requests)
            child++;
        if (u->counters[u->heap[child]].requests >= requests)
            break;
        heap_set(u, at, u->heap[child]);
    }
    heap_set(u, at, moving);
}

static void heap_up(struct usage *u, uint32_t at)
{
    uint32_t moving = u->heap[at];
    double requests = u->counters[moving].requests;
    for (; at && u->counters[u->heap[(at - 1) / 2]].requests > requests; at = (at - 1) / 2)
        heap_set(u, at, u->heap[(at - 1) / 2]);
    heap_set(u, at, moving);
}

/* ---- counting ---- */

/* A free counter, or the least one, whose count becomes the error of its next. */
static uint32_t counter_take(struct usage *u)
{
    if (u->used < u->limit) {
        uint32_t counter = u->used++;
        u->counters[counter] = (struct counter){.bytes = 0};
        heap_set(u, counter, counter);
        heap_up(u, counter);
        return counter;
    }
    uint32_t counter = u->heap[0];
    index_remove(u, counter);
    u->counters[counter].error = u->counters[counter].requests;
    u->counters[counter].bytes = 0;
    return counter;
}

static void counter_name(struct counter *c, uint64_t hash, const struct directory_key *key, const char *host,
                         size_t len)
{
    size_t room = sizeof c->text - len - 1;
    c->hash = hash;
    c->kind = (uint8_t)key->kind;
    c->len = (uint32_t)key->len;
    c->host_len = (uint16_t)len;
    c->shown = (uint16_t)(key->len < room ? key->len : room);
    c->cut = c->shown < key->len;
    memcpy(c->text, host, len + 1);
    memcpy(c->text + len + 1, key->text, c->shown);
}

void usage_add(struct usage *u, const struct directory_key *key, uint64_t requests, uint64_t bytes, uint64_t now)
{
    char host[DIRECTORY_HOST_MAX + 1];
    size_t host_len;
    u->last = not_before(u->last, now);
    if ((double)(u->last - u->landmark) > LANDMARK_AGE * u->half_life)
        landmark_move(u, u->last);
    double weight = weight_at(u, u->last);
    u->requests += requests;
    u->bytes += bytes;
    u->sum_requests += weight * (double)requests;
    u->sum_bytes += weight * (double)bytes;
    uint64_t hash = key_hash(u, key, host, &host_len);
    uint32_t at = index_find(u, hash, key);
    if (!u->index[at] && !requests)
        return;
    if (!u->index[at]) {
        uint32_t fresh = counter_take(u);
        counter_name(&u->counters[fresh], hash, key, host, host_len);
        at = index_find(u, hash, key); /* the old one's gap was closed meanwhile */
        u->index[at] = fresh + 1;
    }
    struct counter *c = &u->counters[u->index[at] - 1];
    c->requests += weight * (double)requests;
    c->bytes += weight * (double)bytes;
    heap_down(u, c->heap_at);
}

/* ---- answers ---- */

static struct usage_rate rate_of(const struct counter *c, double scale)
{
    return (struct usage_rate){
        .at_least = (c->requests - c->error) * scale,
        .at_most = c->requests * scale,
        .bytes = c->bytes * scale,
        .listed = true,
    };
}

/* What one without a counter has at most. */
static double least(const struct usage *u)
{
    return u->used < u->limit ? 0 : u->counters[u->heap[0]].requests;
}

struct usage_rate usage_rate(const struct usage *u, const struct directory_key *key, uint64_t now)
{
    char host[DIRECTORY_HOST_MAX + 1];
    size_t host_len;
    uint32_t at = index_find(u, key_hash(u, key, host, &host_len), key);
    double scale = per_second(u, now);
    if (!u->index[at])
        return (struct usage_rate){.at_most = least(u) * scale};
    return rate_of(&u->counters[u->index[at] - 1], scale);
}

/* Hottest first; equal ones in a fixed order. */
static int by_heat(const void *a, const void *b)
{
    const struct counter *x = *(const struct counter *const *)a, *y = *(const struct counter *const *)b;
    if (x->requests != y->requests)
        return x->requests < y->requests ? 1 : -1;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

size_t usage_top(const struct usage *u, uint64_t now, struct usage_item *items, size_t k)
{
    double scale = per_second(u, now);
    const struct counter **all = mem_alloc(u->used * sizeof *all + 1);
    for (uint32_t i = 0; i < u->used; i++)
        all[i] = &u->counters[i];
    qsort(all, u->used, sizeof *all, by_heat);
    k = k < u->used ? k : u->used;
    for (size_t i = 0; i < k; i++) {
        const struct counter *c = all[i];
        items[i].key =
            (struct directory_key){c->text, (enum directory_kind)c->kind, c->text + c->host_len + 1, c->shown};
        items[i].cut = c->cut;
        items[i].rate = rate_of(c, scale);
    }
    free(all);
    return k;
}

struct usage_total usage_total(const struct usage *u, uint64_t now)
{
    double scale = per_second(u, now);
    return (struct usage_total){
        .requests = u->requests,
        .bytes = u->bytes,
        .requests_rate = u->sum_requests * scale,
        .bytes_rate = u->sum_bytes * scale,
        .doubt = least(u) * scale,
        .counters = u->limit,
        .listed = u->used,
        .memory = sizeof *u + u->limit * (sizeof *u->counters + sizeof *u->heap) + u->index_size * sizeof *u->index,
    };
}

/* ---- counters that only grow ---- */

struct usage_meter {
    struct {
        uint64_t requests, bytes;
    } * stood;
    uint64_t *known; /* bits */
    uint32_t indices;
};

struct usage_meter *usage_meter_new(uint32_t indices)
{
    struct usage_meter *m = mem_alloc(sizeof *m);
    m->indices = indices;
    m->stood = mem_alloc((size_t)indices * sizeof *m->stood + 1);
    m->known = mem_alloc(((size_t)indices / 64 + 1) * sizeof *m->known);
    return m;
}

void usage_meter_free(struct usage_meter *m)
{
    if (!m)
        return;
    free(m->stood);
    free(m->known);
    free(m);
}

int usage_meter_base(struct usage_meter *m, uint32_t index, uint64_t requests, uint64_t bytes)
{
    if (index >= m->indices)
        return PM_ERANGE;
    m->known[index / 64] |= 1ull << (index % 64);
    m->stood[index].requests = requests;
    m->stood[index].bytes = bytes;
    return 0;
}

int usage_meter_read(struct usage_meter *m, struct usage *u, uint32_t index, const struct directory_key *key,
                     uint64_t requests, uint64_t bytes, uint64_t now)
{
    if (index >= m->indices)
        return PM_ERANGE;
    if (m->known[index / 64] >> (index % 64) & 1) {
        bool anew = requests < m->stood[index].requests || bytes < m->stood[index].bytes;
        uint64_t more = anew ? requests : requests - m->stood[index].requests;
        uint64_t more_bytes = anew ? bytes : bytes - m->stood[index].bytes;
        if (more || more_bytes)
            usage_add(u, key, more, more_bytes, now);
    }
    return usage_meter_base(m, index, requests, bytes);
}
