/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy.h"

const struct policy_preset policy_presets[] = {
    {"alteon", "[up, not-full, match, geo, capacity, weighted]",
     "JP2000315200A: near sites unless down or overloaded, shared by spare capacity (A7-A9)."},
    {"sun-least-loaded", "[up, response-time, {within: 5}, load, first]",
     "WO 00/14634: the least loaded, by response time and reported load (S1)."},
    {"sun-closest", "[up, hops, first]", "WO 00/14634: the fewest hops away (S1)."},
    {"client-centric", "[up, response-time, {within: 10}, near, cost, first]",
     "EP 1207668: lowest latency; among about equal ones the nearest, then the cheapest (M10)."},
    {"round-robin", "[up, round-robin]", "Each in turn."},
    {"weighted", "[up, weighted]", "At random, by configured weight."},
    {"failover", "[up, order, first]", "The first that is up, in the service's order."},
    {"geo", "[up, match, geo, near, {within: 20}, weighted]",
     "The client's region, country, continent; inside it the nearest; weights among about equally near ones."},
    {"nearest", "[up, near, first]", "The shortest distance."},
    {"asn", "[up, {match: asn}, weighted]", "Sites that serve the client's AS first."},
    {"consistent-hash", "[up, hash]", "The same client prefix keeps the same VIP."},
    {"cheapest", "[up, not-full, cost, weighted]", "The lowest cost first."},
    {NULL, NULL, NULL},
};
