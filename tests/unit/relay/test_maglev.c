/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/arena.h"
#include "relay/maglev.h"

enum { SIZE = 16381 };

static void shares(const uint32_t *table, uint32_t size, unsigned *n, unsigned nodes)
{
    for (unsigned i = 0; i < nodes; i++)
        n[i] = 0;
    for (uint32_t i = 0; i < size; i++) {
        assert_in_range(table[i], 0, nodes - 1);
        n[table[i]]++;
    }
}

static void test_shares_follow_weights(void **state)
{
    struct maglev_node nodes[] = {{"a", 1, 0}, {"b", 2, 1}, {"c", 7, 2}, {"d", 0, 3}, {"e", 10, 4}};
    static uint32_t table[SIZE];
    unsigned n[5];
    maglev_build(nodes, 5, table, SIZE);
    shares(table, SIZE, n, 5);
    for (int i = 0; i < 5; i++)
        assert_true(fabs((double)n[i] / SIZE - nodes[i].weight / 20.0) < 0.001);
    assert_int_equal(n[3], 0);
}

/* The order of the list does not matter, and ids are only what stands in the table. */
static void test_all_balancers_agree(void **state)
{
    struct maglev_node a[50], b[50];
    char name[50][8];
    static uint32_t x[SIZE], y[SIZE];
    for (uint32_t i = 0; i < 50; i++) {
        snprintf(name[i], sizeof name[i], "n%u", i);
        a[i] = (struct maglev_node){name[i], 1 + i % 3, i};
        b[49 - i] = a[i];
    }
    maglev_build(a, 50, x, SIZE);
    maglev_build(b, 50, y, SIZE);
    assert_memory_equal(x, y, sizeof x);
}

/* One of fifty nodes leaves: its places move, and few others. */
static void test_little_moves(void **state)
{
    struct maglev_node nodes[50];
    char name[50][8];
    static uint32_t before[SIZE], after[SIZE];
    unsigned own = 0, others = 0;
    for (uint32_t i = 0; i < 50; i++) {
        snprintf(name[i], sizeof name[i], "n%u", i);
        nodes[i] = (struct maglev_node){name[i], 1, i};
    }
    maglev_build(nodes, 50, before, SIZE);
    nodes[17].weight = 0;
    maglev_build(nodes, 50, after, SIZE);
    for (uint32_t i = 0; i < SIZE; i++) {
        assert_int_not_equal(after[i], 17);
        own += before[i] == 17;
        others += before[i] != 17 && before[i] != after[i];
    }
    assert_in_range(own, SIZE / 50 - 1, SIZE / 50 + 1);
    assert_true(others < SIZE * 3 / 100);
}

static void test_nobody(void **state)
{
    struct maglev_node nodes[] = {{"a", 0, 0}};
    uint32_t table[251];
    maglev_build(nodes, 1, table, 251);
    for (int i = 0; i < 251; i++)
        assert_int_equal(table[i], MAGLEV_NOBODY);
    maglev_build(nodes, 0, table, 251);
    assert_int_equal(table[250], MAGLEV_NOBODY);
    assert_int_equal(maglev_size(1), 251);
    assert_int_equal(maglev_size(3), 1021);
    assert_int_equal(maglev_size(100000), 65521);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_follow_weights),
        cmocka_unit_test(test_all_balancers_agree),
        cmocka_unit_test(test_little_moves),
        cmocka_unit_test(test_nobody),
    };
    return cmocka_run_group_tests_name("maglev", tests, NULL, NULL);
}
