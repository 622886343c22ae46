/* SPDX-License-Identifier: Apache-2.0 */
/* The load of a node: from a /proc of our own making, and of real sockets on the loopback, by both ways. */
#include "../cmocka_pm.h"
#include "tree.h"
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include "agent/load.h"
#include "agent/load_sockets.h"

/* ---- a /proc of our own ---- */

#define TCP_HEAD "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define ROW(n, at, from, st, q, inode) \
    "   " #n ": " at " " from " " st " " q " 00:00000000 00000000     0        0 " #inode " 1 0000000000000000 100 0\n"

static const char tcp4[] = TCP_HEAD
    ROW(0, "00000000:0050", "00000000:0000", "0A", "00000000:00000003", 4711)   /* listens, 3 wait */
    ROW(1, "0100007F:0050", "0100007F:C001", "01", "00000000:00000000", 5001)   /* quiet */
    ROW(2, "0100007F:0050", "0100007F:C002", "01", "00000000:00000010", 5002)   /* unread */
    ROW(3, "0100007F:0050", "0100007F:C003", "01", "00000000:00000010", 0)      /* not accepted */
    ROW(4, "0100007F:0050", "0100007F:C004", "08", "00000000:00000001", 5004)   /* closed by the client, only the FIN */
    ROW(5, "0100007F:0050", "0100007F:C005", "08", "00000000:00000002", 5005)   /* closed, and a byte */
    ROW(6, "0100007F:0051", "0100007F:C006", "01", "00000000:00000010", 5006)   /* another port */
    ROW(7, "0100007F:C001", "0100007F:0050", "01", "00000000:00000010", 5007)   /* the client's end */
    ROW(8, "0100007F:0050", "0100007F:C007", "06", "00000000:00000000", 0)      /* TIME_WAIT */
    "   9: 0100007F:00";                                                        /* cut */
static const char tcp6[] = TCP_HEAD ROW(0, "0000000000000000FFFF00000100007F:0050",
                                        "0000000000000000FFFF00000100007F:C008", "01", "00000000:00000000", 6001)
    ROW(1, "B80D0120000000000000000001000000:0050", "B80D0120000000000000000002000000:C009", "01", "00000000:00000001",
        6002);

static void proc_write(const struct tree *t, const char *cpu)
{
    char stat[512];
    tree_write(t, "net/tcp", tcp4);
    tree_write(t, "net/tcp6", tcp6);
    tree_write(t, "meminfo", "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    8192 kB\n"
                             "SwapCached:          7 kB\nSwapTotal:       2048 kB\nSwapFree:        1024 kB\n");
    snprintf(stat, sizeof stat, "cpu  %s\ncpu0 1 2 3 4 5 6 7 8 9 0\ncpu1 1 2 3 4 5 6 7 8 9 0\nintr 1 2 3\n"
             "procs_running 5\nprocs_blocked 2\n", cpu);
    tree_write(t, "stat", stat);
    tree_write(t, "loadavg", "1.25 0.50 0.10 5/321 4242\n");
}

static struct endpoint at(const char *text)
{
    struct endpoint e;
    assert_int_equal(endpoint_parse(text, 0, &e), 0);
    return e;
}

static struct agent_load_state *fake_open(const struct tree *t, const char *where)
{
    struct agent_load_state *s;
    struct endpoint e = at(where);
    assert_int_equal(
        agent_load_open(&(struct agent_load_config){.proc = t->dir, .at = &e, .at_count = 1, .no_netlink = true}, &s),
        0);
    return s;
}

static void test_fake(void **state)
{
    struct tree t;
    struct agent_load l;
    tree_make(&t);
    proc_write(&t, "100 0 50 800 50 0 0 0 0 0");
    struct agent_load_state *s = fake_open(&t, "127.0.0.1:80");
    assert_int_equal(agent_load_read(s, 7, &l), 0);
    assert_int_equal(l.when_ns, 7);
    assert_int_equal(l.known, AGENT_LOAD_SOCKETS | AGENT_LOAD_MEMORY | AGENT_LOAD_RUN); /* no share of time yet */
    assert_true(l.from_proc);
    assert_int_equal(l.listeners, 1);
    assert_int_equal(l.connections, 4); /* one of them IPv4 on an IPv6 socket */
    assert_int_equal(l.waiting, 3);
    assert_int_equal(l.unread, 2);
    assert_int_equal(l.pending, 5);
    assert_int_equal(l.ram_free, 8192 * 1024);
    assert_int_equal(l.ram_total, 16384 * 1024);
    assert_int_equal(l.swap_free, 1024 * 1024);
    assert_int_equal(l.swap_total, 2048 * 1024);
    assert_int_equal(l.running, 5);
    assert_int_equal(l.blocked, 2);
    assert_int_equal(l.processors, 2);
    assert_true(l.load1 == 1.25);
    proc_write(&t, "150 0 75 860 65 0 0 0 0 0"); /* 150 ticks: 60 idle, 15 waiting for a disk */
    assert_int_equal(agent_load_read(s, 8, &l), 0);
    assert_true(l.known & AGENT_LOAD_CPU);
    assert_true(fabs(l.cpu_idle - 0.5) < 1e-9);
    assert_int_equal(agent_load_read(s, 9, &l), 0); /* within the same tick: as before */
    assert_true(l.known & AGENT_LOAD_CPU && fabs(l.cpu_idle - 0.5) < 1e-9);
    agent_load_close(s);
    s = fake_open(&t, "[2001:db8::1]:80");
    assert_int_equal(agent_load_read(s, 10, &l), 0);
    assert_int_equal(l.connections, 1);
    assert_int_equal(l.unread, 1);
    agent_load_close(s);
    tree_remove(&t, ".");
}

/* What is missing is missing alone. */
static void test_missing(void **state)
{
    struct tree t;
    struct agent_load l;
    tree_make(&t);
    proc_write(&t, "1 1 1 1 1 1 1 1 1 1");
    struct agent_load_state *s = fake_open(&t, "0.0.0.0:80");
    tree_remove(&t, "net/tcp6"); /* a kernel without IPv6 */
    assert_int_equal(agent_load_read(s, 1, &l), 0);
    assert_int_equal(l.connections, 3);
    tree_remove(&t, "meminfo");
    assert_int_equal(agent_load_read(s, 1, &l), PM_ENOTFOUND);
    assert_int_equal(l.known & (AGENT_LOAD_SOCKETS | AGENT_LOAD_MEMORY), AGENT_LOAD_SOCKETS);
    assert_true(l.known & AGENT_LOAD_RUN);
    tree_write(&t, "meminfo", "MemTotal: 5 kB\n");
    assert_int_equal(agent_load_read(s, 1, &l), PM_EPARSE);
    tree_remove(&t, "net/tcp");
    tree_write(&t, "stat", "cpu what\n");
    assert_true(agent_load_read(s, 1, &l) < 0);
    assert_int_equal(l.known, 0);
    assert_int_equal(l.connections, 0);
    agent_load_close(s);
    struct endpoint none = {0};
    assert_int_equal(agent_load_open(&(struct agent_load_config){.at = &none, .at_count = 1}, &s), PM_EINVAL);
    tree_remove(&t, ".");
}

/* ---- real sockets ---- */

static int listener(struct endpoint *where)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(where, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
    assert_int_equal(listen(fd, 7), 0);
    n = sizeof sa;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sa, where), 0);
    return fd;
}

static int client(const struct endpoint *to)
{
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(to, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, n), 0);
    return fd;
}

static void check_real(const char *bind_to, const char *connect_to, bool no_netlink)
{
    struct endpoint where = at(bind_to), to = at(connect_to);
    struct agent_load_state *s;
    struct agent_load l;
    int fds[6], taken[3], fd = listener(&where);
    to.port = where.port;
    struct endpoint both[2] = {to, where};
    struct agent_load_config config = {.at = both, .at_count = 2, .no_netlink = no_netlink};
    assert_int_equal(agent_load_open(&config, &s), 0);
    for (int i = 0; i < 6; i++)
        fds[i] = client(&to);
    for (int i = 0; i < 3; i++)
        taken[i] = accept(fd, NULL, NULL);
    assert_int_equal(write(fds[0], "GET", 3), 3); /* not read */
    assert_int_equal(write(fds[1], "GET", 3), 3); /* read */
    char got[3];
    assert_int_equal(read(taken[1], got, 3), 3);
    assert_int_equal(write(fds[4], "GET", 3), 3); /* not even accepted: counted once */
    assert_int_equal(write(fds[2], "G", 1), 1);
    shutdown(fds[2], SHUT_WR); /* half-closed, with a byte */
    usleep(20000);
    assert_int_equal(agent_load_read(s, 1, &l), 0);
    assert_int_equal(l.from_proc, no_netlink);
    assert_int_equal(l.listeners, 1);
    assert_int_equal(l.waiting, 3);
    assert_int_equal(l.waiting_max, no_netlink ? 0 : 7);
    assert_int_equal(l.connections, 5); /* one is in CLOSE_WAIT */
    assert_int_equal(l.unread, 2);
    assert_int_equal(l.pending, 5);
    assert_true(l.ram_total > 0 && l.ram_free <= l.ram_total);
    close(fd);
    assert_int_equal(agent_load_read(s, 1, &l), 0);
    assert_int_equal(l.listeners, 0);
    agent_load_close(s);
    for (int i = 0; i < 6; i++)
        close(fds[i]);
    for (int i = 0; i < 3; i++)
        close(taken[i]);
}

static void test_real(void **state)
{
    for (int no_netlink = 0; no_netlink < 2; no_netlink++) {
        check_real("127.0.0.1:0", "127.0.0.1:0", no_netlink);
        check_real("0.0.0.0:0", "127.0.0.1:0", no_netlink);
        check_real("[::]:0", "127.0.0.1:0", no_netlink);
        check_real("[::1]:0", "[::1]:0", no_netlink);
    }
}

static void count(void *ctx, const struct agent_socket *s)
{
    (*(unsigned *)ctx)++;
}

/* More sockets than one datagram of a dump holds. */
static void test_many(void **state)
{
    enum { MANY = 400 };
    static int fds[MANY];
    struct endpoint where = at("127.0.0.1:0");
    unsigned by_netlink = 0, by_proc = 0;
    int fd = listener(&where);
    assert_int_equal(listen(fd, MANY), 0);
    for (int i = 0; i < MANY; i++)
        fds[i] = client(&where);
    assert_int_equal(agent_sockets_netlink(where.port, count, &by_netlink), 0);
    assert_int_equal(by_netlink, MANY + 1);
    by_netlink = 0;
    assert_int_equal(agent_sockets_netlink(0, count, &by_netlink), 0);
    assert_int_equal(agent_sockets_proc("/proc", count, &by_proc), 0);
    assert_true(by_netlink >= 2 * MANY + 1 && by_proc >= 2 * MANY + 1);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    close(fd);
}

/* ---- is it news ---- */

static void test_changed(void **state)
{
    const struct agent_load base = {.known = 15,
                                    .listeners = 1,
                                    .connections = 100,
                                    .pending = 4,
                                    .ram_free = 500,
                                    .ram_total = 1000,
                                    .swap_free = 90,
                                    .swap_total = 100,
                                    .cpu_idle = 0.5,
                                    .running = 2,
                                    .processors = 2};
    struct agent_load l = base;
    assert_false(agent_load_changed_much(&base, &l));
#define CASE(field, value, want)                                                                                       \
    do {                                                                                                               \
        l = base;                                                                                                      \
        l.field = (value);                                                                                             \
        assert_int_equal(agent_load_changed_much(&base, &l), (want));                                                  \
        assert_int_equal(agent_load_changed_much(&l, &base), (want));                                                  \
    } while (0)
    CASE(listeners, 0, true);
    CASE(listeners, 2, false);
    CASE(connections, 115, false);
    CASE(connections, 130, true);
    CASE(pending, 8, false);
    CASE(pending, 9, true);
    CASE(ram_free, 450, false);
    CASE(ram_free, 390, true);
    CASE(swap_free, 79, true);
    CASE(cpu_idle, 0.35, false);
    CASE(cpu_idle, 0.1, true);
    CASE(running, 5, false);
    CASE(running, 7, true);
    l = base;
    l.ram_free = 49; /* nearly none left is news, however little it takes */
    struct agent_load before = base;
    before.ram_free = 51;
    assert_true(agent_load_changed_much(&before, &l));
    before.known = 0;
    assert_true(agent_load_changed_much(&before, &base)); /* known for the first time */
    assert_false(agent_load_changed_much(&base, &before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fake), cmocka_unit_test(test_missing), cmocka_unit_test(test_real),
        cmocka_unit_test(test_many), cmocka_unit_test(test_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
