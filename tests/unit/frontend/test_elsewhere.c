/* SPDX-License-Identifier: Apache-2.0 */
/* A server that should have it says 404: the front end asks another one, once, and notes both answers. */
#include "../cmocka_pm.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <urcu-qsbr.h>
#include "frontend/frontend.h"
#include "http/head.h"

enum { SERVERS = 3, SCOPE = 5 };

/* Web servers: number i has /has-<digits> when the digits name it, and all have /all. */
static struct server {
    int fd, number;
    uint16_t port;
    unsigned asked;
    pthread_t thread;
} servers[SERVERS];
static struct frontend *f;
static struct front_known *known;
static uint16_t port;

static int listener(uint16_t *at)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *at = ntohs(sa.sin_port);
    return fd;
}

static void answer(struct server *v, int fd)
{
    char request[4096], path[256] = "", reply[256];
    size_t n = 0;
    ssize_t got;
    while (n < sizeof request - 1 && (got = recv(fd, request + n, sizeof request - 1 - n, 0)) > 0) {
        n += (size_t)got;
        request[n] = 0;
        if (strstr(request, "\r\n\r\n"))
            break;
    }
    sscanf(request, "%*s %255[^? ]", path);
    bool has = strcmp(path, "/all") == 0 || (strncmp(path, "/has-", 5) == 0 && strchr(path, '0' + v->number));
    v->asked++;
    int len = snprintf(reply, sizeof reply, "HTTP/1.1 %s\r\nContent-Length: 1\r\nConnection: close\r\n\r\n%d",
                       has ? "200 OK" : "404 Not Found", v->number);
    if (strncmp(request, "HEAD", 4) == 0)
        len--;
    assert_int_equal(send(fd, reply, (size_t)len, MSG_NOSIGNAL), len);
    shutdown(fd, SHUT_WR);
    while (recv(fd, request, sizeof request, 0) > 0)
        ;
    close(fd);
}

static void *serve(void *arg)
{
    struct server *v = arg;
    for (int fd; (fd = accept(v->fd, NULL, NULL)) >= 0;)
        answer(v, fd);
    return NULL;
}

static int setup(void **state)
{
    struct endpoint at = {{.family = ADDR_V4, .bytes = {127, 0, 0, 1}}, 0};
    struct front_server list[SERVERS];
    struct buf why = BUF_INIT;
    static const char *names[] = {"s0", "s1", "s2"};
    memset(list, 0, sizeof list);
    memset(servers, 0, sizeof servers);
    rcu_register_thread();
    close(listener(&port));
    for (int i = 0; i < SERVERS; i++) {
        servers[i].number = i;
        servers[i].fd = listener(&servers[i].port);
        at.port = servers[i].port;
        list[i] = (struct front_server){.name = names[i], .at = at, .weight = 1, .slot = 10 + (uint32_t)i};
        assert_int_equal(pthread_create(&servers[i].thread, NULL, serve, &servers[i]), 0);
    }
    known = front_known_new();
    at.port = port;
    struct front_service s = {.name = "w",
                              .mode = FRONT_SERVE,
                              .is_default = true,
                              .retries = 3,
                              .listen = &at,
                              .listen_count = 1,
                              .servers = list,
                              .server_count = SERVERS,
                              .holders_else = 7u << 10,
                              .known = known,
                              .scope = SCOPE};
    int err = frontend_new(&(struct frontend_options){.threads = 1}, &f, &why);
    if (!err)
        err = frontend_publish(f, &s, 1, &why);
    if (err)
        fail_msg("%s", buf_str(&why));
    return 0;
}

static int teardown(void **state)
{
    rcu_thread_offline();
    frontend_stop(f, 1000);
    rcu_thread_online();
    front_known_free(known);
    for (int i = 0; i < SERVERS; i++) {
        shutdown(servers[i].fd, SHUT_RDWR);
        pthread_join(servers[i].thread, NULL);
        close(servers[i].fd);
    }
    rcu_unregister_thread();
    return 0;
}

/* Status, and the body's digit: which server. */
static unsigned ask(const char *method, const char *path, char *who)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    char text[2048];
    size_t n = 0;
    ssize_t got;
    unsigned status = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    int len = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: w\r\nConnection: close\r\n%s\r\n", method, path,
                       strcmp(method, "POST") == 0 ? "Content-Length: 0\r\n" : "");
    assert_int_equal(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
    rcu_thread_offline();
    while (n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
        n += (size_t)got;
    rcu_thread_online();
    close(fd);
    text[n] = 0;
    assert_int_equal(sscanf(text, "HTTP/1.1 %u", &status), 1);
    *who = n ? text[n - 1] : 0;
    return status;
}

static void say(const char *path, uint64_t slots)
{
    front_known_set(known, SCOPE, FRONT_HOLDS_PATH, path, strlen(path), slots << 10);
}

struct heard {
    unsigned count, again;
    uint16_t status[8];
    uint32_t slot[8];
    char path[32];
};

static void on_note(void *ctx, const struct front_note *n)
{
    struct heard *h = ctx;
    assert_int_equal(n->scope, SCOPE);
    h->status[h->count] = n->status;
    h->slot[h->count++] = n->slot;
    h->again += n->again;
    snprintf(h->path, sizeof h->path, "%.*s", (int)n->len, n->path);
}

static struct heard notes(void)
{
    struct heard h = {0};
    size_t n = frontend_notes(f, on_note, &h, 8);
    assert_int_equal(n, h.count);
    return h;
}

static unsigned asked(void)
{
    return servers[0].asked + servers[1].asked + servers[2].asked;
}

static void test_goes_to_holders(void **state)
{
    char who;
    say("/has-1", 1 << 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ask("GET", "/has-1", &who), 200);
        assert_int_equal(who, '1');
    }
    assert_int_equal(asked(), 4);
    struct heard h = notes();
    assert_int_equal(h.count, 4);
    assert_int_equal(h.slot[0], 11);
    assert_string_equal(h.path, "/has-1");
}

static void test_asks_another(void **state)
{
    char who;
    unsigned again = 0, gets = 0;
    say("/has-2", 1 << 0 | 1 << 2); /* 0 has it no more */
    for (int i = 0; i < 6; i++) {
        assert_int_equal(ask(i % 2 ? "HEAD" : "GET", "/has-2?q", &who), 200);
        gets++;
        struct heard h = notes();
        again += h.again;
        assert_int_equal(h.count, 1 + h.again);
        assert_int_equal(h.status[h.count - 1], 200);
        assert_int_equal(h.slot[h.count - 1], 12);
        assert_string_equal(h.path, "/has-2");
        if (h.again) {
            assert_int_equal(h.status[0], 404);
            assert_int_equal(h.slot[0], 10);
        }
    }
    assert_true(again > 0);
    assert_int_equal(asked(), gets + again);
    uint64_t n[FRONT_COUNTER_COUNT];
    frontend_stats(f, n);
    assert_int_equal(n[FRONT_ELSEWHERE], again);
}

/* Of three who should have it, two are asked; and what only one should have, one. */
static void test_once(void **state)
{
    char who;
    front_known_set(known, SCOPE, FRONT_SURE, "", 0, 1);
    assert_int_equal(ask("GET", "/nowhere", &who), 404);
    assert_int_equal(asked(), 2);
    say("/none", 1 << 1);
    assert_int_equal(ask("GET", "/none", &who), 404);
    assert_int_equal(who, '1');
    assert_int_equal(asked(), 3);
    say("/denied", 0); /* all said no: anyone may say so once more */
    assert_int_equal(ask("GET", "/denied", &who), 404);
    assert_true(asked() <= 5);
}

/* Before all is known that will be, a 404 proves nothing. */
static void test_unsure(void **state)
{
    char who;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(ask("GET", "/has-1", &who), 200);
        assert_int_equal(who, '1');
    }
    unsigned before = asked();
    assert_int_equal(ask("GET", "/nowhere", &who), 404);
    assert_int_equal(asked(), before + SERVERS);
}

static void test_other_methods(void **state)
{
    char who;
    assert_int_equal(ask("POST", "/nowhere", &who), 404);
    assert_int_equal(asked(), 1);
    assert_int_equal(notes().count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_goes_to_holders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asks_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unsure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_methods, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
