/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets: one per thread and endpoint, so that the kernel spreads connections. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/internal.h"

struct sock_set *front_sock_set_find(const struct frontend *f, const struct endpoint *at)
{
    for (uint32_t i = 0; i < f->sock_count; i++)
        if (f->socks[i].at.port == at->port && addr_eq(&f->socks[i].at.addr, &at->addr))
            return &f->socks[i];
    return NULL;
}

static int option(int fd, int level, int name)
{
    return setsockopt(fd, level, name, &(int){1}, sizeof(int));
}

/* Accepted sockets inherit TCP_NODELAY: heads and bodies are already sent in as few pieces as can be. */
static int sock_open(const struct frontend *f, const struct endpoint *at, bool share, int *out)
{
    struct sockaddr_storage sa;
    socklen_t len = endpoint_to_sockaddr(at, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_from_errno(errno);
    bool ok = option(fd, SOL_SOCKET, SO_REUSEADDR) == 0 && option(fd, IPPROTO_TCP, TCP_NODELAY) == 0 &&
              (!share || option(fd, SOL_SOCKET, SO_REUSEPORT) == 0) &&
              (sa.ss_family != AF_INET6 || option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0) &&
              (!f->o.freebind || option(fd, IPPROTO_IP, IP_FREEBIND) == 0) &&
              bind(fd, (struct sockaddr *)&sa, len) == 0 && (!share || listen(fd, (int)f->o.backlog) == 0);
    if (!ok) {
        int rc = err_from_errno(errno);
        close(fd);
        return rc;
    }
    *out = fd;
    return PM_OK;
}

static struct sock_set *sock_set_add(struct frontend *f, const struct endpoint *at)
{
    f->socks = mem_realloc(f->socks, (f->sock_count + 1) * sizeof *f->socks);
    struct sock_set *s = &f->socks[f->sock_count++];
    *s = (struct sock_set){.at = *at, .id = ++f->next_sock_id};
    return s;
}

static void sock_set_drop(struct frontend *f, struct sock_set *s)
{
    free(s->fds);
    *s = f->socks[--f->sock_count];
}

/* SO_REUSEPORT would share the port with a stranger in silence: a first bind without it says "in use" as ever. */
int front_sock_set_open(struct frontend *f, const struct endpoint *at, struct buf *why)
{
    struct sock_set *s = front_sock_set_find(f, at);
    int fd, rc = PM_OK;
    char text[ENDPOINT_TEXT];
    if (s && s->count >= f->o.threads)
        return PM_OK;
    if (!s) {
        rc = sock_open(f, at, false, &fd);
        if (rc == PM_OK)
            close(fd);
        s = sock_set_add(f, at);
    }
    s->fds = mem_realloc(s->fds, f->o.threads * sizeof *s->fds);
    while (rc == PM_OK && s->count < f->o.threads) {
        rc = sock_open(f, at, true, &fd);
        if (rc == PM_OK)
            s->fds[s->count++] = fd;
    }
    if (rc == PM_OK)
        return PM_OK;
    buf_printf(why, "cannot listen on %s: %s", endpoint_format(at, text), err_text(rc));
    while (s->count)
        close(s->fds[--s->count]);
    sock_set_drop(f, s);
    return rc;
}

void front_sock_sets_forget(struct frontend *f)
{
    for (uint32_t i = f->sock_count; i > 0; i--)
        if (!f->socks[i - 1].wanted)
            sock_set_drop(f, &f->socks[i - 1]);
}

int frontend_adopt(struct frontend *f, const struct endpoint *at, int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct endpoint is;
    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return err_from_errno(errno);
    int rc = endpoint_from_sockaddr((struct sockaddr *)&sa, &is);
    if (rc != PM_OK || is.port != at->port || !addr_eq(&is.addr, &at->addr) || listen(fd, (int)f->o.backlog) != 0)
        return PM_EINVAL;
    struct sock_set *s = front_sock_set_find(f, at);
    if (!s)
        s = sock_set_add(f, at);
    s->fds = mem_realloc(s->fds, (s->count + 1) * sizeof *s->fds);
    s->fds[s->count++] = fd;
    return PM_OK;
}

void frontend_sockets(const struct frontend *f, void (*each)(void *ctx, const struct endpoint *at, int fd), void *ctx)
{
    for (uint32_t i = 0; i < f->sock_count; i++)
        for (uint32_t k = 0; k < f->socks[i].count; k++)
            each(ctx, &f->socks[i].at, f->socks[i].fds[k]);
}
