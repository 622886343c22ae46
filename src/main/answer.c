/* SPDX-License-Identifier: Apache-2.0 */
#include "main/answer.h"

#include <string.h>
#include "dns/answer.h"
#include "model/config.h"
#include "policy/director.h"

/* The director's and the packet writer's lists are the same bytes. */
_Static_assert(SNAP_CANDS_MAX == DNS_SERVICE_ADDRS_MAX, "one limit for addresses in an answer");

struct scratch {
    struct director_thread director;
    const struct snapshot *snapshot; /* of the query being answered */
    uint8_t fallen_back;
};

size_t answer_scratch_size(void)
{
    return sizeof(struct scratch);
}

static void ask_director(void *ctx, const struct dns_service_query *q, struct dns_service_answer *out)
{
    static const uint8_t statuses[] = {[DIRECTOR_ADDRESSES] = DNS_SERVICE_ADDRS,
                                       [DIRECTOR_NODATA] = DNS_SERVICE_NODATA,
                                       [DIRECTOR_SERVFAIL] = DNS_SERVICE_SERVFAIL};
    struct scratch *s = ctx;
    struct director_answer a;
    struct director_request r = {.service = q->service, .family = q->qtype != 1, .client = q->client, .located = true};
    director_choose(s->snapshot, &s->director, &r, &a);
    out->status = statuses[a.status];
    out->ttl = a.ttl_s;
    out->scope = a.scope;
    out->count = a.count;
    memcpy(out->rdata, a.address, a.count * sizeof a.address[0]);
    s->fallen_back = a.fallen_back;
}

static void count(uint64_t *counters, const struct dns_answer_info *info, uint8_t fallen_back)
{
    static const uint8_t by_rcode[17] = {
        [0] = ANSWER_NOERROR, [1] = ANSWER_FORMERR, [2] = ANSWER_SERVFAIL, [3] = ANSWER_NXDOMAIN, [4] = ANSWER_NOTIMP,
        [5] = ANSWER_REFUSED, [6 ... 15] = ANSWER_OTHER, [16] = ANSWER_BADVERS};
    respond_count_at(&counters[by_rcode[info->rcode <= 16 ? info->rcode : 15]], 1);
    if (info->truncated)
        respond_count_at(&counters[ANSWER_TRUNCATED], 1);
    if (info->service != DNS_SERVICE_NONE)
        respond_count_at(&counters[ANSWER_SERVICE], 1);
    if (info->ecs)
        respond_count_at(&counters[ANSWER_SUBNET], 1);
    if (fallen_back)
        respond_count_at(&counters[ANSWER_FALLBACK], 1);
}

static uint8_t nsid_length(const char *name)
{
    size_t n = strlen(name);
    return (uint8_t)(n < DNS_NSID_MAX ? n : DNS_NSID_MAX);
}

size_t answer_packet(void *ctx, struct respond_thread *t, const uint8_t *pkt, size_t len, const struct respond_peer *peer,
                     uint8_t *out, size_t cap)
{
    const struct answer_context *c = ctx;
    struct scratch *s = t->scratch;
    const struct snapshot *snap = world_current(c->world);
    const struct cfg_dns *cfg = &snap->config->dns;
    struct dns_answer_info info;
    if (PM_UNLIKELY(!s->director.random))
        director_thread_init(&s->director, respond_random(t) | 1);
    s->snapshot = snap;
    s->fallen_back = 0;
    struct dns_answer_env env = {
        .tcp = peer->tcp,
        .ecs = cfg->ecs,
        .ecs_max_v4 = (uint8_t)cfg->ecs_v4_max,
        .ecs_max_v6 = (uint8_t)cfg->ecs_v6_max,
        .udp_max = (uint16_t)cfg->udp_size,
        .nsid = cfg->nsid ? (const uint8_t *)snap->config->node.name : NULL,
        .nsid_len = cfg->nsid ? nsid_length(snap->config->node.name) : 0,
        .version = cfg->version,
        .client = peer->client.addr,
        .service = ask_director,
        .ctx = s,
    };
    size_t n = dns_answer(snap->zones, pkt, len, &env, out, cap, &info);
    if (n)
        count(t->counters, &info, s->fallen_back);
    return n;
}
