/* SPDX-License-Identifier: Apache-2.0 */
/* Presence, who calls whom, and the whole of the NATS transport. */
#include "mesh/transport_nats.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/log.h"
#include "mesh/codec.h"
#include "mesh/nats_internal.h"

enum {
    TICK_MS = 250,
    TAKE_MAX = 256, /* messages before the loop gets to run again */
    PEERS_MAX = 4096,
    FORGET_MS = 60000,
    RETRY_MS = 250,
    RETRY_SHIFT_MAX = 6,
    REFUSED_AGAIN_MS = 60000,
    REMIND_MS = 3600 * 1000,
    LATE_MS = 1000,
    CALLS_MAX = 12, /* ours under way to nodes that never had a link: presence may be invented */
};

static void on_tick(uv_timer_t *timer);

/* ---- small things ---- */

void nats_subject_of(const struct mesh_nats *t, const char *node, char *out, size_t size)
{
    int n = snprintf(out, size, "%s.to.", t->prefix);
    size_t at = (size_t)n;
    for (; *node && at + 1 < size; node++)
        out[at++] = *node == '.' ? '~' : *node; /* a dot would begin a new word of the subject */
    out[at] = 0;
}

void nats_soon(struct mesh_nats *t, unsigned ms)
{
    if (!t->freeing &&
        (!uv_is_active((uv_handle_t *)&t->tick) || uv_timer_get_due_in(&t->tick) > ms))
        uv_timer_start(&t->tick, on_tick, ms, 0);
}

void nats_refused(struct mesh_nats *t, const char *peer, const char *why)
{
    uint64_t now = uv_now(t->loop);
    t->stats.refused++;
    if (t->refused_told && now - t->refused_told < REFUSED_AGAIN_MS)
        return;
    t->refused_told = now;
    log_warn("a call over NATS made no link", "peer", peer, "why", why, "times",
             LOG_U(t->stats.refused));
}

static void reap(struct mesh_nats *t)
{
    while (t->dead) {
        struct nats_link *l = t->dead;
        t->dead = l->next;
        nats_link_free(l);
    }
}

void mesh_nats_stats(const struct mesh_nats *t, struct mesh_nats_stats *out)
{
    struct nats_bus_state b;
    nats_bus_state(t->bus, &b);
    *out = t->stats;
    out->connects = b.connects;
    out->losses = b.losses;
    out->messages_in = b.messages_in;
    out->bytes_in = b.bytes_in;
    out->messages_out = b.messages_out;
    out->bytes_out = b.bytes_out;
    out->dropped_in = b.dropped_in;
    out->dropped_out = b.dropped_out;
    out->connected = b.connected;
    memcpy(out->server, b.server, sizeof out->server);
    out->nodes = (unsigned)t->peers.count;
}

/* ---- peers ---- */

static struct nats_peer *peer_of(struct mesh_nats *t, const char *name)
{
    struct nats_peer *p = map_get_str(&t->peers, name);
    if (p || t->peers.count >= PEERS_MAX)
        return p;
    p = mem_alloc(sizeof *p);
    p->t = t;
    snprintf(p->name, sizeof p->name, "%s", name);
    map_put_str(&t->peers, p->name, p);
    return p;
}

static bool is_heard(const struct nats_peer *p, uint64_t now)
{
    return p->life && now - p->heard_ms < p->t->o.silence_ms;
}

struct nats_peer *nats_name_proven(struct nats_link *l, const char *name)
{
    struct nats_peer *p = peer_of(l->t, name);
    if (p)
        p->heard_ms = uv_now(l->t->loop);
    return p;
}

static void set_call(struct nats_peer *p, struct nats_link *call)
{
    p->t->calling -= p->call != NULL;
    p->t->calling += call != NULL;
    p->call = call;
}

void nats_ready(struct nats_link *l)
{
    struct nats_peer *p = l->peer;
    struct nats_link *old = p->link, *call = p->call;
    p->link = l;
    p->proven = true;
    set_call(p, NULL);
    p->anew = false;
    p->failures = 0;
    if (call && call != l)
        nats_link_close(call, "the peer has called");
    if (old)
        nats_link_down(old, "replaced by a newer call");
}

void nats_gone(struct nats_peer *p, struct nats_link *l, bool failed)
{
    unsigned shift;
    uint64_t random = 0;
    if (p->link == l)
        p->link = NULL;
    if (p->call == l)
        set_call(p, NULL);
    p->failures = failed ? p->failures + 1 : 0;
    shift = p->failures > RETRY_SHIFT_MAX ? RETRY_SHIFT_MAX : p->failures;
    RAND_bytes((unsigned char *)&random, sizeof random);
    p->retry_ms = uv_now(p->t->loop) + (RETRY_MS << shift) / 2 + random % (RETRY_MS << shift);
}

static void say_here(struct mesh_nats *t, const char *subject, uint8_t flags)
{
    size_t node = strlen(t->node), region = strlen(t->region);
    struct nats_packet *p =
        nats_message(subject, NATS_HERE, 0, 0, 0, 8 + 1 + 1 + node + 1 + region);
    struct mesh_writer w = mesh_writer(p->data + NATS_HEAD, p->len - NATS_HEAD);
    mesh_put_int(&w, t->life, 8);
    mesh_put_int(&w, flags, 1);
    mesh_put_str(&w, mesh_str(t->node));
    mesh_put_str(&w, mesh_str(t->region));
    (void)nats_bus_send(t->bus, p);
    nats_packet_unref(p);
}

/* Calls, or asks to be called, if that is due. wanted: the link is. */
static void reach(struct nats_peer *p, bool wanted, uint64_t now)
{
    struct mesh_nats *t = p->t;
    char subject[sizeof((struct nats_link *)0)->subject];
    if ((p->link && !p->anew) || p->call || !wanted || !is_heard(p, now) || now < p->retry_ms)
        return;
    if (strcmp(t->node, p->name) < 0) {
        if (!p->proven && t->calling >= CALLS_MAX)
            return;
        p->anew = false;
        p->retry_ms = now + RETRY_MS;
        struct nats_link *call = nats_link_call(p);
        set_call(p, call && call->state != NATS_CLOSED ? call : NULL);
    } else if (!p->asked_ms || now - p->asked_ms >= t->o.presence_ms) {
        p->asked_ms = now;
        nats_subject_of(t, p->name, subject, sizeof subject);
        say_here(t, subject, NATS_CALL_ME);
    }
}

static bool in_our_region(const struct nats_peer *p)
{
    return strcmp(p->region, p->t->region) == 0;
}

/* One link at least goes into each region: through it the protocol learns who else is there. */
static void reach_all(struct mesh_nats *t, uint64_t now)
{
    struct map covered = MAP_INIT;
    struct map_slot slot;
    struct nats_peer *forget = NULL;
    for (size_t at = 0; map_next(&t->peers, &at, &slot);) {
        struct nats_peer *p = slot.value;
        if (p->link || p->call)
            map_put_str(&covered, p->region, p);
    }
    for (size_t at = 0; map_next(&t->peers, &at, &slot);) {
        struct nats_peer *p = slot.value;
        bool first = !in_our_region(p) && is_heard(p, now) && !map_get_str(&covered, p->region);
        reach(p, in_our_region(p) || p->needed || first, now);
        if (first)
            map_put_str(&covered, p->region, p);
        if (!p->link && !p->call && !p->needed && now - p->heard_ms > FORGET_MS)
            forget = p;
    }
    map_fini(&covered);
    if (forget) { /* one at a time: the map must not change while it is walked */
        map_del_str(&t->peers, forget->name);
        free(forget);
    }
}

/* ---- what comes in ---- */

static bool take_name(struct mesh_reader *r, char out[MESH_NAME_MAX + 1])
{
    struct mesh_str s = mesh_get_str(r);
    if (r->bad || s.n > MESH_NAME_MAX || !mesh_name_ok(s))
        return false;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

static void on_here(struct mesh_nats *t, struct mesh_reader *r)
{
    char name[MESH_NAME_MAX + 1], region[MESH_NAME_MAX + 1];
    uint64_t now = uv_now(t->loop), life = mesh_get(r, 8);
    uint8_t flags = (uint8_t)mesh_get(r, 1);
    if (!take_name(r, name) || !take_name(r, region) || !life) {
        t->stats.malformed++;
        return;
    }
    if (strcmp(name, t->node) == 0) {
        if (life != t->life)
            log_error("two balancers use one name", "node", name);
        return;
    }
    struct nats_peer *p = peer_of(t, name);
    if (!p)
        return;
    if (p->life && p->life != life) {
        p->anew = p->link != NULL;
        p->asked_ms = p->retry_ms = 0;
    }
    p->life = life;
    p->heard_ms = now;
    memcpy(p->region, region, sizeof region);
    reach(p, flags & NATS_CALL_ME || in_our_region(p) || p->needed, now);
}

/* So many strangers' calls at once and a second. */
static bool admit(struct mesh_nats *t)
{
    uint64_t now = uv_now(t->loop);
    double most = 2.0 * t->o.call_rate;
    t->call_tokens += (double)(now - t->calls_ms) * t->o.call_rate / 1000.0;
    t->call_tokens = t->call_tokens > most ? most : t->call_tokens;
    t->calls_ms = now;
    if (t->call_tokens < 1 || t->stats.half_open >= t->o.half_open) {
        t->stats.calls_over++;
        return false;
    }
    t->call_tokens -= 1;
    return true;
}

static void on_packet(struct mesh_nats *t, const uint8_t *data, size_t n)
{
    struct mesh_reader r = mesh_reader(data, n);
    uint64_t magic = mesh_get(&r, 2), version = mesh_get(&r, 1), type = mesh_get(&r, 1),
             id = mesh_get(&r, 8);
    uint32_t seq = (uint32_t)mesh_get(&r, 4), ack = (uint32_t)mesh_get(&r, 4);
    char name[MESH_NAME_MAX + 1];
    if (r.bad || magic != ('D' << 8 | 'N') || version != 1 || type < NATS_CALL ||
        type > NATS_HERE) {
        t->stats.malformed++;
        return;
    }
    if (type == NATS_HERE) {
        on_here(t, &r);
        return;
    }
    struct nats_link *l = map_get(&t->links, &id, sizeof id);
    if (type == NATS_CALL) {
        if (!take_name(&r, name) || strcmp(name, t->node) >= 0 || seq != 0 ||
            (l && l->link.called)) {
            t->stats.malformed++; /* only a lower name calls */
            return;
        }
        if (!l && admit(t))
            l = nats_link_accept(t, id, name);
    }
    if (l)
        nats_link_packet(l, (enum nats_type)type, seq, ack, r.p, (size_t)(r.end - r.p));
}

static void connection_changed(struct mesh_nats *t)
{
    struct nats_bus_state b;
    nats_bus_state(t->bus, &b);
    if (b.connected == t->was_connected) {
        if (!b.connected && *b.error)
            log_warn("no connection to the NATS cluster", "why", b.error);
        return;
    }
    t->was_connected = b.connected;
    if (b.connected) {
        log_notice("connected to the NATS cluster", "server", b.server);
        t->here_ms = 0; /* says so at once */
        nats_soon(t, 0);
    } else {
        log_warn("connection to the NATS cluster lost", "why", b.error);
    }
}

static void on_wake(void *ctx)
{
    struct mesh_nats *t = ctx;
    natsMsg *m;
    unsigned n = 0;
    connection_changed(t);
    while (n++ < TAKE_MAX && (m = nats_bus_take(t->bus))) {
        on_packet(t, (const uint8_t *)natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m));
        natsMsg_Destroy(m);
    }
    if (n > TAKE_MAX)
        nats_bus_again(t->bus);
    reap(t);
}

/* ---- time ---- */

/* A call may end any link, so after an end it begins anew; ticking twice does nothing. */
static void tick_links(struct mesh_nats *t, uint64_t now)
{
    for (struct nats_link *l = t->all, *next; l; l = next) {
        struct nats_link *dead = t->dead;
        next = l->next;
        if (l->state == NATS_UP && now >= t->grace_ms && now - l->peer->heard_ms >= t->o.silence_ms)
            nats_link_down(l, "not heard of any more");
        else
            nats_link_tick(l, now);
        if (t->dead != dead)
            next = t->all;
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct mesh_nats *t = timer->data;
    char subject[NATS_SUBJECT_MAX + 8];
    uint64_t now = uv_now(t->loop);
    nats_soon(t, TICK_MS);
    if (t->ticked_ms && now - t->ticked_ms >= LATE_MS) /* it was us who did not listen */
        t->grace_ms = now + t->o.silence_ms / 2;
    t->ticked_ms = now;
    if (t->was_connected && (!t->here_ms || now - t->here_ms >= t->o.presence_ms)) {
        t->here_ms = now;
        snprintf(subject, sizeof subject, "%s.here", t->prefix);
        say_here(t, subject, 0);
    }
    tick_links(t, now);
    if (now >= t->remind_ms) {
        t->remind_ms = now + REMIND_MS;
        (void)tls_context_remind(t->ssl, t->node, (int64_t)(clock_wall_ms(&clock_system) / 1000),
                                 &t->reminded_s);
    }
    if (now - t->told_ms >= TICK_MS) {
        t->told_ms = now;
        reach_all(t, now);
    }
    reap(t);
}

/* ---- the whole ---- */

static void set_default(unsigned *v, unsigned def)
{
    if (!*v)
        *v = def;
}

static void set_options(struct mesh_nats *t, const struct mesh_nats_options *o)
{
    t->o = (struct mesh_nats_options){.presence_ms = o->presence_ms,
                                      .silence_ms = o->silence_ms,
                                      .handshake_ms = o->handshake_ms,
                                      .stall_ms = o->stall_ms,
                                      .half_open = o->half_open,
                                      .call_rate = o->call_rate,
                                      .window_bytes = o->window_bytes,
                                      .inbound_bytes = o->inbound_bytes};
    set_default(&t->o.presence_ms, 2000);
    set_default(&t->o.silence_ms, 7000);
    set_default(&t->o.handshake_ms, 5000);
    set_default(&t->o.stall_ms, 15000);
    set_default(&t->o.half_open, 512);
    set_default(&t->o.call_rate, 200);
    if (!t->o.window_bytes)
        t->o.window_bytes = 256 * 1024;
    if (!t->o.inbound_bytes)
        t->o.inbound_bytes = 32 * 1024 * 1024;
    t->call_tokens = 2.0 * t->o.call_rate;
}

/* Words of letters, digits, '-' and '_' with dots between them. */
static bool prefix_ok(const char *s)
{
    struct mesh_str word = {s, 0};
    if (strlen(s) > NATS_SUBJECT_MAX)
        return false;
    for (;; s++) {
        if (*s && *s != '.') {
            word.n++;
            continue;
        }
        if (!mesh_name_ok(word))
            return false;
        if (!*s)
            return true;
        word = (struct mesh_str){s + 1, 0};
    }
}

static int check(const struct mesh_nats_options *o, struct buf *why)
{
    if (!o->node || strlen(o->node) > MESH_NAME_MAX || !mesh_name_ok(mesh_str(o->node)))
        buf_puts(why, "the mesh needs this node's name");
    else if (!o->region || strlen(o->region) > MESH_NAME_MAX || !mesh_name_ok(mesh_str(o->region)))
        buf_puts(why, "the mesh needs this node's region");
    else if (!o->subject || !prefix_ok(o->subject))
        buf_printf(why, "\"%s\" cannot be the first words of a NATS subject",
                   o->subject ? o->subject : "");
    else if (!o->server_count)
        buf_puts(why, "no server of the NATS cluster is named");
    else
        return PM_OK;
    return PM_EINVAL;
}

static int bus_start(struct mesh_nats *t, const struct mesh_nats_options *o, struct buf *why)
{
    char here[NATS_SUBJECT_MAX + 8], inbox[sizeof((struct nats_link *)0)->subject];
    snprintf(here, sizeof here, "%s.here", t->prefix);
    nats_subject_of(t, t->node, inbox, sizeof inbox);
    struct nats_bus_options b = {.name = t->node,
                                 .servers = o->servers,
                                 .server_count = o->server_count,
                                 .credentials = o->credentials,
                                 .ca = o->ca,
                                 .subjects = {inbox, here},
                                 .inbound_bytes = t->o.inbound_bytes,
                                 .outbound_bytes = 2 * t->o.inbound_bytes};
    return nats_bus_new(t->loop, &b, on_wake, t, &t->bus, why);
}

int mesh_nats_new(uv_loop_t *loop, const struct mesh_nats_options *o, mesh_nats_link_up *up,
                  void *ctx, struct mesh_nats **out, struct buf *why)
{
    SSL_CTX *ssl = NULL;
    int err = check(o, why);
    if (!err)
        err = tls_context(&o->files, o->node, &ssl, why);
    if (err)
        return err;
    struct mesh_nats *t = mem_alloc(sizeof *t);
    t->loop = loop;
    t->up = up;
    t->ctx = ctx;
    t->ssl = ssl;
    snprintf(t->node, sizeof t->node, "%s", o->node);
    snprintf(t->region, sizeof t->region, "%s", o->region);
    snprintf(t->prefix, sizeof t->prefix, "%s", o->subject);
    set_options(t, o);
    t->calls_ms = uv_now(loop);
    while (!t->life && RAND_bytes((unsigned char *)&t->life, sizeof t->life) == 1)
        ;
    err = bus_start(t, o, why);
    if (err) {
        SSL_CTX_free(ssl);
        free(t);
        return err;
    }
    uv_timer_init(loop, &t->tick);
    t->tick.data = t;
    t->handles = 2;
    uv_timer_start(&t->tick, on_tick, TICK_MS, 0);
    *out = t;
    return PM_OK;
}

void mesh_nats_need(struct mesh_nats *t, const char *name, bool needed)
{
    struct nats_peer *p = needed ? peer_of(t, name) : map_get_str(&t->peers, name);
    if (!p)
        return;
    if (!p->life && !p->heard_ms)
        p->heard_ms = uv_now(t->loop); /* to be forgotten some time */
    p->needed = needed;
    nats_soon(t, 0);
}

int mesh_nats_reload(struct mesh_nats *t, const struct tls_files *files, struct buf *why)
{
    SSL_CTX *ssl = NULL;
    int err = tls_context(files, t->node, &ssl, why);
    if (err)
        return err;
    SSL_CTX_free(t->ssl);
    t->ssl = ssl;
    t->reminded_s = 0;
    t->remind_ms = 0;
    for (struct nats_link *l = t->all, *next; l; l = next) {
        X509 *cert = l->state == NATS_UP ? SSL_get0_peer_certificate(l->ssl) : NULL;
        bool lost = cert && !tls_context_trusts(ssl, cert);
        next = l->next;
        if (lost)
            nats_link_down(l, "its authority is no longer trusted");
        if (lost)
            next = t->all; /* a call may have ended any of them */
    }
    return PM_OK;
}

static void handle_closed(void *ctx)
{
    struct mesh_nats *t = ctx;
    if (--t->handles == 0)
        free(t);
}

static void on_tick_closed(uv_handle_t *h)
{
    handle_closed(h->data);
}

void mesh_nats_free(struct mesh_nats *t)
{
    struct map_slot slot;
    if (!t)
        return;
    t->freeing = true;
    while (t->all)
        nats_link_close(t->all, "the node ends");
    reap(t);
    for (size_t at = 0; map_next(&t->peers, &at, &slot);)
        free(slot.value);
    map_fini(&t->peers);
    map_fini(&t->links);
    SSL_CTX_free(t->ssl);
    uv_close((uv_handle_t *)&t->tick, on_tick_closed);
    nats_bus_close(t->bus, handle_closed);
}
