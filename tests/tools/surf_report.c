/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What surf counts, and the JSON object in which it says so.
 *
 * Every request is counted once as a request and once by its verdict; report() checks that the sums agree, so a request
 * that was lost by surf itself is seen as well. Latencies go to a histogram whose buckets are at most 1/32 wide, so a
 * percentile is right to 3 %; the maximum is exact.
 */
#include "surf.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { BUCKETS = 64 + 58 * 32, VALUES_MAX = 4096, EXAMPLES_MAX = 8 };

struct stats stats;

static const char *const VERDICT_NAMES[VERDICTS] = {"ok",      "wrong_status", "wrong_bytes", "bad_reply",
                                                    "hung",    "closed_early", "reset",       "connect_failed",
                                                    "aborted", "resent",       "unfinished"};

static struct {
    uint64_t count[BUCKETS], total, max_us;
} histograms[HISTOGRAMS];

static struct {
    char value[VALUE_LEN];
    uint64_t count;
} values[VALUES_MAX];
static unsigned value_count;
static uint64_t other_values, statuses[600], connect_errors[256];
static json_t *examples, *first_wrong;

void stats_verdict(const struct request *q, enum verdict v)
{
    stats.verdicts[v]++;
    stats.bytes += q->received;
}

static unsigned bucket_of(uint64_t us)
{
    if (us < 64)
        return (unsigned)us;
    unsigned e = 63 - (unsigned)__builtin_clzll(us);
    return 64 + (e - 6) * 32 + (unsigned)(us >> (e - 5) & 31);
}

/* The middle of a bucket. */
static uint64_t bucket_us(unsigned b)
{
    if (b < 64)
        return b;
    unsigned e = (b - 64) / 32 + 6;
    uint64_t width = 1ull << (e - 5);
    return (32 + (b - 64) % 32) * width + width / 2;
}

void stats_latency(int which, uint64_t ns)
{
    uint64_t us = ns / 1000;
    histograms[which].count[bucket_of(us)]++;
    histograms[which].total++;
    if (us > histograms[which].max_us)
        histograms[which].max_us = us;
}

static uint64_t percentile(int which, double share)
{
    uint64_t want = (uint64_t)(share * (double)histograms[which].total), seen = 0;
    for (unsigned b = 0; b < BUCKETS; b++) {
        seen += histograms[which].count[b];
        if (seen > want) {
            uint64_t us = bucket_us(b), max = histograms[which].max_us;
            return us < max ? us : max;
        }
    }
    return histograms[which].max_us;
}

static json_t *latency(int which)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)histograms[which].total, "p50",
                     (json_int_t)percentile(which, 0.5), "p90", (json_int_t)percentile(which, 0.9), "p99",
                     (json_int_t)percentile(which, 0.99), "max", (json_int_t)histograms[which].max_us);
}

void stats_status(unsigned status)
{
    statuses[status % 600]++;
}

void stats_connect_error(int error)
{
    connect_errors[error > 0 && error < 256 ? error : 0]++;
}

void stats_header(const char *value)
{
    unsigned i = 0;
    while (i < value_count && strcmp(values[i].value, value) != 0)
        i++;
    if (i == VALUES_MAX) {
        other_values++;
        return;
    }
    if (i == value_count) {
        snprintf(values[i].value, VALUE_LEN, "%s", value);
        value_count++;
    }
    values[i].count++;
}

/* Our own end, by which a capture or a server's log knows the connection. */
static json_t *source_of(const struct conn *c)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a;
    socklen_t len = sizeof(a);
    char text[INET6_ADDRSTRLEN] = "";
    if (c->fd < 0 || getsockname(c->fd, &a.sa, &len) != 0)
        return json_null();
    bool v6 = a.sa.sa_family == AF_INET6;
    inet_ntop(a.sa.sa_family, v6 ? (void *)&a.v6.sin6_addr : (void *)&a.v4.sin_addr, text, sizeof(text));
    return json_sprintf(v6 ? "[%s]:%u" : "%s:%u", text, ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port));
}

/* Text from the network may be no UTF-8. */
static json_t *text_json(const char *text)
{
    json_t *j = json_string(text);
    return j ? j : json_string("(not UTF-8)");
}

static json_t *example(const struct conn *c, const char *what, const char *path, uint64_t offset, const char *detail)
{
    return json_pack("{s:s, s:o, s:I, s:o, s:s, s:o, s:I}", "what", what, "path", text_json(path), "offset",
                     (json_int_t)offset, "source", source_of(c), "detail", detail, "header", text_json(c->reply.value),
                     "request_of_connection", (json_int_t)(c->started - c->inflight + 1));
}

void stats_example(const struct conn *c, const char *what, const char *path, uint64_t offset, const char *detail)
{
    if (!examples)
        examples = json_array();
    if (json_array_size(examples) < EXAMPLES_MAX)
        json_array_append_new(examples, example(c, what, path, offset, detail));
}

void stats_wrong_bytes(const struct conn *c, const struct request *q, const char *path, uint64_t offset,
                       const char *detail)
{
    if (!first_wrong)
        first_wrong = example(c, q->post ? "answer to a POST" : "body", path, offset, detail);
}

static void put(json_t *o, const char *name, uint64_t n)
{
    json_object_set_new(o, name, json_integer((json_int_t)n));
}

static json_t *wrong_statuses(void)
{
    json_t *o = json_object();
    char name[16];
    for (unsigned i = 0; i < 600; i++) {
        snprintf(name, sizeof(name), "%u", i);
        if (statuses[i])
            put(o, name, statuses[i]);
    }
    return o;
}

static json_t *connect_reasons(void)
{
    json_t *o = json_object();
    for (int i = 0; i < 256; i++) {
        const char *name = i ? strerrorname_np(i) : "other";
        if (connect_errors[i])
            put(o, name ? name : "other", connect_errors[i]);
    }
    return o;
}

static json_t *header_values(void)
{
    json_t *o = json_object();
    for (unsigned i = 0; i < value_count; i++) {
        json_t *name = text_json(values[i].value);
        put(o, json_string_value(name), values[i].count);
        json_decref(name);
    }
    if (other_values)
        put(o, "(others)", other_values);
    return o;
}

/* What must be zero for a good end. */
static bool all_right(json_t *o)
{
    uint64_t sum = 0, wrong = stats.reset_idle + stats.unclosed + stats.surplus;
    for (int v = 0; v < VERDICTS; v++) {
        sum += stats.verdicts[v];
        if (v != V_OK && v != V_RST_BY_US && v != V_RESENT)
            wrong += stats.verdicts[v];
    }
    if (sum != stats.requests)
        json_object_set_new(o, "surf_lost_count", json_integer((json_int_t)stats.requests - (json_int_t)sum));
    uint64_t asked = stats.requests - stats.verdicts[V_RESENT];
    bool all = opt.requests == UINT64_MAX ? asked > 0 : asked == opt.requests;
    return wrong == 0 && sum == stats.requests && all;
}

bool report(double seconds)
{
    json_t *o = json_object(), *wrong = json_object();
    put(o, "requests", stats.requests);
    for (int v = 0; v < VERDICTS; v++)
        if (v != V_WRONG_STATUS && v != V_WRONG_BYTES)
            put(o, VERDICT_NAMES[v], stats.verdicts[v]);
    json_object_set_new(o, "wrong_status", wrong_statuses());
    put(wrong, "count", stats.verdicts[V_WRONG_BYTES]);
    if (first_wrong)
        json_object_update(wrong, first_wrong);
    json_object_set_new(o, "wrong_bytes", wrong);
    json_object_set_new(o, "connect_errors", connect_reasons());
    put(o, "connections", stats.connections);
    put(o, "concurrent_max", stats.concurrent_max);
    put(o, "rst_by_us", stats.rst_by_us);
    put(o, "closed_idle", stats.closed_idle);
    put(o, "reset_idle", stats.reset_idle);
    put(o, "unclosed", stats.unclosed);
    put(o, "surplus", stats.surplus);
    put(o, "port_waits", stats.port_waits);
    put(o, "bytes", stats.bytes);
    put(o, "bytes_sent", stats.bytes_sent);
    json_object_set_new(o, "seconds", json_real(seconds));
    json_object_set_new(o, "connect_us", latency(H_CONNECT));
    json_object_set_new(o, "request_us", latency(H_REQUEST));
    if (opt.count_header)
        json_object_set_new(o, "headers", header_values());
    json_object_set_new(o, "examples", examples ? examples : json_array());
    bool good = all_right(o);
    json_object_set_new(o, "good", json_boolean(good));
    json_dumpf(o, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(o);
    return good;
}
