/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet program's hash, in user space: which place of a ring a flow falls on. For `explain`, `sessions` and tests;
 * bpf/balancer.bpf.c has the other copy, and tests/unit/relay compares them packet by packet. Pure.
 */
#ifndef PM_RELAY_RING_H
#define PM_RELAY_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"
#include "relay/bpf/shared.h"

/* 16 bytes as the packet program has them: IPv4 mapped. */
void relay_addr(uint8_t out[16], const struct addr *a);
struct addr relay_addr_of(const uint8_t in[16]); /* the other way */
/* The flow as the packet program sees it. */
void relay_flow_key_make(struct relay_flow_key *k, const struct endpoint *client, const struct endpoint *vip, uint8_t proto);
/* Its place is this modulo the ring's size; by_client: only the client's address counts. */
uint32_t relay_flow_hash(const struct relay_flow_key *k, bool by_client);
/* The same of a QUIC connection whose servers have ids: by the first id, at most RELAY_QUIC_CID_MAX bytes. */
uint32_t relay_cid_hash(const uint8_t *cid, size_t length);
/* As the packet program hashes hosts (lower: in lower case), paths and suffixes. */
uint64_t relay_text_hash(const char *text, bool lower);
/* The same from the end, in lower case: of what is behind the star of a name, ".example.com". */
uint64_t relay_text_hash_back(const char *text);

#endif
