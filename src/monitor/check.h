/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A check inside the monitor: its schedule (schedule.c), its verdict (verdict.c), the own-network rule (hold.c) and what is
 * kept on disk (save.c). Only those files include this.
 *
 *   IDLE --due--> [QUEUED while too many run] --> RUNNING --probe_done or timeout--> next iteration, or verdict --> IDLE
 *
 * IDLE and RUNNING checks are in the heap, by due_ms: when to start, or when to give up.
 */
#ifndef PM_MONITOR_CHECK_H
#define PM_MONITOR_CHECK_H

#include "base/map.h"
#include "monitor/monitor.h"
#include "monitor/probe.h"

enum check_phase { PHASE_IDLE, PHASE_QUEUED, PHASE_RUNNING };

struct monitor_check {
    struct monitor *monitor;
    struct monitor_spec spec; /* key is owned */
    struct probe probe;
    uint64_t due_ms;
    uint32_t heap_at;
    uint8_t phase; /* enum check_phase */
    uint32_t iteration;
    uint64_t sum_ns, sum_bytes;
    struct monitor_check *queue_next;
    uint32_t seen; /* monitor_apply's round: what is older is gone */
    /* verdict */
    uint8_t raw;   /* enum check_state by rise and fall alone */
    uint8_t state; /* after damping and hold */
    uint8_t last_status;
    bool flapping, restored, network_failure;
    uint32_t good_row, bad_row, changes;
    uint64_t change_window_ms, flap_until_ms;
    uint64_t changed_ms, checked_ms, good_ms, bad_since_ms;
    uint64_t restored_age_ms;
    double response_ms, last_ms, throughput_bps;
    int32_t hops;
    int64_t cert_expiry_s;
    uint32_t count[PROBE_STATUS_COUNT];
    char *why; /* owned; NULL = nothing to say */
};

struct monitor {
    uv_loop_t *loop;
    const struct clock *clock;
    struct monitor_options opt;
    uv_timer_t *timer; /* freed by its close callback */
    struct map by_key;
    struct monitor_check **all;
    size_t count, cap;
    struct monitor_check **heap;
    size_t heap_count, heap_cap;
    struct monitor_check *queue_first, *queue_last;
    uint32_t running, round;
    uint64_t random;
    bool ticking;
    void **shared; /* by module */
    /* own-network rule */
    bool held;
    uint64_t held_since_ms, judged_ms;
    bool judged;
    struct json_t *restored; /* from disk, until the first monitor_apply */
};

/* schedule.c */
void schedule_start_in(struct monitor_check *c, uint64_t in_ms);
void schedule_remove(struct monitor_check *c); /* cancels what runs; afterwards it is in no list */
void schedule_arm(struct monitor *m);
/* Starts and gives up whatever is due. The timer's work; tests with a scripted clock call it themselves. */
void monitor_tick(struct monitor *m);
uint64_t monitor_random(struct monitor *m, uint64_t below);

/* verdict.c */
/* The check has ended: good, bad or nothing to say about the target (PROBE_LOCAL). */
void verdict_take(struct monitor_check *c, const struct probe_result *r);
void verdict_set_state(struct monitor_check *c, enum check_state s);
uint64_t verdict_interval(const struct monitor_check *c);
void verdict_why(struct monitor_check *c, const char *why);

/* hold.c */
/* Whether a check that is about to go down should not: everything fails at once. */
bool hold_prevents(struct monitor_check *c);
/* After every ended check: lets go when it is over. */
void hold_review(struct monitor *m, bool good);

/* save.c */
void save_restore(struct monitor_check *c);

#endif
