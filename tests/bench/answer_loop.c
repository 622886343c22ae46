/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_answer alone, without sockets, over 100,000 services: answer_loop KIND ROUNDS, KIND one of a (A of a service), ecs (the
 * same with a client subnet), static, nx. For callgrind: instructions = (count of N rounds - count of 0 rounds) / N;
 * run alone it prints nanoseconds per answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "dns/answer.h"

enum { SERVICES = 100000, QUERIES = 1024 };

static const uint8_t address[2][4] = {{192, 0, 2, 1}, {192, 0, 2, 2}};

static void service(void *ctx, const struct dns_service_query *q, struct dns_service_answer *a)
{
    (void)ctx;
    a->status = DNS_SERVICE_ADDRS;
    a->ttl = 30;
    a->scope = q->from_ecs ? 24 : 0;
    a->count = 2;
    a->rdata[0] = address[0];
    a->rdata[1] = address[1];
}

static struct dns_zones *zones(void)
{
    struct dns_zones_builder *b = dns_zones_builder_new(NULL, NULL);
    struct dns_zones *z = NULL;
    uint8_t origin[DNS_NAME_MAX], ns[DNS_NAME_MAX], name[DNS_NAME_MAX];
    char text[64];
    int bad = dns_name_parse("gslb.example.com", NULL, origin) < 0 || dns_name_parse("ns1", origin, ns) < 0 ||
              dns_zone_begin(b, origin);
    const uint8_t *servers[1] = {ns};
    struct dns_apex apex = {ns, ns, 1, 7200, 3600, 86400, 60, 3600, servers, 1};
    bad |= dns_zone_generate_apex(b, &apex) || dns_zone_add_rr(b, ns, DNS_TYPE_A, 3600, address[0], 4);
    for (unsigned i = 0; i < SERVICES && !bad; i++) {
        snprintf(text, sizeof text, "www%u", i);
        bad = dns_name_parse(text, origin, name) < 0 || dns_zone_add_service(b, name, i);
        snprintf(text, sizeof text, "static%u", i);
        bad |= dns_name_parse(text, origin, name) < 0 || dns_zone_add_rr(b, name, DNS_TYPE_A, 60, address[1], 4);
    }
    if (bad || dns_zones_build(b, &z))
        exit(1);
    dns_zones_builder_free(b);
    return z;
}

static size_t query(const char *kind, unsigned i, uint8_t *out)
{
    static const uint8_t opt[] = {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0};
    static const uint8_t ecs[] = {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 2};
    char text[64];
    bool with_ecs = strcmp(kind, "ecs") == 0;
    const char *prefix = strcmp(kind, "static") == 0 ? "static" : strcmp(kind, "nx") == 0 ? "none" : "WWW";
    memset(out, 0, 12);
    out[0] = (uint8_t)(i >> 8);
    out[1] = (uint8_t)i;
    out[2] = 1;
    out[5] = out[11] = 1;
    snprintf(text, sizeof text, "%s%u.gslb.example.com", prefix, i * 97 % SERVICES);
    int n = dns_name_parse(text, NULL, out + 12);
    if (n < 0)
        exit(1);
    size_t len = 12 + (size_t)n;
    memcpy(out + len, "\0\1\0\1", 4);
    len += 4;
    memcpy(out + len, with_ecs ? ecs : opt, with_ecs ? sizeof ecs : sizeof opt);
    return len + (with_ecs ? sizeof ecs : sizeof opt);
}

int main(int argc, char **argv)
{
    static uint8_t packets[QUERIES][128], out[4096];
    static size_t lens[QUERIES];
    if (argc != 3)
        return 2;
    struct dns_zones *z = zones();
    struct dns_answer_env env = {.ecs = true, .udp_max = 1232, .service = service, .client = {.family = ADDR_V4}};
    struct dns_answer_info info;
    struct timespec a, b;
    long rounds = atol(argv[2]);
    size_t sum = 0;
    for (unsigned i = 0; i < QUERIES; i++)
        lens[i] = query(argv[1], i, packets[i]);
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long i = 0; i < rounds; i++)
        sum += dns_answer(z, packets[i % QUERIES], lens[i % QUERIES], &env, out, sizeof out, &info);
    clock_gettime(CLOCK_MONOTONIC, &b);
    struct dns_zones_stats st = dns_zones_stats(z);
    printf("%s: %.1f ns per answer, %.1f bytes; %zu names in %zu bytes\n", argv[1],
           rounds ? ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (double)rounds : 0.0,
           rounds ? (double)sum / (double)rounds : 0.0, st.names, st.bytes);
    dns_zones_free(z);
    return 0;
}
