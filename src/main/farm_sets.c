/* SPDX-License-Identifier: Apache-2.0 */
/* Places for sets in the kernel's tables. */
#include "main/farm_internal.h"

uint32_t farm_set_take(struct farm *f, uint32_t spare)
{
    for (uint32_t i = 0; f->sets_used + spare < RELAY_SETS_MAX && i < RELAY_SETS_MAX; i++) {
        if (f->set_used[i / 8] >> i % 8 & 1)
            continue;
        f->set_used[i / 8] |= (uint8_t)(1 << i % 8);
        f->sets_used++;
        return i;
    }
    return RELAY_SETS_MAX;
}

void farm_set_give(struct farm *f, uint32_t i)
{
    if (i >= RELAY_SETS_MAX || !(f->set_used[i / 8] >> i % 8 & 1))
        return;
    f->set_used[i / 8] &= (uint8_t) ~(1 << i % 8);
    f->sets_used--;
}
