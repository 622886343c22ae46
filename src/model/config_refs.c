/* SPDX-License-Identifier: Apache-2.0 */
/* Policies and checks: named ones, presets, and those written in place, each made once. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "conf/doc.h"
#include "model/config_build.h"

static void *grow(struct conf_ctx *ctx, const void *items, uint32_t count, uint32_t *cap)
{
    if (count < *cap)
        return (void *)(uintptr_t)items;
    *cap = *cap ? *cap * 2 : 16;
    const void **bigger = ARENA_ARRAY(conf_arena(ctx), const void *, *cap);
    if (count)
        memcpy(bigger, items, count * sizeof *bigger);
    return bigger;
}

/* The text of a node as a key that lives as long as the load. */
static const char *text_key(struct conf_ctx *ctx, const struct conf_node *node, size_t *len)
{
    struct buf b = BUF_INIT;
    conf_node_text(node, &b);
    const char *key = arena_strndup(conf_tree(ctx)->arena, buf_str(&b), b.len);
    *len = b.len;
    buf_fini(&b);
    return key;
}

static const char *hint(struct conf_ctx *ctx, const char *word, const struct map *names)
{
    struct conf_nearest near;
    struct map_slot slot;
    size_t at = 0;
    struct config_build *b = conf_user(ctx);
    conf_nearest_init(&near, word);
    while (map_next(names, &at, &slot))
        conf_nearest_try(&near, slot.key);
    if (names == &b->policy_names) {
        for (const struct config_preset *p = b->reg->presets; p && p->name; p++)
            conf_nearest_try(&near, p->name);
    } else {
        for (const struct conf_object *const *k = b->reg->checks->kinds; *k; k++)
            conf_nearest_try(&near, (*k)->name);
    }
    return conf_nearest_hint(ctx, &near);
}

/* ---- policies ---- */

static const struct cfg_policy *policy_new(struct conf_ctx *ctx, const char *name, enum cfg_source source,
                                           const struct conf_node *node, const struct conf_mark *mark)
{
    struct config_build *b = conf_user(ctx);
    struct config *c = b->config;
    struct conf_list stages;
    if (node->type == CONF_NODE_LIST && !node->count) {
        conf_error(ctx, node, "a policy needs at least one stage");
        return NULL;
    }
    if (!conf_choices_read(ctx, node, b->reg->stages, &stages))
        return NULL;
    struct cfg_policy *p = ARENA_NEW(c->arena, struct cfg_policy);
    *p = (struct cfg_policy){name, source, c->policy_count, stages, *mark};
    c->policies = grow(ctx, c->policies, c->policy_count, &b->policy_cap);
    c->policies[c->policy_count++] = p;
    if (source != CFG_INLINE)
        map_put_str(&b->policy_names, name, p);
    return p;
}

static const struct config_preset *preset_find(const struct config_registries *reg, const char *name)
{
    for (const struct config_preset *p = reg->presets; p && p->name; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

const struct cfg_policy *config_preset_policy(struct conf_ctx *ctx, const char *name)
{
    struct config_build *b = conf_user(ctx);
    const struct cfg_policy *p = map_get_str(&b->policy_names, name);
    const struct config_preset *preset = preset_find(b->reg, name);
    if (p || !preset)
        return p;
    struct buf text = BUF_INIT;
    uint16_t index;
    buf_puts(&text, preset->text);
    const char *source = arena_printf(conf_tree(ctx)->arena, "(preset %s)", name);
    const struct conf_node *node =
        conf_source_add(conf_tree(ctx), source, &text, &index) ? conf_parse(conf_tree(ctx), index) : NULL;
    buf_fini(&text);
    struct conf_mark mark = {"", 0, 0};
    return node ? policy_new(ctx, preset->name, CFG_PRESET, node, &mark) : NULL;
}

void config_policies_read(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
    struct config_build *b = conf_user(ctx);
    if (node->type != CONF_NODE_MAP) {
        conf_error(ctx, node, "expected a map of policies by name, not %s", conf_node_type_name(node));
        return;
    }
    CONF_EACH_PAIR(key, value, node) {
        struct conf_mark mark = conf_mark_of(ctx, key);
        if (preset_find(b->reg, key->text))
            conf_error(ctx, key, "'%s' is the name of a preset, take another", key->text);
        else
            (void)policy_new(ctx, conf_intern(ctx, key->text, key->count), CFG_NAMED, value, &mark);
    }
}

void config_policy_read(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
    struct config_build *b = conf_user(ctx);
    const struct cfg_policy *p;
    if (node->type == CONF_NODE_SCALAR) {
        p = config_preset_policy(ctx, node->text);
        if (!p && !preset_find(b->reg, node->text))
            conf_error(ctx, node, "unknown policy '%s'%s", node->text, hint(ctx, node->text, &b->policy_names));
    } else {
        size_t len;
        const char *text = text_key(ctx, node, &len);
        p = map_get(&b->policy_texts, text, len);
        if (!p) {
            struct conf_mark mark = conf_mark_of(ctx, node);
            p = policy_new(ctx, "", CFG_INLINE, node, &mark);
            if (p)
                map_put(&b->policy_texts, text, len, (void *)(uintptr_t)p);
        }
    }
    *(const struct cfg_policy **)field = p;
}

json_t *config_policies_print(const void *field)
{
    const struct config *c = PM_CONTAINER_OF((char *)(uintptr_t)field, struct config, policies);
    json_t *map = json_object();
    for (uint32_t i = 0; i < c->policy_count; i++)
        if (c->policies[i]->source == CFG_NAMED)
            json_object_set_new(map, c->policies[i]->name, conf_choices_json(&c->policies[i]->stages));
    return map;
}

json_t *config_policy_print(const void *field)
{
    const struct cfg_policy *p = *(const struct cfg_policy *const *)field;
    if (!p)
        return NULL;
    return p->source == CFG_INLINE ? conf_choices_json(&p->stages) : json_string(p->name);
}

/* ---- checks ---- */

static const struct cfg_check *check_new(struct conf_ctx *ctx, const char *name, enum cfg_source source,
                                         const struct conf_node *node, const struct conf_mark *mark)
{
    struct config_build *b = conf_user(ctx);
    struct config *c = b->config;
    struct conf_node pair[2], map;
    if (node->type == CONF_NODE_SCALAR) { /* `tcp` is `{tcp: {}}` */
        pair[0] = pair[1] = map = *node;
        pair[0].next = &pair[1];
        pair[1].next = NULL;
        pair[1].type = map.type = CONF_NODE_MAP;
        pair[1].first = NULL;
        pair[1].count = 0;
        map.first = pair;
        map.count = 1;
        if (!conf_registry_find(b->reg->checks, node->text)) {
            conf_error(ctx, node, "unknown check '%s'%s", node->text, hint(ctx, node->text, &b->check_names));
            return NULL;
        }
        node = &map;
    }
    struct cfg_check *k = ARENA_NEW(c->arena, struct cfg_check);
    k->mark = *mark;
    if (!conf_object_read(ctx, node, &config_check_object, k))
        return NULL;
    k->name = name;
    k->source = source;
    k->index = c->check_count;
    c->checks = grow(ctx, c->checks, c->check_count, &b->check_cap);
    c->checks[c->check_count++] = k;
    if (source != CFG_INLINE)
        map_put_str(&b->check_names, name, k);
    return k;
}

void config_checks_read(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
    if (node->type != CONF_NODE_MAP) {
        conf_error(ctx, node, "expected a map of checks by name, not %s", conf_node_type_name(node));
        return;
    }
    CONF_EACH_PAIR(key, value, node) {
        struct conf_mark mark = conf_mark_of(ctx, key);
        (void)check_new(ctx, conf_intern(ctx, key->text, key->count), CFG_NAMED, value, &mark);
    }
}

static const struct cfg_check *check_ref(struct conf_ctx *ctx, const struct conf_node *node)
{
    struct config_build *b = conf_user(ctx);
    struct conf_mark mark = conf_mark_of(ctx, node);
    if (node->type == CONF_NODE_SCALAR) {
        const struct cfg_check *k = map_get_str(&b->check_names, node->text);
        return k ? k : check_new(ctx, conf_intern(ctx, node->text, node->count), CFG_PRESET, node, &mark);
    }
    size_t len;
    const char *text = text_key(ctx, node, &len);
    const struct cfg_check *k = map_get(&b->check_texts, text, len);
    if (!k && (k = check_new(ctx, "", CFG_INLINE, node, &mark)))
        map_put(&b->check_texts, text, len, (void *)(uintptr_t)k);
    return k;
}

void config_check_list_read(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
    struct config_build *b = conf_user(ctx);
    size_t len;
    const char *text = text_key(ctx, node, &len);
    struct cfg_checks *list = map_get(&b->list_texts, text, len);
    if (!list) {
        bool many = node->type == CONF_NODE_LIST, ok = true;
        uint32_t n = many ? node->count : 1;
        list = ARENA_NEW(b->config->arena, struct cfg_checks);
        list->items = ARENA_ARRAY(b->config->arena, const struct cfg_check *, n);
        const struct conf_node *item = many ? node->first : node;
        for (uint32_t i = 0; i < n; i++, item = item->next) {
            const struct cfg_check *k = check_ref(ctx, item);
            ok &= k != NULL;
            list->items[list->count++] = k;
        }
        if (!ok)
            return;
        map_put(&b->list_texts, text, len, list);
    }
    *(const struct cfg_checks **)field = list;
}

json_t *config_checks_print(const void *field)
{
    const struct config *c = PM_CONTAINER_OF((char *)(uintptr_t)field, struct config, checks);
    json_t *map = json_object();
    for (uint32_t i = 0; i < c->check_count; i++)
        if (c->checks[i]->source == CFG_NAMED)
            json_object_set_new(map, c->checks[i]->name, conf_object_json(&config_check_object, c->checks[i]));
    return map;
}

json_t *config_check_list_print(const void *field)
{
    const struct cfg_checks *list = *(const struct cfg_checks *const *)field;
    if (!list)
        return NULL;
    json_t *a = json_array();
    for (uint32_t i = 0; i < list->count; i++) {
        const struct cfg_check *k = list->items[i];
        json_array_append_new(a, k->source == CFG_INLINE ? conf_object_json(&config_check_object, k)
                                                         : json_string(k->name));
    }
    return a;
}
