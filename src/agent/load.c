/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/load.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/load_sockets.h"
#include "base/arena.h"
#include "base/file.h"

/* More ports than this, and one dump of all sockets is cheaper than one for each. */
enum { PORTS_MAX = 4, FILE_BYTES_MAX = 4 * 1024 * 1024 };

struct agent_load_state {
    char proc[PATH_MAX / 2];
    struct endpoint *at;
    size_t at_count;
    uint16_t ports[PORTS_MAX]; /* to ask for; one of 0: all */
    size_t port_count;
    bool no_netlink;
    bool ticks_known;
    uint64_t ticks_idle, ticks_all; /* at the reading before */
    double cpu_idle;
    struct buf text;
};

/* ---- open, close ---- */

static void port_add(struct agent_load_state *s, uint16_t port)
{
    for (size_t i = 0; i < s->port_count; i++)
        if (s->ports[i] == port || s->ports[i] == 0)
            return;
    if (s->port_count < PORTS_MAX) {
        s->ports[s->port_count++] = port;
    } else {
        s->ports[0] = 0;
        s->port_count = 1;
    }
}

int agent_load_open(const struct agent_load_config *config, struct agent_load_state **out)
{
    const char *proc = config->proc ? config->proc : "/proc";
    for (size_t i = 0; i < config->at_count; i++)
        if (config->at[i].port == 0)
            return PM_EINVAL;
    struct agent_load_state *s = mem_alloc(sizeof *s);
    if (strlen(proc) >= sizeof s->proc) {
        free(s);
        return PM_EINVAL;
    }
    strcpy(s->proc, proc);
    s->at_count = config->at_count;
    s->at = mem_alloc((config->at_count + 1) * sizeof *s->at);
    for (size_t i = 0; i < config->at_count; i++) {
        s->at[i] = config->at[i];
        port_add(s, config->at[i].port);
    }
    s->no_netlink = config->no_netlink;
    buf_init(&s->text);
    *out = s;
    return 0;
}

void agent_load_close(struct agent_load_state *s)
{
    if (!s)
        return;
    buf_fini(&s->text);
    free(s->at);
    free(s);
}

/* ---- sockets ---- */

struct count {
    const struct agent_load_state *state;
    struct agent_load *load;
};

static bool is_zero(const struct addr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->bytes, zero, sizeof zero) == 0;
}

/* An IPv6 listener on all addresses may take IPv4 connections too; that it may have been told not to is not shown. */
static bool matches(const struct agent_socket *s, const struct endpoint *at)
{
    if (s->local.port != at->port)
        return false;
    if (!at->addr.family || addr_eq(&at->addr, &s->local.addr))
        return true;
    if (is_zero(&at->addr) && (at->addr.family == ADDR_V6 || s->local.addr.family == ADDR_V4))
        return true;
    return s->state == AGENT_TCP_LISTEN && is_zero(&s->local.addr) && (s->v6 || at->addr.family == ADDR_V4);
}

static void count_socket(void *ctx, const struct agent_socket *s)
{
    struct count *c = ctx;
    struct agent_load *l = c->load;
    size_t i = 0;
    while (i < c->state->at_count && !matches(s, &c->state->at[i]))
        i++;
    if (i == c->state->at_count)
        return;
    if (s->state == AGENT_TCP_LISTEN) {
        l->listeners++;
        l->waiting += s->rqueue;
        l->waiting_max += s->wqueue;
        return;
    }
    if (s->state == AGENT_TCP_ESTABLISHED)
        l->connections++;
    /* Half-closed by the client, its FIN counts as a byte. One that nobody has accepted is in the listener's queue. */
    if (s->owned && s->rqueue > (s->state == AGENT_TCP_CLOSE_WAIT ? 1u : 0u))
        l->unread++;
}

static void forget_sockets(struct agent_load *l)
{
    l->connections = l->waiting = l->waiting_max = l->unread = l->listeners = 0;
}

static int read_sockets(struct agent_load_state *s, struct agent_load *l)
{
    struct count c = {s, l};
    int err = s->no_netlink ? PM_EUNSUPPORTED : 0;
    for (size_t i = 0; i < s->port_count && !err; i++)
        err = agent_sockets_netlink(s->ports[i], count_socket, &c);
    if (err) {
        forget_sockets(l);
        l->from_proc = true;
        err = agent_sockets_proc(s->proc, count_socket, &c);
    }
    if (err) {
        forget_sockets(l);
        return err;
    }
    l->pending = l->waiting + l->unread;
    l->known |= AGENT_LOAD_SOCKETS;
    return 0;
}

/* ---- /proc ---- */

static int read_text(struct agent_load_state *s, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", s->proc, name);
    buf_clear(&s->text);
    return file_read(path, FILE_BYTES_MAX, &s->text);
}

/* What follows the key at the start of a line, or NULL. */
static const char *after_key(const char *text, const char *key)
{
    size_t n = strlen(key);
    while (text && strncmp(text, key, n) != 0) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return text ? text + n : NULL;
}

static bool number_after(const char *text, const char *key, uint64_t *out)
{
    const char *at = after_key(text, key);
    char *end;
    if (!at)
        return false;
    *out = strtoull(at, &end, 10);
    return end != at;
}

static int read_memory(struct agent_load_state *s, struct agent_load *l)
{
    int err = read_text(s, "meminfo");
    if (err)
        return err;
    const char *text = buf_str(&s->text);
    uint64_t kib[4];
    if (!number_after(text, "MemAvailable:", &kib[0]) || !number_after(text, "MemTotal:", &kib[1]) ||
        !number_after(text, "SwapFree:", &kib[2]) || !number_after(text, "SwapTotal:", &kib[3]))
        return PM_EPARSE;
    l->ram_free = kib[0] * 1024;
    l->ram_total = kib[1] * 1024;
    l->swap_free = kib[2] * 1024;
    l->swap_total = kib[3] * 1024;
    l->known |= AGENT_LOAD_MEMORY;
    return 0;
}

/* user nice system idle iowait irq softirq steal, in ticks since boot; guests are within user. */
static bool ticks_parse(const char *text, uint64_t *idle, uint64_t *all)
{
    uint64_t t[8] = {0};
    const char *at = after_key(text, "cpu ");
    if (!at ||
        sscanf(at, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
               &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 4)
        return false;
    *idle = t[3] + t[4];
    *all = 0;
    for (size_t i = 0; i < PM_ARRAY_LEN(t); i++)
        *all += t[i];
    return true;
}

static void read_idle(struct agent_load_state *s, struct agent_load *l, uint64_t idle, uint64_t all)
{
    bool comparable = s->ticks_known && all >= s->ticks_all;
    if (comparable && all > s->ticks_all) {
        /* The kernel's count of waiting for disks may step back */
        uint64_t gone = all - s->ticks_all, rest = idle > s->ticks_idle ? idle - s->ticks_idle : 0;
        s->cpu_idle = rest > gone ? 1.0 : (double)rest / (double)gone;
    }
    /* Asked twice within a tick: as before. */
    if (comparable && !isnan(s->cpu_idle)) {
        l->cpu_idle = s->cpu_idle;
        l->known |= AGENT_LOAD_CPU;
    }
    if (!s->ticks_known)
        s->cpu_idle = NAN;
    s->ticks_known = true;
    s->ticks_idle = idle;
    s->ticks_all = all;
}

static uint32_t processors(const char *text)
{
    uint32_t n = 0;
    for (const char *at = text; (at = after_key(at, "cpu")) != NULL;)
        n += *at >= '0' && *at <= '9';
    return n;
}

static int read_processors(struct agent_load_state *s, struct agent_load *l)
{
    uint64_t idle, all, running, blocked;
    int err = read_text(s, "stat");
    if (err)
        return err;
    const char *text = buf_str(&s->text);
    if (!ticks_parse(text, &idle, &all))
        return PM_EPARSE;
    read_idle(s, l, idle, all);
    l->processors = processors(text);
    if (!number_after(text, "procs_running ", &running) || !number_after(text, "procs_blocked ", &blocked))
        return PM_EPARSE;
    err = read_text(s, "loadavg");
    if (err)
        return err;
    char *end;
    double load1 = strtod(buf_str(&s->text), &end);
    if (end == buf_str(&s->text) || !(load1 >= 0))
        return PM_EPARSE;
    l->running = (uint32_t)running;
    l->blocked = (uint32_t)blocked;
    l->load1 = load1;
    l->known |= AGENT_LOAD_RUN;
    return 0;
}

int agent_load_read(struct agent_load_state *s, uint64_t now_ns, struct agent_load *out)
{
    *out = (struct agent_load){.when_ns = now_ns};
    int sockets = read_sockets(s, out);
    int memory = read_memory(s, out);
    int cpu = read_processors(s, out);
    return sockets ? sockets : memory ? memory : cpu;
}

/* ---- is it news ---- */

/* By more than the least that counts, and by more than that share of the greater of both. */
static bool moved(double a, double b, double least, double share)
{
    double by = fabs(a - b);
    return by >= least && by >= share * fmax(a, b);
}

static bool memory_moved(uint64_t old_free, uint64_t free_now, uint64_t total)
{
    if (!total)
        return false;
    double a = (double)old_free / (double)total, b = (double)free_now / (double)total;
    return fabs(a - b) >= 0.10 || (a < 0.05) != (b < 0.05);
}

bool agent_load_changed_much(const struct agent_load *old, const struct agent_load *now)
{
    uint32_t both = old->known & now->known;
    if (now->known & ~old->known)
        return true;
    if (both & AGENT_LOAD_SOCKETS &&
        (!old->listeners != !now->listeners || moved(old->pending, now->pending, 5, 0.25) ||
         moved(old->connections, now->connections, 20, 0.2)))
        return true;
    if (both & AGENT_LOAD_MEMORY && (memory_moved(old->ram_free, now->ram_free, now->ram_total) ||
                                     memory_moved(old->swap_free, now->swap_free, now->swap_total)))
        return true;
    if (both & AGENT_LOAD_CPU && fabs(old->cpu_idle - now->cpu_idle) >= 0.2)
        return true;
    double each = now->processors ? now->processors : 1;
    return both & AGENT_LOAD_RUN && moved(old->running, now->running, 2 * each, 0.5);
}
