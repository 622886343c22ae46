/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One DNS query, taken out of its packet. dns_query_parse judges the packet as well: verdict says whether it deserves an answer,
 * an error, or silence. Whatever was understood before the fault is filled in, so that an error can carry the question and OPT.
 *
 * Silence: shorter than a header, or QR set (answering answers lets two servers talk for ever).
 * FORMERR: QDCOUNT not 1 (RFC 9619), a compressed or malformed qname, records in the answer section, or in the authority section of
 *   anything but IXFR, more than one OPT or an OPT not at the root (RFC 6891 6.1.1), options that overrun, a malformed
 *   client subnet (RFC 7871 7.1.2; two of them as well), bytes behind the last record, a meta type that is no question.
 * NOTIMP: any opcode but QUERY. BADVERS: EDNS version above 0. NOTAUTH: TSIG, for no keys are known here (RFC 8945 5.2).
 *
 * Memory: pointers (cookie, packet) point into the packet, which must outlive the query. Thread: any. Allocates nothing.
 */
#ifndef PM_DNS_QUERY_H
#define PM_DNS_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "dns/name.h"
#include "dns/types.h"

enum { DNS_VERDICT_DROP = -1 }; /* else an rcode; NOERROR = answer it */

enum dns_ecs_state { DNS_ECS_NONE, DNS_ECS_OK, DNS_ECS_BAD };

/* EDNS client subnet as sent (RFC 7871 6). */
struct dns_ecs {
    uint8_t state;      /* enum dns_ecs_state */
    uint8_t family;     /* on the wire: 1 = IPv4, 2 = IPv6, 0 = none (then source is 0) */
    uint8_t source;     /* prefix length */
    uint8_t client_len; /* source, less 96 where addr is the IPv4 address inside ::ffff:0:0/96 */
    struct addr addr;   /* host bits zero; none for family 0 */
    const uint8_t *raw; /* the option's data in the packet: family, source, scope, address */
};

struct dns_edns {
    bool present, dnssec_ok, nsid, keepalive;
    uint8_t version;
    uint16_t udp_size; /* as sent; below 512 counts as 512 */
    uint8_t cookie_len; /* 0 = none; 8 or 16 to 40 otherwise, others are ignored */
    const uint8_t *cookie;
    struct dns_ecs ecs;
};

struct dns_query {
    const uint8_t *packet;
    uint16_t len;
    uint16_t id, flags; /* flags: as sent, DNS_FLAG_* */
    uint8_t opcode;
    bool has_question; /* name, qtype, qclass and question_len hold */
    uint16_t question_len; /* bytes of the question section, at offset 12 */
    uint16_t qtype, qclass;
    int verdict;
    struct dns_edns edns;
    struct dns_name name; /* lower-cased; as sent it is at packet + 12 */
};

/* Never fails: see verdict, which is also returned. */
int dns_query_parse(const uint8_t *packet, size_t len, struct dns_query *q);

#endif
