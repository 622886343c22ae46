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
/* All tables of the object are to live in the folder of a BPF file system (made when missing); NULL: nothing to do. One that
 * was left there in another size or form, by another version or configuration, is given up; why says which. */
int load_pin(struct bpf_object *o, const char *folder, struct buf *why) PM_MUST_CHECK;
/* Whether tables can be kept there: its parent is in a BPF file system. */
bool load_can_pin(const char *folder);
/* Sums a per-CPU table of counters. */
void load_counters(const struct bpf_map *map, struct relay_count *sum, uint32_t count);

#endif
