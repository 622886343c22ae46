/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/yaml.h"

#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>
#include "base/map.h"

/* Maps up to this many pairs are checked for duplicates pair by pair, larger ones by hashing. */
enum { SMALL_MAP = 12 };

/* A list or map that is still open. */
struct open_node {
    struct conf_node *node, *last;
    const char *anchor;    /* becomes usable when the node closes */
    uint64_t weight;       /* nodes a walk of it meets, aliases followed */
    bool has_merge;
};

struct anchor {
    struct conf_node *node;
    uint64_t weight;
};

struct builder {
    struct conf_tree *tree;
    uint16_t source;
    struct open_node *stack;
    uint32_t depth;
    struct conf_node *root;
    struct map anchors; /* name -> struct anchor; in the tree's arena */
    uint32_t line, column; /* where we are; for empty scalars, which have no mark */
    bool failed;
};

#define FAIL(b, line, column, ...)                                                                 \
    ((b)->failed = true, conf_report((b)->tree, CONF_SEVERITY_ERROR, (b)->source, line, column, __VA_ARGS__))

static struct conf_node *node_new(struct builder *b, enum conf_node_type type, uint32_t line, uint32_t column)
{
    struct conf_tree *t = b->tree;
    if (t->nodes >= t->limits.nodes) {
        FAIL(b, line, column, "more than %u values in one configuration", t->limits.nodes);
        return NULL;
    }
    t->nodes++;
    struct conf_node *n = ARENA_NEW(t->arena, struct conf_node);
    *n = (struct conf_node){.line = line, .column = column, .source = b->source, .type = (uint8_t)type};
    return n;
}

/* Whether the next child of the open map is a key. */
static bool wants_key(const struct open_node *o)
{
    return o->node->type == CONF_NODE_MAP && o->node->count % 2 == 0;
}

/* Puts a finished or just opened node under its parent. Maps count keys and values until they close. */
static void attach(struct builder *b, struct conf_node *n, uint64_t weight)
{
    if (!b->depth) {
        b->root = n;
        return;
    }
    struct open_node *top = &b->stack[b->depth - 1];
    if (wants_key(top)) {
        if (n->type != CONF_NODE_SCALAR) {
            FAIL(b, n->line, n->column, "a key must be a plain word, not %s", conf_node_type_name(n));
            return;
        }
        if (!n->quoted && strcmp(n->text, "<<") == 0)
            top->has_merge = true;
    }
    if (top->last)
        top->last->next = n;
    else
        top->node->first = n;
    top->last = n;
    top->node->count++;
    top->weight += weight;
}

static void anchor_set(struct builder *b, const char *name, struct conf_node *n, uint64_t weight)
{
    struct anchor *a = ARENA_NEW(b->tree->arena, struct anchor);
    *a = (struct anchor){n, weight};
    map_put_str(&b->anchors, name, a); /* a later anchor of the same name counts from here on (YAML 1.2, 3.2.2.2) */
}

static const char *token_dup(struct builder *b, struct fy_token *t)
{
    size_t len = 0;
    const char *text = t ? fy_token_get_text(t, &len) : NULL;
    return text ? arena_strndup(b->tree->arena, text, len) : NULL;
}

static void on_scalar(struct builder *b, struct fy_event *e)
{
    struct fy_token *value = e->scalar.value;
    enum fy_scalar_style style = value ? fy_token_scalar_style(value) : FYSS_PLAIN;
    uint32_t column = b->column;
    /* libfyaml marks what is inside the quotes; people look at the quote. */
    if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && column > 1)
        column--;
    struct conf_node *n = node_new(b, CONF_NODE_SCALAR, b->line, column);
    if (!n)
        return;
    size_t len = 0;
    const char *text = value ? fy_token_get_text(value, &len) : "";
    if (!text)
        text = "";
    if (memchr(text, 0, len)) {
        FAIL(b, n->line, n->column, "a NUL character inside text");
        return;
    }
    n->text = len ? arena_strndup(b->tree->arena, text, len) : "";
    n->count = (uint32_t)len;
    n->quoted = style != FYSS_PLAIN;
    attach(b, n, 1);
    const char *anchor = token_dup(b, e->scalar.anchor);
    if (anchor)
        anchor_set(b, anchor, n, 1);
}

static void on_open(struct builder *b, enum conf_node_type type, struct fy_token *anchor)
{
    if (b->depth >= b->tree->limits.depth) {
        FAIL(b, b->line, b->column, "nested deeper than %u levels", b->tree->limits.depth);
        return;
    }
    struct conf_node *n = node_new(b, type, b->line, b->column);
    if (!n)
        return;
    attach(b, n, 1);
    b->stack[b->depth++] = (struct open_node){.node = n, .anchor = token_dup(b, anchor), .weight = 1};
}

static bool expand(struct builder *b, uint64_t weight, uint32_t line, uint32_t column)
{
    struct conf_tree *t = b->tree;
    t->expanded += weight;
    if (t->expanded <= t->limits.expanded)
        return true;
    FAIL(b, line, column, "aliases stand for more than %u values", t->limits.expanded);
    return false;
}

/* A node of its own (it needs its own .next) that shares what is below. */
static struct conf_node *node_copy(struct builder *b, const struct conf_node *from)
{
    struct conf_node *n = node_new(b, from->type, from->line, from->column);
    if (n) {
        *n = *from;
        n->next = NULL;
    }
    return n;
}

static void on_alias(struct builder *b, struct fy_event *e)
{
    const char *name = token_dup(b, e->alias.anchor);
    if (b->column > 1)
        b->column--; /* libfyaml marks the name, people look at the star */
    const struct anchor *a = name ? map_get_str(&b->anchors, name) : NULL;
    if (!a) {
        for (uint32_t i = 0; name && i < b->depth; i++) {
            if (b->stack[i].anchor && strcmp(b->stack[i].anchor, name) == 0) {
                FAIL(b, b->line, b->column, "alias '*%s' stands inside what it names", name);
                return;
            }
        }
        FAIL(b, b->line, b->column, "alias '*%s' has no anchor '&%s' before it", name ? name : "", name ? name : "");
        return;
    }
    if (!expand(b, a->weight, b->line, b->column))
        return;
    struct conf_node *n = node_copy(b, a->node);
    if (n)
        attach(b, n, a->weight);
}

static void twice(struct builder *b, const struct conf_node *key, const struct conf_node *before)
{
    FAIL(b, key->line, key->column, "key '%s' is here twice, first in line %u", key->text, before->line);
}

static void check_duplicates(struct builder *b, struct conf_node *map)
{
    if (map->count <= SMALL_MAP) {
        CONF_EACH_PAIR(key, value, map) {
            CONF_EACH_PAIR(before, unused, map) {
                if (before == key)
                    break;
                if (before->count == key->count && memcmp(before->text, key->text, key->count) == 0) {
                    twice(b, key, before);
                    break;
                }
            }
        }
        return;
    }
    struct map seen = MAP_INIT;
    for (struct conf_node *key = map->first; key; key = key->next->next) {
        const struct conf_node *before = map_get(&seen, key->text, key->count);
        if (before)
            twice(b, key, before);
        else
            map_put(&seen, key->text, key->count, key);
    }
    map_fini(&seen);
}

/* Adds from's pairs to the map unless their keys are there already. */
static void merge_from(struct builder *b, struct open_node *o, struct map *have, const struct conf_node *from)
{
    if (from->type != CONF_NODE_MAP) {
        FAIL(b, from->line, from->column, "'<<' takes a map or a list of maps, not %s", conf_node_type_name(from));
        return;
    }
    CONF_EACH_PAIR(key, value, from) {
        if (map_get(have, key->text, key->count))
            continue;
        /* Charged as an expansion: merging a merged map again and again would grow without a node in the file. */
        if (!expand(b, 2, key->line, key->column))
            return;
        struct conf_node *k = node_copy(b, key), *v = k ? node_copy(b, value) : NULL;
        if (!v)
            return;
        k->next = v;
        if (o->last)
            o->last->next = k;
        else
            o->node->first = k;
        o->last = v;
        o->node->count++;
        map_put(have, k->text, k->count, k);
    }
}

/* Takes the `<<` pair out and merges what it names; explicit keys win, then earlier maps (yaml.org/type/merge). */
static void merge(struct builder *b, struct open_node *o)
{
    struct conf_node *before = NULL, *key = o->node->first;
    while (key && (key->quoted || strcmp(key->text, "<<") != 0)) {
        before = key->next;
        key = before->next;
    }
    if (!key)
        return;
    struct conf_node *value = key->next, *after = value->next;
    if (before)
        before->next = after;
    else
        o->node->first = after;
    if (!after)
        o->last = before;
    o->node->count--;
    struct map have = MAP_INIT;
    for (struct conf_node *k = o->node->first; k; k = k->next->next)
        map_put(&have, k->text, k->count, k);
    if (value->type != CONF_NODE_LIST) {
        merge_from(b, o, &have, value);
    } else {
        for (const struct conf_node *m = value->first; m && !b->failed; m = m->next)
            merge_from(b, o, &have, m);
    }
    map_fini(&have);
}

static void on_close(struct builder *b)
{
    struct open_node *o = &b->stack[--b->depth];
    if (o->node->type == CONF_NODE_MAP) {
        o->node->count /= 2;
        check_duplicates(b, o->node);
        if (o->has_merge && !b->failed)
            merge(b, o);
    }
    if (b->depth)
        b->stack[b->depth - 1].weight += o->weight;
    if (o->anchor)
        anchor_set(b, o->anchor, o->node, o->weight);
}

static void on_event(struct builder *b, struct fy_event *e)
{
    const struct fy_mark *mark = fy_event_start_mark(e);
    if (mark) {
        b->line = (uint32_t)mark->line + 1;
        b->column = (uint32_t)mark->column + 1;
    }
    switch (e->type) {
    case FYET_DOCUMENT_START:
        if (b->root)
            FAIL(b, b->line, b->column, "a second document ('---') in one file");
        break;
    case FYET_MAPPING_START:
        on_open(b, CONF_NODE_MAP, e->mapping_start.anchor);
        break;
    case FYET_SEQUENCE_START:
        on_open(b, CONF_NODE_LIST, e->sequence_start.anchor);
        break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        on_close(b);
        break;
    case FYET_SCALAR:
        on_scalar(b, e);
        break;
    case FYET_ALIAS:
        on_alias(b, e);
        break;
    default:
        break;
    }
}

static void drop_output(struct fy_diag *diag, void *user, const char *text, size_t len)
{
}

static struct fy_diag *collecting_diag(void)
{
    struct fy_diag_cfg cfg;
    fy_diag_cfg_default(&cfg);
    cfg.fp = NULL;
    cfg.output_fn = drop_output;
    cfg.colorize = false;
    struct fy_diag *d = fy_diag_create(&cfg);
    if (d)
        fy_diag_set_collect_errors(d, true);
    return d;
}

static void syntax_errors(struct builder *b, struct fy_diag *diag)
{
    void *at = NULL;
    struct fy_diag_error *e;
    while ((e = fy_diag_errors_iterate(diag, &at)))
        if (e->type == FYET_ERROR)
            FAIL(b, e->line > 0 ? (uint32_t)e->line : 0, e->column > 0 ? (uint32_t)e->column : 1, "%s", e->msg);
    if (!b->failed)
        FAIL(b, b->line, b->column, "this is not YAML");
}

static void run(struct builder *b, const struct conf_source *src)
{
    struct fy_diag *diag = collecting_diag();
    struct fy_parse_cfg cfg = {.flags = FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE, .diag = diag};
    struct fy_parser *p = diag ? fy_parser_create(&cfg) : NULL;
    struct fy_event *e;
    if (!p || fy_parser_set_string(p, buf_str(&src->text), src->text.len)) {
        FAIL(b, 0, 0, "cannot start the YAML parser");
    } else {
        while (!b->failed && (e = fy_parser_parse(p))) {
            on_event(b, e);
            fy_parser_event_free(p, e);
        }
        if (!b->failed && fy_parser_get_stream_error(p))
            syntax_errors(b, diag);
    }
    if (p)
        fy_parser_destroy(p);
    if (diag)
        fy_diag_destroy(diag);
}

/* Length of the UTF-8 character at s, 0 when it is none (RFC 3629: no overlong form, surrogate, or beyond U+10FFFF). */
static size_t utf8_len(const unsigned char *s, const unsigned char *end)
{
    size_t n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : (*s & 0xf0) == 0xe0 ? 3 : *s >= 0xf0 && *s < 0xf5 ? 4 : 0;
    if (!n || (size_t)(end - s) < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) || (*s == 0xf0 && s[1] < 0x90) ||
        (*s == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

/*
 * What must not reach libfyaml 0.7: it never comes back from some broken UTF-8 in a %directive. Configurations need
 * neither.
 */
static bool text_sound(struct builder *b, const struct buf *text)
{
    const unsigned char *s = (const unsigned char *)buf_str(text), *end = s + text->len;
    uint32_t line = 1, column = 1;
    while (s < end) {
        size_t n = utf8_len(s, end);
        if (!n || !*s) {
            FAIL(b, line, column, "byte 0x%02x here is no text (UTF-8)", *s);
            return false;
        }
        if (*s == '%' && column == 1) {
            FAIL(b, line, column, "YAML directives ('%%' at the start of a line) are not supported");
            return false;
        }
        column++;
        if (*s == '\n') {
            line++;
            column = 1;
        }
        s += n;
    }
    return true;
}

struct conf_node *conf_parse(struct conf_tree *t, uint16_t source)
{
    const struct conf_source *src = t->sources.items[source];
    struct builder b = {.tree = t, .source = source, .line = 1, .column = 1};
    if (src->text.len > t->limits.bytes) {
        FAIL(&b, 0, 0, "larger than %zu bytes", t->limits.bytes);
        return NULL;
    }
    if (!text_sound(&b, &src->text))
        return NULL;
    b.stack = mem_alloc(sizeof *b.stack * t->limits.depth);
    if (src->text.len)
        run(&b, src);
    if (!b.failed && (!b.root || conf_is_null(b.root)))
        b.root = node_new(&b, CONF_NODE_MAP, 1, 1);
    free(b.stack);
    map_fini(&b.anchors);
    return b.failed ? NULL : b.root;
}
