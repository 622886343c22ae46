/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What strangers may cost: connections in their handshake per address and in all, handshakes a second per address and in
 * all, and lines in the log. An address is an IPv4 address or an IPv6 /64, since one host owns all of a /64.
 *
 * The tables have a fixed size. Addresses are found by a seeded hash among a few places; when all are taken the place that
 * was used longest ago and holds no connection is given away, so a flood from many addresses makes the limits per address
 * coarser, while those in all still hold. Without any free place an address is refused.
 *
 * Thread: control. Failure: none. Time is passed in.
 */
#ifndef PM_MESH_TLS_LIMIT_H
#define PM_MESH_TLS_LIMIT_H

#include <stdbool.h>
#include "base/addr.h"

enum { TLS_LIMIT_ADDRESSES = 1024, TLS_LIMIT_WAYS = 4, TLS_LOG_ENTRIES = 256, TLS_LOG_AGAIN_MS = 3600 * 1000 };

struct tls_limit_address {
    struct addr net;
    unsigned open;
    double tokens;
    uint64_t at_ms;
};

struct tls_log_entry {
    struct addr net;
    unsigned cause, times; /* times not told yet */
    uint64_t told_ms, seen_ms;
};

struct tls_limit {
    unsigned open_max, open_per_address, rate_per_address, rate; /* rates a second; twice that at once */
    unsigned open;                                               /* strangers' */
    double tokens;
    uint64_t at_ms, seed;
    struct tls_limit_address addresses[TLS_LIMIT_ADDRESSES];
    struct tls_log_entry log[TLS_LOG_ENTRIES];
};

enum tls_admit { TLS_ADMIT, TLS_ADMIT_LIMIT, TLS_ADMIT_RATE };

/* The fields before `open` must be set. */
void tls_limit_init(struct tls_limit *l, uint64_t now_ms);
/* May one more connection start its handshake? If so it counts until tls_limit_leave with the same arguments. Known: a
 * configured peer's address, which is limited by itself but not by what strangers do. */
enum tls_admit tls_limit_enter(struct tls_limit *l, const struct addr *from, bool known, uint64_t now_ms);
void tls_limit_leave(struct tls_limit *l, const struct addr *from, bool known);
/* Whether to log this now; if so *times is how often it happened since the last line. */
bool tls_limit_log(struct tls_limit *l, const struct addr *from, unsigned cause, uint64_t now_ms, unsigned *times);

#endif
