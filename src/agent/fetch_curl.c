/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl's sockets -> one epoll set -> one uv_poll -> curl_multi_socket_action -> fetch_plan, as in monitor/curl_multi.
 */
#include "agent/fetch_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/arena.h"

enum { EVENTS_MAX = 32 };

struct fetch_curl {
    struct agent_fetch *fetch; /* NULL: closing */
    CURLM *multi;
    int epoll_fd;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned open; /* handles */
};

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    struct fetch_curl *c = ctx;
    struct epoll_event ev = {.data.fd = fd};
    /* Of a paused one curl wants nothing; left in the set, its end would be told over and over. */
    if (what == CURL_POLL_REMOVE || what == CURL_POLL_NONE) {
        (void)epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, fd, &ev);
        return 0;
    }
    ev.events = (what & CURL_POLL_IN ? (unsigned)EPOLLIN : 0) | (what & CURL_POLL_OUT ? (unsigned)EPOLLOUT : 0);
    if (epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, fd, &ev) == 0)
        return 0;
    return errno == ENOENT && epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -1;
}

/* Marks the jobs whose transfers have ended. */
static void collect(struct fetch_curl *c)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(c->multi, &left)) != NULL) {
        char *private = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
        struct fetch_job *j = (void *)private;
        j->ended = true;
        j->code = code;
    }
    fetch_plan(c->fetch);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct fetch_curl *c = poll->data;
    struct epoll_event ev[EVENTS_MAX];
    int running, n = epoll_wait(c->epoll_fd, ev, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) {
        int what = (ev[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) | (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (ev[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(c->multi, ev[i].data.fd, what, &running);
    }
    collect(c);
}

static void on_timer(uv_timer_t *timer)
{
    struct fetch_curl *c = timer->data;
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(c);
}

static int on_timeout(CURLM *multi, long ms, void *ctx)
{
    struct fetch_curl *c = ctx;
    if (!c->fetch)
        return 0;
    if (ms < 0)
        uv_timer_stop(&c->timer);
    else
        uv_timer_start(&c->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

int fetch_curl_new(uv_loop_t *loop, struct agent_fetch *f, struct fetch_curl **out)
{
    /* curl counts; it is never undone, others in the process may use it. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return PM_ENOMEM;
    struct fetch_curl *c = mem_alloc(sizeof *c);
    c->fetch = f;
    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    c->multi = curl_multi_init();
    if (c->epoll_fd < 0 || !c->multi || uv_poll_init(loop, &c->poll, c->epoll_fd) != 0) {
        curl_multi_cleanup(c->multi);
        if (c->epoll_fd >= 0)
            close(c->epoll_fd);
        free(c);
        return PM_EIO;
    }
    uv_timer_init(loop, &c->timer);
    c->poll.data = c->timer.data = c;
    c->open = 2;
    uv_poll_start(&c->poll, UV_READABLE, on_poll);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    *out = c;
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    struct fetch_curl *c = h->data;
    if (--c->open == 0) {
        close(c->epoll_fd);
        free(c);
    }
}

void fetch_curl_free(struct fetch_curl *c)
{
    c->fetch = NULL;
    curl_multi_cleanup(c->multi);
    uv_close((uv_handle_t *)&c->poll, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

int fetch_curl_add(struct fetch_curl *c, CURL *easy)
{
    return curl_multi_add_handle(c->multi, easy) == CURLM_OK ? 0 : PM_ENOMEM;
}

void fetch_curl_remove(struct fetch_curl *c, CURL *easy)
{
    curl_multi_remove_handle(c->multi, easy);
}
