/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by agent_run.c (life), agent_tell.c (what balancers hear) and agent_told.c (what they say). */
#ifndef PM_MAIN_AGENT_INTERNAL_H
#define PM_MAIN_AGENT_INTERNAL_H

#include <uv.h>
#include "agent/config.h"
#include "agent/fetch.h"
#include "agent/host.h"
#include "agent/load.h"
#include "agent/scan.h"
#include "agent/vip.h"
#include "mesh/agent_words.h"
#include "mesh/transport_tls.h"
#include "relay/clamp.h"
#include "relay/keys.h"
#include "relay/node.h"

enum { AGENT_BALANCERS_MAX = 64, AGENT_PLACES_MAX = 4096, AGENT_SOURCES_OF = 16, AGENT_FINDINGS_MAX = 64 };

/* One balancer, as configured; what it has told us stays while it cannot be reached. */
struct agent_peer {
    struct agent *agent;
    const char *name;
    struct mesh_link *link; /* NULL: not connected */
    bool told;              /* a task has come */
    bool behind;            /* it did not take all: the link is to be closed, it will hear everything anew */
    uint8_t secret[AGENT_SECRET];
    uint32_t mtu;
    struct addr source[AGENT_SOURCES_OF];
    unsigned source_count;
    struct agent_place_word *place;
    unsigned place_count;
    struct mesh_writer files; /* what is on its way to the link */
    uint8_t *space;
    enum agent_word in; /* of what is in it: FILES, GONE, or 0 */
};

struct agent {
    uv_loop_t loop;
    uv_timer_t tick, scan_timer, sweep;
    uv_poll_t scan_poll;
    uv_signal_t stop[2];
    bool polling;
    const struct clock *clock;
    struct agent_config *config;
    struct mesh_tls *tls;
    struct agent_peer peer[AGENT_BALANCERS_MAX];
    unsigned peer_count;
    struct addr trusted[AGENT_BALANCERS_MAX * AGENT_SOURCES_OF]; /* whom the packet program believes */
    unsigned trusted_count;
    struct node *node;   /* NULL: nothing is taken over; node_why says it */
    struct buf node_why;
    struct clamp *clamp;
    struct agent_vips *vips;
    struct addr *vip;    /* that we have put up */
    unsigned vip_count;
    struct agent_load_state *load;
    struct agent_load now, sent;
    uint64_t sent_ms, keys_ms, checked_ms, swept_ms, started_ms;
    struct agent_host_finding finding[AGENT_FINDINGS_MAX];
    size_t finding_count;
    struct agent_scan_root *root;
    struct agent_fetch_root *fetch_root;
    size_t root_count;
    bool writable;
    struct agent_scan *scan;
    bool passed; /* all roots were looked through once */
    struct agent_fetch *fetch;
};

/* agent_tell.c */
extern const struct agent_scan_events agent_scan_tells;
extern const struct agent_fetch_events agent_fetch_tells;
void agent_tell_all(struct agent_peer *p);      /* a new link: who we are, and all there is */
void agent_tell_load(struct agent *a, bool now); /* if it has changed, or it is time, or now */
void agent_tell_findings(struct agent *a);
void agent_tell_flush(struct agent *a);
void agent_tell_result(struct agent_peer *p, uint64_t order, int err, const char *text);

/* agent_told.c */
void agent_told(struct agent_peer *p, const uint8_t *data, size_t n);
void agent_obey(struct agent *a); /* brings addresses, keys and what is watched in line with what we were told */
void agent_keys(struct agent *a);

#endif
