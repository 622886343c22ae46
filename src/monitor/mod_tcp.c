/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp: opens a connection and closes it, timed to the end of the handshake; optionally says
 * something and waits for an expected answer. `send` and text patterns may have the escapes \r \n
 * \t \0 \\ and \xHH.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "monitor/conn.h"
#include "monitor/text.h"

struct tcp_params {
    const char *send, *expect, *expect_regex;
    uint64_t read_max;
};

static const struct conf_key keys[] = {
    {"send", CONF_STRING, offsetof(struct tcp_params, send),
     .doc = "Bytes to send once connected; \\r \\n \\t \\0 \\\\ and \\xHH stand for what they do "
            "in C."},
    {"expect", CONF_STRING, offsetof(struct tcp_params, expect),
     .doc = "Bytes that must come back, anywhere in the answer; escapes as for send."},
    {"expect-regex", CONF_STRING, offsetof(struct tcp_params, expect_regex),
     .doc = "Regular expression (PCRE2) the answer must match."},
    {"read-max", CONF_SIZE, offsetof(struct tcp_params, read_max), .def = "16k", .min = 1,
     .max = 1 << 20, .unit = "bytes",
     .doc = "How much of the answer is looked at before giving up."},
};

const struct conf_object monitor_tcp_object = {
    .name = "tcp",
    .doc = "Opens and closes a TCP connection; may send bytes and wait for an answer.",
    .size = sizeof(struct tcp_params),
    CONF_KEYS(keys),
};

struct tcp {
    struct probe *probe;
    struct conn *conn;
    struct buf got, expect;
    pcre2_code *regex;
    uint64_t begin_ns, connect_ns;
};

static void release(struct tcp *t)
{
    t->probe->state = NULL;
    conn_close(t->conn);
    pcre2_code_free(t->regex);
    buf_fini(&t->got);
    buf_fini(&t->expect);
    free(t);
}

static void finish(struct tcp *t, struct probe_result r)
{
    struct probe *p = t->probe;
    r.connect_ns = t->connect_ns;
    r.bytes = t->got.len;
    release(t);
    probe_done(p, &r);
}

/* PROBE_OK: there. PROBE_FAIL: not yet. PROBE_LOCAL: the pattern is too expensive. */
static enum probe_status look(const struct tcp *t)
{
    if (t->expect.len)
        return memmem(t->got.data, t->got.len, t->expect.data, t->expect.len) ? PROBE_OK
                                                                              : PROBE_FAIL;
    /* The answer is the other side's: a pattern that backtracks must not stop the loop. */
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    pcre2_set_match_limit(limits, 100000);
    int rc = pcre2_match(t->regex, (PCRE2_SPTR)buf_str(&t->got), t->got.len, 0, 0, md, limits);
    pcre2_match_data_free(md);
    pcre2_match_context_free(limits);
    if (rc == PCRE2_ERROR_MATCHLIMIT)
        return PROBE_LOCAL;
    return rc >= 0 ? PROBE_OK : PROBE_FAIL;
}

static void on_connected(void *owner)
{
    struct tcp *t = owner;
    const struct tcp_params *params = t->probe->params;
    t->connect_ns = uv_hrtime() - t->begin_ns;
    bool waits = t->expect.len || t->regex;
    if (!waits && !params->send) {
        finish(t, probe_result_make(PROBE_OK, "%s", ""));
        return;
    }
    if (params->send) {
        struct buf out = BUF_INIT;
        monitor_text_unescape(params->send, &out);
        conn_write(t->conn, buf_str(&out), out.len);
        buf_fini(&out);
    }
    if (waits)
        conn_read(t->conn);
    else
        finish(t, probe_result_make(PROBE_OK, "%s", ""));
}

static void on_data(void *owner, const char *bytes, size_t n)
{
    struct tcp *t = owner;
    const struct tcp_params *params = t->probe->params;
    size_t room = params->read_max - t->got.len;
    buf_add(&t->got, bytes, n < room ? n : room);
    enum probe_status s = look(t);
    if (s == PROBE_OK)
        finish(t, probe_result_make(PROBE_OK, "%s", ""));
    else if (s == PROBE_LOCAL)
        finish(t, probe_result_make(PROBE_LOCAL, "expect-regex takes too long on this answer"));
    else if (t->got.len >= params->read_max)
        finish(t, probe_result_make(PROBE_FAIL, "expected text is not in the first %zu bytes",
                                    t->got.len));
}

static void on_failed(void *owner, int err, const char *what)
{
    struct tcp *t = owner;
    if (err == UV_EOF)
        finish(t,
               probe_result_make(PROBE_CLOSED, "closed after %zu bytes without the expected text",
                                 t->got.len));
    else
        finish(t,
               probe_result_make(probe_status_from_errno(err), "%s: %s", what, strerror(abs(err))));
}

static const struct conn_calls calls = {on_connected, on_data, on_failed};

static bool compile(struct tcp *t, const char *pattern)
{
    int code;
    PCRE2_SIZE at;
    t->regex = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, 0, &code, &at, NULL);
    if (t->regex)
        return true;
    PCRE2_UCHAR text[64];
    pcre2_get_error_message(code, text, sizeof text);
    finish(t, probe_result_make(PROBE_LOCAL, "expect-regex: %s at %zu", (char *)text, (size_t)at));
    return false;
}

static void tcp_start(struct probe *p)
{
    const struct tcp_params *params = p->params;
    struct tcp *t = mem_alloc(sizeof *t);
    t->probe = p;
    p->state = t;
    if (params->expect && !monitor_text_unescape(params->expect, &t->expect)) {
        finish(t, probe_result_make(PROBE_LOCAL, "expect has a broken escape"));
        return;
    }
    if (params->expect_regex && !t->expect.len && !compile(t, params->expect_regex))
        return;
    int err;
    t->begin_ns = uv_hrtime();
    t->conn = conn_open(p->loop, &p->target, &calls, t, &err);
    if (!t->conn) {
        on_failed(t, err, "connect");
        return;
    }
}

static void tcp_cancel(struct probe *p)
{
    release(p->state);
}

const struct monitor_module monitor_tcp = {
    .object = &monitor_tcp_object, .default_port = 0, .start = tcp_start, .cancel = tcp_cancel};
