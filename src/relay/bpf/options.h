/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* TCP options (RFC 9293 3.1, 7323, 2018), read from a copy of their bytes by both programs. */
#ifndef PM_RELAY_BPF_OPTIONS_H
#define PM_RELAY_BPF_OPTIONS_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { OPTIONS_BYTES = 40, OPTION_MSS = 2, OPTION_SCALE = 3, OPTION_SACK = 4, OPTION_TIMESTAMPS = 8 };
#define OPTIONS_USUAL bpf_htonl(0x0101080a) /* two no-operations, then timestamps: as RFC 7323 appendix A advises */

struct tcp_options {
    union {
        __u8 bytes[64]; /* up to 40 of them used; the rest zero, which is the end of the list */
        __be32 word[16];
    };
    __u32 at;
    __u32 mss;      /* 0: not given */
    __u32 mss_at;   /* where in bytes */
    __u32 scale;    /* 255: not given */
    __u32 sack, timestamps;
    __u32 tsval, tsecr; /* machine order */
};

/* In a map for the same reason as a request's scratch. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct tcp_options);
} option_scratches SEC(".maps");

static __always_inline struct tcp_options *options_get(void)
{
    __u32 zero = 0;
    struct tcp_options *o = bpf_map_lookup_elem(&option_scratches, &zero);
    if (o)
        __builtin_memset(o, 0, sizeof *o);
    return o;
}

static __always_inline __u32 option_be32(const struct tcp_options *o, __u32 at)
{
    return (__u32)o->bytes[at & 63] << 24 | (__u32)o->bytes[(at + 1) & 63] << 16 | (__u32)o->bytes[(at + 2) & 63] << 8 |
           o->bytes[(at + 3) & 63];
}

static long option_step(__u32 i, void *ctx)
{
    struct tcp_options *o = *(struct tcp_options **)ctx;
    __u32 at = o->at;
    if (at >= OPTIONS_BYTES)
        return 1;
    __u8 kind = o->bytes[at & 63], length = o->bytes[(at + 1) & 63];
    if (kind == 0)
        return 1;
    if (kind == 1) {
        o->at = at + 1;
        return 0;
    }
    if (length < 2 || at + length > OPTIONS_BYTES)
        return 1;
    if (kind == OPTION_MSS && length == 4) {
        o->mss = option_be32(o, at) & 0xffff;
        o->mss_at = at + 2;
    } else if (kind == OPTION_SCALE && length == 3) {
        o->scale = o->bytes[(at + 2) & 63];
        if (o->scale > 14)
            o->scale = 14; /* RFC 7323 2.3 */
    } else if (kind == OPTION_SACK && length == 2) {
        o->sack = 1;
    } else if (kind == OPTION_TIMESTAMPS && length == 10) {
        o->timestamps = 1;
        o->tsval = option_be32(o, at + 2);
        o->tsecr = option_be32(o, at + 6);
    }
    o->at = at + length;
    return 0;
}

/* o->bytes filled, all else zero. */
static __always_inline void options_read(struct tcp_options *o)
{
    o->scale = 255;
    if (o->word[0] == OPTIONS_USUAL && !o->word[3]) { /* and nothing behind them */
        o->timestamps = 1;
        o->tsval = bpf_ntohl(o->word[1]);
        o->tsecr = bpf_ntohl(o->word[2]);
        return;
    }
    bpf_loop(OPTIONS_BYTES, option_step, &o, 0);
}

#endif
