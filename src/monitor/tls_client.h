/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for checks: contexts are made once per CA file and kept (loading the system's certificates takes milliseconds).
 * Thread: control. The cache lives until tls_client_cleanup.
 */
#ifndef PM_MONITOR_TLS_CLIENT_H
#define PM_MONITOR_TLS_CLIENT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

struct tls_wish {
    const char *ca;   /* file with certificates to trust; NULL = the system's */
    const char *host; /* name in SNI and, if verify, in the certificate */
    const char *alpn; /* "http/1.1", NULL = none */
    bool verify;
};

/* A client connection, not attached to a socket yet; NULL with the reason in why (96 bytes). Owned by the caller. */
SSL *tls_client_new(const struct tls_wish *wish, char *why) PM_MUST_CHECK;
/* Seconds until the server's certificate expires (negative: has expired); INT64_MIN = none was shown. */
int64_t tls_client_expiry_s(SSL *ssl);
/* What went wrong in the last call on this connection, one line. */
void tls_client_why(SSL *ssl, char *why);
void tls_client_cleanup(void);

#endif
