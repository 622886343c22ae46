/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A DNS question and a look at its reply (RFC 1035 4.1), as much as a check needs. Pure: bytes in,
 * bytes out; safe on any bytes. Fuzzed by tests/fuzz/fuzz_mon.c.
 */
#ifndef PM_MONITOR_DNS_ASK_H
#define PM_MONITOR_DNS_ASK_H

#include <stdbool.h>
#include "base/addr.h"

enum { DNS_ASK_MAX = 12 + 255 + 4 };

/* Returns the length, or 0 when name is no domain name. "." is the root; no escapes. */
size_t dns_ask_make(uint8_t out[DNS_ASK_MAX], uint16_t id, bool recursion, const char *name,
                    uint16_t type);

enum dns_ask_verdict {
    DNS_ASK_OTHER,  /* not the reply to this question: somebody else's, or forged */
    DNS_ASK_BROKEN, /* is it, but ends early or points nowhere */
    DNS_ASK_OK,
};
struct dns_ask_reply {
    uint8_t rcode;
    bool truncated, authoritative;
    uint16_t answers;
    bool found; /* an address record of the answer section is `want` */
};
/* want may be NULL. A truncated reply's records are not looked at. */
enum dns_ask_verdict dns_ask_read(const uint8_t *msg, size_t len, const uint8_t *question,
                                  size_t question_len, const struct addr *want,
                                  struct dns_ask_reply *out);

#endif
