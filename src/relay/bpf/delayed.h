/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Delayed binding (US 5,774,660): the balancer does the TCP handshake with a cookie and remembers nothing; the segment
 * with the request says which node is to have the connection, and goes there unchanged with what the handshake agreed on.
 * The balancer never acknowledges data, so what is lost on the way the client sends again.
 *
 *   SYN ──> cookie        ACK ──> dropped        request ──> read, chosen, OPEN ──> node
 *   a later request: the node has it ──> on;  another has it ──> MOVE ──> old node, MOVED ──> here, OPEN ──> new node
 *   nothing known of the connection: FIND ──> one node after the other
 */
#ifndef PM_RELAY_BPF_DELAYED_H
#define PM_RELAY_BPF_DELAYED_H

#include "relay/bpf/doubt.h"
#include "relay/bpf/names.h"
#include "relay/bpf/tell.h"
#include "relay/bpf/unknown.h"

/* A node that has had so much has answered with an acknowledgement: no client sends more at first (RFC 6928). */
enum { FIRST_FLIGHT = 65536, REACH = 1 << 20 };
enum { REFUSED_TRIES = 8 };

/* ---- which node ---- */

static __always_inline const struct relay_resource *resource_get(__u64 text, __u32 host, __u32 kind)
{
    struct relay_resource_key key = {.text = text, .host = host, .kind = kind};
    struct relay_resource *r = bpf_map_lookup_elem(&resources, &key);
    if (r)
        __sync_fetch_and_add(&r->hits, 1);
    return r;
}

/* The most particular that is known of the resource: path, longest prefix, suffix, or protocol; NULL: nothing. */
static __always_inline const struct relay_resource *resource_of(const struct request *q, __u32 host)
{
    const struct relay_resource *r = NULL;
    for (__u32 i = 0; !r && i < RELAY_ALPN_MAX && i < q->alpns; i++)
        r = resource_get(q->alpn[i], host, RELAY_RESOURCE_ALPN);
    if (!r)
        r = resource_get(q->path, host, RELAY_RESOURCE_PATH);
    if (r)
        return r;
    for (__u32 i = 0; i < RELAY_PREFIXES_MAX; i++) {
        __u32 at = q->prefixes - 1 - i;
        if (i >= q->prefixes || at >= RELAY_PREFIXES_MAX)
            break;
        r = resource_get(q->prefix[at], host, RELAY_RESOURCE_PREFIX);
        if (r)
            return r;
    }
    return q->suffix ? resource_get(q->suffix, host, RELAY_RESOURCE_SUFFIX) : NULL;
}

enum { SET_FRONT = RELAY_SETS_MAX };

/* The set that may serve the request in the scratch. */
__noinline __u32 set_of_request(struct scratch *s, __u32 farm, __u32 otherwise)
{
    if (!s)
        return SET_FRONT;
    __u32 h2c = s->r.flags & REQUEST_H2C ? RELAY_HOST_H2C : 0;
    struct relay_host *host = host_of(s, farm, h2c);
    if (!host || h2c)
        return host ? host->set : h2c ? SET_FRONT : otherwise;
    const struct relay_resource *r = resource_of(&s->r, host->id);
    if (!r)
        return host->set;
    return r->flags & RELAY_RESOURCE_FRONT ? SET_FRONT : r->set;
}

/* ---- reading ---- */

static __always_inline struct scratch *scratch_get(void)
{
    __u32 zero = 0;
    return bpf_map_lookup_elem(&scratches, &zero);
}

__noinline int read_segment(struct xdp_md *ctx, __u32 at, __u32 data_len)
{
    struct scratch *s = scratch_get();
    __u64 len = data_len;
    ONE_REGISTER(len);
    if (!s || len == 0 || len >= REQUEST_BYTES || bpf_xdp_load_bytes(ctx, at, s->data, len) != 0)
        return READING_ODD;
    for (int i = 0; i < 40; i++)
        s->data[len + i] = 0;
    return request_read(s, len);
}

/* ---- where it goes ---- */

static __always_inline enum act open_at(struct way *w, const struct packet *p, const struct relay_flow *f)
{
    w->node = f->node;
    w->h.kind = HANDOFF_OPEN;
    w->h.target = f->node;
    w->h.tcp = f->tcp;
    w->h.tcp.mss = bpf_htons(f->tcp.mss);
    w->h.start = bpf_htonl(relay_opening(f, p->seq, &w->h.tcp.options));
    return ACT_TUNNEL;
}

/* The connection goes to another node with the request that begins at this packet. */
static __always_inline enum act hand_to(struct way *w, const struct packet *p, struct relay_flow *f, __u32 node, __u32 self,
                                        __u32 next)
{
    f->node = node;
    f->start = p->seq;
    f->ack = p->ack;
    f->next = next;
    f->state = RELAY_FLOW_OPENING;
    f->moves++;
    f->flags &= ~(RELAY_FLOW_GUESS | RELAY_FLOW_SHARED); /* nobody knows better than we do */
    f->doubt = 0;
    if (node == self)
        f->flags |= RELAY_FLOW_PINNED;
    tell_flow(&p->flow, f);
    return open_at(w, p, f);
}

static __always_inline enum act let_daemon(struct way *w, const struct relay_flow *f)
{
    w->flow = *f;
    return ACT_ASSIST;
}

/* ---- a connection's first data ---- */

/*
 * The same request is always the same node's, as long as the ring is: if we have forgotten the connection in between (table
 * full, another balancer), a request that is sent again must not come to a second node, for both would answer.
 */
static __always_inline __u32 request_hash(const struct packet *p)
{
    return relay_request_hash(p->seq, p->ack);
}

/* old: what is in the new entry's place, of a connection that is over. */
static __always_inline enum act open_first(struct xdp_md *ctx, const struct packet *p, const struct relay_vip *vip,
                                           const struct relay_settings *s, struct relay_flow *old, struct way *w)
{
    __u32 cookie = p->ack - 1, scale = cookie >> 1 & 15;
    struct relay_flow f = {.seen_ns = bpf_ktime_get_ns(), .packets = 1, .first = p->seq, .start = p->seq, .ack = p->ack};
    f.tcp.mss = cookie_mss(cookie >> 6 & 3);
    f.tcp.wscale = (scale == COOKIE_NO_SCALE ? 0 : scale) << 4 | REPLY_SCALE;
    f.tcp.options = (cookie >> 5 & 1 ? HANDOFF_SACK : 0) | (scale == COOKIE_NO_SCALE ? 0 : HANDOFF_WSCALE);
    f.state = RELAY_FLOW_OPENING;
    f.node = s->self;
    f.set = SET_FRONT;
    f.next = p->seq + p->data_len;
    known_again(p, f.seen_ns);
    int reading = read_segment(ctx, p->data, p->data_len);
    if (reading == READING_PART) {
        f.state = RELAY_FLOW_ASSIST;
        f.next = p->seq;
        TABLE_PUT(&flows, &p->flow, old, &f);
        return let_daemon(w, &f);
    }
    struct scratch *read = scratch_get();
    if (reading == READING_WHOLE && read) {
        struct request *q = &read->r;
        /* More in the segment than the request: the next one, which may be for another node. */
        bool whole = q->head + q->body >= p->data_len;
        f.set = whole || q->flags & REQUEST_STREAM ? set_of_request(read, vip->farm, vip->set) : SET_FRONT;
        __u32 node = f.set < SET_FRONT ? ring_place(f.set, request_hash(p)) : RELAY_NODES_MAX;
        if (node < RELAY_NODES_MAX) {
            f.node = node;
            f.next = p->seq + q->head + (__u32)q->body;
            f.flags |= q->flags & REQUEST_STREAM ? RELAY_FLOW_PINNED : 0;
            count(RELAY_REQUEST_OPEN, p->length);
        } else {
            count(f.set < SET_FRONT ? RELAY_REQUEST_NO_NODE : RELAY_REQUEST_FRONT, p->length);
        }
    } else {
        count(RELAY_REQUEST_FRONT, p->length);
    }
    f.flags |= f.node == s->self || vip->flags & RELAY_VIP_PINNED ? RELAY_FLOW_PINNED : 0;
    f.flags |= p->tcp_flags & TCP_FIN ? RELAY_FLOW_REPLACEABLE : 0;
    TABLE_PUT(&flows, &p->flow, old, &f);
    tell_flow(&p->flow, &f);
    return open_at(w, p, &f);
}

/* ---- a later request ---- */

/*
 * Two requests must never be unanswered at a node: nobody could tell when it has done with both, and may let go. So a node
 * takes one only when it has answered the last. A client that does not wait comes to the front end, which keeps the order.
 */
static __always_inline enum act next_at(struct way *w, const struct relay_flow *f)
{
    w->h.tcp.options = f->flags & RELAY_FLOW_PINNED ? 0 : HANDOFF_ENDS;
    return ask(w, f->node, HANDOFF_NEXT, f->node, f->next);
}

/* ACT_PACKET: on to the node the connection is at, whatever it is. gone: that node is, nobody needs to let go. */
static __always_inline enum act next_request(struct xdp_md *ctx, const struct packet *p, const struct relay_vip *vip,
                                             const struct relay_settings *s, struct relay_flow *f, struct way *w, bool gone)
{
    /* The client has heard nothing since its last request, or the node may not even know the connection: the answer is to
     * come first, and the client to send this again. */
    if (f->state == RELAY_FLOW_OPENING || p->ack == f->ack) {
        count(f->flags & RELAY_FLOW_PIPELINES ? RELAY_AHEAD : RELAY_PIPELINED, p->length);
        f->flags |= RELAY_FLOW_PIPELINES;
        return ACT_DROP;
    }
    int reading = read_segment(ctx, p->data, p->data_len);
    struct scratch *read = scratch_get();
    __u32 set = SET_FRONT, next = p->seq + p->data_len;
    bool stream = false;
    if (!(f->flags & RELAY_FLOW_PIPELINES) && reading == READING_WHOLE && read) {
        struct request *q = &read->r;
        stream = q->flags & REQUEST_STREAM;
        if (q->head + q->body >= p->data_len) {
            set = set_of_request(read, vip->farm, vip->set);
            next = p->seq + q->head + (__u32)q->body;
        }
    }
    f->set = set;
    if (set < SET_FRONT && !gone && set_has(set, f->node)) {
        f->next = next;
        f->start = p->seq;
        f->ack = p->ack;
        f->flags |= stream ? RELAY_FLOW_PINNED : 0;
        count(RELAY_REQUEST_STAY, p->length);
        /* Peers tell a next request from its looks, but not from a body that looks like one. */
        if (stream || next != p->seq + p->data_len)
            tell_flow(&p->flow, f);
        return next_at(w, f);
    }
    __u32 target = set < SET_FRONT ? ring_place(set, request_hash(p)) : s->self;
    count(target >= RELAY_NODES_MAX ? RELAY_REQUEST_NO_NODE
          : target == s->self       ? RELAY_REQUEST_FRONT
                                    : RELAY_REQUEST_MOVE,
          p->length);
    if (target >= RELAY_NODES_MAX)
        target = s->self;
    if (gone) {
        f->flags |= stream ? RELAY_FLOW_PINNED : 0;
        return hand_to(w, p, f, target, s->self, next);
    }
    w->h.tcp.options = (f->flags & RELAY_FLOW_PIPELINES ? HANDOFF_PIPELINES : 0) |
                       (f->flags & RELAY_FLOW_GUESS ? HANDOFF_GUESS : 0);
    return ask(w, f->node, HANDOFF_MOVE, target, f->ack);
}

/*
 * A node has let the connection go: the one it is to go to has it from this packet on. That is the same one if it was asked
 * to let go, its answer was lost, and what the client sent again (in other pieces) turned out to be for it after all.
 */
static __always_inline enum act moved(struct xdp_md *ctx, const struct packet *p, struct relay_flow *f, __u32 target,
                                      struct way *w)
{
    const struct relay_settings *s = settings_get();
    if (!s || !f || target >= RELAY_NODES_MAX || f->state != RELAY_FLOW_BOUND)
        return ACT_DROP;
    if (p->seq != (target == f->node ? f->start : f->next))
        return ACT_DROP; /* of a move that is long done */
    int reading = read_segment(ctx, p->data, p->data_len);
    struct scratch *read = scratch_get();
    __u32 next = p->seq + p->data_len;
    if (reading == READING_WHOLE && read) {
        next = p->seq + read->r.head + (__u32)read->r.body;
        f->flags |= read->r.flags & REQUEST_STREAM ? RELAY_FLOW_PINNED : 0;
    }
    count(RELAY_MOVED, p->length);
    return hand_to(w, p, f, target, s->self, next);
}

/* The node has said that it will not have the connection. Another of the set, by chance; else the front end. */
static __always_inline enum act refused(const struct packet *p, struct relay_flow *f, struct way *w)
{
    const struct relay_settings *s = settings_get();
    if (!s || !f || f->state != RELAY_FLOW_OPENING || p->seq != f->start)
        return ACT_DROP;
    __u32 node = s->self, hash = request_hash(p);
    for (__u32 i = 0; i < REFUSED_TRIES && f->set < SET_FRONT; i++) {
        __u32 other = ring_place(f->set, hash += 0x9e3779b1u);
        if (other < RELAY_NODES_MAX && other != f->node) {
            node = other;
            break;
        }
    }
    count(RELAY_REFUSED, p->length);
    return hand_to(w, p, f, node, s->self, f->next);
}

/*
 * The node is down. A request that comes after an answer can go to another. One that the node may have begun to answer
 * must not, for it may be down only to our eyes, and two would answer: the client is told that its connection is gone.
 */
static __always_inline enum act node_gone(struct xdp_md *ctx, const struct packet *p, const struct relay_vip *vip,
                                          const struct relay_settings *s, struct relay_flow *f, struct way *w)
{
    count(RELAY_NODE_GONE, p->length);
    if (!p->data_len || p->rst)
        return p->rst ? ACT_DROP : ACT_RESET;
    bool asks = f->state == RELAY_FLOW_BOUND && p->seq == f->next && p->ack != f->ack;
    if (!asks || f->flags & (RELAY_FLOW_PINNED | RELAY_FLOW_GUESS | RELAY_FLOW_PIPELINES))
        return ACT_RESET;
    return next_request(ctx, p, vip, s, f, w, true);
}

/*
 * Of a node whose program does not answer, the web server may live: what its kernel understands goes on. A request would wait
 * for ever; and for another node it is too late, for this one may have begun to answer.
 */
static __always_inline bool needs_program(const struct packet *p, const struct relay_flow *f)
{
    if (!p->data_len || p->rst)
        return false;
    return f->state == RELAY_FLOW_OPENING ||
           (!(f->flags & RELAY_FLOW_PINNED) && (__s32)(p->seq + p->data_len - f->next) > 0);
}

/*
 * 0: a request, and from now on we know where the next one begins: what has all that belongs to one is no accident in a body.
 * Or it may be a request's beginning, which is the front end's to read; a node that waits for more of a body says so.
 * -1: neither.
 */
static __always_inline __s32 guessed(struct relay_flow *f, int reading)
{
    if (reading == READING_WHOLE)
        f->flags &= ~RELAY_FLOW_GUESS;
    return reading == READING_WHOLE || reading == READING_PART ? 0 : -1;
}

__noinline int known(struct xdp_md *ctx, const struct packet *p, const struct relay_vip *vip,
                            struct relay_flow *f, struct way *w)
{
    const struct relay_settings *s = settings_get();
    if (!p || !vip || !f || !w || !s)
        return ACT_DROP;
    __u32 index = f->node;
    f->packets++;
    f->seen_ns = bpf_ktime_get_coarse_ns();
    if (f->state == RELAY_FLOW_ENDED)
        return ACT_DROP;
    /* Who does not see the connection can guess its ports, not where it is (RFC 5961): that changes nothing here. */
    __u32 from_start = p->seq - f->start;
    if (f->state == RELAY_FLOW_ASSIST) {
        if (p->rst && from_start <= FIRST_FLIGHT)
            f->state = RELAY_FLOW_ENDED;
        return p->data_len || p->tcp_flags & TCP_FIN ? let_daemon(w, f) : ACT_DROP;
    }
    if (f->flags & RELAY_FLOW_LET_GO && index >= RELAY_NODES_MAX)
        return find(p, vip->all, 0, w);
    struct relay_node *n = bpf_map_lookup_elem(&nodes, &index);
    if (!n || n->mode == RELAY_NODE_NONE || n->mode == RELAY_NODE_DOWN)
        return node_gone(ctx, p, vip, s, f, w);
    if (n->silent && needs_program(p, f)) {
        count(RELAY_NODE_GONE, p->length);
        return ACT_RESET;
    }
    count(RELAY_FLOW_HIT, p->length);
    if (p->tcp_flags & TCP_FIN && !(f->flags & RELAY_FLOW_REPLACEABLE)) {
        f->flags |= RELAY_FLOW_REPLACEABLE;
        tell_flow(&p->flow, f);
    }
    if (f->state == RELAY_FLOW_OPENING && from_start <= f->next - f->start + REACH && !p->rst) {
        if ((__s32)(p->ack - f->ack) > 0 || from_start > FIRST_FLIGHT)
            f->state = RELAY_FLOW_BOUND;
    }
    if (doubt_is_due(f)) {
        f->doubt = DOUBT_ASKED;
        f->flags |= RELAY_FLOW_SHARED;
    }
    if (f->flags & RELAY_FLOW_SHARED && f->state == RELAY_FLOW_BOUND) { /* answered in found.h */
        count(RELAY_SHARED_ASKED, p->length);
        return ask(w, index, HANDOFF_FIND, FIND_SHARED, p->seq);
    }
    if (p->data_len && !(f->flags & RELAY_FLOW_PINNED) && !p->rst) {
        __s32 ahead = p->seq - f->next, guess = 1;
        if (f->flags & RELAY_FLOW_GUESS)
            ahead = guess = guessed(f, read_segment(ctx, p->data, p->data_len));
        if (guess == 0)
            f->next = p->seq;
        if (ahead < 0 && f->flags & RELAY_FLOW_GUESS) {
            /* a body, or what nobody can tell */
        } else if (ahead == 0) {
            enum act act = next_request(ctx, p, vip, s, f, w, false);
            if (act != ACT_PACKET)
                return act;
        } else if (ahead > 0) {
            count(RELAY_AHEAD, p->length); /* what comes before was lost, or came by another balancer */
            f->doubt = f->doubt ? f->doubt : doubt_now();
            return ACT_DROP;
        } else if (p->seq == f->start && f->state == RELAY_FLOW_BOUND && p->seq + p->data_len == f->next && !n->silent) {
            return next_at(w, f); /* sent again: the node may not have taken it */
        } else if ((__s32)(p->seq + p->data_len - f->next) > 0) {
            return let_daemon(w, f); /* a body's end and the next request in one segment: to be cut */
        }
    }
    if (p->rst) {
        __u32 opening = f->state == RELAY_FLOW_OPENING;
        if (opening)
            open_at(w, p, f);
        /* A late copy of the request must not open it again. Where the reset may be somebody else's, the node judges. */
        if (opening ? from_start <= FIRST_FLIGHT : p->seq == f->next) {
            count(RELAY_FLOW_END, p->length);
            f->state = RELAY_FLOW_ENDED;
        }
        f->flags |= RELAY_FLOW_REPLACEABLE;
        tell_flow(&p->flow, f);
        w->node = index;
        return opening ? ACT_TUNNEL : ACT_PACKET;
    }
    w->node = index;
    return f->state == RELAY_FLOW_OPENING ? open_at(w, p, f) : ACT_PACKET;
}

/* ---- all packets of a delayed service ---- */

enum { SOCKET_TIME_WAIT = 6, SOCKET_LISTEN = 10, SOCKET_SYN_RECEIVED = 12 }; /* tcp_states.h */

/*
 * A connection of our own front end's that the table does not have: pushed out, or begun while the relay was not at work.
 * Its packets are the kernel's.
 */
__noinline int own_socket(struct xdp_md *ctx, const struct packet *p, const struct relay_settings *s)
{
    struct bpf_sock_tuple t = {};
    if (!p || !s)
        return 0;
    if (p->family == 4) {
        __builtin_memcpy(&t.ipv4.saddr, p->flow.client + 12, 4);
        __builtin_memcpy(&t.ipv4.daddr, p->flow.vip + 12, 4);
        t.ipv4.sport = p->flow.client_port;
        t.ipv4.dport = p->flow.vip_port;
    } else {
        __builtin_memcpy(t.ipv6.saddr, p->flow.client, 16);
        __builtin_memcpy(t.ipv6.daddr, p->flow.vip, 16);
        t.ipv6.sport = p->flow.client_port;
        t.ipv6.dport = p->flow.vip_port;
    }
    struct bpf_sock *sk =
        bpf_skc_lookup_tcp(ctx, &t, p->family == 4 ? sizeof t.ipv4 : sizeof t.ipv6, BPF_F_CURRENT_NETNS, 0);
    if (!sk)
        return 0;
    __u32 state = sk->state;
    bpf_sk_release(sk);
    if (state == SOCKET_LISTEN)
        return 0;
    struct relay_flow f = {.seen_ns = bpf_ktime_get_ns(), .packets = 1, .node = s->self, .set = SET_FRONT};
    f.first = f.start = f.next = p->seq;
    f.ack = p->ack;
    f.state = RELAY_FLOW_BOUND;
    f.flags = RELAY_FLOW_PINNED;
    if (state != SOCKET_TIME_WAIT && state != SOCKET_SYN_RECEIVED)
        bpf_map_update_elem(&flows, &p->flow, &f, BPF_NOEXIST);
    count(RELAY_SELF, p->length);
    return 1;
}

__noinline bool cookie_of(const struct packet *p, const struct relay_settings *s)
{
    if (!p || !s)
        return false;
    return cookie_valid(&s->cookie, &p->flow, p->seq - 1, s->epoch, p->ack - 1);
}

static __always_inline void measure(struct xdp_md *ctx, const struct packet *p)
{
    struct tcp_options *o = options_get();
    __u64 room = p->data - p->l4 - sizeof(struct tcphdr);
    ONE_REGISTER(room);
    if (!o || room == 0 || room > OPTIONS_BYTES ||
        bpf_xdp_load_bytes(ctx, p->l4 + sizeof(struct tcphdr), o->bytes, room) != 0)
        return;
    options_read(o);
    if (o->timestamps)
        tell_rtt(&p->flow, (((__u64)((__u32)(bpf_ktime_get_ns() >> TICK_SHIFT) - o->tsecr)) << TICK_SHIFT) / 1000);
}

/*
 * Of a new connection on the same ports, whose handshake's end and first segment are late or lost: the server of the old one would
 * reset it. Who forges a SYN stops a body that a living one sends, in one of 65,536 cases and until the next SYN.
 */
static __always_inline bool is_of_next(const struct relay_flow *f, const struct packet *p)
{
    return f->again && p->data_len && p->seq - f->again - 2 < FIRST_FLIGHT;
}

/*
 * A new handshake on the ports of a connection that is over: should the new one's second segment come before its first, it is
 * not taken for the old one's, whose server would reset it. A first segment still opens, for it is not at `first`.
 */
static __always_inline void end_before(struct relay_flow *f, const struct packet *p)
{
    f->state = RELAY_FLOW_ENDED;
    f->first = p->seq - 1;
    f->again = 0;
    f->flags = RELAY_FLOW_REPLACEABLE;
}

__noinline int delayed(struct xdp_md *ctx, const struct packet *p, const struct relay_vip *vip, struct way *w)
{
    const struct relay_settings *s = settings_get();
    if (!s || !p || !vip || !w)
        return ACT_PASS;
    struct relay_flow *f = bpf_map_lookup_elem(&flows, &p->flow);
    if (p->syn) {
        if (f) {
            f->flags |= RELAY_FLOW_REPLACEABLE;
            f->again = f->start - p->seq > REACH ? p->seq : 0; /* not this connection's own, late */
        }
        if (!silent(s))
            return ACT_SYN;
        count(RELAY_SILENT, p->length);
        return ACT_DROP;
    }
    if (f && is_of_next(f, p)) {
        count(RELAY_AHEAD, p->length);
        return ACT_DROP;
    }
    if (f && (!(f->flags & RELAY_FLOW_REPLACEABLE) || p->seq == f->first || !cookie_of(p, s)))
        return known(ctx, p, vip, f, w);
    if (!(p->tcp_flags & TCP_ACK))
        return ACT_DROP;
    if (f || cookie_of(p, s)) {
        if (p->data_len)
            return open_first(ctx, p, vip, s, f, w);
        if (f)
            end_before(f, p);
        if (p->tcp_flags & (TCP_FIN | TCP_RST)) {
            count(RELAY_HANDSHAKE_CLOSED, p->length);
            return ACT_RESET;
        }
        count(RELAY_HANDSHAKE, p->length);
        measure(ctx, p);
        return ACT_DROP;
    }
    if (own_socket(ctx, p, s))
        return ACT_PASS;
    if (!(vip->flags & RELAY_VIP_AGENTS) || !allowed(LIMIT_FIND, s->find_rate)) {
        count(RELAY_FIND_LIMIT, p->length);
        return ACT_DROP;
    }
    return known_by_nobody(p) ? ACT_RESET : find(p, vip->all, 0, w);
}

#endif
