/* SPDX-License-Identifier: Apache-2.0 */
#include "main/fleet_internal.h"
#include "main/sockets.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"

/* ---- what it is made from ---- */

static bool is_self(const struct config *c, const struct cfg_peer *p)
{
    return strcmp(p->name, c->node.name) == 0;
}

/* Where we listen: as said, or where the others are told to find us. */
static const struct conf_list *listen_of(const struct config *c)
{
    CONFIG_EACH(struct cfg_peer, p, c->mesh.peers)
        if (is_self(c, p) && !c->mesh.listen.count)
            return &p->addresses;
    return &c->mesh.listen;
}

bool fleet_wanted(const struct config *c)
{
    return c->mesh.peers.count || c->mesh.listen.count || c->mesh.nats.servers.count;
}

static void endpoints_text(struct buf *b, const struct conf_list *list)
{
    char text[ENDPOINT_TEXT];
    CONFIG_EACH(struct endpoint, e, *list)
        buf_printf(b, " %s", endpoint_format(e, text));
}

/* path: of the certificate when the configuration does not name it. */
static struct tls_files tls_files(const struct config *c, struct buf *path)
{
    const char *slash = strrchr(c->mesh.ca, '/');
    buf_printf(path, "%.*s%s.pem", slash ? (int)(slash - c->mesh.ca + 1) : 0, c->mesh.ca, c->node.name);
    return (struct tls_files){c->mesh.ca, c->mesh.certificate ? c->mesh.certificate : buf_str(path), c->mesh.key};
}

static void identity(const struct config *c, struct buf *b)
{
    buf_printf(b, "%s %s %s %llu %llu\n", c->node.name, c->node.site ? c->node.site : "", c->mesh.region,
               (unsigned long long)c->mesh.expire_ms, (unsigned long long)c->mesh.update_ms);
    endpoints_text(b, listen_of(c));
    const char *const *server = c->mesh.nats.servers.items;
    for (uint32_t i = 0; i < c->mesh.nats.servers.count; i++)
        buf_printf(b, "\nnats %s %s", server[i], c->mesh.nats.subject);
    buf_printf(b, "\nsign %d", c->mesh.sign);
    if (c->mesh.sign) { /* a renewed certificate has another key: who signs with it is a new writer */
        struct buf path = BUF_INIT;
        struct file_stamp stamp = file_stamp(tls_files(c, &path).cert);
        buf_add(b, &stamp, sizeof stamp);
        buf_fini(&path);
    }
    CONFIG_EACH(struct cfg_peer, p, c->mesh.peers) {
        buf_printf(b, "\n%s %s %s", p->name, p->site ? p->site : "", p->region ? p->region : "");
        endpoints_text(b, &p->addresses);
    }
}

bool fleet_same(const struct fleet *f, const struct config *c)
{
    struct buf now = BUF_INIT;
    identity(c, &now);
    bool same = now.len == f->identity.len && memcmp(now.data, f->identity.data, now.len) == 0;
    buf_fini(&now);
    return same;
}

/* ---- timers ---- */

static void on_tick(uv_timer_t *t)
{
    struct fleet *f = t->data;
    mesh_tick(f->mesh);
    fleet_arm(f);
}

void fleet_arm(struct fleet *f)
{
    uint64_t now = clock_mono_ms(f->host.clock), due = mesh_next_due(f->mesh);
    uint64_t wait = due <= now ? 0 : due - now;
    uv_update_time(f->loop);
    uv_timer_start(&f->tick, on_tick, wait > 1000 ? 1000 : wait, 0);
}

static void on_tell(uv_timer_t *t)
{
    struct fleet *f = t->data;
    if (f->any_due)
        tell_due(f);
    tell_capacities(f);
    tell_resources(f);
    tell_round_trips(f);
    fleet_arm(f);
}

/* ---- links ---- */

static void on_link(void *ctx, struct mesh_link *l)
{
    struct fleet *f = ctx;
    int err = mesh_link_up(f->mesh, l);
    if (err) {
        log_warn("a link was refused", "peer", l->peer, "why", err_text(err));
        mesh_link_close(l, "refused");
    }
    fleet_arm(f);
}

static void on_peer(void *ctx, const char *name, bool up, const char *why)
{
    if (up)
        log_notice("balancer joined", "peer", name);
    else
        log_warn("balancer lost", "peer", name, "why", why);
}

static void on_need(void *ctx, const char *name, bool needed)
{
    struct fleet *f = ctx;
    if (f->nats)
        mesh_nats_need(f->nats, name, needed); /* direct links are made with all configured peers anyway */
}

static void on_changed(void *ctx, const struct mesh_stored *s, enum mesh_change what)
{
    hear_record(ctx, s, what);
}

/* All configured peers may call us and are called; whom the mesh needs no link with is left alone by it. */
static int peers_start(struct fleet *f, const struct config *c, struct buf *why)
{
    if (!f->tls)
        return PM_OK; /* over the cluster nodes find each other */
    struct mesh_tls_peer *peers = mem_alloc((c->mesh.peers.count + 1) * sizeof *peers);
    size_t n = 0;
    CONFIG_EACH(struct cfg_peer, p, c->mesh.peers)
        if (!is_self(c, p))
            peers[n++] = (struct mesh_tls_peer){p->name, p->addresses.items, p->addresses.count};
    int err = mesh_tls_peers(f->tls, peers, n, why);
    free(peers);
    return err;
}

static struct mesh *engine_new(struct fleet *f, const struct config *c)
{
    struct mesh_seed *seeds = mem_alloc((c->mesh.peers.count + 1) * sizeof *seeds);
    struct mesh_config mc = {.node = c->node.name,
                             .region = c->mesh.region,
                             .site = c->node.site ? c->node.site : "",
                             .software = "pointsman " PM_VERSION,
                             .address = "",
                             .incarnation = clock_wall_ms(f->host.clock),
                             .interval_ms = c->mesh.update_ms,
                             .seeds = seeds,
                             .closed = !f->nats};
    CONFIG_EACH(struct cfg_peer, p, c->mesh.peers) {
        if (is_self(c, p))
            continue;
        seeds[mc.seed_count++] = (struct mesh_seed){p->name, p->region ? p->region : c->mesh.region};
    }
    /* A record per service and a few of its VIPs' events. */
    uint32_t records = 4096 + 4 * c->services.count;
    mc.limits = (struct mesh_store_limits){.records_each = records,
                                           .bytes_each = (1u << 20) + (size_t)c->services.count * 1024};
    struct mesh_calls calls = {.user = f, .changed = on_changed, .peer = on_peer, .need_link = on_need};
    struct mesh *m = mesh_new(&mc, f->host.clock, &calls, f->sign ? mesh_sign_trust(f->sign) : NULL);
    free(seeds);
    return m;
}

/* ---- life ---- */

static void arrays_make(struct fleet *f)
{
    const struct model *m = f->host.model(f->host.ctx);
    free(f->service_due);
    free(f->full);
    free(f->verified_ms);
    f->config = model_config(m);
    f->service_count = f->config->services.count;
    f->vip_count = model_vip_count(m);
    f->service_due = mem_alloc(f->service_count + 1);
    f->full = mem_alloc(f->vip_count + 1);
    f->verified_ms = mem_alloc((f->vip_count + 1) * sizeof *f->verified_ms);
}

int fleet_sockets(const struct fleet *f, struct listen_set *set)
{
    return sockets_copy(f->tls, set);
}

static int links_new(struct fleet *f, const struct config *c, struct listen_set *kept, const struct tls_files *files,
                     struct buf *why)
{
    if (c->mesh.nats.servers.count) {
        struct mesh_nats_options o = {.node = c->node.name,
                                      .region = c->mesh.region,
                                      .files = *files,
                                      .subject = c->mesh.nats.subject,
                                      .servers = c->mesh.nats.servers.items,
                                      .server_count = c->mesh.nats.servers.count,
                                      .credentials = c->mesh.nats.credentials,
                                      .ca = c->mesh.nats.ca};
        return mesh_nats_new(f->loop, &o, on_link, f, &f->nats, why);
    }
    struct mesh_tls_options o = {
        .node = c->node.name, .files = *files, .listen = listen_of(c)->items, .listen_count = listen_of(c)->count};
    int *fds = sockets_inherit(listen_of(c), kept, &o.inherited_count);
    o.inherited = fds;
    int err = mesh_tls_new(f->loop, &o, on_link, f, &f->tls, why);
    free(fds);
    return err;
}

int fleet_new(uv_loop_t *loop, const struct config *c, const struct fleet_host *host, struct listen_set *kept,
              struct fleet **out, struct buf *why)
{
    struct fleet *f = mem_alloc(sizeof *f);
    struct buf path = BUF_INIT;
    struct tls_files files = tls_files(c, &path);
    f->host = *host;
    f->loop = loop;
    int err = c->mesh.sign ? mesh_sign_new(&files, c->node.name, host->clock, &f->sign, why) : PM_OK;
    if (!err)
        err = links_new(f, c, kept, &files, why);
    buf_fini(&path);
    if (err) {
        mesh_sign_free(f->sign);
        free(f);
        return err;
    }
    buf_init(&f->identity);
    identity(c, &f->identity);
    f->lifetime_ms = (uint32_t)(c->mesh.expire_ms < FLEET_LIFETIME_MAX_MS ? c->mesh.expire_ms : FLEET_LIFETIME_MAX_MS);
    f->mesh = engine_new(f, c);
    uv_timer_init(loop, &f->tick);
    uv_timer_init(loop, &f->tell);
    f->tick.data = f->tell.data = f;
    *out = f;
    return PM_OK;
}

int fleet_start(struct fleet *f, struct buf *why)
{
    fleet_generation(f);
    tell_words(f);
    uv_timer_start(&f->tell, on_tell, FLEET_TELL_MS, FLEET_TELL_MS);
    fleet_arm(f);
    return peers_start(f, f->config, why);
}

static void timer_closed(uv_handle_t *h)
{
    struct fleet *f = h->data;
    if (++f->closed == 2)
        free(f);
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    mesh_free(f->mesh);
    if (f->tls)
        mesh_tls_free(f->tls);
    if (f->nats)
        mesh_nats_free(f->nats);
    mesh_sign_free(f->sign);
    buf_fini(&f->identity);
    free(f->service_due);
    free(f->full);
    free(f->verified_ms);
    uv_close((uv_handle_t *)&f->tick, timer_closed);
    uv_close((uv_handle_t *)&f->tell, timer_closed);
}

void fleet_generation(struct fleet *f)
{
    arrays_make(f);
    hear_all(f);
    tell_all(f);
    f->rtt_due = UINT32_MAX;
}

int fleet_reload(struct fleet *f, const struct config *c, struct buf *why)
{
    struct buf path = BUF_INIT;
    struct tls_files files = tls_files(c, &path);
    struct mesh_tls_options o = {
        .node = c->node.name, .files = files, .listen = listen_of(c)->items, .listen_count = listen_of(c)->count};
    int err = f->tls ? mesh_tls_reload(f->tls, &o, why) : mesh_nats_reload(f->nats, &files, why);
    buf_fini(&path);
    return err;
}

void fleet_own_sight(struct fleet *f, uint32_t vip, bool health)
{
    f->service_due[model_vip(f->host.model(f->host.ctx), vip)->service] = true;
    f->any_due = true;
    if (health) {
        tell_event(f, vip);
        fleet_arm(f);
    }
}

void fleet_say(struct fleet *f, const struct override_entry *e)
{
    tell_word(f, e);
    fleet_arm(f);
}

uint32_t fleet_vip(const struct fleet *f, const char *service, const struct addr *address)
{
    const struct cfg_service *svc = config_service(f->config, service);
    const struct model *m = f->host.model(f->host.ctx);
    uint32_t count, first = svc ? model_service_first_vip(m, svc->index, &count) : 0;
    for (uint32_t i = 0; svc && i < count; i++)
        if (addr_eq(&model_vip(m, first + i)->config->addr, address))
            return first + i;
    return UINT32_MAX;
}
