/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay shows: nodes, what is chosen for what, sessions, counters. */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <string.h>
#include "main/farm_internal.h"
#include "policy/compile.h"

static const char *const modes[] = {"not reached", "lan", "hops", "self", "down"};
static const char *const kinds[] = {"path", "prefix", "suffix"};
static const char *const states[] = {"relayed", "request arriving", "handed over", "answering", "ended", "connecting"};

/* ---- nodes, sets, counters ---- */

/* The first service's name of each node stands for it. */
static const char *node_name(const struct farm *f, uint32_t node)
{
    if (node == FARM_SELF)
        return "(front end)";
    for (uint32_t i = 0; i < f->plan.service_count; i++)
        for (uint32_t k = 0; k < f->plan.services[i].server_count; k++)
            if (f->plan.services[i].servers[k].node == node)
                return f->plan.services[i].servers[k].config->name;
    return "?";
}

static json_t *nodes_view(const struct farm *f)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < f->node_count; i++) {
        const struct farm_node *n = &f->nodes[i];
        char text[ADDR_TEXT];
        if (!n->addr.family)
            continue;
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:i, s:o}", "node", node_name(f, i), "address",
                                             addr_format(&n->addr, text), "via", modes[n->now.mode], "mtu", (int)n->now.mtu,
                                             "load", isnan(n->load) ? json_null() : json_real((double)n->load)));
    }
    return all;
}

static json_t *holders_view(const struct farm_service *s, uint64_t holders)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < s->server_count; i++)
        if (holders >> i & 1)
            json_array_append_new(names, json_string(s->servers[i].config->name));
    return names;
}

/* Who gets what share of the requests for it. */
static json_t *shares_view(const struct farm *f, const struct farm_service *s, const struct farm_set *set)
{
    union {
        struct snap_decision d;
        char room[DECISION_BYTES];
    } u;
    json_t *shares = json_object();
    farm_decide(f, s, set, &u.d, NULL, NULL, NULL);
    bool nobody = u.d.fallen_back != FALLBACK_NONE && u.d.fallen_back != FALLBACK_DRAINED;
    unsigned count = nobody ? 0 : u.d.pick == PICK_FIRST ? (u.d.count > 0) : u.d.first_tier;
    for (unsigned i = 0; i < count; i++)
        json_object_set_new(shares, s->servers[u.d.choice[i].cand].config->name,
                            json_real(u.d.pick == PICK_FIRST ? 1.0 : (double)u.d.choice[i].weight / DECISION_WEIGHTS));
    return shares;
}

static const struct farm_set *set_of(const struct farm_service *s, uint64_t holders)
{
    for (uint32_t i = 0; i < s->set_count; i++)
        if (s->sets[i].holders == holders)
            return &s->sets[i];
    return &s->any;
}

static json_t *resources_view(const struct farm *f, const struct farm_service *s)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < s->resource_count; i++) {
        const struct farm_resource *r = &s->resources[i];
        uint64_t hits = 0;
        (void)!relay_resource_hits(f->relay, r->host, r->kind, r->text, &hits);
        json_array_append_new(all, json_pack("{s:s, s:s, s:o, s:o, s:I}", "kind", kinds[r->kind], "resource", r->text, "holders",
                                             holders_view(s, r->holders), "shares", shares_view(f, s, set_of(s, r->holders)),
                                             "requests", (json_int_t)hits));
    }
    return all;
}

static json_t *services_view(const struct farm *f)
{
    static const char *const relaying[] = {"off", "packets", "clients", "transfer"};
    json_t *all = json_array();
    for (uint32_t i = 0; i < f->plan.service_count; i++) {
        const struct farm_service *s = &f->plan.services[i];
        json_array_append_new(all, json_pack("{s:s, s:s, s:o, s:o}", "service", s->name, "relay", relaying[s->front->relay],
                                             "otherwise", shares_view(f, s, &s->any), "resources", resources_view(f, s)));
    }
    return all;
}

static json_t *counters_view(const struct farm *f)
{
    struct relay_count c[RELAY_COUNTER_COUNT];
    struct relay_count n[NODE_COUNTER_COUNT];
    json_t *all = json_object();
    relay_counters(f->relay, c);
    node_counters(f->node, n);
    for (unsigned i = 0; i < RELAY_COUNTER_COUNT; i++)
        json_object_set_new(all, relay_counter_name((enum relay_counter)i), json_integer((json_int_t)c[i].packets));
    json_object_set_new(all, "front_adopted", json_integer((json_int_t)n[NODE_ADOPTED].packets));
    json_object_set_new(all, "front_refused", json_integer((json_int_t)(n[NODE_REFUSED].packets + n[NODE_NO_LISTENER].packets)));
    return all;
}

json_t *farm_view(const struct farm *f)
{
    json_t *interfaces = json_array();
    if (!f->relay)
        return json_pack("{s:b, s:s, s:o, s:[], s:[], s:{}}", "on", 0, "why", buf_str(&f->why), "interfaces", interfaces, "nodes",
                         "services", "counters");
    for (unsigned i = 0; i < f->interface_count; i++)
        json_array_append_new(interfaces, json_pack("{s:s, s:s}", "interface", f->interface[i].name, "in",
                                                    f->interface[i].native ? "driver" : "generic"));
    return json_pack("{s:b, s:n, s:o, s:o, s:o, s:o}", "on", 1, "why", "interfaces", interfaces, "nodes", nodes_view(f), "services",
                     services_view(f), "counters", counters_view(f));
}

/* ---- sessions ---- */

struct listing {
    const struct farm *f;
    json_t *list;
    uint32_t most, total;
    uint64_t now_ns;
};

static void endpoint_of(const uint8_t addr[16], uint16_t port, struct endpoint *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memset(out, 0, sizeof *out);
    bool v4 = memcmp(addr, mapped, 12) == 0;
    out->addr.family = v4 ? ADDR_V4 : ADDR_V6;
    memcpy(out->addr.bytes, v4 ? addr + 12 : addr, v4 ? 4 : 16);
    out->port = ntohs(port);
}

static bool list_flow(void *arg, const struct relay_flow_key *k, const struct relay_flow *v)
{
    struct listing *l = arg;
    char client[ENDPOINT_TEXT], vip[ENDPOINT_TEXT];
    struct endpoint from, to;
    if (l->total++ >= l->most)
        return true;
    endpoint_of(k->client, k->client_port, &from);
    endpoint_of(k->vip, k->vip_port, &to);
    json_array_append_new(
        l->list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:b, s:I}", "client", endpoint_format(&from, client), "vip",
                           endpoint_format(&to, vip), "protocol", k->proto == IPPROTO_TCP ? "tcp" : k->proto == IPPROTO_UDP ? "udp" : "ip",
                           "node", node_name(l->f, v->node), "state", states[v->state], "moves", (int)v->moves, "closing",
                           !!(v->flags & RELAY_FLOW_REPLACEABLE), "pinned", !!(v->flags & RELAY_FLOW_PINNED), "found",
                           !!(v->flags & RELAY_FLOW_GUESS), "packets", (json_int_t)v->packets));
    return true;
}

json_t *farm_sessions(const struct farm *f, uint32_t most)
{
    struct listing l = {.f = f, .list = json_array(), .most = most};
    if (f->relay)
        relay_flows(f->relay, list_flow, &l);
    return json_pack("{s:i, s:o}", "total", (int)l.total, "sessions", l.list);
}

/* ---- metrics ---- */

void farm_metrics(const struct farm *f, api_metric_fn *fn, void *fn_ctx)
{
    static const char *const texts[] = {
#define X(sym, name, text) text ".",
        RELAY_COUNTERS(X)
#undef X
    };
    struct relay_count c[RELAY_COUNTER_COUNT] = {{0}};
    char name[96];
    if (f && f->relay)
        relay_counters(f->relay, c);
    for (unsigned i = 0; i < RELAY_COUNTER_COUNT; i++) {
        snprintf(name, sizeof name, "pointsman_relay_%s_total", relay_counter_name((enum relay_counter)i));
        fn(fn_ctx, name, "", "counter", texts[i], (double)c[i].packets);
    }
    fn(fn_ctx, "pointsman_relay_on", "", "gauge", "Whether packets are relayed by the kernel (1), or front ends serve it all (0).",
       f && f->relay ? 1 : 0);
}
