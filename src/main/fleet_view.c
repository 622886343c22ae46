/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet as `pointsman peers` and the metrics page show it. */
#include <string.h>
#include "main/fleet_internal.h"

struct telling {
    const struct fleet *f;
    json_t *list;
};

static json_t *resources(const struct fleet *f, const char *node)
{
    struct mesh_resources r;
    const struct mesh_stored *s = mesh_find(f->mesh, node, MESH_KIND_RESOURCES, "");
    if (!s || mesh_get_resources(&s->rec, &r) != 0)
        return json_null();
    return json_pack("{s:I, s:I, s:f}", "memory-left", (json_int_t)r.memory_left, "memory-total",
                     (json_int_t)r.memory_total, "load", r.load_milli / 1000.0);
}

static json_t *counters(const struct mesh_counters *c)
{
    json_t *o = json_object();
#define X(name, doc) json_object_set_new(o, #name, json_integer((json_int_t)c->name));
    MESH_COUNTERS(X)
#undef X
    return o;
}

static void tell_peer(void *ctx, const struct mesh_peer_status *s)
{
    struct telling *t = ctx;
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:s, s:i}", "name", s->name, "region", s->region,
                          "site", s->site, "software", s->software, "up", s->up, "needed", s->needed, "entry", s->entry,
                          "slow", s->blocked, "why", s->why, "version", s->version);
    json_object_set_new(o, "up-ms", s->up ? json_integer((json_int_t)s->up_ms) : json_null());
    json_object_set_new(o, "heard-ms-ago",
                        s->heard_ms != UINT64_MAX ? json_integer((json_int_t)s->heard_ms) : json_null());
    json_object_set_new(o, "round-trip-ms", s->rtt_us ? json_real(s->rtt_us / 1000.0) : json_null());
    json_object_set_new(o, "records", json_integer(s->records));
    json_object_set_new(o, "queued", json_integer(s->queued));
    json_object_set_new(o, "bytes-in", json_integer((json_int_t)s->bytes_in));
    json_object_set_new(o, "bytes-out", json_integer((json_int_t)s->bytes_out));
    json_object_set_new(o, "resources", resources(t->f, s->name));
    json_object_set_new(o, "counters", counters(&s->counters));
    json_array_append_new(t->list, o);
}

static json_t *links(const struct fleet *f)
{
    json_t *refused = json_object();
    const struct mesh_tls_stats *tls = f->tls ? mesh_tls_stats(f->tls) : NULL;
    int64_t now_s = (int64_t)(clock_wall_ms(f->host.clock) / 1000);
    for (unsigned i = 0; tls && i < MESH_TLS_REFUSAL_COUNT; i++)
        if (tls->refused[i])
            json_object_set_new(refused, mesh_tls_refusal_name((enum mesh_tls_refusal)i),
                                json_integer((json_int_t)tls->refused[i]));
    json_t *o =
        json_pack("{s:s, s:o, s:o}", "transport", tls ? "tls" : "nats", "certificate-left-s",
                  tls ? json_integer((json_int_t)(tls->certificate_until_s - now_s)) : json_null(), "refused", refused);
    if (f->nats) {
        struct mesh_nats_stats n;
        mesh_nats_stats(f->nats, &n);
        json_t *c = json_pack("{s:b, s:s}", "connected", n.connected, "server", n.server);
#define X(name, doc) json_object_set_new(c, #name, json_integer((json_int_t)n.name));
        MESH_NATS_STATS(X)
#undef X
        json_object_set_new(o, "cluster", c);
    }
    return o;
}

json_t *fleet_peers(const struct fleet *f)
{
    struct mesh_totals totals;
    struct telling t = {f, json_array()};
    mesh_totals(f->mesh, &totals);
    mesh_status(f->mesh, tell_peer, &t);
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "node", f->config->node.name, "region",
                          f->config->mesh.region, "records", (json_int_t)totals.records, "bytes",
                          (json_int_t)totals.bytes, "writers", (json_int_t)totals.writers, "links",
                          (json_int_t)totals.links, "events-heard", (json_int_t)f->events_heard, "events-told",
                          (json_int_t)f->events_told, "signed", f->sign != NULL, "peers", t.list);
    json_t *more = links(f);
    json_object_update(o, more);
    json_decref(more);
    return o;
}

/* ---- who leads ---- */

struct leading {
    const char *site, *first;
};

static void consider(void *ctx, const struct mesh_peer_status *s)
{
    struct leading *l = ctx;
    if (s->up && strcmp(s->site, l->site) == 0 && strcmp(s->name, l->first) < 0)
        l->first = s->name;
}

const char *fleet_leader(const struct fleet *f)
{
    if (!f || !f->config || !f->config->node.site)
        return NULL;
    const char *self = f->config->node.name;
    struct leading l = {f->config->node.site, self};
    mesh_status(f->mesh, consider, &l);
    return l.first == self ? NULL : l.first;
}

/* ---- metrics ---- */

struct counting {
    api_metric_fn *fn;
    void *fn_ctx;
};

static void count_peer(void *ctx, const struct mesh_peer_status *s)
{
    struct counting *c = ctx;
    char labels[MESH_NAME_MAX + 16];
    snprintf(labels, sizeof labels, "peer=\"%s\"", s->name);
    c->fn(c->fn_ctx, "pointsman_mesh_peer_up", labels, "gauge", "1 while there is a link with the balancer.", s->up);
    c->fn(c->fn_ctx, "pointsman_mesh_bytes_in_total", labels, "counter", "Bytes of messages received.",
          (double)s->bytes_in);
    c->fn(c->fn_ctx, "pointsman_mesh_bytes_out_total", labels, "counter", "Bytes of messages sent.",
          (double)s->bytes_out);
}

void fleet_metrics(const struct fleet *f, api_metric_fn *fn, void *fn_ctx)
{
    struct mesh_totals totals = {0};
    struct counting c = {fn, fn_ctx};
    if (f)
        mesh_totals(f->mesh, &totals);
    fn(fn_ctx, "pointsman_mesh_records", "", "gauge", "Records held, of all balancers.", (double)totals.records);
    fn(fn_ctx, "pointsman_mesh_links", "", "gauge", "Links with other balancers.", (double)totals.links);
    fn(fn_ctx, "pointsman_mesh_events_heard_total", "", "counter", "Events other balancers told.",
       f ? (double)f->events_heard : 0);
    fn(fn_ctx, "pointsman_mesh_events_told_total", "", "counter", "Events told to other balancers.",
       f ? (double)f->events_told : 0);
    fn(fn_ctx, "pointsman_mesh_verifications_total", "", "counter", "Looks taken because of another balancer's event.",
       f ? (double)f->verifications : 0);
    if (f)
        mesh_status(f->mesh, count_peer, &c);
    else
        count_peer(&c, &(struct mesh_peer_status){.name = ""}); /* for the reference: every family */
}
