/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/relay.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/log.h"
#include "relay/load.h"
#include "relay/relay_internal.h"

#define OUR_PROGRAM "relay_balancer" /* as the kernel calls it */

static const char *const counter_names[] = {
#define X(sym, name, text) name,
    RELAY_COUNTERS(X)
#undef X
};

const char *relay_counter_name(enum relay_counter c)
{
    return counter_names[c];
}

/*
 * What outlasts the process: connections, and the numbers of the nodes they are at. All that a configuration makes is each
 * process's own; else packets would be judged by half of one and half of another while the next one fills its tables in.
 */
static const char *const kept[] = {"flows", "fragments", "unknowns", "cids", "nodes", "counters", NULL};

int relay_open(const struct relay_options *o, struct relay **out, struct buf *why)
{
    load_quiet();
    struct relay *r = mem_alloc(sizeof *r);
    r->skel = relay_balancer_bpf__open();
    int err = r->skel ? PM_OK : load_fail(why, errno, "the packet program cannot be read");
    if (!err && o->flows_max)
        err = bpf_map__set_max_entries(r->skel->maps.flows, o->flows_max);
    if (!err && o->flows_max)
        err = bpf_map__set_max_entries(r->skel->maps.cids, o->flows_max / 4 + 1);
    if (!err)
        err = load_pin(r->skel->obj, o->pin, kept, why);
    if (!err) {
        err = relay_balancer_bpf__load(r->skel);
        if (err)
            err = load_fail(why, err, "the kernel does not take the packet program");
    }
    if (err) {
        relay_close(r);
        return err;
    }
    if (o->pin)
        snprintf(r->pin, sizeof r->pin, "%s", o->pin);
    *out = r;
    return PM_OK;
}

void relay_close(struct relay *r)
{
    while (r && r->attached_count)
        (void)!relay_detach(r, r->attached[r->attached_count - 1].ifindex);
    relay_leave(r);
}

void relay_leave(struct relay *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < RELAY_SETS_MAX; i++)
        free(r->ring[i].places);
    ring_buffer__free(r->events);
    relay_balancer_bpf__destroy(r->skel);
    free(r);
}

/* ---- interfaces ---- */

static uint32_t id_of(int fd)
{
    struct bpf_prog_info info = {0};
    uint32_t size = sizeof info;
    (void)bpf_obj_get_info_by_fd(fd, &info, &size);
    return info.id;
}

/* What the kernel says of the program there; false: there is none, or without CAP_SYS_ADMIN, that is not to be had. */
static bool program_at(unsigned ifindex, struct bpf_prog_info *info)
{
    uint32_t id = 0, size = sizeof *info;
    memset(info, 0, sizeof *info);
    int fd = bpf_xdp_query_id((int)ifindex, 0, &id) == 0 && id ? bpf_prog_get_fd_by_id(id) : -1;
    if (fd < 0)
        return false;
    bool known = bpf_obj_get_info_by_fd(fd, info, &size) == 0;
    close(fd);
    return known;
}

/* Somebody else's program; one of which nothing is known counts as an earlier process's. */
static bool others(unsigned ifindex, struct buf *why)
{
    struct bpf_prog_info info;
    char name[IF_NAMESIZE] = "";
    if (!program_at(ifindex, &info) || strcmp(info.name, OUR_PROGRAM) == 0)
        return false;
    if_indextoname(ifindex, name);
    buf_printf(why, "another packet program is at %s (%s, id %u); `ip link set dev %s xdp off` takes it away", name, info.name,
               info.id, name);
    return true;
}

bool relay_is_at(unsigned ifindex)
{
    struct bpf_prog_info info;
    return program_at(ifindex, &info) && strcmp(info.name, OUR_PROGRAM) == 0;
}

static bool mark_path(const struct relay *r, unsigned ifindex, char path[PATH_MAX + 32])
{
    snprintf(path, PATH_MAX + 32, "%s/on-%u", r->pin, ifindex);
    return *r->pin;
}

/* The program of ours that was last put at the interface; 0: not known. */
static uint32_t marked(const struct relay *r, unsigned ifindex)
{
    char path[PATH_MAX + 32];
    int fd = mark_path(r, ifindex, path) ? bpf_obj_get(path) : -1;
    if (fd < 0)
        return 0;
    uint32_t id = id_of(fd);
    close(fd);
    return id;
}

enum relay_at relay_at(const struct relay *r, unsigned ifindex)
{
    uint32_t id = 0;
    if (bpf_xdp_query_id((int)ifindex, 0, &id) != 0 || !id)
        return RELAY_AT_NONE;
    if (id == id_of(bpf_program__fd(r->skel->progs.relay_balancer)))
        return RELAY_AT_OWN;
    return relay_is_at(ifindex) || id == marked(r, ifindex) ? RELAY_AT_KIN : RELAY_AT_OTHER;
}

/* Which interface the next process finds our program at. */
static void mark(const struct relay *r, unsigned ifindex, bool on)
{
    char path[PATH_MAX + 32];
    if (!mark_path(r, ifindex, path))
        return;
    (void)!unlink(path);
    if (on)
        (void)!bpf_obj_pin(bpf_program__fd(r->skel->progs.relay_balancer), path);
}

void relay_take_off(const char *pin, const unsigned *keep, unsigned count)
{
    DIR *folder = opendir(pin);
    for (const struct dirent *e; folder && (e = readdir(folder));) {
        unsigned ifindex, i = 0;
        char path[PATH_MAX + 32];
        if (sscanf(e->d_name, "on-%u", &ifindex) != 1)
            continue;
        while (i < count && keep[i] != ifindex)
            i++;
        if (i < count)
            continue;
        if (relay_is_at(ifindex) && bpf_xdp_detach((int)ifindex, 0, NULL) != 0)
            log_error("the relay's program cannot be taken off an interface", "index", LOG_U(ifindex));
        snprintf(path, sizeof path, "%s/%s", pin, e->d_name);
        (void)!unlink(path);
    }
    if (folder)
        closedir(folder);
}

int relay_attach(struct relay *r, unsigned ifindex, bool *native, struct buf *why)
{
    int fd = bpf_program__fd(r->skel->progs.relay_balancer);
    if (r->attached_count == RELAY_INTERFACES_MAX)
        return PM_ETOOBIG;
    if (others(ifindex, why))
        return PM_EINUSE;
    *native = true;
    int err = bpf_xdp_attach((int)ifindex, fd, XDP_FLAGS_DRV_MODE, NULL);
    if (err == -EOPNOTSUPP || err == -EINVAL || err == -EEXIST) { /* the last: our own of before is in the generic path */
        *native = false;
        err = bpf_xdp_attach((int)ifindex, fd, XDP_FLAGS_SKB_MODE, NULL);
    }
    if (err)
        return load_fail(why, err, "the packet program cannot be attached");
    r->attached[r->attached_count].ifindex = ifindex;
    r->attached[r->attached_count++].native = *native;
    mark(r, ifindex, true);
    return PM_OK;
}

int relay_detach(struct relay *r, unsigned ifindex)
{
    for (unsigned i = 0; i < r->attached_count; i++) {
        if (r->attached[i].ifindex != ifindex)
            continue;
        LIBBPF_OPTS(bpf_xdp_attach_opts, own, .old_prog_fd = bpf_program__fd(r->skel->progs.relay_balancer));
        int err = bpf_xdp_detach((int)ifindex, r->attached[i].native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE, &own);
        r->attached[i] = r->attached[--r->attached_count];
        if (err != -EEXIST) /* else another is there, and the mark is its own */
            mark(r, ifindex, false);
        return err ? err_from_errno(-err) : PM_OK;
    }
    return PM_ENOTFOUND;
}

/* ---- tables ---- */

int relay_set_node(struct relay *r, uint32_t index, const struct relay_node *n)
{
    return index < RELAY_NODES_MAX ? relay_map_set(r->skel->maps.nodes, &index, n) : PM_ERANGE;
}

int relay_node(const struct relay *r, uint32_t index, struct relay_node *out)
{
    int err = bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.nodes), &index, out);
    return err ? err_from_errno(-err) : PM_OK;
}

int relay_heard(const struct relay *r, uint32_t node, struct relay_heard *out)
{
    int err = bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.heard), &node, out);
    return err ? err_from_errno(-err) : PM_OK;
}

static struct relay_vip_key vip_key(const struct endpoint *at, uint8_t proto)
{
    struct relay_vip_key key = {.port = htons(at->port), .proto = proto};
    relay_addr(key.addr, &at->addr);
    return key;
}

int relay_set_vip(struct relay *r, const struct endpoint *at, uint8_t proto, const struct relay_vip *vip)
{
    struct relay_vip_key key = vip_key(at, proto);
    if (vip->set > RELAY_SETS_MAX || vip->all >= RELAY_SETS_MAX)
        return PM_ERANGE;
    return relay_map_set(r->skel->maps.vips, &key, vip);
}

int relay_remove_vip(struct relay *r, const struct endpoint *at, uint8_t proto)
{
    struct relay_vip_key key = vip_key(at, proto);
    return relay_map_unset(r->skel->maps.vips, &key);
}

static int ring_fill(int fd, const uint32_t *places, uint32_t size)
{
    uint32_t *keys = mem_alloc(size * sizeof *keys), n = size;
    for (uint32_t i = 0; i < size; i++)
        keys[i] = i;
    int err = bpf_map_update_batch(fd, keys, places, &n, NULL);
    free(keys);
    return err ? err_from_errno(-err) : PM_OK;
}

/* In the order of their first places, which is the same on every balancer. */
static void members(struct relay_set *s, const uint32_t *places, uint32_t size)
{
    for (uint32_t i = 0; i < size && s->count < RELAY_MEMBERS_MAX; i++) {
        uint32_t at = 0;
        while (at < s->count && s->member[at] != places[i])
            at++;
        if (at == s->count && places[i] < RELAY_NODES_MAX)
            s->member[s->count++] = places[i];
    }
}

static void ring_keep(struct relay *r, uint32_t index, const uint32_t *places, uint32_t size)
{
    free(r->ring[index].places);
    r->ring[index].places = size ? mem_alloc(size * sizeof *places) : NULL;
    r->ring[index].size = size;
    if (size)
        memcpy(r->ring[index].places, places, size * sizeof *places);
}

int relay_set_ring(struct relay *r, uint32_t index, const uint32_t *places, uint32_t size)
{
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_INNER_MAP);
    struct relay_set s = {.ring_size = size};
    if (index >= RELAY_SETS_MAX)
        return PM_ERANGE;
    members(&s, places, size);
    if (!s.count)
        s.ring_size = 0;
    if (!s.ring_size) {
        ring_keep(r, index, NULL, 0);
        return relay_map_set(r->skel->maps.sets, &index, &s);
    }
    int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ring", sizeof(uint32_t), sizeof(uint32_t), size, &opts);
    if (fd < 0)
        return err_from_errno(errno);
    int err = ring_fill(fd, places, size);
    if (!err)
        err = relay_map_set(r->skel->maps.rings, &index, &fd);
    if (!err)
        err = relay_map_set(r->skel->maps.sets, &index, &s);
    close(fd); /* the outer table holds it */
    if (!err)
        ring_keep(r, index, places, size);
    return err;
}

static int quic_key(struct relay_quic_key *key, uint32_t set_index, const uint8_t *id, size_t length)
{
    if (!length || length > RELAY_QUIC_ID_MAX)
        return PM_ERANGE;
    *key = (struct relay_quic_key){.set = set_index, .length = (uint8_t)length};
    memcpy(key->id, id, length);
    return PM_OK;
}

int relay_set_quic(struct relay *r, uint32_t set_index, const uint8_t *id, size_t length, uint32_t node)
{
    struct relay_quic_key key;
    int err = quic_key(&key, set_index, id, length);
    return err ? err : relay_map_set(r->skel->maps.quic_servers, &key, &node);
}

int relay_remove_quic(struct relay *r, uint32_t set_index, const uint8_t *id, size_t length)
{
    struct relay_quic_key key;
    int err = quic_key(&key, set_index, id, length);
    return err ? err : relay_map_unset(r->skel->maps.quic_servers, &key);
}

int relay_set_settings(struct relay *r, const struct relay_settings *s)
{
    uint32_t zero = 0;
    r->settings = *s;
    return relay_map_set(r->skel->maps.settings, &zero, s);
}

/* ---- events ---- */

static int on_event(void *arg, void *data, size_t size)
{
    struct relay *r = arg;
    const struct relay_event *e = data;
    if (size >= sizeof *e && e->length <= size - sizeof *e)
        r->event_fn(r->event_arg, e);
    return ++r->events_read < RELAY_EVENTS_AT_ONCE ? 0 : -EAGAIN; /* libbpf ends there; this one counts as read */
}

int relay_events_open(struct relay *r, relay_event_fn *fn, void *arg)
{
    r->event_fn = fn;
    r->event_arg = arg;
    r->events = ring_buffer__new(bpf_map__fd(r->skel->maps.events), on_event, r, NULL);
    return r->events ? PM_OK : err_from_errno(errno);
}

int relay_events_fd(const struct relay *r)
{
    return ring_buffer__epoll_fd(r->events);
}

int relay_events_read(struct relay *r)
{
    r->events_read = 0;
    int err = ring_buffer__consume(r->events);
    return err < 0 && err != -EAGAIN ? err_from_errno(-err) : (int)r->events_read;
}

/* ---- flows ---- */

int relay_set_flow(struct relay *r, const struct relay_flow_key *k, const struct relay_flow *f)
{
    return relay_map_set(r->skel->maps.flows, k, f);
}

int relay_remove_flow(struct relay *r, const struct relay_flow_key *k)
{
    return relay_map_unset(r->skel->maps.flows, k);
}

/*
 * In batches: two system calls for each entry would hold up the daemon for seconds when there are a million. The kernel
 * returns whole buckets, so a batch must have room for the fullest.
 */
bool relay_flows_some(const struct relay *r, struct relay_cursor *c, relay_flow_fn *fn, void *arg)
{
    enum { BATCH = 4096 };
    struct relay_flow_key *keys = mem_alloc(BATCH * sizeof *keys);
    struct relay_flow *values = mem_alloc(BATCH * sizeof *values);
    uint32_t n = BATCH;
    int fd = bpf_map__fd(r->skel->maps.flows);
    int err = bpf_map_lookup_batch(fd, c->begun ? &c->at : NULL, &c->at, keys, values, &n, NULL);
    bool more = !err;
    c->begun = true;
    if (err && err != -ENOENT) /* ENOENT: these are the last */
        n = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!fn(arg, &keys[i], &values[i])) {
            more = false;
            break;
        }
    }
    free(keys);
    free(values);
    return more;
}

void relay_flows(const struct relay *r, relay_flow_fn *fn, void *arg)
{
    struct relay_cursor c = {0};
    while (relay_flows_some(r, &c, fn, arg))
        continue;
}

int relay_flow(const struct relay *r, const struct relay_flow_key *k, struct relay_flow *out)
{
    int err = bpf_map_lookup_elem(bpf_map__fd(r->skel->maps.flows), k, out);
    return err ? err_from_errno(-err) : PM_OK;
}

void relay_counters(const struct relay *r, struct relay_count sum[RELAY_COUNTER_COUNT])
{
    load_counters(r->skel->maps.counters, sum, RELAY_COUNTER_COUNT);
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
