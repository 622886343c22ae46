/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arena: memory that is freed all at once. A configuration generation, a zone or a request owns one; whatever was
 * allocated from it lives exactly as long. There is no per-object free.
 *
 * Thread: one at a time. Failure: allocation from an arena never returns NULL; a process that cannot get memory at
 * boot or reload has nothing better to do than to say so and stop (the answering path allocates nothing).
 */
#ifndef PM_BASE_ARENA_H
#define PM_BASE_ARENA_H

#include <stddef.h>
#include "base/err.h"

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a); /* NULL is allowed */
/* Zeroed, aligned to 16 bytes. size 0 gives a valid unique pointer. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((malloc, returns_nonnull, alloc_size(2)));
/* As arena_alloc, but with no alignment and no zeroing: for strings and packed bytes. */
void *arena_bytes(struct arena *a, size_t size) __attribute__((malloc, returns_nonnull, alloc_size(2)));
char *arena_strdup(struct arena *a, const char *s) __attribute__((returns_nonnull));
char *arena_strndup(struct arena *a, const char *s, size_t n) __attribute__((returns_nonnull));
char *arena_printf(struct arena *a, const char *fmt, ...) PM_PRINTF(2, 3) __attribute__((returns_nonnull));
/* Bytes obtained from the system, for memory reports. */
size_t arena_size(const struct arena *a);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
/* A product that does not fit stops the process as a lack of memory does. */
#define ARENA_ARRAY(a, type, n) ((type *)arena_alloc((a), arena_product(sizeof(type), (size_t)(n))))

static inline size_t arena_product(size_t size, size_t n)
{
    size_t product;
    return __builtin_mul_overflow(size, n, &product) ? (size_t)-1 : product;
}

/* malloc family for long-lived objects with their own free: abort with a message instead of NULL. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));          /* zeroed */
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));

#endif
