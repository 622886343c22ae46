/* SPDX-License-Identifier: Apache-2.0 */
#include "main/front_internal.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/log.h"
#include "policy/director.h"

enum { HTTP_PORT = 80 };

/* ---- what the configuration asks for ---- */

const struct cfg_service_site *front_own_site(const struct config *c, const struct cfg_service *s)
{
    CONFIG_EACH(struct cfg_service_site, at, s->sites)
        if (c->node.site && strcmp(at->name, c->node.site) == 0 && !at->disabled)
            return at;
    return NULL;
}

static bool serves(const struct config *c, const struct cfg_service *s)
{
    return s->fronts.count && front_own_site(c, s);
}

bool front_wanted(const struct config *c)
{
    CONFIG_EACH(struct cfg_service, s, c->services)
        if (serves(c, s))
            return true;
    return false;
}

static uint32_t ms(uint64_t v)
{
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

const uint32_t *front_ports(const struct cfg_front *cf, uint32_t *n)
{
    static const uint32_t http = 80, ftp = 21;
    *n = cf->ports.count ? cf->ports.count : 1;
    return cf->ports.count ? cf->ports.items : cf->mode == CFG_FRONT_FTP ? &ftp : &http;
}

/* Addresses of the site x ports of the front end. */
static void make_listen(struct arena *a, const struct cfg_service_site *at, const struct cfg_front *cf,
                        struct front_service *out)
{
    uint32_t n, count = 0;
    const uint32_t *ports = front_ports(cf, &n);
    struct endpoint *list = arena_alloc(a, at->vips.count * n * sizeof *list);
    CONFIG_EACH(struct cfg_vip, vip, at->vips)
        for (uint32_t i = 0; i < n; i++)
            list[count++] = (struct endpoint){vip->addr, (uint16_t)ports[i]};
    out->listen = list;
    out->listen_count = count;
}

/* Where clients of another site are sent: its own URL, or one made from its first address. */
void front_site_url(const struct cfg_service_site *at, const struct cfg_front *cf, char out[FRONT_URL_MAX])
{
    char address[ADDR_TEXT], port[8] = "";
    uint32_t n;
    const struct cfg_vip *vip = at->vips.items;
    unsigned number = *front_ports(cf, &n);
    if (number != 80)
        snprintf(port, sizeof port, ":%u", number);
    bool v6 = vip->addr.family == ADDR_V6;
    if (at->url)
        snprintf(out, FRONT_URL_MAX, "%s", at->url);
    else
        snprintf(out, FRONT_URL_MAX, "http://%s%s%s%s", v6 ? "[" : "", addr_format(&vip->addr, address), v6 ? "]" : "",
                 port);
}

static void make_sites(struct arena *a, const struct config *c, const struct cfg_service *s, const struct cfg_front *cf,
                       struct front_service *out)
{
    struct front_site *sites = arena_alloc(a, s->sites.count * sizeof *sites);
    CONFIG_EACH(struct cfg_service_site, at, s->sites) {
        if (out->site_count == FRONT_SITES_MAX)
            break;
        char url[FRONT_URL_MAX];
        front_site_url(at, cf, url);
        sites[out->site_count++] =
            (struct front_site){at->name, arena_strdup(a, url), strcmp(at->name, c->node.site) == 0};
    }
    out->sites = sites;
}

static void make_servers(struct front *f, struct arena *a, const struct cfg_service_site *at, const struct cfg_front *cf,
                         struct front_service *out)
{
    uint32_t n;
    out->servers = arena_alloc(a, (at->servers.count + 1) * sizeof *out->servers);
    CONFIG_EACH(struct cfg_server, v, at->servers) {
        struct front_server *to = &out->servers[out->server_count++];
        *to = (struct front_server){
            .name = v->name, .at = v->at, .weight = v->weight, .max_connections = v->max_connections, .url = v->url};
        if (cf->server_port)
            to->at.port = (uint16_t)cf->server_port;
        else if (front_reads_hello(cf) && to->at.port == HTTP_PORT) /* not said */
            to->at.port = (uint16_t)*front_ports(cf, &n);
        to->slot = out->known ? front_slot_take(f, out->name, v->name) : out->server_count - 1;
    }
}

static void make_hosts(struct arena *a, const struct cfg_service *s, const struct cfg_service_site *at,
                       struct front_service *out)
{
    const char *const *alias = s->aliases.items;
    const char **hosts = arena_alloc(a, (s->aliases.count + 2) * sizeof *hosts);
    hosts[out->host_count++] = s->name;
    for (uint32_t i = 0; i < s->aliases.count; i++)
        hosts[out->host_count++] = alias[i];
    /* Clients that another site has redirected here come by the site's own name. */
    const char *host = at->url ? strstr(at->url, "://") : NULL;
    if (host) {
        size_t n = strcspn(host + 3, ":/");
        char *name = arena_alloc(a, n + 1);
        for (size_t i = 0; i < n; i++)
            name[i] = (char)(host[3 + i] >= 'A' && host[3 + i] <= 'Z' ? host[3 + i] + 32 : host[3 + i]);
        bool known = false;
        for (uint32_t i = 0; i < out->host_count; i++)
            known |= strcmp(hosts[i], name) == 0;
        if (!known && *host != '[')
            hosts[out->host_count++] = name;
    }
    out->hosts = hosts;
}

static void make_rewrites(struct arena *a, const struct cfg_front *cf, struct front_service *out)
{
    out->rewrites = arena_alloc(a, (cf->rewrites.count + 1) * sizeof *out->rewrites);
    CONFIG_EACH(struct cfg_rewrite, r, cf->rewrites)
        out->rewrites[out->rewrite_count++] =
            (struct front_rewrite){.match = r->match, .to = r->to, .regex = r->regex, .status = (uint16_t)r->status};
}

/* The capacity of the site's addresses is the front end's. */
uint32_t front_max_connections(const struct cfg_service_site *at)
{
    uint32_t most = 0;
    CONFIG_EACH(struct cfg_vip, vip, at->vips)
        most = vip->max_connections > most ? vip->max_connections : most;
    return most;
}

static void make_service(struct front *f, struct arena *a, const struct config *c, const struct cfg_service *s,
                         const struct cfg_front *cf, unsigned number, struct front_service *out)
{
    const struct cfg_service_site *at = front_own_site(c, s);
    *out = (struct front_service){
        .name = number ? arena_printf(a, "%s#%u", s->name, number + 1) : s->name,
        .mode = (uint8_t)cf->mode,
        .hello = front_reads_hello(cf),
        .balance = (uint8_t)cf->balance,
        .sticky = (uint8_t)cf->sticky,
        .proxy = (uint8_t)cf->proxy,
        .target = (uint8_t)cf->target,
        .busy = (uint8_t)cf->busy,
        .guard = (uint8_t)cf->guard,
        .forwarded_for = cf->forwarded_for,
        .away = cf->overload_redirect && cf->mode == CFG_FRONT_SERVE,
        .cookie = cf->cookie,
        .max_connections = front_max_connections(at),
        .queue_limit = cf->queue,
        .retries = cf->retries,
        .slow_start = ms(cf->slow_start_ms),
        .pool = cf->pool,
        .times = {ms(cf->times.idle_ms), ms(cf->times.head_ms), ms(cf->times.stall_ms), ms(cf->times.connect_ms),
                  ms(cf->times.response_ms), ms(cf->times.queue_ms), ms(cf->times.tunnel_ms), ms(cf->times.pool_ms)},
    };
    make_listen(a, at, cf, out);
    make_hosts(a, s, at, out);
    if (front_differ(at, cf)) {
        out->known = f->known;
        out->scope = front_scope(s->name);
    }
    make_servers(f, a, at, cf, out);
    make_sites(a, c, s, cf, out);
    make_rewrites(a, cf, out);
    front_make_holdings(a, s, at, out);
}

/* The first service on an endpoint serves what comes there by no known name, such as the bare address. */
static void choose_defaults(struct front_service *all, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        bool taken = false;
        for (uint32_t k = 0; k < i; k++)
            for (uint32_t x = 0; x < all[i].listen_count; x++)
                for (uint32_t y = 0; all[k].is_default && y < all[k].listen_count; y++)
                    taken |= all[i].listen[x].port == all[k].listen[y].port &&
                             addr_eq(&all[i].listen[x].addr, &all[k].listen[y].addr);
        all[i].is_default = !taken;
    }
}

static struct front_service *make_all(struct front *f, struct arena *a, const struct config *c, uint32_t *count)
{
    uint32_t n = 0;
    CONFIG_EACH(struct cfg_service, s, c->services)
        n += serves(c, s) ? s->fronts.count : 0;
    struct front_service *all = arena_alloc(a, (n + 1) * sizeof *all);
    *count = 0;
    CONFIG_EACH(struct cfg_service, s, c->services) {
        unsigned number = 0;
        if (serves(c, s))
            CONFIG_EACH(struct cfg_front, cf, s->fronts)
                make_service(f, a, c, s, cf, number++, &all[(*count)++]);
    }
    choose_defaults(all, n);
    return all;
}

/* ---- the director's order, on the front-end threads ---- */

struct order {
    struct director_thread director;
    const struct front_service *service;
    struct addr client;
    unsigned count;
    uint8_t site[FRONT_SITES_MAX];
};
static _Thread_local struct order *order;

static int number_of(const struct front_service *fs, const char *site)
{
    for (uint32_t i = 0; i < fs->site_count; i++)
        if (strcmp(fs->sites[i].name, site) == 0)
            return (int)i;
    return -1;
}

/* The sites of the director's list for this client, each once, best first. */
static void make_order(struct front *f, const struct front_service *fs, const struct addr *client)
{
    char name[256];
    struct director_answer a;
    const struct snapshot *s = world_current(f->world);
    order->service = fs;
    order->client = *client;
    order->count = 0;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(fs->name, "#"), fs->name);
    const struct cfg_service *svc = s ? config_service(s->config, name) : NULL;
    if (!svc)
        return;
    struct director_request q = {
        .service = svc->index, .client = *client, .located = true, .all = true, .family = client->family == ADDR_V6};
    director_choose(s, &order->director, &q, &a);
    if (a.status == DIRECTOR_NODATA) {
        q.family = !q.family;
        director_choose(s, &order->director, &q, &a);
    }
    if (a.status != DIRECTOR_ADDRESSES || a.fallen_back == FALLBACK_ADDRESSES)
        return;
    const struct snap_family *family = &snapshot_service(s, svc->index)->family[q.family];
    const struct cfg_site *sites = s->config->sites.items;
    bool seen[FRONT_SITES_MAX] = {false};
    for (unsigned i = 0; i < a.count; i++) {
        int at = number_of(fs, sites[family->cands[a.cand[i]].site].name);
        if (at < 0 || seen[at])
            continue;
        seen[at] = true;
        order->site[order->count++] = (uint8_t)at;
    }
}

/* One request asks for the first, the second ... of one order, even if the policy draws at random. */
static int choose(void *ctx, const struct front_service *fs, const struct addr *client, unsigned n)
{
    if (!order) {
        order = mem_alloc(sizeof *order); /* as long as the thread */
        director_thread_init(&order->director, hash_bytes(&order, sizeof order, hash_seed()));
    }
    if (n == 0 || order->service != fs || !addr_eq(&order->client, client))
        make_order(ctx, fs, client);
    return n < order->count ? order->site[n] : -1;
}

/* ---- life ---- */

int front_new(const struct world *world, struct front **out, struct buf *why)
{
    struct front *f = mem_alloc(sizeof *f);
    f->world = world;
    f->arena = arena_new();
    f->known = front_known_new();
    int err = frontend_new(&(struct frontend_options){.freebind = true, .choose = choose, .ctx = f}, &f->f, why);
    if (err) {
        front_free(f, 0);
        return err;
    }
    *out = f;
    return PM_OK;
}

void front_free(struct front *f, uint32_t linger_ms)
{
    if (!f)
        return;
    if (f->f)
        frontend_stop(f->f, linger_ms);
    arena_free(f->arena);
    front_slots_fini(f);
    front_known_free(f->known);
    free(f->backends);
    free(f->checked);
    free(f);
}

static bool wanted_at(const struct front_service *all, uint32_t n, const struct endpoint *at)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < all[i].listen_count; k++)
            if (all[i].listen[k].port == at->port && addr_eq(&all[i].listen[k].addr, &at->addr))
                return true;
    return false;
}

int front_listen(struct front *f, const struct config *c, struct listen_set *kept, struct buf *why)
{
    struct arena *a = arena_new();
    uint32_t n;
    struct front_service *all = make_all(f, a, c, &n);
    int err = PM_OK;
    for (size_t i = kept->count; i-- > 0;) {
        struct listen_socket *s = &kept->items[i];
        if (s->proto != LISTEN_TCP || !wanted_at(all, n, &s->at) || frontend_adopt(f->f, &s->at, s->fd) != PM_OK)
            continue;
        memmove(s, s + 1, (kept->count - i - 1) * sizeof *s);
        kept->count--;
    }
    for (uint32_t i = 0; i < n && !err; i++)
        err = frontend_listen(f->f, all[i].listen, all[i].listen_count, why);
    arena_free(a);
    return err;
}

/* ---- servers: checks and words ---- */

static void apply(struct front *f, const struct backend *b)
{
    bool up = b->word == OVERRIDE_FORCE || (b->word != OVERRIDE_DISABLE && b->health != HEALTH_DOWN);
    if (frontend_server_health(f->f, b->service, b->server->name, up ? FRONT_UP : FRONT_DOWN) != PM_OK ||
        frontend_server_drain(f->f, b->service, b->server->name, b->word == OVERRIDE_DRAIN) != PM_OK)
        log_warn("a server is not known to the front end", "service", b->service, "server", b->server->name);
}

static void on_health(void *ctx, uint32_t server, enum health h)
{
    struct front *f = ctx;
    struct backend *b = &f->backends[server];
    if (b->health == h)
        return;
    if (b->health != HEALTH_UNCHECKED || h == HEALTH_DOWN)
        log_notice(h == HEALTH_DOWN ? "server down" : "server up", "service", b->service, "server", b->server->name);
    b->health = (uint8_t)h;
    apply(f, b);
}

static bool starved(void *ctx, const struct model_vip *v)
{
    const struct front *f = ctx;
    bool any = false;
    if (strcmp(v->at->name, f->config->node.site) != 0)
        return false;
    for (uint32_t i = 0; i < f->backend_count; i++) {
        if (f->backends[i].config->index != v->service)
            continue;
        any = true;
        if (f->backends[i].health != HEALTH_DOWN)
            return false;
    }
    return any;
}

struct wire_servers front_servers(struct front *f)
{
    return (struct wire_servers){f->checked, f->backend_count, on_health, starved, f};
}

static bool part_matches(const char *pattern, const char *word)
{
    return fnmatch(pattern, word, FNM_CASEFOLD) == 0;
}

static bool means(const char *target, const struct backend *b)
{
    char part[256], address[ENDPOINT_TEXT];
    const char *at = strrchr(target, '@'), *server = at ? at + 1 : target;
    snprintf(part, sizeof part, "%.*s", at ? (int)(at - target) : 0, target);
    if (at && !part_matches(part, b->config->name))
        return false;
    endpoint_format(&b->server->at, address);
    return part_matches(server, b->server->name) || part_matches(server, address);
}

size_t front_means(const struct front *f, const char *target)
{
    size_t n = 0;
    for (uint32_t i = 0; i < f->backend_count; i++)
        n += means(target, &f->backends[i]);
    return n;
}

void front_words(struct front *f, const struct overrides *o)
{
    for (uint32_t i = 0; i < f->backend_count; i++) {
        struct backend *b = &f->backends[i];
        uint8_t word = OVERRIDE_NONE;
        for (size_t k = 0; k < o->count; k++)
            if (o->items[k].what > word && means(o->items[k].target, b))
                word = (uint8_t)o->items[k].what;
        if (word == b->word)
            continue;
        b->word = word;
        apply(f, b);
    }
}

void front_server_state(const struct front *f, const char *service, const char *server, uint8_t *health, uint8_t *word)
{
    *health = HEALTH_UNCHECKED;
    *word = OVERRIDE_NONE;
    for (uint32_t i = 0; f && i < f->backend_count; i++) {
        const struct backend *b = &f->backends[i];
        if (strcmp(b->service, service) == 0 && strcmp(b->server->name, server) == 0) {
            *health = b->health;
            *word = b->word;
            return;
        }
    }
}

/* The list of servers anew; what is known of those that stay is known on. */
static void backends_make(struct front *f, const struct config *c, const struct front_service *all, uint32_t n)
{
    uint32_t total = 0, at = 0;
    for (uint32_t i = 0; i < n; i++)
        total += all[i].server_count;
    struct backend *list = mem_alloc((total + 1) * sizeof *list);
    struct wire_server *checked = mem_alloc((total + 1) * sizeof *checked);
    uint32_t which = 0;
    CONFIG_EACH(struct cfg_service, s, c->services) {
        if (!serves(c, s))
            continue;
        const struct cfg_service_site *site = front_own_site(c, s);
        CONFIG_EACH(struct cfg_front, cf, s->fronts) {
            const struct front_service *fs = &all[which++];
            const struct cfg_server *servers = site->servers.items;
            for (uint32_t k = 0; k < site->servers.count; k++) {
                list[at] = (struct backend){fs->name, s, &servers[k], HEALTH_UNCHECKED, OVERRIDE_NONE};
                checked[at++] =
                    (struct wire_server){cf->checks, fs->servers[k].at, s->name, site->site->index, s->index};
            }
        }
    }
    for (uint32_t i = 0; i < at; i++)
        for (uint32_t k = 0; k < f->backend_count; k++)
            if (strcmp(list[i].service, f->backends[k].service) == 0 &&
                strcmp(list[i].server->name, f->backends[k].server->name) == 0 && checked[i].checks)
                list[i].health = f->backends[k].health;
    free(f->backends);
    free(f->checked);
    f->backends = list;
    f->checked = checked;
    f->backend_count = at;
}

int front_publish(struct front *f, const struct config *c, struct buf *why)
{
    struct arena *a = arena_new();
    uint32_t n;
    struct front_service *all = make_all(f, a, c, &n);
    int err = frontend_publish(f->f, all, n, why);
    if (err) {
        arena_free(a);
        return err;
    }
    backends_make(f, c, all, n);
    front_slots_trim(f);
    arena_free(f->arena);
    f->arena = a;
    f->config = c;
    front_settle(f);
    for (uint32_t i = 0; i < f->backend_count; i++)
        apply(f, &f->backends[i]);
    return PM_OK;
}

/* ---- each second ---- */

static void report(struct model *m, const struct config *c, const char *name, unsigned active)
{
    const struct cfg_service *svc = config_service(c, name);
    if (!svc)
        return;
    uint32_t count, first = model_service_first_vip(m, svc->index, &count);
    for (uint32_t i = first; i < first + count; i++)
        if (strcmp(model_vip(m, i)->at->name, c->node.site) == 0)
            model_report(m, i, METRIC_CONNECTIONS, (float)active);
}

void front_second(struct front *f, struct model *m)
{
    struct frontend_service_view v;
    char name[256] = "";
    unsigned active = 0;
    for (unsigned i = 0; frontend_service_view(f->f, i, &v); i++) {
        size_t n = strcspn(v.service, "#");
        if (*name && (strlen(name) != n || strncmp(name, v.service, n) != 0)) {
            report(m, model_config(m), name, active);
            active = 0;
        }
        snprintf(name, sizeof name, "%.*s", (int)n, v.service);
        active += v.active;
    }
    if (*name)
        report(m, model_config(m), name, active);
    (void)frontend_reap(f->f);
}

/* ---- sockets ---- */

struct copying {
    struct listen_set *set;
    int err;
};

static void copy_socket(void *ctx, const struct endpoint *at, int fd)
{
    struct copying *c = ctx;
    int copy = c->err ? -1 : dup(fd);
    if (copy < 0) {
        c->err = PM_EIO;
        return;
    }
    c->set->items = mem_realloc(c->set->items, (c->set->count + 1) * sizeof *c->set->items);
    c->set->items[c->set->count++] = (struct listen_socket){.at = *at, .fd = copy, .proto = LISTEN_TCP};
}

int front_sockets(const struct front *f, struct listen_set *set)
{
    struct copying c = {set, PM_OK};
    frontend_sockets(f->f, copy_socket, &c);
    return c.err;
}
