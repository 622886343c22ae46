/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/name.h"

#include <stdio.h>
#include <strings.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "dns_hash_label masks words as little endian"
#endif

int dns_name_unpack(const uint8_t *msg, size_t len, size_t *at, uint8_t out[DNS_NAME_MAX])
{
    size_t p = *at, n = 0, floor = *at;
    bool jumped = false;
    for (;;) {
        if (p >= len)
            return PM_ESHORT;
        unsigned c = msg[p];
        if (c >= 0xc0) {
            if (p + 1 >= len)
                return PM_ESHORT;
            size_t target = (c & 0x3fu) << 8 | msg[p + 1];
            if (!jumped)
                *at = p + 2;
            jumped = true;
            /* Strictly backwards each time: no loop is possible. */
            if (target >= floor)
                return PM_EPROTO;
            floor = p = target;
            continue;
        }
        if (c > DNS_LABEL_MAX)
            return PM_EPROTO;
        if (n + c + 1 > DNS_NAME_MAX)
            return PM_ETOOBIG;
        if (p + c >= len)
            return PM_ESHORT;
        memcpy(out + n, msg + p, c + 1);
        n += c + 1;
        p += c + 1;
        if (c == 0)
            break;
    }
    if (!jumped)
        *at = p;
    return (int)n;
}

int dns_name_skip(const uint8_t *msg, size_t len, size_t *at)
{
    size_t p = *at;
    for (;;) {
        if (p >= len)
            return PM_ESHORT;
        unsigned c = msg[p];
        if (c >= 0xc0) {
            *at = p + 2;
            return p + 2 <= len ? PM_OK : PM_ESHORT;
        }
        if (c > DNS_LABEL_MAX)
            return PM_EPROTO;
        p += c + 1;
        if (p - *at > DNS_NAME_MAX)
            return PM_ETOOBIG;
        if (c == 0) {
            *at = p;
            return PM_OK;
        }
    }
}

int dns_name_length(const uint8_t *wire, size_t max)
{
    size_t n = 0;
    for (;;) {
        if (n >= max)
            return PM_ESHORT;
        unsigned c = wire[n];
        if (c > DNS_LABEL_MAX)
            return PM_EPROTO;
        n += c + 1;
        if (n > DNS_NAME_MAX)
            return PM_ETOOBIG;
        if (c == 0)
            return (int)n;
    }
}

void dns_name_set(struct dns_name *out, const uint8_t *wire)
{
    unsigned n = 0, labels = 0;
    while (wire[n]) {
        out->off[labels++] = (uint8_t)n;
        n += wire[n] + 1u;
    }
    out->off[labels] = (uint8_t)n;
    out->labels = (uint8_t)labels;
    out->len = (uint8_t)(n + 1);
    memcpy(out->wire, wire, out->len);
    memset(out->wire + out->len, 0, 9);
    for (unsigned i = 0; i < out->len; i += 8) {
        uint64_t w;
        memcpy(&w, out->wire + i, 8);
        w = dns_lower8(w);
        memcpy(out->wire + i, &w, 8);
    }
}

/* One character or escape at *s; -1 if the escape is wrong. */
static int unescape(const char **s)
{
    const char *p = *s;
    if (*p != '\\') {
        (*s)++;
        return (unsigned char)*p;
    }
    p++;
    if (*p >= '0' && *p <= '9') {
        if (p[1] < '0' || p[1] > '9' || p[2] < '0' || p[2] > '9')
            return -1;
        int v = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
        *s = p + 3;
        return v <= 255 ? v : -1;
    }
    if (!*p)
        return -1;
    *s = p + 1;
    return (unsigned char)*p;
}

static int append_origin(const uint8_t *origin, uint8_t *out, size_t n)
{
    if (!origin) {
        out[n] = 0;
        return (int)n + 1;
    }
    int len = dns_name_length(origin, DNS_NAME_MAX);
    if (len < 0)
        return len;
    if (n + (size_t)len > DNS_NAME_MAX)
        return PM_ETOOBIG;
    memcpy(out + n, origin, (size_t)len);
    return (int)n + len;
}

int dns_name_parse(const char *text, const uint8_t *origin, uint8_t out[DNS_NAME_MAX])
{
    if (strcmp(text, "@") == 0)
        return append_origin(origin, out, 0);
    if (strcmp(text, ".") == 0) {
        out[0] = 0;
        return 1;
    }
    size_t n = 0;
    while (*text) {
        size_t start = n++;
        while (*text && *text != '.') {
            int c = unescape(&text);
            if (c < 0)
                return PM_EPARSE;
            if (n - start > DNS_LABEL_MAX || n >= DNS_NAME_MAX - 1)
                return PM_ETOOBIG;
            out[n++] = (uint8_t)c;
        }
        if (n == start + 1)
            return PM_EPARSE; /* an empty label: "a..b", ".a", "" */
        out[start] = (uint8_t)(n - start - 1);
        if (*text == '.' && !*++text) {
            out[n] = 0;
            return (int)n + 1;
        }
        if (n >= DNS_NAME_MAX - 1)
            return PM_ETOOBIG;
    }
    return n ? append_origin(origin, out, n) : PM_EPARSE;
}

const char *dns_name_format(const uint8_t *wire, char out[DNS_NAME_TEXT])
{
    char *o = out;
    if (!wire[0])
        *o++ = '.';
    for (; *wire; wire += *wire + 1) {
        for (unsigned i = 1; i <= *wire; i++) {
            uint8_t c = wire[i];
            if (c <= ' ' || c >= 127) {
                o += snprintf(o, 5, "\\%03u", c);
                continue;
            }
            if (strchr(".\\\"();@$", c))
                *o++ = '\\';
            *o++ = (char)c;
        }
        *o++ = '.';
    }
    *o = 0;
    return out;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool dns_name_eq(const uint8_t *a, const uint8_t *b)
{
    for (;; a++, b++) {
        if (lower(*a) != lower(*b))
            return false;
        if (!*a)
            return true;
        unsigned n = *a;
        for (; n; n--) {
            a++, b++;
            if (lower(*a) != lower(*b))
                return false;
        }
    }
}

bool dns_name_within(const uint8_t *name, const uint8_t *parent)
{
    int n = dns_name_length(name, DNS_NAME_MAX), m = dns_name_length(parent, DNS_NAME_MAX);
    if (n < 0 || m < 0)
        return false;
    while (n > m) {
        n -= *name + 1;
        name += *name + 1;
    }
    return n == m && dns_name_eq(name, parent);
}
