/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors and warnings of one load, collected instead of printed, so that all of them are told at once, in the order of
 * the files, with the line they stand on:
 *
 *     pointsman.yaml:12:5: error: unknown key 'chek', did you mean 'check'?
 *         chek: tcp
 *         ^
 *
 * Memory: everything is copied; a conf_diag outlives files, nodes and arena of the load. No more than CONF_DIAG_KEEP are
 * kept, the rest is counted. Thread: one at a time. Never fails.
 */
#ifndef PM_CONF_DIAG_H
#define PM_CONF_DIAG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

enum { CONF_DIAG_KEEP = 1000, CONF_DIAG_SHOW = 100 };
enum conf_severity { CONF_SEVERITY_ERROR, CONF_SEVERITY_WARNING };

struct conf_problem {
    enum conf_severity severity;
    const char *file;      /* "" = no position */
    uint32_t file_order;   /* files sort in the order in which they were opened */
    uint32_t line, column; /* from 1, columns in characters; 0 = the file as a whole */
    const char *message;
    const char *source; /* the line, without its end; "" = none */
};

struct conf_diag;
struct json_t;

struct conf_diag *conf_diag_new(void);
void conf_diag_free(struct conf_diag *d); /* NULL is allowed */

/* p's strings are copied; the message comes from fmt. source need not end with a NUL: source_len bytes are taken. */
void conf_diag_addv(struct conf_diag *d, const struct conf_problem *p, size_t source_len, const char *fmt, va_list ap)
    PM_PRINTF(4, 0);
void conf_diag_add(struct conf_diag *d, const struct conf_problem *p, size_t source_len, const char *fmt, ...)
    PM_PRINTF(4, 5);

size_t conf_diag_errors(const struct conf_diag *d);   /* all, also those not kept */
size_t conf_diag_warnings(const struct conf_diag *d);
size_t conf_diag_count(const struct conf_diag *d); /* kept */
/* Sorted by position; i below conf_diag_count. */
const struct conf_problem *conf_diag_at(struct conf_diag *d, size_t i);

/* The first CONF_DIAG_SHOW as text, then how many more there are. */
void conf_diag_print(struct conf_diag *d, struct buf *out);
/* {"errors": n, "warnings": n, "problems": [{severity, file, line, column, message, source}]}; a new reference. */
struct json_t *conf_diag_json(struct conf_diag *d);

#endif
