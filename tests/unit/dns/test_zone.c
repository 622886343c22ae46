/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/arena.h"
#include "dns/zone_data.h"

#define APEX "$TTL 60\n@ SOA ns h 7 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n" /* lines 1 to 4 */

struct heard {
    char text[4096];
};

static void hear(void *ctx, const struct dns_report *r)
{
    struct heard *h = ctx;
    size_t n = strlen(h->text);
    snprintf(h->text + n, sizeof h->text - n, "%u:%u %c %s\n", r->line, r->column,
             r->severity == DNS_ERROR ? 'E' : 'W', r->message);
}

static const uint8_t *name(const char *text)
{
    static uint8_t wire[4][DNS_NAME_MAX];
    static int i;
    i = (i + 1) % 4;
    assert_true(dns_name_parse(text, NULL, wire[i]) > 0);
    return wire[i];
}

/* Builds zone z. from text, with a service at service if not NULL. */
static int build(const char *text, const char *service, struct heard *h, struct dns_zones **z)
{
    char path[] = "/tmp/test_zone.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    h->text[0] = 0;
    struct dns_zones_builder *b = dns_zones_builder_new(hear, h);
    int load = dns_zone_load_file(b, path, name("z."));
    if (service)
        assert_int_equal(dns_zone_add_service(b, name(service), 5), 0);
    int err = dns_zones_build(b, z);
    if (load)
        assert_int_equal(err, PM_ECONFIG);
    dns_zones_builder_free(b);
    unlink(path);
    return err;
}

static void test_mistakes(void **state)
{
    static const struct {
        const char *text, *service,
            *expect; /* expect: a line that must be among the reports; NULL = none at all */
    } cases[] = {
        {APEX, NULL, NULL},
        {APEX "w A 192.0.2.9\n", "s.z.", NULL},
        {APEX "s MX 1 ns\n", "s.z.", NULL},
        {"@ 60 NS ns\nns 60 A 1.2.3.4\n", NULL, "0:0 E zone z. has no SOA"},
        {"@ 60 SOA ns h 7 2 3 4 5\n", NULL, "0:0 E zone z. has no NS at its apex"},
        {APEX "@ SOA ns h 8 2 3 4 5\n", NULL, "5:0 E z. has 2 SOA records, only one may be"},
        {APEX "a SOA ns h 8 2 3 4 5\n", NULL, "5:0 E SOA at a.z., which is not the zone's apex"},
        {APEX "a.org. A 1.2.3.4\n", NULL, "5:0 E a.org. A is out of zone z."},
        {APEX "az. A 1.2.3.4\n", NULL, "5:0 E az. A is out of zone z."},
        {APEX "a CNAME ns\na A 1.2.3.4\n", NULL, "6:0 E a.z. has CNAME and also A (RFC 2181 10.1)"},
        {APEX "a CNAME ns\na CNAME b\n", NULL, "6:0 E a.z. has 2 CNAME records, only one may be"},
        {APEX "s A 1.2.3.4\n", "s.z.", "5:0 E s.z. is a service and also has A"},
        {APEX "s CNAME ns\n", "s.z.", "5:0 E s.z. is a service and also has CNAME"},
        {APEX, "s.org.", "4:0 E service name s.org. lies in no zone"},
        {APEX "d NS ns.d\nns.d A 1.2.3.4\n", "x.d.z.",
         "6:0 E service x.d.z. lies in what is delegated at d.z."},
        {APEX "d NS ns.d\n", NULL,
         "5:0 W d.z.: name server ns.d.z. has no address here (missing glue)"},
        {APEX "d NS ns\nx.d TXT a\n", NULL, "6:0 W x.d.z. TXT is hidden by the delegation at d.z."},
        {APEX "d DNAME e\nx.d A 1.2.3.4\n", NULL,
         "6:0 E x.d.z. A lies below the DNAME at d.z. (RFC 6672 2.4)"},
        {APEX "d DNAME e\nd DNAME f\n", NULL, "6:0 E d.z. has 2 DNAME records, only one may be"},
        {APEX "d DNAME e\nd NS ns\n", NULL,
         "5:0 E d.z. has both NS and DNAME below the apex (RFC 6672 2.3)"},
        {APEX "*.w NS ns\n", NULL, "5:0 E *.w.z.: NS at a wildcard means nothing (RFC 4592 4.2)"},
        {APEX "a 60 A 1.2.3.4\na 30 A 1.2.3.5\n", NULL,
         "6:0 W a.z. A: TTLs differ, the lowest counts (RFC 2181 5.2)"},
        {APEX "a A 1.2.3.4\na A 1.2.3.4\n", NULL, "6:0 W a.z. A is there twice"},
        {APEX "a A 1.2.3\n", NULL, "5:5 E malformed record data: malformed"},
        {APEX "a FOO 1.2.3\n", NULL, "5:3 E unknown record type: FOO"},
        {APEX "a CH A 1.2.3.4\n", NULL, "5:3 E only class IN can be served: CH"},
        {APEX "a 99999999999 A 1.2.3.4\n", NULL,
         "5:3 E not a TTL of at most 2147483647 s: 99999999999"},
        {APEX "a MX 70000 b\n", NULL, "5:6 E not a number that fits its field: 70000"},
        {APEX "a IN\n", NULL, "5:3 E a record type is missing"},
        {APEX "a..b A 1.2.3.4\n", NULL, "5:1 E not a domain name: a..b"},
        {APEX "a TXT \"open\nb A 1.2.3\n", NULL, "5:7 E this quote is not closed on its line"},
        {APEX "a TXT \"open\nb A 1.2.3\n", NULL, "6:5 E malformed record data: malformed"},
        {APEX "a TXT ( x\n y\n", NULL, "5:7 E '(' without ')'"},
        {APEX "a TXT x )\n", NULL, "5:9 E ')' without '('"},
        {APEX "$FOO\n", NULL, "5:1 E unknown directive: $FOO"},
        {APEX "$INCLUDE no-such-file\n", NULL, "5:0 E cannot read /tmp/no-such-file: not found"},
        {" A 1.2.3.4\n" APEX, NULL, "1:2 E the first record needs an owner name"},
        {"a A 1.2.3.4\n" APEX, NULL, "1:3 E no TTL: neither here, nor before, nor by $TTL"},
        {APEX "a TYPE255 \\# 0\n", NULL, "5:0 E a.z. ANY: this type cannot be zone data"},
        {APEX "a HTTPS 1 . port=1 port=2\n", NULL,
         "5:9 E malformed record data: malformed or repeated parameters"},
    };
    (void)state;
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct heard h;
        struct dns_zones *z = NULL;
        int err = build(cases[i].text, cases[i].service, &h, &z);
        bool good = cases[i].expect ? strstr(h.text, cases[i].expect) != NULL : !h.text[0];
        if (!good || !err != !strstr(h.text, " E "))
            fail_msg("case %zu (%s): %d, heard:\n%s", i, cases[i].expect ? cases[i].expect : "",
                     err, h.text);
        dns_zones_free(z);
    }
}

static const struct dns_set *set_of(const struct dns_zones *z, const char *text, unsigned type)
{
    struct dns_name n;
    uint64_t hashes[DNS_LABELS_MAX + 1];
    dns_name_set(&n, name(text));
    dns_name_hashes(&n, z->seed, hashes);
    const struct dns_node *node = dns_node_at(z, &n, 0, hashes[0]);
    return node ? dns_node_set(z, node, type) : NULL;
}

static void test_syntax(void **state)
{
    static const char text[] = APEX
        "$ORIGIN sub.z.\n; comment\na 1h30m IN TXT ( \"x ; y\" ; in here\n z )\n IN 5 A 1.2.3.4\n"
        "$TTL 2d\nB HTTPS 1 . port=443 alpn=\"h2\"\n@ TYPE65400 \\# 2 ab cd\n\\097\\.b A 1.2.3.5";
    struct heard h;
    struct dns_zones *z = NULL;
    (void)state;
    assert_int_equal(build(text, NULL, &h, &z), 0);
    const struct dns_set *s = set_of(z, "a.sub.z.", DNS_TYPE_TXT);
    assert_non_null(s);
    assert_int_equal(s->ttl, 5400);
    assert_memory_equal(z->data + s->data + 10, "\5x ; y\1z", 8);
    assert_int_equal(set_of(z, "A.SUB.z.", DNS_TYPE_A)->ttl, 5);
    s = set_of(z, "b.sub.z.", DNS_TYPE_HTTPS);
    assert_int_equal(s->ttl, 172800);
    /* alpn (1) before port (3), as RFC 9460 2.2 wants it, though the file has them the other way
     * round */
    assert_memory_equal(z->data + s->data + 10, "\0\1\0\0\1\0\3\2h2\0\3\0\2\1\xbb", 16);
    assert_memory_equal(z->data + set_of(z, "sub.z.", 65400)->data + 10, "\xab\xcd", 2);
    assert_non_null(set_of(z, "a\\.b.sub.z.", DNS_TYPE_A));
    assert_int_equal(dns_zone_serial(z, 0), 7);
    dns_zones_free(z);
}

static void test_many(void **state)
{
    enum { NAMES = 200000, SERVICES = 20000 };
    struct heard h = {""};
    struct dns_zones_builder *b = dns_zones_builder_new(hear, &h);
    struct dns_zones *z = NULL;
    const uint8_t *ns[1] = {name("ns.z.")};
    struct dns_apex apex = {ns[0], ns[0], 1, 2, 3, 4, 5, 60, ns, 1};
    char text[64];
    (void)state;
    assert_int_equal(dns_zone_begin(b, name("z.")), 0);
    assert_int_equal(dns_zone_begin(b, name("Z.")), PM_EEXISTS);
    dns_zones_builder_free(b);
    b = dns_zones_builder_new(hear, &h);
    h.text[0] = 0;
    assert_int_equal(dns_zone_begin(b, name("z.")), 0);
    assert_int_equal(dns_zone_generate_apex(b, &apex), 0);
    assert_int_equal(
        dns_zone_add_rr(b, name("ns.z."), DNS_TYPE_A, 60, (const uint8_t *)"\1\2\3\4", 4), 0);
    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(text, sizeof text, "h%u.z.", i);
        uint8_t a[4] = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        assert_int_equal(dns_zone_add_rr(b, name(text), DNS_TYPE_A, 60, a, 4), 0);
    }
    for (unsigned i = 0; i < SERVICES; i++) {
        snprintf(text, sizeof text, "s%u.z.", i);
        assert_int_equal(dns_zone_add_service(b, name(text), i), 0);
    }
    assert_int_equal(dns_zone_add_service(b, name("S1.z."), 1), PM_EEXISTS);
    h.text[0] = 0;
    assert_int_equal(dns_zones_build(b, &z), PM_ECONFIG);
    dns_zones_builder_free(b);
    b = dns_zones_builder_new(hear, &h);
    assert_int_equal(dns_zone_begin(b, name("z.")), 0);
    assert_int_equal(dns_zone_generate_apex(b, &apex), 0);
    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(text, sizeof text, "h%u.z.", i);
        uint8_t a[4] = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        assert_int_equal(dns_zone_add_rr(b, name(text), DNS_TYPE_A, 60, a, 4), 0);
    }
    for (unsigned i = 0; i < SERVICES; i++) {
        snprintf(text, sizeof text, "s%u.z.", i);
        assert_int_equal(dns_zone_add_service(b, name(text), i), 0);
    }
    assert_int_equal(dns_zones_build(b, &z), 0);
    dns_zones_builder_free(b);
    struct dns_zones_stats st = dns_zones_stats(z);
    assert_int_equal(st.names, NAMES + SERVICES + 1);
    assert_int_equal(st.services, SERVICES);
    assert_true(st.bytes / st.names < 100);
    for (unsigned i = 0; i < NAMES; i += 977) {
        snprintf(text, sizeof text, "H%u.z.", i);
        const struct dns_set *s = set_of(z, text, DNS_TYPE_A);
        assert_non_null(s);
        assert_int_equal(dns_get32(z->data + s->data + 10), 10u << 24 | i);
        snprintf(text, sizeof text, "S%u.z.", i);
        assert_int_equal(dns_zones_service_at(z, name(text)), i < SERVICES ? i : DNS_SERVICE_NONE);
    }
    dns_zones_free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
