/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What front-end threads note of answers, for the content directory: a ring for each thread, which it alone writes and
 * the control thread alone reads. A full ring drops what comes and counts it: clients never wait for the directory.
 */
#include <stdlib.h>
#include <string.h>

#include "frontend/internal.h"
#include "http/path.h"

enum { NOTES = 1024, NOTE_PATH = 240, PATH_MOST = 8192 };

struct noted {
    uint64_t scope, bytes;
    uint16_t status, len;
    uint8_t slot;
    bool again;
    char path[NOTE_PATH];
};

struct front_notes {
    atomic_uint written, read; /* grow; the place is modulo NOTES */
    struct noted at[NOTES];
};

/* The target that the server was asked for: what we sent it still lies before the body. */
static struct http_span target_of(const char *bytes, size_t len)
{
    const char *from = memchr(bytes, ' ', len);
    const char *to = from ? memchr(from + 1, ' ', len - (size_t)(from + 1 - bytes)) : NULL;
    return to ? (struct http_span){(uint32_t)(from + 1 - bytes), (uint32_t)(to - from - 1)} : (struct http_span){0, 0};
}

void front_note_answer(struct thread *t, const struct client *c, bool again)
{
    char path[PATH_MOST];
    const struct chunk *in = c->c.in;
    if ((c->head.method != HTTP_GET && c->head.method != HTTP_HEAD) || !in || c->req.lim <= in->start)
        return;
    struct http_span target = target_of(in->data + in->start, c->req.lim - in->start);
    size_t n = http_path_plain(in->data + in->start + target.off, target.len, path, sizeof path);
    struct front_notes *notes = atomic_load_explicit(&t->notes, memory_order_relaxed);
    if (!notes) {
        notes = mem_alloc(sizeof *notes);
        atomic_store_explicit(&t->notes, notes, memory_order_release);
    }
    unsigned at = atomic_load_explicit(&notes->written, memory_order_relaxed);
    if (!n || n > NOTE_PATH || at - atomic_load_explicit(&notes->read, memory_order_acquire) >= NOTES) {
        front_count(t, FRONT_NOTES_LOST);
        return;
    }
    struct noted *to = &notes->at[at % NOTES];
    const struct http_head *h = &c->up->head;
    bool body = c->head.method == HTTP_GET && http_response_body(h, HTTP_GET) == HTTP_BODY_LENGTH;
    *to = (struct noted){.scope = c->service->scope,
                         .bytes = body ? h->content_length : 0,
                         .status = (uint16_t)h->status,
                         .len = (uint16_t)n,
                         .slot = (uint8_t)(c->server->slot < 64 ? c->server->slot : 64),
                         .again = again};
    memcpy(to->path, path, n);
    atomic_store_explicit(&notes->written, at + 1, memory_order_release);
}

static size_t drain(struct front_notes *notes, front_note_fn *fn, void *ctx, size_t most)
{
    size_t n = 0;
    unsigned at = atomic_load_explicit(&notes->read, memory_order_relaxed);
    unsigned end = atomic_load_explicit(&notes->written, memory_order_acquire);
    for (; at != end && n < most; at++, n++) {
        const struct noted *from = &notes->at[at % NOTES];
        struct front_note note = {.scope = from->scope,
                                  .bytes = from->bytes,
                                  .path = from->path,
                                  .len = from->len,
                                  .slot = from->slot,
                                  .status = from->status,
                                  .again = from->again};
        fn(ctx, &note);
    }
    atomic_store_explicit(&notes->read, at, memory_order_release);
    return n;
}

size_t frontend_notes(struct frontend *f, front_note_fn *fn, void *ctx, size_t most)
{
    size_t n = 0;
    for (unsigned i = 0; i < f->o.threads && n < most; i++) {
        struct front_notes *notes = atomic_load_explicit(&f->threads[i]->notes, memory_order_acquire);
        if (notes)
            n += drain(notes, fn, ctx, most - n);
    }
    return n;
}
