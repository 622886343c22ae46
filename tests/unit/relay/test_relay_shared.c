/* SPDX-License-Identifier: Apache-2.0 */
/* Delayed binding with connections that another balancer has told of, that it has lost on the way, and a daemon gone silent. */
#include <time.h>
#include "delayed.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
enum { PEER = 32 /* what is asked of the node that a peer named */ };

static void flow_put(const struct client *c, const struct relay_flow *f)
{
    struct relay_flow_key k = key_of(c);
    assert_int_equal(relay_set_flow(relay, &k, f), 0);
}

/* A connection that is at NODE_V4 as a peer says: its next request begins at c.seq. */
static struct client heard_of(const char *to)
{
    struct client c = client_bound(to);
    struct relay_flow f = flow_of(&c);
    f.flags |= RELAY_FLOW_SHARED;
    flow_put(&c, &f);
    return c;
}

/* Its client has come further than we know of. */
static struct client further_on(struct client c)
{
    c.seq += 400;
    c.ack += 4000;
    return c;
}

static void second_passes(const struct client *c)
{
    struct relay_flow f = flow_of(c);
    f.doubt -= 1100;
    flow_put(c, &f);
}

/* The node is asked first; f is the client's packet, *h what it was asked with. */
static void node_asked(const struct client *c, uint8_t flags, const char *text, uint32_t node, uint32_t target, struct frame *f,
                       struct handoff *h)
{
    struct frame out;
    assert_int_equal(say(c, f, &out, flags, text, (uint32_t)strlen(text)), XDP_TX);
    tunnel_read(f, &out, &nodes[node], h);
    assert_int_equal(h->kind, HANDOFF_FIND);
    assert_int_equal(h->target, target);
}

static void test_kept(void **state)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        struct frame f, out;
        struct handoff h;
        struct client c = heard_of(vips[v6]);
        node_asked(&c, ACK, "", NODE_V4, PEER, &f, &h);
        COUNTED(RELAY_FLOW_HIT, RELAY_SHARED_ASKED, RELAY_SENT_HOPS);
        h.start = htonl(c.seq); /* as far as the peer knew */
        assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_TX);
        COUNTED(RELAY_FLOW_HIT, RELAY_SHARED_KEPT, RELAY_SENT_HOPS);
        assert_int_equal(told.flows, 1);
        assert_int_equal(flow_of(&c).flags, 0);
        assert_int_not_equal(flow_of(&c).doubt, 0);
        stays(&c, GET("/"), NODE_V4); /* as if it had been ours all the time */
        COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_STAY, RELAY_SENT_HOPS);
    }
}

/* A second after its node's first word on it. */
static struct client long_in_doubt(const char *to)
{
    struct frame f, out;
    struct handoff h;
    struct client c = heard_of(to);
    node_asked(&c, ACK, "", NODE_V4, PEER, &f, &h);
    h.start = htonl(c.seq);
    assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_TX);
    passes(&c, ACK, "", NODE_V4);
    second_passes(&c);
    return c;
}

/* It may have let go just then, on the word of a balancer that told nobody any more: it is asked once more, and no third time. */
static void test_asked_twice(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = long_in_doubt("192.0.2.1:80");
    node_asked(&c, ACK, "", NODE_V4, PEER, &f, &h);
    COUNTED(RELAY_FLOW_HIT, RELAY_SHARED_ASKED, RELAY_SENT_HOPS);
    h.start = htonl(c.seq);
    assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_TX);
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
    assert_int_equal(flow_of(&c).flags, 0);
    assert_int_equal(flow_of(&c).doubt, 0);
    stays(&c, GET("/"), NODE_V4);
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_STAY, RELAY_SENT_HOPS);

    c = long_in_doubt("192.0.2.1:80"); /* it has gone on to NODE_V6, which answers: the client acknowledges that */
    c.ack += 4000;
    node_asked(&c, ACK, "", NODE_V4, PEER, &f, &h);
    assert_int_equal(answer(0, &f, h, HANDOFF_UNKNOWN, &out), XDP_TX);
    COUNTED(RELAY_SHARED_WRONG, RELAY_FIND_ASKED, RELAY_SENT_HOPS);
    tunnel_read(&f, &out, &nodes[NODE_V4], &h);
    assert_int_equal(answer(0, &f, h, HANDOFF_UNKNOWN, &out), XDP_TX);
    tunnel_read(&f, &out, &nodes[NODE_V6], &h);
    h.start = htonl(c.seq + 77);
    assert_int_equal(answer(1, &f, h, HANDOFF_MINE, &out), XDP_TX);
    assert_int_equal(flow_of(&c).node, NODE_V6);
    assert_int_equal(flow_of(&c).flags, RELAY_FLOW_GUESS);
    passes(&c, ACK, "", NODE_V6);
}

/* What is beyond the next request stays beyond it: a router gave some of the client's packets to another balancer. */
static void test_ahead_for_long(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = further_on(client_bound("192.0.2.1:80"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(say_text(&c, &f, &out, GET("/six")), XDP_DROP);
        COUNTED(RELAY_FLOW_HIT, RELAY_AHEAD);
    }
    second_passes(&c);
    node_asked(&c, PSH | ACK, GET("/six"), NODE_V4, PEER, &f, &h);
    h.start = htonl(c.seq - 400);
    assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_DROP); /* it was lost on the way: the node has no more of it */
    COUNTED(RELAY_FLOW_HIT, RELAY_AHEAD);
    second_passes(&c);
    node_asked(&c, PSH | ACK, GET("/six"), NODE_V4, PEER, &f, &h);
    h.start = htonl(c.seq);
    h.tcp.options = HANDOFF_ENDS;
    assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_TX); /* it has: this is the next one */
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_MOVE, RELAY_SENT_HOPS);
    tunnel_read(&f, &out, &nodes[NODE_V4], &h);
    assert_int_equal(h.kind, HANDOFF_MOVE);
    assert_int_equal(flow_of(&c).doubt, 0);
}

/* The node has had requests since that the peer did not tell of. */
static void test_further(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = further_on(heard_of("192.0.2.1:80"));
    node_asked(&c, PSH | ACK, GET("/six"), NODE_V4, PEER, &f, &h);
    h.start = htonl(c.seq);
    assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_TX);
    COUNTED(RELAY_FLOW_HIT, RELAY_SHARED_KEPT, RELAY_REQUEST_MOVE, RELAY_SENT_HOPS);
    tunnel_read(&f, &out, &nodes[NODE_V4], &h);
    assert_int_equal(h.kind, HANDOFF_MOVE);
    assert_int_equal(h.tcp.options & HANDOFF_GUESS, 0); /* with all that belongs to one, it is no part of a body */
    assert_int_equal(answer(0, &f, h, HANDOFF_MOVED, &out), XDP_TX);
    assert_int_equal(flow_of(&c).node, NODE_V6);
    assert_int_equal(flow_of(&c).flags, 0);

    c = further_on(heard_of("192.0.2.1:80")); /* in the middle of the last one: the node knows where it ends */
    static const char body_and_next[] = "GET /no HTTP/1.1" GET("/six");
    node_asked(&c, PSH | ACK, body_and_next, NODE_V4, PEER, &f, &h);
    h.start = htonl(c.seq + 16);
    h.tcp.options = HANDOFF_ENDS;
    assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_DROP);
    COUNTED(RELAY_FLOW_HIT, RELAY_SHARED_KEPT, RELAY_REQUEST_ASSIST); /* to be cut */
    assert_int_equal(flow_of(&c).next, c.seq + 16);
    assert_int_equal(flow_of(&c).flags, 0);
    c.seq += 16;
    asked(&c, GET("/six"), NODE_V4, NODE_V6, &f, &h);

    c = heard_of("192.0.2.1:80"); /* not as far as the peer said: the request it told of has not come yet */
    uint32_t next = flow_of(&c).next;
    node_asked(&c, ACK, "", NODE_V4, PEER, &f, &h);
    h.start = htonl(next - 10);
    h.tcp.options = HANDOFF_ENDS;
    assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_TX);
    assert_int_equal(flow_of(&c).next, next);
    assert_int_equal(flow_of(&c).flags, 0);
}

static struct client guessing(void)
{
    struct client c = client_bound("192.0.2.1:80");
    struct relay_flow f = flow_of(&c);
    f.flags |= RELAY_FLOW_GUESS;
    flow_put(&c, &f);
    c.seq += 77;
    return c;
}

static void test_guess(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = guessing();
    stays(&c, GET("/"), NODE_V4);
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_STAY, RELAY_SENT_HOPS);
    stays(&c, GET("/"), NODE_V4); /* sent again: not a second one that does not wait for the first */
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
    c.seq += sizeof GET("/") - 1;
    c.ack += 100;
    assert_int_equal(say_text(&c, &f, &out, "not where one begins"), XDP_TX); /* and where that one ended we know again */
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_FRONT, RELAY_SENT_HOPS);
    c = guessing();
    stays(&c, "POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 10\r\n\r\nhalf", NODE_V4);
    c.seq = flow_of(&c).next - 6;
    assert_int_equal(say_text(&c, &f, &out, "a half" GET("/six")), XDP_DROP); /* the next request behind the body: to be cut */
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_ASSIST);
    c = guessing();
    c.ack += 100;
    asked(&c, "GET /both HTTP/1.1\r\nHost: www.", NODE_V4, SELF, &f, &h); /* the rest is the front end's to read */
    assert_int_equal(h.tcp.options & HANDOFF_GUESS, HANDOFF_GUESS);
    c = guessing();
    assert_int_equal(say_text(&c, &f, &out, "any body's bytes"), XDP_TX);
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
}

/* The peer did not come to tell of a move: the others are asked. */
static void test_wrong(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = heard_of("192.0.2.1:80");
    node_asked(&c, ACK, "", NODE_V4, PEER, &f, &h);
    assert_int_equal(answer(0, &f, h, HANDOFF_UNKNOWN, &out), XDP_TX);
    COUNTED(RELAY_SHARED_WRONG, RELAY_FIND_ASKED, RELAY_SENT_HOPS);
    tunnel_read(&f, &out, &nodes[NODE_V4], &h); /* among the others, once more */
    assert_int_equal(h.target, 1);
    assert_int_equal(answer(0, &f, h, HANDOFF_UNKNOWN, &out), XDP_TX);
    tunnel_read(&f, &out, &nodes[NODE_V6], &h);
    assert_int_equal(h.target, 3);
    assert_int_equal(answer(1, &f, h, HANDOFF_MINE, &out), XDP_TX);
    COUNTED(RELAY_FIND_FOUND, RELAY_FLOW_HIT, RELAY_SENT_HOPS);
    assert_int_equal(flow_of(&c).node, NODE_V6);
    assert_int_equal(flow_of(&c).flags, RELAY_FLOW_GUESS);
    assert_int_equal(answer(0, &f, h, HANDOFF_UNKNOWN, &out), XDP_DROP); /* an answer that came too late */
    COUNTED_NOTHING();
}

/* Every node says that it does not have it, one of them that it had until this very packet. */
static uint32_t let_go(const struct client *c, const char *text, struct frame *f, struct frame *out, bool known)
{
    static const uint32_t order[] = {NODE_V4, NODE_V6, NODE_LAN};
    struct handoff h;
    uint32_t verdict = XDP_TX;
    uint32_t first = known ? PEER : 1;
    node_asked(c, PSH | ACK, text, NODE_V4, first, f, &h);
    for (unsigned i = known ? 0 : 1; i < 4 && verdict == XDP_TX; i++) {
        bool had = h.target == first;
        h.tcp = had ? (struct handoff_tcp){.mss = htons(1340), .options = HANDOFF_LET_GO | HANDOFF_SACK, .wscale = 0x38}
                    : (struct handoff_tcp){0};
        verdict = answer(h.target == 3, f, h, HANDOFF_UNKNOWN, out);
        if (i < 3 && verdict == XDP_TX)
            tunnel_read(f, out, &nodes[order[i]], &h);
    }
    return verdict;
}

static void test_let_go(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = heard_of("192.0.2.1:80");
    assert_int_equal(let_go(&c, GET("/six"), &f, &out, true), XDP_TX);
    tunnel_read(&f, &out, &nodes[NODE_V6], &h); /* whose request it is */
    assert_int_equal(h.kind, HANDOFF_OPEN);
    assert_int_equal(ntohl(h.start), c.seq + sizeof GET("/six") - 1);
    assert_int_equal(flow_of(&c).node, NODE_V6);
    assert_int_equal(flow_of(&c).flags, 0);
    c = client_of("192.0.2.1:80"); /* one that no peer has told of: what its client offered the node says */
    c.ack = c.seq * 77;
    assert_int_equal(let_go(&c, GET("/six"), &f, &out, false), XDP_TX);
    tunnel_read(&f, &out, &nodes[NODE_V6], &h);
    assert_int_equal(h.kind, HANDOFF_OPEN);
    assert_int_equal(ntohs(h.tcp.mss), 1340);
    assert_int_equal(h.tcp.options, HANDOFF_SACK | HANDOFF_ENDS);
    assert_int_equal(h.tcp.wscale, 0x38);
}

/*
 * The first part of a request sent it to the front end, its node let go, and that was lost; all of it in one segment is for
 * the same node after all, which is asked then.
 */
static void test_let_go_for_less(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = client_bound("192.0.2.1:80");
    stays(&c, GET("/"), NODE_V4);
    struct relay_flow flow = flow_of(&c);
    flow.flags |= RELAY_FLOW_SHARED;
    flow_put(&c, &flow);
    assert_int_equal(let_go(&c, GET("/"), &f, &out, true), XDP_TX);
    tunnel_read(&f, &out, &nodes[flow_of(&c).node], &h);
    assert_int_equal(h.kind, HANDOFF_OPEN);
    assert_int_equal(flow_of(&c).flags, 0);
    assert_int_equal(flow_of(&c).moves, 1);

    c = long_in_doubt("192.0.2.1:80"); /* asked out of doubt: nobody else can have it */
    node_asked(&c, PSH | ACK, GET("/"), NODE_V4, PEER, &f, &h);
    h.tcp.options = HANDOFF_LET_GO;
    assert_int_equal(answer(0, &f, h, HANDOFF_UNKNOWN, &out), XDP_TX);
    tunnel_read(&f, &out, &nodes[flow_of(&c).node], &h);
    assert_int_equal(h.kind, HANDOFF_OPEN);
    assert_int_equal(flow_of(&c).flags, 0);
    assert_int_equal(flow_of(&c).doubt, 0);
}

/* ---- the daemon is silent ---- */

static void until(uint64_t ns)
{
    settings.until_ns = ns;
    assert_int_equal(relay_set_settings(relay, &settings), 0);
}

static void test_silent(void **state)
{
    struct timespec now;
    struct frame f, out;
    struct client bound = client_bound("192.0.2.1:80"), open = client_open("192.0.2.1:80"), c = client_of("192.0.2.1:80");
    struct client syn = c;
    syn.options = SYN_OPTIONS;
    syn.options_len = SYN_OPTIONS_LEN;
    syn.ack = 0;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    until(1);
    assert_int_equal(say(&syn, &f, &out, SYN, NULL, 0), XDP_DROP);
    COUNTED(RELAY_SILENT);
    stays(&bound, GET("/"), NODE_V4); /* what has begun goes on, be it only a handshake */
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_STAY, RELAY_SENT_HOPS);
    assert_int_equal(say_text(&open, &f, &out, GET("/six")), XDP_TX);
    COUNTED(RELAY_REQUEST_OPEN, RELAY_SENT_HOPS);
    until(((uint64_t)now.tv_sec + 3600) * 1000000000u);
    assert_int_equal(say(&syn, &f, &out, SYN, NULL, 0), XDP_TX);
    COUNTED(RELAY_SYN_COOKIE);
    until(0);
    assert_int_equal(say(&syn, &f, &out, SYN, NULL, 0), XDP_TX);
}

static void test_every_counter(void **state)
{
    all_seen(SHARE_PEERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_kept, need_relay),
        cmocka_unit_test_setup(test_asked_twice, need_relay),
        cmocka_unit_test_setup(test_ahead_for_long, need_relay),
        cmocka_unit_test_setup(test_further, need_relay),
        cmocka_unit_test_setup(test_guess, need_relay),
        cmocka_unit_test_setup(test_wrong, need_relay),
        cmocka_unit_test_setup(test_let_go, need_relay),
        cmocka_unit_test_setup(test_let_go_for_less, need_relay),
        cmocka_unit_test_setup(test_silent, need_relay),
        cmocka_unit_test_setup(test_every_counter, need_relay),
    };
    return cmocka_run_group_tests_name("relay_shared", tests, farm_begin, farm_end);
}
