/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a module without the scheduler, for tests and benchmarks: parameters from YAML text, one probe, its result.
 * Memory: probe_run_open's object owns everything. Thread: one. Failure: what cannot be set up ends the program.
 */
#ifndef PM_TESTS_SCENARIO_PROBE_RUN_H
#define PM_TESTS_SCENARIO_PROBE_RUN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conf/load.h"
#include "monitor/probe.h"

struct probe_run {
    uv_loop_t loop;
    uv_timer_t timer;
    const struct monitor_module *module;
    struct arena *arena;
    void *shared, *params;
    bool finished, cancelled;
    struct probe_result result;
    struct probe probe;
};

/* NULL when the text has errors, which go to errors. The caller frees the arena. */
static inline void *probe_run_params(const struct monitor_module *module, const char *yaml, struct arena *arena,
                                     struct buf *errors)
{
    struct conf_diag *diag = conf_diag_new();
    struct conf_ctx *ctx = conf_ctx_new(arena, diag, NULL);
    void *params = arena_alloc(arena, module->object->size);
    const struct conf_node *root = conf_read_text(ctx, "check", yaml, strlen(yaml));
    if (root)
        (void)conf_object_read(ctx, root, module->object, params);
    if (conf_diag_errors(diag) > 0) {
        conf_diag_print(diag, errors);
        params = NULL;
    }
    conf_ctx_free(ctx);
    conf_diag_free(diag);
    return params;
}

static inline void probe_run_open(struct probe_run *t, const struct monitor_module *module, const char *yaml)
{
    struct buf errors = BUF_INIT;
    memset(t, 0, sizeof(*t));
    t->module = module;
    t->arena = arena_new();
    t->params = probe_run_params(module, yaml, t->arena, &errors);
    if (!t->params || uv_loop_init(&t->loop) != 0 || (module->open && module->open(&t->loop, &t->shared) != 0)) {
        fprintf(stderr, "%s", buf_str(&errors));
        exit(2);
    }
    uv_timer_init(&t->loop, &t->timer);
    buf_fini(&errors);
}

static inline void probe_run_close(struct probe_run *t)
{
    if (t->module->close)
        t->module->close(t->shared);
    uv_close((uv_handle_t *)&t->timer, NULL);
    for (int i = 0; i < 5 && uv_run(&t->loop, UV_RUN_NOWAIT) != 0; i++)
        ;
    if (uv_loop_close(&t->loop) != 0) {
        fprintf(stderr, "handles left on the loop\n");
        abort();
    }
    arena_free(t->arena);
}

static inline void probe_run_done(struct probe *p, const struct probe_result *r)
{
    struct probe_run *t = PM_CONTAINER_OF(p, struct probe_run, probe);
    if (t->finished || t->cancelled)
        abort(); /* a probe ends once, and never after it was cancelled */
    t->finished = true;
    t->result = *r;
    uv_stop(&t->loop); /* else an iteration that ends a probe among its timers goes on to wait for ever */
}

static inline void probe_run_timeout(uv_timer_t *timer)
{
    struct probe_run *t = PM_CONTAINER_OF(timer, struct probe_run, timer);
    t->cancelled = true;
    t->module->cancel(&t->probe);
    t->result = probe_result_make(PROBE_TIMEOUT, "no answer in time");
    uv_stop(&t->loop);
}

static inline struct probe_result probe_run_once(struct probe_run *t, struct endpoint target, const char *host,
                                                 uint64_t timeout_ms)
{
    t->finished = t->cancelled = false;
    t->probe = (struct probe){.module = t->module, .loop = &t->loop, .shared = t->shared, .params = t->params,
                              .target = target, .host = host, .timeout_ms = timeout_ms,
                              .started_ns = uv_hrtime(), .done = probe_run_done};
    uv_update_time(&t->loop);
    uv_timer_start(&t->timer, probe_run_timeout, timeout_ms, 0);
    t->module->start(&t->probe);
    while (!t->finished && !t->cancelled)
        uv_run(&t->loop, UV_RUN_ONCE);
    uv_timer_stop(&t->timer);
    if (!t->result.duration_ns)
        t->result.duration_ns = uv_hrtime() - t->probe.started_ns;
    return t->result;
}

#endif
