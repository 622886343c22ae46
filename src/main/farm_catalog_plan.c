/* SPDX-License-Identifier: Apache-2.0 */
/* Copies: what the planner is told of the nodes, and what becomes of its plans. */
#include <stdlib.h>
#include <string.h>
#include "agent/names.h"
#include "base/log.h"
#include "main/farm_catalog_internal.h"

enum {
    REPORTS = 100,
    ID_SHIFT = 14, /* orders in a millisecond of this process's life, at most */
    ID_WALL_BITS = 41,
    FIRST_PAUSE_MS = 10000,
    LAST_PAUSE_MS = 600000,
    ANSWER_MS = 3600000,
    SETTLE_MS = 60000,
};

void catalog_plan_init(struct farm_catalog *c)
{
    uint64_t wall = clock_wall_ms(c->f->clock) & ((1ull << ID_WALL_BITS) - 1);
    c->planner = planner_new(hash_seed());
    c->orders = orders_new(wall << ID_SHIFT);
    c->plan_nodes = mem_alloc(FARM_SELF * sizeof *c->plan_nodes);
    c->lead_since = catalog_now(c);
}

void catalog_plan_fini(struct farm_catalog *c)
{
    planner_free(c->planner);
    orders_free(c->orders);
    arena_free(c->shown_arena);
    free(c->plan_nodes);
    free(c->leader);
}

void catalog_plan_policy(struct farm_catalog *c)
{
    const struct cfg_catalog *cfg = &c->f->config->catalog;
    orders_policy(c->orders, &(struct orders_policy){.at_once = cfg->at_once,
                                                     .tries = cfg->tries,
                                                     .first_pause_ms = FIRST_PAUSE_MS,
                                                     .last_pause_ms = LAST_PAUSE_MS,
                                                     .answer_ms = ANSWER_MS,
                                                     .settle_ms = SETTLE_MS,
                                                     .given_up_ms = cfg->given_up_ms});
    if (cfg->apply == CFG_APPLY_MANUAL && !c->asked)
        orders_drop_waiting(c->orders);
}

/* ---- nodes ---- */

/* What checks, operators and configuration say of it in all services; the largest weight. */
static struct plan_node node_of(const struct farm_catalog *c, uint32_t node)
{
    struct plan_node n = {.id = (uint16_t)node};
    bool down = true, drained = true;
    for (uint32_t i = 0; i < c->f->plan.service_count; i++) {
        const struct farm_service *s = &c->f->plan.services[i];
        for (uint32_t k = 0; k < s->server_count; k++) {
            uint8_t health, word;
            if (s->servers[k].node != node)
                continue;
            front_server_state(c->f->front, s->name, s->servers[k].config->name, &health, &word);
            down &= health == HEALTH_DOWN && word != OVERRIDE_FORCE;
            drained &= word == OVERRIDE_DRAIN || word == OVERRIDE_DISABLE;
            n.weight = s->servers[k].config->weight > n.weight ? s->servers[k].config->weight : n.weight;
            n.domain = s->servers[k].config->rack ? s->servers[k].config->rack : n.domain;
        }
    }
    n.state = drained ? PLAN_DRAINING : down ? PLAN_DOWN : PLAN_UP;
    return n;
}

static bool agent_of(const struct farm_catalog *c, uint32_t node, struct farm_agent_status *out)
{
    return c->agents.agents && c->agents.status(c->agents.agents, node, out);
}

static size_t nodes_look(struct farm_catalog *c)
{
    uint64_t now = catalog_now(c);
    size_t n = 0;
    for (uint32_t i = 0; i < c->f->node_count; i++) {
        struct catalog_node *v = &c->nodes[i];
        struct farm_agent_status status;
        if (!v->known)
            continue;
        struct plan_node *p = &c->plan_nodes[n++];
        *p = node_of(c, i);
        if (!v->since || p->state != v->state)
            v->since = now;
        v->state = p->state;
        p->since = v->since;
        bool agent = agent_of(c, i, &status);
        p->free = agent ? status.free_bytes : 0;
        p->allowed = agent && status.connected && status.writable && v->heard;
    }
    return n;
}

static bool have_racks(const struct farm_catalog *c, size_t nodes)
{
    for (size_t i = 0; i < nodes; i++)
        if (c->plan_nodes[i].domain)
            return true;
    return false;
}

/* ---- who acts, and when ---- */

void farm_catalog_lead(struct farm_catalog *c, const char *leader)
{
    bool same = leader && c->leader ? strcmp(leader, c->leader) == 0 : !leader == !c->leader;
    if (same)
        return;
    free(c->leader);
    c->leader = leader ? mem_strdup(leader) : NULL;
    c->lead_since = catalog_now(c);
    if (leader)
        orders_drop_waiting(c->orders); /* what was sent goes on */
    log_notice("content is copied and removed on the word of", "balancer", leader ? leader : c->f->config->node.name);
}

/* A node that is up, but whose agent has not told what it has. */
static const char *not_heard(const struct farm_catalog *c)
{
    if (catalog_now(c) - c->started_ms >= c->f->config->catalog.lost_ms)
        return NULL;
    for (uint32_t i = 0; i < c->f->node_count; i++)
        if (c->nodes[i].known && !c->nodes[i].heard && c->nodes[i].state == PLAN_UP && c->f->nodes[i].agent)
            return farm_node_name(c->f, NULL, i);
    return NULL;
}

const char *catalog_idle_why(const struct farm_catalog *c)
{
    if (!c->agents.agents)
        return "there are no agents";
    if (c->leader)
        return "another balancer of this site does it";
    if (not_heard(c))
        return "an agent has not reported yet what its node holds";
    return catalog_now(c) - c->lead_since < CATALOG_HANDOVER_MS ? "another balancer may still be doing it" : NULL;
}

/* ---- plans ---- */

static bool may(void *ctx, const struct directory_key *key, uint16_t node)
{
    const struct farm_catalog *c = ctx;
    const struct catalog_service *s = catalog_service_of(c, key->host);
    bool serves = false;
    for (uint32_t i = 0; s && s->config && i < s->servers->server_count; i++)
        serves |= s->servers->servers[i].node == node;
    return serves && !orders_gave_up(c->orders, key->host, key->text, key->len, node, catalog_now(c));
}

static void plan_start(struct farm_catalog *c)
{
    const struct cfg_catalog *cfg = &c->f->config->catalog;
    size_t nodes = nodes_look(c);
    struct plan_input in = {.nodes = c->plan_nodes,
                            .node_count = nodes,
                            .policy = {.copies_min = cfg->copies,
                                       .copies_max = cfg->most,
                                       .per_copy = cfg->hot,
                                       .cold_after_ms = cfg->cold_ms ? cfg->cold_ms : UINT64_MAX,
                                       .down_for_ms = cfg->lost_ms,
                                       .drain_for_ms = cfg->drained_ms,
                                       .spread = have_racks(c, nodes),
                                       .max_actions = cfg->actions,
                                       .max_reports = REPORTS},
                            .now = catalog_now(c),
                            .may = may,
                            .may_ctx = c};
    in.pending = orders_pending(c->orders, &in.pending_count);
    int err = plan_begin(c->planner, c->d, c->usage, &in);
    if (err)
        log_error("no plan of copies can be made", "why", err_text(err));
    c->planning = !err;
    c->plan_due = in.now + cfg->every_ms;
}

static const struct plan_report *reports_keep(struct arena *a, const struct plan_report *list, size_t n)
{
    struct plan_report *to = ARENA_ARRAY(a, struct plan_report, n);
    for (size_t i = 0; i < n; i++) {
        to[i] = list[i];
        to[i].host = arena_strdup(a, list[i].host);
        to[i].path = arena_strndup(a, list[i].path, list[i].len);
    }
    return to;
}

/* The planner's texts end with its next plan; what is shown must stand until somebody has said to do it. */
static void plan_keep(struct farm_catalog *c, const struct plan *plan)
{
    struct arena *a = arena_new();
    struct plan_action *actions = ARENA_ARRAY(a, struct plan_action, plan->action_count);
    for (size_t i = 0; i < plan->action_count; i++) {
        actions[i] = plan->actions[i];
        actions[i].host = arena_strdup(a, plan->actions[i].host);
        actions[i].path = arena_strndup(a, plan->actions[i].path, plan->actions[i].len);
    }
    arena_free(c->shown_arena);
    c->shown_arena = a;
    c->shown = *plan;
    c->shown.actions = actions;
    c->shown.conflicts = reports_keep(a, plan->conflicts, plan->conflict_count);
    c->shown.cannots = reports_keep(a, plan->cannots, plan->cannot_count);
    c->shown_ms = catalog_now(c);
    c->plan_number++;
}

/*
 * The same file under another name: roots may be shared by services, and what one of them has enough of, another may
 * not. Such copies stay.
 */
static bool is_shared(const struct farm_catalog *c, const struct plan_action *a)
{
    for (uint32_t i = 0; i < c->service_count; i++) {
        struct directory_key key = catalog_key(c->services[i]->name, DIRECTORY_EXACT, a->path, a->len);
        uint32_t id = strcmp(key.host, a->host) != 0 ? directory_find(c->d, &key) : DIRECTORY_NONE;
        struct directory_holder h;
        for (uint32_t k = 0; id != DIRECTORY_NONE && directory_holder(c->d, id, k, &h); k++)
            if (h.node == a->from && h.known && h.content.hash == a->hash && h.content.size == a->size)
                return true;
    }
    return false;
}

size_t catalog_plan_give(struct farm_catalog *c)
{
    size_t n = 0;
    uint64_t now = catalog_now(c);
    for (size_t i = 0; i < c->shown.action_count; i++) {
        const struct plan_action *a = &c->shown.actions[i];
        bool shared = a->kind == PLAN_REMOVE && is_shared(c, a);
        c->withheld += shared;
        n += !shared && orders_take(c->orders, a, now) == PM_OK;
    }
    c->given += n;
    return n;
}

bool catalog_plan_turn(struct farm_catalog *c)
{
    if (!c->planning)
        return false;
    if (plan_step(c->planner, CATALOG_PLANNED))
        return true;
    plan_keep(c, plan_end(c->planner));
    c->planning = false;
    c->plans++;
    if (c->f->config->catalog.apply == CFG_APPLY_AUTO && !catalog_idle_why(c))
        (void)catalog_plan_give(c);
    return false;
}

/* ---- orders ---- */

/* Where the node's web server is, as its service has it. */
static bool endpoint_of(const struct catalog_service *s, uint32_t node, struct endpoint *out)
{
    for (uint32_t i = 0; s && s->config && i < s->servers->server_count; i++) {
        const struct farm_server *v = &s->servers->servers[i];
        if (v->node != node)
            continue;
        *out = v->config->at;
        if (s->servers->front->server_port)
            out->port = (uint16_t)s->servers->front->server_port;
        return true;
    }
    return false;
}

/* The one that was chosen first, then others that have the same. */
static size_t sources_of(const struct farm_catalog *c, const struct plan_action *a,
                         struct endpoint out[AGENT_SOURCES_MAX])
{
    const struct catalog_service *s = catalog_service_of(c, a->host);
    struct directory_key key = catalog_key(a->host, DIRECTORY_EXACT, a->path, a->len);
    struct directory_holder h;
    uint32_t id = directory_find(c->d, &key);
    size_t n = endpoint_of(s, a->from, &out[0]);
    for (uint32_t i = 0; id != DIRECTORY_NONE && n < AGENT_SOURCES_MAX && directory_holder(c->d, id, i, &h); i++)
        if (h.node != a->from && h.node != a->to && h.node < FARM_SELF && h.known && h.content.hash == a->hash &&
            h.content.size == a->size && c->nodes[h.node].state != PLAN_DOWN)
            n += endpoint_of(s, h.node, &out[n]);
    return n;
}

static int send_order(void *ctx, uint64_t id, const struct plan_action *a)
{
    const struct farm_catalog *c = ctx;
    struct endpoint sources[AGENT_SOURCES_MAX];
    struct buf path = BUF_INIT;
    struct agent_order o = {.id = id,
                            .kind = a->kind == PLAN_COPY ? AGENT_COPY : AGENT_REMOVE,
                            .host = a->host,
                            .size = a->size,
                            .hash = a->hash,
                            .sources = sources};
    if (!c->agents.agents)
        return PM_EUNREACH;
    o.source_count = a->kind == PLAN_COPY ? sources_of(c, a, sources) : 0;
    agent_name_encode(a->path, &path);
    o.path = buf_str(&path);
    int err = a->kind == PLAN_COPY && !o.source_count
                  ? PM_EINVAL
                  : c->agents.order(c->agents.agents, a->kind == PLAN_COPY ? a->to : a->from, &o);
    buf_fini(&path);
    return err;
}

void catalog_plan_second(struct farm_catalog *c)
{
    struct orders_figures f;
    uint64_t now = catalog_now(c);
    if (!c->planning && now >= c->plan_due)
        plan_start(c);
    if (!c->leader)
        orders_run(c->orders, now, send_order, c);
    orders_figures(c->orders, &f);
    c->asked &= f.waiting + f.sent > 0;
}
