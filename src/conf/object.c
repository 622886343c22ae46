/* SPDX-License-Identifier: Apache-2.0 */
/* Walks schema tables: objects, lists, maps and variants. Scalars are value.c. */
#include <string.h>
#include "base/addr.h"
#include "conf/ctx.h"

enum { KEYS_MAX = 64 };

static bool key_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, void *field);

size_t conf_type_size(const struct conf_key *key)
{
    switch (key->type) {
    case CONF_BOOL:
        return sizeof(bool);
    case CONF_INT:
    case CONF_DURATION:
    case CONF_SIZE:
        return sizeof(uint64_t);
    case CONF_UINT:
        return sizeof(uint32_t);
    case CONF_DOUBLE:
        return sizeof(double);
    case CONF_STRING:
    case CONF_NAME:
    case CONF_PATH:
        return sizeof(const char *);
    case CONF_ADDR:
        return sizeof(struct addr);
    case CONF_PREFIX:
        return sizeof(struct prefix);
    case CONF_ENDPOINT:
        return sizeof(struct endpoint);
    case CONF_ENUM:
        return sizeof(int);
    case CONF_OBJECT:
        return ((const struct conf_object *)key->sub)->size;
    case CONF_VARIANT:
        return sizeof(struct conf_choice);
    case CONF_MAP:
        return sizeof(struct conf_list);
    case CONF_CUSTOM:
        break; /* only the custom function knows; it cannot be CONF_LIST */
    }
    return 0;
}

/* ---- variants ---- */

static const struct conf_object *kind_find(struct conf_ctx *ctx, const struct conf_node *at,
                                           const struct conf_registry *r)
{
    const struct conf_object *kind = conf_registry_find(r, at->text);
    if (kind)
        return kind;
    struct conf_nearest near;
    conf_nearest_init(&near, at->text);
    for (const struct conf_object *const *k = r->kinds; *k; k++)
        conf_nearest_try(&near, (*k)->name);
    conf_error(ctx, at, "unknown %s '%s'%s", r->what, at->text, conf_nearest_hint(ctx, &near));
    return NULL;
}

static bool choice_fill(struct conf_ctx *ctx, const struct conf_node *name, const struct conf_node *value,
                        const struct conf_registry *r, struct conf_choice *out)
{
    const struct conf_object *kind = kind_find(ctx, name, r);
    if (!kind)
        return false;
    void *params = arena_alloc(ctx->arena, kind->size);
    /* `http:` with nothing behind it is `http` with its defaults, and errors then stand at the name. */
    static const struct conf_key as_object = {.name = "", .type = CONF_OBJECT};
    struct conf_key key = as_object;
    key.sub = kind;
    struct conf_node empty = {.line = name->line, .column = name->column, .source = name->source,
                              .type = CONF_NODE_MAP};
    bool ok = key_read(ctx, value && !conf_is_null(value) ? value : &empty, &key, params);
    *out = (struct conf_choice){kind, params};
    return ok;
}

bool conf_choice_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_registry *r,
                      struct conf_choice *out)
{
    if (node->type == CONF_NODE_SCALAR)
        return choice_fill(ctx, node, NULL, r, out);
    if (node->type == CONF_NODE_MAP && node->count == 1)
        return choice_fill(ctx, node->first, node->first->next, r, out);
    if (node->type == CONF_NODE_MAP && node->count > 1)
        conf_error(ctx, node->first->next->next, "a %s has one name, '%s' is a second (indent its parameters further)",
                   r->what, node->first->next->next->text);
    else
        conf_error(ctx, node, "expected the name of a %s, alone or with parameters, not %s", r->what,
                   node->count ? conf_node_type_name(node) : "something empty");
    return false;
}

/* ---- lists ---- */

static bool list_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key,
                      struct conf_list *out)
{
    size_t size = conf_type_size(key);
    bool many = node->type == CONF_NODE_LIST, ok = true;
    uint32_t n = many ? node->count : 1;
    *out = (struct conf_list){n ? arena_alloc(ctx->arena, size * n) : NULL, n};
    char *at = out->items;
    const struct conf_node *item = many ? node->first : node;
    for (uint32_t i = 0; i < n; i++, item = item->next, at += size) {
        if (conf_is_null(item)) {
            conf_error(ctx, item, "an item of this list is empty");
            ok = false;
        } else if (!conf_value_read(ctx, item, key, at)) {
            ok = false;
        }
    }
    return ok;
}

bool conf_choices_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_registry *registry,
                       struct conf_list *out)
{
    struct conf_key key = {.name = "", .type = CONF_VARIANT, .sub = registry};
    return list_read(ctx, node, &key, out);
}

/* ---- maps ---- */

static bool map_name_read(struct conf_ctx *ctx, const struct conf_node *key, const struct conf_object *object,
                          const char **out)
{
    if (object->name_type == CONF_NAME)
        return conf_name_read(ctx, key, out);
    if (!key->count) {
        conf_error(ctx, key, "a name is empty");
        return false;
    }
    *out = conf_intern(ctx, key->text, key->count);
    return true;
}

static bool map_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_object *object,
                     struct conf_list *out)
{
    if (node->type != CONF_NODE_MAP) {
        conf_error(ctx, node, "expected a map of %s by name, not %s", object->name, conf_node_type_name(node));
        return false;
    }
    bool ok = true;
    char *items = node->count ? arena_alloc(ctx->arena, object->size * node->count) : NULL, *at = items;
    struct conf_key key = {.name = "", .type = CONF_OBJECT, .sub = object};
    CONF_EACH_PAIR(name, value, node) {
        if (!map_name_read(ctx, name, object, (const char **)(void *)(at + object->name_offset))) {
            ok = false;
            continue;
        }
        if (object->mark_offset)
            *(struct conf_mark *)(void *)(at + object->mark_offset) = conf_mark_of(ctx, name);
        struct conf_node empty = {.line = name->line, .column = name->column, .source = name->source,
                                  .type = CONF_NODE_MAP};
        ok &= key_read(ctx, conf_is_null(value) ? &empty : value, &key, at);
        at += object->size;
    }
    *out = (struct conf_list){items, object->size ? (uint32_t)((size_t)(at - items) / object->size) : 0};
    return ok;
}

/* ---- one value ---- */

bool conf_value_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, void *field)
{
    size_t errors;
    const struct conf_registry *r;
    switch (key->type) {
    case CONF_OBJECT:
        return conf_object_read(ctx, node, key->sub, field);
    case CONF_MAP:
        return map_read(ctx, node, key->sub, field);
    case CONF_VARIANT:
        r = conf_registry_of(ctx, key);
        if (r)
            return conf_choice_read(ctx, node, r, field);
        conf_error(ctx, node, "there is no %s to choose from here", key->registry ? key->registry : "kind");
        return false;
    case CONF_CUSTOM:
        errors = conf_diag_errors(ctx->diag);
        ((conf_custom_fn *)(uintptr_t)key->sub)(ctx, node, field);
        return conf_diag_errors(ctx->diag) == errors;
    default:
        return value_scalar_read(ctx, node, key, field);
    }
}

static bool key_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, void *field)
{
    if (key->flags & CONF_LIST)
        return list_read(ctx, node, key, field);
    return conf_value_read(ctx, node, key, field);
}

/* ---- objects ---- */

/* Nodes of an object's keys, by their place in the table, and of a choice that stands beside them. */
struct found {
    const struct conf_node *value[KEYS_MAX];
    const struct conf_node *choice;        /* key node of the inline choice */
    const struct conf_key *choice_key;
    bool unknown; /* a key nobody knows: likely the choice, misspelt */
};

static void unknown_key(struct conf_ctx *ctx, const struct conf_node *name, const struct conf_object *o,
                        const struct conf_registry *r)
{
    struct conf_nearest near;
    conf_nearest_init(&near, name->text);
    for (size_t i = 0; i < o->key_count; i++)
        if (!(o->keys[i].flags & CONF_INLINE))
            conf_nearest_try(&near, o->keys[i].name);
    for (size_t i = 0; r && r->kinds[i]; i++)
        conf_nearest_try(&near, r->kinds[i]->name);
    conf_error(ctx, name, "unknown key '%.80s'%s", name->text, conf_nearest_hint(ctx, &near));
}

/* Sorts the map's pairs to the table's keys. */
static bool match_keys(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_object *o, struct found *f)
{
    bool ok = true;
    CONF_EACH_PAIR(name, value, node) {
        size_t i = 0;
        while (i < o->key_count && (strcmp(o->keys[i].name, name->text) != 0 || (o->keys[i].flags & CONF_INLINE)))
            i++;
        if (i < o->key_count) {
            f->value[i] = value;
            continue;
        }
        const struct conf_registry *r = f->choice_key ? conf_registry_of(ctx, f->choice_key) : NULL;
        if (!r || !conf_registry_find(r, name->text)) {
            unknown_key(ctx, name, o, r);
            f->unknown = true;
            ok = false;
        } else if (f->choice) {
            conf_error(ctx, name, "'%s' is a second %s here, after '%s'", name->text, r->what, f->choice->text);
            ok = false;
        } else {
            f->choice = name;
        }
    }
    for (size_t i = 1; i < o->key_count; i++) {
        if ((o->keys[i].flags & CONF_ALIAS) && f->value[i] && f->value[i - 1]) {
            conf_error(ctx, conf_child_key(node, o->keys[i].name), "'%s' and '%s' are the same key, write one of them",
                       o->keys[i].name, o->keys[i - 1].name);
            ok = false;
        }
    }
    return ok;
}

/* What the chosen kind wants to stand beside it. */
static bool choice_complete(struct conf_ctx *ctx, const struct found *f, const struct conf_object *o)
{
    const struct conf_object *kind = conf_registry_find(conf_registry_of(ctx, f->choice_key), f->choice->text);
    if (!kind->wants)
        return true;
    for (size_t i = 0; i < o->key_count; i++)
        if (strcmp(o->keys[i].name, kind->wants) == 0 && f->value[i] && !conf_is_null(f->value[i]))
            return true;
    conf_error(ctx, f->choice, "'%s' wants the key '%s' beside it", kind->name, kind->wants);
    return false;
}

static bool choice_inline(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_object *o,
                          const struct found *f, char *out)
{
    const struct conf_key *k = f->choice_key;
    const struct conf_registry *r = conf_registry_of(ctx, k);
    if (f->choice && !choice_complete(ctx, f, o))
        return false;
    if (f->choice)
        return choice_fill(ctx, f->choice, f->choice->next, r, (struct conf_choice *)(void *)(out + k->offset));
    if (!(k->flags & CONF_REQUIRED) || f->unknown)
        return true;
    struct buf all = BUF_INIT;
    for (size_t i = 0; r && r->kinds[i]; i++)
        buf_printf(&all, "%s%s", i ? ", " : "", r->kinds[i]->name);
    conf_error(ctx, node, "this says no %s: one of %s is needed", r ? r->what : k->name, buf_str(&all));
    buf_fini(&all);
    return false;
}

/* An object nobody wrote: its defaults. Only what is required inside makes its absence an error. */
static bool absent_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *k, void *field)
{
    if (k->def)
        return key_read(ctx, ctx_default_node(ctx, k->def), k, field);
    if (k->flags & CONF_REQUIRED) {
        conf_error(ctx, node, "the key '%s' is missing", k->name);
        return false;
    }
    if (k->type != CONF_OBJECT || (k->flags & CONF_LIST))
        return true;
    struct conf_node empty = {.line = node->line, .column = node->column, .source = node->source,
                              .type = CONF_NODE_MAP};
    return conf_object_read(ctx, &empty, k->sub, field);
}

static const struct conf_key *inline_key(const struct conf_object *o)
{
    for (size_t i = 0; i < o->key_count; i++)
        if (o->keys[i].flags & CONF_INLINE)
            return &o->keys[i];
    return NULL;
}

static bool keys_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_object *o,
                      struct found *f, char *out)
{
    bool ok = true;
    for (size_t i = 0; i < o->key_count; i++) {
        const struct conf_key *k = &o->keys[i];
        const struct conf_node *value = f->value[i];
        if (k->flags & CONF_INLINE)
            ok &= choice_inline(ctx, node, o, f, out);
        else if (value && !conf_is_null(value))
            ok &= key_read(ctx, value, k, out + k->offset);
        else
            ok &= absent_read(ctx, value ? value : node, k, out + k->offset);
    }
    return ok;
}

bool conf_object_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_object *o, void *out)
{
    struct found f = {.choice_key = inline_key(o)};
    bool ok = true;
    if (o->key_count > KEYS_MAX) {
        conf_error(ctx, node, "the table '%s' has more than %d keys", o->name, KEYS_MAX);
        return false;
    }
    struct conf_node shorthand_map;
    if (node->type != CONF_NODE_MAP) {
        if (!o->shorthand) {
            conf_error(ctx, node, "expected a map of keys for %s, not %s", o->name, conf_node_type_name(node));
            return false;
        }
        for (size_t i = 0; i < o->key_count; i++)
            if (strcmp(o->keys[i].name, o->shorthand) == 0)
                f.value[i] = node;
        /* Checks look keys up with conf_child: there are none. */
        shorthand_map = (struct conf_node){.line = node->line, .column = node->column, .source = node->source,
                                           .type = CONF_NODE_MAP};
    } else {
        ok = match_keys(ctx, node, o, &f);
    }
    if (o->mark_offset) {
        struct conf_mark *mark = (struct conf_mark *)(void *)((char *)out + o->mark_offset);
        if (!mark->line) /* a map entry has the place of its name already */
            *mark = conf_mark_of(ctx, node);
    }
    ok &= keys_read(ctx, node, o, &f, out);
    /* Checks of keys against each other make sense only when each is right. */
    if (ok && o->check) {
        size_t errors = conf_diag_errors(ctx->diag);
        o->check(ctx, node->type == CONF_NODE_MAP ? node : &shorthand_map, out);
        ok = conf_diag_errors(ctx->diag) == errors;
    }
    return ok;
}
