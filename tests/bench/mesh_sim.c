/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mesh at scale, with the real engine and a virtual clock: balancers as far apart as the 490 nodes of a measured
 * matrix of round trips, in regions that are made from it. What does a minute cost each node, and how soon does an event
 * reach all of them, also when links die and when a partition has healed?
 *
 * Usage: mesh_sim MATRIX.csv.gz [NODES [REGIONS [SERVICES [PERCENT OF DEAD LINKS]]]]
 */
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>
#include "../unit/mesh/mesh_world.h"
#include "mesh/values.h"

enum { NODES_MAX = 490, VIPS_EACH = 5, EVENTS = 30, UNREACHED = UINT32_MAX };

static uint16_t rtt[NODES_MAX][NODES_MAX];
static unsigned services = 10;

static void load(const char *path)
{
    char command[4200];
    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    FILE *f = popen(command, "r");
    char *line = NULL;
    size_t cap = 0;
    unsigned row = 0;
    while (f && row < NODES_MAX && getline(&line, &cap, f) > 0) {
        if (*line == '#')
            continue;
        char *p = line;
        for (unsigned column = 0; column < NODES_MAX; column++) {
            long ms = *p == ',' || *p == '\n' ? 100 : strtol(p, &p, 10); /* not measured: 100 ms */
            rtt[row][column] = (uint16_t)(ms < 1 ? 1 : ms > 2000 ? 2000 : ms);
            p += *p == ',';
        }
        row++;
    }
    free(line);
    if (!f || pclose(f) != 0 || row != NODES_MAX) {
        fprintf(stderr, "mesh_sim: %s: no matrix of %d rows\n", path, NODES_MAX);
        exit(1);
    }
}

static uint16_t delay(const struct mw *w, unsigned a, unsigned b)
{
    return (uint16_t)((rtt[a][b] + 1) / 2);
}

/* Regions around the nodes that are farthest from each other. */
static void make_regions(struct mw *w, unsigned regions)
{
    unsigned centre[64] = {0};
    for (unsigned r = 1; r < regions; r++) {
        unsigned best = 0, best_far = 0;
        for (unsigned i = 0; i < w->n; i++) {
            unsigned nearest = UINT32_MAX;
            for (unsigned k = 0; k < r; k++)
                nearest = rtt[i][centre[k]] < nearest ? rtt[i][centre[k]] : nearest;
            if (nearest > best_far && nearest < 400) {
                best_far = nearest;
                best = i;
            }
        }
        centre[r] = best;
    }
    for (unsigned i = 0; i < w->n; i++) {
        unsigned best = 0;
        for (unsigned r = 1; r < regions; r++)
            best = rtt[i][centre[r]] < rtt[i][centre[best]] ? r : best;
        snprintf(w->nodes[i].region, sizeof w->nodes[i].region, "region-%u", best);
    }
}

/* ---- what each node says ---- */

static void put(struct mw *w, unsigned i, uint16_t kind, const char *subject, const struct mesh_writer *v,
                unsigned flags)
{
    if (mesh_put(w->nodes[i].m, kind, subject, v->p, v->len, 300000, flags) != 0)
        abort();
}

static void say(struct mw *w, unsigned i)
{
    uint8_t space[2048];
    for (unsigned s = 0; s < services; s++) {
        struct mesh_sight list[VIPS_EACH] = {0};
        char subject[64];
        for (unsigned v = 0; v < VIPS_EACH; v++) {
            uint8_t address[4] = {192, 0, 2, (uint8_t)(s * VIPS_EACH + v)};
            addr_from_bytes(&list[v].vip, ADDR_V4, address);
            list[v].health = 1;
            list[v].stable = true;
            list[v].response_us = 1000 + mw_below(w, 200000);
        }
        struct mesh_writer m = mesh_writer(space, sizeof space);
        mesh_put_times(&m, list, VIPS_EACH);
        snprintf(subject, sizeof subject, "www%u.example.com", s);
        put(w, i, MESH_KIND_TIMES, subject, &m, MESH_PUT_KEEP);
    }
    struct mesh_writer m = mesh_writer(space, sizeof space);
    mesh_put_resources(&m, &(struct mesh_resources){mw_below(w, 1u << 30), 1u << 31, mw_below(w, 1000)});
    put(w, i, MESH_KIND_RESOURCES, "", &m, MESH_PUT_KEEP);
    mw_wake(&w->nodes[i]);
}

/* Everything moves once a minute, each node at its own time. */
static void run(struct mw *w, unsigned seconds, bool talking)
{
    for (unsigned s = 0; s < seconds; s++) {
        for (unsigned i = 0; i < w->n; i++)
            if (talking && i % 60 == (mw_now(w) / 1000) % 60)
                say(w, i);
        mw_run(w, 1000);
    }
}

/* ---- events ---- */

static uint64_t event_at;
static uint32_t took[NODES_MAX];

static void on_changed(struct mw_node *x, const struct mesh_stored *s, enum mesh_change what)
{
    if (what == MESH_WRITTEN && s->rec.kind == MESH_KIND_SIGHT && took[x->index] == UNREACHED)
        took[x->index] = (uint32_t)(mw_now(x->w) - event_at);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void events(struct mw *w, const char *what)
{
    static uint32_t all[EVENTS * NODES_MAX];
    uint8_t space[64];
    size_t n = 0, late = 0;
    for (unsigned e = 0; e < EVENTS; e++) {
        unsigned from = mw_below(w, w->n);
        struct mesh_sight s = {.health = 2};
        char subject[64];
        addr_from_bytes(&s.vip, ADDR_V4, (const uint8_t[4]){198, 51, 100, (uint8_t)e});
        struct mesh_writer m = mesh_writer(space, sizeof space);
        mesh_put_sight(&m, &s, MESH_REASON_UNREACHABLE);
        snprintf(subject, sizeof subject, "www.example.com %u.%u", e, from);
        memset(took, 0xff, sizeof took);
        event_at = mw_now(w);
        took[from] = 0;
        put(w, from, MESH_KIND_SIGHT, subject, &m, MESH_PUT_EVENT);
        mw_wake(&w->nodes[from]);
        run(w, 20, true);
        for (unsigned i = 0; i < w->n; i++) {
            if (i == from)
                continue;
            all[n++] = took[i];
            late += took[i] > 2000;
        }
    }
    qsort(all, n, sizeof *all, by_value);
    printf("%-28s p50 %4u ms   p99 %5u ms   max %5u ms   later than 2 s: %zu of %zu\n", what, all[n / 2],
           all[n * 99 / 100], all[n - 1], late, n);
}

/* ---- what a minute costs ---- */

static double cpu_s(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void minute(struct mw *w)
{
    uint64_t *in = mem_alloc(w->n * sizeof *in), *out = mem_alloc(w->n * sizeof *out), total_in = 0, total_out = 0,
             most_in = 0, most_out = 0;
    for (unsigned i = 0; i < w->n; i++) {
        in[i] = w->nodes[i].bytes_in;
        out[i] = w->nodes[i].bytes_out;
    }
    double cpu = cpu_s();
    run(w, 60, true);
    cpu = cpu_s() - cpu;
    for (unsigned i = 0; i < w->n; i++) {
        in[i] = w->nodes[i].bytes_in - in[i];
        out[i] = w->nodes[i].bytes_out - out[i];
        total_in += in[i];
        total_out += out[i];
        most_in = in[i] > most_in ? in[i] : most_in;
        most_out = out[i] > most_out ? out[i] : most_out;
    }
    printf("per node, steady             in %.1f kB/s (most %.1f)   out %.1f kB/s (most %.1f)   CPU %.1f ms a minute, "
           "simulation included\n",
           (double)total_in / w->n / 60e3, (double)most_in / 60e3, (double)total_out / w->n / 60e3,
           (double)most_out / 60e3, cpu * 1000 / w->n);
    free(in);
    free(out);
}

static unsigned links(const struct mw *w)
{
    unsigned n = 0;
    for (size_t i = 0; i < (size_t)w->n * w->n; i++)
        n += w->links[i] != NULL;
    return n / 2;
}

static void cut_some(struct mw *w, unsigned percent)
{
    for (unsigned a = 0; a < w->n; a++)
        for (unsigned b = 0; b < a; b++)
            if (mw_below(w, 100) < percent)
                mw_cut(w, a, b, true);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: mesh_sim MATRIX.csv.gz [NODES [REGIONS [SERVICES [PERCENT OF DEAD LINKS]]]]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    load(argv[1]);
    unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : NODES_MAX, regions = argc > 3 ? (unsigned)atoi(argv[3]) : 7;
    services = argc > 4 ? (unsigned)atoi(argv[4]) : services;
    unsigned percent = argc > 5 ? (unsigned)atoi(argv[5]) : 2;
    struct mw *w = mw_new(n, regions, delay);
    make_regions(w, regions);
    for (unsigned i = 0; i < n; i++) {
        mw_start(w, i, true);
        say(w, i);
        mw_run(w, 20);
    }
    uint64_t start = mw_now(w), end = start + 300000;
    do
        run(w, 2, false);
    while (!mw_all_same(w) && mw_now(w) < end);
    struct mesh_totals t;
    mesh_totals(w->nodes[0].m, &t);
    printf("%u nodes in %u regions, %u links, %zu records of %zu writers at each, %.1f MB; all the same %.0f s after "
           "the last start\n",
           n, regions, links(w), t.records, t.writers, (double)t.bytes / 1e6, (double)(mw_now(w) - start) / 1000);
    run(w, 60, true);
    minute(w);
    w->on_changed = on_changed;
    events(w, "event, all is well");
    cut_some(w, percent);
    run(w, 60, true);
    char what[64];
    snprintf(what, sizeof what, "event, %u %% of paths dead", percent);
    events(w, what);
    for (unsigned a = 0; a < n; a++)
        for (unsigned b = 0; b < a; b++)
            mw_cut(w, a, b, (a % 2) != (b % 2));
    run(w, 60, true);
    for (unsigned a = 0; a < n; a++)
        for (unsigned b = 0; b < a; b++)
            mw_cut(w, a, b, false);
    start = mw_now(w);
    do
        run(w, 1, false);
    while (!mw_all_same(w) && mw_now(w) < start + 300000);
    printf("a partition in halves heals   all the same after %.0f s\n", (double)(mw_now(w) - start) / 1000);
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    printf("simulation: %.0f s of CPU, %.1f GB\n", cpu_s(), (double)r.ru_maxrss / 1e6);
    mw_free(w);
    return 0;
}
