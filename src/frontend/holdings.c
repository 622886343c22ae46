/* SPDX-License-Identifier: Apache-2.0 */
/* Which servers of a service hold what a request asks for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/internal.h"
#include "http/hello.h"
#include "http/path.h"

enum { PATH_MOST = 8192 };

static int compare(const void *a, const void *b)
{
    const struct front_holding *x = a, *y = b;
    return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->text, y->text);
}

void front_holdings_build(struct arena *a, struct front_service *s)
{
    struct front_holding *sorted = ARENA_ARRAY(a, struct front_holding, s->holding_count);
    for (uint32_t i = 0; i < s->holding_count; i++) {
        sorted[i] = s->holdings[i];
        sorted[i].text = arena_strdup(a, s->holdings[i].text);
    }
    if (s->holding_count)
        qsort(sorted, s->holding_count, sizeof *sorted, compare);
    s->holdings = sorted;
}

static const struct front_holding *find(const struct front_service *s, uint8_t kind, const char *text)
{
    struct front_holding key = {.kind = kind, .text = text};
    return bsearch(&key, s->holdings, s->holding_count, sizeof key, compare);
}

uint64_t front_holders(const struct front_service *s, const char *target, size_t len)
{
    char path[PATH_MOST];
    uint64_t known;
    if (!s->holding_count && !s->known)
        return UINT64_MAX;
    size_t n = http_path_plain(target, len, path, sizeof path);
    if (!n)
        return s->holders_else;
    /* Of what all have denied, anyone may say so once more. */
    if (s->known && front_known_find(s->known, s->scope, path, n, &known))
        return known ? known : s->holders_else ? s->holders_else : UINT64_MAX;
    const struct front_holding *h = find(s, FRONT_HOLDS_PATH, path);
    const char *segment = strrchr(path, '/'), *dot = strrchr(segment, '.');
    char suffix[256] = "";
    if (dot)
        snprintf(suffix, sizeof suffix, "%s", dot);
    for (; !h && n; n--) {
        if (path[n - 1] != '/')
            continue;
        path[n] = 0;
        h = find(s, FRONT_HOLDS_PREFIX, path);
    }
    if (!h && *suffix)
        h = find(s, FRONT_HOLDS_SUFFIX, suffix);
    return h ? h->holders : s->holders_else;
}

/* "a.b.c", "*.b.c", "*.c", "" */
static const struct front_holding *find_name(const struct front_service *s, const char *name)
{
    const struct front_holding *h = find(s, FRONT_HOLDS_NAME, name);
    char wild[HTTP_HELLO_NAME + 2];
    for (const char *dot = strchr(name, '.'); !h && dot; dot = strchr(dot + 1, '.')) {
        snprintf(wild, sizeof wild, "*%s", dot);
        h = find(s, FRONT_HOLDS_NAME, wild);
    }
    return h ? h : find(s, FRONT_HOLDS_NAME, "");
}

uint64_t front_holders_hello(const struct front_service *s, const struct http_hello *hello)
{
    const struct front_holding *h = find_name(s, hello->name);
    uint64_t of_name = h ? h->holders : UINT64_MAX;
    char protocol[256];
    for (size_t at = 0; at < hello->alpn_len;) {
        size_t n = hello->alpn[at];
        memcpy(protocol, hello->alpn + at + 1, n);
        protocol[n] = 0;
        at += n + 1;
        h = strlen(protocol) == n ? find(s, FRONT_HOLDS_ALPN, protocol) : NULL;
        if (h && h->holders & of_name)
            return h->holders & of_name;
    }
    return of_name & s->holders_else ? of_name & s->holders_else : of_name;
}
