/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A million random prefixes of each family: time and memory to build, time per lookup.
 * geo_bench [prefixes [lookups [family]]]; under callgrind give fewer lookups and
 * --toggle-collect=ranges_find.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "geo/ranges.h"

static uint64_t seed = 42;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* IPv6 as registries give it out: most in few /12, so the index is as uneven as in life. */
static struct addr random_addr(unsigned family)
{
    static const uint8_t tops[][2] = {{0x20, 0x01}, {0x24, 0x00}, {0x26, 0x00},
                                      {0x28, 0x00}, {0x2a, 0x00}, {0x2c, 0x00}};
    struct addr a = {.family = (uint8_t)family};
    for (unsigned i = 0; i < addr_len(&a); i++)
        a.bytes[i] = (uint8_t)(rnd() >> 24);
    if (family == ADDR_V6) {
        const uint8_t *top = tops[rnd() % 6];
        a.bytes[0] = top[0];
        a.bytes[1] = top[1] | (a.bytes[1] & 0x0f);
    }
    return a;
}

static void run(unsigned family, size_t prefixes, size_t lookups)
{
    enum { ADDRS = 1 << 14 };
    static struct addr addrs[ADDRS];
    double start = now_ms();
    struct ranges_builder *b = ranges_builder_new(0);
    for (size_t i = 0; i < prefixes; i++) {
        struct addr a = random_addr(family);
        struct prefix p;
        prefix_make(&p, &a, family == ADDR_V4 ? 12 + rnd() % 17 : 24 + rnd() % 33);
        ranges_builder_add(b, &p, (uint32_t)(rnd() % 50000));
    }
    struct ranges *r = ranges_freeze(b);
    double built = now_ms();
    for (size_t i = 0; i < ADDRS; i++)
        addrs[i] = random_addr(family);
    uint64_t sum = 0;
    double looked = now_ms();
    for (size_t i = 0; i < lookups; i++) {
        struct ranges_hit h = ranges_find(r, &addrs[i % ADDRS]);
        sum += h.value + h.scope;
    }
    double end = now_ms();
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("IPv%u: %zu prefixes, %zu ranges, built in %.0f ms, %.1f MB (process peak %.1f MB), "
           "%.1f ns/lookup "
           "(sum %llu)\n",
           family, prefixes, ranges_count(r, family), built - start, (double)ranges_memory(r) / 1e6,
           (double)use.ru_maxrss / 1e3, (end - looked) * 1e6 / (double)lookups,
           (unsigned long long)sum);
    ranges_free(r);
}

int main(int argc, char **argv)
{
    size_t prefixes = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    size_t lookups = argc > 2 ? strtoul(argv[2], NULL, 10) : 5000000;
    unsigned long family = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    if (family != ADDR_V6)
        run(ADDR_V4, prefixes, lookups ? lookups : 1);
    if (family != ADDR_V4)
        run(ADDR_V6, prefixes, lookups ? lookups : 1);
    return 0;
}
