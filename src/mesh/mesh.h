/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine of DSSP (docs/protocol/dssp.md): what this node says goes to every peer, what peers say is kept in a store to
 * be read. It does no I/O and keeps no timer: links are given to it (mesh/link.h), its owner calls mesh_tick when
 * mesh_next_due says so.
 *
 *     monitors, operators ── mesh_put ──> own records ─┐                     ┌── need_link(name) ──> transport
 *                                                      ├─> store ── push ──> links <── mesh_link_up ──┘
 *     model, policies <── calls.changed, mesh_next ────┘      └── digests: what a push has missed
 *
 * An event a peer tells of (MESH_RECORD_EVENT) is a reason to look, not a fact: start a check of one's own, then
 * mesh_verdict(); readers count only confirmed ones (A5).
 *
 * Thread: control. Memory: everything given is copied; a struct mesh_stored is valid until the next call that is not a
 * reader, or as long as the caller holds a reference. Calls may use mesh_put, mesh_remove, mesh_verdict and readers, nothing
 * else. Failure: nothing a peer does fails a call here; what it does wrong is counted, and if it goes on its link is closed.
 * Always: a slow, dead or lying peer costs a bounded amount of memory and time and none of the others' records.
 */
#ifndef PM_MESH_MESH_H
#define PM_MESH_MESH_H

#include "base/clock.h"
#include "mesh/link.h"
#include "mesh/store.h"

struct mesh;

struct mesh_seed {
    const char *name, *region;
};

struct mesh_config {
    const char *node, *region, *site, *software, *address; /* address: where others can call, "host:port" or "" */
    uint64_t incarnation; /* higher than in every earlier life: wall clock in ms */
    uint64_t interval_ms; /* of periodic updates; 0 = off: only events go out */
    const struct mesh_seed *seeds; /* the nodes the configuration names; others are learnt from these */
    size_t seed_count;
    bool closed; /* nodes that are no seeds are not listened to */
    struct mesh_store_limits limits;                 /* 0 = default */
    uint32_t peer_bytes_per_s, peer_records_per_s;   /* taken from one peer; 0 = default; bursts of 8 s */
    uint32_t queue_max, links_max;                   /* 0 = default */
};

/* Signatures (mesh/sign.h). identity: the value of the writer's `identity` record, NULL = none is known. */
struct mesh_trust {
    void *user;
    /* Length of the signature written, or PM_E*. */
    int (*sign)(void *user, const struct mesh_signed *what, uint8_t out[MESH_SIGNATURE_MAX]);
    int (*verify)(void *user, struct mesh_str node, const struct mesh_record *identity, const struct mesh_signed *what,
                  const uint8_t *signature, size_t n);
    const uint8_t *identity; /* our certificate, DER */
    uint16_t identity_len;
};

enum mesh_change { MESH_WRITTEN, MESH_REMOVED, MESH_GONE }; /* gone: ran out, or its writer has started anew */

struct mesh_calls {
    void *user;
    /* A record of another node. May be NULL. */
    void (*changed)(void *user, const struct mesh_stored *s, enum mesh_change what);
    void (*peer)(void *user, const char *name, bool up, const char *why);
    /* A link with this node is wanted (call, and call again while there is none), or is not any more. */
    void (*need_link)(void *user, const char *name, bool needed);
};

/* Defaults are filled in. trust NULL: a mesh that does not sign. */
struct mesh *mesh_new(const struct mesh_config *config, const struct clock *clock, const struct mesh_calls *calls,
                      const struct mesh_trust *trust);
void mesh_free(struct mesh *m); /* says bye and closes all links */

/* The link is the mesh's from here on: it sets calls and user. PM_E*: refused (and not touched); the caller closes it. */
int mesh_link_up(struct mesh *m, struct mesh_link *link) PM_MUST_CHECK;
/* A link that is needed could not be made. */
void mesh_link_failed(struct mesh *m, const char *name);

enum {
    MESH_PUT_EVENT = 1, /* goes out at once, marked as an event */
    MESH_PUT_KEEP = 2,  /* stays true until removed: written again before it runs out */
    MESH_PUT_NOW = 4,   /* an update, but not held back to the interval, nor by `off` */
};
/* What we say. Without EVENT and NOW it goes out at most once per interval, with the newest value then. PM_ERANGE for a
 * subject or value out of bounds or a full store. */
int mesh_put(struct mesh *m, uint16_t kind, const char *subject, const void *value, size_t n, uint32_t lifetime_ms,
             unsigned flags) PM_MUST_CHECK;
/* PM_ENOTFOUND when we do not say it. */
int mesh_remove(struct mesh *m, uint16_t kind, const char *subject, bool event) PM_MUST_CHECK;

/* Readers. Tombstones are not shown. */
const struct mesh_stored *mesh_find(const struct mesh *m, const char *node, uint16_t kind, const char *subject);
/* All records of a kind (0 = any) of all nodes, own ones too, in no order: *it = (struct mesh_iter){0} to begin. */
struct mesh_iter {
    unsigned bucket;
    const struct mesh_origin *origin;
    size_t at;
};
const struct mesh_stored *mesh_next(const struct mesh *m, struct mesh_iter *it, uint16_t kind);
void mesh_verdict(struct mesh *m, const char *node, uint16_t kind, const char *subject, enum mesh_verdict v);
uint32_t mesh_age(const struct mesh *m, const struct mesh_stored *s); /* ms since it was written */
const struct mesh_store *mesh_store_of(const struct mesh *m);

/* Does what is due. */
void mesh_tick(struct mesh *m);
uint64_t mesh_next_due(const struct mesh *m); /* monotonic ms; may be in the past */

/* For `pointsman peers`. */
#define MESH_COUNTERS(X)                                                                                                \
    X(records_in, "Records that came in.")                                                                              \
    X(records_new, "Of these, newer than what was held.")                                                               \
    X(records_same, "Of these, known already.")                                                                         \
    X(records_refused, "Of these, not believed: the peer may not speak for their writer, or the signature is wrong.")   \
    X(records_over, "Of these, beyond the bounds of their writer.")                                                     \
    X(records_out, "Records sent.")                                                                                     \
    X(events_in, "Records that came in as events.")                                                                     \
    X(events_out, "Records sent as events.")                                                                            \
    X(repairs_in, "Records that a comparison brought.")                                                                 \
    X(repairs_out, "Records sent because the peer asked.")                                                              \
    X(throttled, "Messages dropped because the peer sends more than it may.")                                           \
    X(unknown, "Messages of a type we do not know.")                                                                    \
    X(overflows, "Times the queue to the peer was dropped, to be repaired by comparison.")                              \
    X(digests, "Comparisons begun with the peer.")

struct mesh_counters {
#define X(name, doc) uint64_t name;
    MESH_COUNTERS(X)
#undef X
};

struct mesh_peer_status {
    const char *name, *region, *site, *software, *why; /* why: the last link's end; "" = none */
    bool up, seed, needed, called, entry, blocked;
    uint8_t version;
    uint64_t incarnation, up_ms, heard_ms; /* since; ms ago */
    uint32_t rtt_us, queued, records, newest_age_ms; /* records: of this writer, held; the age of its newest */
    uint64_t bytes_in, bytes_out, messages_in, messages_out;
    struct mesh_counters counters; /* since we know of it */
};
/* Calls fn with every node known, by name. */
void mesh_status(const struct mesh *m, void (*fn)(void *ctx, const struct mesh_peer_status *s), void *ctx);

struct mesh_totals {
    size_t records, bytes, writers, links;
    uint64_t incarnation, set_back;
};
void mesh_totals(const struct mesh *m, struct mesh_totals *out);

#endif
