/* SPDX-License-Identifier: Apache-2.0 */
/* Delayed binding: how connections end, begin again on the same addresses and ports, and what nodes do not take. */
#include "delayed.h"
#include "relay/maglev.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: www.example.com\r\n\r\n"

/* A connection that was reset is remembered, lest a late copy of its request open it again. */
static void is_over(const struct client *c, uint32_t first)
{
    struct frame f, out;
    struct client late = *c;
    assert_int_equal(flow_of(c).state, RELAY_FLOW_ENDED);
    late.seq = first;
    late.ack = flow_of(c).ack;
    assert_int_equal(say_text(&late, &f, &out, GET("/")), XDP_DROP);
    COUNTED_NOTHING();
    assert_int_equal(say(c, &f, &out, ACK, NULL, 0), XDP_DROP);
    COUNTED_NOTHING();
}

static void test_ends(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = client_bound("192.0.2.1:80");
    uint32_t first = flow_of(&c).first;
    passes(&c, FIN | ACK, "", NODE_V4);
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
    assert_int_equal(flow_of(&c).flags, RELAY_FLOW_REPLACEABLE);
    passes(&c, RST | ACK, "", NODE_V4);
    COUNTED(RELAY_FLOW_HIT, RELAY_FLOW_END, RELAY_SENT_HOPS);
    is_over(&c, first);
    c = client_open("192.0.2.1:80");
    assert_int_equal(say_text(&c, &f, &out, GET("/")), XDP_TX);
    first = c.seq;
    assert_int_equal(say(&c, &f, &out, RST | ACK, NULL, 0), XDP_TX); /* before the node is heard: must not overtake */
    COUNTED(RELAY_FLOW_HIT, RELAY_FLOW_END, RELAY_SENT_HOPS);
    tunnel_read(&f, &out, &nodes[NODE_V4], &h);
    assert_int_equal(h.kind, HANDOFF_OPEN);
    is_over(&c, first);
}

/* Whoever does not see a connection may guess its ports; not its numbers (RFC 5961): the node judges, we change nothing. */
static void test_forged(void **state)
{
    static const uint32_t away[] = {0x80000000u, 0x40000000u, 1u << 21, -1u, -70000u};
    for (size_t i = 0; i < sizeof away / sizeof *away; i++) {
        struct frame f, out;
        struct handoff h;
        struct client c = client_bound("192.0.2.1:80"), forged = c;
        forged.seq += away[i];
        passes(&forged, RST, "", NODE_V4);
        COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
        assert_int_equal(flow_of(&c).state, RELAY_FLOW_BOUND);
        passes(&c, ACK, "", NODE_V4);
        /* While it opens, neither a reset nor an acknowledgement makes the node's answer unnecessary. */
        c = client_open("192.0.2.1:80");
        assert_int_equal(say_text(&c, &f, &out, GET("/")), XDP_TX);
        forged = c;
        forged.seq += away[i];
        forged.ack += 500;
        assert_int_equal(say(&forged, &f, &out, RST | ACK, NULL, 0), XDP_TX);
        assert_int_equal(say(&forged, &f, &out, ACK, NULL, 0), XDP_TX);
        assert_int_equal(flow_of(&c).state, RELAY_FLOW_OPENING);
        forged = c;
        forged.ack -= 500;
        assert_int_equal(say(&forged, &f, &out, ACK, NULL, 0), XDP_TX);
        assert_int_equal(flow_of(&c).state, RELAY_FLOW_OPENING);
        assert_int_equal(say_text(&c, &f, &out, GET("/")), XDP_TX);
        tunnel_read(&f, &out, &nodes[NODE_V4], &h);
        assert_int_equal(h.kind, HANDOFF_OPEN);
    }
}

/* Forgotten and sent again, a request is the same node's: two must not answer it. */
static void test_forgotten_while_it_opens(void **state)
{
    unsigned at_v4 = 0;
    for (int i = 0; i < 64; i++) {
        struct frame f, out;
        struct client c = client_open("192.0.2.1:80");
        struct relay_flow_key k = key_of(&c);
        assert_int_equal(say_text(&c, &f, &out, GET("/both")), XDP_TX);
        uint32_t node = flow_of(&c).node;
        at_v4 += node == NODE_V4;
        assert_int_equal(relay_remove_flow(relay, &k), 0);
        assert_int_equal(say_text(&c, &f, &out, GET("/both")), XDP_TX);
        assert_int_equal(flow_of(&c).node, node);
    }
    assert_in_range(at_v4, 8, 56);
}

/* The program of the node does not answer: what needs it is refused, what its kernel understands goes on. */
static void test_silent(void **state)
{
    static const char post[] = "POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 20\r\n\r\n0123456789";
    struct frame f, out;
    struct relay_node lan = nodes[NODE_LAN];
    struct client opening = client_open("192.0.2.2:80"), bound = client_open("192.0.2.2:80"), other = client_open("192.0.2.2:80");
    assert_int_equal(say_text(&opening, &f, &out, GET("/")), XDP_TX);
    assert_int_equal(say_text(&bound, &f, &out, post), XDP_TX);
    bound.seq += sizeof post - 1;
    bound.ack += 100;
    assert_int_equal(say(&bound, &f, &out, ACK, NULL, 0), XDP_TX);
    lan.silent = 1;
    assert_int_equal(relay_set_node(relay, NODE_LAN, &lan), 0);
    assert_int_equal(say_text(&opening, &f, &out, GET("/")), XDP_TX);
    COUNTED(RELAY_NODE_GONE, RELAY_RESET_SENT);
    assert_int_equal(say(&bound, &f, &out, ACK, NULL, 0), XDP_TX);
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_L2);
    assert_int_equal(say_text(&bound, &f, &out, "0123456789"), XDP_TX); /* the rest of the body */
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_L2);
    bound.seq += 10;
    assert_int_equal(say_text(&bound, &f, &out, GET("/")), XDP_TX);
    COUNTED(RELAY_NODE_GONE, RELAY_RESET_SENT);
    assert_int_equal(say(&bound, &f, &out, RST | ACK, NULL, 0), XDP_TX);
    COUNTED(RELAY_FLOW_HIT, RELAY_FLOW_END, RELAY_SENT_L2);
    assert_int_equal(relay_set_node(relay, NODE_LAN, &nodes[NODE_LAN]), 0);
    assert_int_equal(say_text(&other, &f, &out, GET("/")), XDP_TX);
    COUNTED(RELAY_REQUEST_OPEN, RELAY_SENT_HOPS);
}

static void test_same_addresses_again(void **state)
{
    for (int by_syn = 0; by_syn <= 1; by_syn++) {
        struct frame f, out;
        struct handoff h;
        struct client c = client_bound("192.0.2.1:80"), again = c;
        if (!by_syn)
            passes(&c, FIN | ACK, "", NODE_V4);
        uint32_t before_it = flow_of(&c).start;
        again.seq += 0x1000000;
        client_syn(&again, SYN_OPTIONS, SYN_OPTIONS_LEN);
        assert_int_equal(flow_of(&c).flags, RELAY_FLOW_REPLACEABLE);
        assert_int_equal(flow_of(&c).start, before_it); /* a SYN alone, forged maybe, changes nothing */
        passes(&c, ACK, "", NODE_V4);
        struct client forged = again;
        forged.ack += 256;
        assert_int_equal(say_text(&forged, &f, &out, GET("/six")), XDP_DROP);
        COUNTED(RELAY_FLOW_HIT, RELAY_AHEAD);
        assert_int_equal(say_text(&again, &f, &out, GET("/six")), XDP_TX);
        COUNTED(RELAY_REQUEST_OPEN, RELAY_SENT_HOPS);
        tunnel_read(&f, &out, &nodes[NODE_V6], &h);
        assert_int_equal(h.kind, HANDOFF_OPEN);
        struct relay_flow flow = flow_of(&again);
        assert_int_equal(flow.start, again.seq);
        assert_int_equal(flow.flags, 0);
        assert_int_equal(flow.state, RELAY_FLOW_OPENING);
    }
}

/* Nor before, be the handshake's end and the first segment both late. */
static void test_same_addresses_second_first(void **state)
{
    for (int front = 0; front <= 1; front++) {
        struct frame f, out;
        struct client c = client_bound("192.0.2.1:80"), again = c, second;
        struct relay_flow flow = flow_of(&c);
        struct relay_flow_key k = key_of(&c);
        flow.flags = RELAY_FLOW_REPLACEABLE | (front ? RELAY_FLOW_PINNED : 0);
        flow.node = front ? SELF : flow.node;
        assert_int_equal(relay_set_flow(relay, &k, &flow), 0);
        again.seq -= 0x1000000;
        client_syn(&again, SYN_OPTIONS, SYN_OPTIONS_LEN);
        second = again;
        second.seq += 30;
        assert_int_equal(say_text(&second, &f, &out, "Host: www.example.com\r\n\r\n"), XDP_DROP);
        COUNTED(RELAY_AHEAD);
        assert_int_equal(flow_of(&c).state, RELAY_FLOW_BOUND); /* a SYN alone ends nothing */
        assert_int_equal(say_text(&again, &f, &out, GET("/six")), XDP_TX);
        COUNTED(RELAY_REQUEST_OPEN, RELAY_SENT_HOPS);
        assert_int_equal(flow_of(&again).first, again.seq);
        assert_int_equal(flow_of(&again).again, 0);
        struct client copy = again; /* of its SYN, late */
        copy.seq -= 1;
        assert_int_equal(say(&copy, &f, &out, SYN, NULL, 0), XDP_TX);
        second = again;
        second.seq += sizeof GET("/six") - 1;
        second.ack += 500;
        assert_int_equal(say(&second, &f, &out, ACK, NULL, 0), XDP_TX);
        assert_int_equal(say_text(&second, &f, &out, GET("/six")), XDP_TX);
        COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_STAY, RELAY_SENT_HOPS);
    }
}

/* Its handshake done, nothing of the new one goes to the old one's node, even if its first segment is late. */
static void test_same_addresses_out_of_order(void **state)
{
    for (int front = 0; front <= 1; front++) {
        struct frame f, out;
        struct handoff h;
        struct client c = client_bound("192.0.2.1:80"), again = c;
        struct relay_flow flow = flow_of(&c);
        struct relay_flow_key k = key_of(&c);
        flow.flags = RELAY_FLOW_REPLACEABLE | (front ? RELAY_FLOW_PINNED : 0);
        flow.node = front ? SELF : flow.node;
        assert_int_equal(relay_set_flow(relay, &k, &flow), 0);
        again.seq += 0x1000000;
        client_syn(&again, SYN_OPTIONS, SYN_OPTIONS_LEN);
        assert_int_equal(say(&again, &f, &out, ACK, NULL, 0), XDP_DROP);
        COUNTED(RELAY_HANDSHAKE);
        struct client second = again;
        second.seq += 30;
        assert_int_equal(say_text(&second, &f, &out, "Host: www.example.com\r\n\r\n"), XDP_DROP);
        COUNTED_NOTHING();
        assert_int_equal(say(&c, &f, &out, ACK, NULL, 0), XDP_DROP); /* of the old one, late */
        COUNTED_NOTHING();
        assert_int_equal(say_text(&again, &f, &out, GET("/six")), XDP_TX);
        COUNTED(RELAY_REQUEST_OPEN, RELAY_SENT_HOPS);
        tunnel_read(&f, &out, &nodes[NODE_V6], &h);
        assert_int_equal(h.kind, HANDOFF_OPEN);
        assert_int_equal(flow_of(&again).first, again.seq);
        assert_int_equal(say(&again, &f, &out, ACK, NULL, 0), XDP_TX); /* the handshake's, once more: changes nothing */
        assert_int_equal(flow_of(&again).state, RELAY_FLOW_OPENING);
    }
}

/*
 * The node is down. A request that follows an answer can go to another at once; what it may have begun to answer
 * cannot, and the client is told.
 */
static void test_node_down(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct relay_node down = nodes[NODE_V4];
    struct client idle = client_bound("192.0.2.1:80"), asking = client_bound("[2001:db8::1]:80"), waiting = asking;
    struct client opening = client_open("192.0.2.1:80"), moving = client_bound("192.0.2.1:80"), quitting = idle;
    assert_int_equal(say_text(&opening, &f, &out, GET("/")), XDP_TX);
    waiting.ack -= 500;
    down.mode = RELAY_NODE_DOWN;
    assert_int_equal(relay_set_node(relay, NODE_V4, &down), 0);
    assert_int_equal(say_text(&opening, &f, &out, GET("/")), XDP_TX);
    COUNTED(RELAY_NODE_GONE, RELAY_RESET_SENT);
    assert_int_equal(load32(&out, f.l4 + 4), opening.ack);
    assert_int_equal(say_text(&waiting, &f, &out, GET("/six")), XDP_TX);
    COUNTED(RELAY_NODE_GONE, RELAY_RESET_SENT);
    assert_int_equal(say(&quitting, &f, &out, RST | ACK, NULL, 0), XDP_DROP);
    COUNTED(RELAY_NODE_GONE);
    assert_int_equal(say(&idle, &f, &out, ACK, NULL, 0), XDP_TX);
    COUNTED(RELAY_NODE_GONE, RELAY_RESET_SENT);
    assert_int_equal(say_text(&asking, &f, &out, GET("/six")), XDP_TX);
    COUNTED(RELAY_NODE_GONE, RELAY_REQUEST_MOVE, RELAY_SENT_HOPS);
    tunnel_read(&f, &out, &nodes[NODE_V6], &h);
    assert_int_equal(h.kind, HANDOFF_OPEN);
    assert_int_equal(flow_of(&asking).node, NODE_V6);
    assert_int_equal(say_text(&moving, &f, &out, GET("/moved")), XDP_PASS);
    COUNTED(RELAY_NODE_GONE, RELAY_REQUEST_FRONT, RELAY_SENT_HOPS);
    assert_int_equal(flow_of(&moving).flags, RELAY_FLOW_PINNED);
    assert_int_equal(relay_set_node(relay, NODE_V4, &nodes[NODE_V4]), 0);
}

/* A node without a server for it does not take the connection: another of the set, else the front end. */
static void test_refused(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = client_open("192.0.2.1:80");
    set_of(SET_DOWN, 3, (const uint32_t[]){NODE_V4, NODE_V6, NODE_V6});
    assert_int_equal(say_text(&c, &f, &out, GET("/down")), XDP_TX);
    uint32_t first = flow_of(&c).node, other = first == NODE_V4 ? NODE_V6 : NODE_V4;
    tunnel_read(&f, &out, &nodes[first], &h);
    assert_int_equal(answer(first, &f, h, HANDOFF_REFUSED, &out), XDP_TX);
    if (flow_of(&c).node == SELF) /* by chance the ring may name the same one each time */
        return;
    COUNTED(RELAY_REFUSED, RELAY_SENT_HOPS);
    assert_int_equal(flow_of(&c).node, other);
    assert_int_equal(answer(first, &f, h, HANDOFF_REFUSED, &out), XDP_DROP); /* the same again, late */
    COUNTED_NOTHING();
    set_of(SET_DOWN, 1, (const uint32_t[]){NODE_GONE_DOWN});
    c = client_open("192.0.2.1:80");
    assert_int_equal(say_text(&c, &f, &out, GET("/six")), XDP_TX);
    tunnel_read(&f, &out, &nodes[NODE_V6], &h);
    assert_int_equal(answer(1, &f, h, HANDOFF_REFUSED, &out), XDP_PASS); /* there is no other */
    COUNTED(RELAY_REFUSED, RELAY_SENT_HOPS);
    assert_int_equal(flow_of(&c).node, SELF);
    assert_int_equal(flow_of(&c).flags, RELAY_FLOW_PINNED);
    c = client_bound("192.0.2.1:80"); /* one that is there already is not refused any more */
    segment(&c, &f, PSH | ACK, GET("/"), sizeof GET("/") - 1);
    h.target = NODE_V4;
    assert_int_equal(answer(0, &f, h, HANDOFF_REFUSED, &out), XDP_DROP);
    COUNTED_NOTHING();
}

/* A ring of nobody is not a node. */
static void test_ring_of_nobody(void **state)
{
    struct frame f;
    struct handoff h;
    struct client c = client_bound("192.0.2.1:80");
    set_of(SET_EMPTY, 2, (const uint32_t[]){MAGLEV_NOBODY, MAGLEV_NOBODY});
    asked(&c, GET("/empty"), NODE_V4, SELF, &f, &h);
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_NO_NODE, RELAY_SENT_HOPS);
    set_of(SET_EMPTY, 0, NULL);
}

static void test_every_counter(void **state)
{
    all_seen(SHARE_ENDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ends, need_relay),
        cmocka_unit_test_setup(test_forged, need_relay),
        cmocka_unit_test_setup(test_silent, need_relay),
        cmocka_unit_test_setup(test_forgotten_while_it_opens, need_relay),
        cmocka_unit_test_setup(test_same_addresses_again, need_relay),
        cmocka_unit_test_setup(test_same_addresses_out_of_order, need_relay),
        cmocka_unit_test_setup(test_same_addresses_second_first, need_relay),
        cmocka_unit_test_setup(test_node_down, need_relay),
        cmocka_unit_test_setup(test_refused, need_relay),
        cmocka_unit_test_setup(test_ring_of_nobody, need_relay),
        cmocka_unit_test_setup(test_every_counter, need_relay),
    };
    return cmocka_run_group_tests_name("relay_ends", tests, farm_begin, farm_end);
}
