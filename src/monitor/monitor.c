/* SPDX-License-Identifier: Apache-2.0 */
/* The set of checks: made, replaced, found, freed. */
#include "monitor/monitor.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/log.h"
#include "monitor/check.h"

enum { STARTS_PER_MS = 5, SPREAD_MIN_MS = 200 };

static void modules_open(struct monitor *m)
{
    size_t n = 0;
    while (monitor_modules[n])
        n++;
    m->shared = mem_alloc((n + 1) * sizeof *m->shared);
    for (size_t i = 0; i < n; i++) {
        const struct monitor_module *module = monitor_modules[i];
        int err = module->open ? module->open(m->loop, &m->shared[i]) : PM_OK;
        if (err)
            log_warn("a status module is not available, its checks will say so", "module", module->object->name, "why",
                     err_text(err));
    }
}

static void *module_shared(const struct monitor *m, const struct monitor_module *module)
{
    for (size_t i = 0; monitor_modules[i]; i++)
        if (monitor_modules[i] == module)
            return m->shared[i];
    return NULL;
}

struct monitor *monitor_new(uv_loop_t *loop, const struct clock *clock, const struct monitor_options *opt)
{
    struct monitor *m = mem_alloc(sizeof *m);
    m->loop = loop;
    m->clock = clock;
    m->opt = *opt;
    if (!m->opt.max_running)
        m->opt.max_running = 4096;
    m->random = opt->random_seed ? opt->random_seed : hash_seed();
    map_init(&m->by_key);
    m->timer = mem_alloc(sizeof *m->timer);
    uv_timer_init(loop, m->timer);
    m->timer->data = m;
    modules_open(m);
    return m;
}

static void check_free(struct monitor_check *c)
{
    schedule_remove(c);
    map_del_str(&c->monitor->by_key, c->spec.key);
    free((char *)(uintptr_t)c->spec.key);
    free(c->why);
    free(c);
}

static void free_handle(uv_handle_t *h)
{
    free(h);
}

void monitor_free(struct monitor *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++)
        check_free(m->all[i]);
    for (size_t i = 0; monitor_modules[i]; i++)
        if (monitor_modules[i]->close && m->shared[i])
            monitor_modules[i]->close(m->shared[i]);
    uv_close((uv_handle_t *)m->timer, free_handle);
    json_decref(m->restored);
    map_fini(&m->by_key);
    free(m->shared);
    free(m->all);
    free(m->heap);
    free(m);
}

static struct monitor_check *check_new(struct monitor *m, const struct monitor_spec *spec)
{
    struct monitor_check *c = mem_alloc(sizeof *c);
    c->monitor = m;
    c->spec = *spec;
    c->spec.key = mem_strdup(spec->key);
    c->probe.shared = module_shared(m, spec->module);
    c->response_ms = c->last_ms = c->throughput_bps = NAN;
    c->hops = -1;
    c->cert_expiry_s = INT64_MIN;
    map_put_str(&m->by_key, c->spec.key, c);
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->all = mem_realloc(m->all, m->cap * sizeof(struct monitor_check *));
    }
    m->all[m->count++] = c;
    if (m->restored)
        save_restore(c);
    return c;
}

/* A running probe reads the old generation's parameters: it starts again with the new ones. */
static void check_keep(struct monitor_check *c, const struct monitor_spec *spec)
{
    const char *key = c->spec.key;
    bool was_running = c->phase == PHASE_RUNNING;
    if (was_running)
        schedule_remove(c);
    c->spec = *spec;
    c->spec.key = key;
    if (was_running)
        schedule_start_in(c, 0);
}

static bool keys_are_unique(const struct monitor_spec *specs, size_t n)
{
    struct map keys = MAP_INIT;
    size_t i = 0;
    while (i < n && !map_put_str(&keys, specs[i].key, (void *)(uintptr_t)&specs[i]))
        i++;
    map_fini(&keys);
    return i == n;
}

int monitor_apply(struct monitor *m, const struct monitor_spec *specs, size_t n)
{
    size_t out = 0, fresh = 0;
    if (!keys_are_unique(specs, n))
        return PM_EEXISTS;
    m->round++;
    for (size_t i = 0; i < n; i++) {
        struct monitor_check *c = map_get_str(&m->by_key, specs[i].key);
        if (c) {
            check_keep(c, &specs[i]);
        } else {
            c = check_new(m, &specs[i]);
            c->due_ms = UINT64_MAX; /* marks it new until the spread below */
            fresh++;
        }
        c->seen = m->round;
    }
    /* New checks start one after the other, quickly when there are few, over the interval when there are many. */
    uint64_t spread = fresh / STARTS_PER_MS > SPREAD_MIN_MS ? fresh / STARTS_PER_MS : SPREAD_MIN_MS;
    for (size_t i = 0; i < m->count; i++) {
        struct monitor_check *c = m->all[i];
        if (c->seen != m->round) {
            check_free(c);
            continue;
        }
        m->all[out++] = c;
        if (c->due_ms == UINT64_MAX && c->phase == PHASE_IDLE) {
            uint64_t limit = spread < c->spec.timing.interval_ms ? spread : c->spec.timing.interval_ms;
            schedule_start_in(c, monitor_random(m, limit));
        }
    }
    m->count = out;
    if (m->restored && n) {
        json_decref(m->restored);
        m->restored = NULL;
    }
    schedule_arm(m);
    return PM_OK;
}

size_t monitor_count(const struct monitor *m)
{
    return m->count;
}

struct monitor_check *monitor_find(const struct monitor *m, const char *key)
{
    return map_get_str(&m->by_key, key);
}

const struct monitor_spec *monitor_check_spec(const struct monitor_check *c)
{
    return &c->spec;
}
