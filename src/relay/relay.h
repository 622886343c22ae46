/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet relay: loads the balancer's packet program, fills its tables, attaches it to interfaces, reads its counters
 * and events. Packets are moved by the kernel; nothing here runs per packet but what the program could not decide.
 *
 *   VIPs ─┬─ plain:   flow table, else the set's ring (Maglev) ──> node ──> how it is reached
 *         └─ delayed: handshake, request ── hosts, resources ──> set ──> ring ──> node
 *
 * A ring is put in place whole; a flow that has begun keeps its node. With a pin folder the tables live in the BPF file
 * system and outlast the process, so a restart loses no flow.
 *
 * Needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN at open and attach. Thread: control. Failure: a code and one line in why; a set that
 * fails leaves the table as it was.
 */
#ifndef PM_RELAY_RELAY_H
#define PM_RELAY_RELAY_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "relay/ring.h"

struct relay;

struct relay_options {
    const char *pin;      /* folder in a BPF file system, made when missing; NULL: tables die with the process */
    uint32_t flows_max;   /* entries of the flow table; 0 = RELAY_FLOWS_MAX */
};

int relay_open(const struct relay_options *o, struct relay **out, struct buf *why) PM_MUST_CHECK;
/* Detaches what this process attached and is still its own. Pinned tables stay. NULL is allowed, below too. */
void relay_close(struct relay *r);
/* The program goes on where it is attached, with the tables as they are, until another takes its place. */
void relay_leave(struct relay *r);

/* In the driver where it can, else in the generic path; *native says which. An earlier process's program is replaced at once:
 * there is no packet that neither sees. Others' are not: PM_EINUSE. */
int relay_attach(struct relay *r, unsigned ifindex, bool *native, struct buf *why) PM_MUST_CHECK;
int relay_detach(struct relay *r, unsigned ifindex) PM_MUST_CHECK;
/* What is there now: an interface may have gone, and whoever may, may have put another program there. */
enum relay_at {
    RELAY_AT_NONE,
    RELAY_AT_OWN,
    RELAY_AT_KIN, /* the same program, of another process: the one that is to take over from us */
    RELAY_AT_OTHER,
};
enum relay_at relay_at(const struct relay *r, unsigned ifindex);
/* Whether there is such a program already: of a process that has ended, or of the one we take over from. */
bool relay_is_at(unsigned ifindex);
/* Takes the programs that processes with that pin folder have left off all interfaces but these. */
void relay_take_off(const char *pin, const unsigned *keep, unsigned count);

/* The last answer of the node's program; see assist_probe. */
int relay_heard(const struct relay *r, uint32_t node, struct relay_heard *out) PM_MUST_CHECK;

int relay_set_node(struct relay *r, uint32_t index, const struct relay_node *n) PM_MUST_CHECK;
/* As it is in the table, be it from a process before us. */
int relay_node(const struct relay *r, uint32_t index, struct relay_node *out) PM_MUST_CHECK;
/* Who may be chosen: places[size] with node indexes or MAGLEV_NOBODY; who is in it follows. size 0: nobody. */
int relay_set_ring(struct relay *r, uint32_t set, const uint32_t *places, uint32_t size) PM_MUST_CHECK;
/* port 0 and proto 0: all the address receives. Set RELAY_SETS_MAX: the front end's. */
int relay_set_vip(struct relay *r, const struct endpoint *at, uint8_t proto, const struct relay_vip *vip) PM_MUST_CHECK;
int relay_remove_vip(struct relay *r, const struct endpoint *at, uint8_t proto) PM_MUST_CHECK;

/*
 * A server's id in QUIC connection ids, for VIPs with that set: of 1 to RELAY_QUIC_ID_MAX bytes, and the node that it means.
 * Where the id is in a connection id, relay_vip.quic_at and quic_length say.
 */
int relay_set_quic(struct relay *r, uint32_t set, const uint8_t *id, size_t length, uint32_t node) PM_MUST_CHECK;
int relay_remove_quic(struct relay *r, uint32_t set, const uint8_t *id, size_t length) PM_MUST_CHECK;

/* A farm's virtual host; name NULL: any other; "*.example.com": all below it. */
int relay_set_host(struct relay *r, uint32_t farm, const char *name, const struct relay_host *host) PM_MUST_CHECK;
int relay_remove_host(struct relay *r, uint32_t farm, const char *name) PM_MUST_CHECK;
/* The same for who speaks HTTP/2 in clear text there: host.set counts, and without an entry the front end answers. */
int relay_set_h2c(struct relay *r, uint32_t farm, const char *name, const struct relay_host *host) PM_MUST_CHECK;
int relay_remove_h2c(struct relay *r, uint32_t farm, const char *name) PM_MUST_CHECK;
/* The highest numbers of farms and hosts in use, by a process before; and away with those below these. */
void relay_names_used(const struct relay *r, uint32_t *farm, uint32_t *host);
void relay_names_forget(struct relay *r, uint32_t farm, uint32_t host);
/* text: a path, a path up to and with a slash, a suffix with its dot, or a protocol of TLS (ALPN). */
int relay_set_resource(struct relay *r, uint32_t host, enum relay_resource_kind kind, const char *text, uint32_t set,
                       uint32_t flags) PM_MUST_CHECK;
int relay_remove_resource(struct relay *r, uint32_t host, enum relay_resource_kind kind, const char *text) PM_MUST_CHECK;
/* How often it was asked for; PM_ENOTFOUND. */
int relay_resource_hits(const struct relay *r, uint32_t host, enum relay_resource_kind kind, const char *text,
                        uint64_t *hits) PM_MUST_CHECK;

int relay_set_settings(struct relay *r, const struct relay_settings *s) PM_MUST_CHECK;

/* What the packet program tells: a descriptor to wait for, and a reading that calls back for each event. */
typedef void relay_event_fn(void *arg, const struct relay_event *e);
int relay_events_open(struct relay *r, relay_event_fn *fn, void *arg) PM_MUST_CHECK;
int relay_events_fd(const struct relay *r);
/* Reads what is there, but only so many at once, for events may come faster than they are read. How many it were. */
enum { RELAY_EVENTS_AT_ONCE = 1024 };
int relay_events_read(struct relay *r);

/* The flow's entry; PM_ENOTFOUND. */
int relay_flow(const struct relay *r, const struct relay_flow_key *k, struct relay_flow *out) PM_MUST_CHECK;
int relay_set_flow(struct relay *r, const struct relay_flow_key *k, const struct relay_flow *f) PM_MUST_CHECK;
int relay_remove_flow(struct relay *r, const struct relay_flow_key *k) PM_MUST_CHECK;
/* All of them, in no order, read in batches; false from fn ends it. fn may remove flows. */
typedef bool relay_flow_fn(void *arg, const struct relay_flow_key *k, const struct relay_flow *f);
void relay_flows(const struct relay *r, relay_flow_fn *fn, void *arg);
/* A few thousand at a time, from a cursor that starts as {0}; false: there are no more, or fn has ended it. */
struct relay_cursor {
    uint32_t at;
    bool begun;
};
bool relay_flows_some(const struct relay *r, struct relay_cursor *c, relay_flow_fn *fn, void *arg);
void relay_counters(const struct relay *r, struct relay_count sum[RELAY_COUNTER_COUNT]);
const char *relay_counter_name(enum relay_counter c);

/*
 * Runs a packet through the program `repeat` times without a network: for tests and benchmarks. *verdict is an XDP_ action,
 * *ns the mean of one run; out has room for *size bytes.
 */
int relay_try(struct relay *r, const void *packet, uint32_t len, uint32_t repeat, void *out, uint32_t *size,
              uint32_t *verdict, uint32_t *ns) PM_MUST_CHECK;

#endif
