/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nntp (RFC 3977): reads the greeting (5.1: 200 or 201; 400 and 502 are refusals), optionally
 * selects a group (6.1.1), and says QUIT (5.4). A server that closes after QUIT without its 205 has
 * done what it was asked.
 */
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "conf/load.h"
#include "monitor/conn.h"
#include "monitor/text.h"

enum { LINE_MAX_OCTETS = 512, GROUP_MAX = 497 /* RFC 3977 3.1: arguments */ };

struct nntp_params {
    const char *group;
};

static const struct conf_key keys[] = {
    {"group", CONF_STRING, offsetof(struct nntp_params, group),
     .doc = "Newsgroup that must exist on the server; without it the greeting is enough."},
};

/* A line break in it would be a command of its own. */
static void nntp_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct nntp_params *n = object;
    if (n->group && (!monitor_text_ok(n->group, false) || strlen(n->group) > GROUP_MAX))
        conf_error(ctx, node, "group '%.40s' is not the name of a newsgroup", n->group);
}

const struct conf_object monitor_nntp_object = {
    .name = "nntp",
    .doc = "Greeting of a news server (RFC 3977), optionally a group it must carry.",
    .size = sizeof(struct nntp_params),
    .shorthand = "group",
    CONF_KEYS(keys),
    .check = nntp_check,
};

enum step { GREETING, GROUP, QUIT };

struct nntp {
    struct probe *probe;
    struct conn *conn;
    struct buf got;
    enum step step;
    uint64_t begin_ns, connect_ns, bytes;
    int32_t code; /* of the greeting, then of the group */
};

static void release(struct nntp *t)
{
    t->probe->state = NULL;
    conn_close(t->conn);
    buf_fini(&t->got);
    free(t);
}

static void finish(struct nntp *t, struct probe_result r)
{
    struct probe *p = t->probe;
    r.connect_ns = t->connect_ns;
    r.bytes = t->bytes;
    r.code = t->code;
    release(t);
    probe_done(p, &r);
}

static void on_connected(void *owner)
{
    struct nntp *t = owner;
    t->connect_ns = uv_hrtime() - t->begin_ns;
    conn_read(t->conn);
}

static void say(struct nntp *t, enum step step, const char *text)
{
    t->step = step;
    conn_write(t->conn, text, strlen(text));
}

static void say_group(struct nntp *t, const char *group)
{
    struct buf b = BUF_INIT;
    buf_printf(&b, "GROUP %s\r\n", group);
    say(t, GROUP, buf_str(&b));
    buf_fini(&b);
}

/* False: the probe has ended. */
static bool on_line(struct nntp *t, const char *line)
{
    const struct nntp_params *params = t->probe->params;
    int code = monitor_text_reply_code(line);
    if (code < 0) {
        finish(t, probe_result_make(PROBE_FAIL, "not NNTP: %.60s", line));
        return false;
    }
    if (t->step == QUIT) {
        finish(t, code == 205 ? probe_result_make(PROBE_OK, "%s", "")
                              : probe_result_make(PROBE_FAIL, "QUIT answered by %.60s", line));
        return false;
    }
    t->code = code;
    if (t->step == GREETING ? code != 200 && code != 201 : code != 211) {
        finish(t, probe_result_make(PROBE_FAIL, "%s answered by %.60s",
                                    t->step == GREETING ? "connection" : "GROUP", line));
        return false;
    }
    if (t->step == GREETING && params->group)
        say_group(t, params->group);
    else
        say(t, QUIT, "QUIT\r\n");
    return true;
}

static void on_data(void *owner, const char *bytes, size_t n)
{
    struct nntp *t = owner;
    char line[LINE_MAX_OCTETS];
    t->bytes += n;
    buf_add(&t->got, bytes, n);
    for (;;) {
        int rc = monitor_text_line(&t->got, LINE_MAX_OCTETS, line, sizeof line);
        if (rc < 0)
            finish(t, probe_result_make(PROBE_FAIL, "line longer than 512 octets"));
        if (rc <= 0 || !on_line(t, line))
            return;
    }
}

static void on_failed(void *owner, int err, const char *what)
{
    struct nntp *t = owner;
    if (err == UV_EOF && t->step == QUIT)
        finish(t, probe_result_make(PROBE_OK, "%s", ""));
    else if (err == UV_EOF)
        finish(t, probe_result_make(PROBE_CLOSED, "closed before the %s",
                                    t->step == GREETING ? "greeting" : "answer to GROUP"));
    else
        finish(t,
               probe_result_make(probe_status_from_errno(err), "%s: %s", what, strerror(abs(err))));
}

static const struct conn_calls calls = {on_connected, on_data, on_failed};

static void nntp_start(struct probe *p)
{
    struct nntp *t = mem_alloc(sizeof *t);
    t->probe = p;
    p->state = t;
    int err;
    t->begin_ns = uv_hrtime();
    t->conn = conn_open(p->loop, &p->target, &calls, t, &err);
    if (!t->conn)
        on_failed(t, err, "connect");
}

static void nntp_cancel(struct probe *p)
{
    release(p->state);
}

const struct monitor_module monitor_nntp = {.object = &monitor_nntp_object, .uses_host = true,
                                            .default_port = 119,
                                            .start = nntp_start,
                                            .cancel = nntp_cancel};
