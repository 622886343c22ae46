/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What balancers and the agents on nodes say to each other over a link (mesh/link.h); docs/protocol/agent.md.
 *
 *   agent: HELLO, then REPORT every two seconds, FINDINGS, its files: BEGIN FILES... END, later FILES and GONE; RESULTs
 *   balancer: TASK whenever it changes, ORDER, CANCEL
 *
 * A message is one byte version, one byte word, and the body, in the integers and strings of DSSP (mesh/codec.h). Longer
 * texts have two bytes of length. A word that is not known is skipped; a body that is too short ends the link.
 *
 * Memory: what is read points into the message. Pure. Failure: PM_EPROTO.
 */
#ifndef PM_MESH_AGENT_WORDS_H
#define PM_MESH_AGENT_WORDS_H

#include "mesh/codec.h"

enum { AGENT_WORDS_VERSION = 1, AGENT_PORT = 7947, AGENT_SECRET = 32, AGENT_TEXT_MAX = 8192, AGENT_COUNTERS_MAX = 64 };

enum agent_word {
    AGENT_HELLO = 1,
    AGENT_REPORT,
    AGENT_FINDINGS,
    AGENT_BEGIN,
    AGENT_FILES,
    AGENT_GONE,
    AGENT_END,
    AGENT_RESULT,
    AGENT_TASK = 32,
    AGENT_ORDER,
    AGENT_CANCEL,
};

struct agent_text { /* not terminated */
    const char *p;
    uint16_t n;
};

enum agent_hello_flags { AGENT_ADOPTS = 1, AGENT_WRITABLE = 2 };
struct agent_hello_word {
    struct mesh_str software;
    uint32_t flags;
    struct mesh_str why; /* it does not adopt */
};

struct agent_report_word {
    uint32_t known; /* bits of agent/load.h */
    uint32_t connections, waiting, waiting_max, unread, pending, listeners;
    uint64_t ram_free, ram_total, swap_free, swap_total;
    uint32_t idle_permille, running, blocked, processors, load_percent;
    uint64_t room; /* free bytes of the least of the writable roots */
    unsigned counter_count; /* of its packet program */
    uint64_t counter[AGENT_COUNTERS_MAX];
};

struct agent_finding_word {
    uint8_t severity;
    int32_t value, want;
    struct mesh_str key, why, fix;
};

struct agent_file_word {
    struct mesh_str host;
    struct agent_text path;
    uint64_t size, hash;
};

struct agent_result_word {
    uint64_t order;
    int32_t err;
    struct mesh_str text;
};

/* An address and port clients come to. */
enum agent_place_flags { AGENT_PLACE_PLAIN = 1 /* its own kernel does the handshake: it announces a lower MSS */ };
struct agent_place_word {
    struct addr vip;
    uint16_t port;
    uint8_t flags;
};
struct agent_task_word {
    const uint8_t *secret; /* AGENT_SECRET bytes: of the tags */
    uint32_t mtu;
    unsigned sources, places; /* how many follow: addresses hand-off packets come from; struct agent_place_word */
};

struct agent_order_word {
    uint64_t id;
    uint8_t kind, replaces;
    struct mesh_str host;
    struct agent_text path;
    uint64_t size, hash, old_hash;
    unsigned sources; /* how many follow: struct endpoint */
};

/* Opens a message; PM_EPROTO: shorter than its head, or of another version. */
int agent_open(struct mesh_reader *r, uint8_t *word) PM_MUST_CHECK;
void agent_start(struct mesh_writer *w, enum agent_word word);

int agent_get_hello(struct mesh_reader *r, struct agent_hello_word *out) PM_MUST_CHECK;
int agent_get_report(struct mesh_reader *r, struct agent_report_word *out) PM_MUST_CHECK;
int agent_get_task(struct mesh_reader *r, struct agent_task_word *out) PM_MUST_CHECK;
int agent_get_order(struct mesh_reader *r, struct agent_order_word *out) PM_MUST_CHECK;
int agent_get_result(struct mesh_reader *r, struct agent_result_word *out) PM_MUST_CHECK;
/* The next of what follows a TASK or ORDER, or stands in a list; PM_ENOTFOUND at the end of the message. */
int agent_get_place(struct mesh_reader *r, struct agent_place_word *out) PM_MUST_CHECK;
int agent_get_endpoint(struct mesh_reader *r, struct endpoint *out) PM_MUST_CHECK;
int agent_get_source(struct mesh_reader *r, struct addr *out) PM_MUST_CHECK;
int agent_get_finding(struct mesh_reader *r, struct agent_finding_word *out) PM_MUST_CHECK;
int agent_get_file(struct mesh_reader *r, struct agent_file_word *out) PM_MUST_CHECK;
/* GONE: host and path only. */
int agent_get_gone(struct mesh_reader *r, struct agent_file_word *out) PM_MUST_CHECK;

/* All but the lists' ends; a writer that is full says so (mesh_writer.full). */
void agent_put_hello(struct mesh_writer *w, const struct agent_hello_word *h);
void agent_put_report(struct mesh_writer *w, const struct agent_report_word *r);
void agent_put_task(struct mesh_writer *w, const struct agent_task_word *t);
void agent_put_order(struct mesh_writer *w, const struct agent_order_word *o);
void agent_put_result(struct mesh_writer *w, const struct agent_result_word *r);
void agent_put_place(struct mesh_writer *w, const struct agent_place_word *p);
void agent_put_endpoint(struct mesh_writer *w, const struct endpoint *e);
void agent_put_finding(struct mesh_writer *w, const struct agent_finding_word *f);
void agent_put_file(struct mesh_writer *w, const struct agent_file_word *f);
void agent_put_gone(struct mesh_writer *w, const struct agent_file_word *f);

#endif
