/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * relay_flow.doubt: where another balancer may have had the client's packets, its node knows better than we do. It is asked
 * after a second, when nothing is under way any more of one that has died meanwhile.
 *
 *   found, heard of, or packets beyond the next request ──> since now ──a second──> ASKED ──its answer──> none
 */
#ifndef PM_RELAY_BPF_DOUBT_H
#define PM_RELAY_BPF_DOUBT_H

#include <stdbool.h>
#include "relay/bpf/tables.h"

enum { DOUBT_ASKED = 1, DOUBT_FOR = 1000 /* doubt_now() */ };

/* About a millisecond, neither 0 nor DOUBT_ASKED; it goes round after weeks. */
static __always_inline __u32 doubt_now(void)
{
    return (__u32)(bpf_ktime_get_coarse_ns() >> 20) | 2;
}

static __always_inline bool doubt_is_due(const struct relay_flow *f)
{
    return f->doubt > DOUBT_ASKED && doubt_now() - f->doubt > DOUBT_FOR;
}

#endif
