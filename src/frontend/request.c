/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a request whose head is read: its service, its server, a redirect, the queue, or a refusal. */
#include <string.h>

#include "frontend/internal.h"
#include "http/uri.h"

static const struct front_service *route(const struct client *c)
{
    const struct http_head *h = &c->head;
    const char *bytes = c->c.in->data + c->c.in->start;
    struct http_span host = h->flags & HTTP_ABSOLUTE ? h->authority
                            : http_has(h, HTTP_HOST) ? h->field[HTTP_HOST]
                                                     : (struct http_span){0, 0};
    return front_table_route(c->sock->listener, bytes + host.off, host.len);
}

/* True: answered. */
static bool rewritten(struct thread *t, struct client *c)
{
    const struct http_head *h = &c->head;
    const char *bytes = c->c.in->data + c->c.in->start;
    struct chunk *text = front_chunk_get(t);
    size_t len;
    const struct front_rewrite *r =
        front_rewrite_apply(c->service, bytes + h->path.off, h->path.len, text->data, HTTP_LINE_MAX, &len);
    if (!r) {
        front_chunk_put(t, &text);
        return false;
    }
    front_count(t, FRONT_REWRITTEN);
    if (r->status) {
        front_reply_redirect(t, c, r->status, "", text->data, len, "");
        front_chunk_put(t, &text);
        return true;
    }
    text->start = 0;
    text->end = (uint32_t)len;
    c->path_text = text;
    c->path_new = true;
    return false;
}

static void body_begin(struct client *c)
{
    enum http_body b = http_request_body(&c->head);
    front_flow_init(&c->req, b == HTTP_BODY_CHUNKED ? FLOW_CHUNKED : b == HTTP_BODY_LENGTH ? FLOW_LENGTH : FLOW_NONE,
              c->head.content_length);
    c->req.retain = b == HTTP_BODY_NONE && http_safe(c->head.method);
}

void front_request_begin(struct thread *t, struct client *c)
{
    front_count(t, FRONT_REQUESTS);
    c->began_ms = t->now_ms;
    c->keep = c->set_cookie = false;
    c->tried_count = 0;
    c->refusal = 503;
    body_begin(c);
    const struct front_service *s = c->sock->listener ? route(c) : NULL;
    if (!s) {
        front_count(t, FRONT_BAD_REQUESTS);
        front_reply_status(t, c, 421); /* nobody here is called that (RFC 9110 15.5.20) */
        return;
    }
    c->service = s;
    c->table = t->table;
    c->table->uses[t->index].count++;
    unsigned active = atomic_fetch_add_explicit(&s->state->active, 1, memory_order_relaxed);
    c->counted = true;
    if (s->max_connections && active >= s->max_connections) {
        front_request_overload(t, c);
        return;
    }
    if (s->rewrite_count && rewritten(t, c))
        return;
    if (s->mode == FRONT_REDIRECT)
        front_redirect_to_chosen(t, c);
    else
        front_request_dispatch(t, c);
}

static uint64_t holders(const struct client *c)
{
    const struct http_span *path = &c->head.path;
    if (c->service->mode >= FRONT_TCP)
        return c->held;
    if (!c->service->holding_count && !c->service->known)
        return UINT64_MAX;
    if (c->path_new)
        return front_holders(c->service, c->path_text->data, c->path_text->end);
    return front_holders(c->service, c->c.in->data + c->c.in->start + path->off, path->len);
}

static enum balance_why pick(struct thread *t, struct client *c, const struct front_server **out)
{
    const struct front_service *s = c->service;
    const char *cookie = NULL;
    struct http_span value = {0, 0};
    if (s->sticky == FRONT_STICKY_COOKIE && http_has(&c->head, HTTP_COOKIE)) {
        const struct http_span *f = &c->head.field[HTTP_COOKIE];
        cookie = c->c.in->data + c->c.in->start + f->off;
        if (http_cookie(cookie, f->len, s->cookie, &value))
            cookie += value.off;
    }
    if (!c->asked) { /* once: when a server has had the request, its head lies elsewhere */
        c->holders = holders(c);
        c->asked = true;
    }
    struct balance_ask ask = {&c->peer, cookie, value.len, c->tried, c->tried_count, c->holders};
    enum balance_why why = front_balance_pick(s, t->index, t->now_ms, &ask, out);
    if (why == BALANCE_FOUND && s->sticky == FRONT_STICKY_COOKIE)
        c->set_cookie = strlen((*out)->cookie) != value.len || memcmp((*out)->cookie, cookie, value.len) != 0;
    return why;
}

static bool take(struct thread *t, struct client *c, const struct front_server *s)
{
    int rc = front_upstream_take(t, c, s, false);
    if (rc == PM_OK) {
        if (c->up->connected) {
            front_exchange_begin(t, c);
        } else {
            c->state = CLIENT_CONNECT;
            front_timer_set(t, &c->c.timer, c->service->times.connect);
        }
        return true;
    }
    if (rc != PM_EBUSY && c->tried_count < TRIED_MAX)
        c->tried[c->tried_count++] = s;
    return false;
}

void front_request_dispatch(struct thread *t, struct client *c)
{
    const struct front_server *s;
    for (unsigned rounds = 0; rounds < TRIED_MAX; rounds++) {
        enum balance_why why = pick(t, c, &s);
        if (why == BALANCE_FULL) {
            if (!front_queue_enter(t, c))
                break;
            if (pick(t, c, &s) != BALANCE_FOUND)
                return; /* a place that became free since then would not wake us */
            front_queue_leave(t, c);
        } else if (why == BALANCE_DOWN) {
            break;
        }
        if (take(t, c, s))
            return;
        if (c->tried_count > c->service->retries)
            break;
    }
    front_request_overload(t, c);
}

void front_request_failed(struct thread *t, struct client *c, bool exclude, unsigned status)
{
    c->refusal = (uint16_t)status;
    if (c->data) { /* it belongs to this server and no other */
        front_client_release(t, c);
        front_client_close(t, c);
        return;
    }
    if (exclude && c->tried_count < TRIED_MAX)
        c->tried[c->tried_count++] = c->server;
    if (c->tried_count > c->service->retries || c->tried_count == TRIED_MAX) {
        front_request_overload(t, c);
        return;
    }
    front_count(t, FRONT_RETRIES);
    front_request_dispatch(t, c);
}

static bool is_sure(const struct front_service *s)
{
    uint64_t yes;
    return front_known_look(s->known, s->scope, FRONT_SURE, "", 0, &yes);
}

bool front_request_elsewhere(struct thread *t, struct client *c)
{
    const struct front_service *s = c->service;
    const struct front_server *other;
    bool safe = c->head.method == HTTP_GET || c->head.method == HTTP_HEAD;
    if (!s->known || (c->elsewhere && is_sure(s)) || !safe || !c->req.retain || c->tried_count == TRIED_MAX)
        return false;
    c->tried[c->tried_count++] = c->server;
    struct balance_ask ask = {&c->peer, NULL, 0, c->tried, c->tried_count, c->holders};
    if (front_balance_pick(s, t->index, t->now_ms, &ask, &other) != BALANCE_FOUND) {
        c->tried_count--;
        return false;
    }
    front_count(t, FRONT_ELSEWHERE);
    front_note_answer(t, c, true);
    front_upstream_give(t, c, false); /* with what it says of not having it */
    front_flow_end(t, &c->req);
    c->req.moved = 0;
    c->elsewhere = true;
    c->refusal = 404;
    front_request_dispatch(t, c);
    return true;
}

/* Says no, in the way of the service. */
static void say_no(struct thread *t, struct client *c, unsigned status)
{
    bool drop = c->service->busy == FRONT_BUSY_DROP && status == 503;
    if (c->service->mode >= FRONT_TCP || drop) {
        front_client_release(t, c);
        front_client_close(t, c);
        return;
    }
    front_reply_status(t, c, status);
}

void front_request_overload(struct thread *t, struct client *c)
{
    if (c->service->mode < FRONT_TCP && c->service->away && front_away_try(t, c))
        return;
    front_count(t, FRONT_REFUSED);
    say_no(t, c, c->refusal);
}
