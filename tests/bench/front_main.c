/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front end alone, steered by lines on its standard input; each is answered by one line or more, the last of them
 * "ok" or "error ...". For benchmarks and scenarios.
 *
 *   service NAME key=value ...   mode listen host balance sticky proxy guard busy target away xff default max-connections
 *                                queue retries slow-start pool; times: idle head stall connect response queue-time tunnel
 *   server ADDRESS:PORT key=value ...   name weight max
 *   site NAME URL [self]         rewrite prefix|regex MATCH TO [STATUS]
 *   publish                      what was said since the last one
 *   up|down|drain|undrain SERVICE SERVER, load SERVICE SERVER N
 *   stats, servers, services, clients, quiesce, stop MS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "frontend/frontend.h"

enum { SERVICES = 64, ITEMS = 64 };

static struct front_service services[SERVICES];
static struct spec {
    struct front_server servers[ITEMS];
    struct front_site sites[ITEMS];
    struct front_rewrite rewrites[ITEMS];
    struct endpoint listen[ITEMS];
    const char *hosts[ITEMS];
} specs[SERVICES];
static unsigned count;
static bool fresh = true;

static unsigned one_of(const char *word, const char *const *words)
{
    for (unsigned i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    fprintf(stderr, "front_main: %s?\n", word);
    exit(2);
}
#define ONE_OF(word, ...) (uint8_t) one_of(word, (const char *const[]){__VA_ARGS__, NULL})

static void service_key(struct front_service *s, struct spec *x, const char *key, const char *v)
{
    static const struct {
        const char *key;
        size_t at;
    } numbers[] = {
        {"max-connections", offsetof(struct front_service, max_connections)},
        {"queue", offsetof(struct front_service, queue_limit)},
        {"retries", offsetof(struct front_service, retries)},
        {"slow-start", offsetof(struct front_service, slow_start)},
        {"pool", offsetof(struct front_service, pool)},
        {"idle", offsetof(struct front_service, times.idle)},
        {"head", offsetof(struct front_service, times.head)},
        {"stall", offsetof(struct front_service, times.stall)},
        {"connect", offsetof(struct front_service, times.connect)},
        {"response", offsetof(struct front_service, times.response)},
        {"queue-time", offsetof(struct front_service, times.queue)},
        {"tunnel", offsetof(struct front_service, times.tunnel)},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(numbers); i++)
        if (strcmp(key, numbers[i].key) == 0) {
            uint32_t n = (uint32_t)atol(v);
            memcpy((char *)s + numbers[i].at, &n, sizeof n);
            return;
        }
    if (strcmp(key, "listen") == 0) {
        if (endpoint_parse(v, 0, &x->listen[s->listen_count++]) != PM_OK)
            exit(2);
    } else if (strcmp(key, "host") == 0)
        x->hosts[s->host_count++] = strdup(v);
    else if (strcmp(key, "mode") == 0)
        s->mode = ONE_OF(v, "serve", "redirect", "tcp", "ftp");
    else if (strcmp(key, "balance") == 0)
        s->balance = ONE_OF(v, "round-robin", "least-connections", "least-loaded", "client");
    else if (strcmp(key, "sticky") == 0)
        s->sticky = ONE_OF(v, "off", "cookie", "client");
    else if (strcmp(key, "proxy") == 0)
        s->proxy = ONE_OF(v, "off", "v1", "v2");
    else if (strcmp(key, "guard") == 0)
        s->guard = ONE_OF(v, "host", "query", "cookie");
    else if (strcmp(key, "busy") == 0)
        s->busy = ONE_OF(v, "503", "drop");
    else if (strcmp(key, "target") == 0)
        s->target = ONE_OF(v, "site", "server");
    else if (strcmp(key, "away") == 0)
        s->away = atoi(v);
    else if (strcmp(key, "xff") == 0)
        s->forwarded_for = atoi(v);
    else if (strcmp(key, "default") == 0)
        s->is_default = atoi(v);
    else {
        fprintf(stderr, "front_main: %s?\n", key);
        exit(2);
    }
}

static void service_line(char *save)
{
    if (fresh)
        count = 0;
    fresh = false;
    struct front_service *s = &services[count];
    struct spec *x = &specs[count++];
    memset(s, 0, sizeof *s);
    memset(x, 0, sizeof *x);
    s->name = strdup(strtok_r(NULL, " ", &save));
    s->servers = x->servers;
    s->sites = x->sites;
    s->rewrites = x->rewrites;
    s->listen = x->listen;
    s->hosts = x->hosts;
    for (char *w; (w = strtok_r(NULL, " ", &save));) {
        char *eq = strchr(w, '=');
        if (!eq)
            exit(2);
        *eq = 0;
        service_key(s, x, w, eq + 1);
    }
}

static void server_line(char *save)
{
    struct front_service *s = &services[count - 1];
    struct front_server *v = &s->servers[s->server_count++];
    v->weight = 1;
    if (endpoint_parse(strtok_r(NULL, " ", &save), 0, &v->at) != PM_OK)
        exit(2);
    for (char *w; (w = strtok_r(NULL, " ", &save));) {
        if (strncmp(w, "name=", 5) == 0)
            v->name = strdup(w + 5);
        else if (strncmp(w, "weight=", 7) == 0)
            v->weight = (uint32_t)atoi(w + 7);
        else if (strncmp(w, "max=", 4) == 0)
            v->max_connections = (uint32_t)atoi(w + 4);
    }
}

static void site_line(char *save)
{
    struct front_service *s = &services[count - 1];
    struct front_site *v = &s->sites[s->site_count++];
    v->name = strdup(strtok_r(NULL, " ", &save));
    v->url = strdup(strtok_r(NULL, " ", &save));
    v->self = strtok_r(NULL, " ", &save) != NULL;
}

static void rewrite_line(char *save)
{
    struct front_service *s = &services[count - 1];
    struct front_rewrite *r = &s->rewrites[s->rewrite_count++];
    r->regex = strcmp(strtok_r(NULL, " ", &save), "regex") == 0;
    r->match = strdup(strtok_r(NULL, " ", &save));
    r->to = strdup(strtok_r(NULL, " ", &save));
    const char *status = strtok_r(NULL, " ", &save);
    r->status = status ? (uint16_t)atoi(status) : 0;
}

static void show(struct frontend *f, const char *what)
{
    if (strcmp(what, "stats") == 0) {
        uint64_t n[FRONT_COUNTER_COUNT];
        frontend_stats(f, n);
        for (unsigned i = 0; i < FRONT_COUNTER_COUNT; i++)
            printf("%s %lu\n", front_counter_info[i].name, n[i]);
    } else if (strcmp(what, "servers") == 0) {
        struct frontend_server_view v;
        for (unsigned i = 0; frontend_server_view(f, i, &v); i++) {
            printf("%s %s up=%d draining=%d active=%u idle=%u response=%.3f empty_in=%.0f", v.service, v.server, v.up,
                   v.draining, v.active, v.idle, v.response_ms, v.empty_in_ms);
            for (unsigned c = 0; c < FRONT_SERVER_COUNTER_COUNT; c++)
                printf(" %s=%lu", front_server_counter_info[c].name, v.n[c]);
            putchar('\n');
        }
    } else if (strcmp(what, "services") == 0) {
        struct frontend_service_view v;
        for (unsigned i = 0; frontend_service_view(f, i, &v); i++)
            printf("%s active=%u waiting=%u\n", v.service, v.active, v.waiting);
    } else if (strcmp(what, "clients") == 0) {
        printf("%u tables=%u\n", frontend_clients(f), frontend_reap(f));
    }
}

static int command(struct frontend *f, const char *word, char *save, struct buf *why)
{
    static const char *const marks[] = {"up", "down", "drain", "undrain", "load"};
    if (strcmp(word, "service") == 0)
        service_line(save);
    else if (strcmp(word, "server") == 0)
        server_line(save);
    else if (strcmp(word, "site") == 0)
        site_line(save);
    else if (strcmp(word, "rewrite") == 0)
        rewrite_line(save);
    else if (strcmp(word, "publish") == 0) {
        fresh = true;
        return frontend_publish(f, services, count, why);
    } else if (strcmp(word, "quiesce") == 0)
        frontend_quiesce(f);
    else
        for (unsigned i = 0; i < PM_ARRAY_LEN(marks); i++)
            if (strcmp(word, marks[i]) == 0) {
                const char *s = strtok_r(NULL, " ", &save), *v = strtok_r(NULL, " ", &save), *n = strtok_r(NULL, " ", &save);
                return i < 2   ? frontend_server_health(f, s, v, i == 0 ? FRONT_UP : FRONT_DOWN)
                       : i < 4 ? frontend_server_drain(f, s, v, i == 2)
                               : frontend_server_load(f, s, v, n ? atof(n) : -1);
            }
    show(f, word);
    return PM_OK;
}

int main(int argc, char **argv)
{
    struct frontend_options o = {.threads = 1};
    struct frontend *f;
    struct buf why = BUF_INIT;
    char line[4096];
    for (int opt; (opt = getopt(argc, argv, "t:s:m:")) != -1;) {
        if (opt == 't')
            o.threads = (unsigned)atoi(optarg);
        else if (opt == 's')
            o.splice_min = (uint32_t)atol(optarg);
        else if (opt == 'm')
            o.max_clients = (unsigned)atol(optarg);
        else
            return 2;
    }
    if (frontend_new(&o, &f, &why) != PM_OK) {
        fprintf(stderr, "%s\n", buf_str(&why));
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    rcu_register_thread();
    rcu_thread_offline();
    while (fgets(line, sizeof line, stdin)) {
        char *save, *word = strtok_r(line, " \n", &save);
        if (!word)
            continue;
        save[strcspn(save, "\n")] = 0;
        if (strcmp(word, "stop") == 0) {
            frontend_stop(f, (uint32_t)atol(save));
            puts("ok");
            rcu_unregister_thread();
            return 0;
        }
        buf_clear(&why);
        int rc = command(f, word, save, &why);
        if (rc == PM_OK)
            puts("ok");
        else
            printf("error %s %s\n", err_name(rc), buf_str(&why));
    }
    frontend_stop(f, 0);
    rcu_unregister_thread();
    return 0;
}
