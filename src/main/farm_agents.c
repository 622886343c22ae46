/* SPDX-License-Identifier: Apache-2.0 */
#include "main/farm_agents_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/log.h"
#include "base/map.h"
#include "main/front_internal.h"
#include "main/sockets.h"

enum { STALE_MS = 10000, ORDER_BITS = 56 };

/* ---- who they are ---- */

static struct farm_agent *of_node(const struct farm_agents *a, uint32_t node)
{
    for (unsigned i = 0; a && i < a->count; i++)
        if (a->agent[i].node == node)
            return &a->agent[i];
    return NULL;
}

static struct farm_agent *of_name(const struct farm_agents *a, const char *name)
{
    for (unsigned i = 0; i < a->count; i++)
        if (strcmp(a->agent[i].name, name) == 0)
            return &a->agent[i];
    return NULL;
}

/* ---- what they are told ---- */

static bool tell(struct farm_agent *g, const struct mesh_writer *w)
{
    if (!g->link || g->behind || w->full)
        return false;
    int err = mesh_link_send(g->link, w->p, w->len);
    g->behind |= err && err != PM_EAGAIN;
    return !err;
}

static void put_places(const struct farm *f, uint32_t node, struct mesh_writer *w, unsigned *count)
{
    *count = 0;
    for (uint32_t i = 0; i < f->plan.service_count; i++) {
        const struct farm_service *s = &f->plan.services[i];
        bool has = false;
        for (uint32_t k = 0; k < s->server_count; k++)
            has |= s->servers[k].node == node;
        uint32_t n;
        const uint32_t *ports = front_ports(s->front, &n);
        bool plain = s->front->relay != CFG_RELAY_TRANSFER && f->nodes[node].now.mode == RELAY_NODE_HOPS;
        CONFIG_EACH(struct cfg_vip, vip, s->at->vips)
            for (uint32_t k = 0; has && k < n; k++) {
                agent_put_place(w, &(struct agent_place_word){vip->addr, (uint16_t)ports[k], plain ? AGENT_PLACE_PLAIN : 0});
                (*count)++;
            }
    }
}

/* Outer addresses that we send from: to this node, and what may be on other ways to it. */
static unsigned put_sources(const struct farm *f, struct mesh_writer *w)
{
    struct addr seen[16];
    unsigned n = 0;
    for (uint32_t i = 0; i < f->node_count; i++) {
        struct addr a = relay_addr_of(f->nodes[i].now.source);
        bool there = !f->nodes[i].reached || n == PM_ARRAY_LEN(seen);
        for (unsigned k = 0; k < n; k++)
            there |= addr_eq(&seen[k], &a);
        if (there)
            continue;
        seen[n++] = a;
        mesh_put_addr(w, &a);
    }
    return n;
}

/* If it is not what the agent was told last. */
static void tell_task(struct farm_agent *g)
{
    const struct farm *f = g->all->farm;
    uint8_t *space = mem_alloc(3 * MESH_MESSAGE_MAX);
    struct mesh_writer sources = mesh_writer(space, 1024), places = mesh_writer(space + 1024, MESH_MESSAGE_MAX - 2048),
                       w = mesh_writer(space + MESH_MESSAGE_MAX, MESH_MESSAGE_MAX);
    struct agent_task_word t = {.secret = f->tag_secret, .mtu = f->config->relay.mtu};
    t.sources = put_sources(f, &sources);
    put_places(f, g->node, &places, &t.places);
    agent_start(&w, AGENT_TASK);
    agent_put_task(&w, &t);
    mesh_put_bytes(&w, sources.p, sources.len);
    mesh_put_bytes(&w, places.p, places.len);
    uint64_t stamp = hash_bytes(w.p, w.len, 1);
    if (places.full || w.full)
        log_error("a node has too many addresses for its agent", "agent", g->name);
    else if (stamp != g->told && tell(g, &w))
        g->told = stamp;
    free(space);
}

/* ---- what they say ---- */

static void text_of(struct mesh_str s, char *out, size_t size)
{
    snprintf(out, size, "%.*s", MESH_STR_ARG(s));
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
}

static int heard_hello(struct farm_agent *g, struct mesh_reader *r)
{
    struct agent_hello_word h;
    int err = agent_get_hello(r, &h);
    if (err)
        return err;
    g->hello = true;
    g->adopts = h.flags & AGENT_ADOPTS;
    g->writable = h.flags & AGENT_WRITABLE;
    text_of(h.software, g->software, sizeof g->software);
    text_of(h.why, g->why, sizeof g->why);
    if (!g->adopts)
        log_warn("a node takes no connections over", "agent", g->name, "why", g->why);
    farm_update(g->all->farm);
    return PM_OK;
}

static int heard_report(struct farm_agent *g, struct mesh_reader *r)
{
    struct agent_report_word p;
    int err = agent_get_report(r, &p);
    if (err)
        return err;
    struct farm *f = g->all->farm;
    g->load_ms = clock_mono_ms(f->clock);
    g->load = (struct agent_load){.known = p.known,
                                  .connections = p.connections,
                                  .waiting = p.waiting,
                                  .waiting_max = p.waiting_max,
                                  .unread = p.unread,
                                  .pending = p.pending,
                                  .listeners = p.listeners,
                                  .ram_free = p.ram_free,
                                  .ram_total = p.ram_total,
                                  .swap_free = p.swap_free,
                                  .swap_total = p.swap_total,
                                  .cpu_idle = p.idle_permille / 1000.0,
                                  .running = p.running,
                                  .blocked = p.blocked,
                                  .processors = p.processors,
                                  .load1 = p.load_percent / 100.0};
    g->room = p.room;
    g->counter_count = p.counter_count < NODE_COUNTER_COUNT ? p.counter_count : NODE_COUNTER_COUNT;
    memcpy(g->counter, p.counter, sizeof g->counter);
    float load = roundf(farm_agent_full(&g->load) * 20) / 20; /* in steps, so that rings rest */
    if (f->nodes[g->node].load != load) {
        f->nodes[g->node].load = load;
        farm_update(f);
    }
    return PM_OK;
}

static int heard_findings(struct farm_agent *g, struct mesh_reader *r)
{
    struct agent_finding_word w;
    int err;
    g->finding_count = 0;
    while ((err = agent_get_finding(r, &w)) == PM_OK && g->finding_count < AGENT_FINDINGS_SHOWN) {
        struct farm_agent_finding *to = &g->finding[g->finding_count++];
        *to = (struct farm_agent_finding){.breaks = w.severity > 0, .value = w.value, .want = w.want};
        text_of(w.key, to->key, sizeof to->key);
        text_of(w.why, to->why, sizeof to->why);
        text_of(w.fix, to->fix, sizeof to->fix);
        if (to->breaks)
            log_warn("a node's settings break what it is to do", "agent", g->name, "setting", to->key, "do", to->fix);
    }
    return err == PM_ENOTFOUND ? PM_OK : err;
}

static int heard_files(struct farm_agent *g, struct mesh_reader *r, bool gone)
{
    const struct farm_agent_events *e = &g->all->events;
    struct agent_file_word w;
    char host[256], *path = mem_alloc(AGENT_TEXT_MAX + 1);
    int err;
    while ((err = gone ? agent_get_gone(r, &w) : agent_get_file(r, &w)) == PM_OK) {
        snprintf(host, sizeof host, "%.*s", MESH_STR_ARG(w.host));
        memcpy(path, w.path.p, w.path.n);
        path[w.path.n] = 0;
        g->files += gone ? (uint64_t)-(g->files > 0) : 1;
        if (gone && e->gone)
            e->gone(e->ctx, g->node, host, path);
        if (!gone && e->present)
            e->present(e->ctx, g->node, &(struct farm_agent_file){host, path, w.size, w.hash});
    }
    free(path);
    return err == PM_ENOTFOUND ? PM_OK : err;
}

static int heard_result(struct farm_agent *g, struct mesh_reader *r)
{
    const struct farm_agent_events *e = &g->all->events;
    struct agent_result_word w;
    char text[256];
    int err = agent_get_result(r, &w);
    if (err)
        return err;
    text_of(w.text, text, sizeof text);
    if (e->result)
        e->result(e->ctx, g->node, w.order, w.err, text);
    return PM_OK;
}

static void heard_list(struct farm_agent *g, bool begin)
{
    const struct farm_agent_events *e = &g->all->events;
    g->scanned = !begin;
    g->listing = begin;
    if (begin)
        g->files = 0;
    if (begin && e->begin)
        e->begin(e->ctx, g->node);
    if (!begin && e->end)
        e->end(e->ctx, g->node);
}

static void on_message(struct mesh_link *l, const uint8_t *data, size_t n)
{
    struct farm_agent *g = l->user;
    struct mesh_reader r = mesh_reader(data, n);
    uint8_t word;
    int err = g ? agent_open(&r, &word) : PM_OK;
    if (!g)
        return;
    if (!err) {
        switch (word) {
        case AGENT_HELLO:
            err = heard_hello(g, &r);
            break;
        case AGENT_REPORT:
            err = heard_report(g, &r);
            break;
        case AGENT_FINDINGS:
            err = heard_findings(g, &r);
            break;
        case AGENT_BEGIN:
        case AGENT_END:
            heard_list(g, word == AGENT_BEGIN);
            break;
        case AGENT_FILES:
        case AGENT_GONE:
            err = heard_files(g, &r, word == AGENT_GONE);
            break;
        case AGENT_RESULT:
            err = heard_result(g, &r);
            break;
        }
    }
    if (err && !g->behind)
        log_warn("an agent's word is not understood, the connection ends", "agent", g->name, "why", err_text(err));
    g->behind |= err != PM_OK;
}

/* ---- links ---- */

static void on_drained(struct mesh_link *l)
{
}

static void lost(struct farm_agent *g, const char *why)
{
    struct farm *f = g->all->farm;
    g->link = NULL;
    g->hello = g->listing = false;
    g->since_ms = clock_mono_ms(f->clock);
    log_warn("agent lost", "agent", g->name, "why", why);
    if (g->all->events.connected)
        g->all->events.connected(g->all->events.ctx, g->node, false);
}

static void on_down(struct mesh_link *l, const char *why)
{
    struct farm_agent *g = l->user;
    if (g && g->link == l)
        lost(g, why);
}

static const struct mesh_link_calls calls = {on_message, on_drained, on_down};

static void on_link(void *ctx, struct mesh_link *l)
{
    struct farm_agents *a = ctx;
    struct farm_agent *g = of_name(a, l->peer);
    l->calls = &calls;
    l->user = g;
    if (!g)
        return;
    g->link = l;
    g->behind = false;
    g->told = 0;
    g->since_ms = clock_mono_ms(a->farm->clock);
    log_notice("agent connected", "agent", g->name);
    if (a->events.connected)
        a->events.connected(a->events.ctx, g->node, true);
    tell_task(g);
}

/* ---- life ---- */

/* Who is configured now; agents that stay keep what is known of them. */
static void agents_make(struct farm_agents *a)
{
    const struct farm *f = a->farm;
    struct farm_agent *fresh = mem_alloc((f->node_count + 1) * sizeof *fresh);
    unsigned n = 0;
    for (uint32_t i = 0; i < f->node_count; i++) {
        const char *name = f->nodes[i].agent;
        if (!name || !f->nodes[i].wanted)
            continue;
        struct farm_agent *old = of_name(a, name);
        if (old && old->node == i)
            fresh[n] = *old;
        fresh[n].all = a;
        fresh[n].name = name;
        fresh[n].node = i;
        if (fresh[n].link)
            fresh[n].link->user = &fresh[n];
        n++;
    }
    for (unsigned i = 0; i < a->count; i++) /* links of those who are gone hear `down` later */
        if (a->agent[i].link && a->agent[i].link->user == &a->agent[i])
            a->agent[i].link->user = NULL;
    free(a->agent);
    a->agent = fresh;
    a->count = n;
}

static struct mesh_tls_options options(const struct config *c, struct buf *path)
{
    const char *slash = strrchr(c->mesh.ca, '/');
    buf_printf(path, "%.*s%s.pem", slash ? (int)(slash - c->mesh.ca + 1) : 0, c->mesh.ca, c->node.name);
    return (struct mesh_tls_options){.node = c->node.name,
                                     .files = {c->mesh.ca, c->mesh.certificate ? c->mesh.certificate : buf_str(path), c->mesh.key},
                                     .listen = c->relay.agents.items,
                                     .listen_count = c->relay.agents.count};
}

static int set_peers(struct farm_agents *a, struct buf *why)
{
    struct mesh_tls_peer *peers = mem_alloc((a->count + 1) * sizeof *peers);
    for (unsigned i = 0; i < a->count; i++)
        peers[i] = (struct mesh_tls_peer){.name = a->agent[i].name};
    int err = mesh_tls_peers(a->tls, peers, a->count, why);
    free(peers);
    return err;
}

int farm_agents_new(struct farm *f, uv_loop_t *loop, const struct config *c, const struct farm_agent_events *events,
                    struct listen_set *kept, struct farm_agents **out, struct buf *why)
{
    *out = NULL;
    if (!c->relay.agents.count)
        return PM_OK;
    struct farm_agents *a = mem_alloc(sizeof *a);
    struct buf path = BUF_INIT;
    a->farm = f;
    a->config = c;
    if (events)
        a->events = *events;
    struct mesh_tls_options o = options(c, &path);
    int *fds = sockets_inherit(&c->relay.agents, kept, &o.inherited_count);
    o.inherited = fds;
    int err = mesh_tls_new(loop, &o, on_link, a, &a->tls, why);
    free(fds);
    buf_fini(&path);
    if (err) {
        farm_agents_free(a);
        return err;
    }
    *out = a;
    return PM_OK;
}

int farm_agents_sockets(const struct farm_agents *a, struct listen_set *set)
{
    return a ? sockets_copy(a->tls, set) : PM_OK;
}

void farm_agents_free(struct farm_agents *a)
{
    if (!a)
        return;
    mesh_tls_free(a->tls);
    free(a->agent);
    free(a);
}

int farm_agents_publish(struct farm_agents *a, const struct config *c, struct buf *why)
{
    if (!a)
        return PM_OK;
    struct buf path = BUF_INIT;
    struct mesh_tls_options o = options(c, &path);
    int err = a->config == c ? PM_OK : mesh_tls_reload(a->tls, &o, why);
    buf_fini(&path);
    if (err)
        return err;
    a->config = c;
    agents_make(a);
    err = set_peers(a, why);
    for (unsigned i = 0; i < a->count; i++)
        if (a->agent[i].link)
            tell_task(&a->agent[i]);
    return err;
}

void farm_agents_second(struct farm_agents *a)
{
    if (!a)
        return;
    uint64_t now = clock_mono_ms(a->farm->clock);
    for (unsigned i = 0; i < a->count; i++) {
        struct farm_agent *g = &a->agent[i];
        if (g->link && g->behind) {
            mesh_link_close(g->link, "not understood, or it does not read");
            lost(g, "closed by us");
        }
        if (g->link)
            tell_task(g); /* routes may have changed, and with them our addresses */
        if (now - g->load_ms > STALE_MS)
            a->farm->nodes[g->node].load = NAN;
    }
}

/* ---- what others ask ---- */

bool farm_agent_status(const struct farm_agents *a, uint32_t node, struct farm_agent_status *out)
{
    const struct farm_agent *g = of_node(a, node);
    if (!g)
        return false;
    *out = (struct farm_agent_status){.name = g->name,
                                      .connected = g->link && g->hello,
                                      .since_ms = g->since_ms,
                                      .adopts = g->adopts,
                                      .scanned = g->scanned,
                                      .writable = g->writable,
                                      .free_bytes = g->room,
                                      .load_ms = g->load_ms,
                                      .load = g->load};
    return true;
}

int farm_agent_order(struct farm_agents *a, uint32_t node, const struct agent_order *o)
{
    struct farm_agent *g = of_node(a, node);
    if (!g)
        return PM_ENOTFOUND;
    if (!g->link || !g->hello || g->behind)
        return PM_EUNREACH;
    size_t path = strlen(o->path);
    if (path > AGENT_TEXT_MAX || o->source_count > AGENT_SOURCES_MAX || o->id >> ORDER_BITS)
        return PM_EINVAL;
    uint8_t *space = mem_alloc(MESH_MESSAGE_MAX);
    struct mesh_writer w = mesh_writer(space, MESH_MESSAGE_MAX);
    agent_start(&w, AGENT_ORDER);
    agent_put_order(&w, &(struct agent_order_word){.id = o->id,
                                                   .kind = (uint8_t)o->kind,
                                                   .replaces = o->replaces,
                                                   .host = mesh_str(o->host),
                                                   .path = {o->path, (uint16_t)path},
                                                   .size = o->size,
                                                   .hash = o->hash,
                                                   .old_hash = o->old_hash,
                                                   .sources = (unsigned)o->source_count});
    for (size_t i = 0; i < o->source_count; i++)
        agent_put_endpoint(&w, &o->sources[i]);
    bool told = tell(g, &w);
    free(space);
    return told ? PM_OK : PM_EAGAIN;
}

int farm_agent_cancel(struct farm_agents *a, uint32_t node, uint64_t order)
{
    struct farm_agent *g = of_node(a, node);
    uint8_t space[16];
    struct mesh_writer w = mesh_writer(space, sizeof space);
    if (!g || !g->link)
        return g ? PM_EUNREACH : PM_ENOTFOUND;
    agent_start(&w, AGENT_CANCEL);
    mesh_put_int(&w, order, 8);
    return tell(g, &w) ? PM_OK : PM_EAGAIN;
}
