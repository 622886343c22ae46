/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "http/chunk.h"
#include "../cmocka_pm.h"

static const struct {
    const char *text;
    int rc;
    const char *data; /* of a whole body */
} vectors[] = {
    {"5\r\nhello\r\n0\r\n\r\n", PM_OK, "hello"},
    {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", PM_OK, "hello world"},
    {"0005;a=b;c=\"d e\"\r\nhello\r\n000\r\n\r\n", PM_OK, "hello"},
    {"A \r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n", PM_OK, "0123456789"},
    {"0\r\n\r\n", PM_OK, ""},
    {"", PM_EAGAIN, NULL},
    {"5\r\nhel", PM_EAGAIN, NULL},
    {"5\r\nhello\r\n0\r\n", PM_EAGAIN, NULL},
    {"5\nhello\r\n0\r\n\r\n", PM_EPROTO, NULL},
    {"5\r\nhello\n0\r\n\r\n", PM_EPROTO, NULL},
    {"5\r\nhello0\r\n\r\n", PM_EPROTO, NULL},
    {"5\r\nhelloX\r\n0\r\n\r\n", PM_EPROTO, NULL},
    {"\r\n", PM_EPROTO, NULL},
    {"-1\r\n", PM_EPROTO, NULL},
    {"+5\r\n", PM_EPROTO, NULL},
    {" 5\r\n", PM_EPROTO, NULL},
    {"0x5\r\n", PM_EPROTO, NULL},
    {"5,5\r\n", PM_EPROTO, NULL},
    {"5;a\n", PM_EPROTO, NULL},
    {"5;a\rb\r\n", PM_EPROTO, NULL},
    {"5\r\r\nhello", PM_EPROTO, NULL},
    {"5;\x01\r\n", PM_EPROTO, NULL},
    {"1234567890123456\r\n", PM_EPROTO, NULL},
    {"g\r\n", PM_EPROTO, NULL},
    {"0\r\nX y: z\r\n\r\n", PM_EPROTO, NULL},
    {"0\r\nX: y\n\r\n", PM_EPROTO, NULL},
    {"0\r\n folded\r\n\r\n", PM_EPROTO, NULL},
    {"0\r\nX\r\n\r\n", PM_EPROTO, NULL},
    {"0\r\n\n", PM_EPROTO, NULL},
};

static void test_vectors(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(vectors); i++) {
        size_t len = strlen(vectors[i].text);
        for (size_t step = 1; step <= len + 1; step++) {
            struct http_chunked c;
            char data[64];
            size_t n = 0, at = 0;
            int rc = PM_EAGAIN;
            http_chunked_init(&c);
            while (rc == PM_EAGAIN && at < len) {
                struct http_piece piece;
                size_t give = len - at < step ? len - at : step;
                rc = http_chunked_next(&c, vectors[i].text + at, give, &piece);
                assert_true(piece.len <= give);
                if (piece.data) {
                    memcpy(data + n, vectors[i].text + at, piece.len);
                    n += piece.len;
                }
                at += piece.len;
            }
            if (rc != vectors[i].rc)
                fail_msg("step %zu: %s instead of %s: %s", step, err_name(rc), err_name(vectors[i].rc), vectors[i].text);
            if (rc == PM_OK) {
                assert_int_equal(at, len);
                assert_int_equal(n, strlen(vectors[i].data));
                assert_memory_equal(data, vectors[i].data, n);
            }
        }
    }
}

/* What comes behind the body is not touched. */
static void test_next_message(void **state)
{
    static const char text[] = "3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
    struct http_chunked c;
    size_t used;
    http_chunked_init(&c);
    assert_int_equal(http_chunked_feed(&c, text, sizeof text - 1, &used), PM_OK);
    assert_int_equal(used, strlen("3\r\nabc\r\n0\r\n\r\n"));
}

/* Content that is passed on by the kernel is skipped, not seen. */
static void test_blind(void **state)
{
    struct http_chunked c;
    size_t used;
    http_chunked_init(&c);
    assert_int_equal(http_chunked_feed(&c, "ffff", 4, &used), PM_EAGAIN);
    assert_int_equal(http_chunked_blind(&c), 0); /* more digits may follow */
    assert_int_equal(http_chunked_feed(&c, "\r\nab", 4, &used), PM_EAGAIN);
    assert_int_equal(http_chunked_blind(&c), 0xffff - 2);
    http_chunked_skip(&c, 0xffff - 2);
    assert_int_equal(http_chunked_blind(&c), 0);
    assert_int_equal(http_chunked_feed(&c, "\r\n0\r\n\r\n", 7, &used), PM_OK);
}

static void test_bounds(void **state)
{
    char line[HTTP_TRAILER_MAX + 64];
    struct http_chunked c;
    size_t used;
    http_chunked_init(&c);
    memset(line, 'a', sizeof line);
    memcpy(line, "5;", 2);
    assert_int_equal(http_chunked_feed(&c, line, HTTP_CHUNK_LINE, &used), PM_EAGAIN);
    assert_int_equal(http_chunked_feed(&c, line, 1, &used), PM_EPROTO);
    http_chunked_init(&c);
    memcpy(line, "0\r\na:", 5);
    assert_int_equal(http_chunked_feed(&c, line, sizeof line, &used), PM_EPROTO);
    /* many chunks, each of them short: no limit of the whole */
    http_chunked_init(&c);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(http_chunked_feed(&c, "1\r\nx\r\n", 6, &used), PM_EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_next_message),
                                       cmocka_unit_test(test_blind), cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
