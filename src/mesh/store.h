/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: what every writer says, by (node, kind, subject). One writer per record, so the newest wins and nobody has to
 * agree: order is (incarnation, sequence, hash of the contents), the same in every store, whatever the order of arrival.
 *
 *   - The first record of a higher incarnation voids all older ones of that node.
 *   - A removal is a record too (a tombstone); it lives at least as long as what it removes could.
 *   - Lifetimes count down wherever a record is held; passing it on does not renew it. In the last quarter of its life (at
 *     most 5 s) a record fades: it can still be read, but is neither counted in digests nor passed on, so two stores whose
 *     clocks are some latency apart do not hand it back and forth.
 *   - Bounds per writer (records, bytes) and over all: a writer beyond them loses its own records, nobody else's.
 *
 * A digest is 64 buckets of XORed hashes, kept up with every change; equal digests mean equal contents.
 *
 * Thread: control. Memory: records are reference counted, since they wait in the queues of slow peers; one that is not
 * `live` any more has been replaced, voided or has expired. Time is passed in (monotonic ms).
 */
#ifndef PM_MESH_STORE_H
#define PM_MESH_STORE_H

#include "base/map.h"
#include "mesh/codec.h"

struct mesh_origin {
    char name[MESH_NAME_MAX + 1];
    uint64_t incarnation, highest; /* highest sequence seen of this incarnation */
    uint64_t hash;                 /* XOR of the hashes of its counted records */
    uint32_t count, counted;       /* records held; those in the hash */
    size_t bytes;
    uint32_t bucket;
    struct map records;             /* kind and subject -> struct mesh_stored */
    struct mesh_origin *prev, *next; /* all of the bucket */
    /* The engine's: somebody was asked for it until; what was said of it in our region, and how often. */
    uint64_t wanted_until_ms, heard_hash;
    uint32_t heard;
    bool announcing;
};

struct mesh_stored {
    struct mesh_record rec; /* points into wire; age_ms is the age at arrival: see mesh_stored_age */
    struct mesh_origin *origin; /* NULL when not live */
    uint64_t hash, born_ms;     /* born: local clock, may be "before" it started */
    uint32_t refs, heap_at;
    bool live, counted;
    uint8_t verdict; /* enum mesh_verdict, the reader's own; a newer record starts afresh */
    uint32_t key_len, wire_len;
    uint8_t bytes[]; /* key, then the record as it is sent */
};

/* A5: an event counts when its reader has seen for itself. */
enum mesh_verdict { MESH_UNVERIFIED, MESH_CONFIRMED, MESH_REFUTED };

struct mesh_store_limits {
    uint32_t origins;          /* writers */
    uint32_t records_each;     /* records of one writer, tombstones included */
    size_t bytes_each, bytes;  /* encoded, of one writer and of all */
};

struct mesh_store;
/* A live record is about to go: expired, or voided by a new incarnation (not: replaced by a newer one). */
typedef void mesh_store_gone_fn(void *ctx, const struct mesh_stored *s);

struct mesh_store *mesh_store_new(const struct mesh_store_limits *limits, mesh_store_gone_fn *gone, void *ctx);
void mesh_store_free(struct mesh_store *st);

/* 0 = it would be taken, PM_EEXISTS = we hold the same or newer or it has nearly run out, PM_ERANGE = over a bound. */
int mesh_store_check(const struct mesh_store *st, const struct mesh_record *rec) PM_MUST_CHECK;
/* As mesh_store_check, and takes it. out: the stored record (no reference taken). */
int mesh_store_apply(struct mesh_store *st, const struct mesh_record *rec, uint64_t now_ms, struct mesh_stored **out)
    PM_MUST_CHECK;
/* The writer itself says which incarnation it is and what its highest sequence is: all else was made up or is void. */
void mesh_store_cut(struct mesh_store *st, const char *node, uint64_t incarnation, uint64_t highest);
/* Drops what has run out. */
void mesh_store_expire(struct mesh_store *st, uint64_t now_ms);
uint64_t mesh_store_next_due(const struct mesh_store *st); /* UINT64_MAX = nothing will */

struct mesh_origin *mesh_store_origin(const struct mesh_store *st, struct mesh_str node); /* NULL */
struct mesh_stored *mesh_store_get(const struct mesh_store *st, struct mesh_str node, uint16_t kind,
                                   struct mesh_str subject); /* NULL; tombstones are found too */
/* All writers of a bucket; NULL at the end. */
struct mesh_origin *mesh_store_bucket(const struct mesh_store *st, unsigned bucket);
const uint64_t *mesh_store_digest(const struct mesh_store *st); /* MESH_BUCKETS values */
size_t mesh_store_count(const struct mesh_store *st);
size_t mesh_store_bytes(const struct mesh_store *st);
size_t mesh_store_origins(const struct mesh_store *st);
/* The counted records of a writer with a sequence above `after`, by sequence but who it is first; free() the array. */
size_t mesh_store_after(const struct mesh_origin *o, uint64_t after, struct mesh_stored ***out);

uint32_t mesh_stored_age(const struct mesh_stored *s, uint64_t now_ms);
uint64_t mesh_stored_expires(const struct mesh_stored *s);
static inline uint8_t *mesh_stored_wire(struct mesh_stored *s)
{
    return s->bytes + s->key_len;
}
struct mesh_stored *mesh_stored_ref(struct mesh_stored *s);
void mesh_stored_unref(struct mesh_stored *s);

#endif
