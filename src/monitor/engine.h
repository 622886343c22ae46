/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the monitor, shared by its own files and their tests:
 *
 *   monitor.c   life of the monitor and its set of checks      schedule.c  when things run, slots,
 * deadlines state.c     from outcomes to states and averages           hold.c      "everything
 * fails at once" save.c      the file that survives restarts                timers.c    the queue
 * of moments
 *
 * Two queues of moments (starts of checks, deadlines of iterations) drive one uv_timer. A check is
 * in at most one of: starts (waits for its time), waiting (its time has come, no slot free), run
 * (has a slot). A slot is kept from the first iteration of a check to its last.
 */
#ifndef PM_MONITOR_ENGINE_H
#define PM_MONITOR_ENGINE_H

#include "base/map.h"
#include "base/units.h"
#include "monitor/monitor.h"
#include "monitor/probe.h"
#include "monitor/timers.h"

enum {
    HOLD_MARKS = 32,      /* the window is looked back on in this many steps */
    HOLD_MIN_TARGETS = 3, /* fewer may well be dead together */
    HOLD_MIN_GROUPS = 2,  /* one group shares a fate: its failing together says nothing of us */
    STARTS_PER_TICK =
        64,       /* then the loop polls its sockets: starting must not delay what is timed */
    LATE_MS = 20, /* a tick this late found the loop stalled: answers may lie unread */
    SPREAD_PER_SECOND = 2000, /* new checks started per second */
};

/* Times of the last changes, for flap damping; made at the first change. */
struct flaps {
    uint32_t cap, count, at;
    uint64_t times_ms[];
};

struct run;

struct monitor_check {
    struct monitor_spec spec;
    struct timer_entry timer; /* in monitor.starts */
    uint8_t state;            /* enum check_state: what is shown */
    uint8_t raw;              /* the same without flap damping */
    uint8_t last_status;
    bool flapping : 1, restored : 1, keep : 1, queued : 1, was_up : 1, second : 1, suspect : 1;
    uint32_t good_row, bad_row;
    /* When the row of bad checks began, and hold.ended/failed (mod 2^32) just before. */
    uint64_t row_ms;
    uint32_t row_ended, row_failed;
    uint32_t count[PROBE_STATUS_COUNT];
    int32_t hops;
    float last_ms, throughput_bps;
    double response_ms;
    int64_t cert_at_s; /* on the monotonic clock; INT64_MIN = none */
    uint64_t changed_ms, checked_ms, good_ms, next_ms;
    uint64_t suspect_ms; /* somebody said it is down */
    uint64_t restored_age_ms;
    struct run *run;
    struct monitor_check *next_waiting;
    char *why; /* NULL = "" */
    struct flaps *flaps;
};

struct module_state {
    const struct monitor_module *module;
    void *shared;
    int error; /* of open() */
};

/* A slot: one check on its way through its iterations. */
struct run {
    struct probe probe; /* first: a probe is cast to its run */
    struct monitor *m;
    struct monitor_check *check;
    struct timer_entry timer; /* in monitor.deadlines */
    struct run *next;         /* in the free or the done list */
    struct run *next_all;
    bool active, ended;
    uint32_t iteration;
    uint64_t started_ms, sum_ns, bytes;
    struct probe_result result;
};

struct hold {
    bool held;
    bool spent; /* let go by hold_max: not again before something has answered */
    uint64_t since_ms, ended_ms;
    double answered; /* moving share of checks that showed a working network */
    uint64_t ended,
        failed; /* checks so far; those that ended as a broken network of ours would make them */
    struct {
        uint64_t at_ms, ended, failed;
    } marks[HOLD_MARKS];
    uint32_t mark_at;
    /* The latest distinct targets and groups that failed, with `ended` at that moment. */
    struct {
        struct addr addr;
        uint64_t at;
    } targets[HOLD_MIN_TARGETS];
    struct {
        uint32_t group;
        uint64_t at;
    } groups[HOLD_MIN_GROUPS];
};

struct monitor {
    uv_loop_t *loop;
    const struct clock *clock;
    struct monitor_options opt;
    uv_timer_t *wake;
    uint64_t armed_ms;  /* UINT64_MAX = not */
    uint64_t ticked_ms; /* when the last tick was */
    bool waking;        /* inside the timer's callback */
    bool busy;          /* inside a tick: callbacks must not change the set */
    struct map checks;
    struct timer_queue starts, deadlines;
    struct monitor_check *waiting, **waiting_end;
    struct run *all, *unused, *done, **done_end;
    uint32_t running;
    struct module_state *modules;
    size_t module_count;
    struct hold hold;
    uint64_t random;
    struct map restored; /* key -> struct saved (save.c) */
};

/* How one check (all its iterations) ended. */
struct outcome {
    enum probe_status status;
    const char *why;
    uint64_t started_ms, ended_ms;
    double ms, bps; /* of good ones; bps NaN = nothing was received */
    int32_t hops;
    int64_t cert_expiry_s;
};

/* schedule.c */
/* Does what is due. True = more is due already (tests call it in a loop; the loop's timer calls it
 * again). */
bool monitor_tick(struct monitor *m);
/* The next moment at which monitor_tick has something to do. */
uint64_t monitor_next_due(const struct monitor *m);
void schedule_new(struct monitor *m, struct monitor_check *c, uint64_t spread_ms);
void schedule_now(struct monitor *m, struct monitor_check *c);
/* Takes all checks that are not marked `keep` out of the line in one walk; before they are
 * forgotten one by one. */
void schedule_drop_waiting(struct monitor *m);
/* Out of the queue of moments; a running one is cancelled. */
void schedule_forget(struct monitor *m, struct monitor_check *c);
void schedule_arm(struct monitor *m);
struct module_state *schedule_module(struct monitor *m, const struct monitor_module *module);
static inline uint64_t monitor_now_ms(const struct monitor *m)
{
    return clock_mono_ms(m->clock);
}

/* state.c: returns whether the state shown changed. */
bool state_note(struct monitor *m, struct monitor_check *c, const struct outcome *o);
bool state_set_raw(struct monitor_check *c, enum check_state raw, uint64_t now_ms);
void state_set_why(struct monitor_check *c, const char *why);
uint64_t state_interval_ms(const struct monitor_check *c);
uint64_t state_can_change_in_ms(const struct monitor *m, const struct monitor_check *c);
void state_observe(struct monitor *m, struct monitor_check *c, bool changed);

/* hold.c */
bool hold_like_network(enum probe_status s);
void hold_note(struct monitor *m, struct monitor_check *c, const struct outcome *o);
/* Asked when c is about to turn down: true = the state stays. */
bool hold_withholds(struct monitor *m, struct monitor_check *c, const struct outcome *o);
void hold_expire(struct monitor *m, uint64_t now_ms);

/* save.c: takes over what the file said of this key, if anything. */
void save_restore(struct monitor *m, struct monitor_check *c);
void save_fini(struct monitor *m);

#endif
