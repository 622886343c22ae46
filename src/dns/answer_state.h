/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One answer in the making; for answer*.c only. answer.c frames it (header, EDNS, limits), answer_lookup.c finds what to say,
 * answer_chaos.c says who we are.
 */
#ifndef PM_DNS_ANSWER_STATE_H
#define PM_DNS_ANSWER_STATE_H

#include "dns/answer.h"
#include "dns/write.h"

struct dns_state {
    const struct dns_zones *zones;
    const struct dns_answer_env *env;
    struct dns_answer_info *info;
    bool authoritative, truncated;
    uint8_t scope;
    uint16_t rcode;
    struct dns_writer w;
    struct dns_query query;
    uint64_t hashes[DNS_LABELS_MAX + 1]; /* of the query's name */
};

void dns_answer_lookup(struct dns_state *s);
void dns_answer_chaos(struct dns_state *s);

#endif
