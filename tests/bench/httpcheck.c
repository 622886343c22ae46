/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one http check costs: runs COUNT checks, IN_FLIGHT at a time, against 127.0.0.1:PORT and prints checks per
 * second and the CPU time of this process per check. Beside it the floor: the same connections made by bare system
 * calls, one after the other. Usage: httpcheck PORT COUNT IN_FLIGHT [YAML]; run a httpstub on PORT.
 */
#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../scenario/probe_run.h"
#include "monitor/http_params.h"

static struct probe_run t;
static struct endpoint target;
static unsigned long left, running, bad;

static double cpu_us(double *user)
{
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    *user = (double)ru.ru_utime.tv_sec * 1e6 + (double)ru.ru_utime.tv_usec;
    return *user + (double)ru.ru_stime.tv_sec * 1e6 + (double)ru.ru_stime.tv_usec;
}

static void on_done(struct probe *p, const struct probe_result *r)
{
    if (r->status != PROBE_OK && bad++ == 0)
        fprintf(stderr, "%s: %s\n", probe_status_name(r->status), r->why);
    uv_stop(&t.loop); /* look for work before waiting */
    running--;
    p->params = NULL; /* free for the next */
}

static void fill(uv_timer_t *timer)
{
    (void)timer;
}

static void run(struct probe *probes, unsigned in_flight)
{
    while (left > 0 || running > 0) {
        for (unsigned i = 0; i < in_flight && left > 0; i++) {
            struct probe *p = &probes[i];
            if (p->params)
                continue;
            *p = (struct probe){.module = t.module, .loop = &t.loop, .shared = t.shared, .params = t.params,
                                .target = target, .host = "www.example.com", .timeout_ms = 5000,
                                .started_ns = uv_hrtime(), .done = on_done};
            left--;
            running++;
            t.module->start(p);
        }
        uv_run(&t.loop, UV_RUN_ONCE);
    }
}

/* The least a check can be: connect, send, receive to the end, close. */
static void floor_once(void)
{
    static const char ask[] = "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n";
    struct sockaddr_storage sa;
    char in[4096];
    socklen_t n = endpoint_to_sockaddr(&target, &sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&sa, n) == 0 && send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0)
        while (recv(fd, in, sizeof(in), 0) > 0)
            ;
    close(fd);
}

static void report(const char *what, unsigned long count, double cpu, double user, uint64_t ns)
{
    printf("%-8s checks/s=%.0f cpu_us_per_check=%.1f user_us=%.1f system_us=%.1f cpu_at_10000_per_s=%.0f%% bad=%lu\n",
           what, (double)count * 1e9 / (double)ns, cpu / (double)count, user / (double)count,
           (cpu - user) / (double)count, cpu / (double)count * 10000 / 1e4, bad);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    unsigned long count = strtoul(argv[2], NULL, 10);
    unsigned in_flight = (unsigned)strtoul(argv[3], NULL, 10);
    struct probe *probes = mem_alloc(in_flight * sizeof(*probes));
    if (addr_parse("127.0.0.1", &target.addr) != 0)
        return 2;
    target.port = (uint16_t)atoi(argv[1]);
    probe_run_open(&t, &monitor_http, argc > 4 ? argv[4] : "{}");
    double user0, user1, cpu0, cpu1;
    uint64_t ns0 = uv_hrtime(), ns1;
    cpu0 = cpu_us(&user0);
    for (unsigned long i = 0; i < count; i++)
        floor_once();
    cpu1 = cpu_us(&user1);
    ns1 = uv_hrtime();
    report("floor", count, cpu1 - cpu0, user1 - user0, ns1 - ns0);
    left = count;
    run(probes, in_flight);
    cpu0 = cpu_us(&user0);
    report("module", count, cpu0 - cpu1, user0 - user1, uv_hrtime() - ns1);
    uv_timer_start(&t.timer, fill, 1, 0);
    probe_run_close(&t);
    free(probes);
    return bad > 0;
}
