/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wide-area network in one process, for kernels without netem: it makes a network namespace per site, with a TUN
 * device "wan0" as its way out, and carries IP packets between them with the delay, jitter, loss, duplication,
 * reordering, rate and cuts that each ordered pair of sites has. Everything may be changed while it runs.
 *
 *     wan [--listen PATH]         commands on stdin, or on connections to a Unix socket as well; "help" lists them
 *
 * Each site has a router: a packet passes the sender's and the receiver's, each takes one from its TTL, and answers
 * with ICMP when it runs out or when nothing leads to the destination. A prefix at several sites is anycast: the
 * nearest one that can be reached gets the packet.
 *
 * The namespaces have no names and no files: another process enters one by /proc/PID/fd/NS, and they end when this
 * process and those in them have. It ends with SIGTERM, SIGINT, "quit", the end of stdin, or its parent.
 *
 * Accuracy: a packet never arrives early; how late it was beyond its due time is what "stats" says (late_*). Rates are
 * of IP bytes. Devices have an MTU of 1500 and no offloads, so each packet costs two system calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wan.h"

enum { READ_BATCH = 64, LINE_LEN = 4096 };

/* What epoll tells us about: a site by its number, else one of these with a pointer. */
struct console {
    int in, out; /* the same one for a socket */
    size_t have;
    char line[LINE_LEN];
};

struct source {
    enum { SITE, CONSOLE, LISTENER, SIGNALS } kind;
    unsigned site;
    struct console *console;
};

struct site sites[MAX_SITES];
unsigned site_count;
struct pair pairs[MAX_SITES][MAX_SITES];
static struct source site_sources[MAX_SITES];
static int epoll_fd, home_ns;
static bool stopping;

uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "wan: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int fd, struct source *s)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
        die("epoll_ctl");
}

/* In the namespace just entered. */
static int tun_open(void)
{
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strcpy(ifr.ifr_name, "wan0");
    if (ioctl(fd, TUNSETIFF, &ifr) != 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int site_open(struct site *s)
{
    if (unshare(CLONE_NEWNET) != 0)
        return -errno;
    s->ns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    s->tun_fd = s->ns_fd < 0 ? -errno : tun_open();
    if (setns(home_ns, CLONE_NEWNET) != 0)
        die("cannot go home"); /* nothing works from the wrong namespace */
    if (s->tun_fd < 0) {
        if (s->ns_fd >= 0)
            close(s->ns_fd);
        return s->tun_fd;
    }
    struct source *source = &site_sources[site_count];
    *source = (struct source){.kind = SITE, .site = site_count};
    watch(s->tun_fd, source);
    return 0;
}

static void deliver(struct packet *p, unsigned site)
{
    if (write(sites[site].tun_fd, p->data, p->len) < 0)
        sites[site].write_errors++;
    packet_put(p);
}

/* The router of a site answers a packet that came from `to`; does not own `about`. */
static void complain(const struct packet *about, unsigned router, unsigned to, enum icmp_error what, uint64_t now)
{
    struct packet *p = packet_get();
    if (!p)
        return;
    p->from = router;
    p->to = to;
    if (!packet_icmp_error(about, &sites[router], what, p))
        packet_put(p);
    else if (router == to)
        deliver(p, to);
    else
        link_send(p, now);
}

/* A packet leaves a site: its router sends it on its way. */
static void depart(struct packet *p, uint64_t now)
{
    enum hop hop = packet_hop(p);
    if (hop == HOP_ON) {
        bool own;
        int to = packet_route(p, p->from, &own);
        if (to >= 0) {
            p->to = (unsigned)to;
            link_send(p, now);
            return;
        }
        sites[p->from].no_route++;
        complain(p, p->from, p->from, own ? ICMP_NO_HOST : ICMP_NO_ROUTE, now);
    } else if (hop == HOP_EXPIRED) {
        complain(p, p->from, p->from, ICMP_TTL_EXCEEDED, now);
    }
    packet_put(p);
}

static void arrive(struct packet *p, uint64_t now)
{
    if (packet_hop(p) == HOP_ON) {
        deliver(p, p->to);
        return;
    }
    complain(p, p->to, p->from, ICMP_TTL_EXCEEDED, now);
    packet_put(p);
}

static void read_site(unsigned site)
{
    for (unsigned i = 0; i < READ_BATCH; i++) {
        struct packet *p = packet_get();
        if (!p) {
            uint8_t away[PACKET_MAX]; /* too much on its way: the router drops it */
            if (read(sites[site].tun_fd, away, sizeof away) < 0)
                return;
            continue;
        }
        ssize_t n = read(sites[site].tun_fd, p->data, sizeof p->data);
        if (n <= 0) {
            packet_put(p);
            return;
        }
        p->from = site;
        p->len = (unsigned)n;
        depart(p, now_ns());
    }
}

static void deliver_due(void)
{
    uint64_t now = now_ns();
    for (unsigned i = 0; i < 4 * READ_BATCH && link_next_due() <= now; i++, now = now_ns()) {
        struct packet *p = link_due(now);
        if (p)
            arrive(p, now);
    }
}

static void console_close(struct source *s)
{
    close(s->console->in);
    free(s->console);
    free(s);
}

static void answer(struct console *c, char *line)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        die("open_memstream");
    if (control_line(line, out))
        stopping = true;
    fclose(out);
    for (size_t done = 0; done < len;) {
        ssize_t n = write(c->out, text + done, len - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    free(text);
}

static void read_console(struct source *s)
{
    struct console *c = s->console;
    ssize_t n = read(c->in, c->line + c->have, sizeof c->line - 1 - c->have);
    if (n <= 0) {
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        if (c->in == 0)
            stopping = true;
        else
            console_close(s);
        return;
    }
    c->have += (size_t)n;
    char *at = c->line, *end;
    while ((end = memchr(at, '\n', c->have - (size_t)(at - c->line)))) {
        *end = 0;
        answer(c, at);
        at = end + 1;
    }
    c->have -= (size_t)(at - c->line);
    memmove(c->line, at, c->have);
    if (c->have == sizeof c->line - 1)
        c->have = 0; /* no command is that long */
}

static void open_console(int in, int out)
{
    struct source *s = calloc(1, sizeof *s);
    struct console *c = calloc(1, sizeof *c);
    if (!s || !c)
        die("calloc");
    c->in = in;
    c->out = out;
    *s = (struct source){.kind = CONSOLE, .console = c};
    watch(in, s);
}

static int listen_at(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sun.sun_path) {
        errno = ENAMETOOLONG;
        die(path);
    }
    strcpy(sun.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof sun) != 0 || listen(fd, 8) != 0)
        die(path);
    return fd;
}

static void handle(struct source *s, int listener)
{
    if (s->kind == SITE)
        read_site(s->site);
    else if (s->kind == CONSOLE)
        read_console(s);
    else if (s->kind == SIGNALS)
        stopping = true;
    else {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            struct timeval patience = {.tv_usec = 200000}; /* for one who asks and does not read */
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
            open_console(fd, fd);
        }
    }
}

static void loop(int listener)
{
    struct epoll_event events[MAX_SITES];
    while (!stopping) {
        uint64_t due = link_next_due(), now = now_ns();
        uint64_t wait = due <= now ? 0 : due - now;
        struct timespec ts = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
        int n = epoll_pwait2(epoll_fd, events, MAX_SITES, due == UINT64_MAX ? NULL : &ts, NULL);
        if (n < 0 && errno != EINTR)
            die("epoll_pwait2");
        deliver_due();
        for (int i = 0; i < n; i++) {
            handle(events[i].data.ptr, listener);
            deliver_due(); /* what is due does not wait for what just comes */
        }
    }
}

int main(int argc, char **argv)
{
    const char *path = argc == 3 && strcmp(argv[1], "--listen") == 0 ? argv[2] : NULL;
    if (argc != 1 && !path) {
        fprintf(stderr, "usage: wan [--listen PATH] < commands\n");
        return 2;
    }
    pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        return 1; /* it ended before it was watched */
    prctl(PR_SET_TIMERSLACK, 1);
    /* Best effort: a late emulator is a wrong one. It sleeps unless there are packets. */
    if (sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1}) != 0)
        setpriority(PRIO_PROCESS, 0, -20);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    home_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int signals = signalfd(-1, &set, SFD_CLOEXEC), listener = path ? listen_at(path) : -1;
    if (home_ns < 0 || epoll_fd < 0 || signals < 0)
        die("start");
    struct source on_signal = {.kind = SIGNALS}, on_listen = {.kind = LISTENER};
    watch(signals, &on_signal);
    if (listener >= 0)
        watch(listener, &on_listen);
    open_console(0, 1);
    loop(listener);
    if (path)
        unlink(path);
    return 0;
}
