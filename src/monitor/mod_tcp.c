/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp: opens a connection and closes it, timed to the end of the handshake; optionally says
 * something and waits for an expected answer. `send` and `expect` may have the escapes \r \n
 * \t \0 \\ and \xHH.
 */
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "conf/load.h"
#include "monitor/body_match.h"
#include "monitor/conn.h"
#include "monitor/text.h"

struct tcp_params {
    const char *send, *expect, *expect_regex;
    uint64_t read_max;
    struct buf send_bytes, expect_bytes; /* unescaped, in the configuration's arena */
    struct body_regex *regex;
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

static void check_bytes(struct conf_ctx *ctx, const struct conf_node *node, const char *key, const char *text,
                        struct buf *out)
{
    struct buf b = BUF_INIT;
    if (text && !monitor_text_unescape(text, &b))
        conf_error(ctx, node, "%s '%.40s' has a broken escape, expected \\r \\n \\t \\0 \\\\ or \\xHH", key, text);
    if (b.len) {
        out->data = arena_alloc(conf_arena(ctx), b.len);
        out->len = b.len;
        memcpy(out->data, b.data, b.len);
    }
    buf_fini(&b);
}

static void tcp_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct tcp_params *t = object;
    char why[BODY_MATCH_ERROR];
    size_t offset = 0;
    check_bytes(ctx, node, "send", t->send, &t->send_bytes);
    check_bytes(ctx, node, "expect", t->expect, &t->expect_bytes);
    if (t->expect && t->expect_regex)
        conf_error(ctx, node, "expect and expect-regex exclude each other");
    if (t->expect_regex && !(t->regex = body_regex_new(conf_arena(ctx), t->expect_regex, why, &offset)))
        conf_error(ctx, node, "expect-regex, at character %zu: %s", offset + 1, why);
}

const struct conf_object monitor_tcp_object = {
    .name = "tcp",
    .doc = "Opens and closes a TCP connection; may send bytes and wait for an answer.",
    .size = sizeof(struct tcp_params),
    CONF_KEYS(keys),
    .check = tcp_check,
    .wants = "port",
};

struct tcp {
    struct probe *probe;
    struct conn *conn;
    struct buf got;
    uint64_t begin_ns, connect_ns;
};

static void release(struct tcp *t)
{
    t->probe->state = NULL;
    conn_close(t->conn);
    buf_fini(&t->got);
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

static enum body_match look(const struct tcp_params *w, const struct buf *got)
{
    if (w->regex)
        return body_regex_match(w->regex, got->data, got->len);
    return memmem(got->data, got->len, w->expect_bytes.data, w->expect_bytes.len) ? BODY_MATCHES : BODY_DIFFERS;
}

static void on_connected(void *owner)
{
    struct tcp *t = owner;
    const struct tcp_params *w = t->probe->params;
    t->connect_ns = uv_hrtime() - t->begin_ns;
    if (w->send_bytes.len)
        conn_write(t->conn, w->send_bytes.data, w->send_bytes.len);
    if (w->expect_bytes.len || w->regex)
        conn_read(t->conn);
    else
        finish(t, probe_result_make(PROBE_OK, "%s", ""));
}

static void on_data(void *owner, const char *bytes, size_t n)
{
    struct tcp *t = owner;
    const struct tcp_params *w = t->probe->params;
    size_t room = w->read_max - t->got.len;
    buf_add(&t->got, bytes, n < room ? n : room);
    enum body_match m = look(w, &t->got);
    if (m == BODY_MATCHES)
        finish(t, probe_result_make(PROBE_OK, "%s", ""));
    else if (m == BODY_TOO_COSTLY)
        finish(t, probe_result_make(PROBE_FAIL, "expect-regex takes too long on this answer"));
    else if (t->got.len >= w->read_max)
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

static void tcp_start(struct probe *p)
{
    struct tcp *t = mem_alloc(sizeof *t);
    t->probe = p;
    p->state = t;
    int err;
    t->begin_ns = uv_hrtime();
    t->conn = conn_open(p->loop, &p->target, &calls, t, &err);
    if (!t->conn)
        on_failed(t, err, "connect");
}

static void tcp_cancel(struct probe *p)
{
    release(p->state);
}

const struct monitor_module monitor_tcp = {
    .object = &monitor_tcp_object, .default_port = 0, .start = tcp_start, .cancel = tcp_cancel};
