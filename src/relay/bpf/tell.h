/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the daemon hears of packets, in the ring of events; and whether it is still there to hear it. */
#ifndef PM_RELAY_BPF_TELL_H
#define PM_RELAY_BPF_TELL_H

#include <stdbool.h>
#include "relay/bpf/tables.h"

/*
 * A daemon that is gone leaves us with servers as it last saw them. Where another balancer stands by, it is better to be
 * silent to new clients: what they send again comes to the other one.
 */
static __always_inline bool silent(const struct relay_settings *s)
{
    return s && s->until_ns && bpf_ktime_get_ns() > s->until_ns;
}

/* Anybody can complete handshakes all day; half of the room stays for segments the daemon has to decide about. */
static __always_inline bool tell_room(void)
{
    return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) <= RELAY_EVENT_BYTES / 2;
}

/* For the other balancers, if there are any. */
static __always_inline void tell_flow(const struct relay_flow_key *k, const struct relay_flow *f)
{
    const struct relay_settings *s = settings_get();
    if (!s || !s->has_peers || !tell_room())
        return;
    struct relay_event *e = bpf_ringbuf_reserve(&events, sizeof *e, 0);
    if (!e)
        return;
    e->kind = RELAY_EVENT_FLOW;
    e->length = e->rtt_us = e->pad = 0;
    e->flow = *k;
    e->value = *f;
    bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

static __always_inline void tell_rtt(const struct relay_flow_key *k, __u32 rtt_us)
{
    if (!tell_room())
        return;
    struct relay_event *e = bpf_ringbuf_reserve(&events, sizeof *e, 0);
    if (!e)
        return;
    e->kind = RELAY_EVENT_RTT;
    e->rtt_us = rtt_us;
    e->length = e->pad = 0;
    e->flow = *k;
    __builtin_memset(&e->value, 0, sizeof e->value);
    bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
}

#endif
