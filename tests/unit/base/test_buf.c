/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"

static void test_an_empty_buffer_is_an_empty_string(void **state)
{
    struct buf b = BUF_INIT;
    assert_string_equal(buf_str(&b), "");
    buf_clear(&b);
    buf_consume(&b, 0);
    buf_consume(&b, 5);
    buf_add(&b, NULL, 0);
    buf_printf(&b, "%s", "");
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(b.len, 0);
    buf_fini(&b);
    buf_fini(&b);
}

static void test_appending(void **state)
{
    struct buf b;
    buf_init(&b);
    buf_puts(&b, "site");
    buf_putc(&b, '=');
    buf_printf(&b, "%s:%u", "paris", 53u);
    assert_string_equal(buf_str(&b), "site=paris:53");
    buf_add(&b, "\0x", 2);
    assert_int_equal(b.len, 15);
    assert_memory_equal(b.data, "site=paris:53\0x", 16);
    buf_clear(&b);
    assert_string_equal(buf_str(&b), "");
    buf_puts(&b, "again");
    assert_string_equal(buf_str(&b), "again");
    buf_fini(&b);
}

/* Every length around the first growth, by each way of appending, against a plain array. */
static void test_growth(void **state)
{
    char want[600];
    for (size_t n = 0; n < 300; n++) {
        struct buf one = BUF_INIT, many = BUF_INIT, text = BUF_INIT;
        memset(want, 'a', n);
        memset(want + n, 'b', n);
        want[2 * n] = 0;
        buf_add(&one, want, n);
        buf_add(&one, want + n, n);
        for (size_t i = 0; i < 2 * n; i++)
            buf_putc(&many, want[i]);
        buf_printf(&text, "%.*s", (int)n, want);
        buf_printf(&text, "%s", want + n);
        assert_string_equal(buf_str(&one), want);
        assert_string_equal(buf_str(&many), want);
        assert_string_equal(buf_str(&text), want);
        buf_fini(&one);
        buf_fini(&many);
        buf_fini(&text);
    }
}

static void test_a_long_text(void **state)
{
    struct buf b = BUF_INIT;
    for (unsigned i = 0; i < 200000; i++)
        buf_printf(&b, "%u,", i % 10);
    assert_int_equal(b.len, 400000);
    assert_int_equal(strlen(buf_str(&b)), 400000);
    for (size_t i = 0; i < b.len; i += 2)
        assert_int_equal(b.data[i], '0' + (int)(i / 2 % 10));
    buf_fini(&b);
}

static void test_consuming(void **state)
{
    struct buf b = BUF_INIT;
    buf_puts(&b, "abcdef");
    buf_consume(&b, 0);
    assert_string_equal(buf_str(&b), "abcdef");
    buf_consume(&b, 2);
    assert_string_equal(buf_str(&b), "cdef");
    buf_puts(&b, "gh");
    buf_consume(&b, 5);
    assert_string_equal(buf_str(&b), "h");
    buf_consume(&b, SIZE_MAX);
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(b.len, 0);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_buffer_is_an_empty_string),
        cmocka_unit_test(test_appending),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_a_long_text),
        cmocka_unit_test(test_consuming),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
