/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a page hold what it should: a text, or a regular expression (PCRE2) whose cost is bounded. A pattern that
 * backtracks without end would stop the control thread, so a match that takes more than BODY_MATCH_STEPS steps or
 * BODY_MATCH_MS ends as "too costly", whatever the pattern and the page.
 *
 * Memory: the compiled pattern is in the arena of the configuration and dies with it. Thread: control.
 */
#ifndef PM_MONITOR_BODY_MATCH_H
#define PM_MONITOR_BODY_MATCH_H

#include "base/arena.h"

enum { BODY_MATCH_STEPS = 500000, BODY_MATCH_MS = 50, BODY_MATCH_ERROR = 160 };

struct body_regex; /* compiled */

/* NULL with why and the offset in the pattern when it is not one. */
struct body_regex *body_regex_new(struct arena *a, const char *pattern, char why[BODY_MATCH_ERROR], size_t *offset);

enum body_match { BODY_MATCHES, BODY_DIFFERS, BODY_TOO_COSTLY };
enum body_match body_regex_match(const struct body_regex *re, const char *data, size_t len);

#endif
