/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The few fields of the kernel's own structs that the node program reads. Names only: where they are in the running
 * kernel, libbpf finds out at load time (CO-RE), so that a build needs no kernel's type information.
 */
#ifndef PM_RELAY_BPF_KERNEL_H
#define PM_RELAY_BPF_KERNEL_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock_common {
    __u32 skc_tw_rcv_nxt;
    __u32 skc_tw_snd_nxt;
};

struct inet_timewait_sock {
    struct sock_common __tw_common;
};

struct tcp_timewait_sock {
    struct inet_timewait_sock tw_sk;
};

struct inet_connection_sock {
    __u32 icsk_rto;
    __u8 icsk_ca_state : 5;
    struct {
        __u32 lrcvtime;
    } icsk_ack;
};

struct tcp_options_received {
    __u16 saw_tstamp : 1, tstamp_ok : 1, dsack : 1, wscale_ok : 1, sack_ok : 3, smc_ok : 1, snd_wscale : 4, rcv_wscale : 4;
    __u16 mss_clamp;
};

struct tcp_sock {
    struct inet_connection_sock inet_conn;
    __u32 copied_seq, write_seq, snd_una, lsndtime, rcv_nxt, snd_cwnd, snd_ssthresh, tsoffset;
    struct tcp_options_received rx_opt;
};

struct sock { /* defined, because a declaration alone does not match the kernel's */
    struct sock_common __sk_common;
};

struct bpf_iter__tcp {
    struct sock_common *sk_common;
};

#pragma clang attribute pop

struct bpf_tcp_req_attrs {
    __u32 rcv_tsval;
    __u32 rcv_tsecr;
    __u16 mss;
    __u8 rcv_wscale;
    __u8 snd_wscale;
    __u8 ecn_ok;
    __u8 wscale_ok;
    __u8 sack_ok;
    __u8 tstamp_ok;
    __u8 usec_ts_ok;
    __u8 reserved[3];
};

/* Linux 6.3; Debian 12's headers are older. The packet that comes out is of another family than the tunnel. */
#define ADJ_ROOM_DECAP_IPV4 (1ull << 7)
#define ADJ_ROOM_DECAP_IPV6 (1ull << 8)

/* Linux 6.9: a listener takes a connection from one packet of it. */
extern int bpf_sk_assign_tcp_reqsk(struct __sk_buff *s, struct sock *sk, struct bpf_tcp_req_attrs *attrs,
                                   int attrs__sz) __attribute__((section(".ksyms")));

/* Linux 6.5: ends a connection, for programs that iterate over sockets. */
extern int bpf_sock_destroy(struct sock_common *sock) __attribute__((section(".ksyms")));

#endif
