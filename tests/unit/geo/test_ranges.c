/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges against the slow and obvious: a list of prefixes searched from end to end. */
#include <stdlib.h>
#include <string.h>
#include "../cmocka_pm.h"
#include "geo/ranges.h"

enum { PREFIXES_MAX = 64, DEFAULT = 99 };

struct list {
    struct prefix p[PREFIXES_MAX];
    uint32_t value[PREFIXES_MAX];
    unsigned n;
};

static uint64_t seed = 1;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % below);
}

/* Few distinct bytes, so that prefixes nest, touch and repeat. */
static struct addr random_addr(unsigned family)
{
    static const uint8_t some[] = {0x00, 0xff, 0x20, 0x2a, 0x80, 0x3f, 0x01};
    struct addr a = {.family = (uint8_t)family};
    for (unsigned i = 0; i < addr_len(&a); i++)
        a.bytes[i] = rnd(3) ? some[rnd(sizeof some)] : (uint8_t)rnd(256);
    if (family == ADDR_V6 && rnd(2))
        memset(a.bytes + rnd(16), 0, 1);
    return a;
}

static uint32_t naive(const struct list *l, const struct addr *a)
{
    uint32_t value = DEFAULT;
    int best = -1;
    for (unsigned i = 0; i < l->n; i++)
        if (prefix_contains(&l->p[i], a) && l->p[i].len >= best) {
            best = l->p[i].len;
            value = l->value[i];
        }
    return value;
}

/* The first address after the block; false at the end of the family. */
static bool after(const struct prefix *p, struct addr *out)
{
    *out = p->addr;
    for (int bit = p->len - 1; bit >= 0; bit--) {
        uint8_t mask = (uint8_t)(0x80 >> (bit % 8));
        out->bytes[bit / 8] ^= mask;
        if (out->bytes[bit / 8] & mask)
            return true;
    }
    return false;
}

/* Values change only where a prefix begins or has ended. */
static bool uniform(const struct list *l, const struct addr *a, unsigned len)
{
    struct prefix block;
    struct addr next;
    uint32_t value = naive(l, a);
    prefix_make(&block, a, len);
    if (naive(l, &block.addr) != value)
        return false;
    for (unsigned i = 0; i < l->n; i++) {
        if (prefix_contains(&block, &l->p[i].addr) && naive(l, &l->p[i].addr) != value)
            return false;
        if (after(&l->p[i], &next) && prefix_contains(&block, &next) && naive(l, &next) != value)
            return false;
    }
    return true;
}

static void check_at(const struct list *l, const struct ranges *r, const struct addr *a)
{
    struct ranges_hit hit = ranges_find(r, a);
    assert_int_equal(hit.value, naive(l, a));
    assert_in_range(hit.scope, 0, addr_bits(a));
    assert_true(uniform(l, a, hit.scope));
    if (hit.scope)
        assert_false(uniform(l, a, hit.scope - 1u));
}

static struct ranges *build(struct list *l, unsigned family, unsigned n, unsigned values)
{
    struct ranges_builder *b = ranges_builder_new(DEFAULT);
    for (l->n = 0; l->n < n; l->n++) {
        struct addr a = l->n && rnd(2) ? l->p[rnd(l->n)].addr : random_addr(family);
        unsigned bits = addr_bits(&a);
        prefix_make(&l->p[l->n], &a, rnd(4) ? rnd(bits + 1) : rnd(2) ? bits : 0);
        l->value[l->n] = rnd(8) ? rnd(values) : DEFAULT;
        ranges_builder_add(b, &l->p[l->n], l->value[l->n]);
    }
    return ranges_freeze(b);
}

static void random_nests(unsigned family)
{
    for (unsigned round = 0; round < 400; round++) {
        struct list l;
        struct ranges *r = build(&l, family, rnd(PREFIXES_MAX), 1 + rnd(6));
        for (unsigned i = 0; i < 20; i++) {
            struct addr a = random_addr(family);
            check_at(&l, r, &a);
            if (l.n) {
                const struct prefix *p = &l.p[rnd(l.n)];
                check_at(&l, r, &p->addr);
                if (after(p, &a))
                    check_at(&l, r, &a);
            }
        }
        ranges_free(r);
    }
}

static void test_v4(void **state)
{
    random_nests(ADDR_V4);
}

static void test_v6(void **state)
{
    random_nests(ADDR_V6);
}

static void test_neighbours_differ(void **state)
{
    for (unsigned round = 0; round < 200; round++) {
        struct list l;
        unsigned family = round % 2 ? ADDR_V6 : ADDR_V4;
        struct ranges *r = build(&l, family, PREFIXES_MAX, 2);
        struct addr before, at;
        uint32_t last = ranges_at(r, family, 0, &before);
        for (size_t i = 1; i < ranges_count(r, family); i++, before = at) {
            uint32_t value = ranges_at(r, family, i, &at);
            assert_true(addr_cmp(&before, &at) < 0);
            assert_int_not_equal(value, last);
            last = value;
        }
        ranges_free(r);
    }
}

static void test_map_merges(void **state)
{
    static const uint32_t map[] = {7, 8, 7, 8, 7, 8};
    for (unsigned round = 0; round < 200; round++) {
        struct list l;
        unsigned family = round % 2 ? ADDR_V6 : ADDR_V4;
        struct ranges *r = build(&l, family, PREFIXES_MAX, 6), *m = ranges_map(r, map, 6);
        for (unsigned i = 0; i < l.n; i++) /* DEFAULT is beyond the map: 0 */
            l.value[i] = l.value[i] < 6 ? map[l.value[i]] : 0;
        assert_true(ranges_count(m, family) <= ranges_count(r, family));
        for (unsigned i = 0; i < 20; i++) {
            struct addr a = random_addr(family);
            uint32_t v = naive(&l, &a);
            struct ranges_hit hit = ranges_find(m, &a);
            assert_int_equal(hit.value, v == DEFAULT ? 0 : v);
            assert_true(hit.scope <= ranges_find(r, &a).scope);
        }
        struct addr none = {.family = 0};
        assert_int_equal(ranges_find(m, &none).value, 0);
        ranges_free(m);
        ranges_free(r);
    }
}

static uint32_t pair(void *arg, uint32_t under, uint32_t over)
{
    return under * 100 + over;
}

static void test_overlay(void **state)
{
    for (unsigned round = 0; round < 200; round++) {
        struct list l1, l2;
        unsigned family = round % 2 ? ADDR_V6 : ADDR_V4;
        struct ranges *a = build(&l1, family, rnd(PREFIXES_MAX), 5),
                      *b = build(&l2, family, rnd(PREFIXES_MAX), 5);
        struct ranges *both = ranges_overlay(a, b, pair, NULL);
        for (unsigned i = 0; i < 40; i++) {
            struct addr at = random_addr(family);
            struct ranges_hit ha = ranges_find(a, &at), hb = ranges_find(b, &at),
                              h = ranges_find(both, &at);
            assert_int_equal(h.value, naive(&l1, &at) * 100 + naive(&l2, &at));
            /* distinct pairs: the overlay changes where either does */
            assert_int_equal(h.scope, ha.scope > hb.scope ? ha.scope : hb.scope);
        }
        ranges_free(both);
        ranges_free(a);
        ranges_free(b);
    }
}

static struct addr addr(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(text, &a), PM_OK);
    return a;
}

static void expect(const struct ranges *r, const char *at, uint32_t value, unsigned scope)
{
    struct addr a = addr(at);
    struct ranges_hit h = ranges_find(r, &a);
    assert_int_equal(h.value, value);
    assert_int_equal(h.scope, scope);
}

static void test_whole_ranges(void **state)
{
    struct ranges_builder *b = ranges_builder_new(0);
    const char *const ends[][2] = {{"0.0.0.0", "0.0.0.0"},
                                   {"10.0.0.1", "10.0.0.6"},
                                   {"192.0.2.0", "255.255.255.255"},
                                   {"2001:db8::1", "2001:db8::1:0"},
                                   {"ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}};
    for (unsigned i = 0; i < 5; i++) {
        struct addr first = addr(ends[i][0]), last = addr(ends[i][1]);
        ranges_builder_add_range(b, &first, &last, i + 1);
    }
    struct ranges *r = ranges_freeze(b);
    assert_int_equal(ranges_count(r, ADDR_V4), 5);
    assert_int_equal(ranges_count(r, ADDR_V6), 4);
    expect(r, "0.0.0.0", 1, 32);
    expect(r, "0.0.0.1", 0, 32);
    expect(r, "10.0.0.0", 0, 32);
    expect(r, "10.0.0.1", 2, 32);
    expect(r, "10.0.0.3", 2, 31);
    expect(r, "10.0.0.6", 2, 32);
    expect(r, "10.0.0.7", 0, 32);
    expect(r, "192.0.1.255", 0, 23);
    expect(r, "255.255.255.255", 3, 2 + 1);
    expect(r, "2001:db8::1:0", 4, 128);
    expect(r, "2001:db8::1:1", 0, 128);
    expect(r, "fe80::1", 0, 8);
    expect(r, "ff02::1", 5, 8);
    struct addr none = {.family = 0};
    assert_int_equal(ranges_find(r, &none).scope, 0);
    ranges_free(r);
}

static void test_empty(void **state)
{
    struct ranges *r = ranges_freeze(ranges_builder_new(5));
    expect(r, "0.0.0.0", 5, 0);
    expect(r, "255.255.255.255", 5, 0);
    expect(r, "::", 5, 0);
    expect(r, "ffff::", 5, 0);
    struct addr none = {.family = 0};
    assert_int_equal(ranges_find(r, &none).value, 5);
    assert_int_equal(ranges_count(r, ADDR_V4), 1);
    ranges_free(r);
    ranges_free(NULL);
    ranges_builder_free(ranges_builder_new(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4),
        cmocka_unit_test(test_v6),
        cmocka_unit_test(test_neighbours_differ),
        cmocka_unit_test(test_map_merges),
        cmocka_unit_test(test_overlay),
        cmocka_unit_test(test_whole_ranges),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
