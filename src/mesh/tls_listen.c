/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets of the TLS transport: accepting a few at a time, so that a flood leaves the loop to the others. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/log.h"
#include "mesh/tls_internal.h"

enum { BACKLOG = 512, ACCEPTS = 32, PAUSE_MS = 100 };

static void on_readable(uv_poll_t *poll, int status, int events);

static void watch(struct mesh_tls *t, bool on)
{
    for (size_t i = 0; i < t->listener_count; i++) {
        if (on)
            uv_poll_start(&t->listeners[i]->poll, UV_READABLE, on_readable);
        else
            uv_poll_stop(&t->listeners[i]->poll);
    }
}

static void on_pause_over(uv_timer_t *timer)
{
    watch(timer->data, true);
}

static void admit(struct mesh_tls *t, int fd, const struct sockaddr_storage *sa)
{
    struct endpoint remote;
    if (endpoint_from_sockaddr((const struct sockaddr *)sa, &remote) != PM_OK) {
        close(fd);
        return;
    }
    bool known = map_get(&t->known, &remote.addr, sizeof remote.addr) != NULL;
    enum tls_admit a = tls_limit_enter(&t->limit, &remote.addr, known, uv_now(t->loop));
    if (a == TLS_ADMIT) {
        tls_conn_accept(t, fd, &remote, known);
        return;
    }
    close(fd);
    tls_refused(t, a == TLS_ADMIT_LIMIT ? MESH_TLS_LIMIT : MESH_TLS_RATE, &remote, NULL, NULL, known);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct tls_listener *l = poll->data;
    struct mesh_tls *t = l->t;
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(t, fd, &sa);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            log_warn("mesh cannot accept, pausing", "why", strerror(errno));
            watch(t, false);
            uv_timer_start(&t->pause, on_pause_over, PAUSE_MS, 0);
            return;
        } else if (errno == EAGAIN) {
            return;
        } /* else: that connection is gone already */
    }
}

static int open_socket(const struct endpoint *at, int *out)
{
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(at, &sa);
    int one = 1, fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err = PM_OK;
    if (fd < 0)
        return err_from_errno(errno);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        (sa.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0) ||
        bind(fd, (const struct sockaddr *)&sa, len) != 0 || listen(fd, BACKLOG) != 0)
        err = err_from_errno(errno);
    if (err)
        close(fd);
    else
        *out = fd;
    return err;
}

static bool is_at(int fd, const struct endpoint *at)
{
    struct sockaddr_storage sa;
    struct endpoint e;
    int listening = 0;
    socklen_t len = sizeof sa, n = sizeof listening;
    return getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
           endpoint_from_sockaddr((const struct sockaddr *)&sa, &e) == PM_OK && addr_eq(&e.addr, &at->addr) &&
           e.port == at->port && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) == 0 && listening;
}

static struct tls_listener *listener_at(const struct mesh_tls *t, const struct endpoint *at)
{
    for (size_t i = 0; i < t->listener_count; i++)
        if (addr_eq(&t->listeners[i]->at.addr, &at->addr) && t->listeners[i]->at.port == at->port)
            return t->listeners[i];
    return NULL;
}

static void on_closed(uv_handle_t *h)
{
    struct tls_listener *l = h->data;
    struct mesh_tls *t = l->t;
    free(l);
    tls_handle_closed(t);
}

static void drop_unwanted(struct mesh_tls *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->listener_count; i++) {
        struct tls_listener *l = t->listeners[i];
        if (l->wanted) {
            t->listeners[kept++] = l;
        } else {
            uv_close((uv_handle_t *)&l->poll, on_closed);
            close(l->fd); /* at once: the endpoint may be wanted by somebody else */
        }
    }
    t->listener_count = kept;
}

static int add(struct mesh_tls *t, const struct endpoint *at, int fd)
{
    struct tls_listener *l = mem_alloc(sizeof *l);
    *l = (struct tls_listener){.t = t, .at = *at, .fd = fd, .wanted = true};
    int err = uv_poll_init(t->loop, &l->poll, fd);
    if (err) {
        free(l);
        close(fd);
        return PM_EIO;
    }
    l->poll.data = l;
    t->handles++;
    t->listeners = mem_realloc(t->listeners, (t->listener_count + 1) * sizeof *t->listeners);
    t->listeners[t->listener_count++] = l;
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
    return PM_OK;
}

/* An inherited socket for it, or a new one. */
static int socket_for(const struct endpoint *at, bool *taken, const struct mesh_tls_options *o, int *fd)
{
    for (size_t i = 0; taken && i < o->inherited_count; i++) {
        if (taken[i] || !is_at(o->inherited[i], at))
            continue;
        taken[i] = true;
        *fd = o->inherited[i];
        return PM_OK;
    }
    return open_socket(at, fd);
}

/* All new sockets, or none. */
static int add_all(struct mesh_tls *t, const struct mesh_tls_options *o, bool *taken, struct buf *why)
{
    size_t before = t->listener_count;
    for (size_t i = 0; i < o->listen_count; i++) {
        char text[ENDPOINT_TEXT];
        int fd = -1, err = PM_OK;
        if (listener_at(t, &o->listen[i]))
            continue;
        err = socket_for(&o->listen[i], taken, o, &fd);
        if (!err)
            err = add(t, &o->listen[i], fd);
        if (!err)
            continue;
        buf_printf(why, "mesh cannot listen on %s: %s", endpoint_format(&o->listen[i], text), err_text(err));
        for (size_t k = 0; k < t->listener_count; k++)
            t->listeners[k]->wanted = k < before;
        drop_unwanted(t);
        return err;
    }
    return PM_OK;
}

int tls_listen_set(struct mesh_tls *t, const struct mesh_tls_options *o, bool inherit, struct buf *why)
{
    bool *taken = inherit ? mem_alloc(o->inherited_count + 1) : NULL;
    int err = add_all(t, o, taken, why);
    for (size_t i = 0; !err && inherit && i < o->inherited_count; i++)
        if (!taken[i])
            close(o->inherited[i]);
    free(taken);
    if (err)
        return err;
    for (size_t k = 0; k < t->listener_count; k++)
        t->listeners[k]->wanted = false;
    for (size_t i = 0; i < o->listen_count; i++)
        listener_at(t, &o->listen[i])->wanted = true;
    drop_unwanted(t);
    return PM_OK;
}

void tls_listen_close(struct mesh_tls *t)
{
    for (size_t i = 0; i < t->listener_count; i++)
        t->listeners[i]->wanted = false;
    drop_unwanted(t);
    free(t->listeners);
    t->listeners = NULL;
}

size_t mesh_tls_listening(const struct mesh_tls *t, struct endpoint *at, int *fds, size_t max)
{
    for (size_t i = 0; i < t->listener_count && i < max; i++) {
        at[i] = t->listeners[i]->at;
        fds[i] = t->listeners[i]->fd;
    }
    return t->listener_count;
}
