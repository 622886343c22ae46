/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's side of the daemon: a control socket (api/control.h) and a metrics page (api/metrics.h), both on the
 * control thread's loop, both fed from one table of commands and one table of metrics.
 *
 * The API reads the model, the monitor and the snapshot directly and changes them only through struct api_host, which
 * the daemon (main/) fills in: layers beside this one (respond) are reached through it too.
 *
 * Thread: control.
 */
#ifndef PM_API_API_H
#define PM_API_API_H

#include <jansson.h>
#include "base/buf.h"
#include "base/clock.h"
#include "model/history.h"
#include "model/model.h"
#include "model/overrides.h"
#include "model/world.h"
#include "monitor/monitor.h"

/* One number of the daemon, for the metrics page and `status`: labels is "" or `proto="udp",family="4"`. */
typedef void api_metric_fn(void *ctx, const char *name, const char *labels, const char *type, const char *help,
                           double value);

/* The counter of questions received, by whatever labels: what `pointsman top` shows as queries per second. */
#define API_QUERIES "pointsman_dns_queries_total"

/* Which of the relay's connections to list. */
struct api_sessions {
    const struct prefix *client; /* NULL: of any */
    const char *server;          /* NULL: at any; API_FRONT_END: at our own front end */
    struct endpoint vip;         /* family 0: to any; port 0: any of it */
    uint32_t limit;
};
#define API_FRONT_END "front-end"

/* Which resources of the content directory to list; all of them NULL or 0: none, only the summary. */
struct api_catalog {
    const char *path; /* one; ending in a slash: all below it */
    const char *host, *node;
    uint32_t top; /* so many of the most asked for */
    uint32_t limit;
};

/* A request for a URL, as a client would make it. */
struct api_request {
    const char *url, *method;
    bool tls;
    char host[256];      /* without port and brackets */
    struct addr address; /* the same, where it is one; else family 0 */
    uint16_t port;
    struct buf target;   /* path and query */
    struct addr client;  /* family 0: any */
};

struct api_host {
    void *ctx;
    const struct clock *clock;
    uint64_t started_wall_ms;
    /* The current generation; they change at a reload, so ask each time. */
    struct model *(*model)(void *ctx);
    const struct snapshot *(*snapshot)(void *ctx);
    struct monitor *monitor;
    const struct overrides *overrides;
    struct history *(*history)(void *ctx);
    /* Loads the configuration again. On error the running one stays, and report says why (several lines). */
    int (*reload)(void *ctx, struct buf *report);
    /* Sets or takes back (OVERRIDE_NONE) an operator's word, publishes, and writes it to disk; until_ms wall, 0 = for good.
     * PM_EIO: it holds now but could not be written (report says so). */
    int (*override)(void *ctx, const char *target, enum override what, enum override_scope scope, uint64_t until_ms,
                    struct buf *report);
    /* The very DNS answer for name, type ("A", "AAAA", any) and client as the answering threads would give it:
     * {"bytes": hex, "rcode": .., "flags": [..], "answer": [{name,ttl,class,type,data}], "authority": [], "additional": []}.
     * name may be outside every zone. NULL = the name or type is no name or type. client NULL: a query without client
     * subnet from nowhere in particular. */
    json_t *(*answer)(void *ctx, const char *name, const char *type, const struct addr *client, unsigned client_len);
    /* Which service a name belongs to (its own name or an alias), or -1. */
    int64_t (*service_of)(void *ctx, const char *name);
    /* The checks of a VIP, in order; false at the end. */
    bool (*vip_check)(void *ctx, uint32_t vip, unsigned i, const struct monitor_check **c);
    /* Everything countable outside this layer. */
    void (*metrics)(void *ctx, api_metric_fn *fn, void *fn_ctx);
    /* Lists the listening sockets etc.: extra members for `status`. */
    json_t *(*status)(void *ctx);
    /* The other balancers; NULL = there are none. */
    json_t *(*peers)(void *ctx);
    /* The servers of the front end; NULL = there is none. */
    json_t *(*servers)(void *ctx);
    /* What the front end would do with a client: order is explain's, url may be NULL. NULL = there is no front end. */
    json_t *(*front)(void *ctx, uint32_t service, const json_t *order, const char *url);
    /* The packet relay; its connections, last seen first. NULL = there is none. */
    json_t *(*relay)(void *ctx);
    /* Why new connections had better come to another balancer of the site; NULL = they are welcome here. */
    const char *(*unready)(void *ctx);
    json_t *(*sessions)(void *ctx, const struct api_sessions *q);
    json_t *(*agents)(void *ctx); /* {agents: []} */
    /* The content directory; its plan; to carry that out (plan 0: whichever; NULL with error and why). NULL = there is none. */
    json_t *(*catalog)(void *ctx, const struct api_catalog *q);
    json_t *(*catalog_plan)(void *ctx);
    json_t *(*catalog_apply)(void *ctx, bool dry, uint64_t plan, const char **error, struct buf *why);
    /* What the relay would do with a request; service -1: none. NULL = no relay for it. */
    json_t *(*relay_explain)(void *ctx, int64_t service, const struct api_request *q);
    /* How many servers a target means. */
    size_t (*server_count)(void *ctx, const char *target);
};

#endif
