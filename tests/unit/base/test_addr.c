/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include "base/addr.h"

static struct addr addr_of(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(text, &a), PM_OK);
    return a;
}

static struct prefix prefix_of(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), PM_OK);
    return p;
}

static void test_addresses_as_text(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"::1", "::1"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:0201", "192.0.2.1"},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
    };
    char text[ADDR_TEXT];
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct addr a = addr_of(cases[i].in);
        assert_string_equal(addr_format(&a, text), cases[i].out);
        struct addr again = addr_of(text);
        assert_memory_equal(&a, &again, sizeof a);
    }
    struct addr none = {0};
    assert_string_equal(addr_format(&none, text), "none");
}

static void test_no_addresses(void **state)
{
    static const char *const cases[] = {
        "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.-4", "0x7f.0.0.1",
        "127.1", ":", ":::", "1::2::3", "12345::", "g::", "fe80::1%eth0", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7",
        "[::1]", "::ffff:1.2.3", "localhost", "1.2.3.4/32", "1.2.3.4:53",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff:1111",
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct addr a = addr_of("192.0.2.9"), before = a;
        assert_int_equal(addr_parse(cases[i], &a), PM_EPARSE);
        assert_memory_equal(&a, &before, sizeof a);
    }
}

static void test_order(void **state)
{
    static const char *const sorted[] = {"0.0.0.0", "9.255.255.255", "10.0.0.0", "255.255.255.255",
                                         "::",      "::1",           "1::",      "ff02::1"};
    for (size_t i = 0; i < PM_ARRAY_LEN(sorted); i++) {
        for (size_t j = 0; j < PM_ARRAY_LEN(sorted); j++) {
            struct addr a = addr_of(sorted[i]), b = addr_of(sorted[j]);
            int cmp = addr_cmp(&a, &b);
            assert_int_equal((cmp > 0) - (cmp < 0), (i > j) - (i < j));
            assert_int_equal(addr_eq(&a, &b), i == j);
        }
    }
    /* The same bytes in the other family are another address. */
    struct addr v4 = addr_of("32.1.13.184"), v6 = addr_of("2001:db8::");
    assert_false(addr_eq(&v4, &v6));
}

static void test_endpoints_as_text(void **state)
{
    static const struct {
        const char *in;
        uint16_t default_port;
        const char *out; /* NULL = PM_EPARSE */
    } cases[] = {
        {"192.0.2.1:53", 0, "192.0.2.1:53"},
        {"192.0.2.1", 53, "192.0.2.1:53"},
        {"192.0.2.1:0", 53, "192.0.2.1:0"},
        {"192.0.2.1:65535", 53, "192.0.2.1:65535"},
        {"[2001:db8::1]:53", 0, "[2001:db8::1]:53"},
        {"[2001:db8::1]", 80, "[2001:db8::1]:80"},
        {"2001:db8::1", 80, "[2001:db8::1]:80"},
        {"2001:db8::1:53", 80, "[2001:db8::1:53]:80"},
        {"[::ffff:192.0.2.1]:53", 0, "192.0.2.1:53"},
        {"192.0.2.1", 0, NULL},
        {"[::1]", 0, NULL},
        {"2001:db8::1:53", 0, NULL},
        {"192.0.2.1:", 53, NULL},
        {"192.0.2.1:65536", 53, NULL},
        {"192.0.2.1:99999999999999999999", 53, NULL},
        {"192.0.2.1:-1", 53, NULL},
        {"192.0.2.1:+1", 53, NULL},
        {"192.0.2.1: 1", 53, NULL},
        {"192.0.2.1:53x", 53, NULL},
        {"192.0.2.1:dns", 53, NULL},
        {"[::1]:", 53, NULL},
        {"[::1]53", 53, NULL},
        {"[::1", 53, NULL},
        {"::1]:53", 53, NULL},
        {"[]:53", 53, NULL},
        {"[[::1]]:53", 53, NULL},
        {"[192.0.2.1]:53", 53, NULL},
        {":53", 53, NULL},
        {"", 53, NULL},
        {"*:53", 53, NULL},
        {"example.com:53", 53, NULL},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct endpoint e;
        char text[ENDPOINT_TEXT];
        int err = endpoint_parse(cases[i].in, cases[i].default_port, &e);
        if ((err == PM_OK) != (cases[i].out != NULL))
            fail_msg("%s: %s", cases[i].in, err_text(err));
        if (cases[i].out)
            assert_string_equal(endpoint_format(&e, text), cases[i].out);
        else
            assert_int_equal(err, PM_EPARSE);
    }
}

static void test_the_longest_texts_fit(void **state)
{
    struct endpoint e = {addr_of("ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888"), 65535};
    struct prefix p = {e.addr, 128};
    char text[ENDPOINT_TEXT], ptext[PREFIX_TEXT];
    assert_string_equal(endpoint_format(&e, text), "[ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888]:65535");
    assert_string_equal(prefix_format(&p, ptext), "ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888/128");
}

static void test_sockaddr_round_trip(void **state)
{
    static const char *const cases[] = {"192.0.2.1:53", "[2001:db8::1]:65535", "[::]:1"};
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct endpoint e, back;
        struct sockaddr_storage sa;
        assert_int_equal(endpoint_parse(cases[i], 0, &e), PM_OK);
        socklen_t len = endpoint_to_sockaddr(&e, &sa);
        assert_int_equal(len, e.addr.family == ADDR_V4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sa, &back), PM_OK);
        assert_true(addr_eq(&e.addr, &back.addr));
        assert_int_equal(e.port, back.port);
    }
    /* What a dual-stack socket reports for an IPv4 peer. */
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &mapped.sin6_addr), 1);
    struct endpoint e;
    struct addr want = addr_of("192.0.2.7");
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&mapped, &e), PM_OK);
    assert_true(addr_eq(&e.addr, &want));
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&local, &e), PM_EINVAL);
}

static void test_prefixes_as_text(void **state)
{
    static const struct {
        const char *in;
        int err;
        const char *out;
    } cases[] = {
        {"192.0.2.0/24", PM_OK, "192.0.2.0/24"},
        {"0.0.0.0/0", PM_OK, "0.0.0.0/0"},
        {"192.0.2.1", PM_OK, "192.0.2.1/32"},
        {"192.0.2.1/32", PM_OK, "192.0.2.1/32"},
        {"192.0.2.128/25", PM_OK, "192.0.2.128/25"},
        {"::/0", PM_OK, "::/0"},
        {"2001:db8::/33", PM_OK, "2001:db8::/33"},
        {"2001:db8::1", PM_OK, "2001:db8::1/128"},
        {"::ffff:192.0.2.0/120", PM_OK, "192.0.2.0/24"},
        {"::ffff:192.0.2.1", PM_OK, "192.0.2.1/32"},
        {"::ffff:0:0/96", PM_OK, "0.0.0.0/0"},
        {"192.0.2.1/24", PM_EINVAL, NULL},
        {"10.0.0.0/7", PM_OK, "10.0.0.0/7"},
        {"11.0.0.0/7", PM_EINVAL, NULL},
        {"::1/0", PM_EINVAL, NULL},
        {"2001:db8::1/127", PM_EINVAL, NULL},
        {"::ffff:192.0.2.0/24", PM_EPARSE, NULL},
        {"192.0.2.0/33", PM_EPARSE, NULL},
        {"::/129", PM_EPARSE, NULL},
        {"192.0.2.0/4294967320", PM_EPARSE, NULL},
        {"192.0.2.0/99999999999999999999999", PM_EPARSE, NULL},
        {"192.0.2.0/-1", PM_EPARSE, NULL},
        {"192.0.2.0/+24", PM_EPARSE, NULL},
        {"192.0.2.0/ 24", PM_EPARSE, NULL},
        {"192.0.2.0/24 ", PM_EPARSE, NULL},
        {"192.0.2.0/24/24", PM_EPARSE, NULL},
        {"192.0.2.0/", PM_EPARSE, NULL},
        {"192.0.2/24", PM_EPARSE, NULL},
        {"/24", PM_EPARSE, NULL},
        {"/", PM_EPARSE, NULL},
        {"", PM_EPARSE, NULL},
        {"192.0.2.0/255.255.255.0", PM_EPARSE, NULL},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct prefix p;
        char text[PREFIX_TEXT];
        int err = prefix_parse(cases[i].in, &p);
        if (err != cases[i].err)
            fail_msg("%s: %s", cases[i].in, err_text(err));
        if (cases[i].out)
            assert_string_equal(prefix_format(&p, text), cases[i].out);
    }
}

/* Bit by bit: slow and plainly right. */
static bool contains_by_bits(const struct addr *net, unsigned len, const struct addr *a)
{
    for (unsigned i = 0; i < len; i++)
        if ((net->bytes[i / 8] ^ a->bytes[i / 8]) & (0x80u >> (i % 8)))
            return false;
    return true;
}

static void test_every_length_holds_what_it_should(void **state)
{
    static const char *const nets[] = {"255.255.255.255", "170.85.170.85", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                       "2001:db8:aaaa:5555:aaaa:5555:aaaa:5555"};
    for (size_t n = 0; n < PM_ARRAY_LEN(nets); n++) {
        struct addr net = addr_of(nets[n]);
        for (unsigned len = 0; len <= addr_bits(&net); len++) {
            struct prefix p;
            prefix_make(&p, &net, len);
            assert_int_equal(p.len, len);
            assert_true(prefix_contains(&p, &net));
            for (unsigned bit = 0; bit < addr_bits(&net); bit++) {
                struct addr a = net;
                a.bytes[bit / 8] ^= (uint8_t)(0x80u >> (bit % 8));
                assert_int_equal(prefix_contains(&p, &a), contains_by_bits(&net, len, &a));
                assert_int_equal(p.addr.bytes[bit / 8] & (0x80u >> (bit % 8)),
                                 bit < len ? net.bytes[bit / 8] & (0x80u >> (bit % 8)) : 0);
            }
        }
    }
}

static void test_prefix_edges(void **state)
{
    struct prefix all4 = prefix_of("0.0.0.0/0"), all6 = prefix_of("::/0");
    struct addr v4 = addr_of("192.0.2.1"), v6 = addr_of("2001:db8::1");
    assert_true(prefix_contains(&all4, &v4));
    assert_false(prefix_contains(&all4, &v6));
    assert_false(prefix_contains(&all6, &v4));
    assert_false(prefix_eq(&all4, &all6));
    struct prefix too_long;
    prefix_make(&too_long, &v4, 200);
    assert_int_equal(too_long.len, 32);
    assert_true(prefix_contains(&too_long, &v4));
    struct prefix a = prefix_of("10.0.0.0/8"), b = prefix_of("10.0.0.0/9");
    assert_false(prefix_eq(&a, &b));
    assert_true(prefix_eq(&a, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_as_text),
        cmocka_unit_test(test_no_addresses),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_endpoints_as_text),
        cmocka_unit_test(test_the_longest_texts_fit),
        cmocka_unit_test(test_sockaddr_round_trip),
        cmocka_unit_test(test_prefixes_as_text),
        cmocka_unit_test(test_every_length_holds_what_it_should),
        cmocka_unit_test(test_prefix_edges),
    };
    return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
