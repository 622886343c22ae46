/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an adopting node needs of its host: settings of the kernel (looked at, never changed), each with why and with
 * the command that puts it right. One table in host.c drives it.
 *
 * Of a setting that is kept for each interface and for all of them, the kernel takes the greater; so does the check.
 *
 * Memory: findings are plain values, their texts of the table are static. Thread: any. Failure: a setting that this
 * kernel does not have, or that cannot be read, is passed over.
 */
#ifndef PM_AGENT_HOST_H
#define PM_AGENT_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

enum agent_host_severity {
    AGENT_HOST_HURTS, /* some clients are served worse */
    AGENT_HOST_BREAKS /* adopted connections, or everybody's, do not work */
};

struct agent_host_finding {
    enum agent_host_severity severity;
    char key[96];    /* "net.ipv4.conf.eth0.rp_filter", as sysctl(8) writes it */
    int value, want; /* as it is; as the command makes it */
    const char *why;
    char fix[128];   /* "sysctl -w net.ipv4.tcp_syncookies=1" */
};

struct agent_host_needs {
    const char *proc;                 /* NULL: /proc */
    const char *const *interfaces;    /* that hand-over packets, and ARP for the VIP, come in at */
    size_t interface_count;
    bool adopts;                      /* takes connections that have begun at a balancer */
    bool vip_v4;                      /* has an IPv4 VIP on lo while others answer ARP for it */
};

/* Returns how many there are, which may be more than max; the first max are in out. The worst come first. */
size_t agent_host_check(const struct agent_host_needs *needs, struct agent_host_finding *out, size_t max);

/*
 * A setting's number: "net/ipv4/tcp_sack" under PROC/sys. Interface names may hold dots, so the path has slashes.
 * PM_ENOTFOUND, PM_EPERM, PM_EPARSE.
 */
int agent_sysctl_read(const char *proc, const char *path, int *value) PM_MUST_CHECK;
int agent_sysctl_write(const char *proc, const char *path, int value) PM_MUST_CHECK;
/* Of net.ipv4.conf: what is in force on the interface, the greater of its own and all's. PM_EINVAL: no such name. */
int agent_sysctl_interface(const char *proc, const char *interface, const char *name, int *value) PM_MUST_CHECK;
/* As sysctl(8) writes it: with dots, and a dot in an interface's name as a slash. */
void agent_sysctl_key(const char *path, char *out, size_t size);
/* A name that may stand in such a path. */
bool agent_interface_valid(const char *name);

#endif
