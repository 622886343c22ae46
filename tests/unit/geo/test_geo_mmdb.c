/* SPDX-License-Identifier: Apache-2.0 */
/* MaxMind DBs written at test time by tests/tools/geo-make-mmdb.pl; skipped where its Perl module
 * is missing. */
#include <math.h>
#include "base/file.h"
#include "geo_test.h"

static char dir[] = "/tmp/geo-mmdb-XXXXXX";
static bool made;

static char *in_dir(const char *name)
{
    static char path[100];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int make_samples(void **state)
{
    char command[1000];
    if (!mkdtemp(dir))
        return -1;
    snprintf(command, sizeof command, "perl '%s/../tools/geo-make-mmdb.pl' %s 2>/dev/null",
             TEST_DATA, dir);
    made = system("perl -MMaxMind::DB::Writer::Tree -e 1 2>/dev/null") == 0;
    return made && system(command) != 0 ? -1 : 0;
}

static int drop_samples(void **state)
{
    unlink(in_dir("city.mmdb"));
    unlink(in_dir("asn.mmdb"));
    unlink(in_dir("flat.mmdb"));
    rmdir(dir);
    buf_fini(&reports);
    return 0;
}

static void test_city(void **state)
{
    if (!made)
        skip();
    struct geo_builder *b = builder();
    assert_int_equal(geo_builder_mmdb(b, in_dir("city.mmdb")), PM_OK);
    struct geo_db *db = geo_builder_freeze(b);
    const struct geo_place *g = place_of(db, "81.2.69.160");
    assert_string_equal(g->country, "FR");
    assert_string_equal(g->continent, "EU");
    assert_string_equal(g->region, "FR-IDF");
    assert_string_equal(g->city, "Paris");
    assert_true(g->has_location && !g->location_approximate);
    assert_true(fabsf(g->lat - 48.8566f) < 1e-4f && fabsf(g->lon - 2.3522f) < 1e-4f);
    assert_ptr_equal(g, place_of(db, "81.2.70.1")); /* one record, one place */
    assert_ptr_equal(g, place_of(db, "2a02:cf47:ffff::1"));
    assert_string_equal(place_of(db, "2a02:cf48::")->country, "");
    assert_int_equal(scope_of(db, "81.2.70.1"), 24);
    assert_string_equal(place_of(db, "81.2.1.1")->city, "");
    assert_true(place_of(db, "81.2.1.1")->location_approximate);
    assert_string_equal(place_of(db, "89.160.20.120")->country, "SE"); /* registered_country */
    assert_int_equal(scope_of(db, "89.160.20.120"), 28);
    assert_string_equal(place_of(db, "2001:218:1::")->country, "JP");
    /* Links to IPv4 are not IPv6 data. */
    assert_int_equal(
        geo_find(db, &(struct addr){.family = ADDR_V6, .bytes = {0x20, 0x02, 81, 2, 69, 160}})
            .place,
        GEO_PLACE_NONE);
    assert_string_equal(place_of(db, "2001:0:5102:45a0::")->country, "");
    assert_int_equal(ranges_count(geo_db_ranges(db), ADDR_V6), 5);
    assert_int_equal(geo_place_count(db), 5);
    geo_db_free(db);
}

static void test_city_and_asn(void **state)
{
    if (!made)
        skip();
    struct geo_builder *b = builder();
    assert_int_equal(geo_builder_mmdb(b, in_dir("city.mmdb")), PM_OK);
    assert_int_equal(geo_builder_mmdb(b, in_dir("asn.mmdb")), PM_OK);
    struct geo_db *db = geo_builder_freeze(b);
    assert_string_equal(place_of(db, "81.2.69.160")->city, "Paris");
    assert_int_equal(place_of(db, "81.2.69.160")->asn, 64501);
    assert_int_equal(scope_of(db, "81.2.69.160"), 25);
    assert_int_equal(place_of(db, "81.2.69.1")->asn, 64500);
    assert_string_equal(place_of(db, "81.3.0.0")->country, "");
    assert_int_equal(place_of(db, "81.3.0.0")->asn, 64500);
    assert_string_equal(place_of(db, "2001:218::1")->country, "JP");
    assert_int_equal(place_of(db, "2001:218::1")->asn, 2500); /* inside 2001:200::/23 */
    assert_int_equal(place_of(db, "2001:200::1")->asn, 2500);
    geo_db_free(db);
}

static void test_flat(void **state)
{
    if (!made)
        skip();
    struct geo_builder *b = builder();
    assert_int_equal(geo_builder_mmdb(b, in_dir("flat.mmdb")), PM_OK);
    struct geo_db *db = geo_builder_freeze(b);
    assert_string_equal(place_of(db, "1.0.0.1")->country, "AU");
    assert_string_equal(place_of(db, "1.0.0.1")->continent, "OC");
    assert_int_equal(place_of(db, "1.0.0.1")->asn, 13335);
    assert_string_equal(place_of(db, "200.0.0.1")->city, "Boston");
    assert_int_equal(place_of(db, "200.0.0.1")->asn, 7);
    assert_int_equal(scope_of(db, "200.0.0.1"), 1);
    assert_string_equal(place_of(db, "2001:db8::")->country, "");
    geo_db_free(db);
}

/* Returns the result; a refused source must have said why and left nothing. */
static int load_bytes(const char *data, size_t len)
{
    char *path = temp_file(data, len);
    struct geo_builder *b = builder();
    int err = geo_builder_mmdb(b, path);
    assert_int_equal(err == PM_OK, report_count == 0);
    struct geo_db *db = geo_builder_freeze(b);
    if (err)
        assert_int_equal(geo_place_count(db), 1);
    geo_db_free(db);
    drop_file(path);
    return err;
}

static void test_truncated(void **state)
{
    struct buf whole = BUF_INIT;
    if (!made)
        skip();
    assert_int_equal(file_read(in_dir("city.mmdb"), 1 << 20, &whole), PM_OK);
    for (size_t len = 0; len + 100 < whole.len; len += 7)
        assert_int_not_equal(load_bytes(whole.data, len), PM_OK);
    assert_int_equal(load_bytes(whole.data, whole.len), PM_OK);
    buf_fini(&whole);
}

static void test_corrupt(void **state)
{
    struct buf whole = BUF_INIT;
    unsigned refused = 0;
    if (!made)
        skip();
    assert_int_equal(file_read(in_dir("city.mmdb"), 1 << 20, &whole), PM_OK);
    for (size_t at = 0; at < whole.len; at++) {
        char keep = whole.data[at];
        whole.data[at] = (char)(keep ^ (1 << at % 8));
        refused += load_bytes(whole.data, whole.len) != PM_OK;
        whole.data[at] = (char)0xff;
        refused += load_bytes(whole.data, whole.len) != PM_OK;
        whole.data[at] = keep;
    }
    assert_true(refused > whole.len / 20); /* the rest are other, valid databases */
    buf_fini(&whole);
}

/* Every node links to the second and the third: a tree without end, not a hang. */
static void test_loops(void **state)
{
    struct buf whole = BUF_INIT;
    if (!made)
        skip();
    assert_int_equal(file_read(in_dir("city.mmdb"), 1 << 20, &whole), PM_OK);
    for (size_t i = 0; i < 100; i++)
        memcpy(whole.data + 6 * i, "\0\0\1\0\0\2", 6);
    assert_int_equal(load_bytes(whole.data, whole.len), PM_EPARSE);
    assert_reported("loops");
    buf_fini(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_city),    cmocka_unit_test(test_city_and_asn),
        cmocka_unit_test(test_flat),    cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_corrupt), cmocka_unit_test(test_loops),
    };
    return cmocka_run_group_tests(tests, make_samples, drop_samples);
}
