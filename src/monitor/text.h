/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What text-like protocols share, pure: bytes in, verdict out. Fuzzed by tests/fuzz/fuzz_mon.c.
 */
#ifndef PM_MONITOR_TEXT_H
#define PM_MONITOR_TEXT_H

#include <stdbool.h>
#include "base/buf.h"

/* Appends s with the escapes \r \n \t \0 \\ \xHH replaced. False: an escape is broken (out then has
 * what came before). */
bool monitor_text_unescape(const char *s, struct buf *out);

/*
 * Takes one line (to LF, CR LF cut off) from the front of b into line, NUL-terminated and cut at
 * cap. 1 = a line, 0 = not complete yet, -1 = longer than max before its end (RFC 3977 3.1: 512
 * octets).
 */
int monitor_text_line(struct buf *b, size_t max, char *line, size_t cap);
/* The three digits a reply of NNTP (RFC 3977 3.2) begins with; -1 = no such thing. */
int monitor_text_reply_code(const char *line);

/* True when text can stand in a request line or command: not empty, no controls; spaces only if allowed. */
bool monitor_text_ok(const char *text, bool spaces);

#endif
