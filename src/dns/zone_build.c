/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/zone_builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/map.h"

enum { SLOTS_MIN = 64 };

/* Makes room for one more element; element 0 is left unused where the caller starts counting at 1. */
#define GROW(b, array, count, cap)                                                                 \
    do {                                                                                           \
        if ((b)->count == (b)->cap) {                                                              \
            (b)->cap = (b)->cap ? (b)->cap * 2 : 64;                                               \
            (b)->array = mem_realloc((b)->array, (size_t)(b)->cap * sizeof *(b)->array);           \
        }                                                                                          \
    } while (0)

struct dns_zones_builder *dns_zones_builder_new(dns_report_fn *report, void *ctx)
{
    struct dns_zones_builder *b = mem_alloc(sizeof *b);
    b->report = report;
    b->ctx = ctx;
    b->seed = hash_seed();
    b->arena = arena_new();
    b->slot_count = SLOTS_MIN;
    b->slots = mem_alloc(SLOTS_MIN * sizeof *b->slots);
    GROW(b, nodes, node_count, node_cap);
    memset(b->nodes, 0, sizeof *b->nodes);
    b->node_count = 1;
    GROW(b, files, file_count, file_cap);
    b->files[b->file_count++] = "";
    return b;
}

void dns_zones_builder_free(struct dns_zones_builder *b)
{
    if (!b)
        return;
    arena_free(b->arena);
    free(b->files);
    free(b->slots);
    free(b->nodes);
    free(b->names);
    free(b->records);
    free(b->rdata);
    free(b->zones);
    free(b->services);
    free(b->order);
    free(b->first);
    free(b);
}

void dns_zones_builder_at(struct dns_zones_builder *b, const char *file, unsigned line)
{
    b->line = line;
    if (strcmp(b->files[b->file], file) == 0)
        return;
    if (!*file) {
        b->file = 0;
        return;
    }
    GROW(b, files, file_count, file_cap);
    b->file = b->file_count;
    b->files[b->file_count++] = arena_strdup(b->arena, file);
}

void dns_builder_report(struct dns_zones_builder *b, enum dns_severity severity, uint32_t file, uint32_t line,
                        unsigned column, const char *fmt, ...)
{
    char text[DNS_NAME_TEXT * 2 + 256];
    va_list ap;
    if (severity == DNS_ERROR)
        b->errors++;
    if (!b->report)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct dns_report r = {
        .file = b->files[file], .line = line, .column = column, .severity = severity, .message = text};
    b->report(b->ctx, &r);
}

#define REPORT(b, severity, ...) dns_builder_report(b, severity, (b)->file, (b)->line, 0, __VA_ARGS__)

static uint32_t slot_of(const struct dns_zones_builder *b, uint64_t hash)
{
    return (uint32_t)(hash >> 32) & (b->slot_count - 1);
}

uint32_t dns_builder_find(const struct dns_zones_builder *b, const struct dns_name *n, unsigned label, uint64_t hash)
{
    const uint8_t *wire = n->wire + n->off[label];
    unsigned len = n->len - n->off[label];
    for (uint32_t i = slot_of(b, hash);; i = (i + 1) & (b->slot_count - 1)) {
        uint32_t node = b->slots[i].node;
        if (!node)
            return 0;
        const uint8_t *name = b->names + b->nodes[node].name;
        if (b->nodes[node].hash == hash && name[0] == len && memcmp(name + 1, wire, len) == 0)
            return node;
    }
}

static void slot_put(struct dns_zones_builder *b, uint64_t hash, uint32_t node)
{
    uint32_t i = slot_of(b, hash);
    while (b->slots[i].node)
        i = (i + 1) & (b->slot_count - 1);
    b->slots[i] = (struct dns_slot){(uint32_t)hash, node};
}

static uint32_t node_new(struct dns_zones_builder *b, const struct dns_name *n, unsigned label, uint64_t hash)
{
    unsigned len = n->len - n->off[label];
    if ((b->node_count + 1) > b->slot_count / 2) {
        free(b->slots);
        b->slot_count *= 2;
        b->slots = mem_alloc(b->slot_count * sizeof *b->slots);
        for (uint32_t i = 1; i < b->node_count; i++)
            slot_put(b, b->nodes[i].hash, i);
    }
    if (b->names_len + len + 1 > b->names_cap) {
        b->names_cap = b->names_cap ? b->names_cap * 2 : 4096;
        b->names = mem_realloc(b->names, b->names_cap);
    }
    GROW(b, nodes, node_count, node_cap);
    uint32_t node = b->node_count++;
    b->nodes[node] = (struct bnode){.hash = hash,
                                    .name = (uint32_t)b->names_len,
                                    .zone = DNS_ZONE_NONE,
                                    .service = DNS_SERVICE_NONE};
    b->names[b->names_len] = (uint8_t)len;
    memcpy(b->names + b->names_len + 1, n->wire + n->off[label], len);
    b->names_len += len + 1;
    slot_put(b, hash, node);
    return node;
}

uint32_t dns_builder_intern(struct dns_zones_builder *b, const struct dns_name *n, unsigned apex_label)
{
    uint64_t hashes[DNS_LABELS_MAX + 1];
    uint32_t parent = 0;
    dns_name_hashes(n, b->seed, hashes);
    for (unsigned i = apex_label + 1; i-- > 0;) {
        uint32_t node = dns_builder_find(b, n, i, hashes[i]);
        if (!node)
            node = node_new(b, n, i, hashes[i]);
        if (parent && !b->nodes[node].parent)
            b->nodes[node].parent = parent;
        parent = node;
    }
    return parent;
}

uint32_t dns_builder_enclosing(const struct dns_zones_builder *b, const struct dns_name *n, unsigned label,
                               unsigned *apex_label)
{
    uint64_t hashes[DNS_LABELS_MAX + 1];
    dns_name_hashes(n, b->seed, hashes);
    for (unsigned i = label; i <= n->labels; i++) {
        uint32_t node = dns_builder_find(b, n, i, hashes[i]);
        if (node && b->nodes[node].flags & BNODE_APEX) {
            *apex_label = i;
            return b->nodes[node].zone;
        }
    }
    return DNS_ZONE_NONE;
}

int dns_zone_begin(struct dns_zones_builder *b, const uint8_t *origin)
{
    struct dns_name n;
    char text[DNS_NAME_TEXT];
    if (dns_name_length(origin, DNS_NAME_MAX) < 0) {
        REPORT(b, DNS_ERROR, "the zone's name is malformed");
        return PM_EINVAL;
    }
    dns_name_set(&n, origin);
    uint32_t node = dns_builder_intern(b, &n, 0);
    if (b->nodes[node].flags & BNODE_APEX) {
        REPORT(b, DNS_ERROR, "zone %s is there twice", dns_name_format(origin, text));
        return PM_EEXISTS;
    }
    GROW(b, zones, zone_count, zone_cap);
    b->nodes[node].flags |= BNODE_APEX;
    b->nodes[node].zone = b->zone_count;
    b->zones[b->zone_count++] =
        (struct bzone){.node = node, .parent = DNS_ZONE_NONE, .file = b->file, .line = b->line};
    return PM_OK;
}

/* Whether rdata of a type that holds names, or has a fixed form we rely on, is what it should be. */
static bool rdata_fits(unsigned type, const uint8_t *rdata, size_t len)
{
    unsigned before, names;
    if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA)
        return len == (type == DNS_TYPE_A ? 4 : 16);
    if (!dns_rdata_names(type, &before, &names))
        return true;
    size_t at = before;
    for (; names; names--) {
        int n = at < len ? dns_name_length(rdata + at, len - at) : PM_ESHORT;
        if (n < 0)
            return false;
        at += (size_t)n;
    }
    return len - at == (type == DNS_TYPE_SOA ? 20u : 0u);
}

static void record_add(struct dns_zones_builder *b, uint32_t node, uint16_t type, uint32_t ttl,
                       const uint8_t *rdata, size_t len)
{
    GROW(b, records, record_count, record_cap);
    if (b->rdata_len + len > b->rdata_cap) {
        b->rdata_cap = (b->rdata_cap ? b->rdata_cap * 2 : 4096) + len;
        b->rdata = mem_realloc(b->rdata, b->rdata_cap);
    }
    b->records[b->record_count++] = (struct brecord){.node = node,
                                                     .zone = b->zone_count - 1,
                                                     .ttl = ttl,
                                                     .file = b->file,
                                                     .line = b->line,
                                                     .rdata = (uint32_t)b->rdata_len,
                                                     .type = type,
                                                     .len = (uint16_t)len};
    if (len)
        memcpy(b->rdata + b->rdata_len, rdata, len);
    b->rdata_len += len;
}

int dns_zone_add_rr(struct dns_zones_builder *b, const uint8_t *owner, uint16_t type, uint32_t ttl,
                    const uint8_t *rdata, size_t len)
{
    struct dns_name n;
    char name[DNS_NAME_TEXT], zone[DNS_NAME_TEXT], type_text[DNS_TYPE_TEXT];
    if (!b->zone_count || dns_name_length(owner, DNS_NAME_MAX) < 0) {
        REPORT(b, DNS_ERROR, b->zone_count ? "malformed owner name" : "a record before any zone");
        return PM_EINVAL;
    }
    dns_name_set(&n, owner);
    dns_name_format(n.wire, name);
    const char *type_name = dns_type_name(type, type_text);
    const uint8_t *origin = bnode_name(b, b->zones[b->zone_count - 1].node);
    if (!dns_name_within(n.wire, origin)) {
        REPORT(b, DNS_ERROR, "%s %s is out of zone %s", name, type_name, dns_name_format(origin, zone));
        return PM_EINVAL;
    }
    if (dns_type_is_meta(type) || len > 65535 || ttl > 0x7fffffff || !rdata_fits(type, rdata, len)) {
        REPORT(b, DNS_ERROR, "%s %s: %s", name, type_name,
               dns_type_is_meta(type) ? "this type cannot be zone data"
               : ttl > 0x7fffffff     ? "TTL above 2147483647 (RFC 2181 8)"
                                      : "malformed data");
        return PM_EINVAL;
    }
    if (b->rdata_len + len > 0xffffffffu || b->names_len > 0xffffff00u || b->record_count == 0x7fffffff) {
        REPORT(b, DNS_ERROR, "more zone data than fits");
        return PM_ETOOBIG;
    }
    struct dns_name apex;
    dns_name_set(&apex, origin);
    record_add(b, dns_builder_intern(b, &n, n.labels - apex.labels), type, ttl, rdata, len);
    return PM_OK;
}

int dns_zone_add_service(struct dns_zones_builder *b, const uint8_t *name, uint32_t service_id)
{
    struct dns_name n;
    char text[DNS_NAME_TEXT];
    if (dns_name_length(name, DNS_NAME_MAX) < 0 || service_id == DNS_SERVICE_NONE) {
        REPORT(b, DNS_ERROR, "malformed service name");
        return PM_EINVAL;
    }
    dns_name_set(&n, name);
    uint32_t node = dns_builder_intern(b, &n, 0);
    struct bnode *bn = &b->nodes[node];
    if (bn->service != DNS_SERVICE_NONE) {
        REPORT(b, DNS_ERROR, "service name %s is there twice", dns_name_format(n.wire, text));
        return PM_EEXISTS;
    }
    bn->service = service_id;
    bn->service_file = b->file;
    bn->service_line = b->line;
    GROW(b, services, service_count, service_cap);
    b->services[b->service_count++] = node;
    return PM_OK;
}

int dns_zone_generate_apex(struct dns_zones_builder *b, const struct dns_apex *apex)
{
    uint8_t rdata[2 * DNS_NAME_MAX + 20], origin[DNS_NAME_MAX];
    int m = dns_name_length(apex->mname, DNS_NAME_MAX), r = dns_name_length(apex->rname, DNS_NAME_MAX);
    if (m < 0 || r < 0 || !apex->ns_count || !b->zone_count) {
        REPORT(b, DNS_ERROR, "a zone needs a primary name, a mailbox name and a name server");
        return PM_EINVAL;
    }
    const uint8_t *name = bnode_name(b, b->zones[b->zone_count - 1].node);
    memcpy(origin, name, name[-1]); /* the table of names moves as it grows */
    memcpy(rdata, apex->mname, (size_t)m);
    memcpy(rdata + m, apex->rname, (size_t)r);
    const uint32_t numbers[5] = {apex->serial, apex->refresh, apex->retry, apex->expire, apex->minimum};
    for (int i = 0; i < 5; i++)
        dns_put32(rdata + m + r + 4 * i, numbers[i]);
    int err = dns_zone_add_rr(b, origin, DNS_TYPE_SOA, apex->ttl, rdata, (size_t)(m + r + 20));
    for (size_t i = 0; !err && i < apex->ns_count; i++) {
        int n = dns_name_length(apex->ns[i], DNS_NAME_MAX);
        err = dns_zone_add_rr(b, origin, DNS_TYPE_NS, apex->ttl, apex->ns[i], n < 0 ? 0 : (size_t)n);
    }
    return err;
}

int dns_zones_build(struct dns_zones_builder *b, struct dns_zones **out)
{
    if (b->built)
        return PM_EINVAL;
    b->built = true;
    dns_builder_check(b);
    return b->errors ? PM_ECONFIG : dns_builder_freeze(b, out);
}
