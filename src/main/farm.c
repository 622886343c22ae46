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
#include "relay/load.h"

enum { COOKIE_EPOCH_MS = 64000, DUMMY_V4 = 0xc0000008 /* 192.0.0.8, RFC 7600: our own front end as a node */ };

/* ---- life ---- */

bool farm_relays(const struct config *c, const struct cfg_service *s, const struct cfg_front *front)
{
    return front->relay && front_own_site(c, s);
}

bool farm_wanted(const struct config *c)
{
    if (!c->relay.interfaces.count)
        return false;
    CONFIG_EACH(struct cfg_service, s, c->services)
        CONFIG_EACH(struct cfg_front, cf, s->fronts)
            if (farm_relays(c, s, cf))
                return true;
    return false;
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
        err = node_open(true, &f->node, &f->why);
    if (err)
        return err;
    farm_interfaces(f, c);
    return PM_OK;
}

static void close_programs(struct farm *f)
{
    relay_close(f->relay);
    node_close(f->node);
    f->relay = NULL;
    f->node = NULL;
    f->interface_count = 0;
}

static void listen_stop(struct farm *f)
{
    if (!f->polling)
        return;
    uv_poll_stop(&f->poll);
    uv_timer_stop(&f->timer);
}

void farm_off(struct farm *f)
{
    log_warn("the relay is off, front ends serve instead", "why", buf_str(&f->why));
    listen_stop(f);
    farm_peers_free(f->peers);
    f->peers = NULL;
    assist_free(f->assist);
    f->assist = NULL;
    close_programs(f);
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
    if (open_programs(f, c) == PM_OK)
        farm_nodes_adopt(f);
    else
        farm_off(f);
    f->catalog = farm_catalog_new(f);
    err = farm_agents_new(f, loop, c, farm_catalog_events(f->catalog), kept, &f->agents, why);
    if (err) {
        farm_catalog_free(f->catalog);
        close_programs(f);
        free(f);
        return err;
    }
    farm_catalog_agents(f->catalog, &(struct farm_catalog_agents){f->agents, farm_agent_status, farm_agent_order});
    farm_names_begin(f);
    *out = f;
    return PM_OK;
}

int farm_sockets(const struct farm *f, struct listen_set *set)
{
    return farm_agents_sockets(f->agents, set);
}

/* ---- what the programs tell ---- */

static void settings(struct farm *f, bool last);

enum { ASSIST_TICK_MS = 10, EVENTS_TICK_MS = 100, PEERS_TICK_MS = 5 /* so much is not known elsewhere if we die */ };

static void on_event(void *arg, const struct relay_event *e)
{
    struct farm *f = arg;
    if (e->kind == RELAY_EVENT_SEGMENT)
        assist_segment(f->assist, e, clock_mono_ms(f->clock));
    else if (e->kind == RELAY_EVENT_RTT)
        farm_rtt_event(f, e);
    else if (e->kind == RELAY_EVENT_FLOW)
        farm_peers_event(f, &e->flow, &e->value);
}

/* The daemon's own decision. */
static void on_flow(void *arg, const struct relay_flow_key *k, const struct relay_flow *v)
{
    farm_peers_event(arg, k, v);
}

static void listen_again(struct farm *f, int events);

static void on_tick(uv_timer_t *t)
{
    struct farm *f = t->data;
    listen_again(f, relay_events_read(f->relay));
}

static void on_readable(uv_poll_t *p, int status, int events)
{
    struct farm *f = p->data;
    listen_again(f, relay_events_read(f->relay));
}

/* Events that wake nobody are read now and then; what waits for the rest of a request is looked at more often. */
static void listen_again(struct farm *f, int events)
{
    size_t waiting = assist_tick(f->assist, clock_mono_ms(f->clock));
    bool more = events >= RELAY_EVENTS_AT_ONCE; /* others get their turn first */
    farm_peers_tick(f);
    uv_timer_start(&f->timer, on_tick, more ? 1 : f->peers ? PEERS_TICK_MS : waiting ? ASSIST_TICK_MS : EVENTS_TICK_MS, 0);
}

int farm_start(struct farm *f, uv_loop_t *loop)
{
    farm_catalog_start(f->catalog, loop);
    if (!f->relay)
        return PM_OK;
    int err = relay_events_open(f->relay, on_event, f);
    if (!err)
        err = assist_new(f->relay, on_flow, f, &f->assist);
    if (err)
        return err;
    f->loop = loop;
    farm_peers_publish(f);
    uv_poll_init(loop, &f->poll, relay_events_fd(f->relay));
    uv_timer_init(loop, &f->timer);
    f->poll.data = f->timer.data = f;
    f->polling = true;
    uv_poll_start(&f->poll, UV_READABLE, on_readable);
    listen_again(f, 0);
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
    listen_stop(f);
    farm_peers_free(f->peers);
    assist_free(f->assist);
    farm_agents_free(f->agents);
    farm_catalog_free(f->catalog);
    rtt_samples_free(f->samples);
    if (f->relay && f->config)
        settings(f, stop);
    relay_leave(f->relay);
    if (stop)
        node_close(f->node);
    else
        node_leave(f->node);
    if (f->polling)
        uv_close((uv_handle_t *)&f->poll, poll_gone);
    if (f->plan.arena)
        arena_free(f->plan.arena);
    buf_fini(&f->why);
    if (!f->polling)
        free(f);
}

/* ---- settings ---- */

/* last: nobody is to take over by ourselves. */
static void settings(struct farm *f, bool last)
{
    uint64_t now = clock_wall_ms(f->clock);
    struct relay_settings s = {.self = FARM_SELF,
                               .epoch = (uint32_t)(now / COOKIE_EPOCH_MS),
                               .mss_v4 = f->config->relay.mtu - HANDOFF_OVER_V6 - 40,
                               .mss_v6 = f->config->relay.mtu - HANDOFF_OVER_V6 - 60,
                               .find_rate = f->config->relay.find_rate,
                               .icmp_rate = f->config->relay.icmp_rate,
                               .has_peers = f->config->relay.peers.count > 0};
    /* Who stands alone is better served by old tables than by nobody. */
    if (f->config->relay.takeover_ms && (last || f->config->relay.peers.count))
        s.until_ns = clock_mono_ns(f->clock) + f->config->relay.takeover_ms * 1000000;
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

int farm_publish(struct farm *f, const struct config *c, const struct front *front, struct buf *why)
{
    struct farm_plan old = f->plan;
    f->config = c;
    f->front = front;
    for (uint32_t i = 0; i < f->node_count; i++)
        f->nodes[i].wanted = f->nodes[i].handed = false, f->nodes[i].agent = NULL;
    f->plan = (struct farm_plan){0};
    if (f->relay)
        farm_interfaces(f, c);
    farm_plan_make(f, c, &f->plan);
    if (f->relay) {
        settings(f, false);
        set_self(f);
        farm_nodes_reach(f);
    }
    farm_put_plan(f, &old);
    if (f->relay) {
        farm_names_settled(f);
        farm_peers_publish(f);
    }
    int err = farm_agents_publish(f->agents, c, why);
    if (!err)
        farm_attach(f);
    return err;
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
        farm_ring_set(f, s, &s->h2c);
        for (uint32_t k = 0; s->tls && k < s->set_count; k++)
            farm_ring_set(f, s, &s->sets[k]);
    }
    farm_catalog_rings(f->catalog);
    for (uint32_t i = 0; i < f->plan.door_count; i++)
        farm_ring_door(f, &f->plan.doors[i]);
    farm_attach(f);
}

void farm_second(struct farm *f)
{
    if (!f->config)
        return;
    if (f->relay) {
        settings(f, false);
        farm_nodes_ask(f);
        node_sweep(f->node, clock_mono_ns(f->clock));
    }
    farm_agents_second(f->agents);
    farm_catalog_second(f->catalog);
    if (!f->relay)
        return;
    farm_peers_second(f);
    farm_update(f);
}
