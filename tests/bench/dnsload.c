/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS load over UDP, and what it cost the server: q/s, latency percentiles, lost queries, CPU time
 * per query.
 *
 *     dnsload [-s sockets] [-w window] [-r rate] [-d seconds] [-n count] [-t timeout-ms] [-q file]
 *             [-e] [--pid PID] [--json] ADDRESS:PORT
 *
 * Without -r every socket keeps `window` queries in flight (the server is saturated); with -r
 * queries leave one by one at that rate (latency counts from when a query was due, so a stalled
 * server is not hidden). The file has lines "name type [client-prefix]"; -e adds an EDNS record to
 * those without a prefix. Answers are matched by socket and random id; anything else that comes is
 * "unexpected"; "skipped" queries were due (-r) but found every id of their socket waiting, or
 * could not be sent. --pid adds that process's CPU: user and system time, and the scheduler's own
 * nanoseconds of all its threads. It sends to loopback and documentation addresses only: a load
 * generator pointed at somebody's server by a typing mistake is an attack.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"

enum { BATCH = 64, WINDOW_MAX = 1024, SOCKETS_MAX = 512, QUERY_MAX = 320, ANSWER_MAX = 4096 };
enum { SUB_BITS = 5, SUB = 1 << SUB_BITS, BUCKETS = 64 * SUB };

struct query {
    uint8_t wire[QUERY_MAX]; /* from the third byte on: the id goes in front */
    uint16_t len;
};

struct slot {
    uint64_t sent_ns; /* 0 = free */
    uint16_t id;
};

struct sock {
    int fd;
    unsigned in_flight;
    struct slot *slots;
    uint16_t *free_slots; /* stack of window - in_flight */
};

static struct {
    unsigned sockets, window, timeout_ms;
    double rate, seconds;
    uint64_t count;
    const char *file;
    int edns, json, pid;
    struct endpoint to;
} opt = {.sockets = 16, .window = 32, .timeout_ms = 1000, .seconds = 3};

static struct query *queries;
static size_t query_count, query_at;
static struct sock *socks;
static struct pollfd *polls;
static uint64_t histogram[BUCKETS], rng;
static uint64_t sent, answered, lost, unexpected, send_errors, skipped, latency_max, rcodes[16];

static void die(const char *what, const char *why)
{
    fprintf(stderr, "dnsload: %s: %s\n", what, why);
    exit(1);
}

static void *must_alloc(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p)
        die("memory", strerror(ENOMEM));
    return p;
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t next_random(void)
{
    rng += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = rng;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ---- queries ---- */

static int type_parse(const char *t)
{
    static const struct {
        const char *name;
        int type;
    } types[] = {{"A", 1},    {"NS", 2},    {"CNAME", 5}, {"SOA", 6},   {"PTR", 12},  {"MX", 15},
                 {"TXT", 16}, {"AAAA", 28}, {"SRV", 33},  {"ANY", 255}, {"HTTPS", 65}};
    for (size_t i = 0; i < PM_ARRAY_LEN(types); i++)
        if (strcasecmp(t, types[i].name) == 0)
            return types[i].type;
    int n = 0;
    return (sscanf(t, "TYPE%d", &n) == 1 || sscanf(t, "%d", &n) == 1) && n > 0 && n < 65536 ? n
                                                                                            : -1;
}

static size_t put_name(uint8_t *out, const char *name)
{
    size_t at = 0;
    while (*name && *name != '.') {
        size_t n = strcspn(name, ".");
        if (n > 63 || at + n + 2 > 255)
            return 0;
        out[at++] = (uint8_t)n;
        memcpy(out + at, name, n);
        at += n;
        name += n + (name[n] == '.');
    }
    out[at++] = 0;
    return *name ? (name[1] ? 0 : at) : at;
}

/* RFC 6891 record; with a prefix, the client subnet option of RFC 7871. */
static size_t put_edns(uint8_t *out, const struct prefix *ecs)
{
    unsigned bytes = ecs ? (ecs->len + 7u) / 8u : 0, rdlen = ecs ? 8 + bytes : 0;
    const uint8_t head[11] = {0, 0, 41, 1232 >> 8, 1232 & 255, 0, 0, 0, 0, 0, (uint8_t)rdlen};
    memcpy(out, head, 11);
    if (!ecs)
        return 11;
    const uint8_t option[8] = {
        0, 8, 0, (uint8_t)(4 + bytes), 0, ecs->addr.family == ADDR_V4 ? 1 : 2, ecs->len, 0};
    memcpy(out + 11, option, 8);
    memcpy(out + 19, ecs->addr.bytes, bytes);
    return 19 + bytes;
}

static bool query_build(const char *name, const char *type, const char *ecs)
{
    int t = type_parse(type);
    struct prefix p;
    if (t < 0 || (ecs && prefix_parse(ecs, &p) != PM_OK))
        return false;
    if ((query_count & (query_count + 1)) == 0) { /* room for 2^n - 1 */
        queries = realloc(queries, (2 * query_count + 1) * sizeof *queries);
        if (!queries)
            die("memory", strerror(ENOMEM));
    }
    struct query *q = &queries[query_count];
    bool edns = ecs || opt.edns;
    const uint8_t head[10] = {0, 0, 0, 1, 0, 0, 0, 0, 0, edns};
    memcpy(q->wire, head, 10);
    size_t n = put_name(q->wire + 10, name);
    if (n == 0)
        return false;
    uint8_t *at = q->wire + 10 + n;
    const uint8_t tail[4] = {(uint8_t)(t >> 8), (uint8_t)t, 0, 1};
    memcpy(at, tail, 4);
    at += 4;
    if (edns)
        at += put_edns(at, ecs ? &p : NULL);
    q->len = (uint16_t)(at - q->wire);
    query_count++;
    return true;
}

static void queries_read(void)
{
    if (!opt.file) {
        if (!query_build("www.example.com", "A", NULL))
            die("query", "cannot be built");
        return;
    }
    FILE *f = fopen(opt.file, "r");
    if (!f)
        die(opt.file, strerror(errno));
    char line[512], name[300], type[32], ecs[64];
    for (unsigned n = 1; fgets(line, sizeof line, f); n++) {
        int fields = sscanf(line, "%299s %31s %63s", name, type, ecs);
        if (fields <= 0 || name[0] == '#' || name[0] == ';')
            continue;
        if (fields < 2 || !query_build(name, type, fields > 2 ? ecs : NULL)) {
            snprintf(name, sizeof name, "line %u is not \"name type [client-prefix]\"", n);
            die(opt.file, name);
        }
    }
    fclose(f);
    if (query_count == 0)
        die(opt.file, "no query in it");
}

/* ---- sockets ---- */

static bool destination_allowed(const struct addr *a)
{
    static const char *const allowed[] = {"127.0.0.0/8",     "::1/128",        "192.0.2.0/24",
                                          "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32",
                                          "3fff::/20"};
    for (size_t i = 0; i < PM_ARRAY_LEN(allowed); i++) {
        struct prefix p;
        if (prefix_parse(allowed[i], &p) == PM_OK && prefix_contains(&p, a))
            return true;
    }
    return false;
}

static void sockets_open(void)
{
    struct sockaddr_storage ss;
    socklen_t len = endpoint_to_sockaddr(&opt.to, &ss);
    socks = must_alloc(opt.sockets, sizeof *socks);
    polls = must_alloc(opt.sockets, sizeof *polls);
    for (unsigned i = 0; i < opt.sockets; i++) {
        struct sock *s = &socks[i];
        int size = 1 << 20;
        s->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&ss, len) != 0)
            die("socket", strerror(errno));
        setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        s->slots = must_alloc(opt.window, sizeof *s->slots);
        s->free_slots = must_alloc(opt.window, sizeof *s->free_slots);
        for (unsigned k = 0; k < opt.window; k++)
            s->free_slots[k] = (uint16_t)k;
        polls[i] = (struct pollfd){.fd = s->fd, .events = POLLIN};
    }
}

/* ---- latency ---- */

static unsigned bucket_of(uint64_t ns)
{
    if (ns < SUB)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    return (shift + 1) * SUB + (unsigned)((ns >> shift) & (SUB - 1));
}

static double bucket_us(unsigned b)
{
    if (b < SUB)
        return b / 1e3;
    return (double)(((uint64_t)(SUB + b % SUB)) << (b / SUB - 1)) / 1e3;
}

static double percentile(double share)
{
    uint64_t want = (uint64_t)(share * (double)answered), seen = 0;
    for (unsigned b = 0; b < BUCKETS; b++) {
        seen += histogram[b];
        if (seen > want)
            return bucket_us(b);
    }
    return (double)latency_max / 1e3;
}

/* ---- sending and receiving ---- */

/* Sends up to n queries; `due` is when they should have left. */
static void sock_send(struct sock *s, unsigned n, uint64_t due)
{
    static struct mmsghdr msgs[BATCH];
    static struct iovec iov[BATCH][2];
    static uint8_t ids[BATCH][2];
    uint16_t used[BATCH];
    unsigned room = opt.window - s->in_flight;
    n = n < room ? n : room;
    n = n < BATCH ? n : BATCH;
    if (n == 0)
        return;
    for (unsigned i = 0; i < n; i++) {
        const struct query *q = &queries[query_at];
        query_at = query_at + 1 == query_count ? 0 : query_at + 1;
        unsigned k = used[i] = s->free_slots[room - 1 - i];
        /* The low bits find the slot, the others are random; the window is a power of two. */
        uint16_t id = (uint16_t)((next_random() & ~(uint64_t)(opt.window - 1)) | k);
        s->slots[k].id = id;
        s->slots[k].sent_ns = due;
        ids[i][0] = (uint8_t)(id >> 8);
        ids[i][1] = (uint8_t)id;
        iov[i][0] = (struct iovec){ids[i], 2};
        iov[i][1] = (struct iovec){(void *)(uintptr_t)q->wire, q->len};
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = iov[i], .msg_iovlen = 2};
    }
    int done = sendmmsg(s->fd, msgs, n, 0);
    if (done < 0) {
        done = 0;
        send_errors++; /* ECONNREFUSED of an earlier query, or a full buffer: the slots go back */
    }
    for (unsigned i = (unsigned)done; i < n; i++)
        s->slots[used[i]].sent_ns = 0;
    s->in_flight += (unsigned)done;
    sent += (unsigned)done;
}

static void answer_take(struct sock *s, const uint8_t *p, unsigned len, uint64_t now)
{
    uint16_t id = len >= 12 ? (uint16_t)(p[0] << 8 | p[1]) : 0;
    unsigned k = id & (opt.window - 1);
    struct slot *slot = &s->slots[k];
    if (len < 12 || !(p[2] & 0x80) || slot->sent_ns == 0 || slot->id != id) {
        unexpected++;
        return;
    }
    uint64_t took = now > slot->sent_ns ? now - slot->sent_ns : 0;
    histogram[bucket_of(took)]++;
    latency_max = took > latency_max ? took : latency_max;
    rcodes[p[3] & 15]++;
    slot->sent_ns = 0;
    s->free_slots[opt.window - s->in_flight] = (uint16_t)k;
    s->in_flight--;
    answered++;
}

static unsigned sock_receive(struct sock *s)
{
    static struct mmsghdr msgs[BATCH];
    static struct iovec iov[BATCH];
    static uint8_t data[BATCH][ANSWER_MAX];
    for (unsigned i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){data[i], ANSWER_MAX};
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(s->fd, msgs, BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = n > 0 ? now_ns() : 0;
    for (int i = 0; i < n; i++)
        answer_take(s, data[i], msgs[i].msg_len, now);
    return n > 0 ? (unsigned)n : 0;
}

static void expire(uint64_t now, uint64_t age)
{
    for (unsigned i = 0; i < opt.sockets; i++) {
        struct sock *s = &socks[i];
        for (unsigned k = 0; k < opt.window && s->in_flight; k++) {
            if (s->slots[k].sent_ns == 0 || now < s->slots[k].sent_ns + age)
                continue;
            s->slots[k].sent_ns = 0;
            s->free_slots[opt.window - s->in_flight] = (uint16_t)k;
            s->in_flight--;
            lost++;
        }
    }
}

static void wait_until(uint64_t when, uint64_t now)
{
    uint64_t left = when > now ? when - now : 0;
    struct timespec ts = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    if (ppoll(polls, opt.sockets, &ts, NULL) <= 0)
        return;
    for (unsigned i = 0; i < opt.sockets; i++)
        if (polls[i].revents)
            sock_receive(&socks[i]);
}

static void run(void)
{
    uint64_t start = now_ns(), end = start + (uint64_t)(opt.seconds * 1e9),
             next_expire = start + 50000000u;
    double gap = opt.rate > 0 ? 1e9 / opt.rate : 0;
    uint64_t due_count = 0;
    unsigned turn = 0;
    for (uint64_t now = start; now < end && (opt.count == 0 || sent < opt.count); now = now_ns()) {
        if (now >= next_expire) {
            expire(now, (uint64_t)opt.timeout_ms * 1000000u);
            next_expire = now + 50000000u;
        }
        if (opt.rate <= 0) {
            for (unsigned i = 0; i < opt.sockets; i++) {
                uint64_t left = opt.count ? opt.count - sent : BATCH;
                sock_send(&socks[i], left < BATCH ? (unsigned)left : BATCH, now_ns());
            }
            wait_until(next_expire, now);
            continue;
        }
        uint64_t due = start + (uint64_t)(gap * (double)due_count);
        if (due > now) {
            wait_until(due < end ? due : end, now);
            continue;
        }
        uint64_t before = sent;
        sock_send(&socks[turn], 1, due);
        skipped += sent == before;
        turn = turn + 1 == opt.sockets ? 0 : turn + 1;
        due_count++;
    }
    /* What is still under way may yet arrive. */
    uint64_t last = now_ns() + (uint64_t)opt.timeout_ms * 1000000u;
    for (uint64_t now = now_ns(); now < last && answered + lost < sent; now = now_ns())
        wait_until(last, now);
    expire(now_ns(), 0);
}

/* ---- the server's CPU ---- */

struct cpu {
    uint64_t sched_ns, user_ticks, system_ticks;
};

static struct cpu cpu_read(void)
{
    struct cpu c = {0, 0, 0};
    char path[300], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", opt.pid);
    FILE *f = fopen(path, "r");
    if (!f || !fgets(line, sizeof line, f))
        die(path, "no such process");
    fclose(f);
    const char *after = strrchr(line, ')'); /* the name may hold anything */
    unsigned long u = 0, s = 0;
    if (!after ||
        sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &u, &s) != 2)
        die(path, "cannot be read");
    c.user_ticks = u;
    c.system_ticks = s;
    snprintf(path, sizeof path, "/proc/%d/task", opt.pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        unsigned long long ns = 0;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", opt.pid, e->d_name);
        if (e->d_name[0] == '.' || !(f = fopen(path, "r")))
            continue;
        if (fscanf(f, "%llu", &ns) == 1)
            c.sched_ns += ns;
        fclose(f);
    }
    if (d)
        closedir(d);
    return c;
}

static void report(double elapsed, const struct cpu *a, const struct cpu *b)
{
    const char *sep = opt.json ? ", " : " ", *eq = opt.json ? "\": " : "=",
               *q = opt.json ? "\"" : "";
    double n = answered ? (double)answered : 1, tick = 1e9 / (double)sysconf(_SC_CLK_TCK);
#define FIELD(name, fmt, value) printf("%s%s%s" fmt "%s", q, name, eq, value, sep)
    fputs(opt.json ? "{" : "", stdout);
    FIELD("seconds", "%.3f", elapsed);
    FIELD("sent", "%lu", (unsigned long)sent);
    FIELD("answered", "%lu", (unsigned long)answered);
    FIELD("lost", "%lu", (unsigned long)lost);
    FIELD("unexpected", "%lu", (unsigned long)unexpected);
    FIELD("send_errors", "%lu", (unsigned long)send_errors);
    FIELD("skipped", "%lu", (unsigned long)skipped);
    FIELD("qps", "%.0f", (double)answered / elapsed);
    FIELD("noerror", "%lu", (unsigned long)rcodes[0]);
    FIELD("servfail", "%lu", (unsigned long)rcodes[2]);
    FIELD("nxdomain", "%lu", (unsigned long)rcodes[3]);
    FIELD("refused", "%lu", (unsigned long)rcodes[5]);
    FIELD("p50_us", "%.1f", percentile(0.5));
    FIELD("p90_us", "%.1f", percentile(0.9));
    FIELD("p99_us", "%.1f", percentile(0.99));
    FIELD("p999_us", "%.1f", percentile(0.999));
    if (opt.pid) {
        FIELD("cpu_ns_per_query", "%.0f", (double)(b->sched_ns - a->sched_ns) / n);
        FIELD("user_ns_per_query", "%.0f", (double)(b->user_ticks - a->user_ticks) * tick / n);
        FIELD("system_ns_per_query", "%.0f",
              (double)(b->system_ticks - a->system_ticks) * tick / n);
        FIELD("cpu_share", "%.3f", (double)(b->sched_ns - a->sched_ns) / 1e9 / elapsed);
    }
#undef FIELD
    printf("%smax_us%s%.1f%s\n", q, eq, (double)latency_max / 1e3, opt.json ? "}" : "");
}

static void usage(void)
{
    fputs("usage: dnsload [-s sockets] [-w window] [-r rate] [-d seconds] [-n count] [-t "
          "timeout-ms]\n"
          "               [-q file] [-e] [--pid PID] [--json] ADDRESS:PORT\n",
          stderr);
    exit(2);
}

static void options_parse(int argc, char **argv)
{
    static const struct option longs[] = {{"pid", required_argument, NULL, 'p'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "s:w:r:d:n:t:q:e", longs, NULL)) != -1;) {
        switch (c) {
        case 's':
            opt.sockets = (unsigned)atoi(optarg);
            break;
        case 'w':
            opt.window = (unsigned)atoi(optarg);
            break;
        case 'r':
            opt.rate = atof(optarg);
            opt.window = WINDOW_MAX; /* an open loop has no window; this only bounds memory */
            break;
        case 'd':
            opt.seconds = atof(optarg);
            break;
        case 'n':
            opt.count = strtoull(optarg, NULL, 10);
            break;
        case 't':
            opt.timeout_ms = (unsigned)atoi(optarg);
            break;
        case 'q':
            opt.file = optarg;
            break;
        case 'e':
            opt.edns = 1;
            break;
        case 'p':
            opt.pid = atoi(optarg);
            break;
        case 'j':
            opt.json = 1;
            break;
        default:
            usage();
        }
    }
    if (optind + 1 != argc || endpoint_parse(argv[optind], 53, &opt.to) != PM_OK || !opt.sockets ||
        opt.sockets > SOCKETS_MAX || !opt.window || opt.window > WINDOW_MAX ||
        (opt.window & (opt.window - 1)) || !opt.timeout_ms || opt.seconds <= 0)
        usage();
    if (!destination_allowed(&opt.to.addr))
        die(argv[optind], "only loopback and documentation addresses may be loaded");
}

int main(int argc, char **argv)
{
    options_parse(argc, argv);
    if (getrandom(&rng, sizeof rng, 0) != sizeof rng)
        rng = now_ns();
    prctl(PR_SET_TIMERSLACK, 1); /* the pace of -r, not the kernel's 50 us of grace */
    queries_read();
    sockets_open();
    struct cpu before = {0, 0, 0}, after = before;
    if (opt.pid)
        before = cpu_read();
    uint64_t start = now_ns();
    run();
    double elapsed = (double)(now_ns() - start) / 1e9;
    if (opt.pid)
        after = cpu_read();
    report(elapsed, &before, &after);
    return answered ? 0 : 1;
}
