/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/clock.h"

enum { READ_CHUNK = 16384 };

enum stream_phase { CONNECTING, HANDSHAKE, OPEN, ENDED };

struct stream {
    uv_poll_t poll;
    int fd;
    uint8_t phase;
    bool closing, ssl_wants_write;
    int events; /* what poll waits for now */
    const struct stream_handler *handler;
    void *ctx;
    SSL *ssl;
    struct buf in, out;
    uint64_t started_ns, connect_ns;
};

static void on_poll(uv_poll_t *p, int status, int events);

static void update_events(struct stream *s)
{
    int want = 0;
    if (s->closing || s->phase == ENDED)
        return;
    if (s->phase == CONNECTING)
        want = UV_WRITABLE;
    else
        want = (s->in.len < STREAM_IN_MAX ? UV_READABLE : 0) | (s->out.len || s->ssl_wants_write ? UV_WRITABLE : 0);
    if (want == s->events)
        return;
    s->events = want;
    if (want)
        uv_poll_start(&s->poll, want, on_poll);
    else
        uv_poll_stop(&s->poll);
}

static void end(struct stream *s, enum probe_status how, const char *why)
{
    s->phase = ENDED;
    uv_poll_stop(&s->poll);
    s->events = 0;
    s->handler->ended(s->ctx, how, why);
}

static void end_errno(struct stream *s, int err)
{
    end(s, probe_status_from_errno(err), strerror(err));
}

struct stream *stream_open(uv_loop_t *loop, const struct endpoint *to, const struct tls_wish *tls,
                           const struct stream_handler *handler, void *ctx, enum probe_status *status, char *why)
{
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(to, &sa);
    SSL *ssl = NULL;
    *status = PROBE_LOCAL;
    if (tls && !(ssl = tls_client_new(tls, why)))
        return NULL;
    uint64_t now = clock_mono_ns(&clock_system);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || (connect(fd, (struct sockaddr *)&sa, len) != 0 && errno != EINPROGRESS)) {
        *status = fd < 0 ? PROBE_LOCAL : probe_status_from_errno(errno);
        snprintf(why, 96, "%s", strerror(errno));
        if (fd >= 0)
            close(fd);
        SSL_free(ssl);
        return NULL;
    }
    struct stream *s = mem_alloc(sizeof *s);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    s->fd = fd;
    s->handler = handler;
    s->ctx = ctx;
    s->ssl = ssl;
    s->started_ns = now;
    uv_poll_init(loop, &s->poll, fd);
    s->poll.data = s;
    update_events(s);
    return s;
}

static void opened(struct stream *s)
{
    s->phase = OPEN;
    s->handler->opened(s->ctx);
}

/* What a failed SSL call means; false when the stream ended. */
static bool ssl_goes_on(struct stream *s, int rc)
{
    int err = SSL_get_error(s->ssl, rc), saved = errno;
    char why[96];
    s->ssl_wants_write = err == SSL_ERROR_WANT_WRITE;
    if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE)
        return true;
    if (err == SSL_ERROR_ZERO_RETURN) {
        end(s, PROBE_CLOSED, "closed by the other side");
    } else if (err == SSL_ERROR_SYSCALL && saved) {
        end_errno(s, saved);
    } else if (err == SSL_ERROR_SYSCALL) {
        end(s, PROBE_CLOSED, "closed by the other side");
    } else {
        tls_client_why(s->ssl, why);
        end(s, PROBE_TLS, why);
    }
    return false;
}

static void handshake(struct stream *s)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(s->ssl);
    if (rc == 1)
        opened(s);
    else
        ssl_goes_on(s, rc);
}

static void connected(struct stream *s)
{
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err) {
        end_errno(s, err);
        return;
    }
    s->connect_ns = clock_mono_ns(&clock_system) - s->started_ns;
    if (!s->ssl) {
        opened(s);
        return;
    }
    s->phase = HANDSHAKE;
    SSL_set_fd(s->ssl, s->fd);
    handshake(s);
}

static void flush(struct stream *s)
{
    while (s->out.len && s->phase == OPEN) {
        ssize_t n;
        if (s->ssl) {
            ERR_clear_error();
            n = SSL_write(s->ssl, s->out.data, (int)s->out.len);
            if (n <= 0) {
                ssl_goes_on(s, (int)n);
                return;
            }
        } else {
            n = send(s->fd, s->out.data, s->out.len, MSG_NOSIGNAL);
            if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                    end_errno(s, errno);
                return;
            }
        }
        buf_consume(&s->out, (size_t)n);
    }
}

static void receive(struct stream *s)
{
    char chunk[READ_CHUNK];
    while (s->phase == OPEN && !s->closing && s->in.len < STREAM_IN_MAX) {
        ssize_t n;
        if (s->ssl) {
            ERR_clear_error();
            n = SSL_read(s->ssl, chunk, sizeof chunk);
            if (n <= 0) {
                ssl_goes_on(s, (int)n);
                return;
            }
        } else {
            n = recv(s->fd, chunk, sizeof chunk, 0);
            if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                    end_errno(s, errno);
                return;
            }
            if (n == 0) {
                end(s, PROBE_CLOSED, "closed by the other side");
                return;
            }
        }
        buf_add(&s->in, chunk, (size_t)n);
        s->handler->data(s->ctx);
        if (!s->ssl && n < (ssize_t)sizeof chunk)
            return; /* the socket is empty: spares a call that would say so */
    }
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct stream *s = p->data;
    int err = 0;
    socklen_t len = sizeof err;
    /* libuv stops polling on EPOLLERR and says EBADF; the socket knows better. */
    if (status < 0 && s->phase != CONNECTING) {
        s->events = 0;
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
        if (err) {
            end_errno(s, err);
            return;
        }
        events = UV_READABLE;
    }
    if (s->phase == CONNECTING) {
        connected(s);
    } else if (s->phase == HANDSHAKE) {
        handshake(s);
    } else {
        if (events & UV_WRITABLE)
            flush(s);
        if (events & UV_READABLE && s->phase == OPEN && !s->closing)
            receive(s);
    }
    update_events(s);
}

void stream_send(struct stream *s, const void *data, size_t len)
{
    if (s->phase != OPEN || s->closing)
        return;
    buf_add(&s->out, data, len);
    flush(s);
    update_events(s);
}

bool stream_starttls(struct stream *s, const struct tls_wish *tls, char *why)
{
    s->ssl = tls_client_new(tls, why);
    if (!s->ssl)
        return false;
    buf_clear(&s->in); /* nothing that came in the clear may count as said under TLS */
    SSL_set_fd(s->ssl, s->fd);
    s->phase = HANDSHAKE;
    handshake(s);
    return true;
}

struct buf *stream_in(struct stream *s)
{
    return &s->in;
}

uint64_t stream_connect_ns(const struct stream *s)
{
    return s->connect_ns;
}

SSL *stream_ssl(const struct stream *s)
{
    return s->ssl;
}

static void on_closed(uv_handle_t *h)
{
    struct stream *s = h->data;
    buf_fini(&s->in);
    buf_fini(&s->out);
    SSL_free(s->ssl);
    free(s);
}

void stream_close(struct stream *s, bool hard)
{
    if (s->closing)
        return;
    s->closing = true;
    uv_poll_stop(&s->poll);
    if (hard) {
        struct linger now = {1, 0};
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    /* libuv has dropped the descriptor from epoll in uv_poll_stop, so it may go before the handle. */
    uv_close((uv_handle_t *)&s->poll, on_closed);
    close(s->fd);
}
