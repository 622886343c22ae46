/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest server around dns_answer, for comparing it with others: one thread, UDP and TCP on 127.0.0.1. Usage:
 *
 *     answer_server PORT ORIGIN=FILE...
 *
 * A name "svc" in the first zone is a service with two fixed addresses of each family. Prints "ready" once it listens.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "dns/answer.h"

enum { CONNS_MAX = 64, UDP_MAX = 1232 };

struct conn {
    int fd;
    size_t have;
    uint8_t in[65537];
};

static struct conn conns[CONNS_MAX];
static struct dns_answer_env env = {.ecs = true, .udp_max = UDP_MAX, .version = "pointsman test"};
static const uint8_t v4[2][4] = {{192, 0, 2, 1}, {192, 0, 2, 2}};
static const uint8_t v6[2][16] = {{0x20, 1, 0xd, 0xb8, [15] = 1}, {0x20, 1, 0xd, 0xb8, [15] = 2}};

static void service(void *ctx, const struct dns_service_query *q, struct dns_service_answer *a)
{
    (void)ctx;
    a->status = DNS_SERVICE_ADDRS;
    a->ttl = 30;
    a->scope = q->client.family == ADDR_V4 ? 24 : 48;
    a->count = 2;
    for (int i = 0; i < 2; i++)
        a->rdata[i] = q->qtype == DNS_TYPE_A ? v4[i] : v6[i];
}

static void report(void *ctx, const struct dns_report *r)
{
    (void)ctx;
    fprintf(stderr, "%s:%u:%u: %s: %s\n", r->file, r->line, r->column,
            r->severity == DNS_ERROR ? "error" : "warning", r->message);
}

static struct dns_zones *load(int n, char **args)
{
    struct dns_zones_builder *b = dns_zones_builder_new(report, NULL);
    struct dns_zones *z = NULL;
    uint8_t origin[DNS_NAME_MAX], name[DNS_NAME_MAX];
    int err = 0;
    for (int i = 0; i < n && !err; i++) {
        char *file = strchr(args[i], '=');
        if (!file)
            exit(2);
        *file++ = 0;
        if (dns_name_parse(args[i], NULL, origin) < 0)
            exit(2);
        err = dns_zone_load_file(b, file, origin);
        if (i == 0 && !err && dns_name_parse("svc", origin, name) > 0)
            err = dns_zone_add_service(b, name, 1);
    }
    if (!err)
        err = dns_zones_build(b, &z);
    dns_zones_builder_free(b);
    return err ? NULL : z;
}

static int listener(int type, uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || (type == SOCK_STREAM && listen(fd, 16) < 0)) {
        perror("listen");
        exit(1);
    }
    return fd;
}

static void set_client(const struct sockaddr_in *sa)
{
    addr_from_bytes(&env.client, ADDR_V4, (const uint8_t *)&sa->sin_addr);
}

static void on_udp(const struct dns_zones *z, int fd)
{
    uint8_t in[65535], out[65535];
    struct sockaddr_in sa;
    socklen_t sa_len = sizeof sa;
    struct dns_answer_info info;
    ssize_t n = recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&sa, &sa_len);
    if (n < 0)
        return;
    set_client(&sa);
    env.tcp = false;
    size_t len = dns_answer(z, in, (size_t)n, &env, out, sizeof out, &info);
    if (len)
        sendto(fd, out, len, 0, (struct sockaddr *)&sa, sa_len);
}

static void hang_up(struct conn *c)
{
    close(c->fd);
    c->fd = -1;
    c->have = 0;
}

static void on_tcp(const struct dns_zones *z, struct conn *c)
{
    uint8_t out[2 + 65535];
    struct dns_answer_info info;
    ssize_t n = read(c->fd, c->in + c->have, sizeof c->in - c->have);
    if (n <= 0) {
        hang_up(c);
        return;
    }
    c->have += (size_t)n;
    env.tcp = true;
    while (c->have >= 2 && c->have >= 2u + dns_get16(c->in)) {
        size_t want = dns_get16(c->in), len = dns_answer(z, c->in + 2, want, &env, out + 2, 65535, &info);
        dns_put16(out, (unsigned)len);
        if (!len || write(c->fd, out, len + 2) < 0) {
            hang_up(c);
            return;
        }
        c->have -= want + 2;
        memmove(c->in, c->in + want + 2, c->have);
    }
}

static void on_accept(int fd)
{
    struct sockaddr_in sa;
    socklen_t sa_len = sizeof sa;
    int conn = accept(fd, (struct sockaddr *)&sa, &sa_len);
    set_client(&sa);
    for (int i = 0; conn >= 0 && i < CONNS_MAX; i++) {
        if (conns[i].fd < 0) {
            conns[i].fd = conn;
            return;
        }
    }
    if (conn >= 0)
        close(conn);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    struct dns_zones *z = load(argc - 2, argv + 2);
    if (!z)
        return 1;
    env.service = service;
    int udp = listener(SOCK_DGRAM, (uint16_t)atoi(argv[1])), tcp = listener(SOCK_STREAM, (uint16_t)atoi(argv[1]));
    for (int i = 0; i < CONNS_MAX; i++)
        conns[i].fd = -1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd p[2 + CONNS_MAX] = {{.fd = udp, .events = POLLIN}, {.fd = tcp, .events = POLLIN}};
        for (int i = 0; i < CONNS_MAX; i++)
            p[2 + i] = (struct pollfd){.fd = conns[i].fd, .events = POLLIN};
        if (poll(p, 2 + CONNS_MAX, -1) < 0)
            continue;
        if (p[0].revents)
            on_udp(z, udp);
        if (p[1].revents)
            on_accept(tcp);
        for (int i = 0; i < CONNS_MAX; i++) {
            if (p[2 + i].fd >= 0 && p[2 + i].revents)
                on_tcp(z, &conns[i]);
        }
    }
}
