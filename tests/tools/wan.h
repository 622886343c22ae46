/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wan: a wide-area network between network namespaces, for tests. See wan.c for what it offers.
 *
 *   site    a network namespace with a TUN device "wan0", a router in front of it, and prefixes that lead there
 *   pair    the one-way path from one site to another: delay, loss, rate..., and whether it is cut
 *   packet  an IP packet on its way; it lives in one pool, and is in the heap until it is due
 *
 * One thread; nothing is locked. All memory is the process's until it ends. Packets: whoever takes one from the pool
 * gives it back, or hands it to link_send, which does. Times are CLOCK_MONOTONIC nanoseconds.
 */
#ifndef PM_TESTS_WAN_H
#define PM_TESTS_WAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { MAX_SITES = 64, MAX_PREFIXES = 16, PACKET_MAX = 2048, NAME_MAX_LEN = 32 };

struct prefix {
    int family; /* AF_INET, AF_INET6 */
    uint8_t addr[16];
    unsigned bits;
};

struct site {
    char name[NAME_MAX_LEN];
    int ns_fd, tun_fd;
    bool down;
    bool has_router4, has_router6; /* routers without an address send no ICMP errors */
    uint8_t router4[4], router6[16];
    struct prefix prefixes[MAX_PREFIXES];
    unsigned prefix_count;
    uint64_t no_route, write_errors;
};

struct pair {
    uint64_t delay_ns, jitter_ns;
    double loss, dup, reorder; /* probabilities */
    uint64_t rate_bps;         /* 0: not limited */
    uint64_t limit_bytes;      /* of the queue in front of the rate */
    bool cut;
    uint64_t free_ns, last_due_ns; /* when the line is free again; when the last one in order arrives */
    uint64_t sent, sent_bytes, delivered, delivered_bytes, lost, duplicated, reordered, cut_off, queue_drops;
};

struct packet {
    struct packet *next; /* free list only */
    unsigned from, to;
    unsigned len;
    uint8_t data[PACKET_MAX];
};

extern struct site sites[MAX_SITES];
extern unsigned site_count;
extern struct pair pairs[MAX_SITES][MAX_SITES];

uint64_t now_ns(void);

/* --- wan_packet.c: bytes ------------------------------------------------------------------------------------------ */

enum hop { HOP_ON, HOP_EXPIRED, HOP_BAD };
enum icmp_error { ICMP_TTL_EXCEEDED, ICMP_NO_ROUTE, ICMP_NO_HOST };

/* Takes one from TTL or hop limit and mends the checksum, unless it has run out. HOP_BAD: no IP packet. */
enum hop packet_hop(struct packet *p);
/* The site that the destination leads to, as seen from a site: the longest prefix; among equal ones (anycast) the
   nearest that can be reached. -1: none. *own: the address is of the sender's own site. */
int packet_route(const struct packet *p, unsigned from, bool *own);
/* Makes the ICMP error that a site's router sends about a packet. False when there must be none (RFC 1122 3.2.2). */
bool packet_icmp_error(const struct packet *about, const struct site *router, enum icmp_error what, struct packet *out);
bool prefix_parse(const char *text, struct prefix *p);

/* --- wan_link.c: paths -------------------------------------------------------------------------------------------- */

enum { LATE_BUCKETS = 40 };
struct link_totals {
    uint64_t in_flight, most_in_flight, pool_drops;
    uint64_t late[LATE_BUCKETS]; /* packets delivered late by < 1, 1-1.4, 1.4-2, ... us: two buckets per doubling */
    uint64_t late_max_ns;
};
extern struct link_totals link_totals;

struct packet *packet_get(void); /* NULL: more than IN_FLIGHT_MAX on their way */
void packet_put(struct packet *p);
/* Sends p from p->from to p->to: it is lost, queued, or dropped, by the pair's words. */
void link_send(struct packet *p, uint64_t now);
uint64_t link_next_due(void);            /* UINT64_MAX: nothing on its way */
struct packet *link_due(uint64_t now);   /* the next that has arrived, or NULL; ones whose path was cut are dropped */
void link_seed(uint64_t seed);
double link_late_us(double quantile); /* upper bound of that quantile of the lateness */

/* --- wan_control.c: words ----------------------------------------------------------------------------------------- */

/* Does one line and writes its answer: lines that start with a space, then "ok" or "error TEXT". 1: the line was quit. */
int control_line(char *line, FILE *out);

/* --- wan.c -------------------------------------------------------------------------------------------------------- */

/* Makes the namespace and device of sites[site_count]; 0 or -errno. */
int site_open(struct site *s);

#endif
