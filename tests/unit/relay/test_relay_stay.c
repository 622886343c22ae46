/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that come and go: their sockets wait for them, with other numbers than the client's. What the client sends and
 * sees is always in its own.
 */
#include <time.h>
#include "node_lab.h"

enum { ANSWER = 10 };

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Without a tunnel, as on the LAN. */
static void plainly(const struct client *c, uint8_t flags, const char *text)
{
    struct frame f;
    inner_of(c, &f, flags, text);
    inject(&f);
}

static void answered(int fd, struct client *c)
{
    server_says(fd, c, "the answer");
    c->ack += ANSWER;
    plainly(c, ACK, "");
}

/* Its request is for another node, where it asks some more; then it is back with one for this. */
static void elsewhere(struct client *c)
{
    say(c, HANDOFF_MOVE, PSH | ACK, GET);
    assert_int_equal(comes_back(c, PSH | ACK, GET).kind, HANDOFF_MOVED);
    c->seq += 30000;
    c->start = c->seq;
    c->ack += 3000000000u;
    c->asked = c->ack;
}

/* A connection that has been here, gone, and come again; it has had its answer. Its socket waits if it goes once more. */
static int regular(struct client *c)
{
    int old = open_connection(c);
    answered(old, c);
    forget();
    elsewhere(c);
    reset(old);
    MOVED(ONE(RECEIVED), ONE(LET_GO));
    int fd = open_connection(c);
    answered(fd, c);
    forget();
    return fd;
}

static void leaves(struct client *c)
{
    elsewhere(c);
    MOVED(ONE(RECEIVED), ONE(LET_GO), ONE(PARKED));
}

static void returns(struct client *c, int fd)
{
    say(c, HANDOFF_OPEN, PSH | ACK, GET);
    MOVED(ONE(RECEIVED), ONE(CAME_BACK), ONE(DELIVERED));
    reads(fd, GET);
    c->seq += sizeof GET - 1;
}

static bool silent(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

/* Three times round, by tunnel and by LAN; requests in between that stay; the balancer asks whose it is. */
static void test_comes_back(void **state)
{
    for (unsigned i = 0; i < 8; i++) {
        struct client c = client_of(i & 1, i >> 1 & 1);
        if (i >> 2)
            c.options_len = 0;
        int fd = regular(&c);
        for (int round = 0; round < 3; round++) {
            leaves(&c);
            assert_true(silent(fd));
            not_reset(&c);
            returns(&c, fd);
            answered(fd, &c);
            say(&c, HANDOFF_NEXT, PSH | ACK, GET);
            MOVED(ONE(RECEIVED), ONE(DELIVERED));
            reads(fd, GET);
            c.seq += sizeof GET - 1;
            server_says(fd, &c, "more of it");
            c.asked = c.ack;
            c.ack += ANSWER;
            say(&c, HANDOFF_PACKET, PSH | ACK, "body");
            MOVED(ONE(RECEIVED), ONE(DELIVERED));
            reads(fd, "body");
            c.seq += 4;
            forget();
            say(&c, HANDOFF_FIND, ACK, "");
            MOVED(ONE(RECEIVED), ONE(MINE));
            struct handoff h = comes_back(&c, ACK, "");
            assert_int_equal(ntohl(h.start), c.seq);
            server_says(fd, &c, "the answer");
            c.asked = c.ack;
            c.ack += ANSWER; /* that the socket hears of only with the next request */
            forget();
        }
        close(fd);
        forget();
    }
}

/* What comes to a socket that waits, and what it says, goes nowhere. */
static void test_waits(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct client c = client_of(i & 1, i >> 1), late;
        int fd = regular(&c);
        late = c;
        leaves(&c);
        for (uint8_t kind = HANDOFF_MOVE; kind <= HANDOFF_NEXT; kind += HANDOFF_NEXT - HANDOFF_MOVE) {
            say(&late, kind, PSH | ACK, GET); /* our answer was lost */
            MOVED(ONE(RECEIVED), ONE(LET_GO));
            assert_int_equal(comes_back(&late, PSH | ACK, GET).kind, HANDOFF_MOVED);
        }
        say(&late, HANDOFF_FIND, PSH | ACK, GET);
        MOVED(ONE(RECEIVED), ONE(UNKNOWN));
        assert_true(comes_back(&late, PSH | ACK, GET).tcp.options & HANDOFF_LET_GO);
        say(&late, HANDOFF_PACKET, PSH | ACK, "late");
        MOVED(ONE(RECEIVED), ONE(LATE));
        plainly(&late, PSH | ACK, "late");
        MOVED(ONE(LATE));
        late.seq = late.start;
        say(&late, HANDOFF_OPEN, PSH | ACK, GET); /* an old copy */
        MOVED(ONE(RECEIVED));
        assert_true(silent(fd));
        forget();
        node_counters(node, was);
        assert_int_equal(write(fd, "unasked", 7), 7);
        MOVED(ONE(LATE));
        not_reset(&c);
        say(&c, HANDOFF_OPEN, PSH | ACK, GET); /* with that it cannot go on */
        MOVED(ONE(RECEIVED), ONE(CLEARED), ONE(ADOPTED));
        reset(fd);
        fd = accepted(&c);
        reads(fd, GET);
        c.seq += sizeof GET - 1;
        answered(fd, &c);
        close(fd);
        forget();
    }
}

/* Nobody comes: the server sees an end, the client nothing. */
static void test_is_taken_away(void **state)
{
    for (unsigned v6 = 0; v6 <= 1; v6++) {
        struct client c = client_of(v6, v6);
        int fd = regular(&c);
        leaves(&c);
        node_sweep(node, now_ns());
        usleep(NODE_PARKED_NS / 1000 + 10000);
        node_sweep(node, now_ns());
        assert_true(silent(fd)); /* neither that it comes back now, nor that it is gone */
        usleep((NODE_OVER_NS - NODE_PARKED_NS) / 1000);
        node_counters(node, was);
        node_sweep(node, now_ns());
        MOVED(ONE(LATE));
        char byte;
        assert_int_equal(read(fd, &byte, 1), -1);
        close(fd);
        not_reset(&c);
        fd = open_connection(&c);
        answered(fd, &c);
        close(fd);
        forget();
    }
}

/* Another connection on the same ports, a server that has closed, a window that would be lost, and one that is too late. */
static void test_does_not_fit(void **state)
{
    for (unsigned why = 0; why < 8; why++) {
        struct client c = client_of(why & 1, 0);
        struct frame inner, f;
        int fd = regular(&c);
        leaves(&c);
        struct handoff h = {.kind = HANDOFF_OPEN, .key = SEND_KEY, .start = htonl(c.start)};
        h.tcp = (struct handoff_tcp){htons(MSS), HANDOFF_SACK | HANDOFF_WSCALE, CLIENT_SCALE << 4 | OUR_SCALE};
        switch (why) {
        case 0: h.tcp.mss = htons(536); break;
        case 1: h.tcp.options = HANDOFF_WSCALE; break;
        case 2: h.tcp.options = HANDOFF_SACK; break;
        case 3: h.tcp.wscale = 3 << 4 | OUR_SCALE; break;
        case 4: c.options_len = 0; break;
        case 5: h.key += handoff_window(49); break;
        case 6: close(fd); break;
        case 7: usleep(NODE_PARKED_NS / 1000); break;
        }
        inner_of(&c, &inner, PSH | ACK, GET);
        tunnel_build(&f, &inner, balancers[c.over], us[c.over], &h);
        usleep(20000);
        inject(&f);
        if (why == 5)
            MOVED(ONE(RECEIVED), ONE(CLEARED), ONE(ADOPTED), ONE(WINDOW));
        else
            MOVED(ONE(RECEIVED), ONE(CLEARED), ONE(ADOPTED));
        if (why != 6)
            reset(fd);
        fd = accepted(&c);
        reads(fd, GET);
        c.seq += sizeof GET - 1;
        answered(fd, &c);
        close(fd);
        forget();
    }
}

static struct tcp_info info_of(int fd)
{
    struct tcp_info info;
    socklen_t n = sizeof info;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n), 0);
    return info;
}

/* The next packet to the client; its options follow. */
static void hears(const struct client *c, struct frame *f)
{
    do {
        assert_true(heard(f, IPPROTO_TCP, WAIT_MS));
    } while (load16(f, f->l4 + 2) != at(c->from).port);
}

/* Selective acknowledgements in both directions, wherever they stand among the options. */
static void test_sack(void **state)
{
    static const uint8_t lead[4] = {1, 1, 5, 10};
    for (unsigned i = 0; i < 12; i++) {
        struct client c = client_of(i & 1, 0);
        unsigned short_of = i % 3; /* words, halves of words, odd places */
        struct frame f;
        if (i >= 6)
            c.options_len = 0;
        int fd = regular(&c);
        leaves(&c);
        returns(&c, fd);
        c.seq += 100; /* something is missing */
        forget();
        say(&c, HANDOFF_PACKET, PSH | ACK, "behind a gap");
        MOVED(ONE(RECEIVED), ONE(DELIVERED));
        hears(&c, &f);
        uint32_t sack = f.l4 + 20 + (c.options_len ? 12 : 0);
        assert_int_equal(load32(&f, f.l4 + 4), c.ack);
        assert_int_equal(load32(&f, f.l4 + 8), c.seq - 100);
        assert_int_equal(load32(&f, sack), 0x0101050a);
        assert_int_equal(load32(&f, sack + 4), c.seq);
        assert_int_equal(load32(&f, sack + 8), c.seq + 12);
        c.seq -= 100;
        char data[4 * MSS] = {0};
        assert_int_equal(write(fd, data, sizeof data), sizeof data);
        uint8_t *o = c.options + c.options_len; /* all has come but the first segment */
        uint32_t edges[2] = {htonl(c.ack + MSS), htonl(c.ack + sizeof data)};
        memset(o, 0, 12);
        memcpy(o, lead + short_of, 4 - short_of);
        memcpy(o + 4 - short_of, edges, 8);
        c.options_len += 12;
        assert_int_equal(info_of(fd).tcpi_sacked, 0);
        plainly(&c, ACK, "");
        for (int ms = 0; ms < WAIT_MS && !info_of(fd).tcpi_sacked; ms++)
            usleep(1000);
        assert_true(info_of(fd).tcpi_sacked > 0);
        close(fd);
        forget();
    }
}

/* Timestamps go on from what the client has seen, and round trips are measured as they are. */
static void test_clock(void **state)
{
    enum { ECHOED = 512, AWAY_MS = 600, SLOW_MS = 200 };
    for (unsigned v6 = 0; v6 <= 1; v6++) {
        struct client c = client_of(v6, 0);
        struct frame f;
        int fd = regular(&c);
        leaves(&c);
        usleep(AWAY_MS * 1000);
        returns(&c, fd);
        forget();
        assert_int_equal(write(fd, "the answer", ANSWER), ANSWER);
        do {
            hears(&c, &f);
        } while (f.len - f.l4 != 32 + ANSWER);
        assert_in_range(load32(&f, f.l4 + 24), ECHOED, ECHOED + SLOW_MS);
        memcpy(c.options + 8, f.data + f.l4 + 24, 4);
        c.ack += ANSWER;
        plainly(&c, ACK, "");
        usleep(20000);
        assert_in_range(info_of(fd).tcpi_rtt, 0, SLOW_MS * 1000);
        close(fd);
        forget();
    }
}

/* A router's word that a packet was too big is about one with the client's numbers. */
static void test_too_big(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct client c = client_of(i & 1, 0);
        bool v6 = i & 1;
        struct frame sent, f;
        char data[MSS - 12] = {0};
        int fd = regular(&c);
        leaves(&c);
        returns(&c, fd);
        forget();
        assert_int_equal(write(fd, data, sizeof data), sizeof data);
        do {
            hears(&c, &sent);
        } while (sent.len < MSS);
        struct endpoint router = at(v6 ? "2001:db8:f::1" : "203.0.113.1"), vip = at(vips[v6]);
        uint32_t about = v6 ? 40 + 20 : 20 + 8, mtu = v6 ? 1300 : 1000;
        link_head(&f, v6 ? 0x86dd : 0x0800, 0);
        ip_head(&f, &router.addr, &vip.addr, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
        put(&f, v6 ? "\2\0\0\0" : "\3\4\0\0", 4);
        put32(&f, mtu);
        put(&f, sent.data + sent.l3, about);
        set_lengths(&f);
        if (v6)
            store16(&f, f.l4 + 2, l4_sum(&f, f.l3, f.l4, f.len, IPPROTO_ICMPV6));
        else
            store16(&f, f.l3 + 10, fold16(sum16(f.data + f.l3, 20, 0))), store16(&f, f.l4 + 2, fold16(sum16(f.data + f.l4, f.len - f.l4, 0)));
        assert_int_equal(info_of(fd).tcpi_pmtu, 1500);
        if (i >> 1) { /* behind routers, errors come in a tunnel too */
            struct frame outer;
            struct handoff h = {.kind = HANDOFF_PACKET, .key = SEND_KEY};
            tunnel_build(&outer, &f, balancers[c.over], us[c.over], &h);
            inject(&outer);
        } else {
            inject(&f);
        }
        for (int ms = 0; ms < WAIT_MS && info_of(fd).tcpi_pmtu != mtu; ms++)
            usleep(1000);
        assert_int_equal(info_of(fd).tcpi_pmtu, mtu);
        close(fd);
        forget();
        assert_int_equal(system("ip route flush cache; ip -6 route flush cache"), 0);
    }
}

/* What is left of a closed socket speaks in the client's numbers, too. */
static void test_closed(void **state)
{
    for (unsigned v6 = 0; v6 <= 1; v6++) {
        struct client c = client_of(v6, 0);
        struct frame f;
        int fd = regular(&c);
        leaves(&c);
        returns(&c, fd);
        answered(fd, &c);
        forget();
        close(fd);
        do {
            hears(&c, &f);
        } while (!(f.data[f.l4 + 13] & FIN));
        assert_int_equal(load32(&f, f.l4 + 4), c.ack);
        c.ack++;
        for (int again = 0; again <= 1; again++) { /* the last acknowledgement was lost */
            forget();
            plainly(&c, FIN | ACK, "");
            hears(&c, &f);
            assert_int_equal(f.data[f.l4 + 13] & (RST | FIN | ACK), ACK);
            assert_int_equal(load32(&f, f.l4 + 4), c.ack);
            assert_int_equal(load32(&f, f.l4 + 8), c.seq + 1);
        }
        forget();
    }
}

/* The next process goes on with them; when there is none, they end, and the client hears it. */
static void test_restart(void **state)
{
    for (unsigned v6 = 0; v6 <= 1; v6++) {
        struct client c = client_of(v6, 0), waiting = client_of(v6, 0);
        struct frame f;
        int fd = regular(&c), waits = regular(&waiting);
        leaves(&c);
        returns(&c, fd);
        leaves(&waiting);
        struct node *old = node;
        struct buf why = BUF_INIT;
        assert_int_equal(node_open(true, &node, &why), 0);
        assert_int_equal(node_attach(node, if_nametoindex("n0"), &why), 0);
        node_leave(old);
        believe();
        answered(fd, &c);
        returns(&waiting, waits);
        answered(waits, &waiting);
        forget();
        node_close(node);
        hears(&c, &f);
        assert_true(f.data[f.l4 + 13] & RST);
        assert_true(load32(&f, f.l4 + 4) == c.ack || load32(&f, f.l4 + 4) == waiting.ack);
        close(fd);
        close(waits);
        assert_int_equal(node_open(true, &node, &why), 0);
        assert_int_equal(node_attach(node, if_nametoindex("n0"), &why), 0);
        believe();
        forget();
    }
}

/* Where that is not wanted, each visit is a new connection to the server. */
static void test_not_kept(void **state)
{
    struct buf why = BUF_INIT;
    node_close(node);
    for (int again = 1; again >= 0; again--) {
        assert_int_equal(node_open(!again, &node, &why), 0);
        assert_int_equal(node_attach(node, if_nametoindex("n0"), &why), 0);
        believe();
        if (!again)
            break;
        struct client c = client_of(0, 0);
        int fd = regular(&c);
        elsewhere(&c);
        MOVED(ONE(RECEIVED), ONE(LET_GO));
        reset(fd);
        node_close(node);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_comes_back, need), cmocka_unit_test_setup(test_waits, need),
        cmocka_unit_test_setup(test_is_taken_away, need), cmocka_unit_test_setup(test_does_not_fit, need),
        cmocka_unit_test_setup(test_sack, need), cmocka_unit_test_setup(test_clock, need),
        cmocka_unit_test_setup(test_too_big, need), cmocka_unit_test_setup(test_closed, need),
        cmocka_unit_test_setup(test_restart, need), cmocka_unit_test_setup(test_not_kept, need),
    };
    return cmocka_run_group_tests_name("relay_stay", tests, set_up, tear_down);
}
