/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: what it costs to receive a datagram and send it back with the QR bit set, and nothing
 * else. A DNS server on the same kernel cannot do with less, so its CPU per query is read against
 * this.
 *
 *     udpecho [-t threads] [-w block|try|epoll|epoll-try] [-b batch] ADDRESS:PORT
 *
 * -w says how a thread waits, to compare designs:
 *   block      recvmmsg blocks (MSG_WAITFORONE)
 *   try        recvmmsg that does not block first; blocks when there was nothing
 *   epoll      epoll_wait, then recvmmsg that does not block
 *   epoll-try  recvmmsg that does not block, until it has nothing; then epoll_wait
 * Each thread has its own SO_REUSEPORT socket. Ends with SIGTERM or SIGINT.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"

enum { BATCH_MAX = 64, PACKET = 1536 };
enum wait_mode { WAIT_BLOCK, WAIT_TRY, WAIT_EPOLL, WAIT_EPOLL_TRY };

static enum wait_mode mode;
static unsigned batch = BATCH_MAX;
static struct endpoint listen_at;

struct lane {
    int fd, epfd;
    struct mmsghdr msgs[BATCH_MAX];
    struct iovec iov[BATCH_MAX];
    struct sockaddr_storage names[BATCH_MAX];
    uint8_t data[BATCH_MAX][PACKET];
};

static void die(const char *what)
{
    fprintf(stderr, "udpecho: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void lane_open(struct lane *l)
{
    struct sockaddr_storage ss;
    socklen_t len = endpoint_to_sockaddr(&listen_at, &ss);
    int on = 1, size = 4 << 20;
    l->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        die("socket");
    setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(l->fd, (struct sockaddr *)&ss, len) != 0)
        die("bind");
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN};
    if (l->epfd < 0 || epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->fd, &ev) != 0)
        die("epoll");
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        l->msgs[i].msg_hdr.msg_name = &l->names[i];
        l->msgs[i].msg_hdr.msg_iov = &l->iov[i];
        l->msgs[i].msg_hdr.msg_iovlen = 1;
        l->iov[i].iov_base = l->data[i];
    }
}

static int lane_receive(struct lane *l)
{
    struct epoll_event ev;
    int n = -1;
    switch (mode) {
    case WAIT_BLOCK:
        return recvmmsg(l->fd, l->msgs, batch, MSG_WAITFORONE, NULL);
    case WAIT_TRY:
        n = recvmmsg(l->fd, l->msgs, batch, MSG_DONTWAIT, NULL);
        return n > 0 ? n : recvmmsg(l->fd, l->msgs, batch, MSG_WAITFORONE, NULL);
    case WAIT_EPOLL_TRY:
        n = recvmmsg(l->fd, l->msgs, batch, MSG_DONTWAIT, NULL);
        if (n > 0)
            return n;
        __attribute__((fallthrough));
    case WAIT_EPOLL:
        epoll_wait(l->epfd, &ev, 1, -1);
        return recvmmsg(l->fd, l->msgs, batch, MSG_DONTWAIT, NULL);
    }
    return n;
}

static void *lane_run(void *arg)
{
    struct lane *l = arg;
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        l->iov[i].iov_len = PACKET;
        l->msgs[i].msg_hdr.msg_namelen = sizeof l->names[i];
    }
    for (;;) {
        int n = lane_receive(l);
        if (n <= 0)
            continue;
        for (int i = 0; i < n; i++) {
            l->iov[i].iov_len = l->msgs[i].msg_len;
            if (l->msgs[i].msg_len > 2)
                l->data[i][2] |= 0x80;
        }
        for (int at = 0; at < n;) {
            int sent = sendmmsg(l->fd, l->msgs + at, (unsigned)(n - at), 0);
            at += sent > 0 ? sent : 1;
        }
        for (int i = 0; i < n; i++) {
            l->iov[i].iov_len = PACKET;
            l->msgs[i].msg_hdr.msg_namelen = sizeof l->names[i];
        }
    }
    return NULL;
}

static enum wait_mode mode_parse(const char *text)
{
    static const char *const names[] = {"block", "try", "epoll", "epoll-try"};
    for (unsigned i = 0; i < PM_ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0)
            return (enum wait_mode)i;
    fprintf(stderr, "udpecho: -w block|try|epoll|epoll-try\n");
    exit(2);
}

int main(int argc, char **argv)
{
    unsigned threads = 1;
    for (int c; (c = getopt(argc, argv, "t:w:b:")) != -1;) {
        if (c == 't')
            threads = (unsigned)atoi(optarg);
        else if (c == 'w')
            mode = mode_parse(optarg);
        else if (c == 'b')
            batch = (unsigned)atoi(optarg);
        else
            return 2;
    }
    if (optind + 1 != argc || threads < 1 || batch < 1 || batch > BATCH_MAX ||
        endpoint_parse(argv[optind], 0, &listen_at) != PM_OK) {
        fprintf(
            stderr,
            "usage: udpecho [-t threads] [-w block|try|epoll|epoll-try] [-b 1-64] ADDRESS:PORT\n");
        return 2;
    }
    struct lane *lanes = calloc(threads, sizeof *lanes);
    if (!lanes)
        die("memory");
    for (unsigned i = 0; i < threads; i++)
        lane_open(&lanes[i]);
    for (unsigned i = 0; i < threads; i++) {
        pthread_t id;
        if (pthread_create(&id, NULL, lane_run, &lanes[i]) != 0)
            die("thread");
    }
    pause();
    return 0;
}
