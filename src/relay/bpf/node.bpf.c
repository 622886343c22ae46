// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * tc ingress on a node: takes what balancers send in hand-off packets (handoff.h), and nothing that is not tagged by one.
 * The web server and the kernel's TCP are not changed: a listener is given a connection that has begun elsewhere, from one
 * packet in the middle of it (adoption).
 *
 *   UDP to RELAY_PORT -> balancer known? -> tag -> PACKET  unwrap, up to the kernel
 *                                                  OPEN    unwrap, adopt, up to the kernel
 *                                                  MOVE    quiet? back to the balancer, and the socket is reset here
 *                                                  NEXT    last request answered? unwrap, up to the kernel
 *                                                  FIND    back to the balancer: mine, or not
 * On tc egress, what must not leave: resets of connections that were given up. And for sockets that begin (sock_ops, at the
 * control group), the congestion window that an adopted connection had at the node before.
 */
#include "relay/bpf/node_packet.h"
#include <bpf/bpf_core_read.h>

/* Kernel's names for TCP states, include/net/tcp_states.h. */
enum { STATE_ESTABLISHED = 1, STATE_TIME_WAIT = 6, STATE_LISTEN = 10, STATE_NEW = 12 };
enum { CLOCK_MAX = 0xffff };
enum { CA_REDUCED = 2 }; /* and above it: recovering from loss; include/uapi/linux/tcp.h */
enum { FAMILY_V4 = 2, INITIAL_WINDOW = 10 /* RFC 6928 */ };

/* ---- sockets ---- */

/* What there is to know of the socket on the packet's tuple. */
struct found {
    __u32 state; /* 0: none */
    /*
     * Behind the last byte the server has written. Where the client has acknowledged it, all was sent; what was sent
     * (snd_nxt) the kernel notes only after sending, and an answer may be here before that.
     */
    __u32 write_seq;
    __u32 rcv_nxt;
    bool all_read;   /* of what was received */
    bool spoke_last; /* the server has sent something since it was last sent to */
    /* Only for MOVE: */
    __u32 clock;    /* what its next packet would bear as timestamp */
    __u32 segments; /* it may have under way: congestion window, 0 when there has been silence for too long to say */
    struct handoff_tcp tcp;
};

/* RFC 5681 4.1: after a time-out's silence the window says nothing of the path; after loss it is the threshold. */
static __always_inline __u32 window_of(struct tcp_sock *tp)
{
    if ((__u32)bpf_jiffies64() - tp->lsndtime > tp->inet_conn.icsk_rto)
        return 0;
    bool lost = BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_ca_state) >= CA_REDUCED;
    return lost && tp->snd_ssthresh < tp->snd_cwnd ? tp->snd_ssthresh : tp->snd_cwnd;
}

/* To be released. */
static __always_inline struct bpf_sock *socket_of(struct __sk_buff *skb, struct work *w)
{
    if (w->v4)
        return bpf_skc_lookup_tcp(skb, &w->tuple, sizeof w->tuple.ipv4, BPF_F_CURRENT_NETNS, 0);
    return bpf_skc_lookup_tcp(skb, &w->tuple, sizeof w->tuple.ipv6, BPF_F_CURRENT_NETNS, 0);
}

static __always_inline void read_socket(const struct work *w, struct bpf_sock *sk, struct found *f)
{
    f->state = sk->state;
    if (f->state == STATE_TIME_WAIT) {
        struct tcp_timewait_sock *tw = bpf_skc_to_tcp_timewait_sock(sk);
        if (tw) {
            f->rcv_nxt = tw->tw_sk.__tw_common.skc_tw_rcv_nxt;
            f->write_seq = tw->tw_sk.__tw_common.skc_tw_snd_nxt;
        }
    } else if (f->state != STATE_LISTEN && f->state != STATE_NEW) {
        struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
        if (tp) {
            f->rcv_nxt = tp->rcv_nxt;
            f->write_seq = tp->write_seq;
            f->all_read = tp->copied_seq == f->rcv_nxt;
            f->spoke_last = (__s32)(tp->lsndtime - tp->inet_conn.icsk_ack.lrcvtime) >= 0;
            if (w->h.kind == HANDOFF_MOVE) {
                f->segments = window_of(tp);
                f->clock = (__u32)(bpf_ktime_get_ns() / 1000000) + tp->tsoffset;
            }
            f->tcp.mss = bpf_htons(tp->rx_opt.mss_clamp);
            f->tcp.options = (BPF_CORE_READ_BITFIELD(tp, rx_opt.sack_ok) ? HANDOFF_SACK : 0) |
                             (BPF_CORE_READ_BITFIELD(tp, rx_opt.wscale_ok) ? HANDOFF_WSCALE : 0) |
                             (BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok) ? HANDOFF_TIMESTAMPS : 0);
            f->tcp.wscale = BPF_CORE_READ_BITFIELD(tp, rx_opt.snd_wscale) << 4 |
                            BPF_CORE_READ_BITFIELD(tp, rx_opt.rcv_wscale);
        }
    }
}

static __always_inline void look_up(struct __sk_buff *skb, struct work *w, struct found *f)
{
    struct bpf_sock *sk = socket_of(skb, w);
    if (!sk)
        return;
    read_socket(w, sk, f);
    bpf_sk_release(sk);
}

/* Where the request in this packet ends; 0: the balancer does not say. */
static __always_inline __u32 end_of(const struct work *w)
{
    return w->h.tcp.options & HANDOFF_ENDS ? bpf_ntohl(w->h.start) : 0;
}

/* A connection is here from this request on. before: what is noted of the tuple. */
static __always_inline void begins(struct work *w, struct node_asked *before, __u32 segments)
{
    struct node_asked here = {.since_ns = bpf_ktime_get_ns(), .seq = w->seq + 1, .segments = segments};
    here.next = end_of(w);
    here.ack = w->ack;
    TABLE_PUT(&asked, &w->tuple, before, &here);
}

/* sk: listens; stays the caller's. */
static __always_inline int adopt(struct __sk_buff *skb, struct work *w, struct bpf_sock *sk, struct node_asked *before)
{
    struct bpf_tcp_req_attrs attrs = {};
    struct tcp_options *o = read_options(skb, w);
    if (!o)
        return TC_ACT_SHOT;
    attrs.mss = bpf_ntohs(w->h.tcp.mss);
    attrs.wscale_ok = !!(w->h.tcp.options & HANDOFF_WSCALE);
    attrs.snd_wscale = attrs.wscale_ok ? w->h.tcp.wscale >> 4 : 0;
    attrs.rcv_wscale = attrs.wscale_ok ? w->h.tcp.wscale & 15 : 0;
    attrs.sack_ok = !!(w->h.tcp.options & HANDOFF_SACK);
    attrs.tstamp_ok = o->timestamps;
    attrs.rcv_tsval = o->tsval;
    attrs.rcv_tsecr = o->tsecr + bpf_ntohs(w->h.clock); /* the kernel's clock goes on from there */
    if (!unwrap(skb, w))
        return TC_ACT_SHOT;
    struct tcp_sock *listener = bpf_skc_to_tcp_sock(sk);
    int err = listener ? bpf_sk_assign_tcp_reqsk(skb, (struct sock *)listener, &attrs, sizeof attrs) : -1;
    count_node(err ? NODE_REFUSED : NODE_ADOPTED, skb->len);
    if (err)
        bpf_map_delete_elem(&asked, &w->tuple);
    else
        begins(w, before, handoff_segments(w->h.key));
    return err ? TC_ACT_SHOT : TC_ACT_OK;
}

/* ---- what balancers ask ---- */

/* How far the clock is beyond what the client echoes; CLOCK_MAX: so far or further, after a minute's silence. */
static __always_inline __be16 clock_of(struct __sk_buff *skb, const struct work *w, const struct found *f)
{
    struct tcp_options *o = read_options(skb, w);
    if (!o || !o->timestamps || !(f->tcp.options & HANDOFF_TIMESTAMPS))
        return 0;
    __u32 ahead = f->clock - o->tsecr;
    return bpf_htons((__s32)ahead < 0 ? 0 : ahead > CLOCK_MAX ? CLOCK_MAX : ahead);
}

/* A request that begins so little before what a connection has received is one of its own; new ones begin further on. */
enum { OLD_BYTES = 1 << 20 };
/* More is under way of no connection: one on the same ports whose numbers happen to be as near is one in 2,000. */
enum { NEAR_BYTES = 1 << 26 };

/* A request for a connection that is not here. sk: who listens for such. */
static __always_inline int open_new(struct __sk_buff *skb, struct work *w, struct bpf_sock *sk, const struct siphash_key *key)
{
    struct node_asked *before = bpf_map_lookup_elem(&asked, &w->tuple);
    bool old = before && before->seq - w->seq - 1 < OLD_BYTES;
    if (old && before->gone)
        return TC_ACT_SHOT; /* a late copy: the connection was here and has gone on */
    /* It was here and has ended: somebody repeats what he has heard. Or the server had no room for it: then the client
     * sends the same again, and the balancer, which is told, finds it another place. */
    if (old && bpf_ktime_get_ns() - before->since_ns > NODE_AGAIN_NS) {
        count_node(NODE_REPLAYED, skb->len);
        return send_back(skb, w, HANDOFF_REFUSED, key);
    }
    return adopt(skb, w, sk, before);
}

static __always_inline int open(struct __sk_buff *skb, struct work *w, const struct siphash_key *key)
{
    struct found f = {};
    __u32 start = w->h.tcp.options & HANDOFF_ENDS ? w->seq : bpf_ntohl(w->h.start);
    struct bpf_sock *sk = socket_of(skb, w);
    if (sk) {
        read_socket(w, sk, &f);
        bool is_new = f.state == STATE_LISTEN && w->seq == start && w->data_len;
        int act = is_new ? open_new(skb, w, sk, key) : TC_ACT_UNSPEC;
        bpf_sk_release(sk);
        if (is_new)
            return act;
    }
    if (f.state == STATE_LISTEN || f.state == STATE_NEW)
        return put_off(skb, w);
    if (!f.state) {
        count_node(NODE_NO_LISTENER, skb->len);
        return send_back(skb, w, HANDOFF_REFUSED, key);
    }
    /* This connection's socket, or what an earlier one on the same addresses and ports has left? */
    bool same = f.state != STATE_TIME_WAIT && f.rcv_nxt - start < 1u << 30 && f.write_seq - w->ack < 1u << 28;
    bool copy = f.state == STATE_TIME_WAIT && f.rcv_nxt - start - 1 < OLD_BYTES;
    if (same || copy)
        return deliver(skb, w);
    if (w->seq != start)
        return put_off(skb, w);
    if (!try_again(skb, w) || bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS) != 0)
        return TC_ACT_SHOT;
    count_node(NODE_CLEARED, skb->len);
    return reset_own(skb, w, f.rcv_nxt);
}

/* All of the last request is here, and the server has said nothing since it began. */
static __always_inline bool unanswered(const struct node_asked *last, const struct found *f)
{
    return last && last->next && last->next == f->rcv_nxt && last->ack == f->write_seq;
}

/*
 * Whether the server has done with the request. It has if it has spoken since the request began, and spoke last: a client
 * asks again when it has the answer. If it received more since, it may have answered before the body's end (an error,
 * say), and a client that does not wait may ask in the middle of an answer: then the time decides, in which nothing has
 * happened between the client's asking and its asking again.
 */
static __always_inline bool has_answered(struct work *w, const struct found *f)
{
    __u64 now = bpf_ktime_get_ns();
    struct node_asked *before = bpf_map_lookup_elem(&asked, &w->tuple);
    if (f->write_seq == bpf_ntohl(w->h.start) || unanswered(before, f))
        return false;
    if (f->spoke_last && !(w->h.tcp.options & HANDOFF_PIPELINES))
        return true;
    if (before && before->seq == w->seq && before->write_seq == f->write_seq)
        return now - before->since_ns >= NODE_ANSWERED_NS;
    struct node_asked first = {.since_ns = now, .seq = w->seq, .write_seq = f->write_seq};
    first.next = before ? before->next : 0;
    first.ack = before ? before->ack : bpf_ntohl(w->h.start);
    bpf_map_update_elem(&asked, &w->tuple, &first, BPF_ANY);
    return false;
}

static __always_inline int move(struct __sk_buff *skb, struct work *w, const struct siphash_key *key)
{
    struct found f = {};
    look_up(skb, w, &f);
    if (!f.state || f.state == STATE_LISTEN) {
        struct node_asked *before = bpf_map_lookup_elem(&asked, &w->tuple);
        bool again = before && before->gone && before->seq == w->seq; /* our answer was lost */
        count_node(again ? NODE_LET_GO : NODE_GONE, skb->len);
        return send_back(skb, w, again ? HANDOFF_MOVED : HANDOFF_GONE, key);
    }
    bool quiet = f.state == STATE_ESTABLISHED && f.all_read && f.rcv_nxt == w->seq && f.write_seq == w->ack;
    if (!quiet || !has_answered(w, &f)) {
        if (f.state == STATE_ESTABLISHED) {
            count_node(NODE_BUSY, skb->len);
            return TC_ACT_SHOT;
        }
        return deliver(skb, w); /* the server is closing: its kernel answers */
    }
    if (w->h.tcp.options & HANDOFF_GUESS && !f.spoke_last)
        return deliver(skb, w); /* it has waited for more all the time: this is more */
    struct node_asked done = {.since_ns = bpf_ktime_get_ns(), .seq = w->seq, .gone = 1, .tcp = f.tcp};
    bpf_map_update_elem(&asked, &w->tuple, &done, BPF_ANY);
    count_node(NODE_LET_GO, skb->len);
    w->h.key = w->h.key % HANDOFF_KEYS + handoff_window(f.segments);
    w->h.clock = clock_of(skb, w, &f);
    if (!turn_round(skb, w, HANDOFF_MOVED, key) || bpf_clone_redirect(skb, skb->ifindex, 0) != 0)
        return TC_ACT_SHOT;
    return reset_own(skb, w, f.rcv_nxt);
}

static __always_inline int next(struct __sk_buff *skb, struct work *w, const struct siphash_key *key)
{
    struct found f = {};
    look_up(skb, w, &f);
    struct node_asked *last = bpf_map_lookup_elem(&asked, &w->tuple);
    if (f.state == STATE_ESTABLISHED && f.rcv_nxt == w->seq) {
        if (f.write_seq != w->ack || unanswered(last, &f)) {
            count_node(NODE_BUSY, skb->len);
            return TC_ACT_SHOT;
        }
        if (last) {
            last->next = end_of(w);
            last->ack = w->ack;
        } else {
            begins(w, NULL, 0);
        }
    }
    if ((!f.state || f.state == STATE_LISTEN) && last && last->gone && last->seq == w->seq) {
        count_node(NODE_LET_GO, skb->len);
        return send_back(skb, w, HANDOFF_MOVED, key);
    }
    return deliver(skb, w);
}

static __always_inline int find(struct __sk_buff *skb, struct work *w, const struct siphash_key *key)
{
    struct found f = {};
    look_up(skb, w, &f);
    /* Not what an earlier connection on the same addresses and ports has left, where that can be told. */
    bool near = f.rcv_nxt - w->seq + NEAR_BYTES < 2 * NEAR_BYTES && f.write_seq - w->ack < NEAR_BYTES;
    bool mine = f.state && f.state != STATE_LISTEN && f.state != STATE_NEW && near;
    if (!(w->h.target & RELAY_PROBE))
        count_node(mine ? NODE_MINE : NODE_UNKNOWN, skb->len);
    w->h.start = bpf_htonl(f.rcv_nxt);
    w->h.tcp = f.tcp;
    struct node_asked *before = bpf_map_lookup_elem(&asked, &w->tuple);
    if (mine) {
        w->h.tcp.options |= f.state == STATE_ESTABLISHED ? 0 : HANDOFF_CLOSING;
        /* Not if there was more than that request since: then we have not seen it begin. */
        if (before && !before->gone && before->next && (__s32)(before->next - f.rcv_nxt) >= 0) {
            w->h.start = bpf_htonl(before->next);
            w->h.tcp.options |= HANDOFF_ENDS;
        }
    } else if (before && before->gone && before->seq == w->seq && w->data_len) {
        /* Our answer that it may move has come to a balancer that is no more. */
        w->h.tcp = before->tcp;
        w->h.tcp.options |= HANDOFF_LET_GO;
    }
    return send_back(skb, w, mine ? HANDOFF_MINE : HANDOFF_UNKNOWN, key);
}

SEC("tc")
int relay_node(struct __sk_buff *skb)
{
    __u32 zero = 0;
    const struct node_trust *trust = NULL;
    struct work *w = bpf_map_lookup_elem(&works, &zero);
    if (!w)
        return TC_ACT_OK;
    int stop = read_outer(skb, w, &trust);
    if (stop == NODE_COUNTER_COUNT)
        return TC_ACT_OK;
    if (stop >= 0 || !trust) {
        count_node(stop, skb->len);
        return TC_ACT_SHOT;
    }
    __builtin_memset(&w->tuple, 0, sizeof w->tuple);
    const struct siphash_key *key = &trust->key[w->h.key % HANDOFF_KEYS];
    if (!read_words(skb, w)) {
        count_node(NODE_MALFORMED, skb->len);
        return TC_ACT_SHOT;
    }
    if (handoff_tag(key, &w->h, w->to, w->words) != w->h.tag) {
        count_node(NODE_TAG_WRONG, skb->len);
        return TC_ACT_SHOT;
    }
    if (!read_inner(skb, w) || (w->h.kind != HANDOFF_PACKET && w->proto != IPPROTO_TCP)) {
        count_node(NODE_MALFORMED, skb->len);
        return TC_ACT_SHOT;
    }
    if (!w->h.tries)
        count_node(NODE_RECEIVED, skb->len);
    switch (w->h.kind) {
    case HANDOFF_PACKET:
        return deliver(skb, w);
    case HANDOFF_OPEN:
        return open(skb, w, key);
    case HANDOFF_MOVE:
        return move(skb, w, key);
    case HANDOFF_NEXT:
        return next(skb, w, key);
    case HANDOFF_FIND:
        return find(skb, w, key);
    }
    count_node(NODE_MALFORMED, skb->len);
    return TC_ACT_SHOT;
}

/* ---- what leaves ---- */

/*
 * A packet of the client that was under way when the connection was given up finds no socket, and the kernel would reset a
 * connection that lives elsewhere.
 */
SEC("tc")
int relay_node_out(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    struct bpf_sock_tuple tuple = {};
    const struct tcphdr *tcp;
    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        const struct iphdr *ip = data + sizeof(struct ethhdr);
        tcp = (const void *)(ip + 1);
        if ((void *)(tcp + 1) > end || ip->protocol != IPPROTO_TCP || ip->ihl != 5 || !tcp->rst)
            return TC_ACT_UNSPEC;
        tuple.ipv4.saddr = ip->daddr;
        tuple.ipv4.daddr = ip->saddr;
        tuple.ipv4.sport = tcp->dest;
        tuple.ipv4.dport = tcp->source;
    } else {
        const struct ipv6hdr *ip = data + sizeof(struct ethhdr);
        tcp = (const void *)(ip + 1);
        if (skb->protocol != bpf_htons(ETH_P_IPV6) || (void *)(tcp + 1) > end || ip->nexthdr != IPPROTO_TCP || !tcp->rst)
            return TC_ACT_UNSPEC;
        __builtin_memcpy(tuple.ipv6.saddr, &ip->daddr, 16);
        __builtin_memcpy(tuple.ipv6.daddr, &ip->saddr, 16);
        tuple.ipv6.sport = tcp->dest;
        tuple.ipv6.dport = tcp->source;
    }
    struct node_asked *before = bpf_map_lookup_elem(&asked, &tuple);
    if (!before || !before->gone || bpf_ktime_get_ns() - before->since_ns > NODE_LATE_NS)
        return TC_ACT_UNSPEC;
    count_node(NODE_LATE, skb->len);
    return TC_ACT_SHOT;
}

/* ---- sockets that begin ---- */

/* Of this node, in whose network namespace the process was that has loaded the program. */
const volatile __u64 own_netns;

SEC("sockops")
int relay_node_begun(struct bpf_sock_ops *ctx)
{
    struct bpf_sock_tuple tuple = {};
    if (ctx->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB || bpf_get_netns_cookie(ctx) != own_netns)
        return 1;
    __be16 sport = bpf_htons(bpf_ntohl(ctx->remote_port)), dport = bpf_htons(ctx->local_port);
    __be32 saddr[4] = {ctx->remote_ip6[0], ctx->remote_ip6[1], ctx->remote_ip6[2], ctx->remote_ip6[3]};
    bool is_mapped = !saddr[0] && !saddr[1] && saddr[2] == bpf_htonl(0xffff);
    if (ctx->family == FAMILY_V4 || is_mapped) { /* a listener of both families has IPv4 clients as mapped ones */
        tuple.ipv4.saddr = ctx->remote_ip4;
        tuple.ipv4.daddr = ctx->local_ip4;
        tuple.ipv4.sport = sport;
        tuple.ipv4.dport = dport;
    } else {
        __builtin_memcpy(tuple.ipv6.saddr, saddr, 16);
        for (int i = 0; i < 4; i++)
            tuple.ipv6.daddr[i] = ctx->local_ip6[i];
        tuple.ipv6.sport = sport;
        tuple.ipv6.dport = dport;
    }
    struct node_asked *here = bpf_map_lookup_elem(&asked, &tuple);
    if (!here || here->gone || here->segments <= INITIAL_WINDOW)
        return 1;
    int segments = here->segments;
    here->segments = 0;
    if (bpf_setsockopt(ctx, IPPROTO_TCP, TCP_BPF_IW, &segments, sizeof segments) == 0)
        count_node(NODE_WINDOW, 0);
    return 1;
}

char license_text[] SEC("license") = "Dual BSD/GPL";
