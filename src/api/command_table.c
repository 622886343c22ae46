/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of commands. */
#include "api/commands.h"

#define ARGS(table)   .args = (table), .arg_count = PM_ARRAY_LEN(table)
#define FIELDS(table) .fields = (table), .field_count = PM_ARRAY_LEN(table)

static const struct api_field status_fields[] = {
    {"version", "string", "Version of the daemon."},
    {"now", "time", "The daemon's clock."},
    {"started", "time", "When it started."},
    {"uptime-s", "integer", "Seconds since then."},
    {"generation", "integer",
     "Number of the snapshot's generation: one more with each reload of configuration or geography."},
    {"hold", "boolean",
     "Nearly every check failed at once, so all states are held: the fault is taken to be near the daemon."},
    {"sites", "integer", "Sites configured."},
    {"services", "integer", "Services configured."},
    {"vips", "object",
     "Number of VIPs: total, by health (up, down, unknown, unchecked), and by operator's word (enabled, "
     "drained, disabled)."},
    {"checks", "object", "Number of checks: total, and by state (up, down, unknown)."},
    {"overrides", "integer", "Operators' words in force."},
    {"counters", "object",
     "Every counter of the daemon by name, summed over its labels: total, and per-second since the start."},
    {"...", "", "Further members come from the parts of the daemon: listening sockets and the like."},
};

static const struct api_arg site_args[] = {
    {"site", API_TEXT, API_POSITIONAL, 0, 0, NULL, "Only this site; its services are then listed by name."},
};
static const struct api_field site_fields[] = {
    {"sites[].name", "string", "Name of the site."},
    {"sites[].country", "string",
     "As configured; so are continent, region, location ([latitude, longitude]) and asn."},
    {"sites[].vips", "object", "Number of VIPs: total, by health, and by operator's word."},
    {"sites[].override", "string",
     "The operator's word for all VIPs of the site: none, enabled, drained, disabled, or mixed."},
    {"sites[].services", "integer", "How many services have a VIP here."},
    {"sites[].service-names", "array", "Their names; only with the argument `site`."},
};

static const struct api_arg vip_args[] = {
    {"site", API_TEXT, 0, 0, 0, NULL, "Only VIPs of this site."},
    {"service", API_TEXT, 0, 0, 0, NULL, "Only VIPs of this service (its name or an alias)."},
    {"address", API_TEXT, API_POSITIONAL, 0, 0, NULL, "Only VIPs with this address."},
    {"problems", API_FLAG, 0, 0, 0, "no",
     "Troubled VIPs first: down, disabled, drained, unstable, unknown, then the rest."},
    {"limit", API_COUNT, 0, 1, 100000, "1000", "How many to show."},
};
static const struct api_field vip_fields[] = {
    {"total", "integer", "How many VIPs fit the filters; `vips` holds the first `limit` of them."},
    {"vips[].address", "address", "Address of the VIP."},
    {"vips[].service", "string", "Service it belongs to."},
    {"vips[].site", "string", "Site it is at."},
    {"vips[].health", "string", "What is measured: up, down, unknown (no verdict yet), unchecked (it has no check)."},
    {"vips[].override", "string", "What an operator said: none, enabled, drained, disabled."},
    {"vips[].flapping", "boolean", "It changed too often and is held down until it has been quiet for a while."},
    {"vips[].restored", "boolean", "The state comes from before the restart; no check has confirmed it yet."},
    {"vips[].response-time", "number",
     "Measured values by name, where there are any: response-time (ms), throughput (B/s), hops, connections, load."},
    {"vips[].seen-ms-ago", "integer", "Age of the last observation; null before the first."},
    {"vips[].changed-ms-ago", "integer", "Age of the last change of health; null when it never changed."},
    {"vips[].why", "string", "Reason of the last failure; null when there was none."},
    {"vips[].checks[].key", "string", "Identity of the check."},
    {"vips[].checks[].module", "string", "Its kind: tcp, http ..."},
    {"vips[].checks[].state", "string", "up, down or unknown."},
    {"vips[].checks[].flapping", "boolean",
     "Held down because it changed too often; `held`: frozen by the own-network rule."},
    {"vips[].checks[].last-status", "string", "How the last iteration ended; `why` says more of the last failure."},
    {"vips[].checks[].response-ms", "number",
     "Time-weighted average duration of good checks; `last-ms`: the last one."},
    {"vips[].checks[].throughput-bps", "number", "Bytes per second; null when not measured."},
    {"vips[].checks[].hops", "integer", "Routers between; null when not measured."},
    {"vips[].checks[].cert-expires-s", "integer", "Seconds until the certificate expires; null when there is none."},
    {"vips[].checks[].checked-ms-ago", "integer",
     "End of the last check; `changed-ms-ago`: last change of its state."},
    {"vips[].checks[].next-in-ms", "integer", "When the next one starts."},
    {"vips[].checks[].row", "object", "Checks in a row that were good, and bad."},
    {"vips[].checks[].count", "object", "Iterations since the check was made, by how they ended."},
    {"vips[].checks[].restored-age-ms", "integer",
     "How old its state was when read from disk; null when it is measured."},
};

static const struct api_arg service_args[] = {
    {"service", API_TEXT, API_POSITIONAL, 0, 0, NULL, "Only this service (its name or an alias)."},
    {"limit", API_COUNT, 0, 1, 100000, "1000", "How many to show."},
};
static const struct api_field service_fields[] = {
    {"total", "integer", "How many services fit; `services` holds the first `limit` of them."},
    {"services[].name", "string", "Name of the service."},
    {"services[].policy", "string", "Name of its policy; \"\" for one written where it is used."},
    {"services[].ttl-s", "integer", "TTL that answers have now, in seconds."},
    {"services[].ttl-auto", "boolean", "Whether it follows from when the state can next change."},
    {"services[].vips", "object", "Number of VIPs: total, by health, and by operator's word."},
    {"services[].usable", "integer", "VIPs that a healthy answer can hold."},
    {"services[].compiled", "boolean", "Decisions are made ahead; else per query."},
};

static const struct api_arg explain_args[] = {
    {"name", API_TEXT, API_POSITIONAL, 0, 0, NULL, "Domain name that is asked for; not said: that of the URL."},
    {"client", API_CLIENT, 0, 0, 0, NULL,
     "Address or prefix of the client; without it the client's place is not known."},
    {"type", API_TEXT, 0, 0, 0, NULL, "Type that is asked for; default A, or AAAA when the service has only IPv6."},
    {"at", API_TIME, 0, 0, 0, NULL, "As it was then, as far as the history reaches; no answer bytes in that case."},
    {"url", API_TEXT, 0, 0, 0, NULL,
     "What the client then asks this site for: where the relay or the front end would bring the request."},
    {"method", API_TEXT, 0, 0, 0, "GET", "With url: the request's method."},
};
static const struct api_field explain_fields[] = {
    {"name", "string", "The name asked for; `type`: the type."},
    {"at", "time", "The time explained; null = now."},
    {"explain", "object", "The decision; null when the name is no service or the type is not an address."},
    {"explain.service", "string", "Service; `policy`: its policy; `family`: IPv4 or IPv6."},
    {"explain.client", "object", "address, located, place, place-scope."},
    {"explain.class", "integer",
     "Class of clients that are treated alike; `scope`: true prefix length of the choice."},
    {"explain.measured[]", "object",
     "Of sites that have measured the way to the client's network: site, by (balancer), prefix, ms, spread-ms, confidence, "
     "connections, seconds-ago. Missing when none has."},
    {"explain.candidates[]", "object", "Every VIP with what the policy knew of it."},
    {"explain.passes[].pass", "string",
     "Which rules held: all of them, or which were let go because nothing was left."},
    {"explain.passes[].stages[].effects[]", "object",
     "What a stage did to each candidate (kept, removed, scored, weighed) and why."},
    {"explain.order[]", "object",
     "Resulting order: address, site, tier, and share of queries in which it comes first."},
    {"explain.pick", "string", "How a query picks inside the first tier."},
    {"explain.fallback", "string", "What was used when nothing was usable; none."},
    {"explain.ttl", "object", "seconds, and why."},
    {"relay", "object",
     "What the packet relay would do with a request for the URL; null without one, or without a relay."},
    {"relay.on", "boolean", "Whether the kernel relays; else the front end has it, and `relay.why` says why."},
    {"relay.vip", "endpoint", "The address the request comes to; of a name, this site's."},
    {"relay.request", "object",
     "kind (http, tls), method, target, host, bytes of what was read; read-by: packet program (one segment), daemon "
     "(several), "
     "null (too many)."},
    {"relay.host", "object", "matched: by name, default (any other name) or none; service: whose tables these are."},
    {"relay.resource", "object",
     "The entry that fits best: kind (path, prefix, suffix), text, front (it has moved), requests; null: there is "
     "none."},
    {"relay.holders", "array", "Servers that have it."},
    {"relay.directory", "object",
     "The content directory's entry: kind, text, and holders with node and sources (configured, scanned, index); denied-here: who "
     "answered 404 to this very path. null: it names nobody."},
    {"relay.passes[].stages[].effects[]", "object",
     "What a stage of the front end's `policy` did to each server, and why."},
    {"relay.nodes[]", "object",
     "Every server: server, address, health, override, load, holds, via (lan, hops, self, down, not reached), mtu, and "
     "its share of "
     "the ring in force."},
    {"relay.goes-to", "string", "node, front end, or kernel: nothing is relayed there; `relay.why`: because."},
    {"relay.node", "string", "The one node it would be given to; null: one is drawn by the shares."},
    {"relay.pinned", "boolean", "The connection stays there, whatever it asks for later."},
    {"relay.later[].resource", "string",
     "What a later request may ask for, once the last is answered (before that the front end gets it); * = anything "
     "else."},
    {"relay.later[].then", "string",
     "stay, move, either (see `stays-at`: the nodes where it would stay), or front end; `moves-to`: with which "
     "shares."},
    {"front[].does", "string", "What this site's front end would do: serve, relay, redirect, 503, drop; `why`: because; `to`: redirected where."},
    {"front[].active", "integer", "In use now; `max-connections`: of how many (0: not limited)."},
    {"front[].servers[]", "object", "server, usable, why, weight, active, response-ms of each server."},
    {"answer", "object",
     "The very answer: bytes (hex), rcode, flags, answer, authority, additional; null when `at` is given."},
};

static const struct api_field servers_fields[] = {
    {"clients", "integer", "Connections of clients that are open."},
    {"servers[].service", "string", "Service; `server`, `address`: name and place of the server."},
    {"servers[].up", "boolean", "Whether it gets clients; `health`: what its checks say; `override`: what operators say."},
    {"servers[].draining", "boolean", "It gets no new clients; `empty-in-ms`: when its last session may be expected to end."},
    {"servers[].active", "integer", "Requests and connections in use; `idle`: connections kept for the next request."},
    {"servers[].response-ms", "number", "Moving average from the request to the first byte."},
    {"servers[].requests", "integer", "Requests given to it; what else is counted of it stands beside."},
    {"services[].service", "string", "Service; `active`: in use, `waiting`: for a place at a server."},
    {"counters", "object", "What the front end counts, by name."},
};
static const struct api_field agents_fields[] = {
    {"agents[].agent", "string", "Name of the agent, as servers name it; `node`: the address of its machine."},
    {"agents[].state", "string", "connected, lost, never seen; `since`: for so many seconds."},
    {"agents[].adopts", "boolean", "Whether its kernel takes connections over; `why`: what it says against it."},
    {"agents[].load", "object",
     "As it last reported: full (0 to 1, what policies weigh), connections, pending, ram-free, cpu-idle and more; null: never."},
    {"agents[].files", "integer", "Files it has reported; `scanned`: that is all of them; `writable`, `room`: for copies."},
    {"agents[].findings[]", "object", "Settings of the host that are in the way: setting, value, wanted, why, do (a command)."},
    {"agents[].counters", "object", "What became of hand-off packets at the node."},
};
static const struct api_field relay_fields[] = {
    {"on", "boolean", "Whether the kernel relays; `why`: what it says against it, front ends then serve it all."},
    {"attached", "boolean",
     "Whether our own program relays; false for a moment after a start, while the one of the process before goes on."},
    {"peers[].peer", "endpoint",
     "Another balancer of the site; `heard-ms-ago`: null = never; `started`: its process, ms since 1970."},
    {"peers[].records-sent", "integer",
     "Connections it was told of; `records-not-sent`: there were too many at once; `dumps`: how often it was told of all."},
    {"peers[].records-received", "integer",
     "Connections it told of; `records-taken`: what was news; `unknown-node`: at a node that is not configured here."},
    {"peers[].datagrams-refused", "integer", "Not sealed with our key, or not for the first time."},
    {"interfaces[].interface", "string", "Where packets come in; `in`: driver, generic (slower), or nowhere: not attached, and `why`."},
    {"nodes[].node", "string", "A server; `address`: its own."},
    {"nodes[].via", "string",
     "lan, hops (in UDP), self, down (its connections are reset), not reached, or silent (its program does not "
     "answer, nothing is handed over to it); `configured`: auto, lan, hops."},
    {"nodes[].mtu", "integer", "Largest packet on the way to it."},
    {"nodes[].state", "string",
     "The operator's word (enabled, drained, disabled), else its checks': up, down, unknown, unchecked."},
    {"nodes[].load", "number", "As its agent says, 1 = full; null = it does not say."},
    {"services[].service", "string",
     "A front end with `relay`; `relay`: packets, clients or transfer; `vips`: at which addresses."},
    {"services[].left-out", "string", "Why it did not fit into the tables, front ends then serve it; null: it did."},
    {"services[].otherwise", "object", "Shares of what no resource is about, by node; empty: the front end serves it."},
    {"services[].resource-count", "integer", "How many resources there are; the first thousand are in `resources`."},
    {"services[].resources[].resource", "string",
     "What is held; `kind`: path, prefix or suffix; `front`: it has moved, the front end answers."},
    {"services[].resources[].holders", "array", "Nodes that have it; `shares`: who has how much of the ring in force."},
    {"services[].resources[].requests", "integer", "How often it was asked for."},
    {"served.transferred", "integer",
     "Connections handed to a node by the packet program; `transferred-by-daemon`: whose request came in pieces."},
    {"served.stayed", "integer",
     "Later requests that stayed with their node; `moved`: connections that went to another one."},
    {"served.front-end", "integer", "Connections handed to our own front end."},
    {"served.plain", "integer", "Flows sent on from their first packet, by hash."},
    {"counters", "object", "What became of packets, by name."},
};
static const struct api_field ready_fields[] = {
    {"ready", "boolean", "Always true: who is not ready fails with `not-ready`."},
};
static const struct api_arg sessions_args[] = {
    {"client", API_CLIENT, 0, 0, 0, NULL, "Only of clients with this address, or in this prefix."},
    {"server", API_TEXT, 0, 0, 0, NULL, "Only at the server of this name; `" API_FRONT_END "`: our own."},
    {"vip", API_TEXT, 0, 0, 0, NULL, "Only to this address, with or without a port."},
    {"limit", API_COUNT, 0, 1, 100000, "1000", "How many to show."},
};
static const struct api_field sessions_fields[] = {
    {"total", "integer",
     "Connections that fit; `sessions` holds the `limit` of them that were seen last, the latest first."},
    {"looked-at", "integer",
     "How many of the relay's table were looked at; `complete`: false: there are more, of which nothing is said here."},
    {"sessions[].client", "string",
     "Client; `vip`: the address it came to, * = any; `protocol`: tcp, udp or ip (all of a client)."},
    {"sessions[].service", "string", "Whose; null = of an address that is not relayed any more."},
    {"sessions[].node", "string", "Where its packets go."},
    {"sessions[].for", "string",
     "What its last request asked for, as the relay tells resources apart; * = what no resource is about; null = it "
     "read none."},
    {"sessions[].state", "string",
     "relayed, request arriving, handed over (the node was not heard yet), answering, ended (by a reset)."},
    {"sessions[].seen-ms-ago", "integer", "Age of its client's last packet."},
    {"sessions[].moves", "integer", "How often it went to another node for a later request."},
    {"sessions[].closing", "boolean", "The client has said that it ends."},
    {"sessions[].pinned", "boolean", "Requests are not read any more: it stays."},
    {"sessions[].found", "boolean",
     "It was not known here, and a node said that it has it: where its next request begins is not known for sure."},
    {"sessions[].pipelines", "boolean",
     "It has sent a request before it had anything of the last one's answer: the front end gets it."},
    {"sessions[].packets", "integer", "Packets of the client that went on."},
};
static const struct api_arg catalog_args[] = {
    {"path", API_TEXT, API_POSITIONAL, 0, 0, NULL,
     "Who has it; all below it if it ends in a slash. Of a path without an entry of its own: what speaks of it."},
    {"host", API_TEXT, 0, 0, 0, NULL, "Only of this service (its name or an alias)."},
    {"node", API_TEXT, 0, 0, 0, NULL, "Only what this server has."},
    {"top", API_COUNT, 0, 1, 100000, NULL, "The most asked for, most first."},
    {"limit", API_COUNT, 0, 1, 100000, "1000", "How many to show."},
};
static const struct api_field catalog_fields[] = {
    {"summary.paths", "integer", "Entries of single paths; `prefixes`, `suffixes`: of folders and endings."},
    {"summary.denied", "integer", "Paths that a server should have and answered 404 to, for now."},
    {"summary.in-table", "integer",
     "Entries in the packet program's table, of `table` at most; `left-out`: do not fit, so the front end serves what is not in it."},
    {"summary.sets", "integer", "Different sets of servers; `bytes`: memory; `requests-rate`: requests in a second that were counted."},
    {"nodes[].node", "string", "A server; `state`: up, down, draining, for `state-ms`; `agent`: its name, null = it has none."},
    {"nodes[].reported", "boolean", "Its agent has told all it has; `connected`: it is connected; `writable`: it may get copies."},
    {"nodes[].free-bytes", "integer", "Room for copies; null without an agent."},
    {"total", "integer", "How many fit; `resources` holds the first `limit` of them. Without arguments there are none."},
    {"resources[].host", "string", "Whose; `kind`: path, prefix or suffix; `text`: which."},
    {"resources[].copies", "integer", "How many servers have it; `in-table`: whether the packet program knows."},
    {"resources[].rate", "number", "Requests in a second, at least; `bytes-rate`: bytes of the front end's answers."},
    {"resources[].holders[].node", "string", "Who has it, or, with `denied`, has it not."},
    {"resources[].holders[].sources", "array",
     "Whence that is known: configured (`holds`), scanned (by its agent), index (it has the folder's index file), denied (it "
     "answered 404; for `for-ms` more)."},
    {"resources[].holders[].size", "integer", "Bytes; `hash`: of the content; null = not known."},
};
static const struct api_field catalog_plan_fields[] = {
    {"plan", "integer", "Number of the plan, 0 = none was made yet; `age-ms`: how old it is."},
    {"apply", "string", "auto, or manual: by `catalog apply`."},
    {"leader", "string", "The balancer of this site that acts; `idle`: why no orders are given now, null = they are."},
    {"figures.resources", "integer", "Files looked at; `copies`: copies of them on nodes that are up."},
    {"figures.under-copied", "integer",
     "Files with too few copies; `waiting`: whose copies are on their way or will be back; `cannot`: that no node can take; `lost`: "
     "that no node has any more."},
    {"figures.hot", "integer", "Files asked for too often for their copies; `surplus`: with more than needed; `divergent`: that differ."},
    {"figures.deferred", "integer", "Actions left for the next plan."},
    {"total", "integer", "Actions of the plan; the first thousand are shown."},
    {"actions[].do", "string", "copy or remove; `host`, `path`, `size`: what; `node`: where; `from`: a node that has it."},
    {"actions[].reason", "string", "under-copied, hot, surplus, cold ...; `why` says it in words. `copies`: now; `rate`: requests in a second."},
    {"conflicts[]", "object", "Files of which nodes have different contents: never touched."},
    {"cannot[]", "object", "Files that should be copied and cannot be, and why."},
    {"orders[].state", "string",
     "waiting, sent, settling (done; the node's report is awaited), given-up; the other members as in `actions`, and `tries`, "
     "`failed`: why the last one did."},
};
static const struct api_arg catalog_apply_args[] = {
    {"dry-run", API_FLAG, 0, 0, 0, "no", "Only tell what would be done."},
    {"plan", API_COUNT, 0, 1, 9007199254740991, NULL, "Only if the plan still has this number."},
};
static const struct api_field catalog_apply_fields[] = {
    {"plan", "integer", "The plan's number; `total`: its actions."},
    {"given", "integer", "Orders that were made of them; what is on its way already is none. `dry-run`: true: none were."},
    {"actions[]", "object", "As in `catalog plan`."},
};
static const struct api_field peers_fields[] = {
    {"node", "string", "This balancer; `region`: its region."},
    {"records", "integer", "Records held, of all balancers; `bytes`: what they take; `writers`: of how many."},
    {"links", "integer", "Balancers linked with now."},
    {"transport", "string", "tls or nats; `signed`: whether records carry signatures; `cluster`: what the NATS links count."},
    {"certificate-left-s", "integer", "Until our certificate ends, in seconds; null over NATS."},
    {"events-heard", "integer", "Events others told; `events-told`: events we told."},
    {"refused", "object", "Connections that were refused, by cause."},
    {"peers[].name", "string", "Name in its certificate; `region`, `site`, `software`: what it says of itself."},
    {"peers[].up", "boolean", "Whether there is a link; `why`: how the last one ended."},
    {"peers[].up-ms", "integer", "For how long; null without a link."},
    {"peers[].heard-ms-ago", "integer", "When the last message came; null without a link."},
    {"peers[].round-trip-ms", "number", "Of the link, as last measured; null = not yet."},
    {"peers[].needed", "boolean", "Whether we want a link; `entry`: whether it is our way into its region."},
    {"peers[].slow", "boolean", "It does not take what we send; `queued`: records waiting for it."},
    {"peers[].records", "integer", "Records of which it is the writer."},
    {"peers[].bytes-in", "integer", "Received from it; `bytes-out`: sent to it."},
    {"peers[].resources", "object", "memory-left, memory-total, load (1 = full) of its machine; null = not said."},
    {"peers[].counters", "object", "What its links have carried and what was refused, by name."},
};
static const struct api_arg handoff_args[] = {
    {"service", API_TEXT, API_POSITIONAL | API_REQUIRED, 0, 0, NULL, "The service (its name or an alias)."},
    {"type", API_TEXT, 0, 0, 0, NULL, "A or AAAA: the VIPs of which family; default A, or AAAA when it has only IPv6."},
};
static const struct api_field matrix_fields[] = {
    {"service", "string", "Service; `family`: IPv4 or IPv6."},
    {"sites[].site", "string", "The site looked at, in order of the names."},
    {"sites[].seen[].from", "string", "The site that looks: its balancers."},
    {"sites[].seen[].state", "string", "up, down, or unknown: nobody there has looked."},
    {"sites[].seen[].ms", "number", "Best response time of the site's VIPs; null unless it is up and measured."},
};
static const struct api_field handoff_fields[] = {
    {"service", "string", "Service; `family`: IPv4 or IPv6."},
    {"place-weights[]", "integer", "What the first, second ... place of an order is worth."},
    {"orders[].site", "string", "A site; `prefers`: the others, best first, as its balancers see them."},
    {"sites[].site", "string", "A site that clients can be sent to."},
    {"sites[].weight", "number", "Its total weight over all orders."},
    {"sites[].share", "number", "Its part of all weight, 0..1."},
    {"sites[].usable", "boolean", "Whether this balancer would send anybody there."},
    {"sites[].share-here", "number", "Its part among the usable ones: what this balancer sends there."},
    {"in-force", "boolean", "false: no times or too few sites, spare capacity decides instead."},
};

#define TARGET_DOC                                                                                                   \
    "SITE, SERVICE, ADDRESS, SERVER, SERVICE@SITE, SERVICE@ADDRESS or SERVICE@SERVER; each part may be a glob: \"www.*@paris\"."
static const struct api_arg word_args[] = {
    {"target", API_TEXT, API_POSITIONAL | API_REQUIRED, 0, 0, NULL, TARGET_DOC},
    {"for", API_DURATION, 0, 0, 0, NULL, "For how long; without it until `enable`."},
    {"scope", API_TEXT, 0, 0, 0, NULL,
     "Who obeys: fleet (the default), region, site (this balancer's), or here alone (the default for servers)."},
};
static const struct api_arg enable_args[] = {
    {"target", API_TEXT, API_POSITIONAL | API_REQUIRED, 0, 0, NULL, TARGET_DOC},
    {"force", API_FLAG, 0, 0, 0, "no", "Count it as up whatever the checks say."},
    {"for", API_DURATION, 0, 0, 0, NULL, "With force: for how long."},
    {"scope", API_TEXT, 0, 0, 0, NULL,
     "Who obeys: fleet (the default), region, site (this balancer's), or here alone (the default for servers)."},
};
static const struct api_field word_fields[] = {
    {"target", "string", "The target as given."},
    {"state", "string", "enabled, drained, disabled; none when a word was taken back."},
    {"vips", "integer", "VIPs the target means now."},
    {"servers", "integer", "Servers of this site's front end the target means now."},
    {"services", "integer", "Services they belong to."},
    {"until", "time", "When the word ends by itself; null = when it is taken back."},
    {"ttl-s", "integer",
     "Largest TTL that these services' answers have had: resolvers may keep an answer that long."},
    {"clients-until", "time", "Until when clients may still come because of that; null for enable."},
    {"saved", "boolean", "Whether it was written to disk and survives a restart; `report` says why not."},
    {"report", "string", "More to know; \"\" when there is nothing."},
};
static const struct api_field overrides_fields[] = {
    {"overrides[].target", "string", "What it is about."},
    {"overrides[].state", "string", "enabled, drained or disabled."},
    {"overrides[].since", "time", "When it was said."},
    {"overrides[].until", "time", "When it ends by itself; null = when it is taken back."},
    {"overrides[].scope", "string", "Who obeys: fleet, region, site or here; `by`: the balancer where it was said."},
    {"overrides[].vips", "integer", "VIPs the target means now; 0: it means nothing any more."},
};
static const struct api_field reload_fields[] = {
    {"generation", "integer", "Number of the generation that is in force now."},
    {"report", "string", "Warnings and notes, one per line."},
};
static const struct api_arg check_args[] = {
    {"target", API_TEXT, API_POSITIONAL | API_REQUIRED, 0, 0, NULL, TARGET_DOC},
};
static const struct api_field check_fields[] = {
    {"target", "string", "The target as given."},
    {"vips", "integer", "VIPs it means."},
    {"checks", "integer", "Checks that were started; one shared by several VIPs runs once."},
};
static const struct api_arg history_args[] = {
    {"limit", API_COUNT, API_POSITIONAL, 1, 100000, "50", "How many to show."},
    {"site", API_TEXT, 0, 0, 0, NULL, "Only changes of VIPs of this site."},
    {"service", API_TEXT, 0, 0, 0, NULL, "Only changes of VIPs of this service."},
    {"since", API_TIME, 0, 0, 0, NULL, "Nothing older than this."},
};
static const struct api_field history_fields[] = {
    {"since", "time", "Everything since then is remembered."},
    {"changes[].when", "time", "When it changed; newest first."},
    {"changes[].vip", "address", "Address of the VIP; `service` and `site`: whose."},
    {"changes[].what", "string", "health, override, flapping, or the name of a measured value."},
    {"changes[].before", "any", "Name of a state, boolean or number; `after` likewise. null = not measured."},
};
static const struct api_field policy_fields[] = {
    {"policies[].name", "string", "Name; \"\" for one written where it is used."},
    {"policies[].source", "string", "configuration, preset, or inline."},
    {"policies[].stages[]", "string or object", "Its stages in order, with their parameters."},
    {"policies[].services", "integer", "How many services use it."},
    {"presets[]", "object", "Every preset: name, stages, doc."},
    {"stages[]", "object", "Every stage there is: name, kind, doc."},
};
static const struct api_field metric_fields[] = {
    {"metrics[].name", "string", "Name on the metrics page."},
    {"metrics[].type", "string", "counter or gauge."},
    {"metrics[].help", "string", "What it says."},
};

const struct api_command api_commands[] = {
    {"status", "State of the daemon in one view.", NULL, NULL, 0, FIELDS(status_fields), false, api_status},
    {"sites", "Sites with their VIPs' health.", NULL, ARGS(site_args), FIELDS(site_fields), false, api_sites},
    {"vips", "VIPs with what is believed of them, and every check.", NULL, ARGS(vip_args), FIELDS(vip_fields), false,
     api_vips},
    {"servers", "The servers of this site's front end.",
     "Each with what it has in use and kept, how quickly it answers, what went wrong, and, while it drains, when its last session "
     "may be expected to end.",
     NULL, 0, FIELDS(servers_fields), false, api_servers},
    {"relay", "The packet relay: nodes, what is chosen for what, which path served.",
     "Front ends with `relay` leave packets and connections to the kernel. Shows how each node is reached, who gets which share of "
     "the requests for what, and counters that tell what became of packets.",
     NULL, 0, FIELDS(relay_fields), false, api_relay},
    {"agents", "The agents on the nodes: load, findings about their hosts, content.", NULL, NULL, 0, FIELDS(agents_fields), false,
     api_agents},
    {"ready", "Whether this balancer takes new connections: exit status 0, or another and why not.",
     "For keepalived's health script, or whatever else announces the site's addresses. It does when the daemon answers and, where "
     "packets are to be relayed, its own program relays them. A daemon that hangs does not answer: give the script a timeout.",
     NULL, 0, FIELDS(ready_fields), false, api_ready},
    {"sessions", "Connections in the relay's table, and where each is.",
     "Of a table with more than a million connections only so many are looked at.", ARGS(sessions_args), FIELDS(sessions_fields),
     false, api_sessions},
    {"catalog", "The content directory: who has what, since when it is known, how often it is asked for.",
     "Filled by servers' `holds`, by what agents report, and by 404s that the front end sees. Answers of servers to connections that "
     "were transferred to them do not come by here, so nothing is learned from those.",
     ARGS(catalog_args), FIELDS(catalog_fields), false, api_catalog},
    {"catalog plan", "Which copies should be made and removed, and what became of earlier orders.",
     "Made every few seconds from the directory, the nodes and the statistics; see `catalog` in the configuration.", NULL, 0,
     FIELDS(catalog_plan_fields), false, api_catalog_plan},
    {"services", "Services with policy, TTL and usable VIPs.", NULL, ARGS(service_args), FIELDS(service_fields),
     false, api_services},
    {"explain", "Why a client gets the answer it gets, and where its request goes.",
     "Makes the decision once more from the same inputs as the answering threads, and tells what each stage of the "
     "policy "
     "did to each candidate. For a name that is no service only the answer is shown. With a URL it goes on to the "
     "request: what "
     "the packet relay reads of it, which node gets the connection, and what a later request would do.",
     ARGS(explain_args), FIELDS(explain_fields), false, api_explain},
    {"peers", "The other balancers: links, what they say, what they cost.", NULL, NULL, 0, FIELDS(peers_fields), false,
     api_peers},
    {"matrix", "Response times between the sites of a service.",
     "What the balancers of each site measure of the others' VIPs, their own and as the other balancers told.",
     ARGS(handoff_args), FIELDS(matrix_fields), false, api_matrix},
    {"handoff", "The hand-off table of a service: orders, weights, shares.",
     "From the matrix of times: each site's order of the others, the weight of the places, each site's total and its share "
     "of clients.",
     ARGS(handoff_args), FIELDS(handoff_fields), false, api_handoff},
    {"drain", "Give a target no new clients while anything else is left.",
     "The operator's word is a layer over what is measured: checks go on, and enable brings back what they say. It "
     "survives "
     "restarts and reloads. Several words may mean one VIP: disable is stronger than drain, drain than enable "
     "--force.",
     ARGS(word_args), FIELDS(word_fields), true, api_drain},
    {"disable", "Give a target no clients, whatever happens.",
     "As drain, but the VIPs are not used even when nothing else is left.", ARGS(word_args), FIELDS(word_fields),
     true, api_disable},
    {"enable", "Take back drain or disable, or force a target up.",
     "Without force it takes back the word for exactly this target. With force the target counts as up whatever its "
     "checks "
     "say, until the word is taken back.",
     ARGS(enable_args), FIELDS(word_fields), true, api_enable},
    {"catalog apply", "Carry out the plan of copies.",
     "Gives the actions of the plan that `catalog plan` shows to the agents, as orders. An agent compares the content before it "
     "removes anything, and after it has copied it.",
     ARGS(catalog_apply_args), FIELDS(catalog_apply_fields), true, api_catalog_apply},
    {"overrides", "What operators said.", NULL, NULL, 0, FIELDS(overrides_fields), false, api_overrides},
    {"reload", "Read the configuration again.",
     "When it has errors, they are shown and the running configuration stays. Health, statistics and overrides of "
     "what did "
     "not change are kept.",
     NULL, 0, FIELDS(reload_fields), true, api_reload},
    {"check-now", "Run the checks of a target now.", NULL, ARGS(check_args), FIELDS(check_fields), true,
     api_check_now},
    {"history", "Recent changes, newest first.", NULL, ARGS(history_args), FIELDS(history_fields), false,
     api_history},
    {"policies", "Policies in use, presets, and every stage.", NULL, NULL, 0, FIELDS(policy_fields), false,
     api_policies},
    {"metrics", "Names of the metrics on the metrics page.", NULL, NULL, 0, FIELDS(metric_fields), false,
     api_metric_names},
    {NULL, NULL, NULL, NULL, 0, NULL, 0, false, NULL},
};
