/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One query in, one response out: the authoritative server's logic (RFC 1034 4.3.2, RFC 2308, RFC 4592, RFC 6672, RFC 6891, RFC 7871).
 * Pure: no socket, no clock, no allocation, no global; what is not in the zones comes from env.
 *
 * Choices where the RFCs leave one:
 *   - ANY gives one RRset, the lowest type at the name; at a service without static data HINFO "RFC8482" (RFC 8482 4.1, 4.2).
 *   - A CNAME or DNAME is followed through all zones of the set, 16 steps at most; a loop ends the answer where it closes.
 *   - No NS set is added to positive answers. Addresses of NS, MX, SRV targets are added if they are static data of the same zone and
 *     fit; glue below the delegated name that does not fit sets TC (RFC 9471). Service names are never resolved for this section.
 *   - AXFR and IXFR are REFUSED. TSIG is answered NOTAUTH (no keys), unsigned. Cookies are not echoed.
 *   - Static data has ECS scope 0: it holds for everybody. With env->ecs false the option is as unknown.
 *   - ECS with source length 0 asks for an answer that is not about the client: the packet's source is used and the scope is 0.
 *   - Class CH: version.bind, version.server, hostname.bind, id.server as TXT. Other classes than IN and CH are REFUSED.
 *   - DNSSEC records in a zone are data like others: nothing is added because of DO, which is copied (RFC 3225).
 *
 * Thread: any, at once. Memory: reads pkt, writes out; about 6 KB of stack. Failure: there is none; 0 means send nothing.
 * Always: a response has the query's id and opcode, QR set, its question byte for byte if it had a readable one, and
 * is no longer than cap, TCP 65535, UDP max(512, min(client's size, udp_max)).
 */
#ifndef PM_DNS_ANSWER_H
#define PM_DNS_ANSWER_H

#include "dns/query.h"
#include "dns/zone.h"

enum { DNS_SERVICE_ADDRS_MAX = 64, DNS_NSID_MAX = 128, DNS_OUT_MIN = 512 };

enum dns_service_status { DNS_SERVICE_ADDRS, DNS_SERVICE_NODATA, DNS_SERVICE_SERVFAIL };

struct dns_service_query {
    uint32_t service;
    uint16_t qtype;     /* A or AAAA */
    bool from_ecs;      /* client is the query's subnet, not the packet's source */
    uint8_t client_len; /* prefix length known of client */
    struct addr client;
    const struct dns_query *query;
};

struct dns_service_answer {
    uint8_t status; /* enum dns_service_status; preset to SERVFAIL */
    uint8_t scope;  /* prefix length for which this holds, in the client's family; preset to 0 */
    uint16_t count; /* of rdata; preset to 0. None is as NODATA */
    uint32_t ttl;   /* preset to 0; caps the TTL of a negative answer too */
    const uint8_t *rdata[DNS_SERVICE_ADDRS_MAX]; /* 4 or 16 bytes each, order is kept; read before the next call */
};

typedef void dns_service_fn(void *ctx, const struct dns_service_query *q, struct dns_service_answer *a);

struct dns_answer_env {
    bool tcp;
    bool ecs;            /* heed and echo the client subnet option */
    uint8_t ecs_max_v4, ecs_max_v6; /* longest scope ever given; 0 = no limit but 32, 128 */
    uint16_t udp_max;    /* our EDNS size, too: 1232 is customary */
    uint16_t keepalive;  /* for the option of RFC 7828 over TCP, in 100 ms; 0 = do not send it */
    uint8_t nsid_len;    /* at most DNS_NSID_MAX; 0 = none: also hides id.server */
    const uint8_t *nsid;
    const char *version; /* at most 255 bytes; NULL hides version.server */
    struct addr client;  /* who sent the packet */
    dns_service_fn *service;
    void *ctx;
};

enum dns_answer_kind {
    DNS_KIND_DROP,
    DNS_KIND_ERROR, /* the packet was at fault: FORMERR, NOTIMP, BADVERS, NOTAUTH */
    DNS_KIND_REFUSED,
    DNS_KIND_STATIC,
    DNS_KIND_SERVICE,
    DNS_KIND_NODATA,
    DNS_KIND_NXDOMAIN,
    DNS_KIND_REFERRAL,
    DNS_KIND_CHAOS
};

struct dns_answer_info {
    uint8_t kind; /* enum dns_answer_kind: of what ended a chain */
    bool truncated, edns, ecs, dnssec_ok;
    uint16_t rcode, qtype;
    uint8_t scope;    /* given; 0 without ECS */
    uint32_t service; /* whose hook was asked, or DNS_SERVICE_NONE */
};

/* cap at least DNS_OUT_MIN, else 0 is returned. info may not be NULL. */
size_t dns_answer(const struct dns_zones *z, const uint8_t *pkt, size_t len, const struct dns_answer_env *env,
                  uint8_t *out, size_t cap, struct dns_answer_info *info);

#endif
