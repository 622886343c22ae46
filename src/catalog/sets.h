/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of nodes, each kept once. A farm has millions of resources but few different answers to "who has it", so a
 * resource holds the index of a set, and a compiler of kernel tables writes each set once.
 *
 * An index means the same nodes as long as somebody holds it. Once a set has been reported (sets_report_new), its index
 * is not given to another set before its end has been reported too (sets_report_gone): whoever compiles sets into a
 * table may write new ones, then what refers to them, then clear old ones, and no reader of the table ever sees an
 * index whose meaning changed under it. Sets that were never reported end at once.
 *
 * Memory: the table owns everything; node lists are valid until the next change. Thread: one at a time; reading calls
 * (const) may run together. Pure: no I/O, no clock, no globals. Failure: only a lack of memory (base/arena.h).
 */
#ifndef PM_CATALOG_SETS_H
#define PM_CATALOG_SETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum { CATALOG_NODES_MAX = 4096 }; /* node ids are 0 .. 4095 */
#define SETS_NONE UINT32_MAX       /* no set: not even the empty one */

struct sets;

/* seed: of the hash, unknown to outsiders (hash_seed()). */
struct sets *sets_new(uint64_t seed);
void sets_free(struct sets *s); /* NULL is allowed */

/* The set of these nodes (ascending, none twice; count 0 is the empty set), held once more. */
uint32_t sets_take(struct sets *s, const uint16_t *nodes, size_t count);
void sets_hold(struct sets *s, uint32_t set);
void sets_drop(struct sets *s, uint32_t set);

/* Its nodes, ascending; NULL (count 0) for an index that nobody holds. */
const uint16_t *sets_nodes(const struct sets *s, uint32_t set, size_t *count);
bool sets_has(const struct sets *s, uint32_t set, uint16_t node);
uint32_t sets_refs(const struct sets *s, uint32_t set);
/* One more than the greatest index in use: loop below it and skip those that sets_nodes does not know. */
uint32_t sets_limit(const struct sets *s);
uint32_t sets_count(const struct sets *s);
size_t sets_bytes(const struct sets *s);

/*
 * Calls fn for each set that has come since it was last asked; one whose fn fails, and those after it, are reported again
 * the next time. Returns 0 or what fn returned. fn must not change the table.
 */
typedef int sets_new_fn(void *ctx, uint32_t set, const uint16_t *nodes, size_t count);
int sets_report_new(struct sets *s, sets_new_fn *fn, void *ctx) PM_MUST_CHECK;
/* The same for reported sets that nobody holds any more; from then on the index may be given to another. */
typedef int sets_gone_fn(void *ctx, uint32_t set);
int sets_report_gone(struct sets *s, sets_gone_fn *fn, void *ctx) PM_MUST_CHECK;

#endif
