/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listen sockets: opened before privileges are dropped, kept over a reconfiguration, handed to the next process.
 *
 * A set holds, for each endpoint and protocol, one SO_REUSEPORT socket per serving thread. Sockets that came from
 * elsewhere (a previous process, systemd) are taken as they are, however many there are: when there are fewer than
 * threads, threads share them; when there are more, a thread serves several. So a socket with queries in its queue is
 * never closed as long as its endpoint is wanted, and a restart loses none.
 *
 * SO_REUSEPORT would let a second daemon of the same user share our port in silence and answer half the queries. An
 * endpoint that is new is therefore first bound once without it; "address already in use" is then reported as ever.
 *
 * UDP sockets are blocking (see udp.h), TCP listeners are not. IPv6 sockets are IPV6_V6ONLY. Path MTU discovery is off
 * (answers fit the minimum MTU; a forged ICMP must not make us fragment).
 *
 * Thread: control. Memory: a set owns its array and its file descriptors; respond_listen_fini closes both.
 * Failure: a code, and in `why` one line with the endpoint. On failure nothing stays open that was not before.
 */
#ifndef PM_RESPOND_LISTEN_H
#define PM_RESPOND_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include "base/addr.h"
#include "base/buf.h"

enum listen_proto { LISTEN_UDP, LISTEN_TCP };

struct listen_socket {
    struct endpoint at;
    int fd;
    uint8_t proto;
    bool wildcard; /* 0.0.0.0 or ::, so the address asked is learned per packet */
};

struct listen_set {
    struct listen_socket *items; /* grouped by endpoint, then protocol */
    size_t count;
};

struct listen_options {
    unsigned udp_threads, tcp_threads; /* sockets per endpoint */
    unsigned buffer;                   /* bytes, SO_RCVBUF and SO_SNDBUF of UDP sockets; 0 = the system's default */
    unsigned backlog;                  /* connections waiting to be accepted */
    bool freebind;                     /* also addresses this host does not have yet (VRRP, BGP) */
};

/*
 * Makes out serve the endpoints (duplicates are ignored, port 0 is refused), with every socket of keep that fits and
 * new ones for the rest. Sockets taken from keep are then in both sets; after success call respond_listen_release(keep,
 * out). keep may be NULL. PM_EINUSE, PM_EPERM, PM_EUNREACH (no such address here), PM_EINVAL, PM_EIO.
 */
int respond_listen_open(const struct listen_options *o, const struct endpoint *at, size_t n,
                        const struct listen_set *keep, struct listen_set *out,
                        struct buf *why) PM_MUST_CHECK;
/* Closes the sockets of old that are not in now, and frees old. */
void respond_listen_release(struct listen_set *old, const struct listen_set *now);
void respond_listen_fini(struct listen_set *s); /* closes all */

/* Own duplicates of all sockets, e.g. to hand over while the service still runs. */
int respond_listen_copy(const struct listen_set *s, struct listen_set *out) PM_MUST_CHECK;
/* Whether the descriptors survive execve. */
int respond_listen_inheritable(const struct listen_set *s, bool yes) PM_MUST_CHECK;
/* Appends lines "udp 192.0.2.1:53 7": protocol, endpoint, descriptor. */
void respond_listen_export(const struct listen_set *s, struct buf *out);
/*
 * Takes the descriptors of such a text over (appends to out). Each must be an Internet socket of that protocol and
 * endpoint; else PM_EINVAL and none is taken.
 */
int respond_listen_import(const char *text, struct listen_set *out, struct buf *why) PM_MUST_CHECK;
/* Takes one open socket over, whatever its endpoint. */
int respond_listen_adopt(int fd, struct listen_set *out, struct buf *why) PM_MUST_CHECK;
/* Takes systemd's sockets (LISTEN_PID, LISTEN_FDS; sd_listen_fds(3)) and unsets the variables. None: nothing done. */
int respond_listen_systemd(struct listen_set *out, struct buf *why) PM_MUST_CHECK;

#endif
