/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of an interface by rtnetlink(7): put there, taken away, listed. Internal to agent/vip. A request waits for
 * the kernel's answer, which comes at once. Thread: one at a time per socket. Failure: the kernel's errno as a code.
 */
#ifndef PM_AGENT_VIP_NETLINK_H
#define PM_AGENT_VIP_NETLINK_H

#include <stdbool.h>
#include "base/addr.h"

/* The mark of our addresses in IFA_PROTO (kernel 5.18 or later) and the end of their label (IPv4). */
enum { AGENT_VIP_PROTO = 0x50 };
#define AGENT_VIP_LABEL ":pm"

struct agent_netlink {
    int fd;
    unsigned seq;
};

int agent_netlink_open(struct agent_netlink *n) PM_MUST_CHECK;
void agent_netlink_close(struct agent_netlink *n);
/* device: its name, for the label. PM_EEXISTS, PM_EPERM. */
int agent_netlink_add(struct agent_netlink *n, unsigned ifindex, const char *device,
                      const struct addr *a) PM_MUST_CHECK;
/* PM_EUNREACH: it was not there (EADDRNOTAVAIL). */
int agent_netlink_del(struct agent_netlink *n, unsigned ifindex, const struct addr *a) PM_MUST_CHECK;

/*
 * Each address of full length on the interface; those of other lengths are networks, not VIPs. When addresses change
 * meanwhile all are listed again, so one may be told twice. PM_EBUSY: they do not stop changing.
 */
typedef void agent_netlink_fn(void *ctx, const struct addr *a, bool marked);
int agent_netlink_list(struct agent_netlink *n, unsigned ifindex, agent_netlink_fn *fn, void *ctx) PM_MUST_CHECK;

#endif
