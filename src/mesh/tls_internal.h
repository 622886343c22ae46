/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of mesh/transport_tls.c: one connection (tls_conn.c), listening sockets (tls_listen.c), peers and the rule of one
 * link per peer (transport_tls.c).
 *
 * A connection is freed by libuv's close callbacks, never earlier: whoever calls out may go on to look at c->state.
 */
#ifndef PM_MESH_TLS_INTERNAL_H
#define PM_MESH_TLS_INTERNAL_H

#include "base/map.h"
#include "mesh/tls_limit.h"
#include "mesh/transport_tls.h"

enum { TLS_FRAME_HEAD = 4, TLS_RX = 64 * 1024, TLS_WHY = 160 };

enum tls_state {
    TLS_CONNECTING,
    TLS_HANDSHAKE,
    TLS_GREETING, /* both names are proven; the first frame says that the other side wants the link as well */
    TLS_UP,
    TLS_CLOSED,
};

struct tls_peer {
    struct mesh_tls *t;
    char name[MESH_NAME_MAX + 1];
    struct endpoint *at;
    size_t count, next;
    struct tls_conn *link; /* TLS_UP */
    struct tls_conn *call; /* ours, on its way */
    unsigned failures;     /* in a row */
    bool wanted, closing;
    uv_timer_t timer;
};

struct tls_conn {
    struct mesh_link link;
    struct mesh_tls *t;
    struct tls_peer *peer; /* NULL while an accepted one has no name */
    struct tls_conn *next, *prev;
    enum tls_state state;
    struct endpoint remote;
    bool counted, known; /* in t->limit */
    bool blocked, writing;
    unsigned handles;
    uv_tcp_t tcp;
    uv_timer_t timer; /* deadline; ticks when up; at once when broken */
    uv_connect_t connect;
    uv_write_t write;
    SSL *ssl;
    BIO *in, *out;            /* the SSL's */
    struct buf flying, ready; /* TLS bytes: being written, and to be written after that */
    uint64_t up_ms, heard_ms, said_ms, blocked_ms, ticked_ms;
    uint8_t head[TLS_FRAME_HEAD];
    uint32_t head_len, need, got, msg_cap;
    uint8_t *msg;
    char broken[TLS_WHY]; /* why, when found out where no call may be made */
};

struct tls_listener {
    struct mesh_tls *t;
    struct endpoint at;
    int fd;
    bool wanted;
    uv_poll_t poll;
};

struct mesh_tls {
    uv_loop_t *loop;
    mesh_tls_link_up *up;
    void *ctx;
    char node[MESH_NAME_MAX + 1];
    SSL_CTX *ssl;
    struct mesh_tls_options o; /* numbers only, defaults filled in */
    struct tls_limit limit;
    struct tls_listener **listeners;
    size_t listener_count;
    uv_timer_t pause;  /* out of descriptors: not accepting */
    uv_timer_t remind; /* of our certificate's end */
    int64_t reminded_s;
    struct tls_peer **peers;
    size_t peer_count;
    struct map by_name, known; /* known: addresses of peers */
    struct tls_conn *conns;
    struct mesh_tls_stats stats;
    unsigned handles;
    bool freeing;
    uint64_t random;
    uint8_t rx[TLS_RX], tx[TLS_FRAME_HEAD + MESH_MESSAGE_MAX];
};

/* ---- transport_tls.c ---- */
void tls_handle_closed(struct mesh_tls *t); /* every handle's end; the last one frees t when it is to go */
/* A connection has come as far as a proven name. False: it was closed. */
bool tls_name_proven(struct tls_conn *c, const char *name);
/* It is ready to be the peer's link: makes it so, or closes it. */
void tls_ready(struct tls_conn *c);
/* It has ended without our peer knowing of it yet (c->peer set): call again some time. lost: it failed. */
void tls_gone(struct tls_conn *c, bool lost);
/* Counts it; logs it, if it is to be logged. peer and detail may be NULL. */
void tls_refused(struct mesh_tls *t, enum mesh_tls_refusal why, const struct endpoint *remote, const char *peer,
                 const char *detail, bool known);

/* ---- tls_conn.c ---- */
void tls_conn_accept(struct mesh_tls *t, int fd, const struct endpoint *remote, bool known);
/* NULL: could not even start; refusal told. */
struct tls_conn *tls_conn_call(struct tls_peer *p, const struct endpoint *to);
void tls_conn_up(struct tls_conn *c);    /* from now on a link */
void tls_conn_close(struct tls_conn *c); /* without a word to our side; says goodbye to the other */
void tls_conn_down(struct tls_conn *c, const char *why);

/* ---- tls_listen.c ---- */
int tls_listen_set(struct mesh_tls *t, const struct mesh_tls_options *o, bool inherit, struct buf *why) PM_MUST_CHECK;
void tls_listen_close(struct mesh_tls *t);

#endif
