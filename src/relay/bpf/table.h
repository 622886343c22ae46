/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#ifndef PM_RELAY_BPF_TABLE_H
#define PM_RELAY_BPF_TABLE_H

#ifdef __bpf__
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* A map: its name, type (BPF_MAP_TYPE_ without the beginning), size, key and value. */
#define TABLE(name_, type_, max_, key_, value_)                                                                        \
    struct {                                                                                                           \
        __uint(type, BPF_MAP_TYPE_##type_);                                                                            \
        __uint(max_entries, max_);                                                                                     \
        __type(key, key_);                                                                                             \
        __type(value, value_);                                                                                         \
    } name_ SEC(".maps")

/*
 * old: what a lookup of the key has just found, or NULL. It is overwritten: another element of a full table is one more piece of
 * cold memory. That the lookup has marked it as used all but rules out that it is pushed out in between.
 */
#define TABLE_PUT(map_, key_, old_, value_)                                                                            \
    do {                                                                                                               \
        if (old_)                                                                                                      \
            *(old_) = *(value_);                                                                                       \
        else                                                                                                           \
            bpf_map_update_elem(map_, key_, value_, BPF_ANY);                                                          \
    } while (0)
#endif

#endif
