/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the serving tests share: a service with an echoing answer function on free loopback ports,
 * and clients. A query is a 12 byte header, then one letter that says what to answer:
 *   E    the query itself
 *   L    the query and the local address as text
 *   D    nothing
 *   B nn a message of nn KiB
 * The caller's counter 0 counts calls.
 */
#ifndef PM_TESTS_RESPOND_RIG_H
#define PM_TESTS_RESPOND_RIG_H

#include "../cmocka_pm.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "respond/service.h"

static inline size_t rig_answer(void *ctx, struct respond_thread *t, const uint8_t *pkt, size_t len,
                                const struct respond_peer *peer, uint8_t *out, size_t cap)
{
    char text[ENDPOINT_TEXT];
    char what = len > 12 ? (char)pkt[12] : 'E';
    assert_ptr_equal(ctx, rig_answer);
    respond_count_at(&t->counters[0], 1);
    *(uint64_t *)t->scratch = respond_random(t);
    if (what == 'D' || len > cap)
        return 0;
    memcpy(out, pkt, len);
    out[2] |= 0x80;
    if (what == 'B') {
        size_t n = (size_t)pkt[13] * 1024;
        memset(out + len, pkt[1], n - len);
        return n;
    }
    if (what != 'L')
        return len;
    endpoint_format(&peer->local, text);
    memcpy(out + len, text, strlen(text));
    return len + strlen(text);
}

static inline struct endpoint rig_at(const char *addr, uint16_t port)
{
    struct endpoint e;
    memset(&e, 0, sizeof e);
    assert_int_equal(addr_parse(addr, &e.addr), PM_OK);
    e.port = port;
    return e;
}

static inline int rig_socket(int type, const struct endpoint *bind_to)
{
    struct sockaddr_storage ss;
    socklen_t len = endpoint_to_sockaddr(bind_to, &ss);
    int fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&ss, len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A port nobody has, on either protocol, at any IPv4 or IPv6 address. */
static inline uint16_t rig_port(void)
{
    for (;;) {
        struct endpoint any = rig_at("::", 0), got;
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        int udp = rig_socket(SOCK_DGRAM, &any);
        assert_int_equal(getsockname(udp, (struct sockaddr *)&ss, &len), 0);
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, &got), PM_OK);
        any.port = got.port;
        int tcp = rig_socket(SOCK_STREAM, &any);
        close(udp);
        if (tcp < 0)
            continue;
        close(tcp);
        return got.port;
    }
}

static inline struct respond_options rig_options(unsigned threads)
{
    struct respond_options o = {.answer = rig_answer,
                                .ctx = (void *)rig_answer,
                                .scratch_size = 64,
                                .counters = 1,
                                .threads = threads};
    respond_options_complete(&o);
    return o;
}

static inline struct respond_service *rig_start(const struct respond_options *o,
                                                const struct endpoint *at, size_t n)
{
    struct listen_set set;
    struct buf why = BUF_INIT;
    struct respond_service *s;
    if (respond_listen_open(&o->listen, at, n, NULL, &set, &why) != PM_OK ||
        respond_start(o, &set, &s, &why) != PM_OK)
        fail_msg("%s", buf_str(&why));
    return s;
}

static inline uint64_t rig_stat(const struct respond_service *s, enum respond_counter c)
{
    uint64_t sum[RESPOND_COUNTER_COUNT];
    respond_stats(s, sum);
    return sum[c];
}

/* Waits up to 5 s for a counter to reach a value. */
static inline void rig_await(const struct respond_service *s, enum respond_counter c,
                             uint64_t value)
{
    for (unsigned i = 0; i < 5000 && rig_stat(s, c) < value; i++)
        usleep(1000);
    if (rig_stat(s, c) != value)
        fail_msg("%s is %lu, not %lu", respond_counter_info[c].name, (unsigned long)rig_stat(s, c),
                 (unsigned long)value);
}

static inline size_t rig_query(uint8_t *out, uint16_t id, const char *what)
{
    memset(out, 0, 12);
    out[0] = (uint8_t)(id >> 8);
    out[1] = (uint8_t)id;
    memcpy(out + 12, what, strlen(what));
    return 12 + strlen(what);
}

/* ---- clients ---- */

static inline int rig_connect(int type, const struct endpoint *to)
{
    struct sockaddr_storage ss;
    socklen_t len = endpoint_to_sockaddr(to, &ss);
    int fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0);
    struct timeval limit = {5, 0};
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&ss, len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One query over a connected UDP socket; true = its answer came within a second. */
static inline bool rig_ask(int fd, uint16_t id)
{
    uint8_t q[64], a[512];
    size_t n = rig_query(q, id, "E");
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (send(fd, q, n, 0) != (ssize_t)n)
        return false;
    while (poll(&p, 1, 1000) == 1) {
        ssize_t got = recv(fd, a, sizeof a, 0);
        if (got < 0)
            return false;
        if (got == (ssize_t)n && a[0] == q[0] && a[1] == q[1] && (a[2] & 0x80))
            return true;
    }
    return false;
}

static inline bool rig_ask_at(const struct endpoint *to, uint16_t id)
{
    int fd = rig_connect(SOCK_DGRAM, to);
    bool ok = rig_ask(fd, id);
    close(fd);
    return ok;
}

static inline void rig_tcp_send(int fd, uint16_t id, const char *what)
{
    uint8_t q[80];
    size_t n = rig_query(q + 2, id, what);
    q[0] = 0;
    q[1] = (uint8_t)n;
    assert_int_equal(send(fd, q, n + 2, MSG_NOSIGNAL), n + 2);
}

/* Reads exactly n bytes; false at the end of the stream or an error. */
static inline bool rig_read(int fd, uint8_t *out, size_t n)
{
    while (n > 0) {
        ssize_t got = recv(fd, out, n, 0);
        if (got <= 0)
            return false;
        out += got;
        n -= (size_t)got;
    }
    return true;
}

/* The next message's length, or -1. */
static inline int rig_tcp_answer(int fd, uint8_t out[65535])
{
    uint8_t len[2];
    if (!rig_read(fd, len, 2))
        return -1;
    int n = len[0] << 8 | len[1];
    return rig_read(fd, out, (size_t)n) ? n : -1;
}

/* A thread that asks without pause until told to stop. */
struct rig_load {
    struct endpoint to;
    pthread_t id;
    atomic_bool stop;
    atomic_uint asked;
    unsigned lost;  /* read after rig_load_stop */
    bool ephemeral; /* a new socket, so another SO_REUSEPORT hash, per query */
};

static inline void *rig_load_run(void *arg)
{
    struct rig_load *l = arg;
    int fd = rig_connect(SOCK_DGRAM, &l->to);
    while (!atomic_load(&l->stop)) {
        bool ok =
            l->ephemeral ? rig_ask_at(&l->to, (uint16_t)l->asked) : rig_ask(fd, (uint16_t)l->asked);
        l->lost += !ok;
        l->asked++;
    }
    close(fd);
    return NULL;
}

static inline void rig_load_start(struct rig_load *l, const struct endpoint *to, bool ephemeral)
{
    memset(l, 0, sizeof *l);
    l->to = *to;
    l->ephemeral = ephemeral;
    assert_int_equal(pthread_create(&l->id, NULL, rig_load_run, l), 0);
}

static inline void rig_load_stop(struct rig_load *l)
{
    atomic_store(&l->stop, true);
    pthread_join(l->id, NULL);
}

#endif
