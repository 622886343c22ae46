/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/names.h"

#include <stdbool.h>
#include <string.h>

/* RFC 3986 3.3: what may stand in a path as it is. */
static bool plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~!$&'()*+,;=:@/", c));
}

void agent_name_encode(const char *file, struct buf *out)
{
    for (const char *p = file; *p; p++) {
        if (plain((unsigned char)*p))
            buf_putc(out, *p);
        else
            buf_printf(out, "%%%02X", (unsigned char)*p);
    }
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int agent_name_decode(const char *path, struct buf *out)
{
    for (const char *p = path; *p; p++) {
        char c = *p;
        if (c == '%') {
            int high = hex(p[1]), low = high >= 0 ? hex(p[2]) : -1;
            if (low < 0)
                return PM_EINVAL;
            c = (char)(high * 16 + low);
            if (!c || c == '/')
                return PM_EINVAL;
            p += 2;
        } else if (!plain((unsigned char)c)) {
            return PM_EINVAL;
        }
        buf_putc(out, c);
    }
    return 0;
}
