/* SPDX-License-Identifier: Apache-2.0 */
#include "main/farm_catalog_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "agent/names.h"
#include "base/log.h"
#include "model/holds.h"

enum { LEARNED_MOST = 16384, HALF_LIFE_MS = 60000, PUBLISH_TURNS = 32 };

uint64_t catalog_now(const struct farm_catalog *c)
{
    return clock_mono_ms(c->f->clock);
}

struct directory_key catalog_key(const char *host, enum directory_kind kind, const char *text, size_t len)
{
    return (struct directory_key){host, kind, text, len};
}

struct catalog_service *catalog_service_of(const struct farm_catalog *c, const char *host)
{
    char lower[DIRECTORY_HOST_MAX + 1];
    size_t n = 0;
    for (; host[n] && n < DIRECTORY_HOST_MAX; n++)
        lower[n] = (char)tolower((unsigned char)host[n]);
    lower[n] = 0;
    return map_get_str(&c->by_name, lower);
}

/* ---- what agents report ---- */

static void on_timer(uv_timer_t *t);

/* What was heard goes where it belongs in a moment, with what comes beside it. */
static void wake(struct farm_catalog *c)
{
    if (c->timer && !c->awake)
        uv_timer_start(c->timer, on_timer, CATALOG_WAKE_MS, 0);
    c->awake = true;
}

/* The key of a file as an agent names it; path is filled. PM_EINVAL: it is none. */
static int file_key(struct farm_catalog *c, const char *host, const char *path, struct buf *text,
                    struct directory_key *key)
{
    int err = agent_name_decode(path, text);
    const struct catalog_service *s = catalog_service_of(c, host);
    *key = catalog_key(s ? s->name : host, DIRECTORY_EXACT, buf_str(text), text->len);
    c->strange_hosts += !s;
    return err ? err : directory_key_check(key);
}

static void on_present(void *ctx, uint32_t node, const struct farm_agent_file *file)
{
    struct farm_catalog *c = ctx;
    struct directory_key key;
    struct buf text = BUF_INIT;
    struct directory_content content = {file->size, file->hash};
    int err = node < FARM_SELF ? file_key(c, file->host, file->path, &text, &key) : PM_ERANGE;
    if (!err)
        err = directory_add(c->d, &key, (uint16_t)node, DIRECTORY_SCANNED, &content);
    if (!err)
        orders_seen(c->orders, (uint16_t)node, key.host, key.text, key.len, true);
    c->files++;
    wake(c);
    c->bad_paths += err != PM_OK;
    buf_fini(&text);
}

static void on_gone(void *ctx, uint32_t node, const char *host, const char *path)
{
    struct farm_catalog *c = ctx;
    struct directory_key key;
    struct buf text = BUF_INIT;
    if (node < FARM_SELF && file_key(c, host, path, &text, &key) == PM_OK) {
        (void)!directory_remove(c->d, &key, (uint16_t)node, DIRECTORY_SCANNED);
        orders_seen(c->orders, (uint16_t)node, key.host, key.text, key.len, false);
        wake(c);
    }
    buf_fini(&text);
}

static void on_begin(void *ctx, uint32_t node)
{
    struct farm_catalog *c = ctx;
    if (node < FARM_SELF)
        (void)!directory_scan_begin(c->d, (uint16_t)node);
}

static void on_end(void *ctx, uint32_t node)
{
    struct farm_catalog *c = ctx;
    if (node >= FARM_SELF || directory_scan_end(c->d, (uint16_t)node) < 0)
        return;
    if (!c->nodes[node].heard)
        log_notice("a node has reported what it holds", "node", farm_node_name(c->f, NULL, node));
    c->nodes[node].heard = true;
    wake(c);
}

static void on_connected(void *ctx, uint32_t node, bool up)
{
    struct farm_catalog *c = ctx;
    if (node >= FARM_SELF)
        return;
    c->nodes[node].connected = up;
    if (up)
        return;
    directory_scan_abort(c->d, (uint16_t)node);
    orders_lost(c->orders, (uint16_t)node, catalog_now(c));
}

static void on_result(void *ctx, uint32_t node, uint64_t order, int err, const char *text)
{
    struct farm_catalog *c = ctx;
    if (orders_result(c->orders, order, err, text, catalog_now(c)) && err)
        log_warn("a node could not do what the catalog asked for", "node", farm_node_name(c->f, NULL, node), "why",
                 text);
}

const struct farm_agent_events *farm_catalog_events(struct farm_catalog *c)
{
    return &c->events;
}

void farm_catalog_agents(struct farm_catalog *c, const struct farm_catalog_agents *a)
{
    c->agents = *a;
}

/* ---- what the front end notes ---- */

static const struct catalog_service *of_scope(const struct farm_catalog *c, uint64_t scope)
{
    for (uint32_t i = 0; i < c->service_count; i++)
        if (c->services[i]->scope == scope && c->services[i]->config)
            return c->services[i];
    return NULL;
}

static uint32_t node_of_slot(const struct farm_catalog *c, const struct catalog_service *s, uint32_t slot)
{
    for (uint32_t i = 0; slot < FRONT_SLOTS && i < s->servers->server_count; i++)
        if (front_slot(c->f->front, s->name, s->servers->servers[i].config->name) == slot)
            return s->servers->servers[i].node;
    return FARM_SELF;
}

static void on_note(void *ctx, const struct front_note *n)
{
    struct farm_catalog *c = ctx;
    const struct catalog_service *s = of_scope(c, n->scope);
    if (!s)
        return;
    uint64_t now = catalog_now(c);
    c->noted++;
    if (!n->again) {
        struct directory_key key = catalog_key(s->name, DIRECTORY_EXACT, n->path, n->len), as = catalog_counts_for(c, &key);
        usage_add(c->usage, &as, 1, n->bytes, now);
    }
    uint32_t node = n->status == 404 ? node_of_slot(c, s, n->slot) : FARM_SELF;
    if (node == FARM_SELF)
        return;
    if (c->denials == CATALOG_DENIALS)
        c->denials_over++;
    else if (directory_learn(c->d, s->name, n->path, n->len, (uint16_t)node, now + c->f->config->catalog.denied_ms) ==
             PM_OK) {
        c->denials++;
        c->denied++;
    }
}

/* ---- folders and their index ---- */

static uint32_t index_names(const struct farm_catalog *c, const char *const **names)
{
    const struct conf_list *list = &c->f->config->catalog.index;
    *names = list->items;
    return list->count;
}

struct directory_key catalog_counts_for(struct farm_catalog *c, const struct directory_key *key)
{
    const char *const *name;
    uint32_t n = key->kind == DIRECTORY_EXACT && key->text[key->len - 1] == '/' ? index_names(c, &name) : 0;
    for (uint32_t i = 0; i < n; i++) {
        int len = snprintf(c->index, sizeof c->index, "%.*s%s", (int)key->len, key->text, name[i]);
        struct directory_key file = catalog_key(key->host, DIRECTORY_EXACT, c->index, (size_t)len);
        if (len > 0 && (size_t)len < sizeof c->index && directory_find(c->d, &file) != DIRECTORY_NONE)
            return file;
    }
    return *key;
}

/* Nodes that have it by what says so of this key, not what follows from another: bits. */
static void holders_of(const struct farm_catalog *c, const struct directory_key *key,
                       uint64_t bits[CATALOG_NODES_MAX / 64])
{
    struct directory_holder h;
    uint32_t id = directory_find(c->d, key);
    for (uint32_t i = 0; id != DIRECTORY_NONE && directory_holder(c->d, id, i, &h); i++)
        if (h.sources != DIRECTORY_LEARNED)
            bits[h.node / 64] |= 1ull << h.node % 64;
}

/* Who has an index has the folder. */
static void folder_follows(struct farm_catalog *c, const char *host, const char *folder)
{
    uint64_t want[CATALOG_NODES_MAX / 64] = {0}, has[CATALOG_NODES_MAX / 64] = {0};
    char path[DIRECTORY_TEXT_MAX + 1];
    const char *const *name;
    uint32_t n = index_names(c, &name);
    struct directory_key key = catalog_key(host, DIRECTORY_EXACT, folder, strlen(folder));
    for (uint32_t i = 0; i < n; i++) {
        int len = snprintf(path, sizeof path, "%s%s", folder, name[i]);
        struct directory_key file = catalog_key(host, DIRECTORY_EXACT, path, (size_t)len);
        if (len > 0 && (size_t)len < sizeof path)
            holders_of(c, &file, want);
    }
    holders_of(c, &key, has);
    for (uint16_t node = 0; node < CATALOG_NODES_MAX; node++) {
        bool wants = want[node / 64] >> node % 64 & 1, is = has[node / 64] >> node % 64 & 1;
        if (wants && !is)
            (void)!directory_add(c->d, &key, node, DIRECTORY_CONFIGURED, NULL);
        else if (is && !wants)
            (void)!directory_remove(c->d, &key, node, DIRECTORY_CONFIGURED);
    }
}

static void folders_follow(struct farm_catalog *c)
{
    for (uint32_t i = 0; i < c->folder_count; i++) {
        folder_follows(c, c->folders[i].host, c->folders[i].path);
        free(c->folders[i].host);
        free(c->folders[i].path);
    }
    c->folder_count = 0;
}

/* ---- what servers are said to hold ---- */

static bool of_service(const struct cfg_service *s, const struct hold *h)
{
    const char *const *alias = s->aliases.items;
    bool is = !h->host || hold_is_of(h, s->name);
    for (uint32_t i = 0; i < s->aliases.count; i++)
        is |= hold_is_of(h, alias[i]);
    return is;
}

static void hold_add(struct farm_catalog *c, struct map *known, struct catalog_service *s, const struct hold *h,
                     uint32_t node)
{
    struct buf id = BUF_INIT;
    buf_printf(&id, "%s %d %u %s", s->name, (int)h->kind, node, h->text);
    uintptr_t at = (uintptr_t)map_get(known, id.data, id.len);
    if (at) {
        c->holds[at - 1].stays = true;
        buf_fini(&id);
        return;
    }
    struct directory_key key = catalog_key(s->name, (enum directory_kind)h->kind, h->text, strlen(h->text));
    int err = directory_add(c->d, &key, (uint16_t)node, DIRECTORY_CONFIGURED, NULL);
    buf_fini(&id);
    if (err) {
        log_warn("what a server holds is too long for the catalog", "service", s->name, "holds", h->text);
        return;
    }
    c->holds = mem_realloc(c->holds, (c->hold_count + 1) * sizeof *c->holds);
    c->holds[c->hold_count++] =
        (struct catalog_hold){s, (enum directory_kind)h->kind, mem_strdup(h->text), (uint16_t)node, true};
}

/* Names of what is there, for finding it: "service kind node text" -> place + 1. */
static char **holds_index(const struct farm_catalog *c, struct map *known)
{
    char **ids = mem_alloc((c->hold_count + 1) * sizeof *ids);
    map_init(known);
    for (uint32_t i = 0; i < c->hold_count; i++) {
        const struct catalog_hold *h = &c->holds[i];
        struct buf id = BUF_INIT;
        buf_printf(&id, "%s %d %u %s", h->service->name, (int)h->kind, h->node, h->text);
        ids[i] = mem_strdup(buf_str(&id));
        map_put(known, ids[i], id.len, (void *)(uintptr_t)(i + 1));
        buf_fini(&id);
    }
    return ids;
}

static void holds_drop(struct farm_catalog *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->hold_count; i++) {
        struct catalog_hold *h = &c->holds[i];
        if (h->stays) {
            c->holds[n++] = *h;
            continue;
        }
        struct directory_key key = catalog_key(h->service->name, h->kind, h->text, strlen(h->text));
        (void)!directory_remove(c->d, &key, h->node, DIRECTORY_CONFIGURED);
        free(h->text);
    }
    c->hold_count = n;
}

static void holds_make(struct farm_catalog *c)
{
    struct map known;
    uint32_t before = c->hold_count;
    char **ids = holds_index(c, &known);
    for (uint32_t i = 0; i < before; i++)
        c->holds[i].stays = false;
    for (uint32_t i = 0; i < c->service_count; i++) {
        struct catalog_service *s = c->services[i];
        for (uint32_t k = 0; s->config && k < s->servers->server_count; k++) {
            const struct farm_server *v = &s->servers->servers[k];
            const char *const *text = v->config->holds.items;
            struct hold h;
            for (uint32_t j = 0; j < v->config->holds.count; j++)
                if (hold_parse(text[j], &h) && of_service(s->config, &h))
                    hold_add(c, &known, s, &h, v->node);
        }
    }
    map_fini(&known);
    for (uint32_t i = 0; i < before; i++)
        free(ids[i]);
    free(ids);
    holds_drop(c);
}

static void nodes_forget(struct farm_catalog *c)
{
    for (uint32_t i = 0; i < FARM_SELF; i++) {
        bool wanted = i < c->f->node_count && c->f->nodes[i].wanted;
        bool other = wanted && !addr_eq(&c->nodes[i].addr, &c->f->nodes[i].addr);
        if (c->nodes[i].known && (!wanted || other)) {
            (void)directory_remove_node(c->d, (uint16_t)i);
            c->nodes[i] = (struct catalog_node){.known = false};
        }
        c->nodes[i].known |= wanted;
        if (wanted)
            c->nodes[i].addr = c->f->nodes[i].addr;
    }
}

/* ---- turns ---- */

bool farm_catalog_turn(struct farm_catalog *c)
{
    struct catalog_table_figures was, is;
    if (!c->f->config)
        return false;
    uint64_t now = catalog_now(c);
    size_t notes = front_notes(c->f->front, on_note, c, CATALOG_NOTES);
    directory_settle(c->d, now);
    c->changes_left = CATALOG_CHANGES;
    bool more = directory_changes(c->d, &catalog_watch, c) != 0;
    if (!more) {
        if (c->again)
            catalog_table_sweep(c->table);
        c->again = false;
        catalog_table_figures(c->table, &was);
        more = catalog_table_turn(c->table, c->d, c->usage, now, CATALOG_SWEEP);
        catalog_table_figures(c->table, &is);
        if (was.sweeping && !is.sweeping)
            catalog_services_tidy(c);
        catalog_defaults(c);
    }
    more |= c->folder_count > 0;
    folders_follow(c);
    more |= catalog_rings(c, CATALOG_RINGS);
    more |= catalog_plan_turn(c);
    return more || notes == CATALOG_NOTES;
}

static void on_timer(uv_timer_t *t)
{
    struct farm_catalog *c = t->data;
    c->awake = false;
    bool more = farm_catalog_turn(c);
    if (c->f->config && c->f->relay)
        catalog_table_read(c->table, c->d, c->usage, catalog_now(c), CATALOG_READS);
    uv_timer_start(t, on_timer, more ? 1 : CATALOG_TURN_MS, 0);
}

void farm_catalog_second(struct farm_catalog *c)
{
    c->denials = 0;
    if (c->f->config)
        catalog_plan_second(c);
}

void farm_catalog_publish(struct farm_catalog *c)
{
    const struct cfg_catalog *cfg = &c->f->config->catalog;
    if (cfg->counters != c->usage_counters) {
        usage_free(c->usage);
        c->usage = usage_new(hash_seed(), cfg->counters, HALF_LIFE_MS, catalog_now(c));
        c->usage_counters = cfg->counters;
    }
    catalog_table_limit(c->table, cfg->table);
    catalog_plan_policy(c);
    catalog_services_make(c);
    nodes_forget(c);
    holds_make(c);
    for (unsigned i = 0; i < PUBLISH_TURNS && farm_catalog_turn(c); i++)
        ;
}

/* ---- life ---- */

uint32_t farm_catalog_host(struct farm_catalog *c, const char *front)
{
    for (uint32_t i = 0; i < c->host_count; i++)
        if (strcmp(c->hosts[i].name, front) == 0)
            return c->hosts[i].id;
    c->hosts = mem_realloc(c->hosts, (c->host_count + 1) * sizeof *c->hosts);
    c->hosts[c->host_count].name = mem_strdup(front);
    c->hosts[c->host_count].id = c->f->next_host++;
    return c->hosts[c->host_count++].id;
}

struct farm_catalog *farm_catalog_new(struct farm *f)
{
    struct farm_catalog *c = mem_alloc(sizeof *c);
    struct catalog_table_calls calls = catalog_calls;
    c->f = f;
    c->events = (struct farm_agent_events){c, on_connected, on_begin, on_present, on_gone, on_end, on_result};
    c->d = directory_new(hash_seed(), LEARNED_MOST);
    calls.ctx = c;
    c->table = catalog_table_new(&calls, RELAY_RESOURCES_MAX, CATALOG_METER);
    map_init(&c->by_name);
    c->started_ms = catalog_now(c);
    catalog_plan_init(c);
    return c;
}

void farm_catalog_start(struct farm_catalog *c, uv_loop_t *loop)
{
    c->timer = mem_alloc(sizeof *c->timer);
    uv_timer_init(loop, c->timer);
    c->timer->data = c;
    uv_timer_start(c->timer, on_timer, CATALOG_TURN_MS, 0);
}

static void timer_gone(uv_handle_t *h)
{
    free(h);
}

void farm_catalog_free(struct farm_catalog *c)
{
    if (!c)
        return;
    if (c->timer) {
        uv_timer_stop(c->timer);
        uv_close((uv_handle_t *)c->timer, timer_gone);
    }
    catalog_plan_fini(c);
    catalog_services_free(c);
    for (uint32_t i = 0; i < c->hold_count; i++)
        free(c->holds[i].text);
    for (uint32_t i = 0; i < c->host_count; i++)
        free(c->hosts[i].name);
    for (uint32_t i = 0; i < c->folder_count; i++) {
        free(c->folders[i].host);
        free(c->folders[i].path);
    }
    free(c->holds);
    free(c->hosts);
    free(c->folders);
    map_fini(&c->by_name);
    catalog_table_free(c->table);
    usage_free(c->usage);
    directory_free(c->d);
    free(c);
}
