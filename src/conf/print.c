/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded struct back to JSON and YAML. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/addr.h"
#include "base/units.h"
#include "conf/doc.h"
#include "conf/load.h"

enum { YAML_INLINE = 90 };

static json_t *text_json(const char *s)
{
    json_t *j = json_string(s);
    return j ? j : json_string("(text is not UTF-8)");
}

static json_t *endpoint_json(const struct endpoint *e)
{
    char text[ENDPOINT_TEXT];
    return e->addr.family ? json_string(endpoint_format(e, text)) : NULL;
}

static json_t *scalar_json(const struct conf_key *key, const void *field)
{
    char text[ENDPOINT_TEXT];
    const char *s;
    switch (key->type) {
    case CONF_BOOL:
        return json_boolean(*(const bool *)field);
    case CONF_INT:
        return json_integer(*(const int64_t *)field);
    case CONF_UINT:
        return json_integer(*(const uint32_t *)field);
    case CONF_DOUBLE:
        return json_real(*(const double *)field);
    case CONF_DURATION:
        return json_string(duration_format(*(const uint64_t *)field, text));
    case CONF_SIZE:
        return json_string(size_format(*(const uint64_t *)field, text));
    case CONF_ADDR:
        return ((const struct addr *)field)->family ? json_string(addr_format(field, text)) : NULL;
    case CONF_PREFIX:
        return ((const struct prefix *)field)->addr.family ? json_string(prefix_format(field, text)) : NULL;
    case CONF_ENDPOINT:
        return endpoint_json(field);
    case CONF_ENUM:
        return json_string(((const char *const *)key->sub)[*(const int *)field]);
    default:
        s = *(const char *const *)field;
        return s ? text_json(s) : NULL;
    }
}

json_t *conf_choice_json(const struct conf_choice *choice)
{
    if (!choice->kind)
        return NULL;
    json_t *params = conf_object_json(choice->kind, choice->value);
    if (!json_object_size(params)) {
        json_decref(params);
        return json_string(choice->kind->name);
    }
    json_t *o = json_object();
    json_object_set_new(o, choice->kind->name, params);
    return o;
}

static json_t *map_item_json(const struct conf_object *o, const char *item, const char **name)
{
    *name = *(const char *const *)(const void *)(item + o->name_offset);
    return conf_object_json(o, item);
}

static json_t *map_json(const struct conf_object *o, const struct conf_list *list)
{
    json_t *map = json_object();
    const char *item = list->items, *name;
    for (uint32_t i = 0; i < list->count; i++, item += o->size) {
        json_t *v = map_item_json(o, item, &name);
        json_object_set_new(map, name, v);
    }
    return map;
}

static json_t *value_json(const struct conf_key *key, const void *field)
{
    switch (key->type) {
    case CONF_OBJECT:
        return conf_object_json(key->sub, field);
    case CONF_MAP:
        return map_json(key->sub, field);
    case CONF_VARIANT:
        return conf_choice_json(field);
    case CONF_CUSTOM:
        return key->print ? key->print(field) : NULL;
    default:
        return scalar_json(key, field);
    }
}

static json_t *list_json(const struct conf_key *key, const struct conf_list *list)
{
    json_t *a = json_array();
    const char *item = list->items;
    size_t size = conf_type_size(key);
    for (uint32_t i = 0; i < list->count; i++, item += size) {
        json_t *v = value_json(key, item);
        json_array_append_new(a, v ? v : json_null());
    }
    return a;
}

json_t *conf_choices_json(const struct conf_list *list)
{
    static const struct conf_key key = {.name = "", .type = CONF_VARIANT};
    return list_json(&key, list);
}

static bool is_secret(const struct conf_key *k, const char *field)
{
    return (k->flags & CONF_SECRET) &&
           ((k->type != CONF_STRING && k->type != CONF_PATH) || *(const char *const *)(const void *)field);
}

static json_t *key_json(const struct conf_key *k, const char *object)
{
    const char *field = object + k->offset;
    if (k->flags & CONF_ALIAS)
        return NULL;
    if (is_secret(k, field))
        return json_string("(secret)");
    json_t *v = k->flags & CONF_LIST ? list_json(k, (const void *)field) : value_json(k, field);
    return !v && (k->flags & CONF_OFF) ? json_string("off") : v;
}

json_t *conf_object_json(const struct conf_object *o, const void *value)
{
    json_t *out = json_object();
    for (size_t i = 0; i < o->key_count; i++) {
        json_t *v = key_json(&o->keys[i], value);
        if (!v)
            continue;
        if ((o->keys[i].flags & CONF_INLINE) && json_is_string(v)) {
            json_object_set_new(out, json_string_value(v), json_object());
            json_decref(v);
        } else if (o->keys[i].flags & CONF_INLINE) {
            json_object_update(out, v);
            json_decref(v);
        } else {
            json_object_set_new(out, o->keys[i].name, v);
        }
    }
    return out;
}

/* ---- YAML ---- */

/* Words a reader of YAML could take for something else than text, and texts that need escapes. */
static bool needs_quotes(const char *s)
{
    static const char *const words[] = {"null", "~", "true", "false", "yes", "no", "on", "<<"};
    if (!s[0] || s[0] == ' ' || s[strlen(s) - 1] == ' ' || s[strlen(s) - 1] == ':')
        return true;
    for (size_t i = 0; i < PM_ARRAY_LEN(words); i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    if (strchr("-?:,[]{}#&*!|>'\"%@`.", s[0]) || strstr(s, ": ") || strstr(s, " #"))
        return true;
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f || strchr(",[]{}\"\\", *s))
            return true;
    return false;
}

static void yaml_text(const char *s, struct buf *out)
{
    if (!needs_quotes(s)) {
        buf_puts(out, s);
        return;
    }
    buf_putc(out, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_putc(out, (char)c);
    }
    buf_putc(out, '"');
}

static void yaml_real(double v, struct buf *out)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_puts(out, text);
}

/* In one line: scalars, and lists and maps as flow. */
static void yaml_flow(const json_t *v, struct buf *out)
{
    const char *name, *sep = "";
    json_t *item;
    size_t i;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        buf_putc(out, '{');
        /* jansson's loops take a non-const pointer and change nothing */
        json_object_foreach((json_t *)(uintptr_t)v, name, item) {
            buf_puts(out, sep);
            yaml_text(name, out);
            buf_puts(out, ": ");
            yaml_flow(item, out);
            sep = ", ";
        }
        buf_putc(out, '}');
        break;
    case JSON_ARRAY:
        buf_putc(out, '[');
        json_array_foreach(v, i, item) {
            buf_puts(out, i ? ", " : "");
            yaml_flow(item, out);
        }
        buf_putc(out, ']');
        break;
    case JSON_STRING:
        yaml_text(json_string_value(v), out);
        break;
    case JSON_INTEGER:
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        break;
    case JSON_REAL:
        yaml_real(json_real_value(v), out);
        break;
    case JSON_NULL:
        buf_puts(out, "~");
        break;
    default:
        buf_puts(out, json_is_true(v) ? "true" : "false");
        break;
    }
}

static void yaml_indent(struct buf *out, int depth)
{
    buf_printf(out, "%*s", depth * 2, "");
}

/* What follows "key:" or "-": on the same line when it is short, below otherwise. */
static void yaml_value(const json_t *v, struct buf *out, int depth)
{
    struct buf flow = BUF_INIT;
    const char *name;
    json_t *item;
    size_t i;
    yaml_flow(v, &flow);
    if ((!json_is_object(v) && !json_is_array(v)) || flow.len + (size_t)depth * 2 < YAML_INLINE) {
        buf_printf(out, " %s\n", buf_str(&flow));
        buf_fini(&flow);
        return;
    }
    buf_fini(&flow);
    buf_putc(out, '\n');
    if (json_is_array(v)) {
        json_array_foreach(v, i, item) {
            yaml_indent(out, depth);
            buf_putc(out, '-');
            yaml_value(item, out, depth + 1);
        }
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)v, name, item) {
        yaml_indent(out, depth);
        yaml_text(name, out);
        buf_putc(out, ':');
        yaml_value(item, out, depth + 1);
    }
}

void conf_json_yaml(const json_t *value, struct buf *out)
{
    const char *name;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)value, name, item) {
        yaml_text(name, out);
        buf_putc(out, ':');
        yaml_value(item, out, 1);
    }
    if (!json_is_object(value))
        yaml_flow(value, out);
}

static void map_yaml(const struct conf_key *k, const struct conf_list *list, struct buf *out)
{
    const struct conf_object *o = k->sub;
    const char *item = list->items, *name;
    buf_printf(out, "%s:%s\n", k->name, list->count ? "" : " {}");
    for (uint32_t i = 0; i < list->count; i++, item += o->size) {
        json_t *v = map_item_json(o, item, &name);
        yaml_indent(out, 1);
        yaml_text(name, out);
        buf_putc(out, ':');
        yaml_value(v, out, 2);
        json_decref(v);
    }
}

void conf_object_yaml(const struct conf_object *o, const void *value, struct buf *out)
{
    for (size_t i = 0; i < o->key_count; i++) {
        const struct conf_key *k = &o->keys[i];
        if (k->type == CONF_MAP) {
            map_yaml(k, (const void *)((const char *)value + k->offset), out);
            continue;
        }
        json_t *v = key_json(k, value);
        if (!v)
            continue;
        buf_printf(out, "%s:", k->name);
        yaml_value(v, out, 1);
        json_decref(v);
    }
}
