/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's side of the relay: loads the program that takes what balancers hand over, attaches it to interfaces, and says
 * which balancers to believe. The next process's program takes over what the one that it finds at its interfaces knows of
 * connections. What is attached to the control groups' root always goes with the process: it lets connections that move keep
 * their congestion window, and sockets wait for connections that come and go. Where it cannot be attached, the log
 * says so, and the rest works.
 *
 * Needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN at open and attach. Thread: control. Failure: a code and one line in why. A kernel older
 * than 6.9 does not take the program; the line says so.
 */
#ifndef PM_RELAY_NODE_H
#define PM_RELAY_NODE_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "relay/bpf/node_shared.h"

struct node;

/* keep_sockets: for connections that come and go (bpf/stay.h). */
int node_open(bool keep_sockets, struct node **out, struct buf *why) PM_MUST_CHECK;
/* Detaches what this process attached. Connections that could not go on without the program are reset. */
void node_close(struct node *n);
/* The programs stay attached, with their tables, until somebody attaches others. */
void node_leave(struct node *n);
/* At tc ingress and egress. Attaching again replaces the program that an earlier process has left. */
int node_attach(struct node *n, unsigned ifindex, struct buf *why) PM_MUST_CHECK;
/* No more; nothing happens to an interface that has gone. */
void node_detach(struct node *n, unsigned ifindex);
/* Still, at both. */
bool node_is_attached(const struct node *n, unsigned ifindex);

/* Believe packets from that outer source address under these keys; replaces what was said of it. */
int node_trust(struct node *n, const struct addr *balancer, const struct siphash_key key[HANDOFF_KEYS]) PM_MUST_CHECK;
int node_distrust(struct node *n, const struct addr *balancer) PM_MUST_CHECK;

/*
 * To be called every 100 ms, with CLOCK_MONOTONIC: closes sockets that were parked (bpf/stay.h) and whose connections have not come
 * back. Not less often: a server that hears of many ends at once may be short of threads and close other connections, too.
 */
void node_sweep(struct node *n, uint64_t now_ns);

void node_counters(const struct node *n, struct relay_count sum[NODE_COUNTER_COUNT]);
const char *node_counter_name(enum node_counter c);

#endif
