/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the closed loop (policy/control.h) for every VIP of every service whose policy has the stage `spill`, and
 * writes what comes out into the model. Thread: control.
 */
#ifndef PM_POLICY_LOOP_H
#define PM_POLICY_LOOP_H

#include "model/model.h"

/* dt_s: since it last ran. Services in which a part moved by more than a hundredth become dirty. */
void loop_run(struct model *m, float dt_s);

#endif
