/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/query.h"

#include <endian.h>

enum { OPT_FIXED = 10 }; /* type, class, TTL, length behind the owner */

/* The qname at offset 12: checks, finds the labels, lower-cases, in one walk plus one pass of words. */
static int parse_qname(const uint8_t *pkt, size_t len, struct dns_name *name)
{
    size_t p = DNS_HEADER_SIZE;
    unsigned labels = 0;
    /* Labels of a name of 255 bytes cannot be more than 127, so the length check bounds off[] too. */
    for (;;) {
        if (PM_UNLIKELY(p >= len))
            return PM_ESHORT;
        unsigned c = pkt[p];
        name->off[labels] = (uint8_t)(p - DNS_HEADER_SIZE);
        if (c == 0)
            break;
        p += c + 1;
        /* Compression makes no sense in the first name of a packet. */
        if (PM_UNLIKELY(c > DNS_LABEL_MAX || p > DNS_HEADER_SIZE + DNS_NAME_MAX - 1))
            return PM_EPROTO;
        labels++;
    }
    size_t n = p + 1 - DNS_HEADER_SIZE;
    name->labels = (uint8_t)labels;
    name->len = (uint8_t)n;
    const uint8_t *src = pkt + DNS_HEADER_SIZE;
    uint64_t w;
    size_t i = 0;
    /* Whole words, if the packet goes on that far; what follows the name in them is nobody's. */
    size_t words = DNS_HEADER_SIZE + n + 7 <= len ? n + 7 : n;
    for (; i + 8 <= words; i += 8) {
        memcpy(&w, src + i, 8);
        w = dns_lower8(w);
        memcpy(name->wire + i, &w, 8);
    }
    if (PM_UNLIKELY(i < n)) {
        w = 0;
        memcpy(&w, src + i, n - i);
        w = dns_lower8(w);
        memcpy(name->wire + i, &w, 8);
    }
    return PM_OK;
}

static void parse_ecs(const uint8_t *p, unsigned n, struct dns_ecs *ecs)
{
    bool again = ecs->state != DNS_ECS_NONE;
    ecs->state = DNS_ECS_BAD;
    if (again || n < 4)
        return;
    unsigned family = dns_get16(p), source = p[2], scope = p[3], bytes = (source + 7) / 8;
    unsigned max = family == 1 ? 32 : family == 2 ? 128 : 0;
    if (family > 2 || source > max || scope != 0 || n != 4 + bytes)
        return;
    if (source % 8 && p[3 + bytes] & 0xff >> source % 8)
        return;
    ecs->state = DNS_ECS_OK;
    ecs->raw = p;
    ecs->family = (uint8_t)family;
    ecs->source = ecs->client_len = (uint8_t)source;
    if (!family)
        return;
    ecs->addr.family = family == 1 ? ADDR_V4 : ADDR_V6;
    memcpy(ecs->addr.bytes, p + 4, bytes);
    if (family == 2 && source >= 96) {
        struct addr sent = ecs->addr;
        addr_from_bytes(&ecs->addr, ADDR_V6, sent.bytes);
        if (ecs->addr.family == ADDR_V4)
            ecs->client_len = (uint8_t)(source - 96);
    }
}

static int parse_options(const uint8_t *p, size_t left, struct dns_edns *e)
{
    while (left) {
        if (left < 4)
            return DNS_RCODE_FORMERR;
        unsigned code = dns_get16(p), n = dns_get16(p + 2);
        p += 4;
        left -= 4;
        if (n > left)
            return DNS_RCODE_FORMERR;
        switch (code) {
        case DNS_OPTION_ECS:
            parse_ecs(p, n, &e->ecs);
            break;
        case DNS_OPTION_NSID:
            e->nsid = true;
            break;
        case DNS_OPTION_KEEPALIVE:
            e->keepalive = true;
            break;
        case DNS_OPTION_COOKIE:
            if (n == 8 || (n >= 16 && n <= 40)) {
                e->cookie = p;
                e->cookie_len = (uint8_t)n;
            }
            break;
        default:
            break; /* RFC 6891 6.1.2: unknown options are ignored */
        }
        p += n;
        left -= n;
    }
    return DNS_RCODE_NOERROR;
}

/* The OPT record whose owner (the root, one byte) is at p. */
static int parse_opt(const uint8_t *p, struct dns_query *q)
{
    struct dns_edns *e = &q->edns;
    e->present = true;
    e->udp_size = dns_get16(p + 3);
    e->version = p[6];
    e->dnssec_ok = p[7] & 0x80;
    if (e->version != 0)
        return DNS_RCODE_BADVERS; /* its options may mean anything */
    return parse_options(p + 1 + OPT_FIXED, dns_get16(p + 9), e);
}

/* Everything behind the question. *at is where it starts. */
static int parse_records(struct dns_query *q, size_t at)
{
    const uint8_t *pkt = q->packet;
    unsigned an = dns_get16(pkt + 6), ns = dns_get16(pkt + 8), ar = dns_get16(pkt + 10);
    int verdict = DNS_RCODE_NOERROR;
    bool tsig = false;
    if (an || (ns && q->qtype != DNS_TYPE_IXFR))
        verdict = DNS_RCODE_FORMERR;
    for (unsigned i = 0, all = an + ns + ar; i < all; i++) {
        size_t owner = at;
        if (tsig || dns_name_skip(pkt, q->len, &at) < 0 || at + OPT_FIXED > q->len)
            return DNS_RCODE_FORMERR;
        unsigned type = dns_get16(pkt + at), n = dns_get16(pkt + at + 8);
        at += OPT_FIXED;
        if (at + n > q->len)
            return DNS_RCODE_FORMERR;
        at += n;
        if (type == DNS_TYPE_OPT) {
            if (i < an + ns || q->edns.present || pkt[owner] != 0)
                return DNS_RCODE_FORMERR;
            int r = parse_opt(pkt + owner, q);
            if (verdict == DNS_RCODE_NOERROR)
                verdict = r;
        }
        tsig = type == DNS_TYPE_TSIG && i >= an + ns;
    }
    if (at != q->len)
        return DNS_RCODE_FORMERR;
    return tsig && verdict == DNS_RCODE_NOERROR ? DNS_RCODE_NOTAUTH : verdict;
}

/* What nearly every query has behind the question is an OPT alone, or nothing. */
static int parse_tail(struct dns_query *q, size_t at)
{
    uint64_t counts; /* QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT */
    memcpy(&counts, q->packet + 4, 8);
    const uint8_t *opt = q->packet + at;
    if (counts == htobe64(1ull << 48) && at == q->len)
        return DNS_RCODE_NOERROR;
    if (PM_LIKELY(counts == htobe64(1ull << 48 | 1) && at + 1 + OPT_FIXED <= q->len && opt[0] == 0 &&
                  dns_get16(opt + 1) == DNS_TYPE_OPT && at + 1 + OPT_FIXED + dns_get16(opt + 9) == q->len))
        return parse_opt(opt, q);
    return parse_records(q, at);
}

static int judge(struct dns_query *q)
{
    const uint8_t *pkt = q->packet;
    q->id = dns_get16(pkt);
    q->flags = dns_get16(pkt + 2);
    q->opcode = q->flags >> 11 & 15;
    if (q->flags & DNS_FLAG_QR)
        return DNS_VERDICT_DROP;
    if (q->opcode != DNS_OPCODE_QUERY)
        return DNS_RCODE_NOTIMP;
    if (dns_get16(pkt + 4) != 1 || parse_qname(pkt, q->len, &q->name) < 0)
        return DNS_RCODE_FORMERR;
    size_t at = DNS_HEADER_SIZE + q->name.len;
    if (at + 4 > q->len)
        return DNS_RCODE_FORMERR;
    q->qtype = dns_get16(pkt + at);
    q->qclass = dns_get16(pkt + at + 2);
    q->question_len = (uint16_t)(q->name.len + 4);
    q->has_question = true;
    int verdict = parse_tail(q, at + 4);
    if (PM_LIKELY(!dns_type_is_meta(q->qtype)) || verdict != DNS_RCODE_NOERROR)
        return verdict;
    bool nonsense = q->qtype == 0 || q->qtype == DNS_TYPE_OPT || q->qtype == DNS_TYPE_TSIG ||
                    q->qtype == DNS_TYPE_TKEY;
    return nonsense ? DNS_RCODE_FORMERR : DNS_RCODE_NOERROR;
}

int dns_query_parse(const uint8_t *packet, size_t len, struct dns_query *q)
{
    /* Not the name: it is large, and its bytes are written before they are read. */
    memset(q, 0, offsetof(struct dns_query, name));
    q->packet = packet;
    q->len = (uint16_t)(len <= 65535 ? len : 65535);
    q->verdict = DNS_VERDICT_DROP;
    if (len >= DNS_HEADER_SIZE && len <= 65535)
        q->verdict = judge(q);
    return q->verdict;
}
