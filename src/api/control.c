/* SPDX-License-Identifier: Apache-2.0 */
#include "api/control.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "api/commands.h"
#include "api/control_listen.h"
#include "base/arena.h"
#include "base/log.h"

struct control_client {
    struct control *control;
    struct control_client *prev, *next;
    uv_pipe_t pipe;
    uv_timer_t idle;
    struct buf in;
    unsigned open_handles;
    bool paused; /* enough answers wait: not reading */
    bool ending; /* no more requests; closes when all is written */
    bool closing;
};

struct control {
    uv_loop_t *loop;
    const struct api_host *host;
    uv_pipe_t listener;
    struct control_file file;
    uint64_t idle_ms;
    struct control_client *clients;
    unsigned client_count;
    bool stopping, listener_closed;
};

struct control_write {
    uv_write_t req;
    char *text; /* from jansson's allocator: malloc */
};

static void control_release(struct control *c)
{
    if (!c->stopping || !c->listener_closed || c->clients)
        return;
    free(c);
}

static void on_closed(uv_handle_t *h)
{
    struct control_client *cl = h->data;
    struct control *c = cl->control;
    if (--cl->open_handles)
        return;
    if (cl->prev)
        cl->prev->next = cl->next;
    else
        c->clients = cl->next;
    if (cl->next)
        cl->next->prev = cl->prev;
    c->client_count--;
    buf_fini(&cl->in);
    free(cl);
    control_release(c);
}

static void client_close(struct control_client *cl)
{
    if (cl->closing)
        return;
    cl->closing = true;
    uv_close((uv_handle_t *)&cl->pipe, on_closed);
    uv_close((uv_handle_t *)&cl->idle, on_closed);
}

static void on_idle(uv_timer_t *t)
{
    client_close(t->data);
}

static void still_alive(struct control_client *cl)
{
    if (!cl->closing)
        uv_timer_start(&cl->idle, on_idle, cl->control->idle_ms, 0);
}

static void client_work(struct control_client *cl);

static void on_written(uv_write_t *req, int status)
{
    struct control_write *w = PM_CONTAINER_OF(req, struct control_write, req);
    struct control_client *cl = req->handle->data;
    free(w->text);
    free(w);
    if (cl->closing)
        return;
    if (status < 0) {
        client_close(cl);
        return;
    }
    still_alive(cl);
    if (uv_stream_get_write_queue_size((uv_stream_t *)&cl->pipe) == 0 && cl->ending)
        client_close(cl);
    else
        client_work(cl);
}

/* The answer as text, from malloc. One that no client could be sent becomes an error that says so. */
static char *answer_text(json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(answer);
    if (text && strlen(text) < CONTROL_QUEUE_MAX)
        return text;
    free(text);
    return mem_strdup(
        "{\"ok\":false,\"error\":\"too-big\",\"message\":\"the answer is longer than 64 MB: ask for less, "
        "as with limit, site or service\"}");
}

static void client_say(struct control_client *cl, json_t *answer)
{
    struct control_write *w = mem_alloc(sizeof *w);
    w->text = answer_text(answer);
    size_t len = strlen(w->text);
    w->text[len] = '\n'; /* in place of its NUL */
    uv_buf_t all = uv_buf_init(w->text, (unsigned)len + 1);
    if (uv_write(&w->req, (uv_stream_t *)&cl->pipe, &all, 1, on_written)) {
        free(w->text);
        free(w);
        client_close(cl);
        return;
    }
    if (uv_stream_get_write_queue_size((uv_stream_t *)&cl->pipe) > CONTROL_QUEUE_MAX) {
        log_warn("control client does not take its answers");
        client_close(cl);
    }
}

/* Last words: after them nothing is read. */
static void client_refuse(struct control_client *cl, const char *error, const char *message)
{
    uv_read_stop((uv_stream_t *)&cl->pipe);
    cl->ending = true;
    buf_clear(&cl->in);
    client_say(cl, json_pack("{s:b, s:s, s:s}", "ok", 0, "error", error, "message", message));
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    /* One client is read at a time, and what came is copied before the next. */
    static char space[16384];
    *out = uv_buf_init(space, sizeof space);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct control_client *cl = s->data;
    if (n < 0) {
        /* The other side has sent all: what waits to be written still goes out. */
        uv_read_stop(s);
        cl->ending = true;
        if (n != UV_EOF || (uv_stream_get_write_queue_size(s) == 0 && !cl->paused))
            client_close(cl);
        return;
    }
    buf_add(&cl->in, b->base, (size_t)n);
    client_work(cl);
}

static void client_pause(struct control_client *cl, bool pause)
{
    if (pause == cl->paused || cl->closing)
        return;
    cl->paused = pause;
    if (pause)
        uv_read_stop((uv_stream_t *)&cl->pipe);
    else if (!cl->ending)
        uv_read_start((uv_stream_t *)&cl->pipe, on_alloc, on_read);
}

/* Answers every whole line that has come, unless too many answers wait already. */
static void client_work(struct control_client *cl)
{
    size_t done = 0;
    const char *end;
    while (!cl->closing && cl->in.len > done && (end = memchr(cl->in.data + done, '\n', cl->in.len - done))) {
        size_t len = (size_t)(end - cl->in.data) - done;
        if (uv_stream_get_write_queue_size((uv_stream_t *)&cl->pipe) > CONTROL_QUEUE_PAUSE) {
            buf_consume(&cl->in, done);
            client_pause(cl, true);
            return;
        }
        if (len > CONTROL_REQUEST_MAX)
            break;
        still_alive(cl);
        if (len) {
            const char *line = cl->in.data + done;
            client_say(cl, api_answer(cl->control->host, line, len));
        }
        done += len + 1;
    }
    if (cl->closing)
        return;
    buf_consume(&cl->in, done);
    client_pause(cl, false);
    if (cl->in.len > CONTROL_REQUEST_MAX && !cl->ending)
        client_refuse(cl, "too-big", "a request is at most 64 kB long");
}

static void on_connect(uv_stream_t *listener, int status)
{
    struct control *c = listener->data;
    if (status < 0)
        return;
    struct control_client *cl = mem_alloc(sizeof *cl);
    cl->control = c;
    cl->open_handles = 2;
    uv_pipe_init(c->loop, &cl->pipe, 0);
    uv_timer_init(c->loop, &cl->idle);
    cl->pipe.data = cl->idle.data = cl;
    cl->next = c->clients;
    if (c->clients)
        c->clients->prev = cl;
    c->clients = cl;
    c->client_count++;
    if (uv_accept(listener, (uv_stream_t *)&cl->pipe)) {
        client_close(cl);
        return;
    }
    still_alive(cl);
    if (c->client_count > CONTROL_CLIENTS)
        client_refuse(cl, "busy", "too many clients of the control socket, try again");
    else
        uv_read_start((uv_stream_t *)&cl->pipe, on_alloc, on_read);
}

int control_start(uv_loop_t *loop, const struct api_host *host, const struct control_options *opt,
                  struct control **out, struct buf *problem)
{
    struct control_file file;
    int fd, err = control_listen(opt, &file, &fd, problem);
    if (err)
        return err;
    struct control *c = mem_alloc(sizeof *c);
    *c = (struct control){
        .loop = loop, .host = host, .file = file, .idle_ms = opt->idle_ms ? opt->idle_ms : CONTROL_IDLE_MS};
    uv_pipe_init(loop, &c->listener, 0);
    c->listener.data = c;
    int r = uv_pipe_open(&c->listener, fd);
    if (r)
        close(fd);
    if (!r)
        r = uv_listen((uv_stream_t *)&c->listener, CONTROL_CLIENTS, on_connect);
    if (r) {
        buf_printf(problem, "control socket %s: %s", opt->path, uv_strerror(r));
        control_stop(c);
        return PM_EIO;
    }
    *out = c;
    return PM_OK;
}

static void on_listener_closed(uv_handle_t *h)
{
    struct control *c = h->data;
    c->listener_closed = true;
    control_release(c);
}

void control_stop(struct control *c)
{
    if (!c || c->stopping)
        return;
    c->stopping = true;
    control_unlisten(&c->file);
    for (struct control_client *cl = c->clients; cl; cl = cl->next)
        client_close(cl);
    uv_close((uv_handle_t *)&c->listener, on_listener_closed);
}

unsigned control_clients(const struct control *c)
{
    return c->client_count;
}
