/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TCP serving thread (RFC 7766): messages with a length in front, any number in a row, answered in order, since
 * answers are made at once.
 *
 * An idle client has no buffer: reads and writes go through the thread's two buffers. Only what is left over is kept
 * per client: the beginning of a query, or answers the client did not take yet. A client with unread answers is not
 * read from (so it holds at most one round of answers, TCP_ROUND), and all of it counts against tcp_memory.
 *
 * Every client is on one of three lists, by what it waits for: its next query (idle), the rest of a query, the client
 * taking answers. Each list has one time limit that starts when the client enters and is not prolonged by dribbling,
 * so lists are in order of expiry and the next timeout is at a head. When all places are taken, the head of the idle
 * list makes room, then of the others. Places are divided among threads (the kernel spreads clients by hash).
 *
 * Half-close: what the client sent before is answered, then the connection ends.
 *
 * Thread: its own. Memory: fixed, but for the leftovers. Failure of one connection ends that connection.
 */
#ifndef PM_RESPOND_TCP_H
#define PM_RESPOND_TCP_H

#include "respond/service.h"

struct tcp_thread;
struct tcp_thread *tcp_thread_new(struct respond_thread *t); /* NULL: out of descriptors */
void tcp_thread_free(struct tcp_thread *p);
/* Returns when t->stop is set and the clients are done or the linger time is over. */
void tcp_thread_run(struct tcp_thread *p);

#endif
