/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balancer among the others: joins the mesh (mesh/mesh.h) to the model, both ways.
 *
 *   own checks ──> own sights ──fleet_tell──> records ──> mesh ══ links ══ mesh ──> records ──fleet_hear──> sights ──> model
 *   operator's word ─────────fleet_say──────> record                        event: verified by a check of one's own
 *
 * What a peer says is one vantage's view: it enters the matrix of times and counts towards the quorum, nothing more. Its
 * connections count where it stands itself. An event makes us look at once (monitor_verify).
 *
 * Thread: control. Memory: belongs to the daemon; outlives configuration generations (fleet_generation tells it of a new
 * one). Failure: fleet_new says why; later on nothing fails, peers come and go and `pointsman peers` shows it.
 */
#ifndef PM_MAIN_FLEET_H
#define PM_MAIN_FLEET_H

#include <jansson.h>
#include <uv.h>
#include "api/api.h"
#include "base/buf.h"
#include "model/model.h"
#include "model/overrides.h"
#include "respond/listen.h"

struct fleet;

/* What it needs of the daemon. */
struct fleet_host {
    void *ctx;
    const struct clock *clock;
    struct overrides *overrides;
    struct model *(*model)(void *ctx);
    void (*observed)(void *ctx);          /* the model has changed */
    void (*overrides_changed)(void *ctx); /* a word was heard */
    void (*verify)(void *ctx, uint32_t vip, bool down);
};

/* Whether the configuration has peers at all. */
bool fleet_wanted(const struct config *c);
/* Whether all that a running fleet was made from is the same. */
bool fleet_same(const struct fleet *f, const struct config *c);
/* kept: sockets of a process before us; those it wants leave it. NULL = there are none. */
int fleet_new(uv_loop_t *loop, const struct config *c, const struct fleet_host *host, struct listen_set *kept,
              struct fleet **out, struct buf *why) PM_MUST_CHECK;
/* Duplicates of its listening sockets, appended to set. */
int fleet_sockets(const struct fleet *f, struct listen_set *set) PM_MUST_CHECK;
/* When the first generation is in force: says what we know, and begins to call. */
int fleet_start(struct fleet *f, struct buf *why) PM_MUST_CHECK;
/* Says bye. The loop must run once more. NULL is allowed. */
void fleet_free(struct fleet *f);
/* A new generation is in force: VIPs have new numbers. Says everything anew. */
void fleet_generation(struct fleet *f);
/* The own sight of a VIP has changed (model_on_own_sight). */
void fleet_own_sight(struct fleet *f, uint32_t vip, bool health);
/* An operator said something here. */
void fleet_say(struct fleet *f, const struct override_entry *e);
/* New certificates from the same files. */
int fleet_reload(struct fleet *f, const struct config *c, struct buf *why) PM_MUST_CHECK;
/*
 * Who acts where one of a site's balancers must: the first by name of those that are there, as far as we hear. NULL: we do.
 * Valid until the next call of the fleet's.
 */
const char *fleet_leader(const struct fleet *f);
/* For `pointsman peers`: {"node", "records", ..., "peers": [...]} */
json_t *fleet_peers(const struct fleet *f);
void fleet_metrics(const struct fleet *f, api_metric_fn *fn, void *fn_ctx);

#endif
