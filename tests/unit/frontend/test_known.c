/* SPDX-License-Identifier: Apache-2.0 */
/* Who has what, while it changes: by itself, and read by another thread. */
#include "../cmocka_pm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <urcu-qsbr.h>
#include "frontend/table.h"

enum { SCOPE = 7, MANY = 20000 };

static void set(struct front_known *k, uint8_t kind, const char *text, uint64_t servers)
{
    front_known_set(k, SCOPE, kind, text, strlen(text), servers);
}

static uint64_t find(const struct front_known *k, const char *path)
{
    uint64_t servers = 0;
    return front_known_find(k, SCOPE, path, strlen(path), &servers) ? servers : 999;
}

static void test_most_particular(void **state)
{
    struct front_known *k = front_known_new();
    assert_int_equal(find(k, "/a"), 999);
    set(k, FRONT_HOLDS_PATH, "/d/a.php", 1);
    set(k, FRONT_HOLDS_PREFIX, "/d/", 2);
    set(k, FRONT_HOLDS_PREFIX, "/d/e/", 3);
    set(k, FRONT_HOLDS_SUFFIX, ".php", 4);
    assert_int_equal(find(k, "/d/a.php"), 1);
    assert_int_equal(find(k, "/d/b.php"), 2);
    assert_int_equal(find(k, "/d/e/b.php"), 3);
    assert_int_equal(find(k, "/d/e/"), 3);
    assert_int_equal(find(k, "/d"), 999);
    assert_int_equal(find(k, "/f/x.y.php"), 4);
    assert_int_equal(find(k, "/f.php/x"), 999);
    assert_int_equal(find(k, "/f.php/"), 999);
    uint64_t servers;
    assert_false(front_known_find(k, SCOPE + 1, "/d/a.php", 8, &servers)); /* another service's */
    assert_false(front_known_look(k, SCOPE, FRONT_HOLDS_PREFIX, "/d/a.php", 8, &servers));
    set(k, FRONT_HOLDS_PATH, "/d/a.php", 0);
    assert_int_equal(find(k, "/d/a.php"), 0); /* all said no: known all the same */
    front_known_remove(k, SCOPE, FRONT_HOLDS_PATH, "/d/a.php", 8);
    assert_int_equal(find(k, "/d/a.php"), 2);
    assert_int_equal(front_known_count(k), 3);
    front_known_free(k);
}

static void test_comes_and_goes(void **state)
{
    struct front_known *k = front_known_new();
    char path[32];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < MANY; i++) {
            snprintf(path, sizeof path, "/%d", i);
            if ((i + round) % 3)
                set(k, FRONT_HOLDS_PATH, path, (uint64_t)(i + round + 1000));
            else
                front_known_remove(k, SCOPE, FRONT_HOLDS_PATH, path, strlen(path));
        }
        for (int i = 0; i < MANY; i++) {
            snprintf(path, sizeof path, "/%d", i);
            assert_int_equal(find(k, path), (i + round) % 3 ? i + round + 1000 : 999);
        }
    }
    assert_true(front_known_bytes(k) <= 65536 * 16 + 1024); /* dead places were used again */
    front_known_free(k);
}

static struct front_known *shared;
static atomic_bool stop, ready;

/* What stays is always found, with one of the two sets it has; what comes and goes is there or not, never another's. */
static void *reader(void *arg)
{
    uintptr_t wrong = 0;
    rcu_register_thread();
    atomic_store(&ready, true);
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        uint64_t servers = 0;
        char path[32];
        if (!front_known_find(shared, SCOPE, "/stays", 6, &servers) || (servers != 1 && servers != 2))
            wrong++;
        snprintf(path, sizeof path, "/%u", i % 5000);
        if (front_known_find(shared, SCOPE, path, strlen(path), &servers) && servers != i % 5000 + 10)
            wrong++;
        rcu_quiescent_state();
    }
    rcu_unregister_thread();
    return (void *)wrong;
}

static void test_read_meanwhile(void **state)
{
    pthread_t thread;
    void *wrong;
    shared = front_known_new();
    set(shared, FRONT_HOLDS_PATH, "/stays", 1);
    assert_int_equal(pthread_create(&thread, NULL, reader, NULL), 0);
    while (!atomic_load(&ready))
        ;
    for (int round = 0; round < 20; round++)
        for (unsigned i = 0; i < 5000; i++) {
            char path[32];
            snprintf(path, sizeof path, "/%u", i);
            if ((i + (unsigned)round) % 2)
                set(shared, FRONT_HOLDS_PATH, path, i + 10);
            else
                front_known_remove(shared, SCOPE, FRONT_HOLDS_PATH, path, strlen(path));
            set(shared, FRONT_HOLDS_PATH, "/stays", 1 + i % 2);
        }
    atomic_store(&stop, true);
    pthread_join(thread, &wrong);
    assert_null(wrong);
    front_known_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_most_particular), cmocka_unit_test(test_comes_and_goes),
                                       cmocka_unit_test(test_read_meanwhile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
