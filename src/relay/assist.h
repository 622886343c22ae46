/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides what the packet program cannot, because it sees one segment at a time: requests and ClientHellos in several
 * segments, and segments with the end of one request's body and the next request in them.
 *
 *   packet program ──segments──> gathered by connection ──whole──> read, chosen ──> flow table, segments on to the node
 *                                       └─ not whole after ASSIST_WAIT_MS ──> our own front end, which acknowledges
 *
 * Nothing is acknowledged here: whatever is lost or dropped the client sends again. Segments go on in hand-off packets
 * (docs/protocol/handoff.md) from a plain UDP socket.
 *
 * Thread: control. Memory: bounded, ASSIST_CONNECTIONS_MAX connections of ASSIST_SEGMENTS_MAX segments.
 */
#ifndef PM_RELAY_ASSIST_H
#define PM_RELAY_ASSIST_H

#include "relay/relay.h"

struct assist;

enum { ASSIST_CONNECTIONS_MAX = 4096, ASSIST_SEGMENTS_MAX = 16, ASSIST_WAIT_MS = 30 };

struct assist_counts {
    uint64_t gathered, decided, front, cut, dropped;
};

/* told: of each connection that was handed over here. */
typedef void assist_told_fn(void *arg, const struct relay_flow_key *k, const struct relay_flow *f);
int assist_new(struct relay *r, assist_told_fn *told, void *arg, struct assist **out) PM_MUST_CHECK;
void assist_free(struct assist *a);
/* A RELAY_EVENT_SEGMENT. */
void assist_segment(struct assist *a, const struct relay_event *e, uint64_t now_ms);
/* Lets go what has waited long enough; how many still wait. */
size_t assist_tick(struct assist *a, uint64_t now_ms);
/*
 * Asks the node's program whether it lives; the answer, if it comes, bears the number (relay_heard). The packet goes the way
 * of hand-offs, under today's key, so an answer says that the node has the key and believes us, too.
 */
void assist_probe(struct assist *a, const struct addr *at, uint32_t node, uint32_t number);
void assist_counts(const struct assist *a, struct assist_counts *out);

#endif
