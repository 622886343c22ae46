/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by relay.c (tables) and choose.c (the packet program's decisions, made outside of it). */
#ifndef PM_RELAY_RELAY_INTERNAL_H
#define PM_RELAY_RELAY_INTERNAL_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <limits.h>
#include "relay/relay.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "relay/balancer.skel.h"
#pragma GCC diagnostic pop

enum { RELAY_INTERFACES_MAX = 64 };

struct relay {
    struct relay_balancer_bpf *skel;
    struct ring_buffer *events;
    char pin[PATH_MAX]; /* "": none */
    relay_event_fn *event_fn;
    void *event_arg;
    unsigned events_read; /* this time */
    struct relay_settings settings; /* as set last */
    struct {
        uint32_t *places, size;
    } ring[RELAY_SETS_MAX]; /* as in the kernel, for choose.c */
    struct {
        unsigned ifindex;
        bool native;
    } attached[RELAY_INTERFACES_MAX];
    unsigned attached_count;
};

static inline int relay_map_set(const struct bpf_map *map, const void *key, const void *value)
{
    int err = bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY);
    return err ? err_from_errno(-err) : PM_OK;
}

static inline int relay_map_unset(const struct bpf_map *map, const void *key)
{
    int err = bpf_map_delete_elem(bpf_map__fd(map), key);
    return err ? err_from_errno(-err) : PM_OK;
}

#endif
