/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's TCP sockets, one by one: from netlink or from /proc/net/tcp{,6}. Internal to agent/load. Thread: one at
 * a time; nothing is kept between two calls. Failure: a code, and what was seen until then has been handed on.
 */
#ifndef PM_AGENT_LOAD_SOCKETS_H
#define PM_AGENT_LOAD_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/addr.h"

/* Kernel's numbers, include/net/tcp_states.h. */
enum { AGENT_TCP_ESTABLISHED = 1, AGENT_TCP_CLOSE_WAIT = 8, AGENT_TCP_LISTEN = 10 };

struct agent_socket {
    struct endpoint local; /* of a listener on all addresses: the address is zero */
    uint8_t state;         /* one of the above; others are not handed on */
    bool owned;            /* a process has it; a connection that waits to be accepted belongs to nobody yet */
    bool v6;               /* an IPv6 socket, whatever the address */
    uint32_t rqueue;       /* bytes not read; of a listener: connections not accepted */
    uint32_t wqueue;       /* of a listener: its backlog, 0 if not told */
};
typedef void agent_socket_fn(void *ctx, const struct agent_socket *s);

/* port 0: all. PM_EPERM, PM_EUNSUPPORTED and the like where netlink is closed to us. */
int agent_sockets_netlink(uint16_t port, agent_socket_fn *fn, void *ctx) PM_MUST_CHECK;
/* All ports. proc: "/proc". A kernel without IPv6 has no tcp6; that is no error. */
int agent_sockets_proc(const char *proc, agent_socket_fn *fn, void *ctx) PM_MUST_CHECK;

#endif
