/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges against a naive longest-prefix map: same value, and a scope that is right and cannot be wider. */
#include <stdlib.h>
#include <string.h>
#include "../cmocka_pm.h"
#include "geo/ranges.h"

enum { PREFIXES = 120, PROBES = 3000 };

static uint32_t naive(const struct prefix *p, const uint32_t *value, unsigned n, const struct addr *a)
{
    int best = -1;
    uint32_t v = 0;
    for (unsigned i = 0; i < n; i++) {
        if (prefix_contains(&p[i], a) && p[i].len >= best) {
            best = p[i].len;
            v = value[i];
        }
    }
    return v;
}

/* Small spaces, so that prefixes nest, touch and repeat: the top byte (or the bytes around /64) vary a little. */
static struct addr random_addr(unsigned family)
{
    struct addr a = {.family = (uint8_t)family};
    for (unsigned i = 0; i < addr_len(&a); i++)
        a.bytes[i] = (uint8_t)(rand() & (i < 2 ? 0x0f : 0xff));
    if (family == ADDR_V6 && rand() & 1)
        memset(a.bytes + 2, 0, 5);
    if (family == ADDR_V6 && rand() % 4)
        a.bytes[0] = 0x20;
    if (rand() % 16 == 0)
        memset(a.bytes, 0xff, addr_len(&a));
    return a;
}

/* Every address of the block must have the value; naive check: the block holds no prefix of another value inside, and is
 * itself inside one. Sampled by its ends and by the ends of every prefix within it. */
static void check_scope(const struct prefix *p, const uint32_t *value, unsigned n, const struct addr *a, struct ranges_hit h)
{
    struct prefix block;
    prefix_make(&block, a, h.scope);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned end = 0; end < 2; end++) {
            struct addr edge = p[i].addr;
            for (unsigned bit = p[i].len; end && bit < addr_bits(&edge); bit++)
                edge.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
            if (prefix_contains(&block, &edge))
                assert_int_equal(naive(p, value, n, &edge), h.value);
        }
    }
    if (h.scope == 0)
        return;
    /* One bit wider must reach something else. */
    struct prefix wider;
    bool other = false;
    prefix_make(&wider, a, h.scope - 1u);
    struct addr sibling = block.addr;
    sibling.bytes[(h.scope - 1) / 8] ^= (uint8_t)(0x80 >> (h.scope - 1) % 8);
    other = naive(p, value, n, &sibling) != h.value;
    for (unsigned i = 0; i < n && !other; i++) {
        struct addr edge = p[i].addr, behind;
        for (unsigned bit = p[i].len; bit < addr_bits(&edge); bit++)
            edge.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
        behind = edge;
        for (unsigned k = addr_len(&behind); k-- > 0 && ++behind.bytes[k] == 0;)
            ;
        other = (prefix_contains(&wider, &p[i].addr) && naive(p, value, n, &p[i].addr) != h.value) ||
                (prefix_contains(&wider, &edge) && naive(p, value, n, &edge) != h.value) ||
                (prefix_contains(&wider, &behind) && naive(p, value, n, &behind) != h.value);
    }
    assert_true(other);
}

static void run_family(unsigned family, unsigned seed)
{
    struct prefix p[PREFIXES];
    uint32_t value[PREFIXES];
    struct ranges_builder *b = ranges_builder_new(0);
    srand(seed);
    for (unsigned i = 0; i < PREFIXES; i++) {
        struct addr a = random_addr(family);
        prefix_make(&p[i], &a, (unsigned)rand() % (addr_bits(&a) + 1));
        if (i % 9 == 8)
            p[i] = p[(unsigned)rand() % i]; /* the same again: the last one counts */
        value[i] = (uint32_t)rand() % 5;
        ranges_builder_add(b, &p[i], value[i]);
    }
    struct ranges *r = ranges_freeze(b);
    for (unsigned i = 0; i < PROBES; i++) {
        struct addr a = i % 3 ? random_addr(family) : p[i % PREFIXES].addr;
        struct ranges_hit h = ranges_find(r, &a);
        assert_int_equal(h.value, naive(p, value, PREFIXES, &a));
        check_scope(p, value, PREFIXES, &a, h);
    }
    /* A mapping to fewer values is the same as naive lookups mapped, with scopes at most as long. */
    static const uint32_t map[] = {0, 1, 1, 0, 2};
    struct ranges *m = ranges_map(r, map, 5);
    assert_true(ranges_count(m, family) <= ranges_count(r, family));
    for (unsigned i = 0; i < PROBES; i++) {
        struct addr a = random_addr(family);
        struct ranges_hit h = ranges_find(r, &a), hm = ranges_find(m, &a);
        assert_int_equal(hm.value, map[h.value]);
        assert_true(hm.scope <= h.scope);
    }
    ranges_free(m);
    ranges_free(r);
}

static void test_random(void **state)
{
    for (unsigned seed = 1; seed <= 12; seed++) {
        run_family(ADDR_V4, seed);
        run_family(ADDR_V6, seed);
    }
}

static void test_empty(void **state)
{
    struct ranges *r = ranges_freeze(ranges_builder_new(7));
    struct addr a, none = {0};
    assert_int_equal(addr_parse("192.0.2.1", &a), 0);
    assert_int_equal(ranges_find(r, &a).value, 7);
    assert_int_equal(ranges_find(r, &a).scope, 0);
    assert_int_equal(addr_parse("2001:db8::1", &a), 0);
    assert_int_equal(ranges_find(r, &a).value, 7);
    assert_int_equal(ranges_find(r, &none).value, 7);
    ranges_free(r);
}

static uint32_t add(void *ctx, uint32_t a, uint32_t b)
{
    return a * 10 + b;
}

static void test_join(void **state)
{
    struct prefix p;
    struct addr a;
    struct ranges_builder *x = ranges_builder_new(0), *y = ranges_builder_new(0);
    assert_int_equal(prefix_parse("10.0.0.0/8", &p), 0);
    ranges_builder_add(x, &p, 1);
    assert_int_equal(prefix_parse("10.1.0.0/16", &p), 0);
    ranges_builder_add(y, &p, 2);
    assert_int_equal(prefix_parse("255.255.255.255", &p), 0);
    ranges_builder_add(y, &p, 3);
    struct ranges *rx = ranges_freeze(x), *ry = ranges_freeze(y), *r = ranges_join(rx, ry, add, NULL);
    static const struct {
        const char *address;
        uint32_t value, scope;
    } cases[] = {{"9.0.0.1", 0, 7}, {"10.0.0.1", 10, 16}, {"10.1.2.3", 12, 16}, {"10.2.0.1", 10, 15}, {"255.255.255.255", 3, 32}};
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(addr_parse(cases[i].address, &a), 0);
        assert_int_equal(ranges_find(r, &a).value, cases[i].value);
        if (i)
            assert_int_equal(ranges_find(r, &a).scope, cases[i].scope);
    }
    ranges_free(rx);
    ranges_free(ry);
    ranges_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_empty), cmocka_unit_test(test_join)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
