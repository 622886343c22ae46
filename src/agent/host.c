/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum scope { WHOLE, EACH_INTERFACE };
enum need { ADOPTS = 1, VIP_V4 = 2 };

static const struct check {
    const char *path; /* of EACH_INTERFACE: the name within net/ipv4/conf/IF */
    enum scope scope;
    enum need need;
    enum agent_host_severity severity;
    int wrong_from, wrong_to; /* what is wrong, of the greater of all's and the interface's */
    int want;                 /* what the command sets; for an interface, it must win against all's */
    const char *why;
} checks[] = {
    {"net/ipv4/tcp_syncookies", WHOLE, ADOPTS, AGENT_HOST_BREAKS, 0, 0, 1,
     "with SYN cookies off the kernel takes no connection that has begun at a balancer"},
    {"rp_filter", EACH_INTERFACE, ADOPTS, AGENT_HOST_BREAKS, 1, 1, 2,
     "a strict filter drops a client's packet out of a balancer's tunnel when the way back to the client leads "
     "elsewhere"},
    {"arp_ignore", EACH_INTERFACE, VIP_V4, AGENT_HOST_BREAKS, 0, 0, 1,
     "this host answers ARP for the VIP and draws the balancer's traffic to itself"},
    {"arp_announce", EACH_INTERFACE, VIP_V4, AGENT_HOST_BREAKS, 0, 1, 2,
     "this host names the VIP in its own ARP requests, and neighbours learn it from there"},
    {"net/ipv4/tcp_timestamps", WHOLE, ADOPTS, AGENT_HOST_HURTS, 0, 0, 1,
     "connections of clients that use TCP timestamps cannot be adopted here"},
    {"net/ipv4/tcp_sack", WHOLE, ADOPTS, AGENT_HOST_HURTS, 0, 0, 1,
     "connections of clients that use selective acknowledgements cannot be adopted here"},
    {"net/ipv4/tcp_window_scaling", WHOLE, ADOPTS, AGENT_HOST_HURTS, 0, 0, 1,
     "connections of clients that use window scaling cannot be adopted here"},
};

/* ---- settings ---- */

bool agent_interface_valid(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n < IF_NAMESIZE && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int setting_open(const char *proc, const char *path, int flags)
{
    char full[PATH_MAX];
    if ((size_t)snprintf(full, sizeof full, "%s/sys/%s", proc ? proc : "/proc", path) >= sizeof full)
        return PM_ETOOBIG;
    int fd = open(full, flags | O_CLOEXEC);
    return fd >= 0 ? fd : err_from_errno(errno);
}

int agent_sysctl_read(const char *proc, const char *path, int *value)
{
    char text[32], *end;
    int fd = setting_open(proc, path, O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return PM_EIO;
    text[n] = 0;
    long v = strtol(text, &end, 10);
    if (end == text || v < INT_MIN || v > INT_MAX)
        return PM_EPARSE;
    *value = (int)v;
    return 0;
}

int agent_sysctl_write(const char *proc, const char *path, int value)
{
    char text[16];
    int fd = setting_open(proc, path, O_WRONLY), err = 0;
    if (fd < 0)
        return fd;
    int n = snprintf(text, sizeof text, "%d\n", value);
    if (write(fd, text, (size_t)n) != n)
        err = err_from_errno(errno);
    close(fd);
    return err;
}

int agent_sysctl_interface(const char *proc, const char *interface, const char *name, int *value)
{
    char path[96];
    int all = INT_MIN;
    if (!agent_interface_valid(interface))
        return PM_EINVAL;
    snprintf(path, sizeof path, "net/ipv4/conf/%s/%s", interface, name);
    int err = agent_sysctl_read(proc, path, value);
    if (err)
        return err;
    snprintf(path, sizeof path, "net/ipv4/conf/all/%s", name);
    if (agent_sysctl_read(proc, path, &all) == 0 && all > *value)
        *value = all;
    return 0;
}

void agent_sysctl_key(const char *path, char *out, size_t size)
{
    size_t i = 0;
    for (; path[i] && i + 1 < size; i++)
        out[i] = path[i] == '/' ? '.' : path[i] == '.' ? '/' : path[i];
    out[i] = 0;
}

/* ---- findings ---- */

struct findings {
    struct agent_host_finding *out;
    size_t count, max;
};

static void add(struct findings *f, const struct check *c, const char *path, int value)
{
    if (f->count++ >= f->max)
        return;
    struct agent_host_finding *o = &f->out[f->count - 1];
    *o = (struct agent_host_finding){.severity = c->severity, .value = value, .want = c->want, .why = c->why};
    agent_sysctl_key(path, o->key, sizeof o->key);
    snprintf(o->fix, sizeof o->fix, "sysctl -w %s=%d", o->key, c->want);
}

static bool wrong(const struct check *c, int value)
{
    return value >= c->wrong_from && value <= c->wrong_to;
}

static void check_whole(const struct agent_host_needs *needs, const struct check *c, struct findings *f)
{
    int value;
    if (agent_sysctl_read(needs->proc, c->path, &value) == 0 && wrong(c, value))
        add(f, c, c->path, value);
}

static void check_interface(const struct agent_host_needs *needs, const struct check *c, const char *name,
                            struct findings *f)
{
    char path[96];
    int value;
    if (agent_sysctl_interface(needs->proc, name, c->path, &value) != 0 || !wrong(c, value))
        return;
    snprintf(path, sizeof path, "net/ipv4/conf/%s/%s", name, c->path);
    add(f, c, path, value);
}

size_t agent_host_check(const struct agent_host_needs *needs, struct agent_host_finding *out, size_t max)
{
    struct findings f = {out, 0, max};
    unsigned wanted = (needs->adopts ? (unsigned)ADOPTS : 0) | (needs->vip_v4 ? (unsigned)VIP_V4 : 0);
    for (size_t i = 0; i < PM_ARRAY_LEN(checks); i++) {
        const struct check *c = &checks[i];
        if (!(c->need & wanted))
            continue;
        if (c->scope == WHOLE)
            check_whole(needs, c, &f);
        for (size_t k = 0; c->scope == EACH_INTERFACE && k < needs->interface_count; k++)
            check_interface(needs, c, needs->interfaces[k], &f);
    }
    return f.count;
}
