/* SPDX-License-Identifier: Apache-2.0 */
#include "server_thread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "api/control.h"
#include "api/metrics.h"
#include "base/arena.h"
#include "fake_world.h"

struct server_thread {
    uv_loop_t loop;
    uv_async_t stop;
    pthread_t thread;
    struct control *control;
    struct metrics_server *metrics;
    char folder[64], path[96];
    uint16_t port;
};

static void on_stop(uv_async_t *a)
{
    struct server_thread *s = a->data;
    control_stop(s->control);
    metrics_stop(s->metrics);
    uv_close((uv_handle_t *)a, NULL);
}

static void *run(void *arg)
{
    struct server_thread *s = arg;
    uv_run(&s->loop, UV_RUN_DEFAULT);
    return NULL;
}

struct server_thread *server_thread_start(uint64_t idle_ms)
{
    struct server_thread *s = mem_alloc(sizeof *s);
    struct buf problem = BUF_INIT;
    struct endpoint any;
    snprintf(s->folder, sizeof s->folder, "/tmp/pm-api-XXXXXX");
    if (!mkdtemp(s->folder))
        abort();
    snprintf(s->path, sizeof s->path, "%s/control.sock", s->folder);
    uv_loop_init(&s->loop);
    uv_async_init(&s->loop, &s->stop, on_stop);
    s->stop.data = s;
    struct control_options opt = {.path = s->path, .mode = 0600, .idle_ms = idle_ms};
    if (endpoint_parse("127.0.0.1:0", 1, &any) || control_start(&s->loop, &fake.host, &opt, &s->control, &problem) ||
        metrics_start(&s->loop, &fake.host, &any, &s->metrics)) {
        fprintf(stderr, "%s\n", buf_str(&problem));
        abort();
    }
    s->port = metrics_port(s->metrics);
    pthread_create(&s->thread, NULL, run, s);
    return s;
}

const char *server_thread_path(const struct server_thread *s)
{
    return s->path;
}

uint16_t server_thread_port(const struct server_thread *s)
{
    return s->port;
}

void server_thread_stop(struct server_thread *s)
{
    uv_async_send(&s->stop);
    pthread_join(s->thread, NULL);
    if (uv_loop_close(&s->loop))
        abort(); /* a handle was left open */
    if (access(s->path, F_OK) == 0)
        abort(); /* the socket's file was left */
    rmdir(s->folder);
    free(s);
}
