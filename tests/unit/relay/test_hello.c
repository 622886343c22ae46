/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What TLS clients say first, as real ones say it: read whole and cut anywhere, in one record and in many, damaged in
 * every bit, by the relay's reader and by the front end's, which must understand the same.
 */
#include "../cmocka_pm.h"

#include <stdio.h>
#include "hellos.h"

static const char *const readings[] = {"whole", "a part", "odd"};

/* The protocols of a list with commas, hashed, as the relay has them. */
static uint32_t protocols(const char *list, uint64_t out[RELAY_ALPN_MAX])
{
    char text[256], *save = NULL;
    uint32_t n = 0;
    snprintf(text, sizeof text, "%s", list);
    for (char *p = strtok_r(text, ",", &save); p && n < RELAY_ALPN_MAX; p = strtok_r(NULL, ",", &save))
        out[n++] = relay_text_hash(p, false);
    return n;
}

/* The front end's reading in the relay's terms. */
static enum relay_reading strict(const void *bytes, size_t len, struct relay_request *out)
{
    struct http_hello h;
    int rc = http_hello_read(bytes, len, &h);
    *out = (struct relay_request){.named = h.name_len, .host = relay_text_hash(h.name, true)};
    for (size_t at = 0; rc == PM_OK && at < h.alpn_len && out->alpns < RELAY_ALPN_MAX;) {
        char one[256] = "";
        memcpy(one, h.alpn + at + 1, h.alpn[at]);
        /* A protocol with a zero in it has no text; its hash is made by hand. */
        uint64_t hash = RELAY_HASH_START;
        for (size_t i = 0; i < h.alpn[at]; i++)
            hash = (hash ^ (uint8_t)one[i]) * RELAY_HASH_PRIME;
        out->alpn[out->alpns++] = hash;
        at += h.alpn[at] + 1u;
    }
    return rc == PM_OK ? RELAY_READ_WHOLE : rc == PM_EAGAIN ? RELAY_READ_PART : RELAY_READ_ODD;
}

static void is_hello(const struct hello *h, const uint8_t *bytes, size_t len)
{
    uint64_t alpn[RELAY_ALPN_MAX];
    uint32_t n = protocols(h->alpn, alpn);
    for (int reader = 0; reader < 2; reader++) {
        struct relay_request q;
        enum relay_reading r = reader ? strict(bytes, len, &q) : relay_request_read(bytes, len, &q);
        if (r != RELAY_READ_WHOLE)
            fail_msg("%s, %zu bytes, reader %d: %s", h->client, len, reader, readings[r]);
        assert_int_equal(q.named, *h->name != 0);
        assert_true(q.host == relay_text_hash(h->name, true));
        assert_int_equal(q.alpns, n);
        assert_memory_equal(q.alpn, alpn, n * sizeof *alpn);
        assert_true(reader || (q.stream && !q.h2c && q.head == len && !q.prefixes));
    }
}

static void is_part(const struct hello *h, const uint8_t *bytes, size_t len)
{
    struct relay_request q;
    enum relay_reading r = relay_request_read(bytes, len, &q), s = strict(bytes, len, &q);
    if (r != RELAY_READ_PART || s != RELAY_READ_PART)
        fail_msg("the first %zu bytes of %s: %s, %s", len, h->client, readings[r], readings[s]);
}

static void test_whole(void **state)
{
    for (size_t i = 0; i < hello_count; i++) {
        is_hello(&hellos[i], hellos[i].bytes, hellos[i].len);
        for (size_t n = 1; n < hellos[i].len; n++)
            is_part(&hellos[i], hellos[i].bytes, n);
    }
    assert_true(hello_of("chromium")->len > 1500); /* more than a segment: the post-quantum key share is there */
}

/* Two records, the border anywhere; records of one byte; and each of those cut anywhere. */
static void test_records(void **state)
{
    static uint8_t message[HELLO_BYTES], bytes[HELLO_BYTES * 8];
    for (size_t i = 0; i < hello_count; i++) {
        size_t n = hello_message(&hellos[i], message), len = 0;
        for (size_t border = 1; border < n; border++) {
            len = record_put(bytes, message, border);
            len += record_put(bytes + len, message + border, n - border);
            is_hello(&hellos[i], bytes, len);
            is_part(&hellos[i], bytes, len - 1);
            is_part(&hellos[i], bytes, border + RECORD_HEAD);
            is_part(&hellos[i], bytes, border + RECORD_HEAD + 3);
        }
        len = 0;
        for (size_t k = 0; k < n; k++)
            len += record_put(bytes + len, message + k, 1);
        is_hello(&hellos[i], bytes, len);
        for (size_t part = 1; part < len; part += 7)
            is_part(&hellos[i], bytes, part);
    }
}

/* Between the records something else, or nothing: no reader goes on. */
static void test_broken_records(void **state)
{
    static uint8_t message[HELLO_BYTES], bytes[HELLO_BYTES * 2];
    const struct hello *h = hello_of("curl");
    size_t n = hello_message(h, message), first = record_put(bytes, message, 100);
    size_t len = first + record_put(bytes + first, message + 100, n - 100);
    static const struct {
        size_t at;
        uint8_t is;
    } damage[] = {{0, 23}, {1, 2}, {3, 0xff}};
    struct relay_request q;
    is_hello(h, bytes, len);
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        uint8_t was = bytes[first + damage[i].at];
        bytes[first + damage[i].at] = damage[i].is;
        assert_int_not_equal(relay_request_read(bytes, len, &q), RELAY_READ_WHOLE);
        assert_int_equal(strict(bytes, len, &q), RELAY_READ_ODD);
        bytes[first + damage[i].at] = was;
    }
    size_t empty = record_put(bytes + first, message, 0);
    len = first + empty + record_put(bytes + first + empty, message + 100, n - 100);
    assert_int_not_equal(relay_request_read(bytes, len, &q), RELAY_READ_WHOLE);
    assert_int_equal(strict(bytes, len, &q), RELAY_READ_ODD);
}

/* Every bit of every hello: what both readers take, they understand in the same way, and mostly both take it or neither. */
static void test_damage(void **state)
{
    static uint8_t bytes[HELLO_BYTES];
    unsigned both = 0, one = 0, neither = 0;
    for (size_t i = 0; i < hello_count; i++) {
        const struct hello *h = &hellos[i];
        memcpy(bytes, h->bytes, h->len);
        for (size_t bit = 0; bit < h->len * 8; bit++) {
            struct relay_request q, s;
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            bool a = relay_request_read(bytes, h->len, &q) == RELAY_READ_WHOLE;
            bool b = strict(bytes, h->len, &s) == RELAY_READ_WHOLE;
            bool hello = bytes[0] == 22;
            if (hello && a && b &&
                (q.host != s.host || q.named != s.named || q.alpns != s.alpns || memcmp(q.alpn, s.alpn, q.alpns * sizeof *q.alpn)))
                fail_msg("%s, bit %zu: understood in two ways", h->client, bit);
            both += a && b;
            /* The relay looks at the first protocols only. */
            one += hello && a != b && strcmp(h->client, "openssl-records") != 0;
            neither += !a && !b;
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    assert_true(both > 10000);
    assert_true(neither > 500);
    assert_int_equal(one, 0);
}

/* Two names, two lists of protocols, no extensions at all, more than there may be. */
static void test_rare(void **state)
{
    static const uint8_t old[] = "\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x01rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr\0\0\x02\0\x35\x01\0";
    static const uint8_t name[] = "\0\0\0\x06\0\x04\0\0\x01x", alpn[] = "\0\x10\0\x05\0\x03\x02h2";
    struct relay_request q;
    uint8_t bytes[1024];
    size_t base = sizeof old - 1;
    assert_int_equal(relay_request_read(old, base, &q), RELAY_READ_WHOLE);
    assert_false(q.named);
    assert_int_equal(strict(old, base, &q), RELAY_READ_WHOLE);
    for (int what = 0; what < 4; what++) {
        const uint8_t *part = what % 2 ? alpn : name;
        size_t n = what % 2 ? sizeof alpn - 1 : sizeof name - 1, times = what < 2 ? 1 : 2, len = base + 2;
        memcpy(bytes, old, base);
        for (size_t i = 0; i < times; i++, len += n)
            memcpy(bytes + len, part, n);
        bytes[base] = 0;
        bytes[base + 1] = (uint8_t)(n * times);
        bytes[4] = (uint8_t)(len - RECORD_HEAD);
        bytes[8] = (uint8_t)(len - RECORD_HEAD - 4);
        assert_int_equal(relay_request_read(bytes, len, &q), what < 2 ? RELAY_READ_WHOLE : RELAY_READ_ODD);
        assert_int_equal(strict(bytes, len, &q), what < 2 ? RELAY_READ_WHOLE : RELAY_READ_ODD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),  cmocka_unit_test(test_records), cmocka_unit_test(test_broken_records),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_rare),
    };
    return cmocka_run_group_tests_name("hello", tests, hellos_read, NULL);
}
