/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http and https: asks for a page over HTTP/1.1 and judges status and content (A3, M6: page download time, resets and
 * abnormal ends). The client is small on purpose: thousands of checks a second are its only job.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/units.h"
#include "monitor/expect.h"
#include "monitor/http_response.h"
#include "monitor/stream.h"

struct http_params {
    const char *method, *path, *host, *body;
    struct conf_list headers, status; /* const char * */
    struct expect expect;
    uint64_t size_max;
    uint8_t good[125]; /* bit per status 0 .. 999 */
    /* https only */
    const char *ca;
    bool verify;
    uint32_t min_days;
};

struct fetch {
    struct probe *probe;
    struct stream *stream;
    struct http_response response;
    int64_t cert_expiry_s;
};

#define HTTP_KEYS                                                                                                             \
    {"method", CONF_STRING, offsetof(struct http_params, method), .def = "GET", .doc = "Request method."},                    \
        {"path", CONF_STRING, offsetof(struct http_params, path), .def = "/", .doc = "Path and query to ask for."},           \
        {"host", CONF_STRING, offsetof(struct http_params, host),                                                             \
         .doc = "Host header and, with https, name in SNI and certificate. Not given: the check's host, else the service's name."}, \
        {"headers", CONF_STRING, offsetof(struct http_params, headers), .flags = CONF_LIST, .doc = "More header lines, each `Name: value`."}, \
        {"body", CONF_STRING, offsetof(struct http_params, body), .doc = "Request body."},                                    \
        {"status", CONF_STRING, offsetof(struct http_params, status), .def = "200-399", .flags = CONF_LIST,                   \
         .doc = "Good statuses: a code, a range as 200-299, or a class as 2xx."},                                             \
        {"body-text", CONF_STRING, offsetof(struct http_params, expect.text), .doc = "Text that the page must contain."},     \
        {"body-regex", CONF_STRING, offsetof(struct http_params, expect.regex),                                               \
         .doc = "Perl-compatible expression that must match the page."},                                                      \
        {"size-max", CONF_SIZE, offsetof(struct http_params, size_max), .def = "64k", .min = 0, .max = 16 << 20,             \
         .doc = "Largest page. A larger one fails the check, unless the wanted text was found before."}

static const struct conf_key http_keys[] = {HTTP_KEYS};
static const struct conf_key https_keys[] = {
    HTTP_KEYS,
    {"verify", CONF_BOOL, offsetof(struct http_params, verify), .def = "yes", .doc = "Whether the certificate must be valid for the host."},
    {"ca", CONF_PATH, offsetof(struct http_params, ca), .doc = "File of certificates to trust instead of the system's."},
    {"min-days", CONF_UINT, offsetof(struct http_params, min_days), .def = "0", .max = 3650, .unit = "days",
     .doc = "The check fails when the certificate expires sooner."},
};

/* ---- configuration ---- */

static bool status_range(const char *text, unsigned *low, unsigned *high)
{
    char *end;
    if (strlen(text) == 3 && isdigit((unsigned char)text[0]) && strcasecmp(text + 1, "xx") == 0) {
        *low = (unsigned)(text[0] - '0') * 100;
        *high = *low + 99;
        return *low >= 100;
    }
    *low = *high = (unsigned)strtoul(text, &end, 10);
    if (*end == '-' && isdigit((unsigned char)end[1]))
        *high = (unsigned)strtoul(end + 1, &end, 10);
    return isdigit((unsigned char)*text) && !*end && *low >= 100 && *high <= 999 && *low <= *high;
}

static bool has_control(const char *s)
{
    for (; s && *s; s++)
        if ((unsigned char)*s < ' ' || *s == 127)
            return true;
    return false;
}

static void http_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct http_params *p = object;
    const char *const *status = p->status.items, *const *header = p->headers.items;
    for (uint32_t i = 0; i < p->status.count; i++) {
        unsigned low, high;
        if (!status_range(status[i], &low, &high)) {
            const struct conf_node *at = conf_child(node, "status");
            conf_error(ctx, at ? at : node, "'%s' is no status, expected a code, a range (200-299) or a class (2xx)", status[i]);
            continue;
        }
        for (unsigned s = low; s <= high; s++)
            p->good[s / 8] |= (uint8_t)(1 << s % 8);
    }
    /* What goes into the request must not be able to end a line (request splitting). */
    for (uint32_t i = 0; i < p->headers.count; i++)
        if (has_control(header[i]) || !strchr(header[i], ':') || header[i][0] == ':')
            conf_error(ctx, conf_child(node, "headers"), "'%s' is no header line, expected `Name: value`", header[i]);
    if (has_control(p->path) || strchr(p->path, ' ') || (p->path[0] != '/' && p->path[0] != '*'))
        conf_error(ctx, conf_child(node, "path"), "a path begins with / and has no spaces or control characters");
    if (!*p->method || has_control(p->method) || strchr(p->method, ' '))
        conf_error(ctx, conf_child(node, "method"), "not a method");
    if (p->host && (has_control(p->host) || strchr(p->host, ' ')))
        conf_error(ctx, conf_child(node, "host"), "not a host name");
    expect_compile(&p->expect, ctx, node);
}

/* ---- one request ---- */

static const char *host_of(const struct probe *p)
{
    const struct http_params *params = p->params;
    return params->host ? params->host : p->host;
}

static void finish(struct fetch *f, struct probe_result *r)
{
    struct probe *p = f->probe;
    if (f->stream) {
        r->connect_ns = stream_connect_ns(f->stream);
        stream_close(f->stream, r->status != PROBE_OK || !f->response.complete);
    }
    r->code = f->response.status;
    r->bytes = f->response.body.len;
    r->cert_expiry_s = f->cert_expiry_s;
    http_response_fini(&f->response);
    p->state = NULL;
    free(f);
    probe_done(p, r);
}

static void judge(struct fetch *f, bool complete)
{
    const struct http_params *p = f->probe->params;
    const struct http_response *resp = &f->response;
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    if (!(p->good[resp->status / 8] & 1 << resp->status % 8))
        r = probe_result_make(PROBE_FAIL, "status %d", resp->status);
    else if (expect_any(&p->expect) && !expect_met(&p->expect, resp->body.data, resp->body.len))
        r = probe_result_make(PROBE_FAIL, "wanted text is not in the page (%zu bytes)", resp->body.len);
    else if (!complete && !expect_any(&p->expect))
        r = probe_result_make(PROBE_FAIL, "page is larger than %llu bytes", (unsigned long long)p->size_max);
    if (r.status == PROBE_OK && p->min_days && f->cert_expiry_s < (int64_t)p->min_days * 86400)
        r = probe_result_make(PROBE_FAIL, "certificate expires in %lld days", (long long)(f->cert_expiry_s / 86400));
    finish(f, &r);
}

static void http_opened(void *ctx)
{
    struct fetch *f = ctx;
    const struct http_params *p = f->probe->params;
    const char *const *header = p->headers.items;
    struct buf b = BUF_INIT;
    if (stream_ssl(f->stream))
        f->cert_expiry_s = tls_client_expiry_s(stream_ssl(f->stream));
    buf_printf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: pointsman/" PM_VERSION "\r\nAccept: */*\r\nConnection: close\r\n",
               p->method, p->path, host_of(f->probe));
    for (uint32_t i = 0; i < p->headers.count; i++)
        buf_printf(&b, "%s\r\n", header[i]);
    if (p->body)
        buf_printf(&b, "Content-Length: %zu\r\n", strlen(p->body));
    buf_puts(&b, "\r\n");
    if (p->body)
        buf_puts(&b, p->body);
    stream_send(f->stream, b.data, b.len);
    buf_fini(&b);
}

static void http_data(void *ctx)
{
    struct fetch *f = ctx;
    const struct http_params *p = f->probe->params;
    struct buf *in = stream_in(f->stream);
    int err = http_response_feed(&f->response, in->data, in->len);
    buf_clear(in);
    if (err == PM_ETOOBIG && f->response.status) {
        judge(f, false);
    } else if (err) {
        struct probe_result r = probe_result_make(PROBE_FAIL, "not a valid HTTP response: %s", f->response.why);
        finish(f, &r);
    } else if (f->response.complete) {
        judge(f, true);
    }
    (void)p;
}

static void http_ended(void *ctx, enum probe_status how, const char *why)
{
    struct fetch *f = ctx;
    if (how == PROBE_CLOSED && http_response_end(&f->response)) {
        judge(f, true);
        return;
    }
    struct probe_result r = probe_result_make(how, "%s%s", why, f->response.status ? " in the middle of the page" : "");
    finish(f, &r);
}

static const struct stream_handler handler = {http_opened, http_data, http_ended};

static void start(struct probe *p, const struct tls_wish *tls)
{
    const struct http_params *params = p->params;
    struct fetch *f = mem_alloc(sizeof *f);
    enum probe_status status;
    char why[96];
    f->probe = p;
    f->cert_expiry_s = INT64_MIN;
    http_response_init(&f->response, strcmp(params->method, "HEAD") == 0, params->size_max);
    p->state = f;
    f->stream = stream_open(p->loop, &p->target, tls, &handler, f, &status, why);
    if (!f->stream) {
        struct probe_result r = probe_result_make(status, "%s", why);
        finish(f, &r);
    }
}

static void http_start(struct probe *p)
{
    start(p, NULL);
}

static void https_start(struct probe *p)
{
    const struct http_params *params = p->params;
    start(p, &(struct tls_wish){params->ca, host_of(p), "http/1.1", params->verify});
}

static void http_cancel(struct probe *p)
{
    struct fetch *f = p->state;
    if (!f)
        return;
    stream_close(f->stream, true);
    http_response_fini(&f->response);
    free(f);
    p->state = NULL;
}

const struct conf_object monitor_http_object = {.name = "http",
                                                .doc = "Fetches a page by HTTP/1.1 and judges status and content (A3, M6).",
                                                .size = sizeof(struct http_params),
                                                CONF_KEYS(http_keys),
                                                .check = http_check,
                                                .shorthand = "path"};
const struct monitor_module monitor_http = {.object = &monitor_http_object, .default_port = 80, .uses_host = true,
                                            .start = http_start, .cancel = http_cancel};

const struct conf_object monitor_https_object = {.name = "https",
                                                 .doc = "Fetches a page by HTTP/1.1 over TLS; also reports when the certificate expires.",
                                                 .size = sizeof(struct http_params),
                                                 CONF_KEYS(https_keys),
                                                 .check = http_check,
                                                 .shorthand = "path"};
const struct monitor_module monitor_https = {.object = &monitor_https_object, .default_port = 443, .uses_host = true,
                                             .start = https_start, .cancel = http_cancel};
