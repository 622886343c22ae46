/* SPDX-License-Identifier: Apache-2.0 */
#include "main/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/log.h"
#include "main/daemon_internal.h"
#include "main/notify.h"
#include "main/priv.h"
#include "main/state.h"
#include "main/upgrade.h"
#include "policy/compile.h"
#include "policy/loop.h"

enum {
    PUBLISH_DELAY_MS = 2,
    PUBLISH_BATCH = 1000, /* services compiled before the loop gets to run again */
    HISTORY_SIZE = 65536,
    TCP_LINGER_MS = 300,
    FRONT_LINGER_MS = 10000, /* what clients of the front end have begun may end */
};

/* ---- publishing ---- */

static void publish_cb(uv_timer_t *t);

void daemon_publish_soon(struct daemon *d)
{
    if (!uv_is_active((uv_handle_t *)&d->publish_timer) && model_dirty_count(d->gen->model))
        uv_timer_start(&d->publish_timer, publish_cb, PUBLISH_DELAY_MS, 0);
}

static void publish_cb(uv_timer_t *t)
{
    struct daemon *d = t->data;
    uint64_t start = clock_mono_ns(d->clock);
    uint32_t service, n = 0;
    while (n < PUBLISH_BATCH && model_dirty_pop(d->gen->model, &service)) {
        world_publish_service(&d->world, service, compile_service(d->gen->snapshot, d->gen->model, service));
        n++;
    }
    world_reap(&d->world);
    d->stats.published += n;
    d->stats.publish_ns += clock_mono_ns(d->clock) - start;
    d->stats.publish_last_ns = clock_mono_ns(d->clock) - start;
    daemon_publish_soon(d);
}

/* ---- the monitor speaks ---- */

static void on_observe(void *ctx, struct monitor_check *c, const struct check_view *v, bool changed)
{
    struct daemon *d = ctx;
    if (!d->wiring)
        return;
    wiring_observe(d->wiring, c, v, changed);
    if (changed && d->farm)
        farm_update(d->farm);
    d->state_dirty = true;
    daemon_publish_soon(d);
}

static void on_hold(void *ctx, bool held, const char *why)
{
    struct daemon *d = ctx;
    if (held)
        log_error("my own network seems to be down: every state is held as it was", "why", why);
    else
        log_notice("own network is back: states follow the checks again", "why", why);
    d->held = held;
}

/* ---- overrides ---- */

/* Sets every VIP's override from the list, with history. */
void daemon_apply_overrides(struct daemon *d)
{
    struct model *m = d->gen->model;
    uint32_t n = model_vip_count(m);
    uint8_t *before = mem_alloc(n + 1);
    for (uint32_t v = 0; v < n; v++)
        before[v] = model_vip(m, v)->override;
    overrides_apply(&d->overrides, m);
    if (d->front)
        front_words(d->front, &d->overrides);
    if (d->farm)
        farm_update(d->farm);
    for (uint32_t v = 0; v < n; v++)
        if (before[v] != model_vip(m, v)->override)
            history_add(d->history, &(struct history_change){clock_wall_ms(d->clock), v, HISTORY_OVERRIDE, before[v],
                                                             model_vip(m, v)->override});
    free(before);
    daemon_publish_soon(d);
}

static void on_second(void *ctx, uint32_t vip)
{
    const struct daemon *d = ctx;
    const struct model_vip *v = model_vip(d->gen->model, vip);
    char address[ADDR_TEXT];
    log_notice("a VIP that others call down, or that was kept for now, does not get clients any longer", "address",
               addr_format(&v->config->addr, address));
}

static void second_cb(uv_timer_t *t)
{
    struct daemon *d = t->data;
    if (d->front)
        front_second(d->front, d->gen->model);
    if (d->farm) {
        farm_lead(d->farm, fleet_leader(d->fleet));
        farm_second(d->farm);
    }
    daemon_measured(d);
    loop_run(d->gen->model, 1);
    model_second(d->gen->model, on_second, d);
    daemon_publish_soon(d);
    if (overrides_expire(&d->overrides, clock_wall_ms(d->clock))) {
        log_notice("an override has run out", "left", LOG_U(d->overrides.count));
        daemon_apply_overrides(d);
        int err = state_save_overrides(d);
        if (err)
            log_error("cannot keep overrides on disk, the old file stays", "why", err_text(err));
    }
}

static void save_cb(uv_timer_t *t)
{
    state_save(t->data);
}

/* ---- generations ---- */

static void free_generation(void *g)
{
    generation_free(g);
}

static void free_snapshot(void *s)
{
    compile_snapshot_free(s);
}

static void free_geo(void *g)
{
    geo_db_free(g);
}

/* Changes when any file of the geography does. */
static uint64_t geo_stamp(const struct config *c)
{
    uint64_t sum = 0;
    CONFIG_EACH(struct conf_choice, source, c->geo.sources) {
        struct file_stamp s = file_stamp(generation_geo_path(source));
        sum = hash_bytes(&s, sizeof s, sum);
    }
    return sum;
}

/* What happened before a reload is still asked for after it. */
static void carry_history(struct history *h, const struct history *old, const struct model *m, const struct model *before)
{
    uint32_t *to_new = mem_alloc((model_vip_count(before) + 1) * sizeof *to_new);
    model_renumber(m, before, to_new);
    history_carry(h, old, to_new);
    free(to_new);
}

/* Puts a complete generation in place of the running one (if any). */
static int install(struct daemon *d, struct generation *g)
{
    struct wiring *wiring, *old_wiring = d->wiring;
    struct generation *old = d->gen;
    struct history *history = history_new(HISTORY_SIZE, clock_wall_ms(d->clock));
    if (old)
        carry_history(history, d->history, g->model, old->model);
    struct wire_servers servers = d->front ? front_servers(d->front) : (struct wire_servers){0};
    d->wiring = NULL;
    int err = wiring_new(g->model, &servers, d->monitor, history, &wiring);
    if (err) {
        history_free(history);
        d->wiring = old_wiring;
        return err;
    }
    model_on_own_sight(g->model, daemon_own_sight, d);
    generation_compile(g, &d->overrides);
    struct snapshot *was = world_publish(&d->world, g->snapshot);
    (void)was; /* belongs to old, and goes with it */
    d->gen = g;
    d->wiring = wiring;
    history_free(d->history);
    d->history = history;
    wiring_free(old_wiring);
    world_waste(&d->world, old, free_generation);
    world_reap(&d->world);
    d->geo_stamp = geo_stamp(g->config);
    malloc_trim(0);
    return PM_OK;
}

static bool same_list(const struct conf_list *a, const struct conf_list *b)
{
    const struct endpoint *x = a->items, *y = b->items;
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!addr_eq(&x[i].addr, &y[i].addr) || x[i].port != y[i].port)
            return false;
    return true;
}

int daemon_reload(struct daemon *d, struct buf *report)
{
    struct generation *g = NULL;
    uint64_t start = clock_mono_ms(d->clock);
    notify_send("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(clock_mono_ns(d->clock) / 1000));
    int err = generation_new(&d->options->config, d->clock, d->gen, &g, report);
    if (!err && !same_list(&g->config->dns.listen, &d->gen->config->dns.listen))
        err = respond_reconfigure(d->respond, g->config->dns.listen.items, g->config->dns.listen.count, report);
    struct fleet *old_fleet = NULL, *was = d->fleet;
    if (!err)
        err = daemon_front_change(d, g->config, report);
    if (!err)
        err = daemon_farm_change(d, g->config, report);
    if (!err)
        err = daemon_fleet_change(d, g->config, &old_fleet, report);
    if (!err)
        err = install(d, g);
    if (err && d->front && daemon_front_change(d, d->gen->config, report) != PM_OK)
        log_error("the front end cannot go back to the running configuration");
    if (err && d->farm && daemon_farm_change(d, d->gen->config, report) != PM_OK)
        log_error("the relay cannot go back to the running configuration");
    if (err)
        generation_free(g);
    else if (d->fleet && d->fleet == was)
        fleet_generation(d->fleet);
    if (!err && d->fleet != was) {
        fleet_free(old_fleet);
        daemon_fleet_begin(d);
    }
    if (err) {
        d->stats.reload_failures++;
        log_error("reload failed, the running configuration stays", "why", err_text(err));
    } else {
        d->stats.reloads++;
        log_set_level((enum log_level)(LOG_ERROR + d->gen->config->node.log_level));
        log_notice("configuration loaded", "generation", LOG_U(d->gen->number), "services",
                   LOG_U(d->gen->config->services.count), "checks", LOG_U(monitor_count(d->monitor)), "took_ms",
                   LOG_U(clock_mono_ms(d->clock) - start));
    }
    notify_send("READY=1");
    return err;
}

static void geo_cb(uv_timer_t *t)
{
    struct daemon *d = t->data;
    struct buf report = BUF_INIT;
    struct geo_db *geo;
    uint64_t stamp = geo_stamp(d->gen->config);
    if (stamp == d->geo_stamp)
        return;
    d->geo_stamp = stamp; /* a broken file is reported once, not every round */
    int err = generation_geo(d->gen->config, &geo, &report);
    if (err) {
        log_error("geography files changed but cannot be used, the old ones stay", "why", buf_str(&report));
    } else {
        struct old_geo old = generation_swap_geo(d->gen, geo);
        struct snapshot *was = world_publish(&d->world, d->gen->snapshot);
        world_waste(&d->world, was, free_snapshot);
        world_waste(&d->world, old.geo, free_geo);
        world_reap(&d->world);
        log_notice("geography reloaded", "places", LOG_U(geo_place_count(geo)));
    }
    buf_fini(&report);
}

/* ---- signals ---- */

static void restart_api(struct daemon *d)
{
    struct buf report = BUF_INIT;
    if (daemon_api_start(d, d->gen->config, &report) != PM_OK)
        log_error("the control socket or metrics port cannot be opened again", "why", buf_str(&report));
    buf_fini(&report);
}

static void print_lines(const struct buf *report)
{
    if (report->len)
        fputs(buf_str(report), stderr);
}

/* SIGUSR2: a new process with our sockets. Its control socket needs the path, so ours goes first. */
static void start_successor(uv_timer_t *t)
{
    struct daemon *d = t->data;
    uv_timer_stop(t);
    struct listen_set all = {NULL, 0};
    int err = respond_listen_copy(respond_sockets(d->respond), &all);
    if (!err)
        err = daemon_copy_sockets(d, &all);
    if (!err)
        err = upgrade_spawn(&all, &d->successor);
    respond_listen_fini(&all);
    if (!err)
        return;
    log_error("cannot start anew", "why", err_text(err));
    d->successor = 0;
    restart_api(d);
}

static void begin_upgrade(struct daemon *d)
{
    if (d->successor)
        return;
    log_notice("starting anew with the same sockets");
    state_save_now(d);
    daemon_api_stop(d);
    d->successor = -1; /* until it has a number: handles close in the loop's next round */
    uv_timer_start(&d->upgrade_timer, start_successor, 10, 0);
}

/* The new process ended before it answered: we go on. */
static void reap_successor(struct daemon *d)
{
    int status;
    if (d->successor <= 0 || waitpid(d->successor, &status, WNOHANG) != d->successor)
        return;
    log_error("the new process did not start, going on as before");
    d->successor = 0;
    restart_api(d);
}

static void on_signal(uv_signal_t *s, int signum)
{
    struct daemon *d = s->data;
    if (signum == SIGUSR2) {
        begin_upgrade(d);
        return;
    }
    if (signum == SIGCHLD) {
        reap_successor(d);
        return;
    }
    if (signum == SIGHUP) {
        struct buf report = BUF_INIT;
        int err = daemon_reload(d, &report);
        print_lines(&report);
        buf_fini(&report);
        (void)err; /* logged and reported */
        return;
    }
    log_notice("stopping", "signal", strsignal(signum));
    uv_stop(&d->loop);
}

static void signals_start(struct daemon *d)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR2, SIGCHLD};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < PM_ARRAY_LEN(numbers); i++) {
        uv_signal_init(&d->loop, &d->signals[i]);
        d->signals[i].data = d;
        uv_signal_start(&d->signals[i], on_signal, numbers[i]);
    }
}

/* ---- start and stop ---- */

/* Thousands of checks and clients at once need descriptors; what there is of them limits the front end's clients. */
static void raise_file_limit(void)
{
    enum { WANTED = 1 << 18 };
    struct rlimit r, more = {WANTED, WANTED};
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || (r.rlim_max < WANTED && setrlimit(RLIMIT_NOFILE, &more) == 0))
        return;
    r.rlim_cur = r.rlim_max < WANTED ? r.rlim_max : WANTED;
    setrlimit(RLIMIT_NOFILE, &r);
}

static void timers_start(struct daemon *d, const struct config *c)
{
    uv_timer_init(&d->loop, &d->publish_timer);
    uv_timer_init(&d->loop, &d->second_timer);
    uv_timer_init(&d->loop, &d->save_timer);
    uv_timer_init(&d->loop, &d->geo_timer);
    uv_timer_init(&d->loop, &d->upgrade_timer);
    d->upgrade_timer.data = d;
    d->publish_timer.data = d->second_timer.data = d->save_timer.data = d->geo_timer.data = d;
    uv_timer_start(&d->second_timer, second_cb, 1000, 1000);
    if (c->monitor.save_interval_ms)
        uv_timer_start(&d->save_timer, save_cb, c->monitor.save_interval_ms, c->monitor.save_interval_ms);
    uv_timer_start(&d->geo_timer, geo_cb, c->geo.reload_interval_ms, c->geo.reload_interval_ms);
}

static int open_listeners(struct daemon *d, const struct config *c, struct buf *why)
{
    struct listen_set kept = {NULL, 0};
    d->respond_options = (struct respond_options){
        .answer = answer_packet,
        .ctx = &d->answer,
        .scratch_size = answer_scratch_size(),
        .counters = ANSWER_COUNTER_COUNT,
        .threads = c->dns.threads,
        .udp_answer_max = c->dns.udp_size,
        .tcp_clients = c->dns.tcp.max_clients,
        .tcp_idle_ms = (uint32_t)c->dns.tcp.idle_ms,
    };
    respond_options_complete(&d->respond_options);
    int err = respond_listen_systemd(&kept, why);
    if (!err && d->options->inherit)
        err = respond_listen_import(d->options->inherit, &kept, why);
    if (!err)
        err = respond_listen_open(&d->respond_options.listen, c->dns.listen.items, c->dns.listen.count, &kept, &d->sockets,
                                  why);
    if (!err)
        err = daemon_front_make(d, c, &kept, why);
    if (!err)
        err = daemon_fleet_make(d, c, &kept, why);
    if (!err)
        err = daemon_farm_make(d, c, &kept, why);
    if (!err)
        respond_listen_release(&kept, &d->sockets);
    else
        respond_listen_fini(&kept);
    return err;
}

static int monitor_start(struct daemon *d, const struct config *c)
{
    d->monitor = monitor_new(&d->loop, d->clock,
                             &(struct monitor_options){.observe = on_observe,
                                                       .hold = on_hold,
                                                       .ctx = d,
                                                       .hold_share = c->monitor.hold_share,
                                                       .hold_window_ms = c->monitor.hold_window_ms,
                                                       .hold_max_ms = c->monitor.hold_max_ms,
                                                       .max_running = c->monitor.max_running});
    return PM_OK;
}

static int boot(struct daemon *d, struct buf *report)
{
    struct generation *g;
    int err = generation_new(&d->options->config, d->clock, NULL, &g, report);
    if (err)
        return err;
    const struct config *c = g->config;
    log_init((enum log_level)(LOG_ERROR + c->node.log_level), -1);
    d->gen = NULL;
    raise_file_limit();
    err = open_listeners(d, c, report);
    if (!err)
        err = monitor_start(d, c);
    if (!err)
        err = daemon_api_start(d, c, report);
    if (!err)
        err = priv_drop(c->node.user ? c->node.user : "", c->node.state ? c->node.state : "",
                        c->api.socket ? c->api.socket : "", d->farm ? &c->relay : NULL);
    if (err) {
        generation_free(g);
        return err;
    }
    if (priv_filter(d->farm != NULL) != PM_OK)
        log_warn("system calls are not filtered: seccomp is not available here");
    d->gen = g; /* state_load needs to know where */
    state_load(d);
    d->gen = NULL;
    err = daemon_front_change(d, c, report);
    if (!err)
        err = daemon_farm_change(d, c, report);
    if (!err)
        err = install(d, g);
    if (err)
        return err;
    daemon_fleet_begin(d);
    if (d->farm && farm_start(d->farm, &d->loop) != PM_OK)
        log_error("the relay's events cannot be read: requests in several segments wait for the front end");
    timers_start(d, c);
    signals_start(d);
    return respond_start(&d->respond_options, &d->sockets, &d->respond, report);
}

static void close_handle(uv_handle_t *h)
{
    if (h->loop && !uv_is_closing(h))
        uv_close(h, NULL);
}

/* Only our own: libraries with threads of their own close theirs when those have ended. */
static void close_handles(struct daemon *d)
{
    uv_timer_t *timers[] = {&d->publish_timer, &d->second_timer, &d->save_timer, &d->geo_timer, &d->upgrade_timer};
    for (size_t i = 0; i < PM_ARRAY_LEN(timers); i++)
        close_handle((uv_handle_t *)timers[i]);
    for (size_t i = 0; i < PM_ARRAY_LEN(d->signals); i++)
        close_handle((uv_handle_t *)&d->signals[i]);
}

static void shut_down(struct daemon *d)
{
    farm_free(d->farm, !d->successor);
    d->farm = NULL;
    front_free(d->front, FRONT_LINGER_MS);
    d->front = NULL;
    if (d->respond)
        respond_stop(d->respond, TCP_LINGER_MS);
    else
        respond_listen_fini(&d->sockets);
    daemon_api_stop(d);
    if (d->gen)
        state_save_now(d);
    if (d->monitor)
        monitor_free(d->monitor);
    wiring_free(d->wiring);
    d->wiring = NULL;
    fleet_free(d->fleet);
    d->fleet = NULL;
    close_handles(d);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    world_fini(&d->world);
    generation_free(d->gen);
    history_free(d->history);
    overrides_fini(&d->overrides);
}

int daemon_run(const struct daemon_options *o)
{
    struct daemon *d = mem_alloc(sizeof *d);
    struct buf report = BUF_INIT;
    d->options = o;
    d->clock = &clock_system;
    d->started_wall_ms = clock_wall_ms(d->clock);
    log_init(LOG_INFO, -1);
    world_init(&d->world);
    overrides_init(&d->overrides);
    d->answer.world = &d->world;
    uv_loop_init(&d->loop);
    int err = boot(d, &report);
    print_lines(&report);
    if (err) {
        fprintf(stderr, "pointsman: cannot start: %s\n", err_text(err));
    } else {
        log_notice("answering", "generation", LOG_U(d->gen->number), "services", LOG_U(d->gen->config->services.count),
                   "checks", LOG_U(monitor_count(d->monitor)), "threads", LOG_U(respond_thread_count(d->respond)));
        notify_send("MAINPID=%d\nREADY=1\nSTATUS=answering for %u services", (int)getpid(), d->gen->config->services.count);
        upgrade_finish();
        if (o->started)
            o->started(o->ctx);
        uv_run(&d->loop, UV_RUN_DEFAULT);
        notify_send("STOPPING=1");
    }
    shut_down(d);
    buf_fini(&report);
    free(d);
    return err ? 1 : 0;
}
