/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front end in the daemon: joins frontend/ to the configuration, the checks, the operator, the model and the
 * director.
 *
 *   services with `front`, this node's site ──> front_service[] ──publish──> front-end threads
 *   checks of servers, words about servers ──> up, down, draining              │ choose: the director's order
 *   connections in use <──────────── each second ─────────────────────────────┘
 *     └─> model (METRIC_CONNECTIONS): DNS answers and other sites know what is left
 *
 * A server is named SERVICE@SERVER, or by its name or address alone.
 *
 * Thread: control. Memory: belongs to the daemon, outlives generations. Failure: front_publish says why and changes
 * nothing.
 */
#ifndef PM_MAIN_FRONT_H
#define PM_MAIN_FRONT_H

#include <jansson.h>
#include "api/api.h"
#include "main/wire.h"
#include "model/overrides.h"
#include "model/world.h"
#include "respond/listen.h"

struct front;

/* Whether the configuration gives this node anything to serve. */
bool front_wanted(const struct config *c);
/* world: where the director reads; must outlive it. */
int front_new(const struct world *world, struct front **out, struct buf *why) PM_MUST_CHECK;
/* Takes over the sockets of a process before us that it wants, out of `kept`; opens the others. Before root is given
 * up. */
int front_listen(struct front *f, const struct config *c, struct listen_set *kept, struct buf *why) PM_MUST_CHECK;
/* Serves this configuration from now on; states of servers that stay are kept. c must live until the next one. */
int front_publish(struct front *f, const struct config *c, struct buf *why) PM_MUST_CHECK;
/* What must be checked for the configuration published last. */
struct wire_servers front_servers(struct front *f);
/* The operators' words, anew. */
void front_words(struct front *f, const struct overrides *o);
/* How many servers a target means. */
size_t front_means(const struct front *f, const char *target);
/* Once a second: connections into the model. */
void front_second(struct front *f, struct model *m);
/* Duplicates of its listening sockets, appended to set. */
int front_sockets(const struct front *f, struct listen_set *set) PM_MUST_CHECK;
/* Accepts nothing new, lets what is open go on for so long, and cuts the rest. NULL is allowed. */
void front_free(struct front *f, uint32_t linger_ms);

json_t *front_view(const struct front *f); /* `pointsman servers` */
/* What each front end of the service would do with a client for whom the director's order is `order` (explain's), asking
 * for url (NULL = not said): a new array, empty when the service is not here. */
json_t *front_explain(const struct front *f, const struct cfg_service *s, const json_t *order, const char *url);
void front_metrics(const struct front *f, api_metric_fn *fn, void *fn_ctx);

#endif
