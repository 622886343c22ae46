/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zones: what this server is authoritative for. A builder collects records, from master files or from code, and the names
 * that are services; dns_zones_build checks them together and freezes them into a struct dns_zones.
 *
 *   builder: dns_zone_begin -> dns_zone_add_rr*, dns_zone_generate_apex, ... -> dns_zones_build -> struct dns_zones
 *
 * Every mistake is reported through the callback, with file and line, and building goes on to find the next; one error
 * makes dns_zones_build fail with PM_ECONFIG. Warnings do not. Rules: one SOA per zone, at the apex, and NS there; no data out of
 * the zone; CNAME alone at its name (RFC 2181 10.1; NSEC and RRSIG may join); nothing below a DNAME and no CNAME or (below the
 * apex) NS beside it (RFC 6672 2.3, 2.4); no NS or DNAME at a wildcard (RFC 4592 4.2, 4.4 leave them undefined or discourage them);
 * a service name has no A, AAAA or CNAME of its own, and lies in a zone, not at or below a delegation, not below a DNAME. Other types
 * at a service's name (MX, TXT, HTTPS ...) are served as they stand. Warned about: records hidden below a delegation,
 * missing glue, differing TTLs in an RRset (the lowest counts, RFC 2181 5.2), duplicates.
 *
 * A name that belongs to a deeper zone of the set is that zone's: the parent's delegation and glue give way, only its DS stays.
 *
 * Memory: the builder copies what it is given. dns_zones is one owner of a few flat arrays: 28 bytes a name, 8 to 16 for
 * its hash slots, its text, 16 an RRset, 10 plus data a record. Limit: 4 GB of record data, 2^31 names.
 * Thread: the builder, one; a frozen dns_zones, any number, it never changes. dns_zones_free when no reader is left.
 */
#ifndef PM_DNS_ZONE_H
#define PM_DNS_ZONE_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "dns/name.h"

enum { DNS_SERVICE_NONE = 0xffffffffu };

enum dns_severity { DNS_WARNING, DNS_ERROR };

struct dns_report {
    const char *file; /* "" if the record came from no file */
    unsigned line, column; /* from 1; 0 = not known */
    enum dns_severity severity;
    const char *message; /* valid during the call */
};
typedef void dns_report_fn(void *ctx, const struct dns_report *report);

struct dns_zones_builder;
struct dns_zones;

/* report may be NULL. */
struct dns_zones_builder *dns_zones_builder_new(dns_report_fn *report, void *ctx);
void dns_zones_builder_free(struct dns_zones_builder *b); /* NULL is allowed */

/* Where the records and services added next come from, for reports. The text is copied. */
void dns_zones_builder_at(struct dns_zones_builder *b, const char *file, unsigned line);

/* Opens a zone; following records go there. PM_EEXISTS (reported): the set has this origin already. */
int dns_zone_begin(struct dns_zones_builder *b, const uint8_t *origin) PM_MUST_CHECK;
/*
 * One record for the zone last begun, class IN, names in rdata uncompressed. Its rdata is trusted to fit its type where
 * that type holds names (NS, CNAME, SOA, PTR, MX, SRV, DNAME are checked). PM_EINVAL: out of zone, meta type, malformed; reported.
 */
int dns_zone_add_rr(struct dns_zones_builder *b, const uint8_t *owner, uint16_t type, uint32_t ttl,
                    const uint8_t *rdata, size_t len) PM_MUST_CHECK;
/*
 * A and AAAA at name are the service's from now on. May be a wildcard. The zone is the deepest one around the name; order of
 * adding does not matter. PM_EEXISTS: name is a service already; reported.
 */
int dns_zone_add_service(struct dns_zones_builder *b, const uint8_t *name, uint32_t service_id) PM_MUST_CHECK;

/* SOA and NS for a zone that has no file. */
struct dns_apex {
    const uint8_t *mname, *rname;
    uint32_t serial, refresh, retry, expire, minimum, ttl;
    const uint8_t *const *ns; /* name servers, at least one */
    size_t ns_count;
};
int dns_zone_generate_apex(struct dns_zones_builder *b, const struct dns_apex *apex) PM_MUST_CHECK;

/*
 * Begins the zone and reads a master file (RFC 1035 5, $TTL of RFC 2308, $INCLUDE relative to the including file, RFC 3597).
 * Reads on after an error. PM_ECONFIG: there were errors, all reported; PM_ENOTFOUND, PM_EPERM, PM_EIO: the file itself (reported).
 */
int dns_zone_load_file(struct dns_zones_builder *b, const char *path, const uint8_t *origin) PM_MUST_CHECK;

/*
 * Checks and freezes everything added. The builder is used up: only dns_zones_builder_free may follow. PM_ECONFIG if any error was
 * ever reported; *out is then untouched.
 */
int dns_zones_build(struct dns_zones_builder *b, struct dns_zones **out) PM_MUST_CHECK;
void dns_zones_free(struct dns_zones *z); /* NULL is allowed */

struct dns_zones_stats {
    size_t zones, names, services, rrsets, records, bytes;
};
struct dns_zones_stats dns_zones_stats(const struct dns_zones *z);
/* Apex of zone i < stats.zones, wire form, lower case; and its serial. */
const uint8_t *dns_zone_origin(const struct dns_zones *z, size_t i);
uint32_t dns_zone_serial(const struct dns_zones *z, size_t i);
/* The service at exactly this name, or DNS_SERVICE_NONE. */
uint32_t dns_zones_service_at(const struct dns_zones *z, const uint8_t *name);

#endif
