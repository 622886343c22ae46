/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog_lab.h"

#include <stdio.h>
#include "../model/fake_registries.h"
#include "base/arena.h"
#include "model/quic_id.h"

struct lab lab;

/* ---- the farm around it ---- */

const char *const farm_kinds[] = {"path", "prefix", "suffix"};

const char *farm_node_name(const struct farm *f, const struct farm_service *s, uint32_t node)
{
    static char name[2];
    name[0] = (char)('a' + node);
    return name;
}

const char *farm_resource_text(const struct farm_resource *r, char out[FARM_RESOURCE_TEXT])
{
    snprintf(out, FARM_RESOURCE_TEXT, "%s%s", r->kind == RELAY_RESOURCE_SUFFIX ? "*" : "", r->text);
    return out;
}

int farm_put_names(struct farm *f, const struct farm_service *s)
{
    lab.hosts_put++;
    return PM_OK;
}

void farm_ring_set(struct farm *f, const struct farm_service *s, struct farm_set *set)
{
    assert_true(set->index < RELAY_SETS_MAX);
    lab.set_holders[set->index] = set->holders;
}

void front_server_state(const struct front *f, const char *service, const char *server, uint8_t *health, uint8_t *word)
{
    *health = lab.server[server[0] - 'a'].health;
    *word = lab.server[server[0] - 'a'].word;
}

/* Against the order of the names, so that whoever mixes slots and places is seen. */
uint32_t front_slot(const struct front *f, const char *service, const char *server)
{
    return 40u - (uint32_t)(server[0] - 'a');
}

void front_sure(const struct front *f, const char *service, bool sure)
{
    lab.sure = strcmp(service, "www.x.test") == 0 ? sure : lab.sure;
}

uint64_t front_scope(const char *service)
{
    return hash_bytes(service, strlen(service), 0);
}

struct front_known *front_known_of(const struct front *f)
{
    return lab.known;
}

size_t front_notes(const struct front *f, front_note_fn *fn, void *ctx, size_t most)
{
    unsigned n = lab.note_count;
    for (unsigned i = 0; i < n; i++)
        fn(ctx, &lab.notes[i]);
    lab.note_count = 0;
    return n;
}

/* ---- the kernel ---- */

static struct kernel_entry *kernel_find(uint32_t host, int kind, const char *text)
{
    for (uint32_t i = 0; i < lab.kernel_count; i++)
        if (lab.kernel[i].host == host && lab.kernel[i].kind == kind && strcmp(lab.kernel[i].text, text) == 0)
            return &lab.kernel[i];
    return NULL;
}

int relay_set_resource(struct relay *r, uint32_t host, enum relay_resource_kind kind, const char *text, uint32_t set,
                       uint32_t flags)
{
    struct kernel_entry *e = kernel_find(host, (int)kind, text);
    assert_non_null(r);
    if (!e && lab.kernel_count == lab.kernel_max)
        return PM_ETOOBIG;
    if (!e) {
        e = &lab.kernel[lab.kernel_count++];
        memset(e, 0, sizeof *e);
        snprintf(e->text, sizeof e->text, "%s", text);
    }
    e->host = host;
    e->kind = (int)kind;
    e->set = set;
    e->flags = flags;
    return PM_OK;
}

int relay_remove_resource(struct relay *r, uint32_t host, enum relay_resource_kind kind, const char *text)
{
    struct kernel_entry *e = kernel_find(host, (int)kind, text);
    assert_non_null(r);
    if (!e)
        return PM_ENOTFOUND;
    *e = lab.kernel[--lab.kernel_count];
    return PM_OK;
}

int relay_resource_hits(const struct relay *r, uint32_t host, enum relay_resource_kind kind, const char *text,
                        uint64_t *hits)
{
    const struct kernel_entry *e = kernel_find(host, (int)kind, text);
    *hits = e ? e->hits : 0;
    return e ? PM_OK : PM_ENOTFOUND;
}

int relay_set_ring(struct relay *r, uint32_t set, const uint32_t *places, uint32_t size)
{
    assert_int_equal(size, 0); /* only to end a set, and one that there is */
    assert_true(lab.f->set_used[set / 8] >> set % 8 & 1);
    return PM_OK;
}

/* ---- agents ---- */

static bool agent_status(const struct farm_agents *a, uint32_t node, struct farm_agent_status *out)
{
    if (node >= NODES || !lab.agent[node].there)
        return false;
    *out = lab.agent[node].status;
    return true;
}

static int agent_order(struct farm_agents *a, uint32_t node, const struct agent_order *o)
{
    if (lab.order_answer)
        return lab.order_answer;
    assert_true(lab.order_count < PM_ARRAY_LEN(lab.order));
    lab.order[lab.order_count].node = node;
    lab.order[lab.order_count].kind = o->kind;
    lab.order[lab.order_count].id = o->id;
    lab.order[lab.order_count].size = o->size;
    lab.order[lab.order_count].hash = o->hash;
    lab.order[lab.order_count].sources = (unsigned)o->source_count;
    memcpy(lab.order[lab.order_count].source, o->sources, o->source_count * sizeof *o->sources);
    snprintf(lab.order[lab.order_count].host, 64, "%s", o->host);
    snprintf(lab.order[lab.order_count++].path, 64, "%s", o->path);
    return PM_OK;
}

void lab_agent(uint32_t node)
{
    lab.agent[node].there = true;
    lab.f->nodes[node].agent = "agent";
}

void lab_agents(const char *nodes)
{
    const struct farm_agent_events *e = farm_catalog_events(lab.c);
    for (; *nodes; nodes++) {
        uint32_t node = (uint32_t)(*nodes - 'a');
        lab_agent(node);
        lab.agent[node].status = (struct farm_agent_status){
            .name = "agent", .connected = true, .scanned = true, .writable = true, .free_bytes = 1000000};
        e->connected(e->ctx, node, true);
        e->begin(e->ctx, node);
        e->end(e->ctx, node);
    }
}

void lab_file(const char *nodes, const char *host, const char *path, uint64_t size, uint64_t hash)
{
    const struct farm_agent_events *e = farm_catalog_events(lab.c);
    for (; *nodes; nodes++)
        e->present(e->ctx, (uint32_t)(*nodes - 'a'), &(struct farm_agent_file){host, path, size, hash});
}

void lab_gone(char node, const char *host, const char *path)
{
    const struct farm_agent_events *e = farm_catalog_events(lab.c);
    e->gone(e->ctx, (uint32_t)(node - 'a'), host, path);
}

/* ---- life ---- */

static struct config *load(const char *servers, const char *front, const char *catalog)
{
    struct buf text = BUF_INIT, problems = BUF_INIT;
    struct config *c = NULL;
    struct conf_diag *diag = conf_diag_new();
    buf_printf(&text,
               "node: {name: lb2, site: here}\ncatalog: {%s}\nzones: {x.test: {ns: [ns.x.test]}}\nsites: {here: {}}\n"
               "services:\n  www.x.test:\n    policy: any\n    aliases: [x.test]\n"
               "    front: {relay: transfer, policy: any%s}\n    sites:\n      here: {vips: 192.0.2.1, servers: {%s}}\n"
               "  other.x.test:\n    policy: any\n    front: {relay: transfer, policy: any}\n    sites:\n"
               "      here: {vips: 192.0.2.2, servers: {a: 10.0.0.1}}\n",
               catalog, front, servers);
    if (config_load_text("t.yaml", buf_str(&text), text.len, &fake_reg, &c, diag) != 0) {
        conf_diag_print(diag, &problems);
        fail_msg("%s", buf_str(&problems));
    }
    conf_diag_free(diag);
    buf_fini(&text);
    return c;
}

/* As farm.c does, with a node for each letter. */
static void plan(struct farm *f, struct arena *a, const struct config *c)
{
    f->plan = (struct farm_plan){.services = arena_alloc(a, (c->services.count + 1) * sizeof *f->plan.services)};
    for (uint32_t i = 0; i < NODES; i++)
        f->nodes[i].wanted = false;
    f->node_count = NODES;
    CONFIG_EACH(struct cfg_service, s, c->services) {
        struct farm_service *to = &f->plan.services[f->plan.service_count++];
        const struct cfg_front *front = s->fronts.items;
        *to = (struct farm_service){.name = s->name,
                                    .config = s,
                                    .front = front,
                                    .at = s->sites.items,
                                    .host_id = farm_catalog_host(lab.c, s->name),
                                    .published = true};
        to->servers = arena_alloc(a, (to->at->servers.count + 1) * sizeof *to->servers);
        CONFIG_EACH(struct cfg_server, v, to->at->servers) {
            uint32_t node = (uint32_t)(v->name[0] - 'a');
            f->nodes[node].wanted = true;
            to->servers[to->server_count++] = (struct farm_server){v, node};
        }
        to->moved = arena_alloc(a, (front->rewrites.count + 1) * sizeof *to->moved);
        CONFIG_EACH(struct cfg_rewrite, r, front->rewrites)
            to->moved[to->moved_count++] = r->match;
    }
}

void lab_reload(const char *servers, const char *front, const char *catalog)
{
    struct arena *old = lab.arena;
    config_free(lab.before);
    lab.before = lab.config;
    lab.config = load(servers, front, catalog);
    lab.arena = arena_new();
    lab.f->config = lab.config;
    plan(lab.f, lab.arena, lab.config);
    farm_catalog_publish(lab.c);
    arena_free(old);
    lab_turns();
}

void lab_open(const char *servers, const char *catalog)
{
    memset(&lab, 0, sizeof lab);
    clock_manual_init(&lab.clock);
    lab.kernel_max = KERNEL_MAX;
    lab.known = front_known_new();
    lab.f = mem_alloc(sizeof *lab.f);
    lab.f->clock = &lab.clock.clock;
    lab.f->next_host = 1;
    lab.f->front = &lab.front;
    lab.f->relay = (struct relay *)&lab;
    for (int i = 0; i < NODES; i++)
        lab.server[i].health = HEALTH_UP;
    lab.c = farm_catalog_new(lab.f);
    farm_catalog_agents(lab.c, &(struct farm_catalog_agents){(struct farm_agents *)&lab, agent_status, agent_order});
    lab_reload(servers, "", catalog);
}

void lab_close(void)
{
    farm_catalog_free(lab.c);
    config_free(lab.before);
    config_free(lab.config);
    arena_free(lab.arena);
    front_known_free(lab.known);
    free(lab.f);
}

void lab_turns(void)
{
    for (int i = 0; farm_catalog_turn(lab.c); i++)
        assert_true(i < 1000);
}

void lab_seconds(unsigned n)
{
    while (n--) {
        clock_manual_advance_ms(&lab.clock, 1000);
        farm_catalog_second(lab.c);
        lab_turns();
    }
}

void lab_note(const char *path, unsigned status, char server, bool again)
{
    lab.notes[lab.note_count++] = (struct front_note){.scope = front_scope("www.x.test"),
                                                      .path = path,
                                                      .len = strlen(path),
                                                      .slot = front_slot(NULL, "", &server),
                                                      .status = (uint16_t)status,
                                                      .again = again};
    lab_turns();
}

/* ---- looking ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct kernel_entry *)a)->text, ((const struct kernel_entry *)b)->text);
}

const char *lab_kernel(void)
{
    static char out[4096];
    char *at = out, *end = out + sizeof out;
    *out = 0;
    qsort(lab.kernel, lab.kernel_count, sizeof lab.kernel[0], by_text);
    const struct farm_service *s = lab.f->plan.services;
    for (uint32_t i = 0; i < lab.kernel_count; i++) {
        const struct kernel_entry *e = &lab.kernel[i];
        if (e->host != 1)
            continue;
        at += snprintf(at, (size_t)(end - at), "%s%s%s ", at == out ? "" : ", ",
                       e->kind == RELAY_RESOURCE_SUFFIX ? "*" : "", e->text);
        for (uint32_t k = 0; k < s->server_count && !(e->flags & RELAY_RESOURCE_FRONT); k++)
            if (lab.set_holders[e->set] >> k & 1)
                at += snprintf(at, (size_t)(end - at), "%s", s->servers[k].config->name);
        at += snprintf(at, (size_t)(end - at), e->flags & RELAY_RESOURCE_FRONT ? "FRONT" : "");
    }
    return out;
}

const char *lab_known(const char *path)
{
    static char out[NODES + 2];
    uint64_t servers;
    char *at = out;
    if (!front_known_find(lab.known, front_scope("www.x.test"), path, strlen(path), &servers))
        return "-";
    for (uint32_t i = 0; i < NODES; i++)
        if (servers >> (40 - i) & 1)
            *at++ = (char)('a' + i);
    *at = 0;
    return out;
}
