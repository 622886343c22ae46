/* SPDX-License-Identifier: Apache-2.0 */
/* Scalar values: one function per type, from text to field. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/addr.h"
#include "base/units.h"
#include "conf/ctx.h"

enum { AMOUNT_TEXT = 64 };

const char *conf_scalar(struct conf_ctx *ctx, const struct conf_node *node, const char *expected)
{
    if (node->type == CONF_NODE_SCALAR)
        return node->text;
    conf_error(ctx, node, "expected %s, not %s", expected, conf_node_type_name(node));
    return NULL;
}

/* A number as its type and unit write it: "1s", "4k", "10 km". */
static const char *amount(const struct conf_key *key, double v, char out[AMOUNT_TEXT])
{
    char text[UNITS_TEXT];
    if (key->type == CONF_DURATION)
        return strcpy(out, duration_format((uint64_t)v, text));
    if (key->type == CONF_SIZE)
        return strcpy(out, size_format((uint64_t)v, text));
    snprintf(out, AMOUNT_TEXT, "%.10g%s%.20s", v, key->unit ? " " : "", key->unit ? key->unit : "");
    return out;
}

static bool in_range(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, double v)
{
    char low[AMOUNT_TEXT], high[AMOUNT_TEXT];
    if (!(key->min < key->max) || (v >= key->min && v <= key->max))
        return true;
    conf_error(ctx, node, "must be from %s to %s", amount(key, key->min, low), amount(key, key->max, high));
    return false;
}

static bool read_bool(struct conf_ctx *ctx, const struct conf_node *node, const char *text, bool *out)
{
    static const char *const words[2][4] = {{"false", "no", "off", "0"}, {"true", "yes", "on", "1"}};
    for (int v = 0; v < 2; v++) {
        for (size_t i = 0; i < 4; i++) {
            if (strcasecmp(text, words[v][i]) == 0) {
                *out = v;
                return true;
            }
        }
    }
    conf_error(ctx, node, "'%s' is not true or false", text);
    return false;
}

static bool read_integer(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(node->text, &end, 10);
    if (end == node->text || *end || node->text[0] == ' ' || node->text[0] == '+') {
        conf_error(ctx, node, "'%s' is not a whole number", node->text);
        return false;
    }
    if (key->type == CONF_UINT && (errno || v < 0 || v > UINT32_MAX) && !(key->min < key->max)) {
        conf_error(ctx, node, "must be from 0 to %u", UINT32_MAX);
        return false;
    }
    if (!in_range(ctx, node, key, (double)v))
        return false;
    if (errno || (key->type == CONF_UINT && (v < 0 || v > UINT32_MAX))) {
        conf_error(ctx, node, "'%s' is too large", node->text);
        return false;
    }
    *out = v;
    return true;
}

static bool read_double(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, double *out)
{
    char *end;
    double v = strtod(node->text, &end);
    if (end == node->text || *end || node->text[0] == ' ' || !isfinite(v) || strpbrk(node->text, "xXpP")) {
        conf_error(ctx, node, "'%s' is not a number", node->text);
        return false;
    }
    if (!in_range(ctx, node, key, v))
        return false;
    *out = v;
    return true;
}

static bool read_amount(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, uint64_t *out)
{
    bool duration = key->type == CONF_DURATION;
    uint64_t v = 0;
    int err = duration ? duration_parse(node->text, &v) : size_parse(node->text, &v);
    if (err == PM_ERANGE) {
        conf_error(ctx, node, "'%s' is too large", node->text);
        return false;
    }
    if (err) {
        conf_error(ctx, node, duration ? "'%s' is not a duration: write 250ms, 5s, 1m or 1h30m"
                                       : "'%s' is not a size: write 512, 4k, 1M or 2G", node->text);
        return false;
    }
    if (!in_range(ctx, node, key, (double)v))
        return false;
    *out = v;
    return true;
}

static bool read_enum(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, int *out)
{
    const char *const *words = key->sub;
    struct buf all = BUF_INIT;
    for (int i = 0; words[i]; i++) {
        if (strcasecmp(words[i], node->text) == 0) {
            *out = i;
            buf_fini(&all);
            return true;
        }
        buf_printf(&all, "%s%s", i ? ", " : "", words[i]);
    }
    conf_error(ctx, node, "'%s' is unknown, expected one of %s", node->text, buf_str(&all));
    buf_fini(&all);
    return false;
}

/* Why a name cannot be a domain name, or NULL. */
static const char *name_fault(const char *s, size_t len)
{
    size_t label = 0;
    if (!len)
        return "is empty";
    if (len > 253)
        return "is longer than 253 characters";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '.') {
            if (!label)
                return "has an empty label ('..' or a dot in front)";
            label = 0;
            continue;
        }
        if (c >= 0x80)
            return "has letters outside ASCII: write it in its xn-- form";
        if (c == '*' && !(i == 0 && (len == 1 || s[1] == '.')))
            return "has '*' elsewhere than as its first label";
        if (c != '*' && !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                          c == '_' || c == '/'))
            return "has a character that a name cannot have";
        if (++label > 63)
            return "has a label longer than 63 characters";
    }
    return NULL;
}

bool conf_name_read(struct conf_ctx *ctx, const struct conf_node *node, const char **out)
{
    const char *text = conf_scalar(ctx, node, "a domain name");
    if (!text)
        return false;
    size_t len = strlen(text);
    if (len == 1 && text[0] == '.') {
        *out = conf_intern(ctx, ".", 1);
        return true;
    }
    if (len && text[len - 1] == '.')
        len--;
    const char *fault = name_fault(text, len);
    if (fault) {
        conf_error(ctx, node, "domain name '%.300s' %s", text, fault);
        return false;
    }
    char lower[254];
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
    *out = conf_intern(ctx, lower, len);
    return true;
}

static bool read_addr(struct conf_ctx *ctx, const struct conf_node *node, struct addr *out)
{
    if (addr_parse(node->text, out) == 0)
        return true;
    conf_error(ctx, node, "'%s' is not an IPv4 or IPv6 address", node->text);
    return false;
}

static bool read_prefix(struct conf_ctx *ctx, const struct conf_node *node, struct prefix *out)
{
    int err = prefix_parse(node->text, out);
    if (err == PM_EINVAL)
        conf_error(ctx, node, "'%s' has bits set beyond its length", node->text);
    else if (err)
        conf_error(ctx, node, "'%s' is not a prefix: write 192.0.2.0/24 or 2001:db8::/32", node->text);
    return err == 0;
}

static bool read_endpoint(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key,
                          struct endpoint *out)
{
    if (endpoint_parse(node->text, (uint16_t)key->min, out) == 0)
        return true;
    conf_error(ctx, node, "'%s' is not an address%s: write 192.0.2.1:53 or \"[2001:db8::1]:53\"", node->text,
               key->min > 0 ? "" : " with a port");
    return false;
}

static bool is_off(const struct conf_node *node)
{
    return !node->text[0] || strcmp(node->text, "off") == 0 || strcmp(node->text, "none") == 0;
}

static const char *expected(const struct conf_key *key)
{
    static const char *const names[] = {"true or false", "a whole number", "a whole number", "a number", "text",
                                        "a duration", "a size", "an address", "a prefix", "an address with port",
                                        "a domain name", "a path", "one word"};
    return key->type < PM_ARRAY_LEN(names) ? names[key->type] : "a value";
}

bool value_scalar_read(struct conf_ctx *ctx, const struct conf_node *node, const struct conf_key *key, void *field)
{
    const char *text = conf_scalar(ctx, node, expected(key));
    if (!text)
        return false;
    if ((key->flags & CONF_OFF) && is_off(node))
        return true;
    int64_t integer = 0;
    switch (key->type) {
    case CONF_BOOL:
        return read_bool(ctx, node, text, field);
    case CONF_INT:
        return read_integer(ctx, node, key, field);
    case CONF_UINT:
        if (!read_integer(ctx, node, key, &integer))
            return false;
        *(uint32_t *)field = (uint32_t)integer;
        return true;
    case CONF_DOUBLE:
        return read_double(ctx, node, key, field);
    case CONF_STRING:
        *(const char **)field = conf_intern(ctx, text, node->count);
        return true;
    case CONF_DURATION:
    case CONF_SIZE:
        return read_amount(ctx, node, key, field);
    case CONF_ADDR:
        return read_addr(ctx, node, field);
    case CONF_PREFIX:
        return read_prefix(ctx, node, field);
    case CONF_ENDPOINT:
        return read_endpoint(ctx, node, key, field);
    case CONF_NAME:
        return conf_name_read(ctx, node, field);
    case CONF_PATH:
        if (!text[0]) {
            conf_error(ctx, node, "the path is empty");
            return false;
        }
        *(const char **)field = conf_path(ctx, node, text);
        return true;
    case CONF_ENUM:
        return read_enum(ctx, node, key, field);
    default:
        conf_error(ctx, node, "this key has no scalar form");
        return false;
    }
}
