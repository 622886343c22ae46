/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Reads what a client asks for from the first bytes of a segment: an HTTP/1.1 head (RFC 9112), the preface of HTTP/2 in
 * clear text (RFC 9113 3.4), or a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3, RFC 7301). Only what is needed to choose a
 * node: hashes of host, path and protocols, where the request ends.
 * Whatever is unusual (an escape in the path, an absolute target, an unknown method) is left to those who have more time;
 * and what two readers may understand differently, lest a request be smuggled past us: a lone CR or LF, a control byte,
 * space before a colon, a folded line. tests/unit/relay compares with the front end's own reader.
 *
 * One step of request_step reads one byte, or one word of a header that does not matter; bpf_loop repeats it, so that the
 * verifier looks at it once. The daemon compiles the same code for what takes more than one segment (relay/request.c).
 */
#ifndef PM_RELAY_BPF_REQUEST_H
#define PM_RELAY_BPF_REQUEST_H

#include "relay/bpf/shared.h"
#include "relay/bpf/table.h"

#ifdef __bpf__
#define REQUEST_BYTES    2048 /* more than a segment has */
#define REPEAT(n, fn, s) bpf_loop(n, fn, s, 0)
#else
#define REQUEST_BYTES    32768 /* more than a client sends without hearing from us */
#define REPEAT(n, fn, s)                                                                                               \
    for (__u32 i_ = 0; i_ < (n) && !fn(i_, s); i_++) {                                                                 \
    }
#endif
enum { REQUEST_MASK = REQUEST_BYTES - 1 };
/* Where a longer body ends sequence numbers cannot tell: half their space counts as past. */
enum { REQUEST_BODY_MAX = 1 << 30 };

enum request_state {
    READ_PATH,
    READ_QUERY,
    READ_LINE, /* at the beginning of a line */
    READ_NAME, /* to the colon */
    READ_SKIP, /* to the end of the line */
    READ_HOST_SPACE,
    READ_HOST,
    READ_LENGTH_SPACE,
    READ_LENGTH,
    READ_PORT,
    READ_HOST_END, /* nothing but space may follow */
    READ_DONE,
    READ_ODD,
};

enum request_flags {
    REQUEST_STREAM = 1,  /* what follows is not HTTP/1.1 any more, or may not be: Upgrade; or its end is too far */
    REQUEST_HOST = 2,
    REQUEST_LENGTH = 4,
    REQUEST_H2C = 8, /* HTTP/2 in clear text is spoken, or asked for */
};

struct request {
    __u64 host, path, suffix;
    __u64 prefix[RELAY_PREFIXES_MAX];
    __u64 label[RELAY_LABELS_MAX]; /* the host from each dot on, shortest first: request_labels */
    __u64 alpn[RELAY_ALPN_MAX];    /* protocols, in the client's order */
    __u32 prefixes, labels, alpns;
    __u32 head; /* bytes of the head; of a ClientHello: all there is */
    __u64 body; /* bytes that follow it, with Expect, too: the server takes them or closes (RFC 9110 10.1.1) */
    __u32 flags;
};

/* The reader's place is here and not on the stack: of what is in a map the verifier believes nothing, and is done sooner. */
struct scratch {
    __u8 data[REQUEST_BYTES + 64]; /* the segment, and zeros */
    struct request r;
    __u32 at, len, state, digits, end;
    __u32 name, name_end; /* the host */
    __u64 hash;
};

#ifdef __bpf__
TABLE(scratches, PERCPU_ARRAY, 1, __u32, struct scratch);
#endif

#define LOWER 0x2020202020202020ull
/* Text of up to 8 characters as a word, lower case, and the mask for as many. */
#define WORD(text)                                                                                                     \
    ((__u64)(text)[0] | (__u64)(text)[1] << 8 | (__u64)(text)[2] << 16 | (__u64)(text)[3] << 24 |                      \
     (__u64)(text)[4] << 32 | (__u64)(text)[5] << 40 | (__u64)(text)[6] << 48 | (__u64)(text)[7] << 56)
#define FIRST(n) (~0ull >> (64 - 8 * (n)))

static __always_inline __u64 word_at(const struct scratch *s, __u32 at)
{
    __u64 w;
    __builtin_memcpy(&w, s->data + (at & REQUEST_MASK), 8);
    return w;
}

static __always_inline __u8 byte_at(const struct scratch *s, __u32 at)
{
    return s->data[at & REQUEST_MASK];
}

static __always_inline __u32 starts(__u64 lower, __u64 text, int n)
{
    return ((lower ^ text) & FIRST(n)) == 0;
}

#define EACH(byte) (0x0101010101010101ull * (byte))

/* Marks (0x80) in the bytes that are less than n, or equal to c; the lowest mark is true, those above it may not be. */
static __always_inline __u64 less(__u64 w, __u64 n)
{
    return (w - EACH(n)) & ~w & EACH(0x80);
}

static __always_inline __u64 equal(__u64 w, __u64 c)
{
    return less(w ^ EACH(c), 1);
}

/* The place of the lowest mark, 8 if there is none. */
static __always_inline __u32 first_of(__u64 marks)
{
    if (!marks)
        return 8;
    /* The multiplication counts the bytes below it. */
    __u64 below = ((marks & -marks) - 1) >> 7;
    return (__u32)(((below & EACH(1)) * EACH(1)) >> 56);
}

static __always_inline void read_path(struct scratch *r, __u8 c)
{
    struct request *q = &r->r;
    r->at++;
    if (c == ' ' || c == '?') {
        r->state = c == ' ' ? READ_LINE : READ_QUERY;
        if (c == ' ') {
            __u64 version = word_at(r, r->at);
            r->state = version == WORD("HTTP/1.1") && byte_at(r, r->at + 8) == '\r' && byte_at(r, r->at + 9) == '\n'
                           ? READ_LINE
                           : READ_ODD;
            r->at += 10;
        }
        return;
    }
    /* Escapes and dots at the beginning of a segment may mean another path: to be resolved elsewhere. */
    if (c == '%' || c < 0x21 || c > 0x7e || c == '#' || c == '\\') {
        r->state = READ_ODD;
        return;
    }
    q->path = (q->path ^ c) * RELAY_HASH_PRIME;
    if (c == '/') {
        __u8 next = byte_at(r, r->at);
        if (next == '/' || next == '.') {
            r->state = READ_ODD;
            return;
        }
        __u32 n = q->prefixes;
        if (n >= RELAY_PREFIXES_MAX) {
            r->state = READ_ODD; /* the longest that fits may be further on */
            return;
        }
        q->prefix[n] = q->path;
        q->prefixes = n + 1;
        q->suffix = 0;
    } else if (c == '.') {
        q->suffix = RELAY_HASH_START;
    }
    if (q->suffix)
        q->suffix = (q->suffix ^ c) * RELAY_HASH_PRIME;
}

/* A field's name: no space, nothing that is not visible before the colon. */
static __always_inline void read_name(struct scratch *r)
{
    __u64 w = word_at(r, r->at);
    __u32 colon = first_of(equal(w, ':')), bad = first_of(less(w, 0x21) | equal(w, 0x7f) | (w & EACH(0x80)));
    r->state = bad < colon ? READ_ODD : colon < 8 ? READ_SKIP : READ_NAME;
    r->at += bad < colon ? bad : colon < 8 ? colon + 1 : 8;
}

/* A field's value that does not matter, up to its CR LF. */
static __always_inline void read_skip(struct scratch *r)
{
    __u64 w = word_at(r, r->at);
    __u32 n = first_of(less(w, 0x20) | equal(w, 0x7f));
    r->at += n;
    if (n == 8)
        return;
    __u8 c = byte_at(r, r->at);
    if (c == '\r') {
        r->state = byte_at(r, r->at + 1) == '\n' ? READ_LINE : READ_ODD;
        r->at += r->state == READ_LINE ? 2 : 1;
    } else if (c == '\t') {
        r->at++;
    } else {
        r->state = READ_ODD;
    }
}

/* The value of Upgrade, `second` its first word in lower case, is "h2c" alone (RFC 7540 3.2). */
static __always_inline __u32 asks_h2c(const struct scratch *r, __u64 second)
{
    return (starts(second, WORD(" h2c    "), 4) && byte_at(r, r->at + 12) == '\r') ||
           (starts(second, WORD("h2c     "), 3) && byte_at(r, r->at + 11) == '\r');
}

static __always_inline void read_line(struct scratch *r)
{
    struct request *q = &r->r;
    __u64 w = word_at(r, r->at), second = word_at(r, r->at + 8) | LOWER, third = word_at(r, r->at + 16) | LOWER;
    if ((w & 0xff) == '\r') {
        r->at += 2;
        q->head = r->at;
        r->state = (w >> 8 & 0xff) == '\n' ? READ_DONE : READ_ODD;
        return;
    }
    w |= LOWER;
    r->state = READ_NAME;
    /* A byte of 0x1a would pass for the colon there, 0x0d for the hyphen. */
    if (starts(w, WORD("host:   "), 5) && byte_at(r, r->at + 4) == ':') {
        r->state = q->flags & REQUEST_HOST ? READ_ODD : READ_HOST_SPACE;
        q->flags |= REQUEST_HOST;
        r->at += 5;
    } else if (w == WORD("content-") && starts(second, WORD("length: "), 7) && byte_at(r, r->at + 7) == '-' &&
               byte_at(r, r->at + 14) == ':') {
        r->state = q->flags & REQUEST_LENGTH ? READ_ODD : READ_LENGTH_SPACE;
        q->flags |= REQUEST_LENGTH;
        r->at += 15;
    } else if (w == WORD("transfer") && second == (WORD("-encodin") | LOWER) && starts(third, WORD("g:      "), 1)) {
        r->state = READ_ODD;
    } else if (starts(w, WORD("upgrade:"), 8)) {
        q->flags |= REQUEST_STREAM | (asks_h2c(r, second) ? REQUEST_H2C : 0);
    }
    if (byte_at(r, r->at) == ':')
        r->state = READ_ODD; /* no name at all */
}

/* A name or an IPv4 address, and a port, of which nothing is kept. What ends it is looked at by read_skip. */
static __always_inline void read_host(struct scratch *r, __u8 c)
{
    struct request *q = &r->r;
    __u32 digit = c >= '0' && c <= '9', space = c == ' ' || c == '\t';
    if (r->state == READ_HOST) {
        if (c >= 'A' && c <= 'Z')
            c |= 0x20;
        if ((c >= 'a' && c <= 'z') || digit || c == '-' || c == '.' || c == '_') {
            r->name_end = r->at + 1;
            q->host = (q->host ^ c) * RELAY_HASH_PRIME;
            r->at++;
            return;
        }
        /* Empty, or with the root's dot: the same as another name. */
        if (q->host == RELAY_HASH_START || byte_at(r, r->at - 1) == '.') {
            r->state = READ_ODD;
            return;
        }
    }
    if (c == '\r') {
        r->state = READ_SKIP;
        return;
    }
    if (space)
        r->state = READ_HOST_END;
    else if (r->state == READ_HOST && c == ':')
        r->state = READ_PORT;
    else if (r->state != READ_PORT || !digit)
        r->state = READ_ODD;
    r->at += r->state != READ_ODD;
}

static __always_inline void read_value(struct scratch *r, __u8 c)
{
    struct request *q = &r->r;
    if (r->state == READ_HOST_SPACE || r->state == READ_LENGTH_SPACE) {
        if (c == ' ' || c == '\t') {
            r->at++;
            return;
        }
        if (r->state == READ_HOST_SPACE)
            r->name = r->at;
        r->state++;
        return;
    }
    if (r->state == READ_LENGTH) {
        if (c >= '0' && c <= '9' && r->digits < 15) {
            q->body = q->body * 10 + (c - '0');
            r->digits++;
            r->at++;
        } else {
            r->state = c == '\r' && r->digits ? READ_SKIP : READ_ODD;
        }
        return;
    }
    read_host(r, c);
}

static long request_step(__u32 i, void *ctx)
{
    struct scratch *r = *(struct scratch **)ctx;
    if (r->at >= r->len || r->state >= READ_DONE)
        return 1;
    if (r->state == READ_SKIP) {
        read_skip(r);
        return 0;
    }
    if (r->state == READ_NAME) {
        read_name(r);
        return 0;
    }
    if (r->state == READ_LINE) {
        read_line(r);
        return 0;
    }
    __u8 c = byte_at(r, r->at);
    if (r->state == READ_PATH) {
        read_path(r, c);
    } else if (r->state == READ_QUERY) {
        r->at++;
        if (c == ' ') {
            r->at--;
            r->state = READ_PATH; /* which reads the space and the version */
        } else if (c < 0x21 || c > 0x7e) {
            r->state = READ_ODD;
        }
    } else {
        read_value(r, c);
    }
    return 0;
}

/* Bytes of the method and its space, 0 for one we do not read. */
static __always_inline __u32 method_length(__u64 w)
{
    static const struct {
        __u64 text;
        __u32 n;
    } known[] = {{WORD("GET /   "), 4},    {WORD("HEAD /  "), 5}, {WORD("POST /  "), 5},
                 {WORD("PUT /   "), 4},    {WORD("PATCH / "), 6}, {WORD("DELETE /"), 7}};
    for (int i = 0; i < 6; i++)
        if (((w ^ known[i].text) & FIRST(known[i].n + 1)) == 0)
            return known[i].n;
    return 0;
}

enum reading {
    READING_WHOLE,
    READING_PART, /* begins well, ends too early */
    READING_ODD,  /* not for us */
};

/* What HTTP/2 begins with. No path or host is in it: those come in frames, and only to who has spoken first. */
static __always_inline enum reading request_read_preface(struct scratch *s, __u32 len)
{
    static const __u64 preface[] = {WORD("PRI * HT"), WORD("TP/2.0\r\n"), WORD("\r\nSM\r\n\r\n")};
    for (__u32 i = 0; i < 3; i++) {
        __u32 have = len > i * 8 ? len - i * 8 : 0;
        if (have && (word_at(s, i * 8) ^ preface[i]) & FIRST(have < 8 ? have : 8))
            return READING_ODD;
    }
    s->r.flags = REQUEST_STREAM | REQUEST_H2C;
    s->r.head = len;
    return len < 24 ? READING_PART : READING_WHOLE;
}

/* The segment's len bytes are in s->data, zeros behind. */
static __always_inline enum reading request_read_http(struct scratch *s, __u32 len)
{
    __u64 first = word_at(s, 0);
    s->at = method_length(first);
    s->len = len;
    s->state = READ_PATH;
    s->digits = 0;
    if (!s->at)
        return len < 8 && len > 0 && byte_at(s, 0) >= 'A' && byte_at(s, 0) <= 'Z' ? READING_PART : READING_ODD;
    REPEAT(REQUEST_BYTES, request_step, &s);
    if (s->r.body > REQUEST_BODY_MAX)
        s->r.flags |= REQUEST_STREAM;
    if (s->state == READ_DONE && s->r.head <= len)
        return s->r.flags & REQUEST_HOST ? READING_WHOLE : READING_ODD;
    return s->state == READ_ODD && s->at < len ? READING_ODD : READING_PART;
}

/* ---- TLS ---- */

enum {
    HELLO_RECORD_MAX = 16384,
    HELLO_NAME_MAX = 255,
    HELLO_EXTENSIONS_MAX = 64,
    HELLO_ALPN_BYTES = 255,
    EXTENSION_NAME = 0,
    EXTENSION_ALPN = 16
};

static __always_inline __u32 be16_at(const struct scratch *s, __u32 at)
{
    return (__u32)byte_at(s, at) << 8 | byte_at(s, at + 1);
}

static __always_inline __u8 lower_at(const struct scratch *s, __u32 at)
{
    __u8 c = byte_at(s, at);
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static long hello_host(__u32 i, void *ctx)
{
    struct scratch *s = *(struct scratch **)ctx;
    if (s->at >= s->name_end)
        return 1;
    s->r.host = (s->r.host ^ lower_at(s, s->at)) * RELAY_HASH_PRIME;
    s->at++;
    return 0;
}

/* A protocol's length and its bytes; s->digits of them are still to come. */
static long hello_protocol(__u32 i, void *ctx)
{
    struct scratch *s = *(struct scratch **)ctx;
    if (s->at >= s->end || s->state == READ_ODD)
        return 1;
    __u8 c = byte_at(s, s->at);
    s->at++;
    if (!s->digits) {
        s->digits = c;
        s->hash = RELAY_HASH_START;
        s->state = c && s->at + c <= s->end ? s->state : READ_ODD;
        return 0;
    }
    s->hash = (s->hash ^ c) * RELAY_HASH_PRIME;
    if (--s->digits)
        return 0;
    __u32 n = s->r.alpns;
    if (n >= RELAY_ALPN_MAX)
        return 1;
    s->r.alpn[n] = s->hash;
    s->r.alpns = n + 1;
    return 0;
}

/* server_name: list length, type, name length, name; one name, as there are no other types. */
static __always_inline __u32 hello_name(struct scratch *s, __u32 at, __u32 length)
{
    __u32 name = be16_at(s, at + 3);
    if (s->name_end || length != name + 5 || be16_at(s, at) != name + 3 || byte_at(s, at + 2) || !name ||
        name > HELLO_NAME_MAX)
        return 0;
    s->name = at + 5;
    s->name_end = at + length;
    return 1;
}

/* s->len: where the list of protocols is; its length is in front of it. */
static long hello_extension(__u32 i, void *ctx)
{
    struct scratch *s = *(struct scratch **)ctx;
    __u32 at = s->at;
    if (at + 4 > s->end)
        return 1;
    __u32 type = be16_at(s, at), length = be16_at(s, at + 2);
    s->at = at + 4 + length;
    if (type == EXTENSION_NAME && !hello_name(s, at + 4, length))
        s->state = READ_ODD;
    if (type == EXTENSION_ALPN) {
        if (s->len || length != be16_at(s, at + 4) + 2)
            s->state = READ_ODD;
        s->len = at + 6;
    }
    return s->state == READ_ODD;
}

/* The message's bytes end at s->end; they are all there. */
static __always_inline enum reading hello_read(struct scratch *s)
{
    s->at = 9 + 2 + 32;
    s->at += 1 + byte_at(s, s->at);
    s->at += 2 + be16_at(s, s->at);
    s->at += 1 + byte_at(s, s->at);
    if (s->at == s->end)
        return READING_WHOLE; /* of a time before extensions */
    if (s->at + 2 + be16_at(s, s->at) != s->end)
        return READING_ODD;
    s->at += 2;
    REPEAT(HELLO_EXTENSIONS_MAX, hello_extension, &s);
    if (s->state == READ_ODD || s->at != s->end)
        return READING_ODD;
    if (s->len) {
        s->at = s->len;
        s->end = s->at + be16_at(s, s->at - 2);
        REPEAT(HELLO_ALPN_BYTES, hello_protocol, &s);
    }
    if (s->name_end) {
        s->at = s->name;
        REPEAT(HELLO_NAME_MAX, hello_host, &s);
        s->r.flags |= REQUEST_HOST;
    }
    return s->state == READ_ODD ? READING_ODD : READING_WHOLE;
}

static __always_inline enum reading request_read_hello(struct scratch *s, __u32 len)
{
    s->r.flags = REQUEST_STREAM;
    s->r.head = len;
    if (len < 11)
        return READING_PART;
    /* record: type, version, length; handshake: type, length of three bytes, version, random, session, suites, methods */
    __u32 record = be16_at(s, 3), message = be16_at(s, 7);
    if (byte_at(s, 1) != 3 || !record || record > HELLO_RECORD_MAX || byte_at(s, 5) != 1)
        return READING_ODD;
    /* In several records: the daemon puts them together before it reads. */
    if (record < 4)
        return READING_PART;
    if (byte_at(s, 6) != 0)
        return READING_ODD;
    if (message + 4 > record || 9 + message > len)
        return READING_PART;
    s->end = 9 + message;
    s->state = READ_LINE;
    s->len = s->digits = 0;
    return hello_read(s);
}

/* ---- all ---- */

static long label_step(__u32 i, void *ctx)
{
    struct scratch *s = *(struct scratch **)ctx;
    __u32 n = s->r.labels;
    if (s->end <= s->name || n >= RELAY_LABELS_MAX)
        return 1;
    s->end--;
    s->hash = (s->hash ^ lower_at(s, s->end)) * RELAY_HASH_PRIME;
    if (byte_at(s, s->end) == '.') {
        s->r.label[n] = s->hash;
        s->r.labels = n + 1;
    }
    return 0;
}

/* What a name with a star is looked for by; only needed where there is no entry for the name itself. */
static __always_inline void request_labels(struct scratch *s)
{
    s->end = s->name_end;
    s->hash = RELAY_HASH_START;
    s->r.labels = 0;
    REPEAT(HELLO_NAME_MAX, label_step, &s);
}

static __always_inline enum reading request_read(struct scratch *s, __u32 len)
{
    __builtin_memset(&s->r, 0, sizeof s->r);
    s->r.path = s->r.host = RELAY_HASH_START;
    s->name = s->name_end = 0;
    if (byte_at(s, 0) == 22)
        return request_read_hello(s, len);
    return byte_at(s, 0) == 'P' && byte_at(s, 1) == 'R' ? request_read_preface(s, len) : request_read_http(s, len);
}

#endif
