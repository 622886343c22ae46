/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restart without a lost query (SIGUSR2): the running process keeps state on disk, frees the control socket and the metrics
 * port, and starts the program anew with its DNS sockets open. The new process serves from the same sockets, and when
 * it answers it ends the old one. If it cannot start, the old one takes its API back and goes on as before.
 *
 *   old: SIGUSR2 -> save, stop API -> fork, exec ----------------- answers all the while --- SIGTERM --> drains, ends
 *   new:                                    boot -> sockets, state -> answers -> tells the manager -> kill old
 *
 * Thread: control.
 */
#ifndef PM_MAIN_UPGRADE_H
#define PM_MAIN_UPGRADE_H

#include <sys/types.h>
#include "base/err.h"
#include "respond/listen.h"

#define UPGRADE_SOCKETS "POINTSMAN_SOCKETS" /* descriptors, as respond_listen_export writes them */
#define UPGRADE_PARENT "POINTSMAN_PARENT"   /* process to end once we answer */

/* Starts the program anew with these sockets. */
int upgrade_spawn(const struct listen_set *sockets, pid_t *child) PM_MUST_CHECK;
/* In the new process, once it answers: ends the old one, forgets the variables. */
void upgrade_finish(void);

#endif
