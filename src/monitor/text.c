/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/text.h"

#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool monitor_text_unescape(const char *s, struct buf *out)
{
    for (; *s; s++) {
        if (*s != '\\') {
            buf_putc(out, *s);
            continue;
        }
        switch (*++s) {
        case 'r':
            buf_putc(out, '\r');
            break;
        case 'n':
            buf_putc(out, '\n');
            break;
        case 't':
            buf_putc(out, '\t');
            break;
        case '0':
            buf_putc(out, '\0');
            break;
        case '\\':
            buf_putc(out, '\\');
            break;
        case 'x':
            if (hex(s[1]) < 0 || hex(s[2]) < 0)
                return false;
            buf_putc(out, (char)(hex(s[1]) * 16 + hex(s[2])));
            s += 2;
            break;
        default:
            return false;
        }
    }
    return true;
}

int monitor_text_line(struct buf *b, size_t max, char *line, size_t cap)
{
    const char *end = b->len ? memchr(b->data, '\n', b->len) : NULL;
    if (!end)
        return b->len >= max ? -1 : 0;
    size_t whole = (size_t)(end - b->data) + 1, n = whole - 1;
    if (whole > max)
        return -1;
    if (n && b->data[n - 1] == '\r')
        n--;
    if (n >= cap)
        n = cap - 1;
    memcpy(line, b->data, n);
    line[n] = '\0';
    buf_consume(b, whole);
    return 1;
}

int monitor_text_reply_code(const char *line)
{
    int code = 0;
    for (int i = 0; i < 3; i++) {
        if (line[i] < '0' || line[i] > '9')
            return -1;
        code = code * 10 + (line[i] - '0');
    }
    return line[3] == ' ' || line[3] == '\0' ? code : -1;
}

bool monitor_text_ok(const char *text, bool spaces)
{
    if (!*text)
        return false;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f || (*c == ' ' && !spaces))
            return false;
    return true;
}
