/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small world for tests of the API: 2 sites, 2 services, 4 VIPs, 3 checks (one shared), in place of the layers
 * below: it defines what the API calls of model, monitor and explain, so that none of them runs.
 */
#ifndef PM_TESTS_FAKE_WORLD_H
#define PM_TESTS_FAKE_WORLD_H

#include "api/api.h"

struct fake_world {
    struct api_host host;
    struct clock_manual clock;
    struct overrides overrides;
    struct history *history;
    struct snapshot snapshot;
    struct snap_service *services[2];
    unsigned checked; /* monitor_check_now calls */
    bool handoff; /* the policy has such a stage */
    bool held;
    int override_err, reload_err;
    char *reload_report; /* in place of the usual one */
    uint64_t last_until_ms;
    struct addr answered_client; /* family 0 = none */
    struct {                     /* what sessions was asked for last */
        struct api_sessions q;
        struct prefix client;
        char server[64];
    } sessions;
    struct { /* what the catalog was asked for last; texts of q are gone */
        struct api_catalog q;
        char path[64];
        bool dry;
        uint64_t plan;
    } catalog;
};

extern struct fake_world fake;
extern struct model_vip fake_vips[4];
enum { FAKE_VIPS = 4 };

void fake_world_init(void);
void fake_world_fini(void);

#endif
