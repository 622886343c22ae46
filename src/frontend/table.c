/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/internal.h"
#include "http/chars.h"
#include "http/uri.h"

/* ---- states, found by name ---- */

void front_states_init(struct front_states *s, unsigned threads)
{
    map_init(&s->servers);
    map_init(&s->services);
    s->threads = threads;
}

void front_states_fini(struct front_states *s)
{
    map_fini(&s->servers);
    map_fini(&s->services);
}

static void *aligned(size_t size)
{
    void *p = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!p)
        abort();
    memset(p, 0, size);
    return p;
}

static struct front_server_state *server_state(struct front_states *all, const char *key, const struct endpoint *at)
{
    struct front_server_state *s = map_get_str(&all->servers, key);
    if (!s) {
        s = aligned(sizeof *s + all->threads * sizeof s->per_thread[0]);
        s->key = mem_strdup(key);
        s->at = *at;
        s->threads = all->threads;
        atomic_store(&s->load, UINT32_MAX);
        map_put_str(&all->servers, s->key, s);
    }
    s->refs++;
    return s;
}

static struct front_service_state *service_state(struct front_states *all, const char *key)
{
    struct front_service_state *s = map_get_str(&all->services, key);
    if (!s) {
        s = aligned(sizeof *s + all->threads * sizeof s->per_thread[0]);
        s->key = mem_strdup(key);
        s->threads = all->threads;
        map_put_str(&all->services, s->key, s);
    }
    s->refs++;
    return s;
}

static void server_unref(struct front_states *all, struct front_server_state *s)
{
    if (!s || --s->refs)
        return;
    map_del_str(&all->servers, s->key);
    free(s->key);
    free(s);
}

static void service_unref(struct front_states *all, struct front_service_state *s)
{
    if (!s || --s->refs)
        return;
    map_del_str(&all->services, s->key);
    free(s->key);
    free(s);
}

/* ---- services ---- */

static char *copy(struct arena *a, const char *s)
{
    return s ? arena_strdup(a, s) : NULL;
}

static void fill(uint32_t *value, uint32_t def)
{
    if (*value == 0)
        *value = def;
}

static void server_build(struct front_states *states, struct arena *a, const struct front_service *s, struct front_server *v)
{
    char text[ENDPOINT_TEXT];
    const char *at = endpoint_format(&v->at, text);
    v->name = arena_strdup(a, v->name ? v->name : at);
    v->url = v->url ? arena_strdup(a, v->url) : arena_printf(a, "http://%s", at);
    v->sockaddr_len = endpoint_to_sockaddr(&v->at, &v->sockaddr);
    /* Not seeded: the same server has the same mark at every balancer, and after a restart. */
    const char *key = arena_printf(a, "%s %s", s->name, v->name);
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *p = key; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 0x100000001b3u;
    hash ^= hash >> 29;
    v->hash = (uint32_t)(hash ^ hash >> 32);
    snprintf(v->cookie, sizeof v->cookie, "%08x", v->hash);
    v->state = server_state(states, arena_printf(a, "%s %s %s", s->name, v->name, at), &v->at);
}

static int service_build(struct front_states *states, struct arena *a, struct front_service *s, struct buf *why)
{
    if (s->server_count > FRONT_SERVERS_MAX || s->site_count > FRONT_SITES_MAX) {
        buf_printf(why, "service %s has too many servers or sites", s->name);
        return PM_ECONFIG;
    }
    s->name = arena_strdup(a, s->name);
    s->cookie = arena_strdup(a, s->cookie ? s->cookie : "pm-server");
    fill(&s->queue_limit, 1024);
    fill(&s->retries, 3);
    fill(&s->pool, 256);
    fill(&s->times.idle, 60000);
    fill(&s->times.head, 10000);
    fill(&s->times.stall, 30000);
    fill(&s->times.connect, 3000);
    fill(&s->times.response, 60000);
    fill(&s->times.queue, 5000);
    fill(&s->times.tunnel, 3600000);
    fill(&s->times.pool, 30000);
    s->state = service_state(states, s->name);
    struct front_server *servers = ARENA_ARRAY(a, struct front_server, s->server_count);
    for (uint32_t i = 0; i < s->server_count; i++) {
        servers[i] = s->servers[i];
        if (servers[i].weight > FRONT_WEIGHT_MAX)
            servers[i].weight = FRONT_WEIGHT_MAX;
        if (!s->known)
            servers[i].slot = i;
        server_build(states, a, s, &servers[i]);
    }
    s->servers = servers;
    struct front_site *sites = ARENA_ARRAY(a, struct front_site, s->site_count);
    for (uint32_t i = 0; i < s->site_count; i++)
        sites[i] = (struct front_site){copy(a, s->sites[i].name), copy(a, s->sites[i].url), s->sites[i].self};
    s->sites = sites;
    front_holdings_build(a, s);
    struct front_rewrite *rules = ARENA_ARRAY(a, struct front_rewrite, s->rewrite_count);
    uint32_t want = s->rewrite_count;
    const struct front_rewrite *from = s->rewrites;
    s->rewrites = rules;
    for (s->rewrite_count = 0; s->rewrite_count < want; s->rewrite_count++) {
        struct front_rewrite *r = &rules[s->rewrite_count];
        *r = from[s->rewrite_count];
        r->compiled = NULL;
        r->match = copy(a, r->match);
        r->to = copy(a, r->to);
        int rc = front_rewrite_compile(r, why);
        if (rc != PM_OK)
            return rc;
    }
    return PM_OK;
}

/* ---- listeners ---- */

static uint8_t kind_of(const struct front_service *s)
{
    return s->mode >= FRONT_TCP ? s->mode : FRONT_SERVE;
}

static struct front_listener *listener_at(struct front_table *t, const struct endpoint *at)
{
    for (uint32_t i = 0; i < t->listener_count; i++)
        if (t->listeners[i].at.port == at->port && addr_eq(&t->listeners[i].at.addr, &at->addr))
            return &t->listeners[i];
    return NULL;
}

static int host_add(struct front_table *t, struct front_listener *l, struct front_service *s, const char *host,
                    struct buf *why)
{
    bool wild = strncmp(host, "*.", 2) == 0;
    char *key = arena_strdup(t->arena, wild ? host + 1 : host);
    for (char *p = key; *p; p++)
        *p = http_lower(*p);
    l->wildcards |= wild;
    const struct front_service *other = map_put_str(&l->hosts, key, s);
    if (!other || other == s)
        return PM_OK;
    char text[ENDPOINT_TEXT];
    buf_printf(why, "host %s on %s belongs to both %s and %s", host, endpoint_format(&l->at, text), other->name, s->name);
    return PM_ECONFIG;
}

static int listen_add(struct front_table *t, struct front_service *s, const struct endpoint *at, struct buf *why)
{
    struct front_listener *l = listener_at(t, at);
    char text[ENDPOINT_TEXT];
    if (!l) {
        l = &t->listeners[t->listener_count++];
        l->at = *at;
        l->mode = kind_of(s);
        l->hello = s->hello;
        map_init(&l->hosts);
    } else if (l->mode != kind_of(s) || l->hello != s->hello || (l->mode != FRONT_SERVE && !l->hello)) {
        buf_printf(why, "%s cannot share %s with another service", s->name, endpoint_format(at, text));
        return PM_ECONFIG;
    }
    if (!l->fallback || (s->is_default && !l->fallback->is_default))
        l->fallback = s;
    int rc = PM_OK;
    for (uint32_t i = 0; rc == PM_OK && i < s->host_count; i++)
        rc = host_add(t, l, s, s->hosts[i], why);
    return rc;
}

int front_table_build(struct front_states *states, const struct front_service *services, uint32_t count,
                      struct front_table **out, struct buf *why)
{
    struct front_table *t = aligned(sizeof *t + states->threads * sizeof t->uses[0]);
    uint32_t listens = 0;
    int rc = PM_OK;
    t->arena = arena_new();
    t->services = ARENA_ARRAY(t->arena, struct front_service, count);
    for (uint32_t i = 0; i < count; i++)
        listens += services[i].listen_count;
    t->listeners = ARENA_ARRAY(t->arena, struct front_listener, listens);
    for (uint32_t i = 0; rc == PM_OK && i < count; i++) {
        struct front_service *s = &t->services[t->service_count++];
        *s = services[i];
        s->index = i;
        rc = service_build(states, t->arena, s, why);
        for (uint32_t k = 0; rc == PM_OK && k < s->listen_count; k++)
            rc = listen_add(t, s, &s->listen[k], why);
        /* They were only needed here, and are the caller's. */
        s->hosts = NULL;
        s->listen = NULL;
        s->host_count = s->listen_count = 0;
    }
    if (rc != PM_OK) {
        front_table_free(states, t);
        return rc;
    }
    *out = t;
    return PM_OK;
}

void front_table_free(struct front_states *states, struct front_table *t)
{
    for (uint32_t i = 0; i < t->service_count; i++) {
        struct front_service *s = &t->services[i];
        for (uint32_t k = 0; s->state && k < s->server_count; k++)
            server_unref(states, s->servers[k].state);
        for (uint32_t k = 0; s->state && k < s->rewrite_count; k++)
            front_rewrite_free(&s->rewrites[k]);
        service_unref(states, s->state);
    }
    for (uint32_t i = 0; i < t->listener_count; i++)
        map_fini(&t->listeners[i].hosts);
    arena_free(t->arena);
    free(t);
}

void front_table_mark(struct front_states *states, const struct front_table *t)
{
    struct map_slot slot;
    for (size_t at = 0; map_next(&states->servers, &at, &slot);)
        atomic_store(&((struct front_server_state *)slot.value)->retired, true);
    for (uint32_t i = 0; i < t->service_count; i++)
        for (uint32_t k = 0; k < t->services[i].server_count; k++)
            atomic_store(&t->services[i].servers[k].state->retired, false);
}

const struct front_service *front_table_route(const struct front_listener *l, const char *host, size_t len)
{
    char name[260];
    if (l->hosts.count == 0)
        return l->fallback;
    size_t n = http_authority_host(host, len);
    if (n >= sizeof name)
        return NULL;
    for (size_t i = 0; i < n; i++)
        name[i] = http_lower(host[i]);
    const struct front_service *s = n ? map_get(&l->hosts, name, n) : NULL;
    for (size_t i = 0; !s && l->wildcards && i < n; i++) /* the longest suffix first */
        if (name[i] == '.')
            s = map_get(&l->hosts, name + i, n - i);
    return s ? s : l->fallback && l->fallback->is_default ? l->fallback : NULL;
}
