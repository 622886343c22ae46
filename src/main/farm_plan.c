/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration as the relay has it. */
#include <string.h>
#include "base/log.h"
#include "main/farm_catalog.h"
#include "main/farm_internal.h"
#include "main/front_internal.h"

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
        f->nodes[node].handed |= front->relay == CFG_RELAY_TRANSFER;
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
