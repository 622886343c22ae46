/* SPDX-License-Identifier: Apache-2.0 */
#include "main/answer_explain.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/clock.h"
#include "dns/name.h"
#include "dns/types.h"
#include "main/answer.h"

enum { QUERY_MAX = 12 + DNS_NAME_MAX + 4 + 11 + 8 + 16, OUT_MAX = 4096, TYPE_OPT_ = 41, OPTION_SUBNET = 8 };

static size_t put16(uint8_t *at, unsigned v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
    return 2;
}

/* OPT with a client subnet option (RFC 6891 section 6.1.2, RFC 7871 section 6). */
static size_t put_subnet(uint8_t *at, const struct addr *client, unsigned bits)
{
    uint8_t *start = at;
    unsigned bytes = (bits + 7) / 8;
    struct prefix p;
    prefix_make(&p, client, bits);
    *at++ = 0;
    at += put16(at, TYPE_OPT_);
    at += put16(at, OUT_MAX);
    memset(at, 0, 4);
    at += 4;
    at += put16(at, 8 + bytes);
    at += put16(at, OPTION_SUBNET);
    at += put16(at, 4 + bytes);
    at += put16(at, client->family == ADDR_V4 ? 1 : 2);
    *at++ = (uint8_t)bits;
    *at++ = 0;
    memcpy(at, p.addr.bytes, bytes);
    return (size_t)(at + bytes - start);
}

static size_t put_query(uint8_t *q, const char *name, uint16_t type, const struct addr *client, unsigned bits)
{
    memset(q, 0, 12);
    q[5] = 1;
    int n = dns_name_parse(name, NULL, q + 12);
    if (n < 0)
        return 0;
    size_t len = 12 + (size_t)n;
    len += put16(q + len, type);
    len += put16(q + len, 1);
    if (client) {
        q[11] = 1;
        len += put_subnet(q + len, client, bits);
    }
    return len;
}

static json_t *section_json(const ldns_rr_list *list)
{
    json_t *out = json_array();
    for (size_t i = 0; list && i < ldns_rr_list_rr_count(list); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(list, i);
        char *owner = ldns_rdf2str(ldns_rr_owner(rr)), *type = ldns_rr_type2str(ldns_rr_get_type(rr));
        struct buf data = BUF_INIT;
        for (size_t k = 0; k < ldns_rr_rd_count(rr); k++) {
            char *text = ldns_rdf2str(ldns_rr_rdf(rr, k));
            buf_printf(&data, "%s%s", k ? " " : "", text ? text : "");
            free(text);
        }
        json_array_append_new(out, json_pack("{s:s, s:I, s:s, s:s, s:s}", "name", owner ? owner : "", "ttl",
                                             (json_int_t)ldns_rr_ttl(rr), "class", "IN", "type", type ? type : "", "data",
                                             buf_str(&data)));
        buf_fini(&data);
        free(owner);
        free(type);
    }
    return out;
}

static json_t *decode(const uint8_t *msg, size_t len)
{
    ldns_pkt *p = NULL;
    char rcode[DNS_TYPE_TEXT];
    struct buf hex = BUF_INIT;
    for (size_t i = 0; i < len; i++)
        buf_printf(&hex, "%02x", msg[i]);
    json_t *flags = json_array(), *o = NULL;
    if (ldns_wire2pkt(&p, msg, len) == LDNS_STATUS_OK) {
        json_array_append_new(flags, json_string("qr"));
        if (ldns_pkt_aa(p))
            json_array_append_new(flags, json_string("aa"));
        if (ldns_pkt_tc(p))
            json_array_append_new(flags, json_string("tc"));
        o = json_pack("{s:s, s:s, s:O, s:o, s:o, s:o}", "bytes", buf_str(&hex), "rcode",
                      dns_rcode_name(ldns_pkt_get_rcode(p), rcode), "flags", flags, "answer", section_json(ldns_pkt_answer(p)),
                      "authority", section_json(ldns_pkt_authority(p)), "additional", section_json(ldns_pkt_additional(p)));
        ldns_pkt_free(p);
    }
    json_decref(flags);
    buf_fini(&hex);
    return o;
}

json_t *answer_explain(struct world *world, const char *name, const char *type, const struct addr *client, unsigned client_len)
{
    uint8_t query[QUERY_MAX], *out;
    uint64_t counters[ANSWER_COUNTER_COUNT] = {0}; /* not counted as traffic */
    uint16_t qtype;
    if (dns_type_parse(type, &qtype) != PM_OK)
        return NULL;
    size_t len = put_query(query, name, qtype, client, client_len);
    if (!len)
        return NULL;
    struct answer_context context = {world};
    struct respond_thread t = {.scratch = mem_alloc(answer_scratch_size()), .counters = counters,
                               .random = clock_mono_ns(&clock_system)};
    struct respond_peer peer = {.tcp = false};
    if (client)
        peer.client.addr = *client;
    out = mem_alloc(OUT_MAX);
    size_t n = answer_packet(&context, &t, query, len, &peer, out, OUT_MAX);
    json_t *o = n ? decode(out, n) : NULL;
    free(out);
    free(t.scratch);
    return o;
}
