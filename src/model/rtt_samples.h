/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Round-trip times of real clients, gathered by prefix: every connection gives one sample, a prefix gives one estimate.
 *
 *   connection (client, port, us) ─┬─> its /24 or /48 ──> estimate: median, spread, confidence
 *                                  └─> its /16 or /32 ──> the same, one voice per /24 or /48; where samples are few
 *
 * A prefix keeps the newest few samples. Each client has the same voice in the median, however many connections it
 * opens; in the wider prefix each narrow one has one voice. So a client that lies about its times spoils at most the
 * estimate of its own /24 or /48, and that only while it is nearly alone there. A client is an IPv4 address, or an
 * IPv6 /64.
 *
 * Confidence is n / (n + 1) / (1 + s): n = voices, each halved every half hour; of one client with more connections
 * than one, their square root, up to 2. s = the middle half's width, against the median and 5 ms.
 *
 * Pure: no clock, no I/O; the same calls give the same results, but for which of two clients collide in a 32-bit hash.
 * Memory: bounded by prefixes_max, about 330 bytes each; when full, the one of a few that was silent longest goes.
 * Thread: one at a time. Failure: none.
 */
#ifndef PM_MODEL_RTT_SAMPLES_H
#define PM_MODEL_RTT_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"

enum {
    RTT_PREFIXES_MAX = 16384,
    RTT_MAX_US = 10 * 1000 * 1000, /* longer ones are no round trips */
    RTT_HALF_LIFE_MS = 30 * 60 * 1000,
    RTT_GROUPS_LEAST = 3, /* narrow prefixes without which a wider one is not known */
};

/* What became of a sample; names are labels of a metric. */
#define RTT_VERDICTS(X)                                                                                                \
    X(TAKEN, "taken")                                                                                                  \
    X(ZERO, "zero")               /* below what timestamps can tell */                                                 \
    X(TOO_LONG, "too-long")       /* above RTT_MAX_US */                                                               \
    X(SAME_CONNECTION, "repeated") /* a connection gives one */                                                        \
    X(OUTLIER, "outlier")         /* far above what is known of the prefix: an acknowledgement that was held back */
enum rtt_verdict {
#define X(sym, name) RTT_##sym,
    RTT_VERDICTS(X)
#undef X
        RTT_VERDICT_COUNT
};
const char *rtt_verdict_name(enum rtt_verdict v);

struct rtt_estimate {
    uint32_t us;          /* median */
    uint32_t spread_us;   /* between the first and the third quarter */
    uint32_t connections; /* as many, older ones counting less */
    float confidence;     /* 0 = unknown, below 1 */
    uint64_t last_ms;     /* when the last sample came */
};

struct rtt_samples;

/* prefixes_max 0 = RTT_PREFIXES_MAX. */
struct rtt_samples *rtt_samples_new(uint32_t prefixes_max);
void rtt_samples_free(struct rtt_samples *s); /* NULL is allowed */
/* One connection. now_ms never goes back. */
enum rtt_verdict rtt_samples_add(struct rtt_samples *s, const struct addr *client, uint16_t port, uint32_t us,
                                 uint64_t now_ms);
/* False: nothing is known of that prefix. */
bool rtt_samples_find(const struct rtt_samples *s, const struct prefix *p, uint64_t now_ms, struct rtt_estimate *out);
typedef void rtt_samples_fn(void *ctx, const struct prefix *p, const struct rtt_estimate *e);
void rtt_samples_each(const struct rtt_samples *s, uint64_t now_ms, rtt_samples_fn *fn, void *ctx);
size_t rtt_samples_prefixes(const struct rtt_samples *s);
/* How many had that verdict so far. */
uint64_t rtt_samples_count(const struct rtt_samples *s, enum rtt_verdict v);

#endif
