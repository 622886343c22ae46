/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classes of bytes in HTTP (RFC 9110 5.6), and the scans that look at every byte. Pure, any thread.
 */
#ifndef PM_HTTP_CHARS_H
#define PM_HTTP_CHARS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { HTTP_C_TOKEN = 1, HTTP_C_DIGIT = 2, HTTP_C_HEX = 4, HTTP_C_HOST = 8, HTTP_C_TARGET = 16 };
extern const uint8_t http_char[256];

static inline bool http_is_token(char c)
{
    return http_char[(uint8_t)c] & HTTP_C_TOKEN;
}
static inline bool http_is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline char http_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* No byte below space but HTAB, and no DEL: eight at a time, as most bytes of a head are looked at here. */
static inline bool http_value_clean(const char *v, size_t len)
{
    const uint64_t ones = 0x0101010101010101u, high = ones * 0x80;
    while (len >= 8) {
        uint64_t w;
        memcpy(&w, v, 8);
        uint64_t del = w ^ ones * 0x7f;
        /* Exact for "is there one": borrows only come from a byte that is one itself. */
        uint64_t bad = ((w - ones * 0x20) & ~w) | ((del - ones) & ~del);
        if (bad & high)
            break;
        v += 8;
        len -= 8;
    }
    for (; len; v++, len--) {
        uint8_t c = (uint8_t)*v;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

#endif
