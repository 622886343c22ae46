/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a frozen set of zones; for src/dns only.
 *
 *   slots: hash of a name -> node       nodes: one per name, empty non-terminals included
 *   names: length byte + lower-cased wire name     sets: RRsets, a node's are neighbours     data: records, ready for the wire
 *
 * A record in data is type, class, TTL, length, rdata, just as it stands in a message behind the owner's name; the
 * records of a set follow each other, so a set without names to compress is copied whole but for the owners.
 *
 * Node 0 and set 0 are nobody's, so that 0 means none. A node knows its wildcard child and the delegation it is at or below: an
 * exact match needs no walk. Without an exact match the longest suffix that has a node is the closest encloser (RFC 4592
 * 3.3.1), for every empty non-terminal has one too.
 */
#ifndef PM_DNS_ZONE_DATA_H
#define PM_DNS_ZONE_DATA_H

#include "dns/types.h"
#include "dns/zone.h"

enum { DNS_NODE_APEX = 1, DNS_NODE_CNAME = 2, DNS_NODE_DNAME = 4 };

struct dns_node {
    uint32_t name; /* offset in names */
    uint32_t zone;
    uint32_t service;
    uint32_t wildcard; /* node of "*." below */
    uint32_t cut;      /* node of the delegation at or above this name, this node included */
    uint32_t sets;
    uint16_t set_count;
    uint16_t flags;
};

struct dns_set {
    uint32_t data; /* offset in data */
    uint32_t size; /* bytes in data */
    uint32_t ttl;
    uint16_t type, count;
};

struct dns_slot {
    uint32_t tag, node; /* node 0: free */
};

struct dns_zone {
    uint32_t apex, parent; /* nodes; parent: the zone around this one in the set, an index, or DNS_ZONE_NONE */
    uint32_t soa;          /* set */
    uint32_t negative_ttl; /* min(SOA TTL, MINIMUM), RFC 2308 5 */
};

enum { DNS_ZONE_NONE = 0xffffffffu };

struct dns_zones {
    uint64_t seed;
    struct dns_slot *slots;
    unsigned shift; /* slot of a hash: hash >> shift */
    uint32_t mask;
    unsigned max_labels; /* of any name here: longer suffixes need no look */
    struct dns_node *nodes;
    struct dns_set *sets;
    struct dns_zone *zones;
    uint8_t *names, *data;
    struct dns_zones_stats stats;
};

/* Node of the suffix of n that starts at label, whose hash is given; NULL if there is none. */
static inline const struct dns_node *dns_node_at(const struct dns_zones *z, const struct dns_name *n,
                                                 unsigned label, uint64_t hash)
{
    const uint8_t *wire = n->wire + n->off[label];
    unsigned len = n->len - n->off[label];
    for (uint32_t i = (uint32_t)(hash >> z->shift);; i = (i + 1) & z->mask) {
        const struct dns_slot *s = &z->slots[i];
        if (!s->node)
            return NULL;
        if (s->tag != (uint32_t)hash)
            continue;
        const struct dns_node *node = &z->nodes[s->node];
        const uint8_t *name = z->names + node->name;
        if (name[0] == len && memcmp(name + 1, wire, len) == 0)
            return node;
    }
}

/*
 * The node of the longest suffix of n that has one; *label is where it starts (0 = n itself). NULL: n is in none of the
 * zones.
 */
static inline const struct dns_node *dns_node_find(const struct dns_zones *z, const struct dns_name *n,
                                                   const uint64_t *hashes, unsigned *label)
{
    unsigned i = n->labels > z->max_labels ? n->labels - z->max_labels : 0;
    for (; i <= n->labels; i++) {
        const struct dns_node *node = dns_node_at(z, n, i, hashes[i]);
        if (node) {
            *label = i;
            return node;
        }
    }
    return NULL;
}

static inline const struct dns_set *dns_node_set(const struct dns_zones *z, const struct dns_node *n,
                                                 unsigned type)
{
    const struct dns_set *s = &z->sets[n->sets];
    for (unsigned i = 0; i < n->set_count; i++) {
        if (s[i].type == type)
            return &s[i];
    }
    return NULL;
}

/* Bytes before the first name in the rdata of a type whose names are known here, and how many names; false: no names. */
static inline bool dns_rdata_names(unsigned type, unsigned *before, unsigned *names)
{
    *names = 1;
    *before = 0;
    switch (type) {
    case DNS_TYPE_NS:
    case DNS_TYPE_CNAME:
    case DNS_TYPE_PTR:
    case DNS_TYPE_DNAME:
        return true;
    case DNS_TYPE_MX:
        *before = 2;
        return true;
    case DNS_TYPE_SRV:
        *before = 6;
        return true;
    case DNS_TYPE_SOA:
        *names = 2;
        return true;
    default:
        return false;
    }
}

#endif
