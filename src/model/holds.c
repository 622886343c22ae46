/* SPDX-License-Identifier: Apache-2.0 */
#include "model/holds.h"

#include <string.h>
#include <strings.h>

bool hold_parse(const char *text, struct hold *out)
{
    *out = (struct hold){.text = text};
    const char *slash = strchr(text, '/');
    bool suffix = strncmp(text, "*.", 2) == 0;
    if (!suffix && slash && slash != text) {
        out->host = text;
        out->host_len = (size_t)(slash - text);
        text = out->text = slash;
        suffix = strncmp(text, "/*.", 3) == 0;
        text += suffix;
    }
    size_t n = strlen(text);
    if (suffix) {
        out->kind = HOLD_SUFFIX;
        out->text = text + 1;
        return n > 2 && !strpbrk(text + 2, "*/.");
    }
    out->kind = n && text[n - 1] == '/' ? HOLD_PREFIX : HOLD_PATH;
    return n && text[0] == '/' && !strchr(text, '*');
}

bool hold_is_whole(const struct hold *h)
{
    return h->kind == HOLD_PREFIX && strcmp(h->text, "/") == 0;
}

bool hold_is_of(const struct hold *h, const char *host)
{
    return !h->host || (strlen(host) == h->host_len && strncasecmp(h->host, host, h->host_len) == 0);
}
