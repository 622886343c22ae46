/* SPDX-License-Identifier: Apache-2.0 */
/*
 * History: the last changes of what was believed, so that "why did that client go there at 14:03?" has an answer. A ring
 * in memory of a fixed number of changes; the oldest are forgotten.
 *
 * Thread: control. Changes name VIPs by number, so a history belongs to one configuration generation; history_carry
 * takes what still has a VIP into the next.
 */
#ifndef PM_MODEL_HISTORY_H
#define PM_MODEL_HISTORY_H

#include <stddef.h>
#include <stdint.h>
#include "model/snapshot.h"

enum { HISTORY_HEALTH = METRIC_COUNT, HISTORY_OVERRIDE, HISTORY_FLAPPING };

struct history_change {
    uint64_t wall_ms;
    uint32_t vip;
    uint8_t field; /* HISTORY_*, or an enum metric */
    float before, after;
};

struct history;

struct history *history_new(size_t capacity, uint64_t now_wall_ms);
void history_free(struct history *h);
/* Copies what `old` remembers, oldest first, with VIP numbers translated by to_new[]; UINT32_MAX = the VIP is gone. */
void history_carry(struct history *h, const struct history *old, const uint32_t *to_new);
void history_add(struct history *h, const struct history_change *c);
/* Since when everything is remembered (wall ms). */
uint64_t history_since(const struct history *h);
/* Changes from the newest to the oldest; at starts at 0; NULL at the end. */
const struct history_change *history_back(const struct history *h, size_t *at);
/* Winds a candidate back to what it was at that time. */
void history_rewind(const struct history *h, uint64_t wall_ms, struct snap_cand *c);

#endif
