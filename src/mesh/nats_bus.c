/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh/nats_bus.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/arena.h"

enum {
    CONNECT_MS = 2000,
    RECONNECT_MS = 250,
    PING_MS = 2000, /* a server that does not answer two of them is left */
    WRITE_MS = 4000,
    RECONNECT_BYTES =
        1024 * 1024, /* kept by libnats between two servers; the rest is sent again by us */
    LAST_WORDS_MS = 300,
};

struct queue_in {
    natsMsg **ring;
    size_t cap, at, count, bytes;
};

struct nats_bus {
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_t thread;
    unsigned refs; /* the loop's, and one for each thing of libnats that may still call; under the
                      lock */
    bool stopping;
    struct nats_bus_state state;
    struct queue_in in;
    struct nats_packet *first, *last;
    size_t out_bytes;

    natsOptions *options;
    natsConnection *conn;
    natsSubscription *subs[2];
    char *subjects[2];
    size_t inbound_bytes, outbound_bytes;

    uv_async_t async;
    bool ended;
    void (*wake)(void *ctx);
    void (*closed)(void *ctx);
    void *ctx;
};

/* ---- packets ---- */

struct nats_packet *nats_packet_new(const char *subject, size_t len)
{
    size_t n = strlen(subject) + 1;
    struct nats_packet *p = mem_alloc(sizeof *p + len + n);
    atomic_init(&p->refs, 1);
    p->len = len;
    p->subject = memcpy(p->data + len, subject, n);
    return p;
}

void nats_packet_unref(struct nats_packet *p)
{
    if (p && atomic_fetch_sub(&p->refs, 1) == 1)
        free(p);
}

/* ---- life ---- */

static void unref_unlock(struct nats_bus *b)
{
    bool last = --b->refs == 0;
    pthread_mutex_unlock(&b->lock);
    if (!last)
        return;
    while (b->in.count) {
        natsMsg_Destroy(b->in.ring[b->in.at]);
        b->in.at = (b->in.at + 1) % b->in.cap;
        b->in.count--;
    }
    free(b->in.ring);
    free(b->subjects[0]);
    free(b->subjects[1]);
    pthread_cond_destroy(&b->work);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* The async handle may be used until the loop has been told of the thread's end. */
static void wake_locked(struct nats_bus *b)
{
    if (!b->ended)
        uv_async_send(&b->async);
}

/* ---- what libnats calls, in its threads ---- */

static void grow(struct queue_in *q)
{
    size_t cap = q->cap ? q->cap * 2 : 64;
    natsMsg **ring = mem_alloc(cap * sizeof *ring);
    for (size_t i = 0; i < q->count; i++)
        ring[i] = q->ring[(q->at + i) % q->cap];
    free(q->ring);
    *q = (struct queue_in){ring, cap, 0, q->count, q->bytes};
}

static size_t weight(natsMsg *m)
{
    return (size_t)natsMsg_GetDataLength(m) + 256; /* with what libnats needs for it */
}

static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *ctx)
{
    struct nats_bus *b = ctx;
    size_t n = weight(m);
    pthread_mutex_lock(&b->lock);
    bool take = !b->stopping && b->in.bytes + n <= b->inbound_bytes;
    b->state.messages_in++;
    b->state.bytes_in += (size_t)natsMsg_GetDataLength(m);
    if (take) {
        if (b->in.count == b->in.cap)
            grow(&b->in);
        b->in.ring[(b->in.at + b->in.count++) % b->in.cap] = m;
        b->in.bytes += n;
        if (b->in.count == 1)
            wake_locked(b);
    } else {
        b->state.dropped_in++;
    }
    pthread_mutex_unlock(&b->lock);
    if (!take)
        natsMsg_Destroy(m);
}

static void set_connected(struct nats_bus *b, natsConnection *nc, bool yes)
{
    char server[sizeof b->state.server] = "";
    if (yes && natsConnection_GetConnectedUrl(nc, server, sizeof server) != NATS_OK)
        server[0] = 0;
    pthread_mutex_lock(&b->lock);
    if (yes)
        memcpy(b->state.server, server, sizeof server);
    b->state.connects += yes && !b->state.connected;
    b->state.losses += !yes && b->state.connected;
    b->state.connected = yes;
    if (yes)
        b->state.error[0] = 0;
    wake_locked(b);
    pthread_mutex_unlock(&b->lock);
}

static void on_connected(natsConnection *nc, void *ctx)
{
    set_connected(ctx, nc, true);
}

static void on_disconnected(natsConnection *nc, void *ctx)
{
    struct nats_bus *b = ctx;
    const char *error = NULL;
    natsStatus st = natsConnection_GetLastError(nc, &error);
    set_connected(b, nc, false);
    pthread_mutex_lock(&b->lock);
    snprintf(b->state.error, sizeof b->state.error, "%s",
             error && *error ? error : natsStatus_GetText(st));
    pthread_mutex_unlock(&b->lock);
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus err, void *ctx)
{
    struct nats_bus *b = ctx;
    pthread_mutex_lock(&b->lock);
    snprintf(b->state.error, sizeof b->state.error, "%s", natsStatus_GetText(err));
    b->state.dropped_in += err == NATS_SLOW_CONSUMER;
    wake_locked(b);
    pthread_mutex_unlock(&b->lock);
}

static void on_last_message(void *ctx)
{
    struct nats_bus *b = ctx;
    pthread_mutex_lock(&b->lock);
    unref_unlock(b);
}

static void on_conn_closed(natsConnection *nc, void *ctx)
{
    on_last_message(ctx);
}

/* ---- the writer thread ---- */

static bool wait_for(struct nats_bus *b, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&b->lock);
    if (!b->stopping)
        pthread_cond_timedwait(&b->work, &b->lock, &until);
    bool stopping = b->stopping;
    pthread_mutex_unlock(&b->lock);
    return stopping;
}

static natsStatus subscribe(struct nats_bus *b)
{
    for (unsigned i = 0; i < 2; i++) {
        natsStatus st =
            natsConnection_Subscribe(&b->subs[i], b->conn, b->subjects[i], on_message, b);
        if (st == NATS_OK)
            st = natsSubscription_SetOnCompleteCB(b->subs[i], on_last_message, b);
        if (st != NATS_OK)
            return st;
        pthread_mutex_lock(&b->lock);
        b->refs++;
        pthread_mutex_unlock(&b->lock);
        /* Ours is the queue with the bound; what waits here is on its way there. */
        natsSubscription_SetPendingLimits(b->subs[i], 65536, 8 * 1024 * 1024);
    }
    return NATS_OK;
}

static void disconnect(struct nats_bus *b)
{
    natsSubscription_Destroy(b->subs[0]);
    natsSubscription_Destroy(b->subs[1]);
    natsConnection_Destroy(b->conn);
    b->subs[0] = b->subs[1] = NULL;
    b->conn = NULL;
}

static natsStatus attempt(struct nats_bus *b)
{
    pthread_mutex_lock(&b->lock);
    b->refs++; /* for on_conn_closed */
    pthread_mutex_unlock(&b->lock);
    natsStatus st = natsConnection_Connect(&b->conn, b->options);
    if (!b->conn) {
        on_last_message(b);
        return st;
    }
    if (st == NATS_OK)
        set_connected(b, b->conn, true);
    st = subscribe(b);
    if (st != NATS_OK)
        disconnect(b);
    return st;
}

/* libnats tries all servers again and again by itself; what makes it give up at once is, say, a
 * credentials file. */
static bool connect_to_cluster(struct nats_bus *b)
{
    for (;;) {
        natsStatus st = attempt(b);
        if (st == NATS_OK)
            return true;
        pthread_mutex_lock(&b->lock);
        const char *detail = nats_GetLastError(&st);
        snprintf(b->state.error, sizeof b->state.error, "%s%s%s", natsStatus_GetText(st),
                 detail ? ": " : "", detail ? detail : "");
        wake_locked(b);
        pthread_mutex_unlock(&b->lock);
        if (wait_for(b, CONNECT_MS))
            return false;
    }
}

static void publish(struct nats_bus *b, struct nats_packet *p)
{
    natsStatus st = natsConnection_Publish(b->conn, p->subject, p->data, (int)p->len);
    size_t n = p->len;
    atomic_store(&p->busy, false);
    nats_packet_unref(p);
    pthread_mutex_lock(&b->lock);
    b->out_bytes -= n;
    if (st == NATS_OK) {
        b->state.messages_out++;
        b->state.bytes_out += n;
    } else {
        b->state.dropped_out++;
    }
    pthread_mutex_unlock(&b->lock);
}

static struct nats_packet *next_packet(struct nats_bus *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->first && !b->stopping)
        pthread_cond_wait(&b->work, &b->lock);
    struct nats_packet *p = b->first;
    if (p)
        b->first = p->next;
    if (!b->first)
        b->last = NULL;
    pthread_mutex_unlock(&b->lock);
    return p;
}

static void *writer(void *ctx)
{
    struct nats_bus *b = ctx;
    struct nats_packet *p;
    if (connect_to_cluster(b)) {
        while ((p = next_packet(b)))
            publish(b, p);
        natsConnection_FlushTimeout(b->conn, LAST_WORDS_MS);
        disconnect(b);
    }
    while ((p = next_packet(b)))
        nats_packet_unref(p);
    natsOptions_Destroy(b->options);
    nats_ReleaseThreadMemory();
    pthread_mutex_lock(&b->lock);
    b->ended = true;
    uv_async_send(&b->async);
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* ---- the loop's side ---- */

static natsStatus set_options(struct nats_bus *b, const struct nats_bus_options *o)
{
    natsOptions *n = NULL;
    natsStatus st = natsOptions_Create(&n);
    b->options = n;
    if (st == NATS_OK)
        st = natsOptions_SetServers(n, (const char **)(uintptr_t)o->servers, (int)o->server_count);
    if (st == NATS_OK && o->credentials)
        st = natsOptions_SetUserCredentialsFromFiles(n, o->credentials, NULL);
    if (st == NATS_OK && o->ca)
        st = natsOptions_SetSecure(n, true);
    if (st == NATS_OK && o->ca)
        st = natsOptions_LoadCATrustedCertificates(n, o->ca);
    if (st != NATS_OK)
        return st;
    natsOptions_SetName(n, o->name);
    natsOptions_SetTimeout(n, CONNECT_MS);
    natsOptions_SetPingInterval(n, PING_MS);
    natsOptions_SetMaxPingsOut(n, 2);
    natsOptions_SetWriteDeadline(n, WRITE_MS);
    natsOptions_SetAllowReconnect(n, true);
    natsOptions_SetMaxReconnect(n, -1);
    natsOptions_SetReconnectWait(n, RECONNECT_MS);
    natsOptions_SetReconnectJitter(n, RECONNECT_MS, RECONNECT_MS);
    natsOptions_SetReconnectBufSize(n, RECONNECT_BYTES);
    natsOptions_SetNoEcho(n, true);
    natsOptions_SetErrorHandler(n, on_error, b);
    natsOptions_SetDisconnectedCB(n, on_disconnected, b);
    natsOptions_SetReconnectedCB(n, on_connected, b);
    natsOptions_SetClosedCB(n, on_conn_closed, b);
    return natsOptions_SetRetryOnFailedConnect(n, true, on_connected, b);
}

static void on_async_closed(uv_handle_t *h)
{
    struct nats_bus *b = h->data;
    void (*closed)(void *ctx) = b->closed;
    void *ctx = b->ctx;
    pthread_mutex_lock(&b->lock);
    unref_unlock(b);
    closed(ctx);
}

static void on_async(uv_async_t *a)
{
    struct nats_bus *b = a->data;
    pthread_mutex_lock(&b->lock);
    bool ended = b->ended, stopping = b->stopping;
    pthread_mutex_unlock(&b->lock);
    if (!stopping) {
        b->wake(b->ctx);
    } else if (ended && !uv_is_closing((uv_handle_t *)a)) {
        pthread_join(b->thread, NULL);
        uv_close((uv_handle_t *)a, on_async_closed);
    }
}

static int fail(struct nats_bus *b, natsStatus st, struct buf *why)
{
    const char *detail = nats_GetLastError(NULL);
    buf_printf(why, "NATS: %s%s%s", natsStatus_GetText(st), detail && *detail ? ": " : "",
               detail ? detail : "");
    natsOptions_Destroy(b->options);
    free(b->subjects[0]);
    free(b->subjects[1]);
    free(b);
    return PM_EINVAL;
}

int nats_bus_new(uv_loop_t *loop, const struct nats_bus_options *o, void (*wake)(void *ctx),
                 void *ctx, struct nats_bus **out, struct buf *why)
{
    struct nats_bus *b = mem_alloc(sizeof *b);
    b->wake = wake;
    b->ctx = ctx;
    b->refs = 1;
    b->inbound_bytes = o->inbound_bytes;
    b->outbound_bytes = o->outbound_bytes;
    b->subjects[0] = mem_strdup(o->subjects[0]);
    b->subjects[1] = mem_strdup(o->subjects[1]);
    natsStatus st = set_options(b, o);
    if (st != NATS_OK)
        return fail(b, st, why);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->work, NULL);
    uv_async_init(loop, &b->async, on_async);
    b->async.data = b;
    if (pthread_create(&b->thread, NULL, writer, b) != 0)
        abort(); /* as without memory */
    *out = b;
    return PM_OK;
}

bool nats_bus_send(struct nats_bus *b, struct nats_packet *p)
{
    if (atomic_exchange(&p->busy, true))
        return false;
    pthread_mutex_lock(&b->lock);
    bool room = b->out_bytes + p->len <= b->outbound_bytes && !b->stopping;
    if (room) {
        atomic_fetch_add(&p->refs, 1);
        b->out_bytes += p->len;
        p->next = NULL;
        if (b->last)
            b->last->next = p;
        else
            b->first = p;
        b->last = p;
        pthread_cond_signal(&b->work);
    } else {
        b->state.dropped_out++;
        atomic_store(&p->busy, false);
    }
    pthread_mutex_unlock(&b->lock);
    return room;
}

natsMsg *nats_bus_take(struct nats_bus *b)
{
    natsMsg *m = NULL;
    pthread_mutex_lock(&b->lock);
    if (b->in.count) {
        m = b->in.ring[b->in.at];
        b->in.at = (b->in.at + 1) % b->in.cap;
        b->in.count--;
        b->in.bytes -= weight(m);
    }
    pthread_mutex_unlock(&b->lock);
    return m;
}

void nats_bus_again(struct nats_bus *b)
{
    uv_async_send(&b->async);
}

void nats_bus_close(struct nats_bus *b, void (*closed)(void *ctx))
{
    b->closed = closed;
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    pthread_cond_signal(&b->work);
    pthread_mutex_unlock(&b->lock);
}

void nats_bus_state(struct nats_bus *b, struct nats_bus_state *out)
{
    pthread_mutex_lock(&b->lock);
    *out = b->state;
    pthread_mutex_unlock(&b->lock);
}
