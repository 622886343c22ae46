/* SPDX-License-Identifier: Apache-2.0 */
/* Prefix tables as text, one per line: CSV with or without a header, and the registries' delegated files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "geo/source.h"

enum { FIELDS_MAX = 32, FIELD_TEXT = 256 };

/* A line cut into fields, unquoted, each NUL-terminated in text. */
struct fields {
    char text[4096];
    const char *at[FIELDS_MAX];
    unsigned count;
};

/* RFC 4180 quoting inside one line. False: too long, too many fields, or an open quote. */
static bool split(const char *line, size_t len, char separator, struct fields *f)
{
    size_t out = 0, i = 0;
    f->count = 0;
    if (len >= sizeof f->text - FIELDS_MAX)
        return false;
    for (;;) {
        bool quoted = i < len && line[i] == '"';
        if (f->count == FIELDS_MAX)
            return false;
        f->at[f->count++] = f->text + out;
        for (i += quoted; i < len; i++) {
            if (quoted && line[i] == '"') {
                if (i + 1 < len && line[i + 1] == '"')
                    i++;
                else
                    break;
            } else if (!quoted && line[i] == separator) {
                break;
            }
            f->text[out++] = line[i];
        }
        if (quoted) {
            if (i >= len)
                return false;
            i++;
        }
        f->text[out++] = 0;
        if (i >= len)
            return true;
        if (line[i++] != separator)
            return false;
    }
}

/* Calls fn for every line that is not empty and no comment. */
typedef void line_fn(void *ctx, const char *line, size_t len, unsigned number);

static void each_line(const char *text, size_t len, line_fn *fn, void *ctx)
{
    unsigned number = 0;
    for (const char *end = text + len; text < end;) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        size_t n = nl ? (size_t)(nl - text) : (size_t)(end - text);
        const char *line = text;
        text += n + (nl != NULL);
        number++;
        if (n && line[n - 1] == '\r')
            n--;
        if (n && line[0] != '#')
            fn(ctx, line, n, number);
    }
}

/* ---- CSV ---- */

struct csv {
    struct geo_source *source;
    char separator;
    uint8_t columns[FIELDS_MAX];
    unsigned column_count; /* 0 until the first line has been looked at */
};

static const struct {
    const char *name;
    enum geo_column column;
} column_names[] = {
    {"prefix", GEO_PREFIX},     {"network", GEO_PREFIX},     {"block", GEO_PREFIX},   {"cidr", GEO_PREFIX},
    {"start", GEO_FIRST},       {"first", GEO_FIRST},        {"start_ip", GEO_FIRST}, {"end", GEO_LAST},
    {"last", GEO_LAST},         {"end_ip", GEO_LAST},        {"country", GEO_COUNTRY}, {"country_code", GEO_COUNTRY},
    {"continent", GEO_CONTINENT}, {"continent_code", GEO_CONTINENT}, {"region", GEO_REGION}, {"city", GEO_CITY},
    {"lat", GEO_LAT},           {"latitude", GEO_LAT},       {"lon", GEO_LON},        {"longitude", GEO_LON},
    {"asn", GEO_ASN},
};

static bool addr_or_number(const char *text, struct addr *out)
{
    char *end;
    if (addr_parse(text, out) == PM_OK)
        return true;
    unsigned long long v = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || v > UINT32_MAX)
        return false;
    uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    addr_from_bytes(out, ADDR_V4, bytes);
    return true;
}

/* "63/8", "64-95/8": first bytes of IPv4 blocks, as the registries wrote them in 1998. */
static bool old_block(const char *text, struct addr *first, struct addr *last)
{
    unsigned a, b;
    int end = 0;
    if (sscanf(text, "%u-%u/8%n", &a, &b, &end) != 2 || !end || text[end]) {
        end = 0;
        if (sscanf(text, "%u/8%n", &a, &end) != 1 || !end || text[end])
            return false;
        b = a;
    }
    if (a > b || b > 255)
        return false;
    addr_from_bytes(first, ADDR_V4, (uint8_t[4]){(uint8_t)a, 0, 0, 0});
    addr_from_bytes(last, ADDR_V4, (uint8_t[4]){(uint8_t)b, 255, 255, 255});
    return true;
}

static bool csv_columns(struct csv *c, const struct fields *f)
{
    struct addr a;
    struct prefix p;
    c->column_count = f->count;
    if (prefix_parse(f->at[0], &p) == PM_OK || addr_or_number(f->at[0], &a)) {
        /* No header: first,last,country (Tor's format) or prefix,country. */
        bool range = f->count > 2 && addr_or_number(f->at[1], &a);
        memset(c->columns, GEO_SKIP, sizeof c->columns);
        c->columns[0] = range ? GEO_FIRST : GEO_PREFIX;
        c->columns[1] = range ? GEO_LAST : GEO_COUNTRY;
        c->columns[2] = range ? GEO_COUNTRY : GEO_SKIP;
        return false;
    }
    for (unsigned i = 0; i < f->count; i++) {
        c->columns[i] = GEO_SKIP;
        for (size_t k = 0; k < PM_ARRAY_LEN(column_names); k++)
            if (strcasecmp(f->at[i], column_names[k].name) == 0)
                c->columns[i] = (uint8_t)column_names[k].column;
    }
    return true;
}

static bool code2(const char *text, char out[3])
{
    if (!*text || strcmp(text, "??") == 0 || strcmp(text, "-") == 0)
        return true;
    if (strlen(text) != 2)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        char ch = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 32) : text[i];
        if ((ch < 'A' || ch > 'Z') && (ch < '0' || ch > '9'))
            return false;
        out[i] = ch;
    }
    out[2] = 0;
    return true;
}

static bool degrees(const char *text, double limit, float *out)
{
    char *end;
    double v = strtod(text, &end);
    *out = (float)v;
    return *text && !*end && v >= -limit && v <= limit;
}

struct row {
    struct prefix prefix;
    struct addr first, last;
    bool has_prefix, has_first, has_last, has_lat, has_lon;
    struct geo_place place;
};

static const char *row_field(struct row *r, enum geo_column column, const char *text)
{
    char *end;
    switch (column) {
    case GEO_PREFIX:
        r->has_prefix = true;
        if (old_block(text, &r->first, &r->last)) {
            r->has_prefix = false;
            r->has_first = r->has_last = true;
            return NULL;
        }
        return prefix_parse(text, &r->prefix) == PM_OK ? NULL : "a prefix such as 192.0.2.0/24";
    case GEO_FIRST:
        r->has_first = true;
        return addr_or_number(text, &r->first) ? NULL : "an address";
    case GEO_LAST:
        r->has_last = true;
        return addr_or_number(text, &r->last) ? NULL : "an address";
    case GEO_COUNTRY:
        return code2(text, r->place.country) ? NULL : "a country code of two letters";
    case GEO_CONTINENT:
        return code2(text, r->place.continent) ? NULL : "a continent code of two letters";
    case GEO_REGION:
        r->place.region = text;
        return NULL;
    case GEO_CITY:
        r->place.city = text;
        return NULL;
    case GEO_LAT:
        r->has_lat = *text != 0;
        return !*text || degrees(text, 90, &r->place.lat) ? NULL : "a latitude from -90 to 90";
    case GEO_LON:
        r->has_lon = *text != 0;
        return !*text || degrees(text, 180, &r->place.lon) ? NULL : "a longitude from -180 to 180";
    case GEO_ASN:
        if (strncasecmp(text, "AS", 2) == 0)
            text += 2;
        r->place.asn = (uint32_t)strtoul(text, &end, 10);
        return *end ? "an AS number" : NULL;
    default:
        return NULL;
    }
}

static void csv_line(void *ctx, const char *line, size_t len, unsigned number)
{
    struct csv *c = ctx;
    struct fields f;
    struct row r = {.place = {.region = "", .city = ""}};
    if (!split(line, len, c->separator, &f)) {
        geo_source_error(c->source, number, "not a line of fields (open quote, or too long)");
        return;
    }
    if (!c->column_count && csv_columns(c, &f))
        return;
    for (unsigned i = 0; i < f.count && i < c->column_count; i++) {
        const char *wanted = row_field(&r, (enum geo_column)c->columns[i], f.at[i]);
        if (wanted) {
            geo_source_error(c->source, number, "field %u is '%.60s', expected %s", i + 1, f.at[i], wanted);
            return;
        }
    }
    r.place.has_location = r.has_lat && r.has_lon;
    if (!r.has_prefix && !(r.has_first && r.has_last)) {
        geo_source_error(c->source, number, "no prefix, and no first and last address");
        return;
    }
    uint32_t place = geo_source_place(c->source, &r.place);
    if (r.has_prefix)
        geo_source_add(c->source, &r.prefix, place);
    else if (!geo_source_add_range(c->source, &r.first, &r.last, place))
        geo_source_error(c->source, number, "the range ends before it begins");
}

int geo_builder_csv_text(struct geo_builder *b, const char *name, const char *text, size_t len,
                         const struct geo_csv_options *o)
{
    struct geo_source s = geo_source_begin(b, name);
    struct csv c = {.source = &s, .separator = o && o->separator ? o->separator : ','};
    for (size_t i = 0; o && o->columns && i < o->column_count && i < FIELDS_MAX; i++)
        c.columns[c.column_count++] = (uint8_t)o->columns[i];
    each_line(text, len, csv_line, &c);
    return geo_source_end(&s);
}

/* ---- registries' delegated files: registry|cc|type|start|value|date|status[|...] ---- */

static void rir_v4(struct geo_source *s, const struct fields *f, unsigned number, uint32_t place)
{
    struct addr first, last;
    char *end;
    unsigned long long count = strtoull(f->at[4], &end, 10);
    if (addr_parse(f->at[3], &first) != PM_OK || first.family != ADDR_V4 || *end || count == 0 || count > 1ull << 32) {
        geo_source_error(s, number, "not an IPv4 block: '%.40s' of '%.20s' addresses", f->at[3], f->at[4]);
        return;
    }
    uint64_t start = (uint64_t)first.bytes[0] << 24 | (uint64_t)first.bytes[1] << 16 | (uint64_t)first.bytes[2] << 8 | first.bytes[3];
    uint64_t stop = start + count - 1;
    if (stop > UINT32_MAX) {
        geo_source_error(s, number, "the block reaches beyond 255.255.255.255");
        return;
    }
    addr_from_bytes(&last, ADDR_V4, (uint8_t[4]){(uint8_t)(stop >> 24), (uint8_t)(stop >> 16), (uint8_t)(stop >> 8), (uint8_t)stop});
    geo_source_add_range(s, &first, &last, place);
}

static void rir_line(void *ctx, const char *line, size_t len, unsigned number)
{
    struct geo_source *s = ctx;
    struct fields f;
    struct geo_place place = {.region = "", .city = ""};
    if (!split(line, len, '|', &f)) {
        geo_source_error(s, number, "not a line of fields");
        return;
    }
    /* Version line (begins with a number), summary lines, AS numbers: nothing for us. */
    if ((f.at[0][0] >= '0' && f.at[0][0] <= '9') || f.count < 3 || strcmp(f.at[f.count - 1], "summary") == 0 ||
        strcmp(f.at[2], "asn") == 0)
        return;
    if (f.count < 7) {
        geo_source_error(s, number, "expected registry|cc|type|start|value|date|status");
        return;
    }
    if ((strcmp(f.at[6], "allocated") != 0 && strcmp(f.at[6], "assigned") != 0) || !*f.at[1] || strcmp(f.at[1], "ZZ") == 0)
        return;
    if (!code2(f.at[1], place.country)) {
        geo_source_error(s, number, "'%.20s' is no country code", f.at[1]);
        return;
    }
    if (strcmp(place.country, "EU") == 0 || strcmp(place.country, "AP") == 0) {
        /* Not countries: the registries' words for "somewhere in Europe", "somewhere in Asia". */
        memcpy(place.continent, place.country[0] == 'E' ? "EU" : "AS", 3);
        memset(place.country, 0, sizeof place.country);
    }
    uint32_t n = geo_source_place(s, &place);
    if (strcmp(f.at[2], "ipv4") == 0) {
        rir_v4(s, &f, number, n);
    } else if (strcmp(f.at[2], "ipv6") == 0) {
        char text[80];
        struct prefix p;
        snprintf(text, sizeof text, "%.45s/%.4s", f.at[3], f.at[4]);
        if (prefix_parse(text, &p) != PM_OK)
            geo_source_error(s, number, "'%.60s' is no IPv6 prefix", text);
        else
            geo_source_add(s, &p, n);
    } else {
        geo_source_error(s, number, "type '%.20s', expected ipv4, ipv6 or asn", f.at[2]);
    }
}

int geo_builder_rir_text(struct geo_builder *b, const char *name, const char *text, size_t len)
{
    struct geo_source s = geo_source_begin(b, name);
    each_line(text, len, rir_line, &s);
    return geo_source_end(&s);
}

/* ---- files ---- */

static int read_source(struct geo_builder *b, const char *path, struct buf *text)
{
    int err = file_read(path, GEO_FILE_MAX, text);
    if (err) {
        struct geo_source s = geo_source_begin(b, path);
        geo_source_error(&s, 0, "cannot read: %s", err_text(err));
        int ignored = geo_source_end(&s);
        (void)ignored;
    }
    return err;
}

int geo_builder_csv(struct geo_builder *b, const char *path, const struct geo_csv_options *o)
{
    struct buf text = BUF_INIT;
    int err = read_source(b, path, &text);
    if (!err)
        err = geo_builder_csv_text(b, path, buf_str(&text), text.len, o);
    buf_fini(&text);
    return err;
}

int geo_builder_rir(struct geo_builder *b, const char *path)
{
    struct buf text = BUF_INIT;
    int err = read_source(b, path, &text);
    if (!err)
        err = geo_builder_rir_text(b, path, buf_str(&text), text.len);
    buf_fini(&text);
    return err;
}
