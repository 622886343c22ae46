/* SPDX-License-Identifier: Apache-2.0 */
/* The table of `relay`: moving packets and connections instead of serving them. */
#include "model/config_build.h"

#define AT(type, field) offsetof(struct type, field)

static const struct conf_key relay_keys[] = {
    {"interfaces", CONF_STRING, AT(cfg_relay, interfaces), .flags = CONF_LIST,
     .doc = "Where packets for the site's addresses come in; none: nothing is relayed, front ends serve it all."},
    {"key", CONF_PATH, AT(cfg_relay, key), .def = "/etc/pointsman/keys/relay.key",
     .doc = "Secret of the site's balancers, 32 bytes; made at the first start. Balancers of one site must have the same; nodes "
            "get from it what they need to believe them."},
    {"pin", CONF_PATH, AT(cfg_relay, pin), .def = "/sys/fs/bpf/pointsman",
     .doc = "Folder in a BPF file system where programs and tables outlast this process: relaying goes on while it restarts."},
    {"agents", CONF_ENDPOINT, AT(cfg_relay, agents), .min = CFG_AGENT_PORT, .flags = CONF_LIST,
     .doc = "Where the agents of this site's nodes call (`pointsman agent`), by the certificates of `mesh`. The port is 7947 when "
            "not said. None: nodes report nothing, and take nothing over but by other means."},
    {"peers", CONF_ENDPOINT, AT(cfg_relay, peers), .min = CFG_RELAY_PEER_PORT, .flags = CONF_LIST,
     .doc = "The site's other balancers, which have the same `key`: they are told of connections as these begin, move and end, "
            "over UDP, encrypted; the port is 6083 when not said. Each names the others by the addresses these send from."},
    {"peer-port", CONF_UINT, AT(cfg_relay, peer_port), .def = "6083", .min = 1, .max = 65535,
     .doc = "UDP port on which this one hears of theirs."},
    {"takeover", CONF_DURATION, AT(cfg_relay, takeover_ms), .def = "5s", .min = 3000, .max = 3600000, .flags = CONF_OFF,
     .doc = "With `peers`: the packet program answers no new connections when it has heard nothing of this process for so long, so "
            "that they come to another balancer. Without: only after this process was stopped. What has begun goes on. off: it "
            "answers for ever."},
    {"flows", CONF_UINT, AT(cfg_relay, flows), .def = "1048576", .min = 1024, .max = 1 << 26,
     .doc = "Connections remembered at once; the least used make room for new ones, and are found again at the nodes."},
    {"find-rate", CONF_UINT, AT(cfg_relay, find_rate), .def = "5000", .max = 10000000,
     .doc = "Packets of unknown connections that are offered to the nodes, or answered with a reset where no node has them, per second "
            "and CPU; more are dropped."},
    {"icmp-rate", CONF_UINT, AT(cfg_relay, icmp_rate), .def = "1000", .max = 10000000,
     .doc = "How often clients are told that a packet is too big for the way to its node, per second and CPU."},
    {"mtu", CONF_UINT, AT(cfg_relay, mtu), .def = "1500", .min = 1280, .max = 65535,
     .doc = "Largest packet on the way to every node. Clients are told a segment size that leaves room for the hand-off header."},
};
const struct conf_object config_relay_object = {
    .name = "relay", .doc = "Packets and connections that are moved on, not served: what the front ends' `relay` needs.",
    .size = sizeof(struct cfg_relay), CONF_KEYS(relay_keys), .shorthand = "interfaces"};
