/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's life: reads its configuration, loads the packet programs, calls its balancers, and then does what they say
 * and tells them what it sees. It is not on any data path: while it is away, connections go on and new ones are taken
 * over as before (until the tags' keys have changed, within hours).
 *
 * Thread: one. On SIGTERM all stays as it is, for the next agent; `--clean` takes it away.
 */
#include <getopt.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/log.h"
#include "main/agent_command.h"
#include "main/agent_internal.h"
#include "main/cli.h"
#include "main/priv.h"

#define CONFIG_DEFAULT "/etc/pointsman/agent.yaml"

enum {
    TICK_MS = 250,
    SWEEP_MS = 100,
    KEYS_MS = 60000,
    CHECK_MS = 30000,
    STEP_FILES = 256,
    STEP_BYTES = 8 << 20,
    QUEUE_BYTES = 512 << 20, /* a list of a million files must fit; used only as long as it is on its way */
};

/* ---- host ---- */

static bool check_host(struct agent *a)
{
    const char *const *names = a->config->interfaces.items;
    struct agent_host_needs needs = {.interfaces = names,
                                     .interface_count = a->config->interfaces.count,
                                     .adopts = a->config->interfaces.count > 0,
                                     .vip_v4 = a->config->addresses};
    struct agent_host_finding found[AGENT_FINDINGS_MAX];
    memset(found, 0, sizeof found);
    size_t n = agent_host_check(&needs, found, AGENT_FINDINGS_MAX);
    n = n < AGENT_FINDINGS_MAX ? n : AGENT_FINDINGS_MAX;
    bool same = n == a->finding_count && memcmp(found, a->finding, sizeof found) == 0;
    memcpy(a->finding, found, sizeof found);
    a->finding_count = n;
    return !same;
}

static void log_findings(const struct agent *a)
{
    for (size_t i = 0; i < a->finding_count; i++)
        log_warn(a->finding[i].severity == AGENT_HOST_BREAKS ? "this host's settings break what it is to do"
                                                              : "this host's settings serve some clients worse",
                 "setting", a->finding[i].key, "why", a->finding[i].why, "do", a->finding[i].fix);
}

/* ---- packet programs ---- */

static int each_interface(const struct agent *a, int (*fn)(const struct agent *a, unsigned index, struct buf *why), struct buf *why)
{
    const char *const *names = a->config->interfaces.items;
    for (uint32_t i = 0; i < a->config->interfaces.count; i++) {
        unsigned index = if_nametoindex(names[i]);
        if (!index) {
            buf_printf(why, "there is no interface %s", names[i]);
            return PM_ENOTFOUND;
        }
        int err = fn(a, index, why);
        if (err)
            return err;
    }
    return PM_OK;
}

static int attach_node(const struct agent *a, unsigned index, struct buf *why)
{
    return node_attach(a->node, index, why);
}

static int attach_clamp(const struct agent *a, unsigned index, struct buf *why)
{
    return clamp_attach(a->clamp, index, why);
}

/* Interfaces come late, go and come back, and others clear their filters. */
static void look_after_programs(struct agent *a)
{
    const char *const *names = a->config->interfaces.items;
    for (uint32_t i = 0; a->node && i < a->config->interfaces.count; i++) {
        unsigned index = if_nametoindex(names[i]);
        if (index && !node_is_attached(a->node, index) && node_attach(a->node, index, NULL) == PM_OK)
            log_notice("the packet program was put at an interface again", "interface", names[i]);
    }
}

static void programs(struct agent *a)
{
    struct buf why = BUF_INIT;
    if (!a->config->interfaces.count) {
        buf_puts(&a->node_why, "no interfaces are configured");
        return;
    }
    int err = node_open(a->config->keep_sockets, &a->node, &a->node_why);
    if (!err)
        err = each_interface(a, attach_node, &a->node_why);
    if (err == PM_ENOTFOUND) {
        log_warn("an interface is missing, it is looked for", "why", buf_str(&a->node_why));
    } else if (err) {
        log_error("connections are not taken over here, balancers have to serve them themselves", "why", buf_str(&a->node_why));
        node_close(a->node);
        a->node = NULL;
    }
    err = clamp_open(&a->clamp, &why);
    if (!err)
        err = each_interface(a, attach_clamp, &why);
    if (err) {
        log_warn("the segment size of plain relayed connections is not lowered", "why", buf_str(&why));
        clamp_close(a->clamp);
        a->clamp = NULL;
    }
    buf_fini(&why);
}

static void quiet(struct agent *a)
{
    const char *const *names = a->config->interfaces.items;
    struct buf why = BUF_INIT;
    if (!a->config->addresses)
        return;
    int err = agent_vips_open(NULL, NULL, &a->vips, &why);
    for (uint32_t i = 0; !err && i < a->config->interfaces.count; i++)
        if (agent_vips_quiet(a->vips, names[i], &why) != PM_OK)
            log_warn("this host may answer for the services' addresses", "why", buf_str(&why));
    if (err)
        log_error("the services' addresses are not put on lo", "why", buf_str(&why));
    buf_fini(&why);
}

/* ---- content ---- */

static void roots(struct agent *a)
{
    size_t n = 0;
    for (uint32_t i = 0; i < a->config->roots.count; i++)
        n += ((const struct agent_root *)a->config->roots.items)[i].hosts.count;
    a->root = mem_alloc((n + 1) * sizeof *a->root);
    a->fetch_root = mem_alloc((n + 1) * sizeof *a->fetch_root);
    for (uint32_t i = 0; i < a->config->roots.count; i++) {
        const struct agent_root *r = &((const struct agent_root *)a->config->roots.items)[i];
        const char *const *host = r->hosts.items;
        for (uint32_t k = 0; k < r->hosts.count; k++) {
            a->root[a->root_count] = (struct agent_scan_root){host[k], r->dir, r->prefix};
            a->fetch_root[a->root_count] = (struct agent_fetch_root){a->root[a->root_count], r->writable};
            a->root_count++;
        }
        a->writable |= r->writable;
    }
}

static void scan_step(struct agent *a);

static void on_scan_timer(uv_timer_t *t)
{
    scan_step(t->data);
}

static void on_scan_readable(uv_poll_t *p, int status, int events)
{
    scan_step(p->data);
}

static void scan_step(struct agent *a)
{
    bool more = agent_scan_step(a->scan, STEP_FILES, STEP_BYTES);
    agent_tell_flush(a);
    uv_timer_start(&a->scan_timer, on_scan_timer, more ? 0 : agent_scan_wait_ms(a->scan), 0);
}

static int content(struct agent *a)
{
    if (!a->root_count)
        return PM_OK;
    struct agent_scan_config sc = {.roots = a->root, .root_count = a->root_count, .events = agent_scan_tells, .clock = a->clock};
    sc.events.ctx = a;
    int err = agent_scan_new(&sc, &a->scan);
    struct agent_fetch_config fc = {.roots = a->fetch_root,
                                    .root_count = a->root_count,
                                    .events = agent_fetch_tells,
                                    .clock = a->clock,
                                    .rate = a->config->rate,
                                    .reserve = a->config->reserve,
                                    .at_once = a->config->at_once};
    fc.events.ctx = a;
    if (!err)
        err = agent_fetch_new(&a->loop, &fc, &a->fetch);
    if (err)
        return err;
    uv_timer_init(&a->loop, &a->scan_timer);
    a->scan_timer.data = a->scan_poll.data = a;
    a->polling = agent_scan_fd(a->scan) >= 0;
    if (a->polling) {
        uv_poll_init(&a->loop, &a->scan_poll, agent_scan_fd(a->scan));
        uv_poll_start(&a->scan_poll, UV_READABLE, on_scan_readable);
    }
    uv_timer_start(&a->scan_timer, on_scan_timer, 0, 0);
    return PM_OK;
}

/* ---- balancers ---- */

static void on_message(struct mesh_link *l, const uint8_t *data, size_t n)
{
    agent_told(l->user, data, n);
}

static void on_drained(struct mesh_link *l)
{
}

static void on_down(struct mesh_link *l, const char *why)
{
    struct agent_peer *p = l->user;
    if (p->link != l)
        return;
    p->link = NULL;
    p->in = 0;
    log_warn("balancer lost", "balancer", p->name, "why", why);
}

static const struct mesh_link_calls calls = {on_message, on_drained, on_down};

static void on_link(void *ctx, struct mesh_link *l)
{
    struct agent *a = ctx;
    l->calls = &calls;
    for (unsigned i = 0; i < a->peer_count; i++) {
        struct agent_peer *p = &a->peer[i];
        if (strcmp(p->name, l->peer) != 0)
            continue;
        l->user = p;
        p->link = l;
        p->behind = false;
        log_notice("balancer reached", "balancer", p->name);
        agent_tell_all(p);
        agent_tell_load(a, true);
        return;
    }
}

static int call_balancers(struct agent *a, struct buf *why)
{
    const struct agent_config *c = a->config;
    struct mesh_tls_peer peers[AGENT_BALANCERS_MAX];
    struct buf path = BUF_INIT;
    const char *slash = strrchr(c->ca, '/');
    buf_printf(&path, "%.*s%s.pem", slash ? (int)(slash - c->ca + 1) : 0, c->ca, c->name);
    struct mesh_tls_options o = {.node = c->name,
                                 .files = {c->ca, c->certificate ? c->certificate : buf_str(&path), c->key},
                                 .queue_bytes = QUEUE_BYTES};
    for (uint32_t i = 0; i < c->balancers.count && i < AGENT_BALANCERS_MAX; i++) {
        const struct agent_balancer *b = &((const struct agent_balancer *)c->balancers.items)[i];
        a->peer[a->peer_count++] = (struct agent_peer){.agent = a, .name = b->name};
        peers[i] = (struct mesh_tls_peer){b->name, b->addresses.items, b->addresses.count};
    }
    int err = mesh_tls_new(&a->loop, &o, on_link, a, &a->tls, why);
    if (!err)
        err = mesh_tls_peers(a->tls, peers, a->peer_count, why);
    buf_fini(&path);
    return err;
}

/* ---- life ---- */

static void on_sweep(uv_timer_t *t)
{
    struct agent *a = t->data;
    if (a->node)
        node_sweep(a->node, clock_mono_ns(a->clock));
}

static void on_tick(uv_timer_t *t)
{
    struct agent *a = t->data;
    uint64_t now = clock_mono_ms(a->clock);
    for (unsigned i = 0; i < a->peer_count; i++) {
        struct agent_peer *p = &a->peer[i];
        if (p->link && p->behind) {
            mesh_link_close(p->link, "it does not read");
            p->link = NULL;
        }
    }
    agent_tell_load(a, false);
    look_after_programs(a);
    if (now - a->keys_ms > KEYS_MS) {
        a->keys_ms = now;
        agent_keys(a);
    }
    if (now - a->checked_ms > CHECK_MS) {
        a->checked_ms = now;
        if (check_host(a)) {
            log_findings(a);
            agent_tell_findings(a);
        }
    }
}

static void on_signal(uv_signal_t *s, int number)
{
    uv_stop(s->loop);
}

static int start(struct agent *a, struct buf *why)
{
    static const int signals[] = {SIGTERM, SIGINT};
    a->started_ms = a->keys_ms = a->checked_ms = clock_mono_ms(a->clock);
    quiet(a);
    (void)check_host(a);
    log_findings(a);
    programs(a);
    roots(a);
    int err = call_balancers(a, why);
    if (!err)
        err = content(a);
    if (err)
        return err;
    priv_agent(a->writable);
    uv_timer_init(&a->loop, &a->tick);
    a->tick.data = a;
    uv_timer_start(&a->tick, on_tick, TICK_MS, TICK_MS);
    uv_timer_init(&a->loop, &a->sweep);
    a->sweep.data = a;
    uv_timer_start(&a->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    for (size_t i = 0; i < PM_ARRAY_LEN(signals); i++) {
        uv_signal_init(&a->loop, &a->stop[i]);
        uv_signal_start(&a->stop[i], on_signal, signals[i]);
    }
    return PM_OK;
}

static void close_all(uv_handle_t *h, void *arg)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

/* What serves stays: programs, addresses. */
static void stop(struct agent *a)
{
    agent_fetch_free(a->fetch);
    mesh_tls_free(a->tls);
    uv_run(&a->loop, UV_RUN_NOWAIT);
    uv_walk(&a->loop, close_all, NULL);
    uv_run(&a->loop, UV_RUN_DEFAULT);
    uv_loop_close(&a->loop);
    agent_scan_free(a->scan);
    agent_load_close(a->load);
    if (a->vips)
        agent_vips_leave(a->vips);
    node_leave(a->node);
    clamp_leave(a->clamp);
    for (unsigned i = 0; i < a->peer_count; i++) {
        free(a->peer[i].place);
        free(a->peer[i].space);
    }
    free(a->vip);
    free(a->root);
    free(a->fetch_root);
    buf_fini(&a->node_why);
}

static int run(struct agent *a)
{
    struct buf why = BUF_INIT;
    uv_loop_init(&a->loop);
    signal(SIGPIPE, SIG_IGN);
    int err = start(a, &why);
    if (err)
        fprintf(stderr, "pointsman: %s\n", why.len ? buf_str(&why) : err_text(err));
    else
        uv_run(&a->loop, UV_RUN_DEFAULT);
    stop(a);
    buf_fini(&why);
    return err ? CLI_FAILED : CLI_OK;
}

/* ---- commands ---- */

static int check(struct agent *a)
{
    bool breaks = false;
    (void)check_host(a);
    for (size_t i = 0; i < a->finding_count; i++) {
        const struct agent_host_finding *f = &a->finding[i];
        breaks |= f->severity == AGENT_HOST_BREAKS;
        printf("%s: %s is %d: %s\n    %s\n", f->severity == AGENT_HOST_BREAKS ? "breaks" : "hurts", f->key, f->value, f->why, f->fix);
    }
    if (!a->finding_count)
        puts("the host is ready");
    return breaks ? CLI_FAILED : CLI_OK;
}

/* Takes over what earlier agents have left, and takes it away. */
static int clean(struct agent *a)
{
    struct buf why = BUF_INIT;
    int err = agent_vips_open(NULL, NULL, &a->vips, &why);
    if (!err)
        err = agent_vips_sweep(a->vips, &why);
    agent_vips_close(a->vips);
    programs(a);
    node_close(a->node);
    clamp_close(a->clamp);
    if (err)
        fprintf(stderr, "pointsman: %s\n", buf_str(&why));
    buf_fini(&why);
    return err ? CLI_FAILED : CLI_OK;
}

int agent_main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'}, {"clean", no_argument, NULL, 'x'}, {0}};
    const char *path = CONFIG_DEFAULT;
    int mode = 0;
    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "c:", longs, NULL)) != -1;) {
        if (c == 'c')
            path = optarg;
        else if ((c == 'k' || c == 'x') && !mode)
            mode = c;
        else
            return CLI_USAGE;
    }
    if (optind < argc)
        return CLI_USAGE;
    struct conf_diag *diag = conf_diag_new();
    struct agent a = {.clock = &clock_system};
    struct buf report = BUF_INIT;
    int err = agent_config_load(path, &a.config, diag);
    conf_diag_print(diag, &report);
    fputs(buf_str(&report), stderr);
    buf_fini(&report);
    conf_diag_free(diag);
    if (err)
        return CLI_FAILED;
    log_init((enum log_level)(LOG_ERROR + a.config->log_level), -1);
    int status = mode == 'k' ? check(&a) : mode == 'x' ? clean(&a) : run(&a);
    agent_config_free(a.config);
    return status;
}
