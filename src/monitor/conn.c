/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/conn.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"

struct conn {
    uv_tcp_t tcp;
    uv_connect_t connect;
    const struct conn_calls *calls;
    void *owner;
    bool closing;
    char bytes[4096];
};

struct write {
    uv_write_t req;
    char bytes[];
};

static void on_closed(uv_handle_t *h)
{
    free(h->data);
}

void conn_close(struct conn *c)
{
    if (!c || c->closing)
        return;
    c->closing = true;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void fail(struct conn *c, int err, const char *what)
{
    if (!c->closing)
        c->calls->failed(c->owner, err, what);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct conn *c = PM_CONTAINER_OF(req, struct conn, connect);
    if (c->closing)
        return;
    if (status < 0)
        fail(c, status, "connect");
    else
        c->calls->connected(c->owner);
}

struct conn *conn_open(uv_loop_t *loop, const struct endpoint *to, const struct conn_calls *calls,
                       void *owner, int *err)
{
    struct conn *c = mem_alloc(sizeof *c);
    c->calls = calls;
    c->owner = owner;
    c->tcp.data = c;
    struct sockaddr_storage sa;
    endpoint_to_sockaddr(to, &sa);
    uv_tcp_init(loop, &c->tcp);
    *err = uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)&sa, on_connect);
    if (*err) {
        conn_close(c);
        return NULL;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    return c;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    struct conn *c = h->data;
    *out = uv_buf_init(c->bytes, sizeof c->bytes);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = s->data;
    if (c->closing || n == 0)
        return;
    if (n < 0)
        fail(c, (int)n, "read");
    else
        c->calls->data(c->owner, buf->base, (size_t)n);
}

void conn_read(struct conn *c)
{
    int err = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (err)
        fail(c, err, "read");
}

static void on_written(uv_write_t *req, int status)
{
    struct conn *c = req->handle->data;
    free(PM_CONTAINER_OF(req, struct write, req));
    if (status < 0)
        fail(c, status, "write");
}

void conn_write(struct conn *c, const void *data, size_t n)
{
    struct write *w = mem_alloc(sizeof *w + n);
    memcpy(w->bytes, data, n);
    uv_buf_t b = uv_buf_init(w->bytes, (unsigned)n);
    int err = uv_write(&w->req, (uv_stream_t *)&c->tcp, &b, 1, on_written);
    /* Only a handle without a socket is refused here; the owner is not called back from within its
     * own call. */
    if (err)
        free(w);
}
