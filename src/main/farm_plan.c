/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration as the relay has it, and what of it is written into the kernel's tables. */
#include <netinet/in.h>
#include <string.h>
#include "base/log.h"
#include "main/farm_catalog.h"
#include "main/farm_internal.h"
#include "main/front_internal.h"
#include "model/quic_id.h"

/* ---- a configuration's plan ---- */

uint32_t farm_set_take(struct farm *f, uint32_t spare)
{
    for (uint32_t i = 0; f->sets_used + spare < RELAY_SETS_MAX && i < RELAY_SETS_MAX; i++) {
        if (f->set_used[i / 8] >> i % 8 & 1)
            continue;
        f->set_used[i / 8] |= (uint8_t)(1 << i % 8);
        f->sets_used++;
        return i;
    }
    return RELAY_SETS_MAX;
}

void farm_set_give(struct farm *f, uint32_t i)
{
    if (i >= RELAY_SETS_MAX || !(f->set_used[i / 8] >> i % 8 & 1))
        return;
    f->set_used[i / 8] &= (uint8_t) ~(1 << i % 8);
    f->sets_used--;
}

/*
 * What has moved (R10, R11) is the front end's, and what is said of resources below it does not count. A pattern can be
 * about anything: then everything is.
 */
static void plan_rewrites(struct farm_plan *p, struct farm_service *s)
{
    s->moved = arena_alloc(p->arena, (s->front->rewrites.count + 1) * sizeof *s->moved);
    CONFIG_EACH(struct cfg_rewrite, r, s->front->rewrites) {
        size_t n = strlen(r->match);
        s->all_front |= r->regex || !n || r->match[n - 1] != '/';
        s->moved[s->moved_count++] = r->match;
    }
    if (s->all_front)
        s->moved_count = 0;
}

struct farm_set *farm_set_for(struct farm *f, struct farm_service *s, uint64_t holders)
{
    for (uint32_t i = 0; i < s->set_count; i++)
        if (s->sets[i].holders == holders)
            return &s->sets[i];
    s->sets[s->set_count] = (struct farm_set){.holders = holders, .index = farm_set_take(f, 0)};
    return &s->sets[s->set_count++];
}

static void plan_service(struct farm *f, struct farm_plan *p, const struct config *c, const struct cfg_service *svc,
                         const struct cfg_front *front, unsigned number)
{
    struct farm_service *s = &p->services[p->service_count++];
    *s = (struct farm_service){.name = number ? arena_printf(p->arena, "%s#%u", svc->name, number + 1) : svc->name,
                               .config = svc,
                               .at = front_own_site(c, svc),
                               .front = front,
                               .policy = front->policy,
                               .packets_of_all = front->relay == CFG_RELAY_CLIENTS,
                               .tls = front_reads_hello(front)};
    s->all = (struct farm_set){.index = farm_set_take(f, 0), .everything = true};
    s->any = (struct farm_set){.index = farm_set_take(f, 0)};
    s->h2c = (struct farm_set){.index = farm_set_take(f, 0), .only = true};
    s->servers = arena_alloc(p->arena, (s->at->servers.count + 1) * sizeof *s->servers);
    CONFIG_EACH(struct cfg_server, v, s->at->servers) {
        uint32_t node = farm_node_at(f, &v->at.addr, v->via);
        if (node == RELAY_NODES_MAX || s->server_count == FARM_SERVERS_MAX) {
            log_error("too many servers for the relay, the rest get nothing from it", "service", s->name);
            break;
        }
        f->nodes[node].wanted = true;
        if (v->agent)
            f->nodes[node].agent = v->agent;
        if (!v->holds.count)
            s->any.holders |= 1ull << s->server_count;
        s->h2c.holders |= v->h2c ? 1ull << s->server_count : 0;
        s->servers[s->server_count++] = (struct farm_server){v, node};
    }
    farm_plan_names(f, p, s);
    if (s->tls)
        farm_plan_hello(f, p, s);
    else
        plan_rewrites(p, s);
}

void farm_plan_make(struct farm *f, const struct config *c, struct farm_plan *p)
{
    uint32_t n = 0;
    p->arena = arena_new();
    CONFIG_EACH(struct cfg_service, s, c->services)
        n += s->fronts.count;
    p->services = arena_alloc(p->arena, (n + 1) * sizeof *p->services);
    CONFIG_EACH(struct cfg_service, s, c->services) {
        unsigned number = 0;
        CONFIG_EACH(struct cfg_front, cf, s->fronts) {
            if (farm_relays(c, s, cf))
                plan_service(f, p, c, s, cf, number);
            number++;
        }
    }
    farm_plan_doors(f, p);
}

/* ---- the kernel's tables ---- */

typedef int vip_fn(struct farm *f, const struct farm_service *s, const struct endpoint *at, uint8_t proto);

static int each_vip(struct farm *f, const struct farm_service *s, vip_fn *fn)
{
    uint32_t n;
    const uint32_t *ports = front_ports(s->front, &n);
    int err = PM_OK;
    CONFIG_EACH(struct cfg_vip, vip, s->at->vips) {
        if (s->packets_of_all) {
            struct endpoint at = {vip->addr, 0};
            err = err ? err : fn(f, s, &at, 0);
            continue;
        }
        for (uint32_t i = 0; i < n && !err; i++) {
            struct endpoint at = {vip->addr, (uint16_t)ports[i]};
            err = fn(f, s, &at, IPPROTO_TCP);
            if (!err && s->front->relay == CFG_RELAY_PACKETS)
                err = fn(f, s, &at, IPPROTO_UDP);
        }
    }
    return err;
}

static void set_quic(const struct cfg_front *front, const struct endpoint *at, struct relay_vip *vip)
{
    if (front->quic == CFG_QUIC_OFF || (front->quic == CFG_QUIC_AUTO && at->port != CFG_QUIC_PORT))
        return;
    vip->flags |= RELAY_VIP_QUIC | (front->quic_ids.count ? RELAY_VIP_QUIC_IDS : 0);
    CONFIG_EACH(struct cfg_quic_ids, q, front->quic_ids) {
        for (int bits = 0; bits < 8; bits++) {
            if (q->config != CFG_QUIC_ANY && q->config != bits + 1)
                continue;
            vip->quic_at[bits] = (uint8_t)q->offset;
            vip->quic_length[bits] = (uint8_t)q->length;
        }
    }
}

static int put_vip(struct farm *f, const struct farm_service *s, const struct endpoint *at, uint8_t proto)
{
    const struct farm_door *door = s->front->relay == CFG_RELAY_TRANSFER ? farm_door_at(&f->plan, at) : NULL;
    struct relay_vip vip = {.set = s->any.index, .all = s->all.index, .flags = s->packets_of_all ? RELAY_VIP_BY_CLIENT : 0};
    if (door) {
        vip = (struct relay_vip){.set = door->first->any.index, .all = door->all.index, .farm = door->farm};
        vip.flags = RELAY_VIP_DELAYED | RELAY_VIP_AGENTS | (s->tls ? RELAY_VIP_PINNED : 0);
    }
    if (proto == IPPROTO_UDP)
        set_quic(s->front, at, &vip);
    return relay_set_vip(f->relay, at, proto, &vip);
}

static int take_vip(struct farm *f, const struct farm_service *s, const struct endpoint *at, uint8_t proto)
{
    (void)s;
    (void)!relay_remove_vip(f->relay, at, proto);
    return PM_OK;
}

/* What servers put into QUIC connection ids; remove: no longer. */
static int quic_ids(struct farm *f, const struct farm_service *s, bool remove)
{
    int err = PM_OK;
    for (uint32_t i = 0; i < s->server_count; i++) {
        const struct cfg_server *v = s->servers[i].config;
        for (uint32_t k = 0; k < v->quic_ids.count && !err; k++) {
            uint8_t id[QUIC_ID_MAX];
            size_t n = quic_id_parse(((const char *const *)v->quic_ids.items)[k], id);
            if (remove)
                (void)!relay_remove_quic(f->relay, s->any.index, id, n);
            else
                err = relay_set_quic(f->relay, s->any.index, id, n, s->servers[i].node);
        }
    }
    return err;
}

static int put_service(struct farm *f, struct farm_service *s)
{
    int err = quic_ids(f, s, false);
    farm_ring_set(f, s, &s->all);
    farm_ring_set(f, s, &s->any);
    farm_ring_set(f, s, &s->h2c);
    for (uint32_t i = 0; s->tls && i < s->set_count; i++)
        farm_ring_set(f, s, &s->sets[i]);
    for (uint32_t i = 0; i < s->resource_count && !err; i++) {
        const struct farm_resource *r = &s->resources[i];
        err = relay_set_resource(f->relay, r->host, r->kind, r->text, farm_set_for(f, s, r->holders)->index,
                                 r->front || s->all_front ? RELAY_RESOURCE_FRONT : 0);
    }
    return err;
}

/* Doors open when all is in place behind them. */
int farm_plan_put(struct farm *f)
{
    struct farm_plan *p = &f->plan;
    int err = PM_OK;
    for (uint32_t i = 0; i < p->service_count && !err; i++)
        err = put_service(f, &p->services[i]);
    for (uint32_t i = 0; i < p->door_count; i++)
        farm_ring_door(f, &p->doors[i]);
    farm_catalog_publish(f->catalog);
    if (!err)
        err = farm_put_names(f);
    for (uint32_t i = 0; i < p->service_count && !err; i++)
        err = each_vip(f, &p->services[i], put_vip);
    return err;
}

static bool same_vip(const struct farm_plan *p, const struct endpoint *at, uint8_t proto)
{
    for (uint32_t i = 0; i < p->service_count; i++) {
        const struct farm_service *s = &p->services[i];
        uint32_t n;
        const uint32_t *ports = front_ports(s->front, &n);
        CONFIG_EACH(struct cfg_vip, vip, s->at->vips)
            for (uint32_t k = 0; k < n; k++)
                if (addr_eq(&vip->addr, &at->addr) && (s->packets_of_all ? !at->port : ports[k] == at->port) &&
                    (proto != IPPROTO_UDP || s->front->relay == CFG_RELAY_PACKETS))
                    return true;
    }
    return false;
}

static int take_if_gone(struct farm *f, const struct farm_service *s, const struct endpoint *at, uint8_t proto)
{
    return same_vip(&f->plan, at, proto) ? PM_OK : take_vip(f, s, at, proto);
}

/* What the plan before had and the one in force has not: names have numbers of their own in each. */
void farm_plan_remove(struct farm *f, struct farm_plan *old)
{
    for (uint32_t i = 0; i < old->service_count; i++) {
        struct farm_service *s = &old->services[i];
        if (f->relay) {
            (void)!each_vip(f, s, take_if_gone);
            for (uint32_t k = 0; k < s->resource_count; k++)
                (void)!relay_remove_resource(f->relay, s->resources[k].host, s->resources[k].kind, s->resources[k].text);
            (void)quic_ids(f, s, true);
        }
        farm_set_give(f, s->all.index);
        farm_set_give(f, s->any.index);
        farm_set_give(f, s->h2c.index);
        for (uint32_t k = 0; s->tls && k < s->set_count; k++)
            farm_set_give(f, s->sets[k].index);
    }
    farm_remove_names(f, old);
    if (old->arena)
        arena_free(old->arena);
}
