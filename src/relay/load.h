/* SPDX-License-Identifier: Apache-2.0 */
/* What loading a packet program has in common, be it the balancer's or the node's. */
#ifndef PM_RELAY_LOAD_H
#define PM_RELAY_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "relay/bpf/shared.h"

struct bpf_map;
struct bpf_object;

/* The kernel's own words about a rejected program go to nobody; why gets what and the error's text. Returns the code. */
int load_fail(struct buf *why, int err, const char *what);
void load_quiet(void);
/*
 * The tables of these names (NULL ends them) are to live in the folder of a BPF file system (made when missing), and are used
 * again by the next process; what is there already but does not fit is removed, and the log says so. NULL: nothing to do.
 */
int load_pin(struct bpf_object *o, const char *folder, const char *const *names, struct buf *why) PM_MUST_CHECK;
/* Whether tables can be kept there: its parent is in a BPF file system. */
bool load_can_pin(const char *folder);
/* Sums a per-CPU table of counters. */
void load_counters(const struct bpf_map *map, struct relay_count *sum, uint32_t count);

#endif
