/* SPDX-License-Identifier: Apache-2.0 */
/* What we say: values by (kind, subject), written as records when the rules of updates and events allow (A5). */
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "mesh/mesh_internal.h"
#include "mesh/values.h"

enum { TOMBSTONE_MS = 60000, NODE_LIFETIME_MS = 3600000 };
static const uint64_t JUMP_MAX_MS = 10ull * 366 * 86400 * 1000;

static uint32_t make_key(uint8_t out[2 + MESH_SUBJECT_MAX], uint16_t kind, const char *subject)
{
    size_t n = strlen(subject);
    out[0] = (uint8_t)(kind >> 8);
    out[1] = (uint8_t)kind;
    memcpy(out + 2, subject, n);
    return (uint32_t)(2 + n);
}

static bool subject_ok(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return false;
    return n <= MESH_SUBJECT_MAX;
}

/* ---- records ---- */

/* Signs what is already encoded in scratch; the record points at its signature then. */
static int sign(struct mesh *m, struct mesh_record *rec, uint8_t signature[MESH_SIGNATURE_MAX])
{
    static uint8_t wire[MESH_RECORD_MAX];
    if (!m->signs)
        return 0;
    struct mesh_writer w = mesh_writer(wire, sizeof wire);
    mesh_put_record(&w, rec);
    struct mesh_signed what = mesh_record_signed(wire, rec);
    int n = m->trust.sign(m->trust.user, &what, signature);
    if (n < 0)
        return n;
    rec->signature = signature;
    rec->signature_len = (uint8_t)n;
    return 0;
}

/* Writes a record into our own store and sends it out. */
static int write_record(struct mesh *m, uint16_t kind, const char *subject, const uint8_t *value, size_t n,
                        uint32_t lifetime_ms, uint8_t flags)
{
    uint8_t signature[MESH_SIGNATURE_MAX];
    struct mesh_stored *s;
    struct mesh_record rec = {.node = mesh_str(m->config.node),
                              .incarnation = m->incarnation,
                              .sequence = m->sequence + 1,
                              .kind = kind,
                              .flags = flags,
                              .subject = mesh_str(subject),
                              .lifetime_ms = lifetime_ms,
                              .value = value,
                              .value_len = (uint16_t)n};
    int err = sign(m, &rec, signature);
    if (!err)
        err = mesh_store_apply(m->store, &rec, m->now, &s);
    if (err)
        return err;
    m->sequence++;
    mesh_push(m, NULL, s);
    return 0;
}

static int say(struct mesh *m, struct own *o, bool event)
{
    int err =
        write_record(m, o->kind, o->subject, o->value, o->value_len, o->lifetime_ms, event ? MESH_RECORD_EVENT : 0);
    if (err)
        return err;
    o->said = true;
    o->waiting = false;
    o->said_ms = m->now;
    return 0;
}

/* When it must be looked at again; UINT64_MAX = never. */
static uint64_t due_of(const struct mesh *m, const struct own *o)
{
    uint64_t due = UINT64_MAX;
    if (o->waiting && m->config.interval_ms)
        due = o->said ? o->said_ms + m->config.interval_ms : m->now;
    if (o->said && o->flags & MESH_PUT_KEEP)
        mesh_due(&due, o->said_ms + o->lifetime_ms / 3 * 2);
    else if (o->said)
        mesh_due(&due, o->said_ms + o->lifetime_ms);
    return due;
}

static void own_drop(struct mesh *m, struct own *o)
{
    map_del(&m->own, o->key, o->key_len);
    free(o->value);
    free(o);
}

/* ---- the owner's calls ---- */

int mesh_put(struct mesh *m, uint16_t kind, const char *subject, const void *value, size_t n, uint32_t lifetime_ms,
             unsigned flags)
{
    uint8_t key[2 + MESH_SUBJECT_MAX];
    if (!subject_ok(subject) || n > MESH_VALUE_MAX || lifetime_ms < MESH_LIFETIME_MIN_MS ||
        lifetime_ms > MESH_LIFETIME_MAX_MS)
        return PM_ERANGE;
    mesh_now(m);
    uint32_t key_len = make_key(key, kind, subject);
    struct own *o = map_get(&m->own, key, key_len);
    bool at_once = flags & (MESH_PUT_EVENT | MESH_PUT_NOW);
    if (o && !at_once && o->flags == flags && o->value_len == n && memcmp(o->value, value, n) == 0 &&
        (o->said || o->waiting))
        return PM_OK; /* nothing new */
    if (!o) {
        if (m->own.count >= m->config.limits.records_each)
            return PM_ERANGE;
        o = mem_alloc(sizeof *o);
        o->kind = kind;
        strcpy(o->subject, subject);
        o->key_len = key_len;
        memcpy(o->key, key, key_len);
        map_put(&m->own, o->key, key_len, o);
    }
    free(o->value);
    o->value = memcpy(mem_alloc(n + 1), value, n);
    o->value_len = n;
    o->lifetime_ms = lifetime_ms;
    o->flags = flags & ~(unsigned)MESH_PUT_EVENT;
    o->waiting = true;
    int err = at_once ? say(m, o, flags & MESH_PUT_EVENT) : PM_OK;
    if (err && !o->said)
        own_drop(m, o);
    else
        mesh_due(&m->own_due, due_of(m, o));
    return err;
}

int mesh_remove(struct mesh *m, uint16_t kind, const char *subject, bool event)
{
    uint8_t key[2 + MESH_SUBJECT_MAX];
    if (!subject_ok(subject))
        return PM_ERANGE;
    mesh_now(m);
    struct own *o = map_get(&m->own, key, make_key(key, kind, subject));
    if (!o)
        return PM_ENOTFOUND;
    uint32_t lifetime = o->lifetime_ms > TOMBSTONE_MS ? o->lifetime_ms : TOMBSTONE_MS;
    bool said = o->said;
    own_drop(m, o);
    if (!said)
        return PM_OK;
    return write_record(m, kind, subject, NULL, 0, lifetime,
                        (uint8_t)(MESH_RECORD_TOMBSTONE | (event ? MESH_RECORD_EVENT : 0)));
}

/* ---- time ---- */

void own_tick(struct mesh *m)
{
    if (m->now < m->own_due)
        return;
    struct own **due = mem_alloc((m->own.count + 1) * sizeof(struct own *));
    size_t n = 0, at = 0;
    struct map_slot slot;
    m->own_due = UINT64_MAX;
    while (map_next(&m->own, &at, &slot)) {
        struct own *o = slot.value;
        uint64_t when = due_of(m, o);
        if (when <= m->now)
            due[n++] = o;
        else
            mesh_due(&m->own_due, when);
    }
    for (size_t i = 0; i < n; i++) {
        struct own *o = due[i];
        if (o->said && !o->waiting && !(o->flags & MESH_PUT_KEEP))
            own_drop(m, o);
        else if (say(m, o, false) == 0)
            mesh_due(&m->own_due, due_of(m, o));
        else
            mesh_due(&m->own_due, m->now + 1000);
    }
    free(due);
}

static void say_all(struct mesh *m)
{
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&m->own, &at, &slot)) {
        struct own *o = slot.value;
        if (o->said)
            (void)say(m, o, false);
    }
}

void own_set_back(struct mesh *m, uint64_t incarnation)
{
    if (incarnation < m->incarnation || incarnation - m->incarnation > JUMP_MAX_MS ||
        (m->set_back && m->now - m->set_back_ms < SET_BACK_MS))
        return;
    m->incarnation = incarnation + 1;
    m->set_back++;
    m->set_back_ms = m->now;
    say_all(m);
}

void own_start(struct mesh *m)
{
    uint8_t value[1024];
    struct mesh_writer w = mesh_writer(value, sizeof value);
    struct mesh_node_value v = {mesh_str(m->config.site), mesh_str(m->config.region), mesh_str(m->config.software),
                                mesh_str(m->config.address)};
    mesh_put_node(&w, &v);
    const unsigned flags = MESH_PUT_NOW | MESH_PUT_KEEP;
    int err = m->signs ? mesh_put(m, MESH_KIND_IDENTITY, "", m->trust.identity, m->trust.identity_len, NODE_LIFETIME_MS,
                                  flags)
                       : 0;
    if (!err)
        err = mesh_put(m, MESH_KIND_NODE, "", w.p, w.len, NODE_LIFETIME_MS, flags);
    if (err)
        abort(); /* an empty store takes two records of bounded size */
}

void own_free(struct mesh *m)
{
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&m->own, &at, &slot)) {
        struct own *o = slot.value;
        free(o->value);
        free(o);
    }
    map_fini(&m->own);
}
