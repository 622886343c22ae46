/* SPDX-License-Identifier: Apache-2.0 */
/* What balancers tell a node, and doing it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/log.h"
#include "main/agent_internal.h"

enum { ORDER_BITS = 56, SWEEP_AFTER_MS = 60000 };

/* ---- words ---- */

static int told_task(struct agent_peer *p, struct mesh_reader *r)
{
    struct agent_task_word t;
    struct agent_place_word *place = NULL;
    int err = agent_get_task(r, &t);
    if (err || t.sources > AGENT_SOURCES_OF || t.places > AGENT_PLACES_MAX)
        return err ? err : PM_ETOOBIG;
    for (unsigned i = 0; !err && i < t.sources; i++)
        err = agent_get_source(r, &p->source[i]);
    place = mem_alloc((t.places + 1) * sizeof *place);
    for (unsigned i = 0; !err && i < t.places; i++)
        err = agent_get_place(r, &place[i]);
    if (err) {
        free(place);
        return err;
    }
    memcpy(p->secret, t.secret, AGENT_SECRET);
    p->mtu = t.mtu;
    p->source_count = t.sources;
    free(p->place);
    p->place = place;
    p->place_count = t.places;
    p->told = true;
    agent_obey(p->agent);
    return PM_OK;
}

static char *copy(const char *p, size_t n)
{
    char *s = mem_alloc(n + 1);
    memcpy(s, p, n);
    return s;
}

static int told_order(struct agent_peer *p, struct mesh_reader *r)
{
    struct agent *a = p->agent;
    struct agent_order_word w;
    struct endpoint source[AGENT_SOURCES_MAX];
    struct buf why = BUF_INIT;
    int err = agent_get_order(r, &w);
    if (err || w.sources > AGENT_SOURCES_MAX || w.id >> ORDER_BITS || w.kind > AGENT_REMOVE)
        return PM_EPROTO;
    for (unsigned i = 0; !err && i < w.sources; i++)
        err = agent_get_endpoint(r, &source[i]);
    if (err)
        return PM_EPROTO;
    char *host = copy(w.host.p, w.host.n), *path = copy(w.path.p, w.path.n);
    struct agent_order o = {.id = (uint64_t)(p - a->peer) << ORDER_BITS | w.id,
                            .kind = (enum agent_order_kind)w.kind,
                            .host = host,
                            .path = path,
                            .size = w.size,
                            .hash = w.hash,
                            .replaces = w.replaces != 0,
                            .old_hash = w.old_hash,
                            .sources = source,
                            .source_count = w.sources};
    err = a->fetch ? agent_fetch_add(a->fetch, &o, &why) : PM_EPERM;
    if (err && err != PM_EEXISTS)
        agent_tell_result(p, w.id, err, why.len ? buf_str(&why) : "this node has no document roots");
    free(host);
    free(path);
    buf_fini(&why);
    return PM_OK;
}

void agent_told(struct agent_peer *p, const uint8_t *data, size_t n)
{
    struct mesh_reader r = mesh_reader(data, n);
    uint8_t word;
    int err = agent_open(&r, &word);
    if (!err && word == AGENT_TASK)
        err = told_task(p, &r);
    else if (!err && word == AGENT_ORDER)
        err = told_order(p, &r);
    else if (!err && word == AGENT_CANCEL && p->agent->fetch)
        (void)!agent_fetch_cancel(p->agent->fetch, (uint64_t)(p - p->agent->peer) << ORDER_BITS | mesh_get(&r, 8));
    if (err)
        log_warn("a balancer's word is not understood", "balancer", p->name, "why", err_text(err));
}

/* ---- keys ---- */

static bool has_addr(const struct addr *list, unsigned n, const struct addr *a)
{
    for (unsigned i = 0; i < n; i++)
        if (addr_eq(&list[i], a))
            return true;
    return false;
}

static bool names(const struct agent *a, const struct addr *source)
{
    for (unsigned i = 0; i < a->peer_count; i++)
        if (has_addr(a->peer[i].source, a->peer[i].source_count, source))
            return true;
    return false;
}

/* Addresses that no balancer names any more. */
static void distrust(struct agent *a)
{
    for (unsigned i = a->trusted_count; i-- > 0;) {
        if (names(a, &a->trusted[i]))
            continue;
        (void)!node_distrust(a->node, &a->trusted[i]);
        a->trusted[i] = a->trusted[--a->trusted_count];
    }
}

void agent_keys(struct agent *a)
{
    uint64_t now = clock_wall_ms(a->clock);
    if (a->node)
        distrust(a);
    for (unsigned i = 0; a->node && i < a->peer_count; i++) {
        const struct agent_peer *p = &a->peer[i];
        struct siphash_key keys[HANDOFF_KEYS];
        if (!p->told)
            continue;
        (void)relay_tag_keys(p->secret, now, keys);
        for (unsigned k = 0; k < p->source_count; k++) {
            int err = node_trust(a->node, &p->source[k], keys);
            if (!err && !has_addr(a->trusted, a->trusted_count, &p->source[k]) && a->trusted_count < PM_ARRAY_LEN(a->trusted))
                a->trusted[a->trusted_count++] = p->source[k];
            if (err)
                log_error("the packet program does not take a balancer", "balancer", p->name, "why", err_text(err));
        }
    }
}

/* ---- addresses ---- */

/* All addresses that any balancer names; the caller frees. */
static struct addr *wanted(const struct agent *a, unsigned *n)
{
    unsigned most = 1;
    for (unsigned i = 0; i < a->peer_count; i++)
        most += a->peer[i].place_count;
    struct addr *all = mem_alloc(most * sizeof *all);
    *n = 0;
    for (unsigned i = 0; i < a->peer_count; i++)
        for (unsigned k = 0; k < a->peer[i].place_count; k++)
            if (!has_addr(all, *n, &a->peer[i].place[k].vip))
                all[(*n)++] = a->peer[i].place[k].vip;
    return all;
}

static void said(const char *what, const struct addr *at, int err, const struct buf *why)
{
    char text[ADDR_TEXT];
    if (err)
        log_error("an address cannot be changed", "address", addr_format(at, text), "why", buf_str(why));
    else
        log_notice(what, "address", addr_format(at, text));
}

static void addresses(struct agent *a)
{
    unsigned n;
    struct addr *all = wanted(a, &n);
    for (unsigned i = 0; i < n; i++) {
        struct buf why = BUF_INIT;
        if (!has_addr(a->vip, a->vip_count, &all[i]))
            said("address put on lo", &all[i], agent_vips_add(a->vips, &all[i], &why), &why);
        buf_fini(&why);
    }
    for (unsigned i = 0; i < a->vip_count; i++) {
        struct buf why = BUF_INIT;
        if (!has_addr(all, n, &a->vip[i]))
            said("address taken off lo", &a->vip[i], agent_vips_remove(a->vips, &a->vip[i], &why), &why);
        buf_fini(&why);
    }
    free(a->vip);
    a->vip = all;
    a->vip_count = n;
    /* What an earlier process has left and nobody names any more; not before all were heard, or are given up. */
    bool all_told = true;
    for (unsigned i = 0; i < a->peer_count; i++)
        all_told &= a->peer[i].told;
    if (!a->swept_ms && (all_told || clock_mono_ms(a->clock) - a->started_ms > SWEEP_AFTER_MS)) {
        struct buf why = BUF_INIT;
        if (agent_vips_sweep(a->vips, &why) != PM_OK)
            log_warn("addresses left by an earlier agent stay", "why", buf_str(&why));
        a->swept_ms = clock_mono_ms(a->clock);
        buf_fini(&why);
    }
}

static void segments(struct agent *a)
{
    for (unsigned i = 0; a->clamp && i < a->peer_count; i++)
        for (unsigned k = 0; k < a->peer[i].place_count; k++) {
            const struct agent_place_word *w = &a->peer[i].place[k];
            bool plain = w->flags & AGENT_PLACE_PLAIN;
            int err = clamp_set(a->clamp, &w->vip, plain ? clamp_mss(a->peer[i].mtu, true, w->vip.family) : 0);
            if (err && plain)
                log_warn("the segment size is not lowered", "why", err_text(err));
        }
}

/* ---- load ---- */

static void watch(struct agent *a)
{
    struct endpoint *at = mem_alloc(AGENT_PLACES_MAX * sizeof *at);
    struct agent_load_config c = {.at = at};
    for (unsigned i = 0; i < a->peer_count; i++)
        for (unsigned k = 0; k < a->peer[i].place_count; k++) {
            const struct agent_place_word *w = &a->peer[i].place[k];
            bool there = !w->port || c.at_count == AGENT_PLACES_MAX;
            for (size_t j = 0; j < c.at_count; j++)
                there |= at[j].port == w->port && addr_eq(&at[j].addr, &w->vip);
            if (!there)
                at[c.at_count++] = (struct endpoint){w->vip, w->port};
        }
    struct agent_load_state *fresh = NULL;
    int err = agent_load_open(&c, &fresh);
    free(at);
    if (err) {
        log_error("the load cannot be read", "why", err_text(err));
        return;
    }
    agent_load_close(a->load);
    a->load = fresh;
}

void agent_obey(struct agent *a)
{
    agent_keys(a);
    if (a->vips)
        addresses(a);
    segments(a);
    watch(a);
    agent_tell_load(a, true);
}
