/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two layers of what is believed of a VIP: what was measured, and what an operator said. The operator's word is
 * never mixed into the measurement: removing it leaves the measurement as if it had never been there.
 */
#ifndef PM_MODEL_HEALTH_H
#define PM_MODEL_HEALTH_H

#include <stdint.h>

/* Measured. Unknown is what everything is before its first verdict: usable, but said so. */
enum health { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN, HEALTH_UNCHECKED };

/* Said by an operator; stronger ones have higher numbers and win where several apply. */
enum override {
    OVERRIDE_NONE,
    OVERRIDE_FORCE,  /* counts as up, whatever the checks say */
    OVERRIDE_DRAIN,  /* gets no new clients while anything else is left */
    OVERRIDE_DISABLE /* gets no clients, whatever happens */
};

const char *health_name(enum health h);
const char *override_name(enum override o); /* "none", "enabled", "drained", "disabled" */

#endif
