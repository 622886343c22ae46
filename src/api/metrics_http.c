/* SPDX-License-Identifier: Apache-2.0 */
/* Just enough HTTP/1.1 for the metrics page (RFC 9112): one request per connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "api/metrics.h"
#include "base/arena.h"

struct client {
    struct metrics_server *server;
    struct client *prev, *next;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct buf in, out;
    unsigned open_handles;
    bool answered, closing;
};

struct metrics_server {
    uv_loop_t *loop;
    const struct api_host *host;
    uv_tcp_t listener;
    uint16_t port;
    struct client *clients;
    unsigned client_count;
    bool stopping, listener_closed;
};

static void server_release(struct metrics_server *s)
{
    if (s->stopping && s->listener_closed && !s->clients)
        free(s);
}

static void on_closed(uv_handle_t *h)
{
    struct client *cl = h->data;
    struct metrics_server *s = cl->server;
    if (--cl->open_handles)
        return;
    if (cl->prev)
        cl->prev->next = cl->next;
    else
        s->clients = cl->next;
    if (cl->next)
        cl->next->prev = cl->prev;
    s->client_count--;
    buf_fini(&cl->in);
    buf_fini(&cl->out);
    free(cl);
    server_release(s);
}

static void client_close(struct client *cl)
{
    if (cl->closing)
        return;
    cl->closing = true;
    uv_close((uv_handle_t *)&cl->tcp, on_closed);
    uv_close((uv_handle_t *)&cl->timer, on_closed);
}

static void on_timer(uv_timer_t *t)
{
    client_close(t->data);
}

/* ---- answers ---- */

static const char *const root_page =
    "<!doctype html><title>Pointsman " PM_VERSION "</title><h1>Pointsman " PM_VERSION "</h1>"
    "<p><a href=\"/metrics\">metrics</a> <a href=\"/health\">health</a>\n";

static void reply(struct client *cl, const char *status, const char *type, const struct buf *body, bool head_only)
{
    buf_printf(&cl->out,
               "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%sConnection: "
               "close\r\n\r\n",
               status, type, body->len, strncmp(status, "405", 3) == 0 ? "Allow: GET, HEAD\r\n" : "");
    if (!head_only)
        buf_add(&cl->out, body->data, body->len);
}

static void reply_error(struct client *cl, const char *status, bool head_only)
{
    struct buf body = BUF_INIT;
    buf_printf(&body, "%s\n", status);
    reply(cl, status, "text/plain; charset=utf-8", &body, head_only);
    buf_fini(&body);
}

static void reply_path(struct client *cl, const char *path, size_t len, bool head_only)
{
    struct buf body = BUF_INIT;
    const char *type = "text/plain; charset=utf-8";
    const char *query = memchr(path, '?', len);
    if (query)
        len = (size_t)(query - path);
    if (len == 8 && memcmp(path, "/metrics", 8) == 0) {
        metrics_page(cl->server->host, METRICS_VIPS, &body);
        type = "text/plain; version=0.0.4; charset=utf-8";
    } else if (len == 7 && memcmp(path, "/health", 7) == 0) {
        buf_puts(&body, "ok\n");
    } else if (len == 1 && *path == '/') {
        buf_puts(&body, root_page);
        type = "text/html; charset=utf-8";
    }
    if (body.len)
        reply(cl, "200 OK", type, &body, head_only);
    else
        reply_error(cl, "404 Not Found", head_only);
    buf_fini(&body);
}

/* The first line: method, path, version, one space between (RFC 9112 section 3). */
static void answer(struct client *cl, const char *line, size_t len)
{
    const char *path = memchr(line, ' ', len);
    const char *end = path ? memchr(path + 1, ' ', len - (size_t)(path + 1 - line)) : NULL;
    if (!end || len - (size_t)(end + 1 - line) != 8 || memcmp(end + 1, "HTTP/1.", 7) != 0 || path[1] != '/') {
        reply_error(cl, "400 Bad Request", false);
        return;
    }
    size_t method = (size_t)(path - line);
    bool head = method == 4 && memcmp(line, "HEAD", 4) == 0;
    if (!head && !(method == 3 && memcmp(line, "GET", 3) == 0))
        reply_error(cl, "405 Method Not Allowed", false);
    else
        reply_path(cl, path + 1, (size_t)(end - path - 1), head);
}

/* ---- the connection ---- */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    static char space[METRICS_HEAD_MAX];
    *out = uv_buf_init(space, sizeof space);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct client *cl = req->handle->data;
    /* Closing with unread bytes would reset the connection and may take the answer with it: wait for the other side.
     */
    if (status < 0)
        client_close(cl);
}

static void on_written(uv_write_t *req, int status)
{
    struct client *cl = req->handle->data;
    if (cl->closing)
        return;
    uv_timer_start(&cl->timer, on_timer, METRICS_IDLE_MS, 0);
    if (status < 0 || uv_shutdown(&cl->shutdown, (uv_stream_t *)&cl->tcp, on_shutdown))
        client_close(cl);
}

/* The length of the head with its empty line, 0 = not there yet. */
static size_t head_length(const struct buf *in)
{
    const char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
    return end ? (size_t)(end - in->data) + 4 : 0;
}

static void client_work(struct client *cl)
{
    size_t head = head_length(&cl->in);
    if (!head && cl->in.len <= METRICS_HEAD_MAX)
        return;
    cl->answered = true;
    if (!head || head > METRICS_HEAD_MAX)
        reply_error(cl, "431 Request Header Fields Too Large", false);
    else
        answer(cl, cl->in.data, (size_t)((char *)memchr(cl->in.data, '\r', head) - cl->in.data));
    buf_clear(&cl->in);
    uv_timer_start(&cl->timer, on_timer, METRICS_WRITE_MS, 0);
    uv_buf_t b = uv_buf_init(cl->out.data, (unsigned)cl->out.len);
    if (uv_write(&cl->write, (uv_stream_t *)&cl->tcp, &b, 1, on_written))
        client_close(cl);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct client *cl = s->data;
    if (n < 0) {
        /* A client that has sent its request and closed its side still gets its answer. */
        if (n != UV_EOF || !cl->answered || uv_stream_get_write_queue_size(s) == 0)
            client_close(cl);
        else
            uv_read_stop(s);
        return;
    }
    if (cl->answered) /* a body or a second request: read and forgotten */
        return;
    buf_add(&cl->in, b->base, (size_t)n);
    client_work(cl);
}

static void on_connect(uv_stream_t *listener, int status)
{
    struct metrics_server *s = listener->data;
    if (status < 0)
        return;
    struct client *cl = mem_alloc(sizeof *cl);
    cl->server = s;
    cl->open_handles = 2;
    uv_tcp_init(s->loop, &cl->tcp);
    uv_timer_init(s->loop, &cl->timer);
    cl->tcp.data = cl->timer.data = cl;
    cl->next = s->clients;
    if (s->clients)
        s->clients->prev = cl;
    s->clients = cl;
    s->client_count++;
    if (uv_accept(listener, (uv_stream_t *)&cl->tcp) || s->client_count > METRICS_CLIENTS) {
        client_close(cl);
        return;
    }
    uv_timer_start(&cl->timer, on_timer, METRICS_IDLE_MS, 0);
    uv_read_start((uv_stream_t *)&cl->tcp, on_alloc, on_read);
}

int metrics_start(uv_loop_t *loop, const struct api_host *host, const struct endpoint *listen,
                  struct metrics_server **out)
{
    struct sockaddr_storage sa;
    struct endpoint bound;
    int len = sizeof sa;
    struct metrics_server *s = mem_alloc(sizeof *s);
    *s = (struct metrics_server){.loop = loop, .host = host};
    endpoint_to_sockaddr(listen, &sa);
    uv_tcp_init(loop, &s->listener);
    s->listener.data = s;
    int r = uv_tcp_bind(&s->listener, (struct sockaddr *)&sa, 0);
    if (!r)
        r = uv_listen((uv_stream_t *)&s->listener, METRICS_CLIENTS, on_connect);
    if (!r)
        r = uv_tcp_getsockname(&s->listener, (struct sockaddr *)&sa, &len);
    if (r || endpoint_from_sockaddr((struct sockaddr *)&sa, &bound)) {
        metrics_stop(s);
        return r ? err_from_errno(-r) : PM_EINVAL;
    }
    s->port = bound.port;
    *out = s;
    return PM_OK;
}

uint16_t metrics_port(const struct metrics_server *s)
{
    return s->port;
}

static void on_listener_closed(uv_handle_t *h)
{
    struct metrics_server *s = h->data;
    s->listener_closed = true;
    server_release(s);
}

void metrics_stop(struct metrics_server *s)
{
    if (!s || s->stopping)
        return;
    s->stopping = true;
    for (struct client *cl = s->clients; cl; cl = cl->next)
        client_close(cl);
    uv_close((uv_handle_t *)&s->listener, on_listener_closed);
}
