/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/dialog.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "conf/load.h"

enum { LINE_MAX_BYTES = 4096, LINES_MAX = 200 };

const char *const dialog_tls_names[] = {"no", "starttls", "yes", NULL};

void dialog_check(struct conf_ctx *ctx, const struct conf_node *node, const struct dialog_params *p)
{
    const char *values[] = {p->user, p->password};
    for (size_t i = 0; i < PM_ARRAY_LEN(values); i++)
        for (const char *c = values[i]; c && *c; c++)
            if (*c == '\r' || *c == '\n') {
                conf_error(ctx, node, "user and password cannot hold line ends");
                return;
            }
    if (p->user && !p->password)
        conf_error(ctx, node, "a user needs a password");
}

int dialog_code_line(const struct dialog *d, const char *line)
{
    if (!isdigit((unsigned char)line[0]) || !isdigit((unsigned char)line[1]) || !isdigit((unsigned char)line[2]))
        return d->lines > 1 ? 0 : -1; /* text inside a multi-line reply (RFC 959), else no reply at all */
    if (line[3] == '-')
        return 0;
    return line[3] == ' ' || !line[3] ? atoi(line) : -1;
}

static void finish(struct dialog *d, struct probe_result *r)
{
    struct probe *p = d->probe;
    if (d->stream) {
        r->connect_ns = stream_connect_ns(d->stream);
        stream_close(d->stream, r->status != PROBE_OK);
    }
    r->code = d->code > 1 ? d->code : 0;
    r->bytes = d->bytes;
    r->cert_expiry_s = d->cert_expiry_s;
    p->state = NULL;
    free(d);
    probe_done(p, r);
}

static struct tls_wish wish(const struct dialog *d)
{
    const struct dialog_params *p = dialog_params(d);
    return (struct tls_wish){p->ca, d->probe->host, NULL, p->verify};
}

/* The reply to the current step is complete. */
static void reply(struct dialog *d, int code)
{
    struct buf out = BUF_INIT;
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    d->code = code;
    enum dialog_next next = code < 0 ? DIALOG_BAD : d->protocol->step(d, d->step, code, &out);
    d->step++;
    d->lines = 0;
    if (next == DIALOG_SEND || (next == DIALOG_GOOD && out.len)) {
        buf_puts(&out, "\r\n");
        stream_send(d->stream, out.data, out.len);
    }
    buf_fini(&out);
    if (next == DIALOG_STARTTLS) {
        struct tls_wish w = wish(d);
        if (!stream_starttls(d->stream, &w, r.why)) {
            r.status = PROBE_LOCAL;
            finish(d, &r);
        }
    } else if (next == DIALOG_GOOD) {
        finish(d, &r);
    } else if (next == DIALOG_BAD) {
        r = probe_result_make(PROBE_FAIL, "%s: %.70s", d->step == 1 ? "greeting" : "reply", d->reply);
        finish(d, &r);
    }
}

static void dialog_data(void *ctx)
{
    struct dialog *d = ctx;
    for (;;) {
        struct buf *in = stream_in(d->stream);
        char *nl = in->len ? memchr(in->data, '\n', in->len) : NULL;
        size_t n = nl ? (size_t)(nl - in->data) : in->len;
        if (n > LINE_MAX_BYTES || d->lines > LINES_MAX) {
            struct probe_result r = probe_result_make(PROBE_FAIL, "the reply is too long");
            finish(d, &r);
            return;
        }
        if (!nl)
            return;
        *nl = 0;
        if (n && nl[-1] == '\r')
            nl[-1] = 0;
        d->lines++;
        d->bytes += n + 1;
        snprintf(d->reply, sizeof d->reply, "%.79s", in->data);
        for (char *c = d->reply; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 127)
                *c = '?';
        int code = d->protocol->line(d, in->data);
        buf_consume(in, n + 1);
        if (code) {
            struct probe *p = d->probe;
            reply(d, code);
            if (p->state != d)
                return; /* it ended, and d is gone */
        }
    }
}

static void dialog_opened(void *ctx)
{
    struct dialog *d = ctx;
    if (stream_ssl(d->stream))
        d->cert_expiry_s = tls_client_expiry_s(stream_ssl(d->stream));
    if (d->step > 0)
        reply(d, 1); /* STARTTLS is through: as if a reply had come */
}

static void dialog_ended(void *ctx, enum probe_status how, const char *why)
{
    struct dialog *d = ctx;
    struct probe_result r = probe_result_make(how, "%s%s", why, d->step ? " in the middle of the dialogue" : " before the greeting");
    if (!stream_connect_ns(d->stream))
        r = probe_result_make(how, "%s", why);
    finish(d, &r);
}

static const struct stream_handler handler = {dialog_opened, dialog_data, dialog_ended};

void dialog_start(struct probe *p, const struct dialog_protocol *protocol)
{
    struct dialog *d = mem_alloc(sizeof *d);
    enum probe_status status;
    char why[96];
    d->probe = p;
    d->protocol = protocol;
    d->cert_expiry_s = INT64_MIN;
    p->state = d;
    struct tls_wish w = wish(d);
    d->stream = stream_open(p->loop, &p->target, dialog_params(d)->tls == DIALOG_TLS ? &w : NULL, &handler, d, &status, why);
    if (!d->stream) {
        struct probe_result r = probe_result_make(status, "%s", why);
        finish(d, &r);
    }
}

void dialog_cancel(struct probe *p)
{
    struct dialog *d = p->state;
    if (!d)
        return;
    stream_close(d->stream, true);
    free(d);
    p->state = NULL;
}
