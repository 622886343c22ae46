/* SPDX-License-Identifier: Apache-2.0 */
/* Which servers hold what, as front end and relay understand it: paths for HTTP, names and protocols for TLS. */
#include <string.h>
#include "main/front_internal.h"
#include "model/holds.h"

enum { MASK_BITS = 64 };

bool front_reads_hello(const struct cfg_front *cf)
{
    return cf->mode == CFG_FRONT_TCP && cf->relay == CFG_RELAY_TRANSFER;
}

static uint64_t bit(uint32_t server)
{
    return server < MASK_BITS ? 1ull << server : 0;
}

/* ---- TLS: whole hosts ---- */

uint64_t front_name_holders(const struct cfg_service_site *at, const char *name)
{
    uint64_t named = 0, others = 0;
    uint32_t server = 0;
    CONFIG_EACH(struct cfg_server, v, at->servers) {
        const char *const *text = v->holds.items;
        bool whole = false, mine = false;
        for (uint32_t i = 0; i < v->holds.count; i++) {
            struct hold h;
            if (!hold_parse(text[i], &h) || !hold_is_whole(&h))
                continue;
            whole = true;
            mine |= hold_is_of(&h, name);
        }
        named |= mine ? bit(server) : 0;
        others |= whole ? 0 : bit(server);
        server++;
    }
    return named ? named : others;
}

static bool offers(const struct cfg_server *v, const char *protocol)
{
    for (uint32_t i = 0; i < v->alpn.count; i++)
        if (strcmp(((const char *const *)v->alpn.items)[i], protocol) == 0)
            return true;
    return false;
}

uint64_t front_alpn_holders(const struct cfg_service_site *at, const char *protocol)
{
    uint64_t mask = 0;
    uint32_t server = 0;
    CONFIG_EACH(struct cfg_server, v, at->servers) {
        mask |= (protocol ? offers(v, protocol) : !v->alpn.count) ? bit(server) : 0;
        server++;
    }
    return mask;
}

const char *const *front_alpn(struct arena *a, const struct cfg_service_site *at, uint32_t *count)
{
    uint32_t most = 0;
    *count = 0;
    CONFIG_EACH(struct cfg_server, v, at->servers)
        most += v->alpn.count;
    const char **list = arena_alloc(a, (most + 1) * sizeof *list);
    CONFIG_EACH(struct cfg_server, v, at->servers) {
        for (uint32_t i = 0; i < v->alpn.count; i++) {
            const char *name = ((const char *const *)v->alpn.items)[i];
            bool known = false;
            for (uint32_t k = 0; k < *count; k++)
                known |= strcmp(list[k], name) == 0;
            if (!known)
                list[(*count)++] = name;
        }
    }
    return list;
}

static void hello_holdings(struct arena *a, const struct cfg_service *s, const struct cfg_service_site *at,
                           struct front_service *out)
{
    uint32_t protocols, n = 0;
    const char *const *protocol = front_alpn(a, at, &protocols), *const *alias = s->aliases.items;
    struct front_holding *list = arena_alloc(a, (s->aliases.count + 2 + protocols) * sizeof *list);
    for (uint32_t i = 0; i <= s->aliases.count; i++) {
        const char *name = i ? alias[i - 1] : s->name;
        list[n++] = (struct front_holding){FRONT_HOLDS_NAME, name, front_name_holders(at, name)};
    }
    list[n++] = (struct front_holding){FRONT_HOLDS_NAME, "", front_name_holders(at, s->name)};
    for (uint32_t i = 0; i < protocols; i++)
        list[n++] = (struct front_holding){FRONT_HOLDS_ALPN, protocol[i], front_alpn_holders(at, protocol[i])};
    out->holders_else = front_alpn_holders(at, NULL);
    out->holdings = list;
    out->holding_count = n;
}

/* ---- HTTP: paths ---- */

bool front_differ(const struct cfg_service_site *at, const struct cfg_front *cf)
{
    bool any = cf->relay == CFG_RELAY_TRANSFER;
    CONFIG_EACH(struct cfg_server, v, at->servers)
        any |= v->holds.count > 0 || v->agent;
    return any && (cf->mode == CFG_FRONT_SERVE || cf->mode == CFG_FRONT_REDIRECT);
}

static void path_holdings(struct arena *a, const struct cfg_service_site *at, struct front_service *out)
{
    struct front_holding *list;
    uint32_t most = 0;
    const struct front_server *server = out->servers;
    CONFIG_EACH(struct cfg_server, v, at->servers)
        most += v->holds.count;
    list = arena_alloc(a, (most + 1) * sizeof *list);
    out->holdings = list;
    CONFIG_EACH(struct cfg_server, v, at->servers) {
        const char *const *text = v->holds.items;
        if (!v->holds.count)
            out->holders_else |= bit(server->slot);
        for (uint32_t i = 0; i < v->holds.count && server->slot < MASK_BITS; i++) {
            struct hold h;
            uint32_t k = 0;
            if (!hold_parse(text[i], &h))
                continue;
            while (k < out->holding_count && (list[k].kind != h.kind || strcmp(list[k].text, h.text) != 0))
                k++;
            if (k == out->holding_count)
                list[out->holding_count++] = (struct front_holding){(uint8_t)h.kind, h.text, 0};
            list[k].holders |= bit(server->slot);
        }
        server++;
    }
}

void front_make_holdings(struct arena *a, const struct cfg_service *s, const struct cfg_service_site *at,
                         struct front_service *out)
{
    if (out->hello)
        hello_holdings(a, s, at, out);
    else
        path_holdings(a, at, out);
}
