/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many balancers' engines over a real NATS cluster, in one process: one connection, certificate and
 * store each. Reads commands, one a line, and answers each with a line of JSON.
 * tests/bench/mesh_nats.py drives it.
 *
 *   mesh_nats DIR NODES REGIONS SUBJECT SERVER[,SERVER...]
 *   state          links, nodes that hold the same as the first
 *   steady S       bytes per node and second, and CPU, over S seconds in which each node renews
 * what it says once a minute events N MS    N events of random nodes, one each MS: how long until
 * each other node has heard
 */
#include <nats/nats.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>
#include "base/arena.h"
#include "base/log.h"
#include "mesh/keys.h"
#include "mesh/mesh.h"
#include "mesh/transport_nats.h"
#include "mesh/values.h"

enum {
    NODES_MAX = 512,
    EVENTS_MAX = 256,
    SERVICES = 10,
    VIPS_EACH = 5,
    TICK_MS = 2,
    EVENT_WAIT_MS = 5000,
    RENEW_MS = 60000
};

struct node {
    char name[32], region[32];
    struct mesh *mesh;
    struct mesh_nats *nats;
    unsigned index;
    uint64_t renew_ms;
};

static uv_loop_t loop;
static struct node nodes[NODES_MAX];
static unsigned count, seed = 1;
static uv_timer_t ticker, job;

/* events under way */
static unsigned event_count, event_next;
static uint64_t event_at_us[EVENTS_MAX];
static uint32_t took_us[EVENTS_MAX][NODES_MAX];

/* steady */
static uint64_t from_in, from_out, from_ms;
static double from_cpu;

static unsigned below(unsigned n)
{
    return (unsigned)rand_r(&seed) % n;
}

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static double cpu_s(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* ---- nodes ---- */

static void on_link(void *ctx, struct mesh_link *l)
{
    struct node *x = ctx;
    if (mesh_link_up(x->mesh, l) != PM_OK)
        mesh_link_close(l, "refused");
}

static void on_need(void *ctx, const char *name, bool needed)
{
    struct node *x = ctx;
    mesh_nats_need(x->nats, name, needed);
}

static void on_changed(void *ctx, const struct mesh_stored *s, enum mesh_change what)
{
    struct node *x = ctx;
    char subject[MESH_SUBJECT_MAX + 1];
    unsigned e = 0;
    snprintf(subject, sizeof subject, "%.*s", MESH_STR_ARG(s->rec.subject));
    if (what == MESH_WRITTEN && s->rec.kind == MESH_KIND_SIGHT &&
        sscanf(subject, "event-%u ", &e) == 1 && e < EVENTS_MAX && !took_us[e][x->index])
        took_us[e][x->index] = (uint32_t)(now_us() - event_at_us[e]);
}

static void put(struct node *x, uint16_t kind, const char *subject, const struct mesh_writer *w,
                unsigned flags)
{
    if (mesh_put(x->mesh, kind, subject, w->p, w->len, 300000, flags) != PM_OK)
        abort();
}

static void say(struct node *x)
{
    uint8_t space[2048];
    for (unsigned s = 0; s < SERVICES; s++) {
        struct mesh_sight list[VIPS_EACH] = {0};
        char subject[64];
        for (unsigned v = 0; v < VIPS_EACH; v++) {
            addr_from_bytes(&list[v].vip, ADDR_V4,
                            (const uint8_t[4]){192, 0, 2, (uint8_t)(s * VIPS_EACH + v)});
            list[v].health = 1;
            list[v].stable = true;
            list[v].response_us = 1000 + below(200000);
        }
        struct mesh_writer w = mesh_writer(space, sizeof space);
        mesh_put_times(&w, list, VIPS_EACH);
        snprintf(subject, sizeof subject, "www%u.example.com", s);
        put(x, MESH_KIND_TIMES, subject, &w, MESH_PUT_KEEP);
    }
    struct mesh_writer w = mesh_writer(space, sizeof space);
    mesh_put_resources(&w, &(struct mesh_resources){below(1u << 30), 1u << 31, below(1000)});
    put(x, MESH_KIND_RESOURCES, "", &w, MESH_PUT_KEEP);
}

static void on_tick(uv_timer_t *t)
{
    uint64_t now = clock_mono_ms(&clock_system);
    for (unsigned i = 0; i < count; i++) {
        struct node *x = &nodes[i];
        if (now >= x->renew_ms) {
            say(x);
            x->renew_ms = now + RENEW_MS;
        }
        if (mesh_next_due(x->mesh) <= now)
            mesh_tick(x->mesh);
    }
}

static int start(struct node *x, unsigned i, char **argv, struct buf *why)
{
    static const char *servers[16];
    static char list[1024];
    static size_t n;
    char ca[4096], cert[4096];
    unsigned regions = (unsigned)atoi(argv[3]);
    if (!n) {
        snprintf(list, sizeof list, "%s", argv[5]);
        for (char *save = NULL, *one = strtok_r(list, ",", &save); one && n < PM_ARRAY_LEN(servers);
             one = strtok_r(NULL, ",", &save))
            servers[n++] = one;
    }
    x->index = i;
    snprintf(x->name, sizeof x->name, "node-%03u", i);
    snprintf(x->region, sizeof x->region, "region-%u", i % regions);
    struct keys_options keys = {.dir = argv[1], .force = true};
    int err = i ? keys_issue(&keys, x->name, why) : keys_init(&keys, x->name, why);
    snprintf(ca, sizeof ca, "%s/ca.pem", argv[1]);
    snprintf(cert, sizeof cert, "%s/%s.pem", argv[1], x->name);
    struct mesh_config c = {.node = x->name,
                            .region = x->region,
                            .site = x->name,
                            .software = "bench",
                            .address = "",
                            .incarnation = clock_wall_ms(&clock_system),
                            .interval_ms = RENEW_MS};
    struct mesh_calls calls = {.user = x, .changed = on_changed, .need_link = on_need};
    struct mesh_nats_options o = {.node = x->name,
                                  .region = x->region,
                                  .files = {.ca = ca, .cert = cert},
                                  .subject = argv[4],
                                  .servers = servers,
                                  .server_count = n};
    if (!err)
        err = mesh_nats_new(&loop, &o, on_link, x, &x->nats, why);
    if (err)
        return err;
    x->mesh = mesh_new(&c, &clock_system, &calls, NULL);
    say(x);
    x->renew_ms = clock_mono_ms(&clock_system) + below(RENEW_MS);
    return PM_OK;
}

/* ---- commands ---- */

static bool same(const struct node *a, const struct node *b)
{
    return memcmp(mesh_store_digest(mesh_store_of(a->mesh)),
                  mesh_store_digest(mesh_store_of(b->mesh)), MESH_BUCKETS * sizeof(uint64_t)) == 0;
}

static void state(void)
{
    struct mesh_nats_stats sum = {0}, one;
    struct mesh_totals t;
    unsigned equal = 0, connected = 0;
    size_t rss = 0;
    for (unsigned i = 0; i < count; i++) {
        mesh_nats_stats(nodes[i].nats, &one);
        sum.links += one.links;
        connected += one.connected;
#define X(name, doc) sum.name += one.name;
        MESH_NATS_STATS(X)
#undef X
        equal += same(&nodes[i], &nodes[0]);
    }
    mesh_totals(nodes[0].mesh, &t);
    uv_resident_set_memory(&rss);
    printf("{\"connected\": %u, \"links\": %u, \"same\": %u, \"records\": %zu, \"writers\": %zu, "
           "\"rss_mb\": %zu, \"cpu_s\": %.1f",
           connected, sum.links / 2, equal, t.records, t.writers, rss >> 20, cpu_s());
#define X(name, doc) printf(", \"" #name "\": %llu", (unsigned long long)sum.name);
    MESH_NATS_STATS(X)
#undef X
    printf("}\n");
}

static void sum_bytes(uint64_t *in, uint64_t *out)
{
    struct mesh_nats_stats one;
    *in = *out = 0;
    for (unsigned i = 0; i < count; i++) {
        mesh_nats_stats(nodes[i].nats, &one);
        *in += one.bytes_in;
        *out += one.bytes_out;
    }
}

static void on_steady(uv_timer_t *t)
{
    uint64_t in, out;
    sum_bytes(&in, &out);
    double s = (double)(uv_now(&loop) - from_ms) / 1000;
    printf("{\"seconds\": %.1f, \"in_kb_s\": %.2f, \"out_kb_s\": %.2f, \"cpu_ms_minute\": %.1f}\n",
           s, (double)(in - from_in) / s / count / 1e3, (double)(out - from_out) / s / count / 1e3,
           (cpu_s() - from_cpu) * 60000 / s / count);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static void on_events_end(uv_timer_t *t)
{
    static uint32_t all[EVENTS_MAX * NODES_MAX];
    size_t n = 0, lost = 0;
    for (unsigned e = 0; e < event_count; e++)
        for (unsigned i = 0; i < count; i++) {
            uint32_t us = took_us[e][i];
            lost += !us;
            if (us && us != UINT32_MAX) /* the writer's own */
                all[n++] = us;
        }
    qsort(all, n, sizeof *all, by_value);
    printf(
        "{\"heard\": %zu, \"never\": %zu, \"p50_ms\": %.1f, \"p99_ms\": %.1f, \"max_ms\": %.1f}\n",
        n, lost, n ? all[n / 2] / 1e3 : 0, n ? all[n * 99 / 100] / 1e3 : 0,
        n ? all[n - 1] / 1e3 : 0);
}

static void on_event(uv_timer_t *t)
{
    unsigned e = event_next++, from = below(count);
    uint8_t space[64];
    char subject[64];
    struct mesh_sight s = {.health = 2};
    struct mesh_writer w = mesh_writer(space, sizeof space);
    addr_from_bytes(&s.vip, ADDR_V4, (const uint8_t[4]){198, 51, 100, (uint8_t)e});
    mesh_put_sight(&w, &s, MESH_REASON_UNREACHABLE);
    snprintf(subject, sizeof subject, "event-%u %u", e, below(1000000000));
    memset(took_us[e], 0, sizeof took_us[e]);
    took_us[e][from] = UINT32_MAX;
    event_at_us[e] = now_us();
    put(&nodes[from], MESH_KIND_SIGHT, subject, &w, MESH_PUT_EVENT);
    if (event_next == event_count)
        uv_timer_start(&job, on_events_end, EVENT_WAIT_MS, 0);
}

static void command(char *line)
{
    unsigned n = 0, ms = 0;
    if (strcmp(line, "state") == 0) {
        state();
    } else if (sscanf(line, "steady %u", &n) == 1) {
        sum_bytes(&from_in, &from_out);
        from_cpu = cpu_s();
        from_ms = uv_now(&loop);
        uv_timer_start(&job, on_steady, (uint64_t)n * 1000, 0);
    } else if (sscanf(line, "events %u %u", &n, &ms) == 2 && n && n <= EVENTS_MAX) {
        event_next = 0;
        event_count = n;
        uv_timer_start(&job, on_event, ms, ms);
    }
}

static void on_input_alloc(uv_handle_t *h, size_t size, uv_buf_t *out)
{
    static char text[256];
    *out = uv_buf_init(text, sizeof text);
}

/* The driver waits for the answer before it writes again, so a read is whole lines. */
static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    char text[257], *save = NULL;
    if (n < 0) {
        uv_stop(&loop);
        return;
    }
    memcpy(text, b->base, (size_t)n);
    text[n] = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        command(line);
}

int main(int argc, char **argv)
{
    static uv_pipe_t input;
    struct buf why = BUF_INIT;
    int err = PM_OK;
    if (argc != 6 || atoi(argv[2]) < 2 || atoi(argv[2]) > NODES_MAX || atoi(argv[3]) < 1) {
        fprintf(stderr, "usage: mesh_nats DIR NODES REGIONS SUBJECT SERVER[,SERVER...]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_set_level(LOG_WARN);
    uv_loop_init(&loop);
    for (unsigned n = (unsigned)atoi(argv[2]); count < n && !err; count += !err)
        err = start(&nodes[count], count, argv, &why);
    if (err) {
        fprintf(stderr, "mesh_nats: %s: %s\n", err_text(err), buf_str(&why));
        return 1;
    }
    uv_timer_init(&loop, &ticker);
    uv_timer_init(&loop, &job);
    uv_timer_start(&ticker, on_tick, TICK_MS, TICK_MS);
    uv_pipe_init(&loop, &input, 0);
    uv_pipe_open(&input, 0);
    uv_read_start((uv_stream_t *)&input, on_input_alloc, on_input);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < count; i++) {
        mesh_free(nodes[i].mesh);
        mesh_nats_free(nodes[i].nats);
    }
    uv_close((uv_handle_t *)&ticker, NULL);
    uv_close((uv_handle_t *)&job, NULL);
    uv_close((uv_handle_t *)&input, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    nats_Close();
    buf_fini(&why);
    return uv_loop_close(&loop) ? 3 : 0;
}
