/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links over a NATS cluster, for fleets in which not everybody can reach everybody: each balancer
 * has one connection to one server of the cluster, and goes to another one when that fails.
 *
 * The cluster is a carrier, not a witness. A link is a TLS 1.3 session between the two nodes with
 * the same certificates as direct ones (mesh/tls_cert.h), its bytes sent as NATS messages: the
 * peer's name is proven, and whoever runs the cluster reads and changes nothing. What it can do is
 * lose messages or stop the service; where several parties share a cluster, its permissions should
 * let only a node read `SUBJECT.to.NODE`.
 *
 *     SUBJECT.here      presence: every node, every presence_ms: name, region, which life of it
 * this is SUBJECT.to.NODE   everything for one node ('.' in its name is written '~')
 *
 * NATS gives no receipt. So packets of a link are numbered, acknowledged, kept until then and sent
 * again: a server that dies costs a delay, not the link. At most window_bytes are on the way;
 * beyond that send says PM_EAGAIN, so a peer that does not read costs window_bytes here, and after
 * stall_ms its link. What comes in waits in a queue of inbound_bytes for the loop; beyond that it
 * is dropped and comes again later.
 *
 * Who is linked with whom: with every node of our region that is heard of, with at least one of
 * each other region, and with whom mesh_nats_need names. The lower name (strcmp) calls, the higher
 * asks to be called, so there are no two links. A call of a peer that has a link replaces it:
 * nobody calls who knows of one. Presence proves nothing; it makes us call. A peer that is not
 * heard of for silence_ms has lost its link.
 *
 * Thread: control (the loop's). libnats works in threads of its own; between them and the loop are
 * two bounded queues (mesh/nats_bus.h). Memory: the transport owns its links; see mesh/link.h. What
 * options point to is copied, the credentials' file is read again at each connection to a server.
 * Failure: a cluster that cannot be reached is tried for ever; the stats say so. mesh_nats_free
 * closes everything without a call; the loop must run on until the threads have ended, at most some
 * seconds.
 */
#ifndef PM_MESH_TRANSPORT_NATS_H
#define PM_MESH_TRANSPORT_NATS_H

#include <uv.h>
#include "base/buf.h"
#include "mesh/link.h"
#include "mesh/tls_cert.h"

struct mesh_nats;

struct mesh_nats_options {
    const char *node, *region;
    struct tls_files files; /* ours, as for direct links */
    const char *subject;    /* in front of all subjects */
    const char *const *servers;
    size_t server_count;
    const char *credentials, *ca; /* for the cluster; NULL = none */
    /* 0 = default */
    unsigned presence_ms;  /* 2000 */
    unsigned silence_ms;   /* 7000 */
    unsigned handshake_ms; /* 5000 */
    unsigned stall_ms;     /* 15000 */
    unsigned half_open;    /* 512 calls that are not proven yet */
    unsigned call_rate;    /* 200 of them a second, twice that at once */
    size_t window_bytes;   /* 256 KiB */
    size_t inbound_bytes;  /* 32 MiB */
};

/* The link is ready. Set l->calls and l->user before returning; calls come later, never from in
 * here. */
typedef void mesh_nats_link_up(void *ctx, struct mesh_link *l);

/* PM_ETLS (files), PM_EINVAL (options); one line in `why`. */
int mesh_nats_new(uv_loop_t *loop, const struct mesh_nats_options *o, mesh_nats_link_up *up,
                  void *ctx, struct mesh_nats **out, struct buf *why) PM_MUST_CHECK;
/* From struct mesh_calls.need_link. A link that is not needed any more is not ended, only not made
 * again. */
void mesh_nats_need(struct mesh_nats *t, const char *name, bool needed);
/* New certificates; links stay, except those whose certificate the authority in force did not sign:
 * they hear `down`. */
int mesh_nats_reload(struct mesh_nats *t, const struct tls_files *files,
                     struct buf *why) PM_MUST_CHECK;
/* Not from within a link's call. */
void mesh_nats_free(struct mesh_nats *t);

/* name, what for */
#define MESH_NATS_STATS(X)                                                                         \
    X(connects, "Connections made to a server of the cluster.")                                    \
    X(losses, "Connections to a server that were lost.")                                           \
    X(messages_in, "Messages from the cluster.")                                                   \
    X(bytes_in, "Their bytes.")                                                                    \
    X(messages_out, "Messages given to the cluster.")                                              \
    X(bytes_out, "Their bytes.")                                                                   \
    X(dropped_in, "Messages dropped because the queue of incoming ones was full.")                 \
    X(dropped_out, "Messages dropped because the cluster took no more.")                           \
    X(malformed, "Messages that mean nothing.")                                                    \
    X(resent, "Packets sent again.")                                                               \
    X(calls_in, "Calls by peers.")                                                                 \
    X(calls_out, "Calls to peers.")                                                                \
    X(calls_over, "Calls refused because there were too many.")                                    \
    X(refused, "Calls that ended before the name was proven, or with another name.")               \
    X(links_made, "Links made.")                                                                   \
    X(links_lost, "Links lost.")

struct mesh_nats_stats {
#define X(name, doc) uint64_t name;
    MESH_NATS_STATS(X)
#undef X
    unsigned links, half_open, half_open_most, nodes; /* nodes: heard of */
    bool connected;
    char server[128]; /* URL of the last one */
};
void mesh_nats_stats(const struct mesh_nats *t, struct mesh_nats_stats *out);

#endif
