/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "geo_test.h"

static void test_distance(void **state)
{
    /* Paris - London, Paris - Sydney; a quarter and half of a great circle; across the date line.
     */
    assert_true(fabs(geo_distance_km(48.8566, 2.3522, 51.5074, -0.1278) - 343.56) < 0.5);
    assert_true(fabs(geo_distance_km(48.8566, 2.3522, -33.8688, 151.2093) - 16960) < 20);
    assert_true(fabs(geo_distance_km(0, 0, 90, 0) - 10007.557) < 0.01);
    assert_true(fabs(geo_distance_km(0, 0, 0, 180) - 20015.115) < 0.01);
    assert_true(fabs(geo_distance_km(10, 20, -10, -160) - 20015.115) < 0.01);
    assert_true(fabs(geo_distance_km(0, 179.5, 0, -179.5) - 111.195) < 0.01);
    assert_true(geo_distance_km(12.5, 7, 12.5, 7) == 0);
}

static void test_countries(void **state)
{
    unsigned known = 0;
    float lat, lon;
    assert_string_equal(geo_country_continent("FR"), "EU");
    assert_string_equal(geo_country_continent("AD"), "EU"); /* first and last of the table */
    assert_string_equal(geo_country_continent("ZW"), "AF");
    assert_string_equal(geo_country_continent("NA"), "AF");
    assert_string_equal(geo_country_continent("EU"), "");
    assert_string_equal(geo_country_continent(""), "");
    assert_false(geo_country_centre("XX", &lat, &lon));
    for (char a = 'A'; a <= 'Z'; a++)
        for (char b = 'A'; b <= 'Z'; b++) {
            const char code[3] = {a, b, 0};
            if (!geo_country_centre(code, &lat, &lon))
                continue;
            known++;
            assert_true(fabsf(lat) <= 90 && fabsf(lon) <= 180);
            assert_int_equal(strlen(geo_country_continent(code)), 2);
        }
    assert_int_equal(known, 250); /* 249 of ISO 3166-1, and XK */
}

static void test_csv_header(void **state)
{
    struct geo_builder *b = builder();
    assert_int_equal(
        add_csv(b,
                "\xef\xbb\xbf# comment\r\n"
                "Network, country,city,region,lat,lon,asn,note\r\n"
                "192.0.2.0/24,fr,\"Saint-Denis, \"\"nord\"\"\",FR-IDF,48.9,2.35,AS64500,x\r\n"
                "\r\n"
                "192.0.2.128/25,,,,,,64501,\r\n"
                "198.51.100.7,NZ,,,,,,\r\n"
                "203.0.113.3-203.0.113.8,ZZ,,APNIC,,,,\r\n"
                "2001:db8::/32,EU,Z\xc3\xbcrich,,,,,\n"
                "::ffff:10.0.0.0/104,DE,,,,,,",
                NULL),
        PM_OK);
    struct geo_db *db = geo_builder_freeze(b);
    const struct geo_place *g = place_of(db, "192.0.2.9");
    assert_string_equal(g->country, "FR");
    assert_string_equal(g->continent, "EU");
    assert_string_equal(g->city, "Saint-Denis, \"nord\"");
    assert_string_equal(g->region, "FR-IDF");
    assert_true(g->has_location && !g->location_approximate);
    assert_true(fabsf(g->lat - 48.9f) < 1e-4f && fabsf(g->lon - 2.35f) < 1e-4f);
    assert_int_equal(g->asn, 64500);
    /* Inside one source the longest prefix stands for itself. */
    g = place_of(db, "192.0.2.129");
    assert_int_equal(g->asn, 64501);
    assert_string_equal(g->country, "");
    assert_false(g->has_location);
    assert_int_equal(scope_of(db, "192.0.2.129"), 25);
    g = place_of(db, "198.51.100.7");
    assert_true(g->has_location && g->location_approximate);
    assert_string_equal(g->continent, "OC");
    assert_int_equal(scope_of(db, "198.51.100.7"), 32);
    assert_string_equal(place_of(db, "203.0.113.8")->region, "APNIC");
    assert_string_equal(place_of(db, "203.0.113.9")->region, "");
    assert_string_equal(place_of(db, "2001:db8::1")->continent, "EU");
    assert_string_equal(place_of(db, "2001:db8::1")->country, "");
    assert_string_equal(place_of(db, "2001:db8::1")->city, "Z\xc3\xbcrich");
    assert_string_equal(place_of(db, "10.255.0.1")->country, "DE");
    struct addr none = {.family = 0};
    assert_int_equal(geo_find(db, &none).place, GEO_PLACE_NONE);
    assert_string_equal(geo_place_at(db, 4000000000u)->country, "");
    assert_int_equal(geo_place_count(db), 7);
    geo_db_free(db);
}

static void test_csv_columns(void **state)
{
    struct geo_builder *b = builder();
    const struct geo_csv_options tabs = {.columns = "start,end,asn,country,-"};
    assert_int_equal(add_csv(b, "1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUD\tmore\n", &tabs), PM_OK);
    const struct geo_csv_options semicolon = {.columns = "prefix,continent", .separator = ';'};
    assert_int_equal(add_csv(b, "2.0.0.0/8;eu\n", &semicolon), PM_OK);
    /* 2001:db8::/32 in decimal */
    assert_int_equal(
        add_csv(
            b, "42540766411282592856903984951653826560,42540766490510755371168322545197776895,SE\n",
            NULL),
        PM_OK);
    assert_int_equal(add_csv(b, "3.0.0.0/8,BR\n", NULL), PM_OK);
    struct geo_db *db = geo_builder_freeze(b);
    assert_int_equal(place_of(db, "1.0.0.9")->asn, 13335);
    assert_string_equal(place_of(db, "2.9.9.9")->continent, "EU");
    assert_string_equal(place_of(db, "2001:db8:ffff::")->country, "SE");
    assert_string_equal(place_of(db, "2001:db9::")->country, "");
    assert_string_equal(place_of(db, "3.9.9.9")->country, "BR");
    geo_db_free(db);
}

static void test_iana_blocks(void **state)
{
    struct geo_builder *b = builder();
    assert_int_equal(geo_builder_csv(b, TEST_DATA "/geo/iana-blocks-1998.csv", NULL), PM_OK);
    struct geo_db *db = geo_builder_freeze(b);
    assert_string_equal(place_of(db, "211.123.11.20")->region, "pacific-rim");
    assert_string_equal(place_of(db, "63.0.0.1")->region, "europe");
    assert_string_equal(place_of(db, "64.0.0.0")->region, "north-america");
    assert_string_equal(place_of(db, "95.255.255.255")->region, "north-america");
    assert_string_equal(place_of(db, "96.0.0.0")->region, "");
    assert_int_equal(scope_of(db, "70.1.2.3"), 3); /* 64-95 is one range: 64.0.0.0/3 */
    assert_int_equal(scope_of(db, "211.123.11.20"), 8);
    geo_db_free(db);
}

static void test_csv_errors(void **state)
{
    static const struct {
        const char *text, *report;
    } bad[] = {
        {"prefix,country\n1.2.3.0/24,FR\n1.2.3.4/24,FR\n", ":3: \"1.2.3.4/24\" is not a prefix"},
        {"prefix,country\n# c\n\n1.2.3.0/24,FRA\n", ":4: \"FRA\" is not a country"},
        {"prefix,country\n1.2.3.0/33,FR\n", ":2: \"1.2.3.0/33\""},
        {"prefix,country\n63,FR\n", ":2: \"63\""},
        {"prefix,country\n95-64/8,FR\n", ":2: \"95-64/8\""},
        {"prefix,country\n1.2.3.0/24\n", ":2: 1 fields where there are 2"},
        {"prefix,country\n1.2.3.0/24,FR,x\n", ":2: 3 fields where there are 2"},
        {"prefix,country\n1.2.3.0/24,\"FR\n", ":2: a quote is not closed"},
        {"prefix,lat,lon\n1.2.3.0/24,91,0\n", ":2: \"91\" is not a latitude"},
        {"prefix,lat,lon\n1.2.3.0/24,nan,0\n", ":2: \"nan\" is not a latitude"},
        {"prefix,lat,lon\n1.2.3.0/24,1,\n", ":2: \"1\" is not a location"},
        {"prefix,asn\n1.2.3.0/24,4294967296\n", ":2: \"4294967296\" is not a number of an AS"},
        {"prefix,continent\n1.2.3.0/24,XX\n", ":2: \"XX\" is not a continent"},
        {"prefix,city\n1.2.3.0/24,\xff\n", ":2: \"this\" is not a city"},
        {"prefix,lat\n1.2.3.0/24,1\n", ":1: latitude and longitude need each other"},
        {"prefix,network\n1.2.3.0/24,1\n", ":1: two columns"},
        {"country,city\nFR,Paris\nFR,Lyon\n", ":1: no column is named prefix"},
        {"what is this\n", ":1: no column is named prefix"},
        {"start,end,country\n2.0.0.0,1.0.0.0,FR\n", ":2: \"2.0.0.0\" to \"1.0.0.0\""},
        {"start,end,country\n2.0.0.0,2001:db8::,FR\n", ":2: \"2.0.0.0\" to"},
        {"start,end,country\n340282366920938463463374607431768211455,"
         "340282366920938463463374607431768211456,FR\n",
         ":2: "},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++) {
        struct geo_builder *b = builder();
        assert_int_equal(add_csv(b, bad[i].text, NULL), PM_EPARSE);
        assert_reported(bad[i].report);
        assert_int_equal(report_count, 1);
        struct geo_db *db =
            geo_builder_freeze(b); /* the good lines of a bad source are refused too */
        assert_int_equal(geo_place_count(db), 1);
        geo_db_free(db);
    }
}

static void test_errors_are_capped(void **state)
{
    struct geo_builder *b = builder();
    struct buf text = BUF_INIT;
    buf_puts(&text, "prefix,country\n");
    for (int i = 0; i < 100; i++)
        buf_puts(&text, "bad,FR\n");
    assert_int_equal(add_csv(b, "4.0.0.0/8,US\n", NULL), PM_OK);
    assert_int_equal(add_csv(b, buf_str(&text), NULL), PM_EPARSE);
    assert_int_equal(report_count, GEO_REPORT_MAX + 1);
    assert_reported("and 80 more errors");
    struct geo_db *db = geo_builder_freeze(b);
    assert_string_equal(place_of(db, "4.1.1.1")->country, "US"); /* the earlier source stays */
    geo_db_free(db);
    buf_fini(&text);
}

static void test_missing_file(void **state)
{
    struct geo_builder *b = builder();
    assert_int_equal(geo_builder_csv(b, "/nonexistent/x.csv", NULL), PM_ENOTFOUND);
    assert_reported("/nonexistent/x.csv: not found");
    assert_int_equal(geo_builder_rir(b, "/nonexistent/x.rir"), PM_ENOTFOUND);
    assert_int_equal(geo_builder_mmdb(b, "/nonexistent/x.mmdb"), PM_ENOTFOUND);
    assert_reported("/nonexistent/x.mmdb: not found");
    assert_int_equal(geo_builder_mmdb(b, "/tmp"), PM_EIO);
    geo_builder_free(b);
    geo_builder_free(NULL);
}

static void test_rir(void **state)
{
    struct geo_builder *b = builder();
    assert_int_equal(geo_builder_rir(b, TEST_DATA "/geo/delegated-sample"), PM_OK);
    struct geo_db *db = geo_builder_freeze(b);
    assert_string_equal(place_of(db, "2.15.255.255")->country, "FR");
    assert_string_equal(place_of(db, "2.16.0.0")->country, "");
    assert_string_equal(place_of(db, "192.0.4.255")->country, "DE"); /* 768 = /23 + /24 */
    assert_string_equal(place_of(db, "192.0.5.0")->country, "");
    assert_string_equal(place_of(db, "193.0.7.255")->country, "");
    assert_string_equal(place_of(db, "193.0.7.255")->continent, "EU");
    assert_string_equal(place_of(db, "202.0.0.1")->continent, "AS");
    assert_string_equal(place_of(db, "203.0.112.1")->continent, "");
    assert_string_equal(place_of(db, "203.0.113.1")->country, "");
    assert_string_equal(place_of(db, "255.255.255.1")->country, "");
    assert_string_equal(place_of(db, "2001:db8:7fff::")->country, "SE");
    assert_string_equal(place_of(db, "2001:db8:8000::")->country, "NO");
    assert_int_equal(scope_of(db, "2001:db8:8000::"), 33);
    assert_string_equal(place_of(db, "2001:dc0::")->country, "");
    geo_db_free(db);
}

static void test_rir_errors(void **state)
{
    struct geo_builder *b = builder();
    assert_int_equal(add_rir(b, "2|x|1|1|1|1|+0\n"
                                "x|FR|ipv4|1.0.0|256|20000101|allocated\n"
                                "x|FR|ipv4|255.255.255.0|257|20000101|allocated\n"
                                "x|FR|ipv4|1.0.0.0|0|20000101|allocated\n"
                                "x|FR|ipv6|2001:db8::|129|20000101|allocated\n"
                                "x|FR|ipv6|2001:db8::|16|20000101|allocated\n"
                                "x|FR|ipx|1|2|20000101|allocated\n"
                                "x|F|ipv4|1.0.0.0|256|20000101|allocated\n"
                                "garbage\n"
                                "x|FR|ipv4|1.0.0.0|18446744073709551617|20000101|allocated\n"),
                     PM_EPARSE);
    for (int line = 2; line <= 10; line++) {
        char at[8];
        snprintf(at, sizeof at, ":%d: ", line);
        assert_reported(at);
    }
    assert_int_equal(report_count, 9);
    geo_builder_free(b);
}

static void override(struct geo_builder *b, const char *prefix, struct geo_place g)
{
    struct prefix p;
    assert_int_equal(prefix_parse(prefix, &p), PM_OK);
    assert_int_equal(geo_builder_override(b, &p, &g), PM_OK);
}

static void test_merge_field_by_field(void **state)
{
    struct geo_builder *b = builder();
    assert_int_equal(
        add_csv(b,
                "prefix,country,city,lat,lon,region\n10.0.0.0/8,FR,Paris,48.8,2.3,pacific-rim\n"
                "10.128.0.0/16,US,,,,\n",
                NULL),
        PM_OK);
    assert_int_equal(
        add_csv(b, "prefix,asn\n10.0.0.0/24,64500\n10.64.0.0/10,64501\n0.0.0.0/0,64502\n", NULL),
        PM_OK);
    assert_int_equal(add_csv(b, "prefix,country\n10.1.0.0/16,FR\n10.2.0.0/16,DE\n", NULL), PM_OK);
    struct geo_db *db = geo_builder_freeze(b);
    const struct geo_place *g = place_of(db, "10.0.0.1");
    assert_int_equal(g->asn, 64500);
    assert_string_equal(g->city, "Paris");
    assert_int_equal(scope_of(db, "10.0.0.1"), 24);
    g = place_of(db, "10.64.0.1");
    assert_int_equal(g->asn, 64501);
    assert_string_equal(g->city, "Paris");
    assert_int_equal(scope_of(db, "10.64.0.1"), 10);
    g = place_of(db, "10.1.0.1"); /* the same country again takes nothing away */
    assert_string_equal(g->city, "Paris");
    assert_int_equal(g->asn, 64502);
    g = place_of(db, "10.2.0.1"); /* another country does */
    assert_string_equal(g->country, "DE");
    assert_string_equal(g->city, "");
    assert_string_equal(g->region, "");
    assert_true(g->location_approximate);
    assert_int_equal(g->asn, 64502);
    assert_string_equal(place_of(db, "10.128.0.1")->country, "US");
    assert_int_equal(place_of(db, "10.128.0.1")->asn, 64502);
    assert_int_equal(place_of(db, "11.0.0.0")->asn, 64502);
    geo_db_free(db);
}

static void test_overrides(void **state)
{
    struct geo_builder *b = builder();
    struct prefix p;
    struct geo_place nothing = {.asn = 0};
    override(b, "10.0.0.0/8", (struct geo_place){.asn = 1});
    assert_int_equal(add_csv(b, "10.0.0.0/8,FR\n2001:db8::/32,FR\n", NULL), PM_OK);
    override(b, "10.1.2.0/24", (struct geo_place){.city = "Here"});
    override(b, "10.1.0.0/16",
             (struct geo_place){.country = "BE", .asn = 2}); /* wider, and later */
    override(b, "10.1.0.0/16", (struct geo_place){.asn = 3});
    override(
        b, "2001:db8:1::/48",
        (struct geo_place){.has_location = true, .location_approximate = true, .lat = 1, .lon = 2});
    assert_int_equal(prefix_parse("10.0.0.0/8", &p), PM_OK);
    assert_int_equal(geo_builder_override(b, &p, &nothing), PM_EINVAL);
    struct geo_db *db = geo_builder_freeze(b);
    assert_int_equal(place_of(db, "10.9.9.9")->asn, 1);
    assert_string_equal(place_of(db, "10.9.9.9")->country, "FR");
    const struct geo_place *g = place_of(db, "10.1.2.3");
    assert_string_equal(g->city, "Here");
    assert_string_equal(g->country, "BE");
    assert_int_equal(g->asn, 3);
    assert_string_equal(place_of(db, "10.1.3.3")->city, "");
    g = place_of(db, "2001:db8:1::1");
    assert_string_equal(g->country, "FR");
    assert_true(g->has_location && !g->location_approximate && g->lon == 2);
    assert_true(geo_db_memory(db) > 0);
    geo_db_free(db);
}

static void test_no_sources(void **state)
{
    struct geo_db *db = geo_builder_freeze(geo_builder_new(NULL, NULL));
    assert_int_equal(geo_place_count(db), 1);
    assert_int_equal(scope_of(db, "192.0.2.1"), 0);
    assert_string_equal(place_of(db, "::1")->country, "");
    geo_db_free(db);
    geo_db_free(NULL);
}

/* What the text says, found by searching it line by line. */
struct tor_range {
    struct addr first, last;
    char country[3];
};

static size_t tor_read(const char *path, unsigned family, struct tor_range *out, size_t max)
{
    char line[200], first[64], last[64], country[3];
    size_t n = 0;
    FILE *f = fopen(path, "r");
    while (f && n < max && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%63[^,#],%63[^,],%2s", first, last, country) != 3)
            continue;
        if (family == ADDR_V6) {
            out[n].first = addr(first);
            out[n].last = addr(last);
        } else {
            uint32_t a = __builtin_bswap32((uint32_t)strtoul(first, NULL, 10));
            uint32_t b = __builtin_bswap32((uint32_t)strtoul(last, NULL, 10));
            addr_from_bytes(&out[n].first, ADDR_V4, (const uint8_t *)&a);
            addr_from_bytes(&out[n].last, ADDR_V4, (const uint8_t *)&b);
        }
        bool none =
            strcmp(country, "??") == 0 || strcmp(country, "EU") == 0 || strcmp(country, "AP") == 0;
        snprintf(out[n++].country, 3, "%s", none ? "" : country);
    }
    if (f)
        fclose(f);
    return n;
}

static int compare_addrs(const void *a, const void *b)
{
    return addr_cmp(a, b);
}

/* Random addresses, the edges of ranges, and what is next to them; sorted. */
static void tor_probes(const struct tor_range *r, size_t n, unsigned family, struct addr *out,
                       size_t count)
{
    srandom(7);
    for (size_t i = 0; i < count; i++) {
        struct addr a = {.family = (uint8_t)family};
        for (unsigned k = 0; k < addr_len(&a); k++)
            a.bytes[k] = (uint8_t)(random() >> 8);
        if (i % 2) {
            const struct tor_range *at = &r[(size_t)random() % n];
            a = i % 4 == 1 ? at->first : at->last;
            if (i % 8 > 3)
                a.bytes[addr_len(&a) - 1] ^= 1;
        }
        out[i] = a;
    }
    qsort(out, count, sizeof *out, compare_addrs);
}

static void tor_compare(const char *path, unsigned family)
{
    enum { MAX = 500000, PROBES = 10000 };
    static struct addr probes[PROBES];
    struct tor_range *r = calloc(MAX, sizeof *r);
    size_t n = tor_read(path, family, r, MAX), known = 0;
    if (n == 0) {
        free(r);
        skip();
    }
    struct geo_builder *b = builder();
    assert_int_equal(geo_builder_csv(b, path, NULL), PM_OK);
    struct geo_db *db = geo_builder_freeze(b);
    for (size_t k = 1; k < n; k++) /* so that one pass over the file finds all */
        assert_true(addr_cmp(&r[k - 1].last, &r[k].first) < 0);
    tor_probes(r, n, family, probes, PROBES);
    for (size_t i = 0, k = 0; i < PROBES; i++) {
        while (k < n && addr_cmp(&r[k].last, &probes[i]) < 0)
            k++;
        const char *want = k < n && addr_cmp(&r[k].first, &probes[i]) <= 0 ? r[k].country : "";
        known += *want != 0;
        assert_string_equal(geo_place_at(db, geo_find(db, &probes[i]).place)->country, want);
    }
    assert_true(known > PROBES / 3);
    geo_db_free(db);
    free(r);
}

static void test_tor_v4(void **state)
{
    tor_compare("/usr/share/tor/geoip", ADDR_V4);
}

static void test_tor_v6(void **state)
{
    tor_compare("/usr/share/tor/geoip6", ADDR_V6);
}

static void test_sources_changed(void **state)
{
    struct file_stamp seen[2] = {{1, 2, 3}, {4, 5, 6}}, now[2] = {{1, 2, 3}, {4, 5, 6}};
    assert_false(geo_sources_changed(seen, now, 2));
    now[1].inode = 7;
    assert_true(geo_sources_changed(seen, now, 2));
    assert_false(geo_sources_changed(seen, now, 1));
    now[1] = (struct file_stamp){0, 0, 0};
    assert_false(geo_sources_changed(seen, now, 2));
    seen[1] = (struct file_stamp){0, 0, 0};
    now[1] = (struct file_stamp){1, 0, 1}; /* came to be */
    assert_true(geo_sources_changed(seen, now, 2));
}

static int finish(void **state)
{
    buf_fini(&reports);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_countries),
        cmocka_unit_test(test_csv_header),
        cmocka_unit_test(test_csv_columns),
        cmocka_unit_test(test_iana_blocks),
        cmocka_unit_test(test_csv_errors),
        cmocka_unit_test(test_errors_are_capped),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_rir),
        cmocka_unit_test(test_rir_errors),
        cmocka_unit_test(test_merge_field_by_field),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_no_sources),
        cmocka_unit_test(test_tor_v4),
        cmocka_unit_test(test_tor_v6),
        cmocka_unit_test(test_sources_changed),
    };
    return cmocka_run_group_tests(tests, NULL, finish);
}
