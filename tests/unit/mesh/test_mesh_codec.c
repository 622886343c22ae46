/* SPDX-License-Identifier: Apache-2.0 */
/* DSSP on the wire: what is written is read again, every cut and every bound is noticed, the document shows the tables. */
#include "../cmocka_pm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "mesh/codec.h"
#include "mesh/values.h"

static uint8_t space[MESH_MESSAGE_MAX];

static struct mesh_record sample(void)
{
    return (struct mesh_record){.node = mesh_str("paris-1"), .incarnation = 0x1122334455667788, .sequence = 7, .kind = 4711,
                                .flags = MESH_RECORD_EVENT | 0x40, .subject = mesh_str("www.example.com 192.0.2.1"),
                                .lifetime_ms = 180000, .age_ms = 1500, .value = (const uint8_t *)"\0\1value", .value_len = 7,
                                .signature = (const uint8_t *)"sig", .signature_len = 3};
}

static void test_record_round_trip(void **state)
{
    struct mesh_writer w = mesh_writer(space, sizeof space);
    struct mesh_record a = sample(), b;
    mesh_put_record(&w, &a);
    assert_false(w.full);
    assert_int_equal(w.len, mesh_record_size(&a));
    mesh_record_set_age(space, &a, 99);
    struct mesh_reader r = mesh_reader(space, w.len);
    assert_int_equal(mesh_get_record(&r, &b), 0);
    assert_true(mesh_str_eq(a.node, b.node) && mesh_str_eq(a.subject, b.subject));
    assert_true(a.incarnation == b.incarnation && a.sequence == b.sequence && a.kind == b.kind && a.flags == b.flags);
    assert_int_equal(b.age_ms, 99);
    assert_int_equal(b.value_len, 7);
    assert_memory_equal(b.value, a.value, 7);
    assert_memory_equal(b.signature, "sig", 3);
    assert_int_equal(mesh_get_record(&r, &b), PM_ENOTFOUND);
}

static void test_record_cut_short(void **state)
{
    struct mesh_writer w = mesh_writer(space, sizeof space);
    struct mesh_record a = sample();
    mesh_put_record(&w, &a);
    for (size_t n = 1; n < w.len; n++) {
        struct mesh_reader r = mesh_reader(space, n);
        assert_int_equal(mesh_get_record(&r, &a), PM_EPROTO);
    }
    /* A length that leaves bytes of the record over, and one that is longer than the message. */
    space[1]++;
    struct mesh_reader r = mesh_reader(space, w.len + 1);
    assert_int_equal(mesh_get_record(&r, &a), PM_EPROTO);
    space[0] = 0xff;
    r = mesh_reader(space, w.len + 1);
    assert_int_equal(mesh_get_record(&r, &a), PM_EPROTO);
}

static int parse(const struct mesh_record *rec)
{
    struct mesh_writer w = mesh_writer(space, sizeof space);
    struct mesh_record out;
    mesh_put_record(&w, rec);
    assert_false(w.full);
    struct mesh_reader r = mesh_reader(space, w.len);
    return mesh_get_record(&r, &out);
}

static void test_record_bounds(void **state)
{
    struct mesh_record a = sample();
    assert_int_equal(parse(&a), 0);
#define REFUSED(field, v)                                                                                               \
    do {                                                                                                                \
        a = sample();                                                                                                   \
        a.field = v;                                                                                                    \
        assert_int_equal(parse(&a), PM_EPROTO);                                                                         \
    } while (0)
    REFUSED(node, mesh_str(""));
    REFUSED(node, mesh_str("a b"));
    REFUSED(node, mesh_str("0123456789012345678901234567890123456789012345678901234567890123"));
    REFUSED(subject, mesh_str("a\nb"));
    REFUSED(incarnation, 0);
    REFUSED(sequence, 0);
    REFUSED(kind, 0);
    REFUSED(lifetime_ms, 999);
    REFUSED(lifetime_ms, MESH_LIFETIME_MAX_MS + 1);
    REFUSED(age_ms, 180001);
    REFUSED(flags, MESH_RECORD_TOMBSTONE); /* with a value */
    static uint8_t big[MESH_VALUE_MAX + 1];
    a = sample();
    a.value = big;
    a.value_len = MESH_VALUE_MAX;
    assert_int_equal(parse(&a), 0);
    a.value_len++;
    assert_int_equal(parse(&a), PM_EPROTO);
    a = sample();
    a.signature = big;
    a.signature_len = MESH_SIGNATURE_MAX + 1;
    assert_int_equal(parse(&a), PM_EPROTO);
}

static void test_writer_never_half(void **state)
{
    struct mesh_record a = sample();
    for (size_t cap = 0; cap < mesh_record_size(&a); cap++) {
        struct mesh_writer w = mesh_writer(space, cap);
        mesh_put_record(&w, &a);
        assert_true(w.full);
        assert_int_equal(w.len, 0);
    }
}

static void test_hello(void **state)
{
    struct mesh_hello h = {1, 3, mesh_str("n1"), mesh_str("eu"), mesh_str("paris"), mesh_str("0.1.0"), 42, 1}, g;
    struct mesh_writer w = mesh_writer(space, sizeof space);
    mesh_message_start(&w, MESH_HELLO, 0);
    mesh_put_hello(&w, &h);
    mesh_put_int(&w, 0xdead, 2); /* a later version's field */
    struct mesh_reader r = mesh_reader(space, w.len);
    uint8_t type, flags;
    assert_int_equal(mesh_message_open(&r, &type, &flags), 0);
    assert_int_equal(type, MESH_HELLO);
    assert_int_equal(mesh_get_hello(&r, &g), 0);
    assert_true(g.high == 3 && g.incarnation == 42 && g.features == 1 && mesh_str_eq(g.site, h.site));
    for (size_t n = 0; n < w.len - 2; n++) {
        r = mesh_reader(space, n);
        assert_true(mesh_message_open(&r, &type, &flags) < 0 || mesh_get_hello(&r, &g) < 0);
    }
    space[0] = MESH_VERSION + 1;
    r = mesh_reader(space, w.len);
    assert_int_equal(mesh_message_open(&r, &type, &flags), PM_EPROTO);
}

static void test_counts_are_bounded(void **state)
{
    struct mesh_writer w = mesh_writer(space, sizeof space);
    mesh_put_int(&w, 3, 2);
    for (int i = 0; i < 2; i++)
        mesh_put_summary(&w, &(struct mesh_summary_item){mesh_str("n"), 1, 2, 3});
    struct mesh_reader r = mesh_reader(space, w.len);
    assert_int_equal(mesh_get_count(&r, MESH_SUMMARY_LEAST), 0);
    assert_true(r.bad);
}

static struct mesh_record with(const struct mesh_writer *w)
{
    struct mesh_record rec = sample();
    rec.value = w->p;
    rec.value_len = (uint16_t)w->len;
    return rec;
}

static void test_values(void **state)
{
    struct mesh_sight in[3] = {{.health = 1, .stable = true, .response_us = 45123, .age_ms = 64},
                               {.health = 2, .response_us = MESH_RESPONSE_NONE, .age_ms = 86400000},
                               {.health = 3, .stable = true, .response_us = 99999999}}, out[3];
    assert_int_equal(addr_parse("192.0.2.1", &in[0].vip), 0);
    assert_int_equal(addr_parse("2001:db8::1", &in[1].vip), 0);
    assert_int_equal(addr_parse("192.0.2.2", &in[2].vip), 0);
    struct mesh_writer w = mesh_writer(space, sizeof space);
    mesh_put_times(&w, in, 3);
    assert_int_equal(w.len, 2 + 9 + 21 + 9);
    struct mesh_record rec = with(&w);
    unsigned n;
    assert_int_equal(mesh_get_times(&rec, out, 3, &n), 0);
    assert_int_equal(n, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(addr_eq(&in[i].vip, &out[i].vip));
        assert_int_equal(in[i].health, out[i].health);
        assert_int_equal(in[i].stable, out[i].stable);
    }
    assert_int_equal(out[0].response_us, 45123);
    assert_int_equal(out[0].age_ms, 64);
    assert_int_equal(out[1].response_us, MESH_RESPONSE_NONE);
    assert_true(out[1].age_ms <= 86400000 && out[1].age_ms >= 86400000 / 8 * 7);
    assert_int_equal(out[2].response_us, MESH_RESPONSE_MAX_US);
    assert_int_equal(mesh_get_times(&rec, out, 2, &n), PM_ESPACE);
    for (unsigned cut = 0; cut < w.len; cut++) {
        rec.value_len = (uint16_t)cut;
        assert_int_equal(mesh_get_times(&rec, out, 3, &n), PM_EPROTO);
    }

    uint8_t reason;
    w = mesh_writer(space, sizeof space);
    mesh_put_sight(&w, &in[1], MESH_REASON_FULL);
    rec = with(&w);
    assert_int_equal(mesh_get_sight(&rec, out, &reason), 0);
    assert_string_equal(mesh_reason_name(reason), "full");
    rec.value_len--;
    assert_int_equal(mesh_get_sight(&rec, out, &reason), PM_EPROTO);

    struct mesh_override o = {2, MESH_SCOPE_SITE, mesh_str("paris"), mesh_str("anna"), 5000, 60000}, o2;
    w = mesh_writer(space, sizeof space);
    mesh_put_override(&w, &o);
    rec = with(&w);
    assert_int_equal(mesh_get_override(&rec, &o2), 0);
    assert_true(o2.word == 2 && o2.scope == MESH_SCOPE_SITE && o2.said_ms == 5000 && o2.remaining_ms == 60000 && mesh_str_eq(o2.who, o.who));
    space[1] = MESH_SCOPE_COUNT;
    assert_int_equal(mesh_get_override(&rec, &o2), PM_EPROTO);

    struct mesh_capacity c = {in[1].vip, 10, MESH_LEFT_UNKNOWN}, c2;
    w = mesh_writer(space, sizeof space);
    mesh_put_capacity(&w, &c, 1);
    rec = with(&w);
    assert_int_equal(mesh_get_capacity(&rec, &c2, 1, &n), 0);
    assert_true(addr_eq(&c.vip, &c2.vip) && c2.used == 10 && c2.left == MESH_LEFT_UNKNOWN);

    struct mesh_handoff_item hand[2] = {{mesh_str("paris"), 6}, {mesh_str("tokyo"), 64}}, hand2[2];
    w = mesh_writer(space, sizeof space);
    mesh_put_handoff(&w, hand, 2);
    rec = with(&w);
    assert_int_equal(mesh_get_handoff(&rec, hand2, 2, &n), 0);
    assert_true(n == 2 && mesh_str_eq(hand2[1].site, hand[1].site) && hand2[1].weight == 64);

    struct mesh_resources res = {1ull << 40, 1ull << 41, 1500}, res2;
    w = mesh_writer(space, sizeof space);
    mesh_put_resources(&w, &res);
    rec = with(&w);
    assert_int_equal(mesh_get_resources(&rec, &res2), 0);
    assert_memory_equal(&res, &res2, sizeof res);

    struct mesh_persist per = {in[0].vip, 5000}, per2;
    w = mesh_writer(space, sizeof space);
    mesh_put_persist(&w, &per);
    rec = with(&w);
    assert_int_equal(mesh_get_persist(&rec, &per2), 0);
    assert_true(addr_eq(&per.vip, &per2.vip) && per2.idle_ms == 5000);
}

static void test_round_trips(void **state)
{
    struct mesh_round_trip in[3] = {{.us = 23456, .spread_us = 1200, .confidence = 200, .connections = 41, .age_ms = 12000},
                                    {.us = 1, .confidence = 255, .connections = UINT32_MAX},
                                    {.us = 99999999, .spread_us = 99999999}}, out[3];
    assert_int_equal(prefix_parse("198.51.100.0/24", &in[0].prefix), 0);
    assert_int_equal(prefix_parse("2001:db8:7::/48", &in[1].prefix), 0);
    assert_int_equal(prefix_parse("10.128.0.0/9", &in[2].prefix), 0);
    struct mesh_writer w = mesh_writer(space, sizeof space);
    mesh_put_round_trips(&w, in, 3);
    assert_int_equal(w.len, 2 + 17 + 20 + 16);
    struct mesh_record rec = with(&w);
    unsigned n;
    assert_int_equal(mesh_get_round_trips(&rec, out, 3, &n), 0);
    assert_int_equal(n, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(prefix_eq(&in[i].prefix, &out[i].prefix));
        assert_int_equal(in[i].confidence, out[i].confidence);
        assert_int_equal(in[i].connections, out[i].connections);
    }
    assert_int_equal(out[0].us, 23456);
    assert_int_equal(out[0].spread_us, 1200);
    assert_true(out[0].age_ms <= 12000 && out[0].age_ms >= 12000 / 8 * 7);
    assert_int_equal(out[2].us, MESH_RESPONSE_MAX_US);
    assert_int_equal(mesh_get_round_trips(&rec, out, 2, &n), PM_ESPACE);
    for (unsigned cut = 0; cut < w.len; cut++) {
        rec.value_len = (uint16_t)cut;
        assert_int_equal(mesh_get_round_trips(&rec, out, 3, &n), PM_EPROTO);
    }
    /* Byte by byte: family, length, bits beyond the length, no time at all. */
    static const struct {
        unsigned at;
        uint8_t value;
    } wrong[] = {{2, 5}, {3, 33}, {3, 7}, {3, 21}, {19, 4}, {20, 65}, {20, 15}, {39, 5}};
    for (unsigned i = 0; i < PM_ARRAY_LEN(wrong); i++) {
        w = mesh_writer(space, sizeof space);
        mesh_put_round_trips(&w, in, 3);
        rec = with(&w);
        space[wrong[i].at] = wrong[i].value;
        assert_int_equal(mesh_get_round_trips(&rec, out, 3, &n), PM_EPROTO);
    }
    in[0].us = 0;
    w = mesh_writer(space, sizeof space);
    mesh_put_round_trips(&w, in, 1);
    rec = with(&w);
    assert_int_equal(mesh_get_round_trips(&rec, out, 3, &n), PM_EPROTO);
}

static void test_ages(void **state)
{
    uint64_t before = 0;
    for (unsigned code = 0; code < 256; code++) {
        uint64_t ms = mesh_age_ms((uint8_t)code);
        assert_true(code == 0 || ms > before);
        assert_int_equal(mesh_age_code(ms), code);
        assert_int_equal(mesh_age_code(ms + 15), code);
        before = ms;
    }
    assert_int_equal(mesh_age_code(UINT64_MAX), 255);
}

/* The document's tables are the program's. */
static void test_document(void **state)
{
    struct buf text = BUF_INIT, row = BUF_INIT;
    FILE *f = fopen(TEST_DATA "/../../docs/protocol/dssp.md", "r");
    assert_non_null(f);
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        buf_add(&text, chunk, n);
    fclose(f);
    for (unsigned i = 0; i < mesh_message_count + mesh_kind_count; i++) {
        const struct mesh_row *r = i < mesh_message_count ? &mesh_message_rows[i] : &mesh_kind_rows[i - mesh_message_count];
        buf_clear(&row);
        buf_printf(&row, "\n| %u | `%s` | %s%s%s | %s |\n", r->number, r->name, r->subject ? r->subject : "",
                   r->subject ? " | " : "", r->body, r->doc);
        if (!strstr(buf_str(&text), buf_str(&row)))
            fail_msg("docs/protocol/dssp.md lacks the row: %s", buf_str(&row));
    }
    buf_fini(&text);
    buf_fini(&row);
    for (unsigned i = 0; i < mesh_kind_count; i++)
        assert_int_equal(mesh_kind_rows[i].number, i + 1); /* mesh_kind_name counts on it */
    for (unsigned i = 0; i < mesh_message_count; i++)
        assert_int_equal(mesh_message_rows[i].number, i + 1);
    assert_string_equal(mesh_kind_name(2), "times");
    assert_string_equal(mesh_kind_name(4711), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_round_trip), cmocka_unit_test(test_record_cut_short), cmocka_unit_test(test_record_bounds),
        cmocka_unit_test(test_writer_never_half), cmocka_unit_test(test_hello),            cmocka_unit_test(test_counts_are_bounded),
        cmocka_unit_test(test_values),            cmocka_unit_test(test_ages),             cmocka_unit_test(test_document),
        cmocka_unit_test(test_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
