/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VIPs on this host without answering for them: the address is put on `lo` (rtnetlink: IPv4 /32 with scope host, IPv6
 * /128 without duplicate detection), so the server may listen on it, while the balancer alone answers ARP for it.
 *
 * IPv6 needs no more: neighbour discovery answers only for addresses of the interface asked. IPv4 answers for every
 * address of the host unless the interface has arp_ignore=1 (and arp_announce=2, not to name it in its own requests):
 * agent_vips_quiet. Quiet first, then add, or neighbours learn a wrong address for minutes.
 *
 * What this process has added it removes at agent_vips_close. Addresses are marked (IFA_PROTO, and the label "lo:pm" of
 * IPv4), so the next process takes over what a killed one has left, and agent_vips_sweep removes those nobody wants any
 * more. An address that was there and is not marked is somebody else's: it serves as well, and is never removed.
 *
 * What a killed process has set of ARP stays as it set it.
 *
 * Needs CAP_NET_ADMIN. Memory: agent_vips_close frees. Thread: one at a time. Failure: a code, and one line in why.
 */
#ifndef PM_AGENT_VIP_H
#define PM_AGENT_VIP_H

#include "base/addr.h"
#include "base/buf.h"

struct agent_vips;

/* proc NULL: /proc; device NULL: "lo". why is the caller's; a line is appended when something fails. */
int agent_vips_open(const char *proc, const char *device, struct agent_vips **out, struct buf *why) PM_MUST_CHECK;
/* Removes what is ours, sets arp_ignore and arp_announce back as they were, frees. NULL is allowed. */
void agent_vips_close(struct agent_vips *v);
/* As agent_vips_close, but all stays: for a process that hands over to its successor. */
void agent_vips_leave(struct agent_vips *v);

/* 0 too when it is there already. */
int agent_vips_add(struct agent_vips *v, const struct addr *a, struct buf *why) PM_MUST_CHECK;
/* 0 too when it is not there, or not ours. */
int agent_vips_remove(struct agent_vips *v, const struct addr *a, struct buf *why) PM_MUST_CHECK;
/* Removes addresses with our mark that have not been added since open. */
int agent_vips_sweep(struct agent_vips *v, struct buf *why) PM_MUST_CHECK;
/* arp_ignore=1, arp_announce=2, where less is in force. PM_EPERM and so on: why has the commands to run instead. */
int agent_vips_quiet(struct agent_vips *v, const char *interface, struct buf *why) PM_MUST_CHECK;

#endif
