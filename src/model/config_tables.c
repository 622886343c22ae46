/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the whole configuration: every key, its default, its range and its line in the reference. */
#include "model/config_build.h"

#define AT(type, field) offsetof(struct type, field)

/* ---- node, dns, api, monitor ---- */

static const char *const log_levels[] = {"error", "warn", "notice", "info", "debug", NULL};

static const struct conf_key node_keys[] = {
    {"name", CONF_STRING, AT(cfg_node, name), .doc = "Name of this balancer; not said: the host name."},
    {"site", CONF_STRING, AT(cfg_node, site), .doc = "The site this balancer stands at."},
    {"state", CONF_PATH, AT(cfg_node, state), .def = "/var/lib/pointsman", .flags = CONF_OFF,
     .doc = "Folder for what survives a restart: health, averages, overrides."},
    {"user", CONF_STRING, AT(cfg_node, user), .def = "pointsman", .flags = CONF_OFF,
     .doc = "Account to become once the ports are open, when started as root and the account exists."},
    {"log-level", CONF_ENUM, AT(cfg_node, log_level), .def = "notice", .sub = log_levels,
     .doc = "Least important lines that are still logged."},
};
static const struct conf_object node_object = {
    .name = "node", .doc = "This process.", .size = sizeof(struct cfg_node), CONF_KEYS(node_keys),
    .check = config_node_check};

static const struct conf_key tcp_keys[] = {
    {"max-clients", CONF_UINT, AT(cfg_tcp, max_clients), .def = "1024", .min = 1, .max = 1000000,
     .doc = "TCP connections at once; the longest idle one makes room for a new one."},
    {"idle", CONF_DURATION, AT(cfg_tcp, idle_ms), .def = "10s", .min = 1000, .max = 3600000,
     .doc = "A connection without a query for this long is closed (RFC 7766)."},
    {"max-per-client", CONF_UINT, AT(cfg_tcp, max_per_client), .def = "64", .min = 1, .max = 65535,
     .doc = "Pipelined queries of one connection in work at once."},
};
static const struct conf_object tcp_object = {
    .name = "tcp", .doc = "DNS over TCP.", .size = sizeof(struct cfg_tcp), CONF_KEYS(tcp_keys)};

static const struct conf_key dns_keys[] = {
    {"listen", CONF_ENDPOINT, AT(cfg_dns, listen), .def = "[0.0.0.0, '[::]']", .min = 53, .flags = CONF_LIST,
     .doc = "Addresses to answer on, UDP and TCP; the port is 53 when not said."},
    {"threads", CONF_UINT, AT(cfg_dns, threads), .def = "0", .min = 0, .max = 1024,
     .doc = "Threads that answer; 0 is one per core."},
    {"udp-size", CONF_UINT, AT(cfg_dns, udp_size), .def = "1232", .min = 512, .max = 4096, .unit = "bytes",
     .doc = "Largest answer over UDP, also what EDNS advertises."},
    {"ecs", CONF_BOOL, AT(cfg_dns, ecs), .def = "on",
     .doc = "Heed the client subnet that resolvers send (RFC 7871)."},
    {"ecs-v4-max", CONF_UINT, AT(cfg_dns, ecs_v4_max), .def = "32", .min = 0, .max = 32, .unit = "bits",
     .doc = "No longer IPv4 scope is answered. 24 keeps resolver caches small at the price of precision."},
    {"ecs-v6-max", CONF_UINT, AT(cfg_dns, ecs_v6_max), .def = "128", .min = 0, .max = 128, .unit = "bits",
     .doc = "The same for IPv6; 56 is what resolvers usually send."},
    {"nsid", CONF_BOOL, AT(cfg_dns, nsid), .def = "on", .doc = "Answer NSID (RFC 5001) with the node's name."},
    {"version", CONF_STRING, AT(cfg_dns, version), .def = "pointsman", .flags = CONF_OFF,
     .doc = "Answer to CHAOS version.bind and version.server; off refuses."},
    {"tcp", CONF_OBJECT, AT(cfg_dns, tcp), .sub = &tcp_object, .doc = "DNS over TCP."},
};
static const struct conf_object dns_object = {
    .name = "dns", .doc = "The DNS server.", .size = sizeof(struct cfg_dns), CONF_KEYS(dns_keys)};

static const struct conf_key monitor_keys[] = {
    {"hold-share", CONF_DOUBLE, AT(cfg_monitor, hold_share), .def = "0.9", .min = 0, .max = 1, .unit = "of 1",
     .doc = "When this share of all checks fails at once, it is taken as this node's own network and states are held. "
            "0 turns the rule off."},
    {"hold-window", CONF_DURATION, AT(cfg_monitor, hold_window_ms), .def = "15s", .min = 100, .max = 3600000,
     .doc = "What counts as at once."},
    {"hold-max", CONF_DURATION, AT(cfg_monitor, hold_max_ms), .def = "10m", .min = 0, .max = 86400000,
     .doc = "States are held no longer than this."},
    {"move-limit", CONF_UINT, AT(cfg_monitor, move_limit), .def = "100", .min = 1, .max = 100, .unit = "%",
     .doc = "When several sites of a service fail, no more than this share of its weight loses its clients within a "
            "minute; sites that fail beyond that keep theirs so long, so that those left are not swept away. 100: no limit."},
    {"max-running", CONF_UINT, AT(cfg_monitor, max_running), .def = "4096", .min = 1, .max = 1000000,
     .doc = "Checks running at once; more wait their turn."},
    {"save-interval", CONF_DURATION, AT(cfg_monitor, save_interval_ms), .def = "30s", .min = 0, .max = 86400000,
     .doc = "How often health and averages are written to the state folder; 0 is only at exit."},
};
static const struct conf_object monitor_object = {
    .name = "monitor", .doc = "Measuring as a whole; single checks are under `checks`.",
    .size = sizeof(struct cfg_monitor), CONF_KEYS(monitor_keys)};

static const struct conf_key api_keys[] = {
    {"socket", CONF_PATH, AT(cfg_api, socket), .def = "/run/pointsman/control.sock", .flags = CONF_OFF,
     .doc = "Control socket of the pointsman commands."},
    {"socket-mode", CONF_CUSTOM, AT(cfg_api, socket_mode), .def = "0660", .sub = config_mode_read,
     .print = config_mode_print, .type_name = "octal mode", .doc = "Who may use the socket."},
    {"socket-group", CONF_STRING, AT(cfg_api, socket_group), .doc = "Group of the socket; not said: the process's."},
    {"metrics", CONF_ENDPOINT, AT(cfg_api, metrics), .def = "127.0.0.1:9353", .min = 9353, .flags = CONF_OFF,
     .doc = "Where Prometheus finds /metrics."},
};
static const struct conf_object api_object = {
    .name = "api", .doc = "How the running process is asked and steered.", .size = sizeof(struct cfg_api),
    CONF_KEYS(api_keys)};

/* ---- geo ---- */

static const struct conf_key mmdb_keys[] = {
    {"path", CONF_PATH, AT(cfg_geo_mmdb, path), .flags = CONF_REQUIRED, .doc = "A MaxMind DB file."},
};
const struct conf_object cfg_geo_mmdb_object = {
    .name = "mmdb", .doc = "A MaxMind DB: country, city or ASN.", .size = sizeof(struct cfg_geo_mmdb),
    CONF_KEYS(mmdb_keys), .shorthand = "path"};

static const char *const columns[] = {"-",      "prefix", "first", "last", "country", "continent",
                                      "region", "city",   "lat",   "lon",  "asn",     NULL};
static const struct conf_key csv_keys[] = {
    {"path", CONF_PATH, AT(cfg_geo_csv, path), .flags = CONF_REQUIRED, .doc = "The file."},
    {"columns", CONF_ENUM, AT(cfg_geo_csv, columns), .sub = columns, .flags = CONF_LIST,
     .doc = "What each column holds, `-` for nothing of interest. Not said: the first line names them."},
    {"separator", CONF_STRING, AT(cfg_geo_csv, separator), .def = ",", .doc = "One character between columns."},
};
const struct conf_object cfg_geo_csv_object = {
    .name = "csv", .doc = "A table of prefixes or address ranges.", .size = sizeof(struct cfg_geo_csv),
    CONF_KEYS(csv_keys), .shorthand = "path", .check = config_csv_check};

static const struct conf_key rir_keys[] = {
    {"path", CONF_PATH, AT(cfg_geo_rir, path), .flags = CONF_REQUIRED, .doc = "The file."},
};
const struct conf_object cfg_geo_rir_object = {
    .name = "rir", .doc = "A delegated-extended file of a regional registry.", .size = sizeof(struct cfg_geo_rir),
    CONF_KEYS(rir_keys), .shorthand = "path"};

static const struct conf_object *const geo_kinds[] = {&cfg_geo_mmdb_object, &cfg_geo_csv_object, &cfg_geo_rir_object,
                                                      NULL};
static const struct conf_registry geo_registry = {"geo source", geo_kinds};

#define PLACE_KEYS(type, of)                                                                       \
    {"location", CONF_CUSTOM, AT(type, location), .sub = config_location_read,                     \
     .print = config_location_print, .type_name = "[latitude, longitude]", .unit = "degrees",      \
     .doc = "Where " of " is."},                                                                   \
        {"country", CONF_STRING, AT(type, country), .doc = "ISO 3166 code of two letters."},       \
        {"continent", CONF_STRING, AT(type, continent), .doc = "AF, AN, AS, EU, NA, OC or SA."},   \
        {"region", CONF_STRING, AT(type, region), .doc = "A region in words of your own."},        \
        {"asn", CONF_UINT, AT(type, asn), .doc = "Number of the autonomous system."}

static const struct conf_key override_keys[] = {
    {"prefixes", CONF_PREFIX, AT(cfg_geo_override, prefixes), .flags = CONF_LIST, .doc = "Which addresses."},
    {"prefix", CONF_PREFIX, AT(cfg_geo_override, prefixes), .flags = CONF_LIST | CONF_ALIAS,
     .doc = "The same, for one."},
    PLACE_KEYS(cfg_geo_override, "it"),
    {"city", CONF_STRING, AT(cfg_geo_override, city), .doc = "Name of the city."},
};
static const struct conf_object override_object = {
    .name = "override", .doc = "What is known better than the sources know it.",
    .size = sizeof(struct cfg_geo_override), CONF_KEYS(override_keys), .mark_offset = AT(cfg_geo_override, mark),
    .check = config_override_check};

static const struct conf_key geo_keys[] = {
    {"sources", CONF_VARIANT, AT(cfg_geo, sources), .sub = &geo_registry, .flags = CONF_LIST,
     .doc = "Where places of clients come from; later ones win."},
    {"overrides", CONF_OBJECT, AT(cfg_geo, overrides), .sub = &override_object, .flags = CONF_LIST,
     .doc = "Prefixes whose place you know; they win over all sources."},
    {"reload-interval", CONF_DURATION, AT(cfg_geo, reload_interval_ms), .def = "30s", .min = 1000, .max = 86400000,
     .doc = "How often the files are looked at; a changed one is read again."},
};
static const struct conf_object geo_object = {
    .name = "geo", .doc = "Where clients are.", .size = sizeof(struct cfg_geo), CONF_KEYS(geo_keys)};

/* ---- zones, sites ---- */

#define SECONDS(name, type, field, default, text)                                                  \
    {name, CONF_CUSTOM, AT(type, field), .def = default, .sub = config_seconds_read,               \
     .print = config_seconds_print, .type_name = "duration in whole seconds", .doc = text}

static const struct conf_key zone_keys[] = {
    {"file", CONF_PATH, AT(cfg_zone, file),
     .doc = "Master file with the static data. Without one, the SOA and NS records are made from the other keys."},
    {"ns", CONF_NAME, AT(cfg_zone, ns), .flags = CONF_LIST, .doc = "Name servers; needed when there is no file."},
    {"mbox", CONF_STRING, AT(cfg_zone, mbox), .doc = "Mail address in the SOA; not said: hostmaster@ the zone."},
    SECONDS("ttl", cfg_zone, ttl_s, "1h", "TTL of the made records."),
    SECONDS("negative-ttl", cfg_zone, negative_ttl_s, "60s", "How long a negative answer is cached (RFC 2308)."),
    SECONDS("refresh", cfg_zone, refresh_s, "1h", "SOA refresh."),
    SECONDS("retry", cfg_zone, retry_s, "10m", "SOA retry."),
    SECONDS("expire", cfg_zone, expire_s, "7d", "SOA expire."),
};
static const struct conf_object zone_object = {
    .name = "zone", .doc = "A zone this server is authoritative for.", .size = sizeof(struct cfg_zone),
    CONF_KEYS(zone_keys), .shorthand = "file", .name_offset = AT(cfg_zone, name), .name_type = CONF_NAME,
    .mark_offset = AT(cfg_zone, mark), .check = config_zone_check};

static const struct conf_key serves_keys[] = {
    {"countries", CONF_STRING, AT(cfg_serves, countries), .flags = CONF_LIST, .doc = "ISO 3166 codes."},
    {"continents", CONF_STRING, AT(cfg_serves, continents), .flags = CONF_LIST, .doc = "Codes of two letters."},
    {"regions", CONF_STRING, AT(cfg_serves, regions), .flags = CONF_LIST, .doc = "Regions as the sources call them."},
    {"asns", CONF_UINT, AT(cfg_serves, asns), .flags = CONF_LIST, .doc = "Autonomous systems."},
    {"prefixes", CONF_PREFIX, AT(cfg_serves, prefixes), .flags = CONF_LIST, .doc = "Address prefixes."},
};
static const struct conf_object serves_object = {
    .name = "serves", .doc = "Clients this site is meant for; the matching stages read it.",
    .size = sizeof(struct cfg_serves), CONF_KEYS(serves_keys)};

static const struct conf_key site_keys[] = {
    PLACE_KEYS(cfg_site, "the site"),
    {"cost", CONF_DOUBLE, AT(cfg_site, cost), .def = "1", .min = 0, .max = 1e9,
     .doc = "What a client costs here, in any unit that is the same for all sites."},
    {"weight", CONF_DOUBLE, AT(cfg_site, weight), .def = "1", .min = 0, .max = 1e6, .doc = "Share of the clients."},
    {"serves", CONF_OBJECT, AT(cfg_site, serves), .sub = &serves_object, .doc = "Clients it is meant for."},
    {"disabled", CONF_BOOL, AT(cfg_site, disabled), .def = "no", .doc = "Take it out of all answers."},
};
static const struct conf_object site_object = {
    .name = "site", .doc = "A place with addresses.", .size = sizeof(struct cfg_site), CONF_KEYS(site_keys),
    .name_offset = AT(cfg_site, name), .mark_offset = AT(cfg_site, mark), .check = config_site_check};

/* ---- checks ---- */

static const struct conf_key check_keys[] = {
    {"module", CONF_VARIANT, AT(cfg_check, module), .registry = "check", .flags = CONF_INLINE | CONF_REQUIRED,
     .doc = "What is done, as in `{http: {path: /}, interval: 5s}`."},
    {"interval", CONF_DURATION, AT(cfg_check, interval_ms), .def = "10s", .min = 100, .max = 86400000,
     .doc = "Time between checks."},
    {"down-interval", CONF_DURATION, AT(cfg_check, down_interval_ms), .def = "0", .min = 0, .max = 86400000,
     .doc = "The same while it is down or undecided; 0 is as `interval`."},
    {"timeout", CONF_DURATION, AT(cfg_check, timeout_ms), .def = "3s", .min = 10, .max = 600000,
     .doc = "A check that takes longer has failed."},
    {"iterations", CONF_UINT, AT(cfg_check, iterations), .def = "1", .min = 1, .max = 100,
     .doc = "Tries per check; all must be good, their mean is its time."},
    {"rise", CONF_UINT, AT(cfg_check, rise), .def = "2", .min = 1, .max = 1000, .doc = "Good checks in a row until up."},
    {"fall", CONF_UINT, AT(cfg_check, fall), .def = "3", .min = 1, .max = 1000,
     .doc = "Failed checks in a row until down."},
    {"average", CONF_DURATION, AT(cfg_check, average_ms), .def = "5m", .min = 1000, .max = 86400000,
     .doc = "Time constant of the average response time."},
    {"flap-limit", CONF_UINT, AT(cfg_check, flap_limit), .def = "0", .min = 0, .max = 1000,
     .doc = "So many changes within `flap-window` keep it down until it has been quiet for `flap-hold`; 0 is never."},
    {"flap-window", CONF_DURATION, AT(cfg_check, flap_window_ms), .def = "5m", .min = 1000, .max = 86400000,
     .doc = "See `flap-limit`."},
    {"flap-hold", CONF_DURATION, AT(cfg_check, flap_hold_ms), .def = "5m", .min = 1000, .max = 86400000,
     .doc = "See `flap-limit`."},
    {"port", CONF_UINT, AT(cfg_check, port), .def = "0", .min = 0, .max = 65535,
     .doc = "Port to check; 0 is the module's own, or, for a server behind an address, the server's."},
    {"host", CONF_STRING, AT(cfg_check, host), .doc = "Host header, SNI or mail name; not said: the service's name."},
};
const struct conf_object config_check_object = {
    .name = "check", .doc = "A status module with its parameters, and when it runs.",
    .size = sizeof(struct cfg_check), CONF_KEYS(check_keys), .mark_offset = AT(cfg_check, mark),
    .check = config_template_check};

/* ---- services ---- */

static const char *const all_down[] = {"all", "last-good", "fallback", "servfail", NULL};

#define CHECK_KEYS(type)                                                                           \
    {"check", CONF_CUSTOM, AT(type, checks), .sub = config_check_list_read,                        \
     .print = config_check_list_print, .type_name = "name of a check or module, a check, or a list of them", \
     .doc = "What must be good for it to be up; `[]` is no check at all."},                        \
        {"checks", CONF_CUSTOM, AT(type, checks), .sub = config_check_list_read, .flags = CONF_ALIAS,       \
         .type_name = "list", .doc = "The same."}

/* Defaults stand in `defaults`; a service has none of its own. */
#define ANSWER_KEYS(type, ttl_def, min_def, max_def, addresses_def, down_def)                      \
    {"policy", CONF_CUSTOM, AT(type, policy), .sub = config_policy_read, .print = config_policy_print, \
     .type_name = "name of a policy or preset, or a list of stages",                               \
     .doc = "How a client's addresses are chosen."},                                               \
        CHECK_KEYS(type),                                                                          \
        {"ttl", CONF_CUSTOM, AT(type, ttl_s), .def = ttl_def, .sub = config_ttl_read,              \
         .print = config_ttl_print, .type_name = "duration in whole seconds up to 255m, or `auto`", \
         .doc = "TTL of the answers; `auto` follows from when the state can next change."},        \
        SECONDS("min-ttl", type, min_ttl_s, min_def, "Least TTL that `auto` gives."),              \
        SECONDS("max-ttl", type, max_ttl_s, max_def, "Greatest TTL that `auto` gives."),           \
        {"addresses", CONF_CUSTOM, AT(type, addresses), .def = addresses_def,                      \
         .sub = config_addresses_read, .print = config_addresses_print,                            \
         .type_name = "whole number, or `all`",                                                    \
         .doc = "Addresses in an answer, best first. Resolvers shuffle them, so more than one spreads clients " \
                "over sites that are not the best."},                                              \
        {"all-down", CONF_ENUM, AT(type, all_down), .def = down_def, .sub = all_down,              \
         .doc = "Answer when nothing is up."}

static const struct conf_key defaults_keys[] = {ANSWER_KEYS(cfg_defaults, "auto", "5s", "60s", "1", "all")};
static const struct conf_object defaults_object = {
    .name = "defaults", .doc = "What services do not say themselves.", .size = sizeof(struct cfg_defaults),
    CONF_KEYS(defaults_keys), .check = config_defaults_check};

static const struct conf_key vip_keys[] = {
    {"address", CONF_ADDR, AT(cfg_vip, addr), .flags = CONF_REQUIRED, .doc = "What clients are told."},
    {"weight", CONF_DOUBLE, AT(cfg_vip, weight), .def = "1", .min = 0, .max = 1e6, .doc = "Share inside its site."},
    {"cost", CONF_DOUBLE, AT(cfg_vip, cost), .def = "0", .min = 0, .max = 1e9, .doc = "On top of the site's cost."},
    {"max-connections", CONF_UINT, AT(cfg_vip, max_connections), .def = "0", .doc = "Capacity; 0 is not limited."},
    CHECK_KEYS(cfg_vip),
};
static const struct conf_object vip_object = {
    .name = "vip", .doc = "An address of the service at this site.", .size = sizeof(struct cfg_vip),
    CONF_KEYS(vip_keys), .shorthand = "address"};

static const struct conf_key service_site_keys[] = {
    {"vips", CONF_OBJECT, AT(cfg_service_site, vips), .sub = &vip_object, .flags = CONF_LIST | CONF_REQUIRED,
     .doc = "Addresses of the service here."},
    {"weight", CONF_DOUBLE, AT(cfg_service_site, weight), .min = 0, .max = 1e6,
     .doc = "Share of this service's clients; not said: the site's."},
    {"cost", CONF_DOUBLE, AT(cfg_service_site, cost), .min = 0, .max = 1e9, .doc = "Not said: the site's."},
    {"priority", CONF_UINT, AT(cfg_service_site, priority), .min = 1, .max = 1000000,
     .doc = "Order of failover, lowest first; not said: the position in this list."},
    {"url", CONF_STRING, AT(cfg_service_site, url),
     .doc = "Where the front end of another site redirects clients to come here; not said: the first address."},
    {"servers", CONF_MAP, AT(cfg_service_site, servers), .sub = &config_server_object,
     .doc = "The servers behind the addresses, for the front end."},
    {"disabled", CONF_BOOL, AT(cfg_service_site, disabled), .def = "no", .doc = "Take it out of the answers."},
};
static const struct conf_object service_site_object = {
    .name = "addresses", .doc = "The service at one site.", .size = sizeof(struct cfg_service_site),
    CONF_KEYS(service_site_keys), .shorthand = "vips", .name_offset = AT(cfg_service_site, name),
    .mark_offset = AT(cfg_service_site, mark), .check = config_service_site_check};

static const struct conf_key service_keys[] = {
    ANSWER_KEYS(cfg_service, NULL, NULL, NULL, NULL, NULL),
    {"fallback", CONF_ADDR, AT(cfg_service, fallback), .flags = CONF_LIST,
     .doc = "Addresses for `all-down: fallback`, which is assumed when they are given."},
    {"aliases", CONF_NAME, AT(cfg_service, aliases), .flags = CONF_LIST, .doc = "More names with the same answers."},
    {"hostnames", CONF_NAME, AT(cfg_service, aliases), .flags = CONF_LIST | CONF_ALIAS, .doc = "The same."},
    {"front", CONF_OBJECT, AT(cfg_service, fronts), .sub = &config_front_object, .flags = CONF_LIST,
     .doc = "What the balancer of a site does with clients that come to the site's addresses; not said: nothing, the "
            "addresses belong to somebody else."},
    {"sites", CONF_MAP, AT(cfg_service, sites), .sub = &service_site_object, .flags = CONF_REQUIRED,
     .doc = "Where it can be had, and under which addresses."},
};
static const struct conf_object service_object = {
    .name = "service", .doc = "A name whose answers are chosen.", .size = sizeof(struct cfg_service),
    CONF_KEYS(service_keys), .name_offset = AT(cfg_service, name), .name_type = CONF_NAME,
    .mark_offset = AT(cfg_service, mark), .check = config_service_check};

/* The order matters: what is referred to is read before what refers to it. */
static const struct conf_key config_keys[] = {
    {"node", CONF_OBJECT, AT(config, node), .sub = &node_object, .doc = "This process."},
    {"dns", CONF_OBJECT, AT(config, dns), .sub = &dns_object, .doc = "The DNS server."},
    {"geo", CONF_OBJECT, AT(config, geo), .sub = &geo_object, .doc = "Where clients are."},
    {"monitor", CONF_OBJECT, AT(config, monitor), .sub = &monitor_object, .doc = "Measuring as a whole."},
    {"api", CONF_OBJECT, AT(config, api), .sub = &api_object, .doc = "Control socket and metrics."},
    {"zones", CONF_MAP, AT(config, zones), .sub = &zone_object, .doc = "What this server is authoritative for."},
    {"sites", CONF_MAP, AT(config, sites), .sub = &site_object, .doc = "Places with addresses."},
    {"mesh", CONF_OBJECT, AT(config, mesh), .sub = &config_mesh_object, .doc = "The other balancers."},
    {"relay", CONF_OBJECT, AT(config, relay), .sub = &config_relay_object, .doc = "Moving packets and connections."},
    {"catalog", CONF_OBJECT, AT(config, catalog), .sub = &config_catalog_object, .doc = "Content that differs between nodes."},
    {"checks", CONF_CUSTOM, AT(config, checks), .sub = config_checks_read, .print = config_checks_print,
     .type_name = "map by name of checks", .doc = "Checks to refer to by name."},
    {"policies", CONF_CUSTOM, AT(config, policies), .sub = config_policies_read, .print = config_policies_print,
     .type_name = "map by name of lists of stages", .doc = "Policies to refer to by name."},
    {"defaults", CONF_OBJECT, AT(config, defaults), .sub = &defaults_object, .doc = "What services do not say."},
    {"services", CONF_MAP, AT(config, services), .sub = &service_object, .doc = "Names whose answers are chosen."},
};
const struct conf_object config_object = {
    .name = "configuration", .doc = "One YAML file. `include: [more.yaml, conf.d/*.yaml]` adds others to it.",
    .size = sizeof(struct config), CONF_KEYS(config_keys)};
