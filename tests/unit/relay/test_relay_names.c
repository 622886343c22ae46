/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and protocols in the packet program and outside of it: names below a star, ALPN, HTTP/2 in clear text; greetings
 * of real clients that arrive in two and three segments, cut anywhere, through the packet program and the daemon's part.
 */
#include <sched.h>
#include "delayed.h"
#include "hellos.h"
#include "relay/assist.h"
#include "relay/choose.h"

enum { FARM = 5, SEGMENT = 1380, STAR = 11, STAR_B, EXACT, OTHERS, WWW };
#define HTTP_VIP "192.0.2.5:80"
#define TLS_VIP  "192.0.2.5:443"

static uint64_t seed = 0x7e57ab1e;

static uint32_t any(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 16) % n);
}

static void host(const char *name, uint32_t id, uint32_t set)
{
    assert_int_equal(relay_set_host(relay, FARM, name, &(struct relay_host){id, set}), 0);
}

static int begin(void **state)
{
    /* What the daemon's part sends to nodes goes nowhere. */
    if (unshare(CLONE_NEWNET) != 0)
        print_message("not root\n");
    if (farm_begin(state) != 0 || !relay)
        return hellos_read(state);
    vip_set(HTTP_VIP, SET_V4, SET_ALL, RELAY_VIP_DELAYED, FARM);
    vip_set(TLS_VIP, SET_V4, SET_ALL, RELAY_VIP_DELAYED | RELAY_VIP_PINNED, FARM);
    host("*.Example.com", STAR, SET_LAN);
    host("*.b.example.com", STAR_B, SET_V6);
    host("a.b.example.com", EXACT, SET_V4);
    host(NULL, OTHERS, SET_BOTH);
    return hellos_read(state);
}

static struct relay_flow first_words(const char *vip, const void *bytes, size_t n, struct client *c)
{
    struct frame f, out;
    *c = client_open(vip);
    say(c, &f, &out, PSH | ACK, bytes, (uint32_t)n);
    return flow_of(c);
}

/* Both readers and both tables say so. */
static void chooses(const char *vip, const void *bytes, size_t n, uint32_t set)
{
    struct client c;
    struct relay_request q;
    struct relay_flow flow = first_words(vip, bytes, n, &c);
    struct relay_flow_key k = key_of(&c);
    assert_int_equal(relay_request_read(bytes, n, &q), RELAY_READ_WHOLE);
    assert_int_equal(flow.set, set);
    assert_int_equal(relay_set_for(relay, &k, &q), set);
    assert_int_equal(flow.state, RELAY_FLOW_OPENING);
}

static size_t make_hello(const char *name, uint8_t *out)
{
    size_t n = strlen(name), body = 2 + 32 + 1 + 4 + 2 + 2 + n + 9, at_ = 0;
    memcpy(out, "\x16\x03\x01\0\0\x01\0\0\0\x03\x03", 11);
    out[4] = (uint8_t)(body + 4);
    out[3] = (uint8_t)((body + 4) >> 8);
    out[8] = (uint8_t)body;
    out[7] = (uint8_t)(body >> 8);
    memset(out + 11, 'r', 32);
    memcpy(out + 43, "\0\0\x02\x13\x01\x01\0", 7);
    at_ = 50;
    const size_t lengths[] = {n + 9, 0, n + 5, n + 3};
    for (size_t i = 0; i < 4; i++, at_ += 2) {
        out[at_] = (uint8_t)(lengths[i] >> 8);
        out[at_ + 1] = (uint8_t)lengths[i];
    }
    out[at_] = 0;
    out[at_ + 1] = (uint8_t)(n >> 8);
    out[at_ + 2] = (uint8_t)n;
    memcpy(out + at_ + 3, name, n);
    return at_ + 3 + n;
}

static void test_stars(void **state)
{
    static const struct {
        const char *name;
        uint32_t set;
    } table[] = {
        {"x.example.com", SET_LAN},        {"X.EXAMPLE.com", SET_LAN},
        {"y.x.example.com", SET_LAN},      {"b.example.com", SET_LAN},
        {"x.b.example.com", SET_V6},       {"a.b.example.com", SET_V4},
        {"z.a.b.example.com", SET_V6},     {"example.com", SET_BOTH},
        {"xexample.com", SET_BOTH},        {"x.example.com.org", SET_BOTH},
        {"localhost", SET_BOTH},           {"1.2.3.4.5.6.7.8.9.example.com", SET_LAN},
        {"x.example.como", SET_BOTH},      {"-.example.com", SET_LAN},
    };
    uint8_t bytes[512];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int n = snprintf((char *)bytes, sizeof bytes, "GET / HTTP/1.1\r\nHost: %s:80\r\n\r\n", table[i].name);
        chooses(HTTP_VIP, bytes, (size_t)n, table[i].set);
        chooses(TLS_VIP, bytes, make_hello(table[i].name, bytes), table[i].set);
    }
    chooses(HTTP_VIP, "GET / HTTP/1.1\r\nHost: .example.com\r\n\r\n", 38, SET_LAN); /* as the front end reads it */
    assert_int_equal(relay_remove_host(relay, FARM, "*.b.example.com"), 0);
    chooses(TLS_VIP, bytes, make_hello("x.b.example.com", bytes), SET_LAN);
    host("*.b.example.com", STAR_B, SET_V6);
}

static void test_protocols(void **state)
{
    static const struct {
        const char *client;
        uint32_t set;
    } table[] = {{"openssl", SET_V4},       {"openssl-alpn", SET_V6}, {"curl", SET_V6},
                 {"openssl-acme", SET_LAN}, {"python", SET_V4},       {"openssl-no-name", SET_BOTH}};
    uint64_t hits;
    host("www.example.com", WWW, SET_V4);
    assert_int_equal(relay_set_resource(relay, WWW, RELAY_RESOURCE_ALPN, "h2", SET_V6, 0), 0);
    assert_int_equal(relay_set_resource(relay, WWW, RELAY_RESOURCE_ALPN, "http/1.1", SET_BOTH, 0), 0);
    assert_int_equal(relay_set_resource(relay, WWW, RELAY_RESOURCE_ALPN, "acme-tls/1", SET_LAN, 0), 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct hello *h = hello_of(table[i].client);
        chooses(TLS_VIP, h->bytes, h->len, table[i].set);
    }
    assert_int_equal(relay_resource_hits(relay, WWW, RELAY_RESOURCE_ALPN, "h2", &hits), 0);
    assert_int_equal(hits, 2);
    assert_int_equal(relay_remove_resource(relay, WWW, RELAY_RESOURCE_ALPN, "h2"), 0);
    chooses(TLS_VIP, hello_of("curl")->bytes, hello_of("curl")->len, SET_BOTH); /* its second word */
    assert_int_equal(relay_set_resource(relay, WWW, RELAY_RESOURCE_ALPN, "h2", SET_V6, 0), 0);
}

/* With a door for TLS the first bytes decide once and for all, whatever they are. */
static void test_pinned(void **state)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: x.example.com\r\n\r\n";
    struct client c;
    assert_true(first_words(TLS_VIP, get, sizeof get - 1, &c).flags & RELAY_FLOW_PINNED);
    assert_false(first_words(HTTP_VIP, get, sizeof get - 1, &c).flags & RELAY_FLOW_PINNED);
    assert_true(first_words(TLS_VIP, "\x16\x03\x01nonsense", 11, &c).flags & RELAY_FLOW_PINNED);
    assert_int_equal(flow_of(&c).node, SELF);
}

/* ---- HTTP/2 in clear text ---- */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define UPGRADE(value) "GET /six HTTP/1.1\r\nHost: www.example.com\r\nUpgrade:" value "\r\nConnection: Upgrade\r\n\r\n"

static void goes(const char *vip, const char *text, uint32_t node, uint32_t set)
{
    struct client c;
    struct relay_flow f = first_words(vip, text, strlen(text), &c);
    assert_int_equal(f.state, RELAY_FLOW_OPENING);
    assert_int_equal(f.node, node);
    assert_int_equal(f.set, set);
    assert_true(f.flags & RELAY_FLOW_PINNED);
}

static void test_h2c(void **state)
{
    static const char *const vip = "192.0.2.1:80";
    struct relay_host h = {1, SET_LAN}, other = {9, SET_V6};
    struct client c;
    struct relay_request q;
    goes(vip, PREFACE, SELF, SET_FRONT); /* nobody speaks it */
    goes(vip, UPGRADE(" h2c"), SELF, SET_FRONT);
    goes(vip, UPGRADE(" websocket"), NODE_V6, SET_V6);
    assert_int_equal(relay_set_h2c(relay, 1, NULL, &other), 0);
    assert_int_equal(relay_set_h2c(relay, 1, "www.example.com", &h), 0);
    goes(vip, PREFACE, NODE_V6, SET_V6);
    goes(vip, PREFACE "\0\0\0\4\0\0\0\0", NODE_V6, SET_V6);
    goes(vip, UPGRADE(" h2c"), NODE_LAN, SET_LAN);
    goes(vip, UPGRADE("H2C"), NODE_LAN, SET_LAN);
    goes(vip, UPGRADE(" h2c, x"), NODE_V6, SET_V6); /* by the path: who says more wants more */
    goes(vip, UPGRADE(" h2cx"), NODE_V6, SET_V6);
    for (size_t n = 2; n < sizeof PREFACE - 1; n++) {
        assert_int_equal(relay_request_read(PREFACE, n, &q), RELAY_READ_PART);
        assert_int_equal(first_words(vip, PREFACE, n, &c).state, RELAY_FLOW_ASSIST);
    }
    for (size_t n = 2; n < sizeof PREFACE - 1; n++) {
        char wrong[] = PREFACE;
        wrong[n] ^= 1;
        assert_int_equal(relay_request_read(wrong, sizeof PREFACE - 1, &q), RELAY_READ_ODD);
        first_words(vip, wrong, sizeof PREFACE - 1, &c);
        assert_int_equal(flow_of(&c).node, SELF);
    }
    assert_int_equal(relay_remove_h2c(relay, 1, "www.example.com"), 0);
    goes(vip, UPGRADE(" h2c"), NODE_V6, SET_V6);
    assert_int_equal(relay_remove_h2c(relay, 1, NULL), 0);
    goes(vip, UPGRADE(" h2c"), SELF, SET_FRONT);
}

/* ---- greetings in segments ---- */

static struct assist *assist;

static void to_daemon(void)
{
    static union {
        struct relay_event e;
        uint8_t room[sizeof(struct relay_event) + RELAY_SEGMENT_MAX];
    } u;
    assert_int_equal(told.segments, 1);
    u.e = told.last;
    memcpy(u.e.data, told.data, told.last.length);
    assist_segment(assist, &u.e, 1000);
}

static void piece(struct client c, const uint8_t *bytes, size_t from, size_t to)
{
    struct frame f, out;
    c.seq += (uint32_t)from;
    say(&c, &f, &out, PSH | ACK, bytes + from, (uint32_t)(to - from));
    to_daemon();
}

/* The pieces between borders: the first one first, the others in the other order when `back`. */
static void in_pieces(const struct hello *h, const size_t *border, size_t count, bool back, uint32_t set)
{
    struct client c = client_open(TLS_VIP);
    for (size_t i = 0; i < count; i++) {
        size_t k = i && back ? count - i : i;
        if (i)
            assert_int_equal(flow_of(&c).state, RELAY_FLOW_ASSIST);
        piece(c, h->bytes, border[k], border[k + 1]);
    }
    struct relay_flow f = flow_of(&c);
    if (f.state != RELAY_FLOW_OPENING || f.set != set || !(f.flags & RELAY_FLOW_PINNED))
        fail_msg("%s in %zu pieces, cut at %zu: state %u, set %u", h->client, count, border[1], f.state, f.set);
}

static void test_segments(void **state)
{
    assert_int_equal(assist_new(relay, NULL, NULL, &assist), 0);
    for (size_t i = 0; i < hello_count; i++) {
        const struct hello *h = &hellos[i];
        uint32_t set = !*h->name ? SET_BOTH : strstr(h->alpn, "h2") ? SET_V6 : strstr(h->alpn, "acme") ? SET_LAN : SET_V4;
        size_t least = h->len > SEGMENT ? h->len - SEGMENT : 1;
        for (size_t cut = least; cut < h->len && cut <= SEGMENT; cut++)
            in_pieces(h, (size_t[]){0, cut, h->len}, 2, false, set);
        for (int k = 0; k < 300; k++) {
            size_t a = 1 + any((uint32_t)(h->len < SEGMENT ? h->len - 2 : SEGMENT)), rest = h->len - a;
            size_t b = a + 1 + any((uint32_t)rest - 1);
            if (b - a <= SEGMENT && h->len - b <= SEGMENT)
                in_pieces(h, (size_t[]){0, a, b, h->len}, 3, k % 2, set);
        }
    }
    struct assist_counts n;
    assist_counts(assist, &n);
    assert_true(n.decided > 3000);
    assert_int_equal(n.front, 0);
    assist_free(assist);
}

/* The rest does not come: the front end's, when it has waited long enough. */
static void test_unfinished(void **state)
{
    const struct hello *h = hello_of("chromium");
    struct client c = client_open(TLS_VIP);
    struct assist_counts n;
    assert_int_equal(assist_new(relay, NULL, NULL, &assist), 0);
    piece(c, h->bytes, 0, 1000);
    assert_int_equal(assist_tick(assist, 1000 + ASSIST_WAIT_MS - 1), 1);
    assert_int_equal(flow_of(&c).state, RELAY_FLOW_ASSIST);
    assert_int_equal(assist_tick(assist, 1000 + ASSIST_WAIT_MS), 0);
    assert_int_equal(flow_of(&c).state, RELAY_FLOW_OPENING);
    assert_int_equal(flow_of(&c).node, SELF);
    assist_counts(assist, &n);
    assert_int_equal(n.front, 1);
    assist_free(assist);
}

/* Of a process before: what is in use, and gone below a number. */
static void test_numbers(void **state)
{
    uint32_t farm, id;
    uint64_t hits;
    relay_names_used(relay, &farm, &id);
    assert_int_equal(farm, FARM);
    assert_int_equal(id, WWW);
    relay_names_forget(relay, FARM, EXACT);
    chooses(TLS_VIP, hello_of("openssl-alpn")->bytes, hello_of("openssl-alpn")->len, SET_V6);
    assert_int_equal(relay_resource_hits(relay, 1, RELAY_RESOURCE_PATH, "/six", &hits), PM_ENOTFOUND);
    assert_int_equal(relay_resource_hits(relay, WWW, RELAY_RESOURCE_ALPN, "h2", &hits), 0);
    assert_int_equal(relay_remove_host(relay, 1, "www.example.com"), PM_ENOTFOUND);
    relay_names_forget(relay, FARM + 1, WWW + 1);
    relay_names_used(relay, &farm, &id);
    assert_int_equal(farm, 0);
    assert_int_equal(id, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_stars, need_relay),      cmocka_unit_test_setup(test_protocols, need_relay),
        cmocka_unit_test_setup(test_pinned, need_relay),     cmocka_unit_test_setup(test_h2c, need_relay),
        cmocka_unit_test_setup(test_segments, need_relay),   cmocka_unit_test_setup(test_unfinished, need_relay),
        cmocka_unit_test_setup(test_numbers, need_relay),
    };
    return cmocka_run_group_tests_name("relay_names", tests, begin, farm_end);
}
