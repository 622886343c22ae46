/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges: a total map from addresses to a small number, per family, frozen after building. Prefixes nest: the
 * longest wins, whatever the order they come in; among equal prefixes the last added wins. After freezing, neighbours
 * with equal values are one range.
 *
 * The lookup also gives the scope: the shortest prefix length whose block around the address lies inside the range.
 * Every address in that block has the same value, and no wider block does: the widest true scope (RFC 7871 7.2.1).
 * An address of family 0 (none) has the default value and scope 0.
 *
 * Memory: 8 bytes per IPv4 range, 20 per IPv6 range, plus an index that grows with the count to 256 kB (IPv4) and 4 MB
 * (IPv6); building takes about three times that for a moment. Failure: none (base/arena.h). Thread: a builder by one at
 * a time, frozen ranges from any.
 */
#ifndef PM_GEO_RANGES_H
#define PM_GEO_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"

struct ranges;
struct ranges_builder;

struct ranges_hit {
    uint32_t value;
    uint8_t scope;
};

/* default_value is what addresses without any prefix map to. */
struct ranges_builder *ranges_builder_new(uint32_t default_value);
void ranges_builder_add(struct ranges_builder *b, const struct prefix *p, uint32_t value);
/*
 * Adds first..last (same family, first <= last) as the fewest prefixes that cover it exactly, so that where ranges
 * overlap each other or prefixes, the more specific wins too.
 */
void ranges_builder_add_range(struct ranges_builder *b, const struct addr *first, const struct addr *last,
                              uint32_t value);
/* Frees a builder that is not to be frozen. */
void ranges_builder_free(struct ranges_builder *b);
/* Consumes the builder. */
struct ranges *ranges_freeze(struct ranges_builder *b);
void ranges_free(struct ranges *r); /* NULL is allowed */

struct ranges_hit ranges_find(const struct ranges *r, const struct addr *a);

/*
 * The same ranges with every value v replaced by map[v], merged again: turns places into a policy's classes. Values
 * not below map_len become 0.
 */
struct ranges *ranges_map(const struct ranges *r, const uint32_t *map, uint32_t map_len);
/* What two values that hold for the same addresses become together. Called once per overlapping pair of ranges. */
typedef uint32_t (*ranges_combine_fn)(void *arg, uint32_t under, uint32_t over);
/* Lays over upon under: each address gets combine(its value in under, its value in over). */
struct ranges *ranges_overlay(const struct ranges *under, const struct ranges *over, ranges_combine_fn combine,
                              void *arg);

/* The i-th range of a family, i < ranges_count: its first address (may be NULL) and value; it ends before the next. */
uint32_t ranges_at(const struct ranges *r, unsigned family, size_t i, struct addr *first);
size_t ranges_count(const struct ranges *r, unsigned family);
size_t ranges_memory(const struct ranges *r);

#endif
