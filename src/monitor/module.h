/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A status module gathers one fact about one target (Sun's patent WO 00/14634 calls it a status module too): can a
 * connection be opened, does the page come back, how many hops away is it. One file each, one struct monitor_module
 * each, listed once in monitor/modules.c.
 *
 * A module only runs a single iteration: it is started, and it calls monitor_probe_done exactly once, now or later,
 * unless it is cancelled first. Timing, retries, thresholds, averages, timeouts and jitter are the scheduler's
 * (monitor/monitor.h); a module never keeps state between iterations except in its per-loop context.
 *
 * Thread: control (the libuv loop). Memory: params belong to the configuration generation and outlive the probe.
 */
#ifndef PM_MONITOR_MODULE_H
#define PM_MONITOR_MODULE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>
#include "base/addr.h"
#include "conf/schema.h"

/* How one iteration ended. Resets and other abnormal ends are counted apart (M6). */
enum probe_status {
    PROBE_OK,
    PROBE_FAIL,     /* answered, but not as wanted: status 500, text missing, certificate expired */
    PROBE_REFUSED,  /* connection refused */
    PROBE_RESET,    /* connection reset by the other side */
    PROBE_CLOSED,   /* ended early: closed before the answer was complete */
    PROBE_TIMEOUT,  /* nothing in time */
    PROBE_UNREACH,  /* no route, network or host unreachable */
    PROBE_TLS,      /* TLS handshake or certificate */
    PROBE_LOCAL,    /* could not even try (no sockets, no permission): says nothing about the target */
    PROBE_STATUS_COUNT
};
const char *probe_status_name(enum probe_status s);

struct probe_result {
    enum probe_status status;
    char why[96];          /* one line for people; "" when ok */
    uint64_t duration_ns;  /* start to end; filled by the scheduler if 0 */
    uint64_t connect_ns;   /* to the established connection; 0 = not applicable */
    uint64_t bytes;        /* payload received: throughput = bytes / duration */
    int64_t cert_expiry_s; /* seconds until the certificate expires, INT64_MIN = no certificate */
    int32_t hops;          /* routers between; -1 = not measured */
    int32_t code;          /* protocol status (200, 220 ...), 0 = none */
};

struct probe; /* one running iteration; monitor/probe.h for modules */

struct monitor_module {
    /* name, params and their doc: what a configuration can write under `check:` */
    const struct conf_object *object;
    uint16_t default_port; /* 0 = the module has no port (icmp, hops, exec) */
    bool measures_only;    /* its ends say nothing about health: a target that stays silent to it is not down */
    bool uses_host;        /* p->host matters: checks of different names are different checks */
    /*
     * Starts one iteration against p->target with p->params. When it could not even start it calls probe_done with
     * PROBE_LOCAL at once.
     */
    void (*start)(struct probe *p);
    /* Stops a running iteration at once, frees what it holds, and never calls probe_done afterwards. */
    void (*cancel)(struct probe *p);
    /* Optional: per-loop state shared by all probes of the module (a raw socket, a curl multi handle). */
    int (*open)(uv_loop_t *loop, void **shared);
    void (*close)(void *shared);
};

/* All modules, NULL-ended; the one list (monitor/modules.c). */
extern const struct monitor_module *const monitor_modules[];
/* The same as a registry for the configuration. */
extern const struct conf_registry monitor_check_registry;
const struct monitor_module *monitor_module_for(const struct conf_object *object);

#endif
