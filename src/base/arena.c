/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_MIN = 4096, BLOCK_MAX = 1 << 20, ALIGN = 16 };

struct block {
    struct block *next;
    size_t size, used;
    _Alignas(ALIGN) unsigned char data[];
};

struct arena {
    struct block *head;
    size_t next_size, total;
};

static _Noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "pointsman: out of memory (wanted %zu bytes)\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

void *mem_realloc(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);
    if (!q)
        out_of_memory(size);
    return q;
}

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = mem_alloc(n);
    memcpy(p, s, n);
    return p;
}

struct arena *arena_new(void)
{
    struct arena *a = mem_alloc(sizeof *a);
    a->next_size = BLOCK_MIN;
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct block *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

static struct block *block_with_room(struct arena *a, size_t size)
{
    struct block *b = a->head;
    if (b && b->size - b->used >= size)
        return b;
    size_t want = a->next_size;
    if (want < size)
        want = size;
    else if (a->next_size < BLOCK_MAX)
        a->next_size *= 2;
    b = malloc(sizeof *b + want);
    if (!b)
        out_of_memory(want);
    b->size = want;
    b->used = 0;
    /* An oversized block goes behind the head, so that the head's remaining room stays in use. */
    if (a->head && want == size && a->head->size - a->head->used > ALIGN) {
        b->next = a->head->next;
        a->head->next = b;
    } else {
        b->next = a->head;
        a->head = b;
    }
    a->total += sizeof *b + want;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        out_of_memory(size);
    size = size ? (size + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
    struct block *b = block_with_room(a, size + ALIGN);
    size_t at = (b->used + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    b->used = at + size;
    return memset(b->data + at, 0, size);
}

void *arena_bytes(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2)
        out_of_memory(size);
    struct block *b = block_with_room(a, size ? size : 1);
    void *p = b->data + b->used;
    b->used += size ? size : 1;
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *p = arena_bytes(a, n + 1);
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = arena_bytes(a, n < 0 ? 1 : (size_t)n + 1);
    if (n < 0)
        *p = 0;
    else
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

size_t arena_size(const struct arena *a)
{
    return a ? a->total : 0;
}
