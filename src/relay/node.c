/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/node.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/log.h"
#include "relay/load.h"
#include "relay/ring.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "relay/node.skel.h"
#pragma GCC diagnostic pop

enum { INTERFACES_MAX = 64, FILTER_HANDLE = 0x504d, FILTER_PRIORITY = 1 };

struct node {
    struct relay_node_bpf *skel;
    unsigned attached[INTERFACES_MAX], attached_count;
    uint64_t swept_ns; /* sockets parked until then are gone */
};

/*
 * The root of the control groups, as far as we see them; where only old ones are mounted, a mount of our own without a place.
 */
static int root_group(void)
{
    struct statfs s;
    int fd = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fstatfs(fd, &s) == 0 && s.f_type == CGROUP2_SUPER_MAGIC)
        return fd;
    if (fd >= 0)
        close(fd);
    int context = fsopen("cgroup2", FSOPEN_CLOEXEC);
    fd = context >= 0 && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0 ? fsmount(context, FSMOUNT_CLOEXEC, 0) : -1;
    int err = errno;
    if (context >= 0)
        close(context);
    errno = err;
    return fd;
}

/* Without it connections that move begin in slow start, each time at a new socket: slower, not wrong. */
static void attach_group(struct node *n)
{
    int group = root_group();
    n->skel->links.relay_node_begun =
        group >= 0 ? bpf_program__attach_cgroup(n->skel->progs.relay_node_begun, group) : NULL;
    if (!n->skel->links.relay_node_begun)
        log_warn("connections that move here begin in slow start, and always at a new socket: there is no control group to attach to", "why", strerror(errno));
    if (group >= 0)
        close(group);
}

static uint64_t own_netns(void)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    (void)getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
    close(fd);
    return cookie;
}

static const char *const counter_names[] = {
#define X(sym, name, text) name,
    NODE_COUNTERS(X)
#undef X
};

const char *node_counter_name(enum node_counter c)
{
    return counter_names[c];
}

/* ---- what the process before has left ---- */

static uint32_t program_at(unsigned ifindex, enum bpf_tc_attach_point point)
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
    LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
    return bpf_tc_query(&hook, &opts) == 0 ? opts.prog_id : 0;
}

static bool is_like(int fd, const struct bpf_map *map)
{
    struct bpf_map_info info = {0};
    uint32_t size = sizeof info;
    return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(map) &&
           strcmp(info.name, bpf_map__name(map)) == 0 && info.key_size == bpf_map__key_size(map) &&
           info.value_size == bpf_map__value_size(map) && info.max_entries == bpf_map__max_entries(map);
}

/* The program's table that is like this one is used as this one. */
static bool take_over(uint32_t program, struct bpf_map *map)
{
    uint32_t ids[32], size = sizeof(struct bpf_prog_info);
    struct bpf_prog_info info = {.nr_map_ids = sizeof ids / sizeof *ids, .map_ids = (uintptr_t)ids};
    int fd = bpf_prog_get_fd_by_id(program);
    bool taken = false;
    if (fd < 0)
        return false;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0)
        info.nr_map_ids = 0;
    for (uint32_t i = 0; i < info.nr_map_ids && i < sizeof ids / sizeof *ids && !taken; i++) {
        int table = bpf_map_get_fd_by_id(ids[i]);
        taken = table >= 0 && is_like(table, map) && bpf_map__reuse_fd(map, table) == 0;
        if (table >= 0)
            close(table);
    }
    close(fd);
    return taken;
}

/*
 * Connections whose sockets have other numbers than the client could not go on without what is known of them, and the program
 * that knows it is still at its interface.
 */
static bool take_over_connections(struct node *n)
{
    struct if_nameindex *all = if_nameindex();
    uint32_t program = 0;
    for (const struct if_nameindex *i = all; i && i->if_index && !program; i++)
        program = program_at(i->if_index, BPF_TC_INGRESS);
    if (all)
        if_freenameindex(all);
    if (!program)
        return false;
    (void)take_over(program, n->skel->maps.asked);
    return take_over(program, n->skel->maps.stays);
}

/* ---- the programs ---- */

int node_open(bool keep_sockets, struct node **out, struct buf *why)
{
    load_quiet();
    struct node *n = mem_alloc(sizeof *n);
    n->skel = relay_node_bpf__open();
    int err = n->skel ? PM_OK : load_fail(why, errno, "the packet program cannot be read");
    if (!err) {
        n->skel->rodata->own_netns = own_netns();
        n->skel->rodata->keeps_sockets = keep_sockets;
        n->skel->bss->any_stays = take_over_connections(n);
        if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SOCK_OPS, NULL) != 1) /* a kernel without CONFIG_CGROUP_BPF */
            bpf_program__set_autoload(n->skel->progs.relay_node_begun, false);
        err = relay_node_bpf__load(n->skel);
        if (err)
            err = load_fail(why, err, "the kernel does not take the node's packet program (it needs Linux 6.9)");
    }
    if (!err)
        n->skel->links.relay_node_sweep = bpf_program__attach_iter(n->skel->progs.relay_node_sweep, NULL);
    if (!err && !n->skel->links.relay_node_sweep)
        err = load_fail(why, errno, "sockets cannot be iterated over");
    if (err) {
        node_close(n);
        return err;
    }
    attach_group(n);
    *out = n;
    return PM_OK;
}

static bool is_at(unsigned ifindex, enum bpf_tc_attach_point point, const struct bpf_program *program)
{
    struct bpf_prog_info own = {0};
    uint32_t size = sizeof own;
    return bpf_obj_get_info_by_fd(bpf_program__fd(program), &own, &size) == 0 && program_at(ifindex, point) == own.id;
}

/* What the next process has put in its place stays. */
static void detach(unsigned ifindex, enum bpf_tc_attach_point point, const struct bpf_program *program)
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
    LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
    if (is_at(ifindex, point, program))
        bpf_tc_detach(&hook, &opts);
}

static int attach(unsigned ifindex, enum bpf_tc_attach_point point, const struct bpf_program *program, struct buf *why)
{
    LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
    LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY, .flags = BPF_TC_F_REPLACE,
                .prog_fd = bpf_program__fd(program));
    int err = bpf_tc_hook_create(&hook);
    if (err && err != -EEXIST)
        return load_fail(why, err, "the interface takes no packet program (clsact)");
    err = bpf_tc_attach(&hook, &opts);
    return err ? load_fail(why, err, "the node's packet program cannot be attached") : PM_OK;
}

void node_detach(struct node *n, unsigned ifindex)
{
    for (unsigned i = 0; i < n->attached_count; i++) {
        if (n->attached[i] != ifindex)
            continue;
        detach(ifindex, BPF_TC_INGRESS, n->skel->progs.relay_node);
        detach(ifindex, BPF_TC_EGRESS, n->skel->progs.relay_node_out);
        n->attached[i] = n->attached[--n->attached_count];
        return;
    }
}

/* What the program does to each socket is in the program: reading is all there is to do. */
static void sweep(struct node *n)
{
    char none[64];
    int fd = bpf_iter_create(bpf_link__fd(n->skel->links.relay_node_sweep));
    while (fd >= 0 && read(fd, none, sizeof none) > 0)
        ;
    if (fd >= 0)
        close(fd);
}

void node_leave(struct node *n)
{
    if (!n)
        return;
    relay_node_bpf__destroy(n->skel);
    free(n);
}

void node_close(struct node *n)
{
    if (n && n->skel->links.relay_node_sweep) {
        n->skel->bss->ending = 1;
        sweep(n);
    }
    while (n && n->attached_count)
        node_detach(n, n->attached[0]);
    node_leave(n);
}

bool node_is_attached(const struct node *n, unsigned ifindex)
{
    return is_at(ifindex, BPF_TC_INGRESS, n->skel->progs.relay_node) &&
           is_at(ifindex, BPF_TC_EGRESS, n->skel->progs.relay_node_out);
}

int node_attach(struct node *n, unsigned ifindex, struct buf *why)
{
    unsigned known = 0;
    while (known < n->attached_count && n->attached[known] != ifindex)
        known++;
    if (known == INTERFACES_MAX)
        return PM_ETOOBIG;
    int err = attach(ifindex, BPF_TC_INGRESS, n->skel->progs.relay_node, why);
    if (!err)
        err = attach(ifindex, BPF_TC_EGRESS, n->skel->progs.relay_node_out, why);
    if (known == n->attached_count)
        n->attached[n->attached_count++] = ifindex;
    return err;
}

int node_trust(struct node *n, const struct addr *balancer, const struct siphash_key key[HANDOFF_KEYS])
{
    uint8_t from[16];
    struct node_trust value;
    relay_addr(from, balancer);
    for (int i = 0; i < HANDOFF_KEYS; i++)
        value.key[i] = key[i];
    int err = bpf_map_update_elem(bpf_map__fd(n->skel->maps.trusted), from, &value, BPF_ANY);
    return err ? err_from_errno(-err) : PM_OK;
}

int node_distrust(struct node *n, const struct addr *balancer)
{
    uint8_t from[16];
    relay_addr(from, balancer);
    int err = bpf_map_delete_elem(bpf_map__fd(n->skel->maps.trusted), from);
    return err ? err_from_errno(-err) : PM_OK;
}

void node_sweep(struct node *n, uint64_t now_ns)
{
    uint64_t last = __atomic_load_n(&n->skel->bss->last_parked_ns, __ATOMIC_RELAXED);
    if (last == n->swept_ns)
        return;
    sweep(n);
    if (now_ns - last > 2 * NODE_OVER_NS)
        n->swept_ns = last;
}

void node_counters(const struct node *n, struct relay_count sum[NODE_COUNTER_COUNT])
{
    load_counters(n->skel->maps.node_counters, sum, NODE_COUNTER_COUNT);
}
