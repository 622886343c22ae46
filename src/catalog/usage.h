/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often resources are asked for: which are the hottest, and how hot is this one, in a memory that does not grow
 * with the number of resources or with what clients invent.
 *
 * There are so many counters and no more. A resource that has none takes over the least one, with its count, and
 * remembers that count as its error (Space-Saving; Metwally, Agrawal and El Abbadi, 2005). So for every resource
 *
 *     at_least <= truth <= at_most,    at_most - at_least <= all requests / counters,
 *
 * whoever is asked for more often than that has a counter, and one without is asked for at most as often as the least
 * counter says. Whether it is hot should be asked of at_least, whether it is cold of at_most: a doubt does nothing.
 *
 * Old requests count less: half after half_life_ms. Counts are kept as if time stood still at a landmark and new
 * requests weigh more (2^(t/half life)), so that decay costs nothing and keeps the bounds; now and then the landmark
 * moves. A rate is the count by the time it stands for, which is less at the beginning: the first seconds are not
 * underestimated.
 *
 * Keys are the directory's (catalog/directory.h): an EXACT one is a host and a path, and whoever counts by compiled
 * entry gives that entry's. Two are told apart by a seeded 64-bit hash; the text is kept to be shown, and may be cut
 * for that.
 *
 * Memory: all is allocated at the beginning, about 400 bytes for each counter. Thread: one at a time; const calls may
 * run together. Pure: no clock (times are the caller's milliseconds; one before the last counts as the last), no
 * globals. Failure: none, but for the meter's index. Cost: a hash and some steps in a heap for an add; a hash for a
 * rate.
 */
#ifndef PM_CATALOG_USAGE_H
#define PM_CATALOG_USAGE_H

#include "catalog/directory.h"

enum { USAGE_TEXT = 320, USAGE_COUNTERS_MAX = 1 << 20 }; /* bytes of host and text kept for showing */

struct usage;

/* seed: of the hash, unknown to outsiders. counters and half_life_ms: at least 1 is taken. */
struct usage *usage_new(uint64_t seed, uint32_t counters, uint64_t half_life_ms, uint64_t now);
void usage_free(struct usage *u); /* NULL is allowed */

/* So many requests more, and bytes answered. Bytes alone (of requests that were counted before) are allowed. */
void usage_add(struct usage *u, const struct directory_key *key, uint64_t requests, uint64_t bytes, uint64_t now);

struct usage_rate {
    double at_least, at_most; /* requests in a second */
    double bytes;             /* in a second, counted since it has a counter: at least */
    bool listed;              /* has a counter */
};
struct usage_rate usage_rate(const struct usage *u, const struct directory_key *key, uint64_t now);

struct usage_item {
    struct directory_key key; /* host in lower case; valid until the next add */
    bool cut;                 /* the texts are longer than is shown */
    struct usage_rate rate;
};
/* The hottest by at_most, hottest first, at most k; returns how many. */
size_t usage_top(const struct usage *u, uint64_t now, struct usage_item *items, size_t k);

struct usage_total {
    uint64_t requests, bytes;         /* ever, exactly */
    double requests_rate, bytes_rate; /* in a second, as old ones fade */
    double doubt;                     /* no at_most is further from its at_least, in requests per second */
    uint32_t counters, listed;
    size_t memory; /* bytes, the same from the beginning to the end */
};
struct usage_total usage_total(const struct usage *u, uint64_t now);

/*
 * Between counters that only grow, one for each compiled resource (index), and the statistics: remembers where each
 * stood when it was last read. A counter that stands lower than before has begun anew at 0. One that was never read
 * or based tells nothing the first time: who knows since when it counts.
 *
 * Memory: 16 bytes and a bit for each index, allocated at the beginning. Thread: as above.
 */
struct usage_meter;
struct usage_meter *usage_meter_new(uint32_t indices);
void usage_meter_free(struct usage_meter *m); /* NULL is allowed */
/* The index is given to a (new) resource, and its counters stand at this now. PM_ERANGE: no index. */
int usage_meter_base(struct usage_meter *m, uint32_t index, uint64_t requests, uint64_t bytes) PM_MUST_CHECK;
/* Adds to u what has come since. PM_ERANGE: no index. */
int usage_meter_read(struct usage_meter *m, struct usage *u, uint32_t index, const struct directory_key *key,
                     uint64_t requests, uint64_t bytes, uint64_t now) PM_MUST_CHECK;

#endif
