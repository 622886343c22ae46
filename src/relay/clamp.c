/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/clamp.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include "base/arena.h"
#include "relay/bpf/clamp_shared.h"
#include "relay/bpf/handoff.h"
#include "relay/load.h"
#include "relay/ring.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "relay/clamp.skel.h"
#pragma GCC diagnostic pop

enum { INTERFACES_MAX = 64, FILTER_HANDLE = 0x504d, FILTER_PRIORITY = 2 /* behind the node's own */, HEADERS_V4 = 40, HEADERS_V6 = 60 };

struct clamp {
    struct relay_clamp_bpf *skel;
    unsigned attached[INTERFACES_MAX], attached_count;
};

int clamp_open(struct clamp **out, struct buf *why)
{
    load_quiet();
    struct clamp *c = mem_alloc(sizeof *c);
    c->skel = relay_clamp_bpf__open_and_load();
    if (!c->skel) {
        int err =
            load_fail(why, errno, "the kernel does not take the program that lowers the MSS (it needs Linux 5.17)");
        clamp_close(c);
        return err;
    }
    *out = c;
    return PM_OK;
}

void clamp_leave(struct clamp *c)
{
    if (!c)
        return;
    relay_clamp_bpf__destroy(c->skel);
    free(c);
}

void clamp_close(struct clamp *c)
{
    while (c && c->attached_count) {
        LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)c->attached[--c->attached_count], .attach_point = BPF_TC_EGRESS);
        LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
        bpf_tc_detach(&hook, &opts);
    }
    clamp_leave(c);
}

int clamp_attach(struct clamp *c, unsigned ifindex, struct buf *why)
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_EGRESS);
    LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY, .flags = BPF_TC_F_REPLACE,
                .prog_fd = bpf_program__fd(c->skel->progs.relay_clamp));
    if (c->attached_count == INTERFACES_MAX)
        return PM_ETOOBIG;
    int err = bpf_tc_hook_create(&hook);
    if (err && err != -EEXIST)
        return load_fail(why, err, "the interface takes no packet program (clsact)");
    err = bpf_tc_attach(&hook, &opts);
    if (err)
        return load_fail(why, err, "the program that lowers the MSS cannot be attached");
    c->attached[c->attached_count++] = ifindex;
    return PM_OK;
}

uint16_t clamp_mss(uint32_t mtu, bool v6_path, int family)
{
    uint32_t over =
        (uint32_t)(v6_path ? HANDOFF_OVER_V6 : HANDOFF_OVER_V4) + (family == ADDR_V6 ? HEADERS_V6 : HEADERS_V4);
    mtu = mtu < UINT16_MAX ? mtu : UINT16_MAX;
    return mtu > over ? (uint16_t)(mtu - over) : 0;
}

int clamp_set(struct clamp *c, const struct addr *vip, uint16_t mss)
{
    uint8_t key[16];
    struct clamp_value value = {0};
    int fd = bpf_map__fd(c->skel->maps.clamps);
    relay_addr(key, vip);
    if (!mss) {
        (void)bpf_map_delete_elem(fd, key);
        return PM_OK;
    }
    (void)bpf_map_lookup_elem(fd, key, &value); /* its count */
    value.mss = mss;
    int err = bpf_map_update_elem(fd, key, &value, BPF_ANY);
    return err ? err_from_errno(-err) : PM_OK;
}

int clamp_count(const struct clamp *c, const struct addr *vip, uint64_t *lowered)
{
    uint8_t key[16];
    struct clamp_value value;
    relay_addr(key, vip);
    int err = bpf_map_lookup_elem(bpf_map__fd(c->skel->maps.clamps), key, &value);
    if (!err)
        *lowered = value.lowered;
    return err ? err_from_errno(-err) : PM_OK;
}

int clamp_try(struct clamp *c, const void *packet, uint32_t len, void *out)
{
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = len, .data_out = out, .data_size_out = len);
    int err = bpf_prog_test_run_opts(bpf_program__fd(c->skel->progs.relay_clamp), &opts);
    return err ? err_from_errno(-err) : PM_OK;
}
