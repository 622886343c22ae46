/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by farm_agents.c (links and words), farm_agents_view.c (what is shown). */
#ifndef PM_MAIN_FARM_AGENTS_INTERNAL_H
#define PM_MAIN_FARM_AGENTS_INTERNAL_H

#include "main/farm_agents.h"
#include "main/farm_internal.h"
#include "mesh/agent_words.h"
#include "mesh/transport_tls.h"

enum { AGENT_FINDINGS_SHOWN = 32 };

struct farm_agent_finding {
    bool breaks;
    int32_t value, want;
    char key[96], why[256], fix[160];
};

/* An agent, by name: of one node. */
struct farm_agent {
    struct farm_agents *all;
    const char *name; /* the configuration's */
    uint32_t node;
    struct mesh_link *link; /* NULL: not connected */
    uint64_t since_ms, load_ms, room;
    uint64_t told; /* hash of the task it was told last */
    bool hello, adopts, writable, listing, scanned, behind;
    char software[64], why[256];
    struct agent_load load;
    unsigned counter_count;
    uint64_t counter[AGENT_COUNTERS_MAX];
    struct farm_agent_finding finding[AGENT_FINDINGS_SHOWN];
    unsigned finding_count;
    uint64_t files;
};

struct farm_agents {
    struct farm *farm;
    struct farm_agent_events events;
    struct mesh_tls *tls;
    const struct config *config;
    struct farm_agent *agent;
    unsigned count;
};

/* How full a node is, 0 to 1. */
float farm_agent_full(const struct agent_load *l);

#endif
