/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/values.h"

#include <string.h>

/* Bits of a sight's state. */
enum { STATE_HEALTH = 3, STATE_STABLE = 4, STATE_V6 = 8, STATE_BITS = 15 };

static const char *const reasons[MESH_REASON_COUNT] = {"none", "unreachable", "reachable", "full", "no-server", "relieved"};

const char *mesh_reason_name(unsigned reason)
{
    return reason < MESH_REASON_COUNT ? reasons[reason] : "unknown";
}

uint8_t mesh_age_code(uint64_t ms)
{
    uint64_t steps = ms / 16;
    unsigned exponent = 0;
    for (; steps >= 16 && exponent < 31; exponent++)
        steps /= 2;
    if (exponent == 0 && steps < 8)
        return (uint8_t)steps;
    /* Codes: 0-7 are steps as they are; above, (8 + fraction) << (exponent - 1). */
    exponent++;
    return exponent > 31 ? 255 : (uint8_t)(exponent << 3 | (steps & 7));
}

uint64_t mesh_age_ms(uint8_t code)
{
    unsigned exponent = code >> 3, fraction = code & 7;
    return (exponent ? (uint64_t)(8 + fraction) << (exponent - 1) : fraction) * 16;
}

static struct mesh_reader value_reader(const struct mesh_record *rec)
{
    return mesh_reader(rec->value, rec->value_len);
}

static int done(const struct mesh_reader *r)
{
    return r->bad || r->p != r->end ? PM_EPROTO : 0;
}

void mesh_put_node(struct mesh_writer *w, const struct mesh_node_value *v)
{
    mesh_put_str(w, v->site);
    mesh_put_str(w, v->region);
    mesh_put_str(w, v->software);
    mesh_put_str(w, v->address);
}

int mesh_get_node(const struct mesh_record *rec, struct mesh_node_value *out)
{
    struct mesh_reader r = value_reader(rec);
    out->site = mesh_get_str(&r);
    out->region = mesh_get_str(&r);
    out->software = mesh_get_str(&r);
    out->address = mesh_get_str(&r);
    return done(&r) || !mesh_name_ok(out->region) ? PM_EPROTO : 0;
}

static void put_sight(struct mesh_writer *w, const struct mesh_sight *s)
{
    uint32_t us = s->response_us;
    if (us != MESH_RESPONSE_NONE && us > MESH_RESPONSE_MAX_US)
        us = MESH_RESPONSE_MAX_US;
    mesh_put_int(w, (s->health & STATE_HEALTH) | (s->stable ? STATE_STABLE : 0) | (s->vip.family == ADDR_V6 ? STATE_V6 : 0), 1);
    mesh_put_int(w, us, 3);
    mesh_put_int(w, mesh_age_code(s->age_ms), 1);
    mesh_put_bytes(w, s->vip.bytes, addr_len(&s->vip));
}

static void get_sight(struct mesh_reader *r, struct mesh_sight *out)
{
    uint8_t state = (uint8_t)mesh_get(r, 1);
    unsigned family = state & STATE_V6 ? ADDR_V6 : ADDR_V4;
    out->health = state & STATE_HEALTH;
    out->stable = state & STATE_STABLE;
    out->response_us = (uint32_t)mesh_get(r, 3);
    out->age_ms = mesh_age_ms((uint8_t)mesh_get(r, 1));
    const uint8_t *bytes = mesh_get_bytes(r, family == ADDR_V6 ? 16 : 4);
    r->bad = r->bad || (state & ~STATE_BITS);
    if (!r->bad)
        addr_from_bytes(&out->vip, family, bytes);
}

void mesh_put_times(struct mesh_writer *w, const struct mesh_sight *sights, unsigned n)
{
    mesh_put_int(w, n, 2);
    for (unsigned i = 0; i < n; i++)
        put_sight(w, &sights[i]);
}

int mesh_get_times(const struct mesh_record *rec, struct mesh_sight *out, unsigned max, unsigned *n)
{
    struct mesh_reader r = value_reader(rec);
    *n = mesh_get_count(&r, 9);
    if (*n > max)
        return PM_ESPACE;
    for (unsigned i = 0; i < *n; i++)
        get_sight(&r, &out[i]);
    return done(&r);
}

void mesh_put_sight(struct mesh_writer *w, const struct mesh_sight *s, enum mesh_reason reason)
{
    put_sight(w, s);
    mesh_put_int(w, reason, 1);
}

int mesh_get_sight(const struct mesh_record *rec, struct mesh_sight *out, uint8_t *reason)
{
    struct mesh_reader r = value_reader(rec);
    get_sight(&r, out);
    *reason = (uint8_t)mesh_get(&r, 1);
    return done(&r);
}

void mesh_put_handoff(struct mesh_writer *w, const struct mesh_handoff_item *items, unsigned n)
{
    mesh_put_int(w, n, 2);
    for (unsigned i = 0; i < n; i++) {
        mesh_put_str(w, items[i].site);
        mesh_put_int(w, items[i].weight, 2);
    }
}

int mesh_get_handoff(const struct mesh_record *rec, struct mesh_handoff_item *out, unsigned max, unsigned *n)
{
    struct mesh_reader r = value_reader(rec);
    *n = mesh_get_count(&r, 3);
    if (*n > max)
        return PM_ESPACE;
    for (unsigned i = 0; i < *n; i++) {
        out[i].site = mesh_get_str(&r);
        out[i].weight = (uint16_t)mesh_get(&r, 2);
    }
    return done(&r);
}

void mesh_put_capacity(struct mesh_writer *w, const struct mesh_capacity *items, unsigned n)
{
    mesh_put_int(w, n, 2);
    for (unsigned i = 0; i < n; i++) {
        mesh_put_addr(w, &items[i].vip);
        mesh_put_int(w, items[i].used, 4);
        mesh_put_int(w, items[i].left, 4);
    }
}

int mesh_get_capacity(const struct mesh_record *rec, struct mesh_capacity *out, unsigned max, unsigned *n)
{
    struct mesh_reader r = value_reader(rec);
    *n = mesh_get_count(&r, 13);
    if (*n > max)
        return PM_ESPACE;
    for (unsigned i = 0; i < *n; i++) {
        out[i].vip = mesh_get_addr(&r);
        out[i].used = (uint32_t)mesh_get(&r, 4);
        out[i].left = (uint32_t)mesh_get(&r, 4);
    }
    return done(&r);
}

void mesh_put_resources(struct mesh_writer *w, const struct mesh_resources *v)
{
    mesh_put_int(w, v->memory_left, 8);
    mesh_put_int(w, v->memory_total, 8);
    mesh_put_int(w, v->load_milli, 4);
}

int mesh_get_resources(const struct mesh_record *rec, struct mesh_resources *out)
{
    struct mesh_reader r = value_reader(rec);
    out->memory_left = mesh_get(&r, 8);
    out->memory_total = mesh_get(&r, 8);
    out->load_milli = (uint32_t)mesh_get(&r, 4);
    return done(&r);
}

void mesh_put_override(struct mesh_writer *w, const struct mesh_override *v)
{
    mesh_put_int(w, v->word, 1);
    mesh_put_int(w, v->scope, 1);
    mesh_put_str(w, v->scope_name);
    mesh_put_int(w, v->said_ms, 8);
    mesh_put_int(w, v->remaining_ms, 8);
    mesh_put_str(w, v->who);
}

int mesh_get_override(const struct mesh_record *rec, struct mesh_override *out)
{
    struct mesh_reader r = value_reader(rec);
    out->word = (uint8_t)mesh_get(&r, 1);
    out->scope = (uint8_t)mesh_get(&r, 1);
    out->scope_name = mesh_get_str(&r);
    out->said_ms = mesh_get(&r, 8);
    out->remaining_ms = mesh_get(&r, 8);
    out->who = mesh_get_str(&r);
    return done(&r) || out->word > 3 || out->scope >= MESH_SCOPE_COUNT ? PM_EPROTO : 0;
}

void mesh_put_persist(struct mesh_writer *w, const struct mesh_persist *v)
{
    mesh_put_addr(w, &v->vip);
    mesh_put_int(w, v->idle_ms, 4);
}

int mesh_get_persist(const struct mesh_record *rec, struct mesh_persist *out)
{
    struct mesh_reader r = value_reader(rec);
    out->vip = mesh_get_addr(&r);
    out->idle_ms = (uint32_t)mesh_get(&r, 4);
    return done(&r);
}

static uint32_t cut_us(uint32_t us)
{
    return us > MESH_RESPONSE_MAX_US ? MESH_RESPONSE_MAX_US : us;
}

void mesh_put_round_trips(struct mesh_writer *w, const struct mesh_round_trip *items, unsigned n)
{
    mesh_put_int(w, n, 2);
    for (unsigned i = 0; i < n; i++) {
        const struct prefix *p = &items[i].prefix;
        mesh_put_int(w, p->addr.family, 1);
        mesh_put_int(w, p->len, 1);
        mesh_put_bytes(w, p->addr.bytes, (p->len + 7u) / 8);
        mesh_put_int(w, cut_us(items[i].us), 3);
        mesh_put_int(w, cut_us(items[i].spread_us), 3);
        mesh_put_int(w, items[i].confidence, 1);
        mesh_put_int(w, items[i].connections, 4);
        mesh_put_int(w, mesh_age_code(items[i].age_ms), 1);
    }
}

/* Wider or narrower ones than anybody measures, and bits beyond the length, are a mistake or a trick. */
static void get_prefix(struct mesh_reader *r, struct prefix *out)
{
    uint8_t family = (uint8_t)mesh_get(r, 1), len = (uint8_t)mesh_get(r, 1), bytes[16] = {0};
    bool v4 = family == ADDR_V4, ok = v4 ? len >= 8 && len <= 32 : family == ADDR_V6 && len >= 16 && len <= 64;
    const uint8_t *from = ok ? mesh_get_bytes(r, (len + 7u) / 8) : NULL;
    r->bad |= !from;
    if (r->bad)
        return;
    struct addr a = {.family = family};
    memcpy(bytes, from, (len + 7u) / 8);
    memcpy(a.bytes, bytes, sizeof bytes);
    prefix_make(out, &a, len);
    r->bad |= !addr_eq(&a, &out->addr);
}

int mesh_get_round_trips(const struct mesh_record *rec, struct mesh_round_trip *out, unsigned max, unsigned *n)
{
    struct mesh_reader r = value_reader(rec);
    *n = mesh_get_count(&r, 15);
    if (*n > max)
        return PM_ESPACE;
    for (unsigned i = 0; i < *n; i++) {
        get_prefix(&r, &out[i].prefix);
        out[i].us = (uint32_t)mesh_get(&r, 3);
        out[i].spread_us = (uint32_t)mesh_get(&r, 3);
        out[i].confidence = (uint8_t)mesh_get(&r, 1);
        out[i].connections = (uint32_t)mesh_get(&r, 4);
        out[i].age_ms = mesh_age_ms((uint8_t)mesh_get(&r, 1));
        r.bad |= !out[i].us || out[i].us > MESH_RESPONSE_MAX_US || out[i].spread_us > MESH_RESPONSE_MAX_US;
    }
    return done(&r);
}
