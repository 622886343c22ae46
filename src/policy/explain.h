/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Explain: the same decision as the answering path makes, from the same frozen inputs, with everything said aloud:
 * every candidate, what each stage did to it and why, class, scope, TTL and the resulting order with each VIP's share.
 * The result is JSON; `pointsman explain` prints it for people.
 *
 * Thread: control (it reads the snapshot the threads read).
 */
#ifndef PM_POLICY_EXPLAIN_H
#define PM_POLICY_EXPLAIN_H

#include <jansson.h>
#include "model/history.h"
#include "model/model.h"
#include "model/snapshot.h"

struct explain_query {
    uint32_t service;
    unsigned family;    /* 0 = IPv4, 1 = IPv6 */
    struct addr client;
    bool located;
    uint64_t at_ms;     /* wall clock; 0 = now. Earlier: health, overrides and metrics are wound back by the history */
};

/* PM_ENOTFOUND: at_ms is before the history begins. *out is a new reference. */
int explain(const struct snapshot *s, const struct model *m, const struct history *h, const struct explain_query *q,
            json_t **out) PM_MUST_CHECK;
/* A place as JSON: only what is known. */
json_t *explain_place(const struct geo_place *p);

#endif
