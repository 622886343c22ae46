/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in the relay: which services are at a door (an address and port where connections are transferred), which name
 * leads to which, and, for TLS, which servers have a name and a protocol. A configuration's names are put under numbers of
 * its own; the door then shows the new number, all at once, and the old ones go.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "main/farm_catalog.h"
#include "main/farm_internal.h"
#include "main/front_internal.h"

/* ---- planning ---- */

void farm_plan_names(struct farm *f, struct farm_plan *p, struct farm_service *s)
{
    const char *const *alias = s->config->aliases.items;
    s->names = arena_alloc(p->arena, (s->config->aliases.count + 1) * sizeof *s->names);
    s->names[s->name_count++] = s->config->name;
    for (uint32_t i = 0; i < s->config->aliases.count; i++)
        s->names[s->name_count++] = alias[i];
    s->host_count = s->tls ? s->name_count : 1;
    s->host_id = s->tls ? f->next_host : farm_catalog_host(f->catalog, s->name);
    f->next_host += s->tls ? s->host_count : 0;
}

static void add(struct farm *f, struct farm_service *s, struct farm_resource r)
{
    s->resources[s->resource_count++] = r;
    farm_set_for(f, s, r.holders)->only = true;
}

void farm_plan_hello(struct farm *f, struct farm_plan *p, struct farm_service *s)
{
    uint32_t protocols, most;
    const char *const *protocol = front_alpn(p->arena, s->at, &protocols);
    uint64_t others = front_alpn_holders(s->at, NULL);
    most = s->name_count * (protocols + 1) + 1;
    s->resources = arena_alloc(p->arena, most * sizeof *s->resources);
    s->sets = arena_alloc(p->arena, most * sizeof *s->sets);
    for (uint32_t i = 0; i < s->name_count; i++) {
        uint64_t mine = front_name_holders(s->at, s->names[i]), rest = mine & others ? mine & others : mine;
        struct farm_resource r = {.host = s->host_id + i, .kind = RELAY_RESOURCE_PATH, .text = "", .name = s->names[i], .holders = rest};
        add(f, s, r);
        r.kind = RELAY_RESOURCE_ALPN;
        for (uint32_t k = 0; k < protocols; k++) {
            r.text = protocol[k];
            r.holders = mine & front_alpn_holders(s->at, protocol[k]);
            if (r.holders)
                add(f, s, r);
        }
    }
    s->any.holders = s->resources[0].holders;
    s->any.only = true;
}

static bool same_door(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && addr_eq(&a->addr, &b->addr);
}

const struct farm_door *farm_door_at(const struct farm_plan *p, const struct endpoint *at)
{
    for (uint32_t i = 0; i < p->door_count; i++)
        if (same_door(&p->doors[i].at, at))
            return &p->doors[i];
    return NULL;
}

static void plan_door(struct farm *f, struct farm_plan *p, struct farm_service *s, const struct endpoint *at)
{
    struct farm_door *d = (struct farm_door *)(uintptr_t)farm_door_at(p, at);
    if (!d) {
        d = &p->doors[p->door_count++];
        *d = (struct farm_door){.at = *at, .farm = f->next_farm++, .first = s};
        d->all = (struct farm_set){.index = farm_set_take(f, 0), .everything = true};
    }
    if (!d->first_h2c && s->h2c.holders && !s->tls)
        d->first_h2c = s;
}

/* Addresses and ports of a service whose connections are transferred: how many, and up to n of them in out. */
static uint32_t each_door(const struct farm_service *s, uint32_t n, struct endpoint *out)
{
    uint32_t ports, count = 0;
    const uint32_t *port = front_ports(s->front, &ports);
    if (s->front->relay != CFG_RELAY_TRANSFER)
        return 0;
    CONFIG_EACH(struct cfg_vip, vip, s->at->vips)
        for (uint32_t i = 0; i < ports; i++, count++)
            if (count < n)
                out[count] = (struct endpoint){vip->addr, (uint16_t)port[i]};
    return count;
}

static struct endpoint *doors_of(struct arena *a, const struct farm_service *s, uint32_t *count)
{
    *count = each_door(s, 0, NULL);
    struct endpoint *list = arena_alloc(a, (*count + 1) * sizeof *list);
    (void)each_door(s, *count, list);
    return list;
}

void farm_plan_doors(struct farm *f, struct farm_plan *p)
{
    uint32_t most = 0, n;
    for (uint32_t i = 0; i < p->service_count; i++)
        most += each_door(&p->services[i], 0, NULL);
    p->doors = arena_alloc(p->arena, (most + 1) * sizeof *p->doors);
    for (uint32_t i = 0; i < p->service_count; i++) {
        const struct endpoint *at = doors_of(p->arena, &p->services[i], &n);
        for (uint32_t k = 0; k < n; k++)
            plan_door(f, p, &p->services[i], &at[k]);
    }
}

/* ---- the kernel's tables ---- */

static struct relay_host host_of(const struct farm_service *s, uint32_t name)
{
    if (s->tls)
        return (struct relay_host){s->host_id + name, s->any.index};
    return (struct relay_host){s->host_id, s->all_front || s->default_front ? RELAY_SETS_MAX : s->any.index};
}

static int put_at(struct farm *f, const struct farm_service *s, const struct farm_door *d)
{
    int err = PM_OK;
    for (uint32_t i = 0; i < s->name_count && !err; i++) {
        struct relay_host host = host_of(s, i), h2c = {s->host_id, s->h2c.index};
        err = relay_set_host(f->relay, d->farm, s->names[i], &host);
        if (!err && s->h2c.holders && !s->tls)
            err = relay_set_h2c(f->relay, d->farm, s->names[i], &h2c);
    }
    /* Who comes by the bare address, or by a name we do not know, gets the first service there. */
    if (!err && d->first == s) {
        struct relay_host host = host_of(s, 0);
        err = relay_set_host(f->relay, d->farm, NULL, &host);
    }
    if (!err && d->first_h2c == s)
        err = relay_set_h2c(f->relay, d->farm, NULL, &(struct relay_host){s->host_id, s->h2c.index});
    return err;
}

int farm_put_names(struct farm *f, const struct farm_service *s)
{
    struct arena *a = arena_new(); /* not the plan's: names are put again as long as it is in force */
    uint32_t n;
    int err = PM_OK;
    const struct endpoint *at = doors_of(a, s, &n);
    for (uint32_t k = 0; k < n && !err; k++)
        err = put_at(f, s, farm_door_at(&f->plan, &at[k]));
    arena_free(a);
    return err;
}

void farm_doors_to_front(struct farm *f, const struct farm_service *s)
{
    uint32_t n;
    const struct endpoint *at = doors_of(f->plan.arena, s, &n);
    for (uint32_t i = 0; i < f->plan.door_count; i++)
        for (uint32_t k = 0; k < n; k++)
            f->plan.doors[i].front |= same_door(&f->plan.doors[i].at, &at[k]);
}

void farm_remove_names(struct farm *f, struct farm_plan *old)
{
    for (uint32_t i = 0; f->relay && i < old->service_count; i++) {
        const struct farm_service *s = &old->services[i];
        uint32_t n;
        const struct endpoint *at = doors_of(old->arena, s, &n);
        for (uint32_t k = 0; k < n; k++) {
            uint32_t farm = farm_door_at(old, &at[k])->farm;
            for (uint32_t m = 0; m < s->name_count; m++) {
                (void)!relay_remove_host(f->relay, farm, s->names[m]);
                (void)!relay_remove_h2c(f->relay, farm, s->names[m]);
            }
            (void)!relay_remove_host(f->relay, farm, NULL);
            (void)!relay_remove_h2c(f->relay, farm, NULL);
        }
    }
    for (uint32_t i = 0; i < old->door_count; i++)
        farm_set_give(f, old->doors[i].all.index);
}

void farm_names_begin(struct farm *f)
{
    f->next_farm = f->next_host = 1;
    if (!f->relay)
        return;
    relay_names_used(f->relay, &f->own_farm, &f->own_host);
    f->next_farm = ++f->own_farm;
    f->next_host = ++f->own_host;
}

void farm_names_settled(struct farm *f)
{
    if (f->own_farm)
        relay_names_forget(f->relay, f->own_farm, f->own_host);
    f->own_farm = 0;
}
