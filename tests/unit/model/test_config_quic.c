/* SPDX-License-Identifier: Apache-2.0 */
/* `quic-ids` of a front and `quic-id` of its servers: what is taken, and what is an error. */
#include "../cmocka_pm.h"

#include <stdlib.h>
#include <string.h>
#include "fake_registries.h"
#include "model/quic_id.h"

static struct conf_diag *diag;

/* front: inside its braces; a, b: the servers', each. */
static struct config *load(const char *front, const char *a, const char *b)
{
    struct buf text = BUF_INIT;
    struct config *c = NULL;
    buf_printf(&text,
               "zones: {example.com: {ns: [ns1.example.com]}}\nsites:\n  paris: {}\nservices:\n  w.example.com:\n    "
               "policy: any\n"
               "    front: {mode: tcp, ports: [443], policy: any, %s}\n"
               "    sites: {paris: {vips: 192.0.2.1, servers: {a: {address: 10.0.0.1%s}, b: {address: 10.0.0.2%s}}}}\n",
               front, a, b);
    diag = conf_diag_new();
    if (config_load_text("t.yaml", buf_str(&text), text.len, &fake_reg, &c, diag) != 0)
        c = NULL;
    buf_fini(&text);
    return c;
}

static void refused(const char *front, const char *a, const char *b, const char *why)
{
    struct buf text = BUF_INIT;
    assert_null(load(front, a, b));
    conf_diag_print(diag, &text);
    if (!strstr(buf_str(&text), why))
        fail_msg("'%s' is not in: %s", why, buf_str(&text));
    buf_fini(&text);
    conf_diag_free(diag);
}

static void test_taken(void **state)
{
    struct config *c = load("relay: packets, quic-ids: [{length: 2, config: 0}, {length: 3, config: 6, offset: 4}]",
                            ", quic-id: ['0a01', '0a0101']", ", quic-id: 0B02");
    assert_non_null(c);
    const struct cfg_service *s = config_service(c, "w.example.com");
    const struct cfg_front *f = s->fronts.items;
    const struct cfg_quic_ids *q = f->quic_ids.items;
    assert_int_equal(f->quic, CFG_QUIC_AUTO);
    assert_int_equal(f->quic_ids.count, 2);
    assert_int_equal(q[0].length, 2);
    assert_int_equal(q[0].offset, 1);
    assert_int_equal(q[0].config, 1);
    assert_int_equal(q[1].offset, 4);
    assert_int_equal(q[1].config, 7);
    config_free(c);
    conf_diag_free(diag);
    c = load("relay: packets, quic-ids: 8, quic: on", ", quic-id: '0102030405060708'", "");
    assert_non_null(c);
    f = config_service(c, "w.example.com")->fronts.items;
    assert_int_equal(((const struct cfg_quic_ids *)f->quic_ids.items)->config, CFG_QUIC_ANY);
    assert_int_equal(f->quic, CFG_QUIC_ON);
    config_free(c);
    conf_diag_free(diag);
}

static void test_refused(void **state)
{
    static const char ok[] = "relay: packets, quic-ids: 2";
    refused("quic-ids: 2", "", "", "need 'relay: packets'");
    refused("relay: clients, quic-ids: 2", "", "", "need 'relay: packets'");
    refused("relay: packets, quic: off, quic-ids: 2", "", "", "do not go together");
    refused("relay: packets, quic-ids: 16", "", "", "16");
    refused("relay: packets, quic-ids: {length: 4, offset: 17}", "", "", "20 bytes at most");
    refused("relay: packets, quic-ids: {length: 4, offset: 0, config: 1}", "", "", "first byte");
    refused("relay: packets, quic-ids: [{length: 2, config: 1}, {length: 3, config: 1}]", "", "",
            "this 'config' already");
    refused("relay: packets, quic-ids: [{length: 2}, {length: 3, config: 1}]", "", "", "this 'config' already");
    refused(ok, ", quic-id: '0a0'", "", "no id of 1 to 15 bytes");
    refused(ok, ", quic-id: 'xy'", "", "no id of 1 to 15 bytes");
    refused(ok, ", quic-id: '000102030405060708090a0b0c0d0e0f'", "", "no id of 1 to 15 bytes");
    refused(ok, ", quic-id: '0a0b0c'", "", "have the length of");
    refused(ok, ", quic-id: '0a0b'", ", quic-id: '0A0b'", "already");
}

static void test_digits(void **state)
{
    uint8_t id[QUIC_ID_MAX];
    assert_int_equal(quic_id_parse("00fFa9", id), 3);
    assert_memory_equal(id, "\x00\xff\xa9", 3);
    assert_int_equal(quic_id_parse("", id), 0);
    assert_int_equal(quic_id_parse("0", id), 0);
    assert_int_equal(quic_id_parse("0g", id), 0);
    assert_int_equal(quic_id_parse("000102030405060708090a0b0c0d0e", id), 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_taken), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_digits)};
    return cmocka_run_group_tests_name("config_quic", tests, NULL, NULL);
}
