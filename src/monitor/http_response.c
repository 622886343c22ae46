/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/http_response.h"

#include <ctype.h>
#include <string.h>

enum { HEAD_MAX = 16384, CHUNK_LINE_MAX = 256 };
enum phase { STATUS_LINE, FIELDS, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, DONE };

void http_response_init(struct http_response *r, bool head_request, uint64_t body_max)
{
    *r = (struct http_response){.head_request = head_request, .body_max = body_max, .why = ""};
}

void http_response_fini(struct http_response *r)
{
    buf_fini(&r->body);
    buf_fini(&r->line);
}

static int bad(struct http_response *r, const char *why)
{
    r->why = why;
    return PM_EPROTO;
}

/* "HTTP/1.1 200 OK" (RFC 9112 section 4) */
static int status_line(struct http_response *r)
{
    const char *l = buf_str(&r->line);
    if (r->line.len < 12 || memcmp(l, "HTTP/1.", 7) != 0 || !isdigit((unsigned char)l[7]) || l[8] != ' ' ||
        !isdigit((unsigned char)l[9]) || !isdigit((unsigned char)l[10]) || !isdigit((unsigned char)l[11]) ||
        (l[12] && l[12] != ' '))
        return bad(r, "bad status line");
    int status = (l[9] - '0') * 100 + (l[10] - '0') * 10 + (l[11] - '0');
    if (status < 100)
        return bad(r, "bad status");
    r->status = status;
    r->phase = FIELDS;
    r->chunked = r->has_length = false;
    return PM_OK;
}

static int field_length(struct http_response *r, const char *value)
{
    uint64_t n = 0;
    if (!isdigit((unsigned char)*value))
        return bad(r, "bad Content-Length");
    for (; isdigit((unsigned char)*value); value++)
        if (__builtin_mul_overflow(n, 10u, &n) || __builtin_add_overflow(n, (uint64_t)(*value - '0'), &n))
            return bad(r, "bad Content-Length");
    if (*value || (r->has_length && r->left != n))
        return bad(r, "bad Content-Length");
    r->has_length = true;
    r->left = n;
    return PM_OK;
}

static int field(struct http_response *r)
{
    char *l = r->line.data, *colon = strchr(l, ':');
    if (*l == ' ' || *l == '\t')
        return bad(r, "folded header line");
    if (!colon || colon == l || colon[-1] == ' ' || colon[-1] == '\t')
        return bad(r, "bad header line");
    *colon = 0;
    char *value = colon + 1, *end = value + strlen(value);
    while (*value == ' ' || *value == '\t')
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = 0;
    if (strcasecmp(l, "Content-Length") == 0)
        return field_length(r, value);
    if (strcasecmp(l, "Transfer-Encoding") == 0) {
        if (strcasecmp(value, "chunked") != 0 || r->chunked)
            return bad(r, "transfer coding other than chunked");
        r->chunked = true;
    }
    return PM_OK;
}

/* The empty line: what follows (RFC 9112 section 6.3). */
static int head_ends(struct http_response *r)
{
    if (r->chunked && r->has_length)
        return bad(r, "both Transfer-Encoding and Content-Length");
    if (r->status < 200 && r->status != 101) {
        r->status = 0;
        r->phase = STATUS_LINE;
        return PM_OK;
    }
    if (r->head_request || r->status == 204 || r->status == 304 || r->status == 101) {
        r->phase = DONE;
    } else if (r->chunked) {
        r->phase = CHUNK_SIZE;
    } else {
        r->until_close = !r->has_length;
        r->phase = r->has_length && !r->left ? DONE : BODY;
    }
    r->complete = r->phase == DONE;
    return PM_OK;
}

static int chunk_size(struct http_response *r)
{
    const char *p = buf_str(&r->line);
    uint64_t n = 0;
    unsigned digits = 0;
    for (; isxdigit((unsigned char)*p) && digits < 15; p++, digits++)
        n = n * 16 + (uint64_t)(isdigit((unsigned char)*p) ? *p - '0' : (*p | 32) - 'a' + 10);
    if (!digits || (*p && *p != ';' && *p != ' ' && *p != '\t'))
        return bad(r, "bad chunk size");
    r->left = n;
    r->phase = n ? CHUNK_DATA : TRAILER;
    return PM_OK;
}

static int line_complete(struct http_response *r)
{
    switch ((enum phase)r->phase) {
    case STATUS_LINE:
        return status_line(r);
    case FIELDS:
        return r->line.len ? field(r) : head_ends(r);
    case CHUNK_SIZE:
        return chunk_size(r);
    case CHUNK_END:
        r->phase = CHUNK_SIZE;
        return r->line.len ? bad(r, "chunk is longer than its size") : PM_OK;
    case TRAILER:
        if (!r->line.len) {
            r->phase = DONE;
            r->complete = true;
        }
        return PM_OK;
    default:
        return PM_OK;
    }
}

/* Takes one line, or the beginning of one; *used tells how much. */
static int take_line(struct http_response *r, const char *data, size_t len, size_t *used)
{
    const char *nl = memchr(data, '\n', len);
    size_t n = nl ? (size_t)(nl - data) : len, max = r->phase == CHUNK_SIZE || r->phase == CHUNK_END ? CHUNK_LINE_MAX : HEAD_MAX;
    *used = n + (nl != NULL);
    r->head_bytes += *used;
    if (r->line.len + n > max || (r->phase <= FIELDS && r->head_bytes > HEAD_MAX))
        return bad(r, "head is too large");
    buf_add(&r->line, data, n);
    if (!nl)
        return PM_OK;
    if (!r->line.len || r->line.data[r->line.len - 1] != '\r')
        return bad(r, "line ends without CR");
    r->line.data[--r->line.len] = 0;
    if (memchr(r->line.data, 0, r->line.len) || memchr(r->line.data, '\r', r->line.len))
        return bad(r, "control character in the head");
    int err = line_complete(r);
    buf_clear(&r->line);
    return err;
}

static int take_body(struct http_response *r, const char *data, size_t len, size_t *used)
{
    size_t n = r->until_close || r->left > len ? len : (size_t)r->left;
    size_t room = (size_t)(r->body_max - r->body.len), fits = n < room ? n : room;
    buf_add(&r->body, data, fits);
    *used = n;
    if (fits < n)
        return PM_ETOOBIG;
    if (r->until_close)
        return PM_OK;
    r->left -= n;
    if (!r->left) {
        r->complete = r->phase == BODY;
        r->phase = r->phase == BODY ? DONE : CHUNK_END;
    }
    return PM_OK;
}

int http_response_feed(struct http_response *r, const char *data, size_t len)
{
    int err = PM_OK;
    for (size_t used = 0; len && !err && r->phase != DONE; data += used, len -= used)
        err = r->phase == BODY || r->phase == CHUNK_DATA ? take_body(r, data, len, &used) : take_line(r, data, len, &used);
    return err;
}

bool http_response_end(struct http_response *r)
{
    if (r->phase == BODY && r->until_close)
        r->complete = true;
    return r->complete;
}
