/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closed loop of load to capacity: how large a part of the clients that would come to a VIP it should still take.
 *
 *   load / target ──ln──> x ──> proportional + integral ──> ln(admit), at most 0
 *
 * Clients who are not admitted go to their own next best site (the stage `spill`), so only what must move moves, and
 * each by the least it can. What a decision does shows late: answers live for their TTL, sessions for their length.
 * The integral's time is that lag, so that it cancels it: the loop settles like one of the first order, in about twice the
 * lag, and stays damped when the lag is wrong by a factor of ten (a longer one lowers the damping, never below 0.3).
 * In logarithms a doubled load asks for the same step whatever the part admitted now.
 *
 * Every balancer runs this for itself on the same reported loads, without a word to the others.
 * Pure: time and load come in, a part comes out.
 */
#ifndef PM_POLICY_CONTROL_H
#define PM_POLICY_CONTROL_H

struct control_rule {
    float target; /* load to keep below; 1 = full */
    float lag_s;  /* TTL of answers and length of sessions, together */
};

struct control_state {
    float integral; /* ln; 0 = all are admitted */
};

/* The part to admit from now on, 0.01 .. 1. load: now, 1 = full; NaN = unknown: drifts back to 1. dt_s: since the last. */
float control_step(struct control_state *s, const struct control_rule *r, float load, float dt_s);

#endif
