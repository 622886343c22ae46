/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand-off table (A6 of the Alteon patent, JP2000315200A, tables I-V): from the times at which the sites see each
 * other comes the share of clients each should get.
 *
 *   matrix of times ──> each tester's order, fastest first ──> a weight for each place ──> sum per site ──> share
 *
 * Every balancer that has the same matrix computes the same table: sites stand in the order of their names, times are
 * compared exactly, and of equal times the earlier site wins. A site does not judge itself. What a balancer cannot
 * reach itself is not its table's business: the stage `up` has removed it before.
 *
 * Pure: no state, no clock, no allocation.
 */
#ifndef PM_POLICY_HANDOFF_H
#define PM_POLICY_HANDOFF_H

#include <stddef.h>
#include <stdint.h>

enum { HANDOFF_PLACES = 16, HANDOFF_WEIGHT_MAX = 64, HANDOFF_SITES_MAX = 64 };

/* What a tester has not measured is NaN; what it cannot reach is INFINITY. Neither has a place in its order. */
struct handoff_matrix {
    unsigned sites;  /* at most HANDOFF_SITES_MAX */
    const float *ms; /* [sites * sites]: row = site looked at, column = site that looks */
};

/* The weights of the places 1, 2, 3 ...; places beyond count have none. */
struct handoff_places {
    unsigned count;
    uint8_t weight[HANDOFF_PLACES];
    uint32_t few; /* with so few sites the matrix is too coarse to go by (A7) */
};

/* Sites in a tester's order of preference; returns how many have a place. */
unsigned handoff_order(const struct handoff_matrix *m, unsigned tester, uint8_t order[HANDOFF_SITES_MAX]);
/* Total weight per site; returns the sum of all, 0 when nobody has measured anything. */
uint32_t handoff_totals(const struct handoff_matrix *m, const struct handoff_places *p, uint32_t total[]);

#endif
