/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of the whole daemon, typed. It is read once (config_load), checked whole, and never changes
 * afterwards: a reload makes another one, and the old is freed when nobody uses it (config_free).
 *
 *   zones     names this node is authoritative for: a master file, or a generated SOA and NS
 *   sites     places with addresses; what a client can be sent to
 *   policies  named lists of stages;   checks  named templates: a status module, its parameters and timing
 *   services  a name under a zone -> policy, checks, TTL, and per site the addresses (VIPs)
 *
 *   cfg_service --sites--> cfg_service_site --site--> cfg_site
 *        |                      `--vips--> cfg_vip (address, weight, cost, own checks or NULL)
 *        |--policy--> cfg_policy --stages--> conf_choice {kind = stage's conf_object, value = its parameters}
 *        `--checks--> cfg_checks --items--> cfg_check {module, timing}
 *
 * All names are resolved: a pointer here is never a name that may not exist. What a service does not say is filled in
 * from `defaults`, what that does not say from the tables. Policies, checks and lists of checks that are equal as text
 * are one object, so pointers may be compared and results shared; .index counts each kind from 0 without gaps.
 *
 * Memory: everything lives in config->arena. Thread: loading takes one thread; the result may be read by any.
 * Failure: PM_ECONFIG, and every error with file, line and column in the conf_diag; no half-loaded struct comes out.
 */
#ifndef PM_MODEL_CONFIG_H
#define PM_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "conf/diag.h"
#include "conf/schema.h"

/* ---- what the layers above bring along ---- */

struct config_preset {
    const char *name, *doc;
    const char *text; /* YAML of the list of stages: "[up, near, pick]" */
};

struct config_registries {
    const struct conf_registry *stages; /* policy's stages; .what must be "stage" */
    const struct conf_registry *checks; /* monitor's modules; .what must be "check" */
    const struct config_preset *presets; /* ends with .name NULL; may be NULL */
    const char *default_policy;          /* of `defaults.policy`: name of a preset; NULL = the first one */
};

/* ---- sections ---- */

struct cfg_node {
    const char *name;  /* default: host name */
    const char *site;  /* the site it stands at; NULL = at none */
    const char *state; /* folder for what survives a restart; NULL = keep nothing */
    const char *user;  /* account to become after the ports are open; NULL = stay. A missing one is no config error. */
    int log_level;     /* 0 error .. 4 debug; LOG_ERROR + log_level is the enum log_level */
};

struct cfg_tcp {
    uint32_t max_clients;
    uint64_t idle_ms;
    uint32_t max_per_client; /* queries of one connection being worked on at once */
};

struct cfg_dns {
    struct conf_list listen; /* struct endpoint */
    uint32_t threads;        /* 0 = one per core */
    uint32_t udp_size;       /* largest UDP answer, also what EDNS advertises */
    bool ecs;                /* heed EDNS client subnet */
    uint32_t ecs_v4_max, ecs_v6_max; /* no longer scope than this is ever answered */
    bool nsid;               /* answer NSID with the node's name */
    const char *version;     /* of version.bind / version.server; NULL = refuse */
    struct cfg_tcp tcp;
};

struct cfg_location {
    bool known;
    double lat, lon; /* degrees */
};

/* Kinds of geo.sources; .value of the conf_choice is one of the structs below. */
extern const struct conf_object cfg_geo_mmdb_object, cfg_geo_csv_object, cfg_geo_rir_object;

struct cfg_geo_mmdb {
    const char *path;
};
enum cfg_geo_column {
    CFG_GEO_SKIP,   /* - */
    CFG_GEO_PREFIX, /* a prefix, or an address */
    CFG_GEO_FIRST,  /* first and last address of a range */
    CFG_GEO_LAST,
    CFG_GEO_COUNTRY,
    CFG_GEO_CONTINENT,
    CFG_GEO_REGION,
    CFG_GEO_CITY,
    CFG_GEO_LAT,
    CFG_GEO_LON,
    CFG_GEO_ASN,
};
struct cfg_geo_csv {
    const char *path;
    struct conf_list columns; /* int: enum cfg_geo_column; empty = the first line of the file names them */
    const char *separator;    /* one byte */
};
struct cfg_geo_rir {
    const char *path;
};

struct cfg_geo_override {
    struct conf_list prefixes; /* struct prefix, at least one */
    const char *country, *continent, *region, *city; /* NULL = not said */
    struct cfg_location location;
    uint32_t asn; /* 0 = not said */
    struct conf_mark mark;
};

struct cfg_geo {
    struct conf_list sources;    /* struct conf_choice: cfg_geo_*_object */
    struct conf_list overrides;  /* struct cfg_geo_override; after all sources */
    uint64_t reload_interval_ms; /* how often the files are looked at */
};

struct cfg_zone {
    const char *name;        /* lower case, no final dot; "." for the root */
    const char *file;        /* master file; NULL = SOA and NS are made from the rest */
    struct conf_list ns;     /* const char *; at least one when there is no file */
    const char *mbox;        /* RNAME as text, "hostmaster.example.com"; never NULL */
    uint32_t ttl_s, negative_ttl_s, refresh_s, retry_s, expire_s;
    uint32_t index;
    struct conf_mark mark;
};

/* Clients a site is meant for; stages that match countries, prefixes ... read it. */
struct cfg_serves {
    struct conf_list countries, continents, regions; /* const char *; the first two upper case */
    struct conf_list asns;                           /* uint32_t */
    struct conf_list prefixes;                       /* struct prefix */
};

struct cfg_site {
    const char *name;
    struct cfg_location location;
    const char *country, *continent, *region; /* NULL = not said */
    uint32_t asn;                             /* 0 = not said */
    double cost, weight;
    struct cfg_serves serves;
    bool disabled;
    uint32_t index; /* position in config->sites */
    struct conf_mark mark;
};

enum cfg_source {
    CFG_NAMED,  /* in `policies:` or `checks:` */
    CFG_PRESET, /* a preset of the policy layer, or a bare module name used as a check */
    CFG_INLINE, /* written where it is used */
};

struct cfg_policy {
    const char *name; /* of the map entry or preset; "" when inline */
    enum cfg_source source;
    uint32_t index;          /* position in config->policies */
    struct conf_list stages; /* struct conf_choice, in order; never empty */
    struct conf_mark mark;
};

struct cfg_check {
    const char *name; /* of the template; the module's name for CFG_PRESET; "" when inline */
    enum cfg_source source;
    uint32_t index;            /* position in config->checks */
    struct conf_choice module; /* kind = the module's object, value = its parameters */
    uint64_t interval_ms;
    uint64_t down_interval_ms; /* 0 = as interval_ms */
    uint64_t timeout_ms;
    uint32_t iterations, rise, fall;
    uint64_t average_ms;
    uint32_t flap_limit; /* 0 = no damping */
    uint64_t flap_window_ms, flap_hold_ms;
    uint32_t port;    /* 0 = the module's own */
    const char *host; /* Host header, SNI, mail name; NULL = the service's name */
    struct conf_mark mark;
};

/* The checks of a service or VIP; it is up when all are. */
struct cfg_checks {
    const struct cfg_check **items;
    uint32_t count; /* 0 = unchecked: always taken as up */
};

enum { CFG_TTL_AUTO = UINT32_MAX, CFG_TTL_MAX_S = 255 * 60, CFG_ADDRESSES_ALL = 0 };

enum cfg_all_down {
    CFG_ALL_DOWN_ALL,       /* answer as if all were up */
    CFG_ALL_DOWN_LAST_GOOD, /* the addresses that were up last */
    CFG_ALL_DOWN_FALLBACK,  /* the service's fallback addresses */
    CFG_ALL_DOWN_SERVFAIL,
};

struct cfg_vip {
    struct addr addr;
    uint32_t max_connections; /* 0 = not limited */
    double weight;            /* share inside its site */
    double cost;              /* added to the site's */
    const struct cfg_checks *checks; /* NULL = as the service */
};

/* ---- the front end: what happens on the VIPs of a site ---- */

/* What of it is left to the packet relay, where that can be had; else the front end does it. */
enum cfg_relaying {
    CFG_RELAY_OFF,
    CFG_RELAY_PACKETS,  /* each connection's packets to one server */
    CFG_RELAY_CLIENTS,  /* all packets of a client to one server, whatever the service (H8) */
    CFG_RELAY_TRANSFER, /* the connection, once its request is known (R2) */
};

enum cfg_front_mode { CFG_FRONT_SERVE, CFG_FRONT_REDIRECT, CFG_FRONT_TCP, CFG_FRONT_FTP };

struct cfg_rewrite {
    const char *match, *to;
    bool regex;
    uint32_t status; /* 0 = rewritten for the server */
};

struct cfg_front_times {
    uint64_t idle_ms, head_ms, stall_ms, connect_ms, response_ms, queue_ms, tunnel_ms, pool_ms;
};

/* Which UDP ports carry QUIC, whose clients may change their addresses. */
enum cfg_quic { CFG_QUIC_AUTO, CFG_QUIC_ON, CFG_QUIC_OFF };
enum { CFG_QUIC_PORT = 443, CFG_QUIC_ANY = 0 };

/* Where servers put their ids into connection ids (draft-ietf-quic-load-balancers, in clear). */
struct cfg_quic_ids {
    uint32_t length, offset;
    int config; /* configuration of the draft + 1; CFG_QUIC_ANY: the bits that say it are not looked at */
    struct conf_mark mark;
};

struct cfg_front {
    int mode, balance, sticky, proxy, target, busy, guard; /* orders as in frontend/table.h */
    int relay;                       /* enum cfg_relaying */
    const struct cfg_policy *policy; /* relay: which server; never NULL there */
    struct conf_list ports; /* uint32_t */
    uint32_t server_port;   /* 0 = as the servers say */
    bool forwarded_for, overload_redirect;
    const char *cookie;
    uint32_t queue, retries, pool;
    uint64_t slow_start_ms;
    struct cfg_front_times times;
    struct conf_list rewrites; /* struct cfg_rewrite */
    int quic;                  /* enum cfg_quic */
    struct conf_list quic_ids; /* struct cfg_quic_ids */
    const struct cfg_checks *checks; /* of the servers; NULL = none */
    struct conf_mark mark;
};

enum cfg_via { CFG_VIA_AUTO, CFG_VIA_LAN, CFG_VIA_HOPS };

struct cfg_server {
    const char *name;
    struct endpoint at;
    uint32_t weight, max_connections;
    const char *url; /* for redirects to it; NULL = made from the address */
    int via;         /* enum cfg_via */
    const char *agent; /* name of the agent there; NULL = none */
    const char *rack;  /* what fails together has one name; NULL = it stands alone */
    struct conf_list quic_ids; /* const char *: hexadecimal */
    struct conf_list holds; /* const char *: paths, prefixes ending in /, *.suffixes; none = everything */
    struct conf_list alpn;  /* const char *: protocols of TLS it is asked for; none = any */
    bool h2c;               /* HTTP/2 in clear text */
    struct conf_mark mark;
};

struct cfg_service_site {
    const char *name; /* = site->name */
    const struct cfg_site *site;
    struct conf_list vips; /* struct cfg_vip, at least one */
    double weight, cost;   /* not said: the site's */
    uint32_t priority;     /* failover order, lower first; not said: the position in this list, from 1 */
    bool disabled;
    const char *url;          /* where clients are redirected to; NULL = made from the first VIP */
    struct conf_list servers; /* struct cfg_server */
    struct conf_mark mark;
};

struct cfg_service {
    const char *name; /* lower case, no final dot; may begin with "*." */
    const struct cfg_zone *zone;
    const struct cfg_policy *policy;
    const struct cfg_checks *checks; /* never NULL */
    struct conf_list sites;          /* struct cfg_service_site, at least one */
    struct conf_list aliases;        /* const char *: further names with the same answers */
    struct conf_list fallback;       /* struct addr */
    struct conf_list fronts;         /* struct cfg_front: what this balancer does on the VIPs of its site */
    uint32_t ttl_s;                  /* or CFG_TTL_AUTO: from when the state can next change, within the two below */
    uint32_t min_ttl_s, max_ttl_s;
    uint32_t addresses; /* how many an answer has at most; CFG_ADDRESSES_ALL */
    int all_down;       /* enum cfg_all_down */
    uint32_t index;     /* position in config->services */
    struct conf_mark mark;
};

struct cfg_defaults {
    const struct cfg_policy *policy;
    const struct cfg_checks *checks;
    uint32_t ttl_s, min_ttl_s, max_ttl_s;
    uint32_t addresses;
    int all_down;
};

struct cfg_monitor {
    double hold_share; /* 0 = rule off */
    uint64_t hold_window_ms, hold_max_ms;
    uint32_t move_limit; /* percent of a service's weight that may lose its clients within a minute; 100 = no limit */
    uint32_t max_running;
    uint64_t save_interval_ms; /* 0 = only at exit */
};

/* ---- mesh ---- */

enum { CFG_MESH_PORT = 7946, CFG_AGENT_PORT = 7947, CFG_NODE_NAME_MAX = 63 };

struct cfg_peer {
    const char *name;           /* of its certificate */
    struct conf_list addresses; /* struct endpoint; none = it calls us */
    const char *site, *region;  /* NULL = what it says itself */
    struct conf_mark mark;
};

struct cfg_nats {
    struct conf_list servers; /* const char *; none = not used */
    const char *subject, *credentials, *ca;
};

struct cfg_mesh {
    struct conf_list listen; /* struct endpoint */
    const char *region, *ca;
    const char *certificate, *key; /* NULL = beside ca, by the node's name; in the certificate's file */
    struct conf_list peers; /* struct cfg_peer */
    uint64_t update_ms; /* 0 = only events */
    uint64_t expire_ms;
    uint32_t quorum; /* so many other balancers that call a VIP down outvote this one; 0 = never */
    uint64_t quorum_delay_ms; /* when they have said so for this long */
    bool sign;                /* records carry their writer's signature */
    struct cfg_nats nats;
};

/* ---- relay ---- */

enum { CFG_RELAY_PEER_PORT = 6083 /* UDP */ };

struct cfg_relay {
    struct conf_list interfaces; /* const char *; none = no relay */
    const char *key, *pin;
    struct conf_list agents; /* struct endpoint: where agents call; none = no agents */
    struct conf_list peers;      /* struct endpoint */
    uint64_t takeover_ms;        /* 0 = never */
    uint32_t peer_port, flows, find_rate, icmp_rate, mtu;
};

/* ---- catalog ---- */

enum cfg_apply { CFG_APPLY_MANUAL, CFG_APPLY_AUTO };

struct cfg_catalog {
    uint32_t copies, most; /* most 0: no bound */
    double hot;            /* requests in a second that a copy carries; 0 = heat makes no difference */
    uint64_t cold_ms;      /* 0 = nothing is removed */
    uint64_t lost_ms, drained_ms, every_ms, given_up_ms, denied_ms;
    int apply; /* enum cfg_apply */
    uint32_t actions, at_once, tries, counters, table;
    struct conf_list index; /* const char *: file names */
};

struct cfg_api {
    const char *socket; /* NULL = none */
    uint32_t socket_mode;
    const char *socket_group;   /* NULL = as the process */
    struct endpoint metrics; /* addr.family 0 = off */
};

struct config {
    struct arena *arena;
    struct cfg_node node;
    struct cfg_dns dns;
    struct cfg_geo geo;
    struct conf_list zones, sites, services; /* struct cfg_zone, cfg_site, cfg_service, in written order */
    /* Named ones first, then what services use; arrays of pointers. */
    const struct cfg_policy **policies;
    const struct cfg_check **checks;
    uint32_t policy_count, check_count;
    struct cfg_defaults defaults;
    struct cfg_monitor monitor;
    struct cfg_api api;
    struct cfg_mesh mesh;
    struct cfg_relay relay;
    struct cfg_catalog catalog;
    struct conf_list files; /* const char *: all that was read, the main file first */
    struct map by_site, by_zone, by_service; /* name -> item; by_service has the aliases too */
    const struct config_registries *registries;
};

/* ---- loading ---- */

/*
 * Reads path and what it includes. reg and what it points to must outlive the config. PM_OK, or PM_ECONFIG with errors
 * in diag (an unreadable file is one of them). Warnings may be in diag either way.
 */
int config_load(const char *path, const struct config_registries *reg, struct config **out,
                struct conf_diag *diag) PM_MUST_CHECK;
/* The same from memory; name is what messages call it, and its folder is where relative paths start. */
int config_load_text(const char *name, const char *text, size_t len, const struct config_registries *reg,
                     struct config **out, struct conf_diag *diag) PM_MUST_CHECK;
void config_free(struct config *c); /* NULL is allowed */

/* ---- looking things up ---- */

const struct cfg_site *config_site(const struct config *c, const char *name);
/* By name or alias; lower case, no final dot. */
const struct cfg_service *config_service(const struct config *c, const char *name);
/* The closest zone at or above the name. */
const struct cfg_zone *config_zone_of(const struct config *c, const char *name);

#define CONFIG_EACH(type, var, list)                                                               \
    for (const type *var = (list).items, *var##_end = var ? var + (list).count : NULL; var < var##_end; var++)

/* ---- showing it ---- */

/* The effective configuration: every key with its value. As YAML it can be loaded again and gives the same. */
void config_print(const struct config *c, struct buf *out);
struct json_t *config_json(const struct config *c);
/* docs/reference/configuration.md: every key, check, stage and preset. */
void config_reference(const struct config_registries *reg, struct buf *out);

#endif
