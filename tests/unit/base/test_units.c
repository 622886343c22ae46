/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <string.h>
#include "base/units.h"

struct parsed {
    const char *text;
    int err;
    uint64_t value;
};

static void test_durations(void **state)
{
    static const struct parsed cases[] = {
        {"250ms", PM_OK, 250},
        {"5s", PM_OK, 5000},
        {"5", PM_OK, 5000},
        {"0", PM_OK, 0},
        {"0s", PM_OK, 0},
        {"000", PM_OK, 0},
        {"1m", PM_OK, 60000},
        {"2h", PM_OK, 7200000},
        {"1d", PM_OK, 86400000},
        {"1h30m", PM_OK, 5400000},
        {"1d2h3m4s5ms", PM_OK, 93784005},
        {"90m", PM_OK, 5400000},
        {"18446744073709551615ms", PM_OK, UINT64_MAX},
        {"18446744073709551616ms", PM_ERANGE, 0},
        {"18446744073709551615ms1ms", PM_ERANGE, 0},
        {"213503982335d", PM_ERANGE, 0},
        {"99999999999999999999999999", PM_ERANGE, 0},
        {"", PM_EPARSE, 0},
        {"s", PM_EPARSE, 0},
        {"-5s", PM_EPARSE, 0},
        {"+5s", PM_EPARSE, 0},
        {" 5s", PM_EPARSE, 0},
        {"5s ", PM_EPARSE, 0},
        {"5 s", PM_EPARSE, 0},
        {"1.5s", PM_EPARSE, 0},
        {"5sec", PM_EPARSE, 0},
        {"5S", PM_EPARSE, 0},
        {"5us", PM_EPARSE, 0},
        {"5sm", PM_EPARSE, 0},
        {"1h30", PM_EPARSE, 0},
        {"0s5", PM_EPARSE, 0},
        {"0x10s", PM_EPARSE, 0},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        uint64_t ms = 0;
        int err = duration_parse(cases[i].text, &ms);
        if (err != cases[i].err || (!err && ms != cases[i].value))
            fail_msg("\"%s\": %s, %llu", cases[i].text, err_text(err), (unsigned long long)ms);
    }
}

static void test_sizes(void **state)
{
    static const struct parsed cases[] = {
        {"0", PM_OK, 0},
        {"64", PM_OK, 64},
        {"64B", PM_OK, 64},
        {"4k", PM_OK, 4096},
        {"4K", PM_OK, 4096},
        {"4kB", PM_OK, 4096},
        {"1M", PM_OK, 1 << 20},
        {"2G", PM_OK, 2ull << 30},
        {"18446744073709551615", PM_OK, UINT64_MAX},
        {"17179869183G", PM_OK, 17179869183ull << 30},
        {"17179869184G", PM_ERANGE, 0},
        {"18446744073709551616", PM_ERANGE, 0},
        {"", PM_EPARSE, 0},
        {"k", PM_EPARSE, 0},
        {"4kk", PM_EPARSE, 0},
        {"4BB", PM_EPARSE, 0},
        {"4 k", PM_EPARSE, 0},
        {"-4k", PM_EPARSE, 0},
        {"1.5M", PM_EPARSE, 0},
        {"4T", PM_EPARSE, 0},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        uint64_t bytes = 0;
        int err = size_parse(cases[i].text, &bytes);
        if (err != cases[i].err || (!err && bytes != cases[i].value))
            fail_msg("\"%s\": %s, %llu", cases[i].text, err_text(err), (unsigned long long)bytes);
    }
}

static void test_what_is_written(void **state)
{
    char out[UNITS_TEXT];
    assert_string_equal(duration_format(0, out), "0s");
    assert_string_equal(duration_format(250, out), "250ms");
    assert_string_equal(duration_format(5400000, out), "1h30m");
    assert_string_equal(duration_format(86400000, out), "1d");
    assert_string_equal(duration_format(86400001, out), "1d1ms");
    assert_string_equal(size_format(0, out), "0");
    assert_string_equal(size_format(1500, out), "1500");
    assert_string_equal(size_format(4096, out), "4k");
    assert_string_equal(size_format(1536, out), "1536");
    assert_string_equal(size_format(1024 * 1024 + 1024, out), "1025k");
    assert_string_equal(size_format(3ull << 30, out), "3G");
}

static void round_trip(uint64_t v)
{
    char out[UNITS_TEXT];
    uint64_t back = ~v;
    assert_int_equal(duration_parse(duration_format(v, out), &back), PM_OK);
    assert_int_equal(back, v);
    assert_true(strlen(out) < UNITS_TEXT - 1 || back == v);
    back = ~v;
    assert_int_equal(size_parse(size_format(v, out), &back), PM_OK);
    assert_int_equal(back, v);
}

static void test_round_trips(void **state)
{
    for (uint64_t v = 0; v < 5000; v++)
        round_trip(v);
    uint64_t x = 88172645463325252u; /* xorshift64 */
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        round_trip(x >> (i % 64));
        round_trip(x >> (i % 64) << (i % 40));
    }
    round_trip(UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_what_is_written),
        cmocka_unit_test(test_round_trips),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
