/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which node of a farm holds which resource, when the nodes' content differs.
 *
 * An entry is a key and its holders. The key is (virtual host, kind, text): an EXACT path, a PREFIX (a directory with
 * its slash), or a SUFFIX (an extension with its dot); host "*" is any host. Of each holder it is known where that comes
 * from: CONFIGURED, SCANNED (the node's agent reported it, with size and content hash), or the opposite, LEARNED: the
 * node answered that it has not got this very path, which counts until a point of time.
 *
 * What a lookup answers is precomputed: each entry has the index of a set of nodes (catalog/sets.h), which is its
 * holders without those that were learned not to have it. Where something is learned about a path that only a prefix, a
 * suffix or "*" speaks of, the path gets an entry of its own that subtracts; these follow when directory_settle is
 * called, and lookups ignore them while they are behind, so that no node is ever named that is not a holder.
 * What is learned comes from clients' requests, so it is bounded: the oldest makes room.
 *
 * A compiler of kernel tables asks with directory_changes for what is new since it last asked, and nothing else.
 *
 * Memory: the directory owns everything; about 80 bytes for each exact resource with two holders, beside its text.
 * Pointers in answers are valid until the next change. Thread: one at a time; const calls may run together.
 * Pure: no I/O, no clock (times are the caller's milliseconds), no globals. Failure: PM_E* for keys that are no keys.
 */
#ifndef PM_CATALOG_DIRECTORY_H
#define PM_CATALOG_DIRECTORY_H

#include "catalog/sets.h"

enum {
    DIRECTORY_TEXT_MAX = 8192,  /* bytes of a path */
    DIRECTORY_DEPTH_MAX = 64,   /* slashes in a prefix */
    DIRECTORY_SUFFIX_MAX = 32,  /* bytes of a suffix */
    DIRECTORY_HOST_MAX = 255,
    DIRECTORY_LEARNED_MAX = 65536,
};
#define DIRECTORY_NONE UINT32_MAX

enum directory_kind { DIRECTORY_EXACT, DIRECTORY_PREFIX, DIRECTORY_SUFFIX, DIRECTORY_KINDS };
enum directory_source { DIRECTORY_CONFIGURED = 1, DIRECTORY_SCANNED = 2, DIRECTORY_LEARNED = 4 };

/* Upper and lower case are the same in the host; text is bytes as they are (decoded, without the query). */
struct directory_key {
    const char *host; /* "*": any; "" is that of requests without one */
    enum directory_kind kind;
    const char *text;
    size_t len;
};

struct directory_content {
    uint64_t size, hash;
};

struct directory;

/* learned_max: of (path, node) pairs learned; 0 for DIRECTORY_LEARNED_MAX, the most. */
struct directory *directory_new(uint64_t seed, uint32_t learned_max);
void directory_free(struct directory *d); /* NULL is allowed */
/* PM_OK, PM_EINVAL or PM_ETOOBIG: is this a key? */
int directory_key_check(const struct directory_key *key) PM_MUST_CHECK;

/*
 * Says that the node holds it, by CONFIGURED (content is ignored) or SCANNED (content NULL: not known). To say it again
 * replaces the content; SCANNED also ends what was learned to the contrary. PM_ERANGE: no node's id.
 */
int directory_add(struct directory *d, const struct directory_key *key, uint16_t node, enum directory_source source,
                  const struct directory_content *content) PM_MUST_CHECK;
/* Takes one source back; the holder goes with its last one. PM_ENOTFOUND if that was not known. */
int directory_remove(struct directory *d, const struct directory_key *key, uint16_t node, enum directory_source source)
    PM_MUST_CHECK;
/* Forgets the node, with all it holds, all that was learned about it, and its scan. Returns how many entries had it. */
size_t directory_remove_node(struct directory *d, uint16_t node);

/*
 * A full report of a node: between begin and end, everything it has is added again with SCANNED; at the end what was not
 * is removed (what is CONFIGURED stays, as such). Reports of several nodes may be under way. A second begin starts
 * over, an abort leaves what was there and keeps what was added. end returns how many were removed, or PM_EINVAL
 * without a begin.
 */
int directory_scan_begin(struct directory *d, uint16_t node) PM_MUST_CHECK;
int directory_scan_end(struct directory *d, uint16_t node) PM_MUST_CHECK;
void directory_scan_abort(struct directory *d, uint16_t node);

/*
 * The node answered that it has not got the path of this host (not "*"); counts until expires. PM_ENOTFOUND, and nothing
 * is kept, if a lookup would not have named the node anyway.
 */
int directory_learn(struct directory *d, const char *host, const char *path, size_t len, uint16_t node, uint64_t expires)
    PM_MUST_CHECK;
/* Ends what was learned until now, and brings up to date what follows from other entries. After changes, and every second. */
void directory_settle(struct directory *d, uint64_t now);

struct directory_match {
    uint32_t entry;        /* the entry that knows it */
    enum directory_kind kind;
    bool any_host;         /* that entry is one of "*" */
    uint32_t learned;      /* the path's own entry that only takes nodes away, or DIRECTORY_NONE */
    uint32_t set;
    const uint16_t *nodes; /* ascending; count can be 0: all who should have it said no */
    size_t count;
};

/*
 * Exact before longest prefix before longest suffix, all of the host before those of "*". False: nobody is known.
 * path has no query; a host is looked for as it is given (no port).
 */
bool directory_lookup(const struct directory *d, const char *host, const char *path, size_t len,
                      struct directory_match *match);

struct directory_entry {
    struct directory_key key;
    uint32_t set;     /* SETS_NONE: lookups do not find it (any more) */
    uint32_t holders; /* how many directory_holder knows */
    bool subtracts;   /* knows only what was learned */
};
struct directory_holder {
    uint16_t node;
    unsigned sources; /* of enum directory_source, or'ed; LEARNED: has it not */
    bool known;       /* content is */
    struct directory_content content;
    uint64_t expires; /* with LEARNED */
};

/* Entries have ids, small and reused. Iterates: *at starts at 0; false at the end. */
bool directory_next(const struct directory *d, uint32_t *at, uint32_t *id, struct directory_entry *entry);
bool directory_get(const struct directory *d, uint32_t id, struct directory_entry *entry);
uint32_t directory_find(const struct directory *d, const struct directory_key *key); /* or DIRECTORY_NONE */
/* The i-th, by node. A holder that was learned not to have it comes twice: as a holder, then as LEARNED. */
bool directory_holder(const struct directory *d, uint32_t id, uint32_t i, struct directory_holder *holder);

/* For looking at all sets, and for keeping others in the same table. */
struct sets *directory_sets(struct directory *d);
/* Grows with every change of an entry's set. */
uint64_t directory_version(const struct directory *d);

/*
 * What has changed since it was last asked, in the order in which tables can be written: new sets, entries with another
 * set than before (SETS_NONE: take it out of the table), then sets that nothing refers to. A callback that fails ends it;
 * what was not taken comes again. Callbacks must not change the directory. The first time, everything is new.
 * Settle before. Returns 0 or what the callback returned.
 */
struct directory_watch {
    sets_new_fn *set_new;
    int (*entry)(void *ctx, uint32_t id, const struct directory_entry *entry);
    sets_gone_fn *set_gone;
};
int directory_changes(struct directory *d, const struct directory_watch *watch, void *ctx) PM_MUST_CHECK;

struct directory_figures {
    uint32_t entries[DIRECTORY_KINDS]; /* with holders */
    uint32_t subtracting, learned, hosts, sets;
    size_t bytes; /* all of its memory, with the allocator's own, and the texts */
    size_t text;  /* of that, the texts */
};
void directory_figures(const struct directory *d, struct directory_figures *f);

#endif
