/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/plan_internal.h"

#include <stdlib.h>

static int by_urgency(const void *a, const void *b)
{
    const struct pick *x = a, *y = b;
    if (x->class != y->class)
        return x->class < y->class ? -1 : 1;
    if (x->level != y->level)
        return x->level < y->level ? -1 : 1;
    if (x->heat != y->heat)
        return x->heat > y->heat ? -1 : 1;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

void picks_start(struct picks *k, uint32_t max)
{
    k->count = 0;
    k->max = max;
    k->refused = 0;
}

static void sift_up(struct picks *k, uint32_t at)
{
    struct pick moving = k->at[at];
    for (; at && by_urgency(&k->at[(at - 1) / 2], &moving) < 0; at = (at - 1) / 2)
        k->at[at] = k->at[(at - 1) / 2];
    k->at[at] = moving;
}

static void sift_down(struct picks *k, uint32_t at)
{
    struct pick moving = k->at[at];
    for (uint32_t child; (child = 2 * at + 1) < k->count; at = child) {
        if (child + 1 < k->count && by_urgency(&k->at[child + 1], &k->at[child]) > 0)
            child++;
        if (by_urgency(&k->at[child], &moving) <= 0)
            break;
        k->at[at] = k->at[child];
    }
    k->at[at] = moving;
}

void picks_add(struct picks *k, struct pick pick)
{
    if (k->count < k->max) {
        if (k->count == k->cap) {
            k->cap = k->cap ? k->cap * 2 : 64;
            k->at = mem_realloc(k->at, k->cap * sizeof *k->at);
        }
        k->at[k->count++] = pick;
        sift_up(k, k->count - 1);
        return;
    }
    k->refused++;
    if (k->max && by_urgency(&pick, &k->at[0]) < 0) {
        k->at[0] = pick;
        sift_down(k, 0);
    }
}

void picks_sort(struct picks *k)
{
    if (k->count)
        qsort(k->at, k->count, sizeof *k->at, by_urgency);
}
