/* SPDX-License-Identifier: Apache-2.0 */
/* Static semantics are compared with other servers in tests/packet; here: services, EDNS, limits,
 * two zones. */
#include "../cmocka_pm.h"
#include <stdio.h>
#include "dns/answer.h"

struct hook {
    struct dns_service_answer say;
    struct dns_service_query heard;
    unsigned calls;
};

static const uint8_t addresses[DNS_SERVICE_ADDRS_MAX][16] = {{9, 1}, {5, 2}, {7, 3}};

static void service(void *ctx, const struct dns_service_query *q, struct dns_service_answer *a)
{
    struct hook *h = ctx;
    h->heard = *q;
    h->calls++;
    *a = h->say;
    for (int i = 0; i < a->count; i++)
        a->rdata[i] = addresses[i];
}

static const uint8_t *name(const char *text)
{
    static uint8_t wire[4][DNS_NAME_MAX];
    static int i;
    i = (i + 1) % 4;
    assert_true(dns_name_parse(text, NULL, wire[i]) > 0);
    return wire[i];
}

static void add(struct dns_zones_builder *b, const char *owner, unsigned type, const char *rdata,
                size_t len)
{
    assert_int_equal(
        dns_zone_add_rr(b, name(owner), (uint16_t)type, 300, (const uint8_t *)rdata, len), 0);
}

static void begin(struct dns_zones_builder *b, const char *origin)
{
    const uint8_t *ns[1] = {name("ns.z.")};
    struct dns_apex apex = {ns[0], ns[0], 1, 2, 3, 4, 100, 3600, ns, 1};
    assert_int_equal(dns_zone_begin(b, name(origin)), 0);
    assert_int_equal(dns_zone_generate_apex(b, &apex), 0);
}

static int setup(void **state)
{
    struct dns_zones_builder *b = dns_zones_builder_new(NULL, NULL);
    struct dns_zones *z = NULL;
    begin(b, "z.");
    add(b, "ns.z.", DNS_TYPE_A, "\1\2\3\4", 4);
    add(b, "s.z.", DNS_TYPE_TXT, "\1t", 2);
    add(b, "c.z.", DNS_TYPE_CNAME, "\1d\1z", 5);
    add(b, "d.z.", DNS_TYPE_CNAME, "\1s\5child\1z", 11);
    add(b, "child.z.", DNS_TYPE_NS, "\2ns\1z", 6);
    add(b, "child.z.", DNS_TYPE_DS, "\0\1\10\2aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 36);
    add(b, "gone.child.z.", DNS_TYPE_A, "\1\2\3\4",
        4); /* the parent's glue for a name the child does not have */
    begin(b, "child.z.");
    assert_int_equal(dns_zone_add_service(b, name("s.z."), 0), 0);
    assert_int_equal(dns_zone_add_service(b, name("s.child.z."), 1), 0);
    assert_int_equal(dns_zone_add_service(b, name("*.w.z."), 2), 0);
    assert_int_equal(dns_zones_build(b, &z), 0);
    dns_zones_builder_free(b);
    *state = z;
    return 0;
}

static int teardown(void **state)
{
    dns_zones_free(*state);
    return 0;
}

struct exchange {
    const struct dns_zones *z;
    struct dns_answer_env env;
    struct hook hook;
    struct dns_answer_info info;
    uint8_t out[65535];
    size_t len;
};

static struct exchange *fresh(void **state)
{
    static struct exchange x;
    memset(&x, 0, sizeof x);
    x.z = *state;
    x.env = (struct dns_answer_env){
        .ecs = true, .udp_max = 1232, .version = "v1", .service = service, .ctx = &x.hook};
    x.env.nsid = (const uint8_t *)"node";
    x.env.nsid_len = 4;
    assert_int_equal(addr_parse("198.51.100.7", &x.env.client), 0);
    x.hook.say = (struct dns_service_answer){
        .status = DNS_SERVICE_ADDRS, .scope = 20, .count = 3, .ttl = 17};
    return &x;
}

/* edns: bytes of options, or NULL for no OPT. */
static void ask(struct exchange *x, const char *qname, unsigned type, const char *options,
                size_t options_len)
{
    uint8_t packet[600] = {0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, options != NULL};
    int n = dns_name_parse(qname, NULL, packet + 12);
    assert_true(n > 0);
    size_t len = 12 + (size_t)n;
    dns_put16(packet + len, type);
    dns_put16(packet + len + 2, strstr(qname, "bind") || strstr(qname, "server") ? 3 : 1);
    len += 4;
    if (options) {
        memcpy(packet + len, "\0\0\x29\4\xd0\0\0\x80\0\0", 10);
        packet[len + 10] = (uint8_t)options_len;
        memcpy(packet + len + 11, options, options_len);
        len += 11 + options_len;
    }
    x->len = dns_answer(x->z, packet, len, &x->env, x->out, sizeof x->out, &x->info);
    assert_true(x->len >= 12);
    assert_memory_equal(x->out + 12, packet + 12,
                        (size_t)n + 4); /* the question, its case as sent */
}

static unsigned count(const struct exchange *x, int section)
{
    return dns_get16(x->out + 6 + 2 * section);
}

static void test_service(void **state)
{
    struct exchange *x = fresh(state);
    ask(x, "S.z.", DNS_TYPE_A, NULL, 0);
    assert_int_equal(x->info.kind, DNS_KIND_SERVICE);
    assert_int_equal(x->info.service, 0);
    assert_int_equal(count(x, 0), 3);
    assert_int_equal(x->out[2], 0x85); /* QR, AA, RD */
    size_t at = 12 + 5 + 4;
    for (int i = 0; i < 3; i++, at += 16) {
        assert_memory_equal(x->out + at, "\xc0\x0c\0\1\0\1\0\0\0\x11\0\4", 12);
        assert_memory_equal(x->out + at + 12, addresses[i], 4);
    }
    assert_int_equal(at, x->len);
    assert_false(x->hook.heard.from_ecs);
    assert_int_equal(x->hook.heard.client_len, 32);
    assert_true(addr_eq(&x->hook.heard.client, &x->env.client));
    ask(x, "a.b.w.z.", DNS_TYPE_AAAA, NULL, 0);
    assert_int_equal(x->info.service, 2);
    assert_int_equal(x->len, 12 + 13 + 3 * 28);
    /* Static types at a service name, and what it does not have. */
    ask(x, "s.z.", DNS_TYPE_TXT, NULL, 0);
    assert_int_equal(x->info.kind, DNS_KIND_STATIC);
    ask(x, "s.z.", DNS_TYPE_MX, NULL, 0);
    assert_int_equal(x->info.kind, DNS_KIND_NODATA);
    ask(x, "a.w.z.", DNS_TYPE_ANY, NULL, 0);
    assert_int_equal(dns_get16(x->out + 12 + 11 + 2), DNS_TYPE_HINFO);
    assert_int_equal(x->hook.calls, 2);
}

static void test_service_chain(void **state)
{
    struct exchange *x = fresh(state);
    ask(x, "C.z.", DNS_TYPE_A, NULL, 0);
    assert_int_equal(x->info.service, 1);
    assert_int_equal(count(x, 0), 5); /* two CNAMEs, over a zone boundary, and the addresses */
    assert_int_equal(x->info.rcode, 0);
    uint8_t owner[DNS_NAME_MAX];
    size_t at = x->len - 16;
    assert_true(dns_name_unpack(x->out, x->len, &at, owner) > 0);
    assert_true(dns_name_eq(owner, name("s.child.z.")));
    x->hook.say.status = DNS_SERVICE_SERVFAIL;
    ask(x, "c.z.", DNS_TYPE_A, NULL, 0);
    assert_int_equal(x->info.rcode, DNS_RCODE_SERVFAIL);
    assert_int_equal(count(x, 0), 0);
    assert_int_equal(x->len, 12 + 9);
}

static void test_service_nodata(void **state)
{
    static const struct {
        uint32_t say, expect;
    } cases[] = {{17, 17}, {5000, 100}};
    struct exchange *x = fresh(state);
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        x->hook.say.status =
            i ? DNS_SERVICE_ADDRS : DNS_SERVICE_NODATA; /* no addresses are no data, too */
        x->hook.say.count = 0;
        x->hook.say.ttl = cases[i].say;
        ask(x, "s.z.", DNS_TYPE_A, NULL, 0);
        assert_int_equal(x->info.kind, DNS_KIND_NODATA);
        assert_int_equal(count(x, 1), 1);
        assert_int_equal(dns_get32(x->out + 21 + 6), cases[i].expect);
    }
    x->env.service = NULL;
    ask(x, "s.z.", DNS_TYPE_A, NULL, 0);
    assert_int_equal(x->info.rcode, DNS_RCODE_SERVFAIL);
}

static void test_ecs(void **state)
{
    static const struct {
        const char *option;
        uint8_t len, max, scope, from_ecs, client_len;
        const char *client;
    } cases[] = {
        {"\0\x08\0\7\0\1\x18\0\xc0\0\2", 11, 0, 20, 1, 24, "192.0.2.0"},
        {"\0\x08\0\7\0\1\x18\0\xc0\0\2", 11, 16, 16, 1, 24, "192.0.2.0"},
        {"\0\x08\0\4\0\1\0\0", 8, 0, 0, 0, 32, "198.51.100.7"},
        {"\0\x08\0\x13\0\2\x78\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2", 23, 0, 116, 1, 24,
         "192.0.2.0"},
    };
    char text[ADDR_TEXT];
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        struct exchange *x = fresh(state);
        x->env.ecs_max_v4 = cases[i].max;
        ask(x, "s.z.", DNS_TYPE_A, cases[i].option, cases[i].len);
        assert_int_equal(x->hook.heard.from_ecs, cases[i].from_ecs);
        assert_int_equal(x->hook.heard.client_len, cases[i].client_len);
        assert_string_equal(addr_format(&x->hook.heard.client, text), cases[i].client);
        uint8_t *echo = x->out + x->len - cases[i].len;
        assert_int_equal(echo[7], cases[i].scope);
        assert_int_equal(x->info.scope, cases[i].scope);
        echo[7] = 0;
        assert_memory_equal(echo, cases[i].option, cases[i].len);
        /* Static data is for everybody. */
        ask(x, "ns.z.", DNS_TYPE_A, cases[i].option, cases[i].len);
        assert_int_equal(x->out[x->len - cases[i].len + 7], 0);
        /* As if the option were unknown. */
        x->env.ecs = false;
        ask(x, "s.z.", DNS_TYPE_A, cases[i].option, cases[i].len);
        assert_false(x->hook.heard.from_ecs);
        assert_int_equal(x->len, 21 + 3 * 16 + 11);
    }
    struct exchange *x = fresh(state);
    ask(x, "s.z.", DNS_TYPE_A, "\0\x08\0\3\0\1\x18", 7);
    assert_int_equal(x->info.rcode, DNS_RCODE_FORMERR);
    assert_int_equal(x->len, 21 + 11);
    assert_int_equal(x->hook.calls, 0);
}

static void test_edns(void **state)
{
    struct exchange *x = fresh(state);
    ask(x, "ns.z.", DNS_TYPE_A, "\0\3\0\0", 4);
    assert_memory_equal(x->out + x->len - 19, "\0\0\x29\4\xd0\0\0\x80\0\0\x08\0\3\0\4node",
                        19); /* DO is copied */
    ask(x, "ns.z.", DNS_TYPE_A, "\0\x0b\0\0", 4);
    assert_memory_equal(x->out + x->len - 11, "\0\0\x29\4\xd0\0\0\x80\0\0\0", 11);
    x->env.tcp = true;
    x->env.keepalive = 300;
    ask(x, "ns.z.", DNS_TYPE_A, "\0\x0b\0\0", 4);
    assert_memory_equal(x->out + x->len - 6, "\0\x0b\0\2\1\x2c", 6);
    static const uint8_t badvers[] =
        "\1\2\0\0\0\1\0\0\0\0\0\1\1z\0\0\1\0\1\0\0\x29\4\xd0\0\7\0\0\0\0";
    x->len =
        dns_answer(x->z, badvers, sizeof badvers - 1, &x->env, x->out, sizeof x->out, &x->info);
    assert_int_equal(x->info.rcode, DNS_RCODE_BADVERS);
    assert_memory_equal(x->out + x->len - 11, "\0\0\x29\4\xd0\1\0\0\0\0\0",
                        11); /* upper bits of 16; version 0 */
    assert_int_equal(x->out[3] & 15, 0);
}

static void test_truncation(void **state)
{
    struct exchange *x = fresh(state);
    x->hook.say.count = 64;
    ask(x, "s.z.", DNS_TYPE_AAAA, "", 0);
    assert_true(x->info.truncated && x->out[2] & 2);
    assert_int_equal(count(x, 0), 0);
    assert_int_equal(x->len, 21 + 11);
    ask(x, "s.z.", DNS_TYPE_A, "", 0);
    assert_false(x->info.truncated); /* 64 x 16 fits 1232 */
    ask(x, "s.z.", DNS_TYPE_A, NULL, 0);
    assert_true(x->info.truncated); /* but not 512 */
    x->hook.say.count = 30;         /* 21 + 480 */
    ask(x, "s.z.", DNS_TYPE_A, NULL, 0);
    assert_false(x->info.truncated);
    x->hook.say.count = 31;
    ask(x, "s.z.", DNS_TYPE_A, NULL, 0);
    assert_true(x->info.truncated);
    x->env.tcp = true;
    x->hook.say.count = 64;
    ask(x, "s.z.", DNS_TYPE_AAAA, "", 0);
    assert_false(x->info.truncated);
    assert_int_equal(count(x, 0), 64);
}

static void test_two_zones(void **state)
{
    struct exchange *x = fresh(state);
    ask(x, "child.z.", DNS_TYPE_DS, NULL, 0); /* the parent's, though we serve the child */
    assert_int_equal(count(x, 0), 1);
    assert_int_equal(x->info.kind, DNS_KIND_STATIC);
    ask(x, "child.z.", DNS_TYPE_NS, NULL, 0);
    assert_int_equal(x->info.kind, DNS_KIND_STATIC);
    ask(x, "gone.child.z.", DNS_TYPE_A, NULL, 0);
    assert_int_equal(x->info.rcode, DNS_RCODE_NXDOMAIN);
    ask(x, "z.", DNS_TYPE_DS, NULL, 0);
    assert_int_equal(x->info.kind, DNS_KIND_NODATA);
    ask(x, "org.", DNS_TYPE_A, NULL, 0);
    assert_int_equal(x->info.rcode, DNS_RCODE_REFUSED);
    assert_false(x->out[2] & 4);
}

static void test_chaos(void **state)
{
    struct exchange *x = fresh(state);
    ask(x, "VERSION.bind.", DNS_TYPE_TXT, NULL, 0);
    assert_memory_equal(x->out + x->len - 3, "\2v1", 3);
    ask(x, "id.server.", DNS_TYPE_TXT, NULL, 0);
    assert_memory_equal(x->out + x->len - 5, "\4node", 5);
    x->env.version = NULL;
    ask(x, "version.server.", DNS_TYPE_TXT, NULL, 0);
    assert_int_equal(x->info.rcode, DNS_RCODE_REFUSED);
    ask(x, "authors.bind.", DNS_TYPE_TXT, NULL, 0);
    assert_int_equal(x->info.rcode, DNS_RCODE_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service),        cmocka_unit_test(test_service_chain),
        cmocka_unit_test(test_service_nodata), cmocka_unit_test(test_ecs),
        cmocka_unit_test(test_edns),           cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_two_zones),      cmocka_unit_test(test_chaos),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
