/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/mesh.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "mesh/mesh_internal.h"

static void gone(void *ctx, const struct mesh_stored *s)
{
    struct mesh *m = ctx;
    if (m->calls.changed && !(s->rec.flags & MESH_RECORD_TOMBSTONE))
        m->calls.changed(m->calls.user, s, MESH_GONE);
}

/* ---- life ---- */

static void defaults(struct mesh_config *c)
{
    static const struct mesh_store_limits limits = {2048, 4096, 1 << 20, (size_t)256 << 20};
    struct mesh_store_limits *l = &c->limits;
    l->origins = l->origins ? l->origins : limits.origins;
    l->records_each = l->records_each ? l->records_each : limits.records_each;
    l->bytes_each = l->bytes_each ? l->bytes_each : limits.bytes_each;
    l->bytes = l->bytes ? l->bytes : limits.bytes;
    c->peer_bytes_per_s = c->peer_bytes_per_s ? c->peer_bytes_per_s : 2000000;
    c->peer_records_per_s = c->peer_records_per_s ? c->peer_records_per_s : 5000;
    c->queue_max = c->queue_max ? c->queue_max : 4096;
    c->links_max = c->links_max ? c->links_max : 512;
}

struct mesh *mesh_new(const struct mesh_config *config, const struct clock *clock, const struct mesh_calls *calls,
                      const struct mesh_trust *trust)
{
    struct mesh *m = mem_alloc(sizeof *m);
    m->config = *config;
    m->config.node = mem_strdup(config->node);
    m->config.region = mem_strdup(config->region);
    m->config.site = mem_strdup(config->site ? config->site : "");
    m->config.software = mem_strdup(config->software ? config->software : "");
    m->config.address = mem_strdup(config->address ? config->address : "");
    m->config.seeds = NULL;
    defaults(&m->config);
    m->clock = clock;
    m->calls = *calls;
    m->signs = trust != NULL;
    if (trust)
        m->trust = *trust;
    mesh_now(m);
    m->incarnation = config->incarnation;
    m->store = mesh_store_new(&m->config.limits, gone, m);
    map_init(&m->peers);
    map_init(&m->own);
    map_init(&m->wanted);
    m->flush_due = m->own_due = UINT64_MAX;
    m->slow_due = m->now + SLOW_MS;
    m->digest_due = m->now + DIGEST_MS;
    m->topology_due = m->now;
    (void)topology_peer(m, mesh_str(m->config.node), mesh_str(m->config.region)); /* region 0 is ours */
    for (size_t i = 0; i < config->seed_count; i++) {
        struct mesh_peer *p = topology_peer(m, mesh_str(config->seeds[i].name), mesh_str(config->seeds[i].region));
        if (p)
            p->seed = true;
    }
    own_start(m);
    return m;
}

void mesh_free(struct mesh *m)
{
    if (!m)
        return;
    m->calls = (struct mesh_calls){0};
    for (size_t i = 0; i < m->session_count; i++) {
        session_fail(m->sessions[i], "leaving");
        session_free(m->sessions[i]);
    }
    free(m->sessions);
    own_free(m);
    size_t at = 0;
    struct map_slot slot;
    while (map_next(&m->wanted, &at, &slot))
        free(slot.value);
    map_fini(&m->wanted);
    mesh_store_free(m->store);
    topology_free(m);
    free((char *)(uintptr_t)m->config.node);
    free((char *)(uintptr_t)m->config.region);
    free((char *)(uintptr_t)m->config.site);
    free((char *)(uintptr_t)m->config.software);
    free((char *)(uintptr_t)m->config.address);
    free(m);
}

int mesh_link_up(struct mesh *m, struct mesh_link *link)
{
    mesh_now(m);
    if (m->session_count >= m->config.links_max)
        return PM_EBUSY;
    const struct mesh_peer *p = topology_find(m, mesh_str(link->peer));
    if (strcmp(link->peer, m->config.node) == 0 || (m->config.closed && (!p || !p->seed)) ||
        (p && p->banned_until_ms > m->now))
        return PM_EPERM;
    if (m->session_count == m->session_cap) {
        m->session_cap = m->session_cap ? m->session_cap * 2 : 16;
        m->sessions = mem_realloc(m->sessions, m->session_cap * sizeof(struct session *));
    }
    m->sessions[m->session_count++] = session_new(m, link);
    return PM_OK;
}

void mesh_link_failed(struct mesh *m, const char *name)
{
    struct mesh_peer *p = topology_find(m, mesh_str(name));
    mesh_now(m);
    if (!p)
        return;
    p->failures++;
    uint64_t wait = 500ull << (p->failures < 5 ? p->failures : 5);
    p->backoff_until_ms = m->now + (wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS);
    m->topology_due = m->now;
}

/* ---- what comes in ---- */

bool mesh_believes(const struct session *from, struct mesh_str node)
{
    const struct mesh *m = from->m;
    if (m->signs || mesh_str_eq(node, mesh_str(from->peer->name)))
        return true;
    const struct mesh_peer *writer = topology_find(m, node);
    if (writer && !writer->region && writer->session && writer->session->state == SESSION_UP)
        return false; /* it says so itself, to everybody in its region */
    return !from->foreign || (writer && writer->region == from->peer->region) || !writer;
}

static bool proven(const struct session *from, const struct mesh_record *rec)
{
    static uint8_t wire[MESH_RECORD_MAX];
    struct mesh *m = from->m;
    const struct mesh_stored *identity = mesh_store_get(m->store, rec->node, MESH_KIND_IDENTITY, mesh_str(""));
    if (!rec->signature_len)
        return false;
    struct mesh_writer w = mesh_writer(wire, sizeof wire);
    mesh_put_record(&w, rec);
    struct mesh_signed what = mesh_record_signed(wire, rec);
    const struct mesh_record *id = rec->kind == MESH_KIND_IDENTITY ? rec : identity ? &identity->rec : NULL;
    return m->trust.verify(m->trust.user, rec->node, id, &what, rec->signature, rec->signature_len) == 0;
}

void mesh_push(struct mesh *m, const struct session *from, struct mesh_stored *s)
{
    bool event = s->rec.flags & MESH_RECORD_EVENT;
    if (event)
        repair_soon(m);
    for (size_t i = 0; i < m->session_count; i++) {
        struct session *to = m->sessions[i];
        if (to->state != SESSION_UP || to == from)
            continue;
        bool wanted = !to->foreign || (!from && (to->entry == 1 || (event && to->entry)));
        if (wanted)
            session_queue(to, s, false);
    }
}

void mesh_heard(struct session *from, const struct mesh_record *rec, bool repair)
{
    struct mesh *m = from->m;
    struct mesh_counters *c = &from->peer->counters;
    struct mesh_stored *s;
    c->records_in++;
    c->events_in += (rec->flags & MESH_RECORD_EVENT) != 0;
    if (mesh_str_eq(rec->node, mesh_str(m->config.node))) {
        if (rec->incarnation > m->incarnation && (!m->signs || proven(from, rec)))
            own_set_back(m, rec->incarnation);
        return;
    }
    int err = mesh_store_check(m->store, rec);
    if (err) {
        c->records_same += err == PM_EEXISTS;
        c->records_over += err != PM_EEXISTS;
        return;
    }
    bool own_word = mesh_str_eq(rec->node, mesh_str(from->peer->name));
    if (!mesh_believes(from, rec->node) || (m->signs && !own_word && !proven(from, rec))) {
        c->records_refused++;
        return;
    }
    if (mesh_store_apply(m->store, rec, m->now, &s) != 0)
        return;
    c->records_new++;
    c->repairs_in += repair;
    if (rec->kind == MESH_KIND_NODE)
        topology_learn(m, &s->rec);
    if (from->foreign)
        mesh_push(m, from, s);
    else if (rec->flags & MESH_RECORD_EVENT)
        repair_soon(m);
    if (m->calls.changed)
        m->calls.changed(m->calls.user, s, s->rec.flags & MESH_RECORD_TOMBSTONE ? MESH_REMOVED : MESH_WRITTEN);
}

/* ---- readers ---- */

const struct mesh_stored *mesh_find(const struct mesh *m, const char *node, uint16_t kind, const char *subject)
{
    const struct mesh_stored *s = mesh_store_get(m->store, mesh_str(node), kind, mesh_str(subject));
    return s && !(s->rec.flags & MESH_RECORD_TOMBSTONE) ? s : NULL;
}

const struct mesh_stored *mesh_next(const struct mesh *m, struct mesh_iter *it, uint16_t kind)
{
    struct map_slot slot;
    for (; it->bucket < MESH_BUCKETS; it->bucket++, it->origin = NULL) {
        if (!it->origin) {
            it->origin = mesh_store_bucket(m->store, it->bucket);
            it->at = 0;
        }
        for (; it->origin; it->origin = it->origin->next, it->at = 0) {
            while (map_next(&it->origin->records, &it->at, &slot)) {
                const struct mesh_stored *s = slot.value;
                if ((!kind || s->rec.kind == kind) && !(s->rec.flags & MESH_RECORD_TOMBSTONE))
                    return s;
            }
        }
    }
    return NULL;
}

void mesh_verdict(struct mesh *m, const char *node, uint16_t kind, const char *subject, enum mesh_verdict v)
{
    struct mesh_stored *s = mesh_store_get(m->store, mesh_str(node), kind, mesh_str(subject));
    if (s)
        s->verdict = (uint8_t)v;
}

uint32_t mesh_age(const struct mesh *m, const struct mesh_stored *s)
{
    return mesh_stored_age(s, clock_mono_ms(m->clock));
}

const struct mesh_store *mesh_store_of(const struct mesh *m)
{
    return m->store;
}

/* ---- time ---- */

static void reap(struct mesh *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->session_count; i++) {
        struct session *s = m->sessions[i];
        if (s->state == SESSION_DEAD)
            session_free(s);
        else
            m->sessions[n++] = s;
    }
    m->session_count = n;
}

static void flush_all(struct mesh *m)
{
    m->flush_due = UINT64_MAX;
    for (size_t i = 0; i < m->session_count; i++)
        session_flush(m->sessions[i]);
}

static void slow(struct mesh *m)
{
    m->slow_due = m->now + SLOW_MS;
    for (size_t i = 0; i < m->session_count; i++) {
        session_slow(m->sessions[i]);
        repair_pending(m->sessions[i]);
    }
    mesh_store_expire(m->store, m->now);
}

void mesh_tick(struct mesh *m)
{
    mesh_now(m);
    own_tick(m);
    if (m->now >= m->slow_due)
        slow(m);
    if (m->now >= m->topology_due)
        topology_update(m);
    if (m->now >= m->digest_due)
        repair_round(m);
    if (m->now >= m->flush_due)
        flush_all(m);
    reap(m);
}

uint64_t mesh_next_due(const struct mesh *m)
{
    uint64_t due = m->flush_due;
    mesh_due(&due, m->slow_due);
    mesh_due(&due, m->digest_due);
    mesh_due(&due, m->topology_due);
    mesh_due(&due, m->own_due);
    return due;
}

/* ---- what is shown ---- */

static int by_name(const void *a, const void *b)
{
    const struct mesh_peer *x = *(const struct mesh_peer *const *)a, *y = *(const struct mesh_peer *const *)b;
    return strcmp(x->name, y->name);
}

static struct mesh_peer_status status_of(const struct mesh *m, const struct mesh_peer *p)
{
    uint64_t now = clock_mono_ms(m->clock);
    const struct session *s = p->session;
    const struct mesh_origin *o = mesh_store_origin(m->store, mesh_str(p->name));
    struct mesh_peer_status st = {.name = p->name,
                                  .region = m->regions[p->region].name,
                                  .site = p->site,
                                  .software = p->software,
                                  .why = p->why,
                                  .seed = p->seed,
                                  .needed = p->needed,
                                  .incarnation = p->incarnation,
                                  .heard_ms = UINT64_MAX,
                                  .rtt_us = p->rtt_us,
                                  .records = o ? o->count : 0,
                                  .newest_age_ms = UINT32_MAX,
                                  .bytes_in = p->bytes_in,
                                  .bytes_out = p->bytes_out,
                                  .messages_in = p->messages_in,
                                  .messages_out = p->messages_out,
                                  .counters = p->counters};
    struct map_slot slot;
    for (size_t at = 0; o && map_next(&o->records, &at, &slot);) {
        uint32_t age = mesh_stored_age(slot.value, now);
        st.newest_age_ms = age < st.newest_age_ms ? age : st.newest_age_ms;
    }
    if (!s || !s->link)
        return st;
    st.up = s->state == SESSION_UP;
    st.called = s->link->called;
    st.entry = s->entry;
    st.blocked = s->blocked;
    st.version = s->version;
    st.up_ms = now - s->up_ms;
    st.heard_ms = now - s->heard_ms;
    st.queued = s->queue_len;
    st.bytes_in += s->link->bytes_in;
    st.bytes_out += s->link->bytes_out;
    st.messages_in += s->link->messages_in;
    st.messages_out += s->link->messages_out;
    return st;
}

void mesh_status(const struct mesh *m, void (*fn)(void *ctx, const struct mesh_peer_status *s), void *ctx)
{
    const struct mesh_peer **all = mem_alloc((m->peers.count + 1) * sizeof *all);
    size_t n = 0, at = 0;
    struct map_slot slot;
    while (map_next(&m->peers, &at, &slot))
        if (strcmp(((struct mesh_peer *)slot.value)->name, m->config.node) != 0)
            all[n++] = slot.value;
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++) {
        struct mesh_peer_status s = status_of(m, all[i]);
        fn(ctx, &s);
    }
    free(all);
}

void mesh_totals(const struct mesh *m, struct mesh_totals *out)
{
    *out = (struct mesh_totals){.records = mesh_store_count(m->store),
                                .bytes = mesh_store_bytes(m->store),
                                .writers = mesh_store_origins(m->store),
                                .incarnation = m->incarnation,
                                .set_back = m->set_back};
    for (size_t i = 0; i < m->session_count; i++)
        out->links += m->sessions[i]->state == SESSION_UP;
}
