/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of `mesh`: how this balancer and the others know each other. */
#include <string.h>
#include "model/config_build.h"

#define AT(type, field) offsetof(struct type, field)

enum { DAY_MS = 86400000, UPDATE_MAX_MS = 120 * 60000 };

static const struct conf_key peer_keys[] = {
    {"addresses", CONF_ENDPOINT, AT(cfg_peer, addresses), .min = CFG_MESH_PORT, .flags = CONF_LIST,
     .doc = "Where it listens, tried in this order; none: it calls us. The port is 7946 when not said."},
    {"address", CONF_ENDPOINT, AT(cfg_peer, addresses), .min = CFG_MESH_PORT, .flags = CONF_LIST | CONF_ALIAS,
     .doc = "The same, for one."},
    {"site", CONF_STRING, AT(cfg_peer, site),
     .doc = "The site it stands at. What it says of itself in another one does not count."},
    {"region", CONF_STRING, AT(cfg_peer, region), .doc = "Its region; not said: what it says itself."},
};
static const struct conf_object peer_object = {
    .name = "peer", .doc = "Another balancer, by the name in its certificate.", .size = sizeof(struct cfg_peer),
    CONF_KEYS(peer_keys), .shorthand = "addresses", .name_offset = AT(cfg_peer, name),
    .mark_offset = AT(cfg_peer, mark), .check = config_peer_check};

static const struct conf_key nats_keys[] = {
    {"servers", CONF_STRING, AT(cfg_nats, servers), .flags = CONF_LIST, .doc = "nats:// or tls:// addresses of the cluster."},
    {"subject", CONF_STRING, AT(cfg_nats, subject), .def = "pointsman", .doc = "First word of the subjects used."},
    {"credentials", CONF_PATH, AT(cfg_nats, credentials), .doc = "A credentials file of the NATS account."},
    {"ca", CONF_PATH, AT(cfg_nats, ca), .doc = "PEM file of the authorities of the NATS servers."},
};
static const struct conf_object nats_object = {
    .name = "nats", .doc = "State exchange over a NATS cluster, for fleets beyond a hundred balancers.",
    .size = sizeof(struct cfg_nats), CONF_KEYS(nats_keys), .shorthand = "servers"};

static const struct conf_key mesh_keys[] = {
    {"listen", CONF_ENDPOINT, AT(cfg_mesh, listen), .min = CFG_MESH_PORT, .flags = CONF_LIST,
     .doc = "Where the other balancers find this one; the port is 7946 when not said. Not said: the addresses it has itself among "
            "`peers`; none there either: only it calls."},
    {"region", CONF_STRING, AT(cfg_mesh, region), .def = "default",
     .doc = "Balancers of one region all talk to each other, regions through relays."},
    {"ca", CONF_PATH, AT(cfg_mesh, ca), .def = "/etc/pointsman/keys/ca.pem",
     .doc = "The authority that the balancers' certificates come from (`pointsman keys`)."},
    {"certificate", CONF_PATH, AT(cfg_mesh, certificate),
     .doc = "This balancer's certificate, for `node.name`. Not said: NAME.pem beside the authority's file."},
    {"key", CONF_PATH, AT(cfg_mesh, key), .doc = "The certificate's key. Not said: it is in the certificate's file."},
    {"peers", CONF_MAP, AT(cfg_mesh, peers), .sub = &peer_object, .doc = "The balancers. This one may be among them, so that all can include one file."},
    {"update", CONF_DURATION, AT(cfg_mesh, update_ms), .def = "1m", .min = 1000, .max = UPDATE_MAX_MS, .flags = CONF_OFF,
     .doc = "How often this balancer tells the others what has moved; changes of health and what operators say go at once. off: only "
            "those."},
    {"expire", CONF_DURATION, AT(cfg_mesh, expire_ms), .def = "5m", .min = 1000, .max = DAY_MS,
     .doc = "What a balancer has said counts for so long after it was last heard of."},
    {"quorum", CONF_UINT, AT(cfg_mesh, quorum), .def = "2", .min = 0, .max = 4096,
     .doc = "A VIP that so many other balancers cannot reach is down here, too; 0: only this balancer's own view counts. What "
            "it cannot reach itself, or what the balancers of its own site call down, is down in any case."},
    {"quorum-delay", CONF_DURATION, AT(cfg_mesh, quorum_delay_ms), .def = "5s", .min = 0, .max = DAY_MS,
     .doc = "So long they must have said so before they outvote what this balancer can reach: after a partition each side first calls "
            "the other down."},
    {"sign", CONF_BOOL, AT(cfg_mesh, sign), .def = "yes",
     .doc = "Records carry their writer's signature, so that whoever passes them on can change nothing. All balancers must say the same; "
            "it costs each writer about 30 us per record, each reader 80."},
    {"nats", CONF_OBJECT, AT(cfg_mesh, nats), .sub = &nats_object, .doc = "A NATS cluster in place of direct connections."},
};
const struct conf_object config_mesh_object = {
    .name = "mesh", .doc = "Exchange of state with the other balancers (DSSP).", .size = sizeof(struct cfg_mesh),
    CONF_KEYS(mesh_keys), .check = config_mesh_check};

void config_peer_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct cfg_peer *p = object;
    if (p->name && strlen(p->name) > CFG_NODE_NAME_MAX)
        conf_error_mark(ctx, &p->mark, "a node's name has at most %d bytes", CFG_NODE_NAME_MAX);
    if (p->site)
        (void)config_site_named(ctx, node, "site", p->site);
}

void config_mesh_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct cfg_mesh *m = object;
    const struct config_build *b = conf_user(ctx);
    if ((m->peers.count || m->nats.servers.count) && strlen(b->config->node.name) > CFG_NODE_NAME_MAX)
        conf_error(ctx, node, "the node's name has more than %d bytes", CFG_NODE_NAME_MAX);
}
