/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/monitor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/arena.h"
#include "base/log.h"
#include "monitor/engine.h"

struct monitor *monitor_new(uv_loop_t *loop, const struct clock *clock,
                            const struct monitor_options *opt)
{
    struct monitor *m = mem_alloc(sizeof *m);
    m->loop = loop;
    m->clock = clock;
    m->opt = *opt;
    if (!m->opt.max_running)
        m->opt.max_running = 4096;
    if (!m->opt.hold_window_ms)
        m->opt.hold_window_ms = 30000;
    if (!m->opt.hold_max_ms)
        m->opt.hold_max_ms = 300000;
    m->wake = mem_alloc(sizeof *m->wake);
    uv_timer_init(loop, m->wake);
    m->wake->data = m;
    m->armed_ms = UINT64_MAX;
    m->ticked_ms = monitor_now_ms(m);
    m->waiting_end = &m->waiting;
    m->done_end = &m->done;
    map_init(&m->checks);
    map_init(&m->restored);
    m->random = opt->random_seed;
    if (!m->random && getrandom(&m->random, sizeof m->random, 0) != sizeof m->random)
        m->random = clock_mono_ns(clock);
    return m;
}

static void free_check(struct monitor_check *c)
{
    free(c->why);
    free(c->flaps);
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
    size_t at = 0;
    struct map_slot s;
    schedule_drop_waiting(m);
    while (map_next(&m->checks, &at, &s)) {
        schedule_forget(m, s.value);
        free_check(s.value);
    }
    map_fini(&m->checks);
    for (size_t i = 0; i < m->module_count; i++)
        if (m->modules[i].module->close && !m->modules[i].error && m->modules[i].shared)
            m->modules[i].module->close(m->modules[i].shared);
    free(m->modules);
    while (m->all) {
        struct run *run = m->all;
        m->all = run->next_all;
        free(run);
    }
    timers_fini(&m->starts);
    timers_fini(&m->deadlines);
    save_fini(m);
    uv_close((uv_handle_t *)m->wake, free_handle);
    free(m);
}

/* A module is opened when the first check wants it, and tried again by the next set when it could
 * not be. */
static void open_module(struct monitor *m, const struct monitor_module *module)
{
    struct module_state *s = schedule_module(m, module);
    if (s->shared || !module->open)
        return;
    s->error = module->open(m->loop, &s->shared);
    if (s->error)
        log_error("checks of this kind cannot run here", "check", module->object->name, "why",
                  err_text(s->error));
}

static struct monitor_check *new_check(const struct monitor_spec *spec)
{
    struct monitor_check *c = mem_alloc(sizeof *c);
    c->spec = *spec;
    c->hops = -1;
    c->response_ms = NAN;
    c->last_ms = c->throughput_bps = NAN;
    c->cert_at_s = INT64_MIN;
    return c;
}

/* The same key with a new generation's pointers; a running iteration may hold on to the old ones.
 */
static void update_check(struct monitor *m, struct monitor_check *c,
                         const struct monitor_spec *spec)
{
    bool same = c->spec.params == spec->params && c->spec.host == spec->host &&
                c->spec.module == spec->module &&
                addr_eq(&c->spec.target.addr, &spec->target.addr) &&
                c->spec.target.port == spec->target.port;
    uint64_t before = state_interval_ms(c);
    if (c->flaps && c->flaps->cap != spec->timing.flap_limit) {
        free(c->flaps);
        c->flaps = NULL;
        c->flapping = false;
    }
    c->spec = *spec;
    if (c->run && !same) {
        schedule_forget(m, c);
        schedule_now(m, c);
        return;
    }
    /* A shorter interval takes effect now, not after the old one. */
    uint64_t interval = state_interval_ms(c);
    if (!c->run && !c->queued && interval < before && c->next_ms > monitor_now_ms(m) + interval)
        schedule_new(m, c, interval);
}

/* Pass one: nothing of the monitor changes, so that a bad set leaves it as it was. */
static int build(struct monitor *m, const struct monitor_spec *specs, size_t n, struct map *fresh,
                 struct monitor_check **checks)
{
    for (size_t i = 0; i < n; i++) {
        struct monitor_check *c = map_get_str(&m->checks, specs[i].key);
        if (map_get_str(fresh, specs[i].key)) {
            for (size_t k = 0; k < i; k++) {
                if (!checks[k]->keep)
                    free_check(checks[k]);
                else
                    checks[k]->keep = false;
            }
            return PM_EEXISTS;
        }
        if (c)
            c->keep = true;
        else
            c = new_check(&specs[i]);
        checks[i] = c;
        map_put_str(fresh, specs[i].key, c);
    }
    return 0;
}

static void drop_gone(struct monitor *m)
{
    size_t at = 0;
    struct map_slot s;
    schedule_drop_waiting(m);
    while (map_next(&m->checks, &at, &s)) {
        struct monitor_check *c = s.value;
        if (c->keep)
            continue;
        schedule_forget(m, c);
        free_check(c);
    }
}

int monitor_apply(struct monitor *m, const struct monitor_spec *specs, size_t n)
{
    if (m->busy)
        return PM_EBUSY;
    struct map fresh;
    map_init(&fresh);
    struct monitor_check **checks = mem_alloc((n ? n : 1) * sizeof(struct monitor_check *));
    int err = build(m, specs, n, &fresh, checks);
    if (err) {
        map_fini(&fresh);
        free(checks);
        return err;
    }
    drop_gone(m);
    map_fini(&m->checks);
    m->checks = fresh;
    size_t added = 0;
    for (size_t i = 0; i < n; i++) {
        open_module(m, specs[i].module);
        added += !checks[i]->keep;
    }
    uint64_t spread = (uint64_t)added * 1000 / SPREAD_PER_SECOND;
    for (size_t i = 0; i < n; i++) {
        struct monitor_check *c = checks[i];
        if (c->keep) {
            update_check(m, c, &specs[i]);
        } else {
            save_restore(m, c);
            schedule_new(m, c, spread);
        }
        c->keep = false;
    }
    free(checks);
    schedule_arm(m);
    return 0;
}

size_t monitor_count(const struct monitor *m)
{
    return m->checks.count;
}

struct monitor_check *monitor_find(const struct monitor *m, const char *key)
{
    return map_get_str(&m->checks, key);
}

const struct monitor_spec *monitor_check_spec(const struct monitor_check *c)
{
    return &c->spec;
}

bool monitor_held(const struct monitor *m)
{
    return m->hold.held;
}

void monitor_check_now(struct monitor *m, struct monitor_check *c)
{
    schedule_now(m, c);
    schedule_arm(m);
}

void monitor_verify(struct monitor *m, struct monitor_check *c)
{
    c->suspect = true;
    c->suspect_ms = monitor_now_ms(m);
    monitor_check_now(m, c);
}

void monitor_check_view(const struct monitor *m, const struct monitor_check *c,
                        struct check_view *out)
{
    *out = (struct check_view){
        .state = (enum check_state)c->state,
        .flapping = c->flapping,
        .held = m->hold.held,
        .last_status = (enum probe_status)c->last_status,
        .response_ms = c->response_ms,
        .last_ms = (double)c->last_ms,
        .throughput_bps = (double)c->throughput_bps,
        .hops = c->hops,
        .cert_expiry_s = INT64_MIN,
        .changed_ms = c->changed_ms,
        .checked_ms = c->checked_ms,
        .next_ms = c->next_ms,
        .good_row = c->good_row,
        .bad_row = c->bad_row,
        .restored = c->restored,
        .restored_age_ms = c->restored_age_ms,
        .can_change_in_ms = state_can_change_in_ms(m, c),
    };
    if (c->cert_at_s != INT64_MIN)
        out->cert_expiry_s = c->cert_at_s - (int64_t)(monitor_now_ms(m) / 1000);
    for (int i = 0; i < PROBE_STATUS_COUNT; i++)
        out->count[i] = c->count[i];
    if (c->why)
        strncpy(out->why, c->why, sizeof out->why - 1);
}
