/* SPDX-License-Identifier: Apache-2.0 */
/* When checks start and when running ones are given up: one heap, one timer. */
#include <string.h>
#include "base/arena.h"
#include "monitor/check.h"

/* ---- heap by due_ms ---- */

static void heap_set(struct monitor *m, size_t at, struct monitor_check *c)
{
    m->heap[at] = c;
    c->heap_at = (uint32_t)at;
}

static void heap_up(struct monitor *m, size_t at)
{
    struct monitor_check *c = m->heap[at];
    for (; at && m->heap[(at - 1) / 2]->due_ms > c->due_ms; at = (at - 1) / 2)
        heap_set(m, at, m->heap[(at - 1) / 2]);
    heap_set(m, at, c);
}

static void heap_down(struct monitor *m, size_t at)
{
    struct monitor_check *c = m->heap[at];
    for (size_t child; (child = at * 2 + 1) < m->heap_count; at = child) {
        if (child + 1 < m->heap_count && m->heap[child + 1]->due_ms < m->heap[child]->due_ms)
            child++;
        if (m->heap[child]->due_ms >= c->due_ms)
            break;
        heap_set(m, at, m->heap[child]);
    }
    heap_set(m, at, c);
}

static void heap_push(struct monitor_check *c)
{
    struct monitor *m = c->monitor;
    if (m->heap_count == m->heap_cap) {
        m->heap_cap = m->heap_cap ? m->heap_cap * 2 : 64;
        m->heap = mem_realloc(m->heap, m->heap_cap * sizeof(struct monitor_check *));
    }
    m->heap[m->heap_count] = c;
    heap_up(m, m->heap_count++);
}

static void heap_pull(struct monitor_check *c)
{
    struct monitor *m = c->monitor;
    size_t at = c->heap_at;
    struct monitor_check *last = m->heap[--m->heap_count];
    if (last == c)
        return;
    heap_set(m, at, last);
    heap_up(m, at);
    heap_down(m, last->heap_at);
}

/* ---- life of one check ---- */

static void on_timer(uv_timer_t *t)
{
    monitor_tick(t->data);
}

void schedule_arm(struct monitor *m)
{
    uint64_t now = clock_mono_ms(m->clock);
    if (m->ticking || !m->timer)
        return;
    if (!m->heap_count) {
        uv_timer_stop(m->timer);
        return;
    }
    uint64_t due = m->heap[0]->due_ms;
    uv_update_time(m->loop);
    uv_timer_start(m->timer, on_timer, due > now ? due - now : 0, 0);
}

uint64_t monitor_random(struct monitor *m, uint64_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return below ? m->random % below : 0;
}

void schedule_start_in(struct monitor_check *c, uint64_t in_ms)
{
    c->phase = PHASE_IDLE;
    c->due_ms = clock_mono_ms(c->monitor->clock) + in_ms;
    heap_push(c);
}

static void iteration_start(struct monitor_check *c)
{
    struct monitor *m = c->monitor;
    c->phase = PHASE_RUNNING;
    c->due_ms = clock_mono_ms(m->clock) + c->spec.timing.timeout_ms;
    heap_push(c);
    c->probe = (struct probe){.module = c->spec.module,
                              .loop = m->loop,
                              .shared = c->probe.shared,
                              .params = c->spec.params,
                              .target = c->spec.target,
                              .host = c->spec.host,
                              .timeout_ms = c->spec.timing.timeout_ms,
                              .started_ns = clock_mono_ns(m->clock)};
    c->spec.module->start(&c->probe);
}

static void check_start(struct monitor_check *c)
{
    struct monitor *m = c->monitor;
    if (m->running >= m->opt.max_running) {
        c->phase = PHASE_QUEUED;
        c->queue_next = NULL;
        if (m->queue_last)
            m->queue_last->queue_next = c;
        else
            m->queue_first = c;
        m->queue_last = c;
        return;
    }
    m->running++;
    c->iteration = 0;
    c->sum_ns = c->sum_bytes = 0;
    iteration_start(c);
}

static void next_from_queue(struct monitor *m)
{
    while (m->queue_first && m->running < m->opt.max_running) {
        struct monitor_check *c = m->queue_first;
        m->queue_first = c->queue_next;
        if (!m->queue_first)
            m->queue_last = NULL;
        check_start(c);
    }
}

/* Every start moves by up to a tenth of the interval, so that checks of one origin drift apart. */
static uint64_t jittered(struct monitor *m, uint64_t interval_ms)
{
    return interval_ms - interval_ms / 10 + monitor_random(m, interval_ms / 5 + 1);
}

static void check_end(struct monitor_check *c, const struct probe_result *r)
{
    struct monitor *m = c->monitor;
    m->running--;
    /* Intervals run from start to start. */
    uint64_t took = (clock_mono_ns(m->clock) - c->probe.started_ns) / 1000000;
    c->phase = PHASE_IDLE;
    uint64_t wait = jittered(m, verdict_interval(c));
    schedule_start_in(c, wait > took ? wait - took : 1);
    verdict_take(c, r);
    next_from_queue(m);
    schedule_arm(m);
}

static void iteration_end(struct monitor_check *c, struct probe_result *r)
{
    heap_pull(c);
    if (!r->duration_ns)
        r->duration_ns = clock_mono_ns(c->monitor->clock) - c->probe.started_ns;
    c->count[r->status]++;
    c->sum_ns += r->duration_ns;
    c->sum_bytes += r->bytes;
    if (r->status == PROBE_OK && ++c->iteration < c->spec.timing.iterations) {
        iteration_start(c);
        schedule_arm(c->monitor);
        return;
    }
    if (r->status == PROBE_OK) {
        r->duration_ns = c->sum_ns / c->iteration;
        r->bytes = c->sum_bytes / c->iteration;
    }
    check_end(c, r);
}

void probe_done(struct probe *p, const struct probe_result *r)
{
    struct probe_result copy = *r;
    iteration_end(PM_CONTAINER_OF(p, struct monitor_check, probe), &copy);
}

static void give_up(struct monitor_check *c)
{
    c->spec.module->cancel(&c->probe);
    struct probe_result r = probe_result_make(PROBE_TIMEOUT, "no answer within %llu ms",
                                              (unsigned long long)c->spec.timing.timeout_ms);
    iteration_end(c, &r);
}

void monitor_tick(struct monitor *m)
{
    uint64_t now = clock_mono_ms(m->clock);
    m->ticking = true;
    while (m->heap_count && m->heap[0]->due_ms <= now) {
        struct monitor_check *c = m->heap[0];
        if (c->phase == PHASE_RUNNING) {
            give_up(c);
        } else {
            heap_pull(c);
            check_start(c);
        }
    }
    m->ticking = false;
    schedule_arm(m);
}

static void queue_remove(struct monitor_check *c)
{
    struct monitor *m = c->monitor;
    struct monitor_check *before = NULL;
    for (struct monitor_check *q = m->queue_first; q; before = q, q = q->queue_next) {
        if (q != c)
            continue;
        if (before)
            before->queue_next = c->queue_next;
        else
            m->queue_first = c->queue_next;
        if (m->queue_last == c)
            m->queue_last = before;
        return;
    }
}

void schedule_remove(struct monitor_check *c)
{
    switch ((enum check_phase)c->phase) {
    case PHASE_QUEUED:
        queue_remove(c);
        break;
    case PHASE_RUNNING:
        c->spec.module->cancel(&c->probe);
        c->monitor->running--;
        heap_pull(c);
        break;
    case PHASE_IDLE:
        heap_pull(c);
        break;
    }
}

void monitor_check_now(struct monitor *m, struct monitor_check *c)
{
    if (c->phase != PHASE_IDLE)
        return; /* under way already */
    heap_pull(c);
    check_start(c);
    schedule_arm(m);
}
