/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/maglev.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/map.h"

enum { PLACES_PER_NODE = 100 };

/* Primes, each about four times the one before. */
static const uint32_t sizes[] = {251, 1021, 4093, 16381, 65521};

/* A node's walk through the table. */
struct walk {
    uint32_t offset, skip, next; /* next: how far it has come */
    double due;                  /* it takes a place when the round has come this far */
};

uint32_t maglev_size(size_t nodes)
{
    size_t i = 0;
    while (i + 1 < PM_ARRAY_LEN(sizes) && sizes[i] < nodes * PLACES_PER_NODE)
        i++;
    return sizes[i];
}

static uint32_t place(const struct walk *w, uint32_t size)
{
    return (uint32_t)((w->offset + (uint64_t)w->next * w->skip) % size);
}

static struct walk *walks_new(const struct maglev_node *nodes, size_t count, uint32_t size, uint32_t *heaviest)
{
    struct walk *w = mem_alloc((count + 1) * sizeof *w);
    *heaviest = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(nodes[i].name);
        w[i].offset = (uint32_t)(hash_bytes(nodes[i].name, n, 1) % size);
        w[i].skip = (uint32_t)(hash_bytes(nodes[i].name, n, 2) % (size - 1) + 1);
        *heaviest = nodes[i].weight > *heaviest ? nodes[i].weight : *heaviest;
    }
    return w;
}

/* Nodes take turns in the order of their names, so that a list in another order gives the same table. */
static int by_name(const void *a, const void *b)
{
    const struct maglev_node *x = a, *y = b;
    return strcmp(x->name, y->name);
}

void maglev_build(const struct maglev_node *nodes, size_t count, uint32_t *table, uint32_t size)
{
    uint32_t heaviest, filled = 0;
    struct maglev_node *sorted = mem_alloc((count + 1) * sizeof *sorted);
    memcpy(sorted, nodes, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_name);
    struct walk *w = walks_new(sorted, count, size, &heaviest);
    for (uint32_t i = 0; i < size; i++)
        table[i] = MAGLEV_NOBODY;
    for (uint32_t round = 1; heaviest && filled < size; round++) {
        for (size_t i = 0; i < count && filled < size; i++) {
            /* The heaviest has a turn in every round, others in their share of the rounds. */
            if (!sorted[i].weight || (double)round * sorted[i].weight < w[i].due * heaviest)
                continue;
            w[i].due += 1;
            while (table[place(&w[i], size)] != MAGLEV_NOBODY)
                w[i].next++;
            table[place(&w[i], size)] = sorted[i].id;
            w[i].next++;
            filled++;
        }
    }
    free(w);
    free(sorted);
}
