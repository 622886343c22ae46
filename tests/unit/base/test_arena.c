/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>
#include "base/arena.h"

static void test_objects_are_zero_aligned_and_apart(void **state)
{
    enum { N = 5000 };
    static unsigned char *at[N];
    static size_t size[N];
    struct arena *a = arena_new();
    unsigned seed = 1;
    for (int i = 0; i < N; i++) {
        seed = seed * 1664525u + 1013904223u;
        size[i] = i % 97 == 0 ? 100000 + seed % 5000 : (seed >> 16) % 300;
        if (i % 3 == 0) {
            at[i] = arena_bytes(a, size[i]);
        } else {
            at[i] = arena_alloc(a, size[i]);
            assert_int_equal((uintptr_t)at[i] % 16, 0);
            for (size_t k = 0; k < size[i]; k++)
                assert_int_equal(at[i][k], 0);
        }
        memset(at[i], i & 0xff, size[i]);
    }
    for (int i = 0; i < N; i++)
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(at[i][k], i & 0xff);
    arena_free(a);
    arena_free(NULL);
}

static void test_empty_objects_differ(void **state)
{
    struct arena *a = arena_new();
    assert_ptr_not_equal(arena_alloc(a, 0), arena_alloc(a, 0));
    assert_ptr_not_equal(arena_bytes(a, 0), arena_bytes(a, 0));
    arena_free(a);
}

static void test_strings(void **state)
{
    struct arena *a = arena_new();
    char *big = mem_alloc(3 << 20);
    memset(big, 'x', (3 << 20) - 1);
    assert_string_equal(arena_strdup(a, ""), "");
    assert_string_equal(arena_strdup(a, "paris"), "paris");
    assert_string_equal(arena_strndup(a, "paris", 3), "par");
    assert_string_equal(arena_strdup(a, big), big);
    assert_string_equal(arena_printf(a, "%s:%d", "paris", 53), "paris:53");
    assert_string_equal(arena_printf(a, "%s", big), big);
    assert_string_equal(arena_printf(a, "%s", ""), "");
    char *copy = mem_strdup("lyon");
    assert_string_equal(copy, "lyon");
    free(copy);
    free(big);
    arena_free(a);
}

static void test_size_is_reported_and_little_is_wasted(void **state)
{
    struct arena *a = arena_new();
    assert_int_equal(arena_size(a), 0);
    assert_int_equal(arena_size(NULL), 0);
    size_t asked = 0;
    for (int i = 0; i < 100000; i++) {
        arena_alloc(a, 64);
        asked += 64;
    }
    assert_in_range(arena_size(a), asked, asked + asked / 4 + (1 << 20));
    /* Large objects between small ones leave the small ones' block in use. */
    size_t before = arena_size(a);
    for (int i = 0; i < 100; i++) {
        arena_alloc(a, 2 << 20);
        arena_bytes(a, 10);
    }
    assert_in_range(arena_size(a) - before, 100 * (2u << 20), 100 * (2u << 20) + (2u << 20));
    arena_free(a);
}

static void test_arrays(void **state)
{
    struct arena *a = arena_new();
    uint64_t *v = ARENA_ARRAY(a, uint64_t, 1000);
    v[999] = 7;
    assert_int_equal(v[998], 0);
    struct pair {
        void *p[3];
    } *one = ARENA_NEW(a, struct pair);
    assert_null(one->p[2]);
    arena_free(a);
}

typedef void asking(void);

static void ask_too_large(void)
{
    volatile size_t n = SIZE_MAX - 4;
    arena_alloc(arena_new(), n);
}

static void ask_bytes_too_large(void)
{
    volatile size_t n = SIZE_MAX - 1;
    arena_bytes(arena_new(), n);
}

static void ask_product_that_wraps(void)
{
    volatile size_t n = SIZE_MAX / sizeof(uint64_t) + 2;
    ARENA_ARRAY(arena_new(), uint64_t, n);
}

static void ask_malloc(void)
{
    volatile size_t n = SIZE_MAX / 2;
    mem_alloc(n);
}

/* The process must say what it wanted and abort. */
static void must_abort(asking *ask)
{
    int out[2], status;
    char said[256] = "";
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        dup2(out[1], STDERR_FILENO);
        ask();
        _exit(0);
    }
    close(out[1]);
    ssize_t n = read(out[0], said, sizeof said - 1);
    assert_true(n > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    close(out[0]);
#ifndef __SANITIZE_ADDRESS__ /* which speaks first, about the size itself */
    assert_non_null(strstr(said, "out of memory"));
#endif
}

static void test_what_cannot_be_had_stops_the_process(void **state)
{
    must_abort(ask_too_large);
    must_abort(ask_bytes_too_large);
    must_abort(ask_product_that_wraps);
    must_abort(ask_malloc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_are_zero_aligned_and_apart),
        cmocka_unit_test(test_empty_objects_differ),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_size_is_reported_and_little_is_wasted),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_what_cannot_be_had_stops_the_process),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
