/* SPDX-License-Identifier: Apache-2.0 */
/* One link: hello, what comes in and what it may cost, the queue of what goes out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "mesh/mesh_internal.h"

static void on_message(struct mesh_link *l, const uint8_t *data, size_t n);
static void on_drained(struct mesh_link *l);
static void on_down(struct mesh_link *l, const char *why);
static const struct mesh_link_calls calls = {on_message, on_drained, on_down};

/* ---- life ---- */

static void send_hello(struct session *s)
{
    uint8_t space[1024];
    const struct mesh_config *c = &s->m->config;
    struct mesh_writer w = mesh_writer(space, sizeof space);
    struct mesh_hello h = {.low = MESH_VERSION,
                           .high = MESH_VERSION,
                           .node = mesh_str(c->node),
                           .region = mesh_str(c->region),
                           .site = mesh_str(c->site),
                           .software = mesh_str(c->software),
                           .incarnation = s->m->incarnation,
                           .features = s->m->signs};
    mesh_message_start(&w, MESH_HELLO, 0);
    mesh_put_hello(&w, &h);
    session_send(s, &w);
}

struct session *session_new(struct mesh *m, struct mesh_link *link)
{
    struct session *s = mem_alloc(sizeof *s);
    s->m = m;
    s->link = link;
    link->calls = &calls;
    link->user = s;
    s->opened_ms = s->heard_ms = s->refilled_ms = m->now;
    s->byte_tokens = (double)m->config.peer_bytes_per_s * BURST_S;
    s->record_tokens = (double)m->config.peer_records_per_s * BURST_S;
    send_hello(s);
    return s;
}

static void queue_clear(struct session *s)
{
    for (; s->queue_len; s->queue_len--) {
        mesh_stored_unref(s->queue[s->queue_at].s);
        s->queue_at = (s->queue_at + 1) % s->queue_cap;
    }
}

/* The link is no longer ours; what it has counted stays with the peer. */
static void unlink_peer(struct session *s)
{
    struct mesh_peer *p = s->peer;
    if (p && s->link) {
        p->bytes_in += s->link->bytes_in;
        p->bytes_out += s->link->bytes_out;
        p->messages_in += s->link->messages_in;
        p->messages_out += s->link->messages_out;
    }
    s->link = NULL;
}

static void end(struct session *s, const char *why)
{
    if (s->state == SESSION_DEAD)
        return;
    snprintf(s->why, sizeof s->why, "%s", why);
    s->state = SESSION_DEAD;
    queue_clear(s);
    topology_down(s);
    s->m->slow_due = s->m->now; /* reap soon */
}

void session_fail(struct session *s, const char *why)
{
    uint8_t space[MESH_HEADER + 256];
    struct mesh_writer w = mesh_writer(space, sizeof space);
    if (s->state == SESSION_DEAD)
        return;
    mesh_message_start(&w, MESH_BYE, 0);
    mesh_put_str(&w, mesh_str(why));
    session_send(s, &w);
    end(s, why);
}

void session_free(struct session *s)
{
    struct mesh_link *link = s->link;
    queue_clear(s);
    unlink_peer(s);
    if (link)
        mesh_link_close(link, s->why);
    free(s->queue);
    free(s->pending);
    free(s);
}

static void on_down(struct mesh_link *l, const char *why)
{
    struct session *s = l->user;
    mesh_now(s->m);
    unlink_peer(s);
    end(s, why);
}

/* ---- out ---- */

void session_send(struct session *s, const struct mesh_writer *w)
{
    if (s->link && !w->full)
        (void)mesh_link_send(s->link, w->p, w->len); /* lost when the peer does not read: comparisons come again */
}

static void overflow(struct session *s)
{
    queue_clear(s);
    s->dirty = true;
    s->peer->counters.overflows++;
}

void session_queue(struct session *s, struct mesh_stored *rec, bool repair)
{
    if (s->dirty && !repair)
        return; /* a comparison will bring it */
    if (s->queue_len >= s->m->config.queue_max) {
        overflow(s);
        return;
    }
    if (s->queue_len == s->queue_cap) {
        uint32_t cap = s->queue_cap ? s->queue_cap * 2 : 32;
        struct queued *q = mem_alloc(cap * sizeof *q);
        for (uint32_t i = 0; i < s->queue_len; i++)
            q[i] = s->queue[(s->queue_at + i) % s->queue_cap];
        free(s->queue);
        s->queue = q;
        s->queue_at = 0;
        s->queue_cap = cap;
    }
    s->queue[(s->queue_at + s->queue_len++) % s->queue_cap] = (struct queued){mesh_stored_ref(rec), repair};
    mesh_due(&s->m->flush_due, s->m->now + BATCH_MS);
}

/* Fills one message from the front of the queue; what was replaced meanwhile is not sent: its successor is behind it. */
static uint32_t pack(struct session *s, struct mesh_writer *w, struct mesh_counters *sum)
{
    uint32_t taken = 0;
    mesh_message_start(w, MESH_RECORDS, 0);
    for (; taken < s->queue_len; taken++) {
        const struct queued *q = &s->queue[(s->queue_at + taken) % s->queue_cap];
        if (!q->s->live || !q->s->counted)
            continue;
        if (w->len + q->s->wire_len > w->cap)
            break;
        uint8_t *at = w->p + w->len;
        mesh_put_bytes(w, mesh_stored_wire(q->s), q->s->wire_len);
        mesh_record_set_age(at, &q->s->rec, mesh_stored_age(q->s, s->m->now));
        bool event = q->s->rec.flags & MESH_RECORD_EVENT;
        if (event)
            mesh_message_flag(w, MESH_MESSAGE_EVENT);
        sum->records_out++;
        sum->events_out += event;
        sum->repairs_out += q->repair;
    }
    return taken;
}

static void blocked(struct session *s)
{
    if (!s->blocked)
        s->blocked_ms = s->m->now;
    s->blocked = true;
}

void session_flush(struct session *s)
{
    static uint8_t space[MESH_MESSAGE_MAX];
    while (s->state == SESSION_UP && s->link && !s->blocked && s->queue_len) {
        struct mesh_counters sum = {0}, *c = &s->peer->counters;
        struct mesh_writer w = mesh_writer(space, sizeof space);
        uint32_t taken = pack(s, &w, &sum);
        if (w.len > MESH_HEADER && mesh_link_send(s->link, w.p, w.len) != 0) {
            blocked(s);
            return;
        }
        c->records_out += sum.records_out;
        c->events_out += sum.events_out;
        c->repairs_out += sum.repairs_out;
        for (; taken; taken--, s->queue_len--) {
            mesh_stored_unref(s->queue[s->queue_at].s);
            s->queue_at = (s->queue_at + 1) % s->queue_cap;
        }
    }
    if (s->state == SESSION_UP && !s->blocked && (s->dirty || s->eager)) {
        s->dirty = s->eager = false;
        repair_begin(s, true);
    }
}

static void on_drained(struct mesh_link *l)
{
    struct session *s = l->user;
    mesh_now(s->m);
    s->blocked = false;
    mesh_due(&s->m->flush_due, s->m->now);
}

/* ---- in ---- */

static void refill(struct session *s)
{
    const struct mesh_config *c = &s->m->config;
    double dt = (double)(s->m->now - s->refilled_ms) / 1000;
    s->refilled_ms = s->m->now;
    s->byte_tokens += dt * c->peer_bytes_per_s;
    s->record_tokens += dt * c->peer_records_per_s;
    if (s->byte_tokens > (double)c->peer_bytes_per_s * BURST_S)
        s->byte_tokens = (double)c->peer_bytes_per_s * BURST_S;
    if (s->record_tokens > (double)c->peer_records_per_s * BURST_S)
        s->record_tokens = (double)c->peer_records_per_s * BURST_S;
}

/* More than it may send: the message is dropped; if that goes on the peer is let go and kept out for a while. */
static void throttle(struct session *s)
{
    uint64_t now = s->m->now;
    if (s->peer)
        s->peer->counters.throttled++;
    if (!s->flood_ms || now - s->throttled_ms > 1000)
        s->flood_ms = now;
    s->throttled_ms = now;
    if (now - s->flood_ms < FLOOD_MS)
        return;
    if (s->peer)
        s->peer->banned_until_ms = now + BAN_MS;
    session_fail(s, "sends more than it may");
}

static void on_hello(struct session *s, struct mesh_reader *r)
{
    struct mesh_hello h;
    struct mesh *m = s->m;
    if (s->state != SESSION_HELLO || mesh_get_hello(r, &h) != 0 || !mesh_name_ok(h.node) || !mesh_name_ok(h.region)) {
        session_fail(s, "bad hello");
        return;
    }
    if (!mesh_str_eq(h.node, mesh_str(s->link->peer))) {
        session_fail(s, "hello of another name than the link's");
        return;
    }
    if (h.low > MESH_VERSION || h.high < MESH_VERSION) {
        session_fail(s, "no version in common");
        return;
    }
    s->peer = topology_peer(m, h.node, h.region);
    if (!s->peer) {
        session_fail(s, "too many nodes");
        return;
    }
    s->version = MESH_VERSION;
    s->state = SESSION_UP;
    s->up_ms = m->now;
    s->foreign = s->peer->region != 0;
    s->peer->incarnation = h.incarnation;
    const struct mesh_origin *o = mesh_store_origin(m->store, h.node);
    if (!m->signs && o && o->incarnation > h.incarnation)
        mesh_store_cut(m->store, s->peer->name, h.incarnation, 0); /* made up by others */
    snprintf(s->peer->site, sizeof s->peer->site, "%.*s", MESH_STR_ARG(h.site));
    snprintf(s->peer->software, sizeof s->peer->software, "%.*s", MESH_STR_ARG(h.software));
    topology_up(s);
    if (s->state == SESSION_UP && s->link->called)
        repair_begin(s, true);
}

static void on_records(struct session *s, struct mesh_reader *r)
{
    struct mesh_record rec;
    int err;
    while ((err = mesh_get_record(r, &rec)) == 0) {
        s->record_tokens--;
        mesh_heard(s, &rec, false);
        if (s->state != SESSION_UP)
            return;
    }
    if (err != PM_ENOTFOUND)
        session_fail(s, "records that cannot be read");
}

static void on_ping(struct session *s, struct mesh_reader *r, bool pong)
{
    uint8_t space[16];
    uint64_t token = mesh_get(r, 8);
    if (r->bad) {
        session_fail(s, "short ping");
    } else if (!pong) {
        struct mesh_writer w = mesh_writer(space, sizeof space);
        mesh_message_start(&w, MESH_PONG, 0);
        mesh_put_int(&w, token, 8);
        session_send(s, &w);
    } else if (s->waiting_pong && token == s->ping_ns) {
        s->waiting_pong = false;
        s->peer->rtt_us = (uint32_t)((clock_mono_ns(s->m->clock) - s->ping_ns) / 1000) + 1;
    }
}

static void dispatch(struct session *s, uint8_t type, uint8_t flags, struct mesh_reader *r)
{
    if (type == MESH_HELLO || s->state == SESSION_HELLO) {
        if (type == MESH_HELLO)
            on_hello(s, r);
        else if (type != MESH_BYE)
            session_fail(s, "no hello");
        return;
    }
    switch (type) {
    case MESH_RECORDS:
        on_records(s, r);
        break;
    case MESH_DIGEST:
        repair_digest(s, r, flags);
        break;
    case MESH_SUMMARY:
        repair_summary(s, r, flags);
        break;
    case MESH_WANT:
        repair_want(s, r);
        break;
    case MESH_PING:
        on_ping(s, r, false);
        break;
    case MESH_PONG:
        on_ping(s, r, true);
        break;
    case MESH_BYE: {
        char why[96];
        snprintf(why, sizeof why, "it said bye: %.*s", MESH_STR_ARG(mesh_get_str(r)));
        for (char *c = why; *c; c++)
            *c = (unsigned char)*c < 0x20 ? '?' : *c;
        end(s, why);
        break;
    }
    default:
        s->peer->counters.unknown++;
    }
}

static void on_message(struct mesh_link *l, const uint8_t *data, size_t n)
{
    struct session *s = l->user;
    struct mesh_reader r = mesh_reader(data, n);
    uint8_t type, flags;
    mesh_now(s->m);
    s->heard_ms = s->m->now;
    if (s->state == SESSION_DEAD)
        return;
    refill(s);
    if (s->byte_tokens < (double)n || s->record_tokens < 0) {
        throttle(s);
        return;
    }
    s->byte_tokens -= (double)n;
    if (mesh_message_open(&r, &type, &flags) != 0)
        session_fail(s, "a message that cannot be read");
    else
        dispatch(s, type, flags, &r);
}

/* ---- time ---- */

static void ping(struct session *s)
{
    uint8_t space[16];
    struct mesh_writer w = mesh_writer(space, sizeof space);
    s->ping_ns = clock_mono_ns(s->m->clock);
    s->pinged_ms = s->m->now;
    s->waiting_pong = true;
    mesh_message_start(&w, MESH_PING, 0);
    mesh_put_int(&w, s->ping_ns, 8);
    session_send(s, &w);
}

void session_slow(struct session *s)
{
    uint64_t now = s->m->now;
    if (s->state == SESSION_HELLO && now - s->opened_ms >= HELLO_WAIT_MS)
        session_fail(s, "no hello");
    if (s->state != SESSION_UP)
        return;
    if (now - s->heard_ms >= SILENCE_MS)
        session_fail(s, "silent");
    else if (s->blocked && now - s->blocked_ms >= BLOCKED_MAX_MS)
        session_fail(s, "takes nothing");
    else if (now - s->pinged_ms >= PING_AFTER_MS &&
             (now - s->heard_ms >= PING_AFTER_MS || !s->peer->rtt_us || now - s->pinged_ms >= 6 * PING_AFTER_MS))
        ping(s);
}
