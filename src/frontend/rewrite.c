/* SPDX-License-Identifier: Apache-2.0 */
/* URLs that moved (R11): by prefix, or by pattern over path and query. The first rule that fits is taken. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "frontend/internal.h"

int front_rewrite_compile(struct front_rewrite *r, struct buf *why)
{
    int code;
    PCRE2_SIZE at;
    if (!r->regex)
        return PM_OK;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)r->match, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C,
                                   &code, &at, NULL);
    if (!re) {
        PCRE2_UCHAR text[128];
        pcre2_get_error_message(code, text, sizeof text);
        buf_printf(why, "rewrite pattern \"%s\": %s at character %zu", r->match, (const char *)text, (size_t)at + 1);
        return PM_ECONFIG;
    }
    (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* without it matching is slower, and works */
    r->compiled = re;
    return PM_OK;
}

void front_rewrite_free(struct front_rewrite *r)
{
    pcre2_code_free(r->compiled);
}

/* Groups come from the client's target, which has only visible bytes: no result can break out of its line. */
static bool expand(const char *to, const char *path, const PCRE2_SIZE *groups, unsigned count, char *out, size_t cap,
                   size_t *out_len)
{
    size_t n = 0;
    for (const char *p = to; *p; p++) {
        const char *from = p;
        size_t len = 1;
        if (*p == '$' && p[1] >= '0' && p[1] <= '9') {
            unsigned g = (unsigned)(*++p - '0');
            bool set = g < count && groups[2 * g] != PCRE2_UNSET;
            from = set ? path + groups[2 * g] : path;
            len = set ? groups[2 * g + 1] - groups[2 * g] : 0;
        }
        if (n + len >= cap)
            return false;
        memcpy(out + n, from, len);
        n += len;
    }
    out[n] = 0;
    *out_len = n;
    return true;
}

static bool by_pattern(const struct front_rewrite *r, const char *path, size_t len, char *out, size_t cap, size_t *out_len)
{
    static __thread pcre2_match_data *data; /* one per thread for good: nine groups do for every rule */
    static __thread pcre2_match_context *limits;
    if (!data) {
        data = pcre2_match_data_create(10, NULL);
        limits = pcre2_match_context_create(NULL);
        if (!data || !limits)
            return false;
        pcre2_set_match_limit(limits, 100000); /* a pattern must not be made to run for long by a client */
    }
    int n = pcre2_match(r->compiled, (PCRE2_SPTR)path, len, 0, 0, data, limits);
    if (n < 0)
        return false;
    return expand(r->to, path, pcre2_get_ovector_pointer(data), n == 0 ? 10 : (unsigned)n, out, cap, out_len);
}

static bool by_prefix(const struct front_rewrite *r, const char *path, size_t len, char *out, size_t cap, size_t *out_len)
{
    size_t n = strlen(r->match), to = strlen(r->to);
    if (len < n || memcmp(path, r->match, n) != 0 || to + len - n >= cap)
        return false;
    memcpy(out, r->to, to);
    memcpy(out + to, path + n, len - n);
    *out_len = to + len - n;
    out[*out_len] = 0;
    return true;
}

const struct front_rewrite *front_rewrite_apply(const struct front_service *s, const char *path, size_t len, char *out,
                                          size_t cap, size_t *out_len)
{
    for (uint32_t i = 0; i < s->rewrite_count; i++) {
        const struct front_rewrite *r = &s->rewrites[i];
        if (r->regex ? by_pattern(r, path, len, out, cap, out_len) : by_prefix(r, path, len, out, cap, out_len))
            return r;
    }
    return NULL;
}
