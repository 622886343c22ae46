/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registries' statistics: registry|cc|type|start|value|date|status[|more]. First line: version,
 * then summaries. For ipv4 the value is a count of addresses, any count; for ipv6 a prefix length.
 */
#include <ctype.h>
#include <string.h>
#include "geo/source.h"

enum { FIELDS = 7 };

static bool number(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    if (!*text || strlen(text) > 10)
        return false;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            return false;
        v = v * 10 + (uint64_t)(*text - '0');
    }
    *out = v;
    return v <= max;
}

static void add_ipv4(struct geo_source *s, size_t line, const char *start, const char *value,
                     uint32_t place)
{
    struct addr first, last;
    uint64_t count;
    if (addr_parse(start, &first) != PM_OK || first.family != ADDR_V4) {
        geo_source_error(s, PM_EPARSE, line, "\"%s\" is not an IPv4 address", start);
        return;
    }
    uint64_t at = (uint64_t)first.bytes[0] << 24 | (uint64_t)first.bytes[1] << 16 |
                  (uint64_t)first.bytes[2] << 8 | first.bytes[3];
    if (!number(value, ((uint64_t)1 << 32) - at, &count) || count == 0) {
        geo_source_error(s, PM_EPARSE, line, "\"%s\" is not a count of addresses that fits here",
                         value);
        return;
    }
    at += count - 1;
    addr_from_bytes(
        &last, ADDR_V4,
        (uint8_t[]){(uint8_t)(at >> 24), (uint8_t)(at >> 16), (uint8_t)(at >> 8), (uint8_t)at});
    ranges_builder_add_range(s->ranges, &first, &last, place);
}

static void add_ipv6(struct geo_source *s, size_t line, const char *start, const char *value,
                     uint32_t place)
{
    struct addr a;
    struct prefix p;
    uint64_t len;
    if (addr_parse(start, &a) != PM_OK || a.family != ADDR_V6) {
        geo_source_error(s, PM_EPARSE, line, "\"%s\" is not an IPv6 address", start);
        return;
    }
    if (!number(value, 128, &len)) {
        geo_source_error(s, PM_EPARSE, line, "\"%s\" is not a prefix length", value);
        return;
    }
    prefix_make(&p, &a, (unsigned)len);
    if (!addr_eq(&p.addr, &a)) {
        geo_source_error(s, PM_EPARSE, line, "%s/%s has bits set beyond its length", start, value);
        return;
    }
    ranges_builder_add(s->ranges, &p, place);
}

static void read_record(struct geo_source *s, size_t line, char **f, size_t n)
{
    struct geo_place g = {.asn = 0};
    if (n < FIELDS) {
        geo_source_error(s, PM_EPARSE, line, "%zu fields, but a record has at least %d", n, FIELDS);
        return;
    }
    bool v4 = strcmp(f[2], "ipv4") == 0;
    if (!v4 && strcmp(f[2], "ipv6") != 0) {
        if (strcmp(f[2], "asn") != 0)
            geo_source_error(s, PM_EPARSE, line, "unknown type \"%s\" (ipv4, ipv6 or asn)", f[2]);
        return;
    }
    if (strcmp(f[6], "allocated") != 0 && strcmp(f[6], "assigned") != 0)
        return;
    if (!geo_set_country(&g, f[1], strlen(f[1]))) {
        geo_source_error(s, PM_EPARSE, line, "\"%s\" is not a country code", f[1]);
        return;
    }
    uint32_t place = geo_places_put(s->places, &g);
    if (place == GEO_PLACE_NONE)
        return;
    if (v4)
        add_ipv4(s, line, f[3], f[4], place);
    else
        add_ipv6(s, line, f[3], f[4], place);
}

static void read_line(struct geo_source *s, size_t line, char *text, void *arg)
{
    char *f[FIELDS + 1];
    size_t n = 0;
    if (!*text || *text == '#')
        return;
    for (char *p = text; p && n < PM_ARRAY_LEN(f);) {
        f[n++] = p;
        p = strchr(p, '|');
        if (p)
            *p++ = 0;
    }
    if (isdigit(
            (unsigned char)
                f[0][0])) /* the version line begins with a number, others with a registry's name */
        return;
    if (n >= 6 && strcmp(f[5], "summary") == 0)
        return;
    read_record(s, line, f, n);
}

void geo_read_rir(struct geo_source *s)
{
    geo_read_lines(s, read_line, NULL);
}
