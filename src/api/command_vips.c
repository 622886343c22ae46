/* SPDX-License-Identifier: Apache-2.0 */
/* vips (and servers): what is believed of each VIP, and every check behind it. */
#include <math.h>
#include <string.h>
#include "api/facts.h"

/* Age on a monotonic clock; null for "never" (0). */
static json_t *age(uint64_t now_ms, uint64_t then_ms)
{
    if (!then_ms)
        return json_null();
    return json_integer(now_ms > then_ms ? (json_int_t)(now_ms - then_ms) : 0);
}

static json_t *text_or_null(const char *s)
{
    json_t *j = s && *s ? json_string(s) : json_null();
    /* A peer's greeting may be quoted in a reason, and it may hold any bytes. */
    return j ? j : json_string("(not UTF-8)");
}

static json_t *counts_json(const uint64_t *count)
{
    json_t *o = json_object();
    for (unsigned i = 0; i < PROBE_STATUS_COUNT; i++)
        json_object_set_new(o, probe_status_name((enum probe_status)i), json_integer((json_int_t)count[i]));
    return o;
}

static json_t *check_json(const struct api_host *h, const struct monitor_check *c, uint64_t now_ms)
{
    struct check_view v;
    const struct monitor_spec *spec = monitor_check_spec(c);
    monitor_check_view(h->monitor, c, &v);
    json_t *o = json_pack("{s:s, s:s, s:s, s:b, s:b}", "key", spec->key, "module", spec->module->object->name,
                          "state", check_state_name(v.state), "flapping", v.flapping, "held", v.held);
    json_object_set_new(o, "last-status", v.checked_ms ? json_string(probe_status_name(v.last_status)) : json_null());
    json_object_set_new(o, "why", text_or_null(v.why));
    json_object_set_new(o, "response-ms", api_number(v.response_ms));
    json_object_set_new(o, "last-ms", api_number(v.last_ms));
    json_object_set_new(o, "throughput-bps", api_number(v.throughput_bps));
    json_object_set_new(o, "hops", v.hops < 0 ? json_null() : json_integer(v.hops));
    json_object_set_new(o, "cert-expires-s",
                        v.cert_expiry_s == INT64_MIN ? json_null() : json_integer(v.cert_expiry_s));
    json_object_set_new(o, "checked-ms-ago", age(now_ms, v.checked_ms));
    json_object_set_new(o, "changed-ms-ago", age(now_ms, v.changed_ms));
    json_object_set_new(o, "next-in-ms", json_integer(v.next_ms > now_ms ? (json_int_t)(v.next_ms - now_ms) : 0));
    json_object_set_new(o, "row",
                        json_pack("{s:I, s:I}", "good", (json_int_t)v.good_row, "bad", (json_int_t)v.bad_row));
    json_object_set_new(o, "count", counts_json(v.count));
    json_object_set_new(o, "restored-age-ms", v.restored ? json_integer((json_int_t)v.restored_age_ms) : json_null());
    return o;
}

static json_t *checks_json(const struct api_host *h, uint32_t vip, uint64_t now_ms)
{
    json_t *list = json_array();
    const struct monitor_check *c;
    for (unsigned i = 0; h->vip_check(h->ctx, vip, i, &c); i++)
        json_array_append_new(list, check_json(h, c, now_ms));
    return list;
}

static json_t *vip_json(const struct api_host *h, const struct model *m, uint32_t vip, uint64_t now_ms)
{
    const struct model_vip *v = model_vip(m, vip);
    char address[ADDR_TEXT];
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "address", addr_format(&v->config->addr, address), "service",
                  facts_service(m, v->service)->name, "site", facts_site(m, v->site)->name, "health",
                  health_name((enum health)v->health), "override", override_name((enum override)v->override),
                  "flapping", v->flapping, "restored", v->restored);
    for (unsigned i = 0; i < METRIC_COUNT; i++)
        if (isfinite(v->metric[i]))
            json_object_set_new(o, metric_info[i].name, json_real((double)v->metric[i]));
    json_object_set_new(o, "seen-ms-ago", age(now_ms, v->observed_ms));
    json_object_set_new(o, "changed-ms-ago", age(now_ms, v->changed_ms));
    json_object_set_new(o, "why", text_or_null(v->why));
    json_object_set_new(o, "checks", checks_json(h, vip, now_ms));
    return o;
}

enum { RANKS = 6 };

/* How much a VIP needs an operator's eye: 0 most. */
static unsigned rank(const struct model_vip *v)
{
    if (v->health == HEALTH_DOWN && v->override != OVERRIDE_DISABLE)
        return 0;
    if (v->override == OVERRIDE_DISABLE)
        return 1;
    if (v->override == OVERRIDE_DRAIN)
        return 2;
    if (v->flapping)
        return 3;
    return v->health == HEALTH_UNKNOWN ? 4 : 5;
}

struct filter {
    int64_t site, service;
    const struct addr *address;
};

static bool fits(const struct filter *f, const struct model_vip *v)
{
    return (f->site < 0 || v->site == f->site) && (f->service < 0 || v->service == f->service) &&
           (!f->address || addr_eq(f->address, &v->config->addr));
}

/* One walk per rank, and only as many as are needed to fill the limit. */
static json_t *list_vips(struct api_call *c, const struct filter *f, json_int_t *total)
{
    const struct model *m = c->host->model(c->host->ctx);
    bool ranked = api_value(c, "problems")->flag;
    size_t limit = (size_t)api_value(c, "limit")->count;
    uint64_t now_ms = clock_mono_ms(c->host->clock);
    json_t *list = json_array();
    *total = 0;
    for (unsigned r = 0; r < (ranked ? RANKS : 1); r++) {
        for (uint32_t v = 0; v < model_vip_count(m) && (r == 0 || json_array_size(list) < limit); v++) {
            const struct model_vip *vip = model_vip(m, v);
            if (!fits(f, vip))
                continue;
            *total += r == 0;
            if ((!ranked || rank(vip) == r) && json_array_size(list) < limit)
                json_array_append_new(list, vip_json(c->host, m, v, now_ms));
        }
    }
    return list;
}

json_t *api_vips(struct api_call *c)
{
    const char *site = api_value(c, "site")->text, *service = api_value(c, "service")->text;
    const char *address = api_value(c, "address")->text;
    struct filter f = {-1, -1, NULL};
    struct addr a;
    json_int_t total;
    if ((site && (f.site = facts_find_site(c, site)) < 0) ||
        (service && (f.service = facts_find_service(c, service)) < 0))
        return NULL;
    if (address && addr_parse(address, &a))
        return api_fail(c, "bad-argument", "address \"%.80s\": it is none", address);
    if (address)
        f.address = &a;
    json_t *list = list_vips(c, &f, &total);
    if (address && !total) {
        json_decref(list);
        return api_fail(c, "not-found", "no VIP that fits has the address %.80s", address);
    }
    return json_pack("{s:I, s:o}", "total", total, "vips", list);
}
