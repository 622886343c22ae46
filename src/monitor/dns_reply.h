/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the reply to a check's question. Pure; bounds are the message's. */
#ifndef PM_MONITOR_DNS_REPLY_H
#define PM_MONITOR_DNS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/addr.h"

struct dns_reply {
    uint16_t rcode;
    bool truncated, authoritative;
};

/* PM_ENOTFOUND: not a reply to this query (id or question differ). PM_EPROTO, PM_ESHORT: malformed. */
int dns_reply_parse(const uint8_t *data, size_t len, const uint8_t *query, size_t query_len, struct dns_reply *out) PM_MUST_CHECK;
/* Whether an A or AAAA record of the answer section is one of the addresses. */
bool dns_reply_has_address(const uint8_t *data, size_t len, const struct addr *wanted, size_t n);

#endif
