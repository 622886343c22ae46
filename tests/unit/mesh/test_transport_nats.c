/* SPDX-License-Identifier: Apache-2.0 */
/* Links over a bus that loses, doubles and reorders: every message comes once, in order, or the
 * link goes down. */
#include "cmocka_pm.h"
#include "nats_stub.h"

static char dir[64];
static struct mesh_nats *t[2];

struct side {
    struct mesh_link *link;
    uint32_t sent, seen, ups, downs, drained;
    bool full;
};
static struct side sides[2];

static size_t length_of(uint32_t i)
{
    return i % 97 == 5 ? MESH_MESSAGE_MAX : 4 + (i * 7919u) % 3000;
}

static void on_message(struct mesh_link *l, const uint8_t *data, size_t n)
{
    struct side *s = l->user;
    assert_int_equal(n, length_of(s->seen));
    assert_int_equal(nats_get(data, 4), s->seen);
    if (n > 4)
        assert_int_equal(data[n - 1], (uint8_t)(s->seen * 31));
    s->seen++;
}

static void on_drained(struct mesh_link *l)
{
    struct side *s = l->user;
    assert_true(s->full);
    s->full = false;
    s->drained++;
}

static void on_down(struct mesh_link *l, const char *why)
{
    struct side *s = l->user;
    s->link = NULL;
    s->downs++;
}

static const struct mesh_link_calls calls = {on_message, on_drained, on_down};

static void on_up(void *ctx, struct mesh_link *l)
{
    struct side *s = ctx;
    l->calls = &calls;
    l->user = s;
    *s = (struct side){.link = l, .ups = s->ups + 1, .downs = s->downs};
}

/* Sends what the link takes, up to message number `until`. */
static void send_some(struct side *s, uint32_t until)
{
    static uint8_t data[MESH_MESSAGE_MAX];
    while (s->link && !s->full && s->sent < until) {
        size_t n = length_of(s->sent);
        for (unsigned i = 0; i < 4; i++)
            data[i] = (uint8_t)(s->sent >> (24 - 8 * i));
        if (n > 4)
            data[n - 1] = (uint8_t)(s->sent * 31);
        int err = mesh_link_send(s->link, data, n);
        s->full = err == PM_EAGAIN;
        s->sent += err == PM_OK;
    }
}

static int set_up(void **state)
{
    struct buf why = BUF_INIT;
    strcpy(dir, "/tmp/test_nats_XXXXXX");
    assert_non_null(mkdtemp(dir));
    struct keys_options o = {.dir = dir};
    assert_int_equal(keys_init(&o, "a", &why), PM_OK);
    assert_int_equal(keys_issue(&o, "b", &why), PM_OK);
    buf_fini(&why);
    assert_int_equal(uv_loop_init(&stub_loop), 0);
    stub_lose = stub_double = stub_mix = 0;
    memset(sides, 0, sizeof sides);
    t[0] = stub_new(dir, "a", on_up, &sides[0]);
    t[1] = stub_new(dir, "b", on_up, &sides[1]);
    stub_run(t, 2, 1000);
    assert_non_null(sides[0].link);
    assert_non_null(sides[1].link);
    assert_string_equal(sides[0].link->peer, "b");
    assert_true(sides[0].link->called); /* the lower name */
    assert_false(sides[1].link->called);
    return 0;
}

static int tear_down(void **state)
{
    char cmd[128];
    stub_free(t[0]);
    stub_free(t[1]);
    assert_int_equal(uv_loop_close(&stub_loop), 0);
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    assert_int_equal(system(cmd), 0);
    return 0;
}

static void exchange(uint32_t messages, unsigned steps)
{
    for (unsigned i = 0; i < steps && (sides[0].seen < messages || sides[1].seen < messages); i++) {
        send_some(&sides[0], messages);
        send_some(&sides[1], messages);
        stub_run(t, 2, STEP_MS);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(sides[i].seen, messages);
        assert_int_equal(sides[i].downs, 0);
        assert_int_equal(sides[i].ups, 1);
    }
}

static void test_all_is_well(void **state)
{
    exchange(1000, 300);
    stub_run(t, 2, 3000); /* what is left is acknowledged */
    assert_int_equal(t[0]->stats.resent + t[1]->stats.resent, 0);
    assert_int_equal(t[0]->all->flight_count, 0);
    assert_int_equal(t[0]->all->flight_bytes, 0);
}

static void test_lossy(void **state)
{
    stub_lose = 5; /* far more than a cluster does, which is why what came too early is not kept,
                      but sent again */
    stub_double = 10;
    stub_mix = 5;
    exchange(600, 60000);
    assert_true(t[0]->stats.resent > 10);
}

static void test_window(void **state)
{
    stub_lose = 100;
    send_some(&sides[0], 100000);
    assert_true(sides[0].full);
    assert_in_range(t[0]->all->flight_bytes, t[0]->o.window_bytes / 2, t[0]->o.window_bytes * 2);
    uint32_t sent = sides[0].sent;
    stub_run(t, 2, 3000);
    assert_true(sides[0].full);
    stub_lose = 0;
    stub_run(t, 2, 6000); /* sent again at the latest after four seconds */
    assert_int_equal(sides[0].drained, 1);
    assert_int_equal(sides[1].seen, sent);
    assert_int_equal(sides[0].downs + sides[1].downs, 0);
}

static void test_partition(void **state)
{
    stub_lose = 100;
    stub_run(t, 2, 8000);
    assert_int_equal(sides[0].downs, 1);
    assert_int_equal(sides[1].downs, 1);
    assert_int_equal(t[0]->stats.links + t[1]->stats.links, 0);
    stub_run(t, 2, 30000);
    stub_lose = 0;
    stub_run(t, 2, 20000);
    assert_int_equal(sides[0].ups, 2);
    assert_int_equal(sides[1].ups, 2);
    assert_int_equal(t[0]->stats.links, 1);
    assert_int_equal(t[0]->stats.half_open + t[1]->stats.half_open, 0);
    send_some(&sides[1], 10);
    stub_run(t, 2, 100);
    assert_int_equal(sides[0].seen, 10);
}

static void test_restart(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        unsigned ups = sides[1 - i].ups;
        stub_lose = 100; /* it dies without a word */
        stub_free(t[i]);
        sides[i].link = NULL;
        stub_lose = 0;
        t[i] = stub_new(dir, i ? "b" : "a", on_up, &sides[i]);
        stub_run(t, 2, 1000);
        assert_int_equal(sides[1 - i].ups, ups + 1);
        assert_non_null(sides[0].link);
        assert_non_null(sides[1].link);
        assert_int_equal(t[0]->stats.links + t[1]->stats.links, 2);
    }
}

static void test_garbage_in_a_link(void **state)
{
    uint8_t junk[50];
    struct nats_link *l = t[0]->all;
    memset(junk, 0x5a, sizeof junk);
    nats_link_packet(l, NATS_DATA, l->expected + 5, l->next_seq, junk,
                     sizeof junk); /* a gap: waits for what is missing */
    nats_link_packet(l, NATS_DATA, l->expected - 1, l->next_seq + 1000, junk,
                     sizeof junk); /* old, acknowledges the future */
    assert_int_equal(sides[0].downs, 0);
    nats_link_packet(l, NATS_DATA, l->expected, l->next_seq, junk,
                     sizeof junk); /* not what the peer wrote */
    assert_int_equal(sides[0].downs, 1);
    stub_run(t, 2, 3000);
    assert_int_equal(sides[0].ups, 2);
    assert_int_equal(sides[1].ups, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_is_well, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lossy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_partition, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_garbage_in_a_link, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
