/* SPDX-License-Identifier: Apache-2.0 */
/* A web server that has one resource, and may misbehave. A thread for each connection; one request on each. */
#ifndef PM_TESTS_AGENT_FAKE_SERVER_H
#define PM_TESTS_AGENT_FAKE_SERVER_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/addr.h"

enum fake_mode {
    FAKE_SERVE,
    FAKE_CUT,          /* half of what is asked for, then the end */
    FAKE_CUT_NO_RANGE, /* the same, and all again at each request */
    FAKE_NO_RANGE,
    FAKE_WRONG,        /* the last byte is another */
    FAKE_TOO_MUCH,     /* chunked, one byte more */
    FAKE_LONGER,       /* says so in Content-Length */
    FAKE_CHUNKED,
    FAKE_HANGS,        /* half, and then nothing */
    FAKE_OTHER_RANGE,
    FAKE_UNSATISFIED,  /* 416 to every Range */
    FAKE_ENCODED,
    FAKE_REDIRECT,
    FAKE_MISSING,
    FAKE_BROKEN,       /* 500 */
    FAKE_NONSENSE,
};

enum { FAKE_CONNECTIONS = 512 };

struct fake {
    const uint8_t *data;
    size_t len;
    const char *etag;
    atomic_int mode, then; /* then: from the second request on; -1: the same */
    atomic_uint requests, ranged, if_ranged;
    char last[4096]; /* the head of the last request; look when nothing is under way */
    int listener, stop[2];
    struct endpoint at;
    pthread_t thread, each[FAKE_CONNECTIONS];
    size_t count;
};

struct fake_connection {
    struct fake *fake;
    int fd;
};

static inline void fake_send(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        p += n;
        len -= (size_t)n;
    }
}

static inline const char *fake_field(const char *head, const char *name, char *out, size_t size)
{
    const char *at = strcasestr(head, name);
    out[0] = 0;
    if (!at)
        return NULL;
    at += strlen(name);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\r\n"), at);
    return out;
}

static inline void fake_head(struct fake *f, int fd, int mode, size_t from, bool partial)
{
    char head[512];
    size_t len = f->len - from + (mode == FAKE_LONGER);
    int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nETag: %s\r\nConnection: close\r\n",
                     partial ? "206 Some" : "200 OK", f->etag);
    if (partial)
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Range: bytes %zu-%zu/%zu\r\n",
                      mode == FAKE_OTHER_RANGE ? from - 1 : from, f->len - 1, f->len);
    if (mode == FAKE_TOO_MUCH || mode == FAKE_CHUNKED)
        n += snprintf(head + n, sizeof head - (size_t)n, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                      len + (mode == FAKE_TOO_MUCH));
    else
        n += snprintf(head + n, sizeof head - (size_t)n, "%sContent-Length: %zu\r\n\r\n",
                      mode == FAKE_ENCODED ? "Content-Encoding: gzip\r\n" : "", len);
    fake_send(fd, head, (size_t)n);
}

static inline bool fake_refuses(int fd, int mode, bool ranged)
{
    static const char *const answers[] = {
        [FAKE_REDIRECT] =
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        [FAKE_MISSING] = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone",
        [FAKE_BROKEN] = "HTTP/1.1 500 Broken\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbad",
        [FAKE_UNSATISFIED] = "HTTP/1.1 416 Range\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        [FAKE_NONSENSE] = "I am no web server at all.\r\n\r\n",
    };
    if (mode >= (int)(sizeof answers / sizeof *answers) || !answers[mode] || (mode == FAKE_UNSATISFIED && !ranged))
        return false;
    fake_send(fd, answers[mode], strlen(answers[mode]));
    return true;
}

static inline void fake_body(struct fake *f, int fd, int mode, size_t from)
{
    size_t len = f->len - from;
    if (mode == FAKE_CUT || mode == FAKE_CUT_NO_RANGE || mode == FAKE_HANGS) {
        fake_send(fd, f->data + from, len / 2);
        struct pollfd p = {f->stop[0], POLLIN, 0};
        if (mode == FAKE_HANGS)
            (void)poll(&p, 1, -1);
        return;
    }
    fake_send(fd, f->data + from, len - 1);
    uint8_t last = f->data[f->len - 1];
    if (mode == FAKE_WRONG)
        last ^= 1;
    fake_send(fd, &last, 1);
    if (mode == FAKE_TOO_MUCH || mode == FAKE_LONGER)
        fake_send(fd, &last, 1);
    if (mode == FAKE_TOO_MUCH || mode == FAKE_CHUNKED)
        fake_send(fd, "\r\n0\r\n\r\n", 7);
}

static inline void *fake_connection(void *arg)
{
    struct fake_connection *c = arg;
    struct fake *f = c->fake;
    char head[4096], range[128], tag[128];
    size_t n = 0;
    while (n < sizeof head - 1) {
        ssize_t got = recv(c->fd, head + n, sizeof head - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        head[n] = 0;
        if (strstr(head, "\r\n\r\n"))
            break;
    }
    head[n] = 0;
    if (n > 0) {
        int mode = atomic_fetch_add(&f->requests, 1) > 0 && f->then >= 0 ? f->then : f->mode;
        bool ranged = fake_field(head, "\r\nRange: bytes=", range, sizeof range) != NULL;
        bool fits = !fake_field(head, "\r\nIf-Range: ", tag, sizeof tag) || strcmp(tag, f->etag) == 0;
        size_t from = ranged ? strtoul(range, NULL, 10) : 0;
        f->ranged += ranged;
        f->if_ranged += tag[0] != 0;
        memcpy(f->last, head, n + 1);
        bool partial = ranged && fits && from < f->len && mode != FAKE_NO_RANGE && mode != FAKE_CUT_NO_RANGE;
        if (!fake_refuses(c->fd, mode, ranged)) {
            fake_head(f, c->fd, mode, partial ? from : 0, partial);
            fake_body(f, c->fd, mode, partial ? from : 0);
        }
    }
    shutdown(c->fd, SHUT_WR);
    while (recv(c->fd, head, sizeof head, 0) > 0) /* or what was sent would be lost by a reset */
        ;
    close(c->fd);
    free(c);
    return NULL;
}

static inline void *fake_main(void *arg)
{
    struct fake *f = arg;
    int fd;
    while ((fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct fake_connection *c = malloc(sizeof *c);
        *c = (struct fake_connection){f, fd};
        if (f->count == FAKE_CONNECTIONS || pthread_create(&f->each[f->count++], NULL, fake_connection, c) != 0)
            abort();
    }
    return NULL;
}

static inline void fake_start(struct fake *f, const uint8_t *data, size_t len, enum fake_mode mode)
{
    struct sockaddr_storage sa;
    memset(f, 0, sizeof *f);
    f->data = data;
    f->len = len;
    f->etag = "\"one\"";
    f->mode = (int)mode;
    f->then = -1;
    assert_int_equal(endpoint_parse("127.0.0.1:1", 0, &f->at), 0);
    f->at.port = 0;
    socklen_t n = endpoint_to_sockaddr(&f->at, &sa);
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->listener >= 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&sa, n), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&sa, &n), 0);
    assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sa, &f->at), 0);
    assert_int_equal(listen(f->listener, 16), 0);
    assert_int_equal(pipe(f->stop), 0);
    assert_int_equal(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

/* Clients must be gone, or about to go. */
static inline void fake_stop(struct fake *f)
{
    close(f->stop[1]);
    shutdown(f->listener, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    for (size_t i = 0; i < f->count; i++)
        pthread_join(f->each[i], NULL);
    close(f->listener);
    close(f->stop[0]);
}

#endif
