/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash of a resource's content: XXH3, 64 bits, seed 0, so that it is the same number on every node. It tells
 * versions apart and notices damage; it is not made to withstand somebody who forges content.
 *
 * And a cache of such hashes by what tells a file's version: device, inode, size and time of change. It holds at least
 * as many of the latest as it was told to; older ones may be forgotten. A renamed file keeps all four.
 *
 * Memory: _new/_free. Thread: one at a time each.
 */
#ifndef PM_AGENT_HASH_H
#define PM_AGENT_HASH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include "base/err.h"

struct agent_hash;
struct agent_hash *agent_hash_new(void);
void agent_hash_free(struct agent_hash *h); /* NULL is allowed */
void agent_hash_reset(struct agent_hash *h);
void agent_hash_update(struct agent_hash *h, const void *data, size_t len);
uint64_t agent_hash_digest(const struct agent_hash *h);
uint64_t agent_hash_of(const void *data, size_t len);
/*
 * Reads len bytes of fd from the start; continues what h has. PM_ESHORT: the file is shorter; PM_ECANCELED: another
 * thread has set *stop (NULL is allowed), which is looked at every 256 KiB.
 */
int agent_hash_file(struct agent_hash *h, int fd, uint64_t len, const atomic_bool *stop) PM_MUST_CHECK;

struct agent_stamp {
    uint64_t low, high;
};
struct agent_stamp agent_stamp_of(const struct stat *st);

struct agent_hash_cache;
struct agent_hash_cache *agent_hash_cache_new(void);
void agent_hash_cache_free(struct agent_hash_cache *c);
bool agent_hash_cache_get(struct agent_hash_cache *c, struct agent_stamp stamp, uint64_t *hash);
/* keep: how many of the latest must be kept. */
void agent_hash_cache_put(struct agent_hash_cache *c, struct agent_stamp stamp, uint64_t hash, size_t keep);

#endif
