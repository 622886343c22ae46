/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map from bytes to pointers (open addressing, XXH3, seeded at random so that outsiders cannot make it slow).
 * Keys are not copied: they must live as long as the map. For building and looking things up off the answering path;
 * frozen maps may be read from many threads.
 */
#ifndef PM_BASE_MAP_H
#define PM_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct map_slot {
    const void *key;
    uint32_t len, hash;
    void *value;
};

struct map {
    struct map_slot *slots; /* NULL key = free */
    size_t cap, count;
};

#define MAP_INIT {NULL, 0, 0}

void map_init(struct map *m);
void map_fini(struct map *m); /* frees the table, not keys or values */
void *map_get(const struct map *m, const void *key, size_t len);
/* Sets key to value and returns the value it had before, or NULL. value must not be NULL. */
void *map_put(struct map *m, const void *key, size_t len, void *value);
/* Removes; returns the value, or NULL. */
void *map_del(struct map *m, const void *key, size_t len);
/* Iterates: *at starts at 0; returns false at the end. Order is arbitrary. The map must not change meanwhile. */
bool map_next(const struct map *m, size_t *at, struct map_slot *out);

void *map_get_str(const struct map *m, const char *key);
void *map_put_str(struct map *m, const char *key, void *value);
void *map_del_str(struct map *m, const char *key);

/* The process-wide seed: random, chosen once. */
uint64_t hash_seed(void);
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);

#endif
