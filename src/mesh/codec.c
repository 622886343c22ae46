/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/codec.h"

#include <string.h>

const struct mesh_row mesh_message_rows[] = {
#define X(sym, number, name, body, doc) {number, name, NULL, body, doc},
    MESH_MESSAGES(X)
#undef X
};
const unsigned mesh_message_count = PM_ARRAY_LEN(mesh_message_rows);

const struct mesh_row mesh_kind_rows[] = {
#define X(sym, number, name, subject, value, doc) {number, name, subject, value, doc},
    MESH_KINDS(X)
#undef X
};
const unsigned mesh_kind_count = PM_ARRAY_LEN(mesh_kind_rows);

static const char *row_name(const struct mesh_row *rows, unsigned count, unsigned number)
{
    return number >= 1 && number <= count ? rows[number - 1].name : "unknown";
}

const char *mesh_message_name(unsigned number)
{
    return row_name(mesh_message_rows, mesh_message_count, number);
}

const char *mesh_kind_name(unsigned number)
{
    return row_name(mesh_kind_rows, mesh_kind_count, number);
}

struct mesh_str mesh_str(const char *s)
{
    size_t n = strlen(s);
    return (struct mesh_str){s, (uint8_t)(n > 255 ? 255 : n)};
}

bool mesh_str_eq(struct mesh_str a, struct mesh_str b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

const uint8_t *mesh_get_bytes(struct mesh_reader *r, size_t n)
{
    if (r->bad || (size_t)(r->end - r->p) < n) {
        r->bad = true;
        return (const uint8_t *)"";
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

uint64_t mesh_get(struct mesh_reader *r, unsigned bytes)
{
    const uint8_t *p = mesh_get_bytes(r, bytes);
    uint64_t v = 0;
    for (unsigned i = 0; !r->bad && i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

struct mesh_str mesh_get_str(struct mesh_reader *r)
{
    uint8_t n = (uint8_t)mesh_get(r, 1);
    const char *p = (const char *)mesh_get_bytes(r, n);
    return (struct mesh_str){p, r->bad ? 0 : n};
}

struct addr mesh_get_addr(struct mesh_reader *r)
{
    struct addr a = {0};
    unsigned family = (unsigned)mesh_get(r, 1);
    if (family != ADDR_V4 && family != ADDR_V6) {
        r->bad = true;
        return a;
    }
    const uint8_t *p = mesh_get_bytes(r, family == ADDR_V4 ? 4 : 16);
    if (!r->bad)
        addr_from_bytes(&a, family, p);
    return a;
}

void mesh_put_bytes(struct mesh_writer *w, const void *data, size_t n)
{
    if (w->full || w->cap - w->len < n) {
        w->full = true;
        return;
    }
    if (n)
        memcpy(w->p + w->len, data, n);
    w->len += n;
}

void mesh_put_int(struct mesh_writer *w, uint64_t v, unsigned bytes)
{
    uint8_t b[8];
    for (unsigned i = 0; i < bytes; i++)
        b[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
    mesh_put_bytes(w, b, bytes);
}

void mesh_put_str(struct mesh_writer *w, struct mesh_str s)
{
    mesh_put_int(w, s.n, 1);
    mesh_put_bytes(w, s.p, s.n);
}

void mesh_put_addr(struct mesh_writer *w, const struct addr *a)
{
    mesh_put_int(w, a->family, 1);
    mesh_put_bytes(w, a->bytes, addr_len(a));
}

bool mesh_name_ok(struct mesh_str s)
{
    for (unsigned i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return s.n >= 1 && s.n <= MESH_NAME_MAX;
}

/* Subjects are shown to people and are keys: no control bytes. */
static bool subject_ok(struct mesh_str s)
{
    for (unsigned i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return true;
}

int mesh_message_open(struct mesh_reader *r, uint8_t *type, uint8_t *flags)
{
    uint8_t version = (uint8_t)mesh_get(r, 1);
    *type = (uint8_t)mesh_get(r, 1);
    *flags = (uint8_t)mesh_get(r, 1);
    mesh_get(r, 1);
    return r->bad || version != MESH_VERSION ? PM_EPROTO : 0;
}

void mesh_message_start(struct mesh_writer *w, enum mesh_message_type type, uint8_t flags)
{
    mesh_put_int(w, MESH_VERSION, 1);
    mesh_put_int(w, type, 1);
    mesh_put_int(w, flags, 1);
    mesh_put_int(w, 0, 1);
}

void mesh_message_flag(struct mesh_writer *w, uint8_t flags)
{
    if (w->len >= MESH_HEADER)
        w->p[2] |= flags;
}

int mesh_get_hello(struct mesh_reader *r, struct mesh_hello *out)
{
    out->low = (uint8_t)mesh_get(r, 1);
    out->high = (uint8_t)mesh_get(r, 1);
    out->node = mesh_get_str(r);
    out->region = mesh_get_str(r);
    out->site = mesh_get_str(r);
    out->software = mesh_get_str(r);
    out->incarnation = mesh_get(r, 8);
    out->features = (uint32_t)mesh_get(r, 4);
    bool ok = !r->bad && out->low >= 1 && out->low <= out->high && mesh_name_ok(out->node) && mesh_name_ok(out->region) &&
              subject_ok(out->site) && subject_ok(out->software) && out->incarnation > 0;
    return ok ? 0 : PM_EPROTO;
}

void mesh_put_hello(struct mesh_writer *w, const struct mesh_hello *h)
{
    mesh_put_int(w, h->low, 1);
    mesh_put_int(w, h->high, 1);
    mesh_put_str(w, h->node);
    mesh_put_str(w, h->region);
    mesh_put_str(w, h->site);
    mesh_put_str(w, h->software);
    mesh_put_int(w, h->incarnation, 8);
    mesh_put_int(w, h->features, 4);
}

static bool record_ok(const struct mesh_record *rec)
{
    return mesh_name_ok(rec->node) && rec->incarnation > 0 && rec->sequence > 0 && rec->kind > 0 &&
           subject_ok(rec->subject) && rec->lifetime_ms >= MESH_LIFETIME_MIN_MS &&
           rec->lifetime_ms <= MESH_LIFETIME_MAX_MS && rec->age_ms <= rec->lifetime_ms &&
           rec->value_len <= MESH_VALUE_MAX && rec->signature_len <= MESH_SIGNATURE_MAX &&
           (!(rec->flags & MESH_RECORD_TOMBSTONE) || rec->value_len == 0);
}

/* Inside its length: node, incarnation, sequence, kind, flags, subject, lifetime, age, value, signature. */
static void get_fields(struct mesh_reader *r, struct mesh_record *out)
{
    out->node = mesh_get_str(r);
    out->incarnation = mesh_get(r, 8);
    out->sequence = mesh_get(r, 8);
    out->kind = (uint16_t)mesh_get(r, 2);
    out->flags = (uint8_t)mesh_get(r, 1);
    out->subject = mesh_get_str(r);
    out->lifetime_ms = (uint32_t)mesh_get(r, 4);
    out->age_ms = (uint32_t)mesh_get(r, 4);
    out->value_len = (uint16_t)mesh_get(r, 2);
    out->value = mesh_get_bytes(r, out->value_len);
    out->signature_len = (uint8_t)mesh_get(r, 1);
    out->signature = mesh_get_bytes(r, out->signature_len);
}

int mesh_get_record(struct mesh_reader *r, struct mesh_record *out)
{
    if (!r->bad && r->p == r->end)
        return PM_ENOTFOUND;
    size_t n = (size_t)mesh_get(r, 2);
    const uint8_t *bytes = mesh_get_bytes(r, n);
    struct mesh_reader body = mesh_reader(bytes, r->bad ? 0 : n);
    get_fields(&body, out);
    if (r->bad || body.bad || body.p != body.end || !record_ok(out)) {
        r->bad = true;
        return PM_EPROTO;
    }
    return 0;
}

size_t mesh_record_size(const struct mesh_record *rec)
{
    return 2 + 1 + rec->node.n + 8 + 8 + 2 + 1 + 1 + rec->subject.n + 4 + 4 + 2 + rec->value_len + 1 + rec->signature_len;
}

void mesh_put_record(struct mesh_writer *w, const struct mesh_record *rec)
{
    if (w->full || w->cap - w->len < mesh_record_size(rec)) {
        w->full = true; /* never half a record */
        return;
    }
    mesh_put_int(w, mesh_record_size(rec) - 2, 2);
    mesh_put_str(w, rec->node);
    mesh_put_int(w, rec->incarnation, 8);
    mesh_put_int(w, rec->sequence, 8);
    mesh_put_int(w, rec->kind, 2);
    mesh_put_int(w, rec->flags, 1);
    mesh_put_str(w, rec->subject);
    mesh_put_int(w, rec->lifetime_ms, 4);
    mesh_put_int(w, rec->age_ms, 4);
    mesh_put_int(w, rec->value_len, 2);
    mesh_put_bytes(w, rec->value, rec->value_len);
    mesh_put_int(w, rec->signature_len, 1);
    mesh_put_bytes(w, rec->signature, rec->signature_len);
}

static size_t age_offset(const struct mesh_record *rec)
{
    return 2 + 1 + (size_t)rec->node.n + 8 + 8 + 2 + 1 + 1 + rec->subject.n + 4;
}

struct mesh_signed mesh_record_signed(const uint8_t *wire, const struct mesh_record *rec)
{
    /* The record's length is left out, since it counts the signature. */
    size_t age = age_offset(rec);
    return (struct mesh_signed){wire + 2, wire + age + 4, age - 2, 2 + (size_t)rec->value_len};
}

void mesh_record_set_age(uint8_t *wire, const struct mesh_record *rec, uint32_t age_ms)
{
    struct mesh_writer w = mesh_writer(wire + age_offset(rec), 4);
    mesh_put_int(&w, age_ms, 4);
}

unsigned mesh_get_count(struct mesh_reader *r, size_t least_each)
{
    unsigned n = (unsigned)mesh_get(r, 2);
    if (r->bad || n > (size_t)(r->end - r->p) / least_each) {
        r->bad = true;
        return 0;
    }
    return n;
}

void mesh_get_summary(struct mesh_reader *r, struct mesh_summary_item *out)
{
    out->node = mesh_get_str(r);
    out->incarnation = mesh_get(r, 8);
    out->highest = mesh_get(r, 8);
    out->hash = mesh_get(r, 8);
    r->bad = r->bad || !mesh_name_ok(out->node) || !out->incarnation;
}

void mesh_put_summary(struct mesh_writer *w, const struct mesh_summary_item *s)
{
    mesh_put_str(w, s->node);
    mesh_put_int(w, s->incarnation, 8);
    mesh_put_int(w, s->highest, 8);
    mesh_put_int(w, s->hash, 8);
}

void mesh_get_want(struct mesh_reader *r, struct mesh_want_item *out)
{
    out->node = mesh_get_str(r);
    out->incarnation = mesh_get(r, 8);
    out->after = mesh_get(r, 8);
    r->bad = r->bad || !mesh_name_ok(out->node);
}

void mesh_put_want(struct mesh_writer *w, const struct mesh_want_item *s)
{
    mesh_put_str(w, s->node);
    mesh_put_int(w, s->incarnation, 8);
    mesh_put_int(w, s->after, 8);
}
