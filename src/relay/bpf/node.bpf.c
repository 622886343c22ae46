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
 * Other packets to sockets whose connections come and go get those sockets' numbers (stay.h), and theirs the client's on tc egress;
 * there stays what must not leave, resets of connections that were given up. For sockets that begin (sock_ops, at the control
 * group): the congestion window that an adopted connection had at the node before. For those that were parked (an iterator
 * over sockets, run by the process): an end.
 */
#include "relay/bpf/stay.h"
#include <bpf/bpf_core_read.h>

enum { CLOCK_MAX = 0xffff };
enum { CA_REDUCED = 2 }; /* and above it: recovering from loss; include/uapi/linux/tcp.h */
enum { FAMILY_V4 = 2, INITIAL_WINDOW = 10 /* RFC 6928 */ };

/* ---- sockets ---- */

/* What there is to know of the socket on the packet's tuple. Numbers are the client's, but where it is parked. */
struct found {
    __u32 state; /* 0: none */
    /*
     * Behind the last byte the server has written. Where the client has acknowledged it, all was sent; what was sent
     * (snd_nxt) the kernel notes only after sending, and an answer may be here before that.
     */
    __u32 write_seq;
    __u32 rcv_nxt;
    bool parked;
    bool all_read;   /* of what was received */
    bool all_acked;  /* of what was written */
    bool spoke_last; /* the server has sent something since it was last sent to */
    struct node_stay *stay; /* NULL: none */
    struct node_shift shift;
    /* Only for MOVE and OPEN: */
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

static __always_inline void read_socket(const struct work *w, struct bpf_sock *sk, struct found *f)
{
    f->state = sk->state;
    if (f->state == STATE_TIME_WAIT) {
        struct tcp_timewait_sock *tw = bpf_skc_to_tcp_timewait_sock(sk);
        if (tw) {
            f->rcv_nxt = tw->tw_sk.__tw_common.skc_tw_rcv_nxt;
            f->write_seq = tw->tw_sk.__tw_common.skc_tw_snd_nxt;
        }
        f->shift = shift_of_closed(&w->tuple);
    } else if (f->state != STATE_LISTEN && f->state != STATE_NEW) {
        struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
        if (tp) {
            f->rcv_nxt = tp->rcv_nxt;
            f->write_seq = tp->write_seq;
            f->all_read = tp->copied_seq == f->rcv_nxt;
            f->all_acked = tp->snd_una == f->write_seq;
            f->spoke_last = (__s32)(tp->lsndtime - tp->inet_conn.icsk_ack.lrcvtime) >= 0;
            if (w->h.kind == HANDOFF_MOVE || w->h.kind == HANDOFF_OPEN) {
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
        f->stay = bpf_sk_storage_get(&stays, sk, NULL, 0);
        f->parked = f->stay && f->stay->parked_ns;
        if (f->stay && !f->parked)
            f->shift = f->stay->shift;
    }
    f->rcv_nxt -= f->shift.in;
    f->write_seq -= f->shift.out;
    f->clock -= f->shift.clock;
}

/* A parked one is none. */
static __always_inline void look_up(struct __sk_buff *skb, struct work *w, struct found *f)
{
    struct bpf_sock *sk = socket_of(skb, w);
    if (!sk)
        return;
    read_socket(w, sk, f);
    if (f->parked)
        f->state = 0;
    bpf_sk_release(sk);
}

static __always_inline int deliver(struct __sk_buff *skb, const struct work *w, const struct found *f)
{
    if (f->parked)
        return late(skb);
    if (!unwrap(skb, w))
        return TC_ACT_SHOT;
    count_node(NODE_DELIVERED, skb->len);
    struct shift_by by = shift_in(&f->shift);
    if (is_shifted(&f->shift) && !shift_tcp(skb, sizeof(struct ethhdr) + w->tcp_at - w->at, &by))
        return TC_ACT_SHOT;
    return TC_ACT_OK;
}

/* Where the request in this packet ends; 0: the balancer does not say. */
static __always_inline __u32 end_of(const struct work *w)
{
    return w->h.tcp.options & HANDOFF_ENDS ? bpf_ntohl(w->h.start) : 0;
}

/* A connection is here from this request on. before: what is noted of the tuple. shift: its socket's. */
static __always_inline void begins(struct work *w, struct node_asked *before, __u32 segments, struct node_shift shift)
{
    struct node_asked here = {.since_ns = bpf_ktime_get_ns(), .seq = w->seq + 1, .segments = segments, .shift = shift};
    here.returns = before && before->gone && here.since_ns - before->since_ns < NODE_PARKED_NS;
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
        begins(w, before, handoff_segments(w->h.key), (struct node_shift){});
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

/* What was agreed on with the client is what the socket has: if not, it was another connection's, on the same ports. */
static __always_inline bool agrees(const struct work *w, const struct handoff_tcp *has, const struct tcp_options *o)
{
    __u8 differs = w->h.tcp.options ^ has->options;
    return w->h.tcp.mss == has->mss && !(differs & (HANDOFF_SACK | HANDOFF_WSCALE)) &&
           (!(has->options & HANDOFF_WSCALE) || w->h.tcp.wscale == has->wscale) && !(has->options & HANDOFF_TIMESTAMPS) == !o->timestamps;
}

/* The server may have spoken or closed meanwhile, and a new socket would be quicker if the node before knows a much better window. */
static __always_inline bool is_ready(const struct work *w, const struct found *f)
{
    __u32 window = f->segments > INITIAL_WINDOW ? f->segments : INITIAL_WINDOW;
    return f->state == STATE_ESTABLISHED && f->all_read && f->all_acked && 2 * window >= handoff_segments(w->h.key) &&
           bpf_ktime_get_ns() - f->stay->parked_ns < NODE_PARKED_NS;
}

/* TC_ACT_UNSPEC: it cannot go on with that socket. */
static __always_inline int come_back(struct __sk_buff *skb, struct work *w, struct found *f, struct node_asked *before)
{
    struct tcp_options *o = read_options(skb, w);
    if (!o || !f->stay || !before || !before->gone || !is_ready(w, f) || !agrees(w, &f->tcp, o))
        return TC_ACT_UNSPEC;
    f->shift.in = f->rcv_nxt - w->seq;
    f->shift.out = f->write_seq - w->ack;
    if (o->timestamps)
        f->shift.clock = f->clock - o->tsecr - bpf_ntohs(w->h.clock);
    f->stay->shift = f->shift;
    f->stay->parked_ns = 0;
    f->parked = false;
    begins(w, before, 0, f->shift);
    count_node(NODE_CAME_BACK, skb->len);
    return deliver(skb, w, f);
}

/* A request for a connection that is not here. sk: who listens for such, or f says it is parked. */
static __always_inline int open_new(struct __sk_buff *skb, struct work *w, struct bpf_sock *sk, struct found *f,
                                    const struct siphash_key *key)
{
    struct node_asked *before = bpf_map_lookup_elem(&asked, &w->tuple);
    bool old = before && before->seq - w->seq - 1 < OLD_BYTES;
    if (old && before->gone)
        return TC_ACT_SHOT; /* a late copy: the connection was here and has gone on */
    if (f->parked)
        return come_back(skb, w, f, before);
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
        bool is_new = (f.state == STATE_LISTEN || f.parked) && w->seq == start && w->data_len;
        int act = is_new ? open_new(skb, w, sk, &f, key) : TC_ACT_UNSPEC;
        bpf_sk_release(sk);
        if (act != TC_ACT_UNSPEC)
            return act;
    }
    if (f.state == STATE_LISTEN || f.state == STATE_NEW)
        return put_off(skb, w);
    if (!f.state) {
        count_node(NODE_NO_LISTENER, skb->len);
        return send_back(skb, w, HANDOFF_REFUSED, key);
    }
    /* This connection's socket, or what an earlier one on the same addresses and ports has left? */
    bool same = !f.parked && f.state != STATE_TIME_WAIT && f.rcv_nxt - start < 1u << 30 && f.write_seq - w->ack < 1u << 28;
    bool copy = f.state == STATE_TIME_WAIT && f.rcv_nxt - start - 1 < OLD_BYTES;
    if (same || copy)
        return deliver(skb, w, &f);
    if (w->seq != start)
        return put_off(skb, w);
    if (!try_again(skb, w) || bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS) != 0)
        return TC_ACT_SHOT;
    count_node(NODE_CLEARED, skb->len);
    return reset_own(skb, w, f.rcv_nxt + f.shift.in);
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
static __always_inline bool has_answered(struct work *w, const struct found *f, const struct node_asked *before)
{
    __u64 now = bpf_ktime_get_ns();
    if (f->write_seq == bpf_ntohl(w->h.start) || unanswered(before, f))
        return false;
    if (f->spoke_last && !(w->h.tcp.options & HANDOFF_PIPELINES))
        return true;
    if (before && before->seq == w->seq && before->write_seq == f->write_seq)
        return now - before->since_ns >= NODE_ANSWERED_NS;
    struct node_asked first = {.since_ns = now, .seq = w->seq, .write_seq = f->write_seq};
    first.next = before ? before->next : 0;
    first.shift = f->shift;
    first.ack = before ? before->ack : bpf_ntohl(w->h.start);
    bpf_map_update_elem(&asked, &w->tuple, &first, BPF_ANY);
    return false;
}

static __always_inline int move(struct __sk_buff *skb, struct work *w, const struct siphash_key *key)
{
    struct found f = {};
    look_up(skb, w, &f);
    struct node_asked *before = bpf_map_lookup_elem(&asked, &w->tuple);
    if (!f.state || f.state == STATE_LISTEN) {
        bool again = before && before->gone && before->seq == w->seq; /* our answer was lost */
        count_node(again ? NODE_LET_GO : NODE_GONE, skb->len);
        return send_back(skb, w, again ? HANDOFF_MOVED : HANDOFF_GONE, key);
    }
    bool quiet = f.state == STATE_ESTABLISHED && f.all_read && f.rcv_nxt == w->seq && f.write_seq == w->ack;
    if (!quiet || !has_answered(w, &f, before)) {
        if (f.state == STATE_ESTABLISHED) {
            count_node(NODE_BUSY, skb->len);
            return TC_ACT_SHOT;
        }
        return deliver(skb, w, &f); /* the server is closing: its kernel answers */
    }
    if (w->h.tcp.options & HANDOFF_GUESS && !f.spoke_last)
        return deliver(skb, w, &f); /* it has waited for more all the time: this is more */
    struct node_asked done = {.since_ns = bpf_ktime_get_ns(), .seq = w->seq, .gone = 1, .tcp = f.tcp};
    TABLE_PUT(&asked, &w->tuple, before, &done);
    count_node(NODE_LET_GO, skb->len);
    w->h.key = w->h.key % HANDOFF_KEYS + handoff_window(f.segments);
    w->h.clock = clock_of(skb, w, &f);
    bool parks = f.stay && f.stay->leaves_here;
    if (parks) {
        f.stay->parked_ns = last_parked_ns = done.since_ns;
        count_node(NODE_PARKED, skb->len);
    }
    if (parks && f.all_acked)
        return send_back(skb, w, HANDOFF_MOVED, key);
    if (!turn_round(skb, w, HANDOFF_MOVED, key) || bpf_clone_redirect(skb, skb->ifindex, 0) != 0)
        return TC_ACT_SHOT;
    __u32 seq = f.rcv_nxt + f.shift.in, ack = f.write_seq + f.shift.out;
    if (!parks)
        return reset_own(skb, w, seq);
    /* What this packet acknowledges the socket would send again and again, and believe the path to be bad. */
    return tell_own(skb, w, (struct tcphdr){.seq = bpf_htonl(seq), .ack_seq = bpf_htonl(ack), .window = w->window, .doff = 5, .ack = 1});
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
            begins(w, NULL, 0, f.shift);
        }
    }
    if ((!f.state || f.state == STATE_LISTEN) && last && last->gone && last->seq == w->seq) {
        count_node(NODE_LET_GO, skb->len);
        return send_back(skb, w, HANDOFF_MOVED, key);
    }
    return deliver(skb, w, &f);
}

/* Of a connection that is here, by the balancer's word. */
static __always_inline int packet(struct __sk_buff *skb, struct work *w)
{
    if (!unwrap(skb, w))
        return TC_ACT_SHOT;
    int act = any_stays ? stay_packet(skb, w) : TC_ACT_OK;
    if (act == TC_ACT_OK)
        count_node(NODE_DELIVERED, skb->len);
    return act;
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
        return any_stays ? stay_packet(skb, w) : TC_ACT_OK;
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
        return packet(skb, w);
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

/* What a socket sends whose connection comes and goes. */
static __always_inline int leave(struct __sk_buff *skb, struct node_stay *stay)
{
    bool v4 = skb->protocol == bpf_htons(ETH_P_IP);
    __u32 at = sizeof(struct ethhdr) + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
    if (stay->parked_ns)
        return late(skb);
    if (!v4 && skb->protocol != bpf_htons(ETH_P_IPV6))
        return TC_ACT_UNSPEC;
    if (!stay->leaves_here)
        stay->leaves_here = 1;
    struct shift_by by = shift_out(&stay->shift);
    return !is_shifted(&stay->shift) || shift_tcp(skb, at, &by) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

/*
 * What the kernel sends without a socket. A packet of the client that was under way when the connection was given up finds
 * none, and would be answered with a reset to a connection that lives elsewhere. What is left of a closed socket answers with
 * that socket's numbers.
 */
static __always_inline int leave_without(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    struct bpf_sock_tuple tuple = {};
    const struct tcphdr *tcp;
    __u32 length;
    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        const struct iphdr *ip = data + sizeof(struct ethhdr);
        tcp = (const void *)(ip + 1);
        if ((void *)(tcp + 1) > end || ip->protocol != IPPROTO_TCP || ip->ihl != 5)
            return TC_ACT_UNSPEC;
        tuple.ipv4.saddr = ip->daddr;
        tuple.ipv4.daddr = ip->saddr;
        tuple.ipv4.sport = tcp->dest;
        tuple.ipv4.dport = tcp->source;
        length = sizeof tuple.ipv4;
    } else {
        const struct ipv6hdr *ip = data + sizeof(struct ethhdr);
        tcp = (const void *)(ip + 1);
        if (skb->protocol != bpf_htons(ETH_P_IPV6) || (void *)(tcp + 1) > end || ip->nexthdr != IPPROTO_TCP)
            return TC_ACT_UNSPEC;
        __builtin_memcpy(tuple.ipv6.saddr, &ip->daddr, 16);
        __builtin_memcpy(tuple.ipv6.daddr, &ip->saddr, 16);
        tuple.ipv6.sport = tcp->dest;
        tuple.ipv6.dport = tcp->source;
        length = sizeof tuple.ipv6;
    }
    __u32 at = (void *)tcp - data;
    bool rst = tcp->rst;
    if (!rst && !any_stays)
        return TC_ACT_UNSPEC;
    struct node_asked *before = bpf_map_lookup_elem(&asked, &tuple);
    if (!before)
        return TC_ACT_UNSPEC;
    if (before->gone)
        return rst && bpf_ktime_get_ns() - before->since_ns <= NODE_LATE_NS ? late(skb) : TC_ACT_UNSPEC;
    if (!is_shifted(&before->shift))
        return TC_ACT_UNSPEC;
    struct shift_by by = shift_out(&before->shift);
    struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, &tuple, length, BPF_F_CURRENT_NETNS, 0);
    bool closed = sk && sk->state == STATE_TIME_WAIT;
    if (sk)
        bpf_sk_release(sk);
    return !closed || shift_tcp(skb, at, &by) ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

SEC("tc")
int relay_node_out(struct __sk_buff *skb)
{
    struct bpf_sock *sk = skb->sk;
    struct node_stay *stay = sk && any_stays ? bpf_sk_storage_get(&stays, sk, NULL, 0) : NULL;
    if (stay)
        return leave(skb, stay);
    bool live = sk && sk->state != STATE_TIME_WAIT && sk->state != STATE_CLOSE && sk->state != STATE_LISTEN;
    return live ? TC_ACT_UNSPEC : leave_without(skb);
}

/* ---- parked sockets ---- */

/* Nobody came back, or nobody can. */
SEC("iter/tcp")
int relay_node_sweep(struct bpf_iter__tcp *ctx)
{
    struct sock_common *sk = ctx->sk_common;
    struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
    struct node_stay *stay = tp ? bpf_sk_storage_get(&stays, tp, NULL, 0) : NULL;
    if (!stay)
        return 0;
    bool over = stay->parked_ns && bpf_ktime_get_ns() - stay->parked_ns > NODE_OVER_NS;
    if (over || (ending && (stay->parked_ns || is_shifted(&stay->shift))))
        bpf_sock_destroy(sk);
    return 0;
}

/* ---- sockets that begin ---- */

/* Of this node, in whose network namespace the process was that has loaded the program. */
const volatile __u64 own_netns;
const volatile bool keeps_sockets;

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
    struct bpf_sock *sk = ctx->sk;
    if (!here || here->gone || !sk)
        return 1;
    if (keeps_sockets && here->returns && bpf_sk_storage_get(&stays, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE))
        any_stays = 1;
    if (here->segments <= INITIAL_WINDOW)
        return 1;
    int segments = here->segments;
    here->segments = 0;
    if (bpf_setsockopt(ctx, IPPROTO_TCP, TCP_BPF_IW, &segments, sizeof segments) == 0)
        count_node(NODE_WINDOW, 0);
    return 1;
}

char license_text[] SEC("license") = "Dual BSD/GPL";
