/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay shows: nodes, what is chosen for what, counters. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "main/farm_catalog.h"
#include "main/farm_internal.h"
#include "main/front_internal.h"
#include "relay/choose.h"

const char *const farm_kinds[] = {"path", "prefix", "suffix", "protocol"};
const char *const farm_relaying[] = {"off", "packets", "clients", "transfer"};

/* ---- names ---- */

const char *farm_node_name(const struct farm *f, const struct farm_service *s, uint32_t node)
{
    if (node == FARM_SELF)
        return FARM_FRONT_NAME;
    for (uint32_t k = 0; s && k < s->server_count; k++)
        if (s->servers[k].node == node)
            return s->servers[k].config->name;
    for (uint32_t i = 0; i < f->plan.service_count; i++)
        for (uint32_t k = 0; k < f->plan.services[i].server_count; k++)
            if (f->plan.services[i].servers[k].node == node)
                return f->plan.services[i].servers[k].config->name;
    return "?";
}

const char *farm_mode_name(const struct farm_node *n)
{
    static const char *const modes[] = {"not reached", "lan", "hops", "self", "down"};
    if (n->silent)
        return "silent";
    return n->now.mode < PM_ARRAY_LEN(modes) ? modes[n->now.mode] : "?";
}

const char *farm_resource_text(const struct farm_resource *r, char out[FARM_RESOURCE_TEXT])
{
    const char *name = r->name ? r->name : "", *gap = r->name && *r->text ? " " : "";
    snprintf(out, FARM_RESOURCE_TEXT, "%s%s%s%s", name, gap, r->kind == RELAY_RESOURCE_SUFFIX ? "*" : "", r->text);
    return out;
}

const char *farm_resource_kind(const struct farm_resource *r)
{
    return r->name && r->kind == RELAY_RESOURCE_PATH ? "name" : farm_kinds[r->kind];
}

/* ---- what a service is ---- */

bool farm_is_at(const struct farm_service *s, const struct endpoint *at)
{
    uint32_t n;
    const uint32_t *ports = front_ports(s->front, &n);
    CONFIG_EACH(struct cfg_vip, vip, s->at->vips) {
        if (!addr_eq(&vip->addr, &at->addr))
            continue;
        for (uint32_t i = 0; i < n; i++)
            if (ports[i] == at->port)
                return true;
        if (s->packets_of_all)
            return true;
    }
    return false;
}

const struct farm_set *farm_set_at(const struct farm_service *s, uint32_t index)
{
    for (uint32_t i = 0; i < s->set_count; i++)
        if (s->sets[i].index == index)
            return &s->sets[i];
    return index == s->any.index ? &s->any : index == s->h2c.index ? &s->h2c : NULL;
}

uint32_t farm_set_of(const struct farm_service *s, const struct farm_resource *r)
{
    for (uint32_t i = 0; i < s->set_count; i++)
        if (s->tls ? s->sets[i].holders == r->holders : s->sets[i].index < RELAY_SETS_MAX && s->sets[i].of == r->set)
            return s->sets[i].index;
    return s->any.index;
}

json_t *farm_holders(const struct farm_service *s, uint64_t holders)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < s->server_count; i++)
        if (holders >> i & 1)
            json_array_append_new(names, json_string(s->servers[i].config->name));
    return names;
}

void farm_shares(const struct farm *f, const struct farm_service *s, uint32_t set, double share[FARM_SERVERS_MAX])
{
    const uint32_t *places;
    uint32_t size = relay_places(f->relay, set, &places);
    uint32_t *of_node = mem_alloc(RELAY_NODES_MAX * sizeof *of_node);
    for (uint32_t i = 0; i < size; i++)
        if (places[i] < RELAY_NODES_MAX)
            of_node[places[i]]++;
    for (uint32_t i = 0; i < s->server_count; i++) {
        share[i] = size ? (double)of_node[s->servers[i].node] / size : 0;
        of_node[s->servers[i].node] = 0; /* two servers on one machine: told once */
    }
    free(of_node);
}

json_t *farm_shares_view(const struct farm *f, const struct farm_service *s, uint32_t set)
{
    double share[FARM_SERVERS_MAX];
    json_t *shares = json_object();
    farm_shares(f, s, set, share);
    for (uint32_t i = 0; i < s->server_count; i++)
        if (share[i] > 0)
            json_object_set_new(shares, s->servers[i].config->name, json_real(share[i]));
    return shares;
}

/* ---- nodes, sets, counters ---- */

/* What checks and operators say of it as the first service has it that names it. */
static const char *node_state(const struct farm *f, uint32_t node)
{
    for (uint32_t i = 0; i < f->plan.service_count; i++) {
        const struct farm_service *s = &f->plan.services[i];
        for (uint32_t k = 0; k < s->server_count; k++) {
            uint8_t health, word;
            if (s->servers[k].node != node)
                continue;
            front_server_state(f->front, s->name, s->servers[k].config->name, &health, &word);
            return word != OVERRIDE_NONE ? override_name((enum override)word) : health_name((enum health)health);
        }
    }
    return "unused";
}

static json_t *nodes_view(const struct farm *f)
{
    static const char *const vias[] = {"auto", "lan", "hops"};
    json_t *all = json_array();
    for (uint32_t i = 0; i < f->node_count; i++) {
        const struct farm_node *n = &f->nodes[i];
        char text[ADDR_TEXT];
        if (!n->addr.family)
            continue;
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:o}", "node", farm_node_name(f, NULL, i),
                                        "address", addr_format(&n->addr, text), "via", farm_mode_name(n), "configured",
                                        vias[n->via], "mtu", (int)n->now.mtu, "state", node_state(f, i), "load",
                                        isnan(n->load) ? json_null() : json_real((double)n->load)));
    }
    return all;
}

uint32_t farm_resource_count(const struct farm *f, const struct farm_service *s)
{
    return s->tls ? s->resource_count : farm_catalog_count(f->catalog, s);
}

void farm_resources_each(const struct farm *f, const struct farm_service *s, farm_resource_fn *fn, void *ctx)
{
    if (!s->tls)
        farm_catalog_each(f->catalog, s, fn, ctx);
    for (uint32_t i = 0; i < s->resource_count && fn(ctx, &s->resources[i]); i++)
        ;
}

struct listing {
    const struct farm *f;
    const struct farm_service *s;
    json_t *all;
};

static bool resource_view(void *ctx, const struct farm_resource *r)
{
    const struct listing *l = ctx;
    uint64_t hits = 0;
    char text[FARM_RESOURCE_TEXT];
    (void)!relay_resource_hits(l->f->relay, r->host, r->kind, r->text, &hits);
    json_array_append_new(l->all, json_pack("{s:s, s:s, s:b, s:o, s:o, s:I}", "kind", farm_resource_kind(r), "resource",
                                            r->name ? farm_resource_text(r, text) : r->text, "front", r->front, "holders",
                                            farm_holders(l->s, r->front ? 0 : r->holders), "shares",
                                            r->front ? json_object() : farm_shares_view(l->f, l->s, farm_set_of(l->s, r)),
                                            "requests", (json_int_t)hits));
    return json_array_size(l->all) < FARM_RESOURCES_SHOWN;
}

static json_t *resources_view(const struct farm *f, const struct farm_service *s)
{
    struct listing l = {f, s, json_array()};
    farm_resources_each(f, s, resource_view, &l);
    return l.all;
}

static json_t *vips_view(const struct farm_service *s)
{
    uint32_t n;
    const uint32_t *ports = front_ports(s->front, &n);
    json_t *all = json_array();
    CONFIG_EACH(struct cfg_vip, vip, s->at->vips) {
        char text[ENDPOINT_TEXT];
        if (s->packets_of_all)
            json_array_append_new(all, json_string(addr_format(&vip->addr, text)));
        for (uint32_t i = 0; i < n && !s->packets_of_all; i++) {
            struct endpoint at = {vip->addr, (uint16_t)ports[i]};
            json_array_append_new(all, json_string(endpoint_format(&at, text)));
        }
    }
    return all;
}

static json_t *services_view(const struct farm *f)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < f->plan.service_count; i++) {
        const struct farm_service *s = &f->plan.services[i];
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:s?, s:o, s:o, s:i, s:o}", "service", s->name, "relay",
                                        farm_relaying[s->front->relay], "left-out",
                                        s->left_out ? err_text(s->left_out) : NULL, "vips", vips_view(s), "otherwise",
                                        s->all_front || s->default_front ? json_object() : farm_shares_view(f, s, s->any.index),
                                        "resource-count", (int)farm_resource_count(f, s), "resources", resources_view(f, s)));
    }
    return all;
}

static json_t *served_view(const struct farm *f)
{
    struct relay_count c[RELAY_COUNTER_COUNT];
    struct relay_count n[NODE_COUNTER_COUNT];
    struct assist_counts a = {0};
    relay_counters(f->relay, c);
    node_counters(f->node, n);
    if (f->assist)
        assist_counts(f->assist, &a);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "transferred", (json_int_t)c[RELAY_REQUEST_OPEN].packets,
                     "transferred-by-daemon", (json_int_t)a.decided, "stayed",
                     (json_int_t)c[RELAY_REQUEST_STAY].packets, "moved", (json_int_t)c[RELAY_MOVED].packets,
                     "front-end", (json_int_t)n[NODE_ADOPTED].packets, "plain",
                     (json_int_t)(c[RELAY_FLOW_NEW].packets + c[RELAY_FLOW_MISS].packets));
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
    json_object_set_new(all, "front_refused",
                        json_integer((json_int_t)(n[NODE_REFUSED].packets + n[NODE_NO_LISTENER].packets)));
    return all;
}

json_t *farm_view(const struct farm *f)
{
    json_t *interfaces = json_array();
    for (unsigned i = 0; i < f->interface_count; i++) {
        const struct farm_interface *n = &f->interface[i];
        const char *in = !n->index ? "nowhere" : n->native ? "driver" : "generic";
        json_array_append_new(interfaces, json_pack("{s:s, s:s, s:s?}", "interface", n->name, "in", in, "why",
                                                    n->index ? NULL : n->why));
    }
    if (!f->relay || (f->attached && !farm_interfaces_any(f)))
        return json_pack("{s:b, s:b, s:s, s:o, s:[], s:[], s:{}, s:{}, s:[]}", "on", 0, "attached", 0, "why",
                         f->relay && f->interface_count ? f->interface[0].why : buf_str(&f->why), "interfaces", interfaces,
                         "nodes", "services", "served", "counters", "peers");
    return json_pack("{s:b, s:b, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "on", 1, "attached", f->attached, "why", "interfaces", interfaces, "nodes",
                     nodes_view(f), "services", services_view(f), "served", served_view(f), "counters",
                     counters_view(f), "peers", farm_peers_view(f));
}

/* ---- metrics ---- */

json_t *farm_agents(const struct farm *f)
{
    return farm_agents_view(f->agents);
}

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
    farm_peers_metrics(f, fn, fn_ctx);
    fn(fn_ctx, "pointsman_relay_silent_nodes", "", "gauge", "Nodes whose program does not answer: nothing is handed over to them.",
       f && f->relay ? farm_nodes_silent(f) : 0);
    fn(fn_ctx, "pointsman_relay_left_out_services", "", "gauge",
       "Services that did not fit into the relay's tables: front ends serve them.", f && f->relay ? farm_left_out(f) : 0);
    fn(fn_ctx, "pointsman_relay_on", "", "gauge",
       "Whether packets are relayed by the kernel (1), or front ends serve it all (0).",
       f && f->relay && (!f->attached || farm_interfaces_any(f)) ? 1 : 0);
    farm_agents_metrics(f ? f->agents : NULL, fn, fn_ctx);
    farm_catalog_metrics(f ? f->catalog : NULL, fn, fn_ctx);
}
