/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What survives the process, in the state folder: health.json (states and averages of checks) and overrides.json (the
 * operators' words). Both are replaced whole, so a crash or a full disk leaves the old one.
 *
 * Health is written every monitor.save-interval by a thread of libuv's pool: a slow disk must not hold up checks.
 * Overrides are few and an operator waits for the answer, so they are written at once.
 *
 * Thread: control.
 */
#ifndef PM_MAIN_STATE_H
#define PM_MAIN_STATE_H

#include "main/daemon_internal.h"

/* After the start, before the first generation is installed (d->gen says where the folder is). */
void state_load(struct daemon *d);
/* Begins to write health if it has changed and nothing is being written. */
void state_save(struct daemon *d);
/* Writes health and returns when it is on the disk, after what was being written. */
void state_save_now(struct daemon *d);
int state_save_overrides(struct daemon *d) PM_MUST_CHECK;

#endif
