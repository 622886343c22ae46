/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/choose.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include "relay/relay_internal.h"

static bool look(const struct bpf_map *map, const void *key, void *value)
{
    return bpf_map_lookup_elem(bpf_map__fd(map), key, value) == 0;
}

static bool vip_of(const struct relay *r, const struct relay_flow_key *k, struct relay_vip *out)
{
    struct relay_vip_key key = {.port = k->vip_port, .proto = k->proto};
    memcpy(key.addr, k->vip, 16);
    if (look(r->skel->maps.vips, &key, out))
        return true;
    key.port = 0;
    key.proto = 0;
    return look(r->skel->maps.vips, &key, out);
}

static bool resource(const struct relay *r, uint64_t text, uint32_t host, uint32_t kind, struct relay_choice *out)
{
    struct relay_resource_key key = {.text = text, .host = host, .kind = kind};
    struct relay_resource found;
    if (!look(r->skel->maps.resources, &key, &found))
        return false;
    out->resource = true;
    out->kind = (enum relay_resource_kind)kind;
    out->text = text;
    out->front = found.flags & RELAY_RESOURCE_FRONT;
    out->set = out->front ? RELAY_SETS_MAX : found.set;
    return true;
}

static bool resource_of(const struct relay *r, const struct relay_request *q, uint32_t host, struct relay_choice *out)
{
    bool found = false;
    for (uint32_t i = 0; !found && i < q->alpns; i++)
        found = resource(r, q->alpn[i], host, RELAY_RESOURCE_ALPN, out);
    found = found || resource(r, q->path, host, RELAY_RESOURCE_PATH, out);
    for (uint32_t i = q->prefixes; !found && i > 0; i--)
        found = resource(r, q->prefix[i - 1], host, RELAY_RESOURCE_PREFIX, out);
    return found || (q->suffix && resource(r, q->suffix, host, RELAY_RESOURCE_SUFFIX, out));
}

/* The name itself, the longest part of it behind a star, any other; *named: not the last. */
static bool host_of(const struct relay *r, const struct relay_request *q, uint32_t farm, bool *named, struct relay_host *out)
{
    uint32_t kind = q->h2c ? RELAY_HOST_H2C : 0;
    struct relay_host_key key = {.name = q->host, .farm = farm, .kind = kind};
    *named = q->named && look(r->skel->maps.hosts, &key, out);
    key.kind |= RELAY_HOST_BELOW;
    for (uint32_t i = q->labels; q->named && !*named && i > 0; i--) {
        key.name = q->label[i - 1];
        *named = look(r->skel->maps.hosts, &key, out);
    }
    key.kind = kind;
    key.name = 0;
    return *named || look(r->skel->maps.hosts, &key, out);
}

void relay_choose(const struct relay *r, const struct relay_flow_key *k, const struct relay_request *q,
                  struct relay_choice *out)
{
    struct relay_host host;
    *out = (struct relay_choice){.set = RELAY_SETS_MAX};
    if (!vip_of(r, k, &out->vip))
        return;
    out->relayed = true;
    out->set = out->vip.set;
    if (!q)
        return;
    if (!host_of(r, q, out->vip.farm, &out->named, &host)) {
        out->set = q->h2c ? RELAY_SETS_MAX : out->set;
        return;
    }
    out->host = host.id;
    if (q->h2c || !resource_of(r, q, host.id, out))
        out->set = host.set;
}

uint32_t relay_set_for(const struct relay *r, const struct relay_flow_key *k, const struct relay_request *q)
{
    struct relay_choice c;
    relay_choose(r, k, q, &c);
    return c.set;
}

uint32_t relay_pick(const struct relay *r, uint32_t set, uint32_t random)
{
    if (set >= RELAY_SETS_MAX || !r->ring[set].size)
        return RELAY_NODES_MAX;
    uint32_t node = r->ring[set].places[random % r->ring[set].size];
    return node < RELAY_NODES_MAX ? node : RELAY_NODES_MAX; /* a ring may be of places without anybody */
}

bool relay_set_has(const struct relay *r, uint32_t set, uint32_t node)
{
    struct relay_set s;
    if (set >= RELAY_SETS_MAX || !look(r->skel->maps.sets, &set, &s))
        return false;
    for (uint32_t i = 0; i < s.count && i < RELAY_MEMBERS_MAX; i++)
        if (s.member[i] == node)
            return true;
    return false;
}

uint32_t relay_places(const struct relay *r, uint32_t set, const uint32_t **places)
{
    *places = set < RELAY_SETS_MAX ? r->ring[set].places : NULL;
    return set < RELAY_SETS_MAX ? r->ring[set].size : 0;
}

uint32_t relay_self(const struct relay *r)
{
    return r->settings.self;
}

int relay_node_endpoint(const struct relay *r, uint32_t node, struct endpoint *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct relay_node n;
    if (node >= RELAY_NODES_MAX || !look(r->skel->maps.nodes, &node, &n))
        return PM_ENOTFOUND;
    *out = (struct endpoint){.port = RELAY_PORT};
    if (n.mode == RELAY_NODE_SELF) {
        out->addr = (struct addr){.family = ADDR_V4, .bytes = {127, 0, 0, 1}};
        return PM_OK;
    }
    if (n.mode != RELAY_NODE_L2 && n.mode != RELAY_NODE_HOPS)
        return PM_ENOTFOUND;
    bool v4 = memcmp(n.addr, mapped, 12) == 0;
    out->addr.family = v4 ? ADDR_V4 : ADDR_V6;
    memcpy(out->addr.bytes, v4 ? n.addr + 12 : n.addr, v4 ? 4 : 16);
    return PM_OK;
}

void relay_tag(const struct relay *r, struct handoff *h, const struct addr *to, const void *packet, uint32_t length)
{
    uint8_t address[16];
    __u64 words[HANDOFF_INNER_V6 / 8] = {0};
    const uint8_t *p = packet;
    uint32_t covered = handoff_covered(length && p[0] >> 4 == 4, length);
    memcpy(words, p, length < covered ? length : covered);
    h->version = HANDOFF_VERSION;
    h->key = (uint8_t)(r->settings.tag_key % HANDOFF_KEYS);
    h->tries = 0;
    relay_addr(address, to);
    h->tag = handoff_tag(&r->settings.tag[h->key], h, address, words);
}
