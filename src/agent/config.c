/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config.h"

#include <stddef.h>
#include <string.h>
#include "conf/load.h"

#define AT(type, field) offsetof(struct type, field)

enum { BALANCER_PORT = 7947, NAME_MAX_LEN = 63 };

static const char *const log_levels[] = {"error", "warn", "notice", "info", "debug", NULL};

static const struct conf_key balancer_keys[] = {
    {"addresses", CONF_ENDPOINT, AT(agent_balancer, addresses), .min = BALANCER_PORT, .flags = CONF_LIST | CONF_REQUIRED,
     .doc = "Where it listens for agents (its `relay.agents`), tried in this order. The port is 7947 when not said."},
};
static const struct conf_object balancer_object = {
    .name = "balancer", .doc = "A balancer, by the name in its certificate.", .size = sizeof(struct agent_balancer),
    CONF_KEYS(balancer_keys), .shorthand = "addresses", .name_offset = AT(agent_balancer, name)};

static void check_root(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct agent_root *r = object;
    if (r->dir && r->dir[0] != '/')
        conf_error_mark(ctx, &r->mark, "a document root is an absolute path, like /var/www/html");
    if (r->prefix && r->prefix[0] != '/')
        conf_error(ctx, node, "`prefix` begins with a slash");
}

static const struct conf_key root_keys[] = {
    {"host", CONF_STRING, AT(agent_root, hosts), .flags = CONF_LIST | CONF_REQUIRED, .doc = "Virtual hosts whose files are in it."},
    {"prefix", CONF_STRING, AT(agent_root, prefix), .def = "/", .doc = "What its files' URLs begin with."},
    {"writable", CONF_BOOL, AT(agent_root, writable), .def = "no",
     .doc = "Whether balancers may have files copied to it and removed from it (content directory)."},
};
static const struct conf_object root_object = {
    .name = "root", .doc = "A folder whose files the web server serves.", .size = sizeof(struct agent_root),
    CONF_KEYS(root_keys), .shorthand = "host", .name_offset = AT(agent_root, dir), .mark_offset = AT(agent_root, mark),
    .check = check_root};

static void check_agent(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct agent_config *c = object;
    if (c->name && (!*c->name || strlen(c->name) > NAME_MAX_LEN))
        conf_error(ctx, node, "`name` has 1 to %d bytes", NAME_MAX_LEN);
    if (!c->balancers.count)
        conf_error(ctx, node, "`balancers` names nobody to report to");
}

static const struct conf_key agent_keys[] = {
    {"name", CONF_STRING, AT(agent_config, name), .flags = CONF_REQUIRED,
     .doc = "Name of this node: that in its certificate, and what balancers call it in a server's `agent`."},
    {"ca", CONF_PATH, AT(agent_config, ca), .def = "/etc/pointsman/keys/ca.pem", .doc = "Authority of the fleet."},
    {"certificate", CONF_PATH, AT(agent_config, certificate),
     .doc = "This node's certificate (`pointsman keys issue`). Not said: NAME.pem in the folder of the authority."},
    {"key", CONF_PATH, AT(agent_config, key), .doc = "The certificate's key. Not said: it is in the certificate's file."},
    {"balancers", CONF_MAP, AT(agent_config, balancers), .sub = &balancer_object, .doc = "Who is reported to, and believed."},
    {"interfaces", CONF_STRING, AT(agent_config, interfaces), .flags = CONF_LIST,
     .doc = "Where hand-off packets come in, and answers leave: the packet programs are attached there. None: connections are "
            "not taken over, the agent only reports."},
    {"keep-sockets", CONF_BOOL, AT(agent_config, keep_sockets), .def = "yes",
     .doc = "Whether a connection that comes and goes finds its socket again: it is kept for a second after the connection has left, "
            "and to the web server is idle meanwhile. Otherwise each visit is a new connection to the server."},
    {"addresses", CONF_BOOL, AT(agent_config, addresses), .def = "yes",
     .doc = "Whether the services' addresses are put on lo, without answering ARP for them, as balancers say."},
    {"roots", CONF_MAP, AT(agent_config, roots), .sub = &root_object, .doc = "Document roots, by folder: what is reported as this node's content."},
    {"rate", CONF_SIZE, AT(agent_config, rate), .def = "20M", .flags = CONF_OFF, .doc = "Bytes a second that copies may take, in all."},
    {"reserve", CONF_SIZE, AT(agent_config, reserve), .def = "1G", .doc = "Room that copies leave free."},
    {"at-once", CONF_UINT, AT(agent_config, at_once), .def = "4", .min = 1, .max = 64, .doc = "Copies at the same time."},
    {"log-level", CONF_ENUM, AT(agent_config, log_level), .def = "notice", .sub = log_levels,
     .doc = "Least important lines that are still logged."},
};
const struct conf_object agent_config_object = {
    .name = "agent", .doc = "Configuration of `pointsman agent`, on the nodes.", .size = sizeof(struct agent_config),
    CONF_KEYS(agent_keys), .check = check_agent};

int agent_config_load(const char *path, struct agent_config **out, struct conf_diag *diag)
{
    struct arena *arena = arena_new();
    struct agent_config *c = ARENA_NEW(arena, struct agent_config);
    size_t errors = conf_diag_errors(diag);
    struct conf_ctx *ctx = conf_ctx_new(arena, diag, c);
    const struct conf_node *root = conf_read_file(ctx, path);
    *out = NULL;
    if (root)
        (void)conf_object_read(ctx, root, &agent_config_object, c);
    conf_ctx_free(ctx);
    c->arena = arena;
    if (!root || conf_diag_errors(diag) != errors) {
        agent_config_free(c);
        return PM_ECONFIG;
    }
    *out = c;
    return PM_OK;
}

void agent_config_free(struct agent_config *c)
{
    if (c)
        arena_free(c->arena);
}
