/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the directory: how entries lie in memory. Entries stand in chunks that never move; what varies (contents,
 * holders, text) is one block of the allocator for each. The index is a table of 32-bit words, an entry's number with six
 * bits of its hash, so that a probe that fails rarely touches an entry.
 */
#ifndef PM_CATALOG_DIRECTORY_INTERNAL_H
#define PM_CATALOG_DIRECTORY_INTERNAL_H

#include "catalog/directory.h"
#include "base/map.h"

enum { CHUNK = 1024, NO_CONTENT = 0xffff, ID_BITS = 26, HOST_ANY = 0 };
#define ID_MASK ((1u << ID_BITS) - 1)
#define IDS_MAX (ID_MASK - 1)

/*
 * One holder, or one word to the contrary. A node has at most one of each in an entry; they are in the order of nodes, the
 * holder before the word.
 */
struct record {
    uint32_t node : 12, configured : 1, scanned : 1, mark : 1, learned : 1;
    uint32_t value : 16; /* holder: which of the entry's contents, or NO_CONTENT; learned: place in the ring */
};

struct entry {
    uint32_t hash, set, host; /* set of a free entry: the next free one */
    uint8_t kind;
    bool used, reported; /* reported: the compiler has it in its table */
    unsigned char *block; /* struct directory_content[contents], struct record[records], text */
    uint16_t len, records, contents, learned; /* learned: how many of the records are */
};

struct chunk {
    struct entry entries[CHUNK];
    uint64_t dirty[CHUNK / 64];
    uint32_t dirty_count;
};

struct host {
    char *name;
    uint32_t id, entries; /* entries that refer to it */
    uint32_t kinds[DIRECTORY_KINDS];
};

struct learned {
    uint64_t expires;
    uint32_t entry;
    uint16_t node;
    bool live;
};

struct directory {
    uint64_t seed, version;
    struct sets *sets;
    struct chunk **chunks;
    uint32_t chunk_count, limit, free_head; /* limit: one more than the greatest id so far */
    uint32_t *index, index_size, index_used;
    struct host **hosts; /* by id; [HOST_ANY] is "*" */
    uint32_t host_limit, host_count, host_hint;
    struct map host_map;
    uint32_t depths[DIRECTORY_DEPTH_MAX + 1], suffixes[DIRECTORY_SUFFIX_MAX + 1]; /* entries by slashes, by length */
    uint64_t scanning[CATALOG_NODES_MAX / 64], marks[CATALOG_NODES_MAX / 64];     /* by node */
    struct learned *ring;
    uint32_t ring_size, ring_at, learned_count;
    uint64_t soonest;  /* no live one expires before */
    bool stale;        /* entries that subtract may be behind */
    size_t block_bytes, text_bytes;
    uint16_t *scratch; /* [CATALOG_NODES_MAX] */
};

static inline struct entry *entry_at(const struct directory *d, uint32_t id)
{
    return &d->chunks[id / CHUNK]->entries[id % CHUNK];
}

static inline struct directory_content *contents_of(const struct entry *e)
{
    return (struct directory_content *)(void *)e->block;
}

static inline struct record *records_of(const struct entry *e)
{
    return (struct record *)(void *)(e->block + e->contents * sizeof(struct directory_content));
}

static inline const char *text_of(const struct entry *e)
{
    return (const char *)(records_of(e) + e->records);
}

/* It names nodes itself, and does not only take some away. */
static inline bool has_holders(const struct entry *e)
{
    return e->records > e->learned;
}

static inline bool subtracts(const struct entry *e)
{
    return e->learned && e->records == e->learned;
}

static inline bool bit_get(const uint64_t *bits, uint32_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

static inline void bit_set(uint64_t *bits, uint32_t i, bool on)
{
    bits[i / 64] = (bits[i / 64] & ~(1ull << (i % 64))) | (uint64_t)on << (i % 64);
}

/* directory_store.c: entries, index, hosts, blocks */
void store_init(struct directory *d);
void store_fini(struct directory *d);
const struct host *host_find(const struct directory *d, const char *name);
uint32_t store_find(const struct directory *d, uint32_t host, enum directory_kind kind, const char *text, size_t len);
/* The entry with this key, made if need be, without holders then. PM_ETOOBIG when there are too many. */
int store_make(struct directory *d, const struct directory_key *key, uint32_t *id) PM_MUST_CHECK;
/* Ends an entry that has no records. */
void store_end(struct directory *d, uint32_t id);
struct record *record_find(const struct entry *e, uint16_t node, bool learned);
struct record *record_add(struct directory *d, struct entry *e, uint16_t node, bool learned);
void record_remove(struct directory *d, struct entry *e, struct record *r);
/* Sets a holder's content; NULL: not known. */
void record_content(struct directory *d, struct entry *e, uint16_t node, const struct directory_content *content);
size_t store_bytes(const struct directory *d);

/* directory.c */
/* Who would answer without what was learned about this very path; NULL: nobody. */
const struct entry *match_without(const struct directory *d, const struct host *h, const char *path, size_t len,
                                  uint32_t *id);
/* Its records have changed: its set follows, and it ends if none are left. */
void entry_refresh(struct directory *d, uint32_t id);

/* directory_learn.c */
void learned_forget(struct directory *d, struct record *r); /* its place in the ring is free */

#endif
