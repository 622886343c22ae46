/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares a response with what it has to be, while it arrives. A wrong one spoils only its own request: as long as the
 * framing holds, the connection goes on.
 *
 * Of the first wrong byte it tries to say whose it is. A balancer that gets a sequence number wrong repeats or skips a
 * part of the same file; one that confuses two connections sends another file's bytes: these are different mistakes.
 */
#include "surf.h"

#include <stdio.h>
#include <string.h>

enum { SAMPLE = 8, BLAME_MAX = 64 << 20 };

static const struct target *target_of(const struct request *q)
{
    return &opt.targets[q->target];
}

/* The body's length; false if it does not matter. */
static bool expected_length(const struct request *q, uint64_t *len)
{
    const struct target *t = target_of(q);
    if (q->post && opt.post_expect == POST_NONE)
        return false;
    *len = !q->post ? t->size : t->post_answer ? strlen(t->post_answer) : opt.post_size;
    return true;
}

static void wrong(struct conn *c, struct request *q, uint64_t offset, const char *detail)
{
    q->verdict = V_WRONG_BYTES;
    stats_wrong_bytes(c, q, target_of(q)->path, offset, detail);
}

void check_head(struct conn *c)
{
    struct request *q = conn_request(c, 0);
    const struct reply *r = &c->reply;
    char detail[80];
    uint64_t want;
    if (opt.count_header)
        stats_header(r->value);
    if (r->status != opt.status) {
        q->verdict = V_WRONG_STATUS;
        stats_status(r->status);
        snprintf(detail, sizeof(detail), "status %u", r->status);
        stats_example(c, "wrong_status", target_of(q)->path, 0, detail);
    } else if (r->have_length && expected_length(q, &want) && r->length != want) {
        snprintf(detail, sizeof(detail), "Content-Length %llu, wanted %llu", (unsigned long long)r->length,
                 (unsigned long long)want);
        wrong(c, q, r->length < want ? r->length : want, detail);
    }
}

static void hex(char *out, const void *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sprintf(out + 2 * i, "%02x", ((const unsigned char *)data)[i]);
    out[2 * len] = '\0';
}

/* Looks for the sample in the stream of `name`; its offset, or UINT64_MAX. */
static uint64_t find(const char *name, uint64_t size, const char *sample)
{
    static char block[65536 + SAMPLE];
    struct content s = content_of(name);
    size_t kept = 0;
    while (s.at < size && s.at < BLAME_MAX) {
        size_t n = size - s.at < 65536 ? (size_t)(size - s.at) : 65536;
        content_fill(&s, block + kept, n);
        const char *at = memmem(block, kept + n, sample, SAMPLE);
        if (at)
            return s.at - n - kept + (uint64_t)(at - block);
        size_t keep = kept + n < SAMPLE - 1 ? kept + n : SAMPLE - 1;
        memmove(block, block + kept + n - keep, keep);
        kept = keep;
    }
    return UINT64_MAX;
}

/* Where else these bytes are: in this body, or in another one of the list at the same place. */
static void blame(const struct request *q, uint64_t offset, const char *sample, char *out, size_t room)
{
    uint64_t at = q->post ? UINT64_MAX : find(target_of(q)->path, target_of(q)->size, sample);
    if (at != UINT64_MAX) {
        snprintf(out, room, ": bytes of this body's offset %llu", (unsigned long long)at);
        return;
    }
    for (size_t i = 0; i < opt.target_count; i++) {
        struct content other = content_of(opt.targets[i].path);
        other.at = offset;
        if (content_match(&other, sample, SAMPLE) == SAMPLE) {
            snprintf(out, room, ": bytes of %s", opt.targets[i].path);
            return;
        }
    }
}

static void wrong_byte(struct conn *c, struct request *q, const char *data, size_t len, uint64_t offset)
{
    char got[2 * SAMPLE + 1], want[2 * SAMPLE + 1], whose[512] = "", detail[640], right[SAMPLE];
    size_t n = len < SAMPLE ? len : SAMPLE;
    struct content s = q->expect;
    s.at = offset;
    content_fill(&s, right, n);
    hex(got, data, n);
    hex(want, right, n);
    if (n == SAMPLE && stats.verdicts[V_WRONG_BYTES] == 0)
        blame(q, offset, data, whose, sizeof(whose));
    snprintf(detail, sizeof(detail), "got %s, wanted %s%s", got, want, whose);
    wrong(c, q, offset, detail);
}

void check_body(struct conn *c)
{
    struct request *q = conn_request(c, 0);
    const char *text = q->post ? target_of(q)->post_answer : NULL;
    const char *data = c->reply.body;
    size_t len = c->reply.body_len, check = len, right;
    uint64_t want, offset = q->received;
    q->received += len;
    if (q->verdict != V_OK || !expected_length(q, &want))
        return;
    if (check > want - offset)
        check = (size_t)(want - offset);
    if (text) {
        for (right = 0; right < check && data[right] == text[offset + right];)
            right++;
        if (right < check) {
            char detail[160];
            snprintf(detail, sizeof(detail), "got %.*s, wanted %s", (int)(len < 70 ? len : 70), data, text);
            wrong(c, q, offset + right, detail);
            return;
        }
    } else {
        right = content_match(&q->expect, data, check);
        if (right < check) {
            wrong_byte(c, q, data + right, len - right, offset + right);
            return;
        }
    }
    if (check < len)
        wrong(c, q, want, "longer than it should be");
}

void check_end(struct conn *c, bool by_close)
{
    struct request *q = conn_request(c, 0);
    uint64_t want;
    if (q->verdict != V_OK || !expected_length(q, &want) || q->received == want)
        return;
    if (by_close) {
        q->verdict = V_CLOSED_EARLY;
        stats_example(c, "closed_early", target_of(q)->path, q->received, "ended by the connection's end");
    } else {
        wrong(c, q, q->received, "ended too early");
    }
}
