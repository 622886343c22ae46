/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a plan's actions: each is an order to a node's agent, given, tried again with pauses that double, and
 * given up at last.
 *
 *   orders_take ──> waiting ──send──> sent ──done──> settling ──seen, or a while──> (gone)
 *                      ^                │ failed, lost, no answer
 *                      └── pause <──────┴──> after the last try: given up, remembered for a while
 *
 * A copy is ordered of the node that gets it, a removal of the one that has it. Orders that are done stay known until
 * the node has reported what came of it, so that the next plan does not want the same again; orders given up are known
 * as such, so that the next plan can choose another node.
 *
 * Ids are unique in the life of the farm: they begin at a number that the caller makes from the wall clock.
 * Memory: texts are copied; ORDERS_GIVEN_UP_MAX given up ones, the oldest make room. Thread: one at a time. Pure: times
 * are the caller's milliseconds; what is sent goes through a callback. Failure: PM_EBUSY for too many.
 */
#ifndef PM_CATALOG_ORDERS_H
#define PM_CATALOG_ORDERS_H

#include "catalog/plan.h"

enum { ORDERS_MAX = PLAN_ACTIONS_MAX, ORDERS_GIVEN_UP_MAX = 1000, ORDERS_WHY = 160 };

enum order_state { ORDER_WAITING, ORDER_SENT, ORDER_SETTLING, ORDER_GIVEN_UP };
const char *order_state_name(enum order_state s); /* "waiting", "sent", "settling", "given-up" */

struct orders;

struct orders_policy {
    uint32_t at_once, tries; /* sent to one node at a time; until one is given up */
    uint64_t first_pause_ms, last_pause_ms;
    uint64_t answer_ms; /* a sent one without an answer counts as lost */
    uint64_t settle_ms; /* how long a done one is known at most */
    uint64_t given_up_ms;
};

/* first_id: more than any of a life before. */
struct orders *orders_new(uint64_t first_id);
void orders_free(struct orders *o); /* NULL is allowed */
void orders_policy(struct orders *o, const struct orders_policy *p);

/* PM_EEXISTS: the same is on its way, or was given up lately; PM_EBUSY: too many. */
int orders_take(struct orders *o, const struct plan_action *a, uint64_t now) PM_MUST_CHECK;
/*
 * Sends what is due. send: PM_OK: sent. PM_EAGAIN: the node takes no more now. PM_EUNREACH, PM_ENOTFOUND: it is not
 * there, the order waits without a try being counted. Anything else is a failed try.
 */
typedef int orders_send_fn(void *ctx, uint64_t id, const struct plan_action *a);
void orders_run(struct orders *o, uint64_t now, orders_send_fn *send, void *ctx);
/* err 0: done. Ids that are not known (any more) are ignored; false then. */
bool orders_result(struct orders *o, uint64_t id, int err, const char *why, uint64_t now);
/* The node's connection is lost: what was sent is sent again when it is back. */
void orders_lost(struct orders *o, uint16_t node, uint64_t now);
/* The node has reported that it has the path, or has it no more: what was done about it has come to its end. */
void orders_seen(struct orders *o, uint16_t node, const char *host, const char *path, size_t len, bool has);
/* Takes back what waits; what was sent goes on. */
void orders_drop_waiting(struct orders *o);
/* Whether a copy of that to the node was given up lately. */
bool orders_gave_up(const struct orders *o, const char *host, const char *path, size_t len, uint16_t node,
                    uint64_t now);

/* All but those given up, for plan_input; valid until the next call that is not const. */
const struct plan_action *orders_pending(struct orders *o, size_t *count);

struct order_view {
    uint64_t id;
    enum order_state state;
    const struct plan_action *action;
    uint32_t tries;
    uint64_t since, due; /* in this state; when it is sent next, or forgotten */
    const char *why;     /* of the last failure, "" */
};
/* In the order they were taken; those given up after the others. False: there are no more. */
bool orders_view(const struct orders *o, size_t i, struct order_view *out);

struct orders_figures {
    size_t waiting, sent, settling, given_up;    /* now */
    uint64_t copied, removed, failed, abandoned; /* ever: done; failed tries; given up */
    uint64_t copied_bytes;
};
void orders_figures(const struct orders *o, struct orders_figures *out);

#endif
