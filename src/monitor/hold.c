/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Every check failed at once" is more likely my own network than the end of all sites. When a check is about to go
 * down for a network reason (timeout, unreachable), the monitor looks at all checks that were good until lately:
 *
 *   fresh failures = failing for a network reason, since no longer than the window (at least the check's own way down)
 *   good           = last ended well
 *
 * If fresh failures are at least hold_share of both together, in two groups or more and three checks or more, nothing
 * goes down. It ends when the share has fallen below, i.e. checks succeed again: then every failing check starts its
 * count anew. Or after hold_max: then the verdicts stand.
 */
#include "monitor/check.h"

enum { JUDGE_EVERY_MS = 100, CHECKS_MIN = 3 };

static uint64_t window_of(const struct monitor_check *c)
{
    const struct check_timing *t = &c->spec.timing;
    uint64_t way_down = (t->fall + 1ull) * (t->interval_ms + t->timeout_ms);
    return way_down > c->monitor->opt.hold_window_ms ? way_down : c->monitor->opt.hold_window_ms;
}

/* Looks at every check, so no more often than every 100 ms. */
static bool everything_fails(struct monitor *m)
{
    uint64_t now = clock_mono_ms(m->clock);
    if (m->judged_ms && now - m->judged_ms < JUDGE_EVERY_MS)
        return m->judged;
    size_t fresh = 0, good = 0;
    uint32_t first_group = UINT32_MAX;
    bool groups = false;
    for (size_t i = 0; i < m->count; i++) {
        const struct monitor_check *c = m->all[i];
        if (c->bad_row && c->network_failure && (m->held || now - c->bad_since_ms <= window_of(c))) {
            fresh++;
            groups |= first_group != UINT32_MAX && first_group != c->spec.group;
            first_group = c->spec.group;
        } else if (c->good_row) {
            good++;
        }
    }
    m->judged_ms = now;
    m->judged = groups && fresh >= CHECKS_MIN && (double)fresh >= m->opt.hold_share * (double)(fresh + good);
    return m->judged;
}

static void say(struct monitor *m, bool held, const char *why)
{
    m->held = held;
    m->held_since_ms = clock_mono_ms(m->clock);
    if (m->opt.hold)
        m->opt.hold(m->opt.ctx, held, why);
}

bool hold_prevents(struct monitor_check *c)
{
    struct monitor *m = c->monitor;
    if (m->held)
        return true;
    if (m->opt.hold_share <= 0 || !c->network_failure || !everything_fails(m))
        return false;
    say(m, true, "nearly every check fails for network reasons at once");
    return true;
}

void hold_review(struct monitor *m, bool good)
{
    if (!m->held)
        return;
    uint64_t now = clock_mono_ms(m->clock);
    if (m->opt.hold_max_ms && now - m->held_since_ms >= m->opt.hold_max_ms) {
        say(m, false, "held for as long as allowed; the verdicts stand");
        m->judged = false;
        return; /* each failing check goes down with its next bad end */
    }
    if (!good || everything_fails(m))
        return;
    for (size_t i = 0; i < m->count; i++)
        if (m->all[i]->raw != CHECK_DOWN)
            m->all[i]->bad_row = 0;
    say(m, false, "checks succeed again");
}

bool monitor_held(const struct monitor *m)
{
    return m->held;
}
