/* SPDX-License-Identifier: Apache-2.0 */
/* Words between agents and balancers: what is written is read again, and nothing else is. */
#include "../cmocka_pm.h"

#include <stdlib.h>
#include <string.h>
#include "mesh/agent_words.h"

static uint8_t space[65536];

static struct mesh_reader back(const struct mesh_writer *w, enum agent_word word)
{
    struct mesh_reader r = mesh_reader(w->p, w->len);
    uint8_t got;
    assert_false(w->full);
    assert_int_equal(agent_open(&r, &got), PM_OK);
    assert_int_equal(got, word);
    return r;
}

static void assert_text(struct mesh_str s, const char *want)
{
    assert_int_equal(s.n, strlen(want));
    assert_memory_equal(s.p, want, s.n);
}

static void test_hello_and_report(void **state)
{
    struct mesh_writer w = mesh_writer(space, sizeof space);
    struct agent_hello_word h;
    agent_start(&w, AGENT_HELLO);
    agent_put_hello(&w, &(struct agent_hello_word){mesh_str("pointsman 1"), AGENT_ADOPTS, mesh_str("")});
    struct mesh_reader r = back(&w, AGENT_HELLO);
    assert_int_equal(agent_get_hello(&r, &h), PM_OK);
    assert_text(h.software, "pointsman 1");
    assert_int_equal(h.flags, AGENT_ADOPTS);

    struct agent_report_word p = {.known = 15, .connections = 7, .waiting_max = 511, .ram_free = 1ull << 40, .idle_permille = 993,
                                  .room = 12345678901234, .counter_count = 3, .counter = {1, 2, UINT64_MAX}}, q;
    w = mesh_writer(space, sizeof space);
    agent_start(&w, AGENT_REPORT);
    agent_put_report(&w, &p);
    r = back(&w, AGENT_REPORT);
    assert_int_equal(agent_get_report(&r, &q), PM_OK);
    assert_memory_equal(&p, &q, sizeof p);
    /* More counters than we know: of a later program. */
    p.counter_count = AGENT_COUNTERS_MAX;
    w = mesh_writer(space, sizeof space);
    agent_put_report(&w, &p);
    r = mesh_reader(w.p, w.len);
    assert_int_equal(agent_get_report(&r, &q), PM_OK);
    assert_int_equal(q.counter_count, AGENT_COUNTERS_MAX);
}

static void test_task(void **state)
{
    static const uint8_t secret[AGENT_SECRET] = {1, 2, 3};
    struct addr from = {.family = ADDR_V6, .bytes = {0x20, 1, 0xd, 0xb8, [15] = 9}}, got;
    struct agent_place_word place = {{.family = ADDR_V4, .bytes = {192, 0, 2, 80}}, 443, AGENT_PLACE_PLAIN}, p;
    struct agent_task_word t;
    struct mesh_writer w = mesh_writer(space, sizeof space);
    agent_start(&w, AGENT_TASK);
    agent_put_task(&w, &(struct agent_task_word){secret, 1400, 1, 2});
    mesh_put_addr(&w, &from);
    agent_put_place(&w, &place);
    agent_put_place(&w, &place);
    struct mesh_reader r = back(&w, AGENT_TASK);
    assert_int_equal(agent_get_task(&r, &t), PM_OK);
    assert_memory_equal(t.secret, secret, AGENT_SECRET);
    assert_int_equal(t.mtu, 1400);
    assert_int_equal(t.sources, 1);
    assert_int_equal(t.places, 2);
    assert_int_equal(agent_get_source(&r, &got), PM_OK);
    assert_true(addr_eq(&got, &from));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(agent_get_place(&r, &p), PM_OK);
        assert_true(addr_eq(&p.vip, &place.vip));
        assert_int_equal(p.port, 443);
        assert_int_equal(p.flags, AGENT_PLACE_PLAIN);
    }
    assert_int_equal(agent_get_place(&r, &p), PM_ENOTFOUND);
}

static void test_files_and_orders(void **state)
{
    char *path = malloc(AGENT_TEXT_MAX + 1);
    memset(path, 'a', AGENT_TEXT_MAX + 1);
    path[0] = '/';
    struct agent_file_word f = {mesh_str("www.example.com"), {path, AGENT_TEXT_MAX}, 1ull << 41, 0xfedcba9876543210}, g;
    struct mesh_writer w = mesh_writer(space, sizeof space);
    agent_start(&w, AGENT_FILES);
    agent_put_file(&w, &f);
    f.path.n = 1;
    agent_put_file(&w, &f);
    struct mesh_reader r = back(&w, AGENT_FILES);
    assert_int_equal(agent_get_file(&r, &g), PM_OK);
    assert_text(g.host, "www.example.com");
    assert_int_equal(g.path.n, AGENT_TEXT_MAX);
    assert_memory_equal(g.path.p, path, AGENT_TEXT_MAX);
    assert_true(g.size == f.size && g.hash == f.hash);
    assert_int_equal(agent_get_file(&r, &g), PM_OK);
    assert_int_equal(agent_get_file(&r, &g), PM_ENOTFOUND);

    struct agent_order_word o = {.id = 7, .kind = 1, .replaces = 1, .host = mesh_str("a"), .path = {"/b", 2}, .size = 5, .hash = 6,
                                 .old_hash = 8, .sources = 1}, q;
    struct endpoint e = {{.family = ADDR_V4, .bytes = {192, 0, 2, 7}}, 8080}, x;
    w = mesh_writer(space, sizeof space);
    agent_start(&w, AGENT_ORDER);
    agent_put_order(&w, &o);
    agent_put_endpoint(&w, &e);
    r = back(&w, AGENT_ORDER);
    assert_int_equal(agent_get_order(&r, &q), PM_OK);
    assert_true(q.id == 7 && q.kind == 1 && q.replaces == 1 && q.size == 5 && q.hash == 6 && q.old_hash == 8 && q.sources == 1);
    assert_int_equal(agent_get_endpoint(&r, &x), PM_OK);
    assert_int_equal(x.port, 8080);
    assert_int_equal(agent_get_endpoint(&r, &x), PM_ENOTFOUND);

    struct agent_result_word a = {9, PM_ESPACE, mesh_str("no room")}, b;
    w = mesh_writer(space, sizeof space);
    agent_start(&w, AGENT_RESULT);
    agent_put_result(&w, &a);
    r = back(&w, AGENT_RESULT);
    assert_int_equal(agent_get_result(&r, &b), PM_OK);
    assert_int_equal(b.err, PM_ESPACE);
    assert_text(b.text, "no room");
    free(path);
}

static void test_refused(void **state)
{
    struct agent_file_word f = {mesh_str("h"), {"/p", 2}, 1, 2}, g;
    struct mesh_writer w = mesh_writer(space, sizeof space);
    uint8_t word;
    agent_start(&w, AGENT_FILES);
    agent_put_file(&w, &f);
    for (size_t n = 0; n < w.len; n++) { /* cut anywhere */
        struct mesh_reader r = mesh_reader(space, n);
        int err = agent_open(&r, &word);
        if (!err)
            err = agent_get_file(&r, &g);
        assert_int_equal(err, n == 2 ? PM_ENOTFOUND : PM_EPROTO);
    }
    space[0]++; /* another version */
    struct mesh_reader r = mesh_reader(space, w.len);
    assert_int_equal(agent_open(&r, &word), PM_EPROTO);
    /* A path with a zero byte, one that is too long. */
    static const uint8_t zero[] = {1, 'h', 0, 3, '/', 0, 'x'}, lengthy[] = {1, 'h', 0xff, 0xff};
    r = mesh_reader(zero, sizeof zero);
    assert_int_equal(agent_get_gone(&r, &g), PM_EPROTO);
    memcpy(space, lengthy, sizeof lengthy);
    memset(space + sizeof lengthy, 'a', 65500);
    r = mesh_reader(space, 65500);
    assert_int_equal(agent_get_gone(&r, &g), PM_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hello_and_report), cmocka_unit_test(test_task),
                                       cmocka_unit_test(test_files_and_orders), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
