/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "catalog/usage.h"

static struct directory_key exact(const char *host, const char *path)
{
    return (struct directory_key){host, DIRECTORY_EXACT, path, strlen(path)};
}

static void add(struct usage *u, const char *path, uint64_t requests, uint64_t now)
{
    struct directory_key key = exact("a.example", path);
    usage_add(u, &key, requests, requests * 1000, now);
}

static struct usage_rate rate(const struct usage *u, const char *path, uint64_t now)
{
    struct directory_key key = exact("a.example", path);
    return usage_rate(u, &key, now);
}

static void assert_near(double is, double should, double part)
{
    if (fabs(is - should) > part * fabs(should) + 1e-9)
        fail_msg("%g is not %g", is, should);
}

/* From the first second on, a steady rate is answered as what it is; and half a life after it ends, as less. */
static void test_rate(void **state)
{
    struct usage *u = usage_new(1, 8, 60000, 5000);
    for (uint64_t s = 1; s <= 600; s++) {
        add(u, "/x", 50, 5000 + s * 1000);
        if (s == 2 || s == 10 || s == 600) {
            assert_near(rate(u, "/x", 5000 + s * 1000).at_least, 50, 0.02);
            assert_near(rate(u, "/x", 5000 + s * 1000).bytes, 50000, 0.02);
            assert_near(usage_total(u, 5000 + s * 1000).requests_rate, 50, 0.02);
        }
    }
    assert_near(rate(u, "/x", 605000 + 60000).at_most, 25, 0.02);
    assert_near(rate(u, "/x", 605000 + 120000).at_most, 12.5, 0.02);
    assert_near(usage_total(u, 605000 + 60000).bytes_rate, 25000, 0.02);
    assert_true(usage_total(u, 0).requests == 30000 && usage_total(u, 0).bytes == 30000000);
    assert_near(rate(u, "/x", 0).at_most, 50, 0.02); /* a clock that goes back stands still */
    usage_free(u);
}

/* The landmark moves, also over gaps in which everything is forgotten. */
static void test_long(void **state)
{
    struct usage *u = usage_new(1, 2, 1000, 0);
    uint64_t now = 0;
    for (int i = 0; i < 5000; i++)
        add(u, "/x", 10, now += 1000);
    double steady = rate(u, "/x", now).at_most;
    assert_near(steady, 10 * M_LN2 * 2, 0.001); /* weights 1, 1/2, 1/4 ... are 2 */
    add(u, "/y", 1, now += 5000000);
    assert_near(rate(u, "/x", now).at_most, 0, 0);
    assert_near(rate(u, "/y", now).at_most, M_LN2, 0.001);
    assert_near(rate(u, "/y", now + (1ull << 60)).at_most, 0, 0);
    add(u, "/y", UINT64_MAX, now + 1);
    assert_true(isfinite(rate(u, "/y", now).at_most));
    usage_free(u);
}

static void test_takes_over(void **state)
{
    struct usage *u = usage_new(1, 2, 1 << 30, 0);
    add(u, "/a", 5, 0);
    assert_near(rate(u, "/b", 1000).at_most, 0, 0); /* there is room: it was never asked for */
    add(u, "/b", 3, 0);
    assert_near(rate(u, "/c", 1000).at_most, 3, 0.01);
    assert_false(rate(u, "/c", 1000).listed);
    add(u, "/c", 1, 0); /* instead of /b: between 1 and 4 */
    assert_near(rate(u, "/c", 1000).at_least, 1, 0.01);
    assert_near(rate(u, "/c", 1000).at_most, 4, 0.01);
    assert_near(rate(u, "/c", 1000).bytes, 1000, 0.01);
    assert_false(rate(u, "/b", 1000).listed);
    assert_near(rate(u, "/b", 1000).at_most, 4, 0.01);
    assert_near(rate(u, "/a", 1000).at_least, 5, 0.01);
    assert_near(usage_total(u, 1000).doubt, 4, 0.01);
    struct directory_key d = exact("a.example", "/d");
    usage_add(u, &d, 0, 777, 0); /* bytes alone take no counter */
    assert_false(rate(u, "/d", 1000).listed);
    assert_true(usage_total(u, 1000).bytes == 9777);
    usage_free(u);
}

static void test_keys(void **state)
{
    struct usage *u = usage_new(1, 8, 1 << 30, 0);
    char path[DIRECTORY_TEXT_MAX], host[DIRECTORY_HOST_MAX + 1] = {0};
    struct directory_key upper = exact("WWW.Example", "/a/"), lower = exact("www.example", "/a/");
    struct directory_key other = exact("www.example", "/A/"), prefix = lower, shifted = exact("www.example/", "a/");
    prefix.kind = DIRECTORY_PREFIX;
    usage_add(u, &upper, 1, 0, 0);
    assert_true(usage_rate(u, &lower, 0).listed);
    assert_false(usage_rate(u, &other, 0).listed);
    assert_false(usage_rate(u, &prefix, 0).listed);
    assert_false(usage_rate(u, &shifted, 0).listed);
    memset(path, 'x', sizeof path);
    memset(host, 'h', DIRECTORY_HOST_MAX);
    path[0] = '/';
    struct directory_key longest = {host, DIRECTORY_EXACT, path, sizeof path};
    usage_add(u, &longest, 2, 0, 0);
    assert_true(usage_rate(u, &longest, 0).listed);
    path[sizeof path - 1] = 'y'; /* what is not shown counts too */
    assert_false(usage_rate(u, &longest, 0).listed);
    struct usage_item top[3];
    assert_int_equal(usage_top(u, 0, top, 3), 2);
    assert_true(top[0].cut && !top[1].cut);
    assert_string_equal(top[0].key.host, host);
    assert_int_equal(top[0].key.len, USAGE_TEXT - DIRECTORY_HOST_MAX - 1);
    assert_memory_equal(top[0].key.text, path, top[0].key.len);
    assert_string_equal(top[1].key.host, "www.example");
    assert_int_equal(top[1].key.len, 3);
    assert_memory_equal(top[1].key.text, "/a/", 3);
    usage_free(u);
}

static void test_meter(void **state)
{
    struct usage *u = usage_new(1, 8, 1 << 30, 0);
    struct usage_meter *m = usage_meter_new(65);
    struct directory_key key = exact("a", "/");
    assert_int_equal(usage_meter_read(m, u, 64, &key, 900, 9000, 0), 0); /* since when? */
    assert_true(usage_total(u, 0).requests == 0);
    assert_int_equal(usage_meter_read(m, u, 64, &key, 907, 9070, 0), 0);
    assert_true(usage_total(u, 0).requests == 7 && usage_total(u, 0).bytes == 70);
    assert_int_equal(usage_meter_read(m, u, 64, &key, 3, 30, 0), 0); /* began anew */
    assert_true(usage_total(u, 0).requests == 10 && usage_total(u, 0).bytes == 100);
    assert_int_equal(usage_meter_base(m, 0, 0, 0), 0);
    assert_int_equal(usage_meter_read(m, u, 0, &key, 5, 0, 0), 0);
    assert_int_equal(usage_meter_base(m, 0, 500, 0), 0); /* another resource's now */
    assert_int_equal(usage_meter_read(m, u, 0, &key, 501, 0, 0), 0);
    assert_true(usage_total(u, 0).requests == 16);
    assert_int_equal(usage_meter_read(m, u, 65, &key, 1, 0, 0), PM_ERANGE);
    assert_int_equal(usage_meter_base(m, 65, 0, 0), PM_ERANGE);
    usage_meter_free(m);
    usage_free(u);
}

/* ---- at random, against exact counts ---- */

enum { KEYS = 3000, STEPS = 60000 };

static struct {
    char path[16];
    double requests; /* as of when, faded */
    uint64_t when;
    uint64_t counter, counter_bytes; /* as a kernel's: only grow */
} truth[KEYS];

static double faded(int key, uint64_t now, double half_life)
{
    return truth[key].requests * exp2(-(double)(now - truth[key].when) / half_life);
}

/* Few are often asked for: the first of 3000 as often as the last 1500. */
static int skewed(void)
{
    double r = (double)rand() / RAND_MAX;
    return (int)(KEYS * pow(r, 4) * 0.9999);
}

static void check(const struct usage *u, uint64_t now, uint64_t start, double half_life, uint32_t counters)
{
    double seconds = half_life / 1000 / M_LN2 * (1 - exp2(-(double)(now - start) / half_life)), sum = 0;
    struct usage_total total = usage_total(u, now);
    for (int k = 0; k < KEYS; k++)
        sum += faded(k, now, half_life) / seconds;
    assert_near(total.requests_rate, sum, 1e-6);
    assert_true(total.doubt <= sum / counters * 1.000001);
    for (int k = 0; k < KEYS; k++) {
        struct directory_key key = exact("h", truth[k].path);
        struct usage_rate r = usage_rate(u, &key, now);
        double is = faded(k, now, half_life) / seconds;
        assert_true(r.at_least <= is * 1.000001 + 1e-9 && is <= r.at_most * 1.000001 + 1e-9);
        assert_true(r.at_least >= 0 && r.at_most - r.at_least <= total.doubt * 1.000001 + 1e-9);
        assert_true(r.listed || is <= sum / counters * 1.000001);
    }
    struct usage_item *top = calloc(counters, sizeof *top);
    size_t n = usage_top(u, now, top, counters);
    assert_int_equal(n, total.listed);
    for (size_t i = 1; i < n; i++)
        assert_true(top[i - 1].rate.at_most >= top[i].rate.at_most);
    assert_near(usage_rate(u, &top[0].key, now).at_most, top[0].rate.at_most, 1e-9);
    free(top);
}

static void run(unsigned seed, uint32_t counters, uint64_t half_life)
{
    struct usage *u = usage_new(seed, counters, half_life, 777), *metered = usage_new(seed, counters, half_life, 777);
    struct usage_meter *m = usage_meter_new(KEYS);
    size_t memory = usage_total(u, 777).memory;
    uint64_t now = 777;
    srand(seed);
    memset(truth, 0, sizeof truth);
    for (int k = 0; k < KEYS; k++) {
        snprintf(truth[k].path, sizeof truth[k].path, "/%d", k);
        assert_int_equal(usage_meter_base(m, (uint32_t)k, 0, 0), 0);
    }
    for (int step = 1; step <= STEPS; step++) {
        int k = step % 20000 < 10000 ? skewed() : KEYS - 1 - skewed(); /* what is hot changes */
        uint64_t n = rand() % 50 ? 1 : 1 + (uint64_t)rand() % 40;
        struct directory_key key = exact("h", truth[k].path);
        now += (uint64_t)(rand() % 3) * 5;
        usage_add(u, &key, n, n * 10, now);
        truth[k].requests = faded(k, now, (double)half_life) + (double)n;
        truth[k].when = now;
        truth[k].counter += n;
        truth[k].counter_bytes += n * 10;
        if (rand() % 1000 == 0 && truth[k].counter > 2 * n) /* as a program that is loaded anew */
            truth[k].counter = n, truth[k].counter_bytes = n * 10;
        assert_int_equal(usage_meter_read(m, metered, (uint32_t)k, &key, truth[k].counter, truth[k].counter_bytes, now),
                         0);
        if (step % (STEPS / 12) == 0) {
            check(u, now + 1000, 777, (double)half_life, counters);
            check(metered, now + 1000, 777, (double)half_life, counters);
        }
    }
    assert_true(usage_total(u, now).requests == usage_total(metered, now).requests);
    assert_true(usage_total(u, now).bytes == usage_total(metered, now).bytes);
    assert_true(usage_total(u, now).memory == memory);
    usage_meter_free(m);
    usage_free(metered);
    usage_free(u);
}

static void test_random(void **state)
{
    run(1, 100, 100000);
    run(2, 1, 5000);
    run(3, 777, 3000); /* the landmark moves */
    run(4, KEYS, 1000000);
    run(5, 30, 20000);
}

/* The hottest of a skewed crowd are found with a thirtieth of the counters, and in their order. */
static void test_hottest(void **state)
{
    struct usage *u = usage_new(9, 100, 1u << 30, 0);
    struct usage_item top[5];
    char path[16];
    srand(9);
    for (int i = 0; i < 20000; i++) {
        snprintf(path, sizeof path, "/%d", rand() % KEYS + 5);
        add(u, path, 1, 0);
        for (int hot = 0; hot < 5; hot++) {
            snprintf(path, sizeof path, "/%d", hot);
            if (rand() % 20 < 5 - hot)
                add(u, path, 1, 0);
        }
    }
    assert_int_equal(usage_top(u, 0, top, 5), 5);
    for (int hot = 0; hot < 5; hot++) {
        snprintf(path, sizeof path, "/%d", hot);
        assert_int_equal(top[hot].key.len, 2);
        assert_memory_equal(top[hot].key.text, path, 2);
        assert_true(top[hot].rate.at_least > 0.9 * top[hot].rate.at_most - usage_total(u, 0).doubt);
    }
    usage_free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),    cmocka_unit_test(test_long),  cmocka_unit_test(test_takes_over),
        cmocka_unit_test(test_keys),    cmocka_unit_test(test_meter), cmocka_unit_test(test_random),
        cmocka_unit_test(test_hottest),
    };
    return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
