/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <fcntl.h>

/* A second daemon of the same user with SO_REUSEPORT must not share the port in silence. */
static void port_in_use_is_an_error_with_the_address(void **state)
{
    uint16_t port = rig_port();
    struct endpoint at[] = {rig_at("127.0.0.1", port), rig_at("::1", port),
                            rig_at("127.0.0.2", port)};
    struct respond_options o = rig_options(2);
    struct respond_service *first = rig_start(&o, &at[1], 1);
    struct listen_set set;
    struct buf why = BUF_INIT;
    char text[ENDPOINT_TEXT];
    assert_int_equal(respond_listen_open(&o.listen, at, 2, NULL, &set, &why), PM_EINUSE);
    assert_non_null(strstr(buf_str(&why), endpoint_format(&at[1], text)));
    assert_int_equal(set.count, 0);
    buf_clear(&why);

    /* Nor does a reconfiguration that fails change anything. */
    struct respond_service *s = rig_start(&o, at, 1);
    struct endpoint wanted[] = {at[2], at[1]};
    assert_int_equal(respond_reconfigure(s, wanted, 2, &why), PM_EINUSE);
    assert_non_null(strstr(buf_str(&why), endpoint_format(&at[1], text)));
    assert_true(rig_ask_at(&at[0], 1));
    assert_false(rig_ask_at(&at[2], 1));
    buf_clear(&why);

    struct endpoint elsewhere = rig_at("192.0.2.1", port), portless = rig_at("127.0.0.1", 0);
    assert_int_equal(respond_reconfigure(s, &elsewhere, 1, &why), PM_EUNREACH);
    assert_non_null(strstr(buf_str(&why), "192.0.2.1"));
    assert_int_equal(respond_reconfigure(s, &portless, 1, &why), PM_EINVAL);
    assert_true(rig_ask_at(&at[0], 2));
    respond_stop(s, 0);
    respond_stop(first, 0);

    o.listen.freebind = true;
    s = rig_start(&o, &elsewhere, 1);
    respond_stop(s, 0);
    buf_fini(&why);
}

static void wildcard_and_specific_together(void **state)
{
    uint16_t port = rig_port();
    struct endpoint at[] = {rig_at("0.0.0.0", port), rig_at("127.0.0.1", port),
                            rig_at("127.0.0.1", port)};
    struct respond_options o = rig_options(1);
    struct respond_service *s = rig_start(&o, at, 1);
    struct buf why = BUF_INIT;
    assert_int_equal(respond_reconfigure(s, at, 3, &why), PM_OK);
    assert_int_equal(respond_sockets(s)->count, 4); /* the one named twice counts once */
    assert_true(rig_ask_at(&at[1], 1));
    struct endpoint other = rig_at("127.0.0.3", port);
    assert_true(rig_ask_at(&other, 2));
    buf_fini(&why);
    respond_stop(s, 0);
}

/* What a restart does, in one process: duplicate, describe, adopt, start the new, stop the old. */
static struct respond_service *hand_over(struct respond_service *old,
                                         const struct respond_options *o, const struct endpoint *at,
                                         size_t n)
{
    struct listen_set copies, adopted = {NULL, 0}, set;
    struct buf text = BUF_INIT, why = BUF_INIT;
    struct respond_service *s;
    assert_int_equal(respond_listen_copy(respond_sockets(old), &copies), PM_OK);
    respond_listen_export(&copies, &text);
    assert_int_equal(respond_listen_inheritable(&copies, true), PM_OK);
    assert_int_equal(fcntl(copies.items[0].fd, F_GETFD) & FD_CLOEXEC, 0);
    free(copies.items); /* the descriptors live on as numbers in the text, as over execve */
    assert_int_equal(respond_listen_import(buf_str(&text), &adopted, &why), PM_OK);
    assert_true(fcntl(adopted.items[0].fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(respond_listen_open(&o->listen, at, n, &adopted, &set, &why), PM_OK);
    respond_listen_release(&adopted, &set);
    assert_int_equal(respond_start(o, &set, &s, &why), PM_OK);
    respond_stop(old, 0);
    buf_fini(&text);
    buf_fini(&why);
    return s;
}

static void hand_over_loses_nothing(void **state)
{
    uint16_t port = rig_port();
    struct endpoint at[] = {rig_at("127.0.0.1", port), rig_at("::1", port)};
    struct respond_options o = rig_options(2);
    struct respond_service *s = rig_start(&o, at, 2);
    struct rig_load load[3];
    for (unsigned i = 0; i < 3; i++)
        rig_load_start(&load[i], &at[i == 2], i == 1);
    uint8_t a[65535];
    /* Fewer and more threads than there are sockets, so they are shared or doubled up. */
    static const unsigned threads[] = {2, 1, 3, 2, 1};
    for (unsigned round = 0; round < 20; round++) {
        struct respond_options with = rig_options(threads[round % 5]);
        s = hand_over(s, &with, at, 2);
        int fd = rig_connect(SOCK_STREAM, &at[0]);
        rig_tcp_send(fd, 1, "E");
        assert_int_equal(rig_tcp_answer(fd, a), 13);
        close(fd);
        usleep(5000);
    }
    while (load[0].asked + load[1].asked + load[2].asked < 20000)
        s = hand_over(s, &o, at, 2);
    for (unsigned i = 0; i < 3; i++) {
        rig_load_stop(&load[i]);
        assert_int_equal(load[i].lost, 0);
    }
    respond_stop(s, 0);
}

static void import_refuses_what_it_is_not(void **state)
{
    struct endpoint at = rig_at("127.0.0.1", rig_port());
    struct listen_set set = {NULL, 0};
    struct buf why = BUF_INIT;
    char text[128];
    int fd = rig_socket(SOCK_DGRAM, &at), tcp = rig_socket(SOCK_STREAM, &at);
    const char *const forms[] = {"udp 127.0.0.1:%u %d\nudp 127.0.0.1:%u 999\n",
                                 "tcp 127.0.0.1:%u %d\n", "udp 127.0.0.2:%u %d\n",
                                 "udp 127.0.0.1:%u %dx\n", "udp 127.0.0.1:%u %d"};
    for (unsigned i = 0; i < PM_ARRAY_LEN(forms); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, forms[i], at.port, fd, at.port);
#pragma GCC diagnostic pop
        assert_int_equal(respond_listen_import(text, &set, &why), PM_EINVAL);
        assert_int_equal(set.count, 0);
        assert_true(why.len > 0);
        buf_clear(&why);
    }
    assert_int_equal(respond_listen_adopt(tcp, &set, &why),
                     PM_EINVAL); /* bound, but not listening */
    assert_int_equal(respond_listen_adopt(0, &set, &why), PM_EINVAL);
    close(fd);
    close(tcp);
    buf_fini(&why);
}

/* As from a systemd socket unit: one socket each, without SO_REUSEPORT, not blocking; threads share
 * them. */
static void sockets_without_reuseport_are_shared(void **state)
{
    struct endpoint at = rig_at("127.0.0.1", rig_port());
    struct respond_options o = rig_options(3);
    struct listen_set adopted = {NULL, 0}, set;
    struct respond_service *s;
    struct buf why = BUF_INIT;
    uint8_t a[65535];
    int udp = rig_socket(SOCK_DGRAM | SOCK_NONBLOCK, &at), tcp = rig_socket(SOCK_STREAM, &at);
    assert_int_equal(listen(tcp, 16), 0);
    assert_int_equal(respond_listen_adopt(udp, &adopted, &why), PM_OK);
    assert_int_equal(respond_listen_adopt(tcp, &adopted, &why), PM_OK);
    assert_int_equal(respond_listen_open(&o.listen, &at, 1, &adopted, &set, &why), PM_OK);
    respond_listen_release(&adopted, &set);
    assert_int_equal(set.count, 2);
    assert_int_equal(respond_start(&o, &set, &s, &why), PM_OK);
    for (unsigned i = 0; i < 200; i++) {
        assert_true(rig_ask_at(&at, (uint16_t)i));
        int fd = rig_connect(SOCK_STREAM, &at);
        rig_tcp_send(fd, 1, "E");
        assert_int_equal(rig_tcp_answer(fd, a), 13);
        close(fd);
    }
    respond_stop(s, 0);
    buf_fini(&why);
}

/* The variables are for another process: they and the descriptors are left alone. */
static void systemd_variables(void **state)
{
    struct listen_set set = {NULL, 0};
    struct buf why = BUF_INIT;
    char pid[32];
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "1", 1);
    assert_int_equal(respond_listen_systemd(&set, &why), PM_OK);
    assert_int_equal(set.count, 0);
    assert_non_null(getenv("LISTEN_FDS"));

    struct endpoint at = rig_at("127.0.0.1", rig_port());
    int fd = rig_socket(SOCK_DGRAM, &at), saved = fcntl(3, F_DUPFD_CLOEXEC, 10);
    assert_int_equal(dup2(fd, 3), 3);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    assert_int_equal(respond_listen_systemd(&set, &why), PM_OK);
    assert_int_equal(set.count, 1);
    assert_int_equal(set.items[0].fd, 3);
    assert_int_equal(set.items[0].at.port, at.port);
    assert_null(getenv("LISTEN_FDS"));
    if (fd != 3)
        close(fd);
    respond_listen_fini(&set);
    if (saved >= 0) {
        dup2(saved, 3);
        close(saved);
    }
    buf_fini(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(port_in_use_is_an_error_with_the_address),
        cmocka_unit_test(wildcard_and_specific_together),
        cmocka_unit_test(hand_over_loses_nothing),
        cmocka_unit_test(import_refuses_what_it_is_not),
        cmocka_unit_test(sockets_without_reuseport_are_shared),
        cmocka_unit_test(systemd_variables),
    };
    return cmocka_run_group_tests_name("respond/listen", tests, NULL, NULL);
}
