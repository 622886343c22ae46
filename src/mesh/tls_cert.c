/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/tls_cert.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>
#include "base/log.h"

enum { DAY_S = 86400, SOON_S = 7 * DAY_S };
enum { CERT_BYTES_MAX = 16 * 1024 }; /* of the other side's chain, before it is known to be a peer */

const char *tls_why(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *text = e ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    return text ? text : "failed";
}

int64_t tls_cert_time(const ASN1_TIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int tls_cert_name(const X509 *cert, char name[MESH_NAME_MAX + 1], const char **why)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    const ASN1_STRING *found = NULL;
    int count = 0, err = PM_EINVAL;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type != GEN_DNS)
            continue;
        found = n->d.dNSName;
        count++;
    }
    int len = found ? ASN1_STRING_length(found) : 0;
    const unsigned char *text = found ? ASN1_STRING_get0_data(found) : NULL;
    if (count == 0) {
        *why = "the certificate names no node";
    } else if (count > 1) {
        *why = "the certificate names more than one node";
    } else if (len < 1 || len > MESH_NAME_MAX || memchr(text, 0, (size_t)len) || memchr(text, '*', (size_t)len)) {
        *why = "the certificate's name cannot be a node's";
    } else {
        memcpy(name, text, (size_t)len);
        name[len] = 0;
        err = PM_OK;
    }
    GENERAL_NAMES_free(names);
    return err;
}

static int fail(struct buf *why, const char *file)
{
    buf_printf(why, "%s: %s", file, tls_why());
    return PM_ETLS;
}

static int load_files(SSL_CTX *ctx, const struct tls_files *f, struct buf *why)
{
    const char *key = f->key ? f->key : f->cert;
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(ctx, f->ca) != 1)
        return fail(why, f->ca);
    if (SSL_CTX_use_certificate_chain_file(ctx, f->cert) != 1)
        return fail(why, f->cert);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return fail(why, key);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return fail(why, key);
    return PM_OK;
}

bool tls_context_trusts(SSL_CTX *ctx, X509 *cert)
{
    X509_STORE_CTX *v = X509_STORE_CTX_new();
    bool yes = v && X509_STORE_CTX_init(v, SSL_CTX_get_cert_store(ctx), cert, NULL) == 1;
    if (yes) {
        X509_STORE_CTX_set_flags(v, X509_V_FLAG_NO_CHECK_TIME);
        yes = X509_verify_cert(v) == 1;
    }
    X509_STORE_CTX_free(v);
    ERR_clear_error();
    return yes;
}

enum tls_age tls_cert_age(const X509 *cert, int64_t now_s)
{
    int64_t from = tls_cert_time(X509_get0_notBefore(cert)), until = tls_cert_time(X509_get0_notAfter(cert));
    int64_t soon = (until - from) / 3 < SOON_S ? (until - from) / 3 : SOON_S;
    return now_s >= until ? TLS_ENDED : until - now_s < soon ? TLS_ENDS_SOON : TLS_FRESH;
}

int64_t tls_context_remind(SSL_CTX *ctx, const char *node, int64_t now_s, int64_t *told_s)
{
    const X509 *own = SSL_CTX_get0_certificate(ctx);
    int64_t until = tls_cert_time(X509_get0_notAfter(own));
    enum tls_age age = tls_cert_age(own, now_s);
    if (age == TLS_FRESH || (*told_s && now_s - *told_s < DAY_S))
        return until;
    *told_s = now_s;
    if (age == TLS_ENDED)
        log_error("this node's certificate has expired: peers refuse it until it is renewed", "node", node);
    else
        log_warn("this node's certificate ends soon: renew it (pointsman keys renew) and reload", "node", node, "hours",
                 LOG_U((uint64_t)(until - now_s) / 3600));
    return until;
}

static int check_own(SSL_CTX *ctx, const struct tls_files *f, const char *node, struct buf *why)
{
    char name[MESH_NAME_MAX + 1];
    const char *text = NULL;
    X509 *own = SSL_CTX_get0_certificate(ctx);
    if (tls_cert_name(own, name, &text) != PM_OK) {
        buf_printf(why, "%s: %s", f->cert, text);
        return PM_ETLS;
    }
    if (strcmp(name, node) != 0) {
        buf_printf(why, "%s: the certificate is for \"%s\", this node is \"%s\"", f->cert, name, node);
        return PM_ETLS;
    }
    if (!tls_context_trusts(ctx, own)) {
        buf_printf(why, "%s: not signed by the authority in %s", f->cert, f->ca);
        return PM_ETLS;
    }
    return PM_OK;
}

int tls_context(const struct tls_files *files, const char *node, SSL_CTX **out, struct buf *why)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (!ctx) {
        buf_printf(why, "TLS: %s", tls_why());
        return PM_ETLS;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_verify_depth(ctx, 4);
    SSL_CTX_set_max_cert_list(ctx, CERT_BYTES_MAX);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    int err = load_files(ctx, files, why);
    if (!err)
        err = check_own(ctx, files, node, why);
    if (err) {
        SSL_CTX_free(ctx);
        return err;
    }
    *out = ctx;
    return PM_OK;
}
