/* SPDX-License-Identifier: Apache-2.0 */
/* The engine among others: events, updates, comparisons, regions, partitions, restarts, slow, dead and lying peers. */
#include "../cmocka_pm.h"
#include "mesh_world.h"

static uint16_t lan(const struct mw *w, unsigned a, unsigned b)
{
    return 1;
}
static uint16_t wan(const struct mw *w, unsigned a, unsigned b)
{
    return (uint16_t)(strcmp(w->nodes[a].region, w->nodes[b].region) == 0 ? 5 : 80);
}

static void say(struct mw *w, unsigned i, const char *subject, const char *value, unsigned flags)
{
    assert_int_equal(mesh_put(w->nodes[i].m, 40000, subject, value, strlen(value), 300000, flags), 0);
    mw_wake(&w->nodes[i]);
}

static const char *heard(const struct mw *w, unsigned at, unsigned from, const char *subject)
{
    static char text[64];
    const struct mesh_stored *s = mesh_find(w->nodes[at].m, w->nodes[from].name, 40000, subject);
    if (!s)
        return "";
    snprintf(text, sizeof text, "%.*s", (int)s->rec.value_len, (const char *)s->rec.value);
    return text;
}

static void assert_heard(const struct mw *w, unsigned from, const char *subject, const char *value)
{
    for (unsigned i = 0; i < w->n; i++)
        if (!w->nodes[i].dead && strcmp(heard(w, i, from, subject), value) != 0)
            fail_msg("%s has \"%s\" of %s, wanted \"%s\"", w->nodes[i].name, heard(w, i, from, subject),
                     w->nodes[from].name, value);
}

/* ---- two and ten ---- */

static void test_event_is_at_once(void **state)
{
    for (unsigned n = 2; n <= 10; n += 8) {
        struct mw *w = mw_new(n, 1, lan);
        mw_start_all(w);
        mw_run(w, 30000);
        say(w, 0, "x", "down", MESH_PUT_EVENT);
        mw_run(w, 2 + 5); /* a round trip and a batch */
        assert_heard(w, 0, "x", "down");
        for (unsigned i = 1; i < n; i++)
            assert_int_equal(w->nodes[i].events, 1);
        mw_free(w);
    }
}

static void test_updates_wait(void **state)
{
    struct mw *w = mw_new(3, 1, lan);
    mw_start_all(w);
    mw_run(w, 30000);
    say(w, 0, "load", "1", 0);
    mw_run(w, 100);
    assert_heard(w, 0, "load", "1"); /* the first is news */
    for (unsigned i = 2; i < 9; i++) {
        char value[2] = {(char)('0' + i), 0};
        say(w, 0, "load", value, 0);
        mw_run(w, 5000);
        assert_heard(w, 0, "load", "1");
    }
    mw_run(w, 30000);
    assert_heard(w, 0, "load", "8"); /* the newest, once per interval */
    assert_int_equal(w->nodes[1].written, 1 + 1 + 2 + 0);
    mw_free(w);
    w = mw_new(2, 1, lan);
    w->interval_ms = 0; /* off */
    mw_start_all(w);
    mw_run(w, 30000);
    say(w, 0, "load", "1", 0);
    say(w, 0, "x", "down", MESH_PUT_EVENT);
    mw_run(w, 200000);
    assert_string_equal(heard(w, 1, 0, "load"), "");
    assert_string_equal(heard(w, 1, 0, "x"), "down");
    mw_free(w);
}

static void test_keep_and_expire(void **state)
{
    struct mw *w = mw_new(2, 1, lan);
    mw_start_all(w);
    mw_run(w, 30000);
    say(w, 0, "kept", "k", MESH_PUT_KEEP);
    say(w, 0, "not", "n", 0);
    mw_run(w, 250000);
    assert_heard(w, 0, "not", "n");
    mw_run(w, 400000);
    assert_heard(w, 0, "kept", "k");
    assert_heard(w, 0, "not", "");
    assert_int_equal(w->nodes[1].gone, 1);
    assert_int_equal(mesh_remove(w->nodes[0].m, 40000, "kept", true), 0);
    assert_int_equal(mesh_remove(w->nodes[0].m, 40000, "kept", true), PM_ENOTFOUND);
    mw_wake(&w->nodes[0]);
    mw_run(w, 20);
    assert_heard(w, 0, "kept", "");
    assert_int_equal(w->nodes[1].removed, 1);
    mw_free(w);
}

/* ---- regions ---- */

static void test_regions(void **state)
{
    struct mw *w = mw_new(24, 4, wan);
    mw_start_all(w);
    mw_run(w, 30000);
    assert_true(mw_all_same(w));
    say(w, 5, "x", "down", MESH_PUT_EVENT);
    mw_run(w, 80 + 5 + 2 * 4 + 5); /* across, inside, two batches */
    assert_heard(w, 5, "x", "down");
    unsigned links = 0;
    for (unsigned i = 0; i < w->n * w->n; i++)
        links += w->links[i] != NULL;
    assert_true(links / 2 < 24 * 5 / 2 + 24 * 3 * 2 + 20); /* full in a region, two per other region and node */
    mw_free(w);
}

/* Both entries of a node into a region die at once: it finds others, and what was said meanwhile arrives. */
static void test_entries_die(void **state)
{
    struct mw *w = mw_new(12, 2, wan);
    mw_start_all(w);
    mw_run(w, 30000);
    for (unsigned i = 1, killed = 0; i < w->n && killed < 2; i += 2) {
        struct mesh_peer *p = topology_find(w->nodes[0].m, mesh_str(w->nodes[i].name));
        if (p->session && p->session->entry) {
            mw_kill(w, i);
            killed++;
        }
    }
    say(w, 0, "x", "down", MESH_PUT_EVENT);
    mw_run(w, 20000);
    assert_heard(w, 0, "x", "down");
    mw_free(w);
}

/* ---- what goes wrong ---- */

static void test_partition_heals(void **state)
{
    struct mw *w = mw_new(10, 2, wan);
    mw_start_all(w);
    mw_run(w, 30000);
    for (unsigned a = 0; a < w->n; a++)
        for (unsigned b = 0; b < a; b++)
            if (a % 2 != b % 2)
                mw_cut(w, a, b, true);
    mw_run(w, 40000);
    say(w, 0, "left", "1", MESH_PUT_EVENT);
    say(w, 1, "right", "2", MESH_PUT_EVENT);
    mw_run(w, 60000);
    assert_string_equal(heard(w, 8, 0, "left"), "1");
    assert_string_equal(heard(w, 9, 0, "left"), "");
    assert_string_equal(heard(w, 9, 1, "right"), "2");
    unsigned gone = w->nodes[3].gone;
    for (unsigned a = 0; a < w->n; a++)
        for (unsigned b = 0; b < a; b++)
            mw_cut(w, a, b, false);
    mw_run(w, 120000);
    assert_heard(w, 0, "left", "1");
    assert_heard(w, 1, "right", "2");
    assert_true(mw_all_same(w));
    assert_int_equal(w->nodes[3].gone, gone); /* nothing flapped: nobody's records were voided */
    mw_free(w);
}

static void test_restart(void **state)
{
    struct mw *w = mw_new(4, 1, lan);
    mw_start_all(w);
    mw_run(w, 30000);
    say(w, 2, "old", "1", MESH_PUT_KEEP);
    mw_run(w, 1000);
    mw_kill(w, 2);
    mw_run(w, 30000);
    assert_heard(w, 2, "old", "1"); /* silence says nothing */
    mw_start(w, 2, true);
    say(w, 2, "new", "2", MESH_PUT_KEEP);
    mw_run(w, 30000);
    assert_heard(w, 2, "old", ""); /* its new life voids the old one */
    assert_heard(w, 2, "new", "2");
    assert_true(mw_all_same(w));
    mw_free(w);
}

/* The clock was set back: others know a later life. */
static void test_set_back(void **state)
{
    struct mw *w = mw_new(3, 1, lan);
    mw_start_all(w);
    mw_run(w, 30000);
    mw_kill(w, 1);
    w->clock.now_wall_ms -= 3600000;
    mw_start(w, 1, true);
    say(w, 1, "x", "here", MESH_PUT_KEEP);
    mw_run(w, 40000);
    assert_heard(w, 1, "x", "here");
    mw_free(w);
}

static void test_slow_peer(void **state)
{
    struct mw *w = mw_new(4, 1, lan);
    mw_start_all(w);
    mw_run(w, 30000);
    w->nodes[3].stuck = true;
    for (unsigned i = 0; i < 3000; i++) {
        char subject[16];
        snprintf(subject, sizeof subject, "s%u", i);
        say(w, 0, subject, "v", MESH_PUT_NOW);
        say(w, 1, subject, "v", MESH_PUT_NOW);
    }
    mw_run(w, 50);
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(heard(w, i, 0, "s2999"), "v"); /* nobody else waits */
    mw_run(w, 10000);
    mw_unstick(w, 3);
    mw_run(w, 30000);
    assert_string_equal(heard(w, 3, 0, "s2999"), "v");
    assert_true(mw_all_same(w));
    mw_free(w);
}

/* ---- a peer that lies: raw messages over a link of its own ---- */

struct liar {
    struct mesh_link l;
    uint8_t last[MESH_MESSAGE_MAX];
    size_t last_len;
    unsigned sent;
    bool closed;
};
static int liar_send(struct mesh_link *l, const uint8_t *data, size_t n)
{
    struct liar *x = (struct liar *)l;
    memcpy(x->last, data, n);
    x->last_len = n;
    x->sent++;
    return 0;
}
static void liar_close(struct mesh_link *l, const char *why)
{
    ((struct liar *)l)->closed = true;
}
static const struct mesh_link_ops liar_ops = {liar_send, liar_close};

static void liar_join(struct liar *x, struct mw *w, const char *name, const char *region)
{
    uint8_t space[512];
    *x = (struct liar){.l = {.ops = &liar_ops}};
    strcpy(x->l.peer, name);
    assert_int_equal(mesh_link_up(w->nodes[0].m, &x->l), 0);
    struct mesh_writer m = mesh_writer(space, sizeof space);
    struct mesh_hello h = {1, 1, mesh_str(name), mesh_str(region), mesh_str(""), mesh_str(""), 1, 0};
    mesh_message_start(&m, MESH_HELLO, 0);
    mesh_put_hello(&m, &h);
    x->l.calls->message(&x->l, m.p, m.len);
}

static void liar_says(struct liar *x, const char *writer, uint64_t incarnation, uint64_t sequence, const char *subject)
{
    uint8_t space[1024];
    struct mesh_writer m = mesh_writer(space, sizeof space);
    struct mesh_record rec = {.node = mesh_str(writer),
                              .incarnation = incarnation,
                              .sequence = sequence,
                              .kind = 40000,
                              .subject = mesh_str(subject),
                              .lifetime_ms = 60000,
                              .value = (const uint8_t *)"lie",
                              .value_len = 3};
    mesh_message_start(&m, MESH_RECORDS, 0);
    mesh_put_record(&m, &rec);
    x->l.calls->message(&x->l, m.p, m.len);
}

static void test_liar(void **state)
{
    static struct liar x;
    struct mw *w = mw_new(3, 1, lan);
    mw_start_all(w);
    mw_run(w, 30000);
    say(w, 1, "x", "truth", MESH_PUT_KEEP);
    mw_run(w, 1000);
    liar_join(&x, w, "liar", "region-0");
    liar_says(&x, "node-001", UINT64_MAX, 1, "x"); /* has a link of its own: not believed */
    assert_heard(w, 1, "x", "truth");
    liar_says(&x, "liar", 1, 1, "mine");
    assert_non_null(mesh_find(w->nodes[0].m, "liar", 40000, "mine"));
    liar_says(&x, "node-000", UINT64_MAX, 1, "me"); /* a jump beyond ten years is not followed */
    struct mesh_totals t;
    mesh_totals(w->nodes[0].m, &t);
    assert_int_equal(t.set_back, 0);
    /* It may fill its own share and nobody else's. */
    for (unsigned i = 0; i < 6000; i++) {
        char subject[16];
        snprintf(subject, sizeof subject, "%u", i);
        liar_says(&x, "liar", 1, 2 + i, subject);
    }
    const struct mesh_origin *o = mesh_store_origin(mesh_store_of(w->nodes[0].m), mesh_str("liar"));
    assert_int_equal(o->count, 4096);
    say(w, 2, "y", "fine", MESH_PUT_EVENT);
    mw_run(w, 20);
    assert_string_equal(heard(w, 0, 2, "y"), "fine");
    x.l.calls->message(&x.l, (const uint8_t *)"\1\2\0\0garbage", 11);
    mesh_tick(w->nodes[0].m);
    assert_true(x.closed);
    mw_free(w);
}

static void test_flood(void **state)
{
    static struct liar x;
    struct mw *w = mw_new(2, 1, lan);
    mw_start_all(w);
    mw_run(w, 30000);
    liar_join(&x, w, "liar", "region-0");
    uint8_t *noise = mem_alloc(60000);
    noise[0] = 1;
    noise[1] = 77; /* of an unknown type */
    for (unsigned s = 0; s < 30 && !x.closed; s++) {
        for (unsigned i = 0; i < 200; i++)
            if (!x.closed)
                x.l.calls->message(&x.l, noise, 60000);
        mw_run(w, 1000);
    }
    assert_true(x.closed);
    assert_int_equal(mesh_link_up(w->nodes[0].m, &x.l), PM_EPERM); /* kept out for a minute */
    say(w, 1, "y", "fine", MESH_PUT_EVENT);
    mw_run(w, 20);
    assert_string_equal(heard(w, 0, 1, "y"), "fine");
    free(noise);
    mw_free(w);
}

/* Wrong in hello, nothing at all, an old version, silence. */
static void test_bad_peers(void **state)
{
    static struct liar x;
    static const uint8_t no_hello[] = {1, MESH_PING, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, late[] = {2, 1, 0, 0};
    struct mw *w = mw_new(2, 1, lan);
    mw_start_all(w);
    mw_run(w, 1000);
    for (unsigned i = 0; i < 4; i++) {
        x = (struct liar){.l = {.ops = &liar_ops}};
        strcpy(x.l.peer, "liar");
        assert_int_equal(mesh_link_up(w->nodes[0].m, &x.l), 0);
        if (i == 0)
            x.l.calls->message(&x.l, no_hello, sizeof no_hello);
        else if (i == 1)
            x.l.calls->message(&x.l, late, sizeof late);
        else if (i == 2)
            mw_run(w, 6000);
        else
            x.l.calls->message(&x.l, no_hello, 0);
        mesh_tick(w->nodes[0].m);
        assert_true(x.closed);
    }
    liar_join(&x, w, "liar", "region-0");
    mw_run(w, 21000);
    assert_true(x.closed); /* silent */
    mw_free(w);
}

/* ---- any order, loss and duplication included ---- */

static void test_converges(void **state)
{
    for (unsigned round = 0; round < 6; round++) {
        struct mw *w = mw_new(9, 1 + round % 3, wan);
        w->random = round + 1;
        w->drop_percent = 20;
        mw_start_all(w);
        for (unsigned i = 0; i < 300; i++) {
            char subject[16];
            unsigned node = mw_below(w, w->n), other = mw_below(w, w->n);
            snprintf(subject, sizeof subject, "s%u", mw_below(w, 20));
            if (mw_below(w, 10) == 0)
                (void)!mesh_remove(w->nodes[node].m, 40000, subject, mw_below(w, 2));
            else
                say(w, node, subject, subject,
                    mw_below(w, 2) ? MESH_PUT_EVENT | MESH_PUT_KEEP : MESH_PUT_NOW | MESH_PUT_KEEP);
            if (mw_below(w, 4) == 0 && node != other)
                mw_cut(w, node, other, mw_below(w, 2));
            mw_run(w, mw_below(w, 300));
        }
        w->drop_percent = 0;
        for (unsigned a = 0; a < w->n; a++)
            for (unsigned b = 0; b < a; b++)
                mw_cut(w, a, b, false);
        mw_run(w, 90000);
        if (!mw_all_same(w))
            fail_msg("round %u: stores differ", round);
        mw_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_is_at_once),
        cmocka_unit_test(test_updates_wait),
        cmocka_unit_test(test_keep_and_expire),
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_entries_die),
        cmocka_unit_test(test_partition_heals),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_set_back),
        cmocka_unit_test(test_slow_peer),
        cmocka_unit_test(test_liar),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_bad_peers),
        cmocka_unit_test(test_converges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
