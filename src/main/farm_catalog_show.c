/* SPDX-License-Identifier: Apache-2.0 */
/* Plans and orders as `pointsman catalog plan` and `apply` show them, and the catalog's metrics. */
#include <string.h>
#include "main/farm_catalog_internal.h"

enum { SHOWN = 1000 };

static const char *node_name(const struct farm_catalog *c, const char *host, uint16_t node)
{
    const struct catalog_service *s = catalog_service_of(c, host);
    return node < FARM_SELF ? farm_node_name(c->f, s && s->config ? s->servers : NULL, node) : "";
}

static json_t *path_json(const char *path, size_t len)
{
    json_t *t = json_stringn(path, len);
    return t ? t : json_string("(not UTF-8)");
}

static json_t *action_json(const struct farm_catalog *c, const struct plan_action *a)
{
    bool copy = a->kind == PLAN_COPY;
    return json_pack("{s:s, s:s, s:o, s:I, s:s, s:s, s:o, s:s, s:i, s:f}", "do", copy ? "copy" : "remove", "host",
                     a->host, "path", path_json(a->path, a->len), "size", (json_int_t)a->size, "node",
                     node_name(c, a->host, copy ? a->to : a->from), "reason", plan_reason_name(a->reason), "from",
                     copy ? json_string(node_name(c, a->host, a->from)) : json_null(), "why",
                     plan_reason_text(a->reason), "copies", (int)a->copies, "rate", a->rate);
}

static json_t *actions_json(const struct farm_catalog *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->shown.action_count && i < SHOWN; i++)
        json_array_append_new(list, action_json(c, &c->shown.actions[i]));
    return list;
}

static json_t *reports_json(const struct plan_report *list, size_t n)
{
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(out, json_pack("{s:s, s:s, s:o, s:s, s:i}", "reason", plan_reason_name(list[i].reason),
                                             "host", list[i].host, "path", path_json(list[i].path, list[i].len), "why",
                                             plan_reason_text(list[i].reason), "copies", (int)list[i].copies));
    return out;
}

static json_t *orders_json(const struct farm_catalog *c)
{
    json_t *list = json_array();
    struct order_view v;
    uint64_t now = catalog_now(c);
    for (size_t i = 0; i < SHOWN && orders_view(c->orders, i, &v); i++) {
        json_t *o = action_json(c, v.action);
        json_object_set_new(o, "id", json_integer((json_int_t)v.id));
        json_object_set_new(o, "state", json_string(order_state_name(v.state)));
        json_object_set_new(o, "state-ms", json_integer((json_int_t)(now > v.since ? now - v.since : 0)));
        json_object_set_new(o, "due-ms", json_integer((json_int_t)(v.due > now ? v.due - now : 0)));
        json_object_set_new(o, "tries", json_integer(v.tries));
        json_object_set_new(o, "failed", *v.why ? json_string(v.why) : json_null());
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *figures_json(const struct plan_figures *f)
{
    return json_pack("{s:i, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I}", "resources", (int)f->resources, "copies",
                     (json_int_t)f->copies, "under-copied", (int)f->under_copied, "waiting", (int)f->waiting, "cannot",
                     (int)f->cannot, "lost", (int)f->lost, "hot", (int)f->hot, "surplus", (int)f->surplus, "divergent",
                     (int)f->divergent, "deferred", (json_int_t)f->deferred);
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

json_t *farm_catalog_plan_view(const struct farm_catalog *c)
{
    const struct plan *p = &c->shown;
    uint64_t now = catalog_now(c);
    return json_pack("{s:I, s:o, s:s, s:s, s:o, s:o, s:i, s:o, s:o, s:o, s:o}", "plan", (json_int_t)c->plan_number,
                     "age-ms", c->plan_number ? json_integer((json_int_t)(now - c->shown_ms)) : json_null(), "apply",
                     c->f->config->catalog.apply == CFG_APPLY_AUTO ? "auto" : "manual", "leader",
                     c->leader ? c->leader : c->f->config->node.name, "idle", text_or_null(catalog_idle_why(c)),
                     "figures", figures_json(&p->figures), "total", (int)p->action_count, "actions", actions_json(c),
                     "conflicts", reports_json(p->conflicts, p->conflict_count), "cannot",
                     reports_json(p->cannots, p->cannot_count), "orders", orders_json(c));
}

json_t *farm_catalog_apply(struct farm_catalog *c, bool dry, uint64_t plan, const char **error, struct buf *why)
{
    const char *idle = catalog_idle_why(c);
    if (plan && plan != c->plan_number) {
        *error = "not-found";
        buf_printf(why, "the plan is %llu by now: look at it again", (unsigned long long)c->plan_number);
        return NULL;
    }
    if (idle && !dry) {
        *error = "busy";
        buf_printf(why, "nothing is copied or removed now: %s", idle);
        if (c->leader)
            buf_printf(why, ", %s", c->leader);
        return NULL;
    }
    json_t *actions = actions_json(c);
    size_t given = dry ? 0 : catalog_plan_give(c);
    c->asked |= given > 0;
    return json_pack("{s:I, s:b, s:i, s:i, s:o}", "plan", (json_int_t)c->plan_number, "dry-run", dry, "total",
                     (int)c->shown.action_count, "given", (int)given, "actions", actions);
}

/* ---- metrics ---- */

struct telling {
    api_metric_fn *fn;
    void *ctx;
};

static void gauge(const struct telling *t, const char *name, const char *labels, const char *help, double value)
{
    t->fn(t->ctx, name, labels, "gauge", help, value);
}

static void counter(const struct telling *t, const char *name, const char *labels, const char *help, double value)
{
    t->fn(t->ctx, name, labels, "counter", help, value);
}

static void directory_metrics(const struct telling *t, const struct farm_catalog *c)
{
    struct directory_figures f = {.learned = 0};
    struct catalog_table_figures table = {.in = 0};
    if (c) {
        directory_figures(c->d, &f);
        catalog_table_figures(c->table, &table);
    }
    static const char *const kinds[] = {"kind=\"path\"", "kind=\"prefix\"", "kind=\"suffix\""};
    for (unsigned i = 0; i < PM_ARRAY_LEN(kinds); i++)
        gauge(t, "pointsman_catalog_resources", kinds[i], "Entries of the content directory.", f.entries[i]);
    gauge(t, "pointsman_catalog_denied", "", "Paths that a server should have and answered 404 to, for now.",
          f.learned);
    gauge(t, "pointsman_catalog_bytes", "", "Memory of the content directory.", (double)f.bytes);
    gauge(t, "pointsman_catalog_in_table", "", "Entries in the packet program's table.", table.in);
    gauge(t, "pointsman_catalog_left_out", "",
          "Entries that do not fit into it: their services' other requests are the front end's.", table.out);
    counter(t, "pointsman_catalog_exchanged_total", "",
            "Entries put into the table for others that are asked for less.", (double)table.exchanged);
    counter(t, "pointsman_catalog_refused_total", "", "Times that the kernel did not take an entry.",
            (double)table.refused);
    counter(t, "pointsman_catalog_files_total", "", "Files that agents have reported.", c ? (double)c->files : 0);
    counter(t, "pointsman_catalog_bad_paths_total", "", "Of these, with a path that is none.",
            c ? (double)c->bad_paths : 0);
    counter(t, "pointsman_catalog_strange_hosts_total", "", "Of these, of a host that is no relayed service here.",
            c ? (double)c->strange_hosts : 0);
    counter(t, "pointsman_catalog_denied_total", "", "404s of servers that should have had it.",
            c ? (double)c->denied : 0);
    counter(t, "pointsman_catalog_denied_over_total", "", "Of these, beyond what is learned in a second.",
            c ? (double)c->denials_over : 0);
}

static void plan_metrics(const struct telling *t, const struct farm_catalog *c)
{
    struct plan_figures f = {.resources = 0};
    struct orders_figures o = {.waiting = 0};
    if (c) {
        f = c->shown.figures;
        orders_figures(c->orders, &o);
    }
    gauge(t, "pointsman_catalog_leading", "", "1: of this site's balancers this one orders copies.", c && !c->leader);
    gauge(t, "pointsman_catalog_under_copied", "", "Files with too few copies, as of the last plan.", f.under_copied);
    gauge(t, "pointsman_catalog_lost", "", "Of these, on no node that is there.", f.lost);
    gauge(t, "pointsman_catalog_divergent", "", "Files of which nodes hold different contents.", f.divergent);
    gauge(t, "pointsman_catalog_hot", "", "Files asked for more than their copies should carry.", f.hot);
    gauge(t, "pointsman_catalog_surplus", "", "Files with more copies than are needed.", f.surplus);
    gauge(t, "pointsman_catalog_orders", "state=\"waiting\"", "Orders to agents, by state.", (double)o.waiting);
    gauge(t, "pointsman_catalog_orders", "state=\"sent\"", "", (double)o.sent);
    gauge(t, "pointsman_catalog_orders", "state=\"settling\"", "", (double)o.settling);
    gauge(t, "pointsman_catalog_orders", "state=\"given-up\"", "", (double)o.given_up);
    counter(t, "pointsman_catalog_copied_total", "", "Copies made.", (double)o.copied);
    counter(t, "pointsman_catalog_copied_bytes_total", "", "Bytes of copies made.", (double)o.copied_bytes);
    counter(t, "pointsman_catalog_removed_total", "", "Copies removed.", (double)o.removed);
    counter(t, "pointsman_catalog_failed_total", "", "Orders that failed, each try.", (double)o.failed);
    counter(t, "pointsman_catalog_abandoned_total", "", "Orders given up.", (double)o.abandoned);
    counter(t, "pointsman_catalog_withheld_total", "", "Removals not ordered: the file is another service's, too.",
            c ? (double)c->withheld : 0);
}

void farm_catalog_metrics(const struct farm_catalog *c, api_metric_fn *fn, void *fn_ctx)
{
    struct telling t = {fn, fn_ctx};
    directory_metrics(&t, c);
    plan_metrics(&t, c);
}

/* ---- for the daemon ---- */

json_t *farm_catalog_of(const struct farm *f, const struct api_catalog *q)
{
    return f->config ? farm_catalog_view(f->catalog, q) : NULL;
}

json_t *farm_catalog_planned(const struct farm *f)
{
    return f->config ? farm_catalog_plan_view(f->catalog) : NULL;
}

json_t *farm_catalog_give(struct farm *f, bool dry, uint64_t plan, const char **error, struct buf *why)
{
    return f->config ? farm_catalog_apply(f->catalog, dry, plan, error, why) : NULL;
}

void farm_lead(struct farm *f, const char *leader)
{
    if (f->config)
        farm_catalog_lead(f->catalog, leader);
}
