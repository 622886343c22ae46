/* SPDX-License-Identifier: Apache-2.0 */
#include "http/head.h"

#include <string.h>
#include <strings.h>
#include "http/chars.h"
#include "http/uri.h"

static int refuse(struct http_head *h, unsigned status, const char *why)
{
    h->status = (uint16_t)status;
    h->why = why;
    return PM_EPROTO;
}

void http_head_init(struct http_head *h)
{
    h->len = h->lead = h->lines = 0;
    h->status = 0;
    h->flags = h->present = 0;
    h->content_length = 0;
    h->drops = 0;
    h->at = h->scan = h->field_lines = 0;
    h->first_done = false;
    h->authority = h->path = (struct http_span){0, 0};
}

static bool same(const char *text, const char *lower, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (http_lower(text[i]) != lower[i])
            return false;
    return true;
}

/* ---- the first line ---- */

static enum http_method method_of(const char *m, size_t len)
{
    switch (len) {
    case 3:
        return memcmp(m, "GET", 3) == 0 ? HTTP_GET : memcmp(m, "PUT", 3) == 0 ? HTTP_PUT : HTTP_METHOD_OTHER;
    case 4:
        return memcmp(m, "HEAD", 4) == 0 ? HTTP_HEAD : memcmp(m, "POST", 4) == 0 ? HTTP_POST : HTTP_METHOD_OTHER;
    case 5:
        return memcmp(m, "PATCH", 5) == 0 ? HTTP_PATCH : memcmp(m, "TRACE", 5) == 0 ? HTTP_TRACE : HTTP_METHOD_OTHER;
    case 6:
        return memcmp(m, "DELETE", 6) == 0 ? HTTP_DELETE : HTTP_METHOD_OTHER;
    case 7:
        return memcmp(m, "OPTIONS", 7) == 0   ? HTTP_OPTIONS
               : memcmp(m, "CONNECT", 7) == 0 ? HTTP_CONNECT
                                              : HTTP_METHOD_OTHER;
    default:
        return HTTP_METHOD_OTHER;
    }
}

/* "HTTP/" DIGIT "." DIGIT, eight bytes. Names are case-sensitive (RFC 9112 2.3). */
static int version_read(struct http_head *h, const char *v)
{
    if (memcmp(v, "HTTP/", 5) != 0 || !http_is_digit(v[5]) || v[6] != '.' || !http_is_digit(v[7]))
        return refuse(h, 400, "bad version");
    if (v[5] != '1')
        return refuse(h, 505, "not HTTP/1.x");
    h->minor = v[7] == '0' ? 0 : 1; /* a higher minor number is understood as 1 (RFC 9110 2.5) */
    return PM_OK;
}

static int target_read(struct http_head *h, const char *bytes)
{
    struct http_uri u;
    if (h->method == HTTP_CONNECT)
        return refuse(h, 501, "CONNECT");
    if (http_target_parse(bytes + h->target.off, h->target.len, &u) != PM_OK)
        return refuse(h, 400, "bad target");
    if (u.form == HTTP_FORM_ASTERISK && h->method != HTTP_OPTIONS)
        return refuse(h, 400, "* without OPTIONS");
    h->path = (struct http_span){h->target.off + u.path.off, u.path.len};
    if (u.form == HTTP_FORM_ABSOLUTE) {
        h->flags |= HTTP_ABSOLUTE;
        h->authority = (struct http_span){h->target.off + u.authority.off, u.authority.len};
    }
    return PM_OK;
}

/* method SP target SP version, one space each (RFC 9112 3). */
static int request_line(struct http_head *h, const char *bytes, uint32_t end)
{
    const char *p = bytes + h->at, *stop = bytes + end, *m = p;
    while (p < stop && http_is_token(*p))
        p++;
    if (p == m || p == stop || *p != ' ')
        return refuse(h, 400, "bad method");
    h->method_name = (struct http_span){h->at, (uint32_t)(p - m)};
    h->method = (uint8_t)method_of(m, (size_t)(p - m));
    const char *t = ++p;
    while (p < stop && *p != ' ')
        p++;
    if (p == t || stop - p != 9)
        return refuse(h, 400, "bad request line");
    int rc = version_read(h, p + 1);
    if (rc != PM_OK)
        return rc;
    h->target = (struct http_span){(uint32_t)(t - bytes), (uint32_t)(p - t)};
    return target_read(h, bytes);
}

/* version SP 3DIGIT [SP reason] (RFC 9112 4); the last space is missing so often that it may. */
static int status_line(struct http_head *h, const char *bytes, uint32_t end)
{
    const char *p = bytes + h->at;
    uint32_t len = end - h->at;
    if (len < 12 || p[8] != ' ' || !http_is_digit(p[9]) || !http_is_digit(p[10]) || !http_is_digit(p[11]) ||
        (len > 12 && p[12] != ' '))
        return refuse(h, 502, "bad status line");
    int rc = version_read(h, p);
    if (rc != PM_OK)
        return rc;
    if (!http_value_clean(p + 12, len - 12))
        return refuse(h, 502, "bad byte in the reason");
    unsigned status = (unsigned)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    if (status < 100 || status > 599)
        return refuse(h, 502, "bad status");
    h->status = (uint16_t)status;
    return PM_OK;
}

/* ---- field lines ---- */

static const struct {
    const char *name;
    unsigned flags;
} fields[HTTP_FIELD_COUNT] = {
#define X(sym, name, flags) [HTTP_##sym] = {name, flags},
    HTTP_FIELDS(X)
#undef X
};

static enum http_field field_of(const char *n, size_t len)
{
#define TRY(sym)                                                                                   \
    if (same(n, fields[HTTP_##sym].name, len))                                                     \
    return HTTP_##sym
    switch (len) {
    case 2:
        TRY(TE);
        break;
    case 4:
        TRY(HOST);
        break;
    case 6:
        TRY(COOKIE);
        TRY(EXPECT);
        break;
    case 7:
        TRY(UPGRADE);
        break;
    case 10:
        TRY(CONNECTION);
        TRY(KEEP_ALIVE);
        break;
    case 14:
        TRY(CONTENT_LENGTH);
        break;
    case 15:
        TRY(FORWARDED_FOR);
        break;
    case 16:
        TRY(PROXY_CONNECTION);
        break;
    case 17:
        TRY(TRANSFER_ENCODING);
        break;
    }
#undef TRY
    return HTTP_FIELD_COUNT;
}

static void connection_read(struct http_head *h, const char *list, size_t len)
{
    struct http_span token;
    for (uint32_t at = 0; http_list_next(list, (uint32_t)len, &at, &token);) {
        const char *t = list + token.off;
        if (token.len == 5 && same(t, "close", 5))
            h->flags |= HTTP_CLOSE;
        else if (token.len == 10 && same(t, "keep-alive", 10))
            h->flags |= HTTP_KEEP;
        else if (token.len == 7 && same(t, "upgrade", 7))
            h->flags |= HTTP_UPGRADES;
        else if (field_of(t, token.len) == HTTP_FIELD_COUNT)
            h->flags |= HTTP_NOMINATES;
    }
}

static int length_read(struct http_head *h, const char *v, size_t len)
{
    uint64_t n = 0;
    if (len == 0 || len > 18) /* 18 digits are below 2^60: sums of such lengths cannot overflow */
        return refuse(h, len ? 413 : 400, "bad Content-Length");
    for (size_t i = 0; i < len; i++) {
        if (!http_is_digit(v[i]))
            return refuse(h, 400, "bad Content-Length");
        n = n * 10 + (uint64_t)(v[i] - '0');
    }
    h->content_length = n;
    h->flags |= HTTP_LENGTH;
    return PM_OK;
}

static int field_known(struct http_head *h, const char *bytes, enum http_field f, struct http_span line)
{
    const char *v = bytes + h->field[f].off;
    size_t len = h->field[f].len;
    if (http_has(h, f) && fields[f].flags & HTTP_ONCE)
        return refuse(h, 400, "a field that may come once came twice");
    h->present |= (uint16_t)(1u << f);
    if (fields[f].flags & HTTP_HOP) {
        if (h->drops == HTTP_DROPS_MAX)
            return refuse(h, 431, "too many hop-by-hop fields");
        h->drop[h->drops++] = line;
    }
    if (f == HTTP_CONNECTION)
        connection_read(h, v, len);
    else if (f == HTTP_CONTENT_LENGTH)
        return length_read(h, v, len);
    return PM_OK;
}

static int field_line(struct http_head *h, const char *bytes, uint32_t end)
{
    const char *start = bytes + h->at, *p = start, *stop = bytes + end;
    while (p < stop && http_is_token(*p))
        p++;
    if (PM_UNLIKELY(p == start || p == stop || *p != ':')) /* folded lines and space before the colon end here, too */
        return refuse(h, 400, "bad field name");
    if (PM_UNLIKELY(h->field_lines++ == HTTP_FIELD_LINES))
        return refuse(h, 431, "too many fields");
    size_t name_len = (size_t)(p - start);
    for (p++; p < stop && (*p == ' ' || *p == '\t'); p++)
        ;
    while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    if (PM_UNLIKELY(!http_value_clean(p, (size_t)(stop - p))))
        return refuse(h, 400, "bad byte in a field");
    enum http_field f = name_len <= 17 ? field_of(start, name_len) : HTTP_FIELD_COUNT;
    if (f == HTTP_FIELD_COUNT)
        return PM_OK;
    h->field[f] = (struct http_span){(uint32_t)(p - bytes), (uint32_t)(stop - p)};
    return field_known(h, bytes, f, (struct http_span){h->at, end + 2 - h->at});
}

/* ---- what the fields say together ---- */

static int coding_finish(struct http_head *h, const char *bytes)
{
    const char *v = bytes + h->field[HTTP_TRANSFER_ENCODING].off;
    uint32_t len = h->field[HTTP_TRANSFER_ENCODING].len;
    if (h->minor == 0)
        return refuse(h, 400, "Transfer-Encoding in HTTP/1.0");
    if (http_has(h, HTTP_CONTENT_LENGTH))
        return refuse(h, 400, "Transfer-Encoding beside Content-Length");
    if (len == 7 && same(v, "chunked", 7)) {
        h->flags |= HTTP_CHUNKED;
        return PM_OK;
    }
    /* "gzip, chunked" is valid, and not ours to undo; anything else has no known end. */
    if (len > 7 && same(v + len - 7, "chunked", 7) && (v[len - 8] == ',' || v[len - 8] == ' ') &&
        !http_list_has(v, len - 8, "chunked"))
        return refuse(h, 501, "transfer coding");
    return refuse(h, 400, "bad Transfer-Encoding");
}

static int finish(struct http_head *h, const char *bytes)
{
    if (h->flags & HTTP_CLOSE)
        h->flags &= (uint16_t)~HTTP_KEEP;
    else if (h->minor == 1)
        h->flags |= HTTP_KEEP;
    if (!http_has(h, HTTP_UPGRADE))
        h->flags &= (uint16_t)~HTTP_UPGRADES;
    return http_has(h, HTTP_TRANSFER_ENCODING) ? coding_finish(h, bytes) : PM_OK;
}

static int request_finish(struct http_head *h, const char *bytes)
{
    int rc = finish(h, bytes);
    if (rc != PM_OK)
        return rc;
    const struct http_span *host = &h->field[HTTP_HOST];
    if (!http_has(h, HTTP_HOST)) {
        if (h->minor == 1)
            return refuse(h, 400, "no Host");
    } else if (!http_authority_valid(bytes + host->off, host->len) && host->len != 0) {
        return refuse(h, 400, "bad Host");
    }
    if (http_has(h, HTTP_EXPECT)) {
        const struct http_span *e = &h->field[HTTP_EXPECT];
        if (e->len != 12 || !same(bytes + e->off, "100-continue", 12))
            return refuse(h, 417, "unknown expectation");
        if (h->minor == 1) /* RFC 9110 10.1.1: a 1.0 client does not know of it */
            h->flags |= HTTP_CONTINUE;
    }
    return PM_OK;
}

/* ---- line by line ---- */

typedef int line_fn(struct http_head *h, const char *bytes, uint32_t end);
typedef int head_fn(struct http_head *h, const char *bytes);

static int too_long(struct http_head *h)
{
    return h->first_done ? refuse(h, 431, "head too large") : refuse(h, 414, "request line too long");
}

/* The next line without its CRLF: its end. PM_EAGAIN, PM_EPROTO. */
static inline int line_find(struct http_head *h, const char *bytes, size_t len, uint32_t *end)
{
    const char *lf = memchr(bytes + h->scan, '\n', len - h->scan);
    if (!lf) {
        h->scan = (uint32_t)len;
        if (len - h->lead >= (h->first_done ? HTTP_HEAD_MAX : HTTP_LINE_MAX))
            return too_long(h);
        /* Not waiting for the LF of what can never be right: an attacker would hold the connection for it. */
        if (len > h->at && memchr(bytes + h->at, 0, len - h->at))
            return refuse(h, 400, "NUL");
        return PM_EAGAIN;
    }
    uint32_t at = (uint32_t)(lf - bytes);
    if (at == h->at || bytes[at - 1] != '\r')
        return refuse(h, 400, "LF without CR");
    if (at - h->lead >= (h->first_done ? HTTP_HEAD_MAX : HTTP_LINE_MAX))
        return too_long(h);
    *end = at - 1;
    h->scan = at + 1;
    return PM_OK;
}

static inline int lines_parse(struct http_head *h, const char *bytes, size_t len, line_fn *first, head_fn *finished)
{
    for (;;) {
        uint32_t end;
        int rc = line_find(h, bytes, len, &end);
        if (rc != PM_OK)
            return rc;
        if (end == h->at) { /* empty */
            h->at = end + 2;
            if (h->first_done) {
                h->len = h->at;
                return finished(h, bytes);
            }
            if (h->lead != 0)
                return refuse(h, 400, "empty lines");
            h->lead = h->at;
            continue;
        }
        rc = h->first_done ? field_line(h, bytes, end) : first(h, bytes, end);
        if (rc != PM_OK)
            return rc;
        h->at = end + 2;
        if (!h->first_done) {
            h->first_done = true;
            h->lines = h->at;
        }
    }
}

int http_request_parse(struct http_head *h, const char *bytes, size_t len)
{
    return lines_parse(h, bytes, len, request_line, request_finish);
}

int http_response_parse(struct http_head *h, const char *bytes, size_t len)
{
    int rc = lines_parse(h, bytes, len, status_line, finish);
    if (rc == PM_EPROTO)
        h->status = 502;
    else if (rc == PM_OK && h->lead)
        return refuse(h, 502, "empty line before the status"); /* only requests may have one */
    return rc;
}
