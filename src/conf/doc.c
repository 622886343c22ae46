/* SPDX-License-Identifier: Apache-2.0 */
/* The reference manual from the tables. */
#include "conf/doc.h"

#include <stdio.h>
#include <string.h>
#include "base/units.h"

enum { LEVEL_MAX = 6 };

static const char *const type_names[] = {
    [CONF_BOOL] = "true or false", [CONF_INT] = "whole number", [CONF_UINT] = "whole number",
    [CONF_DOUBLE] = "number",      [CONF_STRING] = "text",      [CONF_DURATION] = "duration",
    [CONF_SIZE] = "size",          [CONF_ADDR] = "address",     [CONF_PREFIX] = "prefix",
    [CONF_ENDPOINT] = "address:port", [CONF_NAME] = "domain name", [CONF_PATH] = "path",
    [CONF_ENUM] = "word",          [CONF_OBJECT] = "keys",      [CONF_MAP] = "map by name",
    [CONF_VARIANT] = "choice",     [CONF_CUSTOM] = "value"};

static const struct conf_registry *registry_of(const struct conf_reference *ref, const struct conf_key *k)
{
    if (k->sub)
        return k->sub;
    for (size_t i = 0; k->registry && ref->registries && ref->registries[i]; i++)
        if (strcmp(ref->registries[i]->what, k->registry) == 0)
            return ref->registries[i];
    return NULL;
}

/* Text inside a table cell: no bar and no line break. */
static void cell(struct buf *out, const char *text)
{
    for (; text && *text; text++) {
        if (*text == '|')
            buf_putc(out, '\\');
        buf_putc(out, *text == '\n' ? ' ' : *text);
    }
}

static void type_cell(const struct conf_key *k, const struct conf_registry *r, struct buf *out)
{
    if (k->flags & CONF_LIST)
        buf_puts(out, "list of: ");
    if (k->type == CONF_ENUM) {
        const char *const *words = k->sub;
        for (size_t i = 0; words[i]; i++)
            buf_printf(out, "%s`%s`", i ? ", " : "", words[i]);
    } else if (k->type == CONF_VARIANT && r) {
        buf_printf(out, "a %s", r->what);
    } else {
        cell(out, k->type_name ? k->type_name : type_names[k->type]);
    }
    if (k->flags & CONF_OFF)
        buf_puts(out, ", or `off`");
}

static void range_cell(const struct conf_key *k, struct buf *out)
{
    char low[UNITS_TEXT], high[UNITS_TEXT];
    if (!(k->min < k->max) || k->type == CONF_ENDPOINT)
        return;
    if (k->type == CONF_DURATION)
        buf_printf(out, "%s - %s", duration_format((uint64_t)k->min, low), duration_format((uint64_t)k->max, high));
    else if (k->type == CONF_SIZE)
        buf_printf(out, "%s - %s", size_format((uint64_t)k->min, low), size_format((uint64_t)k->max, high));
    else
        buf_printf(out, "%.10g - %.10g", k->min, k->max);
}

static void key_row(const struct conf_reference *ref, const struct conf_key *k)
{
    struct buf *out = ref->out;
    const struct conf_registry *r = k->type == CONF_VARIANT ? registry_of(ref, k) : NULL;
    if (k->flags & CONF_INLINE)
        buf_printf(out, "| *name of a %s* | its parameters |", r ? r->what : k->name);
    else {
        buf_printf(out, "| `%s` | ", k->name);
        type_cell(k, r, out);
        buf_puts(out, " |");
    }
    if (k->flags & CONF_REQUIRED)
        buf_puts(out, " *required*");
    else if (k->def) {
        buf_puts(out, " `");
        cell(out, k->def[0] ? k->def : "\"\"");
        buf_puts(out, "`");
    }
    buf_puts(out, " | ");
    range_cell(k, out);
    buf_puts(out, " | ");
    cell(out, k->unit);
    buf_puts(out, " | ");
    cell(out, k->doc);
    buf_puts(out, " |\n");
}

static void heading(struct buf *out, const char *text, int level)
{
    for (int i = 0; i < (level < LEVEL_MAX ? level : LEVEL_MAX); i++)
        buf_putc(out, '#');
    buf_printf(out, " %s\n\n", text);
}

void conf_reference_object(const struct conf_reference *ref, const struct conf_object *o, const char *title, int level)
{
    struct buf *out = ref->out;
    heading(out, title, level);
    if (o->doc)
        buf_printf(out, "%s\n\n", o->doc);
    if (o->shorthand)
        buf_printf(out, "A value in place of the keys sets `%s`.\n\n", o->shorthand);
    if (!o->key_count) {
        buf_puts(out, "No parameters.\n\n");
        return;
    }
    buf_puts(out, "| Key | Type | Default | Range | Unit | Meaning |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < o->key_count; i++)
        key_row(ref, &o->keys[i]);
    buf_putc(out, '\n');
    for (size_t i = 0; i < o->key_count; i++) {
        const struct conf_key *k = &o->keys[i];
        char inner[256];
        snprintf(inner, sizeof inner, "%s.%s%s", title, k->name, k->type == CONF_MAP ? ".NAME" : "");
        if (k->type == CONF_OBJECT || k->type == CONF_MAP)
            conf_reference_object(ref, k->sub, inner, level + 1);
        else if (k->type == CONF_VARIANT && k->sub)
            conf_reference_registry(ref, k->sub, level + 1);
    }
}

void conf_reference_registry(const struct conf_reference *ref, const struct conf_registry *r, int level)
{
    char title[256];
    for (const struct conf_object *const *k = r->kinds; *k; k++) {
        snprintf(title, sizeof title, "%s `%s`", r->what, (*k)->name);
        conf_reference_object(ref, *k, title, level);
    }
}
