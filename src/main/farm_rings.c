/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "main/farm_internal.h"
#include "main/front_internal.h"
#include "policy/compile.h"
#include "relay/maglev.h"

enum { WEIGHT_SHIFT = 15 /* a tier's weights sum up to 2^29; the ring needs less */ };

/* Its kernel would not take connections over, its agent says; the front end can still serve from it. */
static bool refuses(const struct farm *f, const struct farm_service *s, uint32_t node)
{
    struct farm_agent_status a;
    return s->front->relay == CFG_RELAY_TRANSFER && farm_agent_status(f->agents, node, &a) && a.connected && !a.adopts;
}

/* Of a node that says nothing the load is taken to be as that of the others: its agent may be away, not its server. */
static float load_of(const struct farm *f, const struct farm_service *s, uint32_t node)
{
    float sum = 0;
    unsigned n = 0;
    if (!isnan(f->nodes[node].load))
        return f->nodes[node].load;
    for (uint32_t i = 0; i < s->server_count; i++) {
        float load = f->nodes[s->servers[i].node].load;
        sum += isnan(load) ? 0 : load;
        n += !isnan(load);
    }
    return n ? sum / (float)n : NAN;
}

/* A server as a candidate of the policy. */
static void candidate(const struct farm *f, const struct farm_service *s, uint32_t i, struct snap_cand *out)
{
    const struct farm_server *v = &s->servers[i];
    const struct farm_node *n = &f->nodes[v->node];
    uint8_t health, word;
    front_server_state(f->front, s->name, v->config->name, &health, &word);
    *out = (struct snap_cand){.order = (uint16_t)(i + 1),
                              .site = (uint16_t)s->at->site->index,
                              .health = n->reached && !n->silent && !refuses(f, s, v->node) ? health : HEALTH_DOWN,
                              .override = word,
                              .weight = (float)v->config->weight,
                              .admit = 1,
                              .max_connections = v->config->max_connections};
    for (int m = 0; m < METRIC_COUNT; m++)
        out->metric[m] = NAN;
    out->metric[METRIC_LOAD] = load_of(f, s, v->node);
    relay_addr(out->address, &v->config->at.addr);
}

void farm_decide(const struct farm *f, const struct farm_service *s, const struct farm_set *set, struct snap_decision *out,
                 void (*begin)(void *ctx, const struct stage *st, const void *params), policy_trace_fn *trace, void *ctx)
{
    struct snap_cand cands[FARM_SERVERS_MAX];
    for (uint32_t i = 0; i < s->server_count; i++)
        candidate(f, s, i, &cands[i]);
    struct policy_run run = {.cands = cands,
                             .cand_count = s->server_count,
                             .holders = set->everything ? NULL : &set->holders,
                             .trace = trace,
                             .trace_ctx = ctx};
    (void)decide(s->config, s->policy, &run, 0, out, begin, ctx);
}

static bool among(const struct maglev_node *nodes, uint32_t n, uint32_t id)
{
    for (uint32_t i = 0; i < n; i++)
        if (nodes[i].id == id)
            return true;
    return false;
}

/* Everybody who may have connections and would answer, for those that are looked for; behind the n that are there. */
static uint32_t everybody(const struct farm *f, const struct farm_service *s, struct maglev_node *nodes, uint32_t n)
{
    for (uint32_t i = 0; i < s->server_count && n < FARM_SERVERS_MAX; i++)
        if (f->nodes[s->servers[i].node].reached && !f->nodes[s->servers[i].node].silent &&
            !among(nodes, n, s->servers[i].node))
            nodes[n++] = (struct maglev_node){s->servers[i].config->name, 1, s->servers[i].node};
    return n;
}

static uint32_t chosen(const struct farm *f, const struct farm_service *s, struct farm_set *set, struct maglev_node *nodes)
{
    union {
        struct snap_decision d;
        char room[DECISION_BYTES];
    } u;
    uint32_t n = 0;
    farm_decide(f, s, set, &u.d, NULL, NULL, NULL);
    set->fallen_back = u.d.fallen_back;
    /* Where nothing is up, the front end has better answers than a dead server: another site, or an error page. */
    if (u.d.fallen_back != FALLBACK_NONE && u.d.fallen_back != FALLBACK_DRAINED)
        return 0;
    unsigned count = u.d.pick == PICK_FIRST ? (u.d.count > 0) : u.d.first_tier;
    for (unsigned i = 0; i < count; i++) {
        const struct farm_server *v = &s->servers[u.d.choice[i].cand];
        uint32_t weight = u.d.choice[i].weight >> WEIGHT_SHIFT;
        bool may = !set->only || set->holders >> u.d.choice[i].cand & 1;
        if (u.d.choice[i].weight && may)
            nodes[n++] = (struct maglev_node){v->config->name, weight ? weight : 1, v->node};
    }
    return n;
}

static void ring_put(struct farm *f, const char *service, struct farm_set *set, const struct maglev_node *nodes, uint32_t n)
{
    uint64_t stamp = 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t what[2] = {nodes[i].id, nodes[i].weight};
        stamp = hash_bytes(what, sizeof what, stamp);
    }
    if (stamp == set->stamp)
        return;
    uint32_t size = n ? maglev_size(n) : 0;
    uint32_t *places = mem_alloc((size + 1) * sizeof *places);
    if (n)
        maglev_build(nodes, n, places, size);
    int err = relay_set_ring(f->relay, set->index, places, size);
    free(places);
    if (err && !set->refused)
        log_error("the relay does not take a ring", "service", service, "why", err_text(err));
    set->refused = err;
    if (!err)
        set->stamp = stamp;
}

void farm_ring_set(struct farm *f, const struct farm_service *s, struct farm_set *set)
{
    struct maglev_node nodes[FARM_SERVERS_MAX];
    uint32_t n = set == &s->all ? everybody(f, s, nodes, 0) : chosen(f, s, set, nodes);
    ring_put(f, s->name, set, nodes, n);
}

void farm_ring_door(struct farm *f, struct farm_door *d)
{
    struct maglev_node nodes[FARM_SERVERS_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->plan.service_count; i++)
        if (f->plan.services[i].front->relay == CFG_RELAY_TRANSFER && farm_is_at(&f->plan.services[i], &d->at))
            n = everybody(f, &f->plan.services[i], nodes, n);
    ring_put(f, d->first->name, &d->all, nodes, n);
}
