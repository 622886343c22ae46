/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP echo (RFC 792, RFC 4443) as bytes, and what comes back: from a raw socket, or from the error
 * queue of a socket with IP_RECVERR, which works without privileges. The parser is pure and safe on
 * any bytes.
 */
#ifndef PM_MONITOR_ICMP_WIRE_H
#define PM_MONITOR_ICMP_WIRE_H

#include <stdbool.h>
#include "base/addr.h"

enum { ICMP_HEADER = 8 };

/* Header in front of payload; out has room for both. The checksum is set for IPv4 (the kernel does
 * IPv6's). */
size_t icmp_echo_make(uint8_t *out, unsigned family, uint16_t id, uint16_t seq, const void *payload,
                      size_t n);

enum icmp_kind { ICMP_OTHER, ICMP_REPLY, ICMP_ERROR };
struct icmp_seen {
    enum icmp_kind kind;
    uint16_t id, seq;
    uint8_t type, code;
    struct addr to; /* of an error: where the echo it speaks of was sent */
    const uint8_t *payload;
    size_t payload_len;
};
/* ip_header: the bytes begin with the IPv4 header, as on a raw socket. */
void icmp_read(const uint8_t *p, size_t len, unsigned family, bool ip_header,
               struct icmp_seen *out);
/* What an ICMP error of that type means for the target, for people; NULL = nothing final. */
const char *icmp_error_text(unsigned family, uint8_t type, uint8_t code);

/* One entry of a socket's error queue. */
struct icmp_queued {
    int error; /* errno */
    bool from_network;
    uint8_t type, code;
    struct addr offender;   /* who said it; family 0 = unknown */
    struct endpoint target; /* where the packet was sent */
    uint8_t bytes[64];      /* its beginning */
    size_t len;
};
/* False: the queue is empty. */
bool icmp_errqueue(int fd, struct icmp_queued *out);

#endif
