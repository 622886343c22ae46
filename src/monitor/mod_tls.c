/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: a TLS handshake, its certificate checked (chain, name, days left). OpenSSL works on the
 * non-blocking socket itself; uv_poll says when to go on. Contexts (they carry the trust store,
 * which is slow to read) are kept per (verify, CA file) and read anew when the file changes.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/file.h"
#include "monitor/probe.h"

struct tls_params {
    bool verify;
    const char *ca_file, *server_name;
    struct conf_list alpn;
    uint32_t min_days;
};

static const struct conf_key keys[] = {
    {"verify", CONF_BOOL, offsetof(struct tls_params, verify), .def = "yes",
     .doc = "Whether the certificate must be trusted and carry the name asked for."},
    {"ca-file", CONF_PATH, offsetof(struct tls_params, ca_file),
     .doc = "PEM file of trusted authorities; the system's are taken without it."},
    {"server-name", CONF_STRING, offsetof(struct tls_params, server_name),
     .doc = "Name for SNI and for the certificate; the check's host without it."},
    {"alpn", CONF_STRING, offsetof(struct tls_params, alpn), .flags = CONF_LIST,
     .doc = "Protocols offered (h2, http/1.1 ...); the server must choose one of them."},
    {"min-days", CONF_UINT, offsetof(struct tls_params, min_days), .def = "0", .min = 0,
     .max = 3650, .unit = "days",
     .doc = "Fails when the certificate is valid for fewer days than this."},
};

const struct conf_object monitor_tls_object = {
    .name = "tls",
    .doc = "TLS handshake with certificate checks and expiry.",
    .size = sizeof(struct tls_params),
    CONF_KEYS(keys),
};

struct context {
    struct context *next;
    SSL_CTX *ctx;
    bool verify;
    char *ca_file;
    struct file_stamp stamp;
};

struct shared {
    struct context *contexts;
};

struct tls {
    struct probe *probe;
    uv_poll_t poll;
    bool polled;
    int fd;
    SSL *ssl;
    uint64_t connect_ns, begin_ns;
    bool connected;
};

static void free_context(struct context *c)
{
    SSL_CTX_free(c->ctx);
    free(c->ca_file);
    free(c);
}

static SSL_CTX *context_for(struct shared *s, const struct tls_params *params)
{
    const char *file = params->verify && params->ca_file ? params->ca_file : "";
    struct file_stamp stamp = *file ? file_stamp(file) : (struct file_stamp){0};
    for (struct context **at = &s->contexts; *at; at = &(*at)->next) {
        struct context *c = *at;
        if (c->verify != params->verify || strcmp(c->ca_file, file) != 0)
            continue;
        if (memcmp(&c->stamp, &stamp, sizeof stamp) == 0)
            return c->ctx;
        *at = c->next;
        free_context(c);
        break;
    }
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx)
        return NULL;
    SSL_CTX_set_verify(ctx, params->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    /* A resumed session would show neither the time nor the certificate of a new one. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (params->verify &&
        (*file ? !SSL_CTX_load_verify_file(ctx, file) : !SSL_CTX_set_default_verify_paths(ctx))) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    struct context *c = mem_alloc(sizeof *c);
    *c = (struct context){s->contexts, ctx, params->verify, mem_strdup(file), stamp};
    s->contexts = c;
    return ctx;
}

static void on_closed(uv_handle_t *h)
{
    struct tls *t = h->data;
    close(t->fd);
    free(t);
}

static void release(struct tls *t)
{
    t->probe->state = NULL;
    SSL_free(t->ssl);
    t->ssl = NULL;
    if (t->polled) {
        uv_close((uv_handle_t *)&t->poll, on_closed);
        return;
    }
    if (t->fd >= 0)
        close(t->fd);
    free(t);
}

static void finish(struct tls *t, struct probe_result r)
{
    struct probe *p = t->probe;
    r.connect_ns = t->connect_ns;
    release(t);
    probe_done(p, &r);
}

/* Seconds until the end of the certificate the server showed. */
static int64_t expiry_s(const struct tls *t)
{
    X509 *cert = SSL_get1_peer_certificate(t->ssl);
    int64_t left = INT64_MIN;
    int days, seconds;
    if (cert && ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)))
        left = (int64_t)days * 86400 + seconds;
    X509_free(cert);
    return left;
}

static void established(struct tls *t)
{
    const struct tls_params *params = t->probe->params;
    int64_t left = expiry_s(t);
    const unsigned char *alpn;
    unsigned alpn_len;
    SSL_get0_alpn_selected(t->ssl, &alpn, &alpn_len);
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    if (params->alpn.count && !alpn_len)
        r = probe_result_make(PROBE_FAIL, "server chose none of the protocols offered (ALPN)");
    else if (params->verify && left < 0)
        r = probe_result_make(PROBE_TLS, "certificate has expired");
    else if (params->min_days && left < (int64_t)params->min_days * 86400)
        r = probe_result_make(PROBE_FAIL, "certificate expires in %lld days",
                              (long long)(left / 86400));
    r.cert_expiry_s = left;
    /* Says goodbye; nobody waits for the answer. */
    SSL_shutdown(t->ssl);
    finish(t, r);
}

static void handshake_failed(struct tls *t, int how, int syscall_errno)
{
    unsigned long e = ERR_peek_error();
    long verify = SSL_get_verify_result(t->ssl);
    struct probe_result r;
    if (verify != X509_V_OK && SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE)
        r = probe_result_make(PROBE_TLS, "certificate: %s", X509_verify_cert_error_string(verify));
    else if (how == SSL_ERROR_SYSCALL && syscall_errno)
        r = probe_result_make(probe_status_from_errno(syscall_errno), "handshake: %s",
                              strerror(syscall_errno));
    else if (how == SSL_ERROR_SYSCALL || how == SSL_ERROR_ZERO_RETURN ||
             ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        r = probe_result_make(PROBE_CLOSED, "closed during the handshake");
    else
        r = probe_result_make(PROBE_TLS, "handshake: %s",
                              ERR_reason_error_string(e) ? ERR_reason_error_string(e) : "failed");
    r.cert_expiry_s = verify == X509_V_ERR_CERT_HAS_EXPIRED ? -1 : INT64_MIN;
    ERR_clear_error();
    finish(t, r);
}

static void on_ready(uv_poll_t *h, int status, int events);

static void go_on(struct tls *t)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_connect(t->ssl), saved = errno;
    if (rc == 1) {
        established(t);
        return;
    }
    int how = SSL_get_error(t->ssl, rc);
    if (how == SSL_ERROR_WANT_READ)
        uv_poll_start(&t->poll, UV_READABLE, on_ready);
    else if (how == SSL_ERROR_WANT_WRITE)
        uv_poll_start(&t->poll, UV_WRITABLE, on_ready);
    else
        handshake_failed(t, how, saved);
}

static void on_ready(uv_poll_t *h, int status, int events)
{
    struct tls *t = h->data;
    if (!t->connected) {
        int err = 0;
        socklen_t len = sizeof err;
        getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (!err && status < 0)
            err = -status;
        if (err) {
            finish(t,
                   probe_result_make(probe_status_from_errno(err), "connect: %s", strerror(err)));
            return;
        }
        t->connected = true;
        t->connect_ns = uv_hrtime() - t->begin_ns;
    }
    go_on(t);
}

static bool offer_alpn(SSL *ssl, const struct conf_list *list)
{
    unsigned char wire[256];
    unsigned n = 0;
    const char *const *names = list->items;
    for (uint32_t i = 0; i < list->count; i++) {
        size_t len = strlen(names[i]);
        if (!len || n + 1 + len > sizeof wire)
            return false;
        wire[n++] = (unsigned char)len;
        memcpy(wire + n, names[i], len);
        n += (unsigned)len;
    }
    return !n || SSL_set_alpn_protos(ssl, wire, n) == 0;
}

static bool set_up(struct tls *t)
{
    const struct tls_params *params = t->probe->params;
    SSL_CTX *ctx = context_for(t->probe->shared, params);
    if (!ctx || !(t->ssl = SSL_new(ctx)) || !SSL_set_fd(t->ssl, t->fd))
        return false;
    const char *name = params->server_name ? params->server_name : t->probe->host;
    struct addr literal;
    if (addr_parse(name, &literal) == 0) {
        /* RFC 6066 3: addresses are not allowed in SNI; the certificate may still carry one. */
        if (params->verify)
            X509_VERIFY_PARAM_set1_ip(SSL_get0_param(t->ssl), literal.bytes, addr_len(&literal));
    } else if (*name) {
        char copy[256]; /* OpenSSL's macro wants it writable */
        if (strlen(name) >= sizeof copy)
            return false;
        strcpy(copy, name);
        SSL_set_tlsext_host_name(t->ssl, copy);
        if (params->verify && !SSL_set1_host(t->ssl, name))
            return false;
    }
    return offer_alpn(t->ssl, &params->alpn);
}

static void tls_start(struct probe *p)
{
    struct tls *t = mem_alloc(sizeof *t);
    struct sockaddr_storage sa;
    t->probe = p;
    p->state = t;
    socklen_t len = endpoint_to_sockaddr(&p->target, &sa);
    t->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->fd < 0) {
        finish(t, probe_result_make(PROBE_LOCAL, "socket: %s", strerror(errno)));
        return;
    }
    if (!set_up(t)) {
        unsigned long e = ERR_peek_error();
        struct probe_result r =
            probe_result_make(PROBE_LOCAL, "TLS cannot be set up: %s",
                              e ? ERR_reason_error_string(e) : "bad name or ALPN");
        ERR_clear_error();
        finish(t, r);
        return;
    }
    t->begin_ns = uv_hrtime();
    if (connect(t->fd, (const struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS) {
        finish(t,
               probe_result_make(probe_status_from_errno(errno), "connect: %s", strerror(errno)));
        return;
    }
    int err = uv_poll_init(p->loop, &t->poll, t->fd);
    if (err) {
        finish(t, probe_result_make(PROBE_LOCAL, "poll: %s", strerror(-err)));
        return;
    }
    t->polled = true;
    t->poll.data = t;
    uv_poll_start(&t->poll, UV_WRITABLE, on_ready);
}

static void tls_cancel(struct probe *p)
{
    release(p->state);
}

static int tls_open(uv_loop_t *loop, void **shared)
{
    *shared = mem_alloc(sizeof(struct shared));
    return 0;
}

static void tls_close(void *shared)
{
    struct shared *s = shared;
    while (s->contexts) {
        struct context *c = s->contexts;
        s->contexts = c->next;
        free_context(c);
    }
    free(s);
}

const struct monitor_module monitor_tls = {.object = &monitor_tls_object, .uses_host = true,
                                           .default_port = 443,
                                           .start = tls_start,
                                           .cancel = tls_cancel,
                                           .open = tls_open,
                                           .close = tls_close};
