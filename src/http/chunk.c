/* SPDX-License-Identifier: Apache-2.0 */
#include "http/chunk.h"

#include "http/chars.h"

enum {
    SIZE,      /* digits of the size, and what ends them */
    EXTENSION, /* from ";" or space to CR */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LINE,       /* begin of a trailer line, or of the empty one */
    NAME,       /* in a trailer's name */
    VALUE,      /* in a trailer's value */
    VALUE_LF,
    LAST_LF,
    OVER,
};

static int hex(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    char low = (char)(ch | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static int size_byte(struct http_chunked *c, char ch)
{
    int digit = hex(ch);
    if (digit >= 0) {
        if (++c->digits > 15)
            return PM_EPROTO;
        c->left = c->left << 4 | (uint64_t)digit;
        return PM_EAGAIN;
    }
    if (c->digits == 0)
        return PM_EPROTO;
    if (ch == '\r')
        c->state = SIZE_LF;
    else if (ch == ';' || ch == ' ' || ch == '\t')
        c->state = EXTENSION;
    else
        return PM_EPROTO;
    return PM_EAGAIN;
}

/* What a byte may be followed by, in each state; DATA is not handled here. */
static int frame_byte(struct http_chunked *c, char ch)
{
    bool text = ch == '\t' || ((uint8_t)ch >= 0x20 && ch != 0x7f);
    switch (c->state) {
    case SIZE:
        return size_byte(c, ch);
    case EXTENSION:
        if (ch == '\r')
            c->state = SIZE_LF;
        else if (!text)
            return PM_EPROTO;
        return PM_EAGAIN;
    case SIZE_LF:
        c->state = c->left ? DATA : LINE;
        c->line = 0;
        return ch == '\n' ? PM_EAGAIN : PM_EPROTO;
    case DATA_CR:
        c->state = DATA_LF;
        return ch == '\r' ? PM_EAGAIN : PM_EPROTO;
    case DATA_LF:
        c->state = SIZE;
        c->digits = 0;
        return ch == '\n' ? PM_EAGAIN : PM_EPROTO;
    case LINE:
        if (ch == '\r') {
            c->state = LAST_LF;
            return PM_EAGAIN;
        }
        c->state = NAME;
        return http_is_token(ch) ? PM_EAGAIN : PM_EPROTO;
    case NAME:
        if (ch == ':')
            c->state = VALUE;
        else if (!http_is_token(ch))
            return PM_EPROTO;
        return PM_EAGAIN;
    case VALUE:
        if (ch == '\r')
            c->state = VALUE_LF;
        else if (!text)
            return PM_EPROTO;
        return PM_EAGAIN;
    case VALUE_LF:
        c->state = LINE;
        return ch == '\n' ? PM_EAGAIN : PM_EPROTO;
    case LAST_LF:
        c->state = OVER;
        return ch == '\n' ? PM_OK : PM_EPROTO;
    default:
        return PM_EPROTO;
    }
}

uint64_t http_chunked_blind(const struct http_chunked *c)
{
    return c->state == DATA ? c->left : 0;
}

void http_chunked_skip(struct http_chunked *c, uint64_t n)
{
    c->left -= n;
    if (c->left == 0 && c->state == DATA)
        c->state = DATA_CR;
}

int http_chunked_next(struct http_chunked *c, const char *bytes, size_t len, struct http_piece *out)
{
    *out = (struct http_piece){0, false};
    if (c->state == DATA) {
        out->data = true;
        out->len = len < c->left ? len : (size_t)c->left;
        http_chunked_skip(c, out->len);
        return PM_EAGAIN;
    }
    while (out->len < len && c->state != DATA) {
        bool trailer = c->state >= LINE;
        if (++c->line > (trailer ? HTTP_TRAILER_MAX : HTTP_CHUNK_LINE))
            return PM_EPROTO;
        int rc = frame_byte(c, bytes[out->len++]);
        if (c->state == SIZE && c->digits == 0)
            c->line = 0;
        if (rc != PM_EAGAIN)
            return rc;
    }
    return PM_EAGAIN;
}

int http_chunked_feed(struct http_chunked *c, const char *bytes, size_t len, size_t *used)
{
    *used = 0;
    int rc = PM_EAGAIN;
    while (rc == PM_EAGAIN && *used < len) {
        struct http_piece piece;
        rc = http_chunked_next(c, bytes + *used, len - *used, &piece);
        *used += piece.len;
    }
    return rc;
}
