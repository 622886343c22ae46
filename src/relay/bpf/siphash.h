/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * SipHash-2-4 (Aumasson, Bernstein, 2012) over whole 64-bit words, for the packet programs and the daemon alike: SYN
 * cookies and the tag of a hand-off header. Words are taken in the machine's order; the last one of the original, which
 * holds the length, is left out, because every use has a fixed length of its own and a word that tells uses apart.
 */
#ifndef PM_RELAY_BPF_SIPHASH_H
#define PM_RELAY_BPF_SIPHASH_H

#include <linux/types.h>

struct siphash_key {
    __u64 k0, k1;
};

struct siphash {
    __u64 v0, v1, v2, v3;
};

#define SIPHASH_ROTATE(x, b) ((x) << (b) | (x) >> (64 - (b)))

static inline __attribute__((always_inline)) void siphash_round(struct siphash *s)
{
    s->v0 += s->v1;
    s->v1 = SIPHASH_ROTATE(s->v1, 13) ^ s->v0;
    s->v0 = SIPHASH_ROTATE(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = SIPHASH_ROTATE(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = SIPHASH_ROTATE(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = SIPHASH_ROTATE(s->v1, 17) ^ s->v2;
    s->v2 = SIPHASH_ROTATE(s->v2, 32);
}

static inline __attribute__((always_inline)) void siphash_begin(struct siphash *s, const struct siphash_key *k)
{
    s->v0 = k->k0 ^ 0x736f6d6570736575ull;
    s->v1 = k->k1 ^ 0x646f72616e646f6dull;
    s->v2 = k->k0 ^ 0x6c7967656e657261ull;
    s->v3 = k->k1 ^ 0x7465646279746573ull;
}

static inline __attribute__((always_inline)) void siphash_word(struct siphash *s, __u64 word)
{
    s->v3 ^= word;
    siphash_round(s);
    siphash_round(s);
    s->v0 ^= word;
}

static inline __attribute__((always_inline)) __u64 siphash_end(struct siphash *s)
{
    s->v2 ^= 0xff;
    siphash_round(s);
    siphash_round(s);
    siphash_round(s);
    siphash_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

#endif
