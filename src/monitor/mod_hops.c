/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hops: how many routers lie between (S1: "closest"). UDP datagrams leave with every hop limit from 1 up at once, each to a
 * port of its own; the error queue tells which limit died on the way and which reached the target (port unreachable), for
 * both families and without privileges. A target that stays silent says nothing about its health: the check then ends
 * without a verdict.
 */
#include <errno.h>
#include <time.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "monitor/probe.h"

enum { BASE_PORT = 33434, LIMIT_MAX = 64, SILENCE_PERCENT = 80 };

struct hops_params {
    uint32_t max;
};

static const struct conf_key keys[] = {
    {"max", CONF_UINT, offsetof(struct hops_params, max), .def = "30", .min = 1, .max = LIMIT_MAX, .unit = "hops",
     .doc = "How far to look."},
};

struct trace {
    struct probe *probe;
    uv_poll_t poll;
    uv_timer_t timer;
    int fd;
    uint8_t open_handles;
    unsigned reached, farthest; /* smallest limit that arrived; largest that died on the way */
};

static void on_closed(uv_handle_t *h)
{
    struct trace *t = h->data;
    if (--t->open_handles == 0)
        free(t);
}

static void release(struct trace *t)
{
    t->probe->state = NULL;
    uv_close((uv_handle_t *)&t->poll, on_closed);
    uv_close((uv_handle_t *)&t->timer, on_closed);
    close(t->fd);
}

static void finish(struct trace *t)
{
    struct probe *p = t->probe;
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    if (t->reached)
        r.hops = (int32_t)t->reached - 1;
    else
        r = probe_result_make(PROBE_LOCAL, "the target does not answer datagrams; at least %u hops", t->farthest);
    release(t);
    probe_done(p, &r);
}

/* One entry of the error queue; false when it is empty. */
static bool take_error(struct trace *t)
{
    struct sockaddr_storage to;
    uint8_t control[512], data[64];
    struct iovec iov = {data, sizeof data};
    struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                       .msg_controllen = sizeof control};
    struct endpoint at;
    if (recvmsg(t->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
        return false;
    if (endpoint_from_sockaddr((struct sockaddr *)&to, &at) != PM_OK || at.port <= BASE_PORT || at.port > BASE_PORT + LIMIT_MAX)
        return true;
    unsigned limit = at.port - BASE_PORT;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        struct sock_extended_err e;
        if (!((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
              (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)))
            continue;
        memcpy(&e, CMSG_DATA(c), sizeof e);
        bool v6 = e.ee_origin == SO_EE_ORIGIN_ICMP6;
        if (e.ee_type == (v6 ? ICMP6_TIME_EXCEEDED : ICMP_TIME_EXCEEDED))
            t->farthest = limit > t->farthest ? limit : t->farthest;
        else if (e.ee_type == (v6 ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH) &&
                 e.ee_code == (v6 ? ICMP6_DST_UNREACH_NOPORT : ICMP_PORT_UNREACH))
            t->reached = !t->reached || limit < t->reached ? limit : t->reached;
    }
    return true;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct trace *t = poll->data;
    uint8_t data[64];
    while (take_error(t))
        ;
    while (recv(t->fd, data, sizeof data, MSG_DONTWAIT) >= 0)
        ; /* someone answers on such a port: of no use */
    /* Smaller limits may still be on their way: it is decided when all before it have died. */
    if (t->reached && t->farthest + 1 >= t->reached) {
        finish(t);
        return;
    }
    uv_poll_start(&t->poll, UV_READABLE, on_event); /* libuv stops at every error, and errors are what we want */
}

static void on_silence(uv_timer_t *timer)
{
    finish(timer->data);
}

static bool send_all(struct trace *t, unsigned max)
{
    bool v6 = t->probe->target.addr.family == ADDR_V6, sent = false;
    for (unsigned limit = 1; limit <= max; limit++) {
        struct sockaddr_storage sa;
        struct endpoint to = {t->probe->target.addr, (uint16_t)(BASE_PORT + limit)};
        socklen_t len = endpoint_to_sockaddr(&to, &sa);
        int value = (int)limit;
        setsockopt(t->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_UNICAST_HOPS : IP_TTL, &value, sizeof value);
        /* A send may report an earlier datagram's error: once more, then. */
        if (sendto(t->fd, "pointsman", 9, 0, (struct sockaddr *)&sa, len) >= 0 ||
            sendto(t->fd, "pointsman", 9, 0, (struct sockaddr *)&sa, len) >= 0)
            sent = true;
    }
    return sent;
}

static void start(struct probe *p)
{
    const struct hops_params *params = p->params;
    bool v6 = p->target.addr.family == ADDR_V6;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) {
        struct probe_result r = probe_result_make(PROBE_LOCAL, "%s", strerror(errno));
        probe_done(p, &r);
        return;
    }
    struct trace *t = mem_alloc(sizeof *t);
    t->probe = p;
    t->fd = fd;
    t->open_handles = 2;
    p->state = t;
    setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &on, sizeof on);
    uv_poll_init(p->loop, &t->poll, fd);
    uv_timer_init(p->loop, &t->timer);
    t->poll.data = t->timer.data = t;
    uv_timer_start(&t->timer, on_silence, p->timeout_ms * SILENCE_PERCENT / 100, 0);
    if (!send_all(t, params->max)) {
        struct probe_result r = probe_result_make(probe_status_from_errno(errno), "%s", strerror(errno));
        release(t);
        probe_done(p, &r);
        return;
    }
    uv_poll_start(&t->poll, UV_READABLE, on_event);
}

static void cancel(struct probe *p)
{
    if (p->state)
        release(p->state);
}

const struct conf_object monitor_hops_object = {.name = "hops",
                                                .doc = "Counts the routers on the way by datagrams with rising hop limits (S1). A "
                                                       "silent target is no failure.",
                                                .size = sizeof(struct hops_params),
                                                CONF_KEYS(keys)};
const struct monitor_module monitor_hops = {.object = &monitor_hops_object, .start = start, .cancel = cancel};
