/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by fleet.c (life), fleet_tell.c (what we say), fleet_hear.c (what others say), fleet_view.c (what is shown). */
#ifndef PM_MAIN_FLEET_INTERNAL_H
#define PM_MAIN_FLEET_INTERNAL_H

#include "base/map.h"
#include "main/fleet.h"
#include "mesh/mesh.h"
#include "mesh/sign.h"
#include "mesh/transport_nats.h"
#include "mesh/transport_tls.h"
#include "mesh/values.h"

enum {
    FLEET_SOCKETS_MAX = 64,
    FLEET_TELL_MS = 200, /* changes that are no events are gathered so long */
    FLEET_RESOURCES_MS = 10000,
    FLEET_VERIFY_MS = 500, /* a VIP is not looked at more often because of others */
    FLEET_LIFETIME_MAX_MS = 24 * 3600 * 1000,
};

struct fleet {
    struct fleet_host host;
    uv_loop_t *loop;
    uv_timer_t tick, tell;
    struct mesh *mesh;
    struct mesh_tls *tls;        /* direct links, */
    struct mesh_nats *nats;      /* or links over a cluster; the other one is NULL */
    struct mesh_sign *sign;      /* NULL = records are not signed */
    struct buf identity;         /* what of the configuration it was made from */
    const struct config *config; /* the generation's in force */
    bool update_off;
    uint32_t lifetime_ms; /* of what is measured */
    /* By number in the model; remade with each generation. */
    uint32_t service_count, vip_count;
    bool *service_due; /* times or capacity have changed */
    bool any_due;
    bool *full; /* by VIP: it was told to be full */
    uint64_t *verified_ms;
    uint64_t resources_ms;
    uint32_t rtt_due, rtt_said; /* parts of round trips: to be told, told */
    uint64_t rtt_told_ms[RTT_PARTS];
    unsigned closed; /* timers, at the end */
    uint64_t events_heard, events_told, verifications;
};

/* fleet_tell.c */
void tell_all(struct fleet *f); /* marks everything as due */
void tell_due(struct fleet *f);
void tell_event(struct fleet *f, uint32_t vip);
void tell_capacities(struct fleet *f);
void tell_resources(struct fleet *f);
void tell_word(struct fleet *f, const struct override_entry *e);
void tell_words(struct fleet *f);

/* fleet_rtt.c */
void tell_round_trips(struct fleet *f); /* what has moved since */
void hear_round_trips(struct fleet *f, const struct mesh_stored *s, uint16_t vantage, bool gone);

/* fleet_hear.c */
void hear_record(struct fleet *f, const struct mesh_stored *s, enum mesh_change what);
void hear_all(struct fleet *f); /* everything the store holds, after the model was replaced */

/* The VIP of a service with that address, or UINT32_MAX. */
uint32_t fleet_vip(const struct fleet *f, const char *service, const struct addr *address);
void fleet_arm(struct fleet *f);

#endif
