/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One iteration of a check, as its module sees it. The scheduler owns it; a module stores its own state behind
 * `state` (allocated in start, freed before probe_done or in cancel).
 */
#ifndef PM_MONITOR_PROBE_H
#define PM_MONITOR_PROBE_H

#include "monitor/module.h"

struct probe {
    const struct monitor_module *module;
    uv_loop_t *loop;
    void *shared;           /* from module->open */
    const void *params;     /* the module's configuration struct */
    struct endpoint target; /* port is set: from the check, else the module's default */
    const char *host;       /* name for Host, SNI and greetings: the check's own or the service's name; never NULL */
    uint64_t timeout_ms;    /* the scheduler cancels the probe at this age; modules need no timer of their own */
    uint64_t started_ns;
    void *state;
    /* Who hears of the end: the scheduler, or a test that runs one probe alone. Modules call probe_done. */
    void (*done)(struct probe *p, const struct probe_result *r);
};

/*
 * Ends the iteration. p must not be touched afterwards. The scheduler only notes the result here and acts on it later
 * from the loop, so a module is never started again from within its own callback.
 */
void probe_done(struct probe *p, const struct probe_result *r);
/* A result of that status with a formatted reason and everything else "not measured". */
struct probe_result probe_result_make(enum probe_status s, const char *fmt, ...) PM_PRINTF(2, 3);
/* The status that fits a libuv/errno error, of either sign (ECONNREFUSED -> PROBE_REFUSED, UV_EOF -> PROBE_CLOSED). */
enum probe_status probe_status_from_errno(int err);
/* Ends p with the status of that error; what = the step that failed ("connect", "read"). */
void probe_done_errno(struct probe *p, int err, const char *what);

#endif
