/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/ranges.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"

typedef unsigned __int128 u128;

enum { INDEX_BITS = 16, INDEX_SIZE = 1 << INDEX_BITS };

/* Ranges of one family: range i covers start[i] .. start[i+1] - 1. The index narrows the search: bucket b begins at the
 * range that holds the bucket's first address. */
struct table4 {
    uint32_t count;
    uint32_t *start, *value;
    uint32_t index[INDEX_SIZE + 1];
};

/* IPv6 in use is a small part of the space, so the buckets lie between the first and the last start. */
struct table6 {
    uint32_t count;
    u128 *start;
    uint32_t *value;
    uint64_t base;  /* high half of the first start behind ::/0's */
    unsigned shift; /* bucket = (high half - base) >> shift */
    uint32_t index[INDEX_SIZE + 1];
};

struct ranges {
    struct table4 v4;
    struct table6 v6;
};

/* ---- building ---- */

struct item {
    u128 start;
    uint32_t value, seq;
    uint8_t len;
};

/* Boundaries while they are made; both families as 128 bits, IPv4 in the low 32. */
struct bounds {
    u128 *start;
    uint32_t *value;
    size_t count, cap;
};

struct ranges_builder {
    struct item *items[2];
    size_t count[2], cap[2];
    uint32_t default_value;
};

static u128 key_of(const struct addr *a)
{
    u128 k = 0;
    for (unsigned i = 0; i < addr_len(a); i++)
        k = k << 8 | a->bytes[i];
    return k;
}

struct ranges_builder *ranges_builder_new(uint32_t default_value)
{
    struct ranges_builder *b = mem_alloc(sizeof *b);
    b->default_value = default_value;
    return b;
}

void ranges_builder_free(struct ranges_builder *b)
{
    if (!b)
        return;
    free(b->items[0]);
    free(b->items[1]);
    free(b);
}

void ranges_builder_add(struct ranges_builder *b, const struct prefix *p, uint32_t value)
{
    unsigned f = p->addr.family == ADDR_V6;
    if (b->count[f] == b->cap[f]) {
        b->cap[f] = b->cap[f] ? b->cap[f] * 2 : 256;
        b->items[f] = mem_realloc(b->items[f], b->cap[f] * sizeof(struct item));
    }
    b->items[f][b->count[f]] = (struct item){key_of(&p->addr), value, (uint32_t)b->count[f], p->len};
    b->count[f]++;
}

/* By address, shorter prefixes first, then in the order they were added. */
static int item_cmp(const void *pa, const void *pb)
{
    const struct item *a = pa, *b = pb;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return a->seq < b->seq ? -1 : 1;
}

static void bound_add(struct bounds *o, u128 start, uint32_t value)
{
    if (o->count && o->start[o->count - 1] == start) {
        o->value[o->count - 1] = value; /* a more specific one begins here, or several end here */
        return;
    }
    if (o->count == o->cap) {
        o->cap = o->cap ? o->cap * 2 : 1024;
        o->start = mem_realloc(o->start, o->cap * sizeof *o->start);
        o->value = mem_realloc(o->value, o->cap * sizeof *o->value);
    }
    o->start[o->count] = start;
    o->value[o->count++] = value;
}

/* Neighbours with equal values become one. */
static void bounds_merge(struct bounds *o)
{
    size_t out = 0;
    for (size_t i = 0; i < o->count; i++) {
        if (out && o->value[out - 1] == o->value[i])
            continue;
        o->start[out] = o->start[i];
        o->value[out++] = o->value[i];
    }
    o->count = out;
}

struct open_prefix {
    u128 end;
    uint32_t value;
};

/* One sweep over the sorted prefixes with a stack of those that are open: nested prefixes close in order. */
static struct bounds sweep(struct item *items, size_t n, unsigned bits, uint32_t default_value)
{
    struct bounds o = {NULL, NULL, 0, 0};
    struct open_prefix stack[130];
    unsigned depth = 0;
    u128 last = bits == 128 ? ~(u128)0 : ((u128)1 << bits) - 1;
    if (n)
        qsort(items, n, sizeof *items, item_cmp);
    bound_add(&o, 0, default_value);
    for (size_t i = 0; i <= n; i++) {
        while (depth && (i == n || stack[depth - 1].end < items[i].start)) {
            u128 end = stack[--depth].end;
            if (end != last)
                bound_add(&o, end + 1, depth ? stack[depth - 1].value : default_value);
        }
        if (i == n)
            break;
        u128 size_less_one = items[i].len < bits ? last >> items[i].len : 0;
        u128 end = items[i].start | size_less_one;
        bound_add(&o, items[i].start, items[i].value);
        if (depth && stack[depth - 1].end == end && i && items[i - 1].len == items[i].len)
            depth--; /* the same prefix again: the last one counts */
        stack[depth++] = (struct open_prefix){end, items[i].value};
    }
    bounds_merge(&o);
    return o;
}

static void index4(struct table4 *t)
{
    uint32_t at = 0;
    for (uint32_t b = 0; b < INDEX_SIZE; b++) {
        while (at + 1 < t->count && t->start[at + 1] <= b << (32 - INDEX_BITS))
            at++;
        t->index[b] = at;
    }
    t->index[INDEX_SIZE] = t->count - 1;
}

static void fill4(struct table4 *t, const struct bounds *o)
{
    t->count = (uint32_t)o->count;
    t->start = mem_alloc(o->count * sizeof *t->start);
    t->value = mem_alloc(o->count * sizeof *t->value);
    for (size_t i = 0; i < o->count; i++)
        t->start[i] = (uint32_t)o->start[i];
    memcpy(t->value, o->value, o->count * sizeof *t->value);
    index4(t);
}

static uint32_t bucket6(const struct table6 *t, uint64_t high)
{
    if (high < t->base)
        return 0;
    uint64_t b = (high - t->base) >> t->shift;
    return b < INDEX_SIZE ? (uint32_t)b : INDEX_SIZE - 1;
}

static void index6(struct table6 *t)
{
    uint64_t first = t->count > 1 ? (uint64_t)(t->start[1] >> 64) : 0;
    uint64_t last = (uint64_t)(t->start[t->count - 1] >> 64);
    t->base = first;
    while ((last - first) >> t->shift >= INDEX_SIZE)
        t->shift++;
    uint32_t at = 0;
    for (uint32_t b = 0; b < INDEX_SIZE; b++) {
        u128 high = (u128)t->base + ((u128)b << t->shift);
        u128 begin = b == 0 ? 0 : high >> 64 ? ~(u128)0 : high << 64;
        while (at + 1 < t->count && t->start[at + 1] <= begin)
            at++;
        t->index[b] = at;
    }
    t->index[INDEX_SIZE] = t->count - 1;
}

static void fill6(struct table6 *t, const struct bounds *o)
{
    t->count = (uint32_t)o->count;
    t->start = mem_alloc(o->count * sizeof *t->start);
    t->value = mem_alloc(o->count * sizeof *t->value);
    memcpy(t->start, o->start, o->count * sizeof *t->start);
    memcpy(t->value, o->value, o->count * sizeof *t->value);
    index6(t);
}

static void bounds_free(struct bounds *o)
{
    free(o->start);
    free(o->value);
}

static struct ranges *ranges_from(struct bounds *v4, struct bounds *v6)
{
    struct ranges *r = mem_alloc(sizeof *r);
    fill4(&r->v4, v4);
    fill6(&r->v6, v6);
    bounds_free(v4);
    bounds_free(v6);
    return r;
}

struct ranges *ranges_freeze(struct ranges_builder *b)
{
    struct bounds v4 = sweep(b->items[0], b->count[0], 32, b->default_value);
    struct bounds v6 = sweep(b->items[1], b->count[1], 128, b->default_value);
    ranges_builder_free(b);
    return ranges_from(&v4, &v6);
}

void ranges_free(struct ranges *r)
{
    if (!r)
        return;
    free(r->v4.start);
    free(r->v4.value);
    free(r->v6.start);
    free(r->v6.value);
    free(r);
}

/* ---- finding ---- */

static inline unsigned clz128(u128 x)
{
    uint64_t high = (uint64_t)(x >> 64);
    return high ? (unsigned)__builtin_clzll(high) : 64 + (unsigned)__builtin_clzll((uint64_t)x);
}

/*
 * The block around an address must leave out the address before the range and the one behind it; to leave out x it must be
 * longer than what the address shares with x.
 */
static struct ranges_hit find4(const struct table4 *t, uint32_t a)
{
    uint32_t low = t->index[a >> (32 - INDEX_BITS)], high = t->index[(a >> (32 - INDEX_BITS)) + 1];
    while (low < high) {
        uint32_t mid = low + (high - low + 1) / 2;
        if (t->start[mid] <= a)
            low = mid;
        else
            high = mid - 1;
    }
    unsigned scope = 0;
    if (low)
        scope = (unsigned)__builtin_clz(a ^ (t->start[low] - 1)) + 1;
    if (low + 1 < t->count) {
        unsigned s = (unsigned)__builtin_clz(a ^ t->start[low + 1]) + 1;
        scope = s > scope ? s : scope;
    }
    return (struct ranges_hit){t->value[low], (uint8_t)scope};
}

static struct ranges_hit find6(const struct table6 *t, u128 a)
{
    uint32_t bucket = bucket6(t, (uint64_t)(a >> 64));
    uint32_t low = t->index[bucket], high = bucket + 1 < INDEX_SIZE ? t->index[bucket + 1] : t->count - 1;
    while (low < high) {
        uint32_t mid = low + (high - low + 1) / 2;
        if (t->start[mid] <= a)
            low = mid;
        else
            high = mid - 1;
    }
    unsigned scope = 0;
    if (low)
        scope = clz128(a ^ (t->start[low] - 1)) + 1;
    if (low + 1 < t->count) {
        unsigned s = clz128(a ^ t->start[low + 1]) + 1;
        scope = s > scope ? s : scope;
    }
    return (struct ranges_hit){t->value[low], (uint8_t)scope};
}

static u128 load_be128(const uint8_t *p)
{
    uint64_t high, low;
    memcpy(&high, p, 8);
    memcpy(&low, p + 8, 8);
    return (u128)__builtin_bswap64(high) << 64 | __builtin_bswap64(low);
}

struct ranges_hit ranges_find(const struct ranges *r, const struct addr *a)
{
    if (a->family == ADDR_V4) {
        uint32_t k;
        memcpy(&k, a->bytes, 4);
        return find4(&r->v4, __builtin_bswap32(k));
    }
    if (a->family == ADDR_V6)
        return find6(&r->v6, load_be128(a->bytes));
    return (struct ranges_hit){r->v4.value[0], 0};
}

/* ---- mapping and joining ---- */

struct ranges *ranges_map(const struct ranges *r, const uint32_t *map, uint32_t map_len)
{
    struct bounds o[2] = {{NULL, NULL, 0, 0}, {NULL, NULL, 0, 0}};
    for (uint32_t i = 0; i < r->v4.count; i++) {
        uint32_t v = r->v4.value[i];
        bound_add(&o[0], r->v4.start[i], v < map_len ? map[v] : v);
    }
    for (uint32_t i = 0; i < r->v6.count; i++) {
        uint32_t v = r->v6.value[i];
        bound_add(&o[1], r->v6.start[i], v < map_len ? map[v] : v);
    }
    bounds_merge(&o[0]);
    bounds_merge(&o[1]);
    return ranges_from(&o[0], &o[1]);
}

static u128 start_at(const struct ranges *r, unsigned f, uint32_t i)
{
    return f ? r->v6.start[i] : r->v4.start[i];
}

static struct bounds join_family(const struct ranges *a, const struct ranges *b, unsigned f, ranges_join_fn *join, void *ctx)
{
    struct bounds o = {NULL, NULL, 0, 0};
    const uint32_t *va = f ? a->v6.value : a->v4.value, *vb = f ? b->v6.value : b->v4.value;
    uint32_t na = f ? a->v6.count : a->v4.count, nb = f ? b->v6.count : b->v4.count;
    for (uint32_t i = 0, j = 0; i < na || j < nb;) {
        u128 sa = i < na ? start_at(a, f, i) : 0, sb = j < nb ? start_at(b, f, j) : 0;
        bool take_a = i < na && (j >= nb || sa <= sb), take_b = j < nb && (i >= na || sb <= sa);
        u128 start = take_a ? sa : sb;
        i += take_a;
        j += take_b;
        bound_add(&o, start, join(ctx, va[i ? i - 1 : 0], vb[j ? j - 1 : 0]));
    }
    bounds_merge(&o);
    return o;
}

struct ranges *ranges_join(const struct ranges *a, const struct ranges *b, ranges_join_fn *join, void *ctx)
{
    struct bounds v4 = join_family(a, b, 0, join, ctx), v6 = join_family(a, b, 1, join, ctx);
    return ranges_from(&v4, &v6);
}

size_t ranges_count(const struct ranges *r, unsigned family)
{
    return family == ADDR_V4 ? r->v4.count : r->v6.count;
}

size_t ranges_memory(const struct ranges *r)
{
    return sizeof *r + r->v4.count * 8ul + r->v6.count * 20ul;
}
