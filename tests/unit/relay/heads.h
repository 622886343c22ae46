/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the relay's reader of requests (relay/request.h) may be trusted with some bytes: what it calls whole, any
 * other reader must understand in the same way, or a request could be smuggled past the relay's choice. Others are the
 * front end's strict one (http/head.h), and lenient ones as web servers have had them: lines that end in LF or CR
 * alone, names with space around them, folded lines, the first or the last of two. Used by unit test and fuzz harness.
 */
#ifndef PM_TESTS_RELAY_HEADS_H
#define PM_TESTS_RELAY_HEADS_H

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "http/head.h"
#include "http/path.h"
#include "http/uri.h"
#include "relay/bpf/shared.h"
#include "relay/request.h"

enum { LENIENT_CR = 1, LENIENT_LAST = 2, LENIENT_BLANK = 4, LENIENT_ALL = 8 };

struct text {
    const char *at;
    size_t len;
};

/* What a reader has understood. */
struct understood {
    struct text host, path;
    size_t head;
    uint64_t body;
    bool chunked, upgrade, length;
};

static inline uint64_t text_hash(struct text t, bool lower)
{
    uint64_t h = RELAY_HASH_START;
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = (uint8_t)t.at[i];
        if (lower && c >= 'A' && c <= 'Z')
            c |= 0x20;
        h = (h ^ c) * RELAY_HASH_PRIME;
    }
    return h;
}

static inline bool is_blank(char c)
{
    return (uint8_t)c <= 0x20 || (uint8_t)c >= 0x7f;
}

static inline struct text trimmed(struct text t)
{
    while (t.len && is_blank(t.at[0]))
        t.at++, t.len--;
    while (t.len && is_blank(t.at[t.len - 1]))
        t.len--;
    return t;
}

static inline bool text_is(struct text t, const char *lower)
{
    return t.len == strlen(lower) && strncasecmp(t.at, lower, t.len) == 0;
}

/* The line at *at without its end; *at moves behind it. False: there is no more. */
static inline bool lenient_line(const char *b, size_t len, size_t *at, unsigned how, struct text *line)
{
    size_t end = *at;
    while (end < len && b[end] != '\n' && !(how & LENIENT_CR && b[end] == '\r'))
        end++;
    if (end == len)
        return false;
    *line = (struct text){b + *at, end - *at};
    *at = end + 1 + (b[end] == '\r' && end + 1 < len && b[end + 1] == '\n');
    while (line->len && line->at[line->len - 1] == '\r')
        line->len--;
    return true;
}

static inline void lenient_field(struct understood *u, struct text line, unsigned how)
{
    const char *colon = memchr(line.at, ':', line.len);
    if (!colon)
        return;
    struct text name = trimmed((struct text){line.at, (size_t)(colon - line.at)});
    struct text value = trimmed((struct text){colon + 1, line.len - (size_t)(colon + 1 - line.at)});
    if (text_is(name, "host") && (!u->host.at || how & LENIENT_LAST)) {
        const char *port = memchr(value.at, ':', value.len);
        u->host = (struct text){value.at, port ? (size_t)(port - value.at) : value.len};
    } else if (text_is(name, "content-length") && (!u->length || how & LENIENT_LAST)) {
        u->length = true;
        u->body = 0;
        for (size_t i = 0; i < value.len && value.at[i] >= '0' && value.at[i] <= '9' && i < 18; i++)
            u->body = u->body * 10 + (uint64_t)(value.at[i] - '0');
    } else if (text_is(name, "transfer-encoding")) {
        u->chunked = true;
    } else if (text_is(name, "upgrade")) {
        u->upgrade = true;
    }
}

/* False: not even such a reader makes sense of it. */
static inline bool lenient_read(const char *b, size_t len, unsigned how, struct understood *u)
{
    struct text line;
    size_t at = 0;
    memset(u, 0, sizeof *u);
    if (!lenient_line(b, len, &at, how, &line))
        return false;
    const char *target = memchr(line.at, ' ', line.len), *end = line.at + line.len;
    if (!target)
        return false;
    u->path.at = ++target;
    while (target < end && !is_blank(*target) && *target != '?' && *target != '#')
        target++;
    u->path.len = (size_t)(target - u->path.at);
    while (lenient_line(b, len, &at, how, &line)) {
        if (!(how & LENIENT_BLANK ? trimmed(line).len : line.len)) {
            u->head = at;
            return true;
        }
        lenient_field(u, line, how);
    }
    return false;
}

static inline const char *differs(const struct relay_request *q, const struct understood *u)
{
    if (q->head != u->head)
        return "the end of the head";
    if (q->host != text_hash(u->host, true))
        return "the host";
    if (q->path != text_hash(u->path, false))
        return "the path";
    if (u->chunked)
        return "a body in chunks";
    if (q->body != u->body)
        return "the body's length";
    if (u->upgrade && !q->stream)
        return "an upgrade";
    return NULL;
}

/* The parts of the path, as the front end looks for them. */
static inline const char *parts_differ(const struct relay_request *q, struct text path)
{
    char plain[4096];
    uint32_t n = 0;
    if (http_path_plain(path.at, path.len, plain, sizeof plain) != path.len || memcmp(plain, path.at, path.len) != 0)
        return "a path that has another spelling";
    size_t segment = 0, dot = path.len;
    for (size_t i = 0; i < path.len; i++) {
        if (path.at[i] == '/') {
            if (n >= RELAY_PREFIXES_MAX || q->prefix[n] != text_hash((struct text){path.at, i + 1}, false))
                return "a prefix";
            n++;
            segment = i;
            dot = path.len;
        } else if (path.at[i] == '.' && i > segment) {
            dot = i;
        }
    }
    if (q->prefixes != n)
        return "how many prefixes there are";
    struct text suffix = {path.at + dot, path.len - dot};
    return q->suffix == (suffix.len ? text_hash(suffix, false) : 0) ? NULL : "the suffix";
}

/* The front end's reader; *read: it accepts the head. */
static inline const char *strict_differs(const char *b, size_t len, const struct relay_request *q, bool *read)
{
    struct http_head h;
    http_head_init(&h);
    *read = http_request_parse(&h, b, len) == PM_OK;
    if (!*read)
        return NULL;
    struct understood u = {.head = h.len,
                           .body = h.flags & HTTP_LENGTH ? h.content_length : 0,
                           .chunked = h.flags & HTTP_CHUNKED,
                           .upgrade = h.flags & HTTP_UPGRADES};
    const char *host = b + h.field[HTTP_HOST].off, *query = memchr(b + h.path.off, '?', h.path.len);
    u.host = (struct text){host, http_authority_host(host, h.field[HTTP_HOST].len)};
    u.path = (struct text){b + h.path.off, query ? (size_t)(query - (b + h.path.off)) : h.path.len};
    const char *what = h.flags & HTTP_ABSOLUTE || h.lead ? "the form of the request" : differs(q, &u);
    return what ? what : parts_differ(q, u.path);
}

/* NULL: whatever these bytes are, nobody can understand them otherwise than the relay; else what of them. */
static inline const char *heads_disagree(const char *bytes, size_t len, bool *strict_too)
{
    struct relay_request q;
    struct understood u;
    *strict_too = false;
    if (!len || bytes[0] == 22 || relay_request_read(bytes, len, &q) != RELAY_READ_WHOLE)
        return NULL;
    if (q.h2c && !q.prefixes) /* the preface of HTTP/2: all of it is as it must be, or it is not whole */
        return len >= 24 && memcmp(bytes, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24) == 0 ? NULL : "the preface of HTTP/2";
    if (q.head > len)
        return "a head beyond the bytes";
    const char *what = strict_differs(bytes, len, &q, strict_too);
    for (unsigned how = 0; how < LENIENT_ALL && !what; how++)
        if (lenient_read(bytes, len, how, &u))
            what = differs(&q, &u);
    return what;
}

#endif
