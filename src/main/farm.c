/* SPDX-License-Identifier: Apache-2.0 */
#include "main/farm.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "main/farm_catalog.h"
#include "main/farm_internal.h"
#include "main/front_internal.h"
#include "model/quic_id.h"
#include "relay/load.h"

enum { COOKIE_EPOCH_MS = 64000, DUMMY_V4 = 0xc0000008 /* 192.0.0.8, RFC 7600: our own front end as a node */ };

/* ---- life ---- */

static bool relays(const struct config *c, const struct cfg_service *s, const struct cfg_front *front)
{
    return front->relay && front_own_site(c, s);
}

bool farm_wanted(const struct config *c)
{
    if (!c->relay.interfaces.count)
        return false;
    CONFIG_EACH(struct cfg_service, s, c->services)
        CONFIG_EACH(struct cfg_front, cf, s->fronts)
            if (relays(c, s, cf))
                return true;
    return false;
}

static int attach(struct farm *f, const struct config *c)
{
    const char *const *names = c->relay.interfaces.items;
    int err = PM_OK;
    for (uint32_t i = 0; !err && i < c->relay.interfaces.count && i < FARM_INTERFACES_MAX; i++) {
        unsigned index = if_nametoindex(names[i]);
        bool native = false;
        if (!index) {
            buf_printf(&f->why, "there is no interface %s", names[i]);
            return PM_ENOTFOUND;
        }
        err = node_attach(f->node, index, &f->why);
        if (!err)
            err = relay_attach(f->relay, index, &native, &f->why);
        if (err)
            break;
        snprintf(f->interface[f->interface_count].name, sizeof f->interface[0].name, "%s", names[i]);
        f->interface[f->interface_count].index = index;
        f->interface[f->interface_count++].native = native;
        log_notice("relay attached", "interface", names[i], "in", native ? "the driver" : "the generic path, slower");
    }
    /* The daemon's own segments to its own front end come in there. */
    return err ? err : node_attach(f->node, if_nametoindex("lo"), &f->why);
}

static int open_programs(struct farm *f, const struct config *c)
{
    bool pin = load_can_pin(c->relay.pin);
    struct relay_options o = {.pin = pin ? c->relay.pin : NULL, .flows_max = c->relay.flows};
    if (!pin)
        log_warn("no BPF file system there: a restart forgets the relay's connections, and asks the nodes for them", "path",
                 c->relay.pin);
    int err = relay_open(&o, &f->relay, &f->why);
    if (!err)
        err = node_open(NULL, &f->node, &f->why);
    return err ? err : attach(f, c);
}

static void close_programs(struct farm *f)
{
    relay_close(f->relay);
    node_close(f->node);
    f->relay = NULL;
    f->node = NULL;
    f->interface_count = 0;
}

int farm_new(const struct config *c, const struct clock *clock, uv_loop_t *loop, struct listen_set *kept, struct farm **out,
             struct buf *why)
{
    struct farm *f = mem_alloc(sizeof *f);
    f->clock = clock;
    f->samples = rtt_samples_new(0);
    int err = relay_secret_load(c->relay.key, f->secret, why);
    if (err) {
        rtt_samples_free(f->samples);
        free(f);
        return err;
    }
    relay_tag_secret(f->secret, f->tag_secret);
    if (open_programs(f, c) != PM_OK) {
        log_warn("the relay is off, front ends serve instead", "why", buf_str(&f->why));
        close_programs(f);
    }
    f->catalog = farm_catalog_new(f);
    err = farm_agents_new(f, loop, c, farm_catalog_events(f->catalog), kept, &f->agents, why);
    if (err) {
        farm_catalog_free(f->catalog);
        close_programs(f);
        free(f);
        return err;
    }
    farm_catalog_agents(f->catalog, &(struct farm_catalog_agents){f->agents, farm_agent_status, farm_agent_order});
    *out = f;
    return PM_OK;
}

int farm_sockets(const struct farm *f, struct listen_set *set)
{
    return farm_agents_sockets(f->agents, set);
}

/* ---- what the programs tell ---- */

enum { ASSIST_TICK_MS = 10, EVENTS_TICK_MS = 100 };

static void on_event(void *arg, const struct relay_event *e)
{
    struct farm *f = arg;
    if (e->kind == RELAY_EVENT_SEGMENT)
        assist_segment(f->assist, e, clock_mono_ms(f->clock));
    else if (e->kind == RELAY_EVENT_RTT)
        farm_rtt_event(f, e);
}

static void listen_again(struct farm *f);

static void on_tick(uv_timer_t *t)
{
    struct farm *f = t->data;
    (void)relay_events_read(f->relay);
    (void)assist_tick(f->assist, clock_mono_ms(f->clock));
    listen_again(f);
}

static void on_readable(uv_poll_t *p, int status, int events)
{
    struct farm *f = p->data;
    (void)relay_events_read(f->relay);
    listen_again(f);
}

/* Events that wake nobody are read now and then; what waits for the rest of a request is looked at more often. */
static void listen_again(struct farm *f)
{
    size_t waiting = assist_tick(f->assist, clock_mono_ms(f->clock));
    uv_timer_start(&f->timer, on_tick, waiting ? ASSIST_TICK_MS : EVENTS_TICK_MS, 0);
}

int farm_start(struct farm *f, uv_loop_t *loop)
{
    farm_catalog_start(f->catalog, loop);
    if (!f->relay)
        return PM_OK;
    int err = relay_events_open(f->relay, on_event, f);
    if (!err)
        err = assist_new(f->relay, &f->assist);
    if (err)
        return err;
    uv_poll_init(loop, &f->poll, relay_events_fd(f->relay));
    uv_timer_init(loop, &f->timer);
    f->poll.data = f->timer.data = f;
    f->polling = true;
    uv_poll_start(&f->poll, UV_READABLE, on_readable);
    listen_again(f);
    return PM_OK;
}

static void farm_gone(uv_handle_t *h)
{
    free(h->data);
}

/* Both handles are in f, and libuv closes the later one first: one after the other. */
static void poll_gone(uv_handle_t *h)
{
    struct farm *f = h->data;
    uv_close((uv_handle_t *)&f->timer, farm_gone);
}

void farm_free(struct farm *f, bool stop)
{
    if (!f)
        return;
    assist_free(f->assist);
    farm_agents_free(f->agents);
    farm_catalog_free(f->catalog);
    rtt_samples_free(f->samples);
    if (f->polling) {
        uv_poll_stop(&f->poll);
        uv_timer_stop(&f->timer);
        uv_close((uv_handle_t *)&f->poll, poll_gone);
    }
    if (stop)
        close_programs(f);
    if (f->plan.arena)
        arena_free(f->plan.arena);
    buf_fini(&f->why);
    if (!f->polling)
        free(f);
}

/* ---- settings ---- */

static void settings(struct farm *f)
{
    uint64_t now = clock_wall_ms(f->clock);
    struct relay_settings s = {.self = FARM_SELF,
                               .epoch = (uint32_t)(now / COOKIE_EPOCH_MS),
                               .mss_v4 = f->config->relay.mtu - HANDOFF_OVER_V6 - 40,
                               .mss_v6 = f->config->relay.mtu - HANDOFF_OVER_V6 - 60,
                               .find_rate = f->config->relay.find_rate,
                               .icmp_rate = f->config->relay.icmp_rate};
    struct addr dummy = {.family = ADDR_V4, .bytes = {192, 0, 0, 8}}, home = {.family = ADDR_V4, .bytes = {127, 0, 0, 1}};
    relay_cookie_key(f->secret, &s.cookie);
    s.tag_key = relay_tag_keys(f->tag_secret, now, s.tag);
    int err = relay_set_settings(f->relay, &s);
    if (!err)
        err = node_trust(f->node, &dummy, s.tag);
    if (!err)
        err = node_trust(f->node, &home, s.tag);
    if (err)
        log_error("the relay does not take its settings", "why", err_text(err));
}

static void set_self(struct farm *f)
{
    struct addr dummy = {.family = ADDR_V4, .bytes = {192, 0, 0, 8}};
    struct relay_node n = {.mode = RELAY_NODE_SELF, .mtu = 65535};
    relay_addr(n.addr, &dummy);
    relay_addr(n.source, &dummy);
    int err = relay_set_node(f->relay, FARM_SELF, &n);
    if (err)
        log_error("the relay does not take its own front end", "why", err_text(err));
}

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

static void plan_service(struct farm *f, struct farm_plan *p, const struct config *c, const struct cfg_service *svc,
                         const struct cfg_front *front, unsigned number)
{
    struct farm_service *s = &p->services[p->service_count++];
    *s = (struct farm_service){.name = number ? arena_printf(p->arena, "%s#%u", svc->name, number + 1) : svc->name,
                               .config = svc,
                               .at = front_own_site(c, svc),
                               .front = front,
                               .policy = front->policy,
                               .packets_of_all = front->relay == CFG_RELAY_CLIENTS};
    s->host_id = farm_catalog_host(f->catalog, s->name);
    s->all = (struct farm_set){.index = farm_set_take(f, 0), .everything = true};
    s->any = (struct farm_set){.index = farm_set_take(f, 0)};
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
        s->servers[s->server_count++] = (struct farm_server){v, node};
    }
    plan_rewrites(p, s);
}

static void plan_make(struct farm *f, const struct config *c, struct farm_plan *p)
{
    uint32_t n = 0;
    p->arena = arena_new();
    CONFIG_EACH(struct cfg_service, s, c->services)
        n += s->fronts.count;
    p->services = arena_alloc(p->arena, (n + 1) * sizeof *p->services);
    CONFIG_EACH(struct cfg_service, s, c->services) {
        unsigned number = 0;
        CONFIG_EACH(struct cfg_front, cf, s->fronts) {
            if (relays(c, s, cf))
                plan_service(f, p, c, s, cf, number);
            number++;
        }
    }
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
    bool delayed = s->front->relay == CFG_RELAY_TRANSFER;
    struct relay_vip vip = {.set = s->any.index,
                            .all = s->all.index,
                            .flags = (delayed ? RELAY_VIP_DELAYED | RELAY_VIP_AGENTS : 0) |
                                     (s->packets_of_all ? RELAY_VIP_BY_CLIENT : 0),
                            .farm = at->port};
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

int farm_hosts_put(struct farm *f, const struct farm_service *s)
{
    uint32_t n;
    const uint32_t *ports = front_ports(s->front, &n);
    const char *const *alias = s->config->aliases.items;
    struct relay_host host = {s->host_id, s->all_front || s->default_front ? RELAY_SETS_MAX : s->any.index};
    int err = PM_OK;
    for (uint32_t i = 0; i < n && !err; i++) {
        err = relay_set_host(f->relay, ports[i], s->config->name, &host);
        for (uint32_t k = 0; k < s->config->aliases.count && !err; k++)
            err = relay_set_host(f->relay, ports[i], alias[k], &host);
        /* Who comes by the bare address, or by a name we do not know, gets the first service there. */
        bool first = true;
        for (const struct farm_service *o = f->plan.services; o < s; o++)
            first &= o->front->relay != CFG_RELAY_TRANSFER || front_ports(o->front, &n)[0] != ports[i];
        (void)front_ports(s->front, &n);
        if (!err && first)
            err = relay_set_host(f->relay, ports[i], NULL, &host);
    }
    return err;
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
    if (!err && s->front->relay == CFG_RELAY_TRANSFER)
        err = farm_hosts_put(f, s);
    s->published = true;
    return err ? err : each_vip(f, s, put_vip);
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

/* What the plan before had and the one in force has not. Names of hosts were put anew under the new numbers. */
static void plan_remove(struct farm *f, struct farm_plan *old)
{
    for (uint32_t i = 0; i < old->service_count; i++) {
        struct farm_service *s = &old->services[i];
        if (f->relay) {
            (void)!each_vip(f, s, take_if_gone);
            (void)quic_ids(f, s, true);
        }
        farm_set_give(f, s->all.index);
        farm_set_give(f, s->any.index);
    }
    if (old->arena)
        arena_free(old->arena);
}

/* The kernel's tables for the plan; resources are the catalog's. */
static int put_plan(struct farm *f)
{
    int err = PM_OK;
    settings(f);
    set_self(f);
    farm_nodes_reach(f);
    for (uint32_t i = 0; i < f->plan.service_count; i++) {
        farm_ring_set(f, &f->plan.services[i], &f->plan.services[i].all);
        farm_ring_set(f, &f->plan.services[i], &f->plan.services[i].any);
    }
    farm_catalog_publish(f->catalog);
    for (uint32_t i = 0; i < f->plan.service_count && !err; i++)
        err = put_service(f, &f->plan.services[i]);
    return err;
}

int farm_publish(struct farm *f, const struct config *c, const struct front *front, struct buf *why)
{
    struct farm_plan old = f->plan;
    int err = PM_OK;
    f->config = c;
    f->front = front;
    for (uint32_t i = 0; i < f->node_count; i++)
        f->nodes[i].wanted = false, f->nodes[i].agent = NULL;
    f->plan = (struct farm_plan){0};
    plan_make(f, c, &f->plan);
    if (f->relay)
        err = put_plan(f);
    else /* the front end is told who has what all the same */
        farm_catalog_publish(f->catalog), farm_nodes_reach(f);
    if (err)
        buf_printf(why, "the relay does not take the configuration: %s", err_text(err));
    plan_remove(f, &old);
    return err ? err : farm_agents_publish(f->agents, c, why);
}

/* ---- what changes ---- */

/* A node is down when every service calls it so, or an operator has disabled it there: then its connections end. */
static void note_down(struct farm *f)
{
    for (uint32_t i = 0; i < f->node_count; i++)
        f->nodes[i].down = f->nodes[i].wanted;
    for (uint32_t i = 0; i < f->plan.service_count; i++) {
        const struct farm_service *s = &f->plan.services[i];
        for (uint32_t k = 0; k < s->server_count; k++) {
            uint8_t health, word;
            front_server_state(f->front, s->name, s->servers[k].config->name, &health, &word);
            f->nodes[s->servers[k].node].down &= word == OVERRIDE_DISABLE || (health == HEALTH_DOWN && word != OVERRIDE_FORCE);
        }
    }
}

void farm_update(struct farm *f)
{
    if (!f->relay || !f->config)
        return;
    note_down(f);
    farm_nodes_reach(f);
    for (uint32_t i = 0; i < f->plan.service_count; i++) {
        struct farm_service *s = &f->plan.services[i];
        farm_ring_set(f, s, &s->all);
        farm_ring_set(f, s, &s->any);
    }
    farm_catalog_rings(f->catalog);
}

void farm_second(struct farm *f)
{
    if (!f->config)
        return;
    farm_agents_second(f->agents);
    farm_catalog_second(f->catalog);
    if (!f->relay)
        return;
    settings(f);
    farm_update(f);
}
