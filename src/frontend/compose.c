/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads on their way through: fields of the hop are left out (RFC 9110 7.6.1), ours are added. A head is made in the
 * thread's scratch and put back so that it ends where the body begins: head and body then leave in one call, and the
 * same bytes serve again when a request has to be sent to another server.
 */
#include <string.h>
#include <strings.h>

#include "frontend/internal.h"
#include "http/uri.h"

struct out {
    char *at, *end;
    bool full;
};

static inline void put(struct out *o, const char *text, size_t len)
{
    if (PM_UNLIKELY((size_t)(o->end - o->at) < len)) {
        o->full = true;
        return;
    }
    memcpy(o->at, text, len);
    o->at += len;
}
#define PUT(o, literal) put((o), "" literal, sizeof(literal) - 1)

static void put_span(struct out *o, const char *bytes, struct http_span s)
{
    put(o, bytes + s.off, s.len);
}

/* Whether a Connection field names it. The framing and what we rely on are not a client's to take away. */
static bool nominated(const struct http_head *h, const char *bytes, const char *name, uint32_t len)
{
    static const char *const kept[] = {"host", "content-length", "transfer-encoding", "cookie", "authorization", "expect",
                                       "x-forwarded-for"};
    for (size_t i = 0; i < PM_ARRAY_LEN(kept); i++)
        if (strlen(kept[i]) == len && strncasecmp(kept[i], name, len) == 0)
            return false;
    for (uint32_t i = 0; i < h->drops; i++) {
        const char *line = bytes + h->drop[i].off;
        struct http_span token;
        if (strncasecmp(line, "connection:", 11) != 0)
            continue;
        for (uint32_t at = 0; http_list_next(line + 11, h->drop[i].len - 13, &at, &token);)
            if (token.len == len && strncasecmp(line + 11 + token.off, name, len) == 0)
                return true;
    }
    return false;
}

/* All field lines but those of the hop, and those of `without` (a bit per enum http_field). */
static void put_lines(struct out *o, const struct http_head *h, const char *bytes, unsigned without)
{
    uint32_t at = h->lines, end = h->len - 2;
    if (PM_LIKELY(!without && !(h->flags & HTTP_NOMINATES))) {
        for (uint32_t i = 0; i < h->drops; i++) {
            put(o, bytes + at, h->drop[i].off - at);
            at = h->drop[i].off + h->drop[i].len;
        }
        put(o, bytes + at, end - at);
        return;
    }
    struct http_span line;
    uint32_t name, drop = 0;
    while (http_line_next(h, bytes, &at, &line, &name)) {
        bool skip = drop < h->drops && h->drop[drop].off == line.off;
        drop += skip;
        for (unsigned f = 0; f < HTTP_FIELD_COUNT && !skip; f++)
            skip = without >> f & 1 && http_has(h, f) && h->field[f].off > line.off && h->field[f].off < line.off + line.len;
        if (!skip && !(h->flags & HTTP_NOMINATES && nominated(h, bytes, bytes + line.off, name)))
            put_span(o, bytes, line);
    }
}

/* Puts what is in the scratch before byte `body` of the chunk. */
static bool put_back(struct thread *t, const struct out *o, struct chunk *in, uint32_t body)
{
    uint32_t len = (uint32_t)(o->at - t->scratch);
    if (o->full)
        return false;
    if (PM_UNLIKELY(len > body)) { /* grew beyond the room before it */
        uint32_t by = len - body, rest = in->end - body;
        if (in->end + by > CHUNK_SIZE)
            return false;
        memmove(in->data + body + by, in->data + body, rest);
        in->end += by;
        body += by;
    }
    in->start = body - len;
    memcpy(in->data + in->start, t->scratch, len);
    return true;
}

static void request_line(struct out *o, struct client *c, const char *bytes)
{
    const struct http_head *h = &c->head;
    if (PM_LIKELY(!c->path_new && !(h->flags & HTTP_ABSOLUTE) && h->minor == 1)) {
        put(o, bytes + h->lead, h->lines - h->lead);
        memcpy(o->at - 3, "1", 1); /* HTTP/1.9 says 1.1 from here on */
        return;
    }
    put_span(o, bytes, h->method_name);
    PUT(o, " ");
    if (c->path_new) {
        put(o, c->path_text->data, c->path_text->end);
    } else if (h->flags & HTTP_ABSOLUTE) {
        if (h->path.len == 0 || bytes[h->path.off] != '/')
            PUT(o, "/");
        put_span(o, bytes, h->path);
    } else {
        put_span(o, bytes, h->target);
    }
    PUT(o, " HTTP/1.1\r\n");
}

bool front_compose_request(struct thread *t, struct client *c)
{
    const struct http_head *h = &c->head;
    struct chunk *in = c->c.in;
    const char *bytes = in->data + in->start;
    struct out o = {t->scratch, t->scratch + SCRATCH_SIZE, false};
    uint32_t body = in->start + h->len;
    unsigned without = 0;
    request_line(&o, c, bytes);
    if (PM_UNLIKELY(h->flags & HTTP_ABSOLUTE)) {
        PUT(&o, "Host: ");
        put_span(&o, bytes, h->authority);
        PUT(&o, "\r\n");
        without |= 1u << HTTP_HOST;
    } else if (PM_UNLIKELY(!http_has(h, HTTP_HOST))) { /* HTTP/1.0; our version wants one */
        PUT(&o, "Host: ");
        put(&o, c->service->name, strlen(c->service->name));
        PUT(&o, "\r\n");
    }
    put_lines(&o, h, bytes, without);
    if (c->service->forwarded_for) {
        if (c->address_len == 0) {
            addr_format(&c->peer, c->address);
            c->address_len = (uint8_t)strlen(c->address);
        }
        PUT(&o, "X-Forwarded-For: ");
        put(&o, c->address, c->address_len);
        PUT(&o, "\r\n");
    }
    if (h->flags & HTTP_UPGRADES) {
        PUT(&o, "Connection: upgrade\r\nUpgrade: ");
        put_span(&o, bytes, h->field[HTTP_UPGRADE]);
        PUT(&o, "\r\n");
    }
    PUT(&o, "\r\n");
    if (!put_back(t, &o, in, body))
        return false;
    c->req.pos = in->start;
    c->req.lim = in->start + (uint32_t)(o.at - t->scratch);
    return true;
}

bool front_compose_response(struct thread *t, struct client *c, struct upstream *u)
{
    const struct http_head *h = &u->head;
    struct chunk *in = u->c.in;
    const char *bytes = in->data + in->start;
    struct out o = {t->scratch, t->scratch + SCRATCH_SIZE, false};
    uint32_t body = in->start + h->len;
    PUT(&o, "HTTP/1.1");
    put(&o, bytes + 8, h->lines - 8);
    put_lines(&o, h, bytes, u->res.unwrap ? 1u << HTTP_TRANSFER_ENCODING : 0);
    if (PM_UNLIKELY(c->set_cookie)) {
        PUT(&o, "Set-Cookie: ");
        put(&o, c->service->cookie, strlen(c->service->cookie));
        PUT(&o, "=");
        put(&o, c->server->cookie, strlen(c->server->cookie));
        PUT(&o, "; Path=/; HttpOnly; SameSite=Lax\r\n");
    }
    if (h->status == 101) {
        PUT(&o, "Connection: upgrade\r\nUpgrade: ");
        put_span(&o, bytes, h->field[HTTP_UPGRADE]);
        PUT(&o, "\r\n");
    } else if (!c->keep) {
        PUT(&o, "Connection: close\r\n");
    } else if (c->head.minor == 0) {
        PUT(&o, "Connection: keep-alive\r\n");
    }
    PUT(&o, "\r\n");
    if (!put_back(t, &o, in, body))
        return false;
    u->res.pos = in->start;
    u->res.lim = in->start + (uint32_t)(o.at - t->scratch);
    return true;
}
