/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is inside the records the balancer itself writes and reads (layouts: mesh/kinds.h). Each kind has a put, which
 * appends to a writer, and a get, which is strict: every byte must mean something, or PM_EPROTO. A later version that
 * needs more fields takes a new kind, so that these stay readable.
 *
 * Times are in us (what was measured), ages in ms. No value holds a wall clock time: nodes' clocks are never compared.
 *
 * Thread: any. Memory: none is allocated; what is got points into the record.
 */
#ifndef PM_MESH_VALUES_H
#define PM_MESH_VALUES_H

#include "mesh/codec.h"

enum {
    MESH_SIGHTS_MAX = 400,             /* VIPs in one `times` record */
    MESH_RESPONSE_NONE = 0xffffff,     /* not measured */
    MESH_RESPONSE_MAX_US = 0xfffffe,   /* 16.8 s; longer ones are cut to it */
    MESH_ROUND_TRIPS_MAX = 400,        /* prefixes in one `round-trips` record */
    MESH_SITES_MAX = 1024,             /* in one hand-off list */
    MESH_LEFT_UNKNOWN = 0xffffffff,
};

/* Why an event was sent (A5). */
enum mesh_reason { MESH_REASON_NONE, MESH_REASON_UNREACHABLE, MESH_REASON_REACHABLE, MESH_REASON_FULL, MESH_REASON_NO_SERVER,
                   MESH_REASON_RELIEVED, MESH_REASON_COUNT };
const char *mesh_reason_name(unsigned reason); /* "unreachable", "full"; "unknown" */

/* One VIP as one node sees it. */
struct mesh_sight {
    struct addr vip;
    uint8_t health;  /* enum health of model/health.h, 0-3 */
    bool stable;     /* not flapping */
    uint32_t response_us; /* or MESH_RESPONSE_NONE */
    uint64_t age_ms; /* when the record was written; kept to 1/8 of itself, at least 16 ms */
};

struct mesh_node_value {
    struct mesh_str site, region, software, address;
};

struct mesh_capacity {
    struct addr vip;
    uint32_t used, left;
};

struct mesh_resources {
    uint64_t memory_left, memory_total;
    uint32_t load_milli;
};

enum mesh_scope { MESH_SCOPE_ALL, MESH_SCOPE_REGION, MESH_SCOPE_SITE, MESH_SCOPE_COUNT };

struct mesh_override {
    uint8_t word; /* enum override of model/health.h, 0-3 */
    uint8_t scope;
    struct mesh_str scope_name, who;
    uint64_t said_ms, remaining_ms; /* how long ago, when the record was written; 0 = until taken back */
};

/* One prefix of clients, as one node has measured it. */
struct mesh_round_trip {
    struct prefix prefix;        /* IPv4: 8 to 32 bits, IPv6: 16 to 64 */
    uint32_t us, spread_us;      /* median; between the quarters. Up to MESH_RESPONSE_MAX_US */
    uint8_t confidence;          /* of 255 */
    uint32_t connections;
    uint64_t age_ms;             /* since the last one, when the record was written */
};

struct mesh_persist {
    struct addr vip;
    uint32_t idle_ms;
};

/* Age in a byte: 5 bits of exponent, 3 of fraction, in steps of 16 ms at the low end; up to a year and more. */
uint8_t mesh_age_code(uint64_t ms);
uint64_t mesh_age_ms(uint8_t code);

void mesh_put_node(struct mesh_writer *w, const struct mesh_node_value *v);
int mesh_get_node(const struct mesh_record *rec, struct mesh_node_value *out) PM_MUST_CHECK;
void mesh_put_times(struct mesh_writer *w, const struct mesh_sight *sights, unsigned n);
/* PM_ESPACE when there are more than max. */
int mesh_get_times(const struct mesh_record *rec, struct mesh_sight *out, unsigned max, unsigned *n) PM_MUST_CHECK;
void mesh_put_sight(struct mesh_writer *w, const struct mesh_sight *s, enum mesh_reason reason);
int mesh_get_sight(const struct mesh_record *rec, struct mesh_sight *out, uint8_t *reason) PM_MUST_CHECK;

struct mesh_handoff_item {
    struct mesh_str site;
    uint16_t weight;
};
void mesh_put_handoff(struct mesh_writer *w, const struct mesh_handoff_item *items, unsigned n);
int mesh_get_handoff(const struct mesh_record *rec, struct mesh_handoff_item *out, unsigned max, unsigned *n) PM_MUST_CHECK;
void mesh_put_capacity(struct mesh_writer *w, const struct mesh_capacity *items, unsigned n);
int mesh_get_capacity(const struct mesh_record *rec, struct mesh_capacity *out, unsigned max, unsigned *n) PM_MUST_CHECK;
void mesh_put_resources(struct mesh_writer *w, const struct mesh_resources *v);
int mesh_get_resources(const struct mesh_record *rec, struct mesh_resources *out) PM_MUST_CHECK;
void mesh_put_override(struct mesh_writer *w, const struct mesh_override *v);
int mesh_get_override(const struct mesh_record *rec, struct mesh_override *out) PM_MUST_CHECK;
void mesh_put_persist(struct mesh_writer *w, const struct mesh_persist *v);
int mesh_get_persist(const struct mesh_record *rec, struct mesh_persist *out) PM_MUST_CHECK;
void mesh_put_round_trips(struct mesh_writer *w, const struct mesh_round_trip *items, unsigned n);
/* PM_ESPACE when there are more than max. */
int mesh_get_round_trips(const struct mesh_record *rec, struct mesh_round_trip *out, unsigned max, unsigned *n) PM_MUST_CHECK;

#endif
