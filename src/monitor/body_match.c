/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/body_match.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <uv.h>

enum { STEPS_PER_LOOK = 64, HEAP_KIB = 4096 };

struct body_regex {
    pcre2_code *code;
};

/* PCRE2 keeps its code in the arena, which is freed whole. */
static void *in_arena(size_t size, void *arena)
{
    return arena_alloc(arena, size);
}

static void leave_to_arena(void *p, void *arena)
{
    (void)p;
    (void)arena;
}

struct body_regex *body_regex_new(struct arena *a, const char *pattern, char why[BODY_MATCH_ERROR], size_t *offset)
{
    pcre2_general_context *general = pcre2_general_context_create(in_arena, leave_to_arena, a);
    pcre2_compile_context *compile = pcre2_compile_context_create(general);
    int error;
    PCRE2_SIZE at = 0;
    struct body_regex *re = ARENA_NEW(a, struct body_regex);
    /*
     * A callout before every item counts the steps of the whole search; PCRE2's own match limit starts anew at every
     * position of the page and so bounds nothing that matters here.
     */
    re->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                             PCRE2_AUTO_CALLOUT | PCRE2_NEVER_BACKSLASH_C | PCRE2_MULTILINE, &error, &at, compile);
    if (re->code)
        return re;
    *offset = at;
    pcre2_get_error_message(error, (PCRE2_UCHAR *)why, BODY_MATCH_ERROR);
    return NULL;
}

struct budget {
    uint64_t end_ns;
    unsigned steps;
};

static int on_step(pcre2_callout_block *block, void *ctx)
{
    struct budget *b = ctx;
    (void)block;
    b->steps++;
    if (b->steps > BODY_MATCH_STEPS || (b->steps % STEPS_PER_LOOK == 0 && uv_hrtime() > b->end_ns))
        return PCRE2_ERROR_MATCHLIMIT;
    return 0;
}

enum body_match body_regex_match(const struct body_regex *re, const char *data, size_t len)
{
    struct budget budget = {.end_ns = uv_hrtime() + BODY_MATCH_MS * 1000000ull};
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    int rc = PCRE2_ERROR_NOMEMORY;
    if (context && match) {
        pcre2_set_callout(context, on_step, &budget);
        pcre2_set_match_limit(context, BODY_MATCH_STEPS);
        pcre2_set_heap_limit(context, HEAP_KIB);
        rc = pcre2_match(re->code, (PCRE2_SPTR)(data ? data : ""), len, 0, 0, match, context);
    }
    pcre2_match_data_free(match);
    pcre2_match_context_free(context);
    if (rc >= 0)
        return BODY_MATCHES;
    return rc == PCRE2_ERROR_NOMATCH ? BODY_DIFFERS : BODY_TOO_COSTLY;
}
