/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4): a table whose places belong to nodes in proportion
 * to their weights, so that balancers that know the same nodes make the same table without talking, and a node that
 * comes or goes moves few of the others' places.
 *
 * A node's places follow from its name alone, not from its position in the list. Pure: no state, no clock.
 */
#ifndef PM_RELAY_MAGLEV_H
#define PM_RELAY_MAGLEV_H

#include <stddef.h>
#include <stdint.h>

enum { MAGLEV_NOBODY = UINT32_MAX };

struct maglev_node {
    const char *name; /* what makes its permutation: the same on every balancer */
    uint32_t weight;  /* 0: gets nothing */
    uint32_t id;      /* what stands in the table */
};

/*
 * A size for that many nodes: prime, at least a hundred places for each where one of the sizes has that many, so that
 * shares are right within about a percent.
 */
uint32_t maglev_size(size_t nodes);
/* Fills table[size]; size is prime. All MAGLEV_NOBODY when no node has a weight. */
void maglev_build(const struct maglev_node *nodes, size_t count, uint32_t *table, uint32_t size);

#endif
