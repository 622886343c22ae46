/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FTP (RFC 959, RFC 2428): control and data of a session go to one server.
 *
 *   client ── control ──> here ── control ──> server          lines are read; four kinds of them name a data connection:
 *   client <── 227, 229 ── here <── 227, 229 ── server        passive: we listen on the client's side, and call the server
 *   client ── PORT, EPRT ──> here ── PORT, EPRT ──> server    active: we listen on the server's side, and call the client
 *
 * Such a line is changed to name our own listener; the one connection it takes becomes a tunnel of its own. It must come
 * from the other end of the control connection, and we call nobody but the two ends: a session cannot be made to reach
 * third parties (RFC 2577). TLS on the control connection (AUTH, RFC 4217) would hide these lines, so it is not let
 * through: the server hears a command that it does not know.
 *
 * Thread: the client's. Memory: a struct ftp belongs to its client and goes when the round ends.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frontend/internal.h"

enum { LINE_ROOM = 128 }; /* how much longer a line may become */

/* ---- the listener for one data connection ---- */

static void stop_listening(struct thread *t, struct ftp *x)
{
    front_conn_close(t, &x->listener);
}

static int local_of(int fd, struct endpoint *out)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return err_from_errno(errno);
    return endpoint_from_sockaddr((struct sockaddr *)&sa, out);
}

/* Listens beside `fd`'s own end, on any port, for one who is to be connected with target. */
static int listen_beside(struct thread *t, struct ftp *x, int fd, const struct addr *from,
                         const struct endpoint *target, struct endpoint *at)
{
    struct sockaddr_storage sa;
    stop_listening(t, x);
    int rc = local_of(fd, at);
    if (rc != PM_OK)
        return rc;
    at->port = 0;
    socklen_t len = endpoint_to_sockaddr(at, &sa);
    int l = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l < 0)
        return err_from_errno(errno);
    x->listener = (struct conn){.fd = l, .kind = CONN_DATA};
    x->from = *from;
    x->target = *target;
    if (bind(l, (struct sockaddr *)&sa, len) != 0 || listen(l, 1) != 0 || local_of(l, at) != PM_OK ||
        front_conn_watch(t, &x->listener) != PM_OK) {
        rc = err_from_errno(errno);
        stop_listening(t, x);
        return rc;
    }
    return PM_OK;
}

/* ---- the data connection ---- */

static void data_begin(struct thread *t, struct client *control, int fd, const struct endpoint *peer,
                       const struct endpoint *target)
{
    struct client *c = front_client_new(t, control->sock, fd);
    atomic_fetch_add(&t->f->clients, 1);
    c->data = true;
    c->peer = peer->addr;
    c->peer_port = peer->port;
    c->service = control->service;
    c->table = control->table; /* the session's, so that it lives as long */
    c->table->uses[t->index].count++;
    c->began_ms = t->now_ms;
    c->ftp = mem_alloc(sizeof *c->ftp);
    c->ftp->listener.fd = -1;
    struct front_server *s = &c->ftp->server;
    *s = *control->server;
    s->at = *target;
    s->max_connections = 0;
    s->sockaddr_len = endpoint_to_sockaddr(target, &s->sockaddr);
    c->watched = true;
    if (front_conn_watch(t, &c->c) != PM_OK || front_upstream_take(t, c, s, true) != PM_OK) {
        front_client_release(t, c);
        front_client_close(t, c);
        return;
    }
    c->state = CLIENT_CONNECT;
    front_timer_set(t, &c->c.timer, c->service->times.connect);
}

void front_ftp_data(struct thread *t, struct conn *listener)
{
    struct ftp *x = PM_CONTAINER_OF(listener, struct ftp, listener);
    struct sockaddr_storage sa;
    struct endpoint peer;
    for (;;) {
        socklen_t len = sizeof sa;
        int fd = accept4(listener->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            return;
        if (endpoint_from_sockaddr((struct sockaddr *)&sa, &peer) != PM_OK || !addr_eq(&peer.addr, &x->from)) {
            close(fd); /* somebody else was quicker: he gets nothing, the listener stays */
            continue;
        }
        struct endpoint target = x->target;
        stop_listening(t, x);
        data_begin(t, x->control, fd, &peer, &target);
        return;
    }
}

/* ---- lines ---- */

/* Six numbers of 0..255 somewhere in the text. */
static bool six_numbers(const char *text, unsigned out[6])
{
    for (const char *p = text; *p; p++)
        if (isdigit((unsigned char)*p) &&
            sscanf(p, "%3u,%3u,%3u,%3u,%3u,%3u", &out[0], &out[1], &out[2], &out[3], &out[4], &out[5]) == 6)
            return out[0] < 256 && out[1] < 256 && out[2] < 256 && out[3] < 256 && out[4] < 256 && out[5] < 256;
    return false;
}

/* The next field up to the delimiter; NULL: there is none, or it is too long. */
static const char *field(const char *p, char delimiter, char out[ADDR_TEXT])
{
    const char *end = p ? strchr(p, delimiter) : NULL;
    if (!end || (size_t)(end - p) >= ADDR_TEXT)
        return NULL;
    memcpy(out, p, (size_t)(end - p));
    out[end - p] = 0;
    return end + 1;
}

/* "|||6446|" of a 229, "|1|132.235.1.2|6275|" of EPRT; any delimiter. */
static bool extended(const char *text, bool with_address, struct endpoint *out)
{
    char family[ADDR_TEXT], address[ADDR_TEXT], port[ADDR_TEXT], d = *text;
    if (!ispunct((unsigned char)d))
        return false;
    const char *p = field(field(field(text + 1, d, family), d, address), d, port);
    unsigned long n = p ? strtoul(port, NULL, 10) : 0;
    out->port = (uint16_t)n;
    if (!n || n > 65535)
        return false;
    return !with_address ||
           (addr_parse(address, &out->addr) == PM_OK && strcmp(family, out->addr.family == ADDR_V4 ? "1" : "2") == 0);
}

static void write_numbers(char *out, size_t cap, const char *before, const struct endpoint *at, const char *after)
{
    const uint8_t *b = at->addr.bytes;
    snprintf(out, cap, "%s%u,%u,%u,%u,%u,%u%s\r\n", before, b[0], b[1], b[2], b[3], at->port >> 8, at->port & 255,
             after);
}

/* A reply of the server: true = out stands for it. */
static bool reply(struct thread *t, struct client *c, const char *line, char *out, size_t cap)
{
    unsigned n[6];
    struct endpoint at, target = {c->server->at.addr, 0};
    const char *open = strchr(line, '(');
    bool plain = strncmp(line, "227 ", 4) == 0, ext = strncmp(line, "229 ", 4) == 0;
    if (plain && six_numbers(line + 4, n))
        target.port = (uint16_t)(n[4] << 8 | n[5]);
    else if (!ext || !open || !extended(open + 1, false, &target))
        return false;
    if (!target.port || listen_beside(t, c->ftp, c->c.fd, &c->peer, &target, &at) != PM_OK) {
        snprintf(out, cap, "425 No data connection can be made here.\r\n");
        return true;
    }
    if (plain)
        write_numbers(out, cap, "227 Entering Passive Mode (", &at, ").");
    else
        snprintf(out, cap, "229 Entering Extended Passive Mode (|||%u|)\r\n", at.port);
    return true;
}

/* A command of the client. An address that is not its own goes through as it is: the server knows what to say. */
static bool command(struct thread *t, struct client *c, const char *line, char *out, size_t cap)
{
    unsigned n[6];
    struct endpoint at, target;
    bool plain = strncasecmp(line, "PORT ", 5) == 0;
    if (strncasecmp(line, "AUTH ", 5) == 0) {
        snprintf(out, cap, "XAUTH not through this front end\r\n");
        return true;
    }
    if (plain && six_numbers(line + 5, n)) {
        uint8_t b[4] = {(uint8_t)n[0], (uint8_t)n[1], (uint8_t)n[2], (uint8_t)n[3]};
        addr_from_bytes(&target.addr, ADDR_V4, b);
        target.port = (uint16_t)(n[4] << 8 | n[5]);
    } else if (strncasecmp(line, "EPRT ", 5) != 0 || !extended(line + 5, true, &target)) {
        return false;
    }
    if (!addr_eq(&target.addr, &c->peer) || target.port < 1024 ||
        listen_beside(t, c->ftp, c->up->c.fd, &c->server->at.addr, &target, &at) != PM_OK)
        return false;
    if (at.addr.family == ADDR_V4) {
        write_numbers(out, cap, "PORT ", &at, "");
    } else {
        char address[ADDR_TEXT];
        snprintf(out, cap, "EPRT |2|%s|%u|\r\n", addr_format(&at.addr, address), at.port);
    }
    return true;
}

/* Puts `text` where the line was; what is behind it moves. */
static bool replace(struct chunk *in, uint32_t at, uint32_t len, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    if (in->end - len + n > CHUNK_SIZE)
        return false;
    memmove(in->data + at + n, in->data + at + len, in->end - at - len);
    memcpy(in->data + at, text, n);
    in->end = in->end - len + n;
    return true;
}

/* Looks at whole lines behind lim and lets them go; true = there were some. */
static bool lines(struct thread *t, struct client *c, struct flow *f, struct chunk *in, bool from_server)
{
    bool any = false;
    for (const char *end; in && (end = memchr(in->data + f->lim, '\n', in->end - f->lim)); any = true) {
        char line[512], out[LINE_ROOM + 64];
        uint32_t len = (uint32_t)(end - (in->data + f->lim)) + 1;
        bool short_enough = len < sizeof line;
        snprintf(line, sizeof line, "%.*s", (int)(short_enough ? len : 0), in->data + f->lim);
        bool changes = from_server ? reply(t, c, line, out, sizeof out) : command(t, c, line, out, sizeof out);
        if (short_enough && changes && replace(in, f->lim, len, out))
            len = (uint32_t)strlen(out);
        f->lim += len;
    }
    if (!in || f->pos < f->lim || f->pos == CHUNK_ROOM)
        return any;
    /* Room for the rest of a line. */
    memmove(in->data + CHUNK_ROOM, in->data + f->lim, in->end - f->lim);
    in->end -= f->lim - CHUNK_ROOM;
    in->start = f->pos = f->lim = CHUNK_ROOM;
    return any;
}

/* ---- the control connection ---- */

void front_ftp_begin(struct thread *t, struct client *c)
{
    struct upstream *u = c->up;
    front_count(t, FRONT_TUNNELS);
    front_flow_init(&c->req, FLOW_LINES, 0);
    front_flow_init(&u->res, FLOW_LINES, 0);
    c->req.retain = u->res.retain = true; /* a rest of a line stays where it is */
    c->ftp = mem_alloc(sizeof *c->ftp);
    c->ftp->control = c;
    c->ftp->listener.fd = -1;
    c->c.in = c->c.in ? c->c.in : front_chunk_get(t);
    u->c.in = u->c.in ? u->c.in : front_chunk_get(t);
    c->req.pos = c->req.lim = c->c.in->start;
    u->res.pos = u->res.lim = u->c.in->start;
    c->state = CLIENT_FTP;
    front_ftp_run(t, c);
}

static bool half(struct thread *t, struct client *c, struct flow *f, struct conn *from, struct conn *to,
                 bool from_server)
{
    for (;;) {
        enum pump p = front_flow_pump(t, f, from, to);
        if (p == PUMP_SOURCE || p == PUMP_SINK)
            return false;
        if (lines(t, c, f, from->in, from_server))
            continue;
        if (p == PUMP_AGAIN)
            front_client_ready(t, c);
        return p != PUMP_DONE; /* one side has ended: so has the session */
    }
}

void front_ftp_run(struct thread *t, struct client *c)
{
    if (half(t, c, &c->req, &c->c, &c->up->c, false) && half(t, c, &c->up->res, &c->up->c, &c->c, true)) {
        front_timer_set(t, &c->c.timer, c->service->times.tunnel);
        return;
    }
    front_upstream_give(t, c, false);
    front_client_release(t, c);
    front_client_close(t, c);
}

void front_ftp_end(struct thread *t, struct client *c)
{
    struct ftp *x = c->ftp;
    c->ftp = NULL;
    if (!x)
        return;
    stop_listening(t, x);
    x->next = t->dead_ftps;
    t->dead_ftps = x;
}
