/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "../cmocka_pm.h"
#include "model/holds.h"

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int kind;
        const char *host, *of;
    } table[] = {
        {"/", HOLD_PREFIX, NULL, "/"},
        {"/index.html", HOLD_PATH, NULL, "/index.html"},
        {"/images/", HOLD_PREFIX, NULL, "/images/"},
        {"/a/b/c.d/", HOLD_PREFIX, NULL, "/a/b/c.d/"},
        {"*.php", HOLD_SUFFIX, NULL, ".php"},
        {"www.example.com/", HOLD_PREFIX, "www.example.com", "/"},
        {"www.example.com/index.html", HOLD_PATH, "www.example.com", "/index.html"},
        {"www.example.com/images/", HOLD_PREFIX, "www.example.com", "/images/"},
        {"www.example.com/*.php", HOLD_SUFFIX, "www.example.com", ".php"},
        {"", -1, 0, 0},
        {"index.html", -1, 0, 0},
        {"www.example.com", -1, 0, 0},
        {"*", -1, 0, 0},
        {"*.", -1, 0, 0},
        {"*.tar.gz", -1, 0, 0}, /* only what follows the last dot is looked for */
        {"*.a/b", -1, 0, 0},
        {"*.*", -1, 0, 0},
        {"/a*", -1, 0, 0},
        {"/a/*/b", -1, 0, 0},
        {"www.example.com/*.", -1, 0, 0},
        {"www.example.com/*", -1, 0, 0},
        {"www.example.com/a/*.php", -1, 0, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct hold h;
        bool good = hold_parse(table[i].text, &h);
        if (good != (table[i].kind >= 0))
            fail_msg("\"%s\" is %s", table[i].text, good ? "taken" : "refused");
        if (!good)
            continue;
        assert_int_equal(h.kind, table[i].kind);
        assert_string_equal(h.text, table[i].of);
        assert_int_equal(h.host != NULL, table[i].host != NULL);
        if (h.host) {
            assert_int_equal(h.host_len, strlen(table[i].host));
            assert_memory_equal(h.host, table[i].host, h.host_len);
        }
    }
}

static void test_is_of(void **state)
{
    struct hold h;
    assert_true(hold_parse("/any", &h));
    assert_true(hold_is_of(&h, "www.example.com"));
    assert_true(hold_is_of(&h, ""));
    assert_true(hold_parse("WWW.example.com/one", &h));
    assert_true(hold_is_of(&h, "www.example.com"));
    assert_false(hold_is_of(&h, "www.example.co"));
    assert_false(hold_is_of(&h, "www.example.com."));
    assert_false(hold_is_of(&h, "ww.example.com"));
    assert_false(hold_is_of(&h, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_is_of),
    };
    return cmocka_run_group_tests_name("holds", tests, NULL, NULL);
}
