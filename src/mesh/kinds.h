/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of DSSP: which messages there are, which kinds of records, which bounds. docs/protocol/dssp.md shows the
 * same rows (a test compares), enums and names follow from them. To add a kind of record: one line here, its encoder and
 * decoder in mesh/values.h, its row in the document. Nothing else knows kinds: the store keeps and relays any.
 *
 * Field notation: u8 u16 u24 u32 u64 = unsigned, big-endian; str8 = u8 length and that many bytes; "n x (..)" = u16 count
 * and that many groups. An addr is u8 family (4, 6) and 4 or 16 bytes.
 */
#ifndef PM_MESH_KINDS_H
#define PM_MESH_KINDS_H

#include <stdint.h>

/* symbol, number, name, body, what for */
#define MESH_MESSAGES(X)                                                                                                \
    X(HELLO, 1, "hello",                                                                                                \
      "u8 lowest version, u8 highest version, str8 node, str8 region, str8 site, str8 software, u64 incarnation, u32 features", \
      "First message of each side. The node must be the name the link has proven.")                                    \
    X(RECORDS, 2, "records", "records, one after the other", "State: pushed when it is written, or asked for by `want`.")  \
    X(DIGEST, 3, "digest", "64 x u64 bucket", "What I hold, in 512 bytes. Answered by `summary` of the buckets that differ.") \
    X(SUMMARY, 4, "summary",                                                                                            \
      "u64 buckets meant (bit i = bucket i; 0 = none, no answer wanted), n x (str8 node, u64 incarnation, u64 highest sequence, u64 hash)", \
      "What I hold of these writers. Where the other side holds newer it answers with `summary`, where I do it sends `want`.") \
    X(WANT, 5, "want", "n x (str8 node, u64 incarnation, u64 after)",                                                   \
      "Send me what you hold of these writers with a sequence above `after`.")                                          \
    X(PING, 6, "ping", "u64 token", "Sent when nothing was heard for 10 s, and to measure the round trip.")              \
    X(PONG, 7, "pong", "u64 token", "Answer to `ping`, same token.")                                                    \
    X(BYE, 8, "bye", "str8 why", "Last message before the link is closed.")

/* symbol, number, name, subject, value, what for */
#define MESH_KINDS(X)                                                                                                   \
    X(NODE, 1, "node", "empty", "str8 site, str8 region, str8 software, str8 address",                                  \
      "Who the writer is and where it can be called (`host:port`, empty = it cannot).")                                 \
    X(TIMES, 2, "times", "service, or service#part", "n x (u8 state, u24 response us, u8 age code, 4 or 16 address bytes)", \
      "The service's VIPs as the writer sees them; at most 400 per record.")                                            \
    X(SIGHT, 3, "sight", "service, space, VIP", "u8 state, u24 response us, u8 age code, 4 or 16 address bytes, u8 reason", \
      "One VIP whose state changed: the event. Newer than `times` where its sequence is higher.")                       \
    X(HANDOFF, 4, "handoff", "service", "n x (str8 site, u16 weight)", "The writer's ordered hand-off list, best first.") \
    X(CAPACITY, 5, "capacity", "service", "n x (addr VIP, u32 connections used, u32 connections left)",                 \
      "Of the writer's own VIPs; left 4294967295 = no limit is known.")                                                 \
    X(RESOURCES, 6, "resources", "empty", "u64 memory left bytes, u64 memory total bytes, u32 load 1/1000",             \
      "Of the writer's machine; load 1000 = full.")                                                                     \
    X(OVERRIDE, 7, "override", "target", "u8 word, u8 scope, str8 scope name, u64 said ms ago, u64 remaining ms (0 = until taken back), str8 who", \
      "An operator's word; of several for one target the last one said counts. Scope 0 everywhere, 1 the named region, 2 the named site.")                                  \
    X(PERSIST, 8, "persist", "service, space, client key", "addr VIP, u32 idle ms", "A client that is to come back to where it was.") \
    X(IDENTITY, 9, "identity", "empty", "DER certificate", "The certificate against which the writer's signatures are checked.") \
    X(ROUND_TRIPS, 10, "round-trips", "part, 0 to 255",                                                                  \
      "n x (u8 family, u8 prefix length, prefix bytes, u24 round trip us, u24 spread us, u8 confidence, u32 connections, u8 age code)", \
      "What the writer has measured of its clients' networks, on their connections; a prefix is in one part, at most 400 in each.")

enum mesh_message_type {
#define X(sym, number, name, body, doc) MESH_##sym = number,
    MESH_MESSAGES(X)
#undef X
};

enum mesh_kind {
#define X(sym, number, name, subject, value, doc) MESH_KIND_##sym = number,
    MESH_KINDS(X)
#undef X
};

struct mesh_row {
    uint16_t number;
    const char *name, *subject, *body, *doc; /* subject: NULL for messages */
};
extern const struct mesh_row mesh_message_rows[];
extern const unsigned mesh_message_count;
extern const struct mesh_row mesh_kind_rows[];
extern const unsigned mesh_kind_count;

const char *mesh_message_name(unsigned number); /* "unknown" */
const char *mesh_kind_name(unsigned number);    /* "unknown" */

#endif
