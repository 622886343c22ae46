/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/write.h"

enum { POINTER_MAX = 0x3fff, RECORD_HEADER = 10 };

struct mark {
    uint32_t len, known;
};

static struct mark mark(const struct dns_writer *w)
{
    return (struct mark){w->len, w->known};
}

static bool undo(struct dns_writer *w, struct mark m)
{
    w->len = m.len;
    w->known = m.known;
    return false;
}

static bool room(const struct dns_writer *w, size_t n)
{
    return w->len + n <= w->limit;
}

static void remember(struct dns_writer *w, uint64_t hash, size_t at)
{
    if (w->known < DNS_WRITE_SUFFIXES && at <= POINTER_MAX) {
        w->suffix[w->known].hash = (uint32_t)hash;
        w->suffix[w->known].at = (uint32_t)at;
        w->known++;
    }
}

static void start(struct dns_writer *w)
{
    const struct dns_name *n = &w->query->name;
    /* The suffixes near the root are the ones others share. */
    unsigned i = n->labels > DNS_WRITE_SUFFIXES / 2 ? n->labels - DNS_WRITE_SUFFIXES / 2 : 0;
    for (; i < n->labels; i++)
        remember(w, w->hashes[i], DNS_HEADER_SIZE + n->off[i]);
}

/* Whether the name at `at` in our own output is the lower-cased one. */
static bool same(const struct dns_writer *w, uint32_t at, const uint8_t *wire)
{
    const uint8_t *out = w->out;
    for (;;) {
        while (out[at] >= 0xc0)
            at = (out[at] & 0x3fu) << 8 | out[at + 1];
        unsigned n = out[at];
        if (n != wire[0])
            return false;
        if (!n)
            return true;
        for (unsigned i = 1; i <= n; i++) {
            uint8_t c = out[at + i];
            if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != wire[i])
                return false;
        }
        at += n + 1;
        wire += n + 1;
    }
}

static uint32_t find(const struct dns_writer *w, uint64_t hash, const uint8_t *wire)
{
    for (unsigned i = 0; i < w->known; i++) {
        if (w->suffix[i].hash == (uint32_t)hash && same(w, w->suffix[i].at, wire))
            return w->suffix[i].at;
    }
    return 0;
}

static bool write_name(struct dns_writer *w, const uint8_t *wire)
{
    struct dns_name n;
    uint64_t hashes[DNS_LABELS_MAX + 1];
    uint32_t at = 0;
    unsigned i;
    if (!w->known)
        start(w);
    dns_name_set(&n, wire);
    dns_name_hashes(&n, w->seed, hashes);
    for (i = 0; i < n.labels && !at; i++)
        at = find(w, hashes[i], n.wire + n.off[i]);
    if (at)
        i--;
    unsigned plain = n.off[i];
    if (!room(w, plain + (at ? 2u : 1u)))
        return false;
    memcpy(w->out + w->len, wire, plain);
    for (unsigned k = 0; k < i; k++)
        remember(w, hashes[k], w->len + n.off[k]);
    w->name_at = plain ? (w->len <= POINTER_MAX ? w->len : 0) : at;
    w->len += plain;
    if (at) {
        dns_put16(w->out + w->len, 0xc000 | at);
        w->len += 2;
    } else {
        w->out[w->len++] = 0;
    }
    return true;
}

static bool write_owner(struct dns_writer *w, struct dns_owner owner)
{
    if (!owner.at)
        return write_name(w, owner.wire);
    if (!room(w, 2))
        return false;
    if (!*owner.wire) {
        w->out[w->len++] = 0; /* a pointer would be longer than the root itself */
        return true;
    }
    dns_put16(w->out + w->len, 0xc000 | owner.at);
    w->len += 2;
    return true;
}

/* Header and data of one record, its names compressed. p is the record as stored. */
static bool write_compressed(struct dns_writer *w, const uint8_t *p, unsigned before, unsigned names)
{
    unsigned len = dns_get16(p + 8);
    if (!room(w, RECORD_HEADER + before))
        return false;
    uint32_t header = w->len;
    memcpy(w->out + w->len, p, RECORD_HEADER + before);
    w->len += RECORD_HEADER + before;
    const uint8_t *rdata = p + RECORD_HEADER, *end = rdata + len;
    rdata += before;
    for (; names; names--) {
        if (!write_name(w, rdata))
            return false;
        while (*rdata)
            rdata += *rdata + 1;
        rdata++;
    }
    unsigned rest = (unsigned)(end - rdata);
    if (!room(w, rest))
        return false;
    memcpy(w->out + w->len, rdata, rest);
    w->len += rest;
    dns_put16(w->out + header + 8, w->len - header - RECORD_HEADER);
    return true;
}

static bool write_plain(struct dns_writer *w, const uint8_t *p)
{
    unsigned n = RECORD_HEADER + dns_get16(p + 8);
    if (!room(w, n))
        return false;
    memcpy(w->out + w->len, p, n);
    w->len += n;
    return true;
}

bool dns_write_set(struct dns_writer *w, enum dns_section section, struct dns_owner owner,
                   const struct dns_zones *z, const struct dns_set *set, uint32_t ttl)
{
    unsigned before, names;
    bool compress = dns_rdata_names(set->type, &before, &names) && set->type != DNS_TYPE_DNAME &&
                    set->type != DNS_TYPE_SRV;
    const uint8_t *p = z->data + set->data;
    struct mark m = mark(w);
    for (unsigned i = 0; i < set->count; i++) {
        uint32_t at = w->len;
        if (!write_owner(w, owner))
            return undo(w, m);
        if (!owner.at)
            owner.at = *owner.wire ? w->name_at : at;
        uint32_t header = w->len;
        if (!(compress ? write_compressed(w, p, before, names) : write_plain(w, p)))
            return undo(w, m);
        dns_put32(w->out + header + 4, ttl);
        p += RECORD_HEADER + dns_get16(p + 8);
    }
    w->count[section] = (uint16_t)(w->count[section] + set->count);
    return true;
}

bool dns_write_cname(struct dns_writer *w, struct dns_owner owner, uint32_t ttl, const uint8_t *target)
{
    struct mark m = mark(w);
    if (!write_owner(w, owner) || !room(w, RECORD_HEADER))
        return undo(w, m);
    uint8_t *p = w->out + w->len;
    w->len += RECORD_HEADER;
    uint32_t rdata = w->len;
    if (!write_name(w, target))
        return undo(w, m);
    dns_put16(p, DNS_TYPE_CNAME);
    dns_put16(p + 2, DNS_CLASS_IN);
    dns_put32(p + 4, ttl);
    dns_put16(p + 8, w->len - rdata);
    w->count[DNS_ANSWER]++;
    return true;
}

bool dns_write_record(struct dns_writer *w, enum dns_section section, struct dns_owner owner, uint16_t type,
                      uint16_t class_, uint32_t ttl, const uint8_t *rdata, unsigned len)
{
    struct mark m = mark(w);
    if (!write_owner(w, owner) || !room(w, RECORD_HEADER + len))
        return undo(w, m);
    uint8_t *p = w->out + w->len;
    dns_put16(p, type);
    dns_put16(p + 2, class_);
    dns_put32(p + 4, ttl);
    dns_put16(p + 8, len);
    memcpy(p + RECORD_HEADER, rdata, len);
    w->len += RECORD_HEADER + len;
    w->count[section]++;
    return true;
}
