/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/build.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "geo/db.h"
#include "geo/source.h"

struct override {
    struct prefix prefix;
    uint32_t place;
    size_t order;
};

struct geo_builder {
    struct geo_places places;
    struct ranges *ranges;      /* all sources so far, merged; values are numbers in places */
    struct override *overrides; /* since the last file */
    size_t override_count, override_cap;
    geo_report_fn report;
    void *arg;
};

static void unreported(void *arg, int err, const char *message)
{
}

struct geo_builder *geo_builder_new(geo_report_fn report, void *arg)
{
    struct geo_builder *b = mem_alloc(sizeof *b);
    geo_places_init(&b->places);
    b->ranges = ranges_freeze(ranges_builder_new(GEO_PLACE_NONE));
    b->report = report ? report : unreported;
    b->arg = arg;
    return b;
}

void geo_builder_free(struct geo_builder *b)
{
    if (!b)
        return;
    geo_places_fini(&b->places);
    ranges_free(b->ranges);
    free(b->overrides);
    free(b);
}

void geo_source_error(struct geo_source *s, int err, size_t line, const char *fmt, ...)
{
    struct buf m = BUF_INIT;
    va_list ap;
    if (!s->err)
        s->err = err;
    if (s->errors++ >= GEO_REPORT_MAX)
        return;
    buf_printf(&m, line ? "%s:%zu: " : "%s: ", s->path, line);
    va_start(ap, fmt);
    buf_vprintf(&m, fmt, ap);
    va_end(ap);
    s->report(s->arg, err, buf_str(&m));
    buf_fini(&m);
}

void geo_read_lines(struct geo_source *s, geo_line_fn fn, void *arg)
{
    struct buf text = BUF_INIT;
    int err = file_read(s->path, (size_t)1 << 31, &text);
    if (err) {
        geo_source_error(s, err, 0, "%s", err_text(err));
        buf_fini(&text);
        return;
    }
    char *p = text.data, *stop = p ? p + text.len : p;
    if (text.len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3; /* a byte order mark, as spreadsheets write */
    for (size_t line = 1; p < stop; line++) {
        char *end = memchr(p, '\n', (size_t)(stop - p)), *next = end ? end + 1 : stop;
        if (!end)
            end = stop; /* a buffer ends with a NUL that does not count */
        if (end > p && end[-1] == '\r')
            end--;
        *end = 0;
        if (memchr(p, 0, (size_t)(end - p)))
            geo_source_error(s, PM_EPARSE, line, "NUL byte: not a text file");
        else
            fn(s, line, p, arg);
        p = next;
    }
    buf_fini(&text);
}

bool geo_text_ok(const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + len;
    if (len > GEO_TEXT_MAX)
        return false;
    while (p < end) {
        /* RFC 3629: no overlong forms, surrogates, or code points past 10FFFF. */
        unsigned more = *p < 0x80   ? 0
                        : *p < 0xc2 ? 9
                        : *p < 0xe0 ? 1
                        : *p < 0xf0 ? 2
                        : *p < 0xf5 ? 3
                                    : 9;
        if (more == 9 || *p < 0x20 || *p == 0x7f || (size_t)(end - p) <= more)
            return false;
        if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
            (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
            return false;
        for (p++; more; more--, p++)
            if ((*p & 0xc0) != 0x80)
                return false;
    }
    return true;
}

bool geo_set_continent(struct geo_place *place, const char *text, size_t len)
{
    static const char codes[] = "AFANASEUNAOCSA";
    if (len == 0)
        return true;
    if (len != 2)
        return false;
    char c[2] = {(char)toupper((unsigned char)text[0]), (char)toupper((unsigned char)text[1])};
    for (const char *p = codes; *p; p += 2)
        if (p[0] == c[0] && p[1] == c[1]) {
            memcpy(place->continent, c, 2);
            return true;
        }
    return false;
}

bool geo_set_country(struct geo_place *place, const char *text, size_t len)
{
    if (len == 0 || (len == 1 && text[0] == '-') || (len == 2 && memcmp(text, "??", 2) == 0))
        return true;
    if (len != 2 || !isalpha((unsigned char)text[0]) || !isalnum((unsigned char)text[1]))
        return false;
    char c[3] = {(char)toupper((unsigned char)text[0]), (char)toupper((unsigned char)text[1]), 0};
    if (strcmp(c, "ZZ") == 0)
        return true;
    if (strcmp(c, "EU") == 0 || strcmp(c, "AP") == 0) {
        if (!place
                 ->continent[0]) /* an explicit continent is more exact than the registry's habit */
            memcpy(place->continent, c[0] == 'E' ? "EU" : "AS", 2);
        return true;
    }
    memcpy(place->country, c, 2);
    return true;
}

static struct geo_place merge(const struct geo_place *under, const struct geo_place *over)
{
    struct geo_place g = *under;
    if (over->country[0]) {
        if (g.country[0] && memcmp(g.country, over->country, 2) != 0) {
            memset(g.continent, 0, sizeof g.continent);
            g.has_location = false;
            g.region = g.city = "";
        }
        memcpy(g.country, over->country, sizeof g.country);
    }
    if (over->continent[0])
        memcpy(g.continent, over->continent, sizeof g.continent);
    if (over->has_location) {
        g.has_location = true;
        g.lat = over->lat;
        g.lon = over->lon;
    }
    if (over->asn)
        g.asn = over->asn;
    if (over->tag)
        g.tag = over->tag;
    if (*over->region)
        g.region = over->region;
    if (*over->city)
        g.city = over->city;
    return g;
}

struct merging {
    struct geo_places *places;
    struct geo_memo memo;
};

static uint32_t merge_numbers(void *arg, uint32_t under, uint32_t over)
{
    struct merging *m = arg;
    if (over == GEO_PLACE_NONE)
        return under;
    if (under == GEO_PLACE_NONE)
        return over;
    uint64_t key = (uint64_t)under << 32 | over;
    uint32_t place = geo_memo_get(&m->memo, key);
    if (place == GEO_MEMO_MISSING) {
        struct geo_place g = merge(&m->places->items[under], &m->places->items[over]);
        place = geo_places_put(m->places, &g);
        geo_memo_put(&m->memo, key, place);
    }
    return place;
}

static void lay_over(struct geo_places *places, struct ranges **under, struct ranges *over)
{
    struct merging m = {.places = places};
    struct ranges *merged = ranges_overlay(*under, over, merge_numbers, &m);
    geo_memo_fini(&m.memo);
    ranges_free(*under);
    ranges_free(over);
    *under = merged;
}

static int override_cmp(const void *x, const void *y)
{
    const struct override *a = x, *b = y;
    if (a->prefix.len != b->prefix.len)
        return a->prefix.len < b->prefix.len ? -1 : 1;
    int c = addr_cmp(&a->prefix.addr, &b->prefix.addr);
    if (c)
        return c;
    return a->order < b->order ? -1 : 1;
}

/* One layer per prefix length, the shortest first: so longer ones refine shorter ones field by
 * field. */
static void flush_overrides(struct geo_builder *b)
{
    struct merging m = {.places = &b->places};
    struct ranges *all;
    if (!b->override_count)
        return;
    qsort(b->overrides, b->override_count, sizeof *b->overrides, override_cmp);
    all = ranges_freeze(ranges_builder_new(GEO_PLACE_NONE));
    for (size_t i = 0; i < b->override_count;) {
        struct ranges_builder *layer = ranges_builder_new(GEO_PLACE_NONE);
        unsigned len = b->overrides[i].prefix.len;
        while (i < b->override_count && b->overrides[i].prefix.len == len) {
            const struct prefix *p = &b->overrides[i].prefix;
            uint32_t place = b->overrides[i].place;
            for (i++; i < b->override_count && prefix_eq(&b->overrides[i].prefix, p); i++)
                place = merge_numbers(&m, place, b->overrides[i].place);
            ranges_builder_add(layer, p, place);
        }
        lay_over(&b->places, &all, ranges_freeze(layer));
    }
    geo_memo_fini(&m.memo);
    b->override_count = 0;
    lay_over(&b->places, &b->ranges, all);
}

static struct geo_source source_open(struct geo_builder *b, const char *path)
{
    flush_overrides(b);
    return (struct geo_source){.path = path,
                               .places = &b->places,
                               .ranges = ranges_builder_new(GEO_PLACE_NONE),
                               .report = b->report,
                               .arg = b->arg};
}

static int source_close(struct geo_builder *b, struct geo_source *s)
{
    if (!s->err) {
        lay_over(&b->places, &b->ranges, ranges_freeze(s->ranges));
        return PM_OK;
    }
    ranges_builder_free(s->ranges);
    if (s->errors > GEO_REPORT_MAX) {
        struct buf m = BUF_INIT;
        buf_printf(&m, "%s: and %zu more errors", s->path, s->errors - GEO_REPORT_MAX);
        s->report(s->arg, s->err, buf_str(&m));
        buf_fini(&m);
    }
    return s->err;
}

int geo_builder_mmdb(struct geo_builder *b, const char *path)
{
    struct geo_source s = source_open(b, path);
    geo_read_mmdb(&s);
    return source_close(b, &s);
}

int geo_builder_csv(struct geo_builder *b, const char *path, const struct geo_csv_options *options)
{
    static const struct geo_csv_options defaults;
    struct geo_source s = source_open(b, path);
    geo_read_csv(&s, options ? options : &defaults);
    return source_close(b, &s);
}

int geo_builder_rir(struct geo_builder *b, const char *path)
{
    struct geo_source s = source_open(b, path);
    geo_read_rir(&s);
    return source_close(b, &s);
}

int geo_builder_override(struct geo_builder *b, const struct prefix *prefix,
                         const struct geo_place *place)
{
    struct geo_place g = *place;
    g.location_approximate = false;
    uint32_t number = geo_places_put(&b->places, &g);
    if (number == GEO_PLACE_NONE ||
        (prefix->addr.family != ADDR_V4 && prefix->addr.family != ADDR_V6))
        return PM_EINVAL;
    if (b->override_count == b->override_cap) {
        b->override_cap = b->override_cap ? b->override_cap * 2 : 16;
        b->overrides = mem_realloc(b->overrides, b->override_cap * sizeof *b->overrides);
    }
    b->overrides[b->override_count] = (struct override){*prefix, number, b->override_count};
    b->override_count++;
    return PM_OK;
}

/* Fills in what follows from the country. */
static void derive(struct geo_place *g)
{
    if (!g->country[0])
        return;
    if (!g->continent[0])
        memcpy(g->continent, geo_country_continent(g->country),
               strlen(geo_country_continent(g->country)));
    if (!g->has_location && geo_country_centre(g->country, &g->lat, &g->lon))
        g->has_location = g->location_approximate = true;
}

/* Renumbers the places that are still in use, with what follows from them filled in. */
static void use_places(const struct geo_builder *b, unsigned family, uint32_t *map,
                       struct geo_places *out)
{
    size_t n = ranges_count(b->ranges, family);
    for (size_t i = 0; i < n; i++) {
        uint32_t old = ranges_at(b->ranges, family, i, NULL);
        if (old == GEO_PLACE_NONE || map[old])
            continue;
        struct geo_place g = b->places.items[old];
        derive(&g);
        map[old] = geo_places_put(out, &g);
    }
}

struct geo_db *geo_builder_freeze(struct geo_builder *b)
{
    struct geo_db *db = mem_alloc(sizeof *db);
    struct geo_places used;
    flush_overrides(b);
    uint32_t *map = mem_alloc(b->places.count * sizeof *map);
    geo_places_init(&used);
    use_places(b, ADDR_V4, map, &used);
    use_places(b, ADDR_V6, map, &used);
    db->ranges = ranges_map(b->ranges, map, b->places.count);
    db->places = mem_realloc(used.items, used.count * sizeof *used.items);
    db->count = used.count;
    db->arena = used.arena;
    map_fini(&used.texts);
    free(used.slots);
    free(map);
    geo_builder_free(b);
    return db;
}

bool geo_sources_changed(const struct file_stamp *seen, const struct file_stamp *now, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool gone = !now[i].mtime_ns && !now[i].size && !now[i].inode;
        if (!gone && (seen[i].mtime_ns != now[i].mtime_ns || seen[i].size != now[i].size ||
                      seen[i].inode != now[i].inode))
            return true;
    }
    return false;
}
