/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content directory in the daemon: which node of the farm holds what, and how many copies there should be.
 *
 *   servers' `holds` ── CONFIGURED ─┐                     ┌──> kernel tables: resources, sets, rings   (transferred)
 *   agents' files ────── SCANNED ───┼──> one directory ───┼──> front_known                            (front end)
 *   404s of the front end LEARNED ──┘         │           └──> pointsman catalog, explain
 *   kernel counters, front end's notes ──> usage ──> planner ──> orders ──> agents ──> their files
 *
 * Everything is filed under the name of the service, whatever alias it came by; nodes are the numbers of struct farm's.
 * Who has a file named in `catalog.index` has the path of its folder, too.
 *
 * The kernel's table takes the most asked for; of a service that does not fit in, whatever is not in it is the front
 * end's, which knows all. So is everything, at the beginning, until the agents of a service have reported once (at most
 * a minute): what is not in the table then need not be missing.
 *
 * Of a site's balancers all make plans, and one acts: the first by name of those that are there (farm_catalog_lead). It
 * does not act before all agents of nodes that are up have reported, or `lost-for` has passed: what has not been heard
 * of is not lost.
 *
 * Work is done in turns of bounded size, on a timer of the loop. Thread: control. Memory: belongs to the farm, outlives
 * configurations; about 150 bytes for each resource, in all. Failure: what the kernel does not take is left to the
 * front end, counted and shown; orders that fail are tried again, then given up visibly.
 */
#ifndef PM_MAIN_FARM_CATALOG_H
#define PM_MAIN_FARM_CATALOG_H

#include "main/farm_agents.h"
#include "main/farm_internal.h"

struct farm_catalog;

/* What it needs of the agents; the functions are those of main/farm_agents.h. */
struct farm_catalog_agents {
    struct farm_agents *agents; /* NULL: there are none */
    bool (*status)(const struct farm_agents *a, uint32_t node, struct farm_agent_status *out);
    int (*order)(struct farm_agents *a, uint32_t node, const struct agent_order *o);
};

struct farm_catalog *farm_catalog_new(struct farm *f);
/* The loop must run once more if it was started. NULL is allowed. */
void farm_catalog_free(struct farm_catalog *c);
void farm_catalog_start(struct farm_catalog *c, uv_loop_t *loop);
void farm_catalog_agents(struct farm_catalog *c, const struct farm_catalog_agents *a);
/* For farm_agents_new. */
const struct farm_agent_events *farm_catalog_events(struct farm_catalog *c);
/* The number under which a front end's resources are in the kernel's tables; it keeps it. */
uint32_t farm_catalog_host(struct farm_catalog *c, const char *front);
/* The farm has another plan: services, servers, what they hold. What is small is in the tables when this returns. */
void farm_catalog_publish(struct farm_catalog *c);
/* Rings of resources' sets anew; those beyond a few hundred in later turns. */
void farm_catalog_rings(struct farm_catalog *c);
void farm_catalog_second(struct farm_catalog *c);
/* Who acts: another balancer's name, or NULL: this one. */
void farm_catalog_lead(struct farm_catalog *c, const char *leader);
/* One turn; true: there is more to do at once. The timer's, and tests'. */
bool farm_catalog_turn(struct farm_catalog *c);

/* ---- farm_catalog_view.c, farm_catalog_show.c: what is shown ---- */

/* What is in the tables for a front end: what has moved, then the directory's entries. */
void farm_catalog_each(const struct farm_catalog *c, const struct farm_service *s, farm_resource_fn *fn, void *ctx);
uint32_t farm_catalog_count(const struct farm_catalog *c, const struct farm_service *s);
/* The resource with that hash (relay/ring.h) that a request for target is about; out->text is text. */
bool farm_catalog_resource(const struct farm_catalog *c, const struct farm_service *s, enum relay_resource_kind kind,
                           uint64_t hash, const char *target, struct farm_resource *out, char text[FARM_RESOURCE_TEXT]);
/* Some text of the set's resources, and how many more there are. */
bool farm_catalog_of_set(const struct farm_catalog *c, const struct farm_service *s, const struct farm_set *set,
                         char text[FARM_RESOURCE_TEXT], uint32_t *more);
/* Who is known to have it, and whence: for `explain`; null: nobody is named. */
json_t *farm_catalog_holders(const struct farm_catalog *c, const struct farm_service *s, const char *target);

json_t *farm_catalog_view(const struct farm_catalog *c, const struct api_catalog *q);
json_t *farm_catalog_plan_view(const struct farm_catalog *c);
/* Gives the orders of the plan shown last; dry: tells only which. NULL with *error and why (api_fail's). */
json_t *farm_catalog_apply(struct farm_catalog *c, bool dry, uint64_t plan, const char **error, struct buf *why);
void farm_catalog_metrics(const struct farm_catalog *c, api_metric_fn *fn, void *fn_ctx);

#endif
