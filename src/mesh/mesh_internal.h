/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the engine's files: mesh.c (own records, routing, ticks), session.c (one link), repair.c (digests),
 * topology.c (who is there, whom to call). A peer is a node we know of; a session is a link with one.
 *
 *     struct mesh ── peers (by name) ──0..1── struct session ── queue of stored records
 */
#ifndef PM_MESH_INTERNAL_H
#define PM_MESH_INTERNAL_H

#include "mesh/mesh.h"

enum {
    BATCH_MS = 3,
    DIGEST_MS = 5000,
    HELLO_WAIT_MS = 5000,
    PING_AFTER_MS = 10000,
    SILENCE_MS = 20000,
    BLOCKED_MAX_MS = 30000,
    WANT_WAIT_MS = 3000,
    WANT_DELAY_MS = 1500,
    ANNOUNCE_MS = 50,
    UNRELIABLE_MS = 60000,
    FLOOD_MS = 10000,
    BAN_MS = 60000,
    SLOW_MS = 500,
    TOPOLOGY_MS = 5000,
    TOPOLOGY_SOON_MS = 100,
    OTHER_CALLS_MS = 10000,
    SET_BACK_MS = 10000,
    ENTRIES = 2,
    BURST_S = 8,
    PENDING_MAX = 2048,
};

/* Flags of messages beside MESH_MESSAGE_EVENT. */
enum { MESH_MESSAGE_REPAIR = 2, MESH_MESSAGE_NOW = 4 };

struct pending_want { /* the other side had newer; asked for if that is still so when it is due */
    char name[MESH_NAME_MAX + 1];
    uint64_t incarnation, highest, hash, due_ms;
};

struct queued {
    struct mesh_stored *s;
    bool repair;
};

enum session_state { SESSION_HELLO, SESSION_UP, SESSION_DEAD };

struct session {
    struct mesh *m;
    struct mesh_link *link; /* NULL once it is down */
    struct mesh_peer *peer;
    enum session_state state;
    char why[80];
    bool foreign, entry, eager, blocked, dirty, ban;
    uint8_t version;
    uint64_t opened_ms, up_ms, heard_ms, pinged_ms, blocked_ms, asked_ms, unreliable_until_ms, flood_ms, throttled_ms;
    uint64_t ping_ns;
    double byte_tokens, record_tokens, serve_tokens;
    uint64_t refilled_ms;
    struct queued *queue; /* ring */
    uint32_t queue_at, queue_len, queue_cap;
    struct pending_want *pending;
    uint32_t pending_len, pending_cap;
};

struct mesh_peer {
    char name[MESH_NAME_MAX + 1], site[256], software[256];
    uint32_t region; /* number in m->regions */
    uint64_t rank;   /* lowest are our entries in its region */
    bool seed, known, needed; /* known: has said who it is, itself or by a node record */
    struct session *session;  /* NULL, or the one that counts */
    uint64_t incarnation, backoff_until_ms, banned_until_ms, missing_ms;
    uint32_t failures, rtt_us;
    char why[80];
    uint64_t bytes_in, bytes_out, messages_in, messages_out; /* of ended links */
    struct mesh_counters counters;
};

struct own { /* what we say */
    uint16_t kind;
    char subject[MESH_SUBJECT_MAX + 1];
    uint32_t lifetime_ms;
    unsigned flags;
    bool said, waiting; /* waiting: a newer value than the one said last */
    uint64_t said_ms, due_ms;
    uint8_t *value;
    size_t value_len;
    uint32_t key_len;
    uint8_t key[2 + MESH_SUBJECT_MAX];
};

struct region {
    char name[MESH_NAME_MAX + 1];
    struct mesh_peer *want[ENTRIES], *up[ENTRIES]; /* scratch of a pass over the peers */
};

struct mesh {
    struct mesh_config config; /* strings are copies */
    const struct clock *clock;
    struct mesh_calls calls;
    struct mesh_trust trust;
    bool signs;
    uint64_t now, incarnation, sequence, set_back, set_back_ms;
    struct mesh_store *store;
    struct map peers; /* name -> struct mesh_peer */
    struct map own;   /* kind and subject -> struct own */
    struct session **sessions;
    size_t session_count, session_cap;
    struct region *regions; /* 0 is ours */
    uint32_t region_count, region_cap;
    uint64_t flush_due, slow_due, digest_due, topology_due, own_due, announce_due;
    size_t digest_at[2]; /* turn: own region, beyond */
    char (*announce)[MESH_NAME_MAX + 1];
    uint32_t announce_len, announce_cap;
    bool reap;
};

/* mesh.c */
void mesh_note_record(struct session *from, const struct mesh_record *rec, bool repair);
void mesh_set_back(struct mesh *m, uint64_t incarnation);
static inline void mesh_due(uint64_t *due, uint64_t at)
{
    if (at < *due)
        *due = at;
}
static inline void mesh_now(struct mesh *m)
{
    m->now = clock_mono_ms(m->clock);
}

/* session.c */
struct session *session_new(struct mesh *m, struct mesh_link *link, struct mesh_peer *peer);
void session_free(struct session *s);
void session_fail(struct session *s, const char *why); /* bye, closed with the next tick */
void session_queue(struct session *s, struct mesh_stored *rec, bool repair);
void session_flush(struct session *s);
/* A message other than records: sent at once or lost; false = lost. */
bool session_send(struct session *s, const struct mesh_writer *w);
void session_slow(struct session *s); /* timeouts, pings */
void session_close(struct session *s);

/* repair.c */
void repair_begin(struct session *s, bool now);
void repair_digest(struct session *s, struct mesh_reader *r, uint8_t flags);
void repair_summary(struct session *s, struct mesh_reader *r, uint8_t flags);
void repair_want(struct session *s, struct mesh_reader *r);
void repair_pending(struct session *s);
void repair_round(struct mesh *m); /* the periodic comparison */
void repair_announce(struct mesh *m, const char *node);
void repair_announce_flush(struct mesh *m);
/* May this peer speak for this node at all, signatures aside? */
bool repair_believes(const struct session *s, struct mesh_str node);

/* topology.c */
struct mesh_peer *topology_peer(struct mesh *m, struct mesh_str name, struct mesh_str region); /* finds or makes; NULL = full */
struct mesh_peer *topology_find(const struct mesh *m, struct mesh_str name);
void topology_learn(struct mesh *m, const struct mesh_record *node_record);
void topology_update(struct mesh *m);
void topology_soon(struct mesh *m);
void topology_failed(struct mesh *m, struct mesh_peer *p);
void topology_free(struct mesh *m);

#endif
