/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * QUIC connections (RFC 9000) told apart by the id their packets are addressed to, so that a client whose address or port
 * changes keeps its server. The id is the server's choice, and answers do not come by here; two ways are left:
 *
 *   the server's own id in it    draft-ietf-quic-load-balancers, in clear: any packet, at any balancer
 *   ids this client has used     seen while its address was still known; a new id from a new address means nothing to us
 */
#ifndef PM_RELAY_BPF_QUIC_H
#define PM_RELAY_BPF_QUIC_H

#include "relay/bpf/parse.h"
#include "relay/bpf/tables.h"

enum quic_kind { QUIC_NONE, QUIC_LONG, QUIC_SHORT };
enum { QUIC_VERSION_2 = 0x6b3343cf /* RFC 9369: other numbers for the types */ };

struct quic {
    __u8 kind;   /* enum quic_kind */
    __u8 server; /* long: not before the server has answered: the id is of its making */
    __u8 length; /* of the id; short: as much as there can be of it */
    __u8 hashed; /* a connection begins here, and is placed by this id */
    __u8 id[32]; /* up to RELAY_QUIC_CID_MAX, the rest zero */
};

/* q is zero before. */
__noinline int quic_read(struct xdp_md *ctx, const struct packet *p, struct quic *q)
{
    __u8 head[6];
    if (!p || !q)
        return 0;
    __u32 at = p->l4 + sizeof(struct udphdr), end = p->l3 + p->length;
    __u64 length;
    if (at + 2 > end || bpf_xdp_load_bytes(ctx, at, head, 1) != 0)
        return 0;
    __u8 kind = QUIC_SHORT;
    if (head[0] & 0x80) {
        if (bpf_xdp_load_bytes(ctx, at, head, sizeof head) != 0)
            return 0;
        __u32 version = (__u32)head[1] << 24 | head[2] << 16 | head[3] << 8 | head[4];
        q->server = (head[0] >> 4 & 3) == (version == QUIC_VERSION_2 ? 3 : 2);
        kind = QUIC_LONG;
        length = head[5];
        at += sizeof head;
    } else {
        at++;
        length = end - at;
        if (length > RELAY_QUIC_CID_MAX)
            length = RELAY_QUIC_CID_MAX;
    }
    ONE_REGISTER(length);
    if (length == 0 || length > RELAY_QUIC_CID_MAX || bpf_xdp_load_bytes(ctx, at, q->id, length) != 0)
        return 0;
    q->length = length;
    q->kind = kind;
    return 1;
}

/* By the server's id; RELAY_NODES_MAX: there is none in it. */
__noinline __u32 quic_by_id(const struct relay_vip *vip, const struct quic *q)
{
    if (!vip || !q)
        return RELAY_NODES_MAX;
    __u32 rotation = q->id[0] >> 5 & 7, at = vip->quic_at[rotation], length = vip->quic_length[rotation];
    struct relay_quic_key key = {.set = vip->set, .length = length};
    if (!length || length > RELAY_QUIC_ID_MAX || at + length > q->length)
        return RELAY_NODES_MAX;
    for (__u32 i = 0; i < RELAY_QUIC_ID_MAX; i++)
        if (i < length)
            key.id[i] = q->id[(at + i) & 31];
    __u32 *node = bpf_map_lookup_elem(&quic_servers, &key);
    return node ? *node : RELAY_NODES_MAX;
}

static __always_inline void cid_key(const struct packet *p, const struct quic *q, struct relay_cid_key *k)
{
    __builtin_memset(k, 0, sizeof *k);
    __builtin_memcpy(k->vip, p->flow.vip, 16);
    k->port = p->flow.vip_port;
    __builtin_memcpy(k->cid, q->id, RELAY_QUIC_KNOWN);
}

static __always_inline __u32 quic_by_use(const struct packet *p, const struct quic *q)
{
    struct relay_cid_key key;
    if (q->length < RELAY_QUIC_KNOWN)
        return RELAY_NODES_MAX;
    cid_key(p, q, &key);
    __u32 *node = bpf_map_lookup_elem(&cids, &key);
    return node ? *node : RELAY_NODES_MAX;
}

/*
 * From a packet of a flow that is in the table, so that filling the table takes more than one forged packet each. Whether a
 * server makes ids long enough, its handshake tells: the short header does not say where the id ends. What is known stays:
 * nobody takes another's id over.
 */
static __always_inline void quic_learn(const struct packet *p, const struct quic *q, struct relay_flow *f)
{
    struct relay_cid_key key;
    if (q->kind == QUIC_LONG && q->server && q->length >= RELAY_QUIC_KNOWN)
        f->flags |= RELAY_FLOW_CIDS;
    if (q->length < RELAY_QUIC_KNOWN || (q->kind == QUIC_SHORT && !(f->flags & RELAY_FLOW_CIDS)))
        return;
    __u32 node = f->node;
    cid_key(p, q, &key);
    bpf_map_update_elem(&cids, &key, &node, BPF_NOEXIST);
}

#endif
