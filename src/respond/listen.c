/* SPDX-License-Identifier: Apache-2.0 */
#include "respond/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"

enum { SYSTEMD_FIRST_FD = 3, FDS_MAX = 65536 };

static const char *const proto_names[] = {"udp", "tcp"};

static bool addr_is_any(const struct addr *a)
{
    static const uint8_t zero[16];
    return memcmp(a->bytes, zero, 16) == 0;
}

static int fail(struct buf *why, int err, const char *what, int proto, const struct endpoint *at,
                const char *text)
{
    char e[ENDPOINT_TEXT];
    buf_printf(why, "%s %s %s: %s", what, proto_names[proto], endpoint_format(at, e), text);
    return err;
}

static int fail_errno(struct buf *why, const char *what, int proto, const struct endpoint *at)
{
    int number = errno;
    return fail(why, err_from_errno(number), what, proto, at, strerror(number));
}

static bool endpoint_eq(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && addr_eq(&a->addr, &b->addr);
}

static void set_add(struct listen_set *s, const struct listen_socket *one)
{
    if ((s->count & (s->count + 1)) == 0)
        s->items = mem_realloc(s->items, (2 * s->count + 1) * sizeof *s->items);
    s->items[s->count++] = *one;
}

static bool set_has_fd(const struct listen_set *s, int fd)
{
    for (size_t i = 0; s && i < s->count; i++)
        if (s->items[i].fd == fd)
            return true;
    return false;
}

void respond_listen_fini(struct listen_set *s)
{
    static const struct listen_set none;
    respond_listen_release(s, &none);
}

void respond_listen_release(struct listen_set *old, const struct listen_set *now)
{
    for (size_t i = 0; i < old->count; i++)
        if (!set_has_fd(now, old->items[i].fd))
            close(old->items[i].fd);
    free(old->items);
    *old = (struct listen_set){NULL, 0};
}

/* ---- opening ---- */

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

/* What also an inherited socket needs. */
static int socket_prepare(int fd, int family, int proto, bool wildcard)
{
    int flags = fcntl(fd, F_GETFL), cloexec = fcntl(fd, F_SETFD, FD_CLOEXEC);
    int wanted = proto == LISTEN_TCP ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (flags < 0 || cloexec < 0 || (wanted != flags && fcntl(fd, F_SETFL, wanted) != 0))
        return -1;
    if (proto == LISTEN_TCP)
        return set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted sockets inherit it */
    if (family == ADDR_V4)
        return set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT) ||
                       (wildcard && set_int(fd, IPPROTO_IP, IP_PKTINFO, 1))
                   ? -1
                   : 0;
    return set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT) ||
                   (wildcard && set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1))
               ? -1
               : 0;
}

/* A bound socket; -1 with errno. shared = SO_REUSEPORT. */
static int socket_bound(const struct listen_options *o, const struct endpoint *at, int proto,
                        bool shared)
{
    struct sockaddr_storage ss;
    socklen_t len = endpoint_to_sockaddr(at, &ss);
    int type = proto == LISTEN_UDP ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* Over TCP, connections of a former run in TIME_WAIT must not count as "in use". */
    if ((proto == LISTEN_TCP && set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1)) ||
        (ss.ss_family == AF_INET6 && set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) ||
        (shared && set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1)) ||
        (o->freebind && set_int(fd, IPPROTO_IP, IP_FREEBIND, 1)) ||
        bind(fd, (struct sockaddr *)&ss, len) != 0) {
        int number = errno;
        close(fd);
        errno = number;
        return -1;
    }
    return fd;
}

static int socket_open(const struct listen_options *o, const struct endpoint *at, int proto,
                       struct listen_set *out, struct buf *why)
{
    struct listen_socket s = {*at, socket_bound(o, at, proto, true), (uint8_t)proto,
                              addr_is_any(&at->addr)};
    if (s.fd < 0)
        return fail_errno(why, "cannot listen on", proto, at);
    if (proto == LISTEN_UDP && o->buffer) {
        /* Best effort, the limit is net.core.rmem_max; with CAP_NET_ADMIN, without limit. */
        if (set_int(s.fd, SOL_SOCKET, SO_RCVBUFFORCE, (int)o->buffer) != 0)
            (void)set_int(s.fd, SOL_SOCKET, SO_RCVBUF, (int)o->buffer);
        if (set_int(s.fd, SOL_SOCKET, SO_SNDBUFFORCE, (int)o->buffer) != 0)
            (void)set_int(s.fd, SOL_SOCKET, SO_SNDBUF, (int)o->buffer);
    }
    if (socket_prepare(s.fd, at->addr.family, proto, s.wildcard) != 0 ||
        (proto == LISTEN_TCP && listen(s.fd, (int)o->backlog) != 0)) {
        int err = fail_errno(why, "cannot listen on", proto, at);
        close(s.fd);
        return err;
    }
    set_add(out, &s);
    return PM_OK;
}

/* Another of our own sockets may stand in the way of the exclusive bind: the same port on "any" or below it. */
static bool overlaps_own(const struct listen_set *s, const struct endpoint *at, int proto)
{
    for (size_t i = 0; s && i < s->count; i++) {
        const struct endpoint *e = &s->items[i].at;
        if (s->items[i].proto == proto && e->port == at->port &&
            (addr_eq(&e->addr, &at->addr) || addr_is_any(&e->addr) || addr_is_any(&at->addr)))
            return true;
    }
    return false;
}

static int port_probe(const struct listen_options *o, const struct endpoint *at, int proto,
                      struct buf *why)
{
    int fd = socket_bound(o, at, proto, false);
    /* TCP with SO_REUSEADDR binds beside a mere bound socket; listening is what collides. */
    if (fd < 0 || (proto == LISTEN_TCP && listen(fd, 1) != 0)) {
        int err = fail_errno(why, "cannot listen on", proto, at);
        if (fd >= 0)
            close(fd);
        return err;
    }
    close(fd);
    return PM_OK;
}

static bool shares_port(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, &len) == 0 && on;
}

static int endpoint_open(const struct listen_options *o, const struct endpoint *at, int proto,
                         const struct listen_set *keep, struct listen_set *out, struct buf *why)
{
    unsigned want = proto == LISTEN_UDP ? o->udp_threads : o->tcp_threads, have = 0;
    for (size_t i = 0; keep && i < keep->count; i++) {
        const struct listen_socket *s = &keep->items[i];
        if (s->proto != proto || !endpoint_eq(&s->at, at))
            continue;
        set_add(out, s);
        have++;
        if (!shares_port(s->fd))
            want =
                0; /* from systemd without ReusePort: no second one can be opened; threads share it */
    }
    int err = PM_OK;
    while (err == PM_OK && have++ < want)
        err = socket_open(o, at, proto, out, why);
    return err;
}

static int endpoints_check(const struct listen_options *o, const struct endpoint *at, size_t n,
                           const struct listen_set *keep, struct buf *why)
{
    for (size_t i = 0; i < n; i++) {
        if (at[i].port == 0 || (at[i].addr.family != ADDR_V4 && at[i].addr.family != ADDR_V6))
            return fail(why, PM_EINVAL, "cannot listen on", LISTEN_UDP, &at[i],
                        "an address and a port are needed");
        for (int proto = LISTEN_UDP; proto <= LISTEN_TCP; proto++) {
            int err = overlaps_own(keep, &at[i], proto) ? PM_OK : port_probe(o, &at[i], proto, why);
            if (err != PM_OK)
                return err;
        }
    }
    return PM_OK;
}

int respond_listen_open(const struct listen_options *o, const struct endpoint *at, size_t n,
                        const struct listen_set *keep, struct listen_set *out, struct buf *why)
{
    *out = (struct listen_set){NULL, 0};
    int err = endpoints_check(o, at, n, keep, why);
    for (size_t i = 0; err == PM_OK && i < n; i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again |= endpoint_eq(&at[k], &at[i]);
        for (int proto = LISTEN_UDP; err == PM_OK && !again && proto <= LISTEN_TCP; proto++)
            err = endpoint_open(o, &at[i], proto, keep, out, why);
    }
    if (err == PM_OK)
        return PM_OK;
    static const struct listen_set none;
    respond_listen_release(out, keep ? keep : &none);
    return err;
}

/* ---- handing over ---- */

int respond_listen_copy(const struct listen_set *s, struct listen_set *out)
{
    *out = (struct listen_set){NULL, 0};
    for (size_t i = 0; i < s->count; i++) {
        struct listen_socket one = s->items[i];
        one.fd = fcntl(one.fd, F_DUPFD_CLOEXEC, SYSTEMD_FIRST_FD);
        if (one.fd < 0) {
            int err = err_from_errno(errno);
            respond_listen_fini(out);
            return err;
        }
        set_add(out, &one);
    }
    return PM_OK;
}

int respond_listen_inheritable(const struct listen_set *s, bool yes)
{
    for (size_t i = 0; i < s->count; i++)
        if (fcntl(s->items[i].fd, F_SETFD, yes ? 0 : FD_CLOEXEC) != 0)
            return err_from_errno(errno);
    return PM_OK;
}

void respond_listen_export(const struct listen_set *s, struct buf *out)
{
    for (size_t i = 0; i < s->count; i++) {
        char e[ENDPOINT_TEXT];
        buf_printf(out, "%s %s %d\n", proto_names[s->items[i].proto],
                   endpoint_format(&s->items[i].at, e), s->items[i].fd);
    }
}

/* What fd is, without touching it. */
static int socket_identify(int fd, struct listen_socket *out, struct buf *why)
{
    struct sockaddr_storage ss;
    int type = 0, listening = 0;
    socklen_t len = sizeof ss, n = sizeof type;
    memset(out, 0, sizeof *out);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0) {
        int number = errno;
        buf_printf(why, "inherited descriptor %d: %s", fd, strerror(number));
        return PM_EINVAL;
    }
    n = sizeof listening;
    if (endpoint_from_sockaddr((struct sockaddr *)&ss, &out->at) != PM_OK || out->at.port == 0 ||
        (type != SOCK_DGRAM && type != SOCK_STREAM)) {
        buf_printf(why, "inherited descriptor %d: not a UDP or TCP socket with a port", fd);
        return PM_EINVAL;
    }
    if (type == SOCK_STREAM &&
        (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) != 0 || !listening)) {
        buf_printf(why, "inherited descriptor %d: a TCP socket that does not listen", fd);
        return PM_EINVAL;
    }
    out->fd = fd;
    out->proto = type == SOCK_DGRAM ? LISTEN_UDP : LISTEN_TCP;
    out->wildcard = addr_is_any(&out->at.addr);
    return PM_OK;
}

int respond_listen_adopt(int fd, struct listen_set *out, struct buf *why)
{
    struct listen_socket s;
    int err = socket_identify(fd, &s, why);
    if (err != PM_OK)
        return err;
    if (socket_prepare(fd, s.at.addr.family, s.proto, s.wildcard) != 0)
        return fail_errno(why, "cannot use inherited", s.proto, &s.at);
    set_add(out, &s);
    return PM_OK;
}

/* Puts back what a failed import had added: the descriptors stay the caller's. */
static int import_undo(struct listen_set *out, size_t count, int err)
{
    out->count = count;
    if (count == 0) {
        free(out->items);
        out->items = NULL;
    }
    return err;
}

int respond_listen_import(const char *text, struct listen_set *out, struct buf *why)
{
    size_t before = out->count;
    while (*text) {
        char proto[4], at[ENDPOINT_TEXT];
        struct endpoint e;
        struct listen_socket s;
        int fd = -1, used = 0;
        if (sscanf(text, "%3s %55s %d%n", proto, at, &fd, &used) != 3 || text[used] != '\n' ||
            endpoint_parse(at, 0, &e) != PM_OK) {
            buf_printf(why, "inherited sockets: line not understood: %.*s",
                       (int)strcspn(text, "\n"), text);
            return import_undo(out, before, PM_EINVAL);
        }
        int err = set_has_fd(out, fd) ? PM_EINVAL : socket_identify(fd, &s, why);
        if (err == PM_OK && (strcmp(proto, proto_names[s.proto]) != 0 || !endpoint_eq(&e, &s.at)))
            err = fail(why, PM_EINVAL, "inherited socket is", s.proto, &s.at,
                       "not what was announced");
        if (err == PM_OK)
            err = respond_listen_adopt(fd, out, why);
        if (err != PM_OK)
            return import_undo(out, before, err);
        text += used + 1;
    }
    return PM_OK;
}

int respond_listen_systemd(struct listen_set *out, struct buf *why)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    size_t before = out->count;
    int err = PM_OK;
    if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid())
        return PM_OK;
    long n = strtol(fds, NULL, 10);
    for (long i = 0; err == PM_OK && i < n && i < FDS_MAX; i++)
        err = respond_listen_adopt((int)(SYSTEMD_FIRST_FD + i), out, why);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return err == PM_OK ? PM_OK : import_undo(out, before, err);
}
