/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/directory_internal.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"

enum { INDEX_MIN = 256 };

/* ---- memory of blocks ---- */

/* What the allocator takes for a block (glibc: a word, steps of 16, at least 32). */
static size_t block_cost(size_t bytes)
{
    size_t cost = (bytes + 8 + 15) & ~(size_t)15;
    return cost < 32 ? 32 : cost;
}

static size_t block_size(const struct entry *e)
{
    return e->contents * sizeof(struct directory_content) + e->records * sizeof(struct record) + e->len;
}

/* Another number of contents and records: those that stay and the text are kept, new ones are zero. */
static void block_resize(struct directory *d, struct entry *e, uint16_t contents, uint16_t records)
{
    struct entry was = *e;
    e->contents = contents;
    e->records = records;
    e->block = mem_alloc(block_size(e));
    uint16_t keep_contents = contents < was.contents ? contents : was.contents;
    uint16_t keep_records = records < was.records ? records : was.records;
    memcpy(contents_of(e), contents_of(&was), keep_contents * sizeof(struct directory_content));
    memcpy(records_of(e), records_of(&was), keep_records * sizeof(struct record));
    memcpy(records_of(e) + records, text_of(&was), e->len);
    d->block_bytes += block_cost(block_size(e)) - block_cost(block_size(&was));
    free(was.block);
}

/* ---- hosts ---- */

static bool host_fold(const char *name, char *out, size_t *len)
{
    size_t n = 0;
    for (; name[n]; n++) {
        if (n == DIRECTORY_HOST_MAX)
            return false;
        out[n] = name[n] >= 'A' && name[n] <= 'Z' ? (char)(name[n] + 32) : name[n];
    }
    out[n] = 0;
    *len = n;
    return true;
}

const struct host *host_find(const struct directory *d, const char *name)
{
    char folded[DIRECTORY_HOST_MAX + 1];
    size_t len;
    return host_fold(name, folded, &len) ? map_get(&d->host_map, folded, len) : NULL;
}

static struct host *host_make(struct directory *d, const char *name)
{
    char folded[DIRECTORY_HOST_MAX + 1];
    size_t len;
    uint32_t id = d->host_hint;
    if (!host_fold(name, folded, &len))
        return NULL;
    struct host *h = map_get(&d->host_map, folded, len);
    if (h)
        return h;
    if (d->host_count < d->host_limit) {
        while (d->hosts[id])
            id = (id + 1) % d->host_limit;
    } else {
        id = d->host_limit;
        d->host_limit = d->host_limit ? d->host_limit * 2 : 16;
        d->hosts = mem_realloc(d->hosts, d->host_limit * sizeof *d->hosts);
        memset(d->hosts + id, 0, (d->host_limit - id) * sizeof *d->hosts);
    }
    h = mem_alloc(sizeof *h);
    h->name = mem_strdup(folded);
    h->id = id;
    d->host_hint = id; /* the next free one is behind it, as a rule */
    d->hosts[id] = h;
    d->host_count++;
    map_put(&d->host_map, h->name, len, h);
    return h;
}

static void host_drop(struct directory *d, struct host *h)
{
    if (h->entries || h->id == HOST_ANY)
        return;
    map_del(&d->host_map, h->name, strlen(h->name));
    d->hosts[h->id] = NULL;
    d->host_count--;
    free(h->name);
    free(h);
}

/* ---- index ---- */

static uint32_t key_hash(const struct directory *d, uint32_t host, enum directory_kind kind, const char *text, size_t len)
{
    uint64_t seed = d->seed ^ (((uint64_t)host << 2 | kind) * 0x9e3779b97f4a7c15);
    return (uint32_t)hash_bytes(text, len, seed);
}

static uint32_t index_word(uint32_t id, uint32_t hash)
{
    return (hash & ~ID_MASK) | (id + 1);
}

static uint32_t index_id(uint32_t word)
{
    return (word & ID_MASK) - 1;
}

static bool entry_is(const struct entry *e, uint32_t hash, uint32_t host, enum directory_kind kind, const char *text,
                     size_t len)
{
    return e->hash == hash && e->host == host && e->kind == kind && e->len == len && memcmp(text_of(e), text, len) == 0;
}

uint32_t store_find(const struct directory *d, uint32_t host, enum directory_kind kind, const char *text, size_t len)
{
    uint32_t hash = key_hash(d, host, kind, text, len), mask = d->index_size - 1, word;
    for (uint32_t i = hash & mask; (word = d->index[i]); i = (i + 1) & mask)
        if ((word & ~ID_MASK) == (hash & ~ID_MASK) && entry_is(entry_at(d, index_id(word)), hash, host, kind, text, len))
            return index_id(word);
    return DIRECTORY_NONE;
}

static void index_put(struct directory *d, uint32_t id)
{
    uint32_t hash = entry_at(d, id)->hash, i = hash & (d->index_size - 1);
    while (d->index[i])
        i = (i + 1) & (d->index_size - 1);
    d->index[i] = index_word(id, hash);
}

static void index_grow(struct directory *d)
{
    uint32_t *old = d->index, size = d->index_size;
    d->index_size = size * 2;
    d->index = mem_alloc(d->index_size * sizeof *d->index);
    for (uint32_t i = 0; i < size; i++)
        if (old[i])
            index_put(d, index_id(old[i]));
    free(old);
}

/* Closes the gap: later ones of the run move back where they may (Knuth 6.4, algorithm R). */
static void index_remove(struct directory *d, uint32_t id)
{
    uint32_t mask = d->index_size - 1, gap = entry_at(d, id)->hash & mask;
    while (index_id(d->index[gap]) != id)
        gap = (gap + 1) & mask;
    d->index[gap] = 0;
    for (uint32_t i = (gap + 1) & mask; d->index[i]; i = (i + 1) & mask) {
        uint32_t home = entry_at(d, index_id(d->index[i]))->hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            d->index[gap] = d->index[i];
            d->index[i] = 0;
            gap = i;
        }
    }
}

/* ---- entries ---- */

static uint32_t id_take(struct directory *d)
{
    uint32_t id = d->free_head;
    if (id != DIRECTORY_NONE) {
        d->free_head = entry_at(d, id)->set;
        return id;
    }
    if (d->limit == d->chunk_count * CHUNK) {
        d->chunks = mem_realloc(d->chunks, (d->chunk_count + 1) * sizeof *d->chunks);
        d->chunks[d->chunk_count++] = mem_alloc(sizeof **d->chunks);
    }
    return d->limit++;
}

/* Lookups try only prefixes of depths and suffixes of lengths that there are. */
static void shapes_count(struct directory *d, const struct entry *e, int step)
{
    uint32_t slashes = 0;
    const char *text = text_of(e);
    if (e->kind == DIRECTORY_SUFFIX)
        d->suffixes[e->len] += (uint32_t)step;
    if (e->kind != DIRECTORY_PREFIX)
        return;
    for (uint32_t i = 0; i < e->len; i++)
        slashes += text[i] == '/';
    d->depths[slashes] += (uint32_t)step;
}

int store_make(struct directory *d, const struct directory_key *key, uint32_t *id)
{
    struct host *h = host_make(d, key->host);
    if (!h)
        return PM_ETOOBIG;
    *id = store_find(d, h->id, key->kind, key->text, key->len);
    if (*id != DIRECTORY_NONE)
        return 0;
    if (d->free_head == DIRECTORY_NONE && d->limit >= IDS_MAX) {
        host_drop(d, h);
        return PM_ETOOBIG;
    }
    if ((d->index_used + 1) * 4 > d->index_size * 3)
        index_grow(d);
    *id = id_take(d);
    struct entry *e = entry_at(d, *id);
    *e = (struct entry){.set = SETS_NONE, .host = h->id, .kind = (uint8_t)key->kind, .used = true};
    e->hash = key_hash(d, h->id, key->kind, key->text, key->len);
    e->len = (uint16_t)key->len;
    e->block = mem_alloc(key->len);
    memcpy(e->block, key->text, key->len);
    d->block_bytes += block_cost(key->len);
    d->text_bytes += key->len;
    index_put(d, *id);
    d->index_used++;
    h->entries++;
    h->kinds[key->kind]++;
    shapes_count(d, e, 1);
    return 0;
}

void store_end(struct directory *d, uint32_t id)
{
    struct entry *e = entry_at(d, id);
    struct host *h = d->hosts[e->host];
    struct chunk *c = d->chunks[id / CHUNK];
    shapes_count(d, e, -1);
    index_remove(d, id);
    d->index_used--;
    d->block_bytes -= block_cost(block_size(e));
    d->text_bytes -= e->len;
    free(e->block);
    if (bit_get(c->dirty, id % CHUNK)) {
        bit_set(c->dirty, id % CHUNK, false);
        c->dirty_count--;
    }
    h->entries--;
    h->kinds[e->kind]--;
    host_drop(d, h);
    *e = (struct entry){.set = d->free_head};
    d->free_head = id;
}

/* ---- records ---- */

/* Where the record is, or where it would stand. */
static uint32_t record_place(const struct entry *e, uint16_t node, bool learned)
{
    uint32_t low = 0, high = e->records, want = (uint32_t)node << 1 | learned;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        const struct record *r = &records_of(e)[mid];
        if (((uint32_t)r->node << 1 | r->learned) < want)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct record *record_find(const struct entry *e, uint16_t node, bool learned)
{
    uint32_t i = record_place(e, node, learned);
    if (i == e->records || records_of(e)[i].node != node || records_of(e)[i].learned != learned)
        return NULL;
    return &records_of(e)[i];
}

struct record *record_add(struct directory *d, struct entry *e, uint16_t node, bool learned)
{
    uint32_t i = record_place(e, node, learned);
    block_resize(d, e, e->contents, e->records + 1);
    struct record *r = &records_of(e)[i];
    memmove(r + 1, r, (e->records - 1 - i) * sizeof *r);
    *r = (struct record){.node = node & 0xfff, .learned = learned, .value = NO_CONTENT};
    e->learned += learned;
    return r;
}

/* Drops a content that no holder has any more. */
static void content_unused(struct directory *d, struct entry *e, uint32_t content)
{
    if (content == NO_CONTENT)
        return;
    for (uint32_t i = 0; i < e->records; i++)
        if (!records_of(e)[i].learned && records_of(e)[i].value == content)
            return;
    for (uint32_t i = 0; i < e->records; i++) {
        struct record *r = &records_of(e)[i];
        if (!r->learned && r->value != NO_CONTENT && r->value > content)
            r->value--;
    }
    struct directory_content *c = contents_of(e) + content;
    memmove(c, c + 1, (e->contents - 1 - content) * sizeof *c);
    struct record *from = records_of(e); /* behind the old number of contents: block_resize looks behind the new */
    uint16_t contents = e->contents - 1;
    memmove(c + (contents - content), from, e->records * sizeof *from + e->len);
    d->block_bytes -= block_cost(block_size(e));
    e->contents = contents;
    e->block = mem_realloc(e->block, block_size(e));
    d->block_bytes += block_cost(block_size(e));
}

void record_remove(struct directory *d, struct entry *e, struct record *r)
{
    uint32_t content = r->learned ? NO_CONTENT : r->value;
    e->learned -= r->learned;
    memmove(r, r + 1, (size_t)((const char *)(records_of(e) + e->records) + e->len - (const char *)(r + 1)));
    d->block_bytes -= block_cost(block_size(e));
    e->records--;
    e->block = mem_realloc(e->block, block_size(e));
    d->block_bytes += block_cost(block_size(e));
    content_unused(d, e, content);
}

void record_content(struct directory *d, struct entry *e, uint16_t node, const struct directory_content *content)
{
    uint32_t was = record_find(e, node, false)->value, now = NO_CONTENT;
    if (content) {
        for (now = 0; now < e->contents; now++)
            if (contents_of(e)[now].size == content->size && contents_of(e)[now].hash == content->hash)
                break;
        if (now == e->contents) {
            block_resize(d, e, e->contents + 1, e->records);
            contents_of(e)[now] = *content;
        }
    }
    if (was == now)
        return;
    record_find(e, node, false)->value = now & 0xffff;
    content_unused(d, e, was);
}

/* ---- the whole ---- */

void store_init(struct directory *d)
{
    d->free_head = DIRECTORY_NONE;
    d->index_size = INDEX_MIN;
    d->index = mem_alloc(INDEX_MIN * sizeof *d->index);
    map_init(&d->host_map);
    host_make(d, "*"); /* the first: HOST_ANY */
}

void store_fini(struct directory *d)
{
    for (uint32_t id = 0; id < d->limit; id++)
        if (entry_at(d, id)->used)
            free(entry_at(d, id)->block);
    for (uint32_t i = 0; i < d->chunk_count; i++)
        free(d->chunks[i]);
    for (uint32_t i = 0; i < d->host_limit; i++) {
        if (d->hosts[i])
            free(d->hosts[i]->name);
        free(d->hosts[i]);
    }
    map_fini(&d->host_map);
    free(d->hosts);
    free(d->chunks);
    free(d->index);
}

size_t store_bytes(const struct directory *d)
{
    size_t hosts = d->host_limit * sizeof *d->hosts + d->host_count * (sizeof(struct host) + 64);
    return d->block_bytes + d->chunk_count * (sizeof(struct chunk) + sizeof(void *)) +
           d->index_size * sizeof *d->index + hosts + d->host_map.cap * sizeof *d->host_map.slots;
}
