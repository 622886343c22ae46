/* SPDX-License-Identifier: Apache-2.0 */
/* Small values with a syntax of their own. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/units.h"
#include "model/config_build.h"

/* DNS counts TTLs and SOA times in seconds, 31 bits (RFC 2181, 8). */
static bool seconds(struct conf_ctx *ctx, const struct conf_node *node, uint32_t max, uint32_t *out)
{
    uint64_t ms;
    struct conf_key key = {.name = "", .type = CONF_DURATION, .max = max * 1000.0};
    if (!conf_value_read(ctx, node, &key, &ms))
        return false;
    if (ms % 1000) {
        conf_error(ctx, node, "'%s' is not a whole number of seconds", node->text);
        return false;
    }
    *out = (uint32_t)(ms / 1000);
    return true;
}

void config_seconds_read(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
    (void)seconds(ctx, node, INT32_MAX, field);
}

json_t *config_seconds_print(const void *field)
{
    char text[UNITS_TEXT];
    return json_string(duration_format(*(const uint32_t *)field * (uint64_t)1000, text));
}

void config_ttl_read(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
    if (node->type == CONF_NODE_SCALAR && strcmp(node->text, "auto") == 0)
        *(uint32_t *)field = CFG_TTL_AUTO;
    else
        (void)seconds(ctx, node, CFG_TTL_MAX_S, field);
}

json_t *config_ttl_print(const void *field)
{
    return *(const uint32_t *)field == CFG_TTL_AUTO ? json_string("auto") : config_seconds_print(field);
}

void config_addresses_read(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
    if (node->type == CONF_NODE_SCALAR && strcmp(node->text, "all") == 0) {
        *(uint32_t *)field = CFG_ADDRESSES_ALL;
        return;
    }
    struct conf_key key = {.name = "", .type = CONF_UINT, .min = 1, .max = 1000};
    (void)conf_value_read(ctx, node, &key, field);
}

json_t *config_addresses_print(const void *field)
{
    uint32_t n = *(const uint32_t *)field;
    return n == CFG_ADDRESSES_ALL ? json_string("all") : json_integer(n);
}

void config_mode_read(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
    const char *text = conf_scalar(ctx, node, "a mode");
    if (!text)
        return;
    char *end;
    unsigned long mode = strtoul(text, &end, 8);
    if (end == text || *end || text[0] == '-' || mode > 0777)
        conf_error(ctx, node, "'%s' is not an octal mode: write 0660", text);
    else
        *(uint32_t *)field = (uint32_t)mode;
}

json_t *config_mode_print(const void *field)
{
    return json_sprintf("%04o", *(const uint32_t *)field);
}

void config_location_read(struct conf_ctx *ctx, const struct conf_node *node, void *field)
{
    struct cfg_location *out = field;
    if (node->type != CONF_NODE_LIST || node->count != 2) {
        conf_error(ctx, node, "a location is [latitude, longitude]");
        return;
    }
    struct conf_key lat = {.name = "", .type = CONF_DOUBLE, .min = -90, .max = 90, .unit = "degrees"};
    struct conf_key lon = {.name = "", .type = CONF_DOUBLE, .min = -180, .max = 180, .unit = "degrees"};
    bool ok = conf_value_read(ctx, node->first, &lat, &out->lat);
    out->known = conf_value_read(ctx, node->first->next, &lon, &out->lon) && ok;
}

json_t *config_location_print(const void *field)
{
    const struct cfg_location *l = field;
    if (!l->known)
        return NULL;
    json_t *a = json_array();
    json_array_append_new(a, json_real(l->lat));
    json_array_append_new(a, json_real(l->lon));
    return a;
}
