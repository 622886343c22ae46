/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/zone_builder.h"

#include <stdlib.h>

#define AT_RECORD(b, severity, r, ...)                                                             \
    dns_builder_report(b, severity, (r)->file, (r)->line, 0, __VA_ARGS__)

static const char *name_text(const struct dns_zones_builder *b, uint32_t node,
                             char out[DNS_NAME_TEXT])
{
    return dns_name_format(bnode_name(b, node), out);
}

static bool is_wildcard(const struct dns_zones_builder *b, uint32_t node)
{
    const uint8_t *name = bnode_name(b, node);
    return name[0] == 1 && name[1] == '*';
}

/* Gives every service its place in the tree of its zone. */
static void link_services(struct dns_zones_builder *b)
{
    char text[DNS_NAME_TEXT];
    for (uint32_t i = 0; i < b->service_count; i++) {
        uint32_t node = b->services[i];
        struct dns_name n;
        unsigned apex_label;
        dns_name_set(&n, bnode_name(b, node));
        if (dns_builder_enclosing(b, &n, 0, &apex_label) == DNS_ZONE_NONE) {
            dns_builder_report(b, DNS_ERROR, b->nodes[node].service_file,
                               b->nodes[node].service_line, 0, "service name %s lies in no zone",
                               name_text(b, node, text));
            b->nodes[node].service = DNS_SERVICE_NONE;
            continue;
        }
        dns_builder_intern(b, &n, apex_label);
    }
}

static void link_zones(struct dns_zones_builder *b)
{
    for (uint32_t i = 0; i < b->zone_count; i++) {
        struct dns_name n;
        unsigned apex_label;
        dns_name_set(&n, bnode_name(b, b->zones[i].node));
        if (n.labels)
            b->zones[i].parent = dns_builder_enclosing(b, &n, 1, &apex_label);
    }
}

/* Zone of every node: that of the nearest apex at or above it. */
static void find_zone(struct dns_zones_builder *b, uint32_t node)
{
    uint32_t up = node;
    while (b->nodes[up].zone == DNS_ZONE_NONE && b->nodes[up].parent)
        up = b->nodes[up].parent;
    uint32_t zone = b->nodes[up].zone;
    for (; b->nodes[node].zone == DNS_ZONE_NONE && b->nodes[node].parent;
         node = b->nodes[node].parent)
        b->nodes[node].zone = zone;
}

static unsigned flag_of_type(unsigned type)
{
    switch (type) {
    case DNS_TYPE_NS:
        return BNODE_NS;
    case DNS_TYPE_CNAME:
        return BNODE_CNAME;
    case DNS_TYPE_DNAME:
        return BNODE_DNAME;
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        return BNODE_ADDRESS;
    default:
        return 0;
    }
}

/* Takes away the parent's records at and below the apex of a deeper zone, and notes what kinds of
 * data each node has. */
static void claim_records(struct dns_zones_builder *b)
{
    char text[DNS_NAME_TEXT], type[DNS_TYPE_TEXT];
    for (uint32_t i = 0; i < b->record_count; i++) {
        struct brecord *r = &b->records[i];
        struct bnode *n = &b->nodes[r->node];
        if (r->zone == n->zone) {
            n->flags |= flag_of_type(r->type);
            continue;
        }
        if (r->type == DNS_TYPE_DS && n->flags & BNODE_APEX && b->zones[n->zone].parent == r->zone)
            continue;
        unsigned usual = flag_of_type(r->type) & (BNODE_NS | BNODE_ADDRESS);
        if (!usual && r->type != DNS_TYPE_DS)
            AT_RECORD(b, DNS_WARNING, r,
                      "%s %s is ignored: the name belongs to a deeper zone served here",
                      name_text(b, r->node, text), dns_type_name(r->type, type));
        r->node = 0;
    }
}

/* Delegation and DNAME that cover a node; those of the parent must be known. */
static void cover(struct dns_zones_builder *b, struct bnode *n, uint32_t node)
{
    const struct bnode *p = n->flags & BNODE_APEX || !n->parent ? NULL : &b->nodes[n->parent];
    if (p) {
        n->cut = p->cut;
        n->dname = p->flags & BNODE_DNAME ? n->parent : p->dname;
    }
    if (!n->cut && n->flags & BNODE_NS && !(n->flags & BNODE_APEX))
        n->cut = node;
    n->flags |= BNODE_RESOLVED;
}

static void resolve(struct dns_zones_builder *b, uint32_t node)
{
    uint32_t path[DNS_LABELS_MAX + 1];
    unsigned n = 0;
    for (; node && !(b->nodes[node].flags & BNODE_RESOLVED); node = b->nodes[node].parent) {
        path[n++] = node;
        if (b->nodes[node].flags & BNODE_APEX)
            break;
    }
    while (n--)
        cover(b, &b->nodes[path[n]], path[n]);
}

/* What lies below a delegation or a DNAME is not this zone's to serve. */
static void judge_hidden(struct dns_zones_builder *b)
{
    char text[DNS_NAME_TEXT], above[DNS_NAME_TEXT], type[DNS_TYPE_TEXT];
    for (uint32_t i = 0; i < b->record_count; i++) {
        struct brecord *r = &b->records[i];
        const struct bnode *n = &b->nodes[r->node];
        if (!r->node)
            continue;
        if (n->dname)
            AT_RECORD(b, DNS_ERROR, r, "%s %s lies below the DNAME at %s (RFC 6672 2.4)",
                      name_text(b, r->node, text), dns_type_name(r->type, type),
                      name_text(b, n->dname, above));
        bool address = r->type == DNS_TYPE_A || r->type == DNS_TYPE_AAAA;
        /* DNAME stays, to be told off by judge_single. */
        bool at_cut = n->cut == r->node && (r->type == DNS_TYPE_NS || r->type == DNS_TYPE_DS ||
                                            r->type == DNS_TYPE_NSEC || r->type == DNS_TYPE_RRSIG ||
                                            r->type == DNS_TYPE_DNAME);
        if (!n->cut || address || at_cut)
            continue;
        AT_RECORD(b, DNS_WARNING, r, "%s %s is hidden by the delegation at %s",
                  name_text(b, r->node, text), dns_type_name(r->type, type),
                  name_text(b, n->cut, above));
        r->node = 0;
    }
}

static int by_type(const void *a, const void *b, void *ctx)
{
    const struct brecord *r = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (r[x].type != r[y].type)
        return r[x].type < r[y].type ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void sort_records(struct dns_zones_builder *b)
{
    b->first = mem_alloc(((size_t)b->node_count + 2) * sizeof *b->first);
    b->order = mem_alloc(((size_t)b->record_count + 1) * sizeof *b->order);
    uint32_t *next = b->first + 1;
    for (uint32_t i = 0; i < b->record_count; i++)
        next[b->records[i].node + 1]++;
    for (uint32_t i = 0; i < b->node_count; i++)
        next[i + 1] += next[i];
    /* next[n] moves from the start of node n's part to its end, which is where first[n + 1] must
     * point. */
    for (uint32_t i = 0; i < b->record_count; i++)
        b->order[next[b->records[i].node]++] = i;
    for (uint32_t n = 1; n < b->node_count; n++) {
        uint32_t count = b->first[n + 1] - b->first[n];
        if (count > 1)
            qsort_r(b->order + b->first[n], count, sizeof *b->order, by_type, b->records);
    }
}

/* The addresses a name server has in these zones; true as well if they cannot be known here. */
static bool target_has_address(const struct dns_zones_builder *b, const uint8_t *target)
{
    struct dns_name n;
    uint64_t hashes[DNS_LABELS_MAX + 1];
    unsigned apex_label;
    dns_name_set(&n, target);
    if (dns_builder_enclosing(b, &n, 0, &apex_label) == DNS_ZONE_NONE)
        return true;
    dns_name_hashes(&n, b->seed, hashes);
    uint32_t node = dns_builder_find(b, &n, 0, hashes[0]);
    if (node && b->nodes[node].zone != DNS_ZONE_NONE)
        return b->nodes[node].flags & BNODE_ADDRESS || b->nodes[node].service != DNS_SERVICE_NONE;
    /* Not there by name: a wildcard or a delegation may still provide it. */
    for (unsigned i = 1; i <= apex_label; i++) {
        node = dns_builder_find(b, &n, i, hashes[i]);
        if (node)
            return i <= n.labels && b->nodes[node].cut == 0;
    }
    return false;
}

static void judge_ns(struct dns_zones_builder *b, uint32_t node, const struct brecord *r)
{
    char text[DNS_NAME_TEXT], target_text[DNS_NAME_TEXT];
    const uint8_t *target = b->rdata + r->rdata;
    const struct bnode *n = &b->nodes[node];
    bool apex = n->flags & BNODE_APEX;
    if (is_wildcard(b, node))
        AT_RECORD(b, DNS_ERROR, r, "%s: NS at a wildcard means nothing (RFC 4592 4.2)",
                  name_text(b, node, text));
    const uint8_t *around = bnode_name(b, apex ? b->zones[n->zone].node : node);
    if (dns_name_within(target, around) && !target_has_address(b, target))
        AT_RECORD(b, DNS_WARNING, r, "%s: name server %s has no address here%s",
                  name_text(b, node, text), dns_name_format(target, target_text),
                  apex ? "" : " (missing glue)");
}

static void judge_single(struct dns_zones_builder *b, uint32_t node, const struct brecord *r,
                         uint32_t count)
{
    char text[DNS_NAME_TEXT], type[DNS_TYPE_TEXT];
    struct bnode *n = &b->nodes[node];
    if (count > 1)
        AT_RECORD(b, DNS_ERROR, r, "%s has %u %s records, only one may be",
                  name_text(b, node, text), count, dns_type_name(r->type, type));
    if (r->type == DNS_TYPE_SOA && !(n->flags & BNODE_APEX))
        AT_RECORD(b, DNS_ERROR, r, "SOA at %s, which is not the zone's apex",
                  name_text(b, node, text));
    if (r->type == DNS_TYPE_DNAME && is_wildcard(b, node))
        AT_RECORD(b, DNS_ERROR, r, "%s: DNAME at a wildcard has no reliable meaning (RFC 4592 4.4)",
                  name_text(b, node, text));
    if (r->type == DNS_TYPE_DNAME && n->flags & BNODE_CNAME)
        AT_RECORD(b, DNS_ERROR, r, "%s has both CNAME and DNAME (RFC 6672 2.4)",
                  name_text(b, node, text));
    if (r->type == DNS_TYPE_DNAME && n->flags & BNODE_NS && !(n->flags & BNODE_APEX))
        AT_RECORD(b, DNS_ERROR, r, "%s has both NS and DNAME below the apex (RFC 6672 2.3)",
                  name_text(b, node, text));
}

/* The records of one type at one node: order[at] to order[at + count - 1]. */
static void judge_set(struct dns_zones_builder *b, uint32_t node, uint32_t at, uint32_t count)
{
    char text[DNS_NAME_TEXT], type[DNS_TYPE_TEXT];
    struct bnode *n = &b->nodes[node];
    struct brecord *first = &b->records[b->order[at]];
    for (uint32_t i = 1; i < count; i++) {
        const struct brecord *r = &b->records[b->order[at + i]];
        if (r->ttl != first->ttl) {
            AT_RECORD(b, DNS_WARNING, r, "%s %s: TTLs differ, the lowest counts (RFC 2181 5.2)",
                      name_text(b, node, text), dns_type_name(r->type, type));
            break;
        }
    }
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += 12u + b->records[b->order[at + i]].len;
    if (size > 65535 - DNS_HEADER_SIZE - DNS_NAME_MAX - 4)
        AT_RECORD(b, DNS_ERROR, first, "%s %s: %u records make a set that fits no message",
                  name_text(b, node, text), dns_type_name(first->type, type), count);
    bool cname_may_join = first->type == DNS_TYPE_CNAME || first->type == DNS_TYPE_NSEC ||
                          first->type == DNS_TYPE_RRSIG;
    if (n->flags & BNODE_CNAME && !cname_may_join)
        AT_RECORD(b, DNS_ERROR, first, "%s has CNAME and also %s (RFC 2181 10.1)",
                  name_text(b, node, text), dns_type_name(first->type, type));
    bool taken =
        first->type == DNS_TYPE_A || first->type == DNS_TYPE_AAAA || first->type == DNS_TYPE_CNAME;
    if (n->service != DNS_SERVICE_NONE && taken)
        AT_RECORD(b, DNS_ERROR, first, "%s is a service and also has %s", name_text(b, node, text),
                  dns_type_name(first->type, type));
    if (first->type == DNS_TYPE_NS) {
        for (uint32_t i = 0; i < count; i++)
            judge_ns(b, node, &b->records[b->order[at + i]]);
    }
    if (first->type == DNS_TYPE_SOA || first->type == DNS_TYPE_CNAME ||
        first->type == DNS_TYPE_DNAME)
        judge_single(b, node, &b->records[b->order[at + count - 1]], count);
}

/* Drops what is there twice, byte for byte. */
static void drop_duplicates(struct dns_zones_builder *b, uint32_t at, uint32_t count)
{
    char text[DNS_NAME_TEXT], type[DNS_TYPE_TEXT];
    enum { SMALL = 512 }; /* larger sets keep their duplicates rather than cost minutes */
    for (uint32_t i = 1; i < count && count <= SMALL; i++) {
        struct brecord *r = &b->records[b->order[at + i]];
        for (uint32_t k = 0; k < i; k++) {
            const struct brecord *s = &b->records[b->order[at + k]];
            if (s->node && s->len == r->len &&
                (!r->len || memcmp(b->rdata + s->rdata, b->rdata + r->rdata, r->len) == 0)) {
                AT_RECORD(b, DNS_WARNING, r, "%s %s is there twice", name_text(b, r->node, text),
                          dns_type_name(r->type, type));
                r->node = 0;
                break;
            }
        }
    }
}

static uint32_t live_count(const struct dns_zones_builder *b, uint32_t at, uint32_t count)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < count; i++)
        live += b->records[b->order[at + i]].node != 0;
    return live;
}

static void judge_node(struct dns_zones_builder *b, uint32_t node)
{
    for (uint32_t at = b->first[node], end = b->first[node + 1], next; at < end; at = next) {
        unsigned type = b->records[b->order[at]].type;
        for (next = at + 1; next < end && b->records[b->order[next]].type == type;)
            next++;
        drop_duplicates(b, at, next - at);
        uint32_t live = live_count(b, at, next - at);
        /* Dropped ones go behind, so that judge_set sees the others side by side. */
        for (uint32_t i = at, k = at; i < next; i++) {
            if (b->records[b->order[i]].node) {
                uint32_t keep = b->order[i];
                b->order[i] = b->order[k];
                b->order[k++] = keep;
            }
        }
        judge_set(b, node, at, live);
        struct bnode *n = &b->nodes[node];
        if (n->flags & BNODE_APEX && type == DNS_TYPE_SOA)
            b->zones[n->zone].soas += live;
        if (n->flags & BNODE_APEX && type == DNS_TYPE_NS)
            b->zones[n->zone].apex_ns += live;
    }
}

static void judge_zones(struct dns_zones_builder *b)
{
    char text[DNS_NAME_TEXT];
    for (uint32_t i = 0; i < b->zone_count; i++) {
        const struct bzone *z = &b->zones[i];
        name_text(b, z->node, text);
        if (!z->soas)
            dns_builder_report(b, DNS_ERROR, z->file, z->line, 0, "zone %s has no SOA", text);
        if (!z->apex_ns)
            dns_builder_report(b, DNS_ERROR, z->file, z->line, 0, "zone %s has no NS at its apex",
                               text);
    }
}

static void judge_services(struct dns_zones_builder *b)
{
    char text[DNS_NAME_TEXT], above[DNS_NAME_TEXT];
    for (uint32_t i = 0; i < b->service_count; i++) {
        const struct bnode *n = &b->nodes[b->services[i]];
        if (n->service == DNS_SERVICE_NONE || (!n->cut && !n->dname))
            continue;
        dns_builder_report(b, DNS_ERROR, n->service_file, n->service_line, 0,
                           "service %s lies %s %s", name_text(b, b->services[i], text),
                           n->cut ? "in what is delegated at" : "below the DNAME at",
                           name_text(b, n->cut ? n->cut : n->dname, above));
    }
}

static void mark_live(struct dns_zones_builder *b, uint32_t node)
{
    for (; node && !(b->nodes[node].flags & BNODE_LIVE); node = b->nodes[node].parent) {
        b->nodes[node].flags |= BNODE_LIVE;
        if (b->nodes[node].flags & BNODE_APEX)
            break;
    }
}

void dns_builder_check(struct dns_zones_builder *b)
{
    link_services(b);
    link_zones(b);
    for (uint32_t n = 1; n < b->node_count; n++)
        find_zone(b, n);
    claim_records(b);
    for (uint32_t n = 1; n < b->node_count; n++)
        resolve(b, n);
    judge_hidden(b);
    sort_records(b);
    for (uint32_t n = 1; n < b->node_count; n++)
        judge_node(b, n);
    judge_zones(b);
    judge_services(b);
    for (uint32_t i = 0; i < b->record_count; i++)
        mark_live(b, b->records[i].node);
    for (uint32_t i = 0; i < b->service_count; i++)
        mark_live(b, b->services[i]);
    for (uint32_t i = 0; i < b->zone_count; i++)
        mark_live(b, b->zones[i].node);
}
