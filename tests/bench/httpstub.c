/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest HTTP server that answers: one thread, epoll, a fixed page, one request per connection. For measuring
 * checks, so that the server is not what is measured. Usage: httpstub PORT [SECONDS [flip]]; with flip it answers 503 in every odd second.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static const char page[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"
                           "Connection: close\r\n\r\nHello, check\n";
static const char broken[] = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
static bool flipping; /* good in even seconds, bad in odd ones: every check changes its mind each second */

static int listen_on(unsigned short port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 4096) != 0) {
        perror("httpstub");
        exit(1);
    }
    return fd;
}

static void answer(int ep, int fd)
{
    char in[4096];
    ssize_t n = recv(fd, in, sizeof(in), 0);
    if (n < 0 && errno == EAGAIN)
        return;
    bool good = !flipping || time(NULL) % 2 == 0;
    if (n > 0 && memmem(in, (size_t)n, "\r\n\r\n", 4))
        (void)!send(fd, good ? page : broken, good ? sizeof(page) - 1 : sizeof(broken) - 1, MSG_NOSIGNAL);
    close(fd);
}

static void accept_all(int ep, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    flipping = argc > 3 && strcmp(argv[3], "flip") == 0;
    int listener = listen_on((unsigned short)atoi(argv[1])), ep = epoll_create1(0);
    time_t end = time(NULL) + (argc > 2 ? atoi(argv[2]) : 60);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    while (time(NULL) < end) {
        struct epoll_event got[256];
        int n = epoll_wait(ep, got, 256, 200);
        for (int i = 0; i < n; i++) {
            if (got[i].data.fd == listener)
                accept_all(ep, listener);
            else
                answer(ep, got[i].data.fd);
        }
    }
    return 0;
}
