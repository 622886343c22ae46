/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets (RFC 9112 3.2) and authorities (RFC 3986 3.2), in place: parts are spans of the text given.
 */
#ifndef PM_HTTP_URI_H
#define PM_HTTP_URI_H

#include "http/head.h"

enum http_form { HTTP_FORM_ORIGIN, HTTP_FORM_ABSOLUTE, HTTP_FORM_ASTERISK };

struct http_uri {
    uint8_t form;
    struct http_span authority; /* absolute form only: host[:port] */
    struct http_span path;      /* with the query; may be empty in absolute form ("http://a") */
};

/* Only visible ASCII, no fragment, no user information; http and https. PM_EPROTO. */
int http_target_parse(const char *text, size_t len, struct http_uri *out) PM_MUST_CHECK;
/* host[:port], where host is a name, an IPv4 address or an IPv6 address in brackets. */
bool http_authority_valid(const char *text, size_t len);
/* The host of a valid authority without port, brackets kept, and the final dot of a name left off. */
size_t http_authority_host(const char *text, size_t len);
/* The next token of a comma-separated list, trimmed and not empty; *at starts at 0. False at the end. */
bool http_list_next(const char *list, uint32_t len, uint32_t *at, struct http_span *token);

#endif
