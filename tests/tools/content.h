/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in a test file, known from its name alone. The body of "/a/17-65536.bin" is 65,536 bytes (the number after
 * the last '-') of a stream that the path seeds. Nobody has to keep or exchange bodies: who writes the file, who serves
 * it and who checks it need only the name, and two files agree nowhere for more than a byte or two by chance.
 *
 * The stream is splitmix64 in counter mode, little endian: word i is mix(seed + (i + 1) * golden). So any place of it
 * can be had at once, which is what lets a client send the rest of a body, or check 10,000 of them, without a buffer.
 * It runs at several GB/s. A query ("?...") is no part of the path.
 *
 * All functions are pure; a struct content is a value that may be copied.
 */
#ifndef TESTS_TOOLS_CONTENT_H
#define TESTS_TOOLS_CONTENT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct content {
    uint64_t seed;
    uint64_t at; /* bytes passed so far */
};

/* The stream of a name, at its beginning. Any text is a name: surf sends "POST /path" as the body of a POST. */
struct content content_of(const char *name);

/* The size in a path: false if there is none, or if the path is not one that a file can have as well (absolute, without
 * "..", '%' or anything that a URL has to encode). */
bool content_size(const char *path, uint64_t *size);

/* The next len bytes of the stream. */
void content_fill(struct content *c, void *out, size_t len);

/* How many of the next len bytes are as they should be, counted to the first one that is not; passes over all len. */
size_t content_match(struct content *c, const void *data, size_t len);

/* SHA-256 in hexadecimal (65 bytes with the end) of the stream's first len bytes, as sha256sum prints it. */
void content_sum(const char *name, uint64_t len, char out[65]);

/* The same mixing, for who wants random numbers: returns the next one and moves *state. */
uint64_t content_random(uint64_t *state);

#endif
