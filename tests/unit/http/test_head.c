/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "http/head.h"
#include "http/uri.h"
#include "../cmocka_pm.h"

/* What a request must come to: 0 = accepted, else the status. */
static int outcome(const char *text, size_t len, struct http_head *h)
{
    http_head_init(h);
    int rc = http_request_parse(h, text, len);
    return rc == PM_OK ? 0 : rc == PM_EAGAIN ? -1 : h->status;
}

struct vector {
    const char *text;
    int wanted;
};
#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"

static const struct vector vectors[] = {
    {GET "Host: a\r\n\r\n", 0},
    {GET "host:a\r\n\r\n", 0},
    {GET "Host:\t a \t\r\n\r\n", 0},
    {"\r\n" GET "Host: a\r\n\r\n", 0},
    {"\r\n\r\n" GET "Host: a\r\n\r\n", 400},
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {"GET / HTTP/1.7\r\nHost: a\r\n\r\n", 0},
    {"FOO-bar /x?y=z HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"GET http://b.example:80/x HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"GET http://b.example?x HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {GET "Host: [2001:db8::1]:8080\r\n\r\n", 0},
    {GET "Host: \r\n\r\n", 0},
    {GET "Host: a\r\nX: caf\xc3\xa9\r\n\r\n", 0},
    {GET "Host: a\r\nX:\r\n\r\n", 0},
    {"", -1},
    {GET, -1},
    {GET "Host: a\r\n", -1},
    {GET "Host: a\r\n\r", -1},
    /* the request line */
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /\r\n\r\n", 400},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/11\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\n", 505},
    {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
    {"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    /* Host */
    {GET "\r\n", 400},
    {GET "Host: a\r\nHost: a\r\n\r\n", 400},
    {GET "Host: a, b\r\n\r\n", 400},
    {GET "Host: a/b\r\n\r\n", 400},
    {GET "Host: a:b\r\n\r\n", 400},
    {GET "Host: a:65536\r\n\r\n", 400},
    {GET "Host: u@a\r\n\r\n", 400},
    {GET "Host: [::1\r\n\r\n", 400},
    /* lines */
    {"GET / HTTP/1.1\nHost: a\n\n", 400},
    {GET "Host: a\n\r\n", 400},
    {GET "Host: a\r\n\n", 400},
    {GET "Host: a\rX: b\r\n\r\n", 400},
    {GET "Host: a\r\n folded\r\n\r\n", 400},
    {GET "Host: a\r\n\tfolded\r\n\r\n", 400},
    {GET " Host: a\r\n\r\n", 400},
    {GET "Host : a\r\n\r\n", 400},
    {GET "Host\t: a\r\n\r\n", 400},
    {GET "Host: a\r\n: b\r\n\r\n", 400},
    {GET "Host: a\r\nX\r\n\r\n", 400},
    {GET "Host: a\r\nX y: b\r\n\r\n", 400},
    {GET "Host: a\r\nX: \x01\r\n\r\n", 400},
    {GET "Host: a\r\nX: long enough for words \x1f and more\r\n\r\n", 400},
    {GET "Host: a\r\nX: long enough for words \x7f and more\r\n\r\n", 400},
    {GET "Host: a\r\nX\xc3\xa9: b\r\n\r\n", 400},
    /* framing */
    {POST "Content-Length: 5\r\n\r\n", 0},
    {POST "Content-Length: 0\r\n\r\n", 0},
    {POST "Transfer-Encoding: chunked\r\n\r\n", 0},
    {POST "Transfer-Encoding: Chunked\r\n\r\n", 0},
    {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
    {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
    {POST "Content-Length: 5, 5\r\n\r\n", 400},
    {POST "Content-Length: +5\r\n\r\n", 400},
    {POST "Content-Length: -5\r\n\r\n", 400},
    {POST "Content-Length: 0x5\r\n\r\n", 400},
    {POST "Content-Length: 5 \x0b\r\n\r\n", 400},
    {POST "Content-Length: 5 6\r\n\r\n", 400},
    {POST "Content-Length:\r\n\r\n", 400},
    {POST "Content-Length: 99999999999999999999\r\n\r\n", 413},
    {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400},
    {POST "Transfer-Encoding: chunked, identity\r\n\r\n", 400},
    {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
    {POST "Transfer-Encoding: identity\r\n\r\n", 400},
    {POST "Transfer-Encoding: xchunked\r\n\r\n", 400},
    {POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 400},
    {POST "Transfer-Encoding: chunked;x\r\n\r\n", 400},
    {POST "Transfer-Encoding:\r\n\r\n", 400},
    {POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n", 400},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {POST "Transfer-Encoding : chunked\r\n\r\n", 400},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {POST "Expect: 100-Continue\r\n\r\n", 0},
    {POST "Expect: tea\r\n\r\n", 417},
};

static void test_vectors(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(vectors); i++) {
        struct http_head h;
        int got = outcome(vectors[i].text, strlen(vectors[i].text), &h);
        if (got != vectors[i].wanted)
            fail_msg("%d instead of %d (%s): %s", got, vectors[i].wanted, h.why ? h.why : "", vectors[i].text);
    }
}

static void test_nul(void **state)
{
    static const char in_value[] = GET "Host: a\r\nX: a\0b\r\n\r\n", in_name[] = GET "Ho\0st: a\r\n\r\n",
                      in_target[] = "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", unfinished[] = GET "Host: a\0";
    struct http_head h;
    assert_int_equal(outcome(in_value, sizeof in_value - 1, &h), 400);
    assert_int_equal(outcome(in_name, sizeof in_name - 1, &h), 400);
    assert_int_equal(outcome(in_target, sizeof in_target - 1, &h), 400);
    assert_int_equal(outcome(unfinished, sizeof unfinished - 1, &h), 400);
}

/* In pieces of every size the same comes out as at once. */
static void test_pieces(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(vectors); i++) {
        size_t len = strlen(vectors[i].text);
        for (size_t step = 1; step < 9; step++) {
            struct http_head h;
            http_head_init(&h);
            int rc = PM_EAGAIN;
            for (size_t n = 0; rc == PM_EAGAIN && n <= len; n += step)
                rc = http_request_parse(&h, vectors[i].text, n);
            if (rc == PM_EAGAIN)
                rc = http_request_parse(&h, vectors[i].text, len);
            assert_int_equal(rc == PM_OK ? 0 : rc == PM_EAGAIN ? -1 : h.status, vectors[i].wanted);
            if (rc == PM_OK)
                assert_int_equal(h.len, len);
        }
    }
}

static void expect_span(const char *text, struct http_span s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(text + s.off, want, s.len);
}

static void test_spans(void **state)
{
    static const char text[] = "\r\nPUT http://b.example:81/x/y?z=1 HTTP/1.1\r\nHost: a\r\nCookie: u=v; id=42;k=\r\n"
                               "Connection: Upgrade, X-Odd ,keep-alive\r\nUpgrade: websocket\r\nX-Odd: 1\r\n"
                               "Content-Length: 7\r\n\r\nrest of it";
    struct http_head h;
    struct http_span c, line;
    uint32_t name;
    assert_int_equal(outcome(text, sizeof text - 1, &h), 0);
    assert_int_equal(h.len, sizeof text - 1 - strlen("rest of it"));
    assert_int_equal(h.lead, 2);
    assert_int_equal(h.method, HTTP_PUT);
    expect_span(text, h.method_name, "PUT");
    expect_span(text, h.path, "/x/y?z=1");
    expect_span(text, h.authority, "b.example:81");
    expect_span(text, h.field[HTTP_HOST], "a");
    assert_int_equal(h.flags, HTTP_ABSOLUTE | HTTP_LENGTH | HTTP_UPGRADES | HTTP_NOMINATES | HTTP_KEEP);
    assert_int_equal(h.content_length, 7);
    assert_int_equal(http_request_body(&h), HTTP_BODY_LENGTH);
    assert_int_equal(h.drops, 2);
    expect_span(text, h.drop[1], "Upgrade: websocket\r\n");
    const char *cookie = text + h.field[HTTP_COOKIE].off;
    assert_true(http_cookie(cookie, h.field[HTTP_COOKIE].len, "id", &c));
    expect_span(cookie, c, "42");
    assert_true(http_cookie(cookie, h.field[HTTP_COOKIE].len, "k", &c));
    assert_int_equal(c.len, 0);
    assert_false(http_cookie(cookie, h.field[HTTP_COOKIE].len, "d", &c));
    unsigned n = 0;
    for (uint32_t at = h.lines; http_line_next(&h, text, &at, &line, &name); n++)
        if (n == 4)
            expect_span(text, line, "X-Odd: 1\r\n");
    assert_int_equal(n, 6);
}

static void test_keep_alive(void **state)
{
    static const struct {
        const char *text;
        bool keep;
    } v[] = {
        {GET "Host: a\r\n\r\n", true},
        {GET "Host: a\r\nConnection: close\r\n\r\n", false},
        {GET "Host: a\r\nConnection: keep-alive, CLOSE\r\n\r\n", false},
        {GET "Host: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(v); i++) {
        struct http_head h;
        assert_int_equal(outcome(v[i].text, strlen(v[i].text), &h), 0);
        assert_int_equal(!!(h.flags & HTTP_KEEP), v[i].keep);
    }
}

static void test_limits(void **state)
{
    static char big[HTTP_HEAD_MAX * 2];
    struct http_head h;
    /* a target without end, with and without the rest of the line */
    int at = snprintf(big, sizeof big, "GET /");
    memset(big + at, 'a', sizeof big - (size_t)at);
    assert_int_equal(outcome(big, HTTP_LINE_MAX - 1, &h), -1);
    assert_int_equal(outcome(big, HTTP_LINE_MAX, &h), 414);
    memcpy(big + 10000, " HTTP/1.1\r\nHost: a\r\n\r\n", 22);
    assert_int_equal(outcome(big, 10022, &h), 414);
    /* a field without end */
    at = snprintf(big, sizeof big, GET "Host: a\r\nX: ");
    memset(big + at, 'a', sizeof big - (size_t)at);
    assert_int_equal(outcome(big, HTTP_HEAD_MAX - 1, &h), -1);
    assert_int_equal(outcome(big, HTTP_HEAD_MAX, &h), 431);
    /* too many fields */
    at = snprintf(big, sizeof big, GET "Host: a\r\n");
    for (int i = 0; i < HTTP_FIELD_LINES; i++)
        at += snprintf(big + at, sizeof big - (size_t)at, "A: b\r\n");
    at += snprintf(big + at, sizeof big - (size_t)at, "\r\n");
    assert_int_equal(outcome(big, (size_t)at, &h), 431);
    at = snprintf(big, sizeof big, GET "Host: a\r\n");
    for (int i = 0; i < HTTP_DROPS_MAX + 1; i++)
        at += snprintf(big + at, sizeof big - (size_t)at, "TE: b\r\n");
    at += snprintf(big + at, sizeof big - (size_t)at, "\r\n");
    assert_int_equal(outcome(big, (size_t)at, &h), 431);
}

static int response(const char *text, struct http_head *h)
{
    http_head_init(h);
    int rc = http_response_parse(h, text, strlen(text));
    return rc == PM_OK ? h->status : rc == PM_EAGAIN ? -1 : -2;
}

static void test_responses(void **state)
{
    static const struct {
        const char *text;
        int status;
        unsigned method;
        enum http_body body;
    } v[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200, HTTP_GET, HTTP_BODY_LENGTH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200, HTTP_HEAD, HTTP_BODY_NONE},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", 304, HTTP_GET, HTTP_BODY_NONE},
        {"HTTP/1.1 204 No\r\n\r\n", 204, HTTP_GET, HTTP_BODY_NONE},
        {"HTTP/1.1 100 \r\n\r\n", 100, HTTP_POST, HTTP_BODY_NONE},
        {"HTTP/1.1 200\r\n\r\n", 200, HTTP_GET, HTTP_BODY_CLOSE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, HTTP_GET, HTTP_BODY_CHUNKED},
        {"HTTP/1.0 200 OK\r\n\r\n", 200, HTTP_GET, HTTP_BODY_CLOSE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", -2, 0, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", -2, 0, 0},
        {"HTTP/1.1 200 OK\nContent-Length: 3\n\n", -2, 0, 0},
        {"HTTP/1.1 99 OK\r\n\r\n", -2, 0, 0},
        {"HTTP/1.1 700 OK\r\n\r\n", -2, 0, 0},
        {"HTTP/1.1  200 OK\r\n\r\n", -2, 0, 0},
        {"HTTP/1.1 200OK\r\n\r\n", -2, 0, 0},
        {"HTTP/1.1 200 \x01\r\n\r\n", -2, 0, 0},
        {"HTTP/2 200 OK\r\n\r\n", -2, 0, 0},
        {"ICY 200 OK\r\n\r\n", -2, 0, 0},
        {"\r\nHTTP/1.1 200 OK\r\n\r\n", -2, 0, 0},
        {"HTTP/1.1 200 OK\r\n", -1, 0, 0},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(v); i++) {
        struct http_head h;
        int got = response(v[i].text, &h);
        if (got != v[i].status)
            fail_msg("%d: %s", got, v[i].text);
        if (got > 0)
            assert_int_equal(http_response_body(&h, v[i].method), v[i].body);
    }
}

static void test_authority(void **state)
{
    assert_int_equal(http_authority_host("a.b.:80", 7), 3);
    assert_int_equal(http_authority_host("a.b", 3), 3);
    assert_int_equal(http_authority_host("[::1]:80", 8), 5);
    assert_true(http_list_has("a, B ,,c", 8, "b"));
    assert_false(http_list_has("ab, c", 5, "b"));
    assert_false(http_list_has("", 0, "b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),   cmocka_unit_test(test_nul),       cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_spans),     cmocka_unit_test(test_keep_alive), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_responses), cmocka_unit_test(test_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
