/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/diag.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"

/* A line of a minified file may be megabytes; what is shown of it must not be. */
enum { SOURCE_SHOWN = 400 };

struct kept {
    struct conf_problem p;
    size_t order; /* of arrival, to keep the sort stable */
};

struct conf_diag {
    struct arena *arena;
    struct kept *kept;
    size_t count, cap, errors, warnings;
    bool sorted;
};

struct conf_diag *conf_diag_new(void)
{
    struct conf_diag *d = mem_alloc(sizeof *d);
    d->arena = arena_new();
    return d;
}

void conf_diag_free(struct conf_diag *d)
{
    if (!d)
        return;
    arena_free(d->arena);
    free(d->kept);
    free(d);
}

void conf_diag_addv(struct conf_diag *d, const struct conf_problem *p, size_t source_len, const char *fmt, va_list ap)
{
    if (p->severity == CONF_SEVERITY_ERROR)
        d->errors++;
    else
        d->warnings++;
    if (d->count >= CONF_DIAG_KEEP)
        return;
    if (d->count == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 16;
        d->kept = mem_realloc(d->kept, d->cap * sizeof *d->kept);
    }
    struct buf text = BUF_INIT;
    buf_vprintf(&text, fmt, ap);
    struct kept *k = &d->kept[d->count];
    *k = (struct kept){*p, d->count};
    k->p.message = arena_strdup(d->arena, buf_str(&text));
    k->p.file = arena_strdup(d->arena, p->file ? p->file : "");
    if (source_len > SOURCE_SHOWN)
        source_len = SOURCE_SHOWN;
    k->p.source = source_len ? arena_strndup(d->arena, p->source, source_len) : "";
    buf_fini(&text);
    d->count++;
    d->sorted = false;
}

void conf_diag_add(struct conf_diag *d, const struct conf_problem *p, size_t source_len, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    conf_diag_addv(d, p, source_len, fmt, ap);
    va_end(ap);
}

size_t conf_diag_errors(const struct conf_diag *d)
{
    return d->errors;
}

size_t conf_diag_warnings(const struct conf_diag *d)
{
    return d->warnings;
}

size_t conf_diag_count(const struct conf_diag *d)
{
    return d->count;
}

static int kept_cmp(const void *va, const void *vb)
{
    const struct kept *a = va, *b = vb;
    if (a->p.file_order != b->p.file_order)
        return a->p.file_order < b->p.file_order ? -1 : 1;
    if (a->p.line != b->p.line)
        return a->p.line < b->p.line ? -1 : 1;
    if (a->p.column != b->p.column)
        return a->p.column < b->p.column ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static void diag_sort(struct conf_diag *d)
{
    if (!d->sorted && d->count)
        qsort(d->kept, d->count, sizeof *d->kept, kept_cmp);
    d->sorted = true;
}

const struct conf_problem *conf_diag_at(struct conf_diag *d, size_t i)
{
    diag_sort(d);
    return i < d->count ? &d->kept[i].p : NULL;
}

/* The source line and a caret under its column: tabs stay tabs, so that both lines expand alike. */
static void source_print(const struct conf_problem *p, struct buf *out)
{
    buf_printf(out, "    %s\n", p->source);
    if (!p->column)
        return;
    buf_puts(out, "    ");
    uint32_t column = 1;
    for (const char *s = p->source; *s && column < p->column; s++) {
        if (((unsigned char)*s & 0xc0) == 0x80)
            continue; /* inside a UTF-8 character */
        buf_putc(out, *s == '\t' ? '\t' : ' ');
        column++;
    }
    if (column == p->column)
        buf_putc(out, '^');
    buf_putc(out, '\n');
}

static const char *severity_name(enum conf_severity s)
{
    return s == CONF_SEVERITY_ERROR ? "error" : "warning";
}

void conf_diag_print(struct conf_diag *d, struct buf *out)
{
    diag_sort(d);
    size_t shown = d->count < CONF_DIAG_SHOW ? d->count : CONF_DIAG_SHOW;
    for (size_t i = 0; i < shown; i++) {
        const struct conf_problem *p = &d->kept[i].p;
        if (p->file[0] && p->line)
            buf_printf(out, "%s:%u:%u: ", p->file, p->line, p->column);
        else if (p->file[0])
            buf_printf(out, "%s: ", p->file);
        buf_printf(out, "%s: %s\n", severity_name(p->severity), p->message);
        if (p->source[0])
            source_print(p, out);
    }
    if (d->errors + d->warnings > shown)
        buf_printf(out, "and %zu more\n", d->errors + d->warnings - shown);
}

json_t *conf_diag_json(struct conf_diag *d)
{
    diag_sort(d);
    json_t *list = json_array();
    for (size_t i = 0; i < d->count; i++) {
        const struct conf_problem *p = &d->kept[i].p;
        json_t *o = json_object();
        json_object_set_new(o, "severity", json_string(severity_name(p->severity)));
        json_object_set_new(o, "file", json_string(p->file));
        json_object_set_new(o, "line", json_integer(p->line));
        json_object_set_new(o, "column", json_integer(p->column));
        /* A file that is not UTF-8 must not cost the whole answer. */
        json_t *message = json_string(p->message), *source = json_string(p->source);
        json_object_set_new(o, "message", message ? message : json_string("(text is not UTF-8)"));
        json_object_set_new(o, "source", source ? source : json_string(""));
        json_array_append_new(list, o);
    }
    json_t *all = json_object();
    json_object_set_new(all, "errors", json_integer((json_int_t)d->errors));
    json_object_set_new(all, "warnings", json_integer((json_int_t)d->warnings));
    json_object_set_new(all, "problems", list);
    return all;
}
