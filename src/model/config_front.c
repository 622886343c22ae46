/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of `front` and `servers`: what happens on a site's addresses. */
#include <string.h>
#include <strings.h>
#include "model/config_build.h"
#include "model/holds.h"
#include "model/quic_id.h"

#define AT(type, field) offsetof(struct type, field)

enum { HOUR_MS = 3600000, DAY_MS = 86400000, SERVER_WEIGHT_MAX = 256 };

/* In the order of the enums of frontend/table.h. */
static const char *const modes[] = {"serve", "redirect", "tcp", "ftp", NULL};
static const char *const balances[] = {"round-robin", "least-connections", "least-loaded", "client", NULL};
static const char *const stickies[] = {"off", "cookie", "client", NULL};
static const char *const proxies[] = {"off", "v1", "v2", NULL};
static const char *const targets[] = {"site", "server", NULL};
static const char *const busies[] = {"error", "drop", NULL};
static const char *const relays[] = {"off", "packets", "clients", "transfer", NULL};
static const char *const vias[] = {"auto", "lan", "hops", NULL};
static const char *const quics[] = {"auto", "on", "off", NULL};
static const char *const quic_configs[] = {"any", "0", "1", "2", "3", "4", "5", "6", NULL};
static const char *const guards[] = {"host", "query", "cookie", NULL};

static const struct conf_key rewrite_keys[] = {
    {"match", CONF_STRING, AT(cfg_rewrite, match), .flags = CONF_REQUIRED,
     .doc = "Prefix of the path, or a pattern over path and query."},
    {"to", CONF_STRING, AT(cfg_rewrite, to), .flags = CONF_REQUIRED,
     .doc = "What stands in its place; $1 .. $9 are a pattern's groups. May be a whole URL when `status` is set."},
    {"regex", CONF_BOOL, AT(cfg_rewrite, regex), .def = "no", .doc = "Whether `match` is a PCRE2 pattern."},
    {"status", CONF_UINT, AT(cfg_rewrite, status), .def = "0", .min = 0, .max = 308,
     .doc = "301, 302, 307 or 308: the client is told; 0: the server is asked for the new place."},
};
static void rewrite_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct cfg_rewrite *r = object;
    if (r->status && r->status != 301 && r->status != 302 && r->status != 307 && r->status != 308)
        conf_error(ctx, node, "a rewrite's status is 301, 302, 307 or 308, or not said");
}
static const struct conf_object rewrite_object = {.name = "rewrite",
                                                  .doc = "Moves a part of the paths.",
                                                  .size = sizeof(struct cfg_rewrite),
                                                  CONF_KEYS(rewrite_keys),
                                                  .check = rewrite_check};

#define TIME(name, field, default, doc_text)                                                                           \
    {                                                                                                                  \
        name, CONF_DURATION, AT(cfg_front_times, field), .def = default, .min = 1, .max = DAY_MS, .doc = doc_text      \
    }
static const struct conf_key times_keys[] = {
    TIME("idle", idle_ms, "60s", "A client without a request."),
    TIME("head", head_ms, "10s", "From the first to the last byte of a request's head."),
    TIME("stall", stall_ms, "30s", "No byte of a body moves, either way."),
    TIME("connect", connect_ms, "3s", "To a server."),
    TIME("response", response_ms, "60s", "From the request to the first byte of the response."),
    TIME("queue", queue_ms, "5s", "Waiting for a free place at a server."),
    TIME("tunnel", tunnel_ms, "1h", "No byte moves in a TCP connection or after an upgrade."),
    TIME("pool", pool_ms, "30s", "An unused connection to a server is kept."),
};
static const struct conf_object times_object = {.name = "timeouts",
                                                .doc = "How long the front end waits for what.",
                                                .size = sizeof(struct cfg_front_times),
                                                CONF_KEYS(times_keys)};

static const struct conf_key quic_ids_keys[] = {
    {"length", CONF_UINT, AT(cfg_quic_ids, length), .min = 1, .max = QUIC_ID_MAX, .flags = CONF_REQUIRED,
     .doc = "Bytes of a server's id."},
    {"offset", CONF_UINT, AT(cfg_quic_ids, offset), .def = "1", .max = 19, .doc = "Bytes of the connection id before it."},
    {"config", CONF_ENUM, AT(cfg_quic_ids, config), .def = "any", .sub = quic_configs,
     .doc = "Only where the first three bits of the connection id are this number, so that several forms can be in use at once; any: "
            "they are not looked at."},
};
static const struct conf_object quic_ids_object = {.name = "quic-ids",
                                                   .doc = "Where servers put their ids into the QUIC connection ids they make.",
                                                   .size = sizeof(struct cfg_quic_ids),
                                                   CONF_KEYS(quic_ids_keys),
                                                   .shorthand = "length",
                                                   .mark_offset = AT(cfg_quic_ids, mark)};

static const struct conf_key front_keys[] = {
    {"mode", CONF_ENUM, AT(cfg_front, mode), .def = "serve", .sub = modes,
     .doc = "serve: HTTP, passed on to the site's servers. redirect: HTTP, sent to the chosen site or server. tcp: "
            "connections, "
            "passed on. ftp: control and data connections, to one server."},
    {"ports", CONF_UINT, AT(cfg_front, ports), .min = 1, .max = 65535, .flags = CONF_LIST,
     .doc = "Ports of the site's addresses; not said: 80 for HTTP, 21 for FTP."},
    {"server-port", CONF_UINT, AT(cfg_front, server_port), .def = "0", .min = 0, .max = 65535,
     .doc = "Port at the servers; 0: as each server says. With mode tcp and transfer the first of `ports` stands for 80."},
    {"balance", CONF_ENUM, AT(cfg_front, balance), .def = "round-robin", .sub = balances,
     .doc = "Which server is next."},
    {"sticky", CONF_ENUM, AT(cfg_front, sticky), .def = "off", .sub = stickies,
     .doc = "cookie: a client comes back to its server by a cookie; client: by its address."},
    {"cookie", CONF_STRING, AT(cfg_front, cookie), .def = "pm-server", .doc = "Name of that cookie."},
    {"proxy-protocol", CONF_ENUM, AT(cfg_front, proxy), .def = "off", .sub = proxies,
     .doc = "Tells the servers who the client is, in front of each connection."},
    {"forwarded-for", CONF_BOOL, AT(cfg_front, forwarded_for), .def = "yes", .doc = "Adds X-Forwarded-For."},
    {"target", CONF_ENUM, AT(cfg_front, target), .def = "site", .sub = targets,
     .doc = "redirect: to a site, or to a server of this one."},
    {"overload-redirect", CONF_BOOL, AT(cfg_front, overload_redirect), .def = "yes",
     .doc = "At max-connections, or without a healthy server, HTTP clients are redirected to the next site (A10)."},
    {"loop-guard", CONF_ENUM, AT(cfg_front, guard), .def = "host", .sub = guards,
     .doc = "How such redirects are kept from going in circles. host: who came by a site's own `url` stays. query, "
            "cookie: the sites "
            "tried are marked there, so that several may be tried."},
    {"busy", CONF_ENUM, AT(cfg_front, busy), .def = "error", .sub = busies,
     .doc = "When there is nowhere else: 503, or the connection is dropped."},
    {"queue", CONF_UINT, AT(cfg_front, queue), .def = "1024", .max = 1e6,
     .doc = "Requests that may wait for a place at a server, per thread."},
    {"retries", CONF_UINT, AT(cfg_front, retries), .def = "3", .min = 0, .max = 100,
     .doc = "Further servers that are tried, as long as the request can be sent again."},
    {"slow-start", CONF_DURATION, AT(cfg_front, slow_start_ms), .def = "0", .min = 0, .max = HOUR_MS,
     .doc = "How long a server that comes up takes to get its whole share; 0: at once."},
    {"pool", CONF_UINT, AT(cfg_front, pool), .def = "256", .min = 0, .max = 65536,
     .doc = "Unused connections kept per server and thread."},
    {"timeouts", CONF_OBJECT, AT(cfg_front, times), .sub = &times_object, .doc = "How long it waits for what."},
    {"rewrites", CONF_OBJECT, AT(cfg_front, rewrites), .sub = &rewrite_object, .flags = CONF_LIST,
     .doc = "Paths that have moved; the first that fits."},
    {"relay", CONF_ENUM, AT(cfg_front, relay), .def = "off", .sub = relays,
     .doc = "What the servers, which have the site's addresses themselves, get from the packet relay; they answer clients "
            "directly. packets: all of a connection to one of them, UDP too. clients: all that a client sends. transfer: a TCP "
            "connection goes to a server that holds what its first request asks for, and moves when a later one asks for "
            "something else; with mode tcp, to a server of the name in its TLS greeting, and stays. What the relay cannot do, the "
            "front end does."},
    {"quic", CONF_ENUM, AT(cfg_front, quic), .def = "auto", .sub = quics,
     .doc = "relay: packets: whether UDP is QUIC there, so that a client keeps its server when its address or port changes. auto: "
            "port 443 is."},
    {"quic-ids", CONF_OBJECT, AT(cfg_front, quic_ids), .sub = &quic_ids_object, .flags = CONF_LIST,
     .doc = "QUIC: where the servers put their `quic-id` into the connection ids they make, unencrypted "
            "(draft-ietf-quic-load-balancers); none: they do not, and only ids that a client has used before are known."},
    {"policy", CONF_CUSTOM, AT(cfg_front, policy), .sub = config_policy_read, .print = config_policy_print,
     .type_name = "name of a policy or preset, or a list of stages",
     .doc = "relay: which server. Not said: `resonate` for transfer, else `weighted`."},
    {"check", CONF_CUSTOM, AT(cfg_front, checks), .sub = config_check_list_read, .print = config_check_list_print,
     .type_name = "name of a check or module, a check, or a list of them",
     .doc = "What must be good for a server to be up; not said: connections alone tell."},
};
const struct conf_object config_front_object = {.name = "front",
                                                .doc = "The front end of a service.",
                                                .size = sizeof(struct cfg_front),
                                                CONF_KEYS(front_keys),
                                                .shorthand = "mode",
                                                .mark_offset = AT(cfg_front, mark),
                                                .check = config_front_check};

static const struct conf_key server_keys[] = {
    {"address", CONF_ENDPOINT, AT(cfg_server, at), .min = 80, .flags = CONF_REQUIRED,
     .doc = "Where it is; the port is 80 when not said."},
    {"weight", CONF_UINT, AT(cfg_server, weight), .def = "1", .min = 0, .max = SERVER_WEIGHT_MAX,
     .doc = "Its share; 0: only clients that stick to it."},
    {"max-connections", CONF_UINT, AT(cfg_server, max_connections), .def = "0",
     .doc = "In use at once; 0 is not limited."},
    {"url", CONF_STRING, AT(cfg_server, url), .doc = "For redirects to it; not said: its address."},
    {"via", CONF_ENUM, AT(cfg_server, via), .def = "auto", .sub = vias,
     .doc = "relay: how packets reach it. lan: by link address, unchanged. hops: in UDP, through routers. auto: lan where it is a "
            "neighbour."},
    {"agent", CONF_STRING, AT(cfg_server, agent),
     .doc = "Name of the agent on its machine, as in that one's certificate. What it reports (load, content) is believed of this "
            "server."},
    {"rack", CONF_STRING, AT(cfg_server, rack),
     .doc = "Servers with the same one fail together (a rack, a room). The catalog keeps copies in more than one, where it can."},
    {"quic-id", CONF_STRING, AT(cfg_server, quic_ids), .flags = CONF_LIST,
     .doc = "relay: what it puts into QUIC connection ids, in hexadecimal digits; one for each length in the front's `quic-ids`."},
    {"holds", CONF_STRING, AT(cfg_server, holds), .flags = CONF_LIST,
     .doc = "transfer: what it has: paths, `/folders/`, `*.suffixes`, each after a host if there are several. What no server "
            "names, servers without this list have. Of TLS only whole hosts count, as `www.example.com/`."},
    {"alpn", CONF_STRING, AT(cfg_server, alpn), .flags = CONF_LIST,
     .doc = "mode tcp, transfer: protocols for which it is there (`h2`, `http/1.1`, `acme-tls/1`): it gets clients that offer one, "
            "the one a client names first. Who offers none that a server names goes to servers without this list."},
    {"h2c", CONF_BOOL, AT(cfg_server, h2c), .def = "no",
     .doc = "mode serve, transfer: it speaks HTTP/2 in clear text too, and holds all that is asked for so: such connections are not "
            "looked into."},
};
const struct conf_object config_server_object = {.name = "server",
                                                 .doc = "A server behind a site's addresses.",
                                                 .size = sizeof(struct cfg_server),
                                                 CONF_KEYS(server_keys),
                                                 .shorthand = "address",
                                                 .name_offset = AT(cfg_server, name),
                                                 .mark_offset = AT(cfg_server, mark)};

static bool url_ok(const char *url)
{
    return !url || ((strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) && strlen(url) > 8 &&
                    url[strlen(url) - 1] != '/');
}

static void server_check(struct conf_ctx *ctx, const struct cfg_server *v)
{
    struct hold h;
    if (!url_ok(v->url))
        conf_error_mark(ctx, &v->mark, "the url begins with http:// or https:// and has no slash at its end");
    for (uint32_t i = 0; i < v->holds.count; i++) {
        const char *text = ((const char *const *)v->holds.items)[i];
        if (!hold_parse(text, &h))
            conf_error_mark(ctx, &v->mark, "'%s' is no path, /folder/ or *.suffix, with or without a host in front", text);
    }
}

static void quic_check(struct conf_ctx *ctx, const struct conf_node *node, const struct cfg_front *f)
{
    uint32_t used = 0;
    if (f->quic_ids.count && f->relay != CFG_RELAY_PACKETS)
        conf_error(ctx, node, "'quic-ids' need 'relay: packets'");
    if (f->quic_ids.count && f->quic == CFG_QUIC_OFF)
        conf_error(ctx, node, "'quic-ids' and 'quic: off' do not go together");
    CONFIG_EACH(struct cfg_quic_ids, q, f->quic_ids) {
        uint32_t bits = q->config == CFG_QUIC_ANY ? 0xff : 1u << (q->config - 1);
        if (q->offset + q->length > 20)
            conf_error_mark(ctx, &q->mark, "a connection id has 20 bytes at most");
        if (q->config != CFG_QUIC_ANY && !q->offset)
            conf_error_mark(ctx, &q->mark, "the first byte of the connection id says the 'config': the id is behind it");
        if (used & bits)
            conf_error_mark(ctx, &q->mark, "one of 'quic-ids' has this 'config' already");
        used |= bits;
    }
}

/* Each server's id is its own, and as long as one of the forms. */
static void quic_servers_check(struct conf_ctx *ctx, const struct cfg_service *s, const struct cfg_service_site *at)
{
    uint32_t lengths = 0;
    CONFIG_EACH(struct cfg_front, f, s->fronts)
        CONFIG_EACH(struct cfg_quic_ids, q, f->quic_ids)
            lengths |= 1u << q->length;
    CONFIG_EACH(struct cfg_server, v, at->servers) {
        for (uint32_t i = 0; i < v->quic_ids.count; i++) {
            const char *text = ((const char *const *)v->quic_ids.items)[i];
            uint8_t id[QUIC_ID_MAX];
            size_t n = quic_id_parse(text, id);
            if (!n)
                conf_error_mark(ctx, &v->mark, "'%s' is no id of 1 to 15 bytes in hexadecimal digits", text);
            else if (!(lengths >> n & 1))
                conf_error_mark(ctx, &v->mark, "no 'quic-ids' of this service's front have the length of '%s', %zu", text, n);
            CONFIG_EACH(struct cfg_server, o, at->servers)
                for (uint32_t k = 0; o < v && k < o->quic_ids.count; k++)
                    if (strcasecmp(text, ((const char *const *)o->quic_ids.items)[k]) == 0)
                        conf_error_mark(ctx, &v->mark, "server '%s' has the quic-id '%s' already", o->name, text);
        }
    }
}

void config_front_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct cfg_front *f = object;
    if (f->mode == CFG_FRONT_TCP && !f->ports.count)
        conf_error(ctx, node, "a front end of mode tcp needs 'ports'");
    if (f->relay == CFG_RELAY_TRANSFER)
        config_transfer_check(ctx, node, f);
    if ((f->relay == CFG_RELAY_PACKETS || f->relay == CFG_RELAY_CLIENTS) && f->mode != CFG_FRONT_TCP &&
        f->mode != CFG_FRONT_SERVE)
        conf_error(ctx, node, "packets are relayed for the modes tcp and serve");
    if (f->relay == CFG_RELAY_TRANSFER && f->sticky == 1)
        conf_error(ctx, node, "a transferred connection gets no cookie of ours: 'sticky' can be client or off");
    quic_check(ctx, node, f);
    if (f->relay && !f->policy)
        f->policy = config_preset_policy(ctx, f->relay == CFG_RELAY_TRANSFER ? "resonate" : "weighted");
    if (f->mode == CFG_FRONT_TCP && f->sticky == 1)
        conf_error(ctx, node, "a TCP connection has no cookie: 'sticky' can be client or off");
}

/* What only shows when the service is whole. */
void config_fronts_check(struct conf_ctx *ctx, const struct cfg_service *s)
{
    CONFIG_EACH(struct cfg_front, f, s->fronts) {
        bool needs = f->mode != CFG_FRONT_REDIRECT || f->target == 1, any = false;
        CONFIG_EACH(struct cfg_service_site, at, s->sites)
            any |= at->servers.count > 0;
        if (needs && !any)
            conf_error_mark(ctx, &f->mark, "no site of service '%s' has 'servers'", s->name);
    }
    CONFIG_EACH(struct cfg_service_site, at, s->sites) {
        if (!url_ok(at->url))
            conf_error_mark(ctx, &at->mark, "the url begins with http:// or https:// and has no slash at its end");
        CONFIG_EACH(struct cfg_server, v, at->servers)
            server_check(ctx, v);
        quic_servers_check(ctx, s, at);
        config_transfer_servers_check(ctx, s, at);
    }
}
