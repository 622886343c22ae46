/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges: a total map from addresses to a small number, per family, frozen after building. Prefixes nest: the
 * longest wins, whatever the order they come in; among equal prefixes the last added wins. After freezing, neighbours
 * with equal values are one range.
 *
 * The lookup also gives the scope: the shortest prefix length whose block around the address lies inside the range.
 * Every address in that block has the same value, and no wider block does: the widest true scope (RFC 7871 7.2.1).
 *
 * Memory: about 8 bytes per IPv4 range, 20 per IPv6 range, plus a 256 kB index each. Thread: frozen ranges from any.
 */
#ifndef PM_GEO_RANGES_H
#define PM_GEO_RANGES_H

#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"

struct ranges;
struct ranges_builder;

struct ranges_hit {
    uint32_t value;
    uint8_t scope;
};

/* What addresses without any prefix map to. */
struct ranges_builder *ranges_builder_new(uint32_t default_value);
void ranges_builder_add(struct ranges_builder *b, const struct prefix *p, uint32_t value);
void ranges_builder_free(struct ranges_builder *b); /* NULL is allowed */
/* Consumes the builder. */
struct ranges *ranges_freeze(struct ranges_builder *b);
void ranges_free(struct ranges *r);
struct ranges_hit ranges_find(const struct ranges *r, const struct addr *a);
/* The same ranges with every value v replaced by map[v], merged again: turns places into a policy's classes. */
struct ranges *ranges_map(const struct ranges *r, const uint32_t *map, uint32_t map_len);
/* Every address gets join(value in a, value in b). Called once per range where either changes. */
typedef uint32_t ranges_join_fn(void *ctx, uint32_t a, uint32_t b);
struct ranges *ranges_join(const struct ranges *a, const struct ranges *b, ranges_join_fn *join, void *ctx);
size_t ranges_count(const struct ranges *r, unsigned family);
size_t ranges_memory(const struct ranges *r);

#endif
