/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that says anything: the input is messages (u16 length, bytes), heard by an engine that knows an honest peer, too.
 * Between messages time passes. Every value of a record that was taken is decoded. Afterwards the honest peer must still be
 * heard, and nothing may have grown beyond the bounds of one writer and of the link.
 */
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "mesh/mesh.h"
#include "mesh/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct end {
    struct mesh_link l;
    bool closed;
};

static int end_send(struct mesh_link *l, const uint8_t *data, size_t n)
{
    if (n > MESH_MESSAGE_MAX)
        abort();
    return 0;
}
static void end_close(struct mesh_link *l, const char *why)
{
    ((struct end *)l)->closed = true;
}
static const struct mesh_link_ops ops = {end_send, end_close};

static void hear(struct end *e, const uint8_t *data, size_t n)
{
    if (!e->closed)
        e->l.calls->message(&e->l, data, n);
}

static void hello(struct end *e, struct mesh *m, const char *name, const char *region)
{
    uint8_t space[512];
    *e = (struct end){.l = {.ops = &ops}};
    strcpy(e->l.peer, name);
    if (mesh_link_up(m, &e->l) != 0)
        abort();
    struct mesh_writer w = mesh_writer(space, sizeof space);
    mesh_message_start(&w, MESH_HELLO, 0);
    mesh_put_hello(&w,
                   &(struct mesh_hello){1, 1, mesh_str(name), mesh_str(region), mesh_str("s"), mesh_str("x"), 7, 0});
    hear(e, w.p, w.len);
}

static void on_changed(void *user, const struct mesh_stored *s, enum mesh_change what)
{
    static union {
        struct mesh_node_value node;
        struct mesh_sight sights[MESH_SIGHTS_MAX];
        struct mesh_handoff_item items[MESH_SITES_MAX];
        struct mesh_capacity capacity[MESH_SIGHTS_MAX];
        struct mesh_resources resources;
        struct mesh_override word;
        struct mesh_persist persist;
        struct mesh_round_trip trips[MESH_ROUND_TRIPS_MAX];
    } v;
    unsigned n;
    uint8_t reason;
    int err = mesh_get_node(&s->rec, &v.node);
    err |= mesh_get_times(&s->rec, v.sights, MESH_SIGHTS_MAX, &n);
    err |= mesh_get_sight(&s->rec, v.sights, &reason);
    err |= mesh_get_handoff(&s->rec, v.items, MESH_SITES_MAX, &n);
    err |= mesh_get_capacity(&s->rec, v.capacity, MESH_SIGHTS_MAX, &n);
    err |= mesh_get_resources(&s->rec, &v.resources);
    err |= mesh_get_override(&s->rec, &v.word);
    err |= mesh_get_persist(&s->rec, &v.persist);
    err |= mesh_get_round_trips(&s->rec, v.trips, MESH_ROUND_TRIPS_MAX, &n);
    (void)err; /* at most one of them fits */
}

static void honest_word(struct end *e, uint64_t sequence)
{
    uint8_t space[256];
    struct mesh_writer w = mesh_writer(space, sizeof space);
    struct mesh_record rec = {.node = mesh_str("honest"),
                              .incarnation = 7,
                              .sequence = sequence,
                              .kind = 40000,
                              .subject = mesh_str("x"),
                              .lifetime_ms = 60000,
                              .value = (const uint8_t *)&sequence,
                              .value_len = sizeof sequence};
    mesh_message_start(&w, MESH_RECORDS, 0);
    mesh_put_record(&w, &rec);
    hear(e, w.p, w.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct clock_manual clock;
    struct end liar, honest;
    clock_manual_init(&clock);
    struct mesh_config c = {.node = "me",
                            .region = "here",
                            .site = "",
                            .software = "",
                            .incarnation = 1000,
                            .interval_ms = 1000,
                            .limits = {.origins = 8, .records_each = 16, .bytes_each = 4096, .bytes = 65536}};
    struct mesh_calls calls = {.changed = on_changed};
    struct mesh *m = mesh_new(&c, &clock.clock, &calls, NULL);
    hello(&honest, m, "honest", "here");
    hello(&liar, m, "liar", size && data[0] & 1 ? "elsewhere" : "here");
    for (size_t at = 1; at + 2 <= size;) {
        size_t n = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        n = n > size - at ? size - at : n;
        hear(&liar, data + at, n);
        at += n;
        clock_manual_advance_ms(&clock, 40);
        mesh_tick(m);
    }
    honest_word(&honest, 9);
    const struct mesh_stored *s = mesh_find(m, "honest", 40000, "x");
    struct mesh_totals t;
    mesh_totals(m, &t);
    if (honest.closed || !s || s->rec.sequence != 9 || t.records > 8 * 16 || t.bytes > 65536)
        abort();
    for (unsigned i = 0; i < 70; i++) {
        clock_manual_advance_ms(&clock, 500);
        mesh_tick(m);
    }
    mesh_free(m);
    return 0;
}
