/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which servers have what, as far as is known at this moment: read by front-end threads while it changes, so a million
 * resources can come and go without a new routing table (frontend/table.h).
 *
 * A text (decoded path, "/folder/", ".suffix") of a scope (a service) maps to the servers that have it, a bit for each
 * front_server.slot. Texts themselves are not kept, only a seeded 64-bit hash: two of a million have the same by a
 * chance of one in forty million, and clients cannot look for such a pair.
 *
 * Threads: one writer, who is an RCU reader or offline. Readers are RCU readers; they take no lock and never wait. What
 * they see of one text is its old or its new servers.
 * Memory: 16 bytes for a place, at most three in four taken; grows by doubling, with a grace period. Failure: none.
 */
#ifndef PM_FRONTEND_KNOWN_H
#define PM_FRONTEND_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct front_known;

struct front_known *front_known_new(void);
void front_known_free(struct front_known *k); /* no reader may have it; NULL is allowed */
/* kind: enum front_holds. servers may be 0: all who should have it said no. */
void front_known_set(struct front_known *k, uint64_t scope, uint8_t kind, const char *text, size_t len,
                     uint64_t servers);
void front_known_remove(struct front_known *k, uint64_t scope, uint8_t kind, const char *text, size_t len);
size_t front_known_count(const struct front_known *k);
size_t front_known_bytes(const struct front_known *k);

/* For readers. False: nothing is known of this very text. */
bool front_known_look(const struct front_known *k, uint64_t scope, uint8_t kind, const char *text, size_t len,
                      uint64_t *servers);
/* The most particular that is known of a path: itself, its longest prefix, its suffix. */
bool front_known_find(const struct front_known *k, uint64_t scope, const char *path, size_t len, uint64_t *servers);

#endif
