/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <netinet/in.h>

static uint8_t answer[65535];

struct fixture {
    struct endpoint at;
    struct respond_options o;
    struct respond_service *s;
};

static struct fixture start(void (*adjust)(struct respond_options *))
{
    struct fixture f = {.at = rig_at("127.0.0.1", rig_port()), .o = rig_options(1)};
    if (adjust)
        adjust(&f.o);
    f.s = rig_start(&f.o, &f.at, 1);
    return f;
}

static void expect(int fd, uint16_t id)
{
    assert_true(rig_tcp_answer(fd, answer) >= 13);
    assert_int_equal(answer[0] << 8 | answer[1], id);
    assert_true(answer[2] & 0x80);
}

static bool at_end(int fd)
{
    uint8_t b;
    return recv(fd, &b, 1, 0) <= 0 && errno != EAGAIN;
}

static void pipelined_in_one_write(void **state)
{
    enum { QUERIES = 2000 };
    static uint8_t all[QUERIES * 32];
    struct fixture f = start(NULL);
    size_t len = 0;
    for (unsigned i = 0; i < QUERIES; i++) {
        size_t n = rig_query(all + len + 2, (uint16_t)i, i % 3 ? "E" : "EEEEEEEEE");
        all[len] = 0;
        all[len + 1] = (uint8_t)n;
        len += 2 + n;
    }
    int fd = rig_connect(SOCK_STREAM, &f.at);
    assert_int_equal(send(fd, all, len, 0), len);
    for (unsigned i = 0; i < QUERIES; i++)
        expect(fd, (uint16_t)i);
    rig_await(f.s, RESPOND_TCP4_QUERIES, QUERIES);
    close(fd);
    rig_await(f.s, RESPOND_TCP_CLOSED_CLIENT, 1);
    respond_stop(f.s, 0);
}

static void byte_by_byte(void **state)
{
    struct fixture f = start(NULL);
    int fd = rig_connect(SOCK_STREAM, &f.at), on = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    for (unsigned round = 0; round < 3; round++) {
        uint8_t q[32] = {0};
        size_t n = rig_query(q + 2, (uint16_t)(500 + round), "E");
        q[1] = (uint8_t)n;
        for (size_t i = 0; i < n + 2; i++) {
            assert_int_equal(send(fd, q + i, 1, 0), 1);
            usleep(300);
        }
        expect(fd, (uint16_t)(500 + round));
    }
    close(fd);
    respond_stop(f.s, 0);
}

/* The longest message there is, both ways, in pieces. */
static void longest_messages(void **state)
{
    static uint8_t q[2 + 65535];
    struct fixture f = start(NULL);
    int fd = rig_connect(SOCK_STREAM, &f.at);
    q[0] = q[1] = 0xff;
    for (unsigned round = 0; round < 3; round++) {
        rig_query(q + 2, (uint16_t)round, "E");
        q[65536] = (uint8_t)round;
        for (size_t at = 0; at < sizeof q;) {
            size_t n = sizeof q - at < 7000 ? sizeof q - at : 7000;
            assert_int_equal(send(fd, q + at, n, 0), n);
            at += n;
        }
        assert_int_equal(rig_tcp_answer(fd, answer), 65535);
        assert_int_equal(answer[65534], round);
    }
    close(fd);
    respond_stop(f.s, 0);
}

static void short_write_limit(struct respond_options *o)
{
    o->tcp_write_ms = 300;
}

/* 12 MB of answers to a client that begins to read late: all come, in order, and the server holds
 * little. */
static void slow_reader_gets_everything(void **state)
{
    enum { QUERIES = 200 };
    struct fixture f = start(NULL);
    int fd = rig_connect(SOCK_STREAM, &f.at);
    char what[3] = {'B', 60, 0};
    for (unsigned i = 0; i < QUERIES; i++)
        rig_tcp_send(fd, (uint16_t)i, what);
    usleep(200000);
    assert_true(rig_stat(f.s, RESPOND_TCP4_QUERIES) < QUERIES); /* it stopped reading */
    for (unsigned i = 0; i < QUERIES; i++) {
        assert_int_equal(rig_tcp_answer(fd, answer), 60 * 1024);
        assert_int_equal(answer[0] << 8 | answer[1], i);
        assert_int_equal(answer[60 * 1024 - 1], i & 255);
    }
    close(fd);
    respond_stop(f.s, 0);
}

static void reader_that_never_reads_is_cut(void **state)
{
    struct fixture f = start(short_write_limit);
    int fd = rig_connect(SOCK_STREAM, &f.at), other = rig_connect(SOCK_STREAM, &f.at);
    char what[3] = {'B', 60, 0};
    for (unsigned i = 0; i < 300; i++)
        rig_tcp_send(fd, (uint16_t)i, what);
    rig_tcp_send(other, 9, "E"); /* others are served meanwhile */
    expect(other, 9);
    rig_await(f.s, RESPOND_TCP_CLOSED_SLOW_READER, 1);
    close(fd);
    close(other);
    respond_stop(f.s, 0);
}

static void little_memory(struct respond_options *o)
{
    o->tcp_memory = 100000;
}

static void memory_is_bounded(void **state)
{
    struct fixture f = start(little_memory);
    char what[3] = {'B', 60, 0};
    int fds[8], small = 8192; /* else the kernel's growing buffers take it all */
    for (unsigned k = 0; k < 8; k++) {
        fds[k] = rig_connect(SOCK_STREAM, &f.at);
        setsockopt(fds[k], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        for (unsigned i = 0; i < 120; i++) {
            uint8_t q[32] = {0};
            size_t n = rig_query(q + 2, (uint16_t)i, what);
            q[1] = (uint8_t)n;
            if (send(fds[k], q, n + 2, MSG_NOSIGNAL) < 0)
                break; /* cut, as it should be */
        }
    }
    for (unsigned i = 0; i < 3000 && rig_stat(f.s, RESPOND_TCP_CLOSED_MEMORY) < 6; i++)
        usleep(1000);
    assert_true(rig_stat(f.s, RESPOND_TCP_CLOSED_MEMORY) >= 6);
    assert_true(rig_ask_at(&f.at, 1));
    for (unsigned k = 0; k < 8; k++)
        close(fds[k]);
    respond_stop(f.s, 0);
}

static void short_limits(struct respond_options *o)
{
    o->tcp_idle_ms = 1500;
    o->tcp_query_ms = 300;
}

/* A query that trickles in is cut, however regularly its bytes come; a merely idle client stays
 * longer. */
static void slow_writer_is_cut_and_idle_expires(void **state)
{
    struct fixture f = start(short_limits);
    int slow = rig_connect(SOCK_STREAM, &f.at), idle = rig_connect(SOCK_STREAM, &f.at);
    uint8_t q[64] = {0, 50};
    uint64_t begin = clock_mono_ms(&clock_system);
    for (unsigned i = 0; i < 52 && rig_stat(f.s, RESPOND_TCP_CLOSED_SLOW_QUERY) == 0; i++) {
        if (send(slow, q + i, 1, MSG_NOSIGNAL) < 0)
            break;
        usleep(40000);
    }
    rig_await(f.s, RESPOND_TCP_CLOSED_SLOW_QUERY, 1);
    assert_true(clock_mono_ms(&clock_system) - begin < 1400);
    assert_int_equal(rig_stat(f.s, RESPOND_TCP_CLOSED_IDLE), 0);
    rig_tcp_send(idle, 4, "E");
    expect(idle, 4);
    assert_true(at_end(idle));
    rig_await(f.s, RESPOND_TCP_CLOSED_IDLE, 1);
    close(slow);
    close(idle);
    respond_stop(f.s, 0);
}

static void thousand_idle_clients(void **state)
{
    enum { CLIENTS = 1000 };
    static int fds[CLIENTS];
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    if (limit.rlim_cur < 2 * CLIENTS + 100)
        skip();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    struct fixture f = start(NULL);
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = rig_connect(SOCK_STREAM, &f.at);
        assert_true(fds[i] >= 0);
    }
    rig_await(f.s, RESPOND_TCP_ACCEPTED, CLIENTS);
    for (unsigned i = 0; i < CLIENTS; i++)
        rig_tcp_send(fds[i], (uint16_t)i, "E");
    for (unsigned i = 0; i < CLIENTS; i++)
        expect(fds[i], (uint16_t)i);
    assert_int_equal(rig_stat(f.s, RESPOND_TCP_CLOSED_FULL), 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(fds[i]);
    rig_await(f.s, RESPOND_TCP_CLOSED_CLIENT, CLIENTS);
    respond_stop(f.s, 0);
}

static void eight_clients(struct respond_options *o)
{
    o->tcp_clients = 8;
}

static void oldest_idle_makes_room(void **state)
{
    struct fixture f = start(eight_clients);
    int fds[12];
    for (unsigned i = 0; i < 8; i++) {
        fds[i] = rig_connect(SOCK_STREAM, &f.at);
        rig_tcp_send(fds[i], (uint16_t)i, "E");
        expect(fds[i], (uint16_t)i);
    }
    rig_tcp_send(fds[0], 100, "E"); /* now the most recent */
    expect(fds[0], 100);
    for (unsigned i = 8; i < 12; i++) {
        fds[i] = rig_connect(SOCK_STREAM, &f.at);
        rig_tcp_send(fds[i], (uint16_t)i, "E");
        expect(fds[i], (uint16_t)i);
    }
    rig_await(f.s, RESPOND_TCP_CLOSED_FULL, 4);
    for (unsigned i = 1; i < 5; i++)
        assert_true(at_end(fds[i]));
    rig_tcp_send(fds[0], 101, "E");
    expect(fds[0], 101);
    for (unsigned i = 0; i < 12; i++)
        close(fds[i]);
    respond_stop(f.s, 0);
}

static void half_close_reset_and_garbage(void **state)
{
    struct fixture f = start(NULL);
    int fd = rig_connect(SOCK_STREAM, &f.at);
    for (uint16_t i = 0; i < 3; i++)
        rig_tcp_send(fd, i, i == 1 ? "B\x3c" : "E");
    shutdown(fd, SHUT_WR);
    for (uint16_t i = 0; i < 3; i++)
        expect(fd, i);
    assert_true(at_end(fd));
    close(fd);
    rig_await(f.s, RESPOND_TCP_CLOSED_CLIENT, 1);

    fd = rig_connect(SOCK_STREAM, &f.at);
    rig_tcp_send(fd, 1, "E");
    expect(fd, 1);
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    rig_await(f.s, RESPOND_TCP_CLOSED_RESET, 1);

    fd = rig_connect(SOCK_STREAM, &f.at);
    rig_tcp_send(fd, 1, "E");
    assert_int_equal(send(fd, "\0\3abc", 5, 0), 5); /* the query before it is still answered */
    expect(fd, 1);
    assert_true(at_end(fd));
    rig_await(f.s, RESPOND_TCP_CLOSED_MALFORMED, 1);
    close(fd);
    respond_stop(f.s, 0);
}

static void *stop_lingering(void *arg)
{
    respond_stop(arg, 3000);
    return NULL;
}

static void stop_lingers_for_clients(void **state)
{
    struct fixture f = start(NULL);
    int fd = rig_connect(SOCK_STREAM, &f.at);
    rig_tcp_send(fd, 1, "E");
    expect(fd, 1);
    pthread_t id;
    uint64_t begin = clock_mono_ms(&clock_system);
    assert_int_equal(pthread_create(&id, NULL, stop_lingering, f.s), 0);
    usleep(300000);
    rig_tcp_send(fd, 2, "E");
    expect(fd, 2);
    close(fd); /* the last one gone: no reason to wait longer */
    pthread_join(id, NULL);
    assert_true(clock_mono_ms(&clock_system) - begin < 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelined_in_one_write),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(longest_messages),
        cmocka_unit_test(slow_reader_gets_everything),
        cmocka_unit_test(reader_that_never_reads_is_cut),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(slow_writer_is_cut_and_idle_expires),
        cmocka_unit_test(thousand_idle_clients),
        cmocka_unit_test(oldest_idle_makes_room),
        cmocka_unit_test(half_close_reset_and_garbage),
        cmocka_unit_test(stop_lingers_for_clients),
    };
    return cmocka_run_group_tests_name("respond/tcp", tests, NULL, NULL);
}
