/* SPDX-License-Identifier: Apache-2.0 */
/* Arena, buffer and map. */
#include "../cmocka_pm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

static uint32_t random_next(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return *s >> 8;
}

/* Sizes around every block limit: aligned, zeroed, and no piece touches another. */
static void arena_pieces_stay_apart(void **state)
{
    enum { N = 3000 };
    static unsigned char *piece[N];
    static size_t size[N];
    struct arena *a = arena_new();
    uint32_t seed = 1;
    for (unsigned i = 0; i < N; i++) {
        size[i] = random_next(&seed) % (i % 100 == 0 ? 300000u : 300u);
        if (i % 3 == 0) {
            piece[i] = arena_bytes(a, size[i]);
        } else {
            piece[i] = arena_alloc(a, size[i]);
            assert_int_equal((uintptr_t)piece[i] % 16, 0);
            for (size_t k = 0; k < size[i]; k++)
                assert_int_equal(piece[i][k], 0);
        }
        memset(piece[i], (int)(i & 0xff), size[i]);
    }
    size_t sum = 0;
    for (unsigned i = 0; i < N; i++) {
        sum += size[i];
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(piece[i][k], i & 0xff);
    }
    assert_true(arena_size(a) >= sum);
    arena_free(a);
    arena_free(NULL);
    assert_int_equal(arena_size(NULL), 0);
}

static void arena_text(void **state)
{
    struct arena *a = arena_new();
    char big[20000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    assert_ptr_not_equal(arena_alloc(a, 0), arena_alloc(a, 0));
    assert_string_equal(arena_strdup(a, ""), "");
    assert_string_equal(arena_strdup(a, big), big);
    assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
    assert_string_equal(arena_printf(a, "%s-%d", "x", 7), "x-7");
    assert_int_equal(strlen(arena_printf(a, "<%s>", big)), sizeof big + 1);
    arena_free(a);
}

/* A count read from a file may be anything: a product that wraps must stop the process, not give a small piece. */
static void arena_array_too_large_aborts(void **state)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        volatile size_t n = SIZE_MAX / 8 + 2;
        signal(SIGABRT, SIG_DFL); /* a handler would report the abort that is wanted */
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        struct arena *a = arena_new();
        uint64_t *p = ARENA_ARRAY(a, uint64_t, n);
        _exit(p ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void buf_grows_and_shrinks(void **state)
{
    struct buf b = BUF_INIT;
    assert_string_equal(buf_str(&b), "");
    buf_consume(&b, 5);
    buf_clear(&b);
    buf_add(&b, "", 0);
    assert_string_equal(buf_str(&b), "");
    buf_puts(&b, "one ");
    buf_putc(&b, '2');
    buf_printf(&b, " %s%05d", "three", 42);
    assert_string_equal(buf_str(&b), "one 2 three00042");
    assert_int_equal(b.len, 16);
    buf_consume(&b, 4);
    assert_string_equal(buf_str(&b), "2 three00042");
    buf_consume(&b, 100);
    assert_string_equal(buf_str(&b), "");
    buf_add(&b, "a\0b", 3);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "a\0b", 4);
    buf_fini(&b);
    assert_null(b.data);
}

/* Every length around the limit where memory is taken again, by each way to append. */
static void buf_at_every_length(void **state)
{
    char text[600];
    memset(text, 'y', sizeof text);
    for (size_t n = 0; n < sizeof text; n++) {
        struct buf b = BUF_INIT, c = BUF_INIT, d = BUF_INIT;
        buf_add(&b, text, n);
        buf_printf(&c, "%.*s", (int)n, text);
        for (size_t i = 0; i < n; i++)
            buf_putc(&d, 'y');
        assert_int_equal(b.len, n);
        assert_int_equal(strlen(buf_str(&b)), n);
        assert_string_equal(buf_str(&c), buf_str(&b));
        assert_string_equal(buf_str(&d), buf_str(&b));
        buf_fini(&b);
        buf_fini(&c);
        buf_fini(&d);
    }
}

/* 200,000 random puts, gets and deletes beside an array that cannot be wrong. */
static void map_agrees_with_a_model(void **state)
{
    enum { KEYS = 700, STEPS = 200000 };
    static char keys[KEYS][8];
    static void *model[KEYS];
    struct map m;
    uint32_t seed = 7;
    size_t count = 0;
    map_init(&m);
    for (unsigned i = 0; i < KEYS; i++)
        snprintf(keys[i], sizeof keys[i], "k%u", i);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned k = random_next(&seed) % KEYS, what = random_next(&seed) % 8;
        /* Long phases of filling and of emptying, so that runs of both kinds form. */
        bool filling = step / 20000 % 2 == 0;
        if (what == 0) {
            assert_ptr_equal(map_get_str(&m, keys[k]), model[k]);
        } else if (what <= (filling ? 5u : 2u)) {
            void *value = &keys[random_next(&seed) % KEYS];
            assert_ptr_equal(map_put_str(&m, keys[k], value), model[k]);
            count += !model[k];
            model[k] = value;
        } else {
            assert_ptr_equal(map_del_str(&m, keys[k]), model[k]);
            count -= !!model[k];
            model[k] = NULL;
        }
        assert_int_equal(m.count, count);
        if (step % 1000 == 0)
            for (unsigned i = 0; i < KEYS; i++)
                assert_ptr_equal(map_get_str(&m, keys[i]), model[i]);
    }
    struct map_slot slot;
    size_t seen = 0;
    for (size_t at = 0; map_next(&m, &at, &slot); seen++)
        assert_ptr_equal(slot.value, model[atoi((const char *)slot.key + 1)]);
    assert_int_equal(seen, count);
    map_fini(&m);
}

static void map_keys_are_bytes(void **state)
{
    struct map m = MAP_INIT;
    int one = 1, two = 2, three = 3;
    size_t at = 0;
    struct map_slot slot;
    assert_null(map_get_str(&m, "a"));
    assert_null(map_del_str(&m, "a"));
    assert_false(map_next(&m, &at, &slot));
    assert_null(map_put(&m, "a\0b", 3, &one));
    assert_null(map_put(&m, "a\0c", 3, &two));
    assert_null(map_put(&m, "", 0, &three));
    assert_ptr_equal(map_get(&m, "a\0b", 3), &one);
    assert_ptr_equal(map_get(&m, "a\0c", 3), &two);
    assert_ptr_equal(map_get(&m, "", 0), &three);
    assert_null(map_get_str(&m, "a"));
    map_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_pieces_stay_apart), cmocka_unit_test(arena_text),
        cmocka_unit_test(arena_array_too_large_aborts), cmocka_unit_test(buf_grows_and_shrinks),
        cmocka_unit_test(buf_at_every_length), cmocka_unit_test(map_agrees_with_a_model),
        cmocka_unit_test(map_keys_are_bytes),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
