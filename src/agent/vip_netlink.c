/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vip_netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 64 * 1024, WAIT_S = 2, LIST_TRIES = 8 };

struct request {
    struct nlmsghdr head;
    struct ifaddrmsg addr;
    uint8_t attributes[128];
};

int agent_netlink_open(struct agent_netlink *n)
{
    struct timeval wait = {.tv_sec = WAIT_S};
    n->seq = 0;
    n->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (n->fd < 0)
        return err_from_errno(errno);
    if (setsockopt(n->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0)
        return 0;
    int err = err_from_errno(errno);
    agent_netlink_close(n);
    return err;
}

void agent_netlink_close(struct agent_netlink *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

/* ---- requests ---- */

static void attribute(struct request *r, unsigned short type, const void *data, size_t len)
{
    struct rtattr a = {.rta_len = (unsigned short)RTA_LENGTH(len), .rta_type = type};
    size_t at = NLMSG_ALIGN(r->head.nlmsg_len);
    uint8_t *to = (uint8_t *)r + at;
    memcpy(to, &a, sizeof a);
    memcpy(to + RTA_LENGTH(0), data, len);
    r->head.nlmsg_len = (unsigned)(at + RTA_ALIGN(a.rta_len));
}

static void request_init(struct request *r, struct agent_netlink *n, unsigned short type, unsigned flags,
                         unsigned ifindex)
{
    memset(r, 0, sizeof *r);
    r->head.nlmsg_len = NLMSG_LENGTH(sizeof r->addr);
    r->head.nlmsg_type = type;
    r->head.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
    r->head.nlmsg_seq = ++n->seq;
    r->addr.ifa_index = ifindex;
}

static void request_address(struct request *r, const struct addr *a)
{
    r->addr.ifa_family = a->family == ADDR_V4 ? AF_INET : AF_INET6;
    r->addr.ifa_prefixlen = (uint8_t)addr_bits(a);
    attribute(r, IFA_LOCAL, a->bytes, addr_len(a));
    attribute(r, IFA_ADDRESS, a->bytes, addr_len(a));
}

static int request_send(struct agent_netlink *n, const struct request *r)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    for (;;) {
        if (sendto(n->fd, r, r->head.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof kernel) >= 0)
            return 0;
        if (errno != EINTR)
            return err_from_errno(errno);
    }
}

/* ---- answers ---- */

struct listing {
    unsigned ifindex;
    agent_netlink_fn *fn;
    void *ctx;
    bool interrupted; /* addresses changed meanwhile: some may be missing */
};

static bool label_is_ours(const char *label, size_t len)
{
    size_t n = strnlen(label, len), end = strlen(AGENT_VIP_LABEL);
    return n > end && memcmp(label + n - end, AGENT_VIP_LABEL, end) == 0;
}

static void address_read(const struct nlmsghdr *h, const struct listing *l)
{
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    unsigned family = m->ifa_family == AF_INET ? ADDR_V4 : ADDR_V6;
    struct addr a = {.family = (uint8_t)family};
    const uint8_t *local = NULL, *address = NULL;
    bool marked = false;
    if (m->ifa_index != l->ifindex || m->ifa_prefixlen != addr_bits(&a))
        return;
    int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof *m));
    for (const struct rtattr *t = (const void *)((const uint8_t *)m + NLMSG_ALIGN(sizeof *m)); RTA_OK(t, left);
         t = RTA_NEXT(t, left)) {
        size_t len = RTA_PAYLOAD(t);
        if (t->rta_type == IFA_LOCAL && len == addr_len(&a))
            local = RTA_DATA(t);
        else if (t->rta_type == IFA_ADDRESS && len == addr_len(&a))
            address = RTA_DATA(t);
        else if (t->rta_type == IFA_PROTO && len >= 1)
            marked |= *(const uint8_t *)RTA_DATA(t) == AGENT_VIP_PROTO;
        else if (t->rta_type == IFA_LABEL)
            marked |= label_is_ours(RTA_DATA(t), len);
    }
    local = local ? local : address;
    if (!local)
        return;
    addr_from_bytes(&a, family, local);
    l->fn(l->ctx, &a, marked);
}

/* One datagram. 1: more will come; 0: that was the end. */
static int answer_read(const struct agent_netlink *n, const uint8_t *data, size_t len, struct listing *l)
{
    while (len >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *h = (const void *)data;
        size_t step = NLMSG_ALIGN(h->nlmsg_len);
        if (h->nlmsg_len < NLMSG_HDRLEN || h->nlmsg_len > len)
            return PM_EPROTO;
        if (h->nlmsg_seq == n->seq) {
            if (l && h->nlmsg_flags & NLM_F_DUMP_INTR)
                l->interrupted = true;
            if (h->nlmsg_type == NLMSG_DONE)
                return 0;
            if (h->nlmsg_type == NLMSG_ERROR) {
                const struct nlmsgerr *e = NLMSG_DATA(h);
                return h->nlmsg_len < NLMSG_LENGTH(sizeof *e) ? PM_EPROTO : e->error ? err_from_errno(-e->error) : 0;
            }
            if (l && h->nlmsg_type == RTM_NEWADDR && h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifaddrmsg)))
                address_read(h, l);
        }
        if (step > len)
            break;
        data += step;
        len -= step;
    }
    return 1;
}

/* Sends and reads to the end of the answer: the acknowledgement, or the end of a list. */
static int transact(struct agent_netlink *n, const struct request *r, struct listing *l)
{
    int err = request_send(n, r), more = 1;
    if (err)
        return err;
    uint8_t *data = malloc(ANSWER_BYTES);
    if (!data)
        return PM_ENOMEM;
    while (more > 0) {
        struct sockaddr_nl from = {0};
        struct iovec iov = {data, ANSWER_BYTES};
        struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1};
        ssize_t got = recvmsg(n->fd, &m, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            more = errno == EAGAIN ? PM_ETIMEOUT : err_from_errno(errno);
        else if (m.msg_flags & MSG_TRUNC)
            more = PM_ESHORT;
        else if (from.nl_pid == 0)
            more = answer_read(n, data, (size_t)got, l);
    }
    free(data);
    return more;
}

/* ---- what may be asked ---- */

int agent_netlink_add(struct agent_netlink *n, unsigned ifindex, const char *device, const struct addr *a)
{
    struct request r;
    char label[IF_NAMESIZE];
    uint8_t proto = AGENT_VIP_PROTO;
    request_init(&r, n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, ifindex);
    request_address(&r, a);
    /* Scope host: never chosen as the source of what this host says itself. IPv6 has no such scope to set. */
    r.addr.ifa_scope = a->family == ADDR_V4 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
    r.addr.ifa_flags = a->family == ADDR_V6 ? IFA_F_NODAD : 0;
    int len = snprintf(label, sizeof label, "%s%s", device, AGENT_VIP_LABEL);
    if (a->family == ADDR_V4 && len > 0 && (size_t)len < sizeof label)
        attribute(&r, IFA_LABEL, label, (size_t)len + 1);
    attribute(&r, IFA_PROTO, &proto, sizeof proto);
    return transact(n, &r, NULL);
}

int agent_netlink_del(struct agent_netlink *n, unsigned ifindex, const struct addr *a)
{
    struct request r;
    request_init(&r, n, RTM_DELADDR, NLM_F_ACK, ifindex);
    request_address(&r, a);
    return transact(n, &r, NULL);
}

int agent_netlink_list(struct agent_netlink *n, unsigned ifindex, agent_netlink_fn *fn, void *ctx)
{
    struct request r;
    for (int i = 0; i < LIST_TRIES; i++) {
        struct listing l = {.ifindex = ifindex, .fn = fn, .ctx = ctx};
        request_init(&r, n, RTM_GETADDR, NLM_F_DUMP, ifindex);
        int err = transact(n, &r, &l);
        if (err || !l.interrupted)
            return err;
    }
    return PM_EBUSY;
}
