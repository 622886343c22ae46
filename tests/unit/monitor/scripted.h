/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that follows a script: one thread, one connection after the other, each from the first step. For what no
 * real server does on demand: reset in the middle, drip, never answer.
 *
 * Memory: the test's own; scripted_stop joins the thread. Failure: assertions.
 */
#ifndef PM_TESTS_UNIT_MONITOR_SCRIPTED_H
#define PM_TESTS_UNIT_MONITOR_SCRIPTED_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/addr.h"

enum script_do {
    SCRIPT_CLOSE, /* the end of every script */
    SCRIPT_SEND,  /* text */
    SCRIPT_FILL,  /* number bytes of 'a' */
    SCRIPT_DRIP,  /* text, one byte every number ms */
    SCRIPT_LINE,  /* reads a line; ends the connection when it does not start with text */
    SCRIPT_HEAD,  /* reads to an empty line, into head */
    SCRIPT_RESET, /* closes with a reset */
    SCRIPT_HOLD,  /* says nothing until the other side closes */
};

struct script {
    enum script_do what;
    const char *text;
    unsigned number;
};

struct scripted {
    struct endpoint at;
    const struct script *script;
    int listener;
    pthread_t thread;
    atomic_bool stop;
    char head[8192]; /* of the last SCRIPT_HEAD; read it after scripted_stop */
    char line[1024];
    unsigned goodbyes; /* QUIT lines seen in SCRIPT_HOLD */
};

static inline bool scripted_wait(struct scripted *s, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (!atomic_load(&s->stop))
        if (poll(&p, 1, 20) > 0)
            return true;
    return false;
}

static inline bool scripted_read(struct scripted *s, int fd, char *into, size_t size, const char *end)
{
    size_t n = 0;
    into[0] = '\0';
    while (n + 1 < size && scripted_wait(s, fd) && recv(fd, into + n, 1, 0) == 1) {
        into[++n] = '\0';
        if (n >= strlen(end) && strcmp(into + n - strlen(end), end) == 0)
            return true;
    }
    return false;
}

static inline void scripted_hold(struct scripted *s, int fd)
{
    while (scripted_read(s, fd, s->line, sizeof(s->line), "\r\n"))
        s->goodbyes += strstr(s->line, "QUIT") || strstr(s->line, "LOGOUT");
}

static inline bool scripted_step(struct scripted *s, int fd, const struct script *step)
{
    static const char fill[4096] = {0};
    char letters[sizeof(fill)];
    switch (step->what) {
    case SCRIPT_SEND:
        return send(fd, step->text, strlen(step->text), MSG_NOSIGNAL) > 0;
    case SCRIPT_FILL:
        memset(letters, 'a', sizeof(letters));
        for (unsigned left = step->number, n; left > 0; left -= n) {
            n = left < sizeof(letters) ? left : (unsigned)sizeof(letters);
            if (send(fd, letters, n, MSG_NOSIGNAL) != (ssize_t)n)
                return false;
        }
        return true;
    case SCRIPT_DRIP:
        for (const char *c = step->text; *c && !atomic_load(&s->stop); c++) {
            if (send(fd, c, 1, MSG_NOSIGNAL) != 1)
                return false;
            usleep(step->number * 1000);
        }
        return true;
    case SCRIPT_LINE:
        return scripted_read(s, fd, s->line, sizeof(s->line), "\r\n") &&
               strncmp(s->line, step->text, strlen(step->text)) == 0;
    case SCRIPT_HEAD:
        return scripted_read(s, fd, s->head, sizeof(s->head), "\r\n\r\n");
    case SCRIPT_RESET:
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        return false;
    case SCRIPT_HOLD:
        scripted_hold(s, fd);
        return false;
    case SCRIPT_CLOSE:
        break;
    }
    return false;
}

static inline void *scripted_main(void *arg)
{
    struct scripted *s = arg;
    while (scripted_wait(s, s->listener)) {
        int fd = accept(s->listener, NULL, NULL);
        for (const struct script *step = s->script; fd >= 0 && scripted_step(s, fd, step); step++)
            ;
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

static inline void scripted_start(struct scripted *s, const struct script *script)
{
    struct sockaddr_storage sa;
    memset(s, 0, sizeof(*s));
    s->script = script;
    assert_int_equal(addr_parse("127.0.0.1", &s->at.addr), 0);
    socklen_t n = endpoint_to_sockaddr(&s->at, &sa);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&sa, n), 0);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&sa, &n), 0);
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sa, &s->at), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, scripted_main, s), 0);
}

static inline void scripted_stop(struct scripted *s)
{
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

#endif
