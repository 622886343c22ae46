/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server says it holds, as an operator writes it:
 *
 *   /index.html            a path                www.example.com/index.html   of that host only
 *   /images/               all below it          www.example.com/images/
 *   *.php                  all that end so       www.example.com/ *.php (without the space)
 *
 * Pure; the parts point into the text.
 */
#ifndef PM_MODEL_HOLDS_H
#define PM_MODEL_HOLDS_H

#include <stdbool.h>
#include <stddef.h>

enum hold_kind { HOLD_PATH, HOLD_PREFIX, HOLD_SUFFIX };

struct hold {
    enum hold_kind kind;
    const char *host; /* NULL: of any */
    size_t host_len;
    const char *text; /* "/index.html", "/images/", ".php" */
};

/* False: it is none of these. */
bool hold_parse(const char *text, struct hold *out);
/* Whether it is all of a host: "www.example.com/", or "/" of any. */
bool hold_is_whole(const struct hold *h);
/* Whether it is about this host (lower case). */
bool hold_is_of(const struct hold *h, const char *host);

#endif
