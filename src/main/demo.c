/* SPDX-License-Identifier: Apache-2.0 */
#include "main/demo.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/addr.h"
#include "base/buf.h"
#include "main/cli.h"
#include "main/daemon.h"

#define DNS_ADDRESS "127.0.0.1"
enum { DNS_PORT_FIRST = 5300, DNS_PORT_LAST = 5399 };

const struct demo_site demo_sites[DEMO_SITES] = {
    {"paris", "127.0.10.1", "192.0.2.7", 5, 30, 15},
    {"london", "127.0.10.2", "198.51.100.7", 15, 0, 0},
    {"newyork", "127.0.10.3", "203.0.113.7", 40, 0, 0},
};

static const char config_text[] =
    "node: {name: demo, state: '', user: '', log-level: warn}\n"
    "dns: {listen: ['" DNS_ADDRESS ":%u'], nsid: on}\n"
    "api: {socket: '%s', metrics: off}\n"
    "zones:\n"
    "  demo.example: {ns: [ns1.demo.example]}\n"
    "geo:\n"
    "  overrides:\n"
    "    - {prefix: 192.0.2.0/24, country: FR, location: [48.85, 2.35]}\n"
    "    - {prefix: 198.51.100.0/24, country: GB, location: [51.51, -0.13]}\n"
    "    - {prefix: 203.0.113.0/24, country: US, location: [40.71, -74.01]}\n"
    "sites:\n"
    "  paris: {location: [48.85, 2.35], country: FR}\n"
    "  london: {location: [51.51, -0.13], country: GB}\n"
    "  newyork: {location: [40.71, -74.01], country: US, cost: 0.5}\n"
    "checks:\n"
    "  web: {http: {path: /, body: hello}, port: %u, interval: 1s, timeout: 500ms, rise: 2, fall: 2}\n"
    "defaults: {check: web, ttl: auto, min-ttl: 1s}\n"
    "services:\n"
    "  www.demo.example: {policy: nearest, addresses: 1, sites: {paris: 127.0.10.1, london: 127.0.10.2, newyork: 127.0.10.3}}\n"
    "  fast.demo.example: {policy: sun-least-loaded, addresses: all, sites: {paris: 127.0.10.1, london: 127.0.10.2, newyork: 127.0.10.3}}\n"
    "  shop.demo.example: {policy: weighted, sites: {paris: {vips: 127.0.10.1, weight: 6}, london: {vips: 127.0.10.2, weight: 3},"
    " newyork: {vips: 127.0.10.3, weight: 1}}}\n"
    "  cheap.demo.example: {policy: cheapest, sites: {paris: 127.0.10.1, london: 127.0.10.2, newyork: 127.0.10.3}}\n";

/* A port that nobody has, for UDP and TCP. */
static uint16_t free_port(void)
{
    for (uint16_t port = DNS_PORT_FIRST; port <= DNS_PORT_LAST; port++) {
        struct endpoint at = {.port = port};
        struct sockaddr_storage sa;
        if (addr_parse(DNS_ADDRESS, &at.addr) != PM_OK)
            return 0;
        socklen_t len = endpoint_to_sockaddr(&at, &sa);
        int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0), one = 1;
        setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        bool ok = bind(udp, (struct sockaddr *)&sa, len) == 0 && bind(tcp, (struct sockaddr *)&sa, len) == 0;
        close(udp);
        close(tcp);
        if (ok)
            return port;
    }
    return 0;
}

/* Runs fn in a child that dies with us. */
static pid_t child(int (*fn)(uint16_t port), uint16_t port)
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    /* The daemon may have its handlers and sockets already: none of them are the child's. */
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    close_range(3, ~0u, 0);
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; we go when the daemon goes */
    if (getppid() != parent)
        _exit(0);
    _exit(fn(port));
}

static int run_origins(uint16_t port)
{
    return demo_origins();
}

static int run_watch(uint16_t port)
{
    return demo_watch(DNS_ADDRESS, port);
}

struct demo {
    uint16_t port;
    const char *socket;
    pid_t watcher;
};

static void introduce(void *ctx)
{
    struct demo *d = ctx;
    printf("\nPointsman demo: one service at three sites on this machine.\n\n");
    for (unsigned i = 0; i < DEMO_SITES; i++)
        printf("  %-8s web server %s:%d, answers after %u ms%s\n", demo_sites[i].name, demo_sites[i].address, DEMO_HTTP_PORT,
               demo_sites[i].delay_ms, demo_sites[i].down_s ? ", fails 15 s in every 45" : "");
    printf("\nType in another terminal:\n\n"
           "  dig @" DNS_ADDRESS " -p %u www.demo.example +subnet=192.0.2.7      # a client in Paris\n"
           "  dig @" DNS_ADDRESS " -p %u www.demo.example +subnet=203.0.113.7    # a client in New York\n"
           "  dig @" DNS_ADDRESS " -p %u fast.demo.example +short                # fastest first\n"
           "  export POINTSMAN_SOCKET=%s\n"
           "  pointsman explain www.demo.example --client 192.0.2.7\n"
           "  pointsman sites\n"
           "  pointsman disable paris --for 1m\n"
           "  pointsman top\n\n"
           "Ctrl-C ends it. Answers of www.demo.example as they change:\n\n",
           d->port, d->port, d->port, d->socket);
    fflush(stdout);
    d->watcher = child(run_watch, d->port);
}

/* A folder only we can enter, for the control socket. */
static bool make_dir(char *out, size_t size)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    if (!base || access(base, W_OK) != 0)
        base = getenv("TMPDIR");
    snprintf(out, size, "%s/pointsman-demo-XXXXXX", base && *base ? base : "/tmp");
    return mkdtemp(out) != NULL;
}

static void end_child(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
}

int demo_main(int argc, char **argv)
{
    char dir[128], socket[160];
    struct buf text = BUF_INIT;
    struct demo d = {.port = free_port(), .socket = socket};
    if (!d.port)
        return cli_error(CLI_FAILED, "no free port between %d and %d on " DNS_ADDRESS, DNS_PORT_FIRST, DNS_PORT_LAST);
    if (!make_dir(dir, sizeof dir))
        return cli_error(CLI_FAILED, "cannot make %s: %s", dir, strerror(errno));
    snprintf(socket, sizeof socket, "%s/control.sock", dir);
    buf_printf(&text, config_text, d.port, socket, DEMO_HTTP_PORT);
    pid_t origins = child(run_origins, 0);
    struct daemon_options o = {.config = {.path = "demo.yaml", .text = buf_str(&text)}, .started = introduce, .ctx = &d};
    int rc = daemon_run(&o);
    end_child(d.watcher);
    end_child(origins);
    unlink(socket);
    rmdir(dir);
    buf_fini(&text);
    if (!rc)
        printf("\nThe demo has ended; nothing is left behind.\n");
    return rc;
}
