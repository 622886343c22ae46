/* SPDX-License-Identifier: Apache-2.0 */
#include "http/hello.h"

#include <stdbool.h>
#include <string.h>
#include "http/chars.h"

enum { RECORD_HANDSHAKE = 22, RECORD_MAX = 16384, CLIENT_HELLO = 1, RANDOM_BYTES = 32, SERVER_NAME = 0, ALPN = 16 };

/* The content of records, byte after byte. */
struct reader {
    const uint8_t *at, *end;
    size_t record; /* bytes left in the present one */
    int err;       /* the first thing that went wrong; from then on all is 0 */
};

static uint8_t raw(struct reader *r)
{
    if (r->err || r->at == r->end) {
        r->err = r->err ? r->err : PM_EAGAIN;
        return 0;
    }
    return *r->at++;
}

static void record_begin(struct reader *r)
{
    static const uint8_t begins[] = {RECORD_HANDSHAKE, 3};
    for (size_t i = 0; i < sizeof begins; i++) {
        uint8_t c = raw(r);
        if (!r->err && c != begins[i])
            r->err = PM_EPROTO;
    }
    (void)raw(r); /* the minor version means nothing */
    r->record = (size_t)raw(r) << 8;
    r->record |= raw(r);
    if (!r->err && (!r->record || r->record > RECORD_MAX))
        r->err = PM_EPROTO;
}

static uint8_t take(struct reader *r)
{
    if (!r->record)
        record_begin(r);
    uint8_t c = raw(r);
    r->record -= !r->err;
    return c;
}

static size_t take16(struct reader *r)
{
    size_t high = take(r);
    return high << 8 | take(r);
}

static void skip(struct reader *r, size_t n)
{
    while (n-- && !r->err)
        (void)take(r);
}

/* How much of the message is left; less than is wanted ends it. */
static size_t want(struct reader *r, size_t *left, size_t n)
{
    if (n > *left && !r->err)
        r->err = PM_EPROTO;
    *left -= r->err ? 0 : n;
    return r->err ? 0 : n;
}

static void read_name(struct reader *r, size_t left, struct http_hello *out)
{
    size_t list = take16(r), type = take(r), n = take16(r);
    if (!r->err && (out->name_len || left != list + 2 || list != n + 3 || type != 0 || !n || n > HTTP_HELLO_NAME))
        r->err = PM_EPROTO;
    for (size_t i = 0; i < n && !r->err; i++) {
        char c = (char)take(r);
        out->name[i] = http_lower(c);
    }
    out->name_len = r->err ? out->name_len : n;
}

static void read_alpn(struct reader *r, size_t left, struct http_hello *out, bool again)
{
    size_t list = take16(r);
    if (!r->err && (again || left != list + 2))
        r->err = PM_EPROTO;
    while (list && !r->err) {
        size_t n = take(r);
        if (!r->err && (!n || n + 1 > list))
            r->err = PM_EPROTO;
        list -= r->err ? 0 : n + 1;
        bool fits = out->alpn_len + n + 1 <= sizeof out->alpn;
        if (fits)
            out->alpn[out->alpn_len] = (uint8_t)n;
        for (size_t i = 1; i <= n && !r->err; i++) {
            uint8_t c = take(r);
            if (fits)
                out->alpn[out->alpn_len + i] = c;
        }
        out->alpn_len += fits && !r->err ? n + 1 : 0;
    }
}

static void read_extensions(struct reader *r, size_t left, struct http_hello *out)
{
    bool alpn = false;
    while (left && !r->err) {
        (void)want(r, &left, 4);
        size_t type = take16(r), n = want(r, &left, take16(r));
        if (r->err)
            return;
        if (type == SERVER_NAME) {
            if (n < 5)
                r->err = PM_EPROTO;
            else
                read_name(r, n, out);
        } else if (type == ALPN) {
            if (n < 2)
                r->err = PM_EPROTO;
            else
                read_alpn(r, n, out, alpn);
            alpn = true;
        } else {
            skip(r, n);
        }
    }
}

int http_hello_read(const void *bytes, size_t len, struct http_hello *out)
{
    struct reader r = {.at = bytes, .end = (const uint8_t *)bytes + len};
    memset(out, 0, sizeof *out);
    size_t type = take(&r), left = (size_t)take(&r) << 16;
    left |= take16(&r);
    if (!r.err && (type != CLIENT_HELLO || left > HTTP_HELLO_MAX))
        r.err = PM_EPROTO;
    skip(&r, want(&r, &left, 2 + RANDOM_BYTES));
    for (int i = 0; i < 3; i++) { /* session, suites, compression methods; the suites' length has two bytes */
        (void)want(&r, &left, i == 1 ? 2 : 1);
        size_t n = i == 1 ? take16(&r) : take(&r);
        skip(&r, want(&r, &left, n));
    }
    if (!left)
        return r.err;
    (void)want(&r, &left, 2);
    if (take16(&r) != left && !r.err)
        r.err = PM_EPROTO;
    read_extensions(&r, left, out);
    return r.err;
}
