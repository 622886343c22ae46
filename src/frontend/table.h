/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routing table: what the front-end threads read. It is made whole from a list of services (plain structs, filled
 * in by whoever has the configuration), never changes, and is replaced by another one; what changes between (health,
 * load, connections) lives in states that outlast tables and are found again by name.
 *
 *   front_table ── listeners[] (endpoint, sockets) ── host name ──> front_service ── servers[] ──> front_server
 *                                                                        │                             │
 *                                   survive a reload:          front_service_state            front_server_state
 *
 * Threads: building and freeing: the control thread. Tables are read by front-end threads that hold a use of them: a
 * request keeps the table it began with, so a reload never changes what is under way. States are atomics, or belong
 * to one thread each (per_thread).
 * Memory: a table copies everything it is given. States are counted by the tables that name them.
 */
#ifndef PM_FRONTEND_TABLE_H
#define PM_FRONTEND_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "frontend/known.h"
#include "frontend/stats.h"

enum front_mode { FRONT_SERVE, FRONT_REDIRECT, FRONT_TCP, FRONT_FTP };
enum front_balance { FRONT_ROUND_ROBIN, FRONT_LEAST_CONNECTIONS, FRONT_LEAST_LOADED, FRONT_CLIENT_HASH };
enum front_sticky { FRONT_STICKY_NONE, FRONT_STICKY_COOKIE, FRONT_STICKY_CLIENT };
enum front_proxy { FRONT_PROXY_OFF, FRONT_PROXY_V1, FRONT_PROXY_V2 };
enum front_target { FRONT_TO_SITE, FRONT_TO_SERVER }; /* of FRONT_REDIRECT */
enum front_busy { FRONT_BUSY_503, FRONT_BUSY_DROP };
/* How a redirect because of overload is kept from going in circles. */
enum front_guard {
    FRONT_GUARD_HOST,   /* a request that came by a site's own name has been sent there: it stays */
    FRONT_GUARD_QUERY,  /* the sites tried are a mark in the query, so a client may try several */
    FRONT_GUARD_COOKIE, /* likewise in a cookie of the present host's parent domain */
};
enum front_health { FRONT_UP, FRONT_DOWN };

enum { FRONT_SERVERS_MAX = 4096, FRONT_SITES_MAX = 64, FRONT_WEIGHT_MAX = 256 };

struct front_server {
    const char *name; /* NULL: its endpoint as text */
    struct endpoint at;
    uint32_t weight;          /* 0 .. FRONT_WEIGHT_MAX; 0: only clients that stick to it */
    uint32_t max_connections; /* in use at once; 0 = not limited */
    const char *url;          /* redirects to it: "http://a.example:8080"; NULL: made from the endpoint */
    uint32_t slot; /* its bit in what is said of holders; 64 and above: has everything. Without front_service.known, where
                    * it is the same over tables: filled in, its place in the list */
    /* Filled in. */
    struct front_server_state *state;
    struct sockaddr_storage sockaddr;
    uint32_t sockaddr_len;
    uint32_t hash;   /* of service and name */
    char cookie[17]; /* what stands for it in a cookie */
};

/* Where clients can be sent instead, in order of preference. */
struct front_site {
    const char *name, *url; /* url: "http://paris.www.example.com", no final slash */
    bool self;              /* here */
};

struct front_rewrite {
    const char *match;  /* prefix of the path, or a PCRE2 pattern over path and query */
    const char *to;     /* what stands instead; $1 .. $9 in a pattern's. May be a whole URL when status is set */
    bool regex;
    uint16_t status;    /* 0 = rewritten for the server; 301, 302, 307, 308 = the client is told */
    void *compiled;     /* filled in */
};

/* What servers hold, where not all hold the same: each bit stands for a server's slot. */
enum front_holds {
    FRONT_HOLDS_PATH,
    FRONT_HOLDS_PREFIX, /* ends in a slash */
    FRONT_HOLDS_SUFFIX, /* from the last dot */
    FRONT_HOLDS_NAME,   /* hello: a host of the service, "*.x" too; "": any other */
    FRONT_HOLDS_ALPN,   /* hello: a protocol */
    FRONT_SURE,         /* of front_known, text "": all that will be known is; else a 404 proves nothing */
};
struct front_holding {
    uint8_t kind;
    const char *text;
    uint64_t holders;
};

/* Times in ms. Zero: the default in parentheses. */
struct front_times {
    uint32_t idle;     /* client without a request (60 s) */
    uint32_t head;     /* first to last byte of a request's head (10 s) */
    uint32_t stall;    /* no byte moves in a body, either way (30 s) */
    uint32_t connect;  /* to a server (3 s) */
    uint32_t response; /* from the request to the first byte of the response (60 s) */
    uint32_t queue;    /* for a free place at a server (5 s) */
    uint32_t tunnel;   /* no byte moves in a tunnel (1 h) */
    uint32_t pool;     /* an unused connection to a server is kept (30 s) */
};

struct front_service {
    const char *name;
    uint8_t mode, balance, sticky, proxy, target, busy, guard;
    bool hello;         /* FRONT_TCP: host and servers by the TLS greeting; such services may share a listener */
    bool forwarded_for; /* add X-Forwarded-For */
    bool away;          /* redirect to the next site at overload or without healthy server (A10) */
    bool is_default;    /* of its listeners: serves hosts nobody else claims */
    const char *cookie; /* name for FRONT_STICKY_COOKIE (pm-server) */
    uint32_t max_connections; /* requests and tunnels at once; 0 = not limited */
    uint32_t queue_limit;     /* waiting at once, each thread (1024); */
    uint32_t retries;         /* further servers tried (3) */
    uint32_t slow_start;      /* ms from a tenth to the whole weight after a server comes up; 0 = off */
    uint32_t pool;            /* unused connections kept per server and thread (256) */
    struct front_times times;
    const char *const *hosts; /* names, "*.suffix"; lower case */
    uint32_t host_count;
    const struct endpoint *listen;
    uint32_t listen_count;
    struct front_server *servers;
    uint32_t server_count;
    struct front_site *sites;
    uint32_t site_count;
    struct front_rewrite *rewrites;
    uint32_t rewrite_count;
    const struct front_holding *holdings; /* none: every server has everything */
    uint32_t holding_count;
    uint64_t holders_else; /* of what none of them is about; hello: of protocols */
    /*
     * What is known beyond this table, which counts before it; NULL: nothing. With it a GET or HEAD that its server
     * answers with 404 is asked of another holder, once (until FRONT_SURE is said: of all), and notes are taken
     * (frontend_notes).
     */
    const struct front_known *known;
    uint64_t scope; /* under which it is known */
    /* Filled in. */
    struct front_service_state *state;
    uint32_t index;
};

struct upstream;
struct client;

/* A thread's share of a server: connections not in use, and its own counters. */
struct front_pool {
    struct upstream *idle; /* last used first */
    uint32_t idle_count;
    int32_t current;           /* smooth weighted round robin */
    uint64_t avoid_until_ms;   /* after a failed connect, when there are others */
    uint64_t n[FRONT_SERVER_COUNTER_COUNT];
} __attribute__((aligned(64)));

struct front_server_state {
    char *key;
    unsigned refs;
    struct endpoint at;
    atomic_uchar health, draining;
    atomic_bool retired; /* no present table has it: connections are not kept */
    atomic_uint active;
    _Atomic uint32_t response_us; /* moving average */
    _Atomic uint32_t session_ms;  /* moving average of how long a connection is in use */
    _Atomic uint32_t load;        /* as reported, thousandths of full; UINT32_MAX = nobody reported */
    _Atomic uint64_t up_since_ms; /* for slow start; 0 = always */
    unsigned threads;
    struct front_pool per_thread[];
};

struct front_waiting {
    struct client *first, *last;
    atomic_uint count;
} __attribute__((aligned(64)));

struct front_service_state {
    char *key;
    unsigned refs;
    atomic_uint active;  /* requests and tunnels */
    atomic_uint waiting; /* of all threads */
    unsigned threads;
    struct front_waiting per_thread[];
};

struct front_listener {
    struct endpoint at;
    uint8_t mode; /* FRONT_SERVE (any HTTP), FRONT_TCP, FRONT_FTP */
    uint64_t id;  /* of its set of sockets */
    const int *fds;
    uint32_t fd_count;
    struct map hosts;    /* -> struct front_service; "*.x" is kept as ".x" */
    bool wildcards, hello;
    const struct front_service *fallback; /* may be NULL */
};

struct front_use {
    uint32_t count;
    bool current;
} __attribute__((aligned(64)));

struct front_table {
    struct arena *arena;
    struct front_service *services;
    uint32_t service_count;
    struct front_listener *listeners;
    uint32_t listener_count;
    atomic_uint holders;         /* threads that have a use for it */
    struct front_table *retired; /* list, oldest first */
    struct front_use uses[];     /* per thread */
};

struct front_states {
    struct map servers, services;
    unsigned threads;
};

void front_states_init(struct front_states *s, unsigned threads);
void front_states_fini(struct front_states *s);

/*
 * A table of the services, without sockets. PM_ECONFIG with a line in why: an endpoint shared by unlike modes, two
 * services with one host on one endpoint, a pattern that does not compile, a count out of range.
 */
int front_table_build(struct front_states *states, const struct front_service *services, uint32_t count,
                      struct front_table **out, struct buf *why) PM_MUST_CHECK;
/* Frees it and the states only it had. No thread may use it. */
void front_table_free(struct front_states *states, struct front_table *t);
/* Marks servers that t has not as retired, and those it has as not. */
void front_table_mark(struct front_states *states, const struct front_table *t);

/* The service for a Host field's value (port and case do not matter); NULL: nobody's. */
const struct front_service *front_table_route(const struct front_listener *l, const char *host, size_t len);

#endif
