/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's web servers: each answers every request with a greeting after its own delay, and one fails now and then. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>
#include "base/addr.h"
#include "base/arena.h"
#include "main/demo.h"

struct origin {
    const struct demo_site *site;
    uv_loop_t *loop;
    uv_tcp_t *listener; /* NULL while it fails */
    uv_timer_t timer;
};

struct request {
    uv_tcp_t tcp;
    uv_timer_t delay;
    uv_write_t write;
    const struct origin *origin;
    uint8_t open_handles;
    bool answering;
    char text[256];
};

static void free_handle(uv_handle_t *h)
{
    free(h);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct request *r = h->data;
    if (--r->open_handles == 0)
        free(r);
}

static void request_end(struct request *r)
{
    if (uv_is_closing((uv_handle_t *)&r->tcp))
        return;
    uv_close((uv_handle_t *)&r->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&r->delay, on_handle_closed);
}

static void on_written(uv_write_t *w, int status)
{
    request_end(w->data);
}

static void on_delay(uv_timer_t *t)
{
    struct request *r = t->data;
    int body = snprintf(NULL, 0, "hello from %s\n", r->origin->site->name);
    int n = snprintf(r->text, sizeof r->text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\nhello from %s\n", body,
                     r->origin->site->name);
    uv_buf_t b = uv_buf_init(r->text, (unsigned)n);
    r->write.data = r;
    if (uv_write(&r->write, (uv_stream_t *)&r->tcp, &b, 1, on_written) != 0)
        request_end(r);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *b)
{
    static char space[4096];
    *b = uv_buf_init(space, sizeof space);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct request *r = s->data;
    if (n < 0) {
        request_end(r);
    } else if (!r->answering) {
        r->answering = true;
        uv_timer_start(&r->delay, on_delay, r->origin->site->delay_ms, 0);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct origin *o = listener->data;
    if (status < 0)
        return;
    struct request *r = mem_alloc(sizeof *r);
    r->origin = o;
    r->open_handles = 2;
    uv_tcp_init(o->loop, &r->tcp);
    uv_timer_init(o->loop, &r->delay);
    r->tcp.data = r->delay.data = r;
    if (uv_accept(listener, (uv_stream_t *)&r->tcp) != 0 || uv_read_start((uv_stream_t *)&r->tcp, on_alloc, on_read) != 0)
        request_end(r);
}

static bool origin_open(struct origin *o)
{
    struct sockaddr_in sa;
    uv_ip4_addr(o->site->address, DEMO_HTTP_PORT, &sa);
    o->listener = mem_alloc(sizeof *o->listener);
    uv_tcp_init(o->loop, o->listener);
    o->listener->data = o;
    int rc = uv_tcp_bind(o->listener, (struct sockaddr *)&sa, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)o->listener, 64, on_connection);
    if (rc != 0)
        fprintf(stderr, "demo: the web server of %s cannot listen on %s:%d: %s\n", o->site->name, o->site->address, DEMO_HTTP_PORT,
                uv_strerror(rc));
    return rc == 0;
}

static void on_change(uv_timer_t *t)
{
    struct origin *o = t->data;
    if (o->listener) {
        uv_close((uv_handle_t *)o->listener, free_handle);
        o->listener = NULL;
        printf("           (the web server of %s stops)\n", o->site->name);
    } else {
        origin_open(o);
        printf("           (the web server of %s works again)\n", o->site->name);
    }
    fflush(stdout);
    uv_timer_start(t, on_change, (o->listener ? o->site->up_s : o->site->down_s) * 1000ull, 0);
}

int demo_origins(void)
{
    uv_loop_t loop;
    struct origin origins[DEMO_SITES];
    uv_loop_init(&loop);
    for (unsigned i = 0; i < DEMO_SITES; i++) {
        struct origin *o = &origins[i];
        *o = (struct origin){.site = &demo_sites[i], .loop = &loop};
        uv_timer_init(&loop, &o->timer);
        o->timer.data = o;
        if (origin_open(o) && o->site->down_s)
            uv_timer_start(&o->timer, on_change, o->site->up_s * 1000ull, 0);
    }
    return uv_run(&loop, UV_RUN_DEFAULT);
}
