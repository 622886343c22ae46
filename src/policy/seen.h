/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the model's sights to a service's matrix of times and its hand-off table, for one address family.
 *
 * A cell is the best time in which any balancer that stands at the one site reaches any VIP at the other; INFINITY when
 * those who looked found all of them down, NaN when nobody has looked.
 *
 * Thread: control.
 */
#ifndef PM_POLICY_SEEN_H
#define PM_POLICY_SEEN_H

#include "model/model.h"
#include "model/snapshot.h"
#include "policy/handoff.h"

/* A snap_seen with its arrays; about 17 KB. */
struct seen_table {
    struct snap_seen head; /* points into this struct: do not copy */
    uint16_t site[HANDOFF_SITES_MAX];
    uint32_t total[HANDOFF_SITES_MAX];
    float ms[HANDOFF_SITES_MAX * HANDOFF_SITES_MAX];
};

/* addr_family: ADDR_V4 or ADDR_V6. places NULL: no hand-off table. */
void seen_build(const struct model *m, uint32_t service, unsigned addr_family, const struct handoff_places *places,
                struct seen_table *out);
/* The row of a site that has a VIP of the family. */
unsigned seen_row(const struct snap_seen *s, uint16_t site);

#endif
