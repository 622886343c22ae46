/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/tls_client.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/addr.h"
#include "base/arena.h"
#include "base/map.h"

enum { WHY_MAX = 96 };

static struct map contexts = MAP_INIT; /* CA file ("" = system) -> SSL_CTX; control thread only */

static SSL_CTX *context_for(const char *ca, char *why)
{
    SSL_CTX *ctx = map_get_str(&contexts, ca ? ca : "");
    if (ctx)
        return ctx;
    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || (ca ? SSL_CTX_load_verify_locations(ctx, ca, NULL) : SSL_CTX_set_default_verify_paths(ctx)) != 1) {
        snprintf(why, WHY_MAX, "cannot load CA certificates%s%s", ca ? " from " : "", ca ? ca : "");
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* every check is a full handshake */
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    map_put_str(&contexts, mem_strdup(ca ? ca : ""), ctx);
    return ctx;
}

static void set_alpn(SSL *ssl, const char *alpn)
{
    unsigned char wire[64];
    size_t n = strlen(alpn);
    if (n == 0 || n >= sizeof wire)
        return;
    wire[0] = (unsigned char)n;
    memcpy(wire + 1, alpn, n);
    SSL_set_alpn_protos(ssl, wire, (unsigned)n + 1);
}

SSL *tls_client_new(const struct tls_wish *wish, char *why)
{
    SSL_CTX *ctx = context_for(wish->ca, why);
    SSL *ssl = ctx ? SSL_new(ctx) : NULL;
    struct addr a;
    if (!ssl)
        return NULL;
    bool literal = addr_parse(wish->host, &a) == PM_OK;
    if (!literal)
        SSL_set_tlsext_host_name(ssl, wish->host); /* RFC 6066 3: no literal addresses */
    if (wish->alpn)
        set_alpn(ssl, wish->alpn);
    SSL_set_verify(ssl, wish->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (wish->verify && literal)
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), wish->host);
    else if (wish->verify)
        SSL_set1_host(ssl, wish->host);
    SSL_set_connect_state(ssl);
    return ssl;
}

int64_t tls_client_expiry_s(SSL *ssl)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    int days, seconds;
    if (!cert || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1)
        return INT64_MIN;
    return (int64_t)days * 86400 + seconds;
}

void tls_client_why(SSL *ssl, char *why)
{
    long verify = SSL_get_verify_result(ssl);
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    if (verify != X509_V_OK && (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER))
        snprintf(why, WHY_MAX, "certificate: %.70s", X509_verify_cert_error_string(verify));
    else
        snprintf(why, WHY_MAX, "TLS: %.80s", reason ? reason : "handshake failed");
    ERR_clear_error();
}

void tls_client_cleanup(void)
{
    struct map_slot s;
    for (size_t at = 0; map_next(&contexts, &at, &s);) {
        SSL_CTX_free(s.value);
        free((void *)(uintptr_t)s.key);
    }
    map_fini(&contexts);
}
