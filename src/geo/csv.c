/* SPDX-License-Identifier: Apache-2.0 */
/* Comma or tab separated text, one prefix or range per line (see geo/build.h). */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "geo/source.h"

typedef unsigned __int128 u128;

enum { COLUMNS_MAX = 64 };

enum column {
    COL_IGNORED,
    COL_PREFIX,
    COL_START,
    COL_END,
    COL_COUNTRY,
    COL_CONTINENT,
    COL_REGION,
    COL_CITY,
    COL_LAT,
    COL_LON,
    COL_ASN,
    COL_COUNT_
};

static const struct {
    const char *name;
    enum column column;
} names[] = {
    {"prefix", COL_PREFIX},
    {"network", COL_PREFIX},
    {"block", COL_PREFIX},
    {"start", COL_START},
    {"start_ip", COL_START},
    {"end", COL_END},
    {"end_ip", COL_END},
    {"country", COL_COUNTRY},
    {"country_code", COL_COUNTRY},
    {"country_iso_code", COL_COUNTRY},
    {"continent", COL_CONTINENT},
    {"continent_code", COL_CONTINENT},
    {"region", COL_REGION},
    {"city", COL_CITY},
    {"city_name", COL_CITY},
    {"lat", COL_LAT},
    {"latitude", COL_LAT},
    {"lon", COL_LON},
    {"longitude", COL_LON},
    {"asn", COL_ASN},
    {"autonomous_system_number", COL_ASN},
};

struct csv {
    const struct geo_csv_options *options;
    char separator;
    bool known; /* the columns are */
    bool extra; /* more fields than columns are allowed */
    size_t count;
    enum column columns[COLUMNS_MAX];
};

/* Cuts a line into fields in place; a field that begins with a quote ends with one, "" inside is a
 * quote. */
static bool split(char *text, char separator, char **f, size_t max, size_t *count)
{
    size_t n = 0;
    for (char *p = text;;) {
        while (*p == ' ')
            p++;
        char *out = p, *start = p;
        if (*p == '"') {
            for (p++; *p && (*p != '"' || p[1] == '"'); p++) {
                p += *p == '"';
                *out++ = *p;
            }
            if (*p++ != '"')
                return false;
            while (*p == ' ')
                p++;
        } else {
            while (*p && *p != separator)
                p++;
            for (out = p; out > start && out[-1] == ' ';)
                out--;
        }
        if (n == max || (*p && *p != separator))
            return false;
        f[n++] = start;
        bool more = *p == separator && *p;
        *out = 0;
        if (!more)
            break;
        p++;
    }
    *count = n;
    return true;
}

static bool parse_number(const char *text, u128 *out)
{
    u128 v = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        unsigned digit = (unsigned)(*text - '0');
        if (digit > 9 || v > (~(u128)0 - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

static void addr_from_number(struct addr *out, unsigned family, u128 v)
{
    uint8_t bytes[16] = {0};
    for (int i = family == ADDR_V4 ? 3 : 15; i >= 0; i--, v >>= 8)
        bytes[i] = (uint8_t)v;
    addr_from_bytes(out, family, bytes);
}

/* "63", "192.168": the first octets of an IPv4 address; the others are zero. */
static bool parse_octets(const char *text, struct addr *out)
{
    uint8_t bytes[4] = {0};
    for (int i = 0; i < 4; i++) {
        unsigned v = 0, digits = 0;
        for (; isdigit((unsigned char)*text); text++, digits++)
            v = v * 10 + (unsigned)(*text - '0');
        if (digits == 0 || digits > 3 || v > 255)
            return false;
        bytes[i] = (uint8_t)v;
        if (!*text) {
            addr_from_bytes(out, ADDR_V4, bytes);
            return true;
        }
        if (*text++ != '.')
            return false;
    }
    return false;
}

/* One side of a block. len: NULL when the block has none. False: not an address, or bits set beyond
 * the length. */
static bool parse_side(const char *text, const char *len_text, struct prefix *out)
{
    struct addr a;
    u128 len;
    if (addr_parse(text, &a) != PM_OK && (!len_text || !parse_octets(text, &a)))
        return false;
    if (len_text) {
        if (!parse_number(len_text, &len))
            return false;
        if (a.family == ADDR_V4 &&
            strchr(text, ':')) /* mapped: the length counts the 96 bits before */
            len = len >= 96 ? len - 96 : 999;
        if (len > addr_bits(&a))
            return false;
    } else {
        len = addr_bits(&a);
    }
    prefix_make(out, &a, (unsigned)len);
    return addr_eq(&out->addr, &a);
}

static void prefix_last(const struct prefix *p, struct addr *out)
{
    *out = p->addr;
    for (unsigned bit = p->len; bit < addr_bits(out); bit++)
        out->bytes[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
}

/* "192.0.2.0/24", "63/8", "64-95/8", "192.0.2.1", "192.0.2.1-192.0.2.9", and IPv6 alike. */
static bool parse_block(const char *text, struct addr *first, struct addr *last)
{
    char copy[128];
    struct prefix left, right;
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    char *len = strchr(copy, '/'), *dash = strchr(copy, '-');
    if (len)
        *len++ = 0;
    if (dash)
        *dash++ = 0;
    if (!parse_side(copy, len, &left) || !parse_side(dash ? dash : copy, len, &right))
        return false;
    *first = left.addr;
    prefix_last(&right, last);
    return first->family == last->family && addr_cmp(first, last) <= 0;
}

static bool parse_range(const char *start, const char *end, struct addr *first, struct addr *last)
{
    u128 a, b;
    if (parse_number(start, &a) && parse_number(end, &b)) {
        /* Numbers do not say their family; a range that ends past IPv4 is IPv6. */
        unsigned family = b > 0xffffffffu ? ADDR_V6 : ADDR_V4;
        if (a > b)
            return false;
        addr_from_number(first, family, a);
        addr_from_number(last, family, b);
    } else if (addr_parse(start, first) != PM_OK || addr_parse(end, last) != PM_OK) {
        return false;
    }
    return first->family == last->family && addr_cmp(first, last) <= 0;
}

static bool parse_degrees(const char *text, float max, float *out)
{
    char *end;
    if (!isdigit((unsigned char)*text) && *text != '-' && *text != '+' && *text != '.')
        return false;
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v) || fabs(v) > (double)max)
        return false;
    *out = (float)v;
    return true;
}

static bool parse_asn(const char *text, uint32_t *out)
{
    u128 v;
    if (strncasecmp(text, "AS", 2) == 0)
        text += 2;
    if (!parse_number(text, &v) || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

static enum column column_named(const char *name)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(names); i++)
        if (strcasecmp(names[i].name, name) == 0)
            return names[i].column;
    return COL_IGNORED;
}

static void set_columns(struct geo_source *s, struct csv *c, size_t line, char **f, size_t n)
{
    unsigned seen[COL_COUNT_] = {0};
    c->count = n;
    c->known = true;
    for (size_t i = 0; i < n; i++) {
        c->columns[i] = column_named(f[i]);
        if (c->columns[i] != COL_IGNORED && seen[c->columns[i]]++)
            geo_source_error(s, PM_EPARSE, line, "two columns mean the same as \"%.50s\"", f[i]);
    }
    if (!seen[COL_PREFIX] && !(seen[COL_START] && seen[COL_END]))
        geo_source_error(s, PM_EPARSE, line,
                         "no column is named prefix (network, block), or start and end");
    if (seen[COL_LAT] != seen[COL_LON])
        geo_source_error(s, PM_EPARSE, line, "latitude and longitude need each other");
}

/* The first line says what the columns are, by their names or by what they look like. True: it was
 * a header. */
static bool find_columns(struct geo_source *s, struct csv *c, size_t line, char **f, size_t n)
{
    static char prefix[] = "prefix", start[] = "start", end[] = "end", country[] = "country";
    char *tor[] = {start, end, country}, *pair[] = {prefix, country};
    struct addr a, b;
    for (size_t i = 0; i < n; i++) {
        if (column_named(f[i]) != COL_IGNORED) {
            set_columns(s, c, line, f, n);
            return true;
        }
    }
    if (n == 3 && parse_range(f[0], f[1], &a, &b))
        set_columns(s, c, line, tor, 3);
    else if (n == 2 && parse_block(f[0], &a, &b))
        set_columns(s, c, line, pair, 2);
    else
        set_columns(s, c, line, f, n); /* says what is missing */
    return false;
}

/* Values by column; NULL = no such column, or empty. */
static bool read_place(struct geo_source *s, size_t line, char *const v[COL_COUNT_],
                       struct geo_place *g)
{
    const char *what = NULL, *bad = NULL;
    if (v[COL_CONTINENT] && !geo_set_continent(g, v[COL_CONTINENT], strlen(v[COL_CONTINENT])))
        what = "continent code (AF AN AS EU NA OC SA)", bad = v[COL_CONTINENT];
    if (v[COL_COUNTRY] && !geo_set_country(g, v[COL_COUNTRY], strlen(v[COL_COUNTRY])))
        what = "country code of two letters", bad = v[COL_COUNTRY];
    if (v[COL_REGION] && !geo_text_ok(v[COL_REGION], strlen(v[COL_REGION])))
        what = "region (UTF-8, at most 200 bytes)", bad = "this";
    if (v[COL_CITY] && !geo_text_ok(v[COL_CITY], strlen(v[COL_CITY])))
        what = "city (UTF-8, at most 200 bytes)", bad = "this";
    if (v[COL_LAT] && !parse_degrees(v[COL_LAT], 90, &g->lat))
        what = "latitude from -90 to 90", bad = v[COL_LAT];
    if (v[COL_LON] && !parse_degrees(v[COL_LON], 180, &g->lon))
        what = "longitude from -180 to 180", bad = v[COL_LON];
    if (!v[COL_LAT] != !v[COL_LON])
        what = "location: it takes latitude and longitude",
        bad = v[COL_LAT] ? v[COL_LAT] : v[COL_LON];
    if (v[COL_ASN] && !parse_asn(v[COL_ASN], &g->asn))
        what = "number of an AS", bad = v[COL_ASN];
    if (what)
        geo_source_error(s, PM_EPARSE, line, "\"%.50s\" is not a %s", bad, what);
    g->has_location = v[COL_LAT] && v[COL_LON];
    g->region = v[COL_REGION];
    g->city = v[COL_CITY];
    return !what;
}

static void read_record(struct geo_source *s, struct csv *c, size_t line, char **f, size_t n)
{
    char *v[COL_COUNT_] = {NULL};
    struct geo_place g = {.asn = 0};
    struct addr first, last;
    if (n < c->count || (n > c->count && !c->extra)) {
        geo_source_error(s, PM_EPARSE, line, "%zu fields where there are %zu columns", n, c->count);
        return;
    }
    for (size_t i = 0; i < c->count; i++)
        v[c->columns[i]] = *f[i] ? f[i] : NULL;
    if (v[COL_PREFIX] ? !parse_block(v[COL_PREFIX], &first, &last)
                      : !v[COL_START] || !v[COL_END] ||
                            !parse_range(v[COL_START], v[COL_END], &first, &last)) {
        if (v[COL_PREFIX])
            geo_source_error(s, PM_EPARSE, line, "\"%.90s\" is not a prefix", v[COL_PREFIX]);
        else
            geo_source_error(s, PM_EPARSE, line,
                             "\"%.45s\" to \"%.45s\" is not a range of addresses",
                             v[COL_START] ? v[COL_START] : "", v[COL_END] ? v[COL_END] : "");
        return;
    }
    if (!read_place(s, line, v, &g))
        return;
    uint32_t place = geo_places_put(s->places, &g);
    if (place != GEO_PLACE_NONE)
        ranges_builder_add_range(s->ranges, &first, &last, place);
}

static void read_line(struct geo_source *s, size_t line, char *text, void *arg)
{
    struct csv *c = arg;
    char *f[COLUMNS_MAX];
    size_t n;
    if (!*text || *text == '#' || (c->known && !c->count))
        return;
    if (!c->separator)
        c->separator = strchr(text, '\t') ? '\t' : ',';
    if (!split(text, c->separator, f, COLUMNS_MAX, &n)) {
        geo_source_error(s, PM_EPARSE, line, "a quote is not closed, or more than %d fields",
                         COLUMNS_MAX);
        return;
    }
    if (!c->known) {
        size_t before = s->errors;
        bool header = find_columns(s, c, line, f, n);
        if (s->errors != before)
            c->count = 0; /* without columns there is nothing to say about the other lines */
        if (header || !c->count)
            return;
    }
    read_record(s, c, line, f, n);
}

void geo_read_csv(struct geo_source *s, const struct geo_csv_options *options)
{
    struct csv c = {.options = options, .separator = options->separator};
    if (options->columns) {
        char *copy = mem_strdup(options->columns), *f[COLUMNS_MAX];
        size_t n = 0;
        if (split(copy, ',', f, COLUMNS_MAX, &n))
            set_columns(s, &c, 0, f, n);
        else
            geo_source_error(s, PM_EINVAL, 0, "columns \"%s\" are no list of names",
                             options->columns);
        free(copy);
        c.extra = true;
        if (s->err)
            return;
    }
    geo_read_lines(s, read_line, &c);
}
