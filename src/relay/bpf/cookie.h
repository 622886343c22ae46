/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * SYN cookies: our initial sequence number says what the client has offered, under 24 bits of SipHash over the connection
 * and an epoch of 64 s; so nothing is remembered between SYN and the first data, and any balancer with the key can go on.
 *
 *   31            8 7      6 5    4      1 0
 *   hash            mss      sack scale    epoch's last bit
 *
 * Whether the client sends timestamps is seen in every packet. A scale of 15 means none (RFC 7323 allows up to 14).
 */
#ifndef PM_RELAY_BPF_COOKIE_H
#define PM_RELAY_BPF_COOKIE_H

#include <linux/types.h>
#include "relay/bpf/shared.h"
#include "relay/bpf/siphash.h"

enum { COOKIE_NO_SCALE = 15, COOKIE_BITS = 0xff };

/* The largest of these the client takes; most say the last or the last but one. */
static inline __attribute__((always_inline)) __u32 cookie_mss(__u32 code)
{
    return code == 0 ? 536 : code == 1 ? 1300 : code == 2 ? 1440 : 1460;
}

static inline __attribute__((always_inline)) __u32 cookie_mss_code(__u32 mss)
{
    return mss < 1300 ? 0 : mss < 1440 ? 1 : mss < 1460 ? 2 : 3;
}

static inline __attribute__((always_inline)) __u32 cookie_bits(__u32 mss, __u32 sack, __u32 scale)
{
    return cookie_mss_code(mss) << 6 | !!sack << 5 | (scale & 15) << 1;
}

/* isn: the client's, in machine order. */
static inline __attribute__((always_inline)) __u32 cookie_make(const struct siphash_key *key,
                                                               const struct relay_flow_key *f, __u32 isn, __u32 epoch,
                                                               __u32 bits)
{
    struct siphash s;
    const __u64 *address = (const __u64 *)f->client; /* both addresses: 32 bytes from there */
    bits = (bits & ~1u & COOKIE_BITS) | (epoch & 1);
    siphash_begin(&s, key);
    for (int i = 0; i < 4; i++)
        siphash_word(&s, address[i]);
    siphash_word(&s, (__u64)f->client_port << 48 | (__u64)f->vip_port << 32 | isn);
    siphash_word(&s, (__u64)epoch << 8 | bits);
    return (__u32)siphash_end(&s) << 8 | bits;
}

/* Made in this epoch or the one before? */
static inline __attribute__((always_inline)) int cookie_valid(const struct siphash_key *key,
                                                              const struct relay_flow_key *f, __u32 isn, __u32 now,
                                                              __u32 cookie)
{
    __u32 epoch = (now & 1) == (cookie & 1) ? now : now - 1;
    return cookie_make(key, f, isn, epoch, cookie) == cookie;
}

#endif
