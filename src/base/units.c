/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first, so that formatting takes the largest that fits. */
static const struct unit durations[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit sizes[] = {{"G", 1ull << 30}, {"M", 1ull << 20}, {"k", 1ull << 10}, {"", 1}};

static int number_parse(const char **at, uint64_t *out)
{
    const char *p = *at;
    uint64_t v = 0;
    if (*p < '0' || *p > '9')
        return PM_EPARSE;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
            return PM_ERANGE;
    *at = p;
    *out = v;
    return PM_OK;
}

int duration_parse(const char *text, uint64_t *ms)
{
    uint64_t sum = 0;
    const char *p = text;
    bool first = true;
    do {
        uint64_t v, factor = 0;
        int err = number_parse(&p, &v);
        if (err)
            return err;
        size_t n = strspn(p, "dhms");
        if (n == 0 && *p == 0 && first)
            factor = 1000;
        for (size_t i = 0; i < PM_ARRAY_LEN(durations); i++)
            if (strlen(durations[i].name) == n && memcmp(p, durations[i].name, n) == 0)
                factor = durations[i].factor;
        if (!factor)
            return PM_EPARSE;
        p += n;
        first = false;
        if (__builtin_mul_overflow(v, factor, &v) || __builtin_add_overflow(sum, v, &sum))
            return PM_ERANGE;
    } while (*p);
    *ms = sum;
    return PM_OK;
}

const char *duration_format(uint64_t ms, char out[UNITS_TEXT])
{
    size_t len = 0;
    if (ms == 0)
        return strcpy(out, "0s");
    for (size_t i = 0; i < PM_ARRAY_LEN(durations); i++) {
        uint64_t n = ms / durations[i].factor;
        if (n && len < UNITS_TEXT)
            len += (size_t)snprintf(out + len, UNITS_TEXT - len, "%llu%s", (unsigned long long)n, durations[i].name);
        ms -= n * durations[i].factor;
    }
    return out;
}

int size_parse(const char *text, uint64_t *bytes)
{
    uint64_t v, factor = 1;
    int err = number_parse(&text, &v);
    if (err)
        return err;
    switch (*text) {
    case 'k':
    case 'K':
        factor = 1ull << 10;
        text++;
        break;
    case 'M':
        factor = 1ull << 20;
        text++;
        break;
    case 'G':
        factor = 1ull << 30;
        text++;
        break;
    default:
        break;
    }
    if (*text == 'B')
        text++;
    if (*text)
        return PM_EPARSE;
    return __builtin_mul_overflow(v, factor, bytes) ? PM_ERANGE : PM_OK;
}

const char *size_format(uint64_t bytes, char out[UNITS_TEXT])
{
    size_t i = 0;
    while (sizes[i].factor > 1 && (bytes == 0 || bytes % sizes[i].factor))
        i++;
    snprintf(out, UNITS_TEXT, "%llu%s", (unsigned long long)(bytes / sizes[i].factor), sizes[i].name);
    return out;
}
