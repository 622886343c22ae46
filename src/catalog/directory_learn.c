/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/directory_internal.h"

#include <string.h>

void learned_forget(struct directory *d, struct record *r)
{
    d->ring[r->value].live = false;
    d->learned_count--;
}

/* Ends one that is live: the node is believed to have the path again. */
static void learned_end(struct directory *d, uint32_t slot)
{
    struct learned *l = &d->ring[slot];
    struct entry *e = entry_at(d, l->entry);
    struct record *r = record_find(e, l->node, true);
    learned_forget(d, r);
    record_remove(d, e, r);
    entry_refresh(d, l->entry);
}

int directory_learn(struct directory *d, const char *host, const char *path, size_t len, uint16_t node, uint64_t expires)
{
    struct directory_key key = {host, DIRECTORY_EXACT, path, len};
    struct directory_match match;
    uint32_t slot = d->ring_at, id;
    int err = directory_key_check(&key);
    if (err)
        return err;
    if (strcmp(host, "*") == 0)
        return PM_EINVAL;
    id = directory_find(d, &key);
    struct record *again = id == DIRECTORY_NONE ? NULL : record_find(entry_at(d, id), node, true);
    if (again) {
        d->ring[again->value].expires = expires;
        d->soonest = expires < d->soonest ? expires : d->soonest;
        return 0;
    }
    if (!directory_lookup(d, host, path, len, &match) || !sets_has(d->sets, match.set, node))
        return PM_ENOTFOUND;
    if (d->ring[slot].live)
        learned_end(d, slot);
    err = store_make(d, &key, &id);
    if (err)
        return err;
    record_add(d, entry_at(d, id), node, true)->value = slot & 0xffff;
    d->ring[slot] = (struct learned){.expires = expires, .entry = id, .node = node, .live = true};
    d->ring_at = (slot + 1) % d->ring_size;
    d->learned_count++;
    d->soonest = expires < d->soonest ? expires : d->soonest;
    entry_refresh(d, id);
    return 0;
}

void directory_settle(struct directory *d, uint64_t now)
{
    if (d->soonest <= now) {
        d->soonest = UINT64_MAX;
        for (uint32_t i = 0; i < d->ring_size; i++) {
            if (d->ring[i].live && d->ring[i].expires <= now)
                learned_end(d, i);
            if (d->ring[i].live && d->ring[i].expires < d->soonest)
                d->soonest = d->ring[i].expires;
        }
    }
    for (uint32_t i = 0; i < d->ring_size && d->stale; i++)
        if (d->ring[i].live && subtracts(entry_at(d, d->ring[i].entry)))
            entry_refresh(d, d->ring[i].entry);
    d->stale = false;
}
