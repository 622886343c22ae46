/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Virtual hosts of a farm: the name itself, else the longest part of it behind a star, else the entry for any other. */
#ifndef PM_RELAY_BPF_NAMES_H
#define PM_RELAY_BPF_NAMES_H

#include "relay/bpf/request.h"
#include "relay/bpf/tables.h"

static __always_inline struct relay_host *host_get(__u64 name, __u32 farm, __u32 kind)
{
    struct relay_host_key key = {.name = name, .farm = farm, .kind = kind};
    return bpf_map_lookup_elem(&hosts, &key);
}

/* kind: RELAY_HOST_H2C or 0. Of the host that was read into the scratch. */
static __always_inline struct relay_host *host_of(struct scratch *s, __u32 farm, __u32 kind)
{
    struct relay_host *host = NULL;
    if (s->name_end) {
        host = host_get(s->r.host, farm, kind);
        if (!host)
            request_labels(s);
        for (__u32 i = 0; !host && i < RELAY_LABELS_MAX; i++) {
            __u32 at = s->r.labels - 1 - i;
            if (i >= s->r.labels || at >= RELAY_LABELS_MAX)
                break;
            host = host_get(s->r.label[at], farm, kind | RELAY_HOST_BELOW);
        }
    }
    return host ? host : host_get(0, farm, kind);
}

#endif
