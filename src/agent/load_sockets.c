/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/load_sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { DUMP_BYTES = 64 * 1024, WAIT_S = 1 };

static bool wanted(unsigned state)
{
    return state == AGENT_TCP_ESTABLISHED || state == AGENT_TCP_CLOSE_WAIT || state == AGENT_TCP_LISTEN;
}

/* ---- netlink ---- */

struct request {
    struct nlmsghdr head;
    struct inet_diag_req_v2 body;
};

static int request_send(int fd, uint8_t family, uint16_t port)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct request r = {
        .head = {.nlmsg_len = sizeof r, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = 1u << AGENT_TCP_ESTABLISHED | 1u << AGENT_TCP_CLOSE_WAIT | 1u << AGENT_TCP_LISTEN},
    };
    r.body.id.idiag_sport = htons(port);
    for (;;) {
        ssize_t n = sendto(fd, &r, sizeof r, 0, (const struct sockaddr *)&kernel, sizeof kernel);
        if (n == (ssize_t)sizeof r)
            return 0;
        if (n < 0 && errno != EINTR)
            return err_from_errno(errno);
    }
}

static void hand_on(const struct inet_diag_msg *m, agent_socket_fn *fn, void *ctx)
{
    struct agent_socket s = {.state = m->idiag_state, .owned = m->idiag_inode != 0, .v6 = m->idiag_family == AF_INET6,
                             .rqueue = m->idiag_rqueue};
    uint8_t bytes[16];
    if (!wanted(m->idiag_state))
        return;
    memcpy(bytes, m->id.idiag_src, sizeof bytes);
    addr_from_bytes(&s.local.addr, s.v6 ? ADDR_V6 : ADDR_V4, bytes);
    s.local.port = ntohs(m->id.idiag_sport);
    s.wqueue = s.state == AGENT_TCP_LISTEN ? m->idiag_wqueue : 0;
    fn(ctx, &s);
}

/* One datagram of a dump. 1: more will come; 0: that was all. */
static int dump_read(const uint8_t *data, size_t len, agent_socket_fn *fn, void *ctx)
{
    while (len >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *h = (const void *)data;
        size_t body = h->nlmsg_len - NLMSG_HDRLEN;
        if (h->nlmsg_len < NLMSG_HDRLEN || h->nlmsg_len > len)
            return PM_EPROTO;
        if (h->nlmsg_type == NLMSG_DONE)
            return 0;
        if (h->nlmsg_type == NLMSG_ERROR) {
            const struct nlmsgerr *e = (const void *)(data + NLMSG_HDRLEN);
            return body >= sizeof *e && e->error < 0 ? err_from_errno(-e->error) : PM_EPROTO;
        }
        if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY && body >= sizeof(struct inet_diag_msg))
            hand_on((const void *)(data + NLMSG_HDRLEN), fn, ctx);
        size_t step = NLMSG_ALIGN(h->nlmsg_len);
        if (step > len)
            break;
        data += step;
        len -= step;
    }
    return 1;
}

static int dump_receive(int fd, uint8_t *data, agent_socket_fn *fn, void *ctx)
{
    for (;;) {
        struct sockaddr_nl from = {0};
        struct iovec iov = {data, DUMP_BYTES};
        struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n = recvmsg(fd, &m, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? PM_ETIMEOUT : err_from_errno(errno);
        if (n == 0 || m.msg_flags & MSG_TRUNC)
            return PM_ESHORT;
        if (from.nl_pid != 0)
            continue; /* not from the kernel */
        int more = dump_read(data, (size_t)n, fn, ctx);
        if (more <= 0)
            return more;
    }
}

int agent_sockets_netlink(uint16_t port, agent_socket_fn *fn, void *ctx)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct timeval wait = {.tv_sec = WAIT_S};
    int err = 0, fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return err_from_errno(errno);
    uint8_t *data = malloc(DUMP_BYTES);
    if (!data)
        err = PM_ENOMEM;
    else if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0)
        err = err_from_errno(errno);
    for (size_t i = 0; i < PM_ARRAY_LEN(families) && !err; i++) {
        err = request_send(fd, families[i], port);
        if (!err)
            err = dump_receive(fd, data, fn, ctx);
    }
    free(data);
    close(fd);
    return err;
}

/* ---- /proc/net ---- */

/* The address is printed as the kernel's 32-bit words, in the machine's order. */
static bool address_parse(const char *hex, bool v6, struct addr *out)
{
    uint8_t bytes[16] = {0};
    for (unsigned i = 0; i < (v6 ? 4u : 1u); i++) {
        unsigned word;
        if (sscanf(hex + 8 * (size_t)i, "%8x", &word) != 1)
            return false;
        uint32_t w = word;
        memcpy(bytes + 4 * (size_t)i, &w, sizeof w);
    }
    addr_from_bytes(out, v6 ? ADDR_V6 : ADDR_V4, bytes);
    return true;
}

/* "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 12345 ..." */
static bool line_parse(const char *line, bool v6, struct agent_socket *s)
{
    char local[33];
    unsigned port, state, wqueue, rqueue;
    unsigned long long inode;
    if (sscanf(line, " %*d: %32[0-9A-Fa-f]:%4x %*32[0-9A-Fa-f]:%*4x %2x %8x:%8x %*x:%*x %*x %*d %*d %llu", local, &port,
               &state, &wqueue, &rqueue, &inode) != 6)
        return false;
    *s = (struct agent_socket){.state = (uint8_t)state, .owned = inode != 0, .v6 = v6, .rqueue = rqueue};
    s->local.port = (uint16_t)port;
    return wanted(state) && strlen(local) == (v6 ? 32 : 8) && address_parse(local, v6, &s->local.addr);
}

static int file_parse(const char *path, bool v6, agent_socket_fn *fn, void *ctx)
{
    char *line = NULL;
    size_t size = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return err_from_errno(errno);
    while (getline(&line, &size, f) >= 0) {
        struct agent_socket s;
        if (line_parse(line, v6, &s))
            fn(ctx, &s);
    }
    int err = ferror(f) ? PM_EIO : 0;
    free(line);
    (void)fclose(f);
    return err;
}

int agent_sockets_proc(const char *proc, agent_socket_fn *fn, void *ctx)
{
    char path[PATH_MAX];
    for (int v6 = 0; v6 < 2; v6++) {
        if ((size_t)snprintf(path, sizeof path, "%s/net/tcp%s", proc, v6 ? "6" : "") >= sizeof path)
            return PM_ETOOBIG;
        int err = file_parse(path, v6, fn, ctx);
        if (err && !(v6 && err == PM_ENOTFOUND))
            return err;
    }
    return 0;
}
