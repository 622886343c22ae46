/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading requests: a table of heads, every split of them, mutations at random against other readers (heads.h), TLS by
 * OpenSSL, and the packet program beside the same code in user space.
 */
#include <openssl/ssl.h>
#include "delayed.h"
#include "heads.h"
#include "relay/choose.h"

enum { MUTATIONS = 60000, KERNEL_MUTATIONS = 6000 };

static uint64_t seed = 0x5eed0f7e57;

static uint32_t any(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 16) % n);
}

static const struct head {
    const char *text, *host, *path, *suffix; /* host NULL: not for the relay */
    uint32_t prefixes;
    uint64_t body;
    bool stream;
} heads[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "a", "/", NULL, 1, 0, false},
    {"GET /x/y.tar.gz HTTP/1.1\r\nHost: A.Example\r\n\r\n", "a.example", "/x/y.tar.gz", ".gz", 2, 0, false},
    {"GET /x.y/z?q=/a.b HTTP/1.1\r\nAccept: */*\r\nHost:a:80\r\n\r\n", "a", "/x.y/z", NULL, 2, 0, false},
    {"HEAD /a-b_c~d;e=f,g@h:i!$&'()*+ HTTP/1.1\r\nhOsT:\t 192.0.2.1 \t\r\n\r\n", "192.0.2.1",
     "/a-b_c~d;e=f,g@h:i!$&'()*+", NULL, 1, 0, false},
    {"POST /up HTTP/1.1\r\nHost: a:8080 \r\nContent-Length: 007\r\n\r\n", "a", "/up", NULL, 1, 7, false},
    {"PUT /up HTTP/1.1\r\ncOnTeNt-LeNgTh:\t123456789012345\r\nHost: a\r\n\r\n", "a", "/up", NULL, 1, 123456789012345,
     true},
    {"PATCH /1/2/3/4/5/6/7/8/9/10/11/12.x HTTP/1.1\r\nHost: a\r\n\r\n", "a", "/1/2/3/4/5/6/7/8/9/10/11/12.x", ".x", 12,
     0, false},
    {"DELETE /d HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "a", "/d", NULL, 1, 0, false},
    {"GET /w HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", "a", "/w", NULL, 1, 0, true},
    {"GET /t HTTP/1.1\r\nHost: a\r\nX:\r\nY: \tz\t\r\nZ-long-name-of-a-field: and \x80\xff bytes\r\nHostile: "
     "b\r\nContent-Lengths: 3\r\n\r\n",
     "a", "/t", NULL, 1, 0, false},
    {"GET /. HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /a/.b HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /a//b HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /a\tHTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /?\x01 HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /1/2/3/4/5/6/7/8/9/10/11/12/13 HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"get / HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"OPTIONS /a HTTP/1.1\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a.\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a.:80\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a:80@b\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a:80:90\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost : a\r\nHost: b\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost\x1a b\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\nHost: b\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\rHost: b\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nX: y\nHost: b\r\nHost: a\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\nGET /b HTTP/1.1\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 9\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 9\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\n Content-Length: 9\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent\rLength: 9\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9 \r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +9\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9,9\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x9\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1234567890123456\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\ntransfer-encoding\t:\x0bxchunked\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01 b\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f b\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\nno colon here\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET / HTTP/1.1\r\n\r\n", NULL, 0, 0, 0, 0, 0},
    {"GET /\r\n\r\n", NULL, 0, 0, 0, 0, 0},
};
enum { HEADS = sizeof heads / sizeof *heads };

static uint64_t hash(const char *text, bool lower)
{
    return text ? relay_text_hash(text, lower) : 0;
}

static void test_heads(void **state)
{
    static const char *const reading[] = {"whole", "a part", "odd"};
    for (size_t i = 0; i < HEADS; i++) {
        const struct head *t = &heads[i];
        size_t len = strlen(t->text);
        struct relay_request q;
        enum relay_reading r = relay_request_read(t->text, len, &q);
        if (r != (t->host ? RELAY_READ_WHOLE : RELAY_READ_ODD))
            fail_msg("%s: %s", t->text, reading[r]);
        if (!t->host)
            continue;
        assert_int_equal(q.head, len);
        assert_int_equal(q.host, hash(t->host, true));
        assert_int_equal(q.path, hash(t->path, false));
        assert_int_equal(q.suffix, hash(t->suffix, false));
        assert_int_equal(q.prefixes, t->prefixes);
        assert_int_equal(q.body, t->body);
        assert_int_equal(q.stream, t->stream);
    }
}

/* Cut anywhere a good head is a part of one, and whatever follows it changes nothing. */
static void test_splits(void **state)
{
    for (size_t i = 0; i < HEADS; i++) {
        const struct head *t = &heads[i];
        size_t len = strlen(t->text);
        struct relay_request q, more;
        char longer[1024];
        for (size_t n = 1; n < len; n++) {
            enum relay_reading r = relay_request_read(t->text, n, &q);
            assert_int_not_equal(r, RELAY_READ_WHOLE);
            if (t->host && r != RELAY_READ_PART)
                fail_msg("the first %zu bytes of %s", n, t->text);
        }
        memcpy(longer, t->text, len);
        memcpy(longer + len, "GET /more HTTP/1.1\r\nHost: b\r\n\r\n", 32);
        assert_int_equal(relay_request_read(t->text, len, &q), relay_request_read(longer, len + 32, &more));
        if (t->host)
            assert_memory_equal(&q, &more, sizeof q);
    }
    assert_int_equal(relay_request_read("", 0, &(struct relay_request){0}), RELAY_READ_ODD);
}

/* One to four changes of a head of the table, of the kind that confuses readers. */
static size_t mutate(char *out, size_t size)
{
    static const char *const pieces[] = {"\r",
                                         "\n",
                                         "\r\n",
                                         " ",
                                         "\t",
                                         ":",
                                         "\r\n\r\n",
                                         "\0",
                                         "Host: b\r\n",
                                         "Content-Length: 5\r\n",
                                         "\r\nHost: b",
                                         "\nContent-Length: 1",
                                         "Transfer-Encoding: chunked\r\n",
                                         "/",
                                         ".",
                                         "..",
                                         "%2e",
                                         "?",
                                         "#",
                                         "\x0b",
                                         "\x1a",
                                         "\x0d",
                                         "\x7f",
                                         "\x80",
                                         ",",
                                         "@",
                                         "0",
                                         "HTTP/1.1",
                                         "//",
                                         "upgrade:"};
    const struct head *t = &heads[any(3) ? any(10) : any(HEADS)];
    size_t len = strlen(t->text);
    memcpy(out, t->text, len);
    for (uint32_t changes = 1 + any(4); changes; changes--) {
        size_t at_ = any((uint32_t)len), n = 1 + any(6);
        const char *piece = pieces[any(sizeof pieces / sizeof *pieces)];
        size_t add = *piece ? strlen(piece) : 1;
        switch (any(4)) {
        case 0:
            out[at_] = (char)any(256);
            break;
        case 1: /* left out */
            n = at_ + n > len ? len - at_ : n;
            if (len - n < 8)
                break;
            memmove(out + at_, out + at_ + n, len - at_ - n);
            len -= n;
            break;
        case 2: /* put in */
            if (len + add > size)
                break;
            memmove(out + at_ + add, out + at_, len - at_);
            memcpy(out + at_, piece, add);
            len += add;
            break;
        default: /* put over */
            memcpy(out + at_, piece, at_ + add > len ? len - at_ : add);
        }
    }
    return len;
}

static void print_bytes(const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        print_error(b[i] >= 0x20 && b[i] < 0x7f ? "%c" : "\\x%02x", (uint8_t)b[i]);
    print_error("\n");
}

static void test_nobody_disagrees(void **state)
{
    char bytes[1024];
    uint32_t accepted = 0, whole = 0;
    for (size_t i = 0; i < HEADS + MUTATIONS; i++) {
        size_t len = i < HEADS ? strlen(heads[i].text) : mutate(bytes, sizeof bytes);
        const char *b = i < HEADS ? heads[i].text : bytes;
        struct relay_request q;
        bool strict;
        const char *what = heads_disagree(b, len, &strict);
        if (what) {
            print_bytes(b, len);
            fail_msg("another reader differs in %s", what);
        }
        accepted += strict;
        whole += relay_request_read(b, len, &q) == RELAY_READ_WHOLE;
    }
    /* The comparison means something: much is left whole, and the front end takes nearly all of that. */
    assert_true(whole > MUTATIONS / 20);
    assert_true(accepted > whole * 8 / 10);
}

/* ---- TLS ---- */

/* What OpenSSL sends first; its length. */
static int hello(SSL_CTX *ctx, const char *name, uint8_t *out, int size)
{
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *wire = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, wire);
    if (name)
        assert_int_equal(SSL_set_tlsext_host_name(ssl, name), 1);
    assert_true(SSL_connect(ssl) < 0);
    int n = BIO_read(wire, out, size);
    SSL_free(ssl);
    return n;
}

static void test_tls(void **state)
{
    static const char *const names[] = {"www.example.com", "A.b", "x", NULL};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    uint8_t bytes[2000];
    char longest[256] = "";
    memset(longest, 'n', 255);
    for (unsigned i = 0; i <= sizeof names / sizeof *names; i++) {
        const char *name = i == sizeof names / sizeof *names ? longest : names[i];
        int n = hello(ctx, name, bytes, sizeof bytes);
        struct relay_request q;
        assert_true(n > 100);
        for (int part = 1; part < n; part++)
            assert_int_equal(relay_request_read(bytes, (size_t)part, &q), RELAY_READ_PART);
        assert_int_equal(relay_request_read(bytes, (size_t)n, &q), RELAY_READ_WHOLE);
        assert_int_equal(q.host, hash(name ? name : "", true));
        assert_true(q.stream);
        assert_int_equal(q.head, n);
        /* Lengths that do not fit: odd, or the same name. */
        for (int at_ = 5; at_ < n; at_++) {
            struct relay_request other;
            for (int bit = 0; bit < 8; bit++) {
                bytes[at_] ^= (uint8_t)(1 << bit);
                assert_true(relay_request_read(bytes, (size_t)n, &other) != RELAY_READ_WHOLE || other.stream);
                bytes[at_] ^= (uint8_t)(1 << bit);
            }
        }
    }
    SSL_CTX_free(ctx);
}

/* A name whose lengths contradict each other is nobody's. */
static void test_tls_contradictions(void **state)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    uint8_t bytes[2000];
    int n = hello(ctx, "name.example", bytes, sizeof bytes);
    uint8_t *name = memmem(bytes, (size_t)n, "name.example", 12);
    static const int lengths[] = {-1, -2, -4, -3, -6}; /* name, its upper byte, the list, the type, the extension */
    struct relay_request q;
    assert_non_null(name);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        name[lengths[i]] ^= 1;
        assert_int_equal(relay_request_read(bytes, (size_t)n, &q), RELAY_READ_ODD);
        name[lengths[i]] ^= 1;
    }
    assert_int_equal(relay_request_read(bytes, (size_t)n, &q), RELAY_READ_WHOLE);
    SSL_CTX_free(ctx);
}

/* ---- the kernel's copy ---- */

/* A connection that has sent its cookie back, without the SYN: a new one for every segment. */
static struct client fresh(const char *to)
{
    struct client c = client_of(to);
    struct relay_flow_key k = key_of(&c);
    c.ack = cookie_make(&settings.cookie, &k, c.seq, EPOCH, cookie_bits(1460, 1, 7)) + 1;
    c.seq++;
    return c;
}

static void kernel_agrees(const char *to, const void *bytes, uint32_t len)
{
    struct client c = fresh(to);
    struct relay_flow_key k = key_of(&c);
    struct relay_request q;
    struct frame f, out;
    enum relay_reading r = relay_request_read(bytes, len, &q);
    bool whole = r == RELAY_READ_WHOLE && (q.stream || q.head + q.body >= len);
    uint32_t set = whole ? relay_set_for(relay, &k, &q) : SET_FRONT;
    say(&c, &f, &out, PSH | ACK, bytes, len);
    struct relay_flow flow = flow_of(&c);
    bool right = flow.set == set && flow.state == (r == RELAY_READ_PART ? RELAY_FLOW_ASSIST : RELAY_FLOW_OPENING);
    if (whole && set != SET_FRONT)
        right =
            right && flow.next - c.seq == q.head + (uint32_t)q.body && !(flow.flags & RELAY_FLOW_PINNED) == !q.stream;
    if (!right) {
        print_bytes(bytes, len);
        fail_msg("set %u, here %u; state %u, here %d", flow.set, set, flow.state, r);
    }
}

static void test_kernel(void **state)
{
    static const char *const targets[] = {"/six",   "/lan/x", "/lan/deep/x.php", "/a.php",
                                          "/moved", "/both",  "/a.b/c",          "/SIX"};
    static const char *const names[] = {"www.example.com", "LAN.example.com:80", "other.example", "www.example.com "};
    char bytes[1200];
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    for (size_t i = 0; i < HEADS; i++)
        for (size_t n = 1; n <= strlen(heads[i].text); n += 1 + any(9))
            kernel_agrees(vips[any(2)], heads[i].text, (uint32_t)n);
    for (int i = 0; i < KERNEL_MUTATIONS; i++)
        kernel_agrees(vips[any(2)], bytes, (uint32_t)mutate(bytes, sizeof bytes));
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(bytes, sizeof bytes, "GET %s HTTP/1.1\r\nX-%.*s: y\r\nHost: %s\r\n\r\n", targets[any(8)],
                         (int)any(40), "many-letters-of-a-name-to-begin-anywhere", names[any(4)]);
        kernel_agrees(vips[any(2)], bytes, (uint32_t)n);
    }
    for (int i = 0; i < 100; i++) {
        uint8_t first[1200];
        int n = hello(ctx, i % 3 ? names[i % 3] : NULL, first, sizeof first);
        if (i % 2)
            first[any((uint32_t)n)] ^= (uint8_t)(1 << any(8));
        kernel_agrees("192.0.2.1:443", first, (uint32_t)n);
    }
    SSL_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_nobody_disagrees),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_tls_contradictions),
        cmocka_unit_test_setup(test_kernel, need_relay),
    };
    return cmocka_run_group_tests_name("relay_request", tests, farm_begin, farm_end);
}
