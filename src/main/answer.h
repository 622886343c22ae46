/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins packet and decision: a serving thread's answer function. One RCU read gives the snapshot; dns/ parses and writes;
 * for a service's A or AAAA it asks the director.
 *
 * Thread: the serving threads; answer_explain on the control thread.
 */
#ifndef PM_MAIN_ANSWER_H
#define PM_MAIN_ANSWER_H

#include <jansson.h>
#include "model/world.h"
#include "respond/service.h"

/* Counters of answers, kept per serving thread beside the packet counters. */
#define ANSWER_COUNTERS(X)                                                                         \
    X(NOERROR, "answers_total", "rcode=\"NOERROR\"", "Answers by response code.")                  \
    X(FORMERR, "answers_total", "rcode=\"FORMERR\"", "")                                           \
    X(SERVFAIL, "answers_total", "rcode=\"SERVFAIL\"", "")                                         \
    X(NXDOMAIN, "answers_total", "rcode=\"NXDOMAIN\"", "")                                         \
    X(NOTIMP, "answers_total", "rcode=\"NOTIMP\"", "")                                             \
    X(REFUSED, "answers_total", "rcode=\"REFUSED\"", "")                                           \
    X(BADVERS, "answers_total", "rcode=\"BADVERS\"", "")                                           \
    X(OTHER, "answers_total", "rcode=\"other\"", "")                                               \
    X(TRUNCATED, "answers_truncated_total", "", "Answers that did not fit and said so (TC).")      \
    X(SERVICE, "answers_service_total", "", "Answers chosen by a service's policy.")               \
    X(SUBNET, "queries_client_subnet_total", "", "Queries that carried a client subnet (RFC 7871).") \
    X(FALLBACK, "answers_fallback_total", "", "Service answers given by the all-down choice.")

enum answer_counter {
#define X(sym, name, labels, help) ANSWER_##sym,
    ANSWER_COUNTERS(X)
#undef X
    ANSWER_COUNTER_COUNT
};

struct answer_context {
    struct world *world;
};

size_t answer_scratch_size(void);
/* A respond_answer_fn; ctx is a struct answer_context. */
size_t answer_packet(void *ctx, struct respond_thread *t, const uint8_t *pkt, size_t len, const struct respond_peer *peer,
                     uint8_t *out, size_t cap);

#endif
