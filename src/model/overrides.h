/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators said: a list of (target, word, until), a layer of its own over measured state. It survives restarts
 * (one JSON file, replaced whole) and reloads. A target is
 *
 *     SITE   SERVICE   ADDRESS   SERVICE@SITE   SERVICE@ADDRESS        each part may be a glob: "www.*@paris"
 *
 * Several may apply to one VIP; the strongest wins (disable, drain, enable). One target has one word: the last.
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
};

struct overrides {
    struct override_entry *items;
    size_t count;
};

void overrides_init(struct overrides *o);
void overrides_fini(struct overrides *o);
/* Sets the word for a target; OVERRIDE_NONE takes it back (PM_ENOTFOUND when there was none). */
int overrides_set(struct overrides *o, const char *target, enum override what, uint64_t now_ms, uint64_t until_ms)
    PM_MUST_CHECK;
/* Drops what has run out; true if anything did. */
bool overrides_expire(struct overrides *o, uint64_t now_ms);
/* When the next one runs out (wall ms); 0 = none will. */
uint64_t overrides_next_expiry(const struct overrides *o);
/* How many VIPs of the model a target means. */
size_t overrides_match_count(const struct model *m, const char *target);
/* Sets every VIP's override from the list and marks changed services dirty. */
void overrides_apply(const struct overrides *o, struct model *m);
/* PM_EIO etc. when it cannot be written: the old file stays. */
int overrides_save(const struct overrides *o, const char *path) PM_MUST_CHECK;
/* PM_ENOTFOUND = none kept; PM_EPARSE = the file is broken (left alone). */
int overrides_load(struct overrides *o, const char *path) PM_MUST_CHECK;

#endif
