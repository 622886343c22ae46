/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be found in an answer: a text, a Perl-compatible expression, or both. Expressions are compiled when the
 * configuration is read and matched with a step limit, so that no answer makes one run away.
 * Memory: the compiled expression lives as long as the process knows the configuration (a few hundred bytes each).
 */
#ifndef PM_MONITOR_EXPECT_H
#define PM_MONITOR_EXPECT_H

#include <stdbool.h>
#include <stddef.h>
#include "conf/load.h"

struct expect {
    const char *text, *regex; /* from the configuration; NULL = not asked for */
    void *code;               /* compiled regex */
};

/* For a conf_object's check function: compiles, or reports a configuration error. */
void expect_compile(struct expect *e, struct conf_ctx *ctx, const struct conf_node *node);
static inline bool expect_any(const struct expect *e)
{
    return e->text || e->regex;
}
bool expect_met(const struct expect *e, const char *data, size_t len);

#endif
