/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/directory_internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"

struct directory *directory_new(uint64_t seed, uint32_t learned_max)
{
    struct directory *d = mem_alloc(sizeof *d);
    d->seed = seed;
    d->sets = sets_new(seed);
    d->ring_size = learned_max && learned_max < DIRECTORY_LEARNED_MAX ? learned_max : DIRECTORY_LEARNED_MAX;
    d->ring = mem_alloc(d->ring_size * sizeof *d->ring);
    d->scratch = mem_alloc(CATALOG_NODES_MAX * sizeof *d->scratch);
    d->soonest = UINT64_MAX;
    store_init(d);
    return d;
}

void directory_free(struct directory *d)
{
    if (!d)
        return;
    store_fini(d);
    sets_free(d->sets);
    free(d->ring);
    free(d->scratch);
    free(d);
}

int directory_key_check(const struct directory_key *key)
{
    size_t slashes = 0;
    if (!key->len || strlen(key->host) > DIRECTORY_HOST_MAX)
        return key->len ? PM_ETOOBIG : PM_EINVAL;
    if (key->len > (key->kind == DIRECTORY_SUFFIX ? (size_t)DIRECTORY_SUFFIX_MAX : DIRECTORY_TEXT_MAX))
        return PM_ETOOBIG;
    for (size_t i = 0; i < key->len; i++)
        slashes += key->text[i] == '/';
    switch (key->kind) {
    case DIRECTORY_EXACT:
        return key->text[0] == '/' ? 0 : PM_EINVAL;
    case DIRECTORY_PREFIX:
        if (key->text[0] != '/' || key->text[key->len - 1] != '/')
            return PM_EINVAL;
        return slashes <= DIRECTORY_DEPTH_MAX ? 0 : PM_ETOOBIG;
    case DIRECTORY_SUFFIX:
        return key->text[0] == '.' && key->len > 1 && !slashes ? 0 : PM_EINVAL;
    default:
        return PM_EINVAL;
    }
}

/* ---- looking up ---- */

static const struct entry *holder_entry(const struct directory *d, const struct host *h, enum directory_kind kind,
                                        const char *text, size_t len, uint32_t *id)
{
    *id = store_find(d, h->id, kind, text, len);
    return *id != DIRECTORY_NONE && has_holders(entry_at(d, *id)) ? entry_at(d, *id) : NULL;
}

static const struct entry *match_prefix(const struct directory *d, const struct host *h, const char *path, size_t len,
                                        uint32_t *id)
{
    uint16_t ends[DIRECTORY_DEPTH_MAX + 1] = {0};
    size_t depth = 0;
    len = len < DIRECTORY_TEXT_MAX ? len : DIRECTORY_TEXT_MAX;
    for (size_t i = 0; i < len && depth < DIRECTORY_DEPTH_MAX; i++)
        if (path[i] == '/')
            ends[++depth] = (uint16_t)(i + 1);
    for (; depth; depth--) {
        const struct entry *e = d->depths[depth] ? holder_entry(d, h, DIRECTORY_PREFIX, path, ends[depth], id) : NULL;
        if (e)
            return e;
    }
    return NULL;
}

static const struct entry *match_suffix(const struct directory *d, const struct host *h, const char *path, size_t len,
                                        uint32_t *id)
{
    size_t start = len;
    while (start && path[start - 1] != '/' && len - start < DIRECTORY_SUFFIX_MAX)
        start--;
    for (; start < len; start++) {
        if (path[start] != '.' || !d->suffixes[len - start])
            continue;
        const struct entry *e = holder_entry(d, h, DIRECTORY_SUFFIX, path + start, len - start, id);
        if (e)
            return e;
    }
    return NULL;
}

static const struct entry *match_host(const struct directory *d, const struct host *h, const char *path, size_t len,
                                      uint32_t *id)
{
    const struct entry *e = NULL;
    if (h->kinds[DIRECTORY_EXACT] && len <= DIRECTORY_TEXT_MAX)
        e = holder_entry(d, h, DIRECTORY_EXACT, path, len, id);
    if (!e && h->kinds[DIRECTORY_PREFIX])
        e = match_prefix(d, h, path, len, id);
    if (!e && h->kinds[DIRECTORY_SUFFIX])
        e = match_suffix(d, h, path, len, id);
    return e;
}

const struct entry *match_without(const struct directory *d, const struct host *h, const char *path, size_t len,
                                  uint32_t *id)
{
    const struct entry *e = h && h->id != HOST_ANY ? match_host(d, h, path, len, id) : NULL;
    return e ? e : match_host(d, d->hosts[HOST_ANY], path, len, id);
}

bool directory_lookup(const struct directory *d, const char *host, const char *path, size_t len,
                      struct directory_match *match)
{
    const struct host *h = host_find(d, host);
    const struct entry *e = match_without(d, h, path, len, &match->entry);
    if (!e)
        return false;
    match->kind = (enum directory_kind)e->kind;
    match->any_host = e->host == HOST_ANY;
    match->learned = DIRECTORY_NONE;
    match->set = e->set;
    bool own = e->kind == DIRECTORY_EXACT && h && e->host == h->id;
    if (h && !own && d->learned_count && !d->stale && len <= DIRECTORY_TEXT_MAX) {
        uint32_t id = store_find(d, h->id, DIRECTORY_EXACT, path, len);
        if (id != DIRECTORY_NONE && subtracts(entry_at(d, id))) {
            match->learned = id;
            match->set = entry_at(d, id)->set;
        }
    }
    match->nodes = sets_nodes(d->sets, match->set, &match->count);
    return true;
}

/* ---- changing ---- */

/* The nodes of an entry with holders, without those that were learned to be none; into scratch. */
static size_t own_nodes(struct directory *d, const struct entry *e)
{
    size_t n = 0;
    for (uint32_t i = 0; i < e->records; i++) {
        const struct record *r = &records_of(e)[i];
        if (!r->learned)
            d->scratch[n++] = (uint16_t)r->node;
        else if (n && d->scratch[n - 1] == r->node)
            n--;
    }
    return n;
}

/* What others say of this path, without the entry's own words; the set, or SETS_NONE. */
static uint32_t subtracted_set(struct directory *d, const struct entry *e)
{
    uint32_t id;
    size_t count, n = 0;
    const struct entry *from = match_without(d, d->hosts[e->host], text_of(e), e->len, &id);
    if (!from)
        return SETS_NONE;
    const uint16_t *nodes = sets_nodes(d->sets, from->set, &count);
    for (size_t i = 0; i < count; i++)
        if (!record_find(e, nodes[i], true))
            d->scratch[n++] = nodes[i];
    return sets_take(d->sets, d->scratch, n);
}

static void entry_dirty(struct directory *d, uint32_t id)
{
    struct chunk *c = d->chunks[id / CHUNK];
    if (!bit_get(c->dirty, id % CHUNK)) {
        bit_set(c->dirty, id % CHUNK, true);
        c->dirty_count++;
    }
    d->version++;
}

void entry_refresh(struct directory *d, uint32_t id)
{
    struct entry *e = entry_at(d, id);
    uint32_t was = e->set;
    if (has_holders(e))
        e->set = sets_take(d->sets, d->scratch, own_nodes(d, e));
    else
        e->set = e->learned ? subtracted_set(d, e) : SETS_NONE;
    if (was != SETS_NONE)
        sets_drop(d->sets, was);
    if (was != e->set) {
        entry_dirty(d, id);
        if (d->learned_count && (e->kind != DIRECTORY_EXACT || e->host == HOST_ANY))
            d->stale = true;
    }
    if (!e->records && !e->reported)
        store_end(d, id);
}

int directory_add(struct directory *d, const struct directory_key *key, uint16_t node, enum directory_source source,
                  const struct directory_content *content)
{
    uint32_t id;
    int err = directory_key_check(key);
    if (err)
        return err;
    if (node >= CATALOG_NODES_MAX || (source != DIRECTORY_CONFIGURED && source != DIRECTORY_SCANNED))
        return node >= CATALOG_NODES_MAX ? PM_ERANGE : PM_EINVAL;
    err = store_make(d, key, &id);
    if (err)
        return err;
    struct entry *e = entry_at(d, id);
    struct record *r = record_find(e, node, false);
    bool fresh = !r;
    if (fresh)
        r = record_add(d, e, node, false);
    if (source == DIRECTORY_CONFIGURED)
        r->configured = 1;
    if (source == DIRECTORY_SCANNED) {
        struct record *denied;
        r->scanned = 1;
        r->mark = bit_get(d->marks, node);
        record_content(d, e, node, content);
        if (e->learned && (denied = record_find(e, node, true))) {
            learned_forget(d, denied);
            record_remove(d, e, denied);
            fresh = true;
        }
    }
    if (fresh)
        entry_refresh(d, id);
    return 0;
}

/* Takes sources back from a holder; true if it is none any more. */
static bool holder_less(struct directory *d, struct entry *e, struct record *r, bool configured, bool scanned)
{
    uint16_t node = (uint16_t)r->node;
    if (configured)
        r->configured = 0;
    if (scanned) {
        r->scanned = 0;
        record_content(d, e, node, NULL);
        r = record_find(e, node, false);
    }
    if (r->configured || r->scanned)
        return false;
    record_remove(d, e, r);
    return true;
}

int directory_remove(struct directory *d, const struct directory_key *key, uint16_t node, enum directory_source source)
{
    uint32_t id = directory_find(d, key);
    if (id == DIRECTORY_NONE)
        return PM_ENOTFOUND;
    struct entry *e = entry_at(d, id);
    struct record *r = record_find(e, node, false);
    bool configured = source == DIRECTORY_CONFIGURED, scanned = source == DIRECTORY_SCANNED;
    if (!r || !((configured && r->configured) || (scanned && r->scanned)))
        return PM_ENOTFOUND;
    if (holder_less(d, e, r, configured, scanned))
        entry_refresh(d, id);
    return 0;
}

/* Skips entries that have nothing to do with the node, mostly without touching their block. */
static bool may_have(const struct directory *d, const struct entry *e, uint16_t node)
{
    return e->used && e->records && (e->learned || sets_has(d->sets, e->set, node));
}

size_t directory_remove_node(struct directory *d, uint16_t node)
{
    size_t removed = 0;
    if (node >= CATALOG_NODES_MAX)
        return 0;
    for (uint32_t id = 0; id < d->limit; id++) {
        struct entry *e = entry_at(d, id);
        if (!may_have(d, e, node))
            continue;
        struct record *denied = record_find(e, node, true);
        if (denied) {
            learned_forget(d, denied);
            record_remove(d, e, denied);
        }
        struct record *r = record_find(e, node, false);
        if (r) {
            record_remove(d, e, r);
            removed++;
        }
        if (r || denied)
            entry_refresh(d, id);
    }
    bit_set(d->scanning, node, false);
    return removed;
}

/* ---- scans ---- */

int directory_scan_begin(struct directory *d, uint16_t node)
{
    if (node >= CATALOG_NODES_MAX)
        return PM_ERANGE;
    directory_scan_abort(d, node);
    bit_set(d->scanning, node, true);
    bit_set(d->marks, node, !bit_get(d->marks, node));
    return 0;
}

int directory_scan_end(struct directory *d, uint16_t node)
{
    int removed = 0;
    if (node >= CATALOG_NODES_MAX || !bit_get(d->scanning, node))
        return PM_EINVAL;
    bit_set(d->scanning, node, false);
    for (uint32_t id = 0; id < d->limit; id++) {
        struct entry *e = entry_at(d, id);
        struct record *r = may_have(d, e, node) ? record_find(e, node, false) : NULL;
        if (!r || !r->scanned || r->mark == bit_get(d->marks, node))
            continue;
        removed++;
        if (holder_less(d, e, r, false, true))
            entry_refresh(d, id);
    }
    return removed;
}

void directory_scan_abort(struct directory *d, uint16_t node)
{
    if (node >= CATALOG_NODES_MAX || !bit_get(d->scanning, node))
        return;
    bit_set(d->scanning, node, false);
    for (uint32_t id = 0; id < d->limit; id++) {
        struct record *r = may_have(d, entry_at(d, id), node) ? record_find(entry_at(d, id), node, false) : NULL;
        if (r)
            r->mark = bit_get(d->marks, node);
    }
}

/* ---- figures ---- */

struct sets *directory_sets(struct directory *d)
{
    return d->sets;
}

uint64_t directory_version(const struct directory *d)
{
    return d->version;
}

void directory_figures(const struct directory *d, struct directory_figures *f)
{
    *f = (struct directory_figures){.learned = d->learned_count, .hosts = d->host_count, .sets = sets_count(d->sets)};
    for (uint32_t id = 0; id < d->limit; id++) {
        const struct entry *e = entry_at(d, id);
        f->subtracting += e->used && subtracts(e);
        f->entries[e->kind] += e->used && has_holders(e);
    }
    f->bytes = sizeof *d + store_bytes(d) + sets_bytes(d->sets) + d->ring_size * sizeof *d->ring +
               CATALOG_NODES_MAX * sizeof *d->scratch;
    f->text = d->text_bytes;
}
