/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a connection: requests go out at the pace that --slow and --split leave them, responses come in, as much at
 * a time as one buffer of the whole process holds. No body is stored: what is sent is made when there is room for it,
 * what arrives is compared where it lies.
 */
#include "surf.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

/* SEND_TURN: after so much at once it is the others' turn, and that of an answer that came before the request's end. */
enum { RECEIVE_SIZE = 256 << 10, SEND_SIZE = 64 << 10, SEND_TURN = 1 << 20 };

/* How much of a request of `total` bytes may have been sent by now. */
static uint64_t may_send(const struct conn *c, uint64_t total)
{
    uint64_t limit = total;
    if (opt.slow_ns && c->allowed < limit)
        limit = c->allowed;
    if (opt.split_at && !c->split_done && opt.split_at < limit)
        limit = opt.split_at;
    if (c->aborting && c->abort_sent && c->unsent == 1 && c->abort_count < limit)
        limit = c->abort_count;
    return limit;
}

/* One system call: bytes sent, or -1. */
static ssize_t send_piece(const struct conn *c, const struct request *q, const struct head *h, uint64_t limit,
                          bool more)
{
    static char body[SEND_SIZE];
    struct iovec iov[2];
    struct msghdr msg = {.msg_iov = iov};
    uint64_t at = c->sent;
    if (at < h->len) {
        size_t n = (size_t)(limit < h->len ? limit : h->len) - (size_t)at;
        iov[msg.msg_iovlen++] = (struct iovec){h->text + at, n};
        at += n;
    }
    if (at < limit) {
        char name[4096 + 8] = "POST ";
        size_t n = limit - at < sizeof(body) ? (size_t)(limit - at) : sizeof(body);
        strncat(name, opt.targets[q->target].path, 4096);
        struct content s = content_of(name);
        s.at = at - h->len;
        content_fill(&s, body, n);
        iov[msg.msg_iovlen++] = (struct iovec){body, n};
        more = more && at + n == limit;
    }
    return sendmsg(c->fd, &msg, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}

/* The request may go no further now. */
static void pause_sending(struct conn *c)
{
    if (!c->wake)
        c->wake = run.now + (opt.slow_ns ? opt.slow_ns : opt.split_ns);
    conn_watch(c, false);
}

static bool request_sent(struct conn *c, const struct request *q)
{
    c->unsent--;
    c->sent = 0;
    c->allowed = opt.slow_bytes;
    c->split_done = false;
    if (q->last && opt.half_close)
        shutdown(c->fd, SHUT_WR);
    return !c->answered || conn_answered(c);
}

bool conn_send(struct conn *c)
{
    uint64_t turn_ends = stats.bytes_sent + SEND_TURN;
    while (c->state == CONN_OPEN && c->unsent > 0 && !c->send_failed) {
        const struct request *q = conn_request(c, c->inflight - c->unsent);
        const struct head *h = &opt.targets[q->target].heads[q->post][q->last && opt.keep == 0];
        uint64_t total = h->len + (q->post ? opt.post_size : 0), limit = may_send(c, total);
        /* Pipelined requests share segments, as a browser's would. */
        bool more = c->unsent > 1 && !opt.slow_ns && !opt.split_at;
        while (c->sent < limit) {
            bool turn_over = stats.bytes_sent >= turn_ends;
            ssize_t n = turn_over ? -1 : send_piece(c, q, h, limit, more);
            if (turn_over || (n < 0 && errno == EAGAIN)) {
                conn_watch(c, true);
                return true;
            }
            if (n < 0) { /* reset, most likely; the receiving side will tell, after what has arrived before */
                c->send_failed = true;
                conn_watch(c, false);
                return true;
            }
            c->sent += (uint64_t)n;
            c->progress = run.now;
            stats.bytes_sent += (uint64_t)n;
        }
        if (c->aborting && c->abort_sent && c->unsent == 1 && c->sent >= c->abort_count) {
            conn_abort(c);
            return false;
        }
        if (limit < total) {
            pause_sending(c);
            return true;
        }
        if (!request_sent(c, q))
            return false;
    }
    if (c->state == CONN_OPEN || c->state == CONN_ENDING)
        conn_watch(c, false);
    return true;
}

/* Bytes now would answer a request that was not sent, or was answered. */
static bool nothing_due(const struct conn *c)
{
    return c->state == CONN_ENDING || c->inflight == 0 || c->answered || (c->unsent == c->inflight && c->sent == 0);
}

/* The response is complete. If the request is not (the server did not wait for a POST's body), the rest of it has to be
 * sent before anything else can be; unless the connection ends anyway. */
static bool on_end(struct conn *c)
{
    check_end(c, false);
    if (c->unsent == c->inflight && !c->reply.close) {
        c->answered = true;
        return true;
    }
    return conn_answered(c);
}

static bool take(struct conn *c, const char *data, size_t len)
{
    for (;;) {
        if (nothing_due(c)) {
            if (len > 0)
                conn_surplus(c, len);
            return len == 0;
        }
        switch (reply_next(&c->reply, &data, &len)) {
        case REPLY_MORE:
            return true;
        case REPLY_HEAD:
            check_head(c);
            break;
        case REPLY_BODY:
            check_body(c);
            break;
        case REPLY_END:
            if (!on_end(c))
                return false;
            break;
        case REPLY_BAD:
            conn_fail(c, V_BAD_REPLY, c->reply.why);
            return false;
        }
    }
}

bool conn_receive(struct conn *c)
{
    static char buffer[RECEIVE_SIZE];
    ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        conn_ended(c, n < 0 ? strerror(errno) : c->send_failed ? "reset while we sent" : NULL);
        return false;
    }
    c->progress = run.now;
    if (c->aborting && c->abort_received) {
        if ((uint64_t)n >= c->abort_count) {
            conn_abort(c);
            return false;
        }
        c->abort_count -= (uint64_t)n;
    }
    return take(c, buffer, (size_t)n);
}
