/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When things run. Intervals are from start to start, each moved by +-10 %. New checks start quickly one
 * after another (SPREAD_PER_SECOND, but never longer than their interval), so a small set has its
 * verdicts at once and a large one makes no burst; the second start of each comes after a random
 * part of the interval, which spreads them for good.
 */
#include <math.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/log.h"
#include "monitor/engine.h"

/* splitmix64: plenty for jitter, and the same sequence for the same seed. */
static uint64_t next_random(struct monitor *m)
{
    uint64_t z = m->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t below(struct monitor *m, uint64_t n)
{
    return n ? next_random(m) % n : 0;
}

static void set_start(struct monitor *m, struct monitor_check *c, uint64_t when_ms)
{
    c->next_ms = when_ms;
    timers_set(&m->starts, &c->timer, when_ms);
}

void schedule_new(struct monitor *m, struct monitor_check *c, uint64_t spread_ms)
{
    uint64_t interval = state_interval_ms(c);
    set_start(m, c, monitor_now_ms(m) + below(m, spread_ms < interval ? spread_ms : interval));
}

void schedule_now(struct monitor *m, struct monitor_check *c)
{
    if (!c->run && !c->queued)
        set_start(m, c, monitor_now_ms(m));
}

static void schedule_next(struct monitor *m, struct monitor_check *c, uint64_t started_ms)
{
    uint64_t interval = state_interval_ms(c), wait;
    /* Counted from when it was due, so that late starts do not add up; unless it was very late. */
    uint64_t from = started_ms - c->next_ms < interval / 2 ? c->next_ms : started_ms;
    if (!c->second) {
        c->second = true;
        wait = interval / 10 + below(m, interval - interval / 10 + 1);
    } else {
        wait = interval - interval / 10 + below(m, interval / 5 + 1);
    }
    uint64_t now = monitor_now_ms(m), when = from + (wait ? wait : 1);
    if (c->suspect && started_ms < c->suspect_ms)
        when = now; /* what has just ended was under way when the word came */
    set_start(m, c, when > now ? when : now);
}

uint64_t monitor_next_due(const struct monitor *m)
{
    if (m->done || (m->waiting && m->running < m->opt.max_running))
        return 0;
    uint64_t due = timers_next(&m->starts), deadline = timers_next(&m->deadlines);
    if (deadline < due)
        due = deadline;
    uint64_t let_go = m->hold.held ? m->hold.since_ms + m->opt.hold_max_ms : UINT64_MAX;
    return let_go < due ? let_go : due;
}

static void on_wake(uv_timer_t *t)
{
    struct monitor *m = t->data;
    m->armed_ms = UINT64_MAX;
    m->waking = true;
    monitor_tick(m);
    m->waking = false;
}

/* An earlier alarm than needed is left alone: it finds nothing due and sets the right one. */
void schedule_arm(struct monitor *m)
{
    if (m->busy)
        return;
    uint64_t due = monitor_next_due(m);
    if (due >= m->armed_ms)
        return;
    uint64_t now = monitor_now_ms(m), wait = due > now ? due - now : 0;
    /* A timer of 0 set by a timer would be run again before the sockets are polled (libuv
     * before 1.45). */
    if (m->waking && !wait)
        wait = 1;
    m->armed_ms = due;
    /* libuv counts from the start of its loop's round. */
    uv_update_time(m->loop);
    uv_timer_start(m->wake, on_wake, wait, 0);
}

struct module_state *schedule_module(struct monitor *m, const struct monitor_module *module)
{
    for (size_t i = 0; i < m->module_count; i++)
        if (m->modules[i].module == module)
            return &m->modules[i];
    m->modules = mem_realloc(m->modules, (m->module_count + 1) * sizeof *m->modules);
    struct module_state *s = &m->modules[m->module_count++];
    *s = (struct module_state){.module = module};
    return s;
}

static void on_done(struct probe *p, const struct probe_result *r)
{
    struct run *run = PM_CONTAINER_OF(p, struct run, probe);
    struct monitor *m = run->m;
    if (!run->active || run->ended)
        return; /* a module that ends twice must not end somebody else's iteration */
    run->ended = true;
    run->result = *r;
    if (!run->result.duration_ns)
        run->result.duration_ns = clock_mono_ns(m->clock) - p->started_ns;
    timers_del(&m->deadlines, &run->timer);
    run->next = NULL;
    *m->done_end = run;
    m->done_end = &run->next;
    schedule_arm(m);
}

static void run_iteration(struct monitor *m, struct run *run)
{
    const struct monitor_spec *spec = &run->check->spec;
    struct module_state *module = schedule_module(m, spec->module);
    struct probe *p = &run->probe;
    *p = (struct probe){.module = spec->module,
                        .loop = m->loop,
                        .shared = module->shared,
                        .params = spec->params,
                        .target = spec->target,
                        .host = spec->host ? spec->host : "",
                        .timeout_ms = spec->timing.timeout_ms ? spec->timing.timeout_ms : 1,
                        .started_ns = clock_mono_ns(m->clock),
                        .done = on_done};
    if (!p->target.port)
        p->target.port = spec->module->default_port;
    run->ended = false;
    timers_set(&m->deadlines, &run->timer, monitor_now_ms(m) + p->timeout_ms);
    if (module->error) {
        struct probe_result r =
            probe_result_make(PROBE_LOCAL, "%s checks cannot run here: %s",
                              spec->module->object->name, err_text(module->error));
        probe_done(p, &r);
    } else {
        spec->module->start(p);
    }
}

static void start_check(struct monitor *m, struct monitor_check *c)
{
    struct run *run = m->unused;
    if (run) {
        m->unused = run->next;
    } else {
        run = mem_alloc(sizeof *run);
        run->next_all = m->all;
        m->all = run;
    }
    m->running++;
    run->m = m;
    run->check = c;
    run->active = true;
    run->iteration = 0;
    run->sum_ns = run->bytes = 0;
    run->started_ms = monitor_now_ms(m);
    c->run = run;
    run_iteration(m, run);
}

static void release(struct monitor *m, struct run *run)
{
    run->check->run = NULL;
    run->active = false;
    run->next = m->unused;
    m->unused = run;
    m->running--;
}

static void finish_check(struct monitor *m, struct run *run)
{
    struct monitor_check *c = run->check;
    struct probe_result r = run->result; /* the slot is reused before observers are called */
    uint32_t n = run->iteration + 1;
    uint64_t sum = run->sum_ns, bytes = run->bytes;
    struct outcome o = {.status = r.status,
                        .why = r.why,
                        .started_ms = run->started_ms,
                        .ended_ms = monitor_now_ms(m),
                        .ms = (double)sum / n / 1e6,
                        .bps = bytes && sum ? (double)bytes * 1e9 / (double)sum : NAN,
                        .hops = r.hops,
                        .cert_expiry_s = r.cert_expiry_s};
    release(m, run);
    bool changed = state_note(m, c, &o);
    schedule_next(m, c, o.started_ms);
    state_observe(m, c, changed);
}

/* The first bad iteration decides: the others would only make a dead target take N timeouts to be
 * seen. */
static void handle_done(struct monitor *m, struct run *run)
{
    struct monitor_check *c = run->check;
    c->count[run->result.status]++;
    run->sum_ns += run->result.duration_ns;
    run->bytes += run->result.bytes;
    if (run->result.status == PROBE_OK && run->iteration + 1 < c->spec.timing.iterations) {
        run->iteration++;
        run_iteration(m, run);
        return;
    }
    finish_check(m, run);
}

static void drain_done(struct monitor *m)
{
    /* Only what is there now: iterations that end within start() must not keep the loop from its
     * sockets. */
    struct run *run = m->done;
    m->done = NULL;
    m->done_end = &m->done;
    while (run) {
        struct run *next = run->next;
        handle_done(m, run);
        run = next;
    }
}

static void expire_deadlines(struct monitor *m, uint64_t now)
{
    struct timer_entry *e;
    while ((e = timers_pop(&m->deadlines, now))) {
        struct run *run = PM_CONTAINER_OF(e, struct run, timer);
        run->probe.module->cancel(&run->probe);
        char text[UNITS_TEXT];
        struct probe_result r = probe_result_make(PROBE_TIMEOUT, "no answer within %s",
                                                  duration_format(run->probe.timeout_ms, text));
        on_done(&run->probe, &r);
    }
}

static void queue_due(struct monitor *m, uint64_t now)
{
    struct timer_entry *e;
    while ((e = timers_pop(&m->starts, now))) {
        struct monitor_check *c = PM_CONTAINER_OF(e, struct monitor_check, timer);
        c->queued = true;
        c->next_waiting = NULL;
        *m->waiting_end = c;
        m->waiting_end = &c->next_waiting;
    }
}

static void start_waiting(struct monitor *m)
{
    for (unsigned n = 0; m->waiting && m->running < m->opt.max_running && n < STARTS_PER_TICK;
         n++) {
        struct monitor_check *c = m->waiting;
        m->waiting = c->next_waiting;
        if (!m->waiting)
            m->waiting_end = &m->waiting;
        c->queued = false;
        start_check(m, c);
    }
}

bool monitor_tick(struct monitor *m)
{
    if (m->busy)
        return false;
    m->busy = true;
    uint64_t now = monitor_now_ms(m);
    drain_done(m);
    /* After a stall of the loop answers may lie in the sockets unread: they are polled before
     * anything is given up. */
    uint64_t deadline = timers_next(&m->deadlines);
    bool late = deadline <= now && now - deadline > LATE_MS && now - m->ticked_ms > LATE_MS;
    if (!late)
        expire_deadlines(m, now);
    hold_expire(m, now);
    queue_due(m, now);
    start_waiting(m);
    m->ticked_ms = now;
    m->busy = false;
    schedule_arm(m);
    return monitor_next_due(m) <= now;
}

void schedule_drop_waiting(struct monitor *m)
{
    struct monitor_check **at = &m->waiting;
    while (*at) {
        struct monitor_check *c = *at;
        if (c->keep) {
            at = &c->next_waiting;
        } else {
            *at = c->next_waiting;
            c->queued = false;
        }
    }
    m->waiting_end = at;
}

static void forget_done(struct monitor *m, struct run *run)
{
    struct run **at = &m->done;
    while (*at != run)
        at = &(*at)->next;
    *at = run->next;
    if (!*at)
        m->done_end = at;
}

void schedule_forget(struct monitor *m, struct monitor_check *c)
{
    timers_del(&m->starts, &c->timer);
    struct run *run = c->run;
    if (!run)
        return;
    if (run->ended) {
        forget_done(m, run);
    } else {
        timers_del(&m->deadlines, &run->timer);
        run->probe.module->cancel(&run->probe);
    }
    release(m, run);
}
