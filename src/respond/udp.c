/* SPDX-License-Identifier: Apache-2.0 */
#include "respond/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "base/arena.h"

enum {
    BATCH = 64,
    QUERY_MAX = 1536, /* no query is near this long; longer ones are dropped as truncated */
    DNS_HEADER = 12,
    EPOLL_ROUNDS =
        4, /* full batches from one of several sockets before the others get their turn */
    DRAIN_ROUNDS = 256, /* batches taken from a socket that is given up */
    EVENTS = 64,
};

union name {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Room for one IP_PKTINFO or IPV6_PKTINFO, and a stranger or two an inherited socket may have switched on. */
union control {
    struct cmsghdr align;
    uint8_t bytes[128];
};

struct udp_thread {
    struct respond_thread *t;
    int epfd;
    unsigned failures; /* receive errors in a row */
    size_t out_cap, out_stride;
    uint8_t *out;
    struct mmsghdr rx[BATCH], tx[BATCH];
    struct iovec rx_iov[BATCH], tx_iov[BATCH];
    union name names[BATCH];
    union control rx_control[BATCH], tx_control[BATCH];
    /* One cache line more than a power of two: buffers of one stride would all fall on the same cache sets. */
    uint8_t in[BATCH][QUERY_MAX + 64];
};

struct udp_thread *udp_thread_new(struct respond_thread *t)
{
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0)
        return NULL;
    struct udp_thread *u = mem_alloc(sizeof *u);
    u->t = t;
    u->epfd = epfd;
    u->out_cap = t->opts->udp_answer_max;
    u->out_stride = ((u->out_cap + 63) / 64 | 1) * 64;
    u->out = mem_alloc(u->out_stride * BATCH);
    for (unsigned i = 0; i < BATCH; i++) {
        u->rx_iov[i] = (struct iovec){u->in[i], QUERY_MAX};
        u->rx[i].msg_hdr.msg_name = &u->names[i];
        u->rx[i].msg_hdr.msg_namelen = sizeof u->names[i];
        u->rx[i].msg_hdr.msg_iov = &u->rx_iov[i];
        u->rx[i].msg_hdr.msg_iovlen = 1;
        u->rx[i].msg_hdr.msg_control = &u->rx_control[i];
        u->rx[i].msg_hdr.msg_controllen = sizeof u->rx_control[i];
        u->tx_iov[i].iov_base = u->out + u->out_stride * i;
        u->tx[i].msg_hdr.msg_iov = &u->tx_iov[i];
        u->tx[i].msg_hdr.msg_iovlen = 1;
    }
    return u;
}

void udp_thread_free(struct udp_thread *u)
{
    if (!u)
        return;
    close(u->epfd);
    free(u->out);
    free(u);
}

/* ---- one datagram ---- */

/* inline and without the memset of endpoint_from_sockaddr: this is once per query. */
static inline void peer_client(const union name *n, struct endpoint *out)
{
    if (n->sa.sa_family == AF_INET) {
        out->addr = (struct addr){.family = ADDR_V4};
        memcpy(out->addr.bytes, &n->v4.sin_addr, 4);
        out->port = ntohs(n->v4.sin_port);
    } else {
        addr_from_bytes(&out->addr, ADDR_V6, (const uint8_t *)&n->v6.sin6_addr);
        out->port = ntohs(n->v6.sin6_port);
    }
}

/*
 * On a wildcard socket: the address asked, and the control message that makes the answer leave from it. The interface
 * is left to routing, except for link-local addresses, which mean nothing without. False: not an address to answer from.
 */
static bool local_learn(struct msghdr *in, struct endpoint *local, union control *control,
                        struct msghdr *out)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(in); c; c = CMSG_NXTHDR(in, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            if (IN_MULTICAST(ntohl(info.ipi_addr.s_addr)))
                return false;
            addr_from_bytes(&local->addr, ADDR_V4, (const uint8_t *)&info.ipi_spec_dst);
            info.ipi_ifindex = 0;
            control->align = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IP, IP_PKTINFO};
            memcpy(CMSG_DATA(&control->align), &info, sizeof info);
            out->msg_controllen = CMSG_SPACE(sizeof info);
            out->msg_control = control;
            return true;
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr))
                return false;
            addr_from_bytes(&local->addr, ADDR_V6, (const uint8_t *)&info.ipi6_addr);
            if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                info.ipi6_ifindex = 0;
            control->align = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IPV6, IPV6_PKTINFO};
            memcpy(CMSG_DATA(&control->align), &info, sizeof info);
            out->msg_controllen = CMSG_SPACE(sizeof info);
            out->msg_control = control;
            return true;
        }
    }
    return true; /* the system did not say: it chooses the source */
}

/* Answers message i into tx place k; false = nothing to send. */
static inline bool datagram_answer(struct udp_thread *u, const struct listen_socket *s, unsigned i,
                                   unsigned k)
{
    struct respond_thread *t = u->t;
    struct msghdr *in = &u->rx[i].msg_hdr, *out = &u->tx[k].msg_hdr;
    struct respond_peer peer;
    size_t len = u->rx[i].msg_len;
    respond_count(t->stats,
                  s->at.addr.family == ADDR_V4 ? RESPOND_UDP4_QUERIES : RESPOND_UDP6_QUERIES);
    peer_client(&u->names[i], &peer.client);
    peer.local = s->at;
    peer.tcp = false;
    out->msg_control = NULL;
    out->msg_controllen = 0;
    enum respond_counter why = RESPOND_COUNTER_COUNT;
    if (PM_UNLIKELY(len < DNS_HEADER))
        why = len == 0 ? RESPOND_UDP_EMPTY : RESPOND_MALFORMED;
    else if (PM_UNLIKELY(in->msg_flags & MSG_TRUNC))
        why = RESPOND_UDP_TRUNCATED;
    else if (PM_UNLIKELY(peer.client.port == 0))
        why = RESPOND_UDP_PORT_ZERO;
    else if (s->wildcard && !local_learn(in, &peer.local, &u->tx_control[k], out))
        why = RESPOND_UDP_MULTICAST;
    if (PM_UNLIKELY(why != RESPOND_COUNTER_COUNT)) {
        respond_count(t->stats, why);
        return false;
    }
    size_t n = t->opts->answer(t->opts->ctx, t, u->in[i], len, &peer, u->out + u->out_stride * k,
                               u->out_cap);
    if (n == 0) {
        respond_count(t->stats, RESPOND_DROPPED);
        return false;
    }
    u->tx_iov[k].iov_len = n;
    out->msg_name = in->msg_name;
    out->msg_namelen = in->msg_namelen;
    return true;
}

/* ---- a batch ---- */

static void batch_send(struct udp_thread *u, int fd, unsigned n)
{
    for (unsigned at = 0; at < n;) {
        int sent = sendmmsg(fd, u->tx + at, n - at, MSG_DONTWAIT);
        if (sent > 0) {
            at += (unsigned)sent;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            respond_count_at(&u->t->stats->n[RESPOND_UDP_SEND_FULL], n - at);
            return;
        } else if (errno != EINTR) {
            respond_count(
                u->t->stats,
                RESPOND_UDP_SEND_ERRORS); /* the first of them; the others have their try */
            at++;
        }
    }
}

static void batch_serve(struct udp_thread *u, const struct listen_socket *s, unsigned n)
{
    unsigned k = 0;
    for (unsigned i = 0; i < n; i++)
        k += datagram_answer(u, s, i, k);
    batch_send(u, s->fd, k);
    for (unsigned i = 0; i < n; i++) {
        u->rx[i].msg_hdr.msg_namelen = sizeof u->names[i];
        u->rx[i].msg_hdr.msg_controllen = sizeof u->rx_control[i];
    }
    respond_count(u->t->stats, RESPOND_UDP_BATCHES);
    u->failures = 0;
}

static void receive_failed(struct udp_thread *u)
{
    if (errno == EINTR || errno == EAGAIN)
        return;
    respond_count(u->t->stats, RESPOND_UDP_RECEIVE_ERRORS);
    if (++u->failures > 16) { /* an error that stays (interface gone) must not eat a core */
        rcu_thread_offline();
        nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
        rcu_thread_online();
    }
}

/* Serves what is there without waiting; at most `rounds` full batches. */
static void socket_serve(struct udp_thread *u, const struct listen_socket *s, unsigned rounds)
{
    for (int n = BATCH; rounds-- > 0 && n == BATCH;) {
        n = recvmmsg(s->fd, u->rx, BATCH, MSG_DONTWAIT, NULL);
        if (n > 0)
            batch_serve(u, s, (unsigned)n);
        else if (n < 0)
            receive_failed(u);
        rcu_quiescent_state();
    }
}

/* ---- the thread ---- */

static void wait_one(struct udp_thread *u, const struct listen_socket *s)
{
    rcu_thread_offline();
    int n = recvmmsg(s->fd, u->rx, BATCH, MSG_WAITFORONE, NULL);
    if (PM_UNLIKELY(n < 0 && errno == EAGAIN)) {
        /* Not blocking any more: another process that shares the socket changed it. Do not spin. */
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        if (poll(&p, 1, -1) == 1)
            n = recvmmsg(s->fd, u->rx, BATCH, MSG_DONTWAIT, NULL);
    }
    rcu_thread_online();
    if (n > 0)
        batch_serve(u, s, (unsigned)n);
    else if (n < 0)
        receive_failed(u);
}

static void wait_many(struct udp_thread *u)
{
    struct epoll_event events[EVENTS];
    rcu_thread_offline();
    int n = epoll_wait(u->epfd, events, EVENTS, -1);
    rcu_thread_online();
    for (int i = 0; i < n; i++)
        socket_serve(u, &u->t->have.items[events[i].data.u32], EPOLL_ROUNDS);
}

/* Serves the wanted set instead of the present one. What waits in a socket that may now be closed is answered first. */
static void set_switch(struct udp_thread *u, struct listen_set *want)
{
    struct respond_thread *t = u->t;
    struct epoll_event ev = {.events = EPOLLIN};
    for (size_t i = 0; i < t->have.count; i++) {
        bool stays = false;
        for (size_t k = 0; k < want->count; k++)
            stays |= want->items[k].fd == t->have.items[i].fd;
        if (!stays)
            socket_serve(u, &t->have.items[i], DRAIN_ROUNDS);
        /* Not in it when it was the only one, which is as good. */
        (void)epoll_ctl(u->epfd, EPOLL_CTL_DEL, t->have.items[i].fd, NULL);
    }
    free(t->have.items);
    t->have = *want;
    t->error = PM_OK;
    for (size_t i = 0; t->have.count > 1 && i < t->have.count; i++) {
        ev.data.u32 = (uint32_t)i;
        if (epoll_ctl(u->epfd, EPOLL_CTL_ADD, t->have.items[i].fd, &ev) != 0)
            t->error = err_from_errno(errno);
    }
    atomic_store_explicit(&t->want, NULL, memory_order_release);
}

void udp_thread_run(struct udp_thread *u)
{
    struct respond_thread *t = u->t;
    while (!atomic_load_explicit(&t->stop, memory_order_acquire)) {
        struct listen_set *want = atomic_load_explicit(&t->want, memory_order_acquire);
        if (PM_UNLIKELY(want != NULL))
            set_switch(u, want);
        else if (t->have.count == 1)
            wait_one(u, &t->have.items[0]);
        else
            wait_many(u);
    }
    atomic_store_explicit(&t->stop_seen, true, memory_order_release);
    for (size_t i = 0; i < t->have.count; i++)
        socket_serve(u, &t->have.items[i], DRAIN_ROUNDS);
}
