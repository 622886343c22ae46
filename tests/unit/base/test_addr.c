/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, endpoints and prefixes: text both ways, socket addresses, and what must be refused. */
#include "../cmocka_pm.h"

#include <netinet/in.h>
#include <string.h>
#include "base/addr.h"

static void expect_addr(const char *text, const char *canonical, unsigned family)
{
    struct addr a;
    char out[ADDR_TEXT];
    assert_int_equal(addr_parse(text, &a), PM_OK);
    assert_int_equal(a.family, family);
    assert_string_equal(addr_format(&a, out), canonical);
}

static void addresses_are_written_as_rfc5952(void **state)
{
    expect_addr("192.0.2.1", "192.0.2.1", ADDR_V4);
    expect_addr("2001:DB8:0:0:0:0:0:1", "2001:db8::1", ADDR_V6);
    expect_addr("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", ADDR_V6);
    expect_addr("2001:0:0:1:0:0:0:1", "2001:0:0:1::1", ADDR_V6);
    expect_addr("::", "::", ADDR_V6);
    expect_addr("::ffff:192.0.2.1", "192.0.2.1", ADDR_V4);
    expect_addr("::ffff:c000:201", "192.0.2.1", ADDR_V4);
    expect_addr("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ADDR_V6);
}

static void wrong_addresses_are_refused(void **state)
{
    static const char *const bad[] = {"",      "1.2.3",   "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", " 1.2.3.4", "01.2.3.4x",
                                      ":::",   "1::2::3", "fe80::1%lo", "[::1]",    "12345::", "a.b.c.d",  "1:2:3:4:5:6:7"};
    struct addr a;
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++)
        if (addr_parse(bad[i], &a) != PM_EPARSE)
            fail_msg("accepted \"%s\"", bad[i]);
}

static void order_is_total_and_families_apart(void **state)
{
    static const char *const sorted[] = {"0.0.0.0", "10.0.0.1", "10.0.0.2", "255.255.255.255", "::", "a00:1::", "ffff::"};
    struct addr a, b;
    for (size_t i = 0; i < PM_ARRAY_LEN(sorted); i++) {
        for (size_t k = 0; k < PM_ARRAY_LEN(sorted); k++) {
            assert_int_equal(addr_parse(sorted[i], &a), PM_OK);
            assert_int_equal(addr_parse(sorted[k], &b), PM_OK);
            int c = addr_cmp(&a, &b);
            assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
            assert_int_equal(addr_eq(&a, &b), i == k);
        }
    }
}

static void expect_endpoint(const char *text, uint16_t port, const char *canonical)
{
    struct endpoint e;
    char out[ENDPOINT_TEXT];
    if (endpoint_parse(text, port, &e) != PM_OK)
        fail_msg("refused \"%s\"", text);
    assert_string_equal(endpoint_format(&e, out), canonical);
}

static void endpoints_both_ways(void **state)
{
    expect_endpoint("192.0.2.1:53", 0, "192.0.2.1:53");
    expect_endpoint("192.0.2.1", 53, "192.0.2.1:53");
    expect_endpoint("[2001:db8::1]:65535", 0, "[2001:db8::1]:65535");
    expect_endpoint("[2001:db8::1]", 53, "[2001:db8::1]:53");
    expect_endpoint("2001:db8::1", 53, "[2001:db8::1]:53"); /* no brackets: all of it is the address */
    expect_endpoint("[::ffff:192.0.2.1]:53", 0, "192.0.2.1:53");
}

static void wrong_endpoints_are_refused(void **state)
{
    static const char *const bad[] = {"",          ":53",       "1.2.3.4:",     "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1",
                                      "1.2.3.4:5x", "[::1",     "[::1]53",      "[]:53",         "::1]:53",    "[::1]:",
                                      "1.2.3.4: 5", "localhost", "1.2.3.4:99999999999999999999"};
    struct endpoint e;
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++)
        if (endpoint_parse(bad[i], 53, &e) != PM_EPARSE)
            fail_msg("accepted \"%s\"", bad[i]);
    assert_int_equal(endpoint_parse("1.2.3.4", 0, &e), PM_EPARSE);
    assert_int_equal(endpoint_parse("::1", 0, &e), PM_EPARSE);
}

static void socket_addresses_round_trip(void **state)
{
    static const char *const texts[] = {"192.0.2.1:53", "[2001:db8::1]:5353"};
    for (size_t i = 0; i < PM_ARRAY_LEN(texts); i++) {
        struct endpoint e, back;
        struct sockaddr_storage ss;
        char out[ENDPOINT_TEXT];
        assert_int_equal(endpoint_parse(texts[i], 0, &e), PM_OK);
        assert_int_equal(endpoint_to_sockaddr(&e, &ss), i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, &back), PM_OK);
        assert_string_equal(endpoint_format(&back, out), texts[i]);
    }
    struct sockaddr local = {.sa_family = AF_UNIX};
    struct endpoint e;
    assert_int_equal(endpoint_from_sockaddr(&local, &e), PM_EINVAL);
}

static void expect_prefix(const char *text, int err, const char *canonical)
{
    struct prefix p;
    char out[PREFIX_TEXT];
    int got = prefix_parse(text, &p);
    if (got != err)
        fail_msg("\"%s\": %d, not %d", text, got, err);
    if (!err)
        assert_string_equal(prefix_format(&p, out), canonical);
}

static void prefixes_both_ways(void **state)
{
    expect_prefix("192.0.2.0/24", PM_OK, "192.0.2.0/24");
    expect_prefix("0.0.0.0/0", PM_OK, "0.0.0.0/0");
    expect_prefix("::/0", PM_OK, "::/0");
    expect_prefix("192.0.2.1", PM_OK, "192.0.2.1/32");
    expect_prefix("2001:db8::1", PM_OK, "2001:db8::1/128");
    expect_prefix("2001:db8:8000::/33", PM_OK, "2001:db8:8000::/33");
    expect_prefix("::ffff:192.0.2.0/120", PM_OK, "192.0.2.0/24");
    expect_prefix("::ffff:0.0.0.0/96", PM_OK, "0.0.0.0/0");
    expect_prefix("192.0.2.1/24", PM_EINVAL, NULL);
    expect_prefix("2001:db8:8000::/32", PM_EINVAL, NULL);
    expect_prefix("::ffff:0.0.0.0/95", PM_EPARSE, NULL);
    expect_prefix("192.0.2.0/33", PM_EPARSE, NULL);
    expect_prefix("::/129", PM_EPARSE, NULL);
    expect_prefix("192.0.2.0/", PM_EPARSE, NULL);
    expect_prefix("192.0.2.0/-1", PM_EPARSE, NULL);
    expect_prefix("192.0.2.0/24/", PM_EPARSE, NULL);
    expect_prefix("/24", PM_EPARSE, NULL);
    expect_prefix("192.0.2.0/18446744073709551640", PM_EPARSE, NULL);
}

/* Every length of both families: the first and last address are inside, a flip of the last network bit is outside. */
static void containment_at_every_length(void **state)
{
    static const char *const texts[] = {"170.85.170.85", "aa55:aa55:aa55:aa55:aa55:aa55:aa55:aa55"};
    for (size_t f = 0; f < 2; f++) {
        struct addr a, other;
        assert_int_equal(addr_parse(texts[f], &a), PM_OK);
        assert_int_equal(addr_parse(texts[!f], &other), PM_OK);
        for (unsigned len = 0; len <= addr_bits(&a); len++) {
            struct prefix p;
            prefix_make(&p, &a, len);
            struct addr last = p.addr, flipped = a;
            for (unsigned bit = 0; bit < addr_bits(&a); bit++) {
                if (bit >= len) {
                    assert_int_equal(p.addr.bytes[bit / 8] & (0x80 >> bit % 8), 0);
                    last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
                }
            }
            assert_true(prefix_contains(&p, &a));
            assert_true(prefix_contains(&p, &p.addr));
            assert_true(prefix_contains(&p, &last));
            assert_false(prefix_contains(&p, &other));
            if (len) {
                flipped.bytes[(len - 1) / 8] ^= (uint8_t)(0x80 >> (len - 1) % 8);
                assert_false(prefix_contains(&p, &flipped));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_written_as_rfc5952),  cmocka_unit_test(wrong_addresses_are_refused),
        cmocka_unit_test(order_is_total_and_families_apart), cmocka_unit_test(endpoints_both_ways),
        cmocka_unit_test(wrong_endpoints_are_refused),       cmocka_unit_test(socket_addresses_round_trip),
        cmocka_unit_test(prefixes_both_ways),                cmocka_unit_test(containment_at_every_length),
    };
    return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
