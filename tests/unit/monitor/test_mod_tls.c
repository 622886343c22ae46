/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include "one_probe.h"
#include "base/clock.h"
#include "base/log.h"
#include "monitor/monitor.h"

struct tls_params {
    bool verify;
    const char *ca_file, *server_name;
    struct conf_list alpn;
    uint32_t min_days;
};
extern const struct monitor_module monitor_tls, monitor_tcp;

static SSL_CTX *server_ctx;
static char ca_path[] = "/tmp/test_tls_XXXXXX";

/* Its own authority, for www.example and ::1, valid from yesterday for so many days. */
static void make_identity(int days)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + days);
    X509_gmtime_adj(X509_getm_notBefore(x), -86400 * 30L);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400L * days + 3600);
    X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"www.example", -1,
                               -1, 0);
    X509_set_issuer_name(x, name);
    X509_EXTENSION *ext =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:www.example,IP:::1");
    assert_non_null(ext);
    X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    SSL_CTX_free(server_ctx);
    server_ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(server_ctx, x);
    SSL_CTX_use_PrivateKey(server_ctx, key);
    FILE *f = fopen(ca_path, "w");
    assert_non_null(f);
    PEM_write_X509(f, x);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static char seen_name[64];

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *len,
                       const unsigned char *in, unsigned n, void *arg)
{
    static const unsigned char h2[] = {2, 'h', '2'};
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, len, h2, sizeof h2, in, n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void serve_tls(int fd)
{
    SSL_CTX_set_alpn_select_cb(server_ctx, choose_alpn, NULL);
    SSL *ssl = SSL_new(server_ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        snprintf(seen_name, sizeof seen_name, "%s", sni ? sni : "");
        char b[16];
        SSL_read(ssl, b, sizeof b);
    }
    SSL_free(ssl);
    ERR_clear_error();
}

static void serve_silent(int fd)
{
    char b[2048];
    while (get(fd, b, sizeof b) > 0)
        ;
}

static void serve_close(int fd)
{
    char b[2048];
    get(fd, b, sizeof b);
}

static void serve_reset(int fd)
{
    char b[2048];
    get(fd, b, 10);
    reset(fd);
}

static void serve_garbage(int fd)
{
    char b[2048];
    put(fd, "220 smtp.example ESMTP\r\n");
    get(fd, b, sizeof b);
}

static struct probe_result tls(serve_fn *serve, bool v6, const char *host, struct tls_params params)
{
    struct server s;
    server_start(&s, v6, serve);
    struct probe_result r = run_one(&monitor_tls, &params, loopback(v6, s.port), host, 1000);
    server_stop(&s);
    return r;
}

static void test_tls(void **state)
{
    struct tls_params p = {.verify = true, .ca_file = ca_path}, q = p;
    make_identity(10);
    for (int v6 = 0; v6 < 2; v6++) {
        struct probe_result r = tls(serve_tls, v6, "www.example", p);
        assert_string_equal(r.why, "");
        assert_int_equal(r.status, PROBE_OK);
        assert_in_range(r.cert_expiry_s, 10 * 86400, 10 * 86400 + 3600);
        assert_string_equal(seen_name, "www.example");
        assert_true(r.connect_ns > 0);
        assert_int_equal(tls(serve_close, v6, "www.example", p).status, PROBE_CLOSED);
        assert_int_equal(tls(serve_reset, v6, "www.example", p).status, PROBE_RESET);
        assert_int_equal(tls(serve_garbage, v6, "www.example", p).status, PROBE_TLS);
        assert_int_equal(tls(serve_silent, v6, "www.example", p).status, PROBE_TIMEOUT);
        uint16_t port;
        close(bound_socket(v6, SOCK_STREAM, &port));
        assert_int_equal(run_one(&monitor_tls, &p, loopback(v6, port), "h", 1000).status,
                         PROBE_REFUSED);
    }
    /* By address: no SNI, the certificate must carry it. */
    assert_int_equal(tls(serve_tls, true, "::1", p).status, PROBE_OK);
    assert_string_equal(seen_name, "");
    assert_int_equal(tls(serve_tls, true, "::2", p).status, PROBE_TLS);
    struct probe_result r = tls(serve_tls, false, "mail.example", p);
    assert_int_equal(r.status, PROBE_TLS);
    assert_non_null(strstr(r.why, "ostname mismatch"));
    q.server_name = "www.example";
    assert_int_equal(tls(serve_tls, false, "mail.example", q).status, PROBE_OK);
    q = p;
    q.min_days = 30;
    r = tls(serve_tls, false, "www.example", q);
    assert_int_equal(r.status, PROBE_FAIL);
    assert_string_equal(r.why, "certificate expires in 10 days");
    /* Not trusted by the system; not asked for trust. */
    q = (struct tls_params){.verify = true};
    assert_int_equal(tls(serve_tls, false, "www.example", q).status, PROBE_TLS);
    q.verify = false;
    assert_int_equal(tls(serve_tls, false, "other.example", q).status, PROBE_OK);
    q = p;
    q.ca_file = "/nonexistent/ca.pem";
    assert_int_equal(tls(serve_tls, false, "www.example", q).status, PROBE_LOCAL);
}

static void test_alpn(void **state)
{
    make_identity(10);
    const char *both[] = {"http/1.1", "h2"}, *one[] = {"http/1.1"};
    struct tls_params p = {.verify = true, .ca_file = ca_path, .alpn = {both, 2}};
    assert_int_equal(tls(serve_tls, false, "www.example", p).status, PROBE_OK);
    p.alpn = (struct conf_list){one, 1};
    assert_int_equal(tls(serve_tls, false, "www.example", p).status, PROBE_FAIL);
}

static void test_expired(void **state)
{
    make_identity(-5);
    struct tls_params p = {.verify = true, .ca_file = ca_path};
    struct probe_result r = tls(serve_tls, false, "www.example", p);
    assert_int_equal(r.status, PROBE_TLS);
    assert_string_equal(r.why, "certificate: certificate has expired");
    assert_true(r.cert_expiry_s < 0 && r.cert_expiry_s != INT64_MIN);
    /* Without verify it is told, and min-days still asks. */
    p.verify = false;
    assert_int_equal(tls(serve_tls, false, "www.example", p).status, PROBE_OK);
    p.min_days = 1;
    assert_int_equal(tls(serve_tls, false, "www.example", p).status, PROBE_FAIL);
}

static unsigned seen_up, seen_down;

static void on_observe(void *ctx, struct monitor_check *c, const struct check_view *v, bool changed)
{
    seen_up += changed && v->state == CHECK_UP;
    seen_down += changed && v->state == CHECK_DOWN;
    if (seen_up == 1 && seen_down == 1)
        uv_stop(ctx);
}

/* The whole engine on the real loop and clock: a CA file that is replaced, real checks, a clean end
 * while they run. */
static void test_real_loop(void **state)
{
    make_identity(10);
    struct server s;
    uint16_t closed;
    server_start(&s, false, serve_tls);
    close(bound_socket(false, SOCK_STREAM, &closed));
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct monitor_options opt = {.observe = on_observe, .ctx = &loop};
    struct monitor *m = monitor_new(&loop, &clock_system, &opt);
    struct tls_params p = {.verify = true, .ca_file = ca_path};
    struct check_timing t = {.interval_ms = 30,
                             .timeout_ms = 1000,
                             .iterations = 2,
                             .rise = 2,
                             .fall = 3,
                             .average_ms = 1000};
    struct monitor_spec specs[2] = {
        {.key = "a",
         .module = &monitor_tls,
         .params = &p,
         .target = loopback(false, s.port),
         .host = "www.example",
         .timing = t},
        {.key = "b",
         .module = &monitor_tls,
         .params = &p,
         .target = loopback(false, closed),
         .host = "www.example",
         .timing = t},
    };
    assert_int_equal(monitor_apply(m, specs, 2), 0);
    uint64_t begin = uv_hrtime();
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(uv_hrtime() - begin < 5000000000u);
    struct check_view v;
    monitor_check_view(m, monitor_find(m, "a"), &v);
    assert_int_equal(v.state, CHECK_UP);
    assert_true(v.response_ms > 0 && v.response_ms < 1000);
    assert_in_range(v.cert_expiry_s, 10 * 86400 - 60, 10 * 86400 + 3600);
    monitor_check_view(m, monitor_find(m, "b"), &v);
    assert_int_equal(v.state, CHECK_DOWN);
    assert_int_equal(v.last_status, PROBE_REFUSED);
    /* Ends in the middle of a handshake. */
    monitor_check_now(m, monitor_find(m, "a"));
    uv_run(&loop, UV_RUN_ONCE);
    monitor_free(m);
    while (uv_run(&loop, UV_RUN_DEFAULT))
        ;
    assert_int_equal(uv_loop_close(&loop), 0);
    server_stop(&s);
}

int main(void)
{
    log_init(LOG_ERROR - 1, -1);
    signal(SIGPIPE, SIG_IGN);
    close(mkstemp(ca_path));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_real_loop),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    SSL_CTX_free(server_ctx);
    unlink(ca_path);
    return rc;
}
