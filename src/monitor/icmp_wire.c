/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/icmp_wire.h"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/uio.h>

enum { V4_REPLY = 0, V4_UNREACH = 3, V4_ECHO = 8, V4_EXCEEDED = 11 };
enum {
    V6_UNREACH = 1,
    V6_TOO_BIG = 2,
    V6_EXCEEDED = 3,
    V6_ECHO = 128,
    V6_REPLY = 129,
    NEXT_ICMP6 = 58,
    NEXT_ICMP = 1
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* RFC 1071. */
static uint16_t checksum(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += get16(p + i);
    if (n & 1)
        sum += (uint32_t)p[n - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

size_t icmp_echo_make(uint8_t *out, unsigned family, uint16_t id, uint16_t seq, const void *payload,
                      size_t n)
{
    memset(out, 0, ICMP_HEADER);
    out[0] = family == ADDR_V4 ? V4_ECHO : V6_ECHO;
    put16(out + 4, id);
    put16(out + 6, seq);
    memcpy(out + ICMP_HEADER, payload, n);
    if (family == ADDR_V4)
        put16(out + 2, checksum(out, ICMP_HEADER + n));
    return ICMP_HEADER + n;
}

/* Steps over an IPv4 header; 0 = no ICMP behind it. */
static size_t over_ipv4(const uint8_t *p, size_t len)
{
    size_t head = len >= 20 ? (size_t)(p[0] & 15) * 4 : 0;
    return head >= 20 && head <= len && p[0] >> 4 == 4 && p[9] == NEXT_ICMP ? head : 0;
}

/* The packet an error quotes: our echo, or somebody else's. */
static void read_quoted(const uint8_t *p, size_t len, unsigned family, struct icmp_seen *out)
{
    size_t head;
    if (family == ADDR_V4) {
        head = over_ipv4(p, len);
        if (!head)
            return;
        addr_from_bytes(&out->to, ADDR_V4, p + 16);
    } else {
        head = 40;
        if (len < head || p[6] != NEXT_ICMP6)
            return;
        addr_from_bytes(&out->to, ADDR_V6, p + 24);
    }
    if (len < head + ICMP_HEADER || p[head] != (family == ADDR_V4 ? V4_ECHO : V6_ECHO))
        return;
    out->id = get16(p + head + 4);
    out->seq = get16(p + head + 6);
    out->kind = ICMP_ERROR;
}

void icmp_read(const uint8_t *p, size_t len, unsigned family, bool ip_header, struct icmp_seen *out)
{
    *out = (struct icmp_seen){.kind = ICMP_OTHER};
    if (ip_header) {
        size_t head = over_ipv4(p, len);
        if (!head)
            return;
        p += head;
        len -= head;
    }
    if (len < ICMP_HEADER)
        return;
    out->type = p[0];
    out->code = p[1];
    if (p[0] == (family == ADDR_V4 ? V4_REPLY : V6_REPLY)) {
        out->kind = ICMP_REPLY;
        out->id = get16(p + 4);
        out->seq = get16(p + 6);
        out->payload = p + ICMP_HEADER;
        out->payload_len = len - ICMP_HEADER;
    } else if (icmp_error_text(family, p[0], p[1])) {
        read_quoted(p + ICMP_HEADER, len - ICMP_HEADER, family, out);
    }
}

const char *icmp_error_text(unsigned family, uint8_t type, uint8_t code)
{
    static const char *const v4[] = {"network unreachable", "host unreachable",
                                     "protocol unreachable", "port unreachable", "packet too big"};
    static const char *const v6[] = {"no route", "administratively prohibited", "beyond scope",
                                     "address unreachable", "port unreachable"};
    if (family == ADDR_V4) {
        if (type == V4_UNREACH)
            return code < 5 ? v4[code] : "administratively prohibited or unknown";
        return type == V4_EXCEEDED ? "hop limit exceeded" : NULL;
    }
    if (type == V6_UNREACH)
        return code < 5 ? v6[code] : "rejected";
    if (type == V6_TOO_BIG)
        return "packet too big";
    return type == V6_EXCEEDED ? "hop limit exceeded" : NULL;
}

static void read_extended(const struct sock_extended_err *e, struct icmp_queued *out)
{
    struct endpoint who;
    out->error = (int)e->ee_errno;
    out->from_network = e->ee_origin == SO_EE_ORIGIN_ICMP || e->ee_origin == SO_EE_ORIGIN_ICMP6;
    out->type = e->ee_type;
    out->code = e->ee_code;
    /* The offender's address lies behind the structure (ip(7)). */
    if (out->from_network &&
        endpoint_from_sockaddr((const struct sockaddr *)(const void *)(e + 1), &who) == 0)
        out->offender = who.addr;
}

bool icmp_errqueue(int fd, struct icmp_queued *out)
{
    struct sockaddr_storage name;
    union {
        struct cmsghdr align;
        char bytes[512];
    } control;
    *out = (struct icmp_queued){0};
    struct iovec iov = {out->bytes, sizeof out->bytes};
    struct msghdr msg = {.msg_name = &name,
                         .msg_namelen = sizeof name,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (n < 0)
        return false;
    out->len = (size_t)n;
    if (!msg.msg_namelen || endpoint_from_sockaddr((const struct sockaddr *)&name, &out->target))
        out->target = (struct endpoint){0};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
        if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
            (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
            read_extended((const struct sock_extended_err *)(const void *)CMSG_DATA(c), out);
    return true;
}
