/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the relay would do with a request: its bytes are made as a client would send them and go through the packet
 * program's own reader (relay/request.h) and tables (relay/choose.h), so this cannot say otherwise than the kernel.
 */
#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "main/farm_catalog.h"
#include "main/farm_internal.h"
#include "main/front_internal.h"
#include "policy/compile.h"
#include "relay/choose.h"

enum {
    LATER_SHOWN = 100,
    TIMESTAMPS = 12, /* bytes of the option that most clients put into every segment */
};

struct asked {
    const struct farm *f;
    const struct api_request *q;
    struct endpoint at;
    struct relay_flow_key key;
    struct buf bytes;
    enum relay_reading reading;
    struct relay_request request;
    struct relay_choice choice;
    const struct farm_service *service; /* whose tables answered; NULL: nobody's */
    const struct farm_set *set;         /* NULL: the front end's */
    json_t *out;
};

static void put(struct asked *a, const char *key, json_t *value)
{
    json_object_set_new(a->out, key, value);
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

/* Where it goes and why, each once. */
static void verdict(struct asked *a, const char *goes_to, const char *why)
{
    put(a, "goes-to", json_string(goes_to));
    put(a, "why", json_string(why));
}

/* ---- the request ---- */

/* The address the client would come to: the URL's own, or the service's first one of the client's family. */
static bool find_address(struct asked *a, const struct cfg_service *service)
{
    a->at = (struct endpoint){a->q->address, a->q->port};
    const struct cfg_service_site *here = service ? front_own_site(a->f->config, service) : NULL;
    if (a->at.addr.family || !here)
        return a->at.addr.family != 0;
    CONFIG_EACH(struct cfg_vip, vip, here->vips)
        if (!a->at.addr.family || (a->q->client.family == vip->addr.family && a->at.addr.family != vip->addr.family))
            a->at.addr = vip->addr;
    return a->at.addr.family != 0;
}

static void put16(struct buf *b, size_t v)
{
    buf_putc(b, (char)(v >> 8));
    buf_putc(b, (char)v);
}

/*
 * The least that a browser says: RFC 8446 section 4.1.2, with the name unless it is an address (RFC 6066 section 3), and
 * the protocols it speaks (RFC 7301).
 */
static void make_hello(const struct api_request *q, struct buf *out)
{
    static const char alpn[] = "\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1";
    size_t name = q->address.family ? 0 : strlen(q->host), extensions = (name ? name + 9 : 0) + sizeof alpn - 1;
    size_t body = 2 + 32 + 1 + 4 + 2 + 2 + extensions;
    buf_add(out, "\x16\x03\x01", 3);
    put16(out, body + 4);
    buf_add(out, "\x01\0", 2);
    put16(out, body);
    buf_add(out, "\x03\x03", 2);
    for (int i = 0; i < 32; i++)
        buf_putc(out, 'r');
    buf_add(out, "\0\0\x02\x13\x01\x01\0", 7);
    put16(out, extensions);
    buf_add(out, alpn, sizeof alpn - 1);
    if (!name)
        return;
    put16(out, 0);
    put16(out, name + 5);
    put16(out, name + 3);
    buf_putc(out, 0);
    put16(out, name);
    buf_add(out, q->host, name);
}

static void make_request(struct asked *a)
{
    const struct api_request *q = a->q;
    bool v6 = q->address.family == ADDR_V6;
    if (q->tls)
        make_hello(q, &a->bytes);
    else
        buf_printf(&a->bytes, "%s %s HTTP/1.1\r\nHost: %s%s%s\r\n\r\n", q->method, buf_str(&q->target), v6 ? "[" : "",
                   q->host, v6 ? "]" : "");
    a->reading = relay_request_read(a->bytes.data, a->bytes.len, &a->request);
}

/* In words what the reader does not like; that it does not is its own verdict. */
static const char *odd_why(const struct api_request *q)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    const char *target = buf_str(&q->target);
    size_t path = strcspn(target, "?");
    bool known = false;
    for (size_t i = 0; i < PM_ARRAY_LEN(methods); i++)
        known |= strcmp(methods[i], q->method) == 0;
    if (q->tls)
        return "unusual: the TLS greeting is not read";
    if (!known)
        return "unusual: this method is not read by the packet program";
    if (q->target.len + 64 > RELAY_REQUEST_MAX)
        return "unusual: it is too long to be read";
    if (memchr(target, '%', path))
        return "unusual: an escape in the path may mean another path";
    for (size_t i = 0; i + 1 < path; i++)
        if (target[i] == '/' && (target[i + 1] == '/' || target[i + 1] == '.'))
            return "unusual: the path is not in its plain form";
    return "unusual: the packet program does not read it";
}

/* How many segments carry it tells who reads it. */
static const char *reader(const struct asked *a)
{
    uint32_t mss = a->f->config->relay.mtu - HANDOFF_OVER_V6 - (a->at.addr.family == ADDR_V4 ? 40 : 60) - TIMESTAMPS;
    uint32_t segments = ((uint32_t)a->bytes.len + mss - 1) / mss;
    return segments <= 1 ? "packet program" : segments <= ASSIST_SEGMENTS_MAX ? "daemon" : NULL;
}

static void tell_request(struct asked *a)
{
    const char *who = reader(a);
    put(a, "request",
        json_pack("{s:s, s:o, s:o, s:s, s:i, s:o}", "kind", a->q->tls ? "tls" : "http", "method",
                  a->q->tls ? json_null() : json_string(a->q->method), "target",
                  a->q->tls ? json_null() : json_string(buf_str(&a->q->target)), "host", a->q->host, "bytes",
                  (int)a->bytes.len, "read-by", text_or_null(who)));
}

/* ---- what the tables say ---- */

static void find_service(struct asked *a)
{
    const struct farm_plan *p = &a->f->plan;
    for (uint32_t i = 0; i < p->service_count && !a->service; i++) {
        const struct farm_service *s = &p->services[i];
        if (a->choice.host ? a->choice.host - s->host_id < s->host_count : farm_set_at(s, a->choice.set) != NULL)
            a->service = s;
    }
    if (a->service && a->choice.set < RELAY_SETS_MAX)
        a->set = farm_set_at(a->service, a->choice.set);
}

static bool resource_found(const struct asked *a, struct farm_resource *out, char text[FARM_RESOURCE_TEXT])
{
    const struct farm_service *s = a->service;
    if (!s || !a->choice.resource)
        return false;
    if (!s->tls)
        return farm_catalog_resource(a->f->catalog, s, a->choice.kind, a->choice.text, buf_str(&a->q->target), out, text);
    for (uint32_t i = 0; i < s->resource_count; i++) {
        const struct farm_resource *r = &s->resources[i];
        if (r->host != a->choice.host || r->kind != a->choice.kind || relay_text_hash(r->text, false) != a->choice.text)
            continue;
        *out = *r;
        return true;
    }
    return false;
}

static void tell_tables(struct asked *a)
{
    struct farm_resource r;
    char known[FARM_RESOURCE_TEXT], text[FARM_RESOURCE_TEXT];
    uint64_t hits = 0;
    bool found = resource_found(a, &r, known);
    put(a, "host",
        json_pack("{s:s, s:o}", "matched",
                  a->choice.named  ? "name"
                  : a->choice.host ? "default"
                                   : "none",
                  "service", text_or_null(a->service ? a->service->name : NULL)));
    if (found)
        (void)!relay_resource_hits(a->f->relay, r.host, r.kind, r.text, &hits);
    put(a, "resource",
        found ? json_pack("{s:s, s:s, s:b, s:I}", "kind", farm_resource_kind(&r), "text",
                          r.name ? farm_resource_text(&r, text) : r.text, "front", a->choice.front, "requests",
                          (json_int_t)hits)
              : json_null());
    put(a, "holders", a->service ? farm_holders(a->service, a->set ? a->set->holders : 0) : json_array());
    put(a, "directory",
        a->service && !a->service->tls ? farm_catalog_holders(a->f->catalog, a->service, buf_str(&a->q->target)) : json_null());
}

/* ---- what the policy said ---- */

struct telling {
    const struct farm_service *s;
    json_t *passes, *stages, *effects;
};

static void tell_stage(void *ctx, const struct stage *s, const void *params)
{
    struct telling *t = ctx;
    if (!s) { /* a new pass; params is its name */
        t->stages = json_array();
        json_array_append_new(t->passes, json_pack("{s:s, s:o}", "pass", (const char *)params, "stages", t->stages));
        return;
    }
    t->effects = json_array();
    json_array_append_new(
        t->stages, json_pack("{s:s, s:s, s:o}", "stage", s->object.name, "doc", s->object.doc, "effects", t->effects));
}

static void tell_effect(void *ctx, unsigned cand, enum trace_verb verb, const char *text)
{
    static const char *const verbs[] = {"kept", "removed", "scored", "weighed"};
    struct telling *t = ctx;
    const struct cfg_server *v = t->s->servers[cand].config;
    char address[ADDR_TEXT];
    json_array_append_new(t->effects, json_pack("{s:s, s:s, s:s, s:s}", "address", addr_format(&v->at.addr, address),
                                                "server", v->name, "did", verbs[verb], "why", text));
}

static void tell_policy(struct asked *a)
{
    union {
        struct snap_decision d;
        char room[DECISION_BYTES];
    } u;
    struct telling t = {.s = a->service, .passes = json_array()};
    farm_decide(a->f, a->service, a->set, &u.d, tell_stage, tell_effect, &t);
    put(a, "policy", text_or_null(a->service->policy->name));
    put(a, "passes", t.passes);
    put(a, "fallback", json_string(snap_fallback_name((enum snap_fallback)u.d.fallen_back)));
}

static void tell_nodes(struct asked *a, const double *share)
{
    const struct farm_service *s = a->service;
    json_t *list = json_array();
    for (uint32_t i = 0; i < s->server_count; i++) {
        const struct farm_node *n = &a->f->nodes[s->servers[i].node];
        char address[ADDR_TEXT];
        uint8_t health, word;
        front_server_state(a->f->front, s->name, s->servers[i].config->name, &health, &word);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:s, s:i, s:f}", "server",
                                              s->servers[i].config->name, "address", addr_format(&n->addr, address),
                                              "health", health_name((enum health)health), "override",
                                              override_name((enum override)word), "load",
                                              isnan(n->load) ? json_null() : json_real((double)n->load), "holds",
                                              a->set && (a->set->holders >> i & 1), "via", farm_mode_name(n), "mtu",
                                              (int)n->now.mtu, "share", share[i]));
    }
    put(a, "nodes", list);
}

/* ---- which node ---- */

/* The one it must be: the ring has no other, or it follows from the client's address. RELAY_NODES_MAX: a draw says. */
static uint32_t certain_node(const struct asked *a, const double *share)
{
    struct relay_flow_key key = {0};
    struct relay_flow flow;
    if (a->choice.vip.flags & RELAY_VIP_BY_CLIENT && a->q->client.family) {
        memcpy(key.client, a->key.client, sizeof key.client);
        return relay_flow(a->f->relay, &key, &flow) == PM_OK
                   ? flow.node
                   : relay_pick(a->f->relay, a->choice.set, relay_flow_hash(&a->key, true));
    }
    for (uint32_t i = 0; i < a->service->server_count; i++)
        if (share[i] >= 1)
            return a->service->servers[i].node;
    return RELAY_NODES_MAX;
}

static const char *no_node_why(const struct asked *a)
{
    uint8_t as = a->set->fallen_back;
    return as == FALLBACK_NONE || as == FALLBACK_DRAINED
               ? "no node that holds it may be used"
               : "no node that holds it is up, and the front end has better answers than a dead node";
}

/* ---- a later request ---- */

static json_t *later_for(const struct asked *a, const double *share, uint32_t set, bool front)
{
    const struct farm_service *s = a->service;
    const uint32_t *places;
    json_t *stays = json_array();
    uint32_t may = 0, size = front ? 0 : relay_places(a->f->relay, set, &places);
    for (uint32_t i = 0; i < s->server_count; i++) {
        if (share[i] <= 0)
            continue;
        may++;
        if (!front && relay_set_has(a->f->relay, set, s->servers[i].node))
            json_array_append_new(stays, json_string(s->servers[i].config->name));
    }
    const char *then = json_array_size(stays) == may ? "stay"
                       : !size                       ? "front end"
                       : json_array_size(stays)      ? "either"
                                                     : "move";
    return json_pack("{s:s, s:o, s:o}", "then", then, "stays-at", stays, "moves-to",
                     size ? farm_shares_view(a->f, s, set) : json_object());
}

struct later {
    const struct asked *a;
    const double *share;
    json_t *list;
};

static bool later_resource(void *ctx, const struct farm_resource *r)
{
    const struct later *l = ctx;
    char text[FARM_RESOURCE_TEXT];
    json_t *o = later_for(l->a, l->share, farm_set_of(l->a->service, r), r->front);
    json_object_set_new(o, "resource", json_string(farm_resource_text(r, text)));
    json_array_append_new(l->list, o);
    return json_array_size(l->list) < LATER_SHOWN;
}

static void tell_later(struct asked *a, const double *share)
{
    const struct farm_service *s = a->service;
    struct later l = {a, share, json_array()};
    farm_resources_each(a->f, s, later_resource, &l);
    json_t *other = later_for(a, share, s->any.index, s->all_front || s->default_front);
    json_object_set_new(other, "resource", json_string("*"));
    json_array_append_new(l.list, other);
    put(a, "later", l.list);
}

/* ---- all of it ---- */

static void at_nodes(struct asked *a)
{
    double share[FARM_SERVERS_MAX];
    const uint32_t *places;
    bool delayed = a->choice.vip.flags & RELAY_VIP_DELAYED;
    farm_shares(a->f, a->service, a->choice.set, share);
    tell_policy(a);
    tell_nodes(a, share);
    if (!relay_places(a->f->relay, a->choice.set, &places)) {
        verdict(a, delayed ? "front end" : "kernel", no_node_why(a));
        return;
    }
    uint32_t node = certain_node(a, share);
    put(a, "node", node < RELAY_NODES_MAX ? json_string(farm_node_name(a->f, a->service, node)) : json_null());
    put(a, "pinned", json_boolean(delayed && (a->request.stream || a->service->tls)));
    if (!delayed)
        verdict(a, "node", "every packet goes on as it is; the node answers the client itself");
    else if (a->request.stream)
        verdict(a, "node", "the connection is transferred by the name and the protocols in its TLS greeting");
    else
        verdict(a, "node", "the connection is transferred with this request");
    if (delayed && !a->request.stream && !a->service->tls)
        tell_later(a, share);
}

/* The table is not all there is to know, and says nothing particular of this. */
static bool left_out(const struct asked *a)
{
    const struct farm_service *s = a->service;
    bool moved = false;
    for (uint32_t i = 0; s && i < s->moved_count; i++)
        moved |= strncmp(buf_str(&a->q->target), s->moved[i], strlen(s->moved[i])) == 0;
    return s && s->default_front && !s->all_front && !moved;
}

static void by_request(struct asked *a)
{
    make_request(a);
    tell_request(a);
    put(a, "pinned", json_true()); /* until a node has it */
    if (a->reading != RELAY_READ_WHOLE) {
        verdict(a, "front end", odd_why(a->q));
        return;
    }
    relay_choose(a->f->relay, &a->key, &a->request, &a->choice);
    find_service(a);
    tell_tables(a);
    if (!reader(a))
        verdict(a, "front end", "it takes more segments than the daemon gathers");
    else if (a->choice.set >= RELAY_SETS_MAX && left_out(a))
        verdict(a, "front end", "the packet program's table does not have all resources (yet), and this is not in it");
    else if (a->choice.front && a->service && !a->service->all_front)
        verdict(a, "front end", "rewritten: what has moved is answered there");
    else if (a->choice.set >= RELAY_SETS_MAX)
        verdict(a, "front end", "rewritten: a rule with a pattern can be about any path, so all is answered there");
    else if (!a->service || !a->set)
        verdict(a, "node", "of a configuration before this one");
    else
        at_nodes(a);
}

static void by_packet(struct asked *a)
{
    find_service(a);
    if (a->service && a->set)
        at_nodes(a);
    else
        verdict(a, "node", "of a configuration before this one");
}

static void look(struct asked *a)
{
    struct endpoint client = {a->q->client.family ? a->q->client : (struct addr){.family = ADDR_V4}, 0};
    char text[ENDPOINT_TEXT];
    relay_flow_key_make(&a->key, &client, &a->at, IPPROTO_TCP);
    relay_choose(a->f->relay, &a->key, NULL, &a->choice);
    put(a, "vip", json_string(endpoint_format(&a->at, text)));
    if (!a->choice.relayed)
        verdict(a, "kernel", "nothing is relayed at that address and port");
    else if (a->choice.vip.flags & RELAY_VIP_DELAYED)
        by_request(a);
    else
        by_packet(a);
}

/* Whether any front end of the service wants a relay. */
static bool wants_relay(const struct farm *f, const struct cfg_service *s)
{
    bool wants = false;
    if (s && f->config && front_own_site(f->config, s))
        CONFIG_EACH(struct cfg_front, cf, s->fronts)
            wants |= cf->relay != CFG_RELAY_OFF;
    return wants;
}

json_t *farm_explain(const struct farm *f, const struct cfg_service *service, const struct api_request *q)
{
    struct asked a = {.f = f, .q = q};
    if (!wants_relay(f, service))
        return NULL;
    a.out = json_pack("{s:b}", "on", f->relay != NULL);
    if (!f->relay)
        verdict(&a, "front end", buf_str(&f->why));
    else if (find_address(&a, service))
        look(&a);
    else
        verdict(&a, "kernel", "the service has no address here");
    buf_fini(&a.bytes);
    return a.out;
}
