/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/request.h"

#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "relay/bpf/request.h"
#pragma GCC diagnostic pop

enum { RECORD_HEAD = 5, RECORD_HANDSHAKE = 22 };

/*
 * A ClientHello may be cut into records (RFC 8446 5.1): their contents one after the other, behind one head. What is no
 * record of the kind ends it. Returns the length, 0 if there is nothing to join.
 */
static size_t records_join(const uint8_t *in, size_t len, uint8_t *out)
{
    size_t at = 0, have = RECORD_HEAD, parts = 0;
    while (at + RECORD_HEAD <= len && in[at] == RECORD_HANDSHAKE && in[at + 1] == 3) {
        size_t length = (size_t)in[at + 3] << 8 | in[at + 4], there = len - at - RECORD_HEAD;
        if (!length || length > HELLO_RECORD_MAX)
            break;
        there = there < length ? there : length;
        memcpy(out + have, in + at + RECORD_HEAD, there);
        have += there;
        at += RECORD_HEAD + length;
        parts++;
    }
    if (parts < 2)
        return 0;
    memcpy(out, in, RECORD_HEAD);
    out[3] = HELLO_RECORD_MAX >> 8; /* room for any message that is read */
    out[4] = 0;
    return have;
}

enum relay_reading relay_request_read(const void *bytes, size_t len, struct relay_request *out)
{
    const uint8_t *first = bytes;
    size_t joined;
    if (len == 0 || len >= RELAY_REQUEST_MAX)
        return RELAY_READ_ODD;
    struct scratch *s = mem_alloc(sizeof *s);
    joined = *first == RECORD_HANDSHAKE ? records_join(first, len, s->data) : 0;
    if (!joined)
        memcpy(s->data, bytes, len);
    enum reading reading = request_read(s, (uint32_t)(joined ? joined : len));
    request_labels(s);
    *out = (struct relay_request){.host = s->r.host,
                                  .path = s->r.path,
                                  .suffix = s->r.suffix,
                                  .prefixes = s->r.prefixes,
                                  .labels = s->r.labels,
                                  .alpns = s->r.alpns,
                                  .head = joined ? (uint32_t)len : s->r.head,
                                  .body = s->r.body,
                                  .named = s->name_end,
                                  .stream = s->r.flags & REQUEST_STREAM,
                                  .h2c = s->r.flags & REQUEST_H2C};
    memcpy(out->prefix, s->r.prefix, sizeof out->prefix);
    memcpy(out->label, s->r.label, sizeof out->label);
    memcpy(out->alpn, s->r.alpn, sizeof out->alpn);
    free(s);
    return reading == READING_WHOLE ? RELAY_READ_WHOLE : reading == READING_PART ? RELAY_READ_PART : RELAY_READ_ODD;
}
