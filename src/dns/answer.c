/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/answer_state.h"

enum { OPT_SIZE = 11, OPTION_HEADER = 4, UDP_MIN = 512, MESSAGE_MAX = 65535 };

static bool wants_ecs(const struct dns_state *s)
{
    return s->env->ecs && s->query.edns.ecs.state == DNS_ECS_OK;
}

static bool wants_nsid(const struct dns_state *s)
{
    return s->query.edns.nsid && s->env->nsid_len && s->query.edns.version == 0;
}

static bool wants_keepalive(const struct dns_state *s)
{
    return s->env->tcp && s->env->keepalive && s->query.edns.keepalive;
}

/* Bytes of the OPT record the answer will end with; the records before must leave them free. */
static unsigned opt_size(const struct dns_state *s)
{
    unsigned n = OPT_SIZE;
    if (wants_ecs(s))
        n += OPTION_HEADER + 4 + (s->query.edns.ecs.source + 7u) / 8;
    if (wants_nsid(s))
        n += OPTION_HEADER + s->env->nsid_len;
    if (wants_keepalive(s))
        n += OPTION_HEADER + 2;
    return n;
}

/* The scope on the wire: capped, and in the family of the option. */
static uint8_t ecs_scope(const struct dns_state *s)
{
    const struct dns_ecs *e = &s->query.edns.ecs;
    unsigned scope = s->scope;
    if (!e->source || !scope)
        return 0;
    bool v4 = e->addr.family == ADDR_V4;
    unsigned max = v4 ? s->env->ecs_max_v4 : s->env->ecs_max_v6, bits = v4 ? 32 : 128;
    if (!max || max > bits)
        max = bits;
    if (scope > max)
        scope = max;
    return (uint8_t)(v4 && e->family == 2 ? scope + 96 : scope);
}

static uint8_t *put_option(uint8_t *p, unsigned code, const uint8_t *data, unsigned len)
{
    dns_put16(p, code);
    dns_put16(p + 2, len);
    memcpy(p + OPTION_HEADER, data, len);
    return p + OPTION_HEADER + len;
}

static void put_opt(struct dns_state *s)
{
    uint8_t *start = s->w.out + s->w.len, *p = start + OPT_SIZE;
    unsigned size = s->env->udp_max < UDP_MIN ? UDP_MIN : s->env->udp_max;
    start[0] = 0;
    dns_put16(start + 1, DNS_TYPE_OPT);
    dns_put16(start + 3, size);
    start[5] = (uint8_t)(s->rcode >> 4);
    start[6] = 0;
    start[7] = s->query.edns.dnssec_ok ? 0x80 : 0;
    start[8] = 0;
    if (wants_ecs(s)) {
        const struct dns_ecs *e = &s->query.edns.ecs;
        uint8_t *option = p;
        p = put_option(p, DNS_OPTION_ECS, e->raw, 4 + (e->source + 7u) / 8);
        option[OPTION_HEADER + 3] = s->info->scope = ecs_scope(s);
    }
    if (wants_nsid(s))
        p = put_option(p, DNS_OPTION_NSID, s->env->nsid, s->env->nsid_len);
    if (wants_keepalive(s)) {
        uint8_t timeout[2];
        dns_put16(timeout, s->env->keepalive);
        p = put_option(p, DNS_OPTION_KEEPALIVE, timeout, 2);
    }
    dns_put16(start + 9, (unsigned)(p - start - OPT_SIZE));
    s->w.len = (uint32_t)(p - s->w.out);
    s->w.count[DNS_ADDITIONAL]++;
}

static size_t limit_of(const struct dns_state *s, size_t cap)
{
    size_t limit = MESSAGE_MAX;
    if (!s->env->tcp) {
        limit = UDP_MIN;
        if (s->query.edns.present) {
            limit = s->query.edns.udp_size < s->env->udp_max ? s->query.edns.udp_size : s->env->udp_max;
            limit = limit < UDP_MIN ? UDP_MIN : limit;
        }
    }
    return limit < cap ? limit : cap;
}

static size_t finish(struct dns_state *s)
{
    uint8_t *out = s->w.out;
    const struct dns_query *q = &s->query;
    if (q->edns.present) {
        s->w.limit = UINT32_MAX; /* its room was kept free */
        put_opt(s);
    }
    unsigned flags = DNS_FLAG_QR | (unsigned)q->opcode << 11 | (q->flags & DNS_FLAG_RD) | (s->rcode & 15u);
    flags |= s->authoritative ? DNS_FLAG_AA : 0;
    flags |= s->truncated ? DNS_FLAG_TC : 0;
    dns_put16(out, q->id);
    dns_put16(out + 2, flags);
    dns_put16(out + 4, q->has_question);
    dns_put16(out + 6, s->w.count[DNS_ANSWER]);
    dns_put16(out + 8, s->w.count[DNS_AUTHORITY]);
    dns_put16(out + 10, s->w.count[DNS_ADDITIONAL]);
    s->info->rcode = s->rcode;
    s->info->truncated = s->truncated;
    return s->w.len;
}

/* Nothing in the sections: an error. */
static void only_rcode(struct dns_state *s, unsigned rcode, enum dns_answer_kind kind)
{
    s->rcode = (uint16_t)rcode;
    s->info->kind = (uint8_t)kind;
}

static void answer_class(struct dns_state *s)
{
    const struct dns_query *q = &s->query;
    bool transfer = q->qtype == DNS_TYPE_AXFR || q->qtype == DNS_TYPE_IXFR;
    if (PM_LIKELY(q->qclass == DNS_CLASS_IN && !transfer))
        dns_answer_lookup(s);
    else if (q->qclass == DNS_CLASS_CH && !transfer)
        dns_answer_chaos(s);
    else
        only_rcode(s, DNS_RCODE_REFUSED, DNS_KIND_REFUSED);
}

size_t dns_answer(const struct dns_zones *z, const uint8_t *pkt, size_t len, const struct dns_answer_env *env,
                  uint8_t *out, size_t cap, struct dns_answer_info *info)
{
    struct dns_state s;
    *info = (struct dns_answer_info){.service = DNS_SERVICE_NONE};
    int verdict = dns_query_parse(pkt, len, &s.query);
    if (verdict == DNS_VERDICT_DROP || cap < DNS_OUT_MIN)
        return 0;
    const struct dns_query *q = &s.query;
    s.zones = z;
    s.env = env;
    s.info = info;
    s.authoritative = s.truncated = false;
    s.scope = 0;
    s.rcode = DNS_RCODE_NOERROR;
    s.w.out = out;
    s.w.len = DNS_HEADER_SIZE + q->question_len;
    s.w.limit = (uint32_t)limit_of(&s, cap) - (q->edns.present ? opt_size(&s) : 0);
    memset(s.w.count, 0, sizeof s.w.count);
    s.w.query = q;
    s.w.known = 0;
    memcpy(out + DNS_HEADER_SIZE, pkt + DNS_HEADER_SIZE, q->question_len);
    info->qtype = q->has_question ? q->qtype : 0;
    info->edns = q->edns.present;
    info->ecs = wants_ecs(&s);
    info->dnssec_ok = q->edns.dnssec_ok;
    if (verdict == DNS_RCODE_NOERROR && env->ecs && q->edns.ecs.state == DNS_ECS_BAD)
        verdict = DNS_RCODE_FORMERR;
    if (PM_UNLIKELY(verdict != DNS_RCODE_NOERROR))
        only_rcode(&s, (unsigned)verdict, DNS_KIND_ERROR);
    else
        answer_class(&s);
    return finish(&s);
}
