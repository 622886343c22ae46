/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators said: a list of (target, word, until), a layer of its own over measured state. It survives restarts
 * (one JSON file, replaced whole) and reloads. A target is
 *
 *     SITE   SERVICE   ADDRESS   SERVICE@SITE   SERVICE@ADDRESS        each part may be a glob: "www.*@paris"
 *
 * Several may apply to one VIP; the strongest wins (disable, drain, enable). One target has one word: the last, by
 * whomever; in a mesh words come from other balancers, too, and a word that was taken back is remembered for a day
 * (OVERRIDE_NONE), so that an older one that arrives late does not come back to life.
 *
 * Thread: control.
 */
#ifndef PM_MODEL_OVERRIDES_H
#define PM_MODEL_OVERRIDES_H

#include "base/buf.h"
#include "model/model.h"

struct override_entry {
    char *target;
    enum override what;
    uint64_t since_ms, until_ms; /* wall clock; until 0 = until taken back */
    char *by;                    /* the balancer where it was said; NULL = here */
    uint8_t scope;               /* enum override_scope */
};

struct overrides {
    struct override_entry *items;
    size_t count;
    bool remember; /* what was taken back */
};

/* For whom a word holds. Others hear of it only when it is for them. */
enum override_scope { OVERRIDE_FLEET, OVERRIDE_REGION, OVERRIDE_SITE, OVERRIDE_HERE, OVERRIDE_SCOPES };
const char *override_scope_name(enum override_scope s);

enum { OVERRIDE_FORGET_MS = 24 * 3600 * 1000 };

void overrides_init(struct overrides *o);
void overrides_fini(struct overrides *o);
/* Sets the word for a target; OVERRIDE_NONE takes it back (PM_ENOTFOUND when there was none). */
int overrides_set(struct overrides *o, const char *target, enum override what, uint64_t now_ms, uint64_t until_ms)
    PM_MUST_CHECK;
/* What another balancer says (strings are copied); true = taken, false = what is held is as new or newer. */
bool overrides_hear(struct overrides *o, const struct override_entry *e);
/* The word for exactly this target; one taken back is found, too. NULL = none. */
struct override_entry *overrides_find(const struct overrides *o, const char *target);
/* Drops what has run out; true if anything did. */
bool overrides_expire(struct overrides *o, uint64_t now_ms);
/* When the next one runs out (wall ms); 0 = none will. */
uint64_t overrides_next_expiry(const struct overrides *o);
/* Calls fn (may be NULL) with every VIP of the model a target means; returns how many. */
typedef void overrides_match_fn(void *ctx, uint32_t vip);
size_t overrides_match(const struct model *m, const char *target, overrides_match_fn *fn, void *ctx);
/* How many VIPs of the model a target means. */
size_t overrides_match_count(const struct model *m, const char *target);
/* Sets every VIP's override from the list and marks changed services dirty. */
void overrides_apply(const struct overrides *o, struct model *m);
/* PM_EIO etc. when it cannot be written: the old file stays. */
int overrides_save(const struct overrides *o, const char *path) PM_MUST_CHECK;
/* PM_ENOTFOUND = none kept; PM_EPARSE = the file is broken (left alone). */
int overrides_load(struct overrides *o, const char *path) PM_MUST_CHECK;

#endif
