/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunked bodies (RFC 9112 7.1) on their way through: the decoder says, piece by piece, what the bytes are, and changes
 * nothing. Whoever passes the body on unchanged sends every piece; whoever unwraps it sends the DATA ones.
 *
 * As strict as heads are: sizes of 1 to 15 hex digits, CRLF after size and data and nowhere a bare CR or LF, extensions
 * of visible bytes within HTTP_CHUNK_LINE, trailer lines of the form name:value within HTTP_TRAILER_MAX.
 */
#ifndef PM_HTTP_CHUNK_H
#define PM_HTTP_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum { HTTP_CHUNK_LINE = 256, HTTP_TRAILER_MAX = 8192 };

struct http_chunked {
    uint64_t left;   /* bytes of the present chunk's data still to come */
    uint16_t line;   /* bytes in the present size line or trailer */
    uint8_t state;
    uint8_t digits;
};

struct http_piece {
    size_t len;
    bool data; /* content; else framing */
};

static inline void http_chunked_init(struct http_chunked *c)
{
    *c = (struct http_chunked){0};
}
/* What the first bytes are. PM_OK: the body ends with this piece; PM_EAGAIN: it does not; PM_EPROTO. len may be 0. */
int http_chunked_next(struct http_chunked *c, const char *bytes, size_t len, struct http_piece *out) PM_MUST_CHECK;
/* All pieces at once: how many bytes belong to the body. */
int http_chunked_feed(struct http_chunked *c, const char *bytes, size_t len, size_t *used) PM_MUST_CHECK;
/* Bytes that may be passed on unseen: content of the present chunk. */
uint64_t http_chunked_blind(const struct http_chunked *c);
/* That many of them were. */
void http_chunked_skip(struct http_chunked *c, uint64_t n);

#endif
