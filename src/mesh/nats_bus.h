/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a NATS cluster, as seen from a loop: packets go out by a thread that may wait
 * for the cluster, so that the loop never does; messages come in through a bounded queue.
 *
 *     loop ── nats_bus_send ──> queue ──> writer thread ──> libnats          nothing of libnats is
 * called by the loop, loop <── wake, nats_bus_take <── queue <── libnats' delivery threads   except
 * to look at and free messages
 *
 * Memory: packets are counted; a packet is in the queue once at most (nats_packet_busy). The bus
 * lives until the loop has closed it and libnats has made its last call. Failure: a full queue
 * drops and counts; no connection: for ever again.
 */
#ifndef PM_MESH_NATS_BUS_H
#define PM_MESH_NATS_BUS_H

#include <nats/nats.h>
#include <stdatomic.h>
#include <uv.h>
#include "mesh/transport_nats.h"

struct nats_bus;

struct nats_packet {
    atomic_uint refs;
    atomic_bool busy; /* waits for, or is with, the writer thread */
    struct nats_packet *next;
    const char *subject; /* behind the data */
    size_t len;
    uint8_t data[];
};

struct nats_packet *nats_packet_new(const char *subject, size_t len); /* one reference */
void nats_packet_unref(struct nats_packet *p);

struct nats_bus_options {
    const char *name;
    const char *const *servers;
    size_t server_count;
    const char *credentials, *ca;
    const char *subjects[2]; /* what to hear */
    size_t inbound_bytes, outbound_bytes;
};

/* wake: called in the loop when there is something to take, or the connection has come or gone. */
int nats_bus_new(uv_loop_t *loop, const struct nats_bus_options *o, void (*wake)(void *ctx),
                 void *ctx, struct nats_bus **out, struct buf *why) PM_MUST_CHECK;
/* Keeps a reference while it needs one. False: busy, or the queue is full. */
bool nats_bus_send(struct nats_bus *b, struct nats_packet *p);
/* The next message, to be freed by natsMsg_Destroy; NULL = none. */
natsMsg *nats_bus_take(struct nats_bus *b);
/* Has wake called once more, by the loop: for whoever does not take all at once. */
void nats_bus_again(struct nats_bus *b);
/* Sends what waits if it can, then ends. closed is called in the loop, then the bus is gone. */
void nats_bus_close(struct nats_bus *b, void (*closed)(void *ctx));

struct nats_bus_state {
    bool connected;
    uint64_t connects, losses, dropped_in, dropped_out, messages_in, bytes_in, messages_out,
        bytes_out;
    char server[128]; /* the last one connected to */
    char error[160];  /* of the last attempt; "" = none */
};
void nats_bus_state(struct nats_bus *b, struct nats_bus_state *out);

#endif
