/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable byte buffer, always terminated by a NUL that does not count. For text and messages off the answering
 * path. Owner: whoever calls buf_init; buf_fini frees. Thread: one at a time. Never fails (see base/arena.h).
 */
#ifndef PM_BASE_BUF_H
#define PM_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include "base/err.h"

struct buf {
    char *data; /* NULL until something is appended */
    size_t len, cap;
};

#define BUF_INIT {NULL, 0, 0}

void buf_init(struct buf *b);
void buf_fini(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PM_PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PM_PRINTF(2, 0);
/* The text so far; "" when empty. Valid until the next append. */
const char *buf_str(const struct buf *b);
/* Removes the first n bytes. */
void buf_consume(struct buf *b, size_t n);

#endif
