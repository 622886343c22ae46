/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/map.h"

static uint64_t random_state = 88172645463325252u;

static unsigned next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 20);
}

static void test_an_empty_map(void **state)
{
    struct map m = MAP_INIT;
    struct map_slot s;
    size_t at = 0;
    assert_null(map_get_str(&m, "paris"));
    assert_null(map_del_str(&m, "paris"));
    assert_false(map_next(&m, &at, &s));
    map_fini(&m);
    map_fini(&m);
}

static void test_put_get_del(void **state)
{
    struct map m;
    int one, two;
    map_init(&m);
    assert_null(map_put_str(&m, "paris", &one));
    assert_ptr_equal(map_put_str(&m, "paris", &two), &one);
    assert_int_equal(m.count, 1);
    assert_ptr_equal(map_get_str(&m, "paris"), &two);
    assert_null(map_get_str(&m, "pari"));
    assert_null(map_get_str(&m, "paris2"));
    assert_ptr_equal(map_del_str(&m, "paris"), &two);
    assert_null(map_del_str(&m, "paris"));
    assert_null(map_get_str(&m, "paris"));
    assert_int_equal(m.count, 0);
    map_fini(&m);
}

static void test_keys_are_bytes(void **state)
{
    struct map m = MAP_INIT;
    int empty, zero, zeros, mixed;
    assert_null(map_put(&m, "", 0, &empty));
    assert_null(map_put(&m, "\0", 1, &zero));
    assert_null(map_put(&m, "\0\0", 2, &zeros));
    assert_null(map_put(&m, "\0a\0", 3, &mixed));
    assert_ptr_equal(map_get(&m, "x", 0), &empty);
    assert_ptr_equal(map_get(&m, "\0", 1), &zero);
    assert_ptr_equal(map_get(&m, "\0\0", 2), &zeros);
    assert_ptr_equal(map_get(&m, "\0a\0", 3), &mixed);
    assert_null(map_get(&m, "\0b\0", 3));
    map_fini(&m);
}

enum { KEYS = 3000, STEPS = 300000 };

static char names[KEYS][16];
static void *model[KEYS];

static void compare_all(const struct map *m, size_t count)
{
    bool seen[KEYS] = {false};
    struct map_slot s;
    size_t found = 0;
    assert_int_equal(m->count, count);
    for (int k = 0; k < KEYS; k++)
        assert_ptr_equal(map_get_str(m, names[k]), model[k]);
    for (size_t at = 0; map_next(m, &at, &s); found++) {
        int k = atoi((const char *)s.key + 1);
        assert_false(seen[k]);
        seen[k] = true;
        assert_int_equal(s.len, strlen(names[k]));
        assert_ptr_equal(s.value, model[k]);
    }
    assert_int_equal(found, count);
}

/* Random puts and deletes against an array; filling, holding and emptying in turn, so that runs close and open. */
static void test_against_a_model(void **state)
{
    struct map m = MAP_INIT;
    size_t count = 0;
    memset(model, 0, sizeof model);
    for (int k = 0; k < KEYS; k++)
        snprintf(names[k], sizeof names[k], "k%d", k);
    for (int i = 0; i < STEPS; i++) {
        unsigned k = next_random() % KEYS, phase = (unsigned)i / 10000 % 3;
        bool put = phase == 0 ? next_random() % 4 : phase == 1 ? next_random() % 2 : next_random() % 8 == 0;
        void *before = model[k];
        if (put) {
            model[k] = &names[next_random() % KEYS];
            assert_ptr_equal(map_put_str(&m, names[k], model[k]), before);
        } else {
            model[k] = NULL;
            assert_ptr_equal(map_del_str(&m, names[k]), before);
        }
        count += (size_t)(model[k] != NULL) - (size_t)(before != NULL);
        if (i % 5000 == 0)
            compare_all(&m, count);
    }
    for (int k = 0; k < KEYS; k++) {
        assert_ptr_equal(map_del_str(&m, names[k]), model[k]);
        count -= model[k] != NULL;
        model[k] = NULL;
        if (k % 100 == 0)
            compare_all(&m, count);
    }
    compare_all(&m, 0);
    map_fini(&m);
}

/* One table of the smallest size: every chain wraps around its end sooner or later. */
static void test_small_tables_that_wrap(void **state)
{
    for (int round = 0; round < 20000; round++) {
        struct map m = MAP_INIT;
        uint32_t keys[11];
        for (size_t i = 0; i < PM_ARRAY_LEN(keys); i++) {
            keys[i] = (uint32_t)round * 16 + (uint32_t)i;
            assert_null(map_put(&m, &keys[i], sizeof keys[i], &keys[i]));
        }
        assert_int_equal(m.cap, 16);
        unsigned first = next_random() % 11, second = (first + 1 + next_random() % 10) % 11;
        assert_ptr_equal(map_del(&m, &keys[first], sizeof keys[0]), &keys[first]);
        assert_ptr_equal(map_del(&m, &keys[second], sizeof keys[0]), &keys[second]);
        for (unsigned i = 0; i < PM_ARRAY_LEN(keys); i++)
            assert_ptr_equal(map_get(&m, &keys[i], sizeof keys[i]), i == first || i == second ? NULL : &keys[i]);
        map_fini(&m);
    }
}

static void test_the_seed_stays(void **state)
{
    assert_true(hash_seed() != 0);
    assert_int_equal(hash_seed(), hash_seed());
    assert_int_equal(hash_bytes("abc", 3, 1), hash_bytes("abc", 3, 1));
    assert_int_not_equal(hash_bytes("abc", 3, 1), hash_bytes("abc", 3, 2));
    assert_int_not_equal(hash_bytes("abc", 3, 1), hash_bytes("abd", 3, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_map),
        cmocka_unit_test(test_put_get_del),
        cmocka_unit_test(test_keys_are_bytes),
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_small_tables_that_wrap),
        cmocka_unit_test(test_the_seed_stays),
    };
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
