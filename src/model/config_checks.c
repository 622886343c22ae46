/* SPDX-License-Identifier: Apache-2.0 */
/* What the tables cannot say: keys that depend on each other, and names that must exist or must not be there twice. */
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include "model/config_build.h"
#include "model/snapshot.h"

void config_node_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct cfg_node *n = object;
    if (n->name)
        return;
    char name[HOST_NAME_MAX + 1] = "";
    if (gethostname(name, sizeof name - 1) || !name[0])
        strcpy(name, "localhost");
    n->name = conf_intern(ctx, name, strlen(name));
}

/* ---- places ---- */

static const struct conf_node *spot(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = conf_child(map, key);
    return n ? n : map;
}

/* A code of two letters, in upper case. */
static void code(struct conf_ctx *ctx, const struct conf_node *at, const char **field, bool continent)
{
    static const char *const continents = "AF AN AS EU NA OC SA ";
    const char *s = *field;
    if (!s)
        return;
    char up[4] = {0};
    bool ok = strlen(s) == 2;
    for (int i = 0; ok && i < 2; i++) {
        up[i] = (char)(s[i] & ~0x20);
        ok = up[i] >= 'A' && up[i] <= 'Z';
    }
    if (ok && continent) {
        up[2] = ' ';
        ok = strstr(continents, up) != NULL;
    }
    if (ok)
        *field = conf_intern(ctx, up, 2);
    else if (continent)
        conf_error(ctx, at, "'%s' is no continent, expected one of AF, AN, AS, EU, NA, OC, SA", s);
    else
        conf_error(ctx, at, "'%s' is no country code of two letters (ISO 3166)", s);
}

static void codes(struct conf_ctx *ctx, const struct conf_node *map, const char *key, const struct conf_list *list,
                  bool continent)
{
    const struct conf_node *value = conf_child(map, key);
    const struct conf_node *item = value && value->type == CONF_NODE_LIST ? value->first : value;
    const char **s = list->items;
    for (uint32_t i = 0; i < list->count && item; i++, item = item->next)
        code(ctx, item, &s[i], continent);
}

void config_site_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct cfg_site *s = object;
    const struct conf_node *serves = conf_child(node, "serves");
    code(ctx, spot(node, "country"), &s->country, false);
    code(ctx, spot(node, "continent"), &s->continent, true);
    codes(ctx, serves, "countries", &s->serves.countries, false);
    codes(ctx, serves, "continents", &s->serves.continents, true);
}

void config_override_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct cfg_geo_override *o = object;
    code(ctx, spot(node, "country"), &o->country, false);
    code(ctx, spot(node, "continent"), &o->continent, true);
    if (!o->prefixes.count)
        conf_error(ctx, node, "the key 'prefixes' is missing");
}

void config_csv_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct cfg_geo_csv *csv = object;
    bool prefix = false, first = false, last = false;
    if (strlen(csv->separator) != 1)
        conf_error(ctx, spot(node, "separator"), "a separator is one character");
    if (!csv->columns.count)
        return;
    const int *column = csv->columns.items;
    for (uint32_t i = 0; i < csv->columns.count; i++) {
        prefix |= column[i] == CFG_GEO_PREFIX;
        first |= column[i] == CFG_GEO_FIRST;
        last |= column[i] == CFG_GEO_LAST;
    }
    if (!prefix && !(first && last))
        conf_error(ctx, spot(node, "columns"), "the columns need 'prefix', or 'first' and 'last'");
}

/* ---- zones ---- */

/* RFC 1035, 3.3.13: the part before the @ is the first label, so its dots are escaped. */
static const char *rname(struct conf_ctx *ctx, const char *mail)
{
    struct buf b = BUF_INIT;
    const char *at = strrchr(mail, '@');
    for (const char *s = mail; *s; s++) {
        if (s < at && *s == '.')
            buf_putc(&b, '\\');
        buf_putc(&b, s == at ? '.' : *s);
    }
    const char *out = conf_intern(ctx, buf_str(&b), b.len);
    buf_fini(&b);
    return out;
}

void config_zone_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct cfg_zone *z = object;
    if (!z->mbox)
        z->mbox = arena_printf(conf_arena(ctx), "hostmaster%s%s", z->name[0] == '.' ? "" : ".", z->name);
    else if (strchr(z->mbox, '@'))
        z->mbox = rname(ctx, z->mbox);
    if (!z->mbox[0] || z->mbox[0] == '.' || strpbrk(z->mbox, " \t@\""))
        conf_error(ctx, spot(node, "mbox"), "this is not a mail address");
    if (!z->file && !z->ns.count)
        conf_error_mark(ctx, &z->mark, "zone '%s' needs a 'file', or 'ns' with its name servers", z->name);
}

/* ---- checks ---- */

void config_template_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    const struct cfg_check *k = object;
    if (k->flap_limit && k->flap_limit < 2)
        conf_error(ctx, spot(node, "flap-limit"), "a single change is no flapping: 0, or 2 and more");
}

/* ---- services ---- */

static void index_sites(struct config_build *b)
{
    struct cfg_site *s = b->config->sites.items;
    for (uint32_t i = 0; i < b->config->sites.count; i++) {
        s[i].index = i;
        map_put_str(&b->config->by_site, s[i].name, &s[i]);
    }
    b->sites_indexed = true;
}

static void index_zones(struct config_build *b)
{
    struct cfg_zone *z = b->config->zones.items;
    for (uint32_t i = 0; i < b->config->zones.count; i++) {
        z[i].index = i;
        const struct cfg_zone *before = map_put_str(&b->config->by_zone, z[i].name, &z[i]);
        if (before)
            conf_error_mark(b->ctx, &z[i].mark, "zone '%s' is here twice, first in line %u", z[i].name,
                            before->mark.line);
    }
    b->zones_indexed = true;
}

static const struct cfg_site *site_find(struct conf_ctx *ctx, const struct conf_mark *mark, const char *name)
{
    struct config_build *b = conf_user(ctx);
    if (!b->sites_indexed)
        index_sites(b);
    const struct cfg_site *s = map_get_str(&b->config->by_site, name);
    if (s)
        return s;
    struct conf_nearest near;
    struct map_slot slot;
    size_t at = 0;
    conf_nearest_init(&near, name);
    while (map_next(&b->config->by_site, &at, &slot))
        conf_nearest_try(&near, slot.key);
    conf_error_mark(ctx, mark, "unknown site '%s'%s", name, conf_nearest_hint(ctx, &near));
    return NULL;
}

const struct cfg_site *config_site_named(struct conf_ctx *ctx, const struct conf_node *map, const char *key,
                                         const char *name)
{
    struct conf_mark mark = conf_mark_of(ctx, spot(map, key));
    return site_find(ctx, &mark, name);
}

void config_service_site_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    enum { PAIRWISE = 256 }; /* larger sites are not looked through for addresses said twice */
    struct cfg_service_site *s = object;
    s->site = site_find(ctx, &s->mark, s->name);
    if (!s->site)
        return;
    if (!conf_child(node, "weight"))
        s->weight = s->site->weight;
    if (!conf_child(node, "cost"))
        s->cost = s->site->cost;
    const struct cfg_vip *v = s->vips.items;
    if (!s->vips.count)
        conf_error_mark(ctx, &s->mark, "no address at site '%s'", s->name);
    for (uint32_t i = 1; i < s->vips.count && i < PAIRWISE; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (addr_eq(&v[i].addr, &v[j].addr)) {
                char text[ADDR_TEXT];
                conf_error_mark(ctx, &s->mark, "address %s is here twice", addr_format(&v[i].addr, text));
                return;
            }
        }
    }
}

const struct cfg_zone *config_zone_of(const struct config *c, const char *name)
{
    for (const char *at = name; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL) {
        const struct cfg_zone *z = *at ? map_get_str(&c->by_zone, at) : NULL;
        if (z)
            return z;
    }
    return map_get_str(&c->by_zone, ".");
}

/* The zone one would add for a name: what is above it. */
static const char *zone_wanted(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot && dot[1] ? dot + 1 : name;
}

static const struct cfg_zone *zone_need(struct conf_ctx *ctx, const struct cfg_service *s, const char *name)
{
    struct config_build *b = conf_user(ctx);
    if (!b->zones_indexed)
        index_zones(b);
    const struct cfg_zone *z = config_zone_of(b->config, name);
    if (!z)
        conf_error_mark(ctx, &s->mark, "'%s' is under no zone: add `%s: {ns: [...]}` to `zones`", name,
                        zone_wanted(name));
    return z;
}

static void ttl_order(struct conf_ctx *ctx, const struct conf_node *node, uint32_t min, uint32_t max)
{
    if (min > max)
        conf_error(ctx, spot(node, conf_child(node, "min-ttl") ? "min-ttl" : "max-ttl"),
                   "min-ttl (%us) is greater than max-ttl (%us)", min, max);
}

void config_defaults_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct cfg_defaults *d = object;
    struct config_build *b = conf_user(ctx);
    const char *name = b->reg->default_policy;
    if (!name && b->reg->presets)
        name = b->reg->presets[0].name;
    if (!d->policy && name)
        d->policy = config_preset_policy(ctx, name);
    if (!d->checks)
        d->checks = ARENA_NEW(b->config->arena, struct cfg_checks);
    ttl_order(ctx, node, d->min_ttl_s, d->max_ttl_s);
}

/* Whether a key is said; `ttl: ~` is not. */
static bool said(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = conf_child(map, key);
    return n && !conf_is_null(n);
}

static void service_inherit(const struct conf_node *node, struct cfg_service *s, const struct cfg_defaults *d)
{
    if (!s->policy)
        s->policy = d->policy;
    if (!s->checks)
        s->checks = d->checks;
    if (!said(node, "ttl"))
        s->ttl_s = d->ttl_s;
    if (!said(node, "min-ttl"))
        s->min_ttl_s = d->min_ttl_s;
    if (!said(node, "max-ttl"))
        s->max_ttl_s = d->max_ttl_s;
    if (!said(node, "addresses"))
        s->addresses = d->addresses;
    if (!said(node, "all-down"))
        s->all_down = s->fallback.count ? CFG_ALL_DOWN_FALLBACK : d->all_down;
}

/* A snapshot numbers the candidates of a family by one byte, and no answer holds more. */
static void count_addresses(struct conf_ctx *ctx, const struct cfg_service *s)
{
    unsigned count[2] = {0, 0};
    CONFIG_EACH(struct cfg_service_site, at, s->sites)
        CONFIG_EACH(struct cfg_vip, vip, at->vips)
            count[vip->addr.family == ADDR_V6]++;
    for (unsigned f = 0; f < 2; f++)
        if (count[f] > SNAP_CANDS_MAX)
            conf_error_mark(ctx, &s->mark, "service '%s' has %u %s addresses, at most %d are possible", s->name, count[f],
                            f ? "IPv6" : "IPv4", SNAP_CANDS_MAX);
}

/* Only a server behind an address has a port of its own. */
static void checks_need_port(struct conf_ctx *ctx, const struct cfg_service *s, const struct cfg_checks *checks)
{
    for (uint32_t i = 0; checks && i < checks->count; i++)
        if (checks->items[i]->module.kind->wants && !checks->items[i]->port)
            conf_error_mark(ctx, &s->mark, "service '%s': its check '%s' needs a port", s->name, checks->items[i]->module.kind->name);
}

void config_service_check(struct conf_ctx *ctx, const struct conf_node *node, void *object)
{
    struct cfg_service *s = object;
    struct config_build *b = conf_user(ctx);
    service_inherit(node, s, &b->config->defaults);
    s->zone = zone_need(ctx, s, s->name);
    const char *const *alias = s->aliases.items;
    for (uint32_t i = 0; i < s->aliases.count; i++)
        (void)zone_need(ctx, s, alias[i]);
    ttl_order(ctx, node, s->min_ttl_s, s->max_ttl_s);
    struct cfg_service_site *site = s->sites.items;
    for (uint32_t i = 0; i < s->sites.count; i++)
        if (!site[i].priority)
            site[i].priority = i + 1;
    if (!s->sites.count)
        conf_error_mark(ctx, &s->mark, "service '%s' has no site", s->name);
    /* After an error in `defaults` there is none either, and that has been said. */
    if (!s->policy && !said(node, "policy") && !conf_diag_errors(conf_tree(ctx)->diag))
        conf_error_mark(ctx, &s->mark, "service '%s' has no policy, and there is no default", s->name);
    count_addresses(ctx, s);
    checks_need_port(ctx, s, s->checks);
    CONFIG_EACH(struct cfg_service_site, at, s->sites)
        CONFIG_EACH(struct cfg_vip, vip, at->vips)
            checks_need_port(ctx, s, vip->checks);
    config_fronts_check(ctx, s);
    if (s->all_down == CFG_ALL_DOWN_FALLBACK && !s->fallback.count)
        conf_error(ctx, spot(node, "all-down"), "all-down is 'fallback', but 'fallback' has no address");
}

static void name_take(struct config_build *b, struct cfg_service *s, const char *name)
{
    const struct cfg_service *before = map_get_str(&b->config->by_service, name);
    if (before)
        conf_error_mark(b->ctx, &s->mark, "the name '%s' is taken by the service at %s:%u:%u", name,
                        before->mark.file, before->mark.line, before->mark.column);
    else
        map_put_str(&b->config->by_service, name, s);
}

void config_finish(struct config_build *b, const struct conf_node *root)
{
    const struct conf_node *node = conf_child(root, "node");
    if (!b->sites_indexed)
        index_sites(b);
    if (node && b->config->node.site)
        (void)config_site_named(b->ctx, node, "site", b->config->node.site);
    if (!b->zones_indexed)
        index_zones(b);
    struct cfg_service *s = b->config->services.items;
    for (uint32_t i = 0; i < b->config->services.count; i++) {
        s[i].index = i;
        if (s[i].name)
            name_take(b, &s[i], s[i].name);
        const char *const *alias = s[i].aliases.items;
        for (uint32_t j = 0; j < s[i].aliases.count; j++)
            if (alias[j])
                name_take(b, &s[i], alias[j]);
    }
}
