/* SPDX-License-Identifier: Apache-2.0 */
/* From ended checks to a state worth acting on: rise and fall, averages, flap damping. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "monitor/check.h"

const char *check_state_name(enum check_state s)
{
    static const char *const names[] = {"unknown", "up", "down"};
    return names[s];
}

static bool undecided(const struct monitor_check *c)
{
    return c->raw == CHECK_UNKNOWN || (c->raw == CHECK_UP && c->bad_row) || (c->raw == CHECK_DOWN && c->good_row);
}

static uint64_t fast_interval(const struct monitor_check *c)
{
    const struct check_timing *t = &c->spec.timing;
    return t->down_interval_ms ? t->down_interval_ms : t->interval_ms;
}

uint64_t verdict_interval(const struct monitor_check *c)
{
    return c->raw == CHECK_DOWN || undecided(c) ? fast_interval(c) : c->spec.timing.interval_ms;
}

void verdict_why(struct monitor_check *c, const char *why)
{
    if (c->why && strcmp(c->why, why) == 0)
        return;
    free(c->why);
    c->why = *why ? mem_strdup(why) : NULL;
}

void verdict_set_state(struct monitor_check *c, enum check_state s)
{
    if (c->state == s)
        return;
    c->state = (uint8_t)s;
    c->changed_ms = clock_mono_ms(c->monitor->clock);
}

/* A3: the weight of what is old falls off with time, however often it is measured. */
static void average(double *avg, double x, double dt_ms, double constant_ms)
{
    if (isnan(*avg) || constant_ms <= 0) {
        *avg = x;
        return;
    }
    double keep = exp(-dt_ms / constant_ms);
    *avg = keep * *avg + (1 - keep) * x;
}

static void take_measurements(struct monitor_check *c, const struct probe_result *r, uint64_t now)
{
    double dt = c->good_ms ? (double)(now - c->good_ms) : 0, constant = (double)c->spec.timing.average_ms;
    c->last_ms = (double)r->duration_ns / 1e6;
    average(&c->response_ms, c->last_ms, dt, constant);
    if (r->bytes && r->duration_ns)
        average(&c->throughput_bps, (double)r->bytes * 1e9 / (double)r->duration_ns, dt, constant);
    c->good_ms = now;
}

/* Changes of the raw state are counted; too many in the window, and it counts as down until it has been quiet. */
static void note_change(struct monitor_check *c, uint64_t now)
{
    const struct check_timing *t = &c->spec.timing;
    if (!t->flap_limit)
        return;
    if (now - c->change_window_ms > t->flap_window_ms) {
        c->change_window_ms = now;
        c->changes = 0;
    }
    if (++c->changes > t->flap_limit)
        c->flapping = true;
    if (c->flapping)
        c->flap_until_ms = now + t->flap_hold_ms;
}

static void raw_set(struct monitor_check *c, enum check_state s, uint64_t now)
{
    bool first = c->raw == CHECK_UNKNOWN;
    c->raw = (uint8_t)s;
    if (!first)
        note_change(c, now);
}

/* The first good check says "up" at once; "down" always takes `fall` bad ones. */
static void count_good(struct monitor_check *c, uint64_t now)
{
    c->bad_row = 0;
    c->network_failure = false;
    if (c->good_row < UINT32_MAX)
        c->good_row++;
    if (c->raw == CHECK_UNKNOWN || (c->raw == CHECK_DOWN && c->good_row >= c->spec.timing.rise))
        raw_set(c, CHECK_UP, now);
}

static void count_bad(struct monitor_check *c, uint64_t now)
{
    if (!c->bad_row)
        c->bad_since_ms = now;
    c->good_row = 0;
    if (c->bad_row < UINT32_MAX)
        c->bad_row++;
    if (c->raw != CHECK_DOWN && c->bad_row >= c->spec.timing.fall && !hold_prevents(c))
        raw_set(c, CHECK_DOWN, now);
}

/* Causes that a broken network of our own would have; a refusal or a wrong answer comes from the target. */
static bool is_network_failure(enum probe_status s)
{
    return s == PROBE_TIMEOUT || s == PROBE_UNREACH;
}

static void judge(struct monitor_check *c, const struct probe_result *r, uint64_t now)
{
    c->last_status = (uint8_t)r->status;
    c->checked_ms = now;
    if (r->hops >= 0)
        c->hops = r->hops;
    if (r->cert_expiry_s != INT64_MIN)
        c->cert_expiry_s = r->cert_expiry_s;
    if (r->status == PROBE_LOCAL) {
        verdict_why(c, r->why);
        return; /* says nothing about the target */
    }
    c->restored = false;
    if (r->status == PROBE_OK) {
        take_measurements(c, r, now);
        count_good(c, now);
        if (c->raw == CHECK_UP)
            verdict_why(c, "");
    } else {
        c->network_failure = is_network_failure(r->status);
        verdict_why(c, r->why);
        count_bad(c, now);
    }
}

void verdict_take(struct monitor_check *c, const struct probe_result *r)
{
    struct monitor *m = c->monitor;
    uint64_t now = clock_mono_ms(m->clock);
    uint8_t before = c->state;
    judge(c, r, now);
    if (c->flapping && now >= c->flap_until_ms) {
        c->flapping = false;
        c->changes = 0;
    }
    verdict_set_state(c, c->flapping ? CHECK_DOWN : (enum check_state)c->raw);
    hold_review(m, r->status == PROBE_OK);
    if (m->opt.observe) {
        struct check_view v;
        monitor_check_view(m, c, &v);
        m->opt.observe(m->opt.ctx, c, &v, before != c->state);
    }
}

/* How soon the state can differ, counted from now. */
static uint64_t can_change_in(const struct monitor_check *c, uint64_t now)
{
    const struct check_timing *t = &c->spec.timing;
    uint64_t wait = c->phase == PHASE_IDLE && c->due_ms > now ? c->due_ms - now : 0;
    uint64_t missing = 0;
    if (c->raw == CHECK_UP)
        missing = t->fall > c->bad_row ? t->fall - c->bad_row - 1 : 0;
    else if (c->raw == CHECK_DOWN)
        missing = t->rise > c->good_row ? t->rise - c->good_row - 1 : 0;
    uint64_t soonest = wait + missing * fast_interval(c);
    if (c->flapping && c->flap_until_ms > now + soonest)
        soonest = c->flap_until_ms - now;
    return soonest;
}

void monitor_check_view(const struct monitor *m, const struct monitor_check *c, struct check_view *v)
{
    uint64_t now = clock_mono_ms(m->clock);
    *v = (struct check_view){.state = (enum check_state)c->state,
                             .flapping = c->flapping,
                             .held = m->held,
                             .last_status = (enum probe_status)c->last_status,
                             .response_ms = c->response_ms,
                             .last_ms = c->last_ms,
                             .throughput_bps = c->throughput_bps,
                             .hops = c->hops,
                             .cert_expiry_s = c->cert_expiry_s,
                             .changed_ms = c->changed_ms,
                             .checked_ms = c->checked_ms,
                             .next_ms = c->phase == PHASE_IDLE ? c->due_ms : now,
                             .good_row = c->good_row,
                             .bad_row = c->bad_row,
                             .restored = c->restored,
                             .restored_age_ms = c->restored_age_ms,
                             .can_change_in_ms = can_change_in(c, now)};
    if (c->why)
        memcpy(v->why, c->why, strnlen(c->why, sizeof v->why - 1));
    for (unsigned i = 0; i < PROBE_STATUS_COUNT; i++)
        v->count[i] = c->count[i];
}
