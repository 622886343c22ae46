/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The very answer that a serving thread would give, asked on the control thread and decoded: for explain. Decoding is
 * ldns's, not our own writer's, so that explain cannot repeat a mistake of it.
 */
#ifndef PM_MAIN_ANSWER_EXPLAIN_H
#define PM_MAIN_ANSWER_EXPLAIN_H

#include <jansson.h>
#include "model/world.h"

/* client NULL: no client subnet. NULL when name or type is none. A new reference; layout in api/api.h. */
json_t *answer_explain(struct world *world, const char *name, const char *type, const struct addr *client, unsigned client_len);

#endif
