/* SPDX-License-Identifier: Apache-2.0 */
/* What balancers tell each other of connections: the datagrams, who is believed, and which record is newer. */
#include <string.h>
#include "../cmocka_pm.h"
#include "relay/share.h"

enum { NOW = 1000000000 /* ms */ };
static const uint8_t secret[RELAY_SECRET] = {1, 2, 3}, another[RELAY_SECRET] = {3, 2, 1};

static struct share_record record_make(uint32_t i)
{
    struct share_record r = {.set = 0x123456789abcdef0ull + i, .age_ms = 7 * i, .what = i % 2 ? SHARE_GONE : SHARE_FLOW};
    memset(r.key.client, (int)(0x20 + i), 16);
    memset(r.key.vip, (int)(0x40 + i), 16);
    memset(r.node, (int)(0x60 + i), 16);
    r.key.client_port = (uint16_t)(1000 + i);
    r.key.vip_port = (uint16_t)(80 + i);
    r.key.proto = 6;
    r.flow = (struct relay_flow){.packets = i, .first = 100 + i, .start = 0xfffffff0u + i, .ack = 300 + i, .moves = 65535};
    r.flow.next = 400 + i;
    r.flow.tcp = (struct handoff_tcp){.mss = 1460, .options = 7, .wscale = 0x78};
    r.flow.state = RELAY_FLOW_BOUND;
    r.flow.flags = RELAY_FLOW_PINNED | RELAY_FLOW_GUESS;
    return r;
}

static void test_there_and_back(void **state)
{
    struct share_sender s;
    struct share_receiver r = {0};
    struct share_message m;
    struct share_record sent[SHARE_RECORDS_MAX];
    uint8_t datagram[SHARE_DATAGRAM];
    assert_int_equal(share_sender_init(&s, secret, NOW), 0);
    for (uint32_t n = 0; n <= SHARE_RECORDS_MAX; n++) {
        for (uint32_t i = 0; i < n; i++)
            sent[i] = record_make(i);
        size_t length = share_seal(&s, NOW + n, n ? SHARE_FLOWS : SHARE_HELLO, sent, n, datagram);
        assert_int_equal(length, SHARE_HEAD + SHARE_BODY + n * SHARE_RECORD + SHARE_TAG);
        assert_int_equal(share_open(&r, secret, NOW, datagram, length, &m), 0);
        assert_int_equal(m.kind, n ? SHARE_FLOWS : SHARE_HELLO);
        assert_int_equal(m.begun, n == 0);
        assert_int_equal(m.count, n);
        assert_memory_equal(m.record, sent, n * sizeof *sent);
    }
    assert_int_equal(share_seal(&s, NOW, SHARE_FLOWS, sent, SHARE_RECORDS_MAX + 1, datagram), 0);
}

/* What is only one's own stays there. */
static void test_flags(void **state)
{
    struct share_sender s;
    struct share_receiver r = {0};
    struct share_message m;
    struct share_record one = record_make(0);
    uint8_t datagram[SHARE_DATAGRAM];
    one.flow.flags = 0xff;
    assert_int_equal(share_sender_init(&s, secret, NOW), 0);
    size_t length = share_seal(&s, NOW, SHARE_FLOWS, &one, 1, datagram);
    assert_int_equal(share_open(&r, secret, NOW, datagram, length, &m), 0);
    assert_int_equal(m.record[0].flow.flags, 0xff & ~(RELAY_FLOW_LET_GO | RELAY_FLOW_CIDS | 128));
}

static void test_nobody_else_is_believed(void **state)
{
    struct share_sender s;
    struct share_receiver r = {0};
    struct share_message m;
    struct share_record one = record_make(0);
    uint8_t datagram[SHARE_DATAGRAM + 1] = {0}, changed[SHARE_DATAGRAM + 1];
    assert_int_equal(share_sender_init(&s, another, NOW), 0);
    size_t length = share_seal(&s, NOW, SHARE_FLOWS, &one, 1, datagram);
    assert_int_equal(share_open(&r, secret, NOW, datagram, length, &m), PM_EPERM);
    assert_int_equal(share_sender_init(&s, secret, NOW), 0);
    length = share_seal(&s, NOW, SHARE_FLOWS, &one, 1, datagram);
    for (size_t i = 0; i < length; i++) {
        memcpy(changed, datagram, sizeof changed);
        changed[i] ^= 1;
        assert_int_not_equal(share_open(&r, secret, NOW, changed, length, &m), 0);
        assert_int_equal(r.started_ms, 0); /* nothing is learned of it */
        assert_int_not_equal(share_open(&r, secret, NOW, datagram, i, &m), 0);
    }
    assert_int_not_equal(share_open(&r, secret, NOW, datagram, length + 1, &m), 0);
    assert_int_equal(share_open(&r, secret, NOW, datagram, length, &m), 0);
}

static void test_once(void **state)
{
    struct share_sender s, old;
    struct share_receiver r = {0};
    struct share_message m;
    uint8_t d[70][SHARE_DATAGRAM], before[SHARE_DATAGRAM], late[SHARE_DATAGRAM];
    size_t length = 0;
    assert_int_equal(share_sender_init(&old, secret, NOW - 1000), 0);
    assert_int_equal(share_sender_init(&s, secret, NOW), 0);
    (void)!share_seal(&old, NOW, SHARE_HELLO, NULL, 0, before);
    for (int i = 0; i < 70; i++)
        length = share_seal(&s, NOW, SHARE_HELLO, NULL, 0, d[i]);
    assert_int_equal(share_open(&r, secret, NOW, before, length, &m), 0);
    assert_int_equal(share_open(&r, secret, NOW, d[3], length, &m), 0);
    assert_true(m.begun);
    assert_int_equal(share_open(&r, secret, NOW, d[3], length, &m), PM_EEXISTS);
    assert_int_equal(share_open(&r, secret, NOW, d[1], length, &m), 0); /* overtaken on the way */
    assert_int_equal(share_open(&r, secret, NOW, d[1], length, &m), PM_EEXISTS);
    assert_int_equal(share_open(&r, secret, NOW, d[69], length, &m), 0);
    assert_int_equal(share_open(&r, secret, NOW, d[6], length, &m), 0);
    assert_int_equal(share_open(&r, secret, NOW, d[6], length, &m), PM_EEXISTS);
    assert_int_equal(share_open(&r, secret, NOW, d[5], length, &m), PM_EEXISTS); /* too late */
    assert_int_equal(share_open(&r, secret, NOW, before, length, &m), PM_EEXISTS); /* of the process before */
    (void)!share_seal(&s, NOW - SHARE_CLOCKS_MS - 1, SHARE_HELLO, NULL, 0, late);
    assert_int_equal(share_open(&r, secret, NOW, late, length, &m), PM_EEXISTS);
    struct share_receiver fresh = {0}; /* who has just started has no number to compare: the time says it */
    assert_int_equal(share_open(&fresh, secret, NOW + SHARE_CLOCKS_MS + 1, d[4], length, &m), PM_EEXISTS);
}

/* ---- which is newer ---- */

enum { NODE = 3, OTHER = 4, SET = 9 };
#define NOW_NS (1000ull * NOW)

static struct relay_flow flow_make(void)
{
    struct relay_flow f = {.node = NODE, .set = SET, .first = 100, .start = 500, .ack = 700, .next = 600, .moves = 5};
    f.state = RELAY_FLOW_BOUND;
    f.seen_ns = NOW_NS - 100 * 1000000ull;
    return f;
}

static struct share_record of(const struct relay_flow *f, uint32_t age_ms)
{
    return (struct share_record){.key.proto = 6, .flow = *f, .age_ms = age_ms};
}

static void test_what_is_new_is_taken(void **state)
{
    struct relay_flow f = flow_make(), out;
    struct share_record r = of(&f, 30);
    assert_true(share_takes(NULL, &r, OTHER, SET, NOW_NS, &out));
    assert_int_equal(out.node, OTHER);
    assert_int_equal(out.set, SET);
    assert_int_equal(out.flags, RELAY_FLOW_SHARED);
    assert_int_equal(out.seen_ns, NOW_NS - 30 * 1000000ull);
    assert_int_equal(out.next, 600);
}

static void test_older_changes_nothing(void **state)
{
    struct relay_flow mine = flow_make(), theirs = mine, out;
    struct share_record r = of(&theirs, 200);
    assert_false(share_takes(&mine, &r, NODE, SET, NOW_NS, &out)); /* the same */
    r.flow.moves = 4;
    r.flow.next = 900;
    assert_false(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out));
    r.flow.moves = 5;
    r.flow.next = 599;
    assert_false(share_takes(&mine, &r, NODE, SET, NOW_NS, &out));
    r.flow.next = 900;
    assert_false(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out)); /* as often, elsewhere: our own word */
    assert_true(share_takes(&mine, &r, NODE, SET, NOW_NS, &out));
    assert_int_equal(out.next, 900);
    assert_int_equal(out.flags, RELAY_FLOW_SHARED);
    mine.moves = 65535; /* counters go round */
    r.flow.moves = 2;
    assert_true(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out));
    assert_int_equal(out.node, OTHER);
    mine.next = 0xfffffff0u; /* and so do sequence numbers */
    mine.moves = 2;
    r.flow.next = 5;
    assert_true(share_takes(&mine, &r, NODE, SET, NOW_NS, &out));
}

static void test_ends(void **state)
{
    struct relay_flow mine = flow_make(), out;
    struct share_record r = of(&mine, 200);
    r.flow.flags = RELAY_FLOW_REPLACEABLE;
    assert_true(share_takes(&mine, &r, NODE, SET, NOW_NS, &out));
    assert_int_equal(out.flags, RELAY_FLOW_REPLACEABLE); /* else it is as it was: our own */
    assert_false(share_takes(&out, &r, NODE, SET, NOW_NS, &mine));
    r.flow.state = RELAY_FLOW_ENDED;
    assert_true(share_takes(&out, &r, NODE, SET, NOW_NS, &mine));
    assert_int_equal(mine.state, RELAY_FLOW_ENDED);
}

/* On the same addresses and ports. */
static void test_another_connection(void **state)
{
    struct relay_flow mine = flow_make(), out;
    struct share_record r = of(&mine, 50);
    r.flow.first = 100000;
    r.flow.moves = 0;
    assert_true(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out)); /* ours was last seen before */
    r.age_ms = 200;
    assert_false(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out));
    mine.first = 0; /* ours was found at a node: maybe another */
    r.flow.flags = RELAY_FLOW_SHARED;
    assert_false(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out));
    r.age_ms = 50;
    assert_true(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out));
    assert_int_equal(out.node, OTHER);
}

/* A node has said that it has the connection: how it began is not known, where it is, is. */
static void test_found(void **state)
{
    struct relay_flow mine = flow_make(), out;
    struct share_record r = of(&mine, 1);
    r.flow.first = 0;
    r.flow.moves = 0;
    r.flow.flags = RELAY_FLOW_GUESS;
    assert_true(share_takes(&mine, &r, NODE, SET, NOW_NS, &out)); /* we know that, and better, but maybe not the last of it */
    assert_int_equal(out.next, 600);
    assert_int_equal(out.flags, RELAY_FLOW_SHARED);
    assert_true(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out));
    assert_int_equal(out.first, 100);
    assert_int_equal(out.moves, 5);
    assert_int_equal(out.flags, RELAY_FLOW_GUESS | RELAY_FLOW_SHARED);
    r.age_ms = SHARE_FOUND_MS;
    mine.seen_ns = 0;
    assert_true(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out)); /* by now we may know more; the node is asked */
    assert_int_equal(out.node, NODE);
    assert_int_equal(out.flags, RELAY_FLOW_SHARED);
}

/* A router that divides anew has given the client's packets to the other one, and may give them back. */
static void test_came_there_since(void **state)
{
    struct relay_flow mine = flow_make(), out;
    struct share_record r = of(&mine, 20);
    mine.packets = 77;
    r.flow.next = 500;
    assert_true(share_takes(&mine, &r, NODE, SET, NOW_NS, &out));
    assert_int_equal(out.packets, 77);
    assert_int_equal(out.next, 600);
    assert_int_equal(out.flags, RELAY_FLOW_SHARED);
    assert_false(share_takes(&out, &r, NODE, SET, NOW_NS, &mine)); /* that is known */
    mine.flags = 0;
    assert_true(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out)); /* it says another node: ours is asked first */
    assert_int_equal(out.node, NODE);
    r.flow.moves = 3;
    assert_true(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out));
    assert_int_equal(out.node, NODE);
    assert_int_equal(out.moves, 5);
    r.age_ms = 100 + SHARE_TOGETHER_MS;
    assert_true(share_takes(&mine, &r, NODE, SET, NOW_NS, &out));
    r.age_ms++;
    assert_false(share_takes(&mine, &r, NODE, SET, NOW_NS, &out)); /* before they came here */
    r.age_ms = 20;
    r.flow.flags = RELAY_FLOW_SHARED;
    assert_false(share_takes(&mine, &r, NODE, SET, NOW_NS, &out)); /* it knows that from us */
    r.flow.flags = 0;
    mine.flags = RELAY_FLOW_PINNED;
    assert_false(share_takes(&mine, &r, NODE, SET, NOW_NS, &out)); /* nothing about it changes */
    mine.flags = 0;
    mine.state = r.flow.state = RELAY_FLOW_PLAIN;
    mine.start = r.flow.start;
    assert_false(share_takes(&mine, &r, NODE, SET, NOW_NS, &out));
}

/* Datagrams, and all of a client's packets: who had the last one is right. */
static void test_not_tcp(void **state)
{
    static const uint8_t protocols[] = {0, 1, 17, 132};
    for (size_t i = 0; i < sizeof protocols; i++) {
        struct relay_flow mine = flow_make(), out;
        struct share_record r = of(&mine, 99);
        r.key.proto = protocols[i];
        r.flow.state = mine.state = RELAY_FLOW_PLAIN;
        r.flow.start = mine.start = i ? 0 : 77;
        r.flow.moves = 0;
        assert_true(share_takes(NULL, &r, NODE, SET, NOW_NS, &out));
        assert_true(share_takes(&mine, &r, NODE, SET, NOW_NS, &out)); /* it goes on there: it is not quiet */
        assert_int_equal(out.seen_ns, NOW_NS - 99 * 1000000ull);
        assert_true(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out));
        assert_int_equal(out.node, OTHER);
        r.age_ms = 100;
        assert_false(share_takes(&mine, &r, OTHER, SET, NOW_NS, &out));
        assert_false(share_takes(&mine, &r, NODE, SET, NOW_NS, &out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_flags),
        cmocka_unit_test(test_nobody_else_is_believed), cmocka_unit_test(test_once),
        cmocka_unit_test(test_what_is_new_is_taken), cmocka_unit_test(test_older_changes_nothing),
        cmocka_unit_test(test_ends), cmocka_unit_test(test_another_connection), cmocka_unit_test(test_found),
        cmocka_unit_test(test_came_there_since), cmocka_unit_test(test_not_tcp),
    };
    return cmocka_run_group_tests_name("relay_share", tests, NULL, NULL);
}
