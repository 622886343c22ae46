/* SPDX-License-Identifier: Apache-2.0 */
/* ClientHellos of real clients (tests/data/hellos.txt), and what is done to them on their way: cut into records. */
#ifndef PM_TESTS_RELAY_HELLOS_H
#define PM_TESTS_RELAY_HELLOS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "http/hello.h"
#include "relay/request.h"
#include "relay/ring.h"

enum { HELLOS_MAX = 16, HELLO_BYTES = 4096, RECORD_HEAD = 5 };

struct hello {
    char client[32], name[64], alpn[256]; /* "" for none; protocols with commas between */
    uint8_t bytes[HELLO_BYTES];
    size_t len;
};

static struct hello hellos[HELLOS_MAX];
static size_t hello_count;

static inline int hellos_read(void **state)
{
    static char line[2 * HELLO_BYTES + 512], hex[2 * HELLO_BYTES + 1];
    FILE *f = fopen(TEST_DATA "/hellos.txt", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        struct hello *h = &hellos[hello_count];
        if (*line == '#')
            continue;
        assert_true(hello_count < HELLOS_MAX);
        assert_int_equal(sscanf(line, "%31s %63s %255s %8192s", h->client, h->name, h->alpn, hex), 4);
        for (char *p = hex; p[0] && p[1]; p += 2) {
            char two[3] = {p[0], p[1], 0};
            h->bytes[h->len++] = (uint8_t)strtoul(two, NULL, 16);
        }
        if (strcmp(h->name, "-") == 0)
            *h->name = 0;
        if (strcmp(h->alpn, "-") == 0)
            *h->alpn = 0;
        hello_count++;
    }
    fclose(f);
    assert_true(hello_count > 5);
    return 0;
}

static inline struct hello *hello_of(const char *client)
{
    for (size_t i = 0; i < hello_count; i++)
        if (strcmp(hellos[i].client, client) == 0)
            return &hellos[i];
    fail_msg("no hello of %s", client);
    return NULL;
}

/* The message without the heads of its records; its length. */
static inline size_t hello_message(const struct hello *h, uint8_t *out)
{
    size_t n = 0;
    for (size_t at = 0; at < h->len;) {
        size_t length = (size_t)h->bytes[at + 3] << 8 | h->bytes[at + 4];
        memcpy(out + n, h->bytes + at + RECORD_HEAD, length);
        n += length;
        at += RECORD_HEAD + length;
    }
    return n;
}

static inline size_t record_put(uint8_t *out, const uint8_t *content, size_t n)
{
    memcpy(out, "\x16\x03\x01", 3);
    out[3] = (uint8_t)(n >> 8);
    out[4] = (uint8_t)n;
    memcpy(out + RECORD_HEAD, content, n);
    return n + RECORD_HEAD;
}

#endif
