/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses, endpoints and prefixes of both families. Plain values: copy them freely. IPv4 uses the first 4 bytes;
 * the rest is zero, so values compare and hash with memcmp. Text follows RFC 5952 (IPv6) and dotted quad.
 * An IPv4-mapped IPv6 address (::ffff:a.b.c.d) read from text or a sockaddr becomes the IPv4 address it stands for.
 */
#ifndef PM_BASE_ADDR_H
#define PM_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include "base/err.h"

enum { ADDR_V4 = 4, ADDR_V6 = 6, ADDR_TEXT = 46, PREFIX_TEXT = 50, ENDPOINT_TEXT = 56 };

struct addr {
    uint8_t family; /* ADDR_V4, ADDR_V6, or 0 = none */
    uint8_t pad[3];
    uint8_t bytes[16];
};

/* Address and port: where something listens or is reached. */
struct endpoint {
    struct addr addr;
    uint16_t port;
};

struct prefix {
    struct addr addr; /* host bits are zero */
    uint8_t len;      /* 0-32 or 0-128 */
};

static inline unsigned addr_bits(const struct addr *a)
{
    return a->family == ADDR_V4 ? 32 : 128;
}
static inline unsigned addr_len(const struct addr *a)
{
    return a->family == ADDR_V4 ? 4 : 16;
}
bool addr_eq(const struct addr *a, const struct addr *b);
/* Total order: IPv4 before IPv6, then by bytes. */
int addr_cmp(const struct addr *a, const struct addr *b);
int addr_parse(const char *text, struct addr *out) PM_MUST_CHECK; /* PM_EPARSE */
const char *addr_format(const struct addr *a, char out[ADDR_TEXT]); /* returns out; "none" for family 0 */
void addr_from_bytes(struct addr *out, unsigned family, const uint8_t *bytes);

/* "192.0.2.1:53", "[2001:db8::1]:53"; without a port default_port is taken (0 = the port is required). */
int endpoint_parse(const char *text, uint16_t default_port, struct endpoint *out) PM_MUST_CHECK;
const char *endpoint_format(const struct endpoint *e, char out[ENDPOINT_TEXT]);
/* Returns the length of the sockaddr written. */
socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *out);
int endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *out) PM_MUST_CHECK;

/* "192.0.2.0/24", "2001:db8::/32", or an address alone (full length). Host bits set are an error: PM_EINVAL. */
int prefix_parse(const char *text, struct prefix *out) PM_MUST_CHECK;
const char *prefix_format(const struct prefix *p, char out[PREFIX_TEXT]);
/* Clears the bits beyond len; a len beyond the family's is the full length. */
void prefix_make(struct prefix *out, const struct addr *a, unsigned len);
bool prefix_contains(const struct prefix *p, const struct addr *a);
bool prefix_eq(const struct prefix *a, const struct prefix *b);

#endif
