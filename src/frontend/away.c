/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To another site: by the service's mode, or by the overload rule. The next site is the best one of the director's order
 * that is not here and, as far as the loop guard knows, has not been tried.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "frontend/internal.h"
#include "http/uri.h"

#define MARK "pm-tried" /* of query and cookie; its value: names of sites with ~ between */

static int choose(const struct thread *t, const struct client *c, unsigned n)
{
    const struct frontend_options *o = &t->f->o;
    if (o->choose)
        return o->choose(o->ctx, c->service, &c->peer, n);
    return n < c->service->site_count ? (int)n : -1;
}

static const char *bytes_of(const struct client *c)
{
    return c->c.in->data + c->c.in->start;
}

static bool in_list(const char *list, size_t len, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list, *end = list + len; p < end;) {
        const char *sep = memchr(p, '~', (size_t)(end - p));
        size_t part = sep ? (size_t)(sep - p) : (size_t)(end - p);
        if (part == n && memcmp(p, name, n) == 0)
            return true;
        p += part + 1;
    }
    return false;
}

/* Whether the request came by the name of a site: the address part of this site's URL is its host. */
static bool by_site_name(const struct client *c)
{
    const struct http_head *h = &c->head;
    const char *bytes = bytes_of(c);
    struct http_span host = h->flags & HTTP_ABSOLUTE ? h->authority : h->field[HTTP_HOST];
    if (!(h->flags & HTTP_ABSOLUTE) && !http_has(h, HTTP_HOST))
        return true; /* HTTP/1.0 without Host: no way to tell, so it stays */
    for (uint32_t i = 0; i < c->service->site_count; i++) {
        const struct front_site *s = &c->service->sites[i];
        const char *at = s->self ? strstr(s->url, "://") : NULL;
        size_t len = at ? http_authority_host(at + 3, strlen(at + 3)) : 0;
        if (len && len == http_authority_host(bytes + host.off, host.len) &&
            strncasecmp(at + 3, bytes + host.off, len) == 0)
            return true;
    }
    return false;
}

/* What the mark says of sites tried: a span of the request. */
static struct http_span tried(const struct client *c, const char **where)
{
    const struct http_head *h = &c->head;
    struct http_span v = {0, 0};
    *where = bytes_of(c);
    if (c->service->guard == FRONT_GUARD_COOKIE && http_has(h, HTTP_COOKIE)) {
        *where += h->field[HTTP_COOKIE].off;
        if (!http_cookie(*where, h->field[HTTP_COOKIE].len, MARK, &v))
            v.len = 0;
    } else if (c->service->guard == FRONT_GUARD_QUERY) {
        const char *path = *where + h->path.off, *end = path + h->path.len;
        const char *q = memchr(path, '?', h->path.len);
        while (q && q < end) {
            q++;
            const char *amp = memchr(q, '&', (size_t)(end - q));
            const char *stop = amp ? amp : end;
            if ((size_t)(stop - q) > strlen(MARK) && memcmp(q, MARK "=", sizeof MARK) == 0) {
                *where = q + sizeof MARK;
                v.len = (uint32_t)(stop - *where);
                break;
            }
            q = amp;
        }
    }
    return v;
}

/* The query without an old mark, with the new one. */
static size_t mark_query(const char *path, size_t len, const char *mark, char *out, size_t cap)
{
    const char *q = memchr(path, '?', len), *end = path + len;
    size_t n = q ? (size_t)(q - path) : len;
    if (len + strlen(mark) + 16 > cap)
        return 0;
    memcpy(out, path, n);
    out[n++] = '?';
    while (q && q < end) {
        q++;
        const char *amp = memchr(q, '&', (size_t)(end - q));
        const char *stop = amp ? amp : end;
        if (stop > q && !((size_t)(stop - q) > strlen(MARK) && memcmp(q, MARK "=", sizeof MARK) == 0)) {
            memcpy(out + n, q, (size_t)(stop - q));
            n += (size_t)(stop - q);
            out[n++] = '&';
        }
        q = amp;
    }
    n += (size_t)snprintf(out + n, cap - n, MARK "=%s", mark);
    return n;
}

static void send_away(struct thread *t, struct client *c, const struct front_site *to, const char *list, size_t list_len)
{
    const struct http_head *h = &c->head;
    const char *path = bytes_of(c) + h->path.off, *self = "", *slash = h->path.len && *path == '/' ? "" : "/";
    char base[512], extra[512] = "", mark[256];
    size_t len = h->path.len;
    struct chunk *text = NULL;
    for (uint32_t i = 0; i < c->service->site_count; i++)
        if (c->service->sites[i].self)
            self = c->service->sites[i].name;
    snprintf(mark, sizeof mark, "%.*s%s%s", (int)(list_len < 150 ? list_len : 150), list, list_len ? "~" : "", self);
    snprintf(base, sizeof base, "%s%s", to->url, slash);
    if (c->service->guard == FRONT_GUARD_COOKIE) {
        snprintf(extra, sizeof extra, "Set-Cookie: " MARK "=%s; Path=/; Max-Age=10\r\n", mark);
    } else if (c->service->guard == FRONT_GUARD_QUERY) {
        text = front_chunk_get(t);
        size_t n = mark_query(path, len, mark, text->data, HTTP_LINE_MAX);
        if (n) {
            path = text->data;
            len = n;
        }
    }
    front_reply_redirect(t, c, 307, base, path, len, extra);
    front_chunk_put(t, &text);
}

bool front_away_try(struct thread *t, struct client *c)
{
    const char *list;
    struct http_span seen = tried(c, &list);
    if (c->service->guard == FRONT_GUARD_HOST && by_site_name(c)) {
        front_count(t, FRONT_AWAY_LOOP);
        return false;
    }
    bool skipped = false;
    for (unsigned n = 0; n < FRONT_SITES_MAX; n++) {
        int i = choose(t, c, n);
        if (i < 0 || (uint32_t)i >= c->service->site_count)
            break;
        const struct front_site *s = &c->service->sites[i];
        if (s->self || !s->url)
            continue;
        if (in_list(list + seen.off, seen.len, s->name)) {
            skipped = true;
            continue;
        }
        front_count(t, FRONT_AWAY);
        send_away(t, c, s, list + seen.off, seen.len);
        return true;
    }
    if (skipped)
        front_count(t, FRONT_AWAY_LOOP);
    return false;
}

/* FRONT_REDIRECT: to the director's best site, or to a server chosen here. */
void front_redirect_to_chosen(struct thread *t, struct client *c)
{
    const struct http_head *h = &c->head;
    const char *path = bytes_of(c) + h->path.off, *slash = h->path.len && *path == '/' ? "" : "/";
    size_t len = h->path.len;
    char base[512];
    const char *url = NULL;
    if (c->path_new) {
        path = c->path_text->data;
        len = c->path_text->end;
    }
    if (c->service->target == FRONT_TO_SERVER) {
        const struct front_server *s;
        struct balance_ask ask = {.client = &c->peer, .holders = front_holders(c->service, path, len)};
        if (front_balance_pick(c->service, t->index, t->now_ms, &ask, &s) == BALANCE_FOUND)
            url = s->url;
    } else {
        int i = choose(t, c, 0);
        url = i >= 0 && (uint32_t)i < c->service->site_count ? c->service->sites[i].url : NULL;
    }
    if (!url) {
        front_request_overload(t, c);
        return;
    }
    front_count(t, FRONT_REDIRECTED);
    snprintf(base, sizeof base, "%s%s", url, slash);
    front_reply_redirect(t, c, 307, base, path, len, "");
}
