/* SPDX-License-Identifier: Apache-2.0 */
#include "http/uri.h"

#include "http/chars.h"

#define T  HTTP_C_TOKEN
#define H  HTTP_C_HOST
#define U  HTTP_C_TARGET
#define TU (T | U)
#define TH (T | H | U)
#define DD (T | H | U | HTTP_C_DIGIT | HTTP_C_HEX)
#define XX (T | H | U | HTTP_C_HEX)

/* Hosts: unreserved and sub-delims less the quote marks; percent-encoding has no place in a DNS name. */
const uint8_t http_char[256] = {
    ['!'] = TU, ['"'] = U,  ['#'] = T,  ['$'] = TU, ['%'] = TU, ['&'] = TU, ['\''] = TU, ['('] = U,  [')'] = U,
    ['*'] = TU, ['+'] = TU, [','] = U,  ['-'] = TH, ['.'] = TH, ['/'] = U,  ['0'] = DD,  ['1'] = DD, ['2'] = DD,
    ['3'] = DD, ['4'] = DD, ['5'] = DD, ['6'] = DD, ['7'] = DD, ['8'] = DD, ['9'] = DD,  [':'] = U,  [';'] = U,
    ['<'] = U,  ['='] = U,  ['>'] = U,  ['?'] = U,  ['@'] = U,  ['A'] = XX, ['B'] = XX,  ['C'] = XX, ['D'] = XX,
    ['E'] = XX, ['F'] = XX, ['G'] = TH, ['H'] = TH, ['I'] = TH, ['J'] = TH, ['K'] = TH,  ['L'] = TH, ['M'] = TH,
    ['N'] = TH, ['O'] = TH, ['P'] = TH, ['Q'] = TH, ['R'] = TH, ['S'] = TH, ['T'] = TH,  ['U'] = TH, ['V'] = TH,
    ['W'] = TH, ['X'] = TH, ['Y'] = TH, ['Z'] = TH, ['['] = U,  ['\\'] = U, [']'] = U,   ['^'] = TU, ['_'] = TH,
    ['`'] = TU, ['a'] = XX, ['b'] = XX, ['c'] = XX, ['d'] = XX, ['e'] = XX, ['f'] = XX,  ['g'] = TH, ['h'] = TH,
    ['i'] = TH, ['j'] = TH, ['k'] = TH, ['l'] = TH, ['m'] = TH, ['n'] = TH, ['o'] = TH,  ['p'] = TH, ['q'] = TH,
    ['r'] = TH, ['s'] = TH, ['t'] = TH, ['u'] = TH, ['v'] = TH, ['w'] = TH, ['x'] = TH,  ['y'] = TH, ['z'] = TH,
    ['{'] = U,  ['|'] = TU, ['}'] = U,  ['~'] = TU,
};

static bool visible(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!(http_char[(uint8_t)text[i]] & HTTP_C_TARGET))
            return false;
    return true;
}

static bool scheme_is(const char *text, size_t len, const char *scheme, size_t n)
{
    if (len <= n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (http_lower(text[i]) != scheme[i])
            return false;
    return true;
}

int http_target_parse(const char *text, size_t len, struct http_uri *out)
{
    *out = (struct http_uri){0};
    if (len == 0 || !visible(text, len))
        return PM_EPROTO;
    if (text[0] == '/') {
        out->path.len = (uint32_t)len;
        return PM_OK;
    }
    if (len == 1 && text[0] == '*') {
        out->form = HTTP_FORM_ASTERISK;
        return PM_OK;
    }
    size_t at = scheme_is(text, len, "http://", 7) ? 7 : scheme_is(text, len, "https://", 8) ? 8 : 0;
    if (at == 0)
        return PM_EPROTO;
    size_t end = at;
    while (end < len && text[end] != '/' && text[end] != '?')
        end++;
    if (!http_authority_valid(text + at, end - at))
        return PM_EPROTO;
    out->form = HTTP_FORM_ABSOLUTE;
    out->authority = (struct http_span){(uint32_t)at, (uint32_t)(end - at)};
    out->path = (struct http_span){(uint32_t)end, (uint32_t)(len - end)};
    return PM_OK;
}

static size_t host_end(const char *text, size_t len)
{
    size_t at = 0;
    if (len && text[0] == '[') {
        for (at = 1; at < len && (http_char[(uint8_t)text[at]] & HTTP_C_HEX || text[at] == ':' || text[at] == '.'); at++)
            ;
        return at < len && text[at] == ']' && at > 2 ? at + 1 : 0;
    }
    while (at < len && http_char[(uint8_t)text[at]] & HTTP_C_HOST)
        at++;
    return at;
}

bool http_authority_valid(const char *text, size_t len)
{
    size_t at = host_end(text, len);
    if (at == 0 || at > 255 + 2)
        return false;
    if (at == len)
        return true;
    if (text[at++] != ':' || len - at > 5)
        return false;
    unsigned port = 0;
    for (; at < len; at++) {
        if (!http_is_digit(text[at]))
            return false;
        port = port * 10 + (unsigned)(text[at] - '0');
    }
    return port <= 65535;
}

size_t http_authority_host(const char *text, size_t len)
{
    size_t at = host_end(text, len);
    return at > 1 && text[at - 1] == '.' ? at - 1 : at;
}

bool http_list_next(const char *list, uint32_t len, uint32_t *at, struct http_span *token)
{
    uint32_t i = *at;
    while (i < len && (list[i] == ',' || list[i] == ' ' || list[i] == '\t'))
        i++;
    uint32_t start = i;
    while (i < len && list[i] != ',')
        i++;
    *at = i;
    uint32_t end = i;
    while (end > start && (list[end - 1] == ' ' || list[end - 1] == '\t'))
        end--;
    *token = (struct http_span){start, end - start};
    return end > start;
}
