/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/log.h"
#include "monitor/engine.h"

const char *check_state_name(enum check_state s)
{
    static const char *const names[] = {"unknown", "up", "down"};
    return (unsigned)s < PM_ARRAY_LEN(names) ? names[s] : "unknown";
}

void state_set_why(struct monitor_check *c, const char *why)
{
    if (c->why && strcmp(c->why, why) == 0)
        return;
    free(c->why);
    c->why = *why ? mem_strdup(why) : NULL;
}

/*
 * The past weighs exp(-dt / tau): checks far apart count for more than checks close together, so
 * the average means the same whatever the interval is.
 */
static double blend(double past, double value, double dt_ms, double tau_ms)
{
    if (isnan(past) || tau_ms <= 0)
        return value;
    double w = exp(-dt_ms / tau_ms);
    return past * w + value * (1 - w);
}

static void note_good(struct monitor_check *c, const struct outcome *o)
{
    double tau = (double)c->spec.timing.average_ms;
    double dt = c->good_ms && o->ended_ms > c->good_ms ? (double)(o->ended_ms - c->good_ms) : 0;
    c->response_ms = blend(c->response_ms, o->ms, dt, tau);
    c->last_ms = (float)o->ms;
    if (!isnan(o->bps))
        c->throughput_bps = (float)blend(c->throughput_bps, o->bps, dt, tau);
    c->good_ms = o->ended_ms;
    if (o->hops >= 0)
        c->hops = o->hops;
}

static void flap_note(struct monitor_check *c, uint64_t now_ms)
{
    const struct check_timing *t = &c->spec.timing;
    if (!t->flap_limit)
        return;
    if (!c->flaps) {
        c->flaps = mem_alloc(sizeof *c->flaps + t->flap_limit * sizeof c->flaps->times_ms[0]);
        c->flaps->cap = t->flap_limit;
    }
    struct flaps *f = c->flaps;
    f->times_ms[f->at] = now_ms;
    f->at = (f->at + 1) % f->cap;
    if (f->count < f->cap)
        f->count++;
    if (f->count == f->cap && now_ms - f->times_ms[f->at] <= t->flap_window_ms && !c->flapping) {
        c->flapping = true;
        log_warn("check flaps, held down until it is quiet", "check", c->spec.key);
    }
}

static uint64_t flap_last(const struct monitor_check *c)
{
    const struct flaps *f = c->flaps;
    return f && f->count ? f->times_ms[(f->at + f->cap - 1) % f->cap] : 0;
}

/* Shows raw through the damping. */
static bool show(struct monitor_check *c, uint64_t now_ms)
{
    if (c->flapping && now_ms - flap_last(c) >= c->spec.timing.flap_hold_ms) {
        c->flapping = false;
        c->flaps->count = 0;
        log_notice("check is quiet again", "check", c->spec.key);
    }
    uint8_t shown = c->flapping ? CHECK_DOWN : c->raw;
    if (shown == c->state)
        return false;
    c->state = shown;
    c->changed_ms = now_ms;
    return true;
}

bool state_set_raw(struct monitor_check *c, enum check_state raw, uint64_t now_ms)
{
    if (raw != c->raw) {
        /* The first verdict is no change of mind. */
        if (c->raw != CHECK_UNKNOWN)
            flap_note(c, now_ms);
        c->was_up = c->raw == CHECK_UP;
        c->raw = raw;
    }
    return show(c, now_ms);
}

static enum check_state verdict(const struct monitor_check *c)
{
    const struct check_timing *t = &c->spec.timing;
    uint32_t fall = t->fall ? t->fall : 1;
    switch (c->raw) {
    case CHECK_DOWN:
        return c->good_row >= t->rise && c->good_row ? CHECK_UP : CHECK_DOWN;
    case CHECK_UP:
        return c->bad_row >= fall ? CHECK_DOWN : CHECK_UP;
    default:
        return c->good_row ? CHECK_UP : c->bad_row >= fall ? CHECK_DOWN : CHECK_UNKNOWN;
    }
}

bool state_note(struct monitor *m, struct monitor_check *c, const struct outcome *o)
{
    c->checked_ms = o->ended_ms;
    c->last_status = o->status;
    state_set_why(c, o->why);
    if (o->cert_expiry_s != INT64_MIN)
        c->cert_at_s = (int64_t)(o->ended_ms / 1000) + o->cert_expiry_s;
    if (o->status == PROBE_LOCAL)
        return false;
    /* What was started before a hold ended still measured the broken network. */
    if (hold_like_network(o->status) && o->started_ms < m->hold.ended_ms && !m->hold.held)
        return false;
    if (o->status != PROBE_OK && c->bad_row == 0) {
        c->row_ms = o->ended_ms;
        c->row_ended = (uint32_t)m->hold.ended;
        c->row_failed = (uint32_t)m->hold.failed;
    }
    hold_note(m, c, o);
    c->restored = false;
    /* What was running when the word came has not looked since. */
    bool verifies = c->suspect && o->started_ms >= c->suspect_ms;
    if (verifies)
        c->suspect = false;
    if (o->status == PROBE_OK) {
        c->bad_row = 0;
        c->good_row++;
        note_good(c, o);
    } else {
        c->good_row = 0;
        c->bad_row++;
        if (verifies && c->bad_row < c->spec.timing.fall)
            c->bad_row = c->spec.timing.fall;
    }
    enum check_state want = verdict(c);
    if (want == CHECK_DOWN && c->raw != CHECK_DOWN && hold_withholds(m, c, o))
        want = c->raw;
    return state_set_raw(c, want, o->ended_ms);
}

/* Decided = up or down with nothing speaking against it. */
uint64_t state_interval_ms(const struct monitor_check *c)
{
    const struct check_timing *t = &c->spec.timing;
    bool calm = c->raw == CHECK_UP && c->bad_row == 0;
    uint64_t ms = calm || !t->down_interval_ms ? t->interval_ms : t->down_interval_ms;
    return ms ? ms : 1;
}

/*
 * The row that must still be completed, at the quickest the jitter allows. The first of it starts
 * at next_ms; the ones after a first bad result follow at the interval of an undecided check.
 */
uint64_t state_can_change_in_ms(const struct monitor *m, const struct monitor_check *c)
{
    const struct check_timing *t = &c->spec.timing;
    uint64_t now = monitor_now_ms(m), first = 0;
    if (!c->run && !c->queued && c->next_ms > now)
        first = c->next_ms - now;
    uint32_t need = 1;
    if (c->raw == CHECK_UP && t->fall > c->bad_row)
        need = t->fall - c->bad_row;
    else if (c->raw == CHECK_DOWN && t->rise > c->good_row)
        need = t->rise - c->good_row;
    uint64_t again = t->down_interval_ms ? t->down_interval_ms : t->interval_ms;
    uint64_t in = first + (need - 1) * (again - again / 10);
    if (c->flapping) {
        uint64_t quiet = flap_last(c) + t->flap_hold_ms;
        uint64_t left = quiet > now ? quiet - now : 0;
        /* Damped and down underneath: nothing shows before it is both quiet and up. */
        in = c->raw == CHECK_DOWN ? (in > left ? in : left) : (first > left ? first : left);
    }
    if (m->hold.held && c->raw != CHECK_DOWN) {
        uint64_t end = m->hold.since_ms + m->opt.hold_max_ms;
        uint64_t left = end > now ? end - now : 0;
        in = c->bad_row >= t->fall || in > left ? left : in;
    }
    return in;
}

void state_observe(struct monitor *m, struct monitor_check *c, bool changed)
{
    if (changed)
        log_debug("check changed", "check", c->spec.key, "state", check_state_name(c->state),
                   "why", c->why ? c->why : "");
    if (!m->opt.observe)
        return;
    struct check_view v;
    monitor_check_view(m, c, &v);
    m->opt.observe(m->opt.ctx, c, &v, changed);
}
