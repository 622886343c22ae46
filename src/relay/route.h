/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the kernel would send a packet to a node: through which interface, from which address, to which link address. The
 * packet program needs the answer in its tables, because it sends without asking the kernel.
 *
 * Thread: control; each call is a few short netlink exchanges with the kernel. Failure: PM_ENOTFOUND = no route;
 * PM_EAGAIN = the neighbour's link address is not known yet: the kernel was made to ask for it, try again in a moment.
 */
#ifndef PM_RELAY_ROUTE_H
#define PM_RELAY_ROUTE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"
#include "base/err.h"

struct route_to {
    unsigned ifindex;
    bool neighbour; /* on the same link: no router between */
    bool self;      /* it is this machine */
    struct addr source;
    uint8_t mac[6], own_mac[6];
    uint32_t mtu;
};

int route_resolve(const struct addr *to, struct route_to *out) PM_MUST_CHECK;

#endif
