/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the balancers of a site tell each other of their connections, so that any of them can go on with any of these:
 * datagrams of records, sealed, and the rule by which a record changes a table. docs/protocol/sharing.md is the format.
 *
 *   connection begun, moved, ended ──> record ──┐
 *   all there are, to one that has started ─────┴─> datagram, sealed ──UDP──> opened ──> share_takes ──> flow table
 *
 * Loss is tolerated: whoever does not know a connection asks the nodes, and what is known from a peer is believed only when
 * the node it names agrees. So nothing is sent again. Order does not matter: a record says how often its connection has
 * moved and how far it has come, and an older one changes nothing.
 *
 * Sealed with AES-256-GCM under a key of the sender's process, from the site's secret and 16 random bytes that the datagram
 * bears; its number is the nonce, and is accepted once. An old process's datagrams are refused by the time in them, so
 * clocks may differ by SHARE_CLOCKS_MS.
 *
 * Pure but for randomness. Thread: one. Failure: a code.
 */
#ifndef PM_RELAY_SHARE_H
#define PM_RELAY_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "relay/keys.h"
#include "relay/relay.h"

enum {
    SHARE_VERSION = 1,
    SHARE_SALT = 16,
    SHARE_TAG = 16,
    SHARE_HEAD = 1 + 7 + SHARE_SALT + 8, /* version, zeros, salt, number */
    SHARE_BODY = 8 + 8 + 1 + 1 + 2,      /* the process's start, now, kind, zero, count */
    SHARE_RECORD = 104,
    SHARE_RECORDS_MAX = 12,
    SHARE_DATAGRAM = SHARE_HEAD + SHARE_BODY + SHARE_RECORDS_MAX * SHARE_RECORD + SHARE_TAG,
    SHARE_CLOCKS_MS = 60000,
    SHARE_FOUND_MS = 1000, /* so new is what a node has said of itself just now */
    SHARE_TOGETHER_MS = 10, /* what is told of later than that is told of late: as much may be wrong with the order of two packets */
};

enum share_kind { SHARE_HELLO, SHARE_FLOWS };
enum share_what { SHARE_FLOW, SHARE_GONE /* it is at the sender's own front end, and nobody else's to go on with */ };

/* flow.node counts for nothing: nodes have other numbers elsewhere. flow.set neither: `set` names it by what is in it. */
struct share_record {
    struct relay_flow_key key;
    struct relay_flow flow;
    uint8_t node[16];
    uint64_t set;
    uint32_t age_ms; /* since its client's last packet */
    uint8_t what;
};

struct share_sender {
    uint8_t key[RELAY_SECRET], salt[SHARE_SALT];
    uint64_t started_ms, number;
};

/* Of one peer; starts as {0}. */
struct share_receiver {
    uint8_t key[RELAY_SECRET], salt[SHARE_SALT];
    uint64_t started_ms, highest, window; /* bit i: number highest - i was here */
};

struct share_message {
    enum share_kind kind;
    bool begun; /* the first from that process */
    uint32_t count;
    struct share_record record[SHARE_RECORDS_MAX];
};

int share_sender_init(struct share_sender *s, const uint8_t secret[RELAY_SECRET], uint64_t wall_ms) PM_MUST_CHECK;
/* Length of the datagram; 0: it cannot be sealed. */
size_t share_seal(struct share_sender *s, uint64_t wall_ms, enum share_kind kind, const struct share_record *records,
                  uint32_t count, uint8_t out[SHARE_DATAGRAM]);
/* PM_EPERM: not sealed by a balancer of ours. PM_EEXISTS: it was here, or is of an old process. PM_EPARSE: not ours at all. */
int share_open(struct share_receiver *r, const uint8_t secret[RELAY_SECRET], uint64_t wall_ms, const uint8_t *bytes,
               size_t length, struct share_message *out) PM_MUST_CHECK;

/*
 * What the table is to say after the record; false: what it says is newer. mine: NULL: nothing. node, set: the record's, by
 * their numbers here.
 */
bool share_takes(const struct relay_flow *mine, const struct share_record *r, uint32_t node, uint32_t set, uint64_t now_ns,
                 struct relay_flow *out);

#endif
