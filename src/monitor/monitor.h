/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor: runs many checks against many targets, each at its own interval, and turns single iterations into
 * states worth acting on. It knows nothing of services; the model tells it what to check and hears what changed.
 *
 *   spec --apply--> check: [wait + jitter] -> iteration x N -> rise/fall -> flap damping -> state
 *                                                        \-> time-weighted average of the response time
 *
 * A check is identified by its key; applying a new set of specs keeps state, averages and statistics of every key that
 * is still there, starts the new, drops the gone (hot reload). State survives restarts by monitor_save/monitor_load.
 *
 * "Unknown" is what a check is before its first verdict, never "down". From unknown one good check is enough for up;
 * `fall` bad ones make it down. A result of PROBE_LOCAL counts for nothing: neither good nor bad, no row is broken. Of
 * several iterations the first bad one ends the check.
 *
 * When nearly every check of more than one group and at least three addresses times out or is unreachable within one
 * short window, the monitor holds all states ("my own network"), says so, and lets go when checks are answered again
 * or after `hold_max_ms`. hold.c has the exact rule.
 *
 * The process must ignore SIGPIPE: TLS writes to connections the other side has reset.
 *
 * Thread: control. Memory: the monitor copies what it keeps of a spec, except params and strings, which belong to the
 * configuration generation and must outlive it (until the next monitor_apply).
 */
#ifndef PM_MONITOR_MONITOR_H
#define PM_MONITOR_MONITOR_H

#include "base/buf.h"
#include "base/clock.h"
#include "monitor/module.h"

enum check_state { CHECK_UNKNOWN, CHECK_UP, CHECK_DOWN };
const char *check_state_name(enum check_state s);

/* What of a check is not the module's: the timing keys every check has. */
struct check_timing {
    uint64_t interval_ms;     /* between starts; each start is moved by +-10 % (jitter) */
    uint64_t down_interval_ms; /* while down or undecided; 0 = as interval_ms */
    uint64_t timeout_ms;      /* of one iteration */
    uint32_t iterations;      /* per check; it is good when all are; its time is their mean (A3: timed start to end) */
    uint32_t rise, fall;      /* checks in a row that turn it up / down */
    uint64_t average_ms;      /* time constant of the time-weighted average: weight of the past = exp(-dt / average_ms) */
    uint32_t flap_limit;      /* this many changes within flap_window_ms hold it down until it has been quiet for flap_hold_ms */
    uint64_t flap_window_ms, flap_hold_ms; /* flap_limit 0 = no damping */
};

struct monitor_spec {
    const char *key; /* identity: module + parameters + target, canonical text; equal key = same check */
    const struct monitor_module *module;
    const void *params;
    struct endpoint target;
    const char *host;
    struct check_timing timing;
    uint32_t group; /* for the own-network rule: checks of one group share a fate (a site) */
    void *user;     /* handed back in observations */
};

/* What is known of a check now. Times are monotonic ms of the monitor's clock; 0 = never. */
struct check_view {
    enum check_state state;
    bool flapping, held;       /* damped; frozen by the own-network rule */
    char why[96];              /* last failure's reason, or "" */
    enum probe_status last_status;
    double response_ms;        /* time-weighted average of good checks; NaN = none yet */
    double last_ms;            /* last good check's time; NaN = none yet */
    double throughput_bps;     /* bytes per second, averaged; NaN = not measured */
    int32_t hops;              /* -1 = not measured */
    int64_t cert_expiry_s;     /* INT64_MIN = none */
    uint64_t changed_ms;       /* last change of state */
    uint64_t checked_ms;       /* end of the last check */
    uint64_t next_ms;          /* when the next one starts */
    uint32_t good_row, bad_row;
    uint64_t count[PROBE_STATUS_COUNT]; /* iterations by how they ended, since the check was made */
    bool restored;             /* state came from disk and no check has confirmed it yet */
    uint64_t restored_age_ms;  /* how old it was when read */
    /* The soonest the state can change, from rise/fall, interval and what has been seen: for TTLs. ms from now. */
    uint64_t can_change_in_ms;
};

struct monitor;
struct monitor_check; /* handle; valid until the next monitor_apply that drops its key */

/* Called on the control thread after every finished check, and when a hold moves a state; changed = another than before. */
typedef void monitor_observe_fn(void *ctx, struct monitor_check *c, const struct check_view *v, bool changed);
/* Called when the own-network hold begins and ends. */
typedef void monitor_hold_fn(void *ctx, bool held, const char *why);

struct monitor_options {
    monitor_observe_fn *observe;
    monitor_hold_fn *hold;
    void *ctx;
    double hold_share;        /* share of checks that must fail within the window, usually 0.9; 0 = rule off */
    uint64_t hold_window_ms, hold_max_ms; /* 0 = 30 s, 5 min */
    uint32_t max_running;     /* iterations at once, default 4096; more wait their turn */
    uint64_t random_seed;     /* 0 = random */
};

/* Never fails; modules whose open() fails (icmp without permission) are logged and their checks end PROBE_LOCAL. */
struct monitor *monitor_new(uv_loop_t *loop, const struct clock *clock, const struct monitor_options *opt);
void monitor_free(struct monitor *m); /* cancels everything; loop must still run once for closing handles */
/*
 * Replaces the set of checks. Specs with a key used before keep their state. PM_EEXISTS: a key is there twice;
 * PM_EBUSY: called from within an observe or hold callback; in both cases nothing has changed.
 */
int monitor_apply(struct monitor *m, const struct monitor_spec *specs, size_t n) PM_MUST_CHECK;
size_t monitor_count(const struct monitor *m);
struct monitor_check *monitor_find(const struct monitor *m, const char *key);
const struct monitor_spec *monitor_check_spec(const struct monitor_check *c);
void monitor_check_view(const struct monitor *m, const struct monitor_check *c, struct check_view *out);
bool monitor_held(const struct monitor *m);
/* Runs a check now, whatever its schedule. */
void monitor_check_now(struct monitor *m, struct monitor_check *c);
/* Another balancer says that it is down: runs it now, and if that is bad, too, it counts for all of `fall` (A5). */
void monitor_verify(struct monitor *m, struct monitor_check *c);

/* Keeps state and averages across restarts: one JSON file, replaced atomically. PM_EIO etc.; the file stays whole. */
enum { MONITOR_FILE_MODE = 0640 };
int monitor_save(const struct monitor *m, const char *path) PM_MUST_CHECK;
/* What that file would hold, for who writes it without the loop having to wait for a disk. */
void monitor_save_text(const struct monitor *m, struct buf *b);
/* Before monitor_apply: remembers what the file says; keys that appear later take their state from it. An unreadable or
 * broken file is PM_EPARSE/PM_EIO and changes nothing. PM_ENOTFOUND = first start. */
int monitor_load(struct monitor *m, const char *path) PM_MUST_CHECK;

#endif
