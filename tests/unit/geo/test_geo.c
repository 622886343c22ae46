/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../cmocka_pm.h"
#include "base/buf.h"
#include "base/file.h"
#include "geo/build.h"

static struct buf reported;

static void report(void *ctx, const char *file, unsigned line, const char *message)
{
    buf_printf(&reported, "%s:%u: %s\n", file, line, message);
}

static const struct geo_place *place_of(const struct geo_db *db, const char *address)
{
    struct addr a;
    assert_int_equal(addr_parse(address, &a), 0);
    return geo_place_at(db, geo_find(db, &a).place);
}

static int csv(struct geo_builder *b, const char *text)
{
    return geo_builder_csv_text(b, "t.csv", text, strlen(text), NULL);
}

/* The patent's example: an address of APNIC's 211/8 is in the Pacific Rim. */
static void test_iana_1998(void **state)
{
    struct geo_builder *b = geo_builder_new(report, NULL);
    assert_int_equal(geo_builder_csv(b, TEST_DATA "/geo/iana-blocks-1998.csv", NULL), 0);
    struct geo_db *db = geo_builder_freeze(b);
    assert_string_equal(place_of(db, "211.123.11.20")->region, "pacific-rim");
    assert_string_equal(place_of(db, "64.0.0.1")->region, "north-america");
    assert_string_equal(place_of(db, "95.255.255.255")->region, "north-america");
    assert_string_equal(place_of(db, "96.0.0.0")->region, "");
    assert_string_equal(place_of(db, "201.1.1.1")->region, "central-south-america");
    geo_db_free(db);
}

static void test_merge_by_field(void **state)
{
    struct geo_builder *b = geo_builder_new(report, NULL);
    struct prefix p;
    assert_int_equal(csv(b, "prefix,country,city,lat,lon\n192.0.2.0/24,fr,\"Lyon, FR\",45.76,4.84\n2001:db8::/32,JP,,,\n"), 0);
    assert_int_equal(csv(b, "network,asn\n192.0.2.0/25,AS64500\n10.0.0.0/8,64501\n"), 0);
    assert_int_equal(prefix_parse("192.0.2.64/26", &p), 0);
    geo_builder_override(b, &p, &(struct geo_place){.country = "CH"});
    struct geo_db *db = geo_builder_freeze(b);
    const struct geo_place *lyon = place_of(db, "192.0.2.1");
    assert_string_equal(lyon->country, "FR");
    assert_string_equal(lyon->continent, "EU");
    assert_string_equal(lyon->city, "Lyon, FR");
    assert_int_equal(lyon->asn, 64500);
    assert_false(lyon->approximate);
    assert_true(fabs((double)lyon->lat - 45.76) < 0.001);
    const struct geo_place *swiss = place_of(db, "192.0.2.65"); /* the override's country does not keep Lyon's place */
    assert_string_equal(swiss->country, "CH");
    assert_string_equal(swiss->city, "");
    assert_int_equal(swiss->asn, 64500);
    assert_true(swiss->approximate);
    assert_int_equal(place_of(db, "192.0.2.200")->asn, 0);
    assert_string_equal(place_of(db, "2001:db8:5::1")->continent, "AS");
    assert_int_equal(place_of(db, "10.1.1.1")->asn, 64501);
    assert_string_equal(place_of(db, "10.1.1.1")->country, "");
    geo_db_free(db);
}

static void test_rir(void **state)
{
    static const char text[] = "2.3|ripencc|20261120|5|19830705|20261119|+0000\n"
                               "ripencc|*|ipv4|*|3|summary\n"
                               "ripencc|FR|ipv4|192.0.2.0|192|20000101|allocated\n"
                               "ripencc|EU|ipv4|198.51.100.0|256|20000101|assigned|x\n"
                               "ripencc||ipv4|203.0.113.0|256||available|\n"
                               "ripencc|FR|asn|64500|1|20000101|allocated\n"
                               "apnic|JP|ipv6|2001:db8::|32|20000101|allocated\n";
    struct geo_builder *b = geo_builder_new(report, NULL);
    assert_int_equal(geo_builder_rir_text(b, "rir", text, strlen(text)), 0);
    struct geo_db *db = geo_builder_freeze(b);
    assert_string_equal(place_of(db, "192.0.2.191")->country, "FR");
    assert_string_equal(place_of(db, "192.0.2.192")->country, "");
    assert_string_equal(place_of(db, "198.51.100.9")->continent, "EU");
    assert_string_equal(place_of(db, "203.0.113.1")->continent, "");
    assert_string_equal(place_of(db, "2001:db8::1")->country, "JP");
    geo_db_free(db);
}

/* A source with mistakes is refused whole, and says every one of them. */
static void test_bad_lines(void **state)
{
    struct geo_builder *b = geo_builder_new(report, NULL);
    buf_clear(&reported);
    assert_int_equal(csv(b, "prefix,country,lat,lon\n192.0.2.0/24,FR,,\n192.0.2.1/24,FR,,\n# note\n10.0.0.0/8,France,,\n"
                            "10.0.0.0/8,FR,91,0\n\"10.0.0.0/8,FR\n,FR,,\n"),
                     PM_EPARSE);
    for (const char *line = "35678"; *line; line++) {
        char want[16];
        snprintf(want, sizeof want, "t.csv:%c: ", *line);
        if (*line != '8' && !strstr(buf_str(&reported), want))
            fail_msg("no error at line %c in:\n%s", *line, buf_str(&reported));
    }
    assert_int_equal(csv(b, "start,end,country\n10.0.0.9,10.0.0.1,FR\n"), PM_EPARSE);
    assert_int_equal(geo_builder_csv(b, "/nonexistent/x.csv", NULL), PM_ENOTFOUND);
    assert_int_equal(geo_builder_mmdb(b, "/nonexistent/x.mmdb"), PM_ENOTFOUND);
    struct geo_db *db = geo_builder_freeze(b);
    assert_string_equal(place_of(db, "192.0.2.1")->country, "");
    assert_int_equal(geo_place_count(db), 1);
    geo_db_free(db);
}

static void test_distance(void **state)
{
    assert_true(fabs(geo_distance_km(48.8566, 2.3522, 51.5074, -0.1278) - 343.6) < 1);  /* Paris - London */
    assert_true(fabs(geo_distance_km(35.68, 139.69, -33.87, 151.21) - 7823) < 20);      /* Tokyo - Sydney */
    assert_true(fabs(geo_distance_km(0, 179.5, 0, -179.5) - 111.2) < 0.5);              /* over the date line */
    assert_true(fabs(geo_distance_km(90, 0, -90, 0) - 20015) < 1);
    assert_string_equal(geo_country_continent("NZ"), "OC");
    assert_string_equal(geo_country_continent("ZZ"), "");
    float lat, lon;
    assert_true(geo_country_centre("AU", &lat, &lon));
    assert_false(geo_country_centre("", &lat, &lon));
}

/* Tor's country tables are Debian's real data: a naive scan of the text must say the same. */
struct tor_line {
    uint32_t first, last;
    char country[3];
};

static void test_tor_geoip(void **state)
{
    static const char path[] = "/usr/share/tor/geoip";
    FILE *f = fopen(path, "r");
    if (!f)
        skip();
    struct tor_line *lines = NULL;
    size_t n = 0;
    char text[128];
    while (fgets(text, sizeof text, f)) {
        struct tor_line l;
        if (sscanf(text, "%u,%u,%2s", &l.first, &l.last, l.country) != 3)
            continue;
        if ((n & (n + 1)) == 0)
            lines = realloc(lines, (n + 1) * 2 * sizeof *lines);
        lines[n++] = l;
    }
    fclose(f);
    assert_true(n > 100000);
    struct geo_builder *b = geo_builder_new(report, NULL);
    buf_clear(&reported);
    if (geo_builder_csv(b, path, NULL) || geo_builder_csv(b, "/usr/share/tor/geoip6", NULL))
        fail_msg("%s", buf_str(&reported));
    struct geo_db *db = geo_builder_freeze(b);
    srand(1);
    for (unsigned i = 0; i < 10000; i++) {
        uint32_t ip = i % 2 ? lines[(size_t)rand() % n].first + (uint32_t)(i % 3) - 1 : (uint32_t)rand() << 1;
        const char *want = "";
        for (size_t k = 0; k < n; k++)
            if (lines[k].first <= ip && ip <= lines[k].last)
                want = lines[k].country;
        char address[32];
        snprintf(address, sizeof address, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
        if (strcmp(want, "??") == 0)
            want = "";
        if (strcmp(place_of(db, address)->country, want) != 0)
            fail_msg("%s: wanted %s, got %s", address, want, place_of(db, address)->country);
    }
    geo_db_free(db);
    free(lines);
}

/* MMDB files made by Debian's writer (tests/tools/geo-make-mmdb.pl), and damaged copies of them. */
static void test_mmdb(void **state)
{
    char dir[] = "/tmp/pm-geo-XXXXXX", command[512], path[64], bad[64];
    if (!mkdtemp(dir))
        fail();
    snprintf(command, sizeof command, "perl %s/../tools/geo-make-mmdb.pl %s 2>/dev/null", TEST_DATA, dir);
    if (system(command) != 0) {
        rmdir(dir);
        skip();
    }
    snprintf(path, sizeof path, "%s/city.mmdb", dir);
    struct geo_builder *b = geo_builder_new(report, NULL);
    buf_clear(&reported);
    if (geo_builder_mmdb(b, path))
        fail_msg("%s", buf_str(&reported));
    snprintf(bad, sizeof bad, "%s/asn.mmdb", dir);
    assert_int_equal(geo_builder_mmdb(b, bad), 0);
    struct geo_db *db = geo_builder_freeze(b);
    assert_string_equal(place_of(db, "192.0.2.77")->city, "Lyon");
    assert_string_equal(place_of(db, "192.0.2.77")->region, "FR-ARA");
    assert_int_equal(place_of(db, "192.0.2.77")->asn, 64500);
    assert_string_equal(place_of(db, "2001:db8:7::1")->country, "JP");
    assert_string_equal(place_of(db, "2002:c000:0201::1")->country, ""); /* 6to4 is an alias in the file, not data */
    geo_db_free(db);

    struct buf whole = BUF_INIT;
    assert_int_equal(file_read(path, 1 << 20, &whole), 0);
    snprintf(bad, sizeof bad, "%s/bad.mmdb", dir);
    srand(5);
    for (unsigned i = 0; i < 300; i++) {
        struct buf copy = BUF_INIT;
        buf_add(&copy, whole.data, i % 3 ? whole.len : (size_t)rand() % whole.len);
        for (unsigned k = 0; k < 1 + i % 8 && copy.len; k++)
            copy.data[(size_t)rand() % copy.len] = (char)rand();
        assert_int_equal(file_replace(bad, copy.data ? copy.data : "", copy.len, 0600), 0);
        b = geo_builder_new(NULL, NULL);
        int err = geo_builder_mmdb(b, bad); /* any code; no crash, no hang */
        (void)err;
        geo_builder_free(b);
        buf_fini(&copy);
    }
    buf_fini(&whole);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iana_1998), cmocka_unit_test(test_merge_by_field), cmocka_unit_test(test_rir),
        cmocka_unit_test(test_bad_lines), cmocka_unit_test(test_distance),       cmocka_unit_test(test_tor_geoip),
        cmocka_unit_test(test_mmdb),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&reported);
    return rc;
}
