/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load of this node: what balancers weigh it by. Read as often as the caller likes; a reading costs one dump of the
 * kernel's sockets for each port and four small files.
 *
 *   sockets   netlink (sock_diag(7)), or /proc/net/tcp and tcp6 where that is not allowed
 *   pending   what waits for the server: connections it has not accepted, and accepted ones with bytes it has not read.
 *             A server that is only slow to answer shows in connections; one that has no hands left shows here.
 *   others    /proc/meminfo, /proc/stat, /proc/loadavg
 *
 * An endpoint stands for what listens on its address and port and for what was accepted there; a listener on all
 * addresses (0.0.0.0, [::]) stands for each. Endpoints without an address (family 0) are meant on any address. A socket
 * that several endpoints name is counted once.
 *
 * Memory: the state is the caller's to free with agent_load_close; a reading is a plain value. Thread: one at a time;
 * reading does not wait for anything but the kernel. Failure: what cannot be read is missing from `known`, the rest is
 * still right.
 */
#ifndef PM_AGENT_LOAD_H
#define PM_AGENT_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"

/* Bits of agent_load.known. */
enum { AGENT_LOAD_SOCKETS = 1, AGENT_LOAD_MEMORY = 2, AGENT_LOAD_CPU = 4, AGENT_LOAD_RUN = 8 };

struct agent_load {
    uint64_t when_ns;               /* as given to agent_load_read */
    uint32_t known;
    uint32_t connections;           /* established, not accepted ones among them */
    uint32_t waiting;               /* complete, not yet accepted: length of the accept queues */
    uint32_t waiting_max;           /* the backlogs they may grow to; 0 when read from /proc, which does not tell */
    uint32_t unread;                /* accepted, with bytes the server has not read */
    uint32_t pending;               /* waiting + unread */
    uint32_t listeners;             /* sockets found listening; 0: the server is not there */
    uint64_t ram_free, ram_total;   /* bytes; free is what the kernel could give without swapping (MemAvailable) */
    uint64_t swap_free, swap_total; /* bytes */
    double cpu_idle; /* share 0-1 of all processors' time since the reading before, waiting for disks included */
    uint32_t running, blocked;      /* processes that run or want to; that wait for a disk */
    uint32_t processors;
    double load1;                   /* the kernel's one-minute average */
    bool from_proc;                 /* sockets were read from /proc/net: netlink was refused */
};

struct agent_load_config {
    const char *proc; /* NULL: /proc */
    const struct endpoint *at;
    size_t at_count;
    bool no_netlink; /* read /proc/net/tcp even where netlink would be allowed */
};

struct agent_load_state;

/* The configuration is copied. PM_EINVAL: an endpoint without port, or a path too long. */
int agent_load_open(const struct agent_load_config *config, struct agent_load_state **out) PM_MUST_CHECK;
void agent_load_close(struct agent_load_state *s); /* NULL is allowed */
/* 0 when all could be read; else the code of the first thing that could not, and the rest is filled in. */
int agent_load_read(struct agent_load_state *s, uint64_t now_ns, struct agent_load *out);

/*
 * Whether balancers should hear of it at once, not at the next regular word: a server came or went, the queue grew or
 * emptied by much, processors, memory or connections moved by a good part of what there is.
 */
bool agent_load_changed_much(const struct agent_load *old, const struct agent_load *now);

#endif
