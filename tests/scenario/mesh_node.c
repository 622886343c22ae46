/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balancer that has nothing but its links, for scenarios: it pings every peer each few
 * milliseconds, answers pings, and writes a line of JSON twice a second: links, round trips of the
 * last half second, refusals, memory.
 *
 *   mesh_node tls DIR NAME LISTEN[,LISTEN...] [--flood PEER] [PEER[=ADDRESS[,ADDRESS...]] ...]
 *   mesh_node nats DIR NAME REGION SUBJECT SERVER[,SERVER...] [--flood PEER] [--ca FILE]
 * [--credentials FILE] mesh_node past DIR NAME        a certificate for NAME that has expired
 *
 * "reload" on standard input reloads the files; its end stops the program.
 */
#include <nats/nats.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>
#include "base/arena.h"
#include "base/log.h"
#include "mesh/keys.h"
#include "mesh/transport_nats.h"
#include "mesh/transport_tls.h"

enum { PING_MS = 5, REPORT_MS = 500, SAMPLES = 4096, LINKS = 256, ADDRESSES = 8 };

struct peer_state {
    struct mesh_link *link;
    char name[MESH_NAME_MAX + 1];
    uint64_t sample_ns[SAMPLES];
    unsigned samples, ups, downs;
    char why[96];
};

static uv_loop_t loop;
static struct peer_state states[LINKS];
static unsigned count;
static struct mesh_tls *tls;
static struct mesh_tls_options options;
static struct mesh_nats *nats;
static struct mesh_nats_options nats_options;
static const char *flooded = "";

static struct peer_state *state_of(const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(states[i].name, name) == 0)
            return &states[i];
    if (count == LINKS)
        abort();
    snprintf(states[count].name, sizeof states[count].name, "%s", name);
    return &states[count++];
}

static void on_message(struct mesh_link *l, const uint8_t *data, size_t n)
{
    struct peer_state *s = l->user;
    uint8_t answer[9];
    uint64_t sent;
    if (n != sizeof answer)
        return;
    memcpy(answer, data, n);
    memcpy(&sent, data + 1, sizeof sent);
    if (data[0] == 'q' && s->samples < SAMPLES)
        s->sample_ns[s->samples++] = uv_hrtime() - sent;
    answer[0] = 'q';
    if (data[0] == 'p')
        (void)!mesh_link_send(l, answer, sizeof answer);
}

static void flood(struct mesh_link *l)
{
    static uint8_t big[MESH_MESSAGE_MAX];
    if (strcmp(l->peer, flooded) == 0)
        while (mesh_link_send(l, big, sizeof big) == PM_OK)
            ;
}

static void on_drained(struct mesh_link *l)
{
    flood(l);
}

static void on_down(struct mesh_link *l, const char *why)
{
    struct peer_state *s = l->user;
    s->link = NULL;
    s->downs++;
    snprintf(s->why, sizeof s->why, "%s", why);
}

static const struct mesh_link_calls calls = {on_message, on_drained, on_down};

static void on_up(void *ctx, struct mesh_link *l)
{
    struct peer_state *s = state_of(l->peer);
    l->calls = &calls;
    l->user = s;
    s->link = l;
    s->ups++;
}

static void on_ping(uv_timer_t *t)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t ping[9] = {'p'};
        uint64_t now = uv_hrtime();
        memcpy(ping + 1, &now, sizeof now);
        if (!states[i].link)
            continue;
        if (strcmp(states[i].name, flooded) == 0)
            flood(states[i].link);
        else
            (void)!mesh_link_send(states[i].link, ping, sizeof ping);
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static void report_peer(struct peer_state *s, bool first)
{
    qsort(s->sample_ns, s->samples, sizeof s->sample_ns[0], by_size);
    unsigned n = s->samples;
    printf("%s\"%s\": {\"up\": %d, \"ups\": %u, \"downs\": %u, \"why\": \"%s\", \"n\": %u, "
           "\"p50\": %u, \"p99\": %u, "
           "\"max\": %u}",
           first ? "" : ", ", s->name, s->link != NULL, s->ups, s->downs, s->why, n,
           n ? (unsigned)(s->sample_ns[n / 2] / 1000) : 0,
           n ? (unsigned)(s->sample_ns[n * 99 / 100] / 1000) : 0,
           n ? (unsigned)(s->sample_ns[n - 1] / 1000) : 0);
    s->samples = 0;
}

static void report_nats(void)
{
    struct mesh_nats_stats st;
    mesh_nats_stats(nats, &st);
    printf(", \"connected\": %d, \"half_open\": %u, \"nodes\": %u, \"server\": \"%s\"",
           st.connected, st.half_open, st.nodes, st.server);
#define X(name, doc) printf(", \"" #name "\": %llu", (unsigned long long)st.name);
    MESH_NATS_STATS(X)
#undef X
}

static void on_report(uv_timer_t *t)
{
    struct rusage use;
    size_t rss = 0;
    getrusage(RUSAGE_SELF, &use);
    uv_resident_set_memory(&rss);
    printf("{\"cpu_ms\": %ld, \"rss_kb\": %zu, \"peers\": {",
           use.ru_utime.tv_sec * 1000 + use.ru_utime.tv_usec / 1000 + use.ru_stime.tv_sec * 1000 +
               use.ru_stime.tv_usec / 1000,
           rss / 1024);
    for (unsigned i = 0; i < count; i++)
        report_peer(&states[i], i == 0);
    printf("}");
    if (tls) {
        const struct mesh_tls_stats *st = mesh_tls_stats(tls);
        printf(", \"half_open\": %u, \"half_open_most\": %u, \"accepted\": %llu, \"refused\": {",
               st->half_open, st->half_open_most, (unsigned long long)st->accepted);
        for (unsigned i = 0; i < MESH_TLS_REFUSAL_COUNT; i++)
            printf("%s\"%s\": %llu", i ? ", " : "", mesh_tls_refusal_name(i),
                   (unsigned long long)st->refused[i]);
        printf("}");
    }
    if (nats)
        report_nats();
    printf("}\n");
    fflush(stdout);
}

static void on_input_alloc(uv_handle_t *h, size_t size, uv_buf_t *out)
{
    static char text[256];
    *out = uv_buf_init(text, sizeof text);
}

static int reload(struct buf *why)
{
    return tls ? mesh_tls_reload(tls, &options, why)
               : mesh_nats_reload(nats, &nats_options.files, why);
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct buf why = BUF_INIT;
    if (n < 0)
        uv_stop(&loop);
    else if (n >= 6 && memcmp(b->base, "reload", 6) == 0 && reload(&why) != PM_OK)
        log_error("reload failed", "why", buf_str(&why));
    buf_fini(&why);
}

/* "a,b,c" to endpoints; exits on nonsense. */
static size_t endpoints(char *list, struct endpoint *out)
{
    size_t n = 0;
    for (char *save = NULL, *one = strtok_r(list, ",", &save); one && n < ADDRESSES;
         one = strtok_r(NULL, ",", &save))
        if (endpoint_parse(one, 0, &out[n++]) != PM_OK)
            exit(2);
    return n;
}

static int start_tls(int argc, char **argv, struct buf *why)
{
    static char ca[4096], cert[4096];
    static struct endpoint at[ADDRESSES], where[LINKS][ADDRESSES];
    static struct mesh_tls_peer peers[LINKS];
    size_t n = 0;
    snprintf(ca, sizeof ca, "%s/ca.pem", argv[2]);
    snprintf(cert, sizeof cert, "%s/%s.pem", argv[2], argv[3]);
    options = (struct mesh_tls_options){.node = argv[3],
                                        .files = {.ca = ca, .cert = cert},
                                        .listen = at,
                                        .handshake_ms = 3000,
                                        .stall_ms = 4000};
    options.listen_count = endpoints(argv[4], at);
    for (int i = 5; i < argc; i++) {
        char *to = strchr(argv[i], '=');
        if (strcmp(argv[i], "--flood") == 0 && i + 1 < argc) {
            flooded = argv[++i];
            continue;
        }
        if (to)
            *to++ = 0;
        peers[n] = (struct mesh_tls_peer){argv[i], where[n], to ? endpoints(to, where[n]) : 0};
        n++;
    }
    int err = mesh_tls_new(&loop, &options, on_up, NULL, &tls, why);
    return err ? err : mesh_tls_peers(tls, peers, n, why);
}

static int start_nats(int argc, char **argv, struct buf *why)
{
    static char ca[4096], cert[4096];
    static const char *servers[ADDRESSES];
    snprintf(ca, sizeof ca, "%s/ca.pem", argv[2]);
    snprintf(cert, sizeof cert, "%s/%s.pem", argv[2], argv[3]);
    nats_options = (struct mesh_nats_options){.files = {.ca = ca, .cert = cert},
                                              .node = argv[3],
                                              .region = argv[4],
                                              .subject = argv[5],
                                              .servers = servers};
    for (char *save = NULL, *one = strtok_r(argv[6], ",", &save);
         one && nats_options.server_count < ADDRESSES; one = strtok_r(NULL, ",", &save))
        servers[nats_options.server_count++] = one;
    for (int i = 7; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--flood") == 0)
            flooded = argv[i + 1];
        else if (strcmp(argv[i], "--ca") == 0)
            nats_options.ca = argv[i + 1];
        else if (strcmp(argv[i], "--credentials") == 0)
            nats_options.credentials = argv[i + 1];
    }
    return mesh_nats_new(&loop, &nats_options, on_up, NULL, &nats, why);
}

static int past(char **argv)
{
    struct clock_manual then;
    struct buf why = BUF_INIT;
    clock_manual_init(&then);
    then.now_wall_ms = clock_wall_ms(&clock_system) - 10 * 86400000ull;
    struct keys_options o = {.dir = argv[2], .clock = &then.clock, .days = 5, .force = true};
    int err = keys_issue(&o, argv[3], &why);
    fputs(buf_str(&why), stderr);
    buf_fini(&why);
    return err ? 1 : 0;
}

int main(int argc, char **argv)
{
    static uv_timer_t ping, report;
    static uv_pipe_t input;
    struct buf why = BUF_INIT;
    if (argc == 4 && strcmp(argv[1], "past") == 0)
        return past(argv);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    int err = argc >= 5 && strcmp(argv[1], "tls") == 0    ? start_tls(argc, argv, &why)
              : argc >= 7 && strcmp(argv[1], "nats") == 0 ? start_nats(argc, argv, &why)
                                                          : PM_EINVAL;
    if (err) {
        fprintf(stderr, "mesh_node: %s: %s\n", err_text(err), buf_str(&why));
        return 1;
    }
    uv_timer_init(&loop, &ping);
    uv_timer_init(&loop, &report);
    uv_timer_start(&ping, on_ping, PING_MS, PING_MS);
    uv_timer_start(&report, on_report, REPORT_MS, REPORT_MS);
    uv_pipe_init(&loop, &input, 0);
    uv_pipe_open(&input, 0);
    uv_read_start((uv_stream_t *)&input, on_input_alloc, on_input);
    uv_run(&loop, UV_RUN_DEFAULT);
    mesh_tls_free(tls);
    mesh_nats_free(nats);
    uv_close((uv_handle_t *)&ping, NULL);
    uv_close((uv_handle_t *)&report, NULL);
    uv_close((uv_handle_t *)&input, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    buf_fini(&why);
    nats_Close();
    return uv_loop_close(&loop) ? 3 : 0; /* 3: something was left open */
}
