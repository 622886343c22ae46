/* SPDX-License-Identifier: Apache-2.0 */
/*
 * askers CLIENTS keep|close HOST ADDRESS:PORT PATH [ADDRESS:PORT PATH]...
 *
 * Clients that each ask for one of the paths after the other, drawn at random, at the address beside it; kept connections are one for
 * each address and client, as of somebody who knows where everything is. (wrk has one address.) It reads 8 KB at a time, as wrk
 * does, until SIGINT, and says then what wrk would.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESSES_MAX = 8, PATHS_MAX = 64, READ_BYTES = 8192, LATENCIES_MAX = 1 << 24, HEAD_MAX = 4096 };

struct client;
struct connection {
    struct client *client;
    int fd; /* -1: none */
    bool connecting;
};
struct client {
    struct connection to[ADDRESSES_MAX];
    unsigned path; /* asked for */
    uint64_t since_ns;
    uint64_t left; /* of the answer's body */
    char head[HEAD_MAX];
    size_t head_len; /* HEAD_MAX: the head is over */
};

static struct sockaddr_in address[ADDRESSES_MAX];
static unsigned address_count, path_count, path_address[PATHS_MAX];
static char *request[PATHS_MAX];
static bool closes;
static int poller;
static volatile sig_atomic_t stop;
static uint64_t requests, bytes, errors;
static uint32_t *latency;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "askers: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void drop(struct connection *c)
{
    close(c->fd);
    c->fd = -1;
}

static void ask(struct client *c);

static void write_request(struct client *c)
{
    struct connection *to = &c->to[path_address[c->path]];
    size_t n = strlen(request[c->path]);
    if (write(to->fd, request[c->path], n) != (ssize_t)n) {
        errors++;
        drop(to);
        ask(c);
    }
}

static void dial(struct connection *c, unsigned to)
{
    static const int one = 1;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->connecting = true;
    if (connect(c->fd, (struct sockaddr *)&address[to], sizeof address[to]) != 0 && errno != EINPROGRESS)
        fail("connect");
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e) != 0)
        fail("epoll_ctl");
}

static void ask(struct client *c)
{
    c->path = (unsigned)(random() % path_count);
    c->since_ns = now_ns();
    c->head_len = 0;
    struct connection *to = &c->to[path_address[c->path]];
    if (to->fd < 0)
        dial(to, path_address[c->path]);
    else
        write_request(c);
}

static void answered(struct client *c, struct connection *from)
{
    uint64_t us = (now_ns() - c->since_ns) / 1000;
    latency[requests++ % LATENCIES_MAX] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    if (closes)
        drop(from);
    ask(c);
}

/* How much of the body came with the head, or -1: it is not whole. */
static ssize_t end_of_head(struct client *c, const char *got, size_t n)
{
    size_t room = HEAD_MAX - 1 - c->head_len, take = n < room ? n : room;
    memcpy(c->head + c->head_len, got, take);
    c->head[c->head_len + take] = 0;
    const char *end = strstr(c->head, "\r\n\r\n"), *length = strcasestr(c->head, "\r\nContent-Length:");
    if (!end) {
        c->head_len += take;
        return -1;
    }
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || !length)
        errors++;
    size_t head = (size_t)(end + 4 - c->head) - c->head_len;
    c->left = length ? strtoull(length + 17, NULL, 10) : 0;
    c->head_len = HEAD_MAX;
    return (ssize_t)(n - head);
}

static void readable(struct client *c, struct connection *from)
{
    char got[READ_BYTES];
    for (;;) {
        ssize_t n = read(from->fd, got, sizeof got);
        if (n < 0 && errno == EAGAIN)
            return;
        bool asked = from == &c->to[path_address[c->path]];
        if (n <= 0) { /* closed while idle is no error */
            drop(from);
            errors += asked;
            if (asked)
                ask(c);
            return;
        }
        bytes += (uint64_t)n;
        if (c->head_len != HEAD_MAX && (n = end_of_head(c, got, (size_t)n)) < 0)
            continue;
        c->left -= (uint64_t)n < c->left ? (uint64_t)n : c->left;
        if (!c->left) {
            answered(c, from);
            return; /* what comes next wakes us again */
        }
    }
}

static void on_signal(int signal)
{
    stop = signal;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void say(double seconds)
{
    size_t n = requests < LATENCIES_MAX ? requests : LATENCIES_MAX;
    qsort(latency, n, sizeof *latency, by_value);
    printf("50%% %u.0us\n99%% %u.0us\n", n ? latency[n / 2] : 0, n ? latency[n - 1 - n / 100] : 0);
    printf("%llu requests in %.3fs, %llu.0B read\n", (unsigned long long)requests, seconds, (unsigned long long)bytes);
    if (errors)
        printf("Socket errors: %llu\n", (unsigned long long)errors);
}

static unsigned address_of(char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    char *port = strrchr(text, ':');
    if (port)
        *port = 0;
    if (!port || inet_pton(AF_INET, text, &a.sin_addr) != 1)
        fail(text);
    a.sin_port = htons((uint16_t)atoi(port + 1));
    unsigned i = 0;
    while (i < address_count && (address[i].sin_addr.s_addr != a.sin_addr.s_addr || address[i].sin_port != a.sin_port))
        i++;
    if (i == ADDRESSES_MAX)
        fail("too many addresses");
    address_count += i == address_count;
    address[i] = a;
    return i;
}

int main(int argc, char **argv)
{
    if (argc < 6 || argc % 2 || (argc - 4) / 2 > PATHS_MAX)
        return 2;
    unsigned count = (unsigned)atoi(argv[1]);
    closes = strcmp(argv[2], "close") == 0;
    for (int i = 4; i < argc; i += 2) {
        path_address[path_count] = address_of(argv[i]);
        if (asprintf(&request[path_count++], "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", argv[i + 1], argv[3],
                     closes ? "Connection: close\r\n" : "") < 0)
            fail("asprintf");
    }
    struct client *clients = calloc(count, sizeof *clients);
    latency = calloc(LATENCIES_MAX, sizeof *latency);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || !latency || poller < 0)
        fail("no memory");
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    srandom((unsigned)getpid());
    uint64_t begin = now_ns();
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < ADDRESSES_MAX; k++)
            clients[i].to[k] = (struct connection){.client = &clients[i], .fd = -1};
        ask(&clients[i]);
    }
    while (!stop) {
        struct epoll_event e[64];
        int n = epoll_wait(poller, e, 64, 100);
        for (int i = 0; i < n; i++) {
            struct connection *c = e[i].data.ptr;
            if (c->fd >= 0 && c->connecting && e[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
                c->connecting = false;
                write_request(c->client);
            }
            if (c->fd >= 0 && !c->connecting && e[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                readable(c->client, c);
        }
    }
    say((double)(now_ns() - begin) / 1e9);
    return 0;
}
