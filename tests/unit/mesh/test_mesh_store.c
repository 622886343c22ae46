/* SPDX-License-Identifier: Apache-2.0 */
/* The store: the newest wins in any order, lifetimes end, writers have bounds, equal digests mean equal contents. */
#include "../cmocka_pm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mesh/store.h"

static const struct mesh_store_limits limits = {100, 50, 100000, 1000000};
static unsigned gone_count;

static void gone(void *ctx, const struct mesh_stored *s)
{
    gone_count++;
}

static struct mesh_record rec(const char *node, uint64_t incarnation, uint64_t sequence, const char *subject, const char *value)
{
    return (struct mesh_record){.node = mesh_str(node), .incarnation = incarnation, .sequence = sequence, .kind = 77,
                                .subject = mesh_str(subject), .lifetime_ms = 60000, .value = (const uint8_t *)value,
                                .value_len = (uint16_t)strlen(value), .signature = (const uint8_t *)""};
}

static int put(struct mesh_store *st, struct mesh_record r, uint64_t now)
{
    struct mesh_stored *s;
    return mesh_store_apply(st, &r, now, &s);
}

static const char *value_of(struct mesh_store *st, const char *node, const char *subject)
{
    static char text[100];
    struct mesh_stored *s = mesh_store_get(st, mesh_str(node), 77, mesh_str(subject));
    if (!s)
        return NULL;
    snprintf(text, sizeof text, "%.*s", s->rec.value_len, (const char *)s->rec.value);
    return text;
}

static bool same_digest(struct mesh_store *a, struct mesh_store *b)
{
    return memcmp(mesh_store_digest(a), mesh_store_digest(b), MESH_BUCKETS * sizeof(uint64_t)) == 0;
}

static void test_newest_wins(void **state)
{
    struct mesh_store *st = mesh_store_new(&limits, gone, NULL);
    assert_int_equal(put(st, rec("n1", 5, 2, "a", "two"), 1000), 0);
    assert_int_equal(put(st, rec("n1", 5, 1, "a", "one"), 1000), PM_EEXISTS);
    assert_int_equal(put(st, rec("n1", 5, 2, "a", "two"), 1000), PM_EEXISTS);
    assert_string_equal(value_of(st, "n1", "a"), "two");
    assert_int_equal(put(st, rec("n1", 5, 1, "b", "other key"), 1000), 0);
    assert_int_equal(put(st, rec("n2", 9, 1, "a", "other node"), 1000), 0);
    assert_int_equal(put(st, rec("n1", 5, 3, "a", "three"), 1000), 0);
    assert_string_equal(value_of(st, "n1", "a"), "three");
    assert_int_equal(mesh_store_count(st), 3);

    /* A restart: the first word voids all of before, what comes late of before is refused. */
    gone_count = 0;
    assert_int_equal(put(st, rec("n1", 6, 1, "c", "new life"), 1000), 0);
    assert_int_equal(gone_count, 2);
    assert_int_equal(put(st, rec("n1", 5, 99, "a", "late"), 1000), PM_EEXISTS);
    assert_null(value_of(st, "n1", "a"));
    assert_int_equal(mesh_store_count(st), 2);
    mesh_store_free(st);
}

static void test_sequence_used_twice(void **state)
{
    struct mesh_store *x = mesh_store_new(&limits, NULL, NULL), *y = mesh_store_new(&limits, NULL, NULL);
    int a = put(x, rec("n1", 5, 2, "a", "left"), 0), b = put(x, rec("n1", 5, 2, "a", "right"), 0);
    assert_int_equal(a, 0);
    assert_int_equal(put(y, rec("n1", 5, 2, "a", "right"), 0), 0);
    int c = put(y, rec("n1", 5, 2, "a", "left"), 0);
    assert_true((b == 0) != (c == 0));
    assert_true(same_digest(x, y));
    mesh_store_free(x);
    mesh_store_free(y);
}

static void test_lifetime(void **state)
{
    struct mesh_store *st = mesh_store_new(&limits, gone, NULL), *other = mesh_store_new(&limits, NULL, NULL);
    struct mesh_record r = rec("n1", 5, 1, "a", "x");
    r.age_ms = 10000;
    assert_int_equal(put(st, r, 100000), 0); /* 50 s left */
    assert_false(same_digest(st, other));
    assert_int_equal(mesh_store_next_due(st), 145000);
    mesh_store_expire(st, 144999);
    assert_false(same_digest(st, other));
    mesh_store_expire(st, 145000); /* fades: readable, not counted */
    assert_true(same_digest(st, other));
    assert_string_equal(value_of(st, "n1", "a"), "x");
    struct mesh_stored **list;
    assert_int_equal(mesh_store_after(mesh_store_origin(st, mesh_str("n1")), 0, &list), 0);
    free(list);
    r.age_ms = 55000; /* as a neighbour would hand it back */
    assert_int_equal(put(other, r, 145000), PM_EEXISTS);
    gone_count = 0;
    mesh_store_expire(st, 149999);
    assert_int_equal(gone_count, 0);
    mesh_store_expire(st, 150000);
    assert_int_equal(gone_count, 1);
    assert_int_equal(mesh_store_origins(st), 0);
    assert_int_equal(mesh_store_bytes(st), 0);
    assert_int_equal(mesh_store_next_due(st), UINT64_MAX);
    mesh_store_free(st);
    mesh_store_free(other);
}

static void test_clock_near_zero(void **state)
{
    struct mesh_store *st = mesh_store_new(&limits, gone, NULL);
    struct mesh_record r = rec("n1", 5, 1, "a", "x");
    r.age_ms = 10000;
    assert_int_equal(put(st, r, 5), 0); /* born before this clock began */
    assert_int_equal(mesh_stored_age(mesh_store_get(st, mesh_str("n1"), 77, mesh_str("a")), 105), 10100);
    mesh_store_expire(st, 50004);
    assert_int_equal(mesh_store_count(st), 1);
    mesh_store_expire(st, 50005);
    assert_int_equal(mesh_store_count(st), 0);
    mesh_store_free(st);
}

static void test_bounds(void **state)
{
    struct mesh_store *st = mesh_store_new(&limits, NULL, NULL);
    char name[32];
    assert_int_equal(put(st, rec("honest", 1, 1, "mine", "x"), 0), 0);
    for (unsigned i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(put(st, rec("liar", 1, i + 1, name, "x"), 0), i < 50 ? 0 : PM_ERANGE);
    }
    assert_int_equal(put(st, rec("liar", 1, 100, "s3", "a newer value of a key it has"), 0), 0);
    assert_int_equal(put(st, rec("liar", 2, 1, "s99", "a new life frees the old one's room"), 0), 0);
    assert_int_equal(mesh_store_count(st), 2);
    for (unsigned i = 0; i < 120; i++) {
        snprintf(name, sizeof name, "made-up-%u", i);
        assert_int_equal(put(st, rec(name, 1, 1, "a", "x"), 0), i < 98 ? 0 : PM_ERANGE);
    }
    assert_int_equal(put(st, rec("honest", 1, 2, "mine", "y"), 0), 0);
    mesh_store_free(st);

    struct mesh_store_limits small = {10, 50, 20000, 1000000};
    st = mesh_store_new(&small, NULL, NULL);
    static char big[9000];
    memset(big, 'x', sizeof big - 1);
    assert_int_equal(put(st, rec("n1", 1, 1, "a", big), 0), 0);
    assert_int_equal(put(st, rec("n1", 1, 2, "b", big), 0), 0);
    assert_int_equal(put(st, rec("n1", 1, 3, "c", big), 0), PM_ERANGE);
    assert_int_equal(put(st, rec("n1", 1, 3, "a", big), 0), 0);
    mesh_store_free(st);
}

static void test_cut(void **state)
{
    struct mesh_store *st = mesh_store_new(&limits, gone, NULL);
    assert_int_equal(put(st, rec("n1", 5, 3, "a", "real"), 0), 0);
    assert_int_equal(put(st, rec("n1", 5, 400, "b", "made up"), 0), 0);
    mesh_store_cut(st, "n1", 5, 3);
    assert_string_equal(value_of(st, "n1", "a"), "real");
    assert_null(value_of(st, "n1", "b"));
    assert_int_equal(mesh_store_origin(st, mesh_str("n1"))->highest, 3);
    mesh_store_cut(st, "n1", 4, 3); /* we hold an incarnation its writer never had */
    assert_int_equal(mesh_store_count(st), 0);
    mesh_store_cut(st, "nobody", 4, 3);
    mesh_store_free(st);
}

/* Queues of slow peers hold references: the record stays whole, and says that it is no longer true. */
static void test_references(void **state)
{
    struct mesh_store *st = mesh_store_new(&limits, NULL, NULL);
    struct mesh_stored *s;
    struct mesh_record r = rec("n1", 5, 1, "a", "old");
    assert_int_equal(mesh_store_apply(st, &r, 0, &s), 0);
    mesh_stored_ref(s);
    assert_int_equal(put(st, rec("n1", 5, 2, "a", "new"), 0), 0);
    assert_false(s->live);
    assert_memory_equal(s->rec.value, "old", 3);
    mesh_store_free(st);
    mesh_stored_unref(s);
}

/* Any order, any loss mended, duplicates: the same contents and the same digest. */
static void test_any_order(void **state)
{
    enum { N = 400, STORES = 5 };
    static struct mesh_record all[N];
    static char text[N][3][24];
    srand(7);
    for (int i = 0; i < N; i++) {
        snprintf(text[i][0], 24, "node%d", rand() % 9);
        snprintf(text[i][1], 24, "key%d", rand() % 12);
        snprintf(text[i][2], 24, "value%d", i);
        all[i] = rec(text[i][0], 1 + (unsigned)(rand() % 3), (uint64_t)i + 1, text[i][1], text[i][2]);
        if (rand() % 8 == 0) {
            all[i].flags = MESH_RECORD_TOMBSTONE;
            all[i].value_len = 0;
        }
    }
    struct mesh_store *st[STORES];
    for (int k = 0; k < STORES; k++) {
        st[k] = mesh_store_new(&limits, NULL, NULL);
        int order[N * 2];
        for (int i = 0; i < N * 2; i++)
            order[i] = i % N;
        for (int i = N * 2 - 1; i > 0; i--) {
            int j = rand() % (i + 1), t = order[i];
            order[i] = order[j];
            order[j] = t;
        }
        for (int i = 0; i < N * 2; i++) {
            int err = put(st[k], all[order[i]], 1000);
            assert_true(err == 0 || err == PM_EEXISTS);
        }
        assert_true(same_digest(st[0], st[k]));
        assert_int_equal(mesh_store_count(st[0]), mesh_store_count(st[k]));
        assert_int_equal(mesh_store_bytes(st[0]), mesh_store_bytes(st[k]));
    }
    assert_true(mesh_store_count(st[0]) > 50);
    for (int i = 0; i < N; i++) { /* digests follow every record */
        uint64_t before[MESH_BUCKETS];
        memcpy(before, mesh_store_digest(st[0]), sizeof before);
        all[i].sequence += N;
        if (put(st[0], all[i], 1000) == 0)
            assert_memory_not_equal(before, mesh_store_digest(st[0]), sizeof before);
    }
    for (int k = 0; k < STORES; k++)
        mesh_store_free(st[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_wins), cmocka_unit_test(test_sequence_used_twice), cmocka_unit_test(test_lifetime),
        cmocka_unit_test(test_clock_near_zero), cmocka_unit_test(test_bounds), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_references), cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
