/* SPDX-License-Identifier: Apache-2.0 */
/*
 * icmp: echo request and reply, both families. One socket per family serves all checks: a raw one where that is allowed
 * (CAP_NET_RAW, kept after root is given up), else the kernel's unprivileged ping socket. Replies are matched by sequence
 * number and a random cookie in the payload.
 */
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/map.h"
#include "monitor/probe.h"

enum { SLOTS = 65536, HEADER = 8, COOKIE = 8, PACKET_MAX = 2048 };

struct icmp_params {
    uint32_t size;
};

static const struct conf_key keys[] = {
    {"size", CONF_UINT, offsetof(struct icmp_params, size), .def = "56", .min = COOKIE, .max = 1400, .unit = "bytes",
     .doc = "Payload of the echo request."},
};

struct family {
    uv_poll_t poll;
    int fd;
    bool raw;
    struct echoes *owner;
};

struct echoes {
    struct family v4, v6;
    uint16_t id, next;
    uint8_t open_handles;
    struct probe *slots[SLOTS]; /* by sequence number; both families share the numbers */
    uint8_t cookies[SLOTS][COOKIE];
};

/* What a probe keeps: its slot + 1. */
static void slot_free(struct echoes *s, struct probe *p)
{
    s->slots[(uintptr_t)p->state - 1] = NULL;
    p->state = NULL;
}

static void finish(struct echoes *s, struct probe *p, struct probe_result *r)
{
    slot_free(s, p);
    probe_done(p, r);
}

static uint16_t checksum(const uint8_t *data, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)(data[i] << 8 | data[i + 1]);
    if (len % 2)
        sum += (uint32_t)(data[len - 1] << 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The probe that a header and payload belong to, or NULL. A quoted request may be cut after its header (RFC 792). */
static struct probe *match(struct echoes *s, const uint8_t *echo, size_t len, bool raw, bool quoted)
{
    if (len < HEADER || (raw && (echo[4] << 8 | echo[5]) != s->id))
        return NULL;
    uint16_t seq = (uint16_t)(echo[6] << 8 | echo[7]);
    if (!s->slots[seq] || (!quoted && (len < HEADER + COOKIE || memcmp(echo + HEADER, s->cookies[seq], COOKIE) != 0)))
        return NULL;
    return s->slots[seq];
}

static void take_packet(struct family *f, const uint8_t *data, size_t len, bool v6)
{
    struct echoes *s = f->owner;
    struct probe_result r = probe_result_make(PROBE_OK, "%s", "");
    struct probe *p = NULL;
    if (f->raw && !v6) { /* IPv4 raw sockets give the IP header, too */
        size_t ip = len ? (data[0] & 15u) * 4u : 0;
        if (ip < 20 || len < ip + HEADER)
            return;
        data += ip;
        len -= ip;
    }
    if (len < HEADER)
        return;
    if (data[0] == (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY)) {
        p = match(s, data, len, f->raw, false);
        r.bytes = len - HEADER;
    } else if (data[0] == (v6 ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH)) {
        size_t ip = v6 ? 40 : len > HEADER ? (data[HEADER] & 15u) * 4u : 0;
        if (len >= HEADER + ip + HEADER && ip >= 20)
            p = match(s, data + HEADER + ip, len - HEADER - ip, f->raw, true);
        r = probe_result_make(PROBE_UNREACH, "unreachable (code %u)", data[1]);
    }
    if (p)
        finish(s, p, &r);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct family *f = poll->data;
    uint8_t packet[PACKET_MAX];
    for (unsigned i = 0; i < 256; i++) {
        ssize_t n = recv(f->fd, packet, sizeof packet, 0);
        if (n < 0)
            break;
        take_packet(f, packet, (size_t)n, f == &f->owner->v6);
    }
    if (status < 0)
        uv_poll_start(&f->poll, UV_READABLE, on_readable); /* libuv stops after an error */
}

static void icmp_start(struct probe *p)
{
    struct echoes *s = p->shared;
    const struct icmp_params *params = p->params;
    bool v6 = p->target.addr.family == ADDR_V6;
    struct family *f = s ? v6 ? &s->v6 : &s->v4 : NULL;
    struct probe_result r;
    if (!f || f->fd < 0) {
        r = probe_result_make(PROBE_LOCAL, "no ICMP socket: needs CAP_NET_RAW, or net.ipv4.ping_group_range");
        probe_done(p, &r);
        return;
    }
    for (unsigned tries = 0; s->slots[s->next] && tries < SLOTS; tries++)
        s->next++;
    uint16_t seq = s->next++;
    if (s->slots[seq]) {
        r = probe_result_make(PROBE_LOCAL, "too many echo requests are out");
        probe_done(p, &r);
        return;
    }
    s->slots[seq] = p;
    p->state = (void *)((uintptr_t)seq + 1);
    if (getrandom(s->cookies[seq], COOKIE, GRND_NONBLOCK) != COOKIE)
        memcpy(s->cookies[seq], &p->started_ns, COOKIE);
    uint8_t packet[PACKET_MAX] = {v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO, 0, 0, 0, (uint8_t)(s->id >> 8), (uint8_t)s->id,
                                  (uint8_t)(seq >> 8), (uint8_t)seq};
    memcpy(packet + HEADER, s->cookies[seq], COOKIE);
    size_t len = HEADER + params->size;
    if (!v6) { /* the kernel fills in ICMPv6's, which covers addresses */
        uint16_t sum = checksum(packet, len);
        packet[2] = (uint8_t)(sum >> 8);
        packet[3] = (uint8_t)sum;
    }
    struct sockaddr_storage sa;
    struct endpoint to = {p->target.addr, 0};
    socklen_t sa_len = endpoint_to_sockaddr(&to, &sa);
    if (sendto(f->fd, packet, len, 0, (struct sockaddr *)&sa, sa_len) < 0) {
        r = probe_result_make(probe_status_from_errno(errno), "%s", strerror(errno));
        finish(s, p, &r);
    }
}

static void icmp_cancel(struct probe *p)
{
    if (p->state)
        slot_free(p->shared, p);
}

static int family_open(struct echoes *s, struct family *f, uv_loop_t *loop, int domain, int protocol)
{
    f->owner = s;
    f->raw = true;
    f->fd = socket(domain, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (f->fd < 0) {
        f->raw = false;
        f->fd = socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    }
    if (f->fd < 0)
        return err_from_errno(errno);
    if (f->raw && domain == AF_INET6) {
        struct icmp6_filter filter;
        ICMP6_FILTER_SETBLOCKALL(&filter);
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
        ICMP6_FILTER_SETPASS(ICMP6_DST_UNREACH, &filter);
        setsockopt(f->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
    }
    uv_poll_init(loop, &f->poll, f->fd);
    f->poll.data = f;
    uv_poll_start(&f->poll, UV_READABLE, on_readable);
    s->open_handles++;
    return PM_OK;
}

static int icmp_open(uv_loop_t *loop, void **shared)
{
    struct echoes *s = mem_alloc(sizeof *s);
    s->id = (uint16_t)(hash_seed() ^ (uint64_t)getpid());
    int e4 = family_open(s, &s->v4, loop, AF_INET, IPPROTO_ICMP);
    int e6 = family_open(s, &s->v6, loop, AF_INET6, IPPROTO_ICMPV6);
    *shared = s;
    return e4 && e6 ? e4 : PM_OK;
}

static void on_closed(uv_handle_t *h)
{
    struct echoes *s = ((struct family *)h->data)->owner;
    if (--s->open_handles == 0)
        free(s);
}

static void icmp_close(void *shared)
{
    struct echoes *s = shared;
    struct family *families[] = {&s->v4, &s->v6};
    if (!s->open_handles) {
        free(s);
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (families[i]->fd < 0)
            continue;
        uv_close((uv_handle_t *)&families[i]->poll, on_closed);
        close(families[i]->fd);
    }
}

const struct conf_object monitor_icmp_object = {.name = "icmp",
                                                .doc = "ICMP echo (ping), IPv4 and IPv6.",
                                                .size = sizeof(struct icmp_params),
                                                CONF_KEYS(keys)};
const struct monitor_module monitor_icmp = {.object = &monitor_icmp_object, .start = icmp_start, .cancel = icmp_cancel,
                                            .open = icmp_open, .close = icmp_close};
