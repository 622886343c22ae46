/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/store.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"

enum { FADE_MS = 5000, KEY_MAX = 2 + MESH_SUBJECT_MAX };

struct mesh_store {
    struct mesh_store_limits limits;
    mesh_store_gone_fn *gone;
    void *ctx;
    struct map origins; /* name -> struct mesh_origin */
    struct mesh_origin *buckets[MESH_BUCKETS];
    uint64_t digest[MESH_BUCKETS];
    struct mesh_stored **heap; /* by when something is to be done with it */
    size_t heap_len, heap_cap;
    size_t records, bytes;
};

static uint32_t fade_ms(uint32_t lifetime_ms)
{
    return lifetime_ms / 4 < FADE_MS ? lifetime_ms / 4 : FADE_MS;
}

uint64_t mesh_stored_expires(const struct mesh_stored *s)
{
    return s->born_ms + s->rec.lifetime_ms;
}

uint32_t mesh_stored_age(const struct mesh_stored *s, uint64_t now_ms)
{
    uint64_t age = now_ms - s->born_ms; /* born may have wrapped below zero: the difference is right */
    return age > s->rec.lifetime_ms ? s->rec.lifetime_ms : (uint32_t)age;
}

struct mesh_stored *mesh_stored_ref(struct mesh_stored *s)
{
    s->refs++;
    return s;
}

void mesh_stored_unref(struct mesh_stored *s)
{
    if (--s->refs == 0)
        free(s);
}

/* ---- the heap of what is due ---- */

static uint64_t due_ms(const struct mesh_stored *s)
{
    return mesh_stored_expires(s) - (s->counted ? fade_ms(s->rec.lifetime_ms) : 0);
}

static void heap_set(struct mesh_store *st, size_t at, struct mesh_stored *s)
{
    st->heap[at] = s;
    s->heap_at = (uint32_t)at;
}

static void heap_fix(struct mesh_store *st, size_t at)
{
    struct mesh_stored *s = st->heap[at];
    for (; at && due_ms(st->heap[(at - 1) / 2]) > due_ms(s); at = (at - 1) / 2)
        heap_set(st, at, st->heap[(at - 1) / 2]);
    for (size_t child; (child = 2 * at + 1) < st->heap_len; at = child) {
        if (child + 1 < st->heap_len && due_ms(st->heap[child + 1]) < due_ms(st->heap[child]))
            child++;
        if (due_ms(st->heap[child]) >= due_ms(s))
            break;
        heap_set(st, at, st->heap[child]);
    }
    heap_set(st, at, s);
}

static void heap_add(struct mesh_store *st, struct mesh_stored *s)
{
    if (st->heap_len == st->heap_cap) {
        st->heap_cap = st->heap_cap ? st->heap_cap * 2 : 64;
        st->heap = mem_realloc(st->heap, st->heap_cap * sizeof(struct mesh_stored *));
    }
    heap_set(st, st->heap_len++, s);
    heap_fix(st, st->heap_len - 1);
}

static void heap_del(struct mesh_store *st, struct mesh_stored *s)
{
    size_t at = s->heap_at;
    struct mesh_stored *last = st->heap[--st->heap_len];
    if (last != s) {
        heap_set(st, at, last);
        heap_fix(st, at);
    }
}

/* ---- hashes ---- */

static uint64_t record_hash(const struct mesh_record *rec, const uint8_t *wire)
{
    struct mesh_signed s = mesh_record_signed(wire, rec);
    return hash_bytes(s.b, s.b_len, hash_bytes(s.a, s.a_len, 0));
}

/* What a writer adds to its bucket; nothing while none of its records count. */
static uint64_t origin_share(const struct mesh_origin *o)
{
    uint64_t words[2] = {htobe64(o->incarnation), htobe64(o->hash)};
    return o->counted ? hash_bytes(words, sizeof words, hash_bytes(o->name, strlen(o->name), 0)) : 0;
}

static void count(struct mesh_store *st, struct mesh_stored *s, bool in)
{
    struct mesh_origin *o = s->origin;
    if (s->counted == in)
        return;
    st->digest[o->bucket] ^= origin_share(o);
    o->hash ^= s->hash;
    o->counted += in ? 1 : -1u;
    st->digest[o->bucket] ^= origin_share(o);
    s->counted = in;
}

/* ---- writers ---- */

static struct mesh_origin *origin_new(struct mesh_store *st, struct mesh_str node)
{
    struct mesh_origin *o = mem_alloc(sizeof *o);
    memcpy(o->name, node.p, node.n);
    o->bucket = (uint32_t)(hash_bytes(o->name, node.n, 0) % MESH_BUCKETS);
    o->next = st->buckets[o->bucket];
    if (o->next)
        o->next->prev = o;
    st->buckets[o->bucket] = o;
    map_put(&st->origins, o->name, node.n, o);
    return o;
}

static void origin_free(struct mesh_store *st, struct mesh_origin *o)
{
    map_del(&st->origins, o->name, strlen(o->name));
    *(o->prev ? &o->prev->next : &st->buckets[o->bucket]) = o->next;
    if (o->next)
        o->next->prev = o->prev;
    map_fini(&o->records);
    free(o);
}

/* Takes a record out of everything; its origin stays even if that was the last one. */
static void detach(struct mesh_store *st, struct mesh_stored *s)
{
    struct mesh_origin *o = s->origin;
    count(st, s, false);
    heap_del(st, s);
    map_del(&o->records, s->bytes, s->key_len);
    o->count--;
    o->bytes -= s->wire_len;
    st->bytes -= s->wire_len;
    st->records--;
    s->live = false;
    s->origin = NULL;
    mesh_stored_unref(s);
}

static void drop(struct mesh_store *st, struct mesh_stored *s)
{
    if (st->gone)
        st->gone(st->ctx, s);
    detach(st, s);
}

/* Drops the records with a sequence above `highest`; 0 = all. */
static void drop_above(struct mesh_store *st, struct mesh_origin *o, uint64_t highest)
{
    struct mesh_stored **all = mem_alloc((o->count + 1) * sizeof(struct mesh_stored *));
    size_t n = 0, at = 0;
    struct map_slot slot;
    while (map_next(&o->records, &at, &slot)) {
        struct mesh_stored *s = slot.value;
        if (s->rec.sequence > highest)
            all[n++] = s;
    }
    for (size_t i = 0; i < n; i++)
        drop(st, all[i]);
    free(all);
}

struct mesh_store *mesh_store_new(const struct mesh_store_limits *limits, mesh_store_gone_fn *gone, void *ctx)
{
    struct mesh_store *st = mem_alloc(sizeof *st);
    st->limits = *limits;
    st->gone = gone;
    st->ctx = ctx;
    map_init(&st->origins);
    return st;
}

void mesh_store_free(struct mesh_store *st)
{
    if (!st)
        return;
    st->gone = NULL;
    for (unsigned b = 0; b < MESH_BUCKETS; b++)
        while (st->buckets[b]) {
            drop_above(st, st->buckets[b], 0);
            origin_free(st, st->buckets[b]);
        }
    map_fini(&st->origins);
    free(st->heap);
    free(st);
}

struct mesh_origin *mesh_store_origin(const struct mesh_store *st, struct mesh_str node)
{
    return map_get(&st->origins, node.p, node.n);
}

static uint32_t make_key(uint8_t *out, uint16_t kind, struct mesh_str subject)
{
    out[0] = (uint8_t)(kind >> 8);
    out[1] = (uint8_t)kind;
    memcpy(out + 2, subject.p, subject.n);
    return 2u + subject.n;
}

static struct mesh_stored *find(const struct mesh_origin *o, uint16_t kind, struct mesh_str subject)
{
    uint8_t key[KEY_MAX];
    return map_get(&o->records, key, make_key(key, kind, subject));
}

struct mesh_stored *mesh_store_get(const struct mesh_store *st, struct mesh_str node, uint16_t kind, struct mesh_str subject)
{
    const struct mesh_origin *o = mesh_store_origin(st, node);
    return o ? find(o, kind, subject) : NULL;
}

/* Would these bytes fit beside what is held? Of a voided incarnation and of a replaced record nothing counts. */
static bool fits(const struct mesh_store *st, const struct mesh_origin *o, const struct mesh_stored *old, bool voids,
                 size_t add)
{
    const struct mesh_store_limits *l = &st->limits;
    size_t freed = !o ? 0 : voids ? o->bytes : old ? old->wire_len : 0;
    uint32_t records = !o || voids ? 0 : o->count - (old ? 1 : 0);
    size_t bytes = (o ? o->bytes : 0) - freed;
    return (o || st->origins.count < l->origins) && records < l->records_each && bytes + add <= l->bytes_each &&
           st->bytes - freed + add <= l->bytes;
}

/* PM_EEXISTS if what we hold is as new. The last word, the hash, needs the encoded record: wire NULL leaves it out. */
static int newer(const struct mesh_origin *o, const struct mesh_stored *old, const struct mesh_record *rec, const uint64_t *hash)
{
    if (rec->lifetime_ms - rec->age_ms <= fade_ms(rec->lifetime_ms))
        return PM_EEXISTS;
    if (o && rec->incarnation != o->incarnation)
        return rec->incarnation > o->incarnation ? 0 : PM_EEXISTS;
    if (!old || rec->sequence > old->rec.sequence)
        return 0;
    return rec->sequence == old->rec.sequence && hash && *hash > old->hash ? 0 : PM_EEXISTS;
}

/* Hashes a record that is not stored; only needed when a writer uses a sequence twice, which an honest one never does. */
static uint64_t hash_of(const struct mesh_record *rec)
{
    size_t n = mesh_record_size(rec);
    uint8_t *wire = mem_alloc(n);
    struct mesh_writer w = mesh_writer(wire, n);
    mesh_put_record(&w, rec);
    uint64_t hash = record_hash(rec, wire);
    free(wire);
    return hash;
}

int mesh_store_check(const struct mesh_store *st, const struct mesh_record *rec)
{
    const struct mesh_origin *o = mesh_store_origin(st, rec->node);
    const struct mesh_stored *old = o ? find(o, rec->kind, rec->subject) : NULL;
    int err;
    if (old && old->rec.incarnation == rec->incarnation && old->rec.sequence == rec->sequence) {
        uint64_t hash = hash_of(rec);
        err = newer(o, old, rec, &hash);
    } else {
        err = newer(o, old, rec, NULL);
    }
    if (err)
        return err;
    bool voids = o && rec->incarnation > o->incarnation;
    return fits(st, o, old, voids, mesh_record_size(rec)) ? 0 : PM_ERANGE;
}

static struct mesh_stored *stored_new(const struct mesh_record *rec, uint64_t now_ms)
{
    uint32_t size = (uint32_t)mesh_record_size(rec), key_len = 2u + rec->subject.n;
    struct mesh_stored *s = mem_alloc(sizeof *s + key_len + size);
    s->refs = 1;
    s->live = true;
    s->key_len = key_len;
    s->wire_len = size;
    s->born_ms = now_ms - rec->age_ms;
    make_key(s->bytes, rec->kind, rec->subject);
    struct mesh_writer w = mesh_writer(mesh_stored_wire(s), size);
    mesh_put_record(&w, rec);
    struct mesh_reader r = mesh_reader(mesh_stored_wire(s), size);
    if (mesh_get_record(&r, &s->rec) < 0)
        abort(); /* we wrote it just now: a record that came in was checked, one of ours was checked by mesh_put */
    s->hash = record_hash(&s->rec, mesh_stored_wire(s));
    return s;
}

int mesh_store_apply(struct mesh_store *st, const struct mesh_record *rec, uint64_t now_ms, struct mesh_stored **out)
{
    *out = NULL;
    int err = mesh_store_check(st, rec);
    if (err)
        return err;
    struct mesh_stored *s = stored_new(rec, now_ms);
    struct mesh_origin *o = mesh_store_origin(st, rec->node);
    if (!o)
        o = origin_new(st, rec->node);
    if (rec->incarnation > o->incarnation) {
        drop_above(st, o, 0);
        o->incarnation = rec->incarnation;
        o->highest = 0;
    }
    struct mesh_stored *old = find(o, rec->kind, rec->subject);
    if (old)
        detach(st, old);
    s->origin = o;
    map_put(&o->records, s->bytes, s->key_len, s);
    o->highest = rec->sequence > o->highest ? rec->sequence : o->highest;
    o->count++;
    o->bytes += s->wire_len;
    st->bytes += s->wire_len;
    st->records++;
    count(st, s, true);
    heap_add(st, s);
    *out = s;
    return 0;
}

void mesh_store_cut(struct mesh_store *st, const char *node, uint64_t incarnation, uint64_t highest)
{
    struct mesh_origin *o = mesh_store_origin(st, mesh_str(node));
    if (!o)
        return;
    drop_above(st, o, o->incarnation == incarnation ? highest : 0);
    if (o->incarnation == incarnation && o->highest > highest)
        o->highest = highest;
    if (!o->count)
        origin_free(st, o);
}

void mesh_store_expire(struct mesh_store *st, uint64_t now_ms)
{
    while (st->heap_len && due_ms(st->heap[0]) <= now_ms) {
        struct mesh_stored *s = st->heap[0];
        struct mesh_origin *o = s->origin;
        if (s->counted) {
            count(st, s, false);
            heap_fix(st, 0);
            continue;
        }
        drop(st, s);
        if (!o->count)
            origin_free(st, o);
    }
}

uint64_t mesh_store_next_due(const struct mesh_store *st)
{
    return st->heap_len ? due_ms(st->heap[0]) : UINT64_MAX;
}

struct mesh_origin *mesh_store_bucket(const struct mesh_store *st, unsigned bucket)
{
    return st->buckets[bucket];
}

const uint64_t *mesh_store_digest(const struct mesh_store *st)
{
    return st->digest;
}

size_t mesh_store_count(const struct mesh_store *st)
{
    return st->records;
}

size_t mesh_store_bytes(const struct mesh_store *st)
{
    return st->bytes;
}

size_t mesh_store_origins(const struct mesh_store *st)
{
    return st->origins.count;
}

/* Identity and node come first: without them the rest may not be believed. */
static int rank(const struct mesh_stored *s)
{
    return s->rec.kind == MESH_KIND_IDENTITY ? 0 : s->rec.kind == MESH_KIND_NODE ? 1 : 2;
}

static int by_sequence(const void *a, const void *b)
{
    const struct mesh_stored *x = *(const struct mesh_stored *const *)a, *y = *(const struct mesh_stored *const *)b;
    if (rank(x) != rank(y))
        return rank(x) - rank(y);
    return x->rec.sequence < y->rec.sequence ? -1 : x->rec.sequence > y->rec.sequence;
}

size_t mesh_store_after(const struct mesh_origin *o, uint64_t after, struct mesh_stored ***out)
{
    struct mesh_stored **all = mem_alloc((o->count + 1) * sizeof(struct mesh_stored *));
    size_t n = 0, at = 0;
    struct map_slot slot;
    while (map_next(&o->records, &at, &slot)) {
        struct mesh_stored *s = slot.value;
        if (s->counted && s->rec.sequence > after)
            all[n++] = s;
    }
    qsort(all, n, sizeof(struct mesh_stored *), by_sequence);
    *out = all;
    return n;
}
