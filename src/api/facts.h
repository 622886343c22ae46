/* SPDX-License-Identifier: Apache-2.0 */
/* Counts and names that several commands and the metrics page show. Thread: control. */
#ifndef PM_API_FACTS_H
#define PM_API_FACTS_H

#include "api/commands.h"

enum { FACTS_HEALTH = 4, FACTS_OVERRIDE = 4 };

struct facts_vips {
    uint32_t total, health[FACTS_HEALTH], override[FACTS_OVERRIDE];
};
void facts_count_vip(struct facts_vips *f, const struct model_vip *v);
/* {"total": 3, "up": 2, ...}; every member is always there. */
json_t *facts_vips_json(const struct facts_vips *f);

struct facts_checks {
    uint32_t total, state[3];
};
/* Checks shared by several VIPs count once. */
void facts_checks(const struct api_host *h, struct facts_checks *out);

const struct cfg_site *facts_site(const struct model *m, uint32_t site);
const struct cfg_service *facts_service(const struct model *m, uint32_t service);
/* Number of a name; -1 with api_fail and the nearest name. */
int64_t facts_find_site(struct api_call *c, const char *name);
int64_t facts_find_service(struct api_call *c, const char *name);

#endif
