/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as HTTP. The first byte chooses: request, response or chunked body; the second how it is cut. Cut in pieces
 * or whole, the same must come out; spans lie inside the head; what is accepted has one framing.
 */
#include <stdlib.h>
#include <string.h>
#include "http/chunk.h"
#include "http/head.h"
#include "http/uri.h"

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static int parse(bool request, struct http_head *h, const char *bytes, size_t len)
{
    return request ? http_request_parse(h, bytes, len) : http_response_parse(h, bytes, len);
}

static void inside(const struct http_head *h, struct http_span s)
{
    MUST(s.off <= h->len && s.len <= h->len - s.off);
}

static void check_head(bool request, const struct http_head *h, const char *bytes)
{
    for (unsigned f = 0; f < HTTP_FIELD_COUNT; f++)
        if (http_has(h, f))
            inside(h, h->field[f]);
    MUST(memcmp(bytes + h->len - 4, "\r\n\r\n", 4) == 0);
    MUST(!memchr(bytes, 0, h->len));
    MUST(!(h->flags & HTTP_CHUNKED && h->flags & HTTP_LENGTH));
    MUST(http_has(h, HTTP_TRANSFER_ENCODING) == !!(h->flags & HTTP_CHUNKED));
    uint32_t before = h->lines;
    for (unsigned i = 0; i < h->drops; i++) {
        inside(h, h->drop[i]);
        MUST(h->drop[i].off >= before && bytes[h->drop[i].off + h->drop[i].len - 1] == '\n');
        before = h->drop[i].off + h->drop[i].len;
    }
    unsigned lines = 0;
    struct http_span line;
    uint32_t name;
    for (uint32_t at = h->lines; http_line_next(h, bytes, &at, &line, &name); lines++)
        MUST(name < line.len && bytes[line.off + name] == ':');
    MUST(lines == h->field_lines);
    if (request) {
        inside(h, h->target);
        inside(h, h->path);
        inside(h, h->authority);
        MUST(h->minor == 0 || http_has(h, HTTP_HOST));
        MUST(h->status == 0);
    } else {
        MUST(h->status >= 100 && h->status <= 599);
    }
}

static void fuzz_head(bool request, const char *bytes, size_t len, size_t step)
{
    struct http_head whole, cut;
    http_head_init(&whole);
    http_head_init(&cut);
    int rc = parse(request, &whole, bytes, len), rc2 = PM_EAGAIN;
    for (size_t n = step; rc2 == PM_EAGAIN && n < len; n += step)
        rc2 = parse(request, &cut, bytes, n);
    if (rc2 == PM_EAGAIN)
        rc2 = parse(request, &cut, bytes, len);
    MUST(rc == rc2);
    if (rc == PM_EPROTO)
        MUST(whole.why && cut.why && whole.status >= 400);
    if (rc != PM_OK)
        return;
    MUST(whole.len == cut.len && whole.flags == cut.flags && whole.present == cut.present &&
         whole.content_length == cut.content_length && whole.len <= len);
    check_head(request, &whole, bytes);
    /* A shorter input is never a whole message. */
    struct http_head less;
    http_head_init(&less);
    MUST(parse(request, &less, bytes, whole.len - 1) == PM_EAGAIN);
}

static void fuzz_chunked(const char *bytes, size_t len, size_t step)
{
    struct http_chunked whole, cut;
    size_t used, at = 0, piece;
    http_chunked_init(&whole);
    http_chunked_init(&cut);
    int rc = http_chunked_feed(&whole, bytes, len, &used), rc2 = PM_EAGAIN;
    MUST(used <= len);
    while (rc2 == PM_EAGAIN && at < len) {
        rc2 = http_chunked_feed(&cut, bytes + at, len - at < step ? len - at : step, &piece);
        at += piece;
    }
    MUST(rc == rc2 && used == at);
    if (rc == PM_OK)
        MUST(used >= 5 && memcmp(bytes + used - 2, "\r\n", 2) == 0);
    if (rc == PM_EAGAIN)
        MUST(used == len && http_chunked_blind(&whole) == http_chunked_blind(&cut));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t len = size - 2, step = data[1] % 64 + 1u;
    char *bytes = malloc(len ? len : 1); /* its own, so that reading past the end is seen */
    struct http_span s;
    memcpy(bytes, data + 2, len);
    if (data[0] % 3 == 2)
        fuzz_chunked(bytes, len, step);
    else
        fuzz_head(data[0] % 3 == 0, bytes, len, step);
    if (http_cookie(bytes, len, "id", &s))
        MUST(s.off + s.len <= len);
    MUST(http_authority_host(bytes, len) <= len);
    (void)http_list_has(bytes, len, "a");
    free(bytes);
    return 0;
}
