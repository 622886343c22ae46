/* SPDX-License-Identifier: Apache-2.0 */
/* Where the directory goes: the kernel's resources and their sets, and what the front end knows. */
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "main/farm_catalog_internal.h"

/* ---- sets ---- */

static uint64_t holders_bits(const struct farm_catalog *c, const struct farm_service *s, uint32_t of)
{
    const struct sets *sets = directory_sets(c->d);
    uint64_t bits = 0;
    for (uint32_t i = 0; i < s->server_count; i++)
        bits |= sets_has(sets, of, (uint16_t)s->servers[i].node) ? 1ull << i : 0;
    return bits;
}

static struct farm_set *set_place(struct catalog_front *t)
{
    for (uint32_t i = 0; i < t->set_count; i++)
        if (t->sets[i].index == RELAY_SETS_MAX)
            return &t->sets[i];
    t->sets = mem_realloc(t->sets, (t->set_count + 1) * sizeof *t->sets);
    t->sets[t->set_count] = (struct farm_set){.index = RELAY_SETS_MAX};
    t->s->sets = t->sets;
    t->s->set_count = t->set_count + 1;
    return &t->sets[t->set_count++];
}

/* The kernel's set for one of the directory's, with its ring; NULL: there is no place for another. */
static const struct farm_set *set_for(struct farm_catalog *c, struct catalog_front *t, uint32_t of)
{
    if (of < t->of_count && t->of[of])
        return &t->sets[t->of[of] - 1];
    uint32_t index = farm_set_take(c->f, FARM_SETS_SPARE);
    if (index == RELAY_SETS_MAX)
        return NULL;
    struct farm_set *set = set_place(t);
    *set = (struct farm_set){.holders = holders_bits(c, t->s, of), .index = index, .of = of};
    farm_ring_set(c->f, t->s, set);
    if (of >= t->of_count) {
        uint32_t count = of + 1 < 2 * t->of_count ? 2 * t->of_count : of + 64;
        t->of = mem_realloc(t->of, count * sizeof *t->of);
        memset(t->of + t->of_count, 0, (count - t->of_count) * sizeof *t->of);
        t->of_count = count;
    }
    t->of[of] = (uint32_t)(set - t->sets) + 1;
    return set;
}

static void set_end(struct farm_catalog *c, struct catalog_front *t, struct farm_set *set)
{
    if (c->f->relay)
        (void)!relay_set_ring(c->f->relay, set->index, NULL, 0);
    farm_set_give(c->f, set->index);
    t->of[set->of] = 0;
    *set = (struct farm_set){.index = RELAY_SETS_MAX};
}

static int on_set_new(void *ctx, uint32_t set, const uint16_t *nodes, size_t count)
{
    return 0; /* made when an entry of it is put */
}

static int on_set_gone(void *ctx, uint32_t of)
{
    struct farm_catalog *c = ctx;
    for (uint32_t i = 0; i < c->service_count; i++)
        for (uint32_t k = 0; k < c->services[i]->front_count; k++) {
            struct catalog_front *t = c->services[i]->fronts[k];
            if (of < t->of_count && t->of[of])
                set_end(c, t, &t->sets[t->of[of] - 1]);
        }
    return 0;
}

bool catalog_rings(struct farm_catalog *c, uint32_t budget)
{
    uint32_t number = 0;
    for (uint32_t i = 0; c->rings_due && c->f->relay && i < c->service_count; i++)
        for (uint32_t k = 0; k < c->services[i]->front_count; k++, number++) {
            struct catalog_front *t = c->services[i]->fronts[k];
            if (number != c->ring_front)
                continue;
            for (; t->s && c->ring_at < t->set_count; c->ring_at++) {
                if (!budget--)
                    return true;
                if (t->sets[c->ring_at].index < RELAY_SETS_MAX)
                    farm_ring_set(c->f, t->s, &t->sets[c->ring_at]);
            }
            c->ring_front++;
            c->ring_at = 0;
        }
    c->rings_due = c->rings_again;
    c->rings_again = false;
    c->ring_front = c->ring_at = 0;
    return c->rings_due;
}

void farm_catalog_rings(struct farm_catalog *c)
{
    c->rings_again = c->rings_due; /* a round that is under way goes on from its place, and once more around */
    c->rings_due = true;
    (void)catalog_rings(c, CATALOG_RINGS);
}

/* ---- entries ---- */

bool catalog_plain(const char *text, size_t len)
{
    unsigned slashes = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char b = (unsigned char)text[i];
        if (b < 0x21 || b > 0x7e || b == '%' || b == '#' || b == '?' || b == '\\')
            return false;
        if (b == '/' && (++slashes > RELAY_PREFIXES_MAX || (i + 1 < len && (text[i + 1] == '/' || text[i + 1] == '.'))))
            return false;
    }
    return len > 0;
}

static void text_of(const struct directory_entry *e, char out[DIRECTORY_TEXT_MAX + 1])
{
    memcpy(out, e->key.text, e->key.len);
    out[e->key.len] = 0;
}

static bool has_moved(const struct farm_service *s, enum directory_kind kind, const char *text)
{
    bool moved = s->all_front;
    for (uint32_t i = 0; i < s->moved_count && kind != DIRECTORY_SUFFIX; i++)
        moved |= strncmp(text, s->moved[i], strlen(s->moved[i])) == 0;
    return moved;
}

static void unset(const struct farm_catalog *c, const struct catalog_service *s, const struct directory_entry *e)
{
    char text[DIRECTORY_TEXT_MAX + 1];
    text_of(e, text);
    for (uint32_t i = 0; i < s->front_count; i++)
        (void)!relay_remove_resource(c->f->relay, s->fronts[i]->host, (enum relay_resource_kind)e->key.kind, text);
}

/* What is about many paths would hide those that are left out. */
static uint32_t flags_of(const struct catalog_service *s, const struct catalog_front *t,
                         const struct directory_entry *e, const char *text)
{
    bool hides = e->key.kind != DIRECTORY_EXACT && s->left;
    return hides || has_moved(t->s, e->key.kind, text) ? RELAY_RESOURCE_FRONT : 0;
}

static int put(void *ctx, uint32_t id, const struct directory_entry *e)
{
    struct farm_catalog *c = ctx;
    const struct catalog_service *s = catalog_service_of(c, e->key.host);
    char text[DIRECTORY_TEXT_MAX + 1];
    int n = 0, err = PM_OK;
    if (!c->f->relay || !s || !catalog_plain(e->key.text, e->key.len))
        return 0;
    text_of(e, text);
    for (uint32_t i = 0; i < s->front_count && !err; i++) {
        struct catalog_front *t = s->fronts[i];
        enum relay_resource_kind kind = (enum relay_resource_kind)e->key.kind;
        if (!t->s) {
            (void)!relay_remove_resource(c->f->relay, t->host, kind, text);
            continue;
        }
        const struct farm_set *set = set_for(c, t, e->set);
        err =
            set ? relay_set_resource(c->f->relay, t->host, kind, text, set->index, flags_of(s, t, e, text)) : PM_ESPACE;
        n++;
    }
    if (err)
        unset(c, s, e);
    return err ? err : n;
}

static void take(void *ctx, uint32_t id, const struct directory_entry *e)
{
    struct farm_catalog *c = ctx;
    const struct catalog_service *s = catalog_service_of(c, e->key.host);
    if (c->f->relay && s)
        unset(c, s, e);
}

static bool hits(void *ctx, uint32_t id, const struct directory_entry *e, uint64_t *out, struct directory_key *as)
{
    struct farm_catalog *c = ctx;
    const struct catalog_service *s = catalog_service_of(c, e->key.host);
    char text[DIRECTORY_TEXT_MAX + 1];
    bool any = false;
    *out = 0;
    text_of(e, text);
    for (uint32_t i = 0; s && i < s->front_count; i++) {
        uint64_t n;
        if (relay_resource_hits(c->f->relay, s->fronts[i]->host, (enum relay_resource_kind)e->key.kind, text, &n) !=
            PM_OK)
            continue;
        *out += n;
        any = true;
    }
    *as = catalog_counts_for(c, &e->key);
    return any;
}

static void left(void *ctx, const struct directory_entry *e, bool out)
{
    struct farm_catalog *c = ctx;
    struct catalog_service *s = catalog_service_of(c, e->key.host);
    if (s)
        s->left += out ? 1 : (uint32_t)-1;
}

static void folder_due(struct farm_catalog *c, const struct directory_entry *e)
{
    const struct conf_list *names = &c->f->config->catalog.index;
    size_t slash = e->key.len;
    while (slash && e->key.text[slash - 1] != '/')
        slash--;
    bool due = slash == e->key.len;
    for (uint32_t i = 0; i < names->count && !due; i++) {
        const char *name = ((const char *const *)names->items)[i];
        due = strlen(name) == e->key.len - slash && memcmp(name, e->key.text + slash, e->key.len - slash) == 0;
    }
    if (!due)
        return;
    if (c->folder_count == c->folder_cap) {
        c->folder_cap = c->folder_cap ? 2 * c->folder_cap : 64;
        c->folders = mem_realloc(c->folders, c->folder_cap * sizeof *c->folders);
    }
    char *path = mem_alloc(slash + 1);
    memcpy(path, e->key.text, slash);
    c->folders[c->folder_count].host = mem_strdup(e->key.host);
    c->folders[c->folder_count++].path = path;
}

/* For the front end, which knows all. */
static void seen(void *ctx, uint32_t id, const struct directory_entry *e)
{
    struct farm_catalog *c = ctx;
    const struct catalog_service *s = catalog_service_of(c, e->key.host);
    struct front_known *k = front_known_of(c->f->front);
    uint64_t bits = 0;
    if (e->key.kind == DIRECTORY_EXACT)
        folder_due(c, e);
    if (!s || !k)
        return;
    if (e->set == SETS_NONE || !s->config) {
        front_known_remove(k, s->scope, (uint8_t)e->key.kind, e->key.text, e->key.len);
        return;
    }
    for (uint32_t i = 0; i < s->servers->server_count; i++) {
        const struct farm_server *v = &s->servers->servers[i];
        uint32_t slot = front_slot(c->f->front, s->name, v->config->name);
        if (slot < FRONT_SLOTS && sets_has(directory_sets(c->d), e->set, (uint16_t)v->node))
            bits |= 1ull << slot;
    }
    front_known_set(k, s->scope, (uint8_t)e->key.kind, e->key.text, e->key.len, bits);
}

const struct catalog_table_calls catalog_calls = {.put = put, .take = take, .hits = hits, .left = left, .seen = seen};

static int on_entry(void *ctx, uint32_t id, const struct directory_entry *e)
{
    struct farm_catalog *c = ctx;
    if (!c->changes_left--)
        return PM_EAGAIN;
    catalog_table_change(c->table, id, e);
    return 0;
}

const struct directory_watch catalog_watch = {on_set_new, on_entry, on_set_gone};

/* ---- services and fronts ---- */

static struct catalog_service *service_make(struct farm_catalog *c, const struct cfg_service *config)
{
    for (uint32_t i = 0; i < c->service_count; i++)
        if (strcmp(c->services[i]->name, config->name) == 0)
            return c->services[i];
    struct catalog_service *s = mem_alloc(sizeof *s);
    s->name = mem_strdup(config->name);
    s->scope = front_scope(config->name);
    c->services = mem_realloc(c->services, (c->service_count + 1) * sizeof *c->services);
    c->services[c->service_count++] = s;
    return s;
}

static struct catalog_front *transfer_make(struct farm_catalog *c, struct catalog_service *s,
                                           const struct farm_service *of)
{
    for (uint32_t i = 0; i < s->front_count; i++)
        if (strcmp(s->fronts[i]->name, of->name) == 0)
            return s->fronts[i];
    struct catalog_front *t = mem_alloc(sizeof *t);
    t->name = mem_strdup(of->name);
    t->host = of->host_id;
    s->fronts = mem_realloc(s->fronts, (s->front_count + 1) * sizeof *s->fronts);
    s->fronts[s->front_count++] = t;
    return t;
}

static void moved_free(struct catalog_front *t)
{
    for (uint32_t i = 0; i < t->moved_count; i++)
        free(t->moved[i]);
    free(t->moved);
    t->moved = NULL;
    t->moved_count = 0;
}

static bool listed(const char *const *list, uint32_t n, const char *text)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(list[i], text) == 0)
            return true;
    return false;
}

/* Prefixes that a rewrite is about are in the table whatever the directory says. */
static void moved_make(struct farm_catalog *c, struct catalog_front *t)
{
    const struct farm_service *s = t->s;
    uint32_t n = s ? s->moved_count : 0;
    for (uint32_t i = 0; i < t->moved_count && c->f->relay; i++)
        if (!listed(s ? s->moved : NULL, n, t->moved[i]))
            (void)!relay_remove_resource(c->f->relay, t->host, RELAY_RESOURCE_PREFIX, t->moved[i]);
    moved_free(t);
    t->moved = mem_alloc((n + 1) * sizeof *t->moved);
    for (; t->moved_count < n; t->moved_count++) {
        const char *text = s->moved[t->moved_count];
        t->moved[t->moved_count] = mem_strdup(text);
        int err = c->f->relay
                      ? relay_set_resource(c->f->relay, t->host, RELAY_RESOURCE_PREFIX, text, 0, RELAY_RESOURCE_FRONT)
                      : PM_OK;
        if (err)
            log_error("the relay does not take what has moved", "service", t->name, "path", text, "why", err_text(err));
    }
}

/* All that what is said of entries depends on, besides themselves. */
static uint64_t front_stamp(const struct farm_service *s)
{
    uint64_t stamp = hash_bytes(&s->all_front, sizeof s->all_front, 1);
    for (uint32_t i = 0; i < s->moved_count; i++)
        stamp = hash_bytes(s->moved[i], strlen(s->moved[i]) + 1, stamp);
    return stamp;
}

static uint64_t servers_stamp(const struct farm_catalog *c, const struct catalog_service *s)
{
    uint64_t stamp = 1;
    for (uint32_t i = 0; i < s->servers->server_count; i++) {
        const struct farm_server *v = &s->servers->servers[i];
        uint32_t what[2] = {v->node, front_slot(c->f->front, s->name, v->config->name)};
        stamp = hash_bytes(what, sizeof what, stamp);
    }
    return stamp;
}

static void transfer_renew(struct farm_catalog *c, struct catalog_front *t, struct farm_service *s)
{
    t->s = s;
    s->sets = t->sets;
    s->set_count = t->set_count;
    for (uint32_t i = 0; i < t->set_count; i++)
        if (t->sets[i].index < RELAY_SETS_MAX)
            t->sets[i].holders = holders_bits(c, s, t->sets[i].of);
    moved_make(c, t);
    uint64_t stamp = front_stamp(s);
    c->again |= stamp != t->stamp;
    t->stamp = stamp;
}

static void names_make(struct farm_catalog *c)
{
    map_fini(&c->by_name);
    map_init(&c->by_name);
    for (uint32_t i = 0; i < c->service_count; i++) {
        const struct cfg_service *config = c->services[i]->config;
        for (uint32_t k = 0; config && k < config->aliases.count; k++)
            map_put_str(&c->by_name, ((const char *const *)config->aliases.items)[k], c->services[i]);
    }
    for (uint32_t i = 0; i < c->service_count; i++)
        map_put_str(&c->by_name, c->services[i]->name, c->services[i]);
}

static void services_gone(struct farm_catalog *c)
{
    for (uint32_t i = 0; i < c->service_count; i++) {
        struct catalog_service *s = c->services[i];
        c->again |= !s->config && s->stamp;
        s->stamp = s->config ? s->stamp : 0;
        for (uint32_t k = 0; k < s->front_count; k++)
            if (!s->fronts[k]->s) {
                c->again |= s->fronts[k]->stamp != 0;
                s->fronts[k]->stamp = 0;
                moved_make(c, s->fronts[k]);
            }
    }
}

void catalog_services_make(struct farm_catalog *c)
{
    struct farm_plan *p = &c->f->plan;
    for (uint32_t i = 0; i < c->service_count; i++) {
        c->services[i]->config = NULL;
        c->services[i]->servers = NULL;
        for (uint32_t k = 0; k < c->services[i]->front_count; k++)
            c->services[i]->fronts[k]->s = NULL;
    }
    for (uint32_t i = 0; i < p->service_count; i++) {
        struct farm_service *s = &p->services[i];
        if (s->tls)
            continue; /* its resources are the plan's */
        struct catalog_service *to = service_make(c, s->config);
        if (!to->config) {
            to->config = s->config;
            to->servers = s;
            uint64_t stamp = servers_stamp(c, to);
            c->again |= stamp != to->stamp;
            to->stamp = stamp;
        }
        if (s->front->relay == CFG_RELAY_TRANSFER)
            transfer_renew(c, transfer_make(c, to, s), s);
    }
    names_make(c);
    services_gone(c);
    farm_catalog_rings(c);
}

static void transfer_free(struct farm_catalog *c, struct catalog_front *t)
{
    for (uint32_t i = 0; i < t->set_count && c->f->relay; i++)
        if (t->sets[i].index < RELAY_SETS_MAX)
            set_end(c, t, &t->sets[i]);
    moved_free(t);
    free(t->sets);
    free(t->of);
    free(t->name);
    free(t);
}

static void service_free(struct farm_catalog *c, struct catalog_service *s, bool all)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->front_count; i++) {
        if (all || !s->fronts[i]->s)
            transfer_free(c, s->fronts[i]);
        else
            s->fronts[n++] = s->fronts[i];
    }
    s->front_count = n;
    if (!all)
        return;
    free(s->fronts);
    free(s->name);
    free(s);
}

void catalog_services_tidy(struct farm_catalog *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->service_count; i++) {
        struct catalog_service *s = c->services[i];
        bool gone = !s->config && !s->left;
        service_free(c, s, gone);
        if (!gone)
            c->services[n++] = s;
    }
    c->service_count = n;
    names_make(c);
}

void catalog_services_free(struct farm_catalog *c)
{
    struct relay *relay = c->f->relay;
    c->f->relay = NULL; /* the tables may go on without us */
    for (uint32_t i = 0; i < c->service_count; i++)
        service_free(c, c->services[i], true);
    c->f->relay = relay;
    free(c->services);
}

/* ---- defaults ---- */

static bool all_reported(const struct farm_catalog *c, const struct catalog_service *s)
{
    if (!c->agents.agents || catalog_now(c) - c->started_ms >= CATALOG_SETTLE_MS)
        return true;
    for (uint32_t i = 0; i < s->servers->server_count; i++) {
        uint32_t node = s->servers->servers[i].node;
        if (!c->nodes[node].heard && c->f->nodes[node].agent)
            return false;
    }
    return true;
}

/* Entries about many paths again, because something is left out, or nothing is any more. */
static void many_again(struct farm_catalog *c, const struct catalog_service *s)
{
    struct directory_entry e;
    for (uint32_t i = 0; i < c->hold_count; i++) {
        const struct catalog_hold *h = &c->holds[i];
        struct directory_key key = catalog_key(s->name, h->kind, h->text, strlen(h->text));
        uint32_t id = h->service == s && h->kind != DIRECTORY_EXACT ? directory_find(c->d, &key) : DIRECTORY_NONE;
        if (id != DIRECTORY_NONE && directory_get(c->d, id, &e) && e.set != SETS_NONE)
            catalog_table_change(c->table, id, &e);
    }
}

void catalog_defaults(struct farm_catalog *c)
{
    for (uint32_t i = 0; i < c->service_count; i++) {
        struct catalog_service *s = c->services[i];
        bool was_left = s->was_left, sure = s->config && all_reported(c, s);
        if (sure != s->sure && s->config)
            front_sure(c->f->front, s->name, sure);
        s->sure = sure;
        if (!s->config || !c->f->relay)
            continue;
        s->was_left = s->left > 0;
        if (was_left != s->was_left)
            many_again(c, s);
        bool fronted = s->left || !sure;
        for (uint32_t k = 0; k < s->front_count; k++) {
            struct catalog_front *t = s->fronts[k];
            if (!t->s || t->s->default_front == fronted)
                continue;
            t->s->default_front = fronted;
            int err = t->s->published ? farm_put_names(c->f, t->s) : PM_OK;
            if (err)
                log_error("the relay does not take a host", "service", t->name, "why", err_text(err));
        }
    }
}
