/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include "dns/query.h"

#define HEAD(flags, qd, an, ns, ar) "\x12\x34" flags "\0" qd "\0" an "\0" ns "\0" ar
#define QUESTION                    "\3wWw\1z\0\0\1\0\1"
#define OPT(len)                    "\0\0\x29\4\xd0\0\0\0\0\0" len
#define RR                          "\0\0\1\0\1\0\0\0\1\0\0"

struct packet {
    const char *what, *bytes;
    size_t len;
    int verdict;
};
#define P(what, bytes, verdict)                                                                    \
    {                                                                                              \
        what, bytes, sizeof(bytes) - 1, verdict                                                    \
    }

static const struct packet packets[] = {
    P("plain", HEAD("\1\0", "\1", "\0", "\0", "\0") QUESTION, DNS_RCODE_NOERROR),
    P("empty", "", DNS_VERDICT_DROP),
    P("short header", "\x12\x34\0\0\0\1\0\0\0\0\0", DNS_VERDICT_DROP),
    P("response", HEAD("\x80\0", "\1", "\0", "\0", "\0") QUESTION, DNS_VERDICT_DROP),
    P("notify", HEAD("\x20\0", "\1", "\0", "\0", "\0") QUESTION, DNS_RCODE_NOTIMP),
    P("no question", HEAD("\0\0", "\0", "\0", "\0", "\0"), DNS_RCODE_FORMERR),
    P("two questions", HEAD("\0\0", "\2", "\0", "\0", "\0") QUESTION QUESTION, DNS_RCODE_FORMERR),
    P("pointer as qname", HEAD("\0\0", "\1", "\0", "\0", "\0") "\xc0\x0c\0\1\0\1",
      DNS_RCODE_FORMERR),
    P("pointer in qname", HEAD("\0\0", "\1", "\0", "\0", "\0") "\1a\xc0\x0c\0\1\0\1",
      DNS_RCODE_FORMERR),
    P("cut in qname", HEAD("\0\0", "\1", "\0", "\0", "\0") "\3ww", DNS_RCODE_FORMERR),
    P("cut in class", HEAD("\0\0", "\1", "\0", "\0", "\0") "\3www\0\0\1\0", DNS_RCODE_FORMERR),
    P("trailing", HEAD("\0\0", "\1", "\0", "\0", "\0") QUESTION "x", DNS_RCODE_FORMERR),
    P("answer", HEAD("\0\0", "\1", "\1", "\0", "\0") QUESTION RR, DNS_RCODE_FORMERR),
    P("authority", HEAD("\0\0", "\1", "\0", "\1", "\0") QUESTION RR, DNS_RCODE_FORMERR),
    P("authority of IXFR", HEAD("\0\0", "\1", "\0", "\1", "\0") "\1z\0\0\xfb\0\1" RR,
      DNS_RCODE_NOERROR),
    P("additional", HEAD("\0\0", "\1", "\0", "\0", "\1") QUESTION RR, DNS_RCODE_NOERROR),
    P("edns", HEAD("\0\0", "\1", "\0", "\0", "\1") QUESTION OPT("\0"), DNS_RCODE_NOERROR),
    P("edns and more", HEAD("\0\0", "\1", "\0", "\0", "\2") QUESTION OPT("\0") RR,
      DNS_RCODE_NOERROR),
    P("two opt", HEAD("\0\0", "\1", "\0", "\0", "\2") QUESTION OPT("\0") OPT("\0"),
      DNS_RCODE_FORMERR),
    P("opt not root", HEAD("\0\0", "\1", "\0", "\0", "\1") QUESTION "\1a" OPT("\0"),
      DNS_RCODE_FORMERR),
    P("opt cut", HEAD("\0\0", "\1", "\0", "\0", "\1") QUESTION OPT("\1"), DNS_RCODE_FORMERR),
    P("option cut", HEAD("\0\0", "\1", "\0", "\0", "\1") QUESTION OPT("\3") "\0\3\0",
      DNS_RCODE_FORMERR),
    P("option overruns", HEAD("\0\0", "\1", "\0", "\0", "\1") QUESTION OPT("\4") "\0\3\0\1",
      DNS_RCODE_FORMERR),
    P("version 1", HEAD("\0\0", "\1", "\0", "\0", "\1") QUESTION "\0\0\x29\4\xd0\0\1\0\0\0\0",
      DNS_RCODE_BADVERS),
    P("arcount lies", HEAD("\0\0", "\1", "\0", "\0", "\1") QUESTION, DNS_RCODE_FORMERR),
    P("tsig", HEAD("\0\0", "\1", "\0", "\0", "\1") QUESTION "\1k\0\0\xfa\0\xff\0\0\0\0\0\0",
      DNS_RCODE_NOTAUTH),
    P("tsig not last",
      HEAD("\0\0", "\1", "\0", "\0", "\2") QUESTION "\1k\0\0\xfa\0\xff\0\0\0\0\0\0" RR,
      DNS_RCODE_FORMERR),
};

static void test_verdicts(void **state)
{
    struct dns_query q;
    (void)state;
    for (size_t i = 0; i < PM_ARRAY_LEN(packets); i++) {
        /* An allocation of its own size, so that a sanitizer sees any byte read too many. */
        uint8_t *copy = test_malloc(packets[i].len + !packets[i].len);
        memcpy(copy, packets[i].bytes, packets[i].len);
        int verdict = dns_query_parse(copy, packets[i].len, &q);
        if (verdict != packets[i].verdict)
            fail_msg("%s: verdict %d, not %d", packets[i].what, verdict, packets[i].verdict);
        test_free(copy);
    }
}

static void test_fields(void **state)
{
    static const char bytes[] =
        HEAD("\1\x20", "\1", "\0", "\0", "\1") QUESTION "\0\0\x29\4\xd0\0\0\x80\0\0\x1f"
                                                        "\0\3\0\0"
                                                        "\0\x0b\0\0"
                                                        "\0\x0a\0\10abcdefgh"
                                                        "\0\x08\0\7\0\1\x18\0\xc0\0\2";
    struct dns_query q;
    char text[ADDR_TEXT];
    (void)state;
    assert_int_equal(dns_query_parse((const uint8_t *)bytes, sizeof bytes - 1, &q),
                     DNS_RCODE_NOERROR);
    assert_int_equal(q.id, 0x1234);
    assert_int_equal(q.flags, DNS_FLAG_RD | DNS_FLAG_AD);
    assert_memory_equal(q.name.wire, "\3www\1z", 7);
    assert_int_equal(q.name.labels, 2);
    assert_int_equal(q.name.off[1], 4);
    assert_int_equal(q.qtype, 1);
    assert_int_equal(q.qclass, 1);
    assert_true(q.edns.present && q.edns.dnssec_ok && q.edns.nsid && q.edns.keepalive);
    assert_int_equal(q.edns.udp_size, 1232);
    assert_int_equal(q.edns.cookie_len, 8);
    assert_memory_equal(q.edns.cookie, "abcdefgh", 8);
    assert_int_equal(q.edns.ecs.state, DNS_ECS_OK);
    assert_int_equal(q.edns.ecs.source, 24);
    assert_string_equal(addr_format(&q.edns.ecs.addr, text), "192.0.2.0");
}

static void test_ecs(void **state)
{
    static const struct {
        const char *what, *data;
        uint8_t len, state;
        uint8_t client_len;
        const char *addr;
    } cases[] = {
        {"v4 /24", "\0\1\x18\0\xc0\0\2", 7, DNS_ECS_OK, 24, "192.0.2.0"},
        {"v4 /0", "\0\1\0\0", 4, DNS_ECS_OK, 0, "0.0.0.0"},
        {"v4 /32", "\0\1\x20\0\xc0\0\2\1", 8, DNS_ECS_OK, 32, "192.0.2.1"},
        {"v4 /20", "\0\1\x14\0\xc0\0\x10", 7, DNS_ECS_OK, 20, "192.0.16.0"},
        {"v6 /48", "\0\2\x30\0\x20\1\x0d\xb8\0\1", 10, DNS_ECS_OK, 48, "2001:db8:1::"},
        {"v6 of v4", "\0\2\x78\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2", 19, DNS_ECS_OK, 24,
         "192.0.2.0"},
        {"no family, opt out", "\0\0\0\0", 4, DNS_ECS_OK, 0, "none"},
        {"too short", "\0\1\0", 3, DNS_ECS_BAD, 0, NULL},
        {"empty", "", 0, DNS_ECS_BAD, 0, NULL},
        {"scope set", "\0\1\x18\1\xc0\0\2", 7, DNS_ECS_BAD, 0, NULL},
        {"v4 /33", "\0\1\x21\0\xc0\0\2\1\0", 9, DNS_ECS_BAD, 0, NULL},
        {"v6 /129",
         "\0\2\x81\0"
         "aaaaaaaaaaaaaaaaa",
         21, DNS_ECS_BAD, 0, NULL},
        {"family 3", "\0\3\0\0", 4, DNS_ECS_BAD, 0, NULL},
        {"no family, length", "\0\0\1\0\0", 5, DNS_ECS_BAD, 0, NULL},
        {"bytes missing", "\0\1\x18\0\xc0\0", 6, DNS_ECS_BAD, 0, NULL},
        {"bytes too many", "\0\1\x18\0\xc0\0\2\0", 8, DNS_ECS_BAD, 0, NULL},
        {"host bits", "\0\1\x14\0\xc0\0\x18", 7, DNS_ECS_BAD, 0, NULL},
    };
    struct dns_query q;
    char text[ADDR_TEXT];
    (void)state;
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        uint8_t packet[128] =
            HEAD("\0\0", "\1", "\0", "\0", "\1") QUESTION "\0\0\x29\4\xd0\0\0\0\0\0";
        size_t n = 12 + sizeof QUESTION - 1 + 10;
        packet[n++] = (uint8_t)(cases[i].len + 4);
        dns_put16(packet + n, DNS_OPTION_ECS);
        dns_put16(packet + n + 2, cases[i].len);
        memcpy(packet + n + 4, cases[i].data, cases[i].len);
        assert_int_equal(dns_query_parse(packet, n + 4 + cases[i].len, &q), DNS_RCODE_NOERROR);
        if (q.edns.ecs.state != cases[i].state)
            fail_msg("%s: state %d", cases[i].what, q.edns.ecs.state);
        if (cases[i].addr) {
            assert_string_equal(addr_format(&q.edns.ecs.addr, text), cases[i].addr);
            assert_int_equal(q.edns.ecs.client_len, cases[i].client_len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_ecs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
