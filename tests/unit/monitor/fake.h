/* SPDX-License-Identifier: Apache-2.0 */
/* A monitor with scripted time and a module whose answers the test decides by target address. */
#ifndef PM_TESTS_FAKE_H
#define PM_TESTS_FAKE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/log.h"
#include "monitor/engine.h"
#include "../cmocka_pm.h"

enum { TARGETS = 64 };

/* What target 10.0.0.N answers: at once, after a time, or never. */
static struct {
    enum probe_status status;
    bool silent;
    uint64_t took_ms;
    uint64_t bytes;
} answers[TARGETS];
static struct probe *open_probes[8192];
static unsigned open_count, started, cancelled, most_open;

static void fake_start(struct probe *p)
{
    started++;
    unsigned i = p->target.addr.bytes[3] % TARGETS;
    if (answers[i].silent) {
        open_probes[open_count++] = p;
        if (open_count > most_open)
            most_open = open_count;
        return;
    }
    struct probe_result r =
        probe_result_make(answers[i].status, answers[i].status ? "as told" : "%s", "");
    r.duration_ns = answers[i].took_ms * 1000000 + 1;
    r.bytes = answers[i].bytes;
    probe_done(p, &r);
}

static void fake_cancel(struct probe *p)
{
    cancelled++;
    for (unsigned i = 0; i < open_count; i++)
        if (open_probes[i] == p) {
            open_probes[i] = open_probes[--open_count];
            return;
        }
    fail_msg("cancel of a probe that does not run");
}

static const struct conf_object fake_object = {.name = "fake"};
static const struct monitor_module fake = {
    .object = &fake_object, .default_port = 7, .start = fake_start, .cancel = fake_cancel};

struct world {
    uv_loop_t loop;
    struct clock_manual clock;
    struct monitor_options opt;
    struct monitor *m;
    unsigned observed, changes, holds;
    bool held;
};

static void on_observe(void *ctx, struct monitor_check *c, const struct check_view *v, bool changed)
{
    struct world *w = ctx;
    w->observed++;
    w->changes += changed;
}

static void on_hold(void *ctx, bool held, const char *why)
{
    struct world *w = ctx;
    assert_int_not_equal(held, w->held);
    w->held = held;
    w->holds += held;
    assert_true(why && *why);
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    memset(answers, 0, sizeof answers);
    open_count = started = cancelled = most_open = 0;
    assert_int_equal(uv_loop_init(&w->loop), 0);
    clock_manual_init(&w->clock);
    w->opt = (struct monitor_options){
        .observe = on_observe, .hold = on_hold, .ctx = w, .random_seed = 42};
    w->m = monitor_new(&w->loop, &w->clock.clock, &w->opt);
}

static void world_fini(struct world *w)
{
    monitor_free(w->m);
    while (uv_run(&w->loop, UV_RUN_NOWAIT))
        ;
    assert_int_equal(uv_loop_close(&w->loop), 0);
}

static void advance(struct world *w, uint64_t ms)
{
    uint64_t end = clock_mono_ms(&w->clock.clock) + ms;
    for (;;) {
        while (monitor_tick(w->m))
            ;
        uint64_t now = clock_mono_ms(&w->clock.clock), due = monitor_next_due(w->m);
        if (due > end) {
            clock_manual_advance_ms(&w->clock, end - now);
            return;
        }
        clock_manual_advance_ms(&w->clock, due > now ? due - now : 0);
    }
}

static struct monitor_spec spec_of(const char *key, unsigned target, uint32_t group)
{
    struct monitor_spec s = {.key = key, .module = &fake, .host = "h", .group = group};
    s.target.addr.family = ADDR_V4;
    s.target.addr.bytes[0] = 10;
    s.target.addr.bytes[3] = (uint8_t)target;
    s.timing = (struct check_timing){.interval_ms = 10000,
                                     .timeout_ms = 2000,
                                     .iterations = 1,
                                     .rise = 2,
                                     .fall = 3,
                                     .average_ms = 60000};
    return s;
}

static struct check_view view(struct world *w, const char *key)
{
    struct check_view v;
    struct monitor_check *c = monitor_find(w->m, key);
    assert_non_null(c);
    monitor_check_view(w->m, c, &v);
    return v;
}

#endif
