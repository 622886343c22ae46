/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/sign.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/map.h"

enum { HASH_BYTES = 32 };

/* A certificate that was found good. */
struct known {
    uint8_t hash[HASH_BYTES];
    char name[MESH_NAME_MAX + 1];
    int64_t from_s, until_s;
    EVP_PKEY *key;
};

struct mesh_sign {
    const struct clock *clock;
    SSL_CTX *ssl; /* own certificate and key, and the authority */
    struct mesh_trust trust;
    uint8_t *identity;
    struct map keys;
};

static int64_t now_s(const struct mesh_sign *s)
{
    return (int64_t)(clock_wall_ms(s->clock) / 1000);
}

/* ---- certificates ---- */

static void forget_all(struct mesh_sign *s)
{
    struct map_slot slot;
    for (size_t at = 0; map_next(&s->keys, &at, &slot);) {
        struct known *k = slot.value;
        EVP_PKEY_free(k->key);
        free(k);
    }
    map_fini(&s->keys);
    map_init(&s->keys);
}

/* NULL: not one of ours. */
static struct known *learn(struct mesh_sign *s, const uint8_t hash[HASH_BYTES], const uint8_t *der,
                           size_t n)
{
    const unsigned char *at = der;
    const char *why;
    struct known k = {.key = NULL};
    struct known *out = NULL;
    X509 *cert = d2i_X509(NULL, &at, (long)n);
    if (cert && at == der + n && tls_context_trusts(s->ssl, cert) &&
        tls_cert_name(cert, k.name, &why) == PM_OK)
        k.key = X509_get_pubkey(cert);
    if (k.key && EVP_PKEY_base_id(k.key) == EVP_PKEY_EC && !X509_check_ca(cert)) {
        if (s->keys.count >= SIGN_KEYS_MAX)
            forget_all(s);
        memcpy(k.hash, hash, HASH_BYTES);
        k.from_s = tls_cert_time(X509_get0_notBefore(cert));
        k.until_s = tls_cert_time(X509_get0_notAfter(cert));
        out = mem_alloc(sizeof *out);
        *out = k;
        map_put(&s->keys, out->hash, HASH_BYTES, out);
    } else {
        EVP_PKEY_free(k.key);
    }
    X509_free(cert);
    ERR_clear_error();
    return out;
}

static const struct known *key_of(struct mesh_sign *s, struct mesh_str node,
                                  const struct mesh_record *identity)
{
    uint8_t hash[HASH_BYTES];
    if (!identity || !identity->value_len ||
        EVP_Digest(identity->value, identity->value_len, hash, NULL, EVP_sha256(), NULL) != 1)
        return NULL;
    const struct known *k = map_get(&s->keys, hash, HASH_BYTES);
    if (!k)
        k = learn(s, hash, identity->value, identity->value_len);
    bool good =
        k && mesh_str_eq(mesh_str(k->name), node) && now_s(s) >= k->from_s && now_s(s) < k->until_s;
    return good ? k : NULL;
}

/* ---- signatures ---- */

static int sign(void *user, const struct mesh_signed *what, uint8_t out[MESH_SIGNATURE_MAX])
{
    struct mesh_sign *s = user;
    EVP_PKEY *key = SSL_CTX_get0_privatekey(s->ssl);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = MESH_SIGNATURE_MAX;
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSignUpdate(ctx, what->a, what->a_len) == 1 &&
              EVP_DigestSignUpdate(ctx, what->b, what->b_len) == 1 &&
              EVP_DigestSignFinal(ctx, out, &n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok ? (int)n : PM_ETLS;
}

static int verify(void *user, struct mesh_str node, const struct mesh_record *identity,
                  const struct mesh_signed *what, const uint8_t *signature, size_t n)
{
    struct mesh_sign *s = user;
    const struct known *k = key_of(s, node, identity);
    if (!k)
        return PM_ENOTFOUND;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
              EVP_DigestVerifyUpdate(ctx, what->a, what->a_len) == 1 &&
              EVP_DigestVerifyUpdate(ctx, what->b, what->b_len) == 1 &&
              EVP_DigestVerifyFinal(ctx, signature, n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok ? PM_OK : PM_ETLS;
}

/* ---- life ---- */

int mesh_sign_new(const struct tls_files *files, const char *node, const struct clock *clock,
                  struct mesh_sign **out, struct buf *why)
{
    SSL_CTX *ssl = NULL;
    int err = tls_context(files, node, &ssl, why);
    if (err)
        return err;
    unsigned char *der = NULL;
    int n = i2d_X509(SSL_CTX_get0_certificate(ssl), &der);
    EVP_PKEY *key = SSL_CTX_get0_privatekey(ssl);
    if (n <= 0 || n > MESH_VALUE_MAX || EVP_PKEY_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_size(key) > MESH_SIGNATURE_MAX) {
        buf_printf(why, "%s: signing needs an ECDSA key of at most 384 bits", files->cert);
        OPENSSL_free(der);
        SSL_CTX_free(ssl);
        return PM_ETLS;
    }
    struct mesh_sign *s = mem_alloc(sizeof *s);
    s->clock = clock;
    s->ssl = ssl;
    s->identity = mem_alloc((size_t)n);
    memcpy(s->identity, der, (size_t)n);
    OPENSSL_free(der);
    map_init(&s->keys);
    s->trust = (struct mesh_trust){s, sign, verify, s->identity, (uint16_t)n};
    *out = s;
    return PM_OK;
}

const struct mesh_trust *mesh_sign_trust(const struct mesh_sign *s)
{
    return &s->trust;
}

void mesh_sign_free(struct mesh_sign *s)
{
    if (!s)
        return;
    forget_all(s);
    map_fini(&s->keys);
    SSL_CTX_free(s->ssl);
    free(s->identity);
    free(s);
}
