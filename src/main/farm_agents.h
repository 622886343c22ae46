/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agents on the nodes, as a balancer sees them: what they report, and what they are told.
 *
 * An agent calls its balancers over the mesh's TLS (both prove their names). It is told what it needs to believe hand-off
 * packets and which addresses to have; it reports load, findings about its host, and its files. A server names its agent
 * (`agent:`), so a node of the farm has at most one.
 *
 * Thread: control. Memory: belongs to the farm; texts in events are valid during the call. Nodes are numbers of struct
 * farm's nodes, which stay as long as the node is configured.
 */
#ifndef PM_MAIN_FARM_AGENTS_H
#define PM_MAIN_FARM_AGENTS_H

#include <jansson.h>
#include <uv.h>
#include "agent/fetch.h"
#include "agent/load.h"
#include "api/api.h"
#include "base/buf.h"
#include "model/config.h"
#include "respond/listen.h"

struct farm;
struct farm_agents;

struct farm_agent_file {
    const char *host, *path; /* path of the URL, percent-encoded */
    uint64_t size, hash;     /* agent/hash.h */
};

struct farm_agent_status {
    const char *name;
    bool connected;
    uint64_t since_ms;   /* connected or lost, monotonic */
    bool adopts;         /* its kernel takes connections over */
    bool scanned;        /* all its files are known */
    bool writable;       /* it may be told to copy and remove */
    uint64_t free_bytes; /* of the least of its writable roots */
    uint64_t load_ms;    /* when it last reported, monotonic; 0: never */
    struct agent_load load;
};

/* For the catalog. After `begin`, every file comes with `present`; at `end` what did not come is gone. */
struct farm_agent_events {
    void *ctx;
    void (*connected)(void *ctx, uint32_t node, bool up);
    void (*begin)(void *ctx, uint32_t node);
    void (*present)(void *ctx, uint32_t node, const struct farm_agent_file *file);
    void (*gone)(void *ctx, uint32_t node, const char *host, const char *path);
    void (*end)(void *ctx, uint32_t node);
    void (*result)(void *ctx, uint32_t node, uint64_t order, int err, const char *text); /* err 0: done */
};

/* PM_ETLS and so on, with `why`; *out NULL without failure if none are configured. events are copied; of kept, sockets of
 * a process before us are taken over. */
int farm_agents_new(struct farm *f, uv_loop_t *loop, const struct config *c, const struct farm_agent_events *events,
                    struct listen_set *kept, struct farm_agents **out, struct buf *why) PM_MUST_CHECK;
/* Copies of the listening sockets, for the next process. */
int farm_agents_sockets(const struct farm_agents *a, struct listen_set *set) PM_MUST_CHECK;
void farm_agents_free(struct farm_agents *a); /* NULL is allowed */
/* Another configuration: who the agents are, what they are told. */
int farm_agents_publish(struct farm_agents *a, const struct config *c, struct buf *why) PM_MUST_CHECK;
void farm_agents_second(struct farm_agents *a);

/* False: the node has no agent. */
bool farm_agent_status(const struct farm_agents *a, uint32_t node, struct farm_agent_status *out);
/* PM_ENOTFOUND: no agent, PM_EUNREACH: not connected, PM_EAGAIN: too much on the way. A result comes unless it is lost. */
int farm_agent_order(struct farm_agents *a, uint32_t node, const struct agent_order *o) PM_MUST_CHECK;
int farm_agent_cancel(struct farm_agents *a, uint32_t node, uint64_t order) PM_MUST_CHECK;

json_t *farm_agents_view(const struct farm_agents *a); /* `pointsman agents` */
void farm_agents_metrics(const struct farm_agents *a, api_metric_fn *fn, void *fn_ctx);

#endif
