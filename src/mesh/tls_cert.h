/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates of nodes: whose they are, and the TLS context in which two nodes prove it to each other.
 *
 * A node's name is the only DNS name in its certificate's subjectAltName, compared byte by byte: no wildcards, no common
 * name. A certificate with several names is refused, because it would let one key speak for several writers.
 *
 * A context is TLS 1.3 only, demands a certificate of the other side in both roles, trusts nothing but the fleet's own
 * authority (never the system's), and resumes no sessions: every link is proven anew.
 *
 * Thread: control. Memory: the caller frees what it gets. Failure: a code, and one line in `why`.
 */
#ifndef PM_MESH_TLS_CERT_H
#define PM_MESH_TLS_CERT_H

#include <openssl/ssl.h>
#include "base/buf.h"
#include "base/clock.h"
#include "mesh/link.h"

struct tls_files {
    const char *ca, *cert;
    const char *key; /* NULL: it is in cert's file */
};

/* PM_OK and the name; else a code, with why set to a static text. */
int tls_cert_name(const X509 *cert, char name[MESH_NAME_MAX + 1], const char **why) PM_MUST_CHECK;
/* Seconds since 1970; 0 if the field cannot be read. */
int64_t tls_cert_time(const ASN1_TIME *t);
/*
 * A context with the files' certificate and authority. The certificate must be node's, its key must fit, and the authority
 * must have signed it. One that has ended is taken: peers say no until it is renewed, and a reload picks that up.
 */
int tls_context(const struct tls_files *files, const char *node, SSL_CTX **out, struct buf *why) PM_MUST_CHECK;
/* Near its end: a third of its time is left, at most a week. */
enum tls_age { TLS_FRESH, TLS_ENDS_SOON, TLS_ENDED };
enum tls_age tls_cert_age(const X509 *cert, int64_t now_s);
/* Says in the log when the context's own certificate has ended or will soon; to be called now and then. *told_s: when it
 * last did (0 = never), since it says so once a day. Returns until when it is good. */
int64_t tls_context_remind(SSL_CTX *ctx, const char *node, int64_t now_s, int64_t *told_s);
/* Whether the context's authority has signed this certificate, whatever the time. */
bool tls_context_trusts(SSL_CTX *ctx, X509 *cert);
/* OpenSSL's reason for what just failed; clears its queue. Valid until the thread's next use of OpenSSL. */
const char *tls_why(void);

#endif
