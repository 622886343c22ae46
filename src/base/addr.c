/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, 16) == 0;
}

int addr_cmp(const struct addr *a, const struct addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, 16);
}

void addr_from_bytes(struct addr *out, unsigned family, const uint8_t *bytes)
{
    memset(out, 0, sizeof *out);
    if (family == ADDR_V6 && memcmp(bytes, v4_mapped, 12) == 0) {
        family = ADDR_V4;
        bytes += 12;
    }
    out->family = (uint8_t)family;
    memcpy(out->bytes, bytes, family == ADDR_V4 ? 4 : 16);
}

int addr_parse(const char *text, struct addr *out)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        addr_from_bytes(out, ADDR_V4, bytes);
    else if (inet_pton(AF_INET6, text, bytes) == 1)
        addr_from_bytes(out, ADDR_V6, bytes);
    else
        return PM_EPARSE;
    return PM_OK;
}

const char *addr_format(const struct addr *a, char out[ADDR_TEXT])
{
    if (a->family == ADDR_V4)
        inet_ntop(AF_INET, a->bytes, out, ADDR_TEXT);
    else if (a->family == ADDR_V6)
        inet_ntop(AF_INET6, a->bytes, out, ADDR_TEXT);
    else
        strcpy(out, "none");
    return out;
}

static int port_parse(const char *text, uint16_t *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return PM_EPARSE;
    unsigned long v = strtoul(text, &end, 10);
    if (*end || v > 65535)
        return PM_EPARSE;
    *out = (uint16_t)v;
    return PM_OK;
}

int endpoint_parse(const char *text, uint16_t default_port, struct endpoint *out)
{
    char host[64];
    const char *port = NULL, *start = text;
    size_t n = strlen(text);
    memset(out, 0, sizeof *out);
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (!close || (close[1] && close[1] != ':'))
            return PM_EPARSE;
        n = (size_t)(close - text - 1);
        port = close[1] ? close + 2 : NULL;
        text++;
    } else {
        const char *colon = strchr(text, ':');
        if (colon && !strchr(colon + 1, ':')) {
            n = (size_t)(colon - text);
            port = colon + 1;
        }
    }
    if (n == 0 || n >= sizeof host)
        return PM_EPARSE;
    memcpy(host, text, n);
    host[n] = 0;
    /* Brackets are for IPv6 only (RFC 3986 3.2.2). */
    if (addr_parse(host, &out->addr) != PM_OK || (text > start && !strchr(host, ':')))
        return PM_EPARSE;
    if (port)
        return port_parse(port, &out->port);
    if (!default_port)
        return PM_EPARSE;
    out->port = default_port;
    return PM_OK;
}

const char *endpoint_format(const struct endpoint *e, char out[ENDPOINT_TEXT])
{
    char a[ADDR_TEXT];
    addr_format(&e->addr, a);
    snprintf(out, ENDPOINT_TEXT, e->addr.family == ADDR_V6 ? "[%s]:%u" : "%s:%u", a, e->port);
    return out;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (e->addr.family == ADDR_V4) {
        struct sockaddr_in *s = (struct sockaddr_in *)out;
        s->sin_family = AF_INET;
        s->sin_port = htons(e->port);
        memcpy(&s->sin_addr, e->addr.bytes, 4);
        return sizeof *s;
    }
    struct sockaddr_in6 *s = (struct sockaddr_in6 *)out;
    s->sin6_family = AF_INET6;
    s->sin6_port = htons(e->port);
    memcpy(&s->sin6_addr, e->addr.bytes, 16);
    return sizeof *s;
}

int endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *out)
{
    memset(out, 0, sizeof *out);
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *s = (const void *)sa;
        addr_from_bytes(&out->addr, ADDR_V4, (const uint8_t *)&s->sin_addr);
        out->port = ntohs(s->sin_port);
        return PM_OK;
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *s = (const void *)sa;
        addr_from_bytes(&out->addr, ADDR_V6, (const uint8_t *)&s->sin6_addr);
        out->port = ntohs(s->sin6_port);
        return PM_OK;
    }
    return PM_EINVAL;
}

void prefix_make(struct prefix *out, const struct addr *a, unsigned len)
{
    if (len > addr_bits(a))
        len = addr_bits(a);
    out->addr = *a;
    out->len = (uint8_t)len;
    unsigned bytes = addr_len(a), full = len / 8;
    if (full < bytes && len % 8) {
        out->addr.bytes[full] &= (uint8_t)(0xff00u >> (len % 8));
        full++;
    }
    if (full < bytes)
        memset(out->addr.bytes + full, 0, bytes - full);
}

bool prefix_eq(const struct prefix *a, const struct prefix *b)
{
    return a->len == b->len && addr_eq(&a->addr, &b->addr);
}

bool prefix_contains(const struct prefix *p, const struct addr *a)
{
    if (p->addr.family != a->family)
        return false;
    unsigned full = p->len / 8, rest = p->len % 8;
    if (memcmp(p->addr.bytes, a->bytes, full) != 0)
        return false;
    return !rest || ((p->addr.bytes[full] ^ a->bytes[full]) & (0xff00u >> rest) & 0xff) == 0;
}

int prefix_parse(const char *text, struct prefix *out)
{
    char host[64];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    struct addr a;
    if (n == 0 || n >= sizeof host)
        return PM_EPARSE;
    memcpy(host, text, n);
    host[n] = 0;
    if (addr_parse(host, &a) != PM_OK)
        return PM_EPARSE;
    unsigned long len = addr_bits(&a);
    if (slash) {
        char *end;
        if (slash[1] < '0' || slash[1] > '9')
            return PM_EPARSE;
        len = strtoul(slash + 1, &end, 10);
        /* ::ffff:192.0.2.0/120 was folded to IPv4 above; so must its length be. */
        if (a.family == ADDR_V4 && strchr(host, ':'))
            len = len >= 96 ? len - 96 : 999;
        if (*end || len > addr_bits(&a))
            return PM_EPARSE;
    }
    prefix_make(out, &a, (unsigned)len);
    return addr_eq(&out->addr, &a) ? PM_OK : PM_EINVAL;
}

const char *prefix_format(const struct prefix *p, char out[PREFIX_TEXT])
{
    char a[ADDR_TEXT];
    snprintf(out, PREFIX_TEXT, "%s/%u", addr_format(&p->addr, a), p->len);
    return out;
}
