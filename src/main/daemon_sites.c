/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon is at its site and among others: the front end and the fleet, made, changed by reloads, handed on. */
#include <string.h>
#include "base/log.h"
#include "main/daemon_internal.h"
#include "main/state.h"
#include "policy/compile.h"

/* ---- the front end ---- */

int daemon_front_make(struct daemon *d, const struct config *c, struct listen_set *kept, struct buf *report)
{
    struct listen_set none = {NULL, 0};
    if (!front_wanted(c))
        return PM_OK;
    int err = front_new(&d->world, &d->front, report);
    return err ? err : front_listen(d->front, c, kept ? kept : &none, report);
}

int daemon_front_change(struct daemon *d, const struct config *c, struct buf *report)
{
    int err = d->front ? PM_OK : daemon_front_make(d, c, NULL, report);
    if (err || !d->front)
        return err;
    err = front_publish(d->front, c, report);
    if (!err)
        front_words(d->front, &d->overrides);
    return err;
}

/* ---- the relay ---- */

int daemon_farm_make(struct daemon *d, const struct config *c, struct listen_set *kept, struct buf *report)
{
    return farm_wanted(c) ? farm_new(c, d->clock, &d->loop, kept, &d->farm, report) : PM_OK;
}

/* Programs can only be loaded before privileges are given up: who wants to relay says so at the start. */
int daemon_farm_change(struct daemon *d, const struct config *c, struct buf *report)
{
    if (!d->farm && farm_wanted(c))
        log_warn("the relay begins at the next start, front ends serve until then");
    return d->farm ? farm_publish(d->farm, c, d->front, report) : PM_OK;
}

/* ---- what is measured of clients ---- */

void daemon_measured(struct daemon *d)
{
    struct model *m = d->gen->model;
    if (d->farm)
        farm_measured(d->farm, m);
    rtt_expire(model_rtt(m), clock_mono_ms(d->clock));
    if (compile_measured(&d->world, m))
        world_reap(&d->world);
}

/* ---- the other balancers ---- */

static struct model *fleet_model(void *ctx)
{
    return ((struct daemon *)ctx)->gen->model;
}

static void fleet_observed(void *ctx)
{
    daemon_publish_soon(ctx);
}

/* A word was heard: it holds as if it had been said here. */
static void fleet_overrides(void *ctx)
{
    struct daemon *d = ctx;
    daemon_apply_overrides(d);
    int err = state_save_overrides(d);
    if (err)
        log_error("cannot keep overrides on disk, the old file stays", "why", err_text(err));
}

static void fleet_verify(void *ctx, uint32_t vip, bool down)
{
    struct daemon *d = ctx;
    const struct monitor_check *c;
    for (unsigned i = 0; wiring_vip_check(d->wiring, vip, i, &c); i++) {
        struct monitor_check *check = monitor_find(d->monitor, monitor_check_spec(c)->key);
        if (down)
            monitor_verify(d->monitor, check);
        else
            monitor_check_now(d->monitor, check);
    }
}

void daemon_own_sight(void *ctx, uint32_t vip, bool health)
{
    struct daemon *d = ctx;
    if (d->fleet && d->wiring)
        fleet_own_sight(d->fleet, vip, health);
}

int daemon_fleet_make(struct daemon *d, const struct config *c, struct listen_set *kept, struct buf *report)
{
    struct fleet_host host = {.ctx = d,
                              .clock = d->clock,
                              .overrides = &d->overrides,
                              .model = fleet_model,
                              .observed = fleet_observed,
                              .overrides_changed = fleet_overrides,
                              .verify = fleet_verify};
    d->fleet = NULL;
    d->overrides.remember = fleet_wanted(c);
    return fleet_wanted(c) ? fleet_new(&d->loop, c, &host, kept, &d->fleet, report) : PM_OK;
}

/* After a reload: the same peers go on; else the fleet is made anew. */
int daemon_fleet_change(struct daemon *d, const struct config *c, struct fleet **old, struct buf *report)
{
    *old = NULL;
    if (d->fleet && fleet_wanted(c) && fleet_same(d->fleet, c))
        return fleet_reload(d->fleet, c, report);
    *old = d->fleet;
    /* The new one takes the old one's sockets: both are there for a moment. */
    struct listen_set kept = {NULL, 0};
    int err = *old ? fleet_sockets(*old, &kept) : PM_OK;
    if (!err)
        err = daemon_fleet_make(d, c, &kept, report);
    respond_listen_fini(&kept);
    if (err) {
        d->fleet = *old;
        d->overrides.remember = d->fleet != NULL;
    }
    return err;
}

void daemon_fleet_begin(struct daemon *d)
{
    struct buf why = BUF_INIT;
    if (d->fleet && fleet_start(d->fleet, &why) != PM_OK)
        log_error("the other balancers cannot be called", "why", buf_str(&why));
    buf_fini(&why);
}

/* ---- the next process ---- */

int daemon_copy_sockets(const struct daemon *d, struct listen_set *all)
{
    int err = d->front ? front_sockets(d->front, all) : PM_OK;
    if (!err && d->farm)
        err = farm_sockets(d->farm, all);
    return !err && d->fleet ? fleet_sockets(d->fleet, all) : err;
}
