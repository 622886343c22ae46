/* SPDX-License-Identifier: Apache-2.0 */
/* The node's packet program: what it takes over, what it gives up, and what it refuses. Sockets that wait: test_relay_stay.c. */
#include "node_lab.h"

/* ---- refusals ---- */

static void test_refused(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct client c = client_of(i & 1, i >> 1);
        struct frame inner, good, f;
        inner_of(&c, &inner, PSH | ACK, GET);
        wrap(&c, &good, &inner, HANDOFF_OPEN, 0);
        uint32_t gue = good.l4 + 8, header = gue + 4, first = header + sizeof(struct handoff);
        const struct {
            uint32_t at;
            uint8_t value;
        } wrong[] = {{gue, 5}, {gue, 0x46}, {gue + 1, 6}, {gue + 2, 0x80}, {gue + 3, 1}, {header, 0}, {header, 2}};
        for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++) {
            f = good;
            f.data[wrong[w].at] = wrong[w].value;
            inject(&f);
            MOVED(ONE(MALFORMED));
        }
        for (uint32_t byte = header + 1; byte < first + (i & 1 ? 56u : 40u); byte++) {
            f = good;
            f.data[byte] ^= 0x10;
            inject(&f);
            if (byte == header + 3) { /* how often it was put off: what is not covered */
                MOVED(ONE(ADOPTED));
                close(accepted(&c));
                forget();
            } else {
                MOVED(ONE(TAG_WRONG));
            }
        }
        for (uint32_t len = gue; len < first + (i & 1 ? HANDOFF_SHORT_V6 : HANDOFF_SHORT_V4); len++) {
            f = good;
            f.len = len;
            set_lengths(&f);
            inject(&f);
            MOVED(ONE(MALFORMED));
        }
        struct frame other; /* what was heard on the way to another node, sent on to this one */
        wrap(&c, &good, &inner, HANDOFF_OPEN, 0);
        tunnel_build(&other, &inner, balancers[i >> 1], i >> 1 ? "2001:db8:f::98" : "203.0.113.98",
                     &(struct handoff){.kind = HANDOFF_OPEN, .key = SEND_KEY, .start = htonl(c.start)});
        f = good;
        memcpy(f.data + header, other.data + header, sizeof(struct handoff));
        inject(&f);
        MOVED(ONE(TAG_WRONG));
        tunnel_build(&f, &inner, i >> 1 ? "2001:db8:f::99" : "203.0.113.99", us[i >> 1],
                     &(struct handoff){.kind = HANDOFF_OPEN});
        inject(&f);
        MOVED(ONE(UNTRUSTED));
        f = good;
        store16(&f, f.l4 + 2, 6081); /* another port's is not ours to judge */
        inject(&f);
        moved_nothing(__FILE__, __LINE__);
    }
}

static void test_not_for_a_node(void **state)
{
    static const uint8_t kinds[] = {0, HANDOFF_MOVED, HANDOFF_MINE, HANDOFF_UNKNOWN, HANDOFF_GONE, 200};
    struct client c = client_of(0, 0);
    struct frame inner, f;
    for (size_t i = 0; i < sizeof kinds; i++) {
        say(&c, kinds[i], PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(MALFORMED));
    }
    for (int v6 = 0; v6 <= 1; v6++) { /* headers that contradict themselves, under a true tag */
        c = client_of((unsigned)v6, 0);
        inner_of(&c, &inner, PSH | ACK, "");
        inner.data[inner.l4 + 12] = 4 << 4;
        wrap(&c, &f, &inner, HANDOFF_PACKET, 0);
        inject(&f);
        MOVED(ONE(MALFORMED));
        inner.data[inner.l4 + 12] = 15 << 4;
        wrap(&c, &f, &inner, HANDOFF_PACKET, 0);
        inject(&f);
        MOVED(ONE(MALFORMED));
    }
    inner_of(&c, &inner, PSH | ACK, "");
    inner.data[14] = 0x50; /* IPv5 */
    wrap(&c, &f, &inner, HANDOFF_PACKET, 0);
    inject(&f);
    MOVED(ONE(MALFORMED));
    struct endpoint from = at("198.51.100.7"), to = at("192.0.2.1");
    for (uint8_t kind = HANDOFF_PACKET; kind <= HANDOFF_FIND; kind++) { /* only TCP can be adopted */
        link_head(&inner, 0x0800, 0);
        ip_head(&inner, &from.addr, &to.addr, IPPROTO_UDP);
        put(&inner, "\x10\0\x20\0\0\x08\0\0", 8);
        set_lengths(&inner);
        store16(&inner, 24, fold16(sum16(inner.data + 14, 20, 0)));
        wrap(&c, &f, &inner, kind, 0);
        inject(&f);
        if (kind == HANDOFF_PACKET)
            MOVED(ONE(RECEIVED), ONE(DELIVERED));
        else
            MOVED(ONE(MALFORMED));
    }
    struct endpoint balancer = at(balancers[0]); /* no longer one of ours */
    struct siphash_key keys[HANDOFF_KEYS] = {test_key(0), test_key(1), test_key(2), test_key(3)};
    assert_int_equal(node_distrust(node, &balancer.addr), 0);
    say(&c, HANDOFF_OPEN, PSH | ACK, GET);
    MOVED(ONE(UNTRUSTED));
    assert_int_equal(node_trust(node, &balancer.addr, keys), 0);
}

/* ---- adopting ---- */

static void test_adopts(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct client c = client_of(i & 1, i >> 1);
        int fd = open_connection(&c);
        struct tcp_info info;
        socklen_t n = sizeof info;
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n), 0);
        assert_int_equal(info.tcpi_state, TCP_ESTABLISHED);
        assert_int_equal(info.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE),
                         TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE);
        assert_int_equal(info.tcpi_snd_wscale, CLIENT_SCALE);
        assert_int_equal(info.tcpi_rcv_wscale, OUR_SCALE);
        assert_true(info.tcpi_snd_mss <= MSS && info.tcpi_snd_mss >= MSS - 12);
        server_says(fd, &c, "HTTP/1.1 200 OK\r\n\r\n");
        c.seq = c.start; /* the same again: a retransmission, which the server does not see */
        say(&c, HANDOFF_OPEN, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        c.seq += sizeof GET - 1;
        c.ack += 19;
        say(&c, HANDOFF_OPEN, PSH | ACK, "second"); /* behind it, while the balancer has not heard of us */
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        c.seq += 6;
        say(&c, HANDOFF_PACKET, PSH | ACK, "third");
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        reads(fd, "secondthird");
        close(fd);
        forget();
    }
}

/* The congestion window goes with the connection: from one node in the header, and into the next one's socket. */
static void test_window(void **state)
{
    static const struct {
        uint32_t said, has;
    } table[] = {{0, 10}, {9, 10}, {15, 10}, {16, 16}, {300, 289}, {100000, 63 * 63}};
    for (unsigned i = 0; i < 4; i++) {
        for (size_t t = 0; t < sizeof table / sizeof *table; t++) {
            struct client c = client_of(i & 1, i >> 1);
            struct frame inner, f;
            struct tcp_info info;
            socklen_t n = sizeof info;
            struct handoff h = {.kind = HANDOFF_OPEN, .start = htonl(c.start)};
            h.tcp = (struct handoff_tcp){htons(MSS), HANDOFF_SACK | HANDOFF_WSCALE, CLIENT_SCALE << 4 | OUR_SCALE};
            h.key = (uint8_t)(SEND_KEY + handoff_window(table[t].said));
            inner_of(&c, &inner, PSH | ACK, GET);
            tunnel_build(&f, &inner, balancers[c.over], us[c.over], &h);
            inject(&f);
            if (table[t].has > 10)
                MOVED(ONE(RECEIVED), ONE(ADOPTED), ONE(WINDOW));
            else
                MOVED(ONE(RECEIVED), ONE(ADOPTED));
            int fd = accepted(&c);
            reads(fd, GET);
            c.seq += sizeof GET - 1;
            assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n), 0);
            assert_int_equal(info.tcpi_snd_cwnd, table[t].has);
            server_says(fd, &c, "the answer");
            c.ack += 10;
            say(&c, HANDOFF_MOVE, PSH | ACK, GET);
            MOVED(ONE(RECEIVED), ONE(LET_GO));
            h = comes_back(&c, PSH | ACK, GET);
            assert_int_equal(h.kind, HANDOFF_MOVED);
            assert_int_equal(h.key / HANDOFF_KEYS * HANDOFF_KEYS, handoff_window(table[t].has));
            close(fd);
            forget();
        }
    }
}

/*
 * So do the timestamps, from where the node before has got to, not from the last that the client has seen of them: a
 * retransmission may still be under way, and behind it the client would take nothing that bears an older one (RFC 7323 5.2).
 */
static void test_clock(void **state)
{
    enum { ECHOED = 512, AHEAD = 5000, SLOW_MS = 2000 };
    for (unsigned i = 0; i < 8; i++) {
        struct client c = client_of(i & 1, i >> 1 & 1);
        struct frame f, inner;
        bool without = i >> 2;
        struct handoff h = {.kind = HANDOFF_OPEN, .key = SEND_KEY, .clock = htons(AHEAD), .start = htonl(c.start)};
        h.tcp = (struct handoff_tcp){htons(MSS), HANDOFF_SACK | HANDOFF_WSCALE, CLIENT_SCALE << 4 | OUR_SCALE};
        if (without)
            memset(c.options, 1, sizeof c.options); /* no-operation */
        inner_of(&c, &inner, PSH | ACK, GET);
        tunnel_build(&f, &inner, balancers[c.over], us[c.over], &h);
        inject(&f);
        MOVED(ONE(RECEIVED), ONE(ADOPTED));
        int fd = accepted(&c);
        reads(fd, GET);
        c.seq += sizeof GET - 1;
        assert_int_equal(write(fd, "the answer", 10), 10);
        do {
            assert_true(heard(&f, IPPROTO_TCP, WAIT_MS));
        } while (load16(&f, f.l4 + 2) != at(c.from).port || load32(&f, f.l4 + 4) != c.ack || f.len - f.l4 < 30);
        assert_int_equal(f.data[f.l4 + 12] >> 4, without ? 5 : 8);
        if (!without)
            assert_in_range(load32(&f, f.l4 + 24), ECHOED + AHEAD, ECHOED + AHEAD + SLOW_MS);
        c.ack += 10;
        usleep(30000);
        say(&c, HANDOFF_MOVE, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(LET_GO));
        h = comes_back(&c, PSH | ACK, GET);
        assert_int_equal(h.kind, HANDOFF_MOVED);
        if (without)
            assert_int_equal(h.clock, 0);
        else
            assert_in_range(ntohs(h.clock), AHEAD + 30, AHEAD + SLOW_MS);
        close(fd);
        forget();
    }
}

/* Whoever has heard a hand-off and repeats it when the connection has ended gets no second one. */
static void test_replayed(void **state)
{
    struct client c[2] = {client_of(0, 0), client_of(1, 1)};
    for (int i = 0; i < 2; i++) {
        struct client end = c[i];
        for (int again = 0; again < 2; again++) { /* for a moment it may be that the server had no room */
            end.seq = c[i].start;
            int fd = open_connection(&end);
            say(&end, HANDOFF_PACKET, RST | ACK, "");
            MOVED(ONE(RECEIVED), ONE(DELIVERED));
            reset(fd);
        }
        forget();
    }
    usleep(NODE_AGAIN_NS / 1000 + 100000);
    for (int i = 0; i < 2; i++) {
        say(&c[i], HANDOFF_OPEN, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(REPLAYED));
        assert_int_equal(comes_back(&c[i], PSH | ACK, GET).kind, HANDOFF_REFUSED);
        c[i].start = c[i].seq += 0x1000000; /* a new one on the same ports */
        close(open_connection(&c[i]));
        forget();
    }
}

static void test_not_adopted(void **state)
{
    struct client c = client_of(0, 0);
    struct frame inner, f;
    c.to = "192.0.2.1:81";
    say(&c, HANDOFF_OPEN, PSH | ACK, GET);
    MOVED(ONE(RECEIVED), ONE(NO_LISTENER));
    assert_int_equal(comes_back(&c, PSH | ACK, GET).kind, HANDOFF_REFUSED);
    c = client_of(0, 0);
    inner_of(&c, &inner, PSH | ACK, GET);
    struct handoff h = {.kind = HANDOFF_OPEN, .key = SEND_KEY, .start = htonl(c.start)}; /* a segment size of 0 */
    tunnel_build(&f, &inner, balancers[0], us[0], &h);
    inject(&f);
    MOVED(ONE(RECEIVED), ONE(REFUSED));
    /* What follows a first segment that does not come is put off, and given up at last. */
    c.seq += 100;
    say(&c, HANDOFF_OPEN, PSH | ACK, "second");
    MOVED(ONE(RECEIVED), {NODE_PUT_OFF, HANDOFF_TRIES_MAX}, ONE(TOO_EARLY));
    struct pollfd p = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
}

/* ---- letting go ---- */

static void test_lets_go(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct client c = client_of(i & 1, i >> 1);
        int fd = quiet_connection(&c);
        forget();
        say(&c, HANDOFF_MOVE, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(LET_GO));
        struct handoff h = comes_back(&c, PSH | ACK, GET);
        assert_int_equal(h.kind, HANDOFF_MOVED);
        assert_int_equal(ntohl(h.start), c.asked);
        reset(fd);
        not_reset(&c);
        for (uint8_t kind = HANDOFF_MOVE; kind <= HANDOFF_NEXT; kind += HANDOFF_NEXT - HANDOFF_MOVE) {
            say(&c, kind, PSH | ACK, GET); /* our answer was lost */
            MOVED(ONE(RECEIVED), ONE(LET_GO));
            assert_int_equal(comes_back(&c, PSH | ACK, GET).kind, HANDOFF_MOVED);
        }
        say(&c, HANDOFF_PACKET, ACK, ""); /* was under way: no socket here, but the connection lives elsewhere */
        MOVED(ONE(RECEIVED), ONE(DELIVERED), ONE(LATE));
        not_reset(&c);
        struct client late = c; /* a copy of its first request begins nothing anew */
        late.seq = c.start;
        say(&late, HANDOFF_OPEN, PSH | ACK, GET);
        usleep(20000);
        MOVED(ONE(RECEIVED));
        c.seq++; /* but that is another place */
        say(&c, HANDOFF_MOVE, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(GONE));
        assert_int_equal(comes_back(&c, PSH | ACK, GET).kind, HANDOFF_GONE);
    }
}

static void busy(const struct client *c)
{
    say(c, HANDOFF_MOVE, PSH | ACK, GET);
    MOVED(ONE(RECEIVED), ONE(BUSY));
    assert_true(nothing_comes_back());
}

static void test_does_not_let_go(void **state)
{
    struct client c = client_of(0, 0);
    int fd = open_connection(&c);
    busy(&c); /* the server has not answered yet */
    server_says(fd, &c, "the answer");
    busy(&c); /* the client has not acknowledged it */
    c.ack += 10;
    say(&c, HANDOFF_PACKET, PSH | ACK, "unread");
    MOVED(ONE(RECEIVED), ONE(DELIVERED));
    c.seq += 6;
    busy(&c); /* the server has not read all */
    reads(fd, "unread");
    server_says(fd, &c, "more");
    c.ack += 4;
    say(&c, HANDOFF_PACKET, ACK, "");
    MOVED(ONE(RECEIVED), ONE(DELIVERED));
    c.seq += 5;
    busy(&c); /* a gap before the request */
    c.seq -= 5;
    c.ack--;
    busy(&c); /* an older acknowledgement */
    c.ack++;
    c.pipelines = true;
    busy(&c); /* it asks without waiting: this may be the middle of an answer */
    c.pipelines = false;
    close(fd); /* the server ends it: its kernel answers, not we */
    say(&c, HANDOFF_MOVE, PSH | ACK, GET);
    MOVED(ONE(RECEIVED), ONE(DELIVERED));
    forget();
}

/* Where the server has spoken and nobody can tell whether that was all, it is when nothing has happened for a while. */
static void test_lets_go_in_time(void **state)
{
    for (int early = 0; early <= 1; early++) {
        struct client c = client_of(0, 0);
        int fd = quiet_connection(&c);
        if (early) { /* it has answered before the request's body was there */
            usleep(20000);
            say(&c, HANDOFF_PACKET, PSH | ACK, "body");
            MOVED(ONE(RECEIVED), ONE(DELIVERED));
            reads(fd, "body");
            c.seq += 4;
        }
        c.pipelines = !early;
        forget();
        busy(&c);
        usleep(NODE_ANSWERED_NS / 1000);
        say(&c, HANDOFF_MOVE, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(LET_GO));
        assert_int_equal(comes_back(&c, PSH | ACK, GET).kind, HANDOFF_MOVED);
        reset(fd);
    }
}

/*
 * The kernel notes what it has sent when it has sent it, and the client may have answered before that. It looks the same
 * when the client acknowledges what the server has written and no window let out.
 */
static void acknowledged_before_noted(struct client *c, int fd)
{
    static const char long_answer[40000];
    ssize_t n = send(fd, long_answer, sizeof long_answer, MSG_DONTWAIT);
    assert_true(n > 10 * MSS);
    c->seq += sizeof GET - 1;
    c->ack += (uint32_t)n - 1;
    say(c, HANDOFF_NEXT, PSH | ACK, GET);
    MOVED(ONE(RECEIVED), ONE(BUSY));
    c->ack++;
    say(c, HANDOFF_NEXT, PSH | ACK, GET);
    MOVED(ONE(RECEIVED), ONE(DELIVERED));
}

/* The next request of a connection that stays: only when the last one has its answer. */
static void test_next(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct client c = client_of(i & 1, i >> 1);
        int fd = open_connection(&c);
        server_says(fd, &c, "the answer");
        say(&c, HANDOFF_NEXT, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(BUSY));
        c.ack += 10;
        say(&c, HANDOFF_NEXT, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        reads(fd, GET);
        say(&c, HANDOFF_NEXT, PSH | ACK, GET); /* sent again */
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        acknowledged_before_noted(&c, fd);
        close(fd);
        forget();
    }
}

static void test_find(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct client c = client_of(i & 1, i >> 1);
        forget();
        say(&c, HANDOFF_FIND, ACK, "body");
        MOVED(ONE(RECEIVED), ONE(UNKNOWN));
        struct handoff h = comes_back(&c, ACK, "body");
        assert_int_equal(h.kind, HANDOFF_UNKNOWN);
        int fd = open_connection(&c);
        forget();
        c.seq += 1000;
        say(&c, HANDOFF_FIND, ACK, "body");
        MOVED(ONE(RECEIVED), ONE(MINE));
        h = comes_back(&c, ACK, "body");
        assert_int_equal(h.kind, HANDOFF_MINE);
        assert_int_equal(ntohl(h.start), c.seq - 1000);
        assert_int_equal(ntohs(h.tcp.mss), MSS);
        assert_int_equal(h.tcp.options, HANDOFF_SACK | HANDOFF_WSCALE | HANDOFF_TIMESTAMPS);
        assert_int_equal(h.tcp.wscale, CLIENT_SCALE << 4 | OUR_SCALE);
        struct client before_it = c; /* one that was on the same addresses and ports */
        before_it.seq += 0x6000000;
        say(&before_it, HANDOFF_FIND, ACK, "body");
        MOVED(ONE(RECEIVED), ONE(UNKNOWN));
        assert_int_equal(comes_back(&before_it, ACK, "body").kind, HANDOFF_UNKNOWN);
        close(fd);
        say(&c, HANDOFF_FIND, ACK, "body");
        MOVED(ONE(RECEIVED), ONE(MINE));
        h = comes_back(&c, ACK, "body");
        assert_int_equal(h.tcp.options, HANDOFF_SACK | HANDOFF_WSCALE | HANDOFF_TIMESTAMPS | HANDOFF_CLOSING);
        c.seq -= 1000;
        c.ack++;
        say(&c, HANDOFF_PACKET, FIN | ACK, "");
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        for (int other = 0; other <= 1; other++) { /* TIME_WAIT: numbers of both sides tell its packets from others */
            forget();
            say(&c, HANDOFF_FIND, ACK, "");
            if (other)
                MOVED(ONE(RECEIVED), ONE(UNKNOWN));
            else
                MOVED(ONE(RECEIVED), ONE(MINE));
            assert_int_equal(comes_back(&c, ACK, "").kind, other ? HANDOFF_UNKNOWN : HANDOFF_MINE);
            c.ack -= 0x6000000;
        }
        forget();
    }
}

/* What the node says of where the client's next request begins; 0: nothing, but how far it has received. */
static uint32_t place_of(const struct client *c)
{
    forget();
    say(c, HANDOFF_FIND, ACK, "");
    MOVED(ONE(RECEIVED), ONE(MINE));
    struct handoff h = comes_back(c, ACK, "");
    assert_true(h.tcp.options & HANDOFF_ENDS || ntohl(h.start) == c->seq);
    return h.tcp.options & HANDOFF_ENDS ? ntohl(h.start) : 0;
}

/* It remembers where requests end, for a balancer that does not, and what it has not answered. */
static void test_remembers_the_request(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct client c = client_of(i & 1, i >> 1);
        c.ends = c.start + sizeof GET - 1 + 4;
        int fd = open_connection(&c);
        assert_int_equal(place_of(&c), c.ends);
        say(&c, HANDOFF_PACKET, PSH | ACK, "body");
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        c.seq += 4;
        reads(fd, "body");
        assert_int_equal(place_of(&c), c.seq);
        struct client hasty = c; /* the server has said nothing yet, and the balancer does not know that */
        hasty.asked--;
        busy(&hasty);
        say(&hasty, HANDOFF_NEXT, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(BUSY));
        server_says(fd, &c, "the answer");
        c.ack += 10;
        c.pipelines = true;
        forget();
        busy(&c);
        assert_int_equal(place_of(&c), c.seq);
        struct client again = c;
        c.ends = c.seq + sizeof GET - 1;
        say(&c, HANDOFF_NEXT, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        reads(fd, GET);
        say(&again, HANDOFF_NEXT, PSH | ACK, GET); /* an old copy changes nothing */
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        c.seq += sizeof GET - 1;
        assert_int_equal(place_of(&c), c.ends);
        say(&c, HANDOFF_PACKET, PSH | ACK, "more"); /* whatever that is, it did not come as a request */
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        reads(fd, "more");
        c.seq += 4;
        assert_int_equal(place_of(&c), 0);
        server_says(fd, &c, "and an answer");
        c.ack += 13;
        c.ends = 0; /* one that goes on without an end */
        say(&c, HANDOFF_NEXT, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        reads(fd, GET);
        c.seq += sizeof GET - 1;
        assert_int_equal(place_of(&c), 0);
        close(fd);
        forget();
    }
}

/* ---- old sockets in a new connection's place ---- */

static void test_clears(void **state)
{
    for (unsigned i = 0; i < 8; i++) {
        struct client c = client_of(i & 1, i >> 1 & 1);
        int old = quiet_connection(&c);
        bool time_wait = i >> 2;
        if (time_wait) { /* the server closes, and so does the client */
            close(old);
            c.ack++;
            say(&c, HANDOFF_PACKET, FIN | ACK, "");
            MOVED(ONE(RECEIVED), ONE(DELIVERED));
        }
        c.start = c.seq += 0x55555555;
        c.ack += 0x33333333;
        c.ends = c.seq + sizeof GET - 1;
        c.options[7] = 0; /* a clock before the old one's */
        say(&c, HANDOFF_OPEN, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(CLEARED), ONE(ADOPTED));
        int fd = accepted(&c);
        reads(fd, GET);
        c.seq += sizeof GET - 1;
        assert_int_equal(place_of(&c), c.ends); /* what is noted is the new one's */
        server_says(fd, &c, "a new answer");
        if (!time_wait)
            reset(old);
        close(fd);
        forget();
    }
}

static void test_every_counter(void **state)
{
    for (enum node_counter c = 0; c < NODE_COUNTER_COUNT; c++)
        if (!hit[c] && c != NODE_PARKED && c != NODE_CAME_BACK)
            fail_msg("never moved: %s", node_counter_name(c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_refused, need),
        cmocka_unit_test_setup(test_not_for_a_node, need),
        cmocka_unit_test_setup(test_adopts, need),
        cmocka_unit_test_setup(test_window, need),
        cmocka_unit_test_setup(test_clock, need),
        cmocka_unit_test_setup(test_replayed, need),
        cmocka_unit_test_setup(test_not_adopted, need),
        cmocka_unit_test_setup(test_lets_go, need),
        cmocka_unit_test_setup(test_does_not_let_go, need),
        cmocka_unit_test_setup(test_lets_go_in_time, need),
        cmocka_unit_test_setup(test_next, need),
        cmocka_unit_test_setup(test_find, need),
        cmocka_unit_test_setup(test_remembers_the_request, need),
        cmocka_unit_test_setup(test_clears, need),
        cmocka_unit_test_setup(test_every_counter, need),
    };
    return cmocka_run_group_tests_name("relay_node", tests, set_up, tear_down);
}
