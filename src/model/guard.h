/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard against avalanches: when sites of a service fail one after the other, their clients fall on those that are
 * left. No more than monitor.move-limit of a service's weight may lose its clients within a minute; VIPs that fail
 * beyond that are down, but keep their clients (`kept`) until there is room again. The first one that fails always goes.
 *
 * Thread: control.
 */
#ifndef PM_MODEL_GUARD_H
#define PM_MODEL_GUARD_H

#include "model/model.h"

enum { GUARD_WINDOW_MS = 60000 };

/* The VIP's part of its service's weight, among those of its family: 0..1. */
double guard_share(const struct model *m, uint32_t vip);
/* What has moved within the last minute, of the VIP's service and family: 0..1. */
double guard_moved(const struct model *m, uint32_t vip, uint64_t now_ms);
/* Whether this VIP's clients may be moved now. */
bool guard_allows(const struct model *m, uint32_t vip, uint64_t now_ms);

#endif
