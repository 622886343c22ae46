/* SPDX-License-Identifier: Apache-2.0 */
#include "http/path.h"

#include <string.h>

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* One character of the target, decoded; -1: none. */
static int next(const char *target, size_t len, size_t *at)
{
    unsigned char c = (unsigned char)target[(*at)++];
    if (c != '%')
        return c ? c : -1;
    if (*at + 2 > len || digit(target[*at]) < 0 || digit(target[*at + 1]) < 0)
        return -1;
    int v = digit(target[*at]) * 16 + digit(target[*at + 1]);
    *at += 2;
    return v ? v : -1;
}

/* The segment that ends at n is complete: drops it if it is "." and its parent, too, if it is "..". */
static size_t close_segment(char *out, size_t n)
{
    if (n >= 2 && out[n - 1] == '.' && out[n - 2] == '/')
        return n - 1;
    if (n >= 3 && out[n - 1] == '.' && out[n - 2] == '.' && out[n - 3] == '/') {
        n -= 3;
        while (n && out[n - 1] != '/')
            n--;
        return n ? n : 1;
    }
    return n;
}

size_t http_path_plain(const char *target, size_t len, char *out, size_t size)
{
    size_t n = 0, at = 0;
    const char *query = memchr(target, '?', len);
    len = query ? (size_t)(query - target) : len;
    if (!len || target[0] != '/' || size < 2)
        return 0;
    while (at < len) {
        int c = next(target, len, &at);
        if (c < 0)
            return 0;
        if (c == '/') {
            n = close_segment(out, n);
            if (n && out[n - 1] == '/')
                continue;
        }
        if (n + 1 >= size)
            return 0;
        out[n++] = (char)c;
    }
    n = close_segment(out, n);
    out[n] = 0;
    return n;
}
