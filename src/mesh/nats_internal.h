/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of mesh/transport_nats.c: one link (nats_link.c), the connection to the cluster
 * (nats_bus.c), presence and who calls whom (transport_nats.c).
 *
 * A message on the bus, big-endian:
 *     'D' 'N', u8 version 1, u8 type, u64 link, u32 sequence, u32 acknowledged, then by type:
 *     call   str8 caller's name, TLS bytes      sequence 0 of a link, number chosen at random by
 * the caller data   TLS bytes                          sequence counts the sender's packets of the
 * link ack    -                                  all packets before `acknowledged` have come;
 * sequence has no meaning nak    -                                  likewise, and a later one has
 * come before it: send again reset  str8 why                           the link is no more here u64
 * life, u8 flags, str8 name, str8 region       flags: 1 = please call me
 *
 * A link is freed by nats_reap only, never inside a call: whoever calls out may go on to look at
 * l->state.
 */
#ifndef PM_MESH_NATS_INTERNAL_H
#define PM_MESH_NATS_INTERNAL_H

#include "base/map.h"
#include "mesh/nats_bus.h"

enum {
    NATS_HEAD = 20,
    NATS_PIECE = 32 * 1024, /* TLS bytes in one packet; the server's default limit is 1 MiB */
    NATS_FRAME_HEAD = 4,
    NATS_SUBJECT_MAX = 200,
    NATS_RX = 32 * 1024,
};
enum nats_type { NATS_CALL = 1, NATS_DATA, NATS_ACK, NATS_NAK, NATS_RESET, NATS_HERE };
enum { NATS_CALL_ME = 1 };

enum nats_link_state { NATS_HANDSHAKE, NATS_GREETING, NATS_UP, NATS_CLOSED };

struct nats_peer {
    struct mesh_nats *t;
    char name[MESH_NAME_MAX + 1], region[MESH_NAME_MAX + 1];
    uint64_t life, heard_ms, retry_ms, asked_ms; /* life 0 = not heard of; not before retry_ms */
    bool needed, proven,
        anew; /* proven: it had a link; anew: it has started anew since its link was made */
    unsigned failures;
    struct nats_link *link, *call; /* call: ours, on its way */
};

struct nats_link {
    struct mesh_link link;
    struct mesh_nats *t;
    struct nats_peer *peer; /* of a call to us: when its name is proven */
    struct nats_link *next, *prev;
    enum nats_link_state state;
    uint64_t id;
    char subject[NATS_SUBJECT_MAX + MESH_NAME_MAX + 8];
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    /* what goes out */
    struct nats_packet **flight; /* a ring of what is not acknowledged */
    uint32_t flight_cap, flight_at, flight_count, next_seq;
    size_t flight_bytes;
    bool blocked, drained;
    uint64_t progress_ms, resend_ms;
    unsigned resend_wait_ms;
    /* what comes in */
    uint32_t expected;
    size_t unacknowledged;
    uint64_t ack_due_ms; /* 0 = none */
    uint64_t opened_ms;
    uint8_t head[NATS_FRAME_HEAD];
    uint32_t head_len, need, got, msg_cap;
    uint8_t *msg;
    const char *broken; /* why, when found out where no call may be made */
};

struct mesh_nats {
    uv_loop_t *loop;
    mesh_nats_link_up *up;
    void *ctx;
    struct mesh_nats_options o; /* numbers only, defaults filled in */
    char node[MESH_NAME_MAX + 1], region[MESH_NAME_MAX + 1], prefix[NATS_SUBJECT_MAX + 1];
    SSL_CTX *ssl;
    struct nats_bus *bus;
    uv_timer_t tick;
    struct map peers, links; /* by name; by number */
    struct nats_link *all, *dead;
    uint64_t life, here_ms, told_ms, calls_ms;
    double call_tokens;
    struct mesh_nats_stats stats; /* what the bus does not count itself */
    bool was_connected, freeing;
    unsigned handles, calling;
    uint64_t refused_told, remind_ms, ticked_ms, grace_ms;
    int64_t reminded_s;
    uint8_t rx[NATS_RX], tx[NATS_FRAME_HEAD + MESH_MESSAGE_MAX];
};

/* ---- transport_nats.c ---- */
void nats_subject_of(const struct mesh_nats *t, const char *node, char *out, size_t size);
/* A link's name is proven: whose it is, or NULL: it may not become a link. */
struct nats_peer *nats_name_proven(struct nats_link *l, const char *name);
/* The link is ready; another one of the peer is ended before. */
void nats_ready(struct nats_link *l);
/* A link or call of this peer has ended. */
void nats_gone(struct nats_peer *p, struct nats_link *l, bool failed);
void nats_refused(struct mesh_nats *t, const char *peer, const char *why);
void nats_soon(struct mesh_nats *t, unsigned ms); /* tick at the latest then */

/* ---- nats_link.c ---- */
struct nats_link *nats_link_call(struct nats_peer *p);
/* name: what the caller says; not proven yet. */
struct nats_link *nats_link_accept(struct mesh_nats *t, uint64_t id, const char *name);
/* A packet of this link. rest: behind its header (and name). */
void nats_link_packet(struct nats_link *l, enum nats_type type, uint32_t seq, uint32_t ack,
                      const uint8_t *rest, size_t n);
void nats_link_tick(struct nats_link *l, uint64_t now);
void nats_link_close(struct nats_link *l, const char *why); /* without a word to our side */
void nats_link_down(struct nats_link *l, const char *why);
void nats_link_free(struct nats_link *l);
uint64_t nats_get(const uint8_t *p, unsigned bytes);
/* A message with its header; the caller fills in what follows. */
struct nats_packet *nats_message(const char *subject, enum nats_type type, uint64_t id,
                                 uint32_t seq, uint32_t ack, size_t more);

#endif
