/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/route.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct question {
    struct nlmsghdr head;
    union {
        struct rtmsg route;
        struct ndmsg neighbour;
        struct ifinfomsg link;
    };
    uint8_t attributes[64];
};

static void attribute(struct question *q, uint16_t type, const void *data, uint16_t n)
{
    struct rtattr *a = (struct rtattr *)(void *)((char *)q + NLMSG_ALIGN(q->head.nlmsg_len));
    a->rta_type = type;
    a->rta_len = (uint16_t)RTA_LENGTH(n);
    memcpy(RTA_DATA(a), data, n);
    q->head.nlmsg_len = NLMSG_ALIGN(q->head.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

/* One question, one answer: its message, or NULL with errno. */
static struct nlmsghdr *ask(int fd, struct question *q, void *answer, size_t size)
{
    q->head.nlmsg_flags |= NLM_F_REQUEST;
    if (send(fd, q, q->head.nlmsg_len, 0) < 0)
        return NULL;
    ssize_t n = recv(fd, answer, size, 0);
    struct nlmsghdr *h = answer;
    if (n < (ssize_t)sizeof *h || !NLMSG_OK(h, (size_t)n)) {
        errno = EIO;
        return NULL;
    }
    if (h->nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *e = NLMSG_DATA(h);
        errno = e->error ? -e->error : EIO;
        return NULL;
    }
    return h;
}

/* Attribute of a message whose own part has `fixed` bytes. */
static const void *find(const struct nlmsghdr *h, size_t fixed, uint16_t type, size_t least)
{
    size_t left = h->nlmsg_len - NLMSG_SPACE(fixed);
    const struct rtattr *a = (const void *)((const char *)h + NLMSG_SPACE(fixed));
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == type && RTA_PAYLOAD(a) >= least)
            return RTA_DATA(a);
    return NULL;
}

static uint8_t family_of(const struct addr *a)
{
    return a->family == ADDR_V4 ? AF_INET : AF_INET6;
}

static uint16_t size_of(const struct addr *a)
{
    return a->family == ADDR_V4 ? 4 : 16;
}

static int ask_link(int fd, struct route_to *out)
{
    char answer[8192] __attribute__((aligned(8)));
    struct question q = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof q.link), .nlmsg_type = RTM_GETLINK},
                         .link = {.ifi_index = (int)out->ifindex}};
    const struct nlmsghdr *h = ask(fd, &q, answer, sizeof answer);
    if (!h)
        return err_from_errno(errno);
    const uint8_t *mac = find(h, sizeof q.link, IFLA_ADDRESS, 6);
    const uint32_t *mtu = find(h, sizeof q.link, IFLA_MTU, 4);
    if (mac)
        memcpy(out->own_mac, mac, 6);
    out->mtu = mtu ? *mtu : 1500;
    return PM_OK;
}

/* A datagram to the discard port makes the kernel ask who has the address. */
static void wake(const struct addr *to)
{
    struct endpoint at = {*to, 9};
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(&at, &sa);
    int fd = socket(to->family == ADDR_V4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)!sendto(fd, "", 0, 0, (struct sockaddr *)&sa, n);
    close(fd);
}

static int ask_neighbour(int fd, const struct addr *next, const struct addr *to, struct route_to *out)
{
    char answer[4096] __attribute__((aligned(8)));
    struct question q = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof q.neighbour), .nlmsg_type = RTM_GETNEIGH},
                         .neighbour = {.ndm_family = family_of(next), .ndm_ifindex = (int)out->ifindex}};
    attribute(&q, NDA_DST, next->bytes, size_of(next));
    const struct nlmsghdr *h = ask(fd, &q, answer, sizeof answer);
    const struct ndmsg *n = h ? NLMSG_DATA(h) : NULL;
    const uint8_t *mac = h ? find(h, sizeof q.neighbour, NDA_LLADDR, 6) : NULL;
    /* A stale one is used until something better is known; the datagram makes the kernel look. */
    if (!n || !(n->ndm_state & (NUD_REACHABLE | NUD_PERMANENT | NUD_NOARP)))
        wake(to);
    if (!mac || (n->ndm_state & (NUD_FAILED | NUD_INCOMPLETE)))
        return PM_EAGAIN;
    memcpy(out->mac, mac, 6);
    return PM_OK;
}

static int ask_route(int fd, const struct addr *to, struct route_to *out, struct addr *next)
{
    char answer[8192] __attribute__((aligned(8)));
    struct question q = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof q.route), .nlmsg_type = RTM_GETROUTE},
                         .route = {.rtm_family = family_of(to), .rtm_dst_len = (uint8_t)(size_of(to) * 8)}};
    attribute(&q, RTA_DST, to->bytes, size_of(to));
    const struct nlmsghdr *h = ask(fd, &q, answer, sizeof answer);
    if (!h)
        return errno == ENETUNREACH || errno == EHOSTUNREACH ? PM_ENOTFOUND : err_from_errno(errno);
    const struct rtmsg *r = NLMSG_DATA(h);
    const uint32_t *oif = find(h, sizeof *r, RTA_OIF, 4);
    const void *source = find(h, sizeof *r, RTA_PREFSRC, size_of(to));
    const void *gateway = find(h, sizeof *r, RTA_GATEWAY, size_of(to));
    if (!oif)
        return PM_ENOTFOUND;
    out->ifindex = *oif;
    out->self = r->rtm_type == RTN_LOCAL;
    out->neighbour = !gateway;
    out->source = *to;
    if (source)
        memcpy(out->source.bytes, source, size_of(to));
    *next = *to;
    if (gateway)
        memcpy(next->bytes, gateway, size_of(to));
    return PM_OK;
}

int route_resolve(const struct addr *to, struct route_to *out)
{
    struct addr next;
    memset(out, 0, sizeof *out);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return err_from_errno(errno);
    int err = ask_route(fd, to, out, &next);
    if (!err && !out->self)
        err = ask_link(fd, out);
    if (!err && !out->self)
        err = ask_neighbour(fd, &next, to, out);
    close(fd);
    return err;
}
