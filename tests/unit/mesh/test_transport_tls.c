/* SPDX-License-Identifier: Apache-2.0 */
/* Links between real TLS nodes on loopback: one per peer, whole messages in order, reload, refusals, dead peers. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cmocka_pm.h"
#include "base/log.h"
#include "mesh/keys.h"
#include "mesh/tls_limit.h"
#include "mesh/transport_tls.h"

enum { NODES = 3, LONG_MS = 8000 };

struct node {
    struct mesh_tls *t;
    const char *name;
    struct endpoint at;
    struct mesh_link *links[8];
    unsigned count, ups, downs, drained;
    char why[128];                  /* of the last down */
    uint64_t received, bytes, next; /* next: number expected in the next message */
    bool disorder, echo;
};

static char dir[64];
static uv_loop_t loop;
static struct node nodes[NODES];
static const char *const names[NODES] = {"alpha", "beta", "gamma"};
static struct buf why;

/* ---- a node ---- */

static void on_message(struct mesh_link *l, const uint8_t *data, size_t n)
{
    struct node *me = l->user;
    uint64_t number;
    me->received++;
    me->bytes += n;
    if (n >= 8) {
        memcpy(&number, data, 8);
        me->disorder = me->disorder || number != me->next;
        me->next = number + 1;
        for (size_t i = 8; i < n; i++)
            me->disorder = me->disorder || data[i] != (uint8_t)(i * 7 + number);
    }
    if (me->echo)
        (void)!mesh_link_send(l, data, n);
}

static void on_drained(struct mesh_link *l)
{
    ((struct node *)l->user)->drained++;
}

static void forget(struct node *me, struct mesh_link *l)
{
    for (unsigned i = 0; i < me->count; i++)
        if (me->links[i] == l)
            me->links[i] = me->links[--me->count];
}

static void on_down(struct mesh_link *l, const char *text)
{
    struct node *me = l->user;
    me->downs++;
    snprintf(me->why, sizeof me->why, "%s", text);
    forget(me, l);
}

static const struct mesh_link_calls calls = {on_message, on_drained, on_down};

static void on_up(void *ctx, struct mesh_link *l)
{
    struct node *me = ctx;
    l->calls = &calls;
    l->user = me;
    me->ups++;
    me->links[me->count++] = l;
    assert_true(me->count < 8);
}

static struct mesh_link *link_to(struct node *me, const char *name)
{
    for (unsigned i = 0; i < me->count; i++)
        if (strcmp(me->links[i]->peer, name) == 0)
            return me->links[i];
    return NULL;
}

static struct mesh_tls_options options_of(const struct node *n, char files[2][128])
{
    snprintf(files[0], 128, "%s/ca.pem", dir);
    snprintf(files[1], 128, "%s/%s.pem", dir, n->name);
    return (struct mesh_tls_options){.node = n->name,
                                     .files = {.ca = files[0], .cert = files[1]},
                                     .listen = &n->at,
                                     .listen_count = n->at.port ? 1 : 0,
                                     .handshake_ms = 1500,
                                     .keepalive_ms = 200,
                                     .silence_ms = 1000,
                                     .dial_min_ms = 20,
                                     .dial_max_ms = 200,
                                     .half_open_per_address = 64,
                                     .rate_per_address = 1000};
}

static uint16_t free_port(bool v6)
{
    struct endpoint e;
    struct sockaddr_storage sa;
    assert_int_equal(endpoint_parse(v6 ? "[::1]:1" : "127.0.0.1:1", 0, &e), PM_OK);
    e.port = 0;
    socklen_t len = endpoint_to_sockaddr(&e, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sa, &e), PM_OK);
    close(fd);
    return e.port;
}

static void node_start(struct node *n)
{
    char files[2][128];
    struct mesh_tls_options o = options_of(n, files);
    int err = mesh_tls_new(&loop, &o, on_up, n, &n->t, &why);
    if (err)
        print_error("%s\n", buf_str(&why));
    assert_int_equal(err, PM_OK);
}

static void node_stop(struct node *n)
{
    mesh_tls_free(n->t);
    n->t = NULL;
    n->count = 0;
}

/* Bit i of mask: nodes[i] is a peer; bit i of address: and we know where. */
static void know(struct node *n, unsigned mask, unsigned address)
{
    struct mesh_tls_peer peers[NODES];
    size_t count = 0;
    for (unsigned i = 0; i < NODES; i++)
        if (mask & 1u << i && &nodes[i] != n)
            peers[count++] = (struct mesh_tls_peer){nodes[i].name, &nodes[i].at, address >> i & 1};
    assert_int_equal(mesh_tls_peers(n->t, peers, count, &why), PM_OK);
}

/* ---- the loop ---- */

static void on_tick(uv_timer_t *t)
{
}

static bool run_until(bool (*done)(void *), void *ctx, unsigned ms)
{
    uv_timer_t tick;
    uint64_t end = uv_hrtime() + ms * 1000000ull;
    bool ok;
    uv_timer_init(&loop, &tick);
    uv_timer_start(&tick, on_tick, 1, 5);
    while (!(ok = done && done(ctx)) && uv_hrtime() < end)
        uv_run(&loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    return ok;
}

static bool pair_up(void *unused)
{
    return nodes[0].count == 1 && nodes[1].count == 1;
}

static bool all_up(void *unused)
{
    return nodes[0].count == 2 && nodes[1].count == 2 && nodes[2].count == 2;
}

static bool down_seen(void *n)
{
    return ((struct node *)n)->downs > 0;
}

struct refusal {
    const struct node *node;
    enum mesh_tls_refusal why;
};

static bool refused(void *ctx)
{
    const struct refusal *r = ctx;
    return mesh_tls_stats(r->node->t)->refused[r->why] > 0;
}

static void make_keys(void)
{
    struct keys_options o = {.dir = dir, .force = true};
    assert_int_equal(keys_init(&o, names[0], &why), PM_OK);
    for (unsigned i = 1; i < NODES; i++)
        assert_int_equal(keys_issue(&o, names[i], &why), PM_OK);
}

static int set_up(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    log_init(LOG_ERROR, -1);
    buf_init(&why);
    strcpy(dir, "/tmp/test_tls_XXXXXX");
    assert_non_null(mkdtemp(dir));
    make_keys();
    uv_loop_init(&loop);
    memset(nodes, 0, sizeof nodes);
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i].name = names[i];
        assert_int_equal(endpoint_parse(i == 1 ? "[::1]:1" : "127.0.0.1:1", 0, &nodes[i].at), PM_OK);
        nodes[i].at.port = free_port(i == 1);
    }
    return 0;
}

static int tear_down(void **state)
{
    char cmd[128];
    for (unsigned i = 0; i < NODES; i++)
        node_stop(&nodes[i]);
    uv_run(&loop, UV_RUN_DEFAULT); /* ends only when every handle is closed */
    assert_int_equal(uv_loop_close(&loop), 0);
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    assert_int_equal(system(cmd), 0);
    buf_fini(&why);
    return 0;
}

static void start_pair(void)
{
    node_start(&nodes[0]);
    node_start(&nodes[1]);
    know(&nodes[0], 3, 3);
    know(&nodes[1], 3, 3);
    assert_true(run_until(pair_up, NULL, LONG_MS));
}

/* ---- tests ---- */

static uint8_t message[MESH_MESSAGE_MAX];

static const uint8_t *fill(uint64_t number, size_t n)
{
    for (size_t i = 8; i < n; i++)
        message[i] = (uint8_t)(i * 7 + number);
    memcpy(message, &number, 8);
    return message;
}

struct wanted {
    struct node *n;
    uint64_t received;
};

static bool has_received(void *ctx)
{
    struct wanted *w = ctx;
    return w->n->received >= w->received;
}

static void test_messages(void **state)
{
    static const size_t sizes[] = {8, 9, 100, 16383, 16384, 16385, 65535, 65536};
    start_pair();
    struct mesh_link *l = nodes[0].links[0];
    assert_string_equal(l->peer, "beta");
    assert_string_equal(nodes[1].links[0]->peer, "alpha");
    assert_true(l->called != nodes[1].links[0]->called);
    for (unsigned i = 0; i < PM_ARRAY_LEN(sizes); i++)
        assert_int_equal(mesh_link_send(l, fill(i, sizes[i]), sizes[i]), PM_OK);
    assert_int_equal(mesh_link_send(l, message, 0), PM_EINVAL);
    struct wanted w = {&nodes[1], PM_ARRAY_LEN(sizes)};
    assert_true(run_until(has_received, &w, LONG_MS));
    assert_false(nodes[1].disorder);
    assert_int_equal(l->messages_out, PM_ARRAY_LEN(sizes));
    assert_int_equal(nodes[1].links[0]->messages_in, PM_ARRAY_LEN(sizes));
    assert_true(nodes[1].links[0]->bytes_in > nodes[1].bytes);
    /* and nothing ends while there is nothing to say */
    run_until(NULL, NULL, 2500);
    assert_int_equal(nodes[0].downs + nodes[1].downs, 0);
    assert_int_equal(nodes[1].received, PM_ARRAY_LEN(sizes));
}

static void test_queue_is_bounded(void **state)
{
    unsigned sent = 0;
    start_pair();
    struct mesh_link *l = nodes[0].links[0];
    int err;
    while (!(err = mesh_link_send(l, fill(sent, MESH_MESSAGE_MAX), MESH_MESSAGE_MAX)) && sent < 1000)
        sent++;
    assert_int_equal(err, PM_EAGAIN);
    assert_true(sent >= 15 && sent < 1000); /* the queue, and what the kernel took */
    assert_int_equal(nodes[0].drained, 0);
    struct wanted w = {&nodes[1], sent};
    assert_true(run_until(has_received, &w, LONG_MS));
    assert_int_equal(nodes[0].drained, 1);
    assert_false(nodes[1].disorder);
    assert_int_equal(mesh_link_send(l, fill(sent, 8), 8), PM_OK);
    w.received++;
    assert_true(run_until(has_received, &w, LONG_MS));
    assert_false(nodes[1].disorder);
}

/* Both call at nearly the same time, again and again: one link each, the same one, and it stays. */
static void test_simultaneous(void **state)
{
    uint64_t duplicates = 0;
    for (unsigned round = 0; round < 40; round++) {
        node_start(&nodes[0]);
        node_start(&nodes[1]);
        nodes[0].ups = nodes[1].ups = 0;
        know(&nodes[round % 2], 3, 3);
        for (unsigned i = 0; i < round / 2; i++)
            run_until(NULL, NULL, 0);
        know(&nodes[!(round % 2)], 3, 3);
        assert_true(run_until(pair_up, NULL, LONG_MS));
        run_until(NULL, NULL, 60);
        assert_true(pair_up(NULL));
        assert_true(nodes[0].links[0]->called != nodes[1].links[0]->called);
        assert_int_equal(nodes[0].ups, 1); /* no flap */
        assert_int_equal(nodes[1].ups, 1);
        duplicates += mesh_tls_stats(nodes[0].t)->called + mesh_tls_stats(nodes[1].t)->called - 1;
        node_stop(&nodes[0]);
        node_stop(&nodes[1]);
        run_until(NULL, NULL, 0);
    }
    print_message("calls too many in 40 starts: %u\n", (unsigned)duplicates);
}

static void test_restart_is_seen_at_once(void **state)
{
    start_pair();
    for (unsigned i = 0; i < 2; i++) { /* the one whose calls are preferred, and the other */
        node_stop(&nodes[i]);
        node_start(&nodes[i]);
        know(&nodes[i], 3, 3);
        nodes[!i].downs = 0;
        assert_true(run_until(pair_up, NULL, 3000));
        run_until(NULL, NULL, 100);
        assert_true(pair_up(NULL));
    }
}

static void test_peers_change(void **state)
{
    for (unsigned i = 0; i < NODES; i++)
        node_start(&nodes[i]);
    for (unsigned i = 0; i < NODES; i++)
        know(&nodes[i], 7, 7);
    assert_true(run_until(all_up, NULL, LONG_MS));
    unsigned ups = nodes[0].ups;
    struct mesh_link *beta = link_to(&nodes[0], "beta");
    know(&nodes[0], 3, 3); /* without gamma */
    assert_int_equal(nodes[0].count, 1);
    assert_string_equal(nodes[0].why, "no longer a peer");
    struct refusal r = {&nodes[0], MESH_TLS_STRANGER};
    assert_true(run_until(refused, &r, LONG_MS)); /* gamma goes on calling */
    assert_ptr_equal(link_to(&nodes[0], "beta"), beta);
    know(&nodes[0], 7, 0); /* gamma again; nobody is to be called */
    assert_true(run_until(all_up, NULL, LONG_MS));
    assert_ptr_equal(link_to(&nodes[0], "beta"), beta);
    assert_int_equal(nodes[0].ups, ups + 1);
    struct mesh_tls_peer bad[] = {{"beta", NULL, 0}, {"beta", NULL, 0}}, self = {"alpha", NULL, 0};
    assert_int_equal(mesh_tls_peers(nodes[0].t, bad, 2, &why), PM_EINVAL);
    assert_int_equal(mesh_tls_peers(nodes[0].t, &self, 1, &why), PM_EINVAL);
    assert_int_equal(nodes[0].count, 2);
}

static void test_reload(void **state)
{
    char files[2][128];
    bool renewed;
    struct keys_options k = {.dir = dir, .force = true, .days = 7};
    start_pair();
    assert_int_equal(keys_renew(&k, "alpha", &renewed, &why), PM_OK);
    int64_t before = mesh_tls_stats(nodes[0].t)->certificate_until_s;
    struct mesh_tls_options o = options_of(&nodes[0], files);
    struct endpoint two[2] = {nodes[0].at, nodes[0].at};
    two[1].port = free_port(false);
    o.listen = two;
    o.listen_count = 2;
    assert_int_equal(mesh_tls_reload(nodes[0].t, &o, &why), PM_OK);
    assert_true(mesh_tls_stats(nodes[0].t)->certificate_until_s < before - 80 * 86400);
    assert_int_equal(mesh_tls_listening(nodes[0].t, NULL, NULL, 0), 2);
    run_until(NULL, NULL, 300);
    assert_int_equal(nodes[0].downs + nodes[1].downs, 0);
    /* Files that are no good change nothing. */
    o.files.cert = "/nonexistent";
    assert_int_equal(mesh_tls_reload(nodes[0].t, &o, &why), PM_ETLS);
    run_until(NULL, NULL, 100);
    assert_int_equal(nodes[0].downs + nodes[1].downs, 0);
    /* Another authority: who it has not signed goes, and is refused. */
    make_keys();
    o = options_of(&nodes[0], files);
    assert_int_equal(mesh_tls_reload(nodes[0].t, &o, &why), PM_OK);
    assert_int_equal(nodes[0].downs, 1);
    struct refusal r = {&nodes[1], MESH_TLS_UNTRUSTED};
    assert_true(run_until(refused, &r, LONG_MS));
    o = options_of(&nodes[1], files);
    assert_int_equal(mesh_tls_reload(nodes[1].t, &o, &why), PM_OK);
    assert_true(run_until(pair_up, NULL, LONG_MS));
}

static bool any_down(void *unused)
{
    return nodes[0].downs || nodes[1].downs;
}

static void test_wrong_name(void **state)
{
    /* beta's address is called, and gamma answers */
    nodes[2].at = nodes[1].at;
    node_start(&nodes[0]);
    node_start(&nodes[2]);
    know(&nodes[0], 2, 2);
    know(&nodes[2], 1, 0);
    struct refusal r = {&nodes[0], MESH_TLS_NAME};
    assert_true(run_until(refused, &r, LONG_MS));
    assert_int_equal(nodes[0].ups + nodes[2].ups, 0);
}

static void test_expired(void **state)
{
    struct clock_manual past;
    clock_manual_init(&past);
    past.now_wall_ms = clock_wall_ms(&clock_system) - 30 * 86400000ull;
    struct keys_options k = {.dir = dir, .force = true, .days = 20, .clock = &past.clock};
    assert_int_equal(keys_issue(&k, "beta", &why), PM_OK);
    log_set_level(0); /* it is said loudly */
    node_start(&nodes[0]);
    node_start(&nodes[1]);
    know(&nodes[0], 3, 0);
    know(&nodes[1], 3, 3);
    struct refusal r = {&nodes[0], MESH_TLS_EXPIRED}, told = {&nodes[1], MESH_TLS_REFUSED_US};
    assert_true(run_until(refused, &r, LONG_MS));
    assert_true(run_until(refused, &told, LONG_MS));
    assert_int_equal(nodes[0].ups + nodes[1].ups, 0); /* the caller never took it for a link */
}

/* A peer that is stopped but whose kernel goes on is noticed; when it goes on it is back. */
static void test_silent_peer(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        uv_loop_init(&loop);
        node_start(&nodes[1]);
        know(&nodes[1], 1, 0);
        nodes[1].echo = true;
        uv_run(&loop, UV_RUN_DEFAULT);
        _exit(0);
    }
    node_start(&nodes[0]);
    know(&nodes[0], 3, 3);
    for (unsigned i = 0; i < 500 && !nodes[0].count; i++)
        run_until(NULL, NULL, 10);
    assert_int_equal(nodes[0].count, 1);
    kill(child, SIGSTOP);
    uint64_t start = uv_hrtime();
    assert_true(run_until(down_seen, &nodes[0], LONG_MS));
    uint64_t ms = (uv_hrtime() - start) / 1000000;
    print_message("silent peer noticed after %u ms: %s\n", (unsigned)ms, nodes[0].why);
    assert_true(ms < 3000);
    kill(child, SIGCONT);
    for (unsigned i = 0; i < 500 && !nodes[0].count; i++)
        run_until(NULL, NULL, 10);
    assert_int_equal(nodes[0].count, 1);
    nodes[0].downs = 0;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_true(run_until(down_seen, &nodes[0], LONG_MS));
}

static void test_user_closes(void **state)
{
    start_pair();
    struct mesh_link *l = nodes[0].links[0];
    mesh_link_close(l, "test");
    forget(&nodes[0], l);
    assert_int_equal(nodes[0].downs, 0);
    assert_true(run_until(any_down, NULL, LONG_MS));
    assert_int_equal(nodes[0].downs, 0);
    assert_string_equal(nodes[1].why, "closed by the peer");
    assert_true(run_until(pair_up, NULL, LONG_MS)); /* and it is called again */
}

static void test_inherited(void **state)
{
    struct endpoint at[4];
    char files[2][128];
    int fds[4], copy;
    start_pair();
    assert_int_equal(mesh_tls_listening(nodes[0].t, at, fds, 4), 1);
    copy = dup(fds[0]);
    int stray = dup(0);
    node_stop(&nodes[0]);
    run_until(NULL, NULL, 10);
    struct mesh_tls_options o = options_of(&nodes[0], files);
    int given[2] = {stray, copy};
    o.inherited = given;
    o.inherited_count = 2;
    assert_int_equal(mesh_tls_new(&loop, &o, on_up, &nodes[0], &nodes[0].t, &why), PM_OK);
    assert_int_equal(mesh_tls_listening(nodes[0].t, at, fds, 4), 1);
    assert_int_equal(fds[0], copy);
    assert_int_equal(fcntl(stray, F_GETFD), -1); /* not wanted: closed */
    know(&nodes[0], 3, 0);
    assert_true(run_until(pair_up, NULL, LONG_MS));
}

static void test_cannot_listen(void **state)
{
    char files[2][128];
    struct mesh_tls *t = NULL;
    node_start(&nodes[0]);
    struct mesh_tls_options o = options_of(&nodes[0], files);
    assert_int_equal(mesh_tls_new(&loop, &o, on_up, &nodes[0], &t, &why), PM_EINUSE);
    assert_non_null(strstr(buf_str(&why), "mesh cannot listen on 127.0.0.1"));
    assert_null(t);
}

static void test_limits(void **state)
{
    static struct tls_limit l;
    struct addr a, b, c;
    unsigned times;
    l = (struct tls_limit){.open_max = 3, .open_per_address = 2, .rate_per_address = 10, .rate = 100};
    tls_limit_init(&l, 1000);
    assert_int_equal(addr_parse("2001:db8::1", &a), PM_OK);
    assert_int_equal(addr_parse("2001:db8::ffff", &b), PM_OK); /* the same /64 */
    assert_int_equal(addr_parse("192.0.2.1", &c), PM_OK);
    assert_int_equal(tls_limit_enter(&l, &a, false, 1000), TLS_ADMIT);
    assert_int_equal(tls_limit_enter(&l, &b, false, 1000), TLS_ADMIT);
    assert_int_equal(tls_limit_enter(&l, &b, false, 1000), TLS_ADMIT_LIMIT);
    assert_int_equal(tls_limit_enter(&l, &c, false, 1000), TLS_ADMIT);
    assert_int_equal(tls_limit_enter(&l, &c, false, 1000), TLS_ADMIT_LIMIT); /* strangers in all */
    assert_int_equal(tls_limit_enter(&l, &c, true, 1000), TLS_ADMIT);        /* a peer is none */
    tls_limit_leave(&l, &c, true);
    tls_limit_leave(&l, &a, false);
    for (unsigned i = 0; i < 18; i++) {
        assert_int_equal(tls_limit_enter(&l, &a, false, 1000), TLS_ADMIT);
        tls_limit_leave(&l, &a, false);
    }
    assert_int_equal(tls_limit_enter(&l, &a, false, 1000), TLS_ADMIT_RATE); /* twice the rate at once */
    assert_int_equal(tls_limit_enter(&l, &a, false, 1100), TLS_ADMIT);
    assert_true(tls_limit_log(&l, &a, 1, 1000, &times));
    assert_false(tls_limit_log(&l, &b, 1, 1500, &times));
    assert_true(tls_limit_log(&l, &a, 2, 1500, &times));
    assert_true(tls_limit_log(&l, &a, 1, 1000 + TLS_LOG_AGAIN_MS, &times));
    assert_int_equal(times, 2);
    /* A flood from more addresses than there are places: what is open is never forgotten. */
    for (unsigned i = 0; i < 100000; i++) {
        struct addr d = c;
        memcpy(d.bytes, &i, 4);
        if (tls_limit_enter(&l, &d, false, 5000 + i) == TLS_ADMIT)
            tls_limit_leave(&l, &d, false);
        (void)tls_limit_log(&l, &d, 1, 5000 + i, &times);
    }
    assert_int_equal(l.open, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test_setup_teardown(test_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_queue_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_simultaneous, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restart_is_seen_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_peers_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reload, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expired, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silent_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_user_closes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_inherited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cannot_listen, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
