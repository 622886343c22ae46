/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole answer without the sockets: a query packet through parsing, name lookup, class of the client among a million
 * prefixes, weighted draw, writing. For callgrind (instructions) and for nanoseconds.
 *
 *     answer_path [PREFIXES [QUERIES]]
 *     valgrind --tool=callgrind --toggle-collect=answer_packet build/tests/bench/answer_path 1000000 100000
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/file.h"
#include "main/answer.h"
#include "main/generation.h"
#include "model/world.h"

enum { PACKET_MAX = 512, RING = 4096 };

static const char config_head[] = "node: {state: '', user: ''}\n"
                                  "zones: {bench.test: {ns: [ns.bench.test]}}\n"
                                  "geo: {sources: [{csv: {path: %s}}]}\n"
                                  "sites:\n"
                                  "  paris: {location: [48.85, 2.35]}\n  tokyo: {location: [35.68, 139.69]}\n"
                                  "  lima: {location: [-12.05, -77.04]}\n  dallas: {location: [32.78, -96.80]}\n"
                                  "  sydney: {location: [-33.87, 151.21]}\n"
                                  "checks: {alive: {exec: {command: /bin/true}}}\n"
                                  "services:\n"
                                  "  app.bench.test:\n    policy: [up, near, {within: 10}, weighted]\n    check: alive\n    addresses: 1\n"
                                  "    sites:\n";

static char *write_prefixes(unsigned n)
{
    static char path[] = "/tmp/pm-bench-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f)
        exit(1);
    srand(1);
    fprintf(f, "prefix,lat,lon\n");
    for (unsigned i = 0; i < n; i++)
        fprintf(f, "%d.%d.%d.0/24,%d,%d\n", 1 + rand() % 222, rand() % 256, rand() % 256, rand() % 130 - 55, rand() % 360 - 180);
    fclose(f);
    return path;
}

/* app.bench.test A, with OPT, and a random /24 as client subnet if asked. */
static size_t write_query(uint8_t *q, bool subnet)
{
    static const uint8_t name[] = "\3app\5bench\4test";
    uint8_t *p = q;
    memset(p, 0, 12);
    p[5] = p[11] = 1;
    p += 12;
    memcpy(p, name, sizeof name);
    p += sizeof name;
    memcpy(p, "\0\1\0\1\0\0\51\4\320\0\0\0\0", 13);
    p += 13;
    *p++ = 0;
    *p++ = subnet ? 11 : 0;
    if (subnet) {
        memcpy(p, "\0\10\0\7\0\1\30\0", 8);
        p += 8;
        *p++ = (uint8_t)(1 + rand() % 222);
        *p++ = (uint8_t)rand();
        *p++ = (uint8_t)rand();
    }
    return (size_t)(p - q);
}

int main(int argc, char **argv)
{
    unsigned prefixes = argc > 1 ? (unsigned)atoi(argv[1]) : 1000000, queries = argc > 2 ? (unsigned)atoi(argv[2]) : 1000000;
    char *csv = write_prefixes(prefixes);
    struct buf text = BUF_INIT, report = BUF_INIT;
    struct generation *g;
    struct overrides o = {0};
    struct world world;
    buf_printf(&text, config_head, csv);
    static const char *const sites[] = {"paris", "tokyo", "lima", "dallas", "sydney"};
    for (unsigned i = 0; i < 5; i++)
        buf_printf(&text, "      %s: {vips: [{address: 198.51.100.%u, weight: 60}, {address: 198.51.100.%u, weight: 30}, {address: 198.51.100.%u, weight: 10}]}\n",
                   sites[i], i * 10 + 1, i * 10 + 2, i * 10 + 3);
    uint64_t t0 = clock_mono_ns(&clock_system);
    if (generation_new(&(struct config_source){"bench", buf_str(&text)}, &clock_system, NULL, &g, &report)) {
        fputs(buf_str(&report), stderr);
        return 1;
    }
    generation_compile(g, &o);
    uint64_t t1 = clock_mono_ns(&clock_system);
    world_init(&world);
    struct snapshot *none = world_publish(&world, g->snapshot);
    (void)none;
    printf("prefixes=%u load_ms=%.0f places=%u classes=%u ranges=%zu\n", prefixes, (double)(t1 - t0) / 1e6,
           geo_place_count(g->geo), g->snapshot->views[0].base->class_count, ranges_count(g->snapshot->views[0].base->ranges, ADDR_V4));

    struct answer_context ctx = {&world};
    uint64_t counters[ANSWER_COUNTER_COUNT] = {0};
    struct respond_thread thread = {.scratch = mem_alloc(answer_scratch_size()), .counters = counters, .random = 42};
    for (unsigned subnet = 0; subnet < 2; subnet++) {
        uint8_t(*ring)[PACKET_MAX] = mem_alloc(RING * sizeof *ring), out[1232];
        size_t len = 0, bytes = 0;
        for (unsigned i = 0; i < RING; i++)
            len = write_query(ring[i], subnet);
        uint64_t start = clock_mono_ns(&clock_system);
        for (unsigned i = 0; i < queries; i++) {
            struct respond_peer peer = {.client = {.addr = {.family = ADDR_V4, .bytes = {127, 0, 0, 1}}}};
            bytes += answer_packet(&ctx, &thread, ring[i % RING], len, &peer, out, sizeof out);
        }
        printf("subnet=%u ns_per_answer=%.0f bytes=%.0f\n", subnet, (double)(clock_mono_ns(&clock_system) - start) / queries,
               (double)bytes / queries);
        free(ring);
    }
    unlink(csv);
    return 0;
}
