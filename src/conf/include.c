/* SPDX-License-Identifier: Apache-2.0 */
/* Files and their `include`: reads them all and joins their top-level maps into one. */
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "conf/ctx.h"

enum { INCLUDE_DEPTH = 16 };

/* One top-level key of the joined configuration. */
struct section {
    struct conf_node *key, *value, *last; /* last: last node under value */
    struct map names;                     /* of a map's pairs, filled when a second file adds to it */
};

struct joining {
    struct conf_ctx *ctx;
    struct conf_node *root;
    struct section *sections;
    uint32_t count;
    const char *stack[INCLUDE_DEPTH]; /* real paths of the files that are open */
    uint32_t depth;
};

static void join_text(struct joining *j, uint16_t source);

static const char *where(struct conf_ctx *ctx, const struct conf_node *n)
{
    return arena_printf(ctx->tree.arena, "%s:%u:%u", ctx->tree.sources.items[n->source]->name, n->line, n->column);
}

/* Appends copies of the two nodes: the originals may be shared with an alias elsewhere. */
static void pair_append(struct joining *j, struct section *s, const struct conf_node *key)
{
    struct conf_node *pair = ARENA_ARRAY(j->ctx->tree.arena, struct conf_node, 2);
    pair[0] = *key;
    pair[1] = *key->next;
    pair[0].next = &pair[1];
    pair[1].next = NULL;
    if (s->last)
        s->last->next = &pair[0];
    else
        s->value->first = &pair[0];
    s->last = &pair[1];
    s->value->count++;
    map_put(&s->names, pair[0].text, pair[0].count, &pair[0]);
}

static void index_section(struct joining *j, struct section *s)
{
    const struct conf_node *key = s->value->first;
    s->value->first = NULL;
    s->value->count = 0;
    for (; key; key = key->next->next)
        pair_append(j, s, key);
}

/* Adds the pairs of more to the section's map. */
static void join_map(struct joining *j, struct section *s, const struct conf_node *more)
{
    if (!s->names.count)
        index_section(j, s);
    CONF_EACH_PAIR(key, value, more) {
        const struct conf_node *before = map_get(&s->names, key->text, key->count);
        if (before)
            conf_error(j->ctx, key, "'%s' is said twice, first at %s", key->text, where(j->ctx, before));
        else
            pair_append(j, s, key);
    }
}

static void join_key(struct joining *j, struct conf_node *key, struct conf_node *value)
{
    struct section *s = NULL;
    for (uint32_t i = 0; i < j->count && !s; i++)
        if (strcmp(j->sections[i].key->text, key->text) == 0)
            s = &j->sections[i];
    if (!s) {
        j->sections = mem_realloc(j->sections, (j->count + 1) * sizeof *j->sections);
        j->sections[j->count++] = (struct section){.key = key, .value = value};
        return;
    }
    if (conf_is_null(value))
        return;
    if (conf_is_null(s->value)) {
        s->key = key;
        s->value = value;
    } else if (s->value->type == CONF_NODE_MAP && value->type == CONF_NODE_MAP) {
        join_map(j, s, value);
    } else {
        conf_error(j->ctx, key, "'%s' is said twice, first at %s", key->text, where(j->ctx, s->key));
    }
}

/* Reads one file; asked is the node that named it, NULL for the main file. */
static void join_file(struct joining *j, const char *path, const struct conf_node *asked)
{
    struct conf_ctx *ctx = j->ctx;
    struct buf text = BUF_INIT;
    char *real = realpath(path, NULL);
    int err = real ? file_read(path, ctx->tree.limits.bytes, &text) : err_from_errno(errno);
    uint16_t index;
    if (err) {
        if (asked)
            conf_error(ctx, asked, "cannot read '%s': %s", path, err_text(err));
        else
            conf_error(ctx, NULL, "cannot read '%s': %s", path, err_text(err));
        goto out;
    }
    for (uint32_t i = 0; i < j->depth; i++) {
        if (strcmp(j->stack[i], real) == 0) {
            conf_error(ctx, asked, "'%s' includes itself", path);
            goto out;
        }
    }
    if (j->depth == INCLUDE_DEPTH) {
        conf_error(ctx, asked, "includes are nested deeper than %d files", INCLUDE_DEPTH);
        goto out;
    }
    if (!conf_source_add(&ctx->tree, path, &text, &index)) {
        conf_error(ctx, asked, "more than %d files", CONF_SOURCES_MAX);
        goto out;
    }
    j->stack[j->depth++] = real;
    join_text(j, index);
    j->depth--;
out:
    buf_fini(&text);
    free(real);
}

static void include_one(struct joining *j, const struct conf_node *item)
{
    const char *text = conf_scalar(j->ctx, item, "the path of a file");
    if (!text)
        return;
    const char *path = conf_path(j->ctx, item, text);
    if (!strpbrk(path, "*?[")) {
        join_file(j, path, item);
        return;
    }
    glob_t found;
    if (glob(path, 0, NULL, &found) == 0) { /* sorted; a pattern may match nothing */
        for (size_t i = 0; i < found.gl_pathc; i++)
            join_file(j, found.gl_pathv[i], item);
        globfree(&found);
    }
}

static void join_text(struct joining *j, uint16_t source)
{
    struct conf_node *root = conf_parse(&j->ctx->tree, source), *include = NULL;
    if (!root)
        return;
    if (root->type != CONF_NODE_MAP) {
        conf_error(j->ctx, root, "a configuration is a map of sections, not %s", conf_node_type_name(root));
        return;
    }
    if (!j->root)
        j->root = root;
    for (struct conf_node *key = root->first, *after; key; key = after) {
        struct conf_node *value = key->next;
        after = value->next;
        if (strcmp(key->text, "include") == 0)
            include = value;
        else
            join_key(j, key, value);
    }
    if (!include || conf_is_null(include))
        return;
    if (include->type != CONF_NODE_LIST) {
        include_one(j, include);
        return;
    }
    CONF_EACH_ITEM(item, include)
        include_one(j, item);
}

/* Chains the sections up under the main file's root. */
static const struct conf_node *joined(struct joining *j)
{
    struct conf_node **end = j->root ? &j->root->first : NULL;
    for (uint32_t i = 0; i < j->count; i++) {
        struct section *s = &j->sections[i];
        map_fini(&s->names);
        *end = s->key;
        s->key->next = s->value;
        end = &s->value->next;
    }
    if (end)
        *end = NULL;
    if (j->root)
        j->root->count = j->count;
    free(j->sections);
    return j->root;
}

const struct conf_node *conf_read_file(struct conf_ctx *ctx, const char *path)
{
    struct joining j = {.ctx = ctx};
    join_file(&j, path, NULL);
    return joined(&j);
}

const struct conf_node *conf_read_text(struct conf_ctx *ctx, const char *name, const char *text, size_t len)
{
    struct joining j = {.ctx = ctx};
    struct buf copy = BUF_INIT;
    uint16_t index;
    buf_add(&copy, text, len);
    if (conf_source_add(&ctx->tree, name, &copy, &index))
        join_text(&j, index);
    else
        conf_error(ctx, NULL, "more than %d files", CONF_SOURCES_MAX);
    buf_fini(&copy);
    return joined(&j);
}
