/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/zone_builder.h"

#include <stdlib.h>

enum { RECORD_HEADER = 10 }; /* type, class, TTL, length */

/* Counts what will be there, and numbers the nodes that live. */
static int measure(struct dns_zones_builder *b, struct dns_zones *z, size_t *names, uint64_t *data)
{
    *names = 1;
    *data = 0;
    for (uint32_t n = 1; n < b->node_count; n++) {
        struct bnode *bn = &b->nodes[n];
        if (!(bn->flags & BNODE_LIVE))
            continue;
        bn->final = (uint32_t)++z->stats.names;
        *names += b->names[bn->name] + 1u;
        z->stats.services += bn->service != DNS_SERVICE_NONE;
        unsigned type = 0;
        for (uint32_t i = b->first[n]; i < b->first[n + 1]; i++) {
            const struct brecord *r = &b->records[b->order[i]];
            if (!r->node)
                continue;
            z->stats.rrsets += type != r->type;
            type = r->type;
            z->stats.records++;
            *data += RECORD_HEADER + r->len;
        }
    }
    return *data <= 0xfffffff0u ? PM_OK : PM_ETOOBIG;
}

static void slot_put(struct dns_zones *z, uint64_t hash, uint32_t node)
{
    uint32_t i = (uint32_t)(hash >> z->shift);
    while (z->slots[i].node)
        i = (i + 1) & z->mask;
    z->slots[i] = (struct dns_slot){(uint32_t)hash, node};
}

/* The records order[i .. end) of one type, as a set at set. */
static void put_set(const struct dns_zones_builder *b, struct dns_zones *z, struct dns_set *set, uint32_t i,
                    uint32_t end, uint32_t *data)
{
    uint32_t ttl = 0xffffffffu;
    for (uint32_t k = i; k < end; k++) {
        const struct brecord *r = &b->records[b->order[k]];
        if (r->node && r->ttl < ttl)
            ttl = r->ttl;
    }
    *set = (struct dns_set){.data = *data, .ttl = ttl, .type = b->records[b->order[i]].type};
    for (; i < end; i++) {
        const struct brecord *r = &b->records[b->order[i]];
        if (!r->node)
            continue;
        uint8_t *p = z->data + *data;
        dns_put16(p, r->type);
        dns_put16(p + 2, DNS_CLASS_IN);
        dns_put32(p + 4, ttl);
        dns_put16(p + 8, r->len);
        memcpy(p + RECORD_HEADER, b->rdata + r->rdata, r->len);
        *data += RECORD_HEADER + r->len;
        set->count++;
    }
    set->size = *data - set->data;
}

/* The first record with another type, or end. */
static uint32_t run_end(const struct dns_zones_builder *b, uint32_t i, uint32_t end)
{
    uint16_t type = b->records[b->order[i]].type;
    while (i < end && b->records[b->order[i]].type == type)
        i++;
    return i;
}

static bool run_empty(const struct dns_zones_builder *b, uint32_t i, uint32_t end)
{
    for (; i < end; i++) {
        if (b->records[b->order[i]].node)
            return false;
    }
    return true;
}

static void put_node(struct dns_zones_builder *b, struct dns_zones *z, uint32_t n, uint32_t *name, uint32_t *sets,
                     uint32_t *data)
{
    const struct bnode *bn = &b->nodes[n];
    struct dns_node *node = &z->nodes[bn->final];
    const uint8_t *text = b->names + bn->name;
    struct dns_name parsed;
    dns_name_set(&parsed, text + 1);
    if (parsed.labels > z->max_labels)
        z->max_labels = parsed.labels;
    memcpy(z->names + *name, text, text[0] + 1u);
    *node = (struct dns_node){.name = *name,
                              .zone = bn->zone,
                              .service = bn->service,
                              .cut = b->nodes[bn->cut].final,
                              .sets = *sets};
    *name += text[0] + 1u;
    node->flags = (uint16_t)((bn->flags & BNODE_APEX ? DNS_NODE_APEX : 0) |
                             (bn->flags & BNODE_CNAME ? DNS_NODE_CNAME : 0) |
                             (bn->flags & BNODE_DNAME ? DNS_NODE_DNAME : 0));
    for (uint32_t i = b->first[n], end = b->first[n + 1]; i < end;) {
        uint32_t stop = run_end(b, i, end);
        if (!run_empty(b, i, stop)) {
            put_set(b, z, &z->sets[*sets], i, stop, data);
            ++*sets;
            node->set_count++;
        }
        i = stop;
    }
    slot_put(z, bn->hash, bn->final);
}

static void put_zones(const struct dns_zones_builder *b, struct dns_zones *z)
{
    for (uint32_t i = 0; i < b->zone_count; i++) {
        struct dns_zone *zone = &z->zones[i];
        zone->apex = b->nodes[b->zones[i].node].final;
        zone->parent = b->zones[i].parent;
        const struct dns_set *soa = dns_node_set(z, &z->nodes[zone->apex], DNS_TYPE_SOA);
        zone->soa = (uint32_t)(soa - z->sets);
        uint32_t minimum = dns_get32(z->data + soa->data + soa->size - 4);
        zone->negative_ttl = minimum < soa->ttl ? minimum : soa->ttl;
    }
}

int dns_builder_freeze(struct dns_zones_builder *b, struct dns_zones **out)
{
    struct dns_zones *z = mem_alloc(sizeof *z);
    size_t names;
    uint64_t data_size;
    int err = measure(b, z, &names, &data_size);
    if (err) {
        dns_zones_free(z);
        return err;
    }
    unsigned bits = 4;
    while ((size_t)1 << bits < z->stats.names * 2)
        bits++;
    z->seed = b->seed;
    z->shift = 64 - bits;
    z->mask = (uint32_t)(((uint64_t)1 << bits) - 1);
    z->slots = mem_alloc(((size_t)1 << bits) * sizeof *z->slots);
    z->nodes = mem_alloc((z->stats.names + 1) * sizeof *z->nodes);
    z->sets = mem_alloc((z->stats.rrsets + 1) * sizeof *z->sets);
    z->zones = mem_alloc((b->zone_count + 1u) * sizeof *z->zones);
    z->names = mem_alloc(names);
    z->data = mem_alloc(data_size + 1);
    z->stats.zones = b->zone_count;
    z->stats.bytes = sizeof *z + ((size_t)1 << bits) * sizeof *z->slots +
                     (z->stats.names + 1) * sizeof *z->nodes + (z->stats.rrsets + 1) * sizeof *z->sets +
                     (b->zone_count + 1u) * sizeof *z->zones + names + data_size + 1;
    uint32_t name = 1, sets = 1, data = 0;
    for (uint32_t n = 1; n < b->node_count; n++) {
        if (b->nodes[n].flags & BNODE_LIVE)
            put_node(b, z, n, &name, &sets, &data);
    }
    for (uint32_t n = 1; n < b->node_count; n++) {
        const struct bnode *bn = &b->nodes[n];
        const uint8_t *text = b->names + bn->name + 1;
        if ((bn->flags & (BNODE_LIVE | BNODE_APEX)) == BNODE_LIVE && bn->parent && text[0] == 1 && text[1] == '*')
            z->nodes[b->nodes[bn->parent].final].wildcard = bn->final;
    }
    put_zones(b, z);
    *out = z;
    return PM_OK;
}
