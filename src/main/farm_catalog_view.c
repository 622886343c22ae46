/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog as the relay's views, `pointsman catalog` and the metrics page show it. */
#include <stdlib.h>
#include <string.h>
#include "http/path.h"
#include "main/farm_catalog_internal.h"

enum { LOOKED_FOR_SET = 4096 };

/* ---- for the relay's views ---- */

static const struct catalog_front *front_of(const struct farm_catalog *c, const struct farm_service *s,
                                            const struct catalog_service **service)
{
    const struct catalog_service *of = catalog_service_of(c, s->config->name);
    *service = of;
    for (uint32_t i = 0; of && i < of->front_count; i++)
        if (of->fronts[i]->s == s)
            return of->fronts[i];
    return NULL;
}

static uint64_t bits_of(const struct farm_catalog *c, const struct farm_service *s, uint32_t set)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < s->server_count; i++)
        bits |= sets_has(directory_sets(c->d), set, (uint16_t)s->servers[i].node) ? 1ull << i : 0;
    return bits;
}

static void resource_fill(const struct farm_catalog *c, const struct farm_service *s, uint32_t id,
                          const struct directory_entry *e, struct farm_resource *out, char text[FARM_RESOURCE_TEXT])
{
    snprintf(text, FARM_RESOURCE_TEXT, "%.*s", (int)e->key.len, e->key.text);
    *out = (struct farm_resource){.host = s->host_id,
                                  .kind = (enum relay_resource_kind)e->key.kind,
                                  .text = text,
                                  .holders = bits_of(c, s, e->set),
                                  .set = e->set};
    out->front = s->all_front || !catalog_table_has(c->table, id);
    for (uint32_t i = 0; i < s->moved_count && e->key.kind != DIRECTORY_SUFFIX; i++)
        out->front |= strncmp(text, s->moved[i], strlen(s->moved[i])) == 0;
}

static bool moved_fill(const struct farm_service *s, uint32_t i, struct farm_resource *out)
{
    *out = (struct farm_resource){
        .host = s->host_id, .kind = RELAY_RESOURCE_PREFIX, .text = s->moved[i], .set = SETS_NONE, .front = true};
    return true;
}

/* fn NULL: counts only. `most` entries are looked at. */
static uint32_t walk(const struct farm_catalog *c, const struct farm_service *s, uint32_t most, farm_resource_fn *fn,
                     void *ctx)
{
    const struct catalog_service *of;
    struct directory_entry e;
    struct farm_resource r;
    char text[FARM_RESOURCE_TEXT];
    uint32_t at = 0, id, n = 0;
    if (!front_of(c, s, &of))
        return 0;
    for (uint32_t i = 0; i < s->moved_count; i++, n++)
        if (fn && moved_fill(s, i, &r) && !fn(ctx, &r))
            return n;
    const char *host = NULL; /* the directory's own copy: entries of one host have the same */
    while (most-- && directory_next(c->d, &at, &id, &e)) {
        if (e.set == SETS_NONE || (e.key.host != host && strcmp(e.key.host, of->name) != 0))
            continue;
        host = e.key.host;
        n++;
        if (!fn)
            continue;
        resource_fill(c, s, id, &e, &r, text);
        if (!fn(ctx, &r))
            return n;
    }
    return n;
}

void farm_catalog_each(const struct farm_catalog *c, const struct farm_service *s, farm_resource_fn *fn, void *ctx)
{
    (void)walk(c, s, UINT32_MAX, fn, ctx);
}

uint32_t farm_catalog_count(const struct farm_catalog *c, const struct farm_service *s)
{
    return walk(c, s, UINT32_MAX, NULL, NULL);
}

struct of_set {
    const struct farm_set *set;
    char *text;
    uint32_t found;
};

static bool is_of_set(void *ctx, const struct farm_resource *r)
{
    struct of_set *o = ctx;
    if (r->front || r->set != o->set->of)
        return true;
    if (!o->found++)
        (void)farm_resource_text(r, o->text);
    return true;
}

bool farm_catalog_of_set(const struct farm_catalog *c, const struct farm_service *s, const struct farm_set *set,
                         char text[FARM_RESOURCE_TEXT], uint32_t *more)
{
    struct of_set o = {set, text, 0};
    uint32_t all = sets_refs(directory_sets(c->d), set->of);
    (void)walk(c, s, LOOKED_FOR_SET, is_of_set, &o);
    *more = all > o.found ? all - (o.found > 0) : o.found ? o.found - 1 : 0;
    return o.found > 0;
}

static bool found(const struct farm_catalog *c, const struct farm_service *s, const char *host,
                  enum relay_resource_kind kind, const char *text, size_t len, uint64_t hash, struct farm_resource *out,
                  char buffer[FARM_RESOURCE_TEXT])
{
    char whole[DIRECTORY_TEXT_MAX + 1];
    struct directory_entry e;
    if (len > DIRECTORY_TEXT_MAX)
        return false;
    memcpy(whole, text, len);
    whole[len] = 0;
    if (relay_text_hash(whole, false) != hash)
        return false;
    struct directory_key key = catalog_key(host, (enum directory_kind)kind, whole, len);
    uint32_t id = directory_find(c->d, &key);
    if (id != DIRECTORY_NONE && directory_get(c->d, id, &e)) {
        resource_fill(c, s, id, &e, out, buffer);
        return true;
    }
    for (uint32_t i = 0; i < s->moved_count && kind == RELAY_RESOURCE_PREFIX; i++)
        if (strcmp(s->moved[i], whole) == 0)
            return moved_fill(s, i, out);
    return false;
}

bool farm_catalog_resource(const struct farm_catalog *c, const struct farm_service *s, enum relay_resource_kind kind,
                           uint64_t hash, const char *target, struct farm_resource *out, char text[FARM_RESOURCE_TEXT])
{
    const struct catalog_service *of;
    size_t len = strcspn(target, "?"), dot = len;
    if (!front_of(c, s, &of))
        return false;
    if (kind == RELAY_RESOURCE_PATH)
        return found(c, s, of->name, kind, target, len, hash, out, text);
    for (size_t n = len; n && kind == RELAY_RESOURCE_PREFIX; n--)
        if (target[n - 1] == '/' && found(c, s, of->name, kind, target, n, hash, out, text))
            return true;
    while (dot && target[dot - 1] != '.' && target[dot - 1] != '/')
        dot--;
    return kind == RELAY_RESOURCE_SUFFIX && dot && target[dot - 1] == '.' &&
           found(c, s, of->name, kind, target + dot - 1, len - dot + 1, hash, out, text);
}

/* ---- entries ---- */

static json_t *text_json(const char *text, size_t len)
{
    json_t *t = json_stringn(text, len);
    if (t)
        return t;
    struct buf safe = BUF_INIT; /* a file's name need not be UTF-8 */
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] > ' ' && (unsigned char)text[i] < 0x7f)
            buf_putc(&safe, text[i]);
        else
            buf_printf(&safe, "%%%02X", (unsigned char)text[i]);
    t = json_string(buf_str(&safe));
    buf_fini(&safe);
    return t;
}

static json_t *sources_json(const struct directory_holder *h, bool folder)
{
    json_t *list = json_array();
    if (h->sources & DIRECTORY_CONFIGURED)
        json_array_append_new(list, json_string(folder ? "index" : "configured"));
    if (h->sources & DIRECTORY_SCANNED)
        json_array_append_new(list, json_string("scanned"));
    if (h->sources & DIRECTORY_LEARNED)
        json_array_append_new(list, json_string("denied"));
    return list;
}

static const char *name_of(const struct farm_catalog *c, const char *host, uint32_t node)
{
    const struct catalog_service *s = catalog_service_of(c, host);
    return farm_node_name(c->f, s && s->config ? s->servers : NULL, node);
}

static json_t *hash_json(uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    return json_string(text);
}

static bool is_folder(const struct directory_key *k)
{
    return k->kind == DIRECTORY_EXACT && k->len && k->text[k->len - 1] == '/';
}

static json_t *holders_json(const struct farm_catalog *c, uint32_t id, const struct directory_entry *e,
                            uint32_t *copies)
{
    json_t *list = json_array();
    struct directory_holder h;
    uint64_t now = catalog_now(c);
    *copies = 0;
    for (uint32_t i = 0; directory_holder(c->d, id, i, &h); i++) {
        bool denied = h.sources == DIRECTORY_LEARNED;
        json_t *o = json_pack("{s:s, s:o, s:o, s:o}", "node", name_of(c, e->key.host, h.node), "sources",
                              sources_json(&h, is_folder(&e->key)), "size",
                              h.known ? json_integer((json_int_t)h.content.size) : json_null(), "hash",
                              h.known ? hash_json(h.content.hash) : json_null());
        if (denied)
            json_object_set_new(o, "for-ms", json_integer((json_int_t)(h.expires > now ? h.expires - now : 0)));
        json_array_append_new(list, o);
        *copies += !denied;
    }
    return list;
}

static json_t *entry_json(const struct farm_catalog *c, uint32_t id, const struct directory_entry *e)
{
    struct usage_rate rate = usage_rate(c->usage, &e->key, catalog_now(c));
    uint32_t copies;
    json_t *holders = holders_json(c, id, e, &copies);
    return json_pack("{s:s, s:s, s:o, s:i, s:b, s:f, s:f, s:o}", "host", e->key.host, "kind", farm_kinds[e->key.kind],
                     "text", text_json(e->key.text, e->key.len), "copies", (int)copies, "in-table",
                     catalog_table_has(c->table, id), "rate", rate.at_least, "bytes-rate", rate.bytes, "holders",
                     holders);
}

json_t *farm_catalog_holders(const struct farm_catalog *c, const struct farm_service *s, const char *target)
{
    char path[DIRECTORY_TEXT_MAX + 1];
    struct directory_match m;
    struct directory_entry e;
    size_t n = http_path_plain(target, strlen(target), path, sizeof path);
    if (!n || !directory_lookup(c->d, s->config->name, path, n, &m) || !directory_get(c->d, m.entry, &e))
        return json_null();
    json_t *o = entry_json(c, m.entry, &e);
    json_t *denied = json_array();
    uint32_t copies;
    if (m.learned != DIRECTORY_NONE && directory_get(c->d, m.learned, &e)) {
        json_decref(denied);
        denied = holders_json(c, m.learned, &e, &copies);
    }
    json_object_set_new(o, "denied-here", denied);
    return o;
}

/* ---- `pointsman catalog` ---- */

struct listing {
    const struct farm_catalog *c;
    const struct api_catalog *q;
    json_t *list;
    uint32_t total;
};

static bool at_node(const struct farm_catalog *c, uint32_t id, const struct directory_entry *e, const char *node)
{
    struct directory_holder h;
    for (uint32_t i = 0; directory_holder(c->d, id, i, &h); i++)
        if (h.sources != DIRECTORY_LEARNED && strcmp(name_of(c, e->key.host, h.node), node) == 0)
            return true;
    return false;
}

/* A path that ends in a slash stands for all below it. */
static bool wanted(const struct listing *l, uint32_t id, const struct directory_entry *e)
{
    const struct api_catalog *q = l->q;
    size_t n = q->path ? strlen(q->path) : 0;
    if (q->host && strcmp(e->key.host, q->host) != 0)
        return false;
    if (n && q->path[n - 1] == '/' && (e->key.len < n || memcmp(e->key.text, q->path, n) != 0))
        return false;
    if (n && q->path[n - 1] != '/' && (e->key.len != n || memcmp(e->key.text, q->path, n) != 0))
        return false;
    return !q->node || at_node(l->c, id, e, q->node);
}

static void list_entry(struct listing *l, uint32_t id, const struct directory_entry *e)
{
    if (!wanted(l, id, e))
        return;
    l->total++;
    if (json_array_size(l->list) < l->q->limit)
        json_array_append_new(l->list, entry_json(l->c, id, e));
}

static void list_top(struct listing *l)
{
    struct directory_entry e;
    struct usage_item *items = mem_alloc((l->q->top + 1) * sizeof *items);
    size_t n = usage_top(l->c->usage, catalog_now(l->c), items, l->q->top);
    for (size_t i = 0; i < n; i++) {
        uint32_t id = items[i].cut ? DIRECTORY_NONE : directory_find(l->c->d, &items[i].key);
        if (id != DIRECTORY_NONE && directory_get(l->c->d, id, &e)) {
            list_entry(l, id, &e);
        } else if (!l->q->node && !l->q->path && (!l->q->host || strcmp(l->q->host, items[i].key.host) == 0)) {
            l->total++; /* asked for, and nobody is known to have it */
            json_array_append_new(l->list, json_pack("{s:s, s:s, s:o, s:i, s:b, s:f, s:f, s:[]}", "host",
                                                     items[i].key.host, "kind", farm_kinds[items[i].key.kind], "text",
                                                     text_json(items[i].key.text, items[i].key.len), "copies", 0,
                                                     "in-table", 0, "rate", items[i].rate.at_least, "bytes-rate",
                                                     items[i].rate.bytes, "holders"));
        }
    }
    free(items);
}

/* A path that has no entry of its own: what speaks of it. */
static void list_match(struct listing *l)
{
    const struct farm_catalog *c = l->c;
    struct directory_match m;
    struct directory_entry e;
    for (uint32_t i = 0; i < c->service_count; i++) {
        const char *host = c->services[i]->name;
        if ((!l->q->host || strcmp(l->q->host, host) == 0) &&
            directory_lookup(c->d, host, l->q->path, strlen(l->q->path), &m) && directory_get(c->d, m.entry, &e)) {
            json_array_append_new(l->list, entry_json(c, m.entry, &e));
            l->total++;
        }
    }
}

static json_t *summary(const struct farm_catalog *c)
{
    struct directory_figures f;
    struct catalog_table_figures t;
    struct usage_total u = usage_total(c->usage, catalog_now(c));
    directory_figures(c->d, &f);
    catalog_table_figures(c->table, &t);
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:f}", "paths", (int)f.entries[DIRECTORY_EXACT],
                     "prefixes", (int)f.entries[DIRECTORY_PREFIX], "suffixes", (int)f.entries[DIRECTORY_SUFFIX],
                     "denied", (int)f.learned, "sets", (int)f.sets, "in-table", (int)t.in, "left-out", (int)t.out,
                     "table", (int)t.max, "bytes", (json_int_t)f.bytes, "requests-rate", u.requests_rate);
}

static json_t *nodes_json(const struct farm_catalog *c)
{
    static const char *const states[] = {"up", "down", "draining"};
    json_t *list = json_array();
    uint64_t now = catalog_now(c);
    for (uint32_t i = 0; i < c->f->node_count; i++) {
        const struct catalog_node *n = &c->nodes[i];
        struct farm_agent_status s = {.name = ""};
        if (!n->known)
            continue;
        bool agent = c->agents.agents && c->agents.status(c->agents.agents, i, &s);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:o, s:b, s:b, s:b, s:o}", "node", farm_node_name(c->f, NULL, i), "state",
                            states[n->state], "state-ms", (json_int_t)(n->since && now > n->since ? now - n->since : 0),
                            "agent", agent ? json_string(s.name) : json_null(), "connected", agent && s.connected,
                            "reported", n->heard, "writable", agent && s.writable, "free-bytes",
                            agent ? json_integer((json_int_t)s.free_bytes) : json_null()));
    }
    return list;
}

json_t *farm_catalog_view(const struct farm_catalog *c, const struct api_catalog *q)
{
    struct listing l = {c, q, json_array(), 0};
    struct directory_entry e;
    uint32_t at = 0, id;
    struct catalog_service *s = q->host ? catalog_service_of(c, q->host) : NULL;
    struct api_catalog named = *q; /* an alias stands for its service */
    named.host = s ? s->name : q->host;
    l.q = &named;
    if (q->top)
        list_top(&l);
    else if (q->path || q->host || q->node)
        while (directory_next(c->d, &at, &id, &e))
            list_entry(&l, id, &e);
    if (!l.total && q->path && !q->node && !q->top)
        list_match(&l);
    return json_pack("{s:o, s:o, s:i, s:o}", "summary", summary(c), "nodes", nodes_json(c), "total", (int)l.total,
                     "resources", l.list);
}
