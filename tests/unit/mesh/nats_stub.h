/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bus in memory that loses, doubles and reorders, in place of mesh/nats_bus.c: all its functions
 * are defined here, so the library's are not linked. Includes transport_nats.c, to drive its ticks
 * with a virtual time. Statics on purpose.
 */
#ifndef PM_TESTS_NATS_STUB_H
#define PM_TESTS_NATS_STUB_H

#include "../../../src/mesh/transport_nats.c"
#include "mesh/keys.h"

enum { STUB_BUSES = 4, STEP_MS = 10 };

struct nats_bus {
    char *subjects[2];
    natsMsg **queue;
    size_t count, cap;
};

static struct nats_bus *stub_buses[STUB_BUSES];
static unsigned stub_lose, stub_double, stub_mix; /* percent */
static unsigned stub_seed = 1;
static uv_loop_t stub_loop;

static bool stub_chance(unsigned percent)
{
    return (unsigned)rand_r(&stub_seed) % 100 < percent;
}

struct nats_packet *nats_packet_new(const char *subject, size_t len)
{
    size_t n = strlen(subject) + 1;
    struct nats_packet *p = mem_alloc(sizeof *p + len + n);
    atomic_init(&p->refs, 1);
    p->len = len;
    p->subject = memcpy(p->data + len, subject, n);
    return p;
}

void nats_packet_unref(struct nats_packet *p)
{
    if (p && atomic_fetch_sub(&p->refs, 1) == 1)
        free(p);
}

int nats_bus_new(uv_loop_t *loop, const struct nats_bus_options *o, void (*wake)(void *ctx),
                 void *ctx, struct nats_bus **out, struct buf *why)
{
    struct nats_bus *b = mem_alloc(sizeof *b);
    b->subjects[0] = mem_strdup(o->subjects[0]);
    b->subjects[1] = mem_strdup(o->subjects[1]);
    for (unsigned i = 0; i < STUB_BUSES; i++) {
        if (stub_buses[i])
            continue;
        stub_buses[i] = b;
        break;
    }
    *out = b;
    return PM_OK;
}

static void stub_put(struct nats_bus *b, const struct nats_packet *p)
{
    natsMsg *m = NULL;
    if (b->count == b->cap)
        b->queue = mem_realloc(b->queue, (b->cap = b->cap * 2 + 16) * sizeof *b->queue);
    if (natsMsg_Create(&m, p->subject, NULL, (const char *)p->data, (int)p->len) != NATS_OK)
        abort();
    b->queue[b->count++] = m;
    if (b->count > 1 && stub_chance(stub_mix)) {
        natsMsg **other = &b->queue[(unsigned)rand_r(&stub_seed) % b->count];
        b->queue[b->count - 1] = *other;
        *other = m;
    }
}

bool nats_bus_send(struct nats_bus *from, struct nats_packet *p)
{
    for (unsigned i = 0; i < STUB_BUSES; i++) {
        struct nats_bus *b = stub_buses[i];
        if (!b || b == from ||
            (strcmp(b->subjects[0], p->subject) != 0 && strcmp(b->subjects[1], p->subject) != 0))
            continue;
        if (!stub_chance(stub_lose))
            stub_put(b, p);
        if (stub_chance(stub_double))
            stub_put(b, p);
    }
    return true;
}

natsMsg *nats_bus_take(struct nats_bus *b)
{
    if (!b->count)
        return NULL;
    natsMsg *m = b->queue[0];
    memmove(b->queue, b->queue + 1, --b->count * sizeof *b->queue);
    return m;
}

void nats_bus_again(struct nats_bus *b)
{
}

void nats_bus_close(struct nats_bus *b, void (*closed)(void *ctx))
{
    abort(); /* stub_free */
}

void nats_bus_state(struct nats_bus *b, struct nats_bus_state *out)
{
    *out = (struct nats_bus_state){.connected = true};
}

static struct mesh_nats *stub_new(const char *dir, const char *node, mesh_nats_link_up *up,
                                  void *ctx)
{
    char ca[256], cert[256];
    const char *servers[] = {"nats://192.0.2.1"};
    struct buf why = BUF_INIT;
    struct mesh_nats *t = NULL;
    snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    snprintf(cert, sizeof cert, "%s/%s.pem", dir, node);
    struct mesh_nats_options o = {.node = node,
                                  .region = "r",
                                  .files = {.ca = ca, .cert = cert},
                                  .subject = "x",
                                  .servers = servers,
                                  .server_count = 1};
    if (mesh_nats_new(&stub_loop, &o, up, ctx, &t, &why) != PM_OK)
        abort();
    buf_fini(&why);
    nats_Open(-1); /* for its messages */
    on_wake(t);    /* connected */
    return t;
}

/* As mesh_nats_free, but the bus has no thread to wait for. */
static void stub_free(struct mesh_nats *t)
{
    struct map_slot slot;
    natsMsg *m;
    t->freeing = true;
    while (t->all)
        nats_link_close(t->all, "the end");
    reap(t);
    for (size_t at = 0; map_next(&t->peers, &at, &slot);)
        free(slot.value);
    map_fini(&t->peers);
    map_fini(&t->links);
    SSL_CTX_free(t->ssl);
    for (unsigned i = 0; i < STUB_BUSES; i++)
        stub_buses[i] = stub_buses[i] == t->bus ? NULL : stub_buses[i];
    while ((m = nats_bus_take(t->bus)))
        natsMsg_Destroy(m);
    free(t->bus->queue);
    free(t->bus->subjects[0]);
    free(t->bus->subjects[1]);
    free(t->bus);
    t->handles = 1;
    uv_close((uv_handle_t *)&t->tick, on_tick_closed);
    uv_run(&stub_loop, UV_RUN_NOWAIT);
}

/* Virtual time: the loop's, which uv_run would set. */
static void stub_run(struct mesh_nats **t, unsigned n, unsigned ms)
{
    for (unsigned i = 0; i < ms / STEP_MS; i++) {
        stub_loop.time += STEP_MS;
        for (unsigned k = 0; k < n; k++) {
            on_wake(t[k]);
            on_tick(&t[k]->tick);
        }
    }
}

#endif
