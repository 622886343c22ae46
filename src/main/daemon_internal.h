/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's one struct, for daemon.c and daemon_api.c. Thread: control. */
#ifndef PM_MAIN_DAEMON_INTERNAL_H
#define PM_MAIN_DAEMON_INTERNAL_H

#include <uv.h>
#include "api/api.h"
#include "main/answer.h"
#include "main/daemon.h"
#include "main/farm.h"
#include "main/fleet.h"
#include "main/front.h"
#include "main/wire.h"
#include "model/world.h"
#include "respond/service.h"

struct daemon_stats {
    uint64_t published;       /* services compiled and swapped since the start */
    uint64_t publish_ns;      /* time that took, compile to end of grace period */
    uint64_t publish_last_ns; /* of the last round */
    uint64_t reloads, reload_failures;
};

struct daemon {
    const struct daemon_options *options;
    const struct clock *clock;
    uint64_t started_wall_ms;
    uv_loop_t loop;
    uv_timer_t publish_timer, second_timer, save_timer, geo_timer, upgrade_timer;
    uv_signal_t signals[5];
    struct world world;
    struct generation *gen;
    struct wiring *wiring;
    struct monitor *monitor;
    struct overrides overrides;
    struct front *front; /* NULL = no front end */
    struct farm *farm;   /* NULL = nothing is relayed */
    struct fleet *fleet; /* NULL = no other balancers */
    struct history *history;
    uint64_t geo_stamp;
    bool state_dirty, held;
    struct state_writing *writing; /* a file on its way to the disk; NULL = none */
    pid_t successor; /* the process that takes over after SIGUSR2; 0 = none */
    struct answer_context answer;
    struct respond_options respond_options;
    struct listen_set sockets; /* until the serving threads own them */
    struct respond_service *respond;
    struct api_host host;
    struct control *control;
    struct metrics_server *metrics;
    struct daemon_stats stats;
};

int daemon_reload(struct daemon *d, struct buf *report) PM_MUST_CHECK;
void daemon_apply_overrides(struct daemon *d);
/* Compiles and publishes what is dirty, in a moment. */
void daemon_publish_soon(struct daemon *d);
/* daemon_sites.c. Made at the start, before the privileges go, so that ports can be opened and keys be read; sockets of a process
 * before us that are wanted leave `kept` (NULL = there are none). */
int daemon_front_make(struct daemon *d, const struct config *c, struct listen_set *kept, struct buf *report) PM_MUST_CHECK;
int daemon_farm_make(struct daemon *d, const struct config *c, struct listen_set *kept, struct buf *report) PM_MUST_CHECK;
int daemon_farm_change(struct daemon *d, const struct config *c, struct buf *report) PM_MUST_CHECK;
/* Once a second: round trips of clients into the model, and into classes. */
void daemon_measured(struct daemon *d);
int daemon_fleet_make(struct daemon *d, const struct config *c, struct listen_set *kept, struct buf *report) PM_MUST_CHECK;
int daemon_front_change(struct daemon *d, const struct config *c, struct buf *report) PM_MUST_CHECK;
/* old: the fleet that was replaced, to be freed when the generation is in force; NULL = it is the same. */
int daemon_fleet_change(struct daemon *d, const struct config *c, struct fleet **old, struct buf *report) PM_MUST_CHECK;
void daemon_fleet_begin(struct daemon *d);
void daemon_own_sight(void *ctx, uint32_t vip, bool health); /* for model_on_own_sight */
/* Appends duplicates of all sockets but those of DNS. */
int daemon_copy_sockets(const struct daemon *d, struct listen_set *all) PM_MUST_CHECK;
/* daemon_api.c: what the operator's side may ask of the daemon. */
int daemon_api_start(struct daemon *d, const struct config *c, struct buf *report) PM_MUST_CHECK;
void daemon_api_stop(struct daemon *d);

#endif
