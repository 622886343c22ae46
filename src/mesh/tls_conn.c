/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: TCP by libuv, TLS over memory, frames, a bounded queue. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/log.h"
#include "mesh/tls_internal.h"

enum { KEEP_BUFFER = 256 * 1024, TICK_MIN_MS = 20, TLS_OVERHEAD = 64 };

static void on_timer(uv_timer_t *timer);
static void pump(struct tls_conn *c);

/* ---- the end ---- */

static void on_closed(uv_handle_t *h)
{
    struct tls_conn *c = h->data;
    struct mesh_tls *t = c->t;
    if (--c->handles == 0) {
        SSL_free(c->ssl);
        buf_fini(&c->flying);
        buf_fini(&c->ready);
        free(c->msg);
        free(c);
    }
    tls_handle_closed(t);
}

/* Bytes nobody waits for: an alert, a goodbye. */
static void last_words(struct tls_conn *c)
{
    char bytes[1024];
    if (c->writing || c->state == TLS_CONNECTING || !c->out)
        return;
    int n = BIO_read(c->out, bytes, sizeof bytes);
    uv_buf_t b = uv_buf_init(bytes, n > 0 ? (unsigned)n : 0);
    if (n > 0)
        (void)uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
}

static void end(struct tls_conn *c)
{
    struct mesh_tls *t = c->t;
    if (c->state == TLS_CLOSED)
        return;
    last_words(c);
    if (c->state == TLS_UP)
        t->stats.links--;
    c->state = TLS_CLOSED;
    if (c->counted)
        tls_limit_leave(&t->limit, &c->remote.addr, c->known);
    c->counted = false;
    t->stats.half_open = t->limit.open;
    *(c->prev ? &c->prev->next : &t->conns) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (c->peer && c->peer->link == c)
        c->peer->link = NULL;
    if (c->peer && c->peer->call == c)
        c->peer->call = NULL;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

void tls_conn_close(struct tls_conn *c)
{
    if (c->state == TLS_GREETING || c->state == TLS_UP || (c->state == TLS_HANDSHAKE && SSL_is_init_finished(c->ssl)))
        SSL_shutdown(c->ssl);
    ERR_clear_error();
    end(c);
}

/* A link of the user's ends, and not by the user. */
void tls_conn_down(struct tls_conn *c, const char *why)
{
    char text[ENDPOINT_TEXT];
    if (c->state != TLS_UP)
        return;
    log_notice("link down", "peer", c->link.peer, "address", endpoint_format(&c->remote, text), "why", why);
    c->t->stats.links_lost++;
    tls_conn_close(c);
    tls_gone(c, true);
    c->link.calls->down(&c->link, why);
}

/* It never became a link. */
static void refuse(struct tls_conn *c, enum mesh_tls_refusal cause, const char *detail)
{
    tls_refused(c->t, cause, &c->remote, c->peer ? c->peer->name : NULL, detail, c->known);
    end(c);
    if (c->peer)
        tls_gone(c, true);
}

static void fail(struct tls_conn *c, enum mesh_tls_refusal cause, const char *detail)
{
    char why[TLS_WHY];
    snprintf(why, sizeof why, "%s", detail);
    if (c->state == TLS_UP) {
        if (cause == MESH_TLS_FRAME)
            tls_refused(c->t, cause, &c->remote, c->link.peer, detail, c->known);
        tls_conn_down(c, why);
    } else if (c->state != TLS_CLOSED) {
        refuse(c, cause, why);
    }
}

/* As fail, from where no call may be made: the loop does it at its next turn. */
static void fail_later(struct tls_conn *c, const char *why)
{
    if (c->broken[0] || c->state == TLS_CLOSED)
        return;
    snprintf(c->broken, sizeof c->broken, "%s", why);
    uv_timer_start(&c->timer, on_timer, 0, 0);
}

/* ---- writing ---- */

static size_t queued(const struct tls_conn *c)
{
    return c->ready.len + (c->writing ? uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp) : 0);
}

static void trim(struct buf *b)
{
    buf_clear(b);
    if (b->cap > KEEP_BUFFER)
        buf_fini(b);
}

static void flush(struct tls_conn *c);

static void on_written(uv_write_t *req, int status)
{
    struct tls_conn *c = req->data;
    c->writing = false;
    if (c->state == TLS_CLOSED)
        return;
    trim(&c->flying);
    if (status < 0) {
        fail(c, MESH_TLS_CLOSED, uv_strerror(status));
        return;
    }
    flush(c);
    if (c->state == TLS_UP && c->blocked && queued(c) <= c->t->o.queue_bytes / 2) {
        c->blocked = false;
        c->link.calls->drained(&c->link);
    }
}

/* At once what the kernel takes; the rest in one request. */
static void write_ready(struct tls_conn *c)
{
    struct buf swap = c->flying;
    c->flying = c->ready;
    c->ready = swap;
    uv_buf_t b = uv_buf_init(c->flying.data, (unsigned)c->flying.len);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
    if (n == (int)c->flying.len) {
        trim(&c->flying);
        return;
    }
    if (n < 0 && n != UV_EAGAIN) {
        fail_later(c, uv_strerror(n));
        return;
    }
    n = n < 0 ? 0 : n;
    b = uv_buf_init(c->flying.data + n, (unsigned)(c->flying.len - (size_t)n));
    c->write.data = c;
    int err = uv_write(&c->write, (uv_stream_t *)&c->tcp, &b, 1, on_written);
    if (err)
        fail_later(c, uv_strerror(err));
    else
        c->writing = true;
}

/* What OpenSSL wants to say goes out. */
static void flush(struct tls_conn *c)
{
    char chunk[16 * 1024];
    for (int n; (n = BIO_read(c->out, chunk, sizeof chunk)) > 0;) {
        buf_add(&c->ready, chunk, (size_t)n);
        c->link.bytes_out += (unsigned)n;
    }
    if (c->ready.len && !c->writing && !c->broken[0])
        write_ready(c);
}

static int put_frame(struct tls_conn *c, const uint8_t *data, size_t n)
{
    uint8_t *tx = c->t->tx;
    tx[0] = (uint8_t)(n >> 24);
    tx[1] = (uint8_t)(n >> 16);
    tx[2] = (uint8_t)(n >> 8);
    tx[3] = (uint8_t)n;
    if (n)
        memcpy(tx + TLS_FRAME_HEAD, data, n);
    ERR_clear_error();
    if (SSL_write(c->ssl, tx, (int)(TLS_FRAME_HEAD + n)) <= 0) { /* into memory: never "would block" */
        fail_later(c, tls_why());
        return PM_ETLS;
    }
    c->said_ms = uv_now(c->t->loop);
    flush(c);
    return PM_OK;
}

static int link_send(struct mesh_link *l, const uint8_t *data, size_t n)
{
    struct tls_conn *c = PM_CONTAINER_OF(l, struct tls_conn, link);
    if (!n || n > MESH_MESSAGE_MAX)
        return PM_EINVAL;
    if (c->broken[0])
        return PM_ERESET;
    if (queued(c) + n + TLS_OVERHEAD > c->t->o.queue_bytes) {
        if (!c->blocked)
            c->blocked_ms = uv_now(c->t->loop);
        c->blocked = true;
        return PM_EAGAIN;
    }
    int err = put_frame(c, data, n);
    if (!err)
        l->messages_out++;
    return err;
}

static void link_close(struct mesh_link *l, const char *why)
{
    struct tls_conn *c = PM_CONTAINER_OF(l, struct tls_conn, link);
    char text[ENDPOINT_TEXT];
    if (c->state != TLS_UP)
        return;
    log_notice("link closed", "peer", l->peer, "address", endpoint_format(&c->remote, text), "why", why);
    tls_conn_close(c);
    tls_gone(c, true);
}

static const struct mesh_link_ops ops = {link_send, link_close};

/* ---- reading ---- */

void tls_conn_up(struct tls_conn *c)
{
    struct mesh_tls *t = c->t;
    uint64_t tick = t->o.keepalive_ms / 2 > TICK_MIN_MS ? t->o.keepalive_ms / 2 : TICK_MIN_MS;
    c->state = TLS_UP;
    c->up_ms = c->heard_ms = c->ticked_ms = uv_now(t->loop);
    t->stats.links++;
    t->stats.links_made++;
    uv_timer_start(&c->timer, on_timer, tick, tick);
    if (!c->link.called)
        (void)put_frame(c, NULL, 0);
}

static bool frame_done(struct tls_conn *c)
{
    uint32_t n = c->need;
    c->head_len = c->need = c->got = 0;
    if (c->state == TLS_GREETING) {
        tls_ready(c);
        if (c->state != TLS_UP)
            return false;
    }
    if (n) {
        c->link.messages_in++;
        c->link.calls->message(&c->link, c->msg, n);
    }
    return c->state == TLS_UP;
}

static bool head_done(struct tls_conn *c)
{
    const uint8_t *h = c->head;
    c->need = (uint32_t)h[0] << 24 | (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3];
    if (c->need > MESH_MESSAGE_MAX) {
        fail(c, MESH_TLS_FRAME, "a message longer than allowed was announced");
        return false;
    }
    if (!c->need)
        return frame_done(c);
    if (c->need > c->msg_cap) {
        c->msg = mem_realloc(c->msg, c->need);
        c->msg_cap = c->need;
    }
    return true;
}

static bool took(struct tls_conn *c, uint32_t n)
{
    if (c->head_len < TLS_FRAME_HEAD) {
        c->head_len += n;
        return c->head_len < TLS_FRAME_HEAD || head_done(c);
    }
    c->got += n;
    return c->got < c->need || frame_done(c);
}

static void ended_by_peer(struct tls_conn *c)
{
    if (c->state == TLS_GREETING) { /* it keeps its own call, or tells in its own log */
        end(c);
        tls_gone(c, true);
    } else {
        fail(c, MESH_TLS_CLOSED, "closed by the peer");
    }
}

static void tls_failed(struct tls_conn *c)
{
    unsigned long e = ERR_peek_error();
    long verified = SSL_get_verify_result(c->ssl);
    int reason = ERR_GET_REASON(e);
    enum mesh_tls_refusal cause = MESH_TLS_TLS;
    const char *text = NULL;
    if (verified == X509_V_ERR_CERT_HAS_EXPIRED || verified == X509_V_ERR_CERT_NOT_YET_VALID)
        cause = MESH_TLS_EXPIRED;
    else if (verified != X509_V_OK)
        cause = MESH_TLS_UNTRUSTED;
    else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        cause = MESH_TLS_NO_CERT;
    else if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
        cause = MESH_TLS_REFUSED_US;
    else if (c->state == TLS_HANDSHAKE && !SSL_get0_peer_certificate(c->ssl))
        cause = MESH_TLS_NOT_TLS;
    if (verified != X509_V_OK)
        text = X509_verify_cert_error_string(verified);
    else if (e)
        text = ERR_reason_error_string(e);
    fail(c, cause, text ? text : "TLS failure");
    ERR_clear_error();
}

static void read_frames(struct tls_conn *c)
{
    for (;;) {
        bool head = c->head_len < TLS_FRAME_HEAD;
        void *to = head ? c->head + c->head_len : c->msg + c->got;
        uint32_t room = head ? TLS_FRAME_HEAD - c->head_len : c->need - c->got;
        ERR_clear_error();
        int n = SSL_read(c->ssl, to, (int)room);
        if (n > 0) {
            if (!took(c, (uint32_t)n))
                return;
            continue;
        }
        int how = SSL_get_error(c->ssl, n);
        if (how == SSL_ERROR_ZERO_RETURN)
            ended_by_peer(c);
        else if (how != SSL_ERROR_WANT_READ && how != SSL_ERROR_WANT_WRITE)
            tls_failed(c);
        else
            flush(c); /* an answer to a key update */
        return;
    }
}

static void shaken(struct tls_conn *c)
{
    const char *why = NULL;
    char name[MESH_NAME_MAX + 1];
    X509 *cert = SSL_get0_peer_certificate(c->ssl);
    if (!cert) {
        refuse(c, MESH_TLS_NO_CERT, NULL);
        return;
    }
    if (tls_cert_name(cert, name, &why) != PM_OK) {
        refuse(c, MESH_TLS_NAME, why);
        return;
    }
    if (!tls_name_proven(c, name))
        return;
    snprintf(c->link.peer, sizeof c->link.peer, "%s", name);
    if (c->counted)
        tls_limit_leave(&c->t->limit, &c->remote.addr, c->known);
    c->counted = false;
    c->t->stats.half_open = c->t->limit.open;
    c->state = TLS_GREETING;
    if (c->link.called)
        (void)put_frame(c, NULL, 0); /* a failure comes by the timer */
}

static void pump(struct tls_conn *c)
{
    if (c->state == TLS_HANDSHAKE) {
        ERR_clear_error();
        int rc = SSL_do_handshake(c->ssl);
        int how = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, rc);
        if (how != SSL_ERROR_NONE && how != SSL_ERROR_WANT_READ) {
            tls_failed(c);
            return;
        }
        flush(c);
        if (how == SSL_ERROR_NONE)
            shaken(c);
    }
    if (c->state == TLS_GREETING || c->state == TLS_UP)
        read_frames(c);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *out)
{
    struct tls_conn *c = h->data;
    *out = uv_buf_init((char *)c->t->rx, TLS_RX);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct tls_conn *c = s->data;
    if (n == 0 || c->state == TLS_CLOSED)
        return;
    if (n == UV_EOF) {
        fail(c, MESH_TLS_CLOSED, "the connection was cut off");
        return;
    }
    if (n < 0) {
        fail(c, MESH_TLS_CLOSED, uv_strerror((int)n));
        return;
    }
    c->link.bytes_in += (uint64_t)n;
    c->heard_ms = uv_now(c->t->loop);
    if (BIO_write(c->in, b->base, (int)n) != (int)n)
        fail(c, MESH_TLS_TLS, "out of memory");
    else
        pump(c);
}

/* ---- the beginning ---- */

static void tick(struct tls_conn *c)
{
    const struct mesh_tls_options *o = &c->t->o;
    uint64_t now = uv_now(c->t->loop);
    /* When this thread was busy for long, what the peer said meanwhile is still to be read. */
    bool late = now - c->ticked_ms > o->silence_ms / 2;
    c->ticked_ms = now;
    if (now - c->heard_ms >= o->silence_ms && !late)
        fail(c, MESH_TLS_CLOSED, "the peer is silent");
    else if (c->blocked && now - c->blocked_ms >= o->stall_ms)
        fail(c, MESH_TLS_CLOSED, "the peer does not read");
    else if (now - c->said_ms >= o->keepalive_ms && !queued(c))
        (void)put_frame(c, NULL, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct tls_conn *c = timer->data;
    if (c->state == TLS_CLOSED)
        return;
    if (c->broken[0])
        fail(c, MESH_TLS_CLOSED, c->broken);
    else if (c->state == TLS_UP)
        tick(c);
    else if (c->state == TLS_CONNECTING)
        refuse(c, MESH_TLS_UNREACHED, "timed out");
    else
        refuse(c, MESH_TLS_SLOW, NULL);
}

static void set_options(struct tls_conn *c)
{
    uv_os_fd_t fd;
    unsigned ms = c->t->o.silence_ms;
    uv_tcp_nodelay(&c->tcp, 1);
    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) == 0) /* without it a dead peer is noticed by silence_ms alone */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

static struct tls_conn *conn_new(struct mesh_tls *t, const struct endpoint *remote, bool called)
{
    struct tls_conn *c = mem_alloc(sizeof *c);
    *c = (struct tls_conn){.t = t, .remote = *remote, .link = {.ops = &ops, .called = called}, .handles = 2};
    uv_tcp_init(t->loop, &c->tcp);
    uv_timer_init(t->loop, &c->timer);
    t->handles += 2;
    c->tcp.data = c->timer.data = c;
    c->next = t->conns;
    if (c->next)
        c->next->prev = c;
    t->conns = c;
    uv_timer_start(&c->timer, on_timer, t->o.handshake_ms, 0);
    c->ssl = SSL_new(t->ssl);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    if (!c->ssl || !c->in || !c->out) {
        BIO_free(c->in);
        BIO_free(c->out);
        c->in = c->out = NULL;
        return c;
    }
    SSL_set_bio(c->ssl, c->in, c->out);
    if (called)
        SSL_set_connect_state(c->ssl);
    else
        SSL_set_accept_state(c->ssl);
    return c;
}

static void start_tls(struct tls_conn *c)
{
    c->state = TLS_HANDSHAKE;
    int err = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (err)
        fail(c, MESH_TLS_TLS, uv_strerror(err));
    else
        pump(c);
}

void tls_conn_accept(struct mesh_tls *t, int fd, const struct endpoint *remote, bool known)
{
    struct tls_conn *c = conn_new(t, remote, false);
    c->counted = true; /* the caller has entered it */
    c->known = known;
    t->stats.accepted++;
    t->stats.half_open = t->limit.open;
    if (t->limit.open > t->stats.half_open_most)
        t->stats.half_open_most = t->limit.open;
    int err = uv_tcp_open(&c->tcp, fd);
    if (err || !c->out) {
        if (err)
            close(fd);
        refuse(c, MESH_TLS_TLS, err ? uv_strerror(err) : "out of memory");
        return;
    }
    set_options(c);
    start_tls(c);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct tls_conn *c = req->data;
    if (c->state == TLS_CLOSED)
        return;
    if (status < 0) {
        refuse(c, MESH_TLS_UNREACHED, uv_strerror(status));
        return;
    }
    set_options(c);
    start_tls(c);
}

struct tls_conn *tls_conn_call(struct tls_peer *p, const struct endpoint *to)
{
    struct sockaddr_storage sa;
    struct tls_conn *c = conn_new(p->t, to, true);
    c->peer = p;
    c->known = true;
    c->connect.data = c;
    p->t->stats.called++;
    (void)endpoint_to_sockaddr(to, &sa);
    int err = c->out ? uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)&sa, on_connected) : UV_ENOMEM;
    if (!err)
        return c;
    tls_refused(p->t, MESH_TLS_UNREACHED, to, p->name, uv_strerror(err), true);
    end(c);
    return NULL;
}
