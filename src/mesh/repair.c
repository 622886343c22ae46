/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparisons: what a push has missed. digest (what I hold, in 64 buckets) -> summary (writers of the buckets that differ)
 * -> want (send me these) -> records.
 */
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "mesh/mesh_internal.h"

enum { WANTED_MAX = 4096 };

void repair_begin(struct session *s, bool now)
{
    uint8_t space[MESH_HEADER + 8 * MESH_BUCKETS];
    struct mesh_writer w = mesh_writer(space, sizeof space);
    const uint64_t *digest = mesh_store_digest(s->m->store);
    mesh_message_start(&w, MESH_DIGEST, now ? MESH_MESSAGE_NOW : 0);
    for (unsigned b = 0; b < MESH_BUCKETS; b++)
        mesh_put_int(&w, digest[b], 8);
    s->peer->counters.digests++;
    session_send(s, &w);
}

/* ---- lists that may take several messages ---- */

struct list {
    struct session *s;
    struct mesh_writer w;
    size_t count_at;
    unsigned count, limit;
    enum mesh_message_type type;
    uint8_t flags;
    uint64_t mask;
    uint8_t space[MESH_MESSAGE_MAX];
};

static void list_open(struct list *l)
{
    l->w = mesh_writer(l->space, sizeof l->space);
    mesh_message_start(&l->w, l->type, l->flags);
    if (l->type == MESH_SUMMARY)
        mesh_put_int(&l->w, l->mask, 8);
    l->count_at = l->w.len;
    l->count = 0;
    mesh_put_int(&l->w, 0, 2);
}

static void list_close(struct list *l)
{
    l->space[l->count_at] = (uint8_t)(l->count >> 8);
    l->space[l->count_at + 1] = (uint8_t)l->count;
    session_send(l->s, &l->w);
}

static struct list *list_new(struct session *s, enum mesh_message_type type, uint8_t flags, uint64_t mask)
{
    struct list *l = mem_alloc(sizeof *l);
    l->s = s;
    l->type = type;
    l->flags = flags;
    l->mask = mask;
    list_open(l);
    return l;
}

/* Room for one more item, in a further message if need be. With a mask the other side then tells of writers that are in
 * another of the messages; it is told nothing wrong, only more than needed. */
static void list_room(struct list *l)
{
    if (l->w.len + 1 + MESH_NAME_MAX + 24 <= sizeof l->space && l->count < UINT16_MAX) {
        l->count++;
        return;
    }
    list_close(l);
    list_open(l);
    l->count++;
}

static void list_end(struct list *l)
{
    if (l->count || l->mask)
        list_close(l);
    free(l);
}

static void summarize(struct list *l, const struct mesh_origin *o)
{
    list_room(l);
    mesh_put_summary(&l->w, &(struct mesh_summary_item){mesh_str(o->name), o->incarnation, o->highest, o->hash});
}

/* ---- digest ---- */

void repair_digest(struct session *s, struct mesh_reader *r, uint8_t flags)
{
    const uint64_t *mine = mesh_store_digest(s->m->store);
    uint64_t differ = 0;
    for (unsigned b = 0; b < MESH_BUCKETS; b++)
        differ |= (uint64_t)(mesh_get(r, 8) != mine[b]) << b;
    if (r->bad) {
        session_fail(s, "short digest");
        return;
    }
    if (!differ)
        return;
    struct list *l = list_new(s, MESH_SUMMARY, flags & MESH_MESSAGE_NOW, differ);
    for (unsigned b = 0; b < MESH_BUCKETS; b++)
        for (const struct mesh_origin *o = differ >> b & 1 ? mesh_store_bucket(s->m->store, b) : NULL; o; o = o->next)
            if (o->counted)
                summarize(l, o);
    list_end(l);
}

/* ---- asking ---- */

/* Whether the other side has what we lack. */
static bool lacks(const struct mesh *m, struct mesh_str node, uint64_t incarnation, uint64_t highest, uint64_t hash,
                  uint64_t *after)
{
    const struct mesh_origin *o = mesh_store_origin(m->store, node);
    *after = 0;
    if (!o || o->incarnation < incarnation)
        return highest > 0;
    if (o->incarnation > incarnation || o->hash == hash)
        return false;
    if (highest > o->highest)
        *after = o->highest;
    return highest >= o->highest; /* equal, and another hash: one of us lacks something before it */
}

/* One peer at a time is asked for a writer. */
static bool may_ask(struct mesh *m, struct mesh_str node)
{
    struct wanted *w = map_get(&m->wanted, node.p, node.n);
    if (w && w->until_ms > m->now)
        return false;
    if (!w) {
        if (m->wanted.count >= WANTED_MAX)
            return true;
        w = mem_alloc(sizeof *w);
        memcpy(w->name, node.p, node.n);
        map_put_str(&m->wanted, w->name, w);
    }
    w->until_ms = m->now + WANT_WAIT_MS;
    return true;
}

static void ask(struct list *want, struct mesh_str node, uint64_t incarnation, uint64_t after)
{
    bool itself = mesh_str_eq(node, mesh_str(want->s->peer->name)); /* nobody knows better */
    if (!may_ask(want->s->m, node) && !itself)
        return;
    list_room(want);
    mesh_put_want(&want->w, &(struct mesh_want_item){node, incarnation, after});
}

static void remember(struct session *s, const struct mesh_summary_item *i)
{
    if (s->pending_len == PENDING_MAX)
        return;
    if (s->pending_len == s->pending_cap) {
        s->pending_cap = s->pending_cap ? s->pending_cap * 2 : 16;
        s->pending = mem_realloc(s->pending, s->pending_cap * sizeof *s->pending);
    }
    struct pending_want *p = &s->pending[s->pending_len++];
    *p = (struct pending_want){
        .incarnation = i->incarnation, .highest = i->highest, .hash = i->hash, .due_ms = s->m->now + WANT_DELAY_MS};
    memcpy(p->name, i->node.p, i->node.n);
}

void repair_pending(struct session *s)
{
    uint32_t left = 0;
    uint64_t after;
    if (!s->pending_len || s->state != SESSION_UP)
        return;
    struct list *want = list_new(s, MESH_WANT, 0, 0);
    for (uint32_t i = 0; i < s->pending_len; i++) {
        const struct pending_want *p = &s->pending[i];
        if (p->due_ms > s->m->now)
            s->pending[left++] = *p;
        else if (lacks(s->m, mesh_str(p->name), p->incarnation, p->highest, p->hash, &after))
            ask(want, mesh_str(p->name), p->incarnation, after);
    }
    s->pending_len = left;
    list_end(want);
}

/* ---- summary ---- */

/* Do we hold newer of this writer than the other side says it does? */
static bool ahead(const struct mesh *m, const struct mesh_summary_item *i)
{
    const struct mesh_origin *o = mesh_store_origin(m->store, i->node);
    if (!o || !o->counted || o->incarnation < i->incarnation)
        return false;
    return o->incarnation > i->incarnation || (o->hash != i->hash && o->highest >= i->highest);
}

static void one_summary(struct session *s, const struct mesh_summary_item *i, struct list *want, struct list *answer,
                        uint8_t flags)
{
    struct mesh *m = s->m;
    uint64_t after;
    bool ours = mesh_str_eq(i->node, mesh_str(m->config.node));
    if (ours && !m->signs &&
        (i->incarnation > m->incarnation || (i->incarnation == m->incarnation && i->highest > m->sequence)))
        own_set_back(m, i->incarnation);
    /* What others made up in the peer's name: it should know. */
    if (!m->signs && mesh_str_eq(i->node, mesh_str(s->peer->name)) && mesh_store_origin(m->store, i->node))
        mesh_store_cut(m->store, s->peer->name, i->incarnation, i->highest);
    if (!ours && mesh_believes(s, i->node) && lacks(m, i->node, i->incarnation, i->highest, i->hash, &after)) {
        if (flags & MESH_MESSAGE_NOW)
            ask(want, i->node, i->incarnation, after);
        else
            remember(s, i);
    }
    if (answer && ahead(m, i))
        summarize(answer, mesh_store_origin(m->store, i->node));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Writers of these buckets that the other side did not name at all. */
static void missing(struct session *s, uint64_t mask, char (*named)[MESH_NAME_MAX + 1], size_t n, struct list *answer)
{
    qsort(named, n, sizeof *named, by_name);
    for (unsigned b = 0; b < MESH_BUCKETS; b++)
        for (const struct mesh_origin *o = mask >> b & 1 ? mesh_store_bucket(s->m->store, b) : NULL; o; o = o->next)
            if (o->counted && !bsearch(o->name, named, n, sizeof *named, by_name))
                summarize(answer, o);
}

void repair_summary(struct session *s, struct mesh_reader *r, uint8_t flags)
{
    uint64_t mask = mesh_get(r, 8);
    unsigned n = mesh_get_count(r, MESH_SUMMARY_LEAST);
    char(*named)[MESH_NAME_MAX + 1] = mem_alloc((n + 1u) * sizeof *named);
    struct list *want = list_new(s, MESH_WANT, flags, 0),
                *answer = mask ? list_new(s, MESH_SUMMARY, flags & MESH_MESSAGE_NOW, 0) : NULL;
    unsigned i = 0;
    for (; i < n && !r->bad; i++) {
        struct mesh_summary_item item;
        mesh_get_summary(r, &item);
        if (r->bad || !mesh_name_ok(item.node))
            break;
        memcpy(named[i], item.node.p, item.node.n);
        one_summary(s, &item, want, answer, flags);
    }
    if (answer && i == n && !r->bad)
        missing(s, mask, named, n, answer);
    list_end(want);
    if (answer)
        list_end(answer);
    free(named);
    if (i < n || r->bad)
        session_fail(s, "a summary that cannot be read");
}

/* ---- want ---- */

static void serve(struct session *s, const struct mesh_want_item *i)
{
    const struct mesh_origin *o = mesh_store_origin(s->m->store, i->node);
    struct mesh_stored **all;
    if (!o)
        return;
    size_t n = mesh_store_after(o, o->incarnation == i->incarnation ? i->after : 0, &all);
    for (size_t k = 0; k < n; k++) {
        if (s->queue_len >= s->m->config.queue_max / 2)
            session_flush(s);
        if (s->queue_len >= s->m->config.queue_max / 2)
            break; /* it does not read: the rest with the next comparison */
        session_queue(s, all[k], true);
    }
    free(all);
}

void repair_want(struct session *s, struct mesh_reader *r)
{
    unsigned n = mesh_get_count(r, MESH_WANT_LEAST), i = 0;
    for (; i < n && !r->bad && s->state == SESSION_UP; i++) {
        struct mesh_want_item item;
        mesh_get_want(r, &item);
        if (r->bad || !mesh_name_ok(item.node))
            break;
        serve(s, &item);
    }
    if (i < n && s->state == SESSION_UP)
        session_fail(s, "a want that cannot be read");
}

/* ---- the periodic comparison ---- */

/* Forgets whom we asked for, once that is over. */
static void forget_wanted(struct mesh *m)
{
    struct wanted **old = mem_alloc((m->wanted.count + 1) * sizeof *old);
    size_t n = 0, at = 0;
    struct map_slot slot;
    while (map_next(&m->wanted, &at, &slot))
        if (((struct wanted *)slot.value)->until_ms <= m->now)
            old[n++] = slot.value;
    for (size_t i = 0; i < n; i++) {
        map_del_str(&m->wanted, old[i]->name);
        free(old[i]);
    }
    free(old);
}

static void compare_next(struct mesh *m, bool foreign, bool now)
{
    for (size_t i = 0; i < m->session_count; i++) {
        struct session *s = m->sessions[(m->turn[foreign] + i) % m->session_count];
        if (s->state != SESSION_UP || s->foreign != foreign || s->blocked)
            continue;
        m->turn[foreign] = (m->turn[foreign] + i + 1) % m->session_count;
        repair_begin(s, now);
        return;
    }
}

void repair_soon(struct mesh *m)
{
    m->event_digests = EVENT_DIGESTS;
    mesh_due(&m->digest_due, m->now + EVENT_DIGEST_MS);
}

void repair_round(struct mesh *m)
{
    bool event = m->event_digests > 0;
    m->event_digests -= event;
    m->digest_due = m->now + (m->event_digests ? EVENT_DIGEST_MS : DIGEST_MS);
    forget_wanted(m);
    compare_next(m, false, event); /* a push takes less than EVENT_DIGEST_MS, or is lost */
    compare_next(m, true, event);
}
