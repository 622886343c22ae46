/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include "../cmocka_pm.h"
#include "http/path.h"

static void test_table(void **state)
{
    static const struct {
        const char *target, *plain; /* NULL: none */
    } table[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"/a/b.html?c=/../d", "/a/b.html"},
        {"/?", "/"},
        {"//", "/"},
        {"///a//b///", "/a/b/"},
        {"/.", "/"},
        {"/./a", "/a"},
        {"/a/.", "/a/"},
        {"/a/./b", "/a/b"},
        {"/..", "/"},
        {"/../../a", "/a"},
        {"/a/..", "/"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a/"},
        {"/a/b/../../../c", "/c"},
        {"/a//../b", "/b"}, /* slashes are made one first */
        {"/.a", "/.a"},
        {"/..a", "/..a"},
        {"/a..", "/a.."},
        {"/a.", "/a."},
        {"/...", "/..."},
        {"/a/...", "/a/..."},
        {"/%61%2Fb", "/a/b"},
        {"/a%2f..%2fb", "/b"},
        {"/%2e%2E/a", "/a"},
        {"/a/%2e%2e", "/"},
        {"/%3f", "/?"},
        {"/%25", "/%"},
        {"/%2525", "/%25"}, /* once only */
        {"/%ff\xc3\xa4", "/\xff\xc3\xa4"},
        {"/a+b", "/a+b"},
        {"", NULL},
        {"?", NULL},
        {"a", NULL},
        {"*", NULL},
        {"%2fa", NULL},
        {"http://a/", NULL},
        {"/%", NULL},
        {"/%4", NULL},
        {"/%4g", NULL},
        {"/%g4", NULL},
        {"/%00", NULL},
        {"/a%4?1", NULL},
    };
    char out[64];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = http_path_plain(table[i].target, strlen(table[i].target), out, sizeof out);
        if (n != (table[i].plain ? strlen(table[i].plain) : 0) || (n && strcmp(out, table[i].plain) != 0))
            fail_msg("%s: %zu bytes, %.*s", table[i].target, n, (int)n, out);
        if (!n)
            continue;
        char again[64]; /* what is plain stays so, unless it holds what would be decoded */
        if (!strchr(out, '%') && !strchr(out, '?')) {
            assert_int_equal(http_path_plain(out, n, again, sizeof again), n);
            assert_string_equal(again, out);
        }
    }
    assert_int_equal(http_path_plain("/a\0b", 4, out, sizeof out), 0);
}

static void test_size(void **state)
{
    for (size_t size = 0; size < 12; size++) {
        char *out = malloc(size ? size : 1); /* its own: writing beyond it is seen */
        size_t n = http_path_plain("/2345678", 8, out, size);
        assert_int_equal(n, size >= 9 ? 8 : 0);
        if (n)
            assert_string_equal(out, "/2345678");
        n = http_path_plain("/x/../2", 7, out, size); /* room for the longest it is on the way */
        assert_int_equal(n, size >= 6 ? 2 : 0);
        free(out);
    }
}

/* Whatever is asked for: one slash at the beginning, no two, no dot segments, no NUL, never beyond the buffer. */
static void test_random(void **state)
{
    static const char alphabet[] = "/////....%2e2fF5c?a\\\xe9";
    uint64_t seed = 12345;
    for (int i = 0; i < 50000; i++) {
        char target[24], out[20], dotted[24];
        size_t len = 1 + (seed >> 33) % (sizeof target - 1);
        for (size_t j = 0; j < len; j++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            target[j] = j ? alphabet[(seed >> 33) % (sizeof alphabet - 1)] : '/';
        }
        size_t n = http_path_plain(target, len, out, sizeof out);
        if (!n)
            continue;
        assert_true(n < sizeof out && strlen(out) == n && out[0] == '/');
        assert_null(strstr(out, "//"));
        snprintf(dotted, sizeof dotted, "%s/", out);
        assert_null(strstr(dotted, "/./"));
        assert_null(strstr(dotted, "/../"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests_name("http_path", tests, NULL, NULL);
}
