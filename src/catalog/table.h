/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a directory that is in a table of limited size, such as the kernel's: which entries are in, which are
 * left out, and how often those in it are asked for.
 *
 *   directory_changes ──change──> in, if there is room, else out            counters of those in ──read──> usage
 *                                  ^ asked for most <──── exchange ────> out: asked for least
 *
 * PREFIX and SUFFIX entries are few and about many paths: they count, but are never left out for want of room here. Of
 * EXACT ones the least asked for make room, as far as the statistics tell; a doubt moves nothing. Who reads the table
 * must know by other means that something is left out (`left`): a path that is not in it need not be unknown.
 *
 * Work is bounded: change is for one entry, turn and read take a budget of entries.
 * Memory: 2 bytes for each entry, and the meter's 16 (catalog/usage.h) for each that fits. Thread: one at a time. Pure
 * but for what the callbacks do. Failure: put says no (PM_E*): left out, and tried again when there is room.
 */
#ifndef PM_CATALOG_TABLE_H
#define PM_CATALOG_TABLE_H

#include "catalog/usage.h"

struct catalog_table;

struct catalog_table_calls {
    void *ctx;
    /*
     * Writes the entry as it is now, in or not. Returns how many places it takes (0: it does not belong into the table,
     * and is not in it), or PM_E*, and it is not in it.
     */
    int (*put)(void *ctx, uint32_t id, const struct directory_entry *e);
    void (*take)(void *ctx, uint32_t id, const struct directory_entry *e);
    /* Its requests since it was put first; false: not known. as: what they count for, else the entry's own key. */
    bool (*hits)(void *ctx, uint32_t id, const struct directory_entry *e, uint64_t *hits, struct directory_key *as);
    /* It is left out from now on, or not any more. */
    void (*left)(void *ctx, const struct directory_entry *e, bool out);
    /* For those who want all, in the table or not: it has changed, or is swept over. */
    void (*seen)(void *ctx, uint32_t id, const struct directory_entry *e);
};

/* max: places of EXACT entries stop there. meter_max: of ids, beyond which nothing is counted. */
struct catalog_table *catalog_table_new(const struct catalog_table_calls *calls, uint32_t max, uint32_t meter_max);
void catalog_table_free(struct catalog_table *t); /* NULL is allowed */
void catalog_table_limit(struct catalog_table *t, uint32_t max);

/* For directory_watch.entry. */
void catalog_table_change(struct catalog_table *t, uint32_t id, const struct directory_entry *e);
/* What put answers has changed: all entries are put anew, by turns. */
void catalog_table_sweep(struct catalog_table *t);
/*
 * Right after directory_changes has returned 0. Goes on with a sweep, fills what is free, exchanges; looks at `budget`
 * entries. True: there is more to do now.
 */
bool catalog_table_turn(struct catalog_table *t, const struct directory *d, const struct usage *u, uint64_t now,
                        uint32_t budget);
/* Reads the counters of `budget` entries more, round and round. */
void catalog_table_read(struct catalog_table *t, const struct directory *d, struct usage *u, uint64_t now,
                        uint32_t budget);

struct catalog_table_figures {
    uint32_t in, out, places, max; /* entries in it and left out; places they take */
    uint64_t exchanged, refused;   /* put in for more asked for; put that failed */
    bool sweeping;
};
void catalog_table_figures(const struct catalog_table *t, struct catalog_table_figures *out);
bool catalog_table_has(const struct catalog_table *t, uint32_t id);

#endif
