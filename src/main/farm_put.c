/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan goes into the kernel's tables, and the one before out of them; resources of HTTP are the catalog's (farm_catalog.h). What does not fit is not half there: a door behind
 * which a name or a resource is missing leads to the front end, which knows them all, and a VIP without room is the kernel's,
 * where the front end listens. Connections that have begun go on.
 */
#include <netinet/in.h>
#include <string.h>
#include "base/log.h"
#include "main/farm_catalog.h"
#include "main/farm_internal.h"
#include "main/front_internal.h"
#include "model/quic_id.h"

static void first_error(int *all, int err)
{
    if (!*all)
        *all = err;
}

typedef int vip_fn(struct farm *f, const struct farm_service *s, const struct endpoint *at, uint8_t proto);

static int each_vip(struct farm *f, const struct farm_service *s, vip_fn *fn)
{
    uint32_t n;
    const uint32_t *ports = front_ports(s->front, &n);
    int err = PM_OK;
    CONFIG_EACH(struct cfg_vip, vip, s->at->vips) {
        if (s->packets_of_all) {
            struct endpoint at = {vip->addr, 0};
            first_error(&err, fn(f, s, &at, 0));
            continue;
        }
        for (uint32_t i = 0; i < n; i++) {
            struct endpoint at = {vip->addr, (uint16_t)ports[i]};
            first_error(&err, fn(f, s, &at, IPPROTO_TCP));
            if (s->front->relay == CFG_RELAY_PACKETS)
                first_error(&err, fn(f, s, &at, IPPROTO_UDP));
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
        if (door->front)
            vip.set = RELAY_SETS_MAX, vip.farm = 0;
        vip.flags = RELAY_VIP_DELAYED | RELAY_VIP_AGENTS | (s->tls ? RELAY_VIP_PINNED : 0);
    }
    if (proto == IPPROTO_UDP)
        set_quic(s->front, at, &vip);
    int err = relay_set_vip(f->relay, at, proto, &vip);
    if (err)
        (void)!relay_remove_vip(f->relay, at, proto);
    return err;
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
static void plan_remove(struct farm *f, struct farm_plan *old)
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

static bool put_all(struct farm *f)
{
    struct farm_plan *p = &f->plan;
    bool whole = true;
    for (uint32_t i = 0; i < p->door_count; i++) {
        p->doors[i].front = false;
        farm_ring_door(f, &p->doors[i]);
    }
    for (uint32_t i = 0; i < p->service_count; i++) {
        struct farm_service *s = &p->services[i];
        s->left_out = put_service(f, s);
        if (!s->left_out)
            s->left_out = farm_put_names(f, s);
        s->published = !s->left_out;
        if (s->left_out)
            farm_doors_to_front(f, s);
    }
    for (uint32_t i = 0; i < p->service_count; i++) { /* doors open when all is in place behind them */
        int err = each_vip(f, &p->services[i], put_vip);
        p->services[i].left_out = p->services[i].left_out ? p->services[i].left_out : err;
        whole &= !p->services[i].left_out;
    }
    return whole;
}

void farm_put_plan(struct farm *f, struct farm_plan *old)
{
    farm_catalog_publish(f->catalog);
    bool whole = !f->relay || put_all(f); /* else the front end is told who has what all the same */
    plan_remove(f, old);
    if (whole || put_all(f)) /* there is more room now */
        return;
    for (uint32_t i = 0; i < f->plan.service_count; i++)
        if (f->plan.services[i].left_out)
            log_warn("a service does not fit into the relay's tables, front ends serve it", "service", f->plan.services[i].name,
                     "why", err_text(f->plan.services[i].left_out));
}

unsigned farm_left_out(const struct farm *f)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < f->plan.service_count; i++)
        n += f->plan.services[i].left_out != PM_OK;
    return n;
}
