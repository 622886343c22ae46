/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/load.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/log.h"

int load_fail(struct buf *why, int err, const char *what)
{
    err = err < 0 ? -err : err;
    if (why)
        buf_printf(why, "%s: %s", what, strerror(err));
    return err_from_errno(err);
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
    (void)level;
    (void)format;
    (void)args;
    return 0;
}

void load_quiet(void)
{
    if (!getenv("POINTSMAN_BPF_LOG"))
        libbpf_set_print(quiet);
}

bool load_can_pin(const char *folder)
{
    struct statfs s;
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", folder);
    char *slash = strrchr(parent, '/');
    if (!slash || slash == parent)
        return false;
    *slash = 0;
    return statfs(parent, &s) == 0 && s.f_type == BPF_FS_MAGIC;
}

/* What another version, or another configuration, has left there cannot be used: it goes. false: nor can it be replaced. */
static bool refuse_other(const struct bpf_map *map, const char *path)
{
    struct bpf_map_info info = {0};
    uint32_t size = sizeof info;
    int fd = bpf_obj_get(path);
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0) {
        log_warn("a table of the process before cannot be had, ours will not be kept", "path", path, "why", strerror(errno));
        return false;
    }
    bool same = bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && info.type == bpf_map__type(map) &&
                info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map) &&
                info.max_entries == bpf_map__max_entries(map) && info.map_flags == bpf_map__map_flags(map);
    close(fd);
    if (same)
        return true;
    log_warn("a table of the process before does not fit, it begins anew", "path", path);
    if (unlink(path) == 0)
        return true;
    log_error("it cannot be removed", "path", path, "why", strerror(errno));
    return false;
}

/* Under names with a version: a process of another one finds none of its tables. */
static int pin(struct bpf_map *map, const char *folder, struct buf *why)
{
    char path[PATH_MAX];
    for (unsigned version = 0; version < RELAY_STATE_VERSION; version++) {
        snprintf(path, sizeof path, "%s/%s-%u", folder, bpf_map__name(map), version);
        if (unlink(path) == 0)
            log_warn("a table of another version is not used, it begins anew", "path", path);
    }
    snprintf(path, sizeof path, "%s/%s-%u", folder, bpf_map__name(map), (unsigned)RELAY_STATE_VERSION);
    if (!refuse_other(map, path))
        return PM_OK;
    int err = bpf_map__set_pin_path(map, path);
    return err ? load_fail(why, err, path) : PM_OK;
}

int load_pin(struct bpf_object *o, const char *folder, const char *const *names, struct buf *why)
{
    struct bpf_map *map;
    int err = PM_OK;
    if (!folder)
        return PM_OK;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return load_fail(why, errno, folder);
    bpf_object__for_each_map(map, o)
        for (const char *const *name = names; *name && !err; name++)
            if (strcmp(*name, bpf_map__name(map)) == 0)
                err = pin(map, folder, why);
    return err;
}

void load_counters(const struct bpf_map *map, struct relay_count *sum, uint32_t count)
{
    int cpus = libbpf_num_possible_cpus();
    struct relay_count *each = mem_alloc((size_t)cpus * sizeof *each);
    for (uint32_t c = 0; c < count; c++) {
        sum[c] = (struct relay_count){0};
        if (bpf_map_lookup_elem(bpf_map__fd(map), &c, each) != 0)
            continue;
        for (int cpu = 0; cpu < cpus; cpu++) {
            sum[c].packets += each[cpu].packets;
            sum[c].bytes += each[cpu].bytes;
        }
    }
    free(each);
}
