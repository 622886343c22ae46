/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/relay.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "relay/balancer.skel.h"
#pragma GCC diagnostic pop

enum { INTERFACES_MAX = 64 };

struct relay {
    struct relay_balancer *skel;
    uint32_t ring_size[RELAY_SERVICES_MAX];
    struct {
        unsigned ifindex;
        bool native;
    } attached[INTERFACES_MAX];
    unsigned attached_count;
    int cpus;
};

static const char *const counter_names[] = {
#define X(sym, name, text) name,
    RELAY_COUNTERS(X)
#undef X
};

const char *relay_counter_name(enum relay_counter c)
{
    return counter_names[c];
}

static int fail(struct buf *why, int err, const char *what)
{
    if (why)
        buf_printf(why, "%s: %s", what, strerror(err < 0 ? -err : err));
    return err_from_errno(err < 0 ? -err : err);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
    (void)level;
    (void)format;
    (void)args;
    return 0;
}

/* ---- open ---- */

static int pin_tables(struct relay_balancer *s, const char *folder, struct buf *why)
{
    struct bpf_map *map;
    char path[PATH_MAX];
    if (!folder)
        return PM_OK;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return fail(why, errno, folder);
    bpf_object__for_each_map(map, s->obj) {
        if (bpf_map__is_internal(map))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, bpf_map__name(map));
        int err = bpf_map__set_pin_path(map, path);
        if (err)
            return fail(why, err, path);
    }
    return PM_OK;
}

int relay_open(const struct relay_options *o, struct relay **out, struct buf *why)
{
    libbpf_set_print(quiet);
    struct relay *r = mem_alloc(sizeof *r);
    r->cpus = libbpf_num_possible_cpus();
    r->skel = relay_balancer__open();
    int err = r->skel ? pin_tables(r->skel, o->pin, why) : fail(why, errno, "the packet program cannot be read");
    if (!err && o->flows_max)
        err = bpf_map__set_max_entries(r->skel->maps.flows, o->flows_max);
    if (!err) {
        err = relay_balancer__load(r->skel);
        if (err)
            err = fail(why, err, "the kernel does not take the packet program");
    }
    if (err) {
        relay_close(r);
        return err;
    }
    *out = r;
    return PM_OK;
}

void relay_close(struct relay *r)
{
    if (!r)
        return;
    while (r->attached_count)
        (void)!relay_detach(r, r->attached[r->attached_count - 1].ifindex);
    relay_balancer__destroy(r->skel);
    free(r);
}

/* ---- interfaces ---- */

int relay_attach(struct relay *r, unsigned ifindex, bool *native, struct buf *why)
{
    int fd = bpf_program__fd(r->skel->progs.relay_balancer);
    if (r->attached_count == INTERFACES_MAX)
        return PM_ETOOBIG;
    *native = true;
    int err = bpf_xdp_attach((int)ifindex, fd, XDP_FLAGS_DRV_MODE, NULL);
    if (err == -EOPNOTSUPP || err == -EINVAL) {
        *native = false;
        err = bpf_xdp_attach((int)ifindex, fd, XDP_FLAGS_SKB_MODE, NULL);
    }
    if (err)
        return fail(why, err, "the packet program cannot be attached");
    r->attached[r->attached_count].ifindex = ifindex;
    r->attached[r->attached_count++].native = *native;
    return PM_OK;
}

int relay_detach(struct relay *r, unsigned ifindex)
{
    for (unsigned i = 0; i < r->attached_count; i++) {
        if (r->attached[i].ifindex != ifindex)
            continue;
        int err = bpf_xdp_detach((int)ifindex, r->attached[i].native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE, NULL);
        r->attached[i] = r->attached[--r->attached_count];
        return err ? err_from_errno(-err) : PM_OK;
    }
    return PM_ENOTFOUND;
}

/* ---- tables ---- */

static int set(const struct bpf_map *map, const void *key, const void *value)
{
    int err = bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY);
    return err ? err_from_errno(-err) : PM_OK;
}

int relay_set_node(struct relay *r, uint32_t index, const struct relay_node *n)
{
    return index < RELAY_NODES_MAX ? set(r->skel->maps.nodes, &index, n) : PM_ERANGE;
}

static struct relay_vip_key vip_key(const struct endpoint *at, uint8_t proto)
{
    struct relay_vip_key key = {.port = htons(at->port), .proto = proto};
    relay_addr(key.addr, &at->addr);
    return key;
}

int relay_set_vip(struct relay *r, const struct endpoint *at, uint8_t proto, uint32_t service, uint32_t flags)
{
    struct relay_vip_key key = vip_key(at, proto);
    if (service >= RELAY_SERVICES_MAX)
        return PM_ERANGE;
    struct relay_vip vip = {.service = service, .flags = flags, .ring_size = r->ring_size[service]};
    return set(r->skel->maps.vips, &key, &vip);
}

int relay_remove_vip(struct relay *r, const struct endpoint *at, uint8_t proto)
{
    struct relay_vip_key key = vip_key(at, proto);
    int err = bpf_map_delete_elem(bpf_map__fd(r->skel->maps.vips), &key);
    return err ? err_from_errno(-err) : PM_OK;
}

int relay_set_ring(struct relay *r, uint32_t service, const uint32_t *places, uint32_t size)
{
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_INNER_MAP);
    if (service >= RELAY_SERVICES_MAX || !size)
        return PM_ERANGE;
    int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ring", sizeof(uint32_t), sizeof(uint32_t), size, &opts);
    if (fd < 0)
        return err_from_errno(errno);
    uint32_t *keys = mem_alloc(size * sizeof *keys), n = size;
    for (uint32_t i = 0; i < size; i++)
        keys[i] = i;
    int err = bpf_map_update_batch(fd, keys, places, &n, NULL);
    err = err ? err_from_errno(-err) : set(r->skel->maps.rings, &service, &fd);
    free(keys);
    close(fd); /* the outer table holds it */
    if (!err)
        r->ring_size[service] = size;
    return err;
}

int relay_flow(const struct relay *r, const struct relay_flow_key *k, struct relay_flow *out)
{
    int err = bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.flows), k, out);
    return err ? err_from_errno(-err) : PM_OK;
}

void relay_counters(const struct relay *r, struct relay_count sum[RELAY_COUNTER_COUNT])
{
    struct relay_count *each = mem_alloc((size_t)r->cpus * sizeof *each);
    for (uint32_t c = 0; c < RELAY_COUNTER_COUNT; c++) {
        sum[c] = (struct relay_count){0};
        if (bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.counters), &c, each) != 0)
            continue;
        for (int cpu = 0; cpu < r->cpus; cpu++) {
            sum[c].packets += each[cpu].packets;
            sum[c].bytes += each[cpu].bytes;
        }
    }
    free(each);
}

int relay_try(struct relay *r, const void *packet, uint32_t len, uint32_t repeat, void *out, uint32_t *size,
              uint32_t *verdict, uint32_t *ns)
{
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = len, .data_out = out, .data_size_out = *size,
                .repeat = (int)repeat);
    int err = bpf_prog_test_run_opts(bpf_program__fd(r->skel->progs.relay_balancer), &opts);
    if (err)
        return err_from_errno(-err);
    *size = opts.data_size_out;
    *verdict = opts.retval;
    *ns = opts.duration;
    return PM_OK;
}
