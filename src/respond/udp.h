/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One UDP serving thread. Batches of up to 64: recvmmsg, an answer each, one sendmmsg.
 *
 * Waiting: with one socket the thread blocks in recvmmsg(MSG_WAITFORONE), two system calls per lone query; with several
 * it waits in epoll, three. tests/bench/udpecho -w compares the ways: at 30,000 q/s epoll took about a tenth more CPU
 * per query, saturated they are alike (batches of 64 hide it). Trying without waiting first gained nothing that stood
 * out of the noise and mostly costs a call that finds nothing, while going offline for RCU is two fences; so the
 * thread goes offline around each blocking call and never tries.
 *
 * Sending never waits: a full send buffer (neighbours that do not resolve, a saturated card) drops answers and
 * counts them, for a thread that waits would make one client's trouble everybody's.
 *
 * Thread: its own. Memory: fixed, allocated by udp_thread_new.
 */
#ifndef PM_RESPOND_UDP_H
#define PM_RESPOND_UDP_H

#include "respond/service.h"

struct udp_thread;
struct udp_thread *udp_thread_new(struct respond_thread *t); /* NULL: out of descriptors */
void udp_thread_free(struct udp_thread *u);
/* Returns when t->stop is set. */
void udp_thread_run(struct udp_thread *u);

#endif
