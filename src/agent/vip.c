/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/vip.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/host.h"
#include "agent/vip_netlink.h"
#include "base/arena.h"

enum { SETTINGS = 2 };
static const struct setting {
    const char *name;
    int want;
} settings[SETTINGS] = {{"arp_ignore", 1}, {"arp_announce", 2}};

struct vip {
    struct vip *next;
    struct addr addr;
    bool ours; /* put there by us, or by a process of ours before */
};

/* A setting of an interface that we have changed. */
struct changed {
    struct changed *next;
    char path[96];
    int before, set;
};

struct agent_vips {
    char *proc, *device;
    unsigned ifindex;
    struct agent_netlink netlink;
    struct vip *vips;
    struct changed *changed;
};

/* ---- open, close ---- */

int agent_vips_open(const char *proc, const char *device, struct agent_vips **out, struct buf *why)
{
    struct agent_netlink netlink;
    device = device ? device : "lo";
    unsigned ifindex = if_nametoindex(device);
    if (!ifindex) {
        buf_printf(why, "no interface %s\n", device);
        return PM_ENOTFOUND;
    }
    int err = agent_netlink_open(&netlink);
    if (err) {
        buf_printf(why, "rtnetlink: %s\n", err_text(err));
        return err;
    }
    struct agent_vips *v = mem_alloc(sizeof *v);
    v->proc = mem_strdup(proc ? proc : "/proc");
    v->device = mem_strdup(device);
    v->ifindex = ifindex;
    v->netlink = netlink;
    *out = v;
    return 0;
}

void agent_vips_leave(struct agent_vips *v)
{
    if (!v)
        return;
    for (struct vip *p = v->vips, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    for (struct changed *c = v->changed, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    agent_netlink_close(&v->netlink);
    free(v->proc);
    free(v->device);
    free(v);
}

void agent_vips_close(struct agent_vips *v)
{
    if (!v)
        return;
    for (struct vip *p = v->vips; p; p = p->next)
        if (p->ours)
            (void)!agent_netlink_del(&v->netlink, v->ifindex, &p->addr);
    /* Only what is still as we have set it; somebody may have taken over. */
    for (struct changed *c = v->changed; c; c = c->next) {
        int now;
        if (agent_sysctl_read(v->proc, c->path, &now) == 0 && now == c->set)
            (void)!agent_sysctl_write(v->proc, c->path, c->before);
    }
    agent_vips_leave(v);
}

/* ---- addresses ---- */

static struct vip **find(struct agent_vips *v, const struct addr *a)
{
    struct vip **at = &v->vips;
    while (*at && !addr_eq(&(*at)->addr, a))
        at = &(*at)->next;
    return at;
}

static int fail(struct buf *why, const char *what, const struct addr *a, const struct agent_vips *v, int err)
{
    char text[ADDR_TEXT];
    buf_printf(why, "%s %s on %s: %s\n", what, addr_format(a, text), v->device, err_text(err));
    return err;
}

struct look {
    const struct addr *addr;
    bool there, marked;
};

static void look(void *ctx, const struct addr *a, bool marked)
{
    struct look *l = ctx;
    if (addr_eq(a, l->addr)) {
        l->there = true;
        l->marked = marked;
    }
}

int agent_vips_add(struct agent_vips *v, const struct addr *a, struct buf *why)
{
    struct look l = {.addr = a};
    struct vip **at = find(v, a);
    if (a->family != ADDR_V4 && a->family != ADDR_V6)
        return PM_EINVAL;
    int err = agent_netlink_add(&v->netlink, v->ifindex, v->device, a);
    bool ours = err == 0;
    if (err == PM_EEXISTS) {
        err = agent_netlink_list(&v->netlink, v->ifindex, look, &l);
        ours = l.marked;
    }
    if (err)
        return fail(why, "cannot put", a, v, err);
    if (!*at) {
        *at = mem_alloc(sizeof **at);
        (*at)->addr = *a;
    }
    (*at)->ours = ours;
    return 0;
}

static int take_away(struct agent_vips *v, const struct addr *a, struct buf *why)
{
    int err = agent_netlink_del(&v->netlink, v->ifindex, a);
    return err && err != PM_EUNREACH ? fail(why, "cannot remove", a, v, err) : 0;
}

int agent_vips_remove(struct agent_vips *v, const struct addr *a, struct buf *why)
{
    struct vip **at = find(v, a), *p = *at;
    int err = p && p->ours ? take_away(v, a, why) : 0;
    if (err || !p)
        return err;
    *at = p->next;
    free(p);
    return 0;
}

struct sweep {
    struct agent_vips *vips;
    struct addr *gone;
    size_t count;
};

static void sweep_one(void *ctx, const struct addr *a, bool marked)
{
    struct sweep *s = ctx;
    if (!marked || *find(s->vips, a))
        return;
    s->gone = mem_realloc(s->gone, (s->count + 1) * sizeof *s->gone);
    s->gone[s->count++] = *a;
}

int agent_vips_sweep(struct agent_vips *v, struct buf *why)
{
    struct sweep s = {.vips = v};
    int err = agent_netlink_list(&v->netlink, v->ifindex, sweep_one, &s);
    if (err)
        buf_printf(why, "addresses of %s: %s\n", v->device, err_text(err));
    for (size_t i = 0; i < s.count; i++) {
        int one = take_away(v, &s.gone[i], why);
        err = err ? err : one;
    }
    free(s.gone);
    return err;
}

/* ---- ARP ---- */

static void remember(struct agent_vips *v, const char *path, int before, int set)
{
    struct changed *c = v->changed;
    while (c && strcmp(c->path, path) != 0)
        c = c->next;
    if (c)
        return; /* what it was at first is what it goes back to */
    c = mem_alloc(sizeof *c);
    snprintf(c->path, sizeof c->path, "%s", path);
    c->before = before;
    c->set = set;
    c->next = v->changed;
    v->changed = c;
}

static int quiet_one(struct agent_vips *v, const char *interface, const struct setting *s, struct buf *why)
{
    char path[96], key[96];
    int in_force, before = 0;
    int err = agent_sysctl_interface(v->proc, interface, s->name, &in_force);
    if (!err && in_force >= s->want)
        return 0;
    snprintf(path, sizeof path, "net/ipv4/conf/%.*s/%s", IF_NAMESIZE, interface, s->name);
    if (!err)
        err = agent_sysctl_read(v->proc, path, &before);
    if (!err)
        err = agent_sysctl_write(v->proc, path, s->want);
    if (!err) {
        remember(v, path, before, s->want);
        return 0;
    }
    agent_sysctl_key(path, key, sizeof key);
    buf_printf(why, "cannot set %s (%s); run: sysctl -w %s=%d\n", key, err_text(err), key, s->want);
    return err;
}

int agent_vips_quiet(struct agent_vips *v, const char *interface, struct buf *why)
{
    int err = 0;
    if (!agent_interface_valid(interface)) {
        buf_printf(why, "%s cannot be an interface's name\n", interface);
        return PM_EINVAL;
    }
    for (size_t i = 0; i < SETTINGS; i++) {
        int one = quiet_one(v, interface, &settings[i], why);
        err = err ? err : one;
    }
    return err;
}
