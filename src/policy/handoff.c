/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/handoff.h"

#include <math.h>

unsigned handoff_order(const struct handoff_matrix *m, unsigned tester, uint8_t order[HANDOFF_SITES_MAX])
{
    unsigned n = 0;
    for (unsigned row = 0; row < m->sites; row++) {
        float ms = m->ms[row * m->sites + tester];
        if (row == tester || !isfinite(ms))
            continue;
        unsigned at = n++;
        for (; at && m->ms[order[at - 1] * m->sites + tester] > ms; at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)row;
    }
    return n;
}

uint32_t handoff_totals(const struct handoff_matrix *m, const struct handoff_places *p, uint32_t total[])
{
    uint8_t order[HANDOFF_SITES_MAX];
    uint32_t sum = 0;
    for (unsigned row = 0; row < m->sites; row++)
        total[row] = 0;
    for (unsigned tester = 0; tester < m->sites; tester++) {
        unsigned n = handoff_order(m, tester, order);
        for (unsigned place = 0; place < n && place < p->count; place++) {
            total[order[place]] += p->weight[place];
            sum += p->weight[place];
        }
    }
    return sum;
}
