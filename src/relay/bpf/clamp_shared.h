/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the clamping program and the process that loads it both see. */
#ifndef PM_RELAY_BPF_CLAMP_SHARED_H
#define PM_RELAY_BPF_CLAMP_SHARED_H

#include <linux/types.h>

/* By source address, 16 bytes. */
struct clamp_value {
    __u64 lowered; /* how often */
    __u16 mss;     /* no larger one leaves from that address; machine order */
    __u16 pad[3];
};
enum { CLAMPS_MAX = 4096 };

#endif
