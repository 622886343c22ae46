/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MaxMind DB. The search tree is walked once, whole; a data record is decoded once however many
 * networks share it.
 *
 * In an IPv6 tree IPv4 lives under ::/96, and other places of IPv4 in IPv6 (6to4, Teredo, mapped)
 * are usually links to the same node: following them would read all of IPv4 again as IPv6 networks
 * nobody asks for. Such a link is known by its node, and skipped.
 *
 * The file is copied into memory first: libmaxminddb maps it, and a file cut short under a mapping
 * kills the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <maxminddb.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "geo/source.h"

struct walk {
    struct geo_source *s;
    MMDB_s db;
    struct geo_memo seen; /* data offset -> place */
    uint64_t nodes_left;  /* each node is reached once, or a few times where a writer shares
                             subtrees: else loops */
    uint32_t v4_node;     /* where IPv4 starts in an IPv6 tree; 0 = no such node */
    bool v6;
    bool failed;
    uint8_t path[16];
};

/* A value of the entry, or false when it is not there or not of this type. Damage ends the walk. */
static bool get(struct walk *w, MMDB_entry_s *e, uint32_t type, MMDB_entry_data_s *out,
                const char *const *path)
{
    int err = MMDB_aget_value(e, out, path);
    if (err == MMDB_SUCCESS)
        return out->has_data && out->type == type;
    if (err != MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR &&
        err != MMDB_INVALID_LOOKUP_PATH_ERROR && !w->failed) {
        w->failed = true;
        geo_source_error(w->s, PM_EPARSE, 0, "damaged record at offset %u: %s", e->offset,
                         MMDB_strerror(err));
    }
    return false;
}
#define PATH(...) ((const char *const[]){__VA_ARGS__, NULL})

static bool get_text(struct walk *w, MMDB_entry_s *e, const char *const *path, char *out,
                     size_t size)
{
    MMDB_entry_data_s d;
    if (!get(w, e, MMDB_DATA_TYPE_UTF8_STRING, &d, path))
        return false;
    if (d.data_size == 0 || d.data_size >= size || !geo_text_ok(d.utf8_string, d.data_size))
        return false;
    memcpy(out, d.utf8_string, d.data_size);
    out[d.data_size] = 0;
    return true;
}

static bool get_country(struct walk *w, MMDB_entry_s *e, const char *const *path,
                        struct geo_place *g)
{
    char code[8];
    return get_text(w, e, path, code, sizeof code) && geo_set_country(g, code, strlen(code));
}

/* Numbers come as double, float or text, by writer. */
static bool get_degrees(struct walk *w, MMDB_entry_s *e, const char *const *path, double max,
                        float *out)
{
    MMDB_entry_data_s d;
    double v;
    if (get(w, e, MMDB_DATA_TYPE_DOUBLE, &d, path))
        v = d.double_value;
    else if (get(w, e, MMDB_DATA_TYPE_FLOAT, &d, path))
        v = (double)d.float_value;
    else
        return false;
    if (!isfinite(v) || fabs(v) > max)
        return false;
    *out = (float)v;
    return true;
}

static uint32_t get_asn(struct walk *w, MMDB_entry_s *e, const char *const *path)
{
    MMDB_entry_data_s d;
    char text[16];
    unsigned v;
    if (get(w, e, MMDB_DATA_TYPE_UINT32, &d, path))
        return d.uint32;
    if (get(w, e, MMDB_DATA_TYPE_UINT16, &d, path))
        return d.uint16;
    if (get_text(w, e, path, text, sizeof text) &&
        sscanf(text, strncmp(text, "AS", 2) == 0 ? "AS%10u" : "%10u", &v) == 1)
        return v;
    return 0;
}

static uint32_t decode(struct walk *w, MMDB_entry_s *e)
{
    struct geo_place g = {.asn = 0};
    char continent[8], region[GEO_TEXT_MAX + 1] = "", city[GEO_TEXT_MAX + 1] = "", sub[8];
    if (get_text(w, e, PATH("continent", "code"), continent, sizeof continent) ||
        get_text(w, e, PATH("continent_code"), continent, sizeof continent) ||
        get_text(w, e, PATH("continent"), continent, sizeof continent))
        geo_set_continent(
            &g, continent,
            strlen(continent)); /* a name instead of a code follows from the country */
    if (!get_country(w, e, PATH("country", "iso_code"), &g) &&
        !get_country(w, e, PATH("country_code"), &g) && !get_country(w, e, PATH("country"), &g))
        (void)get_country(w, e, PATH("registered_country", "iso_code"), &g);
    g.has_location = (get_degrees(w, e, PATH("location", "latitude"), 90, &g.lat) &&
                      get_degrees(w, e, PATH("location", "longitude"), 180, &g.lon)) ||
                     (get_degrees(w, e, PATH("latitude"), 90, &g.lat) &&
                      get_degrees(w, e, PATH("longitude"), 180, &g.lon));
    if (get_text(w, e, PATH("subdivisions", "0", "iso_code"), sub, sizeof sub) && g.country[0])
        snprintf(region, sizeof region, "%s-%s", g.country, sub);
    else if (!get_text(w, e, PATH("region"), region, sizeof region))
        region[0] = 0;
    if (!get_text(w, e, PATH("city", "names", "en"), city, sizeof city) &&
        !get_text(w, e, PATH("city"), city, sizeof city))
        city[0] = 0;
    g.asn = get_asn(w, e, PATH("autonomous_system_number"));
    if (!g.asn)
        g.asn = get_asn(w, e, PATH("asn"));
    g.region = region;
    g.city = city;
    return geo_places_put(w->s->places, &g);
}

static void add_network(struct walk *w, MMDB_entry_s *e, unsigned depth)
{
    uint32_t place = geo_memo_get(&w->seen, e->offset);
    struct addr a = {.family = w->v6 ? ADDR_V6 : ADDR_V4};
    struct prefix p;
    bool low = true; /* the first 96 bits, as far as known, are zero */
    if (place == GEO_MEMO_MISSING) {
        place = decode(w, e);
        geo_memo_put(&w->seen, e->offset, place);
    }
    if (place == GEO_PLACE_NONE || w->failed)
        return;
    for (unsigned i = 0; i < 12; i++)
        low = low && !w->path[i];
    memcpy(a.bytes, w->path, w->v6 ? 16 : 4);
    if (w->v6 && low) { /* also a wider network around ::/96 speaks for IPv4, as lookups there would
                           find it */
        struct addr v4 = {.family = ADDR_V4};
        memcpy(v4.bytes, w->path + 12, 4);
        prefix_make(&p, &v4, depth > 96 ? depth - 96 : 0);
        ranges_builder_add(w->s->ranges, &p, place);
        if (depth >= 96)
            return;
    }
    prefix_make(&p, &a, depth);
    ranges_builder_add(w->s->ranges, &p, place);
}

static void walk_node(struct walk *w, uint32_t node, unsigned depth);

static void walk_record(struct walk *w, uint64_t record, uint8_t type, MMDB_entry_s *e,
                        unsigned depth)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (w->failed)
        return;
    if (type == MMDB_RECORD_TYPE_INVALID) {
        w->failed = true;
        geo_source_error(w->s, PM_EPARSE, 0,
                         "damaged search tree: a record points outside the tree and data");
    } else if (w->v6 && depth >= 96 && memcmp(w->path, mapped, 12) == 0) {
        return; /* addresses of this form are folded to IPv4 before they are looked up */
    } else if (type == MMDB_RECORD_TYPE_DATA) {
        add_network(w, e, depth);
    } else if (type == MMDB_RECORD_TYPE_SEARCH_NODE) {
        bool start = depth == 96;
        for (unsigned i = 0; i < 12; i++)
            start = start && !w->path[i];
        if (w->v4_node && record == w->v4_node && !start)
            return;
        walk_node(w, (uint32_t)record, depth);
    }
}

static void walk_node(struct walk *w, uint32_t node, unsigned depth)
{
    MMDB_search_node_s n;
    if (depth >= (w->v6 ? 128u : 32u) || w->nodes_left == 0 ||
        MMDB_read_node(&w->db, node, &n) != MMDB_SUCCESS) {
        w->failed = true;
        geo_source_error(w->s, PM_EPARSE, 0, "damaged search tree: it has loops or is too deep");
        return;
    }
    w->nodes_left--;
    walk_record(w, n.left_record, n.left_record_type, &n.left_record_entry, depth + 1);
    w->path[depth / 8] |= (uint8_t)(0x80 >> (depth % 8));
    walk_record(w, n.right_record, n.right_record_type, &n.right_record_entry, depth + 1);
    w->path[depth / 8] &= (uint8_t) ~(0x80 >> (depth % 8));
}

/* The node under ::/96, or 0 when the tree ends before. */
static uint32_t find_v4_node(const MMDB_s *db)
{
    MMDB_search_node_s n;
    uint32_t node = 0;
    for (unsigned depth = 0; depth < 96; depth++) {
        if (MMDB_read_node(db, node, &n) != MMDB_SUCCESS ||
            n.left_record_type != MMDB_RECORD_TYPE_SEARCH_NODE)
            return 0;
        node = (uint32_t)n.left_record;
    }
    return node;
}

/* A private copy of the file that nobody can cut short; -1 with the error reported. */
static int copy_file(struct geo_source *s)
{
    char chunk[1 << 16];
    int in = open(s->path, O_RDONLY | O_CLOEXEC), err = 0;
    if (in < 0) {
        err = err_from_errno(errno);
        geo_source_error(s, err, 0, "%s", err_text(err));
        return -1;
    }
    int out = memfd_create("geo", MFD_CLOEXEC);
    ssize_t n = 1;
    while (out >= 0 && n > 0) {
        n = read(in, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0 || write(out, chunk, (size_t)n) != n)
            err = err_from_errno(errno), n = 0;
    }
    close(in);
    if (out < 0)
        err = PM_EIO;
    if (err) {
        geo_source_error(s, err, 0, "%s", err_text(err));
        if (out >= 0)
            close(out);
        return -1;
    }
    return out;
}

void geo_read_mmdb(struct geo_source *s)
{
    struct walk w = {.s = s};
    char path[40];
    int fd = copy_file(s);
    if (fd < 0)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int err = MMDB_open(path, MMDB_MODE_MMAP, &w.db);
    close(fd); /* the mapping holds it */
    if (err != MMDB_SUCCESS) {
        geo_source_error(s,
                         err == MMDB_FILE_OPEN_ERROR || err == MMDB_IO_ERROR ? PM_EIO : PM_EPARSE,
                         0, "not a MaxMind DB: %s", MMDB_strerror(err));
        return;
    }
    w.v6 = w.db.metadata.ip_version == 6;
    w.nodes_left = (uint64_t)w.db.metadata.node_count * 16;
    if (w.db.metadata.ip_version != 4 && !w.v6)
        geo_source_error(s, PM_EPARSE, 0, "not a MaxMind DB: IP version %u",
                         w.db.metadata.ip_version);
    else {
        w.v4_node = w.v6 ? find_v4_node(&w.db) : 0;
        walk_node(&w, 0, 0);
    }
    geo_memo_fini(&w.seen);
    MMDB_close(&w.db);
}
