/* SPDX-License-Identifier: Apache-2.0 */
/* What changes something: drain, disable, enable, reload, check-now; and overrides, the list of what was said. */
#include <stdlib.h>
#include <string.h>
#include "api/facts.h"
#include "base/arena.h"
#include "base/map.h"
#include "conf/load.h"

/* What a target means: gathered VIP by VIP. */
struct meant {
    struct api_call *c;
    const struct model *m;
    const struct snapshot *s;
    uint32_t services, last_service, ttl_s;
    struct map checks; /* key -> check */
};

static void meet_vip(void *ctx, uint32_t vip)
{
    struct meant *t = ctx;
    const struct model_vip *v = model_vip(t->m, vip);
    if (t->services && v->service == t->last_service)
        return;
    t->last_service = v->service;
    t->services++;
    uint32_t ttl_s = t->s->services[v->service]->ttl_s;
    if (ttl_s > t->ttl_s)
        t->ttl_s = ttl_s;
}

/* Resolvers hold answers given with the TTL of a moment ago; an automatic TTL may have been up to its bound. */
static void meet_ttl_bound(void *ctx, uint32_t vip)
{
    struct meant *t = ctx;
    const struct cfg_service *cfg = facts_service(t->m, model_vip(t->m, vip)->service);
    if (cfg->ttl_s == CFG_TTL_AUTO && cfg->max_ttl_s > t->ttl_s)
        t->ttl_s = cfg->max_ttl_s;
}

static void try_words(const struct model *m, struct conf_nearest *n)
{
    for (uint32_t i = 0; i < model_config(m)->sites.count; i++)
        conf_nearest_try(n, facts_site(m, i)->name);
    for (uint32_t i = 0; i < model_config(m)->services.count; i++)
        conf_nearest_try(n, facts_service(m, i)->name);
}

static json_t *means_nothing(struct api_call *c, const char *target)
{
    struct conf_nearest n;
    conf_nearest_init(&n, target);
    try_words(c->host->model(c->host->ctx), &n);
    if (n.best)
        return api_fail(c, "not-found", "no site, service or address is \"%.253s\"; did you mean \"%s\"?", target,
                        n.best);
    return api_fail(c, "not-found", "no site, service or address is \"%.253s\"", target);
}

static json_t *word_answer(struct api_call *c, enum override what, uint64_t until_ms, const char *report, bool saved)
{
    const struct api_host *h = c->host;
    const char *target = api_value(c, "target")->text;
    struct meant t = {.c = c, .m = h->model(h->ctx), .s = h->snapshot(h->ctx)};
    size_t vips = overrides_match(t.m, target, meet_vip, &t);
    overrides_match(t.m, target, meet_ttl_bound, &t);
    bool leaves = what == OVERRIDE_DRAIN || what == OVERRIDE_DISABLE;
    json_t *report_json = json_string(report);
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:b, s:o}", "target", target, "state", override_name(what),
                     "vips", (json_int_t)vips, "servers", (json_int_t)h->server_count(h->ctx, target), "services", (json_int_t)t.services, "until", api_time_json(until_ms),
                     "ttl-s", leaves ? json_integer(t.ttl_s) : json_null(), "clients-until",
                     api_time_json(leaves ? clock_wall_ms(h->clock) + t.ttl_s * 1000ull : 0), "saved", saved,
                     "report", report_json ? report_json : json_string("(not UTF-8)"));
}

static json_t *say(struct api_call *c, enum override what)
{
    const struct api_host *h = c->host;
    const char *target = api_value(c, "target")->text;
    uint64_t for_ms = api_value(c, "for")->ms, now = clock_wall_ms(h->clock), until_ms = for_ms ? now + for_ms : 0;
    struct buf report = BUF_INIT;
    json_t *answer;
    if (what != OVERRIDE_NONE && !overrides_match_count(h->model(h->ctx), target) && !h->server_count(h->ctx, target))
        return means_nothing(c, target);
    if (until_ms < for_ms || for_ms > 100ull * 366 * 86400 * 1000)
        return api_fail(c, "bad-argument", "for: more than a hundred years; leave it out to mean until enable");
    enum override_scope scope = OVERRIDE_FLEET;
    const char *scope_text = api_value(c, "scope")->text;
    while (scope_text && scope < OVERRIDE_SCOPES && strcmp(scope_text, override_scope_name(scope)) != 0)
        scope++;
    if (scope == OVERRIDE_SCOPES)
        return api_fail(c, "bad-argument", "scope: \"%.20s\" is none of fleet, region, site, here", scope_text);
    /* Servers of another site may have the same names. */
    if (!api_given(c, "scope") && !overrides_match_count(h->model(h->ctx), target))
        scope = OVERRIDE_HERE;
    int err = h->override(h->ctx, target, what, scope, until_ms, &report);
    if (err && err != PM_EIO)
        answer = api_fail(c, err_name(err), "%s", report.len ? buf_str(&report) : err_text(err));
    else
        answer = word_answer(c, what, until_ms, buf_str(&report), !err);
    buf_fini(&report);
    return answer;
}

json_t *api_drain(struct api_call *c)
{
    return say(c, OVERRIDE_DRAIN);
}

json_t *api_disable(struct api_call *c)
{
    return say(c, OVERRIDE_DISABLE);
}

static void meet_override(void *ctx, uint32_t vip)
{
    struct meant *t = ctx;
    t->services += model_vip(t->m, vip)->override != OVERRIDE_NONE;
}

static bool any_word(const struct overrides *o)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->items[i].what != OVERRIDE_NONE)
            return true;
    return false;
}

/* There is no word for exactly this target: say what there is to take back instead. */
static json_t *nothing_said(struct api_call *c, const char *target)
{
    const struct api_host *h = c->host;
    struct meant t = {.m = h->model(h->ctx)};
    struct conf_nearest n;
    if (!overrides_match(t.m, target, meet_override, &t) && !any_word(h->overrides))
        return means_nothing(c, target);
    if (t.services)
        return api_fail(
            c, "not-found",
            "nothing was said about \"%.253s\" itself; its VIPs are under a word for another target, see overrides",
            target);
    conf_nearest_init(&n, target);
    for (size_t i = 0; i < h->overrides->count; i++)
        if (h->overrides->items[i].what != OVERRIDE_NONE)
            conf_nearest_try(&n, h->overrides->items[i].target);
    if (n.best)
        return api_fail(c, "not-found", "nothing was said about \"%.253s\"; did you mean \"%s\"?", target, n.best);
    return api_fail(c, "not-found", "nothing was said about \"%.253s\": there is no word to take back", target);
}

json_t *api_enable(struct api_call *c)
{
    const struct overrides *o = c->host->overrides;
    const char *target = api_value(c, "target")->text;
    const struct override_entry *e = overrides_find(o, target);
    if (api_value(c, "force")->flag)
        return say(c, OVERRIDE_FORCE);
    if (api_given(c, "for"))
        return api_fail(c, "bad-argument", "for: only with force; enable takes a word back for good");
    return e && e->what != OVERRIDE_NONE ? say(c, OVERRIDE_NONE) : nothing_said(c, target);
}

json_t *api_overrides(struct api_call *c)
{
    const struct overrides *o = c->host->overrides;
    json_t *list = json_array();
    for (size_t i = 0; i < o->count; i++) {
        const struct override_entry *e = &o->items[i];
        if (e->what == OVERRIDE_NONE)
            continue;
        size_t vips = overrides_match_count(c->host->model(c->host->ctx), e->target);
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o, s:I, s:s, s:s}", "target", e->target, "state",
                                              override_name(e->what), "since", api_time_json(e->since_ms), "until",
                                              api_time_json(e->until_ms), "vips", (json_int_t)vips, "scope",
                                              override_scope_name(e->scope), "by", e->by ? e->by : "here"));
    }
    return json_pack("{s:o}", "overrides", list);
}

json_t *api_reload(struct api_call *c)
{
    const struct api_host *h = c->host;
    struct buf report = BUF_INIT;
    json_t *answer, *text;
    int err = h->reload(h->ctx, &report);
    if (err) {
        answer = api_fail(c, err_name(err), "%s", report.len ? buf_str(&report) : err_text(err));
    } else {
        text = json_string(buf_str(&report));
        answer = json_pack("{s:I, s:o}", "generation", (json_int_t)h->snapshot(h->ctx)->generation, "report",
                           text ? text : json_string("(not UTF-8)"));
    }
    buf_fini(&report);
    return answer;
}

static void meet_checks(void *ctx, uint32_t vip)
{
    struct meant *t = ctx;
    const struct api_host *h = t->c->host;
    const struct monitor_check *check;
    for (unsigned i = 0; h->vip_check(h->ctx, vip, i, &check); i++) {
        const char *key = monitor_check_spec(check)->key;
        map_put(&t->checks, key, strlen(key), monitor_find(h->monitor, key));
    }
}

json_t *api_check_now(struct api_call *c)
{
    const struct api_host *h = c->host;
    const char *target = api_value(c, "target")->text;
    struct meant t = {.c = c, .m = h->model(h->ctx), .checks = MAP_INIT};
    struct map_slot slot;
    size_t vips = overrides_match(t.m, target, meet_checks, &t), at = 0, checks = t.checks.count;
    /* Gathered first: a check that ends at once may change what is being walked over. */
    while (map_next(&t.checks, &at, &slot))
        monitor_check_now(h->monitor, slot.value);
    map_fini(&t.checks);
    if (!vips)
        return means_nothing(c, target);
    return json_pack("{s:s, s:I, s:I}", "target", target, "vips", (json_int_t)vips, "checks", (json_int_t)checks);
}
