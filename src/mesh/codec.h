/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DSSP on the wire: bytes to messages and records, and back. The layout is docs/protocol/dssp.md.
 *
 * A reader is sticky: past the end or past a bound it gives zeros and says so at the end (`bad`), so a decoder is a list
 * of fields and one check. A writer is the same with a full buffer (`full`). Decoded strings point into the message.
 *
 * Thread: any. Memory: none is allocated. Failure: PM_EPROTO for bytes that mean nothing, PM_ESPACE for a full buffer.
 */
#ifndef PM_MESH_CODEC_H
#define PM_MESH_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/err.h"
#include "mesh/kinds.h"
#include "mesh/link.h"

enum {
    MESH_VERSION = 1,
    MESH_HEADER = 4,          /* version, type, flags, 0 */
    MESH_SUBJECT_MAX = 255,   /* bytes */
    MESH_VALUE_MAX = 16384,   /* bytes */
    MESH_SIGNATURE_MAX = 104, /* bytes: ECDSA P-384 in DER */
    MESH_RECORD_MAX = 2 + 1 + MESH_NAME_MAX + 8 + 8 + 2 + 1 + 1 + MESH_SUBJECT_MAX + 4 + 4 + 2 + MESH_VALUE_MAX + 1 +
                      MESH_SIGNATURE_MAX,
    MESH_BUCKETS = 64,
    MESH_LIFETIME_MIN_MS = 1000,
    MESH_LIFETIME_MAX_MS = 24 * 3600 * 1000,
};

/* Flags of a message: it has at least one event in it; without it, it is an update. */
enum { MESH_MESSAGE_EVENT = 1 };
/* Flags of a record. Others are kept as they are, signed and relayed. */
enum { MESH_RECORD_EVENT = 1, MESH_RECORD_TOMBSTONE = 2 };

struct mesh_str {
    const char *p; /* not terminated */
    uint8_t n;
};
#define MESH_STR_ARG(s) (int)(s).n, (s).p

struct mesh_reader {
    const uint8_t *p, *end;
    bool bad;
};

struct mesh_writer {
    uint8_t *p;
    size_t cap, len;
    bool full;
};

struct mesh_record {
    struct mesh_str node; /* its one writer */
    uint64_t incarnation, sequence;
    uint16_t kind; /* enum mesh_kind, or one we do not know */
    uint8_t flags;
    struct mesh_str subject;
    uint32_t lifetime_ms; /* as the writer set it */
    uint32_t age_ms;      /* since it was written, as far as its holders know; <= lifetime */
    const uint8_t *value;
    uint16_t value_len;
    const uint8_t *signature;
    uint8_t signature_len;
};

struct mesh_hello {
    uint8_t low, high;
    struct mesh_str node, region, site, software;
    uint64_t incarnation;
    uint32_t features;
};

struct mesh_summary_item {
    struct mesh_str node;
    uint64_t incarnation, highest, hash;
};

struct mesh_want_item {
    struct mesh_str node;
    uint64_t incarnation, after;
};

static inline struct mesh_reader mesh_reader(const uint8_t *p, size_t n)
{
    return (struct mesh_reader){p, p + n, false};
}
static inline struct mesh_writer mesh_writer(uint8_t *p, size_t cap)
{
    return (struct mesh_writer){p, cap, 0, false};
}
struct mesh_str mesh_str(const char *s); /* cut at 255 bytes */
bool mesh_str_eq(struct mesh_str a, struct mesh_str b);

uint64_t mesh_get(struct mesh_reader *r, unsigned bytes); /* 1..8, big-endian */
struct mesh_str mesh_get_str(struct mesh_reader *r);
const uint8_t *mesh_get_bytes(struct mesh_reader *r, size_t n);
struct addr mesh_get_addr(struct mesh_reader *r);
void mesh_put_int(struct mesh_writer *w, uint64_t v, unsigned bytes);
void mesh_put_str(struct mesh_writer *w, struct mesh_str s);
void mesh_put_bytes(struct mesh_writer *w, const void *data, size_t n);
void mesh_put_addr(struct mesh_writer *w, const struct addr *a);

/* Letters, digits, '-', '_' and '.', 1 to 63 of them. */
bool mesh_name_ok(struct mesh_str s);

/* Any message: header, then r stands at the body. PM_EPROTO for a short or later-version header. */
int mesh_message_open(struct mesh_reader *r, uint8_t *type, uint8_t *flags) PM_MUST_CHECK;
void mesh_message_start(struct mesh_writer *w, enum mesh_message_type type, uint8_t flags);
void mesh_message_flag(struct mesh_writer *w, uint8_t flags); /* adds flags to the header already written */

int mesh_get_hello(struct mesh_reader *r, struct mesh_hello *out) PM_MUST_CHECK;
void mesh_put_hello(struct mesh_writer *w, const struct mesh_hello *h);
/* The next record; PM_ENOTFOUND at the end. */
int mesh_get_record(struct mesh_reader *r, struct mesh_record *out) PM_MUST_CHECK;
void mesh_put_record(struct mesh_writer *w, const struct mesh_record *rec);
size_t mesh_record_size(const struct mesh_record *rec);
/* The part of an encoded record that never changes on its way (all but the age): what is signed and hashed. Two spans. */
struct mesh_signed {
    const uint8_t *a, *b;
    size_t a_len, b_len;
};
/* wire: one record as mesh_put_record wrote it. */
struct mesh_signed mesh_record_signed(const uint8_t *wire, const struct mesh_record *rec);
/* Overwrites the age in a record that was written before. */
void mesh_record_set_age(uint8_t *wire, const struct mesh_record *rec, uint32_t age_ms);

/* Lists with a count in front. The count is checked against what can be in the rest. */
unsigned mesh_get_count(struct mesh_reader *r, size_t least_each);
void mesh_get_summary(struct mesh_reader *r, struct mesh_summary_item *out);
void mesh_put_summary(struct mesh_writer *w, const struct mesh_summary_item *s);
void mesh_get_want(struct mesh_reader *r, struct mesh_want_item *out);
void mesh_put_want(struct mesh_writer *w, const struct mesh_want_item *s);
enum { MESH_SUMMARY_LEAST = 1 + 1 + 24, MESH_WANT_LEAST = 1 + 1 + 16 };

#endif
