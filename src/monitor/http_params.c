/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/http_params.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "conf/load.h"
#include "monitor/text.h"

/* RFC 9110 5.6.2 */
static bool is_token(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("!#$%&'*+-.^_`|~", s[i]))
            return false;
    return n > 0;
}

static bool digits(const char *s, size_t n, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)s[i]))
            return false;
        *out = *out * 10 + (unsigned)(s[i] - '0');
    }
    return n == 3;
}

/* "200", "2xx", "200-299" */
static bool codes_parse(const char *s, struct http_codes *out)
{
    unsigned low, high;
    size_t n = strlen(s);
    if (n == 3 && isdigit((unsigned char)s[0]) && strcasecmp(s + 1, "xx") == 0) {
        low = (unsigned)(s[0] - '0') * 100;
        high = low + 99;
    } else if (n == 3 && digits(s, 3, &low)) {
        high = low;
    } else if (n != 7 || s[3] != '-' || !digits(s, 3, &low) || !digits(s + 4, 3, &high)) {
        return false;
    }
    out->low = (uint16_t)low;
    out->high = (uint16_t)high;
    return low >= 100 && high <= 599 && low <= high;
}

static void check_status(struct conf_ctx *ctx, const struct conf_node *node, struct http_params *w)
{
    const char *const *text = w->status.items;
    w->codes = ARENA_ARRAY(conf_arena(ctx), struct http_codes, w->status.count + 1);
    for (uint32_t i = 0; i < w->status.count; i++) {
        if (!text[i])
            continue; /* an error that has been told */
        if (codes_parse(text[i], &w->codes[w->code_count]))
            w->code_count++;
        else
            conf_error(ctx, node, "'%s' is no HTTP status, expected one as 200, 2xx or 200-299", text[i]);
    }
}

/* A header is one line of "Name: value"; those that say where the message ends or goes are not the user's. */
static const char *header_problem(const char *h)
{
    static const char *const ours[] = {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"};
    const char *colon = strchr(h, ':');
    size_t n = colon ? (size_t)(colon - h) : 0;
    if (!colon || !is_token(h, n))
        return "expected 'Name: value'";
    for (const unsigned char *c = (const unsigned char *)colon; *c; c++)
        if ((*c < 0x20 && *c != '\t') || *c == 0x7f)
            return "a control character, as an end of line, cannot stand in a header";
    for (size_t i = 0; i < PM_ARRAY_LEN(ours); i++)
        if (strlen(ours[i]) == n && strncasecmp(ours[i], h, n) == 0)
            return i == 0 ? "use the key 'host' for it" : "this header is set by the check itself";
    return NULL;
}

static void check_headers(struct conf_ctx *ctx, const struct conf_node *node, struct http_params *w)
{
    const char *const *text = w->headers.items;
    struct arena *a = conf_arena(ctx);
    struct curl_slist **at = &w->header_list;
    for (uint32_t i = 0; i < w->headers.count; i++) {
        if (!text[i])
            continue;
        const char *problem = header_problem(text[i]);
        if (problem) {
            conf_error(ctx, node, "header '%.40s': %s", text[i], problem);
            continue;
        }
        *at = ARENA_NEW(a, struct curl_slist);
        const char *value = text[i] + strcspn(text[i], ":") + 1;
        value += strspn(value, " \t");
        /* curl's spelling of a header without a value; "Name:" would take the header away */
        (*at)->data = *value ? arena_strdup(a, text[i])
                             : arena_printf(a, "%.*s;", (int)strcspn(text[i], ":"), text[i]);
        at = &(*at)->next;
    }
}

static void check_regex(struct conf_ctx *ctx, const struct conf_node *node, struct http_params *w)
{
    char why[BODY_MATCH_ERROR];
    size_t offset = 0;
    if (!w->regex)
        return;
    w->compiled = body_regex_new(conf_arena(ctx), w->regex, why, &offset);
    if (!w->compiled)
        conf_error(ctx, node, "body-regex, at character %zu: %s", offset + 1, why);
}

void http_params_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct http_params *w = object;
    if (w->method && (!is_token(w->method, strlen(w->method)) || strcmp(w->method, "CONNECT") == 0))
        conf_error(ctx, node, "'%.40s' is no HTTP method a check can use", w->method);
    if (w->path && (w->path[0] != '/' || !monitor_text_ok(w->path, false) || strchr(w->path, '#')))
        conf_error(ctx, node, "path must start with '/' and have no spaces, control characters or '#'");
    if (w->path && strlen(w->path) > 1500)
        conf_error(ctx, node, "path is longer than 1500 characters");
    if (w->host && (!monitor_text_ok(w->host, false) || strpbrk(w->host, "/?#@\\%") || strlen(w->host) > 255))
        conf_error(ctx, node, "host must be a name or an address, with a port or without");
    check_status(ctx, node, w);
    check_headers(ctx, node, w);
    check_regex(ctx, node, w);
    if (w->method && strcmp(w->method, "HEAD") == 0 && (w->body || w->regex))
        conf_error(ctx, node, "HEAD brings no body: use another method, or neither 'body' nor 'body-regex'");
}

static bool code_wanted(const struct http_params *w, int32_t code)
{
    for (uint32_t i = 0; i < w->code_count; i++)
        if (code >= w->codes[i].low && code <= w->codes[i].high)
            return true;
    return false;
}

void http_judge(const struct http_params *w, int32_t code, const struct buf *body, struct probe_result *r)
{
    if (!code_wanted(w, code)) {
        r->status = PROBE_FAIL;
        snprintf(r->why, sizeof(r->why), "status %d", code);
        return;
    }
    if (w->body && !memmem(buf_str(body), body->len, w->body, strlen(w->body))) {
        r->status = PROBE_FAIL;
        snprintf(r->why, sizeof(r->why), "text '%.40s' not in the body", w->body);
        return;
    }
    enum body_match m = w->compiled ? body_regex_match(w->compiled, body->data, body->len) : BODY_MATCHES;
    if (m == BODY_MATCHES)
        return;
    r->status = PROBE_FAIL;
    snprintf(r->why, sizeof(r->why), "%s",
             m == BODY_DIFFERS ? "the body does not match" : "the regular expression is too costly on this body");
}
