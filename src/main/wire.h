/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wires monitors to the model. The configuration says which checks each VIP has; VIPs that want the very same check
 * (module, parameters, timing, address, and name where the module uses one) share it, so a thousand services on one
 * address are one check. What a check says is combined per VIP: down when any of its checks is down, unknown while
 * any is; the slowest check's time counts.
 *
 * Thread: control. Memory: a wiring belongs to one configuration generation and one model; the monitor outlives it.
 */
#ifndef PM_MAIN_WIRE_H
#define PM_MAIN_WIRE_H

#include "model/history.h"
#include "model/model.h"
#include "monitor/monitor.h"

struct wiring;

/* Something else that is checked: a server behind a VIP. */
struct wire_server {
    const struct cfg_checks *checks; /* NULL = none */
    struct endpoint at;              /* its port is checked unless the check names one */
    const char *host;
    uint32_t group;
    uint32_t service;                /* whose VIPs it stands behind */
};
struct wire_servers {
    const struct wire_server *items; /* must outlive the wiring */
    uint32_t count;
    void (*health)(void *ctx, uint32_t server, enum health h);
    bool (*starved)(void *ctx, const struct model_vip *v); /* no server behind it is up: so it is down */
    void *ctx;
};

/* Applies the model's checks and the servers' to the monitor and feeds what is known already into the model. */
int wiring_new(struct model *m, const struct wire_servers *servers, struct monitor *mon, struct history *h,
               struct wiring **out) PM_MUST_CHECK;
void wiring_free(struct wiring *w);
/* The monitor's observe callback gives its check here. */
void wiring_observe(struct wiring *w, struct monitor_check *c, const struct check_view *v, bool changed);
/* The checks of a VIP, in the configuration's order; false at the end. */
bool wiring_vip_check(const struct wiring *w, uint32_t vip, unsigned i, const struct monitor_check **c);
size_t wiring_check_count(const struct wiring *w);

#endif
