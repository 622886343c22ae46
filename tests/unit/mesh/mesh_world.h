/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world of engines in one process with a virtual clock: links in memory with a one-way delay, cut and healed at will,
 * peers that read slowly or not at all. Shared by the unit tests and the simulation (tests/bench/mesh_sim.c); statics on
 * purpose.
 *
 * Time moves from event to event; nothing else does. A link takes two round trips to come up, as TLS over TCP does.
 */
#ifndef PM_TESTS_MESH_WORLD_H
#define PM_TESTS_MESH_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "mesh/mesh.h"
#include "mesh/mesh_internal.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

enum mw_kind { MW_DIAL, MW_UP, MW_MESSAGE, MW_DRAINED, MW_WAKE, MW_BROKEN };

struct mw;
struct mw_link {
    struct mesh_link l; /* first */
    struct mw *w;
    unsigned from, to; /* from: whose end it is */
    struct mw_link *other;
    bool open, refusing; /* refusing: send said "full" */
    unsigned refs;       /* events that point here, and the open end itself */
    uint64_t last_at;    /* messages stay in order */
};

struct mw_event {
    uint64_t at_ms, seq;
    enum mw_kind kind;
    unsigned a, b;
    struct mw_link *link;
    uint8_t *data;
    size_t n;
};

struct mw_node {
    struct mesh *m;
    struct mw *w;
    unsigned index;
    char name[32], region[32];
    bool dead, stuck; /* stuck: takes nothing from its links */
    uint64_t wake_ms;
    uint64_t bytes_in, bytes_out, messages_out;
    unsigned written, removed, gone, events;
};

struct mw {
    struct clock_manual clock;
    unsigned n;
    struct mw_node *nodes;
    uint16_t (*delay_ms)(const struct mw *w, unsigned a, unsigned b); /* one way */
    bool *cut;                                                        /* [n * n] */
    struct mw_link **links;                                           /* [n * n]: end of a towards b */
    bool *wanted, *dialing;                                           /* [n * n] */
    struct mw_event *heap;
    size_t len, cap;
    uint64_t seq, lost;
    unsigned drop_percent; /* of messages that are lost whole */
    uint64_t random;
    uint64_t interval_ms;
    void (*on_changed)(struct mw_node *node, const struct mesh_stored *s, enum mesh_change what);
};

static uint64_t mw_now(const struct mw *w)
{
    return w->clock.now_mono_ns / 1000000;
}

static unsigned mw_below(struct mw *w, unsigned n)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(w->random >> 33) % n;
}

/* ---- events by time ---- */

static bool mw_before(const struct mw_event *a, const struct mw_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->seq < b->seq;
}

static void mw_add(struct mw *w, struct mw_event e)
{
    e.seq = w->seq++;
    if (w->len == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 1024;
        w->heap = mem_realloc(w->heap, w->cap * sizeof *w->heap);
    }
    size_t i = w->len++;
    for (; i && mw_before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
}

static struct mw_event mw_take(struct mw *w)
{
    struct mw_event top = w->heap[0], e = w->heap[--w->len];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->len; i = child) {
        child += child + 1 < w->len && mw_before(&w->heap[child + 1], &w->heap[child]);
        if (mw_before(&e, &w->heap[child]))
            break;
        w->heap[i] = w->heap[child];
    }
    if (w->len)
        w->heap[i] = e;
    return top;
}

static void mw_wake(struct mw_node *x)
{
    uint64_t due = mesh_next_due(x->m), now = mw_now(x->w);
    if (due < now)
        due = now;
    if (x->wake_ms > now && x->wake_ms <= due)
        return;
    x->wake_ms = due;
    mw_add(x->w, (struct mw_event){.at_ms = due, .kind = MW_WAKE, .a = x->index});
}

/* ---- links ---- */

static void mw_unref(struct mw_link *l)
{
    if (--l->refs == 0)
        free(l);
}

static int mw_send(struct mesh_link *ml, const uint8_t *data, size_t n)
{
    struct mw_link *l = (struct mw_link *)ml;
    struct mw *w = l->w;
    if (w->nodes[l->to].stuck) {
        l->refusing = true;
        return PM_EAGAIN;
    }
    l->l.bytes_out += n + 4;
    l->l.messages_out++;
    w->nodes[l->from].bytes_out += n + 4;
    w->nodes[l->from].messages_out++;
    if (!l->other || w->cut[l->from * w->n + l->to] || (w->drop_percent && mw_below(w, 100) < w->drop_percent)) {
        w->lost++;
        return 0;
    }
    struct mw_event e = {
        .at_ms = mw_now(w) + w->delay_ms(w, l->from, l->to), .kind = MW_MESSAGE, .link = l->other, .n = n};
    if (e.at_ms < l->last_at)
        e.at_ms = l->last_at;
    l->last_at = e.at_ms;
    e.data = memcpy(mem_alloc(n + 1), data, n);
    l->other->refs++;
    mw_add(w, e);
    return 0;
}

static void mw_detach(struct mw_link *l)
{
    struct mw *w = l->w;
    l->open = false;
    if (w->links[l->from * w->n + l->to] == l)
        w->links[l->from * w->n + l->to] = NULL;
    if (l->other) {
        struct mw_link *other = l->other;
        other->other = NULL;
        l->other = NULL;
        if (other->open && !w->cut[l->from * w->n + l->to]) { /* else it hears nothing more */
            other->refs++;
            mw_add(w, (struct mw_event){
                          .at_ms = mw_now(w) + w->delay_ms(w, l->from, l->to), .kind = MW_BROKEN, .link = other});
        }
    }
    mw_add(w, (struct mw_event){.at_ms = mw_now(w) + 1000, .kind = MW_DIAL, .a = l->from, .b = l->to});
    mw_unref(l);
}

static void mw_close(struct mesh_link *ml, const char *why)
{
    mw_detach((struct mw_link *)ml);
}

static const struct mesh_link_ops mw_ops = {mw_send, mw_close};

static struct mw_link *mw_link(struct mw *w, unsigned from, unsigned to, bool called)
{
    struct mw_link *l = mem_alloc(sizeof *l);
    *l = (struct mw_link){
        .l = {.ops = &mw_ops, .called = called}, .w = w, .from = from, .to = to, .open = true, .refs = 1};
    strcpy(l->l.peer, w->nodes[to].name);
    w->links[from * w->n + to] = l;
    return l;
}

static void mw_dial(struct mw *w, unsigned a, unsigned b)
{
    size_t at = a * w->n + b;
    if (!w->wanted[at] || w->dialing[at] || w->links[at] || w->nodes[a].dead)
        return;
    w->dialing[at] = true;
    mw_add(w, (struct mw_event){.at_ms = mw_now(w) + 4 * w->delay_ms(w, a, b), .kind = MW_UP, .a = a, .b = b});
}

static void mw_up(struct mw *w, unsigned a, unsigned b)
{
    size_t at = a * w->n + b;
    w->dialing[at] = false;
    if (w->nodes[a].dead || w->links[at])
        return;
    if (w->cut[at] || w->nodes[b].dead) {
        mesh_link_failed(w->nodes[a].m, w->nodes[b].name);
        mw_add(w, (struct mw_event){.at_ms = mw_now(w) + 1000, .kind = MW_DIAL, .a = a, .b = b});
        mw_wake(&w->nodes[a]);
        return;
    }
    struct mw_link *x = mw_link(w, a, b, true), *y = mw_link(w, b, a, false);
    x->other = y;
    y->other = x;
    int err = mesh_link_up(w->nodes[b].m, &y->l);
    if (!err)
        err = mesh_link_up(w->nodes[a].m, &x->l);
    if (err) {
        mw_detach(x);
        mw_detach(y);
    }
    mw_wake(&w->nodes[a]);
    mw_wake(&w->nodes[b]);
}

/* ---- the engine's calls ---- */

static void mw_need(void *user, const char *name, bool needed)
{
    struct mw_node *x = user;
    for (unsigned b = 0; b < x->w->n; b++) {
        if (strcmp(x->w->nodes[b].name, name) != 0)
            continue;
        x->w->wanted[x->index * x->w->n + b] = needed;
        mw_dial(x->w, x->index, b);
    }
}

static void mw_changed(void *user, const struct mesh_stored *s, enum mesh_change what)
{
    struct mw_node *x = user;
    x->written += what == MESH_WRITTEN;
    x->removed += what == MESH_REMOVED;
    x->gone += what == MESH_GONE;
    x->events += what == MESH_WRITTEN && s->rec.flags & MESH_RECORD_EVENT;
    if (x->w->on_changed)
        x->w->on_changed(x, s, what);
}

/* ---- time ---- */

static void mw_handle(struct mw *w, const struct mw_event *e)
{
    struct mw_link *l = e->link;
    switch (e->kind) {
    case MW_DIAL:
        mw_dial(w, e->a, e->b);
        return;
    case MW_UP:
        mw_up(w, e->a, e->b);
        return;
    case MW_WAKE:
        if (w->nodes[e->a].dead || w->nodes[e->a].wake_ms != e->at_ms)
            return;
        w->nodes[e->a].wake_ms = 0;
        mesh_tick(w->nodes[e->a].m);
        mw_wake(&w->nodes[e->a]);
        return;
    case MW_MESSAGE:
        if (l->open && !w->nodes[l->from].dead) {
            l->l.bytes_in += e->n + 4;
            l->l.messages_in++;
            w->nodes[l->from].bytes_in += e->n + 4;
            l->l.calls->message(&l->l, e->data, e->n);
            mw_wake(&w->nodes[l->from]);
        }
        break;
    case MW_DRAINED:
        if (l->open)
            l->l.calls->drained(&l->l);
        mw_wake(&w->nodes[l->from]);
        break;
    case MW_BROKEN:
        if (l->open) {
            l->l.calls->down(&l->l, "closed by the peer");
            mw_wake(&w->nodes[l->from]);
            mw_detach(l);
        }
        break;
    }
    free(e->data);
    mw_unref(l);
}

static void mw_run(struct mw *w, uint64_t ms)
{
    uint64_t end = mw_now(w) + ms;
    while (w->len && w->heap[0].at_ms <= end) {
        struct mw_event e = mw_take(w);
        if (e.at_ms > mw_now(w))
            clock_manual_advance_ms(&w->clock, e.at_ms - mw_now(w));
        mw_handle(w, &e);
    }
    clock_manual_advance_ms(&w->clock, end - mw_now(w));
}

/* ---- making it ---- */

static void mw_start(struct mw *w, unsigned i, bool knows_all)
{
    struct mw_node *x = &w->nodes[i];
    struct mesh_seed *seeds = mem_alloc((w->n + 1) * sizeof *seeds);
    struct mesh_config c = {.node = x->name,
                            .region = x->region,
                            .site = x->name,
                            .software = "test",
                            .incarnation = clock_wall_ms(&w->clock.clock),
                            .interval_ms = w->interval_ms,
                            .seeds = seeds};
    for (unsigned k = 0; k < w->n; k++)
        if (k != i && (knows_all || k == 0))
            seeds[c.seed_count++] = (struct mesh_seed){w->nodes[k].name, w->nodes[k].region};
    struct mesh_calls calls = {.user = x, .changed = mw_changed, .need_link = mw_need};
    x->dead = false;
    x->m = mesh_new(&c, &w->clock.clock, &calls, NULL);
    mw_wake(x);
    free(seeds);
}

/* Regions round robin, unless named before mw_start_all. */
static struct mw *mw_new(unsigned n, unsigned regions, uint16_t (*delay_ms)(const struct mw *, unsigned, unsigned))
{
    struct mw *w = mem_alloc(sizeof *w);
    clock_manual_init(&w->clock);
    w->n = n;
    w->random = 42;
    w->interval_ms = 60000;
    w->delay_ms = delay_ms;
    w->nodes = mem_alloc(n * sizeof *w->nodes);
    w->cut = mem_alloc((size_t)n * n);
    w->wanted = mem_alloc((size_t)n * n);
    w->dialing = mem_alloc((size_t)n * n);
    w->links = mem_alloc((size_t)n * n * sizeof(struct mw_link *));
    for (unsigned i = 0; i < n; i++) {
        w->nodes[i] = (struct mw_node){.w = w, .index = i, .dead = true};
        snprintf(w->nodes[i].name, sizeof w->nodes[i].name, "node-%03u", i);
        snprintf(w->nodes[i].region, sizeof w->nodes[i].region, "region-%u", i % regions);
    }
    return w;
}

static void mw_start_all(struct mw *w)
{
    for (unsigned i = 0; i < w->n; i++)
        mw_start(w, i, true);
}

/* The process dies without a word: links break. */
static void mw_kill(struct mw *w, unsigned i)
{
    w->nodes[i].dead = true;
    for (unsigned k = 0; k < w->n; k++)
        w->wanted[i * w->n + k] = false;
    mesh_free(w->nodes[i].m);
    w->nodes[i].m = NULL;
}

static void mw_cut(struct mw *w, unsigned a, unsigned b, bool cut)
{
    w->cut[a * w->n + b] = w->cut[b * w->n + a] = cut;
}

static void mw_unstick(struct mw *w, unsigned i)
{
    w->nodes[i].stuck = false;
    for (unsigned k = 0; k < w->n; k++) {
        struct mw_link *l = w->links[k * w->n + i];
        if (!l || !l->refusing)
            continue;
        l->refusing = false;
        l->refs++;
        mw_add(w, (struct mw_event){.at_ms = mw_now(w), .kind = MW_DRAINED, .link = l});
    }
}

static bool mw_same(const struct mw *w, unsigned a, unsigned b)
{
    return memcmp(mesh_store_digest(mesh_store_of(w->nodes[a].m)), mesh_store_digest(mesh_store_of(w->nodes[b].m)),
                  MESH_BUCKETS * sizeof(uint64_t)) == 0;
}

static bool mw_all_same(const struct mw *w)
{
    unsigned first = w->n;
    for (unsigned i = 0; i < w->n; i++) {
        if (w->nodes[i].dead)
            continue;
        if (first == w->n)
            first = i;
        if (!mw_same(w, first, i))
            return false;
    }
    return true;
}

static void mw_free(struct mw *w)
{
    for (unsigned i = 0; i < w->n; i++)
        if (!w->nodes[i].dead)
            mesh_free(w->nodes[i].m);
    for (unsigned i = 0; i < w->n; i++)
        w->nodes[i].dead = true;
    while (w->len) {
        struct mw_event e = mw_take(w);
        free(e.data);
        if (e.link)
            mw_unref(e.link);
    }
    free(w->heap);
    free(w->nodes);
    free(w->cut);
    free(w->wanted);
    free(w->dialing);
    free(w->links);
    free(w);
}

#pragma GCC diagnostic pop
#endif
