/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include "dns/name.h"
#include "dns/types.h"

static void test_text(void **state)
{
    static const struct {
        const char *text, *back; /* back NULL: refused */
    } cases[] = {
        {"www.example.com.", "www.example.com."},
        {"www", "www.org."},
        {"@", "org."},
        {".", "."},
        {"a\\.b", "a\\.b.org."},
        {"a\\032b.", "a\\032b."},
        {"\\255.", "\\255."},
        {"MiXed.", "MiXed."},
        {"a\\;b.", "a\\;b."},
        {"", NULL},
        {"a..b", NULL},
        {".a", NULL},
        {"a\\25.", NULL},
        {"a\\256.", NULL},
        {"a\\", NULL},
    };
    uint8_t wire[DNS_NAME_MAX];
    char text[DNS_NAME_TEXT];
    (void)state;
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        int n = dns_name_parse(cases[i].text, (const uint8_t *)"\3org", wire);
        if (!cases[i].back) {
            assert_true(n < 0);
            continue;
        }
        assert_int_equal(n, dns_name_length(wire, DNS_NAME_MAX));
        assert_string_equal(dns_name_format(wire, text), cases[i].back);
    }
}

static void test_limits(void **state)
{
    char text[600] = "";
    uint8_t wire[DNS_NAME_MAX];
    (void)state;
    memset(text, 'a', 63);
    assert_int_equal(dns_name_parse(text, NULL, wire), 65);
    memset(text, 'a', 64);
    assert_int_equal(dns_name_parse(text, NULL, wire), PM_ETOOBIG);
    /* 126 labels of one byte, then 127: 253 and 255 bytes; 128 are 257. */
    for (int labels = 126; labels <= 128; labels++) {
        text[0] = 0;
        for (int i = 0; i < labels; i++)
            strcat(text, "a.");
        assert_int_equal(dns_name_parse(text, NULL, wire),
                         labels <= 127 ? 2 * labels + 1 : PM_ETOOBIG);
    }
}

static void test_unpack(void **state)
{
    static const uint8_t msg[] = "\1a\3org\0\2bb\xc0\2\xc0\x0d\xc0\x07";
    /* offsets: 0 a.org, 7 bb->2 (org), 12: pointer to 13 (forward) */
    uint8_t out[DNS_NAME_MAX];
    char text[DNS_NAME_TEXT];
    size_t at = 7;
    (void)state;
    assert_int_equal(dns_name_unpack(msg, sizeof msg - 1, &at, out), 8);
    assert_string_equal(dns_name_format(out, text), "bb.org.");
    assert_int_equal(at, 12);
    assert_int_equal(dns_name_unpack(msg, sizeof msg - 1, &at, out), PM_EPROTO);
    static const uint8_t self[] = "\xc0\0";
    at = 0;
    assert_int_equal(dns_name_unpack(self, 2, &at, out), PM_EPROTO);
    for (size_t len = 0; len < 7; len++) {
        at = 0;
        assert_int_equal(dns_name_unpack(msg, len, &at, out), PM_ESHORT);
    }
}

static void test_compare(void **state)
{
    struct dns_name a, b;
    uint64_t ha[DNS_LABELS_MAX + 1], hb[DNS_LABELS_MAX + 1];
    uint8_t wire[DNS_NAME_MAX];
    (void)state;
    assert_true(dns_name_eq((const uint8_t *)"\1A\3oRg", (const uint8_t *)"\1a\3ORG"));
    assert_false(dns_name_eq((const uint8_t *)"\1a\3org", (const uint8_t *)"\1b\3org"));
    assert_true(dns_name_within((const uint8_t *)"\1a\3org", (const uint8_t *)"\3ORG"));
    assert_true(dns_name_within((const uint8_t *)"\3org", (const uint8_t *)""));
    assert_false(dns_name_within((const uint8_t *)"\4aorg", (const uint8_t *)"\3org"));
    /* Only A-Z change, in every position of a word. */
    assert_true(dns_name_parse("@[`{AZaz\\128\\193\\218.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.x.",
                               NULL, wire) > 0);
    dns_name_set(&a, wire);
    for (unsigned i = 0; i < a.len; i++)
        assert_int_equal(a.wire[i], wire[i] >= 'A' && wire[i] <= 'Z' ? wire[i] + 32 : wire[i]);
    /* A suffix has the same hash wherever it stands. */
    dns_name_set(&b, (const uint8_t *)"\11different\1X");
    dns_name_hashes(&a, 7, ha);
    dns_name_hashes(&b, 7, hb);
    assert_int_equal(a.labels, 3);
    assert_true(ha[2] == hb[1] && ha[3] == 7 && ha[1] != hb[0]);
}

static void test_types(void **state)
{
    char text[DNS_TYPE_TEXT];
    uint16_t n;
    (void)state;
    assert_string_equal(dns_type_name(28, text), "AAAA");
    assert_string_equal(dns_type_name(65400, text), "TYPE65400");
    assert_int_equal(dns_type_parse("https", &n), 0);
    assert_int_equal(n, 65);
    assert_int_equal(dns_type_parse("type65400", &n), 0);
    assert_int_equal(n, 65400);
    assert_int_equal(dns_type_parse("TYPE65536", &n), PM_EPARSE);
    assert_int_equal(dns_type_parse("TYPE", &n), PM_EPARSE);
    assert_int_equal(dns_class_parse("CLASS3", &n), 0);
    assert_string_equal(dns_class_name(3, text), "CH");
    assert_string_equal(dns_rcode_name(3, text), "NXDOMAIN");
    assert_string_equal(dns_rcode_name(23, text), "RCODE23");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),   cmocka_unit_test(test_limits),
        cmocka_unit_test(test_unpack), cmocka_unit_test(test_compare),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
