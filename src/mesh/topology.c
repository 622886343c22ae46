/* SPDX-License-Identifier: Apache-2.0 */
/* Who is there, who calls whom, and which two nodes are our entries into each other region. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "mesh/mesh_internal.h"
#include "mesh/values.h"

enum { REGIONS_MAX = 1024 };

struct mesh_peer *topology_find(const struct mesh *m, struct mesh_str name)
{
    return map_get(&m->peers, name.p, name.n);
}

static int64_t region_of(struct mesh *m, struct mesh_str name)
{
    for (uint32_t i = 0; i < m->region_count; i++)
        if (mesh_str_eq(mesh_str(m->regions[i].name), name))
            return i;
    if (m->region_count == REGIONS_MAX)
        return -1;
    m->regions = mem_realloc(m->regions, (m->region_count + 1) * sizeof *m->regions);
    m->regions[m->region_count] = (struct region){0};
    memcpy(m->regions[m->region_count].name, name.p, name.n);
    return m->region_count++;
}

/* Lower is better; every caller has another order, so the work of relaying is spread. */
static uint64_t rank_of(const struct mesh *m, const char *name)
{
    char text[2 * MESH_NAME_MAX + 2];
    int n = snprintf(text, sizeof text, "%s %s", m->config.node, name);
    return hash_bytes(text, (size_t)n, 0);
}

static void peer_free(struct mesh *m, struct mesh_peer *p)
{
    map_del_str(&m->peers, p->name);
    free(p);
}

struct mesh_peer *topology_peer(struct mesh *m, struct mesh_str name, struct mesh_str region)
{
    struct mesh_peer *p = topology_find(m, name);
    if (!mesh_name_ok(name) || (region.n && !mesh_name_ok(region)))
        return NULL;
    if (!p) {
        if (m->peers.count >= m->config.limits.origins)
            return NULL;
        p = mem_alloc(sizeof *p);
        memcpy(p->name, name.p, name.n);
        p->rank = rank_of(m, p->name);
        p->missing_ms = m->now;
        map_put_str(&m->peers, p->name, p);
        m->topology_due = m->now;
    }
    int64_t number = region.n ? region_of(m, region) : p->region;
    if (number < 0) {
        peer_free(m, p);
        return NULL;
    }
    if (p->region != (uint32_t)number)
        m->topology_due = m->now;
    p->region = (uint32_t)number;
    return p;
}

void topology_learn(struct mesh *m, const struct mesh_record *rec)
{
    struct mesh_node_value v;
    if (m->config.closed || rec->flags & MESH_RECORD_TOMBSTONE || mesh_get_node(rec, &v) != 0)
        return;
    struct mesh_peer *p = topology_peer(m, rec->node, v.region);
    if (p && !p->session) {
        snprintf(p->site, sizeof p->site, "%.*s", MESH_STR_ARG(v.site));
        snprintf(p->software, sizeof p->software, "%.*s", MESH_STR_ARG(v.software));
    }
}

/* ---- links ---- */

/* Both sides keep the same one of two links: what the lower name has called, if it is alive. */
static bool stays(const struct session *old, const struct session *later)
{
    const struct mesh *m = old->m;
    bool lower = strcmp(m->config.node, old->peer->name) < 0;
    return old->state == SESSION_UP && old->link && old->link->called == lower && later->link->called != lower &&
           m->now - old->heard_ms < PING_AFTER_MS;
}

void topology_up(struct session *s)
{
    struct mesh *m = s->m;
    struct mesh_peer *p = s->peer;
    struct session *old = p->session;
    if (old && stays(old, s)) {
        session_fail(s, "there is a link already");
        return;
    }
    p->session = s;
    p->failures = 0;
    p->why[0] = 0;
    if (old && old != s)
        session_fail(old, "replaced by another link");
    else if (m->calls.peer)
        m->calls.peer(m->calls.user, p->name, true, "");
    topology_update(m);
}

void topology_down(struct session *s)
{
    struct mesh *m = s->m;
    struct mesh_peer *p = s->peer;
    if (!p || p->session != s)
        return;
    p->session = NULL;
    p->missing_ms = m->now;
    snprintf(p->why, sizeof p->why, "%s", s->why);
    m->topology_due = m->now;
    if (m->calls.peer)
        m->calls.peer(m->calls.user, p->name, false, s->why);
}

static bool is_up(const struct mesh_peer *p)
{
    return p->session && p->session->state == SESSION_UP;
}

/* Keeps the two lowest ranks, in order. */
static void keep_best(struct mesh_peer *best[ENTRIES], struct mesh_peer *p)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (best[i] && best[i]->rank <= p->rank)
            continue;
        struct mesh_peer *push = best[i];
        best[i] = p;
        p = push;
        if (!p)
            return;
    }
}

static bool among(struct mesh_peer *const best[ENTRIES], const struct mesh_peer *p)
{
    return best[0] == p || best[1] == p;
}

/* Inside a region the lower name calls; the higher does, too, when that does not come about. */
static bool calls(const struct mesh *m, const struct mesh_peer *p)
{
    if (p->region)
        return among(m->regions[p->region].want, p) || among(m->regions[p->region].up, p);
    return strcmp(m->config.node, p->name) < 0 || (!is_up(p) && m->now - p->missing_ms >= OTHER_CALLS_MS) ||
           (is_up(p) && p->needed);
}

static void set_entry(struct mesh_peer *p, unsigned entry)
{
    if (!p->session || p->session->entry == entry)
        return;
    if (entry && !p->session->entry)
        p->session->eager = true; /* what we said before it was our entry it may not have */
    p->session->entry = entry;
    if (p->session->eager)
        mesh_due(&p->session->m->flush_due, p->session->m->now);
}

void topology_update(struct mesh *m)
{
    size_t at = 0;
    struct map_slot slot;
    m->topology_due = m->now + TOPOLOGY_MS;
    for (uint32_t i = 0; i < m->region_count; i++)
        memset(m->regions[i].want, 0, 2 * sizeof m->regions[i].want);
    while (map_next(&m->peers, &at, &slot)) {
        struct mesh_peer *p = slot.value;
        struct region *r = &m->regions[p->region];
        if (is_up(p))
            keep_best(r->up, p);
        if (p->backoff_until_ms <= m->now && p->banned_until_ms <= m->now)
            keep_best(r->want, p);
    }
    at = 0;
    while (map_next(&m->peers, &at, &slot)) {
        struct mesh_peer *p = slot.value;
        if (strcmp(p->name, m->config.node) == 0)
            continue;
        bool needed = calls(m, p);
        if (p->region)
            set_entry(p, p == m->regions[p->region].up[0] ? 1 : p == m->regions[p->region].up[1] ? 2 : 0);
        if (needed == p->needed)
            continue;
        p->needed = needed;
        if (m->calls.need_link)
            m->calls.need_link(m->calls.user, p->name, needed);
    }
}

void topology_free(struct mesh *m)
{
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&m->peers, &at, &slot))
        free(slot.value);
    map_fini(&m->peers);
    free(m->regions);
}
