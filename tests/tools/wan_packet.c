/* SPDX-License-Identifier: Apache-2.0 */
/* What a router does with the bytes of a packet. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "wan.h"

static uint32_t sum_bytes(const uint8_t *p, size_t n, uint32_t sum)
{
    for (; n > 1; p += 2, n -= 2)
        sum += (uint32_t)(p[0] << 8 | p[1]);
    return n ? sum + (uint32_t)(p[0] << 8) : sum;
}

static void put_checksum(uint8_t *at, uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    at[0] = (uint8_t)(~sum >> 8);
    at[1] = (uint8_t)~sum;
}

enum hop packet_hop(struct packet *p)
{
    uint8_t *d = p->data;
    if (p->len >= 40 && d[0] >> 4 == 6) {
        if (d[7] <= 1)
            return HOP_EXPIRED;
        d[7]--;
        return HOP_ON;
    }
    if (p->len < 20 || d[0] >> 4 != 4 || (d[0] & 15) < 5 || (d[0] & 15) * 4u > p->len)
        return HOP_BAD;
    if (d[8] <= 1)
        return HOP_EXPIRED;
    d[8]--;
    uint32_t sum = (uint32_t)(d[10] << 8 | d[11]) + 0x100; /* RFC 1141: the TTL is the high byte of its word */
    sum = (sum & 0xffff) + (sum >> 16);
    d[10] = (uint8_t)(sum >> 8);
    d[11] = (uint8_t)sum;
    return HOP_ON;
}

static bool prefix_has(const struct prefix *p, const uint8_t *addr)
{
    unsigned bytes = p->bits / 8, rest = p->bits % 8;
    return memcmp(p->addr, addr, bytes) == 0 &&
           (!rest || ((p->addr[bytes] ^ addr[bytes]) & (uint8_t)(0xff00 >> rest)) == 0);
}

/* Bits of the longest prefix of a site that has the address; -1: none. */
static int site_match(const struct site *s, int family, const uint8_t *addr)
{
    int best = -1;
    for (unsigned i = 0; i < s->prefix_count; i++) {
        const struct prefix *p = &s->prefixes[i];
        if (p->family == family && (int)p->bits > best && prefix_has(p, addr))
            best = (int)p->bits;
    }
    return best;
}

int packet_route(const struct packet *p, unsigned from, bool *own)
{
    bool v6 = p->data[0] >> 4 == 6;
    const uint8_t *addr = v6 ? p->data + 24 : p->data + 16;
    int best = -1, best_bits = -1;
    bool best_reached = false;
    *own = false;
    for (unsigned i = 0; i < site_count; i++) {
        int bits = site_match(&sites[i], v6 ? AF_INET6 : AF_INET, addr);
        if (bits < 0 || bits < best_bits)
            continue;
        if (i == from) {
            *own = true; /* anycast: the kernel has it not, so another must have it */
            continue;
        }
        bool reached = !sites[i].down && !pairs[from][i].cut && !pairs[i][from].cut;
        if (bits > best_bits || (reached && !best_reached) ||
            (reached == best_reached && pairs[from][i].delay_ns < pairs[from][best].delay_ns)) {
            best = (int)i;
            best_bits = bits;
            best_reached = reached;
        }
    }
    return best;
}

/* RFC 1122 3.2.2, RFC 4443 2.4 (e): none about ICMP errors, later fragments, multicast, or addresses that are no host's. */
static bool may_complain(const struct packet *p)
{
    const uint8_t *d = p->data;
    if (d[0] >> 4 == 6)
        return d[24] != 0xff && d[8] != 0xff && (d[6] != IPPROTO_ICMPV6 || (p->len > 40 && d[40] >= 128));
    unsigned header = (d[0] & 15) * 4u;
    bool later_fragment = (d[6] & 0x1f) || d[7];
    bool error = d[9] == IPPROTO_ICMP && p->len > header && d[header] != 8 && d[header] != 0;
    return !later_fragment && !error && d[16] < 224 && d[12] != 0 && d[12] < 224;
}

static bool icmp4(const struct packet *about, const struct site *r, enum icmp_error what, struct packet *out)
{
    size_t quoted = (about->data[0] & 15) * 4u + 8u; /* RFC 792: the header and 64 bits */
    if (quoted > about->len)
        quoted = about->len;
    uint8_t *d = out->data;
    out->len = (unsigned)(28 + quoted);
    memset(d, 0, 28);
    d[0] = 0x45;
    d[2] = (uint8_t)(out->len >> 8);
    d[3] = (uint8_t)out->len;
    d[8] = 64;
    d[9] = IPPROTO_ICMP;
    memcpy(d + 12, r->router4, 4);
    memcpy(d + 16, about->data + 12, 4);
    put_checksum(d + 10, sum_bytes(d, 20, 0));
    d[20] = what == ICMP_TTL_EXCEEDED ? 11 : 3;
    d[21] = what == ICMP_NO_HOST ? 1 : 0;
    memcpy(d + 28, about->data, quoted);
    put_checksum(d + 22, sum_bytes(d + 20, out->len - 20, 0));
    return true;
}

static bool icmp6(const struct packet *about, const struct site *r, enum icmp_error what, struct packet *out)
{
    size_t quoted = about->len < 1280 - 48 ? about->len : 1280 - 48; /* RFC 4443 3.1: within the minimum MTU */
    uint8_t *d = out->data;
    unsigned body = (unsigned)(8 + quoted);
    out->len = 40 + body;
    memset(d, 0, 48);
    d[0] = 0x60;
    d[4] = (uint8_t)(body >> 8);
    d[5] = (uint8_t)body;
    d[6] = IPPROTO_ICMPV6;
    d[7] = 64;
    memcpy(d + 8, r->router6, 16);
    memcpy(d + 24, about->data + 8, 16);
    d[40] = what == ICMP_TTL_EXCEEDED ? 3 : 1;
    d[41] = what == ICMP_NO_HOST ? 3 : 0;
    memcpy(d + 48, about->data, quoted);
    put_checksum(d + 42, sum_bytes(d + 40, body, sum_bytes(d + 8, 32, body + IPPROTO_ICMPV6)));
    return true;
}

bool packet_icmp_error(const struct packet *about, const struct site *router, enum icmp_error what, struct packet *out)
{
    bool v6 = about->data[0] >> 4 == 6;
    if (!(v6 ? router->has_router6 : router->has_router4) || !may_complain(about))
        return false;
    return (v6 ? icmp6 : icmp4)(about, router, what, out);
}

bool prefix_parse(const char *text, struct prefix *p)
{
    char copy[64], *end = NULL;
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    char *slash = strchr(copy, '/');
    if (slash)
        *slash++ = 0;
    memset(p, 0, sizeof *p);
    p->family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(p->family, copy, p->addr) != 1)
        return false;
    unsigned most = p->family == AF_INET ? 32 : 128;
    p->bits = slash ? (unsigned)strtoul(slash, &end, 10) : most;
    return p->bits <= most && (!slash || (*slash && !*end));
}
