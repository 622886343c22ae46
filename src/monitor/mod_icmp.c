/* SPDX-License-Identifier: Apache-2.0 */
/*
 * icmp: one echo, one reply. All probes of a family share a socket: a raw one where that is
 * allowed, else the kernel's ping socket (net.ipv4.ping_group_range), else every probe says so. A
 * reply is ours when identifier, sequence, source address and a random number in the payload agree.
 * Duplicates and late replies find nobody waiting.
 */
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <linux/icmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/arena.h"
#include "monitor/icmp_wire.h"
#include "monitor/probe.h"

enum { PAYLOAD_MAX = 8192, SEQUENCES = 65536 };

struct icmp_params {
    uint64_t size;
};

static const struct conf_key keys[] = {
    {"size", CONF_SIZE, offsetof(struct icmp_params, size), .def = "56", .min = 8,
     .max = PAYLOAD_MAX, .unit = "bytes", .doc = "Payload of the echo request."},
};

const struct conf_object monitor_icmp_object = {
    .name = "icmp",
    .doc = "ICMP echo (ping), IPv4 and IPv6.",
    .size = sizeof(struct icmp_params),
    CONF_KEYS(keys),
};

struct ping {
    struct probe *probe;
    struct channel *channel;
    uint16_t seq;
    uint64_t nonce, sent_ns;
};

struct shared;

struct channel {
    uv_poll_t poll;
    struct shared *shared;
    unsigned family;
    int fd; /* -1 = none; error says why */
    int error;
    bool raw;
    uint16_t id, next;
    struct ping **waiting; /* by sequence number */
};

struct shared {
    struct channel v4, v6;
    unsigned open;
};

static void end_ping(struct ping *t, struct probe_result r)
{
    struct probe *p = t->probe;
    t->channel->waiting[t->seq] = NULL;
    p->state = NULL;
    free(t);
    probe_done(p, &r);
}

static struct ping *find(const struct channel *ch, uint16_t id, uint16_t seq)
{
    /* A ping socket's identifier is the kernel's, and it has compared it. */
    return ch->raw && id != ch->id ? NULL : ch->waiting[seq];
}

static void on_packet(struct channel *ch, const uint8_t *bytes, size_t n, const struct addr *from)
{
    struct icmp_seen seen;
    icmp_read(bytes, n, ch->family, ch->raw && ch->family == ADDR_V4, &seen);
    struct ping *t = seen.kind == ICMP_OTHER ? NULL : find(ch, seen.id, seen.seq);
    if (!t)
        return;
    const struct addr *target = &t->probe->target.addr;
    if (seen.kind == ICMP_ERROR) {
        if (addr_eq(&seen.to, target))
            end_ping(t, probe_result_make(PROBE_UNREACH, "%s",
                                          icmp_error_text(ch->family, seen.type, seen.code)));
        return;
    }
    if (!addr_eq(from, target) || seen.payload_len < sizeof t->nonce ||
        memcmp(seen.payload, &t->nonce, sizeof t->nonce) != 0)
        return;
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    r.bytes = seen.payload_len;
    r.duration_ns = uv_hrtime() - t->sent_ns;
    end_ping(t, r);
}

static void on_error(struct channel *ch)
{
    struct icmp_queued q;
    for (int i = 0; i < 64 && icmp_errqueue(ch->fd, &q); i++) {
        if (q.len < ICMP_HEADER)
            continue;
        struct ping *t = find(ch, (uint16_t)(q.bytes[4] << 8 | q.bytes[5]),
                              (uint16_t)(q.bytes[6] << 8 | q.bytes[7]));
        if (t && addr_eq(&q.target.addr, &t->probe->target.addr))
            end_ping(t, probe_result_make(q.from_network ? PROBE_UNREACH
                                                         : probe_status_from_errno(q.error),
                                          "%s", strerror(q.error)));
    }
}

static void on_ready(uv_poll_t *h, int status, int events)
{
    struct channel *ch = h->data;
    uint8_t bytes[PAYLOAD_MAX + 256];
    for (int i = 0; i < 64; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        struct endpoint from;
        ssize_t n =
            recvfrom(ch->fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&sa, &len);
        if (n < 0)
            break;
        if (endpoint_from_sockaddr((const struct sockaddr *)&sa, &from) == 0)
            on_packet(ch, bytes, (size_t)n, &from.addr);
    }
    on_error(ch);
    /* libuv stops a poll whose socket has something in its error queue. */
    if (status < 0)
        uv_poll_start(&ch->poll, UV_READABLE, on_ready);
}

static void filter(const struct channel *ch)
{
    if (ch->family == ADDR_V4) {
        struct icmp_filter f = {
            ~(1u << ICMP_ECHOREPLY | 1u << ICMP_DEST_UNREACH | 1u << ICMP_TIME_EXCEEDED)};
        (void)setsockopt(ch->fd, SOL_RAW, ICMP_FILTER, &f, sizeof f);
        return;
    }
    struct icmp6_filter f;
    ICMP6_FILTER_SETBLOCKALL(&f);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &f);
    ICMP6_FILTER_SETPASS(ICMP6_DST_UNREACH, &f);
    ICMP6_FILTER_SETPASS(ICMP6_TIME_EXCEEDED, &f);
    ICMP6_FILTER_SETPASS(ICMP6_PACKET_TOO_BIG, &f);
    (void)setsockopt(ch->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &f, sizeof f);
}

static void open_channel(struct shared *s, struct channel *ch, unsigned family, uv_loop_t *loop)
{
    int domain = family == ADDR_V4 ? AF_INET : AF_INET6,
        proto = family == ADDR_V4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    ch->family = family;
    ch->shared = s;
    ch->raw = true;
    ch->fd = socket(domain, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);
    if (ch->fd < 0) {
        ch->raw = false;
        ch->fd = socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);
    }
    if (ch->fd < 0) {
        ch->error = errno;
        return;
    }
    int on = 1;
    if (ch->raw)
        filter(ch);
    else if (family == ADDR_V4)
        (void)setsockopt(ch->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
    else
        (void)setsockopt(ch->fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on);
    if (getrandom(&ch->id, sizeof ch->id, 0) != sizeof ch->id)
        ch->id = (uint16_t)getpid();
    ch->waiting = mem_alloc(SEQUENCES * sizeof(struct ping *));
    uv_poll_init(loop, &ch->poll, ch->fd);
    ch->poll.data = ch;
    uv_poll_start(&ch->poll, UV_READABLE, on_ready);
    s->open++;
}

static int icmp_open(uv_loop_t *loop, void **shared)
{
    struct shared *s = mem_alloc(sizeof *s);
    open_channel(s, &s->v4, ADDR_V4, loop);
    open_channel(s, &s->v6, ADDR_V6, loop);
    if (!s->open) {
        int err = err_from_errno(s->v4.error);
        free(s);
        return err;
    }
    *shared = s;
    return 0;
}

static void on_closed(uv_handle_t *h)
{
    struct channel *ch = h->data;
    struct shared *s = ch->shared;
    close(ch->fd);
    free(ch->waiting);
    if (--s->open == 0)
        free(s);
}

static void icmp_close(void *shared)
{
    struct shared *s = shared;
    struct channel *all[] = {&s->v4, &s->v6};
    bool have[] = {s->v4.fd >= 0, s->v6.fd >= 0};
    for (int i = 0; i < 2; i++)
        if (have[i])
            uv_close((uv_handle_t *)&all[i]->poll, on_closed);
}

static void local(struct probe *p, const char *what, int err)
{
    struct probe_result r = probe_result_make(PROBE_LOCAL, "%s: %s", what, strerror(err));
    probe_done(p, &r);
}

static void icmp_start(struct probe *p)
{
    const struct icmp_params *params = p->params;
    struct shared *s = p->shared;
    struct channel *ch = p->target.addr.family == ADDR_V4 ? &s->v4 : &s->v6;
    if (ch->fd < 0) {
        local(p, "no socket for ICMP (needs CAP_NET_RAW or ping_group_range)", ch->error);
        return;
    }
    uint16_t seq = ch->next;
    for (unsigned i = 0; ch->waiting[seq] && i < SEQUENCES; i++)
        seq++;
    if (ch->waiting[seq]) {
        local(p, "too many pings at once", EAGAIN);
        return;
    }
    ch->next = (uint16_t)(seq + 1);
    struct ping *t = mem_alloc(sizeof *t);
    *t = (struct ping){.probe = p, .channel = ch, .seq = seq};
    if (getrandom(&t->nonce, sizeof t->nonce, 0) != sizeof t->nonce)
        t->nonce = uv_hrtime();
    uint8_t payload[PAYLOAD_MAX] = {0}, packet[PAYLOAD_MAX + ICMP_HEADER];
    memcpy(payload, &t->nonce, sizeof t->nonce);
    size_t size = params->size < sizeof t->nonce ? sizeof t->nonce : params->size;
    size_t n = icmp_echo_make(packet, ch->family, ch->id, seq, payload, size);
    struct sockaddr_storage sa;
    struct endpoint to = {
        .addr = p->target.addr}; /* a port means nothing here, and raw IPv6 refuses one */
    socklen_t len = endpoint_to_sockaddr(&to, &sa);
    p->state = t;
    ch->waiting[seq] = t;
    t->sent_ns = uv_hrtime();
    if (sendto(ch->fd, packet, n, MSG_DONTWAIT, (const struct sockaddr *)&sa, len) < 0)
        end_ping(t, probe_result_make(probe_status_from_errno(errno), "send: %s", strerror(errno)));
}

static void icmp_cancel(struct probe *p)
{
    struct ping *t = p->state;
    t->channel->waiting[t->seq] = NULL;
    p->state = NULL;
    free(t);
}

const struct monitor_module monitor_icmp = {.object = &monitor_icmp_object,
                                            .start = icmp_start,
                                            .cancel = icmp_cancel,
                                            .open = icmp_open,
                                            .close = icmp_close};
