/* SPDX-License-Identifier: Apache-2.0 */
/* The tree once it stands: sources, reports with their lines, and small helpers. Building it is yaml.c. */
#include <stdlib.h>
#include <string.h>
#include "conf/yaml.h"

const struct conf_limits conf_limits_default = {
    .depth = 64, .nodes = 50000000, .expanded = 10000000, .bytes = (size_t)512 << 20};

void conf_tree_init(struct conf_tree *t, struct conf_diag *diag)
{
    *t = (struct conf_tree){.arena = arena_new(), .diag = diag, .limits = conf_limits_default};
}

void conf_tree_fini(struct conf_tree *t)
{
    for (uint32_t i = 0; i < t->sources.count; i++) {
        struct conf_source *s = t->sources.items[i];
        free(s->name);
        free(s->dir);
        free(s->lines);
        buf_fini(&s->text);
        free(s);
    }
    free(t->sources.items);
    arena_free(t->arena);
    memset(t, 0, sizeof *t);
}

struct conf_source *conf_source_add(struct conf_tree *t, const char *name, struct buf *text, uint16_t *index)
{
    if (t->sources.count >= CONF_SOURCES_MAX)
        return NULL;
    struct conf_source *s = mem_alloc(sizeof *s);
    s->name = mem_strdup(name);
    const char *slash = strrchr(name, '/');
    s->dir = mem_strdup(slash ? name : ".");
    if (slash)
        s->dir[slash == name ? 1 : slash - name] = 0;
    s->text = *text;
    buf_init(text);
    t->sources.items = mem_realloc(t->sources.items, (t->sources.count + 1) * sizeof *t->sources.items);
    *index = (uint16_t)t->sources.count;
    t->sources.items[t->sources.count++] = s;
    return s;
}

static void index_lines(struct conf_source *s)
{
    size_t n = 1, cap = 1024;
    s->lines = mem_alloc(cap * sizeof *s->lines);
    s->lines[0] = 0;
    const char *text = buf_str(&s->text);
    for (const char *p = text; (p = memchr(p, '\n', s->text.len - (size_t)(p - text))); n++) {
        if (n == cap)
            s->lines = mem_realloc(s->lines, (cap *= 2) * sizeof *s->lines);
        s->lines[n] = (size_t)(++p - text);
    }
    s->line_count = n;
}

static const char *source_line(struct conf_source *s, uint32_t line, size_t *len)
{
    *len = 0;
    if (!line)
        return "";
    if (!s->lines)
        index_lines(s);
    if (line > s->line_count)
        return "";
    size_t at = s->lines[line - 1], end = line < s->line_count ? s->lines[line] : s->text.len;
    const char *text = buf_str(&s->text);
    while (end > at && (text[end - 1] == '\n' || text[end - 1] == '\r'))
        end--;
    *len = end - at;
    return text + at;
}

void conf_reportv(struct conf_tree *t, enum conf_severity severity, uint16_t source, uint32_t line, uint32_t column,
                  const char *fmt, va_list ap)
{
    struct conf_problem p = {.severity = severity, .line = line, .column = column, .file_order = source};
    size_t len = 0;
    if (source < t->sources.count) {
        p.file = t->sources.items[source]->name;
        p.source = source_line(t->sources.items[source], line, &len);
    }
    conf_diag_addv(t->diag, &p, len, fmt, ap);
}

void conf_report(struct conf_tree *t, enum conf_severity severity, uint16_t source, uint32_t line, uint32_t column,
                 const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    conf_reportv(t, severity, source, line, column, fmt, ap);
    va_end(ap);
}

const struct conf_node *conf_child_key(const struct conf_node *map, const char *name)
{
    size_t len = strlen(name);
    if (!map || map->type != CONF_NODE_MAP)
        return NULL;
    CONF_EACH_PAIR(key, value, map) {
        if (!value)
            return NULL; /* a map still being built */
        if (key->count == len && memcmp(key->text, name, len) == 0)
            return key;
    }
    return NULL;
}

const struct conf_node *conf_child(const struct conf_node *map, const char *name)
{
    const struct conf_node *key = conf_child_key(map, name);
    return key ? key->next : NULL;
}

bool conf_is_null(const struct conf_node *n)
{
    return n->type == CONF_NODE_SCALAR && !n->quoted &&
           (!n->count || strcmp(n->text, "~") == 0 || strcmp(n->text, "null") == 0);
}

const char *conf_node_type_name(const struct conf_node *n)
{
    static const char *const names[] = {"a single value", "a list", "a map"};
    return names[n->type];
}

void conf_node_text(const struct conf_node *n, struct buf *out)
{
    if (n->type == CONF_NODE_SCALAR) {
        /* The length in front makes it unambiguous without quoting. */
        buf_printf(out, "%c%u:", conf_is_null(n) ? '~' : '\'', n->count);
        buf_add(out, n->text, n->count);
        return;
    }
    buf_putc(out, n->type == CONF_NODE_LIST ? '[' : '{');
    CONF_EACH_ITEM(c, n)
        conf_node_text(c, out);
    buf_putc(out, n->type == CONF_NODE_LIST ? ']' : '}');
}
