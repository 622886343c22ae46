/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of DNS: RR types, classes, opcodes, rcodes, EDNS options. One line in a table adds a number together with its
 * mnemonic; types without a line are spelled TYPEnnn (RFC 3597).
 *
 * Thread: any (constant data). Ownership: texts are static or written into the caller's buffer. Nothing fails but parsing.
 */
#ifndef PM_DNS_TYPES_H
#define PM_DNS_TYPES_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "base/err.h"

/* name, number */
#define DNS_TYPES(X)                                                                               \
    X(A, 1)                                                                                        \
    X(NS, 2)                                                                                       \
    X(CNAME, 5)                                                                                    \
    X(SOA, 6)                                                                                      \
    X(NULL, 10)                                                                                    \
    X(WKS, 11)                                                                                     \
    X(PTR, 12)                                                                                     \
    X(HINFO, 13)                                                                                   \
    X(MINFO, 14)                                                                                   \
    X(MX, 15)                                                                                      \
    X(TXT, 16)                                                                                     \
    X(RP, 17)                                                                                      \
    X(AFSDB, 18)                                                                                   \
    X(X25, 19)                                                                                     \
    X(ISDN, 20)                                                                                    \
    X(RT, 21)                                                                                      \
    X(SIG, 24)                                                                                     \
    X(KEY, 25)                                                                                     \
    X(PX, 26)                                                                                      \
    X(AAAA, 28)                                                                                    \
    X(LOC, 29)                                                                                     \
    X(SRV, 33)                                                                                     \
    X(NAPTR, 35)                                                                                   \
    X(KX, 36)                                                                                      \
    X(CERT, 37)                                                                                    \
    X(DNAME, 39)                                                                                   \
    X(OPT, 41)                                                                                     \
    X(APL, 42)                                                                                     \
    X(DS, 43)                                                                                      \
    X(SSHFP, 44)                                                                                   \
    X(IPSECKEY, 45)                                                                                \
    X(RRSIG, 46)                                                                                   \
    X(NSEC, 47)                                                                                    \
    X(DNSKEY, 48)                                                                                  \
    X(DHCID, 49)                                                                                   \
    X(NSEC3, 50)                                                                                   \
    X(NSEC3PARAM, 51)                                                                              \
    X(TLSA, 52)                                                                                    \
    X(SMIMEA, 53)                                                                                  \
    X(HIP, 55)                                                                                     \
    X(CDS, 59)                                                                                     \
    X(CDNSKEY, 60)                                                                                 \
    X(OPENPGPKEY, 61)                                                                              \
    X(CSYNC, 62)                                                                                   \
    X(ZONEMD, 63)                                                                                  \
    X(SVCB, 64)                                                                                    \
    X(HTTPS, 65)                                                                                   \
    X(SPF, 99)                                                                                     \
    X(NID, 104)                                                                                    \
    X(L32, 105)                                                                                    \
    X(L64, 106)                                                                                    \
    X(LP, 107)                                                                                     \
    X(EUI48, 108)                                                                                  \
    X(EUI64, 109)                                                                                  \
    X(TKEY, 249)                                                                                   \
    X(TSIG, 250)                                                                                   \
    X(IXFR, 251)                                                                                   \
    X(AXFR, 252)                                                                                   \
    X(MAILB, 253)                                                                                  \
    X(MAILA, 254)                                                                                  \
    X(ANY, 255)                                                                                    \
    X(URI, 256)                                                                                    \
    X(CAA, 257)

#define DNS_CLASSES(X)                                                                             \
    X(IN, 1)                                                                                       \
    X(CH, 3)                                                                                       \
    X(HS, 4)                                                                                       \
    X(NONE, 254)                                                                                   \
    X(ANY, 255)

#define DNS_RCODES(X)                                                                              \
    X(NOERROR, 0)                                                                                  \
    X(FORMERR, 1)                                                                                  \
    X(SERVFAIL, 2)                                                                                 \
    X(NXDOMAIN, 3)                                                                                 \
    X(NOTIMP, 4)                                                                                   \
    X(REFUSED, 5)                                                                                  \
    X(YXDOMAIN, 6)                                                                                 \
    X(YXRRSET, 7)                                                                                  \
    X(NXRRSET, 8)                                                                                  \
    X(NOTAUTH, 9)                                                                                  \
    X(NOTZONE, 10)                                                                                 \
    X(BADVERS, 16)

enum dns_type {
#define X(name, number) DNS_TYPE_##name = (number),
    DNS_TYPES(X)
#undef X
};

enum dns_class {
#define X(name, number) DNS_CLASS_##name = (number),
    DNS_CLASSES(X)
#undef X
};

enum dns_rcode {
#define X(name, number) DNS_RCODE_##name = (number),
    DNS_RCODES(X)
#undef X
};

enum dns_opcode { DNS_OPCODE_QUERY = 0, DNS_OPCODE_NOTIFY = 4, DNS_OPCODE_UPDATE = 5 };

enum dns_option {
    DNS_OPTION_NSID = 3,      /* RFC 5001 */
    DNS_OPTION_ECS = 8,       /* RFC 7871 */
    DNS_OPTION_COOKIE = 10,   /* RFC 7873 */
    DNS_OPTION_KEEPALIVE = 11 /* RFC 7828 */
};

/* Bits of the flags word of the header (bytes 2 and 3, RFC 1035 4.1.1). */
enum {
    DNS_FLAG_QR = 0x8000,
    DNS_FLAG_AA = 0x0400,
    DNS_FLAG_TC = 0x0200,
    DNS_FLAG_RD = 0x0100,
    DNS_FLAG_RA = 0x0080,
    DNS_FLAG_AD = 0x0020,
    DNS_FLAG_CD = 0x0010
};

enum { DNS_HEADER_SIZE = 12, DNS_TYPE_TEXT = 16 };

/* Mnemonic, or "TYPE123"; out holds the latter. */
const char *dns_type_name(unsigned type, char out[DNS_TYPE_TEXT]);
/* "AAAA", "aaaa", "TYPE28". PM_EPARSE. */
int dns_type_parse(const char *text, uint16_t *type) PM_MUST_CHECK;
const char *dns_class_name(unsigned class_, char out[DNS_TYPE_TEXT]);
int dns_class_parse(const char *text, uint16_t *class_) PM_MUST_CHECK;
/* "NXDOMAIN", or "RCODE23" in out. */
const char *dns_rcode_name(unsigned rcode, char out[DNS_TYPE_TEXT]);

/* Types that exist in queries or messages only and never as zone data (RFC 6895 3.1: OPT and 128 to 255). */
static inline bool dns_type_is_meta(unsigned type)
{
    return type == 0 || type == DNS_TYPE_OPT || (type >= 128 && type <= 255);
}

/* Numbers in messages: network order, any alignment. */
static inline uint16_t dns_get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return ntohs(v);
}
static inline uint32_t dns_get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return ntohl(v);
}
static inline void dns_put16(uint8_t *p, unsigned v)
{
    uint16_t n = htons((uint16_t)v);
    memcpy(p, &n, 2);
}
static inline void dns_put32(uint8_t *p, uint32_t v)
{
    v = htonl(v);
    memcpy(p, &v, 4);
}

#endif
