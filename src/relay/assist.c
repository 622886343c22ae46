/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/assist.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/map.h"
#include "relay/choose.h"
#include "relay/request.h"

struct segment {
    uint32_t seq, ack, data_at, data_len, length; /* data_at: of the packet's first byte of data */
    uint8_t *packet;                         /* from the IP header on */
};

struct gathering {
    struct relay_flow_key key;
    struct relay_flow flow;
    uint32_t farm_set, farm_all;
    uint64_t since_ms;
    struct segment segment[ASSIST_SEGMENTS_MAX];
    uint32_t count;
};

struct assist {
    struct relay *relay;
    int v4, v6; /* UDP sockets */
    struct map by_flow;
    assist_told_fn *told;
    void *told_arg;
    struct assist_counts counts;
};

int assist_new(struct relay *r, assist_told_fn *told, void *arg, struct assist **out)
{
    static const int on = 1;
    struct assist *a = mem_alloc(sizeof *a);
    a->relay = r;
    a->told = told;
    a->told_arg = arg;
    a->v4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    a->v6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->v4 < 0) {
        int err = err_from_errno(errno);
        assist_free(a);
        return err;
    }
    (void)setsockopt(a->v4, SOL_SOCKET, SO_NO_CHECK, &on, sizeof on); /* the tag is the check */
    *out = a;
    return PM_OK;
}

static void gathering_free(struct assist *a, struct gathering *g)
{
    (void)map_del(&a->by_flow, &g->key, sizeof g->key);
    for (uint32_t i = 0; i < g->count; i++)
        free(g->segment[i].packet);
    free(g);
}

void assist_free(struct assist *a)
{
    struct map_slot slot;
    if (!a)
        return;
    for (size_t at = 0; map_next(&a->by_flow, &at, &slot); at = 0)
        gathering_free(a, slot.value);
    map_fini(&a->by_flow);
    if (a->v4 >= 0)
        close(a->v4);
    if (a->v6 >= 0)
        close(a->v6);
    free(a);
}

/* ---- packets ---- */

static bool segment_read(const uint8_t *packet, uint32_t length, struct segment *out)
{
    bool v4 = length && packet[0] >> 4 == 4;
    uint32_t head = v4 ? (packet[0] & 15u) * 4 : 40;
    struct tcphdr tcp;
    if (length < head + sizeof tcp)
        return false;
    memcpy(&tcp, packet + head, sizeof tcp);
    out->seq = ntohl(tcp.seq);
    out->ack = ntohl(tcp.ack_seq);
    out->data_at = head + tcp.doff * 4u;
    out->length = length;
    out->data_len = length > out->data_at ? length - out->data_at : 0;
    return length >= out->data_at;
}

static void send_to(struct assist *a, const uint8_t *packet, uint32_t length, const struct endpoint *to, struct handoff *h)
{
    struct {
        struct gue gue;
        struct handoff h;
    } head = {.gue = {GUE_WORDS, packet[0] >> 4 == 4 ? IPPROTO_IPIP : IPPROTO_IPV6, 0}};
    struct sockaddr_storage sa;
    relay_tag(a->relay, h, &to->addr, packet, length);
    head.h = *h;
    struct iovec parts[] = {{&head, sizeof head}, {(void *)(uintptr_t)packet, length}};
    struct msghdr m = {.msg_name = &sa, .msg_namelen = endpoint_to_sockaddr(to, &sa), .msg_iov = parts, .msg_iovlen = 2};
    (void)!sendmsg(to->addr.family == ADDR_V4 ? a->v4 : a->v6, &m, 0);
}

/* To the connection's node by hand-off packet. Failure is loss: the client sends again. */
static void send_on(struct assist *a, const uint8_t *packet, uint32_t length, uint32_t seq, const struct relay_flow *f)
{
    struct endpoint to;
    uint8_t kind = f->state == RELAY_FLOW_OPENING ? HANDOFF_OPEN : HANDOFF_PACKET;
    struct handoff h = {.kind = kind, .target = (uint16_t)f->node, .tcp = f->tcp};
    h.tcp.mss = htons(f->tcp.mss);
    h.start = htonl(relay_opening(f, seq, &h.tcp.options));
    if (relay_node_endpoint(a->relay, f->node, &to) == PM_OK)
        send_to(a, packet, length, &to, &h);
}

static uint16_t sum_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint64_t sum_words(const uint8_t *p, uint32_t n, uint64_t sum)
{
    for (uint32_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    return n % 2 ? sum + ((uint32_t)p[n - 1] << 8) : sum;
}

static void put16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

/* Shortens the packet to `keep` bytes of data: lengths, checksums, and no FIN. */
static uint32_t cut(uint8_t *packet, const struct segment *s, uint32_t keep)
{
    bool v4 = packet[0] >> 4 == 4;
    uint32_t head = v4 ? (packet[0] & 15u) * 4 : 40, length = s->data_at + keep;
    uint8_t *tcp = packet + head;
    tcp[13] &= (uint8_t)~TH_FIN;
    put16(tcp + 16, 0);
    if (v4) {
        put16(packet + 2, length);
        put16(packet + 10, 0);
        put16(packet + 10, sum_fold(sum_words(packet, head, 0)));
    } else {
        put16(packet + 4, length - 40);
    }
    uint64_t sum = sum_words(packet + (v4 ? 12 : 8), v4 ? 8 : 32, IPPROTO_TCP + (length - head));
    put16(tcp + 16, sum_fold(sum_words(tcp, length - head, sum)));
    return length;
}

void assist_probe(struct assist *a, const struct addr *at, uint32_t node, uint32_t number)
{
    /* 192.0.0.8 (RFC 7600) to itself: nobody's connection. */
    uint8_t packet[40] = {0x45, [3] = 40, [8] = 64, [9] = IPPROTO_TCP, 0, 0, 192, 0, 0, 8, 192, 0, 0, 8, [32] = 5 << 4, TH_ACK};
    const struct endpoint to = {*at, RELAY_PORT};
    struct handoff h = {.kind = HANDOFF_FIND, .target = (uint16_t)(RELAY_PROBE | node)};
    put16(packet + 20, RELAY_PORT);
    put16(packet + 22, RELAY_PORT);
    put16(packet + 24, number >> 16);
    put16(packet + 26, number);
    put16(packet + 10, sum_fold(sum_words(packet, 20, 0)));
    send_to(a, packet, sizeof packet, &to, &h);
}

/* ---- connections whose request arrives in pieces ---- */

static void hand_over(struct assist *a, struct gathering *g, uint32_t node, uint32_t set, uint32_t next, uint8_t flags)
{
    struct relay_flow f = g->flow;
    f.node = node;
    f.set = set;
    f.next = next;
    f.state = RELAY_FLOW_OPENING;
    f.flags |= flags;
    if (a->told)
        a->told(a->told_arg, &g->key, &f);
    if (relay_set_flow(a->relay, &g->key, &f) == PM_OK)
        for (uint32_t i = 0; i < g->count; i++)
            send_on(a, g->segment[i].packet, g->segment[i].length, g->segment[i].seq, &f);
    gathering_free(a, g);
}

static void to_front(struct assist *a, struct gathering *g, uint32_t end)
{
    a->counts.front++;
    hand_over(a, g, relay_self(a->relay), RELAY_SETS_MAX, end, RELAY_FLOW_PINNED);
}

/* The bytes from the beginning as far as they are there without a gap. */
static uint32_t joined(const struct gathering *g, uint8_t *out, uint32_t size)
{
    uint32_t have = 0;
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < g->count; i++) {
            const struct segment *s = &g->segment[i];
            uint32_t at = s->seq - g->flow.start;
            if (at > have || at + s->data_len <= have || at + s->data_len > size)
                continue;
            memcpy(out + at, s->packet + s->data_at, s->data_len);
            have = at + s->data_len;
            more = true;
        }
    }
    return have;
}

static void judge(struct assist *a, struct gathering *g)
{
    uint8_t *bytes = mem_alloc(RELAY_REQUEST_MAX);
    struct relay_request q;
    uint32_t have = joined(g, bytes, RELAY_REQUEST_MAX - 1);
    enum relay_reading reading = have ? relay_request_read(bytes, have, &q) : RELAY_READ_PART;
    free(bytes);
    if (reading == RELAY_READ_PART) {
        if (g->count == ASSIST_SEGMENTS_MAX)
            to_front(a, g, g->flow.start + have);
        return;
    }
    uint32_t set = RELAY_SETS_MAX, node = RELAY_NODES_MAX;
    bool whole = reading == RELAY_READ_WHOLE && (q.stream || q.head + q.body >= have);
    if (whole) {
        set = relay_set_for(a->relay, &g->key, &q);
        node = relay_pick(a->relay, set, relay_request_hash(g->flow.start, g->flow.ack));
    }
    if (node == RELAY_NODES_MAX) {
        to_front(a, g, g->flow.start + have);
        return;
    }
    a->counts.decided++;
    hand_over(a, g, node, set, g->flow.start + q.head + (uint32_t)q.body,
              q.stream ? RELAY_FLOW_PINNED : 0);
}

static void gather(struct assist *a, const struct relay_event *e, const struct segment *s, uint64_t now_ms)
{
    struct gathering *g = map_get(&a->by_flow, &e->flow, sizeof e->flow);
    if (!g) {
        if (a->by_flow.count >= ASSIST_CONNECTIONS_MAX) {
            a->counts.dropped++;
            return;
        }
        g = mem_alloc(sizeof *g);
        g->key = e->flow;
        g->flow = e->value;
        g->since_ms = now_ms;
        map_put(&a->by_flow, &g->key, sizeof g->key, g);
    }
    for (uint32_t i = 0; i < g->count; i++)
        if (g->segment[i].seq == s->seq && g->segment[i].data_len >= s->data_len)
            return;
    if (g->count == ASSIST_SEGMENTS_MAX)
        return;
    struct segment *to = &g->segment[g->count++];
    *to = *s;
    to->packet = mem_alloc(s->length);
    memcpy(to->packet, e->data, s->length);
    a->counts.gathered++;
    judge(a, g);
}

/* ---- a body's end and the next request in one segment ---- */

static void divide(struct assist *a, const struct relay_event *e, const struct segment *s)
{
    struct relay_flow f;
    uint8_t packet[RELAY_SEGMENT_MAX];
    if (relay_flow(a->relay, &e->flow, &f) != PM_OK)
        return;
    uint32_t keep = f.next - s->seq;
    if (keep >= s->data_len)
        return;
    memcpy(packet, e->data, s->length);
    /* The client sends the rest again when the node has acknowledged the first part; then it begins a segment, and the
     * node has answered the request that the body belongs to. */
    a->counts.cut++;
    send_on(a, packet, cut(packet, s, keep), s->seq, &f);
}

void assist_segment(struct assist *a, const struct relay_event *e, uint64_t now_ms)
{
    struct segment s;
    if (!segment_read(e->data, e->length, &s))
        return;
    if (e->value.state == RELAY_FLOW_ASSIST)
        gather(a, e, &s, now_ms);
    else
        divide(a, e, &s);
}

size_t assist_tick(struct assist *a, uint64_t now_ms)
{
    struct map_slot slot;
    for (size_t at = 0; map_next(&a->by_flow, &at, &slot);) {
        struct gathering *g = slot.value;
        if (now_ms - g->since_ms < ASSIST_WAIT_MS)
            continue;
        uint8_t *bytes = mem_alloc(RELAY_REQUEST_MAX);
        uint32_t have = joined(g, bytes, RELAY_REQUEST_MAX - 1);
        free(bytes);
        if (have)
            to_front(a, g, g->flow.start + have);
        else
            gathering_free(a, g);
        at = 0;
    }
    return a->by_flow.count;
}

void assist_counts(const struct assist *a, struct assist_counts *out)
{
    *out = a->counts;
}
