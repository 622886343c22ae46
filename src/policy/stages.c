/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/stages.h"

const struct stage *const policy_stages[] = {
#define X(sym) &stage_##sym,
    POLICY_STAGES(X)
#undef X
        NULL};

static const struct conf_object *const stage_objects[] = {
#define X(sym) &stage_##sym.object,
    POLICY_STAGES(X)
#undef X
        NULL};

const struct conf_registry policy_stage_registry = {.what = "stage", .kinds = stage_objects};
