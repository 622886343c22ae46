/* SPDX-License-Identifier: Apache-2.0 */
/* Peers of the TLS transport: calling them, and keeping one link for each. */
#include "mesh/transport_tls.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "base/arena.h"
#include "base/log.h"
#include "mesh/tls_internal.h"

enum { SETTLED_MS = 10000, BACKOFF_SHIFT_MAX = 10, STRANGERS_RATE = 10, REMIND_MS = 3600 * 1000 };

static void schedule(struct tls_peer *p, bool first);

/* ---- small things ---- */

static uint64_t random_next(struct mesh_tls *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random;
}

/* For both sides the same: whose call stays. */
static bool we_are_preferred(const struct tls_peer *p)
{
    return strcmp(p->t->node, p->name) < 0;
}

static const struct {
    const char *name, *text;
} refusals[] = {
#define X(sym, name, text) {name, text},
    MESH_TLS_REFUSALS(X)
#undef X
};

const char *mesh_tls_refusal_name(enum mesh_tls_refusal r)
{
    return (unsigned)r < MESH_TLS_REFUSAL_COUNT ? refusals[r].name : "unknown";
}

const struct mesh_tls_stats *mesh_tls_stats(const struct mesh_tls *t)
{
    return &t->stats;
}

void tls_refused(struct mesh_tls *t, enum mesh_tls_refusal why, const struct endpoint *remote, const char *peer,
                 const char *detail, bool known)
{
    char text[ENDPOINT_TEXT];
    unsigned times;
    t->stats.refused[why]++;
    /* Simultaneous calls end like this; a peer that cannot be reached at all is told as unreached. */
    if (known && why == MESH_TLS_CLOSED)
        return;
    if (tls_limit_log(&t->limit, &remote->addr, why, uv_now(t->loop), &times))
        log_warn("mesh connection refused", "cause", refusals[why].name, "address", endpoint_format(remote, text), "peer",
                 peer, "why", refusals[why].text, "detail", detail, "times", LOG_U(times));
}

void tls_handle_closed(struct mesh_tls *t)
{
    if (--t->handles == 0 && t->freeing) {
        SSL_CTX_free(t->ssl);
        free(t);
    }
}

/* ---- calling ---- */

static void on_dial(uv_timer_t *timer)
{
    struct tls_peer *p = timer->data;
    if (p->closing || p->link || p->call || !p->count)
        return;
    const struct endpoint *to = &p->at[p->next % p->count];
    p->next = (p->next + 1) % p->count;
    p->call = tls_conn_call(p, to);
    if (!p->call) {
        p->failures++;
        schedule(p, false);
    }
}

/* The preferred side calls at once, the other waits a little: mostly one call is made. */
static void schedule(struct tls_peer *p, bool first)
{
    struct mesh_tls *t = p->t;
    unsigned shift = p->failures > BACKOFF_SHIFT_MAX ? BACKOFF_SHIFT_MAX : p->failures;
    uint64_t delay = (uint64_t)t->o.dial_min_ms << shift;
    if (delay > t->o.dial_max_ms)
        delay = t->o.dial_max_ms;
    delay = first && we_are_preferred(p) ? 0 : delay / 2 + random_next(t) % (delay + 1);
    if (!p->closing && p->count)
        uv_timer_start(&p->timer, on_dial, delay, 0);
}

void tls_gone(struct tls_conn *c, bool lost)
{
    struct tls_peer *p = c->peer;
    if (!p || p->closing || p->link || p->call)
        return;
    bool settled = c->up_ms && uv_now(p->t->loop) - c->up_ms >= SETTLED_MS;
    p->failures = settled || !lost ? 0 : p->failures + 1;
    schedule(p, false);
}

/* ---- one link per peer (the rule is in the header) ---- */

bool tls_name_proven(struct tls_conn *c, const char *name)
{
    struct mesh_tls *t = c->t;
    enum mesh_tls_refusal cause;
    struct tls_peer *p = map_get_str(&t->by_name, name);
    if (c->link.called && strcmp(c->peer->name, name) != 0)
        cause = MESH_TLS_NAME;
    else if (!p || p->closing)
        cause = MESH_TLS_STRANGER;
    else {
        c->peer = p;
        return true;
    }
    tls_refused(t, cause, &c->remote, c->link.called ? c->peer->name : NULL, name, c->known);
    tls_conn_close(c);
    if (c->peer)
        tls_gone(c, true);
    return false;
}

/* Whether what is there already stays, and the new one goes. */
static bool old_one_stays(const struct tls_conn *old, const struct tls_conn *fresh)
{
    const struct mesh_tls *t = old->t;
    bool young = uv_now(t->loop) - old->up_ms < 2 * (uint64_t)t->o.handshake_ms;
    return old->link.called != fresh->link.called && young && old->link.called == we_are_preferred(fresh->peer);
}

/* True: c goes. Else whatever was in its way is gone. */
static bool give_way(struct tls_conn *c)
{
    struct tls_peer *p = c->peer;
    struct tls_conn *call = p->call == c ? NULL : p->call;
    p->t->stats.duplicates += call || p->link;
    if (call && we_are_preferred(p) && call->state != TLS_CONNECTING)
        return true;
    if (call)
        tls_conn_close(call);
    if (p->link && old_one_stays(p->link, c))
        return true;
    if (p->link)
        tls_conn_down(p->link, "replaced by a newer connection");
    return c->state == TLS_CLOSED; /* the user may have closed what it likes */
}

void tls_ready(struct tls_conn *c)
{
    struct tls_peer *p = c->peer;
    struct mesh_tls *t = c->t;
    char text[ENDPOINT_TEXT];
    if (give_way(c)) {
        tls_conn_close(c);
        tls_gone(c, true);
        return;
    }
    if (p->call == c)
        p->call = NULL;
    p->link = c;
    uv_timer_stop(&p->timer);
    log_notice("link up", "peer", p->name, "address", endpoint_format(&c->remote, text), "called",
               c->link.called ? "by us" : "by the peer");
    tls_conn_up(c);
    t->up(t->ctx, &c->link);
}

/* ---- peers ---- */

static void on_peer_closed(uv_handle_t *h)
{
    struct tls_peer *p = h->data;
    struct mesh_tls *t = p->t;
    free(p->at);
    free(p);
    tls_handle_closed(t);
}

static void peer_close(struct tls_peer *p, const char *why)
{
    p->closing = true;
    map_del_str(&p->t->by_name, p->name);
    if (p->call)
        tls_conn_close(p->call);
    if (p->link && why)
        tls_conn_down(p->link, why);
    else if (p->link)
        tls_conn_close(p->link);
    /* Whoever was on the way to a name has not looked it up; whoever has is the link. */
    uv_close((uv_handle_t *)&p->timer, on_peer_closed);
}

static struct tls_peer *peer_new(struct mesh_tls *t, const char *name)
{
    struct tls_peer *p = mem_alloc(sizeof *p);
    p->t = t;
    memcpy(p->name, name, strlen(name) + 1);
    uv_timer_init(t->loop, &p->timer);
    p->timer.data = p;
    t->handles++;
    map_put_str(&t->by_name, p->name, p);
    t->peers = mem_realloc(t->peers, (t->peer_count + 1) * sizeof *t->peers);
    t->peers[t->peer_count++] = p;
    return p;
}

static void peer_set(struct tls_peer *p, const struct mesh_tls_peer *to)
{
    size_t bytes = to->count * sizeof *to->at;
    bool same = p->count == to->count && (!bytes || memcmp(p->at, to->at, bytes) == 0);
    p->wanted = true;
    if (same && p->count)
        return;
    free(p->at);
    p->at = mem_alloc(bytes + 1);
    for (size_t i = 0; i < to->count; i++) { /* by member: padding must not count as a difference next time */
        p->at[i].addr = to->at[i].addr;
        p->at[i].port = to->at[i].port;
    }
    p->count = to->count;
    p->next = 0;
    p->failures = 0;
    if (!p->link && !p->call)
        schedule(p, true);
}

static int check_peers(const struct mesh_tls *t, const struct mesh_tls_peer *peers, size_t n, struct buf *why)
{
    struct map seen = MAP_INIT;
    static char mark;
    int err = PM_OK;
    for (size_t i = 0; i < n && !err; i++) {
        const char *name = peers[i].name;
        if (!*name || strlen(name) > MESH_NAME_MAX)
            buf_printf(why, "\"%s\" cannot be a peer's name", name);
        else if (strcmp(name, t->node) == 0)
            buf_printf(why, "peer \"%s\" is this node itself", name);
        else if (map_put_str(&seen, name, &mark))
            buf_printf(why, "peer \"%s\" is named twice", name);
        else
            continue;
        err = PM_EINVAL;
    }
    map_fini(&seen);
    return err;
}

static void learn_addresses(struct mesh_tls *t)
{
    map_fini(&t->known);
    map_init(&t->known);
    for (size_t i = 0; i < t->peer_count; i++)
        for (size_t k = 0; k < t->peers[i]->count; k++)
            map_put(&t->known, &t->peers[i]->at[k].addr, sizeof t->peers[i]->at[k].addr, t->peers[i]);
}

int mesh_tls_peers(struct mesh_tls *t, const struct mesh_tls_peer *peers, size_t n, struct buf *why)
{
    size_t kept = 0;
    int err = check_peers(t, peers, n, why);
    if (err)
        return err;
    map_fini(&t->known); /* its keys are about to move */
    map_init(&t->known);
    for (size_t i = 0; i < t->peer_count; i++)
        t->peers[i]->wanted = false;
    for (size_t i = 0; i < n; i++) {
        struct tls_peer *p = map_get_str(&t->by_name, peers[i].name);
        peer_set(p ? p : peer_new(t, peers[i].name), &peers[i]);
    }
    size_t count = t->peer_count;
    for (size_t i = 0; i < count; i++) {
        struct tls_peer *p = t->peers[i];
        if (p->wanted)
            t->peers[kept++] = p;
        else
            peer_close(p, "no longer a peer");
    }
    t->peer_count = kept;
    learn_addresses(t);
    return PM_OK;
}

/* ---- the whole ---- */

static void set_default(unsigned *v, unsigned def)
{
    if (!*v)
        *v = def;
}

static void set_options(struct mesh_tls *t, const struct mesh_tls_options *o)
{
    t->o = *o;
    t->o.node = NULL;
    t->o.files = (struct tls_files){NULL, NULL, NULL};
    t->o.listen = NULL;
    t->o.inherited = NULL;
    set_default(&t->o.handshake_ms, 5000);
    set_default(&t->o.keepalive_ms, 2000);
    set_default(&t->o.silence_ms, 7000);
    set_default(&t->o.stall_ms, 30000);
    set_default(&t->o.dial_min_ms, 250);
    set_default(&t->o.dial_max_ms, 15000);
    set_default(&t->o.half_open, 256);
    set_default(&t->o.half_open_per_address, 16);
    set_default(&t->o.rate_per_address, 20);
    if (!t->o.queue_bytes)
        t->o.queue_bytes = 1024 * 1024;
    if (t->o.queue_bytes < 2 * (size_t)MESH_MESSAGE_MAX)
        t->o.queue_bytes = 2 * (size_t)MESH_MESSAGE_MAX; /* or the longest message would never fit */
    t->limit.open_max = t->o.half_open;
    t->limit.open_per_address = t->o.half_open_per_address;
    t->limit.rate_per_address = t->o.rate_per_address;
    t->limit.rate = STRANGERS_RATE * t->o.rate_per_address;
}

static int64_t wall_s(void)
{
    return (int64_t)(clock_wall_ms(&clock_system) / 1000);
}

static void use_context(struct mesh_tls *t, SSL_CTX *ctx)
{
    SSL_CTX_free(t->ssl);
    t->ssl = ctx;
    t->reminded_s = 0;
    t->stats.certificate_until_s = tls_context_remind(ctx, t->node, wall_s(), &t->reminded_s);
}

static void on_remind(uv_timer_t *timer)
{
    struct mesh_tls *t = timer->data;
    (void)tls_context_remind(t->ssl, t->node, wall_s(), &t->reminded_s);
}

int mesh_tls_new(uv_loop_t *loop, const struct mesh_tls_options *o, mesh_tls_link_up *up, void *ctx, struct mesh_tls **out,
                 struct buf *why)
{
    SSL_CTX *ssl = NULL;
    if (!o->node || !*o->node || strlen(o->node) > MESH_NAME_MAX) {
        buf_puts(why, "the mesh needs this node's name");
        return PM_EINVAL;
    }
    int err = tls_context(&o->files, o->node, &ssl, why);
    if (err)
        return err;
    struct mesh_tls *t = mem_alloc(sizeof *t);
    t->loop = loop;
    t->up = up;
    t->ctx = ctx;
    memcpy(t->node, o->node, strlen(o->node) + 1);
    set_options(t, o);
    tls_limit_init(&t->limit, uv_now(loop));
    map_init(&t->by_name);
    map_init(&t->known);
    if (getrandom(&t->random, sizeof t->random, 0) != sizeof t->random)
        t->random = uv_hrtime();
    t->random |= 1;
    uv_timer_init(loop, &t->pause);
    t->pause.data = t;
    uv_timer_init(loop, &t->remind);
    t->remind.data = t;
    uv_timer_start(&t->remind, on_remind, REMIND_MS, REMIND_MS);
    uv_unref((uv_handle_t *)&t->remind);
    t->handles = 2;
    use_context(t, ssl);
    err = tls_listen_set(t, o, true, why);
    if (err) {
        mesh_tls_free(t);
        return err;
    }
    *out = t;
    return PM_OK;
}

/* Who was signed by an authority that is no longer ours goes; whose certificate has merely ended stays until it calls anew. */
static void drop_untrusted(struct mesh_tls *t)
{
    for (size_t i = 0; i < t->peer_count; i++) {
        struct tls_conn *c = t->peers[i]->link;
        X509 *cert = c ? SSL_get0_peer_certificate(c->ssl) : NULL;
        if (cert && !tls_context_trusts(t->ssl, cert))
            tls_conn_down(c, "its authority is no longer trusted");
    }
}

int mesh_tls_reload(struct mesh_tls *t, const struct mesh_tls_options *o, struct buf *why)
{
    SSL_CTX *ssl = NULL;
    if (strcmp(o->node, t->node) != 0) {
        buf_puts(why, "this node's name in the mesh changes only with a restart");
        return PM_EINVAL;
    }
    int err = tls_context(&o->files, t->node, &ssl, why);
    if (!err)
        err = tls_listen_set(t, o, false, why);
    if (err) {
        SSL_CTX_free(ssl);
        return err;
    }
    set_options(t, o);
    use_context(t, ssl);
    drop_untrusted(t);
    return PM_OK;
}

static void on_timer_closed(uv_handle_t *h)
{
    tls_handle_closed(h->data);
}

void mesh_tls_free(struct mesh_tls *t)
{
    if (!t)
        return;
    t->freeing = true;
    tls_listen_close(t);
    for (size_t i = 0; i < t->peer_count; i++)
        peer_close(t->peers[i], NULL);
    free(t->peers);
    t->peers = NULL;
    while (t->conns)
        tls_conn_close(t->conns);
    map_fini(&t->by_name);
    map_fini(&t->known);
    uv_close((uv_handle_t *)&t->pause, on_timer_closed);
    uv_close((uv_handle_t *)&t->remind, on_timer_closed);
}
