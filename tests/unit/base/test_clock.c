/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <time.h>
#include "base/clock.h"

static void test_a_manual_clock_moves_only_when_told(void **state)
{
    struct clock_manual m;
    clock_manual_init(&m);
    const struct clock *c = &m.clock;
    assert_int_equal(clock_mono_ms(c), 1000 * 1000);
    assert_int_equal(clock_wall_ms(c), 1767225600000u);
    assert_int_equal(clock_mono_ns(c), clock_mono_ns(c));
    clock_manual_advance_ms(&m, 1500);
    assert_int_equal(clock_mono_ns(c), 1001500000000u);
    assert_int_equal(clock_wall_ms(c), 1767225601500u);
    /* A month: beyond 32 bits of milliseconds. */
    clock_manual_advance_ms(&m, 31ull * 86400 * 1000 * 2);
    assert_int_equal(clock_mono_ms(c), 1001500u + 31ull * 86400 * 1000 * 2);
}

static void test_two_manual_clocks_are_apart(void **state)
{
    struct clock_manual a, b;
    clock_manual_init(&a);
    clock_manual_init(&b);
    clock_manual_advance_ms(&a, 1);
    assert_int_equal(clock_mono_ns(&a.clock) - clock_mono_ns(&b.clock), 1000000);
}

static void test_the_system_clock(void **state)
{
    uint64_t before = clock_mono_ns(&clock_system);
    uint64_t wall = clock_wall_ms(&clock_system);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    assert_true(clock_mono_ns(&clock_system) - before >= 20000000u);
    assert_true(clock_wall_ms(&clock_system) > 1700000000000u);
    assert_true(clock_wall_ms(&clock_system) + 1000 > wall);
    uint64_t ns = clock_mono_ns(&clock_system), ms = clock_mono_ms(&clock_system);
    assert_true(ms >= ns / 1000000u && ms - ns / 1000000u < 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_manual_clock_moves_only_when_told),
        cmocka_unit_test(test_two_manual_clocks_are_apart),
        cmocka_unit_test(test_the_system_clock),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
