/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Least privilege: sockets are opened as root, then root is given up. Kept are CAP_NET_BIND_SERVICE (a reload may add a
 * listen address) and CAP_NET_RAW (icmp and hops checks); nothing can be regained (no_new_privs), and system calls no
 * part of this program needs are refused (seccomp), for checks run by `exec` too.
 */
#ifndef PM_MAIN_PRIV_H
#define PM_MAIN_PRIV_H

#include <stdbool.h>
#include "base/err.h"
#include "model/config.h"

/*
 * Becomes `user`, if we are root; the account must exist unless it is "". Makes dir (0750) and hands it to the user first when
 * it is not ""; and the folder of the control socket, if it is one of our own (named pointsman). relay: packet programs are used
 * (NULL: not), so what they need stays, and the user gets key and pinned tables, for an upgrade. Says in the log what it did,
 * and what the system did not let it do.
 */
int priv_drop(const char *user, const char *state_dir, const char *socket, const struct cfg_relay *relay) PM_MUST_CHECK;
/*
 * For `pointsman agent`, which stays root but gives up what root can do beyond its task: addresses, packet programs, reading
 * any file and, if it may, writing below document roots.
 */
void priv_agent(bool writes);
/* Refuses system calls that nothing here needs. PM_EUNSUPPORTED: the kernel cannot; the caller says so and goes on. */
int priv_filter(bool relay) PM_MUST_CHECK;

#endif
