/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hops: how many routers lie between here and the target. Empty UDP datagrams with rising hop
 * limits go to ports where nobody listens, the port telling the limit; routers answer "hop limit
 * exceeded", the target "port unreachable". Both arrive in the socket's error queue (IP_RECVERR),
 * so no privilege is needed and no connection is opened at the target.
 *
 * Limits are tried BATCH at a time: all at once would run into the target's own limit of ICMP
 * errors (Linux: a burst of six to one peer). The next batch goes when every limit of this one was
 * answered or after batch-wait. The result is the smallest limit that reached the target, less one;
 * it is final when the limit below was answered by a router, else after batch-wait. Meant to run
 * about once a day.
 */
#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "monitor/icmp_wire.h"
#include "monitor/probe.h"

enum { BATCH = 5, LIMIT_MAX = 64 };

struct hops_params {
    uint32_t max, port;
    uint64_t batch_wait_ms;
};

static const struct conf_key keys[] = {
    {"max", CONF_UINT, offsetof(struct hops_params, max), .def = "30", .min = 1, .max = LIMIT_MAX,
     .doc = "Highest hop limit tried."},
    {"first-port", CONF_UINT, offsetof(struct hops_params, port), .def = "33434", .min = 1024,
     .max = 65000, .doc = "UDP port of hop limit 1; limit N goes to N - 1 above it."},
    {"batch-wait", CONF_DURATION, offsetof(struct hops_params, batch_wait_ms), .def = "300ms",
     .min = 10, .max = 10000,
     .doc = "How long five hop limits wait for their answers before the next five are tried."},
};

const struct conf_object monitor_hops_object = {
    .name = "hops",
    .doc = "Counts the routers between here and the target without opening a connection.",
    .size = sizeof(struct hops_params),
    CONF_KEYS(keys),
};

struct hops {
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned open;
    struct probe *probe;
    int fd;
    bool has_handles, ended;
    uint32_t sent;                /* limits 1..sent were tried */
    uint32_t reached;             /* smallest limit that got there; 0 = none */
    bool answered[LIMIT_MAX + 1]; /* by a router or the target */
};

static void on_closed(uv_handle_t *h)
{
    struct hops *t = h->data;
    if (--t->open)
        return;
    close(t->fd);
    free(t);
}

static void release(struct hops *t)
{
    t->probe->state = NULL;
    t->ended = true;
    if (t->has_handles) {
        uv_close((uv_handle_t *)&t->poll, on_closed);
        uv_close((uv_handle_t *)&t->timer, on_closed);
        return;
    }
    if (t->fd >= 0)
        close(t->fd);
    free(t);
}

static void finish(struct hops *t, struct probe_result r)
{
    struct probe *p = t->probe;
    release(t);
    probe_done(p, &r);
}

static void found(struct hops *t)
{
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    r.hops = (int32_t)t->reached - 1;
    finish(t, r);
}

static int send_one(struct hops *t, uint32_t limit)
{
    const struct hops_params *params = t->probe->params;
    struct endpoint to = {t->probe->target.addr, (uint16_t)(params->port + limit - 1)};
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(&to, &sa);
    int hop_limit = (int)limit;
    bool v4 = to.addr.family == ADDR_V4;
    if (setsockopt(t->fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_UNICAST_HOPS,
                   &hop_limit, sizeof hop_limit) < 0)
        return errno;
    /* An error of an earlier datagram is reported once by the next send; it stands in the queue as
     * well. */
    for (int i = 0; i < 4; i++)
        if (sendto(t->fd, "", 0, MSG_DONTWAIT, (const struct sockaddr *)&sa, len) == 0)
            return 0;
    return errno;
}

static void on_wait_over(uv_timer_t *timer);

static void send_batch(struct hops *t)
{
    const struct hops_params *params = t->probe->params;
    for (int i = 0; i < BATCH && t->sent < params->max; i++) {
        int err = send_one(t, t->sent + 1);
        if (err && err != ECONNREFUSED && (t->sent == 0 || err == ENETUNREACH)) {
            finish(t, probe_result_make(probe_status_from_errno(err), "send: %s", strerror(err)));
            return;
        }
        t->sent++;
    }
    uv_timer_start(&t->timer, on_wait_over, params->batch_wait_ms, 0);
}

static void on_wait_over(uv_timer_t *timer)
{
    struct hops *t = timer->data;
    const struct hops_params *params = t->probe->params;
    if (t->ended)
        return;
    if (t->reached)
        found(t);
    else if (t->sent < params->max)
        send_batch(t);
    else
        finish(t, probe_result_make(PROBE_TIMEOUT, "not reached within %u hops", params->max));
}

static bool is_port_unreach(unsigned family, const struct icmp_queued *q)
{
    return family == ADDR_V4 ? q->type == ICMP_DEST_UNREACH && q->code == ICMP_PORT_UNREACH
                             : q->type == ICMP6_DST_UNREACH && q->code == ICMP6_DST_UNREACH_NOPORT;
}

static bool is_exceeded(unsigned family, const struct icmp_queued *q)
{
    return family == ADDR_V4 ? q->type == ICMP_TIME_EXCEEDED : q->type == ICMP6_TIME_EXCEEDED;
}

/* False: the probe has ended. */
static bool on_error(struct hops *t, const struct icmp_queued *q)
{
    const struct hops_params *params = t->probe->params;
    const struct addr *target = &t->probe->target.addr;
    if (!q->from_network || !addr_eq(&q->target.addr, target) || q->target.port < params->port ||
        q->target.port >= params->port + t->sent)
        return true;
    uint32_t limit = q->target.port - params->port + 1;
    /* A filter at the target that refuses the datagram has been reached too; any other refusal on
     * the way is final. */
    if (is_port_unreach(target->family, q) ||
        (!is_exceeded(target->family, q) && addr_eq(&q->offender, target))) {
        if (!t->reached || limit < t->reached)
            t->reached = limit;
    } else if (!is_exceeded(target->family, q)) {
        const char *text = icmp_error_text(target->family, q->type, q->code);
        finish(t, probe_result_make(PROBE_UNREACH, "%s after %u hops", text ? text : "refused",
                                    limit));
        return false;
    }
    t->answered[limit] = true;
    return true;
}

static void look(struct hops *t)
{
    if (t->reached && (t->reached == 1 || t->answered[t->reached - 1])) {
        found(t);
        return;
    }
    if (t->reached)
        return;
    for (uint32_t i = 1; i <= t->sent; i++)
        if (!t->answered[i])
            return;
    on_wait_over(&t->timer);
}

static void on_ready(uv_poll_t *h, int status, int events)
{
    struct hops *t = h->data;
    struct icmp_queued q;
    char byte;
    if (t->ended)
        return;
    while (icmp_errqueue(t->fd, &q))
        if (!on_error(t, &q))
            return;
    /* Somebody does listen on one of the ports and answers: then it is the target, but not known at
     * which limit. */
    (void)!recv(t->fd, &byte, 1, MSG_DONTWAIT);
    if (status < 0)
        uv_poll_start(&t->poll, UV_READABLE, on_ready);
    look(t);
}

static void hops_start(struct probe *p)
{
    struct hops *t = mem_alloc(sizeof *t);
    bool v4 = p->target.addr.family == ADDR_V4;
    int on = 1;
    t->probe = p;
    p->state = t;
    t->fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->fd < 0 || setsockopt(t->fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
                                v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof on) < 0) {
        finish(t, probe_result_make(PROBE_LOCAL, "socket: %s", strerror(errno)));
        return;
    }
    int err = uv_poll_init(p->loop, &t->poll, t->fd);
    if (err) {
        finish(t, probe_result_make(PROBE_LOCAL, "poll: %s", strerror(-err)));
        return;
    }
    uv_timer_init(p->loop, &t->timer);
    t->poll.data = t->timer.data = t;
    t->open = 2;
    t->has_handles = true;
    uv_poll_start(&t->poll, UV_READABLE, on_ready);
    send_batch(t);
}

static void hops_cancel(struct probe *p)
{
    release(p->state);
}

const struct monitor_module monitor_hops = {
    .object = &monitor_hops_object, .measures_only = true, .start = hops_start, .cancel = hops_cancel};
