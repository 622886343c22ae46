/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's packet program on real sockets, in a network namespace of its own: a veth pair, we are the balancer at one
 * end with raw frames, and a server listens on the VIPs on lo. Skipped, with the reason, without root.
 */
#ifndef PM_TESTS_RELAY_NODE_LAB_H
#define PM_TESTS_RELAY_NODE_LAB_H

#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include "veth.h"
#include "relay/node.h"

static struct node *node;
static bool hit[NODE_COUNTER_COUNT];
static struct relay_count was[NODE_COUNTER_COUNT];

/* ---- what comes of a frame ---- */

static inline void inject(const struct frame *f)
{
    node_counters(node, was);
    assert_int_equal(send(wire, f->data, f->len, 0), f->len);
}

struct moved_by {
    enum node_counter which;
    unsigned by;
};

static inline bool reached(const struct moved_by *w, size_t n, struct relay_count *now)
{
    bool all = true;
    node_counters(node, now);
    for (size_t i = 0; i < n; i++)
        all &= now[w[i].which].packets - was[w[i].which].packets >= w[i].by;
    return all;
}

/* Exactly these counters move; the frame may take its time. */
static inline void moved(size_t n, const struct moved_by *w, const char *file, int line)
{
    struct relay_count now[NODE_COUNTER_COUNT];
    for (int ms = 0; ms < WAIT_MS && !reached(w, n, now); ms++)
        usleep(1000);
    for (enum node_counter c = 0; c < NODE_COUNTER_COUNT; c++) {
        unsigned expected = 0;
        for (size_t i = 0; i < n; i++)
            expected += w[i].which == c ? w[i].by : 0;
        if (now[c].packets - was[c].packets != expected)
            fail_msg("%s:%d: %s moved by %u, not %u", file, line, node_counter_name(c),
                     (unsigned)(now[c].packets - was[c].packets), expected);
        hit[c] |= expected;
    }
}
#define MOVED(...)                                                                                                     \
    do {                                                                                                               \
        const struct moved_by w_[] = {__VA_ARGS__};                                                                    \
        moved(sizeof w_ / sizeof *w_, w_, __FILE__, __LINE__);                                                         \
    } while (0)
#define ONE(c)                                                                                                         \
    {                                                                                                                  \
        NODE_##c, 1                                                                                                    \
    }

static inline void moved_nothing(const char *file, int line)
{
    usleep(20000);
    moved(0, NULL, file, line);
}

/* ---- a client by way of the balancer ---- */

static inline void say(const struct client *c, uint8_t kind, uint8_t flags, const char *text)
{
    struct frame inner, f;
    inner_of(c, &inner, flags, text);
    wrap(c, &f, &inner, kind, 77);
    inject(&f);
}

static inline int accepted(const struct client *c)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    struct sockaddr_storage sa;
    struct endpoint peer, expected = at(c->from);
    socklen_t n = sizeof sa;
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
    int fd = accept4(listener, (struct sockaddr *)&sa, &n, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&sa;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = v6->sin6_port};
        memcpy(&v4.sin_addr, v6->sin6_addr.s6_addr + 12, 4);
        memcpy(&sa, &v4, sizeof v4);
    }
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sa, &peer), 0);
    assert_int_equal(peer.port, expected.port);
    assert_true(addr_eq(&peer.addr, &expected.addr));
    const struct timeval limit = {.tv_sec = WAIT_MS / 1000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    return fd;
}

static inline void reads(int fd, const char *text)
{
    char got[512];
    size_t n = strlen(text), have = 0;
    while (have < n) {
        ssize_t more = read(fd, got + have, n - have);
        assert_true(more > 0);
        have += (size_t)more;
    }
    assert_memory_equal(got, text, n);
}

static inline void reset(int fd)
{
    char byte;
    assert_int_equal(read(fd, &byte, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    close(fd);
}

/* Opens with a request; the server's end. */
static inline int open_connection(struct client *c)
{
    say(c, HANDOFF_OPEN, PSH | ACK, GET);
    MOVED(ONE(RECEIVED), ONE(ADOPTED));
    int fd = accepted(c);
    reads(fd, GET);
    c->seq += sizeof GET - 1;
    return fd;
}

/* The server says something, and the client's kernel sees it. */
static inline void server_says(int fd, const struct client *c, const char *text)
{
    struct frame f;
    struct endpoint client = at(c->from);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    do {
        assert_true(heard(&f, IPPROTO_TCP, WAIT_MS));
    } while (load16(&f, f.l4 + 2) != client.port || f.len - f.l4 - (f.data[f.l4 + 12] >> 4) * 4u != strlen(text));
    assert_int_equal(load16(&f, f.l4), 80);
    assert_int_equal(load32(&f, f.l4 + 4), c->ack); /* as if it had done the handshake itself */
    assert_int_equal(load32(&f, f.l4 + 8), c->seq);
    assert_memory_equal(f.data + f.l4 + (f.data[f.l4 + 12] >> 4) * 4, text, strlen(text));
}

/* The connection after one request, one answer, and its acknowledgement. */
static inline int quiet_connection(struct client *c)
{
    int fd = open_connection(c);
    server_says(fd, c, "the answer");
    c->ack += 10;
    say(c, HANDOFF_PACKET, ACK, "");
    MOVED(ONE(RECEIVED), ONE(DELIVERED));
    return fd;
}

/* The hand-off packet that comes back: the other way between the same hosts, the packet unchanged, a true tag. */
static inline struct handoff comes_back(const struct client *c, uint8_t flags, const char *text)
{
    struct frame f, inner, expected;
    struct handoff h, made = {0};
    inner_of(c, &inner, flags, text);
    do {
        assert_true(heard(&f, IPPROTO_UDP, WAIT_MS));
    } while (load16(&f, f.l4 + 2) != RELAY_PORT);
    tunnel_build(&expected, &inner, us[c->over], balancers[c->over], &made);
    assert_int_equal(f.len, expected.len);
    assert_memory_equal(f.data, "\x02\0\0\0\0\xcc\x02\0\0\0\0\x99", 12);
    assert_memory_equal(f.data + 12, expected.data + 12, f.l4 + 12 - 12);
    assert_memory_equal(f.data + f.l4 + 36, inner.data + 14, inner.len - 14);
    memcpy(&h, f.data + f.l4 + 12, sizeof h);
    assert_int_equal(h.version, HANDOFF_VERSION);
    assert_int_equal(h.key % HANDOFF_KEYS, SEND_KEY);
    assert_int_equal(h.tries, 0);
    assert_int_equal(h.target, 77);
    uint8_t to[16];
    struct endpoint balancer = at(balancers[c->over]);
    relay_addr(to, &balancer.addr);
    assert_true(h.tag == tag_of(&h, to, inner.data + 14, inner.len - 14));
    return h;
}

static inline bool nothing_comes_back(void)
{
    struct frame f;
    return !heard(&f, IPPROTO_UDP, 50);
}

/* The client hears nothing of what has been done. */
static inline void not_reset(const struct client *c)
{
    struct frame f;
    while (heard(&f, IPPROTO_TCP, 50))
        assert_true(load16(&f, f.l4 + 2) != at(c->from).port || !(f.data[f.l4 + 13] & (RST | FIN)));
}

/* ---- set up ---- */

static inline void believe(void)
{
    struct siphash_key keys[HANDOFF_KEYS] = {test_key(0), test_key(1), test_key(2), test_key(3)};
    for (int i = 0; i < 2; i++) {
        struct endpoint balancer = at(balancers[i]);
        assert_int_equal(node_trust(node, &balancer.addr, keys), 0);
    }
}

static inline int set_up(void **state)
{
    struct buf why = BUF_INIT;
    if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
        fprintf(stderr, "# a network namespace of its own needs root\n");
        return 0;
    }
    if (!network() || !sockets())
        return -1;
    if (node_open(true, &node, &why) != 0 || node_attach(node, if_nametoindex("n0"), &why) != 0) {
        fprintf(stderr, "# %s\n", buf_str(&why));
        node_close(node);
        node = NULL;
    }
    if (node)
        believe();
    buf_fini(&why);
    return 0;
}

static inline int tear_down(void **state)
{
    node_close(node);
    if (wire >= 0)
        close(wire);
    if (listener >= 0)
        close(listener);
    return 0;
}

static inline int need(void **state)
{
    if (!node)
        skip();
    return 0;
}

#endif
