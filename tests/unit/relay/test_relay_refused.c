/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the balancer does not believe: hand-off packets without a valid tag, or that are no answers. And what of a
 * delayed service is neither handshake nor request: fragments and ICMP.
 */
#include "delayed.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: www.example.com\r\n\r\n"

enum {
    OUTER = 14,
    UDP_AT = 34,
    GUE_AT = 42,
    HANDOFF_AT = 46,
    INNER_AT = 70
}; /* in a frame over IPv4 without a VLAN tag */

/* A client whose request NODE_V4 was asked to let go, and the node's answer. */
static struct client moving(const char *to, struct frame *inner, struct frame *reply)
{
    struct client c = client_bound(to);
    struct frame out;
    struct handoff h;
    assert_int_equal(say_text(&c, inner, &out, GET("/six")), XDP_TX);
    tunnel_read(inner, &out, &nodes[NODE_V4], &h);
    h.kind = HANDOFF_MOVED;
    tunnel_build(reply, inner, "203.0.113.4", "203.0.113.254", &h);
    return c;
}

static void refused(const struct client *c, struct frame *f, enum relay_counter why)
{
    struct frame out;
    assert_int_equal(run(f, &out), XDP_DROP);
    COUNTED(why);
    assert_int_equal(flow_of(c).node, NODE_V4);
    assert_int_equal(flow_of(c).moves, 0);
}

static void test_tag(void **state)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        struct frame inner, reply, f, out;
        struct client c = moving(vips[v6], &inner, &reply);
        /* Any bit of header and of addresses, ports, numbers, flags; not the version, nor how often it was put off. */
        for (uint32_t i = HANDOFF_AT + 1; i < INNER_AT + (v6 ? 56u : 40u); i++) {
            if (i == HANDOFF_AT + 3)
                continue;
            f = reply;
            f.data[i] ^= (uint8_t)(1 << i % 8);
            refused(&c, &f, RELAY_TAG_WRONG);
        }
        for (uint32_t cut = 1; cut <= inner.len - inner.l3; cut += 7) { /* what the outer header says of the length */
            f = reply;
            f.len -= cut;
            set_lengths(&f);
            uint32_t left = f.len - INNER_AT, least = v6 ? HANDOFF_INNER_V6 : HANDOFF_INNER_V4;
            if (left < least)
                refused(&c, &f,
                        left < (v6 ? HANDOFF_SHORT_V6 : HANDOFF_SHORT_V4) ? RELAY_HANDOFF_BAD : RELAY_TAG_WRONG);
        }
        /* The same header for another connection. */
        struct client other = client_bound(vips[v6]);
        struct frame theirs;
        segment(&other, &theirs, PSH | ACK, GET("/six"), sizeof GET("/six") - 1);
        f = reply;
        memcpy(f.data + INNER_AT, theirs.data + theirs.l3, theirs.len - theirs.l3);
        refused(&other, &f, RELAY_TAG_WRONG);
        f = reply;
        f.data[HANDOFF_AT + 3] = 5;
        assert_int_equal(run(&f, &out), XDP_TX);
        COUNTED(RELAY_MOVED, RELAY_SENT_HOPS);
        assert_int_equal(flow_of(&c).node, NODE_V6);
    }
}

static void test_malformed(void **state)
{
    static const struct {
        uint32_t at;
        uint8_t value;
    } wrong[] = {{GUE_AT, 5},
                 {GUE_AT, 7},
                 {GUE_AT, 0x26},
                 {GUE_AT, 0x46},
                 {GUE_AT + 1, 0},
                 {GUE_AT + 1, 6},
                 {GUE_AT + 1, IPPROTO_GRE},
                 {GUE_AT + 2, 0x80},
                 {GUE_AT + 2, 0x40},
                 {GUE_AT + 3, 1},
                 {HANDOFF_AT, 0},
                 {HANDOFF_AT, 2},
                 {HANDOFF_AT, 255}};
    struct frame inner, reply, f;
    struct client c = moving("192.0.2.1:80", &inner, &reply);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        f = reply;
        f.data[wrong[i].at] = wrong[i].value;
        refused(&c, &f, RELAY_HANDOFF_BAD);
    }
    for (uint32_t len = GUE_AT; len < INNER_AT + HANDOFF_SHORT_V4; len++) {
        f = reply;
        f.len = len;
        set_lengths(&f);
        refused(&c, &f, RELAY_HANDOFF_BAD);
    }
}

/* Tags fit, but these are not for a balancer to follow. */
static void test_not_answers(void **state)
{
    static const uint8_t kinds[] = {
        0,  HANDOFF_PACKET,      HANDOFF_OPEN, HANDOFF_MOVE, HANDOFF_FIND, HANDOFF_NEXT, HANDOFF_NEXT + 1,
        15, HANDOFF_REFUSED + 1, 255};
    struct frame inner, f, out;
    struct client c = moving("192.0.2.1:80", &inner, &f);
    for (size_t i = 0; i < sizeof kinds; i++) {
        struct handoff h = {.kind = kinds[i], .key = SEND_KEY};
        tunnel_build(&f, &inner, "203.0.113.4", "203.0.113.254", &h);
        refused(&c, &f, RELAY_HANDOFF_BAD);
    }
    for (uint32_t target = RELAY_NODES_MAX; target; target = target == RELAY_NODES_MAX ? UINT32_MAX : 0) {
        struct handoff h = {.kind = HANDOFF_MOVED, .key = SEND_KEY, .target = target};
        tunnel_build(&f, &inner, "203.0.113.4", "203.0.113.254", &h);
        assert_int_equal(run(&f, &out), XDP_DROP);
        COUNTED_NOTHING();
    }
    struct client at_another = c; /* of a place in the stream that nobody was asked about */
    at_another.seq--;
    segment(&at_another, &inner, PSH | ACK, GET("/six"), sizeof GET("/six") - 1);
    struct handoff h = {.kind = HANDOFF_MOVED, .key = SEND_KEY, .target = NODE_V6};
    tunnel_build(&f, &inner, "203.0.113.4", "203.0.113.254", &h);
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED_NOTHING();
    at_another = client_of("192.0.2.1:80"); /* of a connection nobody knows */
    segment(&at_another, &inner, PSH | ACK, GET("/six"), sizeof GET("/six") - 1);
    tunnel_build(&f, &inner, "203.0.113.4", "203.0.113.254", &h);
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED_NOTHING();
    at_another = client_of("192.0.2.99:80"); /* of no service here */
    segment(&at_another, &inner, PSH | ACK, "x", 1);
    tunnel_build(&f, &inner, "203.0.113.4", "203.0.113.254", &h);
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED(RELAY_HANDOFF_BAD);
    struct endpoint from = at("198.51.100.7"), to = at("192.0.2.1"); /* not TCP */
    link_head(&inner, 0x0800, 0);
    ip_head(&inner, &from.addr, &to.addr, IPPROTO_UDP);
    put(&inner, "\x10\0\0\x50\0\x08\0\0", 8);
    set_lengths(&inner);
    tunnel_build(&f, &inner, "203.0.113.4", "203.0.113.254", &h);
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED(RELAY_HANDOFF_BAD);
    link_head(&inner, 0x0800, 0); /* no IP at all */
    put(&inner, (const uint8_t[48]){0x30, 1, 2}, 48);
    h.key = SEND_KEY;
    tunnel_build(&f, &inner, "203.0.113.4", "203.0.113.254", &h);
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED_NOTHING();
    assert_int_equal(flow_of(&c).node, NODE_V4);
}

/* Each of the four keys, over both families, with VLAN tags. */
static void test_answers_over_any_way(void **state)
{
    for (unsigned i = 0; i < 4 * 2 * 2 * 3; i++) {
        struct frame inner, f, out;
        struct client c = client_bound(vips[i >> 2 & 1]);
        struct handoff h;
        bool over_v6 = i >> 3 & 1;
        c.vlans = (int)(i >> 4);
        assert_int_equal(say_text(&c, &inner, &out, GET("/six")), XDP_TX);
        tunnel_read(&inner, &out, &nodes[NODE_V4], &h);
        h.key = i & 3;
        h.kind = HANDOFF_MOVED;
        tunnel_build(&f, &inner, over_v6 ? "2001:db8:f::6" : "203.0.113.4",
                     over_v6 ? "2001:db8:f::fe" : "203.0.113.254", &h);
        assert_int_equal(run(&f, &out), XDP_TX);
        COUNTED(RELAY_MOVED, RELAY_SENT_HOPS);
        tunnel_read(&inner, &out, &nodes[NODE_V6], &h);
    }
}

/* A node's answer to the daemon's question whether it is there: kept, and no more; others' words are not. */
static void test_heard(void **state)
{
    struct frame inner, f, out;
    struct relay_heard heard;
    tcp_build(&inner, &(struct tcp_say){.from = "192.0.0.8:6080", .to = "192.0.0.8:6080", .flags = ACK, .seq = 77});
    struct handoff h = {.kind = HANDOFF_UNKNOWN, .key = SEND_KEY, .target = RELAY_PROBE | NODE_LAN};
    tunnel_build(&f, &inner, "192.0.2.130", "192.0.2.254", &h);
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED(RELAY_NODE_HEARD);
    assert_int_equal(relay_heard(relay, NODE_LAN, &heard), 0);
    assert_int_equal(heard.number, 77);
    assert_int_equal(heard.answers, 1);
    f.data[INNER_AT + 27]++; /* the number is under the tag */
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED(RELAY_TAG_WRONG);
    h.kind = HANDOFF_FIND;
    tunnel_build(&f, &inner, "192.0.2.130", "192.0.2.254", &h);
    assert_int_equal(run(&f, &out), XDP_DROP);
    h.kind = HANDOFF_UNKNOWN;
    h.target = RELAY_PROBE | RELAY_NODES_MAX;
    tunnel_build(&f, &inner, "192.0.2.130", "192.0.2.254", &h);
    assert_int_equal(run(&f, &out), XDP_DROP);
    COUNTED_NOTHING();
    assert_int_equal(relay_heard(relay, NODE_LAN, &heard), 0);
    assert_int_equal(heard.answers, 1);
}

/* ---- fragments and ICMP ---- */

/* TCP in fragments: of a known connection they follow it; others would go round the cookies. */
static void test_fragments(void **state)
{
    struct frame whole, f, out;
    struct handoff h;
    for (int known = 0; known <= 1; known++) {
        struct client c = known ? client_bound("192.0.2.1:80") : client_of("192.0.2.1:80");
        for (int i = 1; i >= 0; i--) { /* a SYN, even of a known connection: no */
            segment(&c, &whole, i ? SYN : known ? RST | ACK : ACK, "some data", 9);
            f = whole;
            store16(&f, f.l3 + 6, 0x2000);
            store16(&f, f.l3 + 4, (uint16_t)(100 + known));
            assert_int_equal(run(&f, &out), known && !i ? XDP_TX : XDP_DROP);
            if (known && !i)
                COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
            else
                COUNTED(RELAY_FRAGMENT_MISS);
        }
        assert_int_equal(flow_is(&c), known);
        if (!known)
            continue;
        assert_int_equal(flow_of(&c).state, RELAY_FLOW_BOUND); /* a reset without its end resets nothing here */
        tunnel_read(&f, &out, &nodes[NODE_V4], &h);
        assert_int_equal(h.kind, HANDOFF_PACKET);
        store16(&f, f.l3 + 6, 100);
        assert_int_equal(run(&f, &out), XDP_TX);
        COUNTED(RELAY_FRAGMENT_HIT, RELAY_SENT_HOPS);
        tunnel_read(&f, &out, &nodes[NODE_V4], &h);
        store16(&f, f.l3 + 4, 99);
        assert_int_equal(run(&f, &out), XDP_PASS);
        COUNTED(RELAY_FRAGMENT_MISS);
    }
}

static void icmp_error(struct frame *f, const struct client *c)
{
    bool v4 = c->to[0] != '[';
    struct endpoint vip = at(c->to), client = at(c->from), router = at(v4 ? "203.0.113.77" : "2001:db8:ffff::1");
    link_head(f, v4 ? 0x0800 : 0x86dd, 0);
    ip_head(f, &router.addr, &vip.addr, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
    put(f, v4 ? "\x03\x04\0\0\0\0\x05\0" : "\x02\0\0\0\0\0\x05\0", 8);
    if (v4)
        v4_head(f, &vip.addr, &client.addr, IPPROTO_TCP, 0, 0x4000);
    else
        v6_head(f, &vip.addr, &client.addr, IPPROTO_TCP);
    put16(f, vip.port);
    put16(f, client.port);
    put32(f, c->ack);
    set_lengths(f);
}

/* A router's "too big" about what the node sends goes to that node, after a move to the new one. */
static void test_icmp(void **state)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        struct frame inner, reply, f, out;
        struct handoff h;
        struct client c = moving(vips[v6], &inner, &reply), stranger = client_of(vips[v6]);
        icmp_error(&f, &c);
        assert_int_equal(run(&f, &out), XDP_TX);
        COUNTED(RELAY_FLOW_HIT, RELAY_ICMP_RELAYED, RELAY_SENT_HOPS);
        tunnel_read(&f, &out, &nodes[NODE_V4], &h);
        assert_int_equal(h.kind, HANDOFF_PACKET);
        assert_int_equal(run(&reply, &out), XDP_TX);
        assert_int_equal(run(&f, &out), XDP_TX);
        tunnel_read(&f, &out, &nodes[NODE_V6], &h);
        icmp_error(&f, &stranger);
        assert_int_equal(run(&f, &out), XDP_DROP); /* its node does not follow from the addresses */
        COUNTED(RELAY_ICMP_UNKNOWN);
        assert_false(flow_is(&stranger));
        /* A connection of the front end's: this machine's kernel hears it. */
        c = client_open(vips[v6]);
        assert_int_equal(say_text(&c, &f, &out, GET("/moved")), XDP_PASS);
        icmp_error(&f, &c);
        assert_int_equal(run(&f, &out), XDP_PASS);
        COUNTED(RELAY_FLOW_HIT, RELAY_ICMP_RELAYED, RELAY_SELF);
        assert_memory_equal(out.data, f.data, f.len);
    }
}

/* Anybody can complete handshakes: what they tell leaves half of the room for segments. */
static void test_round_trips_give_way(void **state)
{
    struct frame f, ack, out;
    struct client c = client_open("192.0.2.1:80"), timed = client_open("192.0.2.1:80");
    timed.options = "\x01\x01\x08\x0a\0\0\x30\x40\0\0\0\x01";
    timed.options_len = 12;
    segment(&timed, &ack, ACK, NULL, 0);
    segment(&c, &f, PSH | ACK, "GET /", 5);
    memset(&told, 0, sizeof told);
    for (unsigned i = 0; i < RELAY_EVENT_BYTES / RELAY_SEGMENT_MAX / 4 * 3; i++) {
        if (i == 100)
            assert_int_equal(run(&ack, &out), XDP_DROP);
        assert_int_equal(run(&f, &out), XDP_DROP);
    }
    assert_int_equal(run(&ack, &out), XDP_DROP);
    COUNTED(RELAY_HANDSHAKE);
    while (relay_events_read(relay))
        continue;
    assert_int_equal(told.rtts, 1);
}

static void test_every_counter(void **state)
{
    all_seen(SHARE_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_tag, need_relay),
        cmocka_unit_test_setup(test_malformed, need_relay),
        cmocka_unit_test_setup(test_not_answers, need_relay),
        cmocka_unit_test_setup(test_answers_over_any_way, need_relay),
        cmocka_unit_test_setup(test_fragments, need_relay),
        cmocka_unit_test_setup(test_icmp, need_relay),
        cmocka_unit_test_setup(test_heard, need_relay),
        cmocka_unit_test_setup(test_round_trips_give_way, need_relay),
        cmocka_unit_test_setup(test_every_counter, need_relay),
    };
    return cmocka_run_group_tests_name("relay_refused", tests, farm_begin, farm_end);
}
