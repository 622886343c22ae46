/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/expect.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>
#include "base/arena.h"
#include "base/map.h"
#include "conf/yaml.h"

enum { MATCH_LIMIT = 200000, DEPTH_LIMIT = 500 };

/* Expressions are shared by text, so a reload compiles only new ones and leaks none of the old. Control thread only. */
static struct map compiled = MAP_INIT;

void expect_compile(struct expect *e, struct conf_ctx *ctx, const struct conf_node *node)
{
    int error;
    PCRE2_SIZE at;
    if (!e->regex)
        return;
    e->code = map_get_str(&compiled, e->regex);
    if (e->code)
        return;
    e->code = pcre2_compile((PCRE2_SPTR)e->regex, PCRE2_ZERO_TERMINATED, 0, &error, &at, NULL);
    if (!e->code) {
        PCRE2_UCHAR text[128];
        const struct conf_node *value = conf_child(node, "expect-regex");
        pcre2_get_error_message(error, text, sizeof text);
        if (!value)
            value = conf_child(node, "body-regex");
        conf_error(ctx, value ? value : node, "in the expression, at character %zu: %s", (size_t)at + 1, (const char *)text);
        return;
    }
    map_put_str(&compiled, mem_strdup(e->regex), e->code);
}

static bool regex_met(const pcre2_code *code, const char *data, size_t len)
{
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    pcre2_match_context *c = pcre2_match_context_create(NULL);
    int rc = PCRE2_ERROR_NOMEMORY;
    if (m && c) {
        pcre2_set_match_limit(c, MATCH_LIMIT);
        pcre2_set_depth_limit(c, DEPTH_LIMIT);
        rc = pcre2_match(code, (PCRE2_SPTR)data, len, 0, 0, m, c);
    }
    pcre2_match_data_free(m);
    pcre2_match_context_free(c);
    return rc >= 0;
}

bool expect_met(const struct expect *e, const char *data, size_t len)
{
    if (e->text && !memmem(data ? data : "", len, e->text, strlen(e->text)))
        return false;
    return !e->regex || regex_met(e->code, data ? data : "", len);
}
