/* SPDX-License-Identifier: Apache-2.0 */
#include "api/url.h"

#include <string.h>
#include <strings.h>

/* "host", "host:port", "192.0.2.1:80", "[2001:db8::1]:80" of n bytes. */
static int authority_read(const char *text, size_t n, struct api_request *out)
{
    const char *end = text + n, *host = text, *host_end = memchr(text, ':', n);
    if (n && *text == '[') {
        host = text + 1;
        host_end = memchr(text, ']', n);
        if (!host_end)
            return PM_EPARSE;
    }
    const char *colon = host_end && *host_end == ']' ? host_end + 1 : host_end;
    size_t length = (size_t)((host_end ? host_end : end) - host);
    if (!length || length >= sizeof out->host)
        return PM_EPARSE;
    memcpy(out->host, host, length);
    out->host[length] = 0;
    if (addr_parse(out->host, &out->address) != PM_OK)
        out->address = (struct addr){0};
    bool bracket = *text == '[';
    if (bracket != (out->address.family == ADDR_V6))
        return PM_EPARSE;
    if (!colon || colon == end)
        return PM_OK;
    unsigned long port = 0;
    if (*colon++ != ':' || colon == end || end - colon > 5)
        return PM_EPARSE;
    for (; colon < end; colon++) {
        if (*colon < '0' || *colon > '9')
            return PM_EPARSE;
        port = port * 10 + (unsigned long)(*colon - '0');
    }
    out->port = (uint16_t)port;
    return port && port <= 65535 ? PM_OK : PM_EPARSE;
}

int api_url_read(const char *url, struct api_request *out)
{
    const char *rest = strstr(url, "://");
    size_t scheme = rest ? (size_t)(rest - url) : 0;
    out->url = url;
    out->tls = scheme == 5 && strncasecmp(url, "https", 5) == 0;
    if (rest && !out->tls && !(scheme == 4 && strncasecmp(url, "http", 4) == 0))
        return PM_EPARSE;
    rest = rest ? rest + 3 : url;
    out->port = out->tls ? 443 : 80;
    for (const char *c = rest; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return PM_EPARSE;
    size_t n = strcspn(rest, "/?#");
    if (memchr(rest, '@', n) || authority_read(rest, n, out) != PM_OK)
        return PM_EPARSE;
    rest += n;
    if (*rest != '/')
        buf_putc(&out->target, '/');
    buf_add(&out->target, rest, strcspn(rest, "#"));
    return PM_OK;
}
