/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/keys.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/file.h"
#include "mesh/tls_cert.h"

enum { SERIAL_BYTES = 16, PEM_MAX = 64 * 1024, SKEW_S = 3600, DAY_S = 86400 };

#define CA_NAME "Pointsman fleet"

/* A key with its certificate: the authority's, or a node's. */
struct pair {
    EVP_PKEY *key;
    X509 *cert;
};

static void pair_fini(struct pair *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
    *p = (struct pair){NULL, NULL};
}

static int say(struct buf *why, int err, const char *path, const char *text)
{
    buf_printf(why, "%s: %s", path, text);
    return err;
}

static int64_t now_s(const struct keys_options *o)
{
    return (int64_t)(clock_wall_ms(o->clock ? o->clock : &clock_system) / 1000);
}

static int path_of(const struct keys_options *o, const char *name, const char *ext, char out[KEYS_PATH_MAX],
                   struct buf *why)
{
    if ((size_t)snprintf(out, KEYS_PATH_MAX, "%s/%s.%s", o->dir, name, ext) >= KEYS_PATH_MAX)
        return say(why, PM_ETOOBIG, o->dir, "the path is too long");
    return PM_OK;
}

bool keys_name_ok(const char *name)
{
    size_t n = strlen(name);
    if (!n || n > MESH_NAME_MAX || strcmp(name, "ca") == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name[i];
        bool inner = i && i + 1 < n && (c == '-' || c == '_' || c == '.');
        if (!(c < 128 && isalnum(c)) && !inner)
            return false;
    }
    return true;
}

static int check_name(const char *node, struct buf *why)
{
    if (keys_name_ok(node))
        return PM_OK;
    buf_printf(why, "\"%s\" cannot be a node's name: letters, digits, '-', '_' and '.' (inside), at most %d, not \"ca\"",
               node, MESH_NAME_MAX);
    return PM_EINVAL;
}

/* ---- making certificates ---- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static bool random_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always 16 bytes (RFC 5280 4.1.2.2) */
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
    BN_free(n);
    return ok;
}

static bool fill(X509 *cert, X509 *issuer, EVP_PKEY *key, const char *name, int64_t now, unsigned days)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    /* 99991231235959Z would be "for ever" (RFC 5280 4.1.2.5); KEYS_DAYS_MAX is far below. */
    return X509_set_version(cert, X509_VERSION_3) == 1 && random_serial(cert) &&
           ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(now - SKEW_S)) &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(now + (int64_t)days * DAY_S)) &&
           X509_set_pubkey(cert, key) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1;
}

static bool extend_ca(X509 *cert)
{
    return add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           add_extension(cert, cert, NID_subject_key_identifier, "hash");
}

static bool extend_node(X509 *cert, X509 *issuer, const char *name)
{
    char san[MESH_NAME_MAX + 8];
    snprintf(san, sizeof san, "DNS:%s", name);
    return add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, issuer, NID_key_usage, "critical,digitalSignature") &&
           add_extension(cert, issuer, NID_ext_key_usage, "serverAuth,clientAuth") &&
           add_extension(cert, issuer, NID_subject_alt_name, san) &&
           add_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always");
}

/* ca NULL: the authority itself. */
static int make(const struct keys_options *o, const struct pair *ca, const char *name, struct pair *out, struct buf *why)
{
    unsigned days = o->days ? o->days : ca ? KEYS_NODE_DAYS : KEYS_CA_DAYS;
    if (days > KEYS_DAYS_MAX)
        return say(why, PM_ERANGE, name, "a certificate for that many days cannot be made");
    ERR_clear_error();
    *out = (struct pair){EVP_EC_gen("P-256"), X509_new()};
    X509 *issuer = ca ? ca->cert : out->cert;
    bool ok = out->key && out->cert && fill(out->cert, issuer, out->key, name, now_s(o), days) &&
              (ca ? extend_node(out->cert, issuer, name) : extend_ca(out->cert)) &&
              X509_sign(out->cert, ca ? ca->key : out->key, EVP_sha256()) > 0;
    if (ok)
        return PM_OK;
    pair_fini(out);
    return say(why, PM_ETLS, name, tls_why());
}

/* ---- files ---- */

static int pem(const struct pair *p, bool key, bool cert, BIO **out)
{
    *out = BIO_new(BIO_s_secmem()); /* wiped when freed */
    if (*out && (!key || PEM_write_bio_PKCS8PrivateKey(*out, p->key, NULL, NULL, 0, NULL, NULL) == 1) &&
        (!cert || PEM_write_bio_X509(*out, p->cert) == 1))
        return PM_OK;
    BIO_free(*out);
    *out = NULL;
    return PM_ETLS;
}

static int write_pem(const char *path, const struct pair *p, bool key, bool cert, unsigned mode, struct buf *why)
{
    BIO *bio;
    char *data;
    struct stat old;
    bool replaced = stat(path, &old) == 0;
    if (pem(p, key, cert, &bio) != PM_OK)
        return say(why, PM_ETLS, path, tls_why());
    long n = BIO_get_mem_data(bio, &data);
    if (replaced && key)
        mode |= old.st_mode & 040;
    int err = file_replace(path, data, (size_t)n, mode);
    BIO_free(bio);
    if (err)
        return say(why, err, path, err_text(err));
    if (replaced && (old.st_uid != geteuid() || old.st_gid != getegid()) && lchown(path, old.st_uid, old.st_gid) != 0)
        return say(why, err_from_errno(errno), path, "was written, but its owner cannot be kept");
    return PM_OK;
}

static int read_pair(const char *cert_path, const char *key_path, struct pair *out, struct buf *why)
{
    struct buf text = BUF_INIT, key_text = BUF_INIT;
    *out = (struct pair){NULL, NULL};
    int err = file_read(cert_path, PEM_MAX, &text);
    if (err)
        return say(why, err, cert_path, err_text(err));
    BIO *bio = BIO_new_mem_buf(text.data ? text.data : "", (int)text.len);
    ERR_clear_error();
    out->cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!out->cert)
        err = say(why, PM_EPARSE, cert_path, "no certificate in it");
    if (!err && key_path) {
        err = file_read(key_path, PEM_MAX, &key_text);
        if (err)
            (void)say(why, err, key_path, err_text(err));
    }
    if (!err && key_path) {
        bio = BIO_new_mem_buf(key_text.data ? key_text.data : "", (int)key_text.len);
        out->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
        BIO_free(bio);
        if (!out->key || X509_check_private_key(out->cert, out->key) != 1)
            err = say(why, PM_EPARSE, key_path, out->key ? "not the key of the certificate" : "no private key in it");
    }
    ERR_clear_error();
    if (key_text.data)
        OPENSSL_cleanse(key_text.data, key_text.cap);
    if (text.data)
        OPENSSL_cleanse(text.data, text.cap); /* a node's file holds its key as well */
    buf_fini(&text);
    buf_fini(&key_text);
    if (err)
        pair_fini(out);
    return err;
}

static int read_ca(const struct keys_options *o, struct pair *ca, struct buf *why)
{
    char cert[KEYS_PATH_MAX], key[KEYS_PATH_MAX];
    int err = path_of(o, "ca", "pem", cert, why);
    if (!err)
        err = path_of(o, "ca", "key", key, why);
    if (!err)
        err = read_pair(cert, key, ca, why);
    if (!err && tls_cert_time(X509_get0_notAfter(ca->cert)) <= now_s(o)) {
        pair_fini(ca);
        err = say(why, PM_ETLS, cert, "the authority has expired");
    }
    return err;
}

static int absent(const char *path, bool force, struct buf *why)
{
    struct stat st;
    if (force || (lstat(path, &st) != 0 && errno == ENOENT))
        return PM_OK;
    return say(why, PM_EEXISTS, path, "already exists (--force replaces it)");
}

static int write_node(const struct keys_options *o, const struct pair *ca, const char *node, struct buf *why)
{
    char path[KEYS_PATH_MAX];
    struct pair p = {NULL, NULL};
    int err = path_of(o, node, "pem", path, why);
    if (!err)
        err = make(o, ca, node, &p, why);
    if (!err && tls_cert_time(X509_get0_notAfter(p.cert)) > tls_cert_time(X509_get0_notAfter(ca->cert))) {
        /* A certificate that outlives its authority is refused from then on: its dates would not be true. */
        ASN1_TIME_set(X509_getm_notAfter(p.cert), (time_t)tls_cert_time(X509_get0_notAfter(ca->cert)));
        if (X509_sign(p.cert, ca->key, EVP_sha256()) <= 0)
            err = say(why, PM_ETLS, path, tls_why());
    }
    if (!err)
        err = write_pem(path, &p, true, true, 0600, why);
    pair_fini(&p);
    return err;
}

/* ---- commands ---- */

int keys_init(const struct keys_options *o, const char *node, struct buf *why)
{
    char cert[KEYS_PATH_MAX], key[KEYS_PATH_MAX], first[KEYS_PATH_MAX];
    struct pair ca = {NULL, NULL};
    struct keys_options ca_options = *o, node_options = *o;
    ca_options.days = 0; /* the days asked for are the node's */
    int err = check_name(node, why);
    if (!err)
        err = path_of(o, "ca", "pem", cert, why);
    if (!err)
        err = path_of(o, "ca", "key", key, why);
    if (!err)
        err = path_of(o, node, "pem", first, why);
    if (!err && mkdir(o->dir, 0700) != 0 && errno != EEXIST)
        err = say(why, err_from_errno(errno), o->dir, strerror(errno));
    if (!err)
        err = absent(cert, o->force, why);
    if (!err)
        err = absent(key, o->force, why);
    if (!err)
        err = absent(first, o->force, why);
    if (!err)
        err = make(&ca_options, NULL, CA_NAME, &ca, why);
    if (!err)
        err = write_pem(key, &ca, true, false, 0600, why);
    if (!err)
        err = write_pem(cert, &ca, false, true, 0644, why);
    if (!err)
        err = write_node(&node_options, &ca, node, why);
    pair_fini(&ca);
    return err;
}

int keys_issue(const struct keys_options *o, const char *node, struct buf *why)
{
    char path[KEYS_PATH_MAX];
    struct pair ca = {NULL, NULL};
    int err = check_name(node, why);
    if (!err)
        err = path_of(o, node, "pem", path, why);
    if (!err)
        err = absent(path, o->force, why);
    if (!err)
        err = read_ca(o, &ca, why);
    if (!err)
        err = write_node(o, &ca, node, why);
    pair_fini(&ca);
    return err;
}

int keys_renew(const struct keys_options *o, const char *node, bool *renewed, struct buf *why)
{
    char path[KEYS_PATH_MAX];
    struct pair ca = {NULL, NULL}, old = {NULL, NULL};
    struct keys_options same = *o;
    *renewed = false;
    int err = check_name(node, why);
    if (!err)
        err = path_of(o, node, "pem", path, why);
    if (!err)
        err = read_pair(path, NULL, &old, why);
    if (err)
        return err;
    int64_t from = tls_cert_time(X509_get0_notBefore(old.cert)), until = tls_cert_time(X509_get0_notAfter(old.cert));
    pair_fini(&old);
    if (!o->force && (until - now_s(o)) * 3 >= until - from)
        return PM_OK;
    if (!same.days && until > from + SKEW_S)
        same.days = (unsigned)((until - from - SKEW_S + DAY_S - 1) / DAY_S); /* as long as it was made for */
    err = read_ca(o, &ca, why);
    if (!err)
        err = write_node(&same, &ca, node, why);
    pair_fini(&ca);
    *renewed = err == PM_OK;
    return err;
}

/* ---- show ---- */

static void describe(const struct keys_options *o, X509 *cert, struct keys_entry *e)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    size_t at = 0;
    e->from_s = tls_cert_time(X509_get0_notBefore(cert));
    e->until_s = tls_cert_time(X509_get0_notAfter(cert));
    if (X509_digest(cert, EVP_sha256(), hash, &n) != 1)
        n = 0;
    for (unsigned i = 0; i < n && at + 4 <= sizeof e->fingerprint; i++)
        at += (size_t)snprintf(e->fingerprint + at, sizeof e->fingerprint - at, i ? ":%02x" : "%02x", hash[i]);
    if (now_s(o) < e->from_s)
        e->problem = "not valid yet";
    else if (now_s(o) >= e->until_s)
        e->problem = "expired";
}

static void show_node(const struct keys_options *o, const struct pair *ca, const char *file, keys_show_fn *fn, void *ctx)
{
    struct keys_entry e = {.problem = ""};
    struct pair p;
    struct buf unused = BUF_INIT;
    char path[KEYS_PATH_MAX], name[MESH_NAME_MAX + 1];
    const char *why = "";
    snprintf(e.name, sizeof e.name, "%.*s", (int)(strlen(file) - strlen(".pem")), file);
    if (path_of(o, e.name, "pem", path, &unused) != PM_OK || read_pair(path, path, &p, &unused) != PM_OK) {
        e.problem = "cannot be read as key and certificate";
        fn(ctx, &e);
    } else {
        describe(o, p.cert, &e);
        if (tls_cert_name(p.cert, name, &why) != PM_OK)
            e.problem = why;
        else if (strcmp(name, e.name) != 0)
            e.problem = "the certificate is for another name";
        else if (ca->cert && X509_verify(p.cert, X509_get0_pubkey(ca->cert)) != 1)
            e.problem = "not signed by this authority";
        ERR_clear_error();
        fn(ctx, &e);
        pair_fini(&p);
    }
    buf_fini(&unused);
}

static int is_node_file(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    char name[MESH_NAME_MAX + 1];
    if (n <= 4 || n - 4 > MESH_NAME_MAX || strcmp(d->d_name + n - 4, ".pem") != 0)
        return 0;
    snprintf(name, sizeof name, "%.*s", (int)(n - 4), d->d_name);
    return keys_name_ok(name);
}

int keys_show(const struct keys_options *o, keys_show_fn *fn, void *ctx, struct buf *why)
{
    struct pair ca;
    struct dirent **files;
    char path[KEYS_PATH_MAX];
    struct keys_entry e = {.name = CA_NAME, .authority = true, .problem = ""};
    int err = path_of(o, "ca", "pem", path, why);
    if (!err)
        err = read_pair(path, NULL, &ca, why);
    if (err)
        return err;
    describe(o, ca.cert, &e);
    fn(ctx, &e);
    int n = scandir(o->dir, &files, is_node_file, alphasort);
    for (int i = 0; i < n; i++) {
        show_node(o, &ca, files[i]->d_name, fn, ctx);
        free(files[i]);
    }
    if (n >= 0)
        free(files);
    else
        err = say(why, err_from_errno(errno), o->dir, strerror(errno));
    pair_fini(&ca);
    return err;
}
