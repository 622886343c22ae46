/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of HTTP/1.x messages (RFC 9112), parsed strictly and in place.
 *
 * A struct http_head holds no text: every span is an offset into the bytes given, which stay the caller's and must lie
 * at the same distance from each other in the next call. The parser works line by line and remembers how far it came,
 * so a head that arrives in pieces is read once: call it again with the same bytes and more behind them.
 *
 * Two readers that understand a message differently are how requests are smuggled, so nothing is forgiven that has two
 * readings: bare LF or CR, folded lines, whitespace before the colon, NUL and control bytes, Content-Length twice or not
 * of digits alone, Content-Length beside Transfer-Encoding, Transfer-Encoding that is not `chunked` once or comes
 * in HTTP/1.0, no or two Host. What the fields said is left in flags and numbers; only fields of the table HTTP_FIELDS
 * are kept, all others are merely checked.
 *
 * Returns: PM_OK (head complete, its length in .len), PM_EAGAIN (give more), PM_EPROTO (.status is what to answer, .why
 * says it in words). After PM_EPROTO the connection has no known framing and must be closed.
 */
#ifndef PM_HTTP_HEAD_H
#define PM_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct http_span {
    uint32_t off, len;
};

/* symbol, name in lower case, HTTP_ONCE | HTTP_HOP */
#define HTTP_FIELDS(X)                                                                             \
    X(HOST, "host", HTTP_ONCE)                                                                     \
    X(CONTENT_LENGTH, "content-length", HTTP_ONCE)                                                 \
    X(TRANSFER_ENCODING, "transfer-encoding", HTTP_ONCE)                                           \
    X(CONNECTION, "connection", HTTP_HOP)                                                          \
    X(KEEP_ALIVE, "keep-alive", HTTP_HOP)                                                          \
    X(PROXY_CONNECTION, "proxy-connection", HTTP_HOP)                                              \
    X(TE, "te", HTTP_HOP)                                                                          \
    X(UPGRADE, "upgrade", HTTP_HOP)                                                                \
    X(EXPECT, "expect", HTTP_ONCE)                                                                 \
    X(COOKIE, "cookie", 0)                                                                         \
    X(FORWARDED_FOR, "x-forwarded-for", 0)

enum { HTTP_ONCE = 1, HTTP_HOP = 2 }; /* twice is an error; belongs to the connection (RFC 9110 7.6.1) */

enum http_field {
#define X(sym, name, flags) HTTP_##sym,
    HTTP_FIELDS(X)
#undef X
        HTTP_FIELD_COUNT
};

enum http_method {
    HTTP_METHOD_OTHER,
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_PATCH,
    HTTP_TRACE,
    HTTP_CONNECT,
};

enum http_flag {
    HTTP_KEEP = 1,        /* the sender keeps the connection open */
    HTTP_CHUNKED = 2,
    HTTP_LENGTH = 4,      /* content_length is set */
    HTTP_UPGRADES = 8,    /* Upgrade field, and `upgrade` in Connection */
    HTTP_CONTINUE = 16,   /* waits for 100 (Continue) */
    HTTP_NOMINATES = 32,  /* Connection names fields beside those of the table: they too are for this hop */
    HTTP_ABSOLUTE = 64,   /* target in absolute form: .authority stands for Host (RFC 9112 3.2.2) */
    HTTP_CLOSE = 128,     /* Connection: close was said */
};

enum {
    HTTP_DROPS_MAX = 16,     /* lines of hop-by-hop fields */
    HTTP_LINE_MAX = 8192,    /* request line: beyond it 414 */
    HTTP_FIELD_LINES = 128,  /* more are answered by 431 */
    HTTP_HEAD_MAX = 16384,   /* of any head; beyond it 431 */
};

struct http_head {
    /* Set when complete. */
    uint32_t len;           /* of the head, with the empty line */
    uint32_t lead;          /* bytes before the first line: an empty line that clients may send (RFC 9112 2.2) */
    uint32_t lines;         /* offset of the first field line */
    uint16_t status;        /* of a response; of a refused message: what to answer */
    uint8_t method;         /* enum http_method */
    uint8_t minor;          /* 0 or 1: HTTP/1.minor */
    uint16_t flags;         /* enum http_flag */
    uint16_t present;       /* bit per enum http_field */
    uint64_t content_length;
    struct http_span method_name, target, authority, path; /* path: with the query, empty for "*" */
    struct http_span field[HTTP_FIELD_COUNT];              /* value of the last one of that name, trimmed */
    uint32_t drops;
    struct http_span drop[HTTP_DROPS_MAX]; /* whole lines of fields that belong to this hop, in order */
    const char *why;

    /* The parser's own. */
    uint32_t at, scan; /* begin of the line to read; no LF before */
    uint32_t field_lines;
    bool first_done;
};

static inline bool http_has(const struct http_head *h, enum http_field f)
{
    return h->present >> f & 1;
}
static inline bool http_safe(unsigned method)
{
    return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS || method == HTTP_TRACE;
}

void http_head_init(struct http_head *h);
int http_request_parse(struct http_head *h, const char *bytes, size_t len) PM_MUST_CHECK;
int http_response_parse(struct http_head *h, const char *bytes, size_t len) PM_MUST_CHECK;

enum http_body { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_CLOSE };
/* RFC 9112 6.3. */
enum http_body http_request_body(const struct http_head *h);
enum http_body http_response_body(const struct http_head *h, unsigned request_method);

/* Whether the comma-separated list has the token, in any case. */
bool http_list_has(const char *list, size_t len, const char *token);
/* The value of a cookie in a Cookie field's value; false: not there. */
bool http_cookie(const char *field, size_t len, const char *name, struct http_span *value);
/*
 * The next field line at *at (start with .lines), of a complete head: its whole span and its name's length. False at
 * the end. For the rare case that needs fields beside those of the table.
 */
bool http_line_next(const struct http_head *h, const char *bytes, uint32_t *at, struct http_span *line,
                    uint32_t *name_len);
/* "Not Found"; "Error" for what has no name here. */
const char *http_reason(unsigned status);

#endif
