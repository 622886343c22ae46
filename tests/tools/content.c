/* SPDX-License-Identifier: Apache-2.0 */
#include "content.h"

#include <endian.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN 0x9e3779b97f4a7c15u

/* The finisher of splitmix64 (Steele, Lea, Flood 2014): every bit of the result hangs on every bit of z. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t content_random(uint64_t *state)
{
    return mix(*state += GOLDEN);
}

/* The eight bytes of the stream at offset 8 * i, as they lie in memory. */
static uint64_t word(const struct content *c, uint64_t i)
{
    return htole64(mix(c->seed + (i + 1) * GOLDEN));
}

struct content content_of(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *p = name; *p && *p != '?'; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3u;
    return (struct content){.seed = mix(hash)};
}

bool content_size(const char *path, uint64_t *size)
{
    size_t len = strcspn(path, "?");
    if (path[0] != '/' || path[len - 1] == '/')
        return false;
    const char *digits = NULL;
    for (size_t i = 0; i < len; i++) {
        if (path[i] <= ' ' || path[i] > '~' || strchr("%#\\\"", path[i]))
            return false;
        if (strncmp(path + i, "/../", 4) == 0 || strncmp(path + i, "//", 2) == 0)
            return false;
        if (path[i] == '/')
            digits = NULL;
        else if (path[i] == '-')
            digits = path + i + 1;
    }
    if (!digits || *digits < '0' || *digits > '9')
        return false;
    char *end;
    *size = strtoull(digits, &end, 10);
    return (*end == '.' || end == path + len) && *size <= (uint64_t)1 << 50;
}

void content_fill(struct content *c, void *out, size_t len)
{
    unsigned char *to = out;
    while (len > 0) {
        uint64_t w = word(c, c->at / 8);
        size_t skip = c->at % 8, n = 8 - skip < len ? 8 - skip : len;
        memcpy(to, (const char *)&w + skip, n);
        to += n;
        len -= n;
        c->at += n;
    }
}

size_t content_match(struct content *c, const void *data, size_t len)
{
    const unsigned char *from = data;
    size_t done = 0;
    while (done < len) {
        uint64_t w = word(c, (c->at + done) / 8);
        size_t skip = (c->at + done) % 8, n = 8 - skip < len - done ? 8 - skip : len - done;
        const unsigned char *want = (const unsigned char *)&w + skip;
        if (memcmp(from + done, want, n) != 0) {
            while (from[done] == *want)
                done++, want++;
            break;
        }
        done += n;
    }
    c->at += len;
    return done;
}

void content_sum(const char *name, uint64_t len, char out[65])
{
    static unsigned char block[65536];
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct content c = content_of(name);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    while (good && len > 0) {
        size_t n = len < sizeof(block) ? (size_t)len : sizeof(block);
        content_fill(&c, block, n);
        good = EVP_DigestUpdate(ctx, block, n) == 1;
        len -= n;
    }
    if (!good || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
        abort(); /* no memory */
    EVP_MD_CTX_free(ctx);
    for (int i = 0; i < 32; i++)
        sprintf(out + 2 * i, "%02x", digest[i]);
}
