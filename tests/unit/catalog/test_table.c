/* SPDX-License-Identifier: Apache-2.0 */
/* A table too small for its directory: what is in it, what comes in, what goes. */
#include "../cmocka_pm.h"

#include <stdio.h>
#include <string.h>
#include "catalog/table.h"

enum { IDS = 4096, NOW = 1000000 };

static struct {
    bool in[IDS];
    uint64_t hits[IDS];
    int left, puts, takes, seen;
    int answer;       /* of put, in place of 1 */
    const char *none; /* paths that begin so do not belong into it */
    const char *as;   /* what requests for / count for */
} kernel;
static struct directory *d;
static struct usage *u;
static struct catalog_table *t;

static int put(void *ctx, uint32_t id, const struct directory_entry *e)
{
    kernel.puts++;
    size_t none = kernel.none ? strlen(kernel.none) : 0;
    if (none && e->key.len >= none && memcmp(e->key.text, kernel.none, none) == 0) {
        kernel.in[id] = false;
        return 0;
    }
    if (kernel.answer < 0)
        return kernel.answer;
    kernel.hits[id] = kernel.in[id] ? kernel.hits[id] : 0;
    kernel.in[id] = true;
    return kernel.answer ? kernel.answer : 1;
}

static void take(void *ctx, uint32_t id, const struct directory_entry *e)
{
    assert_true(kernel.in[id]);
    kernel.in[id] = false;
    kernel.takes++;
}

static bool hits(void *ctx, uint32_t id, const struct directory_entry *e, uint64_t *out, struct directory_key *as)
{
    *out = kernel.hits[id];
    if (kernel.as && as->len == 1)
        *as = (struct directory_key){"h", DIRECTORY_EXACT, kernel.as, strlen(kernel.as)};
    return true;
}

static void left(void *ctx, const struct directory_entry *e, bool out)
{
    kernel.left += out ? 1 : -1;
    assert_true(kernel.left >= 0);
}

static void seen(void *ctx, uint32_t id, const struct directory_entry *e)
{
    kernel.seen++;
}

static int on_set(void *ctx, uint32_t set, const uint16_t *nodes, size_t count)
{
    return 0;
}

static int on_gone(void *ctx, uint32_t set)
{
    return 0;
}

static int on_entry(void *ctx, uint32_t id, const struct directory_entry *e)
{
    catalog_table_change(t, id, e);
    return 0;
}

static void changes(void)
{
    static const struct directory_watch watch = {on_set, on_entry, on_gone};
    directory_settle(d, NOW);
    assert_int_equal(directory_changes(d, &watch, NULL), 0);
}

static struct directory_key key(enum directory_kind kind, const char *text)
{
    return (struct directory_key){"h", kind, text, strlen(text)};
}

static void add(const char *path)
{
    struct directory_key k = key(DIRECTORY_EXACT, path);
    assert_int_equal(directory_add(d, &k, 1, DIRECTORY_SCANNED, NULL), 0);
}

static uint32_t id_of(const char *path)
{
    struct directory_key k = key(DIRECTORY_EXACT, path);
    return directory_find(d, &k);
}

static struct catalog_table_figures figures(void)
{
    struct catalog_table_figures f;
    catalog_table_figures(t, &f);
    uint32_t in = 0;
    for (int i = 0; i < IDS; i++)
        in += kernel.in[i];
    assert_int_equal(f.in, in);
    assert_int_equal(f.out, kernel.left);
    return f;
}

static int setup(void **state)
{
    static const struct catalog_table_calls calls = {NULL, put, take, hits, left, seen};
    memset(&kernel, 0, sizeof kernel);
    d = directory_new(1, 0);
    u = usage_new(1, 64, 60000, NOW);
    t = catalog_table_new(&calls, 10, IDS);
    return 0;
}

static int teardown(void **state)
{
    catalog_table_free(t);
    usage_free(u);
    directory_free(d);
    return 0;
}

static void fill(int n)
{
    char path[16];
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "/%d", i);
        add(path);
    }
    changes();
}

static void test_fits(void **state)
{
    fill(10);
    assert_int_equal(figures().in, 10);
    assert_int_equal(figures().out, 0);
    assert_false(catalog_table_turn(t, d, u, NOW, 100));
    struct directory_key k = key(DIRECTORY_EXACT, "/3");
    assert_true(catalog_table_has(t, id_of("/3")));
    uint32_t id = id_of("/3");
    assert_int_equal(directory_remove(d, &k, 1, DIRECTORY_SCANNED), 0);
    changes();
    assert_false(kernel.in[id]);
    assert_int_equal(figures().in, 9);
}

static void test_full(void **state)
{
    fill(15);
    assert_int_equal(figures().in, 10);
    assert_int_equal(figures().out, 5);
    /* What is about many paths comes in anyway. */
    struct directory_key p = key(DIRECTORY_PREFIX, "/x/"), s = key(DIRECTORY_SUFFIX, ".y");
    assert_int_equal(directory_add(d, &p, 1, DIRECTORY_CONFIGURED, NULL), 0);
    assert_int_equal(directory_add(d, &s, 1, DIRECTORY_CONFIGURED, NULL), 0);
    changes();
    assert_int_equal(figures().in, 12);
    /* When some go, others come. */
    for (int i = 0; i < 4; i++) {
        char path[16];
        snprintf(path, sizeof path, "/%d", i);
        struct directory_key k = key(DIRECTORY_EXACT, path);
        assert_int_equal(directory_remove(d, &k, 1, DIRECTORY_SCANNED), 0);
    }
    changes();
    while (catalog_table_turn(t, d, u, NOW, 3))
        ;
    assert_int_equal(figures().places, 10);
    assert_int_equal(figures().out, 3);
    catalog_table_limit(t, 100);
    while (catalog_table_turn(t, d, u, NOW, 3))
        ;
    assert_int_equal(figures().out, 0);
    assert_int_equal(figures().in, 13);
}

static void test_exchange(void **state)
{
    fill(15);
    struct directory_key hot = key(DIRECTORY_EXACT, "/12"), warm = key(DIRECTORY_EXACT, "/13");
    assert_false(catalog_table_has(t, id_of("/12")));
    for (int i = 0; i < 10; i++) {
        char path[16];
        snprintf(path, sizeof path, "/%d", i);
        struct directory_key k = key(DIRECTORY_EXACT, path);
        usage_add(u, &k, i == 4 ? 10 : 100, 0, NOW + 1000);
    }
    usage_add(u, &hot, 50, 0, NOW + 1000);
    usage_add(u, &warm, 15, 0, NOW + 1000);
    (void)catalog_table_turn(t, d, u, NOW + 1000, 1000);
    assert_true(catalog_table_has(t, id_of("/12")));
    assert_false(catalog_table_has(t, id_of("/4")));  /* the least asked for */
    assert_false(catalog_table_has(t, id_of("/13"))); /* not so much more than any */
    assert_int_equal(figures().exchanged, 1);
    assert_int_equal(figures().in, 10);
    /* Not again at once, and not for what is as hot as those in it. */
    (void)catalog_table_turn(t, d, u, NOW + 60000, 1000);
    assert_int_equal(figures().exchanged, 1);
}

static void test_refused(void **state)
{
    kernel.answer = PM_ESPACE;
    fill(5);
    assert_int_equal(figures().in, 0);
    assert_int_equal(figures().out, 5);
    assert_int_equal(figures().refused, 5);
    assert_true(catalog_table_turn(t, d, u, NOW, 3));
    kernel.answer = 0;
    for (int i = 0; i < 10; i++)
        (void)catalog_table_turn(t, d, u, NOW, 1000);
    assert_int_equal(figures().in, 5);
    kernel.answer = 3; /* places of each, from now on: swept */
    catalog_table_sweep(t);
    while (catalog_table_turn(t, d, u, NOW, 2))
        ;
    assert_false(figures().sweeping);
    assert_int_equal(figures().places, 9);
    assert_int_equal(figures().in, 3);
    assert_int_equal(figures().out, 2);
}

static void test_sweep(void **state)
{
    add("/gone/a"), add("/gone/b");
    fill(3);
    assert_int_equal(figures().in, 5);
    kernel.none = "/gone";
    kernel.seen = 0;
    catalog_table_sweep(t);
    assert_true(catalog_table_turn(t, d, u, NOW, 2));
    while (catalog_table_turn(t, d, u, NOW, 2))
        ;
    assert_int_equal(kernel.seen, 5);
    assert_int_equal(figures().in, 3);
    assert_int_equal(figures().out, 0);
    assert_int_equal(figures().places, 3);
}

static void test_read(void **state)
{
    fill(4);
    kernel.hits[id_of("/2")] = 7; /* asked for since it is in the table: all count */
    catalog_table_read(t, d, u, NOW + 1, 2);
    catalog_table_read(t, d, u, NOW + 2, 2);
    assert_int_equal(usage_total(u, NOW + 2).requests, 7);
    kernel.hits[id_of("/2")] = 9;
    for (int i = 0; i < 5; i++)
        catalog_table_read(t, d, u, NOW + 3, 1);
    assert_int_equal(usage_total(u, NOW + 3).requests, 9);
    struct usage_item top;
    assert_int_equal(usage_top(u, NOW + 3, &top, 1), 1);
    assert_string_equal(top.key.text, "/2");
    add("/");
    changes();
    kernel.as = "/index.html";
    kernel.hits[id_of("/")] = 100;
    catalog_table_read(t, d, u, NOW + 4, 10);
    assert_int_equal(usage_top(u, NOW + 4, &top, 1), 1);
    assert_string_equal(top.key.text, "/index.html");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exchange, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
