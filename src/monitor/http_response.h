/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one HTTP/1.x response as it arrives (RFC 9112): status line, header fields, body by Content-Length, chunked or up
 * to the end of the connection; 1xx responses are passed over. Strict: bare LF, folded lines, both lengths at once and the
 * like are errors, for a server that confuses us confuses others.
 *
 * Owner: the caller. Pure: bytes in, state out. Bounds: 16 KiB of head, body_max of body (PM_ETOOBIG).
 */
#ifndef PM_MONITOR_HTTP_RESPONSE_H
#define PM_MONITOR_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"

struct http_response {
    int status; /* 0 until the head is complete */
    bool complete;
    struct buf body; /* decoded */
    const char *why; /* what is wrong with it */
    /* private */
    struct buf line;
    size_t head_bytes;
    uint64_t body_max, left;
    uint8_t phase;
    bool head_request, chunked, has_length, until_close, saw_status;
};

void http_response_init(struct http_response *r, bool head_request, uint64_t body_max);
void http_response_fini(struct http_response *r);
/* PM_EPROTO with why; PM_ETOOBIG: the body is larger than body_max (what fits is kept). Bytes after the end are ignored. */
int http_response_feed(struct http_response *r, const char *data, size_t len) PM_MUST_CHECK;
/* The connection has ended: true if that completes the response. */
bool http_response_end(struct http_response *r);

#endif
