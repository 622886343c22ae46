/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "My own network". The question is put at the latest moment that is early enough: when a check is
 * about to turn down. It looks at a stretch of time up to now and asks: of the checks that began to
 * fail in it and the good ones that ended in it, did hold_share fail as if the way out were broken
 * (timeout, unreachable), on at least three addresses and in at least two groups? Failing again is
 * not counted, or checks repeated quickly while down would drown the good ones, and what has long
 * been dead would speak as loudly as what failed just now. A refusal, a reset or a wrong page is an
 * answer from out there, so it speaks against.
 *
 * The stretch begins where this check began to fail. If that leaves too few to be no accident (half
 * of all checks, at least 3, 50 suffice), as always with `fall` 1, it is the shortest of 32 steps
 * back through hold_window_ms that has enough. Then the hold begins, and what turned down for such
 * a cause within the window before is put back up: with `fall` 1 the first have done so before
 * anything could be seen.
 *
 * While held nothing turns down; what comes up comes up. It ends when more than (1 - hold_share) of
 * recent checks are answered again (rows of failures then start from zero, and iterations started
 * before do not count), or after hold_max_ms (rows then take effect at once, and there is no new
 * hold before something has answered). Once ended, the next begins a window later at the soonest,
 * so that a half-broken network cannot keep the dead up by beginning again and again.
 */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "monitor/engine.h"

bool hold_like_network(enum probe_status s)
{
    return s == PROBE_TIMEOUT || s == PROBE_UNREACH;
}

static void mark(struct hold *h, uint64_t now_ms, uint64_t window_ms)
{
    uint32_t last = (h->mark_at + HOLD_MARKS - 1) % HOLD_MARKS;
    if (h->marks[last].at_ms && now_ms - h->marks[last].at_ms < window_ms / HOLD_MARKS + 1)
        return;
    h->marks[h->mark_at].at_ms = now_ms;
    h->marks[h->mark_at].ended = h->ended;
    h->marks[h->mark_at].failed = h->failed;
    h->mark_at = (h->mark_at + 1) % HOLD_MARKS;
}

/* Keeps the newest of each distinct value; the oldest makes room. */
static void remember(struct hold *h, const struct monitor_check *c)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < HOLD_MIN_TARGETS; i++) {
        if (addr_eq(&h->targets[i].addr, &c->spec.target.addr)) {
            at = i;
            break;
        }
        if (h->targets[i].at < h->targets[at].at)
            at = i;
    }
    h->targets[at].addr = c->spec.target.addr;
    h->targets[at].at = h->ended;
    at = 0;
    for (uint32_t i = 0; i < HOLD_MIN_GROUPS; i++) {
        if (h->groups[i].at && h->groups[i].group == c->spec.group) {
            at = i;
            break;
        }
        if (h->groups[i].at < h->groups[at].at)
            at = i;
    }
    h->groups[at].group = c->spec.group;
    h->groups[at].at = h->ended;
}

static void begin(struct monitor *m, struct monitor_check *tipping, uint64_t now, const char *why);
static void end(struct monitor *m, uint64_t now, bool answered, const char *why);

void hold_note(struct monitor *m, struct monitor_check *c, const struct outcome *o)
{
    struct hold *h = &m->hold;
    if (m->opt.hold_share <= 0)
        return;
    mark(h, o->ended_ms, m->opt.hold_window_ms);
    bool failed = hold_like_network(o->status);
    if (!failed || c->bad_row == 0)
        h->ended++;
    if (failed && c->bad_row == 0) {
        h->failed++;
        remember(h, c);
    }
    if (!h->held && !h->spent)
        return;
    /* Over about the last 20 checks, or all of them when there are fewer. */
    double step = m->checks.count < 20 ? 1.0 / (double)m->checks.count : 0.05;
    h->answered += ((failed ? 0.0 : 1.0) - h->answered) * step;
    if (h->answered <= (1 - m->opt.hold_share) * 1.5)
        return;
    h->spent = false;
    if (h->held)
        end(m, o->ended_ms, true, "checks are answered again");
}

static uint64_t enough(const struct monitor *m)
{
    uint64_t half = m->checks.count / 2;
    return half < HOLD_MIN_TARGETS ? HOLD_MIN_TARGETS : half > 50 ? 50 : half;
}

/* Do the last `ended` checks, of which `failed` failed, speak of our own network? */
static bool convincing(const struct monitor *m, uint64_t ended, uint64_t failed)
{
    const struct hold *h = &m->hold;
    uint64_t base = h->ended - ended;
    if (ended < enough(m) || (double)failed < m->opt.hold_share * (double)ended)
        return false;
    for (uint32_t i = 0; i < HOLD_MIN_TARGETS; i++)
        if (h->targets[i].at <= base)
            return false;
    for (uint32_t i = 0; i < HOLD_MIN_GROUPS; i++)
        if (h->groups[i].at <= base)
            return false;
    return true;
}

bool hold_withholds(struct monitor *m, struct monitor_check *c, const struct outcome *o)
{
    struct hold *h = &m->hold;
    if (h->held)
        return true;
    if (m->opt.hold_share <= 0 || h->spent || !hold_like_network(o->status))
        return false;
    if (h->ended_ms && o->ended_ms - h->ended_ms < m->opt.hold_window_ms)
        return false;
    uint64_t ended = (uint32_t)h->ended - c->row_ended;
    uint64_t failed = (uint32_t)h->failed - c->row_failed;
    for (uint32_t i = 1; i <= HOLD_MARKS && ended < enough(m); i++) {
        uint32_t k = (h->mark_at + HOLD_MARKS - i) % HOLD_MARKS; /* newest first */
        if (!h->marks[k].at_ms || o->ended_ms - h->marks[k].at_ms > m->opt.hold_window_ms)
            return false;
        if (h->marks[k].at_ms > c->row_ms)
            continue;
        ended = h->ended - h->marks[k].ended;
        failed = h->failed - h->marks[k].failed;
    }
    if (!convincing(m, ended, failed))
        return false;
    char why[128];
    snprintf(why, sizeof why, "%llu of the last %llu checks had no answer",
             (unsigned long long)failed, (unsigned long long)ended);
    begin(m, c, o->ended_ms, why);
    return true;
}

static void tell(struct monitor *m, bool held, const char *why)
{
    if (held)
        log_error(
            "nearly every check fails at once: this looks like my own network, states are held",
            "why", why);
    else
        log_warn("states are no longer held", "why", why);
    if (m->opt.hold)
        m->opt.hold(m->opt.ctx, held, why);
}

static void begin(struct monitor *m, struct monitor_check *tipping, uint64_t now, const char *why)
{
    m->hold.held = true;
    m->hold.since_ms = now;
    m->hold.answered = 0;
    tell(m, true, why);
    size_t at = 0;
    struct map_slot s;
    while (map_next(&m->checks, &at, &s)) {
        struct monitor_check *c = s.value;
        if (c == tipping || c->raw != CHECK_DOWN || !c->was_up ||
            !hold_like_network(c->last_status))
            continue;
        if (c->flapping || now - c->changed_ms > m->opt.hold_window_ms)
            continue;
        /* That was our network too, and so no change of mind of the target. */
        if (c->flaps && c->flaps->count) {
            c->flaps->at = (c->flaps->at + c->flaps->cap - 1) % c->flaps->cap;
            c->flaps->count--;
        }
        c->raw = c->state = CHECK_UP;
        c->changed_ms = now;
        state_observe(m, c, true);
    }
}

static void end(struct monitor *m, uint64_t now, bool answered, const char *why)
{
    m->hold.held = false;
    m->hold.spent = !answered;
    m->hold.ended_ms = answered ? now : 0;
    m->hold.answered = 0;
    tell(m, false, why);
    size_t at = 0;
    struct map_slot s;
    while (map_next(&m->checks, &at, &s)) {
        struct monitor_check *c = s.value;
        if (c->bad_row == 0 || c->raw == CHECK_DOWN)
            continue;
        if (answered && (c->last_status == PROBE_OK || hold_like_network(c->last_status)))
            c->bad_row = 0;
        if (c->bad_row >= c->spec.timing.fall && c->bad_row)
            state_observe(m, c, state_set_raw(c, CHECK_DOWN, now));
    }
}

void hold_expire(struct monitor *m, uint64_t now_ms)
{
    if (m->hold.held && now_ms >= m->hold.since_ms + m->opt.hold_max_ms)
        end(m, now_ms, false, "held for as long as hold_max allows");
}
