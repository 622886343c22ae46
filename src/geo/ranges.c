/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/ranges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"

/*
 * A family's ranges are two parallel arrays: sorted first addresses and values. The first range
 * starts at the lowest address, so every address is in one. An index over the top bits, as many as
 * the count deserves, narrows the binary search. For IPv6 it covers 2000::/3 only, where all
 * assigned global unicast lies (RFC 4291 2.4), and takes more bits, for registries fill few blocks
 * of it densely; the rest of the space is searched plainly.
 */
typedef unsigned __int128 u128;

enum { INDEX4_BITS_MAX = 16, INDEX6_BITS_MAX = 20, DEPTH_MAX = 130 };

struct table {
    union {
        uint32_t *start4;
        u128 *start6;
    };
    uint32_t *value;
    uint32_t *index; /* [2^bits + 1]: the range that holds the first address of each slot, then of
                        the end */
    uint32_t n;
    uint32_t bits;
};

struct ranges {
    uint32_t default_value;
    struct table v4, v6;
};

/* An IPv4 prefix packs into start and length; order keeps the last of two equal ones last. */
struct entry4 {
    uint64_t
        key; /* start << 8 | length: sorting puts the wider of two prefixes with one start first */
    uint32_t value, order;
};

struct entry6 {
    uint64_t hi, lo;
    uint32_t value, order;
    uint8_t len;
};

struct ranges_builder {
    uint32_t default_value;
    struct entry4 *e4;
    struct entry6 *e6;
    size_t n4, n6, cap4, cap6;
    bool unsorted4, unsorted6; /* files mostly come in order: then there is nothing to sort */
};

/* Ranges as they are found, from the lowest address up. */
struct writer {
    struct table t;
    bool v6;
    size_t cap;
};

static u128 make128(uint64_t hi, uint64_t lo)
{
    return (u128)hi << 64 | lo;
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}

static u128 addr_value(const struct addr *a)
{
    return a->family == ADDR_V4 ? load32(a->bytes)
                                : make128(load64(a->bytes), load64(a->bytes + 8));
}

static void addr_from_value(struct addr *out, bool v6, u128 v)
{
    memset(out, 0, sizeof *out);
    out->family = v6 ? ADDR_V6 : ADDR_V4;
    for (int i = v6 ? 15 : 3; i >= 0; i--, v >>= 8)
        out->bytes[i] = (uint8_t)v;
}

static u128 family_max(bool v6)
{
    return v6 ? ~(u128)0 : 0xffffffffu;
}

static u128 table_start(const struct table *t, bool v6, size_t i)
{
    return v6 ? t->start6[i] : t->start4[i];
}

static void writer_emit(struct writer *w, u128 start, uint32_t value)
{
    struct table *t = &w->t;
    /* A range begun at the same address was only passing: the one that ends there is inside another
     * that goes on. */
    if (t->n && table_start(t, w->v6, t->n - 1) == start)
        t->n--;
    if (t->n && t->value[t->n - 1] == value)
        return;
    if (t->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 64;
        t->value = mem_realloc(t->value, w->cap * sizeof *t->value);
        if (w->v6)
            t->start6 = mem_realloc(t->start6, w->cap * sizeof *t->start6);
        else
            t->start4 = mem_realloc(t->start4, w->cap * sizeof *t->start4);
    }
    if (w->v6)
        t->start6[t->n] = start;
    else
        t->start4[t->n] = (uint32_t)start;
    t->value[t->n++] = value;
}

/* Gives back what was allocated too much, and builds the index. */
static struct table writer_finish(struct writer *w)
{
    struct table *t = &w->t;
    t->value = mem_realloc(t->value, t->n * sizeof *t->value);
    if (w->v6)
        t->start6 = mem_realloc(t->start6, t->n * sizeof *t->start6);
    else
        t->start4 = mem_realloc(t->start4, t->n * sizeof *t->start4);
    t->bits = 1;
    uint32_t bits_max = w->v6 ? INDEX6_BITS_MAX : INDEX4_BITS_MAX;
    while (t->bits < bits_max && (1u << t->bits) < t->n)
        t->bits++;
    uint32_t slots = 1u << t->bits, at = 0;
    t->index = mem_alloc((slots + 1) * sizeof *t->index);
    for (uint32_t i = 0; i <= slots; i++) {
        u128 first = w->v6 ? make128(1, 0) << 61 : 0;
        first += (u128)i << ((w->v6 ? 125 : 32) - t->bits);
        if (first > family_max(w->v6)) /* the end of IPv4 */
            first = family_max(w->v6);
        while (at + 1 < t->n && table_start(t, w->v6, at + 1) <= first)
            at++;
        t->index[i] = at;
    }
    return *t;
}

static void table_free(struct table *t)
{
    free(t->start4);
    free(t->value);
    free(t->index);
}

/* What encloses the place the sweep has come to. */
struct open_prefix {
    u128 start, end;
    uint32_t value;
};

struct sweep {
    struct writer w;
    uint32_t default_value;
    unsigned depth;
    struct open_prefix open[DEPTH_MAX]; /* prefixes nest, so at most one of each length is open */
};

/* Closes all that ends before start; end = true closes everything. */
static void sweep_close(struct sweep *s, u128 start, bool end)
{
    while (s->depth && (end || s->open[s->depth - 1].end < start)) {
        u128 last = s->open[--s->depth].end;
        if (last != family_max(s->w.v6))
            writer_emit(&s->w, last + 1, s->depth ? s->open[s->depth - 1].value : s->default_value);
    }
}

static void sweep_prefix(struct sweep *s, u128 start, unsigned len, uint32_t value)
{
    unsigned width = s->w.v6 ? 128 : 32;
    u128 end = len ? start + (((u128)1 << (width - len)) - 1) : family_max(s->w.v6);
    sweep_close(s, start, false);
    if (s->depth && s->open[s->depth - 1].start == start && s->open[s->depth - 1].end == end)
        s->depth--; /* the same prefix again: the last wins */
    assert(s->depth < DEPTH_MAX);
    s->open[s->depth++] = (struct open_prefix){start, end, value};
    writer_emit(&s->w, start, value);
}

static int entry4_cmp(const void *x, const void *y)
{
    const struct entry4 *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static int entry6_cmp(const void *x, const void *y)
{
    const struct entry6 *a = x, *b = y;
    if (a->hi != b->hi)
        return a->hi < b->hi ? -1 : 1;
    if (a->lo != b->lo)
        return a->lo < b->lo ? -1 : 1;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return a->order < b->order ? -1 : 1;
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
    free(b->e4);
    free(b->e6);
    free(b);
}

static void add4(struct ranges_builder *b, uint32_t start, unsigned len, uint32_t value)
{
    if (b->n4 == b->cap4) {
        b->cap4 = b->cap4 ? b->cap4 * 2 : 64;
        b->e4 = mem_realloc(b->e4, b->cap4 * sizeof *b->e4);
    }
    struct entry4 *e = &b->e4[b->n4];
    *e = (struct entry4){(uint64_t)start << 8 | len, value, (uint32_t)b->n4};
    if (b->n4 && e[-1].key > e->key)
        b->unsorted4 = true;
    b->n4++;
}

static void add6(struct ranges_builder *b, u128 start, unsigned len, uint32_t value)
{
    if (b->n6 == b->cap6) {
        b->cap6 = b->cap6 ? b->cap6 * 2 : 64;
        b->e6 = mem_realloc(b->e6, b->cap6 * sizeof *b->e6);
    }
    struct entry6 *e = &b->e6[b->n6];
    *e = (struct entry6){(uint64_t)(start >> 64), (uint64_t)start, value, (uint32_t)b->n6,
                         (uint8_t)len};
    if (b->n6 && entry6_cmp(e - 1, e) > 0)
        b->unsorted6 = true;
    b->n6++;
}

void ranges_builder_add(struct ranges_builder *b, const struct prefix *p, uint32_t value)
{
    if (p->addr.family == ADDR_V4)
        add4(b, (uint32_t)addr_value(&p->addr), p->len, value);
    else if (p->addr.family == ADDR_V6)
        add6(b, addr_value(&p->addr), p->len, value);
}

static unsigned trailing_zeros(u128 v, unsigned width)
{
    uint64_t lo = (uint64_t)v, hi = (uint64_t)(v >> 64);
    unsigned n = lo ? (unsigned)__builtin_ctzll(lo) : hi ? 64 + (unsigned)__builtin_ctzll(hi) : 128;
    return n < width ? n : width;
}

void ranges_builder_add_range(struct ranges_builder *b, const struct addr *first,
                              const struct addr *last, uint32_t value)
{
    bool v6 = first->family == ADDR_V6;
    unsigned width = v6 ? 128 : 32;
    u128 at = addr_value(first), end = addr_value(last);
    for (;;) {
        /* The largest block that starts here and does not pass the end. */
        unsigned host = trailing_zeros(at, width);
        u128 mask = host < 128 ? ((u128)1 << host) - 1 : ~(u128)0;
        while (mask > end - at)
            host--, mask >>= 1;
        if (v6)
            add6(b, at, width - host, value);
        else
            add4(b, (uint32_t)at, width - host, value);
        if (at + mask >= end)
            return;
        at += mask + 1;
    }
}

static struct table build4(struct ranges_builder *b)
{
    struct sweep s = {.w.v6 = false, .default_value = b->default_value};
    if (b->unsorted4)
        qsort(b->e4, b->n4, sizeof *b->e4, entry4_cmp);
    writer_emit(&s.w, 0, b->default_value);
    for (size_t i = 0; i < b->n4; i++)
        sweep_prefix(&s, (uint32_t)(b->e4[i].key >> 8), b->e4[i].key & 0xff, b->e4[i].value);
    sweep_close(&s, 0, true);
    return writer_finish(&s.w);
}

static struct table build6(struct ranges_builder *b)
{
    struct sweep s = {.w.v6 = true, .default_value = b->default_value};
    if (b->unsorted6)
        qsort(b->e6, b->n6, sizeof *b->e6, entry6_cmp);
    writer_emit(&s.w, 0, b->default_value);
    for (size_t i = 0; i < b->n6; i++)
        sweep_prefix(&s, make128(b->e6[i].hi, b->e6[i].lo), b->e6[i].len, b->e6[i].value);
    sweep_close(&s, 0, true);
    return writer_finish(&s.w);
}

struct ranges *ranges_freeze(struct ranges_builder *b)
{
    struct ranges *r = mem_alloc(sizeof *r);
    r->default_value = b->default_value;
    r->v4 = build4(b);
    free(b->e4); /* before the other family takes as much again */
    b->e4 = NULL;
    r->v6 = build6(b);
    ranges_builder_free(b);
    return r;
}

void ranges_free(struct ranges *r)
{
    if (!r)
        return;
    table_free(&r->v4);
    table_free(&r->v6);
    free(r);
}

static unsigned common_bits4(uint32_t a, uint32_t b)
{
    return (unsigned)__builtin_clz(a ^ b); /* never equal here */
}

static unsigned common_bits6(u128 a, u128 b)
{
    u128 x = a ^ b;
    uint64_t hi = (uint64_t)(x >> 64);
    return hi ? (unsigned)__builtin_clzll(hi) : 64 + (unsigned)__builtin_clzll((uint64_t)x);
}

/*
 * A block around the address leaves the range when it holds the address just before the range or
 * the first one after it; so it must be longer than what the address has in common with either.
 */
static struct ranges_hit find4(const struct table *t, uint32_t a)
{
    const uint32_t *start = t->start4;
    uint32_t slot = a >> (32 - t->bits);
    uint32_t i = t->index[slot], n = t->index[slot + 1] - i + 1;
    unsigned scope = 0, after = 0;
    while (n > 1) {
        uint32_t half = n / 2;
        i = start[i + half] <= a ? i + half
                                 : i; /* compiles to a conditional move: no branch to mispredict */
        n -= half;
    }
    if (i)
        scope = common_bits4(a, start[i] - 1) + 1;
    if (i + 1 < t->n)
        after = common_bits4(a, start[i + 1]) + 1;
    return (struct ranges_hit){t->value[i], (uint8_t)(after > scope ? after : scope)};
}

static struct ranges_hit find6(const struct table *t, u128 a)
{
    const u128 *start = t->start6;
    uint64_t hi = (uint64_t)(a >> 64);
    uint32_t i, n;
    unsigned scope = 0, after = 0;
    if (PM_LIKELY(hi >> 61 == 1)) {
        uint32_t slot = (uint32_t)((hi << 3) >> (64 - t->bits));
        i = t->index[slot];
        n = t->index[slot + 1] - i + 1;
    } else if (hi >> 61 == 0) {
        i = 0;
        n = t->index[0] + 1;
    } else {
        i = t->index[1u << t->bits];
        n = t->n - i;
    }
    while (n > 1) {
        uint32_t half = n / 2;
        i = start[i + half] <= a ? i + half : i;
        n -= half;
    }
    if (i)
        scope = common_bits6(a, start[i] - 1) + 1;
    if (i + 1 < t->n)
        after = common_bits6(a, start[i + 1]) + 1;
    return (struct ranges_hit){t->value[i], (uint8_t)(after > scope ? after : scope)};
}

struct ranges_hit ranges_find(const struct ranges *r, const struct addr *a)
{
    if (a->family == ADDR_V4)
        return find4(&r->v4, load32(a->bytes));
    if (a->family == ADDR_V6)
        return find6(&r->v6, make128(load64(a->bytes), load64(a->bytes + 8)));
    return (struct ranges_hit){r->default_value, 0};
}

static struct table map_table(const struct table *t, bool v6, const uint32_t *map, uint32_t map_len)
{
    struct writer w = {.v6 = v6};
    for (uint32_t i = 0; i < t->n; i++)
        writer_emit(&w, table_start(t, v6, i), t->value[i] < map_len ? map[t->value[i]] : 0);
    return writer_finish(&w);
}

struct ranges *ranges_map(const struct ranges *r, const uint32_t *map, uint32_t map_len)
{
    struct ranges *out = mem_alloc(sizeof *out);
    out->default_value = r->default_value < map_len ? map[r->default_value] : 0;
    out->v4 = map_table(&r->v4, false, map, map_len);
    out->v6 = map_table(&r->v6, true, map, map_len);
    return out;
}

static struct table overlay_table(const struct table *under, const struct table *over, bool v6,
                                  ranges_combine_fn combine, void *arg)
{
    struct writer w = {.v6 = v6};
    uint32_t i = 0, j = 0;
    u128 at = 0;
    for (;;) {
        writer_emit(&w, at, combine(arg, under->value[i], over->value[j]));
        u128 next_i = i + 1 < under->n ? table_start(under, v6, i + 1) : 0;
        u128 next_j = j + 1 < over->n ? table_start(over, v6, j + 1) : 0;
        if (!next_i && !next_j)
            return writer_finish(&w);
        at = !next_j || (next_i && next_i < next_j) ? next_i : next_j;
        i += next_i == at;
        j += next_j == at;
    }
}

struct ranges *ranges_overlay(const struct ranges *under, const struct ranges *over,
                              ranges_combine_fn combine, void *arg)
{
    struct ranges *out = mem_alloc(sizeof *out);
    out->default_value = combine(arg, under->default_value, over->default_value);
    out->v4 = overlay_table(&under->v4, &over->v4, false, combine, arg);
    out->v6 = overlay_table(&under->v6, &over->v6, true, combine, arg);
    return out;
}

uint32_t ranges_at(const struct ranges *r, unsigned family, size_t i, struct addr *first)
{
    const struct table *t = family == ADDR_V6 ? &r->v6 : &r->v4;
    assert(i < t->n);
    if (first)
        addr_from_value(first, family == ADDR_V6, table_start(t, family == ADDR_V6, i));
    return t->value[i];
}

size_t ranges_count(const struct ranges *r, unsigned family)
{
    return family == ADDR_V6 ? r->v6.n : r->v4.n;
}

size_t ranges_memory(const struct ranges *r)
{
    return sizeof *r + r->v4.n * (sizeof *r->v4.start4 + sizeof *r->v4.value) +
           r->v6.n * (sizeof *r->v6.start6 + sizeof *r->v6.value) +
           (((size_t)1 << r->v4.bits) + 1 + ((size_t)1 << r->v6.bits) + 1) * sizeof *r->v4.index;
}
