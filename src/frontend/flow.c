/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes on their way from one connection to another: through the chunk when they have come with a head, are few, or
 * have to be looked at (chunk sizes); through a pipe when it is known that many follow.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "frontend/internal.h"

enum { PUMP_ROUNDS = 16 }; /* splices before others get their turn */

void front_flow_init(struct flow *f, enum flow_body body, uint64_t length)
{
    memset(f, 0, offsetof(struct flow, chunked));
    f->body = (uint8_t)body;
    f->left = length;
    f->read_done = body == FLOW_NONE || (body == FLOW_LENGTH && length == 0);
    if (body == FLOW_CHUNKED)
        http_chunked_init(&f->chunked);
}

void front_flow_end(struct thread *t, struct flow *f)
{
    front_pipe_put(t, &f->pipe, f->piped == 0);
    f->piped = 0;
}

/* Moves the content of the chunks together; what is framing is lost. */
static int unwrap(struct flow *f, struct chunk *in)
{
    uint32_t from = f->lim;
    int rc = PM_EAGAIN;
    while (rc == PM_EAGAIN && from < in->end) {
        struct http_piece piece;
        rc = http_chunked_next(&f->chunked, in->data + from, in->end - from, &piece);
        if (piece.data) {
            memmove(in->data + f->lim, in->data + from, piece.len);
            f->lim += (uint32_t)piece.len;
        }
        from += (uint32_t)piece.len;
    }
    if (rc == PM_EAGAIN)
        in->end = f->lim;
    return rc;
}

int front_flow_approve(struct flow *f, struct chunk *in)
{
    uint32_t have = in->end - f->lim;
    size_t used;
    int rc;
    if (f->read_done || have == 0)
        return PM_OK;
    switch (f->body) {
    case FLOW_LENGTH:
        used = have < f->left ? have : (size_t)f->left;
        f->left -= used;
        f->lim += (uint32_t)used;
        f->read_done = f->left == 0;
        return PM_OK;
    case FLOW_CHUNKED:
        if (f->unwrap) {
            rc = unwrap(f, in);
        } else {
            rc = http_chunked_feed(&f->chunked, in->data + f->lim, have, &used);
            f->lim += (uint32_t)used;
        }
        f->read_done = rc == PM_OK;
        return rc == PM_EAGAIN ? PM_OK : rc;
    case FLOW_LINES:
        return PM_OK;
    default:
        f->lim = in->end;
        return PM_OK;
    }
}

/* PUMP_DONE: all sent. */
static enum pump send_chunk(struct flow *f, struct conn *from, struct conn *to, uint32_t splice_min)
{
    struct chunk *in = from->in;
    bool more = !f->read_done && f->body == FLOW_LENGTH && f->left >= splice_min;
    while (f->pos < f->lim) {
        if (!(to->io & IO_WRITE))
            return PUMP_WAIT;
        int64_t n = front_conn_send(to, in->data + f->pos, f->lim - f->pos, more);
        if (n == PM_EAGAIN)
            return PUMP_WAIT;
        if (n < 0)
            return PUMP_SINK;
        f->pos += (uint32_t)n;
        f->moved += (uint64_t)n;
    }
    return PUMP_DONE;
}

static enum pump splice_out(struct flow *f, struct conn *to)
{
    while (f->piped) {
        if (!(to->io & IO_WRITE))
            return PUMP_WAIT;
        bool more = f->body == FLOW_LENGTH && f->left != 0;
        ssize_t n = splice(f->pipe->out, NULL, to->fd, NULL, f->piped,
                           SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0));
        if (n > 0) {
            f->piped -= (uint32_t)n;
            f->moved += (uint64_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            to->io &= (uint8_t)~IO_WRITE;
            return PUMP_WAIT;
        } else if (n == 0 || errno != EINTR) {
            return PUMP_SINK;
        }
    }
    return PUMP_DONE;
}

static enum pump ended(struct flow *f, struct conn *from)
{
    if (f->body >= FLOW_LINES && !(from->io & IO_ERR)) {
        f->read_done = true;
        return PUMP_DONE;
    }
    return PUMP_SOURCE; /* cut short */
}

/* PUMP_DONE: something came, or the end did; see read_done. */
static enum pump splice_in(struct flow *f, struct conn *from, uint64_t most)
{
    size_t want = most < f->pipe->size ? (size_t)most : f->pipe->size;
    ssize_t n;
    do
        n = splice(from->fd, NULL, f->pipe->in, NULL, want, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        from->io &= (uint8_t)~IO_READ;
        return PUMP_WAIT;
    }
    if (n < 0)
        from->io |= IO_ERR;
    if (n <= 0) {
        from->io = (uint8_t)((from->io | IO_EOF) & ~IO_READ);
        return ended(f, from);
    }
    f->piped = (uint32_t)n;
    if (f->body == FLOW_LENGTH) {
        f->left -= (uint64_t)n;
        f->read_done = f->left == 0;
    } else if (f->body == FLOW_CHUNKED) {
        http_chunked_skip(&f->chunked, (uint64_t)n);
    } else {
        f->bulk = n >= 4096;
    }
    return PUMP_DONE;
}

/* Everything in the chunk has been sent: its place is free for what follows. */
static void rewind_chunk(struct flow *f, struct conn *from)
{
    if (f->retain || !from->in)
        return;
    from->in->start = from->in->end = f->pos = f->lim = CHUNK_ROOM;
}

static enum pump receive(struct thread *t, struct flow *f, struct conn *from)
{
    rewind_chunk(f, from);
    if (!from->in) {
        from->in = front_chunk_get(t);
        f->pos = f->lim = from->in->end;
    }
    uint32_t room = CHUNK_SIZE - from->in->end;
    int n = front_conn_recv(t, from, UINT32_MAX);
    if (n == PM_EAGAIN)
        return PUMP_WAIT;
    if (n <= 0)
        return n == 0 ? ended(f, from) : PUMP_SOURCE;
    if (f->body >= FLOW_CLOSE)
        f->bulk = (uint32_t)n == room;
    return front_flow_approve(f, from->in) == PM_OK ? PUMP_DONE : PUMP_SOURCE;
}

/* What may be passed on without being looked at. */
static uint64_t blind(const struct flow *f)
{
    switch (f->body) {
    case FLOW_LENGTH:
        return f->left;
    case FLOW_CHUNKED:
        return f->unwrap ? 0 : http_chunked_blind(&f->chunked);
    case FLOW_LINES:
        return 0;
    default:
        return f->bulk ? UINT64_MAX : 0;
    }
}

enum pump front_flow_pump(struct thread *t, struct flow *f, struct conn *from, struct conn *to)
{
    uint32_t splice_min = t->f->o.splice_min;
    for (unsigned rounds = 0;; rounds++) {
        enum pump p = send_chunk(f, from, to, splice_min);
        if (p == PUMP_DONE && f->piped)
            p = splice_out(f, to);
        if (p != PUMP_DONE || f->read_done)
            return p;
        if (!(from->io & IO_READ))
            return from->io & IO_EOF ? (ended(f, from) == PUMP_DONE ? PUMP_DONE : PUMP_SOURCE) : PUMP_WAIT;
        if (rounds == PUMP_ROUNDS)
            return PUMP_AGAIN;
        uint64_t known = blind(f);
        if (known >= splice_min && !f->pipe)
            f->pipe = front_pipe_get(t);
        if (known >= splice_min && f->pipe && !f->retain) {
            p = splice_in(f, from, known);
        } else {
            p = receive(t, f, from);
        }
        if (p != PUMP_DONE)
            return p;
    }
}
