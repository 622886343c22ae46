/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lowers the MSS that a node's own SYN and SYN/ACK announce from a VIP, so that what clients send fits into the hand-off
 * packets that bring it, without "fragmentation needed" having to come through to the client. Needed at nodes that get
 * plain relayed TCP over hops; a delayed connection's handshake is the balancer's, which says the right size itself.
 *
 * A program at tc egress of the interfaces answers leave by. Needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN at open and attach, and Linux
 * 5.17. Thread: control. Failure: a code and one line in why.
 */
#ifndef PM_RELAY_CLAMP_H
#define PM_RELAY_CLAMP_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"

struct clamp;

int clamp_open(struct clamp **out, struct buf *why) PM_MUST_CHECK;
/* Detaches what this process attached. NULL is allowed. */
void clamp_close(struct clamp *c);
/* The program stays attached, with its table, until somebody attaches another. */
void clamp_leave(struct clamp *c);
/* Attaching again replaces the program that an earlier process has left. */
int clamp_attach(struct clamp *c, unsigned ifindex, struct buf *why) PM_MUST_CHECK;

/* What fits into a path of that mtu behind the hand-off header; v6_path: the balancer's address is IPv6, or may be. */
uint16_t clamp_mss(uint32_t mtu, bool v6_path, int family);
/* From that VIP no larger MSS is announced; 0: what is announced stays. */
int clamp_set(struct clamp *c, const struct addr *vip, uint16_t mss) PM_MUST_CHECK;
/* How often it was lowered; PM_ENOTFOUND. */
int clamp_count(const struct clamp *c, const struct addr *vip, uint64_t *lowered) PM_MUST_CHECK;

/* Runs a packet through the program without a network; out has room for len bytes. For tests. */
int clamp_try(struct clamp *c, const void *packet, uint32_t len, void *out) PM_MUST_CHECK;

#endif
