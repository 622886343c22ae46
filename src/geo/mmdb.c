/* SPDX-License-Identifier: Apache-2.0 */
/* MaxMind DB files: the whole search tree is walked once, so that lookups and scopes are those of geo/ranges.h. */
#include <maxminddb.h>
#include <stdlib.h>
#include <string.h>
#include "base/map.h"
#include "base/arena.h"
#include "geo/source.h"

struct walk {
    struct geo_source *source;
    MMDB_s *db;
    struct map places; /* offset in the data section -> place + 1 */
    struct arena *keys;
    uint64_t visits_left; /* a broken tree may loop */
    uint32_t v4_root;
    bool skip_v4; /* while walking IPv6: aliases of the IPv4 tree (::ffff:0:0/96, 2002::/16 ...) */
    unsigned family;
    uint8_t bytes[16];
};

static const char *text_at(MMDB_entry_s *e, char *out, size_t size, const char *const *path)
{
    MMDB_entry_data_s d;
    out[0] = 0;
    if (MMDB_aget_value(e, &d, path) != MMDB_SUCCESS || !d.has_data || d.type != MMDB_DATA_TYPE_UTF8_STRING)
        return NULL;
    size_t n = d.data_size < size - 1 ? d.data_size : size - 1;
    memcpy(out, d.utf8_string, n);
    out[n] = 0;
    return out;
}

static bool double_at(MMDB_entry_s *e, float *out, const char *const *path)
{
    MMDB_entry_data_s d;
    if (MMDB_aget_value(e, &d, path) != MMDB_SUCCESS || !d.has_data)
        return false;
    if (d.type == MMDB_DATA_TYPE_DOUBLE)
        *out = (float)d.double_value;
    else if (d.type == MMDB_DATA_TYPE_FLOAT)
        *out = d.float_value;
    else
        return false;
    return true;
}

static uint32_t asn_at(MMDB_entry_s *e)
{
    static const char *const number[] = {"autonomous_system_number", NULL}, *const word[] = {"asn", NULL};
    MMDB_entry_data_s d;
    char text[32];
    if (MMDB_aget_value(e, &d, number) == MMDB_SUCCESS && d.has_data && d.type == MMDB_DATA_TYPE_UINT32)
        return d.uint32;
    if (MMDB_aget_value(e, &d, word) == MMDB_SUCCESS && d.has_data && d.type == MMDB_DATA_TYPE_UINT32)
        return d.uint32;
    if (text_at(e, text, sizeof text, word))
        return (uint32_t)strtoul(text + (strncasecmp(text, "AS", 2) == 0 ? 2 : 0), NULL, 10);
    return 0;
}

/* The first of the paths that gives a two-letter code. */
static void code_at(MMDB_entry_s *e, char out[3], const char *const *const *paths)
{
    char text[8];
    for (; *paths; paths++) {
        if (text_at(e, text, sizeof text, *paths) && strlen(text) == 2) {
            memcpy(out, text, 3);
            return;
        }
    }
}

static uint32_t read_place(struct walk *w, MMDB_entry_s *e)
{
    static const char *const country[] = {"country", "iso_code", NULL}, *const reg_country[] = {"registered_country", "iso_code", NULL},
                      *const flat_code[] = {"country_code", NULL}, *const flat[] = {"country", NULL};
    static const char *const *const countries[] = {country, reg_country, flat_code, flat, NULL};
    static const char *const continent[] = {"continent", "code", NULL}, *const flat_cont[] = {"continent_code", NULL},
                      *const flat_continent[] = {"continent", NULL};
    static const char *const *const continents[] = {continent, flat_cont, flat_continent, NULL};
    static const char *const lat[] = {"location", "latitude", NULL}, *const lon[] = {"location", "longitude", NULL},
                      *const subdivision[] = {"subdivisions", "0", "iso_code", NULL}, *const city[] = {"city", "names", "en", NULL};
    char division[16], region[24] = "", city_name[128];
    struct geo_place p = {.region = "", .city = ""};
    uint32_t key = e->offset;
    uintptr_t known = (uintptr_t)map_get(&w->places, &key, sizeof key);
    if (known)
        return (uint32_t)known - 1;
    code_at(e, p.country, countries);
    code_at(e, p.continent, continents);
    p.has_location = double_at(e, &p.lat, lat) && double_at(e, &p.lon, lon) && p.lat >= -90 && p.lat <= 90 &&
                     p.lon >= -180 && p.lon <= 180;
    p.asn = asn_at(e);
    if (text_at(e, division, sizeof division, subdivision) && *p.country) {
        snprintf(region, sizeof region, "%s-%s", p.country, division);
        p.region = region;
    }
    if (text_at(e, city_name, sizeof city_name, city))
        p.city = city_name;
    uint32_t n = geo_source_place(w->source, &p);
    map_put(&w->places, memcpy(arena_bytes(w->keys, sizeof key), &key, sizeof key), sizeof key, (void *)((uintptr_t)n + 1));
    return n;
}

static bool walk_node(struct walk *w, uint32_t node, unsigned depth);

static bool walk_record(struct walk *w, uint8_t type, uint64_t record, MMDB_entry_s *entry, unsigned depth)
{
    struct prefix p;
    struct addr a = {.family = (uint8_t)w->family};
    switch (type) {
    case MMDB_RECORD_TYPE_EMPTY:
        return true;
    case MMDB_RECORD_TYPE_SEARCH_NODE:
        return (w->skip_v4 && record == w->v4_root) || walk_node(w, (uint32_t)record, depth);
    case MMDB_RECORD_TYPE_DATA:
        memcpy(a.bytes, w->bytes, sizeof a.bytes);
        prefix_make(&p, &a, depth);
        geo_source_add(w->source, &p, read_place(w, entry));
        return true;
    default:
        return false;
    }
}

static bool walk_node(struct walk *w, uint32_t node, unsigned depth)
{
    MMDB_search_node_s n;
    if (depth >= (w->family == ADDR_V4 ? 32u : 128u) || w->visits_left-- == 0)
        return false;
    if (MMDB_read_node(w->db, node, &n) != MMDB_SUCCESS)
        return false;
    if (!walk_record(w, n.left_record_type, n.left_record, &n.left_record_entry, depth + 1))
        return false;
    w->bytes[depth / 8] |= (uint8_t)(0x80 >> depth % 8);
    bool ok = walk_record(w, n.right_record_type, n.right_record, &n.right_record_entry, depth + 1);
    w->bytes[depth / 8] &= (uint8_t)~(0x80 >> depth % 8);
    return ok;
}

static bool walk_tree(struct walk *w)
{
    const MMDB_s *db = w->db;
    w->visits_left = 2ull * db->metadata.node_count + 1024;
    if (db->metadata.ip_version == 4) {
        w->family = ADDR_V4;
        return walk_node(w, 0, 0);
    }
    w->v4_root = db->ipv4_start_node.node_value;
    w->family = ADDR_V4;
    if (db->ipv4_start_node.netmask == 96 && w->v4_root < db->metadata.node_count && !walk_node(w, w->v4_root, 0))
        return false;
    memset(w->bytes, 0, sizeof w->bytes);
    w->family = ADDR_V6;
    w->skip_v4 = db->ipv4_start_node.netmask == 96;
    return walk_node(w, 0, 0);
}

int geo_builder_mmdb(struct geo_builder *b, const char *path)
{
    struct geo_source s = geo_source_begin(b, path);
    MMDB_s db;
    int rc = MMDB_open(path, MMDB_MODE_MMAP, &db);
    if (rc != MMDB_SUCCESS) {
        geo_source_error(&s, 0, "cannot open: %s", MMDB_strerror(rc));
        int ignored = geo_source_end(&s);
        (void)ignored;
        return rc == MMDB_FILE_OPEN_ERROR ? PM_ENOTFOUND : PM_EPARSE;
    }
    struct walk w = {.source = &s, .db = &db, .places = MAP_INIT, .keys = arena_new()};
    if (!walk_tree(&w))
        geo_source_error(&s, 0, "the search tree is broken");
    map_fini(&w.places);
    arena_free(w.keys);
    MMDB_close(&db);
    return geo_source_end(&s);
}
