/* SPDX-License-Identifier: Apache-2.0 */
/* What the operator's side may see of the daemon and ask of it: fills in struct api_host. */
#include <stdio.h>
#include <string.h>
#include "api/control.h"
#include "api/metrics.h"
#include "main/answer_explain.h"
#include "main/daemon_internal.h"
#include "main/state.h"

static struct model *host_model(void *ctx)
{
    return ((struct daemon *)ctx)->gen->model;
}

static const struct snapshot *host_snapshot(void *ctx)
{
    return ((struct daemon *)ctx)->gen->snapshot;
}

static struct history *host_history(void *ctx)
{
    return ((struct daemon *)ctx)->history;
}

static int host_reload(void *ctx, struct buf *report)
{
    return daemon_reload(ctx, report);
}

static int host_override(void *ctx, const char *target, enum override what, enum override_scope scope, uint64_t until_ms,
                         struct buf *report)
{
    struct daemon *d = ctx;
    int err = overrides_set(&d->overrides, target, what, clock_wall_ms(d->clock), until_ms);
    if (err)
        return err;
    struct override_entry *e = overrides_find(&d->overrides, target);
    if (e)
        e->scope = (uint8_t)scope;
    if (e && d->fleet)
        fleet_say(d->fleet, e);
    daemon_apply_overrides(d);
    err = state_save_overrides(d);
    if (err)
        buf_printf(report, "it holds now, but could not be written to disk: %s", err_text(err));
    return err ? PM_EIO : PM_OK;
}

static json_t *host_answer(void *ctx, const char *name, const char *type, const struct addr *client, unsigned client_len)
{
    return answer_explain(&((struct daemon *)ctx)->world, name, type, client, client_len);
}

static int64_t host_service_of(void *ctx, const char *name)
{
    const struct daemon *d = ctx;
    const struct cfg_service *svc = config_service(d->gen->config, name);
    return svc ? (int64_t)svc->index : -1;
}

static bool host_vip_check(void *ctx, uint32_t vip, unsigned i, const struct monitor_check **c)
{
    return wiring_vip_check(((struct daemon *)ctx)->wiring, vip, i, c);
}

void daemon_metrics(void *ctx, api_metric_fn *fn, void *fn_ctx)
{
    static const struct {
        const char *name, *labels, *help;
    } answers[] = {
#define X(sym, name, labels, help) {name, labels, help},
        ANSWER_COUNTERS(X)
#undef X
    };
    static const struct daemon nobody;
    const struct daemon *d = ctx ? ctx : &nobody;
    uint64_t packets[RESPOND_COUNTER_COUNT] = {0}, counted[ANSWER_COUNTER_COUNT] = {0};
    char name[96];
    if (d->respond) {
        respond_stats(d->respond, packets);
        respond_counters(d->respond, counted);
    }
    static const struct {
        enum respond_counter counter;
        const char *labels;
    } queries[] = {{RESPOND_UDP4_QUERIES, "proto=\"udp\",family=\"4\""},
                   {RESPOND_UDP6_QUERIES, "proto=\"udp\",family=\"6\""},
                   {RESPOND_TCP4_QUERIES, "proto=\"tcp\",family=\"4\""},
                   {RESPOND_TCP6_QUERIES, "proto=\"tcp\",family=\"6\""}};
    for (size_t i = 0; i < PM_ARRAY_LEN(queries); i++)
        fn(fn_ctx, API_QUERIES, queries[i].labels, "counter", "Messages received.", (double)packets[queries[i].counter]);
    for (unsigned i = 0; i < RESPOND_COUNTER_COUNT; i++) {
        if (strstr(respond_counter_info[i].name, "_queries"))
            continue; /* above, with labels */
        snprintf(name, sizeof name, "pointsman_dns_%s_total", respond_counter_info[i].name);
        fn(fn_ctx, name, "", "counter", respond_counter_info[i].help, (double)packets[i]);
    }
    for (unsigned i = 0; i < ANSWER_COUNTER_COUNT; i++) {
        snprintf(name, sizeof name, "pointsman_dns_%s", answers[i].name);
        fn(fn_ctx, name, answers[i].labels, "counter", answers[i].help, (double)counted[i]);
    }
    fn(fn_ctx, "pointsman_services_published_total", "", "counter", "Services compiled again and swapped into the snapshot.",
       (double)d->stats.published);
    fn(fn_ctx, "pointsman_publish_seconds_total", "", "counter", "Time spent on that, grace periods included.",
       (double)d->stats.publish_ns / 1e9);
    fn(fn_ctx, "pointsman_publish_last_seconds", "", "gauge", "Time of the last round of publishing.",
       (double)d->stats.publish_last_ns / 1e9);
    fn(fn_ctx, "pointsman_reloads_total", "", "counter", "Configurations taken over.", (double)d->stats.reloads);
    fn(fn_ctx, "pointsman_reload_failures_total", "", "counter", "Reloads that changed nothing because of errors.",
       (double)d->stats.reload_failures);
    fleet_metrics(d->fleet, fn, fn_ctx);
    front_metrics(d->front, fn, fn_ctx);
    farm_metrics(d->farm, fn, fn_ctx);
    farm_rtt_metrics(d->farm, d->gen ? d->gen->model : NULL, fn, fn_ctx);
}

static json_t *host_peers(void *ctx)
{
    const struct daemon *d = ctx;
    return d->fleet ? fleet_peers(d->fleet) : NULL;
}

static json_t *host_servers(void *ctx)
{
    const struct daemon *d = ctx;
    return d->front ? front_view(d->front) : NULL;
}

static json_t *host_relay(void *ctx)
{
    const struct daemon *d = ctx;
    return d->farm ? farm_view(d->farm) : NULL;
}

static json_t *host_agents(void *ctx)
{
    const struct daemon *d = ctx;
    return d->farm ? json_pack("{s:o}", "agents", farm_agents(d->farm)) : NULL;
}

static const char *host_unready(void *ctx)
{
    const struct daemon *d = ctx;
    if (!d->gen)
        return "the daemon is starting";
    return d->farm ? farm_unready(d->farm) : NULL;
}

static json_t *host_sessions(void *ctx, const struct api_sessions *q)
{
    const struct daemon *d = ctx;
    return d->farm ? farm_sessions(d->farm, q) : NULL;
}

static json_t *host_relay_explain(void *ctx, int64_t service, const struct api_request *q)
{
    const struct daemon *d = ctx;
    const struct cfg_service *services = d->gen->config->services.items;
    return d->farm && service >= 0 ? farm_explain(d->farm, &services[service], q) : NULL;
}

static json_t *host_catalog(void *ctx, const struct api_catalog *q)
{
    const struct daemon *d = ctx;
    return d->farm ? farm_catalog_of(d->farm, q) : NULL;
}

static json_t *host_catalog_plan(void *ctx)
{
    const struct daemon *d = ctx;
    return d->farm ? farm_catalog_planned(d->farm) : NULL;
}

static json_t *host_catalog_apply(void *ctx, bool dry, uint64_t plan, const char **error, struct buf *why)
{
    const struct daemon *d = ctx;
    return d->farm ? farm_catalog_give(d->farm, dry, plan, error, why) : NULL;
}

static json_t *host_front(void *ctx, uint32_t service, const json_t *order, const char *url)
{
    const struct daemon *d = ctx;
    const struct cfg_service *services = d->gen->config->services.items;
    return d->front ? front_explain(d->front, &services[service], order, url) : NULL;
}

static size_t host_server_count(void *ctx, const char *target)
{
    const struct daemon *d = ctx;
    return d->front ? front_means(d->front, target) : 0;
}

static json_t *host_status(void *ctx)
{
    const struct daemon *d = ctx;
    json_t *listen = json_array();
    CONFIG_EACH(struct endpoint, e, d->gen->config->dns.listen) {
        char text[ENDPOINT_TEXT];
        json_array_append_new(listen, json_string(endpoint_format(e, text)));
    }
    return json_pack("{s:s, s:o, s:i, s:I, s:f}", "node", d->gen->config->node.name, "listen", listen, "threads",
                     d->respond ? (int)respond_thread_count(d->respond) : 0, "published", (json_int_t)d->stats.published,
                     "publish-last-ms", (double)d->stats.publish_last_ns / 1e6);
}

int daemon_api_start(struct daemon *d, const struct config *c, struct buf *report)
{
    d->host = (struct api_host){.ctx = d,
                                .clock = d->clock,
                                .started_wall_ms = d->started_wall_ms,
                                .model = host_model,
                                .snapshot = host_snapshot,
                                .monitor = d->monitor,
                                .overrides = &d->overrides,
                                .history = host_history,
                                .reload = host_reload,
                                .override = host_override,
                                .answer = host_answer,
                                .service_of = host_service_of,
                                .vip_check = host_vip_check,
                                .metrics = daemon_metrics,
                                .status = host_status,
                                .peers = host_peers,
                                .servers = host_servers,
                                .relay = host_relay,
                                .agents = host_agents,
                                .unready = host_unready,
                                .sessions = host_sessions,
                                .catalog = host_catalog,
                                .catalog_plan = host_catalog_plan,
                                .catalog_apply = host_catalog_apply,
                                .relay_explain = host_relay_explain,
                                .front = host_front,
                                .server_count = host_server_count};
    if (c->api.socket) {
        struct control_options o = {.path = c->api.socket, .mode = c->api.socket_mode, .group = c->api.socket_group};
        int err = control_start(&d->loop, &d->host, &o, &d->control, report);
        if (err) {
            buf_puts(report, "\n");
            return err;
        }
    }
    if (c->api.metrics.addr.family) {
        int err = metrics_start(&d->loop, &d->host, &c->api.metrics, &d->metrics);
        if (err) {
            char text[ENDPOINT_TEXT];
            buf_printf(report, "cannot listen on %s for metrics: %s\n", endpoint_format(&c->api.metrics, text), err_text(err));
            return err;
        }
    }
    return PM_OK;
}

void daemon_api_stop(struct daemon *d)
{
    control_stop(d->control);
    metrics_stop(d->metrics);
    d->control = NULL;
    d->metrics = NULL;
}
