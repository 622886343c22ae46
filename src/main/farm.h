/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet relay in the daemon: joins relay/ to the configuration, to what checks and operators say of the servers, and
 * to the director, whose policy chooses among servers as it chooses among sites.
 *
 *   front ends with `relay`  ──> VIPs, hosts, resources          who holds a resource ──┐
 *   servers                  ──> nodes: route, link address      state, load ──> policy ┴─> rings
 *
 * If the kernel does not take the programs, the farm says why (log, `pointsman relay`), and front ends serve instead.
 *
 * Thread: control. Memory: belongs to the daemon, outlives generations.
 */
#ifndef PM_MAIN_FARM_H
#define PM_MAIN_FARM_H

#include <jansson.h>
#include <uv.h>
#include "api/api.h"
#include "base/clock.h"
#include "main/front.h"

struct farm;

/* Whether the configuration wants anything relayed at this node. */
bool farm_wanted(const struct config *c);
/*
 * Loads, before root is given up; the first farm_publish attaches, or something soon after it. Failure only for
 * what the configuration can cure (the key's file); a kernel that cannot is no failure.
 */
int farm_new(const struct config *c, const struct clock *clock, uv_loop_t *loop, struct listen_set *kept, struct farm **out,
             struct buf *why) PM_MUST_CHECK;
/* Copies of its listening sockets, for the next process. */
int farm_sockets(const struct farm *f, struct listen_set *set) PM_MUST_CHECK;
/*
 * The programs go on without this process, by what it has told them last. stop: nobody takes over from here; new connections
 * are answered for relay.takeover yet, so that a restart is not noticed. NULL is allowed.
 */
void farm_free(struct farm *f, bool stop);
/* Begins to listen to the programs; farm_free ends it. */
int farm_start(struct farm *f, uv_loop_t *loop) PM_MUST_CHECK;
/* Relays by this configuration from now on. front and c must live until the next one. */
int farm_publish(struct farm *f, const struct config *c, const struct front *front, struct buf *why) PM_MUST_CHECK;
/* What is known of servers has changed: rings anew. */
void farm_update(struct farm *f);
/* Once a second: routes, keys, what the daemon has learned. */
void farm_second(struct farm *f);

/* What connections have measured becomes what the model believes; now and then, however often it is called. */
void farm_measured(struct farm *f, struct model *m);
/* Of measurements, own and others'; both may be NULL. */
void farm_rtt_metrics(const struct farm *f, const struct model *m, api_metric_fn *fn, void *fn_ctx);

json_t *farm_agents(const struct farm *f);   /* `pointsman agents` */
/* The content directory (main/farm_catalog.h): `pointsman catalog`, `catalog plan`, `catalog apply`. */
json_t *farm_catalog_of(const struct farm *f, const struct api_catalog *q);
json_t *farm_catalog_planned(const struct farm *f);
json_t *farm_catalog_give(struct farm *f, bool dry, uint64_t plan, const char **error, struct buf *why);
/* Which balancer of the site orders copies; NULL: this one. */
void farm_lead(struct farm *f, const char *leader);
/* Why new connections had better come to another balancer; NULL: they are welcome. */
const char *farm_unready(const struct farm *f);
json_t *farm_view(const struct farm *f);     /* `pointsman relay` */
/* `pointsman sessions`. A table of a million takes a third of a second; of more only so many are looked at. */
json_t *farm_sessions(const struct farm *f, const struct api_sessions *q);
/* What the relay would do with a request to the service; NULL: the service wants no relay here. */
json_t *farm_explain(const struct farm *f, const struct cfg_service *service, const struct api_request *q);
void farm_metrics(const struct farm *f, api_metric_fn *fn, void *fn_ctx);

#endif
