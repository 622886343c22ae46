/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A TCP header whose numbers are another socket's: sequence number, acknowledgement, SACK blocks (RFC 2018) and timestamps
 * (RFC 7323) changed by constants, the checksum with them.
 */
#ifndef PM_RELAY_BPF_SHIFT_H
#define PM_RELAY_BPF_SHIFT_H

#include "relay/bpf/options.h"
#include "relay/bpf/parse.h"
#include "relay/bpf/tables_node.h"

/* What is added to each. */
struct shift_by {
    __u32 seq, ack /* and SACK blocks */, tsval, tsecr;
};

/* A client's packet on its way to the socket, and the socket's on its way to the client. */
static __always_inline struct shift_by shift_in(const struct node_shift *s)
{
    return (struct shift_by){.seq = s->in, .ack = s->out, .tsecr = s->clock};
}

static __always_inline struct shift_by shift_out(const struct node_shift *s)
{
    return (struct shift_by){.seq = -s->out, .ack = -s->in, .tsval = -s->clock};
}

/* TCP with timestamps and no other option. */
struct shift_usual {
    struct tcphdr tcp;
    __be32 options[3];
};

union shift_header {
    struct tcphdr tcp;
    __u8 byte[64]; /* up to 60 of them used */
    __be32 word[16];
};

struct shifting {
    union shift_header was, now;
    struct shift_by by;
    __u32 at, end; /* options in `now` */
};
TABLE(shiftings, PERCPU_ARRAY, 1, __u32, struct shifting);

enum { OPTION_SACK_BLOCKS = 5, SACK_EDGES_MAX = 8 };

static __always_inline void shift_be32(struct shifting *s, __u32 at, __u32 by)
{
    __u8 *b = s->now.byte;
    __u32 v = (__u32)b[at & 63] << 24 | (__u32)b[(at + 1) & 63] << 16 | (__u32)b[(at + 2) & 63] << 8 | b[(at + 3) & 63];
    v += by;
    b[at & 63] = v >> 24;
    b[(at + 1) & 63] = v >> 16;
    b[(at + 2) & 63] = v >> 8;
    b[(at + 3) & 63] = v;
}

static long shift_option(__u32 i, void *ctx)
{
    struct shifting *s = *(struct shifting **)ctx;
    __u32 at = s->at;
    __u8 kind = s->now.byte[at & 63], length = s->now.byte[(at + 1) & 63];
    if (at >= s->end || kind == 0)
        return 1;
    if (kind == 1) {
        s->at = at + 1;
        return 0;
    }
    if (length < 2 || at + length > s->end)
        return 1;
    if (kind == OPTION_TIMESTAMPS && length == 10) {
        shift_be32(s, at + 2, s->by.tsval);
        shift_be32(s, at + 6, s->by.tsecr);
    } else if (kind == OPTION_SACK_BLOCKS) {
        for (__u32 edge = 0; edge < SACK_EDGES_MAX; edge++)
            if (2 + 4 * edge + 4 <= length)
                shift_be32(s, at + 2 + 4 * edge, s->by.ack);
    }
    s->at = at + length;
    return 0;
}

/* Any options. */
static __always_inline bool shift_all(struct __sk_buff *skb, __u32 at, const struct shift_by *by)
{
    __u32 zero = 0;
    struct shifting *s = bpf_map_lookup_elem(&shiftings, &zero);
    if (!s || bpf_skb_load_bytes(skb, at, s->now.byte, sizeof(struct tcphdr)) != 0)
        return false;
    __u64 length = (s->now.byte[12] >> 4) * 4;
    ONE_REGISTER(length);
    if (length < sizeof(struct tcphdr) || length > 60 || bpf_skb_load_bytes(skb, at, s->now.byte, length) != 0)
        return false;
    s->was = s->now;
    s->now.word[1] = bpf_htonl(bpf_ntohl(s->now.word[1]) + by->seq);
    if (s->now.tcp.ack)
        s->now.word[2] = bpf_htonl(bpf_ntohl(s->now.word[2]) + by->ack);
    s->by = *by;
    s->at = sizeof(struct tcphdr);
    s->end = length;
    bpf_loop(OPTIONS_BYTES, shift_option, &s, 0);
    __s64 sum = bpf_csum_diff(s->was.word, length, s->now.word, length, 0);
    return sum >= 0 && bpf_skb_store_bytes(skb, at, s->now.byte, length, 0) == 0 &&
           bpf_l4_csum_replace(skb, at + __builtin_offsetof(struct tcphdr, check), 0, sum, 0) == 0;
}

static __always_inline __be32 shift_word(__be32 was, __u32 by, __u64 *sum)
{
    __be32 now = bpf_htonl(bpf_ntohl(was) + by);
    *sum += (__u64)(__u32)~was + now;
    return now;
}

/* at: of the TCP header. false: it cannot be read, or written. */
static __always_inline bool shift_tcp(struct __sk_buff *skb, __u32 at, const struct shift_by *by)
{
    enum { SEQ = 4, TIMES = 24 };
    const __be32 *tcp = (const __be32 *)HEADER(struct shift_usual, skb, at);
    if (!tcp || (tcp[3] & bpf_htonl(0xf0100000)) != bpf_htonl(0x80100000) || tcp[5] != OPTIONS_USUAL)
        return shift_all(skb, at, by);
    __u64 sum = 0;
    __be32 numbers[2] = {shift_word(tcp[1], by->seq, &sum), shift_word(tcp[2], by->ack, &sum)};
    __be32 times[2] = {shift_word(tcp[6], by->tsval, &sum), shift_word(tcp[7], by->tsecr, &sum)};
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    return bpf_skb_store_bytes(skb, at + SEQ, numbers, sizeof numbers, 0) == 0 &&
           bpf_skb_store_bytes(skb, at + TIMES, times, sizeof times, 0) == 0 &&
           bpf_l4_csum_replace(skb, at + __builtin_offsetof(struct tcphdr, check), 0, sum, 0) == 0;
}

#endif
