/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the engine's files: mesh.c (life, what is shown), own.c (what we say), session.c (one link), repair.c
 * (comparisons), topology.c (who is there, whom to call). A peer is a node we know of; a session is a link with one.
 *
 *     struct mesh ── peers (by name) ──0..1── struct session ── queue of stored records
 */
#ifndef PM_MESH_INTERNAL_H
#define PM_MESH_INTERNAL_H

#include "base/map.h"
#include "mesh/mesh.h"

enum {
    BATCH_MS = 3,          /* pushes to one peer are gathered so long */
    DIGEST_MS = 5000,      /* between comparisons */
    EVENT_DIGEST_MS = 350, /* after an event: five more, so that whom a push could not reach hears of it soon */
    EVENT_DIGESTS = 5,
    BACKOFF_MAX_MS = 8000,
    HELLO_WAIT_MS = 5000,
    PING_AFTER_MS = 10000, /* of silence; a tenth of it after a link came up, to know its round trip */
    SILENCE_MS = 20000,
    BLOCKED_MAX_MS = 30000, /* a peer that takes nothing */
    WANT_WAIT_MS = 3000,    /* a writer is asked for from one peer at a time */
    WANT_DELAY_MS = 1500,   /* what a comparison shows as missing may be on its way */
    FLOOD_MS = 10000,       /* a peer that sends too much for so long is let go, */
    BAN_MS = 60000,         /* and kept out for so long */
    SLOW_MS = 500,          /* between looks at timeouts */
    TOPOLOGY_MS = 5000,
    OTHER_CALLS_MS = 10000, /* the lower name calls; if it does not manage, the higher does, too */
    SET_BACK_MS = 10000,
    ENTRIES = 2,
    BURST_S = 8,
    PENDING_MAX = 2048,
};

/* A flag of messages beside MESH_MESSAGE_EVENT: a comparison of a new link, what is missing is not on its way. */
enum { MESH_MESSAGE_NOW = 4 };

/* The other side had newer; asked for if that is still so when it is due. */
struct pending_want {
    char name[MESH_NAME_MAX + 1];
    uint64_t incarnation, highest, hash, due_ms;
};

struct queued {
    struct mesh_stored *s; /* a reference */
    bool repair;
};

enum session_state { SESSION_HELLO, SESSION_UP, SESSION_DEAD };

struct session {
    struct mesh *m;
    struct mesh_link *link; /* NULL once it is down */
    struct mesh_peer *peer; /* NULL before hello */
    enum session_state state;
    char why[96];
    bool foreign, blocked, dirty, eager; /* dirty: its queue was dropped; eager: compare as soon as it can take it */
    unsigned entry;                      /* 1 .. ENTRIES: our way into its region; 0 = it is none */
    uint8_t version;
    uint64_t opened_ms, up_ms, heard_ms, pinged_ms, blocked_ms, flood_ms, throttled_ms, refilled_ms, ping_ns;
    bool waiting_pong;
    double byte_tokens, record_tokens;
    struct queued *queue; /* ring */
    uint32_t queue_at, queue_len, queue_cap;
    struct pending_want *pending;
    uint32_t pending_len, pending_cap;
};

struct mesh_peer {
    char name[MESH_NAME_MAX + 1], site[256], software[256], why[96];
    uint32_t region; /* number in m->regions */
    uint64_t rank;   /* lowest are our entries in its region */
    bool seed, needed;
    struct session *session; /* NULL, or the one that counts */
    uint64_t incarnation, backoff_until_ms, banned_until_ms, missing_ms;
    uint32_t failures, rtt_us;
    uint64_t bytes_in, bytes_out, messages_in, messages_out; /* of ended links */
    struct mesh_counters counters;
};

/* What we say. */
struct own {
    uint16_t kind;
    char subject[MESH_SUBJECT_MAX + 1];
    uint32_t lifetime_ms;
    unsigned flags;
    bool said, waiting; /* waiting: a newer value than the one said last */
    uint64_t said_ms;
    uint8_t *value;
    size_t value_len;
    uint32_t key_len;
    uint8_t key[2 + MESH_SUBJECT_MAX];
};

struct region {
    char name[MESH_NAME_MAX + 1];
    struct mesh_peer *want[ENTRIES], *up[ENTRIES]; /* scratch of a pass over the peers */
};

/* A writer we have asked somebody for. */
struct wanted {
    char name[MESH_NAME_MAX + 1];
    uint64_t until_ms;
};

struct mesh {
    struct mesh_config config; /* strings are copies; seeds are peers */
    const struct clock *clock;
    struct mesh_calls calls;
    struct mesh_trust trust;
    bool signs;
    uint64_t now, incarnation, sequence, set_back, set_back_ms;
    struct mesh_store *store;
    struct map peers;  /* name -> struct mesh_peer */
    struct map own;    /* kind and subject -> struct own */
    struct map wanted; /* name -> struct wanted */
    struct session **sessions;
    size_t session_count, session_cap;
    struct region *regions; /* 0 is ours */
    uint32_t region_count;
    uint64_t flush_due, slow_due, digest_due, topology_due, own_due;
    size_t turn[2]; /* of comparisons: own region, beyond */
    unsigned event_digests;
};

static inline void mesh_due(uint64_t *due, uint64_t at)
{
    if (at < *due)
        *due = at;
}
static inline void mesh_now(struct mesh *m)
{
    m->now = clock_mono_ms(m->clock);
}

/* own.c */
void own_start(struct mesh *m); /* who we are */
void own_tick(struct mesh *m);
void own_free(struct mesh *m);
void own_set_back(struct mesh *m, uint64_t incarnation); /* somebody has a later life of ours */

/* mesh.c */
void mesh_heard(struct session *from, const struct mesh_record *rec, bool repair);
/* May this peer speak for this node at all, signatures aside? */
bool mesh_believes(const struct session *from, struct mesh_str node);
/* Sends a new record to whom it concerns: from NULL = our own. */
void mesh_push(struct mesh *m, const struct session *from, struct mesh_stored *s);

/* session.c */
struct session *session_new(struct mesh *m, struct mesh_link *link);
void session_free(struct session *s);
/* Bye; closed and freed with the next tick. */
void session_fail(struct session *s, const char *why);
void session_queue(struct session *s, struct mesh_stored *rec, bool repair);
void session_flush(struct session *s);
/* A message other than records: sent at once or lost. */
void session_send(struct session *s, const struct mesh_writer *w);
void session_slow(struct session *s); /* timeouts, pings */

/* repair.c */
void repair_begin(struct session *s, bool now);
void repair_digest(struct session *s, struct mesh_reader *r, uint8_t flags);
void repair_summary(struct session *s, struct mesh_reader *r, uint8_t flags);
void repair_want(struct session *s, struct mesh_reader *r);
void repair_pending(struct session *s);
void repair_round(struct mesh *m); /* the periodic comparison */
void repair_soon(struct mesh *m);  /* there was an event */

/* topology.c */
struct mesh_peer *topology_find(const struct mesh *m, struct mesh_str name);
/* Finds or makes; NULL = there are too many. region.n == 0: as it was, or ours. */
struct mesh_peer *topology_peer(struct mesh *m, struct mesh_str name, struct mesh_str region);
void topology_learn(struct mesh *m, const struct mesh_record *node_record);
void topology_update(struct mesh *m);
void topology_up(struct session *s);
void topology_down(struct session *s);
void topology_free(struct mesh *m);

#endif
