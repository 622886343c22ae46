/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a response behind its question: sections in order, whole RRsets or nothing, names compressed. For src/dns only.
 *
 * Names are compressed in owners and in the rdata of NS, CNAME, PTR, MX and SOA; in no other type (RFC 3597 4), DNAME and SRV not
 * (RFC 6672 2.5, RFC 2782). The table of suffixes starts with the question's; it is filled at the first name that needs it, so that
 * an answer made of addresses never pays for it. Suffixes beyond its size are written in full.
 *
 * Memory: out and the zones are the caller's. Nothing fails: what does not fit is undone, and the function says false.
 */
#ifndef PM_DNS_WRITE_H
#define PM_DNS_WRITE_H

#include "dns/query.h"
#include "dns/zone_data.h"

enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

enum { DNS_WRITE_SUFFIXES = 64 };

struct dns_writer {
    uint8_t *out;
    uint32_t len, limit;
    uint16_t count[3]; /* records per section */
    uint64_t seed;
    const struct dns_query *query;
    const uint64_t *hashes; /* of the question's name */
    uint32_t name_at;       /* where the last name written can be pointed at; 0 = nowhere */
    uint32_t known;         /* entries of suffix; 0 = not yet started */
    struct {
        uint32_t hash, at;
    } suffix[DNS_WRITE_SUFFIXES];
};

/* An owner: its uncompressed name, and where it stands in the message already (0 = nowhere). */
struct dns_owner {
    const uint8_t *wire;
    uint32_t at;
};

/* A whole set, its TTLs replaced by ttl. */
bool dns_write_set(struct dns_writer *w, enum dns_section section, struct dns_owner owner,
                   const struct dns_zones *z, const struct dns_set *set, uint32_t ttl);
/* A CNAME made up for a DNAME. */
bool dns_write_cname(struct dns_writer *w, struct dns_owner owner, uint32_t ttl, const uint8_t *target);
/* Any single record of an uncompressible type. */
bool dns_write_record(struct dns_writer *w, enum dns_section section, struct dns_owner owner, uint16_t type,
                      uint16_t class_, uint32_t ttl, const uint8_t *rdata, unsigned len);

#endif
