/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/answer_state.h"

static const uint8_t version_names[2][16] = {"\7version\4bind", "\7version\6server"};
static const uint8_t id_names[2][16] = {"\2id\6server", "\10hostname\4bind"};

static bool one_of(const struct dns_name *n, const uint8_t names[2][16])
{
    return dns_name_eq(n->wire, names[0]) || dns_name_eq(n->wire, names[1]);
}

/* NSID is opaque bytes (RFC 5001), and so is TXT. */
void dns_answer_chaos(struct dns_state *s)
{
    const struct dns_query *q = &s->query;
    uint8_t rdata[256];
    const void *text = NULL;
    size_t len = 0;
    if (one_of(&q->name, version_names) && s->env->version) {
        text = s->env->version;
        len = strnlen(s->env->version, 255);
    } else if (one_of(&q->name, id_names) && s->env->nsid_len) {
        text = s->env->nsid;
        len = s->env->nsid_len;
    }
    if (!text) {
        s->rcode = DNS_RCODE_REFUSED;
        s->info->kind = DNS_KIND_REFUSED;
        return;
    }
    s->info->kind = DNS_KIND_CHAOS;
    s->authoritative = true;
    if (q->qtype != DNS_TYPE_TXT && q->qtype != DNS_TYPE_ANY)
        return;
    rdata[0] = (uint8_t)len;
    memcpy(rdata + 1, text, len);
    struct dns_owner owner = {q->name.wire, DNS_HEADER_SIZE};
    if (!dns_write_record(&s->w, DNS_ANSWER, owner, DNS_TYPE_TXT, DNS_CLASS_CH, 0, rdata, (unsigned)len + 1))
        s->truncated = true;
}
