/* SPDX-License-Identifier: Apache-2.0 */
/* surf's command line and its list of paths. */
#include "surf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *default_host, *paths_file;
static bool requests_given;

static const char USAGE[] =
    "usage: surf [OPTION...] ADDRESS:PORT [PATH...]\n"
    "  --paths FILE        more paths, one a line, \"path\" or \"host path\"; \"-\": stdin\n"
    "  --random SEED       choose among the paths at random, not in order\n"
    "  --host NAME         for paths without one of their own\n"
    "  -c N                connections at the same time (1)\n"
    "  -n N                requests in all (each path once; without end if there is a -t)\n"
    "  -t S                no new requests after so long\n"
    "  --keep N            requests of a connection; 0 (the default): one, with Connection: close\n"
    "  --pipeline N        requests on the way at the same time (1)\n"
    "  --rate R            requests per second in all\n"
    "  --idle MS           pause between the requests of a connection (between batches, if pipelined)\n"
    "  --post SIZE[:SHARE] so many of the requests (1: all) are POSTs of SIZE bytes\n"
    "  --post-expect MODE  none, echo-length, echo-sum (\"LENGTH SHA-256\"), echo (the same bytes)\n"
    "  --slow MS[:B]       send B bytes (1) every MS\n"
    "  --split AT[:MS]     send AT bytes of each request, pause (50 ms), send the rest\n"
    "  --half-close        shut down our side after the last request, read to the end\n"
    "  --rst RATE          abort the connection with RST somewhere in this share of the requests\n"
    "  --bind A[-B]        source addresses, in turn\n"
    "  --source-port P[-Q] source ports, used again and again\n"
    "  --mss N             largest segment\n"
    "  --connecting N      at most so many connections being opened at a time (256)\n"
    "  --timeout S         without a byte for so long a request is hung (10)\n"
    "  --status N          the status that is right (200)\n"
    "  --count-header NAME count the values of a response header\n";

__attribute__((noreturn, format(printf, 1, 2))) static void refuse(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "surf: ");
    vfprintf(stderr, format, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    exit(2);
}

static double number(const char *text, const char *option, double least, double most)
{
    char *end;
    errno = 0;
    double d = strtod(text, &end);
    if (end == text || *end || errno || !(d >= least && d <= most))
        refuse("%s: %s is not a number from %g to %g", option, text, least, most);
    return d;
}

/* "A" or "A<sep>B"; returns A's end with B in *second, which stays as it was if there is none. */
static double pair(char *text, const char *option, char sep, double least, double most, double *second, double most2)
{
    char *b = strchr(text, sep);
    if (b) {
        *b++ = '\0';
        *second = number(b, option, 0, most2);
    }
    return number(text, option, least, most);
}

static socklen_t address(const char *text, uint16_t port, struct sockaddr *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof(v4));
        return sizeof(v4);
    }
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(out, &v6, sizeof(v6));
        return sizeof(v6);
    }
    refuse("%s is no IPv4 or IPv6 address", text);
}

/* "192.0.2.1:80", "[2001:db8::1]:80". */
static void read_target(const char *text)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    if (!colon || len >= sizeof(host) || len == 0)
        refuse("%s is not ADDRESS:PORT", text);
    memcpy(host, text, len);
    host[len] = '\0';
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        memmove(host, host + 1, len - 1);
    }
    opt.to_len = address(host, (uint16_t)number(colon + 1, "port", 1, 65535), &opt.to.sa);
    if (!default_host)
        default_host = text;
}

/* The last four bytes are what counts up: a range of more than 2^32 addresses is nobody's. */
static uint32_t low_bits(const struct sockaddr *sa)
{
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;
    uint32_t n;
    if (sa->sa_family == AF_INET) {
        memcpy(&v4, sa, sizeof(v4));
        n = v4.sin_addr.s_addr;
    } else {
        memcpy(&v6, sa, sizeof(v6));
        memcpy(&n, v6.sin6_addr.s6_addr + 12, 4);
    }
    return ntohl(n);
}

static void read_bind(char *text)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in6 room;
    } last;
    char *dash = strchr(text, '-');
    if (dash)
        *dash++ = '\0';
    address(text, 0, &opt.bind_first.sa);
    address(dash ? dash : text, 0, &last.sa);
    uint32_t from = low_bits(&opt.bind_first.sa), to = low_bits(&last.sa);
    if (last.sa.sa_family != opt.bind_first.sa.sa_family || to < from || to - from > 65535)
        refuse("--bind: not a range of at most 65536 addresses");
    opt.bind_count = to - from + 1;
}

static void make_heads(struct target *t)
{
    for (int post = 0; post < 2; post++) {
        for (int close = 0; close < 2; close++) {
            char length[64] = "";
            if (post)
                snprintf(length, sizeof(length), "Content-Length: %llu\r\n", (unsigned long long)opt.post_size);
            struct head *h = &t->heads[post][close];
            int n = asprintf(&h->text, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: surf\r\n%s%s\r\n",
                             post ? "POST" : "GET", t->path, t->host, length, close ? "Connection: close\r\n" : "");
            if (n < 0)
                abort();
            h->len = (size_t)n;
        }
    }
    char *name, hex[65];
    unsigned long long size = opt.post_size;
    if (opt.post_expect != POST_ECHO_LENGTH && opt.post_expect != POST_ECHO_SUM)
        return;
    if (asprintf(&name, "POST %s", t->path) < 0)
        abort();
    if (opt.post_expect == POST_ECHO_SUM)
        content_sum(name, opt.post_size, hex);
    int n = opt.post_expect == POST_ECHO_SUM ? asprintf(&t->post_answer, "%llu %s", size, hex)
                                             : asprintf(&t->post_answer, "%llu", size);
    if (n < 0)
        abort();
    free(name);
}

static void add_target(const char *host, const char *path)
{
    if ((opt.target_count & (opt.target_count - 1)) == 0) {
        size_t room = opt.target_count ? opt.target_count * 2 : 1;
        opt.targets = reallocarray(opt.targets, room, sizeof(*opt.targets));
        if (!opt.targets)
            abort();
    }
    struct target *t = &opt.targets[opt.target_count++];
    *t = (struct target){.host = strdup(host), .path = strdup(path)};
    if (!t->host || !t->path)
        abort();
    if (strlen(path) > 4000 || path[0] != '/' || (!content_size(path, &t->size) && opt.post_share < 1))
        refuse("%s: not a path with a size, like /a/17-65536.bin", path);
    make_heads(t);
}

static void read_paths(const char *name)
{
    FILE *f = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    char line[4096];
    if (!f)
        refuse("%s: %s", name, strerror(errno));
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\r\n")] = '\0';
        char *space = strchr(line, ' ');
        if (line[0] == '\0' || line[0] == '#')
            continue;
        if (space)
            *space = '\0';
        add_target(space ? line : default_host, space ? space + 1 : line);
    }
    fclose(f);
}

static void read_post_expect(const char *word)
{
    static const char *const names[] = {"none", "echo-length", "echo-sum", "echo"};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(word, names[i]) == 0) {
            opt.post_expect = i;
            return;
        }
    }
    refuse("--post-expect: %s is none of none, echo-length, echo-sum, echo", word);
}

enum {
    O_PATHS = 256,
    O_RANDOM,
    O_HOST,
    O_KEEP,
    O_PIPELINE,
    O_RATE,
    O_IDLE,
    O_POST,
    O_POST_EXPECT,
    O_SLOW,
    O_SPLIT,
    O_HALF_CLOSE,
    O_RST,
    O_BIND,
    O_SOURCE_PORT,
    O_MSS,
    O_CONNECTING,
    O_TIMEOUT,
    O_STATUS,
    O_COUNT_HEADER,
};

static const struct option LONG[] = {
    {"paths", 1, NULL, O_PATHS},
    {"random", 1, NULL, O_RANDOM},
    {"host", 1, NULL, O_HOST},
    {"keep", 1, NULL, O_KEEP},
    {"pipeline", 1, NULL, O_PIPELINE},
    {"rate", 1, NULL, O_RATE},
    {"idle", 1, NULL, O_IDLE},
    {"post", 1, NULL, O_POST},
    {"post-expect", 1, NULL, O_POST_EXPECT},
    {"slow", 1, NULL, O_SLOW},
    {"split", 1, NULL, O_SPLIT},
    {"half-close", 0, NULL, O_HALF_CLOSE},
    {"rst", 1, NULL, O_RST},
    {"bind", 1, NULL, O_BIND},
    {"source-port", 1, NULL, O_SOURCE_PORT},
    {"mss", 1, NULL, O_MSS},
    {"connecting", 1, NULL, O_CONNECTING},
    {"timeout", 1, NULL, O_TIMEOUT},
    {"status", 1, NULL, O_STATUS},
    {"count-header", 1, NULL, O_COUNT_HEADER},
    {NULL, 0, NULL, 0},
};

static uint64_t ms(double n)
{
    return (uint64_t)(n * NS_PER_MS);
}

/* How requests are sent. */
static bool read_manner(int option, char *arg)
{
    double second;
    switch (option) {
    case O_POST:
        second = 1;
        opt.post_size = (uint64_t)pair(arg, "--post", ':', 0, 1e15, &second, 1);
        opt.post_share = second;
        return true;
    case O_SLOW:
        second = 1;
        opt.slow_ns = ms(pair(arg, "--slow", ':', 0.01, 1e6, &second, 1e9));
        opt.slow_bytes = second < 1 ? 1 : (size_t)second;
        return true;
    case O_SPLIT:
        second = 50;
        opt.split_at = (size_t)pair(arg, "--split", ':', 1, 1e9, &second, 1e6);
        opt.split_ns = ms(second);
        return true;
    case O_SOURCE_PORT:
        second = 0;
        opt.port_first = (uint16_t)pair(arg, "--source-port", '-', 1, 65535, &second, 65535);
        if (second > 0 && second < opt.port_first)
            refuse("--source-port: the range ends before it begins");
        opt.port_count = second > 0 ? (uint32_t)second - opt.port_first + 1 : 1;
        return true;
    default:
        return false;
    }
}

static void read_option(int option, char *arg)
{
    switch (option) {
    case 'c':
        opt.connections = (unsigned)number(arg, "-c", 1, 1000000);
        break;
    case 'n':
        opt.requests = (uint64_t)number(arg, "-n", 1, 1e15);
        requests_given = true;
        break;
    case 't':
        opt.limit_ns = (uint64_t)(number(arg, "-t", 0.001, 1e7) * NS_PER_S);
        break;
    case O_PATHS:
        paths_file = arg;
        break;
    case O_RANDOM:
        opt.random_order = true;
        opt.seed = (uint64_t)number(arg, "--random", 0, 1e15);
        break;
    case O_HOST:
        default_host = arg;
        break;
    case O_KEEP:
        opt.keep = (unsigned)number(arg, "--keep", 0, 4e9);
        break;
    case O_PIPELINE:
        opt.pipeline = (unsigned)number(arg, "--pipeline", 1, PIPELINE_MAX);
        break;
    case O_RATE:
        opt.rate = number(arg, "--rate", 0.001, 1e8);
        break;
    case O_IDLE:
        opt.idle_ns = ms(number(arg, "--idle", 0, 1e9));
        break;
    case O_POST_EXPECT:
        read_post_expect(arg);
        break;
    case O_HALF_CLOSE:
        opt.half_close = true;
        break;
    case O_RST:
        opt.rst_rate = number(arg, "--rst", 0, 1);
        break;
    case O_BIND:
        read_bind(arg);
        break;
    case O_MSS:
        opt.mss = (int)number(arg, "--mss", 48, 65495);
        break;
    case O_CONNECTING:
        opt.connecting_max = (unsigned)number(arg, "--connecting", 1, 1000000);
        break;
    case O_TIMEOUT:
        opt.timeout_ns = (uint64_t)(number(arg, "--timeout", 0.001, 1e7) * NS_PER_S);
        break;
    case O_STATUS:
        opt.status = (unsigned)number(arg, "--status", 200, 599);
        break;
    case O_COUNT_HEADER:
        opt.count_header = arg;
        break;
    default:
        if (!read_manner(option, arg)) {
            fputs(USAGE, stderr);
            exit(2);
        }
    }
}

static void check_together(void)
{
    if (!opt.target_count)
        refuse("no path to ask for");
    if (opt.slow_ns && opt.split_at)
        refuse("--slow and --split: one of them");
    if (opt.keep == 0 && opt.pipeline > 1)
        refuse("--pipeline wants --keep");
    if (opt.bind_first.sa.sa_family != AF_UNSPEC && opt.bind_first.sa.sa_family != opt.to.sa.sa_family)
        refuse("--bind: not of the target's family");
    uint64_t addresses = opt.bind_count ? opt.bind_count : 1;
    if (opt.port_count && addresses * opt.port_count < opt.connections)
        refuse("--source-port: %u connections want as many addresses and ports", opt.connections);
    if (!requests_given)
        opt.requests = opt.limit_ns ? UINT64_MAX : opt.target_count;
}

void options_read(int argc, char **argv)
{
    int o;
    opt = (struct options){.connections = 1,
                           .connecting_max = 256,
                           .pipeline = 1,
                           .status = 200,
                           .seed = 1,
                           .timeout_ns = 10ull * NS_PER_S};
    while ((o = getopt_long(argc, argv, "c:n:t:", LONG, NULL)) != -1)
        read_option(o, optarg);
    if (optind == argc) {
        fputs(USAGE, stderr);
        exit(2);
    }
    read_target(argv[optind++]);
    for (; optind < argc; optind++)
        add_target(default_host, argv[optind]);
    if (paths_file)
        read_paths(paths_file);
    check_together();
}
