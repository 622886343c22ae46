/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/ctx.h"

#include <stdlib.h>
#include <string.h>

struct conf_ctx *conf_ctx_new(struct arena *arena, struct conf_diag *diag, void *user)
{
    struct conf_ctx *ctx = mem_alloc(sizeof *ctx);
    ctx->arena = arena;
    ctx->diag = diag;
    ctx->user = user;
    conf_tree_init(&ctx->tree, diag);
    return ctx;
}

void conf_ctx_free(struct conf_ctx *ctx)
{
    if (!ctx)
        return;
    conf_tree_fini(&ctx->tree);
    map_fini(&ctx->interned);
    map_fini(&ctx->defaults);
    free(ctx->marks);
    free(ctx);
}

void conf_use(struct conf_ctx *ctx, const struct conf_registry *registry)
{
    if (ctx->registry_count < CONF_REGISTRIES_MAX)
        ctx->registries[ctx->registry_count++] = registry;
}

struct arena *conf_arena(struct conf_ctx *ctx)
{
    return ctx->arena;
}

void *conf_user(struct conf_ctx *ctx)
{
    return ctx->user;
}

struct conf_tree *conf_tree(struct conf_ctx *ctx)
{
    return &ctx->tree;
}

const struct conf_registry *conf_registry_of(struct conf_ctx *ctx, const struct conf_key *key)
{
    if (key->sub)
        return key->sub;
    for (uint32_t i = 0; key->registry && i < ctx->registry_count; i++)
        if (strcmp(ctx->registries[i]->what, key->registry) == 0)
            return ctx->registries[i];
    return NULL;
}

const struct conf_object *conf_registry_find(const struct conf_registry *r, const char *name)
{
    for (const struct conf_object *const *k = r->kinds; *k; k++)
        if (strcmp((*k)->name, name) == 0)
            return *k;
    return NULL;
}

const char *conf_intern(struct conf_ctx *ctx, const char *text, size_t len)
{
    const char *s = map_get(&ctx->interned, text, len);
    if (!s) {
        char *copy = arena_strndup(ctx->arena, text, len);
        map_put(&ctx->interned, copy, len, copy);
        s = copy;
    }
    return s;
}

static const char *source_name(struct conf_ctx *ctx, uint16_t source)
{
    if (source >= ctx->tree.sources.count)
        return "";
    if (source >= ctx->mark_count) {
        ctx->marks = mem_realloc(ctx->marks, ctx->tree.sources.count * sizeof *ctx->marks);
        for (; ctx->mark_count < ctx->tree.sources.count; ctx->mark_count++)
            ctx->marks[ctx->mark_count] = arena_strdup(ctx->arena, ctx->tree.sources.items[ctx->mark_count]->name);
    }
    return ctx->marks[source];
}

struct conf_mark conf_mark_of(struct conf_ctx *ctx, const struct conf_node *node)
{
    return (struct conf_mark){source_name(ctx, node->source), node->line, node->column};
}

struct conf_list conf_files(struct conf_ctx *ctx)
{
    uint32_t n = ctx->tree.sources.count, kept = 0;
    const char **names = ARENA_ARRAY(ctx->arena, const char *, n);
    for (uint32_t i = 0; i < n; i++)
        if (ctx->tree.sources.items[i]->name[0] != '(') /* defaults and presets are no files */
            names[kept++] = source_name(ctx, (uint16_t)i);
    return (struct conf_list){names, kept};
}

static void PM_PRINTF(4, 0)
    report(struct conf_ctx *ctx, enum conf_severity s, const struct conf_node *node, const char *fmt, va_list ap)
{
    if (node)
        conf_reportv(&ctx->tree, s, node->source, node->line, node->column, fmt, ap);
    else
        conf_reportv(&ctx->tree, s, 0, 0, 0, fmt, ap);
}

void conf_error(struct conf_ctx *ctx, const struct conf_node *node, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(ctx, CONF_SEVERITY_ERROR, node, fmt, ap);
    va_end(ap);
}

void conf_warn(struct conf_ctx *ctx, const struct conf_node *node, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(ctx, CONF_SEVERITY_WARNING, node, fmt, ap);
    va_end(ap);
}

void conf_error_mark(struct conf_ctx *ctx, const struct conf_mark *mark, const char *fmt, ...)
{
    struct conf_node at = {.line = mark->line, .column = mark->column};
    while (at.source < ctx->mark_count && ctx->marks[at.source] != mark->file)
        at.source++;
    va_list ap;
    va_start(ap, fmt);
    report(ctx, CONF_SEVERITY_ERROR, &at, fmt, ap);
    va_end(ap);
}

const char *conf_path(struct conf_ctx *ctx, const struct conf_node *node, const char *path)
{
    const char *dir = node->source < ctx->tree.sources.count ? ctx->tree.sources.items[node->source]->dir : ".";
    if (path[0] == '/' || strcmp(dir, ".") == 0)
        return conf_intern(ctx, path, strlen(path));
    struct buf b = BUF_INIT;
    buf_printf(&b, "%s%s%s", dir, strcmp(dir, "/") == 0 ? "" : "/", path);
    const char *out = conf_intern(ctx, buf_str(&b), b.len);
    buf_fini(&b);
    return out;
}

const struct conf_node *ctx_default_node(struct conf_ctx *ctx, const char *text)
{
    struct conf_node *n = map_get_str(&ctx->defaults, text);
    if (n)
        return n;
    struct buf b = BUF_INIT;
    uint16_t index;
    if (text[0] == '[' || text[0] == '{') {
        buf_puts(&b, text);
        n = conf_source_add(&ctx->tree, "(default)", &b, &index) ? conf_parse(&ctx->tree, index) : NULL;
        buf_fini(&b);
    }
    if (!n) {
        n = ARENA_NEW(ctx->tree.arena, struct conf_node);
        *n = (struct conf_node){.text = arena_strdup(ctx->tree.arena, text), .count = (uint32_t)strlen(text),
                                .source = UINT16_MAX, .quoted = true};
    }
    map_put_str(&ctx->defaults, text, n);
    return n;
}

/* ---- the nearest word ---- */

enum { WORD_MAX = 64 };

/* Edits (one letter more, less, other, or two swapped) that turn a into b; long words are not compared. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    if (na > WORD_MAX || nb > WORD_MAX)
        return SIZE_MAX;
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= nb; j++)
        last[j] = j;
    for (size_t i = 1; i <= na; i++) {
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *swap = before;
        before = last;
        last = now;
        now = swap;
    }
    return last[nb];
}

void conf_nearest_init(struct conf_nearest *n, const char *word)
{
    /* A third of the letters may be wrong; a two-letter word has nothing near. */
    size_t len = strlen(word);
    *n = (struct conf_nearest){.word = word, .distance = len < 3 ? 1 : len / 3 + 1};
}

void conf_nearest_try(struct conf_nearest *n, const char *candidate)
{
    size_t d = edit_distance(n->word, candidate);
    if (d < n->distance || (!n->best && d == n->distance && strlen(n->word) >= 3)) {
        n->distance = d;
        n->best = candidate;
    }
}

const char *conf_nearest_hint(struct conf_ctx *ctx, const struct conf_nearest *n)
{
    return n->best ? arena_printf(ctx->tree.arena, ", did you mean '%s'?", n->best) : "";
}
