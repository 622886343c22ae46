/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domain names in wire form: length-prefixed labels up to the root label, at most 255 bytes (RFC 1035 3.1).
 *
 * struct dns_name is a name made ready for looking up: lower-cased, with the place of every label. Label n (n = labels) is the
 * root. The bytes after the name may be read, up to seven, and mean nothing: the hash takes whole words and masks.
 *
 * Lower-casing works on whole names, length bytes included: a length is at most 63 and so below 'A'. Bytes outside
 * A-Z are left alone (RFC 4343).
 *
 * The hash of a name is built from the root towards the first label, so one pass gives the hashes of all its
 * suffixes. It is keyed, and the tables it serves hold only configured names: a client cannot put anything into them.
 *
 * Thread: any; everything lives in the caller's memory. Failure: malformed input gives a negative PM_E* code.
 */
#ifndef PM_DNS_NAME_H
#define PM_DNS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/err.h"

enum {
    DNS_NAME_MAX = 255,
    DNS_LABEL_MAX = 63,
    DNS_LABELS_MAX = 127, /* without the root */
    DNS_NAME_TEXT = 1009  /* every byte escaped as \DDD, dots, NUL */
};

struct dns_name {
    uint8_t len;    /* bytes of wire, root label included */
    uint8_t labels; /* without the root label */
    uint8_t off[DNS_LABELS_MAX + 1];
    uint8_t wire[DNS_NAME_MAX + 9];
};

/*
 * A name at *at in a message, compression followed (RFC 1035 4.1.4; pointers must point backwards, so it ends). out gets
 * up to 255 bytes as sent. *at moves behind the name. Returns its length, or PM_ESHORT, PM_EPROTO, PM_ETOOBIG.
 */
int dns_name_unpack(const uint8_t *msg, size_t len, size_t *at, uint8_t out[DNS_NAME_MAX]) PM_MUST_CHECK;
/* Moves *at behind a name without looking where its pointer leads. */
int dns_name_skip(const uint8_t *msg, size_t len, size_t *at) PM_MUST_CHECK;
/* Length of the uncompressed name at wire, of which max bytes may be read; negative if it is none. */
int dns_name_length(const uint8_t *wire, size_t max) PM_MUST_CHECK;
/* Ready for looking up. wire must be a valid uncompressed name. */
void dns_name_set(struct dns_name *out, const uint8_t *wire);
/*
 * Text, dots and \DDD or \X escapes, to wire. A name without a dot at its end is relative to origin; with origin NULL
 * it counts as absolute. "@" is the origin. Returns the length, or PM_EPARSE, PM_ETOOBIG.
 */
int dns_name_parse(const char *text, const uint8_t *origin, uint8_t out[DNS_NAME_MAX]) PM_MUST_CHECK;
/* "www.example.com." - with the dot at the end; the root is ".". Returns out. */
const char *dns_name_format(const uint8_t *wire, char out[DNS_NAME_TEXT]);
/* Whether two uncompressed names are the same but for case. */
bool dns_name_eq(const uint8_t *a, const uint8_t *b);
/* Whether name is at or below parent. */
bool dns_name_within(const uint8_t *name, const uint8_t *parent);

/* Eight bytes of A-Z to a-z at once; others stay. */
static inline uint64_t dns_lower8(uint64_t w)
{
    uint64_t seven = w & 0x7f7f7f7f7f7f7f7fu;
    uint64_t above_z = seven + 0x2525252525252525u; /* 0x7f - 'Z' */
    uint64_t from_a = seven + 0x3f3f3f3f3f3f3f3fu;  /* 0x80 - 'A' */
    uint64_t upper = (from_a ^ above_z) & ~w & 0x8080808080808080u;
    return w | upper >> 2;
}

/* Continues the hash of a suffix by the label (length byte first) before it. May read 8 bytes past the label. */
static inline uint64_t dns_hash_label(uint64_t hash, const uint8_t *label)
{
    unsigned left = label[0] + 1u;
    uint64_t w;
    for (; left > 8; left -= 8, label += 8) {
        memcpy(&w, label, 8);
        hash = (hash ^ w) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    memcpy(&w, label, 8);
    w &= ~(uint64_t)0 >> (64 - 8 * left);
    hash = (hash ^ w) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

/* hashes[i] = hash of the suffix that starts at label i; hashes[labels] is the root's, the seed. */
static inline void dns_name_hashes(const struct dns_name *n, uint64_t seed, uint64_t *hashes)
{
    hashes[n->labels] = seed;
    for (unsigned i = n->labels; i > 0; i--) {
        seed = dns_hash_label(seed, n->wire + n->off[i - 1]);
        hashes[i - 1] = seed;
    }
}

#endif
