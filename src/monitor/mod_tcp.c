/* SPDX-License-Identifier: Apache-2.0 */
/* tcp and tls: can a connection be opened (A3), and with TLS, is the certificate good for long enough? */
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "monitor/expect.h"
#include "monitor/stream.h"

struct tcp_params {
    const char *send;
    struct expect expect;
    uint64_t read_max;
    /* tls only */
    const char *ca, *alpn;
    bool verify;
    uint32_t min_days;
};

struct connection {
    struct probe *probe;
    struct stream *stream;
};

static const struct conf_key tcp_keys[] = {
    {"send", CONF_STRING, offsetof(struct tcp_params, send), .doc = "Text to send once connected; in double quotes \\r, \\n and \\x00 work."},
    {"expect", CONF_STRING, offsetof(struct tcp_params, expect.text), .doc = "Text that must come back."},
    {"expect-regex", CONF_STRING, offsetof(struct tcp_params, expect.regex), .doc = "Perl-compatible expression that must match what comes back."},
    {"read-max", CONF_SIZE, offsetof(struct tcp_params, read_max), .def = "4k", .min = 1, .max = 1 << 20,
     .doc = "How much of what comes back is looked at."},
};

static const struct conf_key tls_keys[] = {
    {"verify", CONF_BOOL, offsetof(struct tcp_params, verify), .def = "yes", .doc = "Whether the certificate must be valid for the name."},
    {"ca", CONF_PATH, offsetof(struct tcp_params, ca), .doc = "File of certificates to trust instead of the system's."},
    {"alpn", CONF_STRING, offsetof(struct tcp_params, alpn), .doc = "Protocol to offer, such as h2."},
    {"min-days", CONF_UINT, offsetof(struct tcp_params, min_days), .def = "0", .max = 3650, .unit = "days",
     .doc = "The check fails when the certificate expires sooner."},
};

static void tcp_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    expect_compile(&((struct tcp_params *)object)->expect, ctx, node);
}

static void done(struct connection *c, struct probe_result *r, bool hard)
{
    struct probe *p = c->probe;
    if (c->stream) {
        r->connect_ns = stream_connect_ns(c->stream);
        stream_close(c->stream, hard);
    }
    p->state = NULL;
    free(c);
    probe_done(p, r);
}

static void tcp_opened(void *ctx)
{
    struct connection *c = ctx;
    const struct tcp_params *params = c->probe->params;
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    SSL *ssl = stream_ssl(c->stream);
    if (ssl) {
        r.cert_expiry_s = tls_client_expiry_s(ssl);
        if (r.cert_expiry_s != INT64_MIN && r.cert_expiry_s < (int64_t)params->min_days * 86400) {
            int64_t expiry = r.cert_expiry_s;
            r = probe_result_make(PROBE_FAIL, "certificate expires in %lld days", (long long)(expiry / 86400));
            r.cert_expiry_s = expiry;
        }
        done(c, &r, false);
        return;
    }
    if (params->send)
        stream_send(c->stream, params->send, strlen(params->send));
    if (!expect_any(&params->expect))
        done(c, &r, false);
}

static void tcp_data(void *ctx)
{
    struct connection *c = ctx;
    const struct tcp_params *params = c->probe->params;
    struct buf *in = stream_in(c->stream);
    if (!expect_any(&params->expect))
        return;
    if (expect_met(&params->expect, in->data, in->len < params->read_max ? in->len : params->read_max)) {
        struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
        r.bytes = in->len;
        done(c, &r, false);
    } else if (in->len >= params->read_max) {
        struct probe_result r = probe_result_make(PROBE_FAIL, "expected text did not come within %zu bytes", in->len);
        done(c, &r, true);
    }
}

static void tcp_ended(void *ctx, enum probe_status how, const char *why)
{
    struct connection *c = ctx;
    struct probe_result r = probe_result_make(how, "%s", why);
    done(c, &r, false);
}

static const struct stream_handler handler = {tcp_opened, tcp_data, tcp_ended};

static void start(struct probe *p, const struct tls_wish *tls)
{
    struct connection *c = mem_alloc(sizeof *c);
    enum probe_status status;
    char why[96];
    c->probe = p;
    p->state = c;
    c->stream = stream_open(p->loop, &p->target, tls, &handler, c, &status, why);
    if (!c->stream) {
        struct probe_result r = probe_result_make(status, "%s", why);
        done(c, &r, false);
    }
}

static void tcp_start(struct probe *p)
{
    start(p, NULL);
}

static void tls_start(struct probe *p)
{
    const struct tcp_params *params = p->params;
    start(p, &(struct tls_wish){params->ca, p->host, params->alpn, params->verify});
}

static void tcp_cancel(struct probe *p)
{
    struct connection *c = p->state;
    if (!c)
        return;
    stream_close(c->stream, true);
    free(c);
    p->state = NULL;
}

static void tls_close(void *shared)
{
    tls_client_cleanup();
}

static int tls_open(uv_loop_t *loop, void **shared)
{
    static char anything;
    *shared = &anything; /* so that close is called */
    return PM_OK;
}

const struct conf_object monitor_tcp_object = {.name = "tcp",
                                               .doc = "Opens a TCP connection, and may send and expect text (A3).",
                                               .size = sizeof(struct tcp_params),
                                               CONF_KEYS(tcp_keys),
                                               .check = tcp_check};
const struct monitor_module monitor_tcp = {.object = &monitor_tcp_object, .default_port = 80, .start = tcp_start, .cancel = tcp_cancel};

const struct conf_object monitor_tls_object = {.name = "tls",
                                               .doc = "Shakes hands by TLS and looks at the certificate.",
                                               .size = sizeof(struct tcp_params),
                                               CONF_KEYS(tls_keys)};
const struct monitor_module monitor_tls = {.object = &monitor_tls_object, .default_port = 443, .uses_host = true, .start = tls_start,
                                           .cancel = tcp_cancel, .open = tls_open, .close = tls_close};
