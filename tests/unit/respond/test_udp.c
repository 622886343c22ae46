/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <urcu-qsbr.h>

static void both_families_and_protocols(void **state)
{
    uint16_t port = rig_port();
    struct endpoint at[] = {rig_at("127.0.0.1", port), rig_at("::1", port)};
    struct respond_options o = rig_options(2);
    struct respond_service *s = rig_start(&o, at, 2);
    uint8_t a[65535];
    assert_int_equal(respond_thread_count(s), 2 + 2 * 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(rig_ask_at(&at[i], 7));
        int fd = rig_connect(SOCK_STREAM, &at[i]);
        rig_tcp_send(fd, 8, "E");
        assert_int_equal(rig_tcp_answer(fd, a), 13);
        assert_int_equal(a[1], 8);
        close(fd);
    }
    uint64_t calls;
    respond_counters(s, &calls);
    assert_int_equal(calls, 4);
    assert_int_equal(rig_stat(s, RESPOND_UDP4_QUERIES), 1);
    assert_int_equal(rig_stat(s, RESPOND_UDP6_QUERIES), 1);
    assert_int_equal(rig_stat(s, RESPOND_TCP4_QUERIES), 1);
    assert_int_equal(rig_stat(s, RESPOND_TCP6_QUERIES), 1);
    respond_stop(s, 0);
}

/* Asks from an unconnected socket, so an answer from a wrong source would be seen, not filtered. */
static void ask_wildcard(const char *addr, uint16_t port)
{
    struct endpoint to = rig_at(addr, port), from;
    struct endpoint any = rig_at(to.addr.family == ADDR_V4 ? "0.0.0.0" : "::", 0);
    struct sockaddr_storage ss;
    socklen_t len = endpoint_to_sockaddr(&to, &ss);
    struct timeval limit = {5, 0};
    char text[ENDPOINT_TEXT];
    uint8_t q[64], a[128];
    size_t n = rig_query(q, 99, "L");
    int fd = rig_socket(SOCK_DGRAM, &any);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(sendto(fd, q, n, 0, (struct sockaddr *)&ss, len), n);
    len = sizeof ss;
    ssize_t got = recvfrom(fd, a, sizeof a, 0, (struct sockaddr *)&ss, &len);
    close(fd);
    endpoint_format(&to, text);
    assert_int_equal(got, n + strlen(text));
    assert_memory_equal(a + n, text, strlen(text));
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, &from), PM_OK);
    assert_true(addr_eq(&from.addr, &to.addr));
    assert_int_equal(from.port, port);
}

static void wildcard_answers_from_the_address_asked(void **state)
{
    uint16_t port = rig_port();
    struct endpoint at[] = {rig_at("0.0.0.0", port), rig_at("::", port)};
    struct respond_options o = rig_options(2);
    struct respond_service *s = rig_start(&o, at, 2);
    uint8_t a[65535];
    char text[ENDPOINT_TEXT];
    for (unsigned i = 1; i < 40; i++) {
        snprintf(text, sizeof text, "127.0.%u.%u", i % 3, i);
        ask_wildcard(text, port);
    }
    ask_wildcard("::1", port);
    struct endpoint to = rig_at("127.0.0.9", port);
    int fd = rig_connect(SOCK_STREAM, &to);
    rig_tcp_send(fd, 1, "L");
    endpoint_format(&to, text);
    assert_int_equal(rig_tcp_answer(fd, a), 13 + strlen(text));
    assert_memory_equal(a + 13, text, strlen(text));
    close(fd);
    respond_stop(s, 0);
}

static void bad_datagrams_are_dropped_and_counted(void **state)
{
    struct endpoint at = rig_at("127.0.0.1", rig_port());
    struct respond_options o = rig_options(1);
    struct respond_service *s = rig_start(&o, &at, 1);
    static uint8_t data[9000];
    int fd = rig_connect(SOCK_DGRAM, &at);
    assert_int_equal(send(fd, data, 0, 0), 0);
    assert_int_equal(send(fd, data, 11, 0), 11);
    assert_int_equal(send(fd, data, 1537, 0), 1537);
    assert_int_equal(send(fd, data, 9000, 0), 9000);
    size_t n = rig_query(data, 1, "D");
    assert_int_equal(send(fd, data, n, 0), n);
    rig_await(s, RESPOND_DROPPED, 1);
    assert_int_equal(rig_stat(s, RESPOND_UDP_EMPTY), 1);
    assert_int_equal(rig_stat(s, RESPOND_MALFORMED), 1);
    assert_int_equal(rig_stat(s, RESPOND_UDP_TRUNCATED), 2);
    assert_int_equal(recv(fd, data, sizeof data, MSG_DONTWAIT), -1);
    assert_true(rig_ask(fd, 3)); /* and it still serves */
    close(fd);
    respond_stop(s, 0);
}

static void source_port_zero_is_dropped(void **state)
{
    int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);
    if (raw < 0)
        skip(); /* needs CAP_NET_RAW */
    struct endpoint at = rig_at("127.0.0.1", rig_port());
    struct respond_options o = rig_options(1);
    struct respond_service *s = rig_start(&o, &at, 1);
    uint8_t p[8 + 13] = {0, 0, (uint8_t)(at.port >> 8), (uint8_t)at.port, 0, 21, 0, 0};
    struct sockaddr_storage ss;
    socklen_t len = endpoint_to_sockaddr(&at, &ss);
    rig_query(p + 8, 5, "E");
    assert_int_equal(sendto(raw, p, sizeof p, 0, (struct sockaddr *)&ss, len), sizeof p);
    rig_await(s, RESPOND_UDP_PORT_ZERO, 1);
    uint64_t calls;
    respond_counters(s, &calls);
    assert_int_equal(calls, 0);
    close(raw);
    respond_stop(s, 0);
}

static void many_addresses_per_thread(void **state)
{
    enum { ADDRESSES = 11 };
    uint16_t port = rig_port();
    struct endpoint at[ADDRESSES];
    char text[32];
    for (unsigned i = 0; i < ADDRESSES; i++) {
        snprintf(text, sizeof text, "127.0.0.%u", i + 1);
        at[i] = rig_at(text, port);
    }
    struct respond_options o = rig_options(2);
    struct respond_service *s = rig_start(&o, at, ADDRESSES);
    assert_int_equal(respond_thread_count(s), 2 + 2 * RESPOND_LANES);
    for (unsigned i = 0; i < 20 * ADDRESSES; i++)
        assert_true(rig_ask_at(&at[i % ADDRESSES], (uint16_t)i));
    respond_stop(s, 0);
}

static void reconfigure_loses_nothing(void **state)
{
    uint16_t port = rig_port();
    struct endpoint at[] = {rig_at("127.0.0.1", port), rig_at("127.0.0.2", port),
                            rig_at("::1", port),       rig_at("127.0.0.3", port),
                            rig_at("127.0.0.4", port), rig_at("127.0.0.5", port)};
    struct respond_options o = rig_options(2);
    struct respond_service *s = rig_start(&o, at, 1);
    struct buf why = BUF_INIT;
    struct rig_load load[2];
    rig_load_start(&load[0], &at[0], false);
    rig_load_start(&load[1], &at[0], true);
    for (unsigned round = 0; round < 60; round++) {
        unsigned n = 1 + round % 6;
        assert_int_equal(respond_reconfigure(s, at, n, &why), PM_OK);
        for (unsigned i = 1; i < 6; i++) {
            int fd = rig_connect(SOCK_DGRAM, &at[i]);
            assert_true(rig_ask(fd, (uint16_t)round) ==
                        (i < n)); /* refused at once when not served */
            close(fd);
        }
    }
    rig_load_stop(&load[0]);
    rig_load_stop(&load[1]);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(load[i].asked > 100);
        assert_int_equal(load[i].lost, 0);
    }
    buf_fini(&why);
    respond_stop(s, 0);
}

static void stop_under_load_is_prompt(void **state)
{
    struct endpoint at = rig_at("127.0.0.1", rig_port());
    struct respond_options o = rig_options(2);
    for (unsigned round = 0; round < 3; round++) {
        struct rig_load load[3];
        struct respond_service *s = rig_start(&o, &at, 1);
        for (unsigned i = 0; i < 3; i++)
            rig_load_start(&load[i], &at, i & 1);
        usleep(20000);
        uint64_t start = clock_mono_ms(&clock_system);
        respond_stop(s, 0);
        assert_true(clock_mono_ms(&clock_system) - start < 1000);
        for (unsigned i = 0; i < 3; i++)
            rig_load_stop(&load[i]);
    }
}

/* Idle threads are offline for RCU: a grace period must not wait for a query to come. */
static void idle_threads_hold_no_grace_period(void **state)
{
    uint16_t port = rig_port();
    struct endpoint at[] = {rig_at("127.0.0.1", port), rig_at("::1", port)};
    struct respond_options o = rig_options(2);
    struct respond_service *s = rig_start(&o, at, 2);
    uint64_t start = clock_mono_ms(&clock_system);
    for (unsigned i = 0; i < 10; i++)
        synchronize_rcu();
    assert_true(clock_mono_ms(&clock_system) - start < 1000);
    struct rig_load load;
    rig_load_start(&load, &at[0], false);
    for (unsigned i = 0; i < 100; i++)
        synchronize_rcu();
    rig_load_stop(&load);
    assert_int_equal(load.lost, 0);
    respond_stop(s, 0);
}

static uint64_t cpu_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The file status flags belong to the socket, so whoever shares it after a hand-over can change them. */
static void socket_made_nonblocking_does_not_spin(void **state)
{
    struct endpoint at = rig_at("127.0.0.1", rig_port());
    struct respond_options o = rig_options(1);
    struct respond_service *s = rig_start(&o, &at, 1);
    int fd = respond_sockets(s)->items[0].fd;
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
    assert_true(rig_ask_at(&at, 1)); /* the call under way still blocked */
    uint64_t before = cpu_ms();
    usleep(300000);
    assert_true(cpu_ms() - before < 100);
    assert_true(rig_ask_at(&at, 2));
    respond_stop(s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_families_and_protocols),
        cmocka_unit_test(wildcard_answers_from_the_address_asked),
        cmocka_unit_test(bad_datagrams_are_dropped_and_counted),
        cmocka_unit_test(source_port_zero_is_dropped),
        cmocka_unit_test(many_addresses_per_thread),
        cmocka_unit_test(reconfigure_loses_nothing),
        cmocka_unit_test(stop_under_load_is_prompt),
        cmocka_unit_test(socket_made_nonblocking_does_not_spin),
        cmocka_unit_test(idle_threads_hold_no_grace_period),
    };
    return cmocka_run_group_tests_name("respond/udp", tests, NULL, NULL);
}
