/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How often we speak unasked (enum limit): so many per second and CPU, given out by tenths of a second. */
#ifndef PM_RELAY_BPF_LIMIT_H
#define PM_RELAY_BPF_LIMIT_H

#include "relay/bpf/tables.h"

enum limit { LIMIT_ICMP, LIMIT_FIND, LIMIT_COUNT };

struct allowance {
    __u64 ns;
    __u32 left;
    __u32 pad;
};
TABLE(allowances, PERCPU_ARRAY, LIMIT_COUNT, __u32, struct allowance);

static __always_inline bool allowed(__u32 what, __u32 rate)
{
    struct allowance *a = bpf_map_lookup_elem(&allowances, &what);
    __u64 now = bpf_ktime_get_ns();
    if (!a)
        return false;
    if (now - a->ns > 100000000) {
        a->ns = now;
        a->left = (rate + 9) / 10;
    }
    if (!a->left)
        return false;
    a->left--;
    return true;
}

#endif
