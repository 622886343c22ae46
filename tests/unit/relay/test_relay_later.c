/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delayed binding behind the first request: later requests that stay or move, what nodes answer, and connections
 * nobody here knows. The beginning is in test_relay_delayed.c, the end in test_relay_ends.c.
 */
#include <sched.h>
#include <unistd.h>
#include "delayed.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: www.example.com\r\n\r\n"

/* ---- staying ---- */

static void test_stays(void **state)
{
    static const struct {
        const char *text;
        uint32_t set, whole;
    } later[] = {{GET("/"), SET_V4, sizeof GET("/") - 1},
                 {GET("/both"), SET_BOTH, sizeof GET("/both") - 1},
                 {"POST /up HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 30\r\n\r\nbegin", SET_V4, 94}};
    for (int v6 = 0; v6 <= 1; v6++) {
        struct client c = client_bound(vips[v6]);
        for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
            stays(&c, later[i].text, NODE_V4);
            COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_STAY, RELAY_SENT_HOPS);
            assert_int_equal(flow_of(&c).next, c.seq + later[i].whole);
            assert_int_equal(flow_of(&c).set, later[i].set);
            assert_int_equal(flow_of(&c).flags, 0);
            if (later[i].whole == strlen(later[i].text))
                stays(&c, later[i].text, NODE_V4); /* sent again: the node may have been busy */
            else
                passes(&c, PSH | ACK, later[i].text, NODE_V4);
            COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
            c.seq += (uint32_t)strlen(later[i].text);
            c.ack += 100;
        }
        passes(&c, ACK, "GET /six HTTP/1.1\r\nHost: ", NODE_V4); /* the body, whatever it looks like */
        COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
        c.seq += 25;
        struct frame f;
        struct handoff h;
        asked(&c, GET("/six"), NODE_V4, NODE_V6, &f, &h); /* right behind it */
        COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_MOVE, RELAY_SENT_HOPS);
    }
}

/* On the LAN the packet is not touched but for its link addresses. */
static void test_stays_on_the_lan(void **state)
{
    struct frame f, out;
    struct client c = client_open("192.0.2.2:80");
    assert_int_equal(say_text(&c, &f, &out, GET("/")), XDP_TX);
    c.seq += sizeof GET("/") - 1;
    c.ack++;
    stays(&c, GET("/"), NODE_LAN); /* this needs the header */
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_STAY, RELAY_SENT_HOPS);
    c.seq += sizeof GET("/") - 1;
    assert_int_equal(say(&c, &f, &out, ACK, NULL, 0), XDP_TX);
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_L2);
    assert_int_equal(out.len, f.len);
    assert_memory_equal(out.data, nodes[NODE_LAN].mac, 6);
    assert_memory_equal(out.data + 6, nodes[NODE_LAN].own_mac, 6);
    assert_memory_equal(out.data + 12, f.data + 12, f.len - 12);
}

static void test_what_is_not_next(void **state)
{
    static const char body_and_more[] = "0123456789" GET("/six");
    struct frame f, out;
    struct client c = client_bound("192.0.2.1:80"), late;
    stays(&c, "POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 10\r\n\r\n", NODE_V4);
    late = c;
    late.seq -= 5; /* an old segment, sent again */
    passes(&late, PSH | ACK, "\r\n\r\n", NODE_V4);
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
    c.seq = flow_of(&c).next - 10;
    assert_int_equal(say_text(&c, &f, &out, body_and_more), XDP_DROP); /* two requests' bytes: the daemon cuts them */
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_ASSIST);
    assert_int_equal(told.segments, 1);
    assert_int_equal(told.last.length, f.len - f.l3);
    assert_memory_equal(told.data, f.data + f.l3, f.len - f.l3);
    assert_int_equal(told.last.value.next, c.seq + 10);
    assert_int_equal(flow_of(&c).next, c.seq + 10);
    late.seq = c.seq + 11; /* ahead of what it follows: we cannot know what it is */
    assert_int_equal(say_text(&late, &f, &out, GET("/")), XDP_DROP);
    COUNTED(RELAY_FLOW_HIT, RELAY_AHEAD);
    late.seq = c.seq + 0x7fffffff;
    assert_int_equal(say_text(&late, &f, &out, "x"), XDP_DROP);
    COUNTED(RELAY_FLOW_HIT, RELAY_AHEAD);
    assert_int_equal(say(&late, &f, &out, ACK, NULL, 0), XDP_TX); /* without data it is for the node to judge */
    COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
    passes(&c, PSH | ACK, "0123456789", NODE_V4);
    c.seq += 10;
    c.ack++;
    stays(&c, GET("/"), NODE_V4);
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_STAY, RELAY_SENT_HOPS);
}

/* After these nobody knows where a request begins: not one is read any more. */
static void test_streams(void **state)
{
    static const char *const streams[] = {
        "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 3000000000\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 100000000000000\r\n\r\n",
    };
    struct frame f;
    struct handoff h;
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        for (int later = 0; later <= 1; later++) {
            struct client c = later ? client_bound("192.0.2.1:80") : client_open("192.0.2.1:80");
            struct frame out;
            assert_int_equal(say_text(&c, &f, &out, streams[i]), XDP_TX);
            assert_int_equal(flow_of(&c).flags, RELAY_FLOW_PINNED);
            c.seq += (uint32_t)strlen(streams[i]);
            c.ack += 10;
            passes(&c, PSH | ACK, GET("/six"), NODE_V4);
            COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
        }
    }
    /* Another node's: with it the connection stays. */
    static const char upgrade[] = "GET /six HTTP/1.1\r\nHost: www.example.com\r\nUpgrade: websocket\r\n\r\n";
    struct client c = client_bound("192.0.2.1:80");
    struct frame out;
    asked(&c, upgrade, NODE_V4, NODE_V6, &f, &h);
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_MOVE, RELAY_SENT_HOPS);
    assert_int_equal(flow_of(&c).flags, 0);
    assert_int_equal(answer(0, &f, h, HANDOFF_MOVED, &out), XDP_TX);
    assert_int_equal(flow_of(&c).flags, RELAY_FLOW_PINNED);
    c.seq += sizeof upgrade - 1;
    c.ack++;
    passes(&c, PSH | ACK, GET("/"), NODE_V6);
}

/* ---- moving ---- */

static void test_moves(void **state)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        struct frame f, out;
        struct handoff h, open;
        struct client c = client_bound(vips[v6]);
        c.vlans = v6 * 2;
        asked(&c, GET("/six"), NODE_V4, NODE_V6, &f, &h);
        COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_MOVE, RELAY_SENT_HOPS);
        struct relay_flow flow = flow_of(&c);
        assert_int_equal(flow.node, NODE_V4);
        assert_int_equal(flow.next, c.seq);
        asked(&c, GET("/six"), NODE_V4, NODE_V6, &f, &h); /* the node was busy: asked again */
        assert_int_equal(h.key, SEND_KEY);
        h.key += handoff_window(64);
        h.clock = htons(1234);
        assert_int_equal(answer(0, &f, h, HANDOFF_MOVED, &out), XDP_TX);
        COUNTED(RELAY_MOVED, RELAY_SENT_HOPS);
        tunnel_read(&f, &out, &nodes[NODE_V6], &open);
        assert_int_equal(open.kind, HANDOFF_OPEN);
        assert_int_equal(open.target, NODE_V6);
        assert_int_equal(handoff_segments(open.key), 64);
        assert_int_equal(ntohs(open.clock), 1234);
        assert_int_equal(ntohl(open.start), c.seq + sizeof GET("/six") - 1);
        assert_int_equal(ntohs(open.tcp.mss), 1460);
        assert_int_equal(open.tcp.options, HANDOFF_SACK | HANDOFF_WSCALE | HANDOFF_ENDS);
        assert_int_equal(open.tcp.wscale, 7 << 4 | OUR_SCALE);
        assert_int_equal(told.flows, 1);
        flow = flow_of(&c);
        assert_int_equal(flow.node, NODE_V6);
        assert_int_equal(flow.start, c.seq);
        assert_int_equal(flow.ack, c.ack);
        assert_int_equal(flow.next, c.seq + sizeof GET("/six") - 1);
        assert_int_equal(flow.state, RELAY_FLOW_OPENING);
        assert_int_equal(flow.moves, 1);
        assert_int_equal(answer(0, &f, h, HANDOFF_MOVED, &out), XDP_DROP); /* the same again, late */
        COUNTED_NOTHING();
        assert_int_equal(flow_of(&c).moves, 1);
        /* Lost on the way: the client's packet opens again, nothing is asked, and nothing said of what the path takes. */
        assert_int_equal(say_text(&c, &f, &out, GET("/six")), XDP_TX);
        COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
        tunnel_read(&f, &out, &nodes[NODE_V6], &open);
        assert_int_equal(open.key, SEND_KEY);
        assert_int_equal(open.clock, 0);
        assert_int_equal(open.kind, HANDOFF_OPEN);
        c.seq += 7; /* not the packet the request begins in: where that is */
        assert_int_equal(say(&c, &f, &out, PSH | ACK, GET("/six") + 7, sizeof GET("/six") - 8), XDP_TX);
        tunnel_read(&f, &out, &nodes[NODE_V6], &open);
        assert_int_equal(ntohl(open.start), c.seq - 7);
        assert_int_equal(open.tcp.options, HANDOFF_SACK | HANDOFF_WSCALE);
        c.seq += sizeof GET("/six") - 8;
        c.ack += 100;
        asked(&c, GET("/"), NODE_V6, NODE_V4, &f, &h); /* and back */
    }
}

/* A request that only the front end can answer takes the connection there, for good. */
static void test_moves_to_the_front(void **state)
{
    static const struct {
        const char *text;
        enum relay_counter why;
    } table[] = {{GET("/moved"), RELAY_REQUEST_FRONT},
                 {"OPTIONS * HTTP/1.1\r\n\r\n", RELAY_REQUEST_FRONT},
                 {"GET /si", RELAY_REQUEST_FRONT},
                 {GET("/") GET("/"), RELAY_REQUEST_FRONT},
                 {GET("/empty"), RELAY_REQUEST_NO_NODE},
                 {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", RELAY_REQUEST_FRONT}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct frame f, out;
        struct handoff h, open;
        struct client c = client_bound("192.0.2.1:80");
        asked(&c, table[i].text, NODE_V4, SELF, &f, &h);
        COUNTED(RELAY_FLOW_HIT, table[i].why, RELAY_SENT_HOPS);
        assert_int_equal(answer(0, &f, h, HANDOFF_MOVED, &out), XDP_PASS);
        COUNTED(RELAY_MOVED, RELAY_SENT_HOPS);
        tunnel_read(&f, &out, &nodes[SELF], &open);
        assert_int_equal(open.kind, HANDOFF_OPEN);
        assert_int_equal(flow_of(&c).node, SELF);
        assert_int_equal(flow_of(&c).flags, RELAY_FLOW_PINNED);
        c.seq += (uint32_t)strlen(table[i].text);
        c.ack += 9;
        assert_int_equal(say_text(&c, &f, &out, GET("/six")), XDP_PASS);
        COUNTED(RELAY_FLOW_HIT, RELAY_SELF);
        assert_memory_equal(out.data, f.data, f.len);
    }
}

/* Behind a request whose node has not been heard yet: it cannot give up what it may not have. */
static void test_pipelined(void **state)
{
    struct frame f, out;
    struct handoff h;
    struct client c = client_open("192.0.2.1:80");
    assert_int_equal(say_text(&c, &f, &out, GET("/")), XDP_TX);
    c.seq += sizeof GET("/") - 1;
    for (int again = 0; again <= 1; again++) {
        assert_int_equal(say_text(&c, &f, &out, GET("/six")), XDP_DROP);
        COUNTED(RELAY_FLOW_HIT, again ? RELAY_AHEAD : RELAY_PIPELINED);
    }
    assert_int_equal(say_text(&c, &f, &out, GET("/")), XDP_DROP); /* nor may the same node have two at once */
    COUNTED(RELAY_FLOW_HIT, RELAY_AHEAD);
    c.ack++; /* now it has been heard: such a client is the front end's, which keeps the order */
    asked(&c, GET("/"), NODE_V4, SELF, &f, &h);
    COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_FRONT, RELAY_SENT_HOPS);
    assert_int_equal(h.tcp.options, HANDOFF_PIPELINES);
    assert_int_equal(flow_of(&c).state, RELAY_FLOW_BOUND);
}

/* More than a client sends unanswered: the node must have the connection, though nothing new is acknowledged. */
static void test_bound_by_length(void **state)
{
    struct frame f, out;
    struct client c = client_open("192.0.2.1:80");
    assert_int_equal(say_text(&c, &f, &out, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"), XDP_TX);
    uint32_t start = c.seq;
    c.seq = start + 65536;
    assert_int_equal(say_text(&c, &f, &out, "body"), XDP_TX);
    assert_int_equal(flow_of(&c).state, RELAY_FLOW_OPENING);
    c.seq++;
    assert_int_equal(say_text(&c, &f, &out, "body"), XDP_TX);
    assert_int_equal(flow_of(&c).state, RELAY_FLOW_BOUND);
}

static void test_gone(void **state)
{
    struct frame f, out;
    struct handoff h;
    for (int v6 = 0; v6 <= 1; v6++) {
        struct client c = client_bound(vips[v6]);
        asked(&c, GET("/six"), NODE_V4, NODE_V6, &f, &h);
        struct client before_it = c;
        struct frame old;
        before_it.seq--; /* an answer of long ago ends nothing */
        segment(&before_it, &old, PSH | ACK, GET("/six"), sizeof GET("/six") - 1);
        assert_int_equal(answer(0, &old, h, HANDOFF_GONE, &out), XDP_DROP);
        COUNTED_NOTHING();
        assert_true(flow_is(&c));
        assert_int_equal(answer(0, &f, h, HANDOFF_GONE, &out), XDP_DROP); /* when it comes again, it is looked for */
        COUNTED_NOTHING();
        assert_false(flow_is(&c));
    }
}

/* ---- connections not known here ---- */

static struct client stranger(const char *to)
{
    struct client c = client_of(to);
    c.ack = c.seq * 77;
    return c;
}

/* One round of asking: every node that can be asked, in order, says no. How often it ends so is in *last. */
static uint32_t nobody_knows(const struct client *c, uint8_t flags, const char *text)
{
    static const uint32_t asked_of[][2] = {
        {NODE_V4, 1}, {NODE_V6, 3}, {NODE_LAN, 4}}; /* the one down and ourselves not */
    struct frame f, out;
    struct handoff h;
    uint32_t verdict = say(c, &f, &out, flags, text, (uint32_t)strlen(text));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(verdict, XDP_TX);
        COUNTED(RELAY_FIND_ASKED, RELAY_SENT_HOPS);
        tunnel_read(&f, &out, &nodes[asked_of[i][0]], &h);
        assert_int_equal(h.kind, HANDOFF_FIND);
        assert_int_equal(h.target, asked_of[i][1]);
        assert_int_equal(ntohl(h.start), c->seq);
        verdict = answer(i == 1, &f, h, HANDOFF_UNKNOWN, &out);
    }
    return verdict;
}

static void find_rate(uint32_t rate)
{
    settings.find_rate = rate;
    assert_int_equal(relay_set_settings(relay, &settings), 0);
    usleep(110000); /* longer than what is counted together */
}

static void test_nobody_knows(void **state)
{
    struct client c[2] = {stranger(vips[0]), stranger(vips[1])};
    struct frame f, out; /* nobody can be asked */
    struct client alone = stranger("192.0.2.3:80");
    for (int v6 = 0; v6 <= 1; v6++) {
        for (int again = 0; again <= 1; again++) {
            assert_int_equal(nobody_knows(&c[v6], ACK, "hello"), XDP_DROP); /* it may have overtaken its request */
            COUNTED(RELAY_FIND_NOBODY);
        }
    }
    assert_int_equal(say_text(&alone, &f, &out, "hello"), XDP_DROP);
    COUNTED(RELAY_FIND_NOBODY);
    usleep(3100000); /* longer than anything is under way */
    for (int v6 = 0; v6 <= 1; v6++) {
        assert_int_equal(say(&c[v6], &f, &out, RST | ACK, "", 0), XDP_DROP); /* a reset is not answered */
        COUNTED_NOTHING();
        assert_int_equal(say_text(&c[v6], &f, &out, "hello"), XDP_TX);
        COUNTED(RELAY_RESET_SENT);
        assert_memory_equal(out.data, f.data + 6, 6); /* to where the client's packet came from, not to a node */
        assert_int_equal(out.len, f.l4 + 20);
        assert_int_equal(load32(&out, f.l4 + 4), c[v6].ack);
        assert_int_equal(out.data[f.l4 + 13], RST);
        assert_int_equal(l4_sum(&out, f.l3, f.l4, out.len, IPPROTO_TCP), 0);
        /* The next connection on these ports has nothing to do with it, should it be forgotten in its turn. */
        struct client next = c[v6];
        struct relay_flow_key k = key_of(&next);
        next.seq += 0x1000000;
        client_syn(&next, SYN_OPTIONS, SYN_OPTIONS_LEN);
        assert_int_equal(say_text(&next, &f, &out, GET("/")), XDP_TX);
        assert_int_equal(relay_remove_flow(relay, &k), 0);
        next.seq += 1000;
        assert_int_equal(say(&next, &f, &out, ACK, NULL, 0), XDP_TX);
        COUNTED(RELAY_FIND_ASKED, RELAY_SENT_HOPS);
    }
    find_rate(0); /* whose address somebody else uses must not be flooded with resets */
    assert_int_equal(say_text(&alone, &f, &out, "hello"), XDP_DROP);
    COUNTED(RELAY_FIND_LIMIT);
    find_rate(1000000);
    assert_int_equal(say_text(&alone, &f, &out, "hello"), XDP_TX);
    COUNTED(RELAY_RESET_SENT);
}

static const struct handoff_tcp node_says = {.options = HANDOFF_SACK | HANDOFF_TIMESTAMPS, .wscale = 0x38};

static void test_found(void **state)
{
    for (int v6 = 0; v6 <= 1; v6++) {
        struct frame f, out;
        struct handoff h = {.key = SEND_KEY, .target = 3, .tcp = node_says}; /* the fourth of all: NODE_V6 */
        struct client c = stranger(vips[v6]);
        h.tcp.mss = htons(1340);
        segment(&c, &f, ACK, "body", 4);
        assert_int_equal(answer(1, &f, h, HANDOFF_MINE, &out), XDP_TX);
        COUNTED(RELAY_FIND_FOUND, RELAY_FLOW_HIT, RELAY_SENT_HOPS);
        tunnel_read(&f, &out, &nodes[NODE_V6], &h);
        assert_int_equal(h.kind, HANDOFF_PACKET);
        assert_int_equal(told.flows, 1);
        struct relay_flow flow = flow_of(&c);
        assert_int_equal(flow.node, NODE_V6);
        assert_int_equal(flow.state, RELAY_FLOW_BOUND);
        assert_int_equal(flow.flags, RELAY_FLOW_GUESS);
        assert_int_equal(flow.tcp.mss, 1340);
        assert_int_equal(flow.tcp.options, node_says.options);
        assert_int_equal(flow.tcp.wscale, node_says.wscale);
        c.seq += 100000; /* where requests begin is not known: any that looks like one is one */
        passes(&c, ACK, "more of the body", NODE_V6);
        COUNTED(RELAY_FLOW_HIT, RELAY_SENT_HOPS);
        stays(&c, GET("/six"), NODE_V6);
        COUNTED(RELAY_FLOW_HIT, RELAY_REQUEST_STAY, RELAY_SENT_HOPS);
        assert_int_equal(flow_of(&c).flags, 0); /* now it is known */
        assert_int_equal(flow_of(&c).next, c.seq + sizeof GET("/six") - 1);
        c.seq += sizeof GET("/six") - 1;
        c.ack++;
        asked(&c, GET("/"), NODE_V6, NODE_V4, &f, &h);
        assert_int_equal(answer(1, &f, h, HANDOFF_MOVED, &out), XDP_TX);
        assert_int_equal(answer(1, &f, h, HANDOFF_UNKNOWN, &out), XDP_DROP); /* an answer that came too late */
        COUNTED_NOTHING();
        assert_int_equal(flow_of(&c).node, NODE_V4);
    }
    /* Found by its request, which is for another node. */
    struct frame f, out;
    struct handoff h = {.key = SEND_KEY, .target = 1};
    struct client c = stranger("192.0.2.1:80");
    segment(&c, &f, ACK, GET("/six"), sizeof GET("/six") - 1);
    assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_TX);
    COUNTED(RELAY_FIND_FOUND, RELAY_FLOW_HIT, RELAY_REQUEST_MOVE, RELAY_SENT_HOPS);
    tunnel_read(&f, &out, &nodes[NODE_V4], &h);
    assert_int_equal(h.kind, HANDOFF_MOVE);
    /* In the middle of a body, of which the node knows where it ends. */
    c = stranger("192.0.2.1:80");
    h = (struct handoff){.key = SEND_KEY, .target = 1, .start = htonl(c.seq + 10), .tcp.options = HANDOFF_SACK | HANDOFF_ENDS};
    segment(&c, &f, ACK, "body" GET("/"), 4 + sizeof GET("/") - 1); /* no request, for it is not where one may be */
    assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_DROP);
    COUNTED(RELAY_FIND_FOUND, RELAY_FLOW_HIT, RELAY_REQUEST_ASSIST); /* but at its end is: to be cut */
    assert_int_equal(flow_of(&c).next, c.seq + 10);
    assert_int_equal(flow_of(&c).flags, 0);
    c.seq += 10;
    asked(&c, GET("/six"), NODE_V4, NODE_V6, &f, &h);
    /* A note that cannot have been ours. */
    static const uint32_t wrong[] = {5, 31, 32, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        h = (struct handoff){.key = SEND_KEY, .target = wrong[i]};
        c = stranger("192.0.2.1:80");
        segment(&c, &f, ACK, "body", 4);
        assert_int_equal(answer(0, &f, h, HANDOFF_MINE, &out), XDP_DROP);
        COUNTED_NOTHING();
        assert_false(flow_is(&c));
    }
}

static void test_find_is_limited(void **state)
{
    struct frame f, out;
    cpu_set_t all, one;
    struct client c = stranger("192.0.2.2:80"); /* nodes without agents */
    assert_int_equal(say_text(&c, &f, &out, "hello"), XDP_DROP);
    COUNTED(RELAY_FIND_LIMIT);
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one); /* it is counted by processor */
    CPU_SET((unsigned)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    c = stranger("192.0.2.1:80");
    find_rate(0);
    assert_int_equal(say_text(&c, &f, &out, "hello"), XDP_DROP);
    COUNTED(RELAY_FIND_LIMIT);
    find_rate(30); /* three in a tenth of a second, which a busy machine may stretch */
    unsigned sent = 0, dropped = 0;
    for (int i = 0; i < 2000; i++) {
        uint32_t verdict = say_text(&c, &f, &out, "hello");
        sent += verdict == XDP_TX;
        dropped += after[RELAY_FIND_LIMIT].packets != before[RELAY_FIND_LIMIT].packets;
    }
    assert_int_equal(sent + dropped, 2000);
    assert_true(sent >= 3 && dropped > sent);
    find_rate(1000000);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static void test_every_counter(void **state)
{
    all_seen(SHARE_LATER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_stays, need_relay),
        cmocka_unit_test_setup(test_stays_on_the_lan, need_relay),
        cmocka_unit_test_setup(test_what_is_not_next, need_relay),
        cmocka_unit_test_setup(test_streams, need_relay),
        cmocka_unit_test_setup(test_moves, need_relay),
        cmocka_unit_test_setup(test_moves_to_the_front, need_relay),
        cmocka_unit_test_setup(test_pipelined, need_relay),
        cmocka_unit_test_setup(test_bound_by_length, need_relay),
        cmocka_unit_test_setup(test_gone, need_relay),
        cmocka_unit_test_setup(test_nobody_knows, need_relay),
        cmocka_unit_test_setup(test_found, need_relay),
        cmocka_unit_test_setup(test_find_is_limited, need_relay),
        cmocka_unit_test_setup(test_every_counter, need_relay),
    };
    return cmocka_run_group_tests_name("relay_later", tests, farm_begin, farm_end);
}
