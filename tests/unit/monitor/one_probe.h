/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one iteration of one module against a small server of the test's own. */
#ifndef PM_TESTS_ONE_PROBE_H
#define PM_TESTS_ONE_PROBE_H

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "monitor/probe.h"
#include "../cmocka_pm.h"

/* What the server does with its one connection. */
typedef void serve_fn(int fd);

struct server {
    int listener;
    uint16_t port;
    pthread_t thread;
    serve_fn *serve;
};

static void *server_main(void *arg)
{
    struct server *s = arg;
    int fd;
    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        s->serve(fd);
        close(fd);
    }
    return NULL;
}

static struct endpoint loopback(bool v6, uint16_t port)
{
    struct endpoint e = {.port = port};
    assert_int_equal(addr_parse(v6 ? "::1" : "127.0.0.1", &e.addr), 0);
    return e;
}

static int bound_socket(bool v6, int type, uint16_t *port)
{
    struct sockaddr_storage sa;
    struct endpoint e = loopback(v6, 0);
    socklen_t len = endpoint_to_sockaddr(&e, &sa);
    int fd = socket(sa.ss_family, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sa, &e), 0);
    *port = e.port;
    return fd;
}

static void server_start(struct server *s, bool v6, serve_fn *serve)
{
    s->serve = serve;
    s->listener = bound_socket(v6, SOCK_STREAM, &s->port);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

static void server_stop(struct server *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

struct one {
    struct probe probe;
    struct probe_result result;
    unsigned ended;
    uv_timer_t timeout;
};

static void one_done(struct probe *p, const struct probe_result *r)
{
    struct one *o = (struct one *)p;
    o->result = *r;
    o->ended++;
    uv_timer_stop(&o->timeout);
    uv_stop(p->loop);
}

static void one_timeout(uv_timer_t *t)
{
    struct one *o = t->data;
    o->probe.module->cancel(&o->probe);
    o->result = probe_result_make(PROBE_TIMEOUT, "cancelled");
    o->ended++;
    uv_stop(t->loop);
}

/* The loop must be able to close: nothing of the probe is left behind, cancelled or not. */
static struct probe_result run_one(const struct monitor_module *m, const void *params,
                                   struct endpoint to, const char *host, uint64_t timeout_ms)
{
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct one o = {.probe = {.module = m,
                              .loop = &loop,
                              .params = params,
                              .target = to,
                              .host = host,
                              .timeout_ms = timeout_ms,
                              .started_ns = uv_hrtime(),
                              .done = one_done}};
    if (m->open)
        assert_int_equal(m->open(&loop, &o.probe.shared), 0);
    uv_timer_init(&loop, &o.timeout);
    o.timeout.data = &o;
    uv_timer_start(&o.timeout, one_timeout, timeout_ms, 0);
    m->start(&o.probe);
    while (!o.ended)
        uv_run(&loop, UV_RUN_DEFAULT);
    if (m->close)
        m->close(o.probe.shared);
    uv_close((uv_handle_t *)&o.timeout, NULL);
    while (uv_run(&loop, UV_RUN_DEFAULT))
        ;
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(o.ended, 1);
    return o.result;
}

static void reset(int fd)
{
    struct linger l = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}

static void put(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

/* Waits for the other side's bytes or end. */
static ssize_t get(int fd, char *out, size_t cap)
{
    ssize_t n = read(fd, out, cap - 1);
    out[n > 0 ? n : 0] = '\0';
    return n;
}

#endif
