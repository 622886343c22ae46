/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/agent_words.h"

#include <string.h>

static int done(const struct mesh_reader *r)
{
    return r->bad ? PM_EPROTO : PM_OK;
}

/* Before the next one of a list. */
static bool at_end(const struct mesh_reader *r)
{
    return !r->bad && r->p == r->end;
}

static struct agent_text get_text(struct mesh_reader *r)
{
    struct agent_text t;
    t.n = (uint16_t)mesh_get(r, 2);
    if (t.n > AGENT_TEXT_MAX)
        r->bad = true;
    t.p = (const char *)mesh_get_bytes(r, t.n);
    if (r->bad || memchr(t.p, 0, t.n))
        r->bad = true, t.n = 0;
    return t;
}

static void put_text(struct mesh_writer *w, struct agent_text t)
{
    mesh_put_int(w, t.n, 2);
    mesh_put_bytes(w, t.p, t.n);
}

int agent_open(struct mesh_reader *r, uint8_t *word)
{
    uint8_t version = (uint8_t)mesh_get(r, 1);
    *word = (uint8_t)mesh_get(r, 1);
    return r->bad || version != AGENT_WORDS_VERSION ? PM_EPROTO : PM_OK;
}

void agent_start(struct mesh_writer *w, enum agent_word word)
{
    mesh_put_int(w, AGENT_WORDS_VERSION, 1);
    mesh_put_int(w, word, 1);
}

int agent_get_hello(struct mesh_reader *r, struct agent_hello_word *out)
{
    out->software = mesh_get_str(r);
    out->flags = (uint32_t)mesh_get(r, 4);
    out->why = mesh_get_str(r);
    return done(r);
}

void agent_put_hello(struct mesh_writer *w, const struct agent_hello_word *h)
{
    mesh_put_str(w, h->software);
    mesh_put_int(w, h->flags, 4);
    mesh_put_str(w, h->why);
}

/* The fields of a report in their order: X(name, bytes). */
#define REPORT(X)                                                                                                      \
    X(known, 4) X(connections, 4) X(waiting, 4) X(waiting_max, 4) X(unread, 4) X(pending, 4) X(listeners, 4)           \
    X(ram_free, 8) X(ram_total, 8) X(swap_free, 8) X(swap_total, 8) X(idle_permille, 4) X(running, 4) X(blocked, 4)     \
    X(processors, 4) X(load_percent, 4) X(room, 8)

int agent_get_report(struct mesh_reader *r, struct agent_report_word *out)
{
    memset(out, 0, sizeof *out);
#define X(name, bytes) out->name = (__typeof__(out->name))mesh_get(r, bytes);
    REPORT(X)
#undef X
    unsigned n = (unsigned)mesh_get(r, 1);
    out->counter_count = n < AGENT_COUNTERS_MAX ? n : AGENT_COUNTERS_MAX;
    for (unsigned i = 0; i < n; i++) {
        uint64_t v = mesh_get(r, 8);
        if (i < AGENT_COUNTERS_MAX)
            out->counter[i] = v;
    }
    return done(r);
}

void agent_put_report(struct mesh_writer *w, const struct agent_report_word *p)
{
#define X(name, bytes) mesh_put_int(w, p->name, bytes);
    REPORT(X)
#undef X
    mesh_put_int(w, p->counter_count, 1);
    for (unsigned i = 0; i < p->counter_count; i++)
        mesh_put_int(w, p->counter[i], 8);
}

int agent_get_task(struct mesh_reader *r, struct agent_task_word *out)
{
    out->secret = mesh_get_bytes(r, AGENT_SECRET);
    out->mtu = (uint32_t)mesh_get(r, 4);
    out->sources = (unsigned)mesh_get(r, 1);
    out->places = (unsigned)mesh_get(r, 2);
    return done(r);
}

void agent_put_task(struct mesh_writer *w, const struct agent_task_word *t)
{
    mesh_put_bytes(w, t->secret, AGENT_SECRET);
    mesh_put_int(w, t->mtu, 4);
    mesh_put_int(w, t->sources, 1);
    mesh_put_int(w, t->places, 2);
}

int agent_get_source(struct mesh_reader *r, struct addr *out)
{
    *out = mesh_get_addr(r);
    return done(r);
}

int agent_get_place(struct mesh_reader *r, struct agent_place_word *out)
{
    if (at_end(r))
        return PM_ENOTFOUND;
    out->vip = mesh_get_addr(r);
    out->port = (uint16_t)mesh_get(r, 2);
    out->flags = (uint8_t)mesh_get(r, 1);
    return done(r);
}

void agent_put_place(struct mesh_writer *w, const struct agent_place_word *p)
{
    mesh_put_addr(w, &p->vip);
    mesh_put_int(w, p->port, 2);
    mesh_put_int(w, p->flags, 1);
}

int agent_get_endpoint(struct mesh_reader *r, struct endpoint *out)
{
    if (at_end(r))
        return PM_ENOTFOUND;
    out->addr = mesh_get_addr(r);
    out->port = (uint16_t)mesh_get(r, 2);
    return done(r);
}

void agent_put_endpoint(struct mesh_writer *w, const struct endpoint *e)
{
    mesh_put_addr(w, &e->addr);
    mesh_put_int(w, e->port, 2);
}

int agent_get_order(struct mesh_reader *r, struct agent_order_word *out)
{
    out->id = mesh_get(r, 8);
    out->kind = (uint8_t)mesh_get(r, 1);
    out->replaces = (uint8_t)mesh_get(r, 1);
    out->host = mesh_get_str(r);
    out->path = get_text(r);
    out->size = mesh_get(r, 8);
    out->hash = mesh_get(r, 8);
    out->old_hash = mesh_get(r, 8);
    out->sources = (unsigned)mesh_get(r, 1);
    return done(r);
}

void agent_put_order(struct mesh_writer *w, const struct agent_order_word *o)
{
    mesh_put_int(w, o->id, 8);
    mesh_put_int(w, o->kind, 1);
    mesh_put_int(w, o->replaces, 1);
    mesh_put_str(w, o->host);
    put_text(w, o->path);
    mesh_put_int(w, o->size, 8);
    mesh_put_int(w, o->hash, 8);
    mesh_put_int(w, o->old_hash, 8);
    mesh_put_int(w, o->sources, 1);
}

int agent_get_result(struct mesh_reader *r, struct agent_result_word *out)
{
    out->order = mesh_get(r, 8);
    out->err = (int32_t)(uint32_t)mesh_get(r, 4);
    out->text = mesh_get_str(r);
    return done(r);
}

void agent_put_result(struct mesh_writer *w, const struct agent_result_word *p)
{
    mesh_put_int(w, p->order, 8);
    mesh_put_int(w, (uint32_t)p->err, 4);
    mesh_put_str(w, p->text);
}

int agent_get_finding(struct mesh_reader *r, struct agent_finding_word *out)
{
    if (at_end(r))
        return PM_ENOTFOUND;
    out->severity = (uint8_t)mesh_get(r, 1);
    out->value = (int32_t)(uint32_t)mesh_get(r, 4);
    out->want = (int32_t)(uint32_t)mesh_get(r, 4);
    out->key = mesh_get_str(r);
    out->why = mesh_get_str(r);
    out->fix = mesh_get_str(r);
    return done(r);
}

void agent_put_finding(struct mesh_writer *w, const struct agent_finding_word *f)
{
    mesh_put_int(w, f->severity, 1);
    mesh_put_int(w, (uint32_t)f->value, 4);
    mesh_put_int(w, (uint32_t)f->want, 4);
    mesh_put_str(w, f->key);
    mesh_put_str(w, f->why);
    mesh_put_str(w, f->fix);
}

int agent_get_gone(struct mesh_reader *r, struct agent_file_word *out)
{
    if (at_end(r))
        return PM_ENOTFOUND;
    out->host = mesh_get_str(r);
    out->path = get_text(r);
    out->size = out->hash = 0;
    return done(r);
}

void agent_put_gone(struct mesh_writer *w, const struct agent_file_word *f)
{
    mesh_put_str(w, f->host);
    put_text(w, f->path);
}

int agent_get_file(struct mesh_reader *r, struct agent_file_word *out)
{
    int err = agent_get_gone(r, out);
    if (err)
        return err;
    out->size = mesh_get(r, 8);
    out->hash = mesh_get(r, 8);
    return done(r);
}

void agent_put_file(struct mesh_writer *w, const struct agent_file_word *f)
{
    agent_put_gone(w, f);
    mesh_put_int(w, f->size, 8);
    mesh_put_int(w, f->hash, 8);
}
