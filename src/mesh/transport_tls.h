/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links over TLS 1.3 between balancers that prove their names to each other (mesh/tls_cert.h).
 *
 * On the wire: frames of 4 bytes length (network order) and that many bytes, at most MESH_MESSAGE_MAX. An empty frame says
 * only "I live". The caller sends one when the other's name is the expected one, the accepting side answers with one; only
 * then is there a link, so neither side takes for one what the other refuses. Both send one after keepalive_ms of silence.
 *
 * One link per peer. Both sides may call, because either may be the one that cannot be reached. When both do at once, each
 * would see two connections, and both must keep the same one. The rule, for nodes a < b (strcmp): a's call is preferred.
 *   - who accepts a connection (has heard its first frame) while its own call to that peer is under way gives up its own
 *     call, unless that is the preferred one and has reached the peer: then it closes what it accepted;
 *   - a second connection by the same caller replaces the first: nobody calls who knows of a link, so the first is lost;
 *   - by the other caller, while the link is younger than twice handshake_ms: the preferred one stays; later it replaces
 *     the link, for the same reason.
 * So a restarted peer is back at once, and a simultaneous start ends with one link and no flap.
 *
 * What a dead peer costs: TCP_USER_TIMEOUT and silence_ms end a link in seconds, also when the peer's kernel still
 * answers. What a slow one costs: queue_bytes; then PM_EAGAIN, and after stall_ms without `drained` the link is ended.
 *
 * What a stranger can do: open connections. Before anything is allocated for one it must pass mesh/tls_limit.h; then it has
 * handshake_ms and no more than 16 KB of certificates. Connections in their handshake are limited per address and in all;
 * addresses of configured peers do not share the strangers' limits. Refusals are counted by cause and logged once per
 * cause and address, then again at most hourly with their number.
 *
 * Thread: control (the loop's). Memory: the transport owns its links; see mesh/link.h. What options point to is copied.
 * mesh_tls_free closes everything without a call; the memory goes when the loop has run once more.
 */
#ifndef PM_MESH_TRANSPORT_TLS_H
#define PM_MESH_TRANSPORT_TLS_H

#include <uv.h>
#include "base/addr.h"
#include "base/buf.h"
#include "mesh/link.h"
#include "mesh/tls_cert.h"

struct mesh_tls;

struct mesh_tls_options {
    const char *node; /* our name: what our certificate says */
    struct tls_files files;
    const struct endpoint *listen; /* both families; none: we only call */
    size_t listen_count;
    const int *inherited; /* listening sockets of a process before us: taken over where their endpoint is wanted, else closed */
    size_t inherited_count;
    /* 0 = default */
    unsigned handshake_ms;          /* 5000; connecting included */
    unsigned keepalive_ms;          /* 2000 */
    unsigned silence_ms;            /* 7000 */
    unsigned stall_ms;              /* 30000 */
    unsigned dial_min_ms;           /* 250; doubles up to dial_max_ms, each time between half and one and a half of it */
    unsigned dial_max_ms;           /* 15000 */
    unsigned half_open;             /* 256 connections in their handshake, strangers in all */
    unsigned half_open_per_address; /* 16; IPv6 by /64 */
    unsigned rate_per_address;      /* 20 handshakes a second, twice that at once */
    size_t queue_bytes;             /* 1 MiB per link, besides what the kernel holds */
};

struct mesh_tls_peer {
    const char *name;
    const struct endpoint *at; /* tried in turn; none: it calls us */
    size_t count;
};

/* The link is ready. Set l->calls and l->user before returning; calls come later, never from in here. */
typedef void mesh_tls_link_up(void *ctx, struct mesh_link *l);

/* PM_ETLS (files), PM_EINUSE ... (sockets), PM_EINVAL (options); one line in `why`. Nobody is called before mesh_tls_peers. */
int mesh_tls_new(uv_loop_t *loop, const struct mesh_tls_options *o, mesh_tls_link_up *up, void *ctx, struct mesh_tls **out,
                 struct buf *why) PM_MUST_CHECK;
/*
 * Sets who the peers are. Links of those who stay are not touched (new addresses count from the next call on); those who
 * are gone hear `down` from within. A name given twice, or our own, is PM_EINVAL and nothing changes.
 */
int mesh_tls_peers(struct mesh_tls *t, const struct mesh_tls_peer *peers, size_t n, struct buf *why) PM_MUST_CHECK;
/*
 * New files, listen addresses and limits (the node's name must be the same). On error nothing has changed. Links stay, but
 * those whose certificate the authority in force did not sign hear `down` from within. `inherited` is not read.
 */
int mesh_tls_reload(struct mesh_tls *t, const struct mesh_tls_options *o, struct buf *why) PM_MUST_CHECK;
/* Not from within a link's call. */
void mesh_tls_free(struct mesh_tls *t);

/* Our listening sockets, for the next process (duplicate them, clear FD_CLOEXEC there). Returns how many there are. */
size_t mesh_tls_listening(const struct mesh_tls *t, struct endpoint *at, int *fds, size_t max);

/* Why a connection did not become a link: symbol, name for programs, text for people */
#define MESH_TLS_REFUSALS(X)                                                                                           \
    X(LIMIT, "limit", "too many connections in their handshake")                                                      \
    X(RATE, "rate", "too many connections a second")                                                                  \
    X(SLOW, "slow", "the handshake took too long")                                                                    \
    X(CLOSED, "closed", "closed during the handshake")                                                                \
    X(NOT_TLS, "not-tls", "what came is not TLS 1.3")                                                                 \
    X(NO_CERT, "no-certificate", "no certificate was shown")                                                          \
    X(EXPIRED, "expired", "the certificate has expired or is not valid yet")                                          \
    X(UNTRUSTED, "untrusted", "the certificate is not from our authority")                                            \
    X(NAME, "name", "the certificate's name is not the expected one")                                                 \
    X(STRANGER, "stranger", "the certificate's name is not a configured peer")                                        \
    X(REFUSED_US, "refused-us", "the other side refuses our certificate")                                             \
    X(UNREACHED, "unreached", "no connection")                                                                        \
    X(FRAME, "frame", "a message is longer than allowed")                                                             \
    X(TLS, "tls", "TLS failure")

enum mesh_tls_refusal {
#define X(sym, name, text) MESH_TLS_##sym,
    MESH_TLS_REFUSALS(X)
#undef X
        MESH_TLS_REFUSAL_COUNT
};

struct mesh_tls_stats {
    uint64_t accepted, called, links_made, links_lost, duplicates;
    uint64_t refused[MESH_TLS_REFUSAL_COUNT];
    unsigned links, half_open, half_open_most;
    int64_t certificate_until_s; /* ours */
};
const struct mesh_tls_stats *mesh_tls_stats(const struct mesh_tls *t);
const char *mesh_tls_refusal_name(enum mesh_tls_refusal r);

#endif
