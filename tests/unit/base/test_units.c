/* SPDX-License-Identifier: Apache-2.0 */
/* Durations and sizes: what people write, and that what is printed reads back the same. */
#include "../cmocka_pm.h"

#include "base/units.h"

static void expect_duration(const char *text, int err, uint64_t ms)
{
    uint64_t got = 0;
    int rc = duration_parse(text, &got);
    if (rc != err || (!err && got != ms))
        fail_msg("\"%s\": %d, %llu ms", text, rc, (unsigned long long)got);
}

static void durations_are_read(void **state)
{
    expect_duration("250ms", PM_OK, 250);
    expect_duration("5s", PM_OK, 5000);
    expect_duration("1m", PM_OK, 60000);
    expect_duration("2h", PM_OK, 7200000);
    expect_duration("1d", PM_OK, 86400000);
    expect_duration("1h30m", PM_OK, 5400000);
    expect_duration("1m30s500ms", PM_OK, 90500);
    expect_duration("30", PM_OK, 30000);
    expect_duration("0", PM_OK, 0);
    expect_duration("18446744073709551615ms", PM_OK, UINT64_MAX);
}

static void wrong_durations_are_refused(void **state)
{
    static const char *const bad[] = {"",    "s",    "-1s",  "+1s",  " 1s", "1 s",  "1s ",   "1.5s",
                                      "5x", "1sm", "1h30", "0h30", "1ds", "1s,2", "1msms", "0x10"};
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++)
        expect_duration(bad[i], PM_EPARSE, 0);
    expect_duration("18446744073709551616ms", PM_ERANGE, 0);
    expect_duration("18446744073709551615s", PM_ERANGE, 0);
    expect_duration("18446744073709551615ms1ms", PM_ERANGE, 0);
}

static void durations_round_trip(void **state)
{
    static const uint64_t values[] = {0, 1, 999, 1000, 1001, 59999, 60000, 3600000, 5400000, 86400000, 90061001, UINT64_MAX};
    char out[UNITS_TEXT];
    for (size_t i = 0; i < PM_ARRAY_LEN(values); i++) {
        uint64_t back;
        assert_int_equal(duration_parse(duration_format(values[i], out), &back), PM_OK);
        assert_true(back == values[i]);
    }
    assert_string_equal(duration_format(5400000, out), "1h30m");
    assert_string_equal(duration_format(250, out), "250ms");
    assert_string_equal(duration_format(0, out), "0s");
    assert_string_equal(duration_format(90061001, out), "1d1h1m1s1ms");
}

static void expect_size(const char *text, int err, uint64_t bytes)
{
    uint64_t got = 0;
    int rc = size_parse(text, &got);
    if (rc != err || (!err && got != bytes))
        fail_msg("\"%s\": %d, %llu bytes", text, rc, (unsigned long long)got);
}

static void sizes_both_ways(void **state)
{
    static const uint64_t values[] = {0, 1, 1023, 1024, 1500, 1536, 1048576, 1048577, 3ull << 30, UINT64_MAX};
    static const char *const bad[] = {"", "k", "-1", "1.5k", "1kk", "1 k", "1Bk", "1T", "1kBB", "0x10"};
    char out[UNITS_TEXT];
    for (size_t i = 0; i < PM_ARRAY_LEN(values); i++)
        expect_size(size_format(values[i], out), PM_OK, values[i]);
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++)
        expect_size(bad[i], PM_EPARSE, 0);
    expect_size("64", PM_OK, 64);
    expect_size("64B", PM_OK, 64);
    expect_size("4k", PM_OK, 4096);
    expect_size("4KB", PM_OK, 4096);
    expect_size("1M", PM_OK, 1048576);
    expect_size("2G", PM_OK, 2147483648);
    expect_size("17179869184G", PM_ERANGE, 0);
    expect_size("18446744073709551616", PM_ERANGE, 0);
    assert_string_equal(size_format(4096, out), "4k");
    assert_string_equal(size_format(1500, out), "1500");
    assert_string_equal(size_format(0, out), "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read), cmocka_unit_test(wrong_durations_are_refused),
        cmocka_unit_test(durations_round_trip), cmocka_unit_test(sizes_both_ways),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
