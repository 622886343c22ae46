/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TLS client says first (ClientHello, RFC 8446 4.1.2): the name it wants (RFC 6066 3) and the protocols it offers
 * (RFC 7301), read strictly, in one or more records (RFC 8446 5.1), never answered. With Encrypted ClientHello the name is
 * the outer one, which is what its owner wants balancers to see.
 *
 * Pure, no memory: what is kept is copied. The relay has a reader of its own for the kernel; tests compare the two.
 */
#ifndef PM_HTTP_HELLO_H
#define PM_HTTP_HELLO_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum { HTTP_HELLO_NAME = 255, HTTP_HELLO_ALPN = 512, HTTP_HELLO_MAX = 16384 /* bytes of the message */ };

struct http_hello {
    char name[HTTP_HELLO_NAME + 1]; /* in lower case; "": none was said */
    size_t name_len;
    uint8_t alpn[HTTP_HELLO_ALPN]; /* as sent: each protocol behind its length; of a longer list the first ones */
    size_t alpn_len;
};

/* PM_OK; PM_EAGAIN: give more behind the same bytes; PM_EPROTO: no greeting, or one that contradicts itself. */
int http_hello_read(const void *bytes, size_t len, struct http_hello *out) PM_MUST_CHECK;

#endif
