/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/answer_state.h"

enum { STEPS_MAX = 16, HINFO_TTL = 3600 };

/* The name being looked up: the query's at first, then what a CNAME or DNAME led to. */
struct cursor {
    const struct dns_name *name;
    const uint64_t *hashes;
    const uint8_t *sent; /* the same name, its case as it came */
    uint32_t at;         /* where it stands in the message; 0 = nowhere */
    unsigned steps;
    uint64_t seen[STEPS_MAX + 1]; /* hashes of the names before */
    struct dns_name next;         /* what name points at after the first step */
    uint64_t next_hashes[DNS_LABELS_MAX + 1];
    uint8_t next_sent[DNS_NAME_MAX];
};

static struct dns_owner owner_of(const struct cursor *c)
{
    return (struct dns_owner){c->name->wire, c->at};
}

static const struct dns_zone *zone_of(const struct dns_state *s, const struct dns_node *node)
{
    return &s->zones->zones[node->zone];
}

/* An empty answer needs its SOA (RFC 2308 3), so it counts as truncated without. */
static void write_soa(struct dns_state *s, const struct dns_zone *zone, uint32_t ttl_max)
{
    const struct dns_zones *z = s->zones;
    uint32_t ttl = zone->negative_ttl < ttl_max ? zone->negative_ttl : ttl_max;
    struct dns_owner owner = {z->names + z->nodes[zone->apex].name + 1, 0};
    if (!dns_write_set(&s->w, DNS_AUTHORITY, owner, z, &z->sets[zone->soa], ttl))
        s->truncated = true;
}

static void nodata(struct dns_state *s, const struct dns_zone *zone, uint32_t ttl_max)
{
    s->info->kind = DNS_KIND_NODATA;
    write_soa(s, zone, ttl_max);
}

/*
 * Addresses of target. For a referral (cut set) only what lies at or below a delegation counts as glue; *missing tells that
 * something of it did not fit. Otherwise only authoritative addresses are added.
 */
static void add_addresses(struct dns_state *s, const uint8_t *target, const struct dns_node *cut, bool *missing)
{
    const struct dns_zones *z = s->zones;
    struct dns_name n;
    uint64_t hashes[DNS_LABELS_MAX + 1];
    dns_name_set(&n, target);
    dns_name_hashes(&n, z->seed, hashes);
    const struct dns_node *node = n.labels > z->max_labels ? NULL : dns_node_at(z, &n, 0, hashes[0]);
    if (!node || (node->cut && !cut))
        return;
    /* RFC 9471 2.1: glue for the very name that is delegated must be there; that of its siblings may be left out. */
    bool needed = cut && node->cut && &z->nodes[node->cut] == cut;
    static const uint16_t types[2] = {DNS_TYPE_A, DNS_TYPE_AAAA};
    for (int i = 0; i < 2; i++) {
        const struct dns_set *set = dns_node_set(z, node, types[i]);
        struct dns_owner owner = {target, 0};
        if (set && !dns_write_set(&s->w, DNS_ADDITIONAL, owner, z, set, set->ttl) && needed)
            *missing = true;
    }
}

static void add_additional(struct dns_state *s, const struct dns_set *set, const struct dns_node *cut, bool *missing)
{
    unsigned before, names;
    if (set->type != DNS_TYPE_NS && set->type != DNS_TYPE_MX && set->type != DNS_TYPE_SRV)
        return;
    dns_rdata_names(set->type, &before, &names);
    const uint8_t *p = s->zones->data + set->data;
    for (unsigned i = 0; i < set->count; i++) {
        add_addresses(s, p + 10 + before, cut, missing);
        p += 10 + dns_get16(p + 8);
    }
}

static void referral(struct dns_state *s, const struct dns_node *cut)
{
    const struct dns_zones *z = s->zones;
    const struct dns_set *ns = dns_node_set(z, cut, DNS_TYPE_NS);
    struct dns_owner owner = {z->names + cut->name + 1, 0};
    bool missing = false;
    s->info->kind = DNS_KIND_REFERRAL;
    if (!dns_write_set(&s->w, DNS_AUTHORITY, owner, z, ns, ns->ttl)) {
        s->truncated = true;
        return;
    }
    add_additional(s, ns, cut, &missing);
    if (missing)
        s->truncated = true;
}

/* The same for an owner that cannot be pointed at, that is the root. */
static bool write_addresses_slowly(struct dns_state *s, const struct cursor *c, const struct dns_service_answer *a)
{
    uint32_t len = s->w.len;
    uint16_t count = s->w.count[DNS_ANSWER];
    for (unsigned i = 0; i < a->count; i++) {
        if (dns_write_record(&s->w, DNS_ANSWER, owner_of(c), s->query.qtype, DNS_CLASS_IN, a->ttl, a->rdata[i],
                             s->query.qtype == DNS_TYPE_A ? 4 : 16))
            continue;
        s->w.len = len;
        s->w.count[DNS_ANSWER] = count;
        return false;
    }
    return true;
}

/* Addresses as the hook wants them: every record has the same twelve bytes in front. */
static bool write_addresses(struct dns_state *s, const struct cursor *c, const struct dns_service_answer *a)
{
    struct dns_writer *w = &s->w;
    unsigned size = s->query.qtype == DNS_TYPE_A ? 4 : 16;
    if (PM_UNLIKELY(!c->at || !c->name->labels))
        return write_addresses_slowly(s, c, a);
    if (w->len + a->count * (12 + size) > w->limit)
        return false;
    uint8_t head[12], *p = w->out + w->len;
    dns_put16(head, 0xc000 | c->at);
    dns_put16(head + 2, s->query.qtype);
    dns_put16(head + 4, DNS_CLASS_IN);
    dns_put32(head + 6, a->ttl);
    dns_put16(head + 10, size);
    if (size == 4) {
        for (unsigned i = 0; i < a->count; i++, p += 16) {
            memcpy(p, head, 12);
            memcpy(p + 12, a->rdata[i], 4);
        }
    } else {
        for (unsigned i = 0; i < a->count; i++, p += 28) {
            memcpy(p, head, 12);
            memcpy(p + 12, a->rdata[i], 16);
        }
    }
    w->len = (uint32_t)(p - w->out);
    w->count[DNS_ANSWER] = (uint16_t)(w->count[DNS_ANSWER] + a->count);
    return true;
}

static void service_client(const struct dns_state *s, struct dns_service_query *q)
{
    const struct dns_ecs *ecs = &s->query.edns.ecs;
    q->from_ecs = s->env->ecs && ecs->state == DNS_ECS_OK && ecs->source;
    if (q->from_ecs) {
        q->client = ecs->addr;
        q->client_len = ecs->client_len;
    } else {
        q->client = s->env->client;
        q->client_len = (uint8_t)addr_bits(&q->client);
    }
}

static void answer_service(struct dns_state *s, const struct cursor *c, const struct dns_node *node)
{
    struct dns_service_query q;
    struct dns_service_answer a;
    q.service = node->service;
    q.qtype = s->query.qtype;
    q.query = &s->query;
    service_client(s, &q);
    a.status = DNS_SERVICE_SERVFAIL;
    a.scope = 0;
    a.count = 0;
    a.ttl = 0;
    if (PM_LIKELY(s->env->service))
        s->env->service(s->env->ctx, &q, &a);
    s->info->service = node->service;
    s->info->kind = DNS_KIND_SERVICE;
    if (PM_UNLIKELY(a.status == DNS_SERVICE_SERVFAIL || a.count > DNS_SERVICE_ADDRS_MAX)) {
        /* What led here is taken back: an alias with nothing behind it would be cached as such. */
        memset(s->w.count, 0, sizeof s->w.count);
        s->w.len = DNS_HEADER_SIZE + s->query.question_len;
        s->rcode = DNS_RCODE_SERVFAIL;
        s->authoritative = false;
        return;
    }
    s->scope = a.scope;
    if (a.status == DNS_SERVICE_NODATA || a.count == 0)
        nodata(s, zone_of(s, node), a.ttl);
    else if (!write_addresses(s, c, &a))
        s->truncated = true;
}

/* Whether the name the cursor moves to was not there before. */
static bool step(struct dns_state *s, struct cursor *c)
{
    c->seen[c->steps++] = c->hashes[0];
    c->name = &c->next;
    c->hashes = c->next_hashes;
    c->sent = c->next_sent;
    c->at = s->w.name_at;
    dns_name_set(&c->next, c->next_sent);
    dns_name_hashes(&c->next, s->zones->seed, c->next_hashes);
    for (unsigned i = 0; i < c->steps; i++) {
        if (c->seen[i] == c->hashes[0])
            return false;
    }
    return c->steps < STEPS_MAX;
}

/* Writes the CNAME and moves on; false: the answer ends here. */
static bool follow_cname(struct dns_state *s, struct cursor *c, const struct dns_node *node)
{
    const struct dns_set *set = dns_node_set(s->zones, node, DNS_TYPE_CNAME);
    const uint8_t *target = s->zones->data + set->data + 10;
    if (!dns_write_set(&s->w, DNS_ANSWER, owner_of(c), s->zones, set, set->ttl)) {
        s->truncated = true;
        return false;
    }
    memcpy(c->next_sent, target, dns_get16(target - 2));
    return step(s, c);
}

/* RFC 6672 3: the DNAME at suffix `label` of the cursor, then the CNAME it implies, with the same TTL. */
static bool follow_dname(struct dns_state *s, struct cursor *c, const struct dns_node *node, unsigned label)
{
    const struct dns_zones *z = s->zones;
    const struct dns_set *set = dns_node_set(z, node, DNS_TYPE_DNAME);
    const uint8_t *target = z->data + set->data + 10;
    unsigned len = dns_get16(target - 2), before = c->name->off[label];
    uint8_t name[DNS_NAME_MAX];
    struct dns_owner owner = {c->sent + before, c->at ? c->at + before : 0};
    /* at + before holds only in a name that was written without a pointer inside: the question's. */
    if (c->steps)
        owner.at = 0;
    if (!dns_write_set(&s->w, DNS_ANSWER, owner, z, set, set->ttl)) {
        s->truncated = true;
        return false;
    }
    if (before + len > DNS_NAME_MAX) {
        s->rcode = DNS_RCODE_YXDOMAIN;
        s->info->kind = DNS_KIND_STATIC;
        return false;
    }
    memcpy(name, c->sent, before);
    memcpy(name + before, target, len);
    if (!dns_write_cname(&s->w, owner_of(c), set->ttl, name)) {
        s->truncated = true;
        return false;
    }
    memcpy(c->next_sent, name, before + len);
    return step(s, c) && s->query.qtype != DNS_TYPE_CNAME;
}

/* RFC 8482: one set; a service without any has a made-up HINFO. */
static void answer_any(struct dns_state *s, const struct cursor *c, const struct dns_node *node)
{
    static const uint8_t hinfo[] = "\7RFC8482";
    const struct dns_zones *z = s->zones;
    bool fits;
    s->info->kind = DNS_KIND_STATIC;
    if (node->set_count) {
        const struct dns_set *set = &z->sets[node->sets];
        fits = dns_write_set(&s->w, DNS_ANSWER, owner_of(c), z, set, set->ttl);
    } else if (node->service != DNS_SERVICE_NONE) {
        fits = dns_write_record(&s->w, DNS_ANSWER, owner_of(c), DNS_TYPE_HINFO, DNS_CLASS_IN, HINFO_TTL, hinfo,
                                sizeof hinfo);
    } else {
        nodata(s, zone_of(s, node), UINT32_MAX);
        return;
    }
    if (!fits)
        s->truncated = true;
}

/* The node decided: what it has of the type asked. */
static void answer_static(struct dns_state *s, const struct cursor *c, const struct dns_node *node)
{
    const struct dns_zone *zone = zone_of(s, node);
    const struct dns_set *set = dns_node_set(s->zones, node, s->query.qtype);
    bool missing = false;
    if (!set) {
        /* RFC 4035 3.1.4.1: DS is the parent's. */
        bool parent = s->query.qtype == DNS_TYPE_DS && node->flags & DNS_NODE_APEX &&
                      zone->parent != DNS_ZONE_NONE;
        nodata(s, parent ? &s->zones->zones[zone->parent] : zone, UINT32_MAX);
        return;
    }
    s->info->kind = DNS_KIND_STATIC;
    if (!dns_write_set(&s->w, DNS_ANSWER, owner_of(c), s->zones, set, set->ttl)) {
        s->truncated = true;
        return;
    }
    add_additional(s, set, NULL, &missing);
}

/* One round of RFC 1034 4.3.2; true: the name was an alias, and the next round takes what it stands for. */
static bool round_trip(struct dns_state *s, struct cursor *c)
{
    const struct dns_zones *z = s->zones;
    unsigned label = 0, qtype = s->query.qtype;
    const struct dns_node *node = dns_node_find(z, c->name, c->hashes, &label);
    if (PM_UNLIKELY(!node)) {
        if (c->steps == 0) {
            s->rcode = DNS_RCODE_REFUSED;
            s->info->kind = DNS_KIND_REFUSED;
        } else {
            s->info->kind = DNS_KIND_STATIC;
        }
        return false;
    }
    if (PM_UNLIKELY(node->cut)) {
        const struct dns_node *cut = &z->nodes[node->cut];
        if (qtype != DNS_TYPE_DS || label != 0 || node != cut) {
            referral(s, cut);
            return false;
        }
    }
    s->authoritative = true;
    if (label != 0) {
        if (node->flags & DNS_NODE_DNAME)
            return follow_dname(s, c, node, label);
        if (!node->wildcard) {
            s->rcode = DNS_RCODE_NXDOMAIN;
            s->info->kind = DNS_KIND_NXDOMAIN;
            write_soa(s, zone_of(s, node), UINT32_MAX);
            return false;
        }
        node = &z->nodes[node->wildcard];
    }
    if (node->service != DNS_SERVICE_NONE && (qtype == DNS_TYPE_A || qtype == DNS_TYPE_AAAA)) {
        answer_service(s, c, node);
        return false;
    }
    if (PM_UNLIKELY(node->flags & DNS_NODE_CNAME) && qtype != DNS_TYPE_ANY && !dns_node_set(z, node, qtype))
        return follow_cname(s, c, node);
    if (qtype == DNS_TYPE_ANY)
        answer_any(s, c, node);
    else
        answer_static(s, c, node);
    return false;
}

void dns_answer_lookup(struct dns_state *s)
{
    struct cursor c;
    dns_name_hashes(&s->query.name, s->zones->seed, s->hashes);
    s->w.seed = s->zones->seed;
    s->w.hashes = s->hashes;
    c.name = &s->query.name;
    c.hashes = s->hashes;
    c.sent = s->w.out + DNS_HEADER_SIZE;
    c.at = DNS_HEADER_SIZE;
    c.steps = 0;
    s->info->kind = DNS_KIND_STATIC;
    while (round_trip(s, &c))
        continue;
}
