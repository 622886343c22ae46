/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link carries whole messages, in order, to one peer whose name has been proven, and back. The protocol
 * (mesh/session.h) speaks over links and does not know what they are made of: TLS connections (mesh/transport_tls.c),
 * subjects of a NATS cluster (mesh/transport_nats.c), or an array in memory (tests and the simulation).
 *
 * Whoever makes a link embeds struct mesh_link and fills its ops; whoever uses it fills calls before the first message.
 * A call is never made from inside mesh_link_send or mesh_link_close. After `down` or mesh_link_close the link must not
 * be touched: the maker frees it.
 *
 * Thread: control. Failure: a peer that does not read fills the queue; send then says PM_EAGAIN and takes nothing, and the
 * user decides: wait for `drained`, drop what can be repaired later, or close.
 */
#ifndef PM_MESH_LINK_H
#define PM_MESH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum { MESH_MESSAGE_MAX = 64 * 1024, MESH_NAME_MAX = 63 };

struct mesh_link;

struct mesh_link_ops {
    /* Takes a copy of the whole message, or nothing: PM_EAGAIN. n <= MESH_MESSAGE_MAX. */
    int (*send)(struct mesh_link *l, const uint8_t *data, size_t n);
    void (*close)(struct mesh_link *l, const char *why); /* what is queued may be lost */
};

struct mesh_link_calls {
    void (*message)(struct mesh_link *l, const uint8_t *data, size_t n); /* data is the link's, valid during the call */
    void (*drained)(struct mesh_link *l);                                /* there is room again after PM_EAGAIN */
    void (*down)(struct mesh_link *l, const char *why);                  /* the other side or the network ended it */
};

struct mesh_link {
    const struct mesh_link_ops *ops;
    const struct mesh_link_calls *calls;
    void *user;                   /* the caller's, for its calls */
    char peer[MESH_NAME_MAX + 1]; /* the proven name */
    bool called;                  /* we opened it; false: the peer did */
    uint64_t bytes_in, bytes_out, messages_in, messages_out; /* per-peer accounting, kept by the maker */
};

static inline int mesh_link_send(struct mesh_link *l, const uint8_t *data, size_t n)
{
    return l->ops->send(l, data, n);
}
static inline void mesh_link_close(struct mesh_link *l, const char *why)
{
    l->ops->close(l, why);
}

#endif
