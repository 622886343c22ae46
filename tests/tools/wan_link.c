/* SPDX-License-Identifier: Apache-2.0 */
/* Packets on their way: a pool, the words of their path, and a heap by the time they arrive. */
#include <stdlib.h>

#include "wan.h"

/* 256 MB of packets; 1 Gbit/s of full packets over 300 ms are 25,000. */
enum { IN_FLIGHT_MAX = 120000 };

struct entry {
    uint64_t due, seq; /* seq: those of the same time leave as they came */
    struct packet *packet;
};

struct link_totals link_totals;
static struct entry *heap;
static size_t heap_len, heap_cap;
static uint64_t next_seq, random_state = 1;
static struct packet *pool;

struct packet *packet_get(void)
{
    struct packet *p = pool;
    if (p) {
        pool = p->next;
    } else if (link_totals.in_flight >= IN_FLIGHT_MAX || !(p = malloc(sizeof *p))) {
        link_totals.pool_drops++;
        return NULL;
    }
    if (++link_totals.in_flight > link_totals.most_in_flight)
        link_totals.most_in_flight = link_totals.in_flight;
    return p;
}

void packet_put(struct packet *p)
{
    p->next = pool;
    pool = p;
    link_totals.in_flight--;
}

void link_seed(uint64_t seed)
{
    random_state = seed;
}

/* SplitMix64, to [0, 1): the same seed, the same losses. */
static double draw(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static bool before(const struct entry *a, const struct entry *b)
{
    return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

static bool heap_push(uint64_t due, struct packet *p)
{
    if (heap_len == heap_cap) {
        size_t cap = heap_cap ? heap_cap * 2 : 4096;
        struct entry *grown = realloc(heap, cap * sizeof *heap);
        if (!grown)
            return false;
        heap = grown;
        heap_cap = cap;
    }
    struct entry e = {due, next_seq++, p};
    size_t i = heap_len++;
    for (; i && before(&e, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = e;
    return true;
}

static struct entry heap_pop(void)
{
    struct entry top = heap[0], last = heap[--heap_len];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < heap_len; i = child) {
        if (child + 1 < heap_len && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &last))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

/* When a packet that has left the line arrives. Jitter is uniform in +-jitter, and does not reorder: a later packet
   waits for an earlier one. One that is to be overtaken is held up on its own, by up to a quarter of the delay + 1 ms. */
static uint64_t arrival(struct pair *l)
{
    double due = (double)(l->free_ns + l->delay_ns) + (l->jitter_ns ? (2 * draw() - 1) * (double)l->jitter_ns : 0);
    uint64_t at = due < (double)l->free_ns ? l->free_ns : (uint64_t)due;
    if (l->reorder > 0 && draw() < l->reorder) {
        l->reordered++;
        return at + (uint64_t)(draw() * (double)(l->delay_ns / 4 + 1000000));
    }
    if (at < l->last_due_ns)
        at = l->last_due_ns;
    return l->last_due_ns = at;
}

static void push_or_drop(struct pair *l, struct packet *p)
{
    if (!heap_push(arrival(l), p)) {
        link_totals.pool_drops++;
        packet_put(p);
    }
}

void link_send(struct packet *p, uint64_t now)
{
    struct pair *l = &pairs[p->from][p->to];
    l->sent++;
    l->sent_bytes += p->len;
    if (l->cut || sites[p->from].down || sites[p->to].down) {
        l->cut_off++;
        packet_put(p);
        return;
    }
    if (l->free_ns < now)
        l->free_ns = now;
    if (l->rate_bps) { /* drop-tail: what waits for the line is what it carries until it is free */
        double waiting = (double)(l->free_ns - now) * (double)l->rate_bps / 8e9;
        if (waiting + p->len > (double)l->limit_bytes) {
            l->queue_drops++;
            packet_put(p);
            return;
        }
        l->free_ns += (uint64_t)(p->len * 8e9 / (double)l->rate_bps);
    }
    if (l->loss > 0 && draw() < l->loss) { /* behind the queue: a lost packet has used the line */
        l->lost++;
        packet_put(p);
        return;
    }
    struct packet *twin = l->dup > 0 && draw() < l->dup ? packet_get() : NULL;
    if (twin) {
        l->duplicated++;
        *twin = *p;
        push_or_drop(l, twin);
    }
    push_or_drop(l, p);
}

uint64_t link_next_due(void)
{
    return heap_len ? heap[0].due : UINT64_MAX;
}

static void note_late(uint64_t late)
{
    unsigned bucket = 0;
    for (double edge = 1000; bucket < LATE_BUCKETS - 1 && (double)late >= edge; edge *= 1.41421356)
        bucket++;
    link_totals.late[bucket]++;
    if (late > link_totals.late_max_ns)
        link_totals.late_max_ns = late;
}

struct packet *link_due(uint64_t now)
{
    while (heap_len && heap[0].due <= now) {
        struct entry e = heap_pop();
        struct pair *l = &pairs[e.packet->from][e.packet->to];
        if (!l->cut && !sites[e.packet->from].down && !sites[e.packet->to].down) {
            note_late(now - e.due);
            l->delivered++;
            l->delivered_bytes += e.packet->len;
            return e.packet;
        }
        l->cut_off++; /* what was in the cable when it was cut */
        packet_put(e.packet);
    }
    return NULL;
}

double link_late_us(double quantile)
{
    uint64_t all = 0, seen = 0;
    for (unsigned i = 0; i < LATE_BUCKETS; i++)
        all += link_totals.late[i];
    double edge = 1;
    for (unsigned i = 0; i < LATE_BUCKETS; i++, edge *= 1.41421356) {
        seen += link_totals.late[i];
        if (all && (double)seen >= quantile * (double)all)
            return edge;
    }
    return 0;
}
