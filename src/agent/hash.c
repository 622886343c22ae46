/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include <xxhash.h>
#pragma GCC diagnostic pop
#include "base/arena.h"

enum { READ_BYTES = 256 * 1024, KEEP_LEAST = 1024, FIRST_SLOTS = 256 };

struct agent_hash {
    XXH3_state_t *state;
};

struct agent_hash *agent_hash_new(void)
{
    struct agent_hash *h = mem_alloc(sizeof *h);
    h->state = XXH3_createState(); /* aligned to 64 bytes */
    if (!h->state)
        abort(); /* as mem_alloc */
    agent_hash_reset(h);
    return h;
}

void agent_hash_free(struct agent_hash *h)
{
    if (!h)
        return;
    XXH3_freeState(h->state);
    free(h);
}

void agent_hash_reset(struct agent_hash *h)
{
    XXH3_64bits_reset(h->state);
}

void agent_hash_update(struct agent_hash *h, const void *data, size_t len)
{
    XXH3_64bits_update(h->state, data, len);
}

uint64_t agent_hash_digest(const struct agent_hash *h)
{
    return XXH3_64bits_digest(h->state);
}

uint64_t agent_hash_of(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

int agent_hash_file(struct agent_hash *h, int fd, uint64_t len, const atomic_bool *stop)
{
    uint8_t *data = mem_alloc(READ_BYTES);
    uint64_t at = 0;
    int err = 0;
    while (at < len && !err) {
        if (stop && atomic_load(stop)) {
            err = PM_ECANCELED;
            break;
        }
        size_t want = len - at < READ_BYTES ? (size_t)(len - at) : READ_BYTES;
        ssize_t n = pread(fd, data, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err = n ? err_from_errno(errno) : PM_ESHORT;
            break;
        }
        agent_hash_update(h, data, (size_t)n);
        at += (uint64_t)n;
    }
    free(data);
    return err;
}

struct agent_stamp agent_stamp_of(const struct stat *st)
{
    uint64_t words[4] = {st->st_dev, st->st_ino, (uint64_t)st->st_size,
                         (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec};
    XXH128_hash_t h = XXH3_128bits(words, sizeof words);
    return (struct agent_stamp){h.low64 | 1, h.high64}; /* 0: none */
}

/* ---- the cache: the latest half takes what is new; when it is full, it becomes the older half ---- */

struct slot {
    struct agent_stamp stamp;
    uint64_t hash;
};

struct half {
    struct slot *slots;
    size_t cap, count;
};

struct agent_hash_cache {
    struct half latest, older;
};

struct agent_hash_cache *agent_hash_cache_new(void)
{
    return mem_alloc(sizeof(struct agent_hash_cache));
}

void agent_hash_cache_free(struct agent_hash_cache *c)
{
    if (!c)
        return;
    free(c->latest.slots);
    free(c->older.slots);
    free(c);
}

/* The slot that has it, or the free one where it would go. */
static struct slot *slot_find(const struct half *h, struct agent_stamp s)
{
    for (size_t i = s.high & (h->cap - 1);; i = (i + 1) & (h->cap - 1)) {
        struct slot *at = &h->slots[i];
        if (!at->stamp.low || (at->stamp.low == s.low && at->stamp.high == s.high))
            return at;
    }
}

static void half_grow(struct half *h)
{
    struct half bigger = {.cap = h->cap ? h->cap * 2 : FIRST_SLOTS, .count = h->count};
    bigger.slots = mem_alloc(bigger.cap * sizeof *bigger.slots);
    for (size_t i = 0; i < h->cap; i++)
        if (h->slots[i].stamp.low)
            *slot_find(&bigger, h->slots[i].stamp) = h->slots[i];
    free(h->slots);
    *h = bigger;
}

bool agent_hash_cache_get(struct agent_hash_cache *c, struct agent_stamp stamp, uint64_t *hash)
{
    const struct half *halves[] = {&c->latest, &c->older};
    for (size_t i = 0; i < PM_ARRAY_LEN(halves); i++) {
        const struct slot *s = halves[i]->cap ? slot_find(halves[i], stamp) : NULL;
        if (s && s->stamp.low) {
            *hash = s->hash;
            return true;
        }
    }
    return false;
}

void agent_hash_cache_put(struct agent_hash_cache *c, struct agent_stamp stamp, uint64_t hash, size_t keep)
{
    keep = keep > KEEP_LEAST ? keep : KEEP_LEAST;
    if (c->latest.count >= keep) {
        free(c->older.slots);
        c->older = c->latest;
        c->latest = (struct half){0};
    }
    if (c->latest.count * 4 >= c->latest.cap * 3)
        half_grow(&c->latest);
    struct slot *s = slot_find(&c->latest, stamp);
    c->latest.count += !s->stamp.low;
    *s = (struct slot){stamp, hash};
}
