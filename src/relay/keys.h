/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay's keys, all from one secret of 32 bytes that the balancers of a site share:
 *
 *   secret ─┬> cookie key                     balancers only
 *          ├─> keys of what they share          balancers only: one for each process of each
 *          └─> tag secret ──> key of an hour  balancers and nodes: a node that is broken into can forge no cookies
 *
 * The tag's key changes every hour of wall-clock time; header and tables name it by the hour modulo HANDOFF_KEYS, and the
 * hour before and after are valid, too, so clocks may differ by minutes.
 *
 * Pure but for relay_secret_load. Failure: a code and one line in why.
 */
#ifndef PM_RELAY_KEYS_H
#define PM_RELAY_KEYS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "relay/bpf/handoff.h"

enum { RELAY_SECRET = 32 };

/* Reads the file; makes it (0600) when there is none. */
int relay_secret_load(const char *path, uint8_t secret[RELAY_SECRET], struct buf *why) PM_MUST_CHECK;
void relay_cookie_key(const uint8_t secret[RELAY_SECRET], struct siphash_key *out);
/* salt: the process's. */
void relay_share_key(const uint8_t secret[RELAY_SECRET], const uint8_t *salt, size_t n, uint8_t out[RELAY_SECRET]);
void relay_tag_secret(const uint8_t secret[RELAY_SECRET], uint8_t out[RELAY_SECRET]);
/* The table of keys at that time, for both sides. Returns the number of the one to send with. */
uint32_t relay_tag_keys(const uint8_t tag_secret[RELAY_SECRET], uint64_t wall_ms, struct siphash_key out[HANDOFF_KEYS]);

#endif
