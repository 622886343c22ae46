/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from a complete head: its body, its lists, its other lines. */
#include <string.h>
#include <strings.h>
#include "http/chars.h"
#include "http/head.h"
#include "http/uri.h"

enum http_body http_request_body(const struct http_head *h)
{
    if (h->flags & HTTP_CHUNKED)
        return HTTP_BODY_CHUNKED;
    return h->flags & HTTP_LENGTH && h->content_length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
}

enum http_body http_response_body(const struct http_head *h, unsigned request_method)
{
    if (request_method == HTTP_HEAD || h->status < 200 || h->status == 204 || h->status == 304)
        return HTTP_BODY_NONE;
    if (h->flags & HTTP_CHUNKED)
        return HTTP_BODY_CHUNKED;
    if (h->flags & HTTP_LENGTH)
        return h->content_length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    return HTTP_BODY_CLOSE;
}

bool http_list_has(const char *list, size_t len, const char *token)
{
    struct http_span t;
    for (uint32_t at = 0; http_list_next(list, (uint32_t)len, &at, &t);)
        if (t.len == strlen(token) && strncasecmp(list + t.off, token, t.len) == 0)
            return true;
    return false;
}

bool http_cookie(const char *field, size_t len, const char *name, struct http_span *value)
{
    size_t n = strlen(name);
    for (size_t at = 0; at < len;) {
        while (at < len && (field[at] == ' ' || field[at] == ';'))
            at++;
        size_t end = at;
        while (end < len && field[end] != ';')
            end++;
        if (end - at > n && field[at + n] == '=' && memcmp(field + at, name, n) == 0) {
            *value = (struct http_span){(uint32_t)(at + n + 1), (uint32_t)(end - at - n - 1)};
            return true;
        }
        at = end;
    }
    return false;
}

bool http_line_next(const struct http_head *h, const char *bytes, uint32_t *at, struct http_span *line,
                    uint32_t *name_len)
{
    if (*at + 2 >= h->len)
        return false;
    const char *start = bytes + *at, *lf = memchr(start, '\n', h->len - *at), *colon = memchr(start, ':', h->len - *at);
    if (!lf || !colon || colon > lf)
        return false;
    *line = (struct http_span){*at, (uint32_t)(lf + 1 - start)};
    *name_len = (uint32_t)(colon - start);
    *at += line->len;
    return true;
}

const char *http_reason(unsigned status)
{
    switch (status) {
    case 100:
        return "Continue";
    case 200:
        return "OK";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 417:
        return "Expectation Failed";
    case 421:
        return "Misdirected Request";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}
