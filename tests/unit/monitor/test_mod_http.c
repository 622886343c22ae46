/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <errno.h>
#include "../../scenario/probe_run.h"
#include "monitor/http_params.h"
#include "scripted.h"

static struct probe_result ask(const struct monitor_module *module, const struct script *script, const char *yaml,
                               uint64_t timeout_ms, char *head)
{
    struct scripted server;
    struct probe_run t;
    scripted_start(&server, script);
    probe_run_open(&t, module, yaml);
    struct probe_result r = probe_run_once(&t, server.at, "www.example.com", timeout_ms);
    probe_run_close(&t);
    scripted_stop(&server);
    if (head)
        memcpy(head, server.head, sizeof(server.head));
    return r;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: "
#define ANSWER(...) ((const struct script[]){{.what = SCRIPT_HEAD}, __VA_ARGS__, {.what = SCRIPT_CLOSE}})
#define SEND(t) {.what = SCRIPT_SEND, .text = (t)}
#define FILL(n) {.what = SCRIPT_FILL, .number = (n)}

struct edge {
    const char *what;
    struct script script[5]; /* after the request's head */
    const char *yaml;
    enum probe_status status;
    const char *why; /* NULL: anything */
    int code;
    uint64_t bytes;
};

static const struct edge edges[] = {
    {"plain", {SEND(OK_HEAD "2\r\n\r\nhi")}, "{}", PROBE_OK, "", 200, 2},
    {"chunked", {SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ngreen\r\n6;x=y\r\n house\r\n0\r\n\r\n")},
     "body: green house", PROBE_OK, "", 200, 11},
    {"chunked, cut", {SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ngreen\r\n6\r\n ho")}, "{}",
     PROBE_CLOSED, NULL, 200, 8},
    {"bad chunk", {SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")}, "{}", PROBE_CLOSED + 100, NULL,
     200, 0},
    {"to the end", {SEND("HTTP/1.0 200 OK\r\n\r\nto the end")}, "body: the end", PROBE_OK, "", 200, 10},
    {"100 before", {SEND("HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD "0\r\n\r\n")}, "{}", PROBE_OK, "", 200, 0},
    {"early close", {SEND(OK_HEAD "100\r\n\r\nhalf")}, "{}", PROBE_CLOSED, "closed before the answer was complete", 200, 4},
    {"nothing", {{.what = SCRIPT_CLOSE}}, "{}", PROBE_CLOSED, "closed without an answer", 0, 0},
    {"reset at once", {{.what = SCRIPT_RESET}}, "{}", PROBE_RESET, NULL, 0, 0},
    {"not HTTP", {SEND("220 mail.example.com ESMTP\r\n")}, "{}", PROBE_FAIL, NULL, 0, 0},
    {"wrong status", {SEND("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")}, "{}", PROBE_FAIL, "status 503", 503, 0},
    {"wanted status", {SEND("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")}, "status: [200, 5xx]", PROBE_OK, "", 503, 0},
    {"outside a range", {SEND("HTTP/1.1 206 Part\r\nContent-Length: 0\r\n\r\n")}, "status: 200-205", PROBE_FAIL,
     "status 206", 206, 0},
    {"redirect", {SEND("HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")}, "status: 2xx", PROBE_FAIL,
     "status 302", 302, 0},
    {"redirects for ever", {SEND("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")},
     "follow-redirects: yes", PROBE_FAIL, NULL, 302, 0},
    {"redirect to a file", {SEND("HTTP/1.1 302 Found\r\nLocation: file:///etc/hostname\r\nContent-Length: 0\r\n\r\n")},
     "follow-redirects: yes", PROBE_LOCAL + 100, NULL, 302, 0},
    {"text missing", {SEND(OK_HEAD "2\r\n\r\nhi")}, "body: ho", PROBE_FAIL, "text 'ho' not in the body", 200, 2},
    {"regex", {SEND(OK_HEAD "16\r\n\r\nload: 7\nusers: 3")}, "body-regex: '^users: \\d+$'", PROBE_OK, "", 200, 16},
    {"regex missing", {SEND(OK_HEAD "2\r\n\r\nhi")}, "body-regex: '^ho'", PROBE_FAIL, "the body does not match", 200, 2},
    {"as large as allowed", {SEND(OK_HEAD "1024\r\n\r\n"), FILL(1024)}, "size-max: 1k", PROBE_OK, "", 200, 1024},
    {"HEAD", {SEND(OK_HEAD "1000000\r\n\r\n")}, "method: HEAD", PROBE_OK, "", 200, 0},
};

static void test_edges(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(edges); i++) {
        const struct edge *e = &edges[i];
        struct script script[7] = {{.what = SCRIPT_HEAD}};
        memcpy(script + 1, e->script, sizeof(e->script));
        struct probe_result r = ask(&monitor_http, script, e->yaml, 2000, NULL);
        bool any_failure = (int)e->status >= 100; /* which one is curl's choice: not good is what counts */
        bool same = any_failure ? r.status != PROBE_OK && r.status != PROBE_TIMEOUT : r.status == e->status;
        if (!same || r.code != e->code || (r.bytes != e->bytes) || (e->why && strcmp(e->why, r.why) != 0))
            fail_msg("%s: %s, '%s', code %d, %llu bytes", e->what, probe_status_name(r.status), r.why, r.code,
                     (unsigned long long)r.bytes);
    }
}

static void test_huge(void **state)
{
    struct probe_result r = ask(&monitor_http, ANSWER(SEND(OK_HEAD "50000000\r\n\r\n"), FILL(50000000)),
                                "body-regex: '^a'", 5000, NULL);
    assert_int_equal(r.status, PROBE_FAIL);
    assert_string_equal(r.why, "answer larger than size-max");
    assert_true(r.bytes < 200000); /* stopped soon after 64k */
    r = ask(&monitor_http, ANSWER(SEND("HTTP/1.1 200 OK\r\n"), SEND("X: "), FILL(50000000)), "{}", 5000, NULL);
    assert_true(r.status == PROBE_FAIL);
}

static void test_slow(void **state)
{
    struct probe_result r =
        ask(&monitor_http, ANSWER({.what = SCRIPT_DRIP, .text = OK_HEAD "2\r\n\r\nhi", .number = 50}), "{}", 300, NULL);
    assert_int_equal(r.status, PROBE_TIMEOUT);
    r = ask(&monitor_http, ANSWER({.what = SCRIPT_DRIP, .text = OK_HEAD "2\r\n\r\nhi", .number = 2}), "{}", 3000, NULL);
    assert_int_equal(r.status, PROBE_OK);
    assert_true(r.duration_ns > 60 * 1000000ull); /* to the last byte */
    r = ask(&monitor_https, ANSWER({.what = SCRIPT_HOLD}), "{}", 300, NULL);
    assert_int_equal(r.status, PROBE_TIMEOUT);
}

/* After the head has come, so that curl reads the reset and not a closed port. */
static void test_reset_in_body(void **state)
{
    struct probe_result r = ask(&monitor_http, ANSWER(SEND(OK_HEAD "100\r\n\r\nhalf"),
                                                      {.what = SCRIPT_DRIP, .text = " and", .number = 20},
                                                      {.what = SCRIPT_RESET}),
                                "{}", 2000, NULL);
    assert_int_equal(r.status, PROBE_RESET);
}

static void test_costly_regex(void **state)
{
    static const char *const patterns[] = {"body-regex: '(a+)+$b'", "body-regex: '(a|aa)+c'", "body-regex: 'a*?a*?a*?b'",
                                           "body-regex: '(?:a*)*b'", "body-regex: '[ab]*[ab]*c'"};
    for (size_t i = 0; i < PM_ARRAY_LEN(patterns); i++) {
        uint64_t t0 = uv_hrtime();
        struct probe_result r =
            ask(&monitor_http, ANSWER(SEND(OK_HEAD "60000\r\n\r\n"), FILL(60000)), patterns[i], 5000, NULL);
        assert_int_equal(r.status, PROBE_FAIL);
        assert_true(strstr(r.why, "too costly") || strstr(r.why, "does not match"));
        if (uv_hrtime() - t0 > 1500000000ull)
            fail_msg("%s held the loop for %llu ms", patterns[i], (unsigned long long)((uv_hrtime() - t0) / 1000000));
    }
}

static void test_request(void **state)
{
    char head[8192];
    (void)ask(&monitor_http, ANSWER(SEND(OK_HEAD "0\r\n\r\n")),
              "{path: '/a/../b?c=d', host: shop.example.com, headers: ['X-Check: 1', 'X-Empty:']}", 2000, head);
    assert_memory_equal(head, "GET /a/../b?c=d HTTP/1.1\r\n", 26);
    assert_non_null(strstr(head, "\r\nHost: shop.example.com:"));
    assert_non_null(strstr(head, "\r\nUser-Agent: pointsman/" PM_VERSION "\r\n"));
    assert_non_null(strstr(head, "\r\nX-Check: 1\r\n"));
    assert_non_null(strstr(head, "\r\nX-Empty:\r\n"));
    (void)ask(&monitor_http, ANSWER(SEND(OK_HEAD "0\r\n\r\n")),
              "{method: OPTIONS, host: 'shop.example.com:8080', headers: 'User-Agent: own'}", 2000, head);
    assert_memory_equal(head, "OPTIONS / HTTP/1.1\r\n", 20);
    assert_non_null(strstr(head, "\r\nHost: shop.example.com:8080\r\n"));
    assert_non_null(strstr(head, "\r\nUser-Agent: own\r\n"));
    (void)ask(&monitor_http, ANSWER(SEND(OK_HEAD "0\r\n\r\n")), "method: POST", 2000, head);
    assert_memory_equal(head, "POST / HTTP/1.1\r\n", 17);
    assert_non_null(strstr(head, "\r\nContent-Length: 0\r\n"));
}

static void test_proxy_environment(void **state)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    struct probe_result r = ask(&monitor_http, ANSWER(SEND(OK_HEAD "0\r\n\r\n")), "{}", 2000, NULL);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(r.status, PROBE_OK);
}

static void test_refused(void **state)
{
    struct scripted server;
    struct probe_run t;
    scripted_start(&server, ANSWER(SEND(OK_HEAD "0\r\n\r\n")));
    scripted_stop(&server);
    probe_run_open(&t, &monitor_http, "{}");
    struct probe_result r = probe_run_once(&t, server.at, "www.example.com", 2000);
    assert_int_equal(r.status, PROBE_REFUSED);
    assert_string_equal(r.why, "Connection refused");
    r = probe_run_once(&t, server.at, "bad/host@x", 2000); /* would be another URL */
    assert_int_equal(r.status, PROBE_LOCAL);
    probe_run_close(&t);
}

/* One connection per iteration, and a pool of handles that keeps nothing of the check before. */
static void test_again(void **state)
{
    struct scripted server;
    struct probe_run t;
    scripted_start(&server, ANSWER(SEND("HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nhi")));
    probe_run_open(&t, &monitor_http, "body: hi");
    for (unsigned i = 0; i < 50; i++) {
        struct probe_result r = probe_run_once(&t, server.at, "www.example.com", 2000);
        assert_int_equal(r.status, PROBE_OK);
        assert_int_equal(r.bytes, 2);
    }
    probe_run_close(&t);
    scripted_stop(&server);
    assert_null(strstr(server.head, "Cookie"));
}

static void test_tls_to_plain(void **state)
{
    static const struct script talk[] = {{.what = SCRIPT_SEND, .text = "HTTP/1.1 400 Bad\r\n\r\n"}, {.what = SCRIPT_HOLD}};
    static const struct script reset[] = {{.what = SCRIPT_DRIP, .text = "\x16", .number = 20}, {.what = SCRIPT_RESET}};
    assert_int_equal(ask(&monitor_https, talk, "{}", 2000, NULL).status, PROBE_TLS);
    assert_int_equal(ask(&monitor_https, reset, "{}", 2000, NULL).status, PROBE_RESET);
}

static void test_bad_params(void **state)
{
    static const char *const bad[] = {
        "path: \"/a\\r\\nX: y\"", "path: \"/a b\"", "path: a", "path: \"/a#b\"", "headers: [\"A: b\\r\\nC: d\"]",
        "headers: [\"A: b\\nC: d\"]", "headers: [\"no colon\"]", "headers: [\"A b: c\"]", "headers: [\"Host: x\"]",
        "headers: [\"Transfer-Encoding: chunked\"]", "method: \"GET / HTTP/1.1\\r\\n\"", "method: CONNECT",
        "host: \"a\\r\\nb\"", "host: \"a/b\"", "host: \"u@b\"", "status: 99", "status: 600", "status: 299-200",
        "status: abc", "status: 20x", "body-regex: \"(\"", "{method: HEAD, body: x}", "size-max: 0",
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++) {
        struct arena *a = arena_new();
        struct buf errors = BUF_INIT;
        if (probe_run_params(&monitor_http, bad[i], a, &errors))
            fail_msg("accepted: %s", bad[i]);
        assert_non_null(strstr(buf_str(&errors), "error:"));
        buf_fini(&errors);
        arena_free(a);
    }
}

static void test_status_table(void **state)
{
    assert_int_equal(curlm_status(CURLE_OK, 0), PROBE_OK);
    assert_int_equal(curlm_status(CURLE_COULDNT_CONNECT, ECONNREFUSED), PROBE_REFUSED);
    assert_int_equal(curlm_status(CURLE_COULDNT_CONNECT, EHOSTUNREACH), PROBE_UNREACH);
    assert_int_equal(curlm_status(CURLE_COULDNT_CONNECT, ENETUNREACH), PROBE_UNREACH);
    assert_int_equal(curlm_status(CURLE_COULDNT_CONNECT, EMFILE), PROBE_LOCAL);
    assert_int_equal(curlm_status(CURLE_COULDNT_CONNECT, ETIMEDOUT), PROBE_TIMEOUT);
    assert_int_equal(curlm_status(CURLE_RECV_ERROR, ECONNRESET), PROBE_RESET);
    assert_int_equal(curlm_status(CURLE_RECV_ERROR, 0), PROBE_CLOSED);
    assert_int_equal(curlm_status(CURLE_SSL_CONNECT_ERROR, 0), PROBE_TLS);
    assert_int_equal(curlm_status(CURLE_SSL_CONNECT_ERROR, ECONNRESET), PROBE_RESET);
    assert_int_equal(curlm_status(CURLE_PEER_FAILED_VERIFICATION, 0), PROBE_TLS);
    assert_int_equal(curlm_status(CURLE_OUT_OF_MEMORY, 0), PROBE_LOCAL);
    assert_int_equal(curlm_status(CURLE_WEIRD_SERVER_REPLY, 0), PROBE_FAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),      cmocka_unit_test(test_huge),
        cmocka_unit_test(test_slow),       cmocka_unit_test(test_reset_in_body),
        cmocka_unit_test(test_costly_regex), cmocka_unit_test(test_request),
        cmocka_unit_test(test_proxy_environment), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_again),      cmocka_unit_test(test_tls_to_plain),
        cmocka_unit_test(test_bad_params), cmocka_unit_test(test_status_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
