/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket and the metrics page, through real sockets. */
#include "../cmocka_pm.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "api/control.h"
#include "api/metrics.h"
#include "base/arena.h"
#include "fake_world.h"
#include "server_thread.h"

static struct server_thread *server;

static int setup(void **state)
{
    fake_world_init();
    server = server_thread_start(0);
    return 0;
}
static int setup_impatient(void **state)
{
    fake_world_init();
    server = server_thread_start(200);
    return 0;
}
static int teardown(void **state)
{
    server_thread_stop(server);
    fake_world_fini();
    return 0;
}

static int unix_connect(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 5};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", server_thread_path(server));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static void say(int fd, const char *s, size_t len)
{
    while (len) {
        ssize_t n = send(fd, s, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        s += n;
        len -= (size_t)n;
    }
}

/* Until `lines` line ends or the end of the connection. */
static void hear(int fd, struct buf *out, unsigned lines)
{
    char chunk[65536];
    while (lines) {
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n <= 0) {
            assert_true(n == 0 || errno == ECONNRESET);
            return;
        }
        for (ssize_t i = 0; i < n; i++)
            lines -= chunk[i] == '\n' && lines;
        buf_add(out, chunk, (size_t)n);
    }
}

static void test_requests(void **state)
{
    static const char both[] = "{\"cmd\":\"overrides\"}\n\n{\"cmd\":\"nope\"}\r\n";
    struct buf b = BUF_INIT;
    struct stat st;
    int fd = unix_connect();
    assert_int_equal(stat(server_thread_path(server), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    for (size_t i = 0; i < sizeof both - 1; i++) /* byte by byte */
        say(fd, both + i, 1);
    hear(fd, &b, 2);
    assert_string_equal(
        buf_str(&b),
        "{\"ok\":true,\"data\":{\"overrides\":[]}}\n"
        "{\"ok\":false,\"error\":\"unknown-command\",\"message\":\"there is no command \\\"nope\\\"\"}\n");
    /* A client that has said all still hears all. */
    buf_clear(&b);
    say(fd, "{\"cmd\":\"overrides\"}\n{\"cmd\":\"overr", 29);
    shutdown(fd, SHUT_WR);
    hear(fd, &b, 2);
    assert_string_equal(buf_str(&b), "{\"ok\":true,\"data\":{\"overrides\":[]}}\n");
    close(fd);
    buf_fini(&b);
}

static void test_too_big(void **state)
{
    struct buf b = BUF_INIT;
    size_t len = CONTROL_REQUEST_MAX + 10;
    char *big = mem_alloc(len);
    int fd = unix_connect();
    memset(big, 'x', len);
    say(fd, big, len);
    hear(fd, &b, 9);
    assert_non_null(strstr(buf_str(&b), "\"too-big\""));
    close(fd);
    buf_fini(&b);
    free(big);
}

static void test_busy(void **state)
{
    int fd[CONTROL_CLIENTS];
    struct buf b = BUF_INIT;
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        fd[i] = unix_connect();
    say(fd[CONTROL_CLIENTS - 1], "{\"cmd\":\"overrides\"}\n", 20);
    hear(fd[CONTROL_CLIENTS - 1], &b, 1);
    assert_non_null(strstr(buf_str(&b), "\"ok\":true"));
    buf_clear(&b);
    int more = unix_connect();
    hear(more, &b, 9);
    assert_non_null(strstr(buf_str(&b), "\"busy\""));
    close(more);
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        close(fd[i]);
    /* Room again, once the server has seen them go. */
    bool again = false;
    for (int try = 0; try < 100 && !again; try++) {
        buf_clear(&b);
        more = unix_connect();
        (void)!send(more, "{\"cmd\":\"overrides\"}\n", 20, MSG_NOSIGNAL);
        hear(more, &b, 1);
        again = strstr(buf_str(&b), "\"ok\":true");
        close(more);
        usleep(again ? 0 : 10000);
    }
    assert_true(again);
    buf_fini(&b);
}

/* A client that asks much and takes nothing stops being read, and then gets every answer in order. */
static void test_slow_reader(void **state)
{
    enum { ASKED = 20000 };
    static const char line[] = "{\"cmd\":\"status\"}\n";
    struct buf b = BUF_INIT;
    int fd = unix_connect();
    unsigned sent = 0;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (int idle = 0; sent < ASKED && idle < 20;) {
        ssize_t n = send(fd, line, sizeof line - 1, MSG_NOSIGNAL);
        idle = n < 0 ? idle + 1 : 0;
        if (n < 0)
            usleep(10000);
        else if ((size_t)n < sizeof line - 1) {
            fcntl(fd, F_SETFL, 0);
            break; /* half a line: the rest would be said by whoever reads */
        } else
            sent++;
    }
    assert_true(sent < ASKED); /* it was stopped long before */
    fcntl(fd, F_SETFL, 0);
    shutdown(fd, SHUT_WR);
    hear(fd, &b, sent);
    unsigned lines = 0;
    for (size_t i = 0; i < b.len; i++)
        lines += b.data[i] == '\n';
    assert_int_equal(lines, sent);
    close(fd);
    buf_fini(&b);
}

/* An answer that no queue may hold is refused in words, and the connection lives on. */
static void test_answer_too_big(void **state)
{
    struct buf b = BUF_INIT;
    size_t len = CONTROL_QUEUE_MAX + 1;
    fake.reload_report = mem_alloc(len + 1);
    memset(fake.reload_report, 'x', len);
    int fd = unix_connect();
    say(fd, "{\"cmd\":\"reload\"}\n{\"cmd\":\"overrides\"}\n", 37);
    hear(fd, &b, 2);
    assert_memory_equal(buf_str(&b), "{\"ok\":false,\"error\":\"too-big\"", 29);
    assert_non_null(strstr(buf_str(&b), "\n{\"ok\":true"));
    close(fd);
    free(fake.reload_report);
    fake.reload_report = NULL;
    buf_fini(&b);
}

static void test_idle(void **state)
{
    struct buf b = BUF_INIT;
    int fd = unix_connect();
    hear(fd, &b, 1);
    assert_int_equal(b.len, 0); /* closed, not timed out: hear() would have failed */
    close(fd);
}

static int start_another(const char *path, const char *group, struct buf *problem)
{
    uv_loop_t loop;
    struct control *c = NULL;
    uv_loop_init(&loop);
    int err = control_start(&loop, &fake.host, &(struct control_options){.path = path, .group = group}, &c, problem);
    if (!err)
        control_stop(c);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return err;
}

static void test_socket_file(void **state)
{
    char path[104], longer[200];
    struct buf problem = BUF_INIT;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    /* Somebody answers there. */
    assert_int_equal(start_another(server_thread_path(server), NULL, &problem), PM_EINUSE);
    assert_int_equal(access(server_thread_path(server), F_OK), 0);
    /* Left behind by one that died. */
    snprintf(path, sizeof path, "%s.stale", server_thread_path(server));
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    close(fd);
    buf_clear(&problem);
    assert_int_equal(start_another(path, NULL, &problem), PM_OK);
    assert_int_not_equal(access(path, F_OK), 0);
    /* Not a socket: nobody's business to remove. */
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_int_equal(start_another(path, NULL, &problem), PM_EEXISTS);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    assert_int_equal(start_another(path, "no-such-group-here", &problem), PM_ENOTFOUND);
    assert_int_not_equal(access(path, F_OK), 0);
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_int_equal(start_another(longer, NULL, &problem), PM_ETOOBIG);
    assert_int_equal(start_another("/nowhere/at/all.sock", NULL, &problem), PM_ENOTFOUND);
    buf_fini(&problem);
}

/* ---- metrics ---- */

static void http(const char *request, size_t len, struct buf *out)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons(server_thread_port(server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    say(fd, request, len);
    hear(fd, out, UINT32_MAX);
    close(fd);
}

static void expect(const char *request, const char *status, const char *body)
{
    struct buf b = BUF_INIT;
    http(request, strlen(request), &b);
    if (strncmp(buf_str(&b), status, strlen(status)) != 0)
        fail_msg("%s -> %.60s", request, buf_str(&b));
    const char *at = strstr(buf_str(&b), "\r\n\r\n");
    assert_non_null(at);
    if (body)
        assert_string_equal(at + 4, body);
    buf_fini(&b);
}

static void test_http(void **state)
{
    expect("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "ok\n");
    expect("GET /health?x=1 HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "ok\n");
    expect("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", "");
    expect("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n", NULL);
    expect("GET /metricsx HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 ", NULL);
    expect("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 405 ", NULL);
    expect("GET /metrics\r\n\r\n", "HTTP/1.1 400 ", NULL);
    expect("\r\n\r\n", "HTTP/1.1 400 ", NULL);
    expect("GET  /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", NULL);
    struct buf big = BUF_INIT, b = BUF_INIT;
    buf_puts(&big, "GET / HTTP/1.1\r\nX: ");
    while (big.len < METRICS_HEAD_MAX + 100)
        buf_puts(&big, "aaaaaaaaaaaaaaaa");
    http(big.data, big.len, &b);
    assert_memory_equal(buf_str(&b), "HTTP/1.1 431 ", 13);
    buf_fini(&big);
    buf_fini(&b);
}

/* The rules of the text format: HELP and TYPE once and first, then all values of that family, each well formed. */
static void check_page(const char *page)
{
    char family[128] = "", seen[64][128];
    unsigned families = 0, lines = 0;
    for (const char *line = page, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        lines++;
        if (strncmp(line, "# HELP ", 7) == 0) {
            size_t n = strcspn(line + 7, " ");
            snprintf(family, sizeof family, "%.*s", (int)n, line + 7);
            for (unsigned i = 0; i < families; i++)
                assert_string_not_equal(seen[i], family);
            strcpy(seen[families++], family);
            assert_memory_equal(end + 1, "# TYPE ", 7);
            continue;
        }
        if (strncmp(line, "# TYPE ", 7) == 0)
            continue;
        size_t n = strcspn(line, "{ ");
        if (n != strlen(family) || memcmp(line, family, n) != 0)
            fail_msg("out of its family: %.*s", (int)(end - line), line);
        const char *value = line + n;
        if (*value == '{') {
            bool quoted = false;
            for (value++; quoted || *value != '}'; value++) {
                assert_true(value < end);
                if (*value == '\\')
                    value++;
                else if (*value == '"')
                    quoted = !quoted;
            }
            value++;
        }
        char *stop;
        strtod(value, &stop);
        assert_ptr_equal(stop, end);
    }
    assert_true(families > 10 && lines > 30);
}

static void test_metrics(void **state)
{
    struct buf b = BUF_INIT;
    metrics_page(&fake.host, METRICS_VIPS, &b);
    check_page(buf_str(&b));
    assert_non_null(
        strstr(b.data, "\npointsman_vip_up{service=\"www.example.com\",site=\"paris\",address=\"192.0.2.1\"} 1\n"));
    assert_non_null(strstr(b.data, "address=\"192.0.2.9\"} 0\n"));
    assert_non_null(strstr(b.data, "address=\"2001:db8::9\"} NaN\n"));
    assert_non_null(strstr(b.data, "\npointsman_vip_response_seconds{service=\"www.example.com\",site=\"paris\","
                                   "address=\"192.0.2.1\"} 0.0125\n"));
    assert_non_null(strstr(b.data, "\npointsman_checks{state=\"up\"} 2\n"));
    assert_non_null(strstr(b.data, API_QUERIES "{proto=\"udp\"} 100\n" API_QUERIES "{proto=\"tcp\"} 20\n"));
    assert_non_null(strstr(b.data, "\npointsman_uptime_seconds 60\n"));
    /* Too many VIPs: sites only. */
    buf_clear(&b);
    metrics_page(&fake.host, 3, &b);
    assert_null(strstr(b.data, "pointsman_vip_up"));
    assert_non_null(strstr(b.data, "\npointsman_vips_omitted 4\n"));
    assert_non_null(strstr(b.data, "\npointsman_site_vips{site=\"tokyo\",health=\"down\"} 1\n"));
    buf_clear(&b);
    metrics_label(&b, "a\"b\\c\nd");
    assert_string_equal(buf_str(&b), "a\\\"b\\\\c\\nd");
    buf_fini(&b);
}

static void test_metrics_http(void **state)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    struct buf b = BUF_INIT;
    http(request, sizeof request - 1, &b);
    const char *body = strstr(buf_str(&b), "\r\n\r\n"), *length = strstr(buf_str(&b), "Content-Length: ");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), atoi(length + 16));
    check_page(body + 4);
    buf_fini(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_requests),       TEST(test_too_big),
        TEST(test_busy),           TEST(test_slow_reader),
        TEST(test_socket_file),    TEST(test_http),
        TEST(test_metrics),        TEST(test_metrics_http),
        TEST(test_answer_too_big), cmocka_unit_test_setup_teardown(test_idle, setup_impatient, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
