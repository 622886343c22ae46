/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 responses (RFC 9112), strictly: what a browser would forgive is REPLY_BAD here, because a balancer that
 * moves connections and gets a byte wrong shows up as exactly that.
 */
#include "surf.h"

#include <string.h>
#include <strings.h>

void reply_begin(struct reply *r)
{
    r->at = AT_STATUS;
    r->status = 0;
    r->close = r->chunked = r->have_length = false;
    r->length = r->left = 0;
    r->head_len = r->line_len = 0;
    r->why = NULL;
    r->value[0] = '\0';
}

static enum reply_event bad(struct reply *r, const char *why)
{
    r->why = why;
    return REPLY_BAD;
}

/* A line without its end into r->line; false if there is none yet. */
static bool take_line(struct reply *r, const char **data, size_t *len)
{
    const char *end = memchr(*data, '\n', *len);
    size_t n = end ? (size_t)(end - *data) : *len;
    size_t room = sizeof(r->line) - 1 - r->line_len, fits = n < room ? n : room;
    memcpy(r->line + r->line_len, *data, fits);
    r->line_len += fits;
    r->head_len += n + 1;
    *data += end ? n + 1 : n;
    *len -= end ? n + 1 : n;
    if (!end)
        return false;
    if (r->line_len > 0 && r->line[r->line_len - 1] == '\r')
        r->line_len--;
    r->line[r->line_len] = '\0';
    r->line_len = 0;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool parse_status(struct reply *r)
{
    const char *l = r->line;
    if (strncmp(l, "HTTP/1.", 7) != 0 || (l[7] != '0' && l[7] != '1') || l[8] != ' ' || l[9] < '1' || l[9] > '9' ||
        !is_digit(l[10]) || !is_digit(l[11]) || (l[12] != ' ' && l[12] != '\0'))
        return false;
    r->status = (unsigned)((l[9] - '0') * 100 + (l[10] - '0') * 10 + (l[11] - '0'));
    r->close = l[7] == '0';
    return true;
}

static bool parse_number(const char *text, unsigned base, const char *ends, uint64_t *out)
{
    uint64_t n = 0;
    const char *p = text;
    for (; *p && !strchr(ends, *p); p++) {
        unsigned digit = is_digit(*p) ? (unsigned)(*p - '0') : (unsigned)(*p | 0x20) - 'a' + 10;
        if (digit >= base || n >> 58)
            return false;
        n = n * base + digit;
    }
    *out = n;
    return p > text;
}

/* NULL, or what is wrong. */
static const char *parse_header(struct reply *r)
{
    char *colon = strchr(r->line, ':');
    if (!colon || colon == r->line)
        return "a header without a colon";
    *colon = '\0';
    if (strpbrk(r->line, " \t"))
        return "space in a header's name";
    char *value = colon + 1 + strspn(colon + 1, " \t");
    size_t len = strlen(value);
    while (len > 0 && strchr(" \t", value[len - 1]))
        value[--len] = '\0';
    uint64_t n;
    if (strcasecmp(r->line, "Content-Length") == 0) {
        if (!parse_number(value, 10, "", &n) || (r->have_length && n != r->length))
            return "a wrong Content-Length";
        r->have_length = true;
        r->length = n;
    } else if (strcasecmp(r->line, "Transfer-Encoding") == 0) {
        if (strcasecmp(value, "chunked") != 0)
            return "an unknown Transfer-Encoding";
        r->chunked = true;
    } else if (strcasecmp(r->line, "Connection") == 0) {
        if (strcasecmp(value, "close") == 0)
            r->close = true;
        else if (strcasecmp(value, "keep-alive") == 0)
            r->close = false;
    }
    if (opt.count_header && strcasecmp(r->line, opt.count_header) == 0) {
        len = len < VALUE_LEN - 1 ? len : VALUE_LEN - 1;
        memcpy(r->value, value, len);
        r->value[len] = '\0';
    }
    return NULL;
}

/* The empty line after the headers. */
static enum reply_event head_done(struct reply *r)
{
    if (r->status < 200) {
        if (r->status == 101)
            return bad(r, "101 that nobody asked for");
        reply_begin(r);
        return REPLY_MORE;
    }
    if (r->chunked && r->have_length)
        return bad(r, "Content-Length beside chunked");
    if (r->status == 204 || r->status == 304)
        r->at = AT_END;
    else if (r->chunked)
        r->at = AT_CHUNK_SIZE;
    else if (r->have_length)
        r->at = r->length ? AT_BODY : AT_END;
    else
        r->at = AT_BODY_TO_CLOSE;
    r->left = r->length;
    if (r->at == AT_BODY_TO_CLOSE)
        r->close = true;
    return REPLY_HEAD;
}

/* A line is complete. REPLY_MORE: go on. */
static enum reply_event on_line(struct reply *r)
{
    const char *why;
    switch (r->at) {
    case AT_STATUS:
        if (!parse_status(r))
            return bad(r, "not a status line");
        r->at = AT_HEADER;
        return REPLY_MORE;
    case AT_HEADER:
        if (r->line[0] == '\0')
            return head_done(r);
        why = parse_header(r);
        return why ? bad(r, why) : REPLY_MORE;
    case AT_CHUNK_SIZE:
        if (!parse_number(r->line, 16, "; \t", &r->left))
            return bad(r, "not a chunk's size");
        r->head_len = 0;
        r->at = r->left ? AT_CHUNK : AT_TRAILER;
        return REPLY_MORE;
    case AT_CHUNK_END:
        r->at = AT_CHUNK_SIZE;
        return r->line[0] ? bad(r, "a chunk longer than its size") : REPLY_MORE;
    default: /* AT_TRAILER */
        if (r->line[0] == '\0')
            r->at = AT_END;
        return REPLY_MORE;
    }
}

static enum reply_event take_body(struct reply *r, const char **data, size_t *len)
{
    size_t n = *len;
    if (r->at != AT_BODY_TO_CLOSE) {
        n = r->left < n ? (size_t)r->left : n;
        r->left -= n;
        if (r->left == 0)
            r->at = r->at == AT_BODY ? AT_END : AT_CHUNK_END;
    }
    r->body = *data;
    r->body_len = n;
    *data += n;
    *len -= n;
    return REPLY_BODY;
}

enum reply_event reply_next(struct reply *r, const char **data, size_t *len)
{
    while (r->at != AT_END) {
        if (*len == 0)
            return REPLY_MORE;
        if (r->at == AT_BODY || r->at == AT_BODY_TO_CLOSE || r->at == AT_CHUNK)
            return take_body(r, data, len);
        bool whole = take_line(r, data, len);
        if (r->head_len > HEAD_MAX_LEN)
            return bad(r, "a head without end");
        /* What cannot become a status line is wrong now, not at a line's end that may never come. */
        if (r->at == AT_STATUS && strncmp(r->line, "HTTP/1.", whole || r->line_len > 7 ? 7 : r->line_len) != 0)
            return bad(r, "not a status line");
        if (!whole)
            return REPLY_MORE;
        enum reply_event e = on_line(r);
        if (e != REPLY_MORE)
            return e;
    }
    return REPLY_END;
}

bool reply_complete_at_end(const struct reply *r)
{
    return r->at == AT_BODY_TO_CLOSE;
}
