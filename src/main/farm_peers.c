/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The site's other balancers: each is told of connections as they begin, move and end, and of all there are when it has
 * started or was away (relay/share.h says how). What they tell is written into our own flow table, so that a packet that
 * comes here when one of them is gone, or when a router divides anew, finds its node.
 *
 *   ring of events ──> records ──> datagram, full or at the next tick (5 ms) ──> every peer
 *   flow table, a batch each 50 ms ─────────────────────────────────────────────> the one that has started
 *
 * Bounded on both sides: so many records per second, the rest is counted and found by asking nodes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/log.h"
#include "base/map.h"
#include "main/farm_internal.h"
#include "relay/share.h"

enum {
    RECORDS_PER_SECOND = 200000, /* 20 MB/s to each peer */
    DUMP_EVERY_MS = 50,          /* a batch of the table: a million connections in a quarter of a minute */
    SILENT_MS = 5000,            /* who was not heard for so long may have missed what was told */
    READ_AT_ONCE = 256,
    SOCKET_BYTES = 4 << 20, /* what arrives while the daemon does something else */
};

/* One line per thing that is counted for a peer: what `pointsman relay` and the metrics call it. */
#define PEER_COUNTERS(X)                                                                                                 \
    X(sent, "records-sent", "Connections told to the site's other balancers.")                                           \
    X(not_sent, "records-not-sent", "Connections not told: the socket was full, or there were too many at once.")        \
    X(dumps, "dumps", "How often a balancer was told of all connections, because it had started or was away.")           \
    X(received, "records-received", "Connections that other balancers told of.")                                         \
    X(taken, "records-taken", "Of those, what was news.")                                                                \
    X(unknown_node, "unknown-node", "Of those, at a node that is not configured here.")                                  \
    X(refused, "datagrams-refused", "Datagrams of peers that were not sealed with our key, or not for the first time.")

struct peer {
    struct endpoint at;
    struct share_receiver from;
    uint64_t heard_ms; /* 0: never */
    bool dumping;
    struct relay_cursor cursor;
    struct {
#define X(sym, name, help) uint64_t sym;
        PEER_COUNTERS(X)
#undef X
    } count;
};

struct farm_peers {
    struct farm *f;
    uv_poll_t poll;
    int fd;
    bool v4_only;
    struct share_sender sender;
    struct peer *peers;
    uint32_t count;
    struct share_record batch[SHARE_RECORDS_MAX];
    uint32_t batched;
    uint64_t second, in_second; /* records told */
    uint64_t dumped_ms, strangers;
    uint64_t marks[RELAY_SETS_MAX]; /* sets by what is in them; 0: not ours */
    struct map by_mark;
};

/* ---- sets have other numbers elsewhere ---- */

static void mark_set(struct farm_peers *p, const struct farm_service *s, const struct farm_set *set)
{
    uint64_t mark = hash_bytes(s->name, strlen(s->name), 1), holders = 0;
    for (uint32_t i = 0; i < s->server_count; i++)
        if (set->everything || set->holders >> i & 1)
            holders ^= hash_bytes(&s->servers[i].config->at.addr, sizeof(struct addr), 2);
    if (set->index >= RELAY_SETS_MAX)
        return;
    mark = hash_bytes(&holders, sizeof holders, mark) | 1;
    p->marks[set->index] = mark;
    (void)map_put(&p->by_mark, &p->marks[set->index], sizeof mark, &p->marks[set->index]);
}

static void mark_sets(struct farm_peers *p)
{
    map_fini(&p->by_mark);
    map_init(&p->by_mark);
    memset(p->marks, 0, sizeof p->marks);
    for (uint32_t i = 0; i < p->f->plan.service_count; i++) {
        const struct farm_service *s = &p->f->plan.services[i];
        mark_set(p, s, &s->any);
        for (uint32_t k = 0; k < s->set_count; k++)
            mark_set(p, s, &s->sets[k]);
    }
}

static uint32_t set_of(const struct farm_peers *p, uint64_t mark)
{
    const uint64_t *at = map_get(&p->by_mark, &mark, sizeof mark);
    return at ? (uint32_t)(at - p->marks) : RELAY_SETS_MAX; /* refused by its node, the front end has it */
}

static uint32_t node_of(const struct farm *f, const uint8_t addr[16])
{
    for (uint32_t i = 0; i < f->node_count; i++) {
        uint8_t at[16];
        if (!f->nodes[i].addr.family)
            continue;
        relay_addr(at, &f->nodes[i].addr);
        if (memcmp(at, addr, 16) == 0)
            return i;
    }
    return RELAY_NODES_MAX;
}

/* ---- telling ---- */

static void send_batch(struct farm_peers *p, struct peer *to, enum share_kind kind, const struct share_record *records,
                       uint32_t n)
{
    uint8_t datagram[SHARE_DATAGRAM];
    struct sockaddr_storage sa;
    size_t length = share_seal(&p->sender, clock_wall_ms(p->f->clock), kind, records, n, datagram);
    for (uint32_t i = 0; i < p->count && length; i++) {
        struct peer *peer = &p->peers[i];
        if (to && peer != to)
            continue;
        socklen_t size = endpoint_to_sockaddr(&peer->at, &sa);
        if (!p->v4_only && peer->at.addr.family == ADDR_V4) {
            struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(peer->at.port)};
            relay_addr(mapped.sin6_addr.s6_addr, &peer->at.addr);
            memcpy(&sa, &mapped, sizeof mapped);
            size = sizeof mapped;
        }
        bool sent = sendto(p->fd, datagram, length, MSG_DONTWAIT, (struct sockaddr *)&sa, size) == (ssize_t)length;
        peer->count.sent += sent ? n : 0;
        peer->count.not_sent += sent ? 0 : n;
    }
}

static void flush(struct farm_peers *p)
{
    if (p->batched)
        send_batch(p, NULL, SHARE_FLOWS, p->batch, p->batched);
    p->batched = 0;
}

static bool record_of(const struct farm_peers *p, const struct relay_flow_key *k, const struct relay_flow *v,
                      struct share_record *out)
{
    const struct farm *f = p->f;
    uint64_t now = clock_mono_ns(f->clock);
    if (v->state == RELAY_FLOW_ASSIST || v->state == RELAY_FLOW_SYN || (k->proto != IPPROTO_TCP && v->packets < RELAY_LASTING))
        return false;
    *out = (struct share_record){.key = *k, .flow = *v, .what = v->node == FARM_SELF ? SHARE_GONE : SHARE_FLOW};
    out->age_ms = now > v->seen_ns ? (uint32_t)((now - v->seen_ns) / 1000000) : 0;
    out->set = v->set < RELAY_SETS_MAX ? p->marks[v->set] : 0;
    if (v->node >= f->node_count)
        return v->node == FARM_SELF;
    relay_addr(out->node, &f->nodes[v->node].addr);
    return true;
}

/* A flood of datagrams leaves half of it to connections. */
static bool allowed(struct farm_peers *p, uint32_t n, bool tcp)
{
    uint64_t second = clock_mono_ms(p->f->clock) / 1000;
    if (second != p->second)
        p->in_second = 0;
    p->second = second;
    if (p->in_second + n > (tcp ? RECORDS_PER_SECOND : RECORDS_PER_SECOND / 2))
        return false;
    p->in_second += n;
    return true;
}

void farm_peers_event(struct farm *f, const struct relay_flow_key *k, const struct relay_flow *v)
{
    struct farm_peers *p = f->peers;
    if (!p || !record_of(p, k, v, &p->batch[p->batched]))
        return;
    if (!allowed(p, 1, k->proto == IPPROTO_TCP)) {
        for (uint32_t i = 0; i < p->count; i++)
            p->peers[i].count.not_sent++;
        return;
    }
    if (++p->batched == SHARE_RECORDS_MAX)
        flush(p);
}

struct dump {
    struct farm_peers *p;
    struct peer *to;
    struct share_record batch[SHARE_RECORDS_MAX];
    uint32_t count;
};

/* Our own front end's are nobody else's, and what has ended needs no successor. */
static bool dump_flow(void *arg, const struct relay_flow_key *k, const struct relay_flow *v)
{
    struct dump *d = arg;
    if (v->node == FARM_SELF || v->state == RELAY_FLOW_ENDED || !record_of(d->p, k, v, &d->batch[d->count]))
        return true;
    if (++d->count < SHARE_RECORDS_MAX)
        return true;
    if (allowed(d->p, d->count, true))
        send_batch(d->p, d->to, SHARE_FLOWS, d->batch, d->count);
    else
        d->to->count.not_sent += d->count;
    d->count = 0;
    return true;
}

static void dump_some(struct farm_peers *p, struct peer *to)
{
    struct dump *d = mem_alloc(sizeof *d);
    d->p = p;
    d->to = to;
    to->dumping = relay_flows_some(p->f->relay, &to->cursor, dump_flow, d);
    if (d->count)
        send_batch(p, to, SHARE_FLOWS, d->batch, d->count);
    free(d);
}

void farm_peers_tick(struct farm *f)
{
    struct farm_peers *p = f->peers;
    if (!p)
        return;
    flush(p);
    uint64_t now = clock_mono_ms(f->clock);
    if (now - p->dumped_ms < DUMP_EVERY_MS)
        return;
    p->dumped_ms = now;
    for (uint32_t i = 0; i < p->count; i++)
        if (p->peers[i].dumping)
            dump_some(p, &p->peers[i]);
}

void farm_peers_second(struct farm *f)
{
    if (f->peers)
        send_batch(f->peers, NULL, SHARE_HELLO, NULL, 0);
}

/* ---- hearing ---- */

static void hear_record(struct farm_peers *p, struct peer *from, const struct share_record *r)
{
    struct farm *f = p->f;
    struct relay_flow mine, out;
    bool have = relay_flow(f->relay, &r->key, &mine) == PM_OK;
    from->count.received++;
    if (r->what == SHARE_GONE) {
        if (have && share_takes(&mine, r, RELAY_NODES_MAX, RELAY_SETS_MAX, clock_mono_ns(f->clock), &out) &&
            relay_remove_flow(f->relay, &r->key) == PM_OK)
            from->count.taken++;
        return;
    }
    uint32_t node = node_of(f, r->node);
    if (node == RELAY_NODES_MAX)
        from->count.unknown_node++;
    else if (share_takes(have ? &mine : NULL, r, node, set_of(p, r->set), clock_mono_ns(f->clock), &out) &&
             relay_set_flow(f->relay, &r->key, &out) == PM_OK)
        from->count.taken++;
}

static void hear(struct farm_peers *p, struct peer *from, const uint8_t *bytes, size_t length)
{
    struct share_message m;
    uint64_t now = clock_mono_ms(p->f->clock);
    char text[ENDPOINT_TEXT];
    if (share_open(&from->from, p->f->secret, clock_wall_ms(p->f->clock), bytes, length, &m) != PM_OK) {
        if (!from->count.refused++)
            log_warn("a datagram of a balancer of the site is refused: another key, another time, or a copy", "peer",
                     endpoint_format(&from->at, text));
        return;
    }
    if (m.begun || now - from->heard_ms > SILENT_MS) {
        log_notice("another balancer of the site is heard, and told of all connections", "peer",
                   endpoint_format(&from->at, text), "started", m.begun ? "anew" : "before");
        from->dumping = true;
        from->cursor = (struct relay_cursor){0};
        from->count.dumps++;
    }
    from->heard_ms = now;
    for (uint32_t i = 0; i < m.count; i++)
        hear_record(p, from, &m.record[i]);
}

static struct peer *peer_at(struct farm_peers *p, const struct addr *a)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (addr_eq(&p->peers[i].at.addr, a))
            return &p->peers[i];
    return NULL;
}

static void on_datagram(uv_poll_t *poll, int status, int events)
{
    struct farm_peers *p = poll->data;
    uint8_t bytes[SHARE_DATAGRAM + 1];
    struct sockaddr_storage sa;
    for (int i = 0; i < READ_AT_ONCE; i++) {
        socklen_t size = sizeof sa;
        struct endpoint from;
        ssize_t n = recvfrom(p->fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&sa, &size);
        if (n < 0)
            return;
        struct peer *peer = endpoint_from_sockaddr((struct sockaddr *)&sa, &from) == PM_OK ? peer_at(p, &from.addr) : NULL;
        if (peer)
            hear(p, peer, bytes, (size_t)n);
        else
            p->strangers++;
    }
}

/* ---- life ---- */

static int listen_at(struct farm_peers *p, uint16_t port)
{
    static const int on = 1, off = 0, room = SOCKET_BYTES;
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    p->fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    p->v4_only = p->fd < 0;
    if (p->v4_only)
        p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    else
        (void)setsockopt(p->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    /* A process that takes over listens beside us for a moment. */
    (void)setsockopt(p->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    (void)setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    (void)setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    int err = p->v4_only ? bind(p->fd, (struct sockaddr *)&any4, sizeof any4)
                         : bind(p->fd, (struct sockaddr *)&any6, sizeof any6);
    return err ? err_from_errno(errno) : PM_OK;
}

static void peers_gone(uv_handle_t *h)
{
    struct farm_peers *p = h->data;
    map_fini(&p->by_mark);
    free(p->peers);
    free(p);
}

void farm_peers_free(struct farm_peers *p)
{
    if (!p)
        return;
    flush(p);
    uv_poll_stop(&p->poll);
    close(p->fd);
    uv_close((uv_handle_t *)&p->poll, peers_gone);
}

static struct farm_peers *peers_new(struct farm *f)
{
    struct farm_peers *p = mem_alloc(sizeof *p);
    p->f = f;
    map_init(&p->by_mark);
    int err = share_sender_init(&p->sender, f->secret, clock_wall_ms(f->clock));
    if (!err)
        err = listen_at(p, (uint16_t)f->config->relay.peer_port);
    if (err) {
        log_error("the site's other balancers cannot be heard, connections are not shared", "why", err_text(err));
        if (p->fd >= 0)
            close(p->fd);
        free(p);
        return NULL;
    }
    uv_poll_init(f->loop, &p->poll, p->fd);
    p->poll.data = p;
    uv_poll_start(&p->poll, UV_READABLE, on_datagram);
    return p;
}

/* By what is configured now; who stays keeps what is known of it. */
static void list_peers(struct farm_peers *p, const struct conf_list *wanted)
{
    const struct endpoint *at = wanted->items;
    struct peer *list = mem_alloc((wanted->count + 1) * sizeof *list);
    for (uint32_t i = 0; i < wanted->count; i++) {
        const struct peer *old = peer_at(p, &at[i].addr);
        if (old)
            list[i] = *old;
        list[i].at = at[i];
    }
    free(p->peers);
    p->peers = list;
    p->count = wanted->count;
}

void farm_peers_publish(struct farm *f)
{
    if (!f->loop || !f->relay)
        return;
    bool wanted = f->config->relay.peers.count;
    if (!wanted) {
        farm_peers_free(f->peers);
        f->peers = NULL;
        return;
    }
    if (!f->peers)
        f->peers = peers_new(f);
    if (!f->peers)
        return;
    list_peers(f->peers, &f->config->relay.peers);
    mark_sets(f->peers);
}

/* ---- what is shown ---- */

json_t *farm_peers_view(const struct farm *f)
{
    json_t *all = json_array();
    const struct farm_peers *p = f->peers;
    for (uint32_t i = 0; p && i < p->count; i++) {
        const struct peer *peer = &p->peers[i];
        char text[ENDPOINT_TEXT];
        json_t *one = json_pack("{s:s, s:n, s:n}", "peer", endpoint_format(&peer->at, text), "heard-ms-ago", "started");
        if (peer->heard_ms) {
            json_object_set_new(one, "heard-ms-ago", json_integer((json_int_t)(clock_mono_ms(f->clock) - peer->heard_ms)));
            json_object_set_new(one, "started", json_integer((json_int_t)peer->from.started_ms));
        }
#define X(sym, name, help) json_object_set_new(one, name, json_integer((json_int_t)peer->count.sym));
        PEER_COUNTERS(X)
#undef X
        json_array_append_new(all, one);
    }
    return all;
}

void farm_peers_metrics(const struct farm *f, api_metric_fn *fn, void *fn_ctx)
{
    const struct farm_peers *p = f ? f->peers : NULL;
    double heard = 0;
#define X(sym, name, help) uint64_t sym = 0;
    PEER_COUNTERS(X)
#undef X
    for (uint32_t i = 0; p && i < p->count; i++) {
        heard += p->peers[i].heard_ms && clock_mono_ms(f->clock) - p->peers[i].heard_ms < SILENT_MS;
#define X(sym, name, help) sym += p->peers[i].count.sym;
        PEER_COUNTERS(X)
#undef X
    }
#define X(sym, name, help) fn(fn_ctx, "pointsman_relay_peer_" #sym "_total", "", "counter", help, (double)sym);
    PEER_COUNTERS(X)
#undef X
    fn(fn_ctx, "pointsman_relay_peer_strangers_total", "", "counter", "Datagrams from addresses that are no peer's.",
       p ? (double)p->strangers : 0);
    fn(fn_ctx, "pointsman_relay_peers_heard", "", "gauge", "Balancers of the site heard in the last 5 seconds.", heard);
}
