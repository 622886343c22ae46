/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the builder of zones; for zone_build.c (collects), zone_check.c (judges) and zone_freeze.c (packs).
 *
 * A name met for the first time becomes a bnode, and so do its ancestors up to the zone's apex. Node 0 and file 0 are nobody's.
 * A record that must not be served is not removed but loses its node.
 */
#ifndef PM_DNS_ZONE_BUILDER_H
#define PM_DNS_ZONE_BUILDER_H

#include "base/arena.h"
#include "dns/zone_data.h"

enum bnode_flags {
    BNODE_APEX = 1,
    BNODE_NS = 2,
    BNODE_CNAME = 4,
    BNODE_DNAME = 8,
    BNODE_ADDRESS = 16, /* A or AAAA */
    BNODE_LIVE = 32,    /* has something to serve, or a descendant has: exists in the zone */
    BNODE_RESOLVED = 64 /* zone, cut, dname hold */
};

struct bnode {
    uint64_t hash;
    uint32_t name; /* offset in names: length byte, wire */
    uint32_t parent;
    uint32_t zone; /* DNS_ZONE_NONE until resolved */
    uint32_t service, service_file, service_line;
    uint32_t cut;   /* as in dns_node */
    uint32_t dname; /* the DNAME above this name, in its zone */
    uint32_t flags;
    uint32_t final; /* index in the frozen set */
};

struct brecord {
    uint32_t node, zone, ttl, file, line;
    uint32_t rdata; /* offset in rdata */
    uint16_t type, len;
};

struct bzone {
    uint32_t node, parent, file, line;
    uint32_t soas, apex_ns;
};

struct dns_zones_builder {
    dns_report_fn *report;
    void *ctx;
    unsigned errors;
    uint64_t seed;
    struct arena *arena; /* file names */
    const char **files;
    uint32_t file_count, file_cap, file, line; /* file, line: of what is added next */
    struct dns_slot *slots;
    uint32_t slot_count; /* power of two */
    struct bnode *nodes;
    uint32_t node_count, node_cap;
    uint8_t *names;
    size_t names_len, names_cap;
    struct brecord *records;
    uint32_t record_count, record_cap;
    uint8_t *rdata;
    size_t rdata_len, rdata_cap;
    struct bzone *zones;
    uint32_t zone_count, zone_cap;
    uint32_t *services; /* nodes */
    uint32_t service_count, service_cap;
    uint32_t *order;       /* records by node, then type, then as added; made by dns_builder_check */
    uint32_t *first;       /* first[n] to first[n + 1]: the part of order that is node n's */
    bool built;
};

static inline const uint8_t *bnode_name(const struct dns_zones_builder *b, uint32_t node)
{
    return b->names + b->nodes[node].name + 1;
}

/* The node of suffix label of n, or 0. */
uint32_t dns_builder_find(const struct dns_zones_builder *b, const struct dns_name *n, unsigned label, uint64_t hash);
/* Node of n, made with its ancestors down from the label where a zone's apex starts. */
uint32_t dns_builder_intern(struct dns_zones_builder *b, const struct dns_name *n, unsigned apex_label);
/* The deepest zone whose apex is at or above suffix label of n; DNS_ZONE_NONE if there is none. *apex_label is where it starts. */
uint32_t dns_builder_enclosing(const struct dns_zones_builder *b, const struct dns_name *n, unsigned label,
                               unsigned *apex_label);
void dns_builder_report(struct dns_zones_builder *b, enum dns_severity severity, uint32_t file, uint32_t line,
                        unsigned column, const char *fmt, ...) PM_PRINTF(6, 7);
/* Resolves, sorts, judges. */
void dns_builder_check(struct dns_zones_builder *b);
int dns_builder_freeze(struct dns_zones_builder *b, struct dns_zones **out) PM_MUST_CHECK;

#endif
