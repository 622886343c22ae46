/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/directory_internal.h"

static void entry_view(const struct directory *d, const struct entry *e, struct directory_entry *view)
{
    *view = (struct directory_entry){
        .key = {d->hosts[e->host]->name, (enum directory_kind)e->kind, text_of(e), e->len},
        .set = e->set,
        .holders = e->records,
        .subtracts = subtracts(e),
    };
}

bool directory_get(const struct directory *d, uint32_t id, struct directory_entry *entry)
{
    if (id >= d->limit || !entry_at(d, id)->used || !entry_at(d, id)->records)
        return false;
    entry_view(d, entry_at(d, id), entry);
    return true;
}

bool directory_next(const struct directory *d, uint32_t *at, uint32_t *id, struct directory_entry *entry)
{
    while (*at < d->limit) {
        *id = (*at)++;
        if (directory_get(d, *id, entry))
            return true;
    }
    return false;
}

uint32_t directory_find(const struct directory *d, const struct directory_key *key)
{
    const struct host *h = host_find(d, key->host);
    uint32_t id = h ? store_find(d, h->id, key->kind, key->text, key->len) : DIRECTORY_NONE;
    return id != DIRECTORY_NONE && entry_at(d, id)->records ? id : DIRECTORY_NONE;
}

bool directory_holder(const struct directory *d, uint32_t id, uint32_t i, struct directory_holder *holder)
{
    if (id >= d->limit || !entry_at(d, id)->used || i >= entry_at(d, id)->records)
        return false;
    const struct entry *e = entry_at(d, id);
    const struct record *r = &records_of(e)[i];
    *holder = (struct directory_holder){.node = (uint16_t)r->node};
    if (r->learned) {
        holder->sources = DIRECTORY_LEARNED;
        holder->expires = d->ring[r->value].expires;
        return true;
    }
    holder->sources = (r->configured ? DIRECTORY_CONFIGURED : 0u) | (r->scanned ? DIRECTORY_SCANNED : 0u);
    holder->known = r->value != NO_CONTENT;
    if (holder->known)
        holder->content = contents_of(e)[r->value];
    return true;
}

/* One entry whose set may differ from what was reported. */
static int report_entry(struct directory *d, uint32_t id, const struct directory_watch *watch, void *ctx)
{
    struct entry *e = entry_at(d, id);
    struct directory_entry view;
    entry_view(d, e, &view);
    if (e->reported || e->set != SETS_NONE) {
        int r = watch->entry(ctx, id, &view);
        if (r)
            return r;
    }
    e->reported = e->set != SETS_NONE;
    struct chunk *c = d->chunks[id / CHUNK];
    bit_set(c->dirty, id % CHUNK, false);
    c->dirty_count--;
    if (!e->records)
        store_end(d, id);
    return 0;
}

int directory_changes(struct directory *d, const struct directory_watch *watch, void *ctx)
{
    int r = sets_report_new(d->sets, watch->set_new, ctx);
    if (r)
        return r;
    for (uint32_t i = 0; i < d->chunk_count; i++) {
        for (uint32_t word = 0; word < CHUNK / 64 && d->chunks[i]->dirty_count; word++) {
            while (d->chunks[i]->dirty[word]) {
                uint32_t bit = (uint32_t)__builtin_ctzll(d->chunks[i]->dirty[word]);
                r = report_entry(d, i * CHUNK + word * 64 + bit, watch, ctx);
                if (r)
                    return r;
            }
        }
    }
    return sets_report_gone(d->sets, watch->set_gone, ctx);
}
