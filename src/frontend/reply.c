/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of our own: errors and redirects. */
#include <stdio.h>
#include <string.h>

#include "frontend/internal.h"

/* Whether the connection can go on after an answer to this request: its body must not be taken for the next one. */
static bool can_keep(const struct thread *t, const struct client *c, unsigned status)
{
    return !t->quiesced && c->head.flags & HTTP_KEEP && c->req.read_done && status != 400 && status != 408 &&
           (status < 411 || status > 499) && status != 501 && status != 505;
}

static void reply(struct thread *t, struct client *c, size_t head, const char *body, size_t body_len)
{
    if (c->head.method != HTTP_HEAD && body_len) {
        memcpy(t->scratch + head, body, body_len);
        head += body_len;
    }
    front_chunk_put(t, &c->out);
    c->out = front_chunk_get(t);
    memcpy(c->out->data + c->out->start, t->scratch, head);
    c->out->end = c->out->start + (uint32_t)head;
    c->state = CLIENT_REPLY;
    front_timer_set(t, &c->c.timer, c->sock->listener && c->service ? c->service->times.stall : 30000);
    front_reply_flush(t, c);
}

void front_reply_flush(struct thread *t, struct client *c)
{
    while (c->out->start < c->out->end) {
        if (!(c->c.io & IO_WRITE))
            return;
        int64_t n = front_conn_send(&c->c, c->out->data + c->out->start, c->out->end - c->out->start, false);
        if (n == PM_EAGAIN)
            return;
        if (n < 0) {
            front_client_release(t, c);
            front_client_close(t, c);
            return;
        }
        c->out->start += (uint32_t)n;
        front_count_at(&t->n[FRONT_BYTES_OUT], (uint64_t)n);
    }
    front_chunk_put(t, &c->out);
    front_client_release(t, c);
    front_client_next(t, c);
}

void front_reply_status(struct thread *t, struct client *c, unsigned status)
{
    char body[128];
    const char *reason = http_reason(status);
    int n = snprintf(body, sizeof body, "%u %s\n", status, reason);
    c->keep = can_keep(t, c, status);
    int head = snprintf(t->scratch, SCRATCH_SIZE,
                        "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nCache-Control: no-store\r\n%s%s\r\n",
                        status, reason, n, status == 503 ? "Retry-After: 1\r\n" : "",
                        c->keep ? "" : "Connection: close\r\n");
    reply(t, c, (size_t)head, body, (size_t)n);
}

void front_reply_redirect(struct thread *t, struct client *c, unsigned status, const char *base, const char *path,
                    size_t path_len, const char *extra)
{
    c->keep = can_keep(t, c, status);
    int head = snprintf(t->scratch, SCRATCH_SIZE,
                        "HTTP/1.1 %u %s\r\nLocation: %s%.*s\r\nContent-Length: 0\r\nCache-Control: no-store\r\n%s%s\r\n", status,
                        http_reason(status), base, (int)path_len, path, extra,
                        c->keep ? (c->head.minor ? "" : "Connection: keep-alive\r\n") : "Connection: close\r\n");
    if (head >= SCRATCH_SIZE)
        front_reply_status(t, c, 414);
    else
        reply(t, c, (size_t)head, "", 0);
}
