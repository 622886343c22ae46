/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for people: colours only where they are wanted, tables that fit the width, and nothing of what came from
 * elsewhere can move the cursor (control bytes become '?').
 *
 * Memory: a text is a growing buffer of the caller's; a table lives until table_print. Never fails.
 */
#ifndef PM_MAIN_CLI_TEXT_H
#define PM_MAIN_CLI_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include "base/buf.h"

enum text_style { TEXT_PLAIN, TEXT_BOLD, TEXT_DIM, TEXT_GOOD, TEXT_BAD, TEXT_WARN, TEXT_NAME, TEXT_HEAD };

struct text {
    struct buf out;
    bool colour;
    unsigned width; /* columns; 0 = not limited (no terminal) */
};

/* What fd is: width and colours of a terminal (NO_COLOR and TERM=dumb respected), or plain and unlimited. */
void text_init(struct text *t, int fd);
void text_add(struct text *t, enum text_style style, const char *fmt, ...) PM_PRINTF(3, 4);
void text_line(struct text *t); /* ends the line */
/* Lines of s as they are: a caret under a source line stays where it points. Ends the last one. */
void text_lines(struct text *t, const char *s);
/* Words of s broken at the width, each line indented; the first line begins where the text is now, at column `at`. */
void text_wrap(struct text *t, enum text_style style, unsigned at, unsigned indent, const char *s);
/* Writes all of it to fd and empties it; false when that failed. */
bool text_flush(struct text *t, int fd);
/* Columns that a string takes. */
unsigned text_columns(const char *s);

enum { TABLE_COLUMNS = 16 };

struct table_cell {
    char *s;
    enum text_style style;
};
struct table {
    unsigned indent, columns;
    const char *const *heads; /* NULL = no line of heads */
    unsigned right;           /* bit set of columns aligned to the right */
    unsigned elastic;         /* bit set of columns that may be cut to fit the width */
    struct table_cell *cells;
    size_t count, cap;
};

void table_init(struct table *tb, unsigned columns, const char *const *heads);
/* The next cell, row by row. */
void table_cell(struct table *tb, enum text_style style, const char *fmt, ...) PM_PRINTF(3, 4);
/* Columns (heads included) that hold nothing in any row are left out. Frees the table. */
void table_print(struct table *tb, struct text *t);

/* ---- out of answers ---- */

const char *json_text(const json_t *o, const char *key);       /* "" when missing or null */
double json_num(const json_t *o, const char *key, double def); /* def when missing or null */
json_int_t json_int(const json_t *o, const char *key);
bool json_flag(const json_t *o, const char *key);
bool json_has(const json_t *o, const char *key); /* there, and not null */
enum text_style style_of_health(const char *health);
enum text_style style_of_override(const char *override);
enum { AGE_TEXT = 32 };
/* "3s", "12m", "2h05m", "4d": two figures are enough for people. */
const char *age_text(double ms, char out[AGE_TEXT]);

#endif
