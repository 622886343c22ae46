/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet relay: loads the balancer's packet program, fills its tables, attaches it to interfaces, reads its counters.
 * Packets are moved by the kernel; nothing here runs per packet.
 *
 *   VIPs ── service ──> ring (Maglev) ── place ──> node index ──> nodes: how it is reached
 *
 * A ring is put in place whole; a flow that has begun keeps its node. With a pin folder the tables live in the BPF file
 * system and outlast the process, so a restart loses no flow.
 *
 * Needs CAP_BPF and CAP_NET_ADMIN at open and attach. Thread: control. Failure: a code and one line in why; a set that
 * fails leaves the table as it was.
 */
#ifndef PM_RELAY_RELAY_H
#define PM_RELAY_RELAY_H

#include "base/buf.h"
#include "base/err.h"
#include "relay/ring.h"

struct relay;

struct relay_options {
    const char *pin;      /* folder in a BPF file system, made when missing; NULL: tables die with the process */
    uint32_t flows_max;   /* entries of the flow table; 0 = RELAY_FLOWS_MAX */
};

int relay_open(const struct relay_options *o, struct relay **out, struct buf *why) PM_MUST_CHECK;
/* Detaches what this process attached. Pinned tables stay. */
void relay_close(struct relay *r);

/* In the driver where it can, else in the generic path; *native says which. */
int relay_attach(struct relay *r, unsigned ifindex, bool *native, struct buf *why) PM_MUST_CHECK;
int relay_detach(struct relay *r, unsigned ifindex) PM_MUST_CHECK;

int relay_set_node(struct relay *r, uint32_t index, const struct relay_node *n) PM_MUST_CHECK;
/* port 0 and proto 0: all the address receives. ring_size is that of the last relay_set_ring of the service. */
int relay_set_vip(struct relay *r, const struct endpoint *at, uint8_t proto, uint32_t service, uint32_t flags) PM_MUST_CHECK;
int relay_remove_vip(struct relay *r, const struct endpoint *at, uint8_t proto) PM_MUST_CHECK;
/* The VIPs of the service must be set again when the size has changed: relay_set_vip. */
int relay_set_ring(struct relay *r, uint32_t service, const uint32_t *places, uint32_t size) PM_MUST_CHECK;

/* The flow's entry; PM_ENOTFOUND. */
int relay_flow(const struct relay *r, const struct relay_flow_key *k, struct relay_flow *out) PM_MUST_CHECK;
void relay_counters(const struct relay *r, struct relay_count sum[RELAY_COUNTER_COUNT]);
const char *relay_counter_name(enum relay_counter c);

/*
 * Runs a packet through the program `repeat` times without a network: for tests and benchmarks. *verdict is an XDP_ action,
 * *ns the mean of one run; out has room for *size bytes.
 */
int relay_try(struct relay *r, const void *packet, uint32_t len, uint32_t repeat, void *out, uint32_t *size,
              uint32_t *verdict, uint32_t *ns) PM_MUST_CHECK;

#endif
