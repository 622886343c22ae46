/* SPDX-License-Identifier: Apache-2.0 */
/* The relay's connections: where each is, and what for. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "main/farm_catalog.h"
#include "main/front_internal.h"

enum { FLOWS_LOOKED_AT = 1 << 20, KEPT_MIN = 512 };

struct row {
    struct relay_flow_key key;
    struct relay_flow flow;
};

/* Matching flows, of which at least the `limit` seen last are kept. */
struct listing {
    const struct farm *f;
    const struct api_sessions *q;
    uint8_t at_node[RELAY_NODES_MAX]; /* q->server's machines */
    struct row *rows;
    uint32_t count, cap, total, looked_at;
    bool cut_short;
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

/* ---- which ---- */

/* Servers of several services may have one name. */
static void find_server(struct listing *l)
{
    l->at_node[FARM_SELF] = strcmp(l->q->server, API_FRONT_END) == 0;
    for (uint32_t i = 0; i < l->f->plan.service_count; i++) {
        const struct farm_service *s = &l->f->plan.services[i];
        for (uint32_t k = 0; k < s->server_count; k++)
            l->at_node[s->servers[k].node] |= strcmp(s->servers[k].config->name, l->q->server) == 0;
    }
}

static bool wanted(const struct listing *l, const struct relay_flow_key *k, const struct relay_flow *v)
{
    struct endpoint client, vip;
    if (l->q->server && (v->node >= RELAY_NODES_MAX || !l->at_node[v->node]))
        return false;
    endpoint_of(k->client, k->client_port, &client);
    endpoint_of(k->vip, k->vip_port, &vip);
    if (l->q->client && !prefix_contains(l->q->client, &client.addr))
        return false;
    return !l->q->vip.addr.family ||
           (addr_eq(&vip.addr, &l->q->vip.addr) && (!l->q->vip.port || l->q->vip.port == vip.port));
}

static int newer(const void *a, const void *b)
{
    uint64_t x = ((const struct row *)a)->flow.seen_ns, y = ((const struct row *)b)->flow.seen_ns;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void keep_newest(struct listing *l)
{
    qsort(l->rows, l->count, sizeof *l->rows, newer);
    if (l->count > l->q->limit)
        l->count = l->q->limit;
}

static bool take(void *arg, const struct relay_flow_key *k, const struct relay_flow *v)
{
    struct listing *l = arg;
    if (l->looked_at == FLOWS_LOOKED_AT) {
        l->cut_short = true;
        return false;
    }
    l->looked_at++;
    if (!wanted(l, k, v))
        return true;
    l->total++;
    if (l->count == l->cap)
        keep_newest(l);
    l->rows[l->count++] = (struct row){*k, *v};
    return true;
}

/* ---- as they are shown ---- */

/* The service with that set; a set's number from before a reload may mean another now, so the address must fit. */
static const struct farm_service *service_of(const struct farm *f, const struct endpoint *vip,
                                             const struct relay_flow *v)
{
    const struct farm_service *first = NULL;
    for (uint32_t i = 0; i < f->plan.service_count; i++) {
        const struct farm_service *s = &f->plan.services[i];
        uint32_t n;
        const uint32_t *ports = front_ports(s->front, &n);
        bool port = false;
        for (uint32_t k = 0; k < n; k++)
            port |= ports[k] == vip->port;
        if (v->state != RELAY_FLOW_PLAIN && port && farm_set_at(s, v->set))
            return s;
        if (!first && farm_is_at(s, vip))
            first = s;
    }
    return first;
}

/* What its last request was for, as far as the relay cares: "/img/ and 3 more". */
static json_t *what_for(const struct farm *f, const struct farm_service *s, const struct relay_flow *v)
{
    char first[FARM_RESOURCE_TEXT] = "", all[FARM_RESOURCE_TEXT + 32];
    uint32_t more = 0;
    if (!s || v->state == RELAY_FLOW_PLAIN || v->state == RELAY_FLOW_ASSIST || v->set >= RELAY_SETS_MAX)
        return json_null();
    const struct farm_set *set = farm_set_at(s, v->set);
    if (set == &s->any)
        return json_string("*");
    if (set == &s->h2c)
        return json_string("h2c");
    if (set && !s->tls && !farm_catalog_of_set(f->catalog, s, set, first, &more) && !more)
        return json_null();
    for (uint32_t i = 0; set && i < s->resource_count; i++) {
        if (s->resources[i].holders != set->holders || s->resources[i].front)
            continue;
        if (*first)
            more++;
        else
            (void)farm_resource_text(&s->resources[i], first);
    }
    snprintf(all, sizeof all, !*first && more ? "%s%u resources" : more ? "%s and %u more" : "%s", first, more);
    return *all ? json_string(all) : json_null();
}

static json_t *row_json(const struct farm *f, const struct row *r, uint64_t now_ns)
{
    static const char *const states[] = {"relayed", "request arriving", "handed over", "answering", "ended", "connecting"};
    const struct relay_flow *v = &r->flow;
    char client[ENDPOINT_TEXT], vip[ENDPOINT_TEXT];
    struct endpoint from, to;
    endpoint_of(r->key.client, r->key.client_port, &from);
    endpoint_of(r->key.vip, r->key.vip_port, &to);
    bool all = !r->key.proto; /* all that a client sends: no address, no ports */
    const struct farm_service *s = all ? NULL : service_of(f, &to, v);
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:o, s:s, s:I, s:i, s:b, s:b, s:b, s:b, s:I}", "client",
                     all ? addr_format(&from.addr, client) : endpoint_format(&from, client), "vip",
                     all ? "*" : endpoint_format(&to, vip), "protocol",
                     r->key.proto == IPPROTO_TCP   ? "tcp"
                     : r->key.proto == IPPROTO_UDP ? "udp"
                                                   : "ip",
                     "service", s ? json_string(s->name) : json_null(), "node", farm_node_name(f, s, v->node), "for",
                     what_for(f, s, v), "state", v->state < PM_ARRAY_LEN(states) ? states[v->state] : "?", "seen-ms-ago",
                     (json_int_t)(now_ns > v->seen_ns ? (now_ns - v->seen_ns) / 1000000 : 0), "moves", (int)v->moves,
                     "closing", !!(v->flags & RELAY_FLOW_REPLACEABLE), "pinned", !!(v->flags & RELAY_FLOW_PINNED),
                     "found", !!(v->flags & RELAY_FLOW_GUESS), "pipelines", !!(v->flags & RELAY_FLOW_PIPELINES),
                     "packets", (json_int_t)v->packets);
}

json_t *farm_sessions(const struct farm *f, const struct api_sessions *q)
{
    struct listing *l = mem_alloc(sizeof *l);
    json_t *list = json_array();
    l->f = f;
    l->q = q;
    l->cap = q->limit < KEPT_MIN ? KEPT_MIN : q->limit * 2;
    l->rows = mem_alloc(l->cap * sizeof *l->rows);
    if (q->server)
        find_server(l);
    if (f->relay)
        relay_flows(f->relay, take, l);
    keep_newest(l);
    uint64_t now = clock_mono_ns(f->clock);
    for (uint32_t i = 0; i < l->count; i++)
        json_array_append_new(list, row_json(f, &l->rows[i], now));
    json_t *out = json_pack("{s:i, s:i, s:b, s:o}", "total", (int)l->total, "looked-at", (int)l->looked_at, "complete",
                            !l->cut_short, "sessions", list);
    free(l->rows);
    free(l);
    return out;
}
