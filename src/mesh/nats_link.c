/* SPDX-License-Identifier: Apache-2.0 */
/* One link over the bus: packets that are numbered and sent again, TLS in them, frames in that. */
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/log.h"
#include "mesh/nats_internal.h"

enum {
    ACK_MS = 100,
    RESEND_MIN_MS = 800,
    RESEND_MAX_MS = 4000,
    NAK_AGAIN_MS = 50, /* one gap gives a nak per packet behind it */
    KEEP_BUFFER = 4096,
    REST_MAX = 128, /* packets sent again at a time */
};

static void pump(struct nats_link *l);

uint64_t nats_get(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

static uint8_t *put(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
    return p + bytes;
}

struct nats_packet *nats_message(const char *subject, enum nats_type type, uint64_t id,
                                 uint32_t seq, uint32_t ack, size_t more)
{
    struct nats_packet *p = nats_packet_new(subject, NATS_HEAD + more);
    uint8_t *at = put(p->data, 'D' << 8 | 'N', 2);
    at = put(at, 1, 1);
    at = put(at, type, 1);
    at = put(at, id, 8);
    at = put(at, seq, 4);
    put(at, ack, 4);
    return p;
}

/* ---- out ---- */

static void send_small(struct nats_link *l, enum nats_type type, const char *text)
{
    size_t n = text ? strlen(text) : 0, more = text ? 1 + n : 0;
    struct nats_packet *p = nats_message(l->subject, type, l->id, l->next_seq, l->expected, more);
    if (text) {
        p->data[NATS_HEAD] = (uint8_t)n;
        memcpy(p->data + NATS_HEAD + 1, text, n);
    }
    (void)nats_bus_send(l->t->bus, p);
    nats_packet_unref(p);
    l->ack_due_ms = 0;
    l->unacknowledged = 0;
}

static void flight_push(struct nats_link *l, struct nats_packet *p)
{
    if (l->flight_count == l->flight_cap) {
        uint32_t cap = l->flight_cap ? l->flight_cap * 2 : 8;
        struct nats_packet **ring = mem_alloc(cap * sizeof *ring);
        for (uint32_t i = 0; i < l->flight_count; i++)
            ring[i] = l->flight[(l->flight_at + i) % l->flight_cap];
        free(l->flight);
        l->flight = ring;
        l->flight_cap = cap;
        l->flight_at = 0;
    }
    if (!l->flight_count) {
        l->progress_ms = uv_now(l->t->loop);
        l->resend_wait_ms = RESEND_MIN_MS;
        l->resend_ms = l->progress_ms + l->resend_wait_ms;
    }
    l->flight[(l->flight_at + l->flight_count++) % l->flight_cap] = p;
    l->flight_bytes += p->len;
}

/* TLS bytes that wait become packets. */
static void flush(struct nats_link *l)
{
    struct mesh_nats *t = l->t;
    size_t name = strlen(t->node);
    for (size_t n; (n = BIO_ctrl_pending(l->out)) > 0;) {
        bool call = l->next_seq == 0 && l->link.called;
        size_t head = call ? 1 + name : 0;
        n = n > NATS_PIECE ? NATS_PIECE : n;
        struct nats_packet *p = nats_message(l->subject, call ? NATS_CALL : NATS_DATA, l->id,
                                             l->next_seq, l->expected, head + n);
        if (call) {
            p->data[NATS_HEAD] = (uint8_t)name;
            memcpy(p->data + NATS_HEAD + 1, t->node, name);
        }
        BIO_read(l->out, p->data + NATS_HEAD + head, (int)n);
        l->next_seq++;
        l->link.bytes_out += p->len;
        flight_push(l, p);
        (void)nats_bus_send(t->bus, p);
        l->ack_due_ms = 0;
        l->unacknowledged = 0;
    }
}

static void resend(struct nats_link *l, uint64_t now)
{
    for (uint32_t i = 0; i < l->flight_count && i < REST_MAX; i++)
        l->t->stats.resent +=
            nats_bus_send(l->t->bus, l->flight[(l->flight_at + i) % l->flight_cap]);
    l->resend_ms = now + l->resend_wait_ms;
}

static void on_ack(struct nats_link *l, uint32_t ack, bool gap)
{
    uint64_t now = uv_now(l->t->loop);
    uint32_t first = l->next_seq - l->flight_count, n = ack - first;
    if (n > l->flight_count)
        return; /* an old one, or nonsense */
    for (uint32_t i = 0; i < n; i++) {
        struct nats_packet *p = l->flight[l->flight_at];
        l->flight_bytes -= p->len;
        nats_packet_unref(p);
        l->flight_at = (l->flight_at + 1) % l->flight_cap;
        l->flight_count--;
    }
    if (n) {
        l->progress_ms = now;
        l->resend_wait_ms = RESEND_MIN_MS;
        l->resend_ms = now + l->resend_wait_ms;
    }
    if (gap && l->flight_count && now + l->resend_wait_ms >= l->resend_ms + NAK_AGAIN_MS)
        resend(l, now);
    if (l->blocked && l->flight_bytes <= l->t->o.window_bytes / 2) {
        l->blocked = false;
        l->drained = true; /* told when the packet is done with */
    }
}

static int link_send(struct mesh_link *ml, const uint8_t *data, size_t n)
{
    struct nats_link *l = (struct nats_link *)ml;
    struct mesh_nats *t = l->t;
    if (l->state != NATS_UP || l->broken)
        return PM_EAGAIN; /* down will be told */
    if (n > MESH_MESSAGE_MAX)
        return PM_EINVAL;
    if (l->flight_count && l->flight_bytes + n > t->o.window_bytes) {
        l->blocked = true;
        return PM_EAGAIN;
    }
    put(t->tx, n, NATS_FRAME_HEAD);
    memcpy(t->tx + NATS_FRAME_HEAD, data, n);
    ERR_clear_error();
    if (SSL_write(l->ssl, t->tx, (int)(n + NATS_FRAME_HEAD)) <= 0) {
        l->broken = "TLS failure";
        nats_soon(t, 0);
        return PM_EAGAIN;
    }
    l->link.messages_out++;
    flush(l);
    return PM_OK;
}

static void link_close(struct mesh_link *ml, const char *why)
{
    struct nats_link *l = (struct nats_link *)ml;
    struct nats_peer *p = l->peer;
    nats_link_close(l, why);
    if (p)
        nats_gone(p, l, false);
}

static const struct mesh_link_ops ops = {link_send, link_close};

/* ---- life ---- */

static struct nats_link *link_new(struct mesh_nats *t, uint64_t id, const char *name, bool called)
{
    struct nats_link *l = mem_alloc(sizeof *l);
    l->t = t;
    l->id = id;
    l->link.ops = &ops;
    l->link.called = called;
    snprintf(l->link.peer, sizeof l->link.peer, "%s", name);
    nats_subject_of(t, name, l->subject, sizeof l->subject);
    l->opened_ms = uv_now(t->loop);
    l->ssl = SSL_new(t->ssl);
    l->in = BIO_new(BIO_s_mem());
    l->out = BIO_new(BIO_s_mem());
    if (!l->ssl || !l->in || !l->out)
        abort(); /* as without memory */
    SSL_set_bio(l->ssl, l->in, l->out);
    if (called)
        SSL_set_connect_state(l->ssl);
    else
        SSL_set_accept_state(l->ssl);
    l->next = t->all;
    if (t->all)
        t->all->prev = l;
    t->all = l;
    map_put(&t->links, &l->id, sizeof l->id, l);
    t->stats.half_open++;
    if (t->stats.half_open > t->stats.half_open_most)
        t->stats.half_open_most = t->stats.half_open;
    return l;
}

struct nats_link *nats_link_call(struct nats_peer *p)
{
    uint64_t id = 0;
    if (RAND_bytes((unsigned char *)&id, sizeof id) != 1 || map_get(&p->t->links, &id, sizeof id))
        return NULL;
    struct nats_link *l = link_new(p->t, id, p->name, true);
    l->peer = p;
    p->t->stats.calls_out++;
    pump(l);
    return l;
}

struct nats_link *nats_link_accept(struct mesh_nats *t, uint64_t id, const char *name)
{
    t->stats.calls_in++;
    return link_new(t, id, name, false);
}

static void end(struct nats_link *l, const char *why)
{
    struct mesh_nats *t = l->t;
    if (l->state == NATS_CLOSED)
        return;
    flush(l); /* an alert, maybe */
    send_small(l, NATS_RESET, why);
    if (l->state == NATS_UP)
        t->stats.links--;
    else
        t->stats.half_open--;
    l->state = NATS_CLOSED;
    map_del(&t->links, &l->id, sizeof l->id);
    if (l->next)
        l->next->prev = l->prev;
    if (l->prev)
        l->prev->next = l->next;
    else
        t->all = l->next;
    l->next = t->dead;
    t->dead = l;
    nats_soon(t, 0);
}

void nats_link_close(struct nats_link *l, const char *why)
{
    end(l, why);
}

/* Something went wrong: tells whoever has to know. */
void nats_link_down(struct nats_link *l, const char *why)
{
    struct nats_peer *p = l->peer;
    bool up = l->state == NATS_UP;
    if (l->state == NATS_CLOSED)
        return;
    end(l, why);
    if (up)
        l->t->stats.links_lost++;
    if (p)
        nats_gone(p, l, !up);
    if (up) {
        log_notice("link down", "peer", l->link.peer, "over", "NATS", "why", why);
        l->link.calls->down(&l->link, why);
    } else {
        nats_refused(l->t, l->link.peer, why);
    }
}

void nats_link_free(struct nats_link *l)
{
    for (; l->flight_count; l->flight_count--) {
        nats_packet_unref(l->flight[l->flight_at]);
        l->flight_at = (l->flight_at + 1) % l->flight_cap;
    }
    free(l->flight);
    SSL_free(l->ssl);
    free(l->msg);
    free(l);
}

/* ---- in ---- */

static void become_up(struct nats_link *l)
{
    struct mesh_nats *t = l->t;
    nats_ready(l); /* ends the one before; may have ended this one as well */
    if (l->state == NATS_CLOSED)
        return;
    l->state = NATS_UP;
    t->stats.half_open--;
    t->stats.links++;
    t->stats.links_made++;
    log_notice("link up", "peer", l->link.peer, "over", "NATS", "called",
               l->link.called ? "by us" : "by the peer");
    t->up(t->ctx, &l->link);
}

/* True: the handshake is done, and the other side is who it said it is. */
static bool shake(struct nats_link *l)
{
    char name[MESH_NAME_MAX + 1];
    const char *why = "";
    ERR_clear_error();
    int r = SSL_do_handshake(l->ssl);
    if (r != 1) {
        int e = SSL_get_error(l->ssl, r);
        flush(l);
        if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
            nats_link_down(l, tls_why());
        return false;
    }
    flush(l);
    X509 *cert = SSL_get0_peer_certificate(l->ssl);
    if (!cert || tls_cert_name(cert, name, &why) != PM_OK || strcmp(name, l->link.peer) != 0)
        why = *why ? why : "the certificate's name is not the expected one";
    else if (!(l->peer = nats_name_proven(l, name)))
        why = "too many nodes";
    else
        return true;
    nats_link_down(l, why);
    return false;
}

/* An empty frame: the side that was called says that it wants the link. */
static void greet(struct nats_link *l)
{
    static const uint8_t empty[NATS_FRAME_HEAD];
    if (SSL_write(l->ssl, empty, sizeof empty) <= 0) {
        nats_link_down(l, "TLS failure");
        return;
    }
    flush(l);
    become_up(l);
}

static void on_frame(struct nats_link *l)
{
    if (l->state == NATS_GREETING) {
        become_up(l);
        return;
    }
    if (!l->need)
        return;
    l->link.messages_in++;
    l->link.calls->message(&l->link, l->msg, l->need);
}

static void take_frames(struct nats_link *l, const uint8_t *p, size_t n)
{
    while (n && l->state != NATS_CLOSED) {
        size_t k;
        if (l->head_len < NATS_FRAME_HEAD) {
            l->head[l->head_len++] = *p++;
            n--;
            if (l->head_len < NATS_FRAME_HEAD)
                continue;
            l->need = (uint32_t)nats_get(l->head, NATS_FRAME_HEAD);
            l->got = 0;
            if (l->need > MESH_MESSAGE_MAX) {
                nats_link_down(l, "a message is longer than allowed");
                return;
            }
            if (l->need > l->msg_cap)
                l->msg = mem_realloc(l->msg, l->msg_cap = l->need);
        }
        k = l->need - l->got < n ? l->need - l->got : n;
        if (k)
            memcpy(l->msg + l->got, p, k);
        l->got += (uint32_t)k;
        p += k;
        n -= k;
        if (l->got < l->need)
            continue;
        l->head_len = 0;
        on_frame(l);
    }
}

static void pump(struct nats_link *l)
{
    if (l->state == NATS_HANDSHAKE) {
        if (!shake(l))
            return;
        l->state = NATS_GREETING;
        if (!l->link.called)
            greet(l);
    }
    while (l->state == NATS_GREETING || l->state == NATS_UP) {
        ERR_clear_error();
        int n = SSL_read(l->ssl, l->t->rx, sizeof l->t->rx);
        if (n > 0) {
            take_frames(l, l->t->rx, (size_t)n);
            continue;
        }
        int e = SSL_get_error(l->ssl, n);
        if (e != SSL_ERROR_WANT_READ)
            nats_link_down(l, tls_why());
        break;
    }
    if (l->state != NATS_CLOSED && l->msg_cap > KEEP_BUFFER && !l->head_len) {
        free(l->msg);
        l->msg = NULL;
        l->msg_cap = 0;
    }
}

static void acknowledge(struct nats_link *l, size_t n)
{
    l->unacknowledged += n;
    if (l->unacknowledged >= l->t->o.window_bytes / 4)
        send_small(l, NATS_ACK, NULL);
    else if (!l->ack_due_ms)
        l->ack_due_ms = uv_now(l->t->loop) + ACK_MS;
    nats_soon(l->t, ACK_MS);
}

static void on_data(struct nats_link *l, uint32_t seq, const uint8_t *rest, size_t n)
{
    if (seq == l->expected) {
        l->expected++;
        acknowledge(l, n);
        BIO_write(l->in, rest, (int)n);
        pump(l);
    } else if ((int32_t)(seq - l->expected) > 0) {
        send_small(l, NATS_NAK, NULL);
    } else {
        acknowledge(l, 0); /* ours may have been lost */
    }
}

static void on_reset(struct nats_link *l, const uint8_t *rest, size_t n)
{
    char why[64] = "closed by the peer";
    if (n > 1 && n == 1u + rest[0])
        snprintf(why, sizeof why, "peer: %.*s", (int)rest[0], (const char *)rest + 1);
    for (char *c = why; *c; c++)
        *c = *c < 32 || *c > 126 ? '?' : *c;
    nats_link_down(l, why);
}

void nats_link_packet(struct nats_link *l, enum nats_type type, uint32_t seq, uint32_t ack,
                      const uint8_t *rest, size_t n)
{
    l->link.bytes_in += NATS_HEAD + n;
    if (l->peer)
        l->peer->heard_ms = uv_now(l->t->loop);
    on_ack(l, ack, type == NATS_NAK);
    if (type == NATS_CALL || type == NATS_DATA)
        on_data(l, seq, rest, n);
    else if (type == NATS_RESET)
        on_reset(l, rest, n);
    if (l->drained && l->state == NATS_UP) {
        l->drained = false;
        l->link.calls->drained(&l->link);
    }
}

void nats_link_tick(struct nats_link *l, uint64_t now)
{
    const struct mesh_nats_options *o = &l->t->o;
    const char *why = l->broken;
    if (l->state != NATS_UP && now - l->opened_ms >= o->handshake_ms)
        why = "no answer in time";
    else if (l->state == NATS_UP && l->flight_count && now - l->progress_ms >= o->stall_ms)
        why = l->blocked ? "the peer does not read" : "the peer does not answer";
    if (why) {
        nats_link_down(l, why);
        return;
    }
    if (l->flight_count && now >= l->resend_ms) {
        l->resend_wait_ms =
            l->resend_wait_ms * 2 > RESEND_MAX_MS ? RESEND_MAX_MS : l->resend_wait_ms * 2;
        resend(l, now);
    }
    if (l->ack_due_ms && now >= l->ack_due_ms)
        send_small(l, NATS_ACK, NULL);
    else if (l->ack_due_ms)
        nats_soon(l->t, (unsigned)(l->ack_due_ms - now));
}
