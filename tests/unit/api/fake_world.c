/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "policy/explain.h"
#include "policy/policy.h"
#include "policy/seen.h"

struct fake_world fake;
struct model_vip fake_vips[FAKE_VIPS];

static struct cfg_site sites[2] = {
    {.name = "paris", .country = "FR", .continent = "EU", .location = {true, 48.9, 2.3}, .index = 0},
    {.name = "tokyo", .country = "JP", .index = 1}};
static struct cfg_policy policy = {.name = "geo", .source = CFG_PRESET};
static const struct cfg_policy *policies[] = {&policy};
static struct cfg_service services[2] = {{.name = "www.example.com",
                                          .policy = &policy,
                                          .ttl_s = CFG_TTL_AUTO,
                                          .min_ttl_s = 5,
                                          .max_ttl_s = 120,
                                          .index = 0},
                                         {.name = "mail.example.com", .policy = &policy, .ttl_s = 30, .index = 1}};
static struct cfg_vip cfg_vips[FAKE_VIPS];
static struct config config = {
    .sites = {sites, 2}, .services = {services, 2}, .policies = policies, .policy_count = 1};

/* ---- model ---- */

const struct config *model_config(const struct model *m)
{
    return &config;
}
const struct clock *model_clock(const struct model *m)
{
    return &fake.clock.clock;
}
uint32_t model_vip_count(const struct model *m)
{
    return FAKE_VIPS;
}
const struct model_vip *model_vip(const struct model *m, uint32_t vip)
{
    return &fake_vips[vip];
}
uint32_t model_service_first_vip(const struct model *m, uint32_t service, uint32_t *count)
{
    *count = service ? 1 : 3;
    return service ? 3 : 0;
}
void model_set_override(struct model *m, uint32_t vip, enum override what)
{
    fake_vips[vip].override = (uint8_t)what;
}

/* ---- monitor ---- */

struct monitor_check {
    struct monitor_spec spec;
    struct check_view view;
};

static const struct conf_object tcp_object = {.name = "tcp"}, https_object = {.name = "https"};
static const struct monitor_module tcp = {.object = &tcp_object}, https = {.object = &https_object};
static struct monitor_check checks[3];
/* VIP -> its checks; tokyo's two VIPs share one. */
static const int checks_of[FAKE_VIPS][2] = {{0, 1}, {2, -1}, {2, -1}, {-1, -1}};

const struct monitor_spec *monitor_check_spec(const struct monitor_check *c)
{
    return &c->spec;
}
void monitor_check_view(const struct monitor *m, const struct monitor_check *c, struct check_view *out)
{
    *out = c->view;
}
bool monitor_held(const struct monitor *m)
{
    return fake.held;
}
void monitor_check_now(struct monitor *m, struct monitor_check *c)
{
    fake.checked++;
}
struct monitor_check *monitor_find(const struct monitor *m, const char *key)
{
    for (unsigned i = 0; i < 3; i++)
        if (strcmp(checks[i].spec.key, key) == 0)
            return &checks[i];
    return NULL;
}
const char *check_state_name(enum check_state s)
{
    static const char *const names[] = {"unknown", "up", "down"};
    return names[s];
}
const char *probe_status_name(enum probe_status s)
{
    static const char *const names[] = {"ok",      "fail",        "refused", "reset", "closed",
                                        "timeout", "unreachable", "tls",     "local"};
    return names[s];
}

/* ---- policy ---- */

static const struct stage stage_up_fake = {.object = {.name = "up", .doc = "Keeps what is up."},
                                           .kind = STAGE_FILTER};
static const struct conf_key within_keys[] = {{"percent", CONF_UINT, 0, .def = "10", .min = 0, .max = 100,
                                               .unit = "%", .doc = "How much worse | still equal."}};
static const struct stage stage_within_fake = {
    .object = {.name = "within", .doc = "Equal enough.", .size = 4, CONF_KEYS(within_keys)}, .kind = STAGE_GROUP};
const struct stage *const policy_stages[] = {&stage_up_fake, &stage_within_fake, NULL};
const struct config_preset policy_presets[] = {{"geo", "Near ones.", "[up, within]"}, {.name = NULL}};

int explain(const struct snapshot *s, const struct model *m, const struct history *h, const struct explain_query *q,
            json_t **out)
{
    char client[ADDR_TEXT];
    if (q->at_ms && q->at_ms < history_since(h))
        return PM_ENOTFOUND;
    *out = json_pack("{s:s, s:s, s:s, s:b}", "service", services[q->service].name, "family",
                     q->family ? "IPv6" : "IPv4", "address", addr_format(&q->client, client), "located", q->located);
    return PM_OK;
}

bool policy_handoff_places(const struct cfg_policy *p, struct handoff_places *out)
{
    *out = (struct handoff_places){.count = 2, .weight = {4, 2}, .few = 1};
    return fake.handoff;
}

/* Paris sees Tokyo in 240 ms; nobody in Tokyo has looked at itself, and it finds Paris down. */
void seen_build(const struct model *m, uint32_t service, unsigned addr_family, const struct handoff_places *places,
                struct seen_table *out)
{
    out->head = (struct snap_seen){.count = 2, .site = out->site, .ms = out->ms, .total = out->total, .sum = 4};
    out->site[0] = 0;
    out->site[1] = 1;
    memcpy(out->ms, (float[]){3, INFINITY, 240, NAN}, 4 * sizeof(float));
    memcpy(out->total, (uint32_t[]){0, 4}, 2 * sizeof(uint32_t));
}

/* ---- host ---- */

static struct model *host_model(void *ctx)
{
    return NULL;
}
static const struct snapshot *host_snapshot(void *ctx)
{
    return &fake.snapshot;
}
static struct history *host_history(void *ctx)
{
    return fake.history;
}
static int host_reload(void *ctx, struct buf *report)
{
    if (fake.reload_err)
        buf_puts(report, "p.yaml:3:7: error: unknown key 'sits'\n  sits:\n");
    else {
        buf_puts(report,
                 fake.reload_report ? fake.reload_report : "p.yaml:9:3: warning: old key\n  | zone:\n  |   ^\n");
        fake.snapshot.generation++;
    }
    return fake.reload_err;
}
static int host_override(void *ctx, const char *target, enum override what, enum override_scope scope, uint64_t until_ms,
                         struct buf *report)
{
    fake.last_until_ms = until_ms;
    int err = overrides_set(&fake.overrides, target, what, clock_wall_ms(&fake.clock.clock), until_ms);
    overrides_apply(&fake.overrides, NULL);
    if (fake.override_err)
        buf_puts(report, "overrides.json: no space left on device");
    return err ? err : fake.override_err;
}
static json_t *host_answer(void *ctx, const char *name, const char *type, const struct addr *client, unsigned len)
{
    fake.answered_client = client ? *client : (struct addr){0};
    if (strcmp(type, "BOGUS") == 0)
        return NULL;
    return json_pack("{s:s, s:s, s:[s,s], s:[{s:s,s:i,s:s,s:s,s:s}], s:[], s:[]}", "bytes", "abcd", "rcode",
                     "NOERROR", "flags", "qr", "aa", "answer", "name", name, "ttl", 30, "class", "IN", "type", type,
                     "data", "192.0.2.1", "authority", "additional");
}
static int64_t host_service_of(void *ctx, const char *name)
{
    for (unsigned i = 0; i < 2; i++)
        if (strcasecmp(services[i].name, name) == 0)
            return i;
    return strcasecmp(name, "alias.example.com") == 0 ? 0 : -1;
}
static bool host_vip_check(void *ctx, uint32_t vip, unsigned i, const struct monitor_check **c)
{
    if (i >= 2 || checks_of[vip][i] < 0)
        return false;
    *c = &checks[checks_of[vip][i]];
    return true;
}
static void host_metrics(void *ctx, api_metric_fn *fn, void *fn_ctx)
{
    fn(fn_ctx, API_QUERIES, "proto=\"udp\"", "counter", "Questions.", 100);
    fn(fn_ctx, "pointsman_memory_bytes", "", "gauge", "Memory.", 1.5e6);
    /* A family whose values do not come together. */
    fn(fn_ctx, API_QUERIES, "proto=\"tcp\"", "counter", "Questions.", 20);
}
static json_t *host_relay(void *ctx)
{
    return fake.handoff ? json_pack("{s:b, s:s}", "on", 0, "why", "the kernel is too old") : NULL;
}

static json_t *host_agents(void *ctx)
{
    return fake.handoff ? json_pack("{s:[]}", "agents") : NULL;
}

/* Two connections, one of them at a server called web1. */
static json_t *host_sessions(void *ctx, const struct api_sessions *q)
{
    bool one = q->server && strcmp(q->server, "web1") == 0, none = q->server && !one;
    fake.sessions.q = *q;
    fake.sessions.client = q->client ? *q->client : (struct prefix){0};
    snprintf(fake.sessions.server, sizeof fake.sessions.server, "%s", q->server ? q->server : "");
    if (!fake.handoff)
        return NULL;
    return json_pack("{s:i, s:i, s:b, s:[]}", "total", none ? 0 : one ? 1 : 2, "looked-at", 2, "complete", true, "sessions");
}

static json_t *host_catalog(void *ctx, const struct api_catalog *q)
{
    fake.catalog.q = *q;
    snprintf(fake.catalog.path, sizeof fake.catalog.path, "%s", q->path ? q->path : "");
    return fake.handoff ? json_pack("{s:{s:i}, s:[], s:i, s:[]}", "summary", "paths", 7, "nodes", "total", 0, "resources") : NULL;
}

static json_t *host_catalog_plan(void *ctx)
{
    return fake.handoff ? json_pack("{s:i, s:s, s:s, s:n, s:{}, s:i, s:[], s:[], s:[], s:[]}", "plan", 3, "apply", "auto", "leader",
                                    "me", "idle", "figures", "total", 0, "actions", "conflicts", "cannot", "orders")
                        : NULL;
}

static json_t *host_catalog_apply(void *ctx, bool dry, uint64_t plan, const char **error, struct buf *why)
{
    fake.catalog.dry = dry;
    fake.catalog.plan = plan;
    if (!fake.handoff)
        return NULL;
    if (plan == 2) {
        *error = "busy";
        buf_puts(why, "another balancer of this site does it, lb1");
        return NULL;
    }
    return json_pack("{s:i, s:b, s:i, s:i, s:[]}", "plan", 3, "dry-run", dry, "total", 2, "given", dry ? 0 : 2, "actions");
}

static json_t *host_relay_explain(void *ctx, int64_t service, const struct api_request *q)
{
    char client[ADDR_TEXT];
    return json_pack("{s:b, s:s, s:I, s:b, s:s, s:s, s:i, s:s, s:s}", "on", 1, "goes-to", "node", "service",
                     (json_int_t)service, "tls", q->tls, "method", q->method, "host", q->host, "port", q->port, "target",
                     buf_str(&q->target), "client", addr_format(&q->client, client));
}

static json_t *host_servers(void *ctx)
{
    return fake.handoff ? json_pack("{s:i, s:[{s:s, s:b}]}", "clients", 3, "servers", "server", "web1", "up", true) : NULL;
}
static json_t *host_front(void *ctx, uint32_t service, const json_t *order, const char *url)
{
    return fake.handoff ? json_pack("[{s:s, s:s}]", "does", "redirect 307", "to", url ? url : "") : NULL;
}
static size_t host_server_count(void *ctx, const char *target)
{
    return strcmp(target, "web1") == 0;
}
static json_t *host_peers(void *ctx)
{
    return fake.handoff ? json_pack("{s:s, s:[{s:s, s:b}]}", "node", "me", "peers", "name", "tokyo-1", "up", true) : NULL;
}
static json_t *host_status(void *ctx)
{
    return json_pack("{s:s, s:[s]}", "version", "not this one", "listen", "127.0.0.1:53");
}

static void make_vip(unsigned i, const char *address, uint32_t service, uint16_t site, enum health health)
{
    if (addr_parse(address, &cfg_vips[i].addr))
        abort();
    fake_vips[i] =
        (struct model_vip){.config = &cfg_vips[i], .service = service, .site = site, .health = (uint8_t)health};
    for (unsigned k = 0; k < METRIC_COUNT; k++)
        fake_vips[i].metric[k] = NAN;
}

static void make_check(unsigned i, const char *key, const struct monitor_module *module, enum check_state state)
{
    uint64_t now = clock_mono_ms(&fake.clock.clock);
    checks[i] = (struct monitor_check){.spec = {.key = key, .module = module},
                                       .view = {.state = state,
                                                .response_ms = NAN,
                                                .last_ms = NAN,
                                                .throughput_bps = NAN,
                                                .hops = -1,
                                                .cert_expiry_s = INT64_MIN,
                                                .checked_ms = now - 2000,
                                                .next_ms = now + 3000}};
}

void fake_world_init(void)
{
    fake = (struct fake_world){.snapshot = {.generation = 7, .config = &config, .service_count = 2}};
    clock_manual_init(&fake.clock);
    overrides_init(&fake.overrides);
    fake.history = history_new(16, clock_wall_ms(&fake.clock.clock) - 3600000);
    for (unsigned i = 0; i < 2; i++) {
        fake.services[i] = mem_alloc(sizeof *fake.services[i]);
        fake.services[i]->config = &services[i];
        fake.services[i]->ttl_s = i ? 30 : 12;
        fake.services[i]->family[0].cand_count = i ? 0 : 2;
        fake.services[i]->family[1].cand_count = 1;
    }
    fake.snapshot.services = fake.services;
    make_vip(0, "192.0.2.1", 0, 0, HEALTH_UP);
    make_vip(1, "192.0.2.9", 0, 1, HEALTH_DOWN);
    make_vip(2, "2001:db8::9", 0, 1, HEALTH_UNKNOWN);
    make_vip(3, "2001:db8::25", 1, 0, HEALTH_UNCHECKED);
    fake_vips[0].metric[METRIC_RESPONSE] = 12.5F;
    fake_vips[1].why = (char *)(uintptr_t) "connection refused";
    fake_vips[0].observed_ms = clock_mono_ms(&fake.clock.clock) - 2000;
    make_check(0, "tcp 192.0.2.1:80", &tcp, CHECK_UP);
    make_check(1, "https 192.0.2.1:443", &https, CHECK_UP);
    make_check(2, "tcp tokyo", &tcp, CHECK_DOWN);
    checks[1].view.cert_expiry_s = 86400 * 10;
    fake.host = (struct api_host){.clock = &fake.clock.clock,
                                  .started_wall_ms = clock_wall_ms(&fake.clock.clock) - 60000,
                                  .model = host_model,
                                  .snapshot = host_snapshot,
                                  .overrides = &fake.overrides,
                                  .history = host_history,
                                  .reload = host_reload,
                                  .override = host_override,
                                  .answer = host_answer,
                                  .service_of = host_service_of,
                                  .vip_check = host_vip_check,
                                  .metrics = host_metrics,
                                  .peers = host_peers,
                                 .servers = host_servers,
                                 .relay = host_relay,
                                 .agents = host_agents,
                                 .sessions = host_sessions,
                                 .catalog = host_catalog,
                                 .catalog_plan = host_catalog_plan,
                                 .catalog_apply = host_catalog_apply,
                                 .relay_explain = host_relay_explain,
                                 .front = host_front,
                                 .server_count = host_server_count,
                                 .status = host_status};
}

void fake_world_fini(void)
{
    overrides_fini(&fake.overrides);
    history_free(fake.history);
    free(fake.services[0]);
    free(fake.services[1]);
}
